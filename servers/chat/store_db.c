/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The database: opening it, its schema, its statements. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "servers/chat/store_db_internal.h"

#define TEXT_OF(name, text) text,
static const char *const texts[] = {STATEMENTS(TEXT_OF)};
#undef TEXT_OF

/*
 * What makes version N + 1 out of version N.
 *
 * `total` of a message is the sum of its bytes and of all before it, so that what a room takes is
 * known without counting. Client ids are kept in `sent`, longer than messages are, in the order in
 * which they came. `last_id` is there so that ids are not given twice when every message is gone.
 */
static const char *const migrations[] = {
    "CREATE TABLE rooms (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, "
    "topic TEXT NOT NULL DEFAULT '', slow_ms INTEGER NOT NULL DEFAULT 0, "
    "last_id INTEGER NOT NULL DEFAULT 0, made_ms INTEGER NOT NULL);"
    "CREATE TABLE messages (room INTEGER NOT NULL REFERENCES rooms, id INTEGER NOT NULL, "
    "time_ms INTEGER NOT NULL, kind INTEGER NOT NULL, target INTEGER NOT NULL, "
    "user INTEGER NOT NULL, client_id INTEGER NOT NULL, sender TEXT NOT NULL, "
    "contents TEXT NOT NULL, bytes INTEGER NOT NULL, total INTEGER NOT NULL, "
    "PRIMARY KEY (room, id)) WITHOUT ROWID;"
    "CREATE TABLE sent (n INTEGER PRIMARY KEY AUTOINCREMENT, room INTEGER NOT NULL, "
    "user INTEGER NOT NULL, client_id INTEGER NOT NULL, id INTEGER NOT NULL, "
    "time_ms INTEGER NOT NULL, UNIQUE (room, user, client_id));"
    "CREATE TABLE standings (room INTEGER NOT NULL REFERENCES rooms, user INTEGER NOT NULL, "
    "role INTEGER NOT NULL, banned INTEGER NOT NULL, muted INTEGER NOT NULL, "
    "banned_until_ms INTEGER NOT NULL, muted_until_ms INTEGER NOT NULL, "
    "PRIMARY KEY (room, user)) WITHOUT ROWID;"
    "CREATE TABLE accounts (user INTEGER PRIMARY KEY AUTOINCREMENT, nick TEXT NOT NULL, "
    "canonical TEXT NOT NULL UNIQUE, salt BLOB NOT NULL, hash BLOB NOT NULL, "
    "cost INTEGER NOT NULL, made_ms INTEGER NOT NULL);"
    "CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "INSERT INTO secrets VALUES ('tokens', randomblob(32));",

    /* Edits are found by what they edit; accounts may log in with a certificate. */
    "CREATE INDEX by_target ON messages (room, target) WHERE target != 0;"
    "ALTER TABLE accounts ADD COLUMN certificate TEXT NOT NULL DEFAULT '';",

    /* Rooms count for who made them, and those of guests go when nobody was in them for a while
     * (`empty_ms`: since when; 0: somebody is); so do the inboxes that guests have left. Tokens are
     * of an account's `epoch`: the next one makes them void. */
    "ALTER TABLE rooms ADD COLUMN maker INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE rooms ADD COLUMN temporary INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE rooms ADD COLUMN empty_ms INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX by_maker ON rooms (maker) WHERE maker != 0;"
    "CREATE INDEX by_empty ON rooms (empty_ms) WHERE temporary != 0;"
    "UPDATE rooms SET temporary = 1 WHERE name GLOB '@*' AND "
    "CAST(substr(name, 2) AS INTEGER) >= 4611686018427387904;"
    "ALTER TABLE accounts ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE accounts ADD COLUMN operator INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE bans (kind INTEGER NOT NULL, subject TEXT NOT NULL, until_ms INTEGER NOT NULL, "
    "made_ms INTEGER NOT NULL, made_by TEXT NOT NULL, reason TEXT NOT NULL, "
    "PRIMARY KEY (kind, subject)) WITHOUT ROWID;",
};
_Static_assert(sizeof migrations / sizeof migrations[0] == GY_CHAT_DB_VERSION, "one each");

int db_failed(struct gy_chat_db *db, int code)
{
    snprintf(db->reason, sizeof db->reason, "%s", sqlite3_errmsg(db->sqlite));
    switch (code & 0xff) {
    case SQLITE_FULL:
        return GY_ENOSPACE;
    case SQLITE_NOMEM:
        return GY_ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return GY_EAGAIN;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
        return GY_EREFUSED;
    default:
        return GY_EIO;
    }
}

const char *gy_chat_db_reason(struct gy_chat_db *db)
{
    return db->reason;
}

/* ---- statements ---- */

sqlite3_stmt *db_take(struct gy_chat_db *db, enum statement statement)
{
    sqlite3_stmt **prepared = &db->statements[statement];
    if (*prepared == NULL) {
        int code = sqlite3_prepare_v3(db->sqlite, texts[statement], -1, SQLITE_PREPARE_PERSISTENT,
                                      prepared, NULL);
        if (code != SQLITE_OK) {
            db_failed(db, code);
            return NULL;
        }
    }
    return *prepared;
}

int db_step(struct gy_chat_db *db, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    return code == SQLITE_ROW ? 1 : code == SQLITE_DONE ? 0 : db_failed(db, code);
}

int db_finish(struct gy_chat_db *db, sqlite3_stmt *statement)
{
    int code = db_step(db, statement);
    sqlite3_reset(statement);
    return code < 0 ? code : 0;
}

void db_roll_back(struct gy_chat_db *db)
{
    sqlite3_stmt *statement = NULL;
    /* After some errors SQLite has done so by itself. */
    if (sqlite3_get_autocommit(db->sqlite) == 0 &&
        (statement = db_take(db, STATEMENT_ROLLBACK)) != NULL) {
        char reason[sizeof db->reason];
        memcpy(reason, db->reason, sizeof reason); /* why it is done is what matters */
        db_finish(db, statement);
        memcpy(db->reason, reason, sizeof reason);
    }
}

/* ---- opening ---- */

static int execute(struct gy_chat_db *db, const char *text)
{
    int code = sqlite3_exec(db->sqlite, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : db_failed(db, code);
}

/* The one number that a text gives. */
static int number_of(struct gy_chat_db *db, const char *text, int64_t *number)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->sqlite, text, -1, &statement, NULL);
    int result = code == SQLITE_OK ? db_step(db, statement) : db_failed(db, code);
    *number = result == 1 ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return result < 0 ? result : 0;
}

/* Each version is one transaction: a crash leaves the one before or the one after. */
static int migrate(struct gy_chat_db *db, struct gy_error *error)
{
    int64_t version = 0;
    int code = number_of(db, "PRAGMA user_version", &version);
    if (code == 0 && version > GY_CHAT_DB_VERSION) {
        return gy_error_set(error, GY_ENOTSUP,
                            "it was made by a newer release (version %lld of the schema, this one "
                            "knows %d)",
                            (long long)version, GY_CHAT_DB_VERSION);
    }
    while (code == 0 && version < GY_CHAT_DB_VERSION) {
        char text[64];
        code = execute(db, "BEGIN IMMEDIATE");
        code = code == 0 ? execute(db, migrations[version]) : code;
        snprintf(text, sizeof text, "PRAGMA user_version = %d", (int)++version);
        code = code == 0 ? execute(db, text) : code;
        code = code == 0 ? execute(db, "COMMIT") : code;
        if (code != 0) {
            db_roll_back(db);
        }
    }
    return code;
}

static int read_secret(struct gy_chat_db *db)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->sqlite, "SELECT value FROM secrets WHERE name = 'tokens'", -1,
                                  &statement, NULL);
    int result = code == SQLITE_OK ? db_step(db, statement) : db_failed(db, code);
    if (result == 1 && sqlite3_column_bytes(statement, 0) == GY_CHAT_SECRET_BYTES) {
        memcpy(db->secret, sqlite3_column_blob(statement, 0), GY_CHAT_SECRET_BYTES);
        result = 0;
    } else if (result >= 0) {
        snprintf(db->reason, sizeof db->reason, "the key of tokens is missing");
        result = GY_EIO;
    }
    sqlite3_finalize(statement);
    return result;
}

/* Locking comes before the journal's mode: so there is no shared memory beside the file. */
static int set_up(struct gy_chat_db *db, struct gy_error *error)
{
    static const char *const settings[] = {"PRAGMA locking_mode = EXCLUSIVE",
                                           "PRAGMA journal_mode = WAL",
                                           "PRAGMA synchronous = FULL",
                                           "PRAGMA foreign_keys = OFF",
                                           "PRAGMA cache_size = -16384",
                                           "PRAGMA wal_autocheckpoint = 2000",
                                           "PRAGMA journal_size_limit = 67108864",
                                           "PRAGMA secure_delete = FAST"};
    int code = 0;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0] && code == 0; i++) {
        code = execute(db, settings[i]);
    }
    code = code == 0 ? migrate(db, error) : code;
    /* Nobody is anywhere when a server begins. Where that cannot be written now, it is next time.
     */
    if (code == 0) {
        execute(db, "UPDATE rooms SET empty_ms = CAST(strftime('%s', 'now') AS INTEGER) * 1000 "
                    "WHERE temporary != 0 AND empty_ms = 0");
    }
    return code == 0 ? read_secret(db) : code;
}

/* Passwords' hashes and the key of tokens are in it: it is for its owner alone. The files beside it
 * get the same rights, by SQLite. */
static void make_private(const struct gy_chat_db_options *options)
{
    int made = options->vfs == NULL
                   ? open(options->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR)
                   : -1;
    gy_descriptor_close(made);
}

int gy_chat_db_open(struct gy_chat_db **opened, const struct gy_chat_db_options *options,
                    struct gy_error *error)
{
    struct gy_chat_db *db = calloc(1, sizeof *db);
    if (db == NULL) {
        return gy_error_set(error, GY_ENOMEM, "opening the store %s: out of memory", options->path);
    }
    struct gy_error why = {0};
    make_private(options); /* what is wrong with it SQLite says */
    db->retention = options->retention;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int opening = sqlite3_open_v2(options->path, &db->sqlite, flags, options->vfs);
    int code = opening == SQLITE_OK ? set_up(db, &why) : db_failed(db, opening);
    if (code != 0) {
        gy_error_set(error, code, "opening the store %s: %s%s", options->path,
                     why.code != 0 ? why.message : db->reason,
                     code == GY_EAGAIN ? "; another process has it open"
                     : code == GY_EREFUSED
                         ? "; is its folder there, and may the server's user write both?"
                     : strcmp(db->reason, sqlite3_errstr(SQLITE_NOTADB)) == 0
                         ? "; something else is in it: name another file"
                         : "");
        gy_chat_db_close(db);
        return code;
    }
    *opened = db;
    return 0;
}

void gy_chat_db_close(struct gy_chat_db *db)
{
    if (db == NULL) {
        return;
    }
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(db->statements[i]);
    }
    sqlite3_close(db->sqlite);
    free(db);
}

void gy_chat_db_secret(const struct gy_chat_db *db, uint8_t secret[GY_CHAT_SECRET_BYTES])
{
    memcpy(secret, db->secret, GY_CHAT_SECRET_BYTES);
}

uint64_t gy_chat_db_pruned(const struct gy_chat_db *db)
{
    return db->pruned;
}

void gy_chat_db_retain(struct gy_chat_db *db, const struct gy_chat_retention *retention)
{
    db->retention = *retention;
}
