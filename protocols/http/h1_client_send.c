/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Requests: their heads, their bodies. */

#include "core/cursor.h"
#include "protocols/http/h1_client_internal.h"

/* Fields that frame a message or are about the connection: the transport's alone. */
static bool framing_field(struct gy_http_text name)
{
    static const char *const names[] = {
        "connection", "content-length",    "expect", "host", "keep-alive", "proxy-connection", "te",
        "trailer",    "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (gy_http_text_equal_nocase(name, gy_http_text_of(names[i]))) {
            return true;
        }
    }
    return false;
}

static bool target_valid(const struct gy_h1_request *request, enum gy_http_method method)
{
    struct gy_http_text target = request->target;
    if (method == GY_HTTP_CONNECT) {
        return gy_http_authority_valid(target, true);
    }
    if (target.length == 0 || !gy_http_all(target, GY_HTTP_CLASS_TARGET)) {
        return false;
    }
    return target.data[0] == '/' ||
           (target.length == 1 && target.data[0] == '*' && method == GY_HTTP_OPTIONS);
}

static bool request_valid(const struct gy_h1_request *request, enum gy_http_method method)
{
    if (request->method.length == 0 || !gy_http_all(request->method, GY_HTTP_CLASS_TOKEN) ||
        !target_valid(request, method) || !gy_http_authority_valid(request->authority, false)) {
        return false;
    }
    if (!gy_http_all(request->upgrade, GY_HTTP_CLASS_VALUE)) {
        return false;
    }
    bool body = request->kind != GY_HTTP_BODY_NONE;
    if (body && (method == GY_HTTP_CONNECT || method == GY_HTTP_TRACE)) {
        return false;
    }
    for (uint32_t i = 0; i < request->header_count; i++) {
        if (framing_field(request->headers[i].name)) {
            return false;
        }
    }
    return true;
}

static void body_drop(const struct gy_h1_request *request)
{
    if (request->kind == GY_HTTP_BODY_SLICE) {
        gy_slice_drop(request->body.slice);
    } else if (request->kind == GY_HTTP_BODY_CHAIN) {
        gy_chain_clear(request->body.chain);
    }
}

static uint64_t body_length(const struct gy_h1_request *request)
{
    switch ((enum gy_http_body)request->kind) {
    case GY_HTTP_BODY_TEXT:
        return request->body.text.length;
    case GY_HTTP_BODY_SLICE:
        return request->body.slice.length;
    case GY_HTTP_BODY_CHAIN:
        return request->body.chain->length;
    case GY_HTTP_BODY_PULL:
        return request->body.length;
    case GY_HTTP_BODY_NONE:
        break;
    }
    return 0;
}

static bool idempotent(enum gy_http_method method)
{
    return method == GY_HTTP_GET || method == GY_HTTP_HEAD || method == GY_HTTP_PUT ||
           method == GY_HTTP_DELETE || method == GY_HTTP_OPTIONS || method == GY_HTTP_TRACE;
}

bool gy_h1_client_ready(const struct gy_h1_client *client, enum gy_http_method method, bool pulled)
{
    if (client->phase >= GY_H1_CLIENT_TUNNEL ||
        (client->flags & (GY_H1_CLIENT_LAST | GY_H1_CLIENT_EOF)) != 0) {
        return false;
    }
    if (client->first == NULL) {
        return true;
    }
    if (pulled || !idempotent(method) || client->unanswered >= client->env->pipeline) {
        return false;
    }
    for (const struct gy_h1_call *call = client->first; call != NULL; call = call->next) {
        if ((call->flags & GY_H1_CALL_IDEMPOTENT) == 0 ||
            (call->flags & (GY_H1_CALL_SENDING | GY_H1_CALL_UPGRADE)) != 0) {
            return false;
        }
    }
    return true;
}

/* What the head takes at most, without counting past what a block holds. */
static size_t head_bytes(const struct gy_h1_request *request)
{
    size_t bytes = 128;
    const struct gy_http_text texts[] = {request->method, request->target, request->authority,
                                         request->upgrade};
    for (size_t i = 0; i < 4; i++) {
        if (texts[i].length > GY_BUMP_BLOCK_BYTES) {
            return SIZE_MAX;
        }
        bytes += texts[i].length;
    }
    for (uint32_t i = 0; i < request->header_count && bytes <= GY_BUMP_BLOCK_BYTES; i++) {
        if (request->headers[i].name.length > GY_BUMP_BLOCK_BYTES ||
            request->headers[i].value.length > GY_BUMP_BLOCK_BYTES) {
            return SIZE_MAX;
        }
        bytes += request->headers[i].name.length + request->headers[i].value.length + 4;
    }
    return bytes;
}

static void put_text(struct gy_writer *head, struct gy_http_text text)
{
    gy_writer_bytes(head, text.data, text.length);
}

static void put_framing(struct gy_writer *head, const struct gy_h1_request *request,
                        enum gy_http_method method, uint64_t length)
{
    bool expects_body = method == GY_HTTP_POST || method == GY_HTTP_PUT || method == GY_HTTP_PATCH;
    if (length == GY_HTTP_UNKNOWN) {
        gy_writer_text(head, "Transfer-Encoding: chunked\r\n");
    } else if (request->kind != GY_HTTP_BODY_NONE || expects_body) {
        gy_writer_text(head, "Content-Length: ");
        gy_writer_decimal(head, length);
        gy_writer_text(head, "\r\n");
    }
    if (request->upgrade.length > 0) {
        gy_writer_text(head, "Connection: upgrade\r\nUpgrade: ");
        put_text(head, request->upgrade);
        gy_writer_text(head, "\r\n");
    }
    if (request->close) {
        gy_writer_text(head, "Connection: close\r\n");
    }
    gy_writer_text(head, "\r\n");
}

static int put_head(struct gy_h1_client *client, const struct gy_h1_request *request,
                    enum gy_http_method method, uint64_t length)
{
    struct gy_h1_client_env *env = client->env;
    size_t most = head_bytes(request);
    if (most > GY_BUMP_BLOCK_BYTES) {
        return GY_ELIMIT;
    }
    uint8_t *room = gy_bump_reserve(env->bump, (uint32_t)most);
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    struct gy_writer head = gy_writer_on(room, most);
    put_text(&head, request->method);
    gy_writer_text(&head, " ");
    put_text(&head, request->target);
    gy_writer_text(&head, " HTTP/1.1\r\nHost: ");
    put_text(&head, request->authority);
    gy_writer_text(&head, "\r\n");
    gy_assert(!head.failed);
    uint8_t *end = env->parser->put_headers(head.at, request->headers, request->header_count);
    if (end == NULL) {
        return GY_EINVAL;
    }
    head.at = end;
    put_framing(&head, request, method, length);
    gy_assert(!head.failed);
    return gy_bump_commit(env->bump, client->out, (uint32_t)gy_writer_length(&head));
}

/* A body that is there: behind the head. 0, or GY_ENOBUFS. */
static int put_body(struct gy_h1_client *client, const struct gy_h1_request *request)
{
    if (request->kind == GY_HTTP_BODY_SLICE) {
        int error = gy_chain_append(client->out, request->body.slice);
        if (error != 0) {
            gy_slice_drop(request->body.slice);
        }
        return error;
    }
    if (request->kind == GY_HTTP_BODY_CHAIN) {
        int error = gy_chain_move(request->body.chain, client->out, request->body.chain->length);
        gy_chain_clear(request->body.chain);
        return error;
    }
    size_t left = request->kind == GY_HTTP_BODY_TEXT ? request->body.text.length : 0;
    const char *data = request->body.text.data;
    while (left > 0) {
        uint32_t piece = left < GY_BUMP_BLOCK_BYTES ? (uint32_t)left : GY_BUMP_BLOCK_BYTES;
        if (gy_bump_copy(client->env->bump, client->out, data, piece) != 0) {
            return GY_ENOBUFS;
        }
        client->env->counters.copied_bytes += piece;
        data += piece;
        left -= piece;
    }
    return 0;
}

static void queue(struct gy_h1_client *client, struct gy_h1_call *call, uint64_t now_ns)
{
    if (client->first == NULL) {
        client->first = call;
        client->since_ns = now_ns;
    } else {
        client->last->next = call;
    }
    client->last = call;
    client->unanswered++;
    client->env->counters.requests++;
}

int gy_h1_client_send(struct gy_h1_client *client, struct gy_h1_call *call,
                      const struct gy_h1_request *request, uint64_t now_ns)
{
    gy_assert(call->ops != NULL && call->ops->closed != NULL);
    enum gy_http_method method = gy_http_method_of(request->method);
    bool pulled = request->kind == GY_HTTP_BODY_PULL;
    bool tunnels = method == GY_HTTP_CONNECT || request->upgrade.length > 0;
    uint64_t length = body_length(request);
    int code = 0;
    if (!gy_h1_client_ready(client, method, pulled || tunnels)) {
        code = GY_ESTATE;
    } else if (!request_valid(request, method) || (pulled && call->ops->pull == NULL)) {
        code = GY_EINVAL;
    } else {
        code = put_head(client, request, method, length);
    }
    if (code != 0) {
        body_drop(request);
        return code;
    }
    uint16_t flags = idempotent(method) ? GY_H1_CALL_IDEMPOTENT : 0;
    flags |= pulled && length > 0 ? GY_H1_CALL_SENDING : 0;
    flags |= request->upgrade.length > 0 ? GY_H1_CALL_UPGRADE : 0;
    call->client = client;
    call->next = NULL;
    call->head_buffer = NULL;
    call->trailers = (struct gy_slice){0};
    call->send_left = length;
    call->status = call->field_count = call->trailer_count = 0;
    call->flags = flags;
    call->method = (uint8_t)method;
    queue(client, call, now_ns);
    if (request->close) {
        client->flags |= GY_H1_CLIENT_LAST;
    }
    if (!pulled && put_body(client, request) != 0) {
        /* The head is out: the message cannot be saved, and the call ends with the connection. */
        gy_h1_call_cancel(call, GY_ENOBUFS);
    }
    return 0;
}

/* ---- pulled bodies --------------------------------------------------------------------------- */

static uint32_t budget_of(struct gy_h1_client *client)
{
    struct gy_h1_client_env *env = client->env;
    const struct gy_slab *links = client->out->links;
    if (client->out->length >= env->limits.output_high) {
        client->flags |= GY_H1_CLIENT_BLOCKED;
        return 0;
    }
    if (links->capacity - links->used < 4 ||
        gy_bump_reserve(env->bump, GY_H1_CHUNK_BYTES) == NULL) {
        client->flags |= GY_H1_CLIENT_STARVED;
        return 0;
    }
    return env->limits.output_high - client->out->length;
}

static void give_up(struct gy_h1_call *call, int reason)
{
    if ((call->flags & GY_H1_CALL_CANCELLED) == 0) {
        call->flags |= GY_H1_CALL_CANCELLED;
        call->reason = reason;
    }
}

static int ask(struct gy_h1_call *call, struct gy_chain *piece, uint32_t budget)
{
    if (call->ops->pull == NULL) {
        call->flags |= GY_H1_CALL_WAITING;
        return GY_HTTP_WAIT;
    }
    /* Cleared by gy_h1_call_wake(), which may be called from within. */
    call->flags |= GY_H1_CALL_WAITING;
    int said = call->ops->pull(call, piece, budget);
    bool woken = (call->flags & GY_H1_CALL_WAITING) == 0;
    if (said != GY_HTTP_WAIT && !(said == GY_HTTP_MORE && piece->length == 0)) {
        call->flags &= (uint16_t)~GY_H1_CALL_WAITING;
    } else if (woken && piece->length == 0) {
        call->flags |= GY_H1_CALL_WAITING;
        call->client->env->wake(call->client); /* asked again in another turn */
        call->flags &= (uint16_t)~GY_H1_CALL_WAITING;
    }
    if (said < 0) {
        give_up(call, said);
    } else if (piece->length > budget || said < GY_HTTP_MORE || said > GY_HTTP_END) {
        give_up(call, GY_EINVAL);
    }
    return said;
}

/* The call whose bytes go out: the last one's body, or the tunnel's. */
static struct gy_h1_call *sender(const struct gy_h1_client *client)
{
    struct gy_h1_call *call = client->last;
    if (call == NULL || (call->flags & (GY_H1_CALL_WAITING | GY_H1_CALL_CANCELLED)) != 0) {
        return NULL;
    }
    if ((call->flags & GY_H1_CALL_TUNNEL) != 0) {
        return (call->flags & GY_H1_CALL_OUT_ENDED) == 0 ? call : NULL;
    }
    return (call->flags & GY_H1_CALL_SENDING) != 0 ? call : NULL;
}

bool gy_h1_client_push_step(struct gy_h1_client *client)
{
    struct gy_h1_call *call = sender(client);
    if (call == NULL) {
        return false;
    }
    bool tunnel = (call->flags & GY_H1_CALL_TUNNEL) != 0;
    uint64_t left = tunnel ? GY_HTTP_UNKNOWN : call->send_left;
    uint32_t budget = budget_of(client);
    if (budget == 0) {
        return false;
    }
    budget = left < budget ? (uint32_t)left : budget;
    struct gy_chain piece;
    gy_chain_init(&piece, client->out->links);
    int said = ask(call, &piece, budget);
    uint32_t bytes = piece.length;
    bool end = said == GY_HTTP_END || left == bytes;
    if (left != GY_HTTP_UNKNOWN && said == GY_HTTP_END && left != bytes) {
        give_up(call, GY_EINVAL);
    }
    bool chunked = !tunnel && left == GY_HTTP_UNKNOWN;
    if ((call->flags & GY_H1_CALL_CANCELLED) == 0 &&
        gy_h1_piece_write(client->env->bump, client->out, &piece,
                          (struct gy_h1_piece){chunked, end, NULL}) != 0) {
        give_up(call, GY_ENOBUFS);
    }
    if ((call->flags & GY_H1_CALL_CANCELLED) != 0) {
        gy_chain_clear(&piece);
        return true;
    }
    if (left != GY_HTTP_UNKNOWN) {
        call->send_left = left - bytes;
    }
    if (end) {
        call->flags &= (uint16_t)~GY_H1_CALL_SENDING;
        call->flags |= tunnel ? GY_H1_CALL_OUT_ENDED : 0;
    }
    return bytes > 0 || end;
}
