/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_SYSTEMD_H
#define GY_SERVERS_SYSTEMD_H

/*
 * What a service manager and a service tell each other, by the protocols themselves
 * (sd_notify(3), sd_listen_fds(3)); nothing of systemd's is needed, and without it nothing happens.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../core/address.h"
#include "../core/error.h"

/* Sends "NAME=VALUE" lines to $NOTIFY_SOCKET (a path, or @ and an abstract name). 0, GY_ESTATE when
 * there is no such variable, GY_EINVAL for one that is no address, or what sending reported. */
int gy_notify(const char *lines);

/* READY=1; RELOADING=1 with the MONOTONIC_USEC that goes with it; STOPPING=1. */
void gy_notify_ready(void);
/* READY=1 after a reload that changed nothing, with a STATUS that says why; the next
 * gy_notify_ready takes it back. */
void gy_notify_kept(const char *why);
void gy_notify_reloading(void);
void gy_notify_stopping(void);

#define GY_INHERITED_MAX 64

/* Sockets that were handed over when the process started. */
struct gy_inherited {
    uint32_t count;
    struct {
        int fd;
        bool used;
        bool datagrams;
        struct gy_address address;
    } sockets[GY_INHERITED_MAX];
};

/* Takes $LISTEN_FDS, if $LISTEN_PID is this process, and removes both from the environment. Sockets
 * that are neither TCP and listening nor UDP and bound are an error: they would be left waiting. 0,
 * GY_EINVAL, GY_ELIMIT.
 */
int gy_inherited_take(struct gy_inherited *inherited, struct gy_error *error);

/* `count` descriptors of the one that listens on `address`, by UDP if `datagrams`. All are the same
 * socket: its workers take from one queue. True when there was one; a negative code when
 * descriptors ran out. */
int gy_inherited_listen(struct gy_inherited *inherited, const struct gy_address *address,
                        bool datagrams, unsigned count, int fds[], struct gy_error *error);

void gy_inherited_close(struct gy_inherited *inherited);

#endif
