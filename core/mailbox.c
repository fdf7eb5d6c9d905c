/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/mailbox.h"

#include "core/error.h"

#if defined(__SANITIZE_THREAD__)
#define GY_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GY_TSAN 1
#endif
#endif

void gy_mailbox_init(struct gy_mailbox *mailbox, struct gy_message *messages, uint32_t capacity)
{
    gy_assert(messages != NULL);
    gy_assert(capacity > 0 && capacity <= UINT32_C(1) << 31 && (capacity & (capacity - 1)) == 0);
    *mailbox = (struct gy_mailbox){.messages = messages, .mask = capacity - 1};
}

/* Free places, at most `wanted`: looks at the consumer's line only when those known of are too few.
 */
static uint32_t room(struct gy_mailbox *mailbox, uint32_t tail, uint32_t wanted)
{
    uint32_t capacity = mailbox->mask + 1;
    uint32_t free = capacity - (tail - mailbox->head_seen);
    if (free < wanted) {
        mailbox->head_seen = atomic_load_explicit(&mailbox->head, memory_order_acquire);
        free = capacity - (tail - mailbox->head_seen);
    }
    gy_assert(free <= capacity);
    return free < wanted ? free : wanted;
}

uint32_t gy_mailbox_push_batch(struct gy_mailbox *mailbox, const struct gy_message *messages,
                               uint32_t count)
{
    uint32_t tail = atomic_load_explicit(&mailbox->tail, memory_order_relaxed);
    uint32_t fit = room(mailbox, tail, count);
    for (uint32_t i = 0; i < fit; i++) {
        mailbox->messages[(tail + i) & mailbox->mask] = messages[i];
    }
    tail += fit;
    atomic_store_explicit(&mailbox->tail, tail, memory_order_release);

    uint32_t length = tail - mailbox->head_seen;
    gy_assert(length <= mailbox->mask + 1);
    if (length > atomic_load_explicit(&mailbox->length_max, memory_order_relaxed)) {
        atomic_store_explicit(&mailbox->length_max, length, memory_order_relaxed);
    }
    if (fit < count) {
        uint64_t refused = atomic_load_explicit(&mailbox->refused, memory_order_relaxed);
        atomic_store_explicit(&mailbox->refused, refused + (count - fit), memory_order_relaxed);
    }
    return fit;
}

int gy_mailbox_push(struct gy_mailbox *mailbox, const struct gy_message *message)
{
    return gy_mailbox_push_batch(mailbox, message, 1) == 1 ? 0 : GY_ENOBUFS;
}

uint32_t gy_mailbox_pop_batch(struct gy_mailbox *mailbox, struct gy_message *messages,
                              uint32_t count)
{
    uint32_t head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
    if (mailbox->tail_seen - head < count) {
        mailbox->tail_seen = atomic_load_explicit(&mailbox->tail, memory_order_acquire);
    }
    uint32_t length = mailbox->tail_seen - head;
    gy_assert(length <= mailbox->mask + 1);
    if (count > length) {
        count = length;
    }
    for (uint32_t i = 0; i < count; i++) {
        messages[i] = mailbox->messages[(head + i) & mailbox->mask];
    }
    if (count > 0) {
        atomic_store_explicit(&mailbox->head, head + count, memory_order_release);
    }
    return count;
}

bool gy_mailbox_pop(struct gy_mailbox *mailbox, struct gy_message *message)
{
    return gy_mailbox_pop_batch(mailbox, message, 1) == 1;
}

bool gy_mailbox_empty(const struct gy_mailbox *mailbox)
{
    uint32_t head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
    return atomic_load_explicit(&mailbox->tail, memory_order_acquire) == head;
}

uint64_t gy_mailbox_refused(const struct gy_mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->refused, memory_order_relaxed);
}

uint32_t gy_mailbox_length_max(const struct gy_mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->length_max, memory_order_relaxed);
}

void gy_bell_init(struct gy_bell *bell)
{
    atomic_init(&bell->state, GY_BELL_AWAKE);
}

/*
 * The fence between "what I did" and "what the other side did" (see mailbox.h). The thread
 * sanitizer knows no fences; with it both sides write to the bell instead, and of two such writes
 * the later one has seen all that came before the earlier one.
 */
static void bell_fence(struct gy_bell *bell)
{
#ifdef GY_TSAN
    atomic_fetch_add_explicit(&bell->state, 0, memory_order_seq_cst);
#else
    (void)bell;
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

bool gy_bell_must_ring(struct gy_bell *bell)
{
    bell_fence(bell);
    uint32_t state = atomic_load_explicit(&bell->state, memory_order_relaxed);
    if (state != GY_BELL_SLEEPING) {
        return false;
    }
    return atomic_compare_exchange_strong_explicit(&bell->state, &state, GY_BELL_RUNG,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

void gy_bell_sleep(struct gy_bell *bell)
{
    gy_assert(atomic_load_explicit(&bell->state, memory_order_relaxed) == GY_BELL_AWAKE);
    atomic_store_explicit(&bell->state, GY_BELL_SLEEPING, memory_order_relaxed);
    bell_fence(bell);
}

bool gy_bell_wake(struct gy_bell *bell)
{
    uint32_t state = atomic_exchange_explicit(&bell->state, GY_BELL_AWAKE, memory_order_acq_rel);
    gy_assert(state == GY_BELL_SLEEPING || state == GY_BELL_RUNG);
    return state == GY_BELL_RUNG;
}
