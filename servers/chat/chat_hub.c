/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What a hub is given: memory, the store, other workers, connections, passwords. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/log.h"
#include "core/tls.h"
#include "servers/chat/chat_internal.h"
#include "servers/chat/job.h"

enum { MESSAGE_PARCEL = GY_MESSAGE_USER };

static struct chat_connection *connection_of(struct gy_chat_member *member)
{
    _Static_assert(offsetof(struct chat_connection, member) == 0, "a member begins a connection");
    return (struct chat_connection *)member;
}

/* ---- memory ---- */

static void *hub_take(void *context, size_t bytes)
{
    (void)context;
    return malloc(bytes);
}

static void hub_give(void *context, void *memory, size_t bytes)
{
    (void)context;
    (void)bytes;
    free(memory);
}

/* ---- the store, and other workers ---- */

static void hub_store(void *context, struct gy_chat_job *job)
{
    struct gy_chat_worker *own = context;
    gy_chat_store_submit(own->server->opened, own->worker, job);
    chat_touch(own);
}

static int hub_post(void *context, uint32_t number, struct gy_chat_parcel *parcel)
{
    struct gy_chat_worker *own = context;
    struct gy_chat_server *server = own->server;
    gy_assert(number < server->hub.workers && number != own->worker->options.number);
    if (atomic_load_explicit(&server->joined[number], memory_order_acquire) == 0) {
        return GY_ENOBUFS; /* it has not begun yet */
    }
    struct gy_chat_worker *to = server->workers[number];
    struct gy_message message = {.kind = MESSAGE_PARCEL, .pointers = {parcel, to}};
    return gy_worker_post_inlet(to->worker, &to->inlets[own->worker->options.number], &message);
}

/* ---- connections ---- */

static int hub_write(void *context, struct gy_chat_member *member,
                     const struct gy_chat_frame *frame)
{
    struct chat_connection *connection = connection_of(member);
    (void)context;
    bool held = gy_chat_session_is_held(&connection->session);
    int code = gy_chat_session_write(&connection->session, frame);
    if (code != 0) {
        return code;
    }
    if (frame->type == GY_CHAT_IDENTITY) {
        chat_pending_over(connection);
    }
    if (connection->stream != NULL) {
        gy_stream_flush_later(connection->stream);
    }
    bool goes_on = held && !gy_chat_session_is_held(&connection->session);
    if (connection->stream == NULL || goes_on || gy_chat_session_is_over(&connection->session)) {
        chat_connection_wake(connection);
    }
    return 0;
}

static void hub_output(void *context, struct gy_chat_member *member)
{
    struct chat_connection *connection = connection_of(member);
    (void)context;
    if (connection->stream != NULL) {
        gy_stream_flush_later(connection->stream);
    }
    /* A WebSocket may end by being run, which must not be while the hub goes through members. */
    if (connection->stream == NULL || member->lagging > 0) {
        chat_connection_wake(connection);
    }
}

static void hub_wake(void *context, struct gy_chat_member *member)
{
    (void)context;
    chat_connection_wake(connection_of(member));
}

static bool hub_certificate(void *context, struct gy_chat_member *member,
                            struct gy_chat_text *subject)
{
    /* Read by the hub before anything else is asked of this worker. */
    static _Thread_local struct gy_tls_facts facts;
    struct chat_connection *connection = connection_of(member);
    struct gy_stream *stream = connection->stream != NULL
                                   ? connection->stream
                                   : gy_http_stream(connection->socket->exchange);
    (void)context;
    if (stream->layer == NULL) {
        return false;
    }
    gy_tls_facts_of(stream, &facts);
    *subject = (struct gy_chat_text){facts.subject, (uint32_t)strlen(facts.subject)};
    return facts.peer_verified && subject->length > 0;
}

/* ---- passwords ---- */

struct check_job {
    struct gy_helper_job job;
    struct check_job *next; /* that are free */
    struct gy_chat_worker *own;
    struct gy_chat_check *check;
};

static void run_check(struct gy_helper_job *job)
{
    const struct check_job *made = (struct check_job *)job;
    gy_chat_password_run(made->check, made->own->server->cost_log2);
}

static void check_done(struct gy_helper_job *job)
{
    struct check_job *made = (struct check_job *)job;
    struct gy_chat_worker *own = made->own;
    struct gy_chat_check *check = made->check;
    made->next = own->free_checks;
    own->free_checks = made;
    own->checked++;
    chat_clock(own);
    gy_chat_hub_checked(own->hub, check);
    chat_touch(own);
}

int chat_checks_open(struct gy_chat_worker *own)
{
    own->checks = calloc(GY_CHAT_CHECKS_MAX, sizeof *own->checks);
    for (int i = 0; own->checks != NULL && i < GY_CHAT_CHECKS_MAX; i++) {
        own->checks[i].job = (struct gy_helper_job){.run = run_check, .done = check_done};
        own->checks[i].own = own;
        own->checks[i].next = own->free_checks;
        own->free_checks = &own->checks[i];
    }
    return own->checks != NULL ? 0 : GY_ENOMEM;
}

static int hub_check(void *context, struct gy_chat_check *check)
{
    struct gy_chat_worker *own = context;
    struct check_job *made = own->free_checks;
    if (made != NULL) {
        made->check = check;
        own->free_checks = made->next;
        if (gy_helper_submit(own->helper, &made->job) == 0) {
            return 0;
        }
        own->free_checks = made;
    }
    own->checks_refused++;
    return GY_ENOBUFS;
}

/* ---- tokens ---- */

static uint32_t hub_token_make(void *context, uint64_t user, struct gy_chat_text nick,
                               uint32_t epoch, char *token)
{
    const struct gy_chat_worker *own = context;
    struct gy_chat_server *server = own->server;
    /* Each identity comes along here: so the numbers of the server's operators are learnt. */
    for (uint32_t i = 0; i < server->operator_count && (user & GY_CHAT_GUEST_BIT) == 0; i++) {
        const struct gy_chat_canonical *name = &server->operators[i];
        if (name->length == nick.length && memcmp(name->bytes, nick.bytes, nick.length) == 0) {
            atomic_store(&server->operator_users[i], user);
        }
    }
    if (server->token_ms == 0) {
        return 0;
    }
    return gy_chat_token_write(gy_chat_store_secret(server->opened), user, nick, epoch,
                               own->env.wall_ms + server->token_ms, token);
}

static int hub_token_check(void *context, struct gy_chat_text token, struct gy_chat_text nick,
                           uint64_t *user, uint32_t *epoch)
{
    const struct gy_chat_worker *own = context;
    return gy_chat_token_read(gy_chat_store_secret(own->server->opened), token, nick,
                              own->env.wall_ms, user, epoch);
}

static bool hub_operates(void *context, uint64_t user)
{
    const struct gy_chat_worker *own = context;
    const struct gy_chat_server *server = own->server;
    for (uint32_t i = 0; i < server->operator_count; i++) {
        if (atomic_load_explicit(&server->operator_users[i], memory_order_relaxed) == user) {
            return user != 0;
        }
    }
    uint32_t made = atomic_load_explicit(&server->made_operator_count, memory_order_relaxed);
    for (uint32_t i = 0; i < made; i++) {
        if (atomic_load_explicit(&server->made_operators[i], memory_order_relaxed) == user) {
            return user != 0;
        }
    }
    return user == GY_CHAT_SERVER_USER;
}

/* Those whose accounts say so; beside those that the configuration names. */
static void hub_operates_now(void *context, uint64_t user, bool operates)
{
    const struct gy_chat_worker *own = context;
    struct gy_chat_server *server = own->server;
    for (uint32_t i = 0; i < GY_CHAT_OPERATORS_MAX; i++) {
        uint64_t there = user;
        if (atomic_load(&server->made_operators[i]) == user && operates) {
            return;
        }
        atomic_compare_exchange_strong(&server->made_operators[i], &there, 0);
    }
    for (uint32_t i = 0; i < GY_CHAT_OPERATORS_MAX && operates; i++) {
        uint64_t none = 0;
        if (atomic_compare_exchange_strong(&server->made_operators[i], &none, user)) {
            uint32_t count = atomic_load(&server->made_operator_count);
            while (count <= i &&
                   !atomic_compare_exchange_weak(&server->made_operator_count, &count, i + 1)) {
            }
            return;
        }
    }
}

/* ---- bans ---- */

static bool hub_banned(void *context, struct gy_chat_member *member, struct gy_chat_text nick,
                       char sentence[GY_CHAT_SENTENCE_MAX + 1])
{
    const struct gy_chat_worker *own = context;
    struct gy_chat_ban_peer peer;
    chat_peer(connection_of(member), &peer);
    return gy_chat_bans_match(gy_chat_store_bans(own->server->opened), nick, &peer,
                              own->env.wall_ms, sentence);
}

static int hub_ban_address(void *context, struct gy_chat_text written, char *room, uint32_t *bytes,
                           const char **why)
{
    _Static_assert(GY_CHAT_CANONICAL_MAX >= GY_CHAT_BAN_ADDRESS_BYTES, "it has room");
    int length = gy_chat_ban_network(written, room, why);
    (void)context;
    *bytes = length > 0 ? (uint32_t)length : 0;
    return length > 0 ? 0 : GY_EINVAL;
}

static void hub_ban_changed(void *context, const struct gy_chat_ban *ban, bool lifted)
{
    const struct gy_chat_worker *own = context;
    struct gy_chat_bans *bans = gy_chat_store_bans(own->server->opened);
    int code = lifted ? gy_chat_bans_lift(bans, ban) : gy_chat_bans_put(bans, ban);
    if (code != 0 && code != GY_ENOTFOUND) {
        gy_log(GY_LOG_ERROR, "chat", "a ban of %.*s holds from the next start on: %s",
               (int)ban->subject.length, ban->subject.bytes, gy_error_text(code));
    }
}

static bool hub_ban_at(void *context, uint64_t place, struct gy_chat_ban *ban)
{
    struct gy_chat_worker *own = context;
    return gy_chat_bans_at(gy_chat_store_bans(own->server->opened), place, ban, own->ban_texts);
}

/* ---- for who operates the server ---- */

static uint32_t hub_describe(void *context, struct gy_chat_member *member, char *address,
                             uint64_t *since_ms)
{
    const struct gy_chat_worker *own = context;
    struct chat_connection *connection = connection_of(member);
    uint64_t age_ns = own->worker->now_ns - connection->session.opened_ns;
    *since_ms = own->env.wall_ms - age_ns / 1000000;
    return chat_address(connection, address);
}

static const char *text_for(struct gy_chat_text text, char *room, size_t bytes)
{
    snprintf(room, bytes, "%.*s", (int)text.length, text.bytes);
    return room;
}

static void hub_acted(void *context, const struct gy_chat_act *act)
{
    char by[256], whom[256], room[256], reason[256];
    const struct gy_chat_worker *own = context;
    uint64_t until_s = act->seconds > 0 ? own->env.wall_ms / 1000 + act->seconds : 0;
    gy_log_with(GY_LOG_INFO, "chat",
                gy_fields(gy_text("act", act->what),
                          gy_text("by", text_for(act->by, by, sizeof by)),
                          gy_text("whom", text_for(act->whom, whom, sizeof whom)),
                          gy_text("room", text_for(act->room, room, sizeof room)),
                          gy_text("reason", text_for(act->reason, reason, sizeof reason)),
                          gy_number("until", (int64_t)until_s)),
                "moderated");
}

static uint64_t hub_origin(void *context, struct gy_chat_member *member)
{
    (void)context;
    return chat_origin(connection_of(member));
}

static uint64_t hub_random(void *context)
{
    uint64_t number = 0;
    (void)context;
    ssize_t got = getrandom(&number, sizeof number, 0);
    gy_assert(got == (ssize_t)sizeof number); /* so few bytes come whole */
    return number;
}

const struct gy_chat_hub_ops chat_hub_ops = {
    .take = hub_take,
    .give = hub_give,
    .job_make = gy_chat_job_make,
    .job_take = gy_chat_job_take,
    .job_free = gy_chat_job_free,
    .store = hub_store,
    .post = hub_post,
    .write = hub_write,
    .output = hub_output,
    .wake = hub_wake,
    .check = hub_check,
    .token_make = hub_token_make,
    .token_check = hub_token_check,
    .certificate = hub_certificate,
    .operates = hub_operates,
    .operates_now = hub_operates_now,
    .banned = hub_banned,
    .ban_address = hub_ban_address,
    .ban_changed = hub_ban_changed,
    .ban_at = hub_ban_at,
    .describe = hub_describe,
    .acted = hub_acted,
    .origin = hub_origin,
    .random = hub_random,
};
