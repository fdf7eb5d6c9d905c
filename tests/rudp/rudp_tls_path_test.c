/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What is done about a path, encrypted: longer datagrams and REPAIRs, which are of the level
 * APPLICATION only, and have a tag of the seal's. */

#include "tests/rudp/tls_pair.h"

#define GROUP 4

static struct tls_pair tls;
static uint8_t data[100000];

/* Datagrams of more than `most` bytes vanish; so does the one that is the `lose`th, 0: none. The
 * longest that was sent. */
static uint32_t pass(struct end *from, struct end *to, size_t most, uint32_t lose)
{
    uint8_t out[PAIR_PACKET_MAX];
    size_t bytes;
    uint32_t longest = 0;
    while ((bytes = gy_rudp_output(&from->conn, out, sizeof out, tls.pair.now_ns)) > 0) {
        assert_true(from->conn.confirmed ||
                    (from->conn.stats.mtu_probes == 0 && bytes <= GY_RUDP_HELLO_BYTES));
        longest = bytes > longest ? (uint32_t)bytes : longest;
        if (bytes <= most && --lose != 0) {
            gy_rudp_receive(&to->conn, out, bytes, tls.pair.now_ns);
        }
    }
    return longest;
}

static uint32_t run(size_t most, uint64_t ms)
{
    uint64_t end_ns = tls.pair.now_ns + ms * MS;
    uint32_t longest = 0;
    while (tls.pair.now_ns < end_ns) {
        gy_rudp_expire(&tls.pair.client.conn, tls.pair.now_ns);
        gy_rudp_expire(&tls.pair.server.conn, tls.pair.now_ns);
        uint32_t sent = pass(&tls.pair.client, &tls.pair.server, most, 0);
        longest = sent > longest ? sent : longest;
        tls.pair.now_ns += MS;
        pass(&tls.pair.server, &tls.pair.client, most, 0);
    }
    return longest;
}

/* Only what does not wait for the end of the handshake has happened when this returns. */
static void begin(const struct gy_rudp_config *config)
{
    tls_pair_init(&tls, NULL);
    tls_pair_begin(&tls, config, "server.test", NULL);
    tls_pair_admit(&tls);
    assert_false(tls.pair.client.conn.confirmed);
}

static void finish(void)
{
    tls_pair_end(&tls);
    tls_pair_close(&tls);
}

static void send_bytes(struct gy_rudp_message *message, uint32_t bytes)
{
    *message = (struct gy_rudp_message){
        .data = data, .length = bytes, .channel = 1, .guarantee = GY_RUDP_ORDERED};
    assert_int_equal(gy_rudp_send(&tls.pair.client.conn, message), 0);
}

static void
longer_datagrams_are_tried_once_the_handshake_is_confirmed_and_filled_to_the_byte(void **state)
{
    struct gy_rudp_config config = pair_config();
    struct gy_rudp_message message;
    (void)state;
    config.datagram_max = 1452;
    begin(&config);
    send_bytes(&message, sizeof data);
    assert_int_equal(run(1452, 500), 1452);
    assert_int_equal(tls.pair.client.conn.config.datagram_bytes, 1452);
    assert_int_equal(tls.pair.client.conn.stats.mtu_probes, 1);
    assert_int_equal(tls.pair.server.conn.stats.dropped, 0);
    assert_int_equal(message.result, GY_RUDP_ACKED);
    finish();
}

static void what_the_path_takes_is_found_while_keys_change(void **state)
{
    struct gy_rudp_config config = pair_config();
    struct gy_rudp_message messages[9];
    struct gy_rudp_conn *client = &tls.pair.client.conn;
    (void)state;
    config.datagram_max = 1452;
    config.key_packets = 20;
    begin(&config);
    for (unsigned i = 0; i < 9; i++) { /* a probe goes with something to be acknowledged */
        send_bytes(&messages[i], 50000);
        run(1350, 500);
        assert_int_equal(messages[i].result, GY_RUDP_ACKED);
    }
    assert_uint_in_range(client->config.datagram_bytes, 1350 - 32, 1350);
    assert_uint_in_range(client->stats.mtu_probes, 4, 20);
    assert_int_equal(client->stats.black_holes, 0);
    assert_true(client->stats.updates > 4);
    assert_int_equal(client->close_code, 0);
    finish();
}

static void a_path_that_takes_less_by_now_is_noticed_and_what_was_cut_is_cut_anew(void **state)
{
    struct gy_rudp_config config = pair_config();
    struct gy_rudp_message first, second;
    (void)state;
    config.datagram_max = 1452;
    config.fec_packets = GROUP; /* REPAIRs as long as the packets that were too long, too */
    config.fec_all = true;
    begin(&config);
    send_bytes(&first, sizeof data);
    run(1452, 500);
    assert_int_equal(tls.pair.client.conn.config.datagram_bytes, 1452);
    send_bytes(&second, sizeof data);
    run(1300, 5000);
    assert_int_equal(second.result, GY_RUDP_ACKED);
    assert_int_equal(tls.pair.client.conn.stats.black_holes, 1);
    assert_int_equal(tls.pair.client.conn.config.datagram_bytes, 1200);
    assert_int_equal(tls.pair.server.got_bytes, 2 * sizeof data);
    assert_int_equal(tls.pair.client.conn.in_flight, 0);
    finish();
}

static void a_repair_brings_back_an_encrypted_packet_even_of_the_keys_before(void **state)
{
    struct gy_rudp_config config = pair_config();
    struct gy_rudp_message messages[GROUP];
    struct gy_rudp_conn *client = &tls.pair.client.conn, *server = &tls.pair.server.conn;
    (void)state;
    config.fec_packets = GROUP;
    config.fec_all = true;
    config.key_packets = 10;
    begin(&config);
    send_bytes(&messages[0], 20000); /* what comes before the first REPAIR is not kept */
    run(1200, 200);
    assert_ptr_equal(gy_rudp_finished(client), &messages[0]);
    assert_int_equal(client->stats.lost, 0);
    uint64_t updates = client->stats.updates, repeated = client->stats.repeated;
    uint32_t rounds = 12;
    for (uint32_t i = 1; i <= rounds; i++) {
        for (uint32_t k = 0; k < GROUP; k++) { /* a packet each, the last one with the REPAIR */
            send_bytes(&messages[k], 200);     /* so that all fit into the least window */
            pass(&tls.pair.client, &tls.pair.server, 1200, k == i % GROUP);
        }
        run(1200, 200);
        for (unsigned k = 0; k < GROUP; k++) {
            assert_non_null(gy_rudp_finished(client));
            assert_int_equal(messages[k].result, GY_RUDP_ACKED);
        }
    }
    assert_int_equal(server->stats.recovered, rounds);
    assert_int_equal(client->stats.recovered_sent, rounds);
    assert_int_equal(client->stats.repeated, repeated);
    assert_true(client->stats.updates > updates + 2);
    assert_int_equal(tls.pair.server.got_bytes, 20000 + rounds * GROUP * 200);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            longer_datagrams_are_tried_once_the_handshake_is_confirmed_and_filled_to_the_byte),
        cmocka_unit_test(what_the_path_takes_is_found_while_keys_change),
        cmocka_unit_test(a_path_that_takes_less_by_now_is_noticed_and_what_was_cut_is_cut_anew),
        cmocka_unit_test(a_repair_brings_back_an_encrypted_packet_even_of_the_keys_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
