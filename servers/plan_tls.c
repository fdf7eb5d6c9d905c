/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The keys of an `http` block that make it https. */

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
