/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/connector.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/worker.h"

#define ATTEMPT_DELAY_MS   250
#define ATTEMPT_TIMEOUT_MS 10000
#define TIMEOUT_MS         30000
#define HOST_BYTES         (GY_NAME_BYTES + 3) /* "[", "]" and the zero */

static struct gy_connector *connector_of(struct gy_stream *stream)
{
    return (struct gy_connector *)((char *)stream->endpoint -
                                   offsetof(struct gy_connector, endpoint));
}

struct gy_connection *gy_connection_of(struct gy_stream *stream)
{
    char *session = stream->session;
    return (struct gy_connection *)(void *)(session + connector_of(stream)->connection_offset);
}

static void step(struct gy_dial *dial);

/* What follows is decided by the timer alone, so that no callback runs within another. */
static void step_soon(struct gy_dial *dial)
{
    struct gy_worker *worker = dial->connector->endpoint.worker;
    gy_timer_arm(&worker->wheel, &dial->timer, worker->now_ms);
}

/* ---- the streams ---- */

static uint32_t on_open(struct gy_stream *stream)
{
    struct gy_connector *connector = connector_of(stream);
    struct gy_connection *connection = gy_connection_of(stream);
    struct gy_dial *dial = connection->dial;
    if (dial == NULL) {
        return GY_WANT_CLOSE; /* another one was first */
    }
    connection->dial = NULL;
    connection->open = true;
    dial->attempts[connection->attempt].stream = NULL;
    gy_dial_cancel(dial);
    dial->done(dial, stream);
    return connector->user->open(stream);
}

static void on_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    struct gy_connector *connector = connector_of(stream);
    struct gy_connection *connection = gy_connection_of(stream);
    struct gy_dial *dial = connection->dial;
    if (connection->open) {
        if (connector->lost != NULL && connection->origin != NULL) {
            connector->lost(connection);
        }
        connector->user->closed(stream, reason);
    } else if (dial != NULL) {
        struct gy_attempt *attempt = &dial->attempts[connection->attempt];
        gy_assert(attempt->stream == stream);
        attempt->stream = NULL;
        /* Who closes with something of ours unread resets: that is no reason for what failed. */
        bool strange = stream->layer != NULL && stream->layer->failed;
        attempt->error = strange                       ? EPROTO
                         : stream->error != 0          ? stream->error
                         : reason == GY_CLOSE_TIMEOUT  ? ETIMEDOUT
                         : reason == GY_CLOSE_PEER     ? ECONNRESET
                         : reason == GY_CLOSE_RESET    ? ECONNRESET
                         : reason == GY_CLOSE_PROTOCOL ? EPROTO
                                                       : ECANCELED;
        if (attempt->error == EPROTO && stream->layer == NULL) {
            snprintf(dial->insecure, sizeof dial->insecure, "%s", strerror(EPROTO));
        } else if (attempt->error == EPROTO) {
            stream->layer->ops->explain(stream, dial->insecure, sizeof dial->insecure);
        }
        dial->over++;
        dial->due_ms = 0;
        step_soon(dial);
    }
}

int gy_connector_open(struct gy_connector *connector, struct gy_worker *worker,
                      const struct gy_connector_options *options, struct gy_error *error)
{
    uint32_t delay = options->attempt_delay_ms;
    uint32_t timeout = options->attempt_timeout_ms;
    uint32_t all = options->timeout_ms;
    *connector = (struct gy_connector){
        .user = options->ops,
        .ops = *options->ops,
        .resolver = options->resolver,
        .connection_offset = (options->session_bytes + 15) / 16 * 16,
        .attempt_delay_ms = delay == 0   ? ATTEMPT_DELAY_MS
                            : delay < 10 ? 10
                                         : delay,
        .attempt_timeout_ms = timeout == 0 ? ATTEMPT_TIMEOUT_MS : timeout,
        .timeout_ms = all == 0 ? TIMEOUT_MS : all,
    };
    connector->ops.open = on_open;
    connector->ops.closed = on_closed;
    struct gy_endpoint_options endpoint = {
        .name = options->name,
        .ops = &connector->ops,
        .context = options->context,
        .session_bytes = connector->connection_offset + (uint32_t)sizeof(struct gy_connection),
        .limits = options->limits,
        .connections_max = options->connections_max,
        .layer = options->layer,
        .layer_context = options->layer_context,
    };
    return gy_endpoint_open(&connector->endpoint, worker, &endpoint, error);
}

void gy_connector_close(struct gy_connector *connector)
{
    gy_endpoint_close(&connector->endpoint);
}

/* ---- ends ---- */

void gy_dial_cancel(struct gy_dial *dial)
{
    if (!dial->active) {
        return;
    }
    struct gy_connector *connector = dial->connector;
    dial->active = false;
    gy_timer_disarm(&connector->endpoint.worker->wheel, &dial->timer);
    if (dial->resolving) {
        connector->resolver->cancel(connector->resolver, &dial->query);
        dial->resolving = false;
    }
    for (uint32_t i = 0; i < dial->begun; i++) {
        struct gy_stream *stream = dial->attempts[i].stream;
        if (stream != NULL) {
            gy_connection_of(stream)->dial = NULL;
            dial->attempts[i].stream = NULL;
            gy_stream_abort(stream, GY_CLOSE_LOCAL);
        }
    }
}

static void fail(struct gy_dial *dial)
{
    gy_assert(dial->error.code < 0);
    gy_dial_cancel(dial);
    dial->done(dial, NULL);
}

/* "192.0.2.1 said: Connection refused" for each address, as far as there is room. */
static void fail_by_attempts(struct gy_dial *dial, bool late)
{
    char text[GY_ERROR_MESSAGE_BYTES - GY_NAME_BYTES - 64] = "";
    size_t fill = 0;
    int code = late ? GY_ETIMEOUT : 0;
    bool refused = dial->begun > 0;
    bool layered = dial->connector->endpoint.layer != NULL, cut = false;
    for (uint32_t i = 0; i < dial->begun && fill + 1 < sizeof text; i++) {
        char address[GY_ADDRESS_TEXT_BYTES];
        const struct gy_attempt *attempt = &dial->attempts[i];
        const char *said = attempt->stream != NULL       ? "no answer yet"
                           : attempt->error == ETIMEDOUT ? "no answer in time"
                           : attempt->error == ECANCELED ? "given up"
                           : attempt->error == EPROTO    ? dial->insecure
                                                         : strerror(attempt->error);
        if (code == 0 && attempt->error != 0) {
            code = attempt->error == EPROTO ? GY_EPROTO : gy_error_from_errno(attempt->error);
        }
        cut = cut || (layered && attempt->error == ECONNRESET);
        refused = refused && attempt->stream == NULL && attempt->error == ECONNREFUSED;
        int written =
            snprintf(text + fill, sizeof text - fill, "%s%s: %s", i == 0 ? "" : "; ",
                     gy_address_format(&dial->query.addresses[i], address, sizeof address), said);
        fill += written > 0 ? (size_t)written : 0;
    }
    gy_error_set(&dial->error, code != 0 ? code : GY_EIO, "connecting to %s port %u: %s%s%s",
                 dial->query.name, dial->port,
                 late ? (dial->begun == 0 ? "the name was not resolved in time" : "out of time; ")
                      : "",
                 text,
                 refused ? "; is the server running, and is that its port?"
                 : cut   ? "; does it speak TLS at that port?"
                         : "");
    fail(dial);
}

/* ---- the race ---- */

/* Families take turns; within a family the order stays (RFC 8305 §4). The first `begun` addresses
 * are being tried, or were: what follows begins with the family that the last of them is not of;
 * when there are none, with the first address's. */
static void interleave(struct gy_query *query, uint32_t begun)
{
    struct gy_address sorted[GY_QUERY_ADDRESSES];
    uint32_t at[2] = {begun, begun}; /* next of the family, of the other */
    sa_family_t family = query->addresses[begun > 0 ? begun - 1 : 0].any.sa_family;
    for (uint32_t i = begun; i < query->count; i++) {
        uint32_t turn = begun > 0 ? (i - begun + 1) % 2 : i % 2;
        for (uint32_t tries = 0; tries < 2; tries++, turn ^= 1) {
            while (at[turn] < query->count &&
                   (query->addresses[at[turn]].any.sa_family != family) != (turn == 1)) {
                at[turn]++;
            }
            if (at[turn] < query->count) {
                break;
            }
        }
        gy_assert(at[turn] < query->count);
        sorted[i] = query->addresses[at[turn]++];
    }
    memcpy(query->addresses + begun, sorted + begun, sizeof sorted[0] * (query->count - begun));
}

static void attempt_begin(struct gy_dial *dial)
{
    struct gy_connector *connector = dial->connector;
    struct gy_worker *worker = connector->endpoint.worker;
    uint32_t number = dial->begun++;
    struct gy_attempt *attempt = &dial->attempts[number];
    struct gy_address peer = dial->query.addresses[number];
    gy_address_set_port(&peer, dial->port);
    dial->query.addresses[number] = peer;
    dial->due_ms = worker->now_ms + connector->attempt_delay_ms;
    *attempt = (struct gy_attempt){.stream = NULL};
    if (worker->phase != GY_WORKER_SERVING) {
        attempt->error = ECANCELED;
        dial->over++;
        return;
    }
    struct gy_error error = {0};
    struct gy_stream *stream = gy_stream_dial(&connector->endpoint, &dial->query.addresses[number],
                                              connector->attempt_timeout_ms, &error);
    if (stream == NULL) {
        attempt->error = error.code == GY_ENOFILE   ? EMFILE
                         : error.code == GY_ENOTSUP ? EAFNOSUPPORT
                                                    : ENOBUFS;
        dial->over++;
        dial->due_ms = 0;
        return;
    }
    memset(stream->session, 0, connector->endpoint.sessions.item_bytes);
    *gy_connection_of(stream) =
        (struct gy_connection){.stream = stream, .dial = dial, .attempt = number, .peer = peer};
    attempt->stream = stream;
    const struct gy_layer_ops *layer = connector->endpoint.layer;
    if (layer != NULL && layer->expect != NULL && layer->expect(stream, dial->query.name) != 0) {
        gy_stream_abort(stream, GY_CLOSE_ERROR);
    }
}

/* Looks at what is due: the next attempt, the end of all. */
static void step(struct gy_dial *dial)
{
    struct gy_worker *worker = dial->connector->endpoint.worker;
    if (dial->error.code != 0) {
        fail(dial);
        return;
    }
    if (worker->now_ms >= dial->until_ms) {
        fail_by_attempts(dial, true);
        return;
    }
    uint64_t due = dial->until_ms;
    if (!dial->resolving || dial->query.count > 0) {
        while (dial->begun < dial->query.count &&
               (dial->due_ms <= worker->now_ms || dial->over == dial->begun)) {
            attempt_begin(dial);
        }
        if (dial->over == dial->query.count && !dial->resolving) {
            fail_by_attempts(dial, false);
            return;
        }
        if (dial->begun < dial->query.count && dial->due_ms < due) {
            due = dial->due_ms;
        }
    }
    gy_timer_arm(&worker->wheel, &dial->timer, due);
}

static void on_timer(struct gy_timer *timer, uint64_t now_ms)
{
    (void)now_ms;
    step((struct gy_dial *)((char *)timer - offsetof(struct gy_dial, timer)));
}

/* ---- names ---- */

static void on_answer(struct gy_query *query)
{
    struct gy_dial *dial = query->context;
    gy_assert(dial->active && dial->resolving && query->count <= GY_QUERY_ADDRESSES);
    dial->resolving = query->more;
    if (query->count == 0 && !query->more) {
        gy_error_set(&dial->error, query->error.code != 0 ? query->error.code : GY_EREFUSED,
                     "connecting to %s port %u: %.200s", query->name, dial->port,
                     query->error.code != 0 ? query->error.message : "the name has no address");
    } else if (query->count > dial->begun) {
        interleave(query, dial->begun);
    }
    step_soon(dial);
}

/* An address, with or without brackets; false for a name. */
static bool parse_address(struct gy_dial *dial, const char *host)
{
    char text[HOST_BYTES + 4];
    bool bare = strchr(host, ':') != NULL && host[0] != '[';
    snprintf(text, sizeof text, bare ? "[%s]:0" : "%s:0", host);
    if (gy_address_parse(&dial->query.addresses[0], text, NULL) != 0 ||
        dial->query.addresses[0].every) {
        return false;
    }
    dial->query.count = 1;
    return true;
}

void gy_dial_begin(struct gy_dial *dial, struct gy_connector *connector, const char *host,
                   uint16_t port, void (*done)(struct gy_dial *dial, struct gy_stream *stream))
{
    gy_assert(done != NULL);
    dial->connector = connector;
    dial->done = done;
    dial->error.code = 0;
    dial->port = port;
    dial->begun = dial->over = 0;
    dial->due_ms = 0;
    dial->until_ms = connector->endpoint.worker->now_ms + connector->timeout_ms;
    dial->resolving = false;
    dial->active = true;
    gy_timer_init(&dial->timer, on_timer);
    struct gy_query *query = &dial->query;
    *query = (struct gy_query){.answered = on_answer, .context = dial};
    size_t length = strlen(host);
    if (length == 0 || length > GY_NAME_BYTES) {
        gy_error_set(&dial->error, GY_EINVAL, "connecting to \"%.60s\": not the name of a host",
                     host);
    } else {
        memcpy(query->name, host, length + 1);
        if (!parse_address(dial, host)) {
            int code = connector->resolver == NULL
                           ? GY_ENOTSUP
                           : connector->resolver->ask(connector->resolver, query);
            dial->resolving = code == 0;
            if (code != 0) {
                gy_error_set(&dial->error, code, "connecting to %s port %u: %s", host, port,
                             code == GY_ENOTSUP  ? "there is no resolver; use an address"
                             : code == GY_ELIMIT ? "too many names are being resolved"
                                                 : gy_error_text(code));
            }
        }
    }
    step_soon(dial);
}
