/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include "core/error.h"
#include "protocols/rudp/wire.h"

/* The bytes are written by hand after protocols/rudp/README.md; variable-length integers and packet
 * numbers are the examples of RFC 9000, appendix A. */

static int read_frame(const uint8_t *bytes, size_t length, struct gy_rudp_frame *frame)
{
    struct gy_reader reader = gy_reader_on(bytes, length);
    int code = gy_rudp_frame_read(&reader, frame);
    if (code == 1) {
        assert_int_equal(gy_reader_left(&reader), 0);
    }
    return code;
}

#define READ(frame, ...)                                                                           \
    read_frame((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), frame)

static void check_written(const struct gy_rudp_frame *frame, bool last, const uint8_t *bytes,
                          size_t length)
{
    uint8_t out[256];
    struct gy_writer writer = gy_writer_on(out, sizeof out);
    assert_true(gy_rudp_frame_write(&writer, frame, last));
    assert_int_equal(gy_writer_length(&writer), length);
    assert_memory_equal(out, bytes, length);
    /* With a byte less room nothing is written. */
    writer = gy_writer_on(out, length - 1);
    assert_false(gy_rudp_frame_write(&writer, frame, last));
    assert_int_equal(gy_writer_length(&writer), 0);
}

#define WRITTEN(frame, last, ...)                                                                  \
    check_written(frame, last, (const uint8_t[]){__VA_ARGS__},                                     \
                  sizeof((const uint8_t[]){__VA_ARGS__}))

static uint64_t varint(const uint8_t *bytes, size_t length)
{
    struct gy_reader reader = gy_reader_on(bytes, length);
    uint64_t value = gy_rudp_varint_read(&reader);
    assert_false(reader.failed);
    assert_int_equal(gy_reader_left(&reader), 0);
    return value;
}

static void varints_are_those_of_rfc_9000(void **state)
{
    (void)state;
    const uint8_t eight[] = {0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c};
    const uint8_t four[] = {0x9d, 0x7f, 0x3e, 0x7d};
    assert_true(varint(eight, 8) == UINT64_C(151288809941952652));
    assert_int_equal(varint(four, 4), 494878333);
    assert_int_equal(varint((const uint8_t[]){0x7b, 0xbd}, 2), 15293);
    assert_int_equal(varint((const uint8_t[]){0x25}, 1), 37);
    assert_int_equal(varint((const uint8_t[]){0x40, 0x25}, 2), 37);
    uint8_t out[8];
    struct gy_writer writer = gy_writer_on(out, sizeof out);
    gy_rudp_varint_write(&writer, UINT64_C(151288809941952652));
    assert_memory_equal(out, eight, 8);
    writer = gy_writer_on(out, sizeof out);
    gy_rudp_varint_write(&writer, 494878333);
    assert_int_equal(gy_writer_length(&writer), 4);
    assert_memory_equal(out, four, 4);
}

static void packet_numbers_are_cut_and_expanded_as_in_rfc_9000(void **state)
{
    (void)state;
    assert_int_equal(gy_rudp_number_bytes(0xac5c02, 0xabe8b3), 2);
    assert_int_equal(gy_rudp_number_bytes(0xace8fe, 0xabe8b3), 3);
    assert_int_equal(gy_rudp_number_bytes(0, UINT64_MAX), 1);
    assert_true(gy_rudp_number_expand(0xa82f30eb, 0x9b32, 2) == 0xa82f9b32);
    assert_true(gy_rudp_number_expand(0, 0, 1) == 0);
    assert_true(gy_rudp_number_expand(256, 0xff, 1) == 255);
    assert_true(gy_rudp_number_expand(255, 0x00, 1) == 256);
}

static void an_ack_has_its_ranges_downwards(void **state)
{
    (void)state;
    struct gy_rudp_frame frame;
    /* 100..98, then 96 (97 is missing), then 90..80 (five are missing). */
    assert_int_equal(READ(&frame, 0x02, 0x40, 100, 0x08, 0x02, 0x02, 0x00, 0x00, 0x04, 0x0a), 1);
    assert_int_equal(frame.type, GY_RUDP_FRAME_ACK);
    assert_int_equal(frame.ack.delay_us, 8);
    assert_int_equal(frame.ack.count, 3);
    assert_true(frame.ack.ranges[0].high == 100 && frame.ack.ranges[0].low == 98);
    assert_true(frame.ack.ranges[1].high == 96 && frame.ack.ranges[1].low == 96);
    assert_true(frame.ack.ranges[2].high == 90 && frame.ack.ranges[2].low == 80);
    WRITTEN(&frame, false, 0x02, 0x40, 100, 0x08, 0x02, 0x02, 0x00, 0x00, 0x04, 0x0a);
}

static void an_ack_with_counts_ends_with_them(void **state)
{
    (void)state;
    struct gy_rudp_frame frame;
    assert_int_equal(READ(&frame, 0x0a, 0x05, 0x00, 0x00, 0x02, 0x40, 0x80, 0x00, 0x03), 1);
    assert_int_equal(frame.type, GY_RUDP_FRAME_ACK);
    assert_true(frame.ack.counted && frame.ack.ranges[0].low == 3);
    assert_true(frame.ack.ect0 == 128 && frame.ack.ect1 == 0 && frame.ack.ce == 3);
    WRITTEN(&frame, false, 0x0a, 0x05, 0x00, 0x00, 0x02, 0x40, 0x80, 0x00, 0x03);
    assert_int_equal(READ(&frame, 0x0a, 0x05, 0x00, 0x00, 0x02, 0x40, 0x80, 0x00), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x02, 0x05, 0x00, 0x00, 0x02), 1);
    assert_false(frame.ack.counted);
}

static void credit_of_channels_and_its_want_name_channel_and_bytes(void **state)
{
    (void)state;
    struct gy_rudp_frame frame;
    assert_int_equal(READ(&frame, 0x0b, 0xff, 0x44, 0x00), 1);
    assert_int_equal(frame.type, GY_RUDP_FRAME_CHANNEL_CREDIT);
    assert_true(frame.of_channel.channel == 255 && frame.of_channel.credit == 1024);
    WRITTEN(&frame, false, 0x0b, 0xff, 0x44, 0x00);
    assert_int_equal(READ(&frame, 0x0f, 0x02, 0x44, 0x00), 1);
    assert_int_equal(frame.type, GY_RUDP_FRAME_CHANNEL_BLOCKED);
    WRITTEN(&frame, false, 0x0f, 0x02, 0x44, 0x00);
    assert_int_equal(READ(&frame, 0x0e, 0x44, 0x00), 1);
    assert_int_equal(frame.type, GY_RUDP_FRAME_BLOCKED);
    assert_true(frame.credit == 1024);
    WRITTEN(&frame, false, 0x0e, 0x44, 0x00);
    assert_int_equal(READ(&frame, 0x0b, 0xff), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x0e, 0x44), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x0f, 0x02, 0x44), GY_EPROTO);
}

static void an_ack_below_zero_or_with_too_many_ranges_is_refused(void **state)
{
    (void)state;
    struct gy_rudp_frame frame;
    assert_int_equal(READ(&frame, 0x02, 0x05, 0x00, 0x00, 0x06), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x02, 0x05, 0x00, 0x01, 0x02, 0x02, 0x00), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x02, 0x05, 0x00, 0x20, 0x00), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x02, 0x05, 0x00, 0x01, 0x00), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x02, 0x05, 0x00, 0x00, 0x05), 1);
}

static void a_whole_message_costs_four_bytes_at_the_end_of_a_packet(void **state)
{
    (void)state;
    struct gy_rudp_frame frame;
    assert_int_equal(READ(&frame, 0x1b, 0x07, 0x2a, 'h', 'i'), 1);
    assert_int_equal(frame.type, GY_RUDP_FRAME_MESSAGE);
    assert_int_equal(frame.message.guarantee, GY_RUDP_ORDERED);
    assert_int_equal(frame.message.channel, 7);
    assert_int_equal(frame.message.id, 42);
    assert_int_equal(frame.message.total, 2);
    assert_int_equal(frame.message.offset, 0);
    assert_memory_equal(frame.message.data, "hi", 2);
    WRITTEN(&frame, true, 0x1b, 0x07, 0x2a, 'h', 'i');
    WRITTEN(&frame, false, 0x13, 0x07, 0x2a, 0x02, 'h', 'i');
    assert_int_equal(gy_rudp_message_overhead(&frame), 4);
}

static void a_whole_unreliable_message_has_no_id(void **state)
{
    (void)state;
    struct gy_rudp_frame frame;
    assert_int_equal(READ(&frame, 0x10, 0x00, 0x02, 'h', 'i'), 1);
    assert_int_equal(frame.message.guarantee, GY_RUDP_UNRELIABLE);
    assert_int_equal(frame.message.length, 2);
    WRITTEN(&frame, false, 0x10, 0x00, 0x02, 'h', 'i');
    assert_int_equal(READ(&frame, 0x18, 0xff), 1);
    assert_int_equal(frame.message.channel, 255);
    assert_int_equal(frame.message.length, 0);
}

static void a_part_ends_on_a_unit_or_with_its_message(void **state)
{
    (void)state;
    struct gy_rudp_frame frame;
    /* The last 2 of 66 bytes. */
    assert_int_equal(READ(&frame, 0x1e, 0x00, 0x05, 0x40, 66, 0x01, 'y', 'z'), 1);
    assert_int_equal(frame.message.guarantee, GY_RUDP_UNORDERED);
    assert_int_equal(frame.message.total, 66);
    assert_int_equal(frame.message.offset, 64);
    WRITTEN(&frame, true, 0x1e, 0x00, 0x05, 0x40, 66, 0x01, 'y', 'z');
    /* Of 67, it ends nowhere. */
    assert_int_equal(READ(&frame, 0x1e, 0x00, 0x05, 0x40, 67, 0x01, 'y', 'z'), GY_EPROTO);
    /* Past the end, empty, the whole. */
    assert_int_equal(READ(&frame, 0x1e, 0x00, 0x05, 0x40, 65, 0x01, 'y', 'z'), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x1e, 0x00, 0x05, 0x40, 66, 0x01), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x1e, 0x00, 0x05, 0x02, 0x00, 'y', 'z'), GY_EPROTO);
    /* More than 16 MiB. */
    assert_int_equal(READ(&frame, 0x1e, 0x00, 0x05, 0x81, 0x00, 0x00, 0x01, 0x01, 'y', 'z'),
                     GY_EPROTO);
}

static void a_length_past_the_packet_is_refused(void **state)
{
    (void)state;
    struct gy_rudp_frame frame;
    assert_int_equal(READ(&frame, 0x10, 0x00, 0x03, 'h', 'i'), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x03, 0x00, 0x02, 'x'), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x13, 0x00), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x04), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x08), GY_EPROTO);
    assert_int_equal(READ(&frame, 0x20), GY_EPROTO);
}

static void close_credit_and_skip_are_as_described(void **state)
{
    (void)state;
    struct gy_rudp_frame frame;
    assert_int_equal(READ(&frame, 0x03, 0x41, 0x00, 0x03, 'b', 'y', 'e'), 1);
    assert_int_equal(frame.close.code, 0x100);
    assert_memory_equal(frame.close.reason, "bye", 3);
    WRITTEN(&frame, false, 0x03, 0x41, 0x00, 0x03, 'b', 'y', 'e');
    assert_int_equal(READ(&frame, 0x04, 0x80, 0x01, 0x00, 0x00), 1);
    assert_int_equal(frame.credit, 65536);
    WRITTEN(&frame, false, 0x04, 0x80, 0x01, 0x00, 0x00);
    assert_int_equal(READ(&frame, 0x05, 0x03, 0x09, 0x01, 0x0a), 1);
    assert_true(frame.skip.guarantee == GY_RUDP_ORDERED && frame.skip.channel == 9);
    assert_true(frame.skip.id == 1 && frame.skip.total == 10);
    WRITTEN(&frame, false, 0x05, 0x03, 0x09, 0x01, 0x0a);
    /* What is unreliable is not waited for. */
    assert_int_equal(READ(&frame, 0x05, 0x01, 0x09, 0x01, 0x0a), GY_EPROTO);
}

/* RETRY from "S" to "CC", its check by an independent SipHash-2-4. */
static const uint8_t retry_bytes[] = {
    0x82, 0x67, 0x79, 0x00, 0x01, 0x02, 'C',  'C',  0x01, 'S',  0,  1,
    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12, 13,
    14,   15,   0xa6, 0x2f, 0x34, 0x35, 0x66, 0xa6, 0x03, 0xa7,
};

static void a_retry_is_as_described(void **state)
{
    (void)state;
    struct gy_rudp_long packet;
    uint8_t out[64];
    assert_int_equal(gy_rudp_long_read(retry_bytes, sizeof retry_bytes, &packet), 0);
    assert_int_equal(packet.type, GY_RUDP_PACKET_RETRY);
    assert_true(packet.to.length == 2 && packet.from.length == 1 && packet.from.bytes[0] == 'S');
    assert_int_equal(packet.cookie[15], 15);
    assert_int_equal(gy_rudp_long_write(&packet, out, sizeof out), sizeof retry_bytes);
    assert_memory_equal(out, retry_bytes, sizeof retry_bytes);
}

static void a_long_packet_with_any_bit_changed_is_refused(void **state)
{
    (void)state;
    struct gy_rudp_long packet;
    uint8_t bytes[sizeof retry_bytes];
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        memcpy(bytes, retry_bytes, sizeof bytes);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(gy_rudp_long_read(bytes, sizeof bytes, &packet), GY_EPROTO);
    }
    for (size_t length = 0; length < sizeof bytes; length++) {
        assert_int_equal(gy_rudp_long_read(retry_bytes, length, &packet), GY_EPROTO);
    }
}

static void a_hello_has_1200_bytes_and_its_parameters(void **state)
{
    (void)state;
    static uint8_t cookie[GY_RUDP_COOKIE_BYTES] = {1};
    struct gy_rudp_long packet = {.type = GY_RUDP_PACKET_HELLO,
                                  .version = GY_RUDP_VERSION_PLAIN,
                                  .from = {{'c'}, 1},
                                  .cookie = cookie,
                                  .cookie_bytes = 16};
    packet.parameters = (struct gy_rudp_parameters){65536, 32768, 4, 30000, 1452, 512, 60000, 1};
    uint8_t out[GY_RUDP_HELLO_BYTES];
    assert_int_equal(gy_rudp_long_write(&packet, out, sizeof out), GY_RUDP_HELLO_BYTES);
    const uint8_t head[] = {0x81, 0x67, 0x79, 0x00, 0x01, 0x00, 0x01, 'c', 0x10, 0x01};
    const uint8_t parameters[] = {0x80, 0x01, 0x00, 0x00, 0x80, 0x00, 0x80, 0x00, 0x04, 0x80, 0x00,
                                  0x75, 0x30, 0x45, 0xac, 0x42, 0x00, 0x80, 0x00, 0xea, 0x60, 0x01};
    assert_memory_equal(out, head, sizeof head);
    assert_memory_equal(out + 9 + 16, parameters, sizeof parameters);
    struct gy_rudp_long again;
    assert_int_equal(gy_rudp_long_read(out, sizeof out, &again), 0);
    assert_memory_equal(&again.parameters, &packet.parameters, sizeof packet.parameters);
    assert_int_equal(gy_rudp_long_write(&packet, out, sizeof out - 1), GY_ENOBUFS);
}

static void an_encrypted_hello_carries_what_tls_says_and_an_early_packet(void **state)
{
    (void)state;
    static uint8_t cookie[GY_RUDP_COOKIE_BYTES] = {1};
    static const uint8_t text[100] = "ClientHello", early[30] = "early";
    struct gy_rudp_long packet = {.type = GY_RUDP_PACKET_HELLO,
                                  .version = GY_RUDP_VERSION,
                                  .from = {{'c'}, 1},
                                  .cookie = cookie,
                                  .cookie_bytes = 16,
                                  .crypto = text,
                                  .crypto_bytes = sizeof text,
                                  .early = early,
                                  .early_bytes = sizeof early};
    uint8_t out[GY_RUDP_HELLO_BYTES];
    assert_int_equal(gy_rudp_long_write(&packet, out, sizeof out), GY_RUDP_HELLO_BYTES);
    const uint8_t head[] = {0x81, 0x67, 0x79, 0x00, 0x02, 0x00, 0x01, 'c', 0x10, 0x01};
    assert_memory_equal(out, head, sizeof head);
    const uint8_t lengths[] = {0x40, 0x64, 'C', 'l'};
    assert_memory_equal(out + 9 + 16, lengths, sizeof lengths);
    assert_int_equal(out[9 + 16 + 2 + sizeof text], 30);
    struct gy_rudp_long again;
    assert_int_equal(gy_rudp_long_read(out, sizeof out, &again), 0);
    assert_int_equal(again.crypto_bytes, sizeof text);
    assert_memory_equal(again.crypto, text, sizeof text);
    assert_int_equal(again.early_bytes, sizeof early);
    assert_memory_equal(again.early, early, sizeof early);
}

static void crypto_done_and_address_tokens_are_as_described(void **state)
{
    (void)state;
    const uint8_t bytes[] = {0x08, 0x41, 0x00, 0x03, 'a', 'b', 'c', 0x09, 0x08, 0x00, 0x00};
    struct gy_reader reader = gy_reader_on(bytes, sizeof bytes);
    struct gy_rudp_frame frame;
    uint8_t out[16];
    assert_int_equal(gy_rudp_frame_read(&reader, &frame), 1);
    assert_int_equal(frame.type, GY_RUDP_FRAME_CRYPTO);
    assert_int_equal(frame.crypto.offset, 256);
    assert_int_equal(frame.crypto.length, 3);
    assert_memory_equal(frame.crypto.data, "abc", 3);
    struct gy_writer writer = gy_writer_on(out, sizeof out);
    assert_true(gy_rudp_frame_write(&writer, &frame, false));
    assert_int_equal(gy_writer_length(&writer), 7);
    assert_memory_equal(out, bytes, 7);
    assert_int_equal(gy_rudp_frame_read(&reader, &frame), 1);
    assert_int_equal(frame.type, GY_RUDP_FRAME_DONE);
    /* Nothing said is malformed, and so is more than there is. */
    assert_int_equal(gy_rudp_frame_read(&reader, &frame), GY_EPROTO);
    uint8_t token[1 + GY_RUDP_COOKIE_BYTES] = {0x20, 1, 2, 3};
    reader = gy_reader_on(token, sizeof token);
    assert_int_equal(gy_rudp_frame_read(&reader, &frame), 1);
    assert_int_equal(frame.type, GY_RUDP_FRAME_ADDRESS_TOKEN);
    assert_ptr_equal(frame.address_token, token + 1);
    uint8_t again[sizeof token];
    writer = gy_writer_on(again, sizeof again);
    assert_true(gy_rudp_frame_write(&writer, &frame, false));
    assert_memory_equal(again, token, sizeof token);
    reader = gy_reader_on(token, sizeof token - 1);
    assert_int_equal(gy_rudp_frame_read(&reader, &frame), GY_EPROTO);
    const uint8_t cut[] = {0x08, 0x00, 0x04, 'a', 'b', 'c'};
    reader = gy_reader_on(cut, sizeof cut);
    assert_int_equal(gy_rudp_frame_read(&reader, &frame), GY_EPROTO);
}

static void claims_are_as_described_and_never_more(void **state)
{
    (void)state;
    struct gy_rudp_claims claims = {
        .version = GY_RUDP_VERSION,
        .self = {{1, 2}, 2},
        .peer = {{3}, 1},
        .token = {9},
        .has_token = true,
        .parameters = {65536, 32768, 4, 30000, 1452, 5, 44000, 1},
    };
    struct gy_rudp_claims again;
    uint8_t out[GY_RUDP_CLAIMS_MAX];
    size_t bytes = gy_rudp_claims_write(&claims, out);
    const uint8_t head[] = {0x67, 0x79, 0x00, 0x02, 0x02, 1, 2, 0x01, 3, 0x10, 9, 0};
    assert_int_equal(bytes, 4 + 3 + 2 + 17 + 15 + 1 + 4 + 1);
    assert_memory_equal(out, head, sizeof head);
    assert_int_equal(gy_rudp_claims_read(out, bytes, &again), 0);
    assert_memory_equal(&again.parameters, &claims.parameters, sizeof claims.parameters);
    assert_true(again.has_token && gy_rudp_cid_equal(&again.self, &claims.self) &&
                gy_rudp_cid_equal(&again.peer, &claims.peer));
    for (size_t length = 0; length < bytes - 6; length++) {
        assert_int_equal(gy_rudp_claims_read(out, length, &again), GY_EPROTO);
    }
    /* The last three may be left out: who says less was made before there was more. */
    assert_int_equal(gy_rudp_claims_read(out, bytes - 6, &again), 0);
    assert_true(again.parameters.ahead == 0 && again.parameters.channel_window == 0 &&
                again.parameters.features == 0);
    out[4 + 3 + 2] = 15; /* a token of another length */
    assert_int_equal(gy_rudp_claims_read(out, bytes, &again), GY_EPROTO);
    out[4] = 9; /* an id too long */
    assert_int_equal(gy_rudp_claims_read(out, bytes, &again), GY_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints_are_those_of_rfc_9000),
        cmocka_unit_test(packet_numbers_are_cut_and_expanded_as_in_rfc_9000),
        cmocka_unit_test(an_ack_has_its_ranges_downwards),
        cmocka_unit_test(an_ack_with_counts_ends_with_them),
        cmocka_unit_test(credit_of_channels_and_its_want_name_channel_and_bytes),
        cmocka_unit_test(an_ack_below_zero_or_with_too_many_ranges_is_refused),
        cmocka_unit_test(a_whole_message_costs_four_bytes_at_the_end_of_a_packet),
        cmocka_unit_test(a_whole_unreliable_message_has_no_id),
        cmocka_unit_test(a_part_ends_on_a_unit_or_with_its_message),
        cmocka_unit_test(a_length_past_the_packet_is_refused),
        cmocka_unit_test(close_credit_and_skip_are_as_described),
        cmocka_unit_test(a_retry_is_as_described),
        cmocka_unit_test(a_long_packet_with_any_bit_changed_is_refused),
        cmocka_unit_test(a_hello_has_1200_bytes_and_its_parameters),
        cmocka_unit_test(an_encrypted_hello_carries_what_tls_says_and_an_early_packet),
        cmocka_unit_test(crypto_done_and_address_tokens_are_as_described),
        cmocka_unit_test(claims_are_as_described_and_never_more),
    };
    return cmocka_run_group_tests_name("rudp_wire", tests, NULL, NULL);
}
