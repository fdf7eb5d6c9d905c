/* SPDX-License-Identifier: GPL-3.0-or-later */

/* DNS alone: zone files in, zones, queries in, answers out. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/work/work.h"
#include "protocols/dns/answer.h"
#include "protocols/dns/patch.h"
#include "protocols/dns/zonefile.h"

#define SEED        0x5bd1e9955bd1e995u
#define NAMES       1000 /* of the zone files that are read, beside those of TOP */
#define RECORDS     (NAMES + 12)
#define QUERIES     (16 * 4096) /* of those that are spread over many names */
#define ANSWER_MAX  1232
#define MESSAGE_MAX 64
#define BLOCKS_MAX  4096
#define PATCHED     1000 /* names of the patched zones */

#define TOP                                                                                        \
    "$TTL 3600\n@ SOA ns1 hostmaster 2024010101 7200 900 1209600 300\n@ NS ns1\n@ NS ns2\n"        \
    "ns1 A 192.0.2.1\nns2 A 192.0.2.2\n@ MX 10 mail\nmail A 192.0.2.3\nwww CNAME mail\n"           \
    "* TXT \"a wildcard\"\ncut NS ns.cut\nns.cut A 192.0.2.4\nbelow.host0 A 192.0.2.5\n"

struct dns_work {
    char *text; /* of the zone file */
    size_t text_bytes;
    uint64_t records;
    void *pieces[BLOCKS_MAX]; /* the builder's memory: kept, and given out again */
    size_t piece_bytes[BLOCKS_MAX];
    uint32_t piece_count, piece_next;
    void *block;
    const struct gy_dns_zone *zone;
    struct gy_dns_zones zones;
    struct gy_dns_answer_settings settings;
    struct gy_dns_answerer *answerer;
    struct gy_dns_query queries[GY_DNS_BATCH];
    uint8_t answers[GY_DNS_BATCH][ANSWER_MAX];
    uint8_t (*messages)[MESSAGE_MAX];
    uint8_t *lengths;
    uint32_t message_count, message_next;
    void *patch_block;
    struct gy_dns_zone_walk walk;
};

/* ---- zone files ---- */

static void *piece_of(void *context, size_t bytes)
{
    struct dns_work *work = context;
    if (work->piece_next == work->piece_count) {
        gy_assert(work->piece_count < BLOCKS_MAX);
        work->pieces[work->piece_count] = work_memory(bytes);
        work->piece_bytes[work->piece_count++] = bytes;
    }
    gy_assert(work->piece_bytes[work->piece_next] >= bytes);
    return work->pieces[work->piece_next++];
}

static int count_record(void *context, struct gy_dns_zonefile *file,
                        const struct gy_dns_record *record, struct gy_error *error)
{
    (void)file;
    (void)record;
    (void)error;
    ((struct dns_work *)context)->records++;
    return 0;
}

static int add_record(void *context, struct gy_dns_zonefile *file,
                      const struct gy_dns_record *record, struct gy_error *error)
{
    (void)file;
    return gy_dns_zone_add(context, record, error);
}

static void read_file(struct dns_work *work, const struct gy_dns_zonefile_settings *settings)
{
    struct gy_dns_zonefile file;
    size_t used;
    gy_dns_zonefile_init(&file, settings, "zone", (const uint8_t *)"\7example");
    int code = gy_dns_zonefile_feed(&file, work->text, work->text_bytes, true, &used, NULL);
    gy_assert(code == 0 && used == work->text_bytes);
}

static void load(struct dns_work *work)
{
    const struct gy_dns_zone_settings settings = {
        .context = work, .memory = piece_of, .seed = SEED};
    size_t bytes;
    work->piece_next = 0;
    struct gy_dns_zone_builder *builder =
        gy_dns_zone_begin(&settings, (const uint8_t *)"\7example");
    const struct gy_dns_zonefile_settings reading = {.context = builder, .record = add_record};
    read_file(work, &reading);
    int code = gy_dns_zone_finish(builder, &bytes, NULL);
    gy_assert(code == 0);
    work->block = work->block == NULL ? work_memory(bytes) : work->block;
    work->zone = gy_dns_zone_write(builder, work->block);
}

static struct dns_work *file_open(uint32_t names)
{
    struct dns_work *work = work_memory(sizeof *work);
    work->text = work_memory(sizeof TOP + (size_t)names * 48);
    work->text_bytes = (size_t)sprintf(work->text, TOP);
    for (uint32_t i = 0; i < names; i++) {
        work->text_bytes +=
            (size_t)sprintf(work->text + work->text_bytes, "host%u\t3600\tIN\tA\t10.%u.%u.%u\n", i,
                            i >> 16, i >> 8 & 255, i & 255);
    }
    return work;
}

static void *open_file(void)
{
    return file_open(NAMES);
}

static void run_file(void *state, uint64_t iterations)
{
    struct dns_work *work = state;
    const struct gy_dns_zonefile_settings settings = {.context = work, .record = count_record};
    work->records = 0;
    for (uint64_t i = 0; i < iterations; i++) {
        read_file(work, &settings);
    }
    gy_assert(work->records == iterations * RECORDS);
}

static void run_load(void *state, uint64_t iterations)
{
    for (uint64_t i = 0; i < iterations; i++) {
        load(state);
    }
}

/* ---- answers ---- */

static void put_query(struct dns_work *work, uint32_t i, const char *name, uint16_t type,
                      uint16_t flags)
{
    uint8_t wire[GY_DNS_NAME_MAX];
    struct gy_dns_builder builder;
    struct gy_dns_opt opt;
    int bytes = gy_dns_name_from_text(name, strlen(name), NULL, wire, NULL);
    gy_assert(bytes > 0);
    gy_dns_builder_open(&builder, work->messages[i], MESSAGE_MAX, (uint16_t)i, 0);
    gy_dns_builder_question(&builder, wire, type, GY_DNS_CLASS_IN);
    gy_dns_opt_open(&opt, builder.bytes + builder.at, GY_DNS_OPT_BYTES, 1232, 0, flags);
    builder.at += gy_dns_opt_close(&opt);
    builder.header.count[GY_DNS_ADDITIONAL] = 1;
    work->lengths[i] = (uint8_t)gy_dns_builder_close(&builder);
}

static struct dns_work *answer_open(uint32_t names, uint32_t queries)
{
    struct dns_work *work = file_open(names);
    load(work);
    gy_dns_zones_init(&work->zones, work_memory(gy_dns_zones_bytes(1)), 1, SEED);
    int code = gy_dns_zones_add(&work->zones, work->zone);
    gy_assert(code == 0);
    work->settings.zones = &work->zones;
    work->answerer = gy_dns_answerer_init(work_memory(gy_dns_answerer_bytes()), &work->settings);
    work->messages = work_memory((size_t)queries * MESSAGE_MAX);
    work->lengths = work_memory(queries);
    work->message_count = queries;
    return work;
}

static void *open_same(const char *name, uint16_t type)
{
    struct dns_work *work = answer_open(1, GY_DNS_BATCH);
    for (uint32_t i = 0; i < GY_DNS_BATCH; i++) {
        put_query(work, i, name, type, 0);
    }
    return work;
}

static void *open_tiny(void)
{
    return open_same("host0.example.", GY_DNS_TYPE_A);
}

static void *open_missing(void)
{
    return open_same("no.such.below.host0.example.", GY_DNS_TYPE_A);
}

static void *open_referral(void)
{
    return open_same("www.cut.example.", GY_DNS_TYPE_A);
}

static void *open_alias(void)
{
    return open_same("www.example.", GY_DNS_TYPE_A);
}

static void *open_wildcard(void)
{
    return open_same("anything.example.", GY_DNS_TYPE_TXT);
}

static void *open_refused(void)
{
    return open_same("www.example.net.", GY_DNS_TYPE_A);
}

/* Queries for all names, in an order that no cache foresees. */
static void *open_large(uint32_t names)
{
    struct dns_work *work = answer_open(names, QUERIES);
    uint64_t random = SEED;
    for (uint32_t i = 0; i < QUERIES; i++) {
        char name[32];
        random = random * 6364136223846793005u + 1442695040888963407u;
        snprintf(name, sizeof name, "host%u.example.", (uint32_t)(random >> 33) % names);
        put_query(work, i, name, GY_DNS_TYPE_A, 0);
    }
    return work;
}

static void *open_100k(void)
{
    return open_large(100000);
}

static void *open_1m(void)
{
    return open_large(1000000);
}

/* The next queries. */
static void take_queries(struct dns_work *work)
{
    for (uint32_t i = 0; i < GY_DNS_BATCH; i++) {
        uint32_t next = work->message_next + i;
        struct gy_dns_query *query = &work->queries[i];
        query->message = work->messages[next];
        query->bytes = work->lengths[next];
        query->answer = work->answers[i];
        query->room = ANSWER_MAX;
        query->transport = GY_DNS_UDP;
    }
    work->message_next = (work->message_next + GY_DNS_BATCH) % work->message_count;
}

static void check_answers(const struct dns_work *work)
{
    for (uint32_t i = 0; i < GY_DNS_BATCH; i++) {
        gy_assert(work->queries[i].answer_bytes >= work->queries[i].bytes &&
                  !work->queries[i].truncated);
    }
}

static void run_answer(void *state, uint64_t iterations)
{
    struct dns_work *work = state;
    for (uint64_t n = 0; n < iterations; n++) {
        take_queries(work);
        gy_dns_answer(work->answerer, work->queries, GY_DNS_BATCH);
        check_answers(work);
    }
}

/* As over TCP, where each is another connection's. */
static void run_single(void *state, uint64_t iterations)
{
    struct dns_work *work = state;
    for (uint64_t n = 0; n < iterations; n++) {
        take_queries(work);
        for (uint32_t i = 0; i < GY_DNS_BATCH; i++) {
            gy_dns_answer(work->answerer, &work->queries[i], 1);
        }
        check_answers(work);
    }
}

static void run_foreseen(void *state, uint64_t iterations)
{
    struct dns_work *work = state;
    for (uint64_t n = 0; n < iterations; n++) {
        take_queries(work);
        gy_dns_prefetch(work->answerer, work->queries, GY_DNS_BATCH);
        for (uint32_t i = 0; i < GY_DNS_BATCH; i++) {
            gy_dns_answer(work->answerer, &work->queries[i], 1);
        }
        check_answers(work);
    }
}

/* ---- patches ---- */

static bool is_no_address(void *context, const struct gy_dns_record *record)
{
    (void)context;
    return record->type != GY_DNS_TYPE_A;
}

/* Another address for some names, and the SOA taken up as it is. */
static const struct gy_dns_zone *patch(struct dns_work *work, uint32_t first, uint32_t count)
{
    static const uint8_t address[4] = {192, 0, 2, 9};
    const struct gy_dns_zone_settings settings = {
        .context = work, .memory = piece_of, .seed = SEED};
    struct gy_dns_patch *patch = gy_dns_patch_begin(&settings, work->zone);
    size_t bytes;
    int code = 0;
    gy_assert(patch != NULL);
    for (uint32_t i = first; i < first + count && code == 0; i++) {
        uint8_t owner[GY_DNS_NAME_MAX];
        char name[32];
        snprintf(name, sizeof name, "host%u.example.", i);
        int owner_bytes = gy_dns_name_from_text(name, strlen(name), NULL, owner, NULL);
        const struct gy_dns_record record = {.owner = owner,
                                             .owner_bytes = (uint8_t)owner_bytes,
                                             .type = GY_DNS_TYPE_A,
                                             .class = GY_DNS_CLASS_IN,
                                             .ttl = 3600,
                                             .rdata = address,
                                             .rdata_bytes = sizeof address};
        code = gy_dns_patch_touch(patch, owner, &work->walk, is_no_address, NULL, NULL);
        code = code == 0 ? gy_dns_patch_add(patch, &record, NULL) : code;
    }
    code = code == 0 ? gy_dns_patch_finish(patch, &bytes, NULL) : code;
    gy_assert(code == 0);
    work->patch_block = work->patch_block == NULL ? work_memory(bytes) : work->patch_block;
    return gy_dns_patch_write(patch, work->patch_block);
}

static void *open_patched(void)
{
    struct dns_work *work = open_large(100000);
    work->piece_next = work->piece_count; /* memory of its own */
    work->zone = patch(work, 0, PATCHED);
    gy_dns_zones_init(&work->zones, work->zones.slots, 1, SEED);
    int code = gy_dns_zones_add(&work->zones, work->zone);
    gy_assert(code == 0);
    work->patch_block = NULL;
    return work;
}

static void run_patch(void *state, uint64_t iterations)
{
    struct dns_work *work = state;
    uint32_t pieces = work->piece_next;
    for (uint64_t i = 0; i < iterations; i++) {
        work->piece_next = pieces;
        patch(work, 2 * PATCHED, 1);
    }
    work->piece_next = pieces;
}

const struct work work_dns_rows[] = {
    {"dns-zonefile", "a record of a zone file", RECORDS, open_file, run_file, NULL},
    {"dns-load", "a record of a zone from its file", RECORDS, open_file, run_load, NULL},
    {"dns-answer", "an address, 16 queries in a batch", GY_DNS_BATCH, open_tiny, run_answer, NULL},
    {"dns-alias", "an alias and its address", GY_DNS_BATCH, open_alias, run_answer, NULL},
    {"dns-wildcard", "a record of a wildcard", GY_DNS_BATCH, open_wildcard, run_answer, NULL},
    {"dns-referral", "a delegation with glue", GY_DNS_BATCH, open_referral, run_answer, NULL},
    {"dns-nxdomain", "a name that does not exist", GY_DNS_BATCH, open_missing, run_answer, NULL},
    {"dns-refused", "a name of no zone", GY_DNS_BATCH, open_refused, run_answer, NULL},
};
const uint32_t work_dns_row_count = sizeof work_dns_rows / sizeof work_dns_rows[0];

const struct work work_dns_large_rows[] = {
    {"dns-answer-100k", "an address of one of 100,000 names", GY_DNS_BATCH, open_100k, run_answer,
     NULL},
    {"dns-single-100k", "the same, each answered alone", GY_DNS_BATCH, open_100k, run_single, NULL},
    {"dns-foreseen-100k", "the same, their memory fetched for 16 of them", GY_DNS_BATCH, open_100k,
     run_foreseen, NULL},
    {"dns-answer-1m", "an address of one of 1,000,000 names", GY_DNS_BATCH, open_1m, run_answer,
     NULL},
    {"dns-answer-patched", "an address of one of 100,000 names, 1,000 of them patched",
     GY_DNS_BATCH, open_patched, run_answer, NULL},
    {"dns-patch", "one more name of that zone patched", 1, open_patched, run_patch, NULL},
};
const uint32_t work_dns_large_row_count =
    sizeof work_dns_large_rows / sizeof work_dns_large_rows[0];
