/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The keys of an `http` block that make it https. */

#include <stdlib.h>
#include <string.h>

#include "servers/plan_internal.h"

/* Of the process that makes plans: each of its children resumes the sessions of the others. */
static struct gy_tls_secret ticket_secret;

int gy_plan_take_certificate(void *context, const struct gy_config_directive *directive,
                             struct gy_error *error)
{
    struct gy_plan_block *block = ((struct gy_plan_making *)context)->block;
    struct gy_error why = {0};
    const char *key = directive->value_count == 2 ? directive->values[1] : NULL;
    block->tls_at = directive;
    if (gy_tls_files_add(&block->tls_files, directive->values[0], key, &why) != 0) {
        return gy_config_error(directive, error, "%s", why.message);
    }
    return 0;
}

int gy_plan_take_client_certificates(void *context, const struct gy_config_directive *directive,
                                     struct gy_error *error)
{
    struct gy_plan_block *block = ((struct gy_plan_making *)context)->block;
    struct gy_tls_files *files = &block->tls_files;
    const char *how = directive->values[0];
    block->tls_at = directive;
    if (strcmp(how, "required") != 0 && strcmp(how, "optional") != 0) {
        return gy_config_error(directive, error,
                               "%.64s: write required or optional, and the file with the "
                               "authorities that sign them",
                               how);
    }
    files->verify = how[0] == 'r' ? GY_TLS_VERIFY_REQUIRED : GY_TLS_VERIFY_OPTIONAL;
    files->authorities = strdup(directive->values[1]);
    return files->authorities != NULL ? 0 : gy_config_error(directive, error, "out of memory");
}

int gy_plan_take_tickets(void *context, const struct gy_config_directive *directive,
                         struct gy_error *error)
{
    struct gy_plan_block *block = ((struct gy_plan_making *)context)->block;
    bool on;
    block->tls_at = directive;
    int code = gy_config_switch(directive, 0, &on, error);
    block->tls_files.no_tickets = code == 0 && !on;
    return code;
}

int gy_plan_settle_tls(const struct gy_plan_block *block, struct gy_error *error)
{
    if (block->tls_at == NULL || block->tls_files.pair_count > 0) {
        return 0;
    }
    return gy_config_error(block->tls_at, error,
                           "it says how TLS is to be done, and there is none without a "
                           "certificate; write certificate FILE;");
}

int gy_plan_open_tls(struct gy_plan_block *block, const char *flag, struct gy_error *error)
{
    struct gy_error why = {0};
    /* --tls FILE[,KEY]: of the server that the command line describes. */
    int code = flag != NULL ? gy_tls_files_add_flag(&block->tls_files, flag, error) : 0;
    if (code != 0 || block->tls_files.pair_count == 0) {
        return code;
    }
    code = ticket_secret.epoch == 0 ? gy_tls_secret_make(&ticket_secret, &why) : 0;
    if (code == 0) {
        gy_tls_secret_advance(&ticket_secret);
        block->tls_files.server = true;
        block->tls_files.protocols[0] = "http/1.1";
        block->tls_files.protocol_count = 1;
        code = gy_tls_files_open(&block->tls, &block->tls_files, &ticket_secret, &why);
    }
    if (code != 0) {
        return block->tls_at != NULL ? gy_config_error(block->tls_at, error, "%s", why.message)
                                     : gy_error_set(error, code, "--tls: %s", why.message);
    }
    block->http.layer = &gy_tls_layer;
    block->http.layer_context = block->tls;
    return 0;
}

void gy_plan_free_tls(struct gy_plan_block *block)
{
    gy_tls_config_close(block->tls);
    block->tls = NULL;
    gy_tls_files_close(&block->tls_files);
}
