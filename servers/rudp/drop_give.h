/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_DROP_GIVE_H
#define GY_SERVERS_RUDP_DROP_GIVE_H

/*
 * One file on its way to the peer of a session (protocols/drop): what a server does that is asked
 * for a file, and a client that sends one. The file is read by the ring, straight into the messages
 * that carry it, a bounded number ahead of what the peer has acknowledged.
 *
 * A giver lies in the host's memory, and gives itself back once it has ended and nothing of it is
 * in flight. All calls are for the worker's thread.
 */

#include "../../core/file.h"
#include "drop_hash.h"
#include "rudp_host.h"

/* Messages of DATA under way; what one carries fits, with all that belongs to it, in 64 KiB. */
#define GY_DROP_GIVE_PIECES 32
#define GY_DROP_GIVE_BYTES  64512

struct gy_drop_piece;

struct gy_drop_give {
    struct gy_rudp_host *host;
    struct gy_rudp_session *session; /* NULL: it is gone */
    /* Exactly once, and not after gy_drop_give_leave(); the giver is gone when it returns. */
    void (*ended)(struct gy_drop_give *give, unsigned result, const char *text);
    void *user;
    uint32_t transfer;

    int descriptor;
    bool borrowed; /* the descriptor stays open at the end */
    bool stream;   /* read where the descriptor stands, to its end */
    struct gy_file_status status;
    uint64_t size;  /* GY_DROP_UNKNOWN: of a stream */
    uint64_t begin; /* bytes that the peer had already */
    uint64_t at;    /* the next byte to be read */
    uint64_t acked; /* bytes that have reached the peer, of those sent */

    struct gy_drop_hash hash;
    uint64_t verify; /* bytes that the peer says it has; being looked at while `verifying` */
    uint8_t verify_hash[GY_DROP_HASH_BYTES];
    struct gy_drop_piece *head, *tail; /* being read, in their order */
    struct gy_drop_piece *sent;        /* given to the connection, and not acknowledged */
    struct gy_timer working;           /* WORKING is said */
    uint32_t pieces, reading, holds;
    bool verifying, whole, sending, eof, end_said, over;
};

/* A giver of an open file. `stream`: of unknown size, or to be read from where it stands; else a
 * regular file, whose size and state are looked at now. The descriptor is the giver's, unless
 * `borrowed`. NULL: no memory, or no regular file (then nothing is closed). */
struct gy_drop_give *gy_drop_give_new(struct gy_rudp_session *session, uint32_t transfer,
                                      int descriptor, bool borrowed, bool stream);

/* The peer has `offset` bytes with that hash, and `whole`: under the file's name. */
void gy_drop_give_begin(struct gy_drop_give *give, uint64_t offset, bool whole,
                        const uint8_t hash[GY_DROP_HASH_BYTES]);

/* A RESULT of the peer: the end. */
void gy_drop_give_result(struct gy_drop_give *give, unsigned result, const char *text);

/* The session has ended, or nobody wants it any more. */
void gy_drop_give_leave(struct gy_drop_give *give);

/* For gy_rudp_host_ops.finished: a message that a giver has sent. */
void gy_drop_give_finished(struct gy_rudp_message *message);

/* Sends any message but DATA. False: there was no memory, and the session is being closed. */
bool gy_drop_say(struct gy_rudp_session *session, const struct gy_drop_message *message);

/* RESULT with a text of printf(3), cut at what fits. */
void gy_drop_say_result(struct gy_rudp_session *session, uint32_t transfer, unsigned result,
                        const char *text);

#endif
