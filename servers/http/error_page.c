/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The built-in page of an error or a redirect. */

#include <stdio.h>

#include "servers/http/http_server.h"

void gy_http_answer_error(struct gy_http_exchange *exchange, uint16_t status,
                          const struct gy_http_header *extra)
{
    char page[512];
    const char *reason = gy_http_reason(status);
    int length = snprintf(page, sizeof page,
                          "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                          "<meta name=\"color-scheme\" content=\"light dark\">"
                          "<title>%u %s</title></head>\n<body><h1>%u %s</h1></body></html>\n",
                          status, reason, status, reason);
    gy_assert(length > 0 && length < (int)sizeof page);
    struct gy_http_header headers[3] = {
        GY_HTTP_HEADER("Content-Type", "text/html; charset=utf-8"),
        GY_HTTP_HEADER("X-Content-Type-Options", "nosniff"),
    };
    struct gy_http_response response = {
        .status = status,
        .kind = GY_HTTP_BODY_TEXT,
        .headers = headers,
        .header_count = 2,
        .body.text = {page, (size_t)length},
    };
    if (extra != NULL) {
        headers[response.header_count++] = *extra;
    }
    gy_http_respond(exchange, &response);
}
