/* SPDX-License-Identifier: GPL-3.0-or-later */

/* NOTIFY to secondaries (RFC 1996). */

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "servers/dns/dns_keeper_internal.h"

#define FIRST_WAIT_MS 2000
#define DELAY_MS                                                                                   \
    1000 /* who is told asks at once: by then all workers, and no process before, answer */
#define MESSAGE_BYTES 1024

/* One that is to be sent, or waits for its answer. */
struct note {
    struct note *next, **link;
    struct gy_dns_keeper *keeper;
    const struct gy_dns_served *served;
    const struct gy_dns_peer *target;
    struct gy_datagram_socket *socket;
    struct gy_timer timer;
    uint64_t ready_ms; /* not to be sent before */
    uint32_t tries;
    uint16_t id;
    struct gy_dns_tsig tsig;
};

static void begin_some(struct gy_dns_keeper *keeper);

static void tell(const struct note *note, enum gy_log_level level, const char *what)
{
    char name[GY_DNS_NAME_TEXT_BYTES];
    char address[GY_ADDRESS_TEXT_BYTES];
    gy_dns_name_to_text(note->served->name, name);
    gy_address_format(&note->target->address, address, sizeof address);
    gy_log(level, "dns", "zone %s: NOTIFY to %s: %s", name, address, what);
}

/* The note is over. */
static void end(struct note *note)
{
    struct gy_dns_keeper *keeper = note->keeper;
    *note->link = note->next;
    if (note->next != NULL) {
        note->next->link = note->link;
    }
    keeper->active_count--;
    gy_timer_disarm(&keeper->worker->wheel, &note->timer);
    if (note->socket != NULL) {
        note->socket->context = NULL;
        gy_datagram_close(note->socket);
    }
    gy_dns_tsig_close(&note->tsig);
    free(note);
}

/* The message into the worker's output, and on its way. */
static void send_note(struct note *note)
{
    struct gy_worker *worker = note->keeper->worker;
    struct gy_dns_builder builder;
    const struct gy_dns_key *key = note->target->key.key;
    uint8_t *room = gy_bump_reserve(&worker->bump, MESSAGE_BYTES);
    if (room == NULL) {
        return; /* the next try */
    }
    gy_dns_builder_open(&builder, room, MESSAGE_BYTES, note->id,
                        (uint16_t)(GY_DNS_OPCODE_WORD(GY_DNS_OPCODE_NOTIFY) | GY_DNS_FLAG_AA));
    int code =
        gy_dns_builder_question(&builder, note->served->name, GY_DNS_TYPE_SOA, GY_DNS_CLASS_IN);
    gy_assert(code == 0);
    size_t bytes = gy_dns_builder_close(&builder);
    if (key != NULL) {
        code = gy_dns_tsig_sign_request(&note->tsig, note->keeper->server->hmac, key, room, bytes,
                                        MESSAGE_BYTES, dns_now());
        gy_assert(code > 0);
        bytes = (size_t)code;
    }
    gy_datagram_send(note->socket, NULL, gy_bump_slice(&worker->bump, (uint32_t)bytes));
    gy_count(&note->keeper->counts->notifies_sent, 1);
}

static void on_timer(struct gy_timer *timer, uint64_t now_ms)
{
    struct note *note = (struct note *)((char *)timer - offsetof(struct note, timer));
    struct gy_dns_keeper *keeper = note->keeper;
    if (note->tries == GY_DNS_NOTE_TRIES) {
        tell(note, GY_LOG_WARN, "no answer; it finds out by itself later");
        gy_count(&keeper->counts->notifies_failed, 1);
        end(note);
        begin_some(keeper);
        return;
    }
    gy_timer_arm(&keeper->worker->wheel, timer, now_ms + ((uint64_t)FIRST_WAIT_MS << note->tries));
    note->tries++;
    send_note(note);
}

static void begin(struct gy_dns_keeper *keeper, struct note *note)
{
    struct gy_error error = {0};
    note->link = &keeper->active;
    note->next = keeper->active;
    if (note->next != NULL) {
        note->next->link = &note->next;
    }
    keeper->active = note;
    keeper->active_count++;
    gy_timer_init(&note->timer, on_timer);
    if (getrandom(&note->id, sizeof note->id, 0) != (ssize_t)sizeof note->id) {
        note->id = (uint16_t)keeper->worker->now_ns;
    }
    note->socket = gy_datagram_dial(&keeper->datagrams, &note->target->address, NULL, note, &error);
    if (note->socket == NULL) {
        tell(note, GY_LOG_WARN, error.message);
        gy_count(&keeper->counts->notifies_failed, 1);
        end(note);
        return;
    }
    gy_timer_arm(&keeper->worker->wheel, &note->timer, keeper->worker->now_ms);
}

static void begin_some(struct gy_dns_keeper *keeper)
{
    while (!keeper->stopping && keeper->waiting != NULL &&
           keeper->active_count < GY_DNS_NOTES_ACTIVE) {
        struct note *note = keeper->waiting;
        if (note->ready_ms > keeper->worker->now_ms) {
            gy_timer_arm(&keeper->worker->wheel, &keeper->notes_due, note->ready_ms);
            return;
        }
        keeper->waiting = note->next;
        if (keeper->waiting == NULL) {
            keeper->waiting_end = &keeper->waiting;
        }
        keeper->waiting_count--;
        begin(keeper, note);
    }
}

void notes_add(struct gy_dns_keeper *keeper, const struct gy_dns_served *served)
{
    for (uint32_t i = 0; i < served->policy->target_count; i++) {
        struct note *note =
            keeper->waiting_count < GY_DNS_NOTES_MAX ? calloc(1, sizeof *note) : NULL;
        if (note == NULL) {
            gy_count(&keeper->counts->notifies_failed, 1);
            continue;
        }
        note->keeper = keeper;
        note->ready_ms = keeper->worker->now_ms + DELAY_MS;
        note->served = served;
        note->target = &served->policy->targets[i];
        *keeper->waiting_end = note;
        keeper->waiting_end = &note->next;
        keeper->waiting_count++;
    }
    begin_some(keeper);
}

static void on_due(struct gy_timer *timer, uint64_t now_ms)
{
    (void)now_ms;
    begin_some((struct gy_dns_keeper *)((char *)timer - offsetof(struct gy_dns_keeper, notes_due)));
}

void notes_begin(struct gy_dns_keeper *keeper)
{
    gy_timer_init(&keeper->notes_due, on_due);
}

/* Is it the answer? */
static bool is_answer(struct note *note, const uint8_t *bytes, size_t length)
{
    struct gy_dns_message message;
    if (gy_dns_message_open(&message, bytes, length) != 0 || message.header.id != note->id ||
        (message.header.flags & GY_DNS_FLAG_QR) == 0 ||
        GY_DNS_OPCODE_OF(message.header.flags) != GY_DNS_OPCODE_NOTIFY) {
        return false;
    }
    return note->target->key.key == NULL ||
           gy_dns_tsig_check_answer(&note->tsig, bytes, length, dns_now()) == 1 ||
           GY_DNS_RCODE_OF(message.header.flags) != 0;
}

static void on_datagrams(struct gy_datagram_socket *socket, const struct gy_datagram *datagrams,
                         uint32_t count)
{
    struct gy_dns_keeper *keeper = socket->endpoint->context;
    for (uint32_t i = 0; i < count && socket->context != NULL; i++) {
        struct note *note = socket->context;
        const uint8_t *bytes = gy_slice_data(datagrams[i].slice);
        if (!datagrams[i].truncated && is_answer(note, bytes, datagrams[i].slice.length)) {
            char rcode[GY_DNS_MNEMONIC_BYTES];
            unsigned code = bytes[3] & 15u;
            tell(note, code == 0 ? GY_LOG_DEBUG : GY_LOG_WARN,
                 gy_dns_rcode_text((uint16_t)code, rcode));
            end(note);
        }
    }
    begin_some(keeper);
}

static void on_closed(struct gy_datagram_socket *socket)
{
    struct note *note = socket->context;
    if (note != NULL) { /* the loop ends */
        note->socket = NULL;
    }
}

const struct gy_datagram_ops notes_ops = {.receive = on_datagrams, .closed = on_closed};

void notes_close(struct gy_dns_keeper *keeper)
{
    while (keeper->waiting != NULL || keeper->active != NULL) {
        struct note **list = keeper->waiting != NULL ? &keeper->waiting : &keeper->active;
        struct note *note = *list;
        *list = note->next;
        gy_dns_tsig_close(&note->tsig);
        free(note);
    }
}
