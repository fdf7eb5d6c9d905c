/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/connections.h"

#include <stdlib.h>
#include <string.h>

#include "core/worker.h"

struct gy_origin {
    struct gy_connections *pool; /* NULL: this place is free */
    char host[GY_NAME_BYTES + 1];
    uint16_t port;
    uint32_t open;    /* connections */
    uint32_t dialled; /* being dialled */
    uint32_t idling;
    struct gy_connection *idle; /* the most recently used first */
    struct gy_lease_queue waiting;
    uint32_t waiting_count;
    struct gy_timer timer; /* serves the queue; later, while the origin fails */
    struct gy_backoff backoff;
    uint64_t retry_ms; /* not dialled before */
};

struct gy_origin_dial {
    struct gy_dial dial;
    struct gy_origin *origin; /* NULL: this place is free */
};

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static struct gy_worker *worker_of(const struct gy_origin *origin)
{
    return origin->pool->connector->endpoint.worker;
}

static void serve_at(struct gy_origin *origin, uint64_t due_ms)
{
    if (!gy_timer_armed(&origin->timer) || origin->timer.due_ms > due_ms) {
        gy_timer_arm(&worker_of(origin)->wheel, &origin->timer, due_ms);
    }
}

static void serve_soon(struct gy_origin *origin)
{
    serve_at(origin, worker_of(origin)->now_ms);
}

/* ---- idle connections ---- */

static void idle_leave(struct gy_connection *connection)
{
    struct gy_origin *origin = connection->origin;
    gy_assert(connection->link != NULL && origin->idling > 0);
    *connection->link = connection->next;
    if (connection->next != NULL) {
        connection->next->link = connection->link;
    }
    connection->next = NULL;
    connection->link = NULL;
    origin->idling--;
    gy_timer_disarm(&worker_of(origin)->wheel, &connection->idle);
}

static void idle_expired(struct gy_timer *timer, uint64_t now_ms)
{
    (void)now_ms;
    struct gy_connection *connection =
        (struct gy_connection *)((char *)timer - offsetof(struct gy_connection, idle));
    connection->origin->pool->counters.idle_ended++;
    idle_leave(connection);
    gy_stream_abort(connection->stream, GY_CLOSE_LOCAL);
}

static void idle_enter(struct gy_connection *connection)
{
    struct gy_origin *origin = connection->origin;
    gy_assert(connection->link == NULL);
    connection->next = origin->idle;
    connection->link = &origin->idle;
    if (connection->next != NULL) {
        connection->next->link = &connection->next;
    }
    origin->idle = connection;
    origin->idling++;
    gy_timer_init(&connection->idle, idle_expired);
    struct gy_worker *worker = worker_of(origin);
    gy_timer_arm(&worker->wheel, &connection->idle, worker->now_ms + origin->pool->options.idle_ms);
}

static bool healthy(const struct gy_stream *stream)
{
    return stream->state == GY_STREAM_OPEN && !stream->eof && stream->in.length == 0 &&
           !stream->draining;
}

/* A healthy idle connection, or NULL. The peer may have ended one a moment ago: that one closes by
 * itself. */
static struct gy_connection *idle_take(struct gy_origin *origin)
{
    while (origin->idle != NULL) {
        struct gy_connection *connection = origin->idle;
        idle_leave(connection);
        if (healthy(connection->stream)) {
            return connection;
        }
        origin->pool->counters.broken++;
        gy_stream_abort(connection->stream, GY_CLOSE_LOCAL);
    }
    return NULL;
}

/* ---- serving the queue ---- */

static struct gy_lease *waiting_take(struct gy_origin *origin)
{
    struct gy_lease *lease = TAILQ_FIRST(&origin->waiting);
    if (lease != NULL) {
        gy_connections_cancel(lease);
    }
    return lease;
}

static void hand_over(struct gy_connection *connection, struct gy_lease *lease)
{
    struct gy_connections_counters *counters = &connection->origin->pool->counters;
    bool used = connection->uses > 0;
    connection->uses++;
    counters->leased_used += used;
    counters->leased_new += !used;
    lease->ready(lease, connection->stream, used);
}

static struct gy_lease *out_of_tries(struct gy_origin *origin)
{
    struct gy_lease *lease = TAILQ_FIRST(&origin->waiting);
    while (lease != NULL && lease->tries > 0) {
        lease = TAILQ_NEXT(lease, entry);
    }
    return lease;
}

/* It would be the same again. */
static bool is_final(int code)
{
    return code == GY_EPROTO || code == GY_ENOTFOUND || code == GY_EINVAL;
}

static void failed(struct gy_origin *origin, const struct gy_error *error)
{
    origin->pool->counters.dials_failed++;
    struct gy_worker *worker = worker_of(origin);
    origin->retry_ms = worker->now_ms + gy_backoff_failed(&origin->backoff);
    struct gy_lease *lease = TAILQ_FIRST(&origin->waiting);
    for (; lease != NULL; lease = TAILQ_NEXT(lease, entry)) {
        gy_assert(lease->tries > 0);
        lease->tries = is_final(error->code) ? 0 : lease->tries - 1;
    }
    /* Those that are told may take new leases, which have tries, and cancel others. */
    while ((lease = out_of_tries(origin)) != NULL) {
        gy_connections_cancel(lease);
        lease->failed(lease, error);
    }
    if (origin->waiting_count > 0) {
        serve_at(origin, origin->retry_ms);
    }
}

static void dial_done(struct gy_dial *dial, struct gy_stream *stream)
{
    struct gy_origin_dial *place = (struct gy_origin_dial *)dial;
    struct gy_origin *origin = place->origin;
    gy_assert(origin != NULL && origin->dialled > 0);
    origin->dialled--;
    if (stream == NULL) {
        struct gy_error error = dial->error;
        place->origin = NULL;
        failed(origin, &error);
        serve_soon(origin);
        return;
    }
    place->origin = NULL;
    gy_backoff_worked(&origin->backoff);
    origin->retry_ms = 0;
    origin->open++;
    struct gy_connection *connection = gy_connection_of(stream);
    connection->origin = origin;
    struct gy_lease *lease = waiting_take(origin);
    if (lease == NULL) {
        idle_enter(connection);
    } else {
        hand_over(connection, lease);
    }
    serve_soon(origin);
}

static bool dial(struct gy_origin *origin)
{
    struct gy_connections *pool = origin->pool;
    for (uint32_t i = 0; i < pool->options.dials_max; i++) {
        struct gy_origin_dial *place = &pool->dials[i];
        if (place->origin == NULL) {
            place->origin = origin;
            origin->dialled++;
            gy_dial_begin(&place->dial, pool->connector, origin->host, origin->port, dial_done);
            return true;
        }
    }
    return false; /* one that ends serves all queues */
}

/* Nobody wants anything of it. */
static void forget_if_unused(struct gy_origin *origin)
{
    /* Its failures are remembered as long as they count. */
    if (origin->open == 0 && origin->dialled == 0 && origin->waiting_count == 0 &&
        origin->retry_ms <= worker_of(origin)->now_ms) {
        gy_timer_disarm(&worker_of(origin)->wheel, &origin->timer);
        origin->pool = NULL;
    }
}

static void serve(struct gy_origin *origin)
{
    struct gy_connections *pool = origin->pool;
    struct gy_worker *worker = worker_of(origin);
    while (origin->waiting_count > 0 && origin->idle != NULL) {
        struct gy_connection *connection = idle_take(origin);
        if (connection != NULL) {
            hand_over(connection, waiting_take(origin));
        }
    }
    if (origin->waiting_count > 0 && origin->retry_ms > worker->now_ms) {
        serve_at(origin, origin->retry_ms);
        return;
    }
    while (origin->dialled < origin->waiting_count &&
           origin->open + origin->dialled < pool->options.per_origin) {
        if (!dial(origin)) {
            return;
        }
    }
    forget_if_unused(origin);
}

static void on_timer(struct gy_timer *timer, uint64_t now_ms)
{
    (void)now_ms;
    struct gy_origin *origin =
        (struct gy_origin *)((char *)timer - offsetof(struct gy_origin, timer));
    struct gy_connections *pool = origin->pool;
    uint32_t dials = 0;
    serve(origin);
    /* Origins that found no place to dial from are served when there is one. */
    for (uint32_t i = 0; i < pool->options.dials_max; i++) {
        dials += pool->dials[i].origin != NULL;
    }
    for (uint32_t i = 0; dials < pool->options.dials_max && i < pool->options.origins_max; i++) {
        struct gy_origin *other = &pool->origins[i];
        if (other->pool != NULL && other->waiting_count > other->dialled &&
            !gy_timer_armed(&other->timer) &&
            other->open + other->dialled < pool->options.per_origin) {
            serve_soon(other);
        }
    }
}

static void on_lost(struct gy_connection *connection)
{
    struct gy_origin *origin = connection->origin;
    if (connection->link != NULL) {
        origin->pool->counters.broken++;
        idle_leave(connection);
    }
    gy_assert(origin->open > 0);
    origin->open--;
    serve_soon(origin);
}

/* ---- what users call ---- */

int gy_connections_open(struct gy_connections *pool, struct gy_connector *connector,
                        const struct gy_connections_options *options, struct gy_error *error)
{
    *pool = (struct gy_connections){.connector = connector, .options = *options};
    struct gy_connections_options *own = &pool->options;
    own->origins_max = or_default(own->origins_max, 64);
    own->per_origin = or_default(own->per_origin, 6);
    own->dials_max = or_default(own->dials_max, 16);
    own->waiting_max = or_default(own->waiting_max, 1024);
    own->idle_ms = or_default(own->idle_ms, 15000);
    own->retry_base_ms = or_default(own->retry_base_ms, 250);
    own->retry_max_ms = or_default(own->retry_max_ms, 30000);
    pool->origins = calloc(own->origins_max, sizeof *pool->origins);
    pool->dials = calloc(own->dials_max, sizeof *pool->dials);
    if (pool->origins == NULL || pool->dials == NULL) {
        gy_connections_close(pool);
        return gy_error_set(error, GY_ENOMEM, "preparing a pool of connections: out of memory");
    }
    connector->lost = on_lost;
    return 0;
}

void gy_connections_stop(struct gy_connections *pool)
{
    for (uint32_t i = 0; i < pool->options.dials_max; i++) {
        struct gy_origin_dial *place = &pool->dials[i];
        if (place->origin != NULL) {
            gy_dial_cancel(&place->dial);
            place->origin->dialled--;
            place->origin = NULL;
        }
    }
    for (uint32_t i = 0; i < pool->options.origins_max; i++) {
        struct gy_origin *origin = &pool->origins[i];
        while (origin->pool != NULL && waiting_take(origin) != NULL) {
        }
        while (origin->pool != NULL && origin->idle != NULL) {
            struct gy_connection *connection = origin->idle;
            idle_leave(connection);
            gy_stream_abort(connection->stream, GY_CLOSE_LOCAL);
        }
    }
}

void gy_connections_close(struct gy_connections *pool)
{
    struct gy_worker *worker = pool->connector->endpoint.worker;
    for (uint32_t i = 0; pool->origins != NULL && i < pool->options.origins_max; i++) {
        struct gy_origin *origin = &pool->origins[i];
        if (origin->pool != NULL) {
            gy_assert(origin->open == 0 && origin->dialled == 0 && origin->waiting_count == 0);
            gy_timer_disarm(&worker->wheel, &origin->timer);
        }
    }
    free(pool->origins);
    free(pool->dials);
    pool->origins = NULL;
    pool->dials = NULL;
    pool->connector->lost = NULL;
}

static struct gy_origin *find(const struct gy_connections *pool, const char *host, uint16_t port)
{
    for (uint32_t i = 0; i < pool->options.origins_max; i++) {
        struct gy_origin *origin = &pool->origins[i];
        if (origin->pool != NULL && origin->port == port && strcasecmp(origin->host, host) == 0) {
            return origin;
        }
    }
    return NULL;
}

/* A place for one more origin: a free one, or one that is only remembered for its failures. */
static struct gy_origin *make(struct gy_connections *pool, const char *host, uint16_t port)
{
    struct gy_origin *origin = NULL;
    for (uint32_t i = 0; i < pool->options.origins_max; i++) {
        struct gy_origin *place = &pool->origins[i];
        if (place->pool == NULL) {
            origin = place;
            break;
        }
        if (place->open == 0 && place->dialled == 0 && place->waiting_count == 0) {
            origin = place;
        }
    }
    if (origin == NULL) {
        return NULL;
    }
    if (origin->pool != NULL) {
        gy_timer_disarm(&worker_of(origin)->wheel, &origin->timer);
    }
    memset(origin, 0, sizeof *origin);
    origin->pool = pool;
    memcpy(origin->host, host, strlen(host) + 1);
    origin->port = port;
    TAILQ_INIT(&origin->waiting);
    gy_timer_init(&origin->timer, on_timer);
    uint32_t number = (uint32_t)(origin - pool->origins);
    gy_backoff_init(&origin->backoff, pool->options.retry_base_ms, pool->options.retry_max_ms,
                    pool->options.seed + number + 1);
    return origin;
}

int gy_connections_lease(struct gy_connections *pool, struct gy_lease *lease, const char *host,
                         uint16_t port, struct gy_error *error)
{
    gy_assert(lease->ready != NULL && lease->failed != NULL && lease->origin == NULL);
    size_t length = strlen(host);
    if (length == 0 || length > GY_NAME_BYTES) {
        return gy_error_set(error, GY_EINVAL, "connecting to \"%.60s\": not the name of a host",
                            host);
    }
    if (pool->waiting >= pool->options.waiting_max) {
        pool->counters.refused++;
        return gy_error_set(error, GY_ELIMIT,
                            "connecting to %s port %u: %u wait for connections, which is the limit",
                            host, port, pool->waiting);
    }
    struct gy_origin *origin = find(pool, host, port);
    if (origin == NULL) {
        origin = make(pool, host, port);
    }
    if (origin == NULL) {
        pool->counters.refused++;
        return gy_error_set(
            error, GY_ELIMIT,
            "connecting to %s port %u: there are connections to %u places, which is the limit",
            host, port, pool->options.origins_max);
    }
    lease->tries = lease->tries == 0 ? 1 : lease->tries;
    lease->origin = origin;
    TAILQ_INSERT_TAIL(&origin->waiting, lease, entry);
    origin->waiting_count++;
    pool->waiting++;
    serve_soon(origin);
    return 0;
}

void gy_connections_cancel(struct gy_lease *lease)
{
    struct gy_origin *origin = lease->origin;
    if (origin == NULL) {
        return;
    }
    gy_assert(origin->waiting_count > 0 && origin->pool->waiting > 0);
    TAILQ_REMOVE(&origin->waiting, lease, entry);
    origin->waiting_count--;
    origin->pool->waiting--;
    lease->origin = NULL;
}

void gy_connections_return(struct gy_stream *stream, bool reusable)
{
    struct gy_connection *connection = gy_connection_of(stream);
    struct gy_origin *origin = connection->origin;
    gy_assert(origin != NULL && connection->link == NULL);
    struct gy_connections *pool = origin->pool;
    bool worn = pool->options.uses_max != 0 && connection->uses >= pool->options.uses_max;
    pool->counters.worn += reusable && worn;
    if (!reusable || worn || !healthy(stream)) {
        gy_stream_abort(stream, GY_CLOSE_LOCAL);
        return;
    }
    idle_enter(connection);
    serve_soon(origin);
}

struct gy_lease *gy_connections_share(struct gy_stream *stream)
{
    struct gy_connection *connection = gy_connection_of(stream);
    gy_assert(connection->origin != NULL && connection->link == NULL);
    struct gy_lease *lease = waiting_take(connection->origin);
    if (lease != NULL) {
        connection->uses++;
        connection->origin->pool->counters.leased_shared++;
    }
    return lease;
}

uint32_t gy_connections_count(const struct gy_connections *pool, const char *host, uint16_t port,
                              uint32_t *idle)
{
    const struct gy_origin *origin = find(pool, host, port);
    if (idle != NULL) {
        *idle = origin != NULL ? origin->idling : 0;
    }
    return origin != NULL ? origin->open : 0;
}
