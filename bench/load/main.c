/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/load/load.h"
#include "bench/load/place.h"
#include "bench/load/process.h"
#include "core/file_check.h"

enum { DONE, FAILED, MISUSED };

/* Taken by the runs (run.c); every thread inherits that they are blocked. */
static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* A connection is a descriptor. */
static void raise_open_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The kind of answer that most requests got, if that is one of errors; GY_LOAD_TALLIES_MAX: none.
 */
static uint32_t most_are(const struct gy_load_options *options, const struct gy_load_result *result)
{
    const struct gy_load_protocol *protocol = options->protocol;
    for (uint32_t i = 0; protocol->remedy != NULL && protocol->tally_name(i) != NULL; i++) {
        if (result->tallies[i] * 2 > result->sent_total && protocol->remedy(i) != NULL) {
            return i;
        }
    }
    return GY_LOAD_TALLIES_MAX;
}

/* How many errors there were, and what they have in common. */
static void sum_errors(const struct gy_load_options *options, const struct gy_load_result *result,
                       char *text, size_t bytes)
{
    const struct gy_load_protocol *protocol = options->protocol;
    uint32_t most = most_are(options, result);
    int length = snprintf(text, bytes, "%llu errors among %llu requests",
                          (unsigned long long)gy_load_errors(result),
                          (unsigned long long)result->sent_total);
    gy_assert(length > 0 && (size_t)length < bytes);
    text += length;
    bytes -= (size_t)length;
    if (most < GY_LOAD_TALLIES_MAX) {
        snprintf(text, bytes, ", %s with status %s; %s",
                 result->tallies[most] == result->sent_total ? "all" : "most",
                 protocol->tally_name(most), protocol->remedy(most));
    } else if (result->answered_total == 0 && result->stranger[0] != '\0') {
        snprintf(text, bytes, ": %s", result->stranger);
    } else if (result->answered_total == 0 && result->errors[GY_LOAD_ERROR_STATUS] == 0) {
        snprintf(text, bytes, ", and no answer; does the server speak %s at this port?",
                 protocol->scheme);
    }
}

/* Why a finished run is no success, in one line; empty when it is one. */
static void find_failure(const struct gy_load_options *options, const struct gy_load_result *result,
                         double rate, char *text, size_t bytes)
{
    text[0] = '\0';
    if (result->gave_up) {
        snprintf(text, bytes, "%s", result->error.message);
    } else if (gy_load_errors(result) > 0) {
        sum_errors(options, result, text, bytes);
    } else if (result->interrupted && result->answered_total == 0) {
        snprintf(text, bytes, "interrupted before anything was answered");
    } else if (result->interrupted && result->seconds == 0) {
        snprintf(text, bytes, "interrupted in the warm-up, before anything was measured");
    } else if (!result->interrupted && options->find_max && rate == 0) {
        snprintf(text, bytes,
                 "no rate keeps p%g under %.3f ms; the slowest that was tried is shown",
                 options->slo_percentile, (double)options->slo_ns / 1e6);
    } else if (!result->interrupted && !gy_load_rate_reached(options, result)) {
        snprintf(text, bytes,
                 "the rate of %.0f/s was not reached: %llu requests due, %.1f/s answered",
                 options->rate, (unsigned long long)result->scheduled, gy_load_rate(result));
    } else if (!result->interrupted && result->answered_total == 0) {
        snprintf(text, bytes, "nothing was answered");
    } else if (!result->interrupted && result->answered == 0) {
        snprintf(text, bytes,
                 "nothing was answered within the time that is measured; a longer -d may help");
    }
}

/* Everything that was asked for is written, whatever else fails. */
static int report(struct gy_load_options *options, const struct gy_load_result *result, double rate)
{
    struct gy_error error = {0};
    char failure[GY_ERROR_MESSAGE_BYTES];
    find_failure(options, result, rate, failure, sizeof failure);
    bool failed = failure[0] != '\0';
    bool json_only = options->json_file != NULL && strcmp(options->json_file, "-") == 0;
    int status = failed ? FAILED : DONE;
    if (!json_only) {
        gy_load_report(stdout, options, result);
        if (options->find_max && rate > 0) {
            printf("\n  highest rate that keeps p%g under %.3f ms%s: %.0f/s%s\n",
                   options->slo_percentile, (double)options->slo_ns / 1e6,
                   result->interrupted ? ", as far as was tried" : "", rate,
                   result->generator_limited
                       ? " or more: above it the generator, not the server, was too slow"
                       : "");
        }
        fflush(stdout);
    }
    if (failed) {
        fprintf(stderr, "gyre-load: %s\n", failure);
    }
    if (options->json_file != NULL &&
        gy_load_report_json(options, result, failed ? failure : NULL, &error) != 0) {
        fprintf(stderr, "gyre-load: %s\n", error.message);
        status = FAILED;
    }
    if (options->hdr_file != NULL && gy_load_write_hdr(options, result, &error) != 0) {
        fprintf(stderr, "gyre-load: %s\n", error.message);
        status = FAILED;
    }
    return status;
}

static int run(struct gy_load_options *options, const void *plan)
{
    struct gy_error error = {0};
    struct gy_load_result result;
    double rate = 0;
    int code = options->find_max ? gy_load_find_max(options, plan, &rate, &result, &error)
                                 : gy_load_run(options, plan, &result, &error);
    int status = FAILED;
    if (code != 0) {
        fprintf(stderr, "gyre-load: %s\n", error.message);
    } else {
        if (options->find_max && rate > 0) {
            options->rate = rate;
            options->arrivals = options->poisson ? GY_LOAD_POISSON : GY_LOAD_CONSTANT;
        }
        status = report(options, &result, rate);
    }
    gy_load_result_free(&result);
    return status;
}

/* Before the run rather than after it. Nothing is made: a run that fails leaves no empty file. */
static int check_writable(const char *flag, const char *path, struct gy_error *error)
{
    struct stat status;
    if (path == NULL || strcmp(path, "-") == 0) {
        return 0;
    }
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        return gy_error_set(error, GY_EIO, "%s %s: it is a directory; name a file", flag, path);
    }
    if (access(path, W_OK) == 0) {
        return 0;
    }
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL || slash == path ? 1 : (size_t)(slash - path);
    char folder[4096];
    if (errno == ENOENT && length < sizeof folder) {
        snprintf(folder, sizeof folder, "%.*s", (int)length, slash == NULL ? "." : path);
        if (access(folder, W_OK | X_OK) == 0) {
            return 0;
        }
    }
    char why[GY_FILE_WHY_BYTES];
    return gy_error_set(error, GY_EIO, "%s %.200s: cannot be written: %s", flag, path,
                        gy_file_why(why, path, W_OK, errno));
}

static int check_places(const struct gy_load_options *options, struct gy_error *error)
{
    if (options->server_pid != 0 && gy_load_process_cpu_s(options->server_pid) < 0) {
        return gy_error_set(
            error, GY_EINVAL,
            "--server-pid %d: there is no such process; of a server on another host "
            "--server-admin tells",
            options->server_pid);
    }
    int code = check_writable("--json", options->json_file, error);
    return code == 0 ? check_writable("--hdr", options->hdr_file, error) : code;
}

static int misused(const struct gy_error *error)
{
    fprintf(stderr, "gyre-load: %s\nTry `gyre-load --help`.\n", error->message);
    return MISUSED;
}

/* Everything that a run needs and that may be missing. */
static int get_ready(struct gy_load_options *options, struct gy_error *error)
{
    struct gy_load_counters counters;
    int code = check_places(options, error);
    code = code != 0 ? code : gy_load_resolve(options, error);
    code = code != 0 ? code : gy_load_check_ports(options, error);
    if (code == 0 && options->server_admin_given) {
        code = gy_load_admin_read(&options->server_admin, &counters, error);
    }
    return code != 0 ? code : gy_load_open_tls(options, error);
}

int main(int argc, char **argv)
{
    static struct gy_load_options options;
    struct gy_error error = {0};
    void *plan = NULL;
    int code = gy_load_options_read(&options, argc, argv, &error);
    if (code == GY_EAGAIN) {
        return DONE;
    }
    if (code != 0) {
        return misused(&error);
    }
    /* Before signals are blocked: a terminal that --queries or --body waits for can be left. */
    code = options.protocol->prepare(&options, &plan, &error);
    if (code == GY_EINVAL) {
        return misused(&error);
    }
    block_signals();
    raise_open_files();
    int status = FAILED;
    if (code != 0 || get_ready(&options, &error) != 0) {
        fprintf(stderr, "gyre-load: %s\n", error.message);
    } else {
        status = run(&options, plan);
    }
    if (plan != NULL) {
        options.protocol->finish(plan);
    }
    gy_tls_config_close(options.tls_config);
    gy_tls_files_close(&options.tls);
    return status;
}
