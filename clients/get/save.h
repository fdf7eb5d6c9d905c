/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_GET_SAVE_H
#define GY_CLIENTS_GET_SAVE_H

/*
 * Where a fetched body goes: stdout, or a file. A file is written as NAME.part and gets its name
 * when it is whole, so that nobody takes a half for the whole. A part that is kept remembers, as an
 * attribute or as its time, which version of the file it is of; the next run can go on with it.
 * What exists under NAME and is no regular file (a device, a pipe) is written to directly.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

#define GY_SAVE_VALIDATOR_BYTES 256

struct gy_save {
    char *name;       /* NULL: stdout */
    char *part;       /* NULL: written directly */
    int file;         /* -1: not open */
    bool begun;       /* something was written, or is about to be */
    uint64_t at;      /* bytes so far, those of an earlier run included */
    int64_t modified; /* when the file was changed, in seconds; -1: not known */
    char validator[GY_SAVE_VALIDATOR_BYTES]; /* an entity tag or a date, for If-Range; or "" */
};

/* `name` NULL: stdout. `resume`: go on with the part of an earlier run; save->at then says how much
 * there is, and save->validator of which version. Opens nothing else yet. 0 or a GY_E… with a
 * sentence. */
int gy_save_init(struct gy_save *save, const char *name, bool resume, struct gy_error *error);

/* Opens for bytes from save->at on, which is 0 or as before; drops what lies behind it.
 * `validator` is kept with the part; `modified` is a time in seconds or -1. */
int gy_save_begin(struct gy_save *save, uint64_t at, const char *validator, int64_t modified,
                  struct gy_error *error);

int gy_save_write(struct gy_save *save, const void *data, size_t bytes, struct gy_error *error);

/* Whole: gives the file its name. Creates an empty one if nothing was begun. */
int gy_save_finish(struct gy_save *save, struct gy_error *error);

/* Not whole: `keep` keeps the part. Harmless after gy_save_finish(). Frees what init made. */
void gy_save_close(struct gy_save *save, bool keep);

#endif
