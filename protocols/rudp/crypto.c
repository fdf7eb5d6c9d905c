/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What TLS says, carried in CRYPTO frames, and the keys that come of it: RFC 9001 §4 and §6. */

#include "protocols/rudp/internal.h"

#define AHEAD      GY_RUDP_CRYPTO_AHEAD
#define AGAIN_MAX  8 /* a HELLO may be a copy that somebody else sends */
#define EARLY_MIN  32
#define HEAD_BYTES (1 + 4 + 1 + GY_RUDP_CID_MAX + 1 + GY_RUDP_CID_MAX + 1 + GY_RUDP_COOKIE_BYTES)
/* What TLS may say in a HELLO or an ACCEPT, beside two lengths. */
#define CLEAR_MAX (GY_RUDP_HELLO_BYTES - HEAD_BYTES - GY_RUDP_CHECK_BYTES - 2 - 2)

#define KEY_PACKETS (UINT64_C(1) << 21)

static const struct gy_rudp_handshake *tls_of(const struct gy_rudp_conn *conn)
{
    return conn->config.seal->handshake;
}

static void *keys_of(const struct gy_rudp_conn *conn)
{
    return conn->config.seal->keys;
}

/* ---- beginning ---- */

/* What the peer says where nobody can change it, and that it is what was said in the clear. */
static int read_claims(const struct gy_rudp_conn *conn, struct gy_rudp_claims *claims)
{
    size_t bytes;
    const uint8_t *text = tls_of(conn)->claims(keys_of(conn), &bytes);
    if (text == NULL || gy_rudp_claims_read(text, bytes, claims) != 0 ||
        claims->version != GY_RUDP_VERSION || !gy_rudp_cid_equal(&claims->self, &conn->peer)) {
        return GY_EPROTO;
    }
    bool ours = claims->has_token && gy_rudp_cid_equal(&claims->peer, &conn->self);
    return !conn->client || ours ? 0 : GY_EPROTO;
}

int gy_rudp_crypto_begin(struct gy_rudp_conn *conn, const struct gy_rudp_long *hello,
                         uint64_t now_ns)
{
    struct gy_rudp_claims claims = {.version = GY_RUDP_VERSION, .self = conn->self};
    uint8_t text[GY_RUDP_CLAIMS_MAX];
    size_t said;
    (void)now_ns;
    if (!is_sealed(conn)) {
        return 0;
    }
    gy_rudp_own_parameters(&conn->config, &claims.parameters);
    if (!conn->client) {
        claims.peer = conn->peer;
        claims.has_token = true;
        memcpy(claims.token, conn->token, GY_RUDP_TOKEN_BYTES);
    }
    size_t bytes = gy_rudp_claims_write(&claims, text);
    int code = tls_of(conn)->begin(keys_of(conn), conn->client, text, bytes);
    if (code == 0 && !conn->client) {
        code = tls_of(conn)->take(keys_of(conn), GY_RUDP_CLEAR, hello->crypto, hello->crypto_bytes);
        code = code == 0 ? read_claims(conn, &claims) : code;
        conn->theirs = claims.parameters;
        conn->credit = claims.parameters.window;
        conn->state = GY_RUDP_HANDSHAKING;
    }
    if (code == 0) {
        gy_rudp_congestion_begin(conn);
        gy_rudp_mtu_begin(conn); /* and once more when it is known what the peer takes */
        tls_of(conn)->said(keys_of(conn), GY_RUDP_CLEAR, &said);
        code = said <= CLEAR_MAX ? 0 : GY_ELIMIT;
    }
    return code;
}

void gy_rudp_crypto_early(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    uint8_t out[GY_RUDP_HELLO_BYTES];
    size_t said;
    if (!is_sealed(conn) || conn->config.remembered.channels == 0 ||
        !tls_of(conn)->can_send(keys_of(conn), GY_RUDP_EARLY)) {
        return;
    }
    tls_of(conn)->said(keys_of(conn), GY_RUDP_CLEAR, &said);
    if (CLEAR_MAX - said < EARLY_MIN + conn->config.seal->tag_bytes) {
        return;
    }
    conn->early_packet = conn->env.take(conn->env.owner, GY_RUDP_HELLO_BYTES);
    if (conn->early_packet == NULL) {
        return;
    }
    conn->theirs = conn->config.remembered;
    conn->credit = conn->config.remembered.window;
    conn->early_bytes = gy_rudp_output_early(conn, out, CLEAR_MAX - said, now_ns);
    memcpy(conn->early_packet, out, conn->early_bytes);
}

static void early_free(struct gy_rudp_conn *conn)
{
    if (conn->early_packet != NULL) {
        conn->env.give(conn->env.owner, conn->early_packet, GY_RUDP_HELLO_BYTES);
        conn->early_packet = NULL;
        conn->early_bytes = 0;
    }
}

/* ---- the end of the handshake ---- */

static void ahead_free(struct gy_rudp_conn *conn, struct gy_rudp_crypto *crypto)
{
    if (crypto->ahead != NULL) {
        conn->env.give(conn->env.owner, crypto->ahead, AHEAD + AHEAD / 8);
        crypto->ahead = NULL;
        crypto->waiting = 0;
    }
}

/* The other end has all we said, and keys for what is to come. */
static void confirm(struct gy_rudp_conn *conn)
{
    struct gy_rudp_crypto *crypto = &conn->crypto[CRYPTO_HANDSHAKE];
    gy_assert(!conn->confirmed && conn->state >= GY_RUDP_OPEN);
    gy_rudp_recovery_drop(conn, GY_RUDP_HANDSHAKE, true);
    while (!list_empty(&crypto->repeat)) {
        struct gy_rudp_piece *piece = CONTAINER(crypto->repeat.next, struct gy_rudp_piece, repeat);
        list_remove(&piece->repeat);
        gy_slab_give(&conn->pieces, piece);
    }
    ahead_free(conn, crypto);
    conn->confirmed = true;
    conn->accept_due = false; /* whoever has got that far has one */
    tls_of(conn)->forget(keys_of(conn), GY_RUDP_HANDSHAKE);
}

void gy_rudp_crypto_confirmed(struct gy_rudp_conn *conn)
{
    if (!conn->confirmed && conn->state == GY_RUDP_OPEN) {
        confirm(conn);
    }
}

static void fail(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    gy_rudp_fail(conn, GY_RUDP_CLOSE_CRYPTO, tls_of(conn)->failure(keys_of(conn)), now_ns);
}

/* TLS may have come to its end. */
static void progress(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    struct gy_rudp_claims claims;
    if (conn->state != GY_RUDP_HANDSHAKING || !tls_of(conn)->done(keys_of(conn))) {
        return;
    }
    if (!conn->client) {
        gy_rudp_opened(conn, &conn->theirs, now_ns);
        conn->done_due = true;
        confirm(conn);
        return;
    }
    if (read_claims(conn, &claims) != 0) {
        gy_rudp_fail(conn, GY_RUDP_CLOSE_CRYPTO,
                     "what was said in the clear is not what the server meant: somebody changed it "
                     "on the way",
                     now_ns);
        return;
    }
    memcpy(conn->token, claims.token, GY_RUDP_TOKEN_BYTES);
    conn->has_token = true;
    gy_rudp_opened(conn, &claims.parameters, now_ns);
    if (!tls_of(conn)->early_taken(keys_of(conn))) {
        gy_rudp_recovery_drop(conn, GY_RUDP_EARLY, false);
    }
    early_free(conn);
}

void gy_rudp_crypto_accepted(struct gy_rudp_conn *conn, const struct gy_rudp_long *accept,
                             uint64_t now_ns)
{
    conn->peer = accept->from;
    conn->state = GY_RUDP_HANDSHAKING;
    if (conn->cookie_hellos == 1 && now_ns > conn->cookie_ns) {
        gy_rudp_recovery_rtt(conn, now_ns - conn->cookie_ns);
    }
    if (tls_of(conn)->take(keys_of(conn), GY_RUDP_CLEAR, accept->crypto, accept->crypto_bytes) !=
        0) {
        gy_rudp_dead(conn, GY_RUDP_CLOSE_CRYPTO, tls_of(conn)->failure(keys_of(conn)));
    }
}

/* ---- what the peer says ---- */

static void give(struct gy_rudp_conn *conn, enum crypto_stream stream, const uint8_t *data,
                 size_t bytes, uint64_t now_ns)
{
    conn->crypto[stream].taken += bytes;
    if (conn->state <= GY_RUDP_OPEN &&
        tls_of(conn)->take(keys_of(conn), crypto_level(stream), data, bytes) != 0) {
        fail(conn, now_ns);
    }
}

static bool is_ahead(const struct gy_rudp_crypto *crypto, uint64_t offset)
{
    uint64_t bit = offset % AHEAD;
    return (crypto->ahead[AHEAD + bit / 8] >> (bit % 8) & 1) != 0;
}

/* What came before its turn and is next now. */
static void drain(struct gy_rudp_conn *conn, enum crypto_stream stream, uint64_t now_ns)
{
    struct gy_rudp_crypto *crypto = &conn->crypto[stream];
    while (crypto->waiting > 0 && is_ahead(crypto, crypto->taken)) {
        uint64_t from = crypto->taken, to = from;
        while (to % AHEAD >= from % AHEAD && is_ahead(crypto, to)) {
            uint64_t bit = to++ % AHEAD;
            crypto->ahead[AHEAD + bit / 8] &= (uint8_t) ~(1u << (bit % 8));
            crypto->waiting--;
        }
        give(conn, stream, crypto->ahead + from % AHEAD, (size_t)(to - from), now_ns);
    }
    if (crypto->waiting == 0) {
        ahead_free(conn, crypto);
    }
}

static bool keep(struct gy_rudp_conn *conn, struct gy_rudp_crypto *crypto,
                 const struct gy_rudp_frame *frame)
{
    if (frame->crypto.offset + frame->crypto.length > crypto->taken + AHEAD) {
        return false;
    }
    if (crypto->ahead == NULL) {
        crypto->ahead = conn->env.take(conn->env.owner, AHEAD + AHEAD / 8);
        if (crypto->ahead == NULL) {
            return false;
        }
        memset(crypto->ahead + AHEAD, 0, AHEAD / 8);
    }
    for (size_t i = 0; i < frame->crypto.length; i++) {
        uint64_t bit = (frame->crypto.offset + i) % AHEAD;
        crypto->waiting += !is_ahead(crypto, bit);
        crypto->ahead[AHEAD + bit / 8] |= (uint8_t)(1u << (bit % 8));
        crypto->ahead[bit] = frame->crypto.data[i];
    }
    return true;
}

bool gy_rudp_crypto_take(struct gy_rudp_conn *conn, enum gy_rudp_level level,
                         const struct gy_rudp_frame *frame, uint64_t now_ns)
{
    enum crypto_stream stream = level == GY_RUDP_HANDSHAKE ? CRYPTO_HANDSHAKE : CRYPTO_APPLICATION;
    struct gy_rudp_crypto *crypto = &conn->crypto[stream];
    uint64_t end = frame->crypto.offset + frame->crypto.length;
    if (!is_sealed(conn) || end > GY_RUDP_CRYPTO_MAX) {
        gy_rudp_fail(conn, GY_RUDP_CLOSE_PROTOCOL, "a handshake without an end", now_ns);
        return true;
    }
    if (end <= crypto->taken || (stream == CRYPTO_HANDSHAKE && conn->confirmed)) {
        return true;
    }
    if (frame->crypto.offset > crypto->taken) {
        return keep(conn, crypto, frame);
    }
    size_t known = (size_t)(crypto->taken - frame->crypto.offset);
    give(conn, stream, frame->crypto.data + known, frame->crypto.length - known, now_ns);
    /* What lies ahead of its turn and just came once more is done with. */
    for (uint64_t at = end - (frame->crypto.length - known); crypto->waiting > 0 && at < end;
         at++) {
        if (is_ahead(crypto, at)) {
            crypto->ahead[AHEAD + at % AHEAD / 8] &= (uint8_t) ~(1u << (at % AHEAD % 8));
            crypto->waiting--;
        }
    }
    drain(conn, stream, now_ns);
    progress(conn, now_ns);
    return true;
}

void gy_rudp_crypto_again(struct gy_rudp_conn *conn)
{
    if (is_sealed(conn) && conn->state == GY_RUDP_HANDSHAKING && ++conn->again <= AGAIN_MAX) {
        gy_rudp_recovery_drop(conn, GY_RUDP_HANDSHAKE, false);
    }
}

void gy_rudp_crypto_free(struct gy_rudp_conn *conn)
{
    early_free(conn);
    ahead_free(conn, &conn->crypto[CRYPTO_HANDSHAKE]);
    ahead_free(conn, &conn->crypto[CRYPTO_APPLICATION]);
}

/* ---- what is to be sent ---- */

bool gy_rudp_crypto_due(struct gy_rudp_conn *conn)
{
    const struct gy_rudp_crypto *crypto = &conn->crypto[CRYPTO_HANDSHAKE];
    size_t said;
    if (!is_sealed(conn) || conn->confirmed) {
        return false;
    }
    tls_of(conn)->said(keys_of(conn), GY_RUDP_HANDSHAKE, &said);
    return crypto->sent < said || !list_empty(&crypto->repeat);
}

bool gy_rudp_crypto_may_send(const struct gy_rudp_conn *conn)
{
    if (!is_sealed(conn)) {
        return true;
    }
    /* A server may speak before it has all of the client's handshake (RFC 9001 §5.7). */
    return (conn->state >= GY_RUDP_OPEN || !conn->client) &&
           tls_of(conn)->can_send(keys_of(conn), GY_RUDP_APPLICATION);
}

/* ---- generations of keys ---- */

void gy_rudp_update_keys(struct gy_rudp_conn *conn)
{
    conn->key_asked = is_sealed(conn);
}

static void update(struct gy_rudp_conn *conn, bool sending)
{
    tls_of(conn)->update(keys_of(conn), sending);
    conn->stats.updates++;
    if (sending) {
        conn->key_out++;
        conn->key_out_first = conn->number;
        conn->key_packets = 0;
        conn->key_asked = false;
    }
}

bool gy_rudp_keys_ready(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    if (!is_sealed(conn)) {
        return true;
    }
    (void)now_ns;
    uint64_t wanted = conn->config.key_packets != 0 ? conn->config.key_packets : KEY_PACKETS;
    bool known = conn->largest_acked != UINT64_MAX && conn->largest_acked >= conn->key_out_first;
    /* Not before the peer has shown that it has these keys (RFC 9001 §6.1), and its own. */
    if ((conn->key_packets >= wanted || conn->key_asked) && known && conn->confirmed &&
        conn->key_out == conn->key_in) {
        update(conn, true);
    }
    if (conn->key_packets >= tls_of(conn)->packets_max) {
        gy_rudp_dead(conn, GY_RUDP_CLOSE_KEYS, "the peer does not follow to new keys");
        return false;
    }
    conn->key_packets++;
    return true;
}

uint32_t gy_rudp_keys_of(const struct gy_rudp_conn *conn, uint8_t flags, uint64_t number)
{
    bool phase = (flags & GY_RUDP_KEY_PHASE) != 0;
    if (phase == ((conn->key_in & 1) != 0)) {
        return conn->key_in;
    }
    return conn->key_in > 0 && number < conn->key_in_first ? conn->key_in - 1 : conn->key_in + 1;
}

void gy_rudp_keys_opened(struct gy_rudp_conn *conn, uint32_t generation, uint64_t number,
                         uint64_t now_ns)
{
    if (generation == conn->key_in) {
        conn->key_in_first = number < conn->key_in_first ? number : conn->key_in_first;
        return;
    }
    if (generation != conn->key_in + 1) {
        return;
    }
    update(conn, false);
    conn->key_in = generation;
    conn->key_in_first = number;
    conn->key_forget_ns = now_ns + 3 * gy_rudp_pto_ns(conn);
    if (conn->key_out < conn->key_in) {
        update(conn, true); /* it is to see that we have them */
    }
}

uint64_t gy_rudp_keys_timeout(const struct gy_rudp_conn *conn)
{
    return conn->key_forget_ns != 0 ? conn->key_forget_ns : UINT64_MAX;
}

void gy_rudp_keys_expire(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    if (now_ns >= gy_rudp_keys_timeout(conn)) {
        conn->key_forget_ns = 0;
        tls_of(conn)->forget(keys_of(conn), GY_RUDP_APPLICATION);
    }
}
