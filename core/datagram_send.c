/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Datagrams going out: queueing and grouping them, describing them to the kernel, and what became
 * of them. */

#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>

#include "core/datagram_internal.h"
#include "core/log.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* ---- what was not sent ---- */

static _Atomic uint64_t *unsent_counter(struct gy_counters *counters, int errno_value)
{
    switch (errno_value) {
    case EMSGSIZE:
        return &counters->unsent_too_long;
    case ENOBUFS:
    case ENOMEM:
        return &counters->unsent_no_buffers;
    case EAGAIN:
        return &counters->unsent_again;
    case EPERM:
    case EACCES:
        return &counters->unsent_forbidden;
    case ECONNREFUSED:
        return &counters->unsent_refused;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case EADDRNOTAVAIL:
        return &counters->unsent_unreachable;
    case ECANCELED:
        return &counters->unsent_closed;
    default:
        return &counters->unsent_error;
    }
}

static void send_free(struct gy_datagram_send *send)
{
    struct gy_datagram_socket *socket = send->socket;
    struct gy_datagram_table *table = socket->worker->datagrams;
    gy_assert(socket->endpoint->sends > 0);
    gy_chain_clear(&send->bytes);
    socket->endpoint->sends--;
    gy_slab_give(&table->sends, send);
}

void gy_datagram_drop_queue(struct gy_datagram_socket *socket)
{
    gy_datagram_forget_recent(socket->endpoint);
    for (struct gy_datagram_send *send; (send = TAILQ_FIRST(&socket->queue)) != NULL;) {
        TAILQ_REMOVE(&socket->queue, send, entry);
        gy_count(&socket->worker->counters.unsent_closed, send->count);
        send_free(send);
    }
}

/* ---- queueing ---- */

void gy_datagram_forget_recent(struct gy_datagram_endpoint *endpoint)
{
    if (endpoint->recent_used) {
        memset(endpoint->recent, 0, sizeof endpoint->recent);
        endpoint->recent_used = false;
    }
}

static struct gy_datagram_send **recent_of(const struct gy_datagram_socket *socket,
                                           const struct gy_datagram_path *path)
{
    uint32_t key = socket->slot * 0x9e3779b1u;
    if (path != NULL && path->peer.any.sa_family == AF_INET) {
        key ^= path->peer.v4.sin_addr.s_addr ^ path->peer.v4.sin_port * 0x85ebca6bu;
    } else if (path != NULL) {
        uint32_t low;
        memcpy(&low, &path->peer.v6.sin6_addr.s6_addr[12], sizeof low);
        key ^= low ^ path->peer.v6.sin6_port * 0x85ebca6bu;
    }
    key *= 0x9e3779b1u;
    return &socket->endpoint->recent[key >> 26];
}

_Static_assert(GY_DATAGRAM_RECENT == 1 << (32 - 26), "the key's upper bits find the place");

static bool is_along(const struct gy_datagram_send *send, const struct gy_datagram_path *path,
                     uint8_t ecn)
{
    if (path == NULL) {
        return send->name_length == 0 && send->ecn == ecn;
    }
    return send->name_length == path->peer.length && send->ecn == ecn &&
           memcmp(&send->name, &path->peer.any, send->name_length) == 0 &&
           IN6_ARE_ADDR_EQUAL(&send->local, &path->local);
}

/* The send that this datagram can travel with. */
static bool can_join(const struct gy_datagram_send *send, const struct gy_datagram_socket *socket,
                     const struct gy_datagram_path *path, uint8_t ecn, uint32_t length,
                     uint32_t pieces)
{
    return send != NULL && send->socket == socket && !send->closed && length > 0 &&
           length <= send->segment_bytes &&
           send->segment_bytes <= socket->endpoint->train_bytes_max &&
           send->count < GY_DATAGRAM_TRAIN_MAX &&
           send->bytes.length + length <= GY_DATAGRAM_TRAIN_BYTES_MAX &&
           send->bytes.count + pieces <= GY_SEND_VECTORS_MAX && is_along(send, path, ecn);
}

static struct gy_datagram_send *send_new(struct gy_datagram_socket *socket,
                                         const struct gy_datagram_path *path, uint8_t ecn)
{
    struct gy_datagram_endpoint *endpoint = socket->endpoint;
    struct gy_datagram_table *table = socket->worker->datagrams;
    if (endpoint->sends >= endpoint->options.sends_max) {
        return NULL;
    }
    struct gy_datagram_send *send = gy_slab_take(&table->sends);
    if (send == NULL) {
        return NULL;
    }
    send->socket = socket;
    gy_chain_init(&send->bytes, &socket->worker->links);
    send->slot = gy_slab_index(&table->sends, send);
    send->count = send->segment_bytes = send->sending_bytes = 0;
    send->closed = send->split = send->cancelled = false;
    send->name_length = 0;
    send->local = in6addr_any;
    send->interface = 0;
    send->ecn = ecn;
    if (path != NULL) {
        gy_assert(path->peer.length <= sizeof send->name);
        memcpy(&send->name, &path->peer.any, path->peer.length);
        send->name_length = (uint8_t)path->peer.length;
        send->local = path->local;
        send->interface = path->interface;
    }
    endpoint->sends++;
    TAILQ_INSERT_TAIL(&socket->queue, send, entry);
    return send;
}

/* Where the datagram is to go: counted in, but not its bytes. NULL: refused. */
static struct gy_datagram_send *send_for(struct gy_datagram_socket *socket,
                                         const struct gy_datagram_path *path, uint8_t ecn,
                                         uint32_t length, uint32_t pieces)
{
    struct gy_datagram_endpoint *endpoint = socket->endpoint;
    struct gy_datagram_send **recent = endpoint->options.gso ? recent_of(socket, path) : NULL;
    if (recent != NULL && can_join(*recent, socket, path, ecn, length, pieces)) {
        (*recent)->closed = length < (*recent)->segment_bytes;
        (*recent)->count++;
        return *recent;
    }
    struct gy_datagram_send *send = send_new(socket, path, ecn);
    if (send != NULL) {
        send->count = 1;
        send->segment_bytes = length;
    }
    if (recent != NULL) {
        *recent = send;
        endpoint->recent_used = true;
    }
    return send;
}

/* The datagram found no link for its bytes. */
static void send_undo(struct gy_datagram_send *send)
{
    struct gy_datagram_socket *socket = send->socket;
    gy_datagram_forget_recent(socket->endpoint);
    if (--send->count == 0) {
        TAILQ_REMOVE(&socket->queue, send, entry);
        send_free(send);
    } else {
        send->closed = true;
    }
}

static int refuse(struct gy_datagram_socket *socket, int code)
{
    struct gy_counters *counters = &socket->worker->counters;
    gy_count(code == GY_EINVAL    ? &counters->unsent_too_long
             : code == GY_ECLOSED ? &counters->unsent_closed
                                  : &counters->unsent_queue,
             1);
    return code;
}

static int check(const struct gy_datagram_socket *socket, const struct gy_datagram_path *path,
                 uint32_t length)
{
    gy_assert(path != NULL || socket->dialled);
    if (socket->state != GY_DATAGRAM_OPEN && socket->state != GY_DATAGRAM_TAKING) {
        return GY_ECLOSED;
    }
    return length > GY_DATAGRAM_BYTES_MAX ? GY_EINVAL : 0;
}

int gy_datagram_send(struct gy_datagram_socket *socket, const struct gy_datagram_path *path,
                     struct gy_slice slice)
{
    uint8_t ecn = path != NULL ? path->ecn : 0;
    path = socket->dialled ? NULL : path;
    int code = check(socket, path, slice.length);
    struct gy_datagram_send *send = code == 0 ? send_for(socket, path, ecn, slice.length, 1) : NULL;
    if (code == 0 && send == NULL) {
        code = GY_ENOBUFS;
    }
    if (code == 0 && gy_chain_append(&send->bytes, slice) != 0) {
        send_undo(send);
        code = GY_ENOBUFS;
    }
    if (code != 0) {
        gy_slice_drop(slice);
        return refuse(socket, code);
    }
    gy_datagram_flush_later(socket);
    return 0;
}

int gy_datagram_send_chain(struct gy_datagram_socket *socket, const struct gy_datagram_path *path,
                           struct gy_chain *chain)
{
    uint8_t ecn = path != NULL ? path->ecn : 0;
    path = socket->dialled ? NULL : path;
    gy_assert(chain->count <= GY_DATAGRAM_PIECES_MAX);
    int code = check(socket, path, chain->length);
    struct gy_datagram_send *send =
        code == 0 ? send_for(socket, path, ecn, chain->length, chain->count) : NULL;
    if (code == 0 && send == NULL) {
        code = GY_ENOBUFS;
    }
    if (code != 0) {
        gy_chain_clear(chain);
        return refuse(socket, code);
    }
    int moved = gy_chain_move(chain, &send->bytes, chain->length);
    gy_assert(moved == 0); /* whole slices move with their links */
    gy_datagram_flush_later(socket);
    return 0;
}

/* ---- describing ---- */

static uint8_t *add_control(uint8_t *at, int level, int type, const void *data, size_t bytes)
{
    struct cmsghdr head = {.cmsg_len = CMSG_LEN(bytes), .cmsg_level = level, .cmsg_type = type};
    memcpy(at, &head, sizeof head);
    memcpy(at + CMSG_LEN(0), data, bytes);
    return at + CMSG_SPACE(bytes);
}

static uint8_t *add_local(const struct gy_datagram_send *send, uint8_t *at)
{
    if (send->socket->local.any.sa_family == AF_INET) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, &send->local.s6_addr[12], 4);
        return add_control(at, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    }
    struct in6_pktinfo info = {.ipi6_addr = send->local};
    if (IN6_IS_ADDR_LINKLOCAL(&send->local)) {
        info.ipi6_ifindex = send->interface;
    }
    return add_control(at, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
}

static bool is_to_v4(const struct gy_datagram_send *send)
{
    const struct gy_datagram_socket *socket = send->socket;
    sa_family_t family =
        send->name_length > 0 ? send->name.any.sa_family : socket->peer.any.sa_family;
    const struct in6_addr *v6 =
        send->name_length > 0 ? &send->name.v6.sin6_addr : &socket->peer.v6.sin6_addr;
    return socket->local.any.sa_family == AF_INET || family == AF_INET ||
           (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(v6));
}

/* The control messages; returns how many bytes they take. */
static size_t describe_control(struct gy_datagram_send *send, bool train)
{
    uint8_t *at = send->control;
    if (send->socket->wide && send->name_length > 0 && !IN6_IS_ADDR_UNSPECIFIED(&send->local)) {
        at = add_local(send, at);
    }
    if (send->ecn != send->socket->ecn) {
        int value = send->ecn;
        at = is_to_v4(send) ? add_control(at, IPPROTO_IP, IP_TOS, &value, sizeof value)
                            : add_control(at, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof value);
    }
    if (train) {
        uint16_t bytes = (uint16_t)send->segment_bytes;
        at = add_control(at, IPPROTO_UDP, UDP_SEGMENT, &bytes, sizeof bytes);
    }
    gy_assert((size_t)(at - send->control) <= sizeof send->control);
    return (size_t)(at - send->control);
}

uint32_t gy_datagram_describe(struct gy_datagram_send *send, struct msghdr *message,
                              struct iovec *vectors)
{
    uint32_t length = send->bytes.length;
    if (send->split && send->segment_bytes < length) {
        length = send->segment_bytes;
    }
    uint32_t count =
        gy_chain_vectors(&send->bytes, vectors, GY_SEND_VECTORS_MAX, length, &send->sending_bytes);
    gy_assert(send->sending_bytes == length);
    if (count == 0) { /* a datagram may be empty */
        vectors[count++] = (struct iovec){send->control, 0};
    }
    size_t control = describe_control(send, send->count > 1 && !send->split);
    *message = (struct msghdr){
        .msg_name = send->name_length > 0 ? &send->name : NULL,
        .msg_namelen = send->name_length,
        .msg_iov = vectors,
        .msg_iovlen = count,
        .msg_control = control > 0 ? send->control : NULL,
        .msg_controllen = control,
    };
    return count;
}

/* ---- with the kernel ---- */

static int submit(struct gy_datagram_send *send)
{
    struct gy_datagram_socket *socket = send->socket;
    struct gy_worker *worker = socket->worker;
    if (GY_TURN_VECTORS - worker->vectors_used < GY_SEND_VECTORS_MAX ||
        worker->messages_used == GY_TURN_MESSAGES) {
        return GY_ENOBUFS;
    }
    struct msghdr *message = &worker->messages[worker->messages_used];
    struct iovec *vectors = worker->vectors + worker->vectors_used;
    uint32_t count = gy_datagram_describe(send, message, vectors);
    worker->datagrams->send_generations[send->slot]++;
    gy_assert(worker->datagrams->send_generations[send->slot] & 1);
    uint64_t token = gy_datagram_send_token(send);
    int code;
    if (message->msg_name == NULL && message->msg_controllen == 0 && count == 1 &&
        send->sending_bytes > 0) {
        code = gy_ring_send(worker->ring, token, socket->descriptor, vectors[0].iov_base,
                            send->sending_bytes);
    } else {
        code = gy_ring_send_message(worker->ring, token, socket->descriptor, message);
        if (code == 0) {
            worker->vectors_used += count;
            worker->messages_used++;
        }
    }
    if (code != 0) {
        worker->datagrams->send_generations[send->slot]++;
    }
    return code;
}

void gy_datagram_push(struct gy_datagram_socket *socket)
{
    if (gy_datagram_sends_by_calls(socket)) {
        gy_datagram_push_calls(socket);
        return;
    }
    for (struct gy_datagram_send *send; (send = TAILQ_FIRST(&socket->queue)) != NULL;) {
        if (submit(send) != 0) {
            gy_datagram_flush_later(socket);
            return;
        }
        TAILQ_REMOVE(&socket->queue, send, entry);
        TAILQ_INSERT_TAIL(&socket->flight, send, entry);
    }
}

/* Errors that a train meets and its datagrams alone do not: the device has no checksums to offload
 * (EIO), or a datagram is longer than what is sent in one piece. */
static bool splits(const struct gy_datagram_send *send, int errno_value)
{
    return send->count > 1 && !send->split &&
           (errno_value == EIO || errno_value == EINVAL || errno_value == EMSGSIZE ||
            errno_value == EOPNOTSUPP);
}

/* From now on one by one; and trains of that length are not tried again. */
static void split(struct gy_datagram_send *send, int errno_value)
{
    struct gy_datagram_endpoint *endpoint = send->socket->endpoint;
    uint32_t takes = errno_value == EIO ? 0 : send->segment_bytes - 1;
    if (takes < endpoint->train_bytes_max) {
        gy_log_limited(GY_LOG_INFO, "datagram", "%s: the path takes no trains of %u bytes: %s",
                       endpoint->options.name, send->segment_bytes, strerror(errno_value));
        endpoint->train_bytes_max = takes;
    }
    send->split = true;
    gy_count(&endpoint->worker->counters.datagram_trains_split, 1);
}

static void count_sent(struct gy_datagram_send *send)
{
    struct gy_counters *counters = &send->socket->worker->counters;
    uint32_t count = send->split ? 1 : send->count;
    gy_count(&counters->datagram_sends, 1);
    gy_count(&counters->datagrams_sent, count);
    gy_count(&counters->sent_bytes, send->sending_bytes);
    send->count -= count;
}

static void count_unsent(struct gy_datagram_send *send, int errno_value)
{
    struct gy_datagram_socket *socket = send->socket;
    uint32_t count = send->split ? 1 : send->count;
    gy_count(unsent_counter(&socket->worker->counters, errno_value), count);
    if (errno_value != ECANCELED) {
        gy_log_limited(GY_LOG_DEBUG, "datagram", "%s: sending: %s", socket->endpoint->options.name,
                       strerror(errno_value));
        gy_datagram_fail(socket, errno_value);
    }
    send->count -= count;
}

void gy_datagram_sent(struct gy_datagram_send *send, int32_t result)
{
    struct gy_datagram_socket *socket = send->socket;
    struct gy_datagram_table *table = socket->worker->datagrams;
    bool flown = table->send_generations[send->slot] & 1; /* by the ring */
    if (flown) {
        table->send_generations[send->slot]++;
    }
    TAILQ_REMOVE(flown ? &socket->flight : &socket->queue, send, entry);
    send->cancelled = false;
    if (result < 0 && splits(send, -result)) {
        split(send, -result);
        send->sending_bytes = 0;
    } else if (result < 0) {
        count_unsent(send, -result);
    } else {
        count_sent(send);
    }
    gy_chain_consume(&send->bytes, send->sending_bytes);
    send->sending_bytes = 0;
    if (send->count > 0) {
        TAILQ_INSERT_HEAD(&socket->queue, send, entry);
        gy_datagram_flush_later(socket);
        return;
    }
    send_free(send);
    if (socket->state != GY_DATAGRAM_OPEN) {
        gy_datagram_flush_later(socket);
    }
}
