/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Answers: a zone file, a zero byte, then queries, each behind two bytes: its length and how it
 * came. Any zone that is one, asked anything: at most one answer, a well-formed one, no longer than
 * was asked for; an error no longer than the query; the same alone as in a batch, and with less
 * room a truncated one.
 */

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
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
        rig_free(&rig);
    }
    rig_zone_free(&zone);
    return 0;
}
