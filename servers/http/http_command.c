/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/http_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "servers/http/files.h"
#include "servers/http/http_server.h"
#include "servers/http/site.h"
#include "servers/serve.h"

#define FIXED_TEXT "Hello, world!"

static void fixed_request(struct gy_http_exchange *exchange)
{
    gy_http_answer(exchange, 200, "text/plain", FIXED_TEXT, sizeof FIXED_TEXT - 1);
}

static const struct gy_http_handler fixed_handler = {.request = fixed_request};

static void http_help(FILE *out)
{
    fprintf(out,
            "Usage: gyre http [DIR] [FLAGS]\n"
            "Serves HTTP/1.1: the files below DIR, or the built-in site, which shows what is "
            "running.\n\n"
            "  gyre http public                          files, on 127.0.0.1:8080\n"
            "  gyre http public --listen :80 --workers 4 on every address\n"
            "  gyre http                                 the built-in site\n\n"
            "  --no-listing            404 for a directory without index.html\n"
            "  --no-precompressed      do not look for name.br, name.zst, name.gz\n"
            "  --cache MIB             memory for file contents, per worker (default: 64)\n"
            "  --fixed                 answer every request with \"" FIXED_TEXT "\"\n%s"
            "\nSIGTERM or Ctrl-C drains and stops, a second one stops at once; SIGHUP replaces the "
            "serving\n"
            "process without refusing a connection.\n",
            gy_serve_flags_help);
}

static void start_help(FILE *out)
{
    fprintf(out,
            "Usage: gyre start [FLAGS]\n"
            "Serves what there is with defaults that need no configuration: HTTP on "
            "127.0.0.1:8080.\n\n%s",
            gy_serve_flags_help);
}

struct command {
    struct gy_serve_options options;
    struct gy_files_options files;
    bool fixed;
    bool is_http; /* `gyre http`, which takes more flags than `gyre start` */
    void (*help)(FILE *out);
};

/* A flag of `gyre http` alone. 1: it was one and used the value; 2: it was one; 0: it was none;
 * negative: GY_EINVAL. */
static int http_flag(struct command *command, const char *name, const char *value,
                     struct gy_error *error)
{
    if (!command->is_http) {
        return 0;
    }
    if (strcmp(name, "cache") == 0) {
        char *end = NULL;
        unsigned long mebibytes = value != NULL ? strtoul(value, &end, 10) : 0;
        if (value == NULL || value[0] < '0' || value[0] > '9' || *end != '\0' || mebibytes < 1 ||
            mebibytes > 1u << 20) {
            return gy_error_set(error, GY_EINVAL, "--cache %s: not a number from 1 to %u",
                                value != NULL ? value : "", 1u << 20);
        }
        command->files.cache_bytes = (uint64_t)mebibytes << 20;
        return 1;
    }
    if (strcmp(name, "fixed") == 0) {
        command->fixed = true;
    } else if (strcmp(name, "no-listing") == 0) {
        command->files.no_listing = true;
    } else if (strcmp(name, "no-precompressed") == 0) {
        command->files.no_precompressed = true;
    } else {
        return 0;
    }
    return 2;
}

/* -1: go on; otherwise the exit status. */
static int read_flags(struct command *command, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct gy_error error = {0};
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            command->help(stdout);
            return 0;
        }
        if (command->is_http && argv[i][0] != '-' && argv[i][0] != '\0' &&
            command->files.directory == NULL) {
            command->files.directory = argv[i];
            continue;
        }
        int taken = 0;
        if (strncmp(argv[i], "--", 2) == 0) {
            char name[32] = "";
            char *value = strchr(argv[i], '=');
            size_t length = value != NULL ? (size_t)(value - argv[i]) - 2 : strlen(argv[i]) - 2;
            if (length < sizeof name) {
                memcpy(name, argv[i] + 2, length);
                name[length] = '\0';
                const char *given = value != NULL ? value + 1 : i + 1 < argc ? argv[i + 1] : NULL;
                taken = http_flag(command, name, given, &error);
                if (taken == 0) {
                    taken = gy_serve_flag(&command->options, name, given, &error);
                }
                i += taken == 1 && value == NULL;
            }
        }
        if (taken <= 0) {
            fprintf(stderr, "gyre %s: %s%s\nTry `gyre %s --help`.\n", argv[0],
                    taken < 0 ? error.message : "unknown flag or argument ",
                    taken < 0 ? "" : argv[i], argv[0]);
            return 2;
        }
    }
    if (command->options.address_count == 0) {
        command->options.addresses[command->options.address_count++] = "127.0.0.1:8080";
    }
    return -1;
}

/* A browsable form of what was listened on. */
static void print_url(const char *address)
{
    printf("http://%s%s/", address[0] == ':' ? "localhost" : "", address);
}

static void print_table(void *context, const char *const *addresses, uint32_t count,
                        uint32_t workers)
{
    (void)context;
    printf("\n  %-8s %-28s %-8s %s\n", "server", "listens on", "workers", "try");
    for (uint32_t i = 0; i < count; i++) {
        printf("  %-8s %-28s %-8u curl -i ", "http", addresses[i], workers);
        print_url(addresses[i]);
        printf("\n");
    }
    printf("\n  Open ");
    print_url(addresses[0]);
    printf(" in a browser. Ctrl-C drains and stops.\n\n");
    fflush(stdout);
}

static void print_line(void *context, const char *const *addresses, uint32_t count,
                       uint32_t workers)
{
    (void)context;
    for (uint32_t i = 0; i < count; i++) {
        printf("gyre http: listening on %s with %u worker%s\n", addresses[i], workers,
               workers == 1 ? "" : "s");
    }
    fflush(stdout);
}

static int serve(struct command *command,
                 void (*listening)(void *, const char *const *, uint32_t, uint32_t))
{
    static struct gy_http_server http;
    static struct gy_site site;
    static struct gy_files files;
    struct gy_serve_hooks hooks = {.listening = listening};
    http.handler = command->fixed ? &fixed_handler : &gy_site_handler;
    http.context = &site;
    site.http = &http;
    if (command->files.directory != NULL) {
        struct gy_error error = {0};
        if (command->fixed) {
            fprintf(stderr, "gyre http: --fixed answers without files; leave `%s` away\n",
                    command->files.directory);
            return 2;
        }
        if (gy_files_open(&files, &command->files, &error) != 0) {
            fprintf(stderr, "gyre http: %s\n", error.message);
            return 1;
        }
        gy_files_serve(&files, &http);
    }
    int status = gy_serve_http_with(&command->options, &http, &hooks);
    if (command->files.directory != NULL) {
        gy_files_close(&files);
    }
    return status;
}

int gy_http_main(int argc, char **argv)
{
    struct command command = {.options = gy_serve_defaults(), .is_http = true, .help = http_help};
    int status = read_flags(&command, argc, argv);
    return status >= 0 ? status : serve(&command, print_line);
}

int gy_start_main(int argc, char **argv)
{
    struct command command = {.options = gy_serve_defaults(), .help = start_help};
    int status = read_flags(&command, argc, argv);
    return status >= 0 ? status : serve(&command, print_table);
}
