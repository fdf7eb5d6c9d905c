/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/datagram.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

#include "core/datagram_internal.h"

#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define KERNEL_IN_BYTES (4 << 20)

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

int gy_datagram_steer(int descriptor, const struct sock_filter *code, uint16_t count)
{
    struct sock_fprog program = {.len = count, .filter = (struct sock_filter *)code};
    int result =
        setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
    return result == 0 ? 0 : gy_error_from_errno(errno);
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
    if (options->ecn_usual != 0) { /* else each send would have the kernel look up its route */
        set_option(descriptor, IPPROTO_IP, IP_TOS, options->ecn_usual);
        if (v6 && !set_option(descriptor, IPPROTO_IPV6, IPV6_TCLASS, options->ecn_usual)) {
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
    uint32_t in_bytes = options->kernel_in_bytes != 0 ? options->kernel_in_bytes : KERNEL_IN_BYTES;
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
    socket->ecn = endpoint->options.ecn_usual;
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

/* ---- ending ---- */

static void leave_starved(struct gy_datagram_socket *socket)
{
    if (socket->starved) {
        socket->starved = false;
        TAILQ_REMOVE(&socket->endpoint->starved, socket, starved_entry);
    }
}

void gy_datagram_end(struct gy_datagram_socket *socket, enum gy_datagram_state state)
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
    gy_datagram_end(socket, GY_DATAGRAM_FLUSHING);
}

void gy_datagram_abort(struct gy_datagram_socket *socket)
{
    gy_datagram_end(socket, GY_DATAGRAM_CLOSING);
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

void gy_datagram_progress(struct gy_datagram_socket *socket)
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
