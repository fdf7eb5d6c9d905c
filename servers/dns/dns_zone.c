/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_zone.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/file_check.h"
#include "protocols/dns/zonefile.h"
#include "servers/dns/dns_zone_internal.h"

#define PATH_BYTES  4096
#define READ_BYTES  ((size_t)256 << 10)
#define NOT_REGULAR (-1) /* beside errnos */

struct load {
    struct gy_dns_zone_maker maker;
    struct dns_zone_file *files;
    const struct gy_dns_zonefile *file; /* being read; NULL: none */
    const char *file_path;              /* its own, as long as `files` */
    uint64_t file_bytes;
    int folder; /* of its file */
    char folder_path[PATH_BYTES];
};

/* ---- files ---- */

/* A file that is read piece by piece. */
struct reading {
    int descriptor;
    char *text;
    size_t room, used;
    bool ended;
    int cause; /* why it could not be read: an errno, or NOT_REGULAR */
};

static int start_reading(struct reading *reading, int descriptor, struct stat *status)
{
    *reading = (struct reading){.descriptor = descriptor};
    if (descriptor < 0 || fstat(descriptor, status) != 0) {
        return errno;
    }
    if (!S_ISREG(status->st_mode)) {
        return NOT_REGULAR;
    }
    reading->room = READ_BYTES;
    reading->text = malloc(reading->room);
    return reading->text != NULL ? 0 : ENOMEM;
}

/* More of it behind what is left of the last piece. */
static int read_piece(struct reading *reading)
{
    gy_assert(reading->room > 0 && reading->used <= reading->room);
    if (reading->used == reading->room) { /* one entry fills all of it */
        char *larger = realloc(reading->text, reading->room * 2);
        if (larger == NULL) {
            return ENOMEM;
        }
        reading->text = larger;
        reading->room *= 2;
    }
    ssize_t got;
    do {
        got =
            read(reading->descriptor, reading->text + reading->used, reading->room - reading->used);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno;
    }
    reading->ended = got == 0;
    reading->used += (size_t)got;
    return 0;
}

static void stop_reading(struct reading *reading)
{
    free(reading->text);
    gy_descriptor_close(reading->descriptor);
}

static const char *cause_text(char why[GY_FILE_WHY_BYTES], const char *folder, const char *name,
                              int cause)
{
    char path[PATH_BYTES];
    if (cause == NOT_REGULAR || snprintf(path, sizeof path, "%s%s", folder, name) >= PATH_BYTES) {
        return cause == NOT_REGULAR ? "it is no regular file" : strerror(cause);
    }
    return gy_file_why(why, path, R_OK, cause);
}

static int cause_code(int cause)
{
    return cause == NOT_REGULAR ? GY_EINVAL : gy_error_from_errno(cause);
}

/* A file that was just opened as `path` in `folder`, and is noted, into `file`. 0; GY_EIO: it could
 * not be read, the cause is in `reading`; else what understanding it said. */
static int feed(struct load *load, struct reading *reading, int descriptor, const char *folder,
                const char *path, struct gy_dns_zonefile *file, struct gy_error *error)
{
    struct stat status = {.st_size = 0};
    int code = 0;
    reading->cause = start_reading(reading, descriptor, &status);
    if (reading->cause == 0 && dns_zone_files_add(&load->files, folder, path, &status) != 0) {
        reading->cause = ENOMEM;
    }
    const struct gy_dns_zonefile *outer = load->file;
    const char *outer_path = load->file_path;
    uint64_t outer_bytes = load->file_bytes;
    load->file = file;
    load->file_path = load->files != NULL ? load->files->path : NULL;
    load->file_bytes = (uint64_t)status.st_size;
    while (reading->cause == 0 && code == 0 && !reading->ended) {
        size_t used = 0;
        reading->cause = read_piece(reading);
        if (reading->cause == 0) {
            code = gy_dns_zonefile_feed(file, reading->text, reading->used, reading->ended, &used,
                                        error);
            reading->used -= used;
            memmove(reading->text, reading->text + used, reading->used);
        }
    }
    load->file = outer;
    load->file_path = outer_path;
    load->file_bytes = outer_bytes;
    int cause = reading->cause;
    stop_reading(reading);
    return cause != 0 ? GY_EIO : code;
}

/* If the rest of the file is like what came. */
static uint64_t foresee_names(void *context, uint64_t so_far)
{
    const struct load *load =
        (const struct load *)((const uint8_t *)context - offsetof(struct load, maker));
    if (load->file == NULL || load->file->bytes == 0) {
        return 0;
    }
    return (uint64_t)((double)so_far * (double)load->file_bytes / (double)load->file->bytes);
}

static int take_record(void *context, struct gy_dns_zonefile *file,
                       const struct gy_dns_record *record, struct gy_error *error)
{
    struct load *load = context;
    struct gy_error why;
    gy_dns_zone_at(load->maker.builder, load->file_path, file->error_line);
    why.message[0] = '\0'; /* alone: it is for each record */
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
    struct reading reading;
    char path[PATH_BYTES];
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
    code = feed(load, &reading, descriptor, load->folder_path, path, &inner, error);
    if (reading.cause == EXDEV) {
        return gy_dns_zonefile_error(file, error, GY_EREFUSED,
                                     "$INCLUDE %.200s lies outside of the zone file's folder; only "
                                     "what is below it can be included",
                                     path);
    }
    if (reading.cause != 0) {
        char why[GY_FILE_WHY_BYTES];
        return gy_dns_zonefile_error(file, error, cause_code(reading.cause), "$INCLUDE %.200s: %s",
                                     path, cause_text(why, load->folder_path, path, reading.cause));
    }
    return code;
}

/* ---- the zone ---- */

static int read_zone(struct load *load, const struct gy_dns_zonefile_settings *settings,
                     const uint8_t *origin, const char *path, struct gy_error *error)
{
    struct gy_dns_zonefile file;
    struct reading reading;
    char why[GY_FILE_WHY_BYTES];
    gy_dns_zonefile_init(&file, settings, path, origin);
    int code = feed(load, &reading, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), "",
                    path, &file, error);
    return reading.cause == 0
               ? code
               : gy_error_set(error, cause_code(reading.cause),
                              "reading the zone %s from %.200s: %s", load->maker.name, path,
                              cause_text(why, "", path, reading.cause));
}

/* What is wrong with a zone as a whole shows when all of it was read, and records do not keep their
 * lines: it is read once more, for the last record of the rrset that is wrong. */
struct search {
    struct load load; /* first: the context of take_include() */
    const uint8_t *owner;
    uint16_t type;
    const char *why;
    struct gy_error said; /* with file and line, once it was found */
};

static int look_for(void *context, struct gy_dns_zonefile *file, const struct gy_dns_record *record,
                    struct gy_error *error)
{
    struct search *search = context;
    (void)error;
    if (record->type == search->type && gy_dns_name_equal(record->owner, search->owner)) {
        gy_dns_zonefile_error(file, &search->said, GY_EINVAL, "%s", search->why);
    }
    return 0;
}

/* `why` with the line where it shows. false: no record of the file shows it. */
static bool find_line(const struct load *load, const uint8_t *origin, const char *path,
                      const char *why, struct gy_error *error)
{
    struct gy_error ignored = {0};
    struct search *search = calloc(1, sizeof *search);
    bool found =
        search != NULL && gy_dns_zone_wrong(load->maker.builder, &search->owner, &search->type);
    if (found) {
        const struct gy_dns_zonefile_settings settings = {
            .context = search, .record = look_for, .include = take_include};
        search->load.maker = load->maker;
        search->load.folder = load->folder;
        memcpy(search->load.folder_path, load->folder_path, sizeof load->folder_path);
        search->why = why;
        read_zone(&search->load, &settings, origin, path, &ignored);
        dns_zone_files_free(search->load.files);
        found = search->said.code != 0;
    }
    if (found) {
        gy_error_set(error, GY_EINVAL, "%s", search->said.message);
    }
    free(search);
    return found;
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
    const struct gy_dns_zonefile_settings settings = {
        .context = load, .record = take_record, .include = take_include};
    struct gy_error why = {0};
    int code = read_zone(load, &settings, origin, path, error);
    if (code != 0) {
        return code;
    }
    code = gy_dns_zone_maker_finish(&load->maker, zone, &why);
    if (code == GY_EINVAL && find_line(load, origin, path, why.message, error)) {
        return code;
    }
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
        char why[GY_FILE_WHY_BYTES];
        int cause = errno;
        return gy_error_set(error, gy_error_from_errno(cause),
                            "reading the zone %s from %.200s: %s", name, path,
                            gy_file_why(why, path, R_OK, cause));
    }
    int code = dns_zone_maker_begin(&load.maker, origin, seed, 0);
    if (code != 0) {
        gy_error_set(error, code, "reading the zone %s: out of memory", name);
    } else {
        load.maker.settings.names = foresee_names;
        code = load_zone(&load, zone, origin, path, error);
    }
    close(load.folder);
    dns_zone_maker_end(&load.maker);
    dns_zone_files_free(load.files);
    return code;
}
