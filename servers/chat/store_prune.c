/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Marks of a room's messages, and what is taken away when there are too many. */

#include <stddef.h>

#include "servers/chat/store_db_internal.h"

int db_mark(struct gy_chat_db *db, enum statement number, int64_t room, int64_t id,
            struct mark *mark)
{
    sqlite3_stmt *statement = db_take(db, number);
    *mark = (struct mark){0};
    if (statement == NULL) {
        return GY_EIO;
    }
    sqlite3_bind_int64(statement, 1, room);
    if (number == STATEMENT_ONE) {
        sqlite3_bind_int64(statement, 2, id);
    }
    int code = db_step(db, statement);
    if (code == 1) {
        *mark = (struct mark){
            .id = sqlite3_column_int64(statement, 0),
            .time_ms = sqlite3_column_int64(statement, 1),
            .total = sqlite3_column_int64(statement, 2),
            .bytes = sqlite3_column_int64(statement, 3),
        };
    }
    sqlite3_reset(statement);
    return code < 0 ? code : 0;
}

/* Ids have no holes, and neither times nor totals go back: so it is found by halving. */
int db_search(struct gy_chat_db *db, int64_t room, bool by_total, int64_t least, struct mark *mark)
{
    struct mark low, high;
    int code = db_mark(db, STATEMENT_FIRST, room, 0, &low);
    code = code == 0 ? db_mark(db, STATEMENT_LAST, room, 0, &high) : code;
    if (code != 0 || low.id == 0 || (by_total ? high.total <= least : high.time_ms < least)) {
        *mark = (struct mark){0};
        return code;
    }
    if (by_total ? low.total > least : low.time_ms >= least) {
        *mark = low;
        return 0;
    }
    /* `low` is too early, `high` is not. */
    while (high.id - low.id > 1) {
        struct mark middle;
        code = db_mark(db, STATEMENT_ONE, room, low.id + (high.id - low.id) / 2, &middle);
        if (code != 0 || middle.id == 0) { /* a hole: somebody else wrote to the file */
            *mark = high;
            return code;
        }
        if (by_total ? middle.total > least : middle.time_ms >= least) {
            high = middle;
        } else {
            low = middle;
        }
    }
    *mark = high;
    return 0;
}

/* A room that is looked at. */
struct pruned {
    int64_t number;
    bool inbox;
};

/* Of a room: the id up to which (not with it) messages are too many or too old. */
static int find_cut(struct gy_chat_db *db, const struct pruned *room, uint64_t now_ms,
                    const struct mark *first, const struct mark *last, int64_t *cut)
{
    const struct gy_chat_retention *keep = &db->retention;
    uint64_t inbox = keep->inbox_count != 0 ? keep->inbox_count : GY_CHAT_INBOX_COUNT;
    uint64_t count = room->inbox && (keep->count == 0 || inbox < keep->count) ? inbox : keep->count;
    struct mark mark;
    int code = 0;
    *cut = 0;
    if (count > 0 && (uint64_t)(last->id - first->id) >= count) {
        *cut = last->id - (int64_t)count + 1;
    }
    int64_t all = last->total - first->total + first->bytes;
    if (keep->bytes > 0 && (uint64_t)all > keep->bytes) {
        /* What is kept: those whose sum up to the end is within the limit. */
        code = db_search(db, room->number, true, last->total - (int64_t)keep->bytes, &mark);
        int64_t from = mark.id;
        if (code == 0 && mark.id != 0 &&
            (uint64_t)(last->total - mark.total + mark.bytes) > keep->bytes) {
            from = mark.id < last->id ? mark.id + 1 : mark.id;
        }
        *cut = from > *cut ? from : *cut;
    }
    if (code == 0 && keep->age_ms > 0 && now_ms > keep->age_ms) {
        code = db_search(db, room->number, false, (int64_t)(now_ms - keep->age_ms), &mark);
        int64_t from = mark.id != 0 ? mark.id : last->id + 1;
        *cut = from > *cut ? from : *cut;
    }
    return code;
}

static int drop(struct gy_chat_db *db, int64_t room, int64_t upto, int64_t last_id)
{
    sqlite3_stmt *begin = db_take(db, STATEMENT_BEGIN);
    sqlite3_stmt *keep = db_take(db, STATEMENT_ROOM_KEEP_LAST);
    sqlite3_stmt *away = db_take(db, STATEMENT_DROP);
    sqlite3_stmt *commit = db_take(db, STATEMENT_COMMIT);
    if (begin == NULL || keep == NULL || away == NULL || commit == NULL) {
        return GY_EIO;
    }
    int code = db_finish(db, begin);
    if (code == 0 && upto >= last_id) { /* none is left: the ids go on from there */
        sqlite3_bind_int64(keep, 1, room);
        sqlite3_bind_int64(keep, 2, last_id);
        code = db_finish(db, keep);
    }
    if (code == 0) {
        sqlite3_bind_int64(away, 1, room);
        sqlite3_bind_int64(away, 2, upto);
        code = db_finish(db, away);
    }
    code = code == 0 ? db_finish(db, commit) : code;
    if (code != 0) {
        db_roll_back(db);
    }
    return code;
}

/* The oldest client ids. True: there may be more. */
static bool prune_sent(struct gy_chat_db *db, uint64_t now_ms)
{
    uint64_t keep_ms = db->retention.client_ms != 0 ? db->retention.client_ms : GY_CHAT_CLIENT_MS;
    sqlite3_stmt *oldest = db_take(db, STATEMENT_SENT_OLDEST);
    sqlite3_stmt *away = db_take(db, STATEMENT_SENT_DROP);
    int64_t upto = 0;
    int64_t count = 0;
    if (oldest == NULL || away == NULL || now_ms <= keep_ms) {
        return false;
    }
    sqlite3_bind_int64(oldest, 1, GY_CHAT_PRUNE_STEP);
    while (db_step(db, oldest) == 1 &&
           (uint64_t)sqlite3_column_int64(oldest, 1) < now_ms - keep_ms) {
        upto = sqlite3_column_int64(oldest, 0);
        count++;
    }
    sqlite3_reset(oldest);
    if (upto == 0) {
        return false;
    }
    sqlite3_bind_int64(away, 1, upto);
    return db_finish(db, away) == 0 && count == GY_CHAT_PRUNE_STEP;
}

static bool next_room(struct gy_chat_db *db, struct pruned *room)
{
    sqlite3_stmt *statement = db_take(db, STATEMENT_ROOM_NEXT);
    if (statement == NULL) {
        return false;
    }
    sqlite3_bind_int64(statement, 1, db->prune_room);
    bool found = db_step(db, statement) == 1;
    *room = (struct pruned){0};
    if (found) {
        room->number = sqlite3_column_int64(statement, 0);
        room->inbox = sqlite3_column_int(statement, 1) != 0;
    }
    sqlite3_reset(statement);
    return found;
}

/* Nothing was said in it, or nothing is left: the rest of it goes. */
static int drop_room(struct gy_chat_db *db, int64_t room)
{
    static const enum statement order[] = {STATEMENT_BEGIN, STATEMENT_STANDINGS_DROP,
                                           STATEMENT_ROOM_DROP, STATEMENT_COMMIT};
    int code = 0;
    for (size_t i = 0; i < sizeof order / sizeof order[0] && code == 0; i++) {
        sqlite3_stmt *statement = db_take(db, order[i]);
        if (statement == NULL) {
            code = GY_EIO;
            break;
        }
        if (order[i] == STATEMENT_STANDINGS_DROP || order[i] == STATEMENT_ROOM_DROP) {
            sqlite3_bind_int64(statement, 1, room);
        }
        code = db_finish(db, statement);
    }
    if (code != 0) {
        db_roll_back(db);
    }
    return code;
}

/* Up to as many messages of a room as one step takes. 1: there were some; 0: none is left. */
static int drop_some(struct gy_chat_db *db, int64_t room)
{
    struct mark first, last;
    int code = db_mark(db, STATEMENT_FIRST, room, 0, &first);
    code = code == 0 ? db_mark(db, STATEMENT_LAST, room, 0, &last) : code;
    if (code != 0 || first.id == 0) {
        return code;
    }
    int64_t most = first.id + GY_CHAT_PRUNE_STEP - 1;
    int64_t upto = last.id < most ? last.id : most;
    code = drop(db, room, upto, last.id);
    db->pruned += code == 0 ? (uint64_t)(upto - first.id + 1) : 0;
    return code == 0 ? 1 : code;
}

/* Temporary rooms that nobody was in for so long. True: there may be more. */
static bool prune_temporary(struct gy_chat_db *db, uint64_t now_ms)
{
    const struct gy_chat_retention *keep = &db->retention;
    uint64_t keep_ms = keep->temporary_ms != 0 ? keep->temporary_ms : GY_CHAT_TEMPORARY_MS;
    sqlite3_stmt *statement = db_take(db, STATEMENT_ROOM_GONE);
    if (statement == NULL || now_ms <= keep_ms) {
        return false;
    }
    sqlite3_bind_int64(statement, 1, (int64_t)(now_ms - keep_ms));
    int64_t room = db_step(db, statement) == 1 ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    int code = room != 0 ? drop_some(db, room) : GY_ENOTFOUND;
    if (code == 0) {
        code = drop_room(db, room) == 0 ? 1 : 0;
    }
    return code == 1;
}

bool gy_chat_db_prune(struct gy_chat_db *db, uint64_t now_ms)
{
    struct pruned next;
    if (prune_temporary(db, now_ms)) {
        return true;
    }
    if (!next_room(db, &next)) {
        bool more = prune_sent(db, now_ms);
        db->prune_room = more ? db->prune_room : 0;
        return more;
    }
    struct mark first, last;
    int64_t room = next.number;
    int64_t cut = 0;
    int code = db_mark(db, STATEMENT_FIRST, room, 0, &first);
    code = code == 0 ? db_mark(db, STATEMENT_LAST, room, 0, &last) : code;
    if (code == 0 && first.id != 0) {
        code = find_cut(db, &next, now_ms, &first, &last, &cut);
    }
    if (code == 0 && first.id != 0 && cut > first.id) {
        int64_t upto =
            cut - 1 - first.id >= GY_CHAT_PRUNE_STEP ? first.id + GY_CHAT_PRUNE_STEP - 1 : cut - 1;
        code = drop(db, room, upto, last.id);
        db->pruned += code == 0 ? (uint64_t)(upto - first.id + 1) : 0;
        if (code == 0 && upto < cut - 1) {
            return true; /* the same room again */
        }
    }
    db->prune_room = room;
    if (code != 0) {
        db->prune_room = 0;
    }
    return code == 0;
}
