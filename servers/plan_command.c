/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/plan_command.h"

#include <stdarg.h>
#include <string.h>

#include "core/usage.h"

int gy_plan_command_misused(const char *name, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "gyre %s: ", name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nTry `gyre %s --help`.\n", name);
    return 2;
}

int gy_plan_command_read(const struct gy_plan_command *command, struct gy_plan_flags *flags,
                         int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct gy_error error = {0};
        const char *argument = argv[i];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            command->help(stdout);
            return 0;
        }
        int taken = command->flag != NULL ? command->flag(command->own, argc, argv, &i, &error) : 0;
        if (taken == 0) {
            taken = gy_plan_flag(flags, argc, argv, &i, &error);
        }
        if (taken < 0) {
            return gy_plan_command_misused(command->name, "%s", error.message);
        }
        if (taken == 0) {
            char hint[GY_USAGE_HINT_BYTES];
            return gy_plan_command_misused(command->name, "unknown flag or argument %s%s", argument,
                                           gy_usage_hint(hint, argument, command->help));
        }
    }
    return -1;
}

const char *gy_plan_command_value(const char *name, int argc, char **argv, int *index)
{
    const char *argument = argv[*index];
    size_t length = strlen(name);
    gy_assert(argument != NULL);
    if (strncmp(argument, name, length) != 0 ||
        (argument[length] != '=' && argument[length] != '\0')) {
        return NULL;
    }
    if (argument[length] == '=') {
        return argument + length + 1;
    }
    return *index + 1 < argc ? argv[++*index] : "";
}

int gy_plan_command_serve(struct gy_plan_flags *flags,
                          void (*listening)(void *context, const struct gy_serve_place *places,
                                            uint32_t count, uint32_t workers))
{
    if (flags->check) {
        return gy_plan_check(flags);
    }
    struct gy_serve_hooks hooks = {
        .listening = listening, .context = flags, .make = gy_plan_make, .make_context = flags};
    return gy_serve(&hooks);
}
