/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/rudp/pair.h"

static struct pair pair;

static void a_first_hello_is_answered_by_a_cookie_and_nothing_is_kept(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    uint8_t answer[GY_RUDP_ANSWER_MAX];
    size_t bytes;
    pair_begin(&pair, &config);
    assert_int_equal(pair_hello(&pair, answer, &bytes), GY_RUDP_ANSWER);
    assert_int_equal(answer[0], 0x82);
    assert_true(bytes > 0 && bytes <= 3 * GY_RUDP_HELLO_BYTES);
    assert_int_equal(pair.gate.accepts, 0);
    pair_end(&pair);
}

static void a_lost_accept_is_asked_for_again(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    uint8_t answer[GY_RUDP_ANSWER_MAX], out[PAIR_PACKET_MAX];
    size_t bytes;
    pair_begin(&pair, &config);
    pair_hello(&pair, answer, &bytes);
    gy_rudp_receive(&pair.client.conn, answer, bytes, pair.now_ns);
    assert_int_equal(pair_hello(&pair, answer, &bytes), GY_RUDP_ADMIT);
    assert_true(pair_output(&pair, &pair.server, out) > 0);
    assert_int_equal(pair_output(&pair, &pair.server, out), 0);
    assert_int_equal(pair_output(&pair, &pair.client, out), 0);
    pair.now_ns = gy_rudp_timeout(&pair.client.conn);
    gy_rudp_expire(&pair.client.conn, pair.now_ns);
    assert_int_equal(pair_pass(&pair, &pair.client, &pair.server), 1);
    assert_int_equal(pair_pass(&pair, &pair.server, &pair.client), 1);
    assert_int_equal(pair.client.conn.state, GY_RUDP_OPEN);
    pair_end(&pair);
}

/* A HELLO with the cookie that was given to "peer" at pair.now_ns. */
static size_t hello_with_cookie(uint8_t *out)
{
    struct gy_rudp_config config = pair_config();
    uint8_t answer[GY_RUDP_ANSWER_MAX];
    size_t bytes;
    pair_begin(&pair, &config);
    pair_hello(&pair, answer, &bytes);
    gy_rudp_receive(&pair.client.conn, answer, bytes, pair.now_ns);
    return pair_output(&pair, &pair.client, out);
}

static enum gy_rudp_verdict take(const void *address, size_t address_bytes, const uint8_t *data,
                                 size_t bytes, uint8_t *answer, size_t *answer_bytes)
{
    struct gy_rudp_long hello;
    return gy_rudp_gate_take(&pair.gate, address, address_bytes, data, bytes, pair.now_ns, &hello,
                             answer, answer_bytes);
}

static void a_cookie_of_another_address_or_too_old_is_not_good(void **state)
{
    (void)state;
    uint8_t out[PAIR_PACKET_MAX], answer[GY_RUDP_ANSWER_MAX];
    size_t bytes = hello_with_cookie(out), answer_bytes;
    assert_int_equal(take("peer", 4, out, bytes, answer, &answer_bytes), GY_RUDP_ADMIT);
    assert_int_equal(take("pear", 4, out, bytes, answer, &answer_bytes), GY_RUDP_ANSWER);
    pair.now_ns += 10001 * MS;
    assert_int_equal(take("peer", 4, out, bytes, answer, &answer_bytes), GY_RUDP_ANSWER);
    assert_int_equal(answer[0], 0x82);
    pair_end(&pair);
}

static void another_version_is_told_ours(void **state)
{
    (void)state;
    uint8_t out[PAIR_PACKET_MAX], answer[GY_RUDP_ANSWER_MAX];
    size_t bytes = hello_with_cookie(out), answer_bytes;
    out[1] ^= 0xff;
    assert_int_equal(take("peer", 4, out, bytes, answer, &answer_bytes), GY_RUDP_ANSWER);
    const uint8_t head[] = {0x80, 0, 0, 0, 0, 0, 0, 0x67, 0x79, 0x00, 0x01};
    assert_memory_equal(answer, head, sizeof head);
    /* A short one is not worth an answer, and a server's answer never is. */
    assert_int_equal(take("peer", 4, out, 1199, answer, &answer_bytes), GY_RUDP_DROP);
    pair_end(&pair);
}

static void an_unknown_connection_is_reset_by_something_shorter(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    uint8_t packet[40] = {0x40, 1, 2, 3, 4}, answer[GY_RUDP_ANSWER_MAX];
    size_t answer_bytes;
    pair_open(&pair, &config);
    assert_int_equal(take("peer", 4, packet, 21, answer, &answer_bytes), GY_RUDP_DROP);
    assert_int_equal(take("peer", 4, packet, 40, answer, &answer_bytes), GY_RUDP_ANSWER);
    assert_int_equal(answer_bytes, 21);
    gy_rudp_receive(&pair.client.conn, answer, answer_bytes, pair.now_ns);
    assert_int_equal(pair.client.conn.state, GY_RUDP_DEAD);
    assert_int_equal(pair.client.conn.close_code, GY_RUDP_CLOSE_RESET);
    pair_end(&pair);
}

static void no_answer_ends_the_handshake(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    uint8_t out[PAIR_PACKET_MAX];
    uint32_t hellos = 0;
    config.handshake_timeout_ns = 10000 * MS;
    pair_begin(&pair, &config);
    struct gy_rudp_message message = {.data = (const uint8_t *)"x", .length = 1};
    assert_int_equal(gy_rudp_send(&pair.client.conn, &message), 0);
    while (pair.client.conn.state == GY_RUDP_CONNECTING && hellos < 100) {
        hellos += pair_output(&pair, &pair.client, out) > 0;
        pair.now_ns = gy_rudp_timeout(&pair.client.conn);
        gy_rudp_expire(&pair.client.conn, pair.now_ns);
    }
    /* At 0, 0.3, 0.9, 2.1, 4.5 and 9.3 s. */
    assert_int_equal(hellos, 6);
    assert_int_equal(pair.client.conn.close_code, GY_RUDP_CLOSE_HANDSHAKE);
    assert_ptr_equal(gy_rudp_finished(&pair.client.conn), &message);
    assert_int_equal(message.result, GY_RUDP_CLOSED);
    pair_end(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_hello_is_answered_by_a_cookie_and_nothing_is_kept),
        cmocka_unit_test(a_lost_accept_is_asked_for_again),
        cmocka_unit_test(a_cookie_of_another_address_or_too_old_is_not_good),
        cmocka_unit_test(another_version_is_told_ours),
        cmocka_unit_test(an_unknown_connection_is_reset_by_something_shorter),
        cmocka_unit_test(no_answer_ends_the_handshake),
    };
    return cmocka_run_group_tests_name("rudp_gate", tests, NULL, NULL);
}
