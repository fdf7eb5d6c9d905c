/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/fan.h"

static struct gy_load_wait *wait_of(struct gy_load_engine *engine, uint64_t message)
{
    return &engine->fan.waits[message % engine->options->pipeline];
}

void gy_load_fan_sent(struct gy_load_engine *engine, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct gy_load_wait *wait = wait_of(engine, engine->fan.sent++);
        gy_assert(wait->left == 0);
        *wait = (struct gy_load_wait){.left = engine->connected};
    }
}

bool gy_load_fan_got(struct gy_load_engine *engine, struct gy_load_connection *connection,
                     enum gy_load_progress progress, enum gy_load_progress *worst)
{
    uint64_t now_ns = engine->worker->now_ns;
    *worst = GY_LOAD_MORE;
    if (connection->got == engine->fan.sent) {
        return false;
    }
    struct gy_load_wait *wait = wait_of(engine, connection->got++);
    gy_assert(wait->left > 0);
    engine->fan.deliveries += now_ns - engine->from_ns < engine->until_ns - engine->from_ns;
    wait->differed |= progress == GY_LOAD_BAD_BODY;
    if (--wait->left == 0) {
        *worst = wait->differed ? GY_LOAD_BAD_BODY : GY_LOAD_ANSWER;
    }
    return true;
}

uint32_t gy_load_fan_lost(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    uint32_t ended = 0;
    if (connection == engine->fan.sender) {
        engine->fan.sender = NULL;
        gy_load_give_up(engine, GY_ECLOSED,
                        "the connection that sends was lost; a broadcast needs it");
        return 0;
    }
    for (; connection->got < engine->fan.sent; connection->got++) {
        struct gy_load_wait *wait = wait_of(engine, connection->got);
        gy_assert(wait->left > 0);
        ended += --wait->left == 0;
    }
    return ended;
}
