/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_KEEPER_INTERNAL_H
#define GY_SERVERS_DNS_DNS_KEEPER_INTERNAL_H

/* What dns_keeper.c (the thread, sets), dns_secondary.c and dns_notes.c share. */

#include <pthread.h>

#include "core/connector.h"
#include "core/log.h"
#include "servers/dns/dns_internal.h"
#include "servers/dns/dns_keeper.h"

struct fetch;
struct note;

/* A secondary zone. Of the keeper's thread. */
struct secondary {
    struct gy_dns_keeper *keeper;
    const struct gy_dns_served *served;
    const char *path;
    const struct gy_dns_zone *zone; /* one of its owners; absent: none yet, or expired */
    struct gy_timer due;            /* to ask again */
    struct gy_timer expiry;
    struct fetch *fetch; /* under way */
    uint32_t failures;   /* in a row */
    uint64_t asked_ms;   /* when a primary was asked last */
    uint64_t kept_bytes; /* of differences beside its file, as far as is known */
    bool kept;           /* what is on disk is this version */
    bool again;          /* a NOTIFY came meanwhile */
    char name[GY_DNS_NAME_TEXT_BYTES];
};

/* A worker that answers. */
struct member {
    struct gy_worker *core; /* NULL: it has not joined, or has left */
    uint32_t opens;
    bool behind; /* its mailbox was full: the newest set is still to be posted */
};

struct gy_dns_keeper {
    struct gy_dns_server *server;
    const struct gy_dns_list *list;
    struct gy_dns_keeper_counts *counts;
    uint64_t seed;

    pthread_mutex_t lock; /* of what follows, between the workers and the thread */
    pthread_cond_t started;
    struct member *members;
    struct gy_dns_set *set; /* the newest */
    uint32_t joined;
    bool running;
    int code; /* of starting: 1 while it is not known */
    struct gy_error error;

    struct gy_worker *starter;     /* the worker that started the thread */
    struct gy_timer running_timer; /* of it, until it runs */

    pthread_t thread;
    bool stopping, begun;

    /* The thread's. */
    struct gy_worker *worker;
    struct gy_worker *peers[1];
    struct gy_connector connector;
    struct gy_datagram_endpoint datagrams;
    bool loop_open, connector_open, datagrams_open;
    struct gy_inlet *inlets; /* one for each worker */
    struct gy_message *inlet_messages;
    const struct gy_dns_zone **zones; /* by place in the catalog; of primaries */
    struct secondary *secondaries;
    struct secondary **by_place; /* in the catalog; NULL: no secondary */
    uint32_t secondary_count;
    uint32_t fetches;
    struct gy_dns_set **retired;
    uint32_t retired_count;
    struct gy_timer publish; /* a zone has changed */
    struct gy_timer reap;    /* sets that may be free by now */

    struct note *waiting, **waiting_end;
    struct note *active;
    struct gy_timer notes_due; /* of the first that waits */
    uint32_t waiting_count, active_count;
};

/* A zone of a secondary has changed: workers get it soon. */
void keeper_changed(struct gy_dns_keeper *keeper);

static inline uint32_t keeper_place(const struct gy_dns_keeper *keeper,
                                    const struct gy_dns_served *served)
{
    return (uint32_t)(served - keeper->list->catalog.list);
}

/* ---- dns_secondary.c ---- */

int secondaries_open(struct gy_dns_keeper *keeper); /* GY_ENOMEM */

/* Before it serves: what the process before has fetched since the files were read. Whether there
 * was something. */
bool secondaries_reread(struct gy_dns_keeper *keeper);
void secondaries_begin(struct gy_dns_keeper *keeper);
void secondaries_stop(struct gy_dns_keeper *keeper); /* before the loop ends */
void secondaries_close(struct gy_dns_keeper *keeper);
void secondary_notified(struct secondary *secondary);

extern const struct gy_stream_ops secondary_ops;

/* ---- dns_notes.c ---- */

void notes_begin(struct gy_dns_keeper *keeper);

/* Tells all targets of a zone of its new serial, in a second. */
void notes_add(struct gy_dns_keeper *keeper, const struct gy_dns_served *served);
void notes_close(struct gy_dns_keeper *keeper); /* once the loop has ended */

extern const struct gy_datagram_ops notes_ops;

#endif
