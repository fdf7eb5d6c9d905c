/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/chat/precis.h"

#include "core/error.h"

#if GY_HAVE_UNISTRING

#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>

/* ---- mappings ---- */

void gy_precis_map_width(struct gy_precis *string)
{
    for (uint32_t i = 0; i < string->length; i++) {
        ucs4_t to[UC_DECOMPOSITION_MAX_LENGTH];
        int tag;
        /* All of them are in these blocks, and U+3000 is the widest space. */
        uint32_t code = string->codes[i];
        if ((code >= 0xff00 && code <= 0xffef) || code == 0x3000) {
            int count = uc_decomposition(code, &tag, to);
            if (count == 1 && (tag == UC_DECOMP_WIDE || tag == UC_DECOMP_NARROW)) {
                string->codes[i] = to[0];
            }
        }
    }
}

void gy_precis_map_spaces(struct gy_precis *string)
{
    for (uint32_t i = 0; i < string->length; i++) {
        if (uc_is_general_category_withtable(string->codes[i], UC_CATEGORY_MASK_Zs)) {
            string->codes[i] = ' ';
        }
    }
}

/* The library fills the buffer that it is handed, or, when that is too small, one of its own. */
static bool take_result(struct gy_precis *string, uint32_t *buffer, uint32_t *result, size_t length)
{
    if (result == NULL) {
        return false;
    }
    bool fits = result == buffer && length <= string->max;
    if (fits) {
        memcpy(string->codes, result, length * sizeof *result);
        string->length = (uint32_t)length;
    }
    if (result != buffer) {
        free(result);
    }
    return fits;
}

/* The most that name.c maps at once. */
#define CODES_MAX 3072

bool gy_precis_map_case(struct gy_precis *string)
{
    uint32_t buffer[CODES_MAX];
    size_t length = CODES_MAX;
    gy_assert(string->max <= CODES_MAX);
    uint32_t *result = u32_tolower(string->codes, string->length, NULL, NULL, buffer, &length);
    return take_result(string, buffer, result, length);
}

bool gy_precis_compose(struct gy_precis *string)
{
    uint32_t buffer[CODES_MAX];
    size_t length = CODES_MAX;
    gy_assert(string->max <= CODES_MAX);
    uint32_t *result = u32_normalize(UNINORM_NFC, string->codes, string->length, buffer, &length);
    return take_result(string, buffer, result, length);
}

/* ---- classes ---- */

enum property {
    VALID,
    ID_DISALLOWED, /* of the FreeformClass alone */
    CONTEXT,       /* depends on what is around it */
    DISALLOWED,
};

/* RFC 8264 §9.6. */
static bool is_exception(uint32_t code, enum property *property)
{
    switch (code) {
    case 0x00df:
    case 0x03c2:
    case 0x06fd:
    case 0x06fe:
    case 0x0f0b:
    case 0x3007:
        *property = VALID;
        return true;
    case 0x00b7:
    case 0x0375:
    case 0x05f3:
    case 0x05f4:
    case 0x30fb:
        *property = CONTEXT;
        return true;
    case 0x0640:
    case 0x07fa:
    case 0x302e:
    case 0x302f:
    case 0x3031:
    case 0x3032:
    case 0x3033:
    case 0x3034:
    case 0x3035:
    case 0x303b:
        *property = DISALLOWED;
        return true;
    default:
        if ((code >= 0x0660 && code <= 0x0669) || (code >= 0x06f0 && code <= 0x06f9)) {
            *property = CONTEXT;
            return true;
        }
        return false;
    }
}

/* §9.9: Hangul_Syllable_Type L, V or T. */
static bool is_old_hangul_jamo(uint32_t code)
{
    return (code >= 0x1100 && code <= 0x11ff) || (code >= 0xa960 && code <= 0xa97c) ||
           (code >= 0xd7b0 && code <= 0xd7c6) || (code >= 0xd7cb && code <= 0xd7fb);
}

/* §9.17: it is not its own compatibility form. */
static bool has_compat(uint32_t code)
{
    ucs4_t buffer[UC_DECOMPOSITION_MAX_LENGTH];
    size_t length = UC_DECOMPOSITION_MAX_LENGTH;
    ucs4_t from = code;
    ucs4_t *result = u32_normalize(UNINORM_NFKC, &from, 1, buffer, &length);
    bool same = result != NULL && length == 1 && result[0] == code;
    if (result != buffer) {
        free(result);
    }
    return !same;
}

/* §8: the order is part of the definition. */
static enum property property_of(uint32_t code)
{
    static const uint32_t letters = UC_CATEGORY_MASK_Ll | UC_CATEGORY_MASK_Lu |
                                    UC_CATEGORY_MASK_Lo | UC_CATEGORY_MASK_Nd |
                                    UC_CATEGORY_MASK_Lm | UC_CATEGORY_MASK_Mn | UC_CATEGORY_MASK_Mc;
    static const uint32_t freeform = UC_CATEGORY_MASK_Lt | UC_CATEGORY_MASK_Nl |
                                     UC_CATEGORY_MASK_No | UC_CATEGORY_MASK_Me |
                                     UC_CATEGORY_MASK_Zs | UC_CATEGORY_MASK_S | UC_CATEGORY_MASK_P;
    enum property property;
    if (is_exception(code, &property)) {
        return property;
    }
    if (uc_is_general_category_withtable(code, UC_CATEGORY_MASK_Cn)) {
        return DISALLOWED; /* not assigned, or never to be */
    }
    if (code >= 0x21 && code <= 0x7e) {
        return VALID;
    }
    if (code == 0x200c || code == 0x200d) {
        return CONTEXT;
    }
    if (is_old_hangul_jamo(code) || uc_is_property_default_ignorable_code_point(code) ||
        uc_is_general_category_withtable(code, UC_CATEGORY_MASK_Cc)) {
        return DISALLOWED;
    }
    if (has_compat(code)) {
        return ID_DISALLOWED;
    }
    if (uc_is_general_category_withtable(code, letters)) {
        return VALID;
    }
    return uc_is_general_category_withtable(code, freeform) ? ID_DISALLOWED : DISALLOWED;
}

/* ---- context (RFC 5892 appendix A) ---- */

static bool is_of_script(uint32_t code, const char *name)
{
    const uc_script_t *script = uc_script(code);
    return script != NULL && strcmp(script->name, name) == 0;
}

static uint32_t code_at(const struct gy_precis *string, uint32_t at)
{
    return at < string->length ? string->codes[at] : 0;
}

/* A.1: (L|D) T* ZWNJ T* (R|D). */
static bool joins(const struct gy_precis *string, uint32_t at)
{
    uint32_t before = at;
    while (before > 0 && uc_joining_type(string->codes[before - 1]) == UC_JOINING_TYPE_T) {
        before--;
    }
    uint32_t after = at + 1;
    while (after < string->length && uc_joining_type(string->codes[after]) == UC_JOINING_TYPE_T) {
        after++;
    }
    if (before == 0 || after == string->length) {
        return false;
    }
    int left = uc_joining_type(string->codes[before - 1]);
    int right = uc_joining_type(string->codes[after]);
    return (left == UC_JOINING_TYPE_L || left == UC_JOINING_TYPE_D) &&
           (right == UC_JOINING_TYPE_R || right == UC_JOINING_TYPE_D);
}

static bool has_between(const struct gy_precis *string, uint32_t first, uint32_t last)
{
    for (uint32_t i = 0; i < string->length; i++) {
        if (string->codes[i] >= first && string->codes[i] <= last) {
            return true;
        }
    }
    return false;
}

static bool has_kana_or_han(const struct gy_precis *string)
{
    for (uint32_t i = 0; i < string->length; i++) {
        uint32_t code = string->codes[i];
        if (is_of_script(code, "Hiragana") || is_of_script(code, "Katakana") ||
            is_of_script(code, "Han")) {
            return true;
        }
    }
    return false;
}

static bool context_allows(const struct gy_precis *string, uint32_t at)
{
    uint32_t code = string->codes[at];
    uint32_t before = at > 0 ? string->codes[at - 1] : 0;
    switch (code) {
    case 0x200c:
        return uc_combining_class(before) == UC_CCC_VR || joins(string, at);
    case 0x200d:
        return uc_combining_class(before) == UC_CCC_VR;
    case 0x00b7:
        return before == 'l' && code_at(string, at + 1) == 'l';
    case 0x0375:
        return is_of_script(code_at(string, at + 1), "Greek");
    case 0x05f3:
    case 0x05f4:
        return is_of_script(before, "Hebrew");
    case 0x30fb:
        return has_kana_or_han(string);
    default:
        return code <= 0x0669 ? !has_between(string, 0x06f0, 0x06f9)
                              : !has_between(string, 0x0660, 0x0669);
    }
}

const char *gy_precis_check_class(const struct gy_precis *string, bool freeform)
{
    for (uint32_t i = 0; i < string->length; i++) {
        switch (property_of(string->codes[i])) {
        case VALID:
            break;
        case CONTEXT:
            if (!context_allows(string, i)) {
                return "one of its characters may not stand where it does (RFC 5892, appendix A)";
            }
            break;
        case ID_DISALLOWED:
            if (!freeform) {
                return "it has letters, digits and marks, without spaces, symbols and other forms "
                       "of letters (RFC 8264, IdentifierClass)";
            }
            break;
        case DISALLOWED:
            return "it has a control, an invisible or an unassigned character (RFC 8264)";
        }
    }
    return NULL;
}

/* ---- direction ---- */

#define BIT(class) (UINT64_C(1) << (class))

static uint64_t bidi_of(uint32_t code)
{
    int class = uc_bidi_class(code);
    return class >= 0 && class < 64 ? BIT(class) : 0;
}

const char *gy_precis_check_bidi(const struct gy_precis *string)
{
    static const char breach[] =
        "it mixes writing from the left and from the right (RFC 5893, section 2)";
    const uint64_t from_right = BIT(UC_BIDI_R) | BIT(UC_BIDI_AL);
    const uint64_t neutral = BIT(UC_BIDI_ES) | BIT(UC_BIDI_CS) | BIT(UC_BIDI_ET) | BIT(UC_BIDI_ON) |
                             BIT(UC_BIDI_BN) | BIT(UC_BIDI_NSM);
    uint64_t all = 0;
    uint64_t last = 0; /* that is no mark */
    for (uint32_t i = 0; i < string->length; i++) {
        uint64_t class = bidi_of(string->codes[i]);
        all |= class;
        last = class != BIT(UC_BIDI_NSM) ? class : last;
    }
    if ((all & (from_right | BIT(UC_BIDI_AN))) == 0) {
        return NULL;
    }
    uint64_t first = bidi_of(string->codes[0]);
    if ((first & from_right) != 0) {
        const uint64_t allowed = from_right | BIT(UC_BIDI_AN) | BIT(UC_BIDI_EN) | neutral;
        const uint64_t ends = from_right | BIT(UC_BIDI_EN) | BIT(UC_BIDI_AN);
        const uint64_t digits = BIT(UC_BIDI_EN) | BIT(UC_BIDI_AN);
        return (all & ~allowed) != 0 || (last & ends) == 0 || (all & digits) == digits ? breach
                                                                                       : NULL;
    }
    /* From the left there is neither R, AL nor AN, and one of them is here. */
    return breach;
}

/* ---- scripts ---- */

enum {
    LATIN = 1 << 0,
    HAN = 1 << 1,
    HIRAGANA = 1 << 2,
    KATAKANA = 1 << 3,
    BOPOMOFO = 1 << 4,
    HANGUL = 1 << 5,
};

static uint32_t mixable(const char *script)
{
    static const char *const names[] = {"Latin",    "Han",      "Hiragana",
                                        "Katakana", "Bopomofo", "Hangul"};
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(script, names[i]) == 0) {
            return 1u << i;
        }
    }
    return 0;
}

static bool one_system_of_digits(const struct gy_precis *string)
{
    uint32_t zero = 0;
    for (uint32_t i = 0; i < string->length; i++) {
        int value = uc_decimal_value(string->codes[i]);
        if (value < 0) {
            continue;
        }
        if (zero != 0 && zero != string->codes[i] - (uint32_t)value) {
            return false;
        }
        zero = string->codes[i] - (uint32_t)value;
    }
    return true;
}

const char *gy_precis_check_scripts(const struct gy_precis *string)
{
    static const uint32_t mixtures[] = {LATIN | HAN | HIRAGANA | KATAKANA, LATIN | HAN | BOPOMOFO,
                                        LATIN | HAN | HANGUL};
    const char *only = NULL; /* the first script; those of all: */
    bool several = false;
    bool unmixable = false;
    uint32_t all = 0;
    for (uint32_t i = 0; i < string->length; i++) {
        const uc_script_t *script = uc_script(string->codes[i]);
        if (script == NULL || strcmp(script->name, "Common") == 0 ||
            strcmp(script->name, "Inherited") == 0) {
            continue;
        }
        uint32_t bit = mixable(script->name);
        several = several || (only != NULL && strcmp(only, script->name) != 0);
        only = only == NULL ? script->name : only;
        unmixable = unmixable || bit == 0;
        all |= bit;
    }
    bool fine = !several;
    for (uint32_t i = 0; i < sizeof mixtures / sizeof mixtures[0]; i++) {
        fine = fine || (!unmixable && (all & ~mixtures[i]) == 0);
    }
    if (!fine) {
        return "it mixes letters of scripts that look alike (UTS 39, section 5.2)";
    }
    return one_system_of_digits(string)
               ? NULL
               : "it mixes digits of several systems (UTS 39, section 5.3)";
}

bool gy_precis_is_letter_or_digit(uint32_t code)
{
    return uc_is_general_category_withtable(code, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_Nd);
}

#endif
