/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The highest rate that keeps a percentile of the latency under a bound: bisection, a run each. */

#include <stdio.h>
#include <unistd.h>

#include "bench/load/histogram.h"
#include "bench/load/load.h"

#define STEPS          7 /* the range is that of a closed loop: to less than a hundredth of it */
#define STEP_WARMUP_NS UINT64_C(300000000)

static const char late[] = "generator too slow";

static const char *verdict(const struct gy_load_options *options,
                           const struct gy_load_result *result)
{
    if (result->gave_up) {
        return "the server went away";
    }
    if (gy_load_errors(result) > 0) {
        return "errors";
    }
    if (!gy_load_rate_reached(options, result)) {
        return "rate not reached";
    }
    if (result->latency->total_count == 0) {
        return "no answers";
    }
    if ((uint64_t)hdr_value_at_percentile(result->latency, options->slo_percentile) >
        options->slo_ns) {
        /* Who is to blame must not be confused: a late generator proves nothing about a server. */
        return gy_load_bottleneck(options, result) != NULL ? late : "too slow";
    }
    return NULL;
}

/* Progress is for terminals. */
static bool shows_steps(const struct gy_load_options *options)
{
    return !options->quiet && isatty(STDERR_FILENO);
}

static void show_step(const struct gy_load_options *options, const struct gy_load_result *result,
                      const char *why)
{
    if (!shows_steps(options)) {
        return;
    }
    double ms = (double)hdr_value_at_percentile(result->latency, options->slo_percentile) / 1e6;
    fprintf(stderr, "  %10.0f/s  p%g %8.3f ms  %s\n", options->rate, options->slo_percentile, ms,
            why != NULL ? why : "kept");
}

int gy_load_find_max(const struct gy_load_options *asked, const void *plan, double *rate,
                     struct gy_load_result *result, struct gy_error *error)
{
    struct gy_load_options options = *asked;
    options.warmup_ns = STEP_WARMUP_NS;
    *rate = 0;
    int code = gy_load_run(&options, plan, result, error);
    if (code != 0 || gy_load_interrupted() || result->gave_up) {
        return code;
    }
    bool limited = false;
    double low = 0;
    double high = gy_load_rate(result) * 1.02;
    if (shows_steps(&options)) {
        fprintf(stderr, "  %10.0f/s  in a closed loop\n", gy_load_rate(result));
    }
    options.arrivals = asked->poisson ? GY_LOAD_POISSON : GY_LOAD_CONSTANT;
    for (int step = 0; step < STEPS && high >= 1; step++) {
        struct gy_load_result now;
        options.rate = (low + high) / 2;
        code = gy_load_run(&options, plan, &now, error);
        if (code == 0 && gy_load_interrupted()) {
            gy_load_result_free(&now); /* what the steps before it found stands */
            result->interrupted = true;
            break;
        }
        if (code != 0 || now.gave_up) {
            gy_load_result_free(result);
            *result = now;
            return code;
        }
        const char *why = verdict(&options, &now);
        show_step(&options, &now, why);
        limited |= why == late;
        if (why == NULL || *rate == 0) {
            gy_load_result_free(result);
            *result = now;
        } else {
            gy_load_result_free(&now);
        }
        if (why == NULL) {
            *rate = low = options.rate;
        } else {
            high = options.rate;
        }
    }
    result->generator_limited = limited;
    return 0;
}
