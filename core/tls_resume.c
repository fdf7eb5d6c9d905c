/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Clients that come back: one session for each worker and endpoint, of the host spoken with last.
 */

#include <stdio.h>
#include <string.h>

#include "core/tls_internal.h"

static const char *host_of(const struct gy_tls *tls)
{
    return tls->host != NULL ? tls->host : "";
}

void gy_tls_session_drop(struct gy_tls_worker *worker)
{
    wolfSSL_SESSION_free(worker->session);
    worker->session = NULL;
}

/* A copy is offered: the tickets of a connection replace the one in its session, and there may be
 * others that are still shaking hands with this one. */
void gy_tls_session_offer(struct gy_tls *tls)
{
    struct gy_tls_worker *worker = tls->worker;
    if (worker->session == NULL || strcmp(worker->session_host, host_of(tls)) != 0) {
        return;
    }
    WOLFSSL_SESSION *copy = wolfSSL_SESSION_dup(worker->session);
    if (copy != NULL) {
        wolfSSL_set_session(tls->ssl, copy);
        wolfSSL_SESSION_free(copy);
    }
}

/* Tickets come after the handshake (RFC 8446 §4.6.1), so the end of a connection is when to look.
 */
void gy_tls_session_keep(struct gy_tls *tls)
{
    struct gy_tls_worker *worker = tls->worker;
    if (!tls->layer.established || tls->layer.failed) {
        return;
    }
    WOLFSSL_SESSION *session = wolfSSL_get1_session(tls->ssl);
    if (session == NULL || !wolfSSL_SESSION_has_ticket(session)) {
        wolfSSL_SESSION_free(session);
        return;
    }
    gy_tls_session_drop(worker);
    worker->session = session;
    snprintf(worker->session_host, sizeof worker->session_host, "%s", host_of(tls));
}
