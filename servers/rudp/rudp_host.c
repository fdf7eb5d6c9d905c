/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A host, its memory, and its sessions. */

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
    /* Anybody can forge ICMP: the connection's own timers decide. */
    gy_rudp_host_of(socket)->unreachable = errno_value;
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
    gy_rudp_session_hand_back(session);
    if (host->options.ops->closed != NULL) {
        host->options.ops->closed(session);
    }
    gy_rudp_session_count(session);
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
