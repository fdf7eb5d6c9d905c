/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Loss, reordering, probes and acknowledgements (RFC 9002), a fixed rate, and what messages end as.
 */

#include "tests/rudp/pair.h"

#define KEPT 128

static struct pair pair;
static const uint8_t text[1000];
static struct gy_rudp_message messages[2000];
static uint32_t next_message;
static struct {
    size_t bytes;
    uint8_t data[PAIR_PACKET_MAX];
} kept[KEPT];

static struct gy_rudp_message *say(enum gy_rudp_guarantee guarantee)
{
    struct gy_rudp_message *message = &messages[next_message++];
    assert_true(next_message <= 2000);
    *message = (struct gy_rudp_message){
        .data = text, .length = sizeof text, .channel = 1, .guarantee = guarantee};
    assert_int_equal(gy_rudp_send(&pair.client.conn, message), 0);
    return message;
}

/* What the client has to send now is kept, from that place on: packets. */
static uint32_t keep_from(uint32_t first)
{
    uint32_t at = first;
    while ((kept[at].bytes = pair_output(&pair, &pair.client, kept[at].data)) > 0) {
        assert_true(++at < KEPT);
    }
    return at - first;
}

static uint32_t keep(void)
{
    return keep_from(0);
}

static void deliver(uint32_t index)
{
    gy_rudp_receive(&pair.server.conn, kept[index].data, kept[index].bytes, pair.now_ns);
}

static void begin(void)
{
    struct gy_rudp_config config = pair_config();
    pair_open(&pair, &config);
    next_message = 0;
}

static int end(void **state)
{
    (void)state;
    pair_end(&pair);
    return 0;
}

/* A round trip of ten milliseconds is known. */
static void begin_known(void)
{
    begin();
    for (unsigned i = 0; i < 4; i++) {
        say(GY_RUDP_ORDERED);
        assert_int_equal(keep(), 1);
        pair.now_ns += 10 * MS;
        deliver(0);
        pair.server.conn.ack_now = true;
        pair_pass(&pair, &pair.server, &pair.client);
    }
    assert_true(pair.client.conn.srtt_ns == 10 * MS);
}

static void a_packet_is_lost_when_three_later_ones_have_arrived(void **state)
{
    (void)state;
    begin_known();
    for (unsigned i = 0; i < 4; i++) {
        say(GY_RUDP_UNORDERED);
    }
    assert_int_equal(keep(), 4);
    pair.now_ns += 10 * MS;
    deliver(1);
    deliver(2);
    pair_pass(&pair, &pair.server, &pair.client);
    assert_int_equal(pair.client.conn.stats.lost, 0);
    deliver(3);
    pair.server.conn.ack_now = true;
    pair_pass(&pair, &pair.server, &pair.client);
    assert_int_equal(pair.client.conn.stats.lost, 1);
}

static void a_packet_is_lost_nine_eighths_of_a_round_trip_after_it_was_sent(void **state)
{
    (void)state;
    begin_known();
    say(GY_RUDP_UNORDERED);
    say(GY_RUDP_UNORDERED);
    assert_int_equal(keep(), 2);
    uint64_t sent_ns = pair.now_ns;
    pair.now_ns += 10 * MS;
    deliver(1);
    pair_pass(&pair, &pair.server, &pair.client);
    assert_int_equal(pair.client.conn.stats.lost, 0);
    uint64_t at_ns = gy_rudp_timeout(&pair.client.conn);
    assert_true(at_ns > sent_ns + 11 * MS && at_ns < sent_ns + 12 * MS);
    gy_rudp_expire(&pair.client.conn, at_ns);
    assert_int_equal(pair.client.conn.stats.lost, 1);
}

static void a_loss_that_was_none_is_undone_and_so_much_reordering_is_none_any_more(void **state)
{
    (void)state;
    begin_known();
    struct gy_rudp_conn *conn = &pair.client.conn;
    uint64_t window = conn->congestion.window_bytes;
    for (unsigned i = 0; i < 6; i++) {
        say(GY_RUDP_UNORDERED);
    }
    assert_int_equal(keep(), 6);
    pair.now_ns += 10 * MS;
    for (uint32_t i = 1; i < 5; i++) {
        deliver(i);
    }
    pair_pass(&pair, &pair.server, &pair.client);
    assert_int_equal(conn->stats.lost, 1);
    assert_true(conn->congestion.window_bytes < window + 5000);
    uint64_t reduced = conn->congestion.window_bytes;
    deliver(0); /* it was only late */
    deliver(5);
    pair.server.conn.ack_now = true;
    pair_pass(&pair, &pair.server, &pair.client);
    assert_int_equal(conn->stats.spurious, 1);
    assert_true(conn->congestion.window_bytes > reduced);
    assert_true(conn->congestion.threshold == UINT64_MAX); /* as if there had been no reduction */
    assert_true(conn->reordering > 3);
    pair_run(&pair, 100);
    uint32_t got = pair.server.got;
    for (unsigned i = 0; i < 5; i++) { /* the same again */
        say(GY_RUDP_UNORDERED);
    }
    assert_int_equal(keep(), 5);
    for (uint32_t i = 1; i < 5; i++) {
        deliver(i);
    }
    pair_pass(&pair, &pair.server, &pair.client);
    assert_int_equal(conn->stats.lost, 1);
    assert_int_equal(pair.server.got, got + 4);
}

/* Sends two, of which the second arrives first, and the first `late_ns` after it was taken for
 * lost. */
static void late_by(uint64_t late_ns)
{
    struct gy_rudp_conn *conn = &pair.client.conn;
    uint64_t lost = conn->stats.lost;
    say(GY_RUDP_UNORDERED);
    say(GY_RUDP_UNORDERED);
    assert_int_equal(keep(), 2);
    pair.now_ns += 10 * MS;
    deliver(1);
    pair_pass(&pair, &pair.server, &pair.client);
    assert_true(conn->loss_ns != 0);
    pair.now_ns = conn->loss_ns;
    gy_rudp_expire(conn, pair.now_ns);
    assert_int_equal(conn->stats.lost, lost + 1);
    if (late_ns != 0) {
        pair.now_ns += late_ns;
        deliver(0);
        pair.server.conn.ack_now = true;
        pair_pass(&pair, &pair.server, &pair.client);
    }
    pair_run(&pair, 30);
    assert_int_equal(conn->eliciting, 0);
}

/* RFC 8985 §6.2: a quarter of the shortest round trip more for each mistake, one in a round trip;
 * back to one quarter after 16 recoveries without. */
static void mistakes_by_time_have_it_wait_longer_until_16_recoveries_without_one(void **state)
{
    (void)state;
    begin_known();
    struct gy_rudp_conn *conn = &pair.client.conn;
    assert_int_equal(conn->reorder_steps, 0);
    for (uint32_t i = 1; i <= 3; i++) {
        late_by(MS / 2);
        assert_int_equal(conn->stats.spurious, i);
        assert_int_equal(conn->reorder_steps, i);
    }
    for (uint32_t i = 0; i < 15; i++) {
        late_by(0);
        assert_int_equal(conn->reorder_steps, 3);
    }
    late_by(0);
    assert_int_equal(conn->reorder_steps, 1);
}

/* More ranges than an acknowledgement has room for are all said, in turns. */
static void many_gaps_are_acknowledged_over_several_packets(void **state)
{
    (void)state;
    begin_known();
    struct gy_rudp_conn *conn = &pair.client.conn;
    conn->reordering = UINT32_MAX;
    conn->reorder_steps = 4;
    conn->congestion.window_bytes = 1 << 20;
    for (unsigned i = 0; i < 120; i++) {
        say(GY_RUDP_UNORDERED);
        assert_int_equal(keep_from(i), 1);
        pair.now_ns += MS / 50;
    }
    pair.now_ns += 10 * MS;
    for (unsigned i = 0; i < 120; i += 2) {
        deliver(i);
    }
    assert_true(pair.server.conn.seen_count > 32);
    for (unsigned i = 0; i < 4; i++) {
        pair.server.conn.ack_pending = 1;
        pair.server.conn.ack_now = true;
        pair_pass(&pair, &pair.server, &pair.client);
    }
    assert_int_equal(conn->eliciting, 60);
    for (unsigned i = 1; i < 120; i += 2) { /* none of them is too old */
        deliver(i);
    }
    pair_pass(&pair, &pair.server, &pair.client);
    assert_int_equal(conn->eliciting, 0);
    assert_int_equal(conn->stats.lost, 0);
    assert_int_equal(pair.server.conn.stats.duplicates, 0);
}

static void the_last_packet_is_probed_for_and_its_message_comes_once(void **state)
{
    (void)state;
    begin_known();
    struct gy_rudp_conn *conn = &pair.client.conn;
    uint32_t got = pair.server.got;
    struct gy_rudp_message *message = say(GY_RUDP_ORDERED);
    assert_int_equal(keep(), 1); /* lost, and nothing behind it that could tell */
    uint64_t sent_ns = pair.now_ns, at_ns = gy_rudp_timeout(conn);
    uint64_t variance = 4 * conn->rttvar_ns > MS ? 4 * conn->rttvar_ns : MS;
    assert_true(at_ns == sent_ns + conn->srtt_ns + variance + 25 * MS); /* RFC 9002 §6.2.1 */
    pair.now_ns = at_ns;
    gy_rudp_expire(conn, at_ns);
    assert_int_equal(conn->stats.probes, 1);
    assert_true(pair_pass(&pair, &pair.client, &pair.server) >= 1);
    assert_int_equal(pair.server.got, got + 1);
    deliver(0);
    pair.server.conn.ack_now = true;
    pair_pass(&pair, &pair.server, &pair.client);
    assert_int_equal(pair.server.got, got + 1);
    assert_int_equal(message->result, GY_RUDP_ACKED);
}

static void probes_come_at_doubling_intervals(void **state)
{
    (void)state;
    begin_known();
    struct gy_rudp_conn *conn = &pair.client.conn;
    say(GY_RUDP_ORDERED);
    keep();
    uint64_t last_ns = pair.now_ns, before_ns = 0;
    for (unsigned i = 0; i < 5; i++) {
        uint64_t at_ns = gy_rudp_timeout(conn);
        gy_rudp_expire(conn, at_ns);
        pair.now_ns = at_ns;
        keep();
        assert_true(before_ns == 0 || at_ns - last_ns == 2 * before_ns);
        before_ns = at_ns - last_ns;
        last_ns = at_ns;
    }
    assert_int_equal(conn->stats.probes, 5);
}

static void acknowledgements_wait_an_eighth_of_the_round_trip_and_25_ms_at_most(void **state)
{
    (void)state;
    static const struct {
        uint64_t rtt_ms, wait_us;
    } cases[] = {{8, 1000}, {80, 10000}, {160, 20000}, {4000, 25000}};
    begin();
    for (unsigned i = 0; i < 4; i++) {
        pair.server.conn.srtt_ns = cases[i].rtt_ms * MS;
        say(GY_RUDP_ORDERED);
        assert_int_equal(pair_pass(&pair, &pair.client, &pair.server), 1);
        uint8_t out[PAIR_PACKET_MAX];
        assert_int_equal(pair_output(&pair, &pair.server, out), 0);
        assert_true(gy_rudp_timeout(&pair.server.conn) == pair.now_ns + cases[i].wait_us * 1000);
        pair.now_ns += cases[i].wait_us * 1000;
        assert_int_equal(pair_pass(&pair, &pair.server, &pair.client), 1);
    }
}

static void a_fixed_rate_is_kept_whatever_is_lost(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    config.fixed_rate = 500000;
    config.timer_ns = MS;
    pair_open(&pair, &config);
    next_message = 0;
    for (unsigned i = 0; i < 1000; i++) {
        say(GY_RUDP_UNORDERED);
    }
    uint64_t before = pair.client.conn.stats.bytes_sent,
             window = pair.client.conn.congestion.window_bytes;
    uint32_t packets = 0;
    for (unsigned ms = 0; ms < 1000; ms++, pair.now_ns += MS) {
        uint8_t out[PAIR_PACKET_MAX];
        size_t bytes;
        gy_rudp_expire(&pair.client.conn, pair.now_ns);
        gy_rudp_expire(&pair.server.conn, pair.now_ns);
        while ((bytes = pair_output(&pair, &pair.client, out)) > 0) {
            if (packets++ % 5 != 0) {
                gy_rudp_receive(&pair.server.conn, out, bytes, pair.now_ns);
            }
        }
        pair_pass(&pair, &pair.server, &pair.client);
    }
    uint64_t sent = pair.client.conn.stats.bytes_sent - before;
    assert_true(pair.client.conn.stats.lost > 50);
    assert_true(sent > 480000 && sent < 530000);
    assert_true(pair.client.conn.congestion.window_bytes == window);
}

static void what_became_of_a_message_is_said(void **state)
{
    (void)state;
    begin_known();
    struct gy_rudp_message *unreliable = say(GY_RUDP_UNRELIABLE), *first = say(GY_RUDP_UNORDERED);
    assert_int_equal(keep(), 2);
    struct gy_rudp_message *second = say(GY_RUDP_UNORDERED);
    pair_run(&pair, 1); /* the first two are lost; the next is not kept waiting */
    assert_int_equal(pair.server.got, 5);
    pair_run(&pair, 200);
    assert_int_equal(unreliable->result, GY_RUDP_LOST);
    assert_int_equal(first->result, GY_RUDP_ACKED);
    assert_int_equal(second->result, GY_RUDP_ACKED);
    assert_int_equal(pair.server.got, 6); /* the unreliable one never comes */
    struct gy_rudp_message *third = say(GY_RUDP_ORDERED);
    gy_rudp_close(&pair.client.conn, GY_RUDP_CLOSE_APPLICATION, "enough", pair.now_ns);
    assert_int_equal(third->result, GY_RUDP_CLOSED);
    uint32_t handed = 0;
    while (gy_rudp_finished(&pair.client.conn) != NULL) {
        handed++;
    }
    assert_int_equal(handed, 8);
    assert_int_equal(gy_rudp_send(&pair.client.conn, third), GY_ECLOSED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(a_packet_is_lost_when_three_later_ones_have_arrived),
        TEST(a_packet_is_lost_nine_eighths_of_a_round_trip_after_it_was_sent),
        TEST(a_loss_that_was_none_is_undone_and_so_much_reordering_is_none_any_more),
        TEST(mistakes_by_time_have_it_wait_longer_until_16_recoveries_without_one),
        TEST(many_gaps_are_acknowledged_over_several_packets),
        TEST(the_last_packet_is_probed_for_and_its_message_comes_once),
        TEST(probes_come_at_doubling_intervals),
        TEST(acknowledgements_wait_an_eighth_of_the_round_trip_and_25_ms_at_most),
        TEST(a_fixed_rate_is_kept_whatever_is_lost),
        TEST(what_became_of_a_message_is_said),
    };
    return cmocka_run_group_tests_name("rudp_recovery", tests, NULL, NULL);
}
