/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The stub resolver. The input's first part is a resolv.conf and hosts, up to a zero byte each;
 * behind them are names that are asked for and messages that arrive, each behind a byte that says
 * what it is. Messages are cut in as they are, or with id and question of what was sent, so that
 * answers get past the door. Whatever comes: bounds hold, and in the end nothing is left open.
 */

#include <stdlib.h>
#include <string.h>

#include "tests/dns/stub_rig.h"

#define LOOKUPS 8
#define STEPS   64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void report(void *context, uint32_t line, const char *why)
{
    gy_assert(line > 0 && why[0] != '\0');
    ++*(uint32_t *)context;
}

/* The input up to a zero, which is passed over; a copy that the caller frees. */
static char *text_of(const uint8_t **data, size_t *bytes)
{
    const uint8_t *zero = *bytes > 0 ? memchr(*data, 0, *bytes) : NULL;
    size_t length = zero != NULL ? (size_t)(zero - *data) : *bytes;
    char *text = malloc(length + 1);
    gy_assert(text != NULL);
    if (length > 0) {
        memcpy(text, *data, length);
    }
    text[length] = '\0';
    *data += length + (zero != NULL);
    *bytes -= length + (zero != NULL);
    return text;
}

static void take_news(struct stub_rig *rig)
{
    struct gy_dns_lookup *lookup;
    while ((lookup = gy_dns_stub_next(&rig->stub)) != NULL) {
        gy_assert(lookup->count <= GY_DNS_STUB_ADDRESSES);
        gy_assert((lookup->result == GY_DNS_STUB_FOUND) == (lookup->count > 0));
        gy_assert(lookup->result == GY_DNS_STUB_FOUND || !lookup->more);
        for (uint32_t i = 0; i < lookup->count; i++) {
            gy_assert(lookup->addresses[i].length == 4 || lookup->addresses[i].length == 16);
        }
    }
}

/* A message to an exchange; `ours`: behind the head and question of what was sent. */
static void deliver(struct stub_rig *rig, uint32_t number, const uint8_t *data, size_t bytes,
                    bool ours)
{
    struct stub_sent *sent = &rig->sent[number];
    bool headed = ours && bytes >= 10;
    size_t length = headed ? sent->bytes : 0;
    size_t whole = headed ? length + bytes - 10 : bytes;
    uint8_t *message = malloc(whole > 0 ? whole : 1); /* its end is seen */
    gy_assert(message != NULL);
    if (headed) {
        memcpy(message, sent->query, sent->bytes);
        memcpy(message + 2, data, 10);
        message[2] |= 0x80;
        message[2] &= 0x87;
        message[4] = 0;
        message[5] = 1;
        data += 10;
    }
    memcpy(message + length, data, whole - length);
    gy_dns_stub_receive(&rig->stub, number, &sent->server, message, whole, rig->now_ms);
    free(message);
    stub_rig_pull(rig);
}

static void run(struct stub_rig *rig, const uint8_t *data, size_t bytes)
{
    struct gy_dns_lookup lookups[LOOKUPS] = {0};
    uint32_t asked = 0;
    for (uint32_t step = 0; step < STEPS && bytes >= 2; step++) {
        uint8_t what = data[0];
        size_t length = data[1] < bytes - 2 ? data[1] : bytes - 2;
        data += 2;
        bytes -= 2;
        struct stub_sent *sent =
            stub_rig_open(rig, (what & 4) != 0 ? GY_DNS_TYPE_A : GY_DNS_TYPE_AAAA);
        if (what % 4 == 0 && asked < LOOKUPS) {
            char name[256] = "";
            memcpy(name, data, length);
            gy_dns_stub_ask(&rig->stub, &lookups[asked++], name, rig->now_ms);
            stub_rig_pull(rig);
        } else if (what % 4 == 1) {
            stub_rig_wait(rig, (uint64_t)what * 40);
        } else if (what % 4 == 2 && sent != NULL && (what & 8) != 0) {
            gy_dns_stub_failed(&rig->stub, stub_rig_number(rig, sent), rig->now_ms);
            stub_rig_pull(rig);
        } else if (sent != NULL) {
            deliver(rig, stub_rig_number(rig, sent), data, length, (what & 16) != 0);
        }
        data += length;
        bytes -= length;
        take_news(rig);
    }
    stub_rig_wait(rig, 100000000);
    take_news(rig);
    for (uint32_t i = 0; i < asked; i++) {
        gy_assert(lookups[i].result != GY_DNS_STUB_PENDING && lookups[i].work == NULL);
    }
    gy_assert(gy_dns_stub_deadline(&rig->stub) == UINT64_MAX && rig->stub.actions == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint32_t told = 0;
    char *conf = text_of(&data, &bytes);
    char *hosts = text_of(&data, &bytes);
    struct gy_dns_resolv resolv;
    gy_dns_resolv_parse(&resolv, conf, strlen(conf), conf, report, &told);
    gy_assert(resolv.server_count > 0 && resolv.server_count <= GY_DNS_SERVERS_MAX);
    gy_assert(resolv.search_count <= GY_DNS_SEARCH_MAX);
    gy_dns_hosts_check(hosts, strlen(hosts), report, &told);
    struct stub_rig *rig = stub_rig_new(conf, hosts, 1);
    run(rig, data, bytes);
    free(rig);
    free(conf);
    free(hosts);
    return 0;
}
