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

/* ---- address tokens; an address is four bytes and two of a port ---- */

static uint32_t used[2][4];

static struct gy_rudp_gate token_gate(unsigned worker)
{
    memset(used[worker], 0, sizeof used[worker]);
    return (struct gy_rudp_gate){.key = {{1, 2}},
                                 .cookie_ns = 10000 * MS,
                                 .cid_bytes = 4,
                                 .version = GY_RUDP_VERSION_PLAIN,
                                 .used = used[worker],
                                 .used_count = 4,
                                 .generation = 7,
                                 .port_bytes = 2};
}

/* A HELLO with that token. */
static enum gy_rudp_verdict come_back(struct gy_rudp_gate *gate, const char *address,
                                      const uint8_t *token, uint64_t now_ns)
{
    struct gy_rudp_long hello = {
        .type = GY_RUDP_PACKET_HELLO,
        .version = GY_RUDP_VERSION_PLAIN,
        .from = {.bytes = {9}, .length = 1},
        .cookie = token,
        .cookie_bytes = GY_RUDP_COOKIE_BYTES,
        .parameters = {
            .window = 1 << 20, .message_max = 1000, .channels = 1, .datagram_max = 1200}};
    uint8_t out[GY_RUDP_HELLO_BYTES], answer[GY_RUDP_ANSWER_MAX];
    size_t answer_bytes;
    assert_int_equal(gy_rudp_long_write(&hello, out, sizeof out), sizeof out);
    enum gy_rudp_verdict verdict =
        gy_rudp_gate_take(gate, address, 6, out, sizeof out, now_ns, &hello, answer, &answer_bytes);
    assert_true(verdict == GY_RUDP_ADMIT || (verdict == GY_RUDP_ANSWER && answer[0] == 0x82));
    return verdict;
}

#define GIVEN (100 * 1000 * MS)

static void an_address_token_is_good_for_its_host_and_once_for_each_worker(void **state)
{
    (void)state;
    struct gy_rudp_gate gate = token_gate(0), other = token_gate(1);
    uint8_t token[GY_RUDP_COOKIE_BYTES];
    gy_rudp_gate_address_token(&gate, "peer12", 6, 77, GIVEN, token);
    assert_int_equal(come_back(&other, "peer34", token, GIVEN + 1), GY_RUDP_ADMIT);
    assert_int_equal(come_back(&other, "peer34", token, GIVEN + 2), GY_RUDP_ANSWER);
    assert_int_equal(come_back(&gate, "peer56", token, GIVEN + 3), GY_RUDP_ADMIT);
    assert_int_equal(come_back(&gate, "peer12", token, GIVEN + 3), GY_RUDP_ANSWER);
    assert_int_equal(gate.tokens, 1);
    assert_int_equal(gate.tokens_refused, 1);
    assert_int_equal(gate.retries, 1);
}

static void a_stolen_token_is_of_no_use_elsewhere_and_stays_good_for_its_owner(void **state)
{
    (void)state;
    struct gy_rudp_gate gate = token_gate(0);
    uint8_t token[GY_RUDP_COOKIE_BYTES];
    gy_rudp_gate_address_token(&gate, "peer12", 6, 77, GIVEN, token);
    assert_int_equal(come_back(&gate, "pear12", token, GIVEN + 1), GY_RUDP_ANSWER);
    assert_int_equal(come_back(&gate, "peer12", token, GIVEN + 1), GY_RUDP_ADMIT);
}

static void a_forged_token_is_not_good(void **state)
{
    (void)state;
    struct gy_rudp_gate gate = token_gate(0), cookies = token_gate(1);
    uint8_t token[GY_RUDP_COOKIE_BYTES];
    gy_rudp_gate_address_token(&gate, "peer12", 6, 77, GIVEN, token);
    for (unsigned bit = 0; bit < 8 * sizeof token; bit++) {
        token[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(come_back(&gate, "peer12", token, GIVEN + 1), GY_RUDP_ANSWER);
        token[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cookies.used = NULL; /* takes none */
    assert_int_equal(come_back(&cookies, "peer12", token, GIVEN + 1), GY_RUDP_ANSWER);
    assert_int_equal(come_back(&gate, "peer12", token, GIVEN + 1), GY_RUDP_ADMIT);
}

static void a_token_lasts_a_day_and_is_of_one_process_and_one_key(void **state)
{
    (void)state;
    const uint64_t day = GY_RUDP_TOKEN_LIFE_S * 1000 * MS;
    struct gy_rudp_gate gate = token_gate(0), process = token_gate(1), key = token_gate(1);
    uint8_t token[GY_RUDP_COOKIE_BYTES];
    process.generation = 8;
    key.key.words[0] = 3;
    gy_rudp_gate_address_token(&gate, "peer12", 6, 77, GIVEN, token);
    assert_int_equal(come_back(&process, "peer12", token, GIVEN + 1), GY_RUDP_ANSWER);
    assert_int_equal(come_back(&key, "peer12", token, GIVEN + 1), GY_RUDP_ANSWER);
    assert_int_equal(come_back(&gate, "peer12", token, GIVEN - 1000 * MS), GY_RUDP_ANSWER);
    assert_int_equal(come_back(&gate, "peer12", token, GIVEN + day), GY_RUDP_ANSWER);
    assert_int_equal(come_back(&gate, "peer12", token, GIVEN + day - 1), GY_RUDP_ADMIT);
}

/* However the places are shared, what was used is not taken again. */
static void no_token_is_taken_twice_however_many_there_are(void **state)
{
    (void)state;
    struct gy_rudp_gate gate = token_gate(0);
    static uint8_t tokens[200][GY_RUDP_COOKIE_BYTES];
    uint32_t taken = 0;
    for (uint32_t i = 0; i < 200; i++) { /* one a second */
        gy_rudp_gate_address_token(&gate, "peer12", 6, i * 7919, GIVEN + i * 1000 * MS, tokens[i]);
        taken += come_back(&gate, "peer12", tokens[i], GIVEN + i * 1000 * MS) == GY_RUDP_ADMIT;
    }
    assert_int_equal(taken, 200); /* at once, so each is the newest */
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(come_back(&gate, "peer12", tokens[i], GIVEN + 300000 * MS),
                         GY_RUDP_ANSWER);
    }
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
        cmocka_unit_test(an_address_token_is_good_for_its_host_and_once_for_each_worker),
        cmocka_unit_test(a_stolen_token_is_of_no_use_elsewhere_and_stays_good_for_its_owner),
        cmocka_unit_test(a_forged_token_is_not_good),
        cmocka_unit_test(a_token_lasts_a_day_and_is_of_one_process_and_one_key),
        cmocka_unit_test(no_token_is_taken_twice_however_many_there_are),
    };
    return cmocka_run_group_tests_name("rudp_gate", tests, NULL, NULL);
}
