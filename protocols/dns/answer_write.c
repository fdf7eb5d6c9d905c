/* SPDX-License-Identifier: GPL-3.0-or-later */

/* From a list of rrsets to the bytes of an answer. */

#include "core/cursor.h"
#include "protocols/dns/answer_internal.h"

#define PADDING_BLOCK 468 /* RFC 8467 §4.1 */

struct output {
    uint8_t *bytes;
    uint32_t at;
    uint32_t limit;
    uint32_t current; /* where the current name is */
    uint32_t apex;    /* where the zone's is */
    uint16_t count[GY_DNS_SECTIONS];
    bool truncated;
    bool stopped; /* what would come next could not be pointed at */
};

static void put_pointer(uint8_t *at, uint32_t offset)
{
    gy_assert(offset <= GY_DNS_POINTER_MAX);
    at[0] = (uint8_t)(0xc0 | offset >> 8);
    at[1] = (uint8_t)offset;
}

/* Where a piece's owner is in the message already, or 0: it is written out. */
static uint32_t owner_at(const struct work *work, const struct piece *piece,
                         const struct output *out)
{
    uint32_t at = 0;
    switch ((enum owner)piece->owner) {
    case OWNER_CURRENT:
        return out->current;
    case OWNER_SUFFIX:
        return GY_DNS_HEADER_BYTES + piece->offset;
    case OWNER_APEX:
        return out->apex;
    case OWNER_TARGET:
        at = work->pieces[piece->parent].at;
        at = at == 0 ? 0 : at + piece->offset;
        return at <= GY_DNS_POINTER_MAX ? at : 0;
    case OWNER_NODE:
        return piece->node == zone_apex(work->zone) ? out->apex : 0;
    }
    return 0;
}

/* An owner that is written out, its end a pointer to the apex. Its bytes. */
static uint32_t put_owner(const struct work *work, const struct zone_node *node, uint8_t *at,
                          uint32_t apex)
{
    uint32_t own = (uint32_t)node->name_bytes - work->zone->apex_bytes;
    memcpy(at, node->name, own);
    put_pointer(at + own, apex);
    return own + 2;
}

/* Copies records of a set; `from` and `end` are offsets in its wire. */
static void put_records(struct work *work, struct piece *piece, struct output *out, uint32_t from,
                        uint32_t end, uint32_t owner)
{
    const struct zone_set *set = piece->set;
    const uint32_t *fixup = zone_fixups(set), *fixups_end = fixup + set->fixups;
    while (from < end) {
        const uint8_t *record = set->wire + from;
        uint32_t bytes = 12u + ((uint32_t)record[10] << 8 | record[11]);
        uint8_t *at = out->bytes + out->at;
        if (owner == 0) {
            uint32_t written = put_owner(work, piece->node, at, out->apex);
            owner = out->at <= GY_DNS_POINTER_MAX ? out->at : 0;
            piece->at = piece->at == 0 ? out->at + written - 2 : piece->at;
            at += written;
        } else {
            piece->at = piece->at == 0 ? out->at : piece->at;
            put_pointer(at, owner);
            at += 2;
        }
        memcpy(at, record + 2, bytes - 2);
        for (; fixup < fixups_end && *fixup < from + bytes; fixup++) {
            if (*fixup >= from) {
                put_pointer(at + (*fixup - from) - 2, out->apex);
            }
        }
        out->at = (uint32_t)(at - out->bytes) + bytes - 2;
        out->count[piece->section]++;
        from += bytes;
    }
    gy_assert(out->at <= out->limit && from == end);
}

/* The CNAME that a DNAME makes (RFC 6672 §3.1). False: no room. */
static bool put_synth(struct work *work, const struct piece *piece, struct output *out)
{
    const uint8_t *dname = piece->set->wire;
    uint32_t prefix = work->synth_bytes[piece->offset];
    uint32_t target_bytes = (uint32_t)dname[10] << 8 | dname[11];
    uint32_t target = work->pieces[piece->parent].at + 12;
    bool point = work->pieces[piece->parent].at != 0 && target <= GY_DNS_POINTER_MAX;
    uint32_t bytes = prefix + (point ? 2 : target_bytes);
    if (out->limit - out->at < 12 + bytes) {
        return false;
    }
    uint8_t *at = out->bytes + out->at;
    put_pointer(at, out->current);
    struct gy_writer writer = gy_writer_on(at + 2, 10);
    gy_writer_u16(&writer, GY_DNS_TYPE_CNAME);
    gy_writer_bytes(&writer, dname + 4, 6); /* class and TTL */
    gy_writer_u16(&writer, (uint16_t)bytes);
    memcpy(at + 12, work->synth[piece->offset], prefix);
    if (point) {
        put_pointer(at + 12 + prefix, target);
    } else {
        memcpy(at + 12 + prefix, dname + 12, target_bytes);
    }
    out->current = out->at + 12;
    out->at += 12 + bytes;
    out->count[piece->section]++;
    return true;
}

/* A whole rrset with its signatures. False: no room. */
static bool put_piece(struct work *work, struct piece *piece, struct output *out)
{
    const struct zone_set *set = piece->set;
    if ((piece->flags & PIECE_SYNTH) != 0) {
        return put_synth(work, piece, out);
    }
    uint32_t from = 0, end = set->wire_bytes, records = set->records;
    uint32_t owner = owner_at(work, piece, out);
    if ((piece->flags & PIECE_SIGNATURES_ONLY) != 0) {
        from = end;
        records = 0;
    }
    if (work->dnssec || from > 0) {
        end += set->signature_bytes;
        records += set->signatures;
    }
    uint64_t bytes = end - from;
    if (owner == 0) { /* at most once for each record, when pointers do not reach */
        uint64_t extra = (uint64_t)piece->node->name_bytes - work->zone->apex_bytes;
        bytes += extra * (out->at <= GY_DNS_POINTER_MAX ? 1 : records);
    }
    if (out->limit - out->at < bytes) {
        return false;
    }
    put_records(work, piece, out, from, end, owner);
    if ((piece->flags & PIECE_ALIAS) != 0) {
        out->current = piece->at + 12;
    }
    return true;
}

static void put_section(struct work *work, struct output *out, unsigned section)
{
    for (uint32_t i = 0; i < work->piece_count && !out->stopped; i++) {
        struct piece *piece = &work->pieces[i];
        if (piece->section != section) {
            continue;
        }
        if (out->current > GY_DNS_POINTER_MAX) {
            out->stopped = true; /* an alias and nothing behind it: the asker goes on from there */
        } else if (!put_piece(work, piece, out)) {
            if (section != GY_DNS_ADDITIONAL || (piece->flags & PIECE_REQUIRED) != 0) {
                out->truncated = true;
                out->stopped = true;
            }
        }
    }
}

/* ---- EDNS ---- */

/* Cookies: what the client sent, and ours (RFC 7873 §5.2). */
static void add_cookie(struct work *work, struct gy_dns_opt *opt)
{
    const struct gy_dns_answer_settings *settings = work->settings;
    struct gy_dns_query *query = work->query;
    uint8_t cookie[GY_DNS_CLIENT_COOKIE_BYTES + GY_DNS_SERVER_COOKIE_BYTES];
    if (work->edns.cookie_bytes == 0 || settings->secrets == 0 || query->address_bytes == 0) {
        return;
    }
    memcpy(cookie, work->edns.cookie, GY_DNS_CLIENT_COOKIE_BYTES);
    bool renew = true;
    if (query->cookie == GY_DNS_COOKIE_VALID) {
        gy_dns_cookie_check(settings->secret[0], work->edns.cookie, work->edns.cookie_bytes,
                            query->address, query->address_bytes, query->now, &renew);
    }
    if (renew) {
        gy_dns_cookie_make(settings->secret[0], work->edns.cookie, query->address,
                           query->address_bytes, query->now, cookie + GY_DNS_CLIENT_COOKIE_BYTES);
    } else {
        memcpy(cookie, work->edns.cookie, sizeof cookie);
    }
    gy_dns_opt_add(opt, GY_DNS_OPTION_COOKIE, cookie, sizeof cookie);
}

/* The OPT record into `bytes`. An answer that says no does not grow by options. */
static void make_opt(struct work *work, struct gy_dns_opt *opt, uint8_t bytes[OPTIONS_MAX])
{
    const struct gy_dns_answer_settings *settings = work->settings;
    uint16_t udp = settings->udp_bytes == 0 ? GY_DNS_UDP_USUAL : settings->udp_bytes;
    bool stream = work->query->transport != GY_DNS_UDP;
    gy_dns_opt_open(opt, bytes, OPTIONS_MAX, udp, work->rcode,
                    work->edns.dnssec_ok ? GY_DNS_EDNS_DO : 0);
    if (!work->resolve && !stream && work->query->cookie != GY_DNS_COOKIE_VALID) {
        return;
    }
    add_cookie(work, opt);
    if (work->edns.wants_nsid && settings->nsid_bytes > 0 && settings->nsid_bytes <= 64) {
        gy_dns_opt_add(opt, GY_DNS_OPTION_NSID, settings->nsid, settings->nsid_bytes);
    }
    if (stream && work->edns.has_keepalive && settings->keepalive > 0) {
        uint8_t timeout[2] = {(uint8_t)(settings->keepalive >> 8), (uint8_t)settings->keepalive};
        gy_dns_opt_add(opt, GY_DNS_OPTION_KEEPALIVE, timeout, sizeof timeout);
    }
    if (!work->resolve && stream && work->rcode == GY_DNS_RCODE_REFUSED) {
        gy_dns_opt_add_error(opt, GY_DNS_EDE_NOT_AUTHORITATIVE, NULL);
    }
}

/* Behind the other records; with padding where that hides something. */
static void put_opt(struct work *work, struct output *out, const struct gy_dns_opt *made)
{
    uint32_t bytes = (uint32_t)(made->at - made->start);
    gy_assert(out->limit - out->at >= bytes);
    struct gy_dns_opt opt = {.start = out->bytes + out->at,
                             .at = out->bytes + out->at + bytes,
                             .end = out->bytes + out->limit};
    memcpy(opt.start, made->start, bytes);
    if (work->query->transport == GY_DNS_TLS && work->edns.has_padding) {
        gy_dns_opt_pad(&opt, out->at, PADDING_BLOCK);
    }
    out->at += (uint32_t)gy_dns_opt_close(&opt);
    out->count[GY_DNS_ADDITIONAL]++;
}

static uint32_t limit_of(const struct work *work)
{
    uint32_t limit = GY_DNS_MESSAGE_MAX, room = work->query->room;
    if (work->query->transport == GY_DNS_UDP) {
        uint32_t ours =
            work->settings->udp_bytes == 0 ? GY_DNS_UDP_USUAL : work->settings->udp_bytes;
        limit = work->edns.present && work->edns.udp_bytes > GY_DNS_UDP_MIN ? work->edns.udp_bytes
                                                                            : GY_DNS_UDP_MIN;
        limit = limit > ours && ours >= GY_DNS_UDP_MIN ? ours : limit;
    }
    return room < limit ? room : limit;
}

void work_write(struct work *work)
{
    struct gy_dns_query *query = work->query;
    uint8_t options[OPTIONS_MAX];
    struct gy_dns_opt opt = {.start = options, .at = options};
    query->limit = limit_of(work);
    struct output out = {.bytes = query->answer, .at = GY_DNS_HEADER_BYTES, .limit = query->limit};
    gy_assert(query->room >= GY_DNS_UDP_MIN);
    if (work->edns.present) {
        make_opt(work, &opt, options);
    }
    uint32_t reserved = (uint32_t)(opt.at - opt.start);
    if (work->parsed) {
        memcpy(out.bytes + out.at, query->message + out.at, query->question_bytes);
        out.at += query->question_bytes;
        out.count[GY_DNS_QUESTION] = 1;
    }
    gy_assert(out.limit - out.at >= reserved);
    if (work->resolve) {
        out.limit -= reserved;
        out.current = GY_DNS_HEADER_BYTES;
        out.apex = GY_DNS_HEADER_BYTES + work->question_name_bytes - work->zone->apex_bytes;
        for (unsigned section = GY_DNS_ANSWER; section < GY_DNS_SECTIONS; section++) {
            put_section(work, &out, section);
        }
        out.limit += reserved;
    }
    if (work->edns.present) {
        put_opt(work, &out, &opt);
    }
    struct gy_dns_header header = {
        .id = (uint16_t)(query->message[0] << 8 | query->message[1]),
        .flags =
            (uint16_t)(work->flags | (out.truncated ? GY_DNS_FLAG_TC : 0) | (work->rcode & 15u))};
    memcpy(header.count, out.count, sizeof header.count);
    gy_dns_header_write(&header, out.bytes);
    query->answer_bytes = out.at;
    query->truncated = out.truncated;
    query->rcode = work->rcode;
}
