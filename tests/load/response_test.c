/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include "bench/load/http_response.h"

/* RFC 9110 §3.9, its second example. */
#define RFC_HEAD(date, length)                                                                     \
    "HTTP/1.1 200 OK\r\nDate: " date "\r\nServer: Apache\r\n"                                      \
    "Last-Modified: Wed, 22 Jul 2009 19:15:56 GMT\r\nETag: \"34aa387-d-1568eb00\"\r\n"             \
    "Accept-Ranges: bytes\r\nContent-Length: " length "\r\nVary: Accept-Encoding\r\n"              \
    "Content-Type: text/plain\r\n\r\n"
#define RFC_DATE "Mon, 27 Jul 2009 12:28:53 GMT"
#define RFC_BODY "Hello World! My content includes a trailing CRLF.\r\n"
#define RFC_ALL  RFC_HEAD(RFC_DATE, "51") RFC_BODY

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

struct rig {
    struct gy_load_expected expected;
    struct gy_load_response response;
};

static struct rig rig_for(bool check, bool head)
{
    struct rig rig;
    gy_load_expected_open(&rig.expected, check, head);
    gy_load_response_begin(&rig.response);
    return rig;
}

static struct rig rig_open(bool check)
{
    return rig_for(check, false);
}

/* Reads `text` in one piece; all of it has to be used. */
static enum gy_load_verdict read_text(struct rig *rig, const char *text)
{
    uint32_t used = 0;
    uint32_t bytes = (uint32_t)strlen(text);
    enum gy_load_verdict verdict =
        gy_load_response_read(&rig->response, &rig->expected, (const uint8_t *)text, bytes, &used);
    if (verdict != GY_LOAD_VERDICT_BROKEN) {
        assert_int_equal(used, bytes);
    }
    return verdict;
}

static enum gy_load_verdict read_alone(const char *text)
{
    struct rig rig = rig_open(true);
    enum gy_load_verdict verdict = read_text(&rig, text);
    gy_load_expected_close(&rig.expected);
    return verdict;
}

static void reads_the_rfcs_response(void **state)
{
    (void)state;
    assert_int_equal(read_alone(RFC_ALL), GY_LOAD_VERDICT_RIGHT);
}

static void another_date_is_the_same_response(void **state)
{
    (void)state;
    struct rig rig = rig_open(true);
    assert_int_equal(read_text(&rig, RFC_ALL), GY_LOAD_VERDICT_RIGHT);
    assert_memory_equal(rig.expected.whole + rig.expected.date_at, " " RFC_DATE,
                        rig.expected.date_bytes);
    assert_int_equal(read_text(&rig, RFC_HEAD("Mon, 27 Jul 2009 12:28:54 GMT", "51") RFC_BODY),
                     GY_LOAD_VERDICT_RIGHT);
    gy_load_expected_close(&rig.expected);
}

static void every_cut_of_a_response_reads_alike(void **state)
{
    (void)state;
    static const char *const texts[] = {
        RFC_ALL,
        CHUNKED "4\r\nWiki\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: v\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    };
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        size_t bytes = strlen(texts[t]);
        for (size_t cut = 1; cut < bytes; cut++) {
            struct rig rig = rig_open(true);
            uint32_t used = 0;
            assert_int_equal(gy_load_response_read(&rig.response, &rig.expected,
                                                   (const uint8_t *)texts[t], (uint32_t)cut, &used),
                             GY_LOAD_VERDICT_MORE);
            assert_int_equal(used, cut);
            assert_int_equal(read_text(&rig, texts[t] + cut), GY_LOAD_VERDICT_RIGHT);
            /* And again, now that it is known. */
            assert_int_equal(gy_load_response_read(&rig.response, &rig.expected,
                                                   (const uint8_t *)texts[t], (uint32_t)cut, &used),
                             GY_LOAD_VERDICT_MORE);
            assert_int_equal(read_text(&rig, texts[t] + cut), GY_LOAD_VERDICT_RIGHT);
            gy_load_expected_close(&rig.expected);
        }
    }
}

static void a_pipeline_is_read_one_by_one(void **state)
{
    (void)state;
    struct rig rig = rig_open(true);
    static const char text[] = RFC_ALL RFC_ALL RFC_ALL;
    uint32_t at = 0;
    for (int i = 0; i < 3; i++) {
        uint32_t used = 0;
        assert_int_equal(gy_load_response_read(&rig.response, &rig.expected,
                                               (const uint8_t *)text + at,
                                               (uint32_t)(sizeof text - 1 - at), &used),
                         GY_LOAD_VERDICT_RIGHT);
        assert_int_equal(used, sizeof RFC_ALL - 1);
        at += used;
    }
    gy_load_expected_close(&rig.expected);
}

static void another_body_of_the_same_length_is_wrong(void **state)
{
    (void)state;
    struct rig rig = rig_open(true);
    assert_int_equal(read_text(&rig, RFC_ALL), GY_LOAD_VERDICT_RIGHT);
    assert_int_equal(
        read_text(&rig,
                  RFC_HEAD(RFC_DATE, "51") "Hello World! My content includes a trailing CRLF!\r\n"),
        GY_LOAD_VERDICT_BODY);
    /* It was not taken for the expected one. */
    assert_int_equal(read_text(&rig, RFC_ALL), GY_LOAD_VERDICT_RIGHT);
    gy_load_expected_close(&rig.expected);
}

static void a_shorter_and_a_longer_body_are_wrong(void **state)
{
    (void)state;
    struct rig rig = rig_open(true);
    assert_int_equal(read_text(&rig, CHUNKED "4\r\nWiki\r\n0\r\n\r\n"), GY_LOAD_VERDICT_RIGHT);
    assert_int_equal(read_text(&rig, CHUNKED "3\r\nWik\r\n0\r\n\r\n"), GY_LOAD_VERDICT_BODY);
    assert_int_equal(read_text(&rig, CHUNKED "5\r\nWikis\r\n0\r\n\r\n"), GY_LOAD_VERDICT_BODY);
    assert_int_equal(read_text(&rig, CHUNKED "0\r\n\r\n"), GY_LOAD_VERDICT_BODY);
    gy_load_expected_close(&rig.expected);
}

static void a_body_is_the_same_however_it_is_framed(void **state)
{
    (void)state;
    struct rig rig = rig_open(true);
    assert_int_equal(read_text(&rig, CHUNKED "2\r\nWi\r\n2\r\nki\r\n0\r\n\r\n"),
                     GY_LOAD_VERDICT_RIGHT);
    assert_int_equal(read_text(&rig, "HTTP/1.1 200 OK\r\ncontent-LENGTH:4\r\n\r\nWiki"),
                     GY_LOAD_VERDICT_RIGHT);
    gy_load_expected_close(&rig.expected);
}

static void bodies_may_differ_where_they_are_not_compared(void **state)
{
    (void)state;
    struct rig rig = rig_open(false);
    assert_int_equal(read_text(&rig, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"),
                     GY_LOAD_VERDICT_RIGHT);
    assert_int_equal(read_text(&rig, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb"),
                     GY_LOAD_VERDICT_RIGHT);
    gy_load_expected_close(&rig.expected);
}

static void an_error_status_is_told_and_never_becomes_the_expected_one(void **state)
{
    (void)state;
    struct rig rig = rig_open(true);
    static const char error[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";
    assert_int_equal(read_text(&rig, error), GY_LOAD_VERDICT_STATUS);
    assert_int_equal(read_text(&rig, RFC_ALL), GY_LOAD_VERDICT_RIGHT);
    assert_int_equal(read_text(&rig, error), GY_LOAD_VERDICT_STATUS);
    assert_int_equal(read_text(&rig, RFC_ALL), GY_LOAD_VERDICT_RIGHT);
    gy_load_expected_close(&rig.expected);
}

static void no_body_follows_204_and_304(void **state)
{
    (void)state;
    assert_int_equal(read_alone("HTTP/1.1 204 No Content\r\n\r\n"), GY_LOAD_VERDICT_RIGHT);
    assert_int_equal(read_alone("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
                     GY_LOAD_VERDICT_RIGHT);
}

static void no_body_follows_what_answers_head(void **state)
{
    (void)state;
    static const char *const texts[] = {
        RFC_HEAD(RFC_DATE, "51"),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nServer: Apache\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct rig rig = rig_for(true, true);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(read_text(&rig, texts[i]), GY_LOAD_VERDICT_RIGHT);
            assert_false(rig.response.close);
        }
        assert_int_equal(read_text(&rig, "HTTP/1.1 405 No\r\nContent-Length: 3\r\n\r\n"),
                         GY_LOAD_VERDICT_STATUS);
        gy_load_expected_close(&rig.expected);
    }
}

static uint64_t counted(struct rig *rig, unsigned status)
{
    return gy_load_expected_statuses(&rig->expected)[status - GY_LOAD_STATUS_FIRST];
}

static void whole_responses_are_counted_by_status(void **state)
{
    (void)state;
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
    static const char created[] = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    static const char odd[] = "HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n";
    struct rig rig = rig_open(false);
    for (int i = 0; i < 3; i++) { /* the second is known by then */
        assert_int_equal(read_text(&rig, ok), GY_LOAD_VERDICT_MORE);
        assert_int_equal(counted(&rig, 200), i);
        assert_int_equal(read_text(&rig, "x"), GY_LOAD_VERDICT_RIGHT);
        assert_int_equal(read_text(&rig, created), GY_LOAD_VERDICT_RIGHT);
        assert_int_equal(read_text(&rig, created), GY_LOAD_VERDICT_RIGHT);
        assert_int_equal(read_text(&rig, odd), GY_LOAD_VERDICT_STATUS);
    }
    assert_int_equal(read_text(&rig, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\n\r\n"),
                     GY_LOAD_VERDICT_MORE);
    assert_int_equal(gy_load_response_end(&rig.response, &rig.expected), GY_LOAD_VERDICT_STATUS);
    assert_int_equal(counted(&rig, 200), 3);
    assert_int_equal(counted(&rig, 201), 6);
    assert_int_equal(counted(&rig, 599), 3);
    assert_int_equal(counted(&rig, 404), 1);
    uint64_t sum = 0;
    for (size_t i = 0; i < GY_LOAD_STATUSES; i++) {
        sum += rig.expected.statuses[i];
    }
    assert_int_equal(sum, 13);
    gy_load_expected_close(&rig.expected);
}

static void a_body_without_length_ends_with_the_connection(void **state)
{
    (void)state;
    struct rig rig = rig_open(true);
    assert_int_equal(read_text(&rig, "HTTP/1.1 200 OK\r\n\r\nall of it"), GY_LOAD_VERDICT_MORE);
    assert_int_equal(gy_load_response_end(&rig.response, &rig.expected), GY_LOAD_VERDICT_RIGHT);
    assert_int_equal(rig.expected.body_bytes, 9);
    gy_load_expected_close(&rig.expected);
}

static void an_end_within_a_response_is_told_from_one_between_two(void **state)
{
    (void)state;
    struct rig rig = rig_open(true);
    assert_int_equal(gy_load_response_end(&rig.response, &rig.expected), GY_LOAD_VERDICT_BROKEN);
    assert_int_equal(read_text(&rig, RFC_HEAD(RFC_DATE, "51") "Hello"), GY_LOAD_VERDICT_MORE);
    assert_int_equal(gy_load_response_end(&rig.response, &rig.expected), GY_LOAD_VERDICT_MORE);
    gy_load_expected_close(&rig.expected);
}

static void connection_close_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool close;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", true},
        {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", true},
        {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig rig = rig_open(true);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(read_text(&rig, cases[i].text), GY_LOAD_VERDICT_RIGHT);
            assert_int_equal(rig.response.close, cases[i].close);
        }
        gy_load_expected_close(&rig.expected);
    }
}

static void framing_that_is_not_valid_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        CHUNKED "x\r\n",
        CHUNKED "\r\n",
        CHUNKED "4\r\nWikis\r\n",
        CHUNKED "fffffffffffffffff\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (read_alone(texts[i]) != GY_LOAD_VERDICT_BROKEN) {
            fail_msg("taken: %s", texts[i]);
        }
    }
}

static void what_was_wrong_is_told_of_the_first(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"220 mail \x1b[1m\r\n", "no status line of HTTP/1.1: \"220 mail ?[1m\""},
        {"HTTP/1.1 200 OK\n\n", "a line without CR LF: \"HTTP/1.1 200 OK\""},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n",
         "no header field that can be: \"Content-Length: -1\""},
        {CHUNKED "4\r\nWikis\r\n", "no end of a chunk: \"s\""},
        {CHUNKED "xyz\r\n", "no size of a chunk: \"xyz\""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
         "two ends of one body: \"Content-Length, Transfer-Encoding\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig rig = rig_open(false);
        assert_string_equal(rig.expected.broken, "");
        assert_int_equal(read_text(&rig, cases[i][0]), GY_LOAD_VERDICT_BROKEN);
        assert_string_equal(rig.expected.broken, cases[i][1]);
        gy_load_response_begin(&rig.response);
        assert_int_equal(read_text(&rig, "other\r\n"), GY_LOAD_VERDICT_BROKEN);
        assert_string_equal(rig.expected.broken, cases[i][1]);
        gy_load_expected_close(&rig.expected);
    }
    struct rig rig = rig_open(false);
    char line[300];
    memset(line, 'a', sizeof line);
    memcpy(line + sizeof line - 3, "\r\n", 3);
    assert_int_equal(read_text(&rig, line), GY_LOAD_VERDICT_BROKEN);
    assert_int_equal(strlen(rig.expected.broken), GY_LOAD_BROKEN_BYTES - 1);
    gy_load_expected_close(&rig.expected);
}

static void a_head_has_a_bound(void **state)
{
    (void)state;
    struct rig rig = rig_open(true);
    assert_int_equal(read_text(&rig, "HTTP/1.1 200 OK\r\n"), GY_LOAD_VERDICT_MORE);
    enum gy_load_verdict verdict = GY_LOAD_VERDICT_MORE;
    uint32_t lines = 0;
    while (verdict == GY_LOAD_VERDICT_MORE && lines < 10000) {
        verdict = read_text(&rig, "X-Filler: 0123456789\r\n");
        lines++;
    }
    assert_int_equal(verdict, GY_LOAD_VERDICT_BROKEN);
    gy_load_expected_close(&rig.expected);
}

static void a_body_larger_than_any_buffer_is_compared(void **state)
{
    (void)state;
    struct rig rig = rig_open(true);
    enum { PIECE = 4000, PIECES = 64 };
    static uint8_t piece[PIECE];
    char head[96];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", PIECE * PIECES);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(read_text(&rig, head), GY_LOAD_VERDICT_MORE);
        enum gy_load_verdict verdict = GY_LOAD_VERDICT_MORE;
        for (int i = 0; i < PIECES; i++) {
            memset(piece, 'a' + i % 26, sizeof piece);
            piece[17] = round == 2 && i == PIECES - 1 ? '!' : piece[17];
            uint32_t used;
            assert_int_equal(verdict, GY_LOAD_VERDICT_MORE);
            verdict = gy_load_response_read(&rig.response, &rig.expected, piece, PIECE, &used);
            assert_int_equal(used, PIECE);
        }
        assert_int_equal(verdict, round < 2 ? GY_LOAD_VERDICT_RIGHT : GY_LOAD_VERDICT_BODY);
    }
    gy_load_expected_close(&rig.expected);
}

/* Whatever a server sends, the parser keeps its bounds and uses at least a byte. */
static void random_bytes_are_survived(void **state)
{
    (void)state;
    static const char *const seeds[] = {RFC_ALL, CHUNKED "4\r\nWiki\r\n0\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx"};
    uint64_t random = random_seed(20261122);
    for (int round = 0; round < 20000; round++) {
        struct rig rig = rig_open(round & 1);
        char text[512];
        const char *seed = seeds[random_next(&random) % 3];
        size_t bytes = strlen(seed);
        memcpy(text, seed, bytes);
        for (uint64_t n = random_next(&random) % 4; n > 0; n--) {
            text[random_next(&random) % bytes] = (char)random_next(&random);
        }
        for (size_t at = 0; at < bytes;) {
            size_t piece = 1 + random_next(&random) % (bytes - at);
            uint32_t used = 0;
            enum gy_load_verdict verdict = gy_load_response_read(
                &rig.response, &rig.expected, (const uint8_t *)text + at, (uint32_t)piece, &used);
            assert_true(used > 0 && used <= piece);
            at += used;
            if (verdict == GY_LOAD_VERDICT_BROKEN) {
                break;
            }
        }
        gy_load_expected_close(&rig.expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_rfcs_response),
        cmocka_unit_test(another_date_is_the_same_response),
        cmocka_unit_test(every_cut_of_a_response_reads_alike),
        cmocka_unit_test(a_pipeline_is_read_one_by_one),
        cmocka_unit_test(another_body_of_the_same_length_is_wrong),
        cmocka_unit_test(a_shorter_and_a_longer_body_are_wrong),
        cmocka_unit_test(a_body_is_the_same_however_it_is_framed),
        cmocka_unit_test(bodies_may_differ_where_they_are_not_compared),
        cmocka_unit_test(an_error_status_is_told_and_never_becomes_the_expected_one),
        cmocka_unit_test(no_body_follows_204_and_304),
        cmocka_unit_test(no_body_follows_what_answers_head),
        cmocka_unit_test(whole_responses_are_counted_by_status),
        cmocka_unit_test(a_body_without_length_ends_with_the_connection),
        cmocka_unit_test(an_end_within_a_response_is_told_from_one_between_two),
        cmocka_unit_test(connection_close_is_told),
        cmocka_unit_test(framing_that_is_not_valid_is_refused),
        cmocka_unit_test(what_was_wrong_is_told_of_the_first),
        cmocka_unit_test(a_head_has_a_bound),
        cmocka_unit_test(a_body_larger_than_any_buffer_is_compared),
        cmocka_unit_test(random_bytes_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
