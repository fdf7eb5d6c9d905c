/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_DNS_STUB_RIG_H
#define GY_TESTS_DNS_STUB_RIG_H

/* A stub resolver, with a clock and randomness of the test's, and name servers that say what the
 * test wants. */

#include "core/error.h"
#include "protocols/dns/message.h"
#include "protocols/dns/stub.h"

/* What an exchange sent last, while it is open. */
struct stub_sent {
    enum gy_dns_stub_action action; /* NOTHING: it is closed */
    struct gy_dns_address server;
    uint16_t type;
    uint32_t times; /* that it was sent */
    size_t bytes;
    uint8_t query[GY_DNS_STUB_QUERY_BYTES];
    char name[GY_DNS_NAME_TEXT_BYTES]; /* in lower case */
};

struct stub_rig {
    struct gy_dns_stub stub;
    struct gy_dns_resolv resolv;
    uint64_t now_ms;
    uint64_t state; /* of the randomness */
    struct stub_sent sent[GY_DNS_STUB_EXCHANGES];
};

/* One that the test frees. `conf` and `hosts` are the files' texts. */
struct stub_rig *stub_rig_new(const char *conf, const char *hosts, uint64_t seed);

/* Lets the stub send and close. How many queries went out. */
uint32_t stub_rig_pull(struct stub_rig *rig);

/* The open exchange for a type, or NULL; the first if there are several. */
struct stub_sent *stub_rig_open(struct stub_rig *rig, uint16_t type);
uint32_t stub_rig_number(const struct stub_rig *rig, const struct stub_sent *sent);

/* An answer to what was sent, being made; flags besides QR, RD and RA. */
void stub_rig_answer(const struct stub_sent *sent, struct gy_dns_builder *builder, uint8_t *room,
                     uint16_t flags);
void stub_rig_add(struct gy_dns_builder *builder, enum gy_dns_section section, const char *owner,
                  uint16_t type, uint32_t ttl, const char *data);

/* Hands it over, from the server that was asked, and lets the stub send. */
void stub_rig_deliver(struct stub_rig *rig, const struct stub_sent *sent,
                      struct gy_dns_builder *builder);

/* All of it: one address (NULL: none, with a SOA), for the open exchange of the type. */
void stub_rig_reply(struct stub_rig *rig, uint16_t type, uint16_t flags, const char *address);

/* Time passes, with what is due on its way. */
void stub_rig_wait(struct stub_rig *rig, uint64_t ms);

#endif
