/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include "bench/load/load.h"

/* gyre-load as a client of chat, NATS and Redis: bytes of the servers, written out, whole and cut
 * at every place. */

struct rig {
    const struct gy_load_protocol *protocol;
    void *plan;
    void *state;
    void *session;
    const uint8_t *requests;
    uint32_t request_bytes;
    struct gy_load_options options;
};

static void rig_open_for(struct rig *rig, const struct gy_load_protocol *protocol,
                         uint32_t publishers)
{
    struct gy_error error = {0};
    *rig = (struct rig){.protocol = protocol};
    rig->options = (struct gy_load_options){.url = "x",
                                            .protocol = protocol,
                                            .size_bytes = 5,
                                            .pipeline = 2,
                                            .broadcast = true,
                                            .publishers = publishers};
    strcpy(rig->options.path, "/room");
    assert_int_equal(protocol->prepare(&rig->options, &rig->plan, &error), 0);
    rig->requests = protocol->requests(rig->plan, &rig->request_bytes);
    rig->state = calloc(1, protocol->state_bytes);
    rig->session = calloc(1, protocol->session_bytes);
    assert_true(rig->state != NULL && rig->session != NULL);
    protocol->state_open(rig->state, rig->plan, &rig->options, 0);
    protocol->session_open(rig->session);
}

static void rig_open(struct rig *rig, const struct gy_load_protocol *protocol)
{
    rig_open_for(rig, protocol, 1);
}

static void rig_close(struct rig *rig)
{
    rig->protocol->state_close(rig->state);
    free(rig->state);
    free(rig->session);
    rig->protocol->finish(rig->plan);
}

/* What the bytes came to, event by event ("R" ready, "A" answer, "B" wrong body, "X" broken, "S"
 * status, "N" refused, "?" reply), given `first` bytes and then the rest. */
static const char *feed(struct rig *rig, const char *bytes, uint32_t length, uint32_t first)
{
    static char events[32];
    uint32_t count = 0;
    uint32_t at = 0;
    while (at < length) {
        uint32_t used = 0;
        uint32_t now = at < first ? first - at : length - at;
        enum gy_load_progress progress = rig->protocol->receive(
            rig->state, rig->session, (const uint8_t *)bytes + at, now, &used);
        const char *sign = progress == GY_LOAD_READY        ? "R"
                           : progress == GY_LOAD_ANSWER     ? "A"
                           : progress == GY_LOAD_BAD_BODY   ? "B"
                           : progress == GY_LOAD_BAD_BYTES  ? "X"
                           : progress == GY_LOAD_BAD_STATUS ? "S"
                           : progress == GY_LOAD_REFUSED    ? "N"
                           : progress == GY_LOAD_REPLY      ? "?"
                                                            : "";
        if (sign[0] != '\0') {
            events[count++] = sign[0];
        }
        at += used;
        if (sign[0] == 'X' || sign[0] == 'N') {
            break;
        }
        assert_true(used > 0 && count < sizeof events - 1);
    }
    events[count] = '\0';
    return events;
}

/* The same whatever the place of the cut. */
static void expect(const struct gy_load_protocol *protocol, const char *bytes, uint32_t length,
                   const char *events)
{
    for (uint32_t first = 0; first <= length; first++) {
        struct rig rig;
        rig_open(&rig, protocol);
        assert_string_equal(feed(&rig, bytes, length, first), events);
        rig_close(&rig);
    }
}

#define EXPECT(protocol, bytes, events) expect(&(protocol), bytes, sizeof(bytes) - 1, events)

/* The messages of a plan of two, of 5 bytes: ' ' + (i * 31 + k) % 89. */
#define FIRST  " !\"#$"
#define SECOND "?@ABC"

#define NATS_HELLO "INFO {\"server_id\":\"x\"}\r\nPONG\r\n"

static void nats_messages_are_compared_in_their_order(void **unused)
{
    (void)unused;
    EXPECT(gy_load_nats, NATS_HELLO "MSG room 1 5\r\n" FIRST "\r\nMSG room 1 5\r\n" SECOND "\r\n",
           "RAA");
    EXPECT(gy_load_nats, NATS_HELLO "MSG room 1 5\r\n" SECOND "\r\n", "RB");
    EXPECT(gy_load_nats, NATS_HELLO "PING\r\nMSG room 1 5\r\n" FIRST "\r\n", "R?A");
}

static void nats_errors_and_other_lengths_end_the_connection(void **unused)
{
    (void)unused;
    EXPECT(gy_load_nats, "INFO {}\r\n-ERR 'Authorization Violation'\r\n", "N");
    EXPECT(gy_load_nats, NATS_HELLO "MSG room 1 6\r\n", "RX");
    EXPECT(gy_load_nats, NATS_HELLO "-ERR 'Slow Consumer'\r\n", "RX");
}

static void nats_publishes_to_the_subject_of_the_path(void **unused)
{
    (void)unused;
    struct rig rig;
    rig_open(&rig, &gy_load_nats);
    static const char wanted[] = "PUB room 5\r\n" FIRST "\r\nPUB room 5\r\n" SECOND "\r\n";
    assert_int_equal(rig.request_bytes * 2, sizeof wanted - 1);
    assert_memory_equal(rig.requests, wanted, sizeof wanted - 1);
    rig_close(&rig);
}

#define REDIS_HELLO                                                                                \
    "%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n>3\r\n$9\r\nsubscribe\r\n$4\r\nroom\r\n:1\r\n"
#define REDIS_PUSH(message) ">3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$5\r\n" message "\r\n"

static void redis_pushes_are_compared_in_their_order(void **unused)
{
    (void)unused;
    EXPECT(gy_load_redis, REDIS_HELLO REDIS_PUSH(FIRST) ":3\r\n" REDIS_PUSH(SECOND), "RAA");
    EXPECT(gy_load_redis, REDIS_HELLO REDIS_PUSH(SECOND), "RB");
}

static void redis_errors_are_told(void **unused)
{
    (void)unused;
    EXPECT(gy_load_redis, "-NOAUTH HELLO must be called\r\n", "N");
    EXPECT(gy_load_redis, REDIS_HELLO "-ERR full\r\n", "RS");
}

/* JOINED (room 7, ids 1 to 41) and END, of tag 3. */
#define CHAT_HELLO                                                                                 \
    "\0\0\0\x04\x42\0\0\x02"                                                                       \
    "\0\0\0\x25\x44\0\0\x03\0\0\0\x07\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x29\0\0\0\0\0\x04room\0\x01" \
    "t"                                                                                            \
    "\0\0\0\x05\x4a\0\0\x03\0"
#define CHAT_MESSAGE(id, contents)                                                                 \
    "\0\0\0\x2b\x48\0\0\0\0\0\0\x07\0\0\0\0\0\0\0" id                                              \
    "\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\x02me\0\x05" contents
#define CHAT_ACK(id)                                                                               \
    "\0\0\0\x20\x47\0\0\x09\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" id "\0\0\0\0\0\0\0\x09"

static void chat_messages_are_compared_and_counted(void **unused)
{
    (void)unused;
    EXPECT(gy_load_chat, CHAT_HELLO CHAT_MESSAGE("\x2a", FIRST) CHAT_MESSAGE("\x2b", SECOND),
           "RAA");
    EXPECT(gy_load_chat, CHAT_HELLO CHAT_MESSAGE("\x2a", SECOND), "RB");
}

static void chat_holes_in_the_numbers_end_the_connection(void **unused)
{
    (void)unused;
    EXPECT(gy_load_chat, CHAT_HELLO CHAT_MESSAGE("\x2b", FIRST), "RX");
    EXPECT(gy_load_chat, CHAT_HELLO CHAT_ACK("\x2b"), "RX");
}

static void a_chat_sender_gets_acknowledgements(void **unused)
{
    (void)unused;
    EXPECT(gy_load_chat, CHAT_HELLO CHAT_ACK("\x2a") CHAT_ACK("\x2b"), "RAA");
}

static void chat_probes_are_answered_and_the_unknown_is_skipped(void **unused)
{
    (void)unused;
    EXPECT(gy_load_chat, CHAT_HELLO "\0\0\0\x05\x51\0\0\0\0\0\0\0\x07\x7e\0\0\0xyz", "R?");
}

static void a_chat_error_is_said_in_its_words(void **unused)
{
    (void)unused;
    static const char error[] = "\0\0\0\x12\x4f\0\0\x03\0\x07\x01\0\0\0\0\0\x05"
                                "taken";
    struct rig rig;
    char said[128];
    rig_open(&rig, &gy_load_chat);
    assert_string_equal(feed(&rig, error, sizeof error - 1, 0), "N");
    gy_load_chat.refusal(rig.session, said, sizeof said);
    assert_string_equal(said, "the server says: taken");
    rig_close(&rig);
}

static void chat_requests_get_the_number_of_the_room(void **unused)
{
    (void)unused;
    struct rig rig;
    rig_open(&rig, &gy_load_chat);
    assert_string_equal(feed(&rig, CHAT_HELLO, sizeof CHAT_HELLO - 1, 0), "R");
    static const char wanted[] = "\0\0\0\x17\x0a\0\0\x09\0\0\0\x07\0\0\0\0\0\0\0\0\0\x05" FIRST;
    assert_int_equal(rig.request_bytes, sizeof wanted - 1);
    assert_memory_equal(rig.requests, wanted, sizeof wanted - 1);
    rig_close(&rig);
}

/* Of three publishers, each two messages: '0' + publisher, then as above, counted through. */
#define OF_0       "0!\"#$"
#define OF_1       "1_`ab"
#define OF_2       "2DEFG"
#define OF_2_LATER "2cdef"

static void messages_of_several_publishers_are_told_apart(void **unused)
{
    (void)unused;
    static const char bytes[] = REDIS_HELLO REDIS_PUSH(OF_2) REDIS_PUSH(OF_0) REDIS_PUSH(OF_2_LATER)
        REDIS_PUSH(OF_1) REDIS_PUSH(OF_2);
    static const char wrong[] = REDIS_HELLO REDIS_PUSH(OF_2_LATER) REDIS_PUSH("x!\"#$");
    for (uint32_t first = 0; first < sizeof bytes; first++) {
        struct rig rig;
        rig_open_for(&rig, &gy_load_redis, 3);
        assert_memory_equal(rig.requests + (size_t)rig.request_bytes * 5 + rig.request_bytes - 7,
                            OF_2_LATER, 5);
        assert_string_equal(feed(&rig, bytes, sizeof bytes - 1, first), "RAAAAA");
        assert_int_equal(gy_load_redis.publisher(rig.session), 2);
        rig_close(&rig);
    }
    struct rig rig;
    rig_open_for(&rig, &gy_load_redis, 3);
    assert_string_equal(feed(&rig, wrong, sizeof wrong - 1, 0), "RBB");
    rig_close(&rig);
}

static void a_chat_publisher_among_several_gets_its_own_as_acknowledgements(void **unused)
{
    (void)unused;
    static const char bytes[] = CHAT_MESSAGE("\x2b", OF_0) CHAT_ACK("\x2a") CHAT_ACK("\x2c");
    static const char again[] = CHAT_ACK("\x2c");
    struct rig rig;
    rig_open_for(&rig, &gy_load_chat, 3);
    assert_string_equal(feed(&rig, CHAT_HELLO, sizeof CHAT_HELLO - 1, 0), "R");
    gy_load_chat.appoint(rig.session, 2);
    assert_string_equal(feed(&rig, bytes, sizeof bytes - 1, 0), "AAA");
    assert_int_equal(gy_load_chat.publisher(rig.session), 2);
    assert_string_equal(feed(&rig, again, sizeof again - 1, 0), "X");
    rig_close(&rig);
}

static void a_channel_is_a_simple_word(void **unused)
{
    (void)unused;
    struct gy_load_options options = {.url = "nats://x/a b",
                                      .protocol = &gy_load_nats,
                                      .size_bytes = 5,
                                      .pipeline = 1,
                                      .broadcast = true,
                                      .publishers = 1};
    struct gy_error error = {0};
    void *plan = NULL;
    strcpy(options.path, "/a*b");
    assert_int_equal(gy_load_nats.prepare(&options, &plan, &error), GY_EINVAL);
    assert_non_null(strstr(error.message, "letters"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nats_messages_are_compared_in_their_order),
        cmocka_unit_test(nats_errors_and_other_lengths_end_the_connection),
        cmocka_unit_test(nats_publishes_to_the_subject_of_the_path),
        cmocka_unit_test(redis_pushes_are_compared_in_their_order),
        cmocka_unit_test(redis_errors_are_told),
        cmocka_unit_test(chat_messages_are_compared_and_counted),
        cmocka_unit_test(chat_holes_in_the_numbers_end_the_connection),
        cmocka_unit_test(a_chat_sender_gets_acknowledgements),
        cmocka_unit_test(chat_probes_are_answered_and_the_unknown_is_skipped),
        cmocka_unit_test(a_chat_error_is_said_in_its_words),
        cmocka_unit_test(chat_requests_get_the_number_of_the_room),
        cmocka_unit_test(messages_of_several_publishers_are_told_apart),
        cmocka_unit_test(a_chat_publisher_among_several_gets_its_own_as_acknowledgements),
        cmocka_unit_test(a_channel_is_a_simple_word),
    };
    return cmocka_run_group_tests_name("load_pubsub", tests, NULL, NULL);
}
