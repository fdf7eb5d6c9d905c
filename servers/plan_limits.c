/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Limits of an `http` block: of HTTP/1.1, of time, and of each client address. */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "servers/plan_internal.h"

#define TIMEOUT_MAX_MS    86400000
#define BODY_MAX          (UINT64_C(1) << 40)
#define REQUESTS_MAX      1000000000
#define CONNECTIONS_MAX   1000000
#define TABLE_DEFAULT     65536
#define NANOSECONDS_PER_S UINT64_C(1000000000)
#define LINE_MIN          64
#define HEAD_MIN          256

void gy_plan_default_limits(struct gy_plan_block *block)
{
    block->limits = gy_http_limits_defaults();
    block->visits =
        (struct gy_visitors_options){.entries = TABLE_DEFAULT, .v4_bits = 32, .v6_bits = 64};
}

/* ---- of HTTP/1.1 ---- */

int gy_plan_take_size(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct gy_plan_block *block = ((struct gy_plan_making *)context)->block;
    bool line = strcmp(directive->key, "max-line") == 0;
    uint64_t bytes;
    if (strcmp(directive->key, "max-body") == 0) {
        return gy_config_bytes(directive, 0, 0, BODY_MAX, &block->limits.body_bytes, error);
    }
    int code =
        gy_config_bytes(directive, 0, line ? LINE_MIN : HEAD_MIN, GY_H1_HEAD_MAX, &bytes, error);
    if (code == 0) {
        *(line ? &block->limits.line_bytes : &block->limits.head_bytes) = (uint32_t)bytes;
        *(line ? &block->line_given : &block->head_given) = true;
    }
    if (code == 0 && block->limits.line_bytes > block->limits.head_bytes) {
        if (block->line_given && block->head_given) {
            return gy_config_error(directive, error,
                                   "the request line (max-line, %u bytes) is a part of the head "
                                   "(max-head, %u bytes), and cannot be larger",
                                   block->limits.line_bytes, block->limits.head_bytes);
        }
        block->limits.line_bytes = block->limits.head_bytes;
    }
    return code;
}

int gy_plan_take_count(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct gy_h1_limits *limits = &((struct gy_plan_making *)context)->block->limits;
    bool fields = strcmp(directive->key, "max-fields") == 0;
    uint64_t number;
    int code = gy_config_number(directive, 0, 1, fields ? GY_HTTP_FIELDS_MAX : REQUESTS_MAX,
                                &number, error);
    if (code == 0) {
        *(fields ? &limits->fields : &limits->requests) = (uint32_t)number;
    }
    return code;
}

int gy_plan_take_timeout(void *context, const struct gy_config_directive *directive,
                         struct gy_error *error)
{
    struct gy_plan_block *block = ((struct gy_plan_making *)context)->block;
    uint64_t ms;
    int code = gy_config_time(directive, 0, TIMEOUT_MAX_MS, &ms, error);
    if (code == 0 && ms == 0) {
        return gy_config_error(directive, error, "0 would end every connection at once; write 10s");
    }
    if (code == 0) {
        *(directive->key[0] == 'h'   ? &block->limits.header_timeout_ms
          : directive->key[0] == 'i' ? &block->limits.idle_timeout_ms
          : directive->key[0] == 'b' ? &block->limits.body_timeout_ms
                                     : &block->http.stream.write_timeout_ms) = (uint32_t)ms;
    }
    return code;
}

/* ---- of each address ---- */

/* "10/s", "600/m". */
static int take_rate(struct gy_visitors_options *visits,
                     const struct gy_config_directive *directive, struct gy_error *error)
{
    char *end;
    const char *text = directive->values[0];
    unsigned long long rate = strtoull(text, &end, 10);
    uint64_t seconds = strcmp(end, "/s") == 0 ? 1 : strcmp(end, "/m") == 0 ? 60 : 0;
    if (text[0] < '1' || text[0] > '9' || rate > GY_VISITORS_RATE_MAX || seconds == 0) {
        return gy_config_error(
            directive, error,
            "%.64s is no rate; write 10/s for ten requests a second, or 30/m for "
            "thirty a minute, up to %d",
            text, GY_VISITORS_RATE_MAX);
    }
    visits->interval_ns = seconds * NANOSECONDS_PER_S / rate;
    visits->burst = (uint32_t)((rate + seconds - 1) / seconds);
    if (directive->value_count == 1) {
        return 0;
    }
    if (directive->value_count != 3 || strcmp(directive->values[1], "burst") != 0) {
        return gy_config_error(directive, error, "%.64s stands behind the rate; write burst N",
                               directive->values[1]);
    }
    uint64_t burst;
    int code = gy_config_number(directive, 2, 1, GY_VISITORS_BURST_MAX, &burst, error);
    visits->burst = code == 0 ? (uint32_t)burst : visits->burst;
    return code;
}

static int take_exempt(struct gy_visitors_options *visits,
                       const struct gy_config_directive *directive, struct gy_error *error)
{
    for (uint32_t i = 0; i < directive->value_count; i++) {
        struct gy_error why = {0};
        if (visits->exempt_count == GY_VISITORS_EXEMPT_MAX) {
            return gy_config_error(directive, error, "there can be %d ranges at most",
                                   GY_VISITORS_EXEMPT_MAX);
        }
        if (gy_visitors_range_parse(&visits->exempt[visits->exempt_count], directive->values[i],
                                    &why) != 0) {
            return gy_config_error(directive, error, "%s", why.message);
        }
        visits->exempt_count++;
    }
    return 0;
}

static int take_prefix(struct gy_visitors_options *visits,
                       const struct gy_config_directive *directive, struct gy_error *error)
{
    uint64_t v4, v6;
    int code = gy_config_number(directive, 0, 8, 32, &v4, error);
    code = code == 0 ? gy_config_number(directive, 1, 16, 128, &v6, error) : code;
    if (code == 0) {
        visits->v4_bits = (uint8_t)v4;
        visits->v6_bits = (uint8_t)v6;
    }
    return code;
}

int gy_plan_take_limit(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct gy_plan_block *block = ((struct gy_plan_making *)context)->block;
    struct gy_visitors_options *visits = &block->visits;
    const char *what = directive->key + strlen("limit-");
    uint64_t number;
    int code;
    if (strcmp(what, "connections") == 0) {
        code = gy_config_number(directive, 0, 1, CONNECTIONS_MAX, &number, error);
        visits->connections_max = code == 0 ? (uint32_t)number : 0;
        return code;
    }
    if (strcmp(what, "rate") == 0) {
        return take_rate(visits, directive, error);
    }
    block->visits_at = directive;
    if (strcmp(what, "exempt") == 0) {
        return take_exempt(visits, directive, error);
    }
    if (strcmp(what, "prefix") == 0) {
        return take_prefix(visits, directive, error);
    }
    code = gy_config_number(directive, 0, GY_VISITORS_ENTRIES_MIN, GY_VISITORS_ENTRIES_MAX, &number,
                            error);
    for (visits->entries = GY_VISITORS_ENTRIES_MIN; code == 0 && visits->entries < number;) {
        visits->entries *= 2;
    }
    return code;
}

/* ---- together ---- */

int gy_plan_settle_limits(struct gy_plan_block *block, struct gy_error *error)
{
    struct gy_visitors_options *visits = &block->visits;
    if (visits->connections_max == 0 && visits->interval_ns == 0) {
        return block->visits_at == NULL
                   ? 0
                   : gy_config_error(block->visits_at, error,
                                     "there is no limit for it; write limit-connections N; or "
                                     "limit-rate N/s; or leave it out");
    }
    if (getrandom(&visits->key, sizeof visits->key, 0) != (ssize_t)sizeof visits->key) {
        return gy_config_error(block->at, error, "the system has no random numbers now; try again");
    }
    /* Pages of it are used as addresses come. */
    void *memory = mmap(NULL, gy_visitors_bytes(visits->entries), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return gy_config_error(block->at, error, "no memory for a table of %u addresses",
                               visits->entries);
    }
    block->visitors_memory = memory;
    gy_visitors_init(&block->visitors, visits, memory);
    block->http.visitors = &block->visitors;
    return 0;
}

void gy_plan_free_limits(struct gy_plan_block *block)
{
    if (block->visitors_memory != NULL) {
        munmap(block->visitors_memory, gy_visitors_bytes(block->visits.entries));
    }
}
