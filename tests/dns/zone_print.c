/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Prints the records of a zone file, one a line: for compare.py, and to look at.
 *
 *     zone-print ORIGIN FILE             in presentation format
 *     zone-print --wire ORIGIN FILE      owners in lower case, and data in hexadecimal
 *     zone-print --check ORIGIN FILE     only what is wrong with the zone; exit status 1: it is
 * none
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "tests/dns/rig.h"

static bool wire;

static int record(void *context, struct gy_dns_zonefile *file, const struct gy_dns_record *one,
                  struct gy_error *error)
{
    static char text[GY_DNS_RDATA_TEXT_BYTES + 2048];
    uint8_t lower[GY_DNS_NAME_PADDED];
    char word[GY_DNS_MNEMONIC_BYTES];
    (void)context;
    (void)file;
    (void)error;
    if (!wire) {
        gy_dns_record_to_text(one->owner, one->type, one->class, one->ttl, one->rdata,
                              one->rdata_bytes, text, sizeof text);
        puts(text);
        return 0;
    }
    gy_dns_name_lower(one->owner, lower);
    gy_dns_name_to_text(lower, text);
    printf("%s %u %s ", text, one->ttl, gy_dns_type_text(one->type, word));
    for (uint32_t i = 0; i < one->rdata_bytes; i++) {
        printf("%02X", one->rdata[i]);
    }
    puts("");
    return 0;
}

static char *read_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    size_t room = 1 << 26;
    char *text = malloc(room);
    gy_assert(text != NULL);
    *bytes = fread(text, 1, room, file);
    fclose(file);
    return text;
}

static int check(const char *origin, const char *text, size_t bytes)
{
    static struct rig_zone zone;
    rig_zone_load(&zone, origin, text, bytes, 0);
    for (uint32_t i = 0; i < zone.report_count; i++) {
        puts(zone.reports[i]);
    }
    if (zone.code != 0) {
        puts(zone.error.message);
    }
    rig_zone_free(&zone);
    return zone.code == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct gy_dns_zonefile_settings settings = {.record = record};
    static struct gy_dns_zonefile file;
    struct gy_error error = {0};
    size_t bytes, used;
    const char *mode = argc == 4 ? argv[1] : "";
    wire = strcmp(mode, "--wire") == 0;
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: zone-print [--wire|--check] ORIGIN FILE\n");
        return 2;
    }
    const char *origin = argv[argc - 2];
    char *text = read_file(argv[argc - 1], &bytes);
    int code = 0;
    if (strcmp(mode, "--check") == 0) {
        code = check(origin, text, bytes);
    } else {
        gy_dns_zonefile_init(&file, &settings, argv[argc - 1], rig_name(origin));
        code = gy_dns_zonefile_feed(&file, text, bytes, true, &used, &error);
    }
    free(text);
    if (error.code != 0) {
        fprintf(stderr, "%s\n", error.message);
    }
    return code == 0 ? 0 : 1;
}
