/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/http_command.h"

#include <stdio.h>
#include <string.h>

#include "core/address.h"
#include "servers/plan_command.h"

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
               port + 1,
               place->secure      ? "+tls "
               : place->datagrams ? ""
                                  : "+tcp ");
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
        char address[GY_ADDRESS_TEXT_BYTES + 8];
        snprintf(address, sizeof address, "%s%s", places[i].address,
                 places[i].datagrams ? " (UDP)" : "");
        printf("  %-8s %-28s %-8u ", places[i].server, address, workers);
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

static int http_flag(void *own, int argc, char **argv, int *index, struct gy_error *error)
{
    return gy_plan_http_flag(own, argc, argv, index, error);
}

int gy_http_main(int argc, char **argv)
{
    struct gy_plan_flags flags = {0};
    const struct gy_plan_command command = {"http", http_help, http_flag, &flags};
    int status = gy_plan_command_read(&command, &flags, argc, argv);
    return status >= 0 ? status : gy_plan_command_serve(&flags, print_line);
}

int gy_serve_main(int argc, char **argv)
{
    static const struct gy_plan_command command = {"serve", serve_help, NULL, NULL};
    struct gy_plan_flags flags = {.needs_server = true};
    int status = gy_plan_command_read(&command, &flags, argc, argv);
    if (status < 0 && flags.config == NULL) {
        status = gy_plan_command_misused("serve", "--config FILE is needed");
    }
    return status >= 0 ? status : gy_plan_command_serve(&flags, print_line);
}

int gy_start_main(int argc, char **argv)
{
    static const struct gy_plan_command command = {"start", start_help, NULL, NULL};
    struct gy_plan_flags flags = {0};
    int status = gy_plan_command_read(&command, &flags, argc, argv);
    return status >= 0 ? status : gy_plan_command_serve(&flags, print_table);
}
