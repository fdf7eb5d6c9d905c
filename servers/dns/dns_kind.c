/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A `dns` block: its keys, and its zones. */

#include "servers/dns/dns_kind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "core/log.h"
#include "core/sha1.h"
#include "servers/dns/dns_limit.h"
#include "servers/dns/dns_server.h"
#include "servers/dns/dns_zone.h"

#define ZONES_MAX  100000
#define NSID_BYTES 64
#define IDLE_MAX   3600000

struct zone {
    const struct gy_config_directive *at; /* NULL: of the command line */
    const char *path;
    const struct gy_dns_zone *zone; /* once it is loaded */
    uint8_t name[GY_DNS_NAME_PADDED];
};

struct server {
    struct gy_dns_server dns;
    struct gy_dns_limit limit;
    struct gy_dns_zones zones;
    void *zones_memory;
    struct zone *list;
    uint32_t count, room;
    uint32_t workers;
    struct gy_dns_counts *counts;
};

/* Made by the process that keeps the sockets, so that cookies stay good across reloads. */
static uint8_t cookie_secret[GY_DNS_COOKIE_SECRET_BYTES];
static bool cookie_secret_made;

/* ---- zones ---- */

/* Adds one. 0, or a GY_E… code and why. */
static int add_zone(struct server *server, const char *name, size_t name_bytes, const char *path,
                    const struct gy_config_directive *at, struct gy_error *error)
{
    const char *why = "";
    if (server->count == ZONES_MAX) {
        return gy_error_set(error, GY_ELIMIT, "a server has at most %d zones", ZONES_MAX);
    }
    if (server->count == server->room) {
        uint32_t room = server->room == 0 ? 8 : server->room * 2;
        struct zone *list = realloc(server->list, room * sizeof *list);
        if (list == NULL) {
            return gy_error_set(error, GY_ENOMEM, "out of memory");
        }
        server->list = list;
        server->room = room;
    }
    struct zone *zone = &server->list[server->count];
    *zone = (struct zone){.at = at, .path = path};
    if (gy_dns_name_from_text(name, name_bytes, NULL, zone->name, &why) < 0) {
        return gy_error_set(error, GY_EINVAL, "%.*s is no name of a zone: %s", (int)name_bytes,
                            name, why);
    }
    server->count++;
    return 0;
}

static int take_zone(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct gy_error why = {0};
    const char *name = directive->values[0];
    int code = add_zone(context, name, strlen(name), directive->values[1], directive, &why);
    return code == 0 ? 0 : gy_config_error(directive, error, "%s", why.message);
}

int gy_dns_kind_flags(void *context, const struct gy_dns_flags *flags, struct gy_error *error)
{
    struct server *server = context;
    server->dns.datagrams.gro = server->dns.datagrams.gso = flags->trains;
    for (uint32_t i = 0; i < flags->zone_count; i++) {
        const char *given = flags->zones[i];
        const char *equals = strchr(given, '=');
        struct gy_error why = {0};
        if (equals == NULL || equals == given || equals[1] == '\0') {
            return gy_error_set(error, GY_EINVAL,
                                "--zone %s: write the zone's name, =, and its file: "
                                "--zone example.com=example.com.zone",
                                given);
        }
        int code = add_zone(server, given, (size_t)(equals - given), equals + 1, NULL, &why);
        if (code != 0) {
            return gy_error_set(error, code, "--zone %s: %s", given, why.message);
        }
    }
    return 0;
}

/* Says where a zone that cannot be served was asked for. */
static int blame(const struct zone *zone, int code, const char *sentence, struct gy_error *error)
{
    return zone->at != NULL ? gy_config_error(zone->at, error, "%s", sentence)
                            : gy_error_set(error, code, "%s", sentence);
}

static int load_zone(struct server *server, struct zone *zone, struct gy_error *error)
{
    struct gy_error why = {0};
    struct gy_dns_zone_facts facts;
    struct timespec before, after;
    char name[GY_DNS_NAME_TEXT_BYTES];
    clock_gettime(CLOCK_MONOTONIC, &before);
    int code = gy_dns_zone_load(&zone->zone, zone->name, zone->path, server->zones.seed, &why);
    if (code != 0) {
        return blame(zone, code, why.message, error);
    }
    gy_dns_name_to_text(zone->name, name);
    if (gy_dns_zones_add(&server->zones, zone->zone) != 0) {
        char sentence[GY_ERROR_MESSAGE_BYTES];
        snprintf(sentence, sizeof sentence, "the zone %.300s is there twice; leave one out", name);
        return blame(zone, GY_EINVAL, sentence, error);
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    gy_dns_zone_facts(zone->zone, &facts);
    int64_t ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    gy_log(GY_LOG_INFO, "dns",
           "zone %s serial %u: %llu records of %llu names in %llu bytes, read in %lld ms from %s",
           name, facts.serial, (unsigned long long)facts.records, (unsigned long long)facts.names,
           (unsigned long long)facts.bytes, (long long)ms, zone->path);
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

static const struct gy_config_key keys[] = {
    {"zone", 2, 2, GY_CONFIG_PLAIN, false, take_zone, "NAME FILE"},
    {"udp-size", 1, 1, GY_CONFIG_PLAIN, true, take_udp_size, "1232"},
    {"idle-timeout", 1, 1, GY_CONFIG_PLAIN, true, take_idle, "10s"},
    {"trains", 1, 1, GY_CONFIG_PLAIN, true, take_trains, "on or off"},
    {"nsid", 1, 1, GY_CONFIG_PLAIN, true, take_nsid, "TEXT"},
    {"rate-limit", 1, 1, GY_CONFIG_PLAIN, true, take_limit, "N"},
    {"rate-slip", 1, 1, GY_CONFIG_PLAIN, true, take_limit, "N"},
    {"rate-prefix", 2, 2, GY_CONFIG_PLAIN, true, take_limit, "24 56"},
    {"rate-exempt", 1, 16, GY_CONFIG_PLAIN, false, take_limit, "192.0.2.0/24..."},
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
    server->dns.answers.udp_bytes = GY_DNS_UDP_USUAL;
    server->dns.answers.sha1 = sha1;
    gy_dns_limit_defaults(&server->limit);
    return 0;
}

static int dns_settle(void *context, const struct gy_server_setup *setup,
                      const struct gy_config_directive *at, struct gy_error *error)
{
    const struct server *server = context;
    (void)setup;
    (void)at;
    return gy_dns_limit_settle(&server->limit, error);
}

static int dns_open(void *context, const struct gy_server_setup *setup, struct gy_error *error)
{
    struct server *server = context;
    if (server->count == 0) {
        return gy_error_set(error, GY_EINVAL, "the server %s has no zone to answer for; %s",
                            setup->name, "write zone NAME FILE; or --zone NAME=FILE");
    }
    if (!cookie_secret_made) {
        int code = random_bytes(cookie_secret, sizeof cookie_secret, error);
        if (code != 0) {
            return code;
        }
        cookie_secret_made = true;
    }
    server->workers = setup->workers;
    server->counts = setup->counts;
    return 0;
}

static int dns_prepare(void *context, struct gy_error *error)
{
    struct server *server = context;
    struct gy_dns_answer_settings *answers = &server->dns.answers;
    uint64_t seed;
    int code = random_bytes(&seed, sizeof seed, error);
    if (code != 0) {
        return code;
    }
    server->zones_memory =
        aligned_alloc(64, (gy_dns_zones_bytes(server->count) + 63) & ~(size_t)63);
    if (server->zones_memory == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing %u zones: out of memory", server->count);
    }
    gy_dns_zones_init(&server->zones, server->zones_memory, server->count, seed);
    for (uint32_t i = 0; i < server->count && code == 0; i++) {
        code = load_zone(server, &server->list[i], error);
    }
    if (code != 0) {
        return code;
    }
    code = gy_dns_limit_open(&server->limit, error);
    if (code != 0) {
        return code;
    }
    server->dns.visitors = server->limit.memory != NULL ? &server->limit.visitors : NULL;
    server->dns.slip = server->limit.slip;
    answers->zones = &server->zones;
    answers->secrets = 1;
    memcpy(answers->secret[0], cookie_secret, sizeof cookie_secret);
    code = gy_dns_server_open(&server->dns, server->workers, server->counts);
    return code == 0 ? 0 : gy_error_set(error, code, "preparing a name server: out of memory");
}

static void dns_close(void *context)
{
    struct server *server = context;
    gy_dns_server_close(&server->dns);
    gy_dns_limit_close(&server->limit);
    for (uint32_t i = 0; i < server->count; i++) {
        gy_dns_zone_free(server->list[i].zone);
    }
    free(server->list);
    free(server->zones_memory);
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
    .datagrams = dns_datagrams,
    .prepare = dns_prepare,
    .metrics = &metrics,
};
