/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What clients say whom they expect, what was agreed on, and what went wrong, in sentences. */

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/stream.h"
#include "core/tls_internal.h"

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

static bool is_numeric(const char *host)
{
    uint8_t address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

int gy_tls_expect(struct gy_stream *stream, const char *host)
{
    struct gy_tls *tls = (struct gy_tls *)stream->layer;
    gy_assert(tls != NULL && !tls->layer.established);
    return gy_tls_expect_host(tls, host);
}

int gy_tls_expect_host(struct gy_tls *tls, const char *host)
{
    char name[GY_TLS_NAME_BYTES];
    size_t length = strlen(host);
    if (host[0] == '[' && length > 2) { /* an IPv6 address as URLs have it */
        host++;
        length -= 2;
    } else if (length > 1 && host[length - 1] == '.') {
        length--; /* fully qualified */
    }
    if (length == 0 || length >= sizeof name) {
        return GY_EINVAL;
    }
    memcpy(name, host, length);
    name[length] = '\0';
    host = name;
    struct gy_tls_memory *before = gy_tls_memory_use(&tls->worker->memory);
    bool verify = tls->worker->config->verify != GY_TLS_VERIFY_NONE;
    int code = WOLFSSL_SUCCESS;
    if (is_numeric(host)) {
        code = verify ? wolfSSL_check_ip_address(tls->ssl, host) : code;
    } else {
        code = wolfSSL_UseSNI(tls->ssl, WOLFSSL_SNI_HOST_NAME, host, (unsigned short)length);
        if (code == WOLFSSL_SUCCESS && verify) {
            /* wolfSSL_check_domain_name() takes no name of one label but localhost. */
            code = wolfSSL_X509_VERIFY_PARAM_set1_host(wolfSSL_get0_param(tls->ssl), host,
                                                       (unsigned int)length);
        }
    }
    tls->host = strdup(host);
    gy_tls_memory_use(before);
    return code == WOLFSSL_SUCCESS && tls->host != NULL ? 0 : GY_ENOMEM;
}

void gy_tls_facts_of(struct gy_stream *stream, struct gy_tls_facts *facts)
{
    struct gy_tls *tls = (struct gy_tls *)stream->layer;
    gy_assert(tls != NULL && tls->layer.established);
    gy_tls_facts_in(tls, facts);
}

void gy_tls_facts_in(struct gy_tls *tls, struct gy_tls_facts *facts)
{
    struct gy_tls_memory *before = gy_tls_memory_use(&tls->worker->memory);
    *facts = (struct gy_tls_facts){
        .version = wolfSSL_get_version(tls->ssl),
        .cipher = wolfSSL_get_cipher_name(tls->ssl),
        .protocol = "",
        .host = tls->host != NULL ? tls->host : "",
        .resumed = wolfSSL_session_reused(tls->ssl),
        .early = tls->early,
    };
    char *protocol;
    unsigned short length;
    if (wolfSSL_ALPN_GetProtocol(tls->ssl, &protocol, &length) == WOLFSSL_SUCCESS) {
        facts->protocol = protocol;
    }
    if (tls->worker->config->server) {
        void *name = NULL;
        length = wolfSSL_SNI_GetRequest(tls->ssl, WOLFSSL_SNI_HOST_NAME, &name);
        facts->host = length > 0 && name != NULL ? name : "";
    }
    bool shown = tls->subject != NULL;
    if (shown) {
        snprintf(facts->subject, sizeof facts->subject, "%s", tls->subject);
    }
    facts->peer_verified = tls->worker->config->verify != GY_TLS_VERIFY_NONE &&
                           (shown || (facts->resumed && !tls->worker->config->server));
    gy_tls_memory_use(before);
}

/* ---- what went wrong ---- */

/* Called for each certificate while wolfSSL has it, which it keeps no longer than that: notes whose
 * the peer's own is, and the one that does not hold, and refuses as before. The host is looked for
 * without a word here, so the peer's own is noted anyway. */
int gy_tls_verify_callback(int holds, WOLFSSL_X509_STORE_CTX *store)
{
    struct gy_tls *tls = store->userCtx;
    if (tls == NULL) {
        return holds;
    }
    WOLFSSL_X509 *certificate = store->current_cert;
    char common[GY_TLS_NAME_BYTES] = "";
    if (certificate != NULL) {
        gy_tls_common_name(certificate, common);
    }
    if (store->error_depth == 0 && tls->subject == NULL) {
        tls->subject = strdup(common);
    }
    bool noted = tls->doubtful != NULL;
    if (noted || (holds == 1 && (store->error_depth > 0 || tls->host == NULL))) {
        return holds;
    }
    char until[48] = "";
    WOLFSSL_ASN1_TIME *time = NULL;
    if (certificate != NULL && store->error == ASN_AFTER_DATE_E) {
        time = wolfSSL_X509_get_notAfter(certificate);
    } else if (certificate != NULL && store->error == ASN_BEFORE_DATE_E) {
        time = wolfSSL_X509_get_notBefore(certificate);
    }
    if (time != NULL) {
        wolfSSL_ASN1_TIME_to_string(time, until, sizeof until);
    }
    if (asprintf(&tls->doubtful, "`%s`%s%s",
                 certificate != NULL || store->domain == NULL ? common : store->domain,
                 store->error == ASN_AFTER_DATE_E    ? ", which expired on "
                 : store->error == ASN_BEFORE_DATE_E ? ", which is valid only from "
                                                     : "",
                 until) < 0) {
        tls->doubtful = NULL;
    }
    tls->verify_error = store->error;
    return holds;
}

static const char *whose(const struct gy_tls *tls)
{
    return tls->worker->config->server ? "client" : "server";
}

static bool explain_certificate(const struct gy_tls *tls, int error, char *text, size_t bytes)
{
    const char *name = tls->doubtful != NULL ? tls->doubtful : "that was shown";
    switch (error) {
    case ASN_AFTER_DATE_E:
    case ASN_BEFORE_DATE_E:
        snprintf(text, bytes, "the %s's certificate %s; is this machine's clock right?", whose(tls),
                 name);
        return true;
    case ASN_NO_SIGNER_E:
    case ASN_SELF_SIGNED_E:
        snprintf(text, bytes,
                 "the %s's certificate %s is signed by nobody whom we trust; name the authority "
                 "that signed it, if you do",
                 whose(tls), name);
        return true;
    case DOMAIN_NAME_MISMATCH:
    case IPADDR_MISMATCH:
        snprintf(text, bytes,
                 "the server's certificate %s is not for `%s`; is it another server, or has it "
                 "another name?",
                 name, tls->host != NULL ? tls->host : "");
        return true;
    case NO_PEER_CERT:
        snprintf(text, bytes, "the client showed no certificate, and one is required");
        return true;
    case OCSP_CERT_REVOKED:
        snprintf(text, bytes, "the %s's certificate %s was revoked by its authority", whose(tls),
                 name);
        return true;
    case OCSP_INVALID_STATUS:
    case OCSP_LOOKUP_FAIL:
    case OCSP_CERT_UNKNOWN:
    case BAD_CERTIFICATE_STATUS_ERROR:
        snprintf(text, bytes,
                 "the OCSP response that was stapled to the %s's certificate %s does not hold; it "
                 "is past its time, or somebody else's",
                 whose(tls), name);
        return true;
    case ASN_SIG_CONFIRM_E:
        snprintf(text, bytes, "the signature of the %s's certificate %s is wrong", whose(tls),
                 name);
        return true;
    default:
        return false;
    }
}

const char *gy_tls_failure(struct gy_stream *stream, char *text, size_t text_bytes)
{
    const struct gy_tls *tls = (const struct gy_tls *)stream->layer;
    gy_assert(text_bytes > 0);
    text[0] = '\0';
    return tls != NULL ? gy_tls_explain(tls, text, text_bytes) : text;
}

const char *gy_tls_explain(const struct gy_tls *tls, char *text, size_t text_bytes)
{
    text[0] = '\0';
    if (!tls->layer.failed) {
        return text;
    }
    if (tls->alert_received) {
        snprintf(text, text_bytes, "the %s refused: alert %u, %s", whose(tls), tls->alert,
                 wolfSSL_alert_desc_string_long(tls->alert));
        return text;
    }
    if (tls->replayed) {
        snprintf(text, text_bytes, "what the client sent early was sent by somebody else too");
        return text;
    }
    int error = tls->verify_error != 0 ? tls->verify_error : tls->error;
    if (explain_certificate(tls, error, text, text_bytes) ||
        explain_certificate(tls, tls->error, text, text_bytes)) {
        return text;
    }
    bool strange = tls->error == LENGTH_ERROR || tls->error == UNKNOWN_RECORD_TYPE;
    switch (strange && !tls->layer.established ? VERSION_ERROR : tls->error) {
    case VERSION_ERROR:
    case UNSUPPORTED_PROTO_VERSION:
        if (tls->plain == NULL) {
            snprintf(text, text_bytes, "the %s speaks no TLS from 1.2 on, or none at all",
                     whose(tls));
        } else {
            snprintf(text, text_bytes,
                     "the server speaks no TLS at this port%s%s%s; go there without TLS, or find "
                     "the port that has it",
                     tls->plain[0] != '\0' ? ": it said \"" : "", tls->plain,
                     tls->plain[0] != '\0' ? "\"" : "");
        }
        break;
    case SIDE_ERROR:
        snprintf(text, text_bytes, "the %s sent what only a %s sends: is it one that echoes?",
                 whose(tls), tls->worker->config->server ? "server" : "client");
        break;
    case MATCH_SUITE_ERROR:
        snprintf(text, text_bytes, "the %s has no cipher or group in common with us", whose(tls));
        break;
    case UNKNOWN_ALPN_PROTOCOL_NAME_E:
        snprintf(text, text_bytes, "the %s speaks none of our application protocols", whose(tls));
        break;
    default: {
        char reason[WOLFSSL_MAX_ERROR_SZ];
        wolfSSL_ERR_error_string_n((unsigned long)-tls->error, reason, sizeof reason);
        snprintf(text, text_bytes, "TLS failed: %s (%d)", reason, tls->error);
        break;
    }
    }
    return text;
}
