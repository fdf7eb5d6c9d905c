/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_FILE_CHECK_H
#define GY_CORE_FILE_CHECK_H

/*
 * Files and directories that people name, for set-up: whether they are usable, and what to say
 * when they are not: why, who this process runs as, which right it lacks and where, and what to
 * try. These block.
 */

#include <unistd.h> /* R_OK, W_OK, X_OK */

struct gy_error;

#define GY_FILE_WHY_BYTES 640

/*
 * Why `path` could not be opened, or a file made there, with the errno of the attempt: a phrase for
 * the end of a message, in `text`. `rights` is what was to be done: R_OK, W_OK, X_OK (of a
 * directory: to enter it), or'ed. Where a directory of the path is what stands in the way, it is
 * named.
 */
const char *gy_file_why(char text[GY_FILE_WHY_BYTES], const char *path, int rights,
                        int errno_value);

/* Whether `path` is a directory with these rights for this user. `what` begins the message. NULL
 * for a path is fine. 0; GY_EINVAL: it is not there, or is none; GY_EREFUSED: a right is missing;
 * or what else the system says. */
int gy_file_check_directory(const char *what, const char *path, int rights, struct gy_error *error);

#endif
