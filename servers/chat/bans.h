/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_BANS_H
#define GY_SERVERS_CHAT_BANS_H

/*
 * Who may not log in to a chat server: nicks (and with them accounts), and networks of addresses,
 * until a time. The store keeps them; this is what logins are compared with. Any thread: there is a
 * lock, which no data path takes.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../protocols/chat/store.h"

#define GY_CHAT_BANS_MAX          4096
#define GY_CHAT_BAN_ADDRESS_BYTES 64 /* of a network's text */

struct gy_chat_bans;

/* NULL: no memory. */
struct gy_chat_bans *gy_chat_bans_make(void);
void gy_chat_bans_free(struct gy_chat_bans *bans);

/* Puts one, or changes it. 0, GY_ELIMIT, GY_ENOMEM; GY_EINVAL: the subject is no network. */
int gy_chat_bans_put(struct gy_chat_bans *bans, const struct gy_chat_ban *ban);

/* Takes one away. 0, or GY_ENOTFOUND. */
int gy_chat_bans_lift(struct gy_chat_bans *bans, const struct gy_chat_ban *ban);

/* An address of an IPv4 or IPv6 peer: 4 or 16 bytes; 0: of neither. */
struct gy_chat_ban_peer {
    uint8_t bytes[16];
    uint8_t length;
};

/* Whether a nick (canonical) or an address is banned now; then the sentence for it. */
bool gy_chat_bans_match(struct gy_chat_bans *bans, struct gy_chat_text nick,
                        const struct gy_chat_ban_peer *peer, uint64_t now_ms,
                        char sentence[GY_CHAT_SENTENCE_MAX + 1]);

/* The one at a place, with its texts in `room` (1,024 bytes). False: there is none. */
bool gy_chat_bans_at(struct gy_chat_bans *bans, uint64_t place, struct gy_chat_ban *ban,
                     char room[1024]);

/* The network that `written` names, as it is compared: bits behind its length are 0. The text's
 * bytes, or GY_EINVAL and why. */
int gy_chat_ban_network(struct gy_chat_text written, char text[GY_CHAT_BAN_ADDRESS_BYTES],
                        const char **why);

#endif
