/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A `rudp` block: its keys. */

#include "servers/rudp/rudp_kind.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/datagram.h"
#include "core/descriptor.h"
#include "core/file_check.h"
#include "core/number.h"
#include "protocols/drop/drop.h"
#include "servers/rudp/drop_service.h"
#include "servers/rudp/forward_service.h"
#include "servers/rudp/rudp_server.h"
#include "servers/rudp/rudp_tls.h"
#include "servers/tls_keys.h"

#define WINDOW_MIN (64u << 10)
#define WINDOW_MAX (1u << 30)
#define MEMORY_MAX (1u << 30)
#define IDLE_MAX   3600000
#define MS         1000000ull

/* Of a service of files. */
#define FILES_WINDOW ((uint64_t)4 << 20)
#define FILES_MEMORY ((size_t)256 << 20)
#define FILES_COPIES ((size_t)1 << 20) /* answers: hundreds of bytes each */
#define FILE_MAX     ((uint64_t)1 << 40)
#define KEEP_FREE    ((uint64_t)64 << 20)

/* Made by the process that keeps the sockets, so that a connection of a process that has ended
 * gets its reset from the next one. */
static struct gy_siphash_key door_key;
static bool door_key_made;

struct server {
    struct gy_rudp_server rudp;
    const struct gy_config_directive *service_at;
    struct gy_tls_keys tls;
    const char *tls_flag; /* --tls; NULL: not given */
    bool plaintext;
    struct gy_drop_service files;
    const struct gy_config_directive *files_at;
    bool window_said, memory_said;
    char *drop, *share; /* directories; NULL: none */
    struct gy_forward_service forward;
    char *relay; /* HOST:PORT; NULL: none */
};

/* ---- keys ---- */

static int take_service(void *context, const struct gy_config_directive *directive,
                        struct gy_error *error)
{
    struct server *server = context;
    if (strcmp(directive->values[0], "echo") != 0 && strcmp(directive->values[0], "sink") != 0) {
        return gy_config_error(directive, error, "%.64s is no service; write echo or sink",
                               directive->values[0]);
    }
    server->service_at = directive;
    server->rudp.ops = directive->values[0][0] == 'e' ? &gy_rudp_echo : &gy_rudp_sink;
    return 0;
}

/* Files and what is relayed: larger windows and more memory than messages need, unless something
 * else is said. */
static void be_service(struct server *server, const struct gy_rudp_host_ops *ops, void *context)
{
    server->rudp.ops = ops;
    server->rudp.context = context;
    server->rudp.host.copies_max = FILES_COPIES;
    if (!server->window_said) {
        server->rudp.host.config.window_bytes = FILES_WINDOW;
        server->rudp.host.config.channel_window_bytes = FILES_WINDOW;
    }
    if (!server->memory_said) {
        server->rudp.host.memory_bytes = FILES_MEMORY;
    }
}

/* Of `drop`, `share` or `relay`. */
static int take_place(struct server *server, const char *key, const char *value)
{
    char **place = key[0] == 'd' ? &server->drop : key[0] == 's' ? &server->share : &server->relay;
    char *copy = strdup(value);
    if (copy == NULL) {
        return GY_ENOMEM;
    }
    if (key[0] == 'r') {
        be_service(server, &gy_forward_service_ops, &server->forward);
    } else {
        be_service(server, &gy_drop_service_ops, &server->files);
    }
    free(*place);
    *place = copy;
    return 0;
}

/* The relay's target: "HOST:PORT", "[ADDRESS]:PORT". Waits for name servers. */
static int find_target(struct server *server, struct gy_error *error)
{
    struct gy_error why = {0};
    const char *colon = strrchr(server->relay, ':');
    char host[256];
    uint64_t port = 0;
    if (gy_address_parse(&server->forward.target, server->relay, &why) == 0 &&
        server->relay[0] != ':') {
        return 0;
    }
    if (colon == NULL || colon == server->relay || !gy_number_read(colon + 1, 1, 65535, &port) ||
        (size_t)(colon - server->relay) >= sizeof host) {
        return gy_error_set(error, GY_EINVAL, "relay %.200s: write HOST:PORT", server->relay);
    }
    snprintf(host, sizeof host, "%.*s", (int)(colon - server->relay), server->relay);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(host, NULL, &hints, &found);
    if (result != 0) {
        return gy_error_set(error, GY_EINVAL, "relay: no address for %s: %s", host,
                            gai_strerror(result));
    }
    int code = gy_address_from_sockaddr(&server->forward.target, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    gy_address_set_port(&server->forward.target, (uint16_t)port);
    return code == 0 ? 0
                     : gy_error_set(error, code, "relay: %s has no address that can be used", host);
}

static int take_files(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct server *server = context;
    uint64_t *bytes =
        directive->key[0] == 'm' ? &server->files.max_bytes : &server->files.keep_free;
    if (strcmp(directive->key, "replace") == 0) {
        return gy_config_switch(directive, 0, &server->files.replace, error);
    }
    if (strcmp(directive->key, "max-file") == 0 || strcmp(directive->key, "keep-free") == 0) {
        return gy_config_bytes(directive, 0, 0, GY_DROP_SIZE_MAX, bytes, error);
    }
    server->files_at = directive;
    return take_place(server, directive->key, directive->values[0]) == 0
               ? 0
               : gy_config_error(directive, error, "out of memory");
}

static int take_bytes(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct server *server = context;
    struct gy_rudp_config *config = &server->rudp.host.config;
    uint64_t bytes = 0;
    int code;
    if (strcmp(directive->key, "datagram") == 0) {
        code = gy_config_bytes(directive, 0, GY_RUDP_DATAGRAM_MIN, GY_RUDP_DATAGRAM_MAX, &bytes,
                               error);
        config->datagram_bytes = (uint32_t)bytes;
    } else if (strcmp(directive->key, "window") == 0) {
        code = gy_config_bytes(directive, 0, WINDOW_MIN, WINDOW_MAX, &bytes, error);
        config->window_bytes = config->channel_window_bytes = bytes;
        server->window_said = true;
    } else if (strcmp(directive->key, "max-message") == 0) {
        code = gy_config_bytes(directive, 0, 1, GY_RUDP_MESSAGE_LIMIT, &bytes, error);
        config->message_max = bytes;
    } else {
        code = gy_config_bytes(directive, 0, 1u << 20, MEMORY_MAX, &bytes, error);
        server->rudp.host.memory_bytes = (size_t)bytes;
        server->memory_said = true;
    }
    return code;
}

static int take_count(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct server *server = context;
    bool channels = strcmp(directive->key, "channels") == 0;
    uint64_t count = 0;
    int code =
        gy_config_number(directive, 0, 1, channels ? 256 : GY_RUDP_SESSIONS_MAX, &count, error);
    if (code == 0 && channels) {
        server->rudp.host.config.channels = (uint32_t)count;
    } else if (code == 0) {
        server->rudp.host.connections_max = (uint32_t)count;
    }
    return code;
}

static int take_idle(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct server *server = context;
    uint64_t ms = 0;
    int code = gy_config_time(directive, 0, IDLE_MAX, &ms, error);
    if (code == 0 && ms < 1000) {
        return gy_config_error(directive, error, "at least 1s");
    }
    server->rudp.host.config.idle_timeout_ns = ms * MS;
    return code;
}

static int take_congestion(void *context, const struct gy_config_directive *directive,
                           struct gy_error *error)
{
    struct server *server = context;
    if (strcmp(directive->values[0], "bbr") != 0 && strcmp(directive->values[0], "cubic") != 0) {
        return gy_config_error(directive, error, "%.64s is not known; write cubic or bbr",
                               directive->values[0]);
    }
    server->rudp.host.config.congestion =
        directive->values[0][0] == 'b' ? GY_RUDP_BBR : GY_RUDP_CUBIC;
    return 0;
}

static int take_fec(void *context, const struct gy_config_directive *directive,
                    struct gy_error *error)
{
    struct server *server = context;
    uint64_t packets = 0;
    int code = gy_config_number(directive, 0, 2, GY_RUDP_FEC_PACKETS_MAX, &packets, error);
    server->rudp.host.config.fec_packets = (uint32_t)packets;
    server->rudp.host.config.fec_all = true;
    return code;
}

static int take_switch(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct server *server = context;
    bool on = false;
    int code = gy_config_switch(directive, 0, &on, error);
    if (strcmp(directive->key, "steer") == 0) {
        server->rudp.host.unsteered = !on;
    } else {
        server->plaintext = on;
    }
    return code;
}

static int take_tls(void *context, const struct gy_config_directive *directive,
                    struct gy_error *error)
{
    struct server *server = context;
    return gy_tls_keys_take(&server->tls, directive, error);
}

static const struct gy_config_key keys[] = {
    {"service", 1, 1, GY_CONFIG_PLAIN, true, take_service, "echo or sink"},
    {"drop", 1, 1, GY_CONFIG_PLAIN, true, take_files, "DIRECTORY"},
    {"share", 1, 1, GY_CONFIG_PLAIN, true, take_files, "DIRECTORY"},
    {"relay", 1, 1, GY_CONFIG_PLAIN, true, take_files, "HOST:PORT"},
    {"max-file", 1, 1, GY_CONFIG_PLAIN, true, take_files, "10g"},
    {"keep-free", 1, 1, GY_CONFIG_PLAIN, true, take_files, "1g"},
    {"replace", 1, 1, GY_CONFIG_PLAIN, true, take_files, "on or off"},
    {"certificate", 1, 2, GY_CONFIG_PLAIN, false, take_tls, "FILE [KEY]"},
    {"client-certificates", 2, 2, GY_CONFIG_PLAIN, true, take_tls,
     "required or optional, and FILE with who signs them"},
    {"session-tickets", 1, 1, GY_CONFIG_PLAIN, true, take_tls, "on or off"},
    {"early-data", 1, 1, GY_CONFIG_PLAIN, true, take_tls, "on or off"},
    {"plaintext", 1, 1, GY_CONFIG_PLAIN, true, take_switch, "on"},
    {"steer", 1, 1, GY_CONFIG_PLAIN, true, take_switch, "on or off"},
    {"datagram", 1, 1, GY_CONFIG_PLAIN, true, take_bytes, "1200"},
    {"window", 1, 1, GY_CONFIG_PLAIN, true, take_bytes, "1m"},
    {"max-message", 1, 1, GY_CONFIG_PLAIN, true, take_bytes, "512k"},
    {"memory", 1, 1, GY_CONFIG_PLAIN, true, take_bytes, "64m"},
    {"channels", 1, 1, GY_CONFIG_PLAIN, true, take_count, "16"},
    {"connections", 1, 1, GY_CONFIG_PLAIN, true, take_count, "1024"},
    {"congestion", 1, 1, GY_CONFIG_PLAIN, true, take_congestion, "cubic or bbr"},
    {"fec", 1, 1, GY_CONFIG_PLAIN, true, take_fec, "5"},
    {"idle-timeout", 1, 1, GY_CONFIG_PLAIN, true, take_idle, "30s"},
};

/* ---- the kind ---- */

static int rudp_begin(void *context, void *owner)
{
    struct server *server = context;
    (void)owner;
    gy_rudp_server_init(&server->rudp, &gy_rudp_echo, NULL);
    server->files.drop = server->files.share = -1;
    server->files.max_bytes = FILE_MAX;
    server->files.keep_free = KEEP_FREE;
    return 0;
}

int gy_rudp_kind_flags(void *context, const struct gy_rudp_flags *flags, struct gy_error *error)
{
    struct server *server = context;
    (void)error;
    server->rudp.ops = flags->sink ? &gy_rudp_sink : &gy_rudp_echo;
    server->plaintext = flags->plaintext;
    server->tls_flag = flags->tls;
    if (flags->datagram_bytes != 0) {
        server->rudp.host.config.datagram_bytes = flags->datagram_bytes;
    }
    server->rudp.host.qlog = flags->qlog;
    server->rudp.host.config.fec_packets = flags->fec_packets;
    server->rudp.host.config.fec_all = true;
    if (flags->congestion != NULL && flags->congestion[0] == 'b') {
        server->rudp.host.config.congestion = GY_RUDP_BBR;
    }
    server->files.replace = flags->replace;
    server->files.max_bytes = flags->max_file != 0 ? flags->max_file : server->files.max_bytes;
    server->files.keep_free = flags->keep_free != 0 ? flags->keep_free : server->files.keep_free;
    if ((flags->relay != NULL && take_place(server, "relay", flags->relay) != 0) ||
        (flags->drop != NULL && take_place(server, "drop", flags->drop) != 0) ||
        (flags->share != NULL && take_place(server, "share", flags->share) != 0)) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    return 0;
}

static int rudp_settle(void *context, const struct gy_server_setup *setup,
                       const struct gy_config_directive *at, struct gy_error *error)
{
    const struct server *server = context;
    const struct gy_rudp_config *config = &server->rudp.host.config;
    (void)setup;
    int code = gy_tls_keys_settle(&server->tls, error);
    if (code != 0) {
        return code;
    }
    if (server->service_at == NULL && server->files_at == NULL) {
        return gy_config_error(at, error,
                               "it says nothing of what to do with messages; write service echo; "
                               "or service sink; or drop DIRECTORY; or share DIRECTORY; or relay "
                               "HOST:PORT;");
    }
    if (server->service_at != NULL && server->files_at != NULL) {
        return gy_config_error(at, error,
                               "it has a service, and is to take or give files; that "
                               "is two servers");
    }
    if (config->message_max > config->window_bytes - config->window_bytes / 4) {
        return gy_config_error(at, error,
                               "max-message is more than three quarters of the window; write a "
                               "larger window");
    }
    return 0;
}

/* Before anybody is told that it serves. */
static int check_directories(const struct server *server, struct gy_error *error)
{
    int code = gy_file_check_directory("drop", server->drop, R_OK | W_OK | X_OK, error);
    code = code == 0 ? gy_file_check_directory("share", server->share, R_OK | X_OK, error) : code;
    return code == 0 ? gy_file_check_directory("qlog", server->rudp.host.qlog, W_OK | X_OK, error)
                     : code;
}

static int rudp_open(void *context, const struct gy_server_setup *setup, struct gy_error *error)
{
    struct server *server = context;
    bool certificate = server->tls_flag != NULL || server->tls.files.pair_count > 0;
    if (server->plaintext && certificate) {
        return gy_error_set(error, GY_EINVAL,
                            "the server %s has a certificate, and is to serve without encryption; "
                            "leave one of them out",
                            setup->name);
    }
    if (!server->plaintext && !certificate) {
        return gy_error_set(
            error, GY_EINVAL,
            "the server %s has no certificate to encrypt with; give it --tls FILE, or "
            "certificate FILE; in a configuration (`gyre cert` makes one for "
            "development). On a network of your own it may do without: --plaintext, "
            "or plaintext on;",
            setup->name);
    }
    int code = check_directories(server, error);
    if (code != 0) {
        return code;
    }
    code = gy_tls_keys_open(&server->tls, server->tls_flag, GY_RUDP_ALPN, error);
    if (code != 0) {
        return code;
    }
    if (server->tls.config != NULL) {
        server->rudp.host.sealer = &gy_rudp_tls;
        server->rudp.host.sealer_context = server->tls.config;
    }
    if (server->relay != NULL && (code = find_target(server, error)) != 0) {
        return code;
    }
    if (!door_key_made && getrandom(&door_key, sizeof door_key, 0) != sizeof door_key) {
        return gy_error_set(error, GY_EIO, "asking the system for random bytes");
    }
    door_key_made = true;
    server->rudp.host.key = door_key;
    server->rudp.counts = setup->counts;
    if (setup->workers > GY_RUDP_WORKERS_MAX) {
        return gy_error_set(error, GY_EINVAL, "the server %s: at most %d workers", setup->name,
                            GY_RUDP_WORKERS_MAX);
    }
    return 0;
}

static int rudp_prepare(void *context, struct gy_error *error)
{
    struct server *server = context;
    server->rudp.host.process = (uint32_t)getpid(); /* another one than its predecessor's */
    if (server->drop != NULL && server->files.drop < 0) {
        server->files.drop = gy_file_open_directory(server->drop, error);
    }
    if (server->share != NULL && server->files.share < 0) {
        server->files.share = gy_file_open_directory(server->share, error);
    }
    return (server->drop != NULL && server->files.drop < 0) ||
                   (server->share != NULL && server->files.share < 0)
               ? error->code
               : 0;
}

static void rudp_close(void *context)
{
    struct server *server = context;
    gy_tls_keys_close(&server->tls);
    gy_descriptor_close(server->files.drop);
    gy_descriptor_close(server->files.share);
    free(server->drop);
    free(server->share);
    free(server->relay);
}

/* Rights of who serves: `open` was by the user who started the program. */
static int check_rights(const char *what, const char *path, int directory, int rights,
                        struct gy_error *error)
{
    char why[GY_FILE_WHY_BYTES];
    if (directory < 0 || faccessat(directory, ".", rights, 0) == 0) {
        return 0;
    }
    return gy_error_set(error, GY_EREFUSED, "%s %s: %s", what, path,
                        gy_file_why(why, path, rights, errno));
}

static int check_service(const struct gy_server *core, struct gy_error *error)
{
    const struct server *server = core->context;
    int code = check_rights("drop", server->drop, server->files.drop, R_OK | W_OK | X_OK, error);
    return code == 0 ? check_rights("share", server->share, server->files.share, R_OK | X_OK, error)
                     : code;
}

static int rudp_worker_open(struct gy_worker *worker, const struct gy_server *core, void **state,
                            struct gy_error *error)
{
    const struct gy_rudp_server *rudp = core->context;
    int code = check_service(core, error);
    code = code == 0 ? gy_rudp_server_worker_open(worker, core, state, error) : code;
    if (code == 0 && rudp->ops == &gy_drop_service_ops) {
        code = gy_drop_service_open(rudp->context, worker, error);
    } else if (code == 0 && rudp->ops == &gy_forward_service_ops) {
        code = gy_forward_service_open(rudp->context, worker, error);
    } else {
        return code;
    }
    if (code != 0) {
        gy_rudp_server_worker_close(worker, *state);
    }
    return code;
}

static void rudp_worker_close(struct gy_worker *worker, void *state)
{
    const struct gy_rudp_host *host = state;
    const struct gy_rudp_host_options options = host->options;
    gy_rudp_server_worker_close(worker, state);
    if (options.ops == &gy_drop_service_ops) {
        gy_drop_service_close(options.context, worker);
    } else if (options.ops == &gy_forward_service_ops) {
        gy_forward_service_close(options.context, worker);
    }
}

static const struct gy_datagram_options *rudp_datagrams(void *context)
{
    (void)context;
    return &gy_rudp_host_datagrams;
}

static const struct gy_server_metrics metrics = {
    .rows = gy_rudp_rows,
    .row_count = GY_RUDP_ROWS,
    .counts_bytes = sizeof(struct gy_rudp_counts),
};

const struct gy_server_kind gy_rudp_kind = {
    .name = "rudp",
    .server_bytes = sizeof(struct server),
    .keys = keys,
    .key_count = sizeof keys / sizeof keys[0],
    .begin = rudp_begin,
    .settle = rudp_settle,
    .open = rudp_open,
    .close = rudp_close,
    .worker_open = rudp_worker_open,
    .worker_close = rudp_worker_close,
    .datagrams = rudp_datagrams,
    .prepare = rudp_prepare,
    .metrics = &metrics,
};
