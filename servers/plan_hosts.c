/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Hosts of an `http` block: their keys, what they inherit, and what they serve. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/address.h"
#include "servers/http/file_path.h"
#include "servers/plan_internal.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Of a chain of redirects in an error. */
#define CHAIN_BYTES 256

/* ---- hosts ---- */

struct gy_plan_host *gy_plan_host_add(struct gy_plan_block *block, const char *name)
{
    struct gy_vhost *vhost = gy_vhosts_add(&block->vhosts, name);
    struct gy_plan_host *host = vhost != NULL ? calloc(1, sizeof *host) : NULL;
    if (host != NULL) {
        host->vhost = vhost;
        block->hosts[block->host_count++] = host;
        gy_assert(block->host_count == block->vhosts.count);
    }
    return host;
}

void gy_plan_host_free(struct gy_plan_host *host)
{
    if (host->files_open) {
        gy_files_close(&host->files);
    }
    for (uint32_t i = 0; i < GY_FILES_ERROR_PAGES_MAX; i++) {
        free(host->error_keys[i]);
    }
    gy_plan_free_websockets(host);
    free(host);
}

static int add_name(struct gy_plan_block *block, const struct gy_config_directive *directive,
                    const char *name, struct gy_error *error)
{
    struct gy_error why = {0};
    uint32_t other = 0;
    if (gy_host_name_check(name, &why) != 0) {
        return gy_config_error(directive, error, "%s", why.message);
    }
    switch (gy_host_names_add(&block->vhosts.names, name, block->host_count - 1, &other)) {
    case 0:
        return 0;
    case GY_ESTATE: {
        const struct gy_config_directive *there = block->hosts[other]->at;
        return gy_config_error(
            directive, error, "%.64s is a name of the host at %s:%u already; a name is of one host",
            name, there->file, there->line);
    }
    case GY_ELIMIT:
        return gy_config_error(directive, error, "a server has at most %d names of hosts",
                               GY_HOST_NAMES_MAX);
    default:
        return gy_config_error(directive, error, "out of memory");
    }
}

static const struct gy_config_key host_keys[] = {GY_PLAN_HOST_KEYS};

int gy_plan_take_host(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct gy_plan_making *making = context;
    struct gy_plan_block *block = making->block;
    struct gy_plan_host *host = gy_plan_host_add(block, directive->values[0]);
    if (host == NULL) {
        return gy_config_error(directive, error,
                               "a server has at most %d hosts, and memory for them",
                               GY_VHOSTS_MAX - 1);
    }
    host->at = directive;
    int code = 0;
    for (uint32_t i = 0; i < directive->value_count && code == 0; i++) {
        code = add_name(block, directive, directive->values[i], error);
    }
    making->host = host;
    making->rules = &host->headers;
    code = code == 0 ? gy_config_apply(directive->block, host_keys, COUNT(host_keys), making, error)
                     : code;
    making->host = block->hosts[0];
    making->rules = &making->host->headers;
    return code;
}

int gy_plan_take_unknown_host(void *context, const struct gy_config_directive *directive,
                              struct gy_error *error)
{
    struct gy_plan_block *block = ((struct gy_plan_making *)context)->block;
    const char *status = directive->values[0];
    if (strcmp(status, "404") != 0 && strcmp(status, "421") != 0) {
        return gy_config_error(directive, error,
                               "%.64s is neither 404 (not found) nor 421 (misdirected); for files, "
                               "write root DIR; for another host, redirect / URL;",
                               status);
    }
    block->unknown_host = directive;
    return 0;
}

/* ---- keys ---- */

static int take_switch(struct gy_plan_host *host, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    bool on;
    int code = gy_config_switch(directive, 0, &on, error);
    if (code != 0) {
        return code;
    }
    if (strcmp(directive->key, "fixed") == 0) {
        host->fixed = on;
    } else if (strcmp(directive->key, "listing") == 0) {
        host->options.no_listing = !on;
        host->listing_given = true;
    } else if (strcmp(directive->key, "sendfile") == 0) {
        host->options.no_sendfile = !on;
        host->sendfile_given = true;
    } else {
        host->options.no_precompressed = !on;
        host->precompressed_given = true;
    }
    return 0;
}

static int take_cache(struct gy_plan_host *host, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    if (gy_plan_read_cache(directive->values[0], &host->options.cache_bytes, NULL) != 0) {
        return gy_config_error(directive, error, "%s is not a number of mebibytes from 1 to %u",
                               directive->values[0], GY_PLAN_CACHE_MIB_MAX);
    }
    return 0;
}

static int take_redirect(struct gy_plan_host *host, const struct gy_config_directive *directive,
                         struct gy_error *error)
{
    struct gy_error why = {0};
    if (gy_redirects_add(&host->vhost->redirects, directive->values, directive->value_count,
                         directive, &why) != 0) {
        return gy_config_error(directive, error, "%s", why.message);
    }
    return 0;
}

static int take_header(struct gy_plan_making *making, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct gy_error why = {0};
    if (strcasecmp(directive->values[0], "-Server") == 0 && directive->value_count == 1) {
        if (making->rules != &making->block->hosts[0]->headers) {
            return gy_config_error(
                directive, error,
                "Server is left out for all hosts or none; write header -Server; "
                "in the http block itself");
        }
        making->block->http.name = "";
        return 0;
    }
    if (gy_header_rules_add(making->rules, directive->values, directive->value_count, &why) != 0) {
        return gy_config_error(directive, error, "%s", why.message);
    }
    return 0;
}

static int take_error_page(struct gy_plan_host *host, const struct gy_config_directive *directive,
                           struct gy_error *error)
{
    struct gy_files_options *options = &host->options;
    struct gy_file_path path;
    const char *target = directive->values[directive->value_count - 1];
    if (gy_file_path_read(&path, gy_http_text_of(target)) != GY_FILE_PATH_OK || path.slash ||
        strchr(target, '?') != NULL) {
        return gy_config_error(directive, error,
                               "%.64s is no path of a page below root; write one like /404.html",
                               target);
    }
    for (uint32_t i = 0; i + 1 < directive->value_count; i++) {
        uint64_t status;
        int code = gy_config_number(directive, i, 400, 599, &status, error);
        if (code != 0) {
            return code;
        }
        for (uint32_t p = 0; p < options->error_page_count; p++) {
            if (options->error_pages[p].status == status) {
                return gy_config_error(directive, error, "%u has a page already; leave one out",
                                       (unsigned)status);
            }
        }
        if (options->error_page_count == GY_FILES_ERROR_PAGES_MAX) {
            return gy_config_error(directive, error, "there can be %d pages at most",
                                   GY_FILES_ERROR_PAGES_MAX);
        }
        char *key = strdup(path.key);
        if (key == NULL) {
            return gy_config_error(directive, error, "out of memory");
        }
        host->error_keys[options->error_page_count] = key;
        options->error_pages[options->error_page_count++] =
            (struct gy_files_error_page){(uint16_t)status, key, path.length};
    }
    return 0;
}

int gy_plan_take_host_key(void *context, const struct gy_config_directive *directive,
                          struct gy_error *error)
{
    struct gy_plan_making *making = context;
    struct gy_plan_host *host = making->host;
    const char *key = directive->key;
    if (strcmp(key, "root") == 0) {
        host->options.directory = directive->values[0];
        return 0;
    }
    return strcmp(key, "cache") == 0        ? take_cache(host, directive, error)
           : strcmp(key, "redirect") == 0   ? take_redirect(host, directive, error)
           : strcmp(key, "error-page") == 0 ? take_error_page(host, directive, error)
           : strcmp(key, "header") == 0     ? take_header(making, directive, error)
                                            : take_switch(host, directive, error);
}

int gy_plan_take_compress(void *context, const struct gy_config_directive *directive,
                          struct gy_error *error)
{
    struct gy_plan_making *making = context;
    return gy_compress_take(&making->host->options.compress, directive, error);
}

int gy_plan_take_path(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    static const struct gy_config_key keys[] = {
        {"header", 1, 3, GY_CONFIG_PLAIN, false, gy_plan_take_host_key, "NAME VALUE [always]"},
    };
    struct gy_plan_making *making = context;
    struct gy_vhost *vhost = making->host->vhost;
    const char *path = directive->values[0];
    if (path[0] != '/' || strlen(path) >= GY_FILE_KEY_BYTES || strpbrk(path, "%?#*") != NULL) {
        return gy_config_error(directive, error,
                               "%.64s is no path; write /assets/ for all below it, or /page.html "
                               "for one, as it is decoded",
                               path);
    }
    for (uint32_t i = 0; i < vhost->path_count; i++) {
        const struct gy_config_directive *there = vhost->paths[i]->at;
        if (strcmp(vhost->paths[i]->path, path) == 0) {
            return gy_config_error(directive, error,
                                   "%.64s has a block already, at %s:%u; join them", path,
                                   there->file, there->line);
        }
    }
    struct gy_vhost_path *made = calloc(1, sizeof *made);
    if (made == NULL || vhost->path_count == GY_VHOST_PATHS_MAX) {
        free(made);
        return gy_config_error(directive, error, "a host has at most %d paths, and memory for them",
                               GY_VHOST_PATHS_MAX);
    }
    made->path = path;
    made->at = directive;
    made->length = (uint32_t)strlen(path);
    vhost->paths[vhost->path_count++] = made;
    making->rules = &made->headers;
    int code = gy_config_apply(directive->block, keys, COUNT(keys), making, error);
    making->rules = &making->host->headers;
    return code;
}

/* ---- inheriting ---- */

static int join(struct gy_header_rules *rules, const struct gy_header_rules *from,
                const struct gy_config_directive *at, struct gy_error *error)
{
    struct gy_error why = {0};
    return gy_header_rules_join(rules, from, &why) == 0
               ? 0
               : gy_config_error(at, error, "%s", why.message);
}

/* The http block's rules, then the host's, then the path's. */
static int inherit_headers(const struct gy_plan_block *block, struct gy_plan_host *host,
                           struct gy_error *error)
{
    struct gy_vhost *vhost = host->vhost;
    const struct gy_plan_host *all = block->hosts[0];
    int code = join(&vhost->headers, &all->headers, host->at, error);
    if (code == 0 && host != all) {
        code = join(&vhost->headers, &host->headers, host->at, error);
    }
    for (uint32_t i = 0; i < vhost->path_count && code == 0; i++) {
        struct gy_vhost_path *path = vhost->paths[i];
        struct gy_header_rules joined = vhost->headers;
        code = join(&joined, &path->headers, path->at, error);
        path->headers = joined;
    }
    return code;
}

static void inherit_files(const struct gy_plan_block *block, struct gy_plan_host *host)
{
    const struct gy_files_options *from = &block->hosts[0]->options;
    struct gy_files_options *options = &host->options;
    if (!host->listing_given) {
        options->no_listing = from->no_listing;
    }
    if (!host->precompressed_given) {
        options->no_precompressed = from->no_precompressed;
    }
    if (!host->sendfile_given) {
        options->no_sendfile = from->no_sendfile;
    }
    options->cache_bytes = options->cache_bytes != 0 ? options->cache_bytes : from->cache_bytes;
    gy_compress_options_inherit(&options->compress, &from->compress);
    for (uint32_t i = 0; options->directory != NULL && i < from->error_page_count; i++) {
        bool own = options->error_page_count == GY_FILES_ERROR_PAGES_MAX;
        for (uint32_t p = 0; p < options->error_page_count; p++) {
            own = own || options->error_pages[p].status == from->error_pages[i].status;
        }
        if (!own) {
            options->error_pages[options->error_page_count++] = from->error_pages[i];
        }
    }
}

/* Whether the rules say that nobody is to change the form of what is sent. */
static bool forbid_codings(const struct gy_header_rules *rules)
{
    static const struct gy_http_text name = {"Cache-Control", 13};
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct gy_header_rule *rule = &rules->list[i];
        bool same = rule->header.name.length == name.length &&
                    strncasecmp(rule->header.name.data, name.data, name.length) == 0;
        if (same && gy_compress_is_forbidden(rule->header.value)) {
            return true;
        }
    }
    return false;
}

/* `Cache-Control: no-transform` is for us, too (RFC 9111 §5.2.2.6). */
static void spare_from_codings(struct gy_plan_host *host)
{
    struct gy_compress_options *compress = &host->options.compress;
    const struct gy_vhost *vhost = host->vhost;
    compress->off = compress->off || forbid_codings(&vhost->headers);
    for (uint32_t i = 0; i < vhost->path_count && !compress->off; i++) {
        if (!forbid_codings(&vhost->paths[i]->headers)) {
            continue;
        }
        if (compress->spared_count == GY_COMPRESS_SPARED_MAX) {
            compress->off = true;
        } else {
            compress->spared[compress->spared_count++] = vhost->paths[i]->path;
        }
    }
}

/* ---- circles ---- */

static bool listens_on(const struct gy_plan_block *block, unsigned long port)
{
    for (uint32_t i = 0; i < block->setup->address_count; i++) {
        struct gy_address address;
        if (gy_address_parse(&address, block->setup->addresses[i], NULL) == 0 &&
            gy_address_port(&address) == port) {
            return true;
        }
    }
    return false;
}

static const struct gy_redirects *follow(void *context, const char *to, const char **path)
{
    const struct gy_plan_block *block = context;
    if (strncmp(to, "http://", 7) != 0) {
        return NULL;
    }
    struct gy_http_text authority = {to + 7, strcspn(to + 7, "/?#")};
    struct gy_http_text name = gy_host_name_of(authority);
    const char *colon = memchr(authority.data + name.length, ':', authority.length - name.length);
    if (!listens_on(block, colon != NULL ? strtoul(colon + 1, NULL, 10) : 80)) {
        return NULL;
    }
    uint32_t number = gy_host_names_find(&block->vhosts.names, authority);
    *path = authority.data + authority.length;
    return number != GY_HOST_NONE ? &block->hosts[number]->vhost->redirects : NULL;
}

static int settle_redirects(const struct gy_plan_block *block, struct gy_error *error)
{
    for (uint32_t i = 0; i < block->host_count; i++) {
        const struct gy_redirect *other = NULL;
        const struct gy_redirect *twice =
            gy_redirects_sort(&block->hosts[i]->vhost->redirects, &other);
        if (twice != NULL) {
            const struct gy_config_directive *a = twice->at, *b = other->at;
            bool later = a->file == b->file && a->line < b->line;
            return gy_config_error(later ? b : a, error,
                                   "%.64s is redirected already, at %s:%u; leave one out",
                                   twice->from, (later ? a : b)->file, (later ? a : b)->line);
        }
    }
    struct gy_redirect_map map = {follow, (void *)(uintptr_t)block};
    for (uint32_t i = 0; i < block->host_count; i++) {
        char chain[CHAIN_BYTES];
        const struct gy_redirect *round =
            gy_redirects_circle(&block->hosts[i]->vhost->redirects, &map, chain, sizeof chain);
        if (round != NULL) {
            return gy_config_error(round->at, error,
                                   "it leads in a circle, or over more than %d redirects: %s",
                                   GY_REDIRECT_HOPS_MAX, chain);
        }
    }
    return 0;
}

/* ---- together ---- */

static int check_host(const struct gy_plan_block *block, const struct gy_plan_host *host,
                      struct gy_error *error)
{
    bool serves = host->options.directory != NULL || host->fixed;
    if (host->options.directory == NULL && host->error_keys[0] != NULL &&
        (host != block->hosts[0] || block->host_count == 1)) {
        return gy_config_error(host->at, error,
                               "its error-page is a file below root, and there is no root; write "
                               "root DIR;");
    }
    if (host == block->hosts[0] && block->unknown_host != NULL && serves) {
        return gy_config_error(
            block->unknown_host, error,
            "root (or fixed) says already what unknown hosts get; leave one out");
    }
    if (host != block->hosts[0] && !serves && host->vhost->redirects.count == 0 &&
        host->vhost->socket_count == 0) {
        return gy_config_error(host->at, error,
                               "there is nothing to serve; write root DIR; or redirect / URL; in "
                               "its block");
    }
    return 0;
}

int gy_plan_settle_hosts(struct gy_plan_block *block, struct gy_error *error)
{
    if (block->unknown_host != NULL && block->host_count == 1) {
        return gy_config_error(block->unknown_host, error,
                               "no host is known; write host NAME { root DIR; }, or leave it out");
    }
    int code = 0;
    for (uint32_t i = 0; i < block->host_count && code == 0; i++) {
        code = check_host(block, block->hosts[i], error);
        if (code == 0 && i > 0) {
            inherit_files(block, block->hosts[i]);
        }
        code = code == 0 ? inherit_headers(block, block->hosts[i], error) : code;
        if (code == 0) {
            spare_from_codings(block->hosts[i]);
        }
    }
    return code == 0 ? settle_redirects(block, error) : code;
}

/* ---- opening ---- */

/* One fixed answer, files, or nothing: then the built-in site, where there are no other hosts. */
static int open_host(struct gy_plan_block *block, struct gy_plan_host *host, bool fixed,
                     struct gy_error *error)
{
    struct gy_http_service *service = &host->vhost->service;
    const char *directory = host->options.directory;
    struct gy_error why = {0};
    if (fixed && directory != NULL) {
        gy_error_set(&why, GY_EINVAL, "a fixed answer needs no files; leave %s away", directory);
        return host->at != NULL ? gy_config_error(host->at, error, "%s", why.message)
                                : gy_error_set(error, GY_EINVAL, "--fixed: %s", why.message);
    }
    if (fixed) {
        service->handler = &gy_plan_fixed_handler;
    } else if (directory != NULL) {
        int code = gy_files_open(&host->files, &host->options, &why);
        if (code != 0) {
            return host->at != NULL ? gy_config_error(host->at, error, "%s", why.message)
                                    : gy_error_set(error, code, "%s", why.message);
        }
        host->files_open = true;
        *service = gy_files_service(&host->files);
    } else if (block->host_count == 1) {
        service->handler = &gy_site_handler;
        service->context = &block->site;
    } else if (host == block->hosts[0]) {
        bool not_found =
            block->unknown_host != NULL && strcmp(block->unknown_host->values[0], "404") == 0;
        host->vhost->missing = not_found ? 404 : 421;
    }
    return 0;
}

int gy_plan_open_hosts(struct gy_plan_block *block, const struct gy_plan_flags *flags,
                       uint32_t workers, struct gy_error *error)
{
    for (uint32_t i = 0; i < block->host_count; i++) {
        struct gy_plan_host *host = block->hosts[i];
        int code = open_host(block, host, host->fixed || (i == 0 && flags->fixed), error);
        if (code != 0) {
            return code;
        }
    }
    const struct gy_vhost *first = block->hosts[0]->vhost;
    if (block->host_count > 1 || first->redirects.count > 0 || first->headers.count > 0 ||
        first->path_count > 0 || first->socket_count > 0 || block->visits.interval_ns > 0) {
        return gy_vhosts_serve(&block->vhosts, &block->http, workers) == 0
                   ? 0
                   : gy_error_set(error, GY_ENOMEM, "preparing %s: out of memory",
                                  block->setup->name);
    }
    block->http.handler = first->service.handler;
    block->http.context = first->service.context;
    block->http.worker_open = first->service.worker_open;
    block->http.worker_close = first->service.worker_close;
    return 0;
}
