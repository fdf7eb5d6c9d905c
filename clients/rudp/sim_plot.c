/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/rudp/sim_plot.h"

#define WIDTH  960
#define LEFT   70
#define RIGHT  20
#define PANEL  150
#define GAP    50
#define TOP    60
#define PANELS 4

struct line {
    const char *name, *color;
    double (*value)(const struct path_sample *at, const struct path_sample *before);
};

struct panel {
    const char *name;
    struct line lines[2];
};

static double window(const struct path_sample *at, const struct path_sample *before)
{
    (void)before;
    return (double)at->window_bytes / 1e3;
}

static double in_flight(const struct path_sample *at, const struct path_sample *before)
{
    (void)before;
    return (double)at->in_flight / 1e3;
}

static double srtt(const struct path_sample *at, const struct path_sample *before)
{
    (void)before;
    return (double)at->srtt_ns / 1e6;
}

static double goodput(const struct path_sample *at, const struct path_sample *before)
{
    double seconds = (double)(at->at_ns - before->at_ns) / 1e9;
    return seconds > 0 ? (double)(at->delivered_bytes - before->delivered_bytes) / 1e3 / seconds
                       : 0;
}

static double pacing(const struct path_sample *at, const struct path_sample *before)
{
    (void)before;
    return (double)at->rate / 1e3;
}

static double losses(const struct path_sample *at, const struct path_sample *before)
{
    return (double)(at->lost - before->lost);
}

static const struct panel panels[PANELS] = {
    {"KB", {{"window", "#9aa5b1", window}, {"in flight", "#1f6feb", in_flight}}},
    {"ms", {{"smoothed round trip", "#8250df", srtt}, {0}}},
    {"KB/s", {{"paced at", "#9aa5b1", pacing}, {"delivered", "#1a7f37", goodput}}},
    {"packets", {{"taken for lost", "#cf222e", losses}, {0}}},
};

static const struct path_sample *before(const struct path_result *result, uint32_t i)
{
    return &result->trace[i > 0 ? i - 1 : 0];
}

static double highest(const struct path_result *result, const struct panel *panel)
{
    double most = 1;
    for (unsigned k = 0; k < 2 && panel->lines[k].value != NULL; k++) {
        for (uint32_t i = 0; i < result->trace_count; i++) {
            double value = panel->lines[k].value(&result->trace[i], before(result, i));
            most = value > most ? value : most;
        }
    }
    return most;
}

static void draw(FILE *out, const struct path_result *result, const struct panel *panel, double top,
                 double end_ns)
{
    double most = highest(result, panel);
    double width = WIDTH - LEFT - RIGHT;
    fprintf(out, "<rect class='frame' x='%d' y='%.0f' width='%.0f' height='%d'/>\n", LEFT, top,
            width, PANEL);
    fprintf(out, "<text class='axis' x='%d' y='%.0f'>%.4g %s</text>\n", LEFT - 6, top + 10, most,
            panel->name);
    fprintf(out, "<text class='axis' x='%d' y='%.0f'>0</text>\n", LEFT - 6, top + PANEL);
    for (unsigned k = 0; k < 2 && panel->lines[k].value != NULL; k++) {
        const struct line *line = &panel->lines[k];
        fprintf(out, "<text x='%d' y='%.0f' fill='%s'>%s</text>\n", LEFT + (int)k * 160, top - 8,
                line->color, line->name);
        fprintf(out, "<polyline fill='none' stroke='%s' points='", line->color);
        for (uint32_t i = 0; i < result->trace_count; i++) {
            double value = line->value(&result->trace[i], before(result, i));
            fprintf(out, "%.1f,%.1f ", LEFT + width * (double)result->trace[i].at_ns / end_ns,
                    top + PANEL - PANEL * value / most);
        }
        fprintf(out, "'/>\n");
    }
}

void gy_rudp_sim_plot(FILE *out, const struct path_result *result, const char *title)
{
    int height = TOP + PANELS * (PANEL + GAP);
    double end_ns = 1;
    if (result->trace_count > 0) {
        end_ns = (double)result->trace[result->trace_count - 1].at_ns + 1;
    }
    fprintf(out,
            "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' viewBox='0 0 %d %d'>\n"
            "<title>%s</title>\n"
            "<style>text{font:12px sans-serif}.axis{text-anchor:end;fill:#57606a}"
            ".frame{fill:none;stroke:#d0d7de}</style>\n"
            "<rect width='100%%' height='100%%' fill='#fff'/>\n"
            "<text x='%d' y='24' font-weight='bold'>%s</text>\n",
            WIDTH, height, WIDTH, height, title, LEFT, title);
    for (int i = 0; i < PANELS; i++) {
        draw(out, result, &panels[i], TOP + i * (PANEL + GAP), end_ns);
    }
    fprintf(out,
            "<text class='axis' x='%d' y='%d'>0 s</text><text class='axis' x='%d' y='%d'>"
            "%.1f s</text>\n</svg>\n",
            LEFT + 20, height - GAP + 16, WIDTH - RIGHT, height - GAP + 16, end_ns / 1e9);
}
