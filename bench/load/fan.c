/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/fan.h"

#include <stdlib.h>

int gy_load_fan_open(struct gy_load_engine *engine)
{
    const struct gy_load_options *options = engine->options;
    gy_assert(options->publishers > 0 && options->publishers <= GY_LOAD_PUBLISHERS_MAX);
    if (!options->broadcast) {
        return 0;
    }
    engine->fan.waits =
        calloc((size_t)options->publishers * options->pipeline, sizeof *engine->fan.waits);
    engine->fan.got =
        calloc((size_t)options->publishers * engine->connections, sizeof *engine->fan.got);
    return engine->fan.waits != NULL && engine->fan.got != NULL ? 0 : GY_ENOMEM;
}

void gy_load_fan_close(struct gy_load_engine *engine)
{
    free(engine->fan.waits);
    free(engine->fan.got);
    engine->fan.waits = NULL;
    engine->fan.got = NULL;
}

void gy_load_fan_join(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    const struct gy_load_protocol *protocol = engine->protocol;
    struct gy_load_fan *fan = &engine->fan;
    uint32_t number = fan->members++;
    gy_assert(number < engine->connections); /* none comes back */
    connection->got = fan->got + (size_t)number * engine->options->publishers;
    if (number < engine->options->publishers) {
        fan->senders[number] = connection;
        connection->publisher = number + 1;
        if (protocol->appoint != NULL) {
            protocol->appoint(connection->session, number);
        }
    }
}

static struct gy_load_wait *wait_of(struct gy_load_engine *engine, uint32_t from, uint64_t message)
{
    uint32_t pipeline = engine->options->pipeline;
    return &engine->fan.waits[(size_t)from * pipeline + message % pipeline];
}

void gy_load_fan_sent(struct gy_load_engine *engine, const struct gy_load_connection *connection,
                      uint32_t count)
{
    uint32_t from = connection->publisher - 1;
    gy_assert(connection->publisher > 0);
    for (uint32_t i = 0; i < count; i++) {
        struct gy_load_wait *wait = wait_of(engine, from, engine->fan.sent[from]++);
        gy_assert(wait->left == 0);
        *wait = (struct gy_load_wait){.left = engine->connected};
    }
}

bool gy_load_fan_got(struct gy_load_engine *engine, struct gy_load_connection *connection,
                     uint32_t from, enum gy_load_progress progress, enum gy_load_progress *worst)
{
    uint64_t now_ns = engine->worker->now_ns;
    *worst = GY_LOAD_MORE;
    gy_assert(from < engine->options->publishers);
    if (connection->got[from] == engine->fan.sent[from]) {
        return false;
    }
    struct gy_load_wait *wait = wait_of(engine, from, connection->got[from]++);
    gy_assert(wait->left > 0);
    engine->fan.deliveries += now_ns - engine->from_ns < engine->until_ns - engine->from_ns;
    wait->differed |= progress == GY_LOAD_BAD_BODY;
    if (--wait->left == 0) {
        *worst = wait->differed ? GY_LOAD_BAD_BODY : GY_LOAD_ANSWER;
    }
    return true;
}

uint32_t gy_load_fan_lost(struct gy_load_engine *engine, struct gy_load_connection *connection,
                          uint32_t from)
{
    uint32_t ended = 0;
    for (; connection->got[from] < engine->fan.sent[from]; connection->got[from]++) {
        struct gy_load_wait *wait = wait_of(engine, from, connection->got[from]);
        gy_assert(wait->left > 0);
        ended += --wait->left == 0;
    }
    return ended;
}

void gy_load_fan_ends(struct gy_load_engine *engine, const struct gy_load_connection *connection)
{
    gy_assert(connection->publisher > 0);
    engine->fan.senders[connection->publisher - 1] = NULL;
    gy_load_give_up(engine, GY_ECLOSED, "a connection that sends was lost; a broadcast needs it");
}
