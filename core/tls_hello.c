/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What RFC 8446 asks of a client's hello and wolfSSL does not look at. */

#include <stdlib.h>
#include <string.h>

#include "core/cursor.h"
#include "core/tls_internal.h"

/* RFC 8446 §4.2. */
enum extension {
    GROUPS = 10,
    PRE_SHARED_KEY = 41,
    VERSIONS = 43,
    PSK_MODES = 45,
};

#define VERSION_1_3  0x0304
#define RANDOM_BYTES 32

/* Records of handshakes, and a message's type and length (§5.1, §4). */
#define RECORD_HEAD_BYTES 5
#define RECORD_HANDSHAKE  22
#define HEAD_BYTES        4
#define CLIENT_HELLO      1

/* Hellos of browsers have 500 to 1,800 bytes; longer ones than this are left to wolfSSL alone. */
#define HELLO_MAX 4096

/* The first message of a client, put together from what wolfSSL was given. */
struct gy_tls_hello {
    uint8_t record[RECORD_HEAD_BYTES];
    uint8_t record_have;
    uint16_t record_left; /* of its content */
    uint16_t have;
    uint8_t message[HELLO_MAX];
};

struct seen {
    bool version_1_3;  /* is offered */
    bool groups, ours; /* named; one that we have is among them */
    bool shared_key, modes;
};

static void see_versions(struct seen *seen, struct gy_reader *data)
{
    gy_reader_u8(data); /* the list's length is what is left */
    while (gy_reader_left(data) >= 2) {
        seen->version_1_3 |= gy_reader_u16(data) == VERSION_1_3;
    }
}

static void see_groups(struct seen *seen, struct gy_reader *data)
{
    seen->groups = true;
    gy_reader_u16(data);
    while (gy_reader_left(data) >= 2) {
        seen->ours |= gy_tls_group_is_ours(gy_reader_u16(data));
    }
}

static void see_extensions(struct seen *seen, struct gy_reader *extensions)
{
    while (gy_reader_left(extensions) > 0 && !extensions->failed) {
        uint16_t type = gy_reader_u16(extensions);
        uint16_t length = gy_reader_u16(extensions);
        struct gy_reader data = gy_reader_on(gy_reader_bytes(extensions, length), length);
        if (extensions->failed) {
            return;
        }
        switch (type) {
        case GROUPS:
            see_groups(seen, &data);
            break;
        case PRE_SHARED_KEY:
            seen->shared_key = true;
            break;
        case VERSIONS:
            see_versions(seen, &data);
            break;
        case PSK_MODES:
            seen->modes = true;
            break;
        default:
            break;
        }
    }
}

/* Behind the message's head. What ends early is left to wolfSSL. */
uint8_t gy_tls_hello_breach(const uint8_t *hello, size_t bytes)
{
    struct gy_reader reader = gy_reader_on(hello, bytes);
    struct seen seen = {0};
    gy_reader_u16(&reader); /* a version of old */
    gy_reader_bytes(&reader, RANDOM_BYTES);
    gy_reader_bytes(&reader, gy_reader_u8(&reader));  /* the session's id */
    gy_reader_bytes(&reader, gy_reader_u16(&reader)); /* ciphers */
    gy_reader_bytes(&reader, gy_reader_u8(&reader));  /* compression */
    gy_reader_u16(&reader);
    if (reader.failed) {
        return 0;
    }
    see_extensions(&seen, &reader);
    if (reader.failed || !seen.version_1_3) {
        return 0;
    }
    if (seen.shared_key && !seen.modes) {
        return missing_extension; /* §4.2.9, §9.2 */
    }
    if (seen.groups && !seen.ours) {
        return handshake_failure; /* §4.1.1 */
    }
    return 0;
}

/* How long the message is; 0: not yet known. */
static uint32_t message_bytes(const struct gy_tls_hello *hello)
{
    const uint8_t *head = hello->message;
    return hello->have < HEAD_BYTES
               ? 0
               : HEAD_BYTES + ((uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3]);
}

/* More of the message. False: there is nothing more to see. */
static bool see_content(struct gy_tls *tls, const uint8_t *data, uint32_t bytes)
{
    struct gy_tls_hello *hello = tls->hello;
    uint32_t room = HELLO_MAX - hello->have;
    uint32_t take = bytes < room ? bytes : room;
    memcpy(hello->message + hello->have, data, take);
    hello->have = (uint16_t)(hello->have + take);
    uint32_t whole = message_bytes(hello);
    if (whole == 0) {
        return true;
    }
    if (hello->message[0] != CLIENT_HELLO || whole > HELLO_MAX) {
        return false;
    }
    if (hello->have < whole) {
        return true;
    }
    tls->breach = gy_tls_hello_breach(hello->message + HEAD_BYTES, whole - HEAD_BYTES);
    return false;
}

/* More of the records. False as above. */
static bool see_records(struct gy_tls *tls, const uint8_t *data, uint32_t bytes)
{
    struct gy_tls_hello *hello = tls->hello;
    while (bytes > 0) {
        if (hello->record_left == 0) {
            hello->record[hello->record_have++] = *data++;
            bytes--;
            if (hello->record_have == RECORD_HEAD_BYTES) {
                hello->record_have = 0;
                hello->record_left = (uint16_t)(hello->record[3] << 8 | hello->record[4]);
                if (hello->record[0] != RECORD_HANDSHAKE) {
                    return false;
                }
            }
            continue;
        }
        uint32_t take = bytes < hello->record_left ? bytes : hello->record_left;
        if (!see_content(tls, data, take)) {
            return false;
        }
        data += take;
        bytes -= take;
        hello->record_left = (uint16_t)(hello->record_left - take);
    }
    return true;
}

void gy_tls_hello_see(struct gy_tls *tls, const uint8_t *data, uint32_t bytes)
{
    gy_assert(!tls->hello_seen);
    if (tls->hello == NULL) {
        tls->hello = calloc(1, sizeof *tls->hello);
    }
    if (tls->hello == NULL || !see_records(tls, data, bytes)) {
        gy_tls_hello_end(tls);
    }
}

void gy_tls_hello_end(struct gy_tls *tls)
{
    free(tls->hello);
    tls->hello = NULL;
    tls->hello_seen = true;
}
