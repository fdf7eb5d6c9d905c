/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The relay, and a client that does not keep to the protocol. Its target takes connections, and
 * neither reads nor writes but where a test does. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "servers/rudp/forward_link.h"
#include "servers/rudp/forward_service.h"
#include "tests/rudp/service_rig.h"

#define COPIES 262144 /* that answers may hold */

struct relay {
    struct rig *rig;
    struct gy_forward_service service;
    int target;
    uint32_t opened, resets;
    char text[GY_FORWARD_TEXT_BYTES + 1]; /* of the last RESET */
};

static void heard(struct rig *rig, const uint8_t *data, size_t length)
{
    struct relay *relay = rig->test;
    struct gy_forward_message message;
    assert_int_equal(gy_forward_decode(&message, data, length), 0);
    rig->answers++;
    relay->opened += message.type == GY_FORWARD_OPENED;
    if (message.type == GY_FORWARD_RESET) {
        relay->resets++;
        memcpy(relay->text, message.data, message.length);
        relay->text[message.length] = '\0';
    }
}

static int set_up(void **state)
{
    struct relay *relay = calloc(1, sizeof *relay);
    struct gy_error error = {0};
    const int small = 4096;
    assert_non_null(relay);
    relay->rig = rig_worker();
    relay->rig->heard = heard;
    relay->rig->test = relay;
    assert_int_equal(gy_address_parse(&relay->service.target, "127.0.0.1:0", &error), 0);
    relay->target = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(setsockopt(relay->target, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    assert_int_equal(bind(relay->target, &relay->service.target.any, relay->service.target.length),
                     0);
    assert_int_equal(listen(relay->target, 1024), 0);
    assert_int_equal(gy_address_of_socket(&relay->service.target, relay->target), 0);
    assert_int_equal(gy_forward_service_open(&relay->service, &relay->rig->worker, &error), 0);
    rig_connect(relay->rig, &gy_forward_service_ops, &relay->service, COPIES);
    *state = relay;
    return 0;
}

static int tear_down(void **state)
{
    struct relay *relay = *state;
    rig_disconnect(relay->rig);
    gy_forward_service_close(&relay->service, &relay->rig->worker);
    gy_worker_close(&relay->rig->worker);
    close(relay->target);
    free(relay->rig);
    free(relay);
    return 0;
}

/* ---- what a client says ---- */

static void say(struct relay *relay, enum gy_forward_type type, uint32_t flow, uint32_t credit)
{
    const struct gy_forward_message message = {.type = type, .flow = flow, .credit = credit};
    uint8_t out[GY_FORWARD_MESSAGE_BYTES];
    size_t bytes = gy_forward_encode(&message, out);
    rig_say(relay->rig, (uint8_t)(flow % 16), out, bytes);
}

static void data(struct relay *relay, uint32_t flow, size_t bytes)
{
    static uint8_t out[GY_FORWARD_DATA_HEAD + GY_FORWARD_DATA_BYTES];
    gy_forward_encode_data(flow, out);
    rig_say(relay->rig, (uint8_t)(flow % 16), out, GY_FORWARD_DATA_HEAD + bytes);
}

static void expect_offence(struct relay *relay)
{
    for (int i = 0; i < 500 && !relay->rig->closed; i++) {
        rig_turn(relay->rig);
    }
    assert_true(relay->rig->closed);
    assert_int_equal(relay->rig->close_code, 0x101);
}

static void open_one(struct relay *relay, uint32_t flow, uint32_t credit)
{
    uint32_t opened = relay->opened;
    say(relay, GY_FORWARD_OPEN, flow, credit);
    rig_await(relay->rig, relay->rig->answers + 1);
    assert_int_equal(relay->opened, opened + 1);
}

/* ---- tests ---- */

static void connections_without_end_are_refused_one_by_one(void **state)
{
    struct relay *relay = *state;
    for (uint32_t i = 0; i < GY_FORWARD_FLOWS + 50; i++) {
        say(relay, GY_FORWARD_OPEN, i + 1, 1000);
    }
    rig_await(relay->rig, GY_FORWARD_FLOWS + 50);
    assert_false(relay->rig->closed);
    assert_int_equal(relay->opened, GY_FORWARD_FLOWS);
    assert_int_equal(relay->resets, 50);
    assert_string_equal(relay->text, "too many connections at once");
    assert_int_equal(relay->rig->counts[0].flows, GY_FORWARD_FLOWS);
}

static void a_flow_is_opened_once(void **state)
{
    struct relay *relay = *state;
    say(relay, GY_FORWARD_OPEN, 1, 1000);
    say(relay, GY_FORWARD_OPEN, 1, 1000);
    expect_offence(relay);
}

static void a_client_does_not_say_that_the_target_is_connected(void **state)
{
    struct relay *relay = *state;
    say(relay, GY_FORWARD_OPEN, 1, 1000);
    say(relay, GY_FORWARD_OPENED, 1, 1000);
    expect_offence(relay);
}

static void data_before_the_target_is_connected_are_an_offence(void **state)
{
    struct relay *relay = *state;
    say(relay, GY_FORWARD_OPEN, 1, 1000);
    data(relay, 1, 100);
    expect_offence(relay);
}

static void data_beyond_the_credit_are_an_offence_and_held_by_nobody(void **state)
{
    struct relay *relay = *state;
    open_one(relay, 1, 1000);
    for (uint32_t i = 0; i < 400 && !relay->rig->closed; i++) { /* the target does not read */
        data(relay, 1, GY_FORWARD_DATA_BYTES);
        rig_turn(relay->rig);
        assert_true(relay->rig->server.memory.used < 4u << 20);
    }
    expect_offence(relay);
}

static void credit_has_a_bound(void **state)
{
    struct relay *relay = *state;
    open_one(relay, 1, 1000);
    say(relay, GY_FORWARD_CREDIT, 1, GY_FORWARD_CREDIT_MAX);
    expect_offence(relay);
}

static void messages_of_no_flow_are_counted_and_nothing_else(void **state)
{
    struct relay *relay = *state;
    data(relay, 9, 1000);
    say(relay, GY_FORWARD_CREDIT, 9, 1000);
    say(relay, GY_FORWARD_END, 9, 0);
    say(relay, GY_FORWARD_OPENED, 9, 1000);
    open_one(relay, 9 + 16, 1000); /* on the same channel, so behind them */
    assert_false(relay->rig->closed);
    assert_int_equal(relay->rig->counts[0].ignored, 4);
}

static void what_a_client_does_not_take_is_bounded_whatever_it_asks_for(void **state)
{
    struct relay *relay = *state;
    static uint8_t noise[1 << 20];
    int target[4];
    uint64_t written = 0, most = 0;
    for (uint32_t i = 0; i < 4; i++) {
        open_one(relay, i + 1, GY_FORWARD_CREDIT_MAX);
        target[i] = accept4(relay->target, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        assert_true(target[i] >= 0);
    }
    rig_deafen(relay->rig);
    for (uint32_t i = 0; i < 200; i++) {
        ssize_t wrote = write(target[i % 4], noise, sizeof noise);
        written += wrote > 0 ? (uint64_t)wrote : 0;
        rig_turn_for(relay->rig, 0);
        most = relay->rig->server.memory.used > most ? relay->rig->server.memory.used : most;
    }
    assert_true(written > GY_FORWARD_AHEAD);      /* more was there to be sent */
    assert_true(most > GY_FORWARD_AHEAD - 65536); /* and was taken up to the bound */
    assert_true(most < GY_FORWARD_AHEAD + (1u << 20));
    for (uint32_t i = 0; i < 4; i++) {
        close(target[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connections_without_end_are_refused_one_by_one),
        TEST(a_flow_is_opened_once),
        TEST(a_client_does_not_say_that_the_target_is_connected),
        TEST(data_before_the_target_is_connected_are_an_offence),
        TEST(data_beyond_the_credit_are_an_offence_and_held_by_nobody),
        TEST(credit_has_a_bound),
        TEST(messages_of_no_flow_are_counted_and_nothing_else),
        TEST(what_a_client_does_not_take_is_bounded_whatever_it_asks_for),
    };
    return cmocka_run_group_tests_name("forward_service", tests, NULL, NULL);
}
