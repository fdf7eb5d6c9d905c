/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The buffers that a ring without a kernel is given, and receives that fill them. */

#include <stdlib.h>

#include "tests/core/fake_ring_state.h"

#define BUFFERS_MAX 32768

struct posted {
    uint8_t *data;
    uint32_t capacity;
    uint32_t used;
    uint16_t id;
};

struct gy_ring_buffers {
    struct gy_ring *ring;
    struct gy_ring_buffers *next; /* of the ring, the one opened first first */
    uint16_t group;
    uint32_t entries;
    struct posted *posted; /* a queue: those not yet published are behind those that are */
    uint32_t head;
    uint32_t published;
    uint32_t added;
};

/* ---- as core posts them ---- */

int gy_ring_buffers_open(struct gy_ring *ring, uint16_t group, uint32_t entries, bool incremental,
                         struct gy_ring_buffers **out, struct gy_error *error)
{
    (void)incremental;
    (void)error;
    struct gy_ring_buffers *buffers = calloc(1, sizeof *buffers);
    gy_assert(buffers != NULL && entries <= BUFFERS_MAX);
    struct gy_ring_buffers **at = &ring->buffers;
    while (*at != NULL) {
        gy_assert((*at)->group != group);
        at = &(*at)->next;
    }
    buffers->posted = calloc(entries, sizeof *buffers->posted);
    gy_assert(buffers->posted != NULL);
    buffers->ring = ring;
    buffers->entries = entries;
    buffers->group = group;
    *at = buffers;
    *out = buffers;
    return 0;
}

void gy_ring_buffers_close(struct gy_ring_buffers *buffers)
{
    if (buffers != NULL) {
        struct gy_ring_buffers **at = &buffers->ring->buffers;
        while (*at != buffers) {
            gy_assert(*at != NULL);
            at = &(*at)->next;
        }
        *at = buffers->next;
        free(buffers->posted);
        free(buffers);
    }
}

void gy_ring_buffers_add(struct gy_ring_buffers *buffers, void *data, uint32_t bytes, uint16_t id)
{
    gy_assert(buffers->added < buffers->entries);
    buffers->posted[(buffers->head + buffers->added++) % buffers->entries] =
        (struct posted){data, bytes, 0, id};
}

void gy_ring_buffers_publish(struct gy_ring_buffers *buffers)
{
    buffers->published = buffers->added;
}

uint32_t fake_buffers(const struct gy_ring *ring)
{
    return ring->buffers->published;
}

static struct gy_ring_buffers *group_of(const struct gy_ring *ring, uint16_t group)
{
    struct gy_ring_buffers *buffers = ring->buffers;
    while (buffers != NULL && buffers->group != group) {
        buffers = buffers->next;
    }
    gy_assert(buffers != NULL);
    return buffers;
}

uint32_t fake_buffers_of(const struct gy_ring *ring, uint16_t group)
{
    return group_of(ring, group)->published;
}

uint32_t fake_front_room(const struct gy_ring *ring)
{
    const struct gy_ring_buffers *buffers = ring->buffers;
    gy_assert(buffers->published > 0);
    const struct posted *posted = &buffers->posted[buffers->head % buffers->entries];
    return posted->capacity - posted->used;
}

/* ---- as the kernel fills them ---- */

/* The kernel is not told what the address sanitizer thinks of its buffers. */
__attribute__((no_sanitize_address)) static void kernel_write(uint8_t *target, const uint8_t *data,
                                                              uint32_t bytes)
{
    volatile uint8_t *out = target;
    for (uint32_t i = 0; i < bytes; i++) {
        out[i] = data[i]; /* NOLINT(clang-analyzer-core.uninitialized.Assign): the test's bytes */
    }
}

static struct posted *front(struct gy_ring_buffers *buffers)
{
    gy_assert(buffers->published > 0);
    return &buffers->posted[buffers->head % buffers->entries];
}

static void front_used(struct gy_ring_buffers *buffers)
{
    buffers->head++;
    buffers->published--;
    buffers->added--;
}

struct gy_completion fake_fill(struct gy_ring *ring, uint64_t token, enum gy_receive_mode mode,
                               const void *data, uint32_t bytes, uint32_t flags)
{
    struct posted *posted = front(ring->buffers);
    struct gy_completion completion = {token, (int32_t)bytes,
                                       flags | GY_COMPLETION_BUFFER | (uint32_t)posted->id << 16};
    const uint8_t *from = data;
    if (mode == GY_RECEIVE_INCREMENTAL) {
        gy_assert(bytes <= posted->capacity - posted->used);
        kernel_write(posted->data + posted->used, from, bytes);
        posted->used += bytes;
        if (posted->used < posted->capacity) {
            completion.flags |= GY_COMPLETION_BUFFER_MORE;
        } else {
            front_used(ring->buffers);
        }
        return completion;
    }
    do {
        posted = front(ring->buffers);
        uint32_t take = bytes < posted->capacity ? bytes : posted->capacity;
        kernel_write(posted->data, from, take);
        front_used(ring->buffers);
        from += take;
        bytes -= take;
        gy_assert(bytes == 0 || mode == GY_RECEIVE_BUNDLE);
    } while (bytes > 0);
    return completion;
}

void fake_receive(struct gy_ring *ring, struct fake_operation *operation, const void *data,
                  uint32_t bytes, uint32_t flags)
{
    gy_assert(operation != NULL && operation->submitted && operation->kind == FAKE_RECEIVE);
    fake_settle(ring, operation,
                fake_fill(ring, operation->token, operation->mode, data, bytes, flags));
}

void fake_receive_message(struct gy_ring *ring, struct fake_operation *operation,
                          const struct sockaddr *name, uint32_t name_length, const void *control,
                          uint32_t control_length, const void *data, uint32_t bytes, uint32_t flags)
{
    gy_assert(operation != NULL && operation->submitted);
    gy_assert(operation->kind == FAKE_RECEIVE_MESSAGE);
    struct gy_ring_buffers *buffers = group_of(ring, operation->group);
    struct posted *posted = front(buffers);
    uint32_t name_room = operation->room.msg_namelen;
    uint32_t control_room = (uint32_t)operation->room.msg_controllen;
    uint32_t before = (uint32_t)sizeof(struct gy_message_head) + name_room + control_room;
    gy_assert(posted->capacity >= before);
    struct gy_message_head head = {name_length, control_length, bytes, 0};
    if (bytes > posted->capacity - before) {
        bytes = posted->capacity - before;
        head.flags |= MSG_TRUNC;
        head.payload_length = bytes;
    }
    kernel_write(posted->data, (const uint8_t *)&head, sizeof head);
    if (name != NULL) {
        kernel_write(posted->data + sizeof head, (const uint8_t *)name,
                     name_length < name_room ? name_length : name_room);
    }
    if (control != NULL) {
        kernel_write(posted->data + sizeof head + name_room, control,
                     control_length < control_room ? control_length : control_room);
    }
    kernel_write(posted->data + before, data, bytes);
    struct gy_completion completion = {operation->token, (int32_t)(before + bytes),
                                       flags | GY_COMPLETION_BUFFER | (uint32_t)posted->id << 16};
    front_used(buffers);
    fake_settle(ring, operation, completion);
}
