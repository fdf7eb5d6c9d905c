/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What one pipelined request costs in the protocol alone: bytes in memory go in, answers come out,
 * nothing touches the kernel.
 *
 *   h1_cost                 ns per request, for each request below and each parser
 *   h1_cost REQUEST ROUNDS  only that one (0, 1, …), with the fastest parser: for
 *                           `valgrind --tool=cachegrind`, whose count divided by 16 × ROUNDS is
 *                           instructions per request
 */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "protocols/http/h1.h"
#include "protocols/http/h1_parse.h"

#define DEPTH         16
#define TEXT(literal) literal, sizeof(literal) - 1

static const struct {
    const char *what;
    struct gy_http_text text;
} requests[] = {
    {"GET as wrk sends it", {TEXT("GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")}},
    {"GET with three fields",
     {TEXT("GET /plaintext HTTP/1.1\r\nHost: server.example\r\nAccept: text/plain,*/*;q=0.8\r\n"
           "Connection: keep-alive\r\n\r\n")}},
    {"GET as a browser sends it",
     {TEXT("GET /search?q=io_uring+server HTTP/1.1\r\nHost: www.example.org\r\n"
           "Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n"
           "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
           "Chrome/126.0.0.0 Safari/537.36\r\n"
           "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n"
           "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n"
           "Cookie: session=5f2b8c1e9d7a4630a1b2c3d4e5f60718; theme=dark\r\n\r\n")}},
};

static void hello(struct gy_http_exchange *exchange)
{
    gy_http_answer(exchange, 200, "text/plain", "Hello, world!", 13);
}

static void wake(struct gy_h1 *connection)
{
    (void)connection;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void slab_make(struct gy_slab *slab, size_t item_bytes, uint32_t count)
{
    size_t bytes = gy_slab_bytes(item_bytes, count);
    void *memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    gy_assert(memory != NULL);
    gy_slab_init(slab, memory, bytes, item_bytes);
}

/* One turn for DEPTH requests in one buffer, as one receive would bring them. */
static void round_trip(struct gy_h1 *connection, struct gy_buffer *buffer, struct gy_chain *in)
{
    int error = gy_chain_append(in, gy_slice_of(buffer, 0, buffer->capacity));
    gy_assert(error == 0);
    uint32_t wants = gy_h1_turn(connection, in, false, 0);
    gy_assert((wants & GY_H1_IDLE) != 0 && in->length == 0);
    gy_chain_consume(connection->out, connection->out->length);
}

static double measure(const struct gy_h1_parser *parser, struct gy_http_text request,
                      uint32_t rounds)
{
    static const struct gy_http_handler handler = {.request = hello};
    struct gy_slab links, exchanges, blocks;
    slab_make(&links, sizeof(struct gy_link), 64);
    slab_make(&exchanges, gy_h1_exchange_bytes(), 4);
    slab_make(&blocks, sizeof(struct gy_bump_block), 4);
    struct gy_bump bump;
    gy_bump_init(&bump, &blocks);
    struct gy_h1_env env;
    int error = gy_h1_env_init(&env, &handler, NULL, &exchanges, &bump, wake, "gyre");
    gy_assert(error == 0);
    env.parser = parser;

    struct gy_chain in, out;
    gy_chain_init(&in, &links);
    gy_chain_init(&out, &links);
    struct gy_h1 connection;
    gy_h1_init(&connection, &env, &out, NULL, false, 0);

    size_t length = request.length;
    uint8_t *pipeline = malloc(length * DEPTH);
    gy_assert(pipeline != NULL);
    for (uint32_t i = 0; i < DEPTH; i++) {
        memcpy(pipeline + i * length, request.data, length);
    }
    struct gy_buffer buffer = {pipeline, (uint32_t)(length * DEPTH), 1, NULL};

    uint64_t start = now_ns();
    for (uint32_t i = 0; i < rounds; i++) {
        round_trip(&connection, &buffer, &in);
    }
    uint64_t spent = now_ns() - start;
    gy_assert(env.counters.requests == (uint64_t)rounds * DEPTH);
    gy_assert(env.counters.responses[2] == env.counters.requests);

    gy_h1_close(&connection, 0);
    gy_bump_close(&bump);
    free(pipeline);
    free(links.base);
    free(exchanges.base);
    free(blocks.base);
    return (double)spent / rounds / DEPTH;
}

int main(int argc, char **argv)
{
    uint32_t count = sizeof requests / sizeof requests[0];
    if (argc == 3) {
        uint32_t which = (uint32_t)strtoul(argv[1], NULL, 10);
        uint32_t rounds = (uint32_t)strtoul(argv[2], NULL, 10);
        if (which >= count || rounds == 0) {
            return 2;
        }
        measure(gy_h1_parser_nth(0), requests[which].text, rounds);
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        printf("%s (%zu bytes), %d deep\n", requests[i].what, requests[i].text.length, DEPTH);
        const struct gy_h1_parser *parser;
        for (uint32_t n = 0; (parser = gy_h1_parser_nth(n)) != NULL; n++) {
            double best = 0;
            for (int run = 0; run < 5; run++) {
                double ns = measure(parser, requests[i].text, 100000);
                best = run == 0 || ns < best ? ns : best;
            }
            printf("  %-9s %6.1f ns per request\n", parser->name, best);
        }
    }
    return 0;
}
