/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/cert/make.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>

#define DER_BYTES   4096
#define DAY_SECONDS 86400

/* What making one certificate needs. */
struct work {
    WC_RNG random;
    ecc_key key;    /* the subject's */
    ecc_key signer; /* the authority's; the subject's own for an authority */
    Cert cert;
    byte der[DER_BYTES];
};

static int failed(struct gy_error *error, const char *doing, int code)
{
    return gy_error_set(error, GY_EIO, "making a certificate: %s: %s", doing,
                        wc_GetErrorString(code));
}

/* ---- the names it is for ---- */

/* One GeneralName (RFC 5280 §4.2.1.6): a host, or the bytes of an address. */
static size_t put_name(uint8_t *target, const char *name)
{
    uint8_t address[16];
    size_t length = strlen(name);
    const void *value = name;
    target[0] = 0x82; /* dNSName */
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1) {
        target[0] = 0x87; /* iPAddress */
        length = strchr(name, ':') != NULL ? 16 : 4;
        value = address;
    }
    target[1] = (uint8_t)length;
    memcpy(target + 2, value, length);
    return length + 2;
}

/* A SEQUENCE of them. */
static int put_names(Cert *cert, const struct gy_cert_request *request, struct gy_error *error)
{
    uint8_t body[CTC_MAX_ALT_SIZE] = {0};
    size_t length = 0;
    for (uint32_t i = 0; i < request->name_count; i++) {
        size_t bytes = strlen(request->names[i]);
        if (bytes == 0 || bytes > 120 || length + bytes + 2 > sizeof body - 8) {
            return gy_error_set(error, GY_EINVAL,
                                "making a certificate: `%s`: a name has 1 to 120 bytes, and all "
                                "together fit %d",
                                request->names[i], CTC_MAX_ALT_SIZE);
        }
        length += put_name(body + length, request->names[i]);
    }
    size_t at = 0;
    cert->altNames[at++] = 0x30;
    if (length >= 256) {
        cert->altNames[at++] = 0x82;
        cert->altNames[at++] = (byte)(length >> 8);
    } else if (length >= 128) {
        cert->altNames[at++] = 0x81;
    }
    cert->altNames[at++] = (byte)length;
    memcpy(cert->altNames + at, body, length);
    cert->altNamesSz = (int)(at + length);
    return 0;
}

/* ---- when it is valid ---- */

/* A GeneralizedTime, with its tag and length (RFC 5280 §4.1.2.5.2). */
static int put_date(byte *target, time_t when)
{
    struct tm utc;
    gmtime_r(&when, &utc);
    target[0] = 0x18;
    target[1] = 15;
    strftime((char *)target + 2, CTC_DATE_SIZE - 2, "%Y%m%d%H%M%SZ", &utc);
    return 17;
}

static void put_dates(Cert *cert, const struct gy_cert_request *request)
{
    time_t begin = time(NULL) + (time_t)request->begins_days * DAY_SECONDS;
    cert->beforeDateSz = put_date(cert->beforeDate, begin - 3600);
    cert->afterDateSz = put_date(cert->afterDate, begin + (time_t)request->days * DAY_SECONDS);
}

/* ---- making one ---- */

static int write_pem(const byte *der, int der_bytes, int type, char *target, struct gy_error *error)
{
    int bytes = wc_DerToPem(der, (word32)der_bytes, (byte *)target, GY_CERT_PEM_BYTES - 1, type);
    if (bytes <= 0) {
        return failed(error, "writing PEM", bytes);
    }
    target[bytes] = '\0';
    return 0;
}

static int make_key(struct work *work, char *pem, struct gy_error *error)
{
    int code = wc_ecc_make_key_ex(&work->random, 32, &work->key, ECC_SECP256R1);
    if (code != 0) {
        return failed(error, "making a key", code);
    }
    int bytes = wc_EccKeyToDer(&work->key, work->der, sizeof work->der);
    if (bytes <= 0) {
        return failed(error, "writing the key", bytes);
    }
    return write_pem(work->der, bytes, ECC_PRIVATEKEY_TYPE, pem, error);
}

static int describe(struct work *work, const struct gy_cert_request *request, bool authority,
                    struct gy_error *error)
{
    Cert *cert = &work->cert;
    int code = wc_InitCert_ex(cert, NULL, INVALID_DEVID);
    if (code != 0) {
        return failed(error, "preparing", code);
    }
    if (request->name_count == 0 || request->name_count > GY_CERT_NAMES_MAX ||
        strlen(request->names[0]) >= CTC_NAME_SIZE) {
        return gy_error_set(error, GY_EINVAL,
                            "making a certificate: it is for 1 to %d names, the first one shorter "
                            "than %d bytes",
                            GY_CERT_NAMES_MAX, CTC_NAME_SIZE);
    }
    cert->sigType = CTC_SHA256wECDSA;
    cert->isCA = authority;
    put_dates(cert, request);
    snprintf(cert->subject.commonName, sizeof cert->subject.commonName, "%s", request->names[0]);
    snprintf(cert->subject.org, sizeof cert->subject.org, "Gyre development");
    code = wc_SetSubjectKeyIdFromPublicKey_ex(cert, ECC_TYPE, &work->key);
    if (code == 0) {
        code = wc_SetKeyUsage(cert, authority ? "keyCertSign,cRLSign" : "digitalSignature");
    }
    if (code == 0 && !authority) {
        code = wc_SetExtKeyUsage(cert, request->client ? "clientAuth" : "serverAuth");
    }
    if (code != 0) {
        return failed(error, "describing it", code);
    }
    return authority || request->client ? 0 : put_names(cert, request, error);
}

/* Signs with work->signer and writes the certificate. */
static int sign(struct work *work, char *pem, struct gy_error *error)
{
    int bytes = wc_MakeCert_ex(&work->cert, work->der, sizeof work->der, ECC_TYPE, &work->key,
                               &work->random);
    if (bytes > 0) {
        bytes = wc_SignCert_ex(work->cert.bodySz, work->cert.sigType, work->der, sizeof work->der,
                               ECC_TYPE, &work->signer, &work->random);
    }
    if (bytes <= 0) {
        return failed(error, "signing", bytes);
    }
    return write_pem(work->der, bytes, CERT_TYPE, pem, error);
}

/* The authority's key and name into `work`. */
static int read_authority(struct work *work, const struct gy_cert_pair *authority,
                          struct gy_error *error)
{
    word32 at = 0;
    int bytes = wc_KeyPemToDer((const byte *)authority->key, (int)strlen(authority->key), work->der,
                               sizeof work->der, NULL);
    int code =
        bytes > 0 ? wc_EccPrivateKeyDecode(work->der, &at, &work->signer, (word32)bytes) : bytes;
    if (code != 0) {
        return gy_error_set(error, GY_EINVAL,
                            "making a certificate: the authority's key cannot be read: %s",
                            wc_GetErrorString(code));
    }
    bytes =
        wc_CertPemToDer((const byte *)authority->certificate, (int)strlen(authority->certificate),
                        work->der, sizeof work->der, CERT_TYPE);
    code = bytes > 0 ? wc_SetIssuerBuffer(&work->cert, work->der, bytes) : bytes;
    if (code == 0) {
        code = wc_SetAuthKeyIdFromCert(&work->cert, work->der, bytes);
    }
    if (code != 0) {
        return gy_error_set(error, GY_EINVAL,
                            "making a certificate: the authority's certificate cannot be read: %s",
                            wc_GetErrorString(code));
    }
    return 0;
}

static int make(struct gy_cert_pair *pair, const struct gy_cert_request *request,
                const struct gy_cert_pair *authority, struct gy_error *error)
{
    struct work *work = calloc(1, sizeof *work);
    if (work == NULL) {
        return gy_error_set(error, GY_ENOMEM, "making a certificate: out of memory");
    }
    int code = wc_InitRng(&work->random);
    if (code != 0) {
        free(work);
        return failed(error, "no randomness", code);
    }
    wc_ecc_init(&work->key);
    wc_ecc_init(&work->signer);
    code = make_key(work, pair->key, error);
    code = code != 0 ? code : describe(work, request, authority == NULL, error);
    if (code == 0 && authority != NULL) {
        code = read_authority(work, authority, error);
    } else if (code == 0) {
        word32 at = 0;
        int bytes = wc_EccKeyToDer(&work->key, work->der, sizeof work->der);
        work->cert.selfSigned = 1;
        code = wc_EccPrivateKeyDecode(work->der, &at, &work->signer, (word32)bytes);
        code = code != 0 ? failed(error, "signing itself", code) : 0;
    }
    code = code != 0 ? code : sign(work, pair->certificate, error);
    wc_ecc_free(&work->key);
    wc_ecc_free(&work->signer);
    wc_FreeRng(&work->random);
    explicit_bzero(work, sizeof *work);
    free(work);
    return code;
}

int gy_cert_make_authority(struct gy_cert_pair *authority, const struct gy_cert_request *request,
                           struct gy_error *error)
{
    return make(authority, request, NULL, error);
}

int gy_cert_make(struct gy_cert_pair *pair, const struct gy_cert_request *request,
                 const struct gy_cert_pair *authority, struct gy_error *error)
{
    return make(pair, request, authority, error);
}
