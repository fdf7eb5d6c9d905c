/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_zone.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocols/dns/zonefile.h"
#include "servers/dns/dns_zone_internal.h"

#define PATH_BYTES  4096
#define NOT_REGULAR (-1) /* beside errnos */

struct load {
    struct gy_dns_zone_maker maker;
    struct dns_zone_file *files;
    int folder; /* of its file */
    char folder_path[PATH_BYTES];
};

/* ---- files ---- */

/* All of a file. The text is the caller's to free. 0, an errno, or NOT_REGULAR. */
static int read_all(int descriptor, char **text, size_t *bytes, struct stat *at_first)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0) {
        return errno;
    }
    if (!S_ISREG(status.st_mode)) {
        return NOT_REGULAR;
    }
    *at_first = status;
    /* One byte more, so that the read after the last one need not make room. */
    size_t room = (size_t)status.st_size + 1;
    char *read_into = malloc(room);
    size_t used = 0;
    for (;;) {
        if (read_into != NULL && used == room) {
            char *larger = realloc(read_into, room *= 2);
            if (larger == NULL) {
                free(read_into);
            }
            read_into = larger;
        }
        if (read_into == NULL) {
            return ENOMEM;
        }
        ssize_t got = read(descriptor, read_into + used, room - used);
        if (got < 0 && errno != EINTR) {
            int cause = errno;
            free(read_into);
            return cause;
        }
        if (got == 0) {
            break;
        }
        used += got > 0 ? (size_t)got : 0;
    }
    *text = read_into;
    *bytes = used;
    return 0;
}

static const char *cause_text(int cause)
{
    return cause == NOT_REGULAR ? "it is no regular file" : strerror(cause);
}

static int cause_code(int cause)
{
    return cause == NOT_REGULAR ? GY_EINVAL : gy_error_from_errno(cause);
}

/* The same of a file that was just opened as `path` in `folder`, and is noted. */
static int read_text(struct load *load, int descriptor, const char *folder, const char *path,
                     char **text, size_t *bytes)
{
    struct stat status;
    int cause = descriptor < 0 ? errno : read_all(descriptor, text, bytes, &status);
    if (descriptor >= 0) {
        close(descriptor);
    }
    if (cause == 0 && dns_zone_files_add(&load->files, folder, path, &status) != 0) {
        free(*text);
        cause = ENOMEM;
    }
    return cause;
}

static int feed(struct gy_dns_zonefile *file, const char *text, size_t bytes,
                struct gy_error *error)
{
    size_t used = 0;
    int code = gy_dns_zonefile_feed(file, text, bytes, true, &used, error);
    gy_assert(code != 0 || used == bytes);
    return code;
}

static int take_record(void *context, struct gy_dns_zonefile *file,
                       const struct gy_dns_record *record, struct gy_error *error)
{
    struct load *load = context;
    struct gy_error why = {0};
    int code = gy_dns_zone_add(load->maker.builder, record, &why);
    return code == 0
               ? 0
               : gy_dns_zonefile_error(file, error, code, "%s",
                                       why.message[0] != '\0' ? why.message : gy_error_text(code));
}

static int take_include(void *context, struct gy_dns_zonefile *file, const char *name,
                        size_t name_bytes, const uint8_t *origin, struct gy_error *error)
{
    struct load *load = context;
    struct gy_dns_zonefile inner;
    char path[PATH_BYTES];
    char *text = NULL;
    size_t bytes = 0;
    if (name_bytes >= sizeof path || memchr(name, '\0', name_bytes) != NULL) {
        return gy_dns_zonefile_error(file, error, GY_EINVAL, "$INCLUDE: that is no path");
    }
    memcpy(path, name, name_bytes);
    path[name_bytes] = '\0';
    int code = gy_dns_zonefile_include(&inner, file, path, origin, error);
    if (code != 0) {
        return code;
    }
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int descriptor = (int)syscall(SYS_openat2, load->folder, path, &how, sizeof how);
    int cause = read_text(load, descriptor, load->folder_path, path, &text, &bytes);
    if (cause == EXDEV) {
        return gy_dns_zonefile_error(file, error, GY_EREFUSED,
                                     "$INCLUDE %.200s lies outside of the zone file's folder; only "
                                     "what is below it can be included",
                                     path);
    }
    if (cause != 0) {
        return gy_dns_zonefile_error(file, error, cause_code(cause), "$INCLUDE %.200s: %s", path,
                                     cause_text(cause));
    }
    code = feed(&inner, text, bytes, error);
    free(text);
    return code;
}

/* ---- the zone ---- */

static int read_zone(struct load *load, const uint8_t *origin, const char *path,
                     struct gy_error *error)
{
    const struct gy_dns_zonefile_settings reading = {
        .context = load, .record = take_record, .include = take_include};
    struct gy_dns_zonefile file;
    char *text = NULL;
    size_t bytes = 0;
    int cause = read_text(load, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), "", path,
                          &text, &bytes);
    if (cause != 0) {
        return gy_error_set(error, cause_code(cause), "reading the zone %s from %s: %s",
                            load->maker.name, path, cause_text(cause));
    }
    gy_dns_zonefile_init(&file, &reading, path, origin);
    int code = feed(&file, text, bytes, error);
    free(text);
    return code;
}

static int open_folder(struct load *load, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    if (length >= sizeof load->folder_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(load->folder_path, path, length);
    load->folder_path[length] = '\0';
    return open(length > 0 ? load->folder_path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int load_zone(struct load *load, const struct gy_dns_zone **zone, const uint8_t *origin,
                     const char *path, struct gy_error *error)
{
    struct gy_error why = {0};
    int code = read_zone(load, origin, path, error);
    if (code != 0) {
        return code;
    }
    code = gy_dns_zone_maker_finish(&load->maker, zone, &why);
    if (code != 0) {
        return gy_error_set(error, code, "%.200s: %s", path, why.message);
    }
    dns_zone_set_files(*zone, load->files);
    load->files = NULL;
    return 0;
}

int gy_dns_zone_load(const struct gy_dns_zone **zone, const uint8_t *origin, const char *path,
                     uint64_t seed, struct gy_error *error)
{
    char name[GY_DNS_NAME_TEXT_BYTES];
    struct load load = {.files = NULL};
    gy_dns_name_to_text(origin, name);
    load.folder = open_folder(&load, path);
    if (load.folder < 0) {
        return gy_error_set(error, gy_error_from_errno(errno),
                            "reading the zone %s from %s: its folder: %s", name, path,
                            strerror(errno));
    }
    int code = dns_zone_maker_begin(&load.maker, origin, seed, 0);
    if (code != 0) {
        gy_error_set(error, code, "reading the zone %s: out of memory", name);
    } else {
        code = load_zone(&load, zone, origin, path, error);
    }
    close(load.folder);
    dns_zone_maker_end(&load.maker);
    dns_zone_files_free(load.files);
    return code;
}
