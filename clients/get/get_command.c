/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/get/get_command.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/flags.h"
#include "clients/get/get_internal.h"
#include "clients/shown.h"
#include "core/usage.h"

#define TURN_MS       200
#define DEFAULT_TRIES 2

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static void help(FILE *out)
{
    fprintf(out,
            "Usage: gyre get [FLAGS] URL...\n"
            "Fetches http and https URLs; bodies go to standard output unless told otherwise.\n\n"
            "  gyre get localhost:8080/status.json     print it\n"
            "  gyre get -O http://host/file.iso        save it as file.iso, when it is whole\n"
            "  gyre get -C -O http://host/file.iso     go on where the last run stopped\n\n"
            "  -o, --output FILE        save to FILE (one URL; \"-\" is standard output)\n"
            "  -O, --remote-name        save each URL under its own last name\n"
            "  -C, --continue           keep what was cut short, and go on with it\n"
            "  -r, --range FIRST-LAST   only these bytes (\"100-\", \"-5\": from 100, the last 5)\n"
            "  -H, --header 'NAME: V'   send this field; may be repeated\n"
            "  -i, --include            the response's head before its body\n"
            "  -I, --head               only the head\n"
            "      --any-status         statuses of 400 and above are no failure\n"
            "      --no-follow          do not follow redirects\n"
            "      --max-redirects N    follow at most N (default: 10)\n"
            "      --retry N            try again after connections failed (default: 2)\n"
            "      --parallel N         URLs at once when they are saved (default: 4)\n"
            "      --pipeline N         with -O, requests ahead on a connection (default: 1)\n"
            "      --connect-timeout S  seconds to connect (default: 30)\n"
            "      --timeout S          seconds for each URL, all told (default: none)\n"
            "      --ca FILE            trust who FILE (PEM) says, not the system's authorities\n"
            "      --cert FILE[,KEY]    show this certificate to servers that ask for one\n"
            "      --insecure           do not check who the server is\n"
            "  -q, --quiet              no progress (there is none but on a terminal)\n\n"
            "Exit status: 0 everything was fetched, 1 something was not (a status of 400 or above "
            "counts),\n2 misuse. Files get their names when they are whole.\n");
}

struct command {
    struct gy_get_options options;
    const char *output;
    bool remote_name;
    bool insecure;
    struct gy_fetch *fetches;
    uint32_t count;
};

/* Long names beside short ones; `valued` have a value. */
static const struct flag {
    const char *name;
    char letter;
    bool valued;
} flags[] = {
    {"output", 'o', true},    {"remote-name", 'O', false},
    {"continue", 'C', false}, {"range", 'r', true},
    {"header", 'H', true},    {"include", 'i', false},
    {"head", 'I', false},     {"any-status", 0, false},
    {"no-follow", 0, false},  {"max-redirects", 0, true},
    {"retry", 0, true},       {"parallel", 0, true},
    {"pipeline", 0, true},    {"connect-timeout", 0, true},
    {"timeout", 0, true},     {"ca", 0, true},
    {"cert", 0, true},        {"insecure", 0, false},
    {"quiet", 'q', false},    {"help", 'h', false},
};

#define FLAGS (sizeof flags / sizeof flags[0])

#define NAME "get" /* of the command */

/* FIRST-LAST, FIRST- or -COUNT, as RFC 9110 §14.1.2 has them; one of them. */
static bool range_valid(const char *text)
{
    size_t first = strspn(text, "0123456789");
    if (text[first] != '-') {
        return false;
    }
    size_t last = strspn(text + first + 1, "0123456789");
    return text[first + 1 + last] == '\0' && first + last > 0 && first < 19 && last < 19;
}

static int take_valued(struct command *command, const struct flag *flag, const char *value)
{
    struct gy_get_options *options = &command->options;
    if (strcmp(flag->name, "output") == 0) {
        command->output = value;
    } else if (strcmp(flag->name, "range") == 0) {
        options->range = value;
        return range_valid(value) ? -1 : gy_flags_misuse(NAME, "--range %s: not FIRST-LAST", value);
    } else if (strcmp(flag->name, "header") == 0) {
        return gy_flags_header(NAME, value, options->headers, GY_GET_HEADERS_MAX,
                               &options->header_count);
    } else if (strcmp(flag->name, "max-redirects") == 0) {
        return gy_flags_number32(NAME, flag->name, value, 0, 1000, &options->redirects);
    } else if (strcmp(flag->name, "retry") == 0) {
        return gy_flags_number32(NAME, flag->name, value, 0, 1000, &options->retries);
    } else if (strcmp(flag->name, "parallel") == 0) {
        return gy_flags_number32(NAME, flag->name, value, 1, 64, &options->parallel);
    } else if (strcmp(flag->name, "pipeline") == 0) {
        return gy_flags_number32(NAME, flag->name, value, 1, 64, &options->pipeline);
    } else if (strcmp(flag->name, "connect-timeout") == 0) {
        return gy_flags_seconds(NAME, flag->name, value, 1, &options->connect_timeout_ms);
    } else if (strcmp(flag->name, "timeout") == 0) {
        return gy_flags_seconds(NAME, flag->name, value, 1, &options->timeout_ms);
    } else {
        return gy_flags_tls(NAME, flag->name, value, &options->tls);
    }
    return -1;
}

static int take_plain(struct command *command, const struct flag *flag)
{
    struct gy_get_options *options = &command->options;
    const struct {
        const char *name;
        bool *set;
    } plain[] = {
        {"remote-name", &command->remote_name},
        {"continue", &options->resume},
        {"include", &options->include},
        {"head", &options->head},
        {"any-status", &options->any_status},
        {"no-follow", &options->no_follow},
        {"quiet", &options->quiet},
        {"insecure", &command->insecure},
    };
    if (strcmp(flag->name, "help") == 0) {
        help(stdout);
        return 0;
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (strcmp(flag->name, plain[i].name) == 0) {
            *plain[i].set = true;
        }
    }
    return -1;
}

/* -1: go on; otherwise the exit status. `used` is how many arguments behind this one were taken. */
static int take_long(struct command *command, const char *text, const char *next, int *used)
{
    size_t length = strcspn(text, "=");
    for (size_t i = 0; i < FLAGS; i++) {
        if (strlen(flags[i].name) != length || strncmp(flags[i].name, text, length) != 0) {
            continue;
        }
        if (!flags[i].valued) {
            return text[length] == '=' ? gy_flags_misuse(NAME, "--%s: takes no value", text)
                                       : take_plain(command, &flags[i]);
        }
        const char *value = text[length] == '=' ? text + length + 1 : next;
        *used = text[length] != '=';
        return value == NULL ? gy_flags_misuse(NAME, "--%s needs a value", text)
                             : take_valued(command, &flags[i], value);
    }
    char hint[GY_USAGE_HINT_BYTES];
    fprintf(stderr, "gyre get: unknown flag --%s%s\nTry `gyre get --help`.\n", text,
            gy_usage_hint(hint, text - 2, help));
    return 2;
}

/* Letters may stand together; the value of the last may follow at once. */
static int take_short(struct command *command, const char *letters, const char *next, int *used)
{
    for (const char *at = letters; *at != '\0'; at++) {
        size_t i = 0;
        while (i < FLAGS && flags[i].letter != *at) {
            i++;
        }
        if (i == FLAGS) {
            return gy_flags_misuse(NAME, "unknown flag -%s", at);
        }
        if (flags[i].valued) {
            const char *value = at[1] != '\0' ? at + 1 : next;
            *used = at[1] == '\0';
            return value == NULL ? gy_flags_misuse(NAME, "-%s needs a value", at)
                                 : take_valued(command, &flags[i], value);
        }
        int status = take_plain(command, &flags[i]);
        if (status >= 0) {
            return status;
        }
    }
    return -1;
}

static int read_arguments(struct command *command, int argc, char **argv)
{
    bool only_urls = false;
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        int used = 0;
        int status = -1;
        if (only_urls || argv[i][0] != '-' || argv[i][1] == '\0') {
            command->fetches[command->count++].given = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_urls = true;
        } else if (argv[i][1] == '-') {
            status = take_long(command, argv[i] + 2, next, &used);
        } else {
            status = take_short(command, argv[i] + 1, next, &used);
        }
        if (status >= 0) {
            return status;
        }
        i += used;
    }
    return -1;
}

static int check(const struct command *command)
{
    const struct gy_get_options *options = &command->options;
    bool saves =
        command->remote_name || (command->output != NULL && strcmp(command->output, "-") != 0);
    if (command->count == 0) {
        return gy_flags_misuse(NAME, "%s", "no URL was given");
    }
    if (command->output != NULL && (command->count > 1 || command->remote_name)) {
        return gy_flags_misuse(NAME, "--output %s: is for one URL; use --remote-name",
                               command->output);
    }
    if (options->resume &&
        (!saves || options->range != NULL || options->include || options->head)) {
        return gy_flags_misuse(NAME, "%s",
                               "--continue is for whole files: give -o FILE or -O, and neither "
                               "--range, --include nor --head");
    }
    return -1;
}

/* Each URL's file. Two that would have the same name cannot both. */
static int name_files(struct command *command)
{
    for (uint32_t i = 0; i < command->count; i++) {
        struct gy_fetch *fetch = &command->fetches[i];
        struct gy_error error = {0};
        if (gy_url_parse(&fetch->url, fetch->given, &error) != 0) {
            fprintf(stderr, "gyre get: %s: %s\n", fetch->given, error.message);
            return 2;
        }
        if (command->output != NULL && strcmp(command->output, "-") != 0) {
            fetch->file = command->output;
        }
        if (!command->remote_name) {
            continue;
        }
        char name[224];
        gy_url_file_name(&fetch->url, name, sizeof name);
        fetch->file = fetch->own_file = strdup(name);
        for (uint32_t other = 0; other < i; other++) {
            if (fetch->file == NULL || strcmp(fetch->file, command->fetches[other].file) == 0) {
                return gy_flags_misuse(NAME, "%s: another URL has the same file name",
                                       fetch->given);
            }
        }
    }
    return -1;
}

void gy_get_tell(const struct gy_fetch *fetch, const char *what)
{
    char url[512], shown[GY_ERROR_MESSAGE_BYTES];
    gy_get_progress_wipe();
    fprintf(stderr, "gyre get: %s: %s\n",
            fetch->redirects > 0 ? gy_url_format(&fetch->url, url, sizeof url) : fetch->given,
            gy_shown(shown, sizeof shown, what, strlen(what)));
}

static int run(struct command *command)
{
    struct gy_get *get = aligned_alloc(GY_CACHE_LINE_BYTES, sizeof *get);
    struct gy_error error = {0};
    if (get == NULL ||
        gy_get_open(get, &command->options, command->fetches, command->count, &error) != 0) {
        fprintf(stderr, "gyre get: %s\n", get == NULL ? "out of memory" : error.message);
        free(get);
        return 1;
    }
    struct sigaction action = {.sa_handler = interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    while (!interrupted && gy_get_turn(get, TURN_MS)) {
        gy_get_progress(get);
    }
    gy_get_progress_wipe();
    gy_get_close(get);
    int status = interrupted ? 130 : get->failed > 0 ? 1 : 0;
    free(get);
    return status;
}

int gy_get_main(int argc, char **argv)
{
    struct command command = {
        .options = {.redirects = 10,
                    .retries = DEFAULT_TRIES,
                    .parallel = 4,
                    .pipeline = 1,
                    .connect_timeout_ms = 30000},
    };
    struct gy_tls_files *tls = &command.options.tls;
    tls->protocols[0] = "http/1.1";
    tls->protocol_count = 1;
    tls->verify = GY_TLS_VERIFY_REQUIRED;
    tls->resume = true;
    tls->status = true;
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves is told like any other error */
    command.fetches = calloc((size_t)argc, sizeof *command.fetches);
    if (command.fetches == NULL) {
        fprintf(stderr, "gyre get: out of memory\n");
        return 1;
    }
    int status = read_arguments(&command, argc, argv);
    status = status < 0 ? check(&command) : status;
    status = status < 0 ? name_files(&command) : status;
    /* What goes to one place goes there one after the other. */
    if (!command.remote_name) {
        command.options.parallel = command.options.pipeline = 1;
    }
    if (command.insecure && status < 0) {
        tls->verify = GY_TLS_VERIFY_NONE;
        fprintf(stderr, "gyre get: WARNING: --insecure: nobody checks who the servers are; whoever "
                        "is on the way can read and change everything\n");
    }
    status = status < 0 ? run(&command) : status;
    gy_tls_files_close(tls);
    for (uint32_t i = 0; i < command.count; i++) {
        free(command.fetches[i].own_file);
    }
    free(command.fetches);
    return status;
}
