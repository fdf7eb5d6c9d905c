/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "protocols/rudp/gate.h"

#include "core/error.h"

/* What is hashed begins with what it is for, so that none of the three can be taken for another. */
enum purpose {
    FOR_COOKIE = 1,
    FOR_TOKEN,
    FOR_NOISE,
    FOR_ADDRESS_KEY,
    FOR_ADDRESS,
};

#define ADDRESS_MAX 64
#define SECOND_NS   UINT64_C(1000000000)
/* The first bit of an address token, which no cookie has: its time is below 2^63 ns. */
#define IS_TOKEN  0x80000000u
#define RESET_MIN (5 + GY_RUDP_TOKEN_BYTES)

static uint64_t cookie_tag(const struct gy_rudp_gate *gate, const void *address,
                           size_t address_bytes, const struct gy_rudp_cid *client,
                           uint64_t given_ns)
{
    uint8_t text[1 + 8 + 1 + GY_RUDP_CID_MAX + ADDRESS_MAX];
    struct gy_writer writer = gy_writer_on(text, sizeof text);
    gy_writer_u8(&writer, FOR_COOKIE);
    gy_writer_u64(&writer, given_ns);
    gy_writer_u8(&writer, client->length);
    gy_writer_bytes(&writer, client->bytes, client->length);
    gy_writer_bytes(&writer, address, address_bytes);
    gy_assert(!writer.failed);
    return gy_siphash(&gate->key, text, gy_writer_length(&writer));
}

static bool cookie_good(const struct gy_rudp_gate *gate, const void *address, size_t address_bytes,
                        const struct gy_rudp_long *hello, uint64_t now_ns)
{
    struct gy_reader reader = gy_reader_on(hello->cookie, hello->cookie_bytes);
    uint64_t given_ns = gy_reader_u64(&reader);
    uint64_t tag = gy_reader_u64(&reader);
    return !reader.failed && given_ns <= now_ns && now_ns - given_ns < gate->cookie_ns &&
           tag == cookie_tag(gate, address, address_bytes, &hello->from, given_ns);
}

/* ---- address tokens: 4 bytes seconds, 4 random, 8 of a keyed hash ---- */

/* Another one for each period and process, which all gates with the same key find by themselves. */
static struct gy_siphash_key address_key(const struct gy_rudp_gate *gate, uint32_t second)
{
    struct gy_siphash_key key;
    for (uint8_t half = 0; half < 2; half++) {
        uint8_t text[2 + 8 + 4];
        struct gy_writer writer = gy_writer_on(text, sizeof text);
        gy_writer_u8(&writer, FOR_ADDRESS_KEY);
        gy_writer_u8(&writer, half);
        gy_writer_u64(&writer, gate->generation);
        gy_writer_u32(&writer, second / GY_RUDP_TOKEN_PERIOD_S);
        key.words[half] = gy_siphash(&gate->key, text, gy_writer_length(&writer));
    }
    return key;
}

static uint64_t address_tag(const struct gy_rudp_gate *gate, const void *address,
                            size_t address_bytes, uint32_t second, uint32_t random)
{
    uint8_t text[1 + 4 + 4 + ADDRESS_MAX];
    struct gy_writer writer = gy_writer_on(text, sizeof text);
    struct gy_siphash_key key = address_key(gate, second);
    gy_assert(gate->port_bytes <= address_bytes && address_bytes <= ADDRESS_MAX);
    gy_writer_u8(&writer, FOR_ADDRESS);
    gy_writer_u32(&writer, second);
    gy_writer_u32(&writer, random);
    gy_writer_bytes(&writer, address, address_bytes - gate->port_bytes);
    gy_assert(!writer.failed);
    return gy_siphash(&key, text, gy_writer_length(&writer));
}

void gy_rudp_gate_address_token(const struct gy_rudp_gate *gate, const void *address,
                                size_t address_bytes, uint32_t random, uint64_t now_ns,
                                uint8_t token[GY_RUDP_COOKIE_BYTES])
{
    uint32_t second = (uint32_t)(now_ns / SECOND_NS) & ~IS_TOKEN;
    struct gy_writer writer = gy_writer_on(token, GY_RUDP_COOKIE_BYTES);
    gy_assert(gate->used != NULL);
    gy_writer_u32(&writer, second | IS_TOKEN);
    gy_writer_u32(&writer, random);
    gy_writer_u64(&writer, address_tag(gate, address, address_bytes, second, random));
}

/* Takes a token, which is used then. */
static bool address_token_good(struct gy_rudp_gate *gate, const void *address, size_t address_bytes,
                               const struct gy_rudp_long *hello, uint64_t now_ns)
{
    struct gy_reader reader = gy_reader_on(hello->cookie, hello->cookie_bytes);
    uint32_t second = gy_reader_u32(&reader), random = gy_reader_u32(&reader);
    uint64_t tag = gy_reader_u64(&reader);
    if (reader.failed || (second & IS_TOKEN) == 0 || gate->used == NULL) {
        return false;
    }
    gy_assert(gate->used_count > 0 && (gate->used_count & (gate->used_count - 1)) == 0);
    second &= ~IS_TOKEN;
    uint64_t now_s = now_ns / SECOND_NS;
    uint32_t *used = &gate->used[tag & (gate->used_count - 1)];
    /* One second more is kept than was given, so that 0 is older than all. */
    bool good = second <= now_s && now_s - second < GY_RUDP_TOKEN_LIFE_S && second + 1 > *used &&
                tag == address_tag(gate, address, address_bytes, second, random);
    if (good) {
        *used = second + 1;
    }
    gate->tokens += good;
    gate->tokens_refused += !good;
    return good;
}

void gy_rudp_gate_token(const struct gy_rudp_gate *gate, const struct gy_rudp_cid *cid,
                        uint8_t token[GY_RUDP_TOKEN_BYTES])
{
    struct gy_writer out = gy_writer_on(token, GY_RUDP_TOKEN_BYTES);
    for (uint8_t half = 0; half < 2; half++) {
        uint8_t text[2 + GY_RUDP_CID_MAX];
        struct gy_writer writer = gy_writer_on(text, sizeof text);
        gy_writer_u8(&writer, FOR_TOKEN);
        gy_writer_u8(&writer, half);
        gy_writer_bytes(&writer, cid->bytes, cid->length);
        gy_writer_u64(&out, gy_siphash(&gate->key, text, gy_writer_length(&writer)));
    }
}

/* Shorter than what it answers, so that two servers cannot keep each other busy (RFC 9000 §10.3.3).
 */
static size_t reset(struct gy_rudp_gate *gate, const struct gy_rudp_long *packet, const void *data,
                    size_t bytes, uint8_t *answer)
{
    if (bytes <= RESET_MIN || packet->to.length == 0) {
        return 0;
    }
    struct gy_siphash_key noise = gate->key;
    noise.words[0] ^= FOR_NOISE;
    struct gy_writer writer = gy_writer_on(answer, GY_RUDP_ANSWER_MAX);
    uint8_t token[GY_RUDP_TOKEN_BYTES];
    uint64_t random = gy_siphash(&noise, data, bytes);
    gy_writer_u8(&writer, (uint8_t)(0x40 | (random >> 56 & 0x0f)));
    gy_writer_u32(&writer, (uint32_t)random);
    gy_rudp_gate_token(gate, &packet->to, token);
    gy_writer_bytes(&writer, token, sizeof token);
    gate->resets++;
    return gy_writer_length(&writer);
}

static size_t retry(struct gy_rudp_gate *gate, const void *address, size_t address_bytes,
                    const struct gy_rudp_long *hello, uint64_t now_ns, uint8_t *answer)
{
    uint8_t cookie[GY_RUDP_COOKIE_BYTES];
    struct gy_writer writer = gy_writer_on(cookie, sizeof cookie);
    gy_writer_u64(&writer, now_ns);
    gy_writer_u64(&writer, cookie_tag(gate, address, address_bytes, &hello->from, now_ns));
    struct gy_rudp_long packet = {.type = GY_RUDP_PACKET_RETRY,
                                  .version = gate->version,
                                  .to = hello->from,
                                  .from = hello->to,
                                  .cookie = cookie,
                                  .cookie_bytes = sizeof cookie};
    int length = gy_rudp_long_write(&packet, answer, GY_RUDP_ANSWER_MAX);
    gy_assert(length > 0);
    gate->retries++;
    return (size_t)length;
}

static size_t versions(struct gy_rudp_gate *gate, const struct gy_rudp_long *packet,
                       uint8_t *answer)
{
    struct gy_rudp_long out = {
        .type = GY_RUDP_PACKET_VERSIONS,
        .version = gate->version,
        .to = packet->from,
        .from = packet->to,
    };
    int length = gy_rudp_long_write(&out, answer, GY_RUDP_ANSWER_MAX);
    gy_assert(length > 0);
    gate->versions++;
    return (size_t)length;
}

enum gy_rudp_verdict gy_rudp_gate_take(struct gy_rudp_gate *gate, const void *address,
                                       size_t address_bytes, const void *data, size_t bytes,
                                       uint64_t now_ns, struct gy_rudp_long *hello,
                                       uint8_t answer[GY_RUDP_ANSWER_MAX], size_t *answer_bytes)
{
    gy_assert(address_bytes <= ADDRESS_MAX && gate->cid_bytes <= GY_RUDP_CID_MAX);
    *answer_bytes = 0;
    if (gy_rudp_packet_peek(data, bytes, gate->cid_bytes, hello) != 0) {
        gate->dropped++;
        return GY_RUDP_DROP;
    }
    if (hello->type == GY_RUDP_PACKET_SHORT) {
        *answer_bytes = reset(gate, hello, data, bytes, answer);
    } else if (hello->type != GY_RUDP_PACKET_VERSIONS && hello->version != gate->version) {
        *answer_bytes = bytes >= GY_RUDP_HELLO_BYTES ? versions(gate, hello, answer) : 0;
    } else if (hello->type == GY_RUDP_PACKET_HELLO && gy_rudp_long_read(data, bytes, hello) == 0) {
        if (cookie_good(gate, address, address_bytes, hello, now_ns) ||
            address_token_good(gate, address, address_bytes, hello, now_ns)) {
            gate->accepts++;
            return GY_RUDP_ADMIT;
        }
        *answer_bytes = retry(gate, address, address_bytes, hello, now_ns, answer);
    }
    gy_assert(*answer_bytes <= 3 * bytes);
    if (*answer_bytes == 0) {
        gate->dropped++;
        return GY_RUDP_DROP;
    }
    return GY_RUDP_ANSWER;
}
