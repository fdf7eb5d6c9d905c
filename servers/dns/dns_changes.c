/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_changes.h"

#include <stdlib.h>
#include <string.h>

#include "core/cursor.h"
#include "protocols/dns/patch.h"
#include "protocols/dns/rdata.h"
#include "servers/dns/dns_zone_internal.h"

#define BYTES_START  ((size_t)4096)
#define STARTS_START 4u
#define SOA_NUMBERS  20
#define BYTES_MAX    ((uint64_t)4 << 30) /* of a zone while it is laid out */

/* ---- collecting ---- */

static uint32_t serial_of(const struct gy_dns_record *soa)
{
    struct gy_reader reader =
        gy_reader_on(soa->rdata + soa->rdata_bytes - SOA_NUMBERS, SOA_NUMBERS);
    return gy_reader_u32(&reader);
}

/* Room for `more` bytes, and for another start. */
static int make_room(struct gy_dns_changes *changes, size_t more)
{
    if (changes->bytes_max != 0 && changes->bytes + more > changes->bytes_max) {
        return GY_ELIMIT;
    }
    if (changes->room - changes->bytes < more) {
        size_t room = changes->room == 0 ? BYTES_START : changes->room * 2;
        room = room - changes->bytes < more ? changes->bytes + more : room;
        uint8_t *packed = realloc(changes->packed, room);
        if (packed == NULL) {
            return GY_ENOMEM;
        }
        changes->packed = packed;
        changes->room = room;
    }
    if (changes->count == changes->starts_room) {
        uint32_t room = changes->starts_room == 0 ? STARTS_START : changes->starts_room * 2;
        struct gy_dns_change_start *starts =
            realloc(changes->starts, (size_t)room * sizeof *starts);
        if (starts == NULL) {
            return GY_ENOMEM;
        }
        changes->starts = starts;
        changes->starts_room = room;
    }
    return 0;
}

int gy_dns_changes_take(struct gy_dns_changes *changes, enum gy_dns_change change,
                        const struct gy_dns_record *record)
{
    gy_assert(change == GY_DNS_REMOVED || change == GY_DNS_ADDED);
    int code = make_room(changes, gy_dns_packed_bytes(record));
    if (code != 0) {
        return code;
    }
    if (record->type == GY_DNS_TYPE_SOA && change == GY_DNS_REMOVED) {
        changes->starts[changes->count++] =
            (struct gy_dns_change_start){.at = changes->bytes, .from = serial_of(record)};
    }
    gy_assert(changes->count > 0); /* the old SOA comes first */
    struct gy_dns_change_start *start = &changes->starts[changes->count - 1];
    if (record->type == GY_DNS_TYPE_SOA && change == GY_DNS_ADDED) {
        start->to = serial_of(record);
    }
    start->records++;
    gy_dns_pack(record, changes->packed + changes->bytes);
    changes->bytes += gy_dns_packed_bytes(record);
    return 0;
}

void gy_dns_changes_close(struct gy_dns_changes *changes)
{
    free(changes->packed);
    free(changes->starts);
    *changes = (struct gy_dns_changes){.bytes_max = changes->bytes_max};
}

/* ---- applying ---- */

/* A record that is removed, added, or both, in the end. */
struct entry {
    uint64_t hash;
    const uint8_t *key;   /* packed: as it came first */
    const uint8_t *added; /* as it came last; NULL: it is not */
    bool removed;
    bool seen; /* in the zone */
};

struct applying {
    struct entry *entries; /* in order of arrival */
    uint32_t *slots;       /* entry + 1 */
    uint64_t mask;
    uint32_t count;
    struct gy_dns_zone_walk walk;
    uint8_t one[GY_DNS_RDATA_MAX], other[GY_DNS_RDATA_MAX];
};

static uint64_t mix(uint64_t hash, const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = 0;
        memcpy(&word, data + i, bytes - i < 8 ? bytes - i : 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

/* Its data, canonical, into `room`: peers may spell names within it in another case, where they
 * compress. */
static void canonical(const struct gy_dns_record *record, uint8_t *room)
{
    memcpy(room, record->rdata, record->rdata_bytes);
    gy_dns_rdata_canonical(record->type, room, record->rdata_bytes);
}

static uint64_t hash_of(struct applying *applying, const struct gy_dns_record *record)
{
    uint8_t lower[GY_DNS_NAME_PADDED];
    size_t bytes = gy_dns_name_lower(record->owner, lower);
    canonical(record, applying->one);
    uint64_t hash = mix(record->type, lower, bytes);
    return mix(hash, applying->one, record->rdata_bytes);
}

/* The slot of a record, whose canonical data is in `one`: its entry's, or a free one. */
static uint64_t slot_of(struct applying *applying, const struct gy_dns_record *record,
                        uint64_t hash)
{
    uint64_t i = hash & applying->mask;
    for (; applying->slots[i] != 0; i = (i + 1) & applying->mask) {
        const struct entry *entry = &applying->entries[applying->slots[i] - 1];
        struct gy_dns_record known;
        if (entry->hash != hash) {
            continue;
        }
        gy_dns_unpack(entry->key, &known);
        canonical(&known, applying->other);
        if (known.type == record->type && known.rdata_bytes == record->rdata_bytes &&
            gy_dns_name_equal(known.owner, record->owner) &&
            memcmp(applying->other, applying->one, known.rdata_bytes) == 0) {
            break;
        }
    }
    return i;
}

/* One record of the differences. Whether it makes sense. */
static bool note(struct applying *applying, const uint8_t *packed,
                 const struct gy_dns_record *record, bool added)
{
    uint64_t hash = hash_of(applying, record);
    uint64_t slot = slot_of(applying, record, hash);
    if (applying->slots[slot] == 0) {
        applying->entries[applying->count] = (struct entry){.hash = hash, .key = packed};
        applying->slots[slot] = ++applying->count;
        applying->entries[applying->count - 1].removed = !added;
        applying->entries[applying->count - 1].added = added ? packed : NULL;
        return true;
    }
    struct entry *entry = &applying->entries[applying->slots[slot] - 1];
    if (added) {
        entry->added = packed;
        return true;
    }
    bool known = entry->added != NULL;
    entry->added = NULL; /* what an earlier one added, or it is removed twice */
    return known;
}

/* All of the differences, each record at its place. GY_EPROTO: they make no sense. */
static int note_all(struct applying *applying, const struct gy_dns_changes *changes)
{
    for (uint32_t i = 0; i < changes->count; i++) {
        size_t at = changes->starts[i].at;
        size_t end = i + 1 < changes->count ? changes->starts[i + 1].at : changes->bytes;
        for (uint32_t soas = 0; at < end;) {
            struct gy_dns_record record;
            const uint8_t *packed = changes->packed + at;
            at += gy_dns_unpack(packed, &record);
            soas += record.type == GY_DNS_TYPE_SOA;
            if (!note(applying, packed, &record, soas > 1)) {
                return GY_EPROTO;
            }
        }
    }
    return 0;
}

/* What stays of the zone. */
static int keep_rest(struct applying *applying, const struct gy_dns_zone *zone,
                     struct gy_dns_zone_maker *maker, struct gy_error *error)
{
    struct gy_dns_record record;
    int code = 0;
    gy_dns_zone_walk(&applying->walk, zone);
    while (code == 0 && gy_dns_zone_walk_next(&applying->walk, &record)) {
        uint64_t slot = slot_of(applying, &record, hash_of(applying, &record));
        struct entry *entry =
            applying->slots[slot] == 0 ? NULL : &applying->entries[applying->slots[slot] - 1];
        if (entry == NULL) {
            code = gy_dns_zone_add(gy_dns_zone_maker_builder(maker), &record, error);
        } else {
            entry->seen = true; /* it goes, or comes again as it was sent */
        }
    }
    return code;
}

typedef int adder(void *context, const struct gy_dns_record *record, struct gy_error *error);

static int builder_add(void *builder, const struct gy_dns_record *record, struct gy_error *error)
{
    return gy_dns_zone_add(builder, record, error);
}

static int add_new(const struct applying *applying, adder *add, void *context,
                   struct gy_error *error)
{
    int code = 0;
    for (uint32_t i = 0; i < applying->count && code == 0; i++) {
        const struct entry *entry = &applying->entries[i];
        struct gy_dns_record record;
        if (entry->removed && !entry->seen) {
            return gy_error_set(error, GY_EPROTO,
                                "its differences remove a record that the zone does not have");
        }
        if (entry->added != NULL) {
            gy_dns_unpack(entry->added, &record);
            code = add(context, &record, error);
        }
    }
    return code;
}

static void close_applying(struct applying *applying)
{
    if (applying != NULL) {
        free(applying->slots);
        free(applying->entries);
        free(applying);
    }
}

/* All changes at their places. NULL, and a code with its sentence: they make no sense, or there is
 * no memory. */
static struct applying *open_applying(const struct gy_dns_changes *changes, int *code,
                                      struct gy_error *error)
{
    size_t records = 0;
    uint64_t slots = 16;
    for (uint32_t i = 0; i < changes->count; i++) {
        records += changes->starts[i].records;
    }
    while (slots < records * 2) {
        slots *= 2;
    }
    struct applying *applying = malloc(sizeof *applying); /* mostly working memory */
    if (applying == NULL) {
        *code = gy_error_set(error, GY_ENOMEM, "out of memory");
        return NULL;
    }
    applying->mask = slots - 1;
    applying->count = 0;
    applying->slots = calloc(slots, sizeof *applying->slots);
    applying->entries = malloc((records + 1) * sizeof *applying->entries);
    if (applying->slots == NULL || applying->entries == NULL) {
        *code = gy_error_set(error, GY_ENOMEM, "out of memory");
    } else if (note_all(applying, changes) != 0) {
        *code = gy_error_set(error, GY_EPROTO, "its differences remove a record twice");
    } else {
        *code = 0;
        return applying;
    }
    close_applying(applying);
    return NULL;
}

int gy_dns_changes_apply(const struct gy_dns_changes *changes, const struct gy_dns_zone *zone,
                         struct gy_dns_zone_maker *maker, struct gy_error *error)
{
    int code = 0;
    struct applying *applying = open_applying(changes, &code, error);
    if (applying != NULL) {
        code = keep_rest(applying, zone, maker, error);
        code = code == 0 ? add_new(applying, builder_add, gy_dns_zone_maker_builder(maker), error)
                         : code;
    }
    close_applying(applying);
    return code;
}

/* ---- as a patch ---- */

/* A record of a name that changes: does it stay? */
static bool stays(void *context, const struct gy_dns_record *record)
{
    struct applying *applying = context;
    uint64_t slot = slot_of(applying, record, hash_of(applying, record));
    if (applying->slots[slot] == 0) {
        return true;
    }
    applying->entries[applying->slots[slot] - 1].seen = true;
    return false;
}

static int patch_add(void *patch, const struct gy_dns_record *record, struct gy_error *error)
{
    return gy_dns_patch_add(patch, record, error);
}

static int fill_patch(struct applying *applying, struct gy_dns_patch *patch, struct gy_error *error)
{
    int code = 0;
    for (uint32_t i = 0; i < applying->count && code == 0; i++) {
        struct gy_dns_record record;
        gy_dns_unpack(applying->entries[i].key, &record);
        code = gy_dns_patch_touch(patch, record.owner, &applying->walk, stays, applying, error);
    }
    return code == 0 ? add_new(applying, patch_add, patch, error) : code;
}

static int make_patch(struct applying *applying, const struct gy_dns_zone *zone,
                      struct gy_dns_zone_maker *maker, const struct gy_dns_zone **patched,
                      struct gy_error *error)
{
    size_t bytes = 0;
    struct gy_dns_patch *patch = gy_dns_patch_begin(&maker->settings, zone);
    if (patch == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    int code = fill_patch(applying, patch, error);
    code = code == 0 ? gy_dns_patch_finish(patch, &bytes, error) : code;
    if (code != 0) {
        return code;
    }
    void *memory = dns_zone_block(bytes);
    if (memory == NULL) {
        return gy_error_set(error, GY_ENOMEM, "the changes need %zu bytes, which there are not",
                            bytes);
    }
    *patched = gy_dns_patch_write(patch, memory);
    gy_dns_zone_keep(gy_dns_zone_base(*patched));
    return 0;
}

int gy_dns_changes_patch(const struct gy_dns_changes *changes, const struct gy_dns_zone *zone,
                         const struct gy_dns_zone **patched, struct gy_error *error)
{
    int code = 0;
    struct applying *applying = open_applying(changes, &code, error);
    struct gy_dns_zone_maker *maker = applying != NULL ? malloc(sizeof *maker) : NULL;
    if (applying != NULL && maker == NULL) {
        code = gy_error_set(error, GY_ENOMEM, "out of memory");
    } else if (applying != NULL && maker != NULL) {
        dns_zone_maker_settings(maker, gy_dns_zone_apex(zone), gy_dns_zone_seed(zone), 0);
        code = make_patch(applying, zone, maker, patched, error);
        gy_dns_zone_maker_close(maker);
    }
    close_applying(applying);
    return code;
}

/* ---- the better one ---- */

static int lay_out_anew(const struct gy_dns_changes *changes, const struct gy_dns_zone *zone,
                        const struct gy_dns_zone **next, struct gy_error *error)
{
    struct gy_dns_zone_maker *maker =
        gy_dns_zone_maker_open(gy_dns_zone_apex(zone), gy_dns_zone_seed(zone), BYTES_MAX);
    if (maker == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    int code = gy_dns_changes_apply(changes, zone, maker, error);
    code = code == 0 ? gy_dns_zone_maker_finish(maker, next, error) : code;
    gy_dns_zone_maker_close(maker);
    return code;
}

int gy_dns_changes_follow(const struct gy_dns_changes *changes, const struct gy_dns_zone *zone,
                          const struct gy_dns_zone **next, bool *anew, struct gy_error *error)
{
    struct gy_dns_zone_facts facts;
    uint64_t records = 0;
    int code = GY_ENOTSUP;
    gy_dns_zone_facts(zone, &facts);
    for (uint32_t i = 0; i < changes->count; i++) {
        records += changes->starts[i].records;
    }
    if (facts.names >= GY_DNS_PATCH_NAMES &&
        facts.patched + records <= facts.names / GY_DNS_PATCH_SHARE &&
        facts.patched_bytes + changes->bytes <= facts.bytes / GY_DNS_PATCH_SHARE) {
        code = gy_dns_changes_patch(changes, zone, next, error);
    }
    bool whole = code == GY_ENOTSUP;
    if (anew != NULL) {
        *anew = whole;
    }
    return whole ? lay_out_anew(changes, zone, next, error) : code;
}
