/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_ZONE_INTERNAL_H
#define GY_SERVERS_DNS_DNS_ZONE_INTERNAL_H

/* Between dns_zone.c (zone files), dns_zone_block.c (memory, owners), dns_journal.c (differences)
 * and dns_zone_save.c. */

#include <sys/stat.h>

#include "servers/dns/dns_zone.h"

/* A file as it was when it was read. */
struct dns_zone_file {
    struct dns_zone_file *next;
    dev_t device;
    ino_t inode;
    off_t bytes;
    struct timespec modified, changed;
    bool recent; /* written to shortly before: more may have come within the same tick */
    char path[];
};

/* The files of a zone being read; freed with it. GY_ENOMEM. */
int dns_zone_files_add(struct dns_zone_file **files, const char *folder, const char *path,
                       const struct stat *status);
void dns_zone_files_free(struct dns_zone_file *files);

/* Memory for a zone of so many bytes, with one owner; NULL: none. Given back by gy_dns_zone_free.
 */
void *dns_zone_block(size_t bytes);

/* The files that a zone in such a block was read from, which it takes over; those of another one;
 * and one more, without which it goes on where there is no memory. */
void dns_zone_set_files(const struct gy_dns_zone *zone, struct dns_zone_file *files);
void dns_zone_move_files(const struct gy_dns_zone *zone, const struct gy_dns_zone *from);
void dns_zone_add_file(const struct gy_dns_zone *zone, const char *path, const struct stat *status);

/* Has the entry of a file in its folder written to the disk. 0 or an errno. */
int dns_zone_sync_folder(const char *path);

/* The differences that led to it, which it takes over; NULL: none. Before other threads see it. */
struct dns_journal;
void dns_zone_set_journal(const struct gy_dns_zone *zone, struct dns_journal *journal);
const struct dns_journal *dns_zone_journal(const struct gy_dns_zone *zone);
void dns_journal_free(struct dns_journal *journal); /* NULL is allowed */

/* What a zone is collected in: gy_dns_zone_settings, whose context is the maker. */
struct gy_dns_zone_maker {
    struct gy_dns_zone_settings settings;
    struct gy_dns_zone_builder *builder;
    struct dns_zone_piece *pieces;
    uint8_t *spare; /* of the newest piece, what is not handed out yet */
    size_t spare_bytes;
    uint64_t bytes, bytes_max; /* 0: any number */
    char name[GY_DNS_NAME_TEXT_BYTES];
};

/* The settings alone, for a builder of the caller's. */
void dns_zone_maker_settings(struct gy_dns_zone_maker *maker, const uint8_t *origin, uint64_t seed,
                             uint64_t bytes_max);
int dns_zone_maker_begin(struct gy_dns_zone_maker *maker, const uint8_t *origin, uint64_t seed,
                         uint64_t bytes_max);
void dns_zone_maker_end(struct gy_dns_zone_maker *maker);

#endif
