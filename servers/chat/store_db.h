/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_STORE_DB_H
#define GY_SERVERS_CHAT_STORE_DB_H

/*
 * The store of chat in an SQLite database: rooms, messages, standings, accounts. One thread uses
 * it, and blocks while it works; store.h has the thread.
 *
 * The database is in WAL mode with synchronous=FULL, so that a commit that returned is on the disk,
 * and is locked for this process as long as it is open.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../protocols/chat/store.h"

struct gy_chat_db;

/* What is kept of each room; 0: without a limit. The last message of a room is kept longer than
 * `count` and `bytes` say, not longer than `age_ms` does. */
struct gy_chat_retention {
    uint64_t age_ms;
    uint64_t count;
    uint64_t bytes;     /* of contents and senders' names */
    uint64_t client_ms; /* how long client ids are compared; 0: GY_CHAT_CLIENT_MS */
    uint64_t
        inbox_count; /* of an inbox, instead of `count` where it is less; 0: GY_CHAT_INBOX_COUNT */
    uint64_t temporary_ms; /* how long nobody is in a temporary room until it goes; 0:
                              GY_CHAT_TEMPORARY_MS */
};

#define GY_CHAT_INBOX_COUNT  1000
#define GY_CHAT_TEMPORARY_MS UINT64_C(3600000) /* an hour */

#define GY_CHAT_CLIENT_MS    UINT64_C(2592000000) /* 30 days */
#define GY_CHAT_SECRET_BYTES 32

/* Messages that one step of pruning takes away at most, and bytes that one READ hands out. */
#define GY_CHAT_PRUNE_STEP 256
#define GY_CHAT_READ_BYTES (256u << 10)

/* user_version of the databases that this program writes. Older ones are brought up to it. */
#define GY_CHAT_DB_VERSION 3

struct gy_chat_db_options {
    const char *path;
    const char *vfs; /* SQLite's file system layer; NULL: the usual one */
    struct gy_chat_retention retention;
};

/* Opens the file, and makes it if it is not there. 0; GY_EAGAIN: another process has it open;
 * GY_ENOTSUP: a newer program made it; GY_ENOSPACE, GY_ENOMEM, GY_EREFUSED or GY_EIO. */
int gy_chat_db_open(struct gy_chat_db **db, const struct gy_chat_db_options *options,
                    struct gy_error *error);

/* NULL is allowed. */
void gy_chat_db_close(struct gy_chat_db *db);

/* Does the jobs of the list, in its order, in one transaction, and fills their results. When that
 * fails, all that write have the reason as their result and changed nothing, and those that read
 * are done all the same. */
void gy_chat_db_run(struct gy_chat_db *db, struct gy_chat_job *first);

void gy_chat_db_retain(struct gy_chat_db *db, const struct gy_chat_retention *retention);

/* One step of pruning: some messages of one room. True: there is more to do; false: a whole round
 * over all rooms is done, or it failed. */
bool gy_chat_db_prune(struct gy_chat_db *db, uint64_t now_ms);

/* A random key that lies in the database since it was made: tokens are sealed with it. */
void gy_chat_db_secret(const struct gy_chat_db *db, uint8_t secret[GY_CHAT_SECRET_BYTES]);

/* Puts all bans that are stored into `bans`. 0 or a GY_E… code. */
struct gy_chat_bans;
int gy_chat_db_bans(struct gy_chat_db *db, struct gy_chat_bans *bans);

/* What SQLite said last, for the log. */
const char *gy_chat_db_reason(struct gy_chat_db *db);

/* Messages taken away since it was opened. */
uint64_t gy_chat_db_pruned(const struct gy_chat_db *db);

#endif
