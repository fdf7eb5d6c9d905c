/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_WEBSOCKET_WEBSOCKET_H
#define GY_PROTOCOLS_WEBSOCKET_WEBSOCKET_H

/*
 * WebSocket (RFC 6455) behind its handshake: messages over a stream of bytes, either side of it.
 * The handshake is in handshake.h.
 *
 * Bytes and the time go in, events and bytes come out. The owner
 *
 *     gives received bytes to gy_ws_read() until it returns 0, and does what each event asks for
 *     sends what gy_ws_send() and the rest put into `out`
 *     calls gy_ws_expire() when gy_ws_deadline() has passed
 *     closes the stream when gy_ws_wants() says so
 *
 * Pings are answered, Close frames too, and a peer that breaks the protocol gets the Close that
 * says why; the owner is told of each.
 *
 * Payload. Slices that were received are never written (core/slice.h), so that masked payload is
 * unmasked into output memory, once, in the copy that takes it out of the receive buffers; what a
 * client gets is not masked, and is handed on as it is. The slices of a message may be sent on
 * (an echo, a broadcast) without another copy. Copied bytes are counted.
 *
 * Memory: a message is kept until it is whole, which is at most limits.message_max bytes; what is
 * to be sent is at most limits.output_max bytes and one frame.
 *
 * Everything belongs to one worker. Nothing here allocates, blocks, or asks for the time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../core/bump.h"
#include "../../core/error.h"
#include "../../core/slice.h"
#include "deflate.h"

struct gy_ws_vector;

/* Status codes of a Close (RFC 6455 §7.4.1 and the IANA registry). */
enum gy_ws_code {
    GY_WS_NORMAL = 1000,
    GY_WS_GOING_AWAY = 1001,
    GY_WS_PROTOCOL_ERROR = 1002,
    GY_WS_UNSUPPORTED = 1003,
    GY_WS_NO_CODE = 1005,  /* never sent: the Close had none */
    GY_WS_ABNORMAL = 1006, /* never sent: there was no Close */
    GY_WS_NOT_TEXT = 1007,
    GY_WS_POLICY = 1008,
    GY_WS_TOO_BIG = 1009,
    GY_WS_INTERNAL = 1011,
    GY_WS_TRY_LATER = 1013,
};

/* What a message is, and what gy_ws_send() takes. */
enum gy_ws_kind {
    GY_WS_TEXT = 1,
    GY_WS_BINARY = 2,
};

/* The most that a control frame carries (§5.5), and a Close's reason. */
#define GY_WS_CONTROL_MAX 125
#define GY_WS_REASON_MAX  123

/* The longest head of a frame (§5.2). */
#define GY_WS_HEAD_MAX 14

#define GY_WS_NO_DEADLINE UINT64_MAX

struct gy_ws_limits {
    uint64_t frame_max;   /* bytes of payload in one data frame; more is refused with 1009 */
    uint32_t message_max; /* of a message; likewise */
    uint32_t output_high; /* bytes in `out` above which nothing more is read */
    uint32_t output_max;  /* above which gy_ws_send() refuses */
    uint32_t deflate_min; /* messages shorter than this are not compressed; at least 1 */
    uint32_t message_ms;  /* for a message that has begun to be whole; 0: any time */
    uint32_t ping_ms;     /* of silence until a Ping is sent; 0: never */
    uint32_t pong_ms;     /* of further silence until the peer is given up */
    uint32_t close_ms;    /* for the peer to answer our Close, and to end the stream */
};

/* 16 MiB frames and messages, 64 KiB and 1 MiB of output, 60 s for a message, Ping after 30 s and
 * 20 s to answer it, 5 s for a Close. */
extern const struct gy_ws_limits gy_ws_limits_default;

struct gy_ws_counters {
    uint64_t messages_in, messages_out;
    uint64_t bytes_in, bytes_out; /* of payload in data frames */
    uint64_t copied_bytes;        /* of payload: unmasking, masking, and small pieces */
    uint64_t pings_in, pings_out;
    uint64_t breaches; /* 1002 */
    uint64_t not_text; /* 1007 */
    uint64_t too_big;  /* 1009 */
    uint64_t timeouts; /* messages that came too slowly, Pings and Closes not answered */
    uint64_t packed_in, packed_out;             /* messages that were compressed */
    uint64_t packed_bytes_in, packed_bytes_out; /* what these were on the wire */
    uint64_t refused;                           /* messages that found `out` at output_max */
};

/* What the connections of one worker share. */
struct gy_ws_env {
    struct gy_bump *bump;
    struct gy_slab *links; /* of every chain */
    /* Keys of the frames that a client sends: bits that the peer cannot foresee (§5.3). A server
     * needs none. */
    uint32_t (*random)(void *context);
    void *random_context;
    struct gy_ws_memory memory; /* for messages that are compressed once for many */
    struct gy_ws_limits limits;
    struct gy_ws_counters counters;
    const struct gy_ws_vector *vector;
};

/* With the default limits; set others afterwards. */
void gy_ws_env_init(struct gy_ws_env *env, struct gy_bump *bump, struct gy_slab *links);

/* UTF-8 in pieces: what the next byte must be, while `left` > 0, from `low` to `high`. */
struct gy_ws_utf8 {
    uint8_t left; /* bytes of a character that are still to come */
    uint8_t low, high;
};

/* A message that is encoded once for many connections. */
struct gy_ws_encoded {
    struct gy_chain plain; /* its frame, as it is */
    uint32_t head_bytes;   /* of that */
    enum gy_ws_kind kind;
    /* By the window that it needs, made when it is first wanted. */
    struct gy_chain packed[GY_WS_BITS_MAX - GY_WS_BITS_MIN + 1];
};

/* One connection. Embed it in the owner's; its members are private. */
struct gy_ws {
    struct gy_ws_env *env;
    struct gy_chain *out;
    struct gy_ws_deflate *deflate; /* NULL: nothing is compressed */
    struct gy_chain message;       /* what has come of the message that is being read */
    uint64_t frame_left;           /* payload of this frame still to come */
    uint64_t heard_ns;             /* when the peer last said anything */
    uint64_t since_ns;             /* Ping or Close sent: when */
    uint64_t message_ns;           /* when the message began */
    uint32_t key;                  /* of this frame, for its next byte */
    uint16_t flags;
    uint8_t state;
    uint8_t kind;   /* of the message that is being read; 0: none */
    uint8_t opcode; /* of this frame */
    uint8_t have;   /* bytes of `bytes` */
    struct gy_ws_utf8 text;
    uint8_t bytes[GY_WS_CONTROL_MAX]; /* a frame's head, then a control frame's payload */
};

/* `out` has the links of the env. `client`: it masks what it sends, and takes no masked frames. */
void gy_ws_init(struct gy_ws *ws, struct gy_ws_env *env, struct gy_chain *out, bool client,
                uint64_t now_ns);

/* From the handshake on: messages may be compressed (RFC 7692), as was agreed. It is the
 * connection's from now on. Memory for it that runs out ends the connection with 1011. */
void gy_ws_use_deflate(struct gy_ws *ws, struct gy_ws_deflate *deflate);

enum gy_ws_event_type {
    GY_WS_MESSAGE = 1, /* `message` is whole: take it from there, or leave it to be dropped */
    GY_WS_PING,        /* was answered */
    GY_WS_PONG,
    GY_WS_CLOSED, /* the peer closed (and was answered), or broke a rule (and was told) */
};

struct gy_ws_event {
    enum gy_ws_event_type type;
    enum gy_ws_kind kind;     /* of a message */
    struct gy_chain *message; /* valid until the next call */
    const uint8_t *data;      /* of Ping and Pong, or the reason of a Close; until the next call */
    uint32_t bytes;
    uint16_t code; /* GY_WS_CLOSED: the peer's, GY_WS_NO_CODE, or the one the peer was told */
    bool failed;   /* GY_WS_CLOSED: the peer broke a rule; `data` says which */
};

/*
 * Reads from `in`, and drops what it has read, up to the next event.
 * Returns 1 with an event; 0 when all of `in` was read; GY_EAGAIN when `out` has more than
 * output_high and must be sent first; GY_ENOBUFS when there is no memory now: call again when some
 * sends have completed. Behind GY_WS_CLOSED whatever comes is dropped unread.
 */
int gy_ws_read(struct gy_ws *ws, struct gy_chain *in, uint64_t now_ns, struct gy_ws_event *event);

/* What the owner is to do. */
enum gy_ws_want {
    GY_WS_WANT_END = 1 << 0,   /* when `out` is sent, end our side of the stream: nothing follows */
    GY_WS_WANT_CLOSE = 1 << 1, /* when `out` is sent, close the stream; do not wait for the peer */
};

uint32_t gy_ws_wants(const struct gy_ws *ws);

/* Whether messages can be sent. */
bool gy_ws_is_open(const struct gy_ws *ws);

/* Pieces of output memory that a message which is not whole holds, if it began until `until_ns`; 0:
 * there is none. gy_ws_close() gives them back. */
uint32_t gy_ws_held(const struct gy_ws *ws, uint64_t until_ns);

/* When gy_ws_expire() is to be called (ns), or GY_WS_NO_DEADLINE. Changes with every call. */
uint64_t gy_ws_deadline(const struct gy_ws *ws);

/* Sends the Ping that is due, or gives up a peer that was silent, or slow, too long: then it
 * returns 1 with GY_WS_CLOSED, otherwise 0. Does nothing before the deadline. Follow gy_ws_wants()
 * and gy_ws_deadline() afterwards. */
int gy_ws_expire(struct gy_ws *ws, uint64_t now_ns, struct gy_ws_event *event);

/*
 * Sends a message in one frame. Text must be UTF-8, which is the caller's to see to. `payload` is
 * emptied into `out` by a server, copied by a client; pieces of up to 512 bytes are copied.
 * 0; GY_ESTATE when it is closing or closed; GY_ELIMIT when `out` has more than output_max, which
 * is counted: whether to drop the message, to keep it, or to close is the caller's choice;
 * GY_ENOBUFS, no memory now. After an error `payload` is as it was, and nothing was sent.
 */
int gy_ws_send(struct gy_ws *ws, enum gy_ws_kind kind, struct gy_chain *payload);

/* The same with bytes that are copied: at most GY_WS_COPY_MAX (else GY_EINVAL). */
#define GY_WS_COPY_MAX (GY_BUMP_BLOCK_BYTES - GY_WS_HEAD_MAX)
int gy_ws_send_copy(struct gy_ws *ws, enum gy_ws_kind kind, const void *data, uint32_t bytes);

/* A message in parts (§5.4): the first is of its kind, the others of kind 0, `last` is with the
 * last. Nothing but gy_ws_ping() and gy_ws_close() in between. Otherwise as gy_ws_send_copy(). */
int gy_ws_send_part(struct gy_ws *ws, uint32_t kind, bool last, const void *data, uint32_t bytes);

/* For many servers' connections: encodes a message once, and again for each size of window that
 * one of them has agreed on (RFC 7692), when that one first gets it; each connection gets a share.
 * `payload` is emptied into `encoded`, which need not be initialised. 0, or GY_ENOBUFS (nothing is
 * changed). */
int gy_ws_encode(struct gy_ws_env *env, enum gy_ws_kind kind, struct gy_chain *payload,
                 struct gy_ws_encoded *encoded);
int gy_ws_send_encoded(struct gy_ws *ws, struct gy_ws_encoded *encoded);
void gy_ws_encoded_end(struct gy_ws_encoded *encoded);

/* Pings, with up to GY_WS_CONTROL_MAX bytes that come back. Errors as gy_ws_send(). */
int gy_ws_ping(struct gy_ws *ws, const void *data, uint32_t bytes);

/* Begins to close: sends a Close with a code (one that may be sent, or GY_WS_NO_CODE) and a reason
 * of at most GY_WS_REASON_MAX bytes of UTF-8. The peer answers within close_ms, or is given up; of
 * what it still sends only control frames count. 0, or GY_ESTATE (twice), GY_EINVAL; without
 * memory the stream is to be closed without a Close. */
int gy_ws_close(struct gy_ws *ws, uint16_t code, const char *reason, uint64_t now_ns);

/* Gives back what it holds. `out` is the owner's to clear. */
void gy_ws_end(struct gy_ws *ws);

/* Whether a code may be in a Close (§7.4). */
bool gy_ws_code_may_be_sent(uint16_t code);

#endif
