/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "tests/sim/network.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t sim_random(struct sim_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t sim_below(struct sim_random *random, uint64_t below)
{
    return below == 0 ? 0 : sim_random(random) % below;
}

bool sim_chance(struct sim_random *random, double probability)
{
    return (double)(sim_random(random) >> 11) / 9007199254740992.0 < probability;
}

void sim_network_init(struct sim_network *network, uint64_t seed)
{
    memset(network, 0, sizeof *network);
    network->random.state = seed;
    network->datagrams = malloc(SIM_QUEUED_MAX * sizeof *network->datagrams);
    network->heap = malloc(SIM_QUEUED_MAX * sizeof(struct sim_datagram *));
    network->spare = malloc(SIM_QUEUED_MAX * sizeof(struct sim_datagram *));
    gy_assert(network->datagrams != NULL && network->heap != NULL && network->spare != NULL);
    network->spares = SIM_QUEUED_MAX;
    for (size_t i = 0; i < SIM_QUEUED_MAX; i++) {
        network->spare[i] = &network->datagrams[SIM_QUEUED_MAX - 1 - i];
    }
}

void sim_network_free(struct sim_network *network)
{
    free(network->datagrams);
    free(network->heap);
    free(network->spare);
}

static bool before(const struct sim_datagram *a, const struct sim_datagram *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

static void push(struct sim_network *network, struct sim_datagram *datagram)
{
    size_t at = network->queued++;
    while (at > 0 && before(datagram, network->heap[(at - 1) / 2])) {
        network->heap[at] = network->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    network->heap[at] = datagram;
}

static struct sim_datagram *pop(struct sim_network *network)
{
    struct sim_datagram *first = network->heap[0];
    struct sim_datagram *last = network->heap[--network->queued];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= network->queued) {
            break;
        }
        if (child + 1 < network->queued && before(network->heap[child + 1], network->heap[child])) {
            child++;
        }
        if (!before(network->heap[child], last)) {
            break;
        }
        network->heap[at] = network->heap[child];
        at = child;
    }
    network->heap[at] = last;
    return first;
}

/* Whether the link keeps the datagram for itself. */
static bool swallowed(struct sim_network *network, struct sim_link *link, uint64_t now_ns)
{
    struct sim_random *random = &network->random;
    if (now_ns >= link->cut_ns && now_ns < link->heal_ns) {
        network->counts.cut++;
        return true;
    }
    link->bad = link->bad ? !sim_chance(random, link->to_good) : sim_chance(random, link->to_bad);
    if (link->bad && sim_chance(random, link->loss_bad)) {
        network->counts.lost_in_burst++;
        return true;
    }
    if (!link->bad && sim_chance(random, link->loss)) {
        network->counts.lost++;
        return true;
    }
    return false;
}

static void fly(struct sim_network *network, struct sim_link *link, uint32_t from, uint32_t to,
                const void *data, size_t bytes, uint8_t ecn, uint64_t at_ns)
{
    struct sim_random *random = &network->random;
    if (network->spares == 0) {
        network->counts.queue_full++;
        return;
    }
    at_ns += link->delay_ns + sim_below(random, link->jitter_ns + 1);
    if (sim_chance(random, link->reorder)) {
        network->counts.reordered++;
        at_ns += sim_below(random, link->reorder_ns + 1);
    }
    struct sim_datagram *datagram = network->spare[--network->spares];
    datagram->at_ns = at_ns;
    datagram->order = network->order++;
    datagram->from = from;
    datagram->to = to;
    datagram->bytes = bytes;
    datagram->ecn = ecn;
    memcpy(datagram->data, data, bytes);
    if (bytes > 0 && sim_chance(random, link->corrupt)) {
        network->counts.corrupted++;
        datagram->data[sim_below(random, bytes)] ^= (uint8_t)(1u << sim_below(random, 8));
    }
    push(network, datagram);
}

/* What becomes of the ECN field at a queue of `waiting` bytes, and on the way from there. */
static uint8_t mark(struct sim_network *network, const struct sim_link *link, uint8_t ecn,
                    uint64_t waiting)
{
    if (ecn != 0 && ecn != 3 && link->mark_bytes != 0 && waiting > link->mark_bytes) {
        network->counts.marked++;
        ecn = 3;
    }
    if (ecn != 0 && link->bleach > 0 && sim_chance(&network->random, link->bleach)) {
        network->counts.bleached++;
        ecn = 0;
    }
    return ecn;
}

void sim_network_send(struct sim_network *network, struct sim_link *link, uint32_t from,
                      uint32_t to, const void *data, size_t bytes, uint64_t now_ns)
{
    sim_network_send_marked(network, link, from, to, data, bytes, 0, now_ns);
}

void sim_network_send_marked(struct sim_network *network, struct sim_link *link, uint32_t from,
                             uint32_t to, const void *data, size_t bytes, uint8_t ecn,
                             uint64_t now_ns)
{
    gy_assert(bytes <= SIM_DATAGRAM_MAX);
    network->counts.sent++;
    if (link->mtu != 0 && bytes > link->mtu && now_ns >= link->mtu_ns) {
        network->counts.too_long++;
        return;
    }
    if (swallowed(network, link, now_ns)) {
        return;
    }
    if (ecn != 0 && link->drop_ect > 0 && sim_chance(&network->random, link->drop_ect)) {
        network->counts.dropped_ect++;
        return;
    }
    uint64_t out_ns = now_ns, waiting = 0;
    if (link->rate != 0) {
        uint64_t start = link->busy_ns > now_ns ? link->busy_ns : now_ns;
        waiting = (uint64_t)((double)(start - now_ns) * (double)link->rate / 1e9);
        if (waiting + bytes > link->queue_bytes) {
            network->counts.queue_full++;
            return;
        }
        link->busy_ns = out_ns = start + bytes * 1000000000ull / link->rate;
    }
    ecn = mark(network, link, ecn, waiting);
    fly(network, link, from, to, data, bytes, ecn, out_ns);
    if (sim_chance(&network->random, link->duplicate)) {
        network->counts.duplicated++;
        fly(network, link, from, to, data, bytes, ecn, out_ns);
    }
}

uint64_t sim_network_next_ns(const struct sim_network *network)
{
    return network->queued == 0 ? UINT64_MAX : network->heap[0]->at_ns;
}

struct sim_datagram *sim_network_take(struct sim_network *network, uint64_t now_ns)
{
    if (network->queued == 0 || network->heap[0]->at_ns > now_ns) {
        return NULL;
    }
    struct sim_datagram *datagram = pop(network);
    network->counts.delivered++;
    /* Free for use at the next send, not before: the caller reads it until the next call. */
    network->spare[network->spares++] = datagram;
    return datagram;
}

uint64_t sim_link_longest_ns(const struct sim_link *link)
{
    uint64_t queue = link->rate == 0 ? 0 : (link->queue_bytes + 1) * 1000000000ull / link->rate;
    return link->delay_ns + link->jitter_ns + link->reorder_ns + queue;
}
