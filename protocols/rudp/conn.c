/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A connection's beginning, its timers and its end. */

#include <stdio.h>

#include "core/asan.h"
#include "protocols/rudp/internal.h"

#define HELLO_FIRST_NS (300 * MS)
#define HELLO_MAX_NS   (5000 * MS)
#define WINDOWS        4 /* of a channel: two guarantees, in and out */
#define WINDOW_BYTES   (GY_RUDP_WINDOW_MESSAGES / 8)

static uint32_t table_size(const struct gy_rudp_config *config)
{
    uint32_t size = 8;
    while (size < config->assemblies / 8) {
        size *= 2;
    }
    return size;
}

static size_t aligned(size_t bytes)
{
    return (bytes + GY_SLAB_ALIGN - 1) / GY_SLAB_ALIGN * GY_SLAB_ALIGN;
}

size_t gy_rudp_memory_bytes(const struct gy_rudp_config *config)
{
    return aligned(config->channels * sizeof(struct gy_rudp_channel)) +
           aligned(config->fec_packets != 0 ? GY_RUDP_FEC_BYTES : 0) +
           config->channels * (size_t)(WINDOWS * WINDOW_BYTES) +
           aligned(config->packets * sizeof(struct gy_rudp_packet)) +
           aligned(table_size(config) * sizeof(struct gy_rudp_assembly *)) +
           (config->congestion == GY_RUDP_BBR
                ? aligned(config->packets * sizeof(struct gy_rudp_flight))
                : 0) +
           gy_slab_bytes(sizeof(struct gy_rudp_piece), config->pieces) +
           gy_slab_bytes(sizeof(struct gy_rudp_assembly), config->assemblies);
}

size_t gy_rudp_reassembly_bytes(const struct gy_rudp_config *config)
{
    size_t crypto =
        config->seal->handshake == NULL
            ? 0
            : 2 * (GY_RUDP_CRYPTO_AHEAD + GY_RUDP_CRYPTO_AHEAD / 8) + GY_RUDP_HELLO_BYTES;
    return (size_t)(2 * config->window_bytes + config->window_bytes / 512 +
                    2 * (uint64_t)config->assemblies) +
           gy_rudp_fec_memory_bytes() + crypto;
}

uint32_t gy_rudp_room(const struct gy_rudp_config *config)
{
    return config->datagram_max > config->datagram_bytes ? config->datagram_max
                                                         : config->datagram_bytes;
}

static bool config_valid(const struct gy_rudp_config *config)
{
    return config->datagram_bytes >= GY_RUDP_HELLO_BYTES && config->datagram_bytes <= 65527 &&
           config->channels >= 1 && config->channels <= 256 && config->packets >= 64 &&
           config->packets <= 1u << 20 && (config->packets & (config->packets - 1)) == 0 &&
           config->pieces >= 8 && config->pieces <= 1u << 20 && config->assemblies >= 8 &&
           config->assemblies <= 1u << 20 && config->window_bytes >= 4096 &&
           config->window_bytes <= UINT64_C(1) << 32 && config->fec_packets != 1 &&
           config->datagram_max <= 65527 && config->fec_packets <= GY_RUDP_FEC_PACKETS_MAX &&
           config->message_max <= GY_RUDP_MESSAGE_LIMIT &&
           config->message_max <= config->window_bytes - config->window_bytes / 4 &&
           (config->channel_window_bytes == 0 ||
            (config->channel_window_bytes >= 4096 &&
             config->channel_window_bytes <= UINT64_C(1) << 32 &&
             config->message_max <=
                 config->channel_window_bytes - config->channel_window_bytes / 4)) &&
           config->seal != NULL && config->seal->tag_bytes <= 16;
}

/* Divides the memory among what has a bound. Returns the bits of the channels' windows. */
static uint64_t *divide(struct gy_rudp_conn *conn, const struct gy_rudp_config *config,
                        void *memory)
{
    size_t piece_bytes = gy_slab_bytes(sizeof(struct gy_rudp_piece), config->pieces);
    uint8_t *at = memory;
    gy_slab_init(&conn->pieces, at, piece_bytes, sizeof(struct gy_rudp_piece));
    at += piece_bytes;
    size_t assembly_bytes = gy_slab_bytes(sizeof(struct gy_rudp_assembly), config->assemblies);
    gy_slab_init(&conn->assemblies, at, assembly_bytes, sizeof(struct gy_rudp_assembly));
    at += assembly_bytes;
    uint8_t *zeroed = at;
    conn->channels = (struct gy_rudp_channel *)at;
    at += aligned(config->channels * sizeof(struct gy_rudp_channel));
    conn->table = (struct gy_rudp_assembly **)at;
    conn->table_mask = table_size(config) - 1;
    at += aligned(table_size(config) * sizeof(struct gy_rudp_assembly *));
    memset(zeroed, 0, (size_t)(at - zeroed));
    uint64_t *bits = (uint64_t *)at; /* not touched */
    at += config->channels * (size_t)(WINDOWS * WINDOW_BYTES);
    conn->fec.sum = at;
    at += aligned(config->fec_packets != 0 ? GY_RUDP_FEC_BYTES : 0);
    /* Written before it is read: a connection of few packets touches little of it. */
    conn->packets = (struct gy_rudp_packet *)at;
    at += aligned(config->packets * sizeof(struct gy_rudp_packet));
    conn->flights = (struct gy_rudp_flight *)at;
    return bits;
}

static void channel_init(struct gy_rudp_channel *channel, const struct gy_rudp_config *config,
                         uint64_t *bits)
{
    list_init(&channel->queue);
    list_init(&channel->active);
    list_init(&channel->blocked);
    list_init(&channel->granting);
    channel->granted = config->channel_window_bytes;
    for (unsigned k = 0; k < 2; k++) {
        channel->in[k].bits = bits;
        channel->out[k].bits = bits + WINDOW_BYTES / 8;
        bits += 2 * WINDOW_BYTES / 8;
    }
    channel->fec = config->fec_all && config->fec_packets != 0;
    channel->priority = GY_RUDP_PRIORITIES / 2;
    channel->weight = channel->turn = 1;
}

static int init(struct gy_rudp_conn *conn, const struct gy_rudp_config *config, void *memory,
                const struct gy_rudp_env *env, const struct gy_rudp_cid *self, uint64_t now_ns)
{
    if (!config_valid(config) || self->length > GY_RUDP_CID_MAX) {
        return GY_EINVAL;
    }
    gy_assert(now_ns != 0 && env->received != NULL && env->take != NULL && env->give != NULL);
    memset(conn, 0, sizeof *conn);
    conn->config = *config;
    conn->env = *env;
    conn->self = *self;
    conn->began_ns = conn->heard_ns = conn->spoken_ns = now_ns;
    conn->largest_acked = conn->lost_low = conn->skipped = UINT64_MAX;
    gy_rudp_recovery_begin(conn);
    conn->random = config->seed;
    conn->skip_number = 16 + config->seed % 256;
    conn->granted = config->window_bytes;
    uint64_t *bits = divide(conn, config, memory);

    list_init(&conn->repeat);
    list_init(&conn->crypto[0].repeat);
    list_init(&conn->crypto[1].repeat);
    conn->key_in_first = UINT64_MAX;
    list_init(&conn->all);
    list_init(&conn->due);
    list_init(&conn->finished);
    list_init(&conn->passing);
    list_init(&conn->blocked);
    list_init(&conn->granting);
    for (unsigned i = 0; i < GY_RUDP_PRIORITIES; i++) {
        list_init(&conn->active[i]);
    }
    for (uint32_t i = 0; i < config->channels; i++) {
        channel_init(&conn->channels[i], config, bits + (size_t)i * (WINDOWS * WINDOW_BYTES / 8));
    }
    return 0;
}

/* Who is not begun has nothing that must be freed. */
static int crypto_begin(struct gy_rudp_conn *conn, const struct gy_rudp_long *hello,
                        uint64_t now_ns)
{
    int code = gy_rudp_crypto_begin(conn, hello, now_ns);
    if (code != 0) {
        gy_rudp_free(conn);
    }
    return code;
}

int gy_rudp_connect(struct gy_rudp_conn *conn, const struct gy_rudp_config *config, void *memory,
                    const struct gy_rudp_env *env, const struct gy_rudp_cid *self, uint64_t now_ns)
{
    int code = init(conn, config, memory, env, self, now_ns);
    if (code == 0) {
        conn->client = true;
        conn->state = GY_RUDP_CONNECTING;
        conn->hello_ns = now_ns;
        if (is_sealed(conn) && config->has_address_token) {
            memcpy(conn->cookie, config->address_token, GY_RUDP_COOKIE_BYTES);
            conn->has_cookie = true;
        }
        code = crypto_begin(conn, NULL, now_ns);
    }
    return code;
}

void gy_rudp_congestion_begin(struct gy_rudp_conn *conn)
{
    const struct gy_rudp_config *config = &conn->config;
    if (config->fixed_rate != 0) {
        gy_rudp_fixed_init(&conn->congestion, config->datagram_bytes, config->fixed_rate,
                           (uint64_t)config->packets * config->datagram_bytes);
    } else if (config->congestion == GY_RUDP_BBR) {
        gy_rudp_bbr_init(&conn->congestion, config->datagram_bytes, config->seed);
    } else {
        gy_rudp_cubic_init(&conn->congestion, config->datagram_bytes);
    }
}

void gy_rudp_opened(struct gy_rudp_conn *conn, const struct gy_rudp_parameters *theirs,
                    uint64_t now_ns)
{
    struct gy_rudp_config *config = &conn->config;
    uint64_t theirs_ns = theirs->idle_timeout_ms < 1u << 30 ? theirs->idle_timeout_ms * MS : 0;
    conn->state = GY_RUDP_OPEN;
    conn->theirs = *theirs;
    conn->credit = theirs->window > conn->credit ? theirs->window : conn->credit;
    conn->heard_ns = now_ns;
    if (theirs->datagram_max < config->datagram_bytes) {
        config->datagram_bytes = (uint32_t)theirs->datagram_max;
    }
    if (theirs_ns != 0 && (config->idle_timeout_ns == 0 || theirs_ns < config->idle_timeout_ns)) {
        config->idle_timeout_ns = theirs_ns;
    }
    if (!is_sealed(conn)) { /* else it has been at work since the handshake */
        gy_rudp_congestion_begin(conn);
    }
    gy_rudp_mtu_begin(conn);
}

int gy_rudp_accept(struct gy_rudp_conn *conn, const struct gy_rudp_config *config, void *memory,
                   const struct gy_rudp_env *env, const struct gy_rudp_cid *self,
                   const struct gy_rudp_long *hello, const uint8_t token[GY_RUDP_TOKEN_BYTES],
                   uint64_t now_ns)
{
    gy_assert(hello->type == GY_RUDP_PACKET_HELLO);
    gy_assert((hello->version == GY_RUDP_VERSION) == (config->seal->handshake != NULL));
    int code = init(conn, config, memory, env, self, now_ns);
    if (code == 0) {
        memcpy(conn->token, token, GY_RUDP_TOKEN_BYTES);
        conn->accept_due = true;
        conn->peer = hello->from;
        if (is_sealed(conn)) {
            return crypto_begin(conn, hello, now_ns);
        }
        gy_rudp_opened(conn, &hello->parameters, now_ns);
    }
    return code;
}

static void finish_messages(struct gy_rudp_conn *conn)
{
    while (!list_empty(&conn->all)) {
        gy_rudp_message_end(conn, CONTAINER(conn->all.next, struct gy_rudp_message, all),
                            GY_RUDP_CLOSED);
    }
}

static void end(struct gy_rudp_conn *conn, enum gy_rudp_state state, uint64_t code,
                const char *reason)
{
    gy_assert(state > conn->state);
    if (conn->state <= GY_RUDP_OPEN) {
        conn->close_code = code;
        snprintf(conn->close_reason, sizeof conn->close_reason, "%s", reason);
        finish_messages(conn);
    }
    conn->state = state;
}

void gy_rudp_dead(struct gy_rudp_conn *conn, uint64_t code, const char *reason)
{
    end(conn, GY_RUDP_DEAD, code, reason);
}

void gy_rudp_fail(struct gy_rudp_conn *conn, uint64_t code, const char *reason, uint64_t now_ns)
{
    if (conn->state == GY_RUDP_CONNECTING) {
        gy_rudp_dead(conn, code, reason);
    } else if (conn->state <= GY_RUDP_OPEN) {
        end(conn, GY_RUDP_CLOSING, code, reason);
        conn->close_due = true;
        conn->close_half = false;
        conn->close_end_ns = now_ns + 3 * gy_rudp_pto_ns(conn);
    }
}

void gy_rudp_close(struct gy_rudp_conn *conn, uint64_t code, const char *reason, uint64_t now_ns)
{
    gy_assert(code == 0 || code == GY_RUDP_CLOSE_GOING || code >= GY_RUDP_CLOSE_APPLICATION);
    gy_rudp_fail(conn, code, reason, now_ns);
}

/* The peer's CLOSE: nothing is sent any more, RFC 9000 §10.2.2. */
void gy_rudp_drain(struct gy_rudp_conn *conn, const struct gy_rudp_frame *close, uint64_t now_ns)
{
    char reason[GY_RUDP_REASON_MAX + 1];
    memcpy(reason, close->close.reason, close->close.reason_bytes);
    reason[close->close.reason_bytes] = '\0';
    if (conn->state <= GY_RUDP_OPEN) {
        conn->closed_by_peer = true;
        conn->close_end_ns = now_ns + 3 * gy_rudp_pto_ns(conn);
    }
    end(conn, GY_RUDP_DRAINING, close->close.code, reason);
}

void gy_rudp_free(struct gy_rudp_conn *conn)
{
    if (conn->state < GY_RUDP_DEAD) {
        gy_rudp_dead(conn, 0, "");
    }
    gy_rudp_assemblies_free(conn);
    gy_rudp_crypto_free(conn);
    gy_rudp_fec_free(conn);
    /* The caller may use the memory for something else. */
    gy_unpoison(conn->pieces.base, (size_t)conn->pieces.capacity * conn->pieces.item_bytes);
    gy_unpoison(conn->assemblies.base,
                (size_t)conn->assemblies.capacity * conn->assemblies.item_bytes);
}

static uint64_t min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t idle_end(const struct gy_rudp_conn *conn)
{
    return conn->config.idle_timeout_ns == 0 ? UINT64_MAX
                                             : conn->heard_ns + conn->config.idle_timeout_ns;
}

/* While something is in flight, its probes keep the path alive. */
static uint64_t keepalive_at(const struct gy_rudp_conn *conn)
{
    if (conn->config.keepalive_ns == 0 || conn->eliciting > 0) {
        return UINT64_MAX;
    }
    return (conn->heard_ns > conn->spoken_ns ? conn->heard_ns : conn->spoken_ns) +
           conn->config.keepalive_ns;
}

static uint64_t handshake_end(const struct gy_rudp_conn *conn)
{
    return conn->config.handshake_timeout_ns == 0
               ? UINT64_MAX
               : conn->began_ns + conn->config.handshake_timeout_ns;
}

uint64_t gy_rudp_timeout(const struct gy_rudp_conn *conn)
{
    uint64_t at;
    switch (conn->state) {
    case GY_RUDP_CONNECTING:
        at = min64(conn->hello_ns, handshake_end(conn));
        return min64(at, gy_rudp_messages_timeout(conn));
    case GY_RUDP_HANDSHAKING:
    case GY_RUDP_OPEN:
        at = min64(gy_rudp_recovery_timeout(conn), gy_rudp_messages_timeout(conn));
        if (conn->ack_pending > 0 && gy_rudp_output_has_number(conn)) {
            at = min64(at, conn->ack_ns);
        }
        at = min64(at, conn->paced ? conn->pace_ns : UINT64_MAX);
        if (conn->state == GY_RUDP_HANDSHAKING) {
            return min64(at, handshake_end(conn));
        }
        at = min64(at, gy_rudp_keys_timeout(conn));
        at = min64(at, gy_rudp_path_timeout(conn));
        at = min64(at, gy_rudp_fec_timeout(conn));
        at = min64(at, keepalive_at(conn));
        return min64(at, idle_end(conn));
    case GY_RUDP_CLOSING:
    case GY_RUDP_DRAINING:
        return conn->close_end_ns;
    default:
        return UINT64_MAX;
    }
}

void gy_rudp_expire(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    switch (conn->state) {
    case GY_RUDP_CONNECTING:
        gy_rudp_messages_expire(conn, now_ns);
        if (now_ns >= handshake_end(conn)) {
            gy_rudp_dead(conn, GY_RUDP_CLOSE_HANDSHAKE, "the peer did not answer");
        }
        return;
    case GY_RUDP_HANDSHAKING:
        gy_rudp_messages_expire(conn, now_ns);
        if (now_ns >= handshake_end(conn)) {
            gy_rudp_dead(conn, GY_RUDP_CLOSE_HANDSHAKE, "the peer did not finish its handshake");
            return;
        }
        gy_rudp_recovery_expire(conn, now_ns);
        return;
    case GY_RUDP_OPEN:
        if (now_ns >= idle_end(conn)) {
            gy_rudp_dead(conn, GY_RUDP_CLOSE_IDLE, "nothing was heard of the peer for too long");
            return;
        }
        gy_rudp_recovery_expire(conn, now_ns);
        gy_rudp_keys_expire(conn, now_ns);
        gy_rudp_path_expire(conn, now_ns);
        gy_rudp_fec_expire(conn, now_ns);
        gy_rudp_messages_expire(conn, now_ns);
        if (now_ns >= keepalive_at(conn) && conn->probes == 0) {
            conn->probes = 1;
        }
        return;
    case GY_RUDP_CLOSING:
    case GY_RUDP_DRAINING:
        if (now_ns >= conn->close_end_ns) {
            gy_rudp_dead(conn, 0, "");
        }
        return;
    case GY_RUDP_DEAD:
        return;
    }
}

void gy_rudp_own_parameters(const struct gy_rudp_config *config, struct gy_rudp_parameters *out)
{
    *out = (struct gy_rudp_parameters){
        .window = config->window_bytes,
        .message_max = config->message_max,
        .channels = config->channels,
        .idle_timeout_ms = config->idle_timeout_ns / MS,
        .datagram_max = 65527,
        .ahead = config->assemblies / 2,
        .channel_window = config->channel_window_bytes,
        .features = GY_RUDP_FEATURE_CHANNELS | GY_RUDP_FEATURE_TOKENS |
                    (config->ecn ? GY_RUDP_FEATURE_ECN : 0),
    };
}

static size_t output_long(struct gy_rudp_conn *conn, enum gy_rudp_packet_type type, void *out,
                          size_t room, uint64_t now_ns)
{
    struct gy_rudp_long packet = {.type = type, .to = conn->peer, .from = conn->self};
    packet.version = GY_RUDP_VERSION_PLAIN;
    packet.cookie = conn->cookie;
    packet.cookie_bytes = conn->has_cookie ? GY_RUDP_COOKIE_BYTES : 0;
    if (is_sealed(conn)) {
        packet.version = GY_RUDP_VERSION;
        /* A server that answers with a cookie has not looked at anything else. */
        if (conn->has_cookie || !conn->client) {
            packet.crypto = conn->config.seal->handshake->said(conn->config.seal->keys,
                                                               GY_RUDP_CLEAR, &packet.crypto_bytes);
            packet.early = conn->early_packet;
            packet.early_bytes = conn->early_bytes;
        }
    } else {
        gy_rudp_own_parameters(&conn->config, &packet.parameters);
        packet.token = conn->token;
    }
    int bytes = gy_rudp_long_write(&packet, out, room);
    gy_assert(bytes > 0);
    conn->ecn.mark = GY_RUDP_NOT_ECT;
    conn->spoken_ns = now_ns;
    conn->stats.packets_sent++;
    conn->stats.bytes_sent += (uint64_t)bytes;
    return (size_t)bytes;
}

size_t gy_rudp_output(struct gy_rudp_conn *conn, void *out, size_t room, uint64_t now_ns)
{
    gy_assert(room >= conn->config.datagram_bytes && room >= conn->config.datagram_max);
    switch (conn->state) {
    case GY_RUDP_CONNECTING: {
        uint64_t wait = HELLO_FIRST_NS << (conn->hellos < 5 ? conn->hellos : 5);
        gy_rudp_messages_expire(conn, now_ns);
        if (now_ns < conn->hello_ns) {
            return 0;
        }
        conn->hellos++;
        if (conn->has_cookie && conn->cookie_hellos++ == 0) {
            conn->cookie_ns = now_ns;
            gy_rudp_crypto_early(conn, now_ns);
        }
        conn->hello_ns = now_ns + min64(wait, HELLO_MAX_NS);
        return output_long(conn, GY_RUDP_PACKET_HELLO, out, room, now_ns);
    }
    case GY_RUDP_HANDSHAKING:
    case GY_RUDP_OPEN:
        if (conn->accept_due) {
            conn->accept_due = false;
            return output_long(conn, GY_RUDP_PACKET_ACCEPT, out, room, now_ns);
        }
        gy_rudp_messages_expire(conn, now_ns);
        return gy_rudp_output_frames(conn, out, now_ns);
    case GY_RUDP_CLOSING:
        if (!conn->close_due || !gy_rudp_output_has_number(conn)) {
            return 0;
        }
        return gy_rudp_output_close(conn, out, now_ns);
    default:
        return 0;
    }
}
