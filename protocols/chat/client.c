/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The client's side of chat: the beginning of a connection, what comes, deadlines. */

#include "protocols/chat/client.h"

#include "protocols/chat/client_internal.h"

/* What reading says, beside an event (1) and an error. */
enum {
    NEED_MORE = 0,
    GO_ON = 2,
};

/* How a connection logs in. */
enum login {
    LOGIN_AS_ASKED, /* REGISTER, or LOGIN by options.method */
    LOGIN_BY_TOKEN,
    LOGIN_BY_PASSWORD, /* registered by an earlier connection, or by somebody else */
};

void gy_chat_client_env_init(struct gy_chat_client_env *env, struct gy_bump *bump,
                             struct gy_slab *links)
{
    *env = (struct gy_chat_client_env){.bump = bump, .links = links};
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

void gy_chat_client_init(struct gy_chat_client *client, struct gy_chat_client_env *env,
                         const struct gy_chat_client_options *options)
{
    gy_assert(options->nick.length <= 255 && options->agent.length <= 255);
    gy_assert(options->secret.length <= GY_CHAT_PASSWORD_MAX);
    gy_assert(((uintptr_t)options->outbox & 7) == 0);
    *client = (struct gy_chat_client){.env = env, .options = *options};
    struct gy_chat_client_options *own = &client->options;
    own->window = or_default(own->window, 16);
    own->login_ms = or_default(own->login_ms, 30000);
    own->ping_ms = or_default(own->ping_ms, 45000);
    own->pong_ms = or_default(own->pong_ms, 15000);
    own->hole_ms = or_default(own->hole_ms, 3000);
    if (own->agent.length == 0) {
        own->agent = gy_chat_text_of("gyre");
    }
    for (uint32_t i = 0; i < own->rooms_max; i++) {
        own->rooms[i].name_bytes = 0;
    }
    client->next_client_id = own->first_client_id != 0 ? own->first_client_id : 1;
    client->next_tag = TAG_OWN_FIRST;
    client->next_ask = TAG_ASK_FIRST;
}

void gy_chat_client_begin(struct gy_chat_client *client, struct gy_chain *out, uint64_t now_ns)
{
    gy_assert(client->state == CLIENT_AWAY);
    gy_assert(out->links == client->env->links);
    client->out = out;
    client->state = CLIENT_BEGUN;
    client->login = client->token_bytes > 0 ? LOGIN_BY_TOKEN : LOGIN_AS_ASKED;
    client->begun_ns = now_ns;
    client->heard_ns = now_ns;
    client->ping_ns = 0;
    client->taken = 0;
    client->frame_max = GY_CHAT_FRAME_MAX;
    client->counters.connections++;
    gy_chat_client_flush(client, now_ns);
}

void gy_chat_client_lost(struct gy_chat_client *client)
{
    client->out = NULL;
    client->state = CLIENT_AWAY;
    client->taken = 0;
    gy_chat_client_rooms_lost(client);
    gy_chat_client_box_lost(client);
}

bool gy_chat_client_is_in(const struct gy_chat_client *client)
{
    return client->state == CLIENT_IN;
}

/* ---- what is written ---- */

uint16_t gy_chat_client_next_tag(struct gy_chat_client *client)
{
    uint16_t tag = client->next_tag;
    client->next_tag = tag + 1 < TAG_ASK_FIRST ? (uint16_t)(tag + 1) : TAG_OWN_FIRST;
    return tag;
}

int gy_chat_client_write(struct gy_chat_client *client, const struct gy_chat_frame *frame)
{
    struct gy_bump *bump = client->env->bump;
    uint32_t bytes = gy_chat_encoded_bytes(frame);
    gy_assert(bytes <= GY_BUMP_BLOCK_BYTES);
    uint8_t *room = gy_bump_reserve(bump, bytes);
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    gy_chat_encode(frame, room);
    return gy_bump_commit(bump, client->out, bytes);
}

static int write_hello(struct gy_chat_client *client)
{
    const struct gy_chat_frame frame = {
        .type = GY_CHAT_HELLO,
        .flags = GY_CHAT_MUST,
        .tag = TAG_HELLO,
        .body.hello = {.version_min = GY_CHAT_VERSION_NOW,
                       .version_max = GY_CHAT_VERSION_NOW,
                       .features = client->options.features,
                       .frame_max = GY_CHAT_FRAME_MAX,
                       .agent = client->options.agent},
    };
    return gy_chat_client_write(client, &frame);
}

static int write_login(struct gy_chat_client *client)
{
    const struct gy_chat_client_options *options = &client->options;
    struct gy_chat_frame frame = {.type = GY_CHAT_LOGIN, .tag = TAG_LOGIN};
    switch ((enum login)client->login) {
    case LOGIN_BY_TOKEN:
        frame.body.login.nick = gy_chat_client_nick(client);
        frame.body.login.method = GY_CHAT_TOKEN;
        frame.body.login.secret = (struct gy_chat_text){options->token, client->token_bytes};
        break;
    case LOGIN_BY_PASSWORD:
        frame.body.login.nick = options->nick;
        frame.body.login.method = GY_CHAT_PASSWORD;
        frame.body.login.secret = options->secret;
        break;
    case LOGIN_AS_ASKED:
        if (options->registers) {
            frame.type = GY_CHAT_REGISTER;
            frame.body.registration.nick = options->nick;
            frame.body.registration.password = options->secret;
        } else {
            frame.body.login.nick = options->nick;
            frame.body.login.method = options->method;
            frame.body.login.secret = options->secret;
        }
        break;
    }
    return gy_chat_client_write(client, &frame);
}

void gy_chat_client_flush(struct gy_chat_client *client, uint64_t now_ns)
{
    if (client->state == CLIENT_BEGUN && write_hello(client) == 0) {
        client->state = CLIENT_GREETING;
    }
    if (client->state == CLIENT_GREETED && write_login(client) == 0) {
        client->state = CLIENT_ENTERING;
    }
    if (client->state == CLIENT_IN) {
        gy_chat_client_write_joins(client, now_ns);
        gy_chat_client_write_outbox(client, now_ns);
    }
}

int gy_chat_client_ask(struct gy_chat_client *client, const struct gy_chat_frame *frame,
                       uint16_t *tag)
{
    struct gy_chat_frame copy = *frame;
    if (client->state != CLIENT_IN) {
        return GY_ESTATE;
    }
    copy.tag = client->next_ask;
    int error = gy_chat_client_write(client, &copy);
    if (error != 0) {
        return GY_ENOBUFS;
    }
    client->next_ask = copy.tag == UINT16_MAX ? TAG_ASK_FIRST : (uint16_t)(copy.tag + 1);
    *tag = copy.tag;
    return 0;
}

/* ---- what comes ---- */

static int is_over(struct gy_chat_client *client, struct gy_chat_client_event *event,
                   enum gy_chat_client_event_type type)
{
    client->state = CLIENT_OVER;
    event->type = type;
    return 1;
}

static int broken(struct gy_chat_client *client, struct gy_chat_client_event *event,
                  const char *why)
{
    event->text = gy_chat_text_of(why);
    return is_over(client, event, GY_CHAT_CLIENT_BROKEN);
}

static int take_welcome(struct gy_chat_client *client, struct gy_chat_client_event *event)
{
    uint32_t frame_max = event->frame.body.welcome.frame_max;
    if (client->state != CLIENT_GREETING) {
        return broken(client, event, "the server says WELCOME twice");
    }
    if (event->frame.body.welcome.version != GY_CHAT_VERSION_NOW ||
        frame_max < GY_CHAT_FRAME_MIN_MAX || frame_max > GY_CHAT_FRAME_MAX) {
        return broken(client, event, "the server's WELCOME is not what was asked for");
    }
    client->features = event->frame.body.welcome.features & client->options.features;
    client->frame_max = frame_max;
    client->state = CLIENT_GREETED;
    return GO_ON;
}

static int take_identity(struct gy_chat_client *client, struct gy_chat_client_event *event)
{
    struct gy_chat_text token = event->frame.body.identity.token;
    struct gy_chat_text nick = event->frame.body.identity.nick;
    bool enters = client->state == CLIENT_ENTERING;
    if (!enters && client->state != CLIENT_IN) {
        return broken(client, event, "the server says IDENTITY before it was asked for");
    }
    client->user = event->frame.body.identity.user;
    client->nick_bytes = (uint8_t)nick.length;
    memcpy(client->nick, nick.bytes, nick.length);
    if (token.length > 0 && client->options.token != NULL &&
        token.length <= client->options.token_max) {
        memcpy(client->options.token, token.bytes, token.length);
        client->token_bytes = token.length;
    }
    if (!enters) {
        event->type =
            event->frame.tag >= TAG_ASK_FIRST ? GY_CHAT_CLIENT_ANSWER : GY_CHAT_CLIENT_NEWS;
        return 1;
    }
    client->state = CLIENT_IN;
    event->type = GY_CHAT_CLIENT_IN;
    return 1;
}

/* A login that was refused: the other way, if there is one. */
static int take_refusal(struct gy_chat_client *client, struct gy_chat_client_event *event)
{
    bool refused = event->code == GY_CHAT_REFUSED || event->code == GY_CHAT_TAKEN ||
                   event->code == GY_CHAT_ABSENT || event->code == GY_CHAT_NAME;
    if (client->login == LOGIN_BY_TOKEN && refused) {
        client->token_bytes = 0;
        client->login = LOGIN_AS_ASKED;
        client->state = CLIENT_GREETED;
        return GO_ON;
    }
    if (client->login == LOGIN_AS_ASKED && client->options.registers &&
        event->code == GY_CHAT_TAKEN) {
        client->login = LOGIN_BY_PASSWORD;
        client->state = CLIENT_GREETED;
        return GO_ON;
    }
    return is_over(client, event, GY_CHAT_CLIENT_NOT_IN);
}

static int refused_join(struct gy_chat_client *client, uint32_t place, uint64_t now_ns,
                        struct gy_chat_client_event *event)
{
    struct gy_chat_client_room *room = &client->options.rooms[place];
    event->room = place;
    if (event->code == GY_CHAT_TOO_FAST || event->code == GY_CHAT_BUSY) {
        room->state = ROOM_WANTED;
        room->again_ns = now_ns + or_default(event->retry_ms, 1000) * NS_PER_MS;
        client->counters.delayed++;
        event->type = GY_CHAT_CLIENT_DELAYED;
        return 1;
    }
    gy_chat_client_refuse_room(client, place);
    event->type = GY_CHAT_CLIENT_NOT_JOINED;
    return 1;
}

static int take_error(struct gy_chat_client *client, uint64_t now_ns,
                      struct gy_chat_client_event *event)
{
    uint16_t tag = event->frame.tag;
    event->code = event->frame.body.error.code;
    event->text = event->frame.body.error.sentence;
    event->retry_ms = event->frame.body.error.retry_ms;
    if (event->frame.body.error.fatal != 0) {
        return is_over(client, event, GY_CHAT_CLIENT_ENDED);
    }
    if (tag == TAG_LOGIN && client->state == CLIENT_ENTERING) {
        return take_refusal(client, event);
    }
    if (tag >= TAG_ASK_FIRST) {
        event->type = GY_CHAT_CLIENT_ANSWER;
        return 1;
    }
    uint32_t place = gy_chat_client_room_by_tag(client, tag);
    if (place != GY_CHAT_CLIENT_NO_ROOM) {
        return refused_join(client, place, now_ns, event);
    }
    if (gy_chat_client_box_error(client, now_ns, event) == 1) {
        return 1;
    }
    event->type = GY_CHAT_CLIENT_NEWS;
    return 1;
}

static int take_message(struct gy_chat_client *client, uint64_t now_ns,
                        struct gy_chat_client_event *event)
{
    uint32_t place = gy_chat_client_room_by_number(client, event->frame.body.message.room);
    if (event->frame.tag >= TAG_ASK_FIRST) {
        event->type = GY_CHAT_CLIENT_ANSWER;
        event->room = place;
        return 1;
    }
    /* Of a room that was just left: nobody waits for it. */
    if (place == GY_CHAT_CLIENT_NO_ROOM || event->frame.body.message.id == 0 ||
        event->frame.body.message.id == GY_CHAT_NONE) {
        return GO_ON;
    }
    return gy_chat_client_room_message(client, place, now_ns, event) == 1 ? 1 : GO_ON;
}

static int take_gap(struct gy_chat_client *client, uint64_t now_ns,
                    struct gy_chat_client_event *event)
{
    uint32_t place = gy_chat_client_room_by_number(client, event->frame.body.gap.room);
    if (event->frame.tag >= TAG_ASK_FIRST) {
        event->type = GY_CHAT_CLIENT_ANSWER;
        event->room = place;
        return 1;
    }
    if (place == GY_CHAT_CLIENT_NO_ROOM) {
        return GO_ON;
    }
    return gy_chat_client_room_gap(client, place, now_ns, event) == 1 ? 1 : GO_ON;
}

/* JOINED and END: of a JOIN of ours, or of something asked. */
static int take_of_join(struct gy_chat_client *client, uint64_t now_ns,
                        struct gy_chat_client_event *event)
{
    uint32_t place = gy_chat_client_room_by_tag(client, event->frame.tag);
    if (event->frame.tag >= TAG_ASK_FIRST) {
        event->type = GY_CHAT_CLIENT_ANSWER;
        return 1;
    }
    if (place == GY_CHAT_CLIENT_NO_ROOM) {
        return GO_ON; /* left meanwhile */
    }
    bool filling = client->options.rooms[place].state == ROOM_FILLING;
    if (filling != (event->frame.type == GY_CHAT_END)) {
        return broken(client, event, "the server answers JOIN in another order");
    }
    return filling ? gy_chat_client_room_end(client, place, now_ns, event)
                   : gy_chat_client_room_joined(client, place, event);
}

/* CAME: of others, or what has become of us. */
static int take_came(struct gy_chat_client *client, struct gy_chat_client_event *event)
{
    uint32_t place = gy_chat_client_room_by_number(client, event->frame.body.came.room);
    bool own = gy_chat_text_equal(event->frame.body.came.nick, gy_chat_client_nick(client));
    event->type = GY_CHAT_CLIENT_NEWS;
    event->room = place;
    if (!own || place == GY_CHAT_CLIENT_NO_ROOM) {
        return 1;
    }
    switch (event->frame.body.came.what) {
    case GY_CHAT_WAS_KICKED:
        gy_chat_client_refuse_room(client, place);
        event->type = GY_CHAT_CLIENT_NOT_JOINED;
        event->code = GY_CHAT_FORBIDDEN;
        event->text = gy_chat_text_of("put out of the room");
        break;
    case GY_CHAT_HAS_ROLE:
        client->options.rooms[place].role = event->frame.body.came.role;
        break;
    default:
        break;
    }
    return 1;
}

static int take_probe(struct gy_chat_client *client, const struct gy_chat_client_event *event)
{
    const struct gy_chat_frame pong = {.type = GY_CHAT_PONG,
                                       .tag = event->frame.tag,
                                       .body.pong.any = event->frame.body.probe.any};
    return gy_chat_client_write(client, &pong) == 0 ? GO_ON : GY_ENOBUFS;
}

static int take_frame(struct gy_chat_client *client, uint64_t now_ns,
                      struct gy_chat_client_event *event)
{
    event->tag = event->frame.tag;
    if (client->state < CLIENT_GREETED && event->frame.type != GY_CHAT_WELCOME &&
        event->frame.type != GY_CHAT_ERROR) {
        return broken(client, event, "the server's first frame is not WELCOME");
    }
    switch (event->frame.type) {
    case GY_CHAT_WELCOME:
        return take_welcome(client, event);
    case GY_CHAT_IDENTITY:
        return take_identity(client, event);
    case GY_CHAT_ERROR:
        return take_error(client, now_ns, event);
    case GY_CHAT_PROBE:
        return take_probe(client, event);
    case GY_CHAT_MESSAGE:
        return take_message(client, now_ns, event);
    case GY_CHAT_GAP:
        return take_gap(client, now_ns, event);
    case GY_CHAT_JOINED:
    case GY_CHAT_END:
        return take_of_join(client, now_ns, event);
    case GY_CHAT_ACK:
        return gy_chat_client_box_acked(client, now_ns, event) == 1 ? 1 : GO_ON;
    case GY_CHAT_CAME:
        return take_came(client, event);
    case GY_CHAT_MOVE:
        event->type = GY_CHAT_CLIENT_MOVE;
        return 1;
    case GY_CHAT_PONG:
    case GY_CHAT_OK:
        if (event->frame.tag < TAG_ASK_FIRST) {
            return GO_ON; /* our own PING, LEAVE */
        }
        event->type = GY_CHAT_CLIENT_ANSWER;
        return 1;
    case GY_CHAT_TYPES:
        event->room = gy_chat_client_room_by_number(client, event->frame.body.types.room);
        event->type = GY_CHAT_CLIENT_NEWS;
        return 1;
    default:
        if (event->frame.type < GY_CHAT_WELCOME) {
            return broken(client, event, "the server sends a request");
        }
        event->type =
            event->frame.tag >= TAG_ASK_FIRST ? GY_CHAT_CLIENT_ANSWER : GY_CHAT_CLIENT_NEWS;
        return 1;
    }
}

static int read_frame(struct gy_chat_client *client, struct gy_chain *in, uint64_t now_ns,
                      struct gy_chat_client_event *event)
{
    uint8_t head[4];
    uint32_t length;
    if (in->length < sizeof head) {
        return NEED_MORE;
    }
    gy_chain_copy(in, 0, sizeof head, head);
    int64_t bytes = gy_chat_frame_bytes(head, sizeof head, client->frame_max);
    if (bytes < 0) {
        return broken(client, event,
                      client->state < CLIENT_GREETED
                          ? "what answers there is no chat server"
                          : "the server sends a frame that is longer than it said");
    }
    if (in->length < bytes) {
        return NEED_MORE;
    }
    const uint8_t *data = gy_chain_front(in, &length);
    if (length < bytes) {
        gy_chain_copy(in, 0, (uint32_t)bytes, client->env->scratch);
        data = client->env->scratch;
    }
    int code = gy_chat_decode(data, (uint32_t)bytes, &event->frame, NULL);
    if (code == GY_ENOTFOUND) {
        bool must = (event->frame.flags & GY_CHAT_MUST) != 0;
        client->counters.skipped++;
        code = must ? broken(client, event,
                             "the server sends a frame that must be known, and is "
                             "not: a newer program is needed")
                    : GO_ON;
    } else if (code != 0) {
        code = broken(client, event, "the server sends a frame that is malformed");
    } else {
        code = take_frame(client, now_ns, event);
    }
    if (code != GY_ENOBUFS) {
        client->taken = (uint32_t)bytes;
        client->heard_ns = now_ns;
        client->ping_ns = 0;
    }
    return code;
}

static int read_some(struct gy_chat_client *client, struct gy_chain *in, uint64_t now_ns,
                     struct gy_chat_client_event *event)
{
    gy_chain_consume(in, client->taken);
    client->taken = 0;
    *event = (struct gy_chat_client_event){.room = GY_CHAT_CLIENT_NO_ROOM};
    if (client->state == CLIENT_OVER || client->state == CLIENT_AWAY) {
        gy_chain_clear(in);
        return NEED_MORE;
    }
    if (client->sweeps != 0 && gy_chat_client_box_sweep(client, event) == 1) {
        return 1;
    }
    return read_frame(client, in, now_ns, event);
}

int gy_chat_client_read(struct gy_chat_client *client, struct gy_chain *in, uint64_t now_ns,
                        struct gy_chat_client_event *event)
{
    int code;
    do {
        code = read_some(client, in, now_ns, event);
        /* After each frame, so that what is said does not depend on how they came. */
        gy_chat_client_flush(client, now_ns);
    } while (code == GO_ON);
    return code;
}

/* ---- deadlines ---- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t login_deadline(const struct gy_chat_client *client)
{
    return client->state != CLIENT_IN ? client->begun_ns + client->options.login_ms * NS_PER_MS
                                      : GY_CHAT_CLIENT_NO_DEADLINE;
}

static uint64_t ping_deadline(const struct gy_chat_client *client)
{
    if (client->state != CLIENT_IN) {
        return GY_CHAT_CLIENT_NO_DEADLINE;
    }
    return client->ping_ns != 0 ? client->ping_ns + client->options.pong_ms * NS_PER_MS
                                : client->heard_ns + client->options.ping_ms * NS_PER_MS;
}

static uint64_t join_deadline(const struct gy_chat_client *client)
{
    uint64_t deadline = GY_CHAT_CLIENT_NO_DEADLINE;
    for (uint32_t i = 0; client->state == CLIENT_IN && i < client->options.rooms_max; i++) {
        const struct gy_chat_client_room *room = &client->options.rooms[i];
        if (room->name_bytes > 0 && room->state == ROOM_WANTED && room->again_ns != 0) {
            deadline = sooner(deadline, room->again_ns);
        }
    }
    return deadline;
}

uint64_t gy_chat_client_deadline(const struct gy_chat_client *client)
{
    if (client->state == CLIENT_AWAY || client->state == CLIENT_OVER) {
        return GY_CHAT_CLIENT_NO_DEADLINE;
    }
    uint64_t deadline = sooner(login_deadline(client), ping_deadline(client));
    deadline = sooner(deadline, join_deadline(client));
    deadline = sooner(deadline, gy_chat_client_box_deadline(client));
    return sooner(deadline, gy_chat_client_hole_deadline(client));
}

int gy_chat_client_expire(struct gy_chat_client *client, uint64_t now_ns,
                          struct gy_chat_client_event *event)
{
    *event = (struct gy_chat_client_event){.room = GY_CHAT_CLIENT_NO_ROOM};
    if (now_ns < gy_chat_client_deadline(client)) {
        return 0;
    }
    if (now_ns >= login_deadline(client)) {
        return broken(client, event, "the server did not let us in in time");
    }
    if (now_ns >= ping_deadline(client)) {
        const struct gy_chat_frame ping = {.type = GY_CHAT_PING, .tag = TAG_HELLO};
        if (client->ping_ns != 0) {
            return broken(client, event, "the server did not answer a PING");
        }
        if (gy_chat_client_write(client, &ping) == 0) {
            client->ping_ns = now_ns;
        } else {
            client->heard_ns += 1000 * NS_PER_MS; /* no memory: again in a second */
        }
    }
    if (gy_chat_client_report_hole(client, now_ns, event) == 1) {
        return 1;
    }
    gy_chat_client_flush(client, now_ns);
    return 0;
}
