/* SPDX-License-Identifier: GPL-3.0-or-later */

/* LOC (RFC 1876) and APL (RFC 3123). */

#include <string.h>

#include "protocols/dns/rdata_internal.h"

/* ---- LOC ---- */

#define EQUATOR 0x80000000u /* and the prime meridian; in units of 1/1000 of an arc second */

/* Decimal with at most `places` behind the point, in units of the last place. */
static int parse_fraction(const char *text, size_t bytes, unsigned places, int64_t *value)
{
    bool negative = bytes > 0 && text[0] == '-', point = false;
    unsigned digits = 0, behind = 0;
    int64_t total = 0;
    for (size_t i = negative; i < bytes; i++) {
        if (text[i] == '.' && !point) {
            point = true;
            continue;
        }
        if (text[i] < '0' || text[i] > '9' || digits == 12 || (point && behind == places)) {
            return GY_EINVAL;
        }
        total = total * 10 + (text[i] - '0');
        digits++;
        behind += point;
    }
    for (; behind < places; behind++) {
        total *= 10;
    }
    *value = negative ? -total : total;
    return digits > 0 ? 0 : GY_EINVAL;
}

/* Degrees, minutes, seconds, and the letter of the hemisphere. */
static int parse_angle(struct rdata_in *in, const char letters[3], unsigned degrees_max,
                       uint32_t *angle)
{
    static const int64_t unit[3] = {3600000, 60000, 1};
    int64_t total = 0, value;
    for (unsigned part = 0; part < 4; part++) {
        int error = rdata_word(in);
        if (error != 0) {
            return error;
        }
        const struct scanner *word = in->scanner;
        char letter = word->bytes == 1 ? (char)(word->text[0] & 0xdf) : 0;
        if (part > 0 && (letter == letters[0] || letter == letters[1])) {
            if (total > (int64_t)degrees_max * 3600000) {
                break;
            }
            *angle = (uint32_t)(letter == letters[0] ? EQUATOR + total : EQUATOR - total);
            return 0;
        }
        if (part == 3 || parse_fraction(word->text, word->bytes, part == 2 ? 3 : 0, &value) != 0 ||
            value < 0 ||
            value >= (part == 0   ? 181
                      : part == 1 ? 60
                                  : 60000)) {
            break;
        }
        total += value * unit[part];
    }
    return rdata_fail(in, "write degrees, minutes, seconds and N or S, then the same and E or W, "
                          "then metres: 52 22 23.000 N 4 53 32.000 E -2.00m");
}

/* Metres in centimetres, with or without an m behind. */
static int parse_metres(const struct scanner *word, int64_t *centimetres)
{
    size_t bytes = word->bytes;
    if (bytes > 0 && (word->text[bytes - 1] | 32) == 'm') {
        bytes--;
    }
    return parse_fraction(word->text, bytes, 2, centimetres);
}

int rdata_parse_location(struct rdata_in *in)
{
    uint32_t latitude, longitude;
    uint8_t sizes[3] = {0x12, 0x16, 0x13}; /* 1 m, 10 km, 10 m */
    int64_t altitude, value;
    int error = parse_angle(in, "NS", 90, &latitude);
    if (error == 0) {
        error = parse_angle(in, "EW", 180, &longitude);
    }
    if (error == 0) {
        error = rdata_word(in);
    }
    if (error != 0) {
        return error;
    }
    if (parse_metres(in->scanner, &altitude) != 0 || altitude < -10000000 ||
        altitude > 4284967295) {
        return rdata_fail(in, "an altitude is from -100000.00m to 42849672.95m");
    }
    int more = 0;
    for (unsigned i = 0; (more = rdata_word_or_end(in)) > 0; i++) {
        uint8_t exponent = 0;
        if (i == 3 || parse_metres(in->scanner, &value) != 0 || value < 0 || value > 9000000000) {
            return rdata_fail(in, "sizes and precisions are up to three lengths, to 90000000.00m");
        }
        for (; value > 9; value /= 10) {
            exponent++;
        }
        sizes[i] = (uint8_t)(value << 4 | exponent);
    }
    gy_writer_u8(&in->out, 0);
    gy_writer_bytes(&in->out, sizes, 3);
    gy_writer_u32(&in->out, latitude);
    gy_writer_u32(&in->out, longitude);
    gy_writer_u32(&in->out, (uint32_t)(altitude + 10000000));
    return more;
}

static void print_fixed(struct gy_writer *out, uint64_t value, unsigned places)
{
    uint64_t unit = places == 2 ? 100 : 1000;
    gy_writer_decimal(out, value / unit);
    gy_writer_u8(out, '.');
    for (unit /= 10; unit > 0; unit /= 10) {
        gy_writer_u8(out, (uint8_t)('0' + value / unit % 10));
    }
}

static void print_angle(struct gy_writer *out, uint32_t angle, const char letters[3])
{
    uint32_t value = angle >= EQUATOR ? angle - EQUATOR : EQUATOR - angle;
    gy_writer_decimal(out, value / 3600000);
    gy_writer_u8(out, ' ');
    gy_writer_decimal(out, value / 60000 % 60);
    gy_writer_u8(out, ' ');
    print_fixed(out, value % 60000, 3);
    gy_writer_u8(out, ' ');
    gy_writer_u8(out, (uint8_t)(angle >= EQUATOR ? letters[0] : letters[1]));
    gy_writer_u8(out, ' ');
}

void rdata_print_location(struct gy_writer *out, const uint8_t *data)
{
    struct gy_reader reader = gy_reader_on(data + 4, 12);
    print_angle(out, gy_reader_u32(&reader), "NS");
    print_angle(out, gy_reader_u32(&reader), "EW");
    int64_t altitude = (int64_t)gy_reader_u32(&reader) - 10000000;
    if (altitude < 0) {
        gy_writer_u8(out, '-');
    }
    print_fixed(out, (uint64_t)(altitude < 0 ? -altitude : altitude), 2);
    gy_writer_u8(out, 'm');
    for (unsigned i = 1; i <= 3; i++) {
        uint64_t value = data[i] >> 4;
        for (unsigned n = data[i] & 15; n > 0; n--) {
            value *= 10;
        }
        gy_writer_u8(out, ' ');
        print_fixed(out, value, 2);
        gy_writer_u8(out, 'm');
    }
}

/* ---- APL ---- */

int rdata_check_prefixes(const uint8_t *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        if (bytes - at < 4) {
            return GY_EPROTO;
        }
        unsigned family = (unsigned)data[at] << 8 | data[at + 1], length = data[at + 3] & 0x7f;
        unsigned whole = family == 1 ? 4 : family == 2 ? 16 : 0;
        if (whole == 0 || length > whole || data[at + 2] > whole * 8 || bytes - at - 4 < length ||
            (length > 0 && data[at + 3 + length] == 0)) {
            return GY_EPROTO;
        }
        at += 4 + length;
    }
    return (int)bytes;
}

/* [!]FAMILY:ADDRESS/PREFIX */
static int parse_prefix(struct rdata_in *in)
{
    const char *text = in->scanner->text, *end = text + in->scanner->bytes;
    uint8_t address[16], negated = 0;
    uint64_t prefix;
    if (text < end && *text == '!') {
        negated = 0x80;
        text++;
    }
    const char *slash = memchr(text, '/', (size_t)(end - text));
    if (end - text < 2 || slash == NULL || text[1] != ':' || (text[0] != '1' && text[0] != '2')) {
        return rdata_fail(in, "write 1:192.0.2.0/24 or !2:2001:db8::/32");
    }
    bool six = text[0] == '2';
    unsigned length = six ? 16 : 4;
    size_t bytes = (size_t)(slash - text) - 2;
    if ((six ? text_ipv6(text + 2, bytes, address) : text_ipv4(text + 2, bytes, address)) != 0 ||
        text_number(slash + 1, (size_t)(end - slash) - 1, length * 8u, &prefix) != 0) {
        return rdata_fail(in, "write 1:192.0.2.0/24 or !2:2001:db8::/32");
    }
    while (length > 0 && address[length - 1] == 0) {
        length--;
    }
    gy_writer_u8(&in->out, 0);
    gy_writer_u8(&in->out, six ? 2 : 1);
    gy_writer_u8(&in->out, (uint8_t)prefix);
    gy_writer_u8(&in->out, (uint8_t)(negated | length));
    gy_writer_bytes(&in->out, address, length);
    return 0;
}

int rdata_parse_prefixes(struct rdata_in *in)
{
    int more;
    while ((more = rdata_word_or_end(in)) > 0) {
        int error = parse_prefix(in);
        if (error != 0) {
            return error;
        }
    }
    return more;
}

void rdata_print_prefixes(struct gy_writer *out, const uint8_t *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        uint8_t address[16] = {0};
        unsigned length = data[at + 3] & 0x7f;
        bool six = data[at + 1] == 2;
        memcpy(address, data + at + 4, length);
        if (at > 0) {
            gy_writer_u8(out, ' ');
        }
        gy_writer_text(out, (data[at + 3] & 0x80) != 0 ? "!" : "");
        gy_writer_text(out, six ? "2:" : "1:");
        if (six) {
            text_put_ipv6(out, address);
        } else {
            text_put_ipv4(out, address);
        }
        gy_writer_u8(out, '/');
        gy_writer_decimal(out, data[at + 2]);
        at += 4 + length;
    }
}
