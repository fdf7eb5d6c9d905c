/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * DNS for gyre-load, over UDP, TCP (RFC 7766) and TLS (RFC 7858).
 *
 * Of each answer are checked: its id, that it is a response, that its question is the one that was
 * asked, its rcode, and that its records are there, all of them and nothing behind. An id is a
 * place's number and how often the place was used, as far as 16 bits go.
 */

#include <stdlib.h>
#include <string.h>

#include "bench/load/dns_queries.h"
#include "bench/load/load.h"
#include "core/siphash.h"
#include "protocols/dns/message.h"

#define PREFIX_BYTES 2 /* the length, on a stream */
#define ROOM_BYTES   320

_Static_assert(ROOM_BYTES >= PREFIX_BYTES + GY_DNS_HEADER_BYTES + GY_DNS_NAME_MAX + 4 + 11,
               "a query fits");

/* ---- what is counted ---- */

enum tally {
#define TALLY_ENUM(name, number) TALLY_##name,
    GY_DNS_RCODES(TALLY_ENUM)
#undef TALLY_ENUM
        TALLY_OTHER,
    TALLY_TRUNCATED,
    TALLIES
};

_Static_assert((int)TALLIES <= GY_LOAD_TALLIES_MAX, "each has its place");

static const char *dns_tally_name(uint32_t number)
{
    static const char *const names[] = {
#define TALLY_NAME(name, number) #name,
        GY_DNS_RCODES(TALLY_NAME)
#undef TALLY_NAME
            "other_rcodes",
        "truncated"};
    return number < TALLIES ? names[number] : NULL;
}

static enum tally tally_of(unsigned rcode)
{
    switch (rcode) {
#define TALLY_CASE(name, number)                                                                   \
    case number:                                                                                   \
        return TALLY_##name;
        GY_DNS_RCODES(TALLY_CASE)
#undef TALLY_CASE
    default:
        return TALLY_OTHER;
    }
}

/* ---- plan and state ---- */

struct dns_plan {
    struct gy_load_queries queries;
    unsigned prefix_bytes; /* of those before a message, how many are sent */
};

struct dns_state {
    const struct dns_plan *plan;
    uint32_t next;    /* query */
    uint32_t bits;    /* of an id that are a place's number */
    uint64_t *bodies; /* --check: a hash of each query's first answer; 0: none yet */
    uint64_t tallies[TALLIES];
};

static int dns_prepare(const struct gy_load_options *options, void **plan, struct gy_error *error)
{
    struct dns_plan *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return gy_error_set(error, GY_ENOMEM, "making queries: out of memory");
    }
    int code = gy_load_queries_open(&made->queries, options, error);
    if (code != 0) {
        free(made);
        return code;
    }
    made->prefix_bytes =
        options->protocol != NULL && !options->protocol->datagrams ? PREFIX_BYTES : 0;
    *plan = made;
    return 0;
}

static void dns_finish(void *plan)
{
    struct dns_plan *made = plan;
    gy_load_queries_close(&made->queries);
    free(made);
}

static void dns_state_open(void *state, const void *plan, const struct gy_load_options *options,
                           uint32_t thread)
{
    struct dns_state *dns = state;
    *dns = (struct dns_state){.plan = plan};
    uint64_t count = dns->plan->queries.count;
    dns->next = (uint32_t)(count * thread / options->threads); /* each a part of its own */
    while (1u << dns->bits < options->pipeline) {
        dns->bits++;
    }
    if (options->check) {
        dns->bodies = calloc(count, sizeof *dns->bodies);
    }
}

static void dns_state_close(void *state)
{
    free(((struct dns_state *)state)->bodies);
}

static const uint64_t *dns_tallies(void *state)
{
    return ((struct dns_state *)state)->tallies;
}

/* ---- a query ---- */

static uint16_t id_of(const struct dns_state *dns, const struct gy_load_place *place,
                      uint32_t number)
{
    return (uint16_t)(place->use << dns->bits | number);
}

static uint32_t dns_make(void *state, struct gy_load_place *place, uint32_t number, uint8_t *room)
{
    struct dns_state *dns = state;
    const struct gy_load_queries *queries = &dns->plan->queries;
    const struct gy_load_query *query = &queries->queries[dns->next];
    unsigned prefix_bytes = dns->plan->prefix_bytes;
    uint32_t bytes = query->message_bytes + prefix_bytes;
    memcpy(room, queries->bytes + query->at + PREFIX_BYTES - prefix_bytes, bytes);
    uint16_t id = id_of(dns, place, number);
    room[prefix_bytes] = (uint8_t)(id >> 8);
    room[prefix_bytes + 1] = (uint8_t)id;
    place->subject = dns->next;
    dns->next = dns->next + 1 < queries->count ? dns->next + 1 : 0;
    return bytes;
}

/* ---- an answer ---- */

static uint32_t word_at(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

/* Without regard to case: a server may give back its own. */
static bool is_question(const uint8_t *asked, const uint8_t *answered, uint32_t bytes)
{
    if (memcmp(asked, answered, bytes) == 0) {
        return true;
    }
    uint8_t name[GY_DNS_NAME_MAX + 4];
    gy_assert(bytes <= sizeof name);
    memcpy(name, answered, bytes);
    return gy_dns_name_check(name, bytes - 4) == (int)(bytes - 4) &&
           gy_dns_name_equal(name, asked) && memcmp(asked + bytes - 4, name + bytes - 4, 4) == 0;
}

/* Behind the name at `at`, whose labels are not looked at; beyond `bytes` where it is cut. */
static uint32_t skip_name(const uint8_t *message, uint32_t bytes, uint32_t at)
{
    while (at < bytes) {
        uint8_t length = message[at];
        if (length >= 0xc0) {
            return at + 2;
        }
        at += length + 1u;
        if (length == 0) {
            return at;
        }
    }
    return bytes + 1;
}

/* From `at` on, `count` records up to the message's end; the upper bits of the rcode are in OPT. */
static enum gy_load_progress walk(const uint8_t *message, uint32_t bytes, uint32_t at,
                                  uint32_t count, unsigned *rcode)
{
    for (uint32_t i = 0; i < count; i++) {
        at = skip_name(message, bytes, at);
        if (at > bytes || bytes - at < 10) {
            return GY_LOAD_CUT;
        }
        if (word_at(message + at) == GY_DNS_TYPE_OPT) {
            *rcode |= (unsigned)message[at + 4] << 4;
        }
        uint32_t data_bytes = word_at(message + at + 8);
        at += 10;
        if (bytes - at < data_bytes) {
            return GY_LOAD_CUT;
        }
        at += data_bytes;
    }
    return at == bytes ? GY_LOAD_ANSWER : GY_LOAD_BAD_FORM;
}

/* --check: every answer to a query is the first one, but for its id. */
static bool is_as_before(struct dns_state *dns, uint32_t query, const uint8_t *message,
                         uint32_t bytes)
{
    static const struct gy_siphash_key key = {{1, 2}};
    uint64_t hash = gy_siphash(&key, message + 2, bytes - 2) | 1;
    if (dns->bodies[query] == 0) {
        dns->bodies[query] = hash;
    }
    return dns->bodies[query] == hash;
}

static enum gy_load_progress judge(struct dns_state *dns, uint32_t number, const uint8_t *message,
                                   uint32_t bytes)
{
    const struct gy_load_query *query = &dns->plan->queries.queries[number];
    const uint8_t *asked =
        dns->plan->queries.bytes + query->at + PREFIX_BYTES + GY_DNS_HEADER_BYTES;
    uint32_t flags = word_at(message + 2), questions = word_at(message + 4);
    unsigned rcode = GY_DNS_RCODE_OF(flags);
    uint32_t at = GY_DNS_HEADER_BYTES;
    if ((flags & GY_DNS_FLAG_QR) == 0 || GY_DNS_OPCODE_OF(flags) != GY_DNS_OPCODE_QUERY ||
        questions > 1 || (questions == 0 && rcode == GY_DNS_RCODE_NOERROR)) {
        return GY_LOAD_BAD_FORM;
    }
    if (questions == 1) {
        if (bytes - at < query->question_bytes ||
            !is_question(asked, message + at, query->question_bytes)) {
            return GY_LOAD_BAD_QUESTION;
        }
        at += query->question_bytes;
    }
    uint32_t records = word_at(message + 6) + word_at(message + 8) + word_at(message + 10);
    enum gy_load_progress progress = walk(message, bytes, at, records, &rcode);
    if (progress != GY_LOAD_ANSWER) {
        return progress;
    }
    dns->tallies[tally_of(rcode)]++;
    dns->tallies[TALLY_TRUNCATED] += (flags & GY_DNS_FLAG_TC) != 0;
    if (rcode != GY_DNS_RCODE_NOERROR && rcode != GY_DNS_RCODE_NXDOMAIN &&
        rcode != GY_DNS_RCODE_YXDOMAIN) {
        return GY_LOAD_BAD_STATUS;
    }
    return dns->bodies != NULL && !is_as_before(dns, number, message, bytes) ? GY_LOAD_BAD_BODY
                                                                             : GY_LOAD_ANSWER;
}

static enum gy_load_progress dns_match(void *state, const struct gy_load_window *window,
                                       const uint8_t *message, uint32_t bytes, uint32_t *number)
{
    struct dns_state *dns = state;
    if (bytes < GY_DNS_HEADER_BYTES) {
        return GY_LOAD_BAD_BYTES;
    }
    uint32_t id = word_at(message), at = id & ((1u << dns->bits) - 1);
    if (at >= window->count) {
        return GY_LOAD_BAD_BYTES;
    }
    const struct gy_load_place *place = &window->places[at];
    if (!place->waits || id_of(dns, place, at) != id) {
        return GY_LOAD_STRAY;
    }
    *number = at;
    return judge(dns, place->subject, message, bytes);
}

/* ---- three transports ---- */

#define DNS_PROTOCOL                                                                               \
    .prepare = dns_prepare, .finish = dns_finish, .make_room = ROOM_BYTES, .make = dns_make,       \
    .match = dns_match, .tally_name = dns_tally_name, .tallies = dns_tallies,                      \
    .state_bytes = sizeof(struct dns_state), .state_open = dns_state_open,                         \
    .state_close = dns_state_close

const struct gy_load_protocol gy_load_dns = {
    .scheme = "dns",
    .help = "queries over UDP, those of --queries or one",
    .port = 53,
    .datagrams = true,
    DNS_PROTOCOL,
};

const struct gy_load_protocol gy_load_dns_tcp = {
    .scheme = "dns+tcp",
    .help = "likewise over TCP",
    .port = 53,
    DNS_PROTOCOL,
};

const struct gy_load_protocol gy_load_dns_tls = {
    .scheme = "dns+tls",
    .help = "likewise over TLS",
    .port = 853,
    .secure = true,
    .alpn = "dot", /* RFC 7858 §3.1, and the registry */
    DNS_PROTOCOL,
};
