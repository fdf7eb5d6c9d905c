/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Datagrams in a worker's turn: completions, batches, sends, drains; and servers of datagrams. */

#include <stdlib.h>
#include <sys/mman.h>

#include "core/asan.h"
#include "core/datagram_internal.h"
#include "core/listener.h"

#define TAKE_MAX 65536 /* of what waits in a socket that ends */

/* ---- the worker's side ---- */

static struct gy_datagram_socket *socket_of(const struct gy_datagram_table *table, uint64_t token)
{
    uint32_t slot = gy_token_slot(token);
    uint32_t generation = gy_token_generation(token);
    bool live =
        slot < table->sockets.fresh && (generation & 1) && table->generations[slot] == generation;
    return live ? gy_slab_at(&table->sockets, slot) : NULL;
}

static struct gy_datagram_send *send_of(const struct gy_datagram_table *table, uint64_t token)
{
    uint32_t slot = gy_token_slot(token);
    uint32_t generation = gy_token_generation(token);
    bool live = slot < table->sends.fresh && (generation & 1) &&
                table->send_generations[slot] == generation;
    return live ? gy_slab_at(&table->sends, slot) : NULL;
}

/* The operation's own completion tells what became of it. Where the cancel found none, because it
 * was just being started, it is asked for again. */
static void cancelled(struct gy_datagram_socket *socket, const struct gy_completion *completion)
{
    socket->cancelling--;
    if (completion->result <= 0 && socket->cancelling == 0) {
        struct gy_datagram_send *send;
        socket->receive_cancelled = false;
        socket->out_cancelled = false;
        TAILQ_FOREACH(send, &socket->flight, entry)
        {
            send->cancelled = false;
        }
    }
    gy_datagram_flush_later(socket);
}

bool gy_datagram_completed(struct gy_worker *worker, const struct gy_completion *completion)
{
    struct gy_datagram_table *table = worker->datagrams;
    if (table == NULL) {
        return false;
    }
    enum gy_operation operation = gy_token_operation(completion->token);
    if (operation == GY_OPERATION_DATAGRAM_SEND) {
        struct gy_datagram_send *send = send_of(table, completion->token);
        if (send != NULL) {
            gy_datagram_sent(send, completion->result);
        }
        return send != NULL;
    }
    struct gy_datagram_socket *socket = socket_of(table, completion->token);
    if (socket == NULL) {
        return false;
    }
    if (operation == GY_OPERATION_DATAGRAM_RECEIVE && socket->receiving) {
        gy_datagram_received(socket, completion);
    } else if (operation == GY_OPERATION_DATAGRAM_WRITABLE && socket->polling_out) {
        socket->polling_out = false;
        gy_datagram_flush_later(socket);
    } else if (operation == GY_OPERATION_DATAGRAM_CANCEL && socket->cancelling > 0) {
        cancelled(socket, completion);
    } else {
        return false;
    }
    return true;
}

void gy_datagrams_run(struct gy_worker *worker)
{
    struct gy_datagram_table *table = worker->datagrams;
    if (table == NULL) {
        return;
    }
    /* Those that become ready meanwhile wait for the next turn. */
    struct gy_datagram_sockets now = TAILQ_HEAD_INITIALIZER(now);
    TAILQ_CONCAT(&now, &table->ready, ready_entry);
    for (struct gy_datagram_socket *socket; (socket = TAILQ_FIRST(&now)) != NULL;) {
        TAILQ_REMOVE(&now, socket, ready_entry);
        socket->ready = false;
        gy_datagram_deliver(socket);
    }
}

void gy_datagrams_flush(struct gy_worker *worker)
{
    struct gy_datagram_table *table = worker->datagrams;
    if (table == NULL) {
        return;
    }
    struct gy_datagram_endpoint *endpoint;
    for (endpoint = table->endpoints; endpoint != NULL; endpoint = endpoint->next) {
        gy_datagram_forget_recent(endpoint);
        gy_pool_refill(endpoint->pool);
    }
    struct gy_datagram_sockets now = TAILQ_HEAD_INITIALIZER(now);
    TAILQ_CONCAT(&now, &table->flush, flush_entry);
    for (struct gy_datagram_socket *socket; (socket = TAILQ_FIRST(&now)) != NULL;) {
        TAILQ_REMOVE(&now, socket, flush_entry);
        socket->flush = false;
        gy_datagram_progress(socket);
    }
    for (endpoint = table->endpoints; endpoint != NULL; endpoint = endpoint->next) {
        if (!TAILQ_EMPTY(&endpoint->starved)) {
            gy_pool_refill(endpoint->pool);
            gy_datagram_resume_starved(endpoint);
        }
    }
}

bool gy_datagrams_busy(const struct gy_worker *worker)
{
    const struct gy_datagram_table *table = worker->datagrams;
    return table != NULL && (!TAILQ_EMPTY(&table->ready) || !TAILQ_EMPTY(&table->flush));
}

static void drain_socket(struct gy_datagram_socket *socket)
{
    if (socket->endpoint->ops->drain != NULL) {
        socket->endpoint->ops->drain(socket);
    } else {
        gy_datagram_close(socket);
    }
}

void gy_datagrams_drain(struct gy_worker *worker, bool take_waiting)
{
    struct gy_datagram_table *table = worker->datagrams;
    if (table == NULL) {
        return;
    }
    for (struct gy_datagram_service *service = table->services; service != NULL;
         service = service->next) {
        if (service->socket != NULL) {
            if (service->endpoint.ops->leaving != NULL &&
                service->socket->state == GY_DATAGRAM_OPEN) {
                service->endpoint.ops->leaving(service->socket);
            }
            /* What the kernel has put into our buffers already is nobody else's either way. */
            service->socket->take_left = take_waiting ? TAKE_MAX : 0;
            gy_datagram_end(service->socket, GY_DATAGRAM_TAKING);
        }
    }
    for (uint32_t slot = 0; slot < table->sockets.fresh; slot++) {
        struct gy_datagram_socket *socket = gy_slab_at(&table->sockets, slot);
        if ((table->generations[slot] & 1) && socket->state == GY_DATAGRAM_OPEN) {
            drain_socket(socket);
        }
    }
}

void gy_datagrams_abort(struct gy_worker *worker)
{
    struct gy_datagram_table *table = worker->datagrams;
    for (uint32_t slot = 0; table != NULL && slot < table->sockets.fresh; slot++) {
        if (table->generations[slot] & 1) {
            gy_datagram_abort(gy_slab_at(&table->sockets, slot));
        }
    }
}

uint32_t gy_datagrams_open(const struct gy_worker *worker)
{
    return worker->datagrams != NULL ? worker->datagrams->open : 0;
}

/* ---- servers ---- */

int gy_datagram_serve(struct gy_worker *worker, const struct gy_server *server,
                      struct gy_error *error)
{
    struct gy_datagram_service *service = calloc(1, sizeof *service);
    if (service == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing %s: out of memory", server->name);
    }
    struct gy_datagram_options options = *server->datagrams;
    options.name = server->name;
    options.context = server->context;
    int code = gy_datagram_endpoint_open(&service->endpoint, worker, &options, error);
    if (code != 0) {
        free(service);
        return code;
    }
    if (server->worker_open != NULL) {
        code = server->worker_open(worker, server, &service->endpoint.state, error);
    }
    if (code == 0) {
        service->server = server;
        service->socket = gy_datagram_take(
            &service->endpoint, server->descriptors[worker->options.number], NULL, error);
        if (service->socket != NULL) {
            service->next = worker->datagrams->services;
            worker->datagrams->services = service;
            return 0;
        }
        code = error != NULL && error->code != 0 ? error->code : GY_EINVAL;
        if (server->worker_close != NULL) {
            server->worker_close(worker, service->endpoint.state);
        }
    }
    gy_datagram_endpoint_close(&service->endpoint);
    free(service);
    return code;
}

void gy_datagrams_close(struct gy_worker *worker)
{
    struct gy_datagram_table *table = worker->datagrams;
    if (table == NULL) {
        return;
    }
    gy_assert(table->open == 0);
    for (struct gy_datagram_service *service; (service = table->services) != NULL;) {
        table->services = service->next;
        if (service->server->worker_close != NULL) {
            service->server->worker_close(worker, service->endpoint.state);
        }
        gy_datagram_endpoint_close(&service->endpoint);
        free(service);
    }
    gy_unpoison(table->memory, table->memory_bytes);
    munmap(table->memory, table->memory_bytes);
    worker->datagrams = NULL;
}
