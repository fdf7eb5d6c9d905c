/* SPDX-License-Identifier: GPL-3.0-or-later */

/* One request, and what its response means. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/get/get_internal.h"

/* Fields that are meant for one server are not told to another (RFC 9110 §15.4, at its end). */
static bool secret(struct gy_http_text name)
{
    return gy_http_text_equal_nocase(name, GY_HTTP_TEXT("authorization")) ||
           gy_http_text_equal_nocase(name, GY_HTTP_TEXT("cookie"));
}

static bool same_origin_as_given(const struct gy_fetch *fetch)
{
    struct gy_url given;
    return gy_url_parse(&given, fetch->given, NULL) == 0 && gy_url_same_origin(&given, &fetch->url);
}

static bool has_header(const struct gy_get_options *options, const char *name)
{
    for (uint32_t i = 0; i < options->header_count; i++) {
        if (gy_http_text_equal_nocase(options->headers[i].name, gy_http_text_of(name))) {
            return true;
        }
    }
    return false;
}

int gy_get_send(struct gy_fetch *fetch, struct gy_h1_client *client, uint64_t now_ns)
{
    const struct gy_get_options *options = fetch->get->options;
    struct gy_http_header headers[GY_GET_HEADERS_MAX + 4];
    uint32_t count = 0;
    char range[64];
    if (!has_header(options, "user-agent")) {
        headers[count++] = GY_HTTP_HEADER("User-Agent", "gyre/" GY_VERSION);
    }
    if (!has_header(options, "accept")) {
        headers[count++] = GY_HTTP_HEADER("Accept", "*/*");
    }
    fetch->resumed_at = 0;
    if (options->range != NULL) {
        snprintf(range, sizeof range, "bytes=%s", options->range);
        headers[count++] = (struct gy_http_header){GY_HTTP_TEXT("Range"), gy_http_text_of(range)};
    } else if (fetch->save.at > 0 && fetch->validator[0] != '\0' && !options->head) {
        fetch->resumed_at = fetch->save.at;
        snprintf(range, sizeof range, "bytes=%llu-", (unsigned long long)fetch->save.at);
        headers[count++] = (struct gy_http_header){GY_HTTP_TEXT("Range"), gy_http_text_of(range)};
        headers[count++] =
            (struct gy_http_header){GY_HTTP_TEXT("If-Range"), gy_http_text_of(fetch->validator)};
    }
    bool home = same_origin_as_given(fetch);
    for (uint32_t i = 0; i < options->header_count; i++) {
        if (home || !secret(options->headers[i].name)) {
            headers[count++] = options->headers[i];
        }
    }
    struct gy_h1_request request = {
        .method = options->head ? GY_HTTP_TEXT("HEAD") : GY_HTTP_TEXT("GET"),
        .target = gy_http_text_of(fetch->url.target),
        .authority = gy_http_text_of(fetch->url.authority),
        .headers = headers,
        .header_count = count,
    };
    fetch->redirected = fetch->discards = false;
    fetch->call.ops = &gy_get_call_ops;
    fetch->call.context = fetch;
    return gy_h1_client_send(client, &fetch->call, &request, now_ns);
}

/* ---- the response ---- */

static bool is_redirect(const struct gy_h1_call *call)
{
    switch (gy_h1_call_status(call)) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
        return gy_h1_call_field_find(call, "location", NULL).data != NULL;
    default:
        return false;
    }
}

/* GET and HEAD stay what they are whichever redirect it is (RFC 9110 §15.4). */
static void take_location(struct gy_fetch *fetch, const struct gy_h1_call *call)
{
    struct gy_http_text location = gy_h1_call_field_find(call, "location", NULL);
    size_t length =
        location.length < sizeof fetch->location - 1 ? location.length : sizeof fetch->location - 1;
    memcpy(fetch->location, location.data, length);
    fetch->location[length] = '\0';
    fetch->redirected = fetch->discards = true;
}

/* Content-Range: bytes FIRST-LAST/LENGTH, or bytes * /LENGTH (RFC 9110 §14.4); `end` is behind the
 * last. What is not said is GY_HTTP_UNKNOWN. */
static bool content_range(const struct gy_h1_call *call, uint64_t *first, uint64_t *end,
                          uint64_t *length)
{
    struct gy_http_text value = gy_h1_call_field_find(call, "content-range", NULL);
    char text[96];
    if (value.data == NULL || value.length >= sizeof text) {
        return false;
    }
    memcpy(text, value.data, value.length);
    text[value.length] = '\0';
    unsigned long long from = 0;
    unsigned long long to = 0;
    unsigned long long all = 0;
    *length = GY_HTTP_UNKNOWN;
    *first = *end = GY_HTTP_UNKNOWN;
    if (sscanf(text, "bytes %llu-%llu/%llu", &from, &to, &all) >= 2) {
        *first = from;
        *end = to + 1;
        *length = strchr(text, '*') == NULL ? all : GY_HTTP_UNKNOWN;
        return to >= from && to < GY_HTTP_UNKNOWN - 1;
    }
    if (sscanf(text, "bytes */%llu", &all) == 1) {
        *length = all;
        return true;
    }
    return false;
}

static void give_up(struct gy_fetch *fetch)
{
    gy_assert(fetch->error.code < 0);
    fetch->discards = true;
    gy_h1_call_cancel(&fetch->call, fetch->error.code);
}

static bool put_text(struct gy_fetch *fetch, const char *data, size_t bytes)
{
    if (gy_save_write(&fetch->save, data, bytes, &fetch->error) != 0) {
        give_up(fetch);
        return false;
    }
    return true;
}

static bool put_head(struct gy_fetch *fetch, const struct gy_h1_call *call)
{
    struct gy_http_text phrase = gy_h1_call_phrase(call);
    char line[600];
    int length = snprintf(line, sizeof line, "HTTP/1.%u %u %.*s\r\n", gy_h1_call_minor(call),
                          gy_h1_call_status(call), phrase.length < 500 ? (int)phrase.length : 500,
                          phrase.data);
    bool good = put_text(fetch, line, (size_t)length);
    for (uint32_t i = 0; good && i < gy_h1_call_field_count(call); i++) {
        struct gy_http_text name = gy_h1_call_field_name(call, i);
        struct gy_http_text value = gy_h1_call_field_value(call, i);
        good = put_text(fetch, name.data, name.length) && put_text(fetch, ": ", 2) &&
               put_text(fetch, value.data, value.length) && put_text(fetch, "\r\n", 2);
    }
    return good && put_text(fetch, "\r\n", 2);
}

/* A strong entity tag, else the date: what If-Range takes (RFC 9110 §13.1.5). */
static int64_t take_validator(struct gy_fetch *fetch, const struct gy_h1_call *call)
{
    struct gy_http_text tag = gy_h1_call_field_find(call, "etag", NULL);
    struct gy_http_text date = gy_h1_call_field_find(call, "last-modified", NULL);
    bool strong = tag.data != NULL && tag.length > 2 && tag.data[0] == '"';
    struct gy_http_text chosen = strong ? tag : date;
    fetch->validator[0] = '\0';
    if (chosen.data != NULL && chosen.length < sizeof fetch->validator) {
        memcpy(fetch->validator, chosen.data, chosen.length);
        fetch->validator[chosen.length] = '\0';
    }
    char text[64] = "";
    struct tm when = {0};
    if (date.data == NULL || date.length >= sizeof text) {
        return -1;
    }
    memcpy(text, date.data, date.length);
    return strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &when) != NULL ? timegm(&when) : -1;
}

/* Whether a part is one that makes the file whole: it goes on where what is there ends, it is as
 * long as it says, it is the rest, and it is of the same version, whatever the server makes of
 * If-Range (RFC 9110 §15.3.7.3). */
static const char *why_not_the_rest(const struct gy_fetch *fetch, const struct gy_h1_call *call,
                                    uint64_t first, uint64_t end, uint64_t length)
{
    struct gy_http_text tag = gy_h1_call_field_find(call, "etag", NULL);
    uint64_t bytes = gy_h1_call_length(call);
    if (first != fetch->resumed_at || (first == 0 && length == GY_HTTP_UNKNOWN)) {
        return "the server sent a part that was not asked for";
    }
    if ((length != GY_HTTP_UNKNOWN && end != length) ||
        (bytes != GY_HTTP_UNKNOWN && bytes != end - first)) {
        return "the server sent a part that is not the rest of the file";
    }
    if (fetch->validator[0] == '"' && tag.data != NULL &&
        !gy_http_text_equal(tag, gy_http_text_of(fetch->validator))) {
        return "the server sent a part of another version of the file";
    }
    return NULL;
}

/* "FIRST-LAST" is answered from FIRST on, "-BYTES" from wherever those begin. */
static bool is_asked_range(const char *range, uint64_t first)
{
    return range[0] == '-' || strtoull(range, NULL, 10) == first;
}

/* Where in the file the body belongs; GY_HTTP_UNKNOWN: nowhere, and the error says why. */
static uint64_t place_of(struct gy_fetch *fetch, const struct gy_h1_call *call)
{
    const struct gy_get_options *options = fetch->get->options;
    uint16_t status = gy_h1_call_status(call);
    uint64_t first = 0;
    uint64_t end = 0;
    uint64_t length = GY_HTTP_UNKNOWN;
    fetch->length = gy_h1_call_length(call);
    if (status == 206) {
        const char *wrong = "the server sent a part that was not asked for";
        if (content_range(call, &first, &end, &length) && first != GY_HTTP_UNKNOWN) {
            wrong = options->range == NULL ? why_not_the_rest(fetch, call, first, end, length)
                    : is_asked_range(options->range, first) ? NULL
                                                            : wrong;
        }
        if (wrong != NULL) {
            gy_error_set(&fetch->error, GY_EPROTO, "%s", wrong);
            return GY_HTTP_UNKNOWN;
        }
        if (options->range == NULL) {
            fetch->length = length;
            return fetch->resumed_at;
        }
    } else if (options->range != NULL && status < 300) {
        gy_error_set(&fetch->error, GY_ENOTSUP,
                     "the server sends all of it or nothing: it does not serve ranges here");
        return GY_HTTP_UNKNOWN;
    } else if (fetch->resumed_at > 0 && fetch->save.name == NULL) {
        gy_error_set(&fetch->error, GY_ESTATE,
                     "the transfer broke off, and cannot be gone on with: the file has changed, "
                     "or the server serves no ranges");
        return GY_HTTP_UNKNOWN;
    }
    return 0;
}

/* 416 to a request for what is behind the part: there is nothing, when it is as long as the file.
 */
static bool is_complete(struct gy_fetch *fetch, const struct gy_h1_call *call)
{
    uint64_t first;
    uint64_t end;
    uint64_t length;
    return gy_h1_call_status(call) == 416 && fetch->resumed_at > 0 &&
           content_range(call, &first, &end, &length) && length == fetch->resumed_at;
}

static void fail_by_status(struct gy_fetch *fetch, const struct gy_h1_call *call)
{
    struct gy_http_text phrase = gy_h1_call_phrase(call);
    gy_error_set(&fetch->error, GY_EREFUSED, "HTTP %u %.*s", gy_h1_call_status(call),
                 phrase.length < 100 ? (int)phrase.length : 100, phrase.data);
    fetch->discards = true;
}

void gy_get_on_response(struct gy_h1_call *call)
{
    struct gy_fetch *fetch = call->context;
    const struct gy_get_options *options = fetch->get->options;
    if (is_redirect(call) && !options->no_follow) {
        take_location(fetch, call);
        return;
    }
    if (is_complete(fetch, call)) {
        fetch->discards = true;
        return;
    }
    bool bad = gy_h1_call_status(call) >= 400 && !options->any_status;
    if (options->head || (options->include && (!bad || fetch->save.name == NULL))) {
        if (gy_save_begin(&fetch->save, 0, "", -1, &fetch->error) != 0) {
            give_up(fetch);
            return;
        }
        if (!put_head(fetch, call)) {
            return;
        }
    }
    if (bad) {
        fail_by_status(fetch, call);
        return;
    }
    if (options->head) {
        return;
    }
    uint64_t at = place_of(fetch, call);
    int64_t modified = take_validator(fetch, call);
    if (at == GY_HTTP_UNKNOWN ||
        (!options->include &&
         gy_save_begin(&fetch->save, at, fetch->validator, modified, &fetch->error) != 0)) {
        give_up(fetch);
    }
}

void gy_get_on_body(struct gy_h1_call *call, struct gy_chain *bytes, bool end)
{
    struct gy_fetch *fetch = call->context;
    (void)end;
    fetch->get->received_bytes += bytes->length;
    while (!fetch->discards && bytes->length > 0) {
        uint32_t length;
        const uint8_t *data = gy_chain_front(bytes, &length);
        if (!put_text(fetch, (const char *)data, length)) {
            return;
        }
        gy_chain_consume(bytes, length);
    }
}
