/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/chat/frame.h"

#include "core/bump.h"
#include "core/cursor.h"
#include "core/utf8.h"

_Static_assert(GY_CHAT_FRAME_SENT_MAX + 4 + 14 <= GY_BUMP_BLOCK_BYTES,
               "a server's frame and a WebSocket's head fit one block of output");

enum kind {
    END = 0,
    U8,
    U16,
    U32,
    U64,
    TEXT8,
    TEXT16,
};

/* A field, and where it lies in the type's struct, which lies at the union's start. */
struct field {
    uint8_t kind;
    uint16_t offset;
    const char *name;
};

/* The type's fields, ended by END; NULL: it is not known. */
static const struct field *fields_of(uint8_t type)
{
    switch (type) {
#define FIELD(kind, name) {kind, offsetof(struct_of, name), #name},
#define TYPE(number, NAME, member)                                                                 \
    case number: {                                                                                 \
        typedef __typeof__(((union gy_chat_body *)NULL)->member) struct_of;                        \
        static const struct field fields[] = {                                                     \
            GY_CHAT_FIELDS_##NAME(FIELD){END, offsetof(struct_of, end_of_##member), NULL}};        \
        return fields;                                                                             \
    }
        GY_CHAT_TYPES(TYPE)
#undef TYPE
#undef FIELD
    default:
        return NULL;
    }
}

bool gy_chat_is_text(const void *data, size_t bytes)
{
    const char *at = data;
    size_t left = bytes;
    while (left > 0) {
        uint64_t word;
        while (left >= sizeof word) {
            memcpy(&word, at, sizeof word);
            /* Every byte ASCII, and none of them zero. */
            uint64_t zero = (word - UINT64_C(0x0101010101010101)) & ~word;
            if (((word | zero) & UINT64_C(0x8080808080808080)) != 0) {
                break;
            }
            at += sizeof word;
            left -= sizeof word;
        }
        if (left == 0) {
            break;
        }
        uint32_t code;
        size_t step = gy_utf8_decode(at, left, &code);
        if (step == 0 || code == 0) {
            return false;
        }
        at += step;
        left -= step;
    }
    return true;
}

int64_t gy_chat_frame_bytes(const uint8_t *data, uint32_t bytes, uint32_t frame_max)
{
    gy_assert(frame_max <= GY_CHAT_FRAME_MAX);
    if (bytes < 4) {
        return 0;
    }
    struct gy_reader reader = gy_reader_on(data, bytes);
    uint32_t length = gy_reader_u32(&reader);
    if (length < GY_CHAT_HEAD_BYTES - 4 || length > frame_max) {
        return GY_EINVAL;
    }
    return (int64_t)length + 4;
}

static bool read_text(struct gy_reader *reader, uint32_t bytes, struct gy_chat_text *text)
{
    const uint8_t *data = gy_reader_bytes(reader, bytes);
    if (data == NULL || !gy_chat_is_text(data, bytes)) {
        return false;
    }
    *text = (struct gy_chat_text){(const char *)data, bytes};
    return true;
}

static bool read_field(struct gy_reader *reader, const struct field *field, void *body)
{
    uint8_t *to = (uint8_t *)body + field->offset;
    switch ((enum kind)field->kind) {
    case U8:
        *to = gy_reader_u8(reader);
        break;
    case U16:
        *(uint16_t *)(void *)to = gy_reader_u16(reader);
        break;
    case U32:
        *(uint32_t *)(void *)to = gy_reader_u32(reader);
        break;
    case U64:
        *(uint64_t *)(void *)to = gy_reader_u64(reader);
        break;
    case TEXT8: {
        uint32_t length = gy_reader_u8(reader);
        return read_text(reader, length, (void *)to);
    }
    case TEXT16: {
        uint32_t length = gy_reader_u16(reader);
        return read_text(reader, length, (void *)to);
    }
    case END:
        gy_assert(!"a field has a kind");
    }
    return !reader->failed;
}

int gy_chat_decode(const uint8_t *data, uint32_t bytes, struct gy_chat_frame *frame,
                   const char **field)
{
    struct gy_reader reader = gy_reader_on(data, bytes);
    gy_assert(bytes >= GY_CHAT_HEAD_BYTES);
    uint32_t length = gy_reader_u32(&reader);
    gy_assert(bytes == length + 4);
    frame->bytes = bytes;
    frame->type = gy_reader_u8(&reader);
    frame->flags = gy_reader_u8(&reader);
    frame->tag = gy_reader_u16(&reader);
    const struct field *fields = fields_of(frame->type);
    if (fields == NULL) {
        return GY_ENOTFOUND;
    }
    for (; fields->kind != END; fields++) {
        if (!read_field(&reader, fields, &frame->body)) {
            if (field != NULL) {
                *field = fields->name;
            }
            return GY_EINVAL;
        }
    }
    return 0;
}

static uint32_t field_bytes(const struct field *field, const void *body)
{
    static const uint8_t fixed[] = {
        [U8] = 1, [U16] = 2, [U32] = 4, [U64] = 8, [TEXT8] = 1, [TEXT16] = 2};
    uint32_t bytes = fixed[field->kind];
    if (field->kind == TEXT8 || field->kind == TEXT16) {
        const struct gy_chat_text *text = (const void *)((const uint8_t *)body + field->offset);
        gy_assert(text->length <= (field->kind == TEXT8 ? UINT8_MAX : UINT16_MAX));
        bytes += text->length;
    }
    return bytes;
}

uint32_t gy_chat_encoded_bytes(const struct gy_chat_frame *frame)
{
    const struct field *fields = fields_of(frame->type);
    uint32_t bytes = GY_CHAT_HEAD_BYTES;
    gy_assert(fields != NULL);
    for (; fields->kind != END; fields++) {
        bytes += field_bytes(fields, &frame->body);
    }
    return bytes;
}

static void write_field(struct gy_writer *writer, const struct field *field, const void *body)
{
    const uint8_t *from = (const uint8_t *)body + field->offset;
    const struct gy_chat_text *text = (const void *)from;
    switch ((enum kind)field->kind) {
    case U8:
        gy_writer_u8(writer, *from);
        break;
    case U16:
        gy_writer_u16(writer, *(const uint16_t *)(const void *)from);
        break;
    case U32:
        gy_writer_u32(writer, *(const uint32_t *)(const void *)from);
        break;
    case U64:
        gy_writer_u64(writer, *(const uint64_t *)(const void *)from);
        break;
    case TEXT8:
        gy_writer_u8(writer, (uint8_t)text->length);
        gy_writer_bytes(writer, text->bytes, text->length);
        break;
    case TEXT16:
        gy_writer_u16(writer, (uint16_t)text->length);
        gy_writer_bytes(writer, text->bytes, text->length);
        break;
    case END:
        gy_assert(!"a field has a kind");
    }
}

uint32_t gy_chat_encode(const struct gy_chat_frame *frame, uint8_t *out)
{
    uint32_t bytes = gy_chat_encoded_bytes(frame);
    struct gy_writer writer = gy_writer_on(out, bytes);
    gy_assert(bytes - 4 <= GY_CHAT_FRAME_MAX);
    gy_writer_u32(&writer, bytes - 4);
    gy_writer_u8(&writer, frame->type);
    gy_writer_u8(&writer, frame->flags);
    gy_writer_u16(&writer, frame->tag);
    for (const struct field *fields = fields_of(frame->type); fields->kind != END; fields++) {
        write_field(&writer, fields, &frame->body);
    }
    gy_assert(!writer.failed && writer.at == writer.end);
    return bytes;
}

const char *gy_chat_type_name(uint8_t type)
{
    switch (type) {
#define NAME_OF(number, NAME, member)                                                              \
    case number:                                                                                   \
        return #NAME;
        GY_CHAT_TYPES(NAME_OF)
#undef NAME_OF
    default:
        return NULL;
    }
}

const char *gy_chat_code_name(uint16_t code)
{
    static const char *const names[] = {
        [GY_CHAT_MALFORMED] = "malformed", [GY_CHAT_VERSION] = "version",
        [GY_CHAT_ORDER] = "order",         [GY_CHAT_UNSUPPORTED] = "unsupported",
        [GY_CHAT_TOO_BIG] = "too-big",     [GY_CHAT_NAME] = "name",
        [GY_CHAT_TAKEN] = "taken",         [GY_CHAT_REFUSED] = "refused",
        [GY_CHAT_ABSENT] = "absent",       [GY_CHAT_FORBIDDEN] = "forbidden",
        [GY_CHAT_TOO_FAST] = "too-fast",   [GY_CHAT_FULL] = "full",
        [GY_CHAT_BUSY] = "busy",           [GY_CHAT_STORAGE] = "storage",
        [GY_CHAT_TOO_SLOW] = "too-slow",   [GY_CHAT_IDLE] = "idle",
        [GY_CHAT_DRAIN] = "drain",
    };
    return code < sizeof names / sizeof names[0] ? names[code] : NULL;
}
