/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/websocket/ws_deflate.h"

#if GY_HAVE_ZLIB

#include <zlib.h>

/* What a sync flush ends with; it is left out of a message, and put behind one (§7.2.1, §7.2.2). */
static const uint8_t tail[4] = {0, 0, 0xff, 0xff};

/* Beside the windows, what zlib takes: its own states, seen with 1.2.13 and rounded up. */
#define DEFLATE_STATE_BYTES 8192
#define INFLATE_STATE_BYTES 11264

/* One that does a third of the work of the default, for four fifths of the gain on chat lines. */
#define LEVEL 3

struct gy_ws_deflate {
    struct gy_ws_memory memory;
    z_stream out, in;
    uint8_t out_bits, in_bits;
    uint8_t tail_used; /* of `tail`, behind the message that is being unpacked */
    bool out_forgets, in_forgets;
    bool out_open, in_open;
};

bool gy_ws_have_deflate(void)
{
    return true;
}

static voidpf take(voidpf context, uInt count, uInt bytes)
{
    const struct gy_ws_memory *memory = context;
    return memory->take(memory->context, (size_t)count * bytes);
}

static void give(voidpf context, voidpf piece)
{
    const struct gy_ws_memory *memory = context;
    memory->give(memory->context, piece);
}

/* zlib's hash table grows with its window. */
static int mem_level(uint8_t bits)
{
    return bits - 7;
}

static size_t out_bytes(uint8_t bits)
{
    return ((size_t)1 << (bits + 2)) + ((size_t)1 << (mem_level(bits) + 9)) + DEFLATE_STATE_BYTES;
}

size_t gy_ws_deflate_bytes(const struct gy_ws_terms *terms, bool client)
{
    uint8_t out = client ? terms->client_bits : terms->server_bits;
    uint8_t in = client ? terms->server_bits : terms->client_bits;
    return sizeof(struct gy_ws_deflate) + out_bytes(out) + ((size_t)1 << in) + INFLATE_STATE_BYTES;
}

int gy_ws_deflate_open(struct gy_ws_deflate **deflate, const struct gy_ws_terms *terms, bool client,
                       const struct gy_ws_memory *memory)
{
    struct gy_ws_deflate *made = memory->take(memory->context, sizeof *made);
    if (made == NULL) {
        return GY_ENOMEM;
    }
    *made = (struct gy_ws_deflate){
        .memory = *memory,
        .out_bits = client ? terms->client_bits : terms->server_bits,
        .in_bits = client ? terms->server_bits : terms->client_bits,
        .out_forgets = client ? terms->client_no_takeover : terms->server_no_takeover,
        .in_forgets = client ? terms->server_no_takeover : terms->client_no_takeover,
    };
    *deflate = made;
    return 0;
}

void gy_ws_deflate_close(struct gy_ws_deflate *deflate)
{
    if (deflate == NULL) {
        return;
    }
    if (deflate->out_open) {
        deflateEnd(&deflate->out);
    }
    if (deflate->in_open) {
        inflateEnd(&deflate->in);
    }
    struct gy_ws_memory memory = deflate->memory;
    memory.give(memory.context, deflate);
}

uint8_t gy_ws_deflate_bits(const struct gy_ws_deflate *deflate)
{
    return deflate->out_bits;
}

/* ---- packing ---- */

static int open_out(z_stream *out, struct gy_ws_memory *memory, uint8_t bits)
{
    *out = (z_stream){.zalloc = take, .zfree = give, .opaque = memory};
    int code =
        deflateInit2(out, LEVEL, Z_DEFLATED, -(int)bits, mem_level(bits), Z_DEFAULT_STRATEGY);
    return code == Z_OK ? 0 : GY_ENOMEM;
}

/* What there is room for, as far as `out` goes. 0, or GY_ENOBUFS. */
static int run(z_stream *out, struct gy_bump *bump, int flush, struct gy_chain *packed)
{
    do {
        uint8_t *room = gy_bump_reserve(bump, GY_WS_INFLATE_BYTES);
        if (room == NULL) {
            return GY_ENOBUFS;
        }
        out->next_out = room;
        out->avail_out = GY_WS_INFLATE_BYTES;
        int code = deflate(out, flush);
        gy_assert(code == Z_OK || code == Z_BUF_ERROR);
        uint32_t made = GY_WS_INFLATE_BYTES - out->avail_out;
        if (made > 0 && gy_bump_commit(bump, packed, made) != 0) {
            return GY_ENOBUFS;
        }
    } while (out->avail_in > 0 || out->avail_out == 0);
    return 0;
}

static int pack(z_stream *out, struct gy_bump *bump, const struct gy_chain *payload, uint32_t skip,
                struct gy_chain *packed)
{
    struct gy_chain all;
    int code = 0;
    gy_chain_init(&all, packed->links);
    for (const struct gy_link *link = payload->head; link != NULL && code == 0; link = link->next) {
        uint32_t past = skip < link->slice.length ? skip : link->slice.length;
        skip -= past;
        out->next_in = (Bytef *)(uintptr_t)(gy_slice_data(link->slice) + past);
        out->avail_in = link->slice.length - past;
        code = out->avail_in > 0 ? run(out, bump, Z_NO_FLUSH, &all) : 0;
    }
    code = code == 0 ? run(out, bump, Z_SYNC_FLUSH, &all) : code;
    if (code == 0) {
        gy_assert(all.length > sizeof tail);
        code = gy_chain_move(&all, packed, all.length - (uint32_t)sizeof tail);
    }
    gy_chain_clear(&all);
    if (code != 0) {
        gy_chain_clear(packed);
    }
    return code;
}

int gy_ws_deflate_pack(struct gy_ws_deflate *deflate, struct gy_bump *bump,
                       const struct gy_chain *payload, uint32_t skip, struct gy_chain *packed)
{
    if (!deflate->out_open) {
        int code = open_out(&deflate->out, &deflate->memory, deflate->out_bits);
        if (code != 0) {
            return code;
        }
        deflate->out_open = true;
    }
    int code = pack(&deflate->out, bump, payload, skip, packed);
    if (deflate->out_forgets) {
        deflateEnd(&deflate->out);
        deflate->out_open = false;
    } else if (code != 0) {
        gy_ws_deflate_forget(deflate);
    }
    return code;
}

int gy_ws_deflate_pack_alone(const struct gy_ws_memory *memory, uint8_t bits, struct gy_bump *bump,
                             const struct gy_chain *payload, uint32_t skip, struct gy_chain *packed)
{
    z_stream out;
    struct gy_ws_memory own = *memory;
    int code = open_out(&out, &own, bits);
    if (code != 0) {
        return code;
    }
    code = pack(&out, bump, payload, skip, packed);
    deflateEnd(&out);
    return code;
}

void gy_ws_deflate_forget(struct gy_ws_deflate *deflate)
{
    if (deflate->out_open) {
        int code = deflateReset(&deflate->out);
        gy_assert(code == Z_OK);
    }
}

/* ---- unpacking ---- */

static int open_in(struct gy_ws_deflate *deflate)
{
    deflate->in = (z_stream){.zalloc = take, .zfree = give, .opaque = &deflate->memory};
    if (inflateInit2(&deflate->in, -(int)deflate->in_bits) != Z_OK) {
        return GY_ENOMEM;
    }
    deflate->in_open = true;
    return 0;
}

/* A block may say that it is the last (§7.2.3.4): more may follow all the same, and refer to what
 * came before. The window stays where it is: such a block may be two bytes long. */
static int go_on(z_stream *in)
{
    return inflateResetKeep(in) == Z_OK ? 0 : GY_EPROTO;
}

/* Some of `data`; how much of it is left is in in->avail_in. */
static int unpack(z_stream *in, const uint8_t *data, uint32_t bytes)
{
    in->next_in = (Bytef *)(uintptr_t)data;
    in->avail_in = bytes;
    for (;;) {
        int code = inflate(in, Z_SYNC_FLUSH);
        if (code == Z_STREAM_END) {
            code = go_on(in) == 0 ? Z_OK : Z_DATA_ERROR;
            if (code == Z_OK && in->avail_in > 0 && in->avail_out > 0) {
                continue;
            }
        }
        return code == Z_OK || code == Z_BUF_ERROR ? 0
               : code == Z_MEM_ERROR               ? GY_ENOMEM
                                                   : GY_EPROTO;
    }
}

int gy_ws_deflate_unpack(struct gy_ws_deflate *deflate, const uint8_t *data, uint32_t bytes,
                         bool last, uint32_t *used, uint8_t *room, uint32_t *made)
{
    z_stream *in = &deflate->in;
    int code = deflate->in_open ? 0 : open_in(deflate);
    *used = 0;
    *made = 0;
    if (code != 0) {
        return code;
    }
    in->next_out = room;
    in->avail_out = GY_WS_INFLATE_BYTES;
    code = unpack(in, data, bytes);
    *used = bytes - in->avail_in;
    if (code == 0 && last && *used == bytes && in->avail_out > 0) {
        code = unpack(in, tail + deflate->tail_used, (uint32_t)sizeof tail - deflate->tail_used);
        deflate->tail_used = (uint8_t)(sizeof tail - in->avail_in);
    }
    *made = GY_WS_INFLATE_BYTES - in->avail_out;
    return code;
}

void gy_ws_deflate_end_message(struct gy_ws_deflate *deflate)
{
    deflate->tail_used = 0;
    if (deflate->in_forgets && deflate->in_open) {
        inflateEnd(&deflate->in);
        deflate->in_open = false;
    }
}

#else

bool gy_ws_have_deflate(void)
{
    return false;
}

size_t gy_ws_deflate_bytes(const struct gy_ws_terms *terms, bool client)
{
    (void)terms;
    (void)client;
    return 0;
}

int gy_ws_deflate_open(struct gy_ws_deflate **deflate, const struct gy_ws_terms *terms, bool client,
                       const struct gy_ws_memory *memory)
{
    (void)deflate;
    (void)terms;
    (void)client;
    (void)memory;
    return GY_ENOTSUP;
}

void gy_ws_deflate_close(struct gy_ws_deflate *deflate)
{
    gy_assert(deflate == NULL);
}

uint8_t gy_ws_deflate_bits(const struct gy_ws_deflate *deflate)
{
    (void)deflate;
    return 0;
}

int gy_ws_deflate_pack(struct gy_ws_deflate *deflate, struct gy_bump *bump,
                       const struct gy_chain *payload, uint32_t skip, struct gy_chain *packed)
{
    (void)deflate;
    (void)bump;
    (void)payload;
    (void)skip;
    (void)packed;
    return GY_ENOTSUP;
}

int gy_ws_deflate_pack_alone(const struct gy_ws_memory *memory, uint8_t bits, struct gy_bump *bump,
                             const struct gy_chain *payload, uint32_t skip, struct gy_chain *packed)
{
    (void)memory;
    (void)bits;
    (void)bump;
    (void)payload;
    (void)skip;
    (void)packed;
    return GY_ENOTSUP;
}

void gy_ws_deflate_forget(struct gy_ws_deflate *deflate)
{
    (void)deflate;
}

int gy_ws_deflate_unpack(struct gy_ws_deflate *deflate, const uint8_t *data, uint32_t bytes,
                         bool last, uint32_t *used, uint8_t *room, uint32_t *made)
{
    (void)deflate;
    (void)data;
    (void)bytes;
    (void)last;
    (void)room;
    *used = 0;
    *made = 0;
    return GY_ENOTSUP;
}

void gy_ws_deflate_end_message(struct gy_ws_deflate *deflate)
{
    (void)deflate;
}

#endif
