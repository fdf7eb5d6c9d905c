/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/transfer_out.h"

#include <string.h>

#include "core/cursor.h"
#include "core/error.h"

int gy_dns_transfer_serial(const uint8_t *message, size_t bytes, uint32_t *serial)
{
    struct gy_dns_message reading;
    struct gy_dns_record record;
    int code = gy_dns_message_open(&reading, message, bytes);
    while (code == 0 && gy_dns_message_next(&reading, &record) > 0) {
        size_t at = record.rdata_at;
        if (record.section != GY_DNS_AUTHORITY || record.type != GY_DNS_TYPE_SOA) {
            continue;
        }
        if (gy_dns_name_skip(message, bytes, &at) != 0 ||
            gy_dns_name_skip(message, bytes, &at) != 0) {
            return GY_EPROTO;
        }
        struct gy_reader reader = gy_reader_on(message + at, bytes - at);
        *serial = gy_reader_u32(&reader);
        bool inside = at + 20 == (size_t)record.rdata_at + record.rdata_bytes;
        return reader.failed || !inside ? GY_EPROTO : 0;
    }
    return GY_EPROTO;
}

/* Those from the asker's version on, if they are known and no more than the zone. */
static void choose(struct gy_dns_transfer_out *out, const struct gy_dns_differences *differences,
                   uint32_t serial, const struct gy_dns_zone_facts *facts)
{
    uint64_t bytes = 0;
    for (uint32_t i = differences->count; i > 0; i--) {
        const struct gy_dns_difference *difference = differences->list[i - 1];
        bool chained = difference->to ==
                       (i == differences->count ? facts->serial : differences->list[i]->from);
        gy_assert(chained);
        bytes += difference->bytes;
        if (bytes > facts->bytes) {
            return;
        }
        if (difference->from == serial) {
            out->differences = differences->list + i - 1;
            out->difference_count = differences->count - (i - 1);
            out->incremental = true;
            return;
        }
    }
}

void gy_dns_transfer_out_begin(struct gy_dns_transfer_out *out, const struct gy_dns_zone *zone,
                               const struct gy_dns_differences *differences,
                               const struct gy_dns_transfer_query *query, struct gy_dns_tsig *tsig)
{
    struct gy_dns_zone_facts facts;
    gy_dns_zone_facts(zone, &facts);
    gy_dns_zone_walk(&out->walk, zone);
    out->tsig = tsig;
    out->waiting = false;
    out->first = true;
    out->failed = false;
    out->alone =
        query->type == GY_DNS_TYPE_IXFR && !gy_dns_serial_newer(facts.serial, query->serial);
    out->differences = NULL;
    out->difference_count = 0;
    out->incremental = false;
    out->at = 0;
    if (differences != NULL && query->type == GY_DNS_TYPE_IXFR && !out->alone) {
        choose(out, differences, query->serial, &facts);
    }
    out->phase = GY_DNS_OUT_RECORDS;
    out->id = query->id;
    out->type = query->type;
    out->flags = (uint16_t)(GY_DNS_FLAG_QR | GY_DNS_FLAG_AA | (query->flags & GY_DNS_FLAG_RD));
    out->records = 0;
    memcpy(out->name, query->name, gy_dns_name_bytes(query->name));
}

/* The next record between the SOA that comes first and the one that comes last. */
static bool fetch_middle(struct gy_dns_transfer_out *out)
{
    if (out->records == 0 || !(out->alone || out->incremental)) {
        return gy_dns_zone_walk_next(&out->walk, &out->record);
    }
    if (out->alone || out->difference_count == 0) {
        return false;
    }
    const struct gy_dns_difference *difference = *out->differences;
    gy_assert(out->at < difference->bytes);
    out->at += gy_dns_unpack(difference->packed + out->at, &out->record);
    if (out->at == difference->bytes) {
        out->differences++;
        out->difference_count--;
        out->at = 0;
    }
    return true;
}

/* The record that comes next into out->record; false: none. The SOA is the last one too. */
static bool fetch(struct gy_dns_transfer_out *out)
{
    if (out->waiting) {
        return true;
    }
    if (out->phase == GY_DNS_OUT_RECORDS && fetch_middle(out)) {
        out->waiting = true;
    } else if (out->phase == GY_DNS_OUT_RECORDS && !out->alone) {
        gy_dns_zone_walk(&out->walk, out->walk.zone);
        out->waiting = gy_dns_zone_walk_next(&out->walk, &out->record);
        gy_assert(out->waiting);
        out->phase = GY_DNS_OUT_LAST;
    } else {
        out->phase = GY_DNS_OUT_DONE;
    }
    return out->waiting;
}

static void open_message(struct gy_dns_transfer_out *out, uint8_t *bytes, size_t limit)
{
    gy_dns_builder_open(&out->builder, bytes, limit, out->id, out->flags);
    if (out->tsig != NULL) {
        int code = gy_dns_builder_reserve(&out->builder, gy_dns_tsig_answer_bytes(out->tsig));
        gy_assert(code == 0);
    }
    if (out->first) {
        int code = gy_dns_builder_question(&out->builder, out->name, out->type, GY_DNS_CLASS_IN);
        gy_assert(code == 0);
    }
}

/* Records until one does not fit. Whether there was one. */
static bool add_records(struct gy_dns_transfer_out *out)
{
    const struct gy_dns_record *record = &out->record;
    bool added = false;
    while (fetch(out)) {
        int code =
            gy_dns_builder_record(&out->builder, GY_DNS_ANSWER, record->owner, record->type,
                                  record->class, record->ttl, record->rdata, record->rdata_bytes);
        gy_assert(code == 0 || code == GY_ELIMIT);
        if (code != 0) {
            break;
        }
        out->waiting = false;
        out->records++;
        added = true;
    }
    return added;
}

size_t gy_dns_transfer_out_next(struct gy_dns_transfer_out *out, uint8_t *bytes, uint64_t now)
{
    if (!fetch(out)) {
        return 0;
    }
    open_message(out, bytes, GY_DNS_TRANSFER_MESSAGE_BYTES);
    if (!add_records(out)) {
        open_message(out, bytes, GY_DNS_MESSAGE_MAX);
        if (!add_records(out)) { /* beside what has to be there, it does not fit into any message */
            out->phase = GY_DNS_OUT_DONE;
            out->waiting = false;
            out->failed = true;
            return 0;
        }
    }
    size_t length = gy_dns_builder_close(&out->builder);
    out->first = false;
    if (out->tsig != NULL) {
        int all = gy_dns_tsig_sign_answer(out->tsig, bytes, length, GY_DNS_MESSAGE_MAX, now);
        gy_assert(all > 0); /* room was kept for it */
        length = (size_t)all;
    }
    return length;
}
