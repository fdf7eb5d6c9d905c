/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Differences as text, both ways. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cursor.h"
#include "core/siphash.h"
#include "protocols/dns/zonefile.h"
#include "servers/dns/dns_kept.h"

#define MARK       ";differences "
#define LINE_BYTES (GY_DNS_RDATA_TEXT_BYTES + GY_DNS_NAME_TEXT_BYTES + 64)
#define HEAD_BYTES 128
#define SOA_BYTES  22 /* two names of a byte, five numbers */

/* Against crashes and cut files, not against forgers, who could write the zone itself. */
static uint64_t checksum(const char *text, size_t bytes)
{
    static const struct gy_siphash_key key = {{0x6479656368616e67, 0x65732d6f662d7a6f}};
    return gy_siphash(&key, text, bytes);
}

/* ---- writing ---- */

struct text {
    char *bytes;
    size_t used, room;
};

static int make_room(struct text *text, size_t more)
{
    if (text->room - text->used >= more) {
        return 0;
    }
    size_t room = (text->room + more) * 2;
    char *larger = realloc(text->bytes, room);
    if (larger == NULL) {
        return GY_ENOMEM;
    }
    text->bytes = larger;
    text->room = room;
    return 0;
}

/* Records as lines. */
static int write_records(struct text *text, const uint8_t *packed, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        struct gy_dns_record record;
        at += gy_dns_unpack(packed + at, &record);
        if (make_room(text, LINE_BYTES) != 0) {
            return GY_ENOMEM;
        }
        int length =
            gy_dns_record_to_text(record.owner, record.type, record.class, record.ttl, record.rdata,
                                  record.rdata_bytes, text->bytes + text->used, LINE_BYTES - 1);
        gy_assert(length > 0);
        text->used += (size_t)length;
        text->bytes[text->used++] = '\n';
    }
    return 0;
}

int gy_dns_kept_write(const struct gy_dns_changes *changes, char **text, size_t *bytes)
{
    struct text out = {.bytes = NULL};
    int code = make_room(&out, 1);
    if (code == 0) {
        out.bytes[out.used++] = '\n'; /* should the last ones have been cut in a line */
    }
    for (uint32_t i = 0; i < changes->count && code == 0; i++) {
        const struct gy_dns_change_start *start = &changes->starts[i];
        size_t end = i + 1 < changes->count ? changes->starts[i + 1].at : changes->bytes;
        size_t head_at = out.used;
        char head[HEAD_BYTES];
        code = make_room(&out, HEAD_BYTES);
        out.used += code == 0 ? HEAD_BYTES : 0;
        code = code == 0 ? write_records(&out, changes->packed + start->at, end - start->at) : code;
        if (code != 0) {
            break;
        }
        /* All heads are as long, so that they can be written last. */
        size_t body = out.used - head_at - HEAD_BYTES;
        int length =
            snprintf(head, sizeof head, MARK "%" PRIu32 " %" PRIu32 " %zu %016" PRIx64, start->from,
                     start->to, body, checksum(out.bytes + head_at + HEAD_BYTES, body));
        gy_assert(length > 0 && length < HEAD_BYTES);
        memset(out.bytes + head_at, ' ', HEAD_BYTES);
        memcpy(out.bytes + head_at, head, (size_t)length);
        out.bytes[head_at + HEAD_BYTES - 1] = '\n';
    }
    if (code != 0) {
        free(out.bytes);
        return code;
    }
    *text = out.bytes;
    *bytes = out.used;
    return 0;
}

/* ---- reading ---- */

/* Where the next line with a mark begins, or the end. */
static size_t find_mark(const char *text, size_t bytes, size_t at)
{
    size_t length = strlen(MARK);
    while (at + length <= bytes) {
        if (memcmp(text + at, MARK, length) == 0) {
            return at;
        }
        const char *line = memchr(text + at, '\n', bytes - at);
        if (line == NULL) {
            break;
        }
        at = (size_t)(line - text) + 1;
    }
    return bytes;
}

/* What such a line says. */
struct head {
    uint32_t from, to;
    size_t bytes;
};

/* The head at `at`. False: it is none, or what follows is not what it says. */
static bool read_head(const char *text, size_t bytes, size_t at, struct head *head)
{
    char line[HEAD_BYTES];
    uint64_t sum = 0;
    if (bytes - at < HEAD_BYTES || text[at + HEAD_BYTES - 1] != '\n') {
        return false;
    }
    memcpy(line, text + at, HEAD_BYTES - 1);
    line[HEAD_BYTES - 1] = '\0';
    char *next = line + strlen(MARK);
    head->from = (uint32_t)strtoul(next, &next, 10);
    head->to = (uint32_t)strtoul(next, &next, 10);
    head->bytes = strtoul(next, &next, 10);
    sum = strtoull(next, &next, 16);
    at += HEAD_BYTES;
    return head->bytes > 0 && head->bytes <= bytes - at && checksum(text + at, head->bytes) == sum;
}

struct taking {
    struct gy_dns_changes *changes;
    const struct head *head;
    const uint8_t *origin;
    uint32_t soas;
    bool no_memory;
};

/* The first SOA has the serial that is left, the second the one that is reached. */
static bool right_soa(struct taking *taking, const struct gy_dns_record *record)
{
    if (record->rdata_bytes < SOA_BYTES || !gy_dns_name_equal(record->owner, taking->origin)) {
        return false;
    }
    struct gy_reader reader = gy_reader_on(record->rdata + record->rdata_bytes - 20, 20);
    uint32_t serial = gy_reader_u32(&reader);
    taking->soas++;
    return taking->soas == 1 ? serial == taking->head->from
                             : taking->soas == 2 && serial == taking->head->to;
}

static int take_record(void *context, struct gy_dns_zonefile *file,
                       const struct gy_dns_record *record, struct gy_error *error)
{
    struct taking *taking = context;
    (void)file;
    bool right = record->type == GY_DNS_TYPE_SOA ? right_soa(taking, record) : taking->soas > 0;
    if (!right || record->class != GY_DNS_CLASS_IN) {
        return gy_error_set(error, GY_EPROTO, "these are no differences");
    }
    int code = gy_dns_changes_take(taking->changes,
                                   taking->soas == 1 ? GY_DNS_REMOVED : GY_DNS_ADDED, record);
    taking->no_memory = code != 0;
    return code == 0 ? 0 : gy_error_set(error, code, "out of memory");
}

/* One of them behind those that were taken. 1: it is; 0: it is none; GY_ENOMEM. */
static int take_one(struct gy_dns_changes *changes, const char *text, const struct head *head,
                    const uint8_t *origin)
{
    struct taking taking = {.changes = changes, .head = head, .origin = origin};
    const struct gy_dns_zonefile_settings settings = {
        .context = &taking, .record = take_record, .generate_max = 1};
    struct gy_dns_zonefile *file = malloc(sizeof *file);
    struct gy_error error = {0};
    uint32_t count = changes->count;
    size_t bytes = changes->bytes, used = 0;
    if (file == NULL) {
        return GY_ENOMEM;
    }
    gy_dns_zonefile_init(file, &settings, "differences", origin);
    int code = gy_dns_zonefile_feed(file, text, head->bytes, true, &used, &error);
    free(file);
    if (code == 0 && taking.soas == 2) {
        return 1;
    }
    changes->count = count; /* what was taken of it */
    changes->bytes = bytes;
    return taking.no_memory ? GY_ENOMEM : 0;
}

int gy_dns_kept_read(const char *text, size_t bytes, const uint8_t *origin, uint32_t serial,
                     struct gy_dns_changes *changes, uint32_t *skipped)
{
    struct head head;
    int code = 0;
    *skipped = 0;
    for (size_t at = find_mark(text, bytes, 0); at < bytes && code >= 0;) {
        bool whole = read_head(text, bytes, at, &head);
        code = 0;
        if (whole && head.from == serial) {
            code = take_one(changes, text + at + HEAD_BYTES, &head, origin);
            serial = code == 1 ? head.to : serial;
        }
        *skipped += code == 0;
        at = find_mark(text, bytes, whole ? at + HEAD_BYTES + head.bytes : at + 1);
    }
    return code < 0 ? code : 0;
}
