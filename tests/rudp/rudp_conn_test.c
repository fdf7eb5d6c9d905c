/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/rudp/pair.h"

static struct pair pair;

static struct gy_rudp_message text(const char *data, uint8_t channel,
                                   enum gy_rudp_guarantee guarantee)
{
    return (struct gy_rudp_message){.data = (const uint8_t *)data,
                                    .length = (uint32_t)strlen(data),
                                    .channel = channel,
                                    .guarantee = guarantee};
}

static void send(struct gy_rudp_message *message)
{
    assert_int_equal(gy_rudp_send(&pair.client.conn, message), 0);
}

static size_t output(uint8_t *out)
{
    return pair_output(&pair, &pair.client, out);
}

/* A short packet to the server from the test's own hand. */
static void forge(uint8_t number, const uint8_t *frames, size_t bytes)
{
    uint8_t packet[PAIR_PACKET_MAX] = {0x40, 1, 2, 3, 4, number};
    memcpy(packet + 6, frames, bytes);
    gy_rudp_receive(&pair.server.conn, packet, 6 + bytes, pair.now_ns);
}

#define FORGE(number, ...)                                                                         \
    forge(number, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void open_pair(void)
{
    struct gy_rudp_config config = pair_config();
    pair_open(&pair, &config);
}

static void small_messages_share_a_packet(void **state)
{
    (void)state;
    open_pair();
    struct gy_rudp_message messages[20];
    for (unsigned i = 0; i < 20; i++) {
        messages[i] = text("small", (uint8_t)(i % 8), GY_RUDP_ORDERED);
        send(&messages[i]);
    }
    assert_int_equal(pair_pass(&pair, &pair.client, &pair.server), 1);
    assert_int_equal(pair.server.got, 20);
    pair_run(&pair, 30);
    for (unsigned i = 0; i < 20; i++) {
        struct gy_rudp_message *message = gy_rudp_finished(&pair.client.conn);
        assert_non_null(message);
        assert_int_equal(message->result, GY_RUDP_ACKED);
    }
    assert_null(gy_rudp_finished(&pair.client.conn));
    pair_end(&pair);
}

static void a_small_message_costs_seven_bytes_and_the_connection_id(void **state)
{
    (void)state;
    open_pair();
    uint8_t out[PAIR_PACKET_MAX];
    struct gy_rudp_message message = text("0123456789", 3, GY_RUDP_ORDERED);
    send(&message);
    assert_int_equal(output(out), 10 + 7 + 4);
    const uint8_t packet[] = {0x42, 1, 2, 3, 4, 0, 0, 0, 0x1b, 3, 0, '0', '1'};
    assert_memory_equal(out, packet, sizeof packet);
    pair_end(&pair);
}

static void one_packet_is_acknowledged_after_a_while_and_two_at_once(void **state)
{
    (void)state;
    open_pair();
    uint8_t out[PAIR_PACKET_MAX];
    struct gy_rudp_message one = text("1", 0, GY_RUDP_ORDERED), two = text("2", 0, GY_RUDP_ORDERED);
    send(&one);
    pair_pass(&pair, &pair.client, &pair.server);
    assert_int_equal(pair_output(&pair, &pair.server, out), 0);
    assert_true(gy_rudp_timeout(&pair.server.conn) <= pair.now_ns + 25 * MS);
    send(&two);
    pair_pass(&pair, &pair.client, &pair.server);
    assert_true(pair_output(&pair, &pair.server, out) > 0);
    pair_end(&pair);
}

static void a_packet_out_of_order_is_acknowledged_at_once(void **state)
{
    (void)state;
    open_pair();
    uint8_t out[PAIR_PACKET_MAX];
    FORGE(0, 0x01, 0, 0, 0);
    assert_int_equal(pair_output(&pair, &pair.server, out), 0);
    pair.now_ns += 30 * MS;
    assert_true(pair_output(&pair, &pair.server, out) > 0);
    FORGE(2, 0x01, 0, 0, 0);
    size_t bytes = pair_output(&pair, &pair.server, out);
    assert_true(bytes > 0);
    /* Largest 2, no delay, one more range: 2, then 0. */
    const uint8_t ack[] = {0x02, 0x02, 0x00, 0x01, 0x00, 0x00, 0x00};
    assert_memory_equal(out + 4, ack, sizeof ack);
    pair_end(&pair);
}

static void a_packet_that_came_before_does_nothing(void **state)
{
    (void)state;
    open_pair();
    FORGE(0, 0x10, 0, 1, 'a');
    FORGE(0, 0x10, 0, 1, 'a');
    assert_int_equal(pair.server.got, 1);
    assert_int_equal(pair.server.conn.stats.duplicates, 1);
    pair_end(&pair);
}

static void ordered_messages_wait_and_other_channels_do_not(void **state)
{
    (void)state;
    open_pair();
    FORGE(0, 0x13, 0, 1, 1, 'b');
    FORGE(1, 0x13, 1, 0, 1, 'c');
    FORGE(2, 0x12, 0, 5, 1, 'u');
    assert_int_equal(pair.server.got, 2);
    FORGE(3, 0x13, 0, 0, 1, 'a');
    assert_int_equal(pair.server.got, 4);
    assert_memory_equal(pair.server.order, "cuab", 4);
    pair_end(&pair);
}

static void a_reliable_message_is_taken_once_whatever_packet_brings_it(void **state)
{
    (void)state;
    open_pair();
    for (uint8_t i = 0; i < 3; i++) {
        FORGE(i, 0x12, 0, 0, 1, 'u', 0x13, 0, 0, 1, 'o');
    }
    assert_int_equal(pair.server.got, 2);
    pair_end(&pair);
}

static void sequenced_messages_never_go_back(void **state)
{
    (void)state;
    open_pair();
    FORGE(0, 0x11, 0, 1, 1, 'b');
    FORGE(1, 0x11, 0, 0, 1, 'a');
    FORGE(2, 0x11, 0, 2, 1, 'c');
    assert_int_equal(pair.server.got, 2);
    assert_memory_equal(pair.server.order, "bc", 2);
    pair_end(&pair);
}

static void an_expired_message_is_skipped_by_the_receiver(void **state)
{
    (void)state;
    open_pair();
    uint8_t out[PAIR_PACKET_MAX];
    struct gy_rudp_message late = text("late", 0, GY_RUDP_ORDERED);
    struct gy_rudp_message next = text("next", 0, GY_RUDP_ORDERED);
    late.deadline_ns = pair.now_ns + 20 * MS;
    send(&late);
    assert_true(output(out) > 0); /* and lost */
    pair.now_ns += 10 * MS;
    send(&next);
    pair_pass(&pair, &pair.client, &pair.server);
    assert_int_equal(pair.server.got, 0);
    assert_null(gy_rudp_finished(&pair.client.conn));
    assert_true(gy_rudp_timeout(&pair.client.conn) <= late.deadline_ns);
    pair.now_ns = late.deadline_ns;
    gy_rudp_expire(&pair.client.conn, pair.now_ns);
    assert_ptr_equal(gy_rudp_finished(&pair.client.conn), &late);
    assert_int_equal(late.result, GY_RUDP_EXPIRED);
    pair_pass(&pair, &pair.client, &pair.server);
    assert_int_equal(pair.server.got, 1);
    assert_int_equal(pair.server.order[0], 'n');
    pair_end(&pair);
}

static void a_message_cancelled_before_it_began_leaves_no_trace(void **state)
{
    (void)state;
    open_pair();
    struct gy_rudp_message message = text("never", 0, GY_RUDP_ORDERED);
    send(&message);
    gy_rudp_cancel(&pair.client.conn, &message);
    assert_int_equal(pair_pass(&pair, &pair.client, &pair.server), 0);
    assert_ptr_equal(gy_rudp_finished(&pair.client.conn), &message);
    assert_int_equal(message.result, GY_RUDP_CANCELLED);
    struct gy_rudp_message next = text("next", 0, GY_RUDP_ORDERED);
    send(&next);
    pair_pass(&pair, &pair.client, &pair.server);
    assert_int_equal(pair.server.got, 1);
    pair_end(&pair);
}

static void tries_are_counted(void **state)
{
    (void)state;
    open_pair();
    uint8_t out[PAIR_PACKET_MAX];
    struct gy_rudp_message message = text("x", 0, GY_RUDP_UNORDERED);
    uint32_t sent = 0;
    message.tries_max = 2;
    send(&message);
    for (unsigned i = 0; i < 10 && message.result == GY_RUDP_PENDING; i++) {
        while (output(out) > 0) {
            sent += out[8] == 0x1a;
        }
        pair.now_ns = gy_rudp_timeout(&pair.client.conn);
        gy_rudp_expire(&pair.client.conn, pair.now_ns);
    }
    assert_int_equal(message.result, GY_RUDP_EXPIRED);
    assert_int_equal(sent, 2);
    pair_end(&pair);
}

static void an_urgent_channel_goes_first(void **state)
{
    (void)state;
    open_pair();
    static uint8_t bulk[20000] = {'b'};
    struct gy_rudp_message large = {
        .data = bulk, .length = sizeof bulk, .guarantee = GY_RUDP_ORDERED};
    struct gy_rudp_message urgent = text("urgent", 1, GY_RUDP_ORDERED);
    uint8_t out[PAIR_PACKET_MAX];
    gy_rudp_channel_priority(&pair.client.conn, 1, 0);
    send(&large);
    assert_true(output(out) > 0);
    send(&urgent);
    size_t bytes = output(out);
    gy_rudp_receive(&pair.server.conn, out, bytes, pair.now_ns);
    assert_int_equal(pair.server.got, 1);
    assert_int_equal(pair.server.order[0], 'u');
    pair_end(&pair);
}

static void channels_share_by_their_weights(void **state)
{
    (void)state;
    open_pair();
    static uint8_t bulk[20000] = {'b'};
    struct gy_rudp_message messages[2];
    uint8_t out[PAIR_PACKET_MAX];
    char order[9] = {0};
    for (uint8_t i = 0; i < 2; i++) {
        messages[i] = (struct gy_rudp_message){
            .data = bulk, .length = sizeof bulk, .channel = i, .guarantee = GY_RUDP_ORDERED};
        send(&messages[i]);
    }
    gy_rudp_channel_weight(&pair.client.conn, 0, 3);
    for (unsigned i = 0; i < 8; i++) {
        assert_true(output(out) > 0);
        assert_int_equal(out[8] & 0xf0, 0x10); /* behind flags, id and number: MESSAGE */
        order[i] = (char)('0' + out[9]);
    }
    assert_string_equal(order, "00010001");
    pair_end(&pair);
}

static void a_message_of_16_mib_arrives(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    config.window_bytes = 32u << 20;
    config.message_max = GY_RUDP_MESSAGE_LIMIT;
    pair_open(&pair, &config);
    struct gy_rudp_message message = {.length = GY_RUDP_MESSAGE_LIMIT,
                                      .guarantee = GY_RUDP_ORDERED};
    uint8_t *data = calloc(1, message.length);
    assert_non_null(data);
    message.data = data;
    send(&message);
    for (unsigned i = 0; i < 2000 && message.result == GY_RUDP_PENDING; i++) {
        pair_run(&pair, 1);
    }
    assert_int_equal(message.result, GY_RUDP_ACKED);
    assert_true(pair.server.got_bytes == GY_RUDP_MESSAGE_LIMIT);
    assert_ptr_equal(gy_rudp_finished(&pair.client.conn), &message);
    message.length++;
    assert_int_equal(gy_rudp_send(&pair.client.conn, &message), GY_ELIMIT);
    free(data);
    pair_end(&pair);
}

static void what_is_not_consumed_holds_the_sender_back(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    config.window_bytes = 4096;
    config.message_max = 1024;
    pair_open(&pair, &config);
    static uint8_t data[1024];
    struct gy_rudp_message messages[8];
    pair.server.hold = true;
    for (unsigned i = 0; i < 8; i++) {
        messages[i] = (struct gy_rudp_message){
            .data = data, .length = sizeof data, .guarantee = GY_RUDP_ORDERED};
        send(&messages[i]);
    }
    pair_run(&pair, 100);
    assert_int_equal(pair.server.got, 4);
    gy_rudp_consumed(&pair.server.conn, 0, 2048);
    pair_run(&pair, 100);
    assert_int_equal(pair.server.got, 6);
    gy_rudp_consumed(&pair.server.conn, 0, 4096);
    pair_run(&pair, 100);
    assert_int_equal(pair.server.got, 8);
    pair_end(&pair);
}

static void more_than_the_window_ends_the_connection(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    config.window_bytes = 4096;
    config.message_max = 3072;
    pair_open(&pair, &config);
    /* Of 3072, then of 3072 again: the beginning of each is enough. */
    uint8_t part[6 + 64] = {0x1f, 0, 0, 0x4c, 0x00, 0};
    forge(0, part, sizeof part);
    assert_int_equal(pair.server.conn.state, GY_RUDP_OPEN);
    part[2] = 1;
    forge(1, part, sizeof part);
    assert_int_equal(pair.server.conn.state, GY_RUDP_CLOSING);
    assert_int_equal(pair.server.conn.close_code, GY_RUDP_CLOSE_FLOW);
    pair_end(&pair);
}

static void what_was_never_sent_cannot_be_acknowledged(void **state)
{
    (void)state;
    open_pair();
    FORGE(0, 0x02, 0x00, 0, 0, 0);
    assert_int_equal(pair.server.conn.close_code, GY_RUDP_CLOSE_PROTOCOL);
    pair_end(&pair);
}

static void who_acknowledges_a_number_that_was_left_out_is_cut_off(void **state)
{
    (void)state;
    open_pair();
    struct gy_rudp_message message = text("m", 0, GY_RUDP_UNRELIABLE);
    for (unsigned i = 0; i < 62; i++) {
        assert_int_equal(gy_rudp_send(&pair.server.conn, &message), 0);
        pair_pass(&pair, &pair.server, &pair.client);
        pair_run(&pair, 40);
        assert_ptr_equal(gy_rudp_finished(&pair.server.conn), &message);
    }
    assert_int_equal(pair.client.got, 62);
    assert_int_equal(pair.server.conn.state, GY_RUDP_OPEN);
    FORGE(0x7f, 0x02, 60, 0, 0, 0);
    assert_int_equal(pair.server.conn.close_code, GY_RUDP_CLOSE_PROTOCOL);
    pair_end(&pair);
}

static void fragments_of_many_messages_hold_bounded_memory(void **state)
{
    (void)state;
    open_pair();
    size_t most = 0;
    /* Unreliable, so the window does not hold them back; the oldest give way. */
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t packet[16 + 80] = {0x41, 1, 2, 3, 4, (uint8_t)(i >> 8), (uint8_t)i};
        uint8_t frame[9 + 64] = {0x1d, 0, 0x40, 0, 0x80, 0x07, 0xff, 0xff, 0};
        frame[2] = (uint8_t)(0x40 | i >> 8);
        frame[3] = (uint8_t)i;
        memcpy(packet + 7, frame, sizeof frame);
        gy_rudp_receive(&pair.server.conn, packet, 7 + sizeof frame, pair.now_ns);
        most = pair.server.taken > most ? pair.server.taken : most;
    }
    assert_true(most > 0 && most <= gy_rudp_reassembly_bytes(&pair.config));
    assert_true(pair.server.conn.stats.evicted > 900);
    assert_int_equal(pair.server.conn.state, GY_RUDP_OPEN);
    pair_end(&pair);
}

static void a_close_reaches_the_peer_with_its_reason(void **state)
{
    (void)state;
    open_pair();
    struct gy_rudp_message message = text("m", 0, GY_RUDP_ORDERED);
    assert_int_equal(gy_rudp_send(&pair.server.conn, &message), 0);
    gy_rudp_close(&pair.client.conn, 0x123, "enough", pair.now_ns);
    pair_pass(&pair, &pair.client, &pair.server);
    assert_int_equal(pair.server.conn.state, GY_RUDP_DRAINING);
    assert_int_equal(pair.server.conn.close_code, 0x123);
    assert_string_equal(pair.server.conn.close_reason, "enough");
    assert_true(pair.server.conn.closed_by_peer);
    assert_ptr_equal(gy_rudp_finished(&pair.server.conn), &message);
    assert_int_equal(message.result, GY_RUDP_CLOSED);
    assert_int_equal(gy_rudp_send(&pair.server.conn, &message), GY_ECLOSED);
    pair_run(&pair, 4000);
    assert_int_equal(pair.client.conn.state, GY_RUDP_DEAD);
    assert_int_equal(pair.server.conn.state, GY_RUDP_DEAD);
    pair_end(&pair);
}

static void silence_ends_a_connection_and_keepalive_prevents_it(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    config.keepalive_ns = 10000 * MS;
    pair_open(&pair, &config);
    pair_run(&pair, 100000);
    assert_int_equal(pair.client.conn.state, GY_RUDP_OPEN);
    pair.now_ns += 30001 * MS;
    gy_rudp_expire(&pair.client.conn, pair.now_ns);
    assert_int_equal(pair.client.conn.state, GY_RUDP_DEAD);
    assert_int_equal(pair.client.conn.close_code, GY_RUDP_CLOSE_IDLE);
    pair_end(&pair);
}

static void a_setting_out_of_bounds_is_refused(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    struct gy_rudp_env env = pair_env(&pair.client);
    struct gy_rudp_cid nobody = {.length = 0};
    pair_begin(&pair, &config);
    config.packets = 1000;
    assert_int_equal(
        gy_rudp_connect(&pair.client.conn, &config, pair.client.memory, &env, &nobody, pair.now_ns),
        GY_EINVAL);
    config = pair_config();
    config.message_max = config.window_bytes;
    assert_int_equal(
        gy_rudp_connect(&pair.client.conn, &config, pair.client.memory, &env, &nobody, pair.now_ns),
        GY_EINVAL);
    pair_end(&pair);
}

static void cubic_gives_up_three_tenths_once_a_round_trip(void **state)
{
    (void)state;
    struct gy_rudp_congestion cubic;
    gy_rudp_cubic_init(&cubic, 1200);
    assert_int_equal(cubic.window_bytes, 12000);
    cubic.ops->acked(&cubic, 12000, 1 * MS, 10 * MS, true, 11 * MS);
    assert_int_equal(cubic.window_bytes, 24000);
    cubic.ops->lost(&cubic, 12 * MS, 20 * MS);
    assert_int_equal(cubic.window_bytes, 16800);
    cubic.ops->lost(&cubic, 19 * MS, 25 * MS);
    assert_int_equal(cubic.window_bytes, 16800);
    cubic.ops->spurious(&cubic, 12 * MS);
    assert_int_equal(cubic.window_bytes, 24000);
    cubic.ops->persistent(&cubic);
    assert_int_equal(cubic.window_bytes, 2400);
}

static void cubic_is_back_at_its_plateau_after_k_seconds(void **state)
{
    (void)state;
    struct gy_rudp_congestion cubic;
    gy_rudp_cubic_init(&cubic, 1000);
    cubic.window_bytes = 1000 * 1000;
    cubic.ops->lost(&cubic, 1 * MS, 2 * MS);
    assert_int_equal(cubic.window_bytes, 700 * 1000);
    /* K is the cube root of 300 / 0.4: 9.09 s. Round trips of 100 ms, so Reno would be far below.
     */
    for (uint64_t at = 100 * MS; at < 9090 * MS; at += 100 * MS) {
        uint64_t window = cubic.window_bytes;
        for (uint64_t bytes = 0; bytes < window; bytes += 1000) {
            cubic.ops->acked(&cubic, 1000, at, 100 * MS, true, at);
        }
    }
    assert_true(cubic.window_bytes >= 990 * 1000 && cubic.window_bytes <= 1010 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_messages_share_a_packet),
        cmocka_unit_test(a_small_message_costs_seven_bytes_and_the_connection_id),
        cmocka_unit_test(one_packet_is_acknowledged_after_a_while_and_two_at_once),
        cmocka_unit_test(a_packet_out_of_order_is_acknowledged_at_once),
        cmocka_unit_test(a_packet_that_came_before_does_nothing),
        cmocka_unit_test(ordered_messages_wait_and_other_channels_do_not),
        cmocka_unit_test(a_reliable_message_is_taken_once_whatever_packet_brings_it),
        cmocka_unit_test(sequenced_messages_never_go_back),
        cmocka_unit_test(an_expired_message_is_skipped_by_the_receiver),
        cmocka_unit_test(a_message_cancelled_before_it_began_leaves_no_trace),
        cmocka_unit_test(tries_are_counted),
        cmocka_unit_test(an_urgent_channel_goes_first),
        cmocka_unit_test(channels_share_by_their_weights),
        cmocka_unit_test(a_message_of_16_mib_arrives),
        cmocka_unit_test(what_is_not_consumed_holds_the_sender_back),
        cmocka_unit_test(more_than_the_window_ends_the_connection),
        cmocka_unit_test(what_was_never_sent_cannot_be_acknowledged),
        cmocka_unit_test(who_acknowledges_a_number_that_was_left_out_is_cut_off),
        cmocka_unit_test(fragments_of_many_messages_hold_bounded_memory),
        cmocka_unit_test(a_close_reaches_the_peer_with_its_reason),
        cmocka_unit_test(silence_ends_a_connection_and_keepalive_prevents_it),
        cmocka_unit_test(a_setting_out_of_bounds_is_refused),
        cmocka_unit_test(cubic_gives_up_three_tenths_once_a_round_trip),
        cmocka_unit_test(cubic_is_back_at_its_plateau_after_k_seconds),
    };
    return cmocka_run_group_tests_name("rudp_conn", tests, NULL, NULL);
}
