/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What a run found, for people; and the verdicts on it. */

#include <math.h>
#include <string.h>

#include <hdr/hdr_histogram_log.h>

#include "bench/load/histogram.h"
#include "bench/load/load.h"

/* Of a thread's time: what is left of a core is the machine's own. */
#define BUSY_LIMIT 0.95
/* Lateness of the generator that no longer passes for noise. */
#define LATE_NS 1000000
/* Connecting that took so long is worth a line. */
#define CONNECT_S 1.0
/* Kinds of answers, at most. */
#define TALLIES_SHOWN 8u

static const double percentiles[] = {50, 75, 90, 99, 99.9, 99.99, 99.999, 100};
#define PERCENTILES (sizeof percentiles / sizeof percentiles[0])

uint64_t gy_load_errors(const struct gy_load_result *result)
{
    uint64_t errors = 0;
    for (unsigned i = 0; i < GY_LOAD_ERROR_COUNT; i++) {
        errors += result->errors[i];
    }
    return errors;
}

double gy_load_server_us(const struct gy_load_result *result)
{
    return result->server_answered > 0
               ? result->server_cpu_s * 1e6 / (double)result->server_answered
               : 0;
}

double gy_load_rate(const struct gy_load_result *result)
{
    return result->seconds > 0 ? (double)result->answered / result->seconds : 0;
}

const char *gy_load_bottleneck(const struct gy_load_options *options,
                               const struct gy_load_result *result)
{
    if (result->busy_max >= BUSY_LIMIT) {
        return "its threads had no time left";
    }
    if (options->rate > 0 && result->lateness->total_count > 0 &&
        hdr_value_at_percentile(result->lateness, 99) > LATE_NS) {
        return "it was late with its own requests";
    }
    return NULL;
}

bool gy_load_rate_reached(const struct gy_load_options *options,
                          const struct gy_load_result *result)
{
    if (options->rate == 0) {
        return true;
    }
    /* What is in flight at the edges of the window may be missing. */
    double edges = (double)options->connections * options->pipeline;
    double slack = 0.01 * (double)result->scheduled;
    double most = fmin(edges, slack) + 2 * sqrt((double)result->scheduled) + 1;
    return result->unsent == 0 || (double)result->answered + most >= (double)result->scheduled;
}

/* "812 ns", "35.2 us", "1.24 ms", "3.02 s": always seven wide. */
static void print_time(FILE *out, double ns)
{
    static const struct {
        double ns;
        const char *name;
    } units[] = {{1e9, "s "}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
    size_t unit = 0;
    while (unit < 3 && ns < units[unit].ns) {
        unit++;
    }
    double value = ns / units[unit].ns;
    fprintf(out, "%7.*f %s", value >= 100 ? 0 : value >= 10 ? 1 : 2, value, units[unit].name);
}

static void print_row(FILE *out, const char *name, struct hdr_histogram *histogram)
{
    if (histogram->total_count == 0) {
        return;
    }
    fprintf(out, "  %-9s", name);
    for (size_t i = 0; i < PERCENTILES; i++) {
        fputc(' ', out);
        print_time(out, (double)hdr_value_at_percentile(histogram, percentiles[i]));
    }
    fputc('\n', out);
}

static void print_latencies(FILE *out, const struct gy_load_options *options,
                            const struct gy_load_result *result)
{
    if (result->latency->total_count == 0) {
        return;
    }
    fprintf(out, "\n  %-9s", "");
    for (size_t i = 0; i < PERCENTILES; i++) {
        char name[16];
        snprintf(name, sizeof name, percentiles[i] < 100 ? "p%g" : "max", percentiles[i]);
        fprintf(out, " %10s", name);
    }
    fputc('\n', out);
    print_row(out, "latency", result->latency);
    if (options->rate > 0) {
        print_row(out, "service", result->service);
        print_row(out, "lateness", result->lateness);
    }
    if (result->unsent > 0 || result->errors[GY_LOAD_ERROR_TIMEOUT] > 0) {
        fprintf(out, "  (requests without an answer are in the latencies with the time they "
                     "waited: not less)\n");
    }
}

/* ": 12 refused, 3 without an answer in time" */
static void print_dial_errors(FILE *out, const struct gy_load_result *result)
{
    static const char *const texts[] = {
#define GY_LOAD_DIAL_ERROR_TEXT(name, key, text) text,
        GY_LOAD_DIAL_ERRORS(GY_LOAD_DIAL_ERROR_TEXT)
#undef GY_LOAD_DIAL_ERROR_TEXT
    };
    const char *before = ": ";
    for (unsigned i = 0; i < GY_LOAD_DIAL_ERROR_COUNT; i++) {
        if (result->dial_errors[i] > 0) {
            fprintf(out, "%s%llu %s", before, (unsigned long long)result->dial_errors[i], texts[i]);
            before = ", ";
        }
    }
}

static void print_errors(FILE *out, const struct gy_load_result *result)
{
    static const char *const texts[] = {
#define GY_LOAD_ERROR_TEXT(name, key, text) text,
        GY_LOAD_ERRORS(GY_LOAD_ERROR_TEXT)
#undef GY_LOAD_ERROR_TEXT
    };
    if (gy_load_errors(result) == 0) {
        fprintf(out, "  no errors\n");
        return;
    }
    for (unsigned i = 0; i < GY_LOAD_ERROR_COUNT; i++) {
        if (result->errors[i] > 0) {
            fprintf(out, "  ERROR  %llu %s", (unsigned long long)result->errors[i], texts[i]);
            if (i == GY_LOAD_ERROR_CONNECT) {
                print_dial_errors(out, result);
            } else if (i == GY_LOAD_ERROR_PROTOCOL && result->broken[0] != '\0') {
                fprintf(out, "; one had %s", result->broken);
            }
            fputc('\n', out);
        }
    }
}

/* The kind that came most often of those that are not told yet; TALLIES_MAX: none. */
static uint32_t most_frequent(const struct gy_load_result *result, const bool *told, uint32_t kinds)
{
    uint32_t most = GY_LOAD_TALLIES_MAX;
    for (uint32_t i = 0; i < kinds; i++) {
        if (!told[i] && result->tallies[i] > 0 &&
            (most == GY_LOAD_TALLIES_MAX || result->tallies[i] > result->tallies[most])) {
            most = i;
        }
    }
    return most;
}

/* "answers: 200 × 51234, 404 × 12": the most frequent first. */
static void print_tallies(FILE *out, const struct gy_load_options *options,
                          const struct gy_load_result *result)
{
    const struct gy_load_protocol *protocol = options->protocol;
    bool told[GY_LOAD_TALLIES_MAX] = {false};
    uint32_t kinds = 0, there = 0, shown = 0;
    uint64_t left = 0;
    for (; protocol->tally_name != NULL && protocol->tally_name(kinds) != NULL; kinds++) {
        there += result->tallies[kinds] > 0;
        left += result->tallies[kinds];
    }
    bool plain = protocol->tallies_many && there == 1 && result->errors[GY_LOAD_ERROR_STATUS] == 0;
    if (there == 0 || plain) {
        return;
    }
    for (; shown < TALLIES_SHOWN && shown < there; shown++) {
        uint32_t next = most_frequent(result, told, kinds);
        told[next] = true;
        left -= result->tallies[next];
        fprintf(out, "%s%s × %llu", shown == 0 ? "  answers: " : ", ", protocol->tally_name(next),
                (unsigned long long)result->tallies[next]);
    }
    if (there > shown) {
        fprintf(out, ", %u other kinds × %llu", there - shown, (unsigned long long)left);
    }
    fputc('\n', out);
}

static void print_cpu(FILE *out, const struct gy_load_options *options,
                      const struct gy_load_result *result)
{
    double answered = (double)result->answered;
    fprintf(out, "\n  generator ");
    if (result->answered > 0) {
        fprintf(out, "%6.2f us of CPU a request, ", result->generator_cpu_s * 1e6 / answered);
    }
    fprintf(out, "busiest thread %.0f %% busy\n", result->busy_max * 100);
    if (result->server_cpu_s >= 0) {
        fprintf(out, "  server    %6.2f us of CPU a request, %.0f %% of a core\n",
                gy_load_server_us(result), result->server_cpu_s / result->seconds * 100);
    } else if (result->server_error.message[0] != '\0') {
        fprintf(out, "  server    its CPU time is not known: %s\n", result->server_error.message);
    }
    if (options->broadcast && result->server_cpu_s >= 0 && result->deliveries > 0) {
        fprintf(out, "            %6.3f us of CPU for each connection that a message came to\n",
                gy_load_server_us(result) * (double)result->answered / (double)result->deliveries);
    }
    if (result->counters.known && result->server_answered > 0) {
        double each = (double)result->server_answered;
        const struct gy_load_counters *counters = &result->counters;
        fprintf(out,
                "            %6.3f enters, %.3f submissions, %.3f completions, %.1f bytes copied a "
                "request\n",
                counters->enters / each, counters->submissions / each, counters->completions / each,
                counters->copied_bytes / each);
    }
}

void gy_load_report(FILE *out, const struct gy_load_options *options,
                    const struct gy_load_result *result)
{
    bool get = options->method == NULL || strcmp(options->method, "GET") == 0;
    fprintf(out, "%s%s%s  %u connection%s", get ? "" : options->method, get ? "" : " ",
            options->url, options->connections, options->connections == 1 ? "" : "s");
    if (options->pipeline > 1) {
        fprintf(out, " x %u in flight", options->pipeline);
    }
    if (options->outstanding > 0) {
        fprintf(out, ", %u in flight in all", options->outstanding);
    }
    if (options->threads > 1) {
        fprintf(out, ", %u threads", options->threads);
    }
    if (options->rate > 0) {
        fprintf(out, ", %.0f/s %s", options->rate,
                options->arrivals == GY_LOAD_POISSON ? "Poisson" : "constant");
    }
    if (options->broadcast) {
        fprintf(out, ", broadcast");
    }
    if (options->publishers > 1) {
        fprintf(out, " by %u publishers", options->publishers);
    }
    fprintf(out, "%s\n", result->interrupted ? "  (interrupted)" : "");
    fprintf(out, "  %llu answers in %.2f s: %.1f/s%s\n", (unsigned long long)result->answered,
            result->seconds, gy_load_rate(result), options->check ? ", bodies compared" : "");
    if (options->broadcast) {
        fprintf(out, "  %llu messages were got by a connection\n",
                (unsigned long long)result->deliveries);
    }
    if (options->rate > 0) {
        fprintf(out, "  %llu were due%s", (unsigned long long)result->scheduled,
                result->unsent > 0 ? "" : "\n");
        if (result->unsent > 0) {
            fprintf(out, ", %llu of them were never sent: no connection had room\n",
                    (unsigned long long)result->unsent);
        }
    }
    if (result->connect_s >= CONNECT_S || result->errors[GY_LOAD_ERROR_CONNECT] > 0) {
        fprintf(out, "  connecting took %.2f s\n", result->connect_s);
    }
    print_tallies(out, options, result);
    print_errors(out, result);
    print_latencies(out, options, result);
    if (result->seconds > 0) {
        print_cpu(out, options, result);
    }
    const char *why = result->seconds > 0 ? gy_load_bottleneck(options, result) : NULL;
    if (why != NULL) {
        fprintf(out,
                "\n  THE GENERATOR WAS THE BOTTLENECK: %s. The latencies are void; %sCPU per "
                "request is not.\n",
                why, result->server_cpu_s >= 0 ? "" : "the server's ");
    }
    fflush(out);
}

/* ---- the log ---- */

static hdr_timespec timespec_of(double seconds)
{
    double whole = floor(seconds);
    return (hdr_timespec){(time_t)whole, (long)((seconds - whole) * 1e9)};
}

int gy_load_write_hdr(const struct gy_load_options *options, const struct gy_load_result *result,
                      struct gy_error *error)
{
    FILE *file = fopen(options->hdr_file, "we");
    if (file == NULL) {
        return gy_error_set(error, GY_EIO, "--hdr %s: cannot be written: %m", options->hdr_file);
    }
    struct hdr_log_writer writer;
    hdr_timespec began = timespec_of((double)result->began_wall_ms / 1000);
    struct hdr_log_entry entry = {
        .start_timestamp = began,
        .interval = timespec_of(result->seconds),
    };
    static char service[] = "service";
    int failed = hdr_log_writer_init(&writer);
    failed |= hdr_log_write_header(&writer, file, "gyre-load, nanoseconds", &began);
    failed |= hdr_log_write_entry(&writer, file, &entry, result->latency);
    entry.tag = service;
    entry.tag_len = strlen(service);
    failed |= hdr_log_write_entry(&writer, file, &entry, result->service);
    failed |= ferror(file);
    failed |= fclose(file);
    return failed != 0
               ? gy_error_set(error, GY_EIO, "--hdr %s: cannot be written", options->hdr_file)
               : 0;
}
