/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_HTTP_CLIENT_RIG_H
#define GY_TESTS_HTTP_CLIENT_RIG_H

/*
 * A client's HTTP/1.1 connection on a bench: its memory, its clock and its wire are the test's.
 * What its calls are told is written down as a text, so that two ways of cutting the same bytes can
 * be compared. Pieces of input lie in heap buffers of their own; crig_close() checks that
 * everything was given back.
 */

#include <stdio.h>
#include <stdlib.h>

#include "protocols/http/h1_client.h"
#include "protocols/http/h1_parse.h"

#define CRIG_CALLS  8
#define CRIG_SECOND UINT64_C(1000000000)

struct crig {
    struct gy_slab links, blocks;
    struct gy_bump bump;
    struct gy_h1_client_env env;
    struct gy_h1_client client;
    struct gy_chain in, out;
    struct gy_h1_call calls[CRIG_CALLS];
    uint64_t now_ns;
    uint32_t wants, buffers, used;
    bool eof, woken, pauses;
    const char *pulls; /* what `pull` gives, 4 bytes at a time */
    bool pull_waits;
    int last_reason;
    bool last_unanswered;
    char sent[32768]; /* all output so far, zero-terminated */
    char told[65536]; /* what the calls were told */
    size_t sent_bytes, told_bytes;
    bool in_body; /* consecutive bodies are told as one */
};

static inline void crig_tell(struct crig *rig, const char *text, size_t length)
{
    gy_assert(rig->told_bytes + length < sizeof rig->told);
    memcpy(rig->told + rig->told_bytes, text, length);
    rig->told_bytes += length;
    rig->told[rig->told_bytes] = 0;
}

static inline void crig_say(struct crig *rig, const char *format, unsigned number)
{
    char text[64];
    /* cppcheck-suppress wrongPrintfScanfArgNum ; formats without a number are fine */
    int length = snprintf(text, sizeof text, format, number);
    if (rig->in_body) {
        crig_tell(rig, "]", 1);
        rig->in_body = false;
    }
    crig_tell(rig, text, (size_t)length);
}

static inline void crig_text(struct crig *rig, struct gy_http_text text)
{
    crig_tell(rig, text.data, text.length);
}

static inline void crig_fields(struct crig *rig, struct gy_h1_call *call)
{
    for (uint32_t i = 0; i < gy_h1_call_field_count(call); i++) {
        crig_tell(rig, i == 0 ? "{" : "|", 1);
        crig_text(rig, gy_h1_call_field_name(call, i));
        crig_tell(rig, "=", 1);
        crig_text(rig, gy_h1_call_field_value(call, i));
    }
    crig_tell(rig, "}", gy_h1_call_field_count(call) > 0 ? 1 : 0);
}

static inline void crig_informed(struct gy_h1_call *call)
{
    crig_say(call->context, "(%u) ", gy_h1_call_status(call));
}

static inline void crig_response(struct gy_h1_call *call)
{
    struct crig *rig = call->context;
    crig_say(rig, "<%u ", gy_h1_call_status(call));
    crig_text(rig, gy_h1_call_phrase(call));
    crig_fields(rig, call);
    crig_tell(rig, ">", 1);
    if (rig->pauses) {
        gy_h1_call_pause(call, true);
    }
}

static inline void crig_body(struct gy_h1_call *call, struct gy_chain *bytes, bool end)
{
    struct crig *rig = call->context;
    if (!rig->in_body) {
        crig_tell(rig, "[", 1);
        rig->in_body = true;
    }
    char text[4096];
    while (bytes->length > 0) {
        uint32_t length = bytes->length < sizeof text ? bytes->length : sizeof text;
        gy_chain_copy(bytes, 0, length, text);
        gy_chain_consume(bytes, length);
        crig_tell(rig, text, length);
    }
    if (end) {
        crig_say(rig, "end ", 0);
    }
}

static inline void crig_trailers(struct gy_h1_call *call)
{
    struct crig *rig = call->context;
    crig_say(rig, "+", 0);
    for (uint32_t i = 0; i < gy_h1_call_trailer_count(call); i++) {
        crig_text(rig, gy_h1_call_trailer_name(call, i));
        crig_tell(rig, "=", 1);
        crig_text(rig, gy_h1_call_trailer_value(call, i));
        crig_tell(rig, "+", 1);
    }
}

static inline int crig_pull(struct gy_h1_call *call, struct gy_chain *out, uint32_t budget)
{
    struct crig *rig = call->context;
    if (rig->pull_waits) {
        return GY_HTTP_WAIT;
    }
    uint32_t length = (uint32_t)strlen(rig->pulls);
    length = length < 4 ? length : 4;
    length = length < budget ? length : budget;
    int error = gy_bump_copy(&rig->bump, out, rig->pulls, length);
    gy_assert(error == 0);
    rig->pulls += length;
    return *rig->pulls == 0 ? GY_HTTP_END : GY_HTTP_MORE;
}

static inline void crig_closed(struct gy_h1_call *call, int reason)
{
    struct crig *rig = call->context;
    rig->last_reason = reason;
    rig->last_unanswered = gy_h1_call_unanswered(call);
    if (reason == 0) {
        crig_say(rig, "done; ", 0);
    } else {
        crig_say(rig, "failed %u; ", (unsigned)-reason);
    }
}

static const struct gy_h1_call_ops crig_ops = {crig_informed, crig_response, crig_body,
                                               crig_trailers, crig_pull,     crig_closed};

static inline void crig_slab(struct gy_slab *slab, size_t item_bytes, uint32_t count)
{
    size_t bytes = gy_slab_bytes(item_bytes, count);
    void *memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    gy_assert(memory != NULL);
    gy_slab_init(slab, memory, bytes, item_bytes);
}

static inline void crig_wake(struct gy_h1_client *client)
{
    ((struct crig *)client->owner)->woken = true;
}

static inline struct crig *crig_open(void)
{
    struct crig *rig = calloc(1, sizeof *rig);
    gy_assert(rig != NULL);
    crig_slab(&rig->links, sizeof(struct gy_link), 8192);
    crig_slab(&rig->blocks, sizeof(struct gy_bump_block), 16);
    gy_bump_init(&rig->bump, &rig->blocks);
    gy_h1_client_env_init(&rig->env, &rig->bump, crig_wake);
    gy_chain_init(&rig->in, &rig->links);
    gy_chain_init(&rig->out, &rig->links);
    gy_h1_client_init(&rig->client, &rig->env, &rig->out, rig, 0);
    return rig;
}

struct crig_piece {
    struct gy_buffer buffer;
    struct crig *rig;
};

static inline void crig_piece_free(struct gy_buffer *buffer)
{
    struct crig_piece *piece = (struct crig_piece *)buffer;
    piece->rig->buffers--;
    free(buffer->data);
    free(piece);
}

static inline uint32_t crig_turn(struct crig *rig)
{
    do {
        rig->woken = false;
        rig->wants = gy_h1_client_turn(&rig->client, &rig->in, rig->eof, rig->now_ns);
        gy_assert(rig->wants == gy_h1_client_wants(&rig->client));
        uint32_t length = rig->out.length;
        gy_assert(rig->sent_bytes + length < sizeof rig->sent);
        gy_chain_copy(&rig->out, 0, length, rig->sent + rig->sent_bytes);
        gy_chain_consume(&rig->out, length);
        rig->sent_bytes += length;
        rig->sent[rig->sent_bytes] = 0;
    } while (rig->woken || (rig->wants & GY_H1_ROOM) != 0);
    return rig->wants;
}

static inline void crig_append(struct crig *rig, const void *bytes, size_t length)
{
    struct crig_piece *piece = malloc(sizeof *piece);
    uint8_t *data = malloc(length > 0 ? length : 1);
    gy_assert(piece != NULL && data != NULL);
    memcpy(data, bytes, length);
    piece->rig = rig;
    piece->buffer = (struct gy_buffer){data, (uint32_t)length, 1, crig_piece_free};
    rig->buffers++;
    int error = gy_chain_append(&rig->in, (struct gy_slice){&piece->buffer, 0, (uint32_t)length});
    gy_assert(error == 0);
    /* cppcheck-suppress memleak ; the chain holds them, and crig_piece_free gives them back */
}

static inline uint32_t crig_feed(struct crig *rig, const void *bytes, size_t length)
{
    crig_append(rig, bytes, length);
    return crig_turn(rig);
}

static inline uint32_t crig_hear(struct crig *rig, const char *text)
{
    return crig_feed(rig, text, strlen(text));
}

static inline uint32_t crig_end(struct crig *rig)
{
    rig->eof = true;
    return crig_turn(rig);
}

static inline struct gy_h1_request crig_request(const char *method)
{
    return (struct gy_h1_request){
        .method = gy_http_text_of(method),
        .target = GY_HTTP_TEXT("/hello.txt"),
        .authority = GY_HTTP_TEXT("www.example.com"),
    };
}

static inline int crig_send(struct crig *rig, const struct gy_h1_request *request)
{
    gy_assert(rig->used < CRIG_CALLS);
    struct gy_h1_call *call = &rig->calls[rig->used++];
    call->ops = &crig_ops;
    call->context = rig;
    int code = gy_h1_client_send(&rig->client, call, request, rig->now_ns);
    crig_turn(rig);
    return code;
}

static inline int crig_ask(struct crig *rig, const char *method)
{
    struct gy_h1_request request = crig_request(method);
    return crig_send(rig, &request);
}

static inline void crig_close(struct crig *rig)
{
    gy_h1_client_close(&rig->client, GY_ECLOSED);
    gy_chain_clear(&rig->in);
    gy_chain_clear(&rig->out);
    gy_assert(rig->links.used == 0);
    gy_assert(rig->buffers == 0);
    gy_assert(rig->blocks.used <= 1);
    gy_bump_close(&rig->bump);
    gy_assert(rig->blocks.used == 0);
    free(rig->links.base);
    free(rig->blocks.base);
    free(rig);
}

#endif
