/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/rudp/drop_take.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/worker.h"
#include "servers/rudp/drop_give.h"

/* Bytes of what is written at once: whole pages, and with what belongs to it no more than 128 KiB.
 */
#define BLOCK_BYTES 126976u
/* After so much, whether there is still space is looked at. */
#define LOOK_BYTES (UINT64_C(16) << 20)

struct gy_drop_block {
    struct gy_buffer buffer;
    struct gy_rudp_memory *memory;
    struct gy_drop_block *next;
    uint32_t fill;
    uint64_t charged; /* bytes of messages that end here, against the connection's window */
    uint8_t data[];
};

_Static_assert(sizeof(struct gy_drop_block) + BLOCK_BYTES <= 131072,
               "a block fits in one of the memory");

static void pump(struct gy_drop_take *take);

/* ---- ending ---- */

/* The ring's hold ends after its owner was told. */
static void release_block(struct gy_buffer *buffer)
{
    struct gy_drop_block *block =
        (struct gy_drop_block *)((char *)buffer - offsetof(struct gy_drop_block, buffer));
    gy_rudp_memory_give(block->memory, block);
}

static void drop_block(struct gy_drop_take *take, struct gy_drop_block *block)
{
    if (take->session != NULL && block->charged > 0) {
        gy_rudp_host_consumed(take->session, GY_DROP_CHANNEL, block->charged);
    }
    gy_buffer_drop(&block->buffer);
}

/* What was not written is not wanted any more; what is being written is not charged any more. */
static void drop_blocks(struct gy_drop_take *take)
{
    struct gy_drop_block *block;
    while ((block = take->head) != NULL) {
        take->head = block->next;
        drop_block(take, block);
    }
    if (take->busy != NULL && take->session != NULL && take->busy->charged > 0) {
        gy_rudp_host_consumed(take->session, GY_DROP_CHANNEL, take->busy->charged);
        take->busy->charged = 0;
    }
}

static bool begin_job(struct gy_drop_take *take, enum gy_drop_disk_work work)
{
    take->disk.work = work;
    take->job = gy_helper_submit(take->helper, &take->disk.job) == 0;
    return take->job;
}

/* Gives it back once nothing is in flight. A part with nothing in it goes. */
static void settle(struct gy_drop_take *take)
{
    if (take->state != GY_DROP_TAKE_OVER || take->job || take->syncing || take->busy != NULL ||
        take->holds > 0) {
        return;
    }
    gy_assert(take->head == NULL);
    bool open = take->disk.descriptor >= 0 && !take->raw;
    bool empty = take->disk.have == 0 && take->written == 0 && !take->disk.whole && !take->named;
    if (open && empty && !take->discarded) {
        take->discarded = true;
        if (begin_job(take, GY_DROP_DISK_DISCARD)) {
            return;
        }
    }
    if (open) {
        gy_file_close(take->host->worker, take->disk.descriptor);
    }
    gy_timer_disarm(&take->host->worker->wheel, &take->working);
    gy_rudp_memory_give(&take->host->memory, take);
}

/* The disk is what is waited for, still. */
static void still_working(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_drop_take *take =
        (struct gy_drop_take *)((char *)timer - offsetof(struct gy_drop_take, working));
    if (take->session == NULL) {
        return;
    }
    struct gy_rudp_host *host = take->host;
    gy_timer_arm(&host->worker->wheel, timer, now_ms + GY_DROP_WORKING_MS);
    if (take->busy != NULL || take->job || take->syncing) {
        gy_drop_say(take->session, &(struct gy_drop_message){.type = GY_DROP_WORKING,
                                                             .transfer = take->transfer,
                                                             .offset = take->written});
        gy_rudp_host_flush(host);
    }
}

static void end(struct gy_drop_take *take, unsigned result, const char *text)
{
    gy_assert(take->state != GY_DROP_TAKE_OVER);
    drop_blocks(take);
    take->state = GY_DROP_TAKE_OVER;
    take->holds++;
    if (take->session != NULL) {
        take->ended(take, result, text);
        take->session = NULL;
    }
    take->holds--;
    settle(take);
}

/* Ends it by a RESULT of our own. */
static void conclude(struct gy_drop_take *take, unsigned result, const char *text)
{
    if (take->session != NULL) {
        gy_drop_say_result(take->session, take->transfer, result, text);
    }
    end(take, result, text);
}

/* The same once the part is gone. */
static void discard(struct gy_drop_take *take, unsigned result, const char *text)
{
    if (take->raw || take->disk.whole) {
        conclude(take, result, text);
        return;
    }
    drop_blocks(take);
    take->state = GY_DROP_TAKE_DISCARDING;
    take->result = result;
    snprintf(take->text, sizeof take->text, "%s", text);
    pump(take);
}

static void fail_errno(struct gy_drop_take *take, const char *what, int64_t result)
{
    char text[GY_DROP_TEXT_BYTES];
    snprintf(text, sizeof text, "%s: %s", what, strerror((int)-result));
    if (result == -ENOSPC || result == -EDQUOT) {
        discard(take, GY_DROP_NO_SPACE, text); /* what is left of it takes space from others */
    } else {
        conclude(take, result == -EFBIG ? GY_DROP_TOO_LARGE : GY_DROP_IO, text);
    }
}

void gy_drop_take_result(struct gy_drop_take *take, unsigned result, const char *text)
{
    end(take, result, text);
}

void gy_drop_take_leave(struct gy_drop_take *take)
{
    gy_assert(take->state != GY_DROP_TAKE_OVER);
    if (take->state != GY_DROP_TAKE_FINISHING) {
        drop_blocks(take);
        take->state = GY_DROP_TAKE_OVER;
    }
    take->session = NULL;
    for (struct gy_drop_block *block = take->head; block != NULL; block = block->next) {
        block->charged = 0;
    }
    settle(take);
}

/* ---- what is there ---- */

static void be_ready(struct gy_drop_take *take)
{
    if (take->have > 0) {
        gy_drop_hash_read(&take->hash, take->have_hash);
    }
    take->state = GY_DROP_TAKE_READY;
    take->ready(take);
}

static void hash_more(struct gy_drop_take *take);

static void have_read_now(struct gy_drop_take *take, int64_t result)
{
    struct gy_drop_block *block = take->busy;
    take->busy = NULL;
    if (take->state == GY_DROP_TAKE_HASHING && result > 0) {
        gy_drop_hash_add(&take->hash, block->data, (size_t)result);
        take->at += (uint64_t)result;
    }
    gy_buffer_drop(&block->buffer);
    if (take->state != GY_DROP_TAKE_HASHING) {
        settle(take);
    } else if (result < 0) {
        fail_errno(take, "reading what was there of it", result);
    } else if (result == 0) {
        conclude(take, GY_DROP_BUSY, "what was there of it has just changed");
    } else {
        hash_more(take);
    }
}

static void have_read(void *owner, int64_t result)
{
    struct gy_drop_take *take = owner;
    struct gy_rudp_host *host = take->host;
    have_read_now(take, result);
    gy_rudp_host_flush(host); /* what it had to say */
}

static struct gy_drop_block *new_block(struct gy_drop_take *take, uint64_t bytes)
{
    uint32_t capacity = bytes < BLOCK_BYTES ? (uint32_t)bytes : BLOCK_BYTES;
    struct gy_drop_block *block =
        gy_rudp_memory_take(&take->host->memory, sizeof *block + capacity);
    if (block != NULL) {
        *block = (struct gy_drop_block){
            .buffer = {.data = block->data,
                       .capacity = capacity,
                       .refs = 1,
                       .release = release_block},
            .memory = &take->host->memory,
        };
    }
    return block;
}

static void hash_more(struct gy_drop_take *take)
{
    uint64_t left = take->have - take->at;
    if (left == 0) {
        be_ready(take);
        return;
    }
    struct gy_drop_block *block = new_block(take, left);
    if (block == NULL) {
        conclude(take, GY_DROP_LIMIT, "no memory for it now; try again later");
        return;
    }
    take->busy = block;
    if (gy_file_read(take->host->worker, take->disk.descriptor, &block->buffer, 0,
                     block->buffer.capacity, take->at, have_read, take) == NULL) {
        take->busy = NULL;
        gy_buffer_drop(&block->buffer);
        conclude(take, GY_DROP_LIMIT, "too much is being read; try again later");
    }
}

static void opened(struct gy_drop_take *take)
{
    uint64_t most = take->size == GY_DROP_UNKNOWN ? take->max : take->size;
    if (take->disk.result != GY_DROP_DONE) {
        conclude(take, take->disk.result, take->disk.text);
        return;
    }
    take->have = take->disk.have <= most ? take->disk.have : 0;
    take->state = GY_DROP_TAKE_HASHING;
    hash_more(take);
}

static void directory_synced_now(struct gy_drop_take *take, int64_t result)
{
    take->syncing = false;
    if (result < 0 && result != -EINVAL) { /* EINVAL: a file system that need not be told */
        fail_errno(take, "syncing the directory", result);
    } else {
        conclude(take, GY_DROP_DONE, "");
    }
}

static void directory_synced(void *owner, int64_t result)
{
    struct gy_drop_take *take = owner;
    struct gy_rudp_host *host = take->host;
    directory_synced_now(take, result);
    gy_rudp_host_flush(host); /* what it had to say */
}

static void job_done_now(struct gy_drop_take *take)
{
    bool good = take->disk.result == GY_DROP_DONE;
    take->job = false;
    if (take->state == GY_DROP_TAKE_OVER) {
        settle(take);
        return;
    }
    if (take->disk.work == GY_DROP_DISK_OPEN) {
        opened(take);
    } else if (take->disk.work == GY_DROP_DISK_DISCARD) {
        conclude(take, take->result, take->text);
    } else if (!good && take->disk.result == GY_DROP_NO_SPACE) {
        discard(take, GY_DROP_NO_SPACE, take->disk.text);
    } else if (!good) {
        conclude(take, take->disk.result, take->disk.text);
    } else if (take->disk.work == GY_DROP_DISK_NAME) {
        take->named = true;
        take->syncing =
            gy_file_sync(take->host->worker, take->disk.directory, directory_synced, take) != NULL;
        if (!take->syncing) {
            conclude(take, GY_DROP_IO, "syncing the directory: too much is being written");
        }
    } else {
        if (take->disk.work == GY_DROP_DISK_EMPTY) {
            take->disk.have = 0;
        }
        pump(take);
    }
}

static void job_done(struct gy_helper_job *job)
{
    struct gy_drop_take *take = (struct gy_drop_take *)job;
    struct gy_rudp_host *host = take->host;
    job_done_now(take);
    gy_rudp_host_flush(host);
}

static struct gy_drop_take *new_take(struct gy_rudp_session *session, uint32_t transfer)
{
    struct gy_drop_take *take = gy_rudp_memory_take(&session->host->memory, sizeof *take);
    if (take != NULL) {
        *take = (struct gy_drop_take){
            .host = session->host,
            .session = session,
            .transfer = transfer,
            .size = GY_DROP_UNKNOWN,
            .max = GY_DROP_SIZE_MAX,
        };
        gy_drop_hash_begin(&take->hash);
        gy_timer_init(&take->working, still_working);
        gy_timer_arm(&session->host->worker->wheel, &take->working,
                     session->host->worker->now_ms + GY_DROP_WORKING_MS);
    }
    return take;
}

struct gy_drop_take *gy_drop_take_new(struct gy_rudp_session *session, struct gy_helper *helper,
                                      uint32_t transfer, const struct gy_drop_target *target,
                                      uint64_t max)
{
    struct gy_drop_take *take = new_take(session, transfer);
    if (take == NULL) {
        return NULL;
    }
    gy_drop_disk_init(&take->disk, target);
    take->disk.job.done = job_done;
    take->helper = helper;
    take->size = target->size;
    take->max = max;
    if (!begin_job(take, GY_DROP_DISK_OPEN)) {
        gy_timer_disarm(&session->host->worker->wheel, &take->working);
        gy_rudp_memory_give(&session->host->memory, take);
        return NULL;
    }
    return take;
}

struct gy_drop_take *gy_drop_take_raw(struct gy_rudp_session *session, uint32_t transfer,
                                      int descriptor)
{
    struct gy_drop_take *take = new_take(session, transfer);
    if (take == NULL) {
        return NULL;
    }
    take->raw = true;
    take->disk.descriptor = descriptor;
    take->state = GY_DROP_TAKE_READY;
    return take;
}

/* ---- taking ---- */

void gy_drop_take_from(struct gy_drop_take *take, uint64_t offset, uint64_t size)
{
    bool other = take->size != GY_DROP_UNKNOWN && size != take->size;
    if (take->state != GY_DROP_TAKE_READY || other || (offset != 0 && offset != take->have)) {
        conclude(take, GY_DROP_PROTOCOL, "FROM with another size, or an offset that was not said");
        return;
    }
    take->size = size;
    if (size != GY_DROP_UNKNOWN && size > take->max) {
        conclude(take, GY_DROP_TOO_LARGE, "the file is larger than is taken here");
        return;
    }
    if (take->disk.whole && (offset != take->have || size != take->have)) {
        conclude(take, GY_DROP_EXISTS, "another file of that name is there");
        return;
    }
    take->state = GY_DROP_TAKE_TAKING;
    take->at = take->written = take->looked = offset;
    if (offset == 0 && !take->disk.whole) {
        gy_drop_hash_begin(&take->hash);
        if (take->disk.have > 0 && !begin_job(take, GY_DROP_DISK_EMPTY)) {
            conclude(take, GY_DROP_LIMIT, "too much is being done; try again later");
        }
    }
}

/* Copies data behind what is to be written. False: there is no memory. */
static bool store(struct gy_drop_take *take, const uint8_t *data, uint32_t length)
{
    while (length > 0) {
        struct gy_drop_block *block = take->head != NULL ? take->tail : NULL;
        if (block == NULL || block->fill == block->buffer.capacity) {
            uint64_t left = take->size == GY_DROP_UNKNOWN ? UINT64_MAX : take->size - take->at;
            block = new_block(take, left);
            if (block == NULL) {
                return false;
            }
            if (take->head == NULL) {
                take->head = block;
            } else {
                gy_assert(take->tail != NULL);
                take->tail->next = block;
            }
            take->tail = block;
        }
        uint32_t room = block->buffer.capacity - block->fill;
        uint32_t part = length < room ? length : room;
        memcpy(block->data + block->fill, data, part);
        block->fill += part;
        take->at += part;
        data += part;
        length -= part;
    }
    return true;
}

bool gy_drop_take_data(struct gy_drop_take *take, const struct gy_drop_message *message,
                       size_t message_bytes)
{
    uint64_t most = take->size == GY_DROP_UNKNOWN ? take->max : take->size;
    if (take->state != GY_DROP_TAKE_TAKING) {
        return true;
    }
    if (take->disk.whole || message->offset != take->at || take->at > most) {
        conclude(take, GY_DROP_PROTOCOL, "DATA that is not what comes next");
        return true;
    }
    if (message->length > most - take->at) {
        conclude(take, take->size == GY_DROP_UNKNOWN ? GY_DROP_TOO_LARGE : GY_DROP_PROTOCOL,
                 take->size == GY_DROP_UNKNOWN ? "the file is larger than is taken here"
                                               : "more DATA than was announced");
        return true;
    }
    gy_drop_hash_add(&take->hash, message->data, message->length);
    gy_count(&take->host->worker->counters.copied_bytes, message->length);
    if (!store(take, message->data, message->length)) {
        gy_rudp_host_end(take->session, GY_RUDP_HOST_NO_MEMORY, "no memory for the message");
        return true;
    }
    take->tail->charged += message_bytes;
    pump(take);
    return false;
}

void gy_drop_take_end(struct gy_drop_take *take, const struct gy_drop_message *message)
{
    uint8_t hash[GY_DROP_HASH_BYTES];
    if (take->state != GY_DROP_TAKE_TAKING) {
        conclude(take, GY_DROP_PROTOCOL, "END before FROM");
        return;
    }
    gy_drop_hash_read(&take->hash, hash);
    bool sized = take->size == GY_DROP_UNKNOWN || take->size == message->size;
    bool same = memcmp(hash, message->hash, sizeof hash) == 0;
    if (sized && message->size == take->at && same) {
        take->state = GY_DROP_TAKE_FINISHING;
        pump(take);
    } else if (take->disk.whole) {
        conclude(take, GY_DROP_EXISTS, "another file of that name is there");
    } else {
        discard(take, GY_DROP_CORRUPT,
                same ? "its size is not what was announced"
                     : "what arrived is not what was sent: its hash is another one");
    }
}

/* ---- writing ---- */

static void file_synced_now(struct gy_drop_take *take, int64_t result)
{
    take->syncing = false;
    if (result < 0) {
        /* What the kernel could not write it may have forgotten: a part that looks whole is not. */
        char text[GY_DROP_TEXT_BYTES];
        bool full = result == -ENOSPC || result == -EDQUOT;
        snprintf(text, sizeof text, "syncing the file: %s", strerror((int)-result));
        discard(take, full ? GY_DROP_NO_SPACE : GY_DROP_IO, text);
    } else if (!begin_job(take, GY_DROP_DISK_NAME)) {
        conclude(take, GY_DROP_LIMIT, "too much is being done; try again later");
    }
}

static void file_synced(void *owner, int64_t result)
{
    struct gy_drop_take *take = owner;
    struct gy_rudp_host *host = take->host;
    file_synced_now(take, result);
    gy_rudp_host_flush(host); /* what it had to say */
}

static void wrote_now(struct gy_drop_take *take, int64_t result)
{
    struct gy_drop_block *block = take->busy;
    uint64_t position = take->written;
    take->busy = NULL;
    if (result > 0) {
        take->written = position + block->fill;
    }
    if (take->state == GY_DROP_TAKE_OVER) {
        gy_buffer_drop(&block->buffer);
        settle(take);
        return;
    }
    drop_block(take, block);
    if (result < 0 && take->state != GY_DROP_TAKE_DISCARDING) {
        fail_errno(take, "writing the file", result);
    } else {
        pump(take);
    }
}

static void wrote(void *owner, int64_t result)
{
    struct gy_drop_take *take = owner;
    struct gy_rudp_host *host = take->host;
    wrote_now(take, result);
    gy_rudp_host_flush(host); /* what it had to say */
}

static void finish(struct gy_drop_take *take)
{
    if (take->raw || take->disk.whole) {
        conclude(take, GY_DROP_DONE, "");
        return;
    }
    take->syncing =
        gy_file_sync(take->host->worker, take->disk.descriptor, file_synced, take) != NULL;
    if (!take->syncing) {
        conclude(take, GY_DROP_LIMIT, "too much is being written; try again later");
    }
}

/* Whatever can be begun: one write at a time, of all that has come meanwhile up to a block; then
 * what follows the last. */
static void pump(struct gy_drop_take *take)
{
    if (take->busy != NULL || take->job || take->syncing) {
        return;
    }
    struct gy_drop_block *block = take->head;
    if (block != NULL && !take->raw && take->written - take->looked >= LOOK_BYTES) {
        take->looked = take->written;
        if (begin_job(take, GY_DROP_DISK_LOOK)) {
            return;
        }
    }
    if (block != NULL) {
        take->head = block->next;
        block->next = NULL;
        take->busy = block;
        if (gy_file_write(take->host->worker, take->disk.descriptor, &block->buffer, 0, block->fill,
                          take->raw ? GY_FILE_HERE : take->written, wrote, take) == NULL) {
            take->busy = NULL;
            drop_block(take, block);
            conclude(take, GY_DROP_LIMIT, "too much is being written; try again later");
        }
    } else if (take->state == GY_DROP_TAKE_FINISHING) {
        finish(take);
    } else if (take->state == GY_DROP_TAKE_DISCARDING && !begin_job(take, GY_DROP_DISK_DISCARD)) {
        conclude(take, take->result, take->text);
    }
}
