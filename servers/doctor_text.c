/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "core/selftest.h"
#include "servers/doctor_print.h"

#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define RED    "\033[31m"
#define BOLD   "\033[1m"
#define RESET  "\033[0m"

#define WIDTH 96 /* columns; what is longer goes on below */

struct printer {
    FILE *out;
    bool colour;
};

/* Prints a word in a column of `width`, in a colour: the escapes take no room on the screen. */
static void word(const struct printer *printer, const char *colour, const char *text, int width)
{
    int length = (int)strlen(text);
    fprintf(printer->out, "%s%s%s%*s", printer->colour ? colour : "", text,
            printer->colour ? RESET : "", width > length ? width - length : 0, "");
}

static void title(const struct printer *printer, const char *text)
{
    fputc('\n', printer->out);
    word(printer, BOLD, text, 0);
    fputc('\n', printer->out);
}

/* Prints a sentence from column `indent` on, where the cursor is, breaking at spaces. */
static void flow(const struct printer *printer, int indent, const char *text)
{
    int column = indent;
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (column > indent && column + 1 + length > WIDTH) {
            fprintf(printer->out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', printer->out);
            column++;
        }
        fprintf(printer->out, "%.*s", length, text);
        column += length;
        text += length;
        text += strspn(text, " ");
    }
}

/* The last column of a line; without it, no spaces are left at the end. */
static void last(const struct printer *printer, int gap, int indent, const char *text)
{
    if (text[0] != '\0') {
        fprintf(printer->out, "%*s", gap, "");
        flow(printer, indent, text);
    }
    fputc('\n', printer->out);
}

/* ---- the host ---- */

static const char *amount(uint64_t value, bool is_bytes, char *text, size_t bytes)
{
    if (value == GY_HOST_UNLIMITED) {
        snprintf(text, bytes, "unlimited");
    } else if (is_bytes && value >= 1u << 20) {
        snprintf(text, bytes, "%llu MiB", (unsigned long long)(value >> 20));
    } else if (is_bytes) {
        snprintf(text, bytes, "%llu KiB", (unsigned long long)(value >> 10));
    } else {
        snprintf(text, bytes, "%llu", (unsigned long long)value);
    }
    return text;
}

static void line(const struct printer *printer, const char *name, const char *value,
                 const char *note)
{
    fprintf(printer->out, "  %-16s ", name);
    if (note == NULL) {
        last(printer, 0, 19, value);
    } else {
        fprintf(printer->out, "%-24s", value);
        last(printer, 1, 44, note);
    }
}

static void print_limits(const struct printer *printer, const struct gy_host *host)
{
    char soft[32];
    char hard[32];
    char value[80];
    snprintf(value, sizeof value, "%s, at most %s",
             amount(host->files_soft, false, soft, sizeof soft),
             amount(host->files_hard, false, hard, sizeof hard));
    line(printer, "open files", value,
         host->files_hard < 16384
             ? "few: one a connection; more with `ulimit -n`, or LimitNOFILE= of the service"
         : host->files_soft < host->files_hard ? "servers raise it to the most by themselves"
                                               : "one a connection");
    snprintf(value, sizeof value, "%s, at most %s",
             amount(host->memlock_soft, true, soft, sizeof soft),
             amount(host->memlock_hard, true, hard, sizeof hard));
    line(printer, "locked memory", value, "enough: receive buffers do not count");
    if (host->listen_backlog_max == GY_HOST_UNKNOWN) {
        line(printer, "listen backlog", "unknown", "net.core.somaxconn cannot be read");
    } else {
        snprintf(value, sizeof value, "%d", host->listen_backlog_max);
        line(printer, "listen backlog", value,
             host->listen_backlog_max < 1024
                 ? "small: bursts of connections are refused; more with `sysctl -w "
                   "net.core.somaxconn=4096`"
                 : "net.core.somaxconn");
    }
}

static void print_host(const struct printer *printer, const struct gy_host *host)
{
    char value[160];
    title(printer, "Host");
    snprintf(value, sizeof value, "Linux %s (%s)", host->release, host->machine);
    line(printer, "kernel", value, NULL);
    snprintf(value, sizeof value, "%u of %u may be used; %u mitigation%s of processor flaws active",
             host->processors, host->processors_online, host->mitigations,
             host->mitigations == 1 ? "" : "s");
    line(printer, "processors", value, NULL);
    line(printer, "container", host->container[0] != '\0' ? host->container : "none seen", NULL);
    if (host->io_uring_disabled == GY_HOST_UNKNOWN) {
        line(printer, "sysctl", "this kernel has no kernel.io_uring_disabled", NULL);
    } else {
        snprintf(value, sizeof value, "kernel.io_uring_disabled = %d%s", host->io_uring_disabled,
                 host->io_uring_disabled == 0   ? ""
                 : host->io_uring_disabled == 1 ? ", but for root and kernel.io_uring_group"
                                                : ", for everyone");
        line(printer, "sysctl", value, NULL);
    }
    snprintf(value, sizeof value, "%s", gy_host_seccomp_name(host->seccomp));
    line(printer, "seccomp", value, NULL);
    title(printer, "Limits");
    print_limits(printer, host);
}

/* ---- the ring ---- */

static void print_features(const struct printer *printer, const struct gy_doctor_report *report)
{
    static const char *const states[] = {"used", "available", "absent"};
    static const char *const colours[] = {GREEN, "", YELLOW};
    title(printer, "Ring features, and the Linux that brought them");
    for (uint32_t i = 0; i < report->feature_count; i++) {
        const struct gy_doctor_feature *feature = &report->features[i];
        fprintf(printer->out, "  ");
        word(printer, colours[feature->state], states[feature->state], 10);
        fprintf(printer->out, "%-19s %5s", feature->name, feature->since);
        last(printer, 2, 39, feature->note);
    }
}

static void print_modes(const struct printer *printer, const struct gy_doctor_report *report)
{
    static const char *const results[] = {"passed", "failed", "absent", "untested"};
    static const char *const colours[] = {GREEN, RED, YELLOW, ""};
    title(printer, "Receive modes, by a self-test over loopback");
    for (int i = 0; i < GY_RECEIVE_MODE_COUNT; i++) {
        const struct gy_doctor_mode *mode = &report->modes[i];
        char time[32] = "";
        char note[GY_ERROR_MESSAGE_BYTES + 80] = "";
        if (mode->result == GY_DOCTOR_PASSED) {
            snprintf(time, sizeof time, "%.1f ms", mode->ms);
        }
        if (i == report->chosen) {
            snprintf(note, sizeof note, "chosen: %s%s%s", report->chosen_why,
                     mode->note[0] != '\0' ? "; but " : "", mode->note);
        } else if (mode->note[0] != '\0') {
            snprintf(note, sizeof note, "%s", mode->note);
        } else if (i == GY_RECEIVE_BUNDLE && mode->result == GY_DOCTOR_PASSED) {
            snprintf(note, sizeof note, "only by name: --receive-mode bundle");
        }
        fprintf(printer->out, "  ");
        word(printer, colours[mode->result], results[mode->result], 10);
        fprintf(printer->out, "%-12s %8s", gy_receive_mode_name((enum gy_receive_mode)i), time);
        last(printer, 2, 35, note);
    }
}

void gy_doctor_print_text(FILE *out, const struct gy_doctor_report *report, bool colour)
{
    const struct printer printer = {out, colour};
    if (report->fine) {
        word(&printer, GREEN, "Servers can run here.", 0);
        fputc('\n', out);
    } else {
        word(&printer, RED, "Servers cannot run here.", 0);
        fputs("\n  ", out);
        last(&printer, 0, 2, report->problem);
    }
    print_host(&printer, &report->host);
    print_features(&printer, report);
    print_modes(&printer, report);
}
