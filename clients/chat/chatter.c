/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/chat/chatter.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "clients/chat/chatter_internal.h"
#include "clients/dns/resolver.h"
#include "core/descriptor.h"
#include "core/number.h"

#define NANOSECONDS_PER_MS UINT64_C(1000000)
#define FIRST_PAUSE_MS     500
#define LAST_PAUSE_MS      30000
#define OUTPUT_BLOCKS      256 /* of GY_BUMP_BLOCK_BYTES */
#define TURN_MS            1000
#define GOODBYE_TURNS      100 /* of 10 ms, for what is still to be sent */

struct session {
    struct gy_chatter *chatter; /* NULL: nobody's */
};

void gy_chatter_fail(struct gy_chatter *chatter, int code, const char *format, ...)
{
    char text[GY_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!chatter->failed) {
        chatter->failed = true;
        gy_error_set(&chatter->error, code, "%s", text);
    }
}

/* ---- the connection ---- */

static void arm(struct gy_chatter *chatter)
{
    uint64_t due_ns = gy_chat_client_deadline(&chatter->client);
    uint64_t due_ms =
        due_ns == GY_CHAT_CLIENT_NO_DEADLINE ? UINT64_MAX : due_ns / NANOSECONDS_PER_MS + 1;
    if (chatter->dial_ms != 0 && chatter->dial_ms < due_ms) {
        due_ms = chatter->dial_ms;
    }
    if (due_ms == UINT64_MAX) {
        gy_timer_disarm(&chatter->worker.wheel, &chatter->timer);
    } else {
        gy_timer_arm(&chatter->worker.wheel, &chatter->timer, due_ms);
    }
}

void gy_chatter_flush(struct gy_chatter *chatter)
{
    gy_chat_client_flush(&chatter->client, chatter->worker.now_ns);
    if (chatter->stream != NULL) {
        gy_stream_wake(chatter->stream);
    }
    arm(chatter);
}

/* It is tried again, after a pause. */
static void lost(struct gy_chatter *chatter, const char *why)
{
    uint64_t retry_ms = chatter->retry_ms;
    struct gy_chatter_event event = {.type = GY_CHATTER_OFFLINE, .text = why};
    chatter->stream = NULL;
    gy_chat_client_lost(&chatter->client);
    gy_chatter_forget_asked(chatter);
    if (!chatter->was_in && !chatter->options.patient) {
        gy_chatter_fail(chatter, GY_ECLOSED, "%s: %s", chatter->options.server, why);
        return;
    }
    gy_chatter_queue(chatter, &event);
    uint64_t pause_ms = gy_backoff_failed(&chatter->backoff);
    chatter->dial_ms = chatter->worker.now_ms + (retry_ms > pause_ms ? retry_ms : pause_ms);
    chatter->retry_ms = 0;
    arm(chatter);
}

static uint32_t on_turn(struct gy_stream *stream)
{
    struct gy_chatter *chatter = ((struct session *)stream->session)->chatter;
    struct gy_chat_client_event event;
    int code = 0;
    if (chatter == NULL || chatter->stream != stream) {
        return GY_WANT_CLOSE;
    }
    while (chatter->event_count < CHATTER_EVENTS_MAX &&
           (code = gy_chat_client_read(&chatter->client, &stream->in, stream->worker->now_ns,
                                       &event)) == 1) {
        if (!gy_chatter_take(chatter, &event)) {
            lost(chatter, chatter->error.message);
            return GY_WANT_CLOSE;
        }
    }
    if (stream->eof && gy_chain_empty(&stream->in)) {
        lost(chatter, "the server closed the connection");
        return GY_WANT_CLOSE;
    }
    arm(chatter);
    bool full = chatter->event_count >= CHATTER_EVENTS_MAX;
    return (full ? 0 : GY_WANT_READ) | (code == GY_ENOBUFS ? GY_WANT_RETRY : 0);
}

static uint32_t on_drain(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE;
}

static void on_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    struct gy_chatter *chatter = ((struct session *)stream->session)->chatter;
    if (chatter != NULL && chatter->stream == stream) {
        lost(chatter, gy_close_reason_text(reason));
    }
}

static const struct gy_stream_ops stream_ops = {on_turn, on_turn, on_turn, on_drain, on_closed};

static void connected(struct gy_dial *of, struct gy_stream *stream)
{
    struct gy_chatter *chatter = of->context;
    chatter->dialling = false;
    if (stream == NULL) {
        if (chatter->moved) { /* not there: where it was */
            gy_chatter_move(chatter, chatter->options.server);
            chatter->moved = false;
        }
        lost(chatter, of->error.message);
        return;
    }
    chatter->stream = stream;
    ((struct session *)stream->session)->chatter = chatter;
    gy_chat_client_begin(&chatter->client, &stream->out, stream->worker->now_ns);
    gy_chatter_flush(chatter);
}

static void dial(struct gy_chatter *chatter)
{
    chatter->dial_ms = 0;
    chatter->dialling = true;
    chatter->dial.context = chatter;
    gy_dial_begin(&chatter->dial, &chatter->connector, chatter->host, chatter->port, connected);
}

static void on_timer(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_chatter *chatter =
        (struct gy_chatter *)(void *)((char *)timer - offsetof(struct gy_chatter, timer));
    struct gy_chat_client_event event;
    if (chatter->dial_ms != 0 && now_ms >= chatter->dial_ms) {
        dial(chatter);
    }
    while (chatter->event_count < CHATTER_EVENTS_MAX &&
           gy_chat_client_expire(&chatter->client, chatter->worker.now_ns, &event) == 1) {
        if (!gy_chatter_take(chatter, &event)) {
            struct gy_stream *stream = chatter->stream;
            lost(chatter, chatter->error.message);
            if (stream != NULL) {
                gy_stream_wake(stream); /* it is nobody's now, and ends */
            }
            return;
        }
    }
    gy_chatter_flush(chatter);
}

/* ---- a descriptor ---- */

static struct gy_chatter *chatter_of(struct gy_helper_job *job)
{
    return (struct gy_chatter *)(void *)((char *)job - offsetof(struct gy_chatter, job));
}

/* On the helper. */
static void wait_for_input(struct gy_helper_job *job)
{
    struct gy_chatter *chatter = chatter_of(job);
    struct pollfd sources[] = {{.fd = chatter->watched, .events = POLLIN},
                               {.fd = chatter->stop, .events = POLLIN}};
    while (poll(sources, 2, -1) < 0 && errno == EINTR) {
    }
}

static void input_came(struct gy_helper_job *job)
{
    struct gy_chatter *chatter = chatter_of(job);
    struct gy_chatter_event event = {.type = GY_CHATTER_INPUT};
    chatter->watching = false;
    gy_chatter_queue(chatter, &event);
}

int gy_chatter_watch(struct gy_chatter *chatter, int descriptor)
{
    struct gy_error error = {0};
    int code = 0;
    if (chatter->helper == NULL) {
        chatter->stop = eventfd(0, EFD_CLOEXEC);
        code = chatter->stop < 0 ? GY_ENOFILE
                                 : gy_helper_open(&chatter->helper, &chatter->worker, 1, &error);
    }
    if (code != 0 || chatter->watching) {
        return code;
    }
    chatter->watched = descriptor;
    chatter->job = (struct gy_helper_job){.run = wait_for_input, .done = input_came};
    code = gy_helper_submit(chatter->helper, &chatter->job);
    chatter->watching = code == 0;
    return code;
}

static void stop_watching(struct gy_chatter *chatter)
{
    uint64_t one = 1;
    if (chatter->watching) {
        ssize_t written = write(chatter->stop, &one, sizeof one);
        gy_assert(written == (ssize_t)sizeof one);
        while (chatter->watching &&
               gy_worker_turn(&chatter->worker, 10 * NANOSECONDS_PER_MS) == 0) {
        }
    }
    if (chatter->helper != NULL) {
        gy_helper_close(chatter->helper);
    }
    gy_descriptor_close(chatter->stop);
}

/* ---- what the program waits for ---- */

static int give(struct gy_chatter *chatter, struct gy_chatter_event *event)
{
    bool full = chatter->event_count >= CHATTER_EVENTS_MAX;
    chatter->given = STAILQ_FIRST(&chatter->events);
    STAILQ_REMOVE_HEAD(&chatter->events, entry);
    chatter->event_count--;
    *event = chatter->given->event;
    if (full && chatter->stream != NULL) {
        gy_stream_wake(chatter->stream);
    }
    return 1;
}

int gy_chatter_next(struct gy_chatter *chatter, int timeout_ms, struct gy_chatter_event *event)
{
    uint64_t until_ms = timeout_ms < 0 ? UINT64_MAX : chatter->worker.now_ms + (uint32_t)timeout_ms;
    free(chatter->given);
    chatter->given = NULL;
    while (STAILQ_EMPTY(&chatter->events) && !chatter->failed) {
        uint64_t now_ms = chatter->worker.now_ms;
        uint64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        if (gy_worker_turn(&chatter->worker,
                           (left_ms < TURN_MS ? left_ms : TURN_MS) * NANOSECONDS_PER_MS) != 0) {
            gy_chatter_fail(chatter, GY_EIO, "the ring broke");
        }
        if (left_ms == 0 && STAILQ_EMPTY(&chatter->events) && !chatter->failed) {
            return 0;
        }
    }
    if (STAILQ_EMPTY(&chatter->events)) {
        return chatter->error.code;
    }
    return give(chatter, event);
}

const char *gy_chatter_failure(const struct gy_chatter *chatter)
{
    return chatter->error.message;
}

bool gy_chatter_has_more(const struct gy_chatter *chatter)
{
    return !STAILQ_EMPTY(&chatter->events);
}

uint64_t gy_chatter_now_ms(const struct gy_chatter *chatter)
{
    return chatter->worker.now_ms;
}

/* ---- begin and end ---- */

static int read_server(struct gy_chatter *chatter, const char *server, struct gy_error *error)
{
    const char *host = server;
    const char *end = server + strlen(server);
    const char *colon = strrchr(server, ':');
    if (server[0] == '[') {
        host++;
        end = strchr(server, ']');
        colon = end != NULL && end[1] == ':' ? end + 1 : NULL;
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return gy_error_set(error, GY_EINVAL, "%s: `[` without `]`", server);
        }
    } else if (colon != NULL && strchr(server, ':') == colon) {
        end = colon;
    } else {
        colon = NULL; /* an IPv6 address has several */
    }
    size_t length = (size_t)(end - host);
    if (length == 0 || length >= sizeof chatter->host) {
        return gy_error_set(error, GY_EINVAL, "%s: no host that can be reached", server);
    }
    uint16_t number = chatter->options.layer != NULL ? GY_CHAT_TLS_PORT : GY_CHAT_PORT;
    if (colon != NULL) {
        uint64_t port;
        if (!gy_number_read(colon + 1, 1, UINT16_MAX, &port)) {
            return gy_error_set(error, GY_EINVAL, "%s: the port must be a number from 1 to 65535",
                                server);
        }
        number = (uint16_t)port;
    }
    memcpy(chatter->host, host, length);
    chatter->host[length] = '\0';
    chatter->port = number;
    return 0;
}

void gy_chatter_move(struct gy_chatter *chatter, const char *server)
{
    struct gy_error ignored = {0};
    if (server[0] != '\0' && read_server(chatter, server, &ignored) == 0) {
        chatter->moved = true;
    }
}

static int open_client(struct gy_chatter *chatter, struct gy_error *error)
{
    const struct gy_chatter_options *options = &chatter->options;
    uint64_t random;
    chatter->env = malloc(sizeof *chatter->env);
    chatter->nick = strdup(options->nick);
    const char *secret = options->token != NULL ? options->token : options->password;
    chatter->password = secret != NULL ? strdup(secret) : NULL;
    chatter->agent = strdup(options->agent != NULL ? options->agent : "gyre");
    if (chatter->env == NULL || chatter->nick == NULL || chatter->agent == NULL ||
        (secret != NULL && chatter->password == NULL)) {
        return gy_error_set(error, GY_ENOMEM, "starting to chat: out of memory");
    }
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {
        return gy_error_set(error, GY_EIO, "reading randomness: %s", strerror(errno));
    }
    size_t nick_bytes = strlen(options->nick);
    if (nick_bytes == 0 || nick_bytes > GY_CHAT_NICK_MAX) {
        return gy_error_set(error, GY_EINVAL, "nick `%s`: it has 1 to 64 bytes", options->nick);
    }
    struct gy_chat_client_options client = {
        .nick = gy_chatter_text(chatter->nick),
        .secret = gy_chatter_text(chatter->password != NULL ? chatter->password : ""),
        .agent = gy_chatter_text(chatter->agent),
        .method = options->token != NULL      ? GY_CHAT_TOKEN
                  : chatter->password != NULL ? GY_CHAT_PASSWORD
                  : options->certificate      ? GY_CHAT_CERTIFICATE
                                              : GY_CHAT_GUEST,
        .registers = options->registers,
        .features = GY_CHAT_FEATURE_TYPING | GY_CHAT_FEATURE_PRESENCE | GY_CHAT_FEATURE_ACCOUNT |
                    GY_CHAT_FEATURE_ADMIN,
        .first_client_id = (random >> 1) + 1,
        .rooms = chatter->rooms,
        .rooms_max = CHATTER_ROOMS,
        .outbox = chatter->outbox,
        .outbox_bytes = sizeof chatter->outbox,
        .token = chatter->token,
        .token_max = sizeof chatter->token,
        .window = 1, /* what is said stays in its order when the server wants it slower, too */
    };
    gy_chat_client_env_init(chatter->env, &chatter->worker.bump, &chatter->worker.links);
    gy_chat_client_init(&chatter->client, chatter->env, &client);
    gy_backoff_init(&chatter->backoff, FIRST_PAUSE_MS, LAST_PAUSE_MS, random | 1);
    return 0;
}

static int open_worker(struct gy_chatter *chatter, struct gy_error *error)
{
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = 64,
        .blocks_max = OUTPUT_BLOCKS,
        .pool = gy_pool_defaults(GY_RECEIVE_MULTISHOT, 0),
    };
    chatter->peers[0] = &chatter->worker;
    int code = gy_worker_open(&chatter->worker, &options, chatter->peers, error);
    if (code == GY_ENOTSUP) {
        options.pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0);
        code = gy_worker_open(&chatter->worker, &options, chatter->peers, error);
    }
    return code;
}

static int open_connector(struct gy_chatter *chatter, struct gy_error *error)
{
    const struct gy_chatter_options *options = &chatter->options;
    struct gy_connector_options connector = {
        .name = "chat",
        .ops = &stream_ops,
        .context = chatter,
        .session_bytes = sizeof(struct session),
        .resolver = chatter->resolver,
        .timeout_ms = options->timeout_ms,
        .attempt_timeout_ms = options->timeout_ms,
        .layer = options->layer,
        .layer_context = options->layer_context,
    };
    int code = gy_connector_open(&chatter->connector, &chatter->worker, &connector, error);
    chatter->connector_open = code == 0;
    return code;
}

int gy_chatter_open(struct gy_chatter **chatter, const struct gy_chatter_options *options,
                    struct gy_error *error)
{
    size_t bytes =
        (sizeof **chatter + GY_CACHE_LINE_BYTES - 1) & ~(size_t)(GY_CACHE_LINE_BYTES - 1);
    struct gy_chatter *opened = aligned_alloc(GY_CACHE_LINE_BYTES, bytes);
    *chatter = NULL;
    if (opened == NULL) {
        return gy_error_set(error, GY_ENOMEM, "starting to chat: out of memory");
    }
    memset(opened, 0, sizeof *opened);
    opened->options = *options;
    opened->stop = -1;
    STAILQ_INIT(&opened->events);
    TAILQ_INIT(&opened->said);
    int code = read_server(opened, opened->options.server, error);
    code = code == 0 ? open_worker(opened, error) : code;
    if (code != 0) {
        free(opened);
        return code;
    }
    gy_timer_init(&opened->timer, on_timer);
    code = gy_dns_resolver_open(&opened->resolver, &opened->worker, NULL, error);
    code = code == 0 ? open_client(opened, error) : code;
    code = code == 0 ? open_connector(opened, error) : code;
    if (code != 0) {
        gy_chatter_close(opened);
        return code;
    }
    dial(opened);
    *chatter = opened;
    return 0;
}

/* What is to be sent still, and a QUIT behind it. */
static void say_goodbye(struct gy_chatter *chatter)
{
    struct gy_chat_frame quit = {.type = GY_CHAT_QUIT};
    uint16_t tag;
    if (!gy_chat_client_is_in(&chatter->client) ||
        gy_chat_client_ask(&chatter->client, &quit, &tag) != 0) {
        return;
    }
    chatter->was_in = true;
    gy_chatter_flush(chatter);
    for (int i = 0; i < GOODBYE_TURNS && chatter->stream != NULL && !chatter->failed; i++) {
        if (gy_worker_turn(&chatter->worker, 10 * NANOSECONDS_PER_MS) != 0) {
            return;
        }
    }
}

void gy_chatter_close(struct gy_chatter *chatter)
{
    if (chatter == NULL) {
        return;
    }
    if (chatter->connector_open) {
        say_goodbye(chatter);
        gy_dial_cancel(&chatter->dial);
        if (chatter->stream != NULL) {
            struct gy_stream *stream = chatter->stream;
            chatter->stream = NULL;
            gy_chat_client_lost(&chatter->client);
            gy_stream_abort(stream, GY_CLOSE_LOCAL);
        }
    }
    stop_watching(chatter);
    if (chatter->connector_open) {
        gy_timer_disarm(&chatter->worker.wheel, &chatter->timer);
        gy_worker_finish(&chatter->worker);
        gy_connector_close(&chatter->connector);
    }
    if (chatter->resolver != NULL) {
        gy_dns_resolver_close(chatter->resolver);
    }
    gy_worker_close(&chatter->worker);
    gy_chatter_clear_events(chatter);
    if (chatter->password != NULL) {
        explicit_bzero(chatter->password, strlen(chatter->password));
    }
    free(chatter->password);
    free(chatter->nick);
    free(chatter->agent);
    free(chatter->env);
    free(chatter);
}
