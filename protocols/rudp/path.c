/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A peer whose address changes: RFC 9000 §9, of which a server that stays where it is needs this
 * much. */

#include "protocols/rudp/internal.h"

#define TRIES 3

/* The peer's newest packet came from there. */
void gy_rudp_path_seen(struct gy_rudp_conn *conn, uint64_t where, size_t bytes)
{
    gy_assert(where != 0 && !conn->client);
    if (where != conn->path_where) {
        conn->path_received = conn->path_sent = 0;
    }
    conn->path_received += bytes;
    if (where == conn->path_where && (conn->path_tries > 0 || conn->path_proved)) {
        return; /* it is being looked at, or was just now */
    }
    conn->random = conn->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    /* What a step of the generator shows is not its state. */
    struct gy_siphash_key key = {{conn->config.seed, conn->random}};
    conn->path_proof = gy_siphash(&key, &where, sizeof where);
    conn->path_where = where;
    conn->path_tries = TRIES;
    conn->path_due = true;
    conn->path_proved = false;
}

void gy_rudp_path_answered(struct gy_rudp_conn *conn, uint64_t proof)
{
    if (conn->path_tries > 0 && proof == conn->path_proof) {
        conn->path_tries = 0;
        conn->path_due = false;
        conn->path_proved = true;
    }
}

uint64_t gy_rudp_path_timeout(const struct gy_rudp_conn *conn)
{
    return conn->path_tries > 0 && !conn->path_due ? conn->path_ns : UINT64_MAX;
}

void gy_rudp_path_expire(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    if (now_ns >= gy_rudp_path_timeout(conn)) {
        conn->path_tries--;
        conn->path_due = conn->path_tries > 0;
    }
}

size_t gy_rudp_output_elsewhere(struct gy_rudp_conn *conn, void *out, size_t room, uint64_t now_ns)
{
    gy_assert(room >= conn->config.datagram_bytes);
    /* Never more than three times what came from there (RFC 9000 §8.1): what does not fit waits for
     * another packet. */
    size_t most = (size_t)(1 + conn->peer.length + 4 + 9) + conn->config.seal->tag_bytes;
    if (!conn->path_due || conn->state != GY_RUDP_OPEN || !gy_rudp_output_has_number(conn) ||
        conn->path_sent + most > 3 * conn->path_received) {
        return 0;
    }
    conn->path_due = false;
    conn->path_ns = now_ns + gy_rudp_pto_ns(conn);
    size_t bytes = gy_rudp_output_challenge(conn, out, now_ns);
    conn->path_sent += bytes;
    gy_assert(bytes <= most);
    return bytes;
}

bool gy_rudp_moved(struct gy_rudp_conn *conn)
{
    bool proved = conn->path_proved;
    conn->path_proved = false;
    if (proved) {
        gy_rudp_ecn_begin(conn);
    }
    return proved;
}

void gy_rudp_forget_path(struct gy_rudp_conn *conn)
{
    if (conn->state == GY_RUDP_OPEN) {
        gy_rudp_mtu_begin(conn);
        gy_rudp_congestion_begin(conn);
        conn->path_number = conn->number;
        conn->srtt_ns = conn->rttvar_ns = conn->rtt_min_ns = 0;
        gy_rudp_recovery_begin(conn);
        conn->pto_count = 0;
    }
}
