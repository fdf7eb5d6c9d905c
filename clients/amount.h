/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_AMOUNT_H
#define GY_CLIENTS_AMOUNT_H

/* Bytes as people read them: "17 B", "1.5 MiB". */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define GY_AMOUNT_BYTES 24

static inline const char *gy_amount(uint64_t bytes, char out[GY_AMOUNT_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    double value = (double)bytes;
    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    snprintf(out, GY_AMOUNT_BYTES, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

#endif
