/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The line of progress: on a terminal alone, once it has taken a second. */

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clients/amount.h"
#include "clients/rudp/transfer_internal.h"

#define MS            1000000ull
#define SHOW_AFTER_NS (1000 * MS)
#define EVERY_NS      (200 * MS)
#define BAR           20

static struct {
    uint64_t drawn_ns;
    bool drawn;
} line;

struct sum {
    uint64_t there, all;
    uint32_t done, known;
};

static struct sum sum_of(const struct transfers *transfers)
{
    struct sum sum = {0};
    for (uint32_t i = 0; i < transfers->options->count; i++) {
        uint64_t size = 0;
        const struct job *job = &transfers->jobs[i];
        sum.there += gy_rudp_job_bytes(job, &size);
        if (job->state != JOB_WAITING && size != GY_DROP_UNKNOWN) {
            sum.all += size;
            sum.known++;
        }
        sum.done += job->state == JOB_DONE || job->state == JOB_FAILED;
    }
    return sum;
}

static int text_of(const struct transfers *transfers, uint64_t now_ns, char *text, size_t room)
{
    char got[GY_AMOUNT_BYTES], all[GY_AMOUNT_BYTES], speed[GY_AMOUNT_BYTES];
    const struct sum sum = sum_of(transfers);
    uint64_t elapsed_ms = (now_ns - transfers->began_ns) / MS + 1;
    uint64_t fresh = sum.there > transfers->resumed ? sum.there - transfers->resumed : 0;
    uint64_t rate = fresh * 1000 / elapsed_ms;
    int fill = 0;
    if (transfers->options->count > 1) {
        fill += snprintf(text, room, "%u of %u  ", sum.done, transfers->options->count);
    }
    if (sum.known == transfers->options->count && sum.all > 0) {
        int marks = (int)(sum.there * BAR / sum.all);
        marks = marks < BAR ? marks : BAR;
        fill += snprintf(text + fill, room - (size_t)fill, "[%.*s%*s] ", marks,
                         "####################", BAR - marks, "");
    }
    fill += snprintf(text + fill, room - (size_t)fill, "%s", gy_amount(sum.there, got));
    if (sum.known == transfers->options->count && sum.all > 0) {
        uint64_t left_s = rate > 0 && sum.all > sum.there ? (sum.all - sum.there) / rate : 0;
        fill += snprintf(text + fill, room - (size_t)fill, " of %s  %3.0f %%  %llu:%02llu",
                         gy_amount(sum.all, all), 100.0 * (double)sum.there / (double)sum.all,
                         (unsigned long long)(left_s / 60), (unsigned long long)(left_s % 60));
    }
    fill += snprintf(text + fill, room - (size_t)fill, "  %s/s%s", gy_amount(rate, speed),
                     transfers->open ? "" : "  (connecting)");
    return fill;
}

void gy_rudp_transfer_draw(struct transfers *transfers)
{
    uint64_t now_ns = gy_clock_ns();
    char text[256];
    if (transfers->options->quiet || now_ns - transfers->began_ns < SHOW_AFTER_NS ||
        now_ns - line.drawn_ns < EVERY_NS || !isatty(STDERR_FILENO)) {
        return;
    }
    line.drawn_ns = now_ns;
    line.drawn = true;
    text_of(transfers, now_ns, text, sizeof text);
    struct winsize size = {0};
    int columns =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
    fprintf(stderr, "\r\033[K%.*s", columns, text);
    fflush(stderr);
}

void gy_rudp_transfer_wipe(void)
{
    if (line.drawn) {
        fprintf(stderr, "\r\033[K");
        fflush(stderr);
        line.drawn = false;
    }
}
