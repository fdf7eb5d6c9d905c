/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_GET_GET_INTERNAL_H
#define GY_CLIENTS_GET_GET_INTERNAL_H

/*
 * What the parts of `gyre get` share:
 *
 *   get_command.c  flags, the loop, exit status
 *   fetch.c        the life of a fetch: connections, redirects, trying again
 *   exchange.c     one request and what its response means
 *   save.c         files and their parts
 *   progress.c     the line on a terminal
 */

#include "clients/get/fetch.h"

/* Sends the request for where the fetch is now. 0 or a GY_E… */
int gy_get_send(struct gy_fetch *fetch, struct gy_h1_client *client, uint64_t now_ns);

void gy_get_on_response(struct gy_h1_call *call);
void gy_get_on_body(struct gy_h1_call *call, struct gy_chain *bytes, bool end);

extern const struct gy_h1_call_ops gy_get_call_ops;

/* Tells a person what became of a fetch, on stderr. */
void gy_get_tell(const struct gy_fetch *fetch, const char *what);

/* The line of progress: drawn when something is to be shown, wiped before anything else is. */
void gy_get_progress(const struct gy_get *get);
void gy_get_progress_wipe(void);

#endif
