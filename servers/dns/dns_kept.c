/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/file_check.h"
#include "core/log.h"
#include "servers/dns/dns_zone_internal.h"

#define PATH_BYTES 4096

static int changes_path(const char *path, char *room)
{
    int length = snprintf(room, PATH_BYTES, "%s%s", path, GY_DNS_KEPT_SUFFIX);
    return length > 0 && length < PATH_BYTES ? 0 : ENAMETOOLONG;
}

int gy_dns_kept_save(const struct gy_dns_zone *zone, const char *path, struct gy_error *error)
{
    char beside[PATH_BYTES], why[GY_FILE_WHY_BYTES];
    int cause = changes_path(path, beside);
    /* They go first: what would be left of them must not follow another zone. */
    if (cause == 0 && unlink(beside) != 0 && errno != ENOENT) {
        cause = errno;
    }
    return cause == 0 ? gy_dns_zone_save(zone, path, error)
                      : gy_error_set(error, gy_error_from_errno(cause),
                                     "removing the differences of the zone in %.200s%s: %s", path,
                                     GY_DNS_KEPT_SUFFIX, gy_file_why(why, path, W_OK, cause));
}

/* ---- appending ---- */

/* In one call, behind what is there; then it is on the disk. */
static int append(int descriptor, const char *text, size_t bytes, const char *folder_of,
                  uint64_t *all)
{
    struct stat status;
    ssize_t wrote = write(descriptor, text, bytes);
    if (wrote < 0) {
        return errno;
    }
    if ((size_t)wrote < bytes) {
        return ENOSPC; /* the rest is no differences to those who read it */
    }
    if (fdatasync(descriptor) != 0 || fstat(descriptor, &status) != 0) {
        return errno;
    }
    *all = (uint64_t)status.st_size;
    return *all == bytes ? dns_zone_sync_folder(folder_of) : 0;
}

int gy_dns_kept_append(const struct gy_dns_changes *changes, const char *path, uint64_t *bytes,
                       struct gy_error *error)
{
    char beside[PATH_BYTES], why[GY_FILE_WHY_BYTES];
    char *text = NULL;
    size_t length = 0;
    int cause = changes_path(path, beside);
    if (cause == 0 && gy_dns_kept_write(changes, &text, &length) != 0) {
        cause = ENOMEM;
    }
    int descriptor = -1;
    if (cause == 0) {
        descriptor = open(beside, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
        cause = descriptor < 0 ? errno : append(descriptor, text, length, path, bytes);
    }
    gy_descriptor_close(descriptor);
    free(text);
    if (cause == 0 && utimensat(AT_FDCWD, path, NULL, 0) != 0) {
        cause = errno;
    }
    return cause == 0 ? 0
                      : gy_error_set(error, gy_error_from_errno(cause),
                                     "keeping the differences of the zone in %.200s: %s", beside,
                                     gy_file_why(why, beside, W_OK, cause));
}

/* ---- loading ---- */

/* All of a file. NULL, with a cause: 0 is that there is none. */
static char *read_all(const char *path, size_t *bytes, struct stat *status, int *cause)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    *cause = 0;
    *bytes = 0;
    if (descriptor < 0) {
        *cause = errno == ENOENT ? 0 : errno;
        return NULL;
    }
    char *text = NULL;
    if (fstat(descriptor, status) != 0) {
        *cause = errno;
    } else if (!S_ISREG(status->st_mode) || (uint64_t)status->st_size > GY_DNS_KEPT_BYTES_MAX) {
        *cause = EFBIG;
    } else {
        text = malloc((size_t)status->st_size + 1);
        *cause = text == NULL ? ENOMEM : 0;
    }
    while (text != NULL && *bytes < (size_t)status->st_size) {
        ssize_t got = read(descriptor, text + *bytes, (size_t)status->st_size - *bytes);
        if (got <= 0 && !(got < 0 && errno == EINTR)) {
            break; /* what is missing is fetched */
        }
        *bytes += got > 0 ? (size_t)got : 0;
    }
    close(descriptor);
    return text;
}

/* The zone as the differences make it; as it is, where they do not. */
static void follow(const struct gy_dns_zone **zone, const char *path, const char *text,
                   size_t bytes, uint64_t journal_bytes)
{
    struct gy_dns_changes changes = {.bytes_max = 0};
    struct gy_dns_zone_facts facts;
    struct gy_error error = {0};
    const struct gy_dns_zone *next = NULL;
    uint32_t skipped = 0;
    gy_dns_zone_facts(*zone, &facts);
    int code = gy_dns_kept_read(text, bytes, facts.apex, facts.serial, &changes, &skipped);
    if (code == 0 && changes.count > 0) {
        code = gy_dns_changes_follow(&changes, *zone, &next, NULL, &error);
    }
    if (code != 0) {
        gy_log(GY_LOG_WARN, "dns", "what was kept in %s is left out: %s", path,
               error.message[0] != '\0' ? error.message : gy_error_text(code));
    } else if (skipped > 0) {
        gy_log(GY_LOG_WARN, "dns", "%u of the differences in %s are left out: cut, or not these",
               skipped, path);
    }
    if (next != NULL) {
        gy_dns_journal_follow(next, *zone, &changes, journal_bytes);
        dns_zone_move_files(next, *zone);
        gy_dns_zone_free(*zone);
        *zone = next;
    }
    gy_dns_changes_close(&changes);
}

int gy_dns_kept_load(const struct gy_dns_zone **zone, const uint8_t *origin, const char *path,
                     uint64_t seed, uint64_t journal_bytes, struct gy_error *error)
{
    char beside[PATH_BYTES];
    struct stat status;
    size_t bytes = 0;
    int code = gy_dns_zone_load(zone, origin, path, seed, error);
    if (code != 0 || changes_path(path, beside) != 0) {
        return code;
    }
    int cause = 0;
    char *text = read_all(beside, &bytes, &status, &cause);
    if (cause != 0) {
        char why[GY_FILE_WHY_BYTES];
        gy_log(GY_LOG_WARN, "dns", "reading %s: %s; what is missing is fetched", beside,
               gy_file_why(why, beside, R_OK, cause));
    } else if (text != NULL) {
        follow(zone, beside, text, bytes, journal_bytes);
        dns_zone_add_file(*zone, beside, &status);
    }
    free(text);
    return 0;
}
