/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Zone files: whole and in pieces, the same records and the same error, which names the file. What
 * was read, printed, is read again as the same.
 */

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "protocols/dns/zonefile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define RECORDS_MAX 2000

struct run {
    uint64_t hash; /* of all records */
    uint32_t records;
    int code;
    bool compare;
    struct gy_error error;
};

static char text[GY_DNS_RDATA_TEXT_BYTES + 2048];
static uint8_t again[GY_DNS_RDATA_MAX];

static void mix(struct run *run, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < bytes; i++) {
        run->hash = (run->hash ^ at[i]) * 0x100000001b3u;
    }
}

static int record(void *context, struct gy_dns_zonefile *file, const struct gy_dns_record *one,
                  struct gy_error *error)
{
    struct run *run = context;
    gy_assert(gy_dns_name_bytes(one->owner) == one->owner_bytes && one->class != 0);
    gy_assert(gy_dns_rdata_check(one->type, one->rdata, one->rdata_bytes) == 0);
    mix(run, one->owner, one->owner_bytes);
    mix(run, &one->type, 2);
    mix(run, &one->ttl, 4);
    mix(run, one->rdata, one->rdata_bytes);
    if (run->compare && one->type != GY_DNS_TYPE_LOC) {
        int length =
            gy_dns_rdata_to_text(one->type, one->rdata, one->rdata_bytes, text, sizeof text);
        int back = gy_dns_rdata_from_text(one->type, text, (size_t)length, NULL, again,
                                          sizeof again, error);
        gy_assert((uint32_t)back == one->rdata_bytes &&
                  memcmp(again, one->rdata, one->rdata_bytes) == 0);
    }
    if (++run->records == RECORDS_MAX) {
        return gy_dns_zonefile_error(file, error, GY_ELIMIT, "enough");
    }
    return 0;
}

static void read_in_pieces(struct run *run, const uint8_t *data, size_t bytes, size_t piece)
{
    const struct gy_dns_zonefile_settings settings = {
        .context = run, .record = record, .generate_max = 100};
    static struct gy_dns_zonefile file;
    size_t at = 0, have = piece < bytes ? piece : bytes, used;
    gy_dns_zonefile_init(&file, &settings, "fuzz", (const uint8_t *)"\7example");
    for (;;) {
        /* A copy of exactly its size: reading past it is seen. */
        char *copy = malloc(have - at + (have == at));
        gy_assert(copy != NULL);
        memcpy(copy, data + at, have - at);
        run->code = gy_dns_zonefile_feed(&file, copy, have - at, have == bytes, &used, &run->error);
        free(copy);
        at += used;
        if (run->code != 0 || have == bytes) {
            break;
        }
        have = have + piece < bytes ? have + piece : bytes;
    }
    gy_assert(run->code != 0 || at == bytes);
    gy_assert(run->code == 0 || strncmp(run->error.message, "fuzz:", 5) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct run whole = {.compare = true}, pieces = {0};
    if (bytes > 16384) {
        return 0;
    }
    read_in_pieces(&whole, data, bytes, bytes + 1);
    read_in_pieces(&pieces, data, bytes, bytes / 7 + 1);
    gy_assert(whole.code == pieces.code && whole.records == pieces.records &&
              whole.hash == pieces.hash);
    gy_assert(strcmp(whole.error.message, pieces.error.message) == 0);
    return 0;
}
