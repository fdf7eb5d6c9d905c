/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_TEXT_H
#define GY_PROTOCOLS_DNS_TEXT_H

/*
 * What presentation formats are made of: words of a text with quotes, parentheses and comments
 * (RFC 1035 §5.1); base64, base32hex and hexadecimal; times; addresses. For this folder.
 */

#include "core/cursor.h"
#include "core/error.h"
#include "protocols/dns/name.h"

/* ---- words ---- */

enum scan {
    SCAN_WORD,  /* text, bytes, quoted */
    SCAN_END,   /* of the entry: a line's end outside parentheses, or the text's */
    SCAN_MORE,  /* the text ends within the entry, and is not the last */
    SCAN_ERROR, /* `why` says what */
};

struct scanner {
    const char *at;
    const char *end;
    const char *line_start;
    uint32_t line;
    uint32_t parentheses; /* open */
    bool last;            /* nothing follows `end` */
    bool quoted;          /* the word was */
    const char *text;     /* the word, without its quotes, escapes as they are */
    size_t bytes;
    uint32_t text_line; /* its line, and where that begins */
    const char *text_line_start;
    const char *open; /* the outermost parenthesis; its line, and where that begins */
    const char *open_line_start;
    uint32_t open_line;
    const char *why;
};

/* The next word. Once SCAN_END was returned, `at` is at the next entry. */
enum scan scan_next(struct scanner *scanner);

/* An IPv4 address that ends its line, and with that the entry. True: `at` is at the next one. Else
 * nothing has changed, and what stands there is to be read word by word. */
bool scan_ipv4_line(struct scanner *scanner, uint8_t address[4]);

/* Classes of characters. */
extern const uint8_t scan_class[256];
#define SCAN_SPECIAL 1 /* ends or changes a word: blanks, line ends, quotes, ; ( ) \ */

/* The bytes that a word stands for: escapes resolved, into `out` of `room`. The number of bytes, or
 * GY_EINVAL (a bad escape), GY_ELIMIT. */
int text_unescape(const char *text, size_t bytes, uint8_t *out, size_t room);

/* One byte within quotes; a whole quoted string. */
void text_put_char(struct gy_writer *writer, uint8_t c);
void text_put_quoted(struct gy_writer *writer, const uint8_t *data, size_t bytes);

/* ---- numbers ---- */

/* Decimal, at most `max`. 0 or GY_EINVAL. */
int text_number(const char *text, size_t bytes, uint64_t max, uint64_t *number);

/* Seconds, or a sum with units: 1w2d3h4m5s. At most 2^32 - 1. */
int text_period(const char *text, size_t bytes, uint32_t *seconds);

/* YYYYMMDDHHmmSS, or seconds since 1970 (RFC 4034 §3.2), modulo 2^32. */
int text_time(const char *text, size_t bytes, uint32_t *seconds);
void text_put_time(struct gy_writer *writer, uint32_t seconds);

int text_ipv4(const char *text, size_t bytes, uint8_t address[4]);
int text_ipv6(const char *text, size_t bytes, uint8_t address[16]);
void text_put_ipv4(struct gy_writer *writer, const uint8_t address[4]);
void text_put_ipv6(struct gy_writer *writer, const uint8_t address[16]); /* RFC 5952 */

/* ---- bytes as text; data may come in several words ---- */

struct text_bits {
    uint32_t bits;
    uint32_t count; /* of bits */
    uint32_t digits;
    uint32_t padding;
};

/* Decodes more digits. `width` is bits a digit: 4 (hexadecimal), 5 (base32hex, no padding) or 6
 * (base64). 0 or GY_EINVAL; the writer fails when there is no room. */
int text_decode(struct text_bits *state, unsigned width, const char *text, size_t bytes,
                struct gy_writer *out);

/* Was it a whole number of bytes? 0 or GY_EINVAL. */
int text_decode_end(const struct text_bits *state, unsigned width);

void text_put_hex(struct gy_writer *writer, const uint8_t *data, size_t bytes); /* upper case */
void text_put_base32hex(struct gy_writer *writer, const uint8_t *data,
                        size_t bytes); /* lower case */
void text_put_base64(struct gy_writer *writer, const uint8_t *data, size_t bytes);

#endif
