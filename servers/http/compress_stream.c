/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/compress_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "servers/http/encoder.h"

enum piece_state {
    PIECE_FREE,
    PIECE_FULL, /* of as much as there was; being taken */
    PIECE_SENT, /* taken, and on its way */
};

struct piece {
    struct gy_buffer buffer; /* the first: found by it */
    struct gy_coding_stream *stream;
    enum piece_state state;
    uint32_t taken;
    uint8_t data[GY_CODING_PIECE_BYTES];
};

struct gy_coding_stream {
    struct gy_helper_job job; /* the first: found by it */
    struct gy_coded_cache *cache;
    struct gy_file_content *source;
    void (*ready)(void *owner);
    void *owner; /* NULL: gone */
    uint32_t giving, filling;
    bool running; /* a step: what follows is the helper's */

    struct gy_encoder *encoder; /* NULL: the end is written */
    struct gy_encoder_input input;
    const struct gy_file_block *block; /* of a whole source: the next to read */
    uint64_t position;                 /* bytes read */
    uint32_t filled;
    int failed;
    uint8_t read[GY_CODING_PIECE_BYTES];
    struct piece pieces[2];
};

/* ---- on the helper ---- */

/* The next of the file. 0 or GY_EIO. */
static int read_next(struct gy_coding_stream *stream)
{
    const struct gy_file_content *source = stream->source;
    if (source->whole) {
        const struct gy_file_block *block = stream->block;
        gy_assert(block != NULL);
        stream->input = (struct gy_encoder_input){block->data, block->buffer.capacity};
        stream->position += block->buffer.capacity;
        stream->block = block->next;
        return 0;
    }
    uint64_t left = source->status.bytes - stream->position;
    size_t wanted = left < sizeof stream->read ? (size_t)left : sizeof stream->read;
    ssize_t got;
    do {
        got = pread(source->descriptor, stream->read, wanted, (off_t)stream->position);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        return GY_EIO;
    }
    stream->input = (struct gy_encoder_input){stream->read, (size_t)got};
    stream->position += (uint64_t)got;
    return 0;
}

static void step(struct gy_helper_job *base)
{
    struct gy_coding_stream *stream = (struct gy_coding_stream *)base;
    struct piece *piece = &stream->pieces[stream->filling];
    uint64_t size = stream->source->status.bytes;
    uint64_t stop = stream->position + GY_CODING_STEP_BYTES;
    int code = 0;
    gy_coded_stand_back();
    stream->filled = 0;
    while (code == 0 && stream->filled < sizeof piece->data) {
        if (stream->input.bytes == 0 && stream->position < size) {
            if (stream->position >= stop) {
                return;
            }
            code = read_next(stream);
            if (code != 0) {
                break;
            }
        }
        struct gy_encoder_output output = {piece->data + stream->filled,
                                           sizeof piece->data - stream->filled};
        code = gy_encoder_run(stream->encoder, &stream->input, &output, stream->position == size);
        stream->filled = (uint32_t)(sizeof piece->data - output.bytes);
    }
    if (code != 0) {
        stream->failed = code < 0 ? code : 0;
        gy_encoder_close(stream->encoder);
        stream->encoder = NULL;
    }
}

/* ---- on the worker ---- */

static void free_when_done(struct gy_coding_stream *stream)
{
    if (stream->owner != NULL || stream->running || stream->pieces[0].state != PIECE_FREE ||
        stream->pieces[1].state != PIECE_FREE) {
        return;
    }
    stream->cache->streams--;
    gy_encoder_close(stream->encoder);
    gy_file_content_drop(stream->source);
    free(stream);
}

/* Begins the next step, if there is one and room for it. False: it should be, and cannot. */
static bool advance(struct gy_coding_stream *stream)
{
    if (stream->running || stream->encoder == NULL ||
        stream->pieces[stream->filling].state != PIECE_FREE) {
        return true;
    }
    stream->running = gy_helper_submit(stream->cache->helper, &stream->job) == 0;
    return stream->running;
}

static void advance_or_retry(struct gy_coding_stream *stream)
{
    if (!advance(stream)) {
        stream->ready(stream->owner); /* pulls again in another turn */
    }
}

/* The last slice of a piece was sent. */
static void piece_release(struct gy_buffer *buffer)
{
    struct piece *piece = (struct piece *)buffer;
    struct gy_coding_stream *stream = piece->stream;
    piece->state = PIECE_FREE;
    if (stream->owner == NULL) {
        free_when_done(stream);
    } else {
        advance_or_retry(stream);
    }
}

static void stepped(struct gy_helper_job *base)
{
    struct gy_coding_stream *stream = (struct gy_coding_stream *)base;
    stream->running = false;
    if (stream->owner == NULL) {
        free_when_done(stream);
        return;
    }
    if (stream->failed == GY_EIO) {
        stream->source->stale = true;
    }
    struct gy_compress_counts *counts = stream->cache->counts;
    gy_count(&counts->out_bytes, stream->filled);
    if (stream->encoder == NULL && stream->failed == 0) {
        gy_count(&counts->in_bytes, stream->source->status.bytes);
    }
    if (stream->filled > 0) {
        struct piece *piece = &stream->pieces[stream->filling];
        gy_assert(piece->state == PIECE_FREE);
        piece->buffer = (struct gy_buffer){
            .data = piece->data, .capacity = stream->filled, .refs = 1, .release = piece_release};
        piece->state = PIECE_FULL;
        piece->taken = 0;
        stream->filling ^= 1;
    }
    stream->ready(stream->owner);
    advance_or_retry(stream);
}

int gy_coding_stream_open(struct gy_coding_stream **out, struct gy_coded_cache *cache,
                          struct gy_file_content *source, enum gy_coding coding, uint8_t level,
                          void (*ready)(void *owner), void *owner)
{
    gy_assert(owner != NULL && source->status.bytes > 0);
    if (cache->streams == GY_CODED_STREAMS_MAX) {
        gy_count(&cache->counts->refused_streams, 1);
        return GY_ENOBUFS;
    }
    struct gy_coding_stream *stream = gy_coded_cache_help(cache) ? malloc(sizeof *stream) : NULL;
    struct gy_encoder *encoder = NULL;
    if (stream == NULL ||
        gy_encoder_open(&encoder, coding, level, source->status.bytes, GY_ENCODER_BYTES_MAX) != 0) {
        free(stream);
        gy_count(&cache->counts->refused_memory, 1);
        return GY_ENOBUFS;
    }
    stream->job = (struct gy_helper_job){.run = step, .done = stepped};
    stream->cache = cache;
    stream->source = source;
    stream->ready = ready;
    stream->owner = owner;
    stream->giving = stream->filling = 0;
    stream->running = false;
    stream->encoder = encoder;
    stream->input = (struct gy_encoder_input){0};
    stream->block = source->blocks;
    stream->position = 0;
    stream->failed = 0;
    for (uint32_t i = 0; i < 2; i++) {
        stream->pieces[i].stream = stream;
        stream->pieces[i].state = PIECE_FREE;
    }
    gy_file_content_hold(source);
    cache->streams++;
    gy_count(&cache->counts->streams, 1);
    *out = stream;
    advance_or_retry(stream);
    return 0;
}

int64_t gy_coding_stream_pull(struct gy_coding_stream *stream, struct gy_chain *out,
                              uint32_t budget, bool *end)
{
    struct piece *piece = &stream->pieces[stream->giving];
    *end = false;
    if (piece->state != PIECE_FULL) {
        if (!stream->running && stream->encoder == NULL) {
            *end = stream->failed == 0;
            return stream->failed;
        }
        return advance(stream) ? 0 : GY_ENOBUFS;
    }
    uint32_t bytes = piece->buffer.capacity - piece->taken;
    bytes = bytes < budget ? bytes : budget;
    struct gy_slice slice = gy_slice_of(&piece->buffer, piece->taken, bytes);
    if (gy_chain_append(out, slice) != 0) {
        gy_slice_drop(slice);
        return GY_ENOBUFS;
    }
    piece->taken += bytes;
    if (piece->taken == piece->buffer.capacity) {
        piece->state = PIECE_SENT;
        stream->giving ^= 1;
        gy_buffer_drop(&piece->buffer);
    }
    return bytes;
}

void gy_coding_stream_close(struct gy_coding_stream *stream)
{
    gy_assert(stream->owner != NULL);
    bool running = stream->running;
    stream->owner = NULL;
    stream->running = true; /* so that it outlives its own pieces here */
    for (uint32_t i = 0; i < 2; i++) {
        struct piece *piece = &stream->pieces[i];
        if (piece->state == PIECE_FULL) {
            piece->state = PIECE_SENT;
            gy_buffer_drop(&piece->buffer);
        }
    }
    stream->running = running;
    free_when_done(stream);
}
