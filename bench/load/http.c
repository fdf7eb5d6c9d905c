/* SPDX-License-Identifier: GPL-3.0-or-later */

/* HTTP/1.1 for gyre-load: one GET, encoded once; answers as http_response.h checks them. */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bench/load/http_request.h"
#include "bench/load/http_response.h"
#include "bench/load/load.h"

struct http_plan {
    uint32_t request_bytes;
    uint32_t count;
    char data[]; /* `count` requests */
};

static bool has_field(const struct gy_load_options *options, const char *name)
{
    size_t length = strlen(name);
    for (uint32_t i = 0; i < options->header_count; i++) {
        if (strncasecmp(options->headers[i], name, length) == 0 &&
            options->headers[i][length] == ':') {
            return true;
        }
    }
    return false;
}

/* A header ends at a line's end: one within it would begin another request. */
int gy_load_http_check_fields(const struct gy_load_options *options, struct gy_error *error)
{
    for (uint32_t i = 0; i < options->header_count; i++) {
        const char *field = options->headers[i];
        const char *colon = strchr(field, ':');
        if (colon == NULL || colon == field || strpbrk(field, "\r\n") != NULL) {
            return gy_error_set(error, GY_EINVAL,
                                "--header %s: write it as \"Name: value\", on one line", field);
        }
    }
    return 0;
}

static void write_host(FILE *out, const struct gy_load_options *options)
{
    bool six = strchr(options->host, ':') != NULL;
    fprintf(out, six ? "Host: [%s]" : "Host: %s", options->host);
    const struct gy_load_protocol *protocol =
        options->protocol != NULL ? options->protocol : &gy_load_http;
    if (options->port != 0 && options->port != protocol->port) {
        fprintf(out, ":%u", options->port);
    }
    fputs("\r\n", out);
}

void gy_load_http_write_fields(FILE *out, const struct gy_load_options *options)
{
    if (!has_field(options, "host")) {
        write_host(out, options);
    }
    for (uint32_t i = 0; i < options->header_count; i++) {
        fprintf(out, "%s\r\n", options->headers[i]);
    }
}

static int http_prepare(const struct gy_load_options *options, void **plan, struct gy_error *error)
{
    int code = gy_load_http_check_fields(options, error);
    if (code != 0) {
        return code;
    }
    char *request = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&request, &bytes);
    if (out == NULL) {
        return gy_error_set(error, GY_ENOMEM, "encoding the request: out of memory");
    }
    fprintf(out, "GET %s HTTP/1.1\r\n", options->path);
    gy_load_http_write_fields(out, options);
    if (options->handshakes != GY_LOAD_HANDSHAKES_KEPT) {
        fputs("Connection: close\r\n", out);
    }
    fputs("\r\n", out);
    fclose(out);
    struct http_plan *made = malloc(sizeof *made + bytes * options->pipeline);
    if (made == NULL) {
        free(request);
        return gy_error_set(error, GY_ENOMEM, "encoding the request: out of memory");
    }
    made->request_bytes = (uint32_t)bytes;
    made->count = options->pipeline;
    for (uint32_t i = 0; i < options->pipeline; i++) {
        memcpy(made->data + bytes * i, request, bytes);
    }
    free(request);
    *plan = made;
    return 0;
}

static const void *http_requests(const void *plan, uint32_t *request_bytes)
{
    const struct http_plan *made = plan;
    *request_bytes = made->request_bytes;
    return made->data;
}

static void http_state_open(void *state, const void *plan, const struct gy_load_options *options,
                            uint32_t thread)
{
    (void)thread;
    (void)plan;
    gy_load_expected_open(state, options->check);
}

static void http_state_close(void *state)
{
    gy_load_expected_close(state);
}

static void http_session_open(void *session)
{
    gy_load_response_begin(session);
}

static enum gy_load_progress progress_of(enum gy_load_verdict verdict)
{
    switch (verdict) {
    case GY_LOAD_VERDICT_MORE:
        return GY_LOAD_MORE;
    case GY_LOAD_VERDICT_RIGHT:
        return GY_LOAD_ANSWER;
    case GY_LOAD_VERDICT_STATUS:
        return GY_LOAD_BAD_STATUS;
    case GY_LOAD_VERDICT_BODY:
        return GY_LOAD_BAD_BODY;
    case GY_LOAD_VERDICT_BROKEN:
        break;
    }
    return GY_LOAD_BAD_BYTES;
}

static enum gy_load_progress http_receive(void *state, void *session, const uint8_t *data,
                                          uint32_t bytes, uint32_t *used)
{
    return progress_of(gy_load_response_read(session, state, data, bytes, used));
}

static bool http_last(const void *session)
{
    const struct gy_load_response *response = session;
    return response->close;
}

static enum gy_load_progress http_ended(void *state, void *session)
{
    return progress_of(gy_load_response_end(session, state));
}

const struct gy_load_protocol gy_load_http = {
    .scheme = "http",
    .help = "GET over HTTP/1.1",
    .port = 80,
    .prepare = http_prepare,
    .finish = free,
    .requests = http_requests,
    .state_bytes = sizeof(struct gy_load_expected),
    .state_open = http_state_open,
    .state_close = http_state_close,
    .session_bytes = sizeof(struct gy_load_response),
    .session_open = http_session_open,
    .receive = http_receive,
    .last = http_last,
    .ended = http_ended,
};

const struct gy_load_protocol gy_load_https = {
    .scheme = "https",
    .help = "likewise over TLS",
    .port = 443,
    .secure = true,
    .alpn = "http/1.1",
    .prepare = http_prepare,
    .finish = free,
    .requests = http_requests,
    .state_bytes = sizeof(struct gy_load_expected),
    .state_open = http_state_open,
    .state_close = http_state_close,
    .session_bytes = sizeof(struct gy_load_response),
    .session_open = http_session_open,
    .receive = http_receive,
    .last = http_last,
    .ended = http_ended,
};
