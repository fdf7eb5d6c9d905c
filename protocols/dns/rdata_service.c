/* SPDX-License-Identifier: GPL-3.0-or-later */

/* SvcParams of SVCB and HTTPS (RFC 9460; RFC 9461 for dohpath, RFC 9540 for ohttp). */

#include <string.h>

#include "protocols/dns/rdata_internal.h"

#define PARAMETERS_MAX 64

enum { MANDATORY, ALPN, NO_ALPN, PORT, IPV4, ECH, IPV6, DOHPATH, OHTTP, KEYS };

static const char *const key_words[KEYS] = {"mandatory", "alpn",     "no-default-alpn",
                                            "port",      "ipv4hint", "ech",
                                            "ipv6hint",  "dohpath",  "ohttp"};

/* ---- wire ---- */

static int check_value(uint16_t key, const uint8_t *value, size_t bytes)
{
    size_t at = 0;
    int previous = -1;
    switch (key) {
    case MANDATORY: /* ascending, never itself (§8) */
        for (; at + 2 <= bytes; at += 2) {
            int one = value[at] << 8 | value[at + 1];
            if (one <= previous || one == MANDATORY) {
                return GY_EPROTO;
            }
            previous = one;
        }
        return at == bytes && bytes > 0 ? 0 : GY_EPROTO;
    case ALPN:
        while (at < bytes && value[at] > 0 && bytes - at > value[at]) {
            at += value[at] + 1u;
        }
        return at == bytes && bytes > 0 ? 0 : GY_EPROTO;
    case NO_ALPN:
    case OHTTP:
        return bytes == 0 ? 0 : GY_EPROTO;
    case PORT:
        return bytes == 2 ? 0 : GY_EPROTO;
    case IPV4:
        return bytes > 0 && bytes % 4 == 0 ? 0 : GY_EPROTO;
    case IPV6:
        return bytes > 0 && bytes % 16 == 0 ? 0 : GY_EPROTO;
    case ECH:
        return bytes > 0 ? 0 : GY_EPROTO;
    default:
        return 0;
    }
}

int rdata_check_parameters(const uint8_t *data, size_t bytes)
{
    struct gy_reader reader = gy_reader_on(data, bytes);
    int previous = -1;
    while (gy_reader_left(&reader) > 0) {
        uint16_t key = gy_reader_u16(&reader), length = gy_reader_u16(&reader);
        const uint8_t *value = gy_reader_bytes(&reader, length);
        if (reader.failed || key <= previous || key == UINT16_MAX ||
            check_value(key, value, length) != 0) {
            return GY_EPROTO;
        }
        previous = key;
    }
    return (int)bytes;
}

static bool has_key(const uint8_t *data, size_t bytes, uint16_t wanted)
{
    struct gy_reader reader = gy_reader_on(data, bytes);
    bool found = false;
    while (!found && gy_reader_left(&reader) > 0) {
        found = gy_reader_u16(&reader) == wanted;
        gy_reader_bytes(&reader, gy_reader_u16(&reader));
    }
    return found;
}

const char *rdata_parameters_contradict(const uint8_t *data, size_t bytes)
{
    struct gy_reader reader = gy_reader_on(data, bytes);
    if (bytes >= 4 && gy_reader_u16(&reader) == MANDATORY) { /* the first, where it is there */
        struct gy_reader keys;
        size_t length = gy_reader_u16(&reader);
        keys = gy_reader_on(gy_reader_bytes(&reader, length), length);
        while (gy_reader_left(&keys) > 0) {
            if (!has_key(data, bytes, gy_reader_u16(&keys))) {
                return "a parameter that mandatory names is not there";
            }
        }
    }
    return has_key(data, bytes, NO_ALPN) && !has_key(data, bytes, ALPN)
               ? "no-default-alpn says nothing without alpn; add it"
               : NULL;
}

/* ---- printing ---- */

static void print_key(struct gy_writer *out, uint16_t key)
{
    if (key < KEYS) {
        gy_writer_text(out, key_words[key]);
        return;
    }
    gy_writer_text(out, "key");
    gy_writer_decimal(out, key);
}

/* Identifiers with a comma or backslash are escaped twice: once in the list, once in the string
 * (RFC 9460 appendix A.1). */
static void print_alpn(struct gy_writer *out, const uint8_t *value, size_t bytes)
{
    gy_writer_u8(out, '"');
    for (size_t at = 0; at < bytes; at += value[at] + 1u) {
        if (at > 0) {
            gy_writer_u8(out, ',');
        }
        for (unsigned i = 1; i <= value[at]; i++) {
            if (value[at + i] == ',' || value[at + i] == '\\') {
                gy_writer_text(out, "\\\\");
            }
            text_put_char(out, value[at + i]);
        }
    }
    gy_writer_u8(out, '"');
}

static void print_list(struct gy_writer *out, uint16_t key, const uint8_t *value, size_t bytes)
{
    size_t step = key == MANDATORY ? 2 : key == IPV4 ? 4 : 16;
    for (size_t at = 0; at < bytes; at += step) {
        if (at > 0) {
            gy_writer_u8(out, ',');
        }
        if (key == MANDATORY) {
            print_key(out, (uint16_t)(value[at] << 8 | value[at + 1]));
        } else if (key == IPV4) {
            text_put_ipv4(out, value + at);
        } else {
            text_put_ipv6(out, value + at);
        }
    }
}

static void print_value(struct gy_writer *out, uint16_t key, const uint8_t *value, size_t bytes)
{
    switch (key) {
    case MANDATORY:
    case IPV4:
    case IPV6:
        print_list(out, key, value, bytes);
        break;
    case ALPN:
        print_alpn(out, value, bytes);
        break;
    case PORT:
        gy_writer_decimal(out, (uint64_t)(value[0] << 8 | value[1]));
        break;
    case ECH:
        text_put_base64(out, value, bytes);
        break;
    default:
        text_put_quoted(out, value, bytes);
        break;
    }
}

void rdata_print_parameters(struct gy_writer *out, const uint8_t *data, size_t bytes)
{
    struct gy_reader reader = gy_reader_on(data, bytes);
    while (gy_reader_left(&reader) > 0) {
        uint16_t key = gy_reader_u16(&reader), length = gy_reader_u16(&reader);
        const uint8_t *value = gy_reader_bytes(&reader, length);
        gy_assert(!reader.failed);
        gy_writer_u8(out, ' ');
        print_key(out, key);
        if (length > 0) {
            gy_writer_u8(out, '=');
            print_value(out, key, value, length);
        }
    }
}

/* ---- parsing ---- */

static int key_of(const char *text, size_t bytes)
{
    uint64_t number;
    for (int i = 0; i < KEYS; i++) {
        if (strlen(key_words[i]) == bytes && memcmp(key_words[i], text, bytes) == 0) {
            return i;
        }
    }
    if (bytes > 3 && memcmp(text, "key", 3) == 0 && (text[3] != '0' || bytes == 4) &&
        text_number(text + 3, bytes - 3, UINT16_MAX - 1, &number) == 0) {
        return (int)number;
    }
    return GY_EINVAL;
}

/* One item of a list that is not escaped within. */
static int parse_item(struct gy_writer *out, int key, const char *text, size_t bytes)
{
    uint8_t address[16];
    int other;
    switch (key) {
    case MANDATORY:
        other = key_of(text, bytes);
        if (other < 0) {
            return GY_EINVAL;
        }
        gy_writer_u16(out, (uint16_t)other);
        return 0;
    case IPV4:
        if (text_ipv4(text, bytes, address) != 0) {
            return GY_EINVAL;
        }
        gy_writer_bytes(out, address, 4);
        return 0;
    default:
        if (text_ipv6(text, bytes, address) != 0) {
            return GY_EINVAL;
        }
        gy_writer_bytes(out, address, 16);
        return 0;
    }
}

static int parse_list(struct gy_writer *out, int key, const char *text, size_t bytes)
{
    const char *end = text + bytes;
    for (;;) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma == NULL ? end : comma;
        if (parse_item(out, key, text, (size_t)(stop - text)) != 0) {
            return GY_EINVAL;
        }
        if (comma == NULL) {
            return 0;
        }
        text = comma + 1;
    }
}

/* The keys of `mandatory` may be written in any order. */
static void sort_keys(uint8_t *keys, size_t bytes)
{
    for (size_t i = 2; i < bytes; i += 2) {
        for (size_t n = i; n > 0 && memcmp(keys + n - 2, keys + n, 2) > 0; n -= 2) {
            uint8_t swap[2];
            memcpy(swap, keys + n, 2);
            memcpy(keys + n, keys + n - 2, 2);
            memcpy(keys + n - 2, swap, 2);
        }
    }
}

/* `list` has had the string's escapes resolved; those of the list remain. */
static int parse_alpn(struct gy_writer *out, const uint8_t *list, size_t bytes)
{
    uint8_t id[255];
    size_t length = 0;
    for (size_t i = 0; i <= bytes; i++) {
        if (i == bytes || list[i] == ',') {
            if (length == 0) {
                return GY_EINVAL;
            }
            gy_writer_u8(out, (uint8_t)length);
            gy_writer_bytes(out, id, length);
            length = 0;
            continue;
        }
        if (list[i] == '\\' && ++i == bytes) {
            return GY_EINVAL;
        }
        if (length == sizeof id) {
            return GY_EINVAL;
        }
        id[length++] = list[i];
    }
    return 0;
}

static int parse_value(struct gy_writer *out, int key, const char *text, size_t bytes)
{
    uint8_t plain[8192];
    uint8_t *start = out->at;
    uint64_t port;
    struct text_bits bits = {0};
    int length = text_unescape(text, bytes, plain, sizeof plain), error = 0;
    if (length < 0) {
        return GY_EINVAL;
    }
    switch (key) {
    case ALPN:
        error = parse_alpn(out, plain, (size_t)length);
        break;
    case MANDATORY:
    case IPV4:
    case IPV6:
        error = parse_list(out, key, (const char *)plain, (size_t)length);
        if (key == MANDATORY && error == 0) {
            sort_keys(start, (size_t)(out->at - start));
        }
        break;
    case PORT:
        error = text_number((const char *)plain, (size_t)length, UINT16_MAX, &port);
        gy_writer_u16(out, error == 0 ? (uint16_t)port : 0);
        break;
    case ECH:
        error = text_decode(&bits, 6, (const char *)plain, (size_t)length, out);
        error = error == 0 ? text_decode_end(&bits, 6) : error;
        break;
    default:
        gy_writer_bytes(out, plain, (size_t)length);
        break;
    }
    return error == 0 && !out->failed &&
                   check_value((uint16_t)key, start, (size_t)(out->at - start)) == 0
               ? 0
               : GY_EINVAL;
}

struct parameter {
    int key;
    const char *value; /* without its quotes */
    size_t bytes;
};

/* The word just read: KEY, KEY=VALUE or KEY="VALUE". Kept in ascending order of keys. */
static int take_parameter(struct rdata_in *in, struct parameter *parameters, unsigned count)
{
    const char *text = in->scanner->text, *end = text + in->scanner->bytes;
    const char *equals = memchr(text, '=', (size_t)(end - text));
    const char *name_end = equals == NULL ? end : equals;
    struct parameter one = {key_of(text, (size_t)(name_end - text)), end, 0};
    if (one.key < 0 || in->scanner->quoted) {
        return rdata_fail(in, "this is not a parameter, as alpn=h2, port=853 or key667=text are");
    }
    if (equals != NULL) {
        one.value = equals + 1;
        one.bytes = (size_t)(end - one.value);
        if (one.bytes >= 2 && one.value[0] == '"' && end[-1] == '"') {
            one.value++;
            one.bytes -= 2;
        }
    }
    unsigned at = count;
    for (; at > 0 && parameters[at - 1].key >= one.key; at--) {
        if (parameters[at - 1].key == one.key) {
            return rdata_fail(in, "a parameter stands there twice");
        }
        parameters[at] = parameters[at - 1];
    }
    parameters[at] = one;
    return 0;
}

int rdata_parse_parameters(struct rdata_in *in)
{
    struct parameter parameters[PARAMETERS_MAX];
    unsigned count = 0;
    const uint8_t *start = in->out.at;
    const char *why;
    int more;
    while ((more = rdata_word_or_end(in)) > 0) {
        if (count == PARAMETERS_MAX) {
            return rdata_fail(in, "there are more than 64 parameters");
        }
        int error = take_parameter(in, parameters, count++);
        if (error != 0) {
            return error;
        }
    }
    for (unsigned i = 0; more == 0 && i < count; i++) {
        uint8_t value[8192];
        struct gy_writer out = gy_writer_on(value, sizeof value);
        if (parse_value(&out, parameters[i].key, parameters[i].value, parameters[i].bytes) != 0) {
            in->scanner->text = parameters[i].value;
            return rdata_fail(in, "this is not a value of that parameter");
        }
        gy_writer_u16(&in->out, (uint16_t)parameters[i].key);
        gy_writer_u16(&in->out, (uint16_t)gy_writer_length(&out));
        gy_writer_bytes(&in->out, value, gy_writer_length(&out));
    }
    if (more == 0 && count > 0 && !in->out.failed &&
        (why = rdata_parameters_contradict(start, (size_t)(in->out.at - start))) != NULL) {
        in->scanner->text = parameters[0].value;
        return rdata_fail(in, why);
    }
    return more;
}
