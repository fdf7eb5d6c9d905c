/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/http_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/file_check.h"

/* Of what is encoded, for the whole pipeline. */
#define REQUESTS_MAX (UINT64_C(256) << 20)

static bool has_field(const struct gy_load_options *options, const char *name)
{
    size_t length = strlen(name);
    for (uint32_t i = 0; i < options->header_count; i++) {
        if (strncasecmp(options->headers[i], name, length) == 0 &&
            options->headers[i][length] == ':') {
            return true;
        }
    }
    return false;
}

/* A header ends at a line's end: one within it would begin another request. */
int gy_load_http_check_fields(const struct gy_load_options *options, struct gy_error *error)
{
    for (uint32_t i = 0; i < options->header_count; i++) {
        const char *field = options->headers[i];
        const char *colon = strchr(field, ':');
        if (colon == NULL || colon == field || strpbrk(field, "\r\n") != NULL) {
            return gy_error_set(error, GY_EINVAL,
                                "--header %s: write it as \"Name: value\", on one line", field);
        }
    }
    return 0;
}

static void write_host(FILE *out, const struct gy_load_options *options)
{
    bool six = strchr(options->host, ':') != NULL;
    fprintf(out, six ? "Host: [%s]" : "Host: %s", options->host);
    const struct gy_load_protocol *protocol =
        options->protocol != NULL ? options->protocol : &gy_load_http;
    if (options->port != 0 && options->port != protocol->port) {
        fprintf(out, ":%u", options->port);
    }
    fputs("\r\n", out);
}

void gy_load_http_write_fields(FILE *out, const struct gy_load_options *options)
{
    if (!has_field(options, "host")) {
        write_host(out, options);
    }
    for (uint32_t i = 0; i < options->header_count; i++) {
        fprintf(out, "%s\r\n", options->headers[i]);
    }
}

/* ---- the body ---- */

struct body {
    char *data;
    size_t bytes;
};

static int body_failed(const struct gy_load_options *options, const char *why,
                       struct gy_error *error)
{
    return gy_error_set(error, GY_EIO, "--body %.200s: %s", options->body_file, why);
}

static int body_unread(const struct gy_load_options *options, struct gy_error *error)
{
    char why[GY_FILE_WHY_BYTES];
    return gy_error_set(error, GY_EIO, "--body %.200s: cannot be read: %s", options->body_file,
                        gy_file_why(why, options->body_file, R_OK, errno));
}

static int read_all(const struct gy_load_options *options, FILE *file, struct body *body,
                    struct gy_error *error)
{
    size_t room = 0;
    for (;;) {
        if (body->bytes == room) {
            room = room == 0 ? 65536 : room * 2;
            char *more = realloc(body->data, room);
            if (more == NULL) {
                return gy_error_set(error, GY_ENOMEM, "--body %s: out of memory",
                                    options->body_file);
            }
            body->data = more;
        }
        size_t got = fread(body->data + body->bytes, 1, room - body->bytes, file);
        body->bytes += got;
        if (body->bytes > GY_LOAD_REQUEST_BODY_MAX) {
            return body_failed(options, "longer than 64 MiB", error);
        }
        if (got == 0) {
            return ferror(file) ? body_unread(options, error) : 0;
        }
    }
}

static int read_body(const struct gy_load_options *options, struct body *body,
                     struct gy_error *error)
{
    if (options->body_file == NULL) {
        return 0;
    }
    bool standard = strcmp(options->body_file, "-") == 0;
    FILE *file = standard ? stdin : fopen(options->body_file, "re");
    if (file == NULL) {
        return body_unread(options, error);
    }
    int code = read_all(options, file, body, error);
    if (!standard) {
        fclose(file);
    }
    return code;
}

/* ---- the request ---- */

/* Whether a request of this method says how long its body is, though it has none (RFC 9110 §8.6).
 */
static bool says_zero(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

static int check_length(const struct gy_load_options *options, struct gy_error *error)
{
    return has_field(options, "content-length") || has_field(options, "transfer-encoding")
               ? gy_error_set(error, GY_EINVAL,
                              "--header: Content-Length and Transfer-Encoding are those of --body")
               : 0;
}

static int write_request(const struct gy_load_options *options, const struct body *body,
                         char **request, size_t *bytes, struct gy_error *error)
{
    const char *method = options->method != NULL ? options->method : "GET";
    FILE *out = open_memstream(request, bytes);
    if (out == NULL) {
        return gy_error_set(error, GY_ENOMEM, "encoding the request: out of memory");
    }
    fprintf(out, "%s %s HTTP/1.1\r\n", method, options->path);
    gy_load_http_write_fields(out, options);
    if (options->body_file != NULL || says_zero(method)) {
        fprintf(out, "Content-Length: %zu\r\n", body->bytes);
    }
    if (options->handshakes != GY_LOAD_HANDSHAKES_KEPT) {
        fputs("Connection: close\r\n", out);
    }
    fputs("\r\n", out);
    if (body->bytes > 0) {
        fwrite(body->data, 1, body->bytes, out);
    }
    int failed = ferror(out);
    failed |= fclose(out);
    if (failed != 0) {
        return gy_error_set(error, GY_ENOMEM, "encoding the request: out of memory");
    }
    return *bytes * options->pipeline <= REQUESTS_MAX
               ? 0
               : gy_error_set(error, GY_EINVAL, "--body times --pipeline: at most 256 MiB");
}

int gy_load_http_encode(const struct gy_load_options *options, char **request, size_t *bytes,
                        struct gy_error *error)
{
    struct body body = {0};
    *request = NULL;
    *bytes = 0;
    int code = gy_load_http_check_fields(options, error);
    code = code != 0 ? code : check_length(options, error);
    code = code != 0 ? code : read_body(options, &body, error);
    code = code != 0 ? code : write_request(options, &body, request, bytes, error);
    free(body.data);
    if (code != 0) {
        free(*request);
        *request = NULL;
    }
    return code;
}
