/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/ring.h"

#include <errno.h>
#include <liburing.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ring_internal.h"

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
    if (ring->uring.features & IORING_FEAT_CQE_SKIP) { /* moving a timer is older */
        found |= GY_RING_STANDING_TIMER;
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
