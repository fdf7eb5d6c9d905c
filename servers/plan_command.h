/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_PLAN_COMMAND_H
#define GY_SERVERS_PLAN_COMMAND_H

/* What the commands share that serve a plan: `gyre http`, `gyre dns`, `gyre chat serve`, and
 * others. */

#include <stdio.h>

#include "plan.h"
#include "serve.h"

struct gy_plan_command {
    const char *name; /* as it is called: "chat serve" */
    void (*help)(FILE *out);
    /* Its own flags, which go into `own`, asked before the common ones; otherwise as
     * gy_plan_flag(). NULL: it has none. */
    int (*flag)(void *own, int argc, char **argv, int *index, struct gy_error *error);
    void *own;
};

/* Reads all arguments. -1: go on; otherwise the exit status: help was printed, or what is wrong. */
int gy_plan_command_read(const struct gy_plan_command *command, struct gy_plan_flags *flags,
                         int argc, char **argv);

/* Says on stderr what is wrong, and where help is. The exit status: 2. */
int gy_plan_command_misused(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The value of a flag ("--name"), if that is what argv[*index] is: "--name=VALUE" or "--name
 * VALUE". NULL: it is not; "": the value is missing. */
const char *gy_plan_command_value(const char *name, int argc, char **argv, int *index);

/* Serves, or with --check says what it would serve; `listening` as in struct gy_serve_hooks, its
 * context the flags. The exit status. */
int gy_plan_command_serve(struct gy_plan_flags *flags,
                          void (*listening)(void *context, const struct gy_serve_place *places,
                                            uint32_t count, uint32_t workers));

#endif
