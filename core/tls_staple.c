/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What authorities said about certificates: OCSP responses from files, shown to clients that ask
 * (RFC 6066 §8, RFC 8446 §4.4.2.1). */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/cursor.h"
#include "core/log.h"
#include "core/stream.h"
#include "core/tls_internal.h"

#include <wolfssl/wolfcrypt/memory.h>

/* ---- reading (RFC 6960 §4.2.1, in DER) ---- */

enum {
    DER_INTEGER = 0x02,
    DER_OCTETS = 0x04,
    DER_ENUMERATED = 0x0a,
    DER_SEQUENCE = 0x30,
    DER_TIME = 0x18, /* GeneralizedTime */
};

#define DER_CONTEXT(number) (0xa0 + (number))

/* The next element: what is in it, and its tag, if that is `tag`. Otherwise the reader fails. */
static struct gy_reader der_take(struct gy_reader *from, uint8_t tag)
{
    uint8_t is = gy_reader_u8(from);
    size_t bytes = gy_reader_u8(from);
    if (bytes == 0x81) {
        bytes = gy_reader_u8(from);
    } else if (bytes == 0x82) {
        bytes = gy_reader_u16(from);
    } else if (bytes > 0x7f) {
        from->failed = true; /* longer than any that is taken */
    }
    const uint8_t *content = gy_reader_bytes(from, bytes);
    from->failed = from->failed || is != tag;
    struct gy_reader inside = gy_reader_on(from->failed ? NULL : content, from->failed ? 0 : bytes);
    inside.failed = from->failed;
    return inside;
}

static bool der_is(const struct gy_reader *from, uint8_t tag)
{
    return !from->failed && gy_reader_left(from) > 0 && from->at[0] == tag;
}

/* YYYYMMDDHHMMSSZ (RFC 5280 §4.1.2.5.2). -1: it is none. */
static int64_t der_time(struct gy_reader *from)
{
    struct gy_reader inside = der_take(from, DER_TIME);
    char text[16] = {0};
    struct tm when = {0};
    if (gy_reader_left(&inside) != 15) {
        from->failed = true;
        return -1;
    }
    memcpy(text, gy_reader_bytes(&inside, 15), 15);
    const char *end = strptime(text, "%Y%m%d%H%M%SZ", &when);
    if (end == NULL || *end != '\0') {
        from->failed = true;
        return -1;
    }
    return timegm(&when);
}

static void read_serial(struct gy_reader *id, struct gy_tls_staple_facts *facts)
{
    der_take(id, DER_SEQUENCE); /* the digest's algorithm */
    der_take(id, DER_OCTETS);   /* of the issuer's name */
    der_take(id, DER_OCTETS);   /* of the issuer's key */
    struct gy_reader serial = der_take(id, DER_INTEGER);
    while (gy_reader_left(&serial) > 1 && serial.at[0] == 0) {
        gy_reader_u8(&serial);
    }
    facts->serial = serial.at;
    facts->serial_bytes = gy_reader_left(&serial);
}

/* SingleResponse. */
static bool read_single(struct gy_reader *single, struct gy_tls_staple_facts *facts)
{
    struct gy_reader id = der_take(single, DER_SEQUENCE);
    read_serial(&id, facts);
    if (der_is(single, 0x80)) {
        der_take(single, 0x80);
        facts->status = GY_TLS_STAPLE_GOOD;
    } else if (der_is(single, DER_CONTEXT(1))) {
        der_take(single, DER_CONTEXT(1));
        facts->status = GY_TLS_STAPLE_REVOKED;
    } else {
        der_take(single, 0x82);
        facts->status = GY_TLS_STAPLE_UNKNOWN;
    }
    facts->from_s = der_time(single);
    facts->until_s = 0;
    if (der_is(single, DER_CONTEXT(0))) {
        struct gy_reader next = der_take(single, DER_CONTEXT(0));
        facts->until_s = der_time(&next);
        single->failed = single->failed || next.failed;
    }
    return !id.failed && !single->failed && facts->serial_bytes > 0;
}

int gy_tls_staple_read(const uint8_t *response, size_t bytes, struct gy_tls_staple_facts *facts)
{
    struct gy_reader file = gy_reader_on(response, bytes);
    struct gy_reader whole = der_take(&file, DER_SEQUENCE);
    struct gy_reader status = der_take(&whole, DER_ENUMERATED);
    bool successful = gy_reader_u8(&status) == 0 && !status.failed;
    struct gy_reader explicit_bytes = der_take(&whole, DER_CONTEXT(0));
    struct gy_reader typed = der_take(&explicit_bytes, DER_SEQUENCE);
    der_take(&typed, 0x06); /* id-pkix-ocsp-basic: nobody uses another */
    struct gy_reader octets = der_take(&typed, DER_OCTETS);
    struct gy_reader basic = der_take(&octets, DER_SEQUENCE);
    struct gy_reader data = der_take(&basic, DER_SEQUENCE);
    if (der_is(&data, DER_CONTEXT(0))) {
        der_take(&data, DER_CONTEXT(0)); /* the version */
    }
    der_take(&data, der_is(&data, DER_CONTEXT(1)) ? DER_CONTEXT(1) : DER_CONTEXT(2)); /* by whom */
    der_time(&data);                                                                  /* when */
    struct gy_reader list = der_take(&data, DER_SEQUENCE);
    struct gy_reader single = der_take(&list, DER_SEQUENCE);
    bool rest = gy_reader_left(&file) > 0;
    return successful && !rest && read_single(&single, facts) ? 0 : GY_EINVAL;
}

/* ---- opening ---- */

/* The number of the certificate of an identity. False: it cannot be had. */
static bool serial_of(const struct gy_tls_identity *identity, uint8_t *serial, int *bytes)
{
    WOLFSSL_X509 *certificate = wolfSSL_X509_load_certificate_buffer(
        (const unsigned char *)identity->chain, (int)identity->chain_bytes, WOLFSSL_FILETYPE_PEM);
    if (certificate == NULL) {
        return false;
    }
    bool got = wolfSSL_X509_get_serial_number(certificate, serial, bytes) == WOLFSSL_SUCCESS;
    wolfSSL_X509_free(certificate);
    while (got && *bytes > 1 && serial[0] == 0) {
        memmove(serial, serial + 1, (size_t)-- * bytes);
    }
    return got;
}

static bool is_for(const struct gy_tls_identity *identity, const struct gy_tls_staple_facts *facts)
{
    uint8_t serial[64];
    int bytes = sizeof serial;
    return serial_of(identity, serial, &bytes) && (size_t)bytes == facts->serial_bytes &&
           memcmp(serial, facts->serial, facts->serial_bytes) == 0;
}

/* What cannot be shown is no reason not to serve: a certificate may be renewed before the response
 * for it is. What is no response at all is a mistake. */
static int open_staple(struct gy_tls_config *config, const struct gy_tls_staple *staple,
                       struct gy_error *error)
{
    struct gy_tls_staple_facts facts;
    if (staple->response_bytes > GY_TLS_STAPLE_BYTES_MAX ||
        gy_tls_staple_read(staple->response, staple->response_bytes, &facts) != 0) {
        return gy_error_set(error, GY_EINVAL,
                            "reading the response to staple in %s: not a successful OCSP response "
                            "in DER of at most %d bytes",
                            staple->label, GY_TLS_STAPLE_BYTES_MAX);
    }
    if (facts.status != GY_TLS_STAPLE_GOOD) {
        gy_log(GY_LOG_WARN, "tls", "%s says that its certificate %s; it is not shown",
               staple->label,
               facts.status == GY_TLS_STAPLE_REVOKED ? "was revoked"
                                                     : "is not known to its authority");
        return 0;
    }
    for (uint32_t i = 0; i < config->identity_count; i++) {
        struct gy_tls_identity *identity = &config->identities[i];
        if (identity->staple != NULL || !is_for(identity, &facts)) {
            continue;
        }
        identity->staple = malloc(staple->response_bytes);
        if (identity->staple == NULL) {
            return gy_error_set(error, GY_ENOMEM, "preparing TLS: out of memory");
        }
        memcpy(identity->staple, staple->response, staple->response_bytes);
        identity->staple_bytes = staple->response_bytes;
        identity->staple_until = facts.until_s;
        return 0;
    }
    gy_log(GY_LOG_WARN, "tls",
           "%s is for none of the certificates that are served, or for one that has a response "
           "already, and is not shown; was the certificate renewed since? fetch another one",
           staple->label);
    return 0;
}

int gy_tls_staples_open(struct gy_tls_config *config, const struct gy_tls_options *options,
                        struct gy_error *error)
{
    int code = 0;
    for (uint32_t i = 0; i < options->staple_count && code == 0; i++) {
        code = open_staple(config, &options->staples[i], error);
    }
    return code;
}

/* ---- showing ---- */

/* Says once on each worker that a response is past its time: from then on it is not shown. */
static bool is_late(struct gy_tls_worker *worker, const struct gy_tls_identity *identity)
{
    if (identity->staple_until == 0 || time(NULL) < identity->staple_until) {
        return false;
    }
    if (!worker->staple_said) {
        worker->staple_said = true;
        gy_log(GY_LOG_WARN, "tls",
               "the OCSP response for certificate %s is past its time and is not shown any more; "
               "fetch another one and send SIGHUP",
               identity->label);
    }
    return true;
}

int gy_tls_staple_callback(WOLFSSL *ssl, void *context)
{
    struct gy_tls_worker *worker = context;
    const struct gy_tls *tls = gy_tls_of(ssl);
    const struct gy_tls_config *config = worker->config;
    gy_assert(tls->identity < config->identity_count);
    const struct gy_tls_identity *identity = &config->identities[tls->identity];
    if (identity->staple == NULL || is_late(worker, identity)) {
        return WOLFSSL_OCSP_STATUS_CB_NOACK;
    }
    unsigned char *copy = XMALLOC(identity->staple_bytes, NULL, DYNAMIC_TYPE_TMP_BUFFER);
    if (copy == NULL) {
        return WOLFSSL_OCSP_STATUS_CB_NOACK;
    }
    memcpy(copy, identity->staple, identity->staple_bytes);
    if (wolfSSL_set_tlsext_status_ocsp_resp(ssl, copy, (int)identity->staple_bytes) !=
        WOLFSSL_SUCCESS) {
        XFREE(copy, NULL, DYNAMIC_TYPE_TMP_BUFFER);
        return WOLFSSL_OCSP_STATUS_CB_NOACK;
    }
    return WOLFSSL_OCSP_STATUS_CB_OK;
}
