/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What a run found, for programs. The schema is in README.md: keep the two together. */

#include <stdio.h>
#include <string.h>

#include "bench/load/histogram.h"
#include "bench/load/load.h"
#include "core/json.h"

static const struct {
    const char *name;
    double percentile;
} rows[] = {
    {"p50", 50}, {"p75", 75},     {"p90", 90},       {"p95", 95},
    {"p99", 99}, {"p99_9", 99.9}, {"p99_99", 99.99}, {"p99_999", 99.999},
};

static const char *boolean(bool value)
{
    return value ? "true" : "false";
}

static void write_text(FILE *out, const char *text)
{
    if (text != NULL) {
        gy_json_print(out, text);
    } else {
        fprintf(out, "null");
    }
}

static void write_histogram(FILE *out, const char *name, struct hdr_histogram *histogram)
{
    if (histogram->total_count == 0) {
        fprintf(out, "  \"%s_ns\": null,\n", name);
        return;
    }
    fprintf(out, "  \"%s_ns\": {\"count\": %lld, \"min\": %lld, \"mean\": %.0f, \"stddev\": %.0f",
            name, (long long)histogram->total_count, (long long)hdr_min(histogram),
            hdr_mean(histogram), hdr_stddev(histogram));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fprintf(out, ", \"%s\": %lld", rows[i].name,
                (long long)hdr_value_at_percentile(histogram, rows[i].percentile));
    }
    fprintf(out, ", \"max\": %lld},\n", (long long)hdr_max(histogram));
}

static void write_asked(FILE *out, const struct gy_load_options *options)
{
    fprintf(out, "  \"url\": ");
    gy_json_print(out, options->url);
    fprintf(out, ",\n  \"method\": ");
    write_text(out, options->method);
    fprintf(out, ",\n  \"body\": ");
    write_text(out, options->body_file);
    fprintf(out,
            ",\n  \"connections\": %u,\n  \"pipeline\": %u,\n  \"threads\": %u,\n"
            "  \"arrivals\": \"%s\",\n",
            options->connections, options->pipeline, options->threads,
            options->rate == 0                     ? "closed"
            : options->arrivals == GY_LOAD_POISSON ? "poisson"
                                                   : "constant");
    if (options->rate > 0) {
        fprintf(out, "  \"rate_asked\": %.3f,\n  \"seed\": %llu,\n", options->rate,
                (unsigned long long)options->seed);
    } else {
        fprintf(out, "  \"rate_asked\": null,\n  \"seed\": null,\n");
    }
    if (options->outstanding > 0) {
        fprintf(out, "  \"outstanding\": %u,\n", options->outstanding);
    } else {
        fprintf(out, "  \"outstanding\": null,\n");
    }
    fprintf(out, "  \"bodies_compared\": %s,\n", boolean(options->check));
    if (options->find_max) {
        fprintf(out, "  \"slo\": {\"percentile\": %g, \"ns\": %llu},\n", options->slo_percentile,
                (unsigned long long)options->slo_ns);
    } else {
        fprintf(out, "  \"slo\": null,\n");
    }
}

static void write_errors(FILE *out, const struct gy_load_result *result)
{
    static const char *const keys[] = {
#define GY_LOAD_ERROR_KEY(name, key, text) #key,
        GY_LOAD_ERRORS(GY_LOAD_ERROR_KEY)
#undef GY_LOAD_ERROR_KEY
    };
    fprintf(out, "  \"errors\": {\"total\": %llu", (unsigned long long)gy_load_errors(result));
    for (unsigned i = 0; i < GY_LOAD_ERROR_COUNT; i++) {
        fprintf(out, ", \"%s\": %llu", keys[i], (unsigned long long)result->errors[i]);
    }
    fprintf(out, "},\n");
}

/* Of connections that could not be made; the sum is errors.connect. */
static void write_dial_errors(FILE *out, const struct gy_load_result *result)
{
    static const char *const keys[] = {
#define GY_LOAD_DIAL_ERROR_KEY(name, key, text) #key,
        GY_LOAD_DIAL_ERRORS(GY_LOAD_DIAL_ERROR_KEY)
#undef GY_LOAD_DIAL_ERROR_KEY
    };
    fprintf(out, "  \"connect_errors\": {");
    for (unsigned i = 0; i < GY_LOAD_DIAL_ERROR_COUNT; i++) {
        fprintf(out, "%s\"%s\": %llu", i > 0 ? ", " : "", keys[i],
                (unsigned long long)result->dial_errors[i]);
    }
    fprintf(out, "},\n");
}

/* By kinds of the protocol's own. */
static void write_tallies(FILE *out, const struct gy_load_options *options,
                          const struct gy_load_result *result)
{
    const struct gy_load_protocol *protocol = options->protocol;
    if (protocol->tally_name == NULL) {
        fprintf(out, "  \"tallies\": null,\n");
        return;
    }
    const char *before = "";
    fprintf(out, "  \"tallies\": {");
    for (uint32_t i = 0; protocol->tally_name(i) != NULL; i++) {
        if (result->tallies[i] > 0 || !protocol->tallies_many) {
            fprintf(out, "%s\"%s\": %llu", before, protocol->tally_name(i),
                    (unsigned long long)result->tallies[i]);
            before = ", ";
        }
    }
    fprintf(out, "},\n");
}

/* Sums over the window, of `answered` requests. */
static void write_counters(FILE *out, const struct gy_load_counters *counters)
{
    if (!counters->known) {
        fprintf(out, "\"counters\": null");
        return;
    }
    fprintf(out, "\"counters\": {\"cpu_s\": %.6f", counters->cpu_s);
#define GY_LOAD_COUNTER_JSON(name, metric) fprintf(out, ", \"" #name "\": %.0f", counters->name);
    GY_LOAD_COUNTERS(GY_LOAD_COUNTER_JSON)
#undef GY_LOAD_COUNTER_JSON
    fprintf(out, "}");
}

static void write_cpu(FILE *out, const struct gy_load_result *result)
{
    double each =
        result->answered > 0 ? result->generator_cpu_s * 1e6 / (double)result->answered : 0;
    fprintf(out, "  \"generator\": {\"cpu_s\": %.6f, \"cpu_us_per_request\": %.4f, \"busy\": %.4f",
            result->generator_cpu_s, each, result->busy_max);
    if (result->server_cpu_s >= 0) {
        fprintf(out,
                "},\n  \"server\": {\"cpu_s\": %.9f, \"answered\": %llu, "
                "\"cpu_us_per_request\": %.5f, ",
                result->server_cpu_s, (unsigned long long)result->server_answered,
                gy_load_server_us(result));
        write_counters(out, &result->counters);
        fprintf(out, "},\n");
    } else {
        fprintf(out, "},\n  \"server\": null,\n");
    }
    const char *unknown = result->server_error.message;
    fprintf(out, "  \"server_error\": ");
    write_text(out, unknown[0] != '\0' ? unknown : NULL);
    fprintf(out, ",\n");
}

static void write_all(FILE *out, const struct gy_load_options *options,
                      const struct gy_load_result *result, const char *failure)
{
    const char *why = result->seconds > 0 ? gy_load_bottleneck(options, result) : NULL;
    fprintf(out, "{\n  \"schema\": \"gyre-load/1\",\n");
    write_asked(out, options);
    fprintf(out, "  \"began_ms\": %llu,\n  \"seconds\": %.6f,\n",
            (unsigned long long)result->began_wall_ms, result->seconds);
    fprintf(out, "  \"answered\": %llu,\n  \"rate\": %.3f,\n", (unsigned long long)result->answered,
            gy_load_rate(result));
    fprintf(out, "  \"broadcast\": %s,\n  \"publishers\": %u,\n  \"deliveries\": %llu,\n",
            boolean(options->broadcast), options->broadcast ? options->publishers : 0,
            (unsigned long long)result->deliveries);
    fprintf(out, "  \"scheduled\": %llu,\n  \"unsent\": %llu,\n  \"rate_reached\": %s,\n",
            (unsigned long long)result->scheduled, (unsigned long long)result->unsent,
            boolean(gy_load_rate_reached(options, result)));
    fprintf(out, "  \"sent_total\": %llu,\n  \"answered_total\": %llu,\n  \"connects\": %llu,\n",
            (unsigned long long)result->sent_total, (unsigned long long)result->answered_total,
            (unsigned long long)result->connects);
    fprintf(out, "  \"connect_seconds\": %.6f,\n", result->connect_s);
    write_errors(out, result);
    write_dial_errors(out, result);
    fprintf(out, "  \"protocol_error\": ");
    write_text(out, result->broken[0] != '\0' ? result->broken : NULL);
    fprintf(out, ",\n");
    write_tallies(out, options, result);
    write_histogram(out, "latency", result->latency);
    write_histogram(out, "service", result->service);
    write_histogram(out, "lateness", result->lateness);
    write_cpu(out, result);
    fprintf(out, "  \"generator_was_bottleneck\": %s,\n  \"latency_valid\": %s,\n",
            boolean(why != NULL), boolean(why == NULL && result->latency->total_count > 0));
    fprintf(out, "  \"generator_limited\": %s,\n", boolean(result->generator_limited));
    fprintf(out, "  \"interrupted\": %s,\n  \"failure\": ", boolean(result->interrupted));
    write_text(out, failure);
    fprintf(out, "\n}\n");
}

int gy_load_report_json(const struct gy_load_options *options, const struct gy_load_result *result,
                        const char *failure, struct gy_error *error)
{
    bool standard = strcmp(options->json_file, "-") == 0;
    FILE *file = standard ? stdout : fopen(options->json_file, "we");
    if (file == NULL) {
        return gy_error_set(error, GY_EIO, "--json %s: cannot be written: %m", options->json_file);
    }
    write_all(file, options, result, failure);
    int failed = fflush(file) | ferror(file);
    if (!standard) {
        failed |= fclose(file);
    }
    return failed != 0
               ? gy_error_set(error, GY_EIO, "--json %s: cannot be written", options->json_file)
               : 0;
}
