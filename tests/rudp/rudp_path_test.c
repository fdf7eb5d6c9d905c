/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A client whose address changes: RFC 9000 §8.2 and §9. */

#include "tests/rudp/pair.h"

static struct pair pair;
static struct gy_rudp_message message;

static void open_pair(void)
{
    struct gy_rudp_config config = pair_config();
    pair_open(&pair, &config);
}

static size_t client_says(uint8_t *out, const char *text)
{
    message = (struct gy_rudp_message){.data = (const uint8_t *)text,
                                       .length = (uint32_t)strlen(text),
                                       .guarantee = GY_RUDP_UNRELIABLE};
    assert_int_equal(gy_rudp_send(&pair.client.conn, &message), 0);
    size_t bytes = pair_output(&pair, &pair.client, out);
    assert_true(bytes > 0);
    return bytes;
}

static bool arrives_from(uint8_t *packet, size_t bytes, uint64_t where)
{
    return gy_rudp_receive_elsewhere(&pair.server.conn, packet, bytes, 0, where, pair.now_ns);
}

static size_t elsewhere(uint8_t *out)
{
    return gy_rudp_output_elsewhere(&pair.server.conn, out, PAIR_PACKET_MAX, pair.now_ns);
}

static void a_new_address_counts_once_it_is_proved(void **state)
{
    uint8_t packet[PAIR_PACKET_MAX], challenge[PAIR_PACKET_MAX];
    (void)state;
    open_pair();
    size_t bytes = client_says(packet, "a");
    assert_true(arrives_from(packet, bytes, 7));
    assert_int_equal(pair.server.got, 1); /* wherever it came from */
    size_t asked = elsewhere(challenge);
    assert_true(asked > 0 && asked <= 3 * bytes);
    assert_int_equal(elsewhere(challenge), 0); /* once is enough for now */
    assert_false(gy_rudp_moved(&pair.server.conn));
    gy_rudp_receive(&pair.client.conn, challenge, asked, pair.now_ns);
    /* The answer is the newest packet from there, too. */
    assert_false(arrives_from(packet, pair_output(&pair, &pair.client, packet), 7));
    assert_int_equal(elsewhere(challenge), 0);
    assert_true(gy_rudp_moved(&pair.server.conn));
    assert_false(gy_rudp_moved(&pair.server.conn));
    pair_end(&pair);
}

static void a_challenge_is_eight_bytes_that_come_back(void **state)
{
    uint8_t packet[PAIR_PACKET_MAX], challenge[PAIR_PACKET_MAX];
    (void)state;
    open_pair();
    size_t bytes = client_says(packet, "a");
    assert_true(arrives_from(packet, bytes, 7));
    size_t asked = elsewhere(challenge);
    assert_int_equal(asked, 1 + 3 + 9); /* flags, number, frame: the client has no id */
    assert_int_equal(challenge[4], 0x06);
    uint8_t proof[8];
    memcpy(proof, challenge + 5, 8);
    gy_rudp_receive(&pair.client.conn, challenge, asked, pair.now_ns);
    bytes = pair_output(&pair, &pair.client, packet);
    assert_true(bytes >= 9);
    bool found = false;
    for (size_t i = 0; i + 9 <= bytes; i++) {
        found |= packet[i] == 0x07 && memcmp(packet + i + 1, proof, 8) == 0;
    }
    assert_true(found);
    pair_end(&pair);
}

static void a_wrong_answer_proves_nothing(void **state)
{
    uint8_t packet[PAIR_PACKET_MAX], challenge[PAIR_PACKET_MAX];
    (void)state;
    open_pair();
    size_t bytes = client_says(packet, "a");
    assert_true(arrives_from(packet, bytes, 7));
    size_t asked = elsewhere(challenge);
    challenge[asked - 1] ^= 1;
    gy_rudp_receive(&pair.client.conn, challenge, asked, pair.now_ns);
    pair_pass(&pair, &pair.client, &pair.server);
    assert_false(gy_rudp_moved(&pair.server.conn));
    pair_end(&pair);
}

static void an_older_packet_says_nothing_about_the_address(void **state)
{
    uint8_t first[PAIR_PACKET_MAX], second[PAIR_PACKET_MAX];
    (void)state;
    open_pair();
    size_t first_bytes = client_says(first, "a");
    size_t bytes = pair_output(&pair, &pair.client, second);
    assert_int_equal(bytes, 0);
    struct gy_rudp_message other = {.data = (const uint8_t *)"b", .length = 1};
    assert_int_equal(gy_rudp_send(&pair.client.conn, &other), 0);
    bytes = pair_output(&pair, &pair.client, second);
    gy_rudp_receive(&pair.server.conn, second, bytes, pair.now_ns);
    assert_false(arrives_from(first, first_bytes, 7));
    assert_int_equal(pair.server.got, 2);
    assert_int_equal(elsewhere(first), 0);
    pair_end(&pair);
}

static void three_challenges_are_sent_and_no_more(void **state)
{
    uint8_t packet[PAIR_PACKET_MAX], challenge[PAIR_PACKET_MAX];
    uint32_t sent = 0;
    (void)state;
    open_pair();
    size_t bytes =
        client_says(packet, "long enough for what is sent to be no more than three times");
    assert_true(arrives_from(packet, bytes, 7));
    for (unsigned i = 0; i < 20000; i++) { /* 20 s */
        sent += elsewhere(challenge) > 0;
        pair.now_ns += MS;
        gy_rudp_expire(&pair.server.conn, pair.now_ns);
        while (pair_output(&pair, &pair.server, packet) > 0) {
        }
    }
    assert_int_equal(sent, 3);
    assert_int_equal(pair.server.conn.state, GY_RUDP_OPEN);
    pair_end(&pair);
}

static void no_more_than_three_times_what_came_is_sent(void **state)
{
    uint8_t packet[PAIR_PACKET_MAX], challenge[PAIR_PACKET_MAX];
    size_t sent = 0;
    (void)state;
    open_pair();
    size_t bytes = client_says(packet, "a");
    assert_true(arrives_from(packet, bytes, 7));
    for (unsigned i = 0; i < 20000; i++) {
        sent += elsewhere(challenge);
        pair.now_ns += MS;
        gy_rudp_expire(&pair.server.conn, pair.now_ns);
        while (pair_output(&pair, &pair.server, packet) > 0) {
        }
    }
    assert_int_equal(bytes, 12);
    assert_int_equal(sent, 26); /* two of them */
    pair_end(&pair);
}

static void the_last_of_two_addresses_is_asked(void **state)
{
    uint8_t packet[PAIR_PACKET_MAX], old[PAIR_PACKET_MAX], challenge[PAIR_PACKET_MAX];
    (void)state;
    open_pair();
    size_t bytes = client_says(packet, "a");
    assert_true(arrives_from(packet, bytes, 7));
    size_t old_bytes = elsewhere(old);
    struct gy_rudp_message other = {.data = (const uint8_t *)"b", .length = 1};
    assert_int_equal(gy_rudp_send(&pair.client.conn, &other), 0);
    bytes = pair_output(&pair, &pair.client, packet);
    assert_true(arrives_from(packet, bytes, 8));
    size_t asked = elsewhere(challenge);
    assert_true(asked > 0);
    gy_rudp_receive(&pair.client.conn, old, old_bytes, pair.now_ns);
    pair_pass(&pair, &pair.client, &pair.server);
    assert_false(gy_rudp_moved(&pair.server.conn)); /* that was about the other one */
    gy_rudp_receive(&pair.client.conn, challenge, asked, pair.now_ns);
    pair_pass(&pair, &pair.client, &pair.server);
    assert_true(gy_rudp_moved(&pair.server.conn));
    pair_end(&pair);
}

static void another_host_begins_with_a_small_window(void **state)
{
    (void)state;
    open_pair();
    struct gy_rudp_conn *conn = &pair.server.conn;
    conn->congestion.window_bytes = 1000000;
    gy_rudp_forget_path(conn);
    assert_int_equal(conn->congestion.window_bytes, 10 * conn->config.datagram_bytes);
    assert_int_equal(conn->srtt_ns, 0);
    pair_end(&pair);
}

/* One way, and back: 10 ms each. The packets that leave now and what is said to them. */
static unsigned round_trip(bool move)
{
    static uint8_t packets[64][PAIR_PACKET_MAX];
    size_t bytes[64];
    unsigned count = 0;
    while (count < 64 && (bytes[count] = pair_output(&pair, &pair.server, packets[count])) > 0) {
        count++;
    }
    if (move) {
        gy_rudp_forget_path(&pair.server.conn);
    }
    pair.now_ns += 10 * MS;
    for (unsigned i = 0; i < count; i++) {
        gy_rudp_receive(&pair.client.conn, packets[i], bytes[i], pair.now_ns);
    }
    pair.now_ns += 10 * MS;
    gy_rudp_expire(&pair.client.conn, pair.now_ns);
    pair_pass(&pair, &pair.client, &pair.server);
    return count;
}

static void what_the_old_path_brought_says_nothing_of_the_new_one(void **state)
{
    static struct gy_rudp_message messages[900];
    static const uint8_t text[1000];
    struct gy_rudp_config config = pair_config();
    (void)state;
    config.congestion = GY_RUDP_BBR;
    pair_open(&pair, &config);
    for (unsigned i = 0; i < 900; i++) {
        messages[i] = (struct gy_rudp_message){
            .data = text, .length = sizeof text, .guarantee = GY_RUDP_UNORDERED};
        assert_int_equal(gy_rudp_send(&pair.server.conn, &messages[i]), 0);
    }
    for (unsigned i = 0; i < 8; i++) {
        round_trip(false);
    }
    const struct gy_rudp_conn *conn = &pair.server.conn;
    uint64_t rate = conn->congestion.rate;
    unsigned flying = round_trip(true);
    assert_true(rate > 0 && flying > 0);
    /* No sample yet of it, of rate or time. */
    assert_true(conn->congestion.rate == 0 && conn->srtt_ns == 0);
    for (unsigned i = 0; i < 4; i++) {
        round_trip(false);
    }
    assert_true(conn->congestion.rate > 0 && conn->congestion.rate < 4 * rate);
    assert_true(conn->congestion.window_bytes > 20000);
    pair_end(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_address_counts_once_it_is_proved),
        cmocka_unit_test(a_challenge_is_eight_bytes_that_come_back),
        cmocka_unit_test(a_wrong_answer_proves_nothing),
        cmocka_unit_test(an_older_packet_says_nothing_about_the_address),
        cmocka_unit_test(three_challenges_are_sent_and_no_more),
        cmocka_unit_test(no_more_than_three_times_what_came_is_sent),
        cmocka_unit_test(the_last_of_two_addresses_is_asked),
        cmocka_unit_test(another_host_begins_with_a_small_window),
        cmocka_unit_test(what_the_old_path_brought_says_nothing_of_the_new_one),
    };
    return cmocka_run_group_tests_name("rudp_path", tests, NULL, NULL);
}
