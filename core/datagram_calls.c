/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Datagrams by recvmmsg(2) and sendmmsg(2): for kernels without multishot recvmsg, and where that
 * was measured to be better. What is received lies in its buffer as the ring would have put it. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "core/datagram_internal.h"

/* ---- receiving ---- */

static void describe_room(const struct gy_datagram_endpoint *endpoint,
                          const struct gy_buffer *buffer, struct mmsghdr *message,
                          struct iovec *vector)
{
    uint32_t before = gy_datagram_head_bytes(endpoint);
    uint8_t *name = buffer->data + sizeof(struct gy_message_head);
    *vector = (struct iovec){buffer->data + before, buffer->capacity - before};
    message->msg_hdr = (struct msghdr){
        .msg_name = name,
        .msg_namelen = GY_DATAGRAM_NAME_BYTES,
        .msg_control = endpoint->control_bytes > 0 ? name + GY_DATAGRAM_NAME_BYTES : NULL,
        .msg_controllen = endpoint->control_bytes,
        .msg_iov = vector,
        .msg_iovlen = 1,
    };
    message->msg_len = 0;
}

/* Takes over the count. */
static void keep_one(struct gy_datagram_socket *socket, struct gy_buffer *buffer,
                     const struct mmsghdr *message)
{
    struct gy_message_head head = {
        .name_length = message->msg_hdr.msg_namelen,
        .control_length = (uint32_t)message->msg_hdr.msg_controllen,
        .payload_length = message->msg_len,
        .flags = (uint32_t)message->msg_hdr.msg_flags,
    };
    memcpy(buffer->data, &head, sizeof head);
    uint32_t bytes = gy_datagram_head_bytes(socket->endpoint) + message->msg_len;
    gy_assert(bytes <= buffer->capacity);
    struct gy_slice slice = {buffer, 0, bytes};
    if (gy_chain_append(&socket->in, slice) != 0) {
        gy_count(&socket->worker->counters.datagrams_lost, 1);
        gy_slice_drop(slice);
    }
}

int gy_datagram_read(struct gy_datagram_socket *socket, uint32_t max)
{
    struct mmsghdr messages[GY_DATAGRAM_CALL_MAX];
    struct iovec vectors[GY_DATAGRAM_CALL_MAX];
    struct gy_buffer *buffers[GY_DATAGRAM_CALL_MAX];
    struct gy_datagram_endpoint *endpoint = socket->endpoint;
    uint32_t room = 0;
    max = max < GY_DATAGRAM_CALL_MAX ? max : GY_DATAGRAM_CALL_MAX;
    while (room < max && (buffers[room] = gy_pool_lend(endpoint->pool)) != NULL) {
        describe_room(endpoint, buffers[room], &messages[room], &vectors[room]);
        room++;
    }
    if (room == 0) {
        return -ENOBUFS;
    }
    int count = recvmmsg(socket->descriptor, messages, room, MSG_DONTWAIT, NULL);
    int result = count < 0 ? -errno : count;
    /* Fewer than there was room for: there were no more. An error that ended it is kept for the
     * next call by the kernel. */
    if (result == -EAGAIN || (count >= 0 && (uint32_t)count < room)) {
        socket->readable = false;
    }
    for (uint32_t i = room; i-- > 0;) {
        if (count < 0 || i >= (uint32_t)count) {
            gy_buffer_drop(buffers[i]);
        }
    }
    for (uint32_t i = 0; i < room && count > 0 && i < (uint32_t)count; i++) {
        keep_one(socket, buffers[i], &messages[i]);
    }
    return result;
}

/* ---- sending ---- */

static void wait_for_room(struct gy_datagram_socket *socket)
{
    if (socket->polling_out) {
        return;
    }
    uint64_t token = gy_datagram_token(socket, GY_OPERATION_DATAGRAM_WRITABLE);
    if (gy_ring_poll(socket->worker->ring, token, socket->descriptor, POLLOUT, false) == 0) {
        socket->polling_out = true;
        socket->out_cancelled = false;
    } else {
        gy_datagram_flush_later(socket);
    }
}

void gy_datagram_push_calls(struct gy_datagram_socket *socket)
{
    struct mmsghdr messages[GY_DATAGRAM_CALL_MAX];
    struct iovec *vectors = socket->worker->vectors + socket->worker->vectors_used;
    uint32_t vector_room = GY_TURN_VECTORS - socket->worker->vectors_used;
    while (!TAILQ_EMPTY(&socket->queue) && !socket->polling_out) {
        uint32_t count = 0;
        uint32_t used = 0;
        for (struct gy_datagram_send *send = TAILQ_FIRST(&socket->queue);
             send != NULL && count < GY_DATAGRAM_CALL_MAX &&
             used + GY_SEND_VECTORS_MAX <= vector_room;
             send = TAILQ_NEXT(send, entry)) {
            used += gy_datagram_describe(send, &messages[count++].msg_hdr, vectors + used);
        }
        if (count == 0) {
            gy_datagram_flush_later(socket); /* the ring's sends hold the vectors until the next */
            return;
        }
        int result = sendmmsg(socket->descriptor, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (result < 0 && errno == EAGAIN) {
            wait_for_room(socket);
            return;
        }
        if (result < 0 && errno != EINTR) {
            int error = errno;
            gy_datagram_sent(TAILQ_FIRST(&socket->queue), -error);
        }
        for (int i = 0; i < result; i++) {
            gy_datagram_sent(TAILQ_FIRST(&socket->queue), (int32_t)messages[i].msg_len);
        }
    }
}
