/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_SITE_STATUS_H
#define GY_SERVERS_HTTP_SITE_STATUS_H

/* What /status.json says. Its schema is in servers/http/README.md. */

#include "../../core/metrics.h"

struct gy_site;
struct gy_worker;

/* Workers that are listed one by one; the counters add up all of them. */
#define GY_SITE_WORKERS_LISTED 48

/* A status never needs more than this. */
#define GY_SITE_STATUS_BYTES 16384

/* Writes the status as `worker` sees it: its ring and buffers stand for all, since all are opened
 * alike, and the counters of every worker are read. On the worker's thread. */
void gy_site_status(struct gy_writer *writer, struct gy_site *site, const struct gy_worker *worker);

/* The members alone, for an object that has more of them. */
void gy_site_status_members(struct gy_writer *writer, struct gy_site *site,
                            const struct gy_worker *worker);

/* A table of counters as an object; rows that a label tells apart are an object with a member for
 * each value of it. */
void gy_site_status_rows(struct gy_writer *writer, const struct gy_metric_description *rows,
                         size_t row_count, const void *const *instances, uint32_t count);

#endif
