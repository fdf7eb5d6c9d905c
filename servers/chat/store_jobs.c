/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Jobs, done on the database. */

#include <string.h>

#include "servers/chat/job.h"
#include "servers/chat/store_db_internal.h"

#define STANDINGS_MAX 65536u

void db_bind_text(sqlite3_stmt *statement, int place, struct gy_chat_text text)
{
    /* An empty text is not NULL. */
    sqlite3_bind_text(statement, place, text.length > 0 ? text.bytes : "", (int)text.length,
                      SQLITE_STATIC);
}

int db_take_text(struct gy_chat_job *job, sqlite3_stmt *statement, int column,
                 struct gy_chat_text *text)
{
    const unsigned char *bytes = sqlite3_column_text(statement, column);
    int length = sqlite3_column_bytes(statement, column);
    if (bytes == NULL) {
        return GY_ENOMEM;
    }
    return gy_chat_job_text(job, text, bytes, (uint32_t)length);
}

/* Ids on the wire are unsigned; SQLite's numbers are not. */
static int64_t id_of(uint64_t id)
{
    return id > INT64_MAX ? INT64_MAX : (int64_t)id;
}

/* ---- rooms ---- */

/* The first and the last id; `last_id` is what the room's row says. */
static int room_span(struct gy_chat_db *db, struct gy_chat_job *job, int64_t last_id)
{
    struct mark first, last;
    int code = db_mark(db, STATEMENT_FIRST, job->room, 0, &first);
    code = code == 0 ? db_mark(db, STATEMENT_LAST, job->room, 0, &last) : code;
    if (code != 0) {
        return code;
    }
    job->last = (uint64_t)(last.id > last_id ? last.id : last_id);
    job->first = first.id != 0 ? (uint64_t)first.id : job->last + 1;
    return 0;
}

static int take_standings(struct gy_chat_db *db, struct gy_chat_job *job)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_STANDINGS);
    uint32_t room = 0;
    int code;
    if (statement == NULL) {
        return GY_EIO;
    }
    sqlite3_bind_int64(statement, 1, job->room);
    while ((code = db_step(db, statement)) == 1 && job->standing_count < STANDINGS_MAX) {
        if (job->standing_count == room) {
            struct gy_chat_standing *more =
                gy_chat_job_take(job, (room * 2 + 16) * sizeof *job->standings);
            if (more == NULL) {
                code = GY_ENOMEM;
                break;
            }
            if (room > 0) {
                memcpy(more, job->standings, room * sizeof *more);
            }
            job->standings = more;
            room = room * 2 + 16;
        }
        job->standings[job->standing_count++] = (struct gy_chat_standing){
            .user = (uint64_t)sqlite3_column_int64(statement, 0),
            .role = (uint8_t)sqlite3_column_int(statement, 1),
            .banned = sqlite3_column_int(statement, 2) != 0,
            .muted = sqlite3_column_int(statement, 3) != 0,
            .banned_until_ms = (uint64_t)sqlite3_column_int64(statement, 4),
            .muted_until_ms = (uint64_t)sqlite3_column_int64(statement, 5),
        };
    }
    sqlite3_reset(statement);
    return code < 0 ? code : 0;
}

static int put_standing(struct gy_chat_db *db, uint32_t room,
                        const struct gy_chat_standing *standing)
{
    bool usual = standing->role == GY_CHAT_ROLE_MEMBER && !standing->banned && !standing->muted;
    sqlite3_stmt *statement = db_take(db, usual ? STATEMENT_STANDING_DROP : STATEMENT_STANDING_PUT);
    if (statement == NULL) {
        return GY_EIO;
    }
    sqlite3_bind_int64(statement, 1, room);
    sqlite3_bind_int64(statement, 2, (int64_t)standing->user);
    if (!usual) {
        sqlite3_bind_int(statement, 3, standing->role);
        sqlite3_bind_int(statement, 4, standing->banned);
        sqlite3_bind_int(statement, 5, standing->muted);
        sqlite3_bind_int64(statement, 6, (int64_t)standing->banned_until_ms);
        sqlite3_bind_int64(statement, 7, (int64_t)standing->muted_until_ms);
    }
    return db_finish(db, statement);
}

static int do_standings(struct gy_chat_db *db, const struct gy_chat_job *job)
{
    int code = 0;
    for (uint32_t i = 0; i < job->standing_count && code == 0; i++) {
        code = put_standing(db, job->room, &job->standings[i]);
    }
    return code;
}

/* GY_ELIMIT when its maker has as many rooms as it may have. */
static int count_rooms(struct gy_chat_db *db, const struct gy_chat_job *job)
{
    sqlite3_stmt *statement = job->maker != 0 ? db_take(db, STATEMENT_ROOM_MAKERS) : NULL;
    if (statement == NULL) {
        return job->maker != 0 ? GY_EIO : 0;
    }
    sqlite3_bind_int64(statement, 1, (int64_t)job->maker);
    int code = db_step(db, statement);
    int64_t count = code == 1 ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return code < 0 ? code : count >= job->maker_most ? GY_ELIMIT : 0;
}

static int make_room(struct gy_chat_db *db, struct gy_chat_job *job)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_ROOM_MAKE);
    int code = statement != NULL ? count_rooms(db, job) : GY_EIO;
    if (code != 0) {
        return code;
    }
    db_bind_text(statement, 1, job->name);
    sqlite3_bind_int64(statement, 2, (int64_t)job->now_ms);
    sqlite3_bind_int64(statement, 3, (int64_t)job->maker);
    sqlite3_bind_int(statement, 4, job->temporary);
    code = db_finish(db, statement);
    int64_t number = sqlite3_last_insert_rowid(db->sqlite);
    if (code != 0 || number > UINT32_MAX) {
        return code != 0 ? code : GY_EIO;
    }
    job->room = (uint32_t)number;
    job->was_made = true;
    if (job->made_by != 0) {
        struct gy_chat_standing owner = {.user = job->made_by, .role = GY_CHAT_ROLE_OWNER};
        code = put_standing(db, job->room, &owner);
    }
    return code;
}

/* Since when nobody is in a temporary room; 0: somebody is. */
static int set_empty(struct gy_chat_db *db, const struct gy_chat_job *job, uint64_t empty_ms)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_ROOM_EMPTY);
    if (statement == NULL) {
        return GY_EIO;
    }
    sqlite3_bind_int64(statement, 1, job->room);
    sqlite3_bind_int64(statement, 2, (int64_t)empty_ms);
    return db_finish(db, statement);
}

static int do_open_room(struct gy_chat_db *db, struct gy_chat_job *job)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_ROOM_BY_NAME);
    int64_t last_id = 0;
    bool was_empty = false;
    if (statement == NULL) {
        return GY_EIO;
    }
    job->was_made = false;
    job->slow_ms = 0;
    job->topic = (struct gy_chat_text){"", 0};
    job->standing_count = 0;
    db_bind_text(statement, 1, job->name);
    int code = db_step(db, statement);
    bool found = code == 1;
    if (found) {
        job->room = (uint32_t)sqlite3_column_int64(statement, 0);
        job->slow_ms = (uint32_t)sqlite3_column_int64(statement, 2);
        last_id = sqlite3_column_int64(statement, 3);
        job->temporary = sqlite3_column_int(statement, 4) != 0;
        was_empty = job->temporary && sqlite3_column_int64(statement, 5) != 0;
        code = db_take_text(job, statement, 1, &job->topic);
    }
    sqlite3_reset(statement);
    if (code == 0 && !found) {
        code = job->make ? make_room(db, job) : GY_ENOTFOUND;
    }
    if (code == 0 && was_empty) {
        code = set_empty(db, job, 0); /* else it would go while somebody is in it */
    }
    code = code == 0 ? room_span(db, job, last_id) : code;
    return code == 0 ? take_standings(db, job) : code;
}

static int do_settings(struct gy_chat_db *db, struct gy_chat_job *job)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_ROOM_SETTINGS);
    if (statement == NULL) {
        return GY_EIO;
    }
    sqlite3_bind_int64(statement, 1, job->room);
    db_bind_text(statement, 2, job->topic);
    sqlite3_bind_int64(statement, 3, job->slow_ms);
    int code = db_finish(db, statement);
    return code == 0 && sqlite3_changes(db->sqlite) == 0 ? GY_ENOTFOUND : code;
}

/* A statement with the room's number alone. */
static int of_room(struct gy_chat_db *db, enum statement number, const struct gy_chat_job *job)
{
    sqlite3_stmt *statement = db_take(db, number);
    if (statement == NULL) {
        return GY_EIO;
    }
    sqlite3_bind_int64(statement, 1, job->room);
    return db_finish(db, statement);
}

static bool begins_with(const char *name, uint32_t length, struct gy_chat_text prefix)
{
    return length >= prefix.length && memcmp(name, prefix.bytes, prefix.length) == 0;
}

int db_entries_for(struct gy_chat_job *job)
{
    if (job->entries == NULL) {
        job->entries = gy_chat_job_take(job, (job->entries_max + 1) * sizeof *job->entries);
    }
    job->entry_count = 0;
    job->more = false;
    return job->entries != NULL ? 0 : GY_ENOMEM;
}

static int do_rooms(struct gy_chat_db *db, struct gy_chat_job *job)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_ROOM_LIST);
    int code = statement != NULL ? db_entries_for(job) : GY_EIO;
    if (code != 0) {
        return code;
    }
    bool inboxes = job->prefix.length > 0 && job->prefix.bytes[0] == '@';
    db_bind_text(statement, 1, job->name);
    db_bind_text(statement, 2, job->prefix);
    while ((code = db_step(db, statement)) == 1) {
        const char *name = (const char *)sqlite3_column_text(statement, 1);
        uint32_t length = (uint32_t)sqlite3_column_bytes(statement, 1);
        if (name == NULL) {
            code = GY_ENOMEM;
            break;
        }
        if (!begins_with(name, length, job->prefix)) {
            break; /* names come in their order: no other begins with it */
        }
        if (name[0] == '@' && !inboxes) {
            /* The next that is no inbox is found at once, however many there are. */
            sqlite3_reset(statement);
            _Static_assert('@' + 1 == 'A', "what comes after @");
            sqlite3_bind_text(statement, 2, "A", 1, SQLITE_STATIC);
            inboxes = true;
            continue;
        }
        if (job->entry_count == job->entries_max) {
            job->more = true;
            break;
        }
        struct gy_chat_entry *entry = &job->entries[job->entry_count];
        *entry = (struct gy_chat_entry){.target = (uint64_t)sqlite3_column_int64(statement, 0),
                                        .id = (uint64_t)sqlite3_column_int64(statement, 3)};
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

/* ---- messages ---- */

/* 1: it was there, and the entry says so; 0: it was not; or an error. */
static int find_sent(struct gy_chat_db *db, uint32_t room, struct gy_chat_entry *entry)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_SENT);
    if (statement == NULL) {
        return GY_EIO;
    }
    sqlite3_bind_int64(statement, 1, room);
    sqlite3_bind_int64(statement, 2, (int64_t)entry->user);
    sqlite3_bind_int64(statement, 3, (int64_t)entry->client_id);
    int code = db_step(db, statement);
    if (code == 1) {
        entry->id = (uint64_t)sqlite3_column_int64(statement, 0);
        entry->time_ms = (uint64_t)sqlite3_column_int64(statement, 1);
        entry->duplicate = true;
    }
    sqlite3_reset(statement);
    return code;
}

static int add_sent(struct gy_chat_db *db, uint32_t room, const struct gy_chat_entry *entry)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_SENT_ADD);
    if (statement == NULL) {
        return GY_EIO;
    }
    sqlite3_bind_int64(statement, 1, room);
    sqlite3_bind_int64(statement, 2, (int64_t)entry->user);
    sqlite3_bind_int64(statement, 3, (int64_t)entry->client_id);
    sqlite3_bind_int64(statement, 4, (int64_t)entry->id);
    sqlite3_bind_int64(statement, 5, (int64_t)entry->time_ms);
    return db_finish(db, statement);
}

/* What was taken back is not kept. */
static int empty(struct gy_chat_db *db, uint32_t room, uint64_t target)
{
    static const enum statement both[] = {STATEMENT_EMPTY, STATEMENT_EMPTY_EDITS};
    int code = 0;
    for (int i = 0; i < 2 && code == 0; i++) {
        sqlite3_stmt *statement = db_take(db, both[i]);
        if (statement == NULL) {
            return GY_EIO;
        }
        sqlite3_bind_int64(statement, 1, room);
        sqlite3_bind_int64(statement, 2, id_of(target));
        code = db_finish(db, statement);
    }
    return code;
}

static int add(struct gy_chat_db *db, uint32_t room, struct gy_chat_entry *entry, struct mark *last)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_ADD);
    if (statement == NULL) {
        return GY_EIO;
    }
    int64_t bytes = (int64_t)entry->from.length + entry->contents.length;
    entry->id = (uint64_t)last->id + 1;
    entry->duplicate = false;
    if (entry->time_ms < (uint64_t)last->time_ms) {
        entry->time_ms = (uint64_t)last->time_ms;
    }
    sqlite3_bind_int64(statement, 1, room);
    sqlite3_bind_int64(statement, 2, (int64_t)entry->id);
    sqlite3_bind_int64(statement, 3, (int64_t)entry->time_ms);
    sqlite3_bind_int(statement, 4, entry->kind);
    sqlite3_bind_int64(statement, 5, id_of(entry->target));
    sqlite3_bind_int64(statement, 6, (int64_t)entry->user);
    sqlite3_bind_int64(statement, 7, (int64_t)entry->client_id);
    db_bind_text(statement, 8, entry->from);
    db_bind_text(statement, 9, entry->contents);
    sqlite3_bind_int64(statement, 10, bytes);
    sqlite3_bind_int64(statement, 11, last->total + bytes);
    int code = db_finish(db, statement);
    if (code == 0 && entry->client_id != 0) {
        code = add_sent(db, room, entry);
    }
    if (code == 0 && entry->kind == GY_CHAT_DELETED) {
        code = empty(db, room, entry->target);
    }
    *last = (struct mark){.id = last->id + 1,
                          .time_ms = (int64_t)entry->time_ms,
                          .total = last->total + bytes,
                          .bytes = bytes};
    return code;
}

/* The last id of the room's row: of rooms whose messages are all gone. */
static int room_last(struct gy_chat_db *db, uint32_t room, int64_t *last_id)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_ROOM_LAST);
    if (statement == NULL) {
        return GY_EIO;
    }
    sqlite3_bind_int64(statement, 1, room);
    int code = db_step(db, statement);
    *last_id = code == 1 ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return code == 1 ? 0 : code == 0 ? GY_ENOTFOUND : code;
}

static int do_append(struct gy_chat_db *db, struct gy_chat_job *job)
{
    struct mark last;
    int code = db_mark(db, STATEMENT_LAST, job->room, 0, &last);
    if (code == 0 && last.id == 0) {
        code = room_last(db, job->room, &last.id);
    }
    /* The owner and the store must agree: who does not know what is stored may not number. */
    if (code == 0 && job->next_id != (uint64_t)last.id + 1) {
        code = GY_ESTATE;
    }
    for (uint32_t i = 0; i < job->entry_count && code == 0; i++) {
        struct gy_chat_entry *entry = &job->entries[i];
        int found = entry->client_id != 0 ? find_sent(db, job->room, entry) : 0;
        code = found < 0 ? found : found == 1 ? 0 : add(db, job->room, entry, &last);
    }
    job->last = (uint64_t)last.id;
    return code;
}

static int take_entry(struct gy_chat_job *job, sqlite3_stmt *statement, uint32_t *bytes)
{
    struct gy_chat_entry *entry = &job->entries[job->entry_count];
    *entry = (struct gy_chat_entry){
        .id = (uint64_t)sqlite3_column_int64(statement, 0),
        .time_ms = (uint64_t)sqlite3_column_int64(statement, 1),
        .kind = (uint8_t)sqlite3_column_int(statement, 2),
        .target = (uint64_t)sqlite3_column_int64(statement, 3),
        .user = (uint64_t)sqlite3_column_int64(statement, 4),
        .client_id = (uint64_t)sqlite3_column_int64(statement, 5),
    };
    int code = db_take_text(job, statement, 6, &entry->from);
    code = code == 0 ? db_take_text(job, statement, 7, &entry->contents) : code;
    *bytes += entry->from.length + entry->contents.length;
    job->entry_count += code == 0;
    return code;
}

static int do_read(struct gy_chat_db *db, struct gy_chat_job *job)
{
    bool back = job->by == 2;
    int64_t point = id_of(job->point);
    int64_t last_id = 0;
    uint32_t bytes = 0;
    int code = db_entries_for(job);
    code = code == 0 ? room_last(db, job->room, &last_id) : code;
    code = code == 0 ? room_span(db, job, last_id) : code;
    if (code == 0 && job->by == 1) {
        struct mark mark;
        code = db_search(db, job->room, false, point, &mark);
        if (code != 0 || mark.id == 0) {
            return code;
        }
        point = mark.id - 1;
    }
    sqlite3_stmt *statement =
        code == 0 ? db_take(db, back ? STATEMENT_READ_BEFORE : STATEMENT_READ_AFTER) : NULL;
    if (statement == NULL) {
        return code != 0 ? code : GY_EIO;
    }
    sqlite3_bind_int64(statement, 1, job->room);
    sqlite3_bind_int64(statement, 2, point);
    sqlite3_bind_int64(statement, 3, (int64_t)job->entries_max + 1);
    while ((code = db_step(db, statement)) == 1) {
        if (job->entry_count == job->entries_max || bytes >= GY_CHAT_READ_BYTES) {
            job->more = true;
            break;
        }
        code = take_entry(job, statement, &bytes);
        if (code != 0) {
            break;
        }
    }
    sqlite3_reset(statement);
    return code < 0 ? code : 0;
}

/* ---- transactions ---- */

static int do_job(struct gy_chat_db *db, struct gy_chat_job *job)
{
    switch (job->type) {
    case GY_CHAT_JOB_OPEN_ROOM:
        return do_open_room(db, job);
    case GY_CHAT_JOB_APPEND:
        return do_append(db, job);
    case GY_CHAT_JOB_READ:
        return do_read(db, job);
    case GY_CHAT_JOB_STANDING:
        return do_standings(db, job);
    case GY_CHAT_JOB_SETTINGS:
        return do_settings(db, job);
    case GY_CHAT_JOB_ROOMS:
        return do_rooms(db, job);
    case GY_CHAT_JOB_ACCOUNT:
        return db_account(db, job);
    case GY_CHAT_JOB_NEW_ACCOUNT:
        return db_new_account(db, job);
    case GY_CHAT_JOB_CLOSE_ROOM:
        return set_empty(db, job, job->now_ms > 0 ? job->now_ms : 1);
    case GY_CHAT_JOB_KEEP_ROOM:
        return of_room(db, STATEMENT_ROOM_KEEP, job);
    case GY_CHAT_JOB_DROP_ROOM:
        return of_room(db, STATEMENT_ROOM_AWAY, job);
    case GY_CHAT_JOB_CHANGE_ACCOUNT:
        return db_change_account(db, job);
    case GY_CHAT_JOB_ACCOUNTS:
        return db_accounts(db, job);
    case GY_CHAT_JOB_BAN:
        return db_ban(db, job);
    case GY_CHAT_JOB_UNBAN:
        return db_unban(db, job);
    }
    return GY_ENOTSUP;
}

static bool writes(const struct gy_chat_job *job)
{
    return job->type != GY_CHAT_JOB_READ && job->type != GY_CHAT_JOB_ROOMS &&
           job->type != GY_CHAT_JOB_ACCOUNT && job->type != GY_CHAT_JOB_ACCOUNTS &&
           (job->type != GY_CHAT_JOB_OPEN_ROOM || job->make);
}

/* Answers that are no failure of the store's: nothing was written by then. */
static bool is_answer(int code)
{
    return code == 0 || code == GY_ENOTFOUND || code == GY_EEXIST || code == GY_ESTATE ||
           code == GY_ELIMIT;
}

static int run_statement(struct gy_chat_db *db, enum statement number)
{
    sqlite3_stmt *statement = db_take(db, number);
    return statement != NULL ? db_finish(db, statement) : GY_EIO;
}

/* All that read, after what was to be written with them came to nothing. */
static void read_only(struct gy_chat_db *db, struct gy_chat_job *first, int failure)
{
    for (struct gy_chat_job *job = first; job != NULL; job = job->next) {
        if (!writes(job)) {
            job->result = do_job(db, job);
            continue;
        }
        bool make = job->type == GY_CHAT_JOB_OPEN_ROOM;
        job->make = false;
        job->was_made = false;
        job->result = make ? do_job(db, job) : failure; /* it may be there: then it is read */
        job->make = make;
        if (make && job->result == GY_ENOTFOUND) {
            job->result = failure;
        }
        for (uint32_t i = 0; job->type == GY_CHAT_JOB_APPEND && i < job->entry_count; i++) {
            job->entries[i].duplicate = false;
        }
    }
}

void gy_chat_db_run(struct gy_chat_db *db, struct gy_chat_job *first)
{
    bool any = false;
    for (const struct gy_chat_job *job = first; job != NULL && !any; job = job->next) {
        any = writes(job);
    }
    int code = run_statement(db, any ? STATEMENT_BEGIN : STATEMENT_BEGIN_READ);
    for (struct gy_chat_job *job = first; job != NULL && code == 0; job = job->next) {
        job->result = do_job(db, job);
        code = is_answer(job->result) || !writes(job) ? 0 : job->result;
    }
    code = code == 0 ? run_statement(db, STATEMENT_COMMIT) : code;
    if (code != 0) {
        db_roll_back(db);
        read_only(db, first, code == GY_EAGAIN ? GY_EIO : code);
    }
}
