/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/work/null_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/asan.h"

#define BUFFERS_MAX 1024

struct gy_ring_buffers {
    struct gy_ring *ring;
    bool incremental;
    uint32_t head; /* the next that the kernel uses */
    uint32_t tail;
    uint32_t used; /* bytes of the one at head */
    struct posted {
        uint8_t *data;
        uint32_t bytes;
        uint16_t id;
    } posted[BUFFERS_MAX];
};

struct gy_ring {
    struct gy_ring_counters counters;
    struct gy_ring_buffers *buffers;
    uint64_t accept_token;
    uint64_t receive_tokens[NULL_RING_CONNECTIONS_MAX]; /* by descriptor; 0: not armed */
    uint32_t connections;
    uint32_t queued;
    uint32_t head, tail; /* of completions; those from `visible` on wait for the next wait */
    uint32_t visible;
    struct gy_completion completions[NULL_RING_COMPLETIONS_MAX];
};

/* ---- the clock ---- */

static uint64_t clock_ns = UINT64_C(784111777000000000);

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME) {
        return __real_clock_gettime(clock, time);
    }
    *time = (struct timespec){(time_t)(clock_ns / 1000000000), (long)(clock_ns % 1000000000)};
    return 0;
}

/* ---- opening ---- */

int gy_ring_open(struct gy_ring **out, const struct gy_ring_options *options,
                 struct gy_error *error)
{
    (void)options;
    (void)error;
    *out = calloc(1, sizeof **out);
    return *out != NULL ? 0 : GY_ENOMEM;
}

void gy_ring_close(struct gy_ring *ring)
{
    free(ring);
}

uint32_t gy_ring_features(const struct gy_ring *ring)
{
    (void)ring;
    return UINT32_MAX;
}

int gy_ring_descriptor(const struct gy_ring *ring)
{
    (void)ring;
    return -1;
}

const struct gy_ring_counters *gy_ring_counters(const struct gy_ring *ring)
{
    return &ring->counters;
}

const char *gy_receive_mode_name(enum gy_receive_mode mode)
{
    return mode == GY_RECEIVE_INCREMENTAL ? "incremental" : "other";
}

int gy_receive_mode_parse(const char *name, enum gy_receive_mode *mode)
{
    *mode = GY_RECEIVE_INCREMENTAL;
    return strcmp(name, "incremental") == 0 ? 0 : GY_EINVAL;
}

void gy_ring_explain_refusal(int errno_value, int sysctl_disabled, char *text, size_t bytes)
{
    (void)errno_value;
    (void)sysctl_disabled;
    gy_assert(bytes > 0);
    text[0] = 0;
}

/* ---- operations ---- */

static void post(struct gy_ring *ring, struct gy_completion completion)
{
    gy_assert(ring->tail - ring->head < NULL_RING_COMPLETIONS_MAX);
    ring->completions[ring->tail++ % NULL_RING_COMPLETIONS_MAX] = completion;
}

static int queue(struct gy_ring *ring)
{
    ring->queued++;
    return 0;
}

static int queue_done(struct gy_ring *ring, uint64_t token, int32_t result)
{
    post(ring, (struct gy_completion){token, result, 0});
    return queue(ring);
}

static uint32_t index_of(int descriptor)
{
    gy_assert(descriptor >= NULL_RING_DESCRIPTOR_FIRST);
    gy_assert(descriptor < NULL_RING_DESCRIPTOR_FIRST + NULL_RING_CONNECTIONS_MAX);
    return (uint32_t)(descriptor - NULL_RING_DESCRIPTOR_FIRST);
}

int gy_ring_accept(struct gy_ring *ring, uint64_t token, int listener, bool multishot)
{
    (void)listener;
    (void)multishot;
    ring->accept_token = token;
    return queue(ring);
}

int gy_ring_connect(struct gy_ring *ring, uint64_t token, int socket,
                    const struct sockaddr *address, socklen_t length)
{
    (void)socket;
    (void)address;
    (void)length;
    return queue_done(ring, token, 0);
}

int gy_ring_receive(struct gy_ring *ring, uint64_t token, int socket, uint16_t group,
                    enum gy_receive_mode mode, bool poll_first)
{
    (void)group;
    (void)mode;
    (void)poll_first;
    ring->receive_tokens[index_of(socket)] = token;
    return queue(ring);
}

int gy_ring_receive_once(struct gy_ring *ring, uint64_t token, int socket, uint16_t group,
                         uint32_t bytes)
{
    (void)bytes;
    return gy_ring_receive(ring, token, socket, group, GY_RECEIVE_ONE_SHOT, false);
}

/* Datagrams are not among the workloads. */
int gy_ring_receive_message(struct gy_ring *ring, uint64_t token, int socket, uint16_t group,
                            const struct msghdr *message, bool poll_first)
{
    (void)ring;
    (void)token;
    (void)socket;
    (void)group;
    (void)message;
    (void)poll_first;
    return GY_ENOTSUP;
}

int gy_ring_poll(struct gy_ring *ring, uint64_t token, int descriptor, uint32_t events,
                 bool multishot)
{
    (void)ring;
    (void)token;
    (void)descriptor;
    (void)events;
    (void)multishot;
    return GY_ENOTSUP;
}

int gy_ring_send(struct gy_ring *ring, uint64_t token, int socket, const void *data, uint32_t bytes)
{
    (void)socket;
    gy_assert(data != NULL);
    return queue_done(ring, token, (int32_t)bytes);
}

int gy_ring_send_message(struct gy_ring *ring, uint64_t token, int socket,
                         const struct msghdr *message)
{
    (void)socket;
    size_t bytes = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        bytes += message->msg_iov[i].iov_len;
    }
    return queue_done(ring, token, (int32_t)bytes);
}

int gy_ring_cancel_descriptor(struct gy_ring *ring, uint64_t token, int descriptor)
{
    uint64_t *armed = &ring->receive_tokens[index_of(descriptor)];
    int32_t count = *armed != 0;
    if (count != 0) {
        post(ring, (struct gy_completion){*armed, -ECANCELED, 0});
        *armed = 0;
    }
    return queue_done(ring, token, count);
}

int gy_ring_cancel_token(struct gy_ring *ring, uint64_t token, uint64_t target)
{
    for (uint32_t i = 0; i < NULL_RING_CONNECTIONS_MAX; i++) {
        if (ring->receive_tokens[i] == target) {
            return gy_ring_cancel_descriptor(ring, token, NULL_RING_DESCRIPTOR_FIRST + (int)i);
        }
    }
    return queue_done(ring, token, -ENOENT);
}

int gy_ring_close_descriptor(struct gy_ring *ring, uint64_t token, int descriptor)
{
    (void)descriptor;
    return queue_done(ring, token, 0);
}

int gy_ring_message(struct gy_ring *ring, uint64_t token, int ring_descriptor,
                    uint64_t remote_token, uint32_t value)
{
    (void)ring_descriptor;
    (void)remote_token;
    (void)value;
    return queue_done(ring, token, 0);
}

int gy_ring_read_event(struct gy_ring *ring, uint64_t token, int descriptor, uint64_t *value)
{
    (void)token; /* nobody rings */
    (void)descriptor;
    (void)value;
    return queue(ring);
}

int gy_ring_open_beneath(struct gy_ring *ring, uint64_t token, int directory, const char *path)
{
    (void)directory;
    (void)path;
    return queue_done(ring, token, -ENOENT);
}

int gy_ring_read(struct gy_ring *ring, uint64_t token, int descriptor, void *data, uint32_t bytes,
                 uint64_t position)
{
    (void)descriptor;
    (void)data;
    (void)bytes;
    (void)position;
    return queue_done(ring, token, 0);
}

int gy_ring_write(struct gy_ring *ring, uint64_t token, int descriptor, const void *data,
                  uint32_t bytes, uint64_t position)
{
    (void)descriptor;
    (void)data;
    (void)position;
    return queue_done(ring, token, (int32_t)bytes);
}

int gy_ring_sync(struct gy_ring *ring, uint64_t token, int descriptor)
{
    (void)descriptor;
    return queue_done(ring, token, 0);
}

/* ---- the turn ---- */

int gy_ring_submit(struct gy_ring *ring)
{
    ring->counters.submissions += ring->queued;
    ring->queued = 0;
    ring->visible = ring->tail;
    return 0;
}

int gy_ring_wait(struct gy_ring *ring, uint64_t timeout_ns)
{
    (void)timeout_ns;
    clock_ns += NULL_RING_TURN_NS;
    ring->counters.enters++;
    return gy_ring_submit(ring);
}

uint32_t gy_ring_queued(const struct gy_ring *ring)
{
    return ring->queued;
}

uint32_t gy_ring_reap(struct gy_ring *ring, struct gy_completion *completions, uint32_t max)
{
    uint32_t count = 0;
    while (count < max && ring->head != ring->visible) {
        completions[count++] = ring->completions[ring->head++ % NULL_RING_COMPLETIONS_MAX];
    }
    ring->counters.completions += count;
    return count;
}

/* ---- provided buffers ---- */

int gy_ring_buffers_open(struct gy_ring *ring, uint16_t group, uint32_t entries, bool incremental,
                         struct gy_ring_buffers **out, struct gy_error *error)
{
    (void)group;
    (void)error;
    struct gy_ring_buffers *buffers = calloc(1, sizeof *buffers);
    if (buffers == NULL) {
        return GY_ENOMEM;
    }
    gy_assert(entries <= BUFFERS_MAX);
    buffers->ring = ring;
    buffers->incremental = incremental;
    ring->buffers = buffers;
    *out = buffers;
    return 0;
}

void gy_ring_buffers_close(struct gy_ring_buffers *buffers)
{
    free(buffers);
}

void gy_ring_buffers_add(struct gy_ring_buffers *buffers, void *data, uint32_t bytes, uint16_t id)
{
    gy_assert(buffers->tail - buffers->head < BUFFERS_MAX);
    buffers->posted[buffers->tail++ % BUFFERS_MAX] = (struct posted){data, bytes, id};
}

void gy_ring_buffers_publish(struct gy_ring_buffers *buffers)
{
    (void)buffers;
}

/* ---- playing the kernel ---- */

void null_ring_connect(struct gy_ring *ring)
{
    gy_assert(ring->accept_token != 0 && ring->connections < NULL_RING_CONNECTIONS_MAX);
    int32_t descriptor = NULL_RING_DESCRIPTOR_FIRST + (int32_t)ring->connections++;
    post(ring, (struct gy_completion){ring->accept_token, descriptor, GY_COMPLETION_MORE});
}

static struct posted *front(const struct gy_ring *ring)
{
    struct gy_ring_buffers *buffers = ring->buffers;
    gy_assert(buffers != NULL && buffers->head != buffers->tail);
    return &buffers->posted[buffers->head % BUFFERS_MAX];
}

struct gy_completion null_ring_fill(struct gy_ring *ring, uint64_t token, uint32_t bytes)
{
    struct gy_ring_buffers *buffers = ring->buffers;
    const struct posted *posted = front(ring);
    gy_assert(bytes <= posted->bytes - buffers->used);
    uint32_t flags = GY_COMPLETION_MORE | GY_COMPLETION_BUFFER | (uint32_t)posted->id << 16;
    buffers->used += bytes;
    if (buffers->incremental && buffers->used < posted->bytes) {
        flags |= GY_COMPLETION_BUFFER_MORE;
    } else {
        buffers->head++;
        buffers->used = 0;
    }
    return (struct gy_completion){token, (int32_t)bytes, flags};
}

void null_ring_deliver(struct gy_ring *ring, int descriptor, const void *data, uint32_t bytes)
{
    uint64_t token = ring->receive_tokens[index_of(descriptor)];
    gy_assert(token != 0);
    const uint8_t *from = data;
    while (bytes > 0) {
        const struct posted *posted = front(ring);
        uint32_t room = posted->bytes - ring->buffers->used;
        uint32_t part = bytes < room ? bytes : room;
        /* The kernel is not told what the address sanitizer thinks of its buffers. */
        gy_unpoison(posted->data + ring->buffers->used, part);
        memcpy(posted->data + ring->buffers->used, from, part);
        post(ring, null_ring_fill(ring, token, part));
        from += part;
        bytes -= part;
    }
}
