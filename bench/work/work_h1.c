/* SPDX-License-Identifier: GPL-3.0-or-later */

/* HTTP/1.1 alone: bytes go in, answers come out, nothing touches a socket. */

#include <stdio.h>
#include <string.h>

#include "bench/work/work.h"
#include "protocols/http/h1.h"
#include "protocols/http/h1_parse.h"

#define DEPTH       16
#define PIECES_MAX  16
#define INPUT_MAX   (64 * 1024)
#define FILE_BYTES  65536
#define CHUNK_BYTES 1024
#define CHUNKS      16

#define GET_SMALL "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"

struct h1_work {
    struct gy_slab links, exchanges, blocks;
    struct gy_bump bump;
    struct gy_h1_env env;
    struct gy_h1 connection;
    struct gy_chain in, out;
    struct gy_buffer pieces[PIECES_MAX]; /* the input, as receives would bring it */
    uint32_t piece_count;
    uint32_t out_bytes; /* of the last turn */
    struct gy_buffer file;
    struct gy_http_exchange exchange; /* for parsing alone */
    struct gy_h1_head head;
    uint8_t input[INPUT_MAX];
    uint32_t input_bytes;
    uint8_t content[FILE_BYTES];
};

/* ---- handlers: `context` is the work ---- */

static void answer_small(struct gy_http_exchange *exchange)
{
    gy_http_answer(exchange, 200, "text/plain", "Hello, world!", 13);
}

static void answer_with_fields(struct gy_http_exchange *exchange)
{
    const struct gy_http_header headers[] = {
        GY_HTTP_HEADER("Content-Type", "text/html; charset=utf-8"),
        GY_HTTP_HEADER("Cache-Control", "public, max-age=3600"),
        GY_HTTP_HEADER("ETag", "\"5f2b8c1e9d7a4630\""),
        GY_HTTP_HEADER("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        GY_HTTP_HEADER("Vary", "Accept-Encoding"),
        GY_HTTP_HEADER("X-Content-Type-Options", "nosniff"),
    };
    gy_http_respond(exchange, &(struct gy_http_response){
                                  .status = 200,
                                  .kind = GY_HTTP_BODY_TEXT,
                                  .headers = headers,
                                  .header_count = sizeof headers / sizeof headers[0],
                                  .body.text = GY_HTTP_TEXT("Hello, world!"),
                              });
}

static void answer_slice(struct gy_http_exchange *exchange)
{
    struct h1_work *work = gy_http_context(exchange);
    gy_http_respond(exchange, &(struct gy_http_response){
                                  .status = 200,
                                  .kind = GY_HTTP_BODY_SLICE,
                                  .body.slice = gy_slice_of(&work->file, 0, 16384),
                              });
}

static void answer_pulled(struct gy_http_exchange *exchange)
{
    gy_http_respond(exchange, &(struct gy_http_response){
                                  .status = 200,
                                  .kind = GY_HTTP_BODY_PULL,
                                  .body.length = GY_HTTP_UNKNOWN,
                              });
}

/* Four pieces of the file, then the end. */
static int pull_file(struct gy_http_exchange *exchange, struct gy_chain *out, uint32_t budget)
{
    struct h1_work *work = gy_http_context(exchange);
    uintptr_t piece = (uintptr_t)gy_http_state(exchange);
    uint32_t bytes = budget < 4096 ? budget : 4096;
    int error = gy_chain_append(out, gy_slice_of(&work->file, (uint32_t)piece * 4096, bytes));
    gy_assert(error == 0);
    gy_http_set_state(exchange, (void *)(piece + 1));
    return piece + 1 == 4 ? GY_HTTP_END : GY_HTTP_MORE;
}

static void wait_for_body(struct gy_http_exchange *exchange)
{
    gy_assert(exchange->has_body);
}

static void swallow_body(struct gy_http_exchange *exchange, struct gy_chain *bytes, bool end)
{
    gy_chain_consume(bytes, bytes->length);
    if (end) {
        answer_small(exchange);
    }
}

static void wake(struct gy_h1 *connection)
{
    (void)connection;
}

static const struct gy_http_handler small = {.request = answer_small};
static const struct gy_http_handler with_fields = {.request = answer_with_fields};
static const struct gy_http_handler slice = {.request = answer_slice};
static const struct gy_http_handler pulled = {.request = answer_pulled, .pull = pull_file};
static const struct gy_http_handler upload = {.request = wait_for_body, .body = swallow_body};

/* ---- the rig ---- */

static struct h1_work *rig_open(const struct gy_http_handler *handler)
{
    struct h1_work *work = work_memory(sizeof *work);
    work_slab(&work->links, sizeof(struct gy_link), 256);
    work_slab(&work->exchanges, gy_h1_exchange_bytes(), 4);
    work_slab(&work->blocks, sizeof(struct gy_bump_block), 8);
    gy_bump_init(&work->bump, &work->blocks);
    int error =
        gy_h1_env_init(&work->env, handler, work, &work->exchanges, &work->bump, wake, "gyre");
    gy_assert(error == 0);
    gy_h1_env_date(&work->env, "Sun, 06 Nov 1994 08:49:37 GMT");
    gy_chain_init(&work->in, &work->links);
    gy_chain_init(&work->out, &work->links);
    gy_h1_init(&work->connection, &work->env, &work->out, NULL, false, 0);
    memset(work->content, 'x', sizeof work->content);
    gy_buffer_wrap_constant(&work->file, work->content, sizeof work->content);
    return work;
}

static void rig_add(struct h1_work *work, const char *text)
{
    size_t length = strlen(text);
    gy_assert(length <= INPUT_MAX - work->input_bytes);
    memcpy(work->input + work->input_bytes, text, length);
    work->input_bytes += (uint32_t)length;
}

/* Cuts the input into pieces of equal size. */
static struct h1_work *rig_cut(struct h1_work *work, uint32_t pieces)
{
    gy_assert(pieces > 0 && pieces <= PIECES_MAX && work->input_bytes >= pieces);
    uint32_t at = 0;
    for (uint32_t i = 0; i < pieces; i++) {
        uint32_t end = (uint32_t)((uint64_t)work->input_bytes * (i + 1) / pieces);
        gy_buffer_wrap_constant(&work->pieces[i], work->input + at, end - at);
        at = end;
    }
    work->piece_count = pieces;
    return work;
}

static uint32_t turn(struct h1_work *work)
{
    for (uint32_t i = 0; i < work->piece_count; i++) {
        struct gy_buffer *piece = &work->pieces[i];
        int error = gy_chain_append(&work->in, gy_slice_of(piece, 0, piece->capacity));
        gy_assert(error == 0);
    }
    uint32_t wants = gy_h1_turn(&work->connection, &work->in, false, 0);
    work->out_bytes = work->out.length;
    gy_chain_consume(&work->out, work->out.length);
    return wants;
}

/* ---- what is run ---- */

static void run_answered(void *state, uint64_t iterations)
{
    struct h1_work *work = state;
    for (uint64_t i = 0; i < iterations; i++) {
        uint32_t wants = turn(work);
        gy_assert((wants & GY_H1_IDLE) != 0 && work->in.length == 0 && work->out_bytes > 0);
    }
    gy_assert(work->env.counters.responses[2] == work->env.counters.requests);
}

/* The head comes in pieces, a turn for each. */
static void run_in_pieces(void *state, uint64_t iterations)
{
    struct h1_work *work = state;
    for (uint64_t i = 0; i < iterations; i++) {
        for (uint32_t n = 0; n < work->piece_count; n++) {
            struct gy_buffer *piece = &work->pieces[n];
            int error = gy_chain_append(&work->in, gy_slice_of(piece, 0, piece->capacity));
            gy_assert(error == 0);
            gy_h1_turn(&work->connection, &work->in, false, 0);
        }
        gy_assert(work->in.length == 0 && work->out.length > 0);
        gy_chain_consume(&work->out, work->out.length);
    }
}

/* Refused requests end their connection, so each has one of its own. */
static void run_refused(void *state, uint64_t iterations)
{
    struct h1_work *work = state;
    for (uint64_t i = 0; i < iterations; i++) {
        gy_h1_init(&work->connection, &work->env, &work->out, NULL, false, 0);
        uint32_t wants = turn(work);
        gy_assert((wants & GY_H1_CLOSE) != 0 && work->out_bytes > 0);
        gy_h1_close(&work->connection, 0);
        gy_chain_clear(&work->in);
    }
    gy_assert(work->env.counters.requests == 0);
}

static void run_parse(void *state, uint64_t iterations)
{
    struct h1_work *work = state;
    for (uint64_t i = 0; i < iterations; i++) {
        work->exchange.field_count = 0;
        work->exchange.content_length = 0;
        work->head = (struct gy_h1_head){0};
        int result = work->env.parser->head(&work->env.limits, work->input, work->input_bytes,
                                            &work->exchange, &work->head);
        gy_assert(result == GY_H1_PARSED && work->head.bytes == work->input_bytes);
    }
}

/* ---- what is fed ---- */

static void *open_get(void)
{
    struct h1_work *work = rig_open(&small);
    rig_add(work, GET_SMALL);
    return rig_cut(work, 1);
}

static void *open_pipeline(void)
{
    struct h1_work *work = rig_open(&small);
    for (int i = 0; i < DEPTH; i++) {
        rig_add(work, GET_SMALL);
    }
    return rig_cut(work, 1);
}

static void *open_browser(void)
{
    struct h1_work *work = rig_open(&small);
    rig_add(work, WORK_GET_BROWSER);
    return rig_cut(work, 1);
}

static void *open_browser_pieces(void)
{
    struct h1_work *work = rig_open(&small);
    rig_add(work, WORK_GET_BROWSER);
    return rig_cut(work, 4);
}

static void *open_large_head(void)
{
    struct h1_work *work = rig_open(&small);
    rig_add(work, "GET /large HTTP/1.1\r\nHost: www.example.org\r\n");
    for (int i = 0; i < 80; i++) {
        char line[160];
        snprintf(line, sizeof line, "X-Field-Number-%02d: %0*d\r\n", i, i % 8 * 16 + 8, i);
        rig_add(work, line);
    }
    rig_add(work, "\r\n");
    return rig_cut(work, 2);
}

static void *open_chunked(void)
{
    struct h1_work *work = rig_open(&upload);
    rig_add(work, "POST /upload HTTP/1.1\r\nHost: www.example.org\r\n"
                  "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    char data[CHUNK_BYTES + 1];
    memset(data, 'd', CHUNK_BYTES);
    data[CHUNK_BYTES] = 0;
    for (int i = 0; i < CHUNKS; i++) {
        rig_add(work, "400\r\n");
        rig_add(work, data);
        rig_add(work, "\r\n");
    }
    rig_add(work, "0\r\n\r\n");
    return rig_cut(work, 4);
}

static void *open_length(void)
{
    struct h1_work *work = rig_open(&upload);
    rig_add(work, "POST /form HTTP/1.1\r\nHost: www.example.org\r\n"
                  "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 27\r\n\r\n"
                  "name=Gyre&kind=server&n=123");
    return rig_cut(work, 1);
}

static void *open_refused(void)
{
    struct h1_work *work = rig_open(&small);
    rig_add(work, "GET / HTTP/1.1\r\nHost: a.example\r\nBad Name: x\r\n\r\n");
    return rig_cut(work, 1);
}

static void *open_fields(void)
{
    struct h1_work *work = rig_open(&with_fields);
    rig_add(work, GET_SMALL);
    return rig_cut(work, 1);
}

static void *open_slice(void)
{
    struct h1_work *work = rig_open(&slice);
    rig_add(work, GET_SMALL);
    return rig_cut(work, 1);
}

static void *open_pulled(void)
{
    struct h1_work *work = rig_open(&pulled);
    rig_add(work, GET_SMALL);
    return rig_cut(work, 1);
}

static void count(void *state, struct work_counts *counts)
{
    const struct h1_work *work = state;
    counts->copied_bytes = work->env.counters.copied_bytes + work->bump.copied_bytes;
}

const struct work work_h1_rows[] = {
    {"h1-parse-get", "parsing the head of a small GET", 1, open_get, run_parse, count},
    {"h1-parse-browser", "parsing the head of a browser's GET", 1, open_browser, run_parse, count},
    {"h1-get", "a small GET on a kept connection", 1, open_get, run_answered, count},
    {"h1-pipeline16", "a small GET, 16 in a turn", DEPTH, open_pipeline, run_answered, count},
    {"h1-browser", "a browser's GET", 1, open_browser, run_answered, count},
    {"h1-browser-pieces", "a browser's GET that arrives in 4 pieces", 1, open_browser_pieces,
     run_in_pieces, count},
    {"h1-large-head", "a GET with 81 fields, in 2 pieces", 1, open_large_head, run_answered, count},
    {"h1-post-chunked", "a POST of 16 chunks of 1 KiB", 1, open_chunked, run_answered, count},
    {"h1-post-form", "a POST of 27 bytes", 1, open_length, run_answered, count},
    {"h1-refused", "a malformed request and its connection's end", 1, open_refused, run_refused,
     count},
    {"h1-response-head", "a response with six fields", 1, open_fields, run_answered, count},
    {"h1-response-slice", "a response of 16 KiB that is not copied", 1, open_slice, run_answered,
     count},
    {"h1-response-chunked", "a pulled response of four pieces", 1, open_pulled, run_answered,
     count},
};
const uint32_t work_h1_row_count = sizeof work_h1_rows / sizeof work_h1_rows[0];
