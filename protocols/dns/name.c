/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/name.h"

#include <string.h>

#include "core/error.h"

static inline uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

int gy_dns_name_read(const uint8_t *message, size_t message_bytes, size_t *at,
                     uint8_t name[GY_DNS_NAME_MAX])
{
    size_t here = *at, start = here, behind = 0, length = 0;
    for (;;) {
        if (here >= message_bytes) {
            return GY_EPROTO;
        }
        uint8_t byte = message[here];
        if (byte == 0) {
            name[length++] = 0;
            *at = behind == 0 ? here + 1 : behind;
            return (int)length;
        }
        if (byte < 64) {
            /* One byte stays free for the root. */
            if (message_bytes - here <= byte || length + byte + 2 > GY_DNS_NAME_MAX) {
                return GY_EPROTO;
            }
            memcpy(name + length, message + here, byte + 1u);
            length += byte + 1u;
            here += byte + 1u;
            continue;
        }
        if (byte < 0xc0 || message_bytes - here < 2) {
            return GY_EPROTO;
        }
        size_t target = (size_t)(byte & 0x3f) << 8 | message[here + 1];
        if (target >= start) {
            return GY_EPROTO;
        }
        behind = behind == 0 ? here + 2 : behind;
        here = start = target;
    }
}

int gy_dns_name_skip(const uint8_t *message, size_t message_bytes, size_t *at)
{
    size_t here = *at;
    while (here < message_bytes) {
        uint8_t byte = message[here];
        if (byte >= 0xc0) {
            if (message_bytes - here < 2) {
                return GY_EPROTO;
            }
            *at = here + 2;
            return 0;
        }
        if (byte >= 64 || here + byte + 1 - *at > GY_DNS_NAME_MAX) {
            return GY_EPROTO;
        }
        here += byte + 1u;
        if (byte == 0) {
            *at = here;
            return 0;
        }
    }
    return GY_EPROTO;
}

size_t gy_dns_name_bytes(const uint8_t *name)
{
    size_t at = 0;
    while (name[at] != 0) {
        at += name[at] + 1u;
        gy_assert(at < GY_DNS_NAME_MAX);
    }
    return at + 1;
}

unsigned gy_dns_name_labels(const uint8_t *name)
{
    unsigned labels = 0;
    for (size_t at = 0; name[at] != 0; at += name[at] + 1u) {
        gy_assert(at < GY_DNS_NAME_MAX);
        labels++;
    }
    return labels;
}

int gy_dns_name_check(const uint8_t *name, size_t bytes)
{
    size_t at = 0;
    while (at < bytes && at < GY_DNS_NAME_MAX && name[at] < 64) {
        if (name[at] == 0) {
            return (int)at + 1;
        }
        at += name[at] + 1u;
    }
    return GY_EPROTO;
}

/* Whole names, length bytes included: those are below 'A' and equal only to themselves. */
bool gy_dns_name_equal(const uint8_t *a, const uint8_t *b)
{
    for (;;) {
        uint8_t length = a[0];
        if (length != b[0]) {
            return false;
        }
        if (length == 0) {
            return true;
        }
        for (unsigned i = 1; i <= length; i++) {
            if (lower(a[i]) != lower(b[i])) {
                return false;
            }
        }
        a += length + 1;
        b += length + 1;
    }
}

/* Where each label begins; their number. */
static unsigned label_starts(const uint8_t *name, uint8_t starts[GY_DNS_LABELS_MAX])
{
    unsigned labels = 0;
    for (size_t at = 0; name[at] != 0; at += name[at] + 1u) {
        gy_assert(labels < GY_DNS_LABELS_MAX && at < GY_DNS_NAME_MAX);
        starts[labels++] = (uint8_t)at;
    }
    return labels;
}

static int label_compare(const uint8_t *a, const uint8_t *b)
{
    unsigned common = a[0] < b[0] ? a[0] : b[0];
    for (unsigned i = 1; i <= common; i++) {
        int difference = (int)lower(a[i]) - (int)lower(b[i]);
        if (difference != 0) {
            return difference;
        }
    }
    return (int)a[0] - (int)b[0];
}

int gy_dns_name_compare(const uint8_t *a, const uint8_t *b)
{
    uint8_t starts_a[GY_DNS_LABELS_MAX], starts_b[GY_DNS_LABELS_MAX];
    unsigned left_a = label_starts(a, starts_a), left_b = label_starts(b, starts_b);
    while (left_a > 0 && left_b > 0) {
        int difference = label_compare(a + starts_a[--left_a], b + starts_b[--left_b]);
        if (difference != 0) {
            return difference;
        }
    }
    return (int)left_a - (int)left_b;
}

const uint8_t *gy_dns_name_suffix(const uint8_t *name, const uint8_t *ancestor)
{
    unsigned labels = gy_dns_name_labels(name), wanted = gy_dns_name_labels(ancestor);
    if (labels < wanted) {
        return NULL;
    }
    for (; labels > wanted; labels--) {
        name += name[0] + 1u;
    }
    return gy_dns_name_equal(name, ancestor) ? name : NULL;
}

size_t gy_dns_name_lower(const uint8_t *name, uint8_t *out)
{
    size_t bytes = gy_dns_name_bytes(name);
    for (size_t i = 0; i < bytes; i++) {
        out[i] = lower(name[i]);
    }
    return bytes;
}

int gy_dns_name_substitute(const uint8_t *name, const uint8_t *owner, const uint8_t *target,
                           uint8_t result[GY_DNS_NAME_MAX])
{
    const uint8_t *suffix = gy_dns_name_suffix(name, owner);
    gy_assert(suffix != NULL);
    size_t first = (size_t)(suffix - name), second = gy_dns_name_bytes(target);
    if (first + second > GY_DNS_NAME_MAX) {
        return GY_ELIMIT;
    }
    memcpy(result, name, first);
    memcpy(result + first, target, second);
    return (int)(first + second);
}

/* ---- presentation format ---- */

static int reject(const char **why, const char *reason)
{
    if (why != NULL) {
        *why = reason;
    }
    return GY_EINVAL;
}

/* The byte of an escape whose backslash is at text[*at]; GY_EINVAL. `*at` moves to its last
 * character. */
static int unescape(const char *text, size_t bytes, size_t *at)
{
    size_t left = bytes - *at - 1;
    const char *digits = text + *at + 1;
    if (left == 0) {
        return GY_EINVAL;
    }
    if (digits[0] < '0' || digits[0] > '9') {
        *at += 1;
        return (uint8_t)digits[0];
    }
    if (left < 3 || digits[1] < '0' || digits[1] > '9' || digits[2] < '0' || digits[2] > '9') {
        return GY_EINVAL;
    }
    int value = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
    *at += 3;
    return value <= 255 ? value : GY_EINVAL;
}

int gy_dns_name_from_text(const char *text, size_t bytes, const uint8_t *origin,
                          uint8_t name[GY_DNS_NAME_MAX], const char **why)
{
    size_t length = 1, label = 0; /* bytes written; where the label's length belongs */
    if (bytes == 0) {
        return reject(why, "it is empty");
    }
    if (bytes == 1 && text[0] == '@' && origin != NULL) {
        size_t whole = gy_dns_name_bytes(origin);
        memcpy(name, origin, whole);
        return (int)whole;
    }
    if (bytes == 1 && text[0] == '.') {
        name[0] = 0;
        return 1;
    }
    for (size_t i = 0; i < bytes; i++) {
        int byte = (uint8_t)text[i];
        if (byte == '.') {
            if (length - label == 1) {
                return reject(why, "it has an empty label");
            }
            name[label] = (uint8_t)(length - label - 1);
            label = length++;
        } else {
            if (byte == '\\' && (byte = unescape(text, bytes, &i)) < 0) {
                return reject(why, "an escape is neither \\X nor \\DDD (000 to 255)");
            }
            if (length - label > GY_DNS_LABEL_MAX) {
                return reject(why, "a label is longer than 63 bytes");
            }
            if (length >= GY_DNS_NAME_MAX) {
                return reject(why, "it is longer than 255 bytes");
            }
            name[length++] = (uint8_t)byte;
        }
        if (length > GY_DNS_NAME_MAX) {
            return reject(why, "it is longer than 255 bytes");
        }
    }
    if (length - label == 1) { /* it ended in a dot */
        name[label] = 0;
        return (int)length;
    }
    name[label] = (uint8_t)(length - label - 1);
    size_t rest = origin == NULL ? 1 : gy_dns_name_bytes(origin);
    if (length + rest > GY_DNS_NAME_MAX) {
        return reject(why, "with its origin it is longer than 255 bytes");
    }
    memcpy(name + length, origin == NULL ? (const uint8_t *)"" : origin, rest);
    return (int)(length + rest);
}

size_t gy_dns_name_to_text(const uint8_t *name, char text[GY_DNS_NAME_TEXT_BYTES])
{
    size_t length = 0;
    for (; name[0] != 0; name += name[0] + 1u) {
        gy_assert(length + 4u * name[0] + 2 <= GY_DNS_NAME_TEXT_BYTES);
        for (unsigned i = 1; i <= name[0]; i++) {
            uint8_t c = name[i];
            if (c <= ' ' || c > '~') {
                text[length++] = '\\';
                text[length++] = (char)('0' + c / 100);
                text[length++] = (char)('0' + c / 10 % 10);
                text[length++] = (char)('0' + c % 10);
                continue;
            }
            if (strchr(".\\\"();@$", c) != NULL) {
                text[length++] = '\\';
            }
            text[length++] = (char)c;
        }
        text[length++] = '.';
    }
    if (length == 0) {
        text[length++] = '.';
    }
    text[length] = 0;
    return length;
}

/* ---- hashes ---- */

void gy_dns_name_suffixes(const uint8_t *name, uint64_t seed, struct gy_dns_suffixes *suffixes)
{
    uint8_t starts[GY_DNS_LABELS_MAX];
    unsigned labels = label_starts(name, starts);
    uint64_t hash = seed;
    suffixes->labels = labels;
    suffixes->hash[0] = seed;
    suffixes->offset[0] =
        labels == 0 ? 0 : (uint8_t)(starts[labels - 1] + name[starts[labels - 1]] + 1);
    for (unsigned i = 1; i <= labels; i++) {
        uint8_t start = starts[labels - i];
        hash = gy_dns_label_hash(hash, name + start);
        suffixes->offset[i] = start;
        suffixes->hash[i] = hash;
    }
}

uint64_t gy_dns_name_hash(const uint8_t *name, uint64_t seed)
{
    struct gy_dns_suffixes suffixes;
    uint8_t padded[GY_DNS_NAME_PADDED];
    memset(padded + gy_dns_name_lower(name, padded), 0, 8);
    gy_dns_name_suffixes(padded, seed, &suffixes);
    return suffixes.hash[suffixes.labels];
}
