/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/error.h"

#define NAMES_FIRST 64

static int open_beneath(int root, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long descriptor;
    int tries = 0;
    do {
        descriptor = syscall(SYS_openat2, root, path, &how, sizeof how);
    } while (descriptor < 0 && (errno == EAGAIN || errno == EINTR) && ++tries < 8);
    return descriptor < 0 ? -errno : (int)descriptor;
}

/* Adds a name, if it is one to be seen. 0 or a negative errno. */
static int add(struct gy_directory *directory, uint32_t *room, int root, const char *path,
               const char *name)
{
    char whole[4096 + NAME_MAX + 2];
    size_t path_bytes = strlen(path);
    size_t name_bytes = strlen(name);
    if (path_bytes + name_bytes + 2 > sizeof whole) {
        return 0;
    }
    memcpy(whole, path, path_bytes);
    whole[path_bytes] = '/';
    memcpy(whole + path_bytes + 1, name, name_bytes + 1);
    int descriptor = open_beneath(root, path_bytes > 0 ? whole : name, O_PATH);
    if (descriptor < 0) {
        return 0; /* it leads nowhere, or out, or is gone by now */
    }
    struct stat status;
    int found = fstat(descriptor, &status);
    close(descriptor);
    if (found != 0 || !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) {
        return 0;
    }
    if (directory->count == *room) {
        uint32_t more = *room == 0 ? NAMES_FIRST : *room * 2;
        void *grown = realloc(directory->names, more * sizeof *directory->names);
        if (grown == NULL) {
            return -ENOMEM;
        }
        directory->names = grown;
        *room = more;
    }
    char *copy = strdup(name);
    if (copy == NULL) {
        return -ENOMEM;
    }
    directory->names[directory->count++] = (struct gy_directory_name){
        .name = copy,
        .bytes = (uint64_t)status.st_size,
        .modified_s = status.st_mtim.tv_sec,
        .is_directory = S_ISDIR(status.st_mode),
    };
    return 0;
}

int gy_directory_read(struct gy_directory *directory, int root, const char *path,
                      uint32_t names_max)
{
    *directory = (struct gy_directory){0};
    int descriptor = open_beneath(root, path[0] != '\0' ? path : ".", O_RDONLY | O_DIRECTORY);
    if (descriptor < 0) {
        return descriptor;
    }
    DIR *stream = fdopendir(descriptor);
    if (stream == NULL) {
        int code = -errno;
        close(descriptor);
        return code;
    }
    uint32_t room = 0;
    int code = 0;
    const struct dirent *entry;
    while (code == 0 && (errno = 0, entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (directory->count == names_max) {
            directory->cut = true;
            break;
        }
        code = add(directory, &room, root, path, entry->d_name);
    }
    if (entry == NULL && errno != 0) {
        code = -errno;
    }
    closedir(stream);
    if (code != 0) {
        gy_directory_free(directory);
    }
    return code;
}

void gy_directory_free(struct gy_directory *directory)
{
    for (uint32_t i = 0; i < directory->count; i++) {
        free(directory->names[i].name);
    }
    free(directory->names);
    *directory = (struct gy_directory){0};
}
