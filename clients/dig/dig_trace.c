/* SPDX-License-Identifier: GPL-3.0-or-later */

/* +trace: from the root down, as a resolver would go. */

#include <string.h>

#include "clients/dig/dig.h"

#define LEVELS_MAX 32
#define NAMES_MAX  32

/* Whom a level's answer sends us to. */
struct referral {
    uint8_t zone[GY_DNS_NAME_PADDED];
    uint32_t count;
    struct {
        uint8_t name[GY_DNS_NAME_PADDED];
        struct gy_address addresses[4];
        uint32_t count; /* of glue */
    } servers[NAMES_MAX];
};

static void add_server(struct referral *referral, const struct gy_dns_message *message,
                       const struct gy_dns_record *record)
{
    if (referral->count < NAMES_MAX &&
        gy_dns_rdata_read(message, record, referral->servers[referral->count].name,
                          GY_DNS_NAME_MAX) > 0) {
        referral->servers[referral->count++].count = 0;
        memcpy(referral->zone, record->owner, record->owner_bytes);
    }
}

static void add_glue(struct referral *referral, const struct gy_dns_record *record,
                     const struct gy_dig_options *options)
{
    struct gy_dns_address address = {.length = record->type == GY_DNS_TYPE_A ? 4 : 16};
    struct gy_address core;
    if (record->rdata_bytes != address.length ||
        (options->family != 0 && (options->family == 4) != (address.length == 4))) {
        return;
    }
    memcpy(address.bytes, record->rdata, address.length);
    address.port = options->port != 0 ? options->port : options->tls ? 853 : 53;
    for (uint32_t i = 0; i < referral->count; i++) {
        if (gy_dns_name_equal(referral->servers[i].name, record->owner) &&
            referral->servers[i].count < 4 && gy_dns_address_to_core(&address, &core) == 0) {
            referral->servers[i].addresses[referral->servers[i].count++] = core;
        }
    }
}

/* Reads and prints what the level said: its answer, or whom it refers to. True: that is the end. */
static bool read_level(const struct gy_dig *dig, const struct gy_dig_query *query,
                       struct referral *referral, bool root)
{
    struct gy_dns_message message;
    struct gy_dns_record record;
    int more = gy_dns_message_open(&message, dig->reply, dig->reply_bytes);
    bool answered = message.header.count[GY_DNS_ANSWER] > 0 && !root;
    uint8_t wanted = answered || root ? GY_DNS_ANSWER : GY_DNS_AUTHORITY;
    referral->count = 0;
    while (more == 0 && gy_dns_message_next(&message, &record) > 0) {
        if (record.section == wanted) {
            dig_print_record(&message, &record, &query->options);
            if (query->options.brief) {
                putchar('\n');
            }
        }
        if (record.section == wanted && record.type == GY_DNS_TYPE_NS) {
            add_server(referral, &message, &record);
        } else if (record.section == GY_DNS_ADDITIONAL &&
                   (record.type == GY_DNS_TYPE_A || record.type == GY_DNS_TYPE_AAAA)) {
            add_glue(referral, &record, &query->options);
        }
    }
    return answered || referral->count == 0 ||
           GY_DNS_RCODE_OF(message.header.flags) != GY_DNS_RCODE_NOERROR;
}

static void tell_received(const struct gy_dig *dig, const struct gy_dig_query *query)
{
    char server[GY_ADDRESS_TEXT_BYTES];
    if (query->options.show_comments) {
        printf(";; Received %zu bytes from %s(%s) in %llu ms\n\n", dig->reply_bytes,
               dig_server_text(&dig->server, server), dig->server_name,
               (unsigned long long)(dig->took_ns / 1000000));
    }
}

/* Asks the servers of a level, one after the other, until one answers. */
static bool ask_level(struct gy_dig *dig, const struct gy_dig_query *query,
                      struct referral *referral)
{
    struct gy_address found[GY_QUERY_ADDRESSES];
    char name[GY_DNS_NAME_TEXT_BYTES];
    for (uint32_t i = 0; i < referral->count; i++) {
        gy_dns_name_to_text(referral->servers[i].name, name);
        const struct gy_address *addresses = referral->servers[i].addresses;
        uint32_t count = referral->servers[i].count;
        if (count == 0) {
            addresses = found;
            count = dig_resolve(dig, name, &query->options, found);
        }
        name[strlen(name) - 1] = '\0';
        for (uint32_t at = 0; at < count; at++) {
            if (dig_make_query(dig, query) == 0 && dig_ask(dig, query, &addresses[at], name)) {
                return true;
            }
        }
    }
    return false;
}

/* The root's servers, of whoever was asked. */
static int ask_root(struct gy_dig *dig, const struct gy_dig_query *query, struct referral *referral)
{
    struct gy_dig_query root = *query;
    struct gy_address servers[GY_QUERY_ADDRESSES];
    char text[GY_ADDRESS_TEXT_BYTES];
    root.name[0] = 0;
    root.type = GY_DNS_TYPE_NS;
    root.options.recurse = true;
    uint32_t count = dig_servers(dig, &query->options, servers);
    for (uint32_t i = 0; i < count; i++) {
        dig_server_text(&servers[i], text);
        text[strcspn(text, "#")] = '\0';
        if (dig_make_query(dig, &root) == 0 && dig_ask(dig, &root, &servers[i], text)) {
            read_level(dig, query, referral, true);
            tell_received(dig, query);
            return DIG_ANSWERED;
        }
    }
    printf(";; no servers could be reached\n");
    return DIG_NO_REPLY;
}

int dig_trace(struct gy_dig *dig, const struct gy_dig_query *asked)
{
    static struct referral referral;
    struct gy_dig_query query = *asked;
    uint8_t above[GY_DNS_NAME_PADDED] = {0};
    query.options.recurse = false;
    query.options.ad = false;
    int status = ask_root(dig, &query, &referral);
    if (status == DIG_ANSWERED && referral.count == 0) {
        printf(";; nobody said which are the root's servers\n");
        return DIG_NO_REPLY;
    }
    for (uint32_t level = 0; status == DIG_ANSWERED && level < LEVELS_MAX; level++) {
        memcpy(above, referral.zone, gy_dns_name_bytes(referral.zone));
        if (!ask_level(dig, &query, &referral)) {
            printf(";; no servers could be reached\n");
            return DIG_NO_REPLY;
        }
        bool end = read_level(dig, &query, &referral, false);
        tell_received(dig, &query);
        if (end) {
            break;
        }
        /* Each referral leads further down, to where the name is (RFC 1034 §5.3.3). */
        if (gy_dns_name_suffix(referral.zone, above) == NULL ||
            gy_dns_name_labels(referral.zone) <= gy_dns_name_labels(above) ||
            gy_dns_name_suffix(query.name, referral.zone) == NULL) {
            printf(";; BAD REFERRAL: it does not lead towards the name\n");
            break;
        }
    }
    return status;
}
