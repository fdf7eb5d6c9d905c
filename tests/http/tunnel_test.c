/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Requests that become byte tunnels. */

#include "core/asan.h"
#include "tests/http/probe.h"

static struct rig rig;
static struct probe probe;

/* An echo: what comes in goes out. */
static struct gy_chain echo;
static bool echo_ended;

static void echo_body(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *bytes,
                      bool end)
{
    (void)p;
    uint32_t length = bytes->length;
    assert_int_equal(gy_chain_move(bytes, &echo, length), 0);
    gy_http_consume(exchange, length);
    echo_ended = echo_ended || end;
    gy_http_wake(exchange);
}

static int echo_pull(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *out,
                     uint32_t budget)
{
    (void)exchange, (void)p;
    uint32_t length = echo.length < budget ? echo.length : budget;
    gy_chain_move(&echo, out, length);
    if (echo_ended && echo.length == 0) {
        return GY_HTTP_END;
    }
    return echo.length > 0 ? GY_HTTP_MORE : GY_HTTP_WAIT;
}

static void open_websocket(struct gy_http_exchange *exchange, struct probe *p)
{
    const struct gy_http_header accept =
        GY_HTTP_HEADER("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    p->number = (uint64_t)(int64_t)gy_http_tunnel(exchange, GY_HTTP_TEXT("websocket"), &accept, 1);
}

static int set_up(void **state)
{
    (void)state;
    probe_open(&probe, &rig);
    gy_chain_init(&echo, &rig.links);
    echo_ended = false;
    probe.request = open_websocket;
    probe.body = echo_body;
    probe.pull = echo_pull;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gy_chain_clear(&echo);
    rig_close(&rig);
    return 0;
}

#define UPGRADE GET("Connection: Upgrade\r\nUpgrade: websocket\r\n")
#define SWITCHED                                                                                   \
    "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"   \
    "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"

static void bytes_go_both_ways_behind_101(void **state)
{
    (void)state;
    rig_say(&rig, UPGRADE);
    assert_string_equal(rig.sent, SWITCHED);
    rig_forget(&rig);
    rig_say(&rig, "GET / HTTP/1.1\r\n\r\n\x01\x02");
    assert_string_equal(rig.sent, "GET / HTTP/1.1\r\n\r\n\x01\x02");
    assert_int_equal(rig.env.counters.tunnels, 1);
    assert_int_equal(rig.wants, GY_H1_READ);
    assert_true(gy_h1_deadline(&rig.h1) == GY_H1_NO_DEADLINE);
}

static void bytes_behind_the_request_are_the_tunnels(void **state)
{
    (void)state;
    rig_say(&rig, UPGRADE "early");
    assert_string_equal(rig.sent, SWITCHED "early");
}

/* ---- memory ---- */

static struct gy_slab small;
static void *small_memory;

static void with_small(uint32_t count)
{
    size_t bytes = gy_slab_bytes(gy_h1_tunnel_bytes(), count);
    small_memory = aligned_alloc(GY_SLAB_ALIGN, (bytes + 15) & ~(size_t)15);
    assert_non_null(small_memory);
    gy_slab_init(&small, small_memory, bytes, gy_h1_tunnel_bytes());
    rig.env.tunnels = &small;
}

static void without_small(void)
{
    gy_h1_close(&rig.h1, GY_ECLOSED);
    assert_int_equal(small.used, 0);
    gy_unpoison(small_memory, gy_slab_bytes(gy_h1_tunnel_bytes(), small.capacity));
    free(small_memory);
}

static void a_tunnel_lies_in_less_memory_than_a_request(void **state)
{
    (void)state;
    with_small(1);
    rig_say(&rig, UPGRADE "early");
    assert_string_equal(rig.sent, SWITCHED "early");
    assert_int_equal(small.used, 1);
    assert_int_equal(rig.exchanges.used, 0);
    assert_true(2 * gy_h1_tunnel_bytes() < gy_h1_exchange_bytes());
    without_small();
}

static void answer_with_its_number_of_fields(struct gy_http_exchange *exchange, struct probe *p)
{
    char text[16];
    (void)p;
    int bytes = snprintf(text, sizeof text, "%u", gy_http_field_count(exchange));
    gy_http_answer(exchange, 200, "text/plain", text, (size_t)bytes);
}

/* Behind a request that only asked for a tunnel, one that needs all the room there is. */
static void requests_behind_one_that_became_no_tunnel_have_room(void **state)
{
    (void)state;
    static char text[8192];
    size_t fill = 0;
    with_small(1);
    probe.request = answer_with_its_number_of_fields;
    fill += (size_t)snprintf(text, sizeof text, UPGRADE "GET / HTTP/1.1\r\nHost: a.example\r\n");
    for (int i = 0; i < GY_HTTP_FIELDS_MAX - 1; i++) {
        fill += (size_t)snprintf(text + fill, sizeof text - fill, "X-%d: %d\r\n", i, i);
    }
    fill += (size_t)snprintf(text + fill, sizeof text - fill, "\r\n");
    rig_append(&rig, text, (uint32_t)fill);
    rig_turn(&rig);
    assert_non_null(strstr(rig.sent, "\r\n\r\n3HTTP/1.1 200 OK"));
    assert_non_null(strstr(rig.sent, "\r\n\r\n100"));
    assert_int_equal(small.used, 0);
    without_small();
}

static void many_fields_and_no_small_memory_are_no_hindrance(void **state)
{
    (void)state;
    with_small(1);
    void *taken = gy_slab_take(&small);
    rig_say(&rig, UPGRADE "early");
    assert_string_equal(rig.sent, SWITCHED "early");
    assert_int_equal(rig.exchanges.used, 1);
    gy_slab_give(&small, taken);
    without_small();
}

static uint32_t pulls;

static int pull_without_memory(struct gy_http_exchange *exchange, struct probe *p,
                               struct gy_chain *out, uint32_t budget)
{
    if (pulls++ == 0) {
        return GY_HTTP_RETRY;
    }
    return echo_pull(exchange, p, out, budget);
}

static void without_memory_a_pull_is_asked_again_when_some_came_back(void **state)
{
    (void)state;
    probe.pull = pull_without_memory;
    pulls = 0;
    rig_say(&rig, UPGRADE "bytes"); /* woken, it has another turn at once */
    assert_int_equal(rig.env.counters.starved, 1);
    assert_string_equal(rig.sent, SWITCHED "bytes");
    assert_int_equal(rig.wants, GY_H1_READ);
}

static uint32_t drains;

static void note_drain(struct gy_http_exchange *exchange)
{
    drains++;
    echo_ended = true;
    gy_http_wake(exchange);
}

static void a_drain_is_told_to_tunnels_alone(void **state)
{
    (void)state;
    struct gy_http_handler handler = *rig.env.handler;
    handler.drain = note_drain;
    rig.env.handler = &handler;
    drains = 0;
    gy_h1_drain(&rig.h1, rig.now_ns, 1000);
    assert_int_equal(drains, 0);
    rig_say(&rig, UPGRADE);
    rig_forget(&rig);
    gy_h1_drain(&rig.h1, rig.now_ns, 1000);
    assert_int_equal(drains, 1);
    rig_turn(&rig);
    assert_true((rig.wants & GY_H1_SHUTDOWN) != 0);
    gy_h1_close(&rig.h1, GY_ECLOSED);
}

static void the_peer_closes_first(void **state)
{
    (void)state;
    rig_say(&rig, UPGRADE "bye");
    rig_end(&rig);
    assert_string_equal(probe.log, "request GET / body 3 end closed 0");
    assert_int_equal(rig.wants, GY_H1_CLOSE);
}

static int end_pull(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *out,
                    uint32_t budget)
{
    (void)exchange, (void)p, (void)out, (void)budget;
    return GY_HTTP_END;
}

static void our_side_closes_first(void **state)
{
    (void)state;
    probe.pull = end_pull;
    rig_say(&rig, UPGRADE);
    assert_int_equal(rig.wants, GY_H1_READ | GY_H1_SHUTDOWN);
    rig_say(&rig, "still coming");
    assert_string_equal(probe.bodies, "still coming");
    assert_int_equal(probe.closes, 0);
    rig_end(&rig);
    assert_int_equal(probe.reason, 0);
    assert_int_equal(rig.wants, GY_H1_CLOSE);
}

static void a_tunnel_has_a_window(void **state)
{
    (void)state;
    rig.env.limits.body_window = 4;
    rig.env.limits.output_high = 4;
    rig.holds_output = true;
    rig_say(&rig, UPGRADE "0123456789");
    /* The output is full, so that the echo keeps what it has; the rest stays in the input. */
    assert_int_equal(echo.length, 10);
    rig.holds_output = false;
    rig_turn(&rig);
    rig_turn(&rig);
    assert_string_equal(rig.sent, SWITCHED "0123456789");
}

static void keep_bytes(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *bytes,
                       bool end)
{
    (void)exchange, (void)p, (void)end;
    gy_chain_move(bytes, &echo, bytes->length);
}

static void a_tunnel_stops_reading_without_credit(void **state)
{
    (void)state;
    rig.env.limits.body_window = 4;
    probe.body = keep_bytes;
    rig_say(&rig, UPGRADE "0123456789");
    assert_int_equal(echo.length + rig.in.length + rig.sent_bytes, strlen(SWITCHED) + 10);
    assert_int_equal(rig.in.length, 6);
    assert_true((rig.wants & GY_H1_READ) == 0);
    gy_http_consume(probe.exchange, 4);
    rig_turn(&rig);
    assert_int_equal(rig.in.length, 2);
}

/* As a WebSocket does that had no memory for what came. */
static int take_late(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *out,
                     uint32_t budget)
{
    (void)p, (void)out, (void)budget;
    gy_http_consume(exchange, echo.length);
    gy_chain_clear(&echo);
    return GY_HTTP_WAIT;
}

static void what_is_taken_while_pulled_makes_room_for_what_waits(void **state)
{
    (void)state;
    rig.env.limits.body_window = 4;
    probe.body = keep_bytes;
    probe.pull = take_late;
    rig_say(&rig, UPGRADE "0123456789");
    assert_int_equal(rig.in.length, 2);
    gy_http_wake(probe.exchange);
    rig_turn(&rig);
    assert_int_equal(rig.in.length, 0);
    assert_string_equal(rig.sent, SWITCHED);
}

static void a_cancelled_tunnel_closes(void **state)
{
    (void)state;
    rig_say(&rig, UPGRADE);
    gy_http_cancel(probe.exchange, GY_EPROTO);
    rig_turn(&rig);
    assert_int_equal(probe.reason, GY_EPROTO);
    assert_int_equal(rig.wants, GY_H1_CLOSE);
}

static void a_lost_connection_ends_the_tunnel(void **state)
{
    (void)state;
    rig_say(&rig, UPGRADE);
    gy_h1_close(&rig.h1, GY_ECLOSED);
    assert_int_equal(probe.reason, GY_ECLOSED);
}

static void not_asked_for(void **state)
{
    (void)state;
    rig_say(&rig, GET(""));
    assert_int_equal((int)probe.number, GY_ESTATE);
    assert_int_equal(rig.sent_bytes, 0);
}

static void another_protocol_was_asked_for(void **state)
{
    (void)state;
    rig_say(&rig, GET("Connection: upgrade\r\nUpgrade: h2c\r\n"));
    assert_int_equal((int)probe.number, GY_ESTATE);
}

static void one_of_a_list_was_asked_for(void **state)
{
    (void)state;
    rig_say(&rig, GET("Connection: upgrade\r\nUpgrade: h2c, WebSocket\r\n"));
    assert_int_equal((int)probe.number, 0);
    assert_string_equal(rig.sent, SWITCHED);
}

/* RFC 9110 §7.8: the request is to be received whole before the protocol changes. */
static void not_while_a_body_is_to_be_read(void **state)
{
    (void)state;
    rig_say(&rig, POST("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n"));
    assert_int_equal((int)probe.number, GY_ESTATE);
}

static void open_connect(struct gy_http_exchange *exchange, struct probe *p)
{
    p->number =
        (uint64_t)(int64_t)gy_http_tunnel(exchange, (struct gy_http_text){NULL, 0}, NULL, 0);
}

static void connect_opens_a_tunnel(void **state)
{
    (void)state;
    static struct gy_http_handler handler;
    handler = probe_handler;
    handler.takes = GY_HTTP_TAKES_CONNECT;
    rig.env.handler = &handler;
    probe.request = open_connect;
    rig_say(&rig, "CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\nhello");
    assert_int_equal((int)probe.number, 0);
    assert_string_equal(rig.sent, "HTTP/1.1 200 OK\r\n\r\nhello");
}

static void answer_200(struct gy_http_exchange *exchange, struct probe *p)
{
    p->number = (uint64_t)(int64_t)gy_http_answer(exchange, 200, NULL, NULL, 0);
}

/* RFC 9110 §9.3.6: a 2xx to CONNECT is a tunnel; as an ordinary answer it would be misread. */
static void connect_cannot_be_answered_with_2xx(void **state)
{
    (void)state;
    static struct gy_http_handler handler;
    handler = probe_handler;
    handler.takes = GY_HTTP_TAKES_CONNECT;
    rig.env.handler = &handler;
    probe.request = answer_200;
    rig_say(&rig, "CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n");
    assert_int_equal((int)probe.number, GY_EINVAL);
    assert_memory_equal(rig.sent, "HTTP/1.1 500 ", 13);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bytes_go_both_ways_behind_101),
        CASE(bytes_behind_the_request_are_the_tunnels),
        CASE(the_peer_closes_first),
        CASE(our_side_closes_first),
        CASE(a_tunnel_has_a_window),
        CASE(a_tunnel_stops_reading_without_credit),
        CASE(what_is_taken_while_pulled_makes_room_for_what_waits),
        CASE(a_cancelled_tunnel_closes),
        CASE(a_lost_connection_ends_the_tunnel),
        CASE(not_asked_for),
        CASE(another_protocol_was_asked_for),
        CASE(a_tunnel_lies_in_less_memory_than_a_request),
        CASE(requests_behind_one_that_became_no_tunnel_have_room),
        CASE(many_fields_and_no_small_memory_are_no_hindrance),
        CASE(without_memory_a_pull_is_asked_again_when_some_came_back),
        CASE(a_drain_is_told_to_tunnels_alone),
        CASE(one_of_a_list_was_asked_for),
        CASE(not_while_a_body_is_to_be_read),
        CASE(connect_opens_a_tunnel),
        CASE(connect_cannot_be_answered_with_2xx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
