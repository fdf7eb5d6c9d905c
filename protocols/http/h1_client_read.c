/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Responses: their heads, their bodies (RFC 9112 §6.3), tunnels' inward side. */

#include "protocols/http/h1_client_internal.h"

/* ---- heads ----------------------------------------------------------------------------------- */

static int parse(const struct gy_h1_reading *reading, const uint8_t *data, uint32_t length,
                 struct gy_h1_found *found)
{
    struct gy_h1_answer *answer = found->target;
    int result = reading->parser->response(reading->limits, data, length, answer);
    found->bytes = answer->head.bytes;
    return result;
}

/* A refusal, or 0: what Transfer-Encoding may be. */
static int framing_check(const struct gy_h1_answer *answer)
{
    uint32_t flags = answer->head.flags;
    if ((flags & GY_H1_HEAD_CODING) == 0) {
        return 0;
    }
    if ((flags & GY_H1_HEAD_LENGTH) != 0) {
        return GY_H1_REFUSED_LENGTH_AND_CODING;
    }
    if (answer->head.minor == 0) {
        return GY_H1_REFUSED_CODING_VERSION;
    }
    if ((flags & GY_H1_HEAD_OTHER_CODING) != 0) {
        return GY_H1_REFUSED_CODING_UNKNOWN;
    }
    if ((flags & GY_H1_HEAD_CHUNKED) == 0 || (flags & GY_H1_HEAD_CHUNKED_EARLY) != 0) {
        return GY_H1_REFUSED_CODING_FINAL;
    }
    return 0;
}

static bool persists(const struct gy_h1_answer *answer)
{
    uint32_t flags = answer->head.flags & (GY_H1_HEAD_CLOSE | GY_H1_HEAD_KEEP_ALIVE);
    return answer->head.minor == 1 ? (flags & GY_H1_HEAD_CLOSE) == 0
                                   : flags == GY_H1_HEAD_KEEP_ALIVE;
}

/* Which kind of body follows a final response. 0 or a refusal. */
static int body_begin(struct gy_h1_client *client, const struct gy_h1_answer *answer)
{
    struct gy_h1_call *call = client->first;
    const struct gy_h1_limits *limits = &client->env->limits;
    uint32_t flags = answer->head.flags;
    client->body = (struct gy_h1_body){.state = GY_H1_BODY_DONE};
    call->content_length = 0;
    if (call->method == GY_HTTP_HEAD || answer->status == 204 || answer->status == 304) {
        return 0;
    }
    if ((flags & GY_H1_HEAD_CHUNKED) != 0) {
        gy_h1_body_chunked(&client->body, limits->body_bytes, limits->chunk_extension_bytes);
        call->content_length = GY_HTTP_UNKNOWN;
    } else if ((flags & GY_H1_HEAD_LENGTH) != 0) {
        call->content_length = answer->content_length;
        client->body.left = answer->content_length;
        client->body.state = answer->content_length > 0 ? GY_H1_BODY_LENGTH : GY_H1_BODY_DONE;
        return answer->content_length > limits->body_bytes ? GY_H1_REFUSED_BODY_LIMIT : 0;
    } else {
        client->body.state = GY_H1_BODY_CLOSE;
        client->body.left = limits->body_bytes;
        call->content_length = GY_HTTP_UNKNOWN;
        client->flags |= GY_H1_CLIENT_LAST;
    }
    return 0;
}

static void head_hold(struct gy_h1_call *call, const struct gy_h1_answer *answer,
                      const struct gy_h1_found *found)
{
    call->head_buffer = found->slice.buffer;
    call->head_data = gy_slice_data(found->slice);
    call->head_bytes = found->slice.length;
    call->status = answer->status;
    call->phrase = answer->phrase;
    call->minor = answer->head.minor;
    call->field_count = answer->field_count;
    if (!found->joined) {
        call->flags |= GY_H1_CALL_BORROWED;
    }
}

static void head_drop(struct gy_h1_call *call)
{
    gy_buffer_drop(call->head_buffer);
    call->head_buffer = NULL;
    call->field_count = 0;
    call->flags &= (uint16_t)~GY_H1_CALL_BORROWED;
}

/* 101 to 199, and 100. 0 or a breach. */
static int informational(struct gy_h1_client *client)
{
    struct gy_h1_call *call = client->first;
    if (++client->informed > client->env->informational) {
        return GY_H1_BREACH_INFORMATIONAL_LIMIT;
    }
    client->env->counters.responses[1]++;
    if (call->ops->informed != NULL) {
        call->ops->informed(call);
    }
    head_drop(call);
    return 0;
}

static void tunnel_begin(struct gy_h1_client *client)
{
    struct gy_h1_call *call = client->first;
    client->phase = GY_H1_CLIENT_TUNNEL;
    client->flags |= GY_H1_CLIENT_LAST;
    call->flags |= GY_H1_CALL_TUNNEL;
    call->flags &= (uint16_t)~GY_H1_CALL_WAITING;
    call->content_length = GY_HTTP_UNKNOWN;
    if (call->ops->response != NULL) {
        call->ops->response(call);
    }
}

/* A head is there. 0 or a breach. */
static int answered(struct gy_h1_client *client, const struct gy_h1_answer *answer, uint64_t now_ns)
{
    struct gy_h1_call *call = client->first;
    bool switches = answer->status == 101;
    if (switches && (call->flags & GY_H1_CALL_UPGRADE) == 0) {
        return GY_H1_BREACH_SWITCHED;
    }
    if (answer->status < 200 && !switches) {
        return informational(client);
    }
    client->env->counters.responses[answer->status / 100]++;
    if (switches || (call->method == GY_HTTP_CONNECT && answer->status < 300)) {
        tunnel_begin(client);
        return 0;
    }
    int refusal = framing_check(answer);
    if (refusal != 0) {
        return refusal;
    }
    if (!persists(answer)) {
        client->flags |= GY_H1_CLIENT_LAST;
    }
    refusal = body_begin(client, answer);
    if (refusal != 0) {
        return refusal;
    }
    client->phase = GY_H1_CLIENT_BODY;
    client->since_ns = now_ns;
    client->progress = 0;
    if (call->ops->response != NULL) {
        call->ops->response(call);
    }
    return 0;
}

bool gy_h1_client_head_step(struct gy_h1_client *client, struct gy_chain *in, uint64_t now_ns)
{
    struct gy_h1_call *call = client->first;
    if (in->length == 0) {
        return false;
    }
    if (call == NULL) {
        gy_h1_client_broken(client, GY_H1_BREACH_UNASKED);
        return true;
    }
    if ((call->flags & GY_H1_CALL_PAUSED) != 0) {
        return false;
    }
    client->flags |= GY_H1_CLIENT_BEGUN;
    call->flags |= GY_H1_CALL_BEGUN;
    struct gy_h1_client_env *env = client->env;
    struct gy_h1_reading reading = {env->parser, &env->limits, env->bump};
    struct gy_h1_answer answer = {.fields = call->fields};
    struct gy_h1_found found = {.parse = parse, .target = &answer};
    int result = gy_h1_head_read(&reading, in, &client->scan, &found);
    if (result == GY_H1_INCOMPLETE) {
        return false;
    }
    if (result == GY_ENOBUFS) {
        client->flags |= GY_H1_CLIENT_STARVED;
        return false;
    }
    if (result == GY_H1_PARSED) {
        env->counters.copied_bytes += found.joined ? found.bytes : 0;
        head_hold(call, &answer, &found);
        result = answered(client, &answer, now_ns);
    }
    if (result != 0) {
        gy_h1_client_broken(client, result);
    }
    return true;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static void deliver(struct gy_h1_client *client, struct gy_chain *bytes, bool end, uint64_t now_ns)
{
    struct gy_h1_call *call = client->first;
    client->env->counters.body_bytes_in += bytes->length;
    client->progress += bytes->length;
    if (client->progress >= client->env->limits.body_progress_bytes) {
        client->progress = 0;
        client->since_ns = now_ns;
    }
    if (call->ops->body != NULL && (call->flags & GY_H1_CALL_CANCELLED) == 0) {
        call->ops->body(call, bytes, end);
    }
    gy_chain_clear(bytes);
}

/* Up to body.left bytes to the call. False when a link was missing and nothing moved. */
static bool take(struct gy_h1_client *client, struct gy_chain *in, struct gy_chain *bytes)
{
    uint32_t before = bytes->length;
    uint64_t wanted = client->body.left < in->length ? client->body.left : in->length;
    if (gy_chain_move(in, bytes, (uint32_t)wanted) != 0) {
        client->flags |= GY_H1_CLIENT_STARVED;
    }
    client->body.left -= bytes->length - before;
    return bytes->length > before;
}

static bool plain_step(struct gy_h1_client *client, struct gy_chain *in, uint64_t now_ns)
{
    struct gy_chain bytes;
    gy_chain_init(&bytes, in->links);
    bool close = client->body.state == GY_H1_BODY_CLOSE;
    if (close && client->body.left == 0 && in->length > 0) {
        gy_h1_client_broken(client, GY_H1_REFUSED_BODY_LIMIT);
        return true;
    }
    bool moved = take(client, in, &bytes);
    bool end =
        close ? in->length == 0 && (client->flags & GY_H1_CLIENT_EOF) != 0 : client->body.left == 0;
    if (!moved && !end) {
        return false;
    }
    if (end) {
        client->body.state = GY_H1_BODY_DONE;
    }
    deliver(client, &bytes, end, now_ns);
    return true;
}

/* 0 or a refusal; the state tells how far it came. `hungry` when it needs more. */
static int trailers_step(struct gy_h1_client *client, struct gy_chain *in, bool *hungry)
{
    struct gy_h1_client_env *env = client->env;
    struct gy_h1_call *call = client->first;
    struct gy_h1_reading reading = {env->parser, &env->limits, env->bump};
    struct gy_h1_trailers trailers = {
        .fields = call->fields + call->field_count,
        .room = env->limits.fields - call->field_count,
    };
    int result = gy_h1_trailers_read(&reading, in, &client->scan, &trailers);
    if (result == GY_H1_INCOMPLETE || result == GY_ENOBUFS) {
        client->flags |= result == GY_ENOBUFS ? GY_H1_CLIENT_STARVED : 0;
        *hungry = true;
        return 0;
    }
    if (result != GY_H1_PARSED) {
        return result;
    }
    client->body.state = GY_H1_BODY_DONE;
    call->trailer_count = (uint16_t)trailers.count;
    if (trailers.count > 0) {
        call->trailers = trailers.section;
        env->counters.copied_bytes += trailers.section.length;
    }
    return 0;
}

static bool chunked_step(struct gy_h1_client *client, struct gy_chain *in, uint64_t now_ns)
{
    struct gy_h1_call *call = client->first;
    struct gy_chain bytes;
    gy_chain_init(&bytes, in->links);
    int refusal = 0;
    bool progress = false;
    bool hungry = false;
    while (refusal == 0 && !hungry && in->length > 0 && client->body.state != GY_H1_BODY_DONE) {
        if (client->body.state == GY_H1_BODY_DATA) {
            hungry = !take(client, in, &bytes);
            if (client->body.left == 0) {
                client->body.state = GY_H1_BODY_DATA_CR;
            }
        } else if (client->body.state == GY_H1_BODY_TRAILERS) {
            refusal = trailers_step(client, in, &hungry);
        } else {
            uint32_t passed;
            refusal = gy_h1_body_frame(&client->body, in, &passed);
            if (client->body.state == GY_H1_BODY_TRAILERS) {
                client->scan = (struct gy_h1_scan){0, GY_H1_SCAN_START};
            }
        }
        progress = progress || !hungry;
    }
    bool end = refusal == 0 && client->body.state == GY_H1_BODY_DONE;
    bool trailers = end && call->trailer_count > 0 && call->ops->trailers != NULL;
    if (bytes.length > 0 || (end && !trailers)) {
        deliver(client, &bytes, end && !trailers, now_ns);
    }
    if (refusal != 0) {
        gy_h1_client_broken(client, refusal);
        return true;
    }
    if (trailers) {
        call->ops->trailers(call);
        deliver(client, &bytes, true, now_ns);
    }
    return progress;
}

bool gy_h1_client_body_step(struct gy_h1_client *client, struct gy_chain *in, uint64_t now_ns)
{
    if ((client->first->flags & GY_H1_CALL_PAUSED) != 0) {
        return false;
    }
    if (client->body.state == GY_H1_BODY_DONE) {
        gy_h1_client_finish(client, now_ns);
        return true;
    }
    return client->body.state == GY_H1_BODY_LENGTH || client->body.state == GY_H1_BODY_CLOSE
               ? plain_step(client, in, now_ns)
               : chunked_step(client, in, now_ns);
}

/* ---- tunnels --------------------------------------------------------------------------------- */

bool gy_h1_client_tunnel_step(struct gy_h1_client *client, struct gy_chain *in, uint64_t now_ns)
{
    struct gy_h1_call *call = client->first;
    const uint16_t ended = GY_H1_CALL_IN_ENDED | GY_H1_CALL_OUT_ENDED;
    if ((call->flags & ended) == ended) {
        gy_h1_client_finish(client, now_ns);
        return true;
    }
    if ((call->flags & (GY_H1_CALL_PAUSED | GY_H1_CALL_IN_ENDED)) != 0) {
        return false;
    }
    bool end = (client->flags & GY_H1_CLIENT_EOF) != 0;
    if (in->length == 0 && !end) {
        return false;
    }
    call->flags |= end ? GY_H1_CALL_IN_ENDED : 0;
    struct gy_chain bytes;
    gy_chain_init(&bytes, in->links);
    int moved = gy_chain_move(in, &bytes, in->length);
    gy_assert(moved == 0); /* whole slices need no link */
    deliver(client, &bytes, end, now_ns);
    return true;
}
