/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include "bench/load/load.h"

struct rig {
    void *plan;
    void *state;
    void *session;
    const uint8_t *message;
    uint32_t bytes;
};

static struct rig rig_open(uint32_t size, uint32_t pipeline)
{
    struct gy_load_options options = {.size_bytes = size, .pipeline = pipeline};
    struct gy_error error = {0};
    struct rig rig = {0};
    assert_int_equal(gy_load_tcp.prepare(&options, &rig.plan, &error), 0);
    rig.message = gy_load_tcp.requests(rig.plan, &rig.bytes);
    assert_int_equal(rig.bytes, size);
    rig.state = calloc(1, gy_load_tcp.state_bytes);
    rig.session = calloc(1, gy_load_tcp.session_bytes);
    assert_true(rig.state != NULL && rig.session != NULL);
    gy_load_tcp.state_open(rig.state, rig.plan, &options, 0);
    gy_load_tcp.session_open(rig.session);
    return rig;
}

static void rig_close(struct rig *rig)
{
    gy_load_tcp.state_close(rig->state);
    free(rig->state);
    free(rig->session);
    gy_load_tcp.finish(rig->plan);
}

static enum gy_load_progress receive(struct rig *rig, const void *data, uint32_t bytes,
                                     uint32_t *used)
{
    return gy_load_tcp.receive(rig->state, rig->session, data, bytes, used);
}

static void what_comes_back_in_pieces_is_one_answer(void **state)
{
    (void)state;
    struct rig rig = rig_open(100, 2);
    uint32_t used;
    assert_int_equal(receive(&rig, rig.message, 30, &used), GY_LOAD_MORE);
    assert_int_equal(used, 30);
    assert_int_equal(receive(&rig, rig.message + 30, 170, &used), GY_LOAD_ANSWER);
    assert_int_equal(used, 70);
    assert_int_equal(receive(&rig, rig.message + 100, 100, &used), GY_LOAD_ANSWER);
    rig_close(&rig);
}

static void a_changed_byte_is_a_wrong_body_and_the_next_is_right(void **state)
{
    (void)state;
    struct rig rig = rig_open(64, 1);
    uint8_t changed[64];
    memcpy(changed, rig.message, 64);
    changed[63] ^= 1;
    uint32_t used;
    assert_int_equal(receive(&rig, changed, 64, &used), GY_LOAD_BAD_BODY);
    assert_int_equal(receive(&rig, rig.message, 64, &used), GY_LOAD_ANSWER);
    rig_close(&rig);
}

static void an_end_within_a_message_is_short(void **state)
{
    (void)state;
    struct rig rig = rig_open(64, 1);
    assert_int_equal(gy_load_tcp.ended(rig.state, rig.session), GY_LOAD_BAD_BYTES);
    uint32_t used;
    assert_int_equal(receive(&rig, rig.message, 63, &used), GY_LOAD_MORE);
    assert_int_equal(gy_load_tcp.ended(rig.state, rig.session), GY_LOAD_MORE);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_back_in_pieces_is_one_answer),
        cmocka_unit_test(a_changed_byte_is_a_wrong_body_and_the_next_is_right),
        cmocka_unit_test(an_end_within_a_message_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
