/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/file_check.h"
#include "protocols/dns/rdata.h"

#define SECRET_TEXT_BYTES 1024
#define PORT              53

/* ---- keys ---- */

const struct gy_dns_key *gy_dns_keys_find(const void *context, const uint8_t *name)
{
    const struct gy_dns_keys *keys = context;
    for (uint32_t i = 0; i < keys->count; i++) {
        if (gy_dns_name_equal(keys->list[i]->name, name)) {
            return keys->list[i];
        }
    }
    return NULL;
}

/* The secret of a file of base64, white space around it. */
static int read_secret(struct gy_dns_key *key, const char *path, char why[GY_FILE_WHY_BYTES])
{
    char text[SECRET_TEXT_BYTES];
    struct gy_error error;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t bytes = descriptor >= 0 ? read(descriptor, text, sizeof text) : -1;
    if (bytes < 0) {
        gy_file_why(why, path, R_OK, errno);
    }
    gy_descriptor_close(descriptor);
    if (bytes < 0) {
        return GY_EINVAL;
    }
    while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1]) != NULL) {
        bytes--;
    }
    /* Base64 is what the data of this type is written as. */
    int length = bytes == SECRET_TEXT_BYTES
                     ? GY_EINVAL
                     : gy_dns_rdata_from_text(GY_DNS_TYPE_OPENPGPKEY, text, (size_t)bytes, NULL,
                                              key->secret, sizeof key->secret, &error);
    explicit_bzero(text, sizeof text);
    if (length <= 0) {
        snprintf(why, GY_FILE_WHY_BYTES,
                 "it has to hold the secret alone, 1 to 256 bytes, in base64");
        return GY_EINVAL;
    }
    key->secret_bytes = (uint16_t)length;
    return 0;
}

int gy_dns_keys_take(struct gy_dns_keys *keys, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    const char *text = directive->values[0];
    const char *why = "";
    uint8_t name[GY_DNS_NAME_MAX];
    int algorithm = gy_dns_tsig_algorithm_parse(directive->values[1]);
    if (keys->count == GY_DNS_KEYS_MAX) {
        return gy_config_error(directive, error, "there can be %d keys at most", GY_DNS_KEYS_MAX);
    }
    if (gy_dns_name_from_text(text, strlen(text), NULL, name, &why) < 0) {
        return gy_config_error(directive, error, "%.100s is no name of a key: %s", text, why);
    }
    if (algorithm < 0) {
        return gy_config_error(directive, error,
                               "%.64s is no algorithm; write hmac-sha256, hmac-sha512, "
                               "hmac-sha384, hmac-sha224 or hmac-sha1",
                               directive->values[1]);
    }
    struct gy_dns_key *key = calloc(1, sizeof *key);
    if (key == NULL) {
        return gy_config_error(directive, error, "out of memory");
    }
    key->algorithm = (enum gy_dns_tsig_algorithm)algorithm;
    key->name_bytes = (uint8_t)gy_dns_name_lower(name, key->name);
    if (gy_dns_keys_find(keys, key->name) != NULL) {
        free(key);
        return gy_config_error(directive, error, "there is a key of the name %.100s already", text);
    }
    keys->list[keys->count++] = key;
    char cause[GY_FILE_WHY_BYTES];
    return read_secret(key, directive->values[2], cause) == 0
               ? 0
               : gy_config_error(directive, error, "reading the secret from %.200s: %s",
                                 directive->values[2], cause);
}

void gy_dns_keys_free(struct gy_dns_keys *keys)
{
    while (keys->count > 0) {
        struct gy_dns_key *key = keys->list[--keys->count];
        explicit_bzero(key->secret, sizeof key->secret);
        free(key);
    }
}

/* ---- policies ---- */

/* `key NAME` at the end of a directive's values, if it is there; `*count` is of what is before. */
static int take_key(struct gy_dns_key_name *key, const struct gy_config_directive *directive,
                    uint32_t *count, struct gy_error *error)
{
    *count = directive->value_count;
    *key = (struct gy_dns_key_name){.at = directive};
    uint32_t i = 0;
    while (i < directive->value_count && strcmp(directive->values[i], "key") != 0) {
        i++;
    }
    if (i == directive->value_count) {
        return 0;
    }
    if (i + 2 != directive->value_count) {
        return gy_config_error(directive, error, "write key and one name of a key at the end");
    }
    key->text = directive->values[i + 1];
    *count = i;
    return 0;
}

static int take_rule(struct gy_dns_policy *policy, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    uint32_t count;
    policy->rules_given = true;
    if (directive->value_count == 1 && strcmp(directive->values[0], "none") == 0) {
        return 0;
    }
    if (policy->rule_count == GY_DNS_RULES_MAX) {
        return gy_config_error(directive, error, "there can be %d of them at most",
                               GY_DNS_RULES_MAX);
    }
    struct gy_dns_rule *rule = &policy->rules[policy->rule_count];
    int code = take_key(&rule->key, directive, &count, error);
    if (code == 0 && count == 1 && strcmp(directive->values[0], "any") == 0) {
        count = 0;
    }
    for (uint32_t i = 0; i < count && code == 0; i++) {
        struct gy_error why = {0};
        if (gy_visitors_range_parse(&rule->ranges[i], directive->values[i], &why) != 0) {
            code = gy_config_error(directive, error,
                                   "%s; or write any, none, or key and a key's name", why.message);
        }
    }
    rule->range_count = count;
    policy->rule_count += code == 0;
    return code;
}

/* "192.0.2.1", "2001:db8::1", or either with a port. */
static int parse_peer(struct gy_address *address, const char *text, struct gy_error *why)
{
    char with_port[GY_ADDRESS_TEXT_BYTES];
    const char *colon = strchr(text, ':');
    bool bare6 = text[0] != '[' && colon != NULL && strchr(colon + 1, ':') != NULL;
    bool bare = bare6 || colon == NULL || text[strlen(text) - 1] == ']';
    int length = snprintf(with_port, sizeof with_port, bare6 ? "[%s]" : "%s", text);
    if (bare && length > 0 && (size_t)length < sizeof with_port) {
        snprintf(with_port + length, sizeof with_port - (size_t)length, ":%d", PORT);
    }
    int code = gy_address_parse(address, with_port, why);
    if (code == 0 && (address->every || gy_address_port(address) == 0)) {
        code = gy_error_set(why, GY_EINVAL, "%.64s is no address of a server", text);
    }
    return code;
}

static int take_peer(struct gy_dns_peer *peers, uint32_t *peer_count, uint32_t max,
                     const struct gy_config_directive *directive, struct gy_error *error)
{
    struct gy_error why = {0};
    uint32_t count;
    if (*peer_count == max) {
        return gy_config_error(directive, error, "there can be %u of them at most", max);
    }
    struct gy_dns_peer *peer = &peers[*peer_count];
    int code = take_key(&peer->key, directive, &count, error);
    if (code != 0) {
        return code;
    }
    if (count != 1 || parse_peer(&peer->address, directive->values[0], &why) != 0) {
        return gy_config_error(directive, error, "%s%sone address, with or without a port",
                               why.message, why.message[0] != '\0' ? "; write " : "write ");
    }
    (*peer_count)++;
    return 0;
}

int gy_dns_policy_take(struct gy_dns_policy *policy, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    if (strcmp(directive->key, "allow-transfer") == 0) {
        return take_rule(policy, directive, error);
    }
    if (strcmp(directive->key, "primary") == 0) {
        return take_peer(policy->primaries, &policy->primary_count, GY_DNS_PRIMARIES_MAX, directive,
                         error);
    }
    policy->targets_given = true;
    if (directive->value_count == 1 && strcmp(directive->values[0], "none") == 0) {
        return 0;
    }
    return take_peer(policy->targets, &policy->target_count, GY_DNS_TARGETS_MAX, directive, error);
}

static int settle_key(struct gy_dns_key_name *name, const struct gy_dns_keys *keys,
                      struct gy_error *error)
{
    uint8_t wire[GY_DNS_NAME_MAX];
    if (name->text == NULL) {
        return 0;
    }
    name->key = gy_dns_name_from_text(name->text, strlen(name->text), NULL, wire, NULL) < 0
                    ? NULL
                    : gy_dns_keys_find(keys, wire);
    return name->key != NULL ? 0
                             : gy_config_error(name->at, error,
                                               "there is no key %.100s; write key NAME "
                                               "ALGORITHM FILE; in the dns block",
                                               name->text);
}

int gy_dns_policy_settle(struct gy_dns_policy *policy, const struct gy_dns_keys *keys,
                         struct gy_error *error)
{
    int code = 0;
    for (uint32_t i = 0; i < policy->rule_count && code == 0; i++) {
        code = settle_key(&policy->rules[i].key, keys, error);
    }
    for (uint32_t i = 0; i < policy->target_count && code == 0; i++) {
        code = settle_key(&policy->targets[i].key, keys, error);
    }
    for (uint32_t i = 0; i < policy->primary_count && code == 0; i++) {
        code = settle_key(&policy->primaries[i].key, keys, error);
    }
    return code;
}

/* An address as ranges have it: IPv4 in ::ffff:0:0/96. */
static void widen(const uint8_t *address, uint32_t bytes, uint8_t wide[16])
{
    if (bytes == 16) {
        memcpy(wide, address, 16);
        return;
    }
    memset(wide, 0, 10);
    wide[10] = wide[11] = 0xff;
    memcpy(wide + 12, address, 4);
}

static bool within(const struct gy_visitors_range *range, const uint8_t wide[16])
{
    uint32_t whole = range->bits / 8u;
    uint32_t rest = range->bits % 8u;
    return memcmp(range->address, wide, whole) == 0 &&
           (rest == 0 || ((range->address[whole] ^ wide[whole]) >> (8 - rest)) == 0);
}

bool gy_dns_policy_allows(const struct gy_dns_policy *policy, const uint8_t *address,
                          uint32_t address_bytes, const struct gy_dns_key *key)
{
    uint8_t wide[16] = {0};
    if (address_bytes == 4 || address_bytes == 16) {
        widen(address, address_bytes, wide);
    }
    for (uint32_t i = 0; i < policy->rule_count; i++) {
        const struct gy_dns_rule *rule = &policy->rules[i];
        bool fits = rule->range_count == 0;
        for (uint32_t r = 0; r < rule->range_count && !fits; r++) {
            fits = address_bytes != 0 && within(&rule->ranges[r], wide);
        }
        if (fits && (rule->key.text == NULL || (key != NULL && rule->key.key == key))) {
            return true;
        }
    }
    return false;
}

bool gy_dns_policy_is_primary(const struct gy_dns_policy *policy, const uint8_t *address,
                              uint32_t address_bytes, const struct gy_dns_key *key)
{
    uint8_t wide[16];
    uint8_t other[16];
    if (address_bytes != 4 && address_bytes != 16) {
        return false;
    }
    widen(address, address_bytes, wide);
    for (uint32_t i = 0; i < policy->primary_count; i++) {
        const struct gy_dns_peer *peer = &policy->primaries[i];
        if (peer->address.any.sa_family == AF_INET) {
            widen((const uint8_t *)&peer->address.v4.sin_addr, 4, other);
        } else {
            widen((const uint8_t *)&peer->address.v6.sin6_addr, 16, other);
        }
        if (memcmp(wide, other, sizeof wide) == 0 &&
            (peer->key.text == NULL || peer->key.key == key)) {
            return true;
        }
    }
    return false;
}
