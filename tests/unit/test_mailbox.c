/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>

#include "core/error.h"
#include "core/mailbox.h"

#define CAPACITY 8

static struct gy_message places[CAPACITY];
static struct gy_mailbox mailbox;

static int set_up(void **state)
{
    (void)state;
    gy_mailbox_init(&mailbox, places, CAPACITY);
    return 0;
}

static struct gy_message numbered(uint64_t number)
{
    struct gy_message message = {.kind = 7, .count = (uint32_t)number};
    for (size_t i = 0; i < GY_MESSAGE_BYTES / sizeof(uint64_t); i++) {
        message.numbers[i] = number + i;
    }
    return message;
}

static bool is_numbered(const struct gy_message *message, uint64_t number)
{
    bool same = message->kind == 7 && message->count == (uint32_t)number;
    for (size_t i = 0; i < GY_MESSAGE_BYTES / sizeof(uint64_t); i++) {
        same = same && message->numbers[i] == number + i;
    }
    return same;
}

static int push(uint64_t number)
{
    struct gy_message message = numbered(number);
    return gy_mailbox_push(&mailbox, &message);
}

static void expect_pop(uint64_t number)
{
    struct gy_message message;
    assert_true(gy_mailbox_pop(&mailbox, &message));
    assert_true(is_numbered(&message, number));
}

static void a_message_is_a_cache_line_and_the_sides_share_none(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct gy_message), GY_CACHE_LINE_BYTES);
    assert_int_equal(offsetof(struct gy_message, bytes), 8);
    size_t tail_line = offsetof(struct gy_mailbox, tail) / GY_CACHE_LINE_BYTES;
    size_t head_line = offsetof(struct gy_mailbox, head) / GY_CACHE_LINE_BYTES;
    size_t fixed_line = offsetof(struct gy_mailbox, messages) / GY_CACHE_LINE_BYTES;
    assert_true(tail_line != head_line && tail_line != fixed_line && head_line != fixed_line);
    assert_int_equal(sizeof(struct gy_mailbox) % GY_CACHE_LINE_BYTES, 0);
    assert_int_equal(sizeof(struct gy_bell), GY_CACHE_LINE_BYTES);
}

static void a_new_mailbox_is_empty(void **state)
{
    (void)state;
    struct gy_message message;
    assert_true(gy_mailbox_empty(&mailbox));
    assert_false(gy_mailbox_pop(&mailbox, &message));
    assert_int_equal(gy_mailbox_refused(&mailbox), 0);
    assert_int_equal(gy_mailbox_length_max(&mailbox), 0);
}

static void messages_arrive_whole_and_in_order(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(push(i), 0);
        assert_false(gy_mailbox_empty(&mailbox));
    }
    for (uint64_t i = 0; i < 5; i++) {
        expect_pop(i);
    }
    assert_true(gy_mailbox_empty(&mailbox));
}

static void a_full_mailbox_refuses_and_counts_and_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < CAPACITY; i++) {
        assert_int_equal(push(i), 0);
    }
    assert_int_equal(push(100), GY_ENOBUFS);
    assert_int_equal(push(101), GY_ENOBUFS);
    assert_int_equal(gy_mailbox_refused(&mailbox), 2);
    expect_pop(0);
    assert_int_equal(push(CAPACITY), 0);
    for (uint64_t i = 1; i <= CAPACITY; i++) {
        expect_pop(i);
    }
    assert_true(gy_mailbox_empty(&mailbox));
}

static void a_mailbox_of_one_works(void **state)
{
    (void)state;
    gy_mailbox_init(&mailbox, places, 1);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(push(i), 0);
        assert_int_equal(push(i), GY_ENOBUFS);
        expect_pop(i);
        assert_true(gy_mailbox_empty(&mailbox));
    }
}

static void a_batch_is_taken_as_far_as_it_fits(void **state)
{
    (void)state;
    struct gy_message batch[CAPACITY + 3];
    for (uint64_t i = 0; i < CAPACITY + 3; i++) {
        batch[i] = numbered(i);
    }
    assert_int_equal(gy_mailbox_push_batch(&mailbox, batch, 3), 3);
    assert_int_equal(gy_mailbox_push_batch(&mailbox, batch + 3, CAPACITY), CAPACITY - 3);
    assert_int_equal(gy_mailbox_refused(&mailbox), 3);
    assert_int_equal(gy_mailbox_push_batch(&mailbox, batch, 0), 0);
    assert_int_equal(gy_mailbox_refused(&mailbox), 3);

    struct gy_message got[CAPACITY + 3];
    assert_int_equal(gy_mailbox_pop_batch(&mailbox, got, 2), 2);
    assert_int_equal(gy_mailbox_pop_batch(&mailbox, got + 2, CAPACITY + 1), CAPACITY - 2);
    assert_int_equal(gy_mailbox_pop_batch(&mailbox, got, 1), 0);
    for (uint64_t i = 0; i < CAPACITY; i++) {
        assert_true(is_numbered(&got[i], i));
    }
}

static void the_high_water_mark_is_the_most_that_lay_there(void **state)
{
    (void)state;
    push(0);
    push(1);
    push(2);
    assert_int_equal(gy_mailbox_length_max(&mailbox), 3);
    expect_pop(0);
    expect_pop(1);
    expect_pop(2);
    assert_int_equal(gy_mailbox_length_max(&mailbox), 3);
    for (uint64_t i = 0; i < CAPACITY; i++) {
        push(i);
    }
    assert_int_equal(gy_mailbox_length_max(&mailbox), CAPACITY);
}

static void indices_wrap_around_at_32_bits(void **state)
{
    (void)state;
    uint32_t near = UINT32_MAX - 3;
    mailbox.tail = mailbox.head = near;
    mailbox.head_seen = mailbox.tail_seen = near;
    assert_true(gy_mailbox_empty(&mailbox));
    for (uint64_t i = 0; i < CAPACITY; i++) {
        assert_int_equal(push(i), 0);
    }
    assert_int_equal(push(0), GY_ENOBUFS);
    for (uint64_t i = 0; i < CAPACITY; i++) {
        expect_pop(i);
    }
    assert_true(gy_mailbox_empty(&mailbox));
    assert_int_equal(mailbox.tail, 4);
}

static void init_with(void *capacity)
{
    struct gy_mailbox other;
    gy_mailbox_init(&other, places, *(uint32_t *)capacity);
}

static void a_capacity_that_is_no_power_of_two_is_asserted(void **state)
{
    (void)state;
    uint32_t capacities[] = {0, 3, 6, UINT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        expect_assertion(init_with, &capacities[i], "capacity");
    }
}

static void an_awake_consumer_is_not_rung(void **state)
{
    (void)state;
    struct gy_bell bell;
    gy_bell_init(&bell);
    push(0);
    assert_false(gy_bell_must_ring(&bell));
    assert_false(gy_bell_must_ring(&bell));
}

static void a_sleeping_consumer_is_rung_once_a_burst(void **state)
{
    (void)state;
    struct gy_bell bell;
    gy_bell_init(&bell);
    for (int sleep = 0; sleep < 3; sleep++) {
        gy_bell_sleep(&bell);
        assert_true(gy_bell_must_ring(&bell));
        assert_false(gy_bell_must_ring(&bell));
        assert_false(gy_bell_must_ring(&bell));
        assert_true(gy_bell_wake(&bell));
        assert_false(gy_bell_must_ring(&bell));
    }
}

static void a_consumer_that_wakes_by_itself_was_not_rung(void **state)
{
    (void)state;
    struct gy_bell bell;
    gy_bell_init(&bell);
    gy_bell_sleep(&bell);
    assert_false(gy_bell_wake(&bell));
    assert_false(gy_bell_must_ring(&bell));
}

static void sleep_twice(void *bell)
{
    gy_bell_init(bell);
    gy_bell_sleep(bell);
    gy_bell_sleep(bell);
}

static void wake_twice(void *bell)
{
    gy_bell_init(bell);
    gy_bell_wake(bell);
}

static void sleeping_or_waking_twice_is_asserted(void **state)
{
    (void)state;
    struct gy_bell bell;
    expect_assertion(sleep_twice, &bell, "GY_BELL_AWAKE");
    expect_assertion(wake_twice, &bell, "GY_BELL_SLEEPING");
}

/*
 * Threads. Producers push numbered messages into a mailbox each; the consumer sleeps on an eventfd
 * whenever all are empty. A wake-up that is lost shows as a sleep that lasts until its time-out.
 */
#define PRODUCERS        3
#define MESSAGES         UINT64_C(60000)
#define SLEEP_TIMEOUT_MS 10000

struct lane {
    struct gy_mailbox mailbox;
    struct gy_message places[64];
    uint64_t seed;
    uint64_t refused;
    uint64_t rings;
    pthread_t thread;
};

static struct lane lanes[PRODUCERS];
static struct gy_bell shared_bell;
static int shared_fd;

static void *produce(void *argument)
{
    struct lane *lane = argument;
    uint64_t random = lane->seed;
    uint64_t next = 0;
    while (next < MESSAGES) {
        struct gy_message batch[16];
        uint64_t bits = random_next(&random);
        uint32_t count = 1 + (uint32_t)(bits % 16);
        if (count > MESSAGES - next) {
            count = (uint32_t)(MESSAGES - next);
        }
        for (uint32_t i = 0; i < count; i++) {
            batch[i] = numbered(next + i);
        }
        uint32_t fit;
        if (bits >> 60 < 8) {
            fit = gy_mailbox_push(&lane->mailbox, batch) == 0;
            lane->refused += 1 - fit;
        } else {
            fit = gy_mailbox_push_batch(&lane->mailbox, batch, count);
            lane->refused += count - fit;
        }
        next += fit;
        if (gy_bell_must_ring(&shared_bell)) {
            lane->rings++;
            eventfd_write(shared_fd, 1);
        }
        if (fit == 0 || (bits >> 40) % 64 == 0) {
            sched_yield(); /* also lets the consumer run dry and fall asleep */
        }
    }
    return NULL;
}

struct consumed {
    uint64_t next[PRODUCERS];
    uint64_t sleeps;
    uint64_t rung;
    bool out_of_order;
    bool overslept;
};

static uint64_t drain(struct consumed *consumed)
{
    uint64_t sum = 0;
    for (int l = 0; l < PRODUCERS; l++) {
        struct gy_message messages[10];
        uint32_t count;
        while ((count = gy_mailbox_pop_batch(&lanes[l].mailbox, messages, 10)) > 0) {
            for (uint32_t i = 0; i < count; i++) {
                consumed->out_of_order |= !is_numbered(&messages[i], consumed->next[l]++);
            }
            sum += count;
        }
    }
    return sum;
}

static void consume(struct consumed *consumed)
{
    uint64_t left = PRODUCERS * MESSAGES;
    while (left > 0 && !consumed->overslept) {
        left -= drain(consumed);
        if (left == 0) {
            break;
        }
        gy_bell_sleep(&shared_bell);
        bool empty = true;
        for (int l = 0; l < PRODUCERS; l++) {
            empty = empty && gy_mailbox_empty(&lanes[l].mailbox);
        }
        if (empty) {
            struct pollfd bell = {.fd = shared_fd, .events = POLLIN};
            consumed->sleeps++;
            consumed->overslept = poll(&bell, 1, SLEEP_TIMEOUT_MS) == 0;
        }
        consumed->rung += gy_bell_wake(&shared_bell);
        eventfd_t rings;
        (void)eventfd_read(shared_fd, &rings);
    }
}

static void threads_lose_no_message_and_no_wake_up(void **state)
{
    (void)state;
    uint64_t seed = random_seed(0xbe11);
    shared_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(shared_fd >= 0);
    gy_bell_init(&shared_bell);
    for (int l = 0; l < PRODUCERS; l++) {
        gy_mailbox_init(&lanes[l].mailbox, lanes[l].places, 64);
        lanes[l].seed = seed + (uint64_t)l;
        assert_int_equal(pthread_create(&lanes[l].thread, NULL, produce, &lanes[l]), 0);
    }
    struct consumed consumed = {0};
    consume(&consumed);
    uint64_t rings = 0;
    for (int l = 0; l < PRODUCERS; l++) {
        if (!consumed.overslept) {
            pthread_join(lanes[l].thread, NULL);
        }
        rings += lanes[l].rings;
    }
    if (consumed.overslept || consumed.out_of_order) {
        fail_msg("GY_TEST_SEED=%llu: overslept %d, out of order %d", (unsigned long long)seed,
                 consumed.overslept, consumed.out_of_order);
    }
    for (int l = 0; l < PRODUCERS; l++) {
        assert_int_equal(consumed.next[l], MESSAGES);
        assert_true(gy_mailbox_refused(&lanes[l].mailbox) == lanes[l].refused);
        assert_true(gy_mailbox_length_max(&lanes[l].mailbox) <= 64);
        assert_true(gy_mailbox_empty(&lanes[l].mailbox));
    }
    /* Each ring answered one sleep; the last may have come after the last message was seen. */
    assert_true(rings == consumed.rung || rings == consumed.rung + 1);
    assert_true(rings <= PRODUCERS * MESSAGES);
    close(shared_fd);
}

/*
 * One message at a time, each answered before the next, pushed at the moment when the consumer goes
 * to sleep: no later message makes up for a wake-up that is lost.
 */
#define ROUNDS UINT64_C(100000)

static struct lane requests;
static struct lane answers;
static bool answerer_overslept;

static void *answer(void *unused)
{
    (void)unused;
    for (uint64_t next = 0; next < ROUNDS;) {
        struct gy_message message;
        while (gy_mailbox_pop(&requests.mailbox, &message)) {
            gy_mailbox_push(&answers.mailbox, &message);
            next++;
        }
        gy_bell_sleep(&shared_bell);
        if (gy_mailbox_empty(&requests.mailbox) && next < ROUNDS) {
            struct pollfd bell = {.fd = shared_fd, .events = POLLIN};
            if (poll(&bell, 1, SLEEP_TIMEOUT_MS) == 0) {
                answerer_overslept = true;
                return NULL;
            }
        }
        gy_bell_wake(&shared_bell);
        eventfd_t rings;
        (void)eventfd_read(shared_fd, &rings);
    }
    return NULL;
}

static void a_message_pushed_while_the_consumer_falls_asleep_wakes_it(void **state)
{
    (void)state;
    uint64_t random = random_seed(0x5eed);
    shared_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(shared_fd >= 0);
    answerer_overslept = false;
    gy_bell_init(&shared_bell);
    gy_mailbox_init(&requests.mailbox, requests.places, 64);
    gy_mailbox_init(&answers.mailbox, answers.places, 64);
    pthread_t answerer;
    assert_int_equal(pthread_create(&answerer, NULL, answer, NULL), 0);
    bool answered = true;
    for (uint64_t i = 0; i < ROUNDS && answered; i++) {
        for (volatile uint64_t spin = random_next(&random) % 64; spin > 0; spin--) {
        }
        struct gy_message message = numbered(i);
        assert_int_equal(gy_mailbox_push(&requests.mailbox, &message), 0);
        if (gy_bell_must_ring(&shared_bell)) {
            eventfd_write(shared_fd, 1);
        }
        struct timespec start;
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &start);
        for (uint32_t tries = 1; !gy_mailbox_pop(&answers.mailbox, &message); tries++) {
            if (tries % 1024 == 0) {
                sched_yield();
                clock_gettime(CLOCK_MONOTONIC, &now);
                if (now.tv_sec - start.tv_sec > SLEEP_TIMEOUT_MS / 1000 + 5) {
                    answered = false;
                    break;
                }
            }
        }
        answered = answered && is_numbered(&message, i);
    }
    pthread_join(answerer, NULL);
    close(shared_fd);
    assert_false(answerer_overslept);
    assert_true(answered);
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_is_a_cache_line_and_the_sides_share_none),
        TEST(a_new_mailbox_is_empty),
        TEST(messages_arrive_whole_and_in_order),
        TEST(a_full_mailbox_refuses_and_counts_and_loses_nothing),
        TEST(a_mailbox_of_one_works),
        TEST(a_batch_is_taken_as_far_as_it_fits),
        TEST(the_high_water_mark_is_the_most_that_lay_there),
        TEST(indices_wrap_around_at_32_bits),
        TEST(a_capacity_that_is_no_power_of_two_is_asserted),
        TEST(an_awake_consumer_is_not_rung),
        TEST(a_sleeping_consumer_is_rung_once_a_burst),
        TEST(a_consumer_that_wakes_by_itself_was_not_rung),
        TEST(sleeping_or_waking_twice_is_asserted),
        TEST(threads_lose_no_message_and_no_wake_up),
        TEST(a_message_pushed_while_the_consumer_falls_asleep_wakes_it),
    };
    return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
