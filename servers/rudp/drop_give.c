/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/rudp/drop_give.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/worker.h"

/* A part of the file: read, hashed, sent, acknowledged. */
struct gy_drop_piece {
    struct gy_rudp_message message;
    struct gy_buffer buffer; /* of `data`, behind the head */
    struct gy_drop_give *give;
    struct gy_rudp_memory *memory;
    struct gy_drop_piece *next, **link; /* link: of those that were given to the connection */
    uint64_t position;
    uint32_t asked;
    int64_t got; /* bytes, or a negative errno */
    bool ready;
    uint8_t data[];
};

_Static_assert(sizeof(struct gy_drop_piece) + GY_DROP_DATA_HEAD + GY_DROP_GIVE_BYTES <= 65536,
               "a piece fits in a block of the memory");

bool gy_drop_say(struct gy_rudp_session *session, const struct gy_drop_message *message)
{
    uint8_t out[GY_DROP_MESSAGE_BYTES];
    size_t bytes = gy_drop_encode(message, out);
    int code = gy_rudp_host_send_copy(session, GY_DROP_CHANNEL, GY_RUDP_ORDERED, out, bytes);
    if (code == GY_ENOMEM) {
        gy_rudp_host_end(session, GY_RUDP_HOST_NO_MEMORY, "no memory for the message");
    }
    return code == 0;
}

void gy_drop_say_result(struct gy_rudp_session *session, uint32_t transfer, unsigned result,
                        const char *text)
{
    size_t length = strnlen(text, GY_DROP_TEXT_BYTES);
    gy_drop_say(session, &(struct gy_drop_message){.type = GY_DROP_RESULT,
                                                   .transfer = transfer,
                                                   .result = (uint8_t)result,
                                                   .data = (const uint8_t *)text,
                                                   .length = (uint32_t)length});
}

static void read_more(struct gy_drop_give *give);

/* Gives it back once nothing is in flight. */
static void settle(struct gy_drop_give *give)
{
    if (!give->over || give->pieces > 0 || give->holds > 0) {
        return;
    }
    gy_assert(give->reading == 0 && give->head == NULL);
    if (!give->borrowed) {
        gy_file_close(give->host->worker, give->descriptor);
    }
    gy_timer_disarm(&give->host->worker->wheel, &give->working);
    gy_rudp_memory_give(&give->host->memory, give);
}

/* The disk is what is waited for, still: nothing of what was read is on its way. */
static void still_working(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_drop_give *give =
        (struct gy_drop_give *)((char *)timer - offsetof(struct gy_drop_give, working));
    if (give->session == NULL) {
        return;
    }
    struct gy_rudp_host *host = give->host;
    gy_timer_arm(&host->worker->wheel, timer, now_ms + GY_DROP_WORKING_MS);
    if (give->reading > 0 && give->reading == give->pieces) {
        gy_drop_say(give->session, &(struct gy_drop_message){.type = GY_DROP_WORKING,
                                                             .transfer = give->transfer,
                                                             .offset = give->at});
        gy_rudp_host_flush(host);
    }
}

/* What nobody waits for any more is not kept until the peer has room for it. */
static void cancel_sent(struct gy_drop_give *give)
{
    for (struct gy_drop_piece *piece = give->sent; piece != NULL; piece = piece->next) {
        gy_rudp_cancel(&give->session->conn, &piece->message);
    }
}

static void end(struct gy_drop_give *give, unsigned result, const char *text)
{
    gy_assert(!give->over);
    give->over = true;
    cancel_sent(give);
    give->holds++; /* not given back before its owner was told */
    give->ended(give, result, text);
    give->session = NULL;
    give->holds--;
    settle(give);
}

/* Ends it by a RESULT of our own. */
static void fail(struct gy_drop_give *give, unsigned result, const char *text)
{
    gy_drop_say_result(give->session, give->transfer, result, text);
    end(give, result, text);
}

void gy_drop_give_result(struct gy_drop_give *give, unsigned result, const char *text)
{
    end(give, result, text);
}

void gy_drop_give_leave(struct gy_drop_give *give)
{
    gy_assert(!give->over);
    give->over = true;
    give->session = NULL;
    settle(give);
}

struct gy_drop_give *gy_drop_give_new(struct gy_rudp_session *session, uint32_t transfer,
                                      int descriptor, bool borrowed, bool stream)
{
    struct gy_file_status status = {0};
    if (!stream && (gy_file_status(descriptor, &status) != 0 || !S_ISREG(status.mode) ||
                    status.bytes > GY_DROP_SIZE_MAX)) {
        return NULL;
    }
    struct gy_drop_give *give = gy_rudp_memory_take(&session->host->memory, sizeof *give);
    if (give == NULL) {
        return NULL;
    }
    *give = (struct gy_drop_give){
        .host = session->host,
        .session = session,
        .transfer = transfer,
        .descriptor = descriptor,
        .borrowed = borrowed,
        .stream = stream,
        .status = status,
        .size = stream ? GY_DROP_UNKNOWN : status.bytes,
    };
    gy_drop_hash_begin(&give->hash);
    gy_timer_init(&give->working, still_working);
    gy_timer_arm(&session->host->worker->wheel, &give->working,
                 session->host->worker->now_ms + GY_DROP_WORKING_MS);
    return give;
}

/* ---- pieces ---- */

/* The ring's hold on what it has read ends after its owner was told. */
static void release_piece(struct gy_buffer *buffer)
{
    struct gy_drop_piece *piece =
        (struct gy_drop_piece *)((char *)buffer - offsetof(struct gy_drop_piece, buffer));
    gy_rudp_memory_give(piece->memory, piece);
}

static void drop_piece(struct gy_drop_piece *piece)
{
    struct gy_drop_give *give = piece->give;
    gy_assert(give->pieces > 0);
    give->pieces--;
    if (piece->link != NULL) {
        *piece->link = piece->next;
        if (piece->next != NULL) {
            piece->next->link = piece->link;
        }
    }
    gy_buffer_drop(&piece->buffer);
}

static void have_read(void *owner, int64_t result);

/* Begins to read the next `bytes`. False: there is no room now. */
static bool read_piece(struct gy_drop_give *give, uint32_t bytes)
{
    size_t room = sizeof(struct gy_drop_piece) + GY_DROP_DATA_HEAD + bytes;
    struct gy_drop_piece *piece = gy_rudp_memory_take(&give->host->memory, room);
    if (piece == NULL) {
        return false;
    }
    *piece = (struct gy_drop_piece){
        .give = give,
        .memory = &give->host->memory,
        .buffer = {.data = piece->data + GY_DROP_DATA_HEAD,
                   .capacity = bytes,
                   .refs = 1,
                   .release = release_piece},
        .position = give->at,
        .asked = bytes,
    };
    if (gy_file_read(give->host->worker, give->descriptor, &piece->buffer, 0, bytes,
                     give->stream ? GY_FILE_HERE : give->at, have_read, piece) == NULL) {
        gy_buffer_drop(&piece->buffer);
        return false;
    }
    if (give->head == NULL) {
        give->head = piece;
    } else {
        give->tail->next = piece;
    }
    give->tail = piece;
    give->pieces++;
    give->reading++;
    give->at += bytes;
    return true;
}

static bool is_open(const struct gy_drop_give *give)
{
    return !give->over && give->session->conn.state <= GY_RUDP_OPEN;
}

/* Sends what was read. */
static void send_piece(struct gy_drop_give *give, struct gy_drop_piece *piece)
{
    gy_drop_encode_data(give->transfer, piece->position, piece->data);
    piece->message = (struct gy_rudp_message){
        .data = piece->data,
        .length = (uint32_t)(GY_DROP_DATA_HEAD + piece->got),
        .guarantee = GY_RUDP_ORDERED,
    };
    gy_drop_hash_add(&give->hash, piece->data + GY_DROP_DATA_HEAD, (size_t)piece->got);
    int code = gy_rudp_host_send(give->session, &piece->message);
    if (code == 0) {
        piece->next = give->sent;
        piece->link = &give->sent;
        if (piece->next != NULL) {
            piece->next->link = &piece->next;
        }
        give->sent = piece;
    } else if (code == GY_ELIMIT) {
        drop_piece(piece);
        fail(give, GY_DROP_IO, "the receiver takes no messages that long");
    } else { /* closing: the session's end will be told */
        drop_piece(piece);
        give->eof = give->end_said = true;
    }
}

/* Everything was read and given to the connection. */
static void say_end(struct gy_drop_give *give)
{
    struct gy_file_status now;
    struct gy_drop_message message = {.type = GY_DROP_END, .transfer = give->transfer};
    if (!give->stream &&
        (gy_file_status(give->descriptor, &now) != 0 || now.bytes != give->status.bytes ||
         now.modified_ns != give->status.modified_ns)) {
        fail(give, GY_DROP_CHANGED, "the file changed while it was sent; send it again");
        return;
    }
    message.size = give->at;
    gy_drop_hash_read(&give->hash, message.hash);
    give->end_said = true;
    gy_drop_say(give->session, &message);
}

/* One piece, whose turn it is. */
static void take_piece(struct gy_drop_give *give, struct gy_drop_piece *piece)
{
    int64_t got = piece->got;
    if (got < 0) {
        char text[GY_DROP_TEXT_BYTES];
        snprintf(text, sizeof text, "reading the file: %s", strerror((int)-got));
        drop_piece(piece);
        fail(give, GY_DROP_IO, text);
        return;
    }
    if (got < piece->asked) {
        if (!give->stream) {
            drop_piece(piece);
            fail(give, GY_DROP_CHANGED, "the file became shorter while it was sent; send it again");
            return;
        }
        give->eof = true;
        give->at -= piece->asked - (uint64_t)got;
    }
    if (got == 0) {
        drop_piece(piece);
        return;
    }
    send_piece(give, piece);
}

static void send_from(struct gy_drop_give *give, uint64_t offset)
{
    give->verifying = false;
    give->sending = true;
    give->begin = give->at = offset;
    if (offset == 0) {
        gy_drop_hash_begin(&give->hash);
    }
    if (gy_drop_say(give->session, &(struct gy_drop_message){.type = GY_DROP_FROM,
                                                             .transfer = give->transfer,
                                                             .offset = offset,
                                                             .size = give->size})) {
        read_more(give);
    }
}

/* A part of what the peer says it has. */
static void verify_piece(struct gy_drop_give *give, struct gy_drop_piece *piece)
{
    uint8_t hash[GY_DROP_HASH_BYTES];
    bool all = piece->got == piece->asked;
    if (all) {
        gy_drop_hash_add(&give->hash, piece->data + GY_DROP_DATA_HEAD, (size_t)piece->got);
    }
    drop_piece(piece);
    if (all && give->at < give->verify) {
        read_more(give);
        return;
    }
    gy_drop_hash_read(&give->hash, hash);
    bool same = all && memcmp(hash, give->verify_hash, sizeof hash) == 0;
    if (give->whole && !same) {
        fail(give, GY_DROP_EXISTS, "another file of that name is there");
        return;
    }
    send_from(give, same ? give->verify : 0);
}

static void have_read(void *owner, int64_t result)
{
    struct gy_drop_piece *piece = owner;
    struct gy_drop_give *give = piece->give;
    struct gy_rudp_host *host = give->host;
    piece->got = result;
    piece->ready = true;
    gy_assert(give->reading > 0);
    give->reading--;
    give->holds++;
    while (give->head != NULL && give->head->ready) {
        piece = give->head;
        give->head = piece->next;
        if (!is_open(give)) {
            drop_piece(piece);
        } else if (give->verifying) {
            verify_piece(give, piece);
        } else {
            take_piece(give, piece);
        }
    }
    if (is_open(give)) {
        read_more(give);
    }
    give->holds--;
    settle(give);
    gy_rudp_host_flush(host);
}

/* Reads as far ahead as is allowed; says the end when there is no more. */
static void read_more(struct gy_drop_give *give)
{
    uint32_t ahead = give->verifying ? 1 : GY_DROP_GIVE_PIECES;
    uint64_t until = give->verifying ? give->verify : give->size;
    uint64_t most = give->session->conn.theirs.message_max;
    bool room = true;
    most = most > GY_DROP_GIVE_BYTES + GY_DROP_DATA_HEAD ? GY_DROP_GIVE_BYTES
           : most > GY_DROP_DATA_HEAD                    ? most - GY_DROP_DATA_HEAD
                                                         : 1;
    while (room && !give->eof && give->at < until && give->pieces < ahead &&
           !(give->stream && give->reading > 0)) {
        uint64_t left = until - give->at;
        room = read_piece(give, (uint32_t)(left < most ? left : most));
    }
    if (!room && give->pieces == 0) {
        fail(give, GY_DROP_LIMIT, "no memory for it now; try again later");
        return;
    }
    give->eof |= give->sending && give->at >= give->size;
    if (give->sending && give->eof && give->reading == 0 && !give->end_said) {
        say_end(give);
    }
}

void gy_drop_give_begin(struct gy_drop_give *give, uint64_t offset, bool whole,
                        const uint8_t hash[GY_DROP_HASH_BYTES])
{
    give->whole = whole;
    if (give->sending || give->verifying) {
        fail(give, GY_DROP_PROTOCOL, "HAVE came twice");
    } else if (whole && offset != give->size) {
        fail(give, GY_DROP_EXISTS, "another file of that name is there");
    } else if (offset == 0 || offset > give->size || give->stream) {
        send_from(give, 0);
    } else {
        give->verifying = true;
        give->verify = offset;
        memcpy(give->verify_hash, hash, GY_DROP_HASH_BYTES);
        read_more(give);
    }
}

void gy_drop_give_finished(struct gy_rudp_message *message)
{
    struct gy_drop_piece *piece = (struct gy_drop_piece *)message;
    struct gy_drop_give *give = piece->give;
    give->acked += (uint64_t)piece->got;
    drop_piece(piece);
    if (is_open(give)) {
        read_more(give);
    } else {
        settle(give);
    }
}
