/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/encoder.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if GY_HAVE_ZLIB
#include <zlib.h>
#endif
#if GY_HAVE_BROTLI
#include <brotli/encode.h>
#endif
#if GY_HAVE_ZSTD
#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_createCCtx_advanced: the hook for its memory */
#include <zstd.h>
#include <zstd_errors.h>
#endif

#include "core/error.h"

/* What a decoder must keep of a stream, 2^n bytes. More gains little in files of this kind, and
 * costs both sides. */
#define WINDOW_LOG      19
#define WINDOW_LOG_LONG 17
#define WINDOW_LOG_MIN  10

/* In front of each piece that a library has, a multiple of its alignment. */
struct piece {
    struct piece *next, **at;
    size_t bytes;
    size_t unused;
};

_Static_assert(sizeof(struct piece) % _Alignof(max_align_t) == 0, "what follows is aligned");

struct gy_encoder {
    size_t used_bytes, peak_bytes, memory_max;
    struct piece *pieces;
    jmp_buf *starved; /* where to go when there is no memory; NULL: the library can tell itself */
    bool dead;
    enum gy_coding coding;
    union {
#if GY_HAVE_ZLIB
        z_stream gzip;
#endif
#if GY_HAVE_BROTLI
        BrotliEncoderState *br;
#endif
#if GY_HAVE_ZSTD
        ZSTD_CCtx *zstd;
#endif
        void *none;
    } of;
};

/* ---- memory ---- */

#if GY_HAVE_ZLIB || GY_HAVE_BROTLI || GY_HAVE_ZSTD
static void *piece_take(void *context, size_t bytes)
{
    struct gy_encoder *encoder = context;
    gy_assert(encoder->used_bytes <= encoder->memory_max);
    struct piece *piece = NULL;
    if (bytes <= encoder->memory_max - encoder->used_bytes) {
        piece = malloc(sizeof *piece + bytes);
    }
    if (piece == NULL) {
        if (encoder->starved != NULL) {
            longjmp(*encoder->starved, 1);
        }
        return NULL;
    }
    piece->bytes = bytes;
    piece->next = encoder->pieces;
    piece->at = &encoder->pieces;
    if (piece->next != NULL) {
        piece->next->at = &piece->next;
    }
    encoder->pieces = piece;
    encoder->used_bytes += bytes;
    if (encoder->used_bytes > encoder->peak_bytes) {
        encoder->peak_bytes = encoder->used_bytes;
    }
    return piece + 1;
}

static void piece_give(void *context, void *data)
{
    struct gy_encoder *encoder = context;
    if (data == NULL) {
        return;
    }
    struct piece *piece = (struct piece *)data - 1;
    gy_assert(piece->bytes <= encoder->used_bytes && *piece->at == piece);
    *piece->at = piece->next;
    if (piece->next != NULL) {
        piece->next->at = piece->at;
    }
    encoder->used_bytes -= piece->bytes;
    free(piece);
}
#endif

#if GY_HAVE_BROTLI || GY_HAVE_ZSTD
/* A window that holds all of a small file, and no more. */
static int window_log(uint64_t bytes)
{
    if (bytes > GY_ENCODER_LONG_BYTES) {
        return WINDOW_LOG_LONG;
    }
    int log = WINDOW_LOG_MIN;
    while (log < WINDOW_LOG && (UINT64_C(1) << log) < bytes + 16) {
        log++;
    }
    return log;
}
#endif

/* ---- gzip ---- */

#if GY_HAVE_ZLIB
static void *gzip_take(void *context, unsigned count, unsigned bytes)
{
    return piece_take(context, (size_t)count * bytes);
}

static int gzip_open(struct gy_encoder *encoder, int level)
{
    encoder->of.gzip.zalloc = gzip_take;
    encoder->of.gzip.zfree = piece_give;
    encoder->of.gzip.opaque = encoder;
    /* 16: a gzip header. Memory level 8 is zlib's default. */
    int code =
        deflateInit2(&encoder->of.gzip, level, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
    return code == Z_OK ? 0 : GY_ENOMEM;
}

static int gzip_run(struct gy_encoder *encoder, struct gy_encoder_input *input,
                    struct gy_encoder_output *output, bool last)
{
    z_stream *gzip = &encoder->of.gzip;
    gzip->next_in = (Bytef *)(uintptr_t)input->data; /* zlib does not write to it */
    gzip->avail_in = (uInt)input->bytes;
    gzip->next_out = output->data;
    gzip->avail_out = (uInt)output->bytes;
    int code = deflate(gzip, last ? Z_FINISH : Z_NO_FLUSH);
    *input = (struct gy_encoder_input){gzip->next_in, gzip->avail_in};
    *output = (struct gy_encoder_output){gzip->next_out, gzip->avail_out};
    /* Z_BUF_ERROR: nothing to do without more input or room. */
    return code == Z_STREAM_END ? 1 : code == Z_OK || code == Z_BUF_ERROR ? 0 : GY_EINVAL;
}
#endif

/* ---- br ---- */

/* As it is commonly built, libbrotli ends the process when it is refused memory: the hook leaves it
 * by longjmp instead. It holds nothing then but its pieces, which are freed with the encoder. */

#if GY_HAVE_BROTLI
static int br_open(struct gy_encoder *encoder, int level, uint64_t bytes)
{
    jmp_buf starved;
    if (setjmp(starved) != 0) {
        encoder->starved = NULL;
        encoder->dead = true;
        return GY_ENOMEM;
    }
    encoder->starved = &starved;
    BrotliEncoderState *br = BrotliEncoderCreateInstance(piece_take, piece_give, encoder);
    encoder->starved = NULL;
    encoder->of.br = br;
    gy_assert(br != NULL);
    BrotliEncoderSetParameter(br, BROTLI_PARAM_QUALITY, (uint32_t)level);
    BrotliEncoderSetParameter(br, BROTLI_PARAM_LGWIN, (uint32_t)window_log(bytes));
    BrotliEncoderSetParameter(br, BROTLI_PARAM_MODE, BROTLI_MODE_TEXT);
    return 0;
}

static int br_run(struct gy_encoder *encoder, struct gy_encoder_input *input,
                  struct gy_encoder_output *output, bool last)
{
    jmp_buf starved;
    if (setjmp(starved) != 0) {
        encoder->starved = NULL;
        encoder->dead = true;
        return GY_ENOMEM;
    }
    encoder->starved = &starved;
    BrotliEncoderState *br = encoder->of.br;
    BrotliEncoderOperation operation = last ? BROTLI_OPERATION_FINISH : BROTLI_OPERATION_PROCESS;
    bool well = BrotliEncoderCompressStream(br, operation, &input->bytes, &input->data,
                                            &output->bytes, &output->data, NULL);
    encoder->starved = NULL;
    return !well ? GY_EINVAL : BrotliEncoderIsFinished(br) ? 1 : 0;
}
#endif

/* ---- zstd ---- */

#if GY_HAVE_ZSTD
static int zstd_open(struct gy_encoder *encoder, int level, uint64_t bytes)
{
    ZSTD_customMem memory = {piece_take, piece_give, encoder};
    ZSTD_CCtx *zstd = ZSTD_createCCtx_advanced(memory);
    if (zstd == NULL) {
        return GY_ENOMEM;
    }
    encoder->of.zstd = zstd;
    size_t code = ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, level);
    if (!ZSTD_isError(code)) {
        code = ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, window_log(bytes));
    }
    if (!ZSTD_isError(code)) {
        code = ZSTD_CCtx_setPledgedSrcSize(zstd, bytes);
    }
    return ZSTD_isError(code) ? GY_EINVAL : 0;
}

static int zstd_run(struct gy_encoder *encoder, struct gy_encoder_input *input,
                    struct gy_encoder_output *output, bool last)
{
    ZSTD_inBuffer in = {input->data, input->bytes, 0};
    ZSTD_outBuffer out = {output->data, output->bytes, 0};
    size_t left =
        ZSTD_compressStream2(encoder->of.zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
    *input = (struct gy_encoder_input){input->data + in.pos, input->bytes - in.pos};
    *output = (struct gy_encoder_output){output->data + out.pos, output->bytes - out.pos};
    if (ZSTD_isError(left)) {
        return ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation ? GY_ENOMEM : GY_EINVAL;
    }
    return last && left == 0 ? 1 : 0;
}
#endif

/* ---- what users call ---- */

bool gy_encoder_has(enum gy_coding coding)
{
    return (GY_HAVE_ZLIB && coding == GY_CODING_GZIP) ||
           (GY_HAVE_BROTLI && coding == GY_CODING_BR) || (GY_HAVE_ZSTD && coding == GY_CODING_ZSTD);
}

char *gy_encoder_names(char *to, size_t bytes)
{
    size_t length = 0;
    snprintf(to, bytes, "none");
#if GY_HAVE_ZLIB
    length += (size_t)snprintf(to + length, bytes - length, "zlib %s", zlibVersion());
#endif
#if GY_HAVE_BROTLI
    uint32_t br = BrotliEncoderVersion();
    length += (size_t)snprintf(to + length, bytes - length, "%sbrotli %u.%u.%u",
                               length > 0 ? ", " : "", br >> 24, br >> 12 & 0xfff, br & 0xfff);
#endif
#if GY_HAVE_ZSTD
    length += (size_t)snprintf(to + length, bytes - length, "%szstd %s", length > 0 ? ", " : "",
                               ZSTD_versionString());
#endif
    gy_assert(length < bytes);
    return to;
}

int gy_encoder_level_max(enum gy_coding coding)
{
    return coding == GY_CODING_ZSTD ? 12 : coding == GY_CODING_BR ? 7 : 9;
}

int gy_encoder_level_default(enum gy_coding coding)
{
    return coding == GY_CODING_ZSTD ? 3 : coding == GY_CODING_BR ? 5 : 6;
}

int gy_encoder_open(struct gy_encoder **out, enum gy_coding coding, int level, uint64_t bytes,
                    size_t memory_max)
{
    gy_assert(level >= 0 && level <= gy_encoder_level_max(coding));
    if (!gy_encoder_has(coding)) {
        return GY_ENOTSUP;
    }
    struct gy_encoder *encoder = calloc(1, sizeof *encoder);
    if (encoder == NULL) {
        return GY_ENOMEM;
    }
    encoder->coding = coding;
    encoder->memory_max = memory_max;
    level = level != 0 ? level : gy_encoder_level_default(coding);
    int code = GY_ENOTSUP;
    (void)bytes;
#if GY_HAVE_ZLIB
    code = coding == GY_CODING_GZIP ? gzip_open(encoder, level) : code;
#endif
#if GY_HAVE_BROTLI
    code = coding == GY_CODING_BR ? br_open(encoder, level, bytes) : code;
#endif
#if GY_HAVE_ZSTD
    code = coding == GY_CODING_ZSTD ? zstd_open(encoder, level, bytes) : code;
#endif
    if (code != 0) {
        gy_encoder_close(encoder);
        return code;
    }
    *out = encoder;
    return 0;
}

int gy_encoder_run(struct gy_encoder *encoder, struct gy_encoder_input *input,
                   struct gy_encoder_output *output, bool last)
{
    gy_assert(input->bytes <= UINT32_MAX && output->bytes <= UINT32_MAX);
    if (encoder->dead) {
        return GY_ENOMEM;
    }
    switch (encoder->coding) {
#if GY_HAVE_ZLIB
    case GY_CODING_GZIP:
        return gzip_run(encoder, input, output, last);
#endif
#if GY_HAVE_BROTLI
    case GY_CODING_BR:
        return br_run(encoder, input, output, last);
#endif
#if GY_HAVE_ZSTD
    case GY_CODING_ZSTD:
        return zstd_run(encoder, input, output, last);
#endif
    default:
        (void)input;
        (void)output;
        (void)last;
        return GY_ENOTSUP;
    }
}

size_t gy_encoder_peak_bytes(const struct gy_encoder *encoder)
{
    return encoder->peak_bytes;
}

void gy_encoder_close(struct gy_encoder *encoder)
{
    if (encoder == NULL) {
        return;
    }
#if GY_HAVE_ZLIB
    if (encoder->coding == GY_CODING_GZIP && encoder->of.gzip.state != NULL) {
        deflateEnd(&encoder->of.gzip);
    }
#endif
#if GY_HAVE_BROTLI
    if (encoder->coding == GY_CODING_BR && encoder->of.br != NULL && !encoder->dead) {
        BrotliEncoderDestroyInstance(encoder->of.br);
    }
#endif
#if GY_HAVE_ZSTD
    if (encoder->coding == GY_CODING_ZSTD) {
        ZSTD_freeCCtx(encoder->of.zstd);
    }
#endif
    if (encoder->dead) { /* what the library could not give back */
        for (struct piece *piece = encoder->pieces, *next; piece != NULL; piece = next) {
            next = piece->next;
            encoder->used_bytes -= piece->bytes;
            free(piece);
        }
        encoder->pieces = NULL;
    }
    gy_assert(encoder->used_bytes == 0 && encoder->pieces == NULL);
    free(encoder);
}
