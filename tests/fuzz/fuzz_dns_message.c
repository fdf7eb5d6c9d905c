/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Messages of DNS: any bytes are read record by record. What is well-formed is built again, with
 * and without room, and reads the same; its data printed, read back, is the same bytes.
 */

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "protocols/dns/edns.h"
#include "protocols/dns/rdata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char text[GY_DNS_RDATA_TEXT_BYTES];
static uint8_t rdata[GY_DNS_RDATA_MAX], again[GY_DNS_RDATA_MAX], built[GY_DNS_MESSAGE_MAX];

/* Wire to text to wire. LOC's sizes may be odd on the wire, and APL may cover less than it says. */
static void print_and_read(uint16_t type, size_t length)
{
    struct gy_error error = {0};
    int printed = gy_dns_rdata_to_text(type, rdata, length, text, sizeof text);
    gy_assert(printed >= 0 && strlen(text) == (size_t)printed);
    int back =
        gy_dns_rdata_from_text(type, text, (size_t)printed, NULL, again, sizeof again, &error);
    if (type == GY_DNS_TYPE_LOC) {
        return;
    }
    if (back < 0) { /* SVCB has bounds of its own for what is written */
        gy_assert(type == GY_DNS_TYPE_SVCB || type == GY_DNS_TYPE_HTTPS);
        return;
    }
    gy_assert((size_t)back == length && memcmp(rdata, again, length) == 0);
}

static void one_record(struct gy_dns_message *message, const struct gy_dns_record *record,
                       struct gy_dns_builder *builder)
{
    struct gy_dns_edns edns;
    gy_assert(gy_dns_name_bytes(record->owner) == record->owner_bytes);
    if (record->section == GY_DNS_QUESTION) {
        gy_dns_builder_question(builder, record->owner, record->type, record->class);
        return;
    }
    if (record->type == GY_DNS_TYPE_OPT) {
        gy_dns_edns_read(record, &edns);
    }
    int length = gy_dns_rdata_read(message, record, rdata, sizeof rdata);
    if (length < 0) {
        return;
    }
    gy_assert(gy_dns_rdata_check(record->type, rdata, (size_t)length) == 0);
    size_t before = builder->at;
    int code = gy_dns_builder_record(builder, record->section, record->owner, record->type,
                                     record->class, record->ttl, rdata, (size_t)length);
    gy_assert(code == 0 || (code == GY_ELIMIT && builder->at == before));
    print_and_read(record->type, (size_t)length);
    gy_dns_rdata_canonical(record->type, rdata, (size_t)length);
}

/* How many records it has, or an error; all that are well-formed go to the builder. */
static int read_all(const uint8_t *data, size_t bytes, struct gy_dns_builder *builder)
{
    struct gy_dns_message message;
    struct gy_dns_record record;
    int count = 0, more = gy_dns_message_open(&message, data, bytes);
    if (more != 0) {
        return more;
    }
    while ((more = gy_dns_message_next(&message, &record)) > 0) {
        one_record(&message, &record, builder);
        count++;
    }
    return more < 0 ? more : count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct gy_dns_builder builder, second;
    static uint8_t other[GY_DNS_MESSAGE_MAX];
    static const size_t limits[] = {12, 80, 512, GY_DNS_MESSAGE_MAX};
    if (bytes > 2048) {
        return 0; /* more of the same, and slow under sanitizers */
    }
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        gy_dns_builder_open(&builder, built, limits[i], 1, 0);
        read_all(data, bytes, &builder);
        uint32_t expected = 0;
        for (unsigned section = 0; section < GY_DNS_SECTIONS; section++) {
            expected += builder.header.count[section];
        }
        size_t length = gy_dns_builder_close(&builder);
        gy_assert(length <= limits[i]);
        gy_dns_builder_open(&second, other, sizeof other, 1, 0);
        int count = read_all(built, length, &second);
        gy_assert(count >= 0 && (uint32_t)count == expected);
    }
    return 0;
}
