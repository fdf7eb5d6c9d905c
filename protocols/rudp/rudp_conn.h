/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_RUDP_RUDP_CONN_H
#define GY_PROTOCOLS_RUDP_RUDP_CONN_H

/* A connection's state, included by rudp.h so that it can be the caller's memory. Reading `state`,
 * `stats`, `close_code`, `close_reason`, `srtt_ns` and `congestion` is fine; writing is not. */

#include "../../core/slab.h"
#include "rudp.h"

/* Messages of one channel and guarantee that are done with: all below `base`, and some above, but
 * none from `top` on, where the bits are not written yet: most channels never touch theirs. */
struct gy_rudp_window {
    uint64_t base, top;
    uint64_t *bits; /* GY_RUDP_WINDOW_MESSAGES of them */
};

/* One of the two streams of bytes that TLS says; see crypto.c. */
struct gy_rudp_crypto {
    uint32_t sent;  /* of what is said, bytes that were sent at least once */
    uint64_t taken; /* of what the peer says, bytes given to TLS */
    uint8_t *ahead; /* what came before its turn: GY_RUDP_CRYPTO_AHEAD bytes, and a bit for each */
    uint32_t waiting;           /* bytes in there */
    struct gy_rudp_link repeat; /* of the handshake's: pieces */
};

/* What is to be covered by the next REPAIR. */
struct gy_rudp_fec_group {
    uint8_t *sum; /* GY_RUDP_FEC_BYTES */
    uint64_t first, first_ns;
    uint32_t mask, count, lengths, bytes; /* bytes: of the longest */
    bool due;
};

/* What the path takes, and what of it is being tried. Bytes of datagrams. */
struct gy_rudp_mtu {
    uint32_t base, high; /* what every path takes; what may still be possible */
    uint32_t next, trying, tries, large_lost;
    uint64_t at_ns; /* not before */
};

enum gy_rudp_ecn_state {
    GY_RUDP_ECN_OFF,     /* not yet, or one of the two ends does not see marks */
    GY_RUDP_ECN_TESTING, /* packets are marked to see what the path makes of it */
    GY_RUDP_ECN_WAITING, /* enough of them; nothing is marked before one is acknowledged */
    GY_RUDP_ECN_CAPABLE,
    GY_RUDP_ECN_PAUSED, /* nothing was heard: without marks until something is, then tested again */
    GY_RUDP_ECN_FAILED, /* on this path */
};

/* Explicit congestion notification; see ecn.c. */
struct gy_rudp_ecn {
    enum gy_rudp_ecn_state state;
    uint8_t mark;                           /* enum gy_rudp_ecn_mark of what was written last */
    uint32_t tests, test_sent, test_lost;   /* of this path; packets of this test */
    uint64_t first;                         /* packets from that number on are of this path */
    uint64_t check_number;                  /* which one is sent with a CE of our own */
    uint64_t sent;                          /* packets with a mark */
    uint64_t ect0, ce;                      /* as the peer has said */
    uint64_t acked, acked_checks, acked_ns; /* by the acknowledgement that is being read */
    uint64_t in[4];                         /* packets taken, by enum gy_rudp_ecn_mark */
};

#define GY_RUDP_RECOVERED_MAX 8

struct gy_rudp_conn {
    enum gy_rudp_state state;
    bool client;
    struct gy_rudp_config config;
    struct gy_rudp_env env;
    struct gy_rudp_cid self, peer;
    struct gy_rudp_parameters theirs;
    struct gy_rudp_stats stats;

    /* Handshake and end. */
    uint8_t cookie[GY_RUDP_COOKIE_BYTES];
    bool has_cookie;
    bool retried;                                /* a RETRY has come */
    uint8_t address_token[GY_RUDP_COOKIE_BYTES]; /* a client: what it was given for another time */
    bool has_address_token;
    uint8_t token[GY_RUDP_TOKEN_BYTES]; /* server: what we gave; client: what we were given */
    bool accept_due;
    bool has_token;

    /* A seal with a handshake. */
    struct gy_rudp_crypto crypto[2]; /* before it is done, and after */
    bool confirmed;                  /* the other end has all of the handshake, too */
    bool done_due, done_acked;       /* DONE is to be sent, and has arrived */
    uint32_t again;                  /* how often the HELLO came again */
    uint8_t *early_packet;           /* leaves with every HELLO, the same; NULL: none */
    size_t early_bytes;
    bool receiving_early;     /* within `received`: it came early, so it may be a copy */
    uint32_t key_out, key_in; /* generations */
    uint64_t key_out_first, key_in_first; /* the lowest number known of each */
    uint64_t key_packets;                 /* sent in this generation */
    uint64_t key_forget_ns; /* keys of the generation before are kept until then; 0: gone */
    bool key_asked;         /* gy_rudp_update_keys() */
    uint64_t forgeries;
    uint64_t began_ns, hello_ns; /* hello_ns: the next HELLO goes out */
    uint64_t cookie_ns;          /* the first HELLO with a cookie went out */
    uint32_t hellos, cookie_hellos;
    uint64_t close_code, close_end_ns;
    char close_reason[2 * GY_RUDP_REASON_MAX]; /* of which the peer is told the beginning */
    bool close_due, closed_by_peer;
    bool close_half;      /* said at the level HANDSHAKE, to be said at APPLICATION */
    uint32_t close_asked; /* packets since the last CLOSE */

    /* Sending: packets by number in a ring, all below `unacked` done with. */
    struct gy_rudp_packet *packets;
    struct gy_rudp_flight *flights; /* of each packet, where the congestion control wants them */
    uint64_t number, unacked, largest_acked;
    uint64_t unacked_most;        /* numbers behind largest_acked, at any time so far */
    uint64_t lost_low, lost_high; /* what is in the ring and taken for lost lies between */
    uint64_t random;
    uint64_t skip_number; /* the next number that is left out */
    uint64_t skipped;     /* the last one that was; UINT64_MAX: none yet */
    uint64_t in_flight;   /* bytes */
    uint32_t eliciting;   /* packets in flight */
    uint64_t eliciting_ns, loss_ns;
    uint32_t pto_count, probes;
    /* Reordering that the path was seen to do. `reordering`: packets, the threshold of loss;
     * UINT32_MAX: none, the time alone says. `reorder_steps`: so many quarters of the shortest
     * round trip are waited for longer, not counting again what was sent before `reorder_number`;
     * for `reorder_persist` more recoveries without a mistake, the last of which took what was sent
     * before `recovery_number`. */
    uint32_t reordering, reorder_steps, reorder_persist;
    uint64_t reorder_number, recovery_number;
    bool paced; /* there is more to send, at pace_ns */
    uint64_t pace_ns;
    uint64_t srtt_ns, rttvar_ns, rtt_min_ns, rtt_latest_ns; /* srtt_ns 0: no sample yet */
    struct gy_rudp_congestion congestion;
    struct gy_slab pieces;
    struct gy_rudp_link repeat; /* pieces */
    struct gy_rudp_link all, due, finished;
    uint64_t checked_ns; /* deadlines up to then have been looked at */
    struct gy_rudp_channel *channels;
    struct gy_rudp_link active[GY_RUDP_PRIORITIES];
    uint64_t credit, credit_used;
    uint64_t blocked_at; /* the credit that the peer was told to be used up; 0: none */
    bool blocked_due;
    struct gy_rudp_link blocked; /* channels, of which it is to be told */
    uint64_t ahead; /* ordered messages begun, less those that all before are done with too */

    /* Forward error correction: what we send, and what has arrived lately (NULL: the peer sends no
     * REPAIRs), and numbers that the peer is to be told to have been recovered. */
    struct gy_rudp_fec_group fec;
    struct gy_rudp_fec_kept *kept;
    uint64_t recovered[GY_RUDP_RECOVERED_MAX];
    uint32_t recovered_count;
    bool recovering;
    struct gy_rudp_mtu mtu;

    /* The peer's address: another one that is being looked at, and what the other end asks. */
    uint64_t path_where; /* 0: none was seen */
    uint64_t path_proof, path_ns;
    uint64_t path_received, path_sent; /* bytes from and to there, of this look */
    uint64_t path_number;              /* lower ones were sent on a path that is not this one */
    uint32_t path_tries; /* CHALLENGEs that may still be sent; 0: nothing is being looked at */
    bool path_due, path_proved;
    bool response_due;
    uint64_t response;

    /* Receiving. */
    struct gy_rudp_range seen[GY_RUDP_SEEN_MAX]; /* highest first */
    uint32_t seen_count, seen_turn; /* turn: of those that not every acknowledgement has */
    uint64_t seen_floor;            /* lower numbers are not looked at any more */
    uint64_t taking;                /* the number of the packet whose frames are being taken */
    struct gy_rudp_ecn ecn;
    uint64_t largest_ns;
    uint32_t ack_pending; /* packets */
    bool ack_now;
    uint64_t ack_ns;
    uint64_t heard_ns, spoken_ns;
    struct gy_slab assemblies;
    struct gy_rudp_assembly **table;
    uint32_t table_mask, early;  /* early: ordered ones ahead of their turn */
    struct gy_rudp_link passing; /* unreliable assemblies, oldest first */
    uint64_t passing_bytes;
    uint64_t received, consumed, granted; /* bytes of reliable messages */
    bool grant_due;
    struct gy_rudp_link granting; /* channels, whose credit is to be sent */
};

#endif
