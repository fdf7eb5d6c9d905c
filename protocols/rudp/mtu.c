/* SPDX-License-Identifier: GPL-3.0-or-later */

/* How long a datagram the path takes: RFC 8899. What is tried is a packet of PING and PADDING; its
 * loss says nothing of congestion. */

#include "protocols/rudp/internal.h"

#define TRIES      3  /* MAX_PROBES, §5.1.2 */
#define CLOSE      32 /* near enough */
#define LARGE_LOST 6  /* long packets lost in a row, while none arrived: the path has changed */
#define RAISE_NS   (UINT64_C(600) * 1000 * MS) /* PMTU_RAISE_TIMER, §5.1.1 */
#define RETRY_NS   (UINT64_C(30) * 1000 * MS)  /* after a black hole */

void gy_rudp_mtu_begin(struct gy_rudp_conn *conn)
{
    struct gy_rudp_mtu *mtu = &conn->mtu;
    uint64_t most = conn->config.datagram_max;
    most = most < conn->theirs.datagram_max ? most : conn->theirs.datagram_max;
    uint32_t base = conn->mtu.base;
    memset(mtu, 0, sizeof *mtu);
    mtu->base = base != 0 ? base : conn->config.datagram_bytes;
    mtu->high = most > mtu->base ? (uint32_t)most : mtu->base;
    mtu->next = mtu->high;
    conn->config.datagram_bytes = mtu->base;
    if (conn->congestion.ops != NULL) {
        conn->congestion.datagram_bytes = mtu->base;
    }
}

/* The size to try now; 0: none. Nothing is tried before a round trip was measured, and nothing
 * while one is under way. */
uint32_t gy_rudp_mtu_due(const struct gy_rudp_conn *conn, uint64_t now_ns)
{
    const struct gy_rudp_mtu *mtu = &conn->mtu;
    if (mtu->next == 0 || mtu->trying != 0 || now_ns < mtu->at_ns || conn->srtt_ns == 0 ||
        mtu->next <= conn->config.datagram_bytes) {
        return 0;
    }
    return conn->in_flight + mtu->next <= conn->congestion.window_bytes ? mtu->next : 0;
}

void gy_rudp_mtu_sent(struct gy_rudp_conn *conn, uint32_t bytes)
{
    conn->mtu.trying = bytes;
    conn->stats.mtu_probes++;
}

static void choose(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    struct gy_rudp_mtu *mtu = &conn->mtu;
    uint32_t low = conn->config.datagram_bytes;
    mtu->tries = 0;
    if (mtu->high - low >= CLOSE) {
        mtu->next = (low + (mtu->high - low + 1) / 2) & ~3u;
        return;
    }
    /* Found; and from time to time, is it more by now? */
    uint64_t most = conn->config.datagram_max < conn->theirs.datagram_max
                        ? conn->config.datagram_max
                        : conn->theirs.datagram_max;
    mtu->high = (uint32_t)most;
    mtu->next = most - low >= CLOSE ? (uint32_t)most : 0;
    mtu->at_ns = now_ns + RAISE_NS;
}

void gy_rudp_mtu_acked(struct gy_rudp_conn *conn, uint32_t bytes, bool trial, uint64_t now_ns)
{
    struct gy_rudp_mtu *mtu = &conn->mtu;
    if (bytes > mtu->base) {
        mtu->large_lost = 0;
    }
    if (!trial || bytes != mtu->trying) {
        return;
    }
    mtu->trying = 0;
    if (bytes > conn->config.datagram_bytes && bytes <= mtu->high) {
        conn->config.datagram_bytes = bytes;
        conn->congestion.datagram_bytes = bytes;
        choose(conn, now_ns);
    }
}

static void black_hole(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    struct gy_rudp_mtu *mtu = &conn->mtu;
    conn->stats.black_holes++;
    mtu->large_lost = mtu->tries = mtu->trying = 0;
    conn->config.datagram_bytes = mtu->base;
    conn->congestion.datagram_bytes = mtu->base;
    mtu->next = mtu->high > mtu->base ? mtu->high : 0;
    mtu->at_ns = now_ns + RETRY_NS;
}

void gy_rudp_mtu_lost(struct gy_rudp_conn *conn, uint32_t bytes, bool trial, uint64_t now_ns)
{
    struct gy_rudp_mtu *mtu = &conn->mtu;
    if (trial) {
        if (bytes == mtu->trying) {
            mtu->trying = 0;
            if (++mtu->tries >= TRIES) {
                mtu->high = bytes - 1;
                choose(conn, now_ns);
            }
        }
        return;
    }
    if (bytes > mtu->base && conn->config.datagram_bytes > mtu->base &&
        ++mtu->large_lost >= LARGE_LOST) {
        black_hole(conn, now_ns);
    }
}

void gy_rudp_mtu_silent(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    if (conn->pto_count >= 3 && conn->config.datagram_bytes > conn->mtu.base) {
        black_hole(conn, now_ns);
    }
}
