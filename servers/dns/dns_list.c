/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_list.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/file_check.h"
#include "core/log.h"
#include "servers/dns/dns_kept.h"

#define ZONES_MAX  100000
#define MISSES_MAX 1000
#define SUFFIX     ".zone" /* of the files of a folder that are zones */

static struct gy_dns_list *loaded; /* those that are, the newest first */

/* ---- from the configuration ---- */

int gy_dns_list_add(struct gy_dns_list *list, const char *name, size_t name_bytes, const char *path,
                    const struct gy_config_directive *at, struct gy_error *error)
{
    const char *why = "";
    if (list->count == ZONES_MAX) {
        return gy_error_set(error, GY_ELIMIT, "a server has at most %d zones", ZONES_MAX);
    }
    if (list->count == list->room) {
        uint32_t room = list->room == 0 ? 8 : list->room * 2;
        struct gy_dns_listed *zones = realloc(list->zones, room * sizeof *zones);
        if (zones == NULL) {
            return gy_error_set(error, GY_ENOMEM, "out of memory");
        }
        list->zones = zones;
        list->room = room;
    }
    struct gy_dns_listed *zone = &list->zones[list->count];
    *zone = (struct gy_dns_listed){.at = at, .path = path};
    if (gy_dns_name_from_text(name, name_bytes, NULL, zone->name, &why) < 0) {
        return gy_error_set(error, GY_EINVAL, "%.*s is no name of a zone: %s", (int)name_bytes,
                            name, why);
    }
    gy_dns_name_lower(zone->name, zone->name);
    list->count++;
    return 0;
}

static int take_policy(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    return gy_dns_policy_take(context, directive, error);
}

static const struct gy_config_key zone_keys[] = {
    {"allow-transfer", 1, GY_CONFIG_VALUES_MAX, GY_CONFIG_PLAIN, false, take_policy,
     "192.0.2.0/24... [key NAME]"},
    {"notify", 1, 3, GY_CONFIG_PLAIN, false, take_policy, "ADDRESS [key NAME]"},
};

static const struct gy_config_key secondary_keys[] = {
    {"primary", 1, 3, GY_CONFIG_PLAIN, false, take_policy, "ADDRESS [key NAME]"},
    {"allow-transfer", 1, GY_CONFIG_VALUES_MAX, GY_CONFIG_PLAIN, false, take_policy,
     "192.0.2.0/24... [key NAME]"},
    {"notify", 1, 3, GY_CONFIG_PLAIN, false, take_policy, "ADDRESS [key NAME]"},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* The policy in a directive's block; NULL: it has none. */
static int take_block(struct gy_dns_policy **policy, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    bool secondary = strcmp(directive->key, "secondary") == 0;
    *policy = NULL;
    if (!directive->has_block) {
        return 0;
    }
    struct gy_dns_policy *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return gy_config_error(directive, error, "out of memory");
    }
    int code = gy_config_apply(directive->block, secondary ? secondary_keys : zone_keys,
                               secondary ? COUNT(secondary_keys) : COUNT(zone_keys), made, error);
    if (code != 0) {
        free(made);
        return code;
    }
    *policy = made;
    return 0;
}

static int take_zone(struct gy_dns_list *list, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct gy_error why = {0};
    const char *name = directive->values[0];
    if (gy_dns_list_add(list, name, strlen(name), directive->values[1], directive, &why) != 0) {
        return gy_config_error(directive, error, "%s", why.message);
    }
    struct gy_dns_listed *zone = &list->zones[list->count - 1];
    zone->secondary = strcmp(directive->key, "secondary") == 0;
    int code = take_block(&zone->policy, directive, error);
    zone->own_policy = zone->policy != NULL;
    return code;
}

/* ---- a folder of zones ---- */

static int is_zone_file(const struct dirent *entry)
{
    size_t bytes = strlen(entry->d_name);
    return entry->d_name[0] != '.' && bytes > strlen(SUFFIX) &&
           strcmp(entry->d_name + bytes - strlen(SUFFIX), SUFFIX) == 0;
}

/* One file of a folder: its name is the zone's. */
static int take_file(struct gy_dns_list *list, const struct gy_config_directive *directive,
                     const char *file, struct gy_error *error)
{
    const char *folder = directive->values[0];
    size_t bytes = strlen(folder) + strlen(file) + 2;
    struct gy_error why = {0};
    char *path = malloc(bytes);
    if (path == NULL) {
        return gy_config_error(directive, error, "out of memory");
    }
    snprintf(path, bytes, "%s/%s", folder, file);
    if (gy_dns_list_add(list, file, strlen(file) - strlen(SUFFIX), path, directive, &why) != 0) {
        free(path);
        return gy_config_error(directive, error, "%.200s: %s", file, why.message);
    }
    list->zones[list->count - 1].own_path = path;
    return 0;
}

/* All files of a folder, in the order of their names. */
static int take_folder(struct gy_dns_list *list, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct gy_dns_policy *policy;
    struct dirent **files = NULL;
    uint32_t first = list->count;
    int count = scandir(directive->values[0], &files, is_zone_file, alphasort);
    if (count < 0) {
        char why[GY_FILE_WHY_BYTES];
        return gy_config_error(directive, error, "reading the folder %.200s: %s",
                               directive->values[0],
                               gy_file_why(why, directive->values[0], R_OK, errno));
    }
    int code = take_block(&policy, directive, error);
    for (int i = 0; i < count; i++) {
        code = code == 0 ? take_file(list, directive, files[i]->d_name, error) : code;
        free(files[i]);
    }
    free(files);
    for (uint32_t i = first; i < list->count; i++) {
        list->zones[i].policy = policy;
        list->zones[i].own_policy = policy != NULL && i == first;
    }
    if (list->count == first) {
        free(policy);
    }
    return code;
}

int gy_dns_list_take(struct gy_dns_list *list, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    if (strcmp(directive->key, "key") == 0) {
        return gy_dns_keys_take(&list->keys, directive, error);
    }
    if (strcmp(directive->key, "zones") == 0) {
        return take_folder(list, directive, error);
    }
    if (strcmp(directive->key, "zone") == 0 || strcmp(directive->key, "secondary") == 0) {
        return take_zone(list, directive, error);
    }
    return gy_dns_policy_take(&list->policy, directive, error);
}

int gy_dns_list_settle(struct gy_dns_list *list, struct gy_error *error)
{
    const struct gy_dns_policy *usual = &list->policy;
    int code = gy_dns_policy_settle(&list->policy, &list->keys, error);
    for (uint32_t i = 0; i < list->count && code == 0; i++) {
        const struct gy_dns_listed *zone = &list->zones[i];
        struct gy_dns_policy *policy = zone->policy;
        if (zone->secondary && (policy == NULL || policy->primary_count == 0)) {
            return gy_config_error(zone->at, error,
                                   "it comes from nowhere; write primary ADDRESS; in its block");
        }
        if (policy == NULL || !zone->own_policy) {
            continue;
        }
        code = gy_dns_policy_settle(policy, &list->keys, error);
        if (!policy->rules_given) {
            policy->rule_count = usual->rule_count;
            memcpy(policy->rules, usual->rules, sizeof policy->rules);
        }
        if (!policy->targets_given) {
            policy->target_count = usual->target_count;
            memcpy(policy->targets, usual->targets, sizeof policy->targets);
        }
    }
    return code;
}

static const struct gy_dns_policy *policy_of(const struct gy_dns_list *list,
                                             const struct gy_dns_listed *zone)
{
    return zone->policy != NULL ? zone->policy : &list->policy;
}

uint64_t gy_dns_list_journal(const struct gy_dns_list *list, const struct gy_dns_policy *policy)
{
    return policy->rule_count > 0 ? list->journal_bytes : 0;
}

bool gy_dns_list_needs_keeper(const struct gy_dns_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->zones[i].secondary || policy_of(list, &list->zones[i])->target_count > 0) {
            return true;
        }
    }
    return false;
}

/* ---- zones of files ---- */

/* Says where a zone that cannot be served was asked for. */
static int blame(const struct gy_dns_listed *zone, int code, const char *sentence,
                 struct gy_error *error)
{
    return zone->at != NULL ? gy_config_error(zone->at, error, "%s", sentence)
                            : gy_error_set(error, code, "%s", sentence);
}

static bool same_zone(const struct gy_dns_listed *a, const struct gy_dns_listed *b)
{
    return a->zone != NULL && !a->secondary && strcmp(a->path, b->path) == 0 &&
           gy_dns_name_equal(a->name, b->name);
}

/* Where a zone is looked for first: behind the one that was found before, where it mostly is. */
struct search {
    uint32_t next;
    uint32_t misses; /* whole lists gone through in vain; after MISSES_MAX that is not done again */
};

/* The same zone, as a list that is open has it. */
static const struct gy_dns_zone *find_open(const struct gy_dns_listed *zone, struct search *search)
{
    for (const struct gy_dns_list *list = loaded; list != NULL; list = list->next) {
        uint32_t most = search->misses < MISSES_MAX || list->count == 0 ? list->count : 1;
        for (uint32_t i = 0; i < most; i++) {
            uint32_t at = (search->next + i) % list->count;
            if (same_zone(&list->zones[at], zone)) {
                search->next = at + 1;
                return list->zones[at].zone;
            }
        }
    }
    search->misses++;
    return NULL;
}

static uint32_t serial_of(const struct gy_dns_zone *zone)
{
    struct gy_dns_zone_facts facts;
    gy_dns_zone_facts(zone, &facts);
    return facts.serial;
}

static void tell_read(const struct gy_dns_listed *zone, const struct timespec *before)
{
    struct gy_dns_zone_facts facts;
    struct timespec after;
    char name[GY_DNS_NAME_TEXT_BYTES];
    clock_gettime(CLOCK_MONOTONIC, &after);
    gy_dns_name_to_text(zone->name, name);
    gy_dns_zone_facts(zone->zone, &facts);
    int64_t ms =
        (after.tv_sec - before->tv_sec) * 1000 + (after.tv_nsec - before->tv_nsec) / 1000000;
    gy_log(GY_LOG_INFO, "dns",
           "zone %s serial %u: %llu records of %llu names in %llu bytes, read in %lld ms from %s",
           name, facts.serial, (unsigned long long)facts.records, (unsigned long long)facts.names,
           (unsigned long long)facts.bytes, (long long)ms, zone->path);
}

static int load_zone(const struct gy_dns_list *list, struct gy_dns_listed *zone, uint64_t seed,
                     struct search *search, struct gy_error *error)
{
    struct gy_error why = {0};
    struct timespec before;
    char name[GY_DNS_NAME_TEXT_BYTES];
    const struct gy_dns_zone *old = find_open(zone, search);
    if (old != NULL && gy_dns_zone_unchanged(old)) {
        zone->zone = gy_dns_zone_keep(old);
        return 0;
    }
    clock_gettime(CLOCK_MONOTONIC, &before);
    int code = gy_dns_zone_load(&zone->zone, zone->name, zone->path, seed, &why);
    if (code != 0 && old != NULL) {
        gy_dns_name_to_text(zone->name, name);
        gy_log(GY_LOG_ERROR, "dns", "zone %s stays as it was, with serial %u: %s", name,
               serial_of(old), why.message);
        zone->zone = gy_dns_zone_keep(old);
        return 0;
    }
    if (code != 0) {
        return blame(zone, code, why.message, error);
    }
    zone->changed = old == NULL || serial_of(old) != serial_of(zone->zone);
    if (old != NULL) {
        gy_dns_journal_follow(zone->zone, old, NULL,
                              gy_dns_list_journal(list, policy_of(list, zone)));
    }
    tell_read(zone, &before);
    return 0;
}

int gy_dns_list_load(struct gy_dns_list *list, uint64_t seed, struct gy_error *error)
{
    struct search search = {0};
    int code = 0;
    gy_assert(!list->loaded);
    for (uint32_t i = 0; i < list->count && code == 0; i++) {
        if (!list->zones[i].secondary) {
            code = load_zone(list, &list->zones[i], seed, &search, error);
        }
    }
    list->next = loaded;
    list->loaded = true;
    loaded = list;
    return code;
}

/* ---- what is served ---- */

/* When a secondary zone's file was last known to be right: its modification. */
static bool is_expired(const struct gy_dns_listed *zone, const struct stat *status)
{
    struct gy_dns_zone_facts facts;
    gy_dns_zone_facts(zone->zone, &facts);
    return time(NULL) - status->st_mtim.tv_sec > (time_t)facts.expire;
}

static int load_secondary(const struct gy_dns_list *list, struct gy_dns_listed *zone, uint64_t seed,
                          struct gy_error *error)
{
    struct gy_error why = {0};
    struct timespec before;
    struct stat status;
    clock_gettime(CLOCK_MONOTONIC, &before);
    if (stat(zone->path, &status) == 0) {
        uint64_t journal = gy_dns_list_journal(list, policy_of(list, zone));
        if (gy_dns_kept_load(&zone->zone, zone->name, zone->path, seed, journal, &why) != 0) {
            gy_log(GY_LOG_WARN, "dns", "what was kept is fetched anew: %s", why.message);
        } else if (is_expired(zone, &status)) {
            gy_log(GY_LOG_WARN, "dns", "what was kept in %s is expired", zone->path);
            gy_dns_zone_free(zone->zone);
            zone->zone = NULL;
        } else {
            tell_read(zone, &before);
        }
    }
    if (zone->zone == NULL) {
        zone->zone = gy_dns_zone_absent(zone->name, seed);
    }
    return zone->zone != NULL ? 0 : gy_error_set(error, GY_ENOMEM, "out of memory");
}

int gy_dns_list_prepare(struct gy_dns_list *list, uint64_t seed, struct gy_dns_set **set,
                        struct gy_error *error)
{
    char name[GY_DNS_NAME_TEXT_BYTES];
    *set = gy_dns_set_make(list->count, seed);
    if (*set == NULL || gy_dns_catalog_open(&list->catalog, list->count) != 0) {
        return gy_error_set(error, GY_ENOMEM, "preparing %u zones: out of memory", list->count);
    }
    for (uint32_t i = 0; i < list->count; i++) {
        struct gy_dns_listed *zone = &list->zones[i];
        int code = zone->secondary ? load_secondary(list, zone, seed, error) : 0;
        if (code != 0) {
            return code;
        }
        if (gy_dns_set_add(*set, zone->zone) != 0) {
            char sentence[GY_ERROR_MESSAGE_BYTES];
            gy_dns_name_to_text(zone->name, name);
            snprintf(sentence, sizeof sentence, "the zone %.300s is there twice; leave one out",
                     name);
            return blame(zone, GY_EINVAL, sentence, error);
        }
        gy_dns_zone_keep(zone->zone);
        list->catalog.list[i] = (struct gy_dns_served){
            .name = zone->name, .policy = policy_of(list, zone), .secondary = zone->secondary};
    }
    gy_dns_catalog_sort(&list->catalog);
    return 0;
}

void gy_dns_list_close(struct gy_dns_list *list)
{
    for (struct gy_dns_list **at = &loaded; list->loaded && *at != NULL; at = &(*at)->next) {
        if (*at == list) {
            *at = list->next;
            break;
        }
    }
    for (uint32_t i = 0; i < list->count; i++) {
        gy_dns_zone_free(list->zones[i].zone);
        if (list->zones[i].own_policy) {
            free(list->zones[i].policy);
        }
        free(list->zones[i].own_path);
    }
    free(list->zones);
    list->zones = NULL;
    list->count = 0;
    gy_dns_keys_free(&list->keys);
    gy_dns_catalog_close(&list->catalog);
}
