/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A batch of queries through its stages. */

#include "core/cursor.h"
#include "protocols/dns/answer_internal.h"

struct gy_dns_answerer {
    const struct gy_dns_answer_settings *settings;
    struct work work[GY_DNS_BATCH];
};

size_t gy_dns_answerer_bytes(void)
{
    return (sizeof(struct gy_dns_answerer) + 63) & ~(size_t)63;
}

struct gy_dns_answerer *gy_dns_answerer_init(void *memory,
                                             const struct gy_dns_answer_settings *settings)
{
    struct gy_dns_answerer *answerer = memory;
    gy_assert(((uintptr_t)memory & 63) == 0 && settings->secrets <= 2);
    answerer->settings = settings;
    return answerer;
}

/* ---- reading ---- */

/* The question: name, type, class. Its name may not be compressed: nothing comes before it. */
static bool read_question(struct work *work)
{
    struct gy_dns_query *query = work->query;
    const uint8_t *start = query->message + GY_DNS_HEADER_BYTES;
    uint32_t left = query->bytes - GY_DNS_HEADER_BYTES, at = 0;
    for (;;) {
        if (at >= left || at >= GY_DNS_NAME_MAX || start[at] > GY_DNS_LABEL_MAX) {
            return false;
        }
        if (start[at] == 0) {
            break;
        }
        at += start[at] + 1u;
    }
    uint32_t bytes = at + 1;
    if (left - bytes < 4) {
        return false;
    }
    memcpy(work->name, start, bytes);
    memset(work->name + bytes, 0, 8);
    for (uint32_t i = 0; i < bytes; i += 8) {
        uint64_t word;
        memcpy(&word, work->name + i, 8);
        word = gy_dns_lower8(word);
        memcpy(work->name + i, &word, 8);
    }
    work->name_bytes = work->question_name_bytes = bytes;
    query->type = (uint16_t)(start[bytes] << 8 | start[bytes + 1]);
    query->class = (uint16_t)(start[bytes + 2] << 8 | start[bytes + 3]);
    query->question_bytes = (uint16_t)(bytes + 4);
    work->parsed = true;
    return true;
}

/* Which server cookie it is; the secret before the current one counts too. */
static void read_cookie(struct work *work)
{
    struct gy_dns_query *query = work->query;
    bool renew;
    if (work->edns.cookie_bytes == 0) {
        return;
    }
    query->cookie = GY_DNS_COOKIE_CLIENT;
    for (uint32_t i = 0; i < work->settings->secrets && query->address_bytes != 0; i++) {
        if (gy_dns_cookie_check(work->settings->secret[i], work->edns.cookie,
                                work->edns.cookie_bytes, query->address, query->address_bytes,
                                query->now, &renew)) {
            query->cookie = GY_DNS_COOKIE_VALID;
        }
    }
}

/* What stands behind the question: OPT once, TSIG at the end, and nothing behind all of it. */
static bool read_rest(struct work *work, const struct gy_dns_header *header)
{
    struct gy_dns_query *query = work->query;
    size_t at = GY_DNS_HEADER_BYTES + query->question_bytes;
    uint32_t before = (uint32_t)header->count[GY_DNS_ANSWER] + header->count[GY_DNS_AUTHORITY];
    uint32_t count = before + header->count[GY_DNS_ADDITIONAL];
    for (uint32_t i = 0; i < count; i++) {
        size_t start = at;
        if (query->tsig_at != 0 || gy_dns_name_skip(query->message, query->bytes, &at) != 0) {
            return false;
        }
        struct gy_reader reader = gy_reader_on(query->message + at, query->bytes - at);
        struct gy_dns_record record = {.type = gy_reader_u16(&reader)};
        record.class = gy_reader_u16(&reader);
        record.ttl = gy_reader_u32(&reader);
        record.rdata_bytes = gy_reader_u16(&reader);
        record.rdata = gy_reader_bytes(&reader, record.rdata_bytes);
        if (reader.failed) {
            return false;
        }
        at = (size_t)(reader.at - query->message);
        if (record.type == GY_DNS_TYPE_OPT) {
            if (i < before || work->edns.present || query->message[start] != 0 ||
                gy_dns_edns_read(&record, &work->edns) != 0) {
                return false;
            }
        } else if (record.type == GY_DNS_TYPE_TSIG) {
            if (i < before || start > UINT16_MAX) {
                return false;
            }
            query->tsig_at = (uint16_t)start;
        }
    }
    return at == query->bytes;
}

static const struct gy_dns_zone *find_zone(const struct work *work)
{
    const struct gy_dns_zones *zones = work->settings->zones;
    uint32_t labels = work->suffixes.labels;
    const struct gy_dns_zone *zone = gy_dns_zones_find(zones, work->name, &work->suffixes, labels);
    if (zone != NULL && work->type == GY_DNS_TYPE_DS && zone->apex_labels == labels && labels > 0) {
        /* DS records are on the parent's side of a cut (RFC 4035 §3.1.4.1). */
        const struct gy_dns_zone *parent =
            gy_dns_zones_find(zones, work->name, &work->suffixes, labels - 1);
        zone = parent != NULL ? parent : zone;
    }
    return zone;
}

/* Messages that are no plain questions. True: the code is set. */
static bool read_opcode(struct work *work, unsigned opcode)
{
    struct gy_dns_query *query = work->query;
    if (opcode == GY_DNS_OPCODE_QUERY) {
        return false;
    }
    work->rcode = GY_DNS_RCODE_NOTIMP;
    if (opcode == GY_DNS_OPCODE_NOTIFY || opcode == GY_DNS_OPCODE_UPDATE) {
        query->outcome = opcode == GY_DNS_OPCODE_NOTIFY ? GY_DNS_NOTIFIED : GY_DNS_UPDATING;
        query->zone = work->zone != NULL && work->zone->apex_labels == work->suffixes.labels
                          ? work->zone
                          : NULL;
    }
    return true;
}

/* A transfer of a zone that is here. */
static void read_transfer(struct work *work)
{
    struct gy_dns_query *query = work->query;
    bool apex = work->zone->apex_labels == work->suffixes.labels;
    query->outcome = GY_DNS_TRANSFER;
    query->zone = apex ? work->zone : NULL;
    if (query->type == GY_DNS_TYPE_IXFR && query->transport == GY_DNS_UDP && apex) {
        work->type = GY_DNS_TYPE_SOA; /* and the asker comes by TCP (RFC 1995 §2) */
        work->resolve = true;
    } else {
        work->rcode = apex ? GY_DNS_RCODE_REFUSED : GY_DNS_RCODE_NOTAUTH;
    }
}

/* A zone that is patched is looked for in its base too. False: it is absent. */
static bool open_base(struct work *work)
{
    if (gy_dns_zone_is_absent(work->zone)) {
        return false;
    }
    work->block = work->zone->base;
    gy_assert(work->block != NULL);
    return true;
}

/* What is asked for, and whether it can be answered here. Most questions are plain: they are not to
 * pay for the others. */
static void read_type(struct work *work)
{
    struct gy_dns_query *query = work->query;
    uint16_t type = query->type;
    bool plain = (uint16_t)(type - GY_DNS_TYPE_TKEY) > GY_DNS_TYPE_MAILA - GY_DNS_TYPE_TKEY &&
                 type != 0 && type != GY_DNS_TYPE_OPT;
    if (!plain && (type == 0 || type == GY_DNS_TYPE_OPT)) {
        query->zone = work->zone;
        work->rcode = GY_DNS_RCODE_FORMERR;
    } else if (!plain && type != GY_DNS_TYPE_AXFR && type != GY_DNS_TYPE_IXFR) {
        query->zone = work->zone;
        work->rcode = GY_DNS_RCODE_NOTIMP;
    } else if (work->zone == NULL || query->class != GY_DNS_CLASS_IN) {
        work->rcode = GY_DNS_RCODE_REFUSED;
    } else if (!work->zone->plain && !open_base(work)) {
        query->zone = work->zone;
        work->rcode = GY_DNS_RCODE_SERVFAIL;
    } else if (plain) {
        query->zone = work->zone;
        work->resolve = true;
    } else {
        read_transfer(work);
    }
}

_Static_assert(GY_DNS_TYPE_MAILA == GY_DNS_TYPE_TKEY + 5, "TKEY, TSIG, IXFR, AXFR, MAILB, MAILA");

/* One look at the length for all of it. */
static bool read_header(const struct gy_dns_query *query, struct gy_dns_header *header)
{
    const uint8_t *at = query->message;
    if (query->bytes < GY_DNS_HEADER_BYTES) {
        return false;
    }
    header->id = (uint16_t)(at[0] << 8 | at[1]);
    header->flags = (uint16_t)(at[2] << 8 | at[3]);
    for (unsigned i = 0; i < GY_DNS_SECTIONS; i++) {
        at += 2;
        header->count[i] = (uint16_t)(at[2] << 8 | at[3]);
    }
    return true;
}

static void read_query(struct work *work)
{
    struct gy_dns_query *query = work->query;
    struct gy_dns_header header;
    if (!read_header(query, &header) || (header.flags & GY_DNS_FLAG_QR) != 0) {
        work->done = true;
        return;
    }
    query->outcome = GY_DNS_ANSWERED;
    unsigned opcode = GY_DNS_OPCODE_OF(header.flags);
    work->flags = (uint16_t)(GY_DNS_FLAG_QR | GY_DNS_OPCODE_WORD(opcode) |
                             (header.flags & (GY_DNS_FLAG_RD | GY_DNS_FLAG_CD)));
    if (opcode != GY_DNS_OPCODE_QUERY && opcode != GY_DNS_OPCODE_NOTIFY &&
        opcode != GY_DNS_OPCODE_UPDATE) {
        work->rcode = GY_DNS_RCODE_NOTIMP; /* and nothing else of it is understood */
        return;
    }
    if (header.count[GY_DNS_QUESTION] != 1 || !read_question(work) || !read_rest(work, &header)) {
        work->rcode = GY_DNS_RCODE_FORMERR;
        return;
    }
    query->has_edns = work->edns.present;
    query->dnssec_ok = work->dnssec = work->edns.present && work->edns.dnssec_ok;
    read_cookie(work);
    if (work->edns.present && work->edns.version != 0) {
        work->rcode = GY_DNS_RCODE_BADVERS;
        return;
    }
    work->type = query->type;
    gy_dns_name_suffixes(work->name, work->settings->zones->seed, &work->suffixes);
    work->block = work->zone = find_zone(work);
    if (!read_opcode(work, opcode)) {
        read_type(work);
    }
}

/* ---- stages ---- */

static void begin(struct work *work, const struct gy_dns_answer_settings *settings,
                  struct gy_dns_query *query)
{
    work->query = query;
    work->settings = settings;
    work->zone = NULL;
    work->candidate = NULL;
    work->flags = work->rcode = 0;
    work->hops = work->synths = work->piece_count = 0;
    work->dnssec = work->parsed = work->resolve = work->done = false;
    work->edns.present = false;
    work->edns.dnssec_ok = false;
    work->edns.cookie_bytes = 0;
    query->answer_bytes = 0;
    query->outcome = GY_DNS_DROPPED;
    query->cookie = GY_DNS_COOKIE_NONE;
    query->dnssec_ok = query->has_edns = query->truncated = false;
    query->rcode = query->type = query->class = query->tsig_at = query->question_bytes = 0;
    query->zone = NULL;
}

/* The first slot of the table with the right tag: very likely the name's. */
static void probe(struct work *work)
{
    const struct gy_dns_zone *zone = work->block;
    uint64_t hash = work->suffixes.hash[work->suffixes.labels];
    const uint64_t *table = zone_slot(zone, 0);
    uint64_t i = hash & zone->table_mask;
    while (table[i] != 0 && (table[i] ^ hash) >> 32 != 0) {
        i = (i + 1) & zone->table_mask;
    }
    work->slot = table[i];
    if (work->slot != 0) {
        const uint8_t *node = zone_at(zone, (uint32_t)work->slot);
        __builtin_prefetch(node);
        __builtin_prefetch(node + 64);
    }
}

/* Of a patched zone: is it one of the names that are other than in the base? */
static bool find_patched(struct work *work)
{
    uint64_t hash = work->suffixes.hash[work->suffixes.labels];
    const struct zone_node *node = zone_find_own(work->zone, work->name, work->name_bytes, hash);
    work->candidate = node == NULL || zone_is_gone(node) ? NULL : node;
    return node != NULL;
}

/* Compares names; where tags misled, looks again. */
static void decide(struct work *work)
{
    if ((work->block == work->zone || !find_patched(work)) && work->slot != 0) {
        const struct zone_node *node = zone_at(work->block, (uint32_t)work->slot);
        bool same = node->name_bytes == work->name_bytes &&
                    memcmp(node->name, work->name, work->name_bytes) == 0;
        work->candidate = same ? node : work_suffix(work, work->suffixes.labels);
    }
    work_resolve(work);
    for (uint32_t i = 0; i < work->piece_count; i++) {
        __builtin_prefetch(work->pieces[i].set->wire);
    }
}

/* The first two stages. */
static void look_up(struct gy_dns_answerer *answerer, struct gy_dns_query *queries, uint32_t count)
{
    struct work *work = answerer->work;
    for (uint32_t i = 0; i < count; i++) {
        begin(&work[i], answerer->settings, &queries[i]);
        read_query(&work[i]);
        if (work[i].resolve) {
            uint64_t hash = work[i].suffixes.hash[work[i].suffixes.labels];
            __builtin_prefetch(zone_slot(work[i].block, hash));
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (work[i].resolve) {
            probe(&work[i]);
        }
    }
}

static void answer_batch(struct gy_dns_answerer *answerer, struct gy_dns_query *queries,
                         uint32_t count)
{
    struct work *work = answerer->work;
    look_up(answerer, queries, count);
    for (uint32_t i = 0; i < count; i++) {
        if (work[i].resolve) {
            decide(&work[i]);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!work[i].done) {
            work_write(&work[i]);
        }
    }
}

void gy_dns_prefetch(struct gy_dns_answerer *answerer, struct gy_dns_query *queries, uint32_t count)
{
    gy_assert(count <= GY_DNS_BATCH);
    look_up(answerer, queries, count);
}

void gy_dns_answer(struct gy_dns_answerer *answerer, struct gy_dns_query *queries, uint32_t count)
{
    while (count > 0) {
        uint32_t batch = count < GY_DNS_BATCH ? count : GY_DNS_BATCH;
        answer_batch(answerer, queries, batch);
        queries += batch;
        count -= batch;
    }
}

/* The header with `flags`, and the question. */
static void answer_shortly(struct gy_dns_query *query, unsigned flags)
{
    uint32_t bytes = GY_DNS_HEADER_BYTES + query->question_bytes;
    const uint8_t *asked = query->message;
    gy_assert(query->answer_bytes >= bytes && query->bytes >= bytes);
    struct gy_dns_header header = {
        .id = (uint16_t)(asked[0] << 8 | asked[1]),
        .flags = (uint16_t)(GY_DNS_FLAG_QR | flags |
                            ((asked[2] << 8 | asked[3]) & (0x7800 | GY_DNS_FLAG_RD)))};
    header.count[GY_DNS_QUESTION] = query->question_bytes > 0;
    gy_dns_header_write(&header, query->answer);
    memcpy(query->answer + GY_DNS_HEADER_BYTES, asked + GY_DNS_HEADER_BYTES, query->question_bytes);
    query->answer_bytes = bytes;
}

void gy_dns_answer_slip(struct gy_dns_query *query)
{
    answer_shortly(query, GY_DNS_FLAG_TC);
    query->truncated = true;
}

void gy_dns_answer_replace(struct gy_dns_query *query, uint16_t rcode, bool authoritative)
{
    answer_shortly(query, (authoritative ? GY_DNS_FLAG_AA : 0) | (rcode & 15u));
    query->rcode = rcode;
    query->truncated = false;
}
