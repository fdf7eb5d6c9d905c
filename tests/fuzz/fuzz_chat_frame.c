/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Fuzzes the chat protocol's frames and names. The first byte says what the rest is: 0 a nick and a
 * room's name, 1 a password, else the bytes of a frame behind its length. What can be decoded is
 * encoded to the same bytes again, as far as they are known; a canonical form is its own.
 */

#include <stdlib.h>
#include <string.h>

#include "protocols/chat/frame.h"
#include "protocols/chat/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int check_name(struct gy_chat_text name, struct gy_chat_canonical *canonical,
                       const char **why);

static void name(check_name *check, struct gy_chat_text text)
{
    struct gy_chat_canonical canonical, again;
    const char *why = NULL;
    int error = check(text, &canonical, &why);
    gy_assert((error == 0) == (why == NULL));
    if (error == 0) {
        gy_assert(canonical.length > 0 && gy_chat_is_text(canonical.bytes, canonical.length));
        struct gy_chat_text form = gy_chat_canonical_text(&canonical);
        if (form.length <= GY_CHAT_NICK_MAX) {
            error = check(form, &again, NULL);
            gy_assert(error == 0 && gy_chat_text_equal(form, gy_chat_canonical_text(&again)));
        }
    }
}

static void password(struct gy_chat_text text)
{
    static char out[GY_CHAT_PASSWORD_PREPARED_MAX];
    static char again[GY_CHAT_PASSWORD_PREPARED_MAX];
    uint32_t bytes = 0;
    uint32_t again_bytes = 0;
    if (gy_chat_password_prepare(text, out, &bytes, NULL) != 0) {
        return;
    }
    gy_assert(bytes > 0 && bytes <= sizeof out && gy_chat_is_text(out, bytes));
    if (bytes <= GY_CHAT_PASSWORD_MAX) {
        int error =
            gy_chat_password_prepare((struct gy_chat_text){out, bytes}, again, &again_bytes, NULL);
        gy_assert(error == 0 && again_bytes == bytes && memcmp(out, again, bytes) == 0);
    }
}

static void frame(const uint8_t *data, uint32_t size)
{
    uint8_t *bytes = malloc(size + 4);
    gy_assert(bytes != NULL);
    bytes[0] = (uint8_t)(size >> 24);
    bytes[1] = (uint8_t)(size >> 16);
    bytes[2] = (uint8_t)(size >> 8);
    bytes[3] = (uint8_t)size;
    memcpy(bytes + 4, data, size);
    int64_t length = gy_chat_frame_bytes(bytes, size + 4, GY_CHAT_FRAME_MAX);
    gy_assert(length == (int64_t)size + 4 || (length == GY_EINVAL && size > GY_CHAT_FRAME_MAX));
    struct gy_chat_frame decoded;
    const char *field = NULL;
    if (length > 0 && gy_chat_decode(bytes, size + 4, &decoded, &field) == 0) {
        uint32_t encoded = gy_chat_encoded_bytes(&decoded);
        gy_assert(encoded <= size + 4 && gy_chat_type_name(decoded.type) != NULL);
        uint8_t *again = malloc(encoded);
        gy_assert(again != NULL);
        gy_assert(gy_chat_encode(&decoded, again) == encoded);
        gy_assert(memcmp(again + 4, bytes + 4, encoded - 4) == 0);
        free(again);
    } else if (length > 0) {
        gy_assert((field == NULL) == (gy_chat_type_name(data[0]) == NULL));
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 5 || size > 70000) {
        return 0;
    }
    const struct gy_chat_text text = {(const char *)data + 1, (uint32_t)size - 1};
    if (data[0] == 0) {
        name(gy_chat_nick_check, text);
        name(gy_chat_room_check, text);
        name(gy_chat_username_map, text);
    } else if (data[0] == 1) {
        password(text);
    } else {
        frame(data + 1, (uint32_t)size - 1);
    }
    return 0;
}
