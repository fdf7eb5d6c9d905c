/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/sha1.h"

#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/sha.h>

#include "core/error.h"

void gy_sha1(const void *data, size_t bytes, uint8_t digest[20])
{
    wc_Sha sha;
    int error = wc_InitSha(&sha);
    error = error == 0 ? wc_ShaUpdate(&sha, data, (word32)bytes) : error;
    error = error == 0 ? wc_ShaFinal(&sha, digest) : error;
    gy_assert(error == 0); /* it can fail by its arguments alone */
    wc_ShaFree(&sha);
}
