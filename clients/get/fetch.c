/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/get/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/dns/resolver.h"
#include "clients/get/get_internal.h"
#include "protocols/http/stranger.h"

#define NANOSECONDS_PER_MS 1000000u

/* What a stream carries. */
struct session {
    struct gy_h1_client client;
    uint32_t users;    /* fetches whose requests are under way */
    uint32_t answered; /* requests: a server that has answered one keeps the connection */
    bool begun;
    bool gone;          /* the stream is being freed */
    bool ended;         /* announced by the server, or by us */
    bool cut;           /* it ended without the layer's end: what came may not be all */
    char insecure[256]; /* why TLS failed, or "" */
    uint8_t first_bytes;
    uint8_t first[GY_HTTP_STRANGER_SHOWN]; /* of what the server has said, as it came */
};

static void fetch_done(struct gy_fetch *fetch, int status)
{
    struct gy_get *get = fetch->get;
    gy_assert(!fetch->done && get->active > 0);
    fetch->done = true;
    fetch->status = status;
    gy_timer_disarm(&get->worker.wheel, &fetch->timer);
    gy_connections_cancel(&fetch->lease);
    gy_save_close(&fetch->save, get->options->resume && status != 0);
    get->active--;
    get->done++;
    if (status != 0) {
        get->failed++;
        gy_get_tell(fetch, fetch->error.message);
    }
}

/* ---- the connection ---- */

static uint32_t follow(struct gy_stream *stream, uint32_t wants)
{
    static const struct {
        uint32_t http, core;
    } same[] = {
        {GY_H1_READ, GY_WANT_READ},         {GY_H1_ROOM, GY_WANT_ROOM},
        {GY_H1_RETRY, GY_WANT_RETRY},       {GY_H1_CLOSE, GY_WANT_CLOSE},
        {GY_H1_SHUTDOWN, GY_WANT_SHUTDOWN},
    };
    struct session *session = stream->session;
    uint32_t result = 0;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        result |= (wants & same[i].http) != 0 ? same[i].core : 0;
    }
    uint64_t deadline = gy_h1_client_deadline(&session->client);
    gy_stream_set_deadline(stream,
                           deadline == GY_H1_NO_DEADLINE ? 0 : deadline / NANOSECONDS_PER_MS + 1);
    return result;
}

/* What it begins with says what speaks there, where that is not HTTP. */
static void note_first(struct session *session, struct gy_chain *in)
{
    uint32_t bytes = in->length < sizeof session->first ? in->length : sizeof session->first;
    if (session->first_bytes == 0 && bytes > 0) {
        gy_chain_copy(in, 0, bytes, session->first);
        session->first_bytes = (uint8_t)bytes;
    }
}

static uint32_t on_turn(struct gy_stream *stream)
{
    struct session *session = stream->session;
    if (!session->begun) {
        return GY_WANT_READ; /* connected for somebody who has gone */
    }
    note_first(session, &stream->in);
    /* An end that anybody on the way could have made is not taken for that of a body. */
    session->cut = stream->eof && stream->truncated;
    uint32_t wants = follow(stream, gy_h1_client_turn(&session->client, &stream->in,
                                                      stream->eof && !stream->truncated,
                                                      stream->worker->now_ns));
    return session->cut ? wants | GY_WANT_CLOSE : wants;
}

static uint32_t on_expire(struct gy_stream *stream)
{
    struct session *session = stream->session;
    gy_h1_client_expire(&session->client, stream->worker->now_ns);
    return follow(stream, gy_h1_client_wants(&session->client));
}

static uint32_t on_drain(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE;
}

static void on_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    struct session *session = stream->session;
    session->gone = true;
    if (session->begun) {
        gy_tls_failure(stream, session->insecure, sizeof session->insecure);
        gy_h1_client_close(&session->client, reason == GY_CLOSE_TIMEOUT     ? GY_ETIMEOUT
                                             : session->insecure[0] != '\0' ? GY_EPROTO
                                                                            : GY_ECLOSED);
    }
}

static const struct gy_stream_ops stream_ops = {on_turn, on_turn, on_expire, on_drain, on_closed};

static void wake(struct gy_h1_client *client)
{
    gy_stream_wake(client->owner);
}

/* ---- trying again ---- */

static int open_secure(struct gy_get *get, struct gy_error *error);

static void lease(struct gy_fetch *fetch)
{
    struct gy_get *get = fetch->get;
    fetch->error.code = 0;
    fetch->waits = false;
    if (fetch->url.secure && !get->secure.open && open_secure(get, &fetch->error) != 0) {
        fetch_done(fetch, fetch->error.code); /* redirected there */
        return;
    }
    struct gy_get_origins *origins = fetch->url.secure ? &get->secure : &get->plain;
    fetch->lease.tries = 1 + get->options->retries - fetch->retries;
    if (gy_connections_lease(&origins->connections, &fetch->lease, fetch->url.host, fetch->url.port,
                             &fetch->error) != 0) {
        fetch_done(fetch, fetch->error.code);
    }
}

static void arm(struct gy_fetch *fetch, uint64_t due_ms)
{
    if (fetch->until_ms != 0 && due_ms > fetch->until_ms) {
        due_ms = fetch->until_ms;
    }
    if (due_ms != UINT64_MAX) {
        gy_timer_arm(&fetch->get->worker.wheel, &fetch->timer, due_ms);
    }
}

static const char *what_was_missing(const struct gy_fetch *fetch)
{
    if (fetch->call.client == NULL) {
        return fetch->waits ? ""
               : fetch->url.secure
                   ? ": no connection was made; does the server speak TLS at this port?"
                   : ": no connection was made";
    }
    return gy_h1_call_unanswered(&fetch->call)
               ? ": the server said nothing; does it speak HTTP at this port?"
               : "";
}

static void on_timer(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_fetch *fetch = (struct gy_fetch *)((char *)timer - offsetof(struct gy_fetch, timer));
    if (fetch->until_ms != 0 && now_ms >= fetch->until_ms) {
        gy_error_set(&fetch->error, GY_ETIMEOUT, "not done within %u s%s",
                     fetch->get->options->timeout_ms / 1000, what_was_missing(fetch));
        if (fetch->call.client != NULL) {
            struct gy_stream *stream = fetch->lease.context;
            ((struct session *)stream->session)->ended = true;
            gy_h1_call_cancel(&fetch->call, GY_ETIMEOUT);
        } else {
            fetch_done(fetch, GY_ETIMEOUT);
        }
        return;
    }
    arm(fetch, UINT64_MAX);
    if (fetch->waits) {
        lease(fetch);
    }
}

/* What is there already was either of no version that could be named, or goes on from there. */
static bool can_try_again(const struct gy_fetch *fetch)
{
    bool nothing = !fetch->save.begun || fetch->save.at == 0;
    return nothing || (fetch->validator[0] != '\0' && fetch->get->options->range == NULL &&
                       !fetch->get->options->include);
}

static void try_again_or_fail(struct gy_fetch *fetch, int code)
{
    const struct gy_get_options *options = fetch->get->options;
    if (fetch->retries >= options->retries || !can_try_again(fetch)) {
        fetch_done(fetch, code);
        return;
    }
    fetch->retries++;
    fetch->waits = true;
    arm(fetch, fetch->get->worker.now_ms + gy_backoff_failed(&fetch->backoff));
}

/* ---- the request ---- */

static struct gy_fetch *fetch_of(struct gy_lease *lease_of)
{
    return (struct gy_fetch *)((char *)lease_of - offsetof(struct gy_fetch, lease));
}

static void send_on(struct gy_fetch *fetch, struct gy_stream *stream, bool used)
{
    struct session *session = stream->session;
    fetch->lease.context = stream;
    fetch->reused = used;
    fetch->piped = session->users > 0;
    int code = gy_get_send(fetch, &session->client, stream->worker->now_ns);
    if (code != 0) {
        fetch->lease.context = NULL;
        if (session->users == 0) {
            gy_connections_return(stream, false);
        }
        gy_error_set(&fetch->error, code, "the request cannot be sent: %s", gy_error_text(code));
        fetch_done(fetch, code);
        return;
    }
    session->users++;
    gy_stream_wake(stream);
}

/* Sends what waits for a connection to this place behind what is under way on this one, once the
 * server has shown that it keeps it (RFC 9112 §9.3.2). */
static void fill_pipeline(struct gy_get *get, struct gy_stream *stream)
{
    struct session *session = stream->session;
    while (get->pipelines && session->answered > 0 && session->users > 0 &&
           gy_h1_client_ready(&session->client, GY_HTTP_GET, false)) {
        struct gy_lease *waiting = gy_connections_share(stream);
        if (waiting == NULL) {
            return;
        }
        send_on(fetch_of(waiting), stream, true);
    }
}

/* ---- the end of a call ---- */

static void redirect(struct gy_fetch *fetch)
{
    struct gy_url to;
    const struct gy_get_options *options = fetch->get->options;
    if (fetch->redirects++ >= options->redirects) {
        gy_error_set(&fetch->error, GY_ELIMIT, "more than %u redirects", options->redirects);
    } else if (gy_url_resolve(&to, &fetch->url, fetch->location, strlen(fetch->location),
                              &fetch->error) == 0) {
        fetch->url = to;
        lease(fetch);
        return;
    }
    fetch_done(fetch, fetch->error.code);
}

static void whole(struct gy_fetch *fetch)
{
    if (fetch->redirected) {
        redirect(fetch);
        return;
    }
    fetch_done(fetch, gy_save_finish(&fetch->save, &fetch->error));
}

static void describe_failure(struct gy_fetch *fetch, const struct session *session, int reason)
{
    const char *breach = gy_h1_client_breach(&session->client);
    char stranger[GY_HTTP_STRANGER_BYTES] = "";
    if (session->answered == 0) {
        gy_http_stranger(stranger, session->first, session->first_bytes);
    }
    const char *silent = session->answered > 0 ? "" : "; does it speak HTTP at this port?";
    const char *what = stranger[0] != '\0' ? stranger
                       : breach[0] != '\0' ? breach
                       : session->cut && !gy_h1_call_unanswered(&fetch->call)
                           ? "the answer was cut short: the connection ended "
                             "without the end that TLS has for it"
                       : session->insecure[0] != '\0' ? session->insecure
                       : reason == GY_ETIMEOUT        ? "the server did not answer in time"
                       : reason == GY_ECLOSED ? "the server closed the connection without answering"
                                              : gy_error_text(reason);
    bool unheard = session->first_bytes == 0 && session->insecure[0] == '\0' &&
                   (reason == GY_ETIMEOUT || reason == GY_ECLOSED);
    gy_error_set(&fetch->error, reason, "%s%s", what, unheard ? silent : "");
}

/* The connection is there for the next user, or for the next of those whose requests are on it. */
static void go_on(struct gy_get *get, struct gy_stream *stream)
{
    struct session *session = stream->session;
    session->answered++;
    if (session->users == 0) {
        gy_connections_return(stream, true);
    } else {
        fill_pipeline(get, stream);
    }
}

/* The request was on its way when the connection ended, and nothing of an answer was seen: it may
 * go again, on another one (RFC 9112 §9.3.1). Who loses a pipeline without a word does not like
 * them, and gets none in this run (§9.3.2). */
static bool was_lost(struct gy_fetch *fetch, const struct session *session, int reason)
{
    if (!gy_h1_call_unanswered(&fetch->call)) {
        return false;
    }
    if (!fetch->piped) {
        return fetch->reused && reason == GY_ECLOSED;
    }
    fetch->get->pipelines = fetch->get->pipelines && session->ended;
    return reason == GY_ECLOSED || (fetch->reused && reason == GY_EPROTO);
}

static void on_call_closed(struct gy_h1_call *call, int reason)
{
    struct gy_fetch *fetch = call->context;
    struct gy_stream *stream = fetch->lease.context;
    struct session *session = stream->session;
    gy_assert(session->users > 0);
    session->users--;
    fetch->lease.context = NULL;
    session->ended = session->ended || fetch->error.code != 0;
    if (reason == 0 && !session->gone) {
        if (gy_h1_client_ready(&session->client, GY_HTTP_GET, false)) {
            go_on(fetch->get, stream);
        } else {
            session->ended = true;
        }
    }
    if (fetch->error.code != 0) {
        fetch_done(fetch, fetch->error.code); /* the call was given up for it */
    } else if (reason == 0) {
        whole(fetch);
    } else if (was_lost(fetch, session, reason)) {
        lease(fetch);
    } else {
        describe_failure(fetch, session, reason);
        int code = fetch->error.code;
        if (reason == GY_ECLOSED || reason == GY_ETIMEOUT) {
            try_again_or_fail(fetch, code);
        } else {
            fetch_done(fetch, code);
        }
    }
}

const struct gy_h1_call_ops gy_get_call_ops = {
    .response = gy_get_on_response, .body = gy_get_on_body, .closed = on_call_closed};

/* ---- the lease ---- */

static void on_ready(struct gy_lease *lease_of, struct gy_stream *stream, bool used)
{
    struct gy_fetch *fetch = fetch_of(lease_of);
    struct session *session = stream->session;
    if (!session->begun) {
        session->begun = true;
        gy_h1_client_init(&session->client, &fetch->get->env, &stream->out, stream,
                          stream->worker->now_ns);
    }
    send_on(fetch, stream, used);
    fill_pipeline(fetch->get, stream);
}

static void on_failed(struct gy_lease *lease_of, const struct gy_error *error)
{
    struct gy_fetch *fetch = fetch_of(lease_of);
    fetch->error = *error;
    fetch_done(fetch, error->code);
}

/* ---- all of them ---- */

static int open_worker(struct gy_get *get, struct gy_error *error)
{
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = 256,
        .blocks_max = 256,
        .pool = gy_pool_defaults(GY_RECEIVE_MULTISHOT, 0),
    };
    get->peers[0] = &get->worker;
    int code = gy_worker_open(&get->worker, &options, get->peers, error);
    if (code == GY_ENOTSUP) {
        options.pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0);
        code = gy_worker_open(&get->worker, &options, get->peers, error);
    }
    return code;
}

static int open_origins(struct gy_get *get, struct gy_get_origins *origins, struct gy_error *error)
{
    const struct gy_get_options *options = get->options;
    bool secure = origins == &get->secure;
    struct gy_connector_options connector = {
        .name = "get",
        .ops = &stream_ops,
        .context = get,
        .session_bytes = sizeof(struct session),
        .resolver = get->resolver,
        .timeout_ms = options->connect_timeout_ms,
        .attempt_timeout_ms = options->connect_timeout_ms,
        .layer = secure ? &gy_tls_layer : NULL,
        .layer_context = secure ? get->tls : NULL,
    };
    int code = gy_connector_open(&origins->connector, &get->worker, &connector, error);
    if (code != 0) {
        return code;
    }
    struct gy_connections_options pool = {
        .per_origin = options->parallel, .origins_max = 256, .waiting_max = UINT32_MAX};
    pool.seed = get->worker.now_ns;
    code = gy_connections_open(&origins->connections, &origins->connector, &pool, error);
    if (code != 0) {
        gy_connector_close(&origins->connector);
    }
    origins->open = code == 0;
    return code;
}

static int open_secure(struct gy_get *get, struct gy_error *error)
{
    int code = 0;
    if (get->tls == NULL) {
        code = gy_tls_files_open(&get->tls, &get->options->tls, NULL, error);
    }
    return code != 0 ? code : open_origins(get, &get->secure, error);
}

/* What the command line says of TLS is read at the start when a URL needs it. */
static int open_all(struct gy_get *get, struct gy_error *error)
{
    bool secure = false;
    for (uint32_t i = 0; i < get->count; i++) {
        struct gy_url url;
        secure = secure || (gy_url_parse(&url, get->fetches[i].given, NULL) == 0 && url.secure);
    }
    int code = open_origins(get, &get->plain, error);
    return code != 0 || !secure ? code : open_secure(get, error);
}

static void close_origins(struct gy_get_origins *origins)
{
    if (origins->open) {
        gy_connections_close(&origins->connections);
        gy_connector_close(&origins->connector);
        origins->open = false;
    }
}

static void close_all(struct gy_get *get)
{
    close_origins(&get->plain);
    close_origins(&get->secure);
    gy_dns_resolver_close(get->resolver);
    gy_worker_close(&get->worker);
    gy_tls_config_close(get->tls);
}

int gy_get_open(struct gy_get *get, const struct gy_get_options *options, struct gy_fetch *fetches,
                uint32_t count, struct gy_error *error)
{
    gy_assert(options->parallel > 0 && options->pipeline > 0);
    *get = (struct gy_get){.options = options, .fetches = fetches, .count = count};
    int code = open_worker(get, error);
    if (code != 0) {
        return code;
    }
    code = gy_dns_resolver_open(&get->resolver, &get->worker, NULL, error);
    if (code != 0) {
        gy_worker_close(&get->worker);
        return code;
    }
    code = open_all(get, error);
    if (code != 0) {
        close_all(get);
        return code;
    }
    gy_h1_client_env_init(&get->env, &get->worker.bump, wake);
    get->env.pipeline = options->pipeline;
    get->pipelines = options->pipeline > 1;
    return 0;
}

static void start(struct gy_get *get, struct gy_fetch *fetch)
{
    fetch->get = get;
    fetch->started = true;
    fetch->lease = (struct gy_lease){.ready = on_ready, .failed = on_failed};
    fetch->save.file = -1;
    get->active++;
    gy_timer_init(&fetch->timer, on_timer);
    gy_backoff_init(&fetch->backoff, 250, 30000, get->worker.now_ns + get->next);
    if (get->options->timeout_ms != 0) {
        fetch->until_ms = get->worker.now_ms + get->options->timeout_ms;
        arm(fetch, UINT64_MAX);
    }
    int code = gy_url_parse(&fetch->url, fetch->given, &fetch->error);
    if (code == 0) {
        code = gy_save_init(&fetch->save, get->options->head ? NULL : fetch->file,
                            get->options->resume, &fetch->error);
    }
    if (code != 0) {
        fetch_done(fetch, code);
        return;
    }
    memcpy(fetch->validator, fetch->save.validator, sizeof fetch->validator);
    fetch->length = GY_HTTP_UNKNOWN;
    lease(fetch);
}

bool gy_get_turn(struct gy_get *get, uint32_t timeout_ms)
{
    uint32_t ahead = get->pipelines ? get->options->pipeline : 1;
    while (get->active < get->options->parallel * ahead && get->next < get->count) {
        uint32_t number = get->next++;
        start(get, &get->fetches[number]);
    }
    if (get->done == get->count) {
        return false;
    }
    if (gy_worker_turn(&get->worker, (uint64_t)timeout_ms * NANOSECONDS_PER_MS) != 0) {
        for (uint32_t i = 0; i < get->count; i++) {
            if (get->fetches[i].started && !get->fetches[i].done) {
                gy_error_set(&get->fetches[i].error, GY_EIO, "the ring broke");
                fetch_done(&get->fetches[i], GY_EIO);
            }
        }
        return false;
    }
    return get->done < get->count;
}

void gy_get_close(struct gy_get *get)
{
    for (uint32_t i = 0; i < get->count; i++) {
        struct gy_fetch *fetch = &get->fetches[i];
        if (fetch->started && !fetch->done) {
            gy_timer_disarm(&get->worker.wheel, &fetch->timer);
            gy_error_set(&fetch->error, GY_ECLOSED, "stopped");
        }
    }
    gy_connections_stop(&get->plain.connections);
    if (get->secure.open) {
        gy_connections_stop(&get->secure.connections);
    }
    gy_worker_finish(&get->worker);
    for (uint32_t i = 0; i < get->count; i++) {
        if (get->fetches[i].started && !get->fetches[i].done) {
            fetch_done(&get->fetches[i], GY_ECLOSED);
        }
    }
    close_all(get);
}
