/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any bytes as a message of files and as one of forwarded connections: what can be read is written
 * again, byte for byte; a name that is good leads nowhere but down. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/error.h"
#include "protocols/drop/drop.h"
#include "protocols/forward/forward.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const uint8_t *name, uint32_t length)
{
    if (!gy_drop_name_is_good(name, length, 16)) {
        gy_assert(!gy_drop_name_is_good(name, length, 1));
        return;
    }
    gy_assert(length > 0 && name[0] != '/' && name[0] != '.' && name[length - 1] != '/');
    gy_assert(memchr(name, '\0', length) == NULL);
    for (uint32_t i = 0; i + 1 < length; i++) {
        gy_assert(name[i] != '/' || (name[i + 1] != '.' && name[i + 1] != '/'));
    }
    gy_assert(gy_drop_name_is_good(name, length, 1) == (memchr(name, '/', length) == NULL));
}

static void check_drop(const uint8_t *data, size_t size)
{
    struct gy_drop_message message;
    uint8_t out[GY_DROP_MESSAGE_BYTES];
    if (gy_drop_decode(&message, data, size) != 0) {
        return;
    }
    gy_assert(gy_drop_result_text(message.result) != NULL);
    if (message.type == GY_DROP_DATA) {
        gy_assert(message.length > 0 && message.length <= GY_DROP_DATA_BYTES);
        gy_assert(message.offset + message.length <= GY_DROP_SIZE_MAX);
        gy_drop_encode_data(message.transfer, message.offset, out);
        gy_assert(memcmp(out, data, GY_DROP_DATA_HEAD) == 0);
        gy_assert(message.data == data + GY_DROP_DATA_HEAD);
        return;
    }
    gy_assert(gy_drop_encode(&message, out) == size && memcmp(out, data, size) == 0);
    if (message.type == GY_DROP_OFFER || message.type == GY_DROP_FETCH) {
        check_name(message.data, message.length);
    }
}

static void check_forward(const uint8_t *data, size_t size)
{
    struct gy_forward_message message;
    uint8_t out[GY_FORWARD_MESSAGE_BYTES];
    if (gy_forward_decode(&message, data, size) != 0) {
        return;
    }
    if (message.type == GY_FORWARD_DATA) {
        gy_assert(message.length > 0 && message.length <= GY_FORWARD_DATA_BYTES);
        gy_forward_encode_data(message.flow, out);
        gy_assert(memcmp(out, data, GY_FORWARD_DATA_HEAD) == 0);
        return;
    }
    gy_assert(gy_forward_encode(&message, out) == size && memcmp(out, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_drop(data, size);
    check_forward(data, size);
    check_name(data, (uint32_t)size);
    return 0;
}
