/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "protocols/chat/hub_admin.h"
#include "protocols/chat/hub_login.h"

/*
 * Changes of an account: by whom it belongs to (CHANGE, REVOKE), or by who operates the server
 * (ADMIN). Whatever makes tokens void ends the account's other connections, too: who took a
 * password away from somebody is rid of them.
 */

bool gy_chat_account_takes(const struct gy_chat_entering *entering)
{
    return entering->type == GY_CHAT_CHANGE || entering->type == GY_CHAT_REVOKE ||
           entering->type == GY_CHAT_ADMIN;
}

static void change(struct gy_chat_hub *hub, struct gy_chat_entering *entering)
{
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_CHANGE_ACCOUNT, TASK_NEW_ACCOUNT);
    if (job == NULL) {
        gy_chat_entering_refuse(hub, entering, GY_CHAT_BUSY, 1000,
                                "The server has no memory for it now.");
        return;
    }
    struct gy_chat_task *task = job->owner;
    task->entering = entering;
    job->account.canonical = gy_chat_canonical_text(&entering->canonical); /* stays as long */
    memcpy(job->account.salt, entering->check.salt, sizeof job->account.salt);
    memcpy(job->account.hash, entering->check.hash, sizeof job->account.hash);
    job->account.cost_log2 = entering->check.cost_log2;
    job->account.operates = entering->action == GY_CHAT_ADMIN_OPERATOR;
    job->change = entering->change;
    entering->step = STEP_CHANGE;
    gy_chat_hub_submit(hub, job);
}

/* The hash of the new one is made. */
static void make_new(struct gy_chat_hub *hub, struct gy_chat_entering *entering)
{
    entering->check.password_bytes = entering->next_bytes;
    memcpy(entering->check.password, entering->next, entering->next_bytes);
    gy_chat_entering_password(hub, entering, true);
}

static bool keep_next(struct gy_chat_entering *entering, struct gy_chat_text password)
{
    if (password.length > sizeof entering->next) {
        return false;
    }
    entering->next_bytes = (uint16_t)password.length;
    if (password.length > 0) {
        memcpy(entering->next, password.bytes, password.length);
    }
    return true;
}

void gy_chat_account_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                             const struct gy_chat_frame *frame)
{
    struct gy_chat_text old = frame->body.change.old;
    bool changes = frame->type == GY_CHAT_CHANGE;
    if ((member->user & GY_CHAT_GUEST_BIT) != 0 || member->user == GY_CHAT_SERVER_USER) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_FORBIDDEN, 0,
                          "You have no account: REGISTER makes one of your nick and a password.");
        return;
    }
    struct gy_chat_entering *entering = gy_chat_entering_make(hub, member, frame);
    if (entering == NULL) {
        return;
    }
    struct gy_chat_text canonical = gy_chat_member_canonical(member);
    entering->user = member->user;
    entering->canonical.length = canonical.length;
    memcpy(entering->canonical.bytes, canonical.bytes, canonical.length);
    entering->change = GY_CHAT_CHANGE_EPOCH | (changes ? GY_CHAT_CHANGE_PASSWORD : 0);
    if (!changes) {
        change(hub, entering);
    } else if (old.length > sizeof entering->check.password ||
               !keep_next(entering, frame->body.change.password)) {
        gy_chat_entering_refuse(hub, entering, GY_CHAT_TOO_BIG, 0, "The password is too long.");
    } else {
        entering->check.password_bytes = (uint16_t)old.length;
        if (old.length > 0) {
            memcpy(entering->check.password, old.bytes, old.length);
        }
        gy_chat_entering_look_up(hub, entering);
    }
}

void gy_chat_account_admin(struct gy_chat_hub *hub, struct gy_chat_member *member,
                           const struct gy_chat_frame *frame,
                           const struct gy_chat_canonical *canonical)
{
    struct gy_chat_text nick = frame->body.admin.subject;
    struct gy_chat_entering *entering = gy_chat_entering_make(hub, member, frame);
    if (entering == NULL) {
        return;
    }
    entering->canonical = *canonical;
    entering->action = frame->body.admin.action;
    entering->nick_bytes = (uint8_t)nick.length;
    memcpy(entering->nick, nick.bytes, nick.length);
    switch (entering->action) {
    case GY_CHAT_ADMIN_PASSWORD:
        entering->change = GY_CHAT_CHANGE_EPOCH | GY_CHAT_CHANGE_PASSWORD;
        if (!keep_next(entering, frame->body.admin.text)) {
            gy_chat_entering_refuse(hub, entering, GY_CHAT_TOO_BIG, 0, "The password is too long.");
            return;
        }
        make_new(hub, entering);
        return;
    case GY_CHAT_ADMIN_REVOKE:
        entering->change = GY_CHAT_CHANGE_EPOCH;
        break;
    default:
        entering->change = GY_CHAT_CHANGE_OPERATES;
        break;
    }
    change(hub, entering);
}

/* What CHANGE says is the old password is compared with what the account has. */
void gy_chat_account_looked_up(struct gy_chat_hub *hub, struct gy_chat_entering *entering,
                               const struct gy_chat_account *account)
{
    if (account == NULL || account->user != entering->user) {
        gy_chat_entering_refuse(hub, entering, GY_CHAT_ABSENT, 0, "The account is not there.");
        return;
    }
    if (!gy_chat_account_has_password(account) && entering->check.password_bytes == 0) {
        make_new(hub, entering); /* it has a certificate alone */
        return;
    }
    entering->check.cost_log2 = account->cost_log2;
    memcpy(entering->check.salt, account->salt, sizeof account->salt);
    memcpy(entering->check.hash, account->hash, sizeof account->hash);
    gy_chat_entering_password(hub, entering, false);
}

void gy_chat_account_checked(struct gy_chat_hub *hub, struct gy_chat_entering *entering)
{
    if (entering->check.make) {
        change(hub, entering);
    } else {
        make_new(hub, entering);
    }
}

/* Ends the connections of the account but the one that asked. */
static void end_others(struct gy_chat_hub *hub, const struct gy_chat_entering *entering,
                       uint64_t user)
{
    const struct gy_chat_member *member = entering->member;
    const struct gy_chat_note note = {
        .type = NOTE_END,
        .worker = hub->config.number,
        .slot = member->slot,
        .generation = member->generation,
        .code = GY_CHAT_REFUSED,
        .other = user,
        .text = gy_chat_text_of("This account was logged out everywhere: log in anew.")};
    gy_chat_to_all(hub, &note);
}

static void administered(struct gy_chat_hub *hub, struct gy_chat_entering *entering,
                         const struct gy_chat_account *account)
{
    static const char *const names[] = {[GY_CHAT_ADMIN_REVOKE] = "revoke",
                                        [GY_CHAT_ADMIN_PASSWORD] = "password",
                                        [GY_CHAT_ADMIN_OPERATOR] = "server-operator",
                                        [GY_CHAT_ADMIN_NO_OPERATOR] = "no-server-operator"};
    struct gy_chat_member *member = entering->member;
    const struct gy_chat_act act = {.what = names[entering->action],
                                    .by = gy_chat_member_nick(member),
                                    .whom = {entering->nick, entering->nick_bytes}};
    const struct gy_chat_frame ok = {.type = GY_CHAT_OK, .tag = entering->tag};
    if ((entering->change & GY_CHAT_CHANGE_OPERATES) != 0 && hub->ops.operates_now != NULL) {
        hub->ops.operates_now(hub->context, account->user, account->operates);
    }
    gy_chat_acted(hub, &act);
    gy_chat_hub_write(hub, member, &ok);
}

void gy_chat_account_changed(struct gy_chat_hub *hub, struct gy_chat_entering *entering,
                             const struct gy_chat_job *job)
{
    if (job->result == GY_ENOTFOUND) {
        gy_chat_entering_refuse(hub, entering, GY_CHAT_ABSENT, 0,
                                "There is no account with this nick.");
        return;
    }
    entering->epoch = job->account.epoch;
    if ((entering->change & GY_CHAT_CHANGE_EPOCH) != 0) {
        end_others(hub, entering, job->account.user);
    }
    if (entering->type == GY_CHAT_ADMIN) {
        administered(hub, entering, &job->account);
    } else {
        gy_chat_entering_identity(hub, entering);
    }
    gy_chat_entering_free(hub, entering);
}
