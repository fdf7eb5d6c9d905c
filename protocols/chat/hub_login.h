/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_CHAT_HUB_LOGIN_H
#define GY_PROTOCOLS_CHAT_HUB_LOGIN_H

/* For hub_login.c (LOGIN, REGISTER, NICK) and hub_account.c (CHANGE, REVOKE, and what ADMIN does to
 * accounts): something about an account that is under way. */

#include "protocols/chat/hub_internal.h"

enum entering_step {
    STEP_LOOK_UP,
    STEP_RESERVE, /* the nick, before the account is made */
    STEP_PASSWORD,
    STEP_MAKE,
    STEP_CLAIM,
    STEP_CHANGE, /* of an account (hub_account.c) */
};

struct gy_chat_entering {
    struct gy_chat_check check; /* first: it comes back by it */
    struct gy_chat_member *member;
    uint64_t user;
    uint64_t reserved; /* the user that the nick is claimed for meanwhile; 0: it is not */
    uint16_t tag;
    uint8_t type; /* of the frame */
    uint8_t method;
    uint8_t step;
    bool unknown; /* there is no such account, or it has no password */
    uint8_t nick_bytes;
    char nick[256];
    struct gy_chat_canonical canonical;
    char subject[512];
    uint16_t subject_bytes;
    uint32_t epoch; /* of the account */
    bool operates;
    uint8_t change; /* enum gy_chat_change */
    uint8_t action; /* of ADMIN */
    uint16_t next_bytes;
    char next[GY_CHAT_PASSWORD_MAX]; /* the new password, while the old one is checked */
};

/* One of the member's, which has none; NULL: no memory, and it was told. */
struct gy_chat_entering *gy_chat_entering_make(struct gy_chat_hub *hub,
                                               struct gy_chat_member *member,
                                               const struct gy_chat_frame *frame);
void gy_chat_entering_free(struct gy_chat_hub *hub, struct gy_chat_entering *entering);
void gy_chat_entering_refuse(struct gy_chat_hub *hub, struct gy_chat_entering *entering,
                             enum gy_chat_code code, uint32_t retry_ms, const char *sentence);

/* Gets the account; gy_chat_account_looked_up() for those of hub_account.c. */
void gy_chat_entering_look_up(struct gy_chat_hub *hub, struct gy_chat_entering *entering);

/* Checks `check.password`, or makes its hash; then gy_chat_account_checked(). */
void gy_chat_entering_password(struct gy_chat_hub *hub, struct gy_chat_entering *entering,
                               bool make);

/* IDENTITY of the member as it is now. */
void gy_chat_entering_identity(struct gy_chat_hub *hub, struct gy_chat_entering *entering);
bool gy_chat_account_has_password(const struct gy_chat_account *account);

/* ---- hub_account.c ---- */

bool gy_chat_account_takes(const struct gy_chat_entering *entering);
void gy_chat_account_looked_up(struct gy_chat_hub *hub, struct gy_chat_entering *entering,
                               const struct gy_chat_account *account);
void gy_chat_account_checked(struct gy_chat_hub *hub, struct gy_chat_entering *entering);
void gy_chat_account_changed(struct gy_chat_hub *hub, struct gy_chat_entering *entering,
                             const struct gy_chat_job *job);

#endif
