/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/dns/stub_rig.h"

#include <stdlib.h>
#include <string.h>

#include "protocols/dns/rdata.h"

static void random_bytes(void *context, void *target, size_t bytes)
{
    struct stub_rig *rig = context;
    uint8_t *at = target;
    for (size_t i = 0; i < bytes; i++) {
        rig->state = rig->state * 6364136223846793005u + 1442695040888963407u;
        at[i] = (uint8_t)(rig->state >> 56);
    }
}

struct stub_rig *stub_rig_new(const char *conf, const char *hosts, uint64_t seed)
{
    struct stub_rig *rig = calloc(1, sizeof *rig);
    gy_assert(rig != NULL);
    rig->now_ms = 1000000;
    rig->state = seed;
    gy_dns_resolv_parse(&rig->resolv, conf, strlen(conf), NULL, NULL, NULL);
    struct gy_dns_stub_options options = {
        .resolv = &rig->resolv,
        .hosts = hosts,
        .hosts_bytes = hosts != NULL ? strlen(hosts) : 0,
        .random = random_bytes,
        .context = rig,
    };
    gy_dns_stub_init(&rig->stub, &options);
    return rig;
}

/* Keeps what was sent, and reads its question. */
static void note(struct stub_sent *sent, const struct gy_dns_stub_output *output,
                 const uint8_t *query)
{
    struct gy_dns_message message;
    struct gy_dns_record record;
    uint8_t lower[GY_DNS_NAME_PADDED];
    sent->action = output->action;
    sent->server = *output->server;
    sent->bytes = output->bytes;
    sent->times++;
    memcpy(sent->query, query, output->bytes);
    int code = gy_dns_message_open(&message, sent->query, sent->bytes);
    gy_assert(code == 0);
    code = gy_dns_message_next(&message, &record);
    gy_assert(code == 1);
    sent->type = record.type;
    gy_dns_name_lower(record.owner, lower);
    gy_dns_name_to_text(lower, sent->name);
}

uint32_t stub_rig_pull(struct stub_rig *rig)
{
    struct gy_dns_stub_output output;
    uint8_t query[GY_DNS_STUB_QUERY_BYTES];
    uint32_t count = 0;
    while (gy_dns_stub_output(&rig->stub, &output, query)) {
        struct stub_sent *sent = &rig->sent[output.exchange];
        if (output.action == GY_DNS_STUB_CLOSE) {
            sent->action = GY_DNS_STUB_NOTHING;
        } else {
            note(sent, &output, query);
            count++;
        }
    }
    return count;
}

struct stub_sent *stub_rig_open(struct stub_rig *rig, uint16_t type)
{
    for (uint32_t i = 0; i < GY_DNS_STUB_EXCHANGES; i++) {
        if (rig->sent[i].action != GY_DNS_STUB_NOTHING && rig->sent[i].type == type) {
            return &rig->sent[i];
        }
    }
    return NULL;
}

uint32_t stub_rig_number(const struct stub_rig *rig, const struct stub_sent *sent)
{
    return (uint32_t)(sent - rig->sent);
}

void stub_rig_answer(const struct stub_sent *sent, struct gy_dns_builder *builder, uint8_t *room,
                     uint16_t flags)
{
    struct gy_dns_message message;
    struct gy_dns_record record;
    gy_dns_message_open(&message, sent->query, sent->bytes);
    gy_dns_message_next(&message, &record);
    gy_dns_builder_open(builder, room, GY_DNS_MESSAGE_MAX, message.header.id,
                        GY_DNS_FLAG_QR | GY_DNS_FLAG_RD | GY_DNS_FLAG_RA | flags);
    int code = gy_dns_builder_question(builder, record.owner, record.type, record.class);
    gy_assert(code == 0);
}

void stub_rig_add(struct gy_dns_builder *builder, enum gy_dns_section section, const char *owner,
                  uint16_t type, uint32_t ttl, const char *data)
{
    uint8_t name[GY_DNS_NAME_PADDED], rdata[512];
    int code = gy_dns_name_from_text(owner, strlen(owner), NULL, name, NULL);
    gy_assert(code > 0);
    int bytes = gy_dns_rdata_from_text(type, data, strlen(data), NULL, rdata, sizeof rdata, NULL);
    gy_assert(bytes > 0);
    code = gy_dns_builder_record(builder, section, name, type, GY_DNS_CLASS_IN, ttl, rdata,
                                 (size_t)bytes);
    gy_assert(code == 0);
}

void stub_rig_deliver(struct stub_rig *rig, const struct stub_sent *sent,
                      struct gy_dns_builder *builder)
{
    size_t bytes = gy_dns_builder_close(builder);
    gy_dns_stub_receive(&rig->stub, stub_rig_number(rig, sent), &sent->server, builder->bytes,
                        bytes, rig->now_ms);
    stub_rig_pull(rig);
}

void stub_rig_reply(struct stub_rig *rig, uint16_t type, uint16_t flags, const char *address)
{
    static uint8_t room[GY_DNS_MESSAGE_MAX];
    struct gy_dns_builder builder;
    struct stub_sent *sent = stub_rig_open(rig, type);
    gy_assert(sent != NULL);
    stub_rig_answer(sent, &builder, room, flags);
    if (address != NULL) {
        stub_rig_add(&builder, GY_DNS_ANSWER, sent->name, type, 300, address);
    } else if (GY_DNS_RCODE_OF(flags) == GY_DNS_RCODE_NOERROR ||
               GY_DNS_RCODE_OF(flags) == GY_DNS_RCODE_NXDOMAIN) {
        stub_rig_add(&builder, GY_DNS_AUTHORITY, ".", GY_DNS_TYPE_SOA, 900, ". . 1 2 3 4 60");
    }
    stub_rig_deliver(rig, sent, &builder);
}

void stub_rig_wait(struct stub_rig *rig, uint64_t ms)
{
    uint64_t until_ms = rig->now_ms + ms;
    for (;;) {
        uint64_t due_ms = gy_dns_stub_deadline(&rig->stub);
        if (due_ms > until_ms) {
            break;
        }
        rig->now_ms = due_ms > rig->now_ms ? due_ms : rig->now_ms;
        gy_dns_stub_expire(&rig->stub, rig->now_ms);
        stub_rig_pull(rig);
    }
    rig->now_ms = until_ms;
}
