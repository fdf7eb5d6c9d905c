/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/message.h"

#include <string.h>

#include "core/cursor.h"
#include "core/error.h"
#include "protocols/dns/rdata.h"

int gy_dns_message_open(struct gy_dns_message *message, const uint8_t *bytes, size_t length)
{
    struct gy_reader reader = gy_reader_on(bytes, length);
    message->bytes = bytes;
    message->length = length;
    message->at = GY_DNS_HEADER_BYTES;
    message->done = 0;
    message->section = GY_DNS_QUESTION;
    message->header.id = gy_reader_u16(&reader);
    message->header.flags = gy_reader_u16(&reader);
    for (unsigned i = 0; i < GY_DNS_SECTIONS; i++) {
        message->header.count[i] = gy_reader_u16(&reader);
    }
    return reader.failed || length > GY_DNS_MESSAGE_MAX ? GY_EPROTO : 0;
}

int gy_dns_message_next(struct gy_dns_message *message, struct gy_dns_record *record)
{
    while (message->section < GY_DNS_SECTIONS &&
           message->done == message->header.count[message->section]) {
        message->section++;
        message->done = 0;
    }
    if (message->section == GY_DNS_SECTIONS) {
        return message->at == message->length ? 0 : GY_EPROTO;
    }
    memset(record, 0, sizeof *record);
    record->at = (uint32_t)message->at;
    record->section = message->section;
    int owner_bytes =
        gy_dns_name_read(message->bytes, message->length, &message->at, message->owner);
    if (owner_bytes < 0) {
        return GY_EPROTO;
    }
    record->owner = message->owner;
    record->owner_bytes = (uint8_t)owner_bytes;
    struct gy_reader reader =
        gy_reader_on(message->bytes + message->at, message->length - message->at);
    record->type = gy_reader_u16(&reader);
    record->class = gy_reader_u16(&reader);
    if (record->section != GY_DNS_QUESTION) {
        record->ttl = gy_reader_u32(&reader);
        record->rdata_bytes = gy_reader_u16(&reader);
        record->rdata = gy_reader_bytes(&reader, record->rdata_bytes);
    }
    if (reader.failed) {
        return GY_EPROTO;
    }
    message->at = (size_t)(reader.at - message->bytes);
    record->rdata_at = (uint32_t)message->at - record->rdata_bytes;
    message->done++;
    return 1;
}

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

void gy_dns_header_write(const struct gy_dns_header *header, uint8_t *bytes)
{
    put16(bytes, header->id);
    put16(bytes + 2, header->flags);
    for (unsigned i = 0; i < GY_DNS_SECTIONS; i++) {
        put16(bytes + 4 + (size_t)2 * i, header->count[i]);
    }
}

/* ---- writing ---- */

void gy_dns_builder_open(struct gy_dns_builder *builder, uint8_t *bytes, size_t limit, uint16_t id,
                         uint16_t flags)
{
    gy_assert(limit >= GY_DNS_HEADER_BYTES && limit <= GY_DNS_MESSAGE_MAX);
    memset(builder, 0, sizeof *builder);
    builder->bytes = bytes;
    builder->at = GY_DNS_HEADER_BYTES;
    builder->limit = limit;
    builder->header.id = id;
    builder->header.flags = flags;
}

int gy_dns_builder_reserve(struct gy_dns_builder *builder, size_t bytes)
{
    if (builder->limit - builder->at < builder->reserved + bytes) {
        return GY_ELIMIT;
    }
    builder->reserved += bytes;
    return 0;
}

static size_t room(const struct gy_dns_builder *builder)
{
    return builder->limit - builder->reserved - builder->at;
}

/* Is the name at `offset` of the message, which may end in pointers, byte by byte `name`? */
static bool same_name(const struct gy_dns_builder *builder, size_t offset, const uint8_t *name)
{
    for (;;) {
        uint8_t byte = builder->bytes[offset];
        if (byte >= 0xc0) {
            offset = (size_t)(byte & 0x3f) << 8 | builder->bytes[offset + 1];
            continue;
        }
        if (byte != name[0] || memcmp(builder->bytes + offset + 1, name + 1, byte) != 0) {
            return false;
        }
        if (byte == 0) {
            return true;
        }
        offset += byte + 1u;
        name += byte + 1u;
    }
}

/* Offset of a name equal to `name` that is in the message, else 0 and where it would be noted. */
static size_t find_suffix(const struct gy_dns_builder *builder, const uint8_t *name, uint64_t hash,
                          size_t *slot)
{
    size_t at = hash >> 32;
    for (;; at++) {
        *slot = at % GY_DNS_COMPRESS_SLOTS;
        size_t offset = builder->slots[*slot];
        if (offset == 0 || same_name(builder, offset, name)) {
            return offset;
        }
    }
}

/* Notes the names that begin at `offsets`, for later ones to point at. */
static void remember(struct gy_dns_builder *builder, const struct gy_dns_suffixes *suffixes,
                     const uint8_t *name, const uint16_t *offsets, uint32_t from)
{
    for (uint32_t i = suffixes->labels; i > from; i--) {
        size_t slot;
        if (offsets[i] <= GY_DNS_POINTER_MAX && builder->suffixes < GY_DNS_COMPRESS_SLOTS * 3 / 4 &&
            find_suffix(builder, name + suffixes->offset[i], suffixes->hash[i], &slot) == 0) {
            builder->slots[slot] = offsets[i];
            builder->suffixes++;
        }
    }
}

/* Writes a name, its end replaced by a pointer where that is known. 0 or GY_ELIMIT. */
static int put_name(struct gy_dns_builder *builder, const uint8_t *name)
{
    struct gy_dns_suffixes suffixes;
    uint8_t padded[GY_DNS_NAME_PADDED];
    uint16_t offsets[GY_DNS_LABELS_MAX + 1];
    size_t bytes = gy_dns_name_lower(name, padded), slot, found = 0;
    memset(padded + bytes, 0, 8);
    gy_dns_name_suffixes(padded, 1, &suffixes);
    uint32_t i = suffixes.labels;
    while (i > 0 && (found = find_suffix(builder, name + suffixes.offset[i], suffixes.hash[i],
                                         &slot)) == 0) {
        i--;
    }
    size_t own = suffixes.offset[i];
    if (room(builder) < own + (found != 0 ? 2 : 1)) {
        return GY_ELIMIT;
    }
    for (uint32_t n = suffixes.labels; n > i; n--) {
        offsets[n] = (uint16_t)(builder->at + suffixes.offset[n]);
    }
    memcpy(builder->bytes + builder->at, name, own);
    builder->at += own;
    if (found != 0) {
        builder->bytes[builder->at++] = (uint8_t)(0xc0 | found >> 8);
    }
    builder->bytes[builder->at++] = (uint8_t)found;
    remember(builder, &suffixes, name, offsets, i);
    return 0;
}

/* Takes back what was written from `mark` on. Slots are rebuilt: linear probing has no holes. */
static void forget(struct gy_dns_builder *builder, size_t mark)
{
    uint16_t kept[GY_DNS_COMPRESS_SLOTS];
    uint32_t count = 0;
    builder->at = mark;
    for (size_t i = 0; i < GY_DNS_COMPRESS_SLOTS; i++) {
        if (builder->slots[i] != 0 && builder->slots[i] < mark) {
            kept[count++] = builder->slots[i];
        }
    }
    if (count == builder->suffixes) {
        return;
    }
    memset(builder->slots, 0, sizeof builder->slots);
    builder->suffixes = count;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t name[GY_DNS_NAME_MAX];
        size_t at = kept[i], slot;
        int bytes = gy_dns_name_read(builder->bytes, mark, &at, name);
        gy_assert(bytes > 0);
        size_t found = find_suffix(builder, name, gy_dns_name_hash(name, 1), &slot);
        gy_assert(found == 0);
        builder->slots[slot] = kept[i];
    }
}

static int put_bytes(struct gy_dns_builder *builder, const void *data, size_t bytes)
{
    if (room(builder) < bytes) {
        return GY_ELIMIT;
    }
    if (bytes > 0) {
        memcpy(builder->bytes + builder->at, data, bytes);
        builder->at += bytes;
    }
    return 0;
}

static int put_u16(struct gy_dns_builder *builder, uint16_t value)
{
    return put_bytes(builder, (uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

int gy_dns_builder_question(struct gy_dns_builder *builder, const uint8_t *name, uint16_t type,
                            uint16_t class)
{
    size_t mark = builder->at;
    gy_assert(builder->section == GY_DNS_QUESTION);
    if (put_name(builder, name) != 0 || put_u16(builder, type) != 0 ||
        put_u16(builder, class) != 0) {
        forget(builder, mark);
        return GY_ELIMIT;
    }
    builder->header.count[GY_DNS_QUESTION]++;
    return 0;
}

/* Record data, field by field as far as there are names, the rest in one piece. */
static int put_rdata(struct gy_dns_builder *builder, uint16_t type, const uint8_t *rdata,
                     size_t bytes)
{
    const char *fields = gy_dns_type_fields(type);
    size_t at = 0;
    int error = 0;
    if (strpbrk(fields, "n") == NULL) {
        return put_bytes(builder, rdata, bytes);
    }
    for (; error == 0 && *fields != 0; fields++) {
        int length = gy_dns_field_bytes(*fields, rdata + at, bytes - at);
        if (length < 0) {
            return GY_EPROTO;
        }
        error = *fields == 'n' ? put_name(builder, rdata + at)
                               : put_bytes(builder, rdata + at, (size_t)length);
        at += (size_t)length;
    }
    return error != 0 ? error : at == bytes ? 0 : GY_EPROTO;
}

int gy_dns_builder_record(struct gy_dns_builder *builder, enum gy_dns_section section,
                          const uint8_t *owner, uint16_t type, uint16_t class, uint32_t ttl,
                          const void *rdata, size_t rdata_bytes)
{
    size_t mark = builder->at;
    gy_assert(section > GY_DNS_QUESTION && section < GY_DNS_SECTIONS &&
              section >= builder->section);
    int error = put_name(builder, owner);
    if (error == 0 && (put_u16(builder, type) != 0 || put_u16(builder, class) != 0 ||
                       put_u16(builder, (uint16_t)(ttl >> 16)) != 0 ||
                       put_u16(builder, (uint16_t)ttl) != 0 || put_u16(builder, 0) != 0)) {
        error = GY_ELIMIT;
    }
    size_t start = builder->at;
    if (error == 0) {
        error = put_rdata(builder, type, rdata, rdata_bytes);
    }
    if (error == 0 && builder->header.count[section] == UINT16_MAX) {
        error = GY_ELIMIT;
    }
    if (error != 0) {
        forget(builder, mark);
        return error;
    }
    builder->bytes[start - 2] = (uint8_t)((builder->at - start) >> 8);
    builder->bytes[start - 1] = (uint8_t)(builder->at - start);
    builder->section = (uint8_t)section;
    builder->header.count[section]++;
    return 0;
}

void gy_dns_builder_rewind(struct gy_dns_builder *builder, size_t mark, enum gy_dns_section section,
                           uint16_t count)
{
    gy_assert(mark >= GY_DNS_HEADER_BYTES && mark <= builder->at);
    gy_assert(count <= builder->header.count[section]);
    builder->header.count[section] = (uint16_t)(builder->header.count[section] - count);
    forget(builder, mark);
}

void gy_dns_builder_truncate(struct gy_dns_builder *builder)
{
    builder->header.flags |= GY_DNS_FLAG_TC;
    builder->truncated = true;
}

size_t gy_dns_builder_close(struct gy_dns_builder *builder)
{
    gy_dns_header_write(&builder->header, builder->bytes);
    gy_assert(builder->at <= builder->limit);
    return builder->at;
}
