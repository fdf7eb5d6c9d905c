/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The server's side of a connection: what is read. */

#include "protocols/chat/session.h"

#include "protocols/chat/session_internal.h"

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

_Static_assert(sizeof(struct gy_chat_session) <= 200, "50,000 idle connections are to be cheap");

const struct gy_chat_limits gy_chat_limits_default = {
    .frame_max = GY_CHAT_FRAME_SENT_MAX,
    .contents_max = GY_CHAT_CONTENTS_MAX,
    .output_high = 65536,
    .output_max = 262144,
    .requests_per_s = 20,
    .requests_burst = 60,
    .bytes_per_s = 32768,
    .bytes_burst = 131072,
    .refusals_max = 100,
    .login_ms = 30000,
    .frame_ms = 30000,
    .ping_ms = 60000,
    .pong_ms = 20000,
};

void gy_chat_env_init(struct gy_chat_env *env, struct gy_bump *bump, struct gy_slab *links)
{
    *env = (struct gy_chat_env){
        .bump = bump,
        .links = links,
        .limits = gy_chat_limits_default,
        .features = GY_CHAT_FEATURE_TYPING | GY_CHAT_FEATURE_PRESENCE | GY_CHAT_FEATURE_ACCOUNT |
                    GY_CHAT_FEATURE_ADMIN,
        .name = gy_chat_text_of("gyre"),
        .lobby = gy_chat_text_of("lobby"),
        .book_policy = GY_CHAT_DROP_OLDEST,
    };
}

void gy_chat_session_init(struct gy_chat_session *session, struct gy_chat_env *env,
                          struct gy_chain *out, bool in_websocket, uint64_t now_ns)
{
    const struct gy_chat_limits *limits = &env->limits;
    gy_assert(out->links == env->links);
    gy_assert(limits->contents_max <= GY_CHAT_CONTENTS_MAX);
    gy_assert(limits->frame_max >= GY_CHAT_FRAME_MIN_MAX && limits->frame_max <= GY_CHAT_FRAME_MAX);
    *session = (struct gy_chat_session){
        .env = env,
        .out = out,
        .opened_ns = now_ns,
        .heard_ns = now_ns,
        .flags = in_websocket ? IN_WEBSOCKET : 0,
    };
    env->counters.sessions++;
}

bool gy_chat_session_is_over(const struct gy_chat_session *session)
{
    return session->state == OVER;
}

bool gy_chat_session_is_in(const struct gy_chat_session *session)
{
    return session->state >= NAMED && session->state != OVER;
}

bool gy_chat_session_is_held(const struct gy_chat_session *session)
{
    return session_is_held(session);
}

void gy_chat_session_hold(struct gy_chat_session *session)
{
    session->flags |= HELD_BY_OWNER;
}

void gy_chat_session_let_go(struct gy_chat_session *session)
{
    session->flags &= (uint16_t)~HELD_BY_OWNER;
}

void gy_chat_hold_for(struct gy_chat_session *session, uint16_t tag)
{
    session->flags |= HELD_FOR_ANSWER;
    session->held_tag = tag;
}

const uint8_t *gy_chat_in_one_piece(struct gy_chat_env *env, const struct gy_chain *in,
                                    uint32_t bytes)
{
    uint32_t length;
    const uint8_t *data = gy_chain_front(in, &length);
    gy_assert(bytes <= in->length && bytes <= sizeof env->scratch);
    if (length >= bytes) {
        return data;
    }
    gy_chain_copy(in, 0, bytes, env->scratch);
    env->counters.copied_bytes += bytes;
    return env->scratch;
}

int gy_chat_partial(const struct reading *reading)
{
    if (reading->session->frame_ns == 0) {
        reading->session->frame_ns = reading->now_ns;
    }
    return NEED_MORE;
}

/* ---- rates ---- */

/* The generic cell rate algorithm (ITU-T I.371, annex A): `until_ns` is when all that was taken
 * would be paid for at the steady rate; it may be at most the burst ahead of now. */
static uint64_t rate_wait(uint64_t until_ns, uint64_t cost_ns, uint64_t burst_ns, uint64_t now_ns)
{
    uint64_t from = until_ns > now_ns ? until_ns : now_ns;
    uint64_t ahead = from - now_ns + cost_ns;
    return ahead > burst_ns ? ahead - burst_ns : 0;
}

uint64_t gy_chat_rate(struct gy_chat_session *session, uint32_t bytes, uint64_t now_ns)
{
    const struct gy_chat_limits *limits = &session->env->limits;
    uint64_t each = limits->requests_per_s > 0 ? NS_PER_S / limits->requests_per_s : 0;
    uint64_t per_byte = limits->bytes_per_s > 0 ? NS_PER_S / limits->bytes_per_s : 0;
    uint64_t burst = limits->requests_burst > 0 ? limits->requests_burst : 1;
    uint64_t bytes_burst =
        limits->bytes_burst > limits->frame_max + 4 ? limits->bytes_burst : limits->frame_max + 4;
    uint64_t wait = rate_wait(session->requests_ns, each, each * burst, now_ns);
    uint64_t bytes_wait =
        rate_wait(session->bytes_ns, per_byte * bytes, per_byte * bytes_burst, now_ns);
    wait = wait > bytes_wait ? wait : bytes_wait;
    if (wait == 0 && session->env->take != NULL && session->state != FRESH) {
        wait = session->env->take(session->env->take_context, session, now_ns);
    }
    if (wait > 0) {
        session->env->counters.too_fast++;
        return wait;
    }
    session->requests_ns = (session->requests_ns > now_ns ? session->requests_ns : now_ns) + each;
    session->bytes_ns =
        (session->bytes_ns > now_ns ? session->bytes_ns : now_ns) + per_byte * bytes;
    return 0;
}

static int too_fast(const struct reading *reading, const struct gy_chat_frame *frame,
                    uint64_t wait_ns)
{
    struct gy_chat_session *session = reading->session;
    struct gy_chat_env *env = session->env;
    uint64_t wait_ms = wait_ns / NS_PER_MS + 1;
    if (session->refusals >= env->limits.refusals_max) {
        env->counters.floods++;
        gy_chat_session_end(session, GY_CHAT_TOO_FAST, (uint32_t)wait_ms,
                            "requests went on being sent faster than this server takes them");
        return GO_ON;
    }
    int error = 0;
    if (frame->type != GY_CHAT_TYPING) { /* which nothing answers */
        error = gy_chat_session_write_error(
            session, frame->tag, GY_CHAT_TOO_FAST, (uint32_t)wait_ms,
            "requests come faster than this server takes them; wait %u ms", (uint32_t)wait_ms);
    }
    if (error == 0) {
        session->refusals++;
        session->taken = frame->bytes;
    }
    return error == 0 ? GO_ON : GY_ENOBUFS;
}

/* ---- values ---- */

/* One rule that a request's fields broke. */
struct breach {
    enum gy_chat_code code;
    const char *sentence; /* NULL: none is broken */
};

#define FINE ((struct breach){0, NULL})

static struct breach check_name(struct gy_chat_text name, const char *sentence)
{
    return name.length > 0 ? FINE : (struct breach){GY_CHAT_NAME, sentence};
}

static struct breach check_contents(const struct gy_chat_env *env, struct gy_chat_text contents)
{
    if (contents.length == 0) {
        return (struct breach){GY_CHAT_MALFORMED, "a message has contents"};
    }
    if (contents.length > env->limits.contents_max) {
        return (struct breach){GY_CHAT_TOO_BIG, "the message is longer than this server allows"};
    }
    return FINE;
}

static struct breach check_login(uint8_t method, struct gy_chat_text nick,
                                 struct gy_chat_text secret)
{
    if (method > GY_CHAT_TOKEN) {
        return (struct breach){GY_CHAT_UNSUPPORTED, "LOGIN's method is not known here"};
    }
    if (secret.length > GY_CHAT_PASSWORD_MAX) {
        return (struct breach){GY_CHAT_TOO_BIG, "a password or token has at most 1,024 bytes"};
    }
    /* Who shows a certificate may be known by it alone. */
    return method != GY_CHAT_CERTIFICATE ? check_name(nick, "LOGIN needs a nick") : FINE;
}

static struct breach check_moderate(uint8_t action, struct gy_chat_text nick)
{
    if (action < GY_CHAT_KICK || action > GY_CHAT_MAKE_OWNER) {
        return (struct breach){GY_CHAT_UNSUPPORTED, "MODERATE's action is not known here"};
    }
    return action != GY_CHAT_SLOW_MODE ? check_name(nick, "MODERATE needs a nick") : FINE;
}

static struct breach check_values(const struct gy_chat_env *env, const struct gy_chat_frame *frame)
{
    const union gy_chat_body *body = &frame->body;
    switch (frame->type) {
    case GY_CHAT_REGISTER:
        if (body->registration.password.length > GY_CHAT_PASSWORD_MAX) {
            return (struct breach){GY_CHAT_TOO_BIG, "a password has at most 1,024 bytes"};
        }
        return check_name(body->registration.nick, "REGISTER needs a nick");
    case GY_CHAT_LOGIN:
        return check_login(body->login.method, body->login.nick, body->login.secret);
    case GY_CHAT_NICK:
        return check_name(body->nick.nick, "NICK needs a nick");
    case GY_CHAT_JOIN:
        if (body->join.policy > GY_CHAT_SPILL) {
            return (struct breach){GY_CHAT_UNSUPPORTED, "JOIN's policy is not known here"};
        }
        return check_name(body->join.room, "JOIN needs a room's name");
    case GY_CHAT_TOPIC:
        if (body->topic.topic.length > GY_CHAT_TOPIC_MAX) {
            return (struct breach){GY_CHAT_TOO_BIG, "a topic has at most 1,024 bytes"};
        }
        return FINE;
    case GY_CHAT_SEND:
        return check_contents(env, body->send.contents);
    case GY_CHAT_TELL: {
        struct breach breach = check_name(body->tell.nick, "TELL needs a nick");
        return breach.sentence != NULL ? breach : check_contents(env, body->tell.contents);
    }
    case GY_CHAT_EDIT:
        return check_contents(env, body->edit.contents);
    case GY_CHAT_HISTORY:
        if (body->history.by > GY_CHAT_BEFORE_ID) {
            return (struct breach){GY_CHAT_UNSUPPORTED, "HISTORY's `by` is not known here"};
        }
        return FINE;
    case GY_CHAT_TYPING:
        if (body->typing.on > 1) {
            return (struct breach){GY_CHAT_UNSUPPORTED, "TYPING's `on` is 0 or 1"};
        }
        return FINE;
    case GY_CHAT_PRESENCE:
        if (body->presence.status > GY_CHAT_STATUS_BUSY) {
            return (struct breach){GY_CHAT_UNSUPPORTED, "PRESENCE's status is not known here"};
        }
        return FINE;
    case GY_CHAT_MODERATE:
        return check_moderate(body->moderate.action, body->moderate.nick);
    default:
        return FINE;
    }
}

/* ---- frames ---- */

/* Refuses a frame, and goes on behind it. */
static int refuse(const struct reading *reading, const struct gy_chat_frame *frame,
                  enum gy_chat_code code, const char *sentence)
{
    struct gy_chat_session *session = reading->session;
    int error = gy_chat_session_write_error(session, frame->tag, code, 0, "%s", sentence);
    if (error != 0) {
        return GY_ENOBUFS;
    }
    switch (code) {
    case GY_CHAT_UNSUPPORTED:
        session->env->counters.unsupported++;
        break;
    case GY_CHAT_TOO_BIG:
        session->env->counters.too_big++;
        break;
    case GY_CHAT_ORDER:
        session->env->counters.order++;
        break;
    default:
        session->env->counters.malformed++;
    }
    session->taken = frame->bytes;
    return GO_ON;
}

static int out_of_order(const struct reading *reading, const char *sentence)
{
    reading->session->env->counters.order++;
    gy_chat_session_end(reading->session, GY_CHAT_ORDER, 0, "%s", sentence);
    return GO_ON;
}

static int take_hello(const struct reading *reading, const struct gy_chat_frame *frame)
{
    struct gy_chat_session *session = reading->session;
    struct gy_chat_env *env = session->env;
    uint32_t frame_max = env->limits.frame_max;
    if (session->state != FRESH) {
        return out_of_order(reading, "HELLO was said already");
    }
    if (frame->body.hello.version_min > GY_CHAT_VERSION_NOW ||
        frame->body.hello.version_max < GY_CHAT_VERSION_NOW) {
        env->counters.version++;
        gy_chat_session_end(
            session, GY_CHAT_VERSION, 0, "this server speaks version %u; HELLO offers %u to %u",
            GY_CHAT_VERSION_NOW, frame->body.hello.version_min, frame->body.hello.version_max);
        return GO_ON;
    }
    if (frame->body.hello.frame_max < frame_max) {
        env->counters.too_big++;
        gy_chat_session_end(session, GY_CHAT_TOO_BIG, 0,
                            "this server's frames are up to %u long; HELLO takes only %u",
                            frame_max, frame->body.hello.frame_max);
        return GO_ON;
    }
    uint32_t features = env->features & frame->body.hello.features;
    const struct gy_chat_frame welcome = {
        .type = GY_CHAT_WELCOME,
        .tag = frame->tag,
        .body.welcome = {.version = GY_CHAT_VERSION_NOW,
                         .features = features,
                         .frame_max = frame_max,
                         .ping_ms = env->limits.ping_ms,
                         .now = env->wall_ms,
                         .server = env->name},
    };
    if (gy_chat_session_write(session, &welcome) != 0) {
        return GY_ENOBUFS;
    }
    session->features = features;
    session->state = GREETED;
    session->taken = frame->bytes;
    return GO_ON;
}

static int take_ping(const struct reading *reading, const struct gy_chat_frame *frame)
{
    const struct gy_chat_frame pong = {
        .type = GY_CHAT_PONG, .tag = frame->tag, .body.pong.any = frame->body.ping.any};
    if (gy_chat_session_write(reading->session, &pong) != 0) {
        return GY_ENOBUFS;
    }
    reading->session->taken = frame->bytes;
    return GO_ON;
}

static int take_unknown(const struct reading *reading, const struct gy_chat_frame *frame)
{
    if ((frame->flags & GY_CHAT_MUST) == 0) {
        reading->session->env->counters.skipped++;
        reading->session->taken = frame->bytes;
        return GO_ON;
    }
    int error = gy_chat_session_write_error(
        reading->session, frame->tag, GY_CHAT_UNSUPPORTED, 0,
        "frames of type 0x%02x are not known here, and this one must be", frame->type);
    if (error == 0) {
        reading->session->env->counters.unsupported++;
        reading->session->taken = frame->bytes;
    }
    return error == 0 ? GO_ON : GY_ENOBUFS;
}

/* A request that the owner may get. */
static int take_request(const struct reading *reading, const struct gy_chat_frame *frame)
{
    struct gy_chat_session *session = reading->session;
    bool begins = frame->type == GY_CHAT_LOGIN || frame->type == GY_CHAT_REGISTER;
    if (begins && session->state == IN) {
        return refuse(reading, frame, GY_CHAT_ORDER, "this connection is logged in already");
    }
    if (!begins && session->state != IN && frame->type != GY_CHAT_QUIT) {
        return refuse(reading, frame, GY_CHAT_ORDER, "log in first, by LOGIN or REGISTER");
    }
    struct breach breach = check_values(session->env, frame);
    if (breach.sentence != NULL) {
        return refuse(reading, frame, breach.code, breach.sentence);
    }
    if (begins || frame->type == GY_CHAT_NICK || frame->type == GY_CHAT_CHANGE ||
        frame->type == GY_CHAT_REVOKE) {
        gy_chat_hold_for(session, frame->tag);
    }
    if (frame->type == GY_CHAT_QUIT) {
        session->state = OVER;
    }
    session->taken = frame->bytes;
    return REQUEST;
}

static int take_frame(const struct reading *reading, const struct gy_chat_frame *frame, int code,
                      const char *field)
{
    struct gy_chat_session *session = reading->session;
    struct gy_chat_env *env = session->env;
    if (session->state == FRESH && frame->type != GY_CHAT_HELLO) {
        return out_of_order(reading, "the first frame is HELLO");
    }
    uint64_t wait_ns = gy_chat_rate(session, frame->bytes, reading->now_ns);
    if (wait_ns > 0) {
        return too_fast(reading, frame, wait_ns);
    }
    session->refusals = 0;
    if (code == GY_ENOTFOUND) {
        return take_unknown(reading, frame);
    }
    if (code != 0) {
        env->counters.malformed++;
        gy_chat_session_end(session, GY_CHAT_MALFORMED, 0,
                            "%s ends before its field `%s`, or that is not text",
                            gy_chat_type_name(frame->type), field);
        return GO_ON;
    }
    switch (frame->type) {
    case GY_CHAT_HELLO:
        return take_hello(reading, frame);
    case GY_CHAT_PING:
        return take_ping(reading, frame);
    case GY_CHAT_PONG:
        session->taken = frame->bytes;
        return GO_ON;
    default:
        if (frame->type > GY_CHAT_ADMIN) {
            env->counters.malformed++;
            gy_chat_session_end(session, GY_CHAT_MALFORMED, 0, "%s is a frame of servers",
                                gy_chat_type_name(frame->type));
            return GO_ON;
        }
        return take_request(reading, frame);
    }
}

static int bad_length(const struct reading *reading, const uint8_t *head)
{
    struct gy_chat_session *session = reading->session;
    struct gy_chat_env *env = session->env;
    uint32_t length =
        (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
    if (length > env->limits.frame_max) {
        env->counters.too_big++;
        gy_chat_session_end(session, GY_CHAT_TOO_BIG, 0,
                            "a frame says that it is %u bytes long; this server takes %u", length,
                            env->limits.frame_max);
    } else {
        env->counters.malformed++;
        gy_chat_session_end(session, GY_CHAT_MALFORMED, 0,
                            "a frame says that it is %u bytes long; its head alone takes 4",
                            length);
    }
    return GO_ON;
}

static int read_frame(const struct reading *reading)
{
    struct gy_chat_session *session = reading->session;
    struct gy_chat_env *env = session->env;
    uint8_t head[4];
    const char *field = NULL;
    if (reading->in->length < sizeof head) {
        return gy_chat_partial(reading);
    }
    gy_chain_copy(reading->in, 0, sizeof head, head);
    int64_t bytes = gy_chat_frame_bytes(head, sizeof head, env->limits.frame_max);
    if (bytes < 0) {
        return bad_length(reading, head);
    }
    if (reading->in->length < bytes) {
        return gy_chat_partial(reading);
    }
    const uint8_t *data = gy_chat_in_one_piece(env, reading->in, (uint32_t)bytes);
    int code = gy_chat_decode(data, (uint32_t)bytes, reading->request, &field);
    code = take_frame(reading, reading->request, code, field);
    if (code == GO_ON || code == REQUEST) {
        env->counters.frames_in++;
        session->heard_ns = reading->now_ns;
        session->probe_ns = 0;
        session->frame_ns = 0;
    }
    return code;
}

/* ---- the two levels ---- */

static int detect(const struct reading *reading)
{
    struct gy_chat_session *session = reading->session;
    struct gy_chat_env *env = session->env;
    uint32_t length;
    uint8_t first = *gy_chain_front(reading->in, &length);
    if ((first == 0x01 || first == 0x02) && (session->flags & IN_WEBSOCKET) == 0) {
        session->level = GY_CHAT_LEVEL_BOOK;
        env->counters.book_sessions++;
        return GO_ON;
    }
    session->level = GY_CHAT_LEVEL_FRAMES;
    if (first != 0x00) {
        env->counters.malformed++;
        gy_chat_session_end(session, GY_CHAT_MALFORMED, 0,
                            "this is a chat server: the first byte is 00, 01 or 02, not %02x",
                            first);
    }
    return GO_ON;
}

static int read_some(const struct reading *reading)
{
    struct gy_chat_session *session = reading->session;
    if (session->taken > 0) {
        gy_chain_consume(reading->in, session->taken);
        session->taken = 0;
    }
    if (session->state == OVER) {
        gy_chain_clear(reading->in);
        return NEED_MORE;
    }
    bool put_off = session->resume_ns > reading->now_ns;
    if (session_is_held(session) || put_off ||
        session->out->length > session->env->limits.output_high) {
        session->frame_ns = 0; /* it is not the peer who is slow */
        return GY_EAGAIN;
    }
    session->resume_ns = 0;
    if (session->level == GY_CHAT_LEVEL_BOOK && session->state == NAMED) {
        return gy_chat_book_read(reading); /* what follows from its register */
    }
    if (gy_chain_empty(reading->in)) {
        return NEED_MORE;
    }
    switch ((enum gy_chat_level)session->level) {
    case GY_CHAT_LEVEL_FRAMES:
        return read_frame(reading);
    case GY_CHAT_LEVEL_BOOK:
        return gy_chat_book_read(reading);
    default:
        return detect(reading);
    }
}

int gy_chat_session_read(struct gy_chat_session *session, struct gy_chain *in, uint64_t now_ns,
                         struct gy_chat_frame *request)
{
    const struct reading reading = {session, in, now_ns, request};
    int code;
    do {
        code = read_some(&reading);
    } while (code == GO_ON);
    gy_assert(session->taken <= in->length);
    return code;
}

void gy_chat_session_end_message(struct gy_chat_session *session, const struct gy_chain *in)
{
    if (session->state != OVER && session->taken < in->length) {
        session->env->counters.malformed++;
        gy_chat_session_end(session, GY_CHAT_MALFORMED, 0, "a message ends within a frame");
    }
}
