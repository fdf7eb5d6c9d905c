/* SPDX-License-Identifier: GPL-3.0-or-later */

/* HTTP/1.1 for gyre-load: one request, encoded once; answers as http_response.h checks them. */

#include <stdlib.h>
#include <string.h>

#include "bench/load/http_request.h"
#include "bench/load/http_response.h"
#include "bench/load/load.h"

struct http_plan {
    uint32_t request_bytes;
    uint32_t count;
    char data[]; /* `count` requests */
};

static int http_prepare(const struct gy_load_options *options, void **plan, struct gy_error *error)
{
    char *request = NULL;
    size_t bytes = 0;
    int code = gy_load_http_encode(options, &request, &bytes, error);
    if (code != 0) {
        return code;
    }
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
    bool head = options->method != NULL && strcmp(options->method, "HEAD") == 0;
    gy_load_expected_open(state, options->check, head);
}

static void http_state_close(void *state)
{
    gy_load_expected_close(state);
}

static const char *http_broken(const void *state)
{
    return ((const struct gy_load_expected *)state)->broken;
}

static const char *http_stranger(const void *state)
{
    return ((const struct gy_load_expected *)state)->stranger;
}

#define TEN(digits)                                                                                \
    digits "0", digits "1", digits "2", digits "3", digits "4", digits "5", digits "6",            \
        digits "7", digits "8", digits "9"
#define HUNDRED(digit)                                                                             \
    TEN(digit "0"), TEN(digit "1"), TEN(digit "2"), TEN(digit "3"), TEN(digit "4"),                \
        TEN(digit "5"), TEN(digit "6"), TEN(digit "7"), TEN(digit "8"), TEN(digit "9")

static const char *http_tally_name(uint32_t number)
{
    static const char names[GY_LOAD_STATUSES][4] = {HUNDRED("2"), HUNDRED("3"), HUNDRED("4"),
                                                    HUNDRED("5")};
    return number < GY_LOAD_STATUSES ? names[number] : NULL;
}

static const char *http_remedy(uint32_t number)
{
    uint32_t status = GY_LOAD_STATUS_FIRST + number;
    switch (status) {
    case 401:
    case 403:
    case 407:
        return "does it ask for somebody's name (-H 'Authorization: …')?";
    case 404:
    case 410:
        return "nothing lies there: is the path of the URL right?";
    case 405:
        return "is the method right for this path?";
    case 429:
    case 503:
        return "the server takes no more: a lower --rate, or fewer connections, may be answered";
    case 502:
    case 504:
        return "the server it fetches them from does not answer";
    default:
        return status < 400   ? NULL
               : status < 500 ? "does the server want other headers (-H)?"
                              : "its log may say why";
    }
}

static const uint64_t *http_tallies(void *state)
{
    return gy_load_expected_statuses(state);
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
    .help = "requests over HTTP/1.1",
    .port = 80,
    .prepare = http_prepare,
    .finish = free,
    .requests = http_requests,
    .tally_name = http_tally_name,
    .tallies_many = true,
    .tallies = http_tallies,
    .remedy = http_remedy,
    .broken = http_broken,
    .stranger = http_stranger,
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
    .tally_name = http_tally_name,
    .tallies_many = true,
    .tallies = http_tallies,
    .remedy = http_remedy,
    .broken = http_broken,
    .stranger = http_stranger,
    .state_bytes = sizeof(struct gy_load_expected),
    .state_open = http_state_open,
    .state_close = http_state_close,
    .session_bytes = sizeof(struct gy_load_response),
    .session_open = http_session_open,
    .receive = http_receive,
    .last = http_last,
    .ended = http_ended,
};
