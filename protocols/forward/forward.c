/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/forward/forward.h"

#include "core/cursor.h"
#include "core/error.h"

int gy_forward_decode(struct gy_forward_message *message, const void *data, size_t length)
{
    struct gy_reader reader = gy_reader_on(data, length);
    *message = (struct gy_forward_message){.type = (enum gy_forward_type)gy_reader_u8(&reader)};
    message->flow = gy_reader_u32(&reader);
    switch (message->type) {
    case GY_FORWARD_OPEN:
    case GY_FORWARD_OPENED:
    case GY_FORWARD_CREDIT:
        message->credit = gy_reader_u32(&reader);
        reader.failed |= message->credit == 0 || message->credit > GY_FORWARD_CREDIT_MAX;
        break;
    case GY_FORWARD_DATA:
    case GY_FORWARD_RESET:
        message->length = (uint32_t)gy_reader_left(&reader);
        message->data = gy_reader_bytes(&reader, gy_reader_left(&reader));
        reader.failed |= message->type == GY_FORWARD_DATA
                             ? message->length == 0 || message->length > GY_FORWARD_DATA_BYTES
                             : message->length > GY_FORWARD_TEXT_BYTES;
        break;
    case GY_FORWARD_END:
        break;
    default:
        reader.failed = true;
    }
    return !reader.failed && gy_reader_left(&reader) == 0 ? 0 : GY_EPROTO;
}

size_t gy_forward_encode(const struct gy_forward_message *message,
                         uint8_t out[GY_FORWARD_MESSAGE_BYTES])
{
    struct gy_writer writer = gy_writer_on(out, GY_FORWARD_MESSAGE_BYTES);
    gy_assert(message->type != GY_FORWARD_DATA);
    gy_writer_u8(&writer, (uint8_t)message->type);
    gy_writer_u32(&writer, message->flow);
    if (message->type == GY_FORWARD_RESET) {
        gy_assert(message->length <= GY_FORWARD_TEXT_BYTES);
        gy_writer_bytes(&writer, message->data, message->length);
    } else if (message->type != GY_FORWARD_END) {
        gy_assert(message->credit > 0 && message->credit <= GY_FORWARD_CREDIT_MAX);
        gy_writer_u32(&writer, message->credit);
    }
    gy_assert(!writer.failed);
    return gy_writer_length(&writer);
}

void gy_forward_encode_data(uint32_t flow, uint8_t out[GY_FORWARD_DATA_HEAD])
{
    struct gy_writer writer = gy_writer_on(out, GY_FORWARD_DATA_HEAD);
    gy_writer_u8(&writer, GY_FORWARD_DATA);
    gy_writer_u32(&writer, flow);
    gy_assert(!writer.failed && gy_writer_length(&writer) == GY_FORWARD_DATA_HEAD);
}
