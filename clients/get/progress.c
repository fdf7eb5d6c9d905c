/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The line of progress: on a terminal alone, once it has taken a second. */

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clients/amount.h"
#include "clients/get/get_internal.h"

#define SHOW_AFTER_MS 1000
#define EVERY_MS      200

static struct {
    uint64_t began_ms;
    uint64_t drawn_ms;
    bool drawn;
    int terminal; /* 0: not asked yet; 1: it is one; -1: it is none */
} line;

/* Bytes expected of all fetches; 0 when one does not say. */
static uint64_t expected(const struct gy_get *get)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < get->count; i++) {
        const struct gy_fetch *fetch = &get->fetches[i];
        if (fetch->done) {
            continue;
        }
        if (!fetch->started || fetch->length == GY_HTTP_UNKNOWN) {
            return 0;
        }
        sum += fetch->length > fetch->save.at ? fetch->length - fetch->save.at : 0;
    }
    return sum + get->received_bytes;
}

void gy_get_progress(const struct gy_get *get)
{
    uint64_t now_ms = get->worker.now_ms;
    if (line.terminal == 0) {
        line.terminal = isatty(STDERR_FILENO) ? 1 : -1;
        line.began_ms = now_ms;
    }
    uint64_t elapsed_ms = now_ms - line.began_ms;
    if (line.terminal < 0 || get->options->quiet || elapsed_ms < SHOW_AFTER_MS ||
        now_ms < line.drawn_ms + EVERY_MS) {
        return;
    }
    line.drawn_ms = now_ms;
    line.drawn = true;
    char got[GY_AMOUNT_BYTES], all[GY_AMOUNT_BYTES], speed[GY_AMOUNT_BYTES], text[160];
    uint64_t whole = expected(get);
    uint64_t rate = get->received_bytes * 1000 / elapsed_ms;
    int fill = 0;
    if (get->count > 1) {
        fill += snprintf(text, sizeof text, "%u of %u  ", get->done, get->count);
    }
    fill += snprintf(text + fill, sizeof text - (size_t)fill, "%s",
                     gy_amount(get->received_bytes, got));
    if (whole > 0) {
        uint64_t left_s = rate > 0 ? (whole - get->received_bytes) / rate : 0;
        fill += snprintf(text + fill, sizeof text - (size_t)fill, " of %s  %3.0f %%  %llu:%02llu",
                         gy_amount(whole, all), 100.0 * (double)get->received_bytes / (double)whole,
                         (unsigned long long)(left_s / 60), (unsigned long long)(left_s % 60));
    }
    snprintf(text + fill, sizeof text - (size_t)fill, "  %s/s", gy_amount(rate, speed));
    struct winsize size = {0};
    int columns =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
    fprintf(stderr, "\r\033[K%.*s", columns, text);
    fflush(stderr);
}

void gy_get_progress_wipe(void)
{
    if (line.drawn) {
        fprintf(stderr, "\r\033[K");
        fflush(stderr);
        line.drawn = false;
    }
}
