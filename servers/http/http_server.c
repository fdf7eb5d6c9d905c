/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/http_server.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "core/asan.h"
#include "core/clock.h"
#include "core/worker.h"
#include "protocols/http/h1_heads.h"
#include "servers/serve.h"

_Static_assert((int)GY_WANT_READ == GY_H1_READ && (int)GY_WANT_ROOM == GY_H1_ROOM &&
                   (int)GY_WANT_RETRY == GY_H1_RETRY && (int)GY_WANT_SHUTDOWN == GY_H1_SHUTDOWN &&
                   (int)GY_WANT_CLOSE == GY_H1_CLOSE && (int)GY_WANT_LINGER == GY_H1_LINGER,
               "what a connection wants is what its stream is asked for");

#define DEFAULT_EXCHANGES         65536
#define DEFAULT_DRAIN_PATIENCE_MS 1000
#define NANOSECONDS_PER_MS        1000000u

/* Twice GY_SEND_BYTES_MAX: while one is under way the next is ready. With 64 KiB a file of a
 * mebibyte took 17.6 submissions and 304 to 359 us, with this 9.3 and 288 to 302. */
#define OUTPUT_HIGH_BYTES 262144

/* Of what is in memory in any case: two long sends, and the head and what came before it. */
#define OUTPUT_MEMORY_BYTES (2 * GY_SEND_LONG_BYTES + 65536)

/* What the connections of one worker share. */
struct gy_http_worker {
    struct gy_h1_env env;
    const struct gy_http_server *shared;
    struct gy_slab exchanges, tunnels;
    struct gy_h1_heads heads;
    size_t mapped_bytes;  /* this struct and the slabs behind it */
    uint64_t date_due_ms; /* on the worker's clock: when the Date field is out of date */
    struct gy_http_counts *counts;
    struct gy_access_queue *queue; /* of the access log; NULL: there is none */
    uint64_t prompt; /* requests answered in the turn that parsed them, not yet timed */
};

struct http_session {
    struct gy_h1 h1;
    struct gy_access_peer peer; /* looked up for the first line of the access log */
};

/* ---- per worker ---- */

/* The worker's clock is read once a turn; the wall clock only when a second of it has passed. */
static void refresh_date(struct gy_http_worker *http, const struct gy_worker *worker)
{
    if (worker->now_ms < http->date_due_ms) {
        return;
    }
    struct timespec now;
    char date[GY_HTTP_DATE_BYTES];
    clock_gettime(CLOCK_REALTIME, &now);
    gy_http_date((uint64_t)now.tv_sec, date);
    gy_h1_env_date(&http->env, date);
    http->date_due_ms = worker->now_ms + 1000 - (uint64_t)now.tv_nsec / NANOSECONDS_PER_MS;
}

static void session_wake(struct gy_h1 *h1)
{
    gy_stream_wake(h1->owner);
}

static void write_access(struct gy_http_worker *http, struct gy_stream *stream,
                         const struct gy_h1_record *record, uint64_t now_ns)
{
    struct http_session *session = stream->session;
    if (!session->peer.known) {
        gy_access_peer_of(&session->peer, stream->descriptor);
    }
    struct gy_access_entry entry = {
        .peer = &session->peer,
        .exchange = record->exchange,
        .status = record->status,
        .minor = record->minor,
        .body_bytes = record->body_bytes,
        .duration_ns = now_ns - record->begun_ns,
        .cut = record->reason != 0 && record->exchange != NULL,
    };
    gy_count(&http->counts->log_lines, 1);
    if (gy_access_queue_write(http->queue, &entry, stream->worker->now_ms) != 0) {
        gy_count(&http->counts->log_dropped, 1);
    }
}

/* A request is over. Those that were parsed in this turn are timed together at its end. */
static void request_over(struct gy_h1_env *env, const struct gy_h1_record *record)
{
    struct gy_http_worker *http =
        (struct gy_http_worker *)((char *)env - offsetof(struct gy_http_worker, env));
    struct gy_stream *stream = record->connection->owner;
    bool answered = record->exchange != NULL && record->reason == 0;
    bool prompt = record->begun_ns == stream->worker->now_ns;
    if (answered && prompt) {
        http->prompt++;
    }
    if ((answered && !prompt) || __builtin_expect(http->queue != NULL, 0)) {
        uint64_t now_ns = gy_clock_ns();
        if (answered && !prompt) {
            gy_histogram_add(&http->counts->latency, now_ns - record->begun_ns, 1);
        }
        if (http->queue != NULL) {
            write_access(http, stream, record, now_ns);
        }
    }
}

static void request_over_told(struct gy_h1_env *env, const struct gy_h1_record *record)
{
    const struct gy_http_worker *http =
        (struct gy_http_worker *)((char *)env - offsetof(struct gy_http_worker, env));
    const struct gy_stream *stream = record->connection->owner;
    http->shared->over(http->shared->context, stream->worker->options.number, record);
    request_over(env, record);
}

/* The value of the Server field; NULL: none. */
static const char *server_name(const struct gy_http_server *shared)
{
    const char *name = shared->name != NULL ? shared->name : "gyre";
    return name[0] != '\0' ? name : NULL;
}

/* What somebody else may have sent before must change nothing (RFC 8470 §3). */
static bool too_early(const struct gy_http_exchange *exchange)
{
    const struct gy_stream *stream = gy_http_stream(exchange);
    enum gy_http_method method = gy_http_method(exchange);
    bool safe =
        (method == GY_HTTP_GET || method == GY_HTTP_HEAD) && gy_http_protocol(exchange).length == 0;
    return !safe && stream->layer != NULL && stream->layer->unproven;
}

static void early_request(struct gy_http_exchange *exchange)
{
    struct gy_http_server *shared = gy_http_context(exchange);
    if (too_early(exchange)) {
        gy_http_answer_error(exchange, 425, NULL);
        return;
    }
    exchange->handler = shared->handler;
    exchange->context = shared->context;
    shared->handler->request(exchange);
}

static const struct gy_http_handler early_handler = {.request = early_request};

static int http_worker_open(struct gy_worker *worker, const struct gy_server *server, void **state,
                            struct gy_error *error)
{
    struct gy_http_server *shared = server->context;
    uint32_t count = shared->exchanges_max != 0 ? shared->exchanges_max : DEFAULT_EXCHANGES;
    size_t exchanges_bytes = gy_slab_bytes(gy_h1_exchange_bytes(), count);
    size_t tunnels_bytes = gy_slab_bytes(gy_h1_tunnel_bytes(), count);
    tunnels_bytes = (tunnels_bytes + GY_SLAB_ALIGN - 1) & ~(size_t)(GY_SLAB_ALIGN - 1);
    size_t bytes = sizeof(struct gy_http_worker) + GY_SLAB_ALIGN + exchanges_bytes + tunnels_bytes +
                   gy_h1_heads_bytes(count);
    struct gy_http_worker *http = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (http == MAP_FAILED) {
        return gy_error_set(error, GY_ENOMEM, "preparing %s for %u requests at once: out of memory",
                            server->name, count);
    }
    uintptr_t items = ((uintptr_t)(http + 1) + GY_SLAB_ALIGN - 1) & ~(uintptr_t)(GY_SLAB_ALIGN - 1);
    http->mapped_bytes = bytes;
    gy_slab_init(&http->exchanges, (void *)items, exchanges_bytes, gy_h1_exchange_bytes());
    uint8_t *tunnels = (uint8_t *)items + exchanges_bytes;
    gy_slab_init(&http->tunnels, tunnels, tunnels_bytes, gy_h1_tunnel_bytes());
    gy_h1_heads_init(&http->heads, tunnels + tunnels_bytes, count);
    int code = gy_h1_env_init(&http->env, shared->early_data ? &early_handler : shared->handler,
                              shared->early_data ? shared : shared->context, &http->exchanges,
                              &worker->bump, session_wake, server_name(shared));
    if (code != 0) {
        gy_unpoison(http, bytes);
        munmap(http, bytes);
        return gy_error_set(error, code, "preparing %s: `%s` cannot be the Server field",
                            server->name, shared->name);
    }
    http->env.heads = &http->heads;
    http->env.tunnels = &http->tunnels;
    http->env.limits = shared->limits != NULL ? *shared->limits : gy_http_limits_defaults();
    gy_assert(worker->options.number < GY_HTTP_WORKERS_MAX);
    http->counts = &shared->counts[worker->options.number];
    if (shared->access_log != NULL) {
        http->queue = gy_access_log_queue(shared->access_log, worker->options.number);
    }
    http->env.over = shared->over != NULL ? request_over_told : request_over;
    refresh_date(http, worker);
    http->shared = shared;
    if (shared->worker_open != NULL) {
        code = shared->worker_open(shared->context, worker, error);
        if (code != 0) {
            gy_unpoison(http, bytes);
            munmap(http, bytes);
            return code;
        }
    }
    *state = http;
    return 0;
}

static void http_worker_close(struct gy_worker *worker, void *state)
{
    struct gy_http_worker *http = state;
    if (http->shared->worker_close != NULL) {
        http->shared->worker_close(http->shared->context, worker);
    }
    size_t bytes = http->mapped_bytes;
    gy_unpoison(http, bytes);
    munmap(http, bytes);
}

/* ---- one connection ---- */

static struct http_session *session_of(struct gy_stream *stream)
{
    return stream->session;
}

static struct gy_http_worker *http_of(struct gy_stream *stream)
{
    return stream->endpoint->state;
}

static void follow_deadline(struct gy_stream *stream)
{
    uint64_t deadline_ns = gy_h1_deadline(&session_of(stream)->h1);
    /* Rounded up: an early timer would only ask again. */
    gy_stream_set_deadline(
        stream, deadline_ns == GY_H1_NO_DEADLINE ? 0 : deadline_ns / NANOSECONDS_PER_MS + 1);
}

/* Counts the connection with its address, whose number in the table is its ticket. False: there are
 * too many of them. */
static bool http_admit(struct gy_endpoint *endpoint, int descriptor, uint32_t *ticket)
{
    const struct gy_http_worker *http = endpoint->state;
    struct gy_http_counts *counts = http->counts;
    struct gy_access_peer peer;
    if (http->shared->visitors == NULL) {
        return true;
    }
    gy_access_peer_of(&peer, descriptor);
    switch (gy_visitors_enter(http->shared->visitors, peer.family, peer.address, ticket)) {
    case 0:
        return true;
    case GY_ELIMIT:
        gy_count(&counts->limited_connections, 1);
        return false;
    default:
        gy_count(&counts->limited_not, 1);
        return true;
    }
}

static void http_left(struct gy_endpoint *endpoint, uint32_t ticket)
{
    const struct gy_http_worker *http = endpoint->state;
    gy_visitors_leave(http->shared->visitors, ticket);
}

static uint32_t http_open(struct gy_stream *stream)
{
    struct gy_http_worker *http = http_of(stream);
    session_of(stream)->peer.known = false;
    gy_h1_init(&session_of(stream)->h1, &http->env, &stream->out, stream, stream->layer != NULL,
               stream->worker->now_ns);
    follow_deadline(stream);
    return gy_h1_wants(&session_of(stream)->h1, &stream->in);
}

/* After whatever the connection did: what was counted becomes visible, what was answered is timed.
 */
static void publish(struct gy_stream *stream, uint32_t wants)
{
    struct gy_http_worker *http = http_of(stream);
    if (http->prompt > 0) {
        gy_histogram_add(&http->counts->latency, gy_clock_ns() - stream->worker->now_ns,
                         http->prompt);
        http->prompt = 0;
    }
    gy_http_counts_publish(http->counts, &http->env.counters);
    if (wants & GY_H1_CLOSE) {
        gy_http_counts_publish_refusals(http->counts, &http->env.counters);
    }
}

static uint32_t http_turn(struct gy_stream *stream)
{
    struct gy_http_worker *http = http_of(stream);
    refresh_date(http, stream->worker);
    uint32_t wants =
        gy_h1_turn(&session_of(stream)->h1, &stream->in, stream->eof, stream->worker->now_ns);
    publish(stream, wants);
    follow_deadline(stream);
    return wants;
}

static uint32_t http_expire(struct gy_stream *stream)
{
    struct gy_h1 *h1 = &session_of(stream)->h1;
    refresh_date(http_of(stream), stream->worker);
    bool idle = gy_h1_wants(h1, &stream->in) & GY_H1_IDLE;
    gy_h1_expire(h1, stream->worker->now_ns);
    uint32_t wants = gy_h1_wants(h1, &stream->in);
    if (wants & GY_H1_CLOSE) {
        gy_count(idle ? &stream->worker->counters.timeouts_idle
                      : &stream->worker->counters.timeouts_header,
                 1);
    }
    publish(stream, wants);
    follow_deadline(stream);
    return wants;
}

static uint32_t http_drain(struct gy_stream *stream)
{
    struct gy_h1 *h1 = &session_of(stream)->h1;
    const struct gy_http_server *shared = stream->endpoint->context;
    uint32_t patience_ms =
        shared->drain_patience_ms != 0 ? shared->drain_patience_ms : DEFAULT_DRAIN_PATIENCE_MS;
    gy_h1_drain(h1, stream->worker->now_ns, patience_ms);
    follow_deadline(stream);
    return gy_h1_wants(h1, &stream->in);
}

static int close_code(enum gy_close_reason reason)
{
    switch (reason) {
    case GY_CLOSE_LOCAL:
    case GY_CLOSE_DRAIN:
        return 0;
    case GY_CLOSE_TIMEOUT:
        return GY_ETIMEOUT;
    case GY_CLOSE_LIMIT:
        return GY_ELIMIT;
    default:
        return GY_ECLOSED;
    }
}

static void http_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    gy_h1_close(&session_of(stream)->h1, close_code(reason));
    publish(stream, GY_H1_CLOSE);
}

static const struct gy_stream_ops http_ops = {
    .open = http_open,
    .turn = http_turn,
    .expire = http_expire,
    .drain = http_drain,
    .closed = http_closed,
};

/* ---- what users call ---- */

struct gy_h1_limits gy_http_limits_defaults(void)
{
    struct gy_h1_limits limits = gy_h1_limits_defaults();
    limits.output_high = OUTPUT_HIGH_BYTES;
    limits.output_memory = OUTPUT_MEMORY_BYTES;
    return limits;
}

void gy_http_server_init(struct gy_server *server, struct gy_http_server *http,
                         const int *descriptors)
{
    gy_assert(http->handler != NULL && http->handler->request != NULL);
    *server = (struct gy_server){
        .name = "http",
        .ops = &http_ops,
        .context = http,
        .session_bytes = sizeof(struct http_session),
        .limits = http->stream,
        .worker_open = http_worker_open,
        .worker_close = http_worker_close,
        .admit = http_admit,
        .left = http_left,
        .layer = http->layer,
        .layer_context = http->layer_context,
        .descriptors = descriptors,
    };
}

struct gy_stream *gy_http_stream(const struct gy_http_exchange *exchange)
{
    return gy_http_connection(exchange);
}

uint64_t gy_http_charge(const struct gy_http_exchange *exchange)
{
    struct gy_stream *stream = gy_http_stream(exchange);
    const struct gy_http_worker *http = http_of(stream);
    if (http->shared->visitors == NULL) {
        return 0;
    }
    uint64_t wait_ns =
        gy_visitors_charge(http->shared->visitors, stream->ticket, stream->worker->now_ns);
    if (wait_ns > 0) {
        gy_count(&http->counts->limited_requests, 1);
    }
    return wait_ns / NANOSECONDS_PER_MS + (wait_ns > 0);
}

uint64_t gy_http_requests(const struct gy_http_server *http)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < GY_HTTP_WORKERS_MAX; i++) {
        sum += gy_counter_read(&http->counts[i].requests);
    }
    return sum;
}

int gy_http_serve(const struct gy_http_handler *handler, void *context, const char *address)
{
    static struct gy_http_server http;
    http.handler = handler;
    http.context = context;
    struct gy_serve_options options = gy_serve_defaults();
    options.addresses[options.address_count++] = address;
    return gy_serve_http(&options, &http);
}
