/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/tsig.h"

#include <string.h>
#include <strings.h>

#include "core/cursor.h"
#include "core/error.h"

#define TIME_BYTES  6
#define FIXED_BYTES (10 + TIME_BYTES + 2 + 2 + 2 + 2 + 2) /* but names, MAC and other data */
#define ARCOUNT_AT  10

struct algorithm {
    const char *text;
    const uint8_t *name;
    uint8_t name_bytes;
    uint8_t mac_bytes;
};

static const struct algorithm algorithms[] = {
#define ALGORITHM_ROW(member, text, wire, bytes)                                                   \
    {text, (const uint8_t *)(wire), sizeof(wire), bytes},
    GY_DNS_TSIG_ALGORITHMS(ALGORITHM_ROW)
#undef ALGORITHM_ROW
};

/* A record as it was read. */
struct record {
    uint8_t name[GY_DNS_NAME_PADDED]; /* lower case */
    uint8_t algorithm[GY_DNS_NAME_PADDED];
    uint8_t name_bytes, algorithm_bytes;
    uint64_t time;
    uint16_t fudge;
    uint16_t original;
    uint16_t error;
    uint16_t mac_bytes;
    uint16_t other_bytes;
    const uint8_t *mac;
    const uint8_t *other;
};

int gy_dns_tsig_algorithm_parse(const char *text)
{
    for (int i = 0; i < GY_DNS_TSIG_ALGORITHM_COUNT; i++) {
        if (strcasecmp(text, algorithms[i].text) == 0) {
            return i;
        }
    }
    return GY_EINVAL;
}

const char *gy_dns_tsig_algorithm_text(enum gy_dns_tsig_algorithm algorithm)
{
    return algorithms[algorithm].text;
}

size_t gy_dns_tsig_bytes(const struct gy_dns_key *key)
{
    const struct algorithm *algorithm = &algorithms[key->algorithm];
    return (size_t)FIXED_BYTES + key->name_bytes + algorithm->name_bytes + algorithm->mac_bytes +
           TIME_BYTES;
}

/* ---- reading ---- */

int gy_dns_tsig_find(const uint8_t *message, size_t bytes)
{
    struct gy_reader reader = gy_reader_on(message, bytes);
    gy_reader_bytes(&reader, 4);
    uint32_t questions = gy_reader_u16(&reader);
    uint32_t records = gy_reader_u16(&reader);
    records += gy_reader_u16(&reader);
    uint32_t before = records;
    records += gy_reader_u16(&reader);
    size_t at = GY_DNS_HEADER_BYTES;
    int found = 0;
    if (reader.failed) {
        return GY_EPROTO;
    }
    for (uint32_t i = 0; i < questions + records; i++) {
        size_t start = at;
        if (found != 0 || gy_dns_name_skip(message, bytes, &at) != 0) {
            return GY_EPROTO;
        }
        reader = gy_reader_on(message + at, bytes - at);
        uint16_t type = gy_reader_u16(&reader);
        gy_reader_u16(&reader);
        if (i >= questions) {
            gy_reader_u32(&reader);
            gy_reader_bytes(&reader, gy_reader_u16(&reader));
        }
        if (reader.failed) {
            return GY_EPROTO;
        }
        at = (size_t)(reader.at - message);
        if (i >= questions && type == GY_DNS_TYPE_TSIG) {
            if (i < questions + before) {
                return GY_EPROTO;
            }
            found = (int)start;
        }
    }
    return at == bytes ? found : GY_EPROTO;
}

static int read_lower_name(const uint8_t *message, size_t bytes, size_t *at,
                           uint8_t lower[GY_DNS_NAME_PADDED])
{
    uint8_t name[GY_DNS_NAME_MAX];
    int length = gy_dns_name_read(message, bytes, at, name);
    return length < 0 ? length : (int)gy_dns_name_lower(name, lower);
}

/* The record at `at`, which ends the message. 0 or GY_EPROTO. */
static int read_record(const uint8_t *message, size_t bytes, size_t at, struct record *record)
{
    int name_bytes = read_lower_name(message, bytes, &at, record->name);
    if (name_bytes < 0) {
        return GY_EPROTO;
    }
    struct gy_reader reader = gy_reader_on(message + at, bytes - at);
    uint16_t type = gy_reader_u16(&reader);
    uint16_t class = gy_reader_u16(&reader);
    uint32_t ttl = gy_reader_u32(&reader);
    uint16_t data_bytes = gy_reader_u16(&reader);
    if (reader.failed || type != GY_DNS_TYPE_TSIG || class != GY_DNS_CLASS_ANY || ttl != 0 ||
        gy_reader_left(&reader) != data_bytes) {
        return GY_EPROTO;
    }
    at = (size_t)(reader.at - message);
    int algorithm_bytes = gy_dns_name_check(message + at, bytes - at);
    if (algorithm_bytes < 0) {
        return GY_EPROTO;
    }
    gy_dns_name_lower(message + at, record->algorithm);
    reader = gy_reader_on(message + at + algorithm_bytes, bytes - at - (size_t)algorithm_bytes);
    record->name_bytes = (uint8_t)name_bytes;
    record->algorithm_bytes = (uint8_t)algorithm_bytes;
    record->time = (uint64_t)gy_reader_u16(&reader) << 32;
    record->time |= gy_reader_u32(&reader);
    record->fudge = gy_reader_u16(&reader);
    record->mac_bytes = gy_reader_u16(&reader);
    record->mac = gy_reader_bytes(&reader, record->mac_bytes);
    record->original = gy_reader_u16(&reader);
    record->error = gy_reader_u16(&reader);
    record->other_bytes = gy_reader_u16(&reader);
    record->other = gy_reader_bytes(&reader, record->other_bytes);
    return reader.failed || gy_reader_left(&reader) != 0 ? GY_EPROTO : 0;
}

/* ---- MACs ---- */

static void begin(struct gy_dns_tsig *tsig)
{
    const struct gy_dns_key *key = tsig->key;
    gy_assert(!tsig->adding && key != NULL);
    tsig->hmac->begin(tsig->state, key->algorithm, key->secret, key->secret_bytes);
    tsig->adding = true;
    if (tsig->mac_bytes > 0) { /* of the request, or of the message before (§4.3.1) */
        uint8_t length[2] = {0, tsig->mac_bytes};
        tsig->hmac->add(tsig->state, length, sizeof length);
        tsig->hmac->add(tsig->state, tsig->mac, tsig->mac_bytes);
    }
}

/* A message, of `bytes` without its TSIG record, with the id that was signed. */
static void add_message(struct gy_dns_tsig *tsig, const uint8_t *message, size_t bytes, uint16_t id,
                        bool has_record)
{
    uint8_t header[GY_DNS_HEADER_BYTES];
    memcpy(header, message, sizeof header);
    header[0] = (uint8_t)(id >> 8);
    header[1] = (uint8_t)id;
    uint32_t count = (uint32_t)header[ARCOUNT_AT] << 8 | header[ARCOUNT_AT + 1];
    count -= has_record ? 1 : 0;
    header[ARCOUNT_AT] = (uint8_t)(count >> 8);
    header[ARCOUNT_AT + 1] = (uint8_t)count;
    tsig->hmac->add(tsig->state, header, sizeof header);
    tsig->hmac->add(tsig->state, message + sizeof header, bytes - sizeof header);
}

static void put_time(struct gy_writer *out, uint64_t time)
{
    gy_writer_u16(out, (uint16_t)(time >> 32));
    gy_writer_u32(out, (uint32_t)time);
}

/* The variables (§4.3.3), or, in later messages of an answer, the timers alone. */
static void add_variables(struct gy_dns_tsig *tsig, uint64_t time, uint16_t fudge, uint16_t error,
                          const uint8_t *other, uint16_t other_bytes)
{
    const struct gy_dns_key *key = tsig->key;
    const struct algorithm *algorithm = &algorithms[key->algorithm];
    uint8_t bytes[2 * GY_DNS_NAME_MAX + 32];
    struct gy_writer out = gy_writer_on(bytes, sizeof bytes);
    if (!tsig->later) {
        gy_writer_bytes(&out, key->name, key->name_bytes);
        gy_writer_u16(&out, GY_DNS_CLASS_ANY);
        gy_writer_u32(&out, 0);
        gy_writer_bytes(&out, algorithm->name, algorithm->name_bytes);
    }
    put_time(&out, time);
    gy_writer_u16(&out, fudge);
    if (!tsig->later) {
        gy_writer_u16(&out, error);
        gy_writer_u16(&out, other_bytes);
    }
    gy_assert(!out.failed);
    tsig->hmac->add(tsig->state, bytes, gy_writer_length(&out));
    if (!tsig->later && other_bytes > 0) {
        tsig->hmac->add(tsig->state, other, other_bytes);
    }
}

static void end(struct gy_dns_tsig *tsig, uint8_t mac[GY_DNS_MAC_MAX])
{
    gy_assert(tsig->adding);
    tsig->hmac->end(tsig->state, mac);
    tsig->adding = false;
}

void gy_dns_tsig_close(struct gy_dns_tsig *tsig)
{
    uint8_t mac[GY_DNS_MAC_MAX];
    if (tsig->adding) {
        end(tsig, mac);
    }
}

/* In a time that does not tell where they differ. */
static bool same(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    volatile uint8_t differ = 0;
    for (size_t i = 0; i < bytes; i++) {
        differ = (uint8_t)(differ | (a[i] ^ b[i]));
    }
    return differ == 0;
}

/* ---- writing ---- */

struct signature {
    const uint8_t *name, *algorithm, *mac;
    uint8_t name_bytes, algorithm_bytes, mac_bytes;
    uint64_t time;
    uint16_t id, error;
    const uint8_t *other;
    uint16_t other_bytes;
};

/* The record behind a message of `bytes`. The message's bytes with it, or GY_ELIMIT. */
static int append(uint8_t *message, size_t bytes, size_t room, const struct signature *signature)
{
    struct gy_writer out = gy_writer_on(message + bytes, room - bytes);
    uint32_t count = (uint32_t)message[ARCOUNT_AT] << 8 | message[ARCOUNT_AT + 1];
    gy_writer_bytes(&out, signature->name, signature->name_bytes);
    gy_writer_u16(&out, GY_DNS_TYPE_TSIG);
    gy_writer_u16(&out, GY_DNS_CLASS_ANY);
    gy_writer_u32(&out, 0);
    gy_writer_u16(&out, (uint16_t)(signature->algorithm_bytes + TIME_BYTES + 10u +
                                   signature->mac_bytes + signature->other_bytes));
    gy_writer_bytes(&out, signature->algorithm, signature->algorithm_bytes);
    put_time(&out, signature->time);
    gy_writer_u16(&out, GY_DNS_TSIG_FUDGE);
    gy_writer_u16(&out, signature->mac_bytes);
    gy_writer_bytes(&out, signature->mac, signature->mac_bytes);
    gy_writer_u16(&out, signature->id);
    gy_writer_u16(&out, signature->error);
    gy_writer_u16(&out, signature->other_bytes);
    gy_writer_bytes(&out, signature->other, signature->other_bytes);
    if (out.failed || count == UINT16_MAX) {
        return GY_ELIMIT;
    }
    count++;
    message[ARCOUNT_AT] = (uint8_t)(count >> 8);
    message[ARCOUNT_AT + 1] = (uint8_t)count;
    return (int)(bytes + gy_writer_length(&out));
}

/* Signs a message under the key and appends the record. */
static int sign(struct gy_dns_tsig *tsig, uint8_t *message, size_t bytes, size_t room,
                struct signature *signature)
{
    const struct gy_dns_key *key = tsig->key;
    uint8_t mac[GY_DNS_MAC_MAX];
    gy_assert(bytes >= GY_DNS_HEADER_BYTES && bytes <= room);
    signature->name = key->name;
    signature->name_bytes = key->name_bytes;
    signature->algorithm = algorithms[key->algorithm].name;
    signature->algorithm_bytes = algorithms[key->algorithm].name_bytes;
    signature->mac = mac;
    signature->mac_bytes = algorithms[key->algorithm].mac_bytes;
    signature->id = (uint16_t)(message[0] << 8 | message[1]);
    if (room - bytes < gy_dns_tsig_bytes(key) - TIME_BYTES + signature->other_bytes) {
        return GY_ELIMIT;
    }
    begin(tsig);
    add_message(tsig, message, bytes, signature->id, false);
    add_variables(tsig, signature->time, GY_DNS_TSIG_FUDGE, signature->error, signature->other,
                  signature->other_bytes);
    end(tsig, mac);
    int length = append(message, bytes, room, signature);
    if (length > 0) {
        memcpy(tsig->mac, mac, signature->mac_bytes);
        tsig->mac_bytes = signature->mac_bytes;
    }
    return length;
}

/* ---- being asked ---- */

static const struct gy_dns_key *find_key(const struct record *record, gy_dns_key_find *find,
                                         const void *keys)
{
    const struct gy_dns_key *key = find(keys, record->name);
    if (key == NULL || algorithms[key->algorithm].name_bytes != record->algorithm_bytes ||
        memcmp(algorithms[key->algorithm].name, record->algorithm, record->algorithm_bytes) != 0) {
        return NULL;
    }
    return key;
}

static bool in_time(const struct record *record, uint64_t now)
{
    uint64_t off = now > record->time ? now - record->time : record->time - now;
    return off <= record->fudge;
}

/* Whether the MAC of a message is right, whose begin() and messages before are done. */
static bool right(struct gy_dns_tsig *tsig, const struct record *record, const uint8_t *message,
                  size_t at)
{
    uint8_t mac[GY_DNS_MAC_MAX];
    add_message(tsig, message, at, record->original, true);
    add_variables(tsig, record->time, record->fudge, record->error, record->other,
                  record->other_bytes);
    end(tsig, mac);
    gy_assert(record->mac_bytes <= GY_DNS_MAC_MAX);
    return same(mac, record->mac, record->mac_bytes);
}

uint16_t gy_dns_tsig_check_request(struct gy_dns_tsig *tsig, const struct gy_dns_hmac *hmac,
                                   gy_dns_key_find *find, const void *keys, const uint8_t *message,
                                   size_t bytes, size_t at, uint64_t now)
{
    struct record record;
    tsig->hmac = hmac;
    tsig->key = NULL;
    tsig->adding = tsig->later = false;
    tsig->mac_bytes = 0;
    tsig->error = tsig->unsigned_count = 0;
    if (at < GY_DNS_HEADER_BYTES || read_record(message, bytes, at, &record) != 0) {
        return GY_DNS_RCODE_FORMERR;
    }
    tsig->request_time = record.time;
    tsig->name_bytes = record.name_bytes;
    tsig->algorithm_bytes = record.algorithm_bytes;
    memcpy(tsig->name, record.name, record.name_bytes);
    memcpy(tsig->algorithm, record.algorithm, record.algorithm_bytes);
    tsig->key = find_key(&record, find, keys);
    if (tsig->key == NULL) {
        tsig->error = GY_DNS_RCODE_BADKEY;
        return tsig->error;
    }
    uint32_t whole = algorithms[tsig->key->algorithm].mac_bytes;
    if (record.mac_bytes > whole || record.mac_bytes < 10 || record.mac_bytes < whole / 2) {
        return GY_DNS_RCODE_FORMERR; /* §5.2.2.1 */
    }
    begin(tsig);
    if (!right(tsig, &record, message, at)) {
        tsig->error = GY_DNS_RCODE_BADSIG;
        return tsig->error;
    }
    memcpy(tsig->mac, record.mac, record.mac_bytes);
    tsig->mac_bytes = (uint8_t)record.mac_bytes;
    if (!in_time(&record, now)) {
        tsig->error = GY_DNS_RCODE_BADTIME;
    } else if (record.mac_bytes < whole) {
        tsig->error = GY_DNS_RCODE_BADTRUNC;
    }
    return tsig->error;
}

/* Whether answers are signed: not to those who could not be told from others (§5.3.2). */
static bool signs(const struct gy_dns_tsig *tsig)
{
    return tsig->error == 0 || tsig->error == GY_DNS_RCODE_BADTIME ||
           tsig->error == GY_DNS_RCODE_BADTRUNC;
}

size_t gy_dns_tsig_answer_bytes(const struct gy_dns_tsig *tsig)
{
    return signs(tsig) ? gy_dns_tsig_bytes(tsig->key)
                       : (size_t)FIXED_BYTES + tsig->name_bytes + tsig->algorithm_bytes;
}

int gy_dns_tsig_sign_answer(struct gy_dns_tsig *tsig, uint8_t *message, size_t bytes, size_t room,
                            uint64_t now)
{
    struct signature signature = {.time = now, .error = tsig->error};
    uint8_t other[TIME_BYTES];
    if (!signs(tsig)) {
        signature.time = tsig->request_time;
        signature.name = tsig->name;
        signature.name_bytes = tsig->name_bytes;
        signature.algorithm = tsig->algorithm;
        signature.algorithm_bytes = tsig->algorithm_bytes;
        signature.id = (uint16_t)(message[0] << 8 | message[1]);
        return append(message, bytes, room, &signature);
    }
    if (tsig->error == GY_DNS_RCODE_BADTIME) { /* what time it is here (§5.2.3) */
        struct gy_writer out = gy_writer_on(other, sizeof other);
        put_time(&out, now);
        signature.time = tsig->request_time;
        signature.other = other;
        signature.other_bytes = sizeof other;
    }
    int length = sign(tsig, message, bytes, room, &signature);
    tsig->later = tsig->later || length > 0;
    return length;
}

/* ---- asking ---- */

int gy_dns_tsig_sign_request(struct gy_dns_tsig *tsig, const struct gy_dns_hmac *hmac,
                             const struct gy_dns_key *key, uint8_t *message, size_t bytes,
                             size_t room, uint64_t now)
{
    struct signature signature = {.time = now};
    tsig->hmac = hmac;
    tsig->key = key;
    tsig->adding = tsig->later = false;
    tsig->mac_bytes = 0;
    tsig->error = tsig->unsigned_count = 0;
    tsig->request_time = now;
    return sign(tsig, message, bytes, room, &signature);
}

/* A message without a signature: part of what the next one signs. */
static int take_unsigned(struct gy_dns_tsig *tsig, const uint8_t *message, size_t bytes)
{
    if (!tsig->later) {
        return GY_EREFUSED;
    }
    if (tsig->unsigned_count == GY_DNS_TSIG_UNSIGNED_MAX) {
        return GY_EPROTO;
    }
    if (!tsig->adding) {
        begin(tsig);
    }
    tsig->unsigned_count++;
    add_message(tsig, message, bytes, (uint16_t)(message[0] << 8 | message[1]), false);
    return 0;
}

int gy_dns_tsig_check_answer(struct gy_dns_tsig *tsig, const uint8_t *message, size_t bytes,
                             uint64_t now)
{
    const struct gy_dns_key *key = tsig->key;
    struct record record;
    int at = gy_dns_tsig_find(message, bytes);
    if (at <= 0) {
        return at < 0 ? GY_EPROTO : take_unsigned(tsig, message, bytes);
    }
    if (read_record(message, bytes, (size_t)at, &record) != 0 ||
        record.name_bytes != key->name_bytes ||
        memcmp(record.name, key->name, key->name_bytes) != 0 ||
        record.algorithm_bytes != algorithms[key->algorithm].name_bytes ||
        memcmp(record.algorithm, algorithms[key->algorithm].name, record.algorithm_bytes) != 0) {
        return GY_EPROTO;
    }
    tsig->error = record.error;
    if (record.mac_bytes != algorithms[key->algorithm].mac_bytes) {
        return GY_EREFUSED;
    }
    if (!tsig->adding) {
        begin(tsig);
    }
    if (!right(tsig, &record, message, (size_t)at)) {
        return GY_EREFUSED;
    }
    memcpy(tsig->mac, record.mac, record.mac_bytes);
    tsig->mac_bytes = (uint8_t)record.mac_bytes;
    tsig->later = true;
    tsig->unsigned_count = 0;
    return in_time(&record, now) ? 1 : GY_ETIMEOUT;
}
