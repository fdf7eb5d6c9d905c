/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Early data (0-RTT, RFC 8446 §2.3): taken once for each ticket. */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/stream.h"
#include "core/tls_internal.h"

/* ---- tickets that were used ---- */

#define NONCE_BYTES 12 /* of GCM: the first of a ticket's */

/* Half of a set's slots stay empty, so that a look ends soon. */
#define SLOTS (2u * GY_TLS_STRIKES_MAX)
_Static_assert((SLOTS & (SLOTS - 1)) == 0, "a slot is found by its low bits");

int gy_tls_strikes_open(struct gy_tls_strikes *strikes, uint32_t maker, int64_t now_s)
{
    *strikes = (struct gy_tls_strikes){.maker = maker, .began_s = now_s, .window_s = now_s};
    pthread_mutex_init(&strikes->lock, NULL);
    strikes->sets[0] = calloc(SLOTS, sizeof *strikes->sets[0]);
    strikes->sets[1] = calloc(SLOTS, sizeof *strikes->sets[1]);
    return strikes->sets[0] != NULL && strikes->sets[1] != NULL ? 0 : GY_ENOMEM;
}

void gy_tls_strikes_close(struct gy_tls_strikes *strikes)
{
    free(strikes->sets[0]);
    free(strikes->sets[1]);
    pthread_mutex_destroy(&strikes->lock);
}

/* Where the ticket is in a set, or where it would be. */
static uint64_t *slot_of(uint64_t *set, uint64_t ticket)
{
    uint64_t at = ticket & (SLOTS - 1);
    while (set[at] != 0 && set[at] != ticket) {
        at = (at + 1) & (SLOTS - 1);
    }
    return &set[at];
}

/* What was used two windows ago is forgotten. */
static void roll(struct gy_tls_strikes *strikes, int64_t now_s)
{
    for (int i = 0; i < 2 && now_s - strikes->window_s >= GY_TLS_STRIKES_WINDOW_S; i++) {
        uint64_t *oldest = strikes->sets[1];
        strikes->sets[1] = strikes->sets[0];
        strikes->used[1] = strikes->used[0];
        memset(oldest, 0, SLOTS * sizeof *oldest);
        strikes->sets[0] = oldest;
        strikes->used[0] = 0;
        strikes->window_s += GY_TLS_STRIKES_WINDOW_S;
    }
    if (now_s - strikes->window_s >= GY_TLS_STRIKES_WINDOW_S) {
        strikes->window_s = now_s;
    }
}

static bool used(struct gy_tls_strikes *strikes, uint64_t ticket)
{
    return *slot_of(strikes->sets[0], ticket) != 0 || *slot_of(strikes->sets[1], ticket) != 0;
}

bool gy_tls_strikes_allow(struct gy_tls_strikes *strikes, uint64_t ticket, uint32_t maker,
                          int64_t now_s)
{
    if (maker != strikes->maker && now_s - strikes->began_s < GY_TLS_STRIKES_WINDOW_S) {
        return false; /* who served before us may have taken it just now */
    }
    pthread_mutex_lock(&strikes->lock);
    roll(strikes, now_s);
    bool allowed = strikes->used[0] < GY_TLS_STRIKES_MAX && !used(strikes, ticket);
    pthread_mutex_unlock(&strikes->lock);
    return allowed;
}

bool gy_tls_strikes_take(struct gy_tls_strikes *strikes, uint64_t ticket, int64_t now_s)
{
    pthread_mutex_lock(&strikes->lock);
    roll(strikes, now_s);
    bool taken = strikes->used[0] < GY_TLS_STRIKES_MAX && !used(strikes, ticket);
    if (taken) {
        *slot_of(strikes->sets[0], ticket) = ticket;
        strikes->used[0]++;
    }
    pthread_mutex_unlock(&strikes->lock);
    return taken;
}

/* ---- wolfSSL's side ---- */

/* Whose handshake this thread is in. */
static _Thread_local struct gy_tls *in_handshake;

struct gy_tls *gy_tls_early_watch(struct gy_tls *tls)
{
    struct gy_tls *before = in_handshake;
    in_handshake = tls;
    return before;
}

/* wolfSSL takes early data when it finds the session in a cache and removes it there: this is that
 * cache. It cannot refuse any more; gy_tls_ticket_callback did, for what was used before. */
void gy_tls_session_removed(WOLFSSL_CTX *context, WOLFSSL_SESSION *session)
{
    (void)context;
    (void)session;
    struct gy_tls *tls = in_handshake;
    if (tls == NULL || tls->early || tls->ticket == 0) {
        return;
    }
    tls->early = true;
    tls->replayed =
        !gy_tls_strikes_take(tls->worker->config->strikes, tls->ticket, (int64_t)time(NULL));
}

bool gy_tls_ticket_usable(WOLFSSL *ssl, const uint8_t *iv)
{
    struct gy_tls *tls = gy_tls_of(ssl);
    struct gy_tls_strikes *strikes = tls->worker->config->strikes;
    if (strikes == NULL) {
        return true;
    }
    uint64_t ticket;
    uint32_t maker;
    memcpy(&maker, iv + NONCE_BYTES, sizeof maker);
    memcpy(&ticket, iv, sizeof ticket);
    tls->ticket = ticket | 1; /* 0 is none */
    return gy_tls_strikes_allow(strikes, tls->ticket, maker, (int64_t)time(NULL));
}

void gy_tls_ticket_mark(const WOLFSSL *ssl, uint8_t *iv)
{
    const struct gy_tls_strikes *strikes = gy_tls_of(ssl)->worker->config->strikes;
    uint32_t maker = strikes != NULL ? strikes->maker : 0;
    memcpy(iv + NONCE_BYTES, &maker, sizeof maker);
}

int gy_tls_accept(struct gy_tls *tls, uint8_t *early, uint32_t room, uint32_t *early_bytes)
{
    *early_bytes = 0;
    gy_assert(tls->worker->config->strikes != NULL && !tls->early);
    if (wolfSSL_GetVersion(tls->ssl) != WOLFSSL_TLSV1_3) {
        return wolfSSL_accept(tls->ssl); /* an older client */
    }
    int got = 0;
    in_handshake = tls;
    int result = wolfSSL_read_early_data(tls->ssl, early, (int)room, &got);
    in_handshake = NULL;
    gy_assert(got >= 0 && (uint32_t)got <= room && (got == 0 || tls->early));
    *early_bytes = (uint32_t)got;
    if (tls->early) {
        int error = wolfSSL_get_error(tls->ssl, result);
        bool goes_on = result >= 0 || error == WOLFSSL_ERROR_WANT_READ;
        return goes_on ? WOLFSSL_SUCCESS : result;
    }
    return wolfSSL_is_init_finished(tls->ssl) ? WOLFSSL_SUCCESS : result;
}

void gy_tls_finish_early(struct gy_stream *stream)
{
    struct gy_tls *tls = (struct gy_tls *)stream->layer;
    if (!tls->layer.unproven || tls->layer.failed) {
        return;
    }
    if (wolfSSL_is_init_finished(tls->ssl) || wolfSSL_accept(tls->ssl) == WOLFSSL_SUCCESS) {
        tls->layer.unproven = false;
    }
}
