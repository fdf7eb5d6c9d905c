/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/cert/cert_command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clients/cert/make.h"
#include "core/descriptor.h"
#include "core/file_check.h"
#include "core/number.h"
#include "core/tls.h"
#include "core/usage.h"

#define DAYS_DEFAULT 365
#define DAYS_MAX     3650
#define PATH_BYTES   4096

static const char help_text[] =
    "Usage: gyre cert [--dir DIR] [--days N] [--from N] [--client] [NAME...]\n\n"
    "Makes certificates for development (EC P-256): an authority of your own, once, and one\n"
    "signed by it for the NAMEs (default: localhost 127.0.0.1 ::1).\n\n"
    "  --dir DIR   where the files go (default: .); made if it is not there\n"
    "  --days N    how long it is valid, from an hour ago on (default: 365)\n"
    "  --from N    the days begin in N days; --from -9 --days 8 makes one that has expired, for "
    "tests\n"
    "  --client    for a client to show to a server that asks; NAME is who it is\n\n"
    "In DIR:\n"
    "  authority.pem    what clients are to trust: gyre get --ca DIR/authority.pem\n"
    "  authority.key    its key; whoever has it can sign anything, so keep it to yourself\n"
    "  NAME.pem, .key   the certificate of the first NAME, and its key\n\n"
    "An authority that is there is used again. Exit status: 0, 1 when something failed, 2 for\n"
    "a wrong command line.\n";

struct cert_options {
    const char *directory;
    struct gy_cert_request request;
    const char *names[GY_CERT_NAMES_MAX];
};

/* ---- files ---- */

static int path_of(char *path, const struct cert_options *options, const char *name,
                   const char *suffix, struct gy_error *error)
{
    int length = snprintf(path, PATH_BYTES, "%s/%s.%s", options->directory, name, suffix);
    if (length < 0 || length >= PATH_BYTES) {
        return gy_error_set(error, GY_EINVAL, "%s: the name is too long", options->directory);
    }
    return 0;
}

/* Written aside and moved into place, so that a reader finds the old one or the new one. */
static int write_file(const char *path, const char *text, mode_t mode, struct gy_error *error)
{
    char aside[PATH_BYTES + 8];
    snprintf(aside, sizeof aside, "%s.new", path);
    unlink(aside);
    int descriptor = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    size_t length = strlen(text);
    bool written = descriptor >= 0 && write(descriptor, text, length) == (ssize_t)length;
    int errno_value = errno;
    char why[GY_FILE_WHY_BYTES];
    gy_descriptor_close(descriptor);
    if (!written || rename(aside, path) != 0) {
        errno_value = written ? errno : errno_value;
        unlink(aside);
        return gy_error_set(error, gy_error_from_errno(errno_value), "writing %.200s: %s", path,
                            gy_file_why(why, path, W_OK, errno_value));
    }
    return 0;
}

static int read_file(const char *path, char *text, size_t bytes, struct gy_error *error)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = descriptor < 0 ? -1 : read(descriptor, text, bytes - 1);
    int errno_value = errno;
    gy_descriptor_close(descriptor);
    if (got < 0) {
        char why[GY_FILE_WHY_BYTES];
        return gy_error_set(error, gy_error_from_errno(errno_value),
                            "reading the authority %.200s: %s", path,
                            gy_file_why(why, path, R_OK, errno_value));
    }
    text[got] = '\0';
    return 0;
}

static int write_pair(const struct cert_options *options, const char *name,
                      const struct gy_cert_pair *pair, struct gy_error *error)
{
    char path[PATH_BYTES];
    int code = path_of(path, options, name, "key", error);
    code = code != 0 ? code : write_file(path, pair->key, 0600, error);
    code = code != 0 ? code : path_of(path, options, name, "pem", error);
    code = code != 0 ? code : write_file(path, pair->certificate, 0644, error);
    if (code == 0) {
        printf("wrote %s/%s.pem and %s/%s.key\n", options->directory, name, options->directory,
               name);
    }
    return code;
}

/* ---- what it does ---- */

/* Takes the authority that is there, or makes one that lasts ten years. */
static int get_authority(const struct cert_options *options, struct gy_cert_pair *authority,
                         struct gy_error *error)
{
    char path[PATH_BYTES];
    int code = path_of(path, options, "authority", "key", error);
    if (code != 0) {
        return code;
    }
    if (access(path, F_OK) == 0) {
        code = read_file(path, authority->key, sizeof authority->key, error);
        code = code != 0 ? code : path_of(path, options, "authority", "pem", error);
        return code != 0
                   ? code
                   : read_file(path, authority->certificate, sizeof authority->certificate, error);
    }
    static const char *const name = "Gyre development authority";
    struct gy_cert_request request = {.names = &name, .name_count = 1, .days = DAYS_MAX};
    code = gy_cert_make_authority(authority, &request, error);
    return code != 0 ? code : write_pair(options, "authority", authority, error);
}

/* "*.example.org" is no pleasant name for a file, and one with a slash would lie elsewhere. */
static void file_name(char *target, size_t bytes, const char *name)
{
    size_t i = 0;
    name += strncmp(name, "*.", 2) == 0 ? 2 : 0;
    for (; name[i] != '\0' && i + 1 < bytes; i++) {
        target[i] = strchr("/:*\\ ", name[i]) != NULL ? '_' : name[i];
    }
    target[i] = '\0';
}

static int make_all(const struct cert_options *options, struct gy_error *error)
{
    struct gy_cert_pair *authority = calloc(2, sizeof *authority);
    if (authority == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    struct gy_cert_pair *pair = authority + 1;
    char name[128];
    file_name(name, sizeof name, options->request.names[0]);
    if (mkdir(options->directory, 0777) != 0 && errno != EEXIST) {
        int errno_value = errno;
        char why[GY_FILE_WHY_BYTES];
        free(authority);
        return gy_error_set(error, gy_error_from_errno(errno_value), "making the folder %.200s: %s",
                            options->directory,
                            gy_file_why(why, options->directory, W_OK, errno_value));
    }
    int code = gy_tls_init(error);
    code = code != 0 ? code : get_authority(options, authority, error);
    code = code != 0 ? code : gy_cert_make(pair, &options->request, authority, error);
    code = code != 0 ? code : write_pair(options, name, pair, error);
    explicit_bzero(authority, 2 * sizeof *authority);
    free(authority);
    if (code == 0 && !options->request.client) {
        printf("\nTry it:\n  gyre http --tls %s/%s.pem --listen :8443 .\n"
               "  gyre get --ca %s/authority.pem https://%s:8443/\n",
               options->directory, name, options->directory, options->request.names[0]);
    }
    return code;
}

/* ---- the command line ---- */

/* "--dir", or "--dir=VALUE". */
static bool is_flag(const char *argument, const char *flag)
{
    size_t length = strlen(flag);
    return strncmp(argument, flag, length) == 0 &&
           (argument[length] == '\0' || argument[length] == '=');
}

/* The value of `flag` if `argument` is it: 1 when it was read, 0 when it is another, -1 when the
 * value is none and that was said. */
static int read_days(const char *argument, const char *text, const char *flag, long min, long *days)
{
    uint64_t number = 0;
    if (!is_flag(argument, flag)) {
        return 0;
    }
    text = text != NULL ? text : "";
    bool ago = min < 0 && text[0] == '-';
    bool read = gy_number_read(text + ago, 0, DAYS_MAX, &number);
    long value = ago ? -(long)number : (long)number;
    if (!read || value < min) {
        fprintf(stderr, "gyre cert: %s %s: not a number from %ld to %d\nTry `gyre cert --help`.\n",
                flag, text, min, DAYS_MAX);
        return -1;
    }
    *days = value;
    return 1;
}

/* False: it was wrong, and said so. */
static bool read_options(struct cert_options *options, int argc, char **argv)
{
    long days = DAYS_DEFAULT;
    long from = 0;
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        gy_assert(argument != NULL);
        const char *equals = argument[0] == '-' ? strchr(argument, '=') : NULL;
        const char *value = equals != NULL ? equals + 1 : i + 1 < argc ? argv[i + 1] : NULL;
        int read = read_days(argument, value, "--days", 1, &days);
        read = read != 0 ? read : read_days(argument, value, "--from", -DAYS_MAX, &from);
        if (read < 0) {
            return false;
        }
        if (read == 0 && is_flag(argument, "--dir") && value != NULL) {
            options->directory = value;
            read = 1;
        }
        if (read > 0) {
            i += equals == NULL;
        } else if (strcmp(argument, "--client") == 0) {
            options->request.client = true;
        } else if (argument[0] == '-' || options->request.name_count == GY_CERT_NAMES_MAX) {
            char hint[GY_USAGE_HINT_BYTES];
            bool lacks = strcmp(argument, "--dir") == 0;
            fprintf(stderr, "gyre cert: %s%s%s\nTry `gyre cert --help`.\n",
                    lacks                ? "--dir needs a value"
                    : argument[0] == '-' ? "unknown flag "
                                         : "too many names, from ",
                    lacks ? "" : argument,
                    lacks ? "" : gy_usage_hint_in(hint, argument, help_text));
            return false;
        } else {
            options->names[options->request.name_count++] = argument;
        }
    }
    options->request.days = (uint32_t)days;
    options->request.begins_days = (int32_t)from;
    if (options->request.client && options->request.name_count != 1) {
        fprintf(stderr, "gyre cert: --client needs one NAME: who the client is\n"
                        "Try `gyre cert --help`.\n");
        return false;
    }
    return true;
}

int gy_cert_main(int argc, char **argv)
{
    struct cert_options options = {.directory = "."};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help_text, stdout);
            return 0;
        }
    }
    if (!read_options(&options, argc, argv)) {
        return 2;
    }
    if (options.request.name_count == 0) {
        options.names[0] = "localhost";
        options.names[1] = "127.0.0.1";
        options.names[2] = "::1";
        options.request.name_count = 3;
    }
    options.request.names = options.names;
    struct gy_error error = {0};
    if (make_all(&options, &error) != 0) {
        fprintf(stderr, "gyre cert: %s\n", error.message);
        return 1;
    }
    return 0;
}
