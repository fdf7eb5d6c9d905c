/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The keys of an `http` block that make it https. */

#include "core/log.h"
#include "servers/plan_internal.h"

int gy_plan_take_tls(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct gy_plan_block *block = ((struct gy_plan_making *)context)->block;
    return gy_tls_keys_take(&block->tls, directive, error);
}

int gy_plan_open_tls(struct gy_plan_block *block, const char *flag, struct gy_error *error)
{
    int code = gy_tls_keys_open(&block->tls, flag, "http/1.1", error);
    if (code == 0 && block->tls.config != NULL) {
        block->http.layer = &gy_tls_layer;
        block->http.layer_context = block->tls.config;
        block->http.early_data = block->tls.files.early_bytes > 0;
    }
    return code;
}

static void tell_unnamed(const struct gy_plan_block *block, const struct gy_host_name *name)
{
    const struct gy_config_directive *at = block->hosts[name->host]->at;
    gy_assert(name->host < block->host_count && at != NULL);
    if (!name->pattern && !gy_tls_config_names(block->tls.config, name->text)) {
        gy_log(
            GY_LOG_WARN, "http",
            "%s:%u: host: no certificate of %s is for %s: its clients are shown another one, and "
            "refuse it",
            at->file, at->line, block->setup->name, name->text);
    }
}

void gy_plan_tell_unnamed_hosts(const struct gy_plan_block *block)
{
    const struct gy_host_names *names = &block->vhosts.names;
    for (uint32_t i = 0; block->tls.config != NULL && i < names->bucket_count; i++) {
        for (const struct gy_host_name *name = names->buckets[i]; name != NULL; name = name->next) {
            tell_unnamed(block, name);
        }
    }
}
