/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What a path takes is found, and found again when it takes less. */

#include "tests/rudp/pair.h"

static uint8_t data[100000];

static uint32_t pass(struct pair *pair, struct end *from, struct end *to, size_t most)
{
    uint8_t out[PAIR_PACKET_MAX];
    size_t bytes;
    uint32_t longest = 0;
    while ((bytes = gy_rudp_output(&from->conn, out, sizeof out, pair->now_ns)) > 0) {
        longest = bytes > longest ? (uint32_t)bytes : longest;
        if (bytes <= most) {
            gy_rudp_receive(&to->conn, out, bytes, pair->now_ns);
        }
    }
    return longest;
}

/* The way there takes datagrams of `most` bytes. */
static uint32_t run(struct pair *pair, size_t most, uint64_t ms)
{
    uint64_t end_ns = pair->now_ns + ms * MS;
    uint32_t longest = 0;
    while (pair->now_ns < end_ns) {
        gy_rudp_expire(&pair->client.conn, pair->now_ns);
        gy_rudp_expire(&pair->server.conn, pair->now_ns);
        uint32_t sent = pass(pair, &pair->client, &pair->server, most);
        longest = sent > longest ? sent : longest;
        pair->now_ns += MS;
        pass(pair, &pair->server, &pair->client, most);
    }
    return longest;
}

static void begin(struct pair *pair)
{
    struct gy_rudp_config config = pair_config();
    config.datagram_max = 1452;
    pair_open(pair, &config);
}

static void send_all(struct pair *pair, struct gy_rudp_message *message)
{
    *message = (struct gy_rudp_message){
        .data = data, .length = sizeof data, .channel = 1, .guarantee = GY_RUDP_ORDERED};
    assert_int_equal(gy_rudp_send(&pair->client.conn, message), 0);
}

static void a_path_that_takes_all_is_used_wholly_after_one_probe(void **state)
{
    struct pair pair;
    struct gy_rudp_message message;
    (void)state;
    begin(&pair);
    send_all(&pair, &message);
    assert_int_equal(run(&pair, 1452, 500), 1452);
    assert_int_equal(pair.client.conn.config.datagram_bytes, 1452);
    assert_int_equal(pair.client.conn.stats.mtu_probes, 1);
    assert_int_equal(message.result, GY_RUDP_ACKED);
    pair_end(&pair);
}

static void what_the_path_takes_is_found_within_32_bytes_and_is_no_congestion(void **state)
{
    struct pair pair;
    struct gy_rudp_message message;
    (void)state;
    for (uint32_t most = 1200; most < 1452; most += 50) {
        begin(&pair);
        send_all(&pair, &message);
        uint64_t window = pair.client.conn.congestion.window_bytes;
        run(&pair, most, 100);
        for (unsigned i = 0; i < 8; i++) { /* a probe goes with something to be acknowledged */
            struct gy_rudp_message more = {
                .data = data, .length = 5000, .channel = 1, .guarantee = GY_RUDP_ORDERED};
            assert_int_equal(gy_rudp_send(&pair.client.conn, &more), 0);
            run(&pair, most, 500);
            assert_int_equal(more.result, GY_RUDP_ACKED);
        }
        assert_int_equal(message.result, GY_RUDP_ACKED);
        assert_true(pair.client.conn.config.datagram_bytes <= most);
        assert_true(pair.client.conn.config.datagram_bytes + 32 >= most);
        assert_true(pair.client.conn.congestion.window_bytes >= window);
        assert_true(pair.client.conn.stats.mtu_probes <= 3 * 5 + 5);
        assert_int_equal(pair.client.conn.stats.black_holes, 0);
        pair_end(&pair);
    }
}

static void a_path_that_takes_less_by_now_is_noticed_and_what_was_cut_is_cut_anew(void **state)
{
    struct pair pair;
    struct gy_rudp_message first, second;
    (void)state;
    begin(&pair);
    send_all(&pair, &first);
    run(&pair, 1452, 500);
    assert_int_equal(pair.client.conn.config.datagram_bytes, 1452);
    send_all(&pair, &second);
    run(&pair, 1300, 5000);
    assert_int_equal(second.result, GY_RUDP_ACKED);
    assert_int_equal(pair.client.conn.stats.black_holes, 1);
    assert_int_equal(pair.client.conn.config.datagram_bytes, 1200);
    assert_int_equal(pair.server.got_bytes, 2 * sizeof data);
    /* Half a minute later it is tried again. */
    run(&pair, 1452, 31000);
    struct gy_rudp_message third;
    send_all(&pair, &third);
    run(&pair, 1452, 1000);
    assert_int_equal(pair.client.conn.config.datagram_bytes, 1452);
    pair_end(&pair);
}

static void nothing_longer_is_tried_than_the_peer_takes_or_when_it_is_not_asked_for(void **state)
{
    struct pair pair;
    struct gy_rudp_message message;
    struct gy_rudp_config config = pair_config();
    (void)state;
    pair_open(&pair, &config);
    send_all(&pair, &message);
    assert_true(run(&pair, 1500, 500) <= 1200);
    assert_int_equal(pair.client.conn.stats.mtu_probes, 0);
    pair_end(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_that_takes_all_is_used_wholly_after_one_probe),
        cmocka_unit_test(what_the_path_takes_is_found_within_32_bytes_and_is_no_congestion),
        cmocka_unit_test(a_path_that_takes_less_by_now_is_noticed_and_what_was_cut_is_cut_anew),
        cmocka_unit_test(nothing_longer_is_tried_than_the_peer_takes_or_when_it_is_not_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
