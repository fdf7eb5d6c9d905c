/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Peers and strangers that mean harm: what they get, and what of ours they hold. README.md has the
 * table of what each costs; who forges, cuts, copies or acknowledges too much is in rudp_tls_test
 * and rudp_conn_test, who is sent too much elsewhere in rudp_path_test. */

#include "tests/rudp/tls_pair.h"

static struct tls_pair tls;
static struct pair *const pair = &tls.pair;
static uint8_t out[PAIR_PACKET_MAX];

static uint64_t random_state = 1;

static uint8_t random_byte(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint8_t)(random_state >> 56);
}

static void noise_at_the_door_gets_less_than_it_is(void **state)
{
    (void)state;
    struct gy_rudp_gate gate = {
        .key = {{1, 2}}, .cookie_ns = 10000 * MS, .cid_bytes = 4, .version = GY_RUDP_VERSION};
    uint8_t data[PAIR_PACKET_MAX], answer[GY_RUDP_ANSWER_MAX];
    for (unsigned i = 0; i < 20000; i++) {
        struct gy_rudp_long hello;
        size_t answer_bytes, bytes = 1 + (size_t)(i % 1400);
        for (size_t k = 0; k < bytes; k++) {
            data[k] = random_byte();
        }
        enum gy_rudp_verdict verdict = gy_rudp_gate_take(&gate, &i, sizeof i, data, bytes,
                                                         1000 * MS, &hello, answer, &answer_bytes);
        assert_int_not_equal(verdict, GY_RUDP_ADMIT);
        assert_true(answer_bytes < bytes);
    }
    assert_true(gate.accepts == 0 && gate.retries == 0);
}

static void a_flood_of_hellos_from_made_up_addresses_is_answered_from_nothing(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    tls_pair_begin(&tls, &config, "server.test", NULL);
    size_t bytes = pair_output(pair, &pair->client, out);
    struct gy_rudp_gate before = pair->gate;
    for (uint32_t address = 0; address < 10000; address++) {
        uint8_t answer[GY_RUDP_ANSWER_MAX];
        size_t answer_bytes;
        struct gy_rudp_long hello;
        assert_int_equal(gy_rudp_gate_take(&pair->gate, &address, sizeof address, out, bytes,
                                           pair->now_ns, &hello, answer, &answer_bytes),
                         GY_RUDP_ANSWER);
        assert_true(answer_bytes * 20 < bytes);
    }
    assert_int_equal(pair->gate.retries, 10000);
    before.retries = pair->gate.retries; /* that is all there is of it */
    assert_memory_equal(&before, &pair->gate, sizeof before);
    tls_pair_end(&tls);
}

static void a_cookie_is_good_for_no_other_address_however_often_it_is_tried(void **state)
{
    (void)state;
    uint8_t answer[GY_RUDP_ANSWER_MAX];
    size_t bytes;
    struct gy_rudp_config config = pair_config();
    struct gy_rudp_long hello;
    tls_pair_begin(&tls, &config, "server.test", NULL);
    pair_hello(pair, answer, &bytes);
    gy_rudp_receive(&pair->client.conn, answer, bytes, pair->now_ns);
    size_t hello_bytes = pair_output(pair, &pair->client, out);
    for (uint32_t address = 0; address < 10000; address++) {
        assert_int_equal(gy_rudp_gate_take(&pair->gate, &address, 3, out, hello_bytes, pair->now_ns,
                                           &hello, answer, &bytes),
                         GY_RUDP_ANSWER);
    }
    assert_int_equal(pair->gate.accepts, 0);
    tls_pair_end(&tls);
}

static void
a_handshake_that_is_not_finished_is_gone_in_its_time_and_holds_no_more_than_one(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    config.handshake_timeout_ns = 10000 * MS;
    tls_pair_begin(&tls, &config, "server.test", NULL);
    tls_pair_admit(&tls);
    struct gy_rudp_conn *conn = &pair->server.conn;
    uint64_t end_ns = pair->now_ns + 10000 * MS;
    uint32_t turns = 0;
    while (conn->state != GY_RUDP_DEAD) { /* nothing is ever answered */
        while (pair_output(pair, &pair->server, out) > 0) {
        }
        assert_true(conn->state == GY_RUDP_HANDSHAKING && ++turns < 1000);
        pair->now_ns = gy_rudp_timeout(conn);
        assert_true(pair->now_ns <= end_ns);
        gy_rudp_expire(conn, pair->now_ns);
    }
    assert_true(pair->now_ns == end_ns);
    assert_int_equal(conn->close_code, GY_RUDP_CLOSE_HANDSHAKE);
    assert_true(conn->stats.packets_sent < 40);
    assert_true(pair->server.taken <= gy_rudp_reassembly_bytes(&pair->config));
    tls_pair_end(&tls);
}

/* A peer with keys; what it says is written by hand, so without encryption. */
static void say(uint32_t number, const uint8_t *frames, size_t bytes)
{
    uint8_t packet[PAIR_PACKET_MAX];
    struct gy_writer writer = gy_writer_on(packet, sizeof packet);
    gy_writer_u8(&writer, 0x42);
    gy_writer_bytes(&writer, (const uint8_t[]){1, 2, 3, 4}, 4);
    gy_writer_u8(&writer, (uint8_t)(number >> 16));
    gy_writer_u16(&writer, (uint16_t)number);
    gy_writer_bytes(&writer, frames, bytes);
    gy_rudp_receive(&pair->server.conn, packet, gy_writer_length(&writer), pair->now_ns);
}

static void parts_of_reliable_messages_hold_the_window_and_then_the_connection_ends(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    pair_open(pair, &config);
    size_t most = 0;
    for (uint32_t i = 0; i < 1000 && pair->server.conn.state == GY_RUDP_OPEN; i++) {
        uint8_t frame[9 + 64] = {0x1e, 0, 0x40, 0, 0x80, 0x07, 0xff, 0xff, 0};
        frame[3] = (uint8_t)i;
        say(i + 1, frame, sizeof frame);
        most = pair->server.taken > most ? pair->server.taken : most;
    }
    assert_int_equal(pair->server.conn.close_code, GY_RUDP_CLOSE_FLOW);
    assert_true(most <= config.window_bytes + config.window_bytes / 256);
}

static void the_smallest_parts_hold_no_more_places_than_there_are(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    pair_open(pair, &config);
    for (uint32_t i = 0; i < 4000; i++) {
        uint8_t frame[8 + 64] = {0x1f, 1, 0x40, 0, 0x40, 65, 0};
        frame[2] = (uint8_t)(0x40 | i >> 8);
        frame[3] = (uint8_t)i;
        say(i + 1, frame, 7 + 64);
        assert_true(pair->server.conn.assemblies.used <= config.assemblies);
    }
    assert_int_equal(pair->server.conn.state, GY_RUDP_OPEN);
    assert_true(pair->server.conn.stats.refused > 3900);
}

/* Ids that a hash with nothing secret in it would put into one list: its constant is public. */
static void parts_whose_ids_were_chosen_do_not_lie_in_one_long_list(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    config.assemblies = 1024;
    pair_open(pair, &config);
    struct gy_rudp_conn *conn = &pair->server.conn;
    uint64_t id = 0;
    for (uint32_t i = 0; i < config.assemblies; i++) {
        uint8_t bytes[32];
        const uint8_t data[1] = {0};
        struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_MESSAGE};
        struct gy_writer writer = gy_writer_on(bytes, sizeof bytes);
        do {
            id++;
        } while (((id << 10) * UINT64_C(0x9e3779b97f4a7c15) >> 40 & conn->table_mask) != 0);
        frame.message.id = id;
        frame.message.total = GY_RUDP_UNIT + 1;
        frame.message.offset = GY_RUDP_UNIT;
        frame.message.data = data;
        frame.message.length = 1;
        assert_true(gy_rudp_frame_write(&writer, &frame, false));
        say(i + 1, bytes, gy_writer_length(&writer));
    }
    assert_int_equal(conn->assemblies.used, config.assemblies);
    for (uint32_t i = 0; i <= conn->table_mask; i++) {
        uint32_t length = 0;
        /* The first thing in each is the next one. */
        for (const void *at = conn->table[i]; at != NULL; at = *(const void *const *)at) {
            length++;
        }
        assert_true(length <= 16);
    }
}

static void questions_and_news_that_ask_for_answers_get_no_more_than_is_in_flight(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    pair_open(pair, &config);
    uint64_t received = 0, sent = pair->server.conn.stats.bytes_sent;
    for (uint32_t i = 0; i < 20000; i++) {
        const uint8_t frames[] = {0x06, 1, 2, 3, 4, 5, 6, 7, (uint8_t)i, 0x0f, 1, 9, 0x0e, 9};
        say(i + 1, frames, sizeof frames);
        received += 8 + sizeof frames;
        while (pair_output(pair, &pair->server, out) > 0) {
        }
    }
    sent = pair->server.conn.stats.bytes_sent - sent;
    assert_true(sent < 3 * received);
    assert_true(pair->server.conn.number - pair->server.conn.unacked <= config.packets);
    assert_int_equal(pair->server.conn.stats.blocked_received, 40000);
    assert_int_equal(pair->server.conn.state, GY_RUDP_OPEN);
}

static void acknowledging_everything_is_found_out_within_300_packets(void **state)
{
    (void)state;
    static struct gy_rudp_message messages[400];
    static const uint8_t text[1000];
    struct gy_rudp_config config = pair_config();
    pair_open(pair, &config);
    for (unsigned i = 0; i < 400; i++) {
        messages[i] = (struct gy_rudp_message){
            .data = text, .length = sizeof text, .guarantee = GY_RUDP_UNORDERED};
        assert_int_equal(gy_rudp_send(&pair->server.conn, &messages[i]), 0);
    }
    uint32_t packets = 0;
    for (uint32_t i = 1; pair->server.conn.state == GY_RUDP_OPEN && i < 2000; i++) {
        while (pair_output(pair, &pair->server, out) > 0) {
            packets++;
        }
        /* All up to the newest, whatever arrived. */
        uint64_t newest = pair->server.conn.number - 1;
        uint8_t frame[16];
        struct gy_writer writer = gy_writer_on(frame, sizeof frame);
        gy_writer_u8(&writer, 0x02);
        gy_rudp_varint_write(&writer, newest);
        gy_writer_u16(&writer, 0);
        gy_rudp_varint_write(&writer, newest);
        say(i, frame, gy_writer_length(&writer));
        pair->now_ns += MS;
    }
    assert_int_equal(pair->server.conn.close_code, GY_RUDP_CLOSE_PROTOCOL);
    assert_true(packets <= 300);
}

/* Each has all that is on its way looked at: 80 of them in a packet took a tenth of a
 * millisecond. */
static void a_second_acknowledgement_in_a_packet_breaks_the_protocol(void **state)
{
    (void)state;
    static struct gy_rudp_message message;
    struct gy_rudp_config config = pair_config();
    pair_open(pair, &config);
    message = (struct gy_rudp_message){.data = out, .length = 2, .guarantee = GY_RUDP_UNORDERED};
    assert_int_equal(gy_rudp_send(&pair->server.conn, &message), 0);
    assert_true(pair_output(pair, &pair->server, out) > 0);
    uint8_t acks[] = {0x02, 0, 0, 0, 0, 0x02, 0, 0, 0, 0};
    acks[1] = acks[6] = (uint8_t)(pair->server.conn.number - 1);
    say(1, acks, 5);
    assert_int_equal(pair->server.conn.state, GY_RUDP_OPEN);
    assert_int_equal(message.result, GY_RUDP_ACKED);
    say(2, acks, sizeof acks);
    assert_int_equal(pair->server.conn.close_code, GY_RUDP_CLOSE_PROTOCOL);
}

static int set_up(void **state)
{
    (void)state;
    tls_pair_init(&tls, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_pair_close(&tls);
    return 0;
}

static int end(void **state)
{
    (void)state;
    pair_end(pair);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_at_the_door_gets_less_than_it_is),
        cmocka_unit_test(a_flood_of_hellos_from_made_up_addresses_is_answered_from_nothing),
        cmocka_unit_test(a_cookie_is_good_for_no_other_address_however_often_it_is_tried),
        cmocka_unit_test(
            a_handshake_that_is_not_finished_is_gone_in_its_time_and_holds_no_more_than_one),
        TEST(parts_of_reliable_messages_hold_the_window_and_then_the_connection_ends),
        TEST(the_smallest_parts_hold_no_more_places_than_there_are),
        TEST(parts_whose_ids_were_chosen_do_not_lie_in_one_long_list),
        TEST(questions_and_news_that_ask_for_answers_get_no_more_than_is_in_flight),
        TEST(a_second_acknowledgement_in_a_packet_breaks_the_protocol),
        TEST(acknowledging_everything_is_found_out_within_300_packets),
    };
    return cmocka_run_group_tests_name("rudp_hostile", tests, set_up, tear_down);
}
