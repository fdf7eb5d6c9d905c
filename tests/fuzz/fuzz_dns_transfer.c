/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What a primary may send to us, and what may be asked of us under a key. The first byte chooses:
 * bit 0: with a key, 1: the serial alone. Then come messages, each behind its length in two bytes;
 * what is taken makes a zone. The first message is also a request that is checked and answered. The
 * hash function is one that fuzzers can see through: every byte of a MAC is the sum of the bytes
 * before.
 */

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "protocols/dns/transfer_in.h"
#include "protocols/dns/transfer_out.h"
#include "protocols/dns/zone.h"

#define NOW        1000000u
#define PIECES_MAX 256
#define ROOM       (GY_DNS_MESSAGE_MAX + 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct sum {
    uint32_t begun;
    uint8_t value;
};

static void sum_begin(void *state, enum gy_dns_tsig_algorithm algorithm, const uint8_t *secret,
                      size_t secret_bytes)
{
    (void)algorithm;
    (void)secret;
    *(struct sum *)state = (struct sum){.begun = 0x5151, .value = (uint8_t)secret_bytes};
}

static void sum_add(void *state, const void *data, size_t bytes)
{
    struct sum *sum = state;
    const uint8_t *at = data;
    gy_assert(sum->begun == 0x5151);
    for (size_t i = 0; i < bytes; i++) {
        sum->value = (uint8_t)(sum->value + at[i]);
    }
}

static void sum_end(void *state, uint8_t mac[GY_DNS_MAC_MAX])
{
    struct sum *sum = state;
    gy_assert(sum->begun == 0x5151);
    memset(mac, sum->value, GY_DNS_MAC_MAX);
    sum->begun = 0;
}

static const struct gy_dns_hmac hmac = {sum_begin, sum_add, sum_end};
static const struct gy_dns_key key = {
    .algorithm = GY_DNS_TSIG_SHA1, .secret_bytes = 1, .name_bytes = 3, .name = "\1k"};
static const uint8_t apex[GY_DNS_NAME_PADDED] = "\1z";

static void *pieces[PIECES_MAX];
static uint32_t piece_count;
static struct gy_dns_transfer_in in;
static struct gy_dns_transfer_out out;
static struct gy_dns_tsig tsig;
static uint8_t message[ROOM];
static enum gy_dns_change changed; /* of the last record */

static void *take_memory(void *context, size_t bytes)
{
    (void)context;
    void *piece = piece_count < PIECES_MAX ? aligned_alloc(16, (bytes + 15) & ~(size_t)15) : NULL;
    if (piece != NULL) {
        pieces[piece_count++] = piece;
    }
    return piece;
}

/* Differences: in their order, each record the same once it is packed and unpacked. */
static void take_change(enum gy_dns_change change, const struct gy_dns_record *record)
{
    static uint8_t packed[GY_DNS_PACKED_BYTES + GY_DNS_NAME_MAX + GY_DNS_RDATA_MAX];
    struct gy_dns_record again;
    gy_assert(in.incremental);
    gy_assert(changed != GY_DNS_WHOLE ||
              (change == GY_DNS_REMOVED && record->type == GY_DNS_TYPE_SOA));
    gy_assert(change == changed || record->type == GY_DNS_TYPE_SOA);
    changed = change;
    gy_dns_pack(record, packed);
    gy_assert(gy_dns_unpack(packed, &again) == gy_dns_packed_bytes(record));
    gy_assert(again.type == record->type && again.ttl == record->ttl &&
              again.rdata_bytes == record->rdata_bytes &&
              gy_dns_name_equal(again.owner, record->owner) &&
              memcmp(again.rdata, record->rdata, record->rdata_bytes) == 0);
}

static int take_record(void *context, enum gy_dns_change change, const struct gy_dns_record *record,
                       struct gy_error *error)
{
    gy_assert(gy_dns_rdata_check(record->type, record->rdata, record->rdata_bytes) == 0);
    if (change != GY_DNS_WHOLE) {
        take_change(change, record);
        return 0;
    }
    gy_assert(!in.incremental);
    return gy_dns_zone_add(context, record, error);
}

static const struct gy_dns_key *find(const void *keys, const uint8_t *name)
{
    (void)keys;
    return memcmp(name, key.name, key.name_bytes) == 0 ? &key : NULL;
}

/* A request: checked, and an answer to it signed twice, as a transfer is. */
static void check_request(const uint8_t *asked, size_t bytes)
{
    uint32_t serial;
    gy_dns_transfer_serial(asked, bytes, &serial);
    int at = gy_dns_tsig_find(asked, bytes);
    if (at <= 0) {
        return;
    }
    uint16_t error =
        gy_dns_tsig_check_request(&tsig, &hmac, find, NULL, asked, bytes, (size_t)at, NOW);
    for (int i = 0; i < 2 && error != GY_DNS_RCODE_FORMERR; i++) {
        memset(message, 0, GY_DNS_HEADER_BYTES);
        size_t most = GY_DNS_HEADER_BYTES + gy_dns_tsig_answer_bytes(&tsig);
        int signed_bytes = gy_dns_tsig_sign_answer(&tsig, message, GY_DNS_HEADER_BYTES, most, NOW);
        gy_assert(signed_bytes > 0 && (size_t)signed_bytes <= most);
        gy_assert(gy_dns_tsig_find(message, (size_t)signed_bytes) == GY_DNS_HEADER_BYTES);
    }
    gy_dns_tsig_close(&tsig);
}

/* A zone that came whole goes out again, and has as many records. */
static void send_again(struct gy_dns_zone_builder *builder)
{
    const struct gy_dns_transfer_query query = {.name = apex, .type = GY_DNS_TYPE_AXFR};
    struct gy_dns_zone_facts facts;
    size_t bytes;
    if (gy_dns_zone_finish(builder, &bytes, NULL) != 0) {
        return;
    }
    void *memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    gy_assert(memory != NULL);
    const struct gy_dns_zone *zone = gy_dns_zone_write(builder, memory);
    gy_dns_zone_facts(zone, &facts);
    gy_dns_transfer_out_begin(&out, zone, NULL, &query, NULL);
    while (gy_dns_transfer_out_next(&out, message, NOW) > 0) {
    }
    gy_assert(out.failed || out.records == facts.records + 1);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct gy_dns_zone_settings settings = {.memory = take_memory, .seed = 1};
    struct gy_dns_zone_builder *builder = gy_dns_zone_begin(&settings, apex);
    uint8_t flags = bytes > 0 ? data[0] : 0;
    gy_assert(builder != NULL);
    in.record = take_record;
    in.context = builder;
    in.have = (uint32_t)flags >> 4;
    changed = GY_DNS_WHOLE;
    gy_dns_transfer_in_begin(&in, apex,
                             (flags & 2) != 0   ? GY_DNS_TYPE_SOA
                             : (flags & 4) != 0 ? GY_DNS_TYPE_IXFR
                                                : GY_DNS_TYPE_AXFR,
                             1, (flags & 1) != 0 ? &key : NULL, &hmac, message, NOW);
    int code = 0;
    for (size_t at = 1; code == 0 && at + 2 <= bytes;) {
        size_t length = (size_t)data[at] << 8 | data[at + 1];
        length = length < bytes - at - 2 ? length : bytes - at - 2;
        if (at == 1) {
            check_request(data + at + 2, length);
        }
        code = gy_dns_transfer_in_take(&in, data + at + 2, length, NOW, NULL);
        at += 2 + length;
    }
    if (code == 1 && (flags & 2) == 0 && !in.incremental && !in.current) {
        send_again(builder);
    }
    gy_dns_transfer_in_close(&in);
    while (piece_count > 0) {
        free(pieces[--piece_count]);
    }
    return 0;
}
