/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Messages for the connections of all workers (DESIGN rules 1, 18 and 20), on real rings that one
 * thread turns in an order of the test's choice. */

#include "core/relay.h"
#include "tests/core/core_harness.h"

#define WORKERS_MAX 4
#define HEARD_MAX   4096

struct heard {
    uint64_t kinds[HEARD_MAX];
    uint32_t count;
    uint32_t rooms; /* calls of `room` */
};

struct crowd {
    struct gy_worker workers[WORKERS_MAX];
    struct gy_worker *peers[WORKERS_MAX];
    uint32_t count;
    struct gy_relay relay;
    struct heard heard[WORKERS_MAX];
    int refuse;           /* what `deliver` answers to a message of its own worker's */
    uint32_t taken_bytes; /* without a copy */
};

static int deliver(void *context, struct gy_worker *worker, const struct gy_relay_message *message)
{
    struct crowd *crowd = context;
    struct heard *heard = &crowd->heard[worker->options.number];
    uint8_t bytes[64];
    if (message->payload != NULL) {
        if (crowd->refuse != 0) {
            return crowd->refuse;
        }
        assert_int_equal(message->payload->length, message->bytes);
        crowd->taken_bytes += message->bytes;
        gy_chain_copy(message->payload, 0, message->bytes, bytes);
        gy_chain_consume(message->payload, message->bytes);
    } else {
        memcpy(bytes, message->data, message->bytes);
    }
    assert_true(pattern_matches(bytes, message->bytes, (uint32_t)message->kind, 0));
    assert_true(heard->count < HEARD_MAX);
    heard->kinds[heard->count++] = message->kind;
    return 0;
}

static void room(void *context, struct gy_worker *worker)
{
    struct crowd *crowd = context;
    assert_false(gy_relay_full(&crowd->relay, worker));
    crowd->heard[worker->options.number].rooms++;
}

static const struct gy_relay_handler handler = {.deliver = deliver, .room = room};

static struct crowd *crowd_open(const char *test, uint32_t count, uint32_t mailbox_messages)
{
    deadline(test, 30);
    struct crowd *crowd = aligned_alloc(64, (sizeof *crowd + 63) & ~(size_t)63);
    assert_non_null(crowd);
    memset(crowd, 0, sizeof *crowd);
    crowd->count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct gy_worker_options options = {.number = i,
                                                  .workers = count,
                                                  .processor = -1,
                                                  .streams_max = 16,
                                                  .blocks_max = 4,
                                                  .mailbox_messages = mailbox_messages,
                                                  .pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0)};
        struct gy_error error = {0};
        crowd->peers[i] = &crowd->workers[i];
        assert_int_equal(gy_worker_open(&crowd->workers[i], &options, crowd->peers, &error), 0);
        assert_int_equal(gy_relay_open(&crowd->relay, &crowd->workers[i], &handler, crowd), 0);
    }
    return crowd;
}

static void crowd_close(struct crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->count; i++) {
        gy_worker_finish(&crowd->workers[i]);
    }
    for (uint32_t i = 0; i < crowd->count; i++) {
        gy_relay_close(&crowd->relay, &crowd->workers[i]);
        gy_worker_close(&crowd->workers[i]);
    }
    free(crowd);
}

static void turn(struct crowd *crowd, uint32_t worker)
{
    assert_int_equal(gy_worker_turn(&crowd->workers[worker], 1000000), 0);
}

/* Until everybody has heard so many. */
static void turn_until(struct crowd *crowd, uint32_t heard)
{
    for (bool all = false; !all;) {
        all = true;
        for (uint32_t i = 0; i < crowd->count; i++) {
            turn(crowd, i);
            all = all && crowd->heard[i].count >= heard;
        }
    }
    for (uint32_t i = 0; i < crowd->count; i++) {
        assert_int_equal(crowd->heard[i].count, heard);
    }
}

static int say(struct crowd *crowd, uint32_t from, uint32_t owner, uint32_t kind, uint32_t bytes)
{
    struct gy_worker *worker = &crowd->workers[from];
    struct gy_chain payload;
    uint8_t data[64];
    assert_true(bytes <= sizeof data);
    pattern_fill(data, bytes, kind, 0);
    gy_chain_init(&payload, &worker->links);
    if (bytes > 0) {
        assert_int_equal(gy_bump_copy(&worker->bump, &payload, data, bytes), 0);
    }
    int code = gy_relay_send(&crowd->relay, worker, owner, kind, &payload);
    gy_chain_clear(&payload);
    return code;
}

static void a_message_comes_to_every_worker_once(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_open(__func__, 3, 0);
    for (uint32_t from = 0; from < 3; from++) {
        for (uint32_t owner = 0; owner < 3; owner++) {
            uint32_t before = crowd->heard[0].count;
            assert_int_equal(say(crowd, from, owner, from * 8 + owner, 60), 0);
            turn_until(crowd, before + 1);
            for (uint32_t i = 0; i < 3; i++) {
                assert_int_equal(crowd->heard[i].kinds[before], from * 8 + owner);
            }
        }
    }
    assert_int_equal(say(crowd, 1, 2, 99, 0), 0);
    turn_until(crowd, 10);
    crowd_close(crowd);
}

static void all_workers_hear_one_order(void **state)
{
    (void)state;
    uint64_t seed = random_seed(18), chance = seed;
    struct crowd *crowd = crowd_open(__func__, WORKERS_MAX, 8);
    uint32_t said[WORKERS_MAX] = {0};
    for (uint32_t total = 0; total < 2000;) {
        uint32_t who = (uint32_t)(random_next(&chance) % WORKERS_MAX);
        if (random_next(&chance) % 3 == 0) {
            turn(crowd, who);
        } else if (!gy_relay_full(&crowd->relay, &crowd->workers[who])) {
            assert_int_equal(say(crowd, who, 2, who << 16 | said[who]++, 8), 0);
            total++;
        }
    }
    turn_until(crowd, 2000);
    uint32_t next[WORKERS_MAX] = {0};
    for (uint32_t n = 0; n < 2000; n++) {
        uint64_t kind = crowd->heard[0].kinds[n];
        for (uint32_t i = 1; i < WORKERS_MAX; i++) {
            if (crowd->heard[i].kinds[n] != kind) {
                fail_msg("worker %u heard another order (seed %llu)", i, (unsigned long long)seed);
            }
        }
        assert_int_equal(kind & 0xffff, next[kind >> 16]++);
    }
    crowd_close(crowd);
}

static void one_worker_alone_copies_nothing(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_open(__func__, 1, 0);
    assert_int_equal(say(crowd, 0, 0, 5, 50), 0);
    assert_int_equal(crowd->heard[0].count, 1);
    assert_int_equal(crowd->taken_bytes, 50);
    assert_int_equal(gy_relay_counts(&crowd->relay, &crowd->workers[0]).sent, 0);
    assert_int_equal(gy_counter_read(&crowd->workers[0].counters.copied_bytes), 0);
    crowd_close(crowd);
}

static void an_owner_has_its_own_at_once(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_open(__func__, 2, 0);
    assert_int_equal(say(crowd, 1, 1, 5, 50), 0);
    assert_int_equal(crowd->heard[1].count, 1);
    assert_int_equal(crowd->heard[0].count, 0);
    turn_until(crowd, 1);
    /* One copy, for the other. */
    assert_int_equal(gy_counter_read(&crowd->workers[1].counters.copied_bytes), 50 + 50);
    assert_int_equal(crowd->taken_bytes, 50);
    crowd_close(crowd);
}

static void what_its_own_worker_refuses_nobody_gets(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_open(__func__, 2, 0);
    crowd->refuse = GY_ENOBUFS;
    assert_int_equal(say(crowd, 0, 0, 5, 50), GY_ENOBUFS);
    crowd->refuse = 0;
    assert_int_equal(say(crowd, 0, 0, 6, 50), 0);
    turn_until(crowd, 1);
    assert_int_equal(crowd->heard[1].kinds[0], 6);
    crowd_close(crowd);
}

static void senders_wait_for_a_worker_that_is_behind(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_open(__func__, 3, 0);
    crowd->relay.messages_max = 10;
    uint32_t said = 0;
    while (!gy_relay_full(&crowd->relay, &crowd->workers[0])) {
        assert_int_equal(say(crowd, 0, 1, said++, 8), 0);
    }
    assert_int_equal(said, 10);
    assert_int_equal(gy_relay_counts(&crowd->relay, &crowd->workers[0]).filled, 1);
    for (int i = 0; i < 5; i++) {
        turn(crowd, 1);
        turn(crowd, 0);
    }
    assert_int_equal(crowd->heard[0].count, 10);
    assert_int_equal(crowd->heard[1].count, 10);
    assert_true(gy_relay_full(&crowd->relay, &crowd->workers[0])); /* 2 has yet to turn */
    assert_false(gy_relay_full(&crowd->relay, &crowd->workers[1]));
    turn_until(crowd, 10);
    while (crowd->heard[0].rooms == 0) {
        turn(crowd, 0);
    }
    assert_int_equal(crowd->heard[0].rooms, 1);
    assert_int_equal(crowd->heard[1].rooms, 0);
    crowd_close(crowd);
}

static void bytes_under_way_are_bounded_too(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_open(__func__, 2, 0);
    crowd->relay.bytes_max = 100;
    assert_int_equal(say(crowd, 0, 0, 1, 60), 0);
    assert_false(gy_relay_full(&crowd->relay, &crowd->workers[0]));
    assert_int_equal(say(crowd, 0, 0, 2, 60), 0);
    assert_true(gy_relay_full(&crowd->relay, &crowd->workers[0]));
    turn_until(crowd, 2);
    while (crowd->heard[0].rooms == 0) {
        turn(crowd, 0);
    }
    crowd_close(crowd);
}

static void a_full_mailbox_delays_and_loses_nothing(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_open(__func__, 3, 4);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(say(crowd, i % 2, i % 2, i, 8), 0);
    }
    assert_true(gy_relay_counts(&crowd->relay, &crowd->workers[0]).delayed > 40);
    turn_until(crowd, 100);
    for (uint32_t worker = 0; worker < 3; worker++) {
        uint32_t next[2] = {0, 1};
        for (uint32_t i = 0; i < 100; i++) {
            uint64_t kind = crowd->heard[worker].kinds[i];
            assert_int_equal(kind, next[kind % 2]);
            next[kind % 2] += 2;
        }
    }
    crowd_close(crowd);
}

static void what_is_under_way_at_the_end_is_freed(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_open(__func__, 3, 4);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(say(crowd, i % 3, 1, i, 8), 0);
    }
    crowd_close(crowd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_to_every_worker_once),
        cmocka_unit_test(all_workers_hear_one_order),
        cmocka_unit_test(one_worker_alone_copies_nothing),
        cmocka_unit_test(an_owner_has_its_own_at_once),
        cmocka_unit_test(what_its_own_worker_refuses_nobody_gets),
        cmocka_unit_test(senders_wait_for_a_worker_that_is_behind),
        cmocka_unit_test(bytes_under_way_are_bounded_too),
        cmocka_unit_test(a_full_mailbox_delays_and_loses_nothing),
        cmocka_unit_test(what_is_under_way_at_the_end_is_freed),
    };
    return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
