/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Credit of channels: readers that do not read, and what the others notice of it. */

#include "tests/rudp/pair.h"

#define STALLED 4 /* channels 1 to 4 */
#define CHANNEL (32u << 10)
#define BULK    1000u
#define FLOOD   200u /* messages of each stalled channel: six times what it may hold */

static struct pair pair;
static const uint8_t text[BULK];
static struct gy_rudp_message flood[STALLED][FLOOD], urgent[1024];
static uint64_t held[8], urgent_ns[1024];
static uint32_t urgent_got;
static bool reading;
static size_t taken_max;

static bool received(struct gy_rudp_conn *conn, uint8_t channel, enum gy_rudp_guarantee guarantee,
                     const uint8_t *data, size_t length)
{
    (void)conn, (void)guarantee, (void)data;
    if (channel == 0) {
        urgent_ns[urgent_got++] = pair.now_ns;
        return true;
    }
    held[channel] += reading ? 0 : length;
    return reading;
}

static void begin(uint64_t channel_window)
{
    struct gy_rudp_config config = pair_config();
    config.window_bytes = 64u << 10;
    config.channel_window_bytes = channel_window;
    config.message_max = 16u << 10;
    pair_open(&pair, &config);
    pair.server.conn.env.received = received;
    memset(held, 0, sizeof held);
    urgent_got = 0;
    reading = false;
    taken_max = 0;
}

static int end(void **state)
{
    (void)state;
    pair_end(&pair);
    return 0;
}

static void send_flood(uint8_t channel)
{
    for (uint32_t i = 0; i < FLOOD; i++) {
        flood[channel - 1][i] = (struct gy_rudp_message){
            .data = text, .length = BULK, .channel = channel, .guarantee = GY_RUDP_ORDERED};
        assert_int_equal(gy_rudp_send(&pair.client.conn, &flood[channel - 1][i]), 0);
    }
}

/* One urgent message each millisecond; how long they took altogether, and how many came. */
static uint64_t send_urgent(uint32_t count)
{
    uint64_t sum_ns = 0;
    uint32_t first = urgent_got;
    static uint64_t sent_ns[1024];
    assert_true(first + count <= 1024);
    for (uint32_t i = 0; i < count; i++) {
        struct gy_rudp_message *message = &urgent[first + i];
        *message =
            (struct gy_rudp_message){.data = text, .length = 100, .guarantee = GY_RUDP_ORDERED};
        sent_ns[i] = pair.now_ns;
        assert_int_equal(gy_rudp_send(&pair.client.conn, message), 0);
        pair_run(&pair, 1);
        taken_max = pair.server.taken > taken_max ? pair.server.taken : taken_max;
    }
    pair_run(&pair, 50);
    for (uint32_t i = 0; i < urgent_got - first; i++) {
        sum_ns += urgent_ns[first + i] - sent_ns[i];
    }
    return sum_ns;
}

static uint64_t all_held(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < 8; i++) {
        sum += held[i];
    }
    return sum;
}

static void channels_whose_readers_do_not_read_delay_no_other(void **state)
{
    (void)state;
    begin(CHANNEL);
    uint64_t alone_ns = send_urgent(300);
    assert_int_equal(urgent_got, 300);
    for (uint8_t channel = 1; channel <= STALLED; channel++) {
        send_flood(channel);
    }
    pair_run(&pair, 500);
    assert_true(all_held() > 64u << 10); /* more than the connection's window, all of it stuck */
    uint64_t beside_ns = send_urgent(300);
    assert_int_equal(urgent_got, 600);
    assert_true(beside_ns == alone_ns);
}

static void without_credit_of_its_own_one_such_channel_stops_all(void **state)
{
    (void)state;
    begin(0);
    send_flood(1);
    pair_run(&pair, 500);
    assert_true(all_held() > (48u << 10) && all_held() <= 64u << 10);
    send_urgent(300);
    assert_true(urgent_got < 300);
    assert_int_equal(pair.client.conn.stats.blocked, 1);
    assert_int_equal(pair.server.conn.stats.blocked_received, 1);
}

static void what_readers_hold_and_reassembly_stay_within_their_bounds(void **state)
{
    (void)state;
    begin(CHANNEL);
    for (uint8_t channel = 1; channel <= STALLED; channel++) {
        send_flood(channel);
    }
    send_urgent(500);
    for (uint8_t channel = 1; channel <= STALLED; channel++) {
        assert_true(held[channel] <= CHANNEL && held[channel] > CHANNEL - BULK);
    }
    assert_true(taken_max <= gy_rudp_reassembly_bytes(&pair.config));
    assert_int_equal(pair.server.taken, 0); /* nothing waits in the protocol itself */
}

static void a_channel_that_is_read_again_goes_on_and_loses_nothing(void **state)
{
    (void)state;
    begin(CHANNEL);
    send_flood(2);
    pair_run(&pair, 500);
    uint64_t stuck = held[2];
    assert_true(stuck < FLOOD * BULK);
    reading = true;
    gy_rudp_consumed(&pair.server.conn, 2, stuck);
    pair_run(&pair, 500);
    struct gy_rudp_channel_stats stats;
    gy_rudp_channel_stats(&pair.server.conn, 2, &stats);
    assert_true(stats.delivered == FLOOD && stats.delivered_bytes == FLOOD * BULK);
}

static void a_channel_that_is_stopped_says_so_once(void **state)
{
    (void)state;
    struct gy_rudp_channel_stats stats;
    begin(CHANNEL);
    send_flood(3);
    pair_run(&pair, 1000);
    gy_rudp_channel_stats(&pair.client.conn, 3, &stats);
    assert_int_equal(stats.blocked, 1);
    gy_rudp_channel_stats(&pair.server.conn, 3, &stats);
    assert_int_equal(stats.blocked_received, 1);
    gy_rudp_consumed(&pair.server.conn, 3, held[3]); /* more credit, which is used up again */
    pair_run(&pair, 1000);
    gy_rudp_channel_stats(&pair.server.conn, 3, &stats);
    assert_int_equal(stats.blocked_received, 2);
}

static void credit_of_a_channel_that_is_lost_is_said_again(void **state)
{
    (void)state;
    uint8_t out[PAIR_PACKET_MAX];
    begin(CHANNEL);
    send_flood(2);
    pair_run(&pair, 500);
    reading = true;
    gy_rudp_consumed(&pair.server.conn, 2, held[2]);
    uint32_t gone = 0;
    while (pair_output(&pair, &pair.server, out) > 0) {
        gone++;
    }
    assert_true(gone > 0);
    pair_run(&pair, 3000);
    struct gy_rudp_channel_stats stats;
    gy_rudp_channel_stats(&pair.server.conn, 2, &stats);
    assert_int_equal(stats.delivered, FLOOD);
}

static void a_peer_that_sends_more_than_a_channel_s_credit_is_closed(void **state)
{
    (void)state;
    begin(CHANNEL);
    pair.client.conn.theirs.channel_window = 1u << 20;
    send_flood(1);
    pair_run(&pair, 500);
    assert_true(pair.client.conn.state > GY_RUDP_OPEN);
    assert_int_equal(pair.client.conn.close_code, GY_RUDP_CLOSE_FLOW);
    assert_true(held[1] <= CHANNEL);
}

static void a_peer_that_does_not_know_of_it_shares_the_connection_s_window(void **state)
{
    (void)state;
    begin(CHANNEL);
    pair.server.conn.theirs.features = 0;
    pair.client.conn.theirs.features = 0;
    pair.client.conn.theirs.channel_window = 0;
    send_flood(1);
    pair_run(&pair, 500);
    assert_int_equal(pair.client.conn.state, GY_RUDP_OPEN);
    assert_true(held[1] > CHANNEL && held[1] <= 64u << 10);
    assert_int_equal(pair.client.conn.stats.blocked, 0); /* it would not know the frame */
    reading = true;
    gy_rudp_consumed(&pair.server.conn, 1, held[1]);
    pair_run(&pair, 500);
    struct gy_rudp_channel_stats stats;
    gy_rudp_channel_stats(&pair.server.conn, 1, &stats);
    assert_int_equal(stats.delivered, FLOOD);
}

static void credit_for_a_channel_that_is_none_breaks_the_protocol(void **state)
{
    (void)state;
    begin(CHANNEL);
    uint8_t packet[] = {0x41, 0x03, 0xe8, 0x0b, 8, 0x44, 0x00, 0x01}; /* of eight, the ninth */
    gy_rudp_receive(&pair.client.conn, packet, sizeof packet, pair.now_ns);
    assert_int_equal(pair.client.conn.close_code, GY_RUDP_CLOSE_PROTOCOL);
}

static void a_window_that_holds_no_message_is_no_configuration(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    struct gy_rudp_env env = pair_env(&pair.client);
    struct gy_rudp_cid nobody = {.length = 0};
    void *memory = pair_memory(&config);
    config.channel_window_bytes = config.message_max;
    struct gy_rudp_conn *conn = &pair.client.conn;
    assert_int_equal(gy_rudp_connect(conn, &config, memory, &env, &nobody, 1), GY_EINVAL);
    config.channel_window_bytes = config.message_max / 3 * 4 + 4;
    assert_int_equal(gy_rudp_connect(conn, &config, memory, &env, &nobody, 1), 0);
    gy_rudp_free(conn);
    free(memory);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(channels_whose_readers_do_not_read_delay_no_other),
        TEST(without_credit_of_its_own_one_such_channel_stops_all),
        TEST(what_readers_hold_and_reassembly_stay_within_their_bounds),
        TEST(a_channel_that_is_read_again_goes_on_and_loses_nothing),
        TEST(a_channel_that_is_stopped_says_so_once),
        TEST(credit_of_a_channel_that_is_lost_is_said_again),
        TEST(a_peer_that_sends_more_than_a_channel_s_credit_is_closed),
        TEST(a_peer_that_does_not_know_of_it_shares_the_connection_s_window),
        TEST(credit_for_a_channel_that_is_none_breaks_the_protocol),
        cmocka_unit_test(a_window_that_holds_no_message_is_no_configuration),
    };
    return cmocka_run_group_tests_name("rudp_channel", tests, NULL, NULL);
}
