/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "core/share.h"
#include "core/worker.h"

#define PAUSE_MS 100
/* Connections taken from the backlog by one gy_listener_stop; more than any backlog holds. */
#define TAKE_MAX 65536

static void pause_ended(struct gy_timer *timer, uint64_t now_ms)
{
    (void)now_ms;
    gy_listener_arm((struct gy_listener *)((char *)timer - offsetof(struct gy_listener, pause)));
}

/* Receive buffers that no other listener's streams can use up. */
static int open_pool(struct gy_listener *listener, uint32_t slot, struct gy_error *error)
{
    struct gy_worker *worker = listener->endpoint.worker;
    struct gy_pool_options options = worker->options.pool;
    options.group = (uint16_t)(options.group + slot);
    int code = gy_pool_open(&listener->pool, worker->ring, &options, error);
    if (code == 0) {
        listener->endpoint.pool = listener->pool;
        listener->endpoint.starved = &listener->starved;
    }
    return code;
}

int gy_listener_open(struct gy_listener *listener, struct gy_worker *worker,
                     const struct gy_server *server, uint32_t slot, struct gy_error *error)
{
    *listener = (struct gy_listener){
        .server = server,
        .descriptor = server->descriptors[worker->options.number],
        .slot = slot,
    };
    TAILQ_INIT(&listener->starved);
    gy_timer_init(&listener->pause, pause_ended);
    struct gy_endpoint_options options = {
        .name = server->name,
        .ops = server->ops,
        .context = server->context,
        .session_bytes = server->session_bytes,
        .limits = server->limits,
        .quota_bytes = server->quota_bytes,
        .connections_max = server->connections_max,
        .layer = server->layer,
        .layer_context = server->layer_context,
    };
    int code = gy_endpoint_open(&listener->endpoint, worker, &options, error);
    if (code != 0) {
        return code;
    }
    listener->endpoint.left = server->left;
    listener->endpoint.flood.slot = slot;
    code = worker->options.shares && slot > 0 ? open_pool(listener, slot, error) : 0;
    if (code == 0 && server->worker_open != NULL) {
        code = server->worker_open(worker, server, &listener->endpoint.state, error);
    }
    if (code != 0) {
        gy_pool_close(listener->pool);
        listener->pool = NULL;
        gy_endpoint_close(&listener->endpoint);
    }
    return code;
}

/* How many accepts may be in flight. */
static uint32_t accepts_max(const struct gy_worker *worker)
{
    if (!worker->options.shares) {
        return 1;
    }
    return gy_worker_is_crowded(worker) ? GY_LISTENER_ACCEPTS_CROWDED : GY_LISTENER_ACCEPTS;
}

/* More may wait where a turn took as many as it may; those that are armed from times when nobody
 * else was at work come on top of these once. */
static void count_taken(struct gy_listener *listener)
{
    struct gy_worker *worker = listener->endpoint.worker;
    uint64_t turn = gy_counter_read(&worker->counters.turns);
    gy_share_at_work(&listener->endpoint);
    listener->taken = listener->turn == turn ? listener->taken + 1 : 1;
    listener->turn = turn;
    if (listener->taken == GY_LISTENER_ACCEPTS_CROWDED &&
        accepts_max(worker) == GY_LISTENER_ACCEPTS_CROWDED) {
        gy_count(&worker->counters.accepts_bounded, 1);
    }
}

void gy_listener_arm(struct gy_listener *listener)
{
    struct gy_worker *worker = listener->endpoint.worker;
    bool shares = worker->options.shares;
    if (listener->closing || gy_timer_armed(&listener->pause)) {
        return;
    }
    while (listener->armed < accepts_max(worker)) {
        if (gy_ring_accept(worker->ring, gy_token(GY_OPERATION_ACCEPT, listener->slot, 1),
                           listener->descriptor, !shares) != 0) {
            gy_timer_arm(&worker->wheel, &listener->pause, worker->now_ms + 1);
            return;
        }
        listener->armed++;
    }
}

static void refuse(struct gy_listener *listener, int descriptor)
{
    gy_assert(descriptor >= 0);
    gy_count(&listener->endpoint.worker->counters.connections_refused, 1);
    gy_log_limited(
        GY_LOG_WARN, "listener",
        "%s: connection refused: %u are open on this worker, and there is no room for more",
        listener->server->name, listener->endpoint.connections);
    gy_worker_close_descriptor(listener->endpoint.worker, descriptor);
}

static void begin_stream(struct gy_listener *listener, int descriptor)
{
    struct gy_endpoint *endpoint = &listener->endpoint;
    uint32_t ticket = 0;
    if (!gy_endpoint_has_room(endpoint)) {
        refuse(listener, descriptor);
        return;
    }
    if (listener->server->admit != NULL &&
        !listener->server->admit(endpoint, descriptor, &ticket)) {
        gy_count(&endpoint->worker->counters.connections_refused, 1);
        gy_worker_close_descriptor(endpoint->worker, descriptor);
        return;
    }
    struct gy_stream *stream = gy_stream_open(endpoint, descriptor, ticket);
    if (stream == NULL) {
        if (ticket != 0) {
            endpoint->left(endpoint, ticket);
        }
        refuse(listener, descriptor);
    } else if (listener->closing) {
        gy_stream_drain(stream);
    }
}

/* For good: other processes share the open file, and one that made it wait again would do so while
 * another is in accept4(2). The ring's accept waits all the same. */
static void stop_blocking(int descriptor)
{
    int flags = fcntl(descriptor, F_GETFL);
    if ((flags & O_NONBLOCK) == 0) {
        fcntl(descriptor, F_SETFL, flags | O_NONBLOCK);
    }
}

/* Out of descriptors: the reserve is given up so that the client at the head of the backlog can be
 * told (by a close) rather than left waiting, then accepting rests for a moment. */
static void pause_accepting(struct gy_listener *listener, int errno_value)
{
    struct gy_worker *worker = listener->endpoint.worker;
    gy_count(&worker->counters.accept_pauses, 1);
    gy_log_limited(
        GY_LOG_WARN, "listener",
        "%s: accepting pauses for %d ms: %s; raise the limit on open files (`ulimit -n`)",
        listener->server->name, PAUSE_MS, strerror(errno_value));
    if (worker->reserve_descriptor >= 0) {
        close(worker->reserve_descriptor);
        stop_blocking(listener->descriptor);
        int descriptor = accept4(listener->descriptor, NULL, NULL, SOCK_CLOEXEC);
        if (descriptor >= 0) {
            gy_count(&worker->counters.connections_refused, 1);
            close(descriptor);
        }
        worker->reserve_descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    gy_timer_arm(&worker->wheel, &listener->pause, worker->now_ms + PAUSE_MS);
}

static void take_backlog(struct gy_listener *listener);

static void close_when_idle(struct gy_listener *listener)
{
    if (listener->armed == 0 && !listener->closed) {
        /* A connection wakes one of the processes that wait for it. If that was this one, just as
         * its accept was being cancelled, no other knows: it would wait for the next to come. */
        take_backlog(listener);
        listener->closed = true;
        gy_worker_close_descriptor(listener->endpoint.worker, listener->descriptor);
        listener->descriptor = -1;
    }
}

/* Errors of one connection (accept(2)) or of one accept operation: the next may follow at once. For
 * any other, and those of a host that has run out of something, accepting rests for a moment. */
static bool passes_by_itself(int errno_value)
{
    switch (errno_value) {
    case ECANCELED:
    case EINTR:
    case EAGAIN:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
        return true;
    default:
        return false;
    }
}

void gy_listener_accepted(struct gy_listener *listener, const struct gy_completion *completion)
{
    gy_assert(listener->armed > 0);
    if (!(completion->flags & GY_COMPLETION_MORE)) {
        listener->armed--;
    }
    if (completion->result >= 0 && listener->endpoint.worker->options.shares) {
        count_taken(listener);
    }
    if (completion->result >= 0) {
        begin_stream(listener, completion->result);
    } else if (!listener->closing && !passes_by_itself(-completion->result)) {
        pause_accepting(listener, -completion->result);
    }
    if (listener->closing) {
        close_when_idle(listener);
    } else if (!listener->endpoint.worker->options.shares) {
        gy_listener_arm(listener);
    }
}

static void take_backlog(struct gy_listener *listener)
{
    stop_blocking(listener->descriptor);
    for (int i = 0; i < TAKE_MAX; i++) {
        int descriptor = accept4(listener->descriptor, NULL, NULL, SOCK_CLOEXEC);
        if (descriptor >= 0) {
            begin_stream(listener, descriptor);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            break;
        }
    }
}

void gy_listener_stop(struct gy_listener *listener, bool take_waiting)
{
    if (listener->closed) {
        return;
    }
    if (!listener->closing) {
        listener->closing = true;
        gy_timer_disarm(&listener->endpoint.worker->wheel, &listener->pause);
        if (take_waiting) {
            take_backlog(listener);
        }
    }
    if (listener->armed > 0 && !listener->cancelled) {
        /* By token, not by descriptor: a replacing process accepts on the same socket. */
        listener->cancelled =
            gy_ring_cancel_token(listener->endpoint.worker->ring, gy_token(GY_OPERATION_NONE, 0, 0),
                                 gy_token(GY_OPERATION_ACCEPT, listener->slot, 1)) == 0;
    }
    close_when_idle(listener);
}

void gy_listener_close(struct gy_listener *listener)
{
    if (listener->server->worker_close != NULL) {
        listener->server->worker_close(listener->endpoint.worker, listener->endpoint.state);
    }
    gy_endpoint_close(&listener->endpoint);
    gy_pool_close(listener->pool);
    listener->pool = NULL;
}
