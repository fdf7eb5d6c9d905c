/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_RESOLVER_SYSTEM_H
#define GY_CORE_RESOLVER_SYSTEM_H

/*
 * The resolver of the C library (getaddrinfo: /etc/hosts, DNS and whatever else the host is set up
 * to ask), on one helper thread of the worker, since it blocks. The thread is started by the first
 * question. Questions wait in order, at most GY_RESOLVER_QUESTIONS of them.
 */

#include "resolver.h"

#define GY_RESOLVER_QUESTIONS 64

struct gy_worker;

/* On the worker's thread. 0 or GY_ENOMEM. */
int gy_resolver_system_open(struct gy_resolver **resolver, struct gy_worker *worker,
                            struct gy_error *error);

/* On the worker's thread, before the worker closes; questions still open are forgotten. Does not
 * wait: a helper that hangs in the C library ends by itself when that returns. */
void gy_resolver_system_close(struct gy_resolver *resolver);

#endif
