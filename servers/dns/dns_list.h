/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_LIST_H
#define GY_SERVERS_DNS_DNS_LIST_H

/*
 * The zones of a `dns` block, from the configuration to what is served.
 *
 * Zones of files are read by the process that keeps the sockets, before it forks the one that
 * serves: so a reload reads only what has changed (size, inode or times of a zone's file or of one
 * that it includes), both processes share the rest, and one that died is replaced without reading
 * anything. A zone that was served and is wrong now stays as it was, and it is said why. The files
 * of secondary zones, whose content came over the network, are read by the process that serves.
 */

#include "dns_served.h"

struct gy_dns_listed {
    const struct gy_config_directive *at; /* NULL: of the command line */
    const char *path;
    const struct gy_dns_zone *zone; /* one of its owners; NULL: not read yet */
    struct gy_dns_policy *policy;   /* its own, or that of its folder; NULL: the list's */
    char *own_path;                 /* to be freed; NULL: `path` is the configuration's */
    bool own_policy;                /* it frees it */
    bool secondary;
    bool changed; /* its serial is not that of the process before */
    uint8_t name[GY_DNS_NAME_PADDED];
};

struct gy_dns_list {
    struct gy_dns_listed *zones;
    uint32_t count, room;
    struct gy_dns_policy policy; /* of those without one */
    uint64_t journal_bytes;      /* of differences kept with a zone at most */
    struct gy_dns_keys keys;
    struct gy_dns_catalog catalog;
    struct gy_dns_list *next; /* of those that were loaded and are not closed */
    bool loaded;
};

/* Adds a zone. 0, or a GY_E… code and why. */
int gy_dns_list_add(struct gy_dns_list *list, const char *name, size_t name_bytes, const char *path,
                    const struct gy_config_directive *at, struct gy_error *error);

/* Takes `zone`, `zones`, `secondary`, `key`, `allow-transfer` or `notify` in. `zones` reads the
 * folder that it names. */
int gy_dns_list_take(struct gy_dns_list *list, const struct gy_config_directive *directive,
                     struct gy_error *error);

/* All is read: do the keys that are named exist, has each secondary a primary? */
int gy_dns_list_settle(struct gy_dns_list *list, struct gy_error *error);

/* What is kept of a zone's differences (dns_changes.h) in bytes; 0: nobody may ask for them. */
uint64_t gy_dns_list_journal(const struct gy_dns_list *list, const struct gy_dns_policy *policy);

/* Reads the zones of files, or takes them over from a list that is open. The seed is that of all
 * lists of the process (zone.h). 0, or a GY_E… code with a sentence: a zone that was not served
 * before is wrong. */
int gy_dns_list_load(struct gy_dns_list *list, uint64_t seed, struct gy_error *error);

/* Reads the kept files of secondary zones, and makes the catalog and the first set. 0, or
 * GY_ENOMEM, GY_EINVAL (a zone is there twice) with a sentence. */
int gy_dns_list_prepare(struct gy_dns_list *list, uint64_t seed, struct gy_dns_set **set,
                        struct gy_error *error);

/* Whether something is to be done for the zones besides answering. */
bool gy_dns_list_needs_keeper(const struct gy_dns_list *list);

void gy_dns_list_close(struct gy_dns_list *list);

#endif
