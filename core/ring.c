/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(GY_COMPLETION_BUFFER == IORING_CQE_F_BUFFER, "flags are the kernel's");
_Static_assert(GY_COMPLETION_MORE == IORING_CQE_F_MORE, "flags are the kernel's");
_Static_assert(GY_COMPLETION_NONEMPTY == IORING_CQE_F_SOCK_NONEMPTY, "flags are the kernel's");
_Static_assert(GY_COMPLETION_BUFFER_MORE == IORING_CQE_F_BUF_MORE, "flags are the kernel's");
_Static_assert(IORING_CQE_BUFFER_SHIFT == 16, "the buffer id is the flags' upper half");
_Static_assert(sizeof(struct gy_message_head) == sizeof(struct io_uring_recvmsg_out) &&
                   offsetof(struct gy_message_head, control_length) ==
                       offsetof(struct io_uring_recvmsg_out, controllen) &&
                   offsetof(struct gy_message_head, payload_length) ==
                       offsetof(struct io_uring_recvmsg_out, payloadlen) &&
                   offsetof(struct gy_message_head, flags) ==
                       offsetof(struct io_uring_recvmsg_out, flags),
               "a message's head is the kernel's");

#define DEFAULT_ENTRIES            1024
#define DEFAULT_COMPLETION_ENTRIES 8192

struct gy_ring {
    struct io_uring uring;
    uint32_t features;
    struct gy_ring_counters counters;
};

struct gy_ring_buffers {
    struct io_uring_buf_ring *shared;
    struct gy_ring *ring;
    uint32_t entries;
    int pending; /* added since the last publish */
    uint16_t group;
};

/* ---- opening ---- */

/* Set-up flags in the order in which they are given up when the kernel answers EINVAL: newest
 * first. */
static const struct {
    uint32_t feature;
    uint32_t flag;
} setup_flags[] = {
    {GY_RING_NO_SQARRAY, IORING_SETUP_NO_SQARRAY},
    {GY_RING_DEFER_TASKRUN, IORING_SETUP_DEFER_TASKRUN},
    {GY_RING_SINGLE_ISSUER, IORING_SETUP_SINGLE_ISSUER},
    {GY_RING_SUBMIT_ALL, IORING_SETUP_SUBMIT_ALL},
    {GY_RING_CQSIZE, IORING_SETUP_CQSIZE},
};

#define SETUP_FLAGS (sizeof setup_flags / sizeof setup_flags[0])

static uint32_t setup_feature_mask(void)
{
    uint32_t mask = 0;
    for (size_t i = 0; i < SETUP_FLAGS; i++) {
        mask |= setup_flags[i].feature;
    }
    return mask;
}

/* DEFER_TASKRUN needs SINGLE_ISSUER; asking for one alone would be refused for the wrong reason. */
static uint32_t settle_features(uint32_t features)
{
    return features & GY_RING_SINGLE_ISSUER ? features
                                            : features & ~(uint32_t)GY_RING_DEFER_TASKRUN;
}

static int try_setup(struct gy_ring *ring, const struct gy_ring_options *options, uint32_t features)
{
    struct io_uring_params params;
    memset(&params, 0, sizeof params);
    for (size_t i = 0; i < SETUP_FLAGS; i++) {
        if (features & setup_flags[i].feature) {
            params.flags |= setup_flags[i].flag;
        }
    }
    if (!(features & GY_RING_DEFER_TASKRUN)) {
        params.flags |= IORING_SETUP_COOP_TASKRUN;
    }
    params.cq_entries = options->completion_entries;
    int result = io_uring_queue_init_params(options->entries, &ring->uring, &params);
    if (result == 0) {
        ring->features = features;
    }
    return result;
}

static int setup(struct gy_ring *ring, const struct gy_ring_options *options)
{
    uint32_t features = settle_features(setup_feature_mask() & ~options->without);
    int result = try_setup(ring, options, features);
    for (size_t i = 0; result == -EINVAL && i < SETUP_FLAGS; i++) {
        features = settle_features(features & ~setup_flags[i].feature);
        result = try_setup(ring, options, features);
    }
    return result;
}

static bool incremental_works(struct gy_ring *ring)
{
    int result = 0;
    struct io_uring_buf_ring *shared =
        io_uring_setup_buf_ring(&ring->uring, 1, UINT16_MAX, IOU_PBUF_RING_INC, &result);
    if (shared == NULL) {
        return false;
    }
    io_uring_free_buf_ring(&ring->uring, shared, 1, UINT16_MAX);
    return true;
}

static bool buffer_rings_work(struct gy_ring *ring)
{
    int result = 0;
    struct io_uring_buf_ring *shared =
        io_uring_setup_buf_ring(&ring->uring, 1, UINT16_MAX, 0, &result);
    if (shared == NULL) {
        return false;
    }
    io_uring_free_buf_ring(&ring->uring, shared, 1, UINT16_MAX);
    return true;
}

/* Features without a flag of their own are told by an operation or feature bit of the same kernel.
 */
static uint32_t probe_operations(struct gy_ring *ring)
{
    uint32_t found = 0;
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring->uring);
    if (probe != NULL) {
        if (io_uring_opcode_supported(probe, IORING_OP_SOCKET)) { /* 5.19 */
            found |= GY_RING_MULTISHOT_ACCEPT | GY_RING_CANCEL_DESCRIPTOR;
        }
        if (io_uring_opcode_supported(probe, IORING_OP_SEND_ZC)) { /* 6.0 */
            found |= GY_RING_MULTISHOT_RECEIVE | GY_RING_SEND_ZERO_COPY;
        }
        if (io_uring_opcode_supported(probe, IORING_OP_MSG_RING)) {
            found |= GY_RING_MESSAGE_RING;
        }
        io_uring_free_probe(probe);
    }
    if (ring->uring.features & IORING_FEAT_RECVSEND_BUNDLE) {
        found |= GY_RING_RECEIVE_BUNDLE;
    }
    if (buffer_rings_work(ring)) {
        found |= GY_RING_BUFFER_RING;
    }
    return found;
}

static bool set_no_iowait(struct gy_ring *ring)
{
#if IO_URING_CHECK_VERSION(2, 10) /* true for a liburing older than that */
    (void)ring;
    return false;
#else
    return io_uring_set_iowait(&ring->uring, false) == 0;
#endif
}

static void probe(struct gy_ring *ring, uint32_t without)
{
    uint32_t found = probe_operations(ring) & ~without;
    if (!(without & GY_RING_BUFFER_INCREMENTAL) && incremental_works(ring)) {
        found |= GY_RING_BUFFER_INCREMENTAL;
    }
    if (!(without & GY_RING_REGISTERED_RING) && io_uring_register_ring_fd(&ring->uring) == 1) {
        found |= GY_RING_REGISTERED_RING;
    }
    if (!(without & GY_RING_NO_IOWAIT) && set_no_iowait(ring)) {
        found |= GY_RING_NO_IOWAIT;
    }
    ring->features |= found;
}

static int read_sysctl_disabled(void)
{
    FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    int value = -1;
    if (file != NULL) {
        if (fscanf(file, "%d", &value) != 1) {
            value = -1;
        }
        fclose(file);
    }
    return value;
}

#define SECCOMP_WAY_OUT                                                                            \
    "a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register"

void gy_ring_explain_refusal(int errno_value, int sysctl_disabled, char *text, size_t bytes)
{
    if (errno_value == ENOSYS) {
        snprintf(text, bytes,
                 "this kernel has no io_uring, or a container's seccomp profile hides it (ENOSYS); "
                 "gyre needs Linux 6.1 or newer, and in a container " SECCOMP_WAY_OUT);
    } else if (errno_value == EPERM && sysctl_disabled > 0) {
        snprintf(text, bytes,
                 "io_uring is switched off on this host (sysctl kernel.io_uring_disabled is %d); "
                 "allow it with `sysctl -w kernel.io_uring_disabled=0` as root%s",
                 sysctl_disabled,
                 sysctl_disabled == 1
                     ? ", or add this user to the group named by kernel.io_uring_group"
                     : "");
    } else if (errno_value == EPERM || errno_value == EACCES) {
        snprintf(text, bytes,
                 "io_uring is refused (%s), most likely by a container's seccomp profile or a "
                 "security module; run with " SECCOMP_WAY_OUT,
                 strerror(errno_value));
    } else if (errno_value == ENOMEM) {
        snprintf(text, bytes,
                 "no memory for the ring (ENOMEM); raise the memlock limit (`ulimit -l`) or the "
                 "memory of this container");
    } else if (errno_value == EMFILE || errno_value == ENFILE) {
        snprintf(text, bytes, "%s; raise the limit on open files (`ulimit -n`)",
                 strerror(errno_value));
    } else {
        snprintf(text, bytes,
                 "io_uring_setup failed: %s; `gyre doctor` shows what this host offers",
                 strerror(errno_value));
    }
}

int gy_ring_open(struct gy_ring **out, const struct gy_ring_options *options,
                 struct gy_error *error)
{
    gy_assert(out != NULL && options != NULL);
    *out = NULL;
    struct gy_ring_options settled = *options;
    settled.entries = settled.entries == 0 ? DEFAULT_ENTRIES : settled.entries;
    settled.completion_entries =
        settled.completion_entries == 0 ? DEFAULT_COMPLETION_ENTRIES : settled.completion_entries;
    struct gy_ring *ring = calloc(1, sizeof *ring);
    if (ring == NULL) {
        return gy_error_set(error, GY_ENOMEM, "opening a ring: out of memory");
    }
    int result = setup(ring, &settled);
    if (result < 0) {
        char why[384];
        gy_ring_explain_refusal(-result, read_sysctl_disabled(), why, sizeof why);
        free(ring);
        return gy_error_set(error, gy_error_from_errno(-result), "opening a ring: %s", why);
    }
    probe(ring, settled.without);
    if ((ring->features & GY_RING_NEEDED) != GY_RING_NEEDED) {
        gy_ring_close(ring);
        return gy_error_set(
            error, GY_ENOTSUP,
            "opening a ring: this kernel's io_uring lacks provided-buffer rings or cancelling by "
            "descriptor; gyre needs Linux 6.1 or newer");
    }
    *out = ring;
    return 0;
}

void gy_ring_close(struct gy_ring *ring)
{
    if (ring != NULL) {
        io_uring_queue_exit(&ring->uring);
        free(ring);
    }
}

uint32_t gy_ring_features(const struct gy_ring *ring)
{
    return ring->features;
}

int gy_ring_descriptor(const struct gy_ring *ring)
{
    return ring->uring.ring_fd;
}

const struct gy_ring_counters *gy_ring_counters(const struct gy_ring *ring)
{
    return &ring->counters;
}

/* ---- receive modes ---- */

static const char *const mode_names[GY_RECEIVE_MODE_COUNT] = {
    [GY_RECEIVE_ONE_SHOT] = "one-shot",
    [GY_RECEIVE_MULTISHOT] = "multishot",
    [GY_RECEIVE_INCREMENTAL] = "incremental",
    [GY_RECEIVE_BUNDLE] = "bundle",
};

const char *gy_receive_mode_name(enum gy_receive_mode mode)
{
    gy_assert(mode >= 0 && mode < GY_RECEIVE_MODE_COUNT);
    return mode_names[mode];
}

int gy_receive_mode_parse(const char *name, enum gy_receive_mode *mode)
{
    for (int i = 0; i < GY_RECEIVE_MODE_COUNT; i++) {
        if (strcmp(name, mode_names[i]) == 0) {
            *mode = (enum gy_receive_mode)i;
            return 0;
        }
    }
    return GY_EINVAL;
}

/* ---- operations ---- */

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
        io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    } else {
        io_uring_prep_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
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

/* ---- the turn ---- */

/* A passing condition: what is queued stays queued, and completions are reaped before the next try.
 */
static bool is_backpressure(int result)
{
    return result == -EBUSY || result == -EAGAIN || result == -EINTR || result == -ETIME;
}

static int enter_result(struct gy_ring *ring, int result)
{
    ring->counters.enters++;
    if (io_uring_cq_has_overflow(&ring->uring)) {
        ring->counters.overflows++;
    }
    if (result >= 0 || result == -ETIME) {
        return 0;
    }
    if (is_backpressure(result)) {
        ring->counters.backpressure++;
        return 0;
    }
    return GY_EIO;
}

int gy_ring_submit(struct gy_ring *ring)
{
    return enter_result(ring, io_uring_submit(&ring->uring));
}

int gy_ring_wait(struct gy_ring *ring, uint64_t timeout_ns)
{
    struct io_uring_cqe *first = NULL;
    if (timeout_ns == 0) {
        return enter_result(ring, io_uring_submit_and_get_events(&ring->uring));
    }
    if (timeout_ns == GY_RING_FOREVER) {
        return enter_result(ring, io_uring_submit_and_wait(&ring->uring, 1));
    }
    struct __kernel_timespec timeout = {
        .tv_sec = (long long)(timeout_ns / 1000000000u),
        .tv_nsec = (long long)(timeout_ns % 1000000000u),
    };
    return enter_result(ring,
                        io_uring_submit_and_wait_timeout(&ring->uring, &first, 1, &timeout, NULL));
}

uint32_t gy_ring_queued(const struct gy_ring *ring)
{
    return io_uring_sq_ready(&ring->uring);
}

uint32_t gy_ring_reap(struct gy_ring *ring, struct gy_completion *completions, uint32_t max)
{
    uint32_t count = 0;
    unsigned head;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        if (count == max) {
            break;
        }
        completions[count++] = (struct gy_completion){cqe->user_data, cqe->res, cqe->flags};
    }
    io_uring_cq_advance(&ring->uring, count);
    ring->counters.completions += count;
    return count;
}

/* ---- provided buffers ---- */

int gy_ring_buffers_open(struct gy_ring *ring, uint16_t group, uint32_t entries, bool incremental,
                         struct gy_ring_buffers **out, struct gy_error *error)
{
    gy_assert(entries > 0 && entries <= 32768 && (entries & (entries - 1)) == 0);
    gy_assert(group != UINT16_MAX); /* the probe's own */
    *out = NULL;
    if (incremental && !(ring->features & GY_RING_BUFFER_INCREMENTAL)) {
        return gy_error_set(error, GY_ENOTSUP,
                            "registering buffers: incremental use is not offered by this kernel");
    }
    struct gy_ring_buffers *buffers = calloc(1, sizeof *buffers);
    if (buffers == NULL) {
        return gy_error_set(error, GY_ENOMEM, "registering buffers: out of memory");
    }
    int result = 0;
    buffers->shared = io_uring_setup_buf_ring(&ring->uring, entries, group,
                                              incremental ? IOU_PBUF_RING_INC : 0, &result);
    if (buffers->shared == NULL) {
        free(buffers);
        return gy_error_set(error, gy_error_from_errno(-result), "registering %u buffers: %s",
                            entries, strerror(-result));
    }
    buffers->ring = ring;
    buffers->entries = entries;
    buffers->group = group;
    *out = buffers;
    return 0;
}

void gy_ring_buffers_close(struct gy_ring_buffers *buffers)
{
    if (buffers != NULL) {
        io_uring_free_buf_ring(&buffers->ring->uring, buffers->shared, buffers->entries,
                               buffers->group);
        free(buffers);
    }
}

void gy_ring_buffers_add(struct gy_ring_buffers *buffers, void *data, uint32_t bytes, uint16_t id)
{
    gy_assert(buffers->pending < (int)buffers->entries);
    io_uring_buf_ring_add(buffers->shared, data, bytes, id,
                          io_uring_buf_ring_mask(buffers->entries), buffers->pending++);
}

void gy_ring_buffers_publish(struct gy_ring_buffers *buffers)
{
    if (buffers->pending > 0) {
        io_uring_buf_ring_advance(buffers->shared, buffers->pending);
        buffers->pending = 0;
    }
}
