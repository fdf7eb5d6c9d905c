/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_HTTP_PROBE_CASE_H
#define GY_TESTS_HTTP_PROBE_CASE_H

/* What a test of the server's side begins with: one rig and one probe, opened anew for each case.
 */

#include "tests/http/probe.h"

static struct rig rig;
static struct probe probe;

static inline int set_up(void **state)
{
    (void)state;
    probe_open(&probe, &rig);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

/* For probe.request: the request stays active. */
static inline void keep(struct gy_http_exchange *exchange, struct probe *p)
{
    (void)exchange;
    (void)p;
}

/* A request that stays active, so that the test can look at it. */
static inline struct gy_http_exchange *ask(const char *request)
{
    probe.request = keep;
    rig_say(&rig, request);
    assert_non_null(probe.exchange);
    return probe.exchange;
}

/* Answers the request with `response`, and compares all that was sent. */
static inline void answered(const char *request, const struct gy_http_response *response,
                            const char *expected)
{
    struct gy_http_exchange *exchange = ask(request);
    assert_int_equal(gy_http_respond(exchange, response), 0);
    rig_turn(&rig);
    assert_string_equal(rig.sent, expected);
}

#endif
