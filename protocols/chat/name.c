/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/chat/name.h"

#include "core/utf8.h"
#include "protocols/chat/precis.h"

/* RFC 8264 §7: rules are applied until nothing changes any more; what has not settled after this
 * many times is refused. */
#define TIMES_MAX 4

static int refuse(const char **why, const char *sentence)
{
    if (why != NULL) {
        *why = sentence;
    }
    return GY_EINVAL;
}

bool gy_chat_name_has_unicode(void)
{
    return GY_HAVE_UNISTRING;
}

static bool is_ascii(struct gy_chat_text text)
{
    for (uint32_t i = 0; i < text.length; i++) {
        if ((uint8_t)text.bytes[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

static bool is_ascii_letter_or_digit(uint32_t code)
{
    return (code >= '0' && code <= '9') || (code >= 'a' && code <= 'z') ||
           (code >= 'A' && code <= 'Z');
}

/* RFC 8265 §3.3 for ASCII: all of U+0021 to U+007E is valid. */
static int map_ascii(struct gy_chat_text name, struct gy_chat_canonical *canonical,
                     const char **why)
{
    for (uint32_t i = 0; i < name.length; i++) {
        char byte = name.bytes[i];
        if (byte == ' ') {
            return refuse(why, "it has no spaces");
        }
        if (byte < 0x21 || byte > 0x7e) {
            return refuse(why, "it has a control character");
        }
        canonical->bytes[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
    }
    canonical->length = name.length;
    return 0;
}

#if GY_HAVE_UNISTRING

/* ---- from bytes to characters and back ---- */

static bool decode(struct gy_chat_text text, struct gy_precis *string)
{
    string->length = 0;
    for (size_t at = 0; at < text.length;) {
        uint32_t code;
        size_t step = gy_utf8_decode(text.bytes + at, text.length - at, &code);
        if (step == 0 || string->length == string->max) {
            return false;
        }
        string->codes[string->length++] = code;
        at += step;
    }
    return true;
}

static uint32_t encode_one(uint32_t code, uint8_t *to)
{
    if (code < 0x80) {
        to[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (uint8_t)(0xc0 | code >> 6);
        to[1] = (uint8_t)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (uint8_t)(0xe0 | code >> 12);
        to[1] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (code & 0x3f));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | code >> 18);
    to[1] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (code & 0x3f));
    return 4;
}

/* Bytes written, or 0: there is no room. */
static uint32_t encode(const struct gy_precis *string, char *out, uint32_t max)
{
    uint32_t length = 0;
    for (uint32_t i = 0; i < string->length; i++) {
        uint8_t bytes[4];
        uint32_t count = encode_one(string->codes[i], bytes);
        if (max - length < count) {
            return 0;
        }
        memcpy(out + length, bytes, count);
        length += count;
    }
    return length;
}

/* ---- profiles ---- */

static const char too_long[] = "its canonical form is too long";

/* One application of UsernameCaseMapped. The width is mapped before the class is looked at. */
static const char *username_once(struct gy_precis *string)
{
    gy_precis_map_width(string);
    const char *breach = gy_precis_check_class(string, false);
    if (breach != NULL) {
        return breach;
    }
    if (!gy_precis_map_case(string) || !gy_precis_compose(string)) {
        return too_long;
    }
    return gy_precis_check_bidi(string);
}

static const char *opaque_once(struct gy_precis *string)
{
    const char *breach = gy_precis_check_class(string, true);
    if (breach != NULL) {
        return breach;
    }
    gy_precis_map_spaces(string);
    return gy_precis_compose(string) ? NULL : too_long;
}

/* Applies a profile until nothing changes. `before` has room for as many codes as `string`. */
static const char *settle(const char *(*once)(struct gy_precis *string), struct gy_precis *string,
                          uint32_t *before)
{
    for (int times = 0; times < TIMES_MAX; times++) {
        uint32_t length = string->length;
        memcpy(before, string->codes, length * sizeof *before);
        const char *breach = once(string);
        if (breach != NULL) {
            return breach;
        }
        if (string->length == length &&
            memcmp(before, string->codes, length * sizeof *before) == 0) {
            return NULL;
        }
    }
    return "it has no canonical form (RFC 8264, section 7)";
}

/* With the mixtures of scripts when `nick`, which are no part of PRECIS. */
static int map_unicode(struct gy_chat_text name, bool nick, struct gy_chat_canonical *canonical,
                       const char **why)
{
    uint32_t codes[GY_CHAT_CANONICAL_MAX];
    uint32_t before[GY_CHAT_CANONICAL_MAX];
    struct gy_precis string = {codes, 0, GY_CHAT_CANONICAL_MAX};
    if (!decode(name, &string)) {
        return refuse(why, "it is not UTF-8");
    }
    const char *breach = settle(username_once, &string, before);
    if (breach == NULL && nick) {
        breach = gy_precis_check_scripts(&string);
    }
    if (breach == NULL) {
        canonical->length = encode(&string, canonical->bytes, GY_CHAT_CANONICAL_MAX);
        breach = canonical->length == 0 ? too_long : NULL;
    }
    return breach == NULL ? 0 : refuse(why, breach);
}

#endif

static int map_name(struct gy_chat_text name, bool nick, struct gy_chat_canonical *canonical,
                    const char **why)
{
    if (name.length == 0) {
        return refuse(why, "it is empty");
    }
    if (name.length > GY_CHAT_NICK_MAX) {
        return refuse(why, "it is longer than 64 bytes");
    }
    if (is_ascii(name)) {
        return map_ascii(name, canonical, why);
    }
#if GY_HAVE_UNISTRING
    return map_unicode(name, nick, canonical, why);
#else
    (void)nick;
    return refuse(why, "this server was built without Unicode's tables: names are ASCII here");
#endif
}

int gy_chat_username_map(struct gy_chat_text name, struct gy_chat_canonical *canonical,
                         const char **why)
{
    return map_name(name, false, canonical, why);
}

/* ---- our own rules ---- */

static bool has_letter_or_digit(const struct gy_chat_canonical *canonical)
{
    for (size_t at = 0; at < canonical->length;) {
        uint32_t code = 0;
        size_t step = gy_utf8_decode(canonical->bytes + at, canonical->length - at, &code);
        gy_assert(step > 0);
        if (is_ascii_letter_or_digit(code)) {
            return true;
        }
#if GY_HAVE_UNISTRING
        if (code >= 0x80 && gy_precis_is_letter_or_digit(code)) {
            return true;
        }
#endif
        at += step;
    }
    return false;
}

/* Of ASCII's punctuation only what is in `besides`. */
static int check(struct gy_chat_text name, const char *besides, const char *refusal,
                 struct gy_chat_canonical *canonical, const char **why)
{
    int error = map_name(name, true, canonical, why);
    if (error != 0) {
        return error;
    }
    for (uint32_t i = 0; i < canonical->length; i++) {
        uint8_t byte = (uint8_t)canonical->bytes[i];
        if (byte < 0x80 && !is_ascii_letter_or_digit(byte) && strchr(besides, byte) == NULL) {
            return refuse(why, refusal);
        }
    }
    if (!has_letter_or_digit(canonical)) {
        return refuse(why, "it has no letter and no digit");
    }
    return 0;
}

int gy_chat_nick_check(struct gy_chat_text nick, struct gy_chat_canonical *canonical,
                       const char **why)
{
    return check(nick, "-_.", "of signs it has only - _ and .", canonical, why);
}

int gy_chat_room_check(struct gy_chat_text room, struct gy_chat_canonical *canonical,
                       const char **why)
{
    return check(room, "-_.#", "of signs it has only - _ . and #", canonical, why);
}

/* ---- passwords ---- */

static int prepare_ascii(struct gy_chat_text password, char *out, uint32_t *bytes, const char **why)
{
    for (uint32_t i = 0; i < password.length; i++) {
        if (password.bytes[i] < 0x20 || password.bytes[i] == 0x7f) {
            return refuse(why, "it has a control character");
        }
    }
    memcpy(out, password.bytes, password.length);
    *bytes = password.length;
    return 0;
}

int gy_chat_password_prepare(struct gy_chat_text password, char *out, uint32_t *bytes,
                             const char **why)
{
    if (password.length == 0) {
        return refuse(why, "it is empty");
    }
    if (password.length > GY_CHAT_PASSWORD_MAX) {
        return refuse(why, "it is longer than 1,024 bytes");
    }
    if (is_ascii(password)) {
        return prepare_ascii(password, out, bytes, why);
    }
#if GY_HAVE_UNISTRING
    uint32_t codes[GY_CHAT_PASSWORD_PREPARED_MAX];
    uint32_t before[GY_CHAT_PASSWORD_PREPARED_MAX];
    struct gy_precis string = {codes, 0, GY_CHAT_PASSWORD_PREPARED_MAX};
    if (!decode(password, &string)) {
        return refuse(why, "it is not UTF-8");
    }
    const char *breach = settle(opaque_once, &string, before);
    if (breach == NULL) {
        *bytes = encode(&string, out, GY_CHAT_PASSWORD_PREPARED_MAX);
        breach = *bytes == 0 ? too_long : NULL;
    }
    return breach == NULL ? 0 : refuse(why, breach);
#else
    if (!gy_chat_is_text(password.bytes, password.length)) {
        return refuse(why, "it is not UTF-8");
    }
    memcpy(out, password.bytes, password.length);
    *bytes = password.length;
    return 0;
#endif
}
