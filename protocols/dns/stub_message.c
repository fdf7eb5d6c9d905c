/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The stub resolver's messages: queries made, answers read. */

#include <string.h>

#include "protocols/dns/edns.h"
#include "protocols/dns/rdata.h"
#include "protocols/dns/stub_internal.h"

#define UDP_BYTES   1232 /* what reaches most without fragments */
#define ALIASES_MAX 16   /* in one answer */

/* ---- queries ---- */

/* Letters of random case: an answer that is forged without seeing the query has to guess them too.
 * Over TCP, where nobody can forge blindly, the name stays as it is: some servers do not keep it.
 */
static void vary_case(struct gy_dns_stub *stub, struct gy_dns_stub_question *question)
{
    uint8_t coins[(GY_DNS_NAME_MAX + 7) / 8];
    size_t bytes = gy_dns_name_bytes(question->name);
    memcpy(question->sent, question->name, bytes);
    if (question->tcp) {
        return;
    }
    stub->options.random(stub->options.context, coins, sizeof coins);
    for (size_t at = 0; question->sent[at] != 0;) {
        size_t end = at + 1u + question->sent[at];
        for (at++; at < end; at++) {
            uint8_t c = question->sent[at] | 0x20;
            if (c >= 'a' && c <= 'z') {
                question->sent[at] = (coins[at / 8] >> at % 8 & 1) != 0 ? c : (uint8_t)(c & ~0x20);
            }
        }
    }
}

size_t stub_query(struct gy_dns_stub *stub, struct gy_dns_stub_question *question,
                  uint8_t room[GY_DNS_STUB_QUERY_BYTES])
{
    const struct gy_dns_resolv *resolv = &stub->resolv;
    struct gy_dns_builder builder;
    uint16_t flags = GY_DNS_FLAG_RD | (resolv->trust_ad ? GY_DNS_FLAG_AD : 0);
    stub->options.random(stub->options.context, &question->id, sizeof question->id);
    vary_case(stub, question);
    gy_dns_builder_open(&builder, room, GY_DNS_STUB_QUERY_BYTES, question->id, flags);
    int code = gy_dns_builder_question(&builder, question->sent, question->type, GY_DNS_CLASS_IN);
    gy_assert(code == 0);
    size_t bytes = gy_dns_builder_close(&builder);
    if (resolv->edns && !question->plain) {
        struct gy_dns_opt opt;
        gy_dns_opt_open(&opt, room + bytes, GY_DNS_STUB_QUERY_BYTES - bytes, UDP_BYTES, 0, 0);
        bytes += gy_dns_opt_close(&opt);
        room[11] = 1; /* one additional record */
    }
    return bytes;
}

/* ---- answers ---- */

static void not_ours(struct stub_answer *answer, uint64_t *counter)
{
    answer->kind = STUB_NOT_OURS;
    answer->strange = counter;
}

/* Whether it repeats the question, and nothing else is in that section. `message` is at the
 * records behind it then. */
static bool repeats(struct gy_dns_stub_counts *counts, struct gy_dns_message *message,
                    const struct gy_dns_stub_question *question, struct stub_answer *answer)
{
    struct gy_dns_record record;
    if (message->header.count[GY_DNS_QUESTION] != 1 || gy_dns_message_next(message, &record) <= 0 ||
        record.type != question->type || record.class != GY_DNS_CLASS_IN ||
        !gy_dns_name_equal(record.owner, question->sent)) {
        not_ours(answer, &counts->wrong_question);
        return false;
    }
    if (!question->tcp &&
        memcmp(record.owner, question->sent, gy_dns_name_bytes(question->sent)) != 0) {
        not_ours(answer, &counts->wrong_case);
        answer->wrong_case = true;
        return false;
    }
    return true;
}

static void least(struct stub_answer *answer, uint32_t ttl)
{
    ttl = ttl > INT32_MAX ? 0 : ttl; /* RFC 2181 §8 */
    answer->ttl = ttl < answer->ttl ? ttl : answer->ttl;
}

static void take_address(struct stub_answer *answer, const struct gy_dns_record *record)
{
    uint8_t length = record->type == GY_DNS_TYPE_A ? 4 : 16;
    if (record->rdata_bytes != length || answer->count == GY_DNS_STUB_ADDRESSES) {
        return;
    }
    struct gy_dns_address *address = &answer->addresses[answer->count++];
    *address = (struct gy_dns_address){.length = length};
    memcpy(address->bytes, record->rdata, length);
    least(answer, record->ttl);
}

/* What one look through the message found for `target`. */
struct look {
    bool alias;   /* and `target` is now where it leads */
    bool denied;  /* a SOA that covers it, with `ttl` of RFC 2308 §5 */
    bool servers; /* NS records: a referral, if there is nothing else */
    uint32_t ttl;
};

static void look_at(struct gy_dns_message *message, const struct gy_dns_record *record,
                    uint16_t type, struct stub_answer *answer, struct look *look, uint8_t *next)
{
    static const uint8_t minimum_at_least = 5 * 4;
    uint8_t rdata[2 * GY_DNS_NAME_MAX + 5 * 4];
    if (record->class != GY_DNS_CLASS_IN) {
        return;
    }
    bool named = gy_dns_name_equal(record->owner, answer->target);
    if (record->section == GY_DNS_ANSWER && named && record->type == type) {
        take_address(answer, record);
    } else if (record->section == GY_DNS_ANSWER && named && record->type == GY_DNS_TYPE_CNAME &&
               !look->alias) {
        if (gy_dns_rdata_read(message, record, next, GY_DNS_NAME_MAX) > 0) {
            look->alias = true;
            look->ttl = record->ttl;
        }
    } else if (record->section == GY_DNS_AUTHORITY && record->type == GY_DNS_TYPE_SOA &&
               gy_dns_name_suffix(answer->target, record->owner) != NULL) {
        int bytes = gy_dns_rdata_read(message, record, rdata, sizeof rdata);
        if (bytes > minimum_at_least) {
            const uint8_t *at = rdata + bytes - 4;
            uint32_t minimum =
                (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
            look->denied = true;
            look->ttl = minimum < record->ttl ? minimum : record->ttl;
        }
    } else if (record->section == GY_DNS_AUTHORITY && record->type == GY_DNS_TYPE_NS) {
        look->servers = true;
    }
}

/* Once through the message, from its start. 0 or GY_EPROTO. */
static int look_through(const uint8_t *bytes, size_t length, uint16_t type,
                        struct stub_answer *answer, struct look *look)
{
    struct gy_dns_message message;
    struct gy_dns_record record;
    uint8_t next[GY_DNS_NAME_PADDED];
    int more = gy_dns_message_open(&message, bytes, length);
    *look = (struct look){0};
    answer->count = 0;
    while (more == 0 && (more = gy_dns_message_next(&message, &record)) > 0) {
        look_at(&message, &record, type, answer, look, next);
        more = 0;
    }
    if (more == 0 && answer->count == 0 && look->alias) {
        memcpy(answer->target, next, gy_dns_name_bytes(next));
        least(answer, look->ttl);
    }
    return more;
}

/* Follows the aliases of the answer section, from one look to the next. */
static void follow(const uint8_t *bytes, size_t length, const struct gy_dns_stub_question *question,
                   struct stub_answer *answer, struct gy_dns_stub_counts *counts,
                   bool authoritative, unsigned rcode)
{
    struct look look;
    uint32_t aliases = 0;
    do {
        if (look_through(bytes, length, question->type, answer, &look) != 0) {
            not_ours(answer, &counts->malformed);
            return;
        }
    } while (answer->count == 0 && look.alias && ++aliases <= ALIASES_MAX);
    if (answer->count > 0) {
        answer->kind = STUB_ADDRESSES;
    } else if (aliases > ALIASES_MAX) {
        answer->kind = STUB_FAILURE; /* they lead in a circle, as it seems */
    } else if (rcode == GY_DNS_RCODE_NXDOMAIN || look.denied) {
        answer->kind = rcode == GY_DNS_RCODE_NXDOMAIN ? STUB_NO_NAME : STUB_NO_DATA;
        least(answer, look.denied ? look.ttl : 0);
    } else if (aliases > 0) {
        answer->kind = STUB_ALIAS;
    } else {
        /* Nothing, and other servers' names: this one does not resolve for us. */
        answer->kind = look.servers && !authoritative ? STUB_FAILURE : STUB_NO_DATA;
        answer->ttl = 0;
    }
}

void stub_read(struct gy_dns_stub_counts *counts, const struct gy_dns_stub_question *question,
               const uint8_t *bytes, size_t length, struct stub_answer *answer)
{
    struct gy_dns_message message;
    answer->ttl = UINT32_MAX;
    answer->count = 0;
    answer->wrong_case = false;
    if (gy_dns_message_open(&message, bytes, length) != 0) {
        not_ours(answer, &counts->malformed);
        return;
    }
    unsigned flags = message.header.flags;
    unsigned rcode = GY_DNS_RCODE_OF(flags);
    if (message.header.id != question->id || (flags & GY_DNS_FLAG_QR) == 0 ||
        GY_DNS_OPCODE_OF(flags) != GY_DNS_OPCODE_QUERY) {
        not_ours(answer, &counts->wrong_id);
        return;
    }
    /* A server that cannot read the query may leave the question out. */
    if (rcode == GY_DNS_RCODE_FORMERR || rcode == GY_DNS_RCODE_NOTIMP) {
        answer->kind = STUB_NO_EDNS;
        return;
    }
    if (!repeats(counts, &message, question, answer)) {
        return;
    }
    if ((flags & GY_DNS_FLAG_TC) != 0 && !question->tcp) {
        answer->kind = STUB_CUT;
    } else if (rcode != GY_DNS_RCODE_NOERROR && rcode != GY_DNS_RCODE_NXDOMAIN) {
        answer->kind = STUB_FAILURE;
    } else {
        memcpy(answer->target, question->name, gy_dns_name_bytes(question->name));
        follow(bytes, length, question, answer, counts, (flags & GY_DNS_FLAG_AA) != 0, rcode);
    }
}
