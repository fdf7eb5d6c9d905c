/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_RUDP_HOST_H
#define GY_SERVERS_RUDP_RUDP_HOST_H

/*
 * Reliable UDP on one worker: protocols/rudp between the core's datagrams and an application; for
 * servers, clients and load generators alike.
 *
 *   host   the connections of one worker, their memory, and, for a server, the door (gate.h)
 *   session   one connection, the path to its peer, one timer
 *
 * What arrived within a turn is given to all sessions it is for; then each of them sends what it
 * has, written once, into the worker's output, where datagrams of one session lie side by side and
 * leave together (GSO). Nothing is allocated for a packet; messages in parts, and those of an
 * application that asks for it, lie in the host's own memory (rudp_memory.h), whose bound is in the
 * options.
 *
 * Connection ids of a server name the worker and the process:
 *
 *     10 bits worker, 6 bits process, 20 bits place in the table, 28 bits random
 *
 * The kernel gives datagrams to workers by the peers' addresses. So that a connection survives a
 * change of its peer's, short packets are steered by these bits (a program of six instructions,
 * SO_ATTACH_REUSEPORT_CBPF), and what gets to another worker all the same is forwarded to the right
 * one through its mailbox: at most GY_RUDP_FORWARDS at a time for each pair, what is more is lost,
 * and counted. A packet of a connection that nobody knows (of a process that has ended, say) gets a
 * stateless reset, as long as the key is the same.
 *
 * All calls are for the worker's thread. `session->conn` may be read; it is changed by the calls
 * below only, and, within the calls of the application, by gy_rudp_host_send, _consumed and _close.
 */

#include <stdatomic.h>

#include "../../core/metrics.h"
#include "../../core/worker.h"
#include "../../protocols/rudp/gate.h"
#include "../../protocols/rudp/rudp.h"
#include "rudp_memory.h"

#define GY_RUDP_CID_BYTES    8
#define GY_RUDP_WORKERS_MAX  1024
#define GY_RUDP_SESSIONS_MAX (1u << 20) /* of one worker */
#define GY_RUDP_FORWARDS     256
/* Places of address tokens that were used (gate.h). */
#define GY_RUDP_TOKENS_USED 4096
/* Packets that one session sends before others have their turn. */
#define GY_RUDP_TURN_PACKETS 256
/* Handshakes of TLS that are begun in one turn; others' HELLOs are lost (counted as refused), and
 * come again 0.3 s later. */
#define GY_RUDP_TURN_HANDSHAKES 16
/* The code of CLOSE of an application that has no memory for what came. */
#define GY_RUDP_HOST_NO_MEMORY 0x1ff

struct gy_rudp_host;
struct gy_rudp_forward;
struct gy_rudp_qlog;

/* What a worker counts: X(member, name, label, kind, help). */
#define GY_RUDP_COUNTERS(X)                                                                        \
    X(open, "rudp_connections", "", GAUGE, "Connections open now.")                                \
    X(accepted, "rudp_connections_accepted", "", COUNTER, "Connections accepted.")                 \
    X(refused, "rudp_connections_refused", "", COUNTER,                                            \
      "Connections not accepted because the table was full.")                                      \
    X(closed_local, "rudp_connections_closed", "reason=\"local\"", COUNTER, "Connections ended.")  \
    X(closed_peer, "rudp_connections_closed", "reason=\"peer\"", COUNTER, "Connections ended.")    \
    X(closed_idle, "rudp_connections_closed", "reason=\"idle\"", COUNTER, "Connections ended.")    \
    X(closed_protocol, "rudp_connections_closed", "reason=\"protocol\"", COUNTER,                  \
      "Connections ended.")                                                                        \
    X(closed_memory, "rudp_connections_closed", "reason=\"memory\"", COUNTER,                      \
      "Connections ended.")                                                                        \
    X(closed_crypto, "rudp_connections_closed", "reason=\"handshake\"", COUNTER,                   \
      "Connections ended.")                                                                        \
    X(closed_drain, "rudp_connections_closed", "reason=\"drain\"", COUNTER, "Connections ended.")  \
    X(retries, "rudp_handshakes", "answer=\"retry\"", COUNTER,                                     \
      "Answers to datagrams that belong to no connection.")                                        \
    X(versions, "rudp_handshakes", "answer=\"versions\"", COUNTER,                                 \
      "Answers to datagrams that belong to no connection.")                                        \
    X(resets, "rudp_handshakes", "answer=\"reset\"", COUNTER,                                      \
      "Answers to datagrams that belong to no connection.")                                        \
    X(tokens, "rudp_address_tokens", "result=\"taken\"", COUNTER,                                  \
      "Address tokens that clients came back with.")                                               \
    X(tokens_refused, "rudp_address_tokens", "result=\"refused\"", COUNTER,                        \
      "Address tokens that clients came back with.")                                               \
    X(dropped_gate, "rudp_dropped", "reason=\"stranger\"", COUNTER,                                \
      "Datagrams dropped without an answer.")                                                      \
    X(dropped_packet, "rudp_dropped", "reason=\"packet\"", COUNTER,                                \
      "Datagrams dropped without an answer.")                                                      \
    X(dropped_forward, "rudp_dropped", "reason=\"forward\"", COUNTER,                              \
      "Datagrams dropped without an answer.")                                                      \
    X(forwarded, "rudp_forwarded", "", COUNTER, "Datagrams passed on to another worker.")          \
    X(moved, "rudp_paths_changed", "", COUNTER, "Peers whose address changed.")                    \
    X(packets_received, "rudp_packets_received", "", COUNTER, "Packets received.")                 \
    X(packets_sent, "rudp_packets_sent", "", COUNTER, "Packets sent.")                             \
    X(duplicates, "rudp_packets_duplicate", "", COUNTER, "Packets received a second time.")        \
    X(lost, "rudp_packets_lost", "", COUNTER, "Packets sent and taken for lost.")                  \
    X(spurious, "rudp_packets_lost_spuriously", "", COUNTER,                                       \
      "Packets taken for lost that arrived after all.")                                            \
    X(updates, "rudp_key_updates", "", COUNTER, "New keys, in either direction.")                  \
    X(early, "rudp_messages_early", "", COUNTER,                                                   \
      "Messages received before the handshake was done (0-RTT).")                                  \
    X(forgeries, "rudp_packets_forged", "", COUNTER,                                               \
      "Packets of a connection that its keys do not open.")                                        \
    X(marked_received, "rudp_ecn_marks", "side=\"received\"", COUNTER,                             \
      "Packets that came, or were sent, and had a mark of congestion (CE).")                       \
    X(marked_sent, "rudp_ecn_marks", "side=\"sent\"", COUNTER,                                     \
      "Packets that came, or were sent, and had a mark of congestion (CE).")                       \
    X(ecn_failed, "rudp_ecn_failed", "", COUNTER,                                                  \
      "Paths on which marks are taken off, or dropped for, or not told truly.")                    \
    X(blocked, "rudp_blocked", "", COUNTER,                                                        \
      "Times that a peer said that its messages wait for credit.")                                 \
    X(probes, "rudp_probes", "", COUNTER, "Probes after nothing was heard.")                       \
    X(delivered, "rudp_messages_received", "", COUNTER, "Messages received.")                      \
    X(sent, "rudp_messages_sent", "", COUNTER, "Messages given to connections to be sent.")        \
    X(files_taken, "rudp_files", "result=\"taken\"", COUNTER, "Transfers of files that ended.")    \
    X(files_given, "rudp_files", "result=\"given\"", COUNTER, "Transfers of files that ended.")    \
    X(files_failed, "rudp_files", "result=\"failed\"", COUNTER, "Transfers of files that ended.")  \
    X(flows, "rudp_relayed", "", COUNTER, "TCP connections to the target of a relay.")             \
    X(ignored, "rudp_messages_ignored", "", COUNTER,                                               \
      "Messages of a transfer or a relayed connection that is none.")                              \
    X(memory_bytes, "rudp_memory_bytes", "", GAUGE, "Memory that messages hold.")                  \
    X(memory_refused, "rudp_memory_refused", "", COUNTER,                                          \
      "Times that there was no memory for a message.")

struct gy_rudp_counts {
    GY_RUDP_COUNTERS(GY_METRIC_MEMBER)
} __attribute__((aligned(64)));

#define GY_RUDP_ROWS (0 GY_RUDP_COUNTERS(GY_METRIC_ONE))
extern const struct gy_metric_description gy_rudp_rows[GY_RUDP_ROWS];

/* What encrypts (rudp_tls.h); none: the version of the protocol that does not. */
struct gy_rudp_sealer {
    /* For one host, from the options' `sealer_context`. 0, or a GY_E… code with a sentence. */
    int (*open)(void **state, const void *context, uint32_t connections_max,
                struct gy_error *error);
    void (*close)(void *state);
    /* The seal of one connection. `peer`: whom a client means, NULL: nobody in particular; `early`:
     * something may be sent early. 0, or GY_ENOMEM. */
    int (*make)(void *state, const char *peer, bool early, struct gy_rudp_seal *seal);
    void (*free)(struct gy_rudp_seal *seal);
};

struct gy_rudp_session {
    struct gy_rudp_conn conn; /* first */
    struct gy_rudp_host *host;
    struct gy_rudp_seal seal; /* with a sealer; `keys` NULL: none */
    struct gy_datagram_socket *socket;
    struct gy_datagram_path path;
    struct gy_datagram_path elsewhere; /* where the peer seems to be now, not proved yet */
    void *context;                     /* the application's */
    struct gy_timer timer;
    struct gy_rudp_qlog *qlog;    /* NULL: none is written */
    struct gy_rudp_stats counted; /* of conn.stats, in the host's counts */
    uint64_t counted_forgeries;
    uint64_t copies;                      /* bytes, at most options.copies_max */
    uint8_t cookie[GY_RUDP_COOKIE_BYTES]; /* of the HELLO that made it, which may come again */
    struct gy_rudp_session *next_by_cookie;
    TAILQ_ENTRY(gy_rudp_session) touched_entry;
    TAILQ_ENTRY(gy_rudp_session) all_entry;
    bool touched;
    bool opened;
};

/* What the application brings along; constant. All but `received` may be NULL. */
struct gy_rudp_host_ops {
    /* It is open: accepted, or, of a client, answered. */
    void (*opened)(struct gy_rudp_session *session);
    /* As gy_rudp_env.received. Before `opened` where session->conn.receiving_early is set: then
     * what comes may be a copy of what somebody sent before. */
    bool (*received)(struct gy_rudp_session *session, uint8_t channel,
                     enum gy_rudp_guarantee guarantee, const uint8_t *data, size_t length);
    /* A message of gy_rudp_host_send is done with, and its memory the application's again. */
    void (*finished)(struct gy_rudp_session *session, struct gy_rudp_message *message);
    /* The last call: session->conn.close_code and close_reason say why. */
    void (*closed)(struct gy_rudp_session *session);
};

struct gy_rudp_host_options {
    const struct gy_rudp_host_ops *ops;
    void *context;
    struct gy_rudp_config config; /* of every connection; `seed` is filled in for each */
    uint32_t connections_max;     /* at most GY_RUDP_SESSIONS_MAX */
    size_t memory_bytes;          /* for messages */
    /* Of it, what copies of one session hold until they are acknowledged (gy_rudp_host_send_copy):
     * a peer that asks and does not take the answers gets no further. 0: whatever there is. */
    size_t copies_max;
    struct gy_siphash_key key; /* of the door, the same for all workers; random */
    uint32_t process;          /* generation of the serving process; its low bits are used */
    bool
        unsteered; /* without the kernel's help: everything that is another worker's is forwarded */
    const char *qlog; /* a folder for qlog files (rudp_qlog.h); NULL: none */
    struct gy_rudp_counts *counts;
    const struct gy_rudp_sealer *sealer; /* NULL: not encrypted */
    const void *sealer_context;
    const char *peer; /* whom a client means, whose certificate is to say so; NULL: anybody */
    /* All hosts of one server, by worker, for what is forwarded; each enters itself. NULL: one. */
    struct gy_rudp_host *_Atomic *hosts;
};

TAILQ_HEAD(gy_rudp_sessions, gy_rudp_session);

struct gy_rudp_host {
    struct gy_worker *worker;
    struct gy_rudp_host_options options;
    struct gy_rudp_gate gate;
    struct gy_datagram_socket *socket; /* a server's; known with its first datagram */
    struct gy_slab sessions;
    uint64_t *cids; /* by place; 0: none is there */
    struct gy_rudp_session **by_cookie;
    uint32_t by_cookie_mask;
    struct gy_rudp_sessions touched, all;
    struct gy_rudp_memory memory;
    struct gy_rudp_forward *forwards;
    uint32_t forward_next;
    uint64_t random, memory_refused;
    int unreachable; /* the errno of the last ICMP, for a client's message; 0: none */
    void *sealer_state;
    uint64_t turn_ns; /* in which so many handshakes were begun */
    uint32_t turn_handshakes;
    /* A client: of the server's last connection; a token is used once. */
    struct gy_rudp_parameters remembered;
    uint8_t address_token[GY_RUDP_COOKIE_BYTES];
    bool has_address_token;
    struct gy_siphash_key secret;
    void *mapped;
    size_t mapped_bytes;
};

/* What suits most: datagrams of 1200 bytes, 16 channels, windows of 1 MiB, of each channel too. */
struct gy_rudp_config gy_rudp_host_config(void);

/* Datagram sockets for a host: set `context` (for a client, the host), and that is all. */
extern const struct gy_datagram_options gy_rudp_host_datagrams;

/* On the worker's thread. 0, or GY_ENOMEM, or GY_EINVAL for a configuration out of bounds. The host
 * must not move. */
int gy_rudp_host_open(struct gy_rudp_host *host, struct gy_worker *worker,
                      const struct gy_rudp_host_options *options, struct gy_error *error);

/* Ends all connections without a word, and gives everything back. After its sockets are gone. */
void gy_rudp_host_close(struct gy_rudp_host *host);

/* Asks the kernel to give short packets to the worker they name. `descriptor` is any socket of the
 * group, in which number i is worker i's. Where it fails, forwarding does. */
void gy_rudp_host_steer(int descriptor);

/* A client's connection along a dialled socket of an endpoint whose context is the host. NULL when
 * a bound is reached. The first datagram leaves with gy_rudp_host_flush. */
struct gy_rudp_session *gy_rudp_host_dial(struct gy_rudp_host *host,
                                          struct gy_datagram_socket *socket, void *context);

/* As gy_rudp_send(). Counted. Needs `finished`. */
int gy_rudp_host_send(struct gy_rudp_session *session, struct gy_rudp_message *message);

/* The same of bytes that are copied into the host's memory; nobody is told what becomes of them.
 * GY_ENOMEM besides, also where the session has `copies_max` under way. */
int gy_rudp_host_send_copy(struct gy_rudp_session *session, uint8_t channel,
                           enum gy_rudp_guarantee guarantee, const void *data, size_t length);

void gy_rudp_host_consumed(struct gy_rudp_session *session, uint8_t channel, uint64_t bytes);
/* As gy_rudp_close(); `closed` is called once that has left and been given its time. */
void gy_rudp_host_end(struct gy_rudp_session *session, uint64_t code, const char *reason);

/* Sends what was asked for since the last turn. Within calls of the application there is no need.
 */
void gy_rudp_host_flush(struct gy_rudp_host *host);

/* Says good-bye to all peers and forgets them: the server ends. */
void gy_rudp_host_drain(struct gy_rudp_host *host);

#endif
