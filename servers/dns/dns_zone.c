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

#include "core/log.h"
#include "protocols/dns/zonefile.h"

#define PATH_BYTES  4096
#define NOT_REGULAR (-1) /* beside errnos */
#define BLOCK_ALIGN 64

/* Memory of the builder. */
struct piece {
    struct piece *next;
    uint64_t unused; /* what is behind it is aligned to 16 */
    uint8_t data[];
};

struct load {
    struct gy_dns_zone_builder *builder;
    struct piece *pieces;
    const char *name; /* of the zone, as text */
    int folder;       /* of its file */
};

/* ---- files ---- */

/* All of a file. The text is the caller's to free. 0, an errno, or NOT_REGULAR. */
static int read_all(int descriptor, char **text, size_t *bytes)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0) {
        return errno;
    }
    if (!S_ISREG(status.st_mode)) {
        return NOT_REGULAR;
    }
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

static int read_text(int descriptor, char **text, size_t *bytes)
{
    int cause = descriptor < 0 ? errno : read_all(descriptor, text, bytes);
    if (descriptor >= 0) {
        close(descriptor);
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
    int code = gy_dns_zone_add(load->builder, record, &why);
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
    int cause =
        read_text((int)syscall(SYS_openat2, load->folder, path, &how, sizeof how), &text, &bytes);
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

static void *take_memory(void *context, size_t bytes)
{
    struct load *load = context;
    struct piece *piece = malloc(sizeof *piece + bytes);
    if (piece == NULL) {
        return NULL;
    }
    piece->next = load->pieces;
    load->pieces = piece;
    return piece->data;
}

static void report(void *context, enum gy_dns_severity severity, const char *text)
{
    const struct load *load = context;
    gy_log(severity == GY_DNS_ERROR ? GY_LOG_ERROR : GY_LOG_WARN, "dns", "zone %s %s", load->name,
           text);
}

/* Everything is collected: the checks, and the zone as it will be served. */
static int write_zone(const struct load *load, const struct gy_dns_zone **zone, const char *path,
                      struct gy_error *error)
{
    struct gy_error why = {0};
    size_t bytes = 0;
    int code = gy_dns_zone_finish(load->builder, &bytes, &why);
    if (code != 0) {
        return gy_error_set(error, code, "%s: the zone %s: %s", path, load->name,
                            why.message[0] != '\0' ? why.message : gy_error_text(code));
    }
    void *memory =
        aligned_alloc(BLOCK_ALIGN, (bytes + BLOCK_ALIGN - 1) & ~(size_t)(BLOCK_ALIGN - 1));
    if (memory == NULL) {
        return gy_error_set(error, GY_ENOMEM,
                            "%s: the zone %s needs %zu bytes, which there are not", path,
                            load->name, bytes);
    }
    *zone = gy_dns_zone_write(load->builder, memory);
    return 0;
}

static int read_zone(struct load *load, const uint8_t *origin, const char *path,
                     struct gy_error *error)
{
    const struct gy_dns_zonefile_settings reading = {
        .context = load, .record = take_record, .include = take_include};
    struct gy_dns_zonefile file;
    char *text = NULL;
    size_t bytes = 0;
    int cause = read_text(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), &text, &bytes);
    if (cause != 0) {
        return gy_error_set(error, cause_code(cause), "reading the zone %s from %s: %s", load->name,
                            path, cause_text(cause));
    }
    gy_dns_zonefile_init(&file, &reading, path, origin);
    int code = feed(&file, text, bytes, error);
    free(text);
    return code;
}

static int open_folder(const char *path)
{
    char folder[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    if (length >= sizeof folder) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(folder, path, length);
    memcpy(folder + length, length > 0 ? "" : ".", length > 0 ? 1 : 2);
    return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int gy_dns_zone_load(const struct gy_dns_zone **zone, const uint8_t *origin, const char *path,
                     uint64_t seed, struct gy_error *error)
{
    char name[GY_DNS_NAME_TEXT_BYTES];
    struct load load = {.name = name, .folder = open_folder(path)};
    struct gy_dns_zone_settings settings = {
        .context = &load, .memory = take_memory, .report = report, .seed = seed};
    gy_dns_name_to_text(origin, name);
    if (load.folder < 0) {
        return gy_error_set(error, gy_error_from_errno(errno),
                            "reading the zone %s from %s: its folder: %s", name, path,
                            strerror(errno));
    }
    int code = GY_ENOMEM;
    load.builder = gy_dns_zone_begin(&settings, origin);
    if (load.builder == NULL) {
        gy_error_set(error, code, "reading the zone %s: out of memory", name);
    } else {
        code = read_zone(&load, origin, path, error);
        code = code == 0 ? write_zone(&load, zone, path, error) : code;
    }
    close(load.folder);
    while (load.pieces != NULL) {
        struct piece *next = load.pieces->next;
        free(load.pieces);
        load.pieces = next;
    }
    return code;
}

void gy_dns_zone_free(const struct gy_dns_zone *zone)
{
    free((void *)(uintptr_t)zone);
}
