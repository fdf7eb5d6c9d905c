/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/host.h"

#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/error.h"

/* Reads a file's first bytes as text; what is longer is cut. Returns whether it could be read. */
static bool read_text(const char *root, const char *path, char *text, size_t bytes)
{
    char full[PATH_MAX];
    text[0] = '\0';
    if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full) {
        return false;
    }
    FILE *file = fopen(full, "re");
    if (file == NULL) {
        return false;
    }
    size_t got = fread(text, 1, bytes - 1, file);
    bool fine = !ferror(file);
    fclose(file);
    text[got] = '\0';
    return fine;
}

static int64_t read_number(const char *root, const char *path, int64_t otherwise)
{
    char text[64];
    char *end;
    if (!read_text(root, path, text, sizeof text)) {
        return otherwise;
    }
    int64_t number = strtoll(text, &end, 10);
    return end == text ? otherwise : number;
}

static bool is_there(const char *root, const char *path)
{
    char full[PATH_MAX];
    return snprintf(full, sizeof full, "%s%s", root, path) < (int)sizeof full &&
           access(full, F_OK) == 0;
}

static uint64_t limit_of(rlim_t limit)
{
    return limit == RLIM_INFINITY ? GY_HOST_UNLIMITED : (uint64_t)limit;
}

static void read_limits(struct gy_host *host)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
        host->memlock_soft = limit_of(limit.rlim_cur);
        host->memlock_hard = limit_of(limit.rlim_max);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        host->files_soft = limit_of(limit.rlim_cur);
        host->files_hard = limit_of(limit.rlim_max);
    }
}

static enum gy_host_seccomp read_seccomp(const char *root)
{
    char text[8192];
    if (!read_text(root, "/proc/self/status", text, sizeof text)) {
        return GY_HOST_SECCOMP_UNKNOWN;
    }
    const char *line = strstr(text, "\nSeccomp:");
    if (line == NULL) {
        return GY_HOST_SECCOMP_UNKNOWN;
    }
    long mode = strtol(line + strlen("\nSeccomp:"), NULL, 10);
    return mode == 0   ? GY_HOST_SECCOMP_OFF
           : mode == 1 ? GY_HOST_SECCOMP_STRICT
           : mode == 2 ? GY_HOST_SECCOMP_FILTER
                       : GY_HOST_SECCOMP_UNKNOWN;
}

static void read_processors(struct gy_host *host)
{
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    host->processors_online = online > 0 ? (uint32_t)online : 1;
    /* A machine with more processors than the set has bits refuses to fill it. */
    host->processors = sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set)
                                                                   : host->processors_online;
}

static uint32_t count_mitigations(const char *root)
{
    static const char folder[] = "/sys/devices/system/cpu/vulnerabilities";
    char full[PATH_MAX];
    uint32_t count = 0;
    if (snprintf(full, sizeof full, "%s%s", root, folder) >= (int)sizeof full) {
        return 0;
    }
    DIR *directory = opendir(full);
    if (directory == NULL) {
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char path[PATH_MAX];
        char text[64];
        if (entry->d_name[0] != '.' &&
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < (int)sizeof path &&
            read_text(root, path, text, sizeof text) && strstr(text, "Mitigation") != NULL) {
            count++;
        }
    }
    closedir(directory);
    return count;
}

/* Runtimes leave a file, name themselves to process 1, or show in its control groups. None of it is
 * a promise of theirs. */
static void guess_container(struct gy_host *host, const char *root)
{
    static const struct {
        const char *in_text;
        const char *name;
    } signs[] = {
        {"kubepods", "kubernetes"},   {"libpod", "podman"}, {"docker", "docker"},
        {"containerd", "containerd"}, {"lxc", "lxc"},
    };
    char text[4096];
    const char *name = "";
    if (is_there(root, "/run/.containerenv")) {
        name = "podman";
    } else if (is_there(root, "/.dockerenv")) {
        name = "docker";
    } else if (read_text(root, "/run/systemd/container", text, sizeof text) && text[0] != '\0') {
        text[strcspn(text, "\n")] = '\0';
        name = text;
    } else if (read_text(root, "/proc/1/cgroup", text, sizeof text)) {
        for (size_t i = 0; i < sizeof signs / sizeof signs[0] && name[0] == '\0'; i++) {
            if (strstr(text, signs[i].in_text) != NULL) {
                name = signs[i].name;
            }
        }
    }
    snprintf(host->container, sizeof host->container, "%.31s", name);
}

void gy_host_read_below(struct gy_host *host, const char *root)
{
    struct utsname system;
    gy_assert(host != NULL && root != NULL);
    *host = (struct gy_host){.memlock_soft = GY_HOST_UNLIMITED};
    if (uname(&system) == 0) {
        snprintf(host->release, sizeof host->release, "%.64s", system.release);
        snprintf(host->machine, sizeof host->machine, "%.64s", system.machine);
    }
    read_limits(host);
    read_processors(host);
    host->io_uring_disabled =
        (int)read_number(root, "/proc/sys/kernel/io_uring_disabled", GY_HOST_UNKNOWN);
    host->io_uring_group = read_number(root, "/proc/sys/kernel/io_uring_group", GY_HOST_UNKNOWN);
    host->listen_backlog_max =
        (int)read_number(root, "/proc/sys/net/core/somaxconn", GY_HOST_UNKNOWN);
    host->seccomp = read_seccomp(root);
    host->mitigations = count_mitigations(root);
    guess_container(host, root);
}

void gy_host_read(struct gy_host *host)
{
    gy_host_read_below(host, "");
}

const char *gy_host_seccomp_name(enum gy_host_seccomp seccomp)
{
    switch (seccomp) {
    case GY_HOST_SECCOMP_OFF:
        return "off";
    case GY_HOST_SECCOMP_STRICT:
        return "strict";
    case GY_HOST_SECCOMP_FILTER:
        return "filter";
    case GY_HOST_SECCOMP_UNKNOWN:
        break;
    }
    return "unknown";
}

uint32_t gy_host_release_number(const char *release)
{
    unsigned major = 0;
    unsigned minor = 0;
    if (sscanf(release, "%u.%u", &major, &minor) != 2) {
        return 0;
    }
    return (major > 255 ? 255 : major) << 8 | (minor > 255 ? 255 : minor);
}
