/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/vhosts.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/worker.h"
#include "servers/http/file_path.h"

/* Versions of HTTP that carry exchanges. */
#define TRANSPORTS_MAX 4

#define MS_PER_SECOND 1000

const struct gy_metric_description gy_vhost_rows[] = {
    {"http_host_requests", "", "Requests of a host that are over.", GY_METRIC_COUNTER,
     offsetof(struct gy_vhost_counts, requests)},
    {"http_host_responses", "class=\"2xx\"", "Responses of a host by class.", GY_METRIC_COUNTER,
     offsetof(struct gy_vhost_counts, responses[2])},
    {"http_host_responses", "class=\"3xx\"", "Responses of a host by class.", GY_METRIC_COUNTER,
     offsetof(struct gy_vhost_counts, responses[3])},
    {"http_host_responses", "class=\"4xx\"", "Responses of a host by class.", GY_METRIC_COUNTER,
     offsetof(struct gy_vhost_counts, responses[4])},
    {"http_host_responses", "class=\"5xx\"", "Responses of a host by class.", GY_METRIC_COUNTER,
     offsetof(struct gy_vhost_counts, responses[5])},
    {"http_host_body_bytes", "", "Bytes of a host's responses' bodies.", GY_METRIC_COUNTER,
     offsetof(struct gy_vhost_counts, body_bytes)},
};

const size_t gy_vhost_row_count = sizeof gy_vhost_rows / sizeof gy_vhost_rows[0];

/* A version of HTTP as an exchange of one host sees it: responses get its header fields. */
struct vhost_transport {
    struct gy_http_transport table; /* `under` is NULL while it is not in use */
    const struct gy_vhost *vhost;
};

struct gy_vhost_worker {
    uint32_t users;                                      /* listeners */
    struct vhost_transport transports[][TRANSPORTS_MAX]; /* of each host */
};

static const struct gy_http_handler vhosts_handler;

/* ---- header fields ---- */

const struct gy_header_rules *gy_vhost_rules(const struct gy_vhost *vhost,
                                             struct gy_http_text target)
{
    struct gy_file_path path;
    char plain[GY_FILE_PATH_TEXT_BYTES];
    if (vhost->path_count == 0 || gy_file_path_read(&path, target) != GY_FILE_PATH_OK) {
        return &vhost->headers;
    }
    uint32_t length = gy_file_path_text(&path, plain);
    const struct gy_vhost_path *best = NULL;
    for (uint32_t i = 0; i < vhost->path_count; i++) {
        const struct gy_vhost_path *at = vhost->paths[i];
        bool below = at->path[at->length - 1] == '/' ? at->length <= length : at->length == length;
        if (below && memcmp(plain, at->path, at->length) == 0 &&
            (best == NULL || at->length > best->length)) {
            best = at;
        }
    }
    return best != NULL ? &best->headers : &vhost->headers;
}

static int vhost_respond(struct gy_http_exchange *exchange, const struct gy_http_response *response)
{
    const struct vhost_transport *transport =
        (const struct vhost_transport *)(const void *)exchange->transport;
    const struct gy_http_transport *under = transport->table.under;
    gy_assert(transport->table.respond == vhost_respond);
    struct gy_http_header fields[GY_HEADER_FIELDS_MAX];
    if (response->header_count > GY_HEADER_FIELDS_MAX - GY_HEADER_RULES_MAX) {
        return under->respond(exchange, response);
    }
    const struct gy_header_rules *rules =
        gy_vhost_rules(transport->vhost, gy_http_target(exchange));
    struct gy_http_response changed = *response;
    changed.headers = fields;
    changed.header_count = gy_header_rules_apply(rules, response->status, response->headers,
                                                 response->header_count, fields);
    return under->respond(exchange, &changed);
}

/* The exchange's transport becomes the host's. */
static void wrap(struct gy_http_exchange *exchange, const struct gy_vhost *vhost)
{
    uint32_t number = gy_http_stream(exchange)->worker->options.number;
    struct vhost_transport *own = vhost->vhosts->workers[number]->transports[vhost->number];
    for (uint32_t i = 0; i < TRANSPORTS_MAX; i++) {
        if (own[i].table.under == NULL) {
            own[i] = (struct vhost_transport){*exchange->transport, vhost};
            own[i].table.respond = vhost_respond;
        }
        if (own[i].table.under == exchange->transport) {
            exchange->transport = &own[i].table;
            return;
        }
    }
    gy_assert(!"there are fewer versions of HTTP than that");
}

/* ---- requests ---- */

static void answer_error(struct gy_http_exchange *exchange, const struct gy_vhost *vhost,
                         uint16_t status, const struct gy_http_header *extra)
{
    if (vhost->service.answer_error != NULL) {
        vhost->service.answer_error(exchange, status, extra);
    } else {
        gy_http_answer_error(exchange, status, extra);
    }
}

/* True: it was answered. */
static bool limit(struct gy_http_exchange *exchange, const struct gy_vhost *vhost)
{
    uint64_t wait_ms = gy_http_charge(exchange);
    if (__builtin_expect(wait_ms == 0, 1)) {
        return false;
    }
    char seconds[24];
    int length = snprintf(seconds, sizeof seconds, "%llu",
                          (unsigned long long)((wait_ms + MS_PER_SECOND - 1) / MS_PER_SECOND));
    struct gy_http_header retry = {GY_HTTP_TEXT("Retry-After"), {seconds, (size_t)length}};
    answer_error(exchange, vhost, 429, &retry);
    return true;
}

static bool redirect(struct gy_http_exchange *exchange, const struct gy_vhost *vhost)
{
    struct gy_redirect_location location;
    struct gy_http_text target = gy_http_target(exchange);
    switch (gy_redirects_find(&vhost->redirects, target, &location)) {
    case GY_REDIRECT_NONE:
        return false;
    case GY_REDIRECT_LONG:
        answer_error(exchange, vhost, 414, NULL);
        return true;
    case GY_REDIRECT_FOUND:
        break;
    }
    struct gy_http_header header = {GY_HTTP_TEXT("Location"), {location.text, location.length}};
    gy_http_answer_error(exchange, location.status, &header);
    return true;
}

/* True: the request is for one of the host's sockets, and was answered. An exchange that became a
 * connection has the socket as its context. */
static bool open_socket(struct gy_http_exchange *exchange, const struct gy_vhost *vhost)
{
    for (uint32_t i = 0; i < vhost->socket_count; i++) {
        if (gy_websocket_fits(vhost->sockets[i], gy_http_target(exchange))) {
            if (gy_websocket_take(vhost->sockets[i], exchange)) {
                exchange->context = vhost->sockets[i];
            }
            return true;
        }
    }
    return false;
}

static void vhosts_request(struct gy_http_exchange *exchange)
{
    struct gy_vhosts *vhosts = gy_http_context(exchange);
    uint32_t number = GY_HOST_NONE;
    if (vhosts->names.count > 0) {
        number = gy_host_names_find(&vhosts->names, gy_http_authority(exchange));
    }
    struct gy_vhost *vhost = vhosts->list[number != GY_HOST_NONE ? number : 0];
    exchange->handler = &vhost->handler;
    exchange->context = vhost->service.context;
    if (vhost->has_headers) {
        wrap(exchange, vhost);
    }
    if (limit(exchange, vhost) || (vhost->redirects.count > 0 && redirect(exchange, vhost)) ||
        (vhost->socket_count > 0 && open_socket(exchange, vhost))) {
        return;
    }
    if (vhost->service.handler != NULL) {
        vhost->service.handler->request(exchange);
    } else {
        gy_http_answer_error(exchange, vhost->missing, NULL);
    }
}

static struct gy_vhost *vhost_of(const struct gy_http_exchange *exchange)
{
    return (struct gy_vhost *)(void *)((char *)(uintptr_t)exchange->handler -
                                       offsetof(struct gy_vhost, handler));
}

static bool is_socket(const struct gy_http_exchange *exchange, const struct gy_vhost *vhost)
{
    for (uint32_t i = 0; i < vhost->socket_count; i++) {
        if (exchange->context == vhost->sockets[i]) {
            return true;
        }
    }
    return false;
}

/* `body` and `pull` of hosts that have sockets. */
static void vhost_body(struct gy_http_exchange *exchange, struct gy_chain *bytes, bool end)
{
    const struct gy_vhost *vhost = vhost_of(exchange);
    if (is_socket(exchange, vhost)) {
        gy_websocket_body(exchange, bytes, end);
    } else if (vhost->service.handler != NULL && vhost->service.handler->body != NULL) {
        vhost->service.handler->body(exchange, bytes, end);
    }
}

static int vhost_pull(struct gy_http_exchange *exchange, struct gy_chain *out, uint32_t budget)
{
    const struct gy_vhost *vhost = vhost_of(exchange);
    if (is_socket(exchange, vhost)) {
        return gy_websocket_pull(exchange, out, budget);
    }
    if (vhost->service.handler == NULL || vhost->service.handler->pull == NULL) {
        return GY_ESTATE; /* nobody promised a body to pull */
    }
    return vhost->service.handler->pull(exchange, out, budget);
}

static void vhost_drain(struct gy_http_exchange *exchange)
{
    const struct gy_vhost *vhost = vhost_of(exchange);
    if (is_socket(exchange, vhost)) {
        gy_websocket_drain(exchange);
    } else if (vhost->service.handler != NULL && vhost->service.handler->drain != NULL) {
        vhost->service.handler->drain(exchange);
    }
}

static void vhost_closed(struct gy_http_exchange *exchange, int reason)
{
    struct gy_vhost *vhost = vhost_of(exchange);
    if (is_socket(exchange, vhost)) {
        gy_websocket_closed(exchange, reason);
    } else if (vhost->service.handler != NULL && vhost->service.handler->closed != NULL) {
        vhost->service.handler->closed(exchange, reason);
    }
    exchange->transport = exchange->transport->under;
    exchange->handler = &vhosts_handler;
    exchange->context = vhost->vhosts;
}

static const struct gy_http_handler vhosts_handler = {.request = vhosts_request};

/* ---- counting ---- */

static void vhosts_over(void *context, uint32_t worker, const struct gy_h1_record *record)
{
    (void)context;
    /* Not what was refused before it came to a host. */
    if (record->exchange == NULL || record->exchange->handler == &vhosts_handler) {
        return;
    }
    struct gy_vhost_counts *counts = &vhost_of(record->exchange)->counts[worker];
    gy_count(&counts->requests, 1);
    gy_count(&counts->body_bytes, record->body_bytes);
    if (record->status >= 200 && record->status < 600) {
        gy_count(&counts->responses[record->status / 100], 1);
    }
}

/* ---- workers ---- */

static void sockets_close(const struct gy_vhost *vhost, struct gy_worker *worker, uint32_t count)
{
    for (uint32_t i = count; i-- > 0;) {
        gy_websocket_worker_close(vhost->sockets[i], worker);
    }
}

/* A host's service and sockets. */
static int service_open(const struct gy_vhost *vhost, struct gy_worker *worker,
                        struct gy_error *error)
{
    const struct gy_http_service *service = &vhost->service;
    for (uint32_t i = 0; i < vhost->socket_count; i++) {
        int code = gy_websocket_worker_open(vhost->sockets[i], worker, error);
        if (code != 0) {
            sockets_close(vhost, worker, i);
            return code;
        }
    }
    int code =
        service->worker_open != NULL ? service->worker_open(service->context, worker, error) : 0;
    if (code != 0) {
        sockets_close(vhost, worker, vhost->socket_count);
    }
    return code;
}

static void services_close(const struct gy_vhosts *vhosts, struct gy_worker *worker, uint32_t count)
{
    for (uint32_t i = count; i-- > 0;) {
        const struct gy_http_service *service = &vhosts->list[i]->service;
        sockets_close(vhosts->list[i], worker, vhosts->list[i]->socket_count);
        if (service->worker_close != NULL) {
            service->worker_close(service->context, worker);
        }
    }
}

static int vhosts_worker_open(void *context, struct gy_worker *worker, struct gy_error *error)
{
    struct gy_vhosts *vhosts = context;
    uint32_t number = worker->options.number;
    gy_assert(number < GY_HTTP_WORKERS_MAX);
    struct gy_vhost_worker *own = vhosts->workers[number];
    if (own == NULL) {
        own = calloc(1, sizeof *own + vhosts->count * sizeof own->transports[0]);
        if (own == NULL) {
            return gy_error_set(error, GY_ENOMEM, "preparing %u hosts: out of memory",
                                vhosts->count);
        }
    }
    for (uint32_t i = 0; i < vhosts->count; i++) {
        int code = service_open(vhosts->list[i], worker, error);
        if (code != 0) {
            services_close(vhosts, worker, i);
            if (own->users == 0) {
                free(own);
            }
            return code;
        }
    }
    own->users++;
    vhosts->workers[number] = own;
    return 0;
}

static void vhosts_worker_close(void *context, struct gy_worker *worker)
{
    struct gy_vhosts *vhosts = context;
    uint32_t number = worker->options.number;
    struct gy_vhost_worker *own = vhosts->workers[number];
    gy_assert(own != NULL && own->users > 0);
    services_close(vhosts, worker, vhosts->count);
    if (--own->users == 0) {
        free(own);
        vhosts->workers[number] = NULL;
    }
}

/* ---- set-up ---- */

struct gy_vhost *gy_vhosts_add(struct gy_vhosts *vhosts, const char *name)
{
    if (vhosts->count == GY_VHOSTS_MAX) {
        return NULL;
    }
    struct gy_vhost *vhost = calloc(1, sizeof *vhost);
    if (vhost != NULL) {
        vhost->name = name;
        vhost->number = vhosts->count;
        vhost->vhosts = vhosts;
        vhost->missing = 404;
        vhosts->list[vhosts->count++] = vhost;
    }
    return vhost;
}

int gy_vhosts_serve(struct gy_vhosts *vhosts, struct gy_http_server *http, uint32_t workers)
{
    gy_assert(vhosts->count > 0 && workers > 0 && workers <= GY_HTTP_WORKERS_MAX);
    for (uint32_t i = 0; i < vhosts->count; i++) {
        struct gy_vhost *vhost = vhosts->list[i];
        gy_assert(vhost->redirects.sorted || vhost->redirects.count == 0);
        size_t bytes = workers * sizeof *vhost->counts;
        vhost->counts = aligned_alloc(64, bytes);
        if (vhost->counts == NULL) {
            return GY_ENOMEM;
        }
        memset(vhost->counts, 0, bytes);
        if (vhost->service.handler != NULL) {
            vhost->handler = *vhost->service.handler;
        }
        vhost->handler.request = vhosts_request; /* for form's sake: it is not called again */
        vhost->handler.closed = vhost_closed;
        if (vhost->socket_count > 0) {
            vhost->handler.body = vhost_body;
            vhost->handler.pull = vhost_pull;
            vhost->handler.drain = vhost_drain;
        }
        vhost->has_headers = vhost->headers.count > 0;
        for (uint32_t p = 0; p < vhost->path_count; p++) {
            vhost->has_headers = vhost->has_headers || vhost->paths[p]->headers.count > 0;
        }
    }
    http->handler = &vhosts_handler;
    http->context = vhosts;
    http->worker_open = vhosts_worker_open;
    http->worker_close = vhosts_worker_close;
    http->over = vhosts_over;
    return 0;
}

void gy_vhosts_close(struct gy_vhosts *vhosts)
{
    for (uint32_t i = 0; i < vhosts->count; i++) {
        struct gy_vhost *vhost = vhosts->list[i];
        for (uint32_t p = 0; p < vhost->path_count; p++) {
            free(vhost->paths[p]);
        }
        gy_redirects_free(&vhost->redirects);
        free(vhost->counts);
        free(vhost);
    }
    gy_host_names_free(&vhosts->names);
    vhosts->count = 0;
}
