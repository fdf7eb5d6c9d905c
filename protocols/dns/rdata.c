/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "protocols/dns/rdata_internal.h"

/* One or more windows in ascending order, each without trailing zeros (RFC 4034 §4.1.2). */
static int check_bitmap(const uint8_t *data, size_t bytes)
{
    int window = -1;
    for (size_t at = 0; at < bytes;) {
        if (bytes - at < 3 || data[at] <= window || data[at + 1] < 1 || data[at + 1] > 32 ||
            bytes - at - 2 < data[at + 1] || data[at + 1 + data[at + 1]] == 0) {
            return GY_EPROTO;
        }
        window = data[at];
        at += 2u + data[at + 1];
    }
    return (int)bytes;
}

static int check_strings(const uint8_t *data, size_t bytes)
{
    size_t at = 0;
    while (at < bytes && bytes - at > data[at]) {
        at += data[at] + 1u;
    }
    return at == bytes && bytes > 0 ? (int)bytes : GY_EPROTO;
}

/* CAA's tag: letters and digits (RFC 8659 §4.1). */
static int check_tag(const uint8_t *data, size_t left)
{
    if (left == 0 || data[0] == 0 || left - 1 < data[0]) {
        return GY_EPROTO;
    }
    for (unsigned i = 1; i <= data[0]; i++) {
        uint8_t c = data[i] | 32;
        if (!(c >= 'a' && c <= 'z') && !(data[i] >= '0' && data[i] <= '9')) {
            return GY_EPROTO;
        }
    }
    return data[0] + 1;
}

static int fixed(size_t bytes, size_t left)
{
    return left < bytes ? GY_EPROTO : (int)bytes;
}

static int counted(const uint8_t *data, size_t left, size_t at_least)
{
    return left < 1 || data[0] < at_least || left - 1 < data[0] ? GY_EPROTO : data[0] + 1;
}

int gy_dns_field_bytes(char kind, const uint8_t *data, size_t left)
{
    switch (kind) {
    case 'n':
    case 'N':
    case 'M':
        return gy_dns_name_check(data, left);
    case '1':
    case 'g':
        return fixed(1, left);
    case '2':
    case 'y':
    case 'c':
        return fixed(2, left);
    case '4':
    case 't':
    case 'T':
    case 'a':
        return fixed(4, left);
    case 'A':
        return fixed(16, left);
    case 'e':
        return fixed(6, left);
    case 'E':
    case 'X':
        return fixed(8, left);
    case 'L':
        return left >= 16 && data[0] == 0 ? 16 : GY_EPROTO;
    case 's':
    case 'x':
        return counted(data, left, 0);
    case 'B':
        return counted(data, left, 1);
    case 'S':
        return check_strings(data, left);
    case 'i':
        return check_tag(data, left);
    case 'q':
    case 'h':
    case 'b':
        return (int)left;
    case 'm':
        return check_bitmap(data, left);
    case 'P':
        return rdata_check_prefixes(data, left);
    case 'v':
        return rdata_check_parameters(data, left);
    default:
        gy_assert(!"a letter of the table");
        return GY_EPROTO;
    }
}

int gy_dns_rdata_check(uint16_t type, const uint8_t *rdata, size_t bytes)
{
    const char *fields = gy_dns_type_fields(type);
    size_t at = 0;
    if (bytes > GY_DNS_RDATA_MAX) {
        return GY_EPROTO;
    }
    if (*fields == 0) {
        return 0;
    }
    for (; *fields != 0; fields++) {
        int length = gy_dns_field_bytes(*fields, rdata + at, bytes - at);
        if (length < 0) {
            return GY_EPROTO;
        }
        at += (size_t)length;
    }
    return at == bytes ? 0 : GY_EPROTO;
}

int gy_dns_rdata_read(const struct gy_dns_message *message, const struct gy_dns_record *record,
                      uint8_t *rdata, size_t room)
{
    const char *fields = gy_dns_type_fields(record->type);
    size_t at = record->rdata_at, end = at + record->rdata_bytes;
    struct gy_writer out = gy_writer_on(rdata, room);
    gy_assert(end <= message->length);
    if (*fields == 0) {
        gy_writer_bytes(&out, message->bytes + at, end - at);
        return out.failed ? GY_ELIMIT : (int)record->rdata_bytes;
    }
    for (; *fields != 0; fields++) {
        if (*fields == 'n' || *fields == 'N') {
            uint8_t name[GY_DNS_NAME_MAX];
            int bytes = gy_dns_name_read(message->bytes, end, &at, name);
            if (bytes < 0) {
                return GY_EPROTO;
            }
            gy_writer_bytes(&out, name, (size_t)bytes);
            continue;
        }
        int bytes = gy_dns_field_bytes(*fields, message->bytes + at, end - at);
        if (bytes < 0) {
            return GY_EPROTO;
        }
        gy_writer_bytes(&out, message->bytes + at, (size_t)bytes);
        at += (size_t)bytes;
    }
    if (at != end) {
        return GY_EPROTO;
    }
    size_t length = gy_writer_length(&out);
    return out.failed || length > GY_DNS_RDATA_MAX ? GY_ELIMIT : (int)length;
}

void gy_dns_rdata_canonical(uint16_t type, uint8_t *rdata, size_t bytes)
{
    const char *fields = gy_dns_type_fields(type);
    size_t at = 0;
    for (; *fields != 0; fields++) {
        int length = gy_dns_field_bytes(*fields, rdata + at, bytes - at);
        gy_assert(length >= 0);
        if (*fields == 'n' || *fields == 'N') {
            gy_dns_name_lower(rdata + at, rdata + at);
        }
        at += (size_t)length;
    }
}
