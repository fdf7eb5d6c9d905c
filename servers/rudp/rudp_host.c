/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Memory, sessions, and what they send. */

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "core/asan.h"
#include "servers/rudp/rudp_host_internal.h"
#include "servers/rudp/rudp_qlog.h"

#define MS               1000000ull
#define CLIENT_CID_BYTES 4
#define DATAGRAM_MAX     1452 /* Ethernet's 1500 less headers of IPv6 and UDP */

#define ROW(...) GY_METRIC_ROW(struct gy_rudp_counts, __VA_ARGS__)
const struct gy_metric_description gy_rudp_rows[GY_RUDP_ROWS] = {GY_RUDP_COUNTERS(ROW)};
#undef ROW

struct gy_rudp_config gy_rudp_host_config(void)
{
    return (struct gy_rudp_config){
        .datagram_bytes = GY_RUDP_HELLO_BYTES,
        .datagram_max = DATAGRAM_MAX,
        .channels = 16,
        .packets = 1024,
        .pieces = 4096,
        .assemblies = 8192,
        .window_bytes = 1u << 20,
        .channel_window_bytes = 1u << 20,
        .message_max = 512u << 10,
        .idle_timeout_ns = 30000 * MS,
        .keepalive_ns = 0,
        .handshake_timeout_ns = 10000 * MS,
        .timer_ns = MS,
        .ecn = true,
        .seal = &gy_rudp_seal_none,
    };
}

/* ---- sockets ---- */

static void socket_failed(struct gy_datagram_socket *socket, int errno_value)
{
    (void)socket;
    (void)errno_value; /* anybody can forge ICMP: the connection's own timers decide */
}

static void socket_leaving(struct gy_datagram_socket *socket)
{
    gy_rudp_host_drain(gy_rudp_host_of(socket));
}

static void socket_closed(struct gy_datagram_socket *socket)
{
    struct gy_rudp_host *host = gy_rudp_host_of(socket);
    struct gy_rudp_session *session, *next;
    if (host->socket == socket) {
        host->socket = NULL;
    }
    for (session = TAILQ_FIRST(&host->all); session != NULL; session = next) {
        next = TAILQ_NEXT(session, all_entry);
        if (session->socket == socket) {
            gy_rudp_session_free(session);
        }
    }
}

static const struct gy_datagram_ops socket_ops = {
    .receive = gy_rudp_host_receive,
    .failed = socket_failed,
    .leaving = socket_leaving,
    .closed = socket_closed,
};

const struct gy_datagram_options gy_rudp_host_datagrams = {
    .name = "rudp",
    .ops = &socket_ops,
    .gro = true,
    .gso = true,
    .ecn = true,
    .ecn_usual = GY_RUDP_ECT0,
    .fragments = GY_DATAGRAM_FRAGMENT_NEVER, /* the protocol looks for what the path takes */
    .buffers = 128,
    .posted = 16,
    .sends_max = 4096,
};

/* ---- a host ---- */

static size_t aligned(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static size_t session_bytes(const struct gy_rudp_config *config)
{
    return aligned(sizeof(struct gy_rudp_session)) + gy_rudp_memory_bytes(config);
}

/* One mapping: the table, places, and sessions, whose pages are used as there are connections. */
static int map(struct gy_rudp_host *host)
{
    const struct gy_rudp_host_options *options = &host->options;
    uint32_t count = options->connections_max;
    uint32_t buckets = 16;
    while (buckets < count) {
        buckets *= 2;
    }
    size_t cids = aligned(count * sizeof *host->cids);
    size_t table = aligned(buckets * sizeof(struct gy_rudp_session *));
    size_t forwards = aligned(GY_RUDP_FORWARDS * sizeof(struct gy_rudp_forward));
    size_t used = aligned(GY_RUDP_TOKENS_USED * sizeof *host->gate.used);
    size_t sessions = gy_slab_bytes(session_bytes(&options->config), count);
    host->mapped_bytes = cids + table + forwards + used + sessions;
    host->mapped = mmap(NULL, host->mapped_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host->mapped == MAP_FAILED) {
        host->mapped = NULL;
        return GY_ENOMEM;
    }
    uint8_t *at = host->mapped;
    host->cids = (uint64_t *)(void *)at;
    host->by_cookie = (struct gy_rudp_session **)(void *)(at += cids);
    host->by_cookie_mask = buckets - 1;
    host->forwards = (struct gy_rudp_forward *)(void *)(at += table);
    host->gate.used = (uint32_t *)(void *)(at += forwards);
    host->gate.used_count = GY_RUDP_TOKENS_USED;
    gy_slab_init(&host->sessions, at + used, sessions, session_bytes(&options->config));
    return 0;
}

int gy_rudp_host_open(struct gy_rudp_host *host, struct gy_worker *worker,
                      const struct gy_rudp_host_options *options, struct gy_error *error)
{
    gy_assert(options->ops != NULL && options->counts != NULL);
    gy_assert(options->connections_max >= 1 && options->connections_max <= GY_RUDP_SESSIONS_MAX);
    *host = (struct gy_rudp_host){.worker = worker, .options = *options};
    TAILQ_INIT(&host->touched);
    TAILQ_INIT(&host->all);
    host->gate = (struct gy_rudp_gate){.key = options->key,
                                       .cookie_ns = 10000 * MS,
                                       .cid_bytes = GY_RUDP_CID_BYTES,
                                       .generation = options->process,
                                       .port_bytes = 2,
                                       .version = options->sealer != NULL ? GY_RUDP_VERSION
                                                                          : GY_RUDP_VERSION_PLAIN};
    if (gy_rudp_room(&options->config) > GY_BUMP_BLOCK_BYTES) {
        return gy_error_set(error, GY_EINVAL, "datagrams of %u bytes: at most %d",
                            gy_rudp_room(&options->config), GY_BUMP_BLOCK_BYTES);
    }
    if (getrandom(&host->secret, sizeof host->secret, 0) != sizeof host->secret) {
        return gy_error_set(error, GY_EIO, "asking the system for random bytes");
    }
    if (map(host) != 0 || gy_rudp_memory_open(&host->memory, options->memory_bytes) != 0) {
        gy_rudp_host_close(host);
        return gy_error_set(error, GY_ENOMEM, "preparing for %u connections: out of memory",
                            options->connections_max);
    }
    if (options->sealer != NULL) {
        int code = options->sealer->open(&host->sealer_state, options->sealer_context,
                                         options->connections_max, error);
        if (code != 0) {
            gy_rudp_host_close(host);
            return code;
        }
    }
    if (options->hosts != NULL) {
        gy_assert(worker->options.number < GY_RUDP_WORKERS_MAX);
        atomic_store_explicit(&options->hosts[worker->options.number], host, memory_order_release);
    }
    return 0;
}

void gy_rudp_host_close(struct gy_rudp_host *host)
{
    if (host->options.hosts != NULL) {
        atomic_store_explicit(&host->options.hosts[host->worker->options.number], NULL,
                              memory_order_release);
    }
    for (struct gy_rudp_session *session; (session = TAILQ_FIRST(&host->all)) != NULL;) {
        gy_rudp_session_free(session);
    }
    if (host->sealer_state != NULL) {
        host->options.sealer->close(host->sealer_state);
        host->sealer_state = NULL;
    }
    gy_rudp_memory_close(&host->memory);
    if (host->mapped != NULL) {
        gy_unpoison(host->mapped, host->mapped_bytes);
        munmap(host->mapped, host->mapped_bytes);
        host->mapped = NULL;
    }
}

uint64_t gy_rudp_host_random(struct gy_rudp_host *host)
{
    host->random++;
    return gy_siphash(&host->secret, &host->random, sizeof host->random);
}

/* ---- memory of connections ---- */

static void *take(void *owner, size_t bytes)
{
    struct gy_rudp_host *host = owner;
    return gy_rudp_memory_take(&host->memory, bytes);
}

static void give(void *owner, void *memory, size_t bytes)
{
    struct gy_rudp_host *host = owner;
    (void)bytes;
    gy_rudp_memory_give(&host->memory, memory);
}

static bool received(struct gy_rudp_conn *conn, uint8_t channel, enum gy_rudp_guarantee guarantee,
                     const uint8_t *data, size_t length)
{
    struct gy_rudp_session *session = (struct gy_rudp_session *)conn;
    return session->host->options.ops->received(session, channel, guarantee, data, length);
}

static void traced(const struct gy_rudp_conn *conn, const struct gy_rudp_event *event)
{
    const struct gy_rudp_session *session = (const struct gy_rudp_session *)conn;
    if (session->qlog != NULL) {
        gy_rudp_qlog_event(session->qlog, conn, event);
    }
}

struct gy_rudp_env gy_rudp_session_env(struct gy_rudp_session *session, bool client)
{
    struct gy_rudp_host *host = session->host;
    struct gy_rudp_env env = {.received = received, .take = take, .give = give, .owner = host};
    if (host->options.qlog != NULL) {
        session->qlog = gy_rudp_qlog_open(host->options.qlog, client, host->worker->now_ns);
        env.event = session->qlog != NULL ? traced : NULL;
    }
    return env;
}

/* ---- sessions ---- */

size_t gy_rudp_address_bytes(const struct gy_address *address, uint8_t out[GY_RUDP_PEER_BYTES])
{
    bool v4 = address->any.sa_family == AF_INET;
    struct gy_writer writer = gy_writer_on(out, GY_RUDP_PEER_BYTES);
    gy_writer_u8(&writer, v4 ? 4 : 6);
    if (v4) {
        gy_writer_bytes(&writer, (const uint8_t *)&address->v4.sin_addr, 4);
    } else {
        gy_writer_bytes(&writer, address->v6.sin6_addr.s6_addr, 16);
    }
    gy_writer_u16(&writer, gy_address_port(address));
    gy_assert(!writer.failed);
    return gy_writer_length(&writer);
}

struct gy_rudp_session **gy_rudp_host_by_cookie(struct gy_rudp_host *host,
                                                const uint8_t cookie[GY_RUDP_COOKIE_BYTES])
{
    uint64_t hash = gy_siphash(&host->secret, cookie, GY_RUDP_COOKIE_BYTES);
    struct gy_rudp_session **at = &host->by_cookie[hash & host->by_cookie_mask];
    while (*at != NULL && memcmp((*at)->cookie, cookie, GY_RUDP_COOKIE_BYTES) != 0) {
        at = &(*at)->next_by_cookie;
    }
    return at;
}

static void expired(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_rudp_session *session =
        (struct gy_rudp_session *)((char *)timer - offsetof(struct gy_rudp_session, timer));
    (void)now_ms;
    gy_rudp_expire(&session->conn, session->host->worker->now_ns);
    gy_rudp_session_progress(session);
}

struct gy_rudp_session *gy_rudp_session_new(struct gy_rudp_host *host,
                                            struct gy_datagram_socket *socket,
                                            struct gy_rudp_config *config, void **memory)
{
    struct gy_rudp_session *session = gy_slab_take(&host->sessions);
    if (session == NULL) {
        return NULL;
    }
    memset(session, 0, sizeof *session);
    session->host = host;
    session->socket = socket;
    gy_timer_init(&session->timer, expired);
    *config = host->options.config;
    config->seed = gy_rudp_host_random(host);
    if (host->options.sealer != NULL) {
        config->remembered = host->remembered;
        if (host->options.sealer->make(host->sealer_state, host->options.peer,
                                       host->remembered.channels != 0, &session->seal) != 0) {
            gy_slab_give(&host->sessions, session);
            return NULL;
        }
        config->seal = &session->seal;
    }
    *memory = (uint8_t *)session + aligned(sizeof *session);
    return session;
}

void gy_rudp_session_drop(struct gy_rudp_session *session)
{
    gy_rudp_qlog_close(session->qlog, &session->conn, session->host->worker->now_ns);
    if (session->seal.keys != NULL) {
        session->host->options.sealer->free(&session->seal);
    }
    gy_slab_give(&session->host->sessions, session);
}

struct gy_rudp_session *gy_rudp_host_dial(struct gy_rudp_host *host,
                                          struct gy_datagram_socket *socket, void *context)
{
    struct gy_rudp_config config;
    /* The socket tells the connection; the id tells what is meant for one that had this port
     * before. */
    struct gy_rudp_cid self = {.length = CLIENT_CID_BYTES};
    void *memory;
    gy_assert(socket->dialled && gy_rudp_host_of(socket) == host);
    struct gy_rudp_session *session = gy_rudp_session_new(host, socket, &config, &memory);
    if (session == NULL) {
        return NULL;
    }
    uint64_t random = gy_rudp_host_random(host);
    memcpy(self.bytes, &random, CLIENT_CID_BYTES);
    config.has_address_token = host->has_address_token;
    memcpy(config.address_token, host->address_token, sizeof config.address_token);
    host->has_address_token = false;
    struct gy_rudp_env env = gy_rudp_session_env(session, true);
    session->context = context;
    int code =
        gy_rudp_connect(&session->conn, &config, memory, &env, &self, host->worker->now_ns | 1);
    if (code != 0) {
        gy_rudp_session_drop(session);
        return NULL;
    }
    socket->context = session;
    TAILQ_INSERT_TAIL(&host->all, session, all_entry);
    gy_count(&host->options.counts->open, 1);
    gy_rudp_session_touch(session);
    return session;
}

static void count_closed(const struct gy_rudp_session *session)
{
    struct gy_rudp_counts *counts = session->host->options.counts;
    const struct gy_rudp_conn *conn = &session->conn;
    gy_uncount(&counts->open, 1);
    _Atomic uint64_t *counter = &counts->closed_local;
    if (conn->closed_by_peer || conn->close_code == GY_RUDP_CLOSE_RESET ||
        conn->close_code == GY_RUDP_CLOSE_VERSION || conn->close_code == GY_RUDP_CLOSE_MODE) {
        counter = &counts->closed_peer;
    } else if (conn->close_code == GY_RUDP_CLOSE_IDLE ||
               conn->close_code == GY_RUDP_CLOSE_HANDSHAKE) {
        counter = &counts->closed_idle;
    } else if (conn->close_code == GY_RUDP_CLOSE_CRYPTO) {
        counter = &counts->closed_crypto;
    } else if (conn->close_code == GY_RUDP_CLOSE_PROTOCOL ||
               conn->close_code == GY_RUDP_CLOSE_FLOW || conn->close_code == GY_RUDP_CLOSE_KEYS) {
        counter = &counts->closed_protocol;
    } else if (conn->close_code == GY_RUDP_HOST_NO_MEMORY) {
        counter = &counts->closed_memory;
    } else if (conn->close_code == GY_RUDP_CLOSE_GOING) {
        counter = &counts->closed_drain;
    }
    gy_count(counter, 1);
}

/* A message that gy_rudp_host_send_copy made shows this as its user. */
static char copies;

static uint64_t copy_bytes(uint64_t length)
{
    uint64_t bytes = sizeof(struct gy_rudp_message) + length;
    return (bytes + GY_RUDP_MEMORY_SMALLEST - 1) & ~(uint64_t)(GY_RUDP_MEMORY_SMALLEST - 1);
}

/* Finished messages go back to the application. */
static void hand_back(struct gy_rudp_session *session)
{
    struct gy_rudp_message *message;
    while ((message = gy_rudp_finished(&session->conn)) != NULL) {
        if (message->user == &copies) {
            gy_assert(session->copies >= copy_bytes(message->length));
            session->copies -= copy_bytes(message->length);
            gy_rudp_memory_give(&session->host->memory, message);
        } else {
            session->host->options.ops->finished(session, message);
        }
    }
}

/* What changes rarely. */
static void count_marks(struct gy_rudp_counts *counts, const struct gy_rudp_stats *old,
                        const struct gy_rudp_stats *now)
{
    gy_count(&counts->marked_received, now->ecn_received - old->ecn_received);
    gy_count(&counts->marked_sent, now->ecn_reported - old->ecn_reported);
    gy_count(&counts->ecn_failed, now->ecn_bleached + now->ecn_lost + now->ecn_lies -
                                      old->ecn_bleached - old->ecn_lost - old->ecn_lies);
    gy_count(&counts->blocked, now->blocked_received - old->blocked_received);
}

static void count(struct gy_rudp_session *session)
{
    struct gy_rudp_counts *counts = session->host->options.counts;
    struct gy_rudp_stats *old = &session->counted;
    const struct gy_rudp_stats *now = &session->conn.stats;
    gy_count(&counts->packets_received, now->packets_received - old->packets_received);
    gy_count(&counts->packets_sent, now->packets_sent - old->packets_sent);
    gy_count(&counts->delivered, now->delivered - old->delivered);
    if (now->lost != old->lost || now->probes != old->probes || now->dropped != old->dropped ||
        now->duplicates != old->duplicates || now->spurious != old->spurious) {
        gy_count(&counts->lost, now->lost - old->lost);
        gy_count(&counts->probes, now->probes - old->probes);
        gy_count(&counts->dropped_packet, now->dropped - old->dropped);
        gy_count(&counts->duplicates, now->duplicates - old->duplicates);
        gy_count(&counts->spurious, now->spurious - old->spurious);
        gy_count(&counts->forgeries, session->conn.forgeries - session->counted_forgeries);
        session->counted_forgeries = session->conn.forgeries;
    }
    if (now->ecn_received != old->ecn_received || now->ecn_reported != old->ecn_reported ||
        now->ecn_bleached + now->ecn_lost + now->ecn_lies !=
            old->ecn_bleached + old->ecn_lost + old->ecn_lies ||
        now->blocked_received != old->blocked_received) {
        count_marks(counts, old, now);
    }
    gy_count(&counts->updates, now->updates - old->updates);
    gy_count(&counts->early, now->early - old->early);
    *old = *now;
    const struct gy_rudp_memory *memory = &session->host->memory;
    gy_gauge_set(&counts->memory_bytes, memory->used);
    if (memory->refused != session->host->memory_refused) {
        gy_count(&counts->memory_refused, memory->refused - session->host->memory_refused);
        session->host->memory_refused = memory->refused;
    }
}

static void leave_tables(struct gy_rudp_session *session)
{
    struct gy_rudp_host *host = session->host;
    if (session->conn.client) {
        session->socket->context = NULL;
        return;
    }
    uint32_t place = gy_slab_index(&host->sessions, session);
    gy_assert(host->cids[place] != 0);
    host->cids[place] = 0;
    struct gy_rudp_session **at = gy_rudp_host_by_cookie(host, session->cookie);
    gy_assert(*at == session);
    *at = session->next_by_cookie;
}

void gy_rudp_session_free(struct gy_rudp_session *session)
{
    struct gy_rudp_host *host = session->host;
    gy_timer_disarm(&host->worker->wheel, &session->timer);
    leave_tables(session);
    gy_rudp_free(&session->conn);
    hand_back(session);
    if (host->options.ops->closed != NULL) {
        host->options.ops->closed(session);
    }
    count(session);
    count_closed(session);
    if (session->touched) {
        TAILQ_REMOVE(&host->touched, session, touched_entry);
    }
    TAILQ_REMOVE(&host->all, session, all_entry);
    if (session->conn.client && session->opened) {
        host->remembered = session->conn.theirs;
        if (session->conn.has_address_token) {
            host->has_address_token = true;
            memcpy(host->address_token, session->conn.address_token, sizeof host->address_token);
        }
    }
    gy_rudp_session_drop(session);
}

void gy_rudp_session_touch(struct gy_rudp_session *session)
{
    if (!session->touched) {
        session->touched = true;
        TAILQ_INSERT_TAIL(&session->host->touched, session, touched_entry);
    }
}

/* The peer has proved its new address. */
static void move(struct gy_rudp_session *session)
{
    struct gy_address same = session->elsewhere.peer;
    gy_address_set_port(&same, gy_address_port(&session->path.peer));
    if (!gy_address_equal(&session->path.peer, &same)) {
        gy_rudp_forget_path(&session->conn);
    }
    session->path = session->elsewhere;
    gy_count(&session->host->options.counts->moved, 1);
}

/* A word to where the peer seems to be. */
static void output_elsewhere(struct gy_rudp_session *session)
{
    struct gy_bump *bump = &session->host->worker->bump;
    uint32_t room = gy_rudp_room(&session->host->options.config);
    uint8_t *out = session->conn.path_due ? gy_bump_reserve(bump, room) : NULL;
    size_t bytes = out != NULL ? gy_rudp_output_elsewhere(&session->conn, out, room,
                                                          session->host->worker->now_ns)
                               : 0;
    if (bytes > 0) {
        gy_datagram_send(session->socket, &session->elsewhere,
                         gy_bump_slice(bump, (uint32_t)bytes));
    }
}

enum outcome {
    OUTPUT_ALL,
    OUTPUT_TURN_OVER, /* there is more, and it is others' turn */
    OUTPUT_NO_ROOM,   /* until sends have completed */
};

static enum outcome output(struct gy_rudp_session *session)
{
    struct gy_bump *bump = &session->host->worker->bump;
    const struct gy_datagram_endpoint *endpoint = session->socket->endpoint;
    uint32_t room = gy_rudp_room(&session->host->options.config);
    uint64_t now_ns = session->host->worker->now_ns;
    for (uint32_t i = 0; i < GY_RUDP_TURN_PACKETS; i++) {
        uint8_t *out =
            endpoint->sends < endpoint->options.sends_max ? gy_bump_reserve(bump, room) : NULL;
        if (out == NULL) {
            return OUTPUT_NO_ROOM;
        }
        size_t bytes = gy_rudp_output(&session->conn, out, room, now_ns);
        if (bytes == 0) {
            return OUTPUT_ALL;
        }
        session->path.ecn = gy_rudp_ecn(&session->conn);
        /* What is refused all the same is lost, as datagrams are. */
        gy_datagram_send(session->socket, &session->path, gy_bump_slice(bump, (uint32_t)bytes));
    }
    return OUTPUT_TURN_OVER;
}

void gy_rudp_session_progress(struct gy_rudp_session *session)
{
    struct gy_worker *worker = session->host->worker;
    if (!session->opened && session->conn.state == GY_RUDP_OPEN) {
        session->opened = true;
        if (session->host->options.ops->opened != NULL) {
            session->host->options.ops->opened(session);
        }
    }
    if (gy_rudp_moved(&session->conn)) {
        move(session);
    }
    hand_back(session);
    output_elsewhere(session);
    enum outcome outcome = output(session);
    hand_back(session);
    count(session);
    if (session->conn.state == GY_RUDP_DEAD) {
        gy_rudp_session_free(session);
        return;
    }
    uint64_t due_ns = gy_rudp_timeout(&session->conn);
    if (outcome != OUTPUT_ALL) {
        gy_timer_arm(&worker->wheel, &session->timer, worker->now_ms + (outcome == OUTPUT_NO_ROOM));
    } else if (due_ns == UINT64_MAX) {
        gy_timer_disarm(&worker->wheel, &session->timer);
    } else {
        uint64_t due_ms = due_ns / MS + 1;
        if (!gy_timer_armed(&session->timer) || session->timer.due_ms != due_ms) {
            gy_timer_arm(&worker->wheel, &session->timer, due_ms);
        }
    }
}

void gy_rudp_host_flush(struct gy_rudp_host *host)
{
    /* Those whose applications ask for more meanwhile are looked after again, but not for ever. */
    uint64_t left = 4 * (uint64_t)host->sessions.capacity;
    for (struct gy_rudp_session *session;
         left > 0 && (session = TAILQ_FIRST(&host->touched)) != NULL; left--) {
        TAILQ_REMOVE(&host->touched, session, touched_entry);
        session->touched = false;
        gy_rudp_session_progress(session);
    }
}

/* ---- the application's calls ---- */

int gy_rudp_host_send(struct gy_rudp_session *session, struct gy_rudp_message *message)
{
    int code = gy_rudp_send(&session->conn, message);
    if (code == 0) {
        gy_count(&session->host->options.counts->sent, 1);
        gy_rudp_session_touch(session);
    }
    return code;
}

int gy_rudp_host_send_copy(struct gy_rudp_session *session, uint8_t channel,
                           enum gy_rudp_guarantee guarantee, const void *data, size_t length)
{
    struct gy_rudp_memory *memory = &session->host->memory;
    if (length > GY_RUDP_MESSAGE_LIMIT) {
        return GY_ELIMIT;
    }
    size_t most = session->host->options.copies_max;
    bool room = most == 0 || session->copies + copy_bytes(length) <= most;
    struct gy_rudp_message *message =
        room ? gy_rudp_memory_take(memory, sizeof *message + length) : NULL;
    if (message == NULL) {
        return GY_ENOMEM;
    }
    uint8_t *copy = (uint8_t *)(message + 1);
    *message = (struct gy_rudp_message){
        .data = copy,
        .length = (uint32_t)length,
        .channel = channel,
        .guarantee = guarantee,
        .user = &copies,
    };
    memcpy(copy, data, length);
    int code = gy_rudp_host_send(session, message);
    if (code != 0) {
        gy_rudp_memory_give(memory, message);
    } else {
        session->copies += copy_bytes(length);
        gy_count(&session->host->worker->counters.copied_bytes, length);
    }
    return code;
}

void gy_rudp_host_consumed(struct gy_rudp_session *session, uint8_t channel, uint64_t bytes)
{
    gy_rudp_consumed(&session->conn, channel, bytes);
    gy_rudp_session_touch(session);
}

void gy_rudp_host_end(struct gy_rudp_session *session, uint64_t code, const char *reason)
{
    gy_rudp_close(&session->conn, code, reason, session->host->worker->now_ns);
    gy_rudp_session_touch(session);
}

void gy_rudp_host_drain(struct gy_rudp_host *host)
{
    for (struct gy_rudp_session *session; (session = TAILQ_FIRST(&host->all)) != NULL;) {
        gy_rudp_close(&session->conn, GY_RUDP_CLOSE_GOING, "this end goes away",
                      host->worker->now_ns);
        hand_back(session);
        output(session);
        gy_rudp_session_free(session);
    }
}
