/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_HTTP_PROBE_H
#define GY_TESTS_HTTP_PROBE_H

/*
 * A handler that writes down what happens to it, and does what the test tells it: the rig's context
 * is a struct probe. Includes what a cmocka test needs.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/http/rig.h"

struct probe {
    /* what to do; NULL: answer 200 "ok" in `request` when there is no body, else at its end */
    void (*request)(struct gy_http_exchange *exchange, struct probe *probe);
    void (*body)(struct gy_http_exchange *exchange, struct probe *probe, struct gy_chain *bytes,
                 bool end);
    int (*pull)(struct gy_http_exchange *exchange, struct probe *probe, struct gy_chain *out,
                uint32_t budget);

    struct gy_http_exchange *exchange; /* of the last request; NULL when it is over */
    char log[4096];    /* a word for each event: "request GET /x", "body 5", "end", "closed 0" */
    char bodies[8192]; /* the last request's body bytes, with a zero behind them */
    size_t body_bytes;
    uint32_t closes;
    int reason;      /* of the last `closed` */
    uint64_t number; /* the test's own */
    struct rig *rig;
};

static inline struct probe *probe_of(struct gy_http_exchange *exchange)
{
    return gy_http_context(exchange);
}

__attribute__((format(printf, 2, 3))) static inline void probe_log(struct probe *probe,
                                                                   const char *format, ...)
{
    size_t used = strlen(probe->log);
    va_list arguments;
    va_start(arguments, format);
    if (used > 0 && used + 1 < sizeof probe->log) {
        probe->log[used++] = ' ';
    }
    vsnprintf(probe->log + used, sizeof probe->log - used, format, arguments);
    va_end(arguments);
}

static inline void probe_request(struct gy_http_exchange *exchange)
{
    struct probe *probe = probe_of(exchange);
    struct gy_http_text method = gy_http_method_name(exchange);
    struct gy_http_text target = gy_http_target(exchange);
    probe->exchange = exchange;
    probe->body_bytes = 0;
    probe->bodies[0] = 0;
    probe_log(probe, "request %.*s %.*s", (int)method.length, method.data, (int)target.length,
              target.data);
    if (probe->request != NULL) {
        probe->request(exchange, probe);
    } else if (!exchange->has_body) {
        gy_http_answer(exchange, 200, "text/plain", "ok", 2);
    }
}

static inline void probe_body(struct gy_http_exchange *exchange, struct gy_chain *bytes, bool end)
{
    struct probe *probe = probe_of(exchange);
    if (bytes->length > 0) {
        probe_log(probe, "body %u", bytes->length);
    }
    uint32_t room = (uint32_t)(sizeof probe->bodies - 1 - probe->body_bytes);
    uint32_t kept = bytes->length < room ? bytes->length : room;
    gy_chain_copy(bytes, 0, kept, probe->bodies + probe->body_bytes);
    probe->body_bytes += kept;
    probe->bodies[probe->body_bytes] = 0;
    if (end) {
        probe_log(probe, "end");
    }
    if (probe->body != NULL) {
        probe->body(exchange, probe, bytes, end);
    } else if (end && probe->request == NULL) {
        gy_http_answer(exchange, 200, "text/plain", "ok", 2);
    }
}

static inline void probe_trailers(struct gy_http_exchange *exchange)
{
    struct probe *probe = probe_of(exchange);
    for (uint32_t i = 0; i < gy_http_trailer_count(exchange); i++) {
        struct gy_http_text name = gy_http_trailer_name(exchange, i);
        struct gy_http_text value = gy_http_trailer_value(exchange, i);
        probe_log(probe, "trailer %.*s=%.*s", (int)name.length, name.data, (int)value.length,
                  value.data);
    }
}

static inline int probe_pull(struct gy_http_exchange *exchange, struct gy_chain *out,
                             uint32_t budget)
{
    struct probe *probe = probe_of(exchange);
    return probe->pull(exchange, probe, out, budget);
}

static inline void probe_closed(struct gy_http_exchange *exchange, int reason)
{
    struct probe *probe = probe_of(exchange);
    probe->closes++;
    probe->reason = reason;
    probe->exchange = NULL;
    probe_log(probe, "closed %d", reason);
}

static const struct gy_http_handler probe_handler = {
    .request = probe_request,
    .body = probe_body,
    .trailers = probe_trailers,
    .pull = probe_pull,
    .closed = probe_closed,
};

static inline void probe_open(struct probe *probe, struct rig *rig)
{
    *probe = (struct probe){.rig = rig};
    rig_open(rig, &probe_handler, probe);
}

/* A request that asks for "/" of a.example, with these further field lines. */
#define GET(fields)  "GET / HTTP/1.1\r\nHost: a.example\r\n" fields "\r\n"
#define POST(fields) "POST / HTTP/1.1\r\nHost: a.example\r\n" fields "\r\n"

/* What the rig's server says before and behind the fields of a handler. */
#define COMMON "Date: " RIG_DATE "\r\nServer: gyre\r\n"
#define OK_RESPONSE                                                                                \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" COMMON "Content-Length: 2\r\n\r\nok"

#define assert_text(text, expected)                                                                \
    do {                                                                                           \
        struct gy_http_text assert_text_found = (text);                                            \
        char assert_text_copy[512];                                                                \
        assert_true(assert_text_found.length < sizeof assert_text_copy);                           \
        snprintf(assert_text_copy, sizeof assert_text_copy, "%.*s", (int)assert_text_found.length, \
                 assert_text_found.data);                                                          \
        assert_string_equal(assert_text_copy, expected);                                           \
    } while (0)

#endif
