/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/http/rig.h"

#include <stdio.h>
#include <stdlib.h>

static void slab_make(struct gy_slab *slab, size_t item_bytes, uint32_t count)
{
    size_t bytes = gy_slab_bytes(item_bytes, count);
    void *memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    gy_assert(memory != NULL);
    gy_slab_init(slab, memory, bytes, item_bytes);
}

static struct rig *rig_of(struct gy_h1 *h1)
{
    return (struct rig *)(void *)((char *)h1 - offsetof(struct rig, h1));
}

static void wake(struct gy_h1 *h1)
{
    struct rig *rig = rig_of(h1);
    rig->wakes++;
    rig->woken = true;
}

void rig_open(struct rig *rig, const struct gy_http_handler *handler, void *context)
{
    rig_open_sized(rig, handler, context,
                   (struct rig_size){.exchanges = 2, .blocks = 64, .links = 65536});
}

void rig_open_sized(struct rig *rig, const struct gy_http_handler *handler, void *context,
                    struct rig_size size)
{
    *rig = (struct rig){.sent = calloc(1, 1)};
    slab_make(&rig->links, sizeof(struct gy_link), size.links);
    slab_make(&rig->exchanges, gy_h1_exchange_bytes(), size.exchanges);
    slab_make(&rig->blocks, sizeof(struct gy_bump_block), size.blocks);
    gy_bump_init(&rig->bump, &rig->blocks);
    int error =
        gy_h1_env_init(&rig->env, handler, context, &rig->exchanges, &rig->bump, wake, "gyre");
    gy_assert(error == 0);
    gy_h1_env_date(&rig->env, RIG_DATE);
    gy_chain_init(&rig->in, &rig->links);
    gy_chain_init(&rig->out, &rig->links);
    gy_h1_init(&rig->h1, &rig->env, &rig->out, rig, false, 0);
}

/* ---- input ----------------------------------------------------------------------------------- */

struct piece {
    struct gy_buffer buffer;
    struct rig *rig;
    uint8_t *data;
};

static void piece_free(struct gy_buffer *buffer)
{
    struct piece *piece = (struct piece *)buffer;
    piece->rig->buffers--;
    free(piece->data);
    free(piece);
}

/* The maker's count goes over to the slice. */
struct gy_slice rig_slice(struct rig *rig, const void *bytes, size_t length)
{
    struct piece *piece = malloc(sizeof *piece);
    gy_assert(piece != NULL);
    piece->data = malloc(length > 0 ? length : 1);
    gy_assert(piece->data != NULL);
    if (length > 0) {
        memcpy(piece->data, bytes, length);
    }
    piece->rig = rig;
    piece->buffer = (struct gy_buffer){piece->data, (uint32_t)length, 1, piece_free};
    rig->buffers++;
    /* Freed by piece_free(), with its data. */
    /* cppcheck-suppress memleak */
    return (struct gy_slice){&piece->buffer, 0, (uint32_t)length};
}

void rig_append(struct rig *rig, const void *bytes, size_t length)
{
    int error = gy_chain_append(&rig->in, rig_slice(rig, bytes, length));
    gy_assert(error == 0);
}

static void collect(struct rig *rig)
{
    uint32_t length = rig->out.length;
    char *grown = realloc(rig->sent, rig->sent_bytes + length + 1);
    gy_assert(grown != NULL);
    rig->sent = grown;
    gy_chain_copy(&rig->out, 0, length, rig->sent + rig->sent_bytes);
    rig->sent_bytes += length;
    rig->sent[rig->sent_bytes] = 0;
    gy_chain_consume(&rig->out, length);
}

uint32_t rig_turn(struct rig *rig)
{
    bool again = true;
    for (uint32_t turns = 0; again; turns++) {
        gy_assert(turns < 100000);
        rig->woken = false;
        rig->wants = gy_h1_turn(&rig->h1, &rig->in, rig->eof, rig->now_ns);
        gy_assert(rig->wants == gy_h1_wants(&rig->h1, &rig->in));
        bool drained = !rig->holds_output && rig->out.length > 0;
        if (drained) {
            collect(rig);
        }
        again = rig->woken || (!rig->holds_output && (rig->wants & GY_H1_ROOM) != 0) ||
                (drained && (rig->wants & GY_H1_RETRY) != 0);
    }
    return rig->wants;
}

uint32_t rig_feed(struct rig *rig, const void *bytes, size_t length)
{
    rig_append(rig, bytes, length);
    return rig_turn(rig);
}

uint32_t rig_say(struct rig *rig, const char *text)
{
    return rig_feed(rig, text, strlen(text));
}

uint32_t rig_end(struct rig *rig)
{
    rig->eof = true;
    return rig_turn(rig);
}

void rig_forget(struct rig *rig)
{
    rig->sent_bytes = 0;
    rig->sent[0] = 0;
}

void rig_close(struct rig *rig)
{
    gy_h1_close(&rig->h1, GY_ECLOSED);
    gy_chain_clear(&rig->in);
    gy_chain_clear(&rig->out);
    gy_assert(rig->exchanges.used == 0);
    gy_assert(rig->links.used == 0);
    gy_assert(rig->buffers == 0);
    gy_assert(rig->blocks.used <= 1);
    gy_bump_close(&rig->bump);
    gy_assert(rig->blocks.used == 0);
    free(rig->links.base);
    free(rig->exchanges.base);
    free(rig->blocks.base);
    free(rig->sent);
}

/* ---- what was sent -----------------------------------------------------------------------------
 */

/* The value of a field in the head [head, end), or NULL. */
static const char *field(const char *head, const char *end, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = head; line != NULL && line < end;) {
        if (strncmp(line, name, length) == 0) {
            return line + length;
        }
        line = strstr(line, "\r\n");
        line = line == NULL ? NULL : line + 2;
    }
    return NULL;
}

/* Behind a chunked body, or NULL. */
static const char *chunks_end(const char *at, const char *limit)
{
    for (;;) {
        char *digits_end;
        unsigned long size = strtoul(at, &digits_end, 16);
        if (digits_end == at || strncmp(digits_end, "\r\n", 2) != 0) {
            return NULL;
        }
        at = digits_end + 2;
        if (size == 0) {
            const char *end = strncmp(at, "\r\n", 2) == 0 ? at : strstr(at, "\r\n\r\n");
            return end == NULL ? NULL : end == at ? at + 2 : end + 4;
        }
        if ((size_t)(limit - at) < size + 2 || strncmp(at + size, "\r\n", 2) != 0) {
            return NULL;
        }
        at += size + 2;
    }
}

/* Behind the response at `at`, or NULL. */
static const char *response_end(const char *at, const char *limit, int *status)
{
    const char *end = strstr(at, "\r\n\r\n");
    if (end == NULL || sscanf(at, "HTTP/1.1 %3d", status) != 1) {
        return NULL;
    }
    const char *head_end = end;
    end += 4;
    if (*status < 200) {
        return end;
    }
    if (field(at, head_end, "Transfer-Encoding: chunked") != NULL) {
        return chunks_end(end, limit);
    }
    const char *length = field(at, head_end, "Content-Length: ");
    if (length == NULL) {
        return *status == 204 || *status == 304 ? end : NULL;
    }
    end += strtoul(length, NULL, 10);
    return end <= limit ? end : NULL;
}

void rig_statuses(const struct rig *rig, char *statuses, size_t room)
{
    const char *at = rig->sent;
    const char *limit = rig->sent + rig->sent_bytes;
    size_t used = 0;
    statuses[0] = 0;
    while (at != NULL && at < limit && used + 8 < room) {
        int status = 0;
        at = response_end(at, limit, &status);
        used += (size_t)snprintf(statuses + used, room - used, at == NULL ? "%s?" : "%s%d",
                                 used > 0 ? " " : "", status);
    }
}
