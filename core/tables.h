/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_TABLES_H
#define GY_CORE_TABLES_H

/*
 * Descriptor tables: how many connections the limit on open files allows, and how workers come by
 * more.
 *
 * RLIMIT_NOFILE bounds a table of descriptors, and threads share one unless they are told not to.
 * Where that is fewer than the connections asked for, each worker's thread takes a table of its own
 * (unshare(2), CLONE_FILES): the limit then holds for each worker rather than for all together.
 *
 * They part once every worker is open and before any of them runs. So whatever was opened by then
 * has the same number in all tables: rings and eventfds, by which workers wake each other, folders,
 * and the control thread's. What is opened later is known to the table of the thread that opened
 * it, and to the threads which that one starts; it must not be used, or closed, by any other.
 * Helper threads (helper.h) that use their worker's descriptors are therefore started by a running
 * worker; a thread that a server starts as its workers open keeps the control thread's table.
 *
 * A socket goes when its last copy is closed, so each worker closes what others accept on, dial or
 * receive by, and the control thread closes all of those. A thread of a server's own opens sockets
 * once its workers run: what it had open before would stay open in their tables.
 *
 * Sequence, where gy_tables_limit() said `apart`:
 *
 *     each worker's thread   opens                                    (gy_worker_open, _serve)
 *     all have opened        gy_tables_note(&tables[i], worker)       for each, by anyone
 *     each worker's thread   gy_tables_part(tables, count, i), gy_tables_grow(&limit)
 *     all have parted        gy_tables_left(tables, count)            the control thread
 *     the workers have ended gy_tables_forget(tables, count)          the control thread
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct gy_worker;

enum gy_tables {
    GY_TABLES_AUTO, /* one, unless more connections are asked for than it holds */
    GY_TABLES_ONE,
    GY_TABLES_EACH, /* one of its own for each of several workers */
};

struct gy_tables_limit {
    enum gy_tables wanted;
    uint32_t workers;
    uint32_t asked;      /* connections of a worker; 0: as many as may be */
    uint64_t open_files; /* of a table: RLIMIT_NOFILE, raised as far as it goes */
    uint32_t each;       /* connections of a worker, at most; at least 1 */
    uint64_t all;        /* connections of all workers together, at most */
    bool apart;          /* each worker is to have a table of its own */
    int refused;         /* errno of the kernel that refuses such tables (seccomp); else 0 */
};

/* Below it the limit on open files is mentioned though nothing was asked for. */
#define GY_TABLES_FEW 16384

/* What the process may open, raising its soft limit to the hard one. Where tables of their own are
 * wanted, whether the kernel gives any is tried out in a thread. */
void gy_tables_limit(struct gy_tables_limit *limit, enum gy_tables wanted, uint32_t workers,
                     uint32_t asked);

/* The connections of all workers together, as one of them has its share. */
uint64_t gy_tables_share(const struct gy_tables_limit *limit, uint32_t number);

/* What a person should know of it: that not all of what was asked for can be had, or, when nothing
 * was, that the limit is low; with what to do. False: nothing. */
bool gy_tables_advice(const struct gy_tables_limit *limit, char *text, size_t bytes);

/* To so many descriptors a table is grown beforehand; they are 8 bytes each of the kernel's. */
#define GY_TABLES_GROWN 65536u

/* Grows the calling thread's table to what its connections may need, GY_TABLES_GROWN at most: once
 * before there are workers, or by each of them in a table of its own. Where threads share a table
 * the kernel doubles it within accept(2), and the thread that accepts waits until no other can be
 * reading the former one (RCU): 10 to 20 ms in which a worker answers nobody, at 64, 128, 256 …
 * connections. A table that cannot be grown is left as it is: the kernel grows it as it goes. */
void gy_tables_grow(const struct gy_tables_limit *limit);

/* "auto", "one", "per-worker". 0 or GY_EINVAL. */
int gy_tables_parse(const char *name, enum gy_tables *tables);

/* What a worker has open that is its own. */
struct gy_table {
    int ring, wake, reserve;
    int *sockets;
    uint32_t socket_count;
};

/* Notes an open worker's descriptors. 0 or GY_ENOMEM. */
int gy_tables_note(struct gy_table *table, const struct gy_worker *worker);

/* On the thread of worker `number`: takes a table of its own, without the other workers' sockets.
 * GY_EREFUSED, GY_ENOMEM, GY_ENOFILE: then `error` has the sentence, and its table is the common
 * one still. */
int gy_tables_part(const struct gy_table *tables, uint32_t count, uint32_t number,
                   struct gy_error *error);

/* On the control thread: closes its copies of what the workers have; their eventfds stay. */
void gy_tables_left(struct gy_table *tables, uint32_t count);

/* On the control thread: closes what gy_tables_left kept, and frees the notes. Tables that were
 * never noted, or are zeros, are no mistake. */
void gy_tables_forget(struct gy_table *tables, uint32_t count);

#endif
