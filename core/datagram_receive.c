/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Datagrams coming in: arming receives, and making batches of what lies in their buffers. */

#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>

#include "core/datagram_internal.h"
#include "core/log.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* Datagrams that one socket takes in a turn by calls before others have theirs. */
#define READ_PER_TURN 256

uint32_t gy_datagram_head_bytes(const struct gy_datagram_endpoint *endpoint)
{
    return (uint32_t)sizeof(struct gy_message_head) + GY_DATAGRAM_NAME_BYTES +
           endpoint->control_bytes;
}

/* ---- arming ---- */

static bool is_wanted(const struct gy_datagram_socket *socket)
{
    return socket->state == GY_DATAGRAM_OPEN && !socket->receiving && !socket->readable &&
           !socket->starved && socket->cancelling == 0;
}

/* One that ends waits for no buffer: nobody would take it out of the list again. */
static void starve(struct gy_datagram_socket *socket)
{
    if (!socket->starved && socket->state == GY_DATAGRAM_OPEN) {
        socket->starved = true;
        TAILQ_INSERT_TAIL(&socket->endpoint->starved, socket, starved_entry);
    }
}

void gy_datagram_resume_starved(struct gy_datagram_endpoint *endpoint)
{
    uint32_t room = gy_pool_free(endpoint->pool);
    for (struct gy_datagram_socket *socket;
         room > 0 && (socket = TAILQ_FIRST(&endpoint->starved)) != NULL; room--) {
        socket->starved = false;
        TAILQ_REMOVE(&endpoint->starved, socket, starved_entry);
        if (socket->readable) {
            gy_datagram_make_ready(socket);
        } else {
            gy_datagram_arm(socket);
        }
    }
}

void gy_datagram_arm(struct gy_datagram_socket *socket)
{
    if (!is_wanted(socket)) {
        return;
    }
    struct gy_datagram_endpoint *endpoint = socket->endpoint;
    uint64_t token = gy_datagram_token(socket, GY_OPERATION_DATAGRAM_RECEIVE);
    int code;
    if (gy_datagram_receives_by_calls(socket)) {
        code = gy_ring_poll(socket->worker->ring, token, socket->descriptor, POLLIN, true);
    } else {
        if (!gy_pool_ready(endpoint->pool)) {
            starve(socket); /* until the end of the turn in which one comes back */
            return;
        }
        /* The same for all: the kernel reads it when the ring is submitted to. */
        endpoint->room = (struct msghdr){.msg_namelen = GY_DATAGRAM_NAME_BYTES,
                                         .msg_controllen = endpoint->control_bytes};
        code =
            gy_ring_receive_message(socket->worker->ring, token, socket->descriptor,
                                    gy_pool_options(endpoint->pool)->group, &endpoint->room, false);
    }
    if (code != 0) {
        gy_datagram_flush_later(socket);
        return;
    }
    socket->receiving = true;
    socket->receive_cancelled = false;
}

/* ---- completions ---- */

static void receive_failed(struct gy_datagram_socket *socket, int errno_value)
{
    struct gy_worker *worker = socket->worker;
    switch (errno_value) {
    case ENOBUFS:
        gy_pool_starved(socket->endpoint->pool);
        gy_count(&worker->counters.enobufs, 1);
        starve(socket);
        break;
    case ECANCELED:
    case EINTR:
    case EAGAIN:
        break;
    default:
        gy_count(&worker->counters.datagram_receive_errors, 1);
        gy_log_limited(GY_LOG_DEBUG, "datagram", "%s: receiving: %s",
                       socket->endpoint->options.name, strerror(errno_value));
        gy_datagram_fail(socket, errno_value);
        break;
    }
}

static void poll_completed(struct gy_datagram_socket *socket,
                           const struct gy_completion *completion)
{
    if (completion->result < 0) {
        receive_failed(socket, -completion->result);
    } else if (socket->state == GY_DATAGRAM_OPEN) {
        socket->readable = true;
        gy_datagram_make_ready(socket);
    }
}

void gy_datagram_received(struct gy_datagram_socket *socket, const struct gy_completion *completion)
{
    gy_assert(socket->receiving);
    socket->receiving = completion->flags & GY_COMPLETION_MORE;
    if (!socket->receiving) {
        gy_datagram_flush_later(socket);
    }
    if (gy_datagram_receives_by_calls(socket)) {
        poll_completed(socket, completion);
        return;
    }
    int taken = gy_pool_take(socket->endpoint->pool, completion, &socket->in);
    if (taken < 0) {
        gy_count(&socket->worker->counters.datagrams_lost, 1);
    } else if (completion->result < 0) {
        receive_failed(socket, -completion->result);
    } else if (socket->in.length > 0) {
        gy_datagram_make_ready(socket);
    }
}

/* ---- what lies in a buffer ---- */

static void path_control(struct gy_datagram_path *path, const struct cmsghdr *control,
                         uint32_t *segment_bytes)
{
    const void *data = CMSG_DATA(control);
    size_t bytes = control->cmsg_len - CMSG_LEN(0);
    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO &&
        bytes >= sizeof(struct in_pktinfo)) {
        struct in_pktinfo info;
        memcpy(&info, data, sizeof info);
        memset(&path->local, 0, 10);
        path->local.s6_addr[10] = path->local.s6_addr[11] = 0xff;
        memcpy(&path->local.s6_addr[12], &info.ipi_spec_dst, 4);
        path->interface = (uint32_t)info.ipi_ifindex;
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO &&
               bytes >= sizeof(struct in6_pktinfo)) {
        struct in6_pktinfo info;
        memcpy(&info, data, sizeof info);
        path->interface = info.ipi6_ifindex;
        if (!IN6_IS_ADDR_MULTICAST(&info.ipi6_addr)) { /* nothing is sent from those */
            path->local = info.ipi6_addr;
        }
    } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS && bytes >= 1) {
        path->ecn = *(const uint8_t *)data & 3;
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS &&
               bytes >= sizeof(int)) {
        int value;
        memcpy(&value, data, sizeof value);
        path->ecn = (uint8_t)(value & 3);
    } else if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO &&
               bytes >= sizeof(int)) {
        int value;
        memcpy(&value, data, sizeof value);
        *segment_bytes = value > 0 ? (uint32_t)value : 0;
    }
}

/* Fills the path. The rest of the slice: where the payload lies, and the length of a segment (0:
 * there is one). False when the kernel's account does not fit the buffer. */
static bool path_read(const struct gy_datagram_socket *socket, struct gy_slice *slice,
                      struct gy_datagram_path *path, uint32_t *segment_bytes, bool *truncated)
{
    struct gy_message_head head;
    uint32_t before = gy_datagram_head_bytes(socket->endpoint);
    const uint8_t *data = gy_slice_data(*slice);
    *segment_bytes = 0;
    if (slice->length < before) {
        return false;
    }
    memcpy(&head, data, sizeof head);
    if (head.name_length > GY_DATAGRAM_NAME_BYTES ||
        head.control_length > socket->endpoint->control_bytes) {
        return false;
    }
    path->local = socket->bound;
    path->interface = 0;
    path->ecn = 0;
    if (socket->dialled && head.name_length == 0) {
        path->peer = socket->peer;
    } else if (gy_address_from_sockaddr(&path->peer,
                                        (const struct sockaddr *)(const void *)(data + sizeof head),
                                        head.name_length) != 0) {
        return false;
    }
    union {
        const uint8_t *in;
        uint8_t *out;
    } control = {.in = data + sizeof head + GY_DATAGRAM_NAME_BYTES};
    struct msghdr message = {.msg_control = control.out, .msg_controllen = head.control_length};
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at != NULL; at = CMSG_NXTHDR(&message, at)) {
        if (at->cmsg_len < CMSG_LEN(0) ||
            at->cmsg_len > (size_t)(control.out + head.control_length - (uint8_t *)at)) {
            return false;
        }
        path_control(path, at, segment_bytes);
    }
    *truncated = head.flags & MSG_TRUNC;
    slice->offset += before;
    slice->length -= before;
    return true;
}

/* ---- batches ---- */

static void batch_deliver(struct gy_datagram_batch *batch)
{
    struct gy_datagram_socket *socket = batch->socket;
    if (batch->count > 0 &&
        (socket->state == GY_DATAGRAM_OPEN || socket->state == GY_DATAGRAM_TAKING)) {
        gy_count(&socket->worker->counters.datagrams_received, batch->count);
        socket->endpoint->ops->receive(socket, batch->datagrams, batch->count);
    }
    for (uint32_t i = 0; i < batch->path_count; i++) {
        gy_buffer_drop(batch->buffers[i]);
    }
    batch->count = 0;
    batch->path_count = 0;
}

static void batch_add_path(struct gy_datagram_batch *batch, const struct gy_datagram_path *path,
                           struct gy_buffer *buffer)
{
    if (batch->path_count == GY_DATAGRAM_BATCH) {
        batch_deliver(batch);
    }
    gy_buffer_hold(buffer);
    batch->buffers[batch->path_count] = buffer;
    batch->paths[batch->path_count++] = *path;
}

/* Takes one buffer apart. */
static void batch_add(struct gy_datagram_batch *batch, struct gy_slice slice)
{
    struct gy_counters *counters = &batch->socket->worker->counters;
    struct gy_datagram_path path;
    uint32_t segment_bytes;
    bool truncated = false;
    gy_count(&counters->datagram_receives, 1);
    if (!path_read(batch->socket, &slice, &path, &segment_bytes, &truncated)) {
        gy_count(&counters->datagrams_malformed, 1);
        return;
    }
    gy_count(&counters->received_bytes, slice.length);
    gy_count(&counters->datagrams_truncated, truncated);
    batch_add_path(batch, &path, slice.buffer);
    uint32_t left = slice.length;
    do {
        if (batch->count == GY_DATAGRAM_BATCH) {
            batch_deliver(batch);
            batch_add_path(batch, &path, slice.buffer);
        }
        uint32_t length = segment_bytes > 0 && segment_bytes < left ? segment_bytes : left;
        left -= length;
        batch->datagrams[batch->count++] = (struct gy_datagram){
            .slice = {slice.buffer, slice.offset, length},
            .path = &batch->paths[batch->path_count - 1],
            .truncated = truncated && left == 0,
        };
        slice.offset += length;
    } while (left > 0);
}

/* The first buffer's slice, with its count. */
static struct gy_slice take_first(struct gy_chain *chain)
{
    struct gy_slice slice = chain->head->slice;
    gy_buffer_hold(slice.buffer);
    gy_chain_consume(chain, slice.length);
    return slice;
}

static void deliver_in(struct gy_datagram_socket *socket)
{
    struct gy_datagram_batch *batch = socket->worker->datagrams->batch;
    gy_assert(batch->count == 0 && batch->path_count == 0);
    batch->socket = socket;
    while (!gy_chain_empty(&socket->in)) {
        struct gy_slice slice = take_first(&socket->in);
        batch_add(batch, slice);
        gy_slice_drop(slice);
    }
    batch_deliver(batch);
}

/* Reads until the socket is empty, or its share of the turn is used. */
static void read_all(struct gy_datagram_socket *socket)
{
    uint32_t left = READ_PER_TURN;
    while (left > 0 && socket->readable && !socket->starved) {
        int count = gy_datagram_read(socket, left);
        if (count < 0) {
            receive_failed(socket, -count);
            left--;
        } else {
            left -= (uint32_t)count;
        }
        deliver_in(socket);
        if (socket->state != GY_DATAGRAM_OPEN) {
            return;
        }
    }
    if (socket->readable && !socket->starved) {
        gy_datagram_make_ready(socket); /* others have their turn first */
    }
}

/* What waits in the kernel, if nobody else will take it. */
static void take_waiting(struct gy_datagram_socket *socket)
{
    int count = socket->take_left > 0 ? gy_datagram_read(socket, GY_DATAGRAM_CALL_MAX) : 0;
    uint32_t taken = count > 0 ? (uint32_t)count : 0;
    deliver_in(socket);
    if (socket->state != GY_DATAGRAM_TAKING) {
        return;
    }
    socket->take_left -= taken < socket->take_left ? taken : socket->take_left;
    if (taken == 0 || socket->take_left == 0) {
        socket->state = GY_DATAGRAM_FLUSHING;
    }
    gy_datagram_flush_later(socket);
}

void gy_datagram_deliver(struct gy_datagram_socket *socket)
{
    deliver_in(socket);
    if (socket->state == GY_DATAGRAM_OPEN && socket->readable) {
        read_all(socket);
    } else if (socket->state == GY_DATAGRAM_TAKING && !socket->receiving) {
        take_waiting(socket);
    }
    int error = socket->error;
    socket->error = 0;
    if (error != 0 && socket->state == GY_DATAGRAM_OPEN && socket->endpoint->ops->failed != NULL) {
        socket->endpoint->ops->failed(socket, error);
    }
}
