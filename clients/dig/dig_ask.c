/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Asking: one exchange after the other, each waited for. */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/dig/dig.h"

#define TURN_MS  200u
#define DIG_NEXT (-1) /* no such name, and another one is to be tried */

/* ---- one exchange ---- */

/* Whether it answers what was asked; else it is told. */
static bool is_reply(const struct gy_dig *dig, const uint8_t *bytes, size_t length)
{
    const struct gy_dig_query *query = dig->query;
    bool loud = query->options.show_comments && !query->options.json;
    struct gy_dns_message message;
    struct gy_dns_record record;
    if (gy_dns_message_open(&message, bytes, length) != 0) {
        return false;
    }
    if (message.header.id != dig->id || (message.header.flags & GY_DNS_FLAG_QR) == 0) {
        if (loud) {
            printf(";; Warning: ID mismatch: expected ID %u, got %u\n", dig->id, message.header.id);
        }
        return false;
    }
    if (message.header.count[GY_DNS_QUESTION] == 0) {
        return true; /* of those that could not read it, and behind the first of a transfer */
    }
    if (gy_dns_message_next(&message, &record) <= 0 || record.type != query->type ||
        record.class != query->class || !gy_dns_name_equal(record.owner, query->name)) {
        if (loud) {
            printf(";; Warning: the question is not the one that was asked\n");
        }
        return false;
    }
    return true;
}

/* What cannot be verified is shown, and said to be so; of a transfer nothing more is taken. */
static void check_signature(struct gy_dig *dig, const uint8_t *message, size_t bytes)
{
    char code[GY_DNS_MNEMONIC_BYTES];
    uint16_t error;
    dig->signature = gy_dns_tsig_check_answer(&dig->tsig, message, bytes, (uint64_t)time(NULL));
    if (dig->signature < 0 && !dig->query->options.json) {
        error = dig->tsig.error;
        printf(";; Couldn't verify signature: %s\n", error == GY_DNS_RCODE_BADSIG ? "BADSIG"
                                                     : error != 0 ? gy_dns_rcode_text(error, code)
                                                     : dig->signature == GY_ETIMEOUT
                                                         ? "the clocks differ"
                                                         : "it is wrong, or missing");
    }
}

static void on_received(struct gy_dns_exchange *exchange, const uint8_t *message, size_t bytes)
{
    struct gy_dig *dig = exchange->context;
    if (dig->state != DIG_WAITS || !is_reply(dig, message, bytes)) {
        return;
    }
    dig->took_ns = dig->worker.now_ns - dig->began_ns;
    if (dig->command->keyed) {
        check_signature(dig, message, bytes);
    }
    if (dig->transferred != NULL && !dig->transferred(dig, message, bytes)) {
        return;
    }
    memcpy(dig->reply, message, bytes);
    dig->reply_bytes = bytes;
    dig->state = DIG_HAS_REPLY;
    gy_dns_exchange_end(exchange);
}

static void on_failed(struct gy_dns_exchange *exchange, const char *why)
{
    struct gy_dig *dig = exchange->context;
    dig->state = DIG_FAILED;
    snprintf(dig->why, sizeof dig->why, "%s", why);
}

static bool turn(struct gy_dig *dig, uint64_t until_ms)
{
    uint64_t left_ms = until_ms > dig->worker.now_ms ? until_ms - dig->worker.now_ms : 0;
    uint64_t wait_ms = left_ms < TURN_MS ? left_ms : TURN_MS;
    return gy_worker_turn(&dig->worker, wait_ms * 1000000) == 0;
}

/* One try. */
static void try_once(struct gy_dig *dig, const struct gy_dig_query *query,
                     enum gy_dns_transport transport, const char *host)
{
    struct gy_error error = {0};
    gy_worker_turn(&dig->worker, 0); /* the clock, and what the last one left */
    dig->query = query;
    dig->state = DIG_WAITS;
    dig->by_datagram = transport == GY_DNS_BY_UDP;
    dig->began_ns = dig->worker.now_ns;
    uint64_t until_ms = dig->worker.now_ms + query->options.time_ms;
    if (gy_dns_exchange_begin(&dig->exchange, &dig->transports, transport, &dig->server, host,
                              dig->sent, dig->sent_bytes, &error) != 0) {
        dig->state = DIG_FAILED;
        snprintf(dig->why, sizeof dig->why, "%.300s", error.message);
        return;
    }
    while (dig->state == DIG_WAITS && dig->worker.now_ms < until_ms) {
        uint64_t heard_ns = dig->took_ns;
        if (!turn(dig, until_ms)) {
            break;
        }
        if (dig->transferred != NULL && dig->took_ns != heard_ns) { /* a transfer goes on */
            until_ms = dig->worker.now_ms + query->options.time_ms;
        }
    }
    gy_dns_exchange_end(&dig->exchange);
    if (dig->state == DIG_WAITS) {
        dig->state = DIG_LATE;
        snprintf(dig->why, sizeof dig->why, "timed out");
    }
}

bool dig_ask(struct gy_dig *dig, const struct gy_dig_query *query, const struct gy_address *server,
             const char *name)
{
    const struct gy_dig_options *options = &query->options;
    bool transfer = dig->transferred != NULL;
    enum gy_dns_transport transport = options->tls               ? GY_DNS_BY_TLS
                                      : options->tcp || transfer ? GY_DNS_BY_TCP
                                                                 : GY_DNS_BY_UDP;
    /* A certificate is for the name that was given; who gave an address means that. */
    const char *host = !dig->command->tls_verified      ? NULL
                       : dig->command->tls_host != NULL ? dig->command->tls_host
                                                        : name;
    char text[GY_ADDRESS_TEXT_BYTES];
    dig->server = *server;
    snprintf(dig->server_name, sizeof dig->server_name, "%s", name);
    dig_server_text(server, text);
    for (uint32_t tries = 0; tries < options->tries;) {
        if (dig->command->keyed && dig_make_query(dig, query) != 0) { /* signed anew each time */
            return false;
        }
        try_once(dig, query, transport, host);
        if (dig->state != DIG_HAS_REPLY) {
            tries++;
            if (!options->json) {
                printf(";; communications error to %s: %s\n", text, dig->why);
            }
            if (dig->state == DIG_FAILED && transport == GY_DNS_BY_TLS) {
                return false; /* what it does not prove, it will not the next time */
            }
            continue;
        }
        bool cut = (dig->reply[2] & GY_DNS_FLAG_TC >> 8) != 0;
        if (transport != GY_DNS_BY_UDP || !cut || options->ignore_cut) {
            return true;
        }
        transport = GY_DNS_BY_TCP;
        if (options->show_comments && !options->json) {
            printf(";; Truncated, retrying in TCP mode.\n");
        }
    }
    return false;
}

/* ---- servers' names ---- */

struct naming {
    struct gy_query query;
    bool over;
};

static void on_named(struct gy_query *query)
{
    struct naming *naming = query->context;
    naming->over = !query->more;
}

static uint16_t port_of(const struct gy_dig_options *options)
{
    return options->port != 0 ? options->port : options->tls ? 853 : 53;
}

/* Those of the wanted family, with the port. */
static uint32_t keep(const struct gy_dig_options *options, struct gy_address *addresses,
                     uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        sa_family_t family = addresses[i].any.sa_family;
        if (options->family == 0 || (options->family == 4) == (family == AF_INET)) {
            addresses[kept] = addresses[i];
            gy_address_set_port(&addresses[kept++], port_of(options));
        }
    }
    return kept;
}

uint32_t dig_resolve(struct gy_dig *dig, const char *name, const struct gy_dig_options *options,
                     struct gy_address *addresses)
{
    struct gy_dns_address numeric;
    struct naming naming = {.query = {.answered = on_named}};
    uint32_t count = 0;
    if (gy_dns_address_parse(&numeric, name, strlen(name)) == 0) {
        count = gy_dns_address_to_core(&numeric, &addresses[0]) == 0;
    } else if (strlen(name) <= GY_NAME_BYTES) {
        naming.query.context = &naming;
        memcpy(naming.query.name, name, strlen(name) + 1);
        uint64_t until_ms = dig->worker.now_ms + 30000;
        naming.over = dig->resolver->ask(dig->resolver, &naming.query) != 0;
        while (!naming.over && dig->worker.now_ms < until_ms && turn(dig, until_ms)) {
        }
        dig->resolver->cancel(dig->resolver, &naming.query);
        count = naming.query.count;
        memcpy(addresses, naming.query.addresses, count * sizeof addresses[0]);
    }
    count = keep(options, addresses, count);
    if (count == 0) {
        fprintf(stderr, "gyre dig: couldn't get address for '%s': %s\n", name,
                naming.query.error.code != 0 ? naming.query.error.message
                                             : "none of the wanted kind");
    }
    return count;
}

/* ---- one look-up ---- */

uint32_t dig_servers(struct gy_dig *dig, const struct gy_dig_options *options,
                     struct gy_address *servers)
{
    if (options->server != NULL) {
        return dig_resolve(dig, options->server, options, servers);
    }
    const struct gy_dns_resolv *resolv = gy_dns_resolver_conf(dig->resolver);
    uint32_t count = 0;
    for (uint32_t i = 0; i < resolv->server_count; i++) {
        count += gy_dns_address_to_core(&resolv->servers[i], &servers[count]) == 0;
    }
    count = keep(options, servers, count);
    if (count == 0) {
        fprintf(stderr, "gyre dig: /etc/resolv.conf has no server of the wanted family\n");
    }
    return count;
}

/* A server by its number, without a port: what is said behind it in parentheses. */
static const char *name_of(const struct gy_dig_options *options, const struct gy_address *server,
                           char text[GY_ADDRESS_TEXT_BYTES])
{
    if (options->server != NULL) {
        return options->server;
    }
    dig_server_text(server, text);
    text[strcspn(text, "#")] = '\0';
    return text;
}

static int no_reply(const struct gy_dig *dig, const struct gy_dig_query *query)
{
    if (query->options.json) {
        dig_print_json(dig, query, dig->why);
    } else {
        printf(";; no servers could be reached\n");
    }
    return DIG_NO_REPLY;
}

/* What a server said, unless it is that there is no such name and another one is to be tried. */
static int print_reply(const struct gy_dig *dig, const struct gy_dig_query *query, bool more)
{
    if (more && (dig->reply[3] & 15u) == GY_DNS_RCODE_NXDOMAIN) {
        return DIG_NEXT;
    }
    if (query->options.json) {
        dig_print_json(dig, query, NULL);
    } else {
        dig_print_reply(dig, query);
    }
    return dig->command->keyed && dig->signature != 1 ? DIG_INTERNAL : DIG_ANSWERED;
}

/* Asks for one name; `more`: there are others to be tried. */
static int look_up_name(struct gy_dig *dig, const struct gy_dig_query *query,
                        const struct gy_address *servers, uint32_t count, bool more)
{
    char text[GY_ADDRESS_TEXT_BYTES];
    const struct gy_dig_options *options = &query->options;
    bool transfer = query->type == GY_DNS_TYPE_AXFR || query->type == GY_DNS_TYPE_IXFR;
    int status = dig_make_query(dig, query);
    if (status == 0 && options->sent && !options->json) {
        printf(";; Sending:\n");
        dig_print_message(dig, query, dig->sent, dig->sent_bytes);
    }
    for (uint32_t i = 0; i < count && status == 0; i++) {
        const char *name = name_of(options, &servers[i], text);
        if (transfer) {
            status = dig_transfer(dig, query, &servers[i], name);
            if (status != DIG_NO_REPLY) {
                return status;
            }
            status = 0;
        } else if (dig_ask(dig, query, &servers[i], name)) {
            return print_reply(dig, query, more);
        }
    }
    return status != 0 ? status : no_reply(dig, query);
}

/* The names that the search list makes of the one that was given, until one exists. */
static int search(struct gy_dig *dig, const struct gy_dig_query *query,
                  const struct gy_address *servers, uint32_t count)
{
    const struct gy_dns_resolv *resolv = gy_dns_resolver_conf(dig->resolver);
    struct gy_dig_query next = *query;
    int status = DIG_NEXT;
    for (uint32_t number = 0; status == DIG_NEXT; number++) {
        uint8_t behind[GY_DNS_NAME_MAX];
        int code = gy_dns_resolv_candidate(resolv, query->text, number, next.name);
        if (code == 0) {
            return dig_misuse("%s: no name can be made of it with the search list", query->text);
        }
        if (code > 0) {
            bool more = gy_dns_resolv_candidate(resolv, query->text, number + 1, behind) != 0;
            status = look_up_name(dig, &next, servers, count, more);
        }
    }
    return status;
}

int dig_look_up(struct gy_dig *dig, const struct gy_dig_query *query)
{
    struct gy_address servers[GY_QUERY_ADDRESSES];
    const struct gy_dig_options *options = &query->options;
    uint32_t count = dig_servers(dig, options, servers);
    if (count == 0) {
        return options->server != NULL ? DIG_USAGE : DIG_NO_REPLY;
    }
    dig->transports.local = options->local;
    if (options->show_command && !options->json) {
        dig_print_banner(dig, query, count);
    }
    if (options->trace) {
        return dig_trace(dig, query);
    }
    return options->search && query->text != NULL ? search(dig, query, servers, count)
                                                  : look_up_name(dig, query, servers, count, false);
}

/* ---- the whole ---- */

static void report(void *context, const char *file, uint32_t line, const char *why)
{
    (void)context;
    fprintf(stderr, "gyre dig: %s:%u: %s\n", file, line, why);
}

static int open_worker(struct gy_dig *dig, struct gy_error *error)
{
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = 192,
        .blocks_max = 64,
        .pool = gy_pool_defaults(GY_RECEIVE_MULTISHOT, 0),
    };
    dig->peers[0] = &dig->worker;
    int code = gy_worker_open(&dig->worker, &options, dig->peers, error);
    if (code == GY_ENOTSUP) {
        options.pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0);
        code = gy_worker_open(&dig->worker, &options, dig->peers, error);
    }
    return code;
}

/* DNS over TLS is opportunistic where nobody said who the server is (RFC 8310 §5): ciphered, and
 * whoever answers is believed. */
static int open_tls(struct gy_dig *dig, struct gy_error *error)
{
    struct gy_tls_files *files = &dig->command->tls;
    if (!dig->command->tls_used) {
        return 0;
    }
    files->verify = dig->command->tls_verified ? GY_TLS_VERIFY_REQUIRED : GY_TLS_VERIFY_NONE;
    files->protocols[0] = "dot";
    files->protocol_count = 1;
    return gy_tls_files_open(&dig->tls, files, NULL, error);
}

int dig_open(struct gy_dig *dig, struct gy_dig_command *command, struct gy_error *error)
{
    struct gy_dns_resolver_options options = {.report = report};
    dig->command = command;
    dig->exchange.context = dig;
    dig->exchange.received = on_received;
    dig->exchange.failed = on_failed;
    int code = open_tls(dig, error);
    if (code != 0) {
        return code;
    }
    code = open_worker(dig, error);
    if (code != 0) {
        goto no_worker;
    }
    code = gy_dns_resolver_open(&dig->resolver, &dig->worker, &options, error);
    if (code != 0) {
        goto no_resolver;
    }
    code = gy_dns_transports_open(&dig->transports, &dig->worker, GY_DATAGRAM_BYTES_MAX,
                                  dig->tls != NULL ? &gy_tls_layer : NULL, dig->tls, error);
    if (code == 0) {
        return 0;
    }
    gy_dns_resolver_close(dig->resolver);
no_resolver:
    gy_worker_close(&dig->worker);
no_worker:
    gy_tls_config_close(dig->tls);
    return code;
}

void dig_close(struct gy_dig *dig)
{
    gy_dns_exchange_end(&dig->exchange);
    gy_dns_tsig_close(&dig->tsig);
    gy_worker_finish(&dig->worker);
    gy_dns_transports_close(&dig->transports);
    gy_dns_resolver_close(dig->resolver);
    gy_worker_close(&dig->worker);
    gy_tls_config_close(dig->tls);
}
