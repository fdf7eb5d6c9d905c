/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_DIRECTORY_H
#define GY_CORE_DIRECTORY_H

/*
 * The names in a directory, with what they are. Reading one asks the disk for every name, and
 * blocks: it is for helper threads (core/helper.h).
 */

#include <stdbool.h>
#include <stdint.h>

struct gy_directory_name {
    char *name; /* ends in a zero */
    uint64_t bytes;
    int64_t modified_s;
    bool is_directory;
};

struct gy_directory {
    struct gy_directory_name *names;
    uint32_t count;
    bool cut; /* there are more than were asked for */
};

/*
 * Reads what is in `path`, below `root`, as gy_file_open() opens it: regular files and directories
 * that do not begin with a dot, at most `names_max`; symbolic links as what they lead to, unless
 * that is outside of `root`. In no order. 0, or a negative errno (then there is nothing to free).
 */
int gy_directory_read(struct gy_directory *directory, int root, const char *path,
                      uint32_t names_max);
void gy_directory_free(struct gy_directory *directory);

#endif
