/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/timer.h"

#include "core/error.h"

#define LEVEL_BITS 8
#define SPAN_BITS  (GY_WHEEL_LEVELS * LEVEL_BITS)

_Static_assert(GY_WHEEL_SLOTS == 1 << LEVEL_BITS, "a level is one byte of the time");

/*
 * Where a timer lies follows from the highest byte in which its due time differs from tick_ms: that
 * byte's number is the level and its value the slot. So all of a level lies in the future of all
 * levels below it, the slots of a level above the current one never wrap, and a timer keeps its
 * place while tick_ms advances up to the start of its slot. There it moves down a level, or fires.
 */

static unsigned slot_of(uint64_t time_ms, unsigned level)
{
    return (unsigned)(time_ms >> (level * LEVEL_BITS)) & (GY_WHEEL_SLOTS - 1);
}

static void list_push(struct gy_timer **list, struct gy_timer *timer)
{
    timer->next = *list;
    timer->link = list;
    if (timer->next != NULL) {
        timer->next->link = &timer->next;
    }
    *list = timer;
}

static void timer_unlink(struct gy_wheel *wheel, struct gy_timer *timer)
{
    gy_assert(timer->link != NULL && *timer->link == timer);
    *timer->link = timer->next;
    if (timer->next != NULL) {
        gy_assert(timer->next->link == &timer->next);
        timer->next->link = timer->link;
    } else {
        /* The last of its list. Was that list a slot? */
        uintptr_t offset = (uintptr_t)timer->link - (uintptr_t)wheel->slots;
        size_t index = offset / sizeof wheel->slots[0][0];
        if (offset < sizeof wheel->slots) {
            size_t level = index / GY_WHEEL_SLOTS;
            size_t slot = index % GY_WHEEL_SLOTS;
            wheel->occupied[level][slot / 64] &= ~(UINT64_C(1) << (slot % 64));
        }
    }
    timer->next = NULL;
    timer->link = NULL;
}

static void timer_place(struct gy_wheel *wheel, struct gy_timer *timer)
{
    uint64_t due_ms = timer->due_ms < wheel->tick_ms ? wheel->tick_ms : timer->due_ms;
    uint64_t differs = due_ms ^ wheel->tick_ms;
    if (differs >> SPAN_BITS != 0) {
        list_push(&wheel->far, timer);
        return;
    }
    unsigned level = differs == 0 ? 0 : (unsigned)(63 - __builtin_clzll(differs)) / LEVEL_BITS;
    unsigned slot = slot_of(due_ms, level);
    gy_assert(level == 0 || slot > slot_of(wheel->tick_ms, level));
    list_push(&wheel->slots[level][slot], timer);
    wheel->occupied[level][slot / 64] |= UINT64_C(1) << (slot % 64);
}

void gy_wheel_init(struct gy_wheel *wheel, uint64_t now_ms)
{
    gy_assert(now_ms < UINT64_C(1) << 63);
    *wheel = (struct gy_wheel){.tick_ms = now_ms, .target_ms = now_ms};
}

void gy_timer_arm(struct gy_wheel *wheel, struct gy_timer *timer, uint64_t due_ms)
{
    gy_assert(timer->fire != NULL);
    if (gy_timer_armed(timer)) {
        timer_unlink(wheel, timer);
    } else {
        wheel->armed++;
    }
    timer->due_ms = due_ms;
    if (wheel->advancing && due_ms <= wheel->target_ms) {
        list_push(&wheel->late, timer);
    } else {
        timer_place(wheel, timer);
    }
}

void gy_timer_disarm(struct gy_wheel *wheel, struct gy_timer *timer)
{
    if (gy_timer_armed(timer)) {
        gy_assert(wheel->armed > 0);
        timer_unlink(wheel, timer);
        wheel->armed--;
    }
}

/* The first occupied slot of a level, from `slot` on; GY_WHEEL_SLOTS when there is none. */
static unsigned slot_next(const uint64_t *occupied, unsigned slot)
{
    unsigned word = slot / 64;
    uint64_t bits = occupied[word] & (~UINT64_C(0) << (slot % 64));
    while (bits == 0) {
        if (++word == GY_WHEEL_SLOTS / 64) {
            return GY_WHEEL_SLOTS;
        }
        bits = occupied[word];
    }
    return word * 64 + (unsigned)__builtin_ctzll(bits);
}

/* The next time at which a list has to be fired or moved down, `late` aside. */
static uint64_t next_point(const struct gy_wheel *wheel)
{
    if (wheel->pending != NULL && *wheel->pending != NULL) {
        return wheel->tick_ms;
    }
    for (unsigned level = 0; level < GY_WHEEL_LEVELS; level++) {
        unsigned slot = slot_next(wheel->occupied[level], slot_of(wheel->tick_ms, level));
        if (slot < GY_WHEEL_SLOTS) {
            unsigned shift = level * LEVEL_BITS;
            uint64_t span_start = wheel->tick_ms >> (shift + LEVEL_BITS) << (shift + LEVEL_BITS);
            return span_start + ((uint64_t)slot << shift);
        }
    }
    if (wheel->far != NULL) {
        return ((wheel->tick_ms >> SPAN_BITS) + 1) << SPAN_BITS;
    }
    return UINT64_MAX;
}

uint64_t gy_wheel_next_ms(const struct gy_wheel *wheel)
{
    return wheel->late != NULL ? wheel->tick_ms : next_point(wheel);
}

/* Goes to a time that next_point returned. When it is the start of a slot above level 0, or of the
 * span that `far` waits for, that list is to be moved down. */
static void step_to(struct gy_wheel *wheel, uint64_t point_ms)
{
    gy_assert(point_ms > wheel->tick_ms);
    gy_assert(wheel->sift == NULL);
    bool span = point_ms >> SPAN_BITS != wheel->tick_ms >> SPAN_BITS;
    wheel->tick_ms = point_ms;
    wheel->pending = NULL;
    if (span) {
        /* What is still too far away goes back to `far`, so the list is taken off it first. */
        wheel->sift = wheel->far;
        wheel->sift->link = &wheel->sift;
        wheel->far = NULL;
        wheel->pending = &wheel->sift;
        return;
    }
    for (unsigned level = 1; level < GY_WHEEL_LEVELS && slot_of(point_ms, level - 1) == 0;
         level++) {
        struct gy_timer **slot = &wheel->slots[level][slot_of(point_ms, level)];
        if (*slot != NULL) {
            gy_assert(wheel->pending == NULL);
            wheel->pending = slot;
        }
    }
}

/* False when the budget ended before the list did. */
static bool move_down(struct gy_wheel *wheel, uint32_t *budget)
{
    while (wheel->pending != NULL && *wheel->pending != NULL) {
        if (*budget == 0) {
            return false;
        }
        --*budget;
        struct gy_timer *timer = *wheel->pending;
        timer_unlink(wheel, timer);
        timer_place(wheel, timer);
    }
    wheel->pending = NULL;
    return true;
}

static bool fire_due(struct gy_wheel *wheel, uint32_t *budget)
{
    struct gy_timer **slot = &wheel->slots[0][slot_of(wheel->tick_ms, 0)];
    while (*slot != NULL) {
        if (*budget == 0) {
            return false;
        }
        --*budget;
        struct gy_timer *timer = *slot;
        gy_assert(timer->due_ms <= wheel->tick_ms);
        gy_timer_disarm(wheel, timer);
        wheel->fired++;
        timer->fire(timer, wheel->target_ms);
    }
    return true;
}

bool gy_wheel_advance(struct gy_wheel *wheel, uint64_t now_ms, uint32_t budget)
{
    gy_assert(!wheel->advancing);
    gy_assert(budget > 0 && now_ms < UINT64_C(1) << 63);
    if (now_ms > wheel->target_ms) {
        wheel->target_ms = now_ms;
    }
    wheel->advancing = true;
    bool more = true;
    while (move_down(wheel, &budget) && fire_due(wheel, &budget)) {
        uint64_t point_ms = next_point(wheel);
        if (point_ms > wheel->target_ms) {
            wheel->tick_ms = wheel->target_ms;
            more = false;
            break;
        }
        step_to(wheel, point_ms);
    }
    wheel->advancing = false;
    while (wheel->late != NULL) {
        struct gy_timer *timer = wheel->late;
        timer_unlink(wheel, timer);
        timer_place(wheel, timer);
    }
    return more;
}
