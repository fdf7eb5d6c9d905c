/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The ring: queueing operations. */

#include "core/ring.h"

#include <fcntl.h>
#include <liburing.h>
#include <linux/openat2.h>

#include "core/ring_internal.h"

static struct io_uring_sqe *queue(struct gy_ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (sqe == NULL) {
        ring->counters.backpressure++;
        if (gy_ring_submit(ring) != 0) {
            return NULL;
        }
        sqe = io_uring_get_sqe(&ring->uring);
        if (sqe == NULL) {
            return NULL;
        }
    }
    ring->counters.submissions++;
    return sqe;
}

int gy_ring_accept(struct gy_ring *ring, uint64_t token, int listener, bool multishot)
{
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    if (multishot && (ring->features & GY_RING_MULTISHOT_ACCEPT)) {
        io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } else {
        io_uring_prep_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_connect(struct gy_ring *ring, uint64_t token, int socket,
                    const struct sockaddr *address, socklen_t length)
{
    gy_assert(socket >= 0 && address != NULL);
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_connect(sqe, socket, address, length);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_receive(struct gy_ring *ring, uint64_t token, int socket, uint16_t group,
                    enum gy_receive_mode mode, bool poll_first)
{
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    if (mode == GY_RECEIVE_ONE_SHOT) {
        io_uring_prep_recv(sqe, socket, NULL, 0, 0);
    } else {
        io_uring_prep_recv_multishot(sqe, socket, NULL, 0, 0);
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = group;
    if (poll_first) {
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    }
    if (mode == GY_RECEIVE_BUNDLE) {
        sqe->ioprio |= IORING_RECVSEND_BUNDLE;
    }
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_receive_once(struct gy_ring *ring, uint64_t token, int socket, uint16_t group,
                         uint32_t bytes)
{
    gy_assert(bytes > 0);
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_recv(sqe, socket, NULL, bytes, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = group;
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_receive_message(struct gy_ring *ring, uint64_t token, int socket, uint16_t group,
                            const struct msghdr *message, bool poll_first)
{
    if (!(ring->features & GY_RING_MULTISHOT_RECEIVE)) {
        return GY_ENOTSUP;
    }
    union {
        const struct msghdr *in;
        struct msghdr *out;
    } cast = {.in = message};
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_recvmsg_multishot(sqe, socket, cast.out, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = group;
    if (poll_first) {
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    }
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_poll(struct gy_ring *ring, uint64_t token, int descriptor, uint32_t events,
                 bool multishot)
{
    gy_assert(descriptor >= 0);
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    if (multishot) {
        io_uring_prep_poll_multishot(sqe, descriptor, events);
    } else {
        io_uring_prep_poll_add(sqe, descriptor, events);
    }
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_send(struct gy_ring *ring, uint64_t token, int socket, const void *data, uint32_t bytes)
{
    gy_assert(bytes > 0);
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_send(sqe, socket, data, bytes, MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_send_message(struct gy_ring *ring, uint64_t token, int socket,
                         const struct msghdr *message)
{
    gy_assert(message->msg_iovlen > 0);
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_sendmsg(sqe, socket, message, MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_cancel_descriptor(struct gy_ring *ring, uint64_t token, int descriptor)
{
    gy_assert(descriptor >= 0);
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_cancel_fd(sqe, descriptor, IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_cancel_token(struct gy_ring *ring, uint64_t token, uint64_t target)
{
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_cancel64(sqe, target, IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_close_descriptor(struct gy_ring *ring, uint64_t token, int descriptor)
{
    gy_assert(descriptor >= 0);
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_close(sqe, descriptor);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_message(struct gy_ring *ring, uint64_t token, int ring_descriptor,
                    uint64_t remote_token, uint32_t value)
{
    gy_assert(ring_descriptor >= 0 && ring_descriptor != ring->uring.ring_fd);
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_msg_ring(sqe, ring_descriptor, value, remote_token, 0);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_read_event(struct gy_ring *ring, uint64_t token, int descriptor, uint64_t *value)
{
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_read(sqe, descriptor, value, sizeof *value, 0);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_open_beneath(struct gy_ring *ring, uint64_t token, int directory, const char *path)
{
    /* Looking a path up in what is cached first (RESOLVE_CACHED) is what the ring does by itself
     * before it leaves an open to one of its threads. */
    static struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    gy_assert(directory >= 0);
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_openat2(sqe, directory, path, &how);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_read(struct gy_ring *ring, uint64_t token, int descriptor, void *data, uint32_t bytes,
                 uint64_t position)
{
    gy_assert(descriptor >= 0 && bytes > 0);
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_read(sqe, descriptor, data, bytes, position);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_write(struct gy_ring *ring, uint64_t token, int descriptor, const void *data,
                  uint32_t bytes, uint64_t position)
{
    gy_assert(descriptor >= 0 && bytes > 0);
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_write(sqe, descriptor, data, bytes, position);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

int gy_ring_sync(struct gy_ring *ring, uint64_t token, int descriptor)
{
    gy_assert(descriptor >= 0);
    struct io_uring_sqe *sqe = queue(ring);
    if (sqe == NULL) {
        return GY_ENOBUFS;
    }
    io_uring_prep_fsync(sqe, descriptor, 0);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}
