/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/http_command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/usage.h"
#include "servers/plan.h"
#include "servers/serve.h"

static void http_help(FILE *out)
{
    fprintf(out,
            "Usage: gyre http [DIR] [FLAGS]\n"
            "Serves HTTP/1.1: the files below DIR, or the built-in site, which shows what is "
            "running.\n\n"
            "  gyre http public                          files, on 127.0.0.1:8080\n"
            "  gyre http public --listen :80 --workers 4 on every address\n"
            "  gyre http                                 the built-in site\n\n"
            "%s%s%s%s"
            "\nSIGTERM or Ctrl-C drains and stops, a second one stops at once; SIGHUP reloads\n"
            "without refusing a connection.\n",
            gy_plan_http_flags_help, gy_plan_flags_help, gy_serve_flags_help, gy_serve_admin_help);
}

static void start_help(FILE *out)
{
    fprintf(out,
            "Usage: gyre start [FLAGS]\n"
            "Serves what there is with defaults that need no configuration: HTTP on "
            "127.0.0.1:8080.\n\n%s%s%s",
            gy_plan_flags_help, gy_serve_flags_help, gy_serve_admin_help);
}

static void serve_help(FILE *out)
{
    fprintf(out,
            "Usage: gyre serve --config FILE [FLAGS]\n"
            "Serves what FILE says: any number of servers, on the same workers.\n\n%s%s%s",
            gy_plan_flags_help, gy_serve_flags_help, gy_serve_admin_help);
}

struct command {
    struct gy_plan_flags flags;
    bool is_http; /* `gyre http`, which takes more than `gyre start` */
    bool needs_config;
    void (*help)(FILE *out);
};

/* -1: go on; otherwise the exit status. */
static int read_flags(struct command *command, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct gy_error error = {0};
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            command->help(stdout);
            return 0;
        }
        const char *argument = argv[i];
        int taken =
            command->is_http ? gy_plan_http_flag(&command->flags, argc, argv, &i, &error) : 0;
        if (taken == 0) {
            taken = gy_plan_flag(&command->flags, argc, argv, &i, &error);
        }
        if (taken <= 0) {
            char hint[GY_USAGE_HINT_BYTES];
            fprintf(stderr, "gyre %s: %s%s%s\nTry `gyre %s --help`.\n", argv[0],
                    taken < 0 ? error.message : "unknown flag or argument ",
                    taken < 0 ? "" : argument,
                    taken < 0 ? "" : gy_usage_hint(hint, argument, command->help), argv[0]);
            return 2;
        }
    }
    if (command->needs_config && command->flags.config == NULL) {
        fprintf(stderr, "gyre %s: --config FILE is needed\nTry `gyre %s --help`.\n", argv[0],
                argv[0]);
        return 2;
    }
    return -1;
}

/* A browsable form of what was listened on. */
static void print_url(const struct gy_serve_place *place)
{
    printf("http%s://%s%s/", place->secure ? "s" : "", place->address[0] == ':' ? "localhost" : "",
           place->address);
}

/* What shows that it is there. Blocks without a name of their own are called as their kind. */
static void print_try(const struct gy_serve_place *place)
{
    const char *host = place->address[0] == ':' ? "localhost" : "";
    const char *port = strrchr(place->address, ':');
    if (strcmp(place->server, "chat") == 0) {
        printf("gyre chat %s%s%s", place->secure ? "--tls " : "", host, place->address);
    } else if (strcmp(place->server, "dns") == 0 && port != NULL) {
        printf("gyre dig @%s%.*s -p %s %sNAME", host, (int)(port - place->address), place->address,
               port + 1, place->secure ? "+tls " : "");
    } else if (strncmp(place->server, "chat-web", 8) == 0) {
        printf("a browser: ");
        print_url(place);
    } else {
        printf("curl -i%s ", place->secure ? "k" : "");
        print_url(place);
    }
}

static void print_table(void *context, const struct gy_serve_place *places, uint32_t count,
                        uint32_t workers)
{
    (void)context;
    printf("\n  %-8s %-28s %-8s %s\n", "server", "listens on", "workers", "try");
    for (uint32_t i = 0; i < count; i++) {
        printf("  %-8s %-28s %-8u ", places[i].server, places[i].address, workers);
        print_try(&places[i]);
        printf("\n");
    }
    printf("\n  Open ");
    print_url(&places[0]);
    printf(" in a browser. Ctrl-C drains and stops.\n\n");
    fflush(stdout);
}

static void print_line(void *context, const struct gy_serve_place *places, uint32_t count,
                       uint32_t workers)
{
    (void)context;
    for (uint32_t i = 0; i < count; i++) {
        printf("gyre %s%s: listening on %s with %u worker%s\n", places[i].server,
               places[i].datagrams ? " (UDP)" : "", places[i].address, workers,
               workers == 1 ? "" : "s");
    }
    fflush(stdout);
}

static int serve(struct command *command,
                 void (*listening)(void *, const struct gy_serve_place *, uint32_t, uint32_t))
{
    if (command->flags.check) {
        return gy_plan_check(&command->flags);
    }
    struct gy_serve_hooks hooks = {
        .listening = listening, .make = gy_plan_make, .make_context = &command->flags};
    return gy_serve(&hooks);
}

int gy_http_main(int argc, char **argv)
{
    struct command command = {.is_http = true, .help = http_help};
    int status = read_flags(&command, argc, argv);
    return status >= 0 ? status : serve(&command, print_line);
}

int gy_serve_main(int argc, char **argv)
{
    struct command command = {
        .flags = {.needs_server = true}, .needs_config = true, .help = serve_help};
    int status = read_flags(&command, argc, argv);
    return status >= 0 ? status : serve(&command, print_line);
}

int gy_start_main(int argc, char **argv)
{
    struct command command = {.help = start_help};
    int status = read_flags(&command, argc, argv);
    return status >= 0 ? status : serve(&command, print_table);
}
