/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/flags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/number.h"
#include "core/tls_files.h"

int gy_flags_misuse(const char *command, const char *format, const char *what)
{
    fprintf(stderr, "gyre %s: ", command);
    fprintf(stderr, format, what);
    fprintf(stderr, "\nTry `gyre %s --help`.\n", command);
    return 2;
}

int gy_flags_number(const char *command, const char *name, const char *value, uint64_t min,
                    uint64_t max, uint64_t *number)
{
    if (gy_number_read(value, min, max, number)) {
        return -1;
    }
    fprintf(stderr, "gyre %s: --%s %s: not a number from %llu to %llu\n", command, name, value,
            (unsigned long long)min, (unsigned long long)max);
    return 2;
}

int gy_flags_number32(const char *command, const char *name, const char *value, uint32_t min,
                      uint32_t max, uint32_t *number)
{
    uint64_t read = *number;
    int status = gy_flags_number(command, name, value, min, max, &read);
    *number = (uint32_t)read;
    return status;
}

int gy_flags_seconds(const char *command, const char *name, const char *value, uint32_t min,
                     uint32_t *time_ms)
{
    uint32_t seconds = 0;
    int status = gy_flags_number32(command, name, value, min, GY_FLAGS_SECONDS_MAX, &seconds);
    *time_ms = seconds * 1000;
    return status;
}

int gy_flags_tls(const char *command, const char *name, const char *value,
                 struct gy_tls_files *files)
{
    if (strcmp(name, "cert") == 0) {
        if (files->pair_count > 0) {
            return gy_flags_misuse(command, "--cert %s: one certificate can be shown", value);
        }
        return gy_tls_files_add_flag(files, value, NULL) == 0
                   ? -1
                   : gy_flags_misuse(command, "--cert %s: out of memory", value);
    }
    free(files->authorities);
    files->authorities = strdup(value);
    return files->authorities != NULL ? -1
                                      : gy_flags_misuse(command, "--ca %s: out of memory", value);
}

int gy_flags_header(const char *command, const char *value, struct gy_http_header *headers,
                    uint32_t max, uint32_t *count)
{
    const char *colon = strchr(value, ':');
    if (colon == NULL || colon == value) {
        return gy_flags_misuse(command, "--header '%s': not NAME: VALUE", value);
    }
    if (*count == max) {
        return gy_flags_misuse(command, "--header '%s': too many headers", value);
    }
    const char *content = colon + 1 + strspn(colon + 1, " \t");
    headers[(*count)++] =
        (struct gy_http_header){{value, (size_t)(colon - value)}, gy_http_text_of(content)};
    return -1;
}
