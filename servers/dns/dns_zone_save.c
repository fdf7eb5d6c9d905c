/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A zone into a file, so that a restart can serve it at once. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/file_check.h"
#include "protocols/dns/rdata.h"
#include "servers/dns/dns_zone_internal.h"

#define PATH_BYTES   4096
#define BUFFER_BYTES ((size_t)1 << 20)
#define LINE_BYTES   (GY_DNS_RDATA_TEXT_BYTES + GY_DNS_NAME_TEXT_BYTES + 64)

struct saving {
    struct gy_dns_zone_walk walk;
    int descriptor;
    size_t used;
    char text[BUFFER_BYTES + LINE_BYTES];
};

static int flush(struct saving *saving)
{
    size_t done = 0;
    while (done < saving->used) {
        ssize_t wrote = write(saving->descriptor, saving->text + done, saving->used - done);
        if (wrote < 0 && errno != EINTR) {
            return errno;
        }
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    saving->used = 0;
    return 0;
}

/* All records. 0 or an errno. */
static int write_records(struct saving *saving, const struct gy_dns_zone *zone)
{
    struct gy_dns_record record;
    int cause = 0;
    gy_dns_zone_walk(&saving->walk, zone);
    while (cause == 0 && gy_dns_zone_walk_next(&saving->walk, &record)) {
        int length =
            gy_dns_record_to_text(record.owner, record.type, record.class, record.ttl, record.rdata,
                                  record.rdata_bytes, saving->text + saving->used, LINE_BYTES - 1);
        gy_assert(length > 0);
        saving->used += (size_t)length;
        saving->text[saving->used++] = '\n';
        if (saving->used >= BUFFER_BYTES) {
            cause = flush(saving);
        }
    }
    return cause == 0 ? flush(saving) : cause;
}

int dns_zone_sync_folder(const char *path)
{
    char folder[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - path) + 1 : 1,
             slash != NULL ? path : ".");
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int cause = descriptor < 0 || fsync(descriptor) != 0 ? errno : 0;
    gy_descriptor_close(descriptor);
    return cause;
}

int gy_dns_zone_save(const struct gy_dns_zone *zone, const char *path, struct gy_error *error)
{
    char beside[PATH_BYTES], why[GY_FILE_WHY_BYTES];
    int length = snprintf(beside, sizeof beside, "%s.%ld.new", path, (long)getpid());
    struct saving *saving = malloc(sizeof *saving);
    if (saving == NULL || length < 0 || (size_t)length >= sizeof beside) {
        free(saving);
        return gy_error_set(error, GY_ENOMEM, "keeping the zone in %s: no memory, or too long",
                            path);
    }
    saving->used = 0;
    saving->descriptor = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    int cause = saving->descriptor < 0 ? errno : write_records(saving, zone);
    cause = cause == 0 && fsync(saving->descriptor) != 0 ? errno : cause;
    gy_descriptor_close(saving->descriptor);
    cause = cause == 0 && rename(beside, path) != 0 ? errno : cause;
    if (cause != 0 && saving->descriptor >= 0) {
        unlink(beside);
    }
    free(saving);
    cause = cause == 0 ? dns_zone_sync_folder(path) : cause;
    return cause == 0
               ? 0
               : gy_error_set(error, gy_error_from_errno(cause), "keeping the zone in %.200s: %s",
                              path, gy_file_why(why, beside, W_OK, cause));
}
