/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What an `http` block says: hosts, redirects, header rules, limits. The text up to the first zero
 * byte is a configuration; what is behind it are authority and target of a request, a zero between
 * them. Whatever they are, the block is taken or refused with a sentence that names its place; no
 * request leads anywhere but to a Location that can be sent and names the host that it should.
 */

#include <stdlib.h>
#include <string.h>

#include "servers/plan_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_headers(const struct gy_vhost *vhost, struct gy_http_text target)
{
    static const struct gy_http_header given[] = {{{"Content-Type", 12}, {"text/html", 9}},
                                                  {{"ETag", 4}, {"\"x\"", 3}}};
    static const uint16_t statuses[] = {200, 206, 304, 404, 503};
    const struct gy_header_rules *rules = gy_vhost_rules(vhost, target);
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct gy_http_header to[GY_HEADER_FIELDS_MAX];
        uint32_t count = gy_header_rules_apply(rules, statuses[i], given, 2, to);
        gy_assert(count <= GY_HEADER_FIELDS_MAX);
        for (uint32_t f = 0; f < count; f++) {
            gy_assert(to[f].name.length > 0);
            gy_assert(memchr(to[f].value.data, '\n', to[f].value.length) == NULL);
            gy_assert(memchr(to[f].value.data, '\r', to[f].value.length) == NULL);
        }
    }
}

static void check_redirect(const struct gy_vhost *vhost, struct gy_http_text target)
{
    static struct gy_redirect_location location;
    if (gy_redirects_find(&vhost->redirects, target, &location) != GY_REDIRECT_FOUND) {
        return;
    }
    gy_assert(location.length > 0 && location.length <= sizeof location.text);
    gy_assert(location.status >= 301 && location.status <= 308);
    for (uint32_t i = 0; i < location.length; i++) {
        gy_assert((uint8_t)location.text[i] > ' ' && location.text[i] != 0x7f);
    }
    bool path = location.text[0] == '/';
    gy_assert(path || strncmp(location.text, "http", 4) == 0);
    gy_assert(!path || location.length == 1 ||
              (location.text[1] != '/' && location.text[1] != '\\'));
}

/* Characters that a target has when it comes to a handler. */
static bool can_be_target(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((uint8_t)text[i] <= ' ' || (uint8_t)text[i] > '~' || text[i] == '#') {
            return false;
        }
    }
    return length > 0;
}

static void ask(const struct gy_plan_block *block, const char *rest, size_t length)
{
    const char *end = memchr(rest, '\0', length);
    struct gy_http_text authority = {rest, end != NULL ? (size_t)(end - rest) : length};
    struct gy_http_text target = {rest, 0};
    if (end != NULL) {
        target = (struct gy_http_text){end + 1, length - authority.length - 1};
    }
    uint32_t number = gy_host_names_find(&block->vhosts.names, authority);
    gy_assert(number == GY_HOST_NONE || number < block->host_count);
    if (can_be_target(target.data, target.length)) {
        const struct gy_vhost *vhost = block->hosts[number != GY_HOST_NONE ? number : 0]->vhost;
        check_redirect(vhost, target);
        check_headers(vhost, target);
    }
}

static void take(const struct gy_config_directive *directive, const char *rest, size_t length)
{
    struct gy_serve_plan *plan = calloc(1, sizeof *plan);
    struct gy_plan_owned *owned = calloc(1, sizeof *owned);
    gy_assert(plan != NULL && owned != NULL);
    static const struct gy_server_kind *const kinds[] = {&gy_plan_http_kind, NULL};
    struct gy_error error = {0};
    owned->making = (struct gy_plan_making){.plan = plan, .owned = owned};
    int code = gy_kinds_init(&owned->kinds, plan, kinds, &owned->making, NULL, &error);
    gy_assert(code == 0);
    code = gy_kinds_take(&owned->kinds, directive, &error);
    gy_assert(code == 0 || strncmp(error.message, "fuzz:", 5) == 0);
    if (code == 0) {
        const struct gy_plan_block *block = owned->kinds.servers[0]->memory;
        gy_assert(block->limits.line_bytes <= block->limits.head_bytes);
        gy_assert(block->limits.head_bytes <= GY_H1_HEAD_MAX);
        ask(block, rest, length);
    }
    gy_kinds_close(&owned->kinds);
    free(owned);
    free(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct gy_config *config = NULL;
    struct gy_error error = {0};
    /* A copy of exactly its size: reading past it is seen. */
    char *text = malloc(bytes + (bytes == 0));
    gy_assert(text != NULL);
    if (bytes > 0) {
        memcpy(text, data, bytes);
    }
    const char *end = bytes > 0 ? memchr(text, '\0', bytes) : NULL;
    size_t length = end != NULL ? (size_t)(end - text) : bytes;
    if (gy_config_parse(&config, "fuzz", text, length, &error) == 0) {
        const struct gy_config_directive *first = gy_config_first(config);
        if (first != NULL && first->has_block && strcmp(first->key, "http") == 0 &&
            first->value_count <= 1) {
            take(first, end != NULL ? end + 1 : text, end != NULL ? bytes - length - 1 : 0);
        }
        gy_config_free(config);
    }
    free(text);
    return 0;
}
