/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A `dns` block: its keys, and its zones. */

#include "servers/dns/dns_kind.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/log.h"
#include "core/sha1.h"
#include "servers/dns/dns_hmac.h"
#include "servers/dns/dns_keeper.h"
#include "servers/dns/dns_limit.h"
#include "servers/dns/dns_list.h"
#include "servers/dns/dns_server.h"
#include "servers/http/access_log.h"
#include "servers/tls_keys.h"

#define NSID_BYTES      64
#define IDLE_MAX        3600000
#define TRANSFERS_MAX   1024
#define CONNECTIONS_MAX 1000000
#define JOURNAL_BYTES   ((uint64_t)16 << 20)
#define JOURNAL_MAX     ((uint64_t)4 << 30)
#define TCP_ENTRIES     65536

struct server {
    struct gy_dns_server dns;
    struct gy_dns_limit limit;
    struct gy_tls_keys tls;
    const char *tls_flag; /* --tls; NULL: not given */
    struct gy_dns_list list;
    struct gy_dns_set *set;
    struct gy_dns_keeper *keeper;
    struct gy_visitors_options tcp; /* connections_max 0: no limit */
    struct gy_visitors tcp_visitors;
    void *tcp_memory;
    const char *query_log; /* file; NULL: none */
    pthread_mutex_t lock;  /* of the next one */
    uint32_t joined;       /* listeners of workers */
    uint32_t workers;
    struct gy_dns_counts *counts;
};

/* Made by the process that keeps the sockets, so that cookies stay good across reloads. */
static uint8_t cookie_secret[GY_DNS_COOKIE_SECRET_BYTES];
static bool cookie_secret_made;

/* Of the hash of names: of all zones that this process reads (zone.h). */
static uint64_t zone_seed;

int gy_dns_kind_flags(void *context, const struct gy_dns_flags *flags, struct gy_error *error)
{
    struct server *server = context;
    server->dns.datagrams.gro = server->dns.datagrams.gso = flags->trains;
    server->tls_flag = flags->tls;
    for (uint32_t i = 0; i < flags->zone_count; i++) {
        const char *given = flags->zones[i];
        const char *equals = strchr(given, '=');
        struct gy_error why = {0};
        gy_assert(equals != NULL); /* as the command has seen */
        int code =
            gy_dns_list_add(&server->list, given, (size_t)(equals - given), equals + 1, NULL, &why);
        if (code != 0) {
            return gy_error_set(error, code, "--zone %s: %s", given, why.message);
        }
    }
    return 0;
}

/* ---- keys ---- */

static int take_udp_size(void *context, const struct gy_config_directive *directive,
                         struct gy_error *error)
{
    struct server *server = context;
    uint64_t bytes = 0;
    int code = gy_config_bytes(directive, 0, GY_DNS_UDP_MIN, GY_DNS_SERVER_UDP_MAX, &bytes, error);
    if (code == 0) {
        server->dns.answers.udp_bytes = (uint16_t)bytes;
    }
    return code;
}

static int take_idle(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct server *server = context;
    uint64_t ms = 0;
    int code = gy_config_time(directive, 0, IDLE_MAX, &ms, error);
    if (code == 0 && ms < 100) {
        return gy_config_error(directive, error, "at least 100ms");
    }
    if (code == 0) {
        server->dns.idle_ms = (uint32_t)ms;
    }
    return code;
}

static int take_trains(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct server *server = context;
    bool on = false;
    int code = gy_config_switch(directive, 0, &on, error);
    server->dns.datagrams.gro = server->dns.datagrams.gso = on;
    return code;
}

static int take_nsid(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct server *server = context;
    size_t bytes = strlen(directive->values[0]);
    if (bytes == 0 || bytes > NSID_BYTES) {
        return gy_config_error(directive, error, "from 1 to %d bytes", NSID_BYTES);
    }
    server->dns.answers.nsid = (const uint8_t *)directive->values[0];
    server->dns.answers.nsid_bytes = (uint8_t)bytes;
    return 0;
}

static int take_limit(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct server *server = context;
    return gy_dns_limit_take(&server->limit, directive, error);
}

static int take_tls(void *context, const struct gy_config_directive *directive,
                    struct gy_error *error)
{
    struct server *server = context;
    return gy_tls_keys_take(&server->tls, directive, error);
}

static int take_list(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct server *server = context;
    return gy_dns_list_take(&server->list, directive, error);
}

/* Connections of one address. */
static int take_connections(void *context, const struct gy_config_directive *directive,
                            struct gy_error *error)
{
    struct server *server = context;
    uint64_t number = 0;
    int code = gy_config_number(directive, 0, 1, CONNECTIONS_MAX, &number, error);
    server->tcp.connections_max = (uint32_t)number;
    return code;
}

static int take_transfers(void *context, const struct gy_config_directive *directive,
                          struct gy_error *error)
{
    struct server *server = context;
    uint64_t number = 0;
    int code = gy_config_number(directive, 0, 1, TRANSFERS_MAX, &number, error);
    server->dns.transfers_max = (uint32_t)number;
    return code;
}

static int take_journal(void *context, const struct gy_config_directive *directive,
                        struct gy_error *error)
{
    struct server *server = context;
    return gy_config_bytes(directive, 0, 0, JOURNAL_MAX, &server->list.journal_bytes, error);
}

static int take_query_log(void *context, const struct gy_config_directive *directive,
                          struct gy_error *error)
{
    struct server *server = context;
    (void)error;
    server->query_log = directive->values[0];
    return 0;
}

static const struct gy_config_key keys[] = {
    {"zone", 2, 2, GY_CONFIG_EITHER, false, take_list, "NAME FILE"},
    {"zones", 1, 1, GY_CONFIG_EITHER, false, take_list, "FOLDER"},
    {"secondary", 2, 2, GY_CONFIG_BLOCK, false, take_list, "NAME FILE"},
    {"key", 3, 3, GY_CONFIG_PLAIN, false, take_list, "NAME ALGORITHM FILE"},
    {"allow-transfer", 1, GY_CONFIG_VALUES_MAX, GY_CONFIG_PLAIN, false, take_list,
     "192.0.2.0/24... [key NAME]"},
    {"notify", 1, 3, GY_CONFIG_PLAIN, false, take_list, "ADDRESS [key NAME]"},
    {"journal", 1, 1, GY_CONFIG_PLAIN, true, take_journal, "16m"},
    {"transfers", 1, 1, GY_CONFIG_PLAIN, true, take_transfers, "N"},
    {"connections-per-address", 1, 1, GY_CONFIG_PLAIN, true, take_connections, "N"},
    {"query-log", 1, 1, GY_CONFIG_PLAIN, true, take_query_log, "FILE"},
    {"udp-size", 1, 1, GY_CONFIG_PLAIN, true, take_udp_size, "1232"},
    {"idle-timeout", 1, 1, GY_CONFIG_PLAIN, true, take_idle, "10s"},
    {"trains", 1, 1, GY_CONFIG_PLAIN, true, take_trains, "on or off"},
    {"nsid", 1, 1, GY_CONFIG_PLAIN, true, take_nsid, "TEXT"},
    {"rate-limit", 1, 1, GY_CONFIG_PLAIN, true, take_limit, "N"},
    {"rate-slip", 1, 1, GY_CONFIG_PLAIN, true, take_limit, "N"},
    {"rate-prefix", 2, 2, GY_CONFIG_PLAIN, true, take_limit, "24 56"},
    {"rate-exempt", 1, 16, GY_CONFIG_PLAIN, false, take_limit, "192.0.2.0/24..."},
    {"certificate", 1, 2, GY_CONFIG_PLAIN, false, take_tls, "FILE [KEY]"},
    {"client-certificates", 2, 2, GY_CONFIG_PLAIN, true, take_tls,
     "required or optional, AUTHORITIES"},
    {"session-tickets", 1, 1, GY_CONFIG_PLAIN, true, take_tls, "on or off"},
    {"stapling-file", 1, 1, GY_CONFIG_PLAIN, false, take_tls, "FILE"},
};

/* ---- the kind ---- */

static int random_bytes(void *target, size_t bytes, struct gy_error *error)
{
    if (getrandom(target, bytes, 0) != (ssize_t)bytes) {
        return gy_error_set(error, GY_EIO, "asking the system for random bytes: %s",
                            strerror(errno));
    }
    return 0;
}

/* Of NSEC3. */
static void sha1(void *context, const void *data, size_t bytes, uint8_t digest[20])
{
    (void)context;
    gy_sha1(data, bytes, digest);
}

static int dns_begin(void *context, void *owner)
{
    struct server *server = context;
    (void)owner;
    pthread_mutex_init(&server->lock, NULL);
    server->dns.answers.udp_bytes = GY_DNS_UDP_USUAL;
    server->dns.answers.sha1 = sha1;
    server->list.journal_bytes = JOURNAL_BYTES;
    gy_dns_limit_defaults(&server->limit);
    server->tcp =
        (struct gy_visitors_options){.entries = TCP_ENTRIES, .v4_bits = 32, .v6_bits = 64};
    return 0;
}

static int dns_settle(void *context, const struct gy_server_setup *setup,
                      const struct gy_config_directive *at, struct gy_error *error)
{
    struct server *server = context;
    bool certificate = server->tls.files.pair_count > 0;
    int code = gy_tls_keys_settle(&server->tls, error);
    if (code == 0 && certificate != (setup->tls_address_count > 0)) {
        code = gy_config_error(certificate ? server->tls.at : at, error,
                               "DNS over TLS needs both a certificate and an address of its own; "
                               "write %s;",
                               certificate ? "listen-tls ADDRESS:853" : "certificate FILE");
    }
    code = code == 0 ? gy_dns_limit_settle(&server->limit, error) : code;
    return code == 0 ? gy_dns_list_settle(&server->list, error) : code;
}

static int dns_open(void *context, const struct gy_server_setup *setup, struct gy_error *error)
{
    struct server *server = context;
    if (server->list.count == 0) {
        return gy_error_set(error, GY_EINVAL, "the server %s has no zone to answer for; %s",
                            setup->name,
                            "write zone NAME FILE; or zones FOLDER; or --zone NAME=FILE");
    }
    if (!cookie_secret_made) {
        int code = random_bytes(cookie_secret, sizeof cookie_secret, error);
        code = code == 0 ? random_bytes(&zone_seed, sizeof zone_seed, error) : code;
        if (code != 0) {
            return code;
        }
        cookie_secret_made = true;
    }
    server->workers = setup->workers;
    server->counts = setup->counts;
    int code = gy_tls_keys_open(&server->tls, server->tls_flag, "dot", error);
    if (code != 0) {
        return code;
    }
    struct gy_access_options log = {
        .path = server->query_log, .format = GY_ACCESS_JSON, .workers = setup->workers};
    return log.path != NULL ? gy_access_log_open(&server->dns.query_log, &log, error) : 0;
}

static int dns_load(void *context, struct gy_error *error)
{
    struct server *server = context;
    return gy_dns_list_load(&server->list, zone_seed, error);
}

/* The table of addresses with connections, if there is a limit. */
static int open_connections(struct server *server, struct gy_error *error)
{
    struct gy_visitors_options *options = &server->tcp;
    if (options->connections_max == 0) {
        return 0;
    }
    int code = random_bytes(&options->key, sizeof options->key, error);
    if (code != 0) {
        return code;
    }
    size_t bytes = (gy_visitors_bytes(options->entries) + 63) & ~(size_t)63;
    server->tcp_memory = aligned_alloc(64, bytes);
    if (server->tcp_memory == NULL) {
        return gy_error_set(error, GY_ENOMEM, "no memory for a table of %u addresses",
                            options->entries);
    }
    memset(server->tcp_memory, 0, bytes);
    gy_visitors_init(&server->tcp_visitors, options, server->tcp_memory);
    server->dns.tcp_visitors = &server->tcp_visitors;
    return 0;
}

static int dns_prepare(void *context, struct gy_error *error)
{
    struct server *server = context;
    struct gy_dns_answer_settings *answers = &server->dns.answers;
    int code = gy_dns_list_prepare(&server->list, zone_seed, &server->set, error);
    code = code == 0 ? gy_dns_limit_open(&server->limit, error) : code;
    code = code == 0 ? open_connections(server, error) : code;
    if (code != 0) {
        return code;
    }
    server->dns.visitors = server->limit.memory != NULL ? &server->limit.visitors : NULL;
    server->dns.slip = server->limit.slip;
    server->dns.set = server->set;
    server->dns.catalog = &server->list.catalog;
    server->dns.keys = &server->list.keys;
    server->dns.hmac = &gy_dns_hmac_wolfcrypt;
    uint32_t idle_ms = server->dns.idle_ms != 0 ? server->dns.idle_ms : GY_DNS_SERVER_IDLE_MS;
    answers->keepalive = (uint16_t)(idle_ms / 100); /* RFC 7828 §3.1: a tenth of a second */
    answers->secrets = 1;
    memcpy(answers->secret[0], cookie_secret, sizeof cookie_secret);
    code = gy_dns_server_open(&server->dns, server->workers, server->counts);
    if (code == 0 && gy_dns_list_needs_keeper(&server->list)) {
        code = gy_dns_keeper_make(&server->keeper, &server->dns, &server->list);
        server->dns.keeper = server->keeper;
    }
    return code == 0 ? 0 : gy_error_set(error, code, "preparing a name server: out of memory");
}

static void dns_close(void *context)
{
    struct server *server = context;
    /* The keeper's set is the newest; without one it is the first. */
    if (server->keeper != NULL) {
        gy_dns_keeper_free(server->keeper);
    } else {
        gy_dns_set_free(server->set);
    }
    gy_dns_server_close(&server->dns);
    gy_dns_limit_close(&server->limit);
    gy_tls_keys_close(&server->tls);
    gy_access_log_close(server->dns.query_log);
    pthread_mutex_destroy(&server->lock);
    free(server->tcp_memory);
    gy_dns_list_close(&server->list);
}

static int dns_worker_open(struct gy_worker *worker, const struct gy_server *core, void **state,
                           struct gy_error *error)
{
    struct server *server = core->context;
    struct gy_access_log *log = server->dns.query_log;
    int code = 0;
    *state = core->context;
    pthread_mutex_lock(&server->lock);
    if (server->joined++ == 0 && log != NULL) {
        code = gy_access_log_start(log, error);
    }
    pthread_mutex_unlock(&server->lock);
    return code == 0 && server->keeper != NULL ? gy_dns_keeper_join(server->keeper, worker, error)
                                               : code;
}

static void dns_worker_close(struct gy_worker *worker, void *state)
{
    struct server *server = state;
    if (server->keeper != NULL) {
        gy_dns_keeper_leave(server->keeper, worker);
    }
    pthread_mutex_lock(&server->lock);
    if (--server->joined == 0 && server->dns.query_log != NULL) {
        gy_access_log_stop(server->dns.query_log);
    }
    pthread_mutex_unlock(&server->lock);
}

static void dns_fill_tls(void *context, struct gy_server *core)
{
    const struct server *server = context;
    gy_assert(server->tls.config != NULL);
    core->layer = &gy_tls_layer;
    core->layer_context = server->tls.config;
}

static const struct gy_datagram_options *dns_datagrams(void *context)
{
    struct server *server = context;
    gy_dns_server_datagrams(&server->dns);
    return &server->dns.datagrams;
}

static const struct gy_server_metrics metrics = {
    .rows = gy_dns_rows,
    .row_count = GY_DNS_ROWS,
    .counts_bytes = sizeof(struct gy_dns_counts),
};

const struct gy_server_kind gy_dns_kind = {
    .name = "dns",
    .server_bytes = sizeof(struct server),
    .keys = keys,
    .key_count = sizeof keys / sizeof keys[0],
    .begin = dns_begin,
    .settle = dns_settle,
    .open = dns_open,
    .close = dns_close,
    .ops = &gy_dns_stream_ops,
    .session_bytes = GY_DNS_SESSION_BYTES,
    .worker_open = dns_worker_open,
    .worker_close = dns_worker_close,
    .load = dns_load,
    .datagrams = dns_datagrams,
    .fill_tls = dns_fill_tls,
    .prepare = dns_prepare,
    .metrics = &metrics,
};
