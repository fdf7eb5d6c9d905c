/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/tls_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/file_check.h"

#define FILE_BYTES_MAX (4u << 20)

struct text {
    char *data;
    size_t bytes;
};

static int read_text(struct text *text, const char *path, const char *what, struct gy_error *error)
{
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0 || fstat(descriptor, &status) != 0) {
        int errno_value = errno;
        gy_descriptor_close(descriptor);
        char why[GY_FILE_WHY_BYTES];
        return gy_error_set(error, gy_error_from_errno(errno_value), "reading the %s %.200s: %s%s",
                            what, path, gy_file_why(why, path, R_OK, errno_value),
                            errno_value == ENOENT && what[0] != 'O'
                                ? "; `gyre cert` makes one for development"
                                : "");
    }
    int code = 0;
    if (!S_ISREG(status.st_mode) || status.st_size == 0 || status.st_size > FILE_BYTES_MAX) {
        code = gy_error_set(error, GY_EINVAL, "reading the %s %s: not a file of 1 to %u bytes",
                            what, path, FILE_BYTES_MAX);
    } else if ((text->data = malloc((size_t)status.st_size + 1)) == NULL) {
        code = gy_error_set(error, GY_ENOMEM, "reading the %s %s: out of memory", what, path);
    } else {
        ssize_t got = read(descriptor, text->data, (size_t)status.st_size);
        text->bytes = got > 0 ? (size_t)got : 0;
        text->data[text->bytes] = '\0';
    }
    close(descriptor);
    return code;
}

static void drop_text(struct text *text)
{
    if (text->data != NULL) {
        explicit_bzero(text->data, text->bytes);
    }
    free(text->data);
    *text = (struct text){0};
}

int gy_tls_files_add(struct gy_tls_files *files, const char *certificate, const char *key,
                     struct gy_error *error)
{
    if (files->pair_count == GY_TLS_CERTIFICATES_MAX) {
        return gy_error_set(error, GY_ELIMIT, "certificate %s: at most %d of them", certificate,
                            GY_TLS_CERTIFICATES_MAX);
    }
    struct gy_tls_files_pair *pair = &files->pairs[files->pair_count];
    pair->certificate = strdup(certificate);
    pair->key = key != NULL ? strdup(key) : NULL;
    files->pair_count++;
    if (pair->certificate == NULL || (key != NULL && pair->key == NULL)) {
        return gy_error_set(error, GY_ENOMEM, "certificate %s: out of memory", certificate);
    }
    return 0;
}

int gy_tls_files_add_flag(struct gy_tls_files *files, const char *value, struct gy_error *error)
{
    const char *comma = strchr(value, ',');
    if (comma == NULL) {
        return gy_tls_files_add(files, value, NULL, error);
    }
    char *certificate = strndup(value, (size_t)(comma - value));
    int code = certificate == NULL ? gy_error_set(error, GY_ENOMEM, "out of memory")
                                   : gy_tls_files_add(files, certificate, comma + 1, error);
    free(certificate);
    return code;
}

int gy_tls_files_add_staple(struct gy_tls_files *files, const char *path, struct gy_error *error)
{
    if (files->staple_count == GY_TLS_CERTIFICATES_MAX) {
        return gy_error_set(error, GY_ELIMIT, "OCSP response %s: at most %d of them", path,
                            GY_TLS_CERTIFICATES_MAX);
    }
    char *copy = strdup(path);
    if (copy == NULL) {
        return gy_error_set(error, GY_ENOMEM, "OCSP response %s: out of memory", path);
    }
    files->staples[files->staple_count++] = copy;
    return 0;
}

/* The file beside the certificate, with another ending. NULL: out of memory. */
static char *beside(const struct gy_tls_files_pair *pair, const char *ending)
{
    size_t length = strlen(pair->certificate);
    size_t stem =
        length > 4 && strcmp(pair->certificate + length - 4, ".pem") == 0 ? length - 4 : length;
    char *path = NULL;
    return asprintf(&path, "%.*s%s", (int)stem, pair->certificate, ending) < 0 ? NULL : path;
}

/* Where the key is when nobody said: beside the certificate, or with it. */
static char *default_key(const struct gy_tls_files_pair *pair)
{
    char *path = beside(pair, ".key");
    if (path != NULL && access(path, F_OK) != 0) {
        free(path);
        path = strdup(pair->certificate);
    }
    return path;
}

static int read_pair(struct text *chain, struct text *key, const struct gy_tls_files_pair *pair,
                     struct gy_error *error)
{
    int code = read_text(chain, pair->certificate, "certificate", error);
    if (code != 0) {
        return code;
    }
    if (chain->data == NULL || strstr(chain->data, "-----BEGIN ") == NULL) {
        return gy_error_set(error, GY_EINVAL,
                            "reading certificate %s: there is nothing in PEM in it; is it the "
                            "right file?",
                            pair->certificate);
    }
    char *path = pair->key != NULL ? strdup(pair->key) : default_key(pair);
    if (path == NULL) {
        return gy_error_set(error, GY_ENOMEM, "certificate %s: out of memory", pair->certificate);
    }
    code = read_text(key, path, "key", error);
    if (code == 0 && (key->data == NULL || strstr(key->data, "PRIVATE KEY-----") == NULL)) {
        code = gy_error_set(error, GY_EINVAL,
                            "%s holds no private key for certificate %s; name the key's file "
                            "behind the certificate's: FILE,KEY as a flag, FILE KEY in a file",
                            path, pair->certificate);
    }
    free(path);
    return code;
}

/* What is read of all of them. */
struct reading {
    struct gy_tls_certificate certificates[GY_TLS_CERTIFICATES_MAX];
    struct text chains[GY_TLS_CERTIFICATES_MAX];
    struct text keys[GY_TLS_CERTIFICATES_MAX];
    struct text authorities;
    struct gy_tls_staple staples[2 * GY_TLS_CERTIFICATES_MAX];
    struct text responses[2 * GY_TLS_CERTIFICATES_MAX];
    char *found[GY_TLS_CERTIFICATES_MAX]; /* responses that nobody named */
    uint32_t found_count;
    uint32_t staple_count;
};

static int read_staple(struct reading *reading, const char *path, struct gy_error *error)
{
    uint32_t i = reading->staple_count++;
    int code = read_text(&reading->responses[i], path, "OCSP response", error);
    reading->staples[i] = (struct gy_tls_staple){path, (const uint8_t *)reading->responses[i].data,
                                                 reading->responses[i].bytes};
    return code;
}

/* Those that were named, and those that lie beside their certificates. */
static int read_staples(struct reading *reading, const struct gy_tls_files *files,
                        struct gy_error *error)
{
    int code = 0;
    for (uint32_t i = 0; i < files->staple_count && code == 0; i++) {
        code = read_staple(reading, files->staples[i], error);
    }
    bool look = files->server && files->staple_count == 0;
    for (uint32_t i = 0; look && i < files->pair_count && code == 0; i++) {
        char *path = beside(&files->pairs[i], ".ocsp");
        if (path == NULL) {
            return gy_error_set(error, GY_ENOMEM, "reading OCSP responses: out of memory");
        }
        reading->found[reading->found_count++] = path;
        if (access(path, F_OK) == 0) {
            code = read_staple(reading, path, error);
        }
    }
    return code;
}

static int read_all(struct reading *reading, const struct gy_tls_files *files,
                    struct gy_error *error)
{
    int code = 0;
    for (uint32_t i = 0; i < files->pair_count && code == 0; i++) {
        struct text *chain = &reading->chains[i];
        struct text *key = &reading->keys[i];
        code = read_pair(chain, key, &files->pairs[i], error);
        reading->certificates[i] = (struct gy_tls_certificate){
            files->pairs[i].certificate, chain->data, chain->bytes, key->data, key->bytes};
    }
    code = code == 0 ? read_staples(reading, files, error) : code;
    if (code == 0 && files->authorities != NULL) {
        code = read_text(&reading->authorities, files->authorities, "authorities", error);
    }
    return code;
}

static void drop_reading(struct reading *reading)
{
    for (uint32_t i = 0; i < GY_TLS_CERTIFICATES_MAX; i++) {
        drop_text(&reading->chains[i]);
        drop_text(&reading->keys[i]);
    }
    for (uint32_t i = 0; i < reading->staple_count; i++) {
        drop_text(&reading->responses[i]);
    }
    for (uint32_t i = 0; i < reading->found_count; i++) {
        free(reading->found[i]);
    }
    drop_text(&reading->authorities);
    free(reading);
}

int gy_tls_files_open(struct gy_tls_config **config, const struct gy_tls_files *files,
                      const struct gy_tls_secret *secret, struct gy_error *error)
{
    struct reading *reading = calloc(1, sizeof *reading);
    if (reading == NULL) {
        return gy_error_set(error, GY_ENOMEM, "reading certificates: out of memory");
    }
    int code = read_all(reading, files, error);
    if (code == 0) {
        struct gy_tls_options options = {
            .server = files->server,
            .verify = files->verify,
            .certificates = reading->certificates,
            .certificate_count = files->pair_count,
            .authorities_label = files->authorities,
            .authorities = reading->authorities.data,
            .authorities_bytes = reading->authorities.bytes,
            .protocol_count = files->protocol_count,
            .ticket_secret = secret,
            .no_tickets = files->no_tickets,
            .resume = files->resume,
            .staples = reading->staples,
            .staple_count = reading->staple_count,
            .status = files->status,
            .early_bytes = files->early_bytes,
            .memory_bytes = files->memory_bytes,
        };
        memcpy(options.protocols, files->protocols, sizeof options.protocols);
        code = gy_tls_config_open(config, &options, error);
    }
    drop_reading(reading);
    return code;
}

void gy_tls_files_close(struct gy_tls_files *files)
{
    for (uint32_t i = 0; i < files->pair_count; i++) {
        free(files->pairs[i].certificate);
        free(files->pairs[i].key);
    }
    for (uint32_t i = 0; i < files->staple_count; i++) {
        free(files->staples[i]);
    }
    free(files->authorities);
    files->staple_count = 0;
    files->pair_count = 0;
    files->authorities = NULL;
}
