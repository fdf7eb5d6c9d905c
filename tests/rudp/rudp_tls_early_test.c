/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Reliable UDP, encrypted: who comes back resumes, and may say something with the first packet. */

#include "core/tls_quic.h"
#include "tests/rudp/tls_pair.h"

static struct tls_pair tls;
static struct gy_rudp_parameters remembered;
static struct gy_rudp_message early, later;

/* A first connection, whose session the next one resumes. */
static void visit(void)
{
    struct gy_rudp_config config = pair_config();
    tls_pair_open(&tls, &config);
    pair_run(&tls.pair, 100);
    remembered = tls.pair.client.conn.theirs;
    tls_pair_end(&tls);
}

static void begin_again(const struct gy_rudp_config *config)
{
    tls_pair_begin(&tls, config, "server.test", &remembered);
    early = (struct gy_rudp_message){.data = (const uint8_t *)"early",
                                     .length = 5,
                                     .guarantee = GY_RUDP_ORDERED,
                                     .replayable = true};
    later = (struct gy_rudp_message){
        .data = (const uint8_t *)"later", .length = 5, .guarantee = GY_RUDP_ORDERED, .channel = 1};
    assert_int_equal(gy_rudp_send(&tls.pair.client.conn, &early), 0);
    assert_int_equal(gy_rudp_send(&tls.pair.client.conn, &later), 0);
}

static bool resumed(const struct tls_side *side)
{
    struct gy_tls_facts facts;
    gy_tls_quic_facts(side->seal.keys, &facts);
    return facts.resumed;
}

static void who_comes_back_resumes(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    tls_pair_init(&tls, NULL);
    for (unsigned i = 0; i < 4; i++) {
        tls_pair_open(&tls, &config);
        assert_int_equal(resumed(&tls.client), i > 0);
        assert_int_equal(resumed(&tls.server), i > 0);
        pair_run(&tls.pair, 50);
        tls_pair_end(&tls);
    }
    tls_pair_close(&tls);
}

static void what_may_come_twice_comes_with_the_hello(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    tls_pair_init(&tls, NULL);
    visit();
    begin_again(&config);
    tls_pair_admit(&tls);
    assert_int_equal(tls.pair.server.conn.state, GY_RUDP_HANDSHAKING);
    assert_int_equal(tls.pair.server.got, 1);
    assert_int_equal(tls.pair.server.order[0], 'e');
    assert_int_equal(tls.pair.server.conn.stats.early, 1);
    pair_run(&tls.pair, 100);
    assert_int_equal(early.result, GY_RUDP_ACKED);
    assert_int_equal(later.result, GY_RUDP_ACKED);
    assert_int_equal(tls.pair.server.got, 2);
    assert_int_equal(tls.pair.server.order[1], 'l');
    tls_pair_end(&tls);
    tls_pair_close(&tls);
}

/* What a first connection was given spares the next one the RETRY. */
static void who_comes_back_with_an_address_token_needs_no_cookie(void **state)
{
    (void)state;
    static uint32_t used[16];
    struct gy_rudp_config config = pair_config();
    uint8_t answer[GY_RUDP_ANSWER_MAX];
    size_t bytes;
    tls_pair_init(&tls, NULL);
    tls_pair_begin(&tls, &config, "server.test", NULL);
    tls.pair.gate.used = used;
    tls.pair.gate.used_count = 16;
    tls.pair.config.has_address_token = true;
    gy_rudp_gate_address_token(&tls.pair.gate, "peer", 4, 5, tls.pair.now_ns,
                               tls.pair.config.address_token);
    memcpy(config.address_token, tls.pair.config.address_token, sizeof config.address_token);
    tls_pair_admit(&tls);
    pair_run(&tls.pair, 100);
    assert_true(tls.pair.client.conn.has_address_token);
    assert_memory_equal(tls.pair.client.conn.address_token, config.address_token,
                        GY_RUDP_COOKIE_BYTES);
    remembered = tls.pair.client.conn.theirs;
    tls_pair_end(&tls);
    config.has_address_token = true;
    begin_again(&config);
    tls.pair.gate.used = used;
    tls.pair.gate.used_count = 16;
    assert_int_equal(pair_hello(&tls.pair, answer, &bytes), GY_RUDP_ADMIT);
    assert_int_equal(tls.pair.server.got, 1); /* it came with the very first datagram */
    pair_run(&tls.pair, 100);
    assert_int_equal(later.result, GY_RUDP_ACKED);
    tls_pair_end(&tls);
    /* Once more: a cookie is asked for, and all is well. */
    begin_again(&config);
    tls.pair.gate.used = used;
    tls.pair.gate.used_count = 16;
    tls_pair_admit(&tls);
    pair_run(&tls.pair, 100);
    assert_int_equal(early.result, GY_RUDP_ACKED);
    assert_int_equal(later.result, GY_RUDP_ACKED);
    assert_int_equal(tls.pair.server.got, 2);
    tls_pair_end(&tls);
    tls_pair_close(&tls);
}

/* The answer need not wait for the client's end of the handshake. */
static void an_answer_leaves_before_the_handshake_is_done(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    struct gy_rudp_message answer = {
        .data = (const uint8_t *)"answer", .length = 6, .guarantee = GY_RUDP_ORDERED};
    tls_pair_init(&tls, NULL);
    visit();
    begin_again(&config);
    tls_pair_admit(&tls);
    assert_int_equal(gy_rudp_send(&tls.pair.server.conn, &answer), 0);
    pair_pass(&tls.pair, &tls.pair.server, &tls.pair.client);
    assert_int_equal(tls.pair.client.got, 1);
    pair_run(&tls.pair, 100);
    assert_int_equal(answer.result, GY_RUDP_ACKED);
    assert_int_equal(tls.pair.client.got, 1);
    tls_pair_end(&tls);
    tls_pair_close(&tls);
}

/* The client's first two datagrams again, to a server that knows nothing of the connection. */
static void a_copy_of_the_hello_is_not_taken_for_another(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    uint8_t answer[GY_RUDP_ANSWER_MAX], out[PAIR_PACKET_MAX], copy[PAIR_PACKET_MAX];
    static const uint8_t token[GY_RUDP_TOKEN_BYTES];
    size_t bytes;
    struct gy_rudp_long hello;
    tls_pair_init(&tls, NULL);
    visit();
    begin_again(&config);
    assert_int_equal(pair_hello(&tls.pair, answer, &bytes), GY_RUDP_ANSWER);
    gy_rudp_receive(&tls.pair.client.conn, answer, bytes, tls.pair.now_ns);
    bytes = pair_output(&tls.pair, &tls.pair.client, out);
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0) {
            gy_rudp_free(&tls.pair.server.conn);
            gy_rudp_tls.free(&tls.server.seal);
            assert_int_equal(gy_rudp_tls.make(tls.server.state, NULL, false, &tls.server.seal), 0);
        }
        memcpy(copy, out, bytes);
        assert_int_equal(gy_rudp_gate_take(&tls.pair.gate, "peer", 4, copy, bytes, tls.pair.now_ns,
                                           &hello, answer, &(size_t){0}),
                         GY_RUDP_ADMIT);
        assert_true(hello.early_bytes > 0);
        struct gy_rudp_env env = pair_env(&tls.pair.server);
        struct gy_rudp_cid self = {.bytes = {1, 2, 3, 4}, .length = 4};
        assert_int_equal(gy_rudp_accept(&tls.pair.server.conn, &tls.pair.config,
                                        tls.pair.server.memory, &env, &self, &hello, token,
                                        tls.pair.now_ns),
                         0);
        gy_rudp_receive(&tls.pair.server.conn, copy, bytes, tls.pair.now_ns);
        assert_int_equal(tls.pair.server.got, 1);
    }
    tls_pair_end(&tls);
    tls_pair_close(&tls);
}

/* A HELLO that comes again within the connection holds the same packet. */
static void an_early_packet_that_comes_again_is_a_duplicate(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    tls_pair_init(&tls, NULL);
    visit();
    begin_again(&config);
    tls_pair_admit(&tls);
    tls.pair.now_ns = gy_rudp_timeout(&tls.pair.client.conn);
    assert_int_equal(pair_pass(&tls.pair, &tls.pair.client, &tls.pair.server), 1);
    assert_int_equal(tls.pair.server.got, 1);
    assert_int_equal(tls.pair.server.conn.stats.duplicates, 1);
    pair_run(&tls.pair, 2000);
    assert_int_equal(tls.pair.server.got, 2);
    tls_pair_end(&tls);
    tls_pair_close(&tls);
}

/* A server that has forgotten its keys for tickets. */
static void what_was_not_taken_early_comes_once_it_is_open(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    static struct gy_cert_pair authority;
    tls_pair_init(&tls, NULL);
    visit();
    struct tls_side client = tls.client;
    authority = tls.authority;
    gy_rudp_tls.close(tls.server.state);
    gy_tls_config_close(tls.server.config);
    struct tls_side old = client;
    static struct tls_pair fresh;
    tls_pair_init(&fresh, &authority);
    gy_rudp_tls.close(fresh.client.state);
    gy_tls_config_close(fresh.client.config);
    tls = fresh;
    tls.client = old;
    begin_again(&config);
    tls_pair_admit(&tls);
    assert_int_equal(tls.pair.server.got, 0);
    /* It is another authority's, too: what was kept is no reason to trust it. */
    pair_run(&tls.pair, 3000);
    assert_int_equal(tls.pair.client.conn.close_code, GY_RUDP_CLOSE_CRYPTO);
    assert_int_equal(tls.pair.server.got, 0);
    tls_pair_end(&tls);
    tls_pair_close(&tls);
}

/* The channel is gone since: refused early without harm, and later for good. */
static void what_does_not_fit_any_more_is_not_taken_early(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    tls_pair_init(&tls, NULL);
    visit();
    begin_again(&config);
    tls.pair.config.message_max = 4;
    tls_pair_admit(&tls);
    assert_int_equal(tls.pair.server.got, 0);
    assert_int_equal(tls.pair.server.conn.state, GY_RUDP_HANDSHAKING);
    tls_pair_end(&tls);
    tls_pair_close(&tls);
}

static void nothing_goes_early_that_was_not_marked(void **state)
{
    (void)state;
    struct gy_rudp_config config = pair_config();
    tls_pair_init(&tls, NULL);
    visit();
    begin_again(&config);
    early.replayable = false;
    tls_pair_admit(&tls);
    assert_int_equal(tls.pair.server.got, 0);
    assert_int_equal(tls.pair.client.conn.early_bytes, 0);
    pair_run(&tls.pair, 100);
    assert_int_equal(tls.pair.server.got, 2);
    tls_pair_end(&tls);
    tls_pair_close(&tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_back_resumes),
        cmocka_unit_test(what_may_come_twice_comes_with_the_hello),
        cmocka_unit_test(who_comes_back_with_an_address_token_needs_no_cookie),
        cmocka_unit_test(an_answer_leaves_before_the_handshake_is_done),
        cmocka_unit_test(a_copy_of_the_hello_is_not_taken_for_another),
        cmocka_unit_test(an_early_packet_that_comes_again_is_a_duplicate),
        cmocka_unit_test(what_was_not_taken_early_comes_once_it_is_open),
        cmocka_unit_test(what_does_not_fit_any_more_is_not_taken_early),
        cmocka_unit_test(nothing_goes_early_that_was_not_marked),
    };
    return cmocka_run_group_tests_name("rudp_tls_early", tests, NULL, NULL);
}
