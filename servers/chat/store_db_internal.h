/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_STORE_DB_INTERNAL_H
#define GY_SERVERS_CHAT_STORE_DB_INTERNAL_H

/* For store_db.c, store_jobs.c and store_prune.c. */

#include <sqlite3.h>

#include "servers/chat/store_db.h"

/* Statements, prepared when they are first used. X(NAME, text) */
#define STATEMENTS(X)                                                                              \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
    X(BEGIN_READ, "BEGIN")                                                                         \
    X(COMMIT, "COMMIT")                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                        \
    X(ROOM_BY_NAME,                                                                                \
      "SELECT number, topic, slow_ms, last_id, temporary, empty_ms FROM rooms WHERE name = ?1")    \
    X(ROOM_LAST, "SELECT last_id FROM rooms WHERE number = ?1")                                    \
    X(ROOM_MAKE, "INSERT INTO rooms (name, made_ms, maker, temporary) VALUES (?1, ?2, ?3, ?4)")    \
    X(ROOM_MAKERS, "SELECT count(*) FROM rooms WHERE maker = ?1 AND maker != 0")                   \
    X(ROOM_EMPTY, "UPDATE rooms SET empty_ms = ?2 WHERE number = ?1 AND temporary != 0")           \
    X(ROOM_GONE, "SELECT number, last_id FROM rooms WHERE temporary != 0 AND empty_ms != 0 AND "   \
                 "empty_ms < ?1 ORDER BY empty_ms LIMIT 1")                                        \
    X(ROOM_DROP, "DELETE FROM rooms WHERE number = ?1")                                            \
    X(ROOM_SETTINGS, "UPDATE rooms SET topic = ?2, slow_ms = ?3 WHERE number = ?1")                \
    X(ROOM_KEEP_LAST, "UPDATE rooms SET last_id = ?2 WHERE number = ?1 AND last_id < ?2")          \
    X(ROOM_NEXT,                                                                                   \
      "SELECT number, name GLOB '@*' FROM rooms WHERE number > ?1 ORDER BY number LIMIT 1")        \
    X(ROOM_LIST, "SELECT number, name, topic, last_id FROM rooms WHERE name > ?1 AND name >= ?2 "  \
                 "ORDER BY name")                                                                  \
    X(FIRST, "SELECT id, time_ms, total, bytes FROM messages WHERE room = ?1 ORDER BY id LIMIT 1") \
    X(LAST,                                                                                        \
      "SELECT id, time_ms, total, bytes FROM messages WHERE room = ?1 ORDER BY id DESC LIMIT 1")   \
    X(ONE, "SELECT id, time_ms, total, bytes FROM messages WHERE room = ?1 AND id = ?2")           \
    X(ADD,                                                                                         \
      "INSERT INTO messages (room, id, time_ms, kind, target, user, client_id, sender, contents, " \
      "bytes, total) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")                       \
    X(EMPTY, "UPDATE messages SET contents = '' WHERE room = ?1 AND id = ?2")                      \
    X(EMPTY_EDITS,                                                                                 \
      "UPDATE messages SET contents = '' WHERE room = ?1 AND target = ?2 AND target != 0 "         \
      "AND kind = 1")                                                                              \
    X(SENT, "SELECT id, time_ms FROM sent WHERE room = ?1 AND user = ?2 AND client_id = ?3")       \
    X(SENT_ADD,                                                                                    \
      "INSERT INTO sent (room, user, client_id, id, time_ms) VALUES (?1, ?2, ?3, ?4, ?5)")         \
    X(SENT_OLDEST, "SELECT n, time_ms FROM sent ORDER BY n LIMIT ?1")                              \
    X(SENT_DROP, "DELETE FROM sent WHERE n <= ?1")                                                 \
    X(READ_AFTER,                                                                                  \
      "SELECT id, time_ms, kind, target, user, client_id, sender, contents FROM messages "         \
      "WHERE room = ?1 AND id > ?2 ORDER BY id LIMIT ?3")                                          \
    X(READ_BEFORE,                                                                                 \
      "SELECT id, time_ms, kind, target, user, client_id, sender, contents FROM messages "         \
      "WHERE room = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3")                                     \
    X(DROP, "DELETE FROM messages WHERE room = ?1 AND id <= ?2")                                   \
    X(STANDINGS,                                                                                   \
      "SELECT user, role, banned, muted, banned_until_ms, muted_until_ms FROM standings "          \
      "WHERE room = ?1")                                                                           \
    X(STANDING_PUT,                                                                                \
      "INSERT OR REPLACE INTO standings (room, user, role, banned, muted, banned_until_ms, "       \
      "muted_until_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                                       \
    X(STANDING_DROP, "DELETE FROM standings WHERE room = ?1 AND user = ?2")                        \
    X(STANDINGS_DROP, "DELETE FROM standings WHERE room = ?1")                                     \
    X(ROOM_KEEP, "UPDATE rooms SET temporary = 0, empty_ms = 0, maker = 0 WHERE number = ?1")      \
    X(ROOM_AWAY, "UPDATE rooms SET name = '@-' || number, temporary = 1, empty_ms = 1, maker = 0 " \
                 "WHERE number = ?1")                                                              \
    X(ACCOUNT, "SELECT user, nick, salt, hash, cost, certificate, epoch, operator FROM accounts "  \
               "WHERE canonical = ?1")                                                             \
    X(ACCOUNT_PASSWORD,                                                                            \
      "UPDATE accounts SET salt = ?2, hash = ?3, cost = ?4 WHERE canonical = ?1")                  \
    X(ACCOUNT_EPOCH, "UPDATE accounts SET epoch = epoch + 1 WHERE canonical = ?1")                 \
    X(ACCOUNT_OPERATES, "UPDATE accounts SET operator = ?2 WHERE canonical = ?1")                  \
    X(ACCOUNTS,                                                                                    \
      "SELECT user, nick, canonical, operator, made_ms FROM accounts WHERE canonical > ?1 "        \
      "ORDER BY canonical LIMIT ?2")                                                               \
    X(BANS, "SELECT kind, subject, until_ms, made_ms, made_by, reason FROM bans")                  \
    X(BAN_COUNT, "SELECT count(*) FROM bans")                                                      \
    X(BAN_PUT, "INSERT OR REPLACE INTO bans (kind, subject, until_ms, made_ms, made_by, reason) "  \
               "VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                                                  \
    X(BAN_DROP, "DELETE FROM bans WHERE kind = ?1 AND subject = ?2")                               \
    X(BANS_PAST, "DELETE FROM bans WHERE until_ms != 0 AND until_ms < ?1")                         \
    X(ACCOUNT_ADD,                                                                                 \
      "INSERT INTO accounts (nick, canonical, salt, hash, cost, certificate, made_ms) "            \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (canonical) DO NOTHING")

enum statement {
#define STATEMENT_ENUM(name, text) STATEMENT_##name,
    STATEMENTS(STATEMENT_ENUM)
#undef STATEMENT_ENUM
        STATEMENT_COUNT
};

struct gy_chat_db {
    sqlite3 *sqlite;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    struct gy_chat_retention retention;
    uint8_t secret[GY_CHAT_SECRET_BYTES];
    uint64_t pruned;
    int64_t prune_room; /* the round goes on after it */
    char reason[256];
};

/* A statement, ready to be bound. NULL: out of memory, or the database is broken. */
sqlite3_stmt *db_take(struct gy_chat_db *db, enum statement statement);

/* Runs one to its end, and gives it back. 0 or what db_failed() makes of it. */
int db_finish(struct gy_chat_db *db, sqlite3_stmt *statement);

/* The GY_E… code of SQLite's, which is not SQLITE_OK; keeps the reason. */
int db_failed(struct gy_chat_db *db, int code);

/* Undoes a transaction that is under way, if one is. */
void db_roll_back(struct gy_chat_db *db);

/* One step of a statement that gives rows: 1: a row; 0: none; or a GY_E… code. */
int db_step(struct gy_chat_db *db, sqlite3_stmt *statement);

/* ---- store_jobs.c ---- */

void db_bind_text(sqlite3_stmt *statement, int place, struct gy_chat_text text);
int db_take_text(struct gy_chat_job *job, sqlite3_stmt *statement, int column,
                 struct gy_chat_text *text);

/* Room for the entries of an answer. */
int db_entries_for(struct gy_chat_job *job);

/* ---- store_accounts.c ---- */

int db_account(struct gy_chat_db *db, struct gy_chat_job *job);
int db_new_account(struct gy_chat_db *db, struct gy_chat_job *job);
int db_change_account(struct gy_chat_db *db, struct gy_chat_job *job);
int db_accounts(struct gy_chat_db *db, struct gy_chat_job *job);
int db_ban(struct gy_chat_db *db, const struct gy_chat_job *job);
int db_unban(struct gy_chat_db *db, const struct gy_chat_job *job);

/* What pruning and reading need to know of a message. */
struct mark {
    int64_t id; /* 0: there is none */
    int64_t time_ms;
    int64_t total; /* bytes of it and of all before it */
    int64_t bytes;
};

/* FIRST, LAST, or, with an id, ONE. 0 or a GY_E… code. */
int db_mark(struct gy_chat_db *db, enum statement statement, int64_t room, int64_t id,
            struct mark *mark);

/* The first message of the room with `time_ms` of `least` or later, or, with `by_total`, `total`
 * greater than it. mark->id is 0 when there is none. */
int db_search(struct gy_chat_db *db, int64_t room, bool by_total, int64_t least, struct mark *mark);

#endif
