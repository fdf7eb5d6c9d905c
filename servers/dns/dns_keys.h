/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_KEYS_H
#define GY_SERVERS_DNS_DNS_KEYS_H

/*
 * Who may do what with a zone, and by which keys:
 *
 *     key NAME ALGORITHM FILE;                     a TSIG key; the secret, in base64, is in FILE
 *
 *     allow-transfer 192.0.2.0/24 ... [key NAME];  who may transfer: from one of the addresses
 *                                                  (none given: any), and, where a key is named,
 *                                                  by it
 *
 *     notify 192.0.2.2[:53] [key NAME];            who is told of a new serial; or: none
 *
 *     primary 192.0.2.1[:53] [key NAME];           where a secondary zone comes from
 *
 * Each may be repeated; one rule that fits is enough. A zone's own block replaces, key by key, what
 * the server says for all of its zones. Secrets are never written to a log or an error.
 */

#include "../../core/address.h"
#include "../../core/config.h"
#include "../../core/visitors.h"
#include "../../protocols/dns/tsig.h"

#define GY_DNS_KEYS_MAX      256
#define GY_DNS_RULES_MAX     16
#define GY_DNS_RANGES_MAX    GY_CONFIG_VALUES_MAX /* of one rule */
#define GY_DNS_TARGETS_MAX   16
#define GY_DNS_PRIMARIES_MAX 8

struct gy_dns_keys {
    struct gy_dns_key *list[GY_DNS_KEYS_MAX];
    uint32_t count;
};

/* The key of a name in lower case, or NULL: a gy_dns_key_find. */
const struct gy_dns_key *gy_dns_keys_find(const void *keys, const uint8_t *name);

/* Takes `key` in. */
int gy_dns_keys_take(struct gy_dns_keys *keys, const struct gy_config_directive *directive,
                     struct gy_error *error);
void gy_dns_keys_free(struct gy_dns_keys *keys);

/* A key that is named before it may be there; found by gy_dns_policy_settle. */
struct gy_dns_key_name {
    const struct gy_config_directive *at;
    const char *text; /* NULL: none */
    const struct gy_dns_key *key;
};

struct gy_dns_rule {
    struct gy_dns_key_name key;
    uint32_t range_count; /* 0: any address */
    struct gy_visitors_range ranges[GY_DNS_RANGES_MAX];
};

struct gy_dns_peer {
    struct gy_dns_key_name key;
    struct gy_address address;
};

struct gy_dns_policy {
    uint32_t rule_count, target_count, primary_count;
    bool rules_given;   /* "allow-transfer none": rules, but none */
    bool targets_given; /* "notify none" */
    struct gy_dns_rule rules[GY_DNS_RULES_MAX];
    struct gy_dns_peer targets[GY_DNS_TARGETS_MAX];
    struct gy_dns_peer primaries[GY_DNS_PRIMARIES_MAX];
};

/* Takes `allow-transfer`, `notify` or `primary` in. */
int gy_dns_policy_take(struct gy_dns_policy *policy, const struct gy_config_directive *directive,
                       struct gy_error *error);

/* All keys are read: finds those that are named. */
int gy_dns_policy_settle(struct gy_dns_policy *policy, const struct gy_dns_keys *keys,
                         struct gy_error *error);

/* May who is at an address (4 or 16 bytes), and signed with `key` (NULL: did not), transfer? */
bool gy_dns_policy_allows(const struct gy_dns_policy *policy, const uint8_t *address,
                          uint32_t address_bytes, const struct gy_dns_key *key);

/* Is it a primary? */
bool gy_dns_policy_is_primary(const struct gy_dns_policy *policy, const uint8_t *address,
                              uint32_t address_bytes, const struct gy_dns_key *key);

#endif
