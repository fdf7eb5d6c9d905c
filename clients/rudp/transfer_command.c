/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/rudp/transfer_command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/rudp/transfer.h"
#include "core/file_check.h"
#include "core/usage.h"
#include "protocols/drop/drop.h"

#define SECOND 1000000000ull

static atomic_bool stop;

struct command {
    struct gy_rudp_target target;
    struct gy_rudp_transfer_options options;
    struct gy_rudp_transfer_file *files;
    const char **words; /* what is no flag */
    uint32_t word_count;
    const char *name, *output; /* --name, -o */
    char *place;               /* HOST:PORT of HOST:PORT/NAME */
};

static void help(FILE *out, bool receive)
{
    fprintf(
        out,
        receive
            ? "Usage: gyre rudp recv HOST:PORT/NAME [NAME…] [FLAGS]\n"
              "Receives files by reliable UDP from `gyre rudp serve --share DIR`.\n\n"
              "  gyre rudp recv example.org:7117/a.iso --ca authority.pem\n"
              "  gyre rudp recv localhost:7117/backup.tar -o - --ca authority.pem | tar x\n\n"
              "  -o FILE                 write it there; -: to standard output\n"
            : "Usage: gyre rudp send FILE… HOST:PORT [FLAGS]\n"
              "Sends files by reliable UDP to `gyre rudp serve --drop DIR`; -: standard input.\n\n"
              "  gyre rudp send a.iso b.iso example.org:7117 --ca authority.pem\n"
              "  tar c photos | gyre rudp send - localhost:7117 --name photos.tar --ca "
              "authority.pem\n\n"
              "  --name NAME             call it so there (of one file)\n");
    fprintf(out,
            "  --replace               replace a file of that name%s\n"
            "  --retry SECONDS         go on trying when the connection breaks, for so long\n"
            "                          without progress; 0: not at all (default: 60)\n"
            "  --quiet                 no line of progress on a terminal\n%s\n"
            "What broke off is gone on with by the same command. Exit status: 0 all files are "
            "whole, and on the\n%s; 1 something failed; 2 misuse.\n",
            receive ? "" : ", if the server lets you", gy_rudp_target_help,
            receive ? "disk" : "server's disk");
}

static void help_send(FILE *out)
{
    help(out, false);
}

static void help_receive(FILE *out)
{
    help(out, true);
}

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* 1: taken; 0: no flag of this command; negative: GY_EINVAL. */
static int read_flag(struct command *command, int argc, char **argv, int *index,
                     struct gy_error *error)
{
    const char *flag = argv[*index];
    bool receive = command->options.receive;
    uint64_t seconds = 0;
    if (strcmp(flag, "--replace") == 0) {
        command->options.replace = true;
        return 1;
    }
    if (strcmp(flag, "--quiet") == 0 || strcmp(flag, "-q") == 0) {
        command->options.quiet = true;
        return 1;
    }
    bool name = !receive && strcmp(flag, "--name") == 0;
    bool output = receive && (strcmp(flag, "-o") == 0 || strcmp(flag, "--output") == 0);
    bool retry = strcmp(flag, "--retry") == 0;
    if (!name && !output && !retry) {
        return gy_rudp_target_flag(&command->target, argc, argv, index, error);
    }
    const char *value = *index + 1 < argc ? argv[++*index] : NULL;
    if (retry) {
        int code = gy_rudp_target_number(flag, value, 0, 86400, &seconds, error);
        command->options.patience_ns = seconds * SECOND;
        return code == 0 ? 1 : code;
    }
    if (value == NULL || value[0] == '\0') {
        return gy_error_set(error, GY_EINVAL, "%s needs a value", flag);
    }
    *(name ? &command->name : &command->output) = value;
    return 1;
}

static int add_file(struct command *command, const char *path, const char *name,
                    struct gy_error *error)
{
    if (!gy_drop_name_is_good(name, strlen(name), command->options.receive ? 16 : 1)) {
        return gy_error_set(error, GY_EINVAL,
                            strcmp(name, "-") == 0 || name[0] == '\0'
                                ? "`%.200s` is no name; --name says what to call it"
                                : "`%.200s` is no name of a file there: none begins with a dot, is "
                                  "longer than 240 bytes, or has control characters%s",
                            name, command->options.receive ? "" : "; --name another one");
    }
    command->files[command->options.count++] =
        (struct gy_rudp_transfer_file){.path = path, .name = name};
    return 0;
}

/* FILE… HOST:PORT */
static int name_sent(struct command *command, struct gy_error *error)
{
    uint32_t files = command->word_count - 1;
    int code = 0;
    gy_assert(command->words[0] != NULL && command->words[files] != NULL);
    command->target.text = command->words[files];
    if (strchr(command->words[files], ':') == NULL && strchr(command->words[0], ':') != NULL) {
        return gy_error_set(error, GY_EINVAL, "%.200s: no HOST:PORT, which comes behind the files",
                            command->words[files]);
    }
    if (command->name != NULL && files != 1) {
        return gy_error_set(error, GY_EINVAL, "--name is for one file");
    }
    for (uint32_t i = 0; i < files && code == 0; i++) {
        const char *path = command->words[i];
        gy_assert(path != NULL);
        bool standard = strcmp(path, "-") == 0;
        if (standard && command->name == NULL) {
            return gy_error_set(error, GY_EINVAL, "standard input has no name; write --name NAME");
        }
        code = add_file(command, path, command->name != NULL ? command->name : last_component(path),
                        error);
    }
    return code;
}

/* HOST:PORT/NAME [NAME…] */
static int name_received(struct command *command, struct gy_error *error)
{
    gy_assert(command->word_count > 0 && command->words[0] != NULL);
    const char *slash = strchr(command->words[0], '/');
    if (slash == NULL || slash[1] == '\0') {
        return gy_error_set(error, GY_EINVAL, "%.200s: write HOST:PORT/NAME", command->words[0]);
    }
    command->place = strndup(command->words[0], (size_t)(slash - command->words[0]));
    command->target.text = command->place;
    if (command->place == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    if (command->output != NULL && command->word_count > 1 && strcmp(command->output, "-") != 0) {
        return gy_error_set(error, GY_EINVAL, "-o is for one file");
    }
    if (command->output != NULL && command->word_count > 1) {
        return gy_error_set(error, GY_EINVAL, "-o - is for one file: several would be mixed");
    }
    int code = 0;
    for (uint32_t i = 0; i < command->word_count && code == 0; i++) {
        const char *name = i == 0 ? slash + 1 : command->words[i];
        const char *path = command->output != NULL ? command->output : last_component(name);
        code = add_file(command, path, name, error);
    }
    return code;
}

static bool is_flag(const char *word)
{
    return word[0] == '-' && word[1] != '\0';
}

/* -1: go on; otherwise the exit status. */
static int read_arguments(struct command *command, int argc, char **argv)
{
    struct gy_error error = {0};
    int code = 0;
    bool receive = command->options.receive, words_only = false;
    for (int i = 1; i < argc && code >= 0; i++) {
        if (!words_only && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            help(stdout, receive);
            return 0;
        }
        if (!words_only && strcmp(argv[i], "--") == 0) {
            words_only = true;
        } else if (words_only || !is_flag(argv[i])) {
            command->words[command->word_count++] = argv[i];
        } else {
            code = read_flag(command, argc, argv, &i, &error);
            if (code == 0) {
                char hint[GY_USAGE_HINT_BYTES];
                code =
                    gy_error_set(&error, GY_EINVAL, "unknown flag %s%s", argv[i],
                                 gy_usage_hint(hint, argv[i], receive ? help_receive : help_send));
            }
        }
    }
    if (code >= 0 && command->word_count < (receive ? 1u : 2u)) {
        code = gy_error_set(&error, GY_EINVAL, "%s needed",
                            receive ? "HOST:PORT/NAME is" : "FILE and HOST:PORT are");
    }
    if (code >= 0) {
        code = receive ? name_received(command, &error) : name_sent(command, &error);
    }
    if (code >= 0) {
        code = gy_rudp_target_check(&command->target, &error);
    }
    if (code < 0) {
        fprintf(stderr, "%s: %s\nTry `%s --help`.\n", command->target.command, error.message,
                command->target.command);
        return 2;
    }
    return -1;
}

static void on_signal(int number)
{
    (void)number;
    atomic_store_explicit(&stop, true, memory_order_relaxed);
}

/* Of none of the files anything can be read: that is said before a server is asked for. */
static bool nothing_to_send(const struct command *command)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; !command->options.receive && i < command->options.count; i++) {
        const char *path = command->files[i].path;
        bad += strcmp(path, "-") != 0 && access(path, R_OK) != 0;
    }
    if (command->options.receive || bad < command->options.count) {
        return false; /* what is wrong with one of several is said when it is its turn */
    }
    for (uint32_t i = 0; i < command->options.count; i++) {
        if (access(command->files[i].path, R_OK) != 0) {
            char why[GY_FILE_WHY_BYTES];
            fprintf(stderr, "%s: reading %s: %s\n", command->target.command, command->files[i].path,
                    gy_file_why(why, command->files[i].path, R_OK, errno));
        }
    }
    return true;
}

static int run(struct command *command)
{
    struct gy_error error = {0};
    if (nothing_to_send(command)) {
        return 1;
    }
    struct sigaction action = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGPIPE, &ignore, NULL); /* writing tells */
    int code = gy_rudp_target_open(&command->target, &error);
    code = code == 0 ? gy_rudp_transfer(&command->options, &error) : code;
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", command->target.command, error.message);
    }
    return code == 0 ? 0 : 1;
}

static int main_of(int argc, char **argv, bool receive)
{
    struct command command = {
        .options = {.receive = receive, .patience_ns = 60 * SECOND, .stop = &stop}};
    int status = 1;
    gy_rudp_target_init(&command.target, receive ? "gyre rudp recv" : "gyre rudp send");
    command.words = calloc((size_t)argc, sizeof *command.words);
    command.files = calloc((size_t)argc, sizeof *command.files);
    if (command.words == NULL || command.files == NULL) {
        fprintf(stderr, "%s: out of memory\n", command.target.command);
    } else {
        command.options.target = &command.target;
        command.options.files = command.files;
        status = read_arguments(&command, argc, argv);
        status = status < 0 ? run(&command) : status;
    }
    gy_rudp_target_close(&command.target);
    free(command.words);
    free(command.files);
    free(command.place);
    return status;
}

int gy_rudp_send_main(int argc, char **argv)
{
    return main_of(argc, argv, false);
}

int gy_rudp_recv_main(int argc, char **argv)
{
    return main_of(argc, argv, true);
}
