/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/text.h"

const uint8_t scan_class[256] = {
    ['\t'] = SCAN_SPECIAL, ['\n'] = SCAN_SPECIAL, ['\r'] = SCAN_SPECIAL,
    [' '] = SCAN_SPECIAL,  ['"'] = SCAN_SPECIAL,  [';'] = SCAN_SPECIAL,
    ['('] = SCAN_SPECIAL,  [')'] = SCAN_SPECIAL,  ['\\'] = SCAN_SPECIAL,
};

/* The word, or where there is none. */
static void scan_mark(struct scanner *scanner, const char *text, size_t bytes)
{
    scanner->text = text;
    scanner->bytes = bytes;
    scanner->text_line = scanner->line;
    scanner->text_line_start = scanner->line_start;
}

static enum scan scan_fail(struct scanner *scanner, const char *why)
{
    scanner->why = why;
    scan_mark(scanner, scanner->at, 0);
    return SCAN_ERROR;
}

static enum scan scan_quoted(struct scanner *scanner)
{
    const char *at = scanner->at + 1;
    for (; at < scanner->end && *at != '"'; at++) {
        if (*at == '\n') {
            return scan_fail(scanner, "a quoted string does not end on its line; close it with \"");
        }
        if (*at == '\\' && at + 1 < scanner->end && at[1] != '\n') {
            at++;
        }
    }
    if (at >= scanner->end) {
        return scanner->last ? scan_fail(scanner, "a quoted string does not end; close it with \"")
                             : SCAN_MORE;
    }
    scan_mark(scanner, scanner->at + 1, (size_t)(at - scanner->at) - 1);
    scanner->quoted = true;
    scanner->at = at + 1;
    return SCAN_WORD;
}

/* Up to a blank; quotes count as part of it behind an equals sign, as SvcParams have them. */
static enum scan scan_word(struct scanner *scanner)
{
    const char *at = scanner->at, *end = scanner->end;
    bool inside = false;
    for (;; at++) {
        while (at < end && !scan_class[(uint8_t)*at]) {
            at++;
        }
        if (at == end) {
            break;
        }
        if (*at == '\\') {
            if (at + 1 < end && at[1] != '\n') {
                at++;
            }
            continue;
        }
        if (*at == '"' && (inside || (at > scanner->at && at[-1] == '='))) {
            inside = !inside;
            continue;
        }
        if (!inside || *at == '\n') {
            break;
        }
    }
    if (at == end && !scanner->last) {
        return SCAN_MORE;
    }
    if (inside) {
        return scan_fail(scanner, "a quoted string does not end; close it with \"");
    }
    scan_mark(scanner, scanner->at, (size_t)(at - scanner->at));
    scanner->quoted = false;
    scanner->at = at;
    return SCAN_WORD;
}

static void scan_newline(struct scanner *scanner)
{
    scanner->line++;
    scanner->at++;
    scanner->line_start = scanner->at;
}

static enum scan scan_end(struct scanner *scanner)
{
    if (!scanner->last) {
        return SCAN_MORE;
    }
    if (scanner->parentheses > 0) { /* told is where it was opened, not the end of the file */
        scanner->why = "this parenthesis is not closed; add )";
        scanner->text = scanner->open;
        scanner->bytes = 1;
        scanner->text_line = scanner->open_line;
        scanner->text_line_start = scanner->open_line_start;
        return SCAN_ERROR;
    }
    scan_mark(scanner, scanner->at, 0);
    return SCAN_END;
}

enum scan scan_next(struct scanner *scanner)
{
    while (scanner->at < scanner->end) {
        switch (*scanner->at) {
        case ' ':
        case '\t':
        case '\r':
            scanner->at++;
            break;
        case ';':
            while (scanner->at < scanner->end && *scanner->at != '\n') {
                scanner->at++;
            }
            break;
        case '\n':
            scan_mark(scanner, scanner->at, 0);
            if (scanner->parentheses == 0) {
                scan_newline(scanner);
                return SCAN_END;
            }
            scan_newline(scanner);
            break;
        case '(':
            if (scanner->parentheses == 64) {
                return scan_fail(scanner, "more than 64 parentheses are open");
            }
            if (scanner->parentheses == 0) {
                scanner->open = scanner->at;
                scanner->open_line = scanner->line;
                scanner->open_line_start = scanner->line_start;
            }
            scanner->parentheses++;
            scanner->at++;
            break;
        case ')':
            if (scanner->parentheses == 0) {
                return scan_fail(scanner, "a parenthesis is closed that was not opened");
            }
            scanner->parentheses--;
            scanner->at++;
            break;
        case '"':
            return scan_quoted(scanner);
        default:
            return scan_word(scanner);
        }
    }
    return scan_end(scanner);
}

bool scan_ipv4_line(struct scanner *scanner, uint8_t address[4])
{
    const char *at = scanner->at, *end = scanner->end;
    while (at < end && (*at == ' ' || *at == '\t')) {
        at++;
    }
    for (unsigned part = 0; part < 4; part++) {
        const char *start = at;
        unsigned value = 0;
        while (at < end && (unsigned)(*at - '0') < 10 && at - start < 4) {
            value = value * 10 + (unsigned)(*at++ - '0');
        }
        if (at == start || at - start > 3 || value > 255 || at == end ||
            *at != (part < 3 ? '.' : '\n')) {
            return false;
        }
        at++;
        address[part] = (uint8_t)value;
    }
    if (scanner->parentheses > 0) {
        return false;
    }
    scanner->at = scanner->line_start = at;
    scanner->line++;
    return true;
}

int text_unescape(const char *text, size_t bytes, uint8_t *out, size_t room)
{
    size_t length = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (length == room) {
            return GY_ELIMIT;
        }
        if (byte == '\\') {
            uint32_t value = 0;
            size_t digits = 0;
            while (digits < 3 && i + 1 + digits < bytes && text[i + 1 + digits] >= '0' &&
                   text[i + 1 + digits] <= '9') {
                value = value * 10 + (uint32_t)(text[i + 1 + digits] - '0');
                digits++;
            }
            if (i + 1 == bytes || (digits > 0 && (digits < 3 || value > 255))) {
                return GY_EINVAL;
            }
            byte = digits > 0 ? (uint8_t)value : (uint8_t)text[i + 1];
            i += digits > 0 ? 3 : 1;
        }
        out[length++] = byte;
    }
    return (int)length;
}

void text_put_char(struct gy_writer *writer, uint8_t c)
{
    if (c < ' ' || c > '~') {
        uint8_t escape[4] = {'\\', (uint8_t)('0' + c / 100), (uint8_t)('0' + c / 10 % 10),
                             (uint8_t)('0' + c % 10)};
        gy_writer_bytes(writer, escape, 4);
        return;
    }
    if (c == '"' || c == '\\') {
        gy_writer_u8(writer, '\\');
    }
    gy_writer_u8(writer, c);
}

void text_put_quoted(struct gy_writer *writer, const uint8_t *data, size_t bytes)
{
    gy_writer_u8(writer, '"');
    for (size_t i = 0; i < bytes; i++) {
        text_put_char(writer, data[i]);
    }
    gy_writer_u8(writer, '"');
}

/* ---- numbers ---- */

int text_number(const char *text, size_t bytes, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;
    if (bytes == 0 || bytes > 19) {
        return GY_EINVAL;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return GY_EINVAL;
        }
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *number = value;
    return value <= max ? 0 : GY_EINVAL;
}

int text_period(const char *text, size_t bytes, uint32_t *seconds)
{
    uint64_t total = 0, value = 0;
    bool digits = false;
    if (bytes == 0 || bytes > 64) {
        return GY_EINVAL;
    }
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i] | 32;
        if (text[i] >= '0' && text[i] <= '9') {
            value = value * 10 + (uint64_t)(text[i] - '0');
            digits = true;
        } else {
            uint64_t unit = c == 's'   ? 1
                            : c == 'm' ? 60
                            : c == 'h' ? 3600
                            : c == 'd' ? 86400
                            : c == 'w' ? 604800
                                       : 0;
            if (unit == 0 || !digits) {
                return GY_EINVAL;
            }
            total += value * unit;
            value = 0;
            digits = false;
        }
        if (value > UINT32_MAX || total > UINT32_MAX) {
            return GY_EINVAL;
        }
    }
    total += value;
    *seconds = (uint32_t)total;
    return total <= UINT32_MAX ? 0 : GY_EINVAL;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t shifted = month <= 2 ? year - 1 : year;
    int64_t era = shifted / 400, of_era = shifted - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, uint64_t *year, uint64_t *month, uint64_t *day)
{
    int64_t shifted = days + 719468, era = shifted / 146097, rest = shifted - era * 146097;
    int64_t of_era = (rest - rest / 1460 + rest / 36524 - rest / 146096) / 365;
    int64_t of_year = rest - (365 * of_era + of_era / 4 - of_era / 100);
    int64_t part = (5 * of_year + 2) / 153;
    *day = (uint64_t)(of_year - (153 * part + 2) / 5 + 1);
    *month = (uint64_t)(part < 10 ? part + 3 : part - 9);
    *year = (uint64_t)(of_era + era * 400 + (*month <= 2));
}

int text_time(const char *text, size_t bytes, uint32_t *seconds)
{
    uint64_t value;
    if (bytes != 14) {
        int error = text_number(text, bytes, UINT32_MAX, &value);
        *seconds = error == 0 ? (uint32_t)value : 0;
        return error;
    }
    if (text_number(text, bytes, UINT64_MAX, &value) != 0) {
        return GY_EINVAL;
    }
    int64_t second = (int64_t)(value % 100), minute = (int64_t)(value / 100 % 100);
    int64_t hour = (int64_t)(value / 10000 % 100), day = (int64_t)(value / 1000000 % 100);
    int64_t month = (int64_t)(value / 100000000 % 100), year = (int64_t)(value / 10000000000u);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
        second > 59) {
        return GY_EINVAL;
    }
    *seconds = (uint32_t)(days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second);
    return 0;
}

static void put_digits(struct gy_writer *writer, uint64_t value, unsigned digits)
{
    uint64_t unit = 1;
    for (unsigned i = 1; i < digits; i++) {
        unit *= 10;
    }
    for (; unit > 0; unit /= 10) {
        gy_writer_u8(writer, (uint8_t)('0' + value / unit % 10));
    }
}

void text_put_time(struct gy_writer *writer, uint32_t seconds)
{
    uint64_t year, month, day;
    date_of(seconds / 86400, &year, &month, &day);
    put_digits(writer, year, 4);
    put_digits(writer, month, 2);
    put_digits(writer, day, 2);
    put_digits(writer, seconds / 3600 % 24, 2);
    put_digits(writer, seconds / 60 % 60, 2);
    put_digits(writer, seconds % 60, 2);
}

/* ---- bytes as text ---- */

/* The value of a digit, or -1. */
static int digit_value(unsigned width, char c)
{
    int upper = c >= 'A' && c <= 'Z' ? c - 'A' : -1, low = c >= 'a' && c <= 'z' ? c - 'a' : -1;
    int number = c >= '0' && c <= '9' ? c - '0' : -1;
    if (width == 6) {
        return upper >= 0    ? upper
               : low >= 0    ? low + 26
               : number >= 0 ? number + 52
               : c == '+'    ? 62
               : c == '/'    ? 63
                             : -1;
    }
    int letter = upper >= 0 ? upper : low;
    int value = number >= 0 ? number : letter >= 0 ? letter + 10 : -1;
    return value < 1 << width ? value : -1;
}

int text_decode(struct text_bits *state, unsigned width, const char *text, size_t bytes,
                struct gy_writer *out)
{
    for (size_t i = 0; i < bytes; i++) {
        if (width == 6 && text[i] == '=') {
            state->padding++;
            continue;
        }
        int value = digit_value(width, text[i]);
        if (value < 0 || state->padding > 0) {
            return GY_EINVAL;
        }
        state->bits = state->bits << width | (uint32_t)value;
        state->count += width;
        state->digits++;
        if (state->count >= 8) {
            state->count -= 8;
            gy_writer_u8(out, (uint8_t)(state->bits >> state->count));
            state->bits &= (1u << state->count) - 1;
        }
    }
    return 0;
}

int text_decode_end(const struct text_bits *state, unsigned width)
{
    if (state->count >= width || state->bits != 0) {
        return GY_EINVAL;
    }
    return width == 6 && (state->digits + state->padding) % 4 != 0 ? GY_EINVAL : 0;
}

static void put_digits_of(struct gy_writer *writer, const char *alphabet, unsigned width,
                          const uint8_t *data, size_t bytes)
{
    uint32_t bits = 0, count = 0;
    for (size_t i = 0; i < bytes; i++) {
        bits = (bits << 8 | data[i]) & 0xffff;
        for (count += 8; count >= width; count -= width) {
            gy_writer_u8(writer, (uint8_t)alphabet[bits >> (count - width) & ((1u << width) - 1)]);
        }
    }
    if (count > 0) {
        gy_writer_u8(writer, (uint8_t)alphabet[bits << (width - count) & ((1u << width) - 1)]);
    }
}

void text_put_hex(struct gy_writer *writer, const uint8_t *data, size_t bytes)
{
    put_digits_of(writer, "0123456789ABCDEF", 4, data, bytes);
}

void text_put_base32hex(struct gy_writer *writer, const uint8_t *data, size_t bytes)
{
    put_digits_of(writer, "0123456789abcdefghijklmnopqrstuv", 5, data, bytes);
}

void text_put_base64(struct gy_writer *writer, const uint8_t *data, size_t bytes)
{
    put_digits_of(writer, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 6,
                  data, bytes);
    for (size_t i = bytes; i % 3 != 0; i++) {
        gy_writer_u8(writer, '=');
    }
}
