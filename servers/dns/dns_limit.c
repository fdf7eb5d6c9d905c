/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_limit.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define ENTRIES  65536
#define SLIP     2
#define SLIP_MAX 100
#define SECOND   1000000000u

void gy_dns_limit_defaults(struct gy_dns_limit *limit)
{
    limit->options = (struct gy_visitors_options){.entries = ENTRIES, .v4_bits = 24, .v6_bits = 56};
    limit->slip = SLIP;
}

static int take_exempt(struct gy_visitors_options *options,
                       const struct gy_config_directive *directive, struct gy_error *error)
{
    for (uint32_t i = 0; i < directive->value_count; i++) {
        struct gy_error why = {0};
        if (options->exempt_count == GY_VISITORS_EXEMPT_MAX) {
            return gy_config_error(directive, error, "there can be %d ranges at most",
                                   GY_VISITORS_EXEMPT_MAX);
        }
        if (gy_visitors_range_parse(&options->exempt[options->exempt_count], directive->values[i],
                                    &why) != 0) {
            return gy_config_error(directive, error, "%s", why.message);
        }
        options->exempt_count++;
    }
    return 0;
}

int gy_dns_limit_take(struct gy_dns_limit *limit, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    uint64_t number = 0;
    uint64_t wide = 0;
    int code;
    if (strcmp(directive->key, "rate-limit") == 0) {
        code = gy_config_number(directive, 0, 1, GY_VISITORS_RATE_MAX, &number, error);
        if (code == 0) {
            limit->options.interval_ns = SECOND / number;
            limit->options.burst = (uint32_t)number;
        }
        return code;
    }
    limit->at = directive;
    if (strcmp(directive->key, "rate-exempt") == 0) {
        return take_exempt(&limit->options, directive, error);
    }
    if (strcmp(directive->key, "rate-slip") == 0) {
        code = gy_config_number(directive, 0, 0, SLIP_MAX, &number, error);
        limit->slip = (uint32_t)number;
        return code;
    }
    code = gy_config_number(directive, 0, 8, 32, &number, error);
    code = code == 0 ? gy_config_number(directive, 1, 16, 128, &wide, error) : code;
    if (code == 0) {
        limit->options.v4_bits = (uint8_t)number;
        limit->options.v6_bits = (uint8_t)wide;
    }
    return code;
}

int gy_dns_limit_settle(const struct gy_dns_limit *limit, struct gy_error *error)
{
    return limit->at == NULL || limit->options.interval_ns != 0
               ? 0
               : gy_config_error(limit->at, error,
                                 "there is no limit for it; write rate-limit N; or leave it out");
}

int gy_dns_limit_open(struct gy_dns_limit *limit, struct gy_error *error)
{
    struct gy_visitors_options *options = &limit->options;
    if (options->interval_ns == 0) {
        return 0;
    }
    if (getrandom(&options->key, sizeof options->key, 0) != (ssize_t)sizeof options->key) {
        return gy_error_set(error, GY_EIO, "the system has no random numbers now; try again");
    }
    /* Pages of it are used as addresses come. */
    void *memory = mmap(NULL, gy_visitors_bytes(options->entries), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return gy_error_set(error, GY_ENOMEM, "no memory for a table of %u client networks",
                            options->entries);
    }
    limit->memory = memory;
    gy_visitors_init(&limit->visitors, options, memory);
    return 0;
}

void gy_dns_limit_close(struct gy_dns_limit *limit)
{
    if (limit->memory != NULL) {
        munmap(limit->memory, gy_visitors_bytes(limit->options.entries));
        limit->memory = NULL;
    }
}
