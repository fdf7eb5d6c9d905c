/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Forward error correction: the XOR of the frames of a few packets, with which any one of them that
 * is lost can be made again. README.md, REPAIR. */

#include "protocols/rudp/internal.h"

#define PENDING      4 /* REPAIRs that more than one packet is missing for; it may be late */
#define SPAN         GY_RUDP_FEC_SPAN
#define DELAY_MIN_NS MS
#define DELAY_MAX_NS (25 * MS)

struct repair {
    uint64_t first;
    uint32_t mask, lengths, bytes; /* bytes 0: none */
    uint8_t data[GY_RUDP_FEC_BYTES];
};

struct kept_packet {
    uint64_t number; /* UINT64_MAX: none */
    uint32_t bytes;
    uint8_t data[GY_RUDP_FEC_BYTES];
};

struct gy_rudp_fec_kept {
    struct kept_packet packets[SPAN]; /* by number */
    struct repair pending[PENDING];
    uint32_t next_pending;
};

/* A word at a time; compilers make more of it. */
static void add(uint8_t *sum, const uint8_t *data, size_t bytes)
{
    size_t at = 0;
    for (; at + 8 <= bytes; at += 8) {
        uint64_t a, b;
        memcpy(&a, sum + at, 8);
        memcpy(&b, data + at, 8);
        a ^= b;
        memcpy(sum + at, &a, 8);
    }
    for (; at < bytes; at++) {
        sum[at] ^= data[at];
    }
}

/* ---- sending ---- */

void gy_rudp_fec_sent(struct gy_rudp_conn *conn, uint64_t number, const uint8_t *frames,
                      size_t bytes, uint64_t now_ns)
{
    struct gy_rudp_fec_group *group = &conn->fec;
    gy_assert(conn->config.fec_packets != 0);
    if (bytes > GY_RUDP_FEC_BYTES) {
        return;
    }
    if (group->count > 0 && number - group->first >= SPAN) {
        group->count = 0; /* it could not be sent in time, and covers what is long known */
    }
    if (group->count == 0) {
        group->first = number;
        group->first_ns = now_ns;
        group->mask = group->lengths = group->bytes = 0;
        group->due = false;
    } else {
        gy_assert(number > group->first);
        group->mask |= 1u << (number - group->first - 1);
    }
    if (bytes > group->bytes) {
        memset(group->sum + group->bytes, 0, bytes - group->bytes);
        group->bytes = (uint32_t)bytes;
    }
    add(group->sum, frames, bytes);
    group->lengths ^= (uint32_t)bytes;
    group->count++;
    group->due |= group->count >= conn->config.fec_packets || number - group->first >= SPAN - 8;
}

/* A group that does not fill is closed after a quarter of the round-trip time. */
uint64_t gy_rudp_fec_timeout(const struct gy_rudp_conn *conn)
{
    if (conn->fec.count == 0 || conn->fec.due) {
        return UINT64_MAX; /* or as soon as a packet may go */
    }
    uint64_t delay_ns = conn->srtt_ns / 4;
    delay_ns = delay_ns < DELAY_MIN_NS ? DELAY_MIN_NS : delay_ns;
    return conn->fec.first_ns + (delay_ns < DELAY_MAX_NS ? delay_ns : DELAY_MAX_NS);
}

void gy_rudp_fec_expire(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    conn->fec.due |= gy_rudp_fec_timeout(conn) <= now_ns;
}

bool gy_rudp_fec_due(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    gy_rudp_fec_expire(conn, now_ns);
    /* Held up for so long that it comes after what is sent again. */
    if (conn->fec.count > 0 && (conn->number - conn->fec.first > SPAN ||
                                now_ns - conn->fec.first_ns > conn->srtt_ns + DELAY_MAX_NS)) {
        conn->fec.count = 0;
    }
    return conn->fec.count > 0 && conn->fec.due;
}

void gy_rudp_fec_frame(struct gy_rudp_conn *conn, struct gy_rudp_frame *frame)
{
    struct gy_rudp_fec_group *group = &conn->fec;
    gy_assert(group->count > 0 && group->bytes >= 4);
    frame->type = GY_RUDP_FRAME_REPAIR;
    frame->repair.first = group->first;
    frame->repair.mask = group->mask;
    frame->repair.lengths = group->lengths;
    frame->repair.data = group->sum;
    frame->repair.length = group->bytes;
    group->count = 0;
    group->due = false;
}

int gy_rudp_fec_recovered(struct gy_rudp_conn *conn, uint64_t number)
{
    if (number >= conn->number) {
        return GY_EPROTO;
    }
    if (number + conn->config.packets >= conn->number) { /* still in the ring */
        struct gy_rudp_packet *packet = packet_at(conn, number);
        gy_assert(packet->number == number);
        conn->stats.recovered_sent += !packet->recovered;
        packet->recovered = true;
    }
    return 0;
}

/* ---- receiving ---- */

size_t gy_rudp_fec_memory_bytes(void)
{
    return sizeof(struct gy_rudp_fec_kept);
}

void gy_rudp_fec_free(struct gy_rudp_conn *conn)
{
    if (conn->kept != NULL) {
        conn->env.give(conn->env.owner, conn->kept, sizeof *conn->kept);
        conn->kept = NULL;
    }
}

static void keep_begin(struct gy_rudp_conn *conn)
{
    struct gy_rudp_fec_kept *kept = conn->env.take(conn->env.owner, sizeof *kept);
    if (kept == NULL) {
        return;
    }
    for (uint32_t i = 0; i < SPAN; i++) {
        kept->packets[i].number = UINT64_MAX;
    }
    for (uint32_t i = 0; i < PENDING; i++) {
        kept->pending[i].bytes = 0;
    }
    kept->next_pending = 0;
    conn->kept = kept;
}

static bool covers(const struct repair *repair, uint64_t number)
{
    uint64_t distance = number - repair->first;
    return number == repair->first ||
           (number > repair->first && distance < SPAN && (repair->mask >> (distance - 1) & 1) != 0);
}

static void note_recovered(struct gy_rudp_conn *conn, uint64_t number)
{
    conn->stats.recovered++;
    if (conn->recovered_count == GY_RUDP_RECOVERED_MAX) {
        conn->recovered_count--;
        memmove(&conn->recovered[0], &conn->recovered[1],
                conn->recovered_count * sizeof conn->recovered[0]);
    }
    conn->recovered[conn->recovered_count++] = number;
}

/* Makes the one packet that is missing of those that it covers. true: there is no more to be had of
 * it. It is as long as the longest of them; so one that is shorter than what we have is a lie, and
 * what it costs is in proportion to what it brings. */
static bool mend(struct gy_rudp_conn *conn, struct repair *repair, uint64_t now_ns)
{
    struct gy_rudp_fec_kept *kept = conn->kept;
    uint64_t missing = UINT64_MAX;
    for (uint32_t i = 0; i < SPAN; i++) {
        uint64_t number = repair->first + i;
        const struct kept_packet *packet = &kept->packets[number % SPAN];
        if (!covers(repair, number)) {
            continue;
        }
        if (packet->number == number) {
            if (packet->bytes > repair->bytes) {
                conn->stats.dropped++;
                return true;
            }
            continue;
        }
        if (missing != UINT64_MAX) {
            return false;
        }
        missing = number;
    }
    if (missing == UINT64_MAX || !gy_rudp_seen_admits(conn, missing)) {
        return true;
    }
    struct kept_packet *into = &kept->packets[missing % SPAN];
    uint32_t bytes = repair->lengths;
    memcpy(into->data, repair->data, repair->bytes);
    into->number = UINT64_MAX;
    for (uint32_t i = 0; i < SPAN; i++) {
        const struct kept_packet *packet = &kept->packets[(repair->first + i) % SPAN];
        if (packet->number == repair->first + i && covers(repair, packet->number)) {
            add(into->data, packet->data, packet->bytes);
            bytes ^= packet->bytes;
        }
    }
    if (bytes < 4 || bytes > repair->bytes) {
        conn->stats.dropped++;
        return true;
    }
    into->bytes = bytes;
    /* A REPAIR in it is not looked at: one must not lead to the next. */
    conn->recovering = true;
    if (gy_rudp_recover(conn, missing, into->data, bytes, now_ns)) {
        into->number = missing;
        note_recovered(conn, missing);
    }
    conn->recovering = false;
    return true;
}

void gy_rudp_fec_keep(struct gy_rudp_conn *conn, uint64_t number, const uint8_t *frames,
                      size_t bytes, uint64_t now_ns)
{
    struct gy_rudp_fec_kept *kept = conn->kept;
    struct kept_packet *packet = &kept->packets[number % SPAN];
    if (bytes > GY_RUDP_FEC_BYTES || (packet->number != UINT64_MAX && packet->number > number)) {
        return;
    }
    packet->number = number;
    packet->bytes = (uint32_t)bytes;
    memcpy(packet->data, frames, bytes);
    for (uint32_t i = 0; i < PENDING; i++) {
        struct repair *repair = &kept->pending[i];
        if (repair->bytes != 0 && covers(repair, number) && mend(conn, repair, now_ns)) {
            repair->bytes = 0;
        }
    }
}

void gy_rudp_fec_repair(struct gy_rudp_conn *conn, const struct gy_rudp_frame *frame,
                        uint64_t now_ns)
{
    if (conn->recovering) {
        return;
    }
    conn->stats.repairs_received++;
    /* It comes behind what it covers. One that says otherwise would bring back the very packet that
     * is being taken, or numbers that are far from any other. */
    uint32_t span = frame->repair.mask == 0 ? 0 : 32 - (uint32_t)__builtin_clz(frame->repair.mask);
    if (frame->repair.first + span >= conn->taking) {
        conn->stats.dropped++;
        return;
    }
    if (conn->kept == NULL) {
        keep_begin(conn);
    }
    if (conn->kept == NULL) {
        return;
    }
    struct repair *repair = &conn->kept->pending[conn->kept->next_pending];
    repair->first = frame->repair.first;
    repair->mask = frame->repair.mask;
    repair->lengths = frame->repair.lengths;
    repair->bytes = (uint32_t)frame->repair.length;
    memcpy(repair->data, frame->repair.data, frame->repair.length);
    if (mend(conn, repair, now_ns)) {
        repair->bytes = 0;
    } else {
        conn->kept->next_pending = (conn->kept->next_pending + 1) % PENDING;
    }
}
