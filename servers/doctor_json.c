/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/doctor_print.h"

#include "core/json.h"

static void print_string_or_null(FILE *out, const char *text)
{
    if (text == NULL || text[0] == '\0') {
        fputs("null", out);
    } else {
        gy_json_print(out, text);
    }
}

static void print_number_or_null(FILE *out, int64_t number, bool known)
{
    if (known) {
        fprintf(out, "%lld", (long long)number);
    } else {
        fputs("null", out);
    }
}

static void print_limit(FILE *out, const char *name, uint64_t soft, uint64_t hard)
{
    fprintf(out, "\"%s\":{\"soft\":", name);
    print_number_or_null(out, (int64_t)soft, soft != GY_HOST_UNLIMITED);
    fputs(",\"hard\":", out);
    print_number_or_null(out, (int64_t)hard, hard != GY_HOST_UNLIMITED);
    fputs("}", out);
}

static void print_host(FILE *out, const struct gy_host *host, bool allowed)
{
    fputs("\"kernel\":{\"release\":", out);
    gy_json_print(out, host->release);
    fputs(",\"machine\":", out);
    gy_json_print(out, host->machine);
    fputs("},\n \"container\":", out);
    print_string_or_null(out, host->container);
    fprintf(out, ",\n \"processors\":{\"usable\":%u,\"online\":%u,\"mitigations\":%u}",
            host->processors, host->processors_online, host->mitigations);
    bool known = host->io_uring_disabled != GY_HOST_UNKNOWN;
    fprintf(out,
            ",\n \"io_uring\":{\"allowed\":%s,\"sysctl_disabled\":", allowed ? "true" : "false");
    print_number_or_null(out, host->io_uring_disabled, known);
    fputs(",\"sysctl_group\":", out);
    print_number_or_null(out, host->io_uring_group, known);
    fprintf(out, ",\"seccomp\":\"%s\"},\n \"limits\":{", gy_host_seccomp_name(host->seccomp));
    print_limit(out, "open_files", host->files_soft, host->files_hard);
    fputs(",", out);
    print_limit(out, "locked_bytes", host->memlock_soft, host->memlock_hard);
    fputs(",\"listen_backlog\":", out);
    print_number_or_null(out, host->listen_backlog_max,
                         host->listen_backlog_max != GY_HOST_UNKNOWN);
    fputs("}", out);
}

static void print_features(FILE *out, const struct gy_doctor_report *report)
{
    static const char *const states[] = {"used", "available", "absent"};
    fputs("\"features\":[", out);
    for (uint32_t i = 0; i < report->feature_count; i++) {
        const struct gy_doctor_feature *feature = &report->features[i];
        fprintf(out, "%s\n  {\"name\":\"%s\",\"state\":\"%s\",\"since\":\"%s\",\"note\":",
                i > 0 ? "," : "", feature->name, states[feature->state], feature->since);
        print_string_or_null(out, feature->note);
        fputs("}", out);
    }
    fputs("]", out);
}

static void print_modes(FILE *out, const struct gy_doctor_report *report)
{
    static const char *const results[] = {"passed", "failed", "absent", "untested"};
    fputs("\"receive_modes\":[", out);
    for (int i = 0; i < GY_RECEIVE_MODE_COUNT; i++) {
        const struct gy_doctor_mode *mode = &report->modes[i];
        fprintf(out, "%s\n  {\"name\":\"%s\",\"result\":\"%s\",\"ms\":", i > 0 ? "," : "",
                gy_receive_mode_name((enum gy_receive_mode)i), results[mode->result]);
        if (mode->result == GY_DOCTOR_PASSED || mode->result == GY_DOCTOR_FAILED) {
            fprintf(out, "%.3f", mode->ms);
        } else {
            fputs("null", out);
        }
        fputs(",\"note\":", out);
        print_string_or_null(out, mode->note);
        fputs("}", out);
    }
    fputs("]", out);
}

void gy_doctor_print_json(FILE *out, const struct gy_doctor_report *report)
{
    fprintf(out, "{\"fine\":%s,\n \"problem\":", report->fine ? "true" : "false");
    print_string_or_null(out, report->problem);
    fputs(",\n ", out);
    print_host(out, &report->host, report->allowed);
    fputs(",\n ", out);
    print_features(out, report);
    fputs(",\n ", out);
    print_modes(out, report);
    fputs(",\n \"receive_mode\":", out);
    print_string_or_null(out, report->chosen >= 0
                                  ? gy_receive_mode_name((enum gy_receive_mode)report->chosen)
                                  : NULL);
    fputs(",\n \"receive_mode_why\":", out);
    print_string_or_null(out, report->chosen_why);
    fputs("}\n", out);
}
