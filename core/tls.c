/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The configuration: what is read from certificates and keys once, for all workers. */

#include "core/tls.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/tls_internal.h"

#include <wolfssl/error-ssl.h>

#define NAMES_MAX             1024
#define AUTHORITIES_BYTES_MAX (16u << 20)

static void *copy_of(const void *data, size_t bytes)
{
    char *copy = malloc(bytes + 1);
    if (copy != NULL) {
        memcpy(copy, data, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

/* ---- contexts ---- */

/* Forward secrecy and AEAD only (RFC 9325 §4.2); AES-128 before AES-256, as everybody else has it.
 */
static const char ciphers[] = "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:"
                              "TLS13-CHACHA20-POLY1305-SHA256:"
                              "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                              "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                              "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/* By their numbers in the registry, the best first. */
static const int groups[] = {
    WOLFSSL_ECC_X25519,
    WOLFSSL_ECC_SECP256R1,
#ifdef WOLFSSL_HAVE_MLKEM
    WOLFSSL_X25519MLKEM768,
#endif
    WOLFSSL_ECC_SECP384R1,
};
#define GROUP_COUNT (sizeof groups / sizeof groups[0])

static int set_groups(WOLFSSL_CTX *context)
{
    int wanted[GROUP_COUNT];
    memcpy(wanted, groups, sizeof wanted);
    return wolfSSL_CTX_set_groups(context, wanted, (int)GROUP_COUNT);
}

bool gy_tls_group_is_ours(uint16_t group)
{
    for (size_t i = 0; i < GROUP_COUNT; i++) {
        if (groups[i] == group) {
            return true;
        }
    }
    return false;
}

static int reason_of(int code, const char *what, const char *label, struct gy_error *error)
{
    char text[WOLFSSL_MAX_ERROR_SZ];
    wolfSSL_ERR_error_string_n((unsigned long)(code < 0 ? -code : code), text, sizeof text);
    return gy_error_set(error, GY_EINVAL, "%s %s: %s", what, label,
                        code == WOLFSSL_FAILURE ? "not what TLS can use" : text);
}

static int load_identity(WOLFSSL_CTX *context, const struct gy_tls_identity *identity,
                         struct gy_error *error)
{
    int code = wolfSSL_CTX_use_certificate_chain_buffer(
        context, (const unsigned char *)identity->chain, (long)identity->chain_bytes);
    if (code != WOLFSSL_SUCCESS) {
        return gy_error_set(error, GY_EINVAL,
                            "reading certificate %s: there is none in it in PEM that is whole, or "
                            "it is of a kind that TLS cannot use; is the file cut short?",
                            identity->label);
    }
    code = wolfSSL_CTX_use_PrivateKey_buffer(context, (const unsigned char *)identity->key,
                                             (long)identity->key_bytes, WOLFSSL_FILETYPE_PEM);
    if (code != WOLFSSL_SUCCESS) {
        return gy_error_set(error, GY_EINVAL,
                            "reading the key for certificate %s: not a private key in PEM that TLS "
                            "can use; one with a pass-phrase must be decrypted first",
                            identity->label);
    }
    if (wolfSSL_CTX_check_private_key(context) != WOLFSSL_SUCCESS) {
        return gy_error_set(error, GY_EINVAL,
                            "certificate %s and its key do not belong together; is the key of an "
                            "older certificate, or the chain in the wrong order (the server's own "
                            "comes first)?",
                            identity->label);
    }
    return 0;
}

static int load_authorities(WOLFSSL_CTX *context, const struct gy_tls_config *config,
                            struct gy_error *error)
{
    if (config->authorities == NULL) {
        return 0;
    }
    int code = wolfSSL_CTX_load_verify_buffer_ex(
        context, (const unsigned char *)config->authorities, (long)config->authorities_bytes,
        WOLFSSL_FILETYPE_PEM, 0, WOLFSSL_LOAD_FLAG_IGNORE_ERR | WOLFSSL_LOAD_FLAG_DATE_ERR_OKAY);
    return code == WOLFSSL_SUCCESS
               ? 0
               : reason_of(code, "reading the authorities in", config->authorities_label, error);
}

static int verify_mode(const struct gy_tls_config *config)
{
    switch (config->verify) {
    case GY_TLS_VERIFY_REQUIRED:
        return WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    case GY_TLS_VERIFY_OPTIONAL:
        return WOLFSSL_VERIFY_PEER;
    case GY_TLS_VERIFY_NONE:
        break;
    }
    return WOLFSSL_VERIFY_NONE;
}

WOLFSSL_CTX *gy_tls_context_make(const struct gy_tls_config *config, uint32_t identity,
                                 struct gy_error *error)
{
    WOLFSSL_CTX *context = wolfSSL_CTX_new_ex(
        config->server ? wolfTLS_server_method_ex(NULL) : wolfTLS_client_method_ex(NULL), NULL);
    if (context == NULL) {
        gy_error_set(error, GY_ENOMEM, "preparing TLS: out of memory");
        return NULL;
    }
    wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF);
    wolfSSL_CTX_set_verify(context, verify_mode(config), gy_tls_verify_callback);
    int code = 0;
    if (wolfSSL_CTX_SetMinVersion(context, WOLFSSL_TLSV1_2) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_set_cipher_list(context, ciphers) != WOLFSSL_SUCCESS ||
        set_groups(context) != WOLFSSL_SUCCESS) {
        code = gy_error_set(error, GY_ENOTSUP,
                            "preparing TLS: this wolfSSL lacks ciphers or groups that are needed; "
                            "build it as ci/setup does");
    }
    if (code == 0 && identity != GY_TLS_NO_IDENTITY) {
        code = load_identity(context, &config->identities[identity], error);
    }
    if (code == 0 && config->verify != GY_TLS_VERIFY_NONE) {
        code = load_authorities(context, config, error);
    }
    if (code != 0) {
        wolfSSL_CTX_free(context);
        return NULL;
    }
    return context;
}

/* ---- names ---- */

static bool is_host(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]) && strchr("-._", text[i]) == NULL) {
            return false;
        }
    }
    return length > 0 && length < GY_TLS_NAME_BYTES;
}

static void add_name(struct gy_tls_config *config, uint32_t identity, const char *host)
{
    bool wildcard = strncmp(host, "*.", 2) == 0;
    host += wildcard ? 2 : 0;
    size_t length = strlen(host);
    if (!is_host(host, length) || config->name_count == NAMES_MAX) {
        return; /* an address of mail, say */
    }
    struct gy_tls_name *name = &config->names[config->name_count++];
    for (size_t i = 0; i <= length; i++) {
        name->host[i] = (char)tolower((unsigned char)host[i]);
    }
    name->identity = identity;
    name->wildcard = wildcard;
}

const char *gy_tls_common_name(WOLFSSL_X509 *certificate, char name[GY_TLS_NAME_BYTES])
{
    WOLFSSL_X509_NAME *subject = wolfSSL_X509_get_subject_name(certificate);
    if (subject == NULL || wolfSSL_X509_NAME_get_text_by_NID(subject, WC_NID_commonName, name,
                                                             GY_TLS_NAME_BYTES) < 0) {
        name[0] = '\0';
    }
    return name;
}

/* A server that shows its authority's certificate is no use: whoever checks what a key may do (RFC
 * 5280 §4.2.1.3) refuses it. Those that people sign themselves are often both, and pass with many
 * clients. */
static int check_purpose(const struct gy_tls_identity *identity, WOLFSSL_X509 *certificate,
                         struct gy_error *error)
{
    if (wolfSSL_X509_get_isCA(certificate) == 0) {
        return 0;
    }
    unsigned usage = wolfSSL_X509_get_keyUsage(certificate);
    bool said = usage != 0 && usage != UINT_MAX;
    if (said && (usage & KEYUSE_KEY_CERT_SIGN) != 0 && (usage & KEYUSE_DIGITAL_SIG) == 0) {
        return gy_error_set(error, GY_EINVAL,
                            "certificate %.200s is an authority's: it is there to sign others, and "
                            "clients refuse a server that shows it; name the server's own "
                            "(`gyre cert` writes localhost.pem beside authority.pem)",
                            identity->label);
    }
    gy_log(GY_LOG_WARN, "tls",
           "certificate %s is an authority's as well (CA:TRUE), and some clients refuse a server "
           "that shows one; `gyre cert` makes one for the server alone",
           identity->label);
    return 0;
}

/* The names that the certificate is for (RFC 9525 §6.3: of its alternative names, not its common
 * name, unless it has none of the former). */
static int read_names(struct gy_tls_config *config, uint32_t identity, struct gy_error *error)
{
    const struct gy_tls_identity *from = &config->identities[identity];
    WOLFSSL_X509 *certificate = wolfSSL_X509_load_certificate_buffer(
        (const unsigned char *)from->chain, (int)from->chain_bytes, WOLFSSL_FILETYPE_PEM);
    if (certificate == NULL) {
        return gy_error_set(error, GY_EINVAL, "reading certificate %s: not a certificate in PEM",
                            from->label);
    }
    int code = config->server ? check_purpose(from, certificate, error) : 0;
    uint32_t before = config->name_count;
    for (const char *name; (name = wolfSSL_X509_get_next_altname(certificate)) != NULL;) {
        add_name(config, identity, name);
    }
    char common[GY_TLS_NAME_BYTES] = "";
    if (config->name_count == before) {
        add_name(config, identity, gy_tls_common_name(certificate, common));
    }
    wolfSSL_X509_free(certificate);
    return code;
}

static bool same_host(const char *name, const char *host, size_t length)
{
    return strlen(name) == length && strncasecmp(name, host, length) == 0;
}

uint32_t gy_tls_identity_for(const struct gy_tls_config *config, const char *host, size_t length)
{
    const char *dot = memchr(host, '.', length);
    size_t label = dot == NULL ? length : (size_t)(dot - host) + 1;
    uint32_t wild = GY_TLS_NO_IDENTITY;
    for (uint32_t i = 0; i < config->name_count; i++) {
        const struct gy_tls_name *name = &config->names[i];
        if (!name->wildcard && same_host(name->host, host, length)) {
            return name->identity;
        }
        if (name->wildcard && wild == GY_TLS_NO_IDENTITY && label > 1 &&
            same_host(name->host, host + label, length - label)) {
            wild = name->identity;
        }
    }
    return wild;
}

bool gy_tls_config_names(const struct gy_tls_config *config, const char *host)
{
    return gy_tls_identity_for(config, host, strlen(host)) != GY_TLS_NO_IDENTITY;
}

/* ---- opening ---- */

static int copy_identity(struct gy_tls_identity *identity, const struct gy_tls_certificate *from)
{
    *identity = (struct gy_tls_identity){
        .label = copy_of(from->label, strlen(from->label)),
        .chain = copy_of(from->chain, from->chain_bytes),
        .chain_bytes = from->chain_bytes,
        .key = copy_of(from->key, from->key_bytes),
        .key_bytes = from->key_bytes,
    };
    return identity->label == NULL || identity->chain == NULL || identity->key == NULL ? GY_ENOMEM
                                                                                       : 0;
}

static int read_system_authorities(struct gy_tls_config *config, struct gy_error *error)
{
    static const char *const files[] = {
        "/etc/ssl/certs/ca-certificates.crt", /* Debian, Arch */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora */
        "/etc/ssl/ca-bundle.pem",             /* openSUSE */
        "/etc/ssl/cert.pem",                  /* Alpine */
    };
    int descriptor = -1;
    for (size_t i = 0; i < sizeof files / sizeof files[0] && descriptor < 0; i++) {
        descriptor = open(files[i], O_RDONLY | O_CLOEXEC);
    }
    if (descriptor < 0) {
        return gy_error_set(error, GY_EINVAL,
                            "looking for the system's certificate authorities: there is no %s; "
                            "install ca-certificates, or say which authority to trust",
                            files[0]);
    }
    struct stat status;
    int code = 0;
    if (fstat(descriptor, &status) != 0 || status.st_size <= 0 ||
        status.st_size > AUTHORITIES_BYTES_MAX) {
        code = gy_error_set(error, GY_EINVAL, "the system's file of authorities is not usable");
    } else if ((config->authorities = malloc((size_t)status.st_size + 1)) == NULL) {
        code = gy_error_set(error, GY_ENOMEM, "reading the authorities: out of memory");
    } else {
        ssize_t got = read(descriptor, config->authorities, (size_t)status.st_size);
        config->authorities_bytes = got > 0 ? (size_t)got : 0;
        config->authorities[config->authorities_bytes] = '\0';
    }
    close(descriptor);
    return code;
}

static int copy_options(struct gy_tls_config *config, const struct gy_tls_options *options,
                        struct gy_error *error)
{
    config->identities = calloc(options->certificate_count + 1, sizeof *config->identities);
    config->names = calloc(NAMES_MAX, sizeof *config->names);
    if (config->identities == NULL || config->names == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing TLS: out of memory");
    }
    for (uint32_t i = 0; i < options->certificate_count; i++) {
        config->identity_count++;
        if (copy_identity(&config->identities[i], &options->certificates[i]) != 0) {
            return gy_error_set(error, GY_ENOMEM, "preparing TLS: out of memory");
        }
    }
    for (uint32_t i = 0; i < options->protocol_count; i++) {
        gy_assert(strlen(options->protocols[i]) < sizeof config->protocols[0]);
        snprintf(config->protocols[i], sizeof config->protocols[0], "%s", options->protocols[i]);
    }
    config->protocol_count = options->protocol_count;
    if (options->ticket_secret != NULL) {
        config->ticket_secret = *options->ticket_secret;
    } else if (gy_tls_secret_make(&config->ticket_secret, error) != 0) {
        return GY_EIO;
    }
    const char *label = options->authorities_label;
    label = label != NULL ? label : "the text given";
    config->authorities_label = copy_of(label, strlen(label));
    if (config->authorities_label == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing TLS: out of memory");
    }
    if (options->authorities != NULL) {
        config->authorities = copy_of(options->authorities, options->authorities_bytes);
        config->authorities_bytes = options->authorities_bytes;
        return config->authorities != NULL ? 0 : GY_ENOMEM;
    }
    bool needed = !options->server && options->verify != GY_TLS_VERIFY_NONE;
    return needed ? read_system_authorities(config, error) : 0;
}

/* Builds once what each worker will build, so that what is wrong is said now. */
static int try_contexts(struct gy_tls_config *config, struct gy_error *error)
{
    uint32_t count = config->identity_count > 0 ? config->identity_count : 1;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t identity = config->identity_count > 0 ? i : GY_TLS_NO_IDENTITY;
        WOLFSSL_CTX *context = gy_tls_context_make(config, identity, error);
        if (context == NULL) {
            return error != NULL ? error->code : GY_EINVAL;
        }
        wolfSSL_CTX_free(context);
        int code = identity == GY_TLS_NO_IDENTITY ? 0 : read_names(config, i, error);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

static int open_early(struct gy_tls_config *config, uint32_t bytes, struct gy_error *error)
{
    if (!config->server || config->no_tickets || bytes == 0) {
        return 0;
    }
    config->early_bytes = bytes;
    uint32_t maker;
    config->strikes = malloc(sizeof *config->strikes);
    if (config->strikes == NULL || gy_tls_random_block((byte *)&maker, sizeof maker) != 0 ||
        gy_tls_strikes_open(config->strikes, maker, time(NULL)) != 0) {
        return gy_error_set(error, GY_ENOMEM, "preparing TLS for early data: out of memory");
    }
    return 0;
}

int gy_tls_config_open(struct gy_tls_config **config, const struct gy_tls_options *options,
                       struct gy_error *error)
{
    gy_assert(options->certificate_count <= GY_TLS_CERTIFICATES_MAX);
    gy_assert(options->protocol_count <= GY_TLS_PROTOCOLS_MAX);
    gy_assert(!options->server || options->certificate_count > 0);
    int code = gy_tls_init(error);
    if (code != 0) {
        return code;
    }
    struct gy_tls_config *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing TLS: out of memory");
    }
    made->server = options->server;
    made->verify = options->verify;
    made->no_tickets = options->no_tickets;
    made->resume = options->resume && !options->server;
    made->memory_bytes = options->memory_bytes;
    made->status = options->status;
    struct gy_tls_memory *before = gy_tls_memory_use(NULL);
    code = copy_options(made, options, error);
    code = code != 0 ? code : try_contexts(made, error);
    code = code != 0 ? code : gy_tls_staples_open(made, options, error);
    code = code != 0 ? code : open_early(made, options->early_bytes, error);
    gy_tls_memory_use(before);
    if (code != 0) {
        gy_tls_config_close(made);
        return code;
    }
    *config = made;
    return 0;
}

void gy_tls_config_close(struct gy_tls_config *config)
{
    if (config == NULL) {
        return;
    }
    for (uint32_t i = 0; i < config->identity_count; i++) {
        struct gy_tls_identity *identity = &config->identities[i];
        if (identity->key != NULL) {
            explicit_bzero(identity->key, identity->key_bytes);
        }
        free(identity->label);
        free(identity->chain);
        free(identity->key);
        free(identity->staple);
    }
    if (config->strikes != NULL) {
        gy_tls_strikes_close(config->strikes);
        free(config->strikes);
    }
    free(config->identities);
    free(config->names);
    free(config->authorities);
    free(config->authorities_label);
    explicit_bzero(config, sizeof *config);
    free(config);
}
