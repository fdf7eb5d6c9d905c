/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/chat/bans.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/error.h"

struct network {
    uint8_t bytes[16];
    uint8_t length; /* of the address: 4 or 16 */
    uint8_t bits;
};

struct entry {
    struct gy_chat_ban ban; /* with texts of its own, in one piece behind it */
    struct network network;
};

struct gy_chat_bans {
    pthread_mutex_t lock;
    struct entry *entries[GY_CHAT_BANS_MAX];
    uint32_t count;
};

/* ---- networks ---- */

static bool inside(const uint8_t *address, const struct network *network)
{
    uint32_t whole = network->bits / 8;
    uint8_t rest = network->bits % 8;
    if (memcmp(address, network->bytes, whole) != 0) {
        return false;
    }
    return rest == 0 || ((address[whole] ^ network->bytes[whole]) >> (8 - rest)) == 0;
}

static int parse(struct gy_chat_text written, struct network *network, const char **why)
{
    char text[GY_CHAT_BAN_ADDRESS_BYTES];
    *why = "an address is written like 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32";
    if (written.length >= sizeof text) {
        return GY_EINVAL;
    }
    memcpy(text, written.bytes, written.length);
    text[written.length] = '\0';
    char *slash = strchr(text, '/');
    if (slash != NULL) {
        *slash++ = '\0';
    }
    memset(network, 0, sizeof *network);
    network->length = inet_pton(AF_INET, text, network->bytes) == 1    ? 4
                      : inet_pton(AF_INET6, text, network->bytes) == 1 ? 16
                                                                       : 0;
    char *end = NULL;
    unsigned long most = network->length * 8ul;
    unsigned long bits = slash == NULL ? most : strtoul(slash, &end, 10);
    bool number = slash == NULL || (*slash >= '0' && *slash <= '9' && *end == '\0');
    if (network->length == 0 || !number || bits > most) {
        return GY_EINVAL;
    }
    if (bits < (network->length == 4 ? 8u : 16u)) {
        *why = "that is too much of the network: /8 and IPv6's /16 are the widest";
        return GY_EINVAL;
    }
    network->bits = (uint8_t)bits;
    for (uint32_t i = 0; i < network->length; i++) {
        uint32_t used = bits > i * 8 ? (uint32_t)bits - i * 8 : 0;
        network->bytes[i] &= used >= 8 ? 0xff : (uint8_t)(0xff00u >> used);
    }
    return 0;
}

int gy_chat_ban_network(struct gy_chat_text written, char text[GY_CHAT_BAN_ADDRESS_BYTES],
                        const char **why)
{
    struct network network;
    char address[INET6_ADDRSTRLEN];
    int code = parse(written, &network, why);
    if (code != 0) {
        return code;
    }
    inet_ntop(network.length == 4 ? AF_INET : AF_INET6, network.bytes, address, sizeof address);
    if (network.bits == network.length * 8) {
        return snprintf(text, GY_CHAT_BAN_ADDRESS_BYTES, "%s", address);
    }
    return snprintf(text, GY_CHAT_BAN_ADDRESS_BYTES, "%s/%u", address, network.bits);
}

/* ---- the list ---- */

struct gy_chat_bans *gy_chat_bans_make(void)
{
    struct gy_chat_bans *bans = calloc(1, sizeof *bans);
    if (bans != NULL) {
        pthread_mutex_init(&bans->lock, NULL);
    }
    return bans;
}

void gy_chat_bans_free(struct gy_chat_bans *bans)
{
    if (bans == NULL) {
        return;
    }
    for (uint32_t i = 0; i < bans->count; i++) {
        free(bans->entries[i]);
    }
    pthread_mutex_destroy(&bans->lock);
    free(bans);
}

static char *copy(char *room, struct gy_chat_text from, struct gy_chat_text *to)
{
    if (from.length > 0) {
        memcpy(room, from.bytes, from.length);
    }
    *to = (struct gy_chat_text){room, from.length};
    return room + from.length;
}

static void copy_texts(char *room, const struct gy_chat_ban *from, struct gy_chat_ban *to)
{
    room = copy(room, from->subject, &to->subject);
    room = copy(room, from->by, &to->by);
    copy(room, from->reason, &to->reason);
}

static struct entry *entry_of(const struct gy_chat_ban *ban)
{
    size_t bytes = (size_t)ban->subject.length + ban->by.length + ban->reason.length;
    struct entry *entry = calloc(1, sizeof *entry + bytes);
    if (entry != NULL) {
        entry->ban = *ban;
        copy_texts((char *)(entry + 1), ban, &entry->ban);
    }
    return entry;
}

/* The count where there is none. */
static uint32_t place_of(const struct gy_chat_bans *bans, const struct gy_chat_ban *ban)
{
    uint32_t i = 0;
    while (i < bans->count && (bans->entries[i]->ban.kind != ban->kind ||
                               !gy_chat_text_equal(bans->entries[i]->ban.subject, ban->subject))) {
        i++;
    }
    return i;
}

static void take_out(struct gy_chat_bans *bans, uint32_t place)
{
    free(bans->entries[place]);
    bans->count--;
    memmove(&bans->entries[place], &bans->entries[place + 1],
            (bans->count - place) * sizeof bans->entries[0]);
}

int gy_chat_bans_put(struct gy_chat_bans *bans, const struct gy_chat_ban *ban)
{
    const char *why;
    struct entry *entry = entry_of(ban);
    if (entry == NULL) {
        return GY_ENOMEM;
    }
    if (ban->kind == GY_CHAT_BAN_ADDRESS && parse(ban->subject, &entry->network, &why) != 0) {
        free(entry);
        return GY_EINVAL;
    }
    pthread_mutex_lock(&bans->lock);
    uint32_t place = place_of(bans, ban);
    int code = place == GY_CHAT_BANS_MAX ? GY_ELIMIT : 0;
    if (code != 0) {
        free(entry);
    } else if (place < bans->count) {
        free(bans->entries[place]);
        bans->entries[place] = entry;
    } else {
        bans->entries[bans->count++] = entry;
    }
    pthread_mutex_unlock(&bans->lock);
    return code;
}

int gy_chat_bans_lift(struct gy_chat_bans *bans, const struct gy_chat_ban *ban)
{
    pthread_mutex_lock(&bans->lock);
    uint32_t place = place_of(bans, ban);
    int code = place < bans->count ? 0 : GY_ENOTFOUND;
    if (code == 0) {
        take_out(bans, place);
    }
    pthread_mutex_unlock(&bans->lock);
    return code;
}

static bool matches(const struct entry *entry, struct gy_chat_text nick,
                    const struct gy_chat_ban_peer *peer)
{
    if (entry->ban.kind == GY_CHAT_BAN_NICK) {
        return gy_chat_text_equal(entry->ban.subject, nick);
    }
    return peer->length == entry->network.length && inside(peer->bytes, &entry->network);
}

static void say_why(const struct gy_chat_ban *ban, char sentence[GY_CHAT_SENTENCE_MAX + 1])
{
    char until[40] = "";
    time_t seconds = (time_t)(ban->until_ms / 1000);
    struct tm parts;
    if (ban->until_ms != 0 && gmtime_r(&seconds, &parts) != NULL) {
        strftime(until, sizeof until, " until %Y-%m-%d %H:%M UTC", &parts);
    }
    snprintf(sentence, GY_CHAT_SENTENCE_MAX + 1, "%s banned from this server%s%s%.*s",
             ban->kind == GY_CHAT_BAN_NICK ? "This nick is" : "Your address is", until,
             ban->reason.length > 0 ? ": " : ".", (int)ban->reason.length, ban->reason.bytes);
}

bool gy_chat_bans_match(struct gy_chat_bans *bans, struct gy_chat_text nick,
                        const struct gy_chat_ban_peer *peer, uint64_t now_ms,
                        char sentence[GY_CHAT_SENTENCE_MAX + 1])
{
    bool found = false;
    pthread_mutex_lock(&bans->lock);
    for (uint32_t i = 0; i < bans->count && !found; i++) {
        const struct gy_chat_ban *ban = &bans->entries[i]->ban;
        bool holds = ban->until_ms == 0 || ban->until_ms > now_ms;
        found = holds && matches(bans->entries[i], nick, peer);
        if (found) {
            say_why(ban, sentence);
        }
    }
    pthread_mutex_unlock(&bans->lock);
    return found;
}

bool gy_chat_bans_at(struct gy_chat_bans *bans, uint64_t place, struct gy_chat_ban *ban,
                     char room[1024])
{
    pthread_mutex_lock(&bans->lock);
    bool found = place < bans->count;
    if (found) {
        const struct gy_chat_ban *from = &bans->entries[place]->ban;
        *ban = *from;
        copy_texts(room, from, ban);
    }
    pthread_mutex_unlock(&bans->lock);
    return found;
}
