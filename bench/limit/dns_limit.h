/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * --dns of the limit programs, over UDP and TCP: every message is taken for a query that ends with
 * its question, and goes back as an answer with one address, always the same: what a name server
 * costs that need not look anything up.
 */
#ifndef GYRE_BENCH_LIMIT_DNS_LIMIT_H
#define GYRE_BENCH_LIMIT_DNS_LIMIT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    LIMIT_DNS_MORE = 16, /* bytes by which an answer is longer than its query */
    LIMIT_DNS_LEAST = 17 /* of a query: its header, and a question for the root */
};

/* The answer to the query of `bytes` at `in`, to `out`, which may be `in`. Returns its end. */
static inline char *limit_dns_answer(const char *in, size_t bytes, char *out)
{
    static const char address[LIMIT_DNS_MORE] = "\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\xc0\0\2\1";

    if (out != in)
        memcpy(out, in, bytes);
    if (bytes >= LIMIT_DNS_LEAST) {
        out[2] |= (char)0x84; /* QR, AA */
        out[7] = 1;           /* one answer */
    }
    memcpy(out + bytes, address, sizeof address);
    return out + bytes + sizeof address;
}

/* Of what a stream brought at once, whole queries each behind its length, the answers to `out`,
 * which has room for twice as many bytes and is not `in`. Returns their bytes; 0 where `in`
 * does not end with a query's end. */
static inline size_t limit_dns_stream(const char *in, size_t bytes, char *out)
{
    char *at = out;

    while (bytes > 2) {
        size_t query = (size_t)(uint8_t)in[0] << 8 | (uint8_t)in[1];
        if (query < LIMIT_DNS_LEAST || query + 2 > bytes)
            return 0;
        size_t answer = query + LIMIT_DNS_MORE;
        at[0] = (char)(answer >> 8);
        at[1] = (char)answer;
        at = limit_dns_answer(in + 2, query, at + 2);
        in += 2 + query;
        bytes -= 2 + query;
    }
    return bytes == 0 ? (size_t)(at - out) : 0;
}

#endif
