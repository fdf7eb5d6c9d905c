/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_HTTP_CORPUS_H
#define GY_TESTS_HTTP_CORPUS_H

/*
 * Cases of malformed/, whose README describes their format.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct corpus_case {
    char name[64];    /* the file's, without .http */
    char expect[64];  /* statuses and "open" or "close" */
    char refusal[32]; /* enum gy_h1_refusal's name, or "" */
    bool input_ends;
    uint8_t *bytes; /* a heap block of exactly `length` bytes */
    size_t length;
};

/* Reads one file. 0, or -1 with the reason on stderr. */
int corpus_read(const char *path, struct corpus_case *read);

/* Reads all .http files of a folder, sorted by name; `cases` is a heap block. The number of cases,
 * or -1 with the reason on stderr. */
int corpus_read_all(const char *folder, struct corpus_case **cases);

void corpus_free(struct corpus_case *cases, int count);

#endif
