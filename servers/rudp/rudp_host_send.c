/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What sessions send, what becomes of it, and what the application asks for. */

#include "servers/rudp/rudp_host_internal.h"

#define MS 1000000ull

/* A message that gy_rudp_host_send_copy made shows this as its user. */
static char copies;

static uint64_t copy_bytes(uint64_t length)
{
    uint64_t bytes = sizeof(struct gy_rudp_message) + length;
    return (bytes + GY_RUDP_MEMORY_SMALLEST - 1) & ~(uint64_t)(GY_RUDP_MEMORY_SMALLEST - 1);
}

/* Finished messages go back to the application. */
void gy_rudp_session_hand_back(struct gy_rudp_session *session)
{
    struct gy_rudp_message *message;
    while ((message = gy_rudp_finished(&session->conn)) != NULL) {
        if (message->user == &copies) {
            gy_assert(session->copies >= copy_bytes(message->length));
            session->copies -= copy_bytes(message->length);
            gy_rudp_memory_give(&session->host->memory, message);
        } else {
            session->host->options.ops->finished(session, message);
        }
    }
}

/* What changes rarely. */
static void count_marks(struct gy_rudp_counts *counts, const struct gy_rudp_stats *old,
                        const struct gy_rudp_stats *now)
{
    gy_count(&counts->marked_received, now->ecn_received - old->ecn_received);
    gy_count(&counts->marked_sent, now->ecn_reported - old->ecn_reported);
    gy_count(&counts->ecn_failed, now->ecn_bleached + now->ecn_lost + now->ecn_lies -
                                      old->ecn_bleached - old->ecn_lost - old->ecn_lies);
    gy_count(&counts->blocked, now->blocked_received - old->blocked_received);
}

void gy_rudp_session_count(struct gy_rudp_session *session)
{
    struct gy_rudp_counts *counts = session->host->options.counts;
    struct gy_rudp_stats *old = &session->counted;
    const struct gy_rudp_stats *now = &session->conn.stats;
    gy_count(&counts->packets_received, now->packets_received - old->packets_received);
    gy_count(&counts->packets_sent, now->packets_sent - old->packets_sent);
    gy_count(&counts->delivered, now->delivered - old->delivered);
    if (now->lost != old->lost || now->probes != old->probes || now->dropped != old->dropped ||
        now->duplicates != old->duplicates || now->spurious != old->spurious) {
        gy_count(&counts->lost, now->lost - old->lost);
        gy_count(&counts->probes, now->probes - old->probes);
        gy_count(&counts->dropped_packet, now->dropped - old->dropped);
        gy_count(&counts->duplicates, now->duplicates - old->duplicates);
        gy_count(&counts->spurious, now->spurious - old->spurious);
        gy_count(&counts->forgeries, session->conn.forgeries - session->counted_forgeries);
        session->counted_forgeries = session->conn.forgeries;
    }
    if (now->ecn_received != old->ecn_received || now->ecn_reported != old->ecn_reported ||
        now->ecn_bleached + now->ecn_lost + now->ecn_lies !=
            old->ecn_bleached + old->ecn_lost + old->ecn_lies ||
        now->blocked_received != old->blocked_received) {
        count_marks(counts, old, now);
    }
    gy_count(&counts->updates, now->updates - old->updates);
    gy_count(&counts->early, now->early - old->early);
    *old = *now;
    const struct gy_rudp_memory *memory = &session->host->memory;
    gy_gauge_set(&counts->memory_bytes, memory->used);
    if (memory->refused != session->host->memory_refused) {
        gy_count(&counts->memory_refused, memory->refused - session->host->memory_refused);
        session->host->memory_refused = memory->refused;
    }
}

/* The peer has proved its new address. */
static void move(struct gy_rudp_session *session)
{
    struct gy_address same = session->elsewhere.peer;
    gy_address_set_port(&same, gy_address_port(&session->path.peer));
    if (!gy_address_equal(&session->path.peer, &same)) {
        gy_rudp_forget_path(&session->conn);
    }
    session->path = session->elsewhere;
    gy_count(&session->host->options.counts->moved, 1);
}

/* A word to where the peer seems to be. */
static void output_elsewhere(struct gy_rudp_session *session)
{
    struct gy_bump *bump = &session->host->worker->bump;
    uint32_t room = gy_rudp_room(&session->host->options.config);
    uint8_t *out = session->conn.path_due ? gy_bump_reserve(bump, room) : NULL;
    size_t bytes = out != NULL ? gy_rudp_output_elsewhere(&session->conn, out, room,
                                                          session->host->worker->now_ns)
                               : 0;
    if (bytes > 0) {
        gy_datagram_send(session->socket, &session->elsewhere,
                         gy_bump_slice(bump, (uint32_t)bytes));
    }
}

enum outcome {
    OUTPUT_ALL,
    OUTPUT_TURN_OVER, /* there is more, and it is others' turn */
    OUTPUT_NO_ROOM,   /* until sends have completed */
};

static enum outcome output(struct gy_rudp_session *session)
{
    struct gy_bump *bump = &session->host->worker->bump;
    const struct gy_datagram_endpoint *endpoint = session->socket->endpoint;
    uint32_t room = gy_rudp_room(&session->host->options.config);
    uint64_t now_ns = session->host->worker->now_ns;
    for (uint32_t i = 0; i < GY_RUDP_TURN_PACKETS; i++) {
        uint8_t *out =
            endpoint->sends < endpoint->options.sends_max ? gy_bump_reserve(bump, room) : NULL;
        if (out == NULL) {
            return OUTPUT_NO_ROOM;
        }
        size_t bytes = gy_rudp_output(&session->conn, out, room, now_ns);
        if (bytes == 0) {
            return OUTPUT_ALL;
        }
        session->path.ecn = gy_rudp_ecn(&session->conn);
        /* What is refused all the same is lost, as datagrams are. */
        gy_datagram_send(session->socket, &session->path, gy_bump_slice(bump, (uint32_t)bytes));
    }
    return OUTPUT_TURN_OVER;
}

void gy_rudp_session_progress(struct gy_rudp_session *session)
{
    struct gy_worker *worker = session->host->worker;
    if (!session->opened && session->conn.state == GY_RUDP_OPEN) {
        session->opened = true;
        if (session->host->options.ops->opened != NULL) {
            session->host->options.ops->opened(session);
        }
    }
    if (gy_rudp_moved(&session->conn)) {
        move(session);
    }
    gy_rudp_session_hand_back(session);
    output_elsewhere(session);
    enum outcome outcome = output(session);
    gy_rudp_session_hand_back(session);
    gy_rudp_session_count(session);
    if (session->conn.state == GY_RUDP_DEAD) {
        gy_rudp_session_free(session);
        return;
    }
    uint64_t due_ns = gy_rudp_timeout(&session->conn);
    if (outcome != OUTPUT_ALL) {
        gy_timer_arm(&worker->wheel, &session->timer, worker->now_ms + (outcome == OUTPUT_NO_ROOM));
    } else if (due_ns == UINT64_MAX) {
        gy_timer_disarm(&worker->wheel, &session->timer);
    } else {
        uint64_t due_ms = due_ns / MS + 1;
        if (!gy_timer_armed(&session->timer) || session->timer.due_ms != due_ms) {
            gy_timer_arm(&worker->wheel, &session->timer, due_ms);
        }
    }
}

void gy_rudp_host_flush(struct gy_rudp_host *host)
{
    /* Those whose applications ask for more meanwhile are looked after again, but not for ever. */
    uint64_t left = 4 * (uint64_t)host->sessions.capacity;
    for (struct gy_rudp_session *session;
         left > 0 && (session = TAILQ_FIRST(&host->touched)) != NULL; left--) {
        TAILQ_REMOVE(&host->touched, session, touched_entry);
        session->touched = false;
        gy_rudp_session_progress(session);
    }
}

/* ---- the application's calls ---- */

int gy_rudp_host_send(struct gy_rudp_session *session, struct gy_rudp_message *message)
{
    int code = gy_rudp_send(&session->conn, message);
    if (code == 0) {
        gy_count(&session->host->options.counts->sent, 1);
        gy_rudp_session_touch(session);
    }
    return code;
}

int gy_rudp_host_send_copy(struct gy_rudp_session *session, uint8_t channel,
                           enum gy_rudp_guarantee guarantee, const void *data, size_t length)
{
    struct gy_rudp_memory *memory = &session->host->memory;
    if (length > GY_RUDP_MESSAGE_LIMIT) {
        return GY_ELIMIT;
    }
    size_t most = session->host->options.copies_max;
    bool room = most == 0 || session->copies + copy_bytes(length) <= most;
    struct gy_rudp_message *message =
        room ? gy_rudp_memory_take(memory, sizeof *message + length) : NULL;
    if (message == NULL) {
        return GY_ENOMEM;
    }
    uint8_t *copy = (uint8_t *)(message + 1);
    *message = (struct gy_rudp_message){
        .data = copy,
        .length = (uint32_t)length,
        .channel = channel,
        .guarantee = guarantee,
        .user = &copies,
    };
    memcpy(copy, data, length);
    int code = gy_rudp_host_send(session, message);
    if (code != 0) {
        gy_rudp_memory_give(memory, message);
    } else {
        session->copies += copy_bytes(length);
        gy_count(&session->host->worker->counters.copied_bytes, length);
    }
    return code;
}

void gy_rudp_host_consumed(struct gy_rudp_session *session, uint8_t channel, uint64_t bytes)
{
    gy_rudp_consumed(&session->conn, channel, bytes);
    gy_rudp_session_touch(session);
}

void gy_rudp_host_end(struct gy_rudp_session *session, uint64_t code, const char *reason)
{
    gy_rudp_close(&session->conn, code, reason, session->host->worker->now_ns);
    gy_rudp_session_touch(session);
}

void gy_rudp_host_drain(struct gy_rudp_host *host)
{
    for (struct gy_rudp_session *session; (session = TAILQ_FIRST(&host->all)) != NULL;) {
        gy_rudp_close(&session->conn, GY_RUDP_CLOSE_GOING, "this end goes away",
                      host->worker->now_ns);
        gy_rudp_session_hand_back(session);
        output(session);
        gy_rudp_session_free(session);
    }
}
