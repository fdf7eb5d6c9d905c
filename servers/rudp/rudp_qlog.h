/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_RUDP_QLOG_H
#define GY_SERVERS_RUDP_RUDP_QLOG_H

/*
 * What connections do, written as qlog (JSON text sequences, RFC 7464), a file for each: packets
 * sent, received and lost, and round-trip time, window and rate whenever they may have changed. The
 * events have the names of QUIC's, whose tools can show them.
 *
 * For looking into a connection, not for running with: files are written by the worker itself. A
 * file ends at GY_RUDP_QLOG_BYTES_MAX, and there are GY_RUDP_QLOG_FILES_MAX at a time in a process.
 */

#include "../../protocols/rudp/rudp.h"

#define GY_RUDP_QLOG_FILES_MAX 64
#define GY_RUDP_QLOG_BYTES_MAX (64u << 20)

struct gy_rudp_qlog;

/* A file of its own in `folder`, named by side, process and number; NULL where it cannot be made or
 * there are enough. */
struct gy_rudp_qlog *gy_rudp_qlog_open(const char *folder, bool client, uint64_t now_ns);

void gy_rudp_qlog_event(struct gy_rudp_qlog *log, const struct gy_rudp_conn *conn,
                        const struct gy_rudp_event *event);

/* The last of it; NULL is fine. */
void gy_rudp_qlog_close(struct gy_rudp_qlog *log, const struct gy_rudp_conn *conn, uint64_t now_ns);

#endif
