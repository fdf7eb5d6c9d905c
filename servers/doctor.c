/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/selftest.h"
#include "core/usage.h"
#include "servers/doctor_print.h"
#include "servers/serve.h"

/* ---- features ---- */

static const struct {
    uint32_t bit;
    const char *name;
    const char *since;
    const char *instead;
} features[] = {
#define DOCTOR_FEATURE(name, bit, since, instead) {GY_RING_##name, #name, since, instead},
    GY_RING_FEATURES(DOCTOR_FEATURE)
#undef DOCTOR_FEATURE
};

#define FEATURES (sizeof features / sizeof features[0])

_Static_assert(FEATURES <= GY_DOCTOR_FEATURES_MAX, "the report has room for every feature");

/* Why a feature that the kernel offers is not used with this receive mode; NULL: it is used. */
static const char *unused_why(uint32_t bit, int mode)
{
    switch (bit) {
    case GY_RING_MULTISHOT_RECEIVE:
        return mode == GY_RECEIVE_ONE_SHOT ? "not in receive mode one-shot" : NULL;
    case GY_RING_BUFFER_INCREMENTAL:
        return mode != GY_RECEIVE_INCREMENTAL ? "only in receive mode incremental" : NULL;
    case GY_RING_RECEIVE_BUNDLE:
        return mode != GY_RECEIVE_BUNDLE ? "only in receive mode bundle" : NULL;
    case GY_RING_SEND_ZERO_COPY:
        return "sends are copied, which is faster until they are large";
    default:
        return NULL;
    }
}

/* `found` is 0 when there is no ring: BUFFER_RING is in every one. */
static void examine_features(struct gy_doctor_report *report, uint32_t found, uint32_t without)
{
    uint32_t kernel = gy_host_release_number(report->host.release);
    report->feature_count = FEATURES;
    for (size_t i = 0; i < FEATURES; i++) {
        struct gy_doctor_feature *feature = &report->features[i];
        const char *unused = unused_why(features[i].bit, report->chosen);
        const char *why = "not offered by this kernel's build";
        feature->name = features[i].name;
        feature->since = features[i].since;
        if (found & features[i].bit) {
            feature->state = unused != NULL ? GY_DOCTOR_AVAILABLE : GY_DOCTOR_USED;
            snprintf(feature->note, sizeof feature->note, "%s", unused != NULL ? unused : "");
            continue;
        }
        feature->state = GY_DOCTOR_ABSENT;
        if (without & features[i].bit) {
            why = "switched off by --without";
        } else if (found == 0) {
            snprintf(feature->note, sizeof feature->note, "no ring could be opened");
            continue;
        } else if (features[i].bit == GY_RING_DEFER_TASKRUN && !(found & GY_RING_SINGLE_ISSUER)) {
            why = "needs SINGLE_ISSUER";
        } else if (kernel < gy_host_release_number(features[i].since)) {
            why = "needs a newer kernel";
        }
        snprintf(feature->note, sizeof feature->note, "%s; instead: %s", why, features[i].instead);
    }
}

/* ---- receive modes ---- */

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void examine_mode(struct gy_doctor_report *report, enum gy_receive_mode mode,
                         uint32_t without)
{
    struct gy_doctor_mode *entry = &report->modes[mode];
    struct gy_error error = {0};
    const char *bad = gy_selftest_known_bad(mode);
    double start = now_ms();
    int code = gy_selftest_receive(mode, without, &error);
    entry->ms = now_ms() - start;
    entry->result = code == 0            ? GY_DOCTOR_PASSED
                    : code == GY_ENOTSUP ? GY_DOCTOR_MODE_ABSENT
                                         : GY_DOCTOR_FAILED;
    if (code != 0) {
        snprintf(entry->note, sizeof entry->note, "%s", error.message);
    } else if (bad != NULL) {
        snprintf(entry->note, sizeof entry->note, "%s", bad);
    }
}

static void choose(struct gy_doctor_report *report, int asked, uint32_t without)
{
    struct gy_error error = {0};
    report->chosen = -1;
    if (asked == GY_RECEIVE_CHOOSE) {
        enum gy_receive_mode mode;
        if (gy_selftest_choose(without, &mode, &error) == 0) {
            report->chosen = (int)mode;
            report->chosen_why = "the best that passes the self-test here";
            return;
        }
        snprintf(report->problem, sizeof report->problem, "%s", error.message);
        return;
    }
    if (report->modes[asked].result == GY_DOCTOR_PASSED) {
        report->chosen = asked;
        report->chosen_why = "asked for by --receive-mode";
        return;
    }
    snprintf(report->problem, sizeof report->problem,
             "receive mode %s was asked for, and it does not work here: %.300s; leave "
             "--receive-mode away, and the best that works is chosen",
             gy_receive_mode_name((enum gy_receive_mode)asked), report->modes[asked].note);
}

void gy_doctor_examine(struct gy_doctor_report *report, int receive_mode, uint32_t without)
{
    gy_assert(receive_mode < GY_RECEIVE_MODE_COUNT);
    *report = (struct gy_doctor_report){.chosen = -1};
    gy_host_read(&report->host);
    struct gy_ring *ring = NULL;
    struct gy_error error = {0};
    const struct gy_ring_options options = {.without = without}; /* the size that servers use */
    uint32_t found = 0;
    int code = gy_ring_open(&ring, &options, &error);
    if (code == 0) {
        found = gy_ring_features(ring);
        gy_ring_close(ring);
        for (int mode = 0; mode < GY_RECEIVE_MODE_COUNT; mode++) {
            examine_mode(report, (enum gy_receive_mode)mode, without);
        }
        choose(report, receive_mode, without);
    } else {
        snprintf(report->problem, sizeof report->problem, "%s", error.message);
        for (int mode = 0; mode < GY_RECEIVE_MODE_COUNT; mode++) {
            report->modes[mode].result = GY_DOCTOR_UNTESTED;
        }
    }
    report->allowed = code != GY_EREFUSED;
    report->fine = report->chosen >= 0;
    examine_features(report, found, without);
}

/* ---- the command ---- */

static void help(FILE *out)
{
    fputs("Usage: gyre doctor [FLAGS]\n"
          "Shows what this host offers, what servers will use of it and why, and what\n"
          "would change it. Changes nothing.\n\n"
          "  gyre doctor                            for people\n"
          "  gyre doctor --json                     for programs\n"
          "  gyre doctor --receive-mode multishot   what servers with that flag would do\n\n"
          "  --json                  one JSON object\n"
          "  --receive-mode MODE     as servers take it: one-shot, multishot, incremental\n"
          "                          or bundle\n"
          "  --without FEATURE,...   as servers take it: as if the kernel lacked these\n"
          "\nExit status: 0 servers can run here, 1 they cannot, 2 wrong use.\n",
          out);
}

struct command {
    struct gy_serve_options options; /* the flags that it shares with servers */
    bool json;
};

static int misused(const char *what, const char *which)
{
    fprintf(stderr, "gyre doctor: %s%s\nTry `gyre doctor --help`.\n", what, which);
    return 2;
}

/* A flag that servers have too, as "--name value" or "--name=value". Returns how many further
 * arguments it used, or -1 and has said why not. */
static int read_shared(struct command *command, const char *argument, const char *next)
{
    static const char *const shared[] = {"receive-mode", "without"};
    for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++) {
        size_t length = strlen(shared[i]);
        if (strncmp(argument, "--", 2) != 0 || strncmp(argument + 2, shared[i], length) != 0) {
            continue;
        }
        const char *rest = argument + 2 + length;
        struct gy_error error = {0};
        if (*rest != '\0' && *rest != '=') {
            continue;
        }
        const char *value = *rest == '=' ? rest + 1 : next;
        if (gy_serve_flag(&command->options, shared[i], value, &error) < 0) {
            misused(error.message, "");
            return -1;
        }
        return *rest == '=' ? 0 : 1;
    }
    char hint[GY_USAGE_HINT_BYTES];
    fprintf(stderr, "gyre doctor: unknown flag or argument %s%s\nTry `gyre doctor --help`.\n",
            argument, gy_usage_hint(hint, argument, help));
    return -1;
}

/* -1: go on; otherwise the exit status. */
static int read_flags(struct command *command, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help(stdout);
            return 0;
        }
        if (strcmp(argv[i], "--json") == 0) {
            command->json = true;
            continue;
        }
        int used = read_shared(command, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        if (used < 0) {
            return 2;
        }
        i += used;
    }
    return -1;
}

static bool wants_colour(void)
{
    const char *no_colour = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == '\0') &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

int gy_doctor_main(int argc, char **argv)
{
    struct command command = {.options = gy_serve_defaults()};
    int status = read_flags(&command, argc, argv);
    if (status >= 0) {
        return status;
    }
    gy_log_set_level(GY_LOG_ERROR); /* the report says it all */
    struct gy_doctor_report *report = malloc(sizeof *report);
    if (report == NULL) {
        fprintf(stderr, "gyre doctor: out of memory\n");
        return 1;
    }
    gy_doctor_examine(report, command.options.receive_mode, command.options.without);
    if (command.json) {
        gy_doctor_print_json(stdout, report);
    } else {
        gy_doctor_print_text(stdout, report, wants_colour());
    }
    status = report->fine && fflush(stdout) == 0 ? 0 : 1;
    free(report);
    return status;
}
