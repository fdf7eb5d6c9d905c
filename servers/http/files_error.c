/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Errors: the page that the configuration names for a status, or the built-in one. */

#include <string.h>

#include "servers/http/files_internal.h"

static const struct gy_files_error_page *page_of(const struct gy_files *files, uint16_t status)
{
    for (uint32_t i = 0; i < files->options.error_page_count; i++) {
        if (files->options.error_pages[i].status == status) {
            return &files->options.error_pages[i];
        }
    }
    return NULL;
}

/* Waits for the page, with all that its answer takes. False: it cannot. */
static bool wait_for(struct gy_http_exchange *exchange, struct gy_file_entry *entry,
                     uint16_t status, const struct gy_http_header *extra)
{
    struct gy_files_request *request = gy_files_request_of(exchange);
    if (request == NULL || request->waits >= GY_FILES_WAITS_MAX ||
        (extra != NULL && extra->value.length > sizeof request->extra_value)) {
        return false;
    }
    request->waits++;
    request->error_status = status;
    request->extra_name = (struct gy_http_text){NULL, 0};
    request->extra_bytes = 0;
    if (extra != NULL) {
        request->extra_name = extra->name;
        request->extra_bytes = (uint32_t)extra->value.length;
        memmove(request->extra_value, extra->value.data, extra->value.length);
    }
    gy_file_cache_wait(entry, &request->waiter);
    return true;
}

/* True: it was answered, or waits. */
static bool answer_page(struct gy_http_exchange *exchange, uint16_t status,
                        const struct gy_http_header *extra)
{
    struct gy_files_worker *own = gy_files_worker_of(exchange);
    const struct gy_files_error_page *page = page_of(own->files, status);
    if (page == NULL) {
        return false;
    }
    const struct gy_files_request *request = gy_http_state(exchange);
    struct gy_file_entry *entry;
    int code = gy_file_cache_get(&own->cache, page->key, page->key_length,
                                 request != NULL ? request->since_ms : 0, &entry);
    if (code == GY_EAGAIN) {
        return wait_for(exchange, entry, status, extra);
    }
    if (code != 0 || entry->kind != GY_FILE_REGULAR) {
        return false;
    }
    if (gy_http_method(exchange) == GY_HTTP_GET) {
        gy_file_cache_served(entry);
    }
    return gy_files_answer_content(exchange, status, entry->content,
                                   gy_mime_of(page->key, page->key_length), extra);
}

void gy_files_answer_error(struct gy_http_exchange *exchange, uint16_t status,
                           const struct gy_http_header *extra)
{
    if (!answer_page(exchange, status, extra)) {
        gy_http_answer_error(exchange, status, extra);
    }
}

void gy_files_answer_error_again(struct gy_files_request *request)
{
    char value[GY_FILES_EXTRA_BYTES];
    uint16_t status = request->error_status;
    struct gy_http_header extra = {request->extra_name, {value, request->extra_bytes}};
    memcpy(value, request->extra_value, request->extra_bytes);
    request->error_status = 0;
    gy_files_answer_error(request->exchange, status, extra.name.data != NULL ? &extra : NULL);
}
