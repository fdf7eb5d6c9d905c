/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_UNIT_JSON_UNIT_H
#define GY_TESTS_UNIT_JSON_UNIT_H

#include <stdbool.h>
#include <string.h>

/* Enough of a JSON reader to say whether a line is an object of strings and numbers. */
static inline bool is_json_object(const char *at)
{
    if (*at++ != '{') {
        return false;
    }
    for (;;) {
        for (int part = 0; part < 2; part++) {
            if (*at == '"') {
                for (at++; *at != '"'; at++) {
                    if ((unsigned char)*at < 0x20) {
                        return false;
                    }
                    at += *at == '\\' && at[1] != '\0';
                }
                at++;
            } else if (part == 1 && strncmp(at, "true", 4) == 0) {
                at += 4;
            } else if (part == 1) {
                size_t digits = strspn(at, "-0123456789");
                if (digits == 0) {
                    return false;
                }
                at += digits;
            } else {
                return false;
            }
            if (part == 0 && *at++ != ':') {
                return false;
            }
        }
        if (*at == '}') {
            return strcmp(at, "}\n") == 0;
        }
        if (*at++ != ',') {
            return false;
        }
    }
}

#endif
