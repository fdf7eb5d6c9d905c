/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/chat/line.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clients/dns/resolver.h"

#define NANOSECONDS_PER_MS UINT64_C(1000000)
#define OUTPUT_BLOCKS      256 /* of GY_BUMP_BLOCK_BYTES */

struct session {
    struct gy_line *line; /* NULL: nobody's */
};

void gy_line_fail(struct gy_line *line, int code, const char *format, ...)
{
    char text[GY_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (line->error.code == 0) {
        gy_error_set(&line->error, code, "%s", text);
    }
    gy_line_leave(line);
}

void gy_line_leave(struct gy_line *line)
{
    const struct gy_chat_frame quit = {.type = GY_CHAT_QUIT};
    uint16_t tag;
    line->leaving = true;
    if (line->stream == NULL) {
        line->over = true;
        return;
    }
    (void)gy_chat_client_ask(&line->client, &quit, &tag); /* as a courtesy */
    gy_stream_wake(line->stream);
}

/* ---- dialling, again and again ---- */

static void arm(struct gy_line *line)
{
    uint64_t due = UINT64_MAX;
    if (line->redial_ms != 0) {
        due = line->redial_ms;
    }
    if (line->leave_ms != 0 && line->leave_ms < due) {
        due = line->leave_ms;
    }
    if (due == UINT64_MAX) {
        gy_timer_disarm(&line->worker.wheel, &line->timer);
    } else {
        gy_timer_arm(&line->worker.wheel, &line->timer, due);
    }
}

/* There is no connection: another try, unless there never was one. */
static void try_again(struct gy_line *line, const char *why)
{
    if (line->over || line->leaving || line->error.code != 0) {
        line->over = true;
        return;
    }
    uint32_t wait_ms = gy_backoff_failed(&line->backoff);
    line->redial_ms = line->worker.now_ms + wait_ms;
    gy_line_tell(line, "%s; again in %u.%u s", why, wait_ms / 1000, wait_ms % 1000 / 100);
    arm(line);
}

static void connected(struct gy_dial *dial, struct gy_stream *stream)
{
    struct gy_line *line = dial->context;
    if (stream != NULL) {
        line->stream = stream;
        ((struct session *)stream->session)->line = line;
        gy_chat_client_begin(&line->client, &stream->out, line->worker.now_ns);
    } else if (line->was_in) {
        try_again(line, dial->error.message);
    } else {
        gy_line_fail(line, dial->error.code, "%s", dial->error.message);
    }
}

static void dial(struct gy_line *line)
{
    line->dial.context = line;
    gy_dial_begin(&line->dial, &line->connector, line->options->host, line->options->port,
                  connected);
}

/* ---- what comes ---- */

static void tell_text(const struct gy_line *line, const char *what, uint32_t room,
                      const struct gy_chat_client_event *event)
{
    char text[GY_CHAT_SENTENCE_MAX + 1];
    char name[GY_CHAT_ROOM_MAX + 1] = "";
    struct gy_chat_text cut = event->text;
    cut.length = cut.length < GY_CHAT_SENTENCE_MAX ? cut.length : GY_CHAT_SENTENCE_MAX;
    gy_line_clean(cut, text);
    if (room != GY_CHAT_CLIENT_NO_ROOM) {
        gy_line_clean((struct gy_chat_text){line->rooms[room].name, line->rooms[room].name_bytes},
                      name);
    }
    gy_line_tell(line, "%s%s%s: %s", name, name[0] != '\0' ? ": " : "", what, text);
}

static void got_message(struct gy_line *line, const struct gy_chat_client_event *event)
{
    if (line->leaving) {
        return;
    }
    line->received++;
    if (line->leave_ms != 0) {
        line->leave_ms = line->worker.now_ms + line->options->wait_ms;
        arm(line);
    }
    if (!gy_line_show(line, event)) {
        gy_line_fail(line, GY_EIO, "writing to standard output: %m");
    } else if (line->received == line->options->count) {
        line->input.ended = true;
        gy_line_leave(line);
    }
}

static void got_in(struct gy_line *line)
{
    char nick[256];
    gy_line_clean(gy_chat_client_nick(&line->client), nick);
    gy_line_tell(line, line->was_in ? "%s is in again" : "%s is in", nick);
    line->was_in = true;
    gy_backoff_worked(&line->backoff);
}

static void not_in(struct gy_line *line, const struct gy_chat_client_event *event)
{
    char text[GY_CHAT_SENTENCE_MAX + 1];
    struct gy_chat_text cut = event->text;
    cut.length = cut.length < GY_CHAT_SENTENCE_MAX ? cut.length : GY_CHAT_SENTENCE_MAX;
    gy_line_clean(cut, text);
    /* The old connection may not be gone for the server yet. */
    if (line->was_in && (event->code == GY_CHAT_TAKEN || event->retry_ms > 0)) {
        gy_line_tell(line, "the server does not let us in yet: %s", text);
        return;
    }
    gy_line_fail(line, GY_EREFUSED, "the server does not let us in: %s", text);
}

static void got(struct gy_line *line, const struct gy_chat_client_event *event)
{
    switch (event->type) {
    case GY_CHAT_CLIENT_MESSAGE:
        got_message(line, event);
        break;
    case GY_CHAT_CLIENT_IN:
        got_in(line);
        break;
    case GY_CHAT_CLIENT_GAP:
        gy_line_tell(line, "messages %llu to %llu are missing", (unsigned long long)event->first,
                     (unsigned long long)event->last);
        break;
    case GY_CHAT_CLIENT_RESET:
        gy_line_tell(line, "the server's history is another one than before");
        break;
    case GY_CHAT_CLIENT_REFUSED:
        line->lost++;
        tell_text(line, "a message was refused", event->room, event);
        break;
    case GY_CHAT_CLIENT_NOT_JOINED:
        tell_text(line, "not joined", event->room, event);
        break;
    case GY_CHAT_CLIENT_NOT_IN:
        not_in(line, event);
        break;
    case GY_CHAT_CLIENT_ENDED:
    case GY_CHAT_CLIENT_BROKEN:
        if (!line->was_in) {
            char text[GY_CHAT_SENTENCE_MAX + 1];
            gy_line_clean(event->text, text);
            gy_line_fail(line, GY_EPROTO, "%s", text);
        } else {
            tell_text(line, "the connection ends", GY_CHAT_CLIENT_NO_ROOM, event);
        }
        break;
    case GY_CHAT_CLIENT_MOVE:
        gy_line_tell(line, "the server is going to end; it is dialled again then");
        break;
    default:
        break;
    }
}

/* ---- the stream ---- */

static bool is_over(enum gy_chat_client_event_type type)
{
    return type == GY_CHAT_CLIENT_NOT_IN || type == GY_CHAT_CLIENT_ENDED ||
           type == GY_CHAT_CLIENT_BROKEN;
}

static uint32_t wants(struct gy_line *line, struct gy_stream *stream, int code, bool over)
{
    uint64_t deadline = gy_chat_client_deadline(&line->client);
    gy_stream_set_deadline(
        stream, deadline == GY_CHAT_CLIENT_NO_DEADLINE ? 0 : deadline / NANOSECONDS_PER_MS + 1);
    if (over || stream->eof || line->leaving) {
        return GY_WANT_CLOSE;
    }
    return GY_WANT_READ | (code == GY_ENOBUFS ? GY_WANT_RETRY : 0);
}

static uint32_t on_turn(struct gy_stream *stream)
{
    struct gy_line *line = ((struct session *)stream->session)->line;
    struct gy_chat_client_event event;
    bool over = false;
    int code;
    if (line == NULL) {
        return GY_WANT_CLOSE;
    }
    while ((code = gy_chat_client_read(&line->client, &stream->in, line->worker.now_ns, &event)) ==
           1) {
        over = over || is_over(event.type);
        got(line, &event);
    }
    gy_line_follow(line);
    return wants(line, stream, code, over);
}

static uint32_t on_expire(struct gy_stream *stream)
{
    struct gy_line *line = ((struct session *)stream->session)->line;
    struct gy_chat_client_event event;
    bool over = false;
    if (line == NULL) {
        return GY_WANT_CLOSE;
    }
    while (gy_chat_client_expire(&line->client, line->worker.now_ns, &event) == 1) {
        over = over || is_over(event.type);
        got(line, &event);
    }
    return wants(line, stream, 0, over);
}

static uint32_t on_drain(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE;
}

static void on_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    struct gy_line *line = ((struct session *)stream->session)->line;
    if (line != NULL) {
        line->stream = NULL;
        gy_chat_client_lost(&line->client);
        if (!line->was_in && line->error.code == 0 && !line->leaving) {
            gy_error_set(&line->error, GY_ECLOSED, "the server ended the connection: %s",
                         gy_close_reason_text(reason));
        }
        try_again(line, "the connection is gone");
    }
}

static const struct gy_stream_ops stream_ops = {on_turn, on_turn, on_expire, on_drain, on_closed};

/* ---- all of it ---- */

void gy_line_follow(struct gy_line *line)
{
    gy_line_take_input(line);
    if (line->stream != NULL) {
        uint32_t before = line->stream->out.length;
        gy_chat_client_flush(&line->client, line->worker.now_ns);
        if (line->stream->out.length != before) {
            gy_stream_wake(line->stream);
        }
    }
    bool done = line->input.ended && line->was_in && gy_chat_client_waiting(&line->client) == 0;
    if (!done || line->leaving || line->leave_ms != 0 || line->options->count != 0 ||
        line->options->wait_ms == GY_LINE_FOREVER) {
        return;
    }
    line->leave_ms = line->worker.now_ms + line->options->wait_ms;
    arm(line);
}

static void on_timer(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_line *line =
        (struct gy_line *)(void *)((char *)timer - offsetof(struct gy_line, timer));
    if (line->leave_ms != 0 && now_ms >= line->leave_ms) {
        line->leave_ms = 0;
        line->redial_ms = 0;
        gy_line_leave(line);
    } else if (line->redial_ms != 0 && now_ms >= line->redial_ms) {
        line->redial_ms = 0;
        dial(line);
    }
    arm(line);
}

static int open_worker(struct gy_line *line, struct gy_error *error)
{
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = 64,
        .blocks_max = OUTPUT_BLOCKS,
        .pool = gy_pool_defaults(GY_RECEIVE_MULTISHOT, 0),
    };
    line->peers[0] = &line->worker;
    int code = gy_worker_open(&line->worker, &options, line->peers, error);
    if (code == GY_ENOTSUP) {
        options.pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0);
        code = gy_worker_open(&line->worker, &options, line->peers, error);
    }
    return code;
}

static int open_connector(struct gy_line *line, struct gy_error *error)
{
    const struct gy_line_options *options = line->options;
    int code = options->secure ? gy_tls_files_open(&line->tls, &options->tls, NULL, error) : 0;
    if (code != 0) {
        return code;
    }
    struct gy_connector_options connector = {
        .name = "chat",
        .ops = &stream_ops,
        .context = line,
        .session_bytes = sizeof(struct session),
        .resolver = line->resolver,
        .layer = options->secure ? &gy_tls_layer : NULL,
        .layer_context = options->secure ? line->tls : NULL,
    };
    code = gy_connector_open(&line->connector, &line->worker, &connector, error);
    line->connector_open = code == 0;
    return code;
}

static int open_client(struct gy_line *line, struct gy_error *error)
{
    const struct gy_line_options *options = line->options;
    uint64_t random[2] = {0};
    line->outbox = malloc(GY_LINE_OUTBOX);
    if (line->outbox == NULL || getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    const struct gy_chat_client_options client = {
        .nick = gy_chat_text_of(options->nick),
        .secret = gy_chat_text_of(options->password != NULL ? options->password : ""),
        .agent = gy_chat_text_of("gyre-chat/" GY_VERSION),
        .method = options->password != NULL                        ? GY_CHAT_PASSWORD
                  : options->secure && options->tls.pair_count > 0 ? GY_CHAT_CERTIFICATE
                                                                   : GY_CHAT_GUEST,
        .registers = options->registers,
        .first_client_id = random[0] | 1,
        .rooms = line->rooms,
        .rooms_max = GY_LINE_ROOMS_MAX,
        .outbox = line->outbox,
        .outbox_bytes = GY_LINE_OUTBOX,
        .token = line->token,
        .token_max = sizeof line->token,
        .window = 8,
    };
    gy_chat_client_env_init(&line->env, &line->worker.bump, &line->worker.links);
    gy_chat_client_init(&line->client, &line->env, &client);
    gy_backoff_init(&line->backoff, GY_LINE_BACKOFF_MIN, GY_LINE_BACKOFF_MAX, random[1] | 1);
    for (uint32_t i = 0; i < options->room_count; i++) {
        int place = gy_chat_client_join(&line->client, gy_chat_text_of(options->rooms[i]),
                                        GY_CHAT_SPILL, GY_CHAT_NONE, options->history);
        if (place < 0) {
            return gy_error_set(error, GY_EINVAL, "--room %s: a room's name has 1 to 64 bytes",
                                options->rooms[i]);
        }
    }
    return 0;
}

int gy_line_open(struct gy_line *line, const struct gy_line_options *options,
                 struct gy_error *error)
{
    memset(line, 0, sizeof *line);
    line->options = options;
    line->input.stop = -1;
    int code = open_worker(line, error);
    if (code != 0) {
        return code;
    }
    gy_timer_init(&line->timer, on_timer);
    code = gy_dns_resolver_open(&line->resolver, &line->worker, NULL, error);
    code = code == 0 ? gy_line_input_open(line, error) : code;
    code = code == 0 ? open_connector(line, error) : code;
    code = code == 0 ? open_client(line, error) : code;
    if (code != 0) {
        gy_line_close(line);
        return code;
    }
    dial(line);
    gy_line_take_input(line);
    return 0;
}

bool gy_line_turn(struct gy_line *line, uint32_t timeout_ms)
{
    if (!line->over && gy_worker_turn(&line->worker, timeout_ms * NANOSECONDS_PER_MS) != 0) {
        gy_line_fail(line, GY_EIO, "the ring broke");
        line->over = true;
    }
    return !line->over;
}

void gy_line_close(struct gy_line *line)
{
    line->over = true;
    gy_line_input_close(line);
    gy_timer_disarm(&line->worker.wheel, &line->timer);
    if (line->connector_open) {
        gy_dial_cancel(&line->dial);
        if (line->stream != NULL) {
            ((struct session *)line->stream->session)->line = NULL;
            gy_stream_abort(line->stream, GY_CLOSE_LOCAL);
        }
        gy_worker_finish(&line->worker);
        gy_connector_close(&line->connector);
    }
    if (line->resolver != NULL) {
        gy_dns_resolver_close(line->resolver);
    }
    gy_worker_close(&line->worker);
    gy_tls_config_close(line->tls);
    free(line->outbox);
}
