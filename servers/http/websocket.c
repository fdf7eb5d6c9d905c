/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/websocket.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "core/asan.h"
#include "core/evict.h"
#include "core/worker.h"

#define DEFAULT_CONNECTIONS 65536
#define DEFAULT_MESSAGE_MAX (1u << 20)
#define NANOSECONDS_PER_MS  UINT64_C(1000000)

enum flag {
    EOF_SEEN = 1 << 0, /* the peer will send no more */
    STALLED = 1 << 1,  /* `in` waits for room in `out` */
    STARVED = 1 << 2,  /* `in` waits for memory: the next pull goes on with it */
    REFUSED = 1 << 3,  /* the handler waits for room */
    TOLD = 1 << 4,     /* the handler knows that it is over */
    RUNNING = 1 << 5,
    HELD = 1 << 6, /* `in` waits until fewer broadcasts are under way */
};

struct gy_websocket_worker {
    struct gy_holder holder; /* of messages that are not whole; first: found by it */
    struct gy_ws_env env;
    struct gy_worker *worker;
    struct gy_relay *relay;
    struct gy_slab connections;
    struct gy_websocket_connection *first;
    uint32_t users;          /* listeners */
    uint64_t reserved_bytes; /* for compression, by its connections */
    uint64_t declined;       /* connections that found all of it taken */
    struct gy_websocket_connection
        *turn;                          /* of those that are held, whose it is; NULL: the first's */
    bool full;                          /* of broadcasts under way: nothing is read */
    struct gy_websocket_counts *counts; /* the server's; NULL: no connection yet */
    struct published {
#define PUBLISHED_MEMBER(member, name, label, kind, help) uint64_t member;
        GY_WEBSOCKET_COUNTERS(PUBLISHED_MEMBER)
#undef PUBLISHED_MEMBER
    } published; /* of this path, in `counts` */
    size_t mapped_bytes;
};

/* Several paths share the server's counters, so that each adds what is new. */
static void publish(struct gy_websocket_worker *own)
{
    const struct gy_ws_counters *ws = &own->env.counters;
    const struct gy_relay_counts relay = gy_relay_counts(own->relay, own->worker);
    const struct published now = {
        .connections = own->connections.used,
        .messages_in = ws->messages_in,
        .messages_out = ws->messages_out,
        .bytes_in = ws->bytes_in,
        .bytes_out = ws->bytes_out,
        .packed_in = ws->packed_in,
        .packed_out = ws->packed_out,
        .packed_bytes_in = ws->packed_bytes_in,
        .packed_bytes_out = ws->packed_bytes_out,
        .reserved_bytes = own->reserved_bytes,
        .declined = own->declined,
        .relayed = relay.sent,
        .relay_delays = relay.delayed,
        .relay_pauses = relay.filled,
        .pings_in = ws->pings_in,
        .pings_out = ws->pings_out,
        .breaches = ws->breaches,
        .not_text = ws->not_text,
        .too_big = ws->too_big,
        .timeouts = ws->timeouts,
        .refused = ws->refused,
    };
#define PUBLISH(member, name, label, kind, help)                                                   \
    if (now.member != own->published.member) {                                                     \
        gy_count(&own->counts->member, now.member - own->published.member);                        \
    }
    GY_WEBSOCKET_COUNTERS(PUBLISH)
#undef PUBLISH
    own->published = now;
}

struct gy_ws_limits gy_websocket_limits_default(void)
{
    struct gy_ws_limits limits = gy_ws_limits_default;
    limits.frame_max = DEFAULT_MESSAGE_MAX;
    limits.message_max = DEFAULT_MESSAGE_MAX;
    return limits;
}

/* ---- memory for compression: what connections reserved in advance, and so has a bound ---- */

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

static const struct gy_ws_memory compress_memory = {take_memory, give_memory, NULL};

/* ---- memory for messages, of which others may have need ---- */

static uint32_t largest(struct gy_holder *holder, uint64_t until_ns)
{
    const struct gy_websocket_worker *own = (struct gy_websocket_worker *)holder;
    uint32_t most = 0;
    for (struct gy_websocket_connection *at = own->first; at != NULL; at = at->next) {
        uint32_t pieces = gy_ws_held(&at->ws, until_ns);
        most = pieces > most ? pieces : most;
    }
    return most;
}

static uint32_t end_holders(struct gy_holder *holder, uint64_t until_ns, uint32_t least,
                            uint32_t count)
{
    const struct gy_websocket_worker *own = (struct gy_websocket_worker *)holder;
    uint32_t ended = 0;
    struct gy_websocket_connection *next;
    for (struct gy_websocket_connection *at = own->first;
         at != NULL && ended < count && gy_evict_presses(own->worker); at = next) {
        next = at->next;
        if (gy_ws_held(&at->ws, until_ns) >= least) {
            gy_websocket_close(at, GY_WS_TRY_LATER, "no memory for long messages now");
            ended++;
        }
    }
    return ended;
}

/* ---- workers ---- */

static int deliver(void *context, struct gy_worker *worker, const struct gy_relay_message *message);
static void resume(void *context, struct gy_worker *worker);

static const struct gy_relay_handler relay_handler = {.deliver = deliver, .room = resume};

int gy_websocket_worker_open(struct gy_websocket *socket, struct gy_worker *worker,
                             struct gy_error *error)
{
    uint32_t number = worker->options.number;
    gy_assert(number < GY_HTTP_WORKERS_MAX && socket->handler->message != NULL);
    if (socket->workers[number] != NULL) {
        socket->workers[number]->users++;
        return 0;
    }
    uint32_t count = socket->connections_max != 0 ? socket->connections_max : DEFAULT_CONNECTIONS;
    size_t slab_bytes = gy_slab_bytes(sizeof(struct gy_websocket_connection), count);
    size_t bytes = sizeof(struct gy_websocket_worker) + GY_SLAB_ALIGN + slab_bytes;
    struct gy_websocket_worker *own = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (own == MAP_FAILED) {
        return gy_error_set(error, GY_ENOMEM,
                            "preparing websocket %s for %u connections: out of memory",
                            socket->path, count);
    }
    uintptr_t items = ((uintptr_t)(own + 1) + GY_SLAB_ALIGN - 1) & ~(uintptr_t)(GY_SLAB_ALIGN - 1);
    own->mapped_bytes = bytes;
    own->worker = worker;
    own->users = 1;
    own->relay = &socket->relay;
    if (gy_relay_open(&socket->relay, worker, &relay_handler, socket) != 0) {
        munmap(own, bytes);
        return gy_error_set(error, GY_ENOMEM, "preparing websocket %s: out of memory",
                            socket->path);
    }
    gy_slab_init(&own->connections, (void *)items, slab_bytes,
                 sizeof(struct gy_websocket_connection));
    gy_ws_env_init(&own->env, &worker->bump, &worker->links);
    own->env.memory = compress_memory;
    own->env.limits =
        socket->limits.message_max != 0 ? socket->limits : gy_websocket_limits_default();
    own->holder.largest = largest;
    own->holder.end = end_holders;
    gy_evict_add(worker, &own->holder);
    socket->workers[number] = own;
    return 0;
}

void gy_websocket_worker_close(struct gy_websocket *socket, struct gy_worker *worker)
{
    struct gy_websocket_worker *own = socket->workers[worker->options.number];
    gy_assert(own != NULL && own->users > 0);
    if (--own->users == 0) {
        gy_assert(own->connections.used == 0);
        gy_evict_remove(worker, &own->holder);
        gy_relay_close(&socket->relay, worker);
        size_t bytes = own->mapped_bytes;
        socket->workers[worker->options.number] = NULL;
        gy_unpoison(own, bytes);
        munmap(own, bytes);
    }
}

/* ---- one connection ---- */

static struct gy_websocket_connection *connection_of(const struct gy_http_exchange *exchange)
{
    return gy_http_state(exchange);
}

static uint64_t now_ns(const struct gy_websocket_connection *connection)
{
    return connection->worker->worker->now_ns;
}

static void tell_closed(struct gy_websocket_connection *connection, uint16_t code)
{
    if ((connection->flags & TOLD) == 0) {
        connection->flags |= TOLD;
        if (connection->socket->handler->closed != NULL) {
            connection->socket->handler->closed(connection, code);
        }
    }
}

static void follow_deadline(struct gy_websocket_connection *connection)
{
    struct gy_worker *worker = connection->worker->worker;
    uint64_t due_ns = gy_ws_deadline(&connection->ws);
    uint64_t due_ms = due_ns == GY_WS_NO_DEADLINE ? UINT64_MAX : due_ns / NANOSECONDS_PER_MS + 1;
    if (due_ms == UINT64_MAX) {
        gy_timer_disarm(&worker->wheel, &connection->timer);
    } else if (!gy_timer_armed(&connection->timer) || connection->timer.due_ms > due_ms) {
        /* A timer that fires early asks again: so it is not moved for every message. */
        gy_timer_arm(&worker->wheel, &connection->timer, due_ms);
    }
}

/* After anything that may have changed what is to be sent, or how long it may live. */
static void follow(struct gy_websocket_connection *connection)
{
    uint32_t wants = gy_ws_wants(&connection->ws);
    if ((wants & GY_WS_WANT_CLOSE) != 0) {
        gy_http_cancel(connection->exchange, GY_ETIMEOUT);
    } else if (!gy_chain_empty(&connection->out) || (wants & GY_WS_WANT_END) != 0 ||
               (connection->flags & (EOF_SEEN | STARVED)) != 0) {
        gy_http_wake(connection->exchange);
    }
    follow_deadline(connection);
}

/* A connection whose messages go to all is not asked for more of them while its worker's are
 * waiting for other workers. */
static int next_event(struct gy_websocket_connection *connection, struct gy_ws_event *event)
{
    if (connection->worker->full) {
        connection->flags |= HELD;
        return GY_ELIMIT;
    }
    return gy_ws_read(&connection->ws, &connection->in, now_ns(connection), event);
}

static void run(struct gy_websocket_connection *connection)
{
    struct gy_ws_event event = {0};
    uint32_t before = connection->in.length;
    int code;
    gy_assert((connection->flags & RUNNING) == 0);
    connection->flags &= ~(uint32_t)(STALLED | STARVED | HELD);
    connection->flags |= RUNNING;
    while ((code = next_event(connection, &event)) == 1) {
        if (event.type == GY_WS_MESSAGE) {
            connection->socket->handler->message(connection, event.kind, event.message);
        } else if (event.type == GY_WS_CLOSED) {
            tell_closed(connection, event.failed ? GY_WS_ABNORMAL : event.code);
        }
    }
    connection->flags &= ~(uint32_t)RUNNING;
    connection->flags |= code == GY_EAGAIN ? STALLED : code == GY_ENOBUFS ? STARVED : 0;
    gy_http_consume(connection->exchange, before - connection->in.length);
    if ((connection->flags & EOF_SEEN) != 0 && code == 0) {
        tell_closed(connection, GY_WS_ABNORMAL);
    }
    follow(connection);
    publish(connection->worker);
}

static void on_timer(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_websocket_connection *connection =
        (struct gy_websocket_connection *)(void *)((char *)timer -
                                                   offsetof(struct gy_websocket_connection, timer));
    struct gy_ws_event event = {0};
    (void)now_ms;
    if (gy_ws_expire(&connection->ws, now_ns(connection), &event) == 1) {
        tell_closed(connection, GY_WS_ABNORMAL);
    }
    follow(connection);
    publish(connection->worker);
}

/* ---- compression ---- */

/* What may be agreed on now; NULL: nothing. */
static const struct gy_ws_terms *compression(const struct gy_websocket *socket,
                                             struct gy_websocket_worker *own,
                                             const struct gy_http_exchange *exchange)
{
    if (!socket->compress || !gy_ws_have_deflate()) {
        return NULL;
    }
    size_t most = gy_ws_deflate_bytes(&socket->terms, false);
    bool room = own->reserved_bytes <= socket->compress_bytes &&
                most <= socket->compress_bytes - own->reserved_bytes;
    if (!room) {
        own->declined +=
            gy_http_field_find(exchange, "Sec-WebSocket-Extensions", NULL).data != NULL;
        return NULL;
    }
    return &socket->terms;
}

/* Without memory from the system the connection cannot be what it was said to be. */
static void begin_compression(struct gy_websocket_connection *connection,
                              const struct gy_ws_agreed *agreed)
{
    struct gy_ws_deflate *deflate = NULL;
    connection->reserved_bytes = 0;
    if (!agreed->deflate) {
        return;
    }
    if (gy_ws_deflate_open(&deflate, &agreed->terms, false, &compress_memory) != 0) {
        gy_websocket_close(connection, GY_WS_INTERNAL, "no memory for compression");
        return;
    }
    connection->reserved_bytes = (uint32_t)gy_ws_deflate_bytes(&agreed->terms, false);
    connection->worker->reserved_bytes += connection->reserved_bytes;
    gy_ws_use_deflate(&connection->ws, deflate);
}

/* ---- the exchange ---- */

bool gy_websocket_fits(const struct gy_websocket *socket, struct gy_http_text target)
{
    size_t length = strlen(socket->path);
    return target.length >= length && memcmp(target.data, socket->path, length) == 0 &&
           (target.length == length || target.data[length] == '?');
}

bool gy_websocket_take(struct gy_websocket *socket, struct gy_http_exchange *exchange)
{
    struct gy_worker *worker = gy_http_stream(exchange)->worker;
    struct gy_websocket_worker *own = socket->workers[worker->options.number];
    struct gy_websocket_connection *connection = gy_slab_take(&own->connections);
    struct gy_ws_agreed agreed;
    if (connection == NULL) {
        gy_http_answer_error(exchange, 503, NULL);
        return false;
    }
    if (gy_ws_upgrade(exchange, &socket->rules, compression(socket, own, exchange), &agreed) != 0) {
        gy_slab_give(&own->connections, connection);
        return false;
    }
    struct gy_http_server *server = gy_http_stream(exchange)->endpoint->context;
    own->counts = &server->counts[worker->options.number].websocket;
    connection->socket = socket;
    connection->worker = own;
    connection->exchange = exchange;
    connection->state = NULL;
    connection->flags = 0;
    connection->next = own->first;
    connection->link = &own->first;
    if (own->first != NULL) {
        own->first->link = &connection->next;
    }
    own->first = connection;
    gy_chain_init(&connection->in, &worker->links);
    gy_chain_init(&connection->out, &worker->links);
    gy_ws_init(&connection->ws, &own->env, &connection->out, false, worker->now_ns);
    gy_timer_init(&connection->timer, on_timer);
    gy_http_set_state(exchange, connection);
    begin_compression(connection, &agreed);
    if (socket->handler->open != NULL) {
        socket->handler->open(connection, agreed.subprotocol);
    }
    follow(connection);
    publish(own);
    return true;
}

void gy_websocket_body(struct gy_http_exchange *exchange, struct gy_chain *bytes, bool end)
{
    struct gy_websocket_connection *connection = connection_of(exchange);
    int error = gy_chain_move(bytes, &connection->in, bytes->length);
    gy_assert(error == 0); /* all of it: no slice is cut */
    connection->flags |= end ? EOF_SEEN : 0;
    run(connection);
}

int gy_websocket_pull(struct gy_http_exchange *exchange, struct gy_chain *out, uint32_t budget)
{
    struct gy_websocket_connection *connection = connection_of(exchange);
    struct gy_chain *from = &connection->out;
    uint32_t low = connection->worker->env.limits.output_high / 2;
    if ((connection->flags & STARVED) != 0 && (connection->flags & RUNNING) == 0) {
        run(connection);
    }
    uint32_t now = from->length < budget ? from->length : budget;
    if (gy_chain_move(from, out, now) != 0) {
        return GY_HTTP_RETRY;
    }
    if ((connection->flags & STALLED) != 0 && from->length <= low) {
        run(connection);
    }
    if ((connection->flags & REFUSED) != 0 && from->length <= low) {
        connection->flags &= ~(uint32_t)REFUSED;
        if (connection->socket->handler->writable != NULL && gy_ws_is_open(&connection->ws)) {
            connection->socket->handler->writable(connection);
        }
    }
    if ((connection->flags & STARVED) != 0) {
        return GY_HTTP_RETRY;
    }
    if (!gy_chain_empty(from)) {
        return GY_HTTP_MORE;
    }
    bool end = (gy_ws_wants(&connection->ws) & GY_WS_WANT_END) != 0 ||
               ((connection->flags & EOF_SEEN) != 0 && gy_chain_empty(&connection->in));
    return end ? GY_HTTP_END : GY_HTTP_WAIT;
}

void gy_websocket_drain(struct gy_http_exchange *exchange)
{
    /* GY_ESTATE: it is closing already. */
    gy_websocket_close(connection_of(exchange), GY_WS_GOING_AWAY, "the server is leaving");
}

void gy_websocket_closed(struct gy_http_exchange *exchange, int reason)
{
    struct gy_websocket_connection *connection = connection_of(exchange);
    (void)reason;
    tell_closed(connection, GY_WS_ABNORMAL);
    gy_timer_disarm(&connection->worker->worker->wheel, &connection->timer);
    gy_ws_end(&connection->ws);
    connection->worker->reserved_bytes -= connection->reserved_bytes;
    gy_chain_clear(&connection->in);
    gy_chain_clear(&connection->out);
    struct gy_websocket_worker *own = connection->worker;
    if (own->turn == connection) {
        own->turn = connection->next;
    }
    *connection->link = connection->next;
    if (connection->next != NULL) {
        connection->next->link = connection->link;
    }
    gy_http_set_state(exchange, NULL);
    gy_slab_give(&own->connections, connection);
    publish(own);
}

/* ---- for handlers ---- */

/* Within run() what follows is done at its end. */
static int sent(struct gy_websocket_connection *connection, int code)
{
    connection->flags |= code == GY_ELIMIT ? REFUSED : 0;
    if ((connection->flags & RUNNING) == 0) {
        follow(connection);
    }
    return code;
}

int gy_websocket_send(struct gy_websocket_connection *connection, enum gy_ws_kind kind,
                      struct gy_chain *payload)
{
    return sent(connection, gy_ws_send(&connection->ws, kind, payload));
}

int gy_websocket_send_copy(struct gy_websocket_connection *connection, enum gy_ws_kind kind,
                           const void *data, uint32_t bytes)
{
    return sent(connection, gy_ws_send_copy(&connection->ws, kind, data, bytes));
}

int gy_websocket_close(struct gy_websocket_connection *connection, uint16_t code,
                       const char *reason)
{
    return sent(connection, gy_ws_close(&connection->ws, code, reason, now_ns(connection)));
}

void gy_websocket_appended(struct gy_websocket_connection *connection)
{
    if ((connection->flags & RUNNING) == 0) {
        follow(connection);
    }
}

void gy_websocket_await_room(struct gy_websocket_connection *connection)
{
    connection->flags |= REFUSED;
    gy_http_wake(connection->exchange);
}

/* ---- to everybody ---- */

/* Who decides the order of a path's messages: another worker for other paths. */
static uint32_t owner_of(const struct gy_websocket *socket, uint32_t workers)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (const char *at = socket->path; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * UINT64_C(1099511628211); /* FNV-1a */
    }
    return (uint32_t)(hash >> 32) % workers;
}

int gy_websocket_broadcast(struct gy_websocket_connection *from, enum gy_ws_kind kind,
                           struct gy_chain *payload)
{
    struct gy_websocket *socket = from->socket;
    struct gy_worker *worker = from->worker->worker;
    int code = gy_relay_send(&socket->relay, worker, owner_of(socket, worker->options.workers),
                             kind, payload);
    from->worker->full = gy_relay_full(&socket->relay, worker);
    return code;
}

/* To those of this worker. `payload` is emptied. */
static int send_to_all(struct gy_websocket_worker *own, enum gy_ws_kind kind,
                       struct gy_chain *payload)
{
    struct gy_ws_encoded encoded;
    int code = gy_ws_encode(&own->env, kind, payload, &encoded);
    if (code != 0) {
        return code;
    }
    for (struct gy_websocket_connection *to = own->first; to != NULL; to = to->next) {
        code = sent(to, gy_ws_send_encoded(&to->ws, &encoded));
        if (code == GY_ELIMIT || code == GY_ENOBUFS) {
            gy_websocket_close(to, GY_WS_TRY_LATER, "too slow to follow");
        }
    }
    gy_ws_encoded_end(&encoded);
    return 0;
}

static int copy_in(struct gy_bump *bump, const uint8_t *data, uint32_t bytes,
                   struct gy_chain *chain)
{
    int code = 0;
    for (uint32_t done = 0; code == 0 && done < bytes;) {
        uint32_t part = bytes - done < GY_BUMP_BLOCK_BYTES ? bytes - done : GY_BUMP_BLOCK_BYTES;
        code = gy_bump_copy(bump, chain, data + done, part);
        done += part;
    }
    return code;
}

static int deliver(void *context, struct gy_worker *worker, const struct gy_relay_message *message)
{
    const struct gy_websocket *socket = context;
    struct gy_websocket_worker *own = socket->workers[worker->options.number];
    enum gy_ws_kind kind = (enum gy_ws_kind)message->kind;
    struct gy_chain copy;
    if (message->payload != NULL) {
        return send_to_all(own, kind, message->payload);
    }
    if (own->first == NULL) {
        return 0;
    }
    gy_chain_init(&copy, &worker->links);
    int code = copy_in(&worker->bump, message->data, message->bytes, &copy);
    if (code == 0) {
        code = send_to_all(own, kind, &copy);
    }
    gy_chain_clear(&copy);
    /* Others had it: who has not is not told that he is up to date. */
    for (struct gy_websocket_connection *to = own->first; code != 0 && to != NULL; to = to->next) {
        gy_websocket_close(to, GY_WS_TRY_LATER, "no output memory now");
    }
    publish(own);
    return 0;
}

/* Fewer broadcasts are under way: those that were held go on, in turn, from where it ended the last
 * time. */
static void resume(void *context, struct gy_worker *worker)
{
    const struct gy_websocket *socket = context;
    struct gy_websocket_worker *own = socket->workers[worker->options.number];
    own->full = false;
    for (uint32_t left = own->connections.used; left > 0 && !own->full; left--) {
        struct gy_websocket_connection *connection = own->turn != NULL ? own->turn : own->first;
        own->turn = connection->next;
        if ((connection->flags & (HELD | RUNNING)) == HELD) {
            run(connection);
        }
    }
}
