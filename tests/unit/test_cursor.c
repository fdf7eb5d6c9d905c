/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include "core/cursor.h"

static const uint8_t bytes[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
                                0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9};

static void numbers_are_read_big_endian(void **state)
{
    (void)state;
    struct gy_reader reader = gy_reader_on(bytes, sizeof bytes);
    assert_int_equal(gy_reader_u8(&reader), 0x01);
    assert_int_equal(gy_reader_u16(&reader), 0x0203);
    assert_int_equal(gy_reader_u32(&reader), 0x04050607);
    assert_true(gy_reader_u64(&reader) == UINT64_C(0x08fffefdfcfbfaf9));
    assert_int_equal(gy_reader_left(&reader), 0);
    assert_false(reader.failed);
}

static void high_bits_do_not_spread(void **state)
{
    (void)state;
    struct gy_reader reader = gy_reader_on(bytes + 8, 7);
    assert_int_equal(gy_reader_u16(&reader), 0xfffe);
    assert_true(gy_reader_u32(&reader) == UINT32_C(0xfdfcfbfa));
}

static void bytes_are_shown_in_place(void **state)
{
    (void)state;
    struct gy_reader reader = gy_reader_on(bytes, sizeof bytes);
    assert_ptr_equal(gy_reader_bytes(&reader, 3), bytes);
    assert_ptr_equal(gy_reader_bytes(&reader, 0), bytes + 3);
    assert_ptr_equal(gy_reader_bytes(&reader, sizeof bytes - 3), bytes + 3);
    assert_int_equal(gy_reader_left(&reader), 0);
    assert_ptr_equal(gy_reader_bytes(&reader, 0), bytes + sizeof bytes);
    assert_false(reader.failed);
}

static void reading_past_the_end_fails_and_yields_zero(void **state)
{
    (void)state;
    struct gy_reader reader = gy_reader_on(bytes, 1);
    assert_int_equal(gy_reader_u16(&reader), 0);
    assert_true(reader.failed);
    struct gy_reader three = gy_reader_on(bytes, 3);
    gy_reader_u32(&three);
    assert_true(three.failed);
    struct gy_reader seven = gy_reader_on(bytes, 7);
    gy_reader_u64(&seven);
    assert_true(seven.failed);
    struct gy_reader none = gy_reader_on(bytes, 0);
    assert_int_equal(gy_reader_u8(&none), 0);
    assert_true(none.failed);
    assert_null(gy_reader_bytes(&none, 0));
}

static void a_number_of_which_only_a_part_is_there_yields_zero(void **state)
{
    (void)state;
    struct gy_reader three = gy_reader_on(bytes, 3);
    assert_int_equal(gy_reader_u32(&three), 0);
    struct gy_reader six = gy_reader_on(bytes, 6);
    assert_true(gy_reader_u64(&six) == 0);
    struct gy_reader four = gy_reader_on(bytes, 4);
    assert_true(gy_reader_u64(&four) == 0);
}

static void a_failed_reader_stays_failed_and_moves_no_further(void **state)
{
    (void)state;
    struct gy_reader reader = gy_reader_on(bytes, 4);
    assert_null(gy_reader_bytes(&reader, 5));
    assert_int_equal(gy_reader_u8(&reader), 0);
    assert_int_equal(gy_reader_u16(&reader), 0);
    assert_int_equal(gy_reader_u32(&reader), 0);
    assert_true(gy_reader_u64(&reader) == 0);
    assert_null(gy_reader_bytes(&reader, 1));
    assert_int_equal(gy_reader_left(&reader), 4);
}

static void an_absurd_length_is_refused(void **state)
{
    (void)state;
    struct gy_reader reader = gy_reader_on(bytes, sizeof bytes);
    assert_null(gy_reader_bytes(&reader, SIZE_MAX));
    assert_true(reader.failed);
    uint8_t room[4];
    struct gy_writer writer = gy_writer_on(room, sizeof room);
    gy_writer_bytes(&writer, bytes, SIZE_MAX);
    assert_true(writer.failed);
    assert_int_equal(gy_writer_length(&writer), 0);
}

static void numbers_are_written_big_endian(void **state)
{
    (void)state;
    uint8_t room[15];
    struct gy_writer writer = gy_writer_on(room, sizeof room);
    gy_writer_u8(&writer, 0x01);
    gy_writer_u16(&writer, 0x0203);
    gy_writer_u32(&writer, 0x04050607);
    gy_writer_u64(&writer, UINT64_C(0x08fffefdfcfbfaf9));
    assert_false(writer.failed);
    assert_int_equal(gy_writer_length(&writer), sizeof bytes);
    assert_memory_equal(room, bytes, sizeof bytes);
}

static void bytes_and_text_are_written_without_a_zero(void **state)
{
    (void)state;
    uint8_t room[8];
    memset(room, '#', sizeof room);
    struct gy_writer writer = gy_writer_on(room, sizeof room);
    gy_writer_text(&writer, "GET");
    gy_writer_bytes(&writer, " /", 2);
    gy_writer_text(&writer, "");
    gy_writer_bytes(&writer, NULL, 0);
    assert_int_equal(gy_writer_length(&writer), 5);
    assert_memory_equal(room, "GET /###", 8);
    assert_false(writer.failed);
}

static void a_writer_can_be_filled_to_its_last_byte(void **state)
{
    (void)state;
    uint8_t room[4];
    struct gy_writer writer = gy_writer_on(room, sizeof room);
    gy_writer_u32(&writer, 1);
    assert_false(writer.failed);
    gy_writer_bytes(&writer, "", 0);
    assert_false(writer.failed);
    gy_writer_u8(&writer, 1);
    assert_true(writer.failed);
    assert_int_equal(gy_writer_length(&writer), 4);
}

static void what_does_not_fit_is_not_written_nor_is_what_follows(void **state)
{
    (void)state;
    uint8_t room[4] = "####";
    struct gy_writer writer = gy_writer_on(room, 3);
    gy_writer_u8(&writer, 'a');
    gy_writer_bytes(&writer, "bcd", 3);
    assert_true(writer.failed);
    gy_writer_u8(&writer, 'e');
    assert_int_equal(gy_writer_length(&writer), 1);
    assert_memory_equal(room, "a###", 4);
}

static void a_writer_never_writes_past_its_end(void **state)
{
    (void)state;
    for (size_t size = 0; size < 8; size++) {
        uint8_t room[64];
        memset(room, 0xaa, sizeof room);
        struct gy_writer writer = gy_writer_on(room, size);
        gy_writer_u64(&writer, UINT64_MAX);
        gy_writer_u32(&writer, UINT32_MAX);
        gy_writer_u16(&writer, UINT16_MAX);
        gy_writer_decimal(&writer, UINT64_MAX);
        assert_true(writer.failed);
        for (size_t i = size; i < sizeof room; i++) {
            assert_int_equal(room[i], 0xaa);
        }
    }
}

static void decimals_have_no_sign_and_no_leading_zeros(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        const char *text;
    } pairs[] = {
        {0, "0"},
        {9, "9"},
        {10, "10"},
        {100, "100"},
        {4294967296, "4294967296"},
        {UINT64_MAX, "18446744073709551615"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        uint8_t room[20];
        struct gy_writer writer = gy_writer_on(room, sizeof room);
        gy_writer_decimal(&writer, pairs[i].value);
        assert_false(writer.failed);
        assert_int_equal(gy_writer_length(&writer), strlen(pairs[i].text));
        assert_memory_equal(room, pairs[i].text, strlen(pairs[i].text));
    }
}

static void a_decimal_that_does_not_fit_is_not_written_in_part(void **state)
{
    (void)state;
    uint8_t room[3] = "###";
    struct gy_writer writer = gy_writer_on(room, 2);
    gy_writer_decimal(&writer, 100);
    assert_true(writer.failed);
    assert_memory_equal(room, "###", 3);
}

static void nothing_at_no_address_can_be_read_and_written(void **state)
{
    (void)state;
    struct gy_reader reader = gy_reader_on(NULL, 0);
    assert_int_equal(gy_reader_left(&reader), 0);
    assert_non_null(gy_reader_bytes(&reader, 0));
    assert_false(reader.failed);
    assert_int_equal(gy_reader_u8(&reader), 0);
    assert_true(reader.failed);
    struct gy_writer writer = gy_writer_on(NULL, 0);
    gy_writer_bytes(&writer, NULL, 0);
    assert_false(writer.failed);
    gy_writer_u8(&writer, 1);
    assert_true(writer.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_big_endian),
        cmocka_unit_test(high_bits_do_not_spread),
        cmocka_unit_test(bytes_are_shown_in_place),
        cmocka_unit_test(reading_past_the_end_fails_and_yields_zero),
        cmocka_unit_test(a_number_of_which_only_a_part_is_there_yields_zero),
        cmocka_unit_test(a_failed_reader_stays_failed_and_moves_no_further),
        cmocka_unit_test(nothing_at_no_address_can_be_read_and_written),
        cmocka_unit_test(an_absurd_length_is_refused),
        cmocka_unit_test(numbers_are_written_big_endian),
        cmocka_unit_test(bytes_and_text_are_written_without_a_zero),
        cmocka_unit_test(a_writer_can_be_filled_to_its_last_byte),
        cmocka_unit_test(what_does_not_fit_is_not_written_nor_is_what_follows),
        cmocka_unit_test(a_writer_never_writes_past_its_end),
        cmocka_unit_test(decimals_have_no_sign_and_no_leading_zeros),
        cmocka_unit_test(a_decimal_that_does_not_fit_is_not_written_in_part),
    };
    return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
