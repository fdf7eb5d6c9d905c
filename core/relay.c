/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/relay.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_MESSAGES 256
#define DEFAULT_BYTES    (1u << 20)
#define DELAY_MS         2

/* Where a message is; written by the worker that has it alone, before it hands it on. */
enum stage {
    TO_OWNER,
    TO_ALL,
    HOME,
};

struct parcel {
    struct gy_relay *relay;
    struct parcel *live, **live_link; /* of those that its worker has under way */
    _Atomic uint32_t left;            /* workers that have yet to deliver it */
    uint32_t home, owner;
    uint32_t stage;
    uint64_t kind;
    uint32_t bytes;
    struct parcel *waits[]; /* for each worker: the next that waits for its mailbox; the payload */
};

/* What waits for one worker's mailbox. */
struct waiting {
    struct parcel *first, **end;
};

struct gy_relay_worker {
    struct gy_relay *relay;
    struct gy_worker *worker;
    const struct gy_relay_handler *handler;
    void *context;
    struct parcel *live;
    uint32_t messages, bytes; /* of `live` */
    uint32_t users;
    bool told_full;
    struct gy_timer timer; /* while anything waits */
    struct gy_relay_counts counts;
    struct waiting waiting[];
};

static uint8_t *payload_of(const struct parcel *parcel, uint32_t workers)
{
    return (uint8_t *)(parcel->waits + workers);
}

static struct gy_relay_worker *part_of(const struct gy_relay *relay, const struct gy_worker *worker)
{
    struct gy_relay_worker *part = relay->workers[worker->options.number];
    gy_assert(part != NULL && part->worker == worker);
    return part;
}

static uint32_t messages_max(const struct gy_relay *relay)
{
    return relay->messages_max != 0 ? relay->messages_max : DEFAULT_MESSAGES;
}

static uint32_t bytes_max(const struct gy_relay *relay)
{
    return relay->bytes_max != 0 ? relay->bytes_max : DEFAULT_BYTES;
}

/* ---- from worker to worker ---- */

static void on_parcel(struct gy_worker *worker, void *argument);

/* Sends on what waits for a mailbox, as far as there is room. True: all of it. */
static bool catch_up(struct gy_relay_worker *part, uint32_t to)
{
    struct waiting *waiting = &part->waiting[to];
    while (waiting->first != NULL) {
        struct parcel *parcel = waiting->first;
        struct parcel *next = parcel->waits[to];
        if (gy_worker_call(part->worker, part->worker->peers[to], on_parcel, parcel) != 0) {
            return false;
        }
        waiting->first = next; /* the parcel is the other's from now on */
    }
    return true;
}

static void on_timer(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_relay_worker *part =
        (struct gy_relay_worker *)(void *)((char *)timer - offsetof(struct gy_relay_worker, timer));
    bool all = true;
    for (uint32_t to = 0; to < part->worker->options.workers; to++) {
        all = catch_up(part, to) && all;
    }
    if (!all) {
        gy_timer_arm(&part->worker->wheel, &part->timer, now_ms + DELAY_MS);
    }
}

/* Each worker has one place among those that wait for it: before the order the owner's is used,
 * then each other's by the owner, then, when all have had it, its home's. */
static void hand(struct gy_relay_worker *part, struct parcel *parcel, uint32_t to)
{
    struct waiting *waiting = &part->waiting[to];
    gy_assert(to != part->worker->options.number);
    if (catch_up(part, to) &&
        gy_worker_call(part->worker, part->worker->peers[to], on_parcel, parcel) == 0) {
        return;
    }
    parcel->waits[to] = NULL;
    if (waiting->first == NULL) {
        waiting->first = parcel;
    } else {
        *waiting->end = parcel;
    }
    waiting->end = &parcel->waits[to];
    part->counts.delayed++;
    if (!gy_timer_armed(&part->timer)) {
        gy_timer_arm(&part->worker->wheel, &part->timer, part->worker->now_ms + DELAY_MS);
    }
}

/* ---- a message's way ---- */

static void come_home(struct gy_relay_worker *part, struct parcel *parcel)
{
    struct gy_relay *relay = part->relay;
    gy_assert(parcel->home == part->worker->options.number && part->messages > 0 &&
              part->bytes >= parcel->bytes);
    *parcel->live_link = parcel->live;
    if (parcel->live != NULL) {
        parcel->live->live_link = parcel->live_link;
    }
    part->messages--;
    part->bytes -= parcel->bytes;
    free(parcel);
    /* Not at once: who goes on should have something to say for a while. */
    if (part->told_full && part->messages <= messages_max(relay) / 2 &&
        part->bytes <= bytes_max(relay) / 2) {
        part->told_full = false;
        if (part->handler->room != NULL) {
            part->handler->room(part->context, part->worker);
        }
    }
}

/* This worker has delivered it. The last one sends it home. */
static void had(struct gy_relay_worker *part, struct parcel *parcel)
{
    if (atomic_fetch_sub_explicit(&parcel->left, 1, memory_order_acq_rel) != 1) {
        return;
    }
    parcel->stage = HOME;
    if (parcel->home == part->worker->options.number) {
        come_home(part, parcel);
    } else {
        hand(part, parcel, parcel->home);
    }
}

static void deliver(struct gy_relay_worker *part, struct parcel *parcel)
{
    const struct gy_relay_message message = {
        .kind = parcel->kind,
        .data = payload_of(parcel, part->worker->options.workers),
        .bytes = parcel->bytes,
    };
    int code = part->handler->deliver(part->context, part->worker, &message);
    gy_assert(code == 0);
    had(part, parcel);
}

/* On the owner. `delivered`: to itself it is. */
static void give_to_all(struct gy_relay_worker *part, struct parcel *parcel, bool delivered)
{
    uint32_t workers = part->worker->options.workers;
    gy_assert(parcel->owner == part->worker->options.number);
    parcel->stage = TO_ALL;
    atomic_store_explicit(&parcel->left, workers, memory_order_relaxed); /* mailboxes publish it */
    for (uint32_t to = 0; to < workers; to++) {
        if (to != parcel->owner) {
            hand(part, parcel, to);
        }
    }
    if (delivered) {
        had(part, parcel);
    } else {
        deliver(part, parcel);
    }
}

static void on_parcel(struct gy_worker *worker, void *argument)
{
    struct parcel *parcel = argument;
    struct gy_relay_worker *part = part_of(parcel->relay, worker);
    switch ((enum stage)parcel->stage) {
    case TO_OWNER:
        give_to_all(part, parcel, false);
        break;
    case TO_ALL:
        deliver(part, parcel);
        break;
    case HOME:
        come_home(part, parcel);
        break;
    }
}

/* ---- what users call ---- */

int gy_relay_open(struct gy_relay *relay, struct gy_worker *worker,
                  const struct gy_relay_handler *handler, void *context)
{
    uint32_t number = worker->options.number, workers = worker->options.workers;
    gy_assert(number < GY_RELAY_WORKERS_MAX && handler->deliver != NULL);
    if (relay->workers[number] != NULL) {
        relay->workers[number]->users++;
        return 0;
    }
    struct gy_relay_worker *part =
        calloc(1, sizeof *part + (size_t)workers * sizeof part->waiting[0]);
    if (part == NULL) {
        return GY_ENOMEM;
    }
    part->relay = relay;
    part->worker = worker;
    part->handler = handler;
    part->context = context;
    part->users = 1;
    gy_timer_init(&part->timer, on_timer);
    relay->workers[number] = part;
    return 0;
}

void gy_relay_close(struct gy_relay *relay, struct gy_worker *worker)
{
    struct gy_relay_worker *part = part_of(relay, worker);
    if (--part->users > 0) {
        return;
    }
    gy_timer_disarm(&worker->wheel, &part->timer);
    while (part->live != NULL) {
        struct parcel *parcel = part->live;
        part->live = parcel->live;
        free(parcel);
    }
    relay->workers[worker->options.number] = NULL;
    free(part);
}

bool gy_relay_full(const struct gy_relay *relay, const struct gy_worker *worker)
{
    return part_of(relay, worker)->told_full;
}

/* Takes a copy, which is under way from now on. NULL: no memory. */
static struct parcel *pack(struct gy_relay_worker *part, uint32_t owner, uint64_t kind,
                           const struct gy_chain *payload)
{
    struct gy_relay *relay = part->relay;
    uint32_t workers = part->worker->options.workers;
    struct parcel *parcel =
        malloc(sizeof *parcel + workers * sizeof parcel->waits[0] + payload->length);
    if (parcel == NULL) {
        return NULL;
    }
    *parcel = (struct parcel){
        .relay = relay,
        .home = part->worker->options.number,
        .owner = owner,
        .stage = TO_OWNER,
        .kind = kind,
        .bytes = payload->length,
        .live = part->live,
        .live_link = &part->live,
    };
    gy_chain_copy(payload, 0, payload->length, payload_of(parcel, workers));
    gy_count(&part->worker->counters.copied_bytes, payload->length);
    if (part->live != NULL) {
        part->live->live_link = &parcel->live;
    }
    part->live = parcel;
    part->messages++;
    part->bytes += parcel->bytes;
    if (!part->told_full &&
        (part->messages >= messages_max(relay) || part->bytes >= bytes_max(relay))) {
        part->told_full = true;
        part->counts.filled++;
    }
    return parcel;
}

int gy_relay_send(struct gy_relay *relay, struct gy_worker *worker, uint32_t owner, uint64_t kind,
                  struct gy_chain *payload)
{
    struct gy_relay_worker *part = part_of(relay, worker);
    bool is_owner = owner == worker->options.number;
    struct parcel *parcel = NULL;
    gy_assert(owner < worker->options.workers);
    if (worker->options.workers > 1) {
        parcel = pack(part, owner, kind, payload);
        if (parcel == NULL) {
            return GY_ENOBUFS;
        }
    }
    if (is_owner) {
        const struct gy_relay_message message = {
            .kind = kind, .bytes = payload->length, .payload = payload};
        int code = part->handler->deliver(part->context, worker, &message);
        if (code != 0) {
            if (parcel != NULL) {
                come_home(part, parcel);
            }
            return code;
        }
    }
    if (parcel != NULL) {
        part->counts.sent++;
        if (is_owner) {
            give_to_all(part, parcel, true);
        } else {
            hand(part, parcel, owner);
        }
    }
    return 0;
}

struct gy_relay_counts gy_relay_counts(const struct gy_relay *relay, const struct gy_worker *worker)
{
    return part_of(relay, worker)->counts;
}
