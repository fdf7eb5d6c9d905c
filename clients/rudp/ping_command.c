/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/rudp/ping_command.h"

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/rudp/ping.h"
#include "core/tls_files.h"
#include "servers/rudp/rudp_kind.h"
#include "servers/rudp/rudp_tls.h"

#define MS 1000000ull

static const char *const names[GY_RUDP_GUARANTEES] = {"unreliable", "sequenced", "unordered",
                                                      "ordered"};
static atomic_bool stop;

struct command {
    struct gy_rudp_ping_options ping;
    struct gy_tls_files tls;
    const char *target;
    char host[256]; /* of the target */
    bool insecure, plaintext, json;
    bool early_taken;
};

static void help(FILE *out)
{
    fprintf(
        out,
        "Usage: gyre rudp ping HOST:PORT [FLAGS]\n"
        "How long messages take to a server that echoes them (`gyre rudp serve --echo`), "
        "and back,\nby guarantee.\n\n"
        "  gyre rudp ping localhost:7117 --ca authority.pem\n"
        "  gyre rudp ping example.com:7117 --guarantee ordered --count 100\n"
        "  gyre rudp ping 127.0.0.1:7117 --plaintext --interval 0 --count 100000\n\n"
        "  --count N               messages of each guarantee (default: 10)\n"
        "  --interval MS           between two; 0: the next when the last one is back\n"
        "                          (default: 200)\n"
        "  --size BYTES            of one message (default: 64)\n"
        "  --guarantee NAME        unreliable, sequenced, unordered or ordered; may be\n"
        "                          repeated (default: all)\n"
        "  --timeout MS            of connecting, and of the last answers (default: 5000)\n"
        "  --datagram BYTES        of the longest datagram sent (default: 1200)\n"
        "  --congestion NAME       cubic or bbr (default: cubic)\n"
        "  --fec PACKETS           one repair for so many: 2 to 16 (default: none)\n"
        "  --qlog DIR              a qlog file of the connection there\n"
        "  --ca FILE               trust who FILE (PEM) says, not the system's authorities\n"
        "  --cert FILE[,KEY]       show this certificate, when asked\n"
        "  --insecure              do not check who the server is\n"
        "  --plaintext             without encryption, to a server that does without, too\n"
        "  --early                 come back with a ticket: the first messages go with the first\n"
        "                          packet (0-RTT; the server has early-data on)\n"
        "  --json                  one object\n\n"
        "Exit status: 0 when all reliable messages came back.\n");
}

static int read_number(const char *flag, const char *text, uint64_t min, uint64_t max,
                       uint64_t *number, struct gy_error *error)
{
    char *end = NULL;
    unsigned long long value = text != NULL ? strtoull(text, &end, 10) : 0;
    if (text == NULL || text[0] < '0' || text[0] > '9' || *end != '\0' || value < min ||
        value > max) {
        return gy_error_set(error, GY_EINVAL, "%s %s: not a number from %llu to %llu", flag,
                            text != NULL ? text : "", (unsigned long long)min,
                            (unsigned long long)max);
    }
    *number = value;
    return 0;
}

static int read_guarantee(struct command *command, const char *text, struct gy_error *error)
{
    for (int i = 0; i < GY_RUDP_GUARANTEES; i++) {
        if (text != NULL && strcmp(text, names[i]) == 0) {
            command->ping.guarantees[i] = true;
            return 0;
        }
    }
    return gy_error_set(error, GY_EINVAL,
                        "--guarantee %s: not unreliable, sequenced, unordered or ordered",
                        text != NULL ? text : "");
}

static int read_valued(struct command *command, const char *flag, const char *value,
                       struct gy_error *error)
{
    struct gy_rudp_ping_options *ping = &command->ping;
    uint64_t number = 0;
    int code;
    if (strcmp(flag, "--guarantee") == 0) {
        return read_guarantee(command, value, error);
    }
    if (value != NULL && strcmp(flag, "--cert") == 0) {
        return gy_tls_files_add_flag(&command->tls, value, error);
    }
    if (value != NULL && strcmp(flag, "--ca") == 0) {
        free(command->tls.authorities);
        command->tls.authorities = strdup(value);
        return command->tls.authorities != NULL ? 0
                                                : gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    if (value != NULL && strcmp(flag, "--qlog") == 0) {
        ping->qlog = value;
        return 0;
    }
    if (value != NULL && strcmp(flag, "--congestion") == 0 &&
        (strcmp(value, "bbr") == 0 || strcmp(value, "cubic") == 0)) {
        ping->congestion = value[0] == 'b' ? GY_RUDP_BBR : GY_RUDP_CUBIC;
        return 0;
    }
    if (strcmp(flag, "--fec") == 0) {
        code = read_number(flag, value, 2, GY_RUDP_FEC_PACKETS_MAX, &number, error);
        ping->fec_packets = (uint32_t)number;
    } else if (strcmp(flag, "--count") == 0) {
        code = read_number(flag, value, 1, GY_RUDP_PING_COUNT_MAX, &number, error);
        ping->count = (uint32_t)number;
    } else if (strcmp(flag, "--interval") == 0) {
        code = read_number(flag, value, 0, 3600000, &number, error);
        ping->interval_ns = number * MS;
    } else if (strcmp(flag, "--timeout") == 0) {
        code = read_number(flag, value, 1, 3600000, &number, error);
        ping->timeout_ns = number * MS;
    } else if (strcmp(flag, "--size") == 0) {
        code = read_number(flag, value, GY_RUDP_PING_BYTES_MIN, GY_RUDP_PING_BYTES_MAX, &number,
                           error);
        ping->bytes = (uint32_t)number;
    } else if (strcmp(flag, "--datagram") == 0) {
        code = read_number(flag, value, GY_RUDP_DATAGRAM_MIN, GY_RUDP_DATAGRAM_MAX, &number, error);
        ping->datagram_bytes = (uint32_t)number;
    } else {
        code = gy_error_set(error, GY_EINVAL, "unknown flag or argument %s", flag);
    }
    return code;
}

/* -1: go on; otherwise the exit status. */
static int read_flags(struct command *command, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct gy_error error = {0};
        char *equals = strncmp(argv[i], "--", 2) == 0 ? strchr(argv[i], '=') : NULL;
        char flag[32];
        snprintf(flag, sizeof flag, "%.*s", equals != NULL ? (int)(equals - argv[i]) : 31, argv[i]);
        if (strcmp(flag, "--help") == 0 || strcmp(flag, "-h") == 0) {
            help(stdout);
            return 0;
        }
        if (strcmp(argv[i], "--insecure") == 0) {
            command->insecure = true;
        } else if (strcmp(argv[i], "--plaintext") == 0) {
            command->plaintext = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            command->json = true;
        } else if (strcmp(argv[i], "--early") == 0) {
            command->ping.early = true;
        } else if (argv[i][0] != '-' && command->target == NULL) {
            command->target = argv[i];
        } else {
            const char *value = equals != NULL ? equals + 1 : i + 1 < argc ? argv[i + 1] : NULL;
            if (read_valued(command, flag, value, &error) != 0) {
                fprintf(stderr, "gyre rudp ping: %s\nTry `gyre rudp ping --help`.\n",
                        error.message);
                return 2;
            }
            i += equals == NULL;
        }
    }
    bool tls = command->ping.early || command->insecure || command->tls.authorities != NULL ||
               command->tls.pair_count > 0;
    if (command->target == NULL || (command->plaintext && tls)) {
        fprintf(stderr, "gyre rudp ping: %s\nTry `gyre rudp ping --help`.\n",
                command->target == NULL
                    ? "HOST:PORT is needed"
                    : "--ca, --cert, --insecure and --early are for encryption, and --plaintext is "
                      "without");
        return 2;
    }
    if (strchr(command->target, ':') == NULL) {
        fprintf(stderr, "gyre rudp ping: %s: write HOST:PORT\nTry `gyre rudp ping --help`.\n",
                command->target);
        return 2;
    }
    return -1;
}

/* "HOST:PORT", "[ADDRESS]:PORT". */
static int resolve(struct command *command, struct gy_error *error)
{
    char *host = command->host;
    const char *colon = strrchr(command->target, ':');
    uint64_t port = 0;
    struct gy_error why = {0};
    if (colon != NULL && (size_t)(colon - command->target) < sizeof command->host) {
        snprintf(host, sizeof command->host, "%.*s", (int)(colon - command->target),
                 command->target);
    }
    if (gy_address_parse(&command->ping.address, command->target, &why) == 0 &&
        command->target[0] != ':') {
        return 0;
    }
    if (colon == NULL || colon == command->target ||
        read_number("port", colon + 1, 1, 65535, &port, &why) != 0 ||
        (size_t)(colon - command->target) >= sizeof command->host) {
        return gy_error_set(error, GY_EINVAL, "%.200s: write HOST:PORT", command->target);
    }
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(host, NULL, &hints, &found);
    if (result != 0) {
        return gy_error_set(error, GY_EINVAL, "no address for %s: %s", host, gai_strerror(result));
    }
    int code = gy_address_from_sockaddr(&command->ping.address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    gy_address_set_port(&command->ping.address, (uint16_t)port);
    return code == 0 ? 0 : gy_error_set(error, code, "%s has no address that can be used", host);
}

/* What encrypts; nothing with --plaintext. */
static int open_tls(struct command *command, struct gy_tls_config **config, struct gy_error *error)
{
    struct gy_tls_files *files = &command->tls;
    if (command->plaintext) {
        return 0;
    }
    files->verify = command->insecure ? GY_TLS_VERIFY_NONE : GY_TLS_VERIFY_REQUIRED;
    files->resume = true;
    files->protocols[0] = GY_RUDP_ALPN;
    files->protocol_count = 1;
    if (command->insecure) {
        fprintf(stderr, "gyre rudp ping: WARNING: --insecure: nobody checks who the server is; "
                        "whoever is on the way can read and change everything\n");
    }
    int code = gy_tls_files_open(config, files, NULL, error);
    command->ping.tls = *config;
    command->ping.host = command->host;
    return code;
}

static double us(const struct gy_rudp_ping_result *result, double quantile)
{
    uint32_t last = result->received - 1;
    return (double)result->rtt_ns[(uint32_t)(quantile * last + 0.5)] / 1e3;
}

static void report_json(const struct command *command, const struct gy_rudp_ping_result *results)
{
    const char *comma = "";
    printf("{\"target\":\"%s\",\"bytes\":%u,\"guarantees\":{", command->target,
           command->ping.bytes);
    for (int i = 0; i < GY_RUDP_GUARANTEES; i++) {
        const struct gy_rudp_ping_result *result = &results[i];
        if (!command->ping.guarantees[i]) {
            continue;
        }
        printf("%s\"%s\":{\"sent\":%u,\"received\":%u", comma, names[i], result->sent,
               result->received);
        if (result->received > 0) {
            printf(",\"min_us\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f",
                   us(result, 0), us(result, 0.5), us(result, 0.99), us(result, 1));
        }
        printf("}");
        comma = ",";
    }
    printf("}");
    if (command->ping.early) {
        printf(",\"early_taken\":%s", command->early_taken ? "true" : "false");
    }
    printf("}\n");
}

static void report(const struct command *command, const struct gy_rudp_ping_result *results)
{
    printf("%u bytes to %s and back, in microseconds\n\n", command->ping.bytes, command->target);
    printf("%-12s %9s %9s %9s %9s %9s %9s\n", "guarantee", "sent", "back", "min", "p50", "p99",
           "max");
    for (int i = 0; i < GY_RUDP_GUARANTEES; i++) {
        const struct gy_rudp_ping_result *result = &results[i];
        if (!command->ping.guarantees[i]) {
            continue;
        }
        printf("%-12s %9u %9u", names[i], result->sent, result->received);
        if (result->received > 0) {
            printf(" %9.1f %9.1f %9.1f %9.1f", us(result, 0), us(result, 0.5), us(result, 0.99),
                   us(result, 1));
        }
        printf("\n");
    }
    if (command->ping.early) {
        printf("\nThe first messages were %staken with the first packet.\n",
               command->early_taken ? "" : "not ");
    }
}

static void on_signal(int number)
{
    (void)number;
    atomic_store_explicit(&stop, true, memory_order_relaxed);
}

int gy_rudp_ping_main(int argc, char **argv)
{
    struct command command = {.ping = {.count = 10,
                                       .bytes = 64,
                                       .interval_ns = 200 * MS,
                                       .timeout_ns = 5000 * MS,
                                       .datagram_bytes = GY_RUDP_DATAGRAM_MIN,
                                       .stop = &stop}};
    struct gy_rudp_ping_result results[GY_RUDP_GUARANTEES] = {0};
    struct gy_error error = {0};
    bool any = false;
    int status = read_flags(&command, argc, argv);
    if (status >= 0) {
        gy_tls_files_close(&command.tls);
        return status;
    }
    command.ping.early_taken = &command.early_taken;
    for (int i = 0; i < GY_RUDP_GUARANTEES; i++) {
        any |= command.ping.guarantees[i];
    }
    for (int i = 0; i < GY_RUDP_GUARANTEES && !any; i++) {
        command.ping.guarantees[i] = true;
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct gy_tls_config *config = NULL;
    int code = resolve(&command, &error);
    code = code == 0 ? open_tls(&command, &config, &error) : code;
    code = code == 0 ? gy_rudp_ping(&command.ping, results, &error) : code;
    if (code != 0) {
        fprintf(stderr, "gyre rudp ping: %s\n", error.message);
    } else if (command.json) {
        report_json(&command, results);
    } else {
        report(&command, results);
    }
    status = code == 0 ? 0 : 1;
    for (int i = GY_RUDP_UNORDERED; i <= GY_RUDP_ORDERED; i++) {
        status = results[i].received < results[i].sent ? 1 : status;
    }
    gy_rudp_ping_free(results);
    gy_tls_config_close(config);
    gy_tls_files_close(&command.tls);
    return status;
}
