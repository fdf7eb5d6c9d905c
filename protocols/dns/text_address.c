/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "protocols/dns/text.h"

int text_ipv4(const char *text, size_t bytes, uint8_t address[4])
{
    size_t at = 0;
    for (unsigned part = 0; part < 4; part++) {
        unsigned value = 0, digits = 0;
        for (; at < bytes && text[at] >= '0' && text[at] <= '9' && digits < 4; at++, digits++) {
            value = value * 10 + (unsigned)(text[at] - '0');
        }
        if (digits == 0 || digits > 3 || value > 255) {
            return GY_EINVAL;
        }
        address[part] = (uint8_t)value;
        if (part < 3 && (at == bytes || text[at++] != '.')) {
            return GY_EINVAL;
        }
    }
    return at == bytes ? 0 : GY_EINVAL;
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int text_ipv6(const char *text, size_t bytes, uint8_t address[16])
{
    uint8_t parts[16] = {0};
    size_t at = 0, length = 0, gap = 17;
    if (bytes >= 2 && text[0] == ':' && text[1] == ':') {
        gap = 0;
        at = 2;
    }
    while (at < bytes) {
        size_t start = at;
        unsigned value = 0;
        for (; at < bytes && hex_of(text[at]) >= 0 && at - start < 5; at++) {
            value = value << 4 | (unsigned)hex_of(text[at]);
        }
        if (at < bytes && text[at] == '.' && length <= 12) {
            if (text_ipv4(text + start, bytes - start, parts + length) != 0) {
                return GY_EINVAL;
            }
            length += 4;
            break;
        }
        if (at == start || at - start > 4 || length > 14) {
            return GY_EINVAL;
        }
        parts[length++] = (uint8_t)(value >> 8);
        parts[length++] = (uint8_t)value;
        if (at == bytes) {
            break;
        }
        if (text[at++] != ':' || at == bytes) {
            return GY_EINVAL;
        }
        if (text[at] == ':') {
            if (gap <= 16) {
                return GY_EINVAL;
            }
            gap = length;
            at++;
        }
    }
    if (gap > 16 ? length != 16 : length > 14) {
        return GY_EINVAL;
    }
    gap = gap > 16 ? 16 : gap;
    memset(address, 0, 16);
    memcpy(address, parts, gap);
    memcpy(address + 16 - (length - gap), parts + gap, length - gap);
    return 0;
}

void text_put_ipv4(struct gy_writer *writer, const uint8_t address[4])
{
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0) {
            gy_writer_u8(writer, '.');
        }
        gy_writer_decimal(writer, address[i]);
    }
}

static void put_group(struct gy_writer *writer, unsigned value)
{
    static const char digits[] = "0123456789abcdef";
    bool begun = false;
    for (int shift = 12; shift >= 0; shift -= 4) {
        unsigned digit = value >> shift & 15;
        begun = begun || digit != 0 || shift == 0;
        if (begun) {
            gy_writer_u8(writer, (uint8_t)digits[digit]);
        }
    }
}

void text_put_ipv6(struct gy_writer *writer, const uint8_t address[16])
{
    unsigned groups[8], best = 8, best_length = 1;
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (memcmp(address, mapped, 12) == 0) {
        gy_writer_text(writer, "::ffff:");
        text_put_ipv4(writer, address + 12);
        return;
    }
    for (unsigned i = 0; i < 8; i++) {
        groups[i] = (unsigned)address[i * 2] << 8 | address[i * 2 + 1];
    }
    for (unsigned i = 0; i < 8; i++) { /* the first of the longest runs of zeros */
        unsigned length = 0;
        while (i + length < 8 && groups[i + length] == 0) {
            length++;
        }
        if (length > best_length) {
            best = i;
            best_length = length;
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        if (i == best) {
            gy_writer_text(writer, "::");
            i += best_length - 1;
            continue;
        }
        if (i > 0 && i != best + best_length) {
            gy_writer_u8(writer, ':');
        }
        put_group(writer, groups[i]);
    }
}
