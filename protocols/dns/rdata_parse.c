/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "protocols/dns/rdata_internal.h"
#include "protocols/dns/rdata_words.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

int rdata_word_or_end(struct rdata_in *in)
{
    switch (scan_next(in->scanner)) {
    case SCAN_WORD:
        return 1;
    case SCAN_END:
        return 0;
    case SCAN_MORE:
        return GY_EAGAIN;
    case SCAN_ERROR:
        break;
    }
    return rdata_fail(in, in->scanner->why);
}

int rdata_word(struct rdata_in *in)
{
    int result = rdata_word_or_end(in);
    if (result == 0) {
        return rdata_fail(in, "the record's data ends early; a field is missing");
    }
    return result < 0 ? result : 0;
}

static int parse_number(struct rdata_in *in, unsigned bytes)
{
    uint64_t number, max = bytes == 1 ? UINT8_MAX : bytes == 2 ? UINT16_MAX : UINT32_MAX;
    const struct scanner *word = in->scanner;
    if (text_number(word->text, word->bytes, max, &number) != 0) {
        return rdata_fail(in, bytes == 1   ? "this is not a number from 0 to 255"
                              : bytes == 2 ? "this is not a number from 0 to 65535"
                                           : "this is not a number from 0 to 4294967295");
    }
    for (unsigned shift = bytes * 8; shift > 0; shift -= 8) {
        gy_writer_u8(&in->out, (uint8_t)(number >> (shift - 8)));
    }
    return 0;
}

static int parse_time(struct rdata_in *in, bool point)
{
    uint32_t seconds;
    const struct scanner *word = in->scanner;
    if (point ? text_time(word->text, word->bytes, &seconds) != 0
              : text_period(word->text, word->bytes, &seconds) != 0) {
        return rdata_fail(in, point ? "this is not a time; write YYYYMMDDHHmmSS"
                                    : "this is not a time; write seconds, or 1h30m");
    }
    gy_writer_u32(&in->out, seconds);
    return 0;
}

/* One of `words` or a number. */
static int parse_word(struct rdata_in *in, const struct rdata_number_word *words, size_t count,
                      unsigned bytes)
{
    const struct scanner *word = in->scanner;
    for (size_t i = 0; i < count; i++) {
        if (strlen(words[i].word) == word->bytes &&
            strncasecmp(words[i].word, word->text, word->bytes) == 0) {
            if (bytes == 2) {
                gy_writer_u8(&in->out, (uint8_t)(words[i].number >> 8));
            }
            gy_writer_u8(&in->out, (uint8_t)words[i].number);
            return 0;
        }
    }
    return parse_number(in, bytes);
}

static int parse_name(struct rdata_in *in)
{
    uint8_t name[GY_DNS_NAME_MAX];
    int bytes =
        gy_dns_name_from_text(in->scanner->text, in->scanner->bytes, in->origin, name, &in->why);
    if (bytes < 0) {
        return bytes;
    }
    gy_writer_bytes(&in->out, name, (size_t)bytes);
    return 0;
}

static int parse_address(struct rdata_in *in, bool six)
{
    uint8_t address[16];
    const struct scanner *word = in->scanner;
    if (six ? text_ipv6(word->text, word->bytes, address) != 0
            : text_ipv4(word->text, word->bytes, address) != 0) {
        return rdata_fail(in, six ? "this is not an IPv6 address, as 2001:db8::1 is"
                                  : "this is not an IPv4 address, as 192.0.2.1 is");
    }
    gy_writer_bytes(&in->out, address, six ? 16 : 4);
    return 0;
}

static int parse_string(struct rdata_in *in)
{
    uint8_t string[256];
    int bytes = text_unescape(in->scanner->text, in->scanner->bytes, string, 255);
    if (bytes < 0) {
        return rdata_fail(in, bytes == GY_ELIMIT
                                  ? "a string is longer than 255 bytes; cut it into several"
                                  : "an escape is neither \\X nor \\DDD (000 to 255)");
    }
    gy_writer_u8(&in->out, (uint8_t)bytes);
    gy_writer_bytes(&in->out, string, (size_t)bytes);
    return 0;
}

static int parse_tag(struct rdata_in *in)
{
    uint8_t *start = in->out.at;
    int error = parse_string(in);
    if (error == 0 && !in->out.failed &&
        gy_dns_field_bytes('i', start, (size_t)(in->out.at - start)) < 0) {
        return rdata_fail(in, "a tag consists of letters and digits");
    }
    return error;
}

static int parse_strings(struct rdata_in *in)
{
    int more;
    do {
        int error = parse_string(in);
        if (error != 0) {
            return error;
        }
    } while ((more = rdata_word_or_end(in)) > 0);
    return more;
}

static int parse_text(struct rdata_in *in)
{
    size_t left = (size_t)(in->out.end - in->out.at);
    int bytes = text_unescape(in->scanner->text, in->scanner->bytes, in->out.at, left);
    if (bytes < 0) {
        in->out.failed = bytes == GY_ELIMIT;
        return bytes == GY_ELIMIT
                   ? 0
                   : rdata_fail(in, "an escape is neither \\X nor \\DDD (000 to 255)");
    }
    in->out.at += bytes;
    return 0;
}

static const char *not_digits(unsigned width)
{
    return width == 4   ? "this is not hexadecimal, two digits a byte"
           : width == 5 ? "this is not base32hex (0-9, a-v)"
                        : "this is not base64";
}

/* All words up to the end of the entry. */
static int parse_digits(struct rdata_in *in, unsigned width)
{
    struct text_bits bits = {0};
    int more;
    do {
        if (text_decode(&bits, width, in->scanner->text, in->scanner->bytes, &in->out) != 0) {
            return rdata_fail(in, not_digits(width));
        }
    } while ((more = rdata_word_or_end(in)) > 0);
    if (more == 0 && text_decode_end(&bits, width) != 0) {
        return rdata_fail(in, not_digits(width));
    }
    return more;
}

/* One word, behind a byte that tells how many bytes it stands for; "-" for none. */
static int parse_counted(struct rdata_in *in, unsigned width)
{
    struct text_bits bits = {0};
    uint8_t bytes[255];
    struct gy_writer out = gy_writer_on(bytes, sizeof bytes);
    const struct scanner *word = in->scanner;
    if (!(word->bytes == 1 && word->text[0] == '-') &&
        (text_decode(&bits, width, word->text, word->bytes, &out) != 0 ||
         text_decode_end(&bits, width) != 0 || out.failed)) {
        return rdata_fail(in, not_digits(width));
    }
    if (width == 5 && gy_writer_length(&out) == 0) {
        return rdata_fail(in, not_digits(width));
    }
    gy_writer_u8(&in->out, (uint8_t)gy_writer_length(&out));
    gy_writer_bytes(&in->out, bytes, gy_writer_length(&out));
    return 0;
}

static int parse_type(struct rdata_in *in)
{
    int type = gy_dns_type_from_text(in->scanner->text, in->scanner->bytes);
    if (type < 0) {
        return rdata_fail(in, "this is not a record type, as A, MX or TYPE65280 are");
    }
    gy_writer_u8(&in->out, (uint8_t)(type >> 8));
    gy_writer_u8(&in->out, (uint8_t)type);
    return 0;
}

static int parse_bitmap(struct rdata_in *in)
{
    uint8_t map[8192] = {0};
    int more;
    while ((more = rdata_word_or_end(in)) > 0) {
        int type = gy_dns_type_from_text(in->scanner->text, in->scanner->bytes);
        if (type < 0) {
            return rdata_fail(in, "this is not a record type, as A, MX or TYPE65280 are");
        }
        map[type / 8] |= (uint8_t)(0x80u >> (type & 7));
    }
    for (unsigned window = 0; more == 0 && window < 256; window++) {
        unsigned length = 32;
        while (length > 0 && map[window * 32 + length - 1] == 0) {
            length--;
        }
        if (length > 0) {
            gy_writer_u8(&in->out, (uint8_t)window);
            gy_writer_u8(&in->out, (uint8_t)length);
            gy_writer_bytes(&in->out, map + window * 32, length);
        }
    }
    return more;
}

/* EUI-48 and EUI-64: pairs of digits. */
static int parse_pairs(struct rdata_in *in, unsigned bytes)
{
    struct text_bits bits = {0};
    const struct scanner *word = in->scanner;
    bool good = word->bytes == bytes * 3 - 1;
    for (unsigned i = 0; good && i < bytes; i++) {
        good = (i == 0 || word->text[i * 3 - 1] == '-') &&
               text_decode(&bits, 4, word->text + i * 3, 2, &in->out) == 0;
    }
    return good ? 0 : rdata_fail(in, "write pairs of hexadecimal digits, with - between");
}

/* NID and L64: four groups of one to four digits (RFC 6742 §2.1.2). */
static int parse_groups(struct rdata_in *in)
{
    const struct scanner *word = in->scanner;
    uint8_t address[16];
    char text[64];
    size_t colons = 0;
    bool gap = false;
    for (size_t i = 0; i < word->bytes; i++) {
        gap = gap || (word->text[i] == ':' && (i == 0 || word->text[i - 1] == ':'));
        colons += word->text[i] == ':';
    }
    /* The second half of an IPv6 address is written just so. */
    if (word->bytes > 19 || colons != 3 || gap || memchr(word->text, '.', word->bytes) != NULL) {
        return rdata_fail(in, "write four groups of hexadecimal digits, with : between");
    }
    memcpy(text, "0:0:0:0:", 8);
    memcpy(text + 8, word->text, word->bytes);
    if (text_ipv6(text, 8 + word->bytes, address) != 0) {
        return rdata_fail(in, "write four groups of hexadecimal digits, with : between");
    }
    gy_writer_bytes(&in->out, address + 8, 8);
    return 0;
}

/* `\#`, a length, that many bytes in hexadecimal (RFC 3597 §5). */
static int parse_generic(struct rdata_in *in, uint16_t type)
{
    uint64_t length;
    uint8_t *start = in->out.at;
    int error = rdata_word(in);
    if (error != 0) {
        return error;
    }
    if (text_number(in->scanner->text, in->scanner->bytes, UINT16_MAX, &length) != 0) {
        return rdata_fail(in, "behind \\# comes the number of bytes, 0 to 65535");
    }
    int more = rdata_word_or_end(in);
    if (more > 0) {
        more = parse_digits(in, 4);
    }
    if (more < 0) {
        return more;
    }
    if (!in->out.failed && (size_t)(in->out.at - start) != length) {
        return rdata_fail(in, "the number of bytes behind \\# is not how many there are");
    }
    if (!in->out.failed && gy_dns_rdata_check(type, start, length) != 0) {
        return rdata_fail(in, "the bytes behind \\# are not what this type consists of");
    }
    return 0;
}

/* A field that is one word, which has been read. */
static int parse_one(struct rdata_in *in, char kind)
{
    switch (kind) {
    case 'n':
    case 'N':
    case 'M':
        return parse_name(in);
    case 'a':
    case 'A':
        return parse_address(in, kind == 'A');
    case '1':
    case '2':
    case '4':
        return parse_number(in, (unsigned)(kind - '0'));
    case 't':
    case 'T':
        return parse_time(in, kind == 'T');
    case 's':
        return parse_string(in);
    case 'i':
        return parse_tag(in);
    case 'q':
        return parse_text(in);
    case 'y':
        return parse_type(in);
    case 'g':
        return parse_word(in, rdata_algorithms, COUNT(rdata_algorithms), 1);
    case 'c':
        return parse_word(in, rdata_certificates, COUNT(rdata_certificates), 2);
    case 'x':
    case 'B':
        return parse_counted(in, kind == 'x' ? 4 : 5);
    case 'e':
    case 'E':
        return parse_pairs(in, kind == 'e' ? 6 : 8);
    default:
        gy_assert(kind == 'X');
        return parse_groups(in);
    }
}

/* A field that goes on to the end of the entry, and reads that too. */
static int parse_rest(struct rdata_in *in, char kind)
{
    int error;
    switch (kind) {
    case 'm':
        return parse_bitmap(in);
    case 'P':
        return rdata_parse_prefixes(in);
    case 'v':
        return rdata_parse_parameters(in);
    case 'L':
        return rdata_parse_location(in);
    default:
        error = rdata_word(in);
        if (error != 0) {
            return error;
        }
        return kind == 'S' ? parse_strings(in) : parse_digits(in, kind == 'h' ? 4 : 6);
    }
}

/* The fields of a type, the first word having been read when `begun`. */
static int parse_fields(struct rdata_in *in, const char *fields)
{
    for (; *fields != 0; fields++) {
        if (strchr("mPvLShb", *fields) != NULL) {
            gy_assert(fields[1] == 0);
            return parse_rest(in, *fields);
        }
        int error = rdata_word(in);
        if (error == 0) {
            error = parse_one(in, *fields);
        }
        if (error != 0) {
            return error;
        }
    }
    int more = rdata_word_or_end(in);
    return more > 0 ? rdata_fail(in, "this is one word too many; quote text with blanks") : more;
}

int rdata_parse(struct rdata_in *in, uint16_t type)
{
    const char *fields = gy_dns_type_fields(type);
    uint8_t address[4];
    if (fields[0] == 'a' && scan_ipv4_line(in->scanner, address)) { /* most of most zones */
        gy_assert(fields[1] == 0);
        gy_writer_bytes(&in->out, address, sizeof address);
        return 0;
    }
    struct scanner before = *in->scanner;
    int more = rdata_word_or_end(in);
    if (more < 0) {
        return more;
    }
    if (more > 0 && !in->scanner->quoted && in->scanner->bytes == 2 &&
        memcmp(in->scanner->text, "\\#", 2) == 0) {
        return parse_generic(in, type);
    }
    if (*fields == 0) {
        return rdata_fail(in, "this type has only the generic form: \\# LENGTH HEX");
    }
    *in->scanner = before;
    return parse_fields(in, fields);
}

int gy_dns_rdata_from_text(uint16_t type, const char *text, size_t text_bytes,
                           const uint8_t *origin, uint8_t *rdata, size_t room,
                           struct gy_error *error)
{
    struct scanner scanner = {
        .at = text, .end = text + text_bytes, .line_start = text, .line = 1, .last = true};
    struct rdata_in in = {.scanner = &scanner, .origin = origin, .out = gy_writer_on(rdata, room)};
    char type_text[GY_DNS_MNEMONIC_BYTES];
    int code = rdata_parse(&in, type);
    if (code == 0 && (in.out.failed || gy_writer_length(&in.out) > GY_DNS_RDATA_MAX)) {
        in.why = "there are more bytes than fit";
        code = GY_ELIMIT;
    }
    if (code == 0 && scanner.at != scanner.end) {
        code = rdata_fail(&in, "something follows on another line");
    }
    if (code != 0) {
        gy_assert(code != GY_EAGAIN);
        return gy_error_set(error, code, "data of a %s record, column %zu: %s",
                            gy_dns_type_text(type, type_text),
                            (size_t)(scanner.text - scanner.text_line_start) + 1, in.why);
    }
    return (int)gy_writer_length(&in.out);
}
