/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "clients/chat/talk.h"
#include "clients/flags.h"
#include "core/file_check.h"
#include "core/tls_files.h"
#include "core/usage.h"
#include "protocols/chat/hub.h"

#define NAME           "chat" /* of the command */
#define PASSWORD_BYTES 512
#define INTERRUPTED    130

static volatile int interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static void help(FILE *out)
{
    fprintf(
        out,
        "Usage: gyre chat [FLAGS] HOST[:PORT]\n"
        "       gyre chat serve ...              a server; see gyre chat serve --help\n"
        "       gyre chat admin ...              operates one; see gyre chat admin --help\n"
        "Talks in rooms: on a terminal with panes, else line by line.\n\n"
        "  gyre chat localhost                          in #lobby, with the user's name\n"
        "  gyre chat --room ops --room dev chat.example.org\n"
        "  make 2>&1 | gyre chat --room builds --nick ci --plain localhost\n"
        "  gyre chat --plain --json --count 1 localhost < /dev/null\n"
        "                                               waits for one message\n\n"
        "      --room ROOM          join it; may be repeated, lines go to the first (default: "
        "lobby)\n"
        "      --nick NICK          who one is (default: the user's name)\n"
        "      --password           the nick is an account's: asks for its password\n"
        "      --password-file FILE likewise, from the first line of a file\n"
        "      --register           make an account of nick and password first\n"
        "      --new-password       changes the account's password, asks for the new one, and "
        "ends;\n"
        "      --new-password-file FILE  likewise. Whoever is logged in elsewhere is logged out;\n"
        "      --log-out            this alone\n"
        "      --history N          messages of a room to begin with (default: 50; plain: 0)\n"
        "      --plain              lines, on a terminal too\n"
        "      --json               plain, with an object of JSON a line\n"
        "      --wait S             plain: seconds to go on listening when the input has ended "
        "and\n"
        "                           all is acknowledged, or forever (default: 1; --count: "
        "forever)\n"
        "      --count N            plain: end when N messages of others have come\n"
        "      --tls                encrypted, as with the flags below\n"
        "      --ca FILE            trust who FILE (PEM) says, not the system's authorities\n"
        "      --cert FILE[,KEY]    show this certificate, and log in with it\n"
        "      --insecure           do not check who the server is\n"
        "      --connect-timeout S  seconds to connect (default: 30)\n"
        "  -q, --quiet              plain: on standard error only what failed\n\n"
        "In panes: Tab and ^P change the room, Page Up goes back, F2 hides the members, ^C ends;\n"
        "/help lists the commands. A lost connection is made again; nothing is lost or doubled.\n\n"
        "Exit status: 0 all that was said is acknowledged, and --count has come; 1 not; 2 "
        "misuse.\n");
}

struct command {
    struct gy_chat_talk_options options;
    char password[PASSWORD_BYTES];
    char new_password[PASSWORD_BYTES];
    struct gy_chat_admin_options once;
    const char *store; /* admin: --store */
    char token[PASSWORD_BYTES];
    struct gy_tls_files files;
    struct gy_tls_config *config;
    bool admin; /* gyre chat admin */
    bool nick_given;
    bool logs_out;
    bool asks_new;
    bool tls;
    bool asks_password;
    bool plain;
    bool insecure;
    bool history_given;
    bool wait_given;
};

/* ---- the password: never an argument, which everybody on the host can read ---- */

static int keep_line(char *password, FILE *in, const char *where)
{
    if (fgets(password, PASSWORD_BYTES, in) == NULL) {
        fprintf(stderr, "gyre chat: %s: no password in it\n", where);
        return 2;
    }
    password[strcspn(password, "\r\n")] = '\0';
    return password[0] != '\0' ? -1 : gy_flags_misuse(NAME, "%s: the password is empty", where);
}

static int read_password_file(char *password, const char *flag, const char *path)
{
    FILE *in = fopen(path, "re");
    if (in == NULL) {
        char why[GY_FILE_WHY_BYTES];
        fprintf(stderr, "gyre chat: %s %s: %s\n", flag, path, gy_file_why(why, path, R_OK, errno));
        return 2;
    }
    int status = keep_line(password, in, path);
    fclose(in);
    return status;
}

/* "Password of ann: ", say; `instead` is the flag that needs no terminal. */
static int ask_password(char *password, const char *what, const char *nick, const char *instead)
{
    struct termios before, silent;
    FILE *terminal = fopen("/dev/tty", "r+e");
    if (terminal == NULL || tcgetattr(fileno(terminal), &before) != 0) {
        if (terminal != NULL) {
            fclose(terminal);
        }
        return gy_flags_misuse(NAME, "there is no terminal to ask for a password at; use %s",
                               instead);
    }
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    fprintf(terminal, "%s of %s: ", what, nick);
    fflush(terminal);
    tcsetattr(fileno(terminal), TCSAFLUSH, &silent);
    int status = keep_line(password, terminal, "the terminal");
    tcsetattr(fileno(terminal), TCSAFLUSH, &before);
    fputc('\n', terminal);
    fclose(terminal);
    return status;
}

static int read_new_password(struct command *command)
{
    const char *whose = command->admin ? command->once.words[1] : command->options.client.nick;
    int status = ask_password(command->new_password, "New password", whose, "--new-password-file");
    command->once.new_password = command->new_password;
    return status;
}

/* ---- flags ---- */

static int take_valued(struct command *command, const char *name, const char *value)
{
    struct gy_chat_talk_options *options = &command->options;
    uint64_t number = 0;
    int status;
    if (strcmp(name, "room") == 0) {
        if (options->room_count == GY_CHAT_TALK_ROOMS_MAX) {
            return gy_flags_misuse(NAME, "--room %s: too many rooms", value);
        }
        options->rooms[options->room_count++] = value + (value[0] == '#');
        return -1;
    }
    if (strcmp(name, "nick") == 0) {
        options->client.nick = value;
        command->nick_given = true;
        return -1;
    }
    if (strcmp(name, "password-file") == 0) {
        options->client.password = command->password;
        return read_password_file(command->password, "--password-file", value);
    }
    if (strcmp(name, "new-password-file") == 0) {
        command->once.new_password = command->new_password;
        return read_password_file(command->new_password, "--new-password-file", value);
    }
    if (strcmp(name, "server") == 0) {
        options->client.server = value;
        return -1;
    }
    if (strcmp(name, "store") == 0) {
        command->store = value;
        return -1;
    }
    if (strcmp(name, "for") == 0) {
        status = gy_flags_number(NAME, name, value, 1, UINT32_MAX, &number);
        command->once.seconds = (uint32_t)number;
        return status;
    }
    if (strcmp(name, "history") == 0) {
        status = gy_flags_number(NAME, name, value, 0, 500, &number);
        options->client.history = (uint32_t)number;
        command->history_given = true;
        return status;
    }
    if (strcmp(name, "count") == 0) {
        return gy_flags_number(NAME, name, value, 1, UINT64_MAX / 2, &options->count);
    }
    if (strcmp(name, "wait") == 0) {
        bool forever = strcmp(value, "forever") == 0;
        status =
            forever ? -1 : gy_flags_number(NAME, name, value, 0, GY_FLAGS_SECONDS_MAX, &number);
        options->wait_ms = forever ? GY_CHAT_TALK_FOREVER : (uint32_t)number * 1000;
        command->wait_given = true;
        return status;
    }
    if (strcmp(name, "connect-timeout") == 0) {
        status = gy_flags_number(NAME, name, value, 1, GY_FLAGS_SECONDS_MAX, &number);
        options->client.timeout_ms = (uint32_t)number * 1000;
        return status;
    }
    return gy_flags_tls(NAME, name, value, &command->files);
}

static void take_switch(struct command *command, const char *name)
{
    command->asks_password |= strcmp(name, "password") == 0;
    command->plain |= strcmp(name, "plain") == 0 || strcmp(name, "json") == 0;
    command->insecure |= strcmp(name, "insecure") == 0;
    command->options.json |= strcmp(name, "json") == 0;
    command->options.quiet |= strcmp(name, "quiet") == 0;
    command->options.client.registers |= strcmp(name, "register") == 0;
    command->tls |= strcmp(name, "tls") == 0;
    command->asks_new |= strcmp(name, "new-password") == 0;
    command->logs_out |= strcmp(name, "log-out") == 0;
}

enum use {
    TALK = 1,
    ADMIN = 2,
    BOTH = 3,
};

static const struct flag {
    const char *name;
    bool valued;
    enum use use;
} flags[] = {
    {"room", true, TALK},          {"nick", true, BOTH},          {"password", false, BOTH},
    {"password-file", true, BOTH}, {"register", false, TALK},     {"history", true, TALK},
    {"plain", false, TALK},        {"json", false, BOTH},         {"wait", true, TALK},
    {"count", true, TALK},         {"tls", false, BOTH},          {"ca", true, BOTH},
    {"cert", true, BOTH},          {"insecure", false, BOTH},     {"connect-timeout", true, BOTH},
    {"quiet", false, TALK},        {"new-password", false, TALK}, {"new-password-file", true, BOTH},
    {"log-out", false, TALK},      {"server", true, ADMIN},       {"store", true, ADMIN},
    {"for", true, ADMIN},
};

static const struct flag *find_flag(const char *name, size_t length, enum use use)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strlen(flags[i].name) == length && strncmp(flags[i].name, name, length) == 0 &&
            (flags[i].use & use) != 0) {
            return &flags[i];
        }
    }
    return NULL;
}

/* -1: go on; else the exit status. `at` moves over a value that stands by itself. */
static int take_flag(struct command *command, int argc, char **argv, int *at)
{
    const char *argument = argv[*at];
    if (strcmp(argument, "-h") == 0 || strcmp(argument, "--help") == 0) {
        (command->admin ? gy_chat_admin_help : help)(stdout);
        return 0;
    }
    const char *name = strcmp(argument, "-q") == 0 ? "quiet" : argument + 2;
    size_t length = strcspn(name, "=");
    const struct flag *flag = argument[1] == '-' || argument[1] == 'q'
                                  ? find_flag(name, length, command->admin ? ADMIN : TALK)
                                  : NULL;
    if (flag == NULL) {
        char hint[GY_USAGE_HINT_BYTES];
        const char *name_of = command->admin ? "gyre chat admin" : "gyre chat";
        fprintf(stderr, "%s: unknown flag %s%s\nTry `%s --help`.\n", name_of, argument,
                gy_usage_hint(hint, argument, command->admin ? gy_chat_admin_help : help), name_of);
        return 2;
    }
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    if (!flag->valued) {
        take_switch(command, flag->name);
        return value == NULL ? -1 : gy_flags_misuse(NAME, "%s: takes no value", argument);
    }
    if (value == NULL && *at + 1 == argc) {
        return gy_flags_misuse(NAME, "%s: needs a value", argument);
    }
    return take_valued(command, flag->name, value != NULL ? value : argv[++*at]);
}

/* By an account where one was named, else by the token of this host's server. */
static int settle_admin(struct command *command)
{
    struct gy_chatter_options *client = &command->options.client;
    int status = gy_chat_admin_check(&command->once, &command->asks_new);
    command->once.json = command->options.json;
    client->server = client->server != NULL ? client->server : "localhost";
    bool account = command->nick_given || command->asks_password || client->password != NULL ||
                   command->files.pair_count > 0;
    if (status < 0 && !account) {
        client->nick = GY_CHAT_SERVER_NICK;
        client->token = command->token;
        status = gy_chat_admin_token(command->store, command->token, sizeof command->token);
    }
    return status;
}

static int read_arguments(struct command *command, int argc, char **argv)
{
    struct gy_chatter_options *client = &command->options.client;
    int status = -1;
    struct gy_chat_admin_options *once = &command->once;
    for (int i = command->admin ? 2 : 1; i < argc && status < 0; i++) {
        /* What follows the command is words, whatever they begin with. */
        if (argv[i][0] == '-' && argv[i][1] != '\0' && once->word_count == 0) {
            status = take_flag(command, argc, argv, &i);
        } else if (command->admin && once->word_count == GY_CHAT_ADMIN_WORDS_MAX) {
            status = gy_flags_misuse(NAME, "%s: too many words", argv[i]);
        } else if (command->admin) {
            once->words[once->word_count++] = argv[i];
        } else if (client->server != NULL) {
            status = gy_flags_misuse(NAME, "%s: one server at a time", argv[i]);
        } else {
            client->server = argv[i];
        }
    }
    if (status >= 0) {
        return status;
    }
    if (command->admin) {
        status = settle_admin(command);
    } else if (client->server == NULL) {
        return gy_flags_misuse(NAME, "%s", "no server; for example gyre chat localhost");
    }
    client->certificate = command->files.pair_count > 0 && client->password == NULL;
    if (!command->tls && (command->insecure || command->files.pair_count > 0 ||
                          command->files.authorities != NULL)) {
        return gy_flags_misuse(NAME, "%s", "--ca, --cert and --insecure are for --tls");
    }
    if (status < 0 && command->asks_password && client->password == NULL) {
        client->password = command->password;
        status = ask_password(command->password, "Password", client->nick, "--password-file");
    }
    if (status < 0 && command->asks_new && once->new_password == NULL) {
        status = read_new_password(command);
    }
    if (status < 0 && client->registers && client->password == NULL) {
        return gy_flags_misuse(NAME, "%s", "--register needs --password or --password-file");
    }
    return status;
}

static void put_defaults(struct command *command)
{
    struct gy_chat_talk_options *options = &command->options;
    const char *user = getenv("USER");
    options->client.nick = user != NULL && user[0] != '\0' ? user : "guest";
    options->client.agent = "gyre chat";
    options->wait_ms = 1000;
    command->files.verify = GY_TLS_VERIFY_REQUIRED;
}

static int run(struct command *command)
{
    struct gy_chat_talk_options *options = &command->options;
    struct gy_chatter *chat = NULL;
    struct gy_error error = {0};
    bool panes = !command->plain && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (!command->history_given) {
        options->client.history = panes ? 50 : 0;
    }
    if (options->count > 0 && !command->wait_given) {
        options->wait_ms = GY_CHAT_TALK_FOREVER;
    }
    if (options->room_count == 0) {
        options->rooms[options->room_count++] = "lobby";
    }
    options->client.members = panes;
    if (command->tls) {
        if (gy_tls_files_open(&command->config, &command->files, NULL, &error) != 0) {
            fprintf(stderr, "gyre chat: %s\n", error.message);
            return 1;
        }
        options->client.layer = &gy_tls_layer;
        options->client.layer_context = command->config;
    }
    if (gy_chatter_open(&chat, &options->client, &error) != 0) {
        fprintf(stderr, "gyre chat: %s\n", error.message);
        return error.code == GY_EINVAL ? 2 : 1;
    }
    bool once = command->admin || command->logs_out || command->once.new_password != NULL;
    for (uint32_t i = 0; i < options->room_count && !once; i++) {
        if (gy_chatter_join(chat, options->rooms[i]) != 0) {
            gy_chatter_close(chat);
            return gy_flags_misuse(NAME, "--room %s: a room's name has 1 to 64 bytes",
                                   options->rooms[i]);
        }
    }
    if (panes && !once) {
        gy_chatter_join(chat, "@");
    }
    struct sigaction action = {.sa_handler = interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    int status =
        command->admin ? gy_chat_admin_run(&command->once, chat, &interrupted)
        : once  ? gy_chat_account_run(&command->once, options->client.password, chat, &interrupted)
        : panes ? gy_chat_talk_panes(options, chat, &interrupted)
                : gy_chat_talk_plain(options, chat, &interrupted);
    gy_chatter_close(chat);
    return interrupted ? INTERRUPTED : status;
}

int gy_chat_talk_command(int argc, char **argv)
{
    static struct command command; /* its list of certificates is long */
    signal(SIGPIPE, SIG_IGN);      /* a reader that leaves is told like any other error */
    put_defaults(&command);
    command.admin = argc > 1 && strcmp(argv[1], "admin") == 0;
    int status = read_arguments(&command, argc, argv);
    if (status < 0 && command.insecure) {
        command.files.verify = GY_TLS_VERIFY_NONE;
        fprintf(stderr, "gyre chat: WARNING: --insecure: nobody checks who the server is; whoever "
                        "is on the way can read and change everything\n");
    }
    status = status < 0 ? run(&command) : status;
    explicit_bzero(command.password, sizeof command.password);
    explicit_bzero(command.new_password, sizeof command.new_password);
    explicit_bzero(command.token, sizeof command.token);
    gy_tls_config_close(command.config);
    gy_tls_files_close(&command.files);
    return status;
}

const char *gy_chat_came_text(uint8_t what)
{
    static const char *const texts[] = {"did something new", "joined", "left",
                                        "was sent out by",   "is now", "has another role"};
    return texts[what < sizeof texts / sizeof texts[0] ? what : 0];
}
