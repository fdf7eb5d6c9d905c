/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/get/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "core/file_check.h"
#include "protocols/http/http.h"

#define VALIDATOR_ATTRIBUTE "user.gyre.validator"

static int failed(const struct gy_save *save, const char *doing, struct gy_error *error)
{
    const char *file = save->part != NULL   ? save->part
                       : save->name != NULL ? save->name
                                            : "standard output";
    char why[GY_FILE_WHY_BYTES];
    int cause = errno;
    return gy_error_set(error, gy_error_from_errno(cause), "%s %.200s: %s", doing, file,
                        gy_file_why(why, file, W_OK, cause));
}

static int open_part(struct gy_save *save, struct gy_error *error)
{
    const char *path = save->part != NULL ? save->part : save->name;
    int flags = save->part != NULL ? O_RDWR | O_CREAT | O_NOFOLLOW : O_WRONLY;
    save->file = open(path, flags | O_CLOEXEC, 0666);
    if (save->file < 0) {
        return failed(save, "opening", error);
    }
    struct stat about;
    const char *wrong = NULL;
    if (save->part != NULL && (fstat(save->file, &about) != 0 || !S_ISREG(about.st_mode))) {
        wrong = "it is not a regular file";
    } else if (save->part != NULL && flock(save->file, LOCK_EX | LOCK_NB) != 0) {
        wrong = "another process is writing it";
    }
    if (wrong != NULL) {
        close(save->file);
        save->file = -1; /* not ours to remove */
        return gy_error_set(error, GY_EREFUSED, "opening %s: %s", path, wrong);
    }
    return 0;
}

/* What an earlier run left. */
static void look_at_part(struct gy_save *save)
{
    struct stat about;
    if (fstat(save->file, &about) != 0 || about.st_size == 0) {
        return;
    }
    save->at = (uint64_t)about.st_size;
    ssize_t length =
        fgetxattr(save->file, VALIDATOR_ATTRIBUTE, save->validator, sizeof save->validator - 1);
    if (length > 0) {
        save->validator[length] = '\0';
        return;
    }
    gy_http_date(about.st_mtime > 0 ? (uint64_t)about.st_mtime : 0, save->validator);
    save->validator[GY_HTTP_DATE_BYTES] = '\0';
}

int gy_save_init(struct gy_save *save, const char *name, bool resume, struct gy_error *error)
{
    *save = (struct gy_save){.file = -1, .modified = -1};
    if (name == NULL) {
        return 0;
    }
    struct stat about;
    bool direct = stat(name, &about) == 0 && !S_ISREG(about.st_mode);
    size_t bytes = strlen(name) + sizeof ".part";
    save->name = strdup(name);
    save->part = direct ? NULL : malloc(bytes);
    if (save->name == NULL || (save->part == NULL && !direct)) {
        return gy_error_set(error, GY_ENOMEM, "writing %s: out of memory", name);
    }
    if (direct && S_ISDIR(about.st_mode)) {
        return gy_error_set(error, GY_EINVAL, "writing %s: it is a directory", name);
    }
    if (direct) {
        return 0;
    }
    snprintf(save->part, bytes, "%s.part", name);
    if (!resume || access(save->part, F_OK) != 0) {
        return 0;
    }
    int code = open_part(save, error);
    if (code == 0) {
        look_at_part(save);
    }
    return code;
}

/* An attribute where the file system has them, else the time: either lets the next run tell whether
 * the file is still the same. */
static void mark(struct gy_save *save, const char *validator)
{
    if (save->part != NULL &&
        (validator[0] == '\0' ||
         fsetxattr(save->file, VALIDATOR_ATTRIBUTE, validator, strlen(validator), 0) != 0)) {
        fremovexattr(save->file, VALIDATOR_ATTRIBUTE);
    }
}

int gy_save_begin(struct gy_save *save, uint64_t at, const char *validator, int64_t modified,
                  struct gy_error *error)
{
    save->begun = true;
    save->at = at;
    if (save->name == NULL) {
        return 0;
    }
    int code = save->file < 0 ? open_part(save, error) : 0;
    if (code != 0) {
        return code;
    }
    if (save->part != NULL && (ftruncate(save->file, (off_t)at) != 0 ||
                               lseek(save->file, (off_t)at, SEEK_SET) != (off_t)at)) {
        return failed(save, "preparing", error);
    }
    snprintf(save->validator, sizeof save->validator, "%s", validator);
    save->modified = modified;
    mark(save, validator);
    return 0;
}

int gy_save_write(struct gy_save *save, const void *data, size_t bytes, struct gy_error *error)
{
    const char *from = data;
    int file = save->name == NULL ? STDOUT_FILENO : save->file;
    gy_assert(file >= 0);
    while (bytes > 0) {
        ssize_t written = write(file, from, bytes);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return failed(save, "writing", error);
        }
        from += written;
        bytes -= (size_t)written;
        save->at += (uint64_t)written;
    }
    return 0;
}

static int close_file(struct gy_save *save)
{
    int file = save->file;
    save->file = -1;
    return file >= 0 ? close(file) : 0;
}

int gy_save_finish(struct gy_save *save, struct gy_error *error)
{
    if (save->name == NULL) {
        return 0;
    }
    if (save->file < 0) {
        int code = gy_save_begin(save, 0, "", -1, error);
        if (code != 0) {
            return code;
        }
    }
    if (save->part == NULL) {
        return close_file(save) == 0 ? 0 : failed(save, "closing", error);
    }
    fremovexattr(save->file, VALIDATOR_ATTRIBUTE);
    /* Some file systems say only now that there is no room. */
    if (close_file(save) != 0) {
        return failed(save, "closing", error);
    }
    if (rename(save->part, save->name) != 0) {
        return failed(save, "renaming", error);
    }
    free(save->part);
    save->part = NULL;
    return 0;
}

void gy_save_close(struct gy_save *save, bool keep)
{
    bool open = save->file >= 0;
    if (open && save->part != NULL && save->modified >= 0) {
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = save->modified}};
        futimens(save->file, times);
    }
    close_file(save);
    if (save->part != NULL && open && (!keep || save->at == 0)) {
        unlink(save->part);
    }
    free(save->part);
    free(save->name);
    save->part = save->name = NULL;
}
