/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The timing wheel in random use, against a naive model. */

#include <inttypes.h>

#include "core/timer.h"
#include "tests/unit/unit.h"

#define SPAN_MS  (UINT64_C(1) << 32)
#define START_MS UINT64_C(1234567)
#define PLENTY   UINT32_MAX

static struct gy_wheel wheel;

/*
 * The naive model: a table of who is armed, when it counts as due, and whether it may fire in the
 * running advance.
 */
#define MODEL_TIMERS 96

static struct {
    struct gy_timer timers[MODEL_TIMERS];
    bool armed[MODEL_TIMERS];
    bool late[MODEL_TIMERS];
    uint64_t due_ms[MODEL_TIMERS];
    uint64_t now_ms;
    uint64_t last_due_ms; /* of the running advance */
    uint32_t fired;
    bool advancing;
    bool more; /* the last advance left work, if only timers to be moved down */
    uint64_t random;
    uint64_t seed;
    int step;
} model;

#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fail_msg("GY_TEST_SEED=%" PRIu64 " step %d: %s", model.seed, model.step, #condition);  \
        }                                                                                          \
    } while (0)

static uint64_t random_delay(void)
{
    static const unsigned bits[] = {2, 8, 9, 12, 16, 17, 24, 25, 32, 33, 40};
    unsigned width = bits[random_next(&model.random) % (sizeof bits / sizeof bits[0])];
    return random_next(&model.random) >> (64 - width);
}

static void model_arm(size_t i)
{
    uint64_t kind = random_next(&model.random) % 16;
    uint64_t delay_ms = random_delay();
    uint64_t due_ms = model.now_ms + delay_ms;
    if (kind == 0) {
        due_ms = delay_ms > model.now_ms ? 0 : model.now_ms - delay_ms;
    } else if (kind == 1) {
        due_ms = (model.now_ms | 0xff) + 1; /* a slot's first tick */
    } else if (kind == 2) {
        due_ms = (model.now_ms | (SPAN_MS - 1)) + 1 + delay_ms % 3;
    }
    gy_timer_arm(&wheel, &model.timers[i], due_ms);
    model.armed[i] = true;
    model.late[i] = model.advancing && due_ms <= model.now_ms;
    model.due_ms[i] = due_ms < wheel.tick_ms ? wheel.tick_ms : due_ms;
}

static void model_disarm(size_t i)
{
    gy_timer_disarm(&wheel, &model.timers[i]);
    model.armed[i] = false;
    model.late[i] = false;
}

static void model_fire(struct gy_timer *timer, uint64_t now_ms)
{
    size_t i = (size_t)(timer - model.timers);
    check(model.advancing && now_ms == model.now_ms);
    check(model.armed[i] && !model.late[i]);
    check(model.due_ms[i] <= now_ms);
    check(model.due_ms[i] >= model.last_due_ms);
    for (size_t other = 0; other < MODEL_TIMERS; other++) {
        check(!model.armed[other] || model.late[other] || model.due_ms[other] >= model.due_ms[i]);
    }
    model.last_due_ms = model.due_ms[i];
    model.armed[i] = false;
    model.fired++;
    if (random_next(&model.random) % 2 == 0) {
        model_arm(random_next(&model.random) % 2 == 0 ? i
                                                      : random_next(&model.random) % MODEL_TIMERS);
    }
    if (random_next(&model.random) % 4 == 0) {
        model_disarm(random_next(&model.random) % MODEL_TIMERS);
    }
}

static bool model_advance(uint32_t budget)
{
    model.advancing = true;
    model.last_due_ms = 0;
    model.fired = 0;
    bool more = gy_wheel_advance(&wheel, model.now_ms, budget);
    model.advancing = false;
    model.more = more;
    check(model.fired <= budget);
    for (size_t i = 0; i < MODEL_TIMERS; i++) {
        check(more || !model.armed[i] || model.late[i] || model.due_ms[i] > model.now_ms);
        if (model.late[i]) {
            model.late[i] = false;
            model.due_ms[i] = model.due_ms[i] < wheel.tick_ms ? wheel.tick_ms : model.due_ms[i];
        }
    }
    return more;
}

static void model_compare(void)
{
    uint64_t soonest_ms = UINT64_MAX;
    uint32_t armed = 0;
    for (size_t i = 0; i < MODEL_TIMERS; i++) {
        check(model.armed[i] == gy_timer_armed(&model.timers[i]));
        if (model.armed[i]) {
            armed++;
            soonest_ms = model.due_ms[i] < soonest_ms ? model.due_ms[i] : soonest_ms;
        }
    }
    uint64_t next_ms = gy_wheel_next_ms(&wheel);
    check(armed == wheel.armed);
    check(next_ms <= soonest_ms);
    check((armed == 0) == (next_ms == UINT64_MAX));
    check(model.more || (next_ms <= model.now_ms) == (soonest_ms <= model.now_ms));
}

static void random_use_agrees_with_a_naive_model(void **state)
{
    (void)state;
    static const uint64_t starts[] = {0, START_MS, SPAN_MS - 1000, 7 * SPAN_MS + 0xfffff0};
    for (uint64_t round = 0; round < 40; round++) {
        memset(&model, 0, sizeof model);
        model.seed = random_seed(0x71e5 + round);
        model.random = model.seed;
        model.now_ms = starts[round % 4];
        gy_wheel_init(&wheel, model.now_ms);
        for (size_t i = 0; i < MODEL_TIMERS; i++) {
            gy_timer_init(&model.timers[i], model_fire);
        }
        for (model.step = 0; model.step < 1500; model.step++) {
            switch (random_next(&model.random) % 8) {
            case 0:
                model_disarm(random_next(&model.random) % MODEL_TIMERS);
                break;
            case 1:
            case 2:
            case 3:
            case 4:
                model_arm(random_next(&model.random) % MODEL_TIMERS);
                break;
            case 5: /* as a worker does */
                if (wheel.armed > 0 && gy_wheel_next_ms(&wheel) > model.now_ms) {
                    model.now_ms = gy_wheel_next_ms(&wheel);
                }
                model_advance(1 + (uint32_t)(random_next(&model.random) % 20));
                break;
            case 6:
                model.now_ms += random_delay();
                model_advance(1 + (uint32_t)(random_next(&model.random) % 4));
                break;
            default:
                model.now_ms += random_delay() % 5000;
                check(!model_advance(PLENTY));
                break;
            }
            model_compare();
        }
        /* Nothing is lost: everything fires in the end. */
        for (int tries = 0; wheel.armed > 0; tries++) {
            check(tries < 100000);
            model.now_ms =
                gy_wheel_next_ms(&wheel) > model.now_ms ? gy_wheel_next_ms(&wheel) : model.now_ms;
            model.random |= 1;
            model_advance(3);
            model_disarm(random_next(&model.random) % MODEL_TIMERS);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_agrees_with_a_naive_model),
    };
    return cmocka_run_group_tests_name("timer_model", tests, NULL, NULL);
}
