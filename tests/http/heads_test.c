/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Heads that outlive their turn: where they are kept, and what happens when there is no room. */

#include "protocols/http/h1_heads.h"

#include "tests/http/probe.h"

#define EXCHANGES 2 /* a 1 KiB item for each and one more, and one item of each other size */

static struct rig rig;
static struct probe probe;
static struct gy_h1_heads heads;
static void *memory;
static const uint8_t big[GY_H1_HEAD_MAX / 2];

static int set_up(void **state)
{
    (void)state;
    probe_open(&probe, &rig);
    memory = aligned_alloc(GY_SLAB_ALIGN, gy_h1_heads_bytes(EXCHANGES));
    assert_non_null(memory);
    gy_h1_heads_init(&heads, memory, EXCHANGES);
    rig.env.heads = &heads;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_close(&rig);
    for (int i = 0; i < GY_H1_HEAD_SIZES; i++) {
        assert_int_equal(heads.sizes[i].used, 0);
    }
    free(memory);
    return 0;
}

static void keep(struct gy_http_exchange *exchange, struct probe *p)
{
    (void)exchange;
    (void)p;
}

static void forbid(struct gy_http_exchange *exchange, struct probe *p)
{
    (void)p;
    gy_http_answer(exchange, 403, NULL, NULL, 0);
}

/* A request with a body to come and a field of `bytes` bytes. */
static void say_head(uint32_t bytes)
{
    static char value[GY_H1_HEAD_MAX];
    memset(value, 'v', bytes);
    rig_append(&rig, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\nX: ", 56);
    rig_append(&rig, value, bytes);
    rig_append(&rig, "\r\n\r\n", 4);
    rig_turn(&rig);
}

static void a_kept_head_takes_no_output_memory(void **state)
{
    (void)state;
    probe.request = keep;
    rig_say(&rig, POST("Content-Length: 9\r\nX: value\r\n"));
    assert_int_equal(rig.env.counters.heads_kept, 1);
    assert_int_equal(heads.sizes[0].used, 1);
    assert_true(rig.bump.block == NULL || rig.bump.block->buffer.refs == 1);
    assert_int_equal(rig.buffers, 0);
    assert_text(gy_http_field_find(probe.exchange, "x", NULL), "value");
}

static void a_head_that_was_joined_leaves_output_memory_too(void **state)
{
    (void)state;
    probe.request = keep;
    say_head(3);
    assert_int_equal(rig.env.counters.heads_joined, 1);
    assert_int_equal(rig.bump.block->buffer.refs, 1);
    assert_int_equal(heads.sizes[0].used, 1);
    assert_text(gy_http_field_find(probe.exchange, "x", NULL), "vvv");
}

static void heads_of_each_size_find_an_item(void **state)
{
    (void)state;
    static const uint32_t bytes[GY_H1_HEAD_SIZES] = {100, 350, 900, 3900, 16000};
    probe.request = keep;
    for (int i = 0; i < GY_H1_HEAD_SIZES; i++) {
        say_head(bytes[i]);
        assert_int_equal(heads.sizes[i].used, 1);
        assert_int_equal(gy_http_field_find(probe.exchange, "x", NULL).length, bytes[i]);
        rig_say(&rig, "123456789");
        gy_http_answer(probe.exchange, 200, NULL, NULL, 0);
        rig_turn(&rig);
        assert_int_equal(heads.sizes[i].used, 0);
    }
}

static void without_room_for_its_head_an_unanswered_request_gets_503(void **state)
{
    (void)state;
    struct gy_buffer *others = gy_h1_heads_keep(&heads, big, sizeof big);
    assert_non_null(others);
    probe.request = keep;
    say_head(5000);
    assert_memory_equal(rig.sent, "HTTP/1.1 503 Service Unavailable\r\n", 34);
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
    assert_int_equal(probe.reason, GY_ENOBUFS);
    assert_int_equal(rig.exchanges.used, 0);
    gy_buffer_drop(others);
}

static void large_heads_leave_room_for_small_ones(void **state)
{
    (void)state;
    struct gy_buffer *others = gy_h1_heads_keep(&heads, big, sizeof big);
    probe.request = keep;
    say_head(100);
    assert_non_null(probe.exchange);
    gy_buffer_drop(others);
}

static void an_early_answer_keeps_no_head(void **state)
{
    (void)state;
    probe.request = forbid;
    rig_say(&rig, POST("Content-Length: 9\r\n"));
    assert_int_equal(rig.env.counters.heads_kept, 0);
    assert_int_equal(rig.buffers, 0);
    assert_int_equal(heads.sizes[0].used, 0);
    rig_say(&rig, "123456789" POST("Content-Length: 0\r\n"));
    assert_int_equal(rig.env.counters.responses[4], 2);
}

static void behind_an_early_last_answer_the_body_is_not_waited_for(void **state)
{
    (void)state;
    probe.request = forbid;
    rig_say(&rig, POST("Connection: close\r\nContent-Length: 9\r\n"));
    assert_int_equal(rig.wants & (GY_H1_CLOSE | GY_H1_LINGER), GY_H1_CLOSE | GY_H1_LINGER);
    assert_int_equal(rig.exchanges.used, 0);
    assert_int_equal(probe.closes, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_kept_head_takes_no_output_memory),
        CASE(a_head_that_was_joined_leaves_output_memory_too),
        CASE(heads_of_each_size_find_an_item),
        CASE(without_room_for_its_head_an_unanswered_request_gets_503),
        CASE(large_heads_leave_room_for_small_ones),
        CASE(an_early_answer_keeps_no_head),
        CASE(behind_an_early_last_answer_the_body_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
