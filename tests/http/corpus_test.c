/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Every case of malformed/: the right answers, and the same ones wherever the input is cut and with
 * each parser. The folder is the first argument.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "protocols/http/h1_parse.h"
#include "tests/http/corpus.h"
#include "tests/http/rig.h"

/* Above this many bytes not every cut is tried. */
#define EVERY_CUT_BYTES 700

/* ---- the server that the cases expect: 200 without a body, once the request's is read -----------
 */

static void on_request(struct gy_http_exchange *exchange)
{
    if (!exchange->has_body) {
        gy_http_answer(exchange, 200, NULL, NULL, 0);
    }
}

static void on_body(struct gy_http_exchange *exchange, struct gy_chain *bytes, bool end)
{
    (void)bytes;
    if (end) {
        gy_http_answer(exchange, 200, NULL, NULL, 0);
    }
}

static const struct gy_http_handler handler = {.request = on_request, .body = on_body};

/* ---- one case ----------------------------------------------------------------------------------
 */

struct way {
    const struct gy_h1_parser *parser;
    size_t cut;    /* the first piece's length */
    size_t piece;  /* the length of those behind it */
    bool together; /* all pieces in one turn */
};

static void feed(struct rig *rig, const struct corpus_case *one, const struct way *way)
{
    size_t at = 0;
    size_t next = way->cut;
    while (at < one->length) {
        size_t length = one->length - at < next ? one->length - at : next;
        rig_append(rig, one->bytes + at, length);
        if (!way->together) {
            rig_turn(rig);
        }
        at += length;
        next = way->piece;
    }
    rig_turn(rig);
    if (one->input_ends) {
        rig_end(rig);
    }
}

static void check(const struct corpus_case *one, const struct way *way)
{
    struct rig rig;
    uint32_t pieces = (uint32_t)(one->length < 3000 ? one->length : 3000);
    rig_open_sized(&rig, &handler, NULL, (struct rig_size){1, 4, pieces + 16});
    rig.env.parser = way->parser;
    feed(&rig, one, way);

    char statuses[200];
    char found[256];
    rig_statuses(&rig, statuses, sizeof statuses);
    snprintf(found, sizeof found, "%s%s%s", statuses, statuses[0] != 0 ? " " : "",
             (rig.wants & GY_H1_CLOSE) != 0 ? "close" : "open");
    const char *refusal = "";
    uint64_t refused = 0;
    for (int i = 1; i < GY_H1_REFUSAL_COUNT; i++) {
        if (rig.env.counters.refused[i] > 0) {
            refusal = gy_h1_refusal_name((enum gy_h1_refusal)i);
            refused += rig.env.counters.refused[i];
        }
    }
    if (strcmp(found, one->expect) != 0 || strcmp(refusal, one->refusal) != 0 || refused > 1) {
        fail_msg("%s parser, cut at %zu, pieces of %zu%s: expected \"%s\" (%s), found \"%s\" (%s)",
                 way->parser->name, way->cut, way->piece, way->together ? " in one turn" : "",
                 one->expect, one->refusal, found, refusal);
    }
    if (one->refusal[0] != 0 && strstr(one->expect, "close") != NULL) {
        assert_non_null(strstr(rig.sent, "Connection: close\r\n"));
    }
    rig_close(&rig);
}

static void answered_alike_wherever_cut(void **state)
{
    const struct corpus_case *one = *state;
    size_t all = one->length > 0 ? one->length : 1;
    const struct gy_h1_parser *parser;
    for (uint32_t n = 0; (parser = gy_h1_parser_nth(n)) != NULL; n++) {
        check(one, &(struct way){parser, all, all, false});
        /* Byte by byte; in larger pieces where that would take too long. */
        size_t small = one->length <= 3000 ? 1 : one->length / 500;
        check(one, &(struct way){parser, small, small, false});
        check(one, &(struct way){parser, small, small, true});
        check(one, &(struct way){parser, 7, small * 3, true});
        check(one, &(struct way){parser, 1000, 1460, false});
        check(one, &(struct way){parser, 31, 4096, true});
        /* Where cuts are not tried one by one, each parser has others. */
        size_t step = one->length <= EVERY_CUT_BYTES ? 1 : one->length / 40 | 1;
        step *= n == 0 ? 1 : 5;
        for (size_t cut = n + 1; cut < one->length; cut += step) {
            check(one, &(struct way){parser, cut, all, false});
            check(one, &(struct way){parser, cut, all, true});
        }
    }
}

int main(int argc, char **argv)
{
    struct corpus_case *cases;
    int count = argc == 2 ? corpus_read_all(argv[1], &cases) : -1;
    if (count <= 0) {
        fprintf(stderr, "usage: corpus_test FOLDER (with .http files)\n");
        return 2;
    }
    struct CMUnitTest *tests = calloc((size_t)count, sizeof *tests);
    if (tests == NULL) {
        return 2;
    }
    for (int i = 0; i < count; i++) {
        tests[i] = (struct CMUnitTest){
            .name = cases[i].name,
            .test_func = answered_alike_wherever_cut,
            .initial_state = &cases[i],
        };
    }
    int failed = _cmocka_run_group_tests("malformed", tests, (size_t)count, NULL, NULL);
    free(tests);
    corpus_free(cases, count);
    return failed;
}
