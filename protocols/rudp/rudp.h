/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_RUDP_RUDP_H
#define GY_PROTOCOLS_RUDP_RUDP_H

/*
 * Reliable UDP: one connection. Datagrams and the time go in, messages and datagrams come out; no
 * sockets, no clock, no allocation. README.md has the protocol; the terms are those of RFC 9000,
 * 9002 and 9622.
 *
 *     bytes = gy_rudp_memory_bytes(&config);                  once, for all connections alike
 *     gy_rudp_connect(&conn, &config, memory, &env, …, now);  or gy_rudp_accept(), see gate.h
 *     gy_rudp_receive(&conn, datagram, bytes, now);           for each datagram
 *     gy_rudp_expire(&conn, now);                             when gy_rudp_timeout() is reached
 *     while ((n = gy_rudp_output(&conn, out, sizeof out, now)) > 0) … send n bytes
 *     while ((message = gy_rudp_finished(&conn)) != NULL) … its memory is the caller's again
 *
 * After each of receive, expire, send and consumed: output, then ask for the next timeout.
 *
 * A message to send is the caller's memory, struct and data, from gy_rudp_send() until
 * gy_rudp_finished() hands it back with its result; nothing is copied before the packet is written.
 * Received messages are given to `received` in memory that is only valid during the call. From
 * within it only gy_rudp_send(), gy_rudp_consumed() and gy_rudp_close() may be called.
 *
 * Times are nanoseconds of one monotonic clock, never 0, never going back.
 */

#include "congestion.h"
#include "seal.h"
#include "wire.h"

#define GY_RUDP_PRIORITIES      8
#define GY_RUDP_FEC_PACKETS_MAX 16
/* Messages of one channel and guarantee that may be unfinished at once, begun ones. */
#define GY_RUDP_WINDOW_MESSAGES 4096
/* Ranges of packets that a receiver remembers; an acknowledgement says GY_RUDP_RANGES_MAX of them.
 */
#define GY_RUDP_SEEN_MAX 128

struct gy_rudp_conn;

struct gy_rudp_link {
    struct gy_rudp_link *next, *previous;
};

enum gy_rudp_result {
    GY_RUDP_PENDING,
    GY_RUDP_ACKED,     /* every byte has reached the peer's connection */
    GY_RUDP_LOST,      /* a part of an unreliable message was lost */
    GY_RUDP_EXPIRED,   /* its deadline passed or its tries were used up */
    GY_RUDP_CANCELLED, /* by gy_rudp_cancel() */
    GY_RUDP_REFUSED,   /* longer than the peer takes, or on a channel it has not */
    GY_RUDP_CLOSED,    /* the connection ended first */
};

/* The upper part is filled in by the caller, the rest is the connection's. */
struct gy_rudp_message {
    const uint8_t *data;
    uint32_t length; /* up to the peer's message_max */
    uint8_t channel;
    enum gy_rudp_guarantee guarantee;
    uint64_t deadline_ns; /* not begun and not repeated from then on; 0: none.
                           * Becomes 1 when the message is given up before. */
    uint32_t tries_max;   /* how often one piece is sent at most; 0: no bound */
    bool replayable; /* taking it twice does no harm: it may go with the first packet (0-RTT) */
    void *user;

    enum gy_rudp_result result;
    enum gy_rudp_result doom; /* why it is to be given up, once there is memory to say so */
    bool begun;
    uint32_t sent; /* bytes that were sent at least once */
    uint64_t id;
    struct gy_rudp_link queue; /* its channel's, or the finished ones */
    struct gy_rudp_link all;
    struct gy_rudp_link due; /* by deadline */
    struct gy_rudp_link pieces;
};

enum gy_rudp_event_type {
    GY_RUDP_EVENT_SENT,
    GY_RUDP_EVENT_RECEIVED,
    GY_RUDP_EVENT_LOST,
};

struct gy_rudp_event {
    enum gy_rudp_event_type type;
    uint32_t bytes;
    uint64_t number, now_ns;
};

/* What a connection tells, and where it gets memory for messages that arrive in pieces. */
struct gy_rudp_env {
    /* A message. true: its bytes are consumed; false: they will be, and until then they count
     * against the channel's window, or the connection's: gy_rudp_consumed(). Unreliable ones do not
     * count. */
    bool (*received)(struct gy_rudp_conn *conn, uint8_t channel, enum gy_rudp_guarantee guarantee,
                     const uint8_t *data, size_t length);
    /* `bytes` of memory, or NULL. Never more at once than gy_rudp_reassembly_bytes(). NULL: the
     * part is treated as lost, and repeated if its message is reliable. */
    void *(*take)(void *owner, size_t bytes);
    void (*give)(void *owner, void *memory, size_t bytes);
    void *owner;
    /* What became of a packet, for who looks into it; NULL: nobody does. `conn` may be read. */
    void (*event)(const struct gy_rudp_conn *conn, const struct gy_rudp_event *event);
};

struct gy_rudp_config {
    uint32_t datagram_bytes; /* of the longest datagram sent at first: 1200 to 65527 */
    uint32_t datagram_max;   /* longer ones are tried up to that (RFC 8899); 0: none */
    uint32_t channels;       /* 1 to 256 */
    uint32_t packets;        /* sent ones kept at once: a power of two, 64 or more */
    uint32_t pieces;         /* of messages in flight or to be repeated */
    uint32_t assemblies;     /* messages that arrive in pieces or too early, 8 or more */
    uint64_t window_bytes; /* of reliable messages begun and not consumed; with channel_window_bytes
                            * begun and not received */
    /* Of one channel's reliable messages begun and not consumed: as much as its reader may hold, so
     * that all readers together hold `channels` times that at most, and one that does not read
     * keeps no other channel waiting. 0: they all share window_bytes. */
    uint64_t channel_window_bytes;
    uint64_t message_max;     /* at most 3/4 of either window, and GY_RUDP_MESSAGE_LIMIT */
    uint64_t idle_timeout_ns; /* 0: none; the smaller of the two ends' holds */
    uint64_t keepalive_ns;    /* a PING after so long a silence; 0: never */
    uint64_t handshake_timeout_ns;
    uint32_t fec_packets; /* a REPAIR for so many packets of channels that ask for it: 2 to
                           * GY_RUDP_FEC_PACKETS_MAX; 0: none are sent. Those of the peer are used
                           * in either case. */
    bool fec_all;         /* every channel begins by asking for it */
    uint64_t timer_ns;    /* how late gy_rudp_expire() may come: what the pacing makes up for */
    uint64_t fixed_rate;  /* bytes a second, whatever happens; 0: `congestion` */
    enum gy_rudp_congestion_kind congestion;
    /* Of this connection alone, if it has keys. With a handshake the connection is encrypted. */
    const struct gy_rudp_seal *seal;
    uint64_t key_packets; /* sent before the keys change; 0: 2^21 */
    bool ecn; /* datagrams are sent with the mark that gy_rudp_ecn() says, and those that arrive
               * are given to gy_rudp_receive_marked() */
    /* The client's: what the server said in the connection that this one resumes, for 0-RTT;
     * `channels` 0: nothing is sent early. */
    struct gy_rudp_parameters remembered;
    /* Encrypted, where `has_address_token`: the client's, which an earlier connection was given,
     * and whose address needs no cookie for it; the server's, which the client is given (gate.h).
     */
    uint8_t address_token[GY_RUDP_COOKIE_BYTES];
    bool has_address_token;
    uint64_t seed; /* unpredictable: which numbers are left out against optimistic acks */
};

enum gy_rudp_state {
    GY_RUDP_CONNECTING,
    GY_RUDP_HANDSHAKING, /* with a handshake: there is a connection, and TLS is not done */
    GY_RUDP_OPEN,
    GY_RUDP_CLOSING,  /* we said so, and repeat it when asked */
    GY_RUDP_DRAINING, /* the peer said so */
    GY_RUDP_DEAD,     /* nothing goes in or out any more */
};

/* Codes of CLOSE below 0x100 are the protocol's; an application's are its own from there on. */
enum gy_rudp_close_code {
    GY_RUDP_CLOSE_NONE = 0,
    GY_RUDP_CLOSE_PROTOCOL = 1,
    GY_RUDP_CLOSE_FLOW = 2,
    GY_RUDP_CLOSE_GOING = 3,     /* this end goes away; connect again */
    GY_RUDP_CLOSE_IDLE = 4,      /* never on the wire */
    GY_RUDP_CLOSE_HANDSHAKE = 5, /* never on the wire: no answer */
    GY_RUDP_CLOSE_VERSION = 6,   /* never on the wire */
    GY_RUDP_CLOSE_RESET = 7,     /* never on the wire: the peer has forgotten us */
    GY_RUDP_CLOSE_CRYPTO = 8,    /* the handshake of TLS failed */
    GY_RUDP_CLOSE_KEYS = 9,      /* as many packets as one key is good for (RFC 9001 §6.6) */
    GY_RUDP_CLOSE_MODE = 10, /* never on the wire: the peer speaks encrypted, or plainly, only */
    GY_RUDP_CLOSE_APPLICATION = 0x100,
};

struct gy_rudp_stats {
    uint64_t packets_sent, bytes_sent, packets_received, bytes_received;
    uint64_t dropped;    /* not opened, not understood, or in the wrong state */
    uint64_t duplicates; /* packets that had arrived before, or too old to tell */
    uint64_t refused;    /* packets not taken for want of an assembly; they are sent again */
    uint64_t lost, spurious, probes, repeated; /* packets, packets, packets, pieces */
    uint64_t delivered, evicted;               /* messages; unreliable ones given up half-way */
    uint64_t updates;                          /* of keys, in both directions */
    uint64_t early;                            /* messages delivered from a 0-RTT packet */
    uint64_t in_flight_max;
    uint64_t repairs_sent, repairs_received;
    uint64_t mtu_probes, black_holes;
    uint64_t recovered;      /* the peer's packets that REPAIRs brought back */
    uint64_t recovered_sent; /* ours, as the peer says */
    uint64_t ecn_sent;       /* packets sent with a mark */
    uint64_t ecn_received;   /* packets that came with CE */
    uint64_t ecn_reported;   /* ours that came to the peer with CE, as it says */
    /* Why a path goes without: marks do not arrive or are changed; packets with marks are lost;
     * the peer says what cannot be. */
    uint64_t ecn_bleached, ecn_lost, ecn_lies;
    uint64_t blocked, blocked_received; /* BLOCKED and CHANNEL_BLOCKED: sent, received */
};

struct gy_rudp_channel_stats {
    uint64_t sent, sent_bytes;           /* messages wholly sent at least once */
    uint64_t delivered, delivered_bytes; /* messages received */
    uint64_t blocked, blocked_received;  /* CHANNEL_BLOCKED: sent, received */
};

struct gy_rudp_channel;
struct gy_rudp_packet;
struct gy_rudp_assembly;
struct gy_rudp_fec_kept;

#include "rudp_conn.h"

/* The memory one connection needs beside its struct. Aligned to 16. */
size_t gy_rudp_memory_bytes(const struct gy_rudp_config *config);

/* The longest datagram that gy_rudp_output() may write. */
uint32_t gy_rudp_room(const struct gy_rudp_config *config);

/* The most that `take` is asked for by one connection, all together. */
size_t gy_rudp_reassembly_bytes(const struct gy_rudp_config *config);

/* The client's side. `self` is what the peer shall write into its packets, 0 to 8 bytes, the
 * caller's to find the connection by. GY_EINVAL if `config` is outside its bounds. */
int gy_rudp_connect(struct gy_rudp_conn *conn, const struct gy_rudp_config *config, void *memory,
                    const struct gy_rudp_env *env, const struct gy_rudp_cid *self, uint64_t now_ns);

/* The server's, from a HELLO whose cookie was good (gate.h). A later HELLO of the same client goes
 * to gy_rudp_receive(). As gy_rudp_connect(); GY_EPROTO when what TLS says is of no use. After an
 * error there is nothing to be freed. */
int gy_rudp_accept(struct gy_rudp_conn *conn, const struct gy_rudp_config *config, void *memory,
                   const struct gy_rudp_env *env, const struct gy_rudp_cid *self,
                   const struct gy_rudp_long *hello, const uint8_t token[GY_RUDP_TOKEN_BYTES],
                   uint64_t now_ns);

/* Encrypted: the datagram with the HELLO is given to gy_rudp_receive() after it, too, once the
 * connection can take messages: there may be an early packet in it. Messages out of it come while
 * `receiving_early` is set, and before the connection is open: they may be copies of what somebody
 * sent before (RFC 9001 §9.2), and are to change nothing that must not change twice. */

/* A datagram, which is changed. Whatever it holds is dealt with and counted. */
void gy_rudp_receive(struct gy_rudp_conn *conn, uint8_t *data, size_t bytes, uint64_t now_ns);

/* The same, with config.ecn: `mark` is the ECN field that it came with (enum gy_rudp_ecn_mark). */
void gy_rudp_receive_marked(struct gy_rudp_conn *conn, uint8_t *data, size_t bytes, uint8_t mark,
                            uint64_t now_ns);

/* The same, of a server's connection and a datagram that came from another address than the
 * connection's; `where` is any number, not 0, that tells addresses apart. true: the peer seems to
 * be there now, and the owner is to remember that address, for what gy_rudp_output_elsewhere() will
 * have. Until gy_rudp_moved() says so, all else goes to the old one. */
bool gy_rudp_receive_elsewhere(struct gy_rudp_conn *conn, uint8_t *data, size_t bytes, uint8_t mark,
                               uint64_t where, uint64_t now_ns);

/* As gy_rudp_output(), for the address that the last gy_rudp_receive_elsewhere() that returned true
 * came from. Asked for whenever gy_rudp_output() is, of a server's connections. */
size_t gy_rudp_output_elsewhere(struct gy_rudp_conn *conn, void *out, size_t room, uint64_t now_ns);

/* Whether the peer has proved to be there: true once, and then that address is the connection's. */
bool gy_rudp_moved(struct gy_rudp_conn *conn);

/* After it, where more than the port is another one: what was learnt of the path no longer holds.
 */
void gy_rudp_forget_path(struct gy_rudp_conn *conn);

/* When gy_rudp_expire() is to be called next; UINT64_MAX: no need. May be in the past. */
uint64_t gy_rudp_timeout(const struct gy_rudp_conn *conn);
void gy_rudp_expire(struct gy_rudp_conn *conn, uint64_t now_ns);

/* The next datagram to send now: its bytes, or 0. `room` is gy_rudp_room() or more. */
size_t gy_rudp_output(struct gy_rudp_conn *conn, void *out, size_t room, uint64_t now_ns);

/* With config.ecn: the ECN field to send that datagram with (enum gy_rudp_ecn_mark). What
 * gy_rudp_output_elsewhere() writes goes without a mark. */
uint8_t gy_rudp_ecn(const struct gy_rudp_conn *conn);

/* 0, or GY_EINVAL (channel or guarantee), GY_ELIMIT (longer than the peer takes), GY_ECLOSED. May
 * be called before the connection is open; what the peer does not take is then REFUSED when it
 * opens. */
int gy_rudp_send(struct gy_rudp_conn *conn, struct gy_rudp_message *message);

/* Gives a message up that was not finished yet; it comes back as CANCELLED, unless it is just being
 * finished otherwise. */
void gy_rudp_cancel(struct gy_rudp_conn *conn, struct gy_rudp_message *message);

/* 0 is the most urgent; 4 is what a channel begins with. A channel of a lower number always goes
 * first; equal ones take turns by their weights. */
void gy_rudp_channel_priority(struct gy_rudp_conn *conn, uint8_t channel, unsigned priority);

/* How many packets in a row a channel may fill before the next one of its priority has its turn: 1
 * (what it begins with) to 255. So channels share what there is in proportion to their weights. */
void gy_rudp_channel_weight(struct gy_rudp_conn *conn, uint8_t channel, unsigned weight);

/* Whether packets that carry messages of the channel are covered by REPAIRs (config.fec_packets,
 * which must not be 0 then): one of them that is lost costs no round trip. A channel begins
 * without. */
void gy_rudp_channel_fec(struct gy_rudp_conn *conn, uint8_t channel, bool on);

void gy_rudp_channel_stats(const struct gy_rudp_conn *conn, uint8_t channel,
                           struct gy_rudp_channel_stats *stats);

/* The next message that is done with, or NULL. */
struct gy_rudp_message *gy_rudp_finished(struct gy_rudp_conn *conn);

/* Of reliable messages that came on that channel, and of which `received` said false. */
void gy_rudp_consumed(struct gy_rudp_conn *conn, uint8_t channel, uint64_t bytes);

/* Encrypted: new keys with the next packet, or as soon as the peer has those there are. They change
 * by themselves after config.key_packets packets. */
void gy_rudp_update_keys(struct gy_rudp_conn *conn);

/* `code` is 0, GY_RUDP_CLOSE_GOING, or GY_RUDP_CLOSE_APPLICATION and above; `reason` is cut at
 * GY_RUDP_REASON_MAX. */
void gy_rudp_close(struct gy_rudp_conn *conn, uint64_t code, const char *reason, uint64_t now_ns);

/* Gives back what reassembly holds and finishes every message. The struct and its memory are the
 * caller's again once gy_rudp_finished() has returned NULL. */
void gy_rudp_free(struct gy_rudp_conn *conn);

#endif
