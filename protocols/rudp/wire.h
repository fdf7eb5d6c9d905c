/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_RUDP_WIRE_H
#define GY_PROTOCOLS_RUDP_WIRE_H

/*
 * Reliable UDP, the bytes: headers and frames as README.md describes them bit by bit. Nothing here
 * keeps state. Readers accept exactly what the description allows; what they hand out points into
 * the packet.
 */

#include "../../core/cursor.h"

/* The version says whether packets are encrypted: neither end takes the other one for its own. */
#define GY_RUDP_VERSION       0x67790002u
#define GY_RUDP_VERSION_PLAIN 0x67790001u

/* A connection id, 0 to 8 bytes. */
#define GY_RUDP_CID_MAX 8
/* A client's HELLO is padded to this many bytes, so that no answer to it amplifies (RFC 9000 §8.1).
 */
#define GY_RUDP_HELLO_BYTES   1200
#define GY_RUDP_COOKIE_BYTES  16
#define GY_RUDP_TOKEN_BYTES   16 /* of a stateless reset */
#define GY_RUDP_CHECK_BYTES   8  /* that end a long packet */
#define GY_RUDP_RANGES_MAX    32
#define GY_RUDP_REASON_MAX    128
#define GY_RUDP_UNIT          64u /* the offset of a message's piece is a multiple of it */
#define GY_RUDP_MESSAGE_LIMIT (16u << 20)
/* Forward error correction: the longest frames of one packet that a REPAIR covers, and how far
 * apart the numbers of the packets that it covers are at most. */
#define GY_RUDP_FEC_BYTES  1500u
#define GY_RUDP_FEC_SPAN   32u
#define GY_RUDP_VARINT_MAX ((UINT64_C(1) << 62) - 1)

struct gy_rudp_cid {
    uint8_t bytes[GY_RUDP_CID_MAX];
    uint8_t length;
};

static inline bool gy_rudp_cid_equal(const struct gy_rudp_cid *a, const struct gy_rudp_cid *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

enum gy_rudp_packet_type {
    GY_RUDP_PACKET_VERSIONS, /* long form, version 0 */
    GY_RUDP_PACKET_HELLO,
    GY_RUDP_PACKET_RETRY,
    GY_RUDP_PACKET_ACCEPT,
    GY_RUDP_PACKET_SHORT,
    GY_RUDP_PACKET_UNKNOWN, /* long form of a version that is not ours */
};

/* What both ends say of themselves in HELLO and ACCEPT. */
struct gy_rudp_parameters {
    uint64_t window;          /* bytes of reliable messages the peer may begin at first */
    uint64_t message_max;     /* longest message accepted, bytes */
    uint64_t channels;        /* 1 to 256 */
    uint64_t idle_timeout_ms; /* 0: none */
    uint64_t datagram_max;    /* longest datagram accepted, bytes */
    uint64_t ahead; /* ordered messages that may be begun and not done with; 0: not said */
    /* Bytes of reliable messages of one channel that the peer may begin at first; 0: channels have
     * no credit of their own. */
    uint64_t channel_window;
    uint64_t features; /* GY_RUDP_FEATURE_…; bits that are not known mean nothing */
};

/* Sees the ECN field of what arrives, and takes and says what was seen (RFC 9000 §13.4). */
#define GY_RUDP_FEATURE_ECN 0x01u
/* Knows the frames of the credit of channels. */
#define GY_RUDP_FEATURE_CHANNELS 0x02u
/* Knows the frame ADDRESS_TOKEN. */
#define GY_RUDP_FEATURE_TOKENS 0x04u

/* The ECN field of a datagram, RFC 3168 §5. */
enum gy_rudp_ecn_mark {
    GY_RUDP_NOT_ECT,
    GY_RUDP_ECT1,
    GY_RUDP_ECT0,
    GY_RUDP_CE,
};

struct gy_rudp_long {
    enum gy_rudp_packet_type type;
    uint32_t version; /* GY_RUDP_VERSION or GY_RUDP_VERSION_PLAIN; 0 of VERSIONS; any of UNKNOWN */
    struct gy_rudp_cid to, from;
    const uint8_t *cookie; /* HELLO: 0 or 16 bytes; RETRY: 16 */
    size_t cookie_bytes;
    const uint8_t *token;                 /* ACCEPT: 16 bytes */
    struct gy_rudp_parameters parameters; /* HELLO, ACCEPT of PLAIN */
    /* HELLO, ACCEPT of VERSION: what TLS says, and, HELLO, a packet of the level EARLY, if any. */
    const uint8_t *crypto, *early;
    size_t crypto_bytes, early_bytes;
    const uint8_t *versions; /* VERSIONS: four bytes each */
    size_t version_count;
};

/* What a short packet is under, in bits 4 and 5 of byte 0; always 0 in the version PLAIN. */
enum gy_rudp_level {
    GY_RUDP_APPLICATION,
    GY_RUDP_EARLY,     /* only within a HELLO */
    GY_RUDP_HANDSHAKE, /* what TLS says from EncryptedExtensions on */
    GY_RUDP_CLEAR,     /* no packet: what HELLO and ACCEPT carry */
};
#define GY_RUDP_LEVELS    4
#define GY_RUDP_KEY_PHASE 0x04 /* of byte 0, under header protection */

static inline enum gy_rudp_level gy_rudp_level_of(uint8_t flags)
{
    return (enum gy_rudp_level)(flags >> 4 & 3);
}

enum gy_rudp_frame_type {
    GY_RUDP_FRAME_PADDING = 0x00,
    GY_RUDP_FRAME_PING = 0x01,
    GY_RUDP_FRAME_ACK = 0x02,
    GY_RUDP_FRAME_CLOSE = 0x03,
    GY_RUDP_FRAME_CREDIT = 0x04,
    GY_RUDP_FRAME_SKIP = 0x05,
    GY_RUDP_FRAME_CHALLENGE = 0x06,
    GY_RUDP_FRAME_RESPONSE = 0x07,
    GY_RUDP_FRAME_CRYPTO = 0x08,
    GY_RUDP_FRAME_DONE = 0x09,
    GY_RUDP_FRAME_ACK_ECN = 0x0a, /* read as an ACK that has counts */
    GY_RUDP_FRAME_CHANNEL_CREDIT = 0x0b,
    GY_RUDP_FRAME_REPAIR = 0x0c,
    GY_RUDP_FRAME_RECOVERED = 0x0d,
    GY_RUDP_FRAME_BLOCKED = 0x0e,
    GY_RUDP_FRAME_CHANNEL_BLOCKED = 0x0f,
    GY_RUDP_FRAME_MESSAGE = 0x10, /* to 0x1f */
    GY_RUDP_FRAME_ADDRESS_TOKEN = 0x20,
};
#define GY_RUDP_MESSAGE_PART 0x04 /* total length and offset are there */
#define GY_RUDP_MESSAGE_LAST 0x08 /* no length: the data reach to the packet's end */

/* The low two bits of a MESSAGE frame. */
enum gy_rudp_guarantee {
    GY_RUDP_UNRELIABLE,
    GY_RUDP_SEQUENCED, /* what is older than the newest delivered is dropped */
    GY_RUDP_UNORDERED, /* reliable */
    GY_RUDP_ORDERED,   /* reliable, in the channel's order */
};

struct gy_rudp_range {
    uint64_t low, high; /* both included */
};

struct gy_rudp_ack {
    uint64_t delay_us;
    uint32_t count;
    bool counted;            /* what follows is there */
    uint64_t ect0, ect1, ce; /* packets taken with that mark since the connection began */
    struct gy_rudp_range ranges[GY_RUDP_RANGES_MAX]; /* highest first, a gap between any two */
};

struct gy_rudp_frame {
    enum gy_rudp_frame_type type;
    union {
        struct gy_rudp_ack ack;
        struct {
            uint64_t code;
            const uint8_t *reason;
            size_t reason_bytes;
        } close;
        uint64_t credit; /* CREDIT and BLOCKED: bytes of reliable messages since the beginning */
        struct {
            uint8_t channel;
            uint64_t credit;          /* of that channel */
        } of_channel;                 /* CHANNEL_CREDIT and CHANNEL_BLOCKED */
        uint64_t recovered;           /* a packet's number */
        const uint8_t *address_token; /* GY_RUDP_COOKIE_BYTES */
        struct {
            uint64_t first;   /* number of the first packet covered */
            uint32_t mask;    /* bit i: first + 1 + i is covered too */
            uint32_t lengths; /* of the covered packets' frames, by XOR */
            const uint8_t *data;
            size_t length;
        } repair;
        uint64_t proof; /* CHALLENGE and RESPONSE: random, and the same sent back */
        struct {
            uint64_t offset; /* in what TLS says at the packet's level */
            const uint8_t *data;
            size_t length;
        } crypto;
        struct {
            enum gy_rudp_guarantee guarantee; /* UNORDERED or ORDERED */
            uint8_t channel;
            uint64_t id;
            uint64_t total;
        } skip;
        struct {
            enum gy_rudp_guarantee guarantee;
            uint8_t channel;
            uint64_t id;    /* 0 for a whole unreliable message, which has none */
            uint64_t total; /* of the message, bytes */
            uint64_t offset;
            const uint8_t *data;
            size_t length;
        } message;
    };
};

/* Integers of 1, 2, 4 or 8 bytes (RFC 9000 §16); any of the lengths is accepted. */
static inline uint64_t gy_rudp_varint_read(struct gy_reader *reader)
{
    uint64_t value = gy_reader_u8(reader);
    unsigned more = (1u << (value >> 6)) - 1;
    value &= 0x3f;
    while (more-- > 0) {
        value = value << 8 | gy_reader_u8(reader);
    }
    return value;
}

static inline size_t gy_rudp_varint_bytes(uint64_t value)
{
    return value < 64 ? 1 : value < 16384 ? 2 : value < 1u << 30 ? 4 : 8;
}

/* `value` is at most GY_RUDP_VARINT_MAX. */
void gy_rudp_varint_write(struct gy_writer *writer, uint64_t value);

/* A packet's number in `bytes` bytes, and back: the number nearest to the one expected (RFC 9000
 * §17.1, A.2, A.3). gy_rudp_number_bytes: how many are needed when `acked` is the largest
 * acknowledged (UINT64_MAX: none yet). */
unsigned gy_rudp_number_bytes(uint64_t number, uint64_t acked);
uint64_t gy_rudp_number_expand(uint64_t expected, uint32_t truncated, unsigned bytes);

/* What TLS carries for each end, in the extension of RFC 9001 §8.2, so that nobody in between can
 * change it: what the long packets of PLAIN say in the clear, and the connection ids once more. */
struct gy_rudp_claims {
    uint32_t version;
    struct gy_rudp_cid self, peer; /* peer: the server's only; a client does not know it yet */
    uint8_t token[GY_RUDP_TOKEN_BYTES];
    bool has_token; /* the server's */
    struct gy_rudp_parameters parameters;
};

#define GY_RUDP_CLAIMS_MAX 128

size_t gy_rudp_claims_write(const struct gy_rudp_claims *claims, uint8_t out[GY_RUDP_CLAIMS_MAX]);
int gy_rudp_claims_read(const uint8_t *data, size_t bytes, struct gy_rudp_claims *claims);

/* Where a packet is to go: its type and, for SHORT, `to` of `cid_bytes` bytes (what the receiver
 * gives out). 0, or GY_EPROTO for what is no packet of any version. Reads no more than that. */
int gy_rudp_packet_peek(const void *data, size_t bytes, size_t cid_bytes, struct gy_rudp_long *out);

/* A long packet's fields are read from, and written to, what `version` says; both versions are read
 * here, and whose it is, is for the caller to see. */

/* Reads a long packet whole, its check included. GY_EPROTO for anything else than README.md says,
 * SHORT packets and versions that are neither of ours included. */
int gy_rudp_long_read(const void *data, size_t bytes, struct gy_rudp_long *out);

/* Writes one; HELLO is padded to GY_RUDP_HELLO_BYTES. The bytes written, or GY_ENOBUFS. */
int gy_rudp_long_write(const struct gy_rudp_long *packet, void *out, size_t room);

/* The next frame, 1; 0 at the end of the packet; GY_EPROTO for a malformed one. */
int gy_rudp_frame_read(struct gy_reader *reader, struct gy_rudp_frame *frame);

/* Appends a frame. A message goes without its length when `last` says that nothing follows it.
 * Returns false and leaves the writer as it was if it does not fit. */
bool gy_rudp_frame_write(struct gy_writer *writer, const struct gy_rudp_frame *frame, bool last);

/* Bytes of a MESSAGE frame around its data, its length included. */
size_t gy_rudp_message_overhead(const struct gy_rudp_frame *frame);

#endif
