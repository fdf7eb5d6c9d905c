/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_KEEPER_H
#define GY_SERVERS_DNS_DNS_KEEPER_H

/*
 * The keeper: what is to be done for zones besides answering, on a thread of its own with a loop of
 * its own, so that no worker ever waits for it.
 *
 * Secondary zones. Its primaries are asked for a zone's serial when its SOA record says so
 * (refresh, and retry after a failure), and when one of them sent NOTIFY; where theirs is newer
 * what has changed is fetched over the same connection (IXFR; the whole zone by AXFR where none is
 * there, or the differences are of no use), the new version is laid out beside the old one,
 * checked, kept on disk, and handed to the workers. Its file's modification is when it was last
 * known to be right; past `expire` it is answered for by SERVFAIL until it comes again. At most
 * GY_DNS_FETCHES_MAX are under way at a time.
 *
 * NOTIFY (RFC 1996) to the secondaries of zones whose serial is new: up to GY_DNS_NOTE_TRIES times,
 * each wait twice the last, at most GY_DNS_NOTES_ACTIVE at a time.
 *
 * The thread runs from the first worker that joins to the last that leaves.
 */

#include "dns_list.h"
#include "dns_server.h"

#define GY_DNS_FETCHES_MAX  16
#define GY_DNS_NOTE_TRIES   5
#define GY_DNS_NOTES_ACTIVE 64
#define GY_DNS_NOTES_MAX    100000 /* that wait; further ones are dropped, and counted as failed */

/* 0 or GY_ENOMEM. `server` is open, and its set becomes the keeper's; all outlive the keeper. */
int gy_dns_keeper_make(struct gy_dns_keeper **keeper, struct gy_dns_server *server,
                       const struct gy_dns_list *list);

/* After all workers have left. Frees the newest set too. */
void gy_dns_keeper_free(struct gy_dns_keeper *keeper);

/* On a worker's thread, once for each of its listeners. 0, or a GY_E… code with a sentence: the
 * thread could not be started. */
int gy_dns_keeper_join(struct gy_dns_keeper *keeper, struct gy_worker *worker,
                       struct gy_error *error);
void gy_dns_keeper_leave(struct gy_dns_keeper *keeper, struct gy_worker *worker);

/* On the thread of worker `number`: a primary says that a zone has changed. Never blocks; what does
 * not fit the queue is found by the next refresh. */
void gy_dns_keeper_notify(struct gy_dns_keeper *keeper, uint32_t number,
                          const struct gy_dns_served *served);

#endif
