/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Explicit congestion notification: RFC 9000 §13.4, with what RFC 9002 §8.3 says of peers that do
 * not tell. Packets are sent as ECT(0) once both ends see marks, first some to test the path, and
 * further ones when the peer has counted those. Whatever it says must fit what was sent; where it
 * does not, the path goes on without, until the peer is elsewhere. */

#include "protocols/rudp/internal.h"

#define TEST_PACKETS 10 /* RFC 9000 §A.4 */
#define TESTS_MAX    3  /* in which nothing is heard */
#define SILENT_PTO   3  /* probes without an answer */
#define CHECK_FIRST  64 /* packets, to our first own CE, and between two */
#define CHECK_EVERY  1024

static void check_later(struct gy_rudp_conn *conn, uint64_t least)
{
    conn->ecn.check_number = conn->number + least + (conn->random >> 33) % least;
}

void gy_rudp_ecn_begin(struct gy_rudp_conn *conn)
{
    struct gy_rudp_ecn *ecn = &conn->ecn;
    ecn->tests = ecn->test_sent = ecn->test_lost = 0;
    ecn->first = conn->number;
    ecn->state = conn->config.ecn && (conn->theirs.features & GY_RUDP_FEATURE_ECN) != 0
                     ? GY_RUDP_ECN_TESTING
                     : GY_RUDP_ECN_OFF;
}

/* The peer counts once it has our parameters: as soon as it has said that it has all of the
 * handshake. */
static bool can_begin(const struct gy_rudp_conn *conn)
{
    return conn->config.ecn && conn->state == GY_RUDP_OPEN &&
           (conn->theirs.features & GY_RUDP_FEATURE_ECN) != 0 &&
           (!is_sealed(conn) || conn->confirmed);
}

uint8_t gy_rudp_ecn_next(struct gy_rudp_conn *conn, uint64_t number, bool covered)
{
    struct gy_rudp_ecn *ecn = &conn->ecn;
    uint8_t mark = GY_RUDP_NOT_ECT;
    if (ecn->state == GY_RUDP_ECN_OFF && can_begin(conn)) {
        gy_rudp_ecn_begin(conn);
        ecn->first = number;
    }
    if (ecn->state == GY_RUDP_ECN_CAPABLE) {
        mark = GY_RUDP_ECT0;
        if (number >= ecn->check_number && !covered) {
            mark = GY_RUDP_CE; /* who does not report it would not report others' either */
            check_later(conn, CHECK_EVERY);
        }
    } else if (ecn->state == GY_RUDP_ECN_TESTING) {
        mark = GY_RUDP_ECT0;
        if (++ecn->test_sent == TEST_PACKETS) {
            ecn->state = GY_RUDP_ECN_WAITING;
        }
    }
    ecn->sent += mark != GY_RUDP_NOT_ECT;
    conn->stats.ecn_sent += mark != GY_RUDP_NOT_ECT;
    return mark;
}

uint8_t gy_rudp_ecn(const struct gy_rudp_conn *conn)
{
    return conn->ecn.mark;
}

void gy_rudp_ecn_taken(struct gy_rudp_conn *conn, uint8_t mark)
{
    conn->ecn.in[mark]++;
    if (mark == GY_RUDP_CE) {
        conn->stats.ecn_received++;
        conn->ack_now |= conn->ack_pending > 0; /* RFC 9000 §13.2.1 */
    }
}

void gy_rudp_ecn_acked(struct gy_rudp_conn *conn, const struct gy_rudp_packet *packet)
{
    struct gy_rudp_ecn *ecn = &conn->ecn;
    if (packet->ecn == GY_RUDP_NOT_ECT) {
        return;
    }
    ecn->acked_ns = packet->sent_ns > ecn->acked_ns ? packet->sent_ns : ecn->acked_ns;
    if (packet->number >= ecn->first && !packet->covered) {
        ecn->acked++;
        ecn->acked_checks += packet->ecn == GY_RUDP_CE;
    }
}

static void fail(struct gy_rudp_conn *conn, uint64_t *why)
{
    struct gy_rudp_ecn *ecn = &conn->ecn;
    if (ecn->state != GY_RUDP_ECN_FAILED && ecn->state != GY_RUDP_ECN_OFF) {
        ecn->state = GY_RUDP_ECN_FAILED;
        (*why)++;
    }
}

void gy_rudp_ecn_lost(struct gy_rudp_conn *conn)
{
    struct gy_rudp_ecn *ecn = &conn->ecn;
    if (ecn->state == GY_RUDP_ECN_WAITING && ++ecn->test_lost == TEST_PACKETS) {
        fail(conn, &conn->stats.ecn_lost);
    } else if (ecn->state == GY_RUDP_ECN_TESTING) {
        ecn->test_lost++;
    }
}

void gy_rudp_ecn_silent(struct gy_rudp_conn *conn)
{
    struct gy_rudp_ecn *ecn = &conn->ecn;
    if (conn->pto_count < SILENT_PTO || ecn->state == GY_RUDP_ECN_OFF ||
        ecn->state == GY_RUDP_ECN_FAILED || ecn->state == GY_RUDP_ECN_PAUSED) {
        return;
    }
    if (++ecn->tests == TESTS_MAX) {
        fail(conn, &conn->stats.ecn_lost);
    } else {
        ecn->state = GY_RUDP_ECN_PAUSED;
    }
}

/* §13.4.2.1; the counts are of the whole connection, so they never fall. */
static bool is_possible(const struct gy_rudp_ecn *ecn, const struct gy_rudp_ack *ack)
{
    return ack->ect1 == 0 && ack->ect0 >= ecn->ect0 && ack->ce >= ecn->ce &&
           ack->ect0 + ack->ce <= ecn->sent;
}

void gy_rudp_ecn_ack(struct gy_rudp_conn *conn, const struct gy_rudp_ack *ack, bool newest,
                     uint64_t now_ns)
{
    struct gy_rudp_ecn *ecn = &conn->ecn;
    uint64_t acked = ecn->acked, checks = ecn->acked_checks, sent_ns = ecn->acked_ns;
    if (ecn->state == GY_RUDP_ECN_OFF) {
        return;
    }
    ecn->acked = ecn->acked_checks = 0;
    if (ecn->state == GY_RUDP_ECN_PAUSED && newest) {
        ecn->state = GY_RUDP_ECN_TESTING;
        ecn->test_sent = ecn->test_lost = 0;
        ecn->first = conn->number;
        acked = checks = 0;
    }
    if (!newest) {
        return; /* overtaken by one that says more */
    }
    if (!ack->counted) {
        if (acked > 0) {
            fail(conn, &conn->stats.ecn_bleached);
        }
        return;
    }
    if (!is_possible(ecn, ack)) {
        fail(conn, &conn->stats.ecn_lies);
        return;
    }
    uint64_t ce = ack->ce - ecn->ce;
    uint64_t grown = ack->ect0 - ecn->ect0 + ce;
    ecn->ect0 = ack->ect0;
    ecn->ce = ack->ce;
    if (grown < acked) {
        fail(conn, &conn->stats.ecn_bleached);
    } else if (ce < checks) {
        fail(conn, &conn->stats.ecn_lies);
    } else if (grown > 0 &&
               (ecn->state == GY_RUDP_ECN_TESTING || ecn->state == GY_RUDP_ECN_WAITING)) {
        ecn->state = GY_RUDP_ECN_CAPABLE;
        ecn->tests = 0;
        check_later(conn, CHECK_FIRST);
    }
    if (ce > checks) {
        conn->stats.ecn_reported += ce - checks;
        conn->congestion.ops->marked(&conn->congestion, sent_ns, now_ns);
    }
}
