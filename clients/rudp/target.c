/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/rudp/target.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file_check.h"
#include "core/number.h"
#include "servers/rudp/rudp_kind.h"
#include "servers/rudp/rudp_tls.h"

#define MS 1000000ull

const char gy_rudp_target_help[] =
    "  --timeout MS            of connecting, and of silence (default: 10000)\n"
    "  --datagram BYTES        of the longest datagram sent at first (default: 1200)\n"
    "  --congestion NAME       cubic or bbr (default: cubic)\n"
    "  --fec PACKETS           one repair for so many: 2 to 16 (default: none)\n"
    "  --qlog DIR              a qlog file there\n"
    "  --ca FILE               who may have signed the server's certificate\n"
    "  --cert FILE[,KEY]       show this certificate, when asked\n"
    "  --insecure              do not check who the server is\n"
    "  --plaintext             without encryption, to a server that does without, too\n";

void gy_rudp_target_init(struct gy_rudp_target *target, const char *command)
{
    *target = (struct gy_rudp_target){
        .command = command, .timeout_ns = 10000 * MS, .datagram_bytes = GY_RUDP_DATAGRAM_MIN};
}

int gy_rudp_target_number(const char *flag, const char *text, uint64_t min, uint64_t max,
                          uint64_t *number, struct gy_error *error)
{
    if (!gy_number_read(text, min, max, number)) {
        return gy_error_set(error, GY_EINVAL, "%s %s: not a number from %llu to %llu", flag,
                            text != NULL ? text : "", (unsigned long long)min,
                            (unsigned long long)max);
    }
    return 0;
}

static int read_text(struct gy_rudp_target *target, const char *flag, const char *value,
                     struct gy_error *error)
{
    if (strcmp(flag, "--cert") == 0) {
        return gy_tls_files_add_flag(&target->files, value, error);
    }
    if (strcmp(flag, "--ca") == 0) {
        free(target->files.authorities);
        target->files.authorities = strdup(value);
        return target->files.authorities != NULL ? 0
                                                 : gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    if (strcmp(flag, "--qlog") == 0) {
        target->qlog = value;
        return gy_file_check_directory("--qlog", value, W_OK | X_OK, error);
    }
    if (strcmp(value, "bbr") != 0 && strcmp(value, "cubic") != 0) {
        return gy_error_set(error, GY_EINVAL, "--congestion %.64s: not bbr or cubic", value);
    }
    target->congestion = value[0] == 'b' ? GY_RUDP_BBR : GY_RUDP_CUBIC;
    return 0;
}

static int read_value(struct gy_rudp_target *target, const char *flag, const char *value,
                      struct gy_error *error)
{
    uint64_t number = 0;
    int code;
    if (strcmp(flag, "--timeout") == 0) {
        code = gy_rudp_target_number(flag, value, 1, 3600000, &number, error);
        target->timeout_ns = number * MS;
    } else if (strcmp(flag, "--fec") == 0) {
        code = gy_rudp_target_number(flag, value, 2, GY_RUDP_FEC_PACKETS_MAX, &number, error);
        target->fec_packets = (uint32_t)number;
    } else if (strcmp(flag, "--datagram") == 0) {
        code = gy_rudp_target_number(flag, value, GY_RUDP_DATAGRAM_MIN, GY_RUDP_DATAGRAM_MAX,
                                     &number, error);
        target->datagram_bytes = (uint32_t)number;
    } else {
        code = value != NULL && value[0] != '\0'
                   ? read_text(target, flag, value, error)
                   : gy_error_set(error, GY_EINVAL, "%s needs a value", flag);
    }
    return code;
}

int gy_rudp_target_flag(struct gy_rudp_target *target, int argc, char **argv, int *index,
                        struct gy_error *error)
{
    static const char *const valued[] = {"--timeout", "--fec",        "--datagram", "--cert",
                                         "--ca",      "--congestion", "--qlog",     NULL};
    const char *argument = argv[*index];
    if (strcmp(argument, "--insecure") == 0) {
        target->insecure = true;
        return 1;
    }
    if (strcmp(argument, "--plaintext") == 0) {
        target->plaintext = true;
        return 1;
    }
    for (int i = 0; valued[i] != NULL; i++) {
        size_t length = strlen(valued[i]);
        if (strncmp(argument, valued[i], length) != 0 ||
            (argument[length] != '\0' && argument[length] != '=')) {
            continue;
        }
        const char *value = argument + length + 1;
        if (argument[length] == '\0') {
            value = *index + 1 < argc ? argv[++*index] : NULL;
        }
        int code = read_value(target, valued[i], value, error);
        return code == 0 ? 1 : code;
    }
    return 0;
}

int gy_rudp_target_check(const struct gy_rudp_target *target, struct gy_error *error)
{
    const struct gy_tls_files *files = &target->files;
    if (target->text == NULL) {
        return gy_error_set(error, GY_EINVAL, "HOST:PORT is needed");
    }
    if (strchr(target->text, ':') == NULL) {
        return gy_error_set(error, GY_EINVAL, "%.200s: write HOST:PORT", target->text);
    }
    if (target->plaintext &&
        (target->insecure || files->authorities != NULL || files->pair_count > 0)) {
        return gy_error_set(error, GY_EINVAL,
                            "--ca, --cert and --insecure are for encryption, and --plaintext is "
                            "without");
    }
    return 0;
}

/* "HOST:PORT", "[ADDRESS]:PORT". */
static int resolve(struct gy_rudp_target *target, struct gy_error *error)
{
    char *host = target->host;
    const char *colon = strrchr(target->text, ':');
    uint64_t port = 0;
    struct gy_error why = {0};
    if (colon != NULL && (size_t)(colon - target->text) < sizeof target->host) {
        snprintf(host, sizeof target->host, "%.*s", (int)(colon - target->text), target->text);
    }
    if (gy_address_parse(&target->address, target->text, &why) == 0 && target->text[0] != ':') {
        return 0;
    }
    if (colon == NULL || colon == target->text ||
        gy_rudp_target_number("port", colon + 1, 1, 65535, &port, &why) != 0 ||
        (size_t)(colon - target->text) >= sizeof target->host) {
        return gy_error_set(error, GY_EINVAL, "%.200s: write HOST:PORT", target->text);
    }
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(host, NULL, &hints, &found);
    if (result != 0) {
        return gy_error_set(error, GY_EINVAL, "no address for %s: %s", host, gai_strerror(result));
    }
    int code = gy_address_from_sockaddr(&target->address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    gy_address_set_port(&target->address, (uint16_t)port);
    return code == 0 ? 0 : gy_error_set(error, code, "%s has no address that can be used", host);
}

int gy_rudp_target_open(struct gy_rudp_target *target, struct gy_error *error)
{
    struct gy_tls_files *files = &target->files;
    int code = resolve(target, error);
    if (code != 0 || target->plaintext) {
        return code;
    }
    files->verify = target->insecure ? GY_TLS_VERIFY_NONE : GY_TLS_VERIFY_REQUIRED;
    files->resume = true;
    files->protocols[0] = GY_RUDP_ALPN;
    files->protocol_count = 1;
    if (target->insecure) {
        fprintf(stderr,
                "%s: WARNING: --insecure: nobody checks who the server is; "
                "whoever is on the way can read and change everything\n",
                target->command);
    }
    return gy_tls_files_open(&target->tls, files, NULL, error);
}

void gy_rudp_target_close(struct gy_rudp_target *target)
{
    gy_tls_config_close(target->tls);
    target->tls = NULL;
    gy_tls_files_close(&target->files);
}

const char *gy_rudp_target_remedy(const struct gy_rudp_target *target, uint64_t close_code)
{
    switch (close_code) {
    case GY_RUDP_CLOSE_HANDSHAKE:
        return "; is `gyre rudp serve` running there?";
    case GY_RUDP_CLOSE_MODE:
        return target->tls != NULL
                   ? "; --plaintext, if nobody else is on the way, or --tls for the server"
                   : "; leave --plaintext out";
    default:
        return "";
    }
}
