/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Forward error correction: what a REPAIR brings back, and what it cannot. */

#include "tests/rudp/pair.h"

#define GROUP 4

static uint8_t text[8][300];
static struct gy_rudp_message messages[8];

static void begin(struct pair *pair)
{
    struct gy_rudp_config config = pair_config();
    config.fec_packets = GROUP;
    pair_open(pair, &config);
    pair_run(pair, 5);
    gy_rudp_channel_fec(&pair->client.conn, 1, true);
}

static void send_one(struct pair *pair, uint8_t channel, enum gy_rudp_guarantee guarantee,
                     unsigned index)
{
    memset(text[index], 'a' + (int)index, sizeof text[index]);
    messages[index] = (struct gy_rudp_message){.data = text[index],
                                               .length = 100 + 20 * index,
                                               .channel = channel,
                                               .guarantee = guarantee};
    assert_int_equal(gy_rudp_send(&pair->client.conn, &messages[index]), 0);
}

/* Sends `count` messages, a packet each, into out; and the REPAIR, which is there last. */
static void group(struct pair *pair, enum gy_rudp_guarantee guarantee, unsigned count,
                  uint8_t out[][PAIR_PACKET_MAX], size_t *bytes)
{
    for (unsigned i = 0; i < count; i++) {
        send_one(pair, 1, guarantee, i);
        bytes[i] = pair_output(pair, &pair->client, out[i]);
        assert_true(bytes[i] > 100);
    }
    bytes[count] = pair_output(pair, &pair->client, out[count]);
    assert_true(bytes[count] > 160);
    assert_int_equal(pair->client.conn.stats.repairs_sent, 1);
}

static void give(struct pair *pair, uint8_t *out, size_t bytes)
{
    gy_rudp_receive(&pair->server.conn, out, bytes, pair->now_ns);
}

/* One group to begin with: what came before the first REPAIR was not kept. */
static void warm(struct pair *pair)
{
    uint8_t out[GROUP + 1][PAIR_PACKET_MAX];
    size_t bytes[GROUP + 1];
    group(pair, GY_RUDP_ORDERED, GROUP, out, bytes);
    for (unsigned i = 0; i <= GROUP; i++) {
        give(pair, out[i], bytes[i]);
    }
    pair_run(pair, 50);
    while (gy_rudp_finished(&pair->client.conn) != NULL) {
    }
    assert_int_equal(pair->server.got, GROUP);
    pair->server.got = 0;
    pair->client.conn.stats.repairs_sent = 0;
}

static void a_repair_brings_back_the_one_packet_that_is_lost(void **state)
{
    struct pair pair;
    uint8_t out[GROUP + 1][PAIR_PACKET_MAX];
    size_t bytes[GROUP + 1];
    (void)state;
    for (unsigned lost = 0; lost < GROUP; lost++) {
        begin(&pair);
        warm(&pair);
        group(&pair, GY_RUDP_ORDERED, GROUP, out, bytes);
        for (unsigned i = 0; i <= GROUP; i++) {
            if (i != lost) {
                give(&pair, out[i], bytes[i]);
            }
        }
        assert_int_equal(pair.server.got, GROUP);
        assert_memory_equal(pair.server.order, "abcd", GROUP);
        assert_int_equal(pair.server.conn.stats.recovered, 1);
        /* It is acknowledged, and not sent again; but it was lost, and that is said. */
        uint64_t window = pair.client.conn.congestion.window_bytes;
        pair_pass(&pair, &pair.server, &pair.client);
        assert_int_equal(pair.client.conn.stats.recovered_sent, 1);
        assert_true(pair.client.conn.congestion.window_bytes < window);
        pair_run(&pair, 200);
        assert_int_equal(pair.client.conn.stats.repeated, 0);
        assert_int_equal(pair.client.conn.unacked, pair.client.conn.number);
        pair_end(&pair);
    }
}

static void an_unreliable_message_is_recovered_once_and_its_packet_is_then_a_duplicate(void **state)
{
    struct pair pair;
    uint8_t out[GROUP + 1][PAIR_PACKET_MAX];
    size_t bytes[GROUP + 1];
    (void)state;
    begin(&pair);
    warm(&pair);
    group(&pair, GY_RUDP_UNRELIABLE, GROUP, out, bytes);
    give(&pair, out[0], bytes[0]);
    give(&pair, out[1], bytes[1]);
    give(&pair, out[3], bytes[3]);
    give(&pair, out[4], bytes[4]);
    assert_int_equal(pair.server.got, GROUP);
    give(&pair, out[2], bytes[2]);
    assert_int_equal(pair.server.got, GROUP);
    assert_int_equal(pair.server.conn.stats.duplicates, 1);
    pair_end(&pair);
}

static void two_lost_packets_are_not_recovered_until_one_of_them_arrives_late(void **state)
{
    struct pair pair;
    uint8_t out[GROUP + 1][PAIR_PACKET_MAX];
    size_t bytes[GROUP + 1];
    (void)state;
    begin(&pair);
    warm(&pair);
    group(&pair, GY_RUDP_ORDERED, GROUP, out, bytes);
    give(&pair, out[0], bytes[0]);
    give(&pair, out[3], bytes[3]);
    give(&pair, out[4], bytes[4]);
    assert_int_equal(pair.server.got, 1);
    give(&pair, out[2], bytes[2]);
    assert_int_equal(pair.server.got, GROUP);
    assert_memory_equal(pair.server.order, "abcd", GROUP);
    pair_end(&pair);
}

static void a_group_that_does_not_fill_is_closed_after_a_quarter_of_a_round_trip(void **state)
{
    struct pair pair;
    uint8_t out[2][PAIR_PACKET_MAX];
    (void)state;
    begin(&pair);
    warm(&pair);
    send_one(&pair, 1, GY_RUDP_ORDERED, 0);
    size_t bytes = pair_output(&pair, &pair.client, out[0]);
    assert_true(bytes > 100);
    assert_int_equal(pair_output(&pair, &pair.client, out[1]), 0);
    assert_true(gy_rudp_timeout(&pair.client.conn) <= pair.now_ns + 25 * MS);
    pair.now_ns += 25 * MS;
    gy_rudp_expire(&pair.client.conn, pair.now_ns);
    bytes = pair_output(&pair, &pair.client, out[1]);
    assert_int_equal(pair.client.conn.stats.repairs_sent, 1);
    give(&pair, out[1], bytes);
    assert_int_equal(pair.server.got, 1); /* a group of one is a copy */
    pair_end(&pair);
}

static void channels_that_do_not_ask_for_it_are_not_covered(void **state)
{
    struct pair pair;
    (void)state;
    begin(&pair);
    for (unsigned i = 0; i < 8; i++) {
        send_one(&pair, 2, GY_RUDP_ORDERED, i);
        pair_pass(&pair, &pair.client, &pair.server);
    }
    pair_run(&pair, 100);
    assert_int_equal(pair.server.got, 8);
    assert_int_equal(pair.client.conn.stats.repairs_sent, 0);
    assert_null(pair.server.conn.kept);
    pair_end(&pair);
}

/* What a peer may say without having been told so, `skip` numbers behind the last. */
static void say_later(struct pair *pair, unsigned skip, const uint8_t *frames, size_t bytes)
{
    uint8_t packet[256] = {0x40};
    packet[0] = 0x43;
    memcpy(packet + 1, pair->server.conn.self.bytes, pair->server.conn.self.length);
    size_t at = 1 + pair->server.conn.self.length;
    uint64_t number = pair->server.conn.seen[0].high + 1 + skip;
    for (unsigned i = 0; i < 4; i++) {
        packet[at++] = (uint8_t)(number >> (24 - 8 * i));
    }
    memcpy(packet + at, frames, bytes);
    gy_rudp_receive(&pair->server.conn, packet, at + bytes, pair->now_ns);
}

static void say(struct pair *pair, const uint8_t *frames, size_t bytes)
{
    say_later(pair, 0, frames, bytes);
}

static void a_repair_that_lies_changes_nothing(void **state)
{
    struct pair pair;
    /* Covers one packet, of a number that is far ahead, and is no frames: 0x7f is no type. */
    const uint8_t lie[] = {0x0c, 0x80, 0x00, 0x40, 0x00, 0x00, 0x04, 0x04, 0x7f, 0x7f, 0x7f, 0x7f};
    /* The XOR of the lengths says more than there is. */
    const uint8_t longer[] = {0x0c, 0x80, 0x00, 0x40, 0x00, 0x00, 0x44,
                              0x00, 0x04, 0x00, 0x00, 0x00, 0x00};
    (void)state;
    begin(&pair);
    warm(&pair);
    say(&pair, lie, sizeof lie);
    say(&pair, longer, sizeof longer);
    assert_int_equal(pair.server.conn.state, GY_RUDP_OPEN);
    assert_int_equal(pair.server.conn.stats.recovered, 0);
    assert_int_equal(pair.server.conn.stats.repairs_received, 3);
    pair_end(&pair);
}

/* A REPAIR of one packet, whose frames are said to be these four bytes. */
static void say_repair(struct pair *pair, uint64_t first, const uint8_t data[4])
{
    uint8_t frames[32];
    struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_REPAIR};
    struct gy_writer writer = gy_writer_on(frames, sizeof frames);
    frame.repair.first = first;
    frame.repair.lengths = 4;
    frame.repair.data = data;
    frame.repair.length = 4;
    assert_true(gy_rudp_frame_write(&writer, &frame, false));
    say_later(pair, 1, frames, gy_writer_length(&writer));
}

static const uint8_t ping[4] = {GY_RUDP_FRAME_PING};

static void a_repair_that_lies_of_a_packet_that_is_missing_changes_nothing(void **state)
{
    struct pair pair;
    (void)state;
    begin(&pair);
    warm(&pair);
    uint64_t number = pair.server.conn.seen[0].high + 1;
    say_repair(&pair, number, (const uint8_t[]){0x7f, 0x7f, 0x7f, 0x7f});
    assert_int_equal(pair.server.conn.stats.recovered, 0);
    assert_true(pair.server.conn.seen[0].low == number + 1);
    say_repair(&pair, number, ping); /* the truth is believed all the same */
    assert_int_equal(pair.server.conn.stats.recovered, 1);
    assert_int_equal(pair.server.conn.state, GY_RUDP_OPEN);
    pair_end(&pair);
}

static void a_repair_of_its_own_packet_or_of_later_ones_brings_back_nothing(void **state)
{
    struct pair pair;
    (void)state;
    begin(&pair);
    warm(&pair);
    uint64_t number = pair.server.conn.seen[0].high;
    say_repair(&pair, number + 2, ping);
    assert_int_equal(pair.server.conn.seen[0].high, number + 2);
    say_repair(&pair, number + 5, ping);
    say_repair(&pair, GY_RUDP_VARINT_MAX, ping);
    assert_int_equal(pair.server.conn.seen[0].high, number + 6);
    assert_int_equal(pair.server.conn.stats.recovered, 0);
    assert_int_equal(pair.server.conn.state, GY_RUDP_OPEN);
    pair_end(&pair);
}

/* It would cost as much as the longest packets that we have, and be a few bytes itself. */
static void a_repair_that_is_shorter_than_what_it_covers_brings_back_nothing(void **state)
{
    struct pair pair;
    uint8_t frames[32];
    const uint8_t long_ping[8] = {GY_RUDP_FRAME_PING};
    struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_REPAIR};
    struct gy_writer writer = gy_writer_on(frames, sizeof frames);
    (void)state;
    begin(&pair);
    warm(&pair);
    frame.repair.first = pair.server.conn.seen[0].high + 1;
    frame.repair.mask = 1;
    frame.repair.lengths = sizeof long_ping ^ sizeof ping;
    frame.repair.data = (const uint8_t[sizeof ping]){0};
    frame.repair.length = sizeof ping;
    assert_true(gy_rudp_frame_write(&writer, &frame, false));
    say(&pair, long_ping, sizeof long_ping);
    say_later(&pair, 1, frames, gy_writer_length(&writer));
    assert_int_equal(pair.server.conn.stats.recovered, 0);
    assert_int_equal(pair.server.conn.stats.dropped, 1);
    assert_int_equal(pair.server.conn.state, GY_RUDP_OPEN);
    pair_end(&pair);
}

/* An acknowledgement could not say it. */
static void a_number_past_the_end_of_all_numbers_is_not_taken(void **state)
{
    struct pair pair;
    (void)state;
    begin(&pair);
    warm(&pair);
    pair.server.conn.seen[0].high = GY_RUDP_VARINT_MAX;
    say(&pair, ping, sizeof ping);
    pair_pass(&pair, &pair.server, &pair.client);
    assert_true(pair.server.conn.seen[0].high == GY_RUDP_VARINT_MAX);
    pair_end(&pair);
}

static void a_repair_out_of_bounds_breaks_the_protocol(void **state)
{
    struct pair pair;
    const uint8_t far[] = {0x0c, 0x00, 0x80 | 0x40, 0,    0,    0,    0x80, 0,
                           0,    0,    0x04,        0x04, 0x00, 0x00, 0x00, 0x00};
    const uint8_t cut[] = {0x0c, 0x00, 0x00, 0x04, 0x08, 0x00, 0x00, 0x00, 0x00};
    const uint8_t never[] = {0x0d, 0x80, 0x10, 0x00, 0x00};
    const struct {
        const uint8_t *bytes;
        size_t length;
    } bad[] = {{far, sizeof far}, {cut, sizeof cut}, {never, sizeof never}};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        begin(&pair);
        warm(&pair);
        say(&pair, bad[i].bytes, bad[i].length);
        assert_int_equal(pair.server.conn.state, GY_RUDP_CLOSING);
        assert_int_equal(pair.server.conn.close_code, GY_RUDP_CLOSE_PROTOCOL);
        pair_end(&pair);
    }
}

static void frames_are_as_the_description_says(void **state)
{
    (void)state;
    const uint8_t data[] = {1, 2, 3, 4, 5};
    struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_REPAIR};
    uint8_t out[64];
    struct gy_writer writer = gy_writer_on(out, sizeof out);
    frame.repair.first = 7;
    frame.repair.mask = 5; /* 8 and 10 besides */
    frame.repair.lengths = 100;
    frame.repair.data = data;
    frame.repair.length = sizeof data;
    assert_true(gy_rudp_frame_write(&writer, &frame, false));
    const uint8_t bytes[] = {0x0c, 0x07, 0x05, 0x40, 0x64, 0x05, 1, 2, 3, 4, 5};
    assert_int_equal(gy_writer_length(&writer), sizeof bytes);
    assert_memory_equal(out, bytes, sizeof bytes);
    struct gy_reader reader = gy_reader_on(bytes, sizeof bytes);
    struct gy_rudp_frame back;
    assert_int_equal(gy_rudp_frame_read(&reader, &back), 1);
    assert_int_equal(back.repair.first, 7);
    assert_int_equal(back.repair.mask, 5);
    assert_int_equal(back.repair.lengths, 100);
    assert_int_equal(back.repair.length, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repair_brings_back_the_one_packet_that_is_lost),
        cmocka_unit_test(
            an_unreliable_message_is_recovered_once_and_its_packet_is_then_a_duplicate),
        cmocka_unit_test(two_lost_packets_are_not_recovered_until_one_of_them_arrives_late),
        cmocka_unit_test(a_group_that_does_not_fill_is_closed_after_a_quarter_of_a_round_trip),
        cmocka_unit_test(channels_that_do_not_ask_for_it_are_not_covered),
        cmocka_unit_test(a_repair_that_lies_changes_nothing),
        cmocka_unit_test(a_repair_that_lies_of_a_packet_that_is_missing_changes_nothing),
        cmocka_unit_test(a_repair_of_its_own_packet_or_of_later_ones_brings_back_nothing),
        cmocka_unit_test(a_repair_that_is_shorter_than_what_it_covers_brings_back_nothing),
        cmocka_unit_test(a_number_past_the_end_of_all_numbers_is_not_taken),
        cmocka_unit_test(a_repair_out_of_bounds_breaks_the_protocol),
        cmocka_unit_test(frames_are_as_the_description_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
