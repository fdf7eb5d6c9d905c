/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/chat/chat_command.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "clients/chat/talk.h"
#include "core/address.h"
#include "servers/chat/chat_kind.h"
#include "servers/chat/place.h"
#include "servers/plan_command.h"

static void serve_help(FILE *out)
{
    fprintf(
        out,
        "Usage: gyre chat serve [FLAGS]\n"
        "A chat server: for programs over TCP and TLS, for browsers over WebSocket.\n\n"
        "  gyre chat serve                                on " GY_CHAT_ADDRESS "\n"
        "  gyre chat serve --web 127.0.0.1:7280           with a page for browsers\n"
        "  gyre chat serve --store /var/lib/gyre/chat.db --tls cert.pem --web-tls :443\n\n"
        "  --store FILE            where everything is kept (default: gyre/chat.db in\n"
        "                          $XDG_STATE_HOME or ~/.local/state; root: in /var/lib); memory:\n"
        "                          nowhere, it is gone when the server ends\n"
        "  --web ADDRESS           the page and its WebSocket; may be repeated\n"
        "  --web-tls ADDRESS       likewise, over https\n"
        "  --listen-tls ADDRESS    the native protocol over TLS; may be repeated\n"
        "  --tls FILE[,KEY]        the certificate of both (see `gyre cert`)\n"
        "  --origin ORIGIN         pages of elsewhere that may connect, or any\n"
        "  --lobby ROOM            the room of the book's clients (default: lobby)\n"
        "  --name NAME             what the server calls itself (default: gyre)\n"
        "  --operator NICK         an account that may do all in every room; may be repeated\n"
        "  --no-guests             only who has an account\n"
        "  --no-registering        no new accounts\n"
        "%s%s%s",
        gy_plan_flags_help, gy_serve_flags_help, gy_serve_admin_help);
}

static int add(struct gy_chat_flag_list *list, const char *flag, const char *value, bool address,
               struct gy_error *error)
{
    struct gy_address parsed;
    struct gy_error why = {0};
    if (address && gy_address_parse(&parsed, value, &why) != 0) {
        return gy_error_set(error, GY_EINVAL, "%s %s: %s", flag, value, why.message);
    }
    if (list->count == GY_CHAT_FLAG_ADDRESSES_MAX) {
        return gy_error_set(error, GY_EINVAL, "%s %s: more than %d", flag, value,
                            GY_CHAT_FLAG_ADDRESSES_MAX);
    }
    list->items[list->count++] = value;
    return 1;
}

/* 1: taken; 0: not one of these; negative: GY_EINVAL. */
static int own_flag(void *own, int argc, char **argv, int *index, struct gy_error *error)
{
    struct gy_chat_flags *flags = own;
    struct {
        const char *name;
        const char **target;
        struct gy_chat_flag_list *list;
    } const all[] = {
        {"--store", &flags->store, NULL},
        {"--lobby", &flags->lobby, NULL},
        {"--name", &flags->name, NULL},
        {"--tls", &flags->tls, NULL},
        {"--web", NULL, &flags->web},
        {"--web-tls", NULL, &flags->web_tls},
        {"--operator", NULL, &flags->operators},
        {"--origin", NULL, &flags->origins},
        {"--listen-tls", NULL, &flags->tls_addresses},
    };
    if (strcmp(argv[*index], "--no-guests") == 0) {
        flags->no_guests = true;
        return 1;
    }
    if (strcmp(argv[*index], "--no-registering") == 0) {
        flags->no_registering = true;
        return 1;
    }
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const char *value = gy_plan_command_value(all[i].name, argc, argv, index);
        if (value == NULL) {
            continue;
        }
        if (value[0] == '\0') {
            return gy_error_set(error, GY_EINVAL, "%s needs a value", all[i].name);
        }
        if (all[i].list != NULL) {
            bool address = all[i].list != &flags->origins && all[i].list != &flags->operators;
            return add(all[i].list, all[i].name, value, address, error);
        }
        *all[i].target = value;
        return 1;
    }
    return 0;
}

static void listening(void *context, const struct gy_serve_place *places, uint32_t count,
                      uint32_t workers)
{
    const struct gy_plan_flags *flags = context;
    for (uint32_t i = 0; i < count; i++) {
        bool web = strstr(places[i].server, "-web") != NULL;
        const char *before = !web ? "" : places[i].secure ? "https://" : "http://";
        printf("gyre %s%s: listening on %s%s%s with %u worker%s\n", places[i].server,
               !web && places[i].secure ? " (TLS)" : "", before, places[i].address, web ? "/" : "",
               workers, workers == 1 ? "" : "s");
    }
    if (strcmp(flags->chat->store, "memory") == 0) {
        printf("gyre chat: nothing is kept\n");
    } else {
        printf("gyre chat: what is said is kept in %s\n", flags->chat->store);
    }
    fflush(stdout);
}

/* Where the store is when nobody said. -1: go on; otherwise the exit status. */
static int settle_store(struct gy_chat_flags *chat)
{
    static char place[PATH_MAX];
    if (chat->store != NULL) {
        return -1;
    }
    if (gy_chat_store_place(place, sizeof place) != 0) {
        fprintf(stderr, "gyre chat serve: the path of the usual store is too long; say --store "
                        "FILE, or --store memory\n");
        return 1;
    }
    chat->store = place;
    return -1;
}

static int serve_main(int argc, char **argv)
{
    static struct gy_chat_flags chat; /* SIGHUP reads them again */
    struct gy_plan_flags flags = {.chat = &chat};
    const struct gy_plan_command command = {"chat serve", serve_help, own_flag, &chat};
    int status = gy_plan_command_read(&command, &flags, argc, argv);
    status = status < 0 ? settle_store(&chat) : status;
    return status >= 0 ? status : gy_plan_command_serve(&flags, listening);
}

int gy_chat_main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "serve") == 0) {
        return serve_main(argc - 1, argv + 1);
    }
    return gy_chat_talk_command(argc, argv);
}
