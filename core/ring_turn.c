/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The ring: entering the kernel, sleeping, and what came of it. */

#include "core/ring.h"

#include <errno.h>
#include <liburing.h>
#include <time.h>

#include "core/ring_internal.h"

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

/* ---- the timer that stands ---- */

/*
 * A timer that is started for each sleep and stopped when something came costs two settings of the
 * processor's clock event, which a virtual machine's host has to be asked for. Deadlines are moved
 * on by what comes, and are hardly ever met. So one timer of the ring stands for many sleeps: it is
 * moved only when a deadline comes before it, and is let run when deadlines have moved behind it. A
 * sleep that it ends too early goes on.
 */

#define STANDS_FROM_NS 1000000 /* a sleep that is to end sooner has a timer of its own */

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct __kernel_timespec timespec_of(uint64_t ns)
{
    return (struct __kernel_timespec){
        .tv_sec = (long long)(ns / 1000000000u),
        .tv_nsec = (long long)(ns % 1000000000u),
    };
}

/* Whether the timer ends a sleep at `due_ns` or before. Queues what makes it so, where that is
 * worth it. */
static bool timer_stands(struct gy_ring *ring, uint64_t due_ns, uint64_t timeout_ns)
{
    bool armed = ring->timer_due_ns != 0;
    if (armed && ring->timer_due_ns <= due_ns) {
        return true;
    }
    if (!(ring->features & GY_RING_STANDING_TIMER) || timeout_ns < STANDS_FROM_NS) {
        return false;
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (sqe == NULL) {
        return false;
    }
    ring->timer_due = timespec_of(due_ns);
    if (armed) {
        io_uring_prep_timeout_update(sqe, &ring->timer_due, GY_RING_TIMER_TOKEN,
                                     IORING_TIMEOUT_ABS);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        io_uring_sqe_set_data64(sqe, GY_RING_MOVED_TOKEN);
    } else {
        io_uring_prep_timeout(sqe, &ring->timer_due, 0, IORING_TIMEOUT_ABS);
        io_uring_sqe_set_data64(sqe, GY_RING_TIMER_TOKEN);
    }
    ring->timer_due_ns = due_ns;
    return true;
}

/* Takes note of a completion of the ring's own. A timer that could not be moved has run out, which
 * its own completion says. */
static bool take_own(struct gy_ring *ring, const struct io_uring_cqe *cqe)
{
    if (__builtin_expect(cqe->user_data < GY_RING_TIMER_TOKEN, 1)) {
        return false;
    }
    if (cqe->user_data == GY_RING_TIMER_TOKEN) {
        gy_assert(ring->timer_due_ns != 0);
        ring->timer_due_ns = 0;
        if (cqe->res != -ETIME) {
            ring->features &= ~(uint32_t)GY_RING_STANDING_TIMER; /* do without, rather than spin */
        }
    }
    return true;
}

/* Whether nothing has ended the sleep but the timer. */
static bool timer_alone(struct gy_ring *ring)
{
    unsigned head, count = 0;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        if (!take_own(ring, cqe)) {
            break;
        }
        count++;
    }
    io_uring_cq_advance(&ring->uring, count);
    return count > 0 && io_uring_cq_ready(&ring->uring) == 0;
}

static int sleep_until(struct gy_ring *ring, uint64_t due_ns, uint64_t timeout_ns)
{
    if (timeout_ns == GY_RING_FOREVER || timer_stands(ring, due_ns, timeout_ns)) {
        return enter_result(ring, io_uring_submit_and_wait(&ring->uring, 1));
    }
    struct io_uring_cqe *first = NULL;
    struct __kernel_timespec timeout = timespec_of(timeout_ns);
    return enter_result(ring,
                        io_uring_submit_and_wait_timeout(&ring->uring, &first, 1, &timeout, NULL));
}

int gy_ring_wait(struct gy_ring *ring, uint64_t timeout_ns)
{
    if (timeout_ns == 0) {
        return enter_result(ring, io_uring_submit_and_get_events(&ring->uring));
    }
    uint64_t now_ns = timeout_ns == GY_RING_FOREVER ? 0 : clock_ns();
    uint64_t due_ns = timeout_ns < UINT64_MAX - now_ns ? now_ns + timeout_ns : UINT64_MAX;
    int code = sleep_until(ring, due_ns, timeout_ns);
    while (code == 0 && timer_alone(ring)) {
        if (timeout_ns != GY_RING_FOREVER) {
            now_ns = clock_ns();
            if (now_ns >= due_ns) {
                break;
            }
            timeout_ns = due_ns - now_ns;
        }
        code = sleep_until(ring, due_ns, timeout_ns);
    }
    return code;
}

/* ---- what came ---- */

uint32_t gy_ring_queued(const struct gy_ring *ring)
{
    return io_uring_sq_ready(&ring->uring);
}

uint32_t gy_ring_reap(struct gy_ring *ring, struct gy_completion *completions, uint32_t max)
{
    uint32_t count = 0;
    unsigned head, own = 0;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        if (count == max) {
            break;
        }
        if (take_own(ring, cqe)) {
            own++;
            continue;
        }
        completions[count++] = (struct gy_completion){cqe->user_data, cqe->res, cqe->flags};
    }
    io_uring_cq_advance(&ring->uring, count + own);
    ring->counters.completions += count;
    return count;
}
