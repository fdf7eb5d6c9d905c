/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "protocols/chat/hub_login.h"

/*
 * Who a member is. LOGIN, REGISTER and NICK are steps that each wait for somebody: the store for
 * the account, another thread for the password, the nick's worker for the claim. Between two of
 * them the connection may go; the steps then end by themselves and give back what they got.
 */

#define COST_OF_NOBODY 14 /* what an unknown nick's password costs to be refused */

static struct gy_chat_text nick_of(const struct gy_chat_entering *entering)
{
    return (struct gy_chat_text){entering->nick, entering->nick_bytes};
}

/* ---- the directory ---- */

static void release(struct gy_chat_hub *hub, struct gy_chat_text canonical, uint64_t user)
{
    const struct gy_chat_note note = {.type = NOTE_RELEASE, .user = user, .canonical = canonical};
    gy_chat_note_send(hub, gy_chat_hub_place(hub, canonical), &note);
}

/* ---- its end ---- */

void gy_chat_entering_free(struct gy_chat_hub *hub, struct gy_chat_entering *entering)
{
    struct gy_chat_member *member = entering->member;
    if (entering->reserved != 0) {
        release(hub, gy_chat_canonical_text(&entering->canonical), entering->reserved);
    }
    explicit_bzero(&entering->check, sizeof entering->check);
    explicit_bzero(entering->next, sizeof entering->next);
    gy_chat_hub_return(hub, entering, sizeof *entering);
    if (member != NULL) {
        member->entering = NULL;
        if (member->refused) {
            member->refused = false;
            hub->ops.wake(hub->context, member);
        }
    }
}

void gy_chat_entering_refuse(struct gy_chat_hub *hub, struct gy_chat_entering *entering,
                             enum gy_chat_code code, uint32_t retry_ms, const char *sentence)
{
    if (entering->member != NULL) {
        gy_chat_hub_error(hub, entering->member, entering->tag, code, retry_ms, sentence);
    }
    gy_chat_entering_free(hub, entering);
}

void gy_chat_login_abandon(struct gy_chat_hub *hub, struct gy_chat_member *member)
{
    if (member->entering != NULL) {
        member->entering->member = NULL;
        member->entering = NULL;
    }
    if (member->names != NULL) {
        release(hub, gy_chat_member_canonical(member), member->user);
        gy_chat_hub_return(hub, member->names,
                           (size_t)member->nick_bytes + member->canonical_bytes);
        member->names = NULL;
    }
    member->user = 0;
}

static void tell_rooms(struct gy_chat_hub *hub, struct gy_chat_member *member,
                       struct gy_chat_text before)
{
    for (struct gy_chat_subscription *at = member->subscriptions; at != NULL; at = at->next) {
        struct gy_chat_frame frame = {.type = GY_CHAT_CAME,
                                      .body.came = {.room = at->room->number,
                                                    .what = GY_CHAT_HAS_NICK,
                                                    .role = at->role,
                                                    .nick = before,
                                                    .other = gy_chat_member_nick(member)}};
        if (!at->inbox) {
            gy_chat_here(hub, at->room, member->user, &frame);
        }
    }
}

/* The inbox is the user's: another user has another one. */
static void leave_inbox(struct gy_chat_hub *hub, struct gy_chat_member *member)
{
    for (struct gy_chat_subscription *at = member->subscriptions, *next; at != NULL; at = next) {
        next = at->next;
        if (at->inbox) {
            struct gy_chat_room *room = at->room;
            gy_chat_unsubscribe(hub, at);
            gy_chat_room_left(hub, room);
        }
    }
}

void gy_chat_entering_identity(struct gy_chat_hub *hub, struct gy_chat_entering *entering)
{
    struct gy_chat_member *member = entering->member;
    char token[GY_CHAT_TOKEN_MAX];
    struct gy_chat_frame frame = {.type = GY_CHAT_IDENTITY,
                                  .tag = entering->tag,
                                  .body.identity = {.user = member->user,
                                                    .kind = member->user & GY_CHAT_GUEST_BIT
                                                                ? GY_CHAT_IS_GUEST
                                                                : GY_CHAT_IS_ACCOUNT,
                                                    .nick = gy_chat_member_nick(member)}};
    frame.body.identity.token = (struct gy_chat_text){
        token, hub->ops.token_make(hub->context, member->user, gy_chat_member_canonical(member),
                                   entering->epoch, token)};
    gy_chat_hub_write(hub, member, &frame);
}

static void entered(struct gy_chat_hub *hub, struct gy_chat_entering *entering)
{
    struct gy_chat_member *member = entering->member;
    struct gy_chat_text nick = nick_of(entering);
    struct gy_chat_text canonical = gy_chat_canonical_text(&entering->canonical);
    char *names = gy_chat_hub_memory(hub, (size_t)nick.length + canonical.length);
    if (member == NULL || names == NULL) {
        if (names != NULL) {
            gy_chat_hub_return(hub, names, (size_t)nick.length + canonical.length);
        }
        entering->reserved = entering->user;
        gy_chat_entering_refuse(hub, entering, GY_CHAT_FULL, 1000,
                                "The server has no memory for one more now.");
        return;
    }
    memcpy(names, nick.bytes, nick.length);
    memcpy(names + nick.length, canonical.bytes, canonical.length);
    char before[256];
    uint32_t before_bytes = member->nick_bytes;
    char *old = member->names;
    if (old != NULL) {
        memcpy(before, old, before_bytes);
        bool same = gy_chat_text_equal(gy_chat_member_canonical(member), canonical);
        if (!same) {
            release(hub, gy_chat_member_canonical(member), member->user);
        } else {
            release(hub, canonical, entering->user); /* it was claimed once more */
        }
        gy_chat_hub_return(hub, old, (size_t)member->nick_bytes + member->canonical_bytes);
    }
    if (member->user != 0 && member->user != entering->user) {
        leave_inbox(hub, member);
    }
    member->names = names;
    member->nick_bytes = (uint8_t)nick.length;
    member->canonical_bytes = (uint8_t)canonical.length;
    member->user = entering->user;
    entering->reserved = 0;
    if (old != NULL) {
        tell_rooms(hub, member, (struct gy_chat_text){before, before_bytes});
    }
    if (entering->operates && hub->ops.operates_now != NULL) {
        hub->ops.operates_now(hub->context, member->user, true);
    }
    gy_chat_entering_identity(hub, entering);
    gy_chat_entering_free(hub, entering);
}

/* ---- steps ---- */

/* Who was banned is told, and goes. Who operates the server is not shut out of it. */
static bool is_banned(struct gy_chat_hub *hub, struct gy_chat_entering *entering, uint64_t user)
{
    char sentence[GY_CHAT_SENTENCE_MAX + 1];
    struct gy_chat_member *member = entering->member;
    bool operates =
        entering->operates || (hub->ops.operates != NULL && hub->ops.operates(hub->context, user));
    if (member == NULL || operates || hub->ops.banned == NULL ||
        !hub->ops.banned(hub->context, member, gy_chat_canonical_text(&entering->canonical),
                         sentence)) {
        return false;
    }
    gy_chat_entering_refuse(hub, entering, GY_CHAT_FORBIDDEN, 0, sentence);
    return true;
}

static void claim(struct gy_chat_hub *hub, struct gy_chat_entering *entering, uint64_t user)
{
    struct gy_chat_text canonical = gy_chat_canonical_text(&entering->canonical);
    if (is_banned(hub, entering, user)) {
        return;
    }
    const struct gy_chat_note note = {.type = NOTE_CLAIM,
                                      .worker = hub->config.number,
                                      .user = user,
                                      .other = entering->reserved,
                                      .client_id = (uintptr_t)entering,
                                      .canonical = canonical};
    hub->asked++;
    uint32_t place = gy_chat_hub_place(hub, canonical);
    bool may = place == hub->config.number || hub->asked <= hub->config.credits;
    if (!may || gy_chat_note_send(hub, place, &note) != 0) {
        hub->asked--;
        gy_chat_entering_refuse(hub, entering, GY_CHAT_BUSY, 200,
                                "The server has too much to do: try again in a moment.");
    }
}

void gy_chat_entering_look_up(struct gy_chat_hub *hub, struct gy_chat_entering *entering)
{
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_ACCOUNT, TASK_ACCOUNT);
    if (job == NULL) {
        gy_chat_entering_refuse(hub, entering, GY_CHAT_BUSY, 1000,
                                "The server has no memory for it now.");
        return;
    }
    struct gy_chat_task *task = job->owner;
    task->entering = entering;
    job->account.canonical = gy_chat_canonical_text(&entering->canonical); /* stays as long */
    entering->step = STEP_LOOK_UP;
    gy_chat_hub_submit(hub, job);
}

void gy_chat_entering_password(struct gy_chat_hub *hub, struct gy_chat_entering *entering,
                               bool make)
{
    entering->step = STEP_PASSWORD;
    entering->check.make = make;
    entering->check.hub = hub->config.number;
    hub->checks++;
    if (hub->ops.check(hub->context, &entering->check) != 0) {
        hub->checks--;
        gy_chat_entering_refuse(hub, entering, GY_CHAT_BUSY, 2000,
                                "Too many are logging in at once: try again in a moment.");
    }
}

static void make_account(struct gy_chat_hub *hub, struct gy_chat_entering *entering)
{
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_NEW_ACCOUNT, TASK_NEW_ACCOUNT);
    if (job == NULL) {
        gy_chat_entering_refuse(hub, entering, GY_CHAT_BUSY, 1000,
                                "The server has no memory for it now.");
        return;
    }
    struct gy_chat_task *task = job->owner;
    task->entering = entering;
    job->account.nick = nick_of(entering);
    job->account.canonical = gy_chat_canonical_text(&entering->canonical);
    memcpy(job->account.salt, entering->check.salt, sizeof job->account.salt);
    memcpy(job->account.hash, entering->check.hash, sizeof job->account.hash);
    job->account.cost_log2 = entering->check.cost_log2;
    job->account.certificate = (struct gy_chat_text){entering->subject, entering->subject_bytes};
    entering->step = STEP_MAKE;
    gy_chat_hub_submit(hub, job);
}

/* The nick is no account's. */
static void is_free(struct gy_chat_hub *hub, struct gy_chat_entering *entering)
{
    struct gy_chat_member *member = entering->member;
    if (gy_chat_text_equal(gy_chat_canonical_text(&entering->canonical),
                           gy_chat_text_of(GY_CHAT_SERVER_NICK))) {
        gy_chat_entering_refuse(hub, entering, GY_CHAT_TAKEN, 0,
                                "The nick belongs to the server: choose another one.");
        return;
    }
    switch (entering->type) {
    case GY_CHAT_LOGIN:
        if (entering->user == 0) {
            entering->user = hub->ops.random(hub->context) >> 2 | GY_CHAT_GUEST_BIT;
        }
        entering->step = STEP_CLAIM;
        claim(hub, entering, entering->user);
        return;
    case GY_CHAT_NICK:
        entering->user = member->user;
        entering->step = STEP_CLAIM;
        claim(hub, entering, entering->user);
        return;
    default:
        gy_assert(entering->type == GY_CHAT_REGISTER);
        entering->user = hub->ops.random(hub->context) >> 2 | GY_CHAT_GUEST_BIT;
        if (member->user != 0) {
            entering->user = member->user; /* whose own nick it may be */
        }
        entering->step = STEP_RESERVE;
        claim(hub, entering, entering->user);
        return;
    }
}

bool gy_chat_account_has_password(const struct gy_chat_account *account)
{
    static const uint8_t none[sizeof account->hash];
    return memcmp(account->hash, none, sizeof none) != 0;
}

static void looked_up(struct gy_chat_hub *hub, struct gy_chat_entering *entering,
                      const struct gy_chat_account *account)
{
    bool login = entering->type == GY_CHAT_LOGIN;
    bool token =
        login && entering->method == GY_CHAT_TOKEN && (entering->user & GY_CHAT_GUEST_BIT) == 0;
    uint32_t epoch = entering->epoch;
    entering->epoch = account != NULL ? account->epoch : 0;
    entering->operates = account != NULL && account->operates;
    if (gy_chat_account_takes(entering)) {
        gy_chat_account_looked_up(hub, entering, account);
    } else if (token) {
        if (account == NULL || account->user != entering->user || account->epoch != epoch) {
            gy_chat_entering_refuse(hub, entering, GY_CHAT_REFUSED, 0,
                                    "The token is not valid any more: log in anew.");
            return;
        }
        entering->step = STEP_CLAIM;
        claim(hub, entering, entering->user);
    } else if (login && entering->method == GY_CHAT_PASSWORD) {
        entering->unknown = account == NULL || !gy_chat_account_has_password(account);
        entering->check.cost_log2 = COST_OF_NOBODY;
        if (!entering->unknown) {
            entering->user = account->user;
            entering->check.cost_log2 = account->cost_log2;
            memcpy(entering->check.salt, account->salt, sizeof account->salt);
            memcpy(entering->check.hash, account->hash, sizeof account->hash);
        }
        gy_chat_entering_password(hub, entering, false);
    } else if (login && entering->method == GY_CHAT_CERTIFICATE) {
        struct gy_chat_text subject = {entering->subject, entering->subject_bytes};
        if (account == NULL || subject.length == 0 ||
            !gy_chat_text_equal(account->certificate, subject)) {
            gy_chat_entering_refuse(
                hub, entering, GY_CHAT_REFUSED, 0,
                "This certificate does not belong to an account with this nick.");
            return;
        }
        entering->user = account->user;
        entering->step = STEP_CLAIM;
        claim(hub, entering, entering->user);
    } else if (account != NULL) {
        gy_chat_entering_refuse(
            hub, entering, GY_CHAT_TAKEN, 0,
            "The nick belongs to an account: log in with its password, or choose another one.");
    } else {
        is_free(hub, entering);
    }
}

void gy_chat_login_stored(struct gy_chat_hub *hub, struct gy_chat_job *job)
{
    struct gy_chat_task *task = job->owner;
    struct gy_chat_entering *entering = task->entering;
    if (entering->member == NULL) {
        if (entering->step == STEP_MAKE && job->result == 0) {
            entering->reserved = entering->user; /* the account is there; nobody waits for it */
        }
        gy_chat_entering_free(hub, entering);
    } else if (job->result != 0 && job->result != GY_ENOTFOUND && job->result != GY_EEXIST) {
        gy_chat_entering_refuse(hub, entering, GY_CHAT_STORAGE, 5000,
                                "Accounts can be neither read nor stored now: try again later.");
    } else if (entering->step == STEP_CHANGE) {
        gy_chat_account_changed(hub, entering, job);
    } else if (entering->step == STEP_LOOK_UP) {
        looked_up(hub, entering, job->result == 0 ? &job->account : NULL);
    } else if (job->result != 0) {
        gy_chat_entering_refuse(hub, entering, GY_CHAT_TAKEN, 0,
                                "The nick belongs to an account already.");
    } else {
        entering->step = STEP_CLAIM;
        entering->reserved = entering->user;
        entering->user = job->account.user;
        claim(hub, entering, entering->user);
    }
}

void gy_chat_hub_checked(struct gy_chat_hub *hub, struct gy_chat_check *check)
{
    struct gy_chat_entering *entering = (struct gy_chat_entering *)check;
    gy_assert(hub->checks > 0);
    hub->checks--;
    if (entering->member == NULL) {
        gy_chat_entering_free(hub, entering);
    } else if (check->result == GY_EINVAL) {
        char sentence[256];
        snprintf(sentence, sizeof sentence, "The password cannot be used: %s.",
                 check->why == NULL ? "it breaks the rules" : check->why);
        gy_chat_entering_refuse(hub, entering, GY_CHAT_NAME, 0, sentence);
    } else if (check->result == GY_EREFUSED || (check->result == 0 && entering->unknown)) {
        gy_chat_entering_refuse(hub, entering, GY_CHAT_REFUSED, 0,
                                "The nick or the password is wrong.");
    } else if (check->result != 0) {
        gy_chat_entering_refuse(hub, entering, GY_CHAT_BUSY, 2000,
                                "The password could not be checked now.");
    } else if (gy_chat_account_takes(entering)) {
        gy_chat_account_checked(hub, entering);
    } else if (check->make) {
        make_account(hub, entering);
    } else {
        entering->step = STEP_CLAIM;
        claim(hub, entering, entering->user);
    }
}

void gy_chat_login_claimed(struct gy_chat_hub *hub, const struct gy_chat_note *answer)
{
    struct gy_chat_entering *entering = (struct gy_chat_entering *)(uintptr_t)answer->client_id;
    if (answer->what == GY_CHAT_ERROR) {
        char sentence[GY_CHAT_SENTENCE_MAX + 1];
        uint32_t length =
            answer->text.length < GY_CHAT_SENTENCE_MAX ? answer->text.length : GY_CHAT_SENTENCE_MAX;
        memcpy(sentence, answer->text.bytes, length);
        sentence[length] = 0;
        gy_chat_entering_refuse(hub, entering, (enum gy_chat_code)answer->code, answer->seconds,
                                sentence);
    } else if (entering->step == STEP_RESERVE) {
        entering->reserved = entering->user;
        if (entering->member == NULL) {
            gy_chat_entering_free(hub, entering);
        } else {
            gy_chat_entering_password(hub, entering, true);
        }
    } else {
        entered(hub, entering);
    }
}

/* ---- requests ---- */

static const char *not_allowed(const struct gy_chat_hub *hub, const struct gy_chat_member *member,
                               const struct gy_chat_frame *frame, enum gy_chat_code *code)
{
    bool guest = (member->user & GY_CHAT_GUEST_BIT) != 0;
    *code = GY_CHAT_ORDER;
    if (frame->type == GY_CHAT_LOGIN && member->user != 0) {
        return "You are logged in already.";
    }
    if (frame->type != GY_CHAT_LOGIN && member->user != 0 && !guest) {
        return "You have an account: its nick stays as it is.";
    }
    *code = GY_CHAT_FORBIDDEN;
    if (frame->type == GY_CHAT_REGISTER && hub->config.registering == GY_CHAT_NOBODY) {
        return "This server makes no accounts on request: ask who runs it.";
    }
    if (frame->type == GY_CHAT_LOGIN && frame->body.login.method == GY_CHAT_GUEST &&
        hub->config.guests == GY_CHAT_NOBODY) {
        return "This server takes no guests: log in to an account.";
    }
    *code = GY_CHAT_UNSUPPORTED;
    if (frame->type == GY_CHAT_LOGIN && frame->body.login.method > GY_CHAT_TOKEN) {
        return "This is no way to log in.";
    }
    return NULL;
}

static struct gy_chat_text nick_in(const struct gy_chat_frame *frame)
{
    return frame->type == GY_CHAT_LOGIN      ? frame->body.login.nick
           : frame->type == GY_CHAT_REGISTER ? frame->body.registration.nick
                                             : frame->body.nick.nick;
}

static void take_certificate(struct gy_chat_hub *hub, struct gy_chat_entering *entering)
{
    struct gy_chat_text subject;
    if (hub->ops.certificate(hub->context, entering->member, &subject) &&
        subject.length <= sizeof entering->subject) {
        memcpy(entering->subject, subject.bytes, subject.length);
        entering->subject_bytes = (uint16_t)subject.length;
    }
}

static void begin(struct gy_chat_hub *hub, struct gy_chat_entering *entering,
                  const struct gy_chat_frame *frame)
{
    struct gy_chat_text secret = {NULL, 0};
    if (frame->type == GY_CHAT_REGISTER) {
        secret = frame->body.registration.password;
        take_certificate(hub, entering);
    } else if (frame->type == GY_CHAT_LOGIN) {
        secret = frame->body.login.secret;
        entering->method = frame->body.login.method;
    }
    if (entering->method == GY_CHAT_CERTIFICATE) {
        take_certificate(hub, entering);
    } else if (entering->method == GY_CHAT_TOKEN) {
        struct gy_chat_text canonical = gy_chat_canonical_text(&entering->canonical);
        if (hub->ops.token_check(hub->context, secret, canonical, &entering->user,
                                 &entering->epoch) != 0) {
            gy_chat_entering_refuse(hub, entering, GY_CHAT_REFUSED, 0,
                                    "The token is not valid any more: log in anew.");
            return;
        }
        if (entering->user == GY_CHAT_SERVER_USER) {
            entered(hub, entering); /* its nick is claimed for nobody */
            return;
        }
    } else if (secret.length > GY_CHAT_PASSWORD_MAX) {
        gy_chat_entering_refuse(hub, entering, GY_CHAT_TOO_BIG, 0, "The password is too long.");
        return;
    } else if (secret.length > 0) {
        entering->check.password_bytes = (uint16_t)secret.length;
        memcpy(entering->check.password, secret.bytes, secret.length);
    }
    gy_chat_entering_look_up(hub, entering);
}

struct gy_chat_entering *gy_chat_entering_make(struct gy_chat_hub *hub,
                                               struct gy_chat_member *member,
                                               const struct gy_chat_frame *frame)
{
    struct gy_chat_entering *entering = gy_chat_hub_memory(hub, sizeof *entering);
    gy_assert(member->entering == NULL);
    if (entering == NULL) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_BUSY, 1000,
                          "The server has no memory for it now.");
        return NULL;
    }
    entering->member = member;
    entering->type = frame->type;
    entering->tag = frame->tag;
    member->entering = entering;
    return entering;
}

void gy_chat_login_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                           const struct gy_chat_frame *frame)
{
    enum gy_chat_code code;
    const char *why = not_allowed(hub, member, frame, &code);
    if (why != NULL) {
        gy_chat_hub_error(hub, member, frame->tag, code, 0, why);
        return;
    }
    struct gy_chat_entering *entering = gy_chat_entering_make(hub, member, frame);
    if (entering == NULL) {
        return;
    }
    struct gy_chat_text nick = nick_in(frame);
    struct gy_chat_text subject;
    bool certified = frame->type == GY_CHAT_LOGIN &&
                     frame->body.login.method == GY_CHAT_CERTIFICATE && nick.length == 0;
    if (certified && hub->ops.certificate(hub->context, member, &subject)) {
        nick = subject; /* who names nobody is whom the certificate names */
    }
    if (gy_chat_nick_check(nick, &entering->canonical, &why) != 0) {
        char sentence[256];
        snprintf(sentence, sizeof sentence, "The nick cannot be used: %s.", why);
        gy_chat_entering_refuse(hub, entering, GY_CHAT_NAME, 0, sentence);
        return;
    }
    entering->nick_bytes = (uint8_t)nick.length;
    memcpy(entering->nick, nick.bytes, nick.length);
    begin(hub, entering, frame);
}
