/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_RUDP_KIND_H
#define GY_SERVERS_RUDP_RUDP_KIND_H

/* The kind `rudp` of servers, and what `gyre rudp serve` asks for. */

#include "../kind.h"

/* What the command line said; 0 or false: nothing. */
struct gy_rudp_flags {
    bool echo, sink, plaintext, replace;
    const char *drop, *share; /* directories */
    const char *relay;        /* HOST:PORT */
    uint64_t max_file, keep_free;
    const char *tls; /* --tls: a certificate, and its key behind a comma; NULL: not given */
    uint32_t datagram_bytes, fec_packets;
    const char *qlog, *congestion;
};

extern const struct gy_server_kind gy_rudp_kind;

/* Takes the flags into a server of the kind. 0, or a GY_E… code with a sentence. */
int gy_rudp_kind_flags(void *server, const struct gy_rudp_flags *flags, struct gy_error *error);

/* Datagrams: from what every path takes to what one piece of output holds. */
#define GY_RUDP_DATAGRAM_MIN 1200
#define GY_RUDP_DATAGRAM_MAX 16000

#endif
