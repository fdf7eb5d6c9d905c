/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/rudp/drop_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/error.h"

/* Others may name or remove the part while it is being opened. */
#define OPEN_TRIES 16

void gy_drop_disk_init(struct gy_drop_disk *disk, const struct gy_drop_target *target)
{
    size_t length = strlen(target->name);
    gy_assert(length > 0 && length <= GY_DROP_COMPONENT_BYTES);
    *disk = (struct gy_drop_disk){
        .job = {.run = gy_drop_disk_run},
        .work = GY_DROP_DISK_OPEN,
        .directory = target->directory,
        .descriptor = -1,
        .replace = target->replace,
        .size = target->size,
        .keep_free = target->keep_free,
    };
    memcpy(disk->name, target->name, length + 1);
    snprintf(disk->part, sizeof disk->part, ".%s.part", target->name);
}

static void fail(struct gy_drop_disk *disk, unsigned result, const char *what)
{
    disk->result = result;
    snprintf(disk->text, sizeof disk->text, "%s", what);
}

static void fail_errno(struct gy_drop_disk *disk, const char *what, int error)
{
    bool full = error == ENOSPC || error == EDQUOT;
    disk->result = full ? GY_DROP_NO_SPACE : GY_DROP_IO;
    snprintf(disk->text, sizeof disk->text, "%s: %s", what, strerror(error));
}

/* Within the directory, and by no symbolic link. */
static int open_beneath(const struct gy_drop_disk *disk, const char *path, uint64_t flags)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
        .mode = (flags & O_CREAT) != 0 ? 0666 : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, disk->directory, path, &how, sizeof how);
}

static void close_it(struct gy_drop_disk *disk)
{
    close(disk->descriptor);
    disk->descriptor = -1;
}

/* Whether there is something under the name, so that no part is needed: it is open then, or that
 * is the result. */
static bool is_there(struct gy_drop_disk *disk)
{
    struct stat there;
    if (fstatat(disk->directory, disk->name, &there, AT_SYMLINK_NOFOLLOW) != 0) {
        return false;
    }
    if (!S_ISREG(there.st_mode)) {
        fail(disk, GY_DROP_EXISTS, "what is there under that name is no regular file");
        return true;
    }
    if (disk->replace) {
        return false;
    }
    disk->descriptor = disk->size == GY_DROP_UNKNOWN || disk->size == (uint64_t)there.st_size
                           ? open_beneath(disk, disk->name, O_RDONLY)
                           : -1;
    if (disk->descriptor < 0) {
        fail(disk, GY_DROP_EXISTS, "another file of that name is there");
        return true;
    }
    disk->whole = true;
    disk->have = (uint64_t)there.st_size;
    return true;
}

/* Opens the part and locks it. False: somebody was faster; again. */
static bool open_part(struct gy_drop_disk *disk)
{
    struct stat opened, named;
    disk->descriptor = open_beneath(disk, disk->part, O_RDWR | O_CREAT);
    if (disk->descriptor < 0) {
        fail_errno(disk, "opening a file for it", errno);
        return true;
    }
    if (fstat(disk->descriptor, &opened) != 0 || !S_ISREG(opened.st_mode) || opened.st_nlink > 1) {
        fail(disk, GY_DROP_IO, "what is there for a part of it is no file of its own");
        close_it(disk);
        return true;
    }
    if (flock(disk->descriptor, LOCK_EX | LOCK_NB) != 0) {
        fail(disk, GY_DROP_BUSY, "somebody else is sending a file of that name");
        close_it(disk);
        return true;
    }
    if (fstatat(disk->directory, disk->part, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
        named.st_ino != opened.st_ino || named.st_dev != opened.st_dev) {
        close_it(disk);
        return false;
    }
    fstat(disk->descriptor, &opened);
    disk->have = (uint64_t)opened.st_size;
    fcntl(disk->descriptor, F_SETFL, 0); /* O_NONBLOCK was for the opening */
    return true;
}

/* Before anything is received in vain; and now and then meanwhile, for others write there, too, and
 * of a stream nobody knows how long it is. */
static void look_for_space(struct gy_drop_disk *disk)
{
    struct statvfs space;
    if (fstatvfs(disk->descriptor, &space) != 0) {
        return; /* then writing will tell */
    }
    uint64_t left = (uint64_t)space.f_bavail * space.f_frsize;
    uint64_t known = disk->size == GY_DROP_UNKNOWN ? 0 : disk->size;
    uint64_t needed = known > disk->have ? known - disk->have : 0;
    if (left < disk->keep_free || left - disk->keep_free < needed) {
        fail(disk, GY_DROP_NO_SPACE,
             left < needed ? "there is not enough space for it"
                           : "there is not enough space for it beside what is to stay free");
        if (disk->work != GY_DROP_DISK_OPEN) {
            return; /* the part goes, and the file is closed, when its writer is done with it */
        }
        if (disk->have == 0) {
            unlinkat(disk->directory, disk->part, 0);
        }
        close_it(disk);
    }
}

static void open_it(struct gy_drop_disk *disk)
{
    for (int i = 0; i < OPEN_TRIES; i++) {
        if (is_there(disk)) {
            return;
        }
        if (open_part(disk)) {
            if (disk->descriptor >= 0) {
                look_for_space(disk);
            }
            return;
        }
    }
    fail(disk, GY_DROP_BUSY, "somebody else is sending files of that name");
}

static void name_it(struct gy_drop_disk *disk)
{
    int result = renameat2(disk->directory, disk->part, disk->directory, disk->name,
                           disk->replace ? 0 : RENAME_NOREPLACE);
    if (result != 0 && errno == EINVAL && !disk->replace) {
        /* A file system that cannot do it in one step. */
        result = linkat(disk->directory, disk->part, disk->directory, disk->name, 0);
        if (result == 0) {
            unlinkat(disk->directory, disk->part, 0);
        }
    }
    if (result == 0) {
        return;
    }
    if (errno == EEXIST) {
        fail(disk, GY_DROP_EXISTS, "meanwhile another file of that name is there");
        unlinkat(disk->directory, disk->part, 0);
    } else {
        fail_errno(disk, "giving it its name", errno);
    }
}

void gy_drop_disk_run(struct gy_helper_job *job)
{
    struct gy_drop_disk *disk = (struct gy_drop_disk *)job;
    disk->result = GY_DROP_DONE;
    switch (disk->work) {
    case GY_DROP_DISK_OPEN:
        open_it(disk);
        break;
    case GY_DROP_DISK_EMPTY:
        if (ftruncate(disk->descriptor, 0) != 0) {
            fail_errno(disk, "emptying what was there of it", errno);
        }
        break;
    case GY_DROP_DISK_NAME:
        name_it(disk);
        break;
    case GY_DROP_DISK_LOOK:
        disk->size = GY_DROP_UNKNOWN; /* what was there when it began says nothing now */
        look_for_space(disk);
        break;
    case GY_DROP_DISK_DISCARD:
        unlinkat(disk->directory, disk->part, 0);
        break;
    }
}
