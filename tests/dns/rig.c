/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/dns/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

#define SEED 0x5bd1e9955bd1e995u

static void *memory(void *context, size_t bytes)
{
    struct rig_zone *zone = context;
    gy_assert(zone->piece_count < RIG_PIECES_MAX);
    void *piece = aligned_alloc(16, (bytes + 15) & ~(size_t)15);
    zone->pieces[zone->piece_count++] = piece;
    zone->build_bytes += bytes;
    return piece;
}

static void report(void *context, enum gy_dns_severity severity, const char *text)
{
    struct rig_zone *zone = context;
    if (zone->report_count < RIG_REPORTS_MAX) {
        snprintf(zone->reports[zone->report_count++], sizeof zone->reports[0], "%c %s",
                 severity == GY_DNS_ERROR ? 'E' : 'W', text);
    }
}

static int record(void *context, struct gy_dns_zonefile *file, const struct gy_dns_record *one,
                  struct gy_error *error)
{
    (void)file;
    return gy_dns_zone_add(context, one, error);
}

void rig_zone_load(struct rig_zone *zone, const char *origin, const char *text, size_t bytes,
                   size_t piece)
{
    memset(zone, 0, offsetof(struct rig_zone, pieces));
    const struct gy_dns_zone_settings settings = {
        .context = zone, .memory = memory, .report = report, .seed = SEED};
    struct gy_dns_zone_builder *builder = gy_dns_zone_begin(&settings, rig_name(origin));
    gy_assert(builder != NULL);
    const struct gy_dns_zonefile_settings reading = {
        .context = builder, .record = record, .generate_max = 1000};
    struct gy_dns_zonefile *file = malloc(sizeof *file);
    gy_assert(file != NULL);
    gy_dns_zonefile_init(file, &reading, "zone", rig_name(origin));
    size_t at = 0, have = piece == 0 || piece > bytes ? bytes : piece, used;
    for (;;) {
        zone->code =
            gy_dns_zonefile_feed(file, text + at, have - at, have == bytes, &used, &zone->error);
        at += used;
        if (zone->code != 0 || have == bytes) {
            break;
        }
        have = have + piece < bytes ? have + piece : bytes;
    }
    gy_assert(zone->code != 0 || at == bytes);
    free(file);
    if (zone->code == 0) {
        zone->code = gy_dns_zone_finish(builder, &zone->block_bytes, &zone->error);
    }
    if (zone->code == 0) {
        zone->block = aligned_alloc(64, zone->block_bytes);
        gy_assert(zone->block != NULL);
        zone->zone = gy_dns_zone_write(builder, zone->block);
    }
    while (zone->piece_count > 0) {
        free(zone->pieces[--zone->piece_count]);
    }
}

void rig_zone_free(struct rig_zone *zone)
{
    free(zone->block);
    zone->block = NULL;
}

void rig_init(struct rig *rig, uint32_t zones_max)
{
    memset(rig, 0, sizeof *rig);
    rig->slots = malloc(gy_dns_zones_bytes(zones_max));
    void *work = aligned_alloc(64, gy_dns_answerer_bytes());
    gy_assert(rig->slots != NULL && work != NULL);
    memset(work, 0xa5, gy_dns_answerer_bytes());
    gy_dns_zones_init(&rig->zones, rig->slots, zones_max, SEED);
    rig->settings.zones = &rig->zones;
    rig->settings.sha1 = rig_sha1;
    rig->answerer = gy_dns_answerer_init(work, &rig->settings);
}

void rig_add(struct rig *rig, const struct rig_zone *zone)
{
    gy_assert(zone->zone != NULL);
    int code = gy_dns_zones_add(&rig->zones, zone->zone);
    gy_assert(code == 0);
}

void rig_free(struct rig *rig)
{
    free(rig->slots);
    free(rig->answerer);
}

void rig_ask(struct rig *rig, const char *name, uint16_t type, unsigned flags)
{
    struct gy_dns_builder builder;
    gy_dns_builder_open(&builder, rig->message, sizeof rig->message, 0x1234, 0);
    gy_dns_builder_question(&builder, rig_name(name), type, GY_DNS_CLASS_IN);
    if ((flags & (RIG_EDNS | RIG_DO)) != 0) {
        struct gy_dns_opt opt;
        gy_dns_opt_open(&opt, rig->message + builder.at, 100, 4096, 0,
                        (flags & RIG_DO) != 0 ? GY_DNS_EDNS_DO : 0);
        builder.at += gy_dns_opt_close(&opt);
        builder.header.count[GY_DNS_ADDITIONAL]++;
    }
    size_t bytes = gy_dns_builder_close(&builder);
    rig->query =
        (struct gy_dns_query){.message = rig->message,
                              .bytes = (uint32_t)bytes,
                              .answer = rig->answer,
                              .room = sizeof rig->answer,
                              .transport = (flags & RIG_TCP) != 0 ? GY_DNS_TCP : GY_DNS_UDP,
                              .now = 1000000};
    gy_dns_answer(rig->answerer, &rig->query, 1);
}

static void append(char *text, size_t room, size_t *length, const char *more)
{
    size_t bytes = strlen(more);
    gy_assert(*length + bytes < room);
    memcpy(text + *length, more, bytes + 1);
    *length += bytes;
}

const char *rig_text(const uint8_t *message, size_t bytes)
{
    static const char *const marks[] = {"? ", "= ", "! ", "+ "};
    static char text[1 << 20];
    static char data[GY_DNS_RDATA_TEXT_BYTES];
    static uint8_t rdata[GY_DNS_RDATA_MAX];
    struct gy_dns_message reader;
    struct gy_dns_record one;
    char word[GY_DNS_MNEMONIC_BYTES], name[GY_DNS_NAME_TEXT_BYTES];
    size_t length = 0;
    int more = gy_dns_message_open(&reader, message, bytes);
    gy_assert(more == 0);
    append(text, sizeof text, &length,
           gy_dns_rcode_text((uint16_t)GY_DNS_RCODE_OF(reader.header.flags), word));
    append(text, sizeof text, &length, (reader.header.flags & GY_DNS_FLAG_AA) != 0 ? " aa" : "");
    append(text, sizeof text, &length,
           (reader.header.flags & GY_DNS_FLAG_TC) != 0 ? " tc\n" : "\n");
    while ((more = gy_dns_message_next(&reader, &one)) > 0) {
        gy_dns_name_to_text(one.owner, name);
        if (one.type == GY_DNS_TYPE_OPT) {
            append(text, sizeof text, &length, "+ OPT\n");
            continue;
        }
        append(text, sizeof text, &length, marks[one.section]);
        append(text, sizeof text, &length, name);
        append(text, sizeof text, &length, " ");
        append(text, sizeof text, &length, gy_dns_type_text(one.type, word));
        if (one.section != GY_DNS_QUESTION) {
            int data_bytes = gy_dns_rdata_read(&reader, &one, rdata, sizeof rdata);
            gy_assert(data_bytes >= 0);
            gy_dns_rdata_to_text(one.type, rdata, (size_t)data_bytes, data, sizeof data);
            append(text, sizeof text, &length, " ");
            append(text, sizeof text, &length, data);
        }
        append(text, sizeof text, &length, "\n");
    }
    gy_assert(more == 0);
    return text;
}

static uint32_t turn_left(uint32_t value, unsigned bits)
{
    return value << bits | value >> (32 - bits);
}

static void sha1_block(uint32_t state[5], const uint8_t *block)
{
    uint32_t w[80] = {0}, a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (unsigned i = 0; i < 80; i++) {
        w[i] = i < 16 ? (uint32_t)block[i * 4] << 24 | (uint32_t)block[i * 4 + 1] << 16 |
                            (uint32_t)block[i * 4 + 2] << 8 | block[i * 4 + 3]
                      : turn_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t f = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999
                     : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                     : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
                              : (b ^ c ^ d) + 0xca62c1d6;
        uint32_t next = turn_left(a, 5) + f + e + w[i];
        e = d;
        d = c;
        c = turn_left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* FIPS 180-4. */
void rig_sha1(void *context, const void *data, size_t bytes, uint8_t digest[20])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t padded[1024] = {0};
    size_t whole = (bytes + 9 + 63) & ~(size_t)63;
    (void)context;
    gy_assert(whole <= sizeof padded);
    memcpy(padded, data, bytes);
    padded[bytes] = 0x80;
    for (unsigned i = 0; i < 8; i++) {
        padded[whole - 1 - i] = (uint8_t)((uint64_t)bytes * 8 >> i * 8);
    }
    for (size_t at = 0; at < whole; at += 64) {
        sha1_block(state, padded + at);
    }
    for (unsigned i = 0; i < 20; i++) {
        digest[i] = (uint8_t)(state[i / 4] >> (24 - i % 4 * 8));
    }
}

const uint8_t *rig_name(const char *text)
{
    static uint8_t names[8][GY_DNS_NAME_PADDED];
    static unsigned next;
    uint8_t *name = names[next++ % 8];
    int bytes = gy_dns_name_from_text(text, strlen(text), NULL, name, NULL);
    gy_assert(bytes > 0);
    return name;
}
