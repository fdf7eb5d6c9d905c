/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The client's connection: its turn, its deadlines, its ends; what callers ask of a call. */

#include "protocols/http/h1_client.h"

#include "protocols/http/h1_client_internal.h"

void gy_h1_client_env_init(struct gy_h1_client_env *env, struct gy_bump *bump,
                           void (*wake)(struct gy_h1_client *client))
{
    gy_assert(bump != NULL && wake != NULL);
    *env = (struct gy_h1_client_env){
        .bump = bump,
        .wake = wake,
        .limits =
            {
                .line_bytes = 8192,
                .head_bytes = GY_H1_HEAD_MAX,
                .fields = GY_HTTP_FIELDS_MAX,
                .trailer_bytes = 4096,
                .chunk_extension_bytes = 256,
                .body_bytes = UINT64_MAX,
                .output_high = 65536,
                .header_timeout_ms = 30000,
                .body_timeout_ms = 30000,
                .body_progress_bytes = 256,
            },
        .pipeline = 1,
        .informational = 16,
        .parser = gy_h1_parser_nth(0),
    };
}

void gy_h1_client_init(struct gy_h1_client *client, struct gy_h1_client_env *env,
                       struct gy_chain *out, void *owner, uint64_t now_ns)
{
    gy_assert(env->limits.head_bytes <= GY_H1_HEAD_MAX && env->limits.head_bytes > 0);
    gy_assert(env->limits.line_bytes > 0 && env->limits.trailer_bytes <= GY_H1_HEAD_MAX);
    gy_assert(env->limits.fields <= GY_HTTP_FIELDS_MAX && env->pipeline > 0);
    *client = (struct gy_h1_client){.env = env, .out = out, .owner = owner, .since_ns = now_ns};
    env->counters.connections++;
}

/* ---- ends ------------------------------------------------------------------------------------ */

/* Takes the first call out and tells its owner, who may send the next one from there. */
static void end_first(struct gy_h1_client *client, int reason)
{
    struct gy_h1_call *call = client->first;
    gy_assert(call != NULL && call->client == client && client->unanswered > 0);
    client->first = call->next;
    client->last = call->next == NULL ? NULL : client->last;
    client->unanswered--;
    client->informed = 0;
    client->env->counters.failed += reason != 0;
    struct gy_buffer *head = call->head_buffer;
    struct gy_buffer *trailers = call->trailers.buffer;
    call->client = NULL;
    call->next = NULL;
    call->ops->closed(call, (call->flags & GY_H1_CALL_CANCELLED) != 0 ? call->reason : reason);
    if (head != NULL) {
        gy_buffer_drop(head);
    }
    if (trailers != NULL) {
        gy_buffer_drop(trailers);
    }
}

void gy_h1_client_finish(struct gy_h1_client *client, uint64_t now_ns)
{
    struct gy_h1_call *call = client->first;
    if ((call->flags & GY_H1_CALL_SENDING) != 0) {
        /* Answered before all was sent: what would follow in our direction is not a request. */
        client->flags |= GY_H1_CLIENT_LAST;
        call->flags &= (uint16_t)~GY_H1_CALL_SENDING;
    }
    client->flags &= (uint16_t)~GY_H1_CLIENT_BEGUN;
    client->phase = GY_H1_CLIENT_HEAD;
    client->since_ns = now_ns;
    if ((client->flags & GY_H1_CLIENT_LAST) != 0) {
        client->phase = GY_H1_CLIENT_CLOSING;
        end_first(client, 0);
        gy_h1_client_fail(client, GY_ECLOSED);
        return;
    }
    end_first(client, 0);
}

void gy_h1_client_fail(struct gy_h1_client *client, int reason)
{
    client->flags |= GY_H1_CLIENT_LAST;
    if (client->phase != GY_H1_CLIENT_CLOSED) {
        client->phase = GY_H1_CLIENT_CLOSING;
    }
    while (client->first != NULL) {
        end_first(client, reason);
        reason = GY_ECLOSED;
    }
}

void gy_h1_client_broken(struct gy_h1_client *client, int breach)
{
    gy_assert(breach > 0 && breach < GY_H1_BREACH_END);
    bool limit = breach == GY_H1_REFUSED_HEAD_LIMIT || breach == GY_H1_REFUSED_FIELD_LIMIT ||
                 breach == GY_H1_REFUSED_TRAILER_LIMIT || breach == GY_H1_REFUSED_BODY_LIMIT ||
                 breach == GY_H1_BREACH_STATUS_LINE_LIMIT ||
                 breach == GY_H1_BREACH_INFORMATIONAL_LIMIT;
    client->breach = (uint16_t)breach;
    gy_h1_client_fail(client, limit ? GY_ELIMIT : GY_EPROTO);
}

const char *gy_h1_client_breach(const struct gy_h1_client *client)
{
    static const char *const sentences[] = {"",
#define GY_H1_BREACH_SENTENCE(name, sentence) sentence,
                                            GY_H1_BREACHES(GY_H1_BREACH_SENTENCE)
#undef GY_H1_BREACH_SENTENCE
    };
    if (client->breach < GY_H1_REFUSAL_COUNT) {
        return gy_h1_refusal_text((enum gy_h1_refusal)client->breach);
    }
    return sentences[client->breach - GY_H1_BREACH_FIRST];
}

void gy_h1_client_close(struct gy_h1_client *client, int reason)
{
    gy_assert((client->flags & GY_H1_CLIENT_IN_TURN) == 0);
    client->flags |= GY_H1_CLIENT_IN_TURN;
    client->phase = GY_H1_CLIENT_CLOSED;
    gy_h1_client_fail(client, reason != 0 ? reason : GY_ECLOSED);
    client->flags &= (uint16_t)~GY_H1_CLIENT_IN_TURN;
}

/* ---- the turn -------------------------------------------------------------------------------- */

/* The connection has ended, and all that came was read. */
static void ended(struct gy_h1_client *client)
{
    if (client->phase == GY_H1_CLIENT_BODY) {
        client->breach = GY_H1_BREACH_TRUNCATED_BODY;
        gy_h1_client_fail(client, GY_ECLOSED);
    } else if ((client->flags & GY_H1_CLIENT_BEGUN) != 0) {
        client->breach = GY_H1_BREACH_TRUNCATED_HEAD;
        gy_h1_client_fail(client, GY_ECLOSED);
    } else {
        gy_h1_client_fail(client, GY_ECLOSED);
    }
}

static bool step(struct gy_h1_client *client, struct gy_chain *in, uint64_t now_ns)
{
    switch ((enum gy_h1_client_phase)client->phase) {
    case GY_H1_CLIENT_HEAD:
        return gy_h1_client_head_step(client, in, now_ns);
    case GY_H1_CLIENT_BODY:
        return gy_h1_client_body_step(client, in, now_ns);
    case GY_H1_CLIENT_TUNNEL:
        return gy_h1_client_tunnel_step(client, in, now_ns);
    case GY_H1_CLIENT_CLOSING:
    case GY_H1_CLIENT_CLOSED:
        break;
    }
    gy_chain_clear(in);
    return false;
}

static bool cancelled(struct gy_h1_client *client)
{
    for (struct gy_h1_call *call = client->first; call != NULL; call = call->next) {
        if ((call->flags & GY_H1_CALL_CANCELLED) != 0) {
            client->phase = GY_H1_CLIENT_CLOSING;
            gy_h1_client_fail(client, GY_ECLOSED);
            return true;
        }
    }
    return false;
}

/* A head that outlives the turn leaves the receive buffer. */
static void keep_head(struct gy_h1_client *client)
{
    struct gy_h1_call *call = client->first;
    if (call == NULL || (call->flags & GY_H1_CALL_BORROWED) == 0) {
        return;
    }
    uint8_t *room = gy_bump_reserve(client->env->bump, call->head_bytes);
    if (room == NULL) {
        client->flags |= GY_H1_CLIENT_STARVED;
        return;
    }
    memcpy(room, call->head_data, call->head_bytes);
    struct gy_slice slice = gy_bump_slice(client->env->bump, call->head_bytes);
    gy_buffer_drop(call->head_buffer);
    call->head_buffer = slice.buffer;
    call->head_data = gy_slice_data(slice);
    call->flags &= (uint16_t)~GY_H1_CALL_BORROWED;
    client->env->counters.copied_bytes += call->head_bytes;
}

uint32_t gy_h1_client_turn(struct gy_h1_client *client, struct gy_chain *in, bool eof,
                           uint64_t now_ns)
{
    gy_assert((client->flags & GY_H1_CLIENT_IN_TURN) == 0);
    gy_assert(in != client->out && in->links == client->out->links);
    client->flags &= (uint16_t) ~(GY_H1_CLIENT_STARVED | GY_H1_CLIENT_BLOCKED);
    client->flags |= (uint16_t)(GY_H1_CLIENT_IN_TURN | (eof ? GY_H1_CLIENT_EOF : 0));
    bool again = true;
    while (again) {
        again = cancelled(client) || step(client, in, now_ns);
        again = gy_h1_client_push_step(client) || again;
    }
    bool reads = client->first == NULL || (client->first->flags & GY_H1_CALL_PAUSED) == 0;
    if ((client->flags & (GY_H1_CLIENT_EOF | GY_H1_CLIENT_STARVED)) == GY_H1_CLIENT_EOF && reads &&
        client->phase < GY_H1_CLIENT_TUNNEL) {
        ended(client);
        gy_chain_clear(in);
    }
    keep_head(client);
    client->env->counters.starved += (client->flags & GY_H1_CLIENT_STARVED) != 0;
    client->flags &= (uint16_t)~GY_H1_CLIENT_IN_TURN;
    return gy_h1_client_wants(client);
}

uint32_t gy_h1_client_wants(const struct gy_h1_client *client)
{
    if (client->phase >= GY_H1_CLIENT_CLOSING) {
        return GY_H1_CLOSE;
    }
    const struct gy_h1_call *first = client->first;
    uint32_t wants = 0;
    bool paused = first != NULL && (first->flags & GY_H1_CALL_PAUSED) != 0;
    if ((client->flags & (GY_H1_CLIENT_EOF | GY_H1_CLIENT_STARVED)) == 0 && !paused) {
        wants |= GY_H1_READ;
    }
    wants |= (client->flags & GY_H1_CLIENT_BLOCKED) != 0 ? GY_H1_ROOM : 0;
    wants |= (client->flags & GY_H1_CLIENT_STARVED) != 0 ? GY_H1_RETRY : 0;
    if (first == NULL) {
        wants |= GY_H1_IDLE;
    } else if ((first->flags & GY_H1_CALL_OUT_ENDED) != 0) {
        wants |= GY_H1_SHUTDOWN;
    }
    return wants;
}

/* ---- deadlines ------------------------------------------------------------------------------- */

uint64_t gy_h1_client_deadline(const struct gy_h1_client *client)
{
    const struct gy_h1_call *first = client->first;
    const struct gy_h1_limits *limits = &client->env->limits;
    /* While our own bytes are not out, it is not the server that is waited for. */
    if (first == NULL || (first->flags & (GY_H1_CALL_SENDING | GY_H1_CALL_PAUSED)) != 0) {
        return GY_H1_NO_DEADLINE;
    }
    if (client->phase == GY_H1_CLIENT_HEAD && limits->header_timeout_ms != 0) {
        return client->since_ns + (uint64_t)limits->header_timeout_ms * 1000000;
    }
    if (client->phase == GY_H1_CLIENT_BODY && limits->body_timeout_ms != 0) {
        return client->since_ns + (uint64_t)limits->body_timeout_ms * 1000000;
    }
    return GY_H1_NO_DEADLINE;
}

void gy_h1_client_expire(struct gy_h1_client *client, uint64_t now_ns)
{
    gy_assert((client->flags & GY_H1_CLIENT_IN_TURN) == 0);
    if (now_ns < gy_h1_client_deadline(client)) {
        return;
    }
    client->flags |= GY_H1_CLIENT_IN_TURN;
    gy_h1_client_fail(client, GY_ETIMEOUT);
    client->flags &= (uint16_t)~GY_H1_CLIENT_IN_TURN;
}

/* ---- of a call ------------------------------------------------------------------------------- */

struct gy_http_text gy_h1_call_field_name(const struct gy_h1_call *call, uint32_t index)
{
    gy_assert(index < call->field_count);
    return gy_http_span_text(call->head_data, call->fields[index].name);
}

struct gy_http_text gy_h1_call_field_value(const struct gy_h1_call *call, uint32_t index)
{
    gy_assert(index < call->field_count);
    return gy_http_span_text(call->head_data, call->fields[index].value);
}

struct gy_http_text gy_h1_call_field_find(const struct gy_h1_call *call, const char *name,
                                          uint32_t *from)
{
    struct gy_http_text wanted = gy_http_text_of(name);
    for (uint32_t i = from == NULL ? 0 : *from; i < call->field_count; i++) {
        if (gy_http_text_equal_nocase(gy_h1_call_field_name(call, i), wanted)) {
            if (from != NULL) {
                *from = i + 1;
            }
            return gy_h1_call_field_value(call, i);
        }
    }
    if (from != NULL) {
        *from = call->field_count;
    }
    return (struct gy_http_text){NULL, 0};
}

static const struct gy_http_field *trailer(const struct gy_h1_call *call, uint32_t index)
{
    gy_assert(index < call->trailer_count && call->trailers.buffer != NULL);
    gy_assert(call->field_count + index < GY_HTTP_FIELDS_MAX);
    return &call->fields[call->field_count + index];
}

struct gy_http_text gy_h1_call_trailer_name(const struct gy_h1_call *call, uint32_t index)
{
    return gy_http_span_text(gy_slice_data(call->trailers), trailer(call, index)->name);
}

struct gy_http_text gy_h1_call_trailer_value(const struct gy_h1_call *call, uint32_t index)
{
    return gy_http_span_text(gy_slice_data(call->trailers), trailer(call, index)->value);
}

bool gy_h1_call_unanswered(const struct gy_h1_call *call)
{
    return (call->flags & GY_H1_CALL_BEGUN) == 0;
}

bool gy_h1_call_is_tunnel(const struct gy_h1_call *call)
{
    return (call->flags & GY_H1_CALL_TUNNEL) != 0;
}

static void wake(struct gy_h1_call *call)
{
    if (call->client != NULL && (call->client->flags & GY_H1_CLIENT_IN_TURN) == 0) {
        call->client->env->wake(call->client);
    }
}

void gy_h1_call_pause(struct gy_h1_call *call, bool paused)
{
    if (paused) {
        call->flags |= GY_H1_CALL_PAUSED;
    } else {
        call->flags &= (uint16_t)~GY_H1_CALL_PAUSED;
        wake(call);
    }
}

void gy_h1_call_wake(struct gy_h1_call *call)
{
    call->flags &= (uint16_t)~GY_H1_CALL_WAITING;
    wake(call);
}

void gy_h1_call_cancel(struct gy_h1_call *call, int reason)
{
    if (call->client == NULL || (call->flags & GY_H1_CALL_CANCELLED) != 0) {
        return;
    }
    gy_assert(reason < 0);
    call->flags |= GY_H1_CALL_CANCELLED;
    call->reason = reason;
    wake(call);
}
