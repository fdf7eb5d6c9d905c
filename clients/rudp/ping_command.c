/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/rudp/ping_command.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/rudp/ping.h"
#include "clients/rudp/target.h"
#include "core/usage.h"

#define MS 1000000ull

static const char *const names[GY_RUDP_GUARANTEES] = {"unreliable", "sequenced", "unordered",
                                                      "ordered"};
static atomic_bool stop;

struct command {
    struct gy_rudp_ping_options ping;
    struct gy_rudp_target target;
    bool json;
    bool early_taken;
};

static void help(FILE *out)
{
    fprintf(out,
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
            "%s"
            "  --early                 come back with a ticket: the first messages go with the\n"
            "                          first packet (0-RTT; the server has early-data on)\n"
            "  --json                  one object\n\n"
            "Exit status: 0 when all reliable messages came back.\n",
            gy_rudp_target_help);
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
    if (strcmp(flag, "--count") == 0) {
        code = gy_rudp_target_number(flag, value, 1, GY_RUDP_PING_COUNT_MAX, &number, error);
        ping->count = (uint32_t)number;
    } else if (strcmp(flag, "--interval") == 0) {
        code = gy_rudp_target_number(flag, value, 0, 3600000, &number, error);
        ping->interval_ns = number * MS;
    } else if (strcmp(flag, "--size") == 0) {
        code = gy_rudp_target_number(flag, value, GY_RUDP_PING_BYTES_MIN, GY_RUDP_PING_BYTES_MAX,
                                     &number, error);
        ping->bytes = (uint32_t)number;
    } else {
        char hint[GY_USAGE_HINT_BYTES];
        code = gy_error_set(error, GY_EINVAL, "unknown flag or argument %s%s", flag,
                            gy_usage_hint(hint, flag, help));
    }
    return code;
}

/* One argument, and its value. */
static int read_flag(struct command *command, int argc, char **argv, int *index,
                     struct gy_error *error)
{
    const char *argument = argv[*index];
    int taken = gy_rudp_target_flag(&command->target, argc, argv, index, error);
    if (taken != 0) {
        return taken < 0 ? taken : 0;
    }
    if (strcmp(argument, "--json") == 0) {
        command->json = true;
        return 0;
    }
    if (strcmp(argument, "--early") == 0) {
        command->ping.early = true;
        return 0;
    }
    if (argument[0] != '-' && command->target.text == NULL) {
        command->target.text = argument;
        return 0;
    }
    const char *equals = strncmp(argument, "--", 2) == 0 ? strchr(argument, '=') : NULL;
    char flag[32];
    snprintf(flag, sizeof flag, "%.*s", equals != NULL ? (int)(equals - argument) : 31, argument);
    if (equals == NULL) {
        ++*index;
    }
    return read_valued(command, flag,
                       equals != NULL  ? equals + 1
                       : *index < argc ? argv[*index]
                                       : NULL,
                       error);
}

/* -1: go on; otherwise the exit status. */
static int read_flags(struct command *command, int argc, char **argv)
{
    struct gy_error error = {0};
    int code = 0;
    for (int i = 1; i < argc && code == 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help(stdout);
            return 0;
        }
        code = read_flag(command, argc, argv, &i, &error);
    }
    code = code == 0 ? gy_rudp_target_check(&command->target, &error) : code;
    if (code == 0 && command->ping.early && command->target.plaintext) {
        code = gy_error_set(&error, GY_EINVAL,
                            "--early is for encryption, and --plaintext is without");
    }
    if (code != 0) {
        fprintf(stderr, "gyre rudp ping: %s\nTry `gyre rudp ping --help`.\n", error.message);
        return 2;
    }
    return -1;
}

static double us(const struct gy_rudp_ping_result *result, double quantile)
{
    uint32_t last = result->received - 1;
    return (double)result->rtt_ns[(uint32_t)(quantile * last + 0.5)] / 1e3;
}

static void report_json(const struct command *command, const struct gy_rudp_ping_result *results)
{
    const char *comma = "";
    printf("{\"target\":\"%s\",\"bytes\":%u,\"guarantees\":{", command->target.text,
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

/* Of what was sent, anything. */
static bool any_came(const struct command *command, const struct gy_rudp_ping_result *results)
{
    uint32_t sent = 0;
    uint32_t received = 0;
    for (int i = 0; i < GY_RUDP_GUARANTEES; i++) {
        sent += command->ping.guarantees[i] ? results[i].sent : 0;
        received += results[i].received;
    }
    return sent == 0 || received > 0;
}

static void report(const struct command *command, const struct gy_rudp_ping_result *results)
{
    printf("%u bytes to %s and back, in microseconds\n\n", command->ping.bytes,
           command->target.text);
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
    if (!any_came(command, results)) {
        printf("\nNothing came back: is that server an echo (`gyre rudp serve --echo`)?\n");
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
    struct command command = {
        .ping = {.count = 10, .bytes = 64, .interval_ns = 200 * MS, .stop = &stop}};
    struct gy_rudp_ping_result results[GY_RUDP_GUARANTEES] = {0};
    struct gy_error error = {0};
    bool any = false;
    gy_rudp_target_init(&command.target, "gyre rudp ping");
    int status = read_flags(&command, argc, argv);
    if (status >= 0) {
        gy_rudp_target_close(&command.target);
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
    int code = gy_rudp_target_open(&command.target, &error);
    command.ping.target = &command.target;
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
    gy_rudp_target_close(&command.target);
    return status;
}
