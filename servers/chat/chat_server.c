/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A worker of the chat server: its hub, its turns, its end. */

#include "servers/chat/chat_server.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "servers/chat/chat_internal.h"

#define TICK_MS       1000
#define DRAIN_TICK_MS 10

/* Inboxes of guests from one address, for each room that they may make. */
#define INBOXES_PER_ROOM 16
#define ROUNDS_MAX                                                                                 \
    64 /* of one turn's end: answers that are there at once lead to new questions                  \
        */

#define ROW(...) GY_METRIC_ROW(struct gy_chat_counts, __VA_ARGS__)
const struct gy_metric_description gy_chat_rows[GY_CHAT_ROWS] = {GY_CHAT_COUNTERS(ROW)};
#undef ROW

/* ---- settings ---- */

void gy_chat_server_defaults(struct gy_chat_server *server)
{
    server->name = "gyre";
    server->lobby = "lobby";
    server->limits = gy_chat_limits_default;
    server->hub.make_rooms = GY_CHAT_EVERYBODY;
    server->hub.guests = GY_CHAT_EVERYBODY;
    server->hub.registering = GY_CHAT_EVERYBODY;
    server->hub.mark_bytes = 131072;
    server->hub.low_bytes = 32768;
    server->cost_log2 = GY_CHAT_COST_USUAL;
    server->token_ms = GY_CHAT_TOKEN_MS;
    server->move_ms = GY_CHAT_MOVE_MS;
    server->address_rate = (struct gy_chat_rate){100, 300, false};
    server->account_rate = (struct gy_chat_rate){40, 120, false};
    server->registrations = 10;
    server->pending_per_address = GY_CHAT_PENDING_PER_ADDRESS;
    server->pending_max = GY_CHAT_PENDING_MAX;
}

int gy_chat_server_open(struct gy_chat_server *server, uint32_t workers,
                        struct gy_chat_counts *counts, struct gy_error *error)
{
    if (workers > GY_CHAT_WORKERS_MAX) {
        return gy_error_set(error, GY_ELIMIT, "a chat server has %d workers at most",
                            GY_CHAT_WORKERS_MAX);
    }
    server->counts = counts;
    server->hub.workers = workers;
    server->hub.own_rooms = server->rooms;
    server->hub.inboxes_per_origin = server->hub.rooms_per_origin * INBOXES_PER_ROOM;
    server->store.workers = workers;
    int code = gy_chat_server_room(server, server->lobby, error);
    server->hub.own_room_count = server->room_count;
    code = code == 0 ? chat_rates_open(server, error) : code;
    code = code == 0 ? chat_pending_open(server, error) : code;
    return code == 0 ? gy_chat_store_make(&server->opened, &server->store, error) : code;
}

void gy_chat_server_close(struct gy_chat_server *server)
{
    gy_chat_store_free(server->opened);
    server->opened = NULL;
    free(server->meter);
    server->meter = NULL;
    chat_pending_close(server);
}

int gy_chat_server_room(struct gy_chat_server *server, const char *name, struct gy_error *error)
{
    struct gy_chat_text text = {name, (uint32_t)strlen(name)};
    const char *why = NULL;
    if (server->room_count == GY_CHAT_OWN_ROOMS_MAX) {
        return gy_error_set(error, GY_ELIMIT,
                            "a server has %d rooms of its own at most, its lobby "
                            "included",
                            GY_CHAT_OWN_ROOMS_MAX);
    }
    if (gy_chat_room_check(text, &server->rooms[server->room_count], &why) != 0) {
        return gy_error_set(error, GY_EINVAL, "%.64s can be no room: %s", name, why);
    }
    server->room_count++;
    return 0;
}

int gy_chat_server_operator(struct gy_chat_server *server, const char *nick, struct gy_error *error)
{
    struct gy_chat_text text = {nick, (uint32_t)strlen(nick)};
    const char *why = NULL;
    if (server->operator_count == GY_CHAT_OPERATORS_MAX) {
        return gy_error_set(error, GY_ELIMIT, "there can be %d operators", GY_CHAT_OPERATORS_MAX);
    }
    if (gy_chat_nick_check(text, &server->operators[server->operator_count], &why) != 0) {
        return gy_error_set(error, GY_EINVAL, "%.64s can be no nick: %s", nick, why);
    }
    server->operator_count++;
    return 0;
}

/* ---- turns ---- */

void chat_clock(struct gy_chat_worker *own)
{
    if (own->clock_ns != own->worker->now_ns) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        own->clock_ns = own->worker->now_ns;
        own->env.wall_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
        gy_chat_hub_clock(own->hub, own->worker->now_ms, own->env.wall_ms);
    }
}

void chat_touch(struct gy_chat_worker *own)
{
    if (!gy_timer_armed(&own->end_of_turn)) {
        gy_timer_arm(&own->worker->wheel, &own->end_of_turn, own->worker->now_ms);
    }
}

static void publish(struct gy_chat_worker *own)
{
    const struct gy_chat_hub_counters *hub = gy_chat_hub_counters(own->hub);
    const struct gy_chat_counters *sessions = &own->env.counters;
    struct gy_chat_counts *counts = own->counts;
    gy_gauge_set(&counts->messages, hub->messages);
    gy_gauge_set(&counts->deliveries, hub->deliveries);
    gy_gauge_set(&counts->members, hub->members);
    gy_gauge_set(&counts->connections, own->open[0]);
    gy_gauge_set(&counts->sockets, own->open[1]);
    gy_gauge_set(&counts->pending, own->pending.count);
    gy_gauge_set(&counts->book_sessions, sessions->book_sessions);
    gy_gauge_set(&counts->rooms, hub->rooms);
    gy_gauge_set(&counts->requests, hub->requests);
    gy_gauge_set(&counts->acks, hub->acks);
    gy_gauge_set(&counts->duplicates, hub->duplicates);
    gy_gauge_set(&counts->appends, hub->appends);
    gy_gauge_set(&counts->notices, hub->notices);
    gy_gauge_set(&counts->slow, hub->slow);
    gy_gauge_set(&counts->gaps, hub->gaps);
    gy_gauge_set(&counts->dropped, hub->dropped);
    gy_gauge_set(&counts->spilled, hub->spilled);
    gy_gauge_set(&counts->ended_slow, hub->ended_slow);
    gy_gauge_set(&counts->starved, hub->starved);
    gy_gauge_set(&counts->storage_failures, hub->storage_failures);
    gy_gauge_set(&counts->checks, own->checked);
    gy_gauge_set(&counts->checks_refused, own->checks_refused);
    gy_gauge_set(&counts->malformed, sessions->malformed);
    gy_gauge_set(&counts->too_big, sessions->too_big);
    gy_gauge_set(&counts->too_fast, sessions->too_fast);
    gy_gauge_set(&counts->floods, sessions->floods);
    gy_gauge_set(&counts->late, sessions->late);
    gy_gauge_set(&counts->idle, sessions->idle);
    gy_gauge_set(&counts->refused_pending, own->refused_pending);
    gy_gauge_set(&counts->ended_pending, own->ended_pending);
    gy_gauge_set(&counts->parcels, hub->parcels_out);
    gy_gauge_set(&counts->parcels_refused, hub->parcels_refused);
    gy_gauge_set(&counts->behind, hub->behind);
    gy_gauge_set(&counts->memory_bytes, hub->memory_bytes);
    gy_gauge_set(&counts->history_bytes, hub->history_bytes);
    gy_gauge_set(&counts->encoded_bytes, hub->encoded_bytes);
    gy_gauge_set(&counts->copied_bytes, hub->copied_bytes);
    if (own->worker->options.number == 0) { /* the store is one for all */
        const struct gy_chat_store_counts *store = gy_chat_store_counts(own->server->opened);
        gy_gauge_set(&counts->store_jobs, gy_counter_read(&store->jobs));
        gy_gauge_set(&counts->store_transactions, gy_counter_read(&store->transactions));
        gy_gauge_set(&counts->store_failures, gy_counter_read(&store->failures));
        gy_gauge_set(&counts->store_pruned, gy_counter_read(&store->pruned));
    }
}

/* Connections that were woken go on. Streams do so by themselves. */
static void run_again(struct gy_chat_worker *own)
{
    for (uint32_t left = own->open[1]; left > 0 && own->again != NULL; left--) {
        struct chat_connection *connection = own->again;
        own->again = connection->next_again;
        connection->again = false;
        connection->next_again = NULL;
        chat_socket_run(connection);
    }
}

/* The tick comes when the hub wants it, and often while others are waited for. */
static void arm_tick(struct gy_chat_worker *own)
{
    uint64_t now_ms = own->worker->now_ms;
    uint64_t due_ms = gy_chat_hub_deadline(own->hub);
    uint32_t tick_ms = own->draining ? DRAIN_TICK_MS : TICK_MS;
    due_ms = due_ms < now_ms + tick_ms ? due_ms : now_ms + tick_ms;
    due_ms = due_ms > now_ms ? due_ms : now_ms + 1;
    if (!gy_timer_armed(&own->tick) || own->tick.due_ms > due_ms) {
        gy_timer_arm(&own->worker->wheel, &own->tick, due_ms);
    }
}

/* What still lingers has nothing to say any more. A worker stays until no other needs its rooms. */
static void end_drain(struct gy_chat_worker *own)
{
    struct gy_chat_server *server = own->server;
    bool drained = own->attached == 0 && gy_chat_hub_idle(own->hub);
    if (drained != own->drained) {
        own->drained = drained;
        atomic_fetch_add(&server->drained, drained ? 1u : UINT32_MAX);
    }
    if (drained) {
        gy_chat_store_release(server->opened, own->worker);
    }
    if (atomic_load(&server->drained) == server->hub.workers) {
        gy_worker_remove_hold(own->worker, &own->hold);
    }
}

static void on_drain(struct gy_worker_hold *hold)
{
    chat_drain(
        (struct gy_chat_worker *)(void *)((char *)hold - offsetof(struct gy_chat_worker, hold)));
}

static void end_turn(struct gy_chat_worker *own)
{
    struct gy_chat_store *store = own->server->opened;
    bool more = true;
    chat_clock(own);
    for (int i = 0; i < ROUNDS_MAX && more; i++) {
        run_again(own);
        gy_chat_hub_flush(own->hub);
        more = gy_chat_store_collect(store, own->worker);
        more = more || own->again != NULL || gy_chat_hub_dirty(own->hub);
    }
    publish(own);
    arm_tick(own);
    if (own->draining) {
        end_drain(own);
    }
    if (more) {
        chat_touch(own);
    }
}

static void on_end_of_turn(struct gy_timer *timer, uint64_t now_ms)
{
    (void)now_ms;
    end_turn((struct gy_chat_worker *)(void *)((char *)timer -
                                               offsetof(struct gy_chat_worker, end_of_turn)));
}

static void on_tick(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_chat_worker *own =
        (struct gy_chat_worker *)(void *)((char *)timer - offsetof(struct gy_chat_worker, tick));
    (void)now_ms;
    end_turn(own);
}

/* ---- the end ---- */

static void leave(struct chat_connection *connection)
{
    gy_chat_session_end(&connection->session, GY_CHAT_DRAIN, 0,
                        "the server is leaving; connect again");
    chat_connection_wake(connection);
}

static void leave_alone(struct chat_connection *connection)
{
    if (!connection->attached) {
        leave(connection);
    }
}

static void on_move(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_chat_worker *own =
        (struct gy_chat_worker *)(void *)((char *)timer - offsetof(struct gy_chat_worker, move));
    (void)now_ms;
    chat_clock(own);
    gy_chat_hub_end_all(own->hub);
    chat_each(own, leave);
    end_turn(own);
}

void chat_drain(struct gy_chat_worker *own)
{
    const struct gy_chat_server *server = own->server;
    if (own->draining) {
        return;
    }
    uint64_t now_ms = own->worker->now_ms;
    uint64_t left_ms =
        own->worker->drain_deadline_ms > now_ms ? own->worker->drain_deadline_ms - now_ms : 0;
    uint32_t in_ms = server->move_ms < left_ms / 2 ? server->move_ms : (uint32_t)(left_ms / 2);
    const char *to = server->move_to != NULL ? server->move_to : "";
    own->draining = true;
    chat_clock(own);
    gy_chat_hub_drain(own->hub, in_ms, (struct gy_chat_text){to, (uint32_t)strlen(to)});
    chat_each(own, leave_alone);
    gy_timer_arm(&own->worker->wheel, &own->move, now_ms + in_ms);
    chat_touch(own);
}

/* ---- what comes back ---- */

static void on_ready(void *context)
{
    struct gy_chat_worker *own = context;
    own->ready = true;
    chat_each(own, chat_connection_wake);
    chat_touch(own);
}

static void on_done(void *context, struct gy_chat_job *job)
{
    struct gy_chat_worker *own = context;
    chat_clock(own);
    gy_chat_hub_stored(own->hub, job);
    chat_touch(own);
}

static void on_parcel(struct gy_inlet *inlet, const struct gy_message *message)
{
    struct gy_chat_worker *own = message->pointers[1];
    (void)inlet;
    chat_clock(own);
    gy_chat_hub_parcel(own->hub, message->pointers[0]);
    chat_touch(own);
}

/* ---- opening and closing ---- */

static int open_inlets(struct gy_chat_worker *own)
{
    uint32_t workers = own->server->hub.workers;
    size_t bytes = (size_t)workers * GY_CHAT_PARCELS_MAX * sizeof(struct gy_message);
    own->inlets = aligned_alloc(GY_CACHE_LINE_BYTES, workers * sizeof *own->inlets);
    own->inlet_messages = aligned_alloc(GY_CACHE_LINE_BYTES, bytes);
    if (own->inlets == NULL || own->inlet_messages == NULL) {
        return GY_ENOMEM;
    }
    memset(own->inlets, 0, workers * sizeof *own->inlets);
    for (uint32_t i = 0; i < workers; i++) {
        gy_mailbox_init(&own->inlets[i].mailbox,
                        own->inlet_messages + (size_t)i * GY_CHAT_PARCELS_MAX, GY_CHAT_PARCELS_MAX);
        own->inlets[i].on_message = on_parcel;
        gy_worker_add_inlet(own->worker, &own->inlets[i]);
    }
    return 0;
}

static void close_inlets(struct gy_chat_worker *own)
{
    struct gy_message message;
    for (uint32_t i = 0; own->inlet_messages != NULL && i < own->server->hub.workers; i++) {
        gy_worker_remove_inlet(own->worker, &own->inlets[i]);
        while (gy_mailbox_pop(&own->inlets[i].mailbox, &message)) {
            gy_chat_hub_parcel_free(own->hub, message.pointers[0]);
        }
    }
    free(own->inlets);
    free(own->inlet_messages);
}

static void close_worker(struct gy_chat_worker *own)
{
    struct gy_wheel *wheel = &own->worker->wheel;
    gy_assert(own->pending.first == NULL && own->known.first == NULL);
    if (own->hub != NULL) {
        gy_helper_close(own->helper);
        close_inlets(own);
        gy_chat_hub_close(own->hub);
    }
    gy_timer_disarm(wheel, &own->end_of_turn);
    gy_timer_disarm(wheel, &own->tick);
    gy_timer_disarm(wheel, &own->move);
    free(own->checks);
    free(own);
}

static int open_worker(struct gy_chat_worker *own, struct gy_error *error)
{
    struct gy_chat_server *server = own->server;
    struct gy_worker *worker = own->worker;
    struct gy_chat_hub_config config = server->hub;
    config.number = worker->options.number;
    gy_timer_init(&own->end_of_turn, on_end_of_turn);
    gy_timer_init(&own->tick, on_tick);
    gy_timer_init(&own->move, on_move);
    chat_list_init(&own->pending);
    chat_list_init(&own->known);
    gy_chat_env_init(&own->env, &worker->bump, &worker->links);
    own->env.limits = server->limits;
    own->env.name = (struct gy_chat_text){server->name, (uint32_t)strlen(server->name)};
    own->env.lobby = (struct gy_chat_text){server->lobby, (uint32_t)strlen(server->lobby)};
    bool limited = server->address_rate.per_s > 0 || server->account_rate.per_s > 0;
    own->env.take = limited ? chat_rates_take : NULL;
    own->env.take_context = own;
    int code =
        gy_chat_hub_open(&own->hub, &config, &chat_hub_ops, own, &worker->bump, &worker->links);
    code = code == 0 ? chat_checks_open(own) : code;
    code = code == 0 ? open_inlets(own) : code;
    if (code != 0) {
        return gy_error_set(error, code, "preparing the chat of a worker: %s", gy_error_text(code));
    }
    return gy_helper_open(&own->helper, worker, GY_CHAT_CHECKS_MAX, error);
}

int gy_chat_worker_open(struct gy_chat_server *server, struct gy_worker *worker,
                        struct gy_error *error)
{
    uint32_t number = worker->options.number;
    gy_assert(number < server->hub.workers);
    if (server->workers[number] != NULL) {
        server->workers[number]->users++;
        return 0;
    }
    struct gy_chat_worker *own = calloc(1, sizeof *own);
    if (own == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing the chat of a worker: out of memory");
    }
    own->server = server;
    own->worker = worker;
    own->counts = &server->counts[number];
    own->users = 1;
    int code = open_worker(own, error);
    if (code != 0) {
        close_worker(own);
        return code;
    }
    server->workers[number] = own;
    struct gy_chat_store_user user = {
        .worker = worker, .context = own, .ready = on_ready, .done = on_done};
    code = gy_chat_store_join(server->opened, &user, error);
    if (code != 0) { /* nobody calls gy_chat_worker_close then */
        server->workers[number] = NULL;
        close_worker(own);
        return code;
    }
    own->hold.drain = on_drain;
    gy_worker_add_hold(worker, &own->hold);
    atomic_store(&server->joined[number], 1);
    arm_tick(own);
    return code;
}

/* Every worker has finished by then: nobody posts to another any more. */
void gy_chat_worker_close(struct gy_chat_server *server, struct gy_worker *worker)
{
    uint32_t number = worker->options.number;
    struct gy_chat_worker *own = server->workers[number];
    if (own == NULL) {
        return;
    }
    gy_assert(own->users > 0);
    if (--own->users == 0) {
        atomic_store(&server->joined[number], 0);
        gy_worker_remove_hold(worker, &own->hold);
        gy_chat_store_leave(server->opened, worker);
        server->workers[number] = NULL;
        close_worker(own);
    }
}
