/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Names and passwords: the examples of RFC 8265, the rules of RFC 8264, RFC 5892 and RFC 5893, and
 * names that look like others. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocols/chat/name.h"

/* The canonical form as a string; NULL: it is refused. */
static const char *mapped(const char *name)
{
    static char text[GY_CHAT_CANONICAL_MAX + 1];
    struct gy_chat_canonical canonical;
    const char *why = NULL;
    if (gy_chat_username_map(gy_chat_text_of(name), &canonical, &why) != 0) {
        assert_non_null(why);
        return NULL;
    }
    memcpy(text, canonical.bytes, canonical.length);
    text[canonical.length] = 0;
    return text;
}

static const char *nick(const char *name)
{
    static char text[GY_CHAT_CANONICAL_MAX + 1];
    struct gy_chat_canonical canonical;
    if (gy_chat_nick_check(gy_chat_text_of(name), &canonical, NULL) != 0) {
        return NULL;
    }
    memcpy(text, canonical.bytes, canonical.length);
    text[canonical.length] = 0;
    return text;
}

static const char *nick_refusal(const char *name)
{
    struct gy_chat_canonical canonical;
    const char *why = "taken";
    gy_chat_nick_check(gy_chat_text_of(name), &canonical, &why);
    return why;
}

#define assert_mapped(name, canonical) assert_string_equal(mapped(name), canonical)
#define assert_refused(name)           assert_null(mapped(name))

static int needs_unicode(void **state)
{
    (void)state;
    return gy_chat_name_has_unicode() ? 0 : -1;
}

/* RFC 8265 §3.5, table 1: what may be, 1 to 7. */
static void the_usernames_of_rfc_8265_may_be(void **state)
{
    (void)state;
    assert_mapped("juliet@example.com", "juliet@example.com");
    assert_mapped("fussball", "fussball");
    assert_mapped("fu\xc3\x9f"
                  "ball",
                  "fu\xc3\x9f"
                  "ball");
    assert_mapped("\xcf\x80", "\xcf\x80");
    assert_mapped("\xce\xa3", "\xcf\x83");
    assert_mapped("\xcf\x83", "\xcf\x83");
    assert_mapped("\xcf\x82", "\xcf\x82");
}

/* Table 2: what may not, 8 to 11: a space, nothing, ROMAN NUMERAL FOUR, BLACK CHESS KING. */
static void the_usernames_that_rfc_8265_refuses_are_refused(void **state)
{
    (void)state;
    assert_refused("foo bar");
    assert_refused("");
    assert_refused("henry\xe2\x85\xa3");
    assert_refused("\xe2\x99\x9a");
}

static void case_width_and_composition_make_no_difference(void **state)
{
    (void)state;
    assert_mapped("Ann", "ann");
    /* FULLWIDTH LATIN CAPITAL LETTER A, SMALL N */
    assert_mapped("\xef\xbc\xa1\xef\xbd\x8e\xef\xbd\x8e", "ann");
    assert_mapped("ZO\xc3\x8b", "zo\xc3\xab");
    assert_mapped("Zoe\xcc\x88", "zo\xc3\xab");
    /* HALFWIDTH KATAKANA LETTER A, KA */
    assert_mapped("\xef\xbd\xb1\xef\xbd\xb6", "\xe3\x82\xa2\xe3\x82\xab");
    /* LATIN CAPITAL LETTER I WITH DOT ABOVE: i and COMBINING DOT ABOVE (SpecialCasing) */
    assert_mapped("\xc4\xb0", "i\xcc\x87");
    /* ANGSTROM SIGN is canonically A WITH RING ABOVE, and has a compatibility form: refused by the
     * class, which is looked at before the case is mapped. */
    assert_refused("\xe2\x84\xab");
    /* GREEK: a final sigma is what a capital becomes at the end of a word. */
    assert_mapped("\xce\xa3\xce\x91\xce\xa3", "\xcf\x83\xce\xb1\xcf\x82");
}

static void classes_are_those_of_rfc_8264(void **state)
{
    (void)state;
    assert_refused("a\xc2\xa0"
                   "b"); /* NO-BREAK SPACE */
    assert_refused("a\xc2\xad"
                   "b"); /* SOFT HYPHEN: ignorable */
    assert_refused("a\xe2\x80\x8b"
                   "b"); /* ZERO WIDTH SPACE */
    assert_refused("a\xe2\x80\xae"
                   "b");                /* RIGHT-TO-LEFT OVERRIDE */
    assert_refused("a\xef\xbb\xbf");    /* BYTE ORDER MARK */
    assert_refused("\xf0\x9f\x98\x80"); /* GRINNING FACE: a symbol */
    assert_refused("\xef\xac\x81");     /* LATIN SMALL LIGATURE FI: HasCompat */
    assert_refused("\xe1\x84\x80");     /* HANGUL CHOSEONG KIYEOK: old jamo */
    assert_refused("\xd9\x80");         /* ARABIC TATWEEL: an exception */
    assert_refused("\xc7\x85");         /* Dz with caron: titlecase, has a compatibility form */
    assert_refused("a\x01");            /* a control */
    assert_refused("\xef\xbf\xbe");     /* a noncharacter */
    assert_refused("\xcd\xb8");         /* U+0378, not assigned */
    assert_refused("\xee\x80\x80");     /* private use */
    assert_refused("x\xff");            /* not UTF-8 */
    assert_mapped("\xe3\x80\x87", "\xe3\x80\x87"); /* IDEOGRAPHIC NUMBER ZERO: an exception */
    assert_mapped("\xea\xb0\x80", "\xea\xb0\x80"); /* HANGUL SYLLABLE GA */
}

/* RFC 5892, appendix A.1 to A.9. */
static void characters_with_context_need_it(void **state)
{
    (void)state;
    /* ZWNJ behind a virama, or between joining letters; ZWJ behind a virama. */
    assert_non_null(mapped("\xe0\xa4\x95\xe0\xa5\x8d\xe2\x80\x8c\xe0\xa4\xb7"));
    assert_non_null(mapped("\xe0\xa4\x95\xe0\xa5\x8d\xe2\x80\x8d\xe0\xa4\xb7"));
    assert_non_null(mapped("\xd8\xa8\xe2\x80\x8c\xd8\xa8"));
    assert_refused("a\xe2\x80\x8c"
                   "b");
    assert_refused("a\xe2\x80\x8d"
                   "b");
    assert_refused("\xd8\xa7\xe2\x80\x8c\xd8\xa8"); /* ALEF joins to the right only */
    assert_refused("\xe2\x80\x8c");
    /* MIDDLE DOT between two l. */
    assert_mapped("col\xc2\xb7lega", "col\xc2\xb7lega");
    assert_refused("a\xc2\xb7"
                   "b");
    assert_refused("l\xc2\xb7");
    /* GREEK LOWER NUMERAL SIGN before Greek. */
    assert_non_null(mapped("\xcd\xb5\xce\xb1"));
    assert_refused("\xcd\xb5"
                   "a");
    /* HEBREW GERESH behind Hebrew. */
    assert_non_null(mapped("\xd7\x92\xd7\xb3"));
    assert_refused("\xd7\xb3\xd7\x92");
    /* KATAKANA MIDDLE DOT with kana. */
    assert_non_null(mapped("\xe3\x82\xab\xe3\x83\xbb\xe3\x82\xab"));
    assert_refused("a\xe3\x83\xbb"
                   "b");
    /* ARABIC-INDIC DIGITS, or the extended ones. */
    assert_non_null(mapped("\xd8\xa8\xd9\xa1\xd9\xa2"));
    assert_refused("\xd8\xa8\xd9\xa1\xdb\xb2");
}

/* RFC 5893 §2. */
static void names_from_the_right_keep_the_bidi_rule(void **state)
{
    (void)state;
    assert_non_null(mapped("\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d")); /* Hebrew */
    assert_non_null(mapped("\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d"
                           "1")); /* ends in a digit */
    assert_refused("1\xd7\xa9");  /* begins with one */
    assert_refused("a\xd7\xa9");  /* L in front */
    assert_refused("\xd7\xa9"
                   "a\xd7\x9c"); /* L inside */
    assert_refused("\xd7\xa9-"); /* ends in ES */
    assert_refused("\xd8\xa8"
                   "1\xd9\xa1\xd8\xa8");         /* EN and AN */
    assert_non_null(mapped("\xd7\xa9\xd6\xb0")); /* ends in a mark */
}

static void a_letter_of_another_script_is_no_way_to_look_like_somebody(void **state)
{
    (void)state;
    assert_string_equal(nick("paypal"), "paypal");
    assert_null(nick("p\xd0\xb0ypal")); /* CYRILLIC SMALL LETTER A */
    assert_non_null(strstr(nick_refusal("p\xd0\xb0ypal"), "UTS 39"));
    assert_null(nick("al\xce\xbfha"));                         /* GREEK SMALL LETTER OMICRON */
    assert_null(nick("\xd5\xb0i"));                            /* ARMENIAN SMALL LETTER HO */
    assert_non_null(nick("\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd")); /* all Cyrillic */
    assert_non_null(nick("\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd-7"));
    /* PRECIS alone allows the mixture. */
    assert_non_null(mapped("p\xd0\xb0ypal"));
}

static void mixtures_that_are_highly_restrictive_may_be(void **state)
{
    (void)state;
    assert_non_null(nick("Taro\xe5\xa4\xaa\xe9\x83\x8e"));         /* Latin, Han */
    assert_non_null(nick("\xe5\xa4\xaa\xe3\x81\x8f\xe3\x82\xab")); /* Han, both kana */
    assert_non_null(nick("\xe5\xa4\xaa\xea\xb0\x80x"));            /* Han, Hangul, Latin */
    assert_non_null(nick("\xe5\xa4\xaa\xe3\x84\x85x"));            /* Han, Bopomofo, Latin */
    assert_null(nick("\xe3\x81\x8f\xea\xb0\x80"));                 /* Hiragana, Hangul */
    assert_null(nick("\xe3\x84\x85\xe3\x81\x8f"));                 /* Bopomofo, Hiragana */
    assert_null(nick("\xe5\xa4\xaa\xd0\xb8"));                     /* Han, Cyrillic */
}

static void digits_are_of_one_system(void **state)
{
    (void)state;
    assert_non_null(nick("\xe0\xa6\x95\xe0\xa7\xa7\xe0\xa7\xa8")); /* Bengali 1 2 */
    assert_null(nick("\xe0\xa6\x95\xe0\xa7\xa7"
                     "8")); /* with an ASCII 8 */
}

static void a_nick_has_few_signs_and_a_letter(void **state)
{
    (void)state;
    assert_string_equal(nick("Ann_1.x-y"), "ann_1.x-y");
    assert_null(nick("@"));
    assert_null(nick("juliet@example.com"));
    assert_null(nick("<b>"));
    assert_null(nick("#ann"));
    assert_null(nick("..."));
    assert_null(nick("a/b"));
    assert_string_equal(nick_refusal("a b"), "it has no spaces");
    assert_string_equal(nick_refusal(""), "it is empty");
    assert_string_equal(nick_refusal("-"), "it has no letter and no digit");
    assert_string_equal(nick_refusal("ann"), "taken"); /* nothing is wrong with it */
    /* FULLWIDTH COMMERCIAL AT becomes one. */
    assert_null(nick("a\xef\xbc\xa0"
                     "b"));
}

static void a_nick_has_64_bytes_at_most(void **state)
{
    (void)state;
    char name[66];
    memset(name, 'n', sizeof name);
    name[64] = 0;
    assert_non_null(nick(name));
    name[64] = 'n';
    name[65] = 0;
    assert_null(nick(name));
    /* 32 characters that each become three bytes. */
    char dotted[65];
    for (int i = 0; i < 64; i += 2) {
        memcpy(dotted + i, "\xc4\xb0", 2);
    }
    dotted[64] = 0;
    assert_int_equal(strlen(nick(dotted)), 96);
}

static void a_room_may_have_a_hash(void **state)
{
    (void)state;
    struct gy_chat_canonical canonical;
    const char *why = NULL;
    assert_int_equal(gy_chat_room_check(gy_chat_text_of("#Gyre.dev"), &canonical, &why), 0);
    assert_true(
        gy_chat_text_equal(gy_chat_canonical_text(&canonical), gy_chat_text_of("#gyre.dev")));
    assert_int_equal(gy_chat_room_check(gy_chat_text_of("@"), &canonical, &why), GY_EINVAL);
    assert_int_equal(gy_chat_room_check(gy_chat_text_of("#"), &canonical, &why), GY_EINVAL);
    assert_int_equal(gy_chat_room_check(gy_chat_text_of("a b"), &canonical, NULL), GY_EINVAL);
}

static const char *prepared(const char *password)
{
    static char text[GY_CHAT_PASSWORD_PREPARED_MAX + 1];
    uint32_t bytes = 0;
    if (gy_chat_password_prepare(gy_chat_text_of(password), text, &bytes, NULL) != 0) {
        return NULL;
    }
    text[bytes] = 0;
    return text;
}

/* RFC 8265 §4.3, tables 3 and 4: 12 to 18. */
static void the_passwords_of_rfc_8265_are_prepared(void **state)
{
    (void)state;
    assert_string_equal(prepared("correct horse battery staple"), "correct horse battery staple");
    assert_string_equal(prepared("Correct Horse Battery Staple"), "Correct Horse Battery Staple");
    assert_string_equal(prepared("\xcf\x80\xc3\x9f\xc3\xa5"), "\xcf\x80\xc3\x9f\xc3\xa5");
    assert_string_equal(prepared("Jack of \xe2\x99\xa6s"), "Jack of \xe2\x99\xa6s");
    assert_string_equal(prepared("foo\xe1\x9a\x80"
                                 "bar"),
                        "foo bar"); /* OGHAM SPACE MARK */
    assert_null(prepared(""));
    assert_null(prepared("my cat is a \tby"));
}

static void a_password_is_composed_and_bounded(void **state)
{
    (void)state;
    static char longest[GY_CHAT_PASSWORD_MAX + 2];
    assert_string_equal(prepared("a\xcc\x8a"), "\xc3\xa5");
    assert_null(prepared("a\xff"));
    assert_null(prepared("\xc2\x85")); /* NEXT LINE: a control */
    memset(longest, 'p', GY_CHAT_PASSWORD_MAX);
    assert_string_equal(prepared(longest), longest);
    longest[GY_CHAT_PASSWORD_MAX] = 'p';
    assert_null(prepared(longest));
    /* HEBREW LETTER SHIN WITH DAGESH AND SHIN DOT has three characters in NFC. */
    for (int i = 0; i + 3 <= GY_CHAT_PASSWORD_MAX; i += 3) {
        memcpy(longest + i, "\xef\xac\xac", 3);
    }
    longest[1023] = 0;
    assert_int_equal(strlen(prepared(longest)), 341 * 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usernames_of_rfc_8265_may_be),
        cmocka_unit_test(the_usernames_that_rfc_8265_refuses_are_refused),
        cmocka_unit_test(case_width_and_composition_make_no_difference),
        cmocka_unit_test(classes_are_those_of_rfc_8264),
        cmocka_unit_test(characters_with_context_need_it),
        cmocka_unit_test(names_from_the_right_keep_the_bidi_rule),
        cmocka_unit_test(a_letter_of_another_script_is_no_way_to_look_like_somebody),
        cmocka_unit_test(mixtures_that_are_highly_restrictive_may_be),
        cmocka_unit_test(digits_are_of_one_system),
        cmocka_unit_test(a_nick_has_few_signs_and_a_letter),
        cmocka_unit_test(a_nick_has_64_bytes_at_most),
        cmocka_unit_test(a_room_may_have_a_hash),
        cmocka_unit_test(the_passwords_of_rfc_8265_are_prepared),
        cmocka_unit_test(a_password_is_composed_and_bounded),
    };
    const struct CMUnitTest ascii[] = {
        cmocka_unit_test(a_room_may_have_a_hash),
    };
    return needs_unicode(NULL) == 0
               ? cmocka_run_group_tests_name("chat names", tests, NULL, NULL)
               : cmocka_run_group_tests_name("chat names in ASCII", ascii, NULL, NULL);
}
