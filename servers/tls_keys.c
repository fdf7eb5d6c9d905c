/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/tls_keys.h"

#include <string.h>

/* Of the process that makes plans: each of its children resumes the sessions of the others. */
static struct gy_tls_secret ticket_secret;

static int take_client_certificates(struct gy_tls_files *files,
                                    const struct gy_config_directive *directive,
                                    struct gy_error *error)
{
    const char *how = directive->values[0];
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

static int take_switch(struct gy_tls_files *files, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    bool on;
    int code = gy_config_switch(directive, 0, &on, error);
    if (code != 0) {
        return code;
    }
    if (strcmp(directive->key, "early-data") == 0) {
        files->early_bytes = on ? GY_TLS_KEYS_EARLY_BYTES : 0;
    } else {
        files->no_tickets = !on;
    }
    return 0;
}

int gy_tls_keys_take(struct gy_tls_keys *keys, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct gy_error why = {0};
    int code = 0;
    keys->at = directive;
    if (strcmp(directive->key, "certificate") == 0) {
        const char *key = directive->value_count == 2 ? directive->values[1] : NULL;
        code = gy_tls_files_add(&keys->files, directive->values[0], key, &why);
    } else if (strcmp(directive->key, "stapling-file") == 0) {
        code = gy_tls_files_add_staple(&keys->files, directive->values[0], &why);
    } else if (strcmp(directive->key, "client-certificates") == 0) {
        return take_client_certificates(&keys->files, directive, error);
    } else {
        return take_switch(&keys->files, directive, error);
    }
    return code == 0 ? 0 : gy_config_error(directive, error, "%s", why.message);
}

int gy_tls_keys_settle(const struct gy_tls_keys *keys, struct gy_error *error)
{
    if (keys->at == NULL) {
        return 0;
    }
    if (keys->files.early_bytes > 0 && keys->files.no_tickets) {
        return gy_config_error(keys->at, error,
                               "early data comes with a session's ticket, and session-tickets is "
                               "off; leave one of them out");
    }
    if (keys->files.pair_count > 0) {
        return 0;
    }
    return gy_config_error(keys->at, error,
                           "it says how TLS is to be done, and there is none without a "
                           "certificate; write certificate FILE;");
}

int gy_tls_keys_open(struct gy_tls_keys *keys, const char *flag, const char *protocol,
                     struct gy_error *error)
{
    struct gy_error why = {0};
    int code = flag != NULL ? gy_tls_files_add_flag(&keys->files, flag, error) : 0;
    if (code != 0 || keys->files.pair_count == 0) {
        return code;
    }
    code = ticket_secret.epoch == 0 ? gy_tls_secret_make(&ticket_secret, &why) : 0;
    if (code == 0) {
        gy_tls_secret_advance(&ticket_secret);
        keys->files.server = true;
        keys->files.protocols[0] = protocol;
        keys->files.protocol_count = 1;
        code = gy_tls_files_open(&keys->config, &keys->files, &ticket_secret, &why);
    }
    if (code != 0) {
        return keys->at != NULL ? gy_config_error(keys->at, error, "%s", why.message)
                                : gy_error_set(error, code, "--tls: %s", why.message);
    }
    return 0;
}

void gy_tls_keys_close(struct gy_tls_keys *keys)
{
    gy_tls_config_close(keys->config);
    keys->config = NULL;
    gy_tls_files_close(&keys->files);
}
