/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What workers and helper threads say to each other: mailboxes, inlets, and how the one that sleeps
 * is woken. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/worker.h"
#include "core/worker_internal.h"

#define MESSAGES_PER_TURN 256

int gy_worker_open_mailboxes(struct gy_worker *worker)
{
    uint32_t boxes = worker->options.workers + 1;
    uint32_t messages = worker->options.mailbox_messages;
    worker->inboxes = aligned_alloc(GY_CACHE_LINE_BYTES, sizeof(struct gy_mailbox) * boxes);
    worker->inbox_messages =
        aligned_alloc(GY_CACHE_LINE_BYTES, sizeof(struct gy_message) * messages * boxes);
    worker->wake_descriptor = eventfd(0, EFD_CLOEXEC);
    if (worker->inboxes == NULL || worker->inbox_messages == NULL) {
        return GY_ENOMEM;
    }
    if (worker->wake_descriptor < 0) {
        return gy_error_from_errno(errno);
    }
    for (uint32_t i = 0; i < boxes; i++) {
        gy_mailbox_init(&worker->inboxes[i], worker->inbox_messages + (size_t)i * messages,
                        messages);
    }
    gy_bell_init(&worker->bell);
    return 0;
}

void gy_worker_ring_by_eventfd(struct gy_worker *to)
{
    uint64_t one = 1;
    ssize_t written = write(to->wake_descriptor, &one, sizeof one);
    (void)written; /* EAGAIN: the count is at its top, so it is rung already */
}

int gy_worker_post(struct gy_worker *from, struct gy_worker *to, const struct gy_message *message)
{
    gy_assert(from != to);
    uint32_t box = from != NULL ? from->options.number : to->options.workers;
    int code = gy_mailbox_push(&to->inboxes[box], message);
    if (code != 0) {
        if (from != NULL) {
            gy_count(&from->counters.mailbox_refused, 1);
        }
        return code;
    }
    if (gy_bell_must_ring(&to->bell)) {
        if (from == NULL || !(gy_ring_features(from->ring) & GY_RING_MESSAGE_RING) ||
            gy_ring_message(from->ring, gy_token(GY_OPERATION_RUNG, to->options.number, 0),
                            gy_ring_descriptor(to->ring), gy_token(GY_OPERATION_MESSAGE, 0, 0),
                            0) != 0) {
            gy_worker_ring_by_eventfd(to);
        }
    }
    return 0;
}

/* A function's address is no object's: it goes by value. */
struct call {
    void (*function)(struct gy_worker *worker, void *argument);
    void *argument;
};

_Static_assert(sizeof(struct call) <= GY_MESSAGE_BYTES, "a call fits a message");

int gy_worker_call(struct gy_worker *from, struct gy_worker *to,
                   void (*function)(struct gy_worker *worker, void *argument), void *argument)
{
    struct call call = {.function = function, .argument = argument};
    struct gy_message message = {.kind = GY_MESSAGE_CALL};
    memcpy(message.bytes, &call, sizeof call);
    return gy_worker_post(from, to, &message);
}

void gy_worker_called(struct gy_worker *worker, const struct gy_message *message)
{
    struct call call;
    gy_assert(message->kind == GY_MESSAGE_CALL);
    memcpy(&call, message->bytes, sizeof call);
    gy_assert(call.function != NULL);
    call.function(worker, call.argument);
}

int gy_worker_post_inlet(struct gy_worker *worker, struct gy_inlet *inlet,
                         const struct gy_message *message)
{
    int code = gy_mailbox_push(&inlet->mailbox, message);
    if (code == 0 && gy_bell_must_ring(&worker->bell)) {
        gy_worker_ring_by_eventfd(worker);
    }
    return code;
}

/* ---- the worker's side ---- */

void gy_worker_read_mailboxes(struct gy_worker *worker)
{
    struct gy_message message;
    for (uint32_t i = 0; i <= worker->options.workers; i++) {
        for (uint32_t n = 0; n < MESSAGES_PER_TURN && gy_mailbox_pop(&worker->inboxes[i], &message);
             n++) {
            gy_worker_take(worker, &message);
        }
    }
}

/* An inlet may be removed by what it brings: whoever does so takes the rest of its messages along.
 */
void gy_worker_read_inlets(struct gy_worker *worker)
{
    struct gy_message message;
    struct gy_inlet *next;
    for (struct gy_inlet *inlet = worker->inlets; inlet != NULL; inlet = next) {
        next = inlet->next;
        if (gy_mailbox_pop(&inlet->mailbox, &message)) {
            inlet->on_message(inlet, &message);
        }
    }
}

void gy_worker_add_inlet(struct gy_worker *worker, struct gy_inlet *inlet)
{
    gy_assert(inlet->on_message != NULL && inlet->mailbox.messages != NULL);
    inlet->next = worker->inlets;
    worker->inlets = inlet;
}

void gy_worker_remove_inlet(struct gy_worker *worker, struct gy_inlet *inlet)
{
    struct gy_inlet **link = &worker->inlets;
    while (*link != NULL && *link != inlet) {
        link = &(*link)->next;
    }
    gy_assert(*link == inlet);
    *link = inlet->next;
}

void gy_worker_add_hold(struct gy_worker *worker, struct gy_worker_hold *hold)
{
    gy_assert(hold->drain != NULL);
    hold->next = worker->holds;
    worker->holds = hold;
}

void gy_worker_remove_hold(struct gy_worker *worker, const struct gy_worker_hold *hold)
{
    struct gy_worker_hold **link = &worker->holds;
    while (*link != NULL && *link != hold) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = hold->next;
    }
}

bool gy_worker_mailboxes_empty(const struct gy_worker *worker)
{
    for (const struct gy_inlet *inlet = worker->inlets; inlet != NULL; inlet = inlet->next) {
        if (!gy_mailbox_empty(&inlet->mailbox)) {
            return false;
        }
    }
    for (uint32_t i = 0; i <= worker->options.workers; i++) {
        if (!gy_mailbox_empty(&worker->inboxes[i])) {
            return false;
        }
    }
    return true;
}

void gy_worker_arm_wake(struct gy_worker *worker)
{
    if (!worker->wake_armed) {
        worker->wake_armed = gy_ring_read_event(worker->ring, gy_token(GY_OPERATION_WAKE, 0, 0),
                                                worker->wake_descriptor, &worker->wake_value) == 0;
    }
}
