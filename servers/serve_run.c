/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Plans and their sockets, from the start to the end. The flags are in serve.c. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/address.h"
#include "core/log.h"
#include "servers/http/access_log.h"
#include "servers/privilege.h"
#include "servers/serve.h"
#include "servers/systemd.h"

#define NOT_SERVED (-1)

/* An address that is listened on, and whose it is. */
struct place {
    char asked[GY_ADDRESS_TEXT_BYTES];
    char shown[GY_ADDRESS_TEXT_BYTES]; /* with the port that stands for 0 */
    int *descriptors;                  /* one for each worker */
    bool datagrams;                    /* UDP */
    int now;                           /* server of the plan that is in use, or NOT_SERVED */
    int next;                          /* of the one that is to replace it */
};

struct serve {
    const struct gy_serve_hooks *hooks;
    struct gy_serve_plan *plan;
    struct gy_serve_plan *next; /* while a process starts that is to serve it */
    struct gy_identity identity, next_identity;
    uint32_t workers;
    struct place places[GY_SERVE_PLACES_MAX];
    uint32_t place_count;
    struct gy_server servers[GY_SERVE_PLACES_MAX];
};

static struct gy_inherited inherited;

static int complain(const struct gy_error *error)
{
    fprintf(stderr, "gyre: %s\n", error->message);
    return 1;
}

/* ---- plans ---- */

static int plan_make(struct serve *serve, struct gy_serve_plan **made, struct gy_identity *identity,
                     struct gy_error *error)
{
    struct gy_serve_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    plan->options = gy_serve_defaults();
    plan->workers = serve->workers;
    int code = serve->hooks->make(serve->hooks->make_context, plan, error);
    if (code == 0 && plan->workers == 0) {
        plan->workers = gy_runtime_workers(plan->options.workers);
    }
    *identity = (struct gy_identity){.given = false};
    if (code == 0 && plan->options.user != NULL) {
        code = gy_identity_find(identity, plan->options.user, error);
    }
    if (code != 0) {
        gy_serve_plan_free(plan);
        return code;
    }
    *made = plan;
    return 0;
}

/* ---- places ---- */

static int place_open(struct serve *serve, struct place *place, struct gy_error *error)
{
    struct gy_address address;
    int code = gy_address_parse(&address, place->asked, error);
    place->descriptors = calloc(serve->workers, sizeof(int));
    if (code == 0 && place->descriptors == NULL) {
        code = gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    if (code == 0) {
        struct gy_listen_options options = {.datagrams = place->datagrams};
        code = gy_inherited_listen(&inherited, &address, place->datagrams, serve->workers,
                                   place->descriptors, error);
        if (code == 0) {
            code = gy_address_listen(&address, serve->workers, place->descriptors, &options, error);
        }
    }
    if (code < 0) {
        free(place->descriptors);
        place->descriptors = NULL;
        return code;
    }
    gy_assert(place->descriptors != NULL);
    if (gy_address_of_socket(&address, place->descriptors[0]) == 0) {
        gy_address_format(&address, place->shown, sizeof place->shown);
    }
    return 0;
}

static void place_close(const struct serve *serve, struct place *place)
{
    for (uint32_t w = 0; place->descriptors != NULL && w < serve->workers; w++) {
        close(place->descriptors[w]);
    }
    free(place->descriptors);
    place->descriptors = NULL;
}

/* Closes what neither the plan in use nor the next one listens on. */
static void places_prune(struct serve *serve)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < serve->place_count; i++) {
        struct place *place = &serve->places[i];
        if (place->now == NOT_SERVED && place->next == NOT_SERVED) {
            place_close(serve, place);
        } else {
            serve->places[kept++] = *place;
        }
    }
    serve->place_count = kept;
}

/* The place that the next plan's server listens on: one that is there, or a new one. */
static int place_take(struct serve *serve, int server, const char *asked, bool datagrams,
                      struct gy_error *error)
{
    for (uint32_t i = 0; i < serve->place_count; i++) {
        struct place *kept = &serve->places[i];
        if (kept->next == NOT_SERVED && kept->datagrams == datagrams &&
            strcmp(kept->asked, asked) == 0) {
            kept->next = server;
            return 0;
        }
    }
    if (serve->place_count == GY_SERVE_PLACES_MAX) {
        return gy_error_set(error, GY_ELIMIT, "listening on %s: at most %d addresses at a time",
                            asked, GY_SERVE_PLACES_MAX);
    }
    struct place *place = &serve->places[serve->place_count];
    *place = (struct place){.datagrams = datagrams, .now = NOT_SERVED, .next = server};
    snprintf(place->asked, sizeof place->asked, "%s", asked);
    int code = place_open(serve, place, error);
    serve->place_count += code == 0;
    return code;
}

/* The next plan is not to be: what was opened for it is closed. */
static void next_drop(struct serve *serve)
{
    for (uint32_t i = 0; i < serve->place_count; i++) {
        serve->places[i].next = NOT_SERVED;
    }
    places_prune(serve);
    gy_serve_plan_free(serve->next);
    serve->next = NULL;
}

/* Makes the next plan, with its sockets. */
static int next_make(struct serve *serve, struct gy_error *error)
{
    if (serve->next != NULL) {
        next_drop(serve);
    }
    int code = plan_make(serve, &serve->next, &serve->next_identity, error);
    if (code != 0) {
        return code;
    }
    gy_assert(serve->next != NULL);
    if (serve->workers != 0 && gy_runtime_workers(serve->next->options.workers) != serve->workers) {
        gy_log(GY_LOG_WARN, "serve", "%u workers go on; another number takes a restart",
               serve->workers);
    }
    if (serve->workers == 0) {
        serve->workers = serve->next->workers;
    }
    code = gy_serve_plan_load(serve->next, error);
    for (uint32_t s = 0; s < serve->next->server_count && code == 0; s++) {
        const struct gy_serve_server *server = &serve->next->servers[s];
        for (uint32_t a = 0; a < server->address_count && code == 0; a++) {
            code = place_take(serve, (int)s, server->addresses[a], server->datagrams, error);
        }
    }
    if (code != 0) {
        next_drop(serve);
    }
    return code;
}

/* The next plan is in use. */
static void next_commit(struct serve *serve)
{
    if (serve->next == NULL) {
        return;
    }
    gy_serve_plan_free(serve->plan);
    serve->plan = serve->next;
    serve->identity = serve->next_identity;
    serve->next = NULL;
    for (uint32_t i = 0; i < serve->place_count; i++) {
        serve->places[i].now = serve->places[i].next;
        serve->places[i].next = NOT_SERVED;
    }
    places_prune(serve);
}

static void places_close(struct serve *serve)
{
    for (uint32_t i = 0; i < serve->place_count; i++) {
        place_close(serve, &serve->places[i]);
    }
    serve->place_count = 0;
    gy_inherited_close(&inherited);
}

/* ---- the serving process ---- */

/* The newest plan's servers, one for each address. What nobody serves any more is closed: its
 * clients would be left waiting. */
static uint32_t servers_fill(struct serve *serve)
{
    bool next = serve->next != NULL;
    const struct gy_serve_plan *plan = next ? serve->next : serve->plan;
    uint32_t count = 0;
    for (uint32_t i = 0; i < serve->place_count; i++) {
        struct place *place = &serve->places[i];
        int number = next ? place->next : place->now;
        if (number == NOT_SERVED) {
            place_close(serve, place);
            continue;
        }
        const struct gy_serve_server *server = &plan->servers[number];
        server->fill(&serve->servers[count], server->context, place->descriptors);
        serve->servers[count++].name = server->name; /* it tells two of a kind apart */
    }
    return count;
}

/* In a process that was to take over. */
static int not_reloaded(const struct gy_error *error)
{
    gy_log(GY_LOG_ERROR, "serve", "not reloaded, what is in use stays: %s", error->message);
    return 1;
}

static int serve_child(void *context, struct gy_child *child)
{
    struct serve *serve = context;
    struct gy_serve_plan *plan = serve->next != NULL ? serve->next : serve->plan;
    const struct gy_identity *identity =
        serve->next != NULL ? &serve->next_identity : &serve->identity;
    const struct gy_serve_options *options = &plan->options;
    struct gy_error error = {0};
    plan->child = child;
    if (gy_serve_plan_prepare(plan, &error) != 0) {
        return serve->plan != NULL && serve->next != NULL ? not_reloaded(&error) : complain(&error);
    }
    uint32_t count = servers_fill(serve);
    struct gy_runtime_options runtime = {
        .workers = serve->workers,
        .unpinned = options->unpinned,
        .connections_max = options->connections_max,
        .tables = options->tables,
        .receive_mode = options->receive_mode,
        .without = options->without,
        .servers = serve->servers,
        .server_count = count,
    };
    gy_inherited_close(&inherited);
    if (serve->next != NULL) {
        gy_serve_plan_free(serve->plan); /* with its log, whose file may have been moved away */
        serve->plan = NULL;
    }
    if (identity->given && gy_identity_assume(identity, &error) != 0) {
        return complain(&error);
    }
    if (gy_log_start(&error) != 0) {
        return complain(&error);
    }
    int code = plan->access_log != NULL ? gy_access_log_start(plan->access_log, &error) : 0;
    if (code == 0) {
        code = gy_runtime_run(&runtime, child, &error);
    }
    if (plan->access_log != NULL) {
        gy_access_log_stop(plan->access_log);
    }
    gy_log_stop();
    return code == 0 ? 0 : complain(&error);
}

/* ---- the parent ---- */

static int configure_log(const struct gy_serve_options *options, struct gy_error *error)
{
    struct gy_log_settings log = {.fd = STDERR_FILENO,
                                  .level = (enum gy_log_level)options->log_level,
                                  .json = options->log_json};
    return gy_log_configure(&log, error);
}

static int reload(struct serve *serve)
{
    struct gy_error error = {0};
    gy_notify_reloading();
    int code = next_make(serve, &error);
    if (code == 0) {
        gy_assert(serve->next != NULL);
        configure_log(&serve->next->options, NULL);
        return 0;
    }
    gy_log(GY_LOG_ERROR, "serve", "not reloaded, what is in use stays: %s", error.message);
    gy_notify_kept(error.message);
    return code;
}

/* A process serves for the first time: only now is it sure that what was opened is answered. */
static void tell_listening(struct serve *serve)
{
    struct gy_serve_place places[GY_SERVE_PLACES_MAX];
    if (serve->hooks->listening == NULL) {
        return;
    }
    gy_assert(serve->plan == NULL && serve->next != NULL);
    for (uint32_t i = 0; i < serve->place_count; i++) {
        const struct place *place = &serve->places[i];
        const struct gy_serve_server *server = &serve->next->servers[place->next];
        places[i] =
            (struct gy_serve_place){server->name, place->shown, server->secure, place->datagrams};
    }
    serve->hooks->listening(serve->hooks->context, places, serve->place_count, serve->workers);
}

static int on_event(void *context, enum gy_supervisor_event event)
{
    struct serve *serve = context;
    switch (event) {
    case GY_SUPERVISOR_REPLACING:
        return reload(serve);
    case GY_SUPERVISOR_READY:
        if (serve->plan == NULL) {
            tell_listening(serve);
        }
        next_commit(serve);
        gy_notify_ready();
        break;
    case GY_SUPERVISOR_FAILED:
        if (serve->plan != NULL && serve->next != NULL) {
            next_drop(serve);
            configure_log(&serve->plan->options, NULL);
            gy_notify_kept("the new process did not come up; the log says why");
        }
        break;
    case GY_SUPERVISOR_ENDING:
        places_close(serve);
        gy_notify_stopping();
        break;
    }
    return 0;
}

static void on_ready_alone(void *context)
{
    tell_listening(context);
    gy_notify_ready();
}

static int serve_alone(struct serve *serve)
{
    struct gy_child child;
    struct gy_error error = {0};
    const struct gy_serve_plan *plan = serve->next;
    if (gy_child_init_alone(&child, plan->options.drain_timeout_ms, &error) != 0) {
        return complain(&error);
    }
    child.on_ready = on_ready_alone;
    child.ready_context = serve;
    int status = serve_child(serve, &child);
    gy_child_close(&child);
    /* The workers closed what they served. */
    for (uint32_t i = 0; i < serve->place_count; i++) {
        free(serve->places[i].descriptors);
    }
    serve->place_count = 0;
    return status;
}

static int serve_supervised(struct serve *serve)
{
    struct gy_error error = {0};
    struct gy_supervisor_options supervisor = {
        .event = on_event,
        .drain_timeout_ms = serve->next->options.drain_timeout_ms,
    };
    int status = gy_supervisor_run(&supervisor, serve_child, serve, &error);
    return status < 0 ? complain(&error) : status;
}

static void warn_of_unused(void)
{
    for (uint32_t i = 0; i < inherited.count; i++) {
        char text[GY_ADDRESS_TEXT_BYTES];
        if (!inherited.sockets[i].used) {
            gy_address_format(&inherited.sockets[i].address, text, sizeof text);
            gy_log(GY_LOG_WARN, "serve",
                   "the service manager listens on %s, but nothing is served there", text);
        }
    }
}

/* Refused io_uring is told before anything listens. */
static int probe_ring(const struct gy_serve_options *options, struct gy_error *error)
{
    struct gy_ring *ring = NULL;
    struct gy_ring_options probe = {
        .entries = 8, .completion_entries = 16, .without = options->without};
    int code = gy_ring_open(&ring, &probe, error);
    if (code == 0) {
        gy_ring_close(ring);
    }
    return code;
}

static int run(struct serve *serve)
{
    struct gy_error error = {0};
    int code = gy_inherited_take(&inherited, &error);
    if (code != 0) {
        return complain(&error);
    }
    /* Before the sockets: the plan alone tells whether there can be a ring. */
    code = plan_make(serve, &serve->next, &serve->next_identity, &error);
    if (code != 0) {
        return complain(&error);
    }
    gy_assert(serve->next != NULL);
    code = configure_log(&serve->next->options, &error);
    if (code == 0) {
        code = probe_ring(&serve->next->options, &error);
    }
    if (code == 0) {
        code = next_make(serve, &error);
    }
    if (code != 0) {
        return complain(&error);
    }
    warn_of_unused();
    return serve->next->options.alone ? serve_alone(serve) : serve_supervised(serve);
}

int gy_serve(const struct gy_serve_hooks *hooks)
{
    sigset_t hangup;
    sigset_t former;
    signal(SIGPIPE, SIG_IGN); /* a log or a table that nobody reads any more is no reason to die */
    /* A reload that is asked for while large zones are read, or before the supervisor listens to
     * signals, is done then; its default action would end us. */
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    sigprocmask(SIG_BLOCK, &hangup, &former);
    struct serve *serve = calloc(1, sizeof *serve);
    if (serve == NULL) {
        fprintf(stderr, "gyre: out of memory\n");
        sigprocmask(SIG_SETMASK, &former, NULL);
        return 1;
    }
    serve->hooks = hooks;
    int status = run(serve);
    places_close(serve);
    gy_serve_plan_free(serve->next);
    gy_serve_plan_free(serve->plan);
    free(serve);
    sigprocmask(SIG_SETMASK, &former, NULL);
    return status;
}

uint32_t gy_serve_inherited(const char *admin, const char *addresses[], uint32_t max)
{
    static char texts[GY_INHERITED_MAX][GY_ADDRESS_TEXT_BYTES];
    struct gy_address taken;
    bool has_admin = admin != NULL && gy_address_parse(&taken, admin, NULL) == 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < inherited.count && count < max; i++) {
        const struct gy_address *address = &inherited.sockets[i].address;
        if (!inherited.sockets[i].datagrams && (!has_admin || !gy_address_equal(address, &taken))) {
            addresses[count++] = gy_address_format(address, texts[i], sizeof texts[i]);
        }
    }
    return count;
}

/* ---- one server ---- */

struct single {
    const struct gy_serve_options *options;
    struct gy_http_server *http;
};

static int make_single(void *context, struct gy_serve_plan *plan, struct gy_error *error)
{
    const struct single *single = context;
    (void)error;
    plan->options = *single->options;
    struct gy_serve_server *server = gy_serve_plan_http(plan, "http", single->http);
    server->address_count = single->options->address_count;
    memcpy(server->addresses, single->options->addresses, sizeof server->addresses);
    return 0;
}

int gy_serve_http_with(const struct gy_serve_options *options, struct gy_http_server *http,
                       const struct gy_serve_hooks *hooks)
{
    gy_assert(options->address_count > 0);
    struct single single = {options, http};
    struct gy_serve_hooks all = {0};
    if (hooks != NULL) {
        all = *hooks;
    }
    all.make = make_single;
    all.make_context = &single;
    return gy_serve(&all);
}

int gy_serve_http(const struct gy_serve_options *options, struct gy_http_server *http)
{
    return gy_serve_http_with(options, http, NULL);
}
