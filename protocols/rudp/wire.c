/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "protocols/rudp/wire.h"

#include "core/error.h"
#include "core/siphash.h"

/* Long packets are checked against damage, not against malice: the key is public. */
static const struct gy_siphash_key check_key = {{0x677972652d727564, 0x702d636865636b31}};

void gy_rudp_varint_write(struct gy_writer *writer, uint64_t value)
{
    gy_assert(value <= GY_RUDP_VARINT_MAX);
    switch (gy_rudp_varint_bytes(value)) {
    case 1:
        gy_writer_u8(writer, (uint8_t)value);
        break;
    case 2:
        gy_writer_u16(writer, (uint16_t)(value | 0x4000));
        break;
    case 4:
        gy_writer_u32(writer, (uint32_t)value | 0x80000000u);
        break;
    default:
        gy_writer_u64(writer, value | UINT64_C(0xc000000000000000));
        break;
    }
}

unsigned gy_rudp_number_bytes(uint64_t number, uint64_t acked)
{
    uint64_t unacked = acked == UINT64_MAX ? number + 1 : number - acked;
    /* Twice as many as may be outstanding, so that the nearest number is the right one. */
    return unacked < 1u << 7 ? 1 : unacked < 1u << 15 ? 2 : unacked < 1u << 23 ? 3 : 4;
}

uint64_t gy_rudp_number_expand(uint64_t expected, uint32_t truncated, unsigned bytes)
{
    gy_assert(bytes >= 1 && bytes <= 4);
    uint64_t window = UINT64_C(1) << (bytes * 8);
    uint64_t number = (expected & ~(window - 1)) | truncated;
    if (number + window / 2 <= expected && number < GY_RUDP_VARINT_MAX - window) {
        return number + window;
    }
    if (number > expected + window / 2 && number >= window) {
        return number - window;
    }
    return number;
}

static void cid_read(struct gy_reader *reader, struct gy_rudp_cid *cid)
{
    size_t length = gy_reader_u8(reader);
    const uint8_t *bytes = length <= GY_RUDP_CID_MAX ? gy_reader_bytes(reader, length) : NULL;
    if (bytes == NULL) {
        reader->failed = true;
        return;
    }
    cid->length = (uint8_t)length;
    memcpy(cid->bytes, bytes, length);
}

int gy_rudp_packet_peek(const void *data, size_t bytes, size_t cid_bytes, struct gy_rudp_long *out)
{
    struct gy_reader reader = gy_reader_on(data, bytes);
    memset(out, 0, sizeof *out);
    uint8_t flags = gy_reader_u8(&reader);
    if ((flags & 0x80) == 0) {
        const uint8_t *to = gy_reader_bytes(&reader, cid_bytes);
        if (to == NULL || (flags & 0x40) == 0) {
            return GY_EPROTO;
        }
        out->type = GY_RUDP_PACKET_SHORT;
        out->to.length = (uint8_t)cid_bytes;
        memcpy(out->to.bytes, to, cid_bytes);
        return 0;
    }
    out->version = gy_reader_u32(&reader);
    cid_read(&reader, &out->to);
    cid_read(&reader, &out->from);
    if (reader.failed) {
        return GY_EPROTO;
    }
    if (out->version == 0) {
        out->type = GY_RUDP_PACKET_VERSIONS;
    } else if (out->version != GY_RUDP_VERSION && out->version != GY_RUDP_VERSION_PLAIN) {
        out->type = GY_RUDP_PACKET_UNKNOWN;
    } else if (flags < 0x81 || flags > 0x83) {
        return GY_EPROTO;
    } else {
        out->type = (enum gy_rudp_packet_type)(flags - 0x80);
    }
    return 0;
}

static bool parameters_valid(const struct gy_rudp_parameters *at)
{
    return at->channels >= 1 && at->channels <= 256 && at->datagram_max >= GY_RUDP_HELLO_BYTES &&
           at->message_max <= GY_RUDP_MESSAGE_LIMIT &&
           at->message_max <= at->window - at->window / 4 &&
           (at->channel_window == 0 ||
            at->message_max <= at->channel_window - at->channel_window / 4);
}

static void parameters_read(struct gy_reader *reader, struct gy_rudp_parameters *at)
{
    at->window = gy_rudp_varint_read(reader);
    at->message_max = gy_rudp_varint_read(reader);
    at->channels = gy_rudp_varint_read(reader);
    at->idle_timeout_ms = gy_rudp_varint_read(reader);
    at->datagram_max = gy_rudp_varint_read(reader);
    /* Who speaks an older kind of this version says less. */
    at->ahead = gy_reader_left(reader) > 0 ? gy_rudp_varint_read(reader) : 0;
    at->channel_window = gy_reader_left(reader) > 0 ? gy_rudp_varint_read(reader) : 0;
    at->features = gy_reader_left(reader) > 0 ? gy_rudp_varint_read(reader) : 0;
    if (!parameters_valid(at)) {
        reader->failed = true;
    }
}

static void bytes_read(struct gy_reader *reader, const uint8_t **data, size_t *bytes)
{
    uint64_t length = gy_rudp_varint_read(reader);
    *bytes = length <= gy_reader_left(reader) ? (size_t)length : 0;
    *data = gy_reader_bytes(reader, *bytes);
    reader->failed |= *bytes != length;
}

int gy_rudp_long_read(const void *data, size_t bytes, struct gy_rudp_long *out)
{
    if (bytes < GY_RUDP_CHECK_BYTES || gy_rudp_packet_peek(data, bytes, 0, out) != 0 ||
        out->type == GY_RUDP_PACKET_SHORT || out->type == GY_RUDP_PACKET_UNKNOWN) {
        return GY_EPROTO;
    }
    size_t body = bytes - GY_RUDP_CHECK_BYTES;
    struct gy_reader check = gy_reader_on((const uint8_t *)data + body, GY_RUDP_CHECK_BYTES);
    if (gy_reader_u64(&check) != gy_siphash(&check_key, data, body)) {
        return GY_EPROTO;
    }
    struct gy_reader reader = gy_reader_on(data, body);
    gy_reader_bytes(&reader, (size_t)(1 + 4 + 1 + out->to.length + 1 + out->from.length));
    switch (out->type) {
    case GY_RUDP_PACKET_VERSIONS:
        out->version_count = gy_reader_left(&reader) / 4;
        out->versions = gy_reader_bytes(&reader, out->version_count * 4);
        break;
    case GY_RUDP_PACKET_HELLO:
        out->cookie_bytes = gy_reader_u8(&reader);
        out->cookie = gy_reader_bytes(&reader, out->cookie_bytes);
        if (bytes < GY_RUDP_HELLO_BYTES ||
            (out->cookie_bytes != 0 && out->cookie_bytes != GY_RUDP_COOKIE_BYTES)) {
            return GY_EPROTO;
        }
        if (out->version == GY_RUDP_VERSION) {
            bytes_read(&reader, &out->crypto, &out->crypto_bytes);
            bytes_read(&reader, &out->early, &out->early_bytes);
        } else {
            parameters_read(&reader, &out->parameters);
        }
        break;
    case GY_RUDP_PACKET_RETRY:
        out->cookie_bytes = GY_RUDP_COOKIE_BYTES;
        out->cookie = gy_reader_bytes(&reader, GY_RUDP_COOKIE_BYTES);
        break;
    default:
        if (out->version == GY_RUDP_VERSION) {
            bytes_read(&reader, &out->crypto, &out->crypto_bytes);
            break;
        }
        out->token = gy_reader_bytes(&reader, GY_RUDP_TOKEN_BYTES);
        parameters_read(&reader, &out->parameters);
        break;
    }
    return reader.failed ? GY_EPROTO : 0;
}

static void bytes_write(struct gy_writer *writer, const uint8_t *data, size_t bytes)
{
    gy_rudp_varint_write(writer, bytes);
    gy_writer_bytes(writer, data, bytes);
}

static void parameters_write(struct gy_writer *writer, const struct gy_rudp_parameters *at)
{
    gy_assert(parameters_valid(at));
    gy_rudp_varint_write(writer, at->window);
    gy_rudp_varint_write(writer, at->message_max);
    gy_rudp_varint_write(writer, at->channels);
    gy_rudp_varint_write(writer, at->idle_timeout_ms);
    gy_rudp_varint_write(writer, at->datagram_max);
    gy_rudp_varint_write(writer, at->ahead);
    gy_rudp_varint_write(writer, at->channel_window);
    gy_rudp_varint_write(writer, at->features);
}

size_t gy_rudp_claims_write(const struct gy_rudp_claims *claims, uint8_t out[GY_RUDP_CLAIMS_MAX])
{
    struct gy_writer writer = gy_writer_on(out, GY_RUDP_CLAIMS_MAX);
    gy_writer_u32(&writer, claims->version);
    gy_writer_u8(&writer, claims->self.length);
    gy_writer_bytes(&writer, claims->self.bytes, claims->self.length);
    gy_writer_u8(&writer, claims->peer.length);
    gy_writer_bytes(&writer, claims->peer.bytes, claims->peer.length);
    gy_writer_u8(&writer, claims->has_token ? GY_RUDP_TOKEN_BYTES : 0);
    gy_writer_bytes(&writer, claims->token, claims->has_token ? GY_RUDP_TOKEN_BYTES : 0);
    parameters_write(&writer, &claims->parameters);
    gy_assert(!writer.failed);
    return gy_writer_length(&writer);
}

int gy_rudp_claims_read(const uint8_t *data, size_t bytes, struct gy_rudp_claims *claims)
{
    struct gy_reader reader = gy_reader_on(data, bytes);
    memset(claims, 0, sizeof *claims);
    claims->version = gy_reader_u32(&reader);
    cid_read(&reader, &claims->self);
    cid_read(&reader, &claims->peer);
    uint8_t token_bytes = gy_reader_u8(&reader);
    if (token_bytes != 0) {
        const uint8_t *token = gy_reader_bytes(&reader, GY_RUDP_TOKEN_BYTES);
        if (token == NULL || token_bytes != GY_RUDP_TOKEN_BYTES) {
            return GY_EPROTO;
        }
        memcpy(claims->token, token, GY_RUDP_TOKEN_BYTES);
        claims->has_token = true;
    }
    parameters_read(&reader, &claims->parameters);
    return reader.failed ? GY_EPROTO : 0;
}

int gy_rudp_long_write(const struct gy_rudp_long *packet, void *out, size_t room)
{
    struct gy_writer writer = gy_writer_on(out, room);
    bool sealed = packet->version == GY_RUDP_VERSION;
    gy_assert(packet->type <= GY_RUDP_PACKET_ACCEPT);
    gy_assert(sealed || packet->version == GY_RUDP_VERSION_PLAIN);
    gy_writer_u8(&writer, (uint8_t)(0x80 | packet->type));
    gy_writer_u32(&writer, packet->type == GY_RUDP_PACKET_VERSIONS ? 0 : packet->version);
    gy_writer_u8(&writer, packet->to.length);
    gy_writer_bytes(&writer, packet->to.bytes, packet->to.length);
    gy_writer_u8(&writer, packet->from.length);
    gy_writer_bytes(&writer, packet->from.bytes, packet->from.length);
    switch (packet->type) {
    case GY_RUDP_PACKET_VERSIONS:
        gy_writer_u32(&writer, packet->version);
        break;
    case GY_RUDP_PACKET_HELLO:
        gy_writer_u8(&writer, (uint8_t)packet->cookie_bytes);
        gy_writer_bytes(&writer, packet->cookie, packet->cookie_bytes);
        if (sealed) {
            bytes_write(&writer, packet->crypto, packet->crypto_bytes);
            bytes_write(&writer, packet->early, packet->early_bytes);
        } else {
            parameters_write(&writer, &packet->parameters);
        }
        while (!writer.failed &&
               gy_writer_length(&writer) < GY_RUDP_HELLO_BYTES - GY_RUDP_CHECK_BYTES) {
            gy_writer_u8(&writer, 0);
        }
        break;
    case GY_RUDP_PACKET_RETRY:
        gy_writer_bytes(&writer, packet->cookie, GY_RUDP_COOKIE_BYTES);
        break;
    default:
        if (sealed) {
            bytes_write(&writer, packet->crypto, packet->crypto_bytes);
            break;
        }
        gy_writer_bytes(&writer, packet->token, GY_RUDP_TOKEN_BYTES);
        parameters_write(&writer, &packet->parameters);
        break;
    }
    if (!writer.failed) {
        gy_writer_u64(&writer, gy_siphash(&check_key, out, gy_writer_length(&writer)));
    }
    return writer.failed ? GY_ENOBUFS : (int)gy_writer_length(&writer);
}

static int ack_read(struct gy_reader *reader, bool counted, struct gy_rudp_ack *ack)
{
    uint64_t high = gy_rudp_varint_read(reader);
    ack->delay_us = gy_rudp_varint_read(reader);
    uint64_t more = gy_rudp_varint_read(reader);
    if (reader->failed || more >= GY_RUDP_RANGES_MAX) {
        return GY_EPROTO;
    }
    ack->count = (uint32_t)more + 1;
    for (uint32_t i = 0; i < ack->count; i++) {
        /* A gap of g numbers is written as g - 1, a range of n as n - 1. */
        uint64_t gap = i == 0 ? 0 : gy_rudp_varint_read(reader) + 2;
        uint64_t length = gy_rudp_varint_read(reader);
        if (reader->failed || gap > high || length > high - gap) {
            return GY_EPROTO;
        }
        high -= gap;
        ack->ranges[i] = (struct gy_rudp_range){high - length, high};
        high -= length;
    }
    ack->counted = counted;
    ack->ect0 = ack->ect1 = ack->ce = 0;
    if (counted) {
        ack->ect0 = gy_rudp_varint_read(reader);
        ack->ect1 = gy_rudp_varint_read(reader);
        ack->ce = gy_rudp_varint_read(reader);
    }
    return reader->failed ? GY_EPROTO : 1;
}

static int message_read(struct gy_reader *reader, uint8_t type, struct gy_rudp_frame *frame)
{
    bool part = (type & GY_RUDP_MESSAGE_PART) != 0;
    frame->message.guarantee = (enum gy_rudp_guarantee)(type & 3);
    frame->message.channel = gy_reader_u8(reader);
    frame->message.id =
        part || frame->message.guarantee != GY_RUDP_UNRELIABLE ? gy_rudp_varint_read(reader) : 0;
    uint64_t total = part ? gy_rudp_varint_read(reader) : 0;
    uint64_t units = part ? gy_rudp_varint_read(reader) : 0;
    uint64_t length =
        (type & GY_RUDP_MESSAGE_LAST) != 0 ? gy_reader_left(reader) : gy_rudp_varint_read(reader);
    if (reader->failed || length > gy_reader_left(reader) || total > GY_RUDP_MESSAGE_LIMIT ||
        units > GY_RUDP_MESSAGE_LIMIT / GY_RUDP_UNIT) {
        return GY_EPROTO;
    }
    frame->message.data = gy_reader_bytes(reader, (size_t)length);
    frame->message.length = (size_t)length;
    frame->message.total = part ? total : length;
    frame->message.offset = units * GY_RUDP_UNIT;
    if (!part) {
        return 1;
    }
    /* A piece is not empty, ends on a unit or with the message, and is not the whole of it. */
    uint64_t end = frame->message.offset + length;
    return length == 0 || length == total || end > total || (end < total && end % GY_RUDP_UNIT != 0)
               ? GY_EPROTO
               : 1;
}

static int skip_read(struct gy_reader *reader, struct gy_rudp_frame *frame)
{
    uint8_t guarantee = gy_reader_u8(reader);
    frame->skip.guarantee = (enum gy_rudp_guarantee)guarantee;
    frame->skip.channel = gy_reader_u8(reader);
    frame->skip.id = gy_rudp_varint_read(reader);
    frame->skip.total = gy_rudp_varint_read(reader);
    return reader->failed || (guarantee != GY_RUDP_UNORDERED && guarantee != GY_RUDP_ORDERED) ||
                   frame->skip.total > GY_RUDP_MESSAGE_LIMIT
               ? GY_EPROTO
               : 1;
}

static int repair_read(struct gy_reader *reader, struct gy_rudp_frame *frame)
{
    frame->repair.first = gy_rudp_varint_read(reader);
    uint64_t mask = gy_rudp_varint_read(reader);
    uint64_t lengths = gy_rudp_varint_read(reader);
    uint64_t length = gy_rudp_varint_read(reader);
    if (reader->failed || mask >> (GY_RUDP_FEC_SPAN - 1) != 0 || length < 4 ||
        length > GY_RUDP_FEC_BYTES || lengths > 2047 || length > gy_reader_left(reader)) {
        return GY_EPROTO;
    }
    frame->repair.mask = (uint32_t)mask;
    frame->repair.lengths = (uint32_t)lengths;
    frame->repair.data = gy_reader_bytes(reader, (size_t)length);
    frame->repair.length = (size_t)length;
    return 1;
}

int gy_rudp_frame_read(struct gy_reader *reader, struct gy_rudp_frame *frame)
{
    if (gy_reader_left(reader) == 0) {
        return 0;
    }
    uint8_t type = gy_reader_u8(reader);
    frame->type = (enum gy_rudp_frame_type)type;
    switch (type) {
    case GY_RUDP_FRAME_PADDING:
    case GY_RUDP_FRAME_PING:
    case GY_RUDP_FRAME_DONE:
        return 1;
    case GY_RUDP_FRAME_ADDRESS_TOKEN:
        frame->address_token = gy_reader_bytes(reader, GY_RUDP_COOKIE_BYTES);
        return reader->failed ? GY_EPROTO : 1;
    case GY_RUDP_FRAME_ACK:
        return ack_read(reader, false, &frame->ack);
    case GY_RUDP_FRAME_ACK_ECN:
        frame->type = GY_RUDP_FRAME_ACK;
        return ack_read(reader, true, &frame->ack);
    case GY_RUDP_FRAME_CLOSE:
        frame->close.code = gy_rudp_varint_read(reader);
        frame->close.reason_bytes = gy_reader_u8(reader);
        frame->close.reason = gy_reader_bytes(reader, frame->close.reason_bytes);
        return reader->failed || frame->close.reason_bytes > GY_RUDP_REASON_MAX ? GY_EPROTO : 1;
    case GY_RUDP_FRAME_CREDIT:
    case GY_RUDP_FRAME_BLOCKED:
        frame->credit = gy_rudp_varint_read(reader);
        return reader->failed ? GY_EPROTO : 1;
    case GY_RUDP_FRAME_CHANNEL_CREDIT:
    case GY_RUDP_FRAME_CHANNEL_BLOCKED:
        frame->of_channel.channel = gy_reader_u8(reader);
        frame->of_channel.credit = gy_rudp_varint_read(reader);
        return reader->failed ? GY_EPROTO : 1;
    case GY_RUDP_FRAME_SKIP:
        return skip_read(reader, frame);
    case GY_RUDP_FRAME_REPAIR:
        return repair_read(reader, frame);
    case GY_RUDP_FRAME_RECOVERED:
        frame->recovered = gy_rudp_varint_read(reader);
        return reader->failed ? GY_EPROTO : 1;
    case GY_RUDP_FRAME_CHALLENGE:
    case GY_RUDP_FRAME_RESPONSE:
        frame->proof = gy_reader_u64(reader);
        return reader->failed ? GY_EPROTO : 1;
    case GY_RUDP_FRAME_CRYPTO:
        frame->crypto.offset = gy_rudp_varint_read(reader);
        bytes_read(reader, &frame->crypto.data, &frame->crypto.length);
        return reader->failed || frame->crypto.length == 0 ? GY_EPROTO : 1;
    default:
        if (type >> 4 != 1) {
            return GY_EPROTO;
        }
        frame->type = GY_RUDP_FRAME_MESSAGE;
        return message_read(reader, type, frame);
    }
}

static void ack_write(struct gy_writer *writer, const struct gy_rudp_ack *ack)
{
    gy_assert(ack->count >= 1 && ack->count <= GY_RUDP_RANGES_MAX);
    gy_rudp_varint_write(writer, ack->ranges[0].high);
    gy_rudp_varint_write(writer, ack->delay_us);
    gy_rudp_varint_write(writer, ack->count - 1);
    for (uint32_t i = 0; i < ack->count; i++) {
        if (i > 0) {
            gy_rudp_varint_write(writer, ack->ranges[i - 1].low - ack->ranges[i].high - 2);
        }
        gy_rudp_varint_write(writer, ack->ranges[i].high - ack->ranges[i].low);
    }
    if (ack->counted) {
        gy_rudp_varint_write(writer, ack->ect0);
        gy_rudp_varint_write(writer, ack->ect1);
        gy_rudp_varint_write(writer, ack->ce);
    }
}

static bool is_part(const struct gy_rudp_frame *frame)
{
    return frame->message.length != frame->message.total;
}

static void message_write(struct gy_writer *writer, const struct gy_rudp_frame *frame, bool last)
{
    bool part = is_part(frame);
    gy_assert(frame->message.offset % GY_RUDP_UNIT == 0);
    gy_writer_u8(writer,
                 (uint8_t)(GY_RUDP_FRAME_MESSAGE | frame->message.guarantee |
                           (part ? GY_RUDP_MESSAGE_PART : 0) | (last ? GY_RUDP_MESSAGE_LAST : 0)));
    gy_writer_u8(writer, frame->message.channel);
    if (part || frame->message.guarantee != GY_RUDP_UNRELIABLE) {
        gy_rudp_varint_write(writer, frame->message.id);
    }
    if (part) {
        gy_rudp_varint_write(writer, frame->message.total);
        gy_rudp_varint_write(writer, frame->message.offset / GY_RUDP_UNIT);
    }
    if (!last) {
        gy_rudp_varint_write(writer, frame->message.length);
    }
    gy_writer_bytes(writer, frame->message.data, frame->message.length);
}

size_t gy_rudp_message_overhead(const struct gy_rudp_frame *frame)
{
    bool part = is_part(frame);
    size_t bytes = 2 + gy_rudp_varint_bytes(frame->message.length);
    if (part || frame->message.guarantee != GY_RUDP_UNRELIABLE) {
        bytes += gy_rudp_varint_bytes(frame->message.id);
    }
    if (part) {
        bytes += gy_rudp_varint_bytes(frame->message.total) +
                 gy_rudp_varint_bytes(frame->message.offset / GY_RUDP_UNIT);
    }
    return bytes;
}

bool gy_rudp_frame_write(struct gy_writer *writer, const struct gy_rudp_frame *frame, bool last)
{
    struct gy_writer before = *writer;
    switch (frame->type) {
    case GY_RUDP_FRAME_MESSAGE:
        message_write(writer, frame, last);
        break;
    case GY_RUDP_FRAME_ACK:
        gy_writer_u8(writer, frame->ack.counted ? GY_RUDP_FRAME_ACK_ECN : GY_RUDP_FRAME_ACK);
        ack_write(writer, &frame->ack);
        break;
    case GY_RUDP_FRAME_CLOSE:
        gy_assert(frame->close.reason_bytes <= GY_RUDP_REASON_MAX);
        gy_writer_u8(writer, GY_RUDP_FRAME_CLOSE);
        gy_rudp_varint_write(writer, frame->close.code);
        gy_writer_u8(writer, (uint8_t)frame->close.reason_bytes);
        gy_writer_bytes(writer, frame->close.reason, frame->close.reason_bytes);
        break;
    case GY_RUDP_FRAME_CREDIT:
    case GY_RUDP_FRAME_BLOCKED:
        gy_writer_u8(writer, (uint8_t)frame->type);
        gy_rudp_varint_write(writer, frame->credit);
        break;
    case GY_RUDP_FRAME_CHANNEL_CREDIT:
    case GY_RUDP_FRAME_CHANNEL_BLOCKED:
        gy_writer_u8(writer, (uint8_t)frame->type);
        gy_writer_u8(writer, frame->of_channel.channel);
        gy_rudp_varint_write(writer, frame->of_channel.credit);
        break;
    case GY_RUDP_FRAME_SKIP:
        gy_writer_u8(writer, GY_RUDP_FRAME_SKIP);
        gy_writer_u8(writer, (uint8_t)frame->skip.guarantee);
        gy_writer_u8(writer, frame->skip.channel);
        gy_rudp_varint_write(writer, frame->skip.id);
        gy_rudp_varint_write(writer, frame->skip.total);
        break;
    case GY_RUDP_FRAME_REPAIR:
        gy_assert(frame->repair.length >= 4 && frame->repair.length <= GY_RUDP_FEC_BYTES);
        gy_writer_u8(writer, GY_RUDP_FRAME_REPAIR);
        gy_rudp_varint_write(writer, frame->repair.first);
        gy_rudp_varint_write(writer, frame->repair.mask);
        gy_rudp_varint_write(writer, frame->repair.lengths);
        gy_rudp_varint_write(writer, frame->repair.length);
        gy_writer_bytes(writer, frame->repair.data, frame->repair.length);
        break;
    case GY_RUDP_FRAME_RECOVERED:
        gy_writer_u8(writer, GY_RUDP_FRAME_RECOVERED);
        gy_rudp_varint_write(writer, frame->recovered);
        break;
    case GY_RUDP_FRAME_CHALLENGE:
    case GY_RUDP_FRAME_RESPONSE:
        gy_writer_u8(writer, (uint8_t)frame->type);
        gy_writer_u64(writer, frame->proof);
        break;
    case GY_RUDP_FRAME_ADDRESS_TOKEN:
        gy_writer_u8(writer, (uint8_t)frame->type);
        gy_writer_bytes(writer, frame->address_token, GY_RUDP_COOKIE_BYTES);
        break;
    case GY_RUDP_FRAME_CRYPTO:
        gy_assert(frame->crypto.length > 0);
        gy_writer_u8(writer, GY_RUDP_FRAME_CRYPTO);
        gy_rudp_varint_write(writer, frame->crypto.offset);
        bytes_write(writer, frame->crypto.data, frame->crypto.length);
        break;
    default:
        gy_assert(frame->type == GY_RUDP_FRAME_PADDING || frame->type == GY_RUDP_FRAME_PING ||
                  frame->type == GY_RUDP_FRAME_DONE);
        gy_writer_u8(writer, (uint8_t)frame->type);
        break;
    }
    if (writer->failed) {
        *writer = before;
        return false;
    }
    return true;
}
