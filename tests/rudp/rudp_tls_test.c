/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Reliable UDP, encrypted: the handshake, packets that are not what was sent, new keys. */

#include "tests/rudp/tls_pair.h"

static struct tls_pair tls;
static struct gy_rudp_message messages[64];
static uint8_t texts[64];

/* A message of one byte of that client's. */
static void send_one(unsigned index, uint8_t what)
{
    texts[index] = what;
    messages[index] =
        (struct gy_rudp_message){.data = &texts[index], .length = 1, .guarantee = GY_RUDP_ORDERED};
    assert_int_equal(gy_rudp_send(&tls.pair.client.conn, &messages[index]), 0);
}

static void begin_open(void)
{
    struct gy_rudp_config config = pair_config();
    tls_pair_init(&tls, NULL);
    tls_pair_open(&tls, &config);
}

static void finish(void)
{
    tls_pair_end(&tls);
    tls_pair_close(&tls);
}

static void messages_pass_once_tls_is_done(void **state)
{
    (void)state;
    begin_open();
    struct gy_rudp_message back = {
        .data = (const uint8_t *)"b", .length = 1, .guarantee = GY_RUDP_UNORDERED};
    send_one(0, 'a');
    assert_int_equal(gy_rudp_send(&tls.pair.server.conn, &back), 0);
    pair_run(&tls.pair, 10);
    assert_int_equal(tls.pair.server.order[0], 'a');
    assert_int_equal(tls.pair.client.order[0], 'b');
    assert_int_equal(back.result, GY_RUDP_ACKED);
    assert_true(tls.pair.client.conn.confirmed && tls.pair.server.conn.confirmed);
    assert_int_equal(tls.pair.client.conn.in_flight, 0);
    assert_int_equal(tls.pair.server.conn.in_flight, 0);
    assert_int_equal(tls.pair.client.conn.stats.dropped, 0);
    finish();
}

/* Without a word in the clear that the bytes of a message could be found in. */
static void what_is_sent_cannot_be_read(void **state)
{
    (void)state;
    uint8_t out[PAIR_PACKET_MAX];
    static const char text[] = "attack at dawn, attack at dawn";
    begin_open();
    messages[0] = (struct gy_rudp_message){
        .data = (const uint8_t *)text, .length = sizeof text, .guarantee = GY_RUDP_ORDERED};
    assert_int_equal(gy_rudp_send(&tls.pair.client.conn, &messages[0]), 0);
    size_t bytes = pair_output(&tls.pair, &tls.pair.client, out);
    assert_true(bytes > sizeof text);
    assert_null(memmem(out, bytes, "attack", 6));
    assert_null(memmem(out, bytes, "dawn", 4));
    finish();
}

static size_t cost_of_one(struct end *end, struct gy_rudp_message *message)
{
    uint8_t out[PAIR_PACKET_MAX];
    static uint8_t text[100];
    *message =
        (struct gy_rudp_message){.data = text, .length = sizeof text, .guarantee = GY_RUDP_ORDERED};
    assert_int_equal(gy_rudp_send(&end->conn, message), 0);
    size_t bytes = pair_output(&tls.pair, end, out);
    assert_true(bytes > sizeof text);
    return bytes - sizeof text;
}

static void one_small_message_costs_at_most_27_bytes_or_35_with_an_id(void **state)
{
    (void)state;
    static struct gy_rudp_message there, back;
    begin_open();
    pair_run(&tls.pair, 100);
    /* The server's ids have four bytes here, the client's none. */
    assert_uint_in_range(cost_of_one(&tls.pair.client, &there), 4 + 21, 4 + 23);
    assert_uint_in_range(cost_of_one(&tls.pair.server, &back), 21, 23);
    finish();
}

static void run_to_failure(struct end *end, uint64_t code, const char *reason)
{
    pair_run(&tls.pair, 5000);
    assert_int_equal(end->conn.close_code, code);
    if (strstr(end->conn.close_reason, reason) == NULL) {
        fail_msg("`%s` is not in: %s", reason, end->conn.close_reason);
    }
}

static void a_certificate_of_a_stranger_is_refused_with_a_sentence(void **state)
{
    (void)state;
    static struct gy_cert_pair other;
    struct gy_rudp_config config = pair_config();
    tls_pair_certificate(&other, "somebody else", NULL);
    tls_pair_init(&tls, &other);
    tls_pair_begin(&tls, &config, "server.test", NULL);
    tls_pair_admit(&tls);
    run_to_failure(&tls.pair.client, GY_RUDP_CLOSE_CRYPTO, "signed by nobody whom we trust");
    /* It is told, and does not wait for somebody who will not come. */
    run_to_failure(&tls.pair.server, GY_RUDP_CLOSE_CRYPTO, "signed by nobody");
    finish();
}

static void a_certificate_for_another_host_is_refused_with_a_sentence(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    tls_pair_init(&tls, NULL);
    tls_pair_begin(&tls, &config, "other.test", NULL);
    tls_pair_admit(&tls);
    run_to_failure(&tls.pair.client, GY_RUDP_CLOSE_CRYPTO, "is not for `other.test`");
    finish();
}

static void neither_end_speaks_as_the_other_wants_when_the_modes_differ(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    uint8_t answer[GY_RUDP_ANSWER_MAX];
    size_t bytes;
    tls_pair_init(&tls, NULL);
    tls_pair_begin(&tls, &config, "server.test", NULL);
    tls.pair.gate.version = GY_RUDP_VERSION_PLAIN;
    assert_int_equal(pair_hello(&tls.pair, answer, &bytes), GY_RUDP_ANSWER);
    gy_rudp_receive(&tls.pair.client.conn, answer, bytes, tls.pair.now_ns);
    assert_int_equal(tls.pair.client.conn.close_code, GY_RUDP_CLOSE_MODE);
    assert_non_null(strstr(tls.pair.client.conn.close_reason, "without encryption only"));
    finish();
    static struct pair plain;
    pair_begin(&plain, &config);
    plain.gate.version = GY_RUDP_VERSION;
    assert_int_equal(pair_hello(&plain, answer, &bytes), GY_RUDP_ANSWER);
    gy_rudp_receive(&plain.client.conn, answer, bytes, plain.now_ns);
    assert_int_equal(plain.client.conn.close_code, GY_RUDP_CLOSE_MODE);
    assert_non_null(strstr(plain.client.conn.close_reason, "with encryption only"));
    pair_end(&plain);
}

/* Somebody on the way names another server's connection. */
static void an_id_that_was_changed_on_the_way_ends_the_handshake(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    uint8_t out[PAIR_PACKET_MAX];
    struct gy_rudp_long accept;
    tls_pair_init(&tls, NULL);
    tls_pair_begin(&tls, &config, "server.test", NULL);
    tls_pair_admit(&tls);
    size_t bytes = pair_output(&tls.pair, &tls.pair.server, out);
    assert_int_equal(gy_rudp_long_read(out, bytes, &accept), 0);
    uint8_t changed[PAIR_PACKET_MAX];
    accept.from.bytes[0] ^= 1;
    int length = gy_rudp_long_write(&accept, changed, sizeof changed);
    gy_rudp_receive(&tls.pair.client.conn, changed, (size_t)length, tls.pair.now_ns);
    run_to_failure(&tls.pair.client, GY_RUDP_CLOSE_CRYPTO, "somebody changed it");
    finish();
}

static void an_accept_of_nonsense_ends_the_handshake_with_a_sentence(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    uint8_t out[PAIR_PACKET_MAX];
    static uint8_t nonsense[80] = {2, 0, 0, 76, 3, 3};
    tls_pair_init(&tls, NULL);
    tls_pair_begin(&tls, &config, "server.test", NULL);
    tls_pair_admit(&tls);
    struct gy_rudp_long accept = {.type = GY_RUDP_PACKET_ACCEPT,
                                  .version = GY_RUDP_VERSION,
                                  .from = {{9}, 1},
                                  .crypto = nonsense,
                                  .crypto_bytes = sizeof nonsense};
    int length = gy_rudp_long_write(&accept, out, sizeof out);
    gy_rudp_receive(&tls.pair.client.conn, out, (size_t)length, tls.pair.now_ns);
    assert_int_equal(tls.pair.client.conn.state, GY_RUDP_DEAD);
    assert_int_equal(tls.pair.client.conn.close_code, GY_RUDP_CLOSE_CRYPTO);
    assert_true(strlen(tls.pair.client.conn.close_reason) > 10);
    finish();
}

static void a_client_hello_of_nonsense_makes_no_connection(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    static uint8_t nonsense[300] = {1, 0, 1, 40, 3, 3};
    static const uint8_t token[GY_RUDP_TOKEN_BYTES];
    tls_pair_init(&tls, NULL);
    tls_pair_begin(&tls, &config, "server.test", NULL);
    struct gy_rudp_env env = pair_env(&tls.pair.server);
    struct gy_rudp_cid self = {.length = 4};
    struct gy_rudp_long hello = {.type = GY_RUDP_PACKET_HELLO,
                                 .version = GY_RUDP_VERSION,
                                 .crypto = nonsense,
                                 .crypto_bytes = sizeof nonsense};
    assert_true(gy_rudp_accept(&tls.pair.server.conn, &tls.pair.config, tls.pair.server.memory,
                               &env, &self, &hello, token, tls.pair.now_ns) < 0);
    tls.pair.server.conn.env.owner = NULL;
    finish();
}

static void a_packet_that_is_changed_anywhere_or_cut_is_dropped(void **state)
{
    (void)state;
    uint8_t out[PAIR_PACKET_MAX], copy[PAIR_PACKET_MAX];
    begin_open();
    pair_run(&tls.pair, 100);
    send_one(0, 'a');
    size_t bytes = pair_output(&tls.pair, &tls.pair.client, out);
    const struct gy_rudp_conn *server = &tls.pair.server.conn;
    uint64_t received = server->stats.packets_received;
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        memcpy(copy, out, bytes);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        gy_rudp_receive(&tls.pair.server.conn, copy, bytes, tls.pair.now_ns);
    }
    for (size_t length = 1; length < bytes; length++) {
        memcpy(copy, out, length);
        gy_rudp_receive(&tls.pair.server.conn, copy, length, tls.pair.now_ns);
    }
    assert_int_equal(server->stats.packets_received, received);
    assert_true(server->forgeries > bytes); /* others have a bit that is never set, or an id */
    assert_int_equal(server->state, GY_RUDP_OPEN);
    gy_rudp_receive(&tls.pair.server.conn, out, bytes, tls.pair.now_ns);
    assert_int_equal(tls.pair.server.order[0], 'a');
    finish();
}

static void a_copy_of_a_packet_is_dropped(void **state)
{
    (void)state;
    uint8_t out[PAIR_PACKET_MAX], copy[PAIR_PACKET_MAX];
    begin_open();
    pair_run(&tls.pair, 100);
    send_one(0, 'a');
    size_t bytes = pair_output(&tls.pair, &tls.pair.client, out);
    uint64_t before = tls.pair.server.conn.stats.duplicates;
    for (unsigned i = 0; i < 3; i++) {
        memcpy(copy, out, bytes);
        gy_rudp_receive(&tls.pair.server.conn, copy, bytes, tls.pair.now_ns);
    }
    assert_int_equal(tls.pair.server.got, 1);
    assert_int_equal(tls.pair.server.conn.stats.duplicates, before + 2);
    finish();
}

/* The token goes under encryption, so that nobody who listens can end a connection with it. */
static void only_who_has_the_token_can_reset(void **state)
{
    (void)state;
    uint8_t reset[40] = {0x40};
    begin_open();
    gy_rudp_receive(&tls.pair.client.conn, reset, sizeof reset, tls.pair.now_ns);
    assert_int_equal(tls.pair.client.conn.state, GY_RUDP_OPEN);
    reset[0] = 0x40;
    gy_rudp_gate_token(&tls.pair.gate, &tls.pair.client.conn.peer,
                       reset + sizeof reset - GY_RUDP_TOKEN_BYTES);
    gy_rudp_receive(&tls.pair.client.conn, reset, sizeof reset, tls.pair.now_ns);
    assert_int_equal(tls.pair.client.conn.close_code, GY_RUDP_CLOSE_RESET);
    finish();
}

static uint32_t random_state;

static unsigned any_of(unsigned count)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 16) % count;
}

/* Time passes; one of so many datagrams is lost, or, 0, only the one of that number. */
static void run_lossy(uint64_t ms, unsigned of, unsigned number)
{
    struct end *ends[] = {&tls.pair.client, &tls.pair.server};
    uint64_t end_ns = tls.pair.now_ns + ms * MS;
    unsigned count = 0;
    for (; tls.pair.now_ns < end_ns; tls.pair.now_ns += MS) {
        for (unsigned i = 0; i < 2; i++) {
            uint8_t out[PAIR_PACKET_MAX];
            size_t bytes;
            gy_rudp_expire(&ends[i]->conn, tls.pair.now_ns);
            while ((bytes = pair_output(&tls.pair, ends[i], out)) > 0) {
                bool lost = of == 0 ? count == number : any_of(of) == 0;
                count++;
                if (!lost) {
                    gy_rudp_receive(&ends[1 - i]->conn, out, bytes, tls.pair.now_ns);
                }
            }
        }
    }
}

static void handshake_under_loss(unsigned of, unsigned number)
{
    struct gy_rudp_config config = pair_config();
    config.idle_timeout_ns = 0;
    tls_pair_begin(&tls, &config, "server.test", NULL);
    tls_pair_admit(&tls);
    send_one(0, 'a');
    for (unsigned second = 0; second < 600; second++) {
        if (tls.pair.client.conn.confirmed && tls.pair.server.got == 1) {
            break;
        }
        run_lossy(1000, of, number);
        number += of == 0 ? 1000 : 0; /* counted anew: it was lost already */
    }
    if (tls.pair.client.conn.state != GY_RUDP_OPEN || tls.pair.server.conn.state != GY_RUDP_OPEN ||
        !tls.pair.client.conn.confirmed || tls.pair.server.got != 1) {
        fail_msg("one of %u, number %u: the states are %d and %d, %d, %u", of, number,
                 tls.pair.client.conn.state, tls.pair.server.conn.state,
                 tls.pair.client.conn.confirmed, tls.pair.server.got);
    }
    tls_pair_end(&tls);
}

static void a_handshake_ends_whichever_packet_is_lost(void **state)
{
    (void)state;
    tls_pair_init(&tls, NULL);
    for (unsigned number = 0; number < 12; number++) {
        handshake_under_loss(0, number);
    }
    for (random_state = 1; random_state < 20; random_state++) {
        uint32_t seed = random_state;
        handshake_under_loss(2, seed);
        random_state = seed;
    }
    tls_pair_close(&tls);
}

static void keys_change_when_asked_and_the_other_end_follows(void **state)
{
    (void)state;
    begin_open();
    pair_run(&tls.pair, 100);
    for (uint32_t i = 1; i <= 5; i++) {
        gy_rudp_update_keys(i % 2 != 0 ? &tls.pair.client.conn : &tls.pair.server.conn);
        /* Not before each end knows of the other that it has the keys there are. */
        for (unsigned k = 0; k < 3; k++) {
            struct gy_rudp_message back = {
                .data = (const uint8_t *)"b", .length = 1, .guarantee = GY_RUDP_UNORDERED};
            send_one(i, (uint8_t)('a' + i));
            assert_int_equal(gy_rudp_send(&tls.pair.server.conn, &back), 0);
            pair_run(&tls.pair, 60);
            assert_int_equal(back.result, GY_RUDP_ACKED);
            assert_int_equal(messages[i].result, GY_RUDP_ACKED);
        }
        assert_int_equal(tls.pair.client.conn.key_in, i);
        assert_int_equal(tls.pair.client.conn.key_out, i);
        assert_int_equal(tls.pair.server.conn.key_in, i);
        assert_int_equal(tls.pair.server.conn.key_out, i);
    }
    pair_run(&tls.pair, 1000);
    assert_int_equal(tls.pair.server.conn.key_forget_ns, 0);
    assert_int_equal(tls.pair.server.conn.forgeries, 0);
    finish();
}

static void keys_change_by_count_and_under_loss(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    config.key_packets = 5;
    tls_pair_init(&tls, NULL);
    tls_pair_open(&tls, &config);
    for (unsigned i = 0; i < 60; i++) {
        send_one(i, (uint8_t)i);
        run_lossy(50, 4, 0);
    }
    run_lossy(5000, 4, 0);
    assert_int_equal(tls.pair.server.got, 60);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(tls.pair.server.order[i], i);
    }
    assert_true(tls.pair.client.conn.key_out > 5 && tls.pair.server.conn.key_in > 5);
    finish();
}

static void a_packet_of_the_keys_before_is_taken_for_a_while_only(void **state)
{
    (void)state;
    uint8_t late[PAIR_PACKET_MAX], later[PAIR_PACKET_MAX];
    begin_open();
    pair_run(&tls.pair, 100);
    send_one(0, 'a');
    size_t late_bytes = pair_output(&tls.pair, &tls.pair.client, late);
    send_one(1, 'b');
    size_t later_bytes = pair_output(&tls.pair, &tls.pair.client, later);
    gy_rudp_update_keys(&tls.pair.server.conn);
    struct gy_rudp_message back = {
        .data = (const uint8_t *)"b", .length = 1, .guarantee = GY_RUDP_UNORDERED};
    assert_int_equal(gy_rudp_send(&tls.pair.server.conn, &back), 0);
    pair_pass(&tls.pair, &tls.pair.server, &tls.pair.client);
    send_one(2, 'c');
    pair_pass(&tls.pair, &tls.pair.client, &tls.pair.server);
    assert_int_equal(tls.pair.server.conn.key_in, 1);
    gy_rudp_receive(&tls.pair.server.conn, late, late_bytes, tls.pair.now_ns);
    assert_int_equal(tls.pair.server.order[0], 'a');
    tls.pair.now_ns = tls.pair.server.conn.key_forget_ns;
    gy_rudp_expire(&tls.pair.server.conn, tls.pair.now_ns);
    uint64_t forgeries = tls.pair.server.conn.forgeries;
    gy_rudp_receive(&tls.pair.server.conn, later, later_bytes, tls.pair.now_ns);
    assert_int_equal(tls.pair.server.conn.forgeries, forgeries + 1);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_pass_once_tls_is_done),
        cmocka_unit_test(what_is_sent_cannot_be_read),
        cmocka_unit_test(one_small_message_costs_at_most_27_bytes_or_35_with_an_id),
        cmocka_unit_test(a_certificate_of_a_stranger_is_refused_with_a_sentence),
        cmocka_unit_test(a_certificate_for_another_host_is_refused_with_a_sentence),
        cmocka_unit_test(neither_end_speaks_as_the_other_wants_when_the_modes_differ),
        cmocka_unit_test(an_id_that_was_changed_on_the_way_ends_the_handshake),
        cmocka_unit_test(an_accept_of_nonsense_ends_the_handshake_with_a_sentence),
        cmocka_unit_test(a_client_hello_of_nonsense_makes_no_connection),
        cmocka_unit_test(a_packet_that_is_changed_anywhere_or_cut_is_dropped),
        cmocka_unit_test(a_copy_of_a_packet_is_dropped),
        cmocka_unit_test(only_who_has_the_token_can_reset),
        cmocka_unit_test(a_handshake_ends_whichever_packet_is_lost),
        cmocka_unit_test(keys_change_when_asked_and_the_other_end_follows),
        cmocka_unit_test(keys_change_by_count_and_under_loss),
        cmocka_unit_test(a_packet_of_the_keys_before_is_taken_for_a_while_only),
    };
    return cmocka_run_group_tests_name("rudp_tls", tests, NULL, NULL);
}
