/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The ring without a kernel: operations in flight, turns, and the clock. Buffers are
 * fake_buffers.c's. */

#include "tests/core/fake_ring_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- the clock: core is linked with --wrap=clock_gettime ---- */

static uint64_t clock_ms = 1000000;

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_MONOTONIC) {
        return __real_clock_gettime(clock, time);
    }
    *time = (struct timespec){(time_t)(clock_ms / 1000), (long)(clock_ms % 1000) * 1000000};
    return 0;
}

void fake_clock_advance(uint64_t ms)
{
    clock_ms += ms;
}

/* ---- opening ---- */

int gy_ring_open(struct gy_ring **out, const struct gy_ring_options *options,
                 struct gy_error *error)
{
    (void)error;
    struct gy_ring *ring = calloc(1, sizeof *ring);
    gy_assert(ring != NULL);
#define GY_RING_FEATURE_ALL(name, bit, since, instead) ring->features |= GY_RING_##name;
    GY_RING_FEATURES(GY_RING_FEATURE_ALL)
#undef GY_RING_FEATURE_ALL
    ring->features &= ~options->without;
    ring->last = &ring->first;
    ring->room = ring->room_left = UINT32_MAX;
    *out = ring;
    return 0;
}

static void operation_free(struct fake_operation *operation)
{
    free(operation->content);
    free(operation->around);
    free(operation);
}

void gy_ring_close(struct gy_ring *ring)
{
    if (ring == NULL) {
        return;
    }
    while (ring->first != NULL) {
        struct fake_operation *operation = ring->first;
        ring->first = operation->next;
        /* What is left may only be what touches no stream: a stream's memory is gone. */
        gy_assert(operation->kind != FAKE_RECEIVE && operation->kind != FAKE_SEND);
        gy_assert(operation->kind != FAKE_RECEIVE_MESSAGE && operation->kind != FAKE_POLL);
        gy_assert(operation->kind != FAKE_CLOSE);
        operation_free(operation);
    }
    free(ring);
}

uint32_t gy_ring_features(const struct gy_ring *ring)
{
    return ring->features;
}

int gy_ring_descriptor(const struct gy_ring *ring)
{
    (void)ring;
    return 1000;
}

const struct gy_ring_counters *gy_ring_counters(const struct gy_ring *ring)
{
    return &ring->counters;
}

const char *gy_receive_mode_name(enum gy_receive_mode mode)
{
    (void)mode;
    return "fake";
}

/* ---- operations ---- */

static struct fake_operation *queue(struct gy_ring *ring, enum fake_kind kind, uint64_t token,
                                    int descriptor)
{
    if (ring->room_left == 0) {
        ring->counters.backpressure++;
        return NULL;
    }
    if (ring->room_left != UINT32_MAX) {
        ring->room_left--;
    }
    struct fake_operation *operation = calloc(1, sizeof *operation);
    gy_assert(operation != NULL);
    operation->kind = kind;
    operation->token = token;
    operation->descriptor = descriptor;
    *ring->last = operation;
    ring->last = &operation->next;
    ring->totals[kind]++;
    ring->counters.submissions++;
    return operation;
}

int gy_ring_accept(struct gy_ring *ring, uint64_t token, int listener, bool multishot)
{
    struct fake_operation *operation = queue(ring, FAKE_ACCEPT, token, listener);
    if (operation == NULL) {
        return GY_ENOBUFS;
    }
    operation->multishot = multishot;
    return 0;
}

int gy_ring_connect(struct gy_ring *ring, uint64_t token, int socket,
                    const struct sockaddr *address, socklen_t length)
{
    (void)address;
    (void)length;
    return queue(ring, FAKE_CONNECT, token, socket) != NULL ? 0 : GY_ENOBUFS;
}

int gy_ring_receive(struct gy_ring *ring, uint64_t token, int socket, uint16_t group,
                    enum gy_receive_mode mode, bool poll_first)
{
    (void)group;
    struct fake_operation *operation = queue(ring, FAKE_RECEIVE, token, socket);
    if (operation == NULL) {
        return GY_ENOBUFS;
    }
    operation->mode = mode;
    operation->poll_first = poll_first;
    return 0;
}

int gy_ring_receive_once(struct gy_ring *ring, uint64_t token, int socket, uint16_t group,
                         uint32_t bytes)
{
    (void)group;
    struct fake_operation *operation = queue(ring, FAKE_RECEIVE, token, socket);
    if (operation == NULL) {
        return GY_ENOBUFS;
    }
    operation->mode = GY_RECEIVE_ONE_SHOT;
    operation->bytes = bytes;
    return 0;
}

int gy_ring_receive_message(struct gy_ring *ring, uint64_t token, int socket, uint16_t group,
                            const struct msghdr *message, bool poll_first)
{
    if (!(ring->features & GY_RING_MULTISHOT_RECEIVE)) {
        return GY_ENOTSUP;
    }
    struct fake_operation *operation = queue(ring, FAKE_RECEIVE_MESSAGE, token, socket);
    if (operation == NULL) {
        return GY_ENOBUFS;
    }
    operation->group = group;
    operation->room = *message;
    operation->poll_first = poll_first;
    return 0;
}

int gy_ring_poll(struct gy_ring *ring, uint64_t token, int descriptor, uint32_t events,
                 bool multishot)
{
    struct fake_operation *operation = queue(ring, FAKE_POLL, token, descriptor);
    if (operation == NULL) {
        return GY_ENOBUFS;
    }
    operation->events = events;
    operation->multishot = multishot;
    return 0;
}

static void remember_content(struct fake_operation *operation)
{
    operation->content = malloc(operation->bytes + 1); /* a datagram may be empty */
    gy_assert(operation->content != NULL);
    uint32_t at = 0;
    for (uint32_t i = 0; i < operation->vector_count; i++) {
        memcpy(operation->content + at, operation->vectors[i].iov_base,
               operation->vectors[i].iov_len);
        at += (uint32_t)operation->vectors[i].iov_len;
    }
}

int gy_ring_send(struct gy_ring *ring, uint64_t token, int socket, const void *data, uint32_t bytes)
{
    gy_assert(bytes > 0);
    struct fake_operation *operation = queue(ring, FAKE_SEND, token, socket);
    if (operation == NULL) {
        return GY_ENOBUFS;
    }
    union {
        const void *in;
        void *out;
    } cast = {.in = data};
    operation->vector_count = 1;
    operation->vectors[0] = (struct iovec){cast.out, bytes};
    operation->bytes = bytes;
    remember_content(operation);
    return 0;
}

int gy_ring_send_message(struct gy_ring *ring, uint64_t token, int socket,
                         const struct msghdr *message)
{
    gy_assert(message->msg_iovlen > 0 && message->msg_iovlen <= FAKE_VECTORS_MAX);
    struct fake_operation *operation = queue(ring, FAKE_SEND, token, socket);
    if (operation == NULL) {
        return GY_ENOBUFS;
    }
    operation->vector_count = (uint32_t)message->msg_iovlen;
    for (uint32_t i = 0; i < operation->vector_count; i++) {
        operation->vectors[i] = message->msg_iov[i];
        operation->bytes += (uint32_t)message->msg_iov[i].iov_len;
    }
    operation->message = *message;
    size_t around = message->msg_namelen + message->msg_controllen;
    operation->around = malloc(around + 1);
    gy_assert(operation->around != NULL);
    if (message->msg_namelen > 0) {
        memcpy(operation->around, message->msg_name, message->msg_namelen);
    }
    if (message->msg_controllen > 0) {
        memcpy(operation->around + message->msg_namelen, message->msg_control,
               message->msg_controllen);
    }
    remember_content(operation);
    return 0;
}

int gy_ring_cancel_descriptor(struct gy_ring *ring, uint64_t token, int descriptor)
{
    gy_assert(fcntl(descriptor, F_GETFD) >= 0);
    return queue(ring, FAKE_CANCEL_DESCRIPTOR, token, descriptor) != NULL ? 0 : GY_ENOBUFS;
}

int gy_ring_cancel_token(struct gy_ring *ring, uint64_t token, uint64_t target)
{
    struct fake_operation *operation = queue(ring, FAKE_CANCEL_TOKEN, token, -1);
    if (operation == NULL) {
        return GY_ENOBUFS;
    }
    operation->target = target;
    return 0;
}

int gy_ring_close_descriptor(struct gy_ring *ring, uint64_t token, int descriptor)
{
    gy_assert(fcntl(descriptor, F_GETFD) >= 0);
    for (const struct fake_operation *other = ring->first; other != NULL; other = other->next) {
        gy_assert(other->descriptor != descriptor);
    }
    return queue(ring, FAKE_CLOSE, token, descriptor) != NULL ? 0 : GY_ENOBUFS;
}

int gy_ring_message(struct gy_ring *ring, uint64_t token, int ring_descriptor,
                    uint64_t remote_token, uint32_t value)
{
    (void)value;
    struct fake_operation *operation = queue(ring, FAKE_MESSAGE, token, ring_descriptor);
    if (operation == NULL) {
        return GY_ENOBUFS;
    }
    operation->target = remote_token;
    return 0;
}

int gy_ring_read_event(struct gy_ring *ring, uint64_t token, int descriptor, uint64_t *value)
{
    (void)value;
    return queue(ring, FAKE_READ_EVENT, token, descriptor) != NULL ? 0 : GY_ENOBUFS;
}

int gy_ring_open_beneath(struct gy_ring *ring, uint64_t token, int directory, const char *path)
{
    struct fake_operation *operation = queue(ring, FAKE_OPEN, token, directory);
    if (operation == NULL) {
        return GY_ENOBUFS;
    }
    operation->bytes = (uint32_t)strlen(path) + 1;
    operation->content = malloc(operation->bytes);
    gy_assert(operation->content != NULL);
    memcpy(operation->content, path, operation->bytes);
    return 0;
}

int gy_ring_write(struct gy_ring *ring, uint64_t token, int descriptor, const void *data,
                  uint32_t bytes, uint64_t position)
{
    (void)data;
    (void)position;
    struct fake_operation *operation = queue(ring, FAKE_WRITE, token, descriptor);
    if (operation == NULL) {
        return GY_ENOBUFS;
    }
    operation->bytes = bytes;
    return 0;
}

int gy_ring_sync(struct gy_ring *ring, uint64_t token, int descriptor)
{
    return queue(ring, FAKE_SYNC, token, descriptor) != NULL ? 0 : GY_ENOBUFS;
}

int gy_ring_read(struct gy_ring *ring, uint64_t token, int descriptor, void *data, uint32_t bytes,
                 uint64_t position)
{
    (void)position;
    struct fake_operation *operation = queue(ring, FAKE_READ, token, descriptor);
    if (operation == NULL) {
        return GY_ENOBUFS;
    }
    operation->vector_count = 1;
    operation->vectors[0] = (struct iovec){data, bytes};
    operation->bytes = bytes;
    return 0;
}

/* ---- the turn ---- */

void fake_post(struct gy_ring *ring, struct gy_completion completion)
{
    gy_assert(ring->completion_count < FAKE_COMPLETIONS_MAX);
    ring->completions[(ring->completion_head + ring->completion_count++) % FAKE_COMPLETIONS_MAX] =
        completion;
}

static void operation_remove(struct gy_ring *ring, struct fake_operation *operation)
{
    struct fake_operation **at = &ring->first;
    while (*at != operation) {
        gy_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = operation->next;
    if (ring->last == &operation->next) {
        ring->last = at;
    }
    operation_free(operation);
}

void fake_settle(struct gy_ring *ring, struct fake_operation *operation,
                 struct gy_completion completion)
{
    fake_post(ring, completion);
    if (!(completion.flags & GY_COMPLETION_MORE)) {
        operation_remove(ring, operation);
    }
}

static bool is_named(const struct fake_operation *cancel, const struct fake_operation *operation)
{
    return operation->submitted &&
           (cancel->kind == FAKE_CANCEL_TOKEN
                ? operation->token == cancel->target
                : operation != cancel && operation->descriptor == cancel->descriptor);
}

static void carry_out(struct gy_ring *ring, struct fake_operation *cancel)
{
    int32_t count = 0;
    struct fake_operation *next;
    for (struct fake_operation *operation = ring->first; operation != NULL; operation = next) {
        next = operation->next;
        if (is_named(cancel, operation)) {
            fake_complete(ring, operation, -ECANCELED, 0);
            count++;
        }
    }
    fake_complete(ring, cancel, count, 0);
}

static void carry_out_cancels(struct gy_ring *ring)
{
    static const enum fake_kind kinds[] = {FAKE_CANCEL_TOKEN, FAKE_CANCEL_DESCRIPTOR};
    for (size_t i = 0; i < 2; i++) {
        struct fake_operation *cancel;
        while ((cancel = fake_first(ring, kinds[i])) != NULL && cancel->submitted) {
            carry_out(ring, cancel);
        }
    }
}

void fake_cancel_by_itself(struct gy_ring *ring)
{
    ring->cancels = true;
}

int gy_ring_submit(struct gy_ring *ring)
{
    if (ring->hold) {
        return 0;
    }
    ring->room_left = ring->room;
    struct fake_operation *next;
    for (struct fake_operation *operation = ring->first; operation != NULL; operation = next) {
        next = operation->next;
        operation->submitted = true;
        if (operation->kind == FAKE_CLOSE) {
            gy_assert(close(operation->descriptor) == 0);
            fake_post(ring, (struct gy_completion){operation->token, 0, 0});
            operation_remove(ring, operation);
        }
    }
    if (ring->cancels) {
        carry_out_cancels(ring);
    }
    return 0;
}

void fake_on_wait(struct gy_ring *ring, void (*hook)(struct gy_ring *ring, void *context),
                  void *context)
{
    ring->on_wait = hook;
    ring->on_wait_context = context;
}

int gy_ring_wait(struct gy_ring *ring, uint64_t timeout_ns)
{
    ring->counters.enters++;
    ring->last_wait_ns = timeout_ns;
    ring->waits++;
    int code = gy_ring_submit(ring);
    if (ring->on_wait != NULL) {
        ring->on_wait(ring, ring->on_wait_context);
    }
    return code;
}

uint32_t gy_ring_queued(const struct gy_ring *ring)
{
    uint32_t count = 0;
    for (const struct fake_operation *o = ring->first; o != NULL; o = o->next) {
        count += !o->submitted;
    }
    return count;
}

uint32_t gy_ring_reap(struct gy_ring *ring, struct gy_completion *completions, uint32_t max)
{
    uint32_t count = 0;
    while (count < max && ring->completion_count > 0) {
        completions[count++] = ring->completions[ring->completion_head];
        ring->completion_head = (ring->completion_head + 1) % FAKE_COMPLETIONS_MAX;
        ring->completion_count--;
    }
    ring->counters.completions += count;
    return count;
}

/* ---- playing the kernel ---- */

struct fake_operation *fake_of(struct gy_ring *ring, enum fake_kind kind, int descriptor)
{
    for (struct fake_operation *operation = ring->first; operation != NULL;
         operation = operation->next) {
        if (operation->kind == kind && (descriptor < 0 || operation->descriptor == descriptor)) {
            return operation;
        }
    }
    return NULL;
}

struct fake_operation *fake_first(struct gy_ring *ring, enum fake_kind kind)
{
    return fake_of(ring, kind, -1);
}

uint32_t fake_in_flight(const struct gy_ring *ring, enum fake_kind kind)
{
    uint32_t count = 0;
    for (const struct fake_operation *o = ring->first; o != NULL; o = o->next) {
        count += o->kind == kind;
    }
    return count;
}

uint32_t fake_total(const struct gy_ring *ring, enum fake_kind kind)
{
    return ring->totals[kind];
}

/* The bytes of a send are the kernel's until here: they must be what they were. */
static void check_content(const struct fake_operation *operation)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < operation->vector_count; i++) {
        gy_assert(memcmp(operation->content + at, operation->vectors[i].iov_base,
                         operation->vectors[i].iov_len) == 0);
        at += (uint32_t)operation->vectors[i].iov_len;
    }
    /* Kernels read the control messages when they carry the send out, not when it is queued. */
    const struct msghdr *message = &operation->message;
    if (message->msg_controllen > 0) {
        gy_assert(memcmp(operation->around + message->msg_namelen, message->msg_control,
                         message->msg_controllen) == 0);
    }
}

void fake_complete(struct gy_ring *ring, struct fake_operation *operation, int32_t result,
                   uint32_t flags)
{
    gy_assert(operation != NULL && operation->submitted);
    if (operation->kind == FAKE_SEND) {
        check_content(operation);
    }
    fake_settle(ring, operation, (struct gy_completion){operation->token, result, flags});
}

void fake_limit_room(struct gy_ring *ring, uint32_t operations)
{
    ring->room = ring->room_left = operations;
}

void fake_hold_back(struct gy_ring *ring, bool hold)
{
    ring->hold = hold;
}

uint64_t fake_last_wait_ns(const struct gy_ring *ring)
{
    return ring->last_wait_ns;
}

uint32_t fake_waits(const struct gy_ring *ring)
{
    return ring->waits;
}

struct gy_ring_counters *fake_counters(struct gy_ring *ring)
{
    return &ring->counters;
}
