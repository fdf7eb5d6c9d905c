/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_DNS_RIG_H
#define GY_TESTS_DNS_RIG_H

/* Zones from text, queries as a client makes them, and answers as text. */

#include "protocols/dns/answer.h"
#include "protocols/dns/zonefile.h"

#define RIG_PIECES_MAX  4096
#define RIG_REPORTS_MAX 64

struct rig_zone {
    const struct gy_dns_zone *zone; /* NULL: it is none, see error */
    void *block;
    size_t block_bytes;
    size_t build_bytes; /* taken while it was built */
    int code;
    struct gy_error error;
    uint32_t report_count;
    char reports[RIG_REPORTS_MAX][256];
    uint32_t piece_count;
    void *pieces[RIG_PIECES_MAX];
};

/* Reads a zone file's text. `piece`: bytes that are fed at once, 0: all. */
void rig_zone_load(struct rig_zone *zone, const char *origin, const char *text, size_t bytes,
                   size_t piece);
void rig_zone_free(struct rig_zone *zone);

/* An answerer for zones. */
struct rig {
    struct gy_dns_zones zones;
    struct gy_dns_answer_settings settings;
    struct gy_dns_answerer *answerer;
    void *slots;
    uint8_t answer[GY_DNS_MESSAGE_MAX];
    struct gy_dns_query query;
    uint8_t message[1024];
};

void rig_init(struct rig *rig, uint32_t zones_max);
void rig_add(struct rig *rig, const struct rig_zone *zone);
void rig_free(struct rig *rig);

/* Asks; flags 0 or RIG_…; the answer is rig->query. */
#define RIG_EDNS 1u
#define RIG_DO   2u
#define RIG_TCP  4u
void rig_ask(struct rig *rig, const char *name, uint16_t type, unsigned flags);

/* A message as text, a line a record, sections marked; stops the test when it is malformed. Static
 * memory. Without TTLs: they are compared where they matter. */
const char *rig_text(const uint8_t *message, size_t bytes);

/* SHA-1, for NSEC3. */
void rig_sha1(void *context, const void *data, size_t bytes, uint8_t digest[20]);

/* The wire form of a name; static memory, eight of them in turns. */
const uint8_t *rig_name(const char *text);

#endif
