/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_DNS_STUB_PROBE_H
#define GY_TESTS_DNS_STUB_PROBE_H

/* What the tests of the stub resolver share: one rig, one lookup, and what is expected of them. */

#include "tests/dns/probe.h"
#include "tests/dns/stub_rig.h"

#define A        GY_DNS_TYPE_A
#define AAAA     GY_DNS_TYPE_AAAA
#define NXDOMAIN GY_DNS_RCODE_NXDOMAIN

static struct stub_rig *rig;
static struct gy_dns_lookup lookup;
static uint8_t room[GY_DNS_MESSAGE_MAX];

/* Each test begins with a configuration. */
static inline void begin(const char *conf)
{
    rig = stub_rig_new(conf, "192.0.2.99 box box.example\n", 1);
}

static inline int tear_down(void **state)
{
    (void)state;
    free(rig);
    rig = NULL;
    return 0;
}

static inline uint32_t ask(const char *name)
{
    assert_int_equal(gy_dns_stub_ask(&rig->stub, &lookup, name, rig->now_ms), 0);
    return stub_rig_pull(rig);
}

static inline void assert_nothing_yet(void)
{
    assert_null(gy_dns_stub_next(&rig->stub));
}

/* The lookup is told so much, now. */
static inline void assert_told(enum gy_dns_stub_result result, uint32_t count, bool more)
{
    assert_ptr_equal(gy_dns_stub_next(&rig->stub), &lookup);
    assert_int_equal(lookup.result, result);
    assert_int_equal(lookup.count, count);
    assert_int_equal(lookup.more, more);
}

static inline void assert_idle(void)
{
    assert_null(stub_rig_open(rig, A));
    assert_null(stub_rig_open(rig, AAAA));
    assert_true(gy_dns_stub_deadline(&rig->stub) == UINT64_MAX);
}

#endif
