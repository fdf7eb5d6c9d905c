/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/ws/talk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "clients/dns/resolver.h"
#include "clients/shown.h"
#include "core/sha1.h"

#define NANOSECONDS_PER_MS UINT64_C(1000000)
#define CLOSE_MS           5000
#define OUTPUT_BLOCKS      2048  /* of GY_BUMP_BLOCK_BYTES: a message of 16 MiB, and what is sent */
#define RECEIVE_BUFFERS    12288 /* of 4 KiB: such a message in pieces that half fill them */

struct session {
    struct gy_talk *talk; /* NULL: nobody's */
};

void gy_talk_fail(struct gy_talk *talk, int code, const char *format, ...)
{
    char text[GY_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (talk->error.code == 0) {
        gy_error_set(&talk->error, code, "%s", text);
    }
    if (talk->open && gy_ws_is_open(&talk->ws)) {
        gy_talk_stop(talk, GY_WS_GOING_AWAY);
    } else {
        talk->over = true;
    }
}

void gy_talk_stop(struct gy_talk *talk, uint16_t code)
{
    talk->we_closed = true;
    if (!talk->open || !gy_ws_is_open(&talk->ws)) {
        talk->over = talk->over || !talk->open;
        return;
    }
    int error = gy_ws_close(&talk->ws, code, NULL, talk->worker.now_ns);
    gy_assert(error == 0);
    gy_talk_follow(talk);
}

/* ---- messages ---- */

static void got_close(struct gy_talk *talk, const struct gy_ws_event *event)
{
    char reason[GY_WS_REASON_MAX + 4] = "";
    if (event->failed) { /* our Close, which says so, is still to be sent */
        if (talk->error.code == 0) {
            gy_error_set(&talk->error, GY_EPROTO, "%s%.*s",
                         event->code == GY_WS_ABNORMAL ? "" : "the server broke the protocol: ",
                         (int)event->bytes, (const char *)event->data);
        }
        return;
    }
    talk->peer_closed = true;
    if (talk->we_closed) {
        return; /* it is the answer */
    }
    gy_shown(reason, sizeof reason, (const char *)event->data, event->bytes);
    bool well = event->code == GY_WS_NORMAL || event->code == GY_WS_NO_CODE;
    if (!well) {
        gy_error_set(&talk->error, GY_ECLOSED, "the server closed with %u, %s%s%s%s", event->code,
                     gy_talk_code_text(event->code), reason[0] != '\0' ? ": \"" : "", reason,
                     reason[0] != '\0' ? "\"" : "");
    } else if (!talk->options->quiet && isatty(STDIN_FILENO)) {
        fprintf(stderr, "gyre ws: the server closed, %s%s%s\n", gy_talk_code_text(event->code),
                reason[0] != '\0' ? ": " : "", reason);
    }
}

/* The Pong to the Ping behind the input's end. */
static void got_pong(struct gy_talk *talk, const struct gy_ws_event *event)
{
    if (!talk->input.ended || event->bytes == 0 || talk->input.closing) {
        return;
    }
    talk->input.closing = true;
    if (talk->options->wait_ms == 0) {
        gy_talk_stop(talk, GY_WS_NORMAL);
    } else if (talk->options->wait_ms != GY_TALK_FOREVER) {
        talk->wait_until_ms = talk->worker.now_ms + talk->options->wait_ms;
    }
}

/* What comes while it waits makes it wait anew. */
static void go_on_waiting(struct gy_talk *talk)
{
    if (talk->wait_until_ms != 0) {
        talk->wait_until_ms = talk->worker.now_ms + talk->options->wait_ms;
    }
}

static void got_message(struct gy_talk *talk, const struct gy_ws_event *event)
{
    uint64_t count = talk->options->count;
    if (talk->error.code != 0 || (count != 0 && talk->received >= count)) {
        return;
    }
    talk->received++;
    go_on_waiting(talk);
    if (!gy_talk_show(talk, event->kind, event->message)) {
        gy_talk_fail(talk, GY_EIO, "writing to standard output: %m");
    } else if (talk->received == count) {
        talk->input.ended = true;
        gy_talk_stop(talk, GY_WS_NORMAL);
    }
}

static void hear(struct gy_talk *talk)
{
    struct gy_ws_event event = {0};
    int code;
    while ((code = gy_ws_read(&talk->ws, &talk->in, talk->worker.now_ns, &event)) == 1) {
        switch (event.type) {
        case GY_WS_MESSAGE:
            got_message(talk, &event);
            break;
        case GY_WS_PONG:
            got_pong(talk, &event);
            break;
        case GY_WS_CLOSED:
            got_close(talk, &event);
            break;
        case GY_WS_PING:
            break;
        }
    }
    if (talk->paused != (code < 0)) {
        talk->paused = code < 0;
        gy_h1_call_pause(&talk->call, talk->paused);
    }
    gy_talk_follow(talk);
}

static void arm(struct gy_talk *talk)
{
    uint64_t due_ns = gy_ws_deadline(&talk->ws);
    uint64_t due_ms = due_ns == GY_WS_NO_DEADLINE ? UINT64_MAX : due_ns / NANOSECONDS_PER_MS + 1;
    if (talk->wait_until_ms != 0 && talk->wait_until_ms < due_ms) {
        due_ms = talk->wait_until_ms;
    }
    if (due_ms == UINT64_MAX) {
        gy_timer_disarm(&talk->worker.wheel, &talk->timer);
    } else {
        gy_timer_arm(&talk->worker.wheel, &talk->timer, due_ms);
    }
}

void gy_talk_follow(struct gy_talk *talk)
{
    if (!talk->open || talk->call.client == NULL) {
        return;
    }
    uint32_t wants = gy_ws_wants(&talk->ws);
    if ((wants & GY_WS_WANT_CLOSE) != 0) {
        gy_h1_call_cancel(&talk->call, GY_ETIMEOUT);
    } else if (!gy_chain_empty(&talk->out) || (wants & GY_WS_WANT_END) != 0) {
        gy_h1_call_wake(&talk->call);
    }
    arm(talk);
    gy_talk_read_input(talk);
}

static void on_timer(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_talk *talk =
        (struct gy_talk *)(void *)((char *)timer - offsetof(struct gy_talk, timer));
    struct gy_ws_event event = {0};
    if (talk->wait_until_ms != 0 && now_ms >= talk->wait_until_ms) {
        talk->wait_until_ms = 0;
        gy_talk_stop(talk, GY_WS_NORMAL);
    }
    if (gy_ws_expire(&talk->ws, talk->worker.now_ns, &event) == 1) {
        got_close(talk, &event);
    }
    gy_talk_follow(talk);
}

/* ---- the call that becomes a tunnel ---- */

static void *take_memory(void *context, size_t bytes)
{
    (void)context;
    return malloc(bytes);
}

static void give_memory(void *context, void *piece)
{
    (void)context;
    free(piece);
}

static const struct gy_ws_memory memory = {take_memory, give_memory, NULL};

static void on_response(struct gy_h1_call *call)
{
    struct gy_talk *talk = call->context;
    struct gy_http_text phrase = gy_h1_call_phrase(call);
    struct gy_ws_agreed agreed;
    char shown[61];
    if (!gy_h1_call_is_tunnel(call)) {
        gy_talk_fail(talk, GY_EREFUSED,
                     "the server answered %u %s, where 101 opens a WebSocket; is the path right?",
                     gy_h1_call_status(call),
                     gy_shown(shown, sizeof shown, phrase.data, phrase.length));
        return;
    }
    const char *wrong = gy_ws_response_check(&talk->asks, call, &agreed);
    if (wrong != NULL) {
        gy_talk_fail(talk, GY_EPROTO, "%s", wrong);
        return;
    }
    if (agreed.subprotocol < 0 && talk->asks.subprotocol_count > 0) {
        gy_talk_fail(talk, GY_EREFUSED, "the server speaks none of the subprotocols asked for");
        return;
    }
    talk->open = true;
    gy_ws_init(&talk->ws, &talk->env, &talk->out, true, talk->worker.now_ns);
    if (agreed.deflate) {
        struct gy_ws_deflate *deflate = NULL;
        if (gy_ws_deflate_open(&deflate, &agreed.terms, true, &memory) != 0) {
            gy_talk_fail(talk, GY_ENOMEM, "no memory for compression");
            return;
        }
        gy_ws_use_deflate(&talk->ws, deflate);
    }
    if (isatty(STDIN_FILENO) && !talk->options->quiet) {
        fprintf(stderr, "gyre ws: open%s%s; each line is a message, ^D ends\n",
                agreed.subprotocol >= 0 ? ", subprotocol " : "",
                agreed.subprotocol >= 0 ? talk->asks.subprotocols[agreed.subprotocol] : "");
    }
    gy_talk_follow(talk);
}

static void on_body(struct gy_h1_call *call, struct gy_chain *bytes, bool end)
{
    struct gy_talk *talk = call->context;
    if (!talk->open) {
        return;
    }
    int error = gy_chain_move(bytes, &talk->in, bytes->length);
    gy_assert(error == 0); /* all of it: no slice is cut */
    talk->server_ended = end;
    hear(talk);
    if (end && gy_ws_is_open(&talk->ws) && gy_chain_empty(&talk->in)) {
        gy_h1_call_cancel(call, GY_ECLOSED);
    } else if (end) {
        gy_h1_call_wake(call);
    }
}

static int on_pull(struct gy_h1_call *call, struct gy_chain *out, uint32_t budget)
{
    struct gy_talk *talk = call->context;
    if (!talk->open) {
        return GY_HTTP_WAIT;
    }
    uint32_t now = talk->out.length < budget ? talk->out.length : budget;
    if (gy_chain_move(&talk->out, out, now) != 0) {
        return out->length > 0 ? GY_HTTP_MORE : GY_ENOBUFS;
    }
    if (talk->paused) {
        hear(talk);
    }
    gy_talk_read_input(talk);
    if (!gy_chain_empty(&talk->out)) {
        return GY_HTTP_MORE;
    }
    bool end = talk->server_ended || (gy_ws_wants(&talk->ws) & GY_WS_WANT_END) != 0;
    return end ? GY_HTTP_END : GY_HTTP_WAIT;
}

static void on_call_closed(struct gy_h1_call *call, int reason)
{
    struct gy_talk *talk = call->context;
    char insecure[256] = "";
    if (talk->stream != NULL) {
        gy_tls_failure(talk->stream, insecure, sizeof insecure);
    }
    const char *breach = gy_h1_client_breach(&talk->client);
    if (!talk->peer_closed && talk->error.code == 0) {
        gy_error_set(&talk->error, reason != 0 ? reason : GY_ECLOSED, "%s",
                     breach[0] != '\0'       ? breach
                     : insecure[0] != '\0'   ? insecure
                     : reason == GY_ETIMEOUT ? "the server did not answer in time"
                     : talk->open            ? "the connection ended without a Close (1006)"
                                  : "the server closed the connection without answering");
    }
    if (talk->open) {
        gy_timer_disarm(&talk->worker.wheel, &talk->timer);
        gy_ws_end(&talk->ws);
    }
    talk->over = true;
}

static const struct gy_h1_call_ops call_ops = {
    .response = on_response, .body = on_body, .pull = on_pull, .closed = on_call_closed};

/* ---- the stream ---- */

static uint32_t follow(struct gy_stream *stream, uint32_t wants)
{
    static const struct {
        uint32_t http, core;
    } same[] = {
        {GY_H1_READ, GY_WANT_READ},         {GY_H1_ROOM, GY_WANT_ROOM},
        {GY_H1_RETRY, GY_WANT_RETRY},       {GY_H1_CLOSE, GY_WANT_CLOSE},
        {GY_H1_SHUTDOWN, GY_WANT_SHUTDOWN},
    };
    struct gy_talk *talk = ((struct session *)stream->session)->talk;
    uint32_t result = 0;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        result |= (wants & same[i].http) != 0 ? same[i].core : 0;
    }
    uint64_t deadline = gy_h1_client_deadline(&talk->client);
    gy_stream_set_deadline(stream,
                           deadline == GY_H1_NO_DEADLINE ? 0 : deadline / NANOSECONDS_PER_MS + 1);
    return result;
}

static uint32_t on_turn(struct gy_stream *stream)
{
    struct gy_talk *talk = ((struct session *)stream->session)->talk;
    if (talk == NULL) {
        return GY_WANT_CLOSE;
    }
    uint32_t wants =
        gy_h1_client_turn(&talk->client, &stream->in, stream->eof, stream->worker->now_ns);
    return follow(stream, wants);
}

static uint32_t on_expire(struct gy_stream *stream)
{
    struct gy_talk *talk = ((struct session *)stream->session)->talk;
    if (talk == NULL) {
        return GY_WANT_CLOSE;
    }
    gy_h1_client_expire(&talk->client, stream->worker->now_ns);
    return follow(stream, gy_h1_client_wants(&talk->client));
}

static uint32_t on_drain(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE;
}

static void on_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    struct gy_talk *talk = ((struct session *)stream->session)->talk;
    if (talk != NULL) {
        gy_h1_client_close(&talk->client, reason == GY_CLOSE_TIMEOUT ? GY_ETIMEOUT : GY_ECLOSED);
        talk->stream = NULL;
        talk->over = true;
    }
}

static const struct gy_stream_ops stream_ops = {on_turn, on_turn, on_expire, on_drain, on_closed};

static void wake(struct gy_h1_client *client)
{
    gy_stream_wake(client->owner);
}

static const struct gy_ws_terms whole_windows = {.server_bits = GY_WS_BITS_MAX,
                                                 .client_bits = GY_WS_BITS_MAX};

static int ask(struct gy_talk *talk)
{
    const struct gy_talk_options *options = talk->options;
    struct gy_http_header headers[GY_TALK_HEADERS_MAX + GY_WS_REQUEST_HEADERS + 1];
    char list[GY_TALK_LIST_BYTES];
    uint8_t random[16];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return GY_EIO;
    }
    talk->asks = (struct gy_ws_asks){.sha1 = gy_sha1,
                                     .origin = options->origin,
                                     .deflate = options->compress ? &whole_windows : NULL,
                                     .subprotocols = options->subprotocols,
                                     .subprotocol_count = options->subprotocol_count};
    gy_ws_key_make(random, talk->asks.key);
    int count = gy_ws_request_headers(&talk->asks, headers, list, sizeof list);
    if (count < 0) {
        return count;
    }
    headers[count++] = GY_HTTP_HEADER("User-Agent", "gyre/" GY_VERSION);
    memcpy(headers + count, options->headers, options->header_count * sizeof headers[0]);
    struct gy_h1_request request = {
        .method = GY_HTTP_TEXT("GET"),
        .target = gy_http_text_of(options->url.target),
        .authority = gy_http_text_of(options->url.authority),
        .upgrade = GY_HTTP_TEXT(GY_WS_UPGRADE),
        .headers = headers,
        .header_count = (uint32_t)count + options->header_count,
    };
    talk->call.ops = &call_ops;
    talk->call.context = talk;
    return gy_h1_client_send(&talk->client, &talk->call, &request, talk->worker.now_ns);
}

static void connected(struct gy_dial *dial, struct gy_stream *stream)
{
    struct gy_talk *talk = dial->context;
    if (stream == NULL) {
        gy_talk_fail(talk, dial->error.code, "%s", dial->error.message);
        return;
    }
    talk->stream = stream;
    ((struct session *)stream->session)->talk = talk;
    gy_h1_client_init(&talk->client, &talk->http, &stream->out, stream, talk->worker.now_ns);
    talk->client_begun = true;
    int code = ask(talk);
    if (code != 0) {
        gy_talk_fail(talk, code, "the request cannot be sent: %s", gy_error_text(code));
    }
}

/* ---- all of it ---- */

/* Unforeseeable, since they are the kernel's (§5.3). */
static uint32_t random_key(void *context)
{
    uint32_t key = 0;
    (void)context;
    ssize_t got = getrandom(&key, sizeof key, 0);
    gy_assert(got == (ssize_t)sizeof key); /* so few bytes always come, once there are any */
    return key;
}

static int open_worker(struct gy_talk *talk, struct gy_error *error)
{
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = 64,
        .blocks_max = OUTPUT_BLOCKS,
        .pool = gy_pool_defaults(GY_RECEIVE_MULTISHOT, 0),
    };
    options.pool.buffers = RECEIVE_BUFFERS;
    talk->peers[0] = &talk->worker;
    int code = gy_worker_open(&talk->worker, &options, talk->peers, error);
    if (code == GY_ENOTSUP) {
        options.pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0);
        options.pool.buffers = RECEIVE_BUFFERS;
        code = gy_worker_open(&talk->worker, &options, talk->peers, error);
    }
    return code;
}

static int open_connector(struct gy_talk *talk, struct gy_error *error)
{
    const struct gy_talk_options *options = talk->options;
    bool secure = options->url.secure;
    int code = secure ? gy_tls_files_open(&talk->tls, &options->tls, NULL, error) : 0;
    if (code != 0) {
        return code;
    }
    struct gy_connector_options connector = {
        .name = "ws",
        .ops = &stream_ops,
        .context = talk,
        .session_bytes = sizeof(struct session),
        .resolver = talk->resolver,
        .timeout_ms = options->connect_timeout_ms,
        .attempt_timeout_ms = options->connect_timeout_ms,
        .layer = secure ? &gy_tls_layer : NULL,
        .layer_context = secure ? talk->tls : NULL,
    };
    code = gy_connector_open(&talk->connector, &talk->worker, &connector, error);
    talk->connector_open = code == 0;
    return code;
}

int gy_talk_open(struct gy_talk *talk, const struct gy_talk_options *options,
                 struct gy_error *error)
{
    memset(talk, 0, sizeof *talk);
    talk->options = options;
    talk->input.stop = -1;
    int code = open_worker(talk, error);
    if (code != 0) {
        return code;
    }
    code = gy_dns_resolver_open(&talk->resolver, &talk->worker, NULL, error);
    code = code == 0 ? gy_talk_input_open(talk, error) : code;
    code = code == 0 ? open_connector(talk, error) : code;
    if (code != 0) {
        gy_talk_close(talk);
        return code;
    }
    gy_h1_client_env_init(&talk->http, &talk->worker.bump, wake);
    gy_ws_env_init(&talk->env, &talk->worker.bump, &talk->worker.links);
    talk->env.random = random_key;
    talk->env.limits.ping_ms = options->ping_ms;
    talk->env.limits.close_ms = CLOSE_MS;
    gy_chain_init(&talk->in, &talk->worker.links);
    gy_chain_init(&talk->out, &talk->worker.links);
    gy_timer_init(&talk->timer, on_timer);
    talk->dial.context = talk;
    gy_dial_begin(&talk->dial, &talk->connector, options->url.host, options->url.port, connected);
    return 0;
}

bool gy_talk_turn(struct gy_talk *talk, uint32_t timeout_ms)
{
    if (!talk->over && gy_worker_turn(&talk->worker, timeout_ms * NANOSECONDS_PER_MS) != 0) {
        gy_talk_fail(talk, GY_EIO, "the ring broke");
        talk->over = true;
    }
    return !talk->over;
}

void gy_talk_close(struct gy_talk *talk)
{
    talk->over = true;
    gy_talk_input_close(talk);
    if (talk->connector_open) {
        gy_dial_cancel(&talk->dial);
        if (talk->stream != NULL && talk->client_begun) {
            gy_h1_client_close(&talk->client, GY_ECLOSED);
        }
        if (talk->stream != NULL) {
            gy_stream_abort(talk->stream, GY_CLOSE_LOCAL);
        }
        gy_worker_finish(&talk->worker);
        gy_chain_clear(&talk->in);
        gy_chain_clear(&talk->out);
        gy_connector_close(&talk->connector);
    }
    if (talk->resolver != NULL) {
        gy_dns_resolver_close(talk->resolver);
    }
    gy_worker_close(&talk->worker);
    gy_tls_config_close(talk->tls);
}
