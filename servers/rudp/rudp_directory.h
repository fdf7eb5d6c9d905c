/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_DIRECTORY_H
#define GY_SERVERS_RUDP_DIRECTORY_H

/* Directories that people name for reliable UDP: where files come to (`drop`), from (`share`), and
 * qlog is written. */

#include <stdbool.h>

struct gy_error;

/* Whether a directory that people have named is there and can be read and, `write`, have files made
 * in it: asked before anybody is told that all is well. `what` begins the message. NULL for a path
 * is fine. GY_EINVAL, GY_EREFUSED (this user may not), or what the system says. */
int gy_rudp_directory_check(const char *what, const char *path, bool write, struct gy_error *error);

#endif
