/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/metrics.h"

#include <string.h>

#define ROW(...) GY_METRIC_ROW(struct gy_counters, __VA_ARGS__)
const struct gy_metric_description gy_counters_rows[] = {GY_COUNTERS(ROW)};
#undef ROW

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

/* `label` is written as it is, before those of the set. */
static void write_labels(struct gy_writer *writer, const char *label,
                         const struct gy_metric_set *set)
{
    const char *separator = "{";
    if (label[0] != '\0') {
        gy_writer_text(writer, separator);
        gy_writer_text(writer, label);
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
            write_labels(writer, row->label, &sets[s]);
            gy_writer_text(writer, " ");
            gy_writer_decimal(writer, value);
            gy_writer_text(writer, "\n");
        }
    }
    return writer->failed ? GY_ENOBUFS : 0;
}

/* ---- histograms ---- */

uint64_t gy_histogram_bound(uint32_t bucket)
{
    gy_assert(bucket < GY_HISTOGRAM_BUCKETS);
    if (bucket == GY_HISTOGRAM_BUCKETS - 1) {
        return UINT64_MAX;
    }
    uint64_t octave = (uint64_t)1 << (GY_HISTOGRAM_FIRST_LOG + bucket / 2);
    return bucket % 2 == 1 ? octave + octave / 2 : octave;
}

/* Seconds as a decimal fraction, exactly. */
static void write_seconds(struct gy_writer *writer, uint64_t ns)
{
    char fraction[10];
    uint32_t length = 9;
    uint64_t rest = ns % 1000000000u;
    for (uint32_t i = 9; i-- > 0; rest /= 10) {
        fraction[i] = (char)('0' + rest % 10);
    }
    while (length > 1 && fraction[length - 1] == '0') {
        length--;
    }
    gy_writer_decimal(writer, ns / 1000000000u);
    gy_writer_text(writer, ".");
    gy_writer_bytes(writer, fraction, length);
}

static const struct gy_histogram *histogram_of(const struct gy_metric_set *set, size_t i,
                                               size_t offset)
{
    return (const void *)((const char *)set->instances[i] + offset);
}

static void write_histogram(struct gy_writer *writer, const char *name, size_t offset,
                            const struct gy_metric_set *set)
{
    uint64_t sum_ns = 0;
    uint64_t below = 0;
    for (uint32_t bucket = 0; bucket < GY_HISTOGRAM_BUCKETS; bucket++) {
        for (size_t i = 0; i < set->instance_count; i++) {
            below += gy_counter_read(&histogram_of(set, i, offset)->counts[bucket]);
        }
        char label[48];
        struct gy_writer le = gy_writer_on(label, sizeof label - 1);
        gy_writer_text(&le, "le=\"");
        if (bucket == GY_HISTOGRAM_BUCKETS - 1) {
            gy_writer_text(&le, "+Inf");
        } else {
            write_seconds(&le, gy_histogram_bound(bucket));
        }
        gy_writer_text(&le, "\"");
        gy_assert(!le.failed);
        label[gy_writer_length(&le)] = '\0';
        gy_writer_text(writer, "gyre_");
        gy_writer_text(writer, name);
        gy_writer_text(writer, "_bucket");
        write_labels(writer, label, set);
        gy_writer_text(writer, " ");
        gy_writer_decimal(writer, below);
        gy_writer_text(writer, "\n");
    }
    for (size_t i = 0; i < set->instance_count; i++) {
        sum_ns += gy_counter_read(&histogram_of(set, i, offset)->sum_ns);
    }
    for (int count = 0; count <= 1; count++) {
        gy_writer_text(writer, "gyre_");
        gy_writer_text(writer, name);
        gy_writer_text(writer, count ? "_count" : "_sum");
        write_labels(writer, "", set);
        gy_writer_text(writer, " ");
        if (count) {
            gy_writer_decimal(writer, below);
        } else {
            write_seconds(writer, sum_ns);
        }
        gy_writer_text(writer, "\n");
    }
}

int gy_histogram_render(struct gy_writer *writer, const char *name, const char *help, size_t offset,
                        const struct gy_metric_set *sets, size_t set_count)
{
    gy_writer_text(writer, "# HELP gyre_");
    gy_writer_text(writer, name);
    gy_writer_text(writer, " ");
    write_escaped(writer, help, false);
    gy_writer_text(writer, "\n# TYPE gyre_");
    gy_writer_text(writer, name);
    gy_writer_text(writer, " histogram\n");
    for (size_t s = 0; s < set_count && !writer->failed; s++) {
        write_histogram(writer, name, offset, &sets[s]);
    }
    return writer->failed ? GY_ENOBUFS : 0;
}
