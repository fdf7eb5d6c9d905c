/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/datagram.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/asan.h"
#include "core/datagram_internal.h"
#include "core/listener.h"
#include "core/log.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define DEFAULT_SOCKETS 4096
#define SENDS_MAX       16384
#define DEFAULT_SENDS   1024
#define KERNEL_IN_BYTES (4 << 20)
#define BUFFER_BYTES    2048
#define BUFFERS         1024
#define POSTED          64
#define TRAIN_BUFFERS   64
#define TRAIN_POSTED    16
#define TAKE_MAX        65536 /* of what waits in a socket that ends */
#define GROUPS_MAX      1024

/* ---- modes ---- */

static const char *const mode_names[GY_DATAGRAM_MODE_COUNT] = {
    [GY_DATAGRAM_CHOOSE] = "choose",
    [GY_DATAGRAM_RING] = "ring",
    [GY_DATAGRAM_CALLS] = "calls",
};

const char *gy_datagram_mode_name(enum gy_datagram_mode mode)
{
    gy_assert(mode >= 0 && mode < GY_DATAGRAM_MODE_COUNT);
    return mode_names[mode];
}

int gy_datagram_mode_parse(const char *name, enum gy_datagram_mode *mode)
{
    for (int i = 0; i < GY_DATAGRAM_MODE_COUNT; i++) {
        if (strcmp(name, mode_names[i]) == 0) {
            *mode = (enum gy_datagram_mode)i;
            return 0;
        }
    }
    return GY_EINVAL;
}

static int settle_modes(struct gy_datagram_options *options, uint32_t features,
                        struct gy_error *error)
{
    bool multishot = features & GY_RING_MULTISHOT_RECEIVE;
    if (options->receive_mode == GY_DATAGRAM_RING && !multishot) {
        return gy_error_set(error, GY_ENOTSUP,
                            "preparing %s: this kernel does not receive datagrams on the ring "
                            "(multishot recvmsg, Linux 6.0)",
                            options->name);
    }
    if (options->receive_mode == GY_DATAGRAM_CHOOSE) {
        options->receive_mode = multishot ? GY_DATAGRAM_RING : GY_DATAGRAM_CALLS;
    }
    if (options->send_mode == GY_DATAGRAM_CHOOSE) {
        options->send_mode = multishot ? GY_DATAGRAM_RING : GY_DATAGRAM_CALLS;
    }
    return 0;
}

/* ---- the worker's table ---- */

static int table_open(struct gy_worker *worker, struct gy_error *error)
{
    if (worker->datagrams != NULL) {
        return 0;
    }
    uint32_t sockets =
        worker->options.datagrams_max != 0 ? worker->options.datagrams_max : DEFAULT_SOCKETS;
    gy_assert(sockets <= GY_SLOT_MAX);
    size_t bytes[] = {
        (sizeof(struct gy_datagram_table) + 63) & ~(size_t)63,
        gy_slab_bytes(sizeof(struct gy_datagram_socket), sockets),
        gy_slab_bytes(sizeof(struct gy_datagram_send), SENDS_MAX),
        (sizeof(uint32_t) * sockets + 63) & ~(size_t)63,
        sizeof(uint32_t) * SENDS_MAX,
        sizeof(struct gy_datagram_batch),
    };
    size_t all = 0;
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        all += bytes[i];
    }
    void *memory =
        mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return gy_error_set(error, GY_ENOMEM, "preparing for datagrams: out of memory");
    }
    struct gy_datagram_table *table = memory;
    uint8_t *at = memory;
    table->memory = memory;
    table->memory_bytes = all;
    /* Behind those of the listeners' own pools. */
    table->group_next = (uint16_t)(worker->options.pool.group + GY_LISTENERS_MAX);
    gy_slab_init(&table->sockets, at += bytes[0], bytes[1], sizeof(struct gy_datagram_socket));
    gy_slab_init(&table->sends, at += bytes[1], bytes[2], sizeof(struct gy_datagram_send));
    table->generations = (uint32_t *)(void *)(at += bytes[2]);
    table->send_generations = (uint32_t *)(void *)(at += bytes[3]);
    table->batch = (struct gy_datagram_batch *)(void *)(at + bytes[4]);
    TAILQ_INIT(&table->ready);
    TAILQ_INIT(&table->flush);
    worker->datagrams = table;
    return 0;
}

/* ---- endpoints ---- */

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static struct gy_pool_options settle_buffers(struct gy_datagram_endpoint *endpoint)
{
    struct gy_datagram_options *options = &endpoint->options;
    uint32_t head = gy_datagram_head_bytes(endpoint);
    options->message_bytes = or_default(options->message_bytes, BUFFER_BYTES - head);
    if (options->gro || options->message_bytes > GY_DATAGRAM_BYTES_MAX) {
        options->message_bytes = GY_DATAGRAM_BYTES_MAX;
    }
    options->buffers = or_default(options->buffers, options->gro ? TRAIN_BUFFERS : BUFFERS);
    options->posted = or_default(options->posted, options->gro ? TRAIN_POSTED : POSTED);
    return (struct gy_pool_options){
        .buffer_bytes = (head + options->message_bytes + 63) & ~63u,
        .buffers = options->buffers,
        .posted = options->receive_mode == GY_DATAGRAM_RING ? options->posted : 0,
        .mode = GY_RECEIVE_MULTISHOT,
    };
}

int gy_datagram_endpoint_open(struct gy_datagram_endpoint *endpoint, struct gy_worker *worker,
                              const struct gy_datagram_options *options, struct gy_error *error)
{
    gy_assert(options->ops != NULL && options->ops->receive != NULL);
    *endpoint = (struct gy_datagram_endpoint){
        .worker = worker,
        .ops = options->ops,
        .context = options->context,
        .options = *options,
        .train_bytes_max = options->gso ? GY_DATAGRAM_TRAIN_BYTES_MAX : 0,
        .control_bytes = (uint32_t)(CMSG_SPACE(sizeof(struct in6_pktinfo)) +
                                    CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(int))),
    };
    TAILQ_INIT(&endpoint->starved);
    int code = settle_modes(&endpoint->options, gy_ring_features(worker->ring), error);
    if (code == 0) {
        code = table_open(worker, error);
    }
    if (code != 0) {
        return code;
    }
    struct gy_datagram_table *table = worker->datagrams;
    endpoint->options.sends_max = or_default(options->sends_max, DEFAULT_SENDS);
    struct gy_pool_options pool = settle_buffers(endpoint);
    pool.group = table->group_next;
    if (table->group_next - worker->options.pool.group - GY_LISTENERS_MAX >= GROUPS_MAX) {
        return gy_error_set(error, GY_ELIMIT, "preparing %s: a worker has at most %d endpoints",
                            options->name, GROUPS_MAX);
    }
    code = gy_pool_open(&endpoint->pool, worker->ring, &pool, error);
    if (code != 0) {
        return code;
    }
    table->group_next++;
    endpoint->next = table->endpoints;
    table->endpoints = endpoint;
    return 0;
}

void gy_datagram_endpoint_close(struct gy_datagram_endpoint *endpoint)
{
    gy_assert(endpoint->sockets == 0 && endpoint->sends == 0);
    struct gy_datagram_endpoint **at = &endpoint->worker->datagrams->endpoints;
    while (*at != endpoint) {
        gy_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = endpoint->next;
    gy_pool_close(endpoint->pool);
    endpoint->pool = NULL;
}

/* ---- lists ---- */

void gy_datagram_flush_later(struct gy_datagram_socket *socket)
{
    if (!socket->flush) {
        socket->flush = true;
        TAILQ_INSERT_TAIL(&socket->worker->datagrams->flush, socket, flush_entry);
    }
}

void gy_datagram_make_ready(struct gy_datagram_socket *socket)
{
    if (!socket->ready) {
        socket->ready = true;
        TAILQ_INSERT_TAIL(&socket->worker->datagrams->ready, socket, ready_entry);
    }
}

void gy_datagram_fail(struct gy_datagram_socket *socket, int errno_value)
{
    if (socket->dialled && socket->state == GY_DATAGRAM_OPEN) {
        socket->error = errno_value;
        gy_datagram_make_ready(socket);
    }
}

/* ---- sockets ---- */

static bool set_option(int descriptor, int level, int option, int value)
{
    return setsockopt(descriptor, level, option, &value, sizeof value) == 0;
}

static int fragments_value(enum gy_datagram_fragments fragments)
{
    _Static_assert(IP_PMTUDISC_OMIT == IPV6_PMTUDISC_OMIT &&
                       IP_PMTUDISC_PROBE == IPV6_PMTUDISC_PROBE,
                   "both families count alike");
    return fragments == GY_DATAGRAM_FRAGMENT_OMIT ? IP_PMTUDISC_OMIT : IP_PMTUDISC_PROBE;
}

/* What the kernel is to tell and to do. Options that are for speed, or that the family has not, may
 * fail. Returns 0 or an errno value. */
static int set_options(const struct gy_datagram_socket *socket)
{
    const struct gy_datagram_options *options = &socket->endpoint->options;
    int descriptor = socket->descriptor;
    bool v6 = socket->local.any.sa_family == AF_INET6;
    if (socket->wide && !set_option(descriptor, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                                    v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1)) {
        return errno;
    }
    if (options->ecn) {
        set_option(descriptor, IPPROTO_IP, IP_RECVTOS, 1); /* IPv4 may come to IPv6 sockets */
        if (v6 && !set_option(descriptor, IPPROTO_IPV6, IPV6_RECVTCLASS, 1)) {
            return errno;
        }
    }
    if (options->gro) {
        set_option(descriptor, IPPROTO_UDP, UDP_GRO, 1);
    }
    if (options->fragments != GY_DATAGRAM_FRAGMENT_SYSTEM) {
        int value = fragments_value(options->fragments);
        set_option(descriptor, IPPROTO_IP, IP_MTU_DISCOVER, value);
        if (v6 && !set_option(descriptor, IPPROTO_IPV6, IPV6_MTU_DISCOVER, value)) {
            return errno;
        }
    }
    uint32_t in_bytes = or_default(options->kernel_in_bytes, KERNEL_IN_BYTES);
    set_option(descriptor, SOL_SOCKET, SO_RCVBUF,
               (int)(in_bytes < INT32_MAX ? in_bytes : INT32_MAX));
    if (options->kernel_out_bytes != 0) {
        set_option(descriptor, SOL_SOCKET, SO_SNDBUF, (int)options->kernel_out_bytes);
    }
    /* The ring waits by itself; with O_NONBLOCK it would not. Calls say it each time. */
    int flags = fcntl(descriptor, F_GETFL);
    return flags < 0 || fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) < 0 ? errno : 0;
}

static void bound_to(struct gy_datagram_socket *socket)
{
    const struct gy_address *local = &socket->local;
    if (local->any.sa_family == AF_INET) {
        socket->wide = local->v4.sin_addr.s_addr == htonl(INADDR_ANY);
        memset(&socket->bound, 0, sizeof socket->bound);
        if (!socket->wide) {
            socket->bound.s6_addr[10] = socket->bound.s6_addr[11] = 0xff;
            memcpy(&socket->bound.s6_addr[12], &local->v4.sin_addr, 4);
        }
    } else {
        socket->bound = local->v6.sin6_addr;
        socket->wide = IN6_IS_ADDR_UNSPECIFIED(&socket->bound);
    }
}

static void expired(struct gy_timer *timer, uint64_t now_ms)
{
    (void)now_ms;
    struct gy_datagram_socket *socket =
        (struct gy_datagram_socket *)((char *)timer - offsetof(struct gy_datagram_socket, timer));
    if (socket->state == GY_DATAGRAM_OPEN && socket->endpoint->ops->expire != NULL) {
        socket->endpoint->ops->expire(socket);
    }
}

static int socket_error(const struct gy_datagram_endpoint *endpoint, int cause,
                        struct gy_error *error)
{
    return gy_error_set(error, gy_error_from_errno(cause), "preparing a UDP socket of %s: %s",
                        endpoint->options.name, strerror(cause));
}

static struct gy_datagram_socket *socket_new(struct gy_datagram_endpoint *endpoint, int descriptor,
                                             const struct gy_address *peer, void *context,
                                             struct gy_error *error)
{
    struct gy_datagram_table *table = endpoint->worker->datagrams;
    struct gy_address local = {0};
    int type = 0;
    socklen_t length = sizeof type;
    if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_DGRAM ||
        gy_address_of_socket(&local, descriptor) != 0) {
        gy_error_set(error, GY_EINVAL, "preparing a UDP socket of %s: descriptor %d is none",
                     endpoint->options.name, descriptor);
        return NULL;
    }
    struct gy_datagram_socket *socket = gy_slab_take(&table->sockets);
    if (socket == NULL) {
        gy_error_set(error, GY_ELIMIT,
                     "preparing a UDP socket of %s: this worker has %u, which is the limit",
                     endpoint->options.name, table->sockets.capacity);
        return NULL;
    }
    uint32_t slot = gy_slab_index(&table->sockets, socket);
    gy_assert(!(table->generations[slot] & 1));
    *socket = (struct gy_datagram_socket){
        .worker = endpoint->worker,
        .endpoint = endpoint,
        .context = context,
        .local = local,
        .descriptor = descriptor,
        .slot = slot,
        .generation = table->generations[slot] + 1,
        .dialled = peer != NULL,
    };
    if (peer != NULL) {
        socket->peer = *peer;
    }
    gy_chain_init(&socket->in, &endpoint->worker->links);
    gy_timer_init(&socket->timer, expired);
    TAILQ_INIT(&socket->queue);
    TAILQ_INIT(&socket->flight);
    bound_to(socket);
    int cause = set_options(socket);
    if (cause != 0) {
        socket_error(endpoint, cause, error);
        gy_slab_give(&table->sockets, socket);
        return NULL;
    }
    table->generations[slot]++;
    table->open++;
    endpoint->sockets++;
    gy_datagram_flush_later(socket);
    return socket;
}

struct gy_datagram_socket *gy_datagram_take(struct gy_datagram_endpoint *endpoint, int descriptor,
                                            void *context, struct gy_error *error)
{
    return socket_new(endpoint, descriptor, NULL, context, error);
}

struct gy_datagram_socket *gy_datagram_dial(struct gy_datagram_endpoint *endpoint,
                                            const struct gy_address *peer,
                                            const struct gy_address *local, void *context,
                                            struct gy_error *error)
{
    char text[GY_ADDRESS_TEXT_BYTES];
    int descriptor = socket(peer->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        socket_error(endpoint, errno, error);
        return NULL;
    }
    if ((local != NULL && bind(descriptor, &local->any, local->length) != 0) ||
        connect(descriptor, &peer->any, peer->length) != 0) {
        int cause = errno;
        gy_error_set(error, gy_error_from_errno(cause), "reaching for %s by UDP: %s",
                     gy_address_format(peer, text, sizeof text), strerror(cause));
        close(descriptor);
        return NULL;
    }
    struct gy_datagram_socket *socket = socket_new(endpoint, descriptor, peer, context, error);
    if (socket == NULL) {
        close(descriptor);
    }
    return socket;
}

void gy_datagram_set_deadline(struct gy_datagram_socket *socket, uint64_t deadline_ms)
{
    struct gy_wheel *wheel = &socket->worker->wheel;
    if (deadline_ms == 0 || socket->state != GY_DATAGRAM_OPEN) {
        gy_timer_disarm(wheel, &socket->timer);
    } else if (!gy_timer_armed(&socket->timer) || socket->timer.due_ms != deadline_ms) {
        gy_timer_arm(wheel, &socket->timer, deadline_ms);
    }
}

uint64_t gy_datagram_kernel_drops(const struct gy_datagram_socket *socket)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof info;
    if (getsockopt(socket->descriptor, SOL_SOCKET, SO_MEMINFO, info, &length) != 0) {
        return 0;
    }
    return info[SK_MEMINFO_DROPS];
}

/* ---- ending ---- */

static void leave_starved(struct gy_datagram_socket *socket)
{
    if (socket->starved) {
        socket->starved = false;
        TAILQ_REMOVE(&socket->endpoint->starved, socket, starved_entry);
    }
}

static void end(struct gy_datagram_socket *socket, enum gy_datagram_state state)
{
    if (socket->state >= state) {
        return;
    }
    socket->state = (uint8_t)state;
    socket->readable = false;
    gy_timer_disarm(&socket->worker->wheel, &socket->timer);
    leave_starved(socket);
    if (state != GY_DATAGRAM_TAKING) {
        gy_chain_clear(&socket->in);
    }
    gy_datagram_flush_later(socket);
}

void gy_datagram_close(struct gy_datagram_socket *socket)
{
    end(socket, GY_DATAGRAM_FLUSHING);
}

void gy_datagram_abort(struct gy_datagram_socket *socket)
{
    end(socket, GY_DATAGRAM_CLOSING);
}

/* By token: another process may receive on the same socket. */
static bool cancel(struct gy_datagram_socket *socket, uint64_t target)
{
    if (gy_ring_cancel_token(socket->worker->ring,
                             gy_datagram_token(socket, GY_OPERATION_DATAGRAM_CANCEL),
                             target) != 0) {
        gy_datagram_flush_later(socket);
        return false;
    }
    socket->cancelling++;
    return true;
}

static void stop_receiving(struct gy_datagram_socket *socket)
{
    if (socket->receiving && !socket->receive_cancelled) {
        socket->receive_cancelled =
            cancel(socket, gy_datagram_token(socket, GY_OPERATION_DATAGRAM_RECEIVE));
    }
}

static void stop_sending(struct gy_datagram_socket *socket)
{
    struct gy_datagram_send *send;
    gy_datagram_drop_queue(socket);
    TAILQ_FOREACH(send, &socket->flight, entry)
    {
        if (!send->cancelled) {
            send->cancelled = cancel(socket, gy_datagram_send_token(send));
        }
    }
    if (socket->polling_out && !socket->out_cancelled) {
        socket->out_cancelled =
            cancel(socket, gy_datagram_token(socket, GY_OPERATION_DATAGRAM_WRITABLE));
    }
}

static void socket_free(struct gy_datagram_socket *socket)
{
    struct gy_worker *worker = socket->worker;
    struct gy_datagram_table *table = worker->datagrams;
    for (struct gy_datagram_service *service = table->services; service != NULL;
         service = service->next) {
        if (service->socket == socket) {
            service->socket = NULL;
        }
    }
    if (socket->endpoint->ops->closed != NULL) {
        socket->endpoint->ops->closed(socket);
    }
    gy_chain_clear(&socket->in);
    gy_timer_disarm(&worker->wheel, &socket->timer);
    if (socket->ready) {
        TAILQ_REMOVE(&table->ready, socket, ready_entry);
    }
    if (socket->flush) {
        TAILQ_REMOVE(&table->flush, socket, flush_entry);
    }
    gy_assert(!socket->starved && TAILQ_EMPTY(&socket->queue));
    gy_worker_close_descriptor(worker, socket->descriptor);
    gy_assert(table->open > 0 && socket->endpoint->sockets > 0);
    table->open--;
    socket->endpoint->sockets--;
    table->generations[socket->slot]++;
    gy_slab_give(&table->sockets, socket);
}

static bool is_idle(const struct gy_datagram_socket *socket)
{
    return !socket->receiving && socket->cancelling == 0 && !socket->polling_out &&
           TAILQ_EMPTY(&socket->queue) && TAILQ_EMPTY(&socket->flight);
}

/* Does what the socket's state asks for. */
static void progress(struct gy_datagram_socket *socket)
{
    switch ((enum gy_datagram_state)socket->state) {
    case GY_DATAGRAM_OPEN:
        gy_datagram_push(socket);
        gy_datagram_arm(socket);
        return;
    case GY_DATAGRAM_TAKING:
        gy_datagram_push(socket);
        stop_receiving(socket);
        if (!socket->receiving) {
            gy_datagram_make_ready(socket);
        }
        return;
    case GY_DATAGRAM_FLUSHING:
        gy_datagram_push(socket);
        stop_receiving(socket);
        break;
    case GY_DATAGRAM_CLOSING:
        stop_receiving(socket);
        stop_sending(socket);
        break;
    }
    if (is_idle(socket)) {
        socket_free(socket);
    }
}

/* ---- the worker's side ---- */

static struct gy_datagram_socket *socket_of(const struct gy_datagram_table *table, uint64_t token)
{
    uint32_t slot = gy_token_slot(token);
    uint32_t generation = gy_token_generation(token);
    bool live =
        slot < table->sockets.fresh && (generation & 1) && table->generations[slot] == generation;
    return live ? gy_slab_at(&table->sockets, slot) : NULL;
}

static struct gy_datagram_send *send_of(const struct gy_datagram_table *table, uint64_t token)
{
    uint32_t slot = gy_token_slot(token);
    uint32_t generation = gy_token_generation(token);
    bool live = slot < table->sends.fresh && (generation & 1) &&
                table->send_generations[slot] == generation;
    return live ? gy_slab_at(&table->sends, slot) : NULL;
}

/* The operation's own completion tells what became of it. Where the cancel found none, because it
 * was just being started, it is asked for again. */
static void cancelled(struct gy_datagram_socket *socket, const struct gy_completion *completion)
{
    socket->cancelling--;
    if (completion->result <= 0 && socket->cancelling == 0) {
        struct gy_datagram_send *send;
        socket->receive_cancelled = false;
        socket->out_cancelled = false;
        TAILQ_FOREACH(send, &socket->flight, entry)
        {
            send->cancelled = false;
        }
    }
    gy_datagram_flush_later(socket);
}

bool gy_datagram_completed(struct gy_worker *worker, const struct gy_completion *completion)
{
    struct gy_datagram_table *table = worker->datagrams;
    if (table == NULL) {
        return false;
    }
    enum gy_operation operation = gy_token_operation(completion->token);
    if (operation == GY_OPERATION_DATAGRAM_SEND) {
        struct gy_datagram_send *send = send_of(table, completion->token);
        if (send != NULL) {
            gy_datagram_sent(send, completion->result);
        }
        return send != NULL;
    }
    struct gy_datagram_socket *socket = socket_of(table, completion->token);
    if (socket == NULL) {
        return false;
    }
    if (operation == GY_OPERATION_DATAGRAM_RECEIVE && socket->receiving) {
        gy_datagram_received(socket, completion);
    } else if (operation == GY_OPERATION_DATAGRAM_WRITABLE && socket->polling_out) {
        socket->polling_out = false;
        gy_datagram_flush_later(socket);
    } else if (operation == GY_OPERATION_DATAGRAM_CANCEL && socket->cancelling > 0) {
        cancelled(socket, completion);
    } else {
        return false;
    }
    return true;
}

void gy_datagrams_run(struct gy_worker *worker)
{
    struct gy_datagram_table *table = worker->datagrams;
    if (table == NULL) {
        return;
    }
    /* Those that become ready meanwhile wait for the next turn. */
    struct gy_datagram_sockets now = TAILQ_HEAD_INITIALIZER(now);
    TAILQ_CONCAT(&now, &table->ready, ready_entry);
    for (struct gy_datagram_socket *socket; (socket = TAILQ_FIRST(&now)) != NULL;) {
        TAILQ_REMOVE(&now, socket, ready_entry);
        socket->ready = false;
        gy_datagram_deliver(socket);
    }
}

void gy_datagrams_flush(struct gy_worker *worker)
{
    struct gy_datagram_table *table = worker->datagrams;
    if (table == NULL) {
        return;
    }
    struct gy_datagram_endpoint *endpoint;
    for (endpoint = table->endpoints; endpoint != NULL; endpoint = endpoint->next) {
        gy_datagram_forget_recent(endpoint);
        gy_pool_refill(endpoint->pool);
    }
    struct gy_datagram_sockets now = TAILQ_HEAD_INITIALIZER(now);
    TAILQ_CONCAT(&now, &table->flush, flush_entry);
    for (struct gy_datagram_socket *socket; (socket = TAILQ_FIRST(&now)) != NULL;) {
        TAILQ_REMOVE(&now, socket, flush_entry);
        socket->flush = false;
        progress(socket);
    }
    for (endpoint = table->endpoints; endpoint != NULL; endpoint = endpoint->next) {
        if (!TAILQ_EMPTY(&endpoint->starved)) {
            gy_pool_refill(endpoint->pool);
            gy_datagram_resume_starved(endpoint);
        }
    }
}

bool gy_datagrams_busy(const struct gy_worker *worker)
{
    const struct gy_datagram_table *table = worker->datagrams;
    return table != NULL && (!TAILQ_EMPTY(&table->ready) || !TAILQ_EMPTY(&table->flush));
}

static void drain_socket(struct gy_datagram_socket *socket)
{
    if (socket->endpoint->ops->drain != NULL) {
        socket->endpoint->ops->drain(socket);
    } else {
        gy_datagram_close(socket);
    }
}

void gy_datagrams_drain(struct gy_worker *worker, bool take_waiting)
{
    struct gy_datagram_table *table = worker->datagrams;
    if (table == NULL) {
        return;
    }
    for (struct gy_datagram_service *service = table->services; service != NULL;
         service = service->next) {
        if (service->socket != NULL) {
            /* What the kernel has put into our buffers already is nobody else's either way. */
            service->socket->take_left = take_waiting ? TAKE_MAX : 0;
            end(service->socket, GY_DATAGRAM_TAKING);
        }
    }
    for (uint32_t slot = 0; slot < table->sockets.fresh; slot++) {
        struct gy_datagram_socket *socket = gy_slab_at(&table->sockets, slot);
        if ((table->generations[slot] & 1) && socket->state == GY_DATAGRAM_OPEN) {
            drain_socket(socket);
        }
    }
}

void gy_datagrams_abort(struct gy_worker *worker)
{
    struct gy_datagram_table *table = worker->datagrams;
    for (uint32_t slot = 0; table != NULL && slot < table->sockets.fresh; slot++) {
        if (table->generations[slot] & 1) {
            gy_datagram_abort(gy_slab_at(&table->sockets, slot));
        }
    }
}

uint32_t gy_datagrams_open(const struct gy_worker *worker)
{
    return worker->datagrams != NULL ? worker->datagrams->open : 0;
}

/* ---- servers ---- */

int gy_datagram_serve(struct gy_worker *worker, const struct gy_server *server,
                      struct gy_error *error)
{
    struct gy_datagram_service *service = calloc(1, sizeof *service);
    if (service == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing %s: out of memory", server->name);
    }
    struct gy_datagram_options options = *server->datagrams;
    options.name = server->name;
    options.context = server->context;
    int code = gy_datagram_endpoint_open(&service->endpoint, worker, &options, error);
    if (code != 0) {
        free(service);
        return code;
    }
    if (server->worker_open != NULL) {
        code = server->worker_open(worker, server, &service->endpoint.state, error);
    }
    if (code == 0) {
        service->server = server;
        service->socket = gy_datagram_take(
            &service->endpoint, server->descriptors[worker->options.number], NULL, error);
        if (service->socket != NULL) {
            service->next = worker->datagrams->services;
            worker->datagrams->services = service;
            return 0;
        }
        code = error != NULL && error->code != 0 ? error->code : GY_EINVAL;
        if (server->worker_close != NULL) {
            server->worker_close(worker, service->endpoint.state);
        }
    }
    gy_datagram_endpoint_close(&service->endpoint);
    free(service);
    return code;
}

void gy_datagrams_close(struct gy_worker *worker)
{
    struct gy_datagram_table *table = worker->datagrams;
    if (table == NULL) {
        return;
    }
    gy_assert(table->open == 0);
    for (struct gy_datagram_service *service; (service = table->services) != NULL;) {
        table->services = service->next;
        if (service->server->worker_close != NULL) {
            service->server->worker_close(worker, service->endpoint.state);
        }
        gy_datagram_endpoint_close(&service->endpoint);
        free(service);
    }
    gy_unpoison(table->memory, table->memory_bytes);
    munmap(table->memory, table->memory_bytes);
    worker->datagrams = NULL;
}
