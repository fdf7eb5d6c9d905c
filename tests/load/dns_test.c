/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <unistd.h>

#include "bench/load/dns_queries.h"
#include "bench/load/load.h"

#define PIPELINE 4
#define ID       2 /* where the flags begin */

/* A run's worth of a protocol, with one query in flight at place 0. */
struct rig {
    struct gy_load_options options;
    const struct gy_load_protocol *protocol;
    void *plan;
    void *state;
    struct gy_load_window *window;
    uint8_t query[512];
    uint32_t query_bytes;
    uint8_t answer[600];
};

static char file_name[64];

static const char *file_of(const char *text, size_t bytes)
{
    snprintf(file_name, sizeof file_name, "/tmp/gyre-queries-XXXXXX");
    int descriptor = mkstemp(file_name);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, bytes), (ssize_t)bytes);
    close(descriptor);
    return file_name;
}

static void expect_error(const char *text, size_t bytes, int code, const char *said)
{
    struct gy_load_options options = {.url = "dns://x", .path = "/", .pipeline = 1};
    struct gy_load_queries queries;
    struct gy_error error = {0};
    options.queries_file = file_of(text, bytes);
    assert_int_equal(gy_load_queries_open(&queries, &options, &error), code);
    unlink(file_name);
    char wanted[256];
    snprintf(wanted, sizeof wanted, "%s%s", file_name, said);
    if (strstr(error.message, wanted) == NULL) {
        fail_msg("it says: %s", error.message);
    }
}

static void rig_ask(struct rig *rig)
{
    uint32_t number = gy_load_window_take(rig->window);
    assert_int_equal(number, 0);
    rig->query_bytes =
        rig->protocol->make(rig->state, &rig->window->places[number], number, rig->query);
    assert_true(rig->query_bytes <= rig->protocol->make_room);
}

static struct rig *rig_open(const struct gy_load_protocol *protocol, const char *path, bool check)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct gy_error error = {0};
    assert_non_null(rig);
    rig->protocol = protocol;
    rig->options = (struct gy_load_options){
        .url = "dns://x", .protocol = protocol, .pipeline = PIPELINE, .threads = 1, .check = check};
    snprintf(rig->options.path, sizeof rig->options.path, "%s", path);
    assert_int_equal(protocol->prepare(&rig->options, &rig->plan, &error), 0);
    rig->state = calloc(1, protocol->state_bytes);
    rig->window = calloc(1, gy_load_window_bytes(PIPELINE));
    assert_true(rig->state != NULL && rig->window != NULL);
    protocol->state_open(rig->state, rig->plan, &rig->options, 0);
    gy_load_window_open(rig->window, PIPELINE);
    rig_ask(rig);
    return rig;
}

static void rig_close(struct rig *rig)
{
    rig->protocol->state_close(rig->state);
    rig->protocol->finish(rig->plan);
    free(rig->state);
    free(rig->window);
    free(rig);
}

/* The query as an answer with one address. Its bytes. */
static uint32_t right_answer(struct rig *rig)
{
    static const uint8_t address[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1};
    memcpy(rig->answer, rig->query, rig->query_bytes);
    rig->answer[2] |= 0x84;
    rig->answer[7] = 1;
    memcpy(rig->answer + rig->query_bytes, address, sizeof address);
    return rig->query_bytes + (uint32_t)sizeof address;
}

static enum gy_load_progress match(struct rig *rig, uint32_t bytes)
{
    uint32_t number = 77;
    enum gy_load_progress progress =
        rig->protocol->match(rig->state, rig->window, rig->answer, bytes, &number);
    if (progress != GY_LOAD_STRAY && progress != GY_LOAD_BAD_BYTES) {
        assert_int_equal(number, 0);
    }
    return progress;
}

static uint64_t tally(const struct rig *rig, const char *name)
{
    for (uint32_t i = 0; rig->protocol->tally_name(i) != NULL; i++) {
        if (strcmp(rig->protocol->tally_name(i), name) == 0) {
            return rig->protocol->tallies(rig->state)[i];
        }
    }
    fail_msg("nothing is called %s", name);
    return 0;
}

/* ---- queries ---- */

static void a_query_is_as_rfc_1035_has_it(void **state)
{
    (void)state;
    static const uint8_t wanted[] = {0, 4,   1,   0,   0, 1,   0,   0,   0,   0, 0, 0,  1, 'f',
                                     3, 'i', 's', 'i', 4, 'a', 'r', 'p', 'a', 0, 0, 15, 0, 1};
    struct rig *rig = rig_open(&gy_load_dns, "/F.isi.arpa?type=mx;CLASS=in", false);
    rig->query[13] |= 0x20; /* as it is written */
    assert_int_equal(rig->query_bytes, sizeof wanted);
    assert_memory_equal(rig->query, wanted, sizeof wanted);
    rig_close(rig);
}

static void over_tcp_its_length_comes_first(void **state)
{
    (void)state;
    struct rig *rig = rig_open(&gy_load_dns_tcp, "/a.example", false);
    assert_int_equal(rig->query[0] << 8 | rig->query[1], rig->query_bytes - 2);
    assert_int_equal(rig->query_bytes - 2, 12 + 11 + 4);
    rig_close(rig);
}

static void dnssec_and_edns_are_an_opt_record(void **state)
{
    (void)state;
    static const uint8_t opt[] = {0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0};
    struct gy_load_options options = {
        .url = "dns://x", .path = "/a", .edns_bytes = 4096, .dnssec = true};
    struct gy_load_queries queries;
    struct gy_error error = {0};
    assert_int_equal(gy_load_queries_open(&queries, &options, &error), 0);
    const struct gy_load_query *query = &queries.queries[0];
    const uint8_t *message = queries.bytes + query->at + 2;
    assert_int_equal(message[11], 1);
    assert_memory_equal(message + query->message_bytes - sizeof opt, opt, sizeof opt);
    gy_load_queries_close(&queries);
}

static void all_lines_of_a_file_are_asked_in_turn(void **state)
{
    (void)state;
    static const char text[] =
        "; a comment\n\n# another\n a.example\tA \r\nB.Example. TYPE65280\n. NS";
    struct gy_load_options options = {.url = "dns://x", .path = "/"};
    struct gy_load_queries queries;
    struct gy_error error = {0};
    options.queries_file = file_of(text, sizeof text - 1);
    assert_int_equal(gy_load_queries_open(&queries, &options, &error), 0);
    unlink(file_name);
    assert_int_equal(queries.count, 3);
    assert_int_equal(queries.queries[0].question_bytes, 11 + 4);
    assert_int_equal(queries.queries[2].question_bytes, 1 + 4);
    gy_load_queries_close(&queries);
}

static void a_line_that_is_no_query_is_named(void **state)
{
    (void)state;
#define EXPECT(text, said) expect_error(text, sizeof text - 1, GY_EIO, said)
    EXPECT("a.example A\nb.example\n", ":2: b.example without a type");
    EXPECT("a.example BOGUS\n", ":1: BOGUS is no type");
    EXPECT("a..example A\n", ":1: a..example is no name");
    EXPECT("a.example A IN\n", ":1: IN behind the type");
    EXPECT("\na.example AXFR\n", ":2: AXFR is not asked for in a query");
    EXPECT("a.example A\n\0\n", ":2: a zero byte");
    EXPECT("; nothing\n", ": there is no query in it");
#undef EXPECT
    struct gy_load_options options = {.url = "dns://x", .queries_file = "/nowhere/at.all"};
    struct gy_load_queries queries;
    struct gy_error error = {0};
    assert_int_equal(gy_load_queries_open(&queries, &options, &error), GY_EIO);
    assert_non_null(strstr(error.message, "/nowhere/at.all: cannot be read"));
}

static void trains_have_queries_of_one_length_together(void **state)
{
    (void)state;
    static const char text[] = "long.example A\na.example A\nb.example A\nmore.example A\n";
    struct gy_load_options options = {.url = "dns://x", .trains = true};
    struct gy_load_queries queries;
    struct gy_error error = {0};
    options.queries_file = file_of(text, sizeof text - 1);
    assert_int_equal(gy_load_queries_open(&queries, &options, &error), 0);
    unlink(file_name);
    assert_int_equal(queries.queries[0].message_bytes, queries.queries[1].message_bytes);
    assert_int_equal(queries.queries[2].message_bytes, queries.queries[3].message_bytes);
    assert_true(queries.queries[1].message_bytes < queries.queries[2].message_bytes);
    gy_load_queries_close(&queries);
}

/* ---- answers ---- */

static void an_answer_with_its_id_and_question_is_right(void **state)
{
    (void)state;
    struct rig *rig = rig_open(&gy_load_dns, "/a.example", true);
    uint32_t bytes = right_answer(rig);
    assert_int_equal(match(rig, bytes), GY_LOAD_ANSWER);
    rig->answer[13] ^= 0x20; /* in another case: not the first one, but right */
    assert_int_equal(match(rig, bytes), GY_LOAD_BAD_BODY);
    assert_int_equal(tally(rig, "NOERROR"), 2);
    rig_close(rig);
}

static void an_answer_to_another_question_is_counted(void **state)
{
    (void)state;
    struct rig *rig = rig_open(&gy_load_dns, "/a.example", false);
    uint32_t bytes = right_answer(rig);
    rig->answer[13] = 'b';
    assert_int_equal(match(rig, bytes), GY_LOAD_BAD_QUESTION);
    bytes = right_answer(rig);
    rig->answer[rig->query_bytes - 3] = 28; /* the type */
    assert_int_equal(match(rig, bytes), GY_LOAD_BAD_QUESTION);
    rig_close(rig);
}

static void an_id_that_nobody_waits_for_is_no_answer(void **state)
{
    (void)state;
    struct rig *rig = rig_open(&gy_load_dns, "/a.example", false);
    uint32_t bytes = right_answer(rig);
    rig->answer[1] ^= 1; /* another place */
    assert_int_equal(match(rig, bytes), GY_LOAD_STRAY);
    right_answer(rig);
    rig->answer[0] ^= 1; /* the same place, used before */
    assert_int_equal(match(rig, bytes), GY_LOAD_STRAY);
    right_answer(rig);
    gy_load_window_give(rig->window, 0); /* a second time */
    assert_int_equal(match(rig, bytes), GY_LOAD_STRAY);
    assert_int_equal(match(rig, 11), GY_LOAD_BAD_BYTES);
    rig_close(rig);
}

static void rcodes_are_counted_and_refusals_are_errors(void **state)
{
    (void)state;
    static const struct {
        uint8_t rcode;
        const char *name;
        enum gy_load_progress progress;
    } rows[] = {{2, "SERVFAIL", GY_LOAD_BAD_STATUS},
                {3, "NXDOMAIN", GY_LOAD_ANSWER},
                {5, "REFUSED", GY_LOAD_BAD_STATUS},
                {6, "YXDOMAIN", GY_LOAD_ANSWER},
                {13, "other_rcodes", GY_LOAD_BAD_STATUS}};
    struct rig *rig = rig_open(&gy_load_dns, "/a.example", false);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t bytes = right_answer(rig);
        rig->answer[ID + 1] |= rows[i].rcode;
        assert_int_equal(match(rig, bytes), rows[i].progress);
        assert_int_equal(tally(rig, rows[i].name), 1);
    }
    /* FORMERR may come without the question (RFC 1035 §4.1.1 says nothing of it). */
    right_answer(rig);
    rig->answer[ID + 1] |= 1;
    rig->answer[5] = rig->answer[7] = 0;
    assert_int_equal(match(rig, 12), GY_LOAD_BAD_STATUS);
    assert_int_equal(tally(rig, "FORMERR"), 1);
    rig_close(rig);
}

static void the_upper_bits_of_an_rcode_are_in_opt(void **state)
{
    (void)state;
    static const uint8_t opt[] = {0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0};
    struct rig *rig = rig_open(&gy_load_dns, "/a.example", false);
    right_answer(rig);
    rig->answer[7] = 0;
    rig->answer[11] = 1;
    memcpy(rig->answer + rig->query_bytes, opt, sizeof opt);
    assert_int_equal(match(rig, rig->query_bytes + (uint32_t)sizeof opt), GY_LOAD_BAD_STATUS);
    assert_int_equal(tally(rig, "BADVERS"), 1);
    rig_close(rig);
}

static void truncation_is_counted(void **state)
{
    (void)state;
    struct rig *rig = rig_open(&gy_load_dns, "/a.example", false);
    right_answer(rig);
    rig->answer[ID] |= 2;
    rig->answer[7] = 0;
    assert_int_equal(match(rig, rig->query_bytes), GY_LOAD_ANSWER);
    assert_int_equal(tally(rig, "truncated"), 1);
    rig_close(rig);
}

static void every_answer_cut_short_is_found(void **state)
{
    (void)state;
    struct rig *rig = rig_open(&gy_load_dns, "/a.example", false);
    uint32_t bytes = right_answer(rig);
    for (uint32_t cut = rig->query_bytes; cut < bytes; cut++) {
        assert_int_equal(match(rig, cut), GY_LOAD_CUT);
    }
    for (uint32_t cut = 12; cut < rig->query_bytes; cut++) {
        assert_int_equal(match(rig, cut), GY_LOAD_BAD_QUESTION);
    }
    assert_int_equal(match(rig, bytes + 1), GY_LOAD_BAD_FORM); /* and one that is longer */
    assert_int_equal(tally(rig, "NOERROR"), 0);
    rig_close(rig);
}

static void what_is_no_response_breaks_the_protocol(void **state)
{
    (void)state;
    struct rig *rig = rig_open(&gy_load_dns, "/a.example", false);
    uint32_t bytes = right_answer(rig);
    rig->answer[ID] &= 0x7f;
    assert_int_equal(match(rig, bytes), GY_LOAD_BAD_FORM);
    right_answer(rig);
    rig->answer[ID] |= 0x10; /* opcode STATUS */
    assert_int_equal(match(rig, bytes), GY_LOAD_BAD_FORM);
    rig_close(rig);
}

/* ---- places ---- */

static void places_keep_the_order_of_sending(void **state)
{
    (void)state;
    struct gy_load_window *window = calloc(1, gy_load_window_bytes(3));
    assert_non_null(window);
    gy_load_window_open(window, 3);
    uint32_t first = gy_load_window_take(window), second = gy_load_window_take(window);
    uint32_t third = gy_load_window_take(window);
    assert_int_equal(window->free, GY_LOAD_NOBODY);
    assert_int_equal(window->oldest, first);
    gy_load_window_give(window, second);
    assert_int_equal(gy_load_window_take(window), second);
    assert_int_equal(window->places[second].use, 2);
    gy_load_window_give(window, first);
    assert_int_equal(window->oldest, third);
    gy_load_window_give(window, third);
    assert_int_equal(window->oldest, second);
    assert_int_equal(window->newest, second);
    gy_load_window_give(window, second);
    assert_int_equal(window->oldest, GY_LOAD_NOBODY);
    free(window);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_is_as_rfc_1035_has_it),
        cmocka_unit_test(over_tcp_its_length_comes_first),
        cmocka_unit_test(dnssec_and_edns_are_an_opt_record),
        cmocka_unit_test(all_lines_of_a_file_are_asked_in_turn),
        cmocka_unit_test(a_line_that_is_no_query_is_named),
        cmocka_unit_test(trains_have_queries_of_one_length_together),
        cmocka_unit_test(an_answer_with_its_id_and_question_is_right),
        cmocka_unit_test(an_answer_to_another_question_is_counted),
        cmocka_unit_test(an_id_that_nobody_waits_for_is_no_answer),
        cmocka_unit_test(rcodes_are_counted_and_refusals_are_errors),
        cmocka_unit_test(the_upper_bits_of_an_rcode_are_in_opt),
        cmocka_unit_test(truncation_is_counted),
        cmocka_unit_test(every_answer_cut_short_is_found),
        cmocka_unit_test(what_is_no_response_breaks_the_protocol),
        cmocka_unit_test(places_keep_the_order_of_sending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
