/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/address.h"
#include "core/log.h"
#include "servers/http/http_server.h"

#define WORKERS_MAX 1024

const char gy_serve_flags_help[] =
    "  --listen ADDR:PORT      where to listen; may be repeated (:PORT is every address)\n"
    "  --workers N             worker threads (default: one per processor)\n"
    "  --connections N         connections per worker (default: as open files allow)\n"
    "  --drain-timeout SECONDS how long a drain may take (default: 10)\n"
    "  --log-level LEVEL       error, warn, info or debug (default: info)\n"
    "  --log-json              log JSON lines\n"
    "  --no-supervisor         one process, not restarted when it dies (for debuggers)\n"
    "  --unpinned              leave it to the kernel which processor a worker runs on\n"
    "  --receive-mode MODE     one-shot, multishot, incremental or bundle (default: the best that "
    "works)\n"
    "  --without FEATURE,...   do without ring features, as `gyre doctor` names them\n";

struct gy_serve_options gy_serve_defaults(void)
{
    return (struct gy_serve_options){
        .receive_mode = GY_RECEIVE_CHOOSE,
        .drain_timeout_ms = 10000,
        .log_level = GY_LOG_INFO,
    };
}

/* ---- flags ---- */

static int read_number(const char *name, const char *value, uint32_t max, uint32_t *number,
                       struct gy_error *error)
{
    char *end = NULL;
    errno = 0;
    unsigned long parsed = strtoul(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || value[0] == '-' || parsed > max) {
        return gy_error_set(error, GY_EINVAL, "--%s %s: not a number from 0 to %u", name, value,
                            max);
    }
    *number = (uint32_t)parsed;
    return 1;
}

static int read_without(const char *value, uint32_t *without, struct gy_error *error)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } features[] = {
#define SERVE_FEATURE(name, bit, since, instead) {#name, GY_RING_##name},
        GY_RING_FEATURES(SERVE_FEATURE)
#undef SERVE_FEATURE
    };
    while (*value != '\0') {
        size_t length = strcspn(value, ",");
        size_t i = 0;
        while (i < sizeof features / sizeof features[0] &&
               (strlen(features[i].name) != length ||
                strncasecmp(features[i].name, value, length) != 0)) {
            i++;
        }
        if (i == sizeof features / sizeof features[0]) {
            return gy_error_set(error, GY_EINVAL,
                                "--without %.*s: no such feature; `gyre doctor` lists them",
                                (int)length, value);
        }
        *without |= features[i].bit;
        value += length + (value[length] == ',');
    }
    return 1;
}

static int read_valued(struct gy_serve_options *options, const char *name, const char *value,
                       struct gy_error *error)
{
    if (strcmp(name, "listen") == 0) {
        struct gy_address address;
        if (options->address_count == GY_SERVE_ADDRESSES_MAX) {
            return gy_error_set(error, GY_EINVAL, "--listen %s: at most %d addresses", value,
                                GY_SERVE_ADDRESSES_MAX);
        }
        options->addresses[options->address_count++] = value;
        int code = gy_address_parse(&address, value, error);
        return code == 0 ? 1 : code;
    }
    if (strcmp(name, "workers") == 0) {
        return read_number(name, value, WORKERS_MAX, &options->workers, error);
    }
    if (strcmp(name, "connections") == 0) {
        return read_number(name, value, 1u << 20, &options->connections_max, error);
    }
    if (strcmp(name, "drain-timeout") == 0) {
        int code = read_number(name, value, 86400, &options->drain_timeout_ms, error);
        options->drain_timeout_ms *= 1000;
        return code;
    }
    if (strcmp(name, "receive-mode") == 0) {
        enum gy_receive_mode mode;
        if (gy_receive_mode_parse(value, &mode) != 0) {
            return gy_error_set(
                error, GY_EINVAL,
                "--receive-mode %s: not one of one-shot, multishot, incremental, bundle", value);
        }
        options->receive_mode = (int)mode;
        return 1;
    }
    if (strcmp(name, "without") == 0) {
        return read_without(value, &options->without, error);
    }
    enum gy_log_level level;
    if (gy_log_level_parse(value, &level) != 0) {
        return gy_error_set(error, GY_EINVAL, "--log-level %s: not one of error, warn, info, debug",
                            value);
    }
    options->log_level = (int)level;
    return 1;
}

int gy_serve_flag(struct gy_serve_options *options, const char *name, const char *value,
                  struct gy_error *error)
{
    static const char *const valued[] = {"listen",       "workers", "connections", "drain-timeout",
                                         "receive-mode", "without", "log-level"};
    for (size_t i = 0; i < sizeof valued / sizeof valued[0]; i++) {
        if (strcmp(name, valued[i]) == 0) {
            if (value == NULL) {
                return gy_error_set(error, GY_EINVAL, "--%s needs a value", name);
            }
            return read_valued(options, name, value, error);
        }
    }
    if (strcmp(name, "unpinned") == 0) {
        options->unpinned = true;
    } else if (strcmp(name, "no-supervisor") == 0) {
        options->alone = true;
    } else if (strcmp(name, "log-json") == 0) {
        options->log_json = true;
    } else {
        return 0;
    }
    return 2;
}

/* ---- serving ---- */

struct serve {
    const struct gy_serve_options *options;
    struct gy_http_server *http;
    uint32_t workers;
    int *descriptors; /* address by address, one for each worker */
    struct gy_server servers[GY_SERVE_ADDRESSES_MAX];
    char names[GY_SERVE_ADDRESSES_MAX][GY_ADDRESS_TEXT_BYTES]; /* with the port that stands for 0 */
};

static int complain(const struct gy_error *error)
{
    fprintf(stderr, "gyre: %s\n", error->message);
    return 1;
}

static int open_listeners(struct serve *serve, struct gy_error *error)
{
    const struct gy_serve_options *options = serve->options;
    for (uint32_t i = 0; i < options->address_count; i++) {
        struct gy_address address;
        int *descriptors = serve->descriptors + (size_t)i * serve->workers;
        int code = gy_address_parse(&address, options->addresses[i], error);
        if (code == 0) {
            code = gy_address_listen(&address, serve->workers, descriptors, NULL, error);
        }
        if (code != 0) {
            return code;
        }
        if (gy_address_of_socket(&address, descriptors[0]) == 0) {
            gy_address_format(&address, serve->names[i], sizeof serve->names[i]);
        }
        gy_http_server_init(&serve->servers[i], serve->http, descriptors);
    }
    return 0;
}

/* In the serving process. */
static int serve_child(void *context, struct gy_child *child)
{
    struct serve *serve = context;
    const struct gy_serve_options *options = serve->options;
    struct gy_error error = {0};
    struct gy_runtime_options runtime = {
        .workers = serve->workers,
        .unpinned = options->unpinned,
        .connections_max = options->connections_max,
        .receive_mode = options->receive_mode,
        .without = options->without,
        .servers = serve->servers,
        .server_count = options->address_count,
    };
    if (gy_log_start(&error) != 0) {
        return complain(&error);
    }
    int code = gy_runtime_run(&runtime, child, &error);
    gy_log_stop();
    return code == 0 ? 0 : complain(&error);
}

static int serve_alone(struct serve *serve)
{
    struct gy_child child;
    struct gy_error error = {0};
    if (gy_child_init_alone(&child, serve->options->drain_timeout_ms, &error) != 0) {
        return complain(&error);
    }
    int status = serve_child(serve, &child);
    gy_child_close(&child);
    return status;
}

static int serve_supervised(struct serve *serve)
{
    struct gy_error error = {0};
    struct gy_supervisor_options supervisor = {
        .listen_fds = serve->descriptors,
        .listen_fd_count = serve->options->address_count * serve->workers,
        .drain_timeout_ms = serve->options->drain_timeout_ms,
    };
    int status = gy_supervisor_run(&supervisor, serve_child, serve, &error);
    return status < 0 ? complain(&error) : status;
}

static int run(struct serve *serve, const struct gy_serve_hooks *hooks)
{
    struct gy_error error = {0};
    const struct gy_serve_options *options = serve->options;
    serve->descriptors = calloc((size_t)options->address_count * serve->workers, sizeof(int));
    if (serve->descriptors == NULL) {
        fprintf(stderr, "gyre: out of memory\n");
        return 1;
    }
    if (open_listeners(serve, &error) != 0) {
        free(serve->descriptors);
        return complain(&error);
    }
    const char *names[GY_SERVE_ADDRESSES_MAX];
    for (uint32_t i = 0; i < options->address_count; i++) {
        names[i] = serve->names[i];
    }
    if (hooks != NULL && hooks->listening != NULL) {
        hooks->listening(hooks->context, names, options->address_count, serve->workers);
    }
    int status = options->alone ? serve_alone(serve) : serve_supervised(serve);
    free(serve->descriptors);
    return status;
}

int gy_serve_http_with(const struct gy_serve_options *options, struct gy_http_server *http,
                       const struct gy_serve_hooks *hooks)
{
    gy_assert(options->address_count > 0);
    struct gy_error error = {0};
    signal(SIGPIPE, SIG_IGN); /* a log or a table that nobody reads any more is no reason to die */
    struct gy_log_settings log = {.fd = STDERR_FILENO,
                                  .level = (enum gy_log_level)options->log_level,
                                  .json = options->log_json};
    if (gy_log_configure(&log, &error) != 0) {
        return complain(&error);
    }
    /* Refused io_uring is told before anything listens. */
    struct gy_ring *ring = NULL;
    struct gy_ring_options probe = {
        .entries = 8, .completion_entries = 16, .without = options->without};
    if (gy_ring_open(&ring, &probe, &error) != 0) {
        return complain(&error);
    }
    gy_ring_close(ring);
    struct serve *serve = calloc(1, sizeof *serve);
    if (serve == NULL) {
        fprintf(stderr, "gyre: out of memory\n");
        return 1;
    }
    serve->options = options;
    serve->http = http;
    serve->workers = gy_runtime_workers(options->workers);
    int status = run(serve, hooks);
    free(serve);
    return status;
}

int gy_serve_http(const struct gy_serve_options *options, struct gy_http_server *http)
{
    return gy_serve_http_with(options, http, NULL);
}
