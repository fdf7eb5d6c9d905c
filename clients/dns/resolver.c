/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/dns/resolver.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clients/dns/exchange.h"
#include "core/worker.h"

#define FILE_BYTES_MAX (16u << 20)
#define LOOK_MS        1000u

struct question {
    struct gy_dns_lookup lookup; /* first */
    struct gy_query *query;      /* NULL: free */
    uint32_t told;               /* of the lookup's addresses */
    struct question *next;       /* free ones */
};

/* A file as it was read; a file that is not there has no bytes. */
struct text {
    const char *path;
    char *bytes;
    size_t length;
    struct timespec modified;
    ino_t inode;
};

struct resolver {
    struct gy_resolver resolver; /* first */
    struct gy_worker *worker;
    struct gy_dns_resolver_options options;
    struct text conf, hosts;
    struct gy_dns_resolv resolv;
    struct gy_timer timer;
    uint64_t looked_ms; /* when the files were looked at */
    const char *reading;
    struct question *spare;
    struct gy_dns_transports transports;
    struct gy_dns_exchange exchanges[GY_DNS_STUB_EXCHANGES];
    struct gy_dns_address servers[GY_DNS_STUB_EXCHANGES]; /* whom they are with */
    struct question questions[GY_DNS_RESOLVER_QUESTIONS];
    struct gy_dns_stub stub;
};

static struct resolver *resolver_of(struct gy_resolver *resolver)
{
    return (struct resolver *)resolver;
}

static void random_bytes(void *context, void *target, size_t bytes)
{
    (void)context;
    ssize_t got = getrandom(target, bytes, 0);
    gy_assert(got == (ssize_t)bytes); /* up to 256 bytes come whole (getrandom(2)) */
}

/* ---- files ---- */

/* Reads the file when it is another than before. Whether it was. */
static bool read_text(struct text *text)
{
    struct stat status = {0};
    bool there = stat(text->path, &status) == 0 && S_ISREG(status.st_mode);
    if (status.st_ino == text->inode && status.st_mtim.tv_sec == text->modified.tv_sec &&
        status.st_mtim.tv_nsec == text->modified.tv_nsec &&
        (size_t)status.st_size == text->length) {
        return false;
    }
    FILE *file = there ? fopen(text->path, "re") : NULL;
    size_t room = status.st_size < (off_t)FILE_BYTES_MAX ? (size_t)status.st_size : FILE_BYTES_MAX;
    free(text->bytes);
    text->bytes = file != NULL ? malloc(room + 1) : NULL;
    text->length = text->bytes != NULL ? fread(text->bytes, 1, room, file) : 0;
    text->modified = status.st_mtim;
    text->inode = status.st_ino;
    if (file != NULL) {
        fclose(file);
    }
    return true;
}

static void report(void *context, uint32_t line, const char *why)
{
    struct resolver *resolver = context;
    if (resolver->options.report != NULL) {
        resolver->options.report(resolver->options.context, resolver->reading, line, why);
    }
}

/* Whether one of the files has changed; then what they say is read. */
static bool read_files(struct resolver *resolver)
{
    bool changed = read_text(&resolver->conf);
    if (read_text(&resolver->hosts)) {
        changed = true;
        resolver->reading = resolver->hosts.path;
        gy_dns_hosts_check(resolver->hosts.bytes, resolver->hosts.length, report, resolver);
    }
    if (changed) {
        char host[256] = "";
        gethostname(host, sizeof host - 1);
        resolver->reading = resolver->conf.path;
        gy_dns_resolv_parse(&resolver->resolv, resolver->conf.bytes, resolver->conf.length, host,
                            report, resolver);
        for (uint32_t i = 0; i < resolver->resolv.server_count; i++) {
            uint16_t port = resolver->options.port;
            resolver->resolv.servers[i].port = port != 0 ? port : resolver->resolv.servers[i].port;
        }
    }
    return changed;
}

static struct gy_dns_stub_options stub_options(const struct resolver *resolver)
{
    return (struct gy_dns_stub_options){
        .resolv = &resolver->resolv,
        .hosts = resolver->hosts.bytes,
        .hosts_bytes = resolver->hosts.length,
        .random = random_bytes,
    };
}

static void look_at_files(struct resolver *resolver)
{
    uint64_t now_ms = resolver->worker->now_ms;
    if (now_ms - resolver->looked_ms < LOOK_MS) {
        return;
    }
    resolver->looked_ms = now_ms;
    if (read_files(resolver)) {
        struct gy_dns_stub_options options = stub_options(resolver);
        gy_dns_stub_configure(&resolver->stub, &options, now_ms);
    }
}

/* ---- addresses ---- */

int gy_dns_address_to_core(const struct gy_dns_address *from, struct gy_address *to)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(from->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(from->port)};
    if (from->length == 4) {
        memcpy(&v4.sin_addr, from->bytes, 4);
        return gy_address_from_sockaddr(to, (struct sockaddr *)&v4, sizeof v4);
    }
    memcpy(&v6.sin6_addr, from->bytes, 16);
    if (from->scope[0] != '\0') {
        char *end = NULL;
        unsigned long number = strtoul(from->scope, &end, 10);
        v6.sin6_scope_id = *end == '\0' ? (uint32_t)number : if_nametoindex(from->scope);
        if (v6.sin6_scope_id == 0) {
            return GY_EINVAL;
        }
    }
    return gy_address_from_sockaddr(to, (struct sockaddr *)&v6, sizeof v6);
}

/* The precedence of RFC 6724's table (§2.1). */
static unsigned precedence(const struct gy_dns_address *address)
{
    static const struct {
        uint8_t prefix[16];
        uint8_t bits;
        uint8_t precedence;
    } table[] = {
        {{[15] = 1}, 128, 50},  {{[10] = 0xff, 0xff}, 96, 35}, {{0}, 96, 1},
        {{0x20, 0x02}, 16, 30}, {{0x20, 0x01}, 32, 5},         {{0xfc}, 7, 3},
        {{0xfe, 0xc0}, 10, 1},  {{0x3f, 0xfe}, 16, 1},
    };
    if (address->length == 4) {
        return 35;
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        unsigned whole = table[i].bits / 8, rest = table[i].bits % 8;
        uint8_t mask = (uint8_t)(0xff00u >> rest);
        if (memcmp(address->bytes, table[i].prefix, whole) == 0 &&
            (rest == 0 || (address->bytes[whole] & mask) == table[i].prefix[whole])) {
            return table[i].precedence;
        }
    }
    return 40;
}

/* By precedence; equals keep their order. */
static void sort(struct gy_dns_address *addresses, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct gy_dns_address address = addresses[i];
        uint32_t at = i;
        for (; at > 0 && precedence(&addresses[at - 1]) < precedence(&address); at--) {
            addresses[at] = addresses[at - 1];
        }
        addresses[at] = address;
    }
}

/* ---- between the stub and the worker ---- */

static void give_back(struct resolver *resolver, struct question *question)
{
    question->query = NULL;
    question->next = resolver->spare;
    resolver->spare = question;
}

static void answer(struct resolver *resolver, struct question *question)
{
    struct gy_query *query = question->query;
    struct gy_dns_lookup *lookup = &question->lookup;
    gy_assert(query != NULL && question->told <= lookup->count);
    sort(lookup->addresses + question->told, lookup->count - question->told);
    for (uint32_t i = question->told; i < lookup->count; i++) {
        if (query->count < GY_QUERY_ADDRESSES &&
            gy_dns_address_to_core(&lookup->addresses[i], &query->addresses[query->count]) == 0) {
            query->count++;
        }
    }
    question->told = lookup->count;
    query->more = lookup->more;
    if (query->count == 0 && !query->more) {
        enum gy_dns_stub_result result = lookup->result;
        gy_error_set(&query->error,
                     result == GY_DNS_STUB_SILENT     ? GY_ETIMEOUT
                     : result == GY_DNS_STUB_BAD_NAME ? GY_EINVAL
                     : result == GY_DNS_STUB_NO_NAME  ? GY_ENOTFOUND
                                                      : GY_EREFUSED,
                     "the name could not be resolved: %s",
                     result == GY_DNS_STUB_FOUND ? "its address is on a network that is not here"
                                                 : gy_dns_stub_reason(result));
    }
    if (!query->more) {
        query->handle = NULL;
        give_back(resolver, question);
    }
    query->answered(query);
}

static void begin(struct resolver *resolver, const struct gy_dns_stub_output *output,
                  const uint8_t *query)
{
    struct gy_dns_exchange *exchange = &resolver->exchanges[output->exchange];
    struct gy_address server;
    enum gy_dns_transport transport =
        output->action == GY_DNS_STUB_TCP ? GY_DNS_BY_TCP : GY_DNS_BY_UDP;
    resolver->servers[output->exchange] = *output->server;
    if (gy_dns_address_to_core(output->server, &server) != 0 ||
        gy_dns_exchange_begin(exchange, &resolver->transports, transport, &server, NULL, query,
                              output->bytes, NULL) != 0) {
        gy_dns_stub_failed(&resolver->stub, output->exchange, resolver->worker->now_ms);
    }
}

/* Does all that is to be done now, then waits for the next deadline. Bounded: each name has a
 * bounded number of tries, and there is a bounded number of names. */
static void pump(struct resolver *resolver)
{
    struct gy_wheel *wheel = &resolver->worker->wheel;
    struct gy_dns_stub_output output;
    struct gy_dns_lookup *lookup;
    uint8_t query[GY_DNS_STUB_QUERY_BYTES];
    while (gy_dns_stub_output(&resolver->stub, &output, query)) {
        gy_dns_exchange_end(&resolver->exchanges[output.exchange]);
        if (output.action != GY_DNS_STUB_CLOSE) {
            begin(resolver, &output, query);
        }
    }
    while ((lookup = gy_dns_stub_next(&resolver->stub)) != NULL) {
        answer(resolver, (struct question *)lookup);
    }
    uint64_t due_ms = gy_dns_stub_deadline(&resolver->stub);
    if (resolver->stub.actions > 0 || !TAILQ_EMPTY(&resolver->stub.ready)) {
        due_ms = resolver->worker->now_ms; /* those who were told have asked or cancelled */
    }
    if (due_ms == UINT64_MAX) {
        gy_timer_disarm(wheel, &resolver->timer);
    } else {
        gy_timer_arm(wheel, &resolver->timer, due_ms);
    }
}

static void on_timer(struct gy_timer *timer, uint64_t now_ms)
{
    struct resolver *resolver =
        (struct resolver *)((char *)timer - offsetof(struct resolver, timer));
    (void)now_ms;
    gy_dns_stub_expire(&resolver->stub, resolver->worker->now_ms);
    pump(resolver);
}

static void on_received(struct gy_dns_exchange *exchange, const uint8_t *message, size_t bytes)
{
    struct resolver *resolver = exchange->context;
    uint32_t number = (uint32_t)(exchange - resolver->exchanges);
    /* Socket and connection are connected: nobody else's come in. */
    gy_dns_stub_receive(&resolver->stub, number, &resolver->servers[number], message, bytes,
                        resolver->worker->now_ms);
    pump(resolver);
}

static void on_failed(struct gy_dns_exchange *exchange, const char *why)
{
    struct resolver *resolver = exchange->context;
    (void)why;
    gy_dns_stub_failed(&resolver->stub, (uint32_t)(exchange - resolver->exchanges),
                       resolver->worker->now_ms);
    /* Not from within: at the worker's end this is called by what is being closed. */
    gy_timer_arm(&resolver->worker->wheel, &resolver->timer, resolver->worker->now_ms);
}

/* ---- what the connector calls ---- */

static int ask(struct gy_resolver *of, struct gy_query *query)
{
    struct resolver *resolver = resolver_of(of);
    struct question *question = resolver->spare;
    gy_assert(query->handle == NULL && query->answered != NULL);
    look_at_files(resolver);
    query->count = 0;
    query->more = false;
    query->error.code = 0;
    if (question == NULL || gy_dns_stub_ask(&resolver->stub, &question->lookup, query->name,
                                            resolver->worker->now_ms) != 0) {
        return GY_ELIMIT;
    }
    resolver->spare = question->next;
    question->query = query;
    question->told = 0;
    query->handle = question;
    gy_timer_arm(&resolver->worker->wheel, &resolver->timer, resolver->worker->now_ms);
    return 0;
}

static void cancel(struct gy_resolver *of, struct gy_query *query)
{
    struct resolver *resolver = resolver_of(of);
    struct question *question = query->handle;
    if (question == NULL) {
        return;
    }
    gy_assert(question->query == query);
    gy_dns_stub_cancel(&resolver->stub, &question->lookup);
    query->handle = NULL;
    give_back(resolver, question);
    gy_timer_arm(&resolver->worker->wheel, &resolver->timer, resolver->worker->now_ms);
}

int gy_dns_resolver_open(struct gy_resolver **opened, struct gy_worker *worker,
                         const struct gy_dns_resolver_options *options, struct gy_error *error)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    if (resolver == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing to resolve names: out of memory");
    }
    resolver->resolver = (struct gy_resolver){.ask = ask, .cancel = cancel};
    resolver->worker = worker;
    if (options != NULL) {
        resolver->options = *options;
    }
    const char *conf = resolver->options.resolv_conf, *hosts = resolver->options.hosts;
    resolver->conf.path = conf != NULL ? conf : "/etc/resolv.conf";
    resolver->hosts.path = hosts != NULL ? hosts : "/etc/hosts";
    resolver->conf.inode = (ino_t)-1; /* so that a file that is not there is a change */
    int code = gy_dns_transports_open(&resolver->transports, worker, 0, NULL, NULL, error);
    if (code != 0) {
        free(resolver);
        return code;
    }
    read_files(resolver);
    resolver->looked_ms = worker->now_ms;
    struct gy_dns_stub_options stub = stub_options(resolver);
    gy_dns_stub_init(&resolver->stub, &stub);
    gy_timer_init(&resolver->timer, on_timer);
    for (uint32_t i = 0; i < GY_DNS_STUB_EXCHANGES; i++) {
        resolver->exchanges[i].context = resolver;
        resolver->exchanges[i].received = on_received;
        resolver->exchanges[i].failed = on_failed;
    }
    for (uint32_t i = GY_DNS_RESOLVER_QUESTIONS; i > 0; i--) {
        give_back(resolver, &resolver->questions[i - 1]);
    }
    *opened = &resolver->resolver;
    return 0;
}

void gy_dns_resolver_close(struct gy_resolver *of)
{
    struct resolver *resolver = resolver_of(of);
    gy_timer_disarm(&resolver->worker->wheel, &resolver->timer);
    gy_dns_transports_close(&resolver->transports);
    free(resolver->conf.bytes);
    free(resolver->hosts.bytes);
    free(resolver);
}

const struct gy_dns_resolv *gy_dns_resolver_conf(const struct gy_resolver *resolver)
{
    return &((const struct resolver *)resolver)->resolv;
}

const struct gy_dns_stub_counts *gy_dns_resolver_counts(const struct gy_resolver *resolver)
{
    return &((const struct resolver *)resolver)->stub.counts;
}
