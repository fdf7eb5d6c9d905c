/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "tests/sim/rudp_world_plan.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"

#define STEPS_MAX 4000000u
#define TIME_MAX  (1200 * SECOND)

static uint64_t seed_of_run;
struct world_crypto world_crypto;

__attribute__((format(printf, 2, 3))) static void bad(struct world *world, const char *format, ...)
{
    if (world->failure[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(world->failure, sizeof world->failure, format, arguments);
        va_end(arguments);
    }
}

/* ---- what the connections are given ---- */

static void *side_take(void *owner, size_t bytes)
{
    struct side *side = owner;
    if (sim_chance(&side->world->random, side->world->memory_fails)) {
        return NULL;
    }
    side->taken_bytes += bytes;
    if (side->taken_bytes > gy_rudp_reassembly_bytes(&side->conn.config)) {
        bad(side->world, "reassembly holds %zu bytes", side->taken_bytes);
    }
    return malloc(bytes);
}

static void side_give(void *owner, void *memory, size_t bytes)
{
    struct side *side = owner;
    side->taken_bytes -= bytes;
    free(memory);
}

static void check_order(struct side *side, const struct record *record, uint32_t index)
{
    const struct gy_rudp_message *message = &record->message;
    uint32_t *last = &side->last[message->channel][message->guarantee];
    bool ordered = message->guarantee == GY_RUDP_ORDERED || message->guarantee == GY_RUDP_SEQUENCED;
    if (ordered && index < *last) {
        bad(side->world, "message %u of channel %u came after %u", index, message->channel,
            *last - 1);
    }
    *last = index + 1;
    /* What waits for its turn may come later than its end; nothing else may, but by a REPAIR that
     * is sent within a round trip. */
    uint64_t longest_ns = side->world->longest_ns;
    longest_ns = side->world->config.fec_packets != 0 ? 3 * longest_ns + 100 * MS : longest_ns;
    if (message->guarantee != GY_RUDP_ORDERED && record->ended_ns != 0 &&
        side->world->now_ns > record->ended_ns + longest_ns) {
        bad(side->world, "message %u came %llu ms after its end", index,
            (unsigned long long)((side->world->now_ns - record->ended_ns) / MS));
    }
}

static bool side_received(struct gy_rudp_conn *conn, uint8_t channel,
                          enum gy_rudp_guarantee guarantee, const uint8_t *data, size_t length)
{
    struct side *side = conn->env.owner;
    struct world *world = side->world;
    struct gy_reader reader = gy_reader_on(data, length);
    uint32_t index = gy_reader_u32(&reader);
    uint16_t flow = gy_reader_u16(&reader);
    if (reader.failed || flow != side->other->flow || index >= side->other->next) {
        bad(world, "a message that nobody sent");
        return true;
    }
    struct record *record = &side->other->records[index];
    if (record->message.channel != channel || record->message.guarantee != guarantee ||
        record->message.length != length) {
        bad(world, "message %u is not what was sent", index);
        return true;
    }
    for (uint32_t i = HEAD; i < length; i++) {
        if (data[i] != world_pattern(index, i)) {
            bad(world, "byte %u of message %u is wrong", i, index);
            return true;
        }
    }
    if (record->delivered++ != 0) {
        bad(world, "message %u was delivered twice", index);
    }
    check_order(side, record, index);
    world->delivered++;
    bool stalled = channel + 1u == world->config.channels && world->now_ns < side->stall_ns;
    if (guarantee < GY_RUDP_UNORDERED || (!stalled && !sim_chance(&world->random, 0.1))) {
        return true;
    }
    side->held[channel].bytes += length;
    side->held[channel].ns =
        stalled ? side->stall_ns : world->now_ns + sim_below(&world->random, 50 * MS);
    uint64_t most = world->config.channel_window_bytes;
    most = most != 0 ? most : world->config.window_bytes;
    if (side->held[channel].bytes > most) {
        bad(world, "the reader of channel %u holds %llu bytes", channel,
            (unsigned long long)side->held[channel].bytes);
    }
    return false;
}

/* ---- its sides ---- */

/* The configuration of one side: with its own keys, if there are any. */
static struct gy_rudp_config config_of(struct side *side, void *state)
{
    struct gy_rudp_config config = side->world->config;
    if (world_crypto.sealer != NULL) {
        int code = world_crypto.sealer->make(state, NULL, false, &side->seal);
        gy_assert(code == 0);
        config.seal = &side->seal;
    }
    return config;
}

static struct gy_rudp_env env_of(struct side *side)
{
    return (struct gy_rudp_env){
        .received = side_received, .take = side_take, .give = side_give, .owner = side};
}

static void cid_random(struct world *world, struct gy_rudp_cid *cid, size_t bytes, uint8_t first)
{
    memset(cid, 0, sizeof *cid);
    cid->length = (uint8_t)bytes;
    for (size_t i = 0; i < bytes; i++) {
        cid->bytes[i] = i == 0 ? first : (uint8_t)sim_random(&world->random);
    }
}

static void plan_fec(struct world *world, struct side *side)
{
    for (uint32_t i = 0; i < world->config.channels && world->config.fec_packets != 0; i++) {
        gy_rudp_channel_fec(&side->conn, (uint8_t)i, sim_chance(&world->random, 0.7));
    }
}

static void plan(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    world->seed = seed;
    world->random.state = seed ^ UINT64_C(0x72756470);
    world->now_ns = SECOND;
    sim_network_init(&world->network, seed);
    world_plan_config(world);
    world->clients = 1 + (uint32_t)sim_below(&world->random, WORLD_CLIENTS_MAX);
    for (uint32_t i = 0; i < world->clients; i++) {
        struct gy_rudp_cid self;
        struct side *client = &world->client[i], *server = &world->server[i];
        world_plan_side(world, client, server, &world->up[i], i + 1, 0, (uint16_t)(2 * i));
        world_plan_side(world, server, client, &world->down[i], 0, i + 1, (uint16_t)(2 * i + 1));
        struct gy_rudp_env env = env_of(client);
        cid_random(world, &self, sim_below(&world->random, GY_RUDP_CID_MAX + 1), 0xc1);
        struct gy_rudp_config config = config_of(client, world_crypto.client);
        int code =
            gy_rudp_connect(&client->conn, &config, client->memory, &env, &self, world->now_ns);
        gy_assert(code == 0);
        client->exists = true;
        plan_fec(world, client);
    }
}

/* ---- the run ---- */

static void server_stranger(struct world *world, uint32_t i, struct sim_datagram *datagram)
{
    struct gy_rudp_long hello;
    uint8_t answer[GY_RUDP_ANSWER_MAX];
    size_t bytes;
    struct side *server = &world->server[i];
    world->stranger_in[i] += datagram->bytes;
    switch (gy_rudp_gate_take(&world->gate, &datagram->from, sizeof datagram->from, datagram->data,
                              datagram->bytes, world->now_ns, &hello, answer, &bytes)) {
    case GY_RUDP_ANSWER:
        world->stranger_out[i] += bytes;
        sim_network_send(&world->network, server->link, 0, i + 1, answer, bytes, world->now_ns);
        break;
    case GY_RUDP_ADMIT: {
        struct gy_rudp_cid self;
        uint8_t token[GY_RUDP_TOKEN_BYTES];
        struct gy_rudp_env env = env_of(server);
        cid_random(world, &self, world->gate.cid_bytes, (uint8_t)i);
        gy_rudp_gate_token(&world->gate, &self, token);
        gy_assert(!server->exists);
        struct gy_rudp_config config = config_of(server, world_crypto.server);
        server->exists = gy_rudp_accept(&server->conn, &config, server->memory, &env, &self, &hello,
                                        token, world->now_ns) == 0;
        gy_assert(server->exists);
        plan_fec(world, server);
        break;
    }
    default:
        break;
    }
    if (world->stranger_out[i] > 3 * world->stranger_in[i]) {
        bad(world, "a stranger was sent more than three times what it sent");
    }
}

static void deliver(struct world *world, struct sim_datagram *datagram)
{
    if (datagram->to != 0) {
        gy_rudp_receive_marked(&world->client[datagram->to - 1].conn, datagram->data,
                               datagram->bytes, datagram->ecn, world->now_ns);
        return;
    }
    uint32_t i = datagram->from - 1;
    struct side *server = &world->server[i];
    struct gy_rudp_long packet;
    int code = gy_rudp_packet_peek(datagram->data, datagram->bytes, world->gate.cid_bytes, &packet);
    bool ours = server->exists && code == 0 &&
                (packet.type != GY_RUDP_PACKET_SHORT ||
                 memcmp(packet.to.bytes, server->conn.self.bytes, packet.to.length) == 0);
    if (ours) {
        gy_rudp_receive_marked(&server->conn, datagram->data, datagram->bytes, datagram->ecn,
                               world->now_ns);
    } else {
        server_stranger(world, i, datagram);
    }
}

static void side_send(struct world *world, struct side *side)
{
    while (side->next < side->planned && side->records[side->next].at_ns <= world->now_ns) {
        struct record *record = &side->records[side->next++];
        int code = gy_rudp_send(&side->conn, &record->message);
        record->sent = true;
        if (code != 0) {
            bad(world, "a message was refused: %s", gy_error_name(code));
        }
        if (sim_chance(&world->random, 0.03)) {
            struct record *victim = &side->records[sim_below(&world->random, side->next)];
            if (victim->ended_ns == 0) {
                victim->limited = true;
                gy_rudp_cancel(&side->conn, &victim->message);
            }
        }
    }
}

static void side_finished(struct world *world, struct side *side)
{
    struct gy_rudp_message *message;
    while ((message = gy_rudp_finished(&side->conn)) != NULL) {
        struct record *record = (struct record *)message;
        record->ended_ns = world->now_ns;
        side->finished++;
        world->expired += message->result == GY_RUDP_EXPIRED;
        world->lost += message->result == GY_RUDP_LOST;
    }
}

static uint64_t side_next_ns(const struct side *side)
{
    uint64_t at = gy_rudp_timeout(&side->conn);
    if (side->next < side->planned && side->records[side->next].at_ns < at) {
        at = side->records[side->next].at_ns;
    }
    for (unsigned i = 0; i < WORLD_CHANNELS; i++) {
        at = side->held[i].bytes > 0 && side->held[i].ns < at ? side->held[i].ns : at;
    }
    return at;
}

static void side_turn(struct world *world, struct side *side, bool sending)
{
    uint8_t out[SIM_DATAGRAM_MAX];
    size_t bytes;
    if (!side->exists) {
        return;
    }
    gy_rudp_expire(&side->conn, world->now_ns);
    if (sending) {
        side_send(world, side);
    }
    for (uint8_t i = 0; i < WORLD_CHANNELS; i++) {
        if (side->held[i].bytes > 0 && world->now_ns >= side->held[i].ns) {
            gy_rudp_consumed(&side->conn, i, side->held[i].bytes);
            side->held[i].bytes = 0;
        }
    }
    while ((bytes = gy_rudp_output(&side->conn, out, sizeof out, world->now_ns)) > 0) {
        sim_network_send_marked(&world->network, side->link, side->endpoint, side->to, out, bytes,
                                gy_rudp_ecn(&side->conn), world->now_ns);
    }
    side_finished(world, side);
}

static bool step(struct world *world, bool sending)
{
    uint64_t next = sim_network_next_ns(&world->network);
    for (uint32_t i = 0; i < world->clients; i++) {
        struct side *sides[] = {&world->client[i], &world->server[i]};
        for (unsigned k = 0; k < 2; k++) {
            uint64_t at = sides[k]->exists ? side_next_ns(sides[k]) : UINT64_MAX;
            next = at < next ? at : next;
        }
    }
    if (next == UINT64_MAX) {
        return false;
    }
    world->now_ns = next > world->now_ns ? next : world->now_ns;
    struct sim_datagram *datagram;
    while ((datagram = sim_network_take(&world->network, world->now_ns)) != NULL) {
        deliver(world, datagram);
    }
    for (uint32_t i = 0; i < world->clients; i++) {
        side_turn(world, &world->client[i], sending);
        side_turn(world, &world->server[i], sending);
    }
    return true;
}

/* Something is acknowledged and waits at the peer's for a SKIP that is still under way. */
static bool waiting(const struct side *side)
{
    for (uint32_t i = 0; i < side->planned; i++) {
        const struct record *record = &side->records[i];
        if (record->message.guarantee == GY_RUDP_ORDERED &&
            record->message.result == GY_RUDP_ACKED && record->delivered == 0) {
            return true;
        }
    }
    return false;
}

/* All is sent and has its result, and what must arrive has arrived. */
static bool settled(const struct world *world)
{
    for (uint32_t i = 0; i < world->clients; i++) {
        const struct side *sides[] = {&world->client[i], &world->server[i]};
        for (unsigned k = 0; k < 2; k++) {
            const struct side *side = sides[k];
            if (side->finished < side->planned) {
                return false;
            }
            for (unsigned channel = 0; channel < WORLD_CHANNELS; channel++) {
                if (side->held[channel].bytes > 0) {
                    return false;
                }
            }
        }
    }
    for (uint32_t i = 0; i < world->clients; i++) {
        if (waiting(&world->client[i]) || waiting(&world->server[i])) {
            return false;
        }
    }
    return true;
}

static void check_side(struct world *world, const struct side *side)
{
    for (uint32_t i = 0; i < side->planned; i++) {
        const struct record *record = &side->records[i];
        bool reliable = record->message.guarantee >= GY_RUDP_UNORDERED;
        enum gy_rudp_result result = record->message.result;
        if (reliable && !record->limited && result != GY_RUDP_ACKED) {
            bad(world, "reliable message %u of flow %u ended as %d: %s", i, side->flow, result,
                side->conn.close_reason);
        }
        if (reliable && result == GY_RUDP_ACKED && record->delivered != 1) {
            bad(world, "message %u of flow %u is acknowledged and was not delivered", i,
                side->flow);
        }
        if (!record->limited && result == GY_RUDP_EXPIRED) {
            bad(world, "message %u of flow %u expired without a limit", i, side->flow);
        }
    }
    if (side->conn.stats.ecn_lies !=
        0) { /* a path that takes marks off makes CE seem hidden, too */
        bool bleached = side->link->bleach > 0;
        if (!bleached) {
            bad(world, "an honest peer of flow %u was taken for a liar", side->flow);
        }
    }
    if (side->conn.pieces.used > side->conn.config.pieces) {
        bad(world, "more pieces than there may be");
    }
}

static void run(struct world *world)
{
    uint32_t steps = 0;
    uint64_t end_ns = world->now_ns + TIME_MAX;
    while (!settled(world) && world->failure[0] == '\0') {
        if (!step(world, true) || world->now_ns > end_ns || ++steps > STEPS_MAX) {
            bad(world, "no end after %llu s and %u steps",
                (unsigned long long)(world->now_ns / SECOND), steps);
        }
    }
    for (uint32_t i = 0; i < world->clients && world->failure[0] == '\0'; i++) {
        check_side(world, &world->client[i]);
        check_side(world, &world->server[i]);
        gy_rudp_close(&world->client[i].conn, GY_RUDP_CLOSE_APPLICATION, "done", world->now_ns);
    }
    /* Either side ends by itself, whatever is lost. */
    end_ns = world->now_ns + TIME_MAX;
    while (world->failure[0] == '\0' && step(world, true)) {
        if (world->now_ns > end_ns || ++steps > STEPS_MAX) {
            bad(world, "the connections do not end");
        }
    }
}

static void add(struct world_totals *totals, const struct world *world, const struct side *side)
{
    const struct gy_rudp_stats *from = &side->conn.stats;
    struct gy_rudp_stats *to = &totals->rudp;
    (void)world;
    totals->messages += side->planned;
    to->packets_sent += from->packets_sent;
    to->packets_received += from->packets_received;
    to->dropped += from->dropped;
    to->duplicates += from->duplicates;
    to->refused += from->refused;
    to->lost += from->lost;
    to->spurious += from->spurious;
    to->probes += from->probes;
    to->repeated += from->repeated;
    to->evicted += from->evicted;
    to->updates += from->updates;
    to->delivered += from->delivered;
    to->mtu_probes += from->mtu_probes;
    to->black_holes += from->black_holes;
    to->repairs_sent += from->repairs_sent;
    to->repairs_received += from->repairs_received;
    to->recovered += from->recovered;
    to->recovered_sent += from->recovered_sent;
    to->blocked += from->blocked;
    to->blocked_received += from->blocked_received;
    to->ecn_sent += from->ecn_sent;
    to->ecn_received += from->ecn_received;
    to->ecn_reported += from->ecn_reported;
    to->ecn_bleached += from->ecn_bleached;
    to->ecn_lost += from->ecn_lost;
    to->ecn_lies += from->ecn_lies;
}

static void side_free(struct world *world, struct side *side)
{
    if (side->exists) {
        if (world->failure[0] == '\0' && side->conn.state != GY_RUDP_DEAD) {
            bad(world, "a connection is not dead at the end");
        }
        gy_rudp_free(&side->conn);
        while (gy_rudp_finished(&side->conn) != NULL) {
        }
        if (side->taken_bytes != 0) {
            bad(world, "%zu bytes of reassembly were not given back", side->taken_bytes);
        }
        if (side->seal.keys != NULL) {
            world_crypto.sealer->free(&side->seal);
        }
    }
    for (uint32_t i = 0; i < side->planned; i++) {
        free((void *)side->records[i].message.data);
    }
    free(side->memory);
}

/* In a signal's handler only write(2) is allowed. */
static void on_abort(int number)
{
    char text[32] = "seed ";
    size_t at = sizeof text;
    (void)number;
    text[--at] = '\n';
    for (uint64_t left = seed_of_run; at > 8 && (left > 0 || at == sizeof text - 1); left /= 10) {
        text[--at] = (char)('0' + left % 10);
    }
    if (write(STDERR_FILENO, text, 5) < 0 ||
        write(STDERR_FILENO, text + at, sizeof text - at) < 0) {
        return;
    }
}

void world_tell_seed(void)
{
    signal(SIGABRT, on_abort);
}

int world_run(struct world *world, uint64_t seed, struct world_totals *totals)
{
    seed_of_run = seed;
    plan(world, seed);
    run(world);
    const struct sim_counts *counts = &world->network.counts;
    for (uint32_t i = 0; i < world->clients; i++) {
        add(totals, world, &world->client[i]);
        add(totals, world, &world->server[i]);
        side_free(world, &world->client[i]);
        side_free(world, &world->server[i]);
    }
    totals->runs++;
    totals->delivered += world->delivered;
    totals->expired += world->expired;
    totals->lost += world->lost;
    totals->network.sent += counts->sent;
    totals->network.lost += counts->lost;
    totals->network.lost_in_burst += counts->lost_in_burst;
    totals->network.reordered += counts->reordered;
    totals->network.duplicated += counts->duplicated;
    totals->network.corrupted += counts->corrupted;
    totals->network.queue_full += counts->queue_full;
    totals->network.cut += counts->cut;
    totals->network.too_long += counts->too_long;
    totals->network.marked += counts->marked;
    totals->network.bleached += counts->bleached;
    totals->network.dropped_ect += counts->dropped_ect;
    sim_network_free(&world->network);
    return world->failure[0] == '\0' ? 0 : -1;
}
