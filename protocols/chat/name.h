/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_CHAT_NAME_H
#define GY_PROTOCOLS_CHAT_NAME_H

/*
 * Names of people and rooms, and passwords: which may be, and which are the same (README.md
 * section 6).
 *
 *   nick      UsernameCaseMapped (RFC 8265 §3.3) decides: width mapping, lower case, NFC, the
 *             IdentifierClass of PRECIS (RFC 8264 §4.2), the bidi rule (RFC 5893 §2). Besides,
 *             letters of several scripts only in the mixtures that Unicode's Technical Standard 39
 *             §5.2 calls highly restrictive.
 *   room      the same rules, and `#`. (`@`, one's own inbox, is no name by them.)
 *   password  OpaqueString (RFC 8265 §4.2): other spaces become a space, NFC, the FreeformClass
 *
 * Two names are the same when their canonical forms are the same bytes. What is shown is the name
 * as it was written.
 *
 * No state; nothing allocates. Where the program was built without libunistring, names are ASCII
 * (gy_chat_name_has_unicode()), and passwords that are not are taken as they are.
 */

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

/* A canonical form's longest: what folding and composing make of GY_CHAT_NICK_MAX bytes. */
#define GY_CHAT_CANONICAL_MAX 192

struct gy_chat_canonical {
    char bytes[GY_CHAT_CANONICAL_MAX];
    uint32_t length;
};

static inline struct gy_chat_text gy_chat_canonical_text(const struct gy_chat_canonical *canonical)
{
    return (struct gy_chat_text){canonical->bytes, canonical->length};
}

/* Whether the nick may be: 0 and its canonical form, or GY_EINVAL with the rule that it breaks: "it
 * has no spaces", a constant without a full stop, for ERROR `name`. `nick` may be any bytes. `why`
 * may be NULL. Besides letters, digits and marks a nick has only `-`, `_` and `.`, and one letter
 * or digit at least. */
int gy_chat_nick_check(struct gy_chat_text nick, struct gy_chat_canonical *canonical,
                       const char **why);

/* The same of a room's name, which may have `#` too. */
int gy_chat_room_check(struct gy_chat_text room, struct gy_chat_canonical *canonical,
                       const char **why);

/* UsernameCaseMapped alone, without the rules on scripts and punctuation: what RFC 8265 calls
 * enforcement. As gy_chat_nick_check(). */
int gy_chat_username_map(struct gy_chat_text name, struct gy_chat_canonical *canonical,
                         const char **why);

/* Prepares a password for hashing: 0 with its bytes in `out` (which has GY_CHAT_PASSWORD_MAX * 3)
 * and their number in `*bytes`; GY_EINVAL as above. 1 to GY_CHAT_PASSWORD_MAX bytes. */
#define GY_CHAT_PASSWORD_PREPARED_MAX (GY_CHAT_PASSWORD_MAX * 3)
int gy_chat_password_prepare(struct gy_chat_text password, char *out, uint32_t *bytes,
                             const char **why);

bool gy_chat_name_has_unicode(void);

#endif
