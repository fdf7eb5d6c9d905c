/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A server for the corpus of malformed requests: reads each request's body, then answers 200
 * without a body of its own.
 *
 *     patient ADDRESS:PORT
 */

#include <stdio.h>

#include "servers/http/http_server.h"
#include "servers/serve.h"

static void answer(struct gy_http_exchange *exchange)
{
    gy_http_answer(exchange, 200, NULL, NULL, 0);
}

static void patient_request(struct gy_http_exchange *exchange)
{
    if (!exchange->has_body) {
        answer(exchange);
    }
}

static void patient_body(struct gy_http_exchange *exchange, struct gy_chain *bytes, bool end)
{
    (void)bytes;
    if (end) {
        answer(exchange);
    }
}

static const struct gy_http_handler patient = {.request = patient_request, .body = patient_body};

static void listening(void *context, const struct gy_serve_place *places, uint32_t count,
                      uint32_t workers)
{
    (void)context;
    (void)count;
    printf("patient: listening on %s with %u workers\n", places[0].address, workers);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: patient ADDRESS:PORT\n");
        return 2;
    }
    static struct gy_http_server http = {.handler = &patient};
    struct gy_serve_options options = gy_serve_defaults();
    struct gy_serve_hooks hooks = {.listening = listening};
    options.workers = 1;
    options.addresses[options.address_count++] = argv[1];
    return gy_serve_http_with(&options, &http, &hooks);
}
