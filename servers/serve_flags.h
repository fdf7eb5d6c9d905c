/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_SERVE_FLAGS_H
#define GY_SERVERS_SERVE_FLAGS_H

/*
 * The flags of every command that serves, without their hyphens: all that `gyre start` takes.
 * ci/start reads them here, too, so that one that was mistyped is refused before minutes of
 * building: every text in quotes in this file is the name of a flag.
 */

/* Of gy_serve_flag(), with a value. */
#define GY_SERVE_VALUED(FLAG)                                                                      \
    FLAG("listen")                                                                                 \
    FLAG("workers")                                                                                \
    FLAG("connections")                                                                            \
    FLAG("drain-timeout")                                                                          \
    FLAG("receive-mode")                                                                           \
    FLAG("without")                                                                                \
    FLAG("log-level")                                                                              \
    FLAG("admin")                                                                                  \
    FLAG("access-log")                                                                             \
    FLAG("access-format")                                                                          \
    FLAG("user")                                                                                   \
    FLAG("descriptor-tables")

/* Without one, and the member of struct gy_serve_options that they set. */
#define GY_SERVE_SWITCHES(FLAG)                                                                    \
    FLAG("unpinned", unpinned)                                                                     \
    FLAG("no-supervisor", alone)                                                                   \
    FLAG("log-json", log_json)

/* Of gy_plan_flag(). */
#define GY_PLAN_CONFIG "config"
#define GY_PLAN_CHECK  "check"

#endif
