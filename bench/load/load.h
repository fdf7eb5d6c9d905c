/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_LOAD_H
#define GY_BENCH_LOAD_LOAD_H

/*
 * gyre-load: what its parts share: what was asked for, what a protocol brings along, and what a run
 * found.
 *
 * A protocol is a plug-in, chosen by the scheme of the URL. It encodes its request once, and is
 * then handed the bytes of each connection; it says where an answer ends and whether it was right.
 * It does no I/O and knows no time. The engine (worker.c) owns connections, schedule and figures.
 *
 * Times are nanoseconds of CLOCK_MONOTONIC.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../core/address.h"
#include "../../core/error.h"
#include "../../core/ring.h"
#include "../../core/slice.h"
#include "../../core/tls_files.h"
#include "admin.h"
#include "window.h"

/* ---- what went wrong with a request ---- */

/* name, key in JSON, what a person reads */
#define GY_LOAD_ERRORS(X)                                                                          \
    X(CONNECT, connect, "connections that could not be made")                                      \
    X(RESET, reset, "requests lost to a reset connection")                                         \
    X(REFUSED, refused, "requests refused by the host: nothing listens at that port")              \
    X(CLOSED, closed, "requests that the server closed the connection on, unanswered")             \
    X(TIMEOUT, timeout, "requests without a whole answer in time")                                 \
    X(SHORT, short_answer, "answers cut short")                                                    \
    X(STATUS, status, "answers that say that the server failed or refused")                        \
    X(WRONG_BODY, wrong_body, "answers with another body than the first")                          \
    X(QUESTION, wrong_question, "answers to another question than was asked")                      \
    X(PROTOCOL, protocol, "answers that broke the protocol")

enum gy_load_error {
#define GY_LOAD_ERROR_ENUM(name, key, text) GY_LOAD_ERROR_##name,
    GY_LOAD_ERRORS(GY_LOAD_ERROR_ENUM)
#undef GY_LOAD_ERROR_ENUM
        GY_LOAD_ERROR_COUNT
};

/* Why a connection could not be made: the parts of CONNECT. */
#define GY_LOAD_DIAL_ERRORS(X)                                                                     \
    X(REFUSED, refused, "refused")                                                                 \
    X(TIMEOUT, timeout, "without an answer in time")                                               \
    X(RESET, reset, "reset")                                                                       \
    X(CLOSED, closed, "closed in the handshake")                                                   \
    X(UNREACHABLE, unreachable, "with no way to the host")                                         \
    X(LOCAL, local, "for want of a port, a file or memory here")                                   \
    X(TLS, tls, "failed in TLS")                                                                   \
    X(REJECTED, rejected, "refused by the protocol")                                               \
    X(OTHER, other, "for other reasons")

enum gy_load_dial_error {
#define GY_LOAD_DIAL_ERROR_ENUM(name, key, text) GY_LOAD_DIAL_ERROR_##name,
    GY_LOAD_DIAL_ERRORS(GY_LOAD_DIAL_ERROR_ENUM)
#undef GY_LOAD_DIAL_ERROR_ENUM
        GY_LOAD_DIAL_ERROR_COUNT
};

/* ---- what was asked for ---- */

#define GY_LOAD_SOURCES_MAX    64
#define GY_LOAD_HEADERS_MAX    32
#define GY_LOAD_PIPELINE_MAX   4096
#define GY_LOAD_THREADS_MAX    256
#define GY_LOAD_PUBLISHERS_MAX 64

enum gy_load_arrivals {
    GY_LOAD_CLOSED_LOOP, /* the next request when an answer is there */
    GY_LOAD_CONSTANT,    /* at a rate, evenly spaced */
    GY_LOAD_POISSON,     /* at a rate, exponentially distributed gaps */
};

/* What a request costs in handshakes (https). */
enum gy_load_handshakes {
    GY_LOAD_HANDSHAKES_KEPT,    /* connections are kept */
    GY_LOAD_HANDSHAKES_FULL,    /* each request on a new connection, and a full handshake */
    GY_LOAD_HANDSHAKES_RESUMED, /* likewise, but sessions are resumed */
};

struct gy_load_protocol;

struct gy_load_options {
    const char *url;
    const struct gy_load_protocol *protocol;
    char host[256];  /* without brackets */
    char path[4096]; /* with its query; "/" when the URL has none */
    uint16_t port;   /* 0: the scheme's own */
    struct gy_address address;
    struct gy_address sources[GY_LOAD_SOURCES_MAX]; /* where connections come from, in turns */
    uint32_t source_count;                          /* 0: the kernel chooses */

    uint32_t connections;
    uint32_t pipeline;
    uint32_t outstanding; /* of all connections, in a closed loop; 0: no such bound */
    uint32_t threads;
    enum gy_load_arrivals arrivals;
    double rate; /* requests a second, of all threads; 0: closed loop */
    uint64_t seed;
    uint64_t duration_ns; /* 0: until `requests` are answered */
    uint64_t warmup_ns;
    uint64_t timeout_ns; /* of one request, and of connecting */
    uint64_t requests;   /* 0: no bound */
    bool poisson;
    bool check; /* bodies equal to the first */
    bool find_max;
    double slo_percentile; /* 99.0 */
    uint64_t slo_ns;       /* 0: none given */

    const char *headers[GY_LOAD_HEADERS_MAX];
    uint32_t header_count;
    const char *method;       /* http; NULL for others */
    const char *body_file;    /* http: what a request carries; NULL: nothing; "-": standard input */
    uint32_t size_bytes;      /* of one message of an echo */
    bool broadcast;           /* a message comes to all connections */
    uint32_t publishers;      /* --broadcast: connections that send; 1 where nothing was said */
    const char *queries_file; /* dns: NULL for the name in the path; "-": standard input */
    uint32_t edns_bytes;      /* dns: said in an OPT record; 0: without one */
    bool dnssec;              /* dns: DO */
    bool trains;              /* udp, dns: send and take trains (GSO, GRO) */
    int udp_mode;             /* enum gy_datagram_mode */
    uint32_t datagram_bytes;  /* rudp: of the longest datagram sent; 0: the usual */
    bool acked;               /* rudp: a request is done when it is acknowledged */
    enum gy_load_handshakes handshakes;
    struct gy_tls_files tls; /* --ca */
    bool insecure;
    bool plaintext;                   /* rudp: not encrypted */
    struct gy_tls_config *tls_config; /* made of these; shared by all threads */
    int server_pid;                   /* 0: none given */
    bool server_admin_given;
    struct gy_address server_admin;
    const char *hdr_file;
    const char *json_file;
    int receive_mode; /* enum gy_receive_mode; -1: the best that works here */
    bool quiet;       /* no progress, even on a terminal */
};

/* Reads the command line. 0; GY_EINVAL with a sentence; GY_EAGAIN when --help or --version was
 * printed and there is nothing more to do. */
int gy_load_options_read(struct gy_load_options *options, int argc, char **argv,
                         struct gy_error *error);

/* Makes options->tls_config for a protocol over TLS, which gy_tls_config_close() frees; nothing for
 * others. A GY_E… code with a sentence. */
int gy_load_open_tls(struct gy_load_options *options, struct gy_error *error);

/* Fills url, protocol, host, port and path of the options from a URL, which stays. GY_EINVAL with a
 * sentence when its scheme, host or port is nothing that can be reached. */
int gy_load_read_url(struct gy_load_options *options, const char *url, struct gy_error *error);

/* Fills options->address. GY_EINVAL with a sentence when the name is not known. */
int gy_load_resolve(struct gy_load_options *options, struct gy_error *error);

/* ---- protocols ---- */

/* What the bytes that a protocol was handed came to. */
enum gy_load_progress {
    GY_LOAD_MORE,       /* all used; the answer goes on */
    GY_LOAD_ANSWER,     /* one whole answer, and it was right */
    GY_LOAD_BAD_STATUS, /* one whole answer of these kinds; the connection goes on */
    GY_LOAD_BAD_BODY,
    GY_LOAD_BAD_QUESTION,
    GY_LOAD_BAD_FORM,  /* likewise: it breaks the protocol, but it is known where it ends */
    GY_LOAD_CUT,       /* likewise: it promises more than it has */
    GY_LOAD_STRAY,     /* of match: an answer that nobody waits for (any more) */
    GY_LOAD_BAD_BYTES, /* no telling where the next answer begins, or whose this one is: a stream is
                          of no more use */
    GY_LOAD_READY,     /* the greeting was answered: requests may follow */
    GY_LOAD_REFUSED,   /* likewise, with a no */
    GY_LOAD_REPLY,     /* the peer wants an answer: see reply() */
};

/* The most that a reply takes, in bytes. */
#define GY_LOAD_REPLY_MAX 256

/* And the most that `greet` writes. */
#define GY_LOAD_GREETING_MAX 1024

/* Counts of answers by a kind of the protocol's own (rcodes, status codes), of the whole run. */
#define GY_LOAD_TALLIES_MAX 400

/* Of what protocol->broken says, its end included. */
#define GY_LOAD_WHAT_BYTES 128
/* Likewise of protocol->stranger. */
#define GY_LOAD_STRANGER_BYTES 256

struct gy_load_protocol {
    const char *scheme; /* "http" */
    const char *help;
    uint16_t port;  /* when the URL has none; 0: it must have one */
    bool secure;    /* over TLS */
    bool datagrams; /* over UDP (udp.c): it has no sessions, and of the calls below the first three
                       and those of the state */
    bool reliable;  /* over UDP, by rudp.c */
    const char *alpn; /* over TLS: what is spoken in it */

    bool numbered; /* requests differ: the n-th that is sent is the n-th of `requests`, round and
                      round, and so is its answer */
    bool unasked;  /* bytes may come that answer nothing */

    /* Encodes the request. The result is constant and shared by all workers; freed by `finish`. 0;
     * or with a sentence GY_EINVAL: the command line asks for what cannot be (exit status 2),
     * GY_EIO: a file cannot be used, GY_ENOMEM. */
    int (*prepare)(const struct gy_load_options *options, void **plan, struct gy_error *error);
    void (*finish)(void *plan);

    /* The bytes of one request, as many times over as a pipeline may have in flight: the engine
     * sends the first n requests of it as one slice. NULL where `make` writes all of a request. */
    const void *(*requests)(const void *plan, uint32_t *request_bytes);

    /* For a protocol whose connections begin with an exchange; else all three NULL. What is sent
     * first: requests wait until receive() has said READY. Why it said REFUSED, in words. What the
     * peer wants when it said REPLY. */
    const void *(*greeting)(const void *plan, uint32_t *bytes);
    void (*refusal)(const void *session, char *text, size_t bytes);
    /* Instead of `greeting`, where each connection says something else: writes it for connection
     * `number` (of all that were dialled) into GY_LOAD_GREETING_MAX bytes; returns how many. */
    uint32_t (*greet)(void *state, uint32_t number, uint8_t *room);
    uint32_t (*reply)(void *session, uint8_t reply[GY_LOAD_REPLY_MAX]);

    /* Publishing and subscribing with several that send (options->publishers); else NULL.
     * `requests` has those of each of them, one after the other. A connection that is ready is told
     * which of them it is; and whose message the last answer was. */
    void (*appoint)(void *session, uint32_t publisher);
    uint32_t (*publisher)(const void *session);

    /*
     * Where requests differ, or answers may come in any order (DNS, and whatever goes over UDP):
     * `make` and `match` stand in the place of `requests` and `receive`, and there are no sessions.
     *
     * make writes a request for `place`, which has the number `number` in its window, into
     * `make_room` bytes, and returns how many it took. Over UDP, with `requests` too, it writes the
     * head of a datagram, and the rest is that of the request there.
     *
     * match is handed one whole message, and says which place it answers (`number`), and how
     * well; STRAY and BAD_BYTES name no place. On a stream each message comes behind its length
     * in two bytes (RFC 1035 §4.2.2), which `make` writes and match is not shown.
     */
    uint32_t make_room;
    uint32_t (*make)(void *state, struct gy_load_place *place, uint32_t number, uint8_t *room);
    enum gy_load_progress (*match)(void *state, const struct gy_load_window *window,
                                   const uint8_t *message, uint32_t bytes, uint32_t *number);

    /* What is counted besides: the name of each kind, up to NULL; and the counts. NULL: nothing.
     * `tallies_many`: there are so many kinds that those without an answer are not told; and one
     * kind alone goes without saying. */
    const char *(*tally_name)(uint32_t number);
    bool tallies_many;
    const uint64_t *(*tallies)(void *state);
    /* What may help against answers of a kind; NULL: they are as they should be. May be NULL. */
    const char *(*remedy)(uint32_t number);

    /* What was wrong with the first answer that broke the protocol, in printable words; "" when
     * none did. May be NULL: it is not told. */
    const char *(*broken)(const void *state);
    /* May be NULL. A sentence about a server that speaks another protocol, as far as its first
     * answer shows it; "" where it does not. */
    const char *(*stranger)(const void *state);

    /* Of one worker: what the first answer was, for instance. */
    size_t state_bytes;
    void (*state_open)(void *state, const void *plan, const struct gy_load_options *options,
                       uint32_t thread);
    void (*state_close)(void *state);

    /* Of one connection; a new one begins with session_open. */
    size_t session_bytes;
    void (*session_open)(void *session);

    /* `data` came in. Uses bytes (>= 1, all for MORE) up to the end of one answer. */
    enum gy_load_progress (*receive)(void *state, void *session, const uint8_t *data,
                                     uint32_t bytes, uint32_t *used);

    /* Whether the peer closes the connection behind the answer that `receive` has just told of,
     * right or wrong. May be NULL: it never does. */
    bool (*last)(const void *session);

    /* The peer shut its side. ANSWER: that completed an answer. MORE: the connection ended
     * within one. BAD_BYTES: it ended between two. */
    enum gy_load_progress (*ended)(void *state, void *session);
};

extern const struct gy_load_protocol gy_load_http;
extern const struct gy_load_protocol gy_load_https;
extern const struct gy_load_protocol gy_load_tcp;
extern const struct gy_load_protocol gy_load_udp;
extern const struct gy_load_protocol gy_load_ws;
extern const struct gy_load_protocol gy_load_wss;
extern const struct gy_load_protocol gy_load_dns;
extern const struct gy_load_protocol gy_load_dns_tcp;
extern const struct gy_load_protocol gy_load_dns_tls;
extern const struct gy_load_protocol gy_load_rudp;
extern const struct gy_load_protocol gy_load_chat;
extern const struct gy_load_protocol gy_load_nats;
extern const struct gy_load_protocol gy_load_redis;

/* NULL at the end. */
extern const struct gy_load_protocol *const gy_load_protocols[];

/* ---- what a run found ---- */

struct hdr_histogram;

struct gy_load_result {
    /* From the intended time of sending to the end of the answer; requests that timed out or were
     * never sent are in it with the time that they had waited. */
    struct hdr_histogram *latency;
    struct hdr_histogram *service; /* from the actual time of sending */
    struct hdr_histogram
        *lateness; /* of this program, in keeping to the schedule; open loop only */

    uint64_t began_wall_ms; /* since 1970: when measuring began */
    double seconds;         /* measured */
    uint64_t answered;      /* whole answers within these seconds, right or wrong */
    uint64_t scheduled;     /* requests due within these seconds; open loop only */
    uint64_t unsent;        /* of these, never sent: all connections were busy */
    uint64_t sent_total;    /* in the whole run, warm-up included */
    uint64_t answered_total;
    uint64_t received_bytes;
    uint64_t deliveries; /* --broadcast: messages that connections got within these seconds */
    uint64_t errors[GY_LOAD_ERROR_COUNT];           /* in the whole run */
    uint64_t dial_errors[GY_LOAD_DIAL_ERROR_COUNT]; /* likewise: errors[CONNECT] by their reasons */
    uint64_t tallies[GY_LOAD_TALLIES_MAX];
    char broken[GY_LOAD_WHAT_BYTES]; /* of one answer that broke the protocol; "": not known */
    char stranger[GY_LOAD_STRANGER_BYTES]; /* what speaks there, if it is another protocol */
    uint64_t connects;
    double connect_s; /* until all connections were made, before the schedule */

    double generator_cpu_s; /* of the workers, within the seconds measured */
    double busy_max;     /* of the busiest worker: the share of its time it ran or waited to run */
    double server_cpu_s; /* -1: not asked for, or it ended */
    struct gy_error server_error;     /* why not; no sentence: it was not asked for */
    uint64_t server_answered;         /* between the two readings of it */
    struct gy_load_counters counters; /* likewise */
    bool interrupted;
    bool generator_limited; /* --find-max: a rate failed for want of this program's time */
    bool gave_up;           /* the server went away */
    struct gy_error error;  /* why, when gave_up */
};

uint64_t gy_load_errors(const struct gy_load_result *result);

/* CPU time of the server per request, in microseconds; 0 when nothing was answered. */
double gy_load_server_us(const struct gy_load_result *result);

/* Answers a second. */
double gy_load_rate(const struct gy_load_result *result);

/* Why the latencies of this run say more about the generator than about the server; NULL when they
 * do not. */
const char *gy_load_bottleneck(const struct gy_load_options *options,
                               const struct gy_load_result *result);

/* Whether an open loop kept its rate. */
bool gy_load_rate_reached(const struct gy_load_options *options,
                          const struct gy_load_result *result);

/* Runs once. 0, also for a run that was interrupted or met errors (the result has them); a negative
 * code with a sentence where it could not begin. Free the result either way. */
int gy_load_run(const struct gy_load_options *options, const void *plan,
                struct gy_load_result *result, struct gy_error *error);
void gy_load_result_free(struct gy_load_result *result);

/* SIGINT and SIGTERM are blocked by main and taken by the runs: whether one came. */
bool gy_load_interrupted(void);

/* Searches for the highest rate that keeps the SLO. Leaves the run at that rate in `result`, the
 * rate in `rate` (0: none did). As gy_load_run otherwise. */
int gy_load_find_max(const struct gy_load_options *options, const void *plan, double *rate,
                     struct gy_load_result *result, struct gy_error *error);

/* ---- reports ---- */

#include <stdio.h>

void gy_load_report(FILE *out, const struct gy_load_options *options,
                    const struct gy_load_result *result);
int gy_load_report_json(const struct gy_load_options *options, const struct gy_load_result *result,
                        const char *failure, struct gy_error *error);
int gy_load_write_hdr(const struct gy_load_options *options, const struct gy_load_result *result,
                      struct gy_error *error);

#endif
