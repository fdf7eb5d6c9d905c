/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/dns.h"

#include <string.h>

#include "core/cursor.h"
#include "core/error.h"

struct word {
    const char *text;
    uint16_t number;
    const char *fields;
};

static const struct word types[] = {
#define TYPE_WORD(name, number, fields) {#name, number, fields},
    GY_DNS_TYPES(TYPE_WORD)
#undef TYPE_WORD
};

static const struct word classes[] = {
    {"IN", GY_DNS_CLASS_IN, ""},     {"CH", GY_DNS_CLASS_CH, ""},   {"HS", GY_DNS_CLASS_HS, ""},
    {"NONE", GY_DNS_CLASS_NONE, ""}, {"ANY", GY_DNS_CLASS_ANY, ""},
};

static const struct word rcodes[] = {
#define RCODE_WORD(name, number) {#name, number, ""},
    GY_DNS_RCODES(RCODE_WORD)
#undef RCODE_WORD
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static const char *text_of(const struct word *words, size_t count, uint16_t number,
                           const char *generic, char *text)
{
    struct gy_writer writer = gy_writer_on(text, GY_DNS_MNEMONIC_BYTES);
    size_t i = 0;
    while (i < count && words[i].number != number) {
        i++;
    }
    if (i < count) {
        gy_writer_text(&writer, words[i].text);
    } else {
        gy_writer_text(&writer, generic);
        gy_writer_decimal(&writer, number);
    }
    gy_writer_u8(&writer, 0);
    gy_assert(!writer.failed);
    return text;
}

const char *gy_dns_type_text(uint16_t type, char text[GY_DNS_MNEMONIC_BYTES])
{
    return text_of(types, COUNT(types), type, "TYPE", text);
}

const char *gy_dns_class_text(uint16_t class, char text[GY_DNS_MNEMONIC_BYTES])
{
    return text_of(classes, COUNT(classes), class, "CLASS", text);
}

const char *gy_dns_rcode_text(uint16_t rcode, char text[GY_DNS_MNEMONIC_BYTES])
{
    return text_of(rcodes, COUNT(rcodes), rcode, "RCODE", text);
}

static bool same_word(const char *text, size_t bytes, const char *word)
{
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 32) : text[i];
        if (word[i] == 0 || word[i] != c) {
            return false;
        }
    }
    return word[bytes] == 0;
}

/* `text` as GENERICn, or GY_EINVAL. */
static int generic_number(const char *text, size_t bytes, const char *generic)
{
    size_t prefix = strlen(generic);
    uint32_t number = 0;
    if (bytes <= prefix || bytes > prefix + 5 || !same_word(text, prefix, generic)) {
        return GY_EINVAL;
    }
    for (size_t i = prefix; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return GY_EINVAL;
        }
        number = number * 10 + (uint32_t)(text[i] - '0');
    }
    return number <= UINT16_MAX ? (int)number : GY_EINVAL;
}

static int number_of(const struct word *words, size_t count, const char *text, size_t bytes,
                     const char *generic)
{
    for (size_t i = 0; i < count; i++) {
        if (same_word(text, bytes, words[i].text)) {
            return words[i].number;
        }
    }
    return generic_number(text, bytes, generic);
}

int gy_dns_type_from_text(const char *text, size_t bytes)
{
    uint32_t packed = 0;
    /* Nine of ten records of a zone file are of these: no search for them. */
    for (size_t i = 0; i < bytes && bytes <= 4; i++) {
        packed = packed << 8 | ((uint8_t)text[i] & 0xdf);
    }
    switch (packed) {
    case 'A':
        return GY_DNS_TYPE_A;
    case 'N' << 8 | 'S':
        return GY_DNS_TYPE_NS;
    case 'D' << 8 | 'S':
        return GY_DNS_TYPE_DS;
    case 'M' << 8 | 'X':
        return GY_DNS_TYPE_MX;
    case 'A' << 24 | 'A' << 16 | 'A' << 8 | 'A':
        return GY_DNS_TYPE_AAAA;
    case 'T' << 16 | 'X' << 8 | 'T':
        return GY_DNS_TYPE_TXT;
    case 'P' << 16 | 'T' << 8 | 'R':
        return GY_DNS_TYPE_PTR;
    case 'N' << 24 | 'S' << 16 | 'E' << 8 | 'C':
        return GY_DNS_TYPE_NSEC;
    default:
        break;
    }
    if (bytes == 5 && same_word(text, bytes, "RRSIG")) {
        return GY_DNS_TYPE_RRSIG;
    }
    return number_of(types, COUNT(types), text, bytes, "TYPE");
}

int gy_dns_class_from_text(const char *text, size_t bytes)
{
    return number_of(classes, COUNT(classes), text, bytes, "CLASS");
}

const char *gy_dns_type_fields(uint16_t type)
{
    switch (type) { /* the same nine of ten */
    case GY_DNS_TYPE_A:
        return "a";
    case GY_DNS_TYPE_NS:
        return "n";
    case GY_DNS_TYPE_AAAA:
        return "A";
    default:
        break;
    }
    for (size_t i = 0; i < COUNT(types); i++) {
        if (types[i].number == type) {
            return types[i].fields;
        }
    }
    return "";
}
