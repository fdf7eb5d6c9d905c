/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_CHAT_HUB_ADMIN_H
#define GY_PROTOCOLS_CHAT_HUB_ADMIN_H

/* Changes of accounts, and what who operates the server may do. */

#include "protocols/chat/hub_internal.h"

/* ---- hub_account.c ---- */

/* CHANGE and REVOKE. */
void gy_chat_account_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                             const struct gy_chat_frame *frame);

/* ADMIN's actions that change the account `canonical`. */
void gy_chat_account_admin(struct gy_chat_hub *hub, struct gy_chat_member *member,
                           const struct gy_chat_frame *frame,
                           const struct gy_chat_canonical *canonical);

/* ---- hub_admin.c ---- */

void gy_chat_admin_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                           const struct gy_chat_frame *frame);
void gy_chat_admin_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);
void gy_chat_admin_stored(struct gy_chat_hub *hub, struct gy_chat_job *job);

/* An answer to NOTE_PEOPLE, for its member. */
void gy_chat_admin_answered(struct gy_chat_hub *hub, struct gy_chat_member *member,
                            const struct gy_chat_note *answer);

/* ---- hub_admin_list.c ---- */

void gy_chat_admin_end_page(struct gy_chat_hub *hub, struct gy_chat_member *member, uint16_t tag,
                            bool more);
void gy_chat_admin_people_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                                  const struct gy_chat_frame *frame);
void gy_chat_admin_people_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);
void gy_chat_admin_accounts_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                                    const struct gy_chat_frame *frame);
void gy_chat_admin_accounts_read(struct gy_chat_hub *hub, const struct gy_chat_job *job,
                                 struct gy_chat_member *member, uint16_t tag);

/* ---- hub_admin.c ---- */

/* To every worker, this one included. */
void gy_chat_to_all(struct gy_chat_hub *hub, const struct gy_chat_note *note);

/* For the log. */
void gy_chat_acted(struct gy_chat_hub *hub, const struct gy_chat_act *act);

#endif
