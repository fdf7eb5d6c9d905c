/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/process.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct process {
    int pid;
    int parent;
    bool wanted;
};

/* proc(5): /proc/PID/stat. The command's name, in parentheses, may hold anything. */
static bool read_stat(int pid, struct process *process)
{
    char path[64];
    char text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = '\0';
    const char *behind = strrchr(text, ')');
    *process = (struct process){.pid = pid};
    return behind != NULL && sscanf(behind + 1, " %*c %d", &process->parent) == 1;
}

static struct process *read_all(size_t *count)
{
    struct process *all = NULL;
    size_t room = 0;
    *count = 0;
    DIR *folder = opendir("/proc");
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0])) {
            continue;
        }
        if (*count == room) {
            room = room != 0 ? room * 2 : 256;
            struct process *more = realloc(all, room * sizeof *all);
            if (more == NULL) {
                break;
            }
            all = more;
        }
        *count += read_stat(atoi(entry->d_name), &all[*count]);
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return all;
}

static bool is_wanted(const struct process *all, size_t count, int pid)
{
    for (size_t i = 0; i < count; i++) {
        if (all[i].pid == pid) {
            return all[i].wanted;
        }
    }
    return false;
}

static double cpu_s(int pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) {
        return 0; /* it ended a moment ago */
    }
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

double gy_load_process_cpu_s(int pid)
{
    size_t count;
    struct process *all = read_all(&count);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        all[i].wanted = all[i].pid == pid;
        found |= all[i].wanted;
    }
    /* A child's number may be lower than its parent's: again until nothing is new. */
    for (bool grown = found; grown;) {
        grown = false;
        for (size_t i = 0; i < count; i++) {
            if (!all[i].wanted && is_wanted(all, count, all[i].parent)) {
                all[i].wanted = grown = true;
            }
        }
    }
    /* Only now, close together: looking for them took a while, and the server worked meanwhile. */
    double sum_s = 0;
    for (size_t i = 0; i < count; i++) {
        sum_s += all[i].wanted ? cpu_s(all[i].pid) : 0;
    }
    free(all);
    return found ? sum_s : -1;
}
