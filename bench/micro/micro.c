/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Times the work of bench/work, and the parsers and searches that have variants for processors.
 *
 *     meson test --benchmark -C build/release --verbose
 *     build/release/bench/micro --benchmark_filter='h1-.*'
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/micro/shim.h"
#include "bench/work/work.h"
#include "core/error.h"
#include "protocols/http/h1.h"
#include "protocols/http/h1_parse.h"

#define BATCH       16
#define PLAIN_BYTES 4096
#define NAME_BYTES  64

/* ---- the work ---- */

static void time_work(struct micro_state *state, const void *context)
{
    const struct work *work = context;
    void *memory = work->open();
    struct work_counts before = {0}, after = {0};
    if (work->count != NULL) {
        work->count(memory, &before);
    }
    while (micro_next_batch(state, BATCH)) {
        work->run(memory, BATCH);
    }
    if (work->count != NULL) {
        work->count(memory, &after);
    }
    double operations = (double)micro_iterations(state) * work->operations;
    micro_items(state, (uint64_t)operations);
    micro_figure(state, "copied_bytes",
                 (double)(after.copied_bytes - before.copied_bytes) / operations);
    micro_label(state, work->what);
}

/* ---- variants of the parser ---- */

struct parse {
    char name[NAME_BYTES];
    const struct gy_h1_parser *parser; /* NULL: not for this processor */
    const char *text;
};

static const struct gy_h1_limits limits = {
    .line_bytes = 8192,
    .head_bytes = 16384,
    .fields = GY_HTTP_FIELDS_MAX,
};

static void time_parse(struct micro_state *state, const void *context)
{
    const struct parse *parse = context;
    uint32_t length = (uint32_t)strlen(parse->text);
    struct gy_http_exchange *exchange = calloc(1, sizeof *exchange);
    gy_assert(exchange != NULL);
    while (micro_next(state)) {
        struct gy_h1_head head = {0};
        exchange->field_count = 0;
        int result =
            parse->parser->head(&limits, (const uint8_t *)parse->text, length, exchange, &head);
        gy_assert(result == GY_H1_PARSED);
        micro_use(exchange);
    }
    micro_bytes(state, micro_iterations(state) * length);
    free(exchange);
}

static void time_plain(struct micro_state *state, const void *context)
{
    const struct parse *parse = context;
    uint8_t *text = malloc(PLAIN_BYTES);
    gy_assert(text != NULL);
    memset(text, 'a', PLAIN_BYTES);
    while (micro_next(state)) {
        uint32_t length = parse->parser->plain(text, PLAIN_BYTES);
        gy_assert(length == PLAIN_BYTES);
        micro_use(&length);
    }
    micro_bytes(state, micro_iterations(state) * PLAIN_BYTES);
    free(text);
}

static void register_parsers(void)
{
    static struct parse parses[2 * 8];
    const struct gy_h1_parser *parser;
    for (uint32_t i = 0; i < 8 && (parser = gy_h1_parser_nth(i)) != NULL; i++) {
        struct parse *head = &parses[2 * i];
        struct parse *plain = &parses[2 * i + 1];
        *head = (struct parse){.parser = parser, .text = WORK_GET_BROWSER};
        *plain = (struct parse){.parser = parser};
        snprintf(head->name, sizeof head->name, "parser-head/%s", parser->name);
        snprintf(plain->name, sizeof plain->name, "parser-plain/%s", parser->name);
        micro_register(head->name, time_parse, head);
        micro_register(plain->name, time_plain, plain);
    }
}

int main(int argc, char **argv)
{
    const struct work *work;
    for (uint32_t i = 0; (work = work_nth(i)) != NULL; i++) {
        micro_register(work->name, time_work, work);
    }
    for (uint32_t i = 0; i < work_dns_large_row_count; i++) {
        micro_register(work_dns_large_rows[i].name, time_work, &work_dns_large_rows[i]);
    }
    register_parsers();
    return micro_run(argc, argv);
}
