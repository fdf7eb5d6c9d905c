/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Records over several lines, between parentheses, with what their numbers mean (+multiline). */

#include <string.h>

#include "clients/dig/dig.h"

#define NEXT_LINE   "\n\t\t\t\t"
#define CHUNK       44u /* of base64 and hexadecimal */
#define FLAG_SEP    0x0001u
#define FLAG_REVOKE 0x0080u

int dig_print_time(uint32_t seconds, bool words)
{
    static const struct {
        uint32_t seconds;
        const char *word;
    } units[] = {{604800, "week"}, {86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    bool any = false;
    int columns = 0;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        uint32_t count = seconds / units[i].seconds;
        seconds %= units[i].seconds;
        if (count == 0 && (any || units[i].seconds > 1)) {
            continue;
        }
        if (words) {
            columns +=
                printf("%s%u %s%s", any ? " " : "", count, units[i].word, count == 1 ? "" : "s");
        } else {
            columns += printf("%u%c", count, units[i].word[0]);
        }
        any = true;
    }
    return columns;
}

/* The first `count` words of a text, which are separated by blanks. Where the rest begins. */
static const char *put_words(const char *text, unsigned count)
{
    for (; count > 0 && *text != '\0'; count--) {
        size_t bytes = strcspn(text, " ");
        printf("%.*s ", (int)bytes, text);
        text += bytes;
        text += strspn(text, " ");
    }
    return text;
}

/* The rest in pieces, each but the first on a line of its own. */
static void put_chunks(const char *text)
{
    unsigned column = 0;
    for (; *text != '\0'; text++) {
        if (*text == ' ') {
            continue;
        }
        if (column == CHUNK) {
            fputs(NEXT_LINE, stdout);
            column = 0;
        }
        putchar(*text);
        column++;
    }
}

static void put_soa(const char *text)
{
    static const char *const names[] = {"serial", "refresh", "retry", "expire", "minimum"};
    text = put_words(text, 2);
    fputs("(", stdout);
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint32_t number = 0;
        for (; *text >= '0' && *text <= '9'; text++) {
            number = number * 10 + (uint32_t)(*text - '0');
        }
        text += strspn(text, " ");
        printf(NEXT_LINE "%-10u ; %s", number, names[i]);
        if (i > 0) {
            fputs(" (", stdout);
            dig_print_time(number, true);
            putchar(')');
        }
    }
    fputs(NEXT_LINE ")", stdout);
}

/* RFC 4034 appendix B. */
static unsigned key_tag(const uint8_t *rdata, size_t bytes)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < bytes; i++) {
        sum += (i & 1) != 0 ? rdata[i] : (uint32_t)rdata[i] << 8;
    }
    return (sum + (sum >> 16)) & 0xffffu;
}

static void put_algorithm(uint8_t number)
{
    static const char *const names[] = {
        [1] = "RSAMD5",           [3] = "DSA",          [5] = "RSASHA1",
        [6] = "NSEC3DSA",         [7] = "NSEC3RSASHA1", [8] = "RSASHA256",
        [10] = "RSASHA512",       [12] = "ECCGOST",     [13] = "ECDSAP256SHA256",
        [14] = "ECDSAP384SHA384", [15] = "ED25519",     [16] = "ED448",
    };
    if (number < sizeof names / sizeof names[0] && names[number] != NULL) {
        fputs(names[number], stdout);
    } else {
        printf("%u", number);
    }
}

static void put_key(const char *text, const uint8_t *rdata, size_t bytes)
{
    unsigned flags = (unsigned)rdata[0] << 8 | rdata[1];
    text = put_words(text, 3);
    fputs("(" NEXT_LINE, stdout);
    put_chunks(text);
    printf(NEXT_LINE ") ; %s%s; alg = ",
           (flags & FLAG_SEP) != 0 && (flags & FLAG_REVOKE) != 0 ? "revoked " : "",
           (flags & FLAG_SEP) != 0 ? "KSK" : "ZSK");
    put_algorithm(rdata[3]);
    printf(" ; key id = %u", key_tag(rdata, bytes));
}

/* So many words on the line, then a line of as many, then the rest in pieces. */
static void put_wrapped(const char *text, unsigned words, unsigned more)
{
    text = put_words(text, words);
    fputs("(" NEXT_LINE, stdout);
    for (; more > 0; more--) {
        size_t bytes = strcspn(text, " ");
        printf("%.*s%s", (int)bytes, text, more > 1 ? " " : NEXT_LINE);
        text += bytes;
        text += strspn(text, " ");
    }
    put_chunks(text);
    fputs(" )", stdout);
}

void dig_print_multiline(uint16_t type, const char *text, const uint8_t *rdata, size_t bytes)
{
    bool generic = strncmp(text, "\\# ", 3) == 0;
    switch (generic ? 0 : type) {
    case GY_DNS_TYPE_SOA:
        put_soa(text);
        return;
    case GY_DNS_TYPE_DNSKEY:
    case GY_DNS_TYPE_CDNSKEY:
        if (bytes >= 4) {
            put_key(text, rdata, bytes);
            return;
        }
        break;
    case GY_DNS_TYPE_RRSIG:
        put_wrapped(text, 4, 4);
        return;
    case GY_DNS_TYPE_DS:
    case GY_DNS_TYPE_CDS:
    case GY_DNS_TYPE_TLSA:
    case GY_DNS_TYPE_SMIMEA:
    case GY_DNS_TYPE_ZONEMD:
        put_wrapped(text, 3, 0);
        return;
    case GY_DNS_TYPE_SSHFP:
        put_wrapped(text, 2, 0);
        return;
    case GY_DNS_TYPE_NSEC3:
        text = put_words(text, 4);
        printf("(" NEXT_LINE "%.*s", (int)strcspn(text, " "), text);
        text += strcspn(text, " ");
        printf(NEXT_LINE "%s )", text + strspn(text, " "));
        return;
    default:
        break;
    }
    if (generic || type == GY_DNS_TYPE_OPENPGPKEY) {
        text = put_words(text, generic ? 2 : 0);
        fputs("( ", stdout);
        put_chunks(text);
        fputs(" )", stdout);
        return;
    }
    fputs(text, stdout);
}
