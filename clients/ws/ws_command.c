/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/ws/ws_command.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/flags.h"
#include "clients/ws/talk.h"
#include "core/usage.h"

#define TURN_MS     200
#define NAME        "ws" /* of the command */
#define INTERRUPTED 130

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static void help(FILE *out)
{
    fprintf(
        out,
        "Usage: gyre ws [FLAGS] URL\n"
        "Talks over a WebSocket: each line of standard input is a message, each message that\n"
        "comes is a line of standard output.\n\n"
        "  gyre ws ws://localhost:8080/chat            at a terminal; ^D ends\n"
        "  echo hello | gyre ws ws://localhost/echo    prints what it is answered\n"
        "  gyre ws --count 1 wss://host/prices < /dev/null\n"
        "                                              waits for one message\n\n"
        "      --binary             input as it is read, in binary messages; output as it came\n"
        "      --count N            close when N messages have come\n"
        "      --wait S             after the end of the input, seconds to go on listening, or\n"
        "                           forever (default: until what was sent is answered for)\n"
        "      --subprotocol NAME   ask for it; may be repeated, the one liked best first\n"
        "      --compress           offer to compress messages (permessage-deflate)\n"
        "      --origin ORIGIN      say which page it is for, such as https://example.org\n"
        "  -H, --header 'NAME: V'   send this field; may be repeated\n"
        "      --ping S             seconds of silence until a Ping; 0: never (default: 30)\n"
        "      --connect-timeout S  seconds to connect (default: 30)\n"
        "      --ca FILE            trust who FILE (PEM) says, not the system's authorities\n"
        "      --cert FILE[,KEY]    show this certificate to servers that ask for one\n"
        "      --insecure           do not check who the server is\n"
        "  -q, --quiet              on standard error only what failed\n\n"
        "Exit status: 0 closed with code 1000, or none, by either side; 1 otherwise; 2 misuse.\n"
        "The code and the reason that a server closes with are told on standard error.\n");
}

struct command {
    struct gy_talk_options options;
    const char *url;
    bool insecure;
};

static int take_subprotocol(struct gy_talk_options *options, const char *value)
{
    if (value[0] == '\0' || strpbrk(value, " \t,;\"()<>@:\\/[]?={}") != NULL) {
        return gy_flags_misuse(NAME, "--subprotocol '%s': its name is a token, like chat.v1",
                               value);
    }
    if (options->subprotocol_count == GY_TALK_SUBPROTOCOLS_MAX) {
        return gy_flags_misuse(NAME, "--subprotocol '%s': too many", value);
    }
    options->subprotocols[options->subprotocol_count++] = value;
    return -1;
}

static int take_valued(struct gy_talk_options *options, const char *name, const char *value)
{
    if (strcmp(name, "count") == 0) {
        return gy_flags_number(NAME, name, value, 1, UINT64_MAX / 2, &options->count);
    }
    if (strcmp(name, "wait") == 0 && strcmp(value, "forever") == 0) {
        options->wait_ms = GY_TALK_FOREVER;
        return -1;
    }
    if (strcmp(name, "wait") == 0) {
        return gy_flags_seconds(NAME, name, value, 0, &options->wait_ms);
    }
    if (strcmp(name, "ping") == 0) {
        return gy_flags_seconds(NAME, name, value, 0, &options->ping_ms);
    }
    if (strcmp(name, "connect-timeout") == 0) {
        return gy_flags_seconds(NAME, name, value, 1, &options->connect_timeout_ms);
    }
    if (strcmp(name, "subprotocol") == 0) {
        return take_subprotocol(options, value);
    }
    if (strcmp(name, "header") == 0) {
        return gy_flags_header(NAME, value, options->headers, GY_TALK_HEADERS_MAX,
                               &options->header_count);
    }
    if (strcmp(name, "origin") == 0) {
        options->origin = value;
        return -1;
    }
    return gy_flags_tls(NAME, name, value, &options->tls);
}

static const struct flag {
    const char *name;
    char letter;
    bool valued;
} flags[] = {
    {"binary", 0, false},     {"count", 0, true},           {"wait", 0, true},
    {"subprotocol", 0, true}, {"origin", 0, true},          {"header", 'H', true},
    {"ping", 0, true},        {"connect-timeout", 0, true}, {"ca", 0, true},
    {"cert", 0, true},        {"insecure", 0, false},       {"compress", 0, false},
    {"quiet", 'q', false},    {"help", 'h', false},
};

/* NULL: there is no such flag. `value`: what stands with it, or NULL. */
static const struct flag *find_flag(const char *argument, const char **value)
{
    *value = NULL;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        size_t length = strlen(flags[i].name);
        if (argument[1] == '-' && strncmp(argument + 2, flags[i].name, length) == 0 &&
            (argument[2 + length] == '\0' || argument[2 + length] == '=')) {
            *value = argument[2 + length] == '=' ? argument + 3 + length : NULL;
            return &flags[i];
        }
        if (argument[1] != '-' && flags[i].letter != 0 && argument[1] == flags[i].letter &&
            (flags[i].valued || argument[2] == '\0')) {
            *value = argument[2] != '\0' ? argument + 2 : NULL;
            return &flags[i];
        }
    }
    return NULL;
}

/* -1: go on; else the exit status. */
static int take_plain(struct command *command, const char *name)
{
    if (strcmp(name, "help") == 0) {
        help(stdout);
        return 0;
    }
    command->options.binary |= strcmp(name, "binary") == 0;
    command->options.compress |= strcmp(name, "compress") == 0;
    command->options.quiet |= strcmp(name, "quiet") == 0;
    command->insecure |= strcmp(name, "insecure") == 0;
    return -1;
}

static int read_arguments(struct command *command, int argc, char **argv)
{
    int status = -1;
    for (int i = 1; i < argc && status < 0; i++) {
        const char *value;
        if (argv[i][0] != '-') {
            status =
                command->url == NULL ? -1 : gy_flags_misuse(NAME, "%s: one URL at a time", argv[i]);
            command->url = argv[i];
            continue;
        }
        const struct flag *flag = find_flag(argv[i], &value);
        if (flag == NULL) {
            char hint[GY_USAGE_HINT_BYTES];
            fprintf(stderr, "gyre ws: unknown flag %s%s\nTry `gyre ws --help`.\n", argv[i],
                    gy_usage_hint(hint, argv[i], help));
            return 2;
        }
        if (!flag->valued) {
            status = value != NULL ? gy_flags_misuse(NAME, "%s: takes no value", argv[i])
                                   : take_plain(command, flag->name);
        } else if (value == NULL && i + 1 == argc) {
            return gy_flags_misuse(NAME, "%s: needs a value", argv[i]);
        } else {
            value = value != NULL ? value : argv[++i];
            status = take_valued(&command->options, flag->name, value);
        }
    }
    return status < 0 && command->url == NULL
               ? gy_flags_misuse(NAME, "%s", "no URL; for example gyre ws ws://localhost:8080/echo")
               : status;
}

/* ws and wss are http and https up to the handshake (RFC 6455 §3). */
static int read_url(struct command *command)
{
    struct gy_error error = {0};
    char *text = NULL;
    bool plain = strncasecmp(command->url, "ws://", 5) == 0;
    bool secure = strncasecmp(command->url, "wss://", 6) == 0;
    if (!plain && !secure && strstr(command->url, "://") != NULL) {
        return gy_flags_misuse(NAME, "%s: a WebSocket's URL begins with ws:// or wss://",
                               command->url);
    }
    const char *rest = command->url + (plain ? 5 : secure ? 6 : 0);
    if (strchr(rest, '#') != NULL) {
        return gy_flags_misuse(NAME, "%s: a WebSocket's URL has no fragment", command->url);
    }
    if (asprintf(&text, "http%s://%s", secure ? "s" : "", rest) < 0) {
        return gy_flags_misuse(NAME, "%s: out of memory", command->url);
    }
    int code = gy_url_parse(&command->options.url, text, &error);
    free(text);
    if (code != 0) {
        fprintf(stderr, "gyre ws: %s: %s\n", command->url, error.message);
        return 2;
    }
    return -1;
}

static int run(struct command *command)
{
    struct gy_talk *talk = aligned_alloc(GY_CACHE_LINE_BYTES, (sizeof *talk + 63) & ~(size_t)63);
    struct gy_error error = {0};
    bool told = false;
    if (talk == NULL || gy_talk_open(talk, &command->options, &error) != 0) {
        fprintf(stderr, "gyre ws: %s\n", talk == NULL ? "out of memory" : error.message);
        free(talk);
        return 1;
    }
    struct sigaction action = {.sa_handler = interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    while (gy_talk_turn(talk, TURN_MS)) {
        if (interrupted && !told) {
            told = true;
            gy_talk_stop(talk, GY_WS_GOING_AWAY);
        }
    }
    if (talk->error.code != 0 && !interrupted) {
        fprintf(stderr, "gyre ws: %s: %s\n", command->url, talk->error.message);
    }
    int status = interrupted ? INTERRUPTED : talk->error.code != 0;
    gy_talk_close(talk);
    free(talk);
    return status;
}

int gy_ws_main(int argc, char **argv)
{
    static struct command command; /* its list of certificates is long */
    struct gy_talk_options *options = &command.options;
    options->connect_timeout_ms = 30000;
    options->ping_ms = 30000;
    options->wait_ms = GY_TALK_WAIT_MS;
    options->tls.protocols[0] = "http/1.1";
    options->tls.protocol_count = 1;
    options->tls.verify = GY_TLS_VERIFY_REQUIRED;
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves is told like any other error */
    int status = read_arguments(&command, argc, argv);
    status = status < 0 ? read_url(&command) : status;
    bool secure = options->url.secure;
    if (status < 0 && !secure &&
        (command.insecure || options->tls.authorities != NULL || options->tls.pair_count > 0)) {
        status =
            gy_flags_misuse(NAME, "%s: --ca, --cert and --insecure are for wss://", command.url);
    }
    if (status < 0 && command.insecure) {
        options->tls.verify = GY_TLS_VERIFY_NONE;
        fprintf(stderr, "gyre ws: WARNING: --insecure: nobody checks who the server is; whoever is "
                        "on the way can read and change everything\n");
    }
    status = status < 0 ? run(&command) : status;
    gy_tls_files_close(&options->tls);
    return status;
}
