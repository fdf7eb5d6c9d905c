/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/echo/echo_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/number.h"
#include "core/usage.h"
#include "servers/echo/echo_server.h"
#include "servers/serve.h"

#define DEFAULT_ADDRESS "127.0.0.1:7007"

struct command {
    struct gy_serve_options options;
    bool tcp;
    bool udp;
    struct gy_echo_server *echo;
};

static void help(FILE *out)
{
    fprintf(out,
            "Usage: gyre echo [FLAGS]\n"
            "Sends back what it receives (RFC 862), over TCP and UDP: to measure a host, a network "
            "card\nor a path with.\n\n"
            "  gyre echo                        on " DEFAULT_ADDRESS "\n"
            "  gyre echo --listen :7 --udp      UDP alone, on every address\n"
            "  gyre echo --udp --trains         for clients that send many datagrams at a time\n\n"
            "  --udp, --tcp            one of the two alone\n"
            "  --discard               receive, and send nothing (RFC 863)\n"
            "  --trains                take and send trains of datagrams (UDP GRO and GSO)\n"
            "  --size BYTES            the longest datagram that is echoed (default: 1912)\n"
            "  --any-port              answer datagrams from ports below 1024 and from the\n"
            "                          server's own port number, too: NOT where strangers can\n"
            "                          reach it, since two echo servers can be made to talk to\n"
            "                          each other for ever\n"
            "  --udp-receive MODE, --udp-send MODE\n"
            "                          ring or calls (default: what was measured to be better)\n"
            "%s",
            gy_serve_flags_help);
}

/* A flag with a value: in `*value`. 1: it is the one; 0: it is not; GY_EINVAL: without a value. */
static int valued(const char *name, int argc, char **argv, int *index, const char **value,
                  struct gy_error *error)
{
    const char *argument = argv[*index] + 2;
    size_t length = strlen(name);
    if (strncmp(argument, name, length) != 0) {
        return 0;
    }
    if (argument[length] == '=') {
        *value = argument + length + 1;
        return 1;
    }
    if (argument[length] != '\0') {
        return 0;
    }
    if (*index + 1 >= argc) {
        return gy_error_set(error, GY_EINVAL, "--%s needs a value", name);
    }
    *value = argv[++*index];
    return 1;
}

static int read_mode(const char *flag, const char *value, enum gy_datagram_mode *mode,
                     struct gy_error *error)
{
    if (gy_datagram_mode_parse(value, mode) != 0) {
        return gy_error_set(error, GY_EINVAL, "--%s %s: not ring or calls", flag, value);
    }
    return 1;
}

static int read_size(const char *value, uint32_t *bytes, struct gy_error *error)
{
    uint64_t size;
    if (!gy_number_read(value, 1, GY_DATAGRAM_BYTES_MAX, &size)) {
        return gy_error_set(error, GY_EINVAL, "--size %s: not a number from 1 to %d", value,
                            GY_DATAGRAM_BYTES_MAX);
    }
    *bytes = (uint32_t)size;
    return 1;
}

static int own_flag(struct command *command, int argc, char **argv, int *index,
                    struct gy_error *error)
{
    const char *argument = argv[*index];
    struct gy_datagram_options *datagrams = &command->echo->datagrams;
    const char *value = NULL;
    int taken;
    if (strcmp(argument, "--udp") == 0) {
        command->udp = true;
    } else if (strcmp(argument, "--tcp") == 0) {
        command->tcp = true;
    } else if (strcmp(argument, "--discard") == 0) {
        command->echo->discard = true;
    } else if (strcmp(argument, "--any-port") == 0) {
        command->echo->any_port = true;
    } else if (strcmp(argument, "--trains") == 0) {
        datagrams->gro = datagrams->gso = true;
    } else if ((taken = valued("size", argc, argv, index, &value, error)) != 0) {
        return taken < 0 ? taken : read_size(value, &datagrams->message_bytes, error);
    } else if ((taken = valued("udp-receive", argc, argv, index, &value, error)) != 0) {
        return taken < 0 ? taken : read_mode("udp-receive", value, &datagrams->receive_mode, error);
    } else if ((taken = valued("udp-send", argc, argv, index, &value, error)) != 0) {
        return taken < 0 ? taken : read_mode("udp-send", value, &datagrams->send_mode, error);
    } else {
        return 0;
    }
    return 1;
}

static int common_flag(struct command *command, int argc, char **argv, int *index,
                       struct gy_error *error)
{
    char name[32];
    const char *argument = argv[*index] + 2;
    size_t length = strcspn(argument, "=");
    if (length >= sizeof name) {
        return 0;
    }
    memcpy(name, argument, length);
    name[length] = '\0';
    bool joined = argument[length] == '=';
    const char *next = *index + 1 < argc ? argv[*index + 1] : NULL;
    int taken =
        gy_serve_flag(&command->options, name, joined ? argument + length + 1 : next, error);
    if (taken == 2 && joined) {
        return gy_error_set(error, GY_EINVAL, "--%s takes no value", name);
    }
    *index += taken == 1 && !joined;
    return taken;
}

/* -1: go on; otherwise the exit status. */
static int read_flags(struct command *command, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct gy_error error = {0};
        const char *argument = argv[i];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            help(stdout);
            return 0;
        }
        int taken = strncmp(argument, "--", 2) != 0 ? 0 : own_flag(command, argc, argv, &i, &error);
        if (taken == 0 && strncmp(argument, "--", 2) == 0) {
            taken = common_flag(command, argc, argv, &i, &error);
        }
        if (taken <= 0) {
            char hint[GY_USAGE_HINT_BYTES];
            fprintf(stderr, "gyre echo: %s%s%s\nTry `gyre echo --help`.\n",
                    taken < 0 ? error.message : "unknown flag or argument ",
                    taken < 0 ? "" : argument,
                    taken < 0 ? "" : gy_usage_hint(hint, argument, help));
            return 2;
        }
    }
    const struct gy_serve_options *options = &command->options;
    if (options->admin != NULL || options->access_log != NULL) {
        fprintf(stderr, "gyre echo: %s: there is no such thing here\nTry `gyre echo --help`.\n",
                options->admin != NULL ? "--admin" : "--access-log");
        return 2;
    }
    return -1;
}

static void fill_stream(struct gy_server *server, void *context, const int *descriptors)
{
    gy_echo_server_stream(server, context, descriptors);
}

static void fill_datagram(struct gy_server *server, void *context, const int *descriptors)
{
    gy_echo_server_datagram(server, context, descriptors);
}

static int make(void *context, struct gy_serve_plan *plan, struct gy_error *error)
{
    const struct command *command = context;
    plan->options = command->options;
    bool both = command->tcp == command->udp;
    for (int datagrams = 0; datagrams < 2; datagrams++) {
        if (!both && datagrams != command->udp) {
            continue;
        }
        struct gy_serve_server *server =
            gy_serve_plan_add(plan, datagrams ? "echo (UDP)" : "echo (TCP)",
                              datagrams ? fill_datagram : fill_stream, command->echo);
        if (server == NULL) {
            return gy_error_set(error, GY_ELIMIT, "more than %d servers", GY_SERVE_SERVERS_MAX);
        }
        server->datagrams = datagrams;
        server->address_count = command->options.address_count;
        memcpy(server->addresses, command->options.addresses, sizeof server->addresses);
    }
    return 0;
}

static void listening(void *context, const struct gy_serve_place *places, uint32_t count,
                      uint32_t workers)
{
    (void)context;
    for (uint32_t i = 0; i < count; i++) {
        printf("gyre %s: listening on %s with %u worker%s\n", places[i].server, places[i].address,
               workers, workers == 1 ? "" : "s");
    }
    fflush(stdout);
}

int gy_echo_main(int argc, char **argv)
{
    struct command command = {.options = gy_serve_defaults()};
    command.echo = aligned_alloc(64, (sizeof *command.echo + 63) & ~(size_t)63);
    if (command.echo == NULL) {
        fprintf(stderr, "gyre echo: out of memory\n");
        return 1;
    }
    memset(command.echo, 0, sizeof *command.echo);
    int status = read_flags(&command, argc, argv);
    if (status < 0) {
        if (command.options.address_count == 0) {
            command.options.addresses[command.options.address_count++] = DEFAULT_ADDRESS;
        }
        struct gy_serve_hooks hooks = {
            .listening = listening, .make = make, .make_context = &command};
        status = gy_serve(&hooks);
    }
    free(command.echo);
    return status;
}
