/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What https and dns+tls need before a run: one configuration for all threads. */

#include "bench/load/load.h"

#define TLS_BYTES_MIN            (UINT64_C(64) << 20)
#define TLS_BYTES_PER_CONNECTION (UINT64_C(64) << 10)

int gy_load_open_tls(struct gy_load_options *options, struct gy_error *error)
{
    struct gy_tls_files *files = &options->tls;
    if (!options->protocol->secure || options->plaintext) {
        return 0;
    }
    files->verify = options->insecure ? GY_TLS_VERIFY_NONE : GY_TLS_VERIFY_REQUIRED;
    files->resume = options->handshakes == GY_LOAD_HANDSHAKES_RESUMED;
    files->memory_bytes = TLS_BYTES_MIN + options->connections * TLS_BYTES_PER_CONNECTION;
    files->protocols[0] = options->protocol->alpn;
    files->protocol_count = 1;
    return gy_tls_files_open(&options->tls_config, files, NULL, error);
}
