/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/rudp/sim_command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clients/rudp/sim_plot.h"
#include "core/file_check.h"
#include "core/usage.h"

#define MS 1000000ull

struct sim {
    struct path_options path;
    double rtt_ms, jitter_ms, loss, rate, queue, seconds, messages, lifetime_ms;
    double bytes, fec, seed;
    const char *svg;
    bool cubic, unordered, beside, beside_tcp, json;
};

static void help(FILE *out)
{
    fprintf(out, "Usage: gyre rudp sim [FLAGS]\n"
                 "What reliable UDP makes of a path, in simulated time: a second of it takes\n"
                 "milliseconds, and the same flags and seed give the same figures.\n\n"
                 "  gyre rudp sim --loss 5 --svg loss.svg\n"
                 "  gyre rudp sim --messages 0 --bytes 1024 --rate 2500000 --congestion cubic\n"
                 "  gyre rudp sim --messages 0 --rate 2500000 --beside tcp --seconds 60\n\n"
                 "  --rtt MS                there and back (default: 20)\n"
                 "  --jitter MS             added to each way, at random (default: 0)\n"
                 "  --loss PERCENT          at random, both ways (default: 1)\n"
                 "  --rate BYTES/S          of the bottleneck; 0: none (default: 0)\n"
                 "  --queue BYTES           in front of it (default: 100000)\n"
                 "  --messages N            a second; 0: as many as go (default: 1000)\n"
                 "  --bytes N               of a message (default: 200)\n"
                 "  --lifetime MS           given up after that; 0: never (default: 0)\n"
                 "  --unordered             default: ordered\n"
                 "  --congestion NAME       bbr or cubic (default: bbr)\n"
                 "  --fec PACKETS           a repair for so many; 0: none (default: 0)\n"
                 "  --beside same|tcp       a second flow on the same path: its like, or TCP\n"
                 "  --seconds N             that messages are sent (default: 10)\n"
                 "  --seed N                (default: 1)\n"
                 "  --svg FILE              draws the first flow\n"
                 "  --json                  one object\n");
}

static bool read_number(struct sim *sim, const char *flag, const char *value)
{
    const struct {
        const char *name;
        double *number, least, most;
    } numbers[] = {
        {"--rtt", &sim->rtt_ms, 0, 10000},   {"--jitter", &sim->jitter_ms, 0, 1000},
        {"--loss", &sim->loss, 0, 90},       {"--rate", &sim->rate, 0, 1e9},
        {"--queue", &sim->queue, 2000, 1e8}, {"--messages", &sim->messages, 0, 100000},
        {"--bytes", &sim->bytes, 16, 65536}, {"--lifetime", &sim->lifetime_ms, 0, 60000},
        {"--fec", &sim->fec, 0, 16},         {"--seconds", &sim->seconds, 0.1, 600},
        {"--seed", &sim->seed, 0, 1e15},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(flag, numbers[i].name) == 0) {
            char *end = NULL;
            double number = value != NULL ? strtod(value, &end) : 0;
            if (value == NULL || strchr("0123456789.", value[0]) == NULL || end == value ||
                *end != '\0' || !(number >= numbers[i].least) || number > numbers[i].most ||
                (i == 8 && number == 1)) {
                fprintf(stderr, "gyre rudp sim: %s %s: not a number from %g to %g%s\n", flag,
                        value != NULL ? value : "", numbers[i].least, numbers[i].most,
                        i == 8 ? " other than 1" : "");
                exit(2);
            }
            *numbers[i].number = number;
            return true;
        }
    }
    return false;
}

static bool read_name(struct sim *sim, const char *flag, const char *value)
{
    if (strcmp(flag, "--svg") == 0 && value != NULL) {
        sim->svg = value;
        return true;
    }
    if (strcmp(flag, "--congestion") == 0 && value != NULL &&
        (strcmp(value, "bbr") == 0 || strcmp(value, "cubic") == 0)) {
        sim->cubic = value[0] == 'c';
        return true;
    }
    if (strcmp(flag, "--beside") == 0 && value != NULL &&
        (strcmp(value, "same") == 0 || strcmp(value, "tcp") == 0)) {
        sim->beside = true;
        sim->beside_tcp = value[0] == 't';
        return true;
    }
    return false;
}

/* -1: go on; otherwise the exit status. */
static int read_flags(struct sim *sim, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help(stdout);
            return 0;
        }
        if (strcmp(argv[i], "--unordered") == 0) {
            sim->unordered = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            sim->json = true;
        } else if (read_number(sim, argv[i], value) || read_name(sim, argv[i], value)) {
            i++;
        } else {
            char hint[GY_USAGE_HINT_BYTES];
            fprintf(stderr,
                    "gyre rudp sim: unknown flag, or not one of its values: %s %s%s\n"
                    "Try `gyre rudp sim --help`.\n",
                    argv[i], value != NULL ? value : "", gy_usage_hint(hint, argv[i], help));
            return 2;
        }
    }
    return -1;
}

static void prepare(struct sim *sim)
{
    struct path_options *path = &sim->path;
    path->seed = (uint64_t)sim->seed;
    path->duration_ns = (uint64_t)(sim->seconds * 1e9);
    path->trace_ns = path->duration_ns / 400;
    path->forward = (struct sim_link){.delay_ns = (uint64_t)(sim->rtt_ms / 2 * MS),
                                      .jitter_ns = (uint64_t)(sim->jitter_ms * MS),
                                      .loss = sim->loss / 100};
    path->back = path->forward;
    path->forward.rate = (uint64_t)sim->rate;
    path->forward.queue_bytes = (uint64_t)sim->queue;
    path->flow_count = sim->beside ? 2 : 1;
    for (uint32_t i = 0; i < path->flow_count; i++) {
        path->flows[i] = (struct path_flow_options){
            .congestion = sim->cubic ? GY_RUDP_CUBIC : GY_RUDP_BBR,
            .tcp = i == 1 && sim->beside_tcp,
            .guarantee = sim->unordered ? GY_RUDP_UNORDERED : GY_RUDP_ORDERED,
            .message_bytes = (uint32_t)sim->bytes,
            .interval_ns = sim->messages > 0 ? (uint64_t)(1e9 / sim->messages) : 0,
            .lifetime_ns = (uint64_t)(sim->lifetime_ms * MS),
            .fec_packets = (uint32_t)sim->fec,
        };
    }
}

static void report(const struct sim *sim, const struct path_result *result)
{
    for (uint32_t i = 0; i < sim->path.flow_count; i++) {
        const struct path_flow_result *flow = &result->flows[i];
        double rate = (double)flow->delivered_bytes / 1e6 / sim->seconds;
        if (sim->path.flows[i].tcp) {
            printf("%-24s%.3f MB/s\n", "beside it, TCP", rate);
            continue;
        }
        printf("%-24s%llu sent, %llu delivered, %llu expired\n",
               i == 0 ? "messages" : "beside it, messages", (unsigned long long)flow->sent,
               (unsigned long long)flow->delivered, (unsigned long long)flow->expired);
        if (flow->delays_ns != NULL) {
            printf("%-24sp50 %.1f, p99 %.1f, longest %.1f ms\n", "one way",
                   (double)path_quantile(flow, 0.5) / 1e6, (double)path_quantile(flow, 0.99) / 1e6,
                   (double)path_quantile(flow, 1) / 1e6);
        }
        printf("%-24s%.3f MB/s\n", "delivered", rate);
        printf("%-24s%llu sent, %llu taken for lost, %llu of them wrongly, %llu recovered\n",
               "packets", (unsigned long long)flow->stats.packets_sent,
               (unsigned long long)flow->stats.lost, (unsigned long long)flow->stats.spurious,
               (unsigned long long)flow->received.recovered);
    }
}

static void report_json(const struct sim *sim, const struct path_result *result)
{
    const char *comma = "";
    printf("{\"seed\":%llu,\"flows\":[", (unsigned long long)sim->path.seed);
    for (uint32_t i = 0; i < sim->path.flow_count; i++) {
        const struct path_flow_result *flow = &result->flows[i];
        printf("%s{\"tcp\":%s,\"bytes_per_second\":%.0f,\"sent\":%llu,\"delivered\":%llu,"
               "\"expired\":%llu,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f,"
               "\"packets_sent\":%llu,\"packets_lost\":%llu,\"spurious\":%llu,"
               "\"recovered\":%llu}",
               comma, sim->path.flows[i].tcp ? "true" : "false",
               (double)flow->delivered_bytes / sim->seconds, (unsigned long long)flow->sent,
               (unsigned long long)flow->delivered, (unsigned long long)flow->expired,
               (double)path_quantile(flow, 0.5) / 1e6, (double)path_quantile(flow, 0.99) / 1e6,
               (double)path_quantile(flow, 1) / 1e6, (unsigned long long)flow->stats.packets_sent,
               (unsigned long long)flow->stats.lost, (unsigned long long)flow->stats.spurious,
               (unsigned long long)flow->received.recovered);
        comma = ",";
    }
    printf("]}\n");
}

static int plot(const struct sim *sim, const struct path_result *result)
{
    char title[160], why[GY_FILE_WHY_BYTES];
    FILE *out = fopen(sim->svg, "w");
    if (out == NULL) {
        fprintf(stderr, "gyre rudp sim: writing %s: %s\n", sim->svg,
                gy_file_why(why, sim->svg, W_OK, errno));
        return 1;
    }
    snprintf(title, sizeof title, "%s, %g ms, %g %% loss, %g bytes/s, seed %g",
             sim->cubic ? "CUBIC" : "BBR", sim->rtt_ms, sim->loss, sim->rate, sim->seed);
    gy_rudp_sim_plot(out, result, title);
    if (fclose(out) != 0) {
        fprintf(stderr, "gyre rudp sim: writing %s: %s\n", sim->svg, strerror(errno));
        return 1;
    }
    return 0;
}

int gy_rudp_sim_main(int argc, char **argv)
{
    struct sim sim = {.rtt_ms = 20,
                      .loss = 1,
                      .queue = 100000,
                      .seconds = 10,
                      .messages = 1000,
                      .bytes = 200,
                      .seed = 1};
    int status = read_flags(&sim, argc, argv);
    if (status >= 0) {
        return status;
    }
    struct path_result *result = calloc(1, sizeof *result);
    if (result == NULL) {
        fprintf(stderr, "gyre rudp sim: out of memory\n");
        return 1;
    }
    prepare(&sim);
    status = path_run(&sim.path, result) == 0 ? 0 : 1;
    if (status != 0) {
        fprintf(stderr, "gyre rudp sim: %s\n", result->failure);
    } else if (sim.json) {
        report_json(&sim, result);
    } else {
        report(&sim, result);
    }
    if (status == 0 && sim.svg != NULL) {
        status = plot(&sim, result);
    }
    path_free(result);
    free(result);
    return status;
}
