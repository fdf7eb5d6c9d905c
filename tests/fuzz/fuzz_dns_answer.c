/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Answers: a zone file, a zero byte, then queries, each behind two bytes: its length and how it
 * came. Any zone that is one, asked anything: at most one answer, a well-formed one, no longer than
 * was asked for; an error no longer than the query; the same alone as in a batch, and with less
 * room a truncated one. Then some of its records are taken out by a patch, and put in again by
 * another: what is patched answers as what is built from the same records.
 */

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "protocols/dns/patch.h"
#include "tests/dns/rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define QUERIES_MAX 20

static struct rig_zone zone;
static struct rig rig;
static uint8_t answers[QUERIES_MAX][GY_DNS_MESSAGE_MAX];

static void check(const struct gy_dns_query *query, uint32_t limit)
{
    if (query->answer_bytes == 0) {
        gy_assert(query->outcome == GY_DNS_DROPPED);
        return;
    }
    gy_assert(query->bytes >= GY_DNS_HEADER_BYTES && query->answer_bytes <= limit);
    gy_assert((query->message[2] & 0x80) == 0 && (query->answer[2] & 0x80) != 0);
    gy_assert(memcmp(query->message, query->answer, 2) == 0);
    if (query->transport == GY_DNS_UDP && query->rcode != 0 &&
        query->rcode != GY_DNS_RCODE_NXDOMAIN && query->rcode != GY_DNS_RCODE_YXDOMAIN) {
        gy_assert(query->answer_bytes <= query->bytes);
    }
    rig_text(query->answer, query->answer_bytes); /* asserts that it is well-formed */
}

/* What the asker can take, as RFC 6891 §6.2.3 has it. */
static uint32_t limit_of(const struct gy_dns_query *query)
{
    if (query->transport != GY_DNS_UDP) {
        return query->room;
    }
    return query->has_edns ? GY_DNS_UDP_USUAL : GY_DNS_UDP_MIN;
}

static uint32_t cut_queries(struct gy_dns_query *queries, const uint8_t *data, size_t bytes)
{
    uint32_t count = 0;
    while (bytes >= 2 && count < QUERIES_MAX) {
        uint32_t length = data[0] < bytes - 2 ? data[0] : (uint32_t)(bytes - 2);
        uint8_t *copy = malloc(length + (length == 0));
        gy_assert(copy != NULL);
        memcpy(copy, data + 2, length);
        queries[count] = (struct gy_dns_query){.message = copy,
                                               .bytes = length,
                                               .answer = answers[count],
                                               .room = GY_DNS_MESSAGE_MAX,
                                               .now = 1000,
                                               .transport = data[1] % 3,
                                               .address_bytes = (data[1] & 4) != 0 ? 16 : 4};
        count++;
        data += 2 + length;
        bytes -= 2 + length;
    }
    return count;
}

static void ask_all(const uint8_t *data, size_t bytes)
{
    static struct gy_dns_query queries[QUERIES_MAX];
    uint32_t count = cut_queries(queries, data, bytes);
    gy_dns_answer(rig.answerer, queries, count);
    for (uint32_t i = 0; i < count; i++) {
        struct gy_dns_query soon = {.message = queries[i].message,
                                    .bytes = queries[i].bytes,
                                    .transport = queries[i].transport};
        gy_dns_prefetch(rig.answerer, &soon, 1);
        check(&queries[i], limit_of(&queries[i]));
        struct gy_dns_query one = queries[i];
        one.answer = rig.answer;
        gy_dns_answer(rig.answerer, &one, 1);
        gy_assert(one.answer_bytes == queries[i].answer_bytes &&
                  memcmp(one.answer, queries[i].answer, one.answer_bytes) == 0);
        /* Exactly the least room there may be. */
        one.answer = malloc(GY_DNS_UDP_MIN);
        one.room = GY_DNS_UDP_MIN;
        gy_assert(one.answer != NULL);
        gy_dns_answer(rig.answerer, &one, 1);
        check(&one, GY_DNS_UDP_MIN);
        if (one.answer_bytes > 0 && one.outcome == GY_DNS_ANSWERED) {
            gy_dns_answer_slip(&one);
            gy_assert(one.answer_bytes <= one.bytes);
        }
        free(one.answer);
        free((void *)(uintptr_t)queries[i].message);
    }
}

static void walk(void)
{
    static struct gy_dns_zone_walk walk;
    struct gy_dns_record record;
    struct gy_dns_zone_facts facts;
    uint64_t count = 0;
    gy_dns_zone_facts(zone.zone, &facts);
    gy_dns_zone_walk(&walk, zone.zone);
    while (gy_dns_zone_walk_next(&walk, &record)) {
        gy_assert(gy_dns_rdata_check(record.type, record.rdata, record.rdata_bytes) == 0);
        count++;
    }
    gy_assert(count == facts.records);
}

/* ---- patches ---- */

#define PIECES_MAX 256

/* Versions of the zone, and the memory that they were made in. */
struct versions {
    void *pieces[PIECES_MAX];
    uint32_t count;
    uint64_t bits; /* which records are taken out */
    struct gy_dns_zone_walk walk, inner;
};

static struct versions versions;
static struct rig patched_rig;

static void *take_memory(void *context, size_t bytes)
{
    (void)context;
    gy_assert(versions.count < PIECES_MAX);
    void *piece = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    versions.pieces[versions.count++] = piece;
    return piece;
}

/* Is it one of those that go? Never the SOA, nor the apex's name servers. */
static bool goes(const struct gy_dns_record *record)
{
    uint64_t hash = versions.bits ^ record->type;
    bool apex = gy_dns_name_equal(record->owner, gy_dns_zone_apex(zone.zone));
    for (uint32_t i = 0; i < record->owner_bytes + record->rdata_bytes; i++) {
        uint8_t byte =
            i < record->owner_bytes ? record->owner[i] : record->rdata[i - record->owner_bytes];
        hash = (hash ^ byte) * 0x9e3779b97f4a7c15u;
    }
    return record->type != GY_DNS_TYPE_SOA && !(apex && record->type == GY_DNS_TYPE_NS) &&
           (hash >> 60 & 3) == 0;
}

static bool stays(void *context, const struct gy_dns_record *record)
{
    const bool *removing = context;
    return record->type != GY_DNS_TYPE_SOA && !(*removing && goes(record));
}

/* The records that change, into a patch or a builder; the SOA behind them. `from` has all. */
static int change(const struct gy_dns_zone *from, bool removing, struct gy_dns_patch *patch,
                  struct gy_dns_zone_builder *builder)
{
    struct gy_dns_record record, soa;
    static uint8_t soa_data[2 * GY_DNS_NAME_MAX + 20];
    int code = 0;
    gy_dns_zone_walk(&versions.walk, from);
    gy_dns_zone_walk_next(&versions.walk, &soa);
    memcpy(soa_data, soa.rdata, soa.rdata_bytes);
    soa.rdata = soa_data;
    if (patch != NULL) {
        code = gy_dns_patch_touch(patch, soa.owner, &versions.inner, stays, &removing, NULL);
    }
    while (code == 0 && gy_dns_zone_walk_next(&versions.walk, &record)) {
        if (patch != NULL && goes(&record)) {
            code = gy_dns_patch_touch(patch, record.owner, &versions.inner, stays, &removing, NULL);
        }
        if (code == 0 && goes(&record) && !removing) {
            code = patch != NULL ? gy_dns_patch_add(patch, &record, NULL)
                                 : gy_dns_zone_add(builder, &record, NULL);
        }
    }
    if (code == 0) {
        code = patch != NULL ? gy_dns_patch_add(patch, &soa, NULL)
                             : gy_dns_zone_add(builder, &soa, NULL);
    }
    return code;
}

/* The next version of `old` as a patch. */
static int make_patch(const struct gy_dns_zone_settings *settings, const struct gy_dns_zone *old,
                      bool removing, const struct gy_dns_zone **made)
{
    size_t bytes = 0;
    struct gy_dns_patch *patch = gy_dns_patch_begin(settings, old);
    int code = change(zone.zone, removing, patch, NULL);
    code = code == 0 ? gy_dns_patch_finish(patch, &bytes, NULL) : code;
    if (code == 0) {
        *made = gy_dns_patch_write(patch, take_memory(NULL, bytes));
    }
    return code;
}

/* The same laid out anew. */
static int make_anew(const struct gy_dns_zone_settings *settings, const struct gy_dns_zone *old,
                     bool removing, const struct gy_dns_zone **made)
{
    size_t bytes = 0;
    struct gy_dns_record record;
    struct gy_dns_zone_builder *builder = gy_dns_zone_begin(settings, gy_dns_zone_apex(zone.zone));
    int code = 0;
    gy_dns_zone_walk(&versions.walk, old);
    while (code == 0 && gy_dns_zone_walk_next(&versions.walk, &record)) {
        code = stays(&removing, &record) ? gy_dns_zone_add(builder, &record, NULL) : 0;
    }
    code = code == 0 ? change(zone.zone, removing, NULL, builder) : code;
    code = code == 0 ? gy_dns_zone_finish(builder, &bytes, NULL) : code;
    if (code == 0) {
        *made = gy_dns_zone_write(builder, take_memory(NULL, bytes));
    }
    return code;
}

static void serve(struct rig *served, const struct gy_dns_zone *version)
{
    struct rig_zone holder = {.zone = version};
    rig_init(served, 1);
    rig_add(served, &holder);
}

static void ask_both(const struct gy_dns_zone *patched, const struct gy_dns_zone *anew,
                     const uint8_t *data, size_t bytes)
{
    static struct gy_dns_query queries[QUERIES_MAX], others[QUERIES_MAX];
    struct gy_dns_zone_facts one, two;
    gy_dns_zone_facts(patched, &one);
    gy_dns_zone_facts(anew, &two);
    gy_assert(one.records == two.records && one.rrsets == two.rrsets && one.names == two.names &&
              one.has_nsec == two.has_nsec && one.has_nsec3 == two.has_nsec3);
    serve(&rig, anew);
    serve(&patched_rig, patched);
    uint32_t count = cut_queries(queries, data, bytes);
    gy_dns_answer(rig.answerer, queries, count);
    for (uint32_t i = 0; i < count; i++) {
        others[i] = queries[i];
        others[i].answer = patched_rig.answer;
        gy_dns_answer(patched_rig.answerer, &others[i], 1);
        gy_assert(others[i].answer_bytes == queries[i].answer_bytes &&
                  memcmp(others[i].answer, queries[i].answer, queries[i].answer_bytes) == 0);
        free((void *)(uintptr_t)queries[i].message);
    }
    rig_free(&rig);
    rig_free(&patched_rig);
}

static void patch_twice(const uint8_t *data, size_t bytes, uint64_t seed)
{
    const struct gy_dns_zone_settings settings = {.memory = take_memory, .seed = seed};
    const struct gy_dns_zone *patched = zone.zone, *anew = zone.zone;
    versions.count = 0;
    versions.bits = bytes;
    for (size_t i = 0; i < bytes && i < 64; i++) {
        versions.bits = (versions.bits ^ data[i]) * 0xbf58476d1ce4e5b9u;
    }
    for (int removing = 1; removing >= 0; removing--) {
        const struct gy_dns_zone *next = NULL, *other = NULL;
        int code = make_patch(&settings, patched, removing != 0, &next);
        int expected = make_anew(&settings, anew, removing != 0, &other);
        gy_assert(code == expected || (code == GY_ENOTSUP && expected == 0));
        if (expected != 0) {
            break;
        }
        anew = other;
        patched = code == 0 ? next : other;
        ask_both(patched, anew, data, bytes);
    }
    while (versions.count > 0) {
        free(versions.pieces[--versions.count]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const uint8_t *zero = bytes > 0 && bytes <= 16384 ? memchr(data, 0, bytes) : NULL;
    if (zero == NULL) {
        return 0;
    }
    rig_zone_load(&zone, "example.", (const char *)data, (size_t)(zero - data), 0);
    if (zone.zone != NULL) {
        rig_init(&rig, 1);
        rig.settings.secrets = 1;
        rig.settings.keepalive = 100;
        rig.settings.nsid = (const uint8_t *)"here";
        rig.settings.nsid_bytes = 4;
        rig_add(&rig, &zone);
        walk();
        ask_all(zero + 1, (size_t)(data + bytes - zero) - 1);
        uint64_t seed = rig.zones.seed;
        rig_free(&rig);
        patch_twice(zero + 1, (size_t)(data + bytes - zero) - 1, seed);
    }
    rig_zone_free(&zone);
    return 0;
}
