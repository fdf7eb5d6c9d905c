/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_LOG_LINE_H
#define GY_CORE_LOG_LINE_H

/* How a line of the log looks (see log.h): a function of its parts, without state. */

#include "log.h"

struct gy_log_line {
    uint64_t time_ms; /* since 1970-01-01T00:00:00Z, to the year 9999 */
    enum gy_log_level level;
    const char *component;
    const char *message;
    bool cut; /* the message is only the beginning of one */
    struct gy_log_fields fields;
};

/* Writes the line with its newline (and no zero) to `text`, GY_LOG_LINE_BYTES long; returns its
 * bytes. A line that is cut is still whole: quotes are closed, JSON has "cut":true. */
size_t gy_log_line_render(const struct gy_log_line *line, bool json, bool colour, char *text);

#endif
