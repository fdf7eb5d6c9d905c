/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/edns.h"

#include <string.h>

#include "core/cursor.h"
#include "core/error.h"

int gy_dns_option_next(const struct gy_dns_record *opt, size_t *at, uint16_t *code,
                       const uint8_t **data, uint16_t *bytes)
{
    gy_assert(*at <= opt->rdata_bytes);
    struct gy_reader reader = gy_reader_on(opt->rdata, opt->rdata_bytes);
    gy_reader_bytes(&reader, *at);
    if (gy_reader_left(&reader) == 0) {
        return 0;
    }
    *code = gy_reader_u16(&reader);
    *bytes = gy_reader_u16(&reader);
    *data = gy_reader_bytes(&reader, *bytes);
    if (reader.failed) {
        return GY_EPROTO;
    }
    *at = (size_t)(reader.at - opt->rdata);
    return 1;
}

static int read_option(struct gy_dns_edns *edns, uint16_t code, const uint8_t *data, uint16_t bytes)
{
    switch (code) {
    case GY_DNS_OPTION_NSID:
        edns->wants_nsid = true;
        edns->nsid = data;
        edns->nsid_bytes = bytes;
        return 0;
    case GY_DNS_OPTION_COOKIE:
        if (bytes != GY_DNS_CLIENT_COOKIE_BYTES && (bytes < 16 || bytes > GY_DNS_COOKIE_MAX)) {
            return GY_EPROTO;
        }
        if (edns->cookie_bytes == 0) { /* of several, the first one (RFC 7873 §5.2) */
            edns->cookie = data;
            edns->cookie_bytes = (uint8_t)bytes;
        }
        return 0;
    case GY_DNS_OPTION_KEEPALIVE:
        if (bytes != 0 && bytes != 2) {
            return GY_EPROTO;
        }
        edns->has_keepalive = true;
        edns->keepalive = bytes == 2 ? (uint16_t)(data[0] << 8 | data[1]) : 0;
        return 0;
    case GY_DNS_OPTION_PADDING:
        edns->has_padding = true;
        return 0;
    case GY_DNS_OPTION_ERROR:
        if (bytes < 2) {
            return GY_EPROTO;
        }
        edns->error = data[0] << 8 | data[1];
        edns->error_text = data + 2;
        edns->error_text_bytes = (uint16_t)(bytes - 2);
        return 0;
    default:
        return 0;
    }
}

int gy_dns_edns_read(const struct gy_dns_record *opt, struct gy_dns_edns *edns)
{
    size_t at = 0;
    uint16_t code, bytes;
    const uint8_t *data;
    int more;
    memset(edns, 0, sizeof *edns);
    edns->present = true;
    edns->error = -1;
    edns->udp_bytes = opt->class;
    edns->extended_rcode = (uint8_t)(opt->ttl >> 24);
    edns->version = (uint8_t)(opt->ttl >> 16);
    edns->dnssec_ok = (opt->ttl & GY_DNS_EDNS_DO) != 0;
    while ((more = gy_dns_option_next(opt, &at, &code, &data, &bytes)) > 0) {
        if (read_option(edns, code, data, bytes) != 0) {
            return GY_EPROTO;
        }
    }
    return more;
}

void gy_dns_opt_open(struct gy_dns_opt *opt, uint8_t *out, size_t room, uint16_t udp_bytes,
                     uint16_t rcode, uint16_t flags)
{
    const uint8_t bytes[GY_DNS_OPT_BYTES] = {
        0, /* the root's name */
        0, /* each number in two bytes */
        GY_DNS_TYPE_OPT,
        (uint8_t)(udp_bytes >> 8),
        (uint8_t)udp_bytes,
        (uint8_t)(rcode >> 4),
        0, /* version */
        (uint8_t)(flags >> 8),
        (uint8_t)flags,
    };
    gy_assert(room >= sizeof bytes);
    memcpy(out, bytes, sizeof bytes);
    *opt = (struct gy_dns_opt){out, out + GY_DNS_OPT_BYTES, out + room};
}

int gy_dns_opt_add(struct gy_dns_opt *opt, uint16_t code, const void *data, size_t bytes)
{
    struct gy_writer writer = gy_writer_on(opt->at, (size_t)(opt->end - opt->at));
    gy_assert(bytes <= UINT16_MAX);
    gy_writer_u16(&writer, code);
    gy_writer_u16(&writer, (uint16_t)bytes);
    gy_writer_bytes(&writer, data, bytes);
    if (writer.failed) {
        return GY_ELIMIT;
    }
    opt->at = writer.at;
    return 0;
}

int gy_dns_opt_add_error(struct gy_dns_opt *opt, uint16_t info_code, const char *text)
{
    uint8_t data[2 + 255] = {(uint8_t)(info_code >> 8), (uint8_t)info_code};
    size_t length = text == NULL ? 0 : strlen(text);
    length = length > 255 ? 255 : length;
    if (length > 0) {
        memcpy(data + 2, text, length);
    }
    return gy_dns_opt_add(opt, GY_DNS_OPTION_ERROR, data, 2 + length);
}

void gy_dns_opt_pad(struct gy_dns_opt *opt, size_t message_bytes, size_t block)
{
    static const uint8_t zeros[512];
    size_t room = (size_t)(opt->end - opt->at);
    gy_assert(block > 0 && block <= sizeof zeros);
    if (room < 4) {
        return;
    }
    size_t length = message_bytes + (size_t)(opt->at - opt->start) + 4;
    size_t bytes = (block - length % block) % block;
    bytes = bytes > room - 4 ? room - 4 : bytes;
    int error = gy_dns_opt_add(opt, GY_DNS_OPTION_PADDING, zeros, bytes);
    gy_assert(error == 0);
}

size_t gy_dns_opt_close(struct gy_dns_opt *opt)
{
    size_t options = (size_t)(opt->at - opt->start) - GY_DNS_OPT_BYTES;
    gy_assert(options <= UINT16_MAX);
    opt->start[9] = (uint8_t)(options >> 8);
    opt->start[10] = (uint8_t)options;
    return GY_DNS_OPT_BYTES + options;
}

/* ---- cookies ---- */

static uint64_t little_endian(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value |= (uint64_t)at[i] << i * 8;
    }
    return value;
}

static inline uint64_t turn_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static void sip_rounds(uint64_t v[4], int rounds)
{
    while (rounds-- > 0) {
        v[0] += v[1];
        v[1] = turn_left(v[1], 13) ^ v[0];
        v[0] = turn_left(v[0], 32);
        v[2] += v[3];
        v[3] = turn_left(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = turn_left(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = turn_left(v[1], 17) ^ v[2];
        v[2] = turn_left(v[2], 32);
    }
}

/* Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012. */
uint64_t gy_dns_siphash(const uint8_t key[GY_DNS_COOKIE_SECRET_BYTES], const void *data,
                        size_t bytes)
{
    const uint8_t *at = data;
    uint64_t k0 = little_endian(key, 8), k1 = little_endian(key + 8, 8);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u};
    size_t left = bytes;
    for (; left >= 8; left -= 8, at += 8) {
        uint64_t word = little_endian(at, 8);
        v[3] ^= word;
        sip_rounds(v, 2);
        v[0] ^= word;
    }
    uint64_t last = little_endian(at, left) | (uint64_t)(bytes & 0xff) << 56;
    v[3] ^= last;
    sip_rounds(v, 2);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Client cookie, version, reserved, time, client address (RFC 9018 §4.4). */
static uint64_t cookie_hash(const uint8_t *secret, const uint8_t *client_cookie,
                            const uint8_t *head, const void *address, size_t address_bytes)
{
    uint8_t input[8 + 8 + 16];
    gy_assert(address_bytes == 4 || address_bytes == 16);
    memcpy(input, client_cookie, 8);
    memcpy(input + 8, head, 8);
    memcpy(input + 16, address, address_bytes);
    return gy_dns_siphash(secret, input, 16 + address_bytes);
}

void gy_dns_cookie_make(const uint8_t secret[GY_DNS_COOKIE_SECRET_BYTES],
                        const uint8_t client_cookie[GY_DNS_CLIENT_COOKIE_BYTES],
                        const void *address, size_t address_bytes, uint32_t now,
                        uint8_t cookie[GY_DNS_SERVER_COOKIE_BYTES])
{
    struct gy_writer writer = gy_writer_on(cookie, GY_DNS_SERVER_COOKIE_BYTES);
    gy_writer_u32(&writer, 1u << 24); /* version 1, reserved 0 */
    gy_writer_u32(&writer, now);
    uint64_t hash = cookie_hash(secret, client_cookie, cookie, address, address_bytes);
    for (unsigned i = 0; i < 8; i++) {
        gy_writer_u8(&writer, (uint8_t)(hash >> i * 8));
    }
    gy_assert(!writer.failed);
}

bool gy_dns_cookie_check(const uint8_t secret[GY_DNS_COOKIE_SECRET_BYTES], const uint8_t *cookie,
                         size_t bytes, const void *address, size_t address_bytes, uint32_t now,
                         bool *renew)
{
    *renew = true;
    if (bytes != GY_DNS_CLIENT_COOKIE_BYTES + GY_DNS_SERVER_COOKIE_BYTES || cookie[8] != 1) {
        return false;
    }
    struct gy_reader reader = gy_reader_on(cookie + 12, 4);
    /* Serial number arithmetic (RFC 1982): right until 2106 and beyond. */
    int32_t age = (int32_t)(now - gy_reader_u32(&reader));
    if (age > 3600 || age < -300) {
        return false;
    }
    uint64_t hash = cookie_hash(secret, cookie, cookie + 8, address, address_bytes);
    *renew = age > 1800;
    return hash == little_endian(cookie + 16, 8);
}
