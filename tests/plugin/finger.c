/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A plug-in with more to it: finger (RFC 1288), which answers one line with what is known of the
 * user that it names, and closes. Without a name it lists them all.
 *
 *     load finger.so;
 *     finger {
 *         listen   :79;
 *         user     ada "Ada Lovelace\nplan: the engine";
 *         user     grace "Grace Hopper";
 *         patience 10s;   # how long a query may take
 *     }
 */

#include <gyre/core/bump.h>
#include <gyre/servers/plugin.h>
#include <string.h>
#include <time.h>

#define USERS_MAX   32
#define QUERY_BYTES 512 /* longest line; RFC 1288 §2.2 leaves it to us */

#ifndef FINGER_NOBODY
#define FINGER_NOBODY "nobody of that name is here"
#endif

struct finger_counts {
    _Atomic uint64_t found;
    _Atomic uint64_t unknown;
    _Atomic uint64_t refused;
    struct gy_histogram latency;
} GY_COUNTS;

struct finger {
    const char *names[USERS_MAX];
    const char *texts[USERS_MAX];
    uint32_t user_count;
    uint64_t patience_ms;
    const struct gy_server_setup *setup;
};

static const struct gy_server_kind finger_kind;

static struct finger_counts *counts_of(const struct gy_stream *stream)
{
    return stream->endpoint->state;
}

/* Lines end with CR LF on the wire. 0, or no memory just now: nothing was added. */
static int say(struct gy_stream *stream, const char *text)
{
    size_t length = strlen(text);
    uint8_t *room = gy_bump_reserve(&stream->worker->bump, (uint32_t)(2 * length + 2));
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    struct gy_writer writer = gy_writer_on(room, 2 * length + 2);
    for (size_t i = 0; i < length; i++) {
        gy_writer_text(&writer, text[i] == '\n' ? "\r" : "");
        gy_writer_u8(&writer, (uint8_t)text[i]);
    }
    gy_writer_text(&writer, "\r\n");
    uint32_t bytes = (uint32_t)gy_writer_length(&writer);
    return gy_chain_append(&stream->out, gy_bump_slice(&stream->worker->bump, bytes));
}

static int answer(struct gy_stream *stream, const char *name)
{
    const struct finger *finger = stream->endpoint->context;
    uint32_t found = 0;
    for (uint32_t i = 0; i < finger->user_count; i++) {
        if (name[0] == '\0' || strcmp(finger->names[i], name) == 0) {
            int code = say(stream, name[0] == '\0' ? finger->names[i] : finger->texts[i]);
            if (code != 0) {
                return code;
            }
            found++;
        }
    }
    gy_count(found > 0 ? &counts_of(stream)->found : &counts_of(stream)->unknown, 1);
    return found > 0 ? 0 : say(stream, FINGER_NOBODY);
}

static uint32_t finger_open(struct gy_stream *stream)
{
    const struct finger *finger = stream->endpoint->context;
    gy_stream_set_deadline(stream, stream->worker->now_ms + finger->patience_ms);
    return GY_WANT_READ;
}

static uint32_t refuse(struct gy_stream *stream)
{
    gy_count(&counts_of(stream)->refused, 1);
    gy_chain_clear(&stream->in);
    return GY_WANT_CLOSE | GY_WANT_LINGER;
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t finger_turn(struct gy_stream *stream)
{
    char line[QUERY_BYTES + 1];
    uint32_t length = stream->in.length < QUERY_BYTES ? stream->in.length : QUERY_BYTES;
    gy_chain_copy(&stream->in, 0, length, line);
    line[length] = '\0';
    char *end = memchr(line, '\n', length);
    if (end == NULL) {
        if (length == QUERY_BYTES) {
            return refuse(stream);
        }
        return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
    }
    *end = '\0';
    line[strcspn(line, "\r")] = '\0';
    const char *name = strncmp(line, "/W", 2) == 0 ? line + 2 : line; /* §2.5.4: whois-style */
    name += strspn(name, " ");
    if (strchr(name, '@') != NULL) {
        return refuse(stream); /* §3.2.1: no forwarding */
    }
    if (answer(stream, name) != 0) {
        gy_chain_clear(&stream->out);
        return GY_WANT_RETRY;
    }
    gy_histogram_add(&counts_of(stream)->latency, clock_ns() - stream->worker->now_ns, 1);
    gy_chain_clear(&stream->in);
    return GY_WANT_CLOSE | GY_WANT_LINGER;
}

static uint32_t finger_end(struct gy_stream *stream)
{
    gy_chain_clear(&stream->in);
    return GY_WANT_CLOSE;
}

static void finger_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    (void)stream;
    (void)reason;
}

static const struct gy_stream_ops finger_ops = {
    .open = finger_open,
    .turn = finger_turn,
    .expire = finger_end,
    .drain = finger_end,
    .closed = finger_closed,
};

/* ---- configuration ---- */

static int take_user(void *server, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct finger *finger = server;
    if (finger->user_count == USERS_MAX) {
        return gy_config_error(directive, error, "at most %d users", USERS_MAX);
    }
    finger->names[finger->user_count] = directive->values[0];
    finger->texts[finger->user_count++] = directive->values[1];
    return 0;
}

static int take_patience(void *server, const struct gy_config_directive *directive,
                         struct gy_error *error)
{
    struct finger *finger = server;
    return gy_config_time(directive, 0, 3600000, &finger->patience_ms, error);
}

static const struct gy_config_key finger_keys[] = {
    {"user", 2, 2, GY_CONFIG_PLAIN, false, take_user, "NAME TEXT"},
    {"patience", 1, 1, GY_CONFIG_PLAIN, true, take_patience, "TIME"},
};

static int finger_begin(void *server, void *owner)
{
    struct finger *finger = server;
    (void)owner;
    finger->patience_ms = 10000;
    return 0;
}

static int finger_prepare(void *server, const struct gy_server_setup *setup, struct gy_error *error)
{
    struct finger *finger = server;
    finger->setup = setup;
    if (finger->user_count == 0) {
        return gy_error_set(error, GY_EINVAL,
                            "it knows nobody; write user NAME TEXT; in its block");
    }
    return 0;
}

static int finger_worker_open(struct gy_worker *worker, const struct gy_server *core, void **state,
                              struct gy_error *error)
{
    const struct finger *finger = core->context;
    (void)error;
    *state = gy_server_counts(finger->setup, &finger_kind, worker->options.number);
    return 0;
}

/* ---- metrics ---- */

#define QUERIES "Queries by what became of them."

static const struct gy_metric_description finger_rows[] = {
    {"finger_queries", "result=\"found\"", QUERIES, GY_METRIC_COUNTER,
     offsetof(struct finger_counts, found)},
    {"finger_queries", "result=\"unknown\"", QUERIES, GY_METRIC_COUNTER,
     offsetof(struct finger_counts, unknown)},
    {"finger_queries", "result=\"refused\"", QUERIES, GY_METRIC_COUNTER,
     offsetof(struct finger_counts, refused)},
};

static const struct gy_server_metrics finger_metrics = {
    .rows = finger_rows,
    .row_count = sizeof finger_rows / sizeof finger_rows[0],
    .counts_bytes = sizeof(struct finger_counts),
    .latency_name = "finger_query_seconds",
    .latency_help = "From the turn that read a query to its answer.",
    .latency_offset = offsetof(struct finger_counts, latency),
};

static const struct gy_server_kind finger_kind = {
    .name = "finger",
    .server_bytes = sizeof(struct finger),
    .keys = finger_keys,
    .key_count = sizeof finger_keys / sizeof finger_keys[0],
    .begin = finger_begin,
    .open = finger_prepare,
    .ops = &finger_ops,
    .session_bytes = 1,
    .worker_open = finger_worker_open,
    .metrics = &finger_metrics,
};

GY_PLUGIN(&finger_kind);
