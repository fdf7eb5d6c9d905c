/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_keeper.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "servers/dns/dns_keeper_internal.h"

#define INLET_MESSAGES   64 /* NOTIFY from one worker; more are dropped */
#define SET_MESSAGES     16
#define RETIRED_MAX      64
#define PUBLISH_MS       50 /* zones that change together go out together */
#define REAP_MS          100
#define TURN_NS          1000000000
#define STREAMS_MAX      256
#define DIAL_MS          10000
#define DATAGRAM_BUFFERS 64
#define DATAGRAM_POSTED  16

enum {
    MESSAGE_SET = GY_MESSAGE_USER,
    MESSAGE_BEGIN, /* the workers run */
    MESSAGE_NOTIFY,
    MESSAGE_STOP,
};

/* ---- sets ---- */

/* On a worker's thread, between two batches. */
static void take_set(struct gy_inlet *inlet, const struct gy_message *message)
{
    struct gy_dns_worker *worker =
        (struct gy_dns_worker *)((char *)inlet - offsetof(struct gy_dns_worker, inlet));
    const struct gy_dns_set *set = message->pointers[0];
    worker->settings.zones = &set->zones;
    atomic_store_explicit(&worker->generation, set->generation, memory_order_release);
}

/* Under the lock: the newest set to those who do not have it yet. Whether all could be told. */
static bool post_set(struct gy_dns_keeper *keeper)
{
    struct gy_message message = {.kind = MESSAGE_SET, .pointers = {keeper->set}};
    bool all = true;
    for (uint32_t i = 0; i < keeper->server->worker_count; i++) {
        struct member *member = &keeper->members[i];
        if (member->core != NULL && member->behind) {
            member->behind = gy_worker_post_inlet(member->core, &keeper->server->workers[i]->inlet,
                                                  &message) != 0;
            all = all && !member->behind;
        }
    }
    return all;
}

/* Under the lock: the oldest generation that a worker may be looking at. */
static uint64_t oldest(const struct gy_dns_keeper *keeper)
{
    uint64_t generation = keeper->set->generation;
    for (uint32_t i = 0; i < keeper->server->worker_count; i++) {
        if (keeper->members[i].core != NULL) {
            uint64_t seen =
                atomic_load_explicit(&keeper->server->workers[i]->generation, memory_order_acquire);
            generation = seen < generation ? seen : generation;
        }
    }
    return generation;
}

static void on_reap(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_dns_keeper *keeper =
        (struct gy_dns_keeper *)((char *)timer - offsetof(struct gy_dns_keeper, reap));
    pthread_mutex_lock(&keeper->lock);
    bool all = post_set(keeper);
    uint64_t generation = oldest(keeper);
    pthread_mutex_unlock(&keeper->lock);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < keeper->retired_count; i++) {
        if (keeper->retired[i]->generation < generation) {
            gy_dns_set_free(keeper->retired[i]);
        } else {
            keeper->retired[kept++] = keeper->retired[i];
        }
    }
    keeper->retired_count = kept;
    if (!all || kept > 0) {
        gy_timer_arm(&keeper->worker->wheel, timer, now_ms + REAP_MS);
    }
}

/* The zones as they are now. NULL: no memory. */
static struct gy_dns_set *make_set(const struct gy_dns_keeper *keeper)
{
    uint32_t count = keeper->list->catalog.count;
    struct gy_dns_set *set = gy_dns_set_make(count, keeper->seed);
    for (uint32_t i = 0; i < count && set != NULL; i++) {
        const struct secondary *secondary = keeper->by_place[i];
        int code = gy_dns_set_add(
            set, gy_dns_zone_keep(secondary != NULL ? secondary->zone : keeper->zones[i]));
        gy_assert(code == 0); /* the first set had the same names */
    }
    return set;
}

static void on_publish(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_dns_keeper *keeper =
        (struct gy_dns_keeper *)((char *)timer - offsetof(struct gy_dns_keeper, publish));
    struct gy_dns_set *set = keeper->retired_count < RETIRED_MAX ? make_set(keeper) : NULL;
    if (set == NULL) { /* a worker is slow, or there is no memory now */
        gy_timer_arm(&keeper->worker->wheel, timer, now_ms + PUBLISH_MS);
        return;
    }
    pthread_mutex_lock(&keeper->lock);
    set->generation = keeper->set->generation + 1;
    keeper->retired[keeper->retired_count++] = keeper->set;
    keeper->set = set;
    for (uint32_t i = 0; i < keeper->server->worker_count; i++) {
        keeper->members[i].behind = true;
    }
    post_set(keeper);
    pthread_mutex_unlock(&keeper->lock);
    gy_timer_arm(&keeper->worker->wheel, &keeper->reap, now_ms + REAP_MS);
}

void keeper_changed(struct gy_dns_keeper *keeper)
{
    if (!gy_timer_armed(&keeper->publish)) {
        gy_timer_arm(&keeper->worker->wheel, &keeper->publish, keeper->worker->now_ms + PUBLISH_MS);
    }
}

/* ---- the thread ---- */

/* Zones of files with a new serial: their secondaries are told. */
static void tell_changed(struct gy_dns_keeper *keeper)
{
    for (uint32_t i = 0; i < keeper->list->count; i++) {
        const struct gy_dns_listed *zone = &keeper->list->zones[i];
        if (zone->changed) {
            notes_add(keeper, gy_dns_catalog_find(&keeper->list->catalog, zone->name));
        }
    }
}

/* Once workers run, and not before: a socket that is open while they part with their table of
 * descriptors (core/tables.h) would stay open in theirs. */
static void begin(struct gy_dns_keeper *keeper)
{
    if (!keeper->begun) {
        keeper->begun = true;
        notes_begin(keeper);
        secondaries_begin(keeper);
        tell_changed(keeper);
    }
}

static void on_message(struct gy_inlet *inlet, const struct gy_message *message)
{
    struct gy_dns_keeper *keeper = message->pointers[0];
    (void)inlet;
    if (message->kind == MESSAGE_BEGIN) {
        begin(keeper);
    } else if (message->kind == MESSAGE_NOTIFY) {
        struct secondary *secondary = keeper->by_place[keeper_place(keeper, message->pointers[1])];
        gy_assert(secondary != NULL);
        begin(keeper);
        secondary_notified(secondary);
    } else if (message->kind == MESSAGE_STOP) {
        keeper->stopping = true;
    }
}

static int open_endpoints(struct gy_dns_keeper *keeper, struct gy_error *error)
{
    struct gy_connector_options connector = {
        .name = "dns-secondary",
        .ops = &secondary_ops,
        .context = keeper,
        .session_bytes = sizeof(void *),
        .attempt_timeout_ms = DIAL_MS,
        .timeout_ms = DIAL_MS,
    };
    struct gy_datagram_options datagrams = {
        .name = "dns-notify",
        .ops = &notes_ops,
        .context = keeper,
        .buffers = DATAGRAM_BUFFERS,
        .posted = DATAGRAM_POSTED,
    };
    int code = gy_connector_open(&keeper->connector, keeper->worker, &connector, error);
    keeper->connector_open = code == 0;
    if (code == 0) {
        code = gy_datagram_endpoint_open(&keeper->datagrams, keeper->worker, &datagrams, error);
        keeper->datagrams_open = code == 0;
    }
    return code;
}

static int open_loop(struct gy_dns_keeper *keeper, struct gy_error *error)
{
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = STREAMS_MAX,
        .blocks_max = STREAMS_MAX,
        .pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0),
    };
    int code = gy_worker_open(keeper->worker, &options, keeper->peers, error);
    keeper->loop_open = code == 0;
    if (code != 0) {
        return code;
    }
    for (uint32_t i = 0; i < keeper->server->worker_count; i++) {
        struct gy_inlet *inlet = &keeper->inlets[i];
        gy_mailbox_init(&inlet->mailbox, keeper->inlet_messages + (size_t)i * INLET_MESSAGES,
                        INLET_MESSAGES);
        inlet->on_message = on_message;
        gy_worker_add_inlet(keeper->worker, inlet);
    }
    return open_endpoints(keeper, error);
}

static void close_loop(struct gy_dns_keeper *keeper)
{
    if (!keeper->loop_open) {
        return;
    }
    gy_worker_finish(keeper->worker);
    if (keeper->connector_open) {
        gy_connector_close(&keeper->connector);
    }
    if (keeper->datagrams_open) {
        gy_datagram_endpoint_close(&keeper->datagrams);
    }
    gy_worker_close(keeper->worker);
}

static void *run(void *context)
{
    struct gy_dns_keeper *keeper = context;
    struct gy_error error = {0};
    int code = open_loop(keeper, &error);
    gy_timer_init(&keeper->publish, on_publish);
    gy_timer_init(&keeper->reap, on_reap);
    if (code == 0 && secondaries_reread(keeper)) {
        on_publish(&keeper->publish, keeper->worker->now_ms);
    }
    pthread_mutex_lock(&keeper->lock);
    keeper->code = code;
    keeper->error = error;
    pthread_cond_signal(&keeper->started);
    pthread_mutex_unlock(&keeper->lock);
    if (code == 0) {
        while (!keeper->stopping && code == 0) {
            code = gy_worker_turn(keeper->worker, TURN_NS);
        }
        gy_assert(code == 0); /* the ring broke: another process does better */
        secondaries_stop(keeper);
        /* Who said so may still be about to ring the loop's bell. */
        pthread_mutex_lock(&keeper->lock);
        pthread_mutex_unlock(&keeper->lock);
    }
    close_loop(keeper);
    return NULL;
}

/* Under the lock. Waits until it runs, or says why not. */
static int start(struct gy_dns_keeper *keeper, struct gy_error *error)
{
    sigset_t all;
    sigset_t before;
    keeper->code = 1;
    sigfillset(&all); /* signals are for the control thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int cause = pthread_create(&keeper->thread, NULL, run, keeper);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (cause != 0) {
        return gy_error_set(error, GY_EREFUSED, "starting the thread of secondary zones: %s",
                            strerror(cause));
    }
    keeper->running = true;
    while (keeper->code > 0) {
        pthread_cond_wait(&keeper->started, &keeper->lock);
    }
    return keeper->code == 0
               ? 0
               : gy_error_set(error, keeper->code, "secondary zones: %s", keeper->error.message);
}

/* ---- workers ---- */

/* In the first turn of the worker that started the thread. */
static void on_running(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_dns_keeper *keeper =
        (struct gy_dns_keeper *)((char *)timer - offsetof(struct gy_dns_keeper, running_timer));
    struct gy_message message = {.kind = MESSAGE_BEGIN, .pointers = {keeper}};
    struct gy_worker *worker = keeper->starter;
    if (gy_worker_post_inlet(keeper->worker, &keeper->inlets[worker->options.number], &message) !=
        0) {
        gy_timer_arm(&worker->wheel, timer, now_ms + 1);
    }
}

int gy_dns_keeper_join(struct gy_dns_keeper *keeper, struct gy_worker *worker,
                       struct gy_error *error)
{
    uint32_t number = worker->options.number;
    struct gy_dns_worker *own = keeper->server->workers[number];
    int code = 0;
    pthread_mutex_lock(&keeper->lock);
    struct member *member = &keeper->members[number];
    if (member->opens++ == 0) {
        gy_mailbox_init(&own->inlet.mailbox, own->inlet_messages, SET_MESSAGES);
        own->inlet.on_message = take_set;
        gy_worker_add_inlet(worker, &own->inlet);
    }
    if (keeper->joined++ == 0) {
        code = start(keeper, error);
        keeper->starter = worker;
        gy_timer_init(&keeper->running_timer, on_running);
        if (code == 0) {
            gy_timer_arm(&worker->wheel, &keeper->running_timer, worker->now_ms);
        }
    }
    if (member->core == NULL && code == 0) {
        own->settings.zones = &keeper->set->zones;
        atomic_store(&own->generation, keeper->set->generation);
        member->core = worker;
        member->behind = false;
    }
    pthread_mutex_unlock(&keeper->lock);
    return code;
}

void gy_dns_keeper_leave(struct gy_dns_keeper *keeper, struct gy_worker *worker)
{
    uint32_t number = worker->options.number;
    pthread_mutex_lock(&keeper->lock);
    struct member *member = &keeper->members[number];
    gy_assert(member->opens > 0 && keeper->joined > 0);
    if (--member->opens == 0) {
        gy_worker_remove_inlet(worker, &keeper->server->workers[number]->inlet);
        member->core = NULL;
        if (keeper->starter == worker) {
            gy_timer_disarm(&worker->wheel, &keeper->running_timer);
        }
    }
    bool last = --keeper->joined == 0 && keeper->running;
    struct gy_message message = {.kind = MESSAGE_STOP, .pointers = {keeper}};
    while (last && keeper->code == 0 &&
           gy_worker_post_inlet(keeper->worker, &keeper->inlets[number], &message) != 0) {
        pthread_mutex_unlock(&keeper->lock);
        sched_yield(); /* it is full of NOTIFY, and being emptied by who may wait for the lock */
        pthread_mutex_lock(&keeper->lock);
    }
    pthread_mutex_unlock(&keeper->lock);
    if (last) {
        pthread_join(keeper->thread, NULL);
        keeper->running = false;
    }
}

void gy_dns_keeper_notify(struct gy_dns_keeper *keeper, uint32_t number,
                          const struct gy_dns_served *served)
{
    struct gy_message message = {.kind = MESSAGE_NOTIFY,
                                 .pointers = {keeper, (void *)(uintptr_t)served}};
    gy_worker_post_inlet(keeper->worker, &keeper->inlets[number], &message);
}

/* ---- making it ---- */

static int make(struct gy_dns_keeper *keeper)
{
    uint32_t workers = keeper->server->worker_count;
    uint32_t count = keeper->list->catalog.count;
    size_t worker_bytes = (sizeof *keeper->worker + 63) & ~(size_t)63;
    keeper->members = calloc(workers, sizeof *keeper->members);
    keeper->worker = aligned_alloc(64, worker_bytes);
    keeper->inlets = aligned_alloc(64, workers * sizeof *keeper->inlets);
    keeper->inlet_messages =
        aligned_alloc(64, (size_t)workers * INLET_MESSAGES * sizeof *keeper->inlet_messages);
    keeper->zones = calloc(count, sizeof *keeper->zones);
    keeper->by_place = calloc(count, sizeof *keeper->by_place);
    keeper->retired = calloc(RETIRED_MAX, sizeof *keeper->retired);
    if (keeper->members == NULL || keeper->worker == NULL || keeper->inlets == NULL ||
        keeper->inlet_messages == NULL || keeper->zones == NULL || keeper->by_place == NULL ||
        keeper->retired == NULL) {
        return GY_ENOMEM;
    }
    memset(keeper->worker, 0, worker_bytes);
    memset(keeper->inlets, 0, workers * sizeof *keeper->inlets);
    keeper->peers[0] = keeper->worker;
    for (uint32_t i = 0; i < workers; i++) {
        struct gy_dns_worker *worker = keeper->server->workers[i];
        worker->inlet_messages = aligned_alloc(64, SET_MESSAGES * sizeof(struct gy_message));
        if (worker->inlet_messages == NULL) {
            return GY_ENOMEM;
        }
    }
    for (uint32_t i = 0; i < keeper->list->count; i++) {
        const struct gy_dns_listed *zone = &keeper->list->zones[i];
        const struct gy_dns_served *served =
            gy_dns_catalog_find(&keeper->list->catalog, zone->name);
        keeper->zones[keeper_place(keeper, served)] = zone->zone;
    }
    return secondaries_open(keeper);
}

int gy_dns_keeper_make(struct gy_dns_keeper **made, struct gy_dns_server *server,
                       const struct gy_dns_list *list)
{
    struct gy_dns_keeper *keeper = aligned_alloc(64, (sizeof *keeper + 63) & ~(size_t)63);
    if (keeper == NULL) {
        return GY_ENOMEM;
    }
    memset(keeper, 0, sizeof *keeper);
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_cond_init(&keeper->started, NULL);
    keeper->server = server;
    keeper->list = list;
    keeper->set = server->set;
    keeper->seed = server->set->zones.seed;
    keeper->counts = &server->counts[0].keeper;
    keeper->waiting_end = &keeper->waiting;
    *made = keeper; /* which frees it, whatever the result */
    return make(keeper);
}

void gy_dns_keeper_free(struct gy_dns_keeper *keeper)
{
    gy_assert(!keeper->running);
    secondaries_close(keeper);
    notes_close(keeper);
    for (uint32_t i = 0; i < keeper->retired_count; i++) {
        gy_dns_set_free(keeper->retired[i]);
    }
    gy_dns_set_free(keeper->set);
    free(keeper->members);
    free(keeper->worker);
    free(keeper->inlets);
    free(keeper->inlet_messages);
    free(keeper->zones);
    free(keeper->by_place);
    free(keeper->retired);
    pthread_cond_destroy(&keeper->started);
    pthread_mutex_destroy(&keeper->lock);
    free(keeper);
}
