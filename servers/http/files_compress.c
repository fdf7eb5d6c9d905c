/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Files in a content coding that is made as they are asked for: whether, and by which way. */

#include <stddef.h>
#include <string.h>

#include "core/worker.h"
#include "servers/http/files_internal.h"

/* Codings that one request waits for: a file that never stops changing must not keep it for ever.
 */
#define WAITS_MAX 3

void gy_files_count_compressed(struct gy_files_worker *own, enum gy_coding coding)
{
    struct gy_compress_counts *counts = own->coded.counts;
    gy_count(coding == GY_CODING_BR     ? &counts->responses_br
             : coding == GY_CODING_ZSTD ? &counts->responses_zstd
                                        : &counts->responses_gzip,
             1);
}

/* What the client has of the file as it is stays good: then that is the representation it gets. */
static bool has_identity(const struct gy_http_exchange *exchange,
                         const struct gy_file_content *content)
{
    struct gy_http_text etag = {content->etag, content->etag_length};
    uint32_t from = 0;
    for (;;) {
        struct gy_http_text list = gy_http_field_find(exchange, "If-None-Match", &from);
        if (list.data == NULL) {
            return false;
        }
        if (gy_etag_list_has(list, etag, true)) {
            return true;
        }
    }
}

/* GY_CODING_IDENTITY: the file as it is. */
static enum gy_coding choose(const struct gy_http_exchange *exchange,
                             const struct gy_compress_options *options,
                             const struct gy_file_content *content)
{
    if (content->status.bytes < options->min_bytes || content->status.bytes < 2) {
        return GY_CODING_IDENTITY;
    }
    struct gy_codings codings = gy_codings_of(exchange);
    enum gy_coding coding = gy_compress_choose(options, &codings);
    if (coding == GY_CODING_IDENTITY || content->uncodable & 1u << coding) {
        return GY_CODING_IDENTITY;
    }
    /* Codings have no ranges; where the client takes nothing but a coding, it gets the whole. */
    if (codings.weight[GY_CODING_IDENTITY] > 0 && gy_http_method(exchange) == GY_HTTP_GET &&
        gy_http_field_find(exchange, "Range", NULL).data != NULL) {
        return GY_CODING_IDENTITY;
    }
    return has_identity(exchange, content) ? GY_CODING_IDENTITY : coding;
}

static void stream_ready(void *owner)
{
    struct gy_files_request *request = owner;
    gy_http_wake(request->exchange);
}

/* The content is a head without a body yet: `which` shows what the coding's validators will be. */
static bool answer_stream(struct gy_http_exchange *exchange, struct gy_file_content *content,
                          struct gy_files_representation *which, uint8_t level)
{
    struct gy_files_worker *own = gy_files_worker_of(exchange);
    if (gy_http_method(exchange) == GY_HTTP_GET) {
        struct gy_files_request *request = gy_files_request_of(exchange);
        if (request == NULL ||
            gy_coding_stream_open(&request->stream, &own->coded, content, which->coding, level,
                                  stream_ready, request) != 0) {
            return false;
        }
    }
    which->streamed = true;
    gy_files_answer(exchange, which);
    return true;
}

static bool wait_for(struct gy_http_exchange *exchange, struct gy_file_content *content,
                     enum gy_coding coding)
{
    struct gy_files_request *request = gy_files_request_of(exchange);
    if (request == NULL || request->coding_waits++ == WAITS_MAX) {
        return false;
    }
    gy_coded_wait(content, coding, &request->coding);
    return true;
}

bool gy_files_answer_compressed(struct gy_http_exchange *exchange, struct gy_file_content *content,
                                const struct gy_mime *mime)
{
    struct gy_files_worker *own = gy_files_worker_of(exchange);
    const struct gy_compress_options *options = &own->files->options.compress;
    enum gy_coding coding = choose(exchange, options, content);
    if (coding == GY_CODING_IDENTITY) {
        return false;
    }
    if (own->coded.counts == NULL) {
        struct gy_http_server *http = gy_http_stream(exchange)->endpoint->context;
        own->coded.counts = &http->counts[own->worker->options.number].compress;
    }
    uint8_t level = options->levels[coding];
    struct gy_files_representation which = {
        .mime = *mime, .coding = coding, .varies = true, .dynamic = true};
    bool fits = content->status.bytes <= own->coded.file_bytes_max;
    struct gy_coded *coded = content->coded[coding];
    if (fits && coded != NULL && coded->content != NULL) {
        int code = gy_coded_get(&own->coded, content, coding, level, &which.content);
        gy_assert(code == 0);
        gy_files_answer(exchange, &which);
        return true;
    }
    /* What the client has may be good already: its tag is known before the coding is made. */
    struct gy_file_content shown = *content;
    shown.etag_length = gy_compress_etag(shown.etag, shown.etag_length, coding, level);
    which.content = &shown;
    struct gy_validators validators = {.etag = {shown.etag, shown.etag_length},
                                       .modified_s = shown.status.modified_ns / 1000000000};
    if (gy_precondition_of(exchange, validators) != GY_PRECONDITION_GO_ON) {
        gy_files_answer(exchange, &which);
        return true;
    }
    if (!fits) {
        return answer_stream(exchange, content, &which, level);
    }
    int code = gy_coded_get(&own->coded, content, coding, level, &which.content);
    return code == GY_EAGAIN && wait_for(exchange, content, coding);
}

int gy_files_pull_compressed(struct gy_files_request *request, struct gy_chain *out,
                             uint32_t budget)
{
    while (budget > 0) {
        bool end;
        int64_t bytes = gy_coding_stream_pull(request->stream, out, budget, &end);
        if (end) {
            return GY_HTTP_END;
        }
        if (bytes == GY_ENOBUFS && out->length == 0) {
            gy_http_wake(request->exchange); /* asked again in another turn */
            return GY_HTTP_WAIT;
        }
        if (bytes <= 0) {
            return out->length > 0 ? GY_HTTP_MORE : bytes == 0 ? GY_HTTP_WAIT : (int)bytes;
        }
        budget -= (uint32_t)bytes;
    }
    return GY_HTTP_MORE;
}
