/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What the connections of one endpoint share on one worker: wolfSSL's contexts, one for each
 * certificate, and the call-backs that choose among them. */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/asan.h"
#include "core/endpoint.h"
#include "core/tls_internal.h"
#include "core/worker.h"

#include <wolfssl/quic.h>

/* The client names a host: the certificate that is for it. */
static int choose_certificate(WOLFSSL *ssl, int *alert, void *context)
{
    (void)alert;
    struct gy_tls_worker *tls = context;
    void *name = NULL;
    unsigned short length = wolfSSL_SNI_GetRequest(ssl, WOLFSSL_SNI_HOST_NAME, &name);
    if (length > 0 && length < GY_TLS_NAME_BYTES) {
        uint32_t identity = gy_tls_identity_for(tls->config, name, length);
        if (identity != GY_TLS_NO_IDENTITY && identity > 0) {
            gy_tls_of(ssl)->identity = identity;
            wolfSSL_set_SSL_CTX(ssl, tls->contexts[identity]);
        }
    }
    return 0;
}

static void set_call_backs(struct gy_tls_worker *tls, WOLFSSL_CTX *context)
{
    const struct gy_tls_config *config = tls->config;
    wolfSSL_CTX_SetIORecv(context, gy_tls_receive_callback);
    wolfSSL_CTX_SetIOSend(context, gy_tls_send_callback);
    if (!config->server) {
        if (config->resume) {
            wolfSSL_CTX_UseSessionTicket(context); /* of 1.2: it has to be asked for */
        }
        if (config->status && config->verify != GY_TLS_VERIFY_NONE) {
            wolfSSL_CTX_EnableOCSPStapling(context); /* each connection asks */
        }
        return;
    }
    for (uint32_t i = 0; i < config->identity_count; i++) {
        if (config->identities[i].staple != NULL) {
            wolfSSL_CTX_set_tlsext_status_cb(context, gy_tls_staple_callback);
            wolfSSL_CTX_set_tlsext_status_arg(context, tls);
            break;
        }
    }
    if (config->strikes != NULL) {
        wolfSSL_CTX_set_max_early_data(context, config->early_bytes);
        wolfSSL_CTX_sess_set_remove_cb(context, gy_tls_session_removed);
    }
    wolfSSL_CTX_set_servername_callback(context, choose_certificate);
    wolfSSL_CTX_set_servername_arg(context, tls);
    if (config->no_tickets) {
        wolfSSL_CTX_no_ticket_TLSv13(context);
        wolfSSL_CTX_NoTicketTLSv12(context);
    } else {
        wolfSSL_CTX_set_TicketEncCb(context, gy_tls_ticket_callback);
        wolfSSL_CTX_set_TicketEncCtx(context, &tls->tickets);
    }
}

/* See core/tls_quic.h. */
static bool without_records(WOLFSSL_CTX *context)
{
    static const char fast[] = "TLS13-AES128-GCM-SHA256:TLS13-CHACHA20-POLY1305-SHA256";
    static const char plain[] = "TLS13-CHACHA20-POLY1305-SHA256:TLS13-AES128-GCM-SHA256";
    int groups[] = {WOLFSSL_ECC_X25519};
    bool aes = true;
#ifdef __x86_64__
    aes = __builtin_cpu_supports("aes");
#endif
    return wolfSSL_CTX_SetMinVersion(context, WOLFSSL_TLSV1_3) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_cipher_list(context, aes ? fast : plain) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_groups(context, groups, 1) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_quic_method(context, &gy_tls_quic_method) == WOLFSSL_SUCCESS;
}

static int open_contexts(struct gy_tls_worker *tls, struct gy_error *error)
{
    const struct gy_tls_config *config = tls->config;
    uint32_t count = config->identity_count > 0 ? config->identity_count : 1;
    tls->contexts = calloc(count, sizeof(WOLFSSL_CTX *));
    if (tls->contexts == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing TLS: out of memory");
    }
    for (; tls->context_count < count; tls->context_count++) {
        uint32_t identity = config->identity_count > 0 ? tls->context_count : GY_TLS_NO_IDENTITY;
        WOLFSSL_CTX *context = gy_tls_context_make(config, identity, error);
        if (context == NULL) {
            return error != NULL ? error->code : GY_EINVAL;
        }
        set_call_backs(tls, context);
        tls->contexts[tls->context_count] = context;
        if (tls->quic && !without_records(context)) {
            tls->context_count++;
            return gy_error_set(error, GY_ENOTSUP,
                                "preparing TLS for datagrams: this wolfSSL cannot; build it as "
                                "ci/setup does, with --enable-quic");
        }
    }
    return 0;
}

void gy_tls_worker_close(struct gy_tls_worker *tls)
{
    struct gy_tls_memory *before = gy_tls_memory_use(&tls->memory);
    gy_tls_session_drop(tls);
    for (uint32_t i = 0; i < tls->context_count; i++) {
        wolfSSL_CTX_free(tls->contexts[i]);
    }
    gy_tls_memory_use(before);
    free(tls->contexts);
    if (tls->connections.base != NULL) {
        gy_unpoison(tls->connections.base, tls->slab_bytes);
        munmap(tls->connections.base, tls->slab_bytes);
    }
    explicit_bzero(&tls->tickets, sizeof tls->tickets);
    free(tls);
}

int gy_tls_worker_open(struct gy_tls_worker **worker, const struct gy_tls_config *config,
                       uint32_t connections_max, size_t connection_bytes, bool quic,
                       struct gy_error *error)
{
    int code = gy_tls_init(error);
    if (code != 0) {
        return code;
    }
    struct gy_tls_worker *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing TLS: out of memory");
    }
    tls->config = config;
    tls->quic = quic;
    tls->memory.limit_bytes =
        config->memory_bytes != 0 ? config->memory_bytes : gy_tls_memory_for(connections_max);
    gy_tls_tickets_init(&tls->tickets, &config->ticket_secret);
    tls->slab_bytes = gy_slab_bytes(connection_bytes, connections_max);
    void *memory = mmap(NULL, tls->slab_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        code = gy_error_set(error, GY_ENOMEM, "preparing TLS for %u connections: out of memory",
                            connections_max);
    } else {
        gy_slab_init(&tls->connections, memory, tls->slab_bytes, connection_bytes);
        struct gy_tls_memory *before = gy_tls_memory_use(&tls->memory);
        code = open_contexts(tls, error);
        gy_tls_memory_use(before);
    }
    if (code != 0) {
        gy_tls_worker_close(tls);
        return code;
    }
    *worker = tls;
    return 0;
}

int gy_tls_attach(struct gy_endpoint *endpoint, const void *context, struct gy_error *error)
{
    struct gy_tls_worker *tls = NULL;
    int code = gy_tls_worker_open(&tls, context, endpoint->connections_max, sizeof(struct gy_tls),
                                  false, error);
    if (code == 0) {
        endpoint->layer_state = tls;
    }
    return code;
}

void gy_tls_detach(struct gy_endpoint *endpoint)
{
    gy_tls_worker_close(endpoint->layer_state);
    endpoint->layer_state = NULL;
}
