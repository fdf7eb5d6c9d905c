/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_DROP_TAKE_H
#define GY_SERVERS_RUDP_DROP_TAKE_H

/*
 * One file that comes from the peer of a session (protocols/drop): what a server does with what it
 * is sent, and a client with what it asked for.
 *
 * It is written to `.NAME.part` in the directory, by the ring, and what was not yet written counts
 * against the connection's window, so that a slow disk slows the sender. A part that is there
 * already is locked, hashed, and gone on with, if the sender's file begins so. When all is there
 * and its hash is right, it is synced, gets its name (drop_disk.h), and the directory is synced.
 *
 * A taker lies in the host's memory, and gives itself back once it has ended and nothing of it is
 * in flight. When the session goes away after END, what was taken is still put in its place.
 *
 * All calls are for the worker's thread.
 */

#include "../../core/file.h"
#include "drop_disk.h"
#include "drop_hash.h"
#include "rudp_host.h"

struct gy_drop_block;

enum gy_drop_take_state {
    GY_DROP_TAKE_OPENING,
    GY_DROP_TAKE_HASHING, /* what is there */
    GY_DROP_TAKE_READY,   /* `ready` was called: FROM is to come */
    GY_DROP_TAKE_TAKING,
    GY_DROP_TAKE_FINISHING, /* END has come, and is right: to be written, synced, named */
    GY_DROP_TAKE_DISCARDING,
    GY_DROP_TAKE_OVER,
};

struct gy_drop_take {
    struct gy_drop_disk disk; /* a job of the helper; first */
    struct gy_rudp_host *host;
    struct gy_helper *helper;
    struct gy_rudp_session *session; /* NULL: it is gone */
    /* What is there is known: disk.whole, have, have_hash. HAVE or FETCH is the owner's to send. */
    void (*ready)(struct gy_drop_take *take);
    /* Exactly once, and not after gy_drop_take_leave(). */
    void (*ended)(struct gy_drop_take *take, unsigned result, const char *text);
    void *user;
    uint32_t transfer;
    enum gy_drop_take_state state;

    bool raw;      /* written where the descriptor stands, which is borrowed: standard output */
    uint64_t size; /* GY_DROP_UNKNOWN: not said */
    uint64_t max;  /* bytes taken at most */
    uint64_t have; /* bytes that are there, or were when it began */
    uint8_t have_hash[GY_DROP_HASH_BYTES];
    struct gy_drop_hash hash;
    uint64_t at;      /* the next byte that is to come */
    uint64_t written; /* the next byte to be written */
    uint64_t looked;  /* what `written` was when the space on the disk was looked at */

    struct gy_drop_block *head, *tail; /* to be written */
    struct gy_drop_block *busy;        /* being read or written */
    struct gy_timer working;           /* WORKING is said */
    uint32_t holds;
    bool job, syncing, named, discarded;
    unsigned result; /* while discarding */
    char text[GY_DROP_TEXT_BYTES];
};

/* Begins to take a file to where `target` says; its directory stays open for as long as the worker.
 * NULL: no memory, or the helper has too much to do. */
struct gy_drop_take *gy_drop_take_new(struct gy_rudp_session *session, struct gy_helper *helper,
                                      uint32_t transfer, const struct gy_drop_target *target,
                                      uint64_t max);

/* The same into an open descriptor, where it stands: no part, no name, nothing to go on with, and
 * `ready` is not called: it is at once. */
struct gy_drop_take *gy_drop_take_raw(struct gy_rudp_session *session, uint32_t transfer,
                                      int descriptor);

/* Messages of its transfer. gy_drop_take_data() as gy_rudp_env.received. */
void gy_drop_take_from(struct gy_drop_take *take, uint64_t offset, uint64_t size);
bool gy_drop_take_data(struct gy_drop_take *take, const struct gy_drop_message *message,
                       size_t message_bytes);
void gy_drop_take_end(struct gy_drop_take *take, const struct gy_drop_message *message);

/* A RESULT of the peer: it gives up. */
void gy_drop_take_result(struct gy_drop_take *take, unsigned result, const char *text);

/* The session has ended, or nobody wants it any more. */
void gy_drop_take_leave(struct gy_drop_take *take);

#endif
