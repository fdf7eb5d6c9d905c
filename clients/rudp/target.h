/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_RUDP_TARGET_H
#define GY_CLIENTS_RUDP_TARGET_H

/*
 * Whom a command talks to by reliable UDP, and how: what HOST:PORT and the flags that all of them
 * have come to.
 */

#include "../../core/address.h"
#include "../../core/tls_files.h"
#include "../../protocols/rudp/rudp.h"

struct gy_rudp_target {
    const char *command; /* "gyre rudp ping", for what is said to people */
    const char *text;    /* HOST:PORT, as it was given */
    char host[256];
    struct gy_address address;
    struct gy_tls_files files;
    struct gy_tls_config *tls; /* NULL: not encrypted */
    bool insecure, plaintext;
    uint64_t timeout_ns; /* of connecting, and, where that is more, of silence */
    uint32_t datagram_bytes, fec_packets;
    enum gy_rudp_congestion_kind congestion;
    const char *qlog; /* a folder; NULL: none is written */
};

/* Lines of --help for the flags below. */
extern const char gy_rudp_target_help[];

/* Defaults. */
void gy_rudp_target_init(struct gy_rudp_target *target, const char *command);

/* Takes the flag at argv[*index], and its value, which `*index` is moved over: --timeout,
 * --datagram, --congestion, --fec, --qlog, --ca, --cert, --insecure, --plaintext. 1: it was one; 0:
 * it was not; negative: GY_EINVAL or GY_ENOMEM with a sentence. */
int gy_rudp_target_flag(struct gy_rudp_target *target, int argc, char **argv, int *index,
                        struct gy_error *error);

/* A number within bounds as a flag's value. 0, or GY_EINVAL with a sentence. `text` may be NULL. */
int gy_rudp_target_number(const char *flag, const char *text, uint64_t min, uint64_t max,
                          uint64_t *number, struct gy_error *error);

/* All flags are read: whether they go together, and `text` looks like HOST:PORT. 0, or GY_EINVAL.
 */
int gy_rudp_target_check(const struct gy_rudp_target *target, struct gy_error *error);

/* Finds the address (asking name servers: it waits) and reads certificates. 0, or a GY_E… code with
 * a sentence. Warns on standard error of --insecure. */
int gy_rudp_target_open(struct gy_rudp_target *target, struct gy_error *error);
void gy_rudp_target_close(struct gy_rudp_target *target);

/* What may help, "; …", where a connection ended with that code; else "". */
const char *gy_rudp_target_remedy(const struct gy_rudp_target *target, uint64_t close_code);

#endif
