/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/metrics.h"

#include <string.h>

#define GY_COUNTERS_ROW(member, name, label, kind, help)                                           \
    {name, label, help, GY_METRIC_##kind, offsetof(struct gy_counters, member)},
const struct gy_metric_description gy_counters_rows[] = {GY_COUNTERS(GY_COUNTERS_ROW)};
#undef GY_COUNTERS_ROW

const size_t gy_counters_row_count = sizeof gy_counters_rows / sizeof gy_counters_rows[0];

static uint64_t neutral_of(enum gy_metric_kind kind)
{
    return kind == GY_METRIC_GAUGE_MIN ? UINT64_MAX : 0;
}

void gy_counters_init(struct gy_counters *counters)
{
#define GY_COUNTERS_NEUTRAL(member, name, label, kind, help)                                       \
    gy_gauge_set(&counters->member, neutral_of(GY_METRIC_##kind));
    GY_COUNTERS(GY_COUNTERS_NEUTRAL)
#undef GY_COUNTERS_NEUTRAL
}

uint64_t gy_metric_value(const struct gy_metric_description *row, const void *const *instances,
                         size_t instance_count)
{
    uint64_t joined = neutral_of(row->kind);
    for (size_t i = 0; i < instance_count; i++) {
        const char *instance = instances[i];
        uint64_t value = gy_counter_read((const _Atomic uint64_t *)(instance + row->offset));
        switch (row->kind) {
        case GY_METRIC_COUNTER:
        case GY_METRIC_GAUGE:
            joined += value;
            break;
        case GY_METRIC_GAUGE_MAX:
            joined = value > joined ? value : joined;
            break;
        case GY_METRIC_GAUGE_MIN:
            joined = value < joined ? value : joined;
            break;
        }
    }
    return joined;
}

/* Backslash and newline are escaped everywhere, quotes only where the format quotes. */
static void write_escaped(struct gy_writer *writer, const char *text, bool quoted)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            gy_writer_text(writer, "\\n");
        } else if (*text == '\\' || (quoted && *text == '"')) {
            gy_writer_u8(writer, '\\');
            gy_writer_u8(writer, (uint8_t)*text);
        } else {
            gy_writer_u8(writer, (uint8_t)*text);
        }
    }
}

static void write_name(struct gy_writer *writer, const struct gy_metric_description *row)
{
    gy_writer_text(writer, "gyre_");
    gy_writer_text(writer, row->name);
    if (row->kind == GY_METRIC_COUNTER) {
        gy_writer_text(writer, "_total");
    }
}

static void write_head(struct gy_writer *writer, const struct gy_metric_description *row)
{
    gy_writer_text(writer, "# HELP ");
    write_name(writer, row);
    gy_writer_text(writer, " ");
    write_escaped(writer, row->help, false);
    gy_writer_text(writer, "\n# TYPE ");
    write_name(writer, row);
    gy_writer_text(writer, row->kind == GY_METRIC_COUNTER ? " counter\n" : " gauge\n");
}

static void write_labels(struct gy_writer *writer, const struct gy_metric_description *row,
                         const struct gy_metric_set *set)
{
    const char *separator = "{";
    if (row->label[0] != '\0') {
        gy_writer_text(writer, separator);
        gy_writer_text(writer, row->label);
        separator = ",";
    }
    for (size_t i = 0; i < set->label_count; i++) {
        gy_writer_text(writer, separator);
        gy_writer_text(writer, set->labels[i].name);
        gy_writer_text(writer, "=\"");
        write_escaped(writer, set->labels[i].value, true);
        gy_writer_text(writer, "\"");
        separator = ",";
    }
    if (separator[0] == ',') {
        gy_writer_text(writer, "}");
    }
}

int gy_metrics_render(struct gy_writer *writer, const struct gy_metric_description *rows,
                      size_t row_count, const struct gy_metric_set *sets, size_t set_count)
{
    for (size_t r = 0; r < row_count && !writer->failed; r++) {
        const struct gy_metric_description *row = &rows[r];
        gy_assert(row->name != NULL && row->label != NULL && row->help != NULL);
        if (r == 0 || strcmp(row->name, rows[r - 1].name) != 0) {
            write_head(writer, row);
        } else {
            gy_assert(row->kind == rows[r - 1].kind);
        }
        for (size_t s = 0; s < set_count; s++) {
            uint64_t value = gy_metric_value(row, sets[s].instances, sets[s].instance_count);
            if (row->kind == GY_METRIC_GAUGE_MIN && value == UINT64_MAX) {
                continue;
            }
            write_name(writer, row);
            write_labels(writer, row, &sets[s]);
            gy_writer_text(writer, " ");
            gy_writer_decimal(writer, value);
            gy_writer_text(writer, "\n");
        }
    }
    return writer->failed ? GY_ENOBUFS : 0;
}
