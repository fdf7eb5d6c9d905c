/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/options.h"
#include "bench/load/place.h"
#include "core/datagram.h"
#include "core/usage.h"

#define SECOND_NS UINT64_C(1000000000)

static void help(FILE *out)
{
    fprintf(out,
            "Usage: gyre-load URL [FLAGS]\n"
            "Loads a server and measures it. Every answer is checked; every error is counted.\n\n"
            "  gyre-load http://127.0.0.1:8080/ -c 64 -d 10s          as fast as it answers\n"
            "  gyre-load http://127.0.0.1:8080/ --rate 20000          at a rate, answered or not\n"
            "  gyre-load http://127.0.0.1:8080/ --find-max --slo p99=5ms\n"
            "  gyre-load dns://127.0.0.1:53/example.com?type=MX -c 1000\n\n");
    for (const struct gy_load_protocol *const *each = gy_load_protocols; *each != NULL; each++) {
        fprintf(out, "  %s://%-*s %s\n", (*each)->scheme, (int)(23 - strlen((*each)->scheme)),
                (*each)->port == 0      ? "HOST:PORT"
                : gy_load_is_dns(*each) ? "HOST[:PORT]"
                                        : "HOST[:PORT]/PATH",
                (*each)->help);
    }
    fprintf(
        out,
        "\n"
        "  -c, --connections N     64\n"
        "      --pipeline N        requests in flight on each connection (1)\n"
        "      --outstanding N     requests in flight in all, the connections in turns\n"
        "      --rate R            open loop: R requests a second, whatever the answers do\n"
        "      --poisson           with random gaps; --seed N repeats them (1)\n"
        "      --find-max          the highest rate that keeps --slo pNN=TIME (p99=5ms)\n"
        "  -d, --duration TIME     measured (10s; of each step with --find-max: 3s)\n"
        "      --warmup TIME       before it, not measured (1s; with -n: 0)\n"
        "  -n, --requests N        end after N requests\n"
        "  -t, --threads N         1\n"
        "      --source ADDR       TCP: where connections come from; in turns, if repeated\n"
        "      --timeout TIME      of a request, and of connecting (5s)\n"
        "      --check             http, dns: answers must equal the first one\n"
        "  -H, --header \"N: V\"     http, ws: one more header; may be repeated\n"
        "      --method NAME       http: HEAD, PUT, … (GET; with --body POST)\n"
        "      --body FILE         http: what every request carries (-: standard input)\n"
        "      --size BYTES        of one message, where there are messages (64)\n"
        "      --broadcast         ws, chat, nats, redis: one connection sends, all must get it\n"
        "      --publishers N      chat, nats, redis: N of them send (1)\n"
        "      --queries FILE      dns: lines of a name and a type, as dnsperf has them; all are\n"
        "                          asked, again and again (-: standard input)\n"
        "      --edns BYTES        dns: with an OPT record that says so; --dnssec sets DO in it\n"
        "      --acked             rudp: a message is done when it is acknowledged (a sink)\n"
        "      --datagram BYTES    rudp: of the longest datagram sent (1200)\n"
        "      --trains            udp, dns: send and take many datagrams at a time (GSO, GRO)\n"
        "      --udp-mode MODE     udp, dns: ring or calls (what was measured to be better)\n"
        "      --handshakes KIND   https: a connection for each request, full or resumed\n"
        "      --ca FILE           TLS: trust who FILE says (the system's authorities)\n"
        "      --insecure          TLS: do not check who the server is\n"
        "      --plaintext         rudp: without encryption\n"
        "      --server-pid PID    CPU time of that process and its children, per request\n"
        "      --server-admin ADDR CPU time and counters from a gyre's admin listener, ADDR:PORT,\n"
        "                          on whatever host it runs\n"
        "      --json FILE         figures as JSON (-: standard output)\n"
        "      --hdr FILE          latencies as an HdrHistogram log\n"
        "      --receive-mode MODE one-shot, multishot, incremental or bundle (the best there is)\n"
        "  -q, --quiet             no progress\n\n"
        "Exit status: 0 all answered as asked; 1 errors, a rate not reached, a server that is not\n"
        "there or went away; 2 misuse. Ctrl-C ends it and prints what was measured.\n");
}

/* ---- values ---- */

static int bad_value(const char *flag, const char *value, const char *wanted,
                     struct gy_error *error)
{
    return gy_error_set(error, GY_EINVAL, "%s %s: must be %s", flag, value, wanted);
}

static int read_count(const char *flag, const char *value, uint64_t min, uint64_t max,
                      uint64_t *count, struct gy_error *error)
{
    char *end;
    unsigned long long number = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || *end != '\0' || number < min || number > max) {
        return gy_error_set(error, GY_EINVAL, "%s %s: must be a number from %llu to %llu", flag,
                            value, (unsigned long long)min, (unsigned long long)max);
    }
    *count = number;
    return 0;
}

static int read_u32(const char *flag, const char *value, uint32_t min, uint32_t max,
                    uint32_t *count, struct gy_error *error)
{
    uint64_t number = 0;
    int code = read_count(flag, value, min, max, &number, error);
    if (code == 0) {
        *count = (uint32_t)number;
    }
    return code;
}

/* "10s", "5ms", "250us", "2m", "0"; a number alone means seconds. */
static bool parse_time(const char *value, uint64_t *ns)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"ns", 1},   {"us", 1e3},   {"ms", 1e6}, {"s", 1e9},
                 {"m", 60e9}, {"h", 3600e9}, {"", 1e9}};
    char *end;
    double number = strtod(value, &end);
    if (!isdigit((unsigned char)value[0]) || !isfinite(number)) {
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) == 0) {
            double total = number * units[i].ns;
            if (total > 86400e9 * 30) {
                return false;
            }
            *ns = (uint64_t)llround(total);
            return true;
        }
    }
    return false;
}

static int read_time(const char *flag, const char *value, bool zero, uint64_t *ns,
                     struct gy_error *error)
{
    uint64_t time = 0;
    if (!parse_time(value, &time) || (time == 0 && !zero)) {
        return bad_value(flag, value, "a time, such as 10s, 250ms or 2m", error);
    }
    *ns = time;
    return 0;
}

static int read_rate(const char *value, double *rate, struct gy_error *error)
{
    char *end;
    double number = strtod(value, &end);
    if ((*end == 'k' || *end == 'M') && end[1] == '\0') {
        number *= *end == 'k' ? 1e3 : 1e6;
        end++;
    }
    if (!isdigit((unsigned char)value[0]) || *end != '\0' || !(number > 0) || number > 1e8) {
        return bad_value("--rate", value, "requests a second, such as 20000, 20k or 1.5M", error);
    }
    *rate = number;
    return 0;
}

static int read_slo(struct gy_load_options *options, const char *value, struct gy_error *error)
{
    char *end = NULL;
    double percentile = value[0] == 'p' ? strtod(value + 1, &end) : 0;
    uint64_t ns;
    if (end == NULL || *end != '=' || !isdigit((unsigned char)value[1]) || !(percentile > 0) ||
        percentile > 100 || !parse_time(end + 1, &ns) || ns == 0) {
        return bad_value("--slo", value, "a percentile and a time, such as p99=5ms or p99.9=20ms",
                         error);
    }
    options->slo_percentile = percentile;
    options->slo_ns = ns;
    return 0;
}

/* ---- flags ---- */

enum flag {
    FLAG_CONNECTIONS,
    FLAG_PIPELINE,
    FLAG_OUTSTANDING,
    FLAG_RATE,
    FLAG_SEED,
    FLAG_SLO,
    FLAG_DURATION,
    FLAG_WARMUP,
    FLAG_REQUESTS,
    FLAG_THREADS,
    FLAG_TIMEOUT,
    FLAG_HEADER,
    FLAG_METHOD,
    FLAG_BODY,
    FLAG_SIZE,
    FLAG_QUERIES,
    FLAG_EDNS,
    FLAG_SERVER_PID,
    FLAG_SERVER_ADMIN,
    FLAG_JSON,
    FLAG_HDR,
    FLAG_RECEIVE_MODE,
    FLAG_UDP_MODE,
    FLAG_DATAGRAM,
    FLAG_HANDSHAKES,
    FLAG_CA,
    FLAG_SOURCE,
    FLAG_PUBLISHERS,
    FLAG_COUNT,
};

static const struct {
    const char *name;
    char letter;
} valued[FLAG_COUNT] = {
    [FLAG_CONNECTIONS] = {"connections", 'c'},
    [FLAG_PIPELINE] = {"pipeline", 0},
    [FLAG_OUTSTANDING] = {"outstanding", 0},
    [FLAG_RATE] = {"rate", 0},
    [FLAG_SEED] = {"seed", 0},
    [FLAG_SLO] = {"slo", 0},
    [FLAG_DURATION] = {"duration", 'd'},
    [FLAG_WARMUP] = {"warmup", 0},
    [FLAG_REQUESTS] = {"requests", 'n'},
    [FLAG_THREADS] = {"threads", 't'},
    [FLAG_TIMEOUT] = {"timeout", 0},
    [FLAG_HEADER] = {"header", 'H'},
    [FLAG_METHOD] = {"method", 0},
    [FLAG_BODY] = {"body", 0},
    [FLAG_SIZE] = {"size", 0},
    [FLAG_QUERIES] = {"queries", 0},
    [FLAG_EDNS] = {"edns", 0},
    [FLAG_SERVER_PID] = {"server-pid", 0},
    [FLAG_SERVER_ADMIN] = {"server-admin", 0},
    [FLAG_JSON] = {"json", 0},
    [FLAG_HDR] = {"hdr", 0},
    [FLAG_RECEIVE_MODE] = {"receive-mode", 0},
    [FLAG_UDP_MODE] = {"udp-mode", 0},
    [FLAG_DATAGRAM] = {"datagram", 0},
    [FLAG_HANDSHAKES] = {"handshakes", 0},
    [FLAG_CA] = {"ca", 0},
    [FLAG_SOURCE] = {"source", 0},
    [FLAG_PUBLISHERS] = {"publishers", 0},
};

static int read_mode(struct gy_load_options *options, const char *value, struct gy_error *error)
{
    enum gy_receive_mode mode;
    if (gy_receive_mode_parse(value, &mode) != 0) {
        return bad_value("--receive-mode", value, "one-shot, multishot, incremental or bundle",
                         error);
    }
    options->receive_mode = (int)mode;
    return 0;
}

static int read_udp_mode(struct gy_load_options *options, const char *value, struct gy_error *error)
{
    enum gy_datagram_mode mode;
    if (gy_datagram_mode_parse(value, &mode) != 0) {
        return bad_value("--udp-mode", value, "ring or calls", error);
    }
    options->udp_mode = (int)mode;
    return 0;
}

static int read_handshakes(struct gy_load_options *options, const char *value,
                           struct gy_error *error)
{
    bool full = strcmp(value, "full") == 0;
    if (!full && strcmp(value, "resumed") != 0) {
        return bad_value("--handshakes", value, "full or resumed", error);
    }
    options->handshakes = full ? GY_LOAD_HANDSHAKES_FULL : GY_LOAD_HANDSHAKES_RESUMED;
    return 0;
}

static int read_authorities(struct gy_load_options *options, const char *value,
                            struct gy_error *error)
{
    free(options->tls.authorities);
    options->tls.authorities = strdup(value);
    return options->tls.authorities != NULL ? 0
                                            : gy_error_set(error, GY_ENOMEM, "--ca: out of memory");
}

static int read_header(struct gy_load_options *options, const char *value, struct gy_error *error)
{
    if (options->header_count == GY_LOAD_HEADERS_MAX) {
        return gy_error_set(error, GY_ELIMIT, "--header %s: at most %d headers", value,
                            GY_LOAD_HEADERS_MAX);
    }
    options->headers[options->header_count++] = value;
    return 0;
}

static int read_admin(struct gy_load_options *options, const char *value, struct gy_error *error)
{
    struct gy_address *address = &options->server_admin;
    if (gy_address_parse(address, value, NULL) != 0 || address->every ||
        gy_address_port(address) == 0) {
        return bad_value("--server-admin", value,
                         "where the server's admin listener is, such as 192.0.2.1:9090", error);
    }
    options->server_admin_given = true;
    return 0;
}

/* Where the value of a flag is kept that is taken as it is. */
static const char **text_of(struct gy_load_options *options, enum flag flag)
{
    return flag == FLAG_METHOD    ? &options->method
           : flag == FLAG_BODY    ? &options->body_file
           : flag == FLAG_QUERIES ? &options->queries_file
           : flag == FLAG_JSON    ? &options->json_file
                                  : &options->hdr_file;
}

static int read_flag(struct gy_load_options *options, enum flag flag, const char *value,
                     struct gy_error *error)
{
    uint32_t number = 0;
    int code;
    switch (flag) {
    case FLAG_CONNECTIONS:
        return read_u32("--connections", value, 1, 1000000, &options->connections, error);
    case FLAG_PIPELINE:
        return read_u32("--pipeline", value, 1, GY_LOAD_PIPELINE_MAX, &options->pipeline, error);
    case FLAG_OUTSTANDING:
        return read_u32("--outstanding", value, 1, UINT32_MAX, &options->outstanding, error);
    case FLAG_RATE:
        return read_rate(value, &options->rate, error);
    case FLAG_SEED:
        return read_count("--seed", value, 0, UINT64_MAX, &options->seed, error);
    case FLAG_SLO:
        return read_slo(options, value, error);
    case FLAG_DURATION:
        return read_time("--duration", value, false, &options->duration_ns, error);
    case FLAG_WARMUP:
        return read_time("--warmup", value, true, &options->warmup_ns, error);
    case FLAG_REQUESTS:
        return read_count("--requests", value, 1, UINT64_MAX / 2, &options->requests, error);
    case FLAG_THREADS:
        return read_u32("--threads", value, 1, GY_LOAD_THREADS_MAX, &options->threads, error);
    case FLAG_TIMEOUT:
        return read_time("--timeout", value, false, &options->timeout_ns, error);
    case FLAG_HEADER:
        return read_header(options, value, error);
    case FLAG_SIZE:
        return read_u32("--size", value, 1, 1u << 24, &options->size_bytes, error);
    case FLAG_METHOD:
    case FLAG_BODY:
    case FLAG_QUERIES:
    case FLAG_JSON:
    case FLAG_HDR:
        *text_of(options, flag) = value;
        return 0;
    case FLAG_EDNS:
        return read_u32("--edns", value, 512, 65535, &options->edns_bytes, error);
    case FLAG_SERVER_PID:
        code = read_u32("--server-pid", value, 1, INT32_MAX, &number, error);
        options->server_pid = (int)number;
        return code;
    case FLAG_SERVER_ADMIN:
        return read_admin(options, value, error);
    case FLAG_RECEIVE_MODE:
        return read_mode(options, value, error);
    case FLAG_UDP_MODE:
        return read_udp_mode(options, value, error);
    case FLAG_DATAGRAM:
        return read_u32("--datagram", value, 1200, 16000, &options->datagram_bytes, error);
    case FLAG_HANDSHAKES:
        return read_handshakes(options, value, error);
    case FLAG_CA:
        return read_authorities(options, value, error);
    case FLAG_SOURCE:
        return gy_load_source_add(options, value, error);
    case FLAG_PUBLISHERS:
        return read_u32("--publishers", value, 1, GY_LOAD_PUBLISHERS_MAX, &options->publishers,
                        error);
    case FLAG_COUNT:
        break;
    }
    gy_assert(false);
    return GY_EINVAL;
}

/* --check, --poisson, …: 1 when it is one. GY_EAGAIN when there is nothing more to do. */
static int read_switch(struct gy_load_options *options, const char *argument)
{
    const struct {
        const char *name;
        bool *value;
    } switches[] = {
        {"--poisson", &options->poisson},     {"--check", &options->check},
        {"--find-max", &options->find_max},   {"--quiet", &options->quiet},
        {"--trains", &options->trains},       {"--insecure", &options->insecure},
        {"--dnssec", &options->dnssec},       {"--acked", &options->acked},
        {"--broadcast", &options->broadcast}, {"--plaintext", &options->plaintext},
    };
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        if (strcmp(argument, switches[i].name) == 0) {
            *switches[i].value = true;
            return 1;
        }
    }
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
        help(stdout);
        return GY_EAGAIN;
    }
    if (strcmp(argument, "-q") == 0) {
        options->quiet = true;
        return 1;
    }
    if (strcmp(argument, "--version") == 0 || strcmp(argument, "-V") == 0) {
        printf("gyre-load " GY_VERSION "\n");
        return GY_EAGAIN;
    }
    return 0;
}

/* --name VALUE, --name=VALUE, -c VALUE, -cVALUE. Which flag, and its value (NULL: the next
 * argument); FLAG_COUNT when it is none. */
static enum flag find_flag(const char *argument, const char **value)
{
    for (unsigned i = 0; i < FLAG_COUNT; i++) {
        size_t length = strlen(valued[i].name);
        if (argument[1] == '-' && strncmp(argument + 2, valued[i].name, length) == 0 &&
            (argument[2 + length] == '\0' || argument[2 + length] == '=')) {
            *value = argument[2 + length] == '=' ? argument + 3 + length : NULL;
            return (enum flag)i;
        }
        if (valued[i].letter != 0 && argument[1] == valued[i].letter) {
            *value = argument[2] != '\0' ? argument + 2 : NULL;
            return (enum flag)i;
        }
    }
    return FLAG_COUNT;
}

int gy_load_options_read(struct gy_load_options *options, int argc, char **argv,
                         struct gy_error *error)
{
    bool given[FLAG_COUNT] = {false};
    *options = (struct gy_load_options){
        .connections = 64,
        .publishers = 1,
        .pipeline = 1,
        .threads = 1,
        .seed = 1,
        .timeout_ns = 5 * SECOND_NS,
        .slo_percentile = 99,
        .slo_ns = 5000000,
        .size_bytes = 64,
        .receive_mode = -1,
    };
    for (int i = 1; i < argc; i++) {
        int code = read_switch(options, argv[i]);
        if (code != 0) {
            if (code < 0) {
                return code;
            }
            continue;
        }
        if (argv[i][0] != '-') {
            if (options->url != NULL) {
                return gy_error_set(error, GY_EINVAL, "%s: one URL at a time", argv[i]);
            }
            code = gy_load_read_url(options, argv[i], error);
        } else {
            const char *value = NULL;
            enum flag flag = find_flag(argv[i], &value);
            if (flag == FLAG_COUNT) {
                char hint[GY_USAGE_HINT_BYTES];
                return gy_error_set(error, GY_EINVAL, "unknown flag %s%s", argv[i],
                                    gy_usage_hint(hint, argv[i], help));
            }
            if (value == NULL && ++i == argc) {
                return gy_error_set(error, GY_EINVAL, "%s: needs a value", argv[i - 1]);
            }
            given[flag] = true;
            code = read_flag(options, flag, value != NULL ? value : argv[i], error);
        }
        if (code != 0) {
            return code;
        }
    }
    const struct gy_load_given said = {
        .slo = given[FLAG_SLO],
        .duration = given[FLAG_DURATION],
        .warmup = given[FLAG_WARMUP],
        .size = given[FLAG_SIZE],
        .udp_mode = given[FLAG_UDP_MODE],
    };
    return gy_load_options_complete(options, &said, error);
}
