/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_RUDP_INTERNAL_H
#define GY_PROTOCOLS_RUDP_INTERNAL_H

/* Shared by the files of one connection, see rudp.h. */

#include <stddef.h>
#include <string.h>

#include "core/error.h"
#include "core/siphash.h"
#include "protocols/rudp/rudp.h"

#define MS 1000000ull

/* Of the ring of sent packets, kept for what is no message: acknowledgements, probes, CLOSE. */
#define PACKETS_SPARE 8
/* Of the pieces, kept for those that must be cut in two because the path takes less than before. */
#define PIECES_SPARE 2

#define CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct gy_rudp_link *head)
{
    head->next = head->previous = head;
}

static inline bool list_empty(const struct gy_rudp_link *head)
{
    return head->next == head;
}

static inline void list_add(struct gy_rudp_link *before, struct gy_rudp_link *link)
{
    link->next = before;
    link->previous = before->previous;
    before->previous->next = link;
    before->previous = link;
}

/* Of a link in no list, too: then it links to itself. */
static inline void list_remove(struct gy_rudp_link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}

/* What a packet carries that must arrive, or whose loss matters: part of a message or a SKIP. It
 * is in exactly one place: a packet in flight, or the list of what is to be repeated. */
struct gy_rudp_piece {
    struct gy_rudp_link of_message, repeat;
    struct gy_rudp_piece *next;      /* in its packet */
    struct gy_rudp_message *message; /* NULL: a SKIP, or given up */
    uint32_t offset, length, tries;
    bool skip;
    uint8_t crypto; /* 1 + enum crypto_stream; 0: no part of the handshake */
    struct {
        enum gy_rudp_guarantee guarantee;
        uint8_t channel;
        uint64_t id;
        uint32_t total;
    } of; /* of a SKIP */
};

enum packet_state {
    PACKET_DONE, /* acknowledged, or nothing to acknowledge */
    PACKET_FLYING,
    PACKET_LOST,
    PACKET_OMITTED, /* a number that was never sent */
};

struct gy_rudp_packet {
    uint64_t number, sent_ns;
    uint32_t bytes;
    enum packet_state state;
    bool limited, credit, done;
    bool channel_credit, blocked; /* carries such frames */
    bool trial;                   /* of a longer datagram */
    bool recovered;               /* lost, says the peer, and brought back by a REPAIR */
    bool covered;                 /* by a REPAIR: may be acknowledged without having arrived */
    uint8_t ecn;                  /* enum gy_rudp_ecn_mark */
    enum gy_rudp_level level;
    uint64_t acks; /* the largest number it acknowledged; UINT64_MAX: none */
    struct gy_rudp_piece *pieces;
};

/* What an end says by TLS: before it is done, and after. */
enum crypto_stream {
    CRYPTO_HANDSHAKE,
    CRYPTO_APPLICATION,
};

static inline enum gy_rudp_level crypto_level(enum crypto_stream stream)
{
    return stream == CRYPTO_HANDSHAKE ? GY_RUDP_HANDSHAKE : GY_RUDP_APPLICATION;
}

struct gy_rudp_channel {
    struct gy_rudp_link queue;  /* messages not wholly sent */
    struct gy_rudp_link active; /* in conn->active[priority] while the queue is not empty */
    unsigned priority, weight;
    bool fec;
    struct gy_rudp_channel_stats stats;
    unsigned turn; /* packets that it may still fill before the others of its priority */
    uint64_t next_id[4];
    struct gy_rudp_window out[2], in[2]; /* UNORDERED, ORDERED */
    uint64_t newest;                     /* sequenced: the lowest id still wanted */
    /* Bytes of reliable messages, as those of the connection. `credit` is what the peer has said
     * beyond its parameters. */
    uint64_t credit, credit_used, blocked_at;
    uint64_t received, consumed, granted;
    uint64_t grant_number;                 /* of the packet that says `granted` */
    struct gy_rudp_link blocked, granting; /* in the connection's lists */
};

/* Whether what a channel's reader holds counts against the channel, and no longer against the
 * connection. */
static inline bool has_channel_credit(const struct gy_rudp_conn *conn)
{
    return conn->config.channel_window_bytes != 0 &&
           (conn->theirs.features & GY_RUDP_FEATURE_CHANNELS) != 0;
}

struct gy_rudp_assembly {
    struct gy_rudp_assembly *next;
    struct gy_rudp_link passing;
    uint8_t channel;
    enum gy_rudp_guarantee guarantee;
    uint64_t id;
    uint32_t total, have;
    bool early;
    uint8_t *memory; /* the data, then a bit for each unit */
};

static inline bool is_reliable(enum gy_rudp_guarantee guarantee)
{
    return guarantee >= GY_RUDP_UNORDERED;
}

static inline struct gy_rudp_packet *packet_at(struct gy_rudp_conn *conn, uint64_t number)
{
    return &conn->packets[number & (conn->config.packets - 1)];
}

static inline struct gy_rudp_flight *flight_at(struct gy_rudp_conn *conn, uint64_t number)
{
    return &conn->flights[number & (conn->config.packets - 1)];
}

/* Whether an id is done with, and marking it so. */
static inline bool window_has(const struct gy_rudp_window *window, uint64_t id)
{
    uint64_t bit = id % GY_RUDP_WINDOW_MESSAGES;
    gy_assert(id < window->base + GY_RUDP_WINDOW_MESSAGES);
    return id < window->base ||
           (id < window->top && (window->bits[bit / 64] >> (bit % 64) & 1) != 0);
}

/* Bits from `top` up to `end` are 0 from now on. */
static inline void window_clear(struct gy_rudp_window *window, uint64_t end)
{
    uint64_t at = window->top < window->base ? window->base : window->top;
    for (; at < end; at++) {
        uint64_t bit = at % GY_RUDP_WINDOW_MESSAGES;
        window->bits[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
    }
    window->top = end;
}

static inline void window_mark(struct gy_rudp_window *window, uint64_t id)
{
    gy_assert(id >= window->base && id < window->base + GY_RUDP_WINDOW_MESSAGES);
    if (id == window->base && id >= window->top) { /* in order: no bit is needed */
        window->base = window->top = id + 1;
        return;
    }
    if (id >= window->top) {
        window_clear(window, id + 1);
    }
    window->bits[id % GY_RUDP_WINDOW_MESSAGES / 64] |= UINT64_C(1) << (id % 64);
    while (window->base < window->top) {
        uint64_t bit = window->base % GY_RUDP_WINDOW_MESSAGES;
        if ((window->bits[bit / 64] >> (bit % 64) & 1) == 0) {
            return;
        }
        window->bits[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
        window->base++;
    }
}

/* conn.c */
void gy_rudp_fail(struct gy_rudp_conn *conn, uint64_t code, const char *reason, uint64_t now_ns);
void gy_rudp_dead(struct gy_rudp_conn *conn, uint64_t code, const char *reason);
void gy_rudp_opened(struct gy_rudp_conn *conn, const struct gy_rudp_parameters *theirs,
                    uint64_t now_ns);
void gy_rudp_own_parameters(const struct gy_rudp_config *config, struct gy_rudp_parameters *out);
void gy_rudp_drain(struct gy_rudp_conn *conn, const struct gy_rudp_frame *close, uint64_t now_ns);

static inline void event(const struct gy_rudp_conn *conn, enum gy_rudp_event_type type,
                         uint64_t number, size_t bytes, uint64_t now_ns)
{
    if (conn->env.event != NULL) {
        struct gy_rudp_event event = {type, (uint32_t)bytes, number, now_ns};
        conn->env.event(conn, &event);
    }
}

/* crypto.c: a seal with a handshake. Without one all of them do nothing. */
int gy_rudp_crypto_begin(struct gy_rudp_conn *conn, const struct gy_rudp_long *hello,
                         uint64_t now_ns);
void gy_rudp_crypto_accepted(struct gy_rudp_conn *conn, const struct gy_rudp_long *accept,
                             uint64_t now_ns);
/* With the first HELLO that the server will look at: what may go with it. */
void gy_rudp_crypto_early(struct gy_rudp_conn *conn, uint64_t now_ns);
/* false: no room for what came ahead of its turn, as gy_rudp_message_take(). */
bool gy_rudp_crypto_take(struct gy_rudp_conn *conn, enum gy_rudp_level level,
                         const struct gy_rudp_frame *frame, uint64_t now_ns);
/* DONE: the server has all of the handshake. */
void gy_rudp_crypto_confirmed(struct gy_rudp_conn *conn);
/* Whether something is to be sent at the level HANDSHAKE. */
bool gy_rudp_crypto_due(struct gy_rudp_conn *conn);
/* The HELLO came again. */
void gy_rudp_crypto_again(struct gy_rudp_conn *conn);
void gy_rudp_crypto_free(struct gy_rudp_conn *conn);
/* Whether a packet of that level may hold messages of the application. */
bool gy_rudp_crypto_may_send(const struct gy_rudp_conn *conn);
/* Before a packet of APPLICATION: a new generation of keys, if it is time. false: there may be no
 * more packets. */
bool gy_rudp_keys_ready(struct gy_rudp_conn *conn, uint64_t now_ns);
/* Which generation a packet of APPLICATION is of; and that it was opened so. */
uint32_t gy_rudp_keys_of(const struct gy_rudp_conn *conn, uint8_t flags, uint64_t number);
void gy_rudp_keys_opened(struct gy_rudp_conn *conn, uint32_t generation, uint64_t number,
                         uint64_t now_ns);
uint64_t gy_rudp_keys_timeout(const struct gy_rudp_conn *conn);
void gy_rudp_keys_expire(struct gy_rudp_conn *conn, uint64_t now_ns);

static inline bool is_sealed(const struct gy_rudp_conn *conn)
{
    return conn->config.seal->handshake != NULL;
}

/* path.c */
void gy_rudp_path_seen(struct gy_rudp_conn *conn, uint64_t where, size_t bytes);
void gy_rudp_path_answered(struct gy_rudp_conn *conn, uint64_t proof);
uint64_t gy_rudp_path_timeout(const struct gy_rudp_conn *conn);
void gy_rudp_path_expire(struct gy_rudp_conn *conn, uint64_t now_ns);
void gy_rudp_congestion_begin(struct gy_rudp_conn *conn); /* conn.c */

/* recovery.c */
/* The path is not known to reorder. */
void gy_rudp_recovery_begin(struct gy_rudp_conn *conn);
uint64_t gy_rudp_pto_ns(const struct gy_rudp_conn *conn);
/* The round trip of the HELLO. */
void gy_rudp_recovery_rtt(struct gy_rudp_conn *conn, uint64_t sample_ns);
/* Takes all packets of that level out of flight: their pieces are lost, or, `arrived`, done with.
 * It says nothing of the network. */
void gy_rudp_recovery_drop(struct gy_rudp_conn *conn, enum gy_rudp_level level, bool arrived);
/* 0, or GY_EPROTO: what was never sent cannot be acknowledged. */
int gy_rudp_acked(struct gy_rudp_conn *conn, const struct gy_rudp_ack *ack, uint64_t now_ns);
/* There is an acknowledgement to send. Where a few packets of ours, not acknowledged yet, keep the
 * numbers of very many mere acknowledgements from being forgotten, these are taken for lost: else
 * there would be no number for this one, and the peer would wait. */
void gy_rudp_recovery_make_room(struct gy_rudp_conn *conn, uint64_t now_ns);
/* Frees the numbers that nothing is expected of any more. */
void gy_rudp_recovery_advance(struct gy_rudp_conn *conn);
uint64_t gy_rudp_recovery_timeout(const struct gy_rudp_conn *conn);
void gy_rudp_recovery_expire(struct gy_rudp_conn *conn, uint64_t now_ns);

/* message.c */
void gy_rudp_piece_acked(struct gy_rudp_conn *conn, struct gy_rudp_piece *piece);
/* Reliable ones are repeated; an unreliable message ends as LOST. */
void gy_rudp_piece_lost(struct gy_rudp_conn *conn, struct gy_rudp_piece *piece);
uint64_t gy_rudp_messages_timeout(const struct gy_rudp_conn *conn);
void gy_rudp_messages_expire(struct gy_rudp_conn *conn, uint64_t now_ns);
void gy_rudp_message_end(struct gy_rudp_conn *conn, struct gy_rudp_message *message,
                         enum gy_rudp_result result);
void gy_rudp_message_doom(struct gy_rudp_conn *conn, struct gy_rudp_message *message,
                          enum gy_rudp_result result);
void gy_rudp_channel_settle(struct gy_rudp_conn *conn, struct gy_rudp_channel *channel);
/* A message waits for credit beyond `limit` of that channel, or, NULL, of the connection: the peer
 * is told once, for each limit. */
void gy_rudp_blocked(struct gy_rudp_conn *conn, struct gy_rudp_channel *channel, uint64_t limit);
/* A packet that said so is lost. */
void gy_rudp_blocked_lost(struct gy_rudp_conn *conn);
void gy_rudp_blocked_take(struct gy_rudp_conn *conn, const struct gy_rudp_frame *frame,
                          uint64_t now_ns);
void gy_rudp_channel_credit_take(struct gy_rudp_conn *conn, const struct gy_rudp_frame *frame,
                                 uint64_t now_ns);

/* assembly.c */
/* false: there is no room for it; what carried it is to be treated as lost. Taking the same part of
 * a reliable message twice does nothing. */
bool gy_rudp_message_take(struct gy_rudp_conn *conn, const struct gy_rudp_frame *frame,
                          uint64_t now_ns);
void gy_rudp_skip_take(struct gy_rudp_conn *conn, const struct gy_rudp_frame *frame,
                       uint64_t now_ns);
void gy_rudp_assemblies_free(struct gy_rudp_conn *conn);
/* A packet that carried credit of channels is lost. */
void gy_rudp_grants_lost(struct gy_rudp_conn *conn, uint64_t number);

/* fec.c */
#define FEC_OVERHEAD 18 /* of a REPAIR: so much shorter are the packets that it covers */
size_t gy_rudp_fec_memory_bytes(void); /* of what is kept */
/* A packet was sent, `frames` of it before they are protected. */
void gy_rudp_fec_sent(struct gy_rudp_conn *conn, uint64_t number, const uint8_t *frames,
                      size_t bytes, uint64_t now_ns);
/* Whether a REPAIR is to be sent now, and which. It is up to the next packet sent. */
bool gy_rudp_fec_due(struct gy_rudp_conn *conn, uint64_t now_ns);
void gy_rudp_fec_frame(struct gy_rudp_conn *conn, struct gy_rudp_frame *frame);
uint64_t gy_rudp_fec_timeout(const struct gy_rudp_conn *conn);
void gy_rudp_fec_expire(struct gy_rudp_conn *conn, uint64_t now_ns);
/* A packet has arrived and was taken. */
void gy_rudp_fec_keep(struct gy_rudp_conn *conn, uint64_t number, const uint8_t *frames,
                      size_t bytes, uint64_t now_ns);
void gy_rudp_fec_repair(struct gy_rudp_conn *conn, const struct gy_rudp_frame *frame,
                        uint64_t now_ns);
/* The peer says so; GY_EPROTO for a number that was never sent. */
int gy_rudp_fec_recovered(struct gy_rudp_conn *conn, uint64_t number);
void gy_rudp_fec_free(struct gy_rudp_conn *conn);

/* mtu.c */
void gy_rudp_mtu_begin(struct gy_rudp_conn *conn);
uint32_t gy_rudp_mtu_due(const struct gy_rudp_conn *conn, uint64_t now_ns);
void gy_rudp_mtu_sent(struct gy_rudp_conn *conn, uint32_t bytes);
void gy_rudp_mtu_acked(struct gy_rudp_conn *conn, uint32_t bytes, bool trial, uint64_t now_ns);
void gy_rudp_mtu_lost(struct gy_rudp_conn *conn, uint32_t bytes, bool trial, uint64_t now_ns);
/* Nothing was heard for one more probe timeout. */
void gy_rudp_mtu_silent(struct gy_rudp_conn *conn, uint64_t now_ns);

/* ecn.c */
/* The mark of the next packet, which is counted; `covered` by a REPAIR. */
uint8_t gy_rudp_ecn_next(struct gy_rudp_conn *conn, uint64_t number, bool covered);
/* The path is another one: it is tested. */
void gy_rudp_ecn_begin(struct gy_rudp_conn *conn);
/* A packet was taken that had that mark. */
void gy_rudp_ecn_taken(struct gy_rudp_conn *conn, uint8_t mark);
/* A marked packet is acknowledged, lost; then the acknowledgement as a whole, `newest`: it raises
 * the largest number. */
void gy_rudp_ecn_acked(struct gy_rudp_conn *conn, const struct gy_rudp_packet *packet);
void gy_rudp_ecn_lost(struct gy_rudp_conn *conn);
void gy_rudp_ecn_ack(struct gy_rudp_conn *conn, const struct gy_rudp_ack *ack, bool newest,
                     uint64_t now_ns);
/* Nothing was heard for one more probe timeout. */
void gy_rudp_ecn_silent(struct gy_rudp_conn *conn);

/* output.c */
/* Whether the ring of packets has room for one more, be it a mere acknowledgement. */
bool gy_rudp_output_has_number(const struct gy_rudp_conn *conn);
size_t gy_rudp_output_close(struct gy_rudp_conn *conn, uint8_t *out, uint64_t now_ns);
size_t gy_rudp_output_challenge(struct gy_rudp_conn *conn, uint8_t *out, uint64_t now_ns);
size_t gy_rudp_output_frames(struct gy_rudp_conn *conn, uint8_t *out, uint64_t now_ns);
/* A packet of the level EARLY with what may be sent twice, of at most `room` bytes; 0: nothing. */
size_t gy_rudp_output_early(struct gy_rudp_conn *conn, uint8_t *out, size_t room, uint64_t now_ns);

/* receive.c */
/* Frames that were recovered, of a packet that has not arrived: false if they make no sense. */
bool gy_rudp_recover(struct gy_rudp_conn *conn, uint64_t number, const uint8_t *frames,
                     size_t bytes, uint64_t now_ns);
/* Whether a packet of that number is to be looked at, and that it was. */
bool gy_rudp_seen_admits(const struct gy_rudp_conn *conn, uint64_t number);
void gy_rudp_seen_add(struct gy_rudp_conn *conn, uint64_t number);
/* The peer knows of all up to `number`. */
void gy_rudp_seen_forget(struct gy_rudp_conn *conn, uint64_t number);

#endif
