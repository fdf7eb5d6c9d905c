/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/chat/holder.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"

/* Where SQLite's locks are: the page at 1 GiB, which no database uses for anything else. */
#define LOCKS_FIRST (UINT64_C(1) << 30)
#define LOCKS_LAST  (LOCKS_FIRST + 511)

/* Its parent and its program's name, where they may be read. */
static void describe(struct gy_chat_holder *holder)
{
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)holder->pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    /* 42 (NAME) S 17 …: a name may have spaces and brackets in it. */
    const char *got = fgets(line, sizeof line, file);
    fclose(file);
    char *begin = got != NULL ? strchr(line, '(') : NULL;
    char *end = begin != NULL ? strrchr(begin, ')') : NULL;
    int parent = 0;
    if (end != NULL && sscanf(end + 1, " %*c %d", &parent) == 1) {
        *end = '\0';
        snprintf(holder->name, sizeof holder->name, "%s", begin + 1);
        holder->sibling = holder->supervised && parent == (int)getppid();
    }
}

/* The process of one line, if that is about a lock of SQLite's on the file; 0 otherwise. Lines
 * read: number, kind, how, what, process, the file's device and inode, first and last byte. */
static pid_t of_line(const char *line, const struct stat *status)
{
    char kind[8];
    int pid;
    unsigned device_major, device_minor;
    unsigned long inode;
    uint64_t first, last;
    if (sscanf(line, "%*u: %7s %*s %*s %d %x:%x:%lu %" SCNu64 " %" SCNu64, kind, &pid,
               &device_major, &device_minor, &inode, &first, &last) != 7) {
        return 0;
    }
    bool same = device_major == major(status->st_dev) && device_minor == minor(status->st_dev) &&
                inode == (unsigned long)status->st_ino;
    bool locks = strcmp(kind, "POSIX") == 0 && first >= LOCKS_FIRST && last <= LOCKS_LAST;
    return same && locks && pid > 0 ? (pid_t)pid : 0;
}

bool gy_chat_holder_find(struct gy_chat_holder *holder, const char *path)
{
    struct stat status;
    char line[256];
    *holder =
        (struct gy_chat_holder){.began_ms = holder->began_ms, .supervised = holder->supervised};
    FILE *file = stat(path, &status) == 0 ? fopen("/proc/locks", "re") : NULL;
    if (file == NULL) {
        return false;
    }
    while (holder->pid == 0 && fgets(line, sizeof line, file) != NULL) {
        holder->pid = of_line(line, &status);
    }
    fclose(file);
    if (holder->pid == 0) {
        return false;
    }
    holder->own = holder->pid == getpid();
    describe(holder);
    return true;
}

int gy_chat_holder_judge(struct gy_chat_holder *holder, const char *path, uint64_t waited_ms,
                         struct gy_error *error)
{
    pid_t before = holder->pid;
    if (!gy_chat_holder_find(holder, path)) {
        return GY_EAGAIN;
    }
    if (holder->own) {
        return gy_error_set(error, GY_EINVAL,
                            "opening the store %s: another chat server of this process has it; "
                            "give each a file of its own",
                            path);
    }
    if (holder->sibling) {
        return GY_EAGAIN;
    }
    if (waited_ms >= GY_CHAT_HOLDER_WAIT_MS) {
        return gy_error_set(error, GY_EREFUSED,
                            "opening the store %s: process %d (%s) has it open; stop that, or name "
                            "another file",
                            path, (int)holder->pid, holder->name);
    }
    if (holder->pid != before) {
        gy_log(GY_LOG_WARN, "chat",
               "process %d (%s) has the store %s open: waiting %u s for it to end",
               (int)holder->pid, holder->name, path, GY_CHAT_HOLDER_WAIT_MS / 1000);
    }
    return 0;
}

int gy_chat_holder_await(struct gy_chat_holder *holder, const char *path,
                         int (*open)(void *context, struct gy_error *error), void *context,
                         struct gy_error *error)
{
    holder->began_ms = holder->began_ms == 0 ? gy_clock_ms() : holder->began_ms;
    int code = open(context, error);
    while (code == GY_EAGAIN) {
        code = gy_chat_holder_judge(holder, path, gy_clock_ms() - holder->began_ms, error);
        if (code != 0) {
            return code;
        }
        usleep(GY_CHAT_HOLDER_LOOK_MS * 1000);
        code = open(context, error);
    }
    return code;
}
