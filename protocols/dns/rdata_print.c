/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "protocols/dns/rdata_internal.h"
#include "protocols/dns/rdata_words.h"

static uint64_t number(const uint8_t *data, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | data[i];
    }
    return value;
}

static void print_name(struct gy_writer *out, const uint8_t *name)
{
    char text[GY_DNS_NAME_TEXT_BYTES];
    gy_writer_bytes(out, text, gy_dns_name_to_text(name, text));
}

static void print_type(struct gy_writer *out, uint16_t type)
{
    char text[GY_DNS_MNEMONIC_BYTES];
    gy_writer_text(out, gy_dns_type_text(type, text));
}

static void print_strings(struct gy_writer *out, const uint8_t *data, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += data[at] + 1u) {
        if (at > 0) {
            gy_writer_u8(out, ' ');
        }
        text_put_quoted(out, data + at + 1, data[at]);
    }
}

/* Each with a blank before it, so that an empty bitmap leaves none behind. */
static void print_bitmap(struct gy_writer *out, const uint8_t *data, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 2u + data[at + 1]) {
        for (unsigned bit = 0; bit < data[at + 1] * 8u; bit++) {
            if ((data[at + 2 + bit / 8] & 0x80u >> (bit & 7)) != 0) {
                gy_writer_u8(out, ' ');
                print_type(out, (uint16_t)(data[at] << 8 | bit));
            }
        }
    }
}

static void print_groups(struct gy_writer *out, const uint8_t *data, unsigned bytes, unsigned group,
                         char between)
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < bytes; i++) {
        if (i > 0 && i % group == 0) {
            gy_writer_u8(out, (uint8_t)between);
        }
        gy_writer_u8(out, (uint8_t)digits[data[i] >> 4]);
        gy_writer_u8(out, (uint8_t)digits[data[i] & 15]);
    }
}

static void print_certificate(struct gy_writer *out, uint16_t type)
{
    for (size_t i = 0; i < sizeof rdata_certificates / sizeof rdata_certificates[0]; i++) {
        if (rdata_certificates[i].number == type) {
            gy_writer_text(out, rdata_certificates[i].word);
            return;
        }
    }
    gy_writer_decimal(out, type);
}

static void print_bytes(struct gy_writer *out, char kind, const uint8_t *data, size_t bytes)
{
    switch (kind) {
    case 'h':
        text_put_hex(out, data, bytes);
        break;
    case 'b':
        text_put_base64(out, data, bytes);
        break;
    case 'x':
        if (data[0] == 0) {
            gy_writer_u8(out, '-');
        }
        text_put_hex(out, data + 1, data[0]);
        break;
    default:
        gy_assert(kind == 'B');
        text_put_base32hex(out, data + 1, data[0]);
        break;
    }
}

static void print_field(struct gy_writer *out, char kind, const uint8_t *data, size_t bytes)
{
    switch (kind) {
    case 'n':
    case 'N':
    case 'M':
        print_name(out, data);
        break;
    case '1':
    case '2':
    case '4':
    case 't':
    case 'g':
        gy_writer_decimal(out, number(data, bytes));
        break;
    case 'T':
        text_put_time(out, (uint32_t)number(data, bytes));
        break;
    case 'a':
        text_put_ipv4(out, data);
        break;
    case 'A':
        text_put_ipv6(out, data);
        break;
    case 's':
        text_put_quoted(out, data + 1, data[0]);
        break;
    case 'S':
        print_strings(out, data, bytes);
        break;
    case 'i':
        gy_writer_bytes(out, data + 1, data[0]);
        break;
    case 'q':
        text_put_quoted(out, data, bytes);
        break;
    case 'y':
        print_type(out, (uint16_t)number(data, bytes));
        break;
    case 'c':
        print_certificate(out, (uint16_t)number(data, bytes));
        break;
    case 'm':
        print_bitmap(out, data, bytes);
        break;
    case 'e':
    case 'E':
        print_groups(out, data, (unsigned)bytes, 1, '-');
        break;
    case 'X':
        print_groups(out, data, 8, 2, ':');
        break;
    case 'L':
        rdata_print_location(out, data);
        break;
    case 'P':
        rdata_print_prefixes(out, data, bytes);
        break;
    case 'v':
        rdata_print_parameters(out, data, bytes);
        break;
    default:
        print_bytes(out, kind, data, bytes);
        break;
    }
}

/* Does the field bring its blank itself? */
static bool brings_blank(char kind)
{
    return kind == 'm' || kind == 'v';
}

static void print_rdata(struct gy_writer *out, uint16_t type, const uint8_t *rdata, size_t bytes)
{
    const char *fields = gy_dns_type_fields(type);
    size_t at = 0;
    bool empty_end = bytes == 0 && strcmp(fields, "P") != 0;
    if (*fields == 0 || empty_end || gy_dns_rdata_check(type, rdata, bytes) != 0) {
        gy_writer_text(out, "\\# ");
        gy_writer_decimal(out, bytes);
        if (bytes > 0) {
            gy_writer_u8(out, ' ');
            text_put_hex(out, rdata, bytes);
        }
        return;
    }
    for (const char *field = fields; *field != 0; field++) {
        int length = gy_dns_field_bytes(*field, rdata + at, bytes - at);
        gy_assert(length >= 0);
        if (field != fields && !brings_blank(*field)) {
            gy_writer_u8(out, ' ');
        }
        if ((length == 0 && strchr("hb", *field) != NULL) ||
            (*field == 'v' && rdata_parameters_contradict(rdata + at, (size_t)length) != NULL)) {
            /* It would not be read back: nothing as a missing field, the other as a mistake. */
            out->at = out->start;
            gy_writer_text(out, "\\# ");
            gy_writer_decimal(out, bytes);
            gy_writer_u8(out, ' ');
            text_put_hex(out, rdata, bytes);
            return;
        }
        print_field(out, *field, rdata + at, (size_t)length);
        at += (size_t)length;
    }
}

int gy_dns_rdata_to_text(uint16_t type, const uint8_t *rdata, size_t bytes, char *text, size_t room)
{
    struct gy_writer out = gy_writer_on(text, room);
    print_rdata(&out, type, rdata, bytes);
    gy_writer_u8(&out, 0);
    return out.failed ? GY_ELIMIT : (int)gy_writer_length(&out) - 1;
}

int gy_dns_record_to_text(const uint8_t *owner, uint16_t type, uint16_t class, uint32_t ttl,
                          const uint8_t *rdata, size_t bytes, char *text, size_t room)
{
    struct gy_writer out = gy_writer_on(text, room);
    char word[GY_DNS_MNEMONIC_BYTES];
    print_name(&out, owner);
    gy_writer_u8(&out, '\t');
    gy_writer_decimal(&out, ttl);
    gy_writer_u8(&out, '\t');
    gy_writer_text(&out, gy_dns_class_text(class, word));
    gy_writer_u8(&out, '\t');
    gy_writer_text(&out, gy_dns_type_text(type, word));
    gy_writer_u8(&out, '\t');
    size_t length = gy_writer_length(&out);
    if (out.failed) {
        return GY_ELIMIT;
    }
    int data = gy_dns_rdata_to_text(type, rdata, bytes, text + length, room - length);
    return data < 0 ? data : (int)length + data;
}
