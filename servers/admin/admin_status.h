/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_ADMIN_ADMIN_STATUS_H
#define GY_SERVERS_ADMIN_ADMIN_STATUS_H

/* /status.json of the admin listener, whose schema is in docs/configuration.md. */

#include "../../core/cursor.h"
#include "admin.h"

/* Writes the status as `worker` sees it, on its thread. 0 or GY_ENOBUFS. */
int gy_admin_status(struct gy_writer *writer, struct gy_admin *admin,
                    const struct gy_worker *worker);

/* What all servers but the admin listener have counted on a worker: the sum of their first rows.
 * gy_site's `requests`. */
uint64_t gy_admin_requests(const struct gy_site *site, uint32_t worker);

/* Connections that are open to a server, on all workers. */
uint64_t gy_admin_connections(const struct gy_serve_server *server, const struct gy_worker *worker);

#endif
