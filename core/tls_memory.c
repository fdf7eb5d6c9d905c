/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What wolfSSL gets from the process: memory and randomness. */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/tls_internal.h"

#include <wolfssl/wolfcrypt/random.h>

/* Before each allocation: who it is counted for. */
struct header {
    struct gy_tls_memory *memory;
    size_t bytes;
};
_Static_assert(sizeof(struct header) == 16, "what follows it is aligned like malloc's");

static _Thread_local struct gy_tls_memory *current;
static int (*random_fill)(uint8_t *target, uint32_t bytes);
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int init_result;

struct gy_tls_memory *gy_tls_memory_use(struct gy_tls_memory *memory)
{
    struct gy_tls_memory *before = current;
    current = memory;
    return before;
}

/* Of one that is at rest (its allocations, and their heads), one that is busy, and the contexts
 * with their authorities. */
#define REST_BYTES     (UINT64_C(12) << 10)
#define BUSY_BYTES     (UINT64_C(64) << 10)
#define BUSY_MAX       1024u
#define CONTEXTS_BYTES (UINT64_C(32) << 20)

uint64_t gy_tls_memory_for(uint32_t connections)
{
    uint64_t busy = connections < BUSY_MAX ? connections : BUSY_MAX;
    return CONTEXTS_BYTES + connections * REST_BYTES + busy * BUSY_BYTES;
}

static bool charge(struct gy_tls_memory *memory, size_t bytes)
{
    if (memory == NULL) {
        return true;
    }
    if (memory->limit_bytes - memory->used_bytes < bytes) {
        memory->refused++;
        return false;
    }
    memory->used_bytes += bytes;
    if (memory->used_bytes > memory->used_max_bytes) {
        memory->used_max_bytes = memory->used_bytes;
    }
    return true;
}

static void discharge(struct gy_tls_memory *memory, size_t bytes)
{
    if (memory != NULL) {
        gy_assert(memory->used_bytes >= bytes);
        memory->used_bytes -= bytes;
    }
}

static void *tls_malloc(size_t bytes)
{
    if (bytes > SIZE_MAX - sizeof(struct header) || !charge(current, bytes)) {
        return NULL;
    }
    struct header *header = malloc(sizeof *header + bytes);
    if (header == NULL) {
        discharge(current, bytes);
        return NULL;
    }
    *header = (struct header){current, bytes};
    return header + 1;
}

static void tls_free(void *pointer)
{
    if (pointer != NULL) {
        struct header *header = (struct header *)pointer - 1;
        discharge(header->memory, header->bytes);
        free(header);
    }
}

static void *tls_realloc(void *pointer, size_t bytes)
{
    if (pointer == NULL) {
        return tls_malloc(bytes);
    }
    const struct header *header = (const struct header *)pointer - 1;
    void *moved = tls_malloc(bytes);
    if (moved != NULL) {
        memcpy(moved, pointer, header->bytes < bytes ? header->bytes : bytes);
        tls_free(pointer);
    }
    return moved;
}

int gy_tls_random_block(byte *target, word32 bytes)
{
    if (random_fill != NULL) {
        return random_fill(target, bytes);
    }
    for (word32 done = 0; done < bytes;) {
        ssize_t got = getrandom(target + done, bytes - done, 0);
        if (got < 0 && errno != EINTR) {
            return -1;
        }
        done += got > 0 ? (word32)got : 0;
    }
    return 0;
}

/* A wolfSSL that was built by others keeps a generator for each connection. */
#if !defined(CUSTOM_RAND_GENERATE_BLOCK) && defined(WC_RNG_SEED_CB)
static int seed(OS_Seed *os, byte *target, word32 bytes)
{
    (void)os;
    return gy_tls_random_block(target, bytes);
}
#endif

static void init(void)
{
    if (wolfSSL_SetAllocators(tls_malloc, tls_free, tls_realloc) != 0 ||
        wolfSSL_Init() != WOLFSSL_SUCCESS) {
        init_result = GY_EIO;
    }
#if !defined(CUSTOM_RAND_GENERATE_BLOCK) && defined(WC_RNG_SEED_CB)
    wc_SetSeed_Cb(seed);
#endif
}

int gy_tls_init(struct gy_error *error)
{
    struct gy_tls_memory *before = gy_tls_memory_use(NULL);
    pthread_once(&once, init);
    gy_tls_memory_use(before);
    if (init_result != 0) {
        return gy_error_set(error, init_result, "starting TLS: wolfSSL could not be initialised");
    }
    return 0;
}

void gy_tls_set_random(int (*fill)(uint8_t *target, uint32_t bytes))
{
    random_fill = fill;
}
