/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Secondary zones: when their primaries are asked, and what comes of it. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "protocols/dns/transfer_in.h"
#include "servers/dns/dns_keeper_internal.h"
#include "servers/dns/dns_kept.h"

#define ANSWER_MS     30000 /* between two messages of a primary */
#define BUSY_MS       100   /* until there may be room for another fetch */
#define NOTIFIED_MS   1000  /* between two times that it is asked for NOTIFY's sake */
#define FIRST_RETRY_S 1     /* of a zone that was never here; doubled each time */
#define LAST_RETRY_S  300
#define REFRESH_MAX_S 2419200             /* four weeks */
#define BYTES_MAX     ((uint64_t)4 << 30) /* of a zone while it is collected */
#define CHANGES_BYTES ((uint64_t)1 << 20) /* of differences, or as many as the zone has */
#define KEPT_SHARE    8u /* of a zone's bytes its differences on disk may have, before it is saved */
#define SECOND_MS     1000u

/* A primary being asked. */
struct fetch {
    struct secondary *secondary;
    struct gy_dial dial;
    struct gy_timer next; /* the next primary, in another turn */
    struct gy_stream *stream;
    uint32_t primary;
    uint64_t begun_ms;
    uint16_t asked; /* the type */
    bool whole;     /* its differences were of no use */
    struct gy_dns_zone_maker *maker;
    struct gy_dns_changes changes;
    struct gy_dns_transfer_in in;
    uint64_t bytes;
    uint8_t message[GY_DNS_MESSAGE_MAX];
};

static const struct gy_dns_peer *primary_of(const struct fetch *fetch)
{
    return &fetch->secondary->served->policy->primaries[fetch->primary];
}

static struct gy_worker *worker_of(const struct secondary *secondary)
{
    return secondary->keeper->worker;
}

/* ---- times ---- */

static void ask_in(struct secondary *secondary, uint64_t seconds)
{
    uint64_t at = worker_of(secondary)->now_ms + seconds * SECOND_MS;
    gy_timer_arm(&worker_of(secondary)->wheel, &secondary->due, at);
}

static uint64_t bounded(uint32_t seconds)
{
    return seconds < 1 ? 1 : seconds > REFRESH_MAX_S ? REFRESH_MAX_S : seconds;
}

/* It is as its primary has it: now, or `age_s` ago. */
static void is_right(struct secondary *secondary, uint64_t age_s)
{
    struct gy_dns_zone_facts facts;
    gy_dns_zone_facts(secondary->zone, &facts);
    uint64_t left = facts.expire > age_s ? facts.expire - age_s : 0;
    secondary->failures = 0;
    gy_timer_arm(&worker_of(secondary)->wheel, &secondary->expiry,
                 worker_of(secondary)->now_ms + left * SECOND_MS);
    ask_in(secondary, bounded(facts.refresh));
}

static void all_failed(struct secondary *secondary)
{
    struct gy_dns_zone_facts facts;
    uint32_t shift = secondary->failures < 9 ? secondary->failures : 9;
    uint64_t seconds = (uint64_t)FIRST_RETRY_S << shift;
    seconds = seconds < LAST_RETRY_S ? seconds : LAST_RETRY_S;
    secondary->failures++;
    if (!gy_dns_zone_is_absent(secondary->zone)) {
        gy_dns_zone_facts(secondary->zone, &facts);
        seconds = bounded(facts.retry);
    }
    ask_in(secondary, seconds);
}

static void put_zone(struct secondary *secondary, const struct gy_dns_zone *zone)
{
    gy_dns_zone_free(secondary->zone);
    secondary->zone = zone;
    keeper_changed(secondary->keeper);
}

static void on_expiry(struct gy_timer *timer, uint64_t now_ms)
{
    struct secondary *secondary =
        (struct secondary *)((char *)timer - offsetof(struct secondary, expiry));
    const struct gy_dns_zone *absent =
        gy_dns_zone_absent(secondary->served->name, secondary->keeper->seed);
    if (absent == NULL) {
        gy_timer_arm(&worker_of(secondary)->wheel, timer, now_ms + SECOND_MS);
        return;
    }
    gy_log(GY_LOG_ERROR, "dns",
           "zone %s is expired: no primary has answered for it; SERVFAIL until one does",
           secondary->name);
    gy_count(&secondary->keeper->counts->expired, 1);
    put_zone(secondary, absent);
}

/* ---- fetches ---- */

/* What has come so far is worth nothing. */
static void forget(struct fetch *fetch)
{
    gy_dns_transfer_in_close(&fetch->in);
    gy_dns_zone_maker_close(fetch->maker);
    gy_dns_changes_close(&fetch->changes);
    fetch->maker = NULL;
    fetch->bytes = 0;
}

static void end_fetch(struct fetch *fetch)
{
    struct secondary *secondary = fetch->secondary;
    gy_timer_disarm(&worker_of(secondary)->wheel, &fetch->next);
    forget(fetch);
    free(fetch);
    secondary->fetch = NULL;
    secondary->keeper->fetches--;
    if (secondary->again && !secondary->keeper->stopping) {
        secondary->again = false;
        secondary_notified(secondary);
    }
}

/* This primary is of no use, unless it was asked for differences alone: then it is asked for the
 * whole zone. The next one's turn comes in another turn. */
static void fail(struct fetch *fetch, const char *why)
{
    struct secondary *secondary = fetch->secondary;
    char address[GY_ADDRESS_TEXT_BYTES];
    if (secondary->keeper->stopping) {
        return; /* secondaries_close frees it */
    }
    gy_address_format(&primary_of(fetch)->address, address, sizeof address);
    if (fetch->asked == GY_DNS_TYPE_IXFR) {
        gy_log(GY_LOG_INFO, "dns",
               "zone %s: asking its primary %s for differences: %s; all of it then",
               secondary->name, address, why);
        fetch->whole = true;
    } else {
        gy_log(GY_LOG_WARN, "dns", "zone %s: asking its primary %s: %s", secondary->name, address,
               why);
        gy_count(&secondary->keeper->counts->failed, 1);
        fetch->primary++;
        fetch->whole = false;
    }
    fetch->asked = 0;
    gy_timer_arm(&worker_of(secondary)->wheel, &fetch->next, worker_of(secondary)->now_ms + 1);
}

static void dialled(struct gy_dial *dial, struct gy_stream *stream)
{
    struct fetch *fetch = dial->context;
    if (stream == NULL) {
        fail(fetch, dial->error.message);
        return;
    }
    fetch->stream = stream;
    *(struct fetch **)stream->session = fetch;
}

static void on_next(struct gy_timer *timer, uint64_t now_ms)
{
    struct fetch *fetch = (struct fetch *)((char *)timer - offsetof(struct fetch, next));
    struct secondary *secondary = fetch->secondary;
    char host[INET6_ADDRSTRLEN];
    (void)now_ms;
    if (fetch->primary == secondary->served->policy->primary_count) {
        all_failed(secondary);
        end_fetch(fetch);
        return;
    }
    const struct gy_address *address = &primary_of(fetch)->address;
    const void *bytes = address->any.sa_family == AF_INET ? (const void *)&address->v4.sin_addr
                                                          : (const void *)&address->v6.sin6_addr;
    inet_ntop(address->any.sa_family, bytes, host, sizeof host);
    forget(fetch);
    gy_dial_begin(&fetch->dial, &secondary->keeper->connector, host, gy_address_port(address),
                  dialled);
}

static void on_due(struct gy_timer *timer, uint64_t now_ms)
{
    struct secondary *secondary =
        (struct secondary *)((char *)timer - offsetof(struct secondary, due));
    struct gy_dns_keeper *keeper = secondary->keeper;
    struct fetch *fetch = keeper->fetches < GY_DNS_FETCHES_MAX ? malloc(sizeof *fetch) : NULL;
    gy_assert(secondary->fetch == NULL);
    if (fetch == NULL) {
        gy_timer_arm(&keeper->worker->wheel, timer, now_ms + BUSY_MS);
        return;
    }
    memset(fetch, 0, offsetof(struct fetch, message));
    fetch->secondary = secondary;
    fetch->dial.context = fetch;
    fetch->begun_ms = now_ms;
    secondary->fetch = fetch;
    secondary->asked_ms = now_ms;
    keeper->fetches++;
    gy_timer_init(&fetch->next, on_next);
    gy_timer_arm(&keeper->worker->wheel, &fetch->next, now_ms);
}

/* Anybody can say over UDP that it is a primary: so once a second at most. */
void secondary_notified(struct secondary *secondary)
{
    struct gy_worker *worker = worker_of(secondary);
    uint64_t soonest = secondary->asked_ms + NOTIFIED_MS;
    if (secondary->fetch != NULL) {
        secondary->again = true;
    } else {
        gy_timer_arm(&worker->wheel, &secondary->due,
                     soonest > worker->now_ms ? soonest : worker->now_ms);
    }
}

/* ---- the conversation ---- */

static int open_maker(struct fetch *fetch, struct gy_error *error)
{
    struct secondary *secondary = fetch->secondary;
    fetch->maker =
        gy_dns_zone_maker_open(secondary->served->name, secondary->keeper->seed, BYTES_MAX);
    return fetch->maker != NULL ? 0 : gy_error_set(error, GY_ENOMEM, "out of memory");
}

static int take_record(void *context, enum gy_dns_change change, const struct gy_dns_record *record,
                       struct gy_error *error)
{
    struct fetch *fetch = context;
    if (change != GY_DNS_WHOLE) {
        int code = gy_dns_changes_take(&fetch->changes, change, record);
        return code == 0 ? 0
                         : gy_error_set(error, code, "%s",
                                        code == GY_ELIMIT ? "they are larger than the zone"
                                                          : "out of memory");
    }
    int code = fetch->maker == NULL ? open_maker(fetch, error) : 0;
    return code == 0 ? gy_dns_zone_add(gy_dns_zone_maker_builder(fetch->maker), record, error)
                     : code;
}

/* Asks the primary. 0, or GY_ENOBUFS. */
static int ask(struct gy_stream *stream, struct fetch *fetch, uint16_t type)
{
    struct gy_dns_keeper *keeper = fetch->secondary->keeper;
    const struct gy_dns_key *key = primary_of(fetch)->key.key;
    uint8_t framed[2 + GY_DNS_TRANSFER_REQUEST_BYTES];
    uint16_t id = 0;
    if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id) {
        id = (uint16_t)keeper->worker->now_ns;
    }
    gy_dns_transfer_in_close(&fetch->in);
    fetch->asked = type;
    fetch->in.record = type == GY_DNS_TYPE_SOA ? NULL : take_record;
    fetch->in.context = fetch;
    size_t bytes = gy_dns_transfer_in_begin(&fetch->in, fetch->secondary->served->name, type, id,
                                            key, keeper->server->hmac, framed + 2, dns_now());
    framed[0] = (uint8_t)(bytes >> 8);
    framed[1] = (uint8_t)bytes;
    gy_stream_set_deadline(stream, keeper->worker->now_ms + ANSWER_MS);
    return gy_bump_copy(&keeper->worker->bump, &stream->out, framed, (uint32_t)bytes + 2);
}

/* What is there is right, says the primary: its file is marked as such. */
static void confirm(struct secondary *secondary)
{
    if (utimensat(AT_FDCWD, secondary->path, NULL, 0) != 0) {
        gy_log(GY_LOG_WARN, "dns", "zone %s: marking %s as up to date: %s", secondary->name,
               secondary->path, strerror(errno));
    }
    is_right(secondary, 0);
}

/* The serial is known: is there something to fetch? 1: no; 0: it is asked for; else an error. */
static int compare(struct gy_stream *stream, struct fetch *fetch, struct gy_error *error)
{
    struct secondary *secondary = fetch->secondary;
    struct gy_dns_zone_facts facts;
    uint16_t type = GY_DNS_TYPE_AXFR;
    gy_count(&secondary->keeper->counts->checks, 1);
    if (!gy_dns_zone_is_absent(secondary->zone)) {
        gy_dns_zone_facts(secondary->zone, &facts);
        if (!gy_dns_serial_newer(fetch->in.serial, facts.serial)) {
            confirm(secondary);
            return 1;
        }
        type = fetch->whole ? GY_DNS_TYPE_AXFR : GY_DNS_TYPE_IXFR;
        fetch->in.have = facts.serial;
        fetch->changes.bytes_max = facts.bytes > CHANGES_BYTES ? facts.bytes : CHANGES_BYTES;
    }
    return ask(stream, fetch, type) == 0 ? 0 : gy_error_set(error, GY_ENOMEM, "out of memory");
}

static void tell_fetched(const struct fetch *fetch, const struct gy_dns_zone *zone)
{
    const struct secondary *secondary = fetch->secondary;
    struct gy_dns_zone_facts facts;
    char address[GY_ADDRESS_TEXT_BYTES];
    gy_dns_zone_facts(zone, &facts);
    gy_address_format(&primary_of(fetch)->address, address, sizeof address);
    gy_log(GY_LOG_INFO, "dns",
           "zone %s serial %u: %llu records %sin %llu bytes fetched from %s in %llu ms",
           secondary->name, facts.serial,
           (unsigned long long)(fetch->in.incremental ? fetch->in.records : facts.records),
           fetch->in.incremental ? "of differences " : "", (unsigned long long)fetch->bytes,
           address, (unsigned long long)(secondary->keeper->worker->now_ms - fetch->begun_ms));
}

/* The zone that has come. */
static int make_zone(struct fetch *fetch, const struct gy_dns_zone **zone, struct gy_error *error)
{
    struct secondary *secondary = fetch->secondary;
    struct gy_dns_zone_facts facts;
    bool incremental = fetch->in.incremental;
    if (incremental && gy_dns_zone_is_absent(secondary->zone)) {
        return gy_error_set(error, GY_EPROTO, "the zone has expired meanwhile");
    }
    int code = incremental
                   ? gy_dns_changes_follow(&fetch->changes, secondary->zone, zone, NULL, error)
                   : gy_dns_zone_maker_finish(fetch->maker, zone, error);
    if (code != 0) {
        return code;
    }
    gy_dns_zone_facts(*zone, &facts);
    if (facts.serial != fetch->in.serial) {
        gy_dns_zone_free(*zone);
        return gy_error_set(error, GY_EPROTO, "what came makes serial %u, not %u", facts.serial,
                            fetch->in.serial);
    }
    gy_dns_journal_follow(*zone, secondary->zone, incremental ? &fetch->changes : NULL,
                          gy_dns_list_journal(secondary->keeper->list, secondary->served->policy));
    return 0;
}

/* On disk too: of a large zone the differences alone, as long as they are few beside it. */
static void keep(const struct fetch *fetch, const struct gy_dns_zone *zone)
{
    struct secondary *secondary = fetch->secondary;
    struct gy_dns_zone_facts facts;
    struct gy_error why = {0};
    gy_dns_zone_facts(zone, &facts);
    uint64_t most = facts.bytes / KEPT_SHARE;
    if (fetch->in.incremental && secondary->kept && facts.names >= GY_DNS_PATCH_NAMES &&
        secondary->kept_bytes < (most > CHANGES_BYTES ? most : CHANGES_BYTES)) {
        if (gy_dns_kept_append(&fetch->changes, secondary->path, &secondary->kept_bytes, &why) ==
            0) {
            return;
        }
        gy_log(GY_LOG_WARN, "dns", "zone %s: %s", secondary->name, why.message);
    }
    secondary->kept_bytes = 0;
    secondary->kept = gy_dns_kept_save(zone, secondary->path, &why) == 0;
    if (!secondary->kept) {
        gy_log(GY_LOG_ERROR, "dns", "zone %s: %s; a restart fetches it anew", secondary->name,
               why.message);
    }
}

/* All is there. */
static int finish(struct fetch *fetch, struct gy_error *error)
{
    struct secondary *secondary = fetch->secondary;
    const struct gy_dns_zone *zone = NULL;
    if (fetch->in.current) {
        confirm(secondary);
        return 1;
    }
    int code = make_zone(fetch, &zone, error);
    if (code != 0) {
        return code;
    }
    gy_assert(zone != NULL);
    keep(fetch, zone);
    tell_fetched(fetch, zone);
    gy_count(&secondary->keeper->counts->fetched, 1);
    gy_count(&secondary->keeper->counts->differences, fetch->in.incremental);
    put_zone(secondary, zone);
    is_right(secondary, 0);
    notes_add(secondary->keeper, secondary->served);
    return 1;
}

/* One message. 1: all is done; 0: go on; else `error`. */
static int take_message(struct gy_stream *stream, struct fetch *fetch, size_t bytes,
                        struct gy_error *error)
{
    int code = gy_dns_transfer_in_take(&fetch->in, fetch->message, bytes, dns_now(), error);
    if (code <= 0) {
        return code;
    }
    return fetch->asked == GY_DNS_TYPE_SOA ? compare(stream, fetch, error) : finish(fetch, error);
}

static uint32_t on_open(struct gy_stream *stream)
{
    struct fetch *fetch = *(struct fetch **)stream->session;
    return ask(stream, fetch, GY_DNS_TYPE_SOA) == 0 ? GY_WANT_READ : GY_WANT_CLOSE;
}

/* The stream is done with its fetch. */
static void let_go(struct gy_stream *stream, struct fetch *fetch)
{
    *(struct fetch **)stream->session = NULL;
    fetch->stream = NULL;
}

static uint32_t on_turn(struct gy_stream *stream)
{
    struct fetch *fetch = *(struct fetch **)stream->session;
    struct gy_error error = {0};
    int code = 0;
    if (fetch == NULL) {
        return GY_WANT_CLOSE;
    }
    while (code == 0 && stream->in.length >= 2) {
        uint8_t prefix[2];
        gy_chain_copy(&stream->in, 0, 2, prefix);
        uint32_t bytes = (uint32_t)prefix[0] << 8 | prefix[1];
        if (stream->in.length < bytes + 2) {
            break;
        }
        gy_chain_copy(&stream->in, 2, bytes, fetch->message);
        gy_chain_consume(&stream->in, bytes + 2);
        gy_stream_set_deadline(stream, stream->worker->now_ms + ANSWER_MS);
        fetch->bytes += bytes;
        code = take_message(stream, fetch, bytes, &error);
    }
    if (code == 0 && stream->eof) {
        code = gy_error_set(&error, GY_ECLOSED, "it ended the connection");
    }
    if (code == 0) {
        return GY_WANT_READ;
    }
    let_go(stream, fetch);
    if (code > 0) {
        end_fetch(fetch);
    } else {
        fail(fetch, error.message);
    }
    return GY_WANT_CLOSE;
}

static uint32_t on_expire(struct gy_stream *stream)
{
    struct fetch *fetch = *(struct fetch **)stream->session;
    if (fetch != NULL) {
        let_go(stream, fetch);
        fail(fetch, "it is silent");
    }
    return GY_WANT_CLOSE;
}

static uint32_t on_drain(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE;
}

static void on_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    struct fetch *fetch = *(struct fetch **)stream->session;
    if (fetch != NULL) {
        let_go(stream, fetch);
        fail(fetch, gy_close_reason_text(reason));
    }
}

const struct gy_stream_ops secondary_ops = {on_open, on_turn, on_expire, on_drain, on_closed};

/* ---- all of them ---- */

int secondaries_open(struct gy_dns_keeper *keeper)
{
    const struct gy_dns_list *list = keeper->list;
    keeper->secondaries = calloc(list->count, sizeof *keeper->secondaries);
    if (keeper->secondaries == NULL) {
        return GY_ENOMEM;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        const struct gy_dns_listed *zone = &list->zones[i];
        if (!zone->secondary) {
            continue;
        }
        struct secondary *secondary = &keeper->secondaries[keeper->secondary_count++];
        secondary->keeper = keeper;
        secondary->served = gy_dns_catalog_find(&list->catalog, zone->name);
        secondary->path = zone->path;
        secondary->zone = gy_dns_zone_keep(zone->zone);
        secondary->kept = !gy_dns_zone_is_absent(zone->zone);
        gy_dns_name_to_text(zone->name, secondary->name);
        keeper->by_place[keeper_place(keeper, secondary->served)] = secondary;
    }
    return 0;
}

bool secondaries_reread(struct gy_dns_keeper *keeper)
{
    bool changed = false;
    for (uint32_t i = 0; i < keeper->secondary_count; i++) {
        struct secondary *secondary = &keeper->secondaries[i];
        const struct gy_dns_zone *zone;
        struct gy_error error = {0};
        if (!gy_dns_zone_is_absent(secondary->zone) && !gy_dns_zone_unchanged(secondary->zone) &&
            gy_dns_kept_load(&zone, secondary->served->name, secondary->path, keeper->seed,
                             gy_dns_list_journal(keeper->list, secondary->served->policy),
                             &error) == 0) {
            gy_dns_zone_free(secondary->zone);
            secondary->zone = zone;
            changed = true;
        }
    }
    return changed;
}

/* What was kept is served already; each is asked for at once. */
void secondaries_begin(struct gy_dns_keeper *keeper)
{
    for (uint32_t i = 0; i < keeper->secondary_count; i++) {
        struct secondary *secondary = &keeper->secondaries[i];
        struct stat status;
        gy_timer_init(&secondary->due, on_due);
        gy_timer_init(&secondary->expiry, on_expiry);
        if (!gy_dns_zone_is_absent(secondary->zone)) {
            time_t now = time(NULL);
            bool known = stat(secondary->path, &status) == 0 && status.st_mtim.tv_sec <= now;
            is_right(secondary, known ? (uint64_t)(now - status.st_mtim.tv_sec) : 0);
        }
        ask_in(secondary, 0);
    }
}

void secondaries_stop(struct gy_dns_keeper *keeper)
{
    for (uint32_t i = 0; i < keeper->secondary_count; i++) {
        struct fetch *fetch = keeper->secondaries[i].fetch;
        if (fetch != NULL && fetch->stream == NULL) {
            gy_dial_cancel(&fetch->dial);
        }
    }
}

void secondaries_close(struct gy_dns_keeper *keeper)
{
    for (uint32_t i = 0; i < keeper->secondary_count; i++) {
        struct secondary *secondary = &keeper->secondaries[i];
        if (secondary->fetch != NULL) {
            forget(secondary->fetch);
            free(secondary->fetch);
        }
        gy_dns_zone_free(secondary->zone);
    }
    free(keeper->secondaries);
}
