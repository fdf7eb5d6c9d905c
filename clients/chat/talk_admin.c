/* SPDX-License-Identifier: GPL-3.0-or-later */

/* `gyre chat admin`: one command of whoever operates a server, and its answer. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/chat/talk.h"
#include "core/file_check.h"
#include "servers/chat/place.h"

#define WAIT_MS    30000
#define TEXT_BYTES 8192

enum subject {
    NONE,
    ONE,    /* a word, then a reason */
    WORDS,  /* all words are the text */
    SECRET, /* a word, and a new password */
};

static const struct command {
    const char *name;
    uint8_t action; /* 0: of another kind */
    enum subject subject;
    bool lists;
} commands[] = {
    {"announce", GY_CHAT_ADMIN_ANNOUNCE, WORDS, false},
    {"connections", GY_CHAT_ADMIN_CONNECTIONS, NONE, true},
    {"rooms", 0, NONE, true},
    {"accounts", GY_CHAT_ADMIN_ACCOUNTS, NONE, true},
    {"bans", GY_CHAT_ADMIN_BANS, NONE, true},
    {"kick", GY_CHAT_ADMIN_END, ONE, false},
    {"ban", GY_CHAT_ADMIN_BAN, ONE, false},
    {"unban", GY_CHAT_ADMIN_UNBAN, ONE, false},
    {"revoke", GY_CHAT_ADMIN_REVOKE, ONE, false},
    {"password", GY_CHAT_ADMIN_PASSWORD, SECRET, false},
    {"operator", GY_CHAT_ADMIN_OPERATOR, ONE, false},
    {"no-operator", GY_CHAT_ADMIN_NO_OPERATOR, ONE, false},
    {"keep-room", GY_CHAT_ADMIN_KEEP_ROOM, ONE, false},
    {"drop-room", GY_CHAT_ADMIN_DROP_ROOM, ONE, false},
};

void gy_chat_admin_help(FILE *out)
{
    fprintf(
        out,
        "Usage: gyre chat admin [FLAGS] COMMAND\n"
        "Operates a chat server: on its host by the token beside its store, or by an account that\n"
        "operates it.\n\n"
        "  gyre chat admin connections                 who is there, and from where\n"
        "  gyre chat admin --for 3600 ban eve spam     an hour; 192.0.2.0/24 is banned likewise\n"
        "  gyre chat admin --server chat.example.org --tls --nick anna --password rooms\n\n"
        "  announce WORDS          to everybody\n"
        "  connections, rooms, accounts, bans\n"
        "  kick NICK [REASON]      ends the connections of who has it\n"
        "  ban NICK|ADDRESS[/BITS] [REASON], unban NICK|ADDRESS[/BITS]\n"
        "  revoke NICK             logs an account out everywhere: its tokens are void\n"
        "  password NICK           another password, and likewise; asks for it\n"
        "  operator NICK, no-operator NICK\n"
        "  keep-room ROOM          a guest's room stays; drop-room ROOM: it goes, with its "
        "history\n\n"
        "      --server HOST[:PORT]     (default: localhost)\n"
        "      --store FILE             the server's store, where its token is (default: where\n"
        "                               `gyre chat serve` has it)\n"
        "      --for SECONDS            of a ban (default: until it is lifted)\n"
        "      --new-password-file FILE the first line of it, instead of asking\n"
        "      --json                   an object of JSON a line\n"
        "      --nick, --password, --password-file, --cert, --tls, --ca, --insecure,\n"
        "      --connect-timeout        as of gyre chat\n\n"
        "Exit status: 0 done; 1 refused, or not reached; 2 misuse.\n");
}

/* ---- the server's token ---- */

int gy_chat_admin_token(const char *store, char *token, size_t bytes)
{
    char place[PATH_MAX], path[PATH_MAX], why[GY_FILE_WHY_BYTES];
    if (store == NULL && gy_chat_store_place(place, sizeof place) == 0) {
        store = place;
    }
    if (store == NULL ||
        snprintf(path, sizeof path, "%s" GY_CHAT_OPERATOR_SUFFIX, store) >= (int)sizeof path) {
        fprintf(stderr, "gyre chat admin: --store: the path is too long\n");
        return 2;
    }
    FILE *in = fopen(path, "re");
    if (in == NULL || fgets(token, (int)bytes, in) == NULL) {
        fprintf(stderr,
                "gyre chat admin: reading the server's token %s: %s; say --store FILE (as the "
                "server's user), or log in to an account that operates it with --nick and "
                "--password\n",
                path, in == NULL ? gy_file_why(why, path, R_OK, errno) : "it is empty");
        if (in != NULL) {
            fclose(in);
        }
        return 1;
    }
    fclose(in);
    token[strcspn(token, "\r\n")] = '\0';
    return -1;
}

/* ---- what comes ---- */

static const char *time_text(uint64_t time_ms, char *text, size_t bytes)
{
    struct tm local;
    time_t seconds = (time_t)(time_ms / 1000);
    if (time_ms == 0 || localtime_r(&seconds, &local) == NULL ||
        strftime(text, bytes, "%Y-%m-%d %H:%M:%S", &local) == 0) {
        snprintf(text, bytes, "-");
    }
    return text;
}

static void print_json(const struct gy_chatter_event *event)
{
    static const char *const types[] = {"", "connection", "account", "ban"};
    if (event->type == GY_CHATTER_ROOM) {
        gy_chat_talk_json_room(event);
        return;
    }
    printf("{\"type\":\"%s\"", types[event->what < 4 ? event->what : 0]);
    gy_chat_talk_json(event->what == GY_CHAT_IS_BAN ? "subject" : "nick", event->nick);
    printf(",\"time_ms\":%llu", (unsigned long long)event->time_ms);
    if (event->what == GY_CHAT_IS_CONNECTION) {
        gy_chat_talk_json("address", event->other);
        printf(",\"rooms\":%lu,\"account\":%s", strtoul(event->text, NULL, 10),
               event->role & GY_CHAT_REPORT_ACCOUNT ? "true" : "false");
    }
    if (event->what == GY_CHAT_IS_BAN) {
        printf(",\"until_ms\":%llu", (unsigned long long)event->last);
        gy_chat_talk_json("by", event->other);
        gy_chat_talk_json("reason", event->text);
    } else {
        printf(",\"operator\":%s", event->role & GY_CHAT_REPORT_OPERATOR ? "true" : "false");
    }
    puts("}");
}

static void print_row(const struct gy_chatter_event *event)
{
    char when[32], until[32];
    time_text(event->time_ms, when, sizeof when);
    gy_chat_talk_print(stdout, event->type == GY_CHATTER_ROOM ? event->other : event->nick);
    if (event->type == GY_CHATTER_ROOM) {
        printf("\t%llu\t", (unsigned long long)event->id);
        gy_chat_talk_print(stdout, event->text);
    } else if (event->what == GY_CHAT_IS_CONNECTION) {
        printf("\t%s\t%s\t%s\t%s rooms", event->other, when,
               event->role & GY_CHAT_REPORT_OPERATOR  ? "operator"
               : event->role & GY_CHAT_REPORT_ACCOUNT ? "account"
                                                      : "guest",
               event->text);
    } else if (event->what == GY_CHAT_IS_BAN) {
        printf("\tuntil %s\t%s by ",
               event->last == 0 ? "lifted" : time_text(event->last, until, sizeof until), when);
        gy_chat_talk_print(stdout, event->other);
        printf("\t");
        gy_chat_talk_print(stdout, event->text);
    } else {
        printf("\t%s%s", when, event->role & GY_CHAT_REPORT_OPERATOR ? "\toperator" : "");
    }
    putchar('\n');
}

/* ---- one command ---- */

struct admin {
    const struct gy_chat_admin_options *options;
    struct gy_chatter *chat;
    const struct command *command;
    char text[TEXT_BYTES];
    char last[256]; /* the list's last, where the next page goes on */
    uint64_t after;
    bool failed, done;
};

static int ask(struct admin *admin)
{
    const struct command *command = admin->command;
    struct gy_chatter_command asked = {
        .action = command->action,
        .seconds = admin->options->seconds,
        .after = admin->after,
        .subject = command->subject == ONE || command->subject == SECRET ? admin->options->words[1]
                                                                         : admin->last,
        .text = admin->text,
    };
    int code = command->action == 0 ? gy_chatter_rooms(admin->chat, admin->last)
                                    : gy_chatter_admin(admin->chat, &asked);
    if (code != 0) {
        fprintf(stderr, "gyre chat admin: asking the server: %s\n", gy_error_text(code));
    }
    return code;
}

static void take(struct admin *admin, const struct gy_chatter_event *event)
{
    switch (event->type) {
    case GY_CHATTER_ONLINE:
        admin->done = ask(admin) != 0;
        admin->failed = admin->done;
        break;
    case GY_CHATTER_ROOM:
    case GY_CHATTER_REPORT:
        if (admin->options->json) {
            print_json(event);
        } else {
            print_row(event);
        }
        snprintf(admin->last, sizeof admin->last, "%s",
                 event->type == GY_CHATTER_ROOM ? event->other : event->nick);
        admin->after = event->id;
        break;
    case GY_CHATTER_DONE:
        admin->done = admin->failed || !event->more || ask(admin) != 0;
        break;
    case GY_CHATTER_OFFLINE:
    case GY_CHATTER_ERROR:
        fprintf(stderr, "gyre chat admin: ");
        gy_chat_talk_print(stderr, event->text);
        fputc('\n', stderr);
        admin->failed = true;
        admin->done |= event->type == GY_CHATTER_OFFLINE;
        break;
    default:
        break;
    }
}

static const struct command *command_of(const struct gy_chat_admin_options *options)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const struct command *command = &commands[i];
        if (options->word_count == 0 || strcmp(options->words[0], command->name) != 0) {
            continue;
        }
        bool enough = command->subject == NONE ? options->word_count == 1 : options->word_count > 1;
        return enough ? command : NULL;
    }
    return NULL;
}

int gy_chat_admin_check(const struct gy_chat_admin_options *options, bool *asks_new)
{
    const struct command *command = command_of(options);
    if (command == NULL) {
        fprintf(stderr, "gyre chat admin: %s%s\nTry `gyre chat admin --help`.\n",
                options->word_count == 0 ? "no command"
                                         : "not a command, or not with these words: ",
                options->word_count == 0 ? "" : options->words[0]);
        return 2;
    }
    *asks_new = command->subject == SECRET;
    return -1;
}

static void join_words(struct admin *admin)
{
    const struct gy_chat_admin_options *options = admin->options;
    size_t used = 0;
    for (uint32_t i = admin->command->subject == WORDS ? 1 : 2; i < options->word_count; i++) {
        int added = snprintf(admin->text + used, sizeof admin->text - used, "%s%s",
                             used > 0 ? " " : "", options->words[i]);
        used += added > 0 && (size_t)added < sizeof admin->text - used ? (size_t)added : 0;
    }
    if (admin->command->subject == SECRET) {
        snprintf(admin->text, sizeof admin->text, "%s", options->new_password);
    }
}

int gy_chat_admin_run(const struct gy_chat_admin_options *options, struct gy_chatter *chat,
                      const volatile int *stop)
{
    static struct admin admin;
    struct gy_chatter_event event;
    admin = (struct admin){.options = options, .chat = chat, .command = command_of(options)};
    gy_assert(admin.command != NULL);
    join_words(&admin);
    uint64_t until_ms = gy_chatter_now_ms(chat) + WAIT_MS;
    while (*stop == 0 && !admin.done) {
        int got = gy_chatter_next(chat, 200, &event);
        if (got < 0) {
            fprintf(stderr, "gyre chat admin: %s\n", gy_chatter_failure(chat));
            admin.failed = admin.done = true;
        } else if (got > 0) {
            take(&admin, &event);
        } else if (gy_chatter_now_ms(chat) > until_ms) {
            fprintf(stderr, "gyre chat admin: the server has not answered for %d s\n",
                    WAIT_MS / 1000);
            admin.failed = admin.done = true;
        }
    }
    explicit_bzero(admin.text, sizeof admin.text);
    return admin.failed || fflush(stdout) != 0 ? 1 : 0;
}

/* ---- one's own account ---- */

int gy_chat_account_run(const struct gy_chat_admin_options *options, const char *password,
                        struct gy_chatter *chat, const volatile int *stop)
{
    struct gy_chatter_event event;
    int got = 1;
    bool failed = false;
    while (*stop == 0 && (got = gy_chatter_next(chat, WAIT_MS, &event)) > 0) {
        if (event.type == GY_CHATTER_ONLINE) {
            const char *old = password != NULL ? password : "";
            int code = options->new_password != NULL
                           ? gy_chatter_change(chat, old, options->new_password)
                           : gy_chatter_revoke(chat);
            failed = code != 0;
        } else if (event.type == GY_CHATTER_ERROR || event.type == GY_CHATTER_OFFLINE) {
            fprintf(stderr, "gyre chat: ");
            gy_chat_talk_print(stderr, event.text);
            fputc('\n', stderr);
            failed = true;
        }
        if (failed || event.type == GY_CHATTER_DONE) {
            return failed ? 1 : 0;
        }
    }
    fprintf(stderr, "gyre chat: %s\n",
            got < 0 ? gy_chatter_failure(chat) : "the server has not answered");
    return 1;
}
