/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/chat/chat_command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/chat/line.h"

#define TURN_MS     200
#define SECONDS_MAX 1000000
#define INTERRUPTED 130

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static void help(FILE *out)
{
    fprintf(out,
            "Usage: gyre chat [FLAGS] HOST[:PORT]\n"
            "Chats by lines: each line of standard input is a message, each message that comes is\n"
            "a line of standard output. A connection that breaks is resumed: nothing is lost.\n"
            "(`gyre chat serve --help`: the server.)\n\n"
            "  gyre chat chat.example.org                       at a terminal; ^D ends\n"
            "  make 2>&1 | gyre chat --room builds localhost    says what a program says\n"
            "  gyre chat --json --wait forever localhost < /dev/null\n"
            "                                                   what is said, for a program\n\n"
            "      --nick NICK       who you are (default: $USER)\n"
            "      --room ROOM       join it; may be repeated, lines go to the first (lobby)\n"
            "      --register        make the nick yours, with $GYRE_CHAT_PASSWORD; with that\n"
            "                        variable alone: log in by it; without: as a guest\n"
            "      --history N       begin with the last N messages of each room (default: 0)\n"
            "      --count N         leave when N messages have come\n"
            "      --wait S          after the end of the input, seconds to go on listening, or\n"
            "                        forever (default: until all is on the server's disk)\n"
            "      --raw             no line is a command: /join ROOM, /msg NICK TEXT, /quit\n"
            "      --json            messages as JSON, one a line\n"
            "      --tls             speak TLS (port %d; otherwise %d)\n"
            "      --ca FILE         trust who FILE (PEM) says, not the system's authorities\n"
            "      --cert FILE[,KEY] log in by this certificate\n"
            "      --insecure        do not check who the server is\n"
            "  -q, --quiet           on standard error only what failed\n\n"
            "Exit status: 0 all that was said is on the server's disk; 1 otherwise; 2 misuse.\n",
            GY_LINE_TLS_PORT, GY_LINE_PORT);
}

struct command {
    struct gy_line_options options;
    const char *host;
    bool insecure;
};

static int misuse(const char *format, const char *what)
{
    fprintf(stderr, "gyre chat: ");
    fprintf(stderr, format, what);
    fprintf(stderr, "\nTry `gyre chat --help`.\n");
    return 2;
}

static int read_number(const char *name, const char *value, uint64_t max, uint64_t *number)
{
    char *end = NULL;
    errno = 0;
    unsigned long long parsed = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || value[0] == '-' || parsed > max) {
        fprintf(stderr, "gyre chat: --%s %s: not a number from 0 to %llu\n", name, value,
                (unsigned long long)max);
        return 2;
    }
    *number = parsed;
    return -1;
}

static int take_room(struct gy_line_options *options, const char *value)
{
    if (value[0] == '\0' || strlen(value) > GY_CHAT_ROOM_MAX) {
        return misuse("--room '%s': a room's name has 1 to 64 bytes", value);
    }
    if (options->room_count == GY_LINE_ROOMS_MAX) {
        return misuse("--room %s: more than 32 rooms", value);
    }
    options->rooms[options->room_count++] = value;
    return -1;
}

static int take_tls(struct gy_tls_files *files, bool certificate, const char *value)
{
    if (certificate) {
        if (files->pair_count > 0) {
            return misuse("--cert %s: one certificate can be shown", value);
        }
        return gy_tls_files_add_flag(files, value, NULL) == 0
                   ? -1
                   : misuse("--cert %s: out of memory", value);
    }
    free(files->authorities);
    files->authorities = strdup(value);
    return files->authorities != NULL ? -1 : misuse("--ca %s: out of memory", value);
}

static int take_valued(struct gy_line_options *options, const char *name, const char *value)
{
    uint64_t number = 0;
    int status = -1;
    if (strcmp(name, "nick") == 0) {
        options->nick = value;
    } else if (strcmp(name, "room") == 0) {
        status = take_room(options, value);
    } else if (strcmp(name, "history") == 0) {
        status = read_number(name, value, UINT16_MAX, &number);
        options->history = (uint16_t)number;
    } else if (strcmp(name, "count") == 0) {
        status = read_number(name, value, UINT64_MAX / 2, &options->count);
    } else if (strcmp(name, "wait") == 0 && strcmp(value, "forever") == 0) {
        options->wait_ms = GY_LINE_FOREVER;
    } else if (strcmp(name, "wait") == 0) {
        status = read_number(name, value, SECONDS_MAX, &number);
        options->wait_ms = (uint32_t)(number * 1000);
    } else {
        status = take_tls(&options->tls, strcmp(name, "cert") == 0, value);
    }
    return status;
}

static const struct flag {
    const char *name;
    bool valued;
} flags[] = {
    {"nick", true},  {"room", true},      {"history", true}, {"count", true},     {"wait", true},
    {"ca", true},    {"cert", true},      {"tls", false},    {"json", false},     {"raw", false},
    {"help", false}, {"insecure", false}, {"quiet", false},  {"register", false},
};

/* NULL: there is no such flag. `value`: what stands with it, or NULL. */
static const struct flag *find_flag(const char *argument, const char **value)
{
    *value = NULL;
    argument = strcmp(argument, "-q") == 0   ? "--quiet"
               : strcmp(argument, "-h") == 0 ? "--help"
                                             : argument;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        size_t length = strlen(flags[i].name);
        if (strncmp(argument, "--", 2) == 0 && strncmp(argument + 2, flags[i].name, length) == 0 &&
            (argument[2 + length] == '\0' || argument[2 + length] == '=')) {
            *value = argument[2 + length] == '=' ? argument + 3 + length : NULL;
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
    command->options.secure |= strcmp(name, "tls") == 0;
    command->options.json |= strcmp(name, "json") == 0;
    command->options.raw |= strcmp(name, "raw") == 0;
    command->options.quiet |= strcmp(name, "quiet") == 0;
    command->options.registers |= strcmp(name, "register") == 0;
    command->insecure |= strcmp(name, "insecure") == 0;
    return -1;
}

static int read_arguments(struct command *command, int argc, char **argv)
{
    int status = -1;
    for (int i = 1; i < argc && status < 0; i++) {
        const char *value;
        if (argv[i][0] != '-') {
            status = command->host == NULL ? -1 : misuse("%s: one server at a time", argv[i]);
            command->host = argv[i];
            continue;
        }
        const struct flag *flag = find_flag(argv[i], &value);
        if (flag == NULL) {
            return misuse("unknown flag %s", argv[i]);
        }
        if (!flag->valued) {
            status = value != NULL ? misuse("%s: takes no value", argv[i])
                                   : take_plain(command, flag->name);
        } else if (value == NULL && i + 1 == argc) {
            return misuse("%s: needs a value", argv[i]);
        } else {
            value = value != NULL ? value : argv[++i];
            status = take_valued(&command->options, flag->name, value);
        }
    }
    return status < 0 && command->host == NULL
               ? misuse("%s", "no server; for example gyre chat localhost")
               : status;
}

/* HOST, HOST:PORT, [ADDRESS]:PORT, or an IPv6 address as it is. */
static int read_host(struct command *command)
{
    struct gy_line_options *options = &command->options;
    const char *text = command->host;
    const char *bracket = text[0] == '[' ? strchr(text, ']') : NULL;
    const char *colon = bracket != NULL ? strchr(bracket, ':') : strchr(text, ':');
    if (bracket == NULL && colon != NULL && strchr(colon + 1, ':') != NULL) {
        colon = NULL;
    }
    size_t length = colon != NULL ? (size_t)(colon - text) : strlen(text);
    uint64_t port = options->secure ? GY_LINE_TLS_PORT : GY_LINE_PORT;
    if (length == 0 || length >= sizeof options->host) {
        return misuse("%s: no host", text);
    }
    if (colon != NULL) {
        char *end = NULL;
        errno = 0;
        port = strtoull(colon + 1, &end, 10);
        if (errno != 0 || end == colon + 1 || *end != '\0' || port == 0 || port > UINT16_MAX) {
            return misuse("%s: the port is a number from 1 to 65535", text);
        }
    }
    memcpy(options->host, text, length);
    options->host[length] = '\0';
    options->port = (uint16_t)port;
    return -1;
}

/* Who one is: flags, and what the environment says. */
static int read_person(struct command *command)
{
    struct gy_line_options *options = &command->options;
    const char *user = getenv("USER");
    options->password = getenv("GYRE_CHAT_PASSWORD");
    if (options->nick == NULL) {
        options->nick = user != NULL && user[0] != '\0' ? user : "guest";
    }
    if (options->nick[0] == '\0' || strlen(options->nick) > GY_CHAT_NICK_MAX) {
        return misuse("--nick '%s': a nick has 1 to 64 bytes", options->nick);
    }
    if (options->password != NULL && strlen(options->password) > GY_CHAT_PASSWORD_MAX) {
        return misuse("%s: more than 1,024 bytes", "GYRE_CHAT_PASSWORD");
    }
    if (options->registers && options->password == NULL) {
        return misuse("%s", "--register: put the password into GYRE_CHAT_PASSWORD; on the command "
                            "line everybody could read it");
    }
    if (options->room_count == 0) {
        options->rooms[options->room_count++] = "lobby";
    }
    return -1;
}

static int run(struct command *command)
{
    struct gy_line *line = aligned_alloc(GY_CACHE_LINE_BYTES, (sizeof *line + 63) & ~(size_t)63);
    struct gy_error error = {0};
    bool told = false;
    if (line == NULL || gy_line_open(line, &command->options, &error) != 0) {
        fprintf(stderr, "gyre chat: %s\n", line == NULL ? "out of memory" : error.message);
        free(line);
        return 1;
    }
    struct sigaction action = {.sa_handler = interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    while (gy_line_turn(line, TURN_MS)) {
        if (interrupted && !told) {
            told = true;
            gy_line_leave(line);
        }
    }
    uint32_t waiting = gy_chat_client_waiting(&line->client);
    if (line->error.code != 0 && !interrupted) {
        fprintf(stderr, "gyre chat: %s: %s\n", command->host, line->error.message);
    } else if (waiting > 0) {
        fprintf(stderr, "gyre chat: %u messages were not acknowledged\n", waiting);
    }
    int status = interrupted ? INTERRUPTED : line->error.code != 0 || waiting > 0 || line->lost > 0;
    gy_line_close(line);
    free(line);
    return status;
}

int gy_chat_line_main(int argc, char **argv)
{
    static struct command command; /* its list of certificates is long */
    struct gy_line_options *options = &command.options;
    options->tls.verify = GY_TLS_VERIFY_REQUIRED;
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves is told like any other error */
    int status = read_arguments(&command, argc, argv);
    status = status < 0 ? read_host(&command) : status;
    status = status < 0 ? read_person(&command) : status;
    if (status < 0 && !options->secure &&
        (command.insecure || options->tls.authorities != NULL || options->tls.pair_count > 0)) {
        status = misuse("%s: --ca, --cert and --insecure are for --tls", command.host);
    }
    if (status < 0 && command.insecure) {
        options->tls.verify = GY_TLS_VERIFY_NONE;
        fprintf(stderr, "gyre chat: WARNING: --insecure: nobody checks who the server is; whoever "
                        "is on the way can read and change everything\n");
    }
    status = status < 0 ? run(&command) : status;
    gy_tls_files_close(&options->tls);
    return status;
}
