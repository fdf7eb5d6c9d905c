/* SPDX-License-Identifier: GPL-3.0-or-later */

/* One connection: records in, plaintext out, and back. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cursor.h"
#include "core/endpoint.h"
#include "core/keep.h"
#include "core/stream.h"
#include "core/tls_internal.h"
#include "core/worker.h"

#include <wolfssl/error-ssl.h>
#include <wolfssl/quic.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#define RECORD_HEAD_BYTES 5
#define PLAIN_BYTES       60 /* of what is no TLS, at most */

/* Types of records (RFC 8446 §5.1). */
enum { GY_TLS_CHANGE = 20, GY_TLS_ALERT = 21, GY_TLS_DATA = 23 };

/* A record that fits a block of output with its header, type and tag (RFC 8446 §5.2). */
#define RECORD_BYTES (GY_BUMP_BLOCK_BYTES - 64)

static struct gy_tls *tls_of(struct gy_stream *stream)
{
    return (struct gy_tls *)stream->layer;
}

struct gy_tls *gy_tls_of(const WOLFSSL *ssl)
{
    WOLFSSL *whose = (WOLFSSL *)(uintptr_t)ssl;
    void *context = wolfSSL_GetIOReadCtx(whose);
    return wolfSSL_is_quic(whose) ? context : tls_of(context);
}

/* ---- wolfSSL's I/O ---- */

/* The first of what a server said, unless it is a record: text as it is, up to the end of its line;
 * anything else as "". */
static void note_plain(struct gy_tls *tls, struct gy_chain *in)
{
    char text[PLAIN_BYTES + 1] = "";
    uint32_t bytes = in->length < PLAIN_BYTES ? in->length : PLAIN_BYTES, length = 0;
    gy_chain_copy(in, 0, bytes, text);
    if (bytes > 0 && text[0] >= GY_TLS_CHANGE && text[0] <= GY_TLS_DATA) {
        return;
    }
    while (length < bytes && text[length] >= ' ' && text[length] < 0x7f) {
        length++;
    }
    bool whole = length == bytes || text[length] == '\r' || text[length] == '\n';
    tls->plain = strndup(text, whole ? length : 0); /* without memory it is not told */
}

int gy_tls_receive_callback(WOLFSSL *ssl, char *target, int bytes, void *context)
{
    (void)ssl;
    struct gy_stream *stream = context;
    struct gy_layer *layer = stream->layer;
    uint32_t take = layer->in.length < (uint32_t)bytes ? layer->in.length : (uint32_t)bytes;
    if (take == 0) {
        return layer->eof ? WOLFSSL_CBIO_ERR_CONN_CLOSE : WOLFSSL_CBIO_ERR_WANT_READ;
    }
    if (!tls_of(stream)->heard) {
        tls_of(stream)->heard = true;
        if (!tls_of(stream)->worker->config->server) {
            note_plain(tls_of(stream), &layer->in);
        }
    }
    gy_chain_copy(&layer->in, 0, take, target);
    gy_chain_consume(&layer->in, take);
    if (bytes == RECORD_HEAD_BYTES && take == RECORD_HEAD_BYTES) {
        tls_of(stream)->empty = target[3] == 0 && target[4] == 0;
    }
    if (!tls_of(stream)->hello_seen) {
        gy_tls_hello_see(tls_of(stream), (const uint8_t *)target, take);
    }
    gy_count(&stream->worker->counters.copied_bytes, take);
    return (int)take;
}

/* What wolfSSL sends: is it the first that is enciphered? Nothing follows a fatal alert, not even
 * another one; false then. */
static bool note_record(struct gy_tls *tls, const uint8_t *record, int bytes)
{
    bool older = wolfSSL_GetVersion(tls->ssl) == WOLFSSL_TLSV1_2;
    struct gy_reader records = gy_reader_on(record, (size_t)bytes);
    while (!tls->enciphers && gy_reader_left(&records) > 0) {
        uint8_t type = gy_reader_u8(&records);
        gy_reader_u16(&records); /* a version of old */
        uint16_t length = gy_reader_u16(&records);
        const uint8_t *content = gy_reader_bytes(&records, length);
        if (records.failed) {
            break; /* the rest of one */
        }
        if (type == GY_TLS_ALERT && length == 2 && content[0] == alert_fatal) {
            bool first = !tls->alerted;
            tls->alerted = true;
            return first;
        }
        tls->enciphers = type == GY_TLS_DATA || (type == GY_TLS_CHANGE && older);
    }
    return true;
}

int gy_tls_send_callback(WOLFSSL *ssl, char *data, int bytes, void *context)
{
    (void)ssl;
    struct gy_stream *stream = context;
    struct gy_bump *bump = &stream->worker->bump;
    if (tls_of(stream)->breach != 0) {
        return WOLFSSL_CBIO_ERR_GENERAL; /* what it says to such a hello nobody is to hear */
    }
    if (!note_record(tls_of(stream), (const uint8_t *)data, bytes)) {
        return bytes;
    }
    uint32_t length = (uint32_t)bytes;
    uint32_t piece = length < GY_BUMP_BLOCK_BYTES ? length : GY_BUMP_BLOCK_BYTES;
    if (gy_bump_copy(bump, &stream->layer->out, data, piece) != 0) {
        return WOLFSSL_CBIO_ERR_WANT_WRITE;
    }
    return (int)piece;
}

/* ---- life ---- */

/* Which application protocols this side speaks. A client goes on without, where the server chooses
 * none; a server refuses who has none of them (RFC 7301 §3.2). 0 or GY_ENOMEM. */
int gy_tls_name_protocols(struct gy_tls *tls)
{
    const struct gy_tls_config *config = tls->worker->config;
    char list[GY_TLS_PROTOCOLS_MAX * sizeof config->protocols[0]];
    size_t length = 0;
    for (uint32_t i = 0; i < config->protocol_count; i++) {
        length += (size_t)snprintf(list + length, sizeof list - length, "%s%s", i > 0 ? "," : "",
                                   config->protocols[i]);
    }
    if (length == 0) {
        return 0;
    }
    unsigned char otherwise =
        config->server ? WOLFSSL_ALPN_FAILED_ON_MISMATCH : WOLFSSL_ALPN_CONTINUE_ON_MISMATCH;
    return wolfSSL_UseALPN(tls->ssl, list, (unsigned int)length, otherwise) == WOLFSSL_SUCCESS
               ? 0
               : GY_ENOMEM;
}

/* A client that verifies asks what the authority says of the certificate. 0 or GY_ENOMEM. */
static int ask_for_status(struct gy_tls *tls)
{
    const struct gy_tls_config *config = tls->worker->config;
    if (!config->status || config->server || config->verify == GY_TLS_VERIFY_NONE) {
        return 0;
    }
    int code = wolfSSL_UseOCSPStapling(tls->ssl, WOLFSSL_CSR_OCSP, 0);
    return code == WOLFSSL_SUCCESS ? 0 : GY_ENOMEM;
}

static int tls_open(struct gy_stream *stream, bool dialled)
{
    struct gy_tls_worker *worker = stream->endpoint->layer_state;
    struct gy_tls *tls = gy_slab_take(&worker->connections);
    if (tls == NULL) {
        return GY_ELIMIT;
    }
    *tls = (struct gy_tls){.layer.ops = &gy_tls_layer, .worker = worker, .hello_seen = dialled};
    gy_assert(dialled == !worker->config->server);
    struct gy_tls_memory *before = gy_tls_memory_use(&worker->memory);
    tls->ssl = wolfSSL_new(worker->contexts[0]);
    if (tls->ssl != NULL && (gy_tls_name_protocols(tls) != 0 || ask_for_status(tls) != 0)) {
        wolfSSL_free(tls->ssl);
        tls->ssl = NULL;
    }
    gy_tls_memory_use(before);
    if (tls->ssl == NULL) {
        gy_slab_give(&worker->connections, tls);
        return GY_ENOMEM;
    }
    wolfSSL_SetCertCbCtx(tls->ssl, tls);
    wolfSSL_SetIOReadCtx(tls->ssl, stream);
    wolfSSL_SetIOWriteCtx(tls->ssl, stream);
    gy_chain_init(&tls->layer.in, &stream->worker->links);
    gy_chain_init(&tls->layer.out, &stream->worker->links);
    stream->layer = &tls->layer;
    return 0;
}

static void tls_close(struct gy_stream *stream)
{
    struct gy_tls *tls = tls_of(stream);
    struct gy_tls_memory *before = gy_tls_memory_use(&tls->worker->memory);
    if (tls->worker->config->resume) {
        gy_tls_session_keep(tls);
    }
    wolfSSL_free(tls->ssl);
    gy_tls_memory_use(before);
    gy_tls_hello_end(tls);
    free(tls->host);
    free(tls->doubtful);
    free(tls->plain);
    free(tls->subject);
    gy_slab_give(&tls->worker->connections, tls);
    stream->layer = NULL;
}

/* ---- input ---- */

/* The alert for what wolfSSL drops without a word (RFC 8446 §6.2). */
static uint8_t alert_for(const struct gy_tls *tls, int error)
{
    switch (error) {
    case ECC_PEERKEY_ERROR:
    case PEER_KEY_ERROR:
    case ECC_BAD_ARG_E:
    case ECC_OUT_OF_RANGE_E:
    case ECC_INF_E:
    case ECC_SHARED_ERROR:
    case IS_POINT_E:
        return illegal_parameter;
    case BUFFER_E:
        return decode_error;
    case VERSION_ERROR:
        return protocol_version;
    case LENGTH_ERROR: /* none has less than a byte, nor more than 2^14 and what AEADs add */
        return tls->empty ? unexpected_message : record_overflow;
    case UNKNOWN_RECORD_TYPE:
    case OUT_OF_ORDER_E:
    case UNKNOWN_HANDSHAKE_TYPE:
        return unexpected_message;
    case BUFFER_ERROR:
    case INCOMPLETE_DATA:
        return decode_error;
    default:
        return handshake_failure;
    }
}

/* As long as nothing of ours is enciphered an alert can be written as it is. */
static void send_plain_alert(struct gy_stream *stream, uint8_t code)
{
    const uint8_t record[] = {21, 3, 3, 0, 2, alert_fatal, code};
    gy_bump_copy(&stream->worker->bump, &stream->layer->out, record, sizeof record);
}

static void note_failure(struct gy_stream *stream, int error)
{
    struct gy_tls *tls = tls_of(stream);
    WOLFSSL_ALERT_HISTORY alerts;
    tls->layer.failed = true;
    tls->error = error;
    wolfSSL_get_alert_history(tls->ssl, &alerts);
    if (tls->breach != 0) {
        alerts = (WOLFSSL_ALERT_HISTORY){0}; /* of what was not sent */
    }
    tls->alert_received = alerts.last_rx.code > close_notify;
    if (tls->alert_received) {
        tls->alert = (uint8_t)alerts.last_rx.code;
    } else if (alerts.last_tx.code > close_notify) {
        tls->alert = (uint8_t)alerts.last_tx.code;
    } else if (!tls->enciphers) {
        tls->alert = tls->breach != 0 ? tls->breach : alert_for(tls, error);
        send_plain_alert(stream, tls->alert);
    }
    gy_count(&stream->worker->counters.tls_failures, 1);
    gy_tls_session_drop(tls->worker);
}

/* A step of a server's handshake; *result is wolfSSL's. 0, or GY_ENOBUFS: there is no room for what
 * may come before it is done. */
static int accept_step(struct gy_stream *stream, int *result)
{
    struct gy_tls *tls = tls_of(stream);
    if (tls->worker->config->strikes == NULL) {
        *result = wolfSSL_accept(tls->ssl);
        return 0;
    }
    struct gy_keep_room room;
    uint32_t bytes = 0;
    if (gy_keep_reserve(stream->worker, &stream->in, &room) != 0) {
        return GY_ENOBUFS;
    }
    *result = gy_tls_accept(tls, room.data, room.bytes, &bytes);
    gy_keep_commit(&stream->in, &room, bytes);
    gy_count(&stream->worker->counters.copied_bytes, bytes);
    tls->layer.unproven = tls->early && *result == WOLFSSL_SUCCESS;
    return 0;
}

/* The handshake goes on. 0, or GY_ENOBUFS. */
static int tls_shake_hands(struct gy_stream *stream)
{
    struct gy_tls *tls = tls_of(stream);
    struct gy_counters *counters = &stream->worker->counters;
    if (tls->worker->config->resume && !tls->offered) {
        tls->offered = true;
        gy_tls_session_offer(tls);
    }
    int result;
    if (!tls->worker->config->server) {
        result = wolfSSL_connect(tls->ssl);
    } else if (accept_step(stream, &result) != 0) {
        return GY_ENOBUFS;
    }
    if (tls->replayed) {
        note_failure(stream, SESSION_TICKET_EXPECT_E);
        return 0;
    }
    if (tls->breach != 0) {
        note_failure(stream, tls->breach == missing_extension ? EXT_MISSING : MATCH_SUITE_ERROR);
        return 0;
    }
    if (result == WOLFSSL_SUCCESS) {
        tls->layer.established = true;
        gy_count(wolfSSL_session_reused(tls->ssl) ? &counters->tls_resumed : &counters->tls_full,
                 1);
        return 0;
    }
    int error = wolfSSL_get_error(tls->ssl, result);
    if (error == WOLFSSL_ERROR_WANT_WRITE) {
        return GY_ENOBUFS;
    }
    /* A handshake that the peer's end cuts is none that failed, but who spoke no TLS is told. */
    bool strange = tls->plain != NULL || error == SIDE_ERROR;
    if (error != WOLFSSL_ERROR_WANT_READ && (!tls->layer.eof || strange)) {
        note_failure(stream, error);
    }
    return 0;
}

/* wolfSSL_read has nothing more to give: why? 0, or GY_ENOBUFS. */
static int tls_read_ended(struct gy_stream *stream, int result)
{
    struct gy_tls *tls = tls_of(stream);
    int error = wolfSSL_get_error(tls->ssl, result);
    switch (error) {
    case WOLFSSL_ERROR_WANT_READ:
        return 0;
    case WOLFSSL_ERROR_WANT_WRITE: /* it has to answer first: a new key, say */
        return GY_ENOBUFS;
    case WOLFSSL_ERROR_ZERO_RETURN:
        stream->eof = true;
        return 0;
    default:
        break;
    }
    if (tls->layer.eof && tls->layer.in.length == 0) {
        stream->eof = true;
        stream->truncated = true;
    } else {
        note_failure(stream, error);
    }
    return 0;
}

static int tls_read(struct gy_stream *stream)
{
    struct gy_tls *tls = tls_of(stream);
    struct gy_layer *layer = &tls->layer;
    layer->more = false;
    while (!stream->eof && (layer->in.length > 0 || layer->eof || wolfSSL_pending(tls->ssl) > 0)) {
        if (stream->in.length >= stream->endpoint->limits.receive_high_bytes) {
            layer->more = true;
            return 0;
        }
        struct gy_keep_room room;
        if (gy_keep_reserve(stream->worker, &stream->in, &room) != 0) {
            return GY_ENOBUFS;
        }
        int got = wolfSSL_read(tls->ssl, room.data, (int)room.bytes);
        gy_keep_commit(&stream->in, &room, got > 0 ? (uint32_t)got : 0);
        if (got <= 0) {
            return tls_read_ended(stream, got);
        }
        gy_count(&stream->worker->counters.copied_bytes, (uint64_t)got);
    }
    return 0;
}

static int tls_input(struct gy_stream *stream)
{
    struct gy_tls *tls = tls_of(stream);
    struct gy_tls_memory *before = gy_tls_memory_use(&tls->worker->memory);
    int code = tls->layer.established ? 0 : tls_shake_hands(stream);
    if (code == 0 && tls->layer.established && !tls->layer.failed) {
        code = tls_read(stream);
        if (tls->layer.unproven && code == 0 && !tls->layer.more) {
            gy_tls_finish_early(stream);
        }
    }
    gy_tls_memory_use(before);
    return code;
}

/* ---- output ---- */

/* What the next record is made of: the first slice, or several small ones put together. */
static const uint8_t *gather(struct gy_stream *stream, uint32_t *bytes)
{
    struct gy_tls_worker *worker = tls_of(stream)->worker;
    struct gy_chain *out = &stream->out;
    const uint8_t *front = gy_chain_front(out, bytes);
    _Static_assert(sizeof worker->gather >= RECORD_BYTES, "room for one record");
    if (*bytes >= RECORD_BYTES || out->count == 1) {
        *bytes = *bytes < RECORD_BYTES ? *bytes : RECORD_BYTES;
        return front;
    }
    *bytes = out->length < RECORD_BYTES ? out->length : RECORD_BYTES;
    gy_chain_copy(out, 0, *bytes, worker->gather);
    gy_count(&stream->worker->counters.copied_bytes, *bytes);
    return worker->gather;
}

static int tls_output(struct gy_stream *stream, uint32_t bytes_max)
{
    struct gy_tls *tls = tls_of(stream);
    struct gy_tls_memory *before = gy_tls_memory_use(&tls->worker->memory);
    int code = 0;
    for (uint32_t made = 0; code == 0 && stream->out.length > 0 && made < bytes_max;) {
        uint32_t bytes;
        const uint8_t *data = gather(stream, &bytes);
        int written = wolfSSL_write(tls->ssl, data, (int)bytes);
        if (written > 0) {
            gy_chain_consume(&stream->out, (uint32_t)written);
            made += (uint32_t)written;
            continue;
        }
        int error = wolfSSL_get_error(tls->ssl, written);
        if (error == WOLFSSL_ERROR_WANT_WRITE || error == WOLFSSL_ERROR_WANT_READ) {
            code = GY_ENOBUFS;
        } else {
            note_failure(stream, error);
            break;
        }
    }
    gy_tls_memory_use(before);
    return code;
}

static void tls_shutdown(struct gy_stream *stream)
{
    struct gy_tls *tls = tls_of(stream);
    struct gy_tls_memory *before = gy_tls_memory_use(&tls->worker->memory);
    wolfSSL_shutdown(tls->ssl);
    gy_tls_memory_use(before);
}

const struct gy_layer_ops gy_tls_layer = {
    .attach = gy_tls_attach,
    .detach = gy_tls_detach,
    .open = tls_open,
    .expect = gy_tls_expect,
    .explain = gy_tls_failure,
    .input = tls_input,
    .output = tls_output,
    .shutdown = tls_shutdown,
    .close = tls_close,
};
