/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_NUMBER_H
#define GY_CORE_NUMBER_H

/* Whole numbers as people write them in flags and files. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads decimal digits and nothing else: no sign, no blank, nothing behind them. False, and
 * *number stays as it is: text is NULL or no such number, or not from min to max. */
static inline bool gy_number_read(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;
    if (text == NULL || text[0] == '\0') {
        return false;
    }
    for (const char *at = text; *at != '\0'; at++) {
        uint64_t digit = (uint64_t)(unsigned char)*at - '0';
        if (*at < '0' || *at > '9' || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    if (value < min || value > max) {
        return false;
    }
    *number = value;
    return true;
}

#endif
