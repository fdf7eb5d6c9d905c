/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Keys for packets: the examples of RFC 9001, appendix A. */

#include <string.h>

#include "core/tls_keys.h"
#include "tests/core/core_harness.h"

static void unhex(const char *text, uint8_t *out)
{
    for (size_t i = 0; text[2 * i] != '\0'; i++) {
        unsigned byte;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
}

static void check(const uint8_t *secret, const char *label, const char *wanted)
{
    uint8_t out[32], bytes[32];
    size_t count = strlen(wanted) / 2;
    unhex(wanted, bytes);
    gy_tls_expand(secret, label, out, count);
    assert_memory_equal(out, bytes, count);
}

static const char client[] = "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea";
static const char server[] = "3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b";
static const char chacha[] = "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b";

static void keys_come_of_secrets_as_in_rfc_9001_a_1(void **state)
{
    uint8_t secret[GY_TLS_SECRET_SIZE];
    (void)state;
    unhex(client, secret);
    check(secret, "quic key", "1f369613dd76d5467730efcbe3b1a22d");
    check(secret, "quic iv", "fa044b2f42a3fd3b46fb255c");
    check(secret, "quic hp", "9f50449e04a0e810283a1e9933adedd2");
    unhex(server, secret);
    check(secret, "quic key", "cf3a5331653c364c88f0f379b6067e37");
    check(secret, "quic iv", "0ac1493ca1905853b0bba03e");
    check(secret, "quic hp", "c206b8d9b9f0f37644430b490eeaa314");
    unhex(chacha, secret);
    check(secret, "quic key", "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8");
    check(secret, "quic iv", "e0459b3474bdd0e44a41c144");
}

static void the_next_secret_is_that_of_rfc_9001_a_5(void **state)
{
    uint8_t secret[GY_TLS_SECRET_SIZE], wanted[GY_TLS_SECRET_SIZE];
    (void)state;
    unhex(chacha, secret);
    unhex("1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9", wanted);
    gy_tls_secret_next(secret);
    assert_memory_equal(secret, wanted, sizeof wanted);
}

static void check_mask(const char *from, enum gy_tls_aead aead, const char *sample,
                       const char *wanted)
{
    static struct gy_tls_header_key key;
    uint8_t secret[GY_TLS_SECRET_SIZE], bytes[16], mask[5], expected[5];
    unhex(from, secret);
    unhex(sample, bytes);
    unhex(wanted, expected);
    gy_tls_header_key_make(&key, aead, secret);
    gy_tls_header_mask(&key, bytes, mask);
    assert_memory_equal(mask, expected, sizeof mask);
    gy_tls_header_key_clear(&key);
}

static void masks_are_those_of_rfc_9001_a_2_a_3_and_a_5(void **state)
{
    (void)state;
    check_mask(client, GY_TLS_AES_128_GCM, "d1b1c98dd7689fb8ec11d242b123dc9b", "437b9aec36");
    check_mask(server, GY_TLS_AES_128_GCM, "2cd0991cd25b0aac406a5816b6394100", "2ec0d8356a");
    check_mask(chacha, GY_TLS_CHACHA20_POLY1305, "5e5cd55c41f69080575d7999c25a5bfb", "aefefe7d03");
}

static void a_packet_is_sealed_as_in_rfc_9001_a_5_and_opened_again(void **state)
{
    static struct gy_tls_packet_key key;
    const uint8_t header[] = {0x42, 0x00, 0xbf, 0xf4};
    uint8_t secret[GY_TLS_SECRET_SIZE], body[17] = {0x01}, wanted[17];
    (void)state;
    unhex(chacha, secret);
    unhex("655e5cd55c41f69080575d7999c25a5bfb", wanted);
    gy_tls_packet_key_make(&key, GY_TLS_CHACHA20_POLY1305, secret);
    gy_tls_packet_seal(&key, 654360564, header, sizeof header, body, 1);
    assert_memory_equal(body, wanted, sizeof wanted);
    assert_true(gy_tls_packet_open(&key, 654360564, header, sizeof header, body, sizeof body));
    assert_int_equal(body[0], 0x01);
    gy_tls_packet_key_clear(&key);
}

/* Of each suite: what is changed anywhere, cut, of another number or under another key stays shut.
 */
static void nothing_else_opens(void **state)
{
    static struct gy_tls_packet_key key, other;
    (void)state;
    for (unsigned aead = 0; aead < 2; aead++) {
        uint8_t secret[GY_TLS_SECRET_SIZE] = {7}, header[] = {0x41, 0x12, 0x34};
        uint8_t sealed[64 + GY_TLS_TAG_BYTES], copy[sizeof sealed];
        gy_tls_packet_key_make(&key, (enum gy_tls_aead)aead, secret);
        gy_tls_secret_next(secret);
        gy_tls_packet_key_make(&other, (enum gy_tls_aead)aead, secret);
        memset(sealed, 'x', 64);
        gy_tls_packet_seal(&key, 0x1234, header, sizeof header, sealed, 64);
        for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
            memcpy(copy, sealed, sizeof copy);
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(
                gy_tls_packet_open(&key, 0x1234, header, sizeof header, copy, sizeof copy));
        }
        for (size_t bit = 0; bit < 8 * sizeof header; bit++) {
            memcpy(copy, sealed, sizeof copy);
            header[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(
                gy_tls_packet_open(&key, 0x1234, header, sizeof header, copy, sizeof copy));
            header[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t bytes = 0; bytes < sizeof copy; bytes++) {
            memcpy(copy, sealed, sizeof copy);
            assert_false(gy_tls_packet_open(&key, 0x1234, header, sizeof header, copy, bytes));
        }
        memcpy(copy, sealed, sizeof copy);
        assert_false(gy_tls_packet_open(&key, 0x1235, header, sizeof header, copy, sizeof copy));
        memcpy(copy, sealed, sizeof copy);
        assert_false(gy_tls_packet_open(&other, 0x1234, header, sizeof header, copy, sizeof copy));
        assert_true(gy_tls_packet_open(&key, 0x1234, header, sizeof header, sealed, sizeof sealed));
        gy_tls_packet_key_clear(&key);
        gy_tls_packet_key_clear(&other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_of_secrets_as_in_rfc_9001_a_1),
        cmocka_unit_test(the_next_secret_is_that_of_rfc_9001_a_5),
        cmocka_unit_test(masks_are_those_of_rfc_9001_a_2_a_3_and_a_5),
        cmocka_unit_test(a_packet_is_sealed_as_in_rfc_9001_a_5_and_opened_again),
        cmocka_unit_test(nothing_else_opens),
    };
    return cmocka_run_group_tests_name("tls_keys", tests, NULL, NULL);
}
