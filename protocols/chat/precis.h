/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_CHAT_PRECIS_H
#define GY_PROTOCOLS_CHAT_PRECIS_H

/*
 * PRECIS (RFC 8264) on characters: what name.c asks of it. Built with libunistring; without it
 * nothing here is.
 *
 * Strings are arrays of code points in the caller's memory. What returns a sentence returns a
 * constant that says which rule is broken, or NULL when none is.
 */

#include <stdbool.h>
#include <stdint.h>

struct gy_precis {
    uint32_t *codes;
    uint32_t length; /* codes in use */
    uint32_t max;
};

/* Width mapping (RFC 8265 §3.3.2): fullwidth and halfwidth forms become what they are forms of. */
void gy_precis_map_width(struct gy_precis *string);

/* Other spaces than U+0020 become it (§4.2.2). */
void gy_precis_map_spaces(struct gy_precis *string);

/* Lower case, with its special cases. False: there is no room for it. */
bool gy_precis_map_case(struct gy_precis *string);

/* Normalisation form C. False: there is no room for it. */
bool gy_precis_compose(struct gy_precis *string);

/* Whether all characters are of the class (RFC 8264 §4.2, §4.3; §8 and §9). */
const char *gy_precis_check_class(const struct gy_precis *string, bool freeform);

/* The bidi rule (RFC 5893 §2), which strings with characters of the right-to-left kind keep. */
const char *gy_precis_check_bidi(const struct gy_precis *string);

/* Letters of one script, or a mixture that UTS 39 §5.2 calls highly restrictive; digits of one
 * decimal system (§5.3). */
const char *gy_precis_check_scripts(const struct gy_precis *string);

bool gy_precis_is_letter_or_digit(uint32_t code);

#endif
