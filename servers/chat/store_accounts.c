/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Jobs about accounts and bans, done on the database. */

#include <string.h>

#include "servers/chat/bans.h"
#include "servers/chat/job.h"
#include "servers/chat/store_db_internal.h"

#define SALT_BYTES 16
#define HASH_BYTES 32

/* ---- accounts ---- */

int db_account(struct gy_chat_db *db, struct gy_chat_job *job)
{
    struct gy_chat_account *account = &job->account;
    sqlite3_stmt *statement = db_take(db, STATEMENT_ACCOUNT);
    if (statement == NULL) {
        return GY_EIO;
    }
    db_bind_text(statement, 1, account->canonical);
    int code = db_step(db, statement);
    if (code == 1) {
        bool whole = sqlite3_column_bytes(statement, 2) == SALT_BYTES &&
                     sqlite3_column_bytes(statement, 3) == HASH_BYTES;
        account->user = (uint64_t)sqlite3_column_int64(statement, 0);
        account->cost_log2 = (uint8_t)sqlite3_column_int(statement, 4);
        if (whole) {
            memcpy(account->salt, sqlite3_column_blob(statement, 2), SALT_BYTES);
            memcpy(account->hash, sqlite3_column_blob(statement, 3), HASH_BYTES);
        }
        account->epoch = (uint32_t)sqlite3_column_int64(statement, 6);
        account->operates = sqlite3_column_int(statement, 7) != 0;
        code = whole ? db_take_text(job, statement, 1, &account->nick) : GY_EIO;
        code = code == 0 ? db_take_text(job, statement, 5, &account->certificate) : code;
    } else if (code == 0) {
        code = GY_ENOTFOUND;
    }
    sqlite3_reset(statement);
    return code;
}

int db_new_account(struct gy_chat_db *db, struct gy_chat_job *job)
{
    struct gy_chat_account *account = &job->account;
    sqlite3_stmt *statement = db_take(db, STATEMENT_ACCOUNT_ADD);
    if (statement == NULL) {
        return GY_EIO;
    }
    db_bind_text(statement, 1, account->nick);
    db_bind_text(statement, 2, account->canonical);
    sqlite3_bind_blob(statement, 3, account->salt, SALT_BYTES, SQLITE_STATIC);
    sqlite3_bind_blob(statement, 4, account->hash, HASH_BYTES, SQLITE_STATIC);
    sqlite3_bind_int(statement, 5, account->cost_log2);
    db_bind_text(statement, 6, account->certificate);
    sqlite3_bind_int64(statement, 7, (int64_t)job->now_ms);
    int code = db_finish(db, statement);
    if (code == 0 && sqlite3_changes(db->sqlite) == 0) {
        return GY_EEXIST;
    }
    account->user = (uint64_t)sqlite3_last_insert_rowid(db->sqlite);
    return code;
}

/* Of one account, by its canonical nick. */
static int change_one(struct gy_chat_db *db, enum statement number, const struct gy_chat_job *job)
{
    const struct gy_chat_account *account = &job->account;
    sqlite3_stmt *statement = db_take(db, number);
    if (statement == NULL) {
        return GY_EIO;
    }
    db_bind_text(statement, 1, account->canonical);
    if (number == STATEMENT_ACCOUNT_PASSWORD) {
        sqlite3_bind_blob(statement, 2, account->salt, SALT_BYTES, SQLITE_STATIC);
        sqlite3_bind_blob(statement, 3, account->hash, HASH_BYTES, SQLITE_STATIC);
        sqlite3_bind_int(statement, 4, account->cost_log2);
    } else if (number == STATEMENT_ACCOUNT_OPERATES) {
        sqlite3_bind_int(statement, 2, account->operates);
    }
    int code = db_finish(db, statement);
    return code == 0 && sqlite3_changes(db->sqlite) == 0 ? GY_ENOTFOUND : code;
}

int db_change_account(struct gy_chat_db *db, struct gy_chat_job *job)
{
    static const struct {
        uint8_t bit;
        enum statement statement;
    } changes[] = {{GY_CHAT_CHANGE_PASSWORD, STATEMENT_ACCOUNT_PASSWORD},
                   {GY_CHAT_CHANGE_EPOCH, STATEMENT_ACCOUNT_EPOCH},
                   {GY_CHAT_CHANGE_OPERATES, STATEMENT_ACCOUNT_OPERATES}};
    int code = 0;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0] && code == 0; i++) {
        if ((job->change & changes[i].bit) != 0) {
            code = change_one(db, changes[i].statement, job);
        }
    }
    return code == 0 ? db_account(db, job) : code;
}

int db_accounts(struct gy_chat_db *db, struct gy_chat_job *job)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_ACCOUNTS);
    int code = statement != NULL ? db_entries_for(job) : GY_EIO;
    if (code != 0) {
        return code;
    }
    db_bind_text(statement, 1, job->name);
    sqlite3_bind_int64(statement, 2, (int64_t)job->entries_max + 1);
    while ((code = db_step(db, statement)) == 1) {
        if (job->entry_count == job->entries_max) {
            job->more = true;
            break;
        }
        struct gy_chat_entry *entry = &job->entries[job->entry_count];
        *entry = (struct gy_chat_entry){.user = (uint64_t)sqlite3_column_int64(statement, 0),
                                        .kind = (uint8_t)sqlite3_column_int(statement, 3),
                                        .time_ms = (uint64_t)sqlite3_column_int64(statement, 4)};
        code = db_take_text(job, statement, 1, &entry->from);
        code = code == 0 ? db_take_text(job, statement, 2, &entry->contents) : code;
        if (code != 0) {
            break;
        }
        job->entry_count++;
    }
    sqlite3_reset(statement);
    return code < 0 ? code : 0;
}

/* ---- bans ---- */

/* Those that are over go; GY_ELIMIT when there are too many others. */
static int make_place(struct gy_chat_db *db, uint64_t now_ms)
{
    sqlite3_stmt *past = db_take(db, STATEMENT_BANS_PAST);
    sqlite3_stmt *count = db_take(db, STATEMENT_BAN_COUNT);
    if (past == NULL || count == NULL) {
        return GY_EIO;
    }
    sqlite3_bind_int64(past, 1, (int64_t)now_ms);
    int code = db_finish(db, past);
    if (code == 0) {
        code = db_step(db, count);
        code = code < 0 ? code : sqlite3_column_int64(count, 0) >= GY_CHAT_BANS_MAX ? GY_ELIMIT : 0;
        sqlite3_reset(count);
    }
    return code;
}

int db_ban(struct gy_chat_db *db, const struct gy_chat_job *job)
{
    const struct gy_chat_ban *ban = &job->ban;
    sqlite3_stmt *statement = db_take(db, STATEMENT_BAN_PUT);
    int code = statement != NULL ? make_place(db, job->now_ms) : GY_EIO;
    if (code != 0) {
        return code;
    }
    sqlite3_bind_int(statement, 1, ban->kind);
    db_bind_text(statement, 2, ban->subject);
    sqlite3_bind_int64(statement, 3, (int64_t)ban->until_ms);
    sqlite3_bind_int64(statement, 4, (int64_t)ban->made_ms);
    db_bind_text(statement, 5, ban->by);
    db_bind_text(statement, 6, ban->reason);
    return db_finish(db, statement);
}

int db_unban(struct gy_chat_db *db, const struct gy_chat_job *job)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_BAN_DROP);
    if (statement == NULL) {
        return GY_EIO;
    }
    sqlite3_bind_int(statement, 1, job->ban.kind);
    db_bind_text(statement, 2, job->ban.subject);
    int code = db_finish(db, statement);
    return code == 0 && sqlite3_changes(db->sqlite) == 0 ? GY_ENOTFOUND : code;
}

static struct gy_chat_text text_at(sqlite3_stmt *statement, int column)
{
    const unsigned char *bytes = sqlite3_column_text(statement, column);
    int length = sqlite3_column_bytes(statement, column);
    return (struct gy_chat_text){(const char *)bytes, bytes != NULL ? (uint32_t)length : 0};
}

int gy_chat_db_bans(struct gy_chat_db *db, struct gy_chat_bans *bans)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_BANS);
    int code = statement != NULL ? 1 : GY_EIO;
    while (code > 0 && (code = db_step(db, statement)) == 1) {
        const struct gy_chat_ban ban = {
            .kind = (uint8_t)sqlite3_column_int(statement, 0),
            .subject = text_at(statement, 1),
            .until_ms = (uint64_t)sqlite3_column_int64(statement, 2),
            .made_ms = (uint64_t)sqlite3_column_int64(statement, 3),
            .by = text_at(statement, 4),
            .reason = text_at(statement, 5),
        };
        gy_chat_bans_put(bans, &ban); /* one that somebody else wrote may be none */
    }
    sqlite3_reset(statement);
    return code;
}
