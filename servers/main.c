/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "clients/cert/cert_command.h"
#include "clients/dig/dig_command.h"
#include "clients/get/get_command.h"
#include "clients/ws/ws_command.h"
#include "core/usage.h"
#include "servers/chat/chat_command.h"
#include "servers/dns/dns_command.h"
#include "servers/doctor.h"
#include "servers/echo/echo_command.h"
#include "servers/http/encoder.h"
#include "servers/http/http_command.h"
#include "servers/rudp/rudp_command.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"start", gy_start_main, "serve what there is, with built-in defaults"},
    {"http", gy_http_main, "an HTTP/1.1 server"},
    {"get", gy_get_main, "fetch URLs over HTTP/1.1"},
    {"ws", gy_ws_main, "talk over a WebSocket: lines, pipes, TLS"},
    {"chat", gy_chat_main, "rooms with a history: a server, and a client for terminals and pipes"},
    {"dns", gy_dns_main, "an authoritative name server, over UDP and TCP"},
    {"dig", gy_dig_main, "ask name servers, with dig's habits"},
    {"rudp", gy_rudp_main, "reliable UDP: servers, files, TCP over it, a ping"},
    {"echo", gy_echo_main, "sends back what it receives, over TCP and UDP"},
    {"serve", gy_serve_main, "what a configuration file says: any mix of servers"},
    {"cert", gy_cert_main, "certificates for development: an authority of your own"},
    {"doctor", gy_doctor_main, "what this host offers, and what would change it"},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static void help(FILE *out)
{
    fprintf(out, "gyre " GY_VERSION ": network servers on one io_uring core\n\n"
                 "  gyre start               HTTP on 127.0.0.1:8080, nothing to configure\n"
                 "  gyre http --listen :80   a web server\n"
                 "  gyre doctor              whether this host is ready, and how to make it so\n\n"
                 "Commands:\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
    }
    fprintf(out, "\n`gyre COMMAND --help` tells more; `gyre --version` the version.\n");
}

/* `gyre help http` is `gyre http --help`. */
static int help_of(char *name)
{
    for (size_t i = 0; name != NULL && i < COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            char flag[] = "--help";
            char *words[] = {name, flag, NULL};
            return commands[i].run(2, words);
        }
    }
    help(stdout);
    return 0;
}

static int unknown(const char *word)
{
    const char *names[COMMANDS];
    char hint[GY_USAGE_HINT_BYTES];
    for (size_t i = 0; i < COMMANDS; i++) {
        names[i] = commands[i].name;
    }
    fprintf(stderr, "gyre: there is no command `%s`%s\nTry `gyre --help`.\n", word,
            gy_usage_command(hint, word, names, COMMANDS));
    return 2;
}

int main(int argc, char **argv)
{
    /* Large pieces always come from the system, zeroed and untouched, and go back to it: the tables
     * of a plan are sized for the most workers there can be, and few of their pages are ever used.
     */
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                      strcmp(argv[1], "help") == 0)) {
        return help_of(argc >= 3 ? argv[2] : NULL);
    }
    if (argc >= 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0 ||
                      strcmp(argv[1], "version") == 0)) {
        char codings[128];
        printf("gyre " GY_VERSION " (compresses with %s)\n",
               gy_encoder_names(codings, sizeof codings));
        return 0;
    }
    for (size_t i = 0; argc >= 2 && i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    if (argc >= 2) {
        return unknown(argv[1]);
    }
    help(stderr);
    return 2;
}
