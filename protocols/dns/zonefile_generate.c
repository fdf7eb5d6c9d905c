/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * $GENERATE RANGE OWNER [TTL] [CLASS] TYPE DATA: the line once for each number of the range, in
 * which $ is the number, ${OFFSET,WIDTH,BASE} the number plus an offset, with zeros in front, in
 * base d, o, x, X, n or N (nibbles, for ip6.arpa), and \$ or $$ a dollar sign.
 */

#include <string.h>

#include "protocols/dns/zonefile_internal.h"

#define LINE_MAX_BYTES 4096

/* START-STOP[/STEP] */
static int read_range(const struct scanner *word, uint64_t *start, uint64_t *stop, uint64_t *step)
{
    const char *text = word->text, *end = text + word->bytes;
    const char *dash = memchr(text, '-', word->bytes);
    const char *slash = memchr(text, '/', word->bytes);
    const char *stop_end = slash == NULL ? end : slash;
    *step = 1;
    if (dash == NULL || stop_end < dash ||
        text_number(text, (size_t)(dash - text), INT32_MAX, start) != 0 ||
        text_number(dash + 1, (size_t)(stop_end - dash) - 1, INT32_MAX, stop) != 0 ||
        (slash != NULL &&
         text_number(slash + 1, (size_t)(end - slash) - 1, INT32_MAX, step) != 0) ||
        *step == 0 || *start > *stop) {
        return GY_EINVAL;
    }
    return 0;
}

static void put_number(struct gy_writer *out, uint64_t value, uint64_t width, char base)
{
    const char *digits = base == 'X' || base == 'N' ? "0123456789ABCDEF" : "0123456789abcdef";
    uint64_t radix = base == 'd' ? 10 : base == 'o' ? 8 : 16;
    bool nibbles = base == 'n' || base == 'N';
    char text[128];
    size_t length = 0, most = width > 64 ? 64 : width;
    if (nibbles) { /* least significant first, dots between; the width counts the dots */
        do {
            text[length++] = digits[value & 15];
            value >>= 4;
            if (value > 0 || length < most) {
                text[length++] = '.';
            }
        } while (value > 0 || length < most);
        gy_writer_bytes(out, text, length);
        return;
    }
    do {
        text[sizeof text - ++length] = digits[value % radix];
        value /= radix;
    } while (value > 0 || length < most);
    gy_writer_bytes(out, text + sizeof text - length, length);
}

/* ${OFFSET[,WIDTH[,BASE]]}, of which `at` is behind the brace. Where it ends, or NULL. */
static const char *put_modified(struct gy_writer *out, const char *at, const char *end,
                                uint64_t value)
{
    uint64_t offset = 0, width = 0;
    char base = 'd';
    bool negative = at < end && *at == '-';
    const char *close = memchr(at, '}', (size_t)(end - at));
    if (close == NULL) {
        return NULL;
    }
    at += negative;
    const char *comma = memchr(at, ',', (size_t)(close - at));
    const char *stop = comma == NULL ? close : comma;
    if (text_number(at, (size_t)(stop - at), INT32_MAX, &offset) != 0) {
        return NULL;
    }
    if (comma != NULL) {
        const char *second = memchr(comma + 1, ',', (size_t)(close - comma) - 1);
        stop = second == NULL ? close : second;
        if (text_number(comma + 1, (size_t)(stop - comma) - 1, 64, &width) != 0) {
            return NULL;
        }
        if (second != NULL) {
            base = second[1];
            if (close - second != 2 || strchr("doxXnN", base) == NULL) {
                return NULL;
            }
        }
    }
    if (negative && offset > value) {
        return NULL;
    }
    put_number(out, negative ? value - offset : value + offset, width, base);
    return close + 1;
}

/* The line's text with the number in it. GY_EINVAL. */
static int put_line(struct gy_writer *out, const char *at, const char *end, uint64_t value)
{
    while (at < end) {
        if ((*at == '\\' || *at == '$') && at + 1 < end && at[1] == '$') {
            gy_writer_text(out, "\\$");
            at += 2;
        } else if (*at == '$' && at + 1 < end && at[1] == '{') {
            at = put_modified(out, at + 2, end, value);
            if (at == NULL) {
                return GY_EINVAL;
            }
        } else if (*at == '$') {
            gy_writer_decimal(out, value);
            at++;
        } else {
            gy_writer_u8(out, (uint8_t)*at++);
        }
    }
    return 0;
}

/* One of the lines. */
static int read_line(struct zonefile_entry *entry, const char *text, const char *end,
                     uint64_t value)
{
    char line[LINE_MAX_BYTES];
    struct gy_writer out = gy_writer_on(line, sizeof line - 1);
    if (put_line(&out, text, end, value) != 0 || out.failed) {
        return zonefile_fail(entry, "write $ or ${OFFSET,WIDTH,BASE}, BASE one of d o x X n N, "
                                    "in at most 4095 bytes");
    }
    *out.at = 0;
    struct scanner scanner = {.at = line,
                              .end = (const char *)out.at,
                              .line_start = line,
                              .line = entry->file->line,
                              .last = true,
                              .text = line};
    struct scanner *outer = entry->in.scanner;
    const char *start = entry->start;
    entry->in.scanner = &scanner;
    entry->start = line;
    entry->file->generating = true;
    int code = zonefile_read_entry(entry);
    entry->file->generating = false;
    entry->in.scanner = outer;
    entry->start = start;
    return code;
}

int zonefile_generate(struct zonefile_entry *entry)
{
    struct gy_dns_zonefile *file = entry->file;
    struct scanner *scanner = entry->in.scanner;
    uint64_t start, stop, step;
    uint32_t most = file->settings->generate_max;
    int code = zonefile_result(entry, rdata_word(&entry->in));
    if (code != 0) {
        return code;
    }
    if (read_range(scanner, &start, &stop, &step) != 0) {
        return zonefile_fail(entry, "this is not a range; write 1-100 or 1-100/2");
    }
    most = most == 0 ? GY_DNS_GENERATE_MAX : most;
    if ((stop - start) / step >= most) {
        return zonefile_fail(entry, "the range has too many numbers; use several $GENERATE");
    }
    const char *text = scanner->at, *end = scanner->at;
    int more;
    while ((more = zonefile_result(entry, rdata_word_or_end(&entry->in))) > 0) {
        end = scanner->text + scanner->bytes + scanner->quoted;
    }
    while (text < end && (*text == ' ' || *text == '\t')) {
        text++;
    }
    if (more < 0) {
        return more;
    }
    if (memchr(text, '\n', (size_t)(end - text)) != NULL || text == end) {
        return zonefile_fail(entry, "behind the range come, on the same line, OWNER TYPE DATA");
    }
    for (uint64_t value = start; value <= stop; value += step) {
        code = read_line(entry, text, end, value);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}
