/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Workers on real rings: messages between them, sleeping and waking, opening and closing (DESIGN
 * rules 1 and 20). */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "tests/core/core_harness.h"

#define PING (GY_MESSAGE_USER + 0) /* numbers[0]: how many more */
#define HOLD (GY_MESSAGE_USER + 1) /* the receiver stays in its turn until `release` is posted */
#define POUR (GY_MESSAGE_USER + 2) /* the receiver posts numbers[0] messages to the other */
#define DROP (GY_MESSAGE_USER + 3) /* only counted */

struct pair {
    struct gy_worker workers[2];
    struct gy_worker *peers[2];
    struct gy_worker_options options[2];
    pthread_t threads[2];
    int codes[2];
    sem_t opened;
    sem_t close;
    sem_t done;
    sem_t holding;
    sem_t release;
    _Atomic uint64_t drops;
    uint32_t descriptors;
};

static void on_message(struct gy_worker *worker, const struct gy_message *message)
{
    struct pair *pair = worker->context;
    struct gy_worker *other = worker->peers[1 - worker->options.number];
    struct gy_message next = *message;
    switch (message->kind) {
    case PING:
        if (message->numbers[0] == 0) {
            sem_post(&pair->done);
            return;
        }
        next.numbers[0]--;
        assert_int_equal(gy_worker_post(worker, other, &next), 0);
        return;
    case HOLD:
        sem_post(&pair->holding);
        sem_wait(&pair->release);
        return;
    case POUR:
        next.kind = DROP;
        for (uint64_t i = 0; i < message->numbers[0]; i++) {
            next.numbers[0] = i;
            gy_worker_post(worker, other, &next);
        }
        sem_post(&pair->done);
        return;
    default:
        assert_int_equal(message->kind, DROP);
        assert_int_equal(message->numbers[0], atomic_fetch_add(&pair->drops, 1));
        return;
    }
}

static void *run(void *argument)
{
    struct gy_worker *worker = argument;
    struct pair *pair = worker->context;
    uint32_t number = (uint32_t)(worker - pair->workers);
    struct gy_error error = {0};
    pair->codes[number] = gy_worker_open(worker, &pair->options[number], pair->peers, &error);
    worker->context = pair;
    worker->on_message = on_message;
    sem_post(&pair->opened);
    if (pair->codes[number] == 0) {
        pair->codes[number] = gy_worker_run(worker);
        gy_worker_finish(worker);
        sem_wait(&pair->close);
        gy_worker_close(worker);
    }
    return NULL;
}

static struct pair *pair_open(const char *test, uint32_t without, uint32_t mailbox_messages)
{
    deadline(test, 30);
    struct pair *pair = aligned_alloc(64, (sizeof *pair + 63) & ~(size_t)63);
    assert_non_null(pair);
    memset(pair, 0, sizeof *pair);
    pair->descriptors = descriptors_open();
    sem_t *semaphores[] = {&pair->opened, &pair->close, &pair->done, &pair->holding,
                           &pair->release};
    for (size_t i = 0; i < sizeof semaphores / sizeof semaphores[0]; i++) {
        sem_init(semaphores[i], 0, 0);
    }
    for (uint32_t i = 0; i < 2; i++) {
        pair->peers[i] = &pair->workers[i];
        pair->options[i] =
            (struct gy_worker_options){.number = i,
                                       .workers = 2,
                                       .processor = -1,
                                       .streams_max = 16,
                                       .blocks_max = 4,
                                       .mailbox_messages = mailbox_messages,
                                       .ring.without = without,
                                       .pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0)};
        pair->workers[i].context = pair;
        assert_int_equal(pthread_create(&pair->threads[i], NULL, run, &pair->workers[i]), 0);
    }
    sem_wait(&pair->opened);
    sem_wait(&pair->opened);
    assert_int_equal(pair->codes[0], 0);
    assert_int_equal(pair->codes[1], 0);
    return pair;
}

static void post(struct pair *pair, uint32_t worker, uint32_t kind, uint64_t number)
{
    struct gy_message message = {.kind = kind, .numbers = {number}};
    assert_int_equal(gy_worker_post(NULL, &pair->workers[worker], &message), 0);
}

static void pair_close(struct pair *pair)
{
    post(pair, 0, GY_MESSAGE_STOP, 0);
    post(pair, 1, GY_MESSAGE_STOP, 0);
    sem_post(&pair->close);
    sem_post(&pair->close);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(pair->threads[i], NULL), 0);
        assert_int_equal(pair->codes[i], 0);
    }
    for (int i = 0; i < 20000 && descriptors_open() != pair->descriptors; i++) {
        usleep(1000);
    }
    assert_int_equal(descriptors_open(), pair->descriptors);
    free(pair);
}

static void ping(const char *test, uint32_t without)
{
    struct pair *pair = pair_open(test, without, 16);
    for (int i = 0; i < 20; i++) {
        post(pair, (uint32_t)i % 2, PING, 101);
        sem_wait(&pair->done);
    }
    assert_int_equal(gy_counter_read(&pair->workers[0].counters.mailbox_refused), 0);
    pair_close(pair);
}

static void workers_wake_each_other_by_the_ring(void **state)
{
    (void)state;
    ping(__func__, 0);
}

static void workers_wake_each_other_by_eventfd_without_the_rings_messages(void **state)
{
    (void)state;
    ping(__func__, GY_RING_MESSAGE_RING);
}

static void workers_wake_each_other_without_deferred_task_work(void **state)
{
    (void)state;
    ping(__func__, GY_RING_DEFER_TASKRUN | GY_RING_SINGLE_ISSUER);
}

static void a_full_mailbox_refuses_and_the_sender_counts(void **state)
{
    (void)state;
    struct pair *pair = pair_open(__func__, 0, 16);
    post(pair, 1, HOLD, 0);
    sem_wait(&pair->holding);
    post(pair, 0, POUR, 21);
    sem_wait(&pair->done);
    assert_int_equal(gy_counter_read(&pair->workers[0].counters.mailbox_refused), 5);
    assert_int_equal(gy_counter_read(&pair->workers[1].counters.mailbox_refused), 0);
    sem_post(&pair->release);
    while (atomic_load(&pair->drops) != 16) {
        usleep(100);
    }
    pair_close(pair);
}

static void the_control_threads_messages_are_refused_when_full_too(void **state)
{
    (void)state;
    struct pair *pair = pair_open(__func__, 0, 16);
    post(pair, 0, HOLD, 0);
    sem_wait(&pair->holding);
    struct gy_message message = {.kind = DROP};
    for (uint64_t i = 0; i < 16; i++) {
        message.numbers[0] = i;
        assert_int_equal(gy_worker_post(NULL, &pair->workers[0], &message), 0);
    }
    assert_int_equal(gy_worker_post(NULL, &pair->workers[0], &message), GY_ENOBUFS);
    sem_post(&pair->release);
    while (atomic_load(&pair->drops) != 16) {
        usleep(100);
    }
    pair_close(pair);
}

static void a_burst_of_messages_is_delivered_in_order(void **state)
{
    (void)state;
    struct pair *pair = pair_open(__func__, 0, 4096);
    post(pair, 0, POUR, 4000);
    sem_wait(&pair->done);
    while (atomic_load(&pair->drops) != 4000) {
        usleep(100);
    }
    pair_close(pair);
}

static void an_idle_worker_sleeps(void **state)
{
    (void)state;
    struct pair *pair = pair_open(__func__, 0, 16);
    bool slept = false;
    for (int tries = 0; tries < 20 && !slept; tries++) { /* it may be late to fall asleep */
        uint64_t turns = gy_counter_read(&pair->workers[0].counters.turns);
        usleep(200000);
        slept = gy_counter_read(&pair->workers[0].counters.turns) <= turns + 1;
    }
    assert_true(slept);
    pair_close(pair);
}

/* ---- draining ---- */

static int holds_told;

static void told(struct gy_worker_hold *hold)
{
    assert_non_null(hold);
    holds_told++;
}

/* A worker without a stream that drains, with a hold; let go after the first turn, or never. */
static void drain_held(uint64_t timeout_ms, bool let_go)
{
    struct gy_worker *worker = aligned_alloc(64, (sizeof *worker + 63) & ~(size_t)63);
    struct gy_worker *peers[] = {worker};
    struct gy_worker_options options = {.workers = 1,
                                        .processor = -1,
                                        .streams_max = 16,
                                        .blocks_max = 4,
                                        .pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0)};
    struct gy_worker_hold hold = {.drain = told};
    struct gy_message message = {.kind = GY_MESSAGE_DRAIN, .numbers = {timeout_ms, 0}};
    struct gy_error error = {0};
    holds_told = 0;
    assert_int_equal(gy_worker_open(worker, &options, peers, &error), 0);
    gy_worker_add_hold(worker, &hold);
    assert_int_equal(gy_worker_post(NULL, worker, &message), 0);
    assert_int_equal(gy_worker_turn(worker, 1000000), 0);
    assert_int_equal(holds_told, 1);
    assert_int_equal(worker->phase, GY_WORKER_DRAINING);
    if (let_go) {
        gy_worker_remove_hold(worker, &hold);
        assert_int_equal(gy_worker_turn(worker, 1000000), 0);
        assert_int_equal(worker->phase, GY_WORKER_STOPPED);
    }
    assert_int_equal(gy_worker_run(worker), 0);
    assert_int_equal(worker->phase, GY_WORKER_STOPPED);
    gy_worker_close(worker);
    free(worker);
}

static void a_drain_waits_for_a_hold_and_not_past_its_deadline(void **state)
{
    (void)state;
    deadline(__func__, 20);
    drain_held(600000, true);
    drain_held(50, false);
}

/* ---- opening ---- */

static int try_open(uint32_t without, enum gy_receive_mode mode, struct gy_pool_options *pool)
{
    struct gy_worker *worker = aligned_alloc(64, (sizeof *worker + 63) & ~(size_t)63);
    struct gy_worker *peers[] = {worker};
    struct gy_worker_options options = {.workers = 1,
                                        .processor = -1,
                                        .streams_max = 16,
                                        .blocks_max = 4,
                                        .ring.without = without,
                                        .pool = gy_pool_defaults(mode, 0)};
    options.pool = pool != NULL ? *pool : options.pool;
    struct gy_error error = {0};
    uint32_t descriptors = descriptors_open();
    int code = gy_worker_open(worker, &options, peers, &error);
    if (code == 0) {
        gy_worker_close(worker);
    } else {
        assert_int_equal(error.code, code);
        assert_true(strlen(error.message) > 20);
    }
    for (int i = 0; i < 20000 && descriptors_open() != descriptors; i++) {
        usleep(1000);
    }
    assert_int_equal(descriptors_open(), descriptors);
    free(worker);
    return code;
}

static void without_what_every_server_needs_a_worker_does_not_open(void **state)
{
    (void)state;
    deadline(__func__, 20);
    assert_int_equal(try_open(GY_RING_BUFFER_RING, GY_RECEIVE_MULTISHOT, NULL), GY_ENOTSUP);
    assert_int_equal(try_open(GY_RING_CANCEL_DESCRIPTOR, GY_RECEIVE_MULTISHOT, NULL), GY_ENOTSUP);
}

static void a_forced_mode_that_the_kernel_lacks_is_refused(void **state)
{
    (void)state;
    deadline(__func__, 20);
    static const enum gy_receive_mode multishot[] = {GY_RECEIVE_MULTISHOT, GY_RECEIVE_INCREMENTAL,
                                                     GY_RECEIVE_BUNDLE};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(try_open(GY_RING_MULTISHOT_RECEIVE, multishot[i], NULL), GY_ENOTSUP);
    }
    assert_int_equal(try_open(GY_RING_BUFFER_INCREMENTAL, GY_RECEIVE_INCREMENTAL, NULL),
                     GY_ENOTSUP);
    assert_int_equal(try_open(GY_RING_RECEIVE_BUNDLE, GY_RECEIVE_BUNDLE, NULL), GY_ENOTSUP);
    assert_int_equal(try_open(GY_RING_MULTISHOT_RECEIVE, GY_RECEIVE_ONE_SHOT, NULL), 0);
}

static void a_pool_that_cannot_be_is_refused_and_nothing_leaks(void **state)
{
    (void)state;
    deadline(__func__, 20);
    struct gy_pool_options pool = {.buffer_bytes = 4096, .buffers = 3, .posted = 4};
    assert_int_equal(try_open(0, GY_RECEIVE_ONE_SHOT, &pool), GY_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_wake_each_other_by_the_ring),
        cmocka_unit_test(workers_wake_each_other_by_eventfd_without_the_rings_messages),
        cmocka_unit_test(workers_wake_each_other_without_deferred_task_work),
        cmocka_unit_test(a_full_mailbox_refuses_and_the_sender_counts),
        cmocka_unit_test(the_control_threads_messages_are_refused_when_full_too),
        cmocka_unit_test(a_burst_of_messages_is_delivered_in_order),
        cmocka_unit_test(an_idle_worker_sleeps),
        cmocka_unit_test(a_drain_waits_for_a_hold_and_not_past_its_deadline),
        cmocka_unit_test(without_what_every_server_needs_a_worker_does_not_open),
        cmocka_unit_test(a_forced_mode_that_the_kernel_lacks_is_refused),
        cmocka_unit_test(a_pool_that_cannot_be_is_refused_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
