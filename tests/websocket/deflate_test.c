/* SPDX-License-Identifier: GPL-3.0-or-later */

/* permessage-deflate (RFC 7692): bytes of its section 7.2.3 and what else must hold of it. */

#include "tests/unit/unit.h"

#include "tests/websocket/ws_rig.h"

static struct ws_rig rig;
static uint8_t wire[WS_RIG_BYTES];
static size_t held_bytes;

/* Pieces know their size, so that what is held can be seen. */
static void *take(void *context, size_t bytes)
{
    size_t most = *(size_t *)context;
    if (held_bytes + bytes > most) {
        return NULL;
    }
    size_t *piece = malloc(16 + bytes);
    assert_non_null(piece);
    *piece = bytes;
    held_bytes += bytes;
    return (char *)piece + 16;
}

static void give(void *context, void *piece)
{
    (void)context;
    size_t *from = (size_t *)(void *)((char *)piece - 16);
    held_bytes -= *from;
    free(from);
}

static size_t most_bytes;
static const struct gy_ws_memory memory = {take, give, &most_bytes};
static const struct gy_ws_terms whole = {.server_bits = 15, .client_bits = 15};

static void open_with(bool client, const struct gy_ws_terms *terms)
{
    struct gy_ws_deflate *deflate = NULL;
    ws_rig_open(&rig, client);
    rig.env.memory = memory;
    rig.env.limits.deflate_min = 1;
    assert_int_equal(gy_ws_deflate_open(&deflate, terms, client, &memory), 0);
    gy_ws_use_deflate(&rig.ws, deflate);
}

static void close_rig(void)
{
    ws_rig_close(&rig);
    assert_int_equal(held_bytes, 0);
}

static int set_up(void **state)
{
    (void)state;
    if (!gy_ws_have_deflate()) {
        print_message("# built without zlib\n");
        skip();
    }
    most_bytes = SIZE_MAX / 2;
    return 0;
}

/* A frame of the peer's with these bytes. */
static void say(uint8_t first, const void *payload, uint32_t bytes, bool masked)
{
    ws_rig_say(&rig, wire, ws_rig_frame(wire, first, payload, bytes, masked));
}

#define SAY(first, literal) say(first, literal, sizeof(literal) - 1, true)

static void messages_of_the_standard_are_read(void **state)
{
    (void)state;
    open_with(false, &whole);
    SAY(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00");                         /* 7.2.3.1 */
    SAY(0xc1, "\xf2\x00\x11\x00\x00");                                 /* 7.2.3.2 */
    SAY(0xc1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00");         /* 7.2.3.3 */
    SAY(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00");                     /* 7.2.3.4 */
    SAY(0xc1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"); /* 7.2.3.5 */
    SAY(0xc1, "\x00");                                                 /* 7.2.3.6 */
    SAY(0x81, "plain");
    assert_string_equal(rig.told, "text Hello|text Hello|text Hello|text Hello|text Hello|text "
                                  "|text plain|");
    assert_int_equal(rig.env.counters.packed_in, 6);
    close_rig();
}

static void fragments_are_one_message_wherever_they_are_cut(void **state)
{
    (void)state;
    for (uint32_t piece = 1; piece < 8; piece++) {
        open_with(false, &whole);
        rig.piece = piece;
        SAY(0x41, "\xf2\x48\xcd");
        SAY(0x89, "now");
        SAY(0x80, "\xc9\xc9\x07\x00");
        assert_string_equal(rig.told, "ping now|text Hello|");
        close_rig();
    }
}

static void a_server_writes_what_the_standard_has(void **state)
{
    (void)state;
    static const uint8_t hello[] = {0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    static const uint8_t again[] = {0xc1, 0x05, 0xf2, 0x00, 0x11, 0x00, 0x00};
    open_with(false, &whole);
    assert_int_equal(gy_ws_send_copy(&rig.ws, GY_WS_TEXT, "Hello", 5), 0);
    ws_rig_flush(&rig);
    assert_int_equal(rig.sent_bytes, sizeof hello);
    assert_memory_equal(rig.sent, hello, sizeof hello);
    rig.sent_bytes = 0;
    assert_int_equal(gy_ws_send_copy(&rig.ws, GY_WS_TEXT, "Hello", 5), 0);
    ws_rig_flush(&rig);
    assert_int_equal(rig.sent_bytes, sizeof again);
    assert_memory_equal(rig.sent, again, sizeof again);
    close_rig();
}

static void short_messages_are_sent_as_they_are(void **state)
{
    (void)state;
    open_with(false, &whole);
    rig.env.limits.deflate_min = 6;
    assert_int_equal(gy_ws_send_copy(&rig.ws, GY_WS_TEXT, "Hello", 5), 0);
    ws_rig_flush(&rig);
    assert_memory_equal(rig.sent, "\x81\x05Hello", 7);
    close_rig();
}

/* What a server sends is read by a client with the same terms, through messages of all sizes. */
static void round_trips(const struct gy_ws_terms *terms)
{
    static struct ws_rig client;
    static uint8_t data[60000];
    static const uint32_t sizes[] = {16, 64, 256, 1024, 4096, 8192, 16384, 32768, 60000};
    struct gy_ws_deflate *deflate = NULL;
    uint64_t seed = 7692;
    open_with(false, terms);
    ws_rig_open(&client, true);
    assert_int_equal(gy_ws_deflate_open(&deflate, terms, true, &memory), 0);
    gy_ws_use_deflate(&client.ws, deflate);
    for (uint32_t round = 0; round < 3 * 9; round++) {
        uint32_t bytes = sizes[round % 9];
        for (uint32_t i = 0; i < bytes; i++) { /* words, and noise in every third */
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            data[i] = round % 3 == 2 ? (uint8_t)(seed >> 56) : (uint8_t)('a' + i % (3 + round));
        }
        struct gy_chain payload;
        gy_chain_init(&payload, &rig.links);
        for (uint32_t at = 0; at < bytes; at += 10000) {
            uint32_t now = bytes - at < 10000 ? bytes - at : 10000;
            assert_int_equal(gy_bump_copy(&rig.bump, &payload, data + at, now), 0);
        }
        assert_int_equal(gy_ws_send(&rig.ws, GY_WS_BINARY, &payload), 0);
        rig.sent_bytes = 0;
        ws_rig_flush(&rig);
        client.told_bytes = 0;
        client.piece = 1 + round * 97;
        ws_rig_say(&client, rig.sent, rig.sent_bytes);
        assert_int_equal(client.told_bytes, 7 + bytes + 1);
        assert_memory_equal(client.told + 7, data, bytes);
    }
    ws_rig_close(&client);
    close_rig();
}

static void all_sizes_go_through_all_windows_and_back(void **state)
{
    (void)state;
    for (uint8_t bits = GY_WS_BITS_MIN; bits <= GY_WS_BITS_MAX; bits += 3) {
        for (int forgets = 0; forgets < 2; forgets++) {
            round_trips(&(struct gy_ws_terms){.server_no_takeover = forgets != 0,
                                              .client_no_takeover = forgets != 0,
                                              .server_bits = bits,
                                              .client_bits = bits});
        }
    }
}

static void what_takes_no_context_over_holds_no_memory_between_messages(void **state)
{
    (void)state;
    open_with(false, &(struct gy_ws_terms){.server_no_takeover = true,
                                           .client_no_takeover = true,
                                           .server_bits = 15,
                                           .client_bits = 15});
    size_t before = held_bytes;
    rig.echoes = true;
    SAY(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00");
    SAY(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00");
    assert_string_equal(rig.told, "text Hello|text Hello|");
    assert_int_equal(rig.sent_bytes, 2 * 9);
    assert_int_equal(held_bytes, before);
    close_rig();
}

static void memory_stays_below_what_is_said(void **state)
{
    (void)state;
    for (uint8_t bits = GY_WS_BITS_MIN; bits <= GY_WS_BITS_MAX; bits++) {
        struct gy_ws_terms terms = {.server_bits = bits, .client_bits = bits};
        most_bytes = gy_ws_deflate_bytes(&terms, false);
        round_trips(&(struct gy_ws_terms){.server_bits = 9, .client_bits = 9});
        most_bytes = gy_ws_deflate_bytes(&terms, false);
        open_with(false, &terms);
        rig.echoes = true;
        SAY(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00");
        assert_string_equal(rig.told, "text Hello|");
        assert_int_equal(rig.sent_bytes, 9);
        close_rig();
        most_bytes = SIZE_MAX / 2;
    }
}

static void a_bomb_is_refused_before_it_is_large(void **state)
{
    (void)state;
    static uint8_t bomb[4096];
    open_with(false, &whole);
    rig.env.limits.message_max = 10000;
    /* A zero, then copies of it: the fixed code of RFC 1951 §3.2.6, length 258, distance 1. */
    uint64_t bits = 0;
    uint32_t count = 0, at = 0;
    const struct {
        uint32_t value, bits;
    } head[] = {{0, 1}, {1, 2}, {0x0c, 8}}; /* header; literal 0 is 00110000, its first bit first */
    for (uint32_t i = 0; i < 3; i++) {
        bits |= (uint64_t)head[i].value << count;
        count += head[i].bits;
    }
    while (at + 2 < sizeof bomb) { /* 285 is 11000101 (length 258), distance code 0 is 00000 */
        bits |= (uint64_t)0xa3 << count;
        count += 8 + 5;
        for (; count >= 8; count -= 8, bits >>= 8) {
            bomb[at++] = (uint8_t)bits;
        }
    }
    say(0x42, bomb, at, true);
    assert_string_equal(rig.told, "fail 1009 |");
    assert_int_equal(rig.env.counters.too_big, 1);
    assert_true(gy_bump_reserve(&rig.bump, 1) != NULL);
    close_rig();
}

static void refused(uint8_t first, const char *payload, uint32_t bytes, const char *told)
{
    open_with(false, &whole);
    say(first, payload, bytes, true);
    assert_string_equal(rig.told, told);
    close_rig();
}

static void what_is_not_deflate_is_told(void **state)
{
    (void)state;
    refused(0xc1, "\x07\x07\x07\x07", 4, "fail 1007 |");                 /* block type 3 */
    refused(0xc1, "\xf2\x00\x11\x00\x00", 5, "fail 1007 |");             /* refers to nothing */
    refused(0xc1, "\x00\x02\x00\xfd\xff\xc3\x28\x00", 8, "fail 1007 |"); /* not UTF-8 */
    refused(0xc1, "\x00\x01\x00\xfe\xff\xc3\x00", 7, "fail 1007 |");     /* half a character */
}

static void rsv1_is_for_the_first_frames_of_messages(void **state)
{
    (void)state;
    refused(0xc9, "", 0, "fail 1002 |");
    refused(0xa1, "", 0, "fail 1002 |");
    refused(0xe1, "", 0, "fail 1002 |");
    open_with(false, &whole);
    SAY(0x41, "\xf2\x48\xcd");
    SAY(0xc0, "\xc9\xc9\x07\x00");
    assert_string_equal(rig.told, "fail 1002 |");
    close_rig();
    ws_rig_open(&rig, false); /* nothing was agreed on */
    SAY(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00");
    assert_string_equal(rig.told, "fail 1002 |");
    ws_rig_close(&rig);
}

static void a_broadcast_is_compressed_once_for_each_window(void **state)
{
    (void)state;
    static const uint8_t bits[4] = {15, 15, 10, 0}; /* the last has agreed on nothing */
    static struct gy_ws peers[4];
    static uint8_t data[3000];
    struct gy_chain outs[4], payload;
    struct gy_ws_encoded encoded;
    ws_rig_open(&rig, false);
    rig.env.memory = memory;
    gy_chain_init(&payload, &rig.links);
    memset(data, 'x', sizeof data);
    assert_int_equal(gy_bump_copy(&rig.bump, &payload, data, sizeof data), 0);
    assert_int_equal(gy_ws_encode(&rig.env, GY_WS_TEXT, &payload, &encoded), 0);
    for (int i = 0; i < 4; i++) {
        struct gy_ws_deflate *deflate = NULL;
        struct gy_ws_terms terms = {.server_bits = bits[i], .client_bits = 15};
        gy_chain_init(&outs[i], &rig.links);
        gy_ws_init(&peers[i], &rig.env, &outs[i], false, 0);
        if (bits[i] != 0) {
            assert_int_equal(gy_ws_deflate_open(&deflate, &terms, false, &memory), 0);
            gy_ws_use_deflate(&peers[i], deflate);
        }
        assert_int_equal(gy_ws_send_encoded(&peers[i], &encoded), 0);
    }
    assert_true(outs[0].length < 50 && outs[2].length < 50);
    assert_int_equal(outs[3].length, 3004);
    assert_ptr_equal(outs[0].tail->slice.buffer, outs[1].tail->slice.buffer);
    assert_int_equal(outs[0].tail->slice.offset, outs[1].tail->slice.offset);
    assert_int_not_equal(outs[0].tail->slice.offset, outs[2].tail->slice.offset);
    assert_int_equal(rig.env.counters.packed_out, 3);
    for (int i = 0; i < 4; i++) {
        gy_ws_end(&peers[i]);
        gy_chain_clear(&outs[i]);
    }
    gy_ws_encoded_end(&encoded);
    close_rig();
}

/* After a message that was compressed alone, the next may refer to nothing. */
static void what_follows_a_broadcast_can_still_be_read(void **state)
{
    (void)state;
    static struct ws_rig client;
    struct gy_ws_deflate *deflate = NULL;
    struct gy_chain payload;
    struct gy_ws_encoded encoded;
    open_with(false, &whole);
    ws_rig_open(&client, true);
    assert_int_equal(gy_ws_deflate_open(&deflate, &whole, true, &memory), 0);
    gy_ws_use_deflate(&client.ws, deflate);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(gy_ws_send_copy(&rig.ws, GY_WS_TEXT, "one message", 11), 0);
        gy_chain_init(&payload, &rig.links);
        assert_int_equal(gy_bump_copy(&rig.bump, &payload, "to all", 6), 0);
        assert_int_equal(gy_ws_encode(&rig.env, GY_WS_TEXT, &payload, &encoded), 0);
        assert_int_equal(gy_ws_send_encoded(&rig.ws, &encoded), 0);
        gy_ws_encoded_end(&encoded);
    }
    ws_rig_flush(&rig);
    ws_rig_say(&client, rig.sent, rig.sent_bytes);
    assert_string_equal(client.told, "text one message|text to all|text one message|text to all|"
                                     "text one message|text to all|");
    ws_rig_close(&client);
    close_rig();
}

static void without_output_memory_a_message_waits(void **state)
{
    (void)state;
    struct gy_chain held;
    open_with(false, &whole);
    gy_chain_init(&held, &rig.links);
    static uint8_t filling[GY_BUMP_BLOCK_BYTES];
    while (gy_bump_copy(&rig.bump, &held, filling, sizeof filling) == 0) {
    }
    SAY(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00");
    assert_string_equal(rig.told, "");
    assert_int_equal(gy_ws_send_copy(&rig.ws, GY_WS_TEXT, "Hello", 5), GY_ENOBUFS);
    gy_chain_clear(&held);
    ws_rig_turn(&rig);
    assert_string_equal(rig.told, "text Hello|");
    assert_int_equal(gy_ws_send_copy(&rig.ws, GY_WS_TEXT, "Hello", 5), 0);
    ws_rig_flush(&rig);
    assert_memory_equal(rig.sent, "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", 9);
    close_rig();
}

static void memory_that_runs_out_ends_the_connection(void **state)
{
    (void)state;
    open_with(false, &whole);
    most_bytes = held_bytes;
    SAY(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00");
    assert_string_equal(rig.told, "fail 1011 |");
    close_rig();
}

/* ---- terms ---- */

static void accepts(const struct gy_ws_terms *allowed, const char *offer, const char *wanted)
{
    struct gy_ws_terms agreed;
    char answer[GY_WS_EXTENSION_BYTES];
    bool yes = gy_ws_deflate_accept(allowed, gy_http_text_of(offer), &agreed, answer);
    const char *got = yes ? answer : "";
    if (strcmp(got, wanted != NULL ? wanted : "") != 0) {
        fail_msg("%s: %s", offer, yes ? answer : "not accepted");
    }
}

static void offers_are_accepted_by_their_terms(void **state)
{
    (void)state;
    const struct gy_ws_terms small = {.server_bits = 10, .client_bits = 10};
    const struct gy_ws_terms forgets = {true, true, 15, 15};
    accepts(&whole, "permessage-deflate", "permessage-deflate");
    accepts(&whole, "permessage-deflate; client_max_window_bits", "permessage-deflate");
    accepts(&whole, "permessage-deflate; client_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=10");
    accepts(&whole, "permessage-deflate; server_max_window_bits=\"12\"",
            "permessage-deflate; server_max_window_bits=12");
    accepts(&whole, "x-other; a=\"b\", Permessage-Deflate ; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover");
    accepts(&whole, "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; client_no_context_takeover");
    accepts(&small, "permessage-deflate, permessage-deflate; client_max_window_bits=15",
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10");
    accepts(&forgets, "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
}

static void offers_that_cannot_be_met_are_not_accepted(void **state)
{
    (void)state;
    const struct gy_ws_terms small = {.server_bits = 10, .client_bits = 10};
    static const char *const offers[] = {
        "",
        "x-webkit-deflate-frame",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=8", /* zlib writes none so small */
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; unknown",
        "permessage-deflate; client_max_window_bits=\"15",
        "permessage-deflate; =",
        "permessage-deflate permessage-deflate"};
    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++) {
        accepts(&whole, offers[i], NULL);
    }
    accepts(&small, "permessage-deflate", NULL); /* its window cannot be bounded */
    accepts(&whole, "permessage-deflate; unknown, permessage-deflate", "permessage-deflate");
}

static void a_client_takes_only_what_it_offered(void **state)
{
    (void)state;
    struct gy_ws_terms agreed;
    const struct gy_ws_terms asks = {
        .server_no_takeover = true, .server_bits = 12, .client_bits = 15};
    char offer[GY_WS_EXTENSION_BYTES];
    gy_ws_deflate_offer(&asks, offer);
    assert_string_equal(offer, "permessage-deflate; server_no_context_takeover; "
                               "server_max_window_bits=12; client_max_window_bits");
#define AGREED "permessage-deflate; server_no_context_takeover"
    static const char *const wrong[] = {
        "permessage-deflate",
        AGREED,
        AGREED "; server_max_window_bits=13",
        AGREED "; server_max_window_bits=12; client_max_window_bits",
        AGREED "; server_max_window_bits=12; x",
        "x-other",
        AGREED "; server_max_window_bits=12, x-other",
    };
#undef AGREED
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (gy_ws_deflate_check(&asks, gy_http_text_of(wrong[i]), &agreed) == NULL) {
            fail_msg("%s", wrong[i]);
        }
    }
    assert_null(gy_ws_deflate_check(
        &asks,
        GY_HTTP_TEXT("permessage-deflate; server_no_context_takeover; server_max_window_bits=10; "
                     "client_max_window_bits=9"),
        &agreed));
    assert_int_equal(agreed.server_bits, 10);
    assert_int_equal(agreed.client_bits, 9);
    assert_true(agreed.server_no_takeover && !agreed.client_no_takeover);
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(messages_of_the_standard_are_read),
        CASE(fragments_are_one_message_wherever_they_are_cut),
        CASE(a_server_writes_what_the_standard_has),
        CASE(short_messages_are_sent_as_they_are),
        CASE(all_sizes_go_through_all_windows_and_back),
        CASE(what_takes_no_context_over_holds_no_memory_between_messages),
        CASE(memory_stays_below_what_is_said),
        CASE(a_bomb_is_refused_before_it_is_large),
        CASE(what_is_not_deflate_is_told),
        CASE(rsv1_is_for_the_first_frames_of_messages),
        CASE(a_broadcast_is_compressed_once_for_each_window),
        CASE(what_follows_a_broadcast_can_still_be_read),
        CASE(without_output_memory_a_message_waits),
        CASE(memory_that_runs_out_ends_the_connection),
        CASE(offers_are_accepted_by_their_terms),
        CASE(offers_that_cannot_be_met_are_not_accepted),
        CASE(a_client_takes_only_what_it_offered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
