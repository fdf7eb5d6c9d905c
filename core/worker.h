/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_WORKER_H
#define GY_CORE_WORKER_H

/*
 * A worker: one thread with its ring, buffer pool, timing wheel and streams. It shares nothing with
 * other workers; the only way in is its mailboxes.
 *
 * One turn:  wait (one enter: submits everything queued, sleeps until a completion or the next
 * timer) read the clock once drain completions into streams; no session runs here mailboxes;
 * owners of files that were opened or read; sessions that have input; timers that have expired
 * flush: one gathered send per stream that has output
 */

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "bump.h"
#include "datagram.h"
#include "file.h"
#include "listener.h"
#include "mailbox.h"
#include "metrics.h"
#include "pool.h"
#include "ring.h"
#include "stream.h"
#include "timer.h"

/* One gathered send; of a layer's output, and where listeners share the worker, GY_SEND_BYTES_MAX.
 * A long one ends with the output where less than that would be left over. */
#define GY_SEND_VECTORS_MAX    64
#define GY_SEND_BYTES_MAX      131072
#define GY_SEND_LONG_BYTES     524288
#define GY_SEND_LONG_MAX_BYTES (GY_SEND_LONG_BYTES + GY_SEND_BYTES_MAX)

/* What the kernel copies in one turn of sends beyond GY_SEND_BYTES_MAX: from there on long sends
 * wait for the next turn, in their order, and short ones do not, so that those who are asked for a
 * little are not kept waiting by downloads. Where nobody was asked for a little for so long, turns
 * are longer: each costs the same, however much is sent in it. */
#define GY_TURN_LONG_BYTES       1048576
#define GY_TURN_LONG_ALONE_BYTES 8388608
#define GY_TURN_LONG_ALONE_MS    100

/* Vectors that one turn's sends can use together; streams beyond it are flushed in the next turn.
 */
#define GY_TURN_VECTORS  4096
#define GY_TURN_MESSAGES 1024

/* Slices up to about this size that are left in `in` are copied out of the pool. */
#define GY_KEEP_BYTES 2048

#define GY_LISTENERS_MAX 64

/* Steps of layers' handshakes in one turn: what is established waits no longer than for these. */
#ifndef GY_HANDSHAKES_PER_TURN
#define GY_HANDSHAKES_PER_TURN 2
#endif

/* A piece of input that was copied out of the pool; what arrives next is added behind it while
 * there is room. */
struct gy_keep_block {
    struct gy_buffer buffer;
    struct gy_slab *home;
    uint8_t data[GY_KEEP_BYTES - 40];
};

struct gy_worker_options {
    uint32_t number;           /* 0 to workers-1 */
    uint32_t workers;          /* in all */
    int processor;             /* to pin the thread to; -1: not pinned */
    uint32_t streams_max;      /* slots; at most GY_SLOT_MAX */
    uint32_t blocks_max;       /* of output, GY_BUMP_BLOCK_BYTES each; 0: 4096 */
    uint32_t mailbox_messages; /* in each of the mailboxes; a power of two; 0: 1024 */
    bool shares; /* several listeners share the worker: each has receive buffers of its own, and a
                    flood on one leaves time to the others (share.h) */
    uint32_t datagrams_max; /* UDP sockets; 0: 4096 */
    struct gy_ring_options ring;
    struct gy_pool_options pool; /* of one pool; listeners' own have the group numbers after its */
};

/*
 * A way in for one helper thread: a mailbox of its own, since each mailbox has one producer. What
 * it posts is handed to `on_message` on the worker's thread. It stays until
 * gy_worker_remove_inlet(), by which time the helper must have stopped posting.
 */
struct gy_inlet {
    struct gy_mailbox mailbox;
    void (*on_message)(struct gy_inlet *inlet, const struct gy_message *message);
    struct gy_inlet *next;
};

/*
 * What a draining worker waits for though no stream of its own is left: a server that the streams
 * of other workers still need. At the drain's deadline it ends all the same. `drain` is called when
 * the drain begins, on the worker's thread.
 */
struct gy_worker_hold {
    void (*drain)(struct gy_worker_hold *hold);
    struct gy_worker_hold *next;
};

/* Messages below GY_MESSAGE_USER are core's; a server's own kinds start there. */
enum gy_message_kind {
    GY_MESSAGE_DRAIN =
        1, /* numbers[0]: deadline in ms from now; numbers[1]: take what waits in the backlog */
    GY_MESSAGE_STOP,
    GY_MESSAGE_CALL, /* what gy_worker_call posts */
    GY_MESSAGE_USER = 256,
};

enum gy_worker_phase {
    GY_WORKER_SERVING,
    GY_WORKER_DRAINING, /* until no stream is left, or the deadline */
    GY_WORKER_STOPPED,
};

struct gy_worker {
    struct gy_worker_options options;
    struct gy_ring *ring;
    struct gy_pool *pool;
    struct gy_wheel wheel;
    struct gy_bump bump;
    uint64_t bump_counted; /* of bump.copied_bytes, in counters */
    uint64_t now_ns;       /* monotonic; read once a turn */
    uint64_t now_ms;

    struct gy_slab streams;
    uint32_t *generations; /* by slot; odd while the slot is in use */
    struct gy_slab links;
    struct gy_slab blocks;
    struct gy_slab keeps;
    struct gy_file_table files;
    struct gy_datagram_table *datagrams; /* NULL until the first endpoint of UDP sockets */
    void *memory;
    size_t memory_bytes;

    struct gy_stream *ready_head, *ready_tail;
    struct gy_stream *ready_next;  /* behind the one whose session runs */
    struct gy_endpoint_queue busy; /* where listeners share it, in place of that list (share.h) */
    struct gy_endpoint_queue closing; /* with streams that are to be closed in later turns */
    uint32_t expired;                 /* connections' deadlines that passed in this turn */
    struct gy_stream *flush_head, *flush_tail;
    struct gy_stream_queue starved; /* want to receive, no buffer posted */
    uint32_t unfinished;      /* streams whose receive left something in the socket, and goes on */
    bool goes_on;             /* one of them said so since this turn began */
    bool turn_received;       /* in this turn a stream took GY_SHARE_RECEIVE_BYTES of more */
    uint64_t turn_sent_bytes; /* of this turn, while listeners that share it are at work */
    uint64_t turn_long_bytes; /* of this turn's long sends, while one is */
    uint64_t short_until_ms;  /* somebody was asked for a little of late */
    struct gy_endpoint *last_at_work;
    uint64_t last_at_work_ms;
    uint64_t crowded_until_ms;       /* several endpoints were at work of late (share.h) */
    uint32_t flood_waiting;          /* streams that wait in sets of floods (flood.h) */
    bool others_starved;             /* the same of listeners with a pool of their own */
    struct gy_stream_queue retrying; /* want a turn when memory has come back */

    struct gy_listener listeners[GY_LISTENERS_MAX];
    uint32_t listener_count;

    struct iovec *vectors; /* GY_TURN_VECTORS */
    uint32_t vectors_used;
    /* Layers' handshakes that wait for a step, in their order, by next_ready. */
    struct gy_stream *handshakes_head, *handshakes_tail;
    uint32_t handshakes_left; /* steps of this turn that nobody has been given */
    uint32_t handshakes_due;  /* given, and yet to be made */
    struct msghdr *messages;  /* GY_TURN_MESSAGES */
    uint32_t messages_used;

    /* inboxes[i]: from worker i; inboxes[workers]: from the control thread. */
    struct gy_mailbox *inboxes;
    struct gy_message *inbox_messages;
    struct gy_inlet *inlets; /* of helper threads */
    struct gy_worker_hold *holds;
    struct gy_bell bell;
    int wake_descriptor; /* eventfd: rung by threads without a ring */
    uint64_t wake_value;
    bool wake_armed;
    struct gy_worker *const *peers; /* all workers, by number */
    void (*on_message)(struct gy_worker *worker, const struct gy_message *message);
    void *context; /* the embedder's */

    struct gy_counters counters;
    clockid_t cpu_clock; /* of its thread: any thread of the process may read it while it lives */
    uint64_t streams_open;
    uint64_t drain_deadline_ms;
    uint64_t evict_due_ms;      /* when stalled writers may be looked for again */
    uint64_t evict_held_due_ms; /* and unfinished input */
    struct gy_holder *holders;  /* see evict.h */
    enum gy_worker_phase phase;
    bool finished;          /* gy_worker_finish was called */
    bool pipe_blocked;      /* SIGPIPE, on its thread, since files are sent (file_range.h) */
    int reserve_descriptor; /* given up for a moment when descriptors run out; -1: none */
};

/* Opens everything; on the thread that will run it. `peers` is filled by the time workers run. */
int gy_worker_open(struct gy_worker *worker, const struct gy_worker_options *options,
                   struct gy_worker *const *peers, struct gy_error *error);

/* Adds a server and begins to accept, or to receive datagrams, on its descriptor for this worker.
 * GY_ELIMIT past GY_LISTENERS_MAX. */
int gy_worker_serve(struct gy_worker *worker, const struct gy_server *server,
                    struct gy_error *error);

/* Turns until stopped or drained. 0, or GY_EIO when the ring broke. */
int gy_worker_run(struct gy_worker *worker);

/* One turn; waits at most timeout_ns. For tests and embedders with a loop of their own. */
int gy_worker_turn(struct gy_worker *worker, uint64_t timeout_ns);

/* Ends all streams at once, and waits (bounded) until nothing is in flight. After it no session
 * runs here; the mailboxes still take what other workers post. */
void gy_worker_finish(struct gy_worker *worker);

/* Gives everything back, after gy_worker_finish (which it calls where that was not done). Workers
 * that post to each other all finish before the first of them closes. */
void gy_worker_close(struct gy_worker *worker);

/* Sends a message from worker `from` (NULL: the control thread) and sees that the receiver wakes
 * up. 0, or GY_ENOBUFS when its mailbox is full (counted by the sender). */
int gy_worker_post(struct gy_worker *from, struct gy_worker *to, const struct gy_message *message);

/* The same, for what belongs to no kind of message: `call` gets `argument` on the receiver's
 * thread, in one of its turns; not when the receiver ends first. */
int gy_worker_call(struct gy_worker *from, struct gy_worker *to,
                   void (*call)(struct gy_worker *worker, void *argument), void *argument);

/* On the worker's thread: takes what comes through an inlet, whose mailbox is initialised. */
void gy_worker_add_inlet(struct gy_worker *worker, struct gy_inlet *inlet);
void gy_worker_remove_inlet(struct gy_worker *worker, struct gy_inlet *inlet);

/* On the worker's thread: a drain waits until the hold is removed. Removing one that is not there
 * does nothing. */
void gy_worker_add_hold(struct gy_worker *worker, struct gy_worker_hold *hold);
void gy_worker_remove_hold(struct gy_worker *worker, const struct gy_worker_hold *hold);

/* On the inlet's helper thread: sends a message and sees that the worker wakes up. 0, or GY_ENOBUFS
 * when the mailbox is full. */
int gy_worker_post_inlet(struct gy_worker *worker, struct gy_inlet *inlet,
                         const struct gy_message *message);

/* Whether several endpoints were at work of late. */
static inline bool gy_worker_is_crowded(const struct gy_worker *worker)
{
    return worker->now_ms < worker->crowded_until_ms;
}

/* One completion into the state it belongs to. A generation that is gone is dropped and counted. */
void gy_worker_dispatch(struct gy_worker *worker, const struct gy_completion *completion);

/* Puts a stream on the list of sessions to run. */
void gy_worker_ready(struct gy_worker *worker, struct gy_stream *stream);

/* While a session runs: the first stream whose session comes after it, behind which the others are
 * linked by next_ready, in their order, of other endpoints too; NULL: there is none. What `in` has
 * of them is what they will find, but what a layer has yet to decipher. For sessions that can
 * prepare something for several at once. */
struct gy_stream *gy_worker_next_ready(const struct gy_stream *running);

/* Puts a stream behind those whose handshake waits for a step. */
void gy_worker_shake_later(struct gy_worker *worker, struct gy_stream *stream);

/* Leaves the accept/stream descriptor to the ring to close. */
void gy_worker_close_descriptor(struct gy_worker *worker, int descriptor);

/* Copies counters of ring and pool into worker->counters. Called each turn by the worker itself. */
void gy_worker_count(struct gy_worker *worker);

#endif
