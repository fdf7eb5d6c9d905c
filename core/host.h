/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_HOST_H
#define GY_CORE_HOST_H

/*
 * What this host allows this process: kernel, limits, and the settings that decide whether io_uring
 * is there. Only reads (/proc, /sys, getrlimit, uname); what cannot be read is said to be unknown.
 * `gyre doctor` shows it.
 */

#include <stdint.h>

#define GY_HOST_UNLIMITED UINT64_MAX
#define GY_HOST_UNKNOWN   (-1)

enum gy_host_seccomp {
    GY_HOST_SECCOMP_UNKNOWN = -1,
    GY_HOST_SECCOMP_OFF,
    GY_HOST_SECCOMP_STRICT,
    GY_HOST_SECCOMP_FILTER, /* which calls it refuses cannot be read */
};

struct gy_host {
    char release[65]; /* as uname says it: "6.1.0-18-amd64" */
    char machine[65];
    uint64_t memlock_soft; /* bytes */
    uint64_t memlock_hard;
    uint64_t files_soft;
    uint64_t files_hard;
    int io_uring_disabled;  /* sysctl kernel.io_uring_disabled: 0, 1, 2, or unknown */
    int64_t io_uring_group; /* sysctl kernel.io_uring_group; -1: none, or unknown */
    enum gy_host_seccomp seccomp;
    int listen_backlog_max; /* sysctl net.core.somaxconn, or unknown */
    uint32_t processors;    /* that this process may run on */
    uint32_t processors_online;
    uint32_t mitigations; /* processor flaws that the kernel works around; they cost time */
    char container[32];   /* "docker", "podman", …: a best guess; "" when none is seen */
};

void gy_host_read(struct gy_host *host);

/* The same with files read below `root` instead of "/": for a look at another tree. */
void gy_host_read_below(struct gy_host *host, const char *root);

/* "off", "strict", "filter", "unknown". */
const char *gy_host_seccomp_name(enum gy_host_seccomp seccomp);

/* The first two numbers of a release ("6.1" of "6.1.0-18-amd64") as major << 8 | minor, each cut at
 * 255; 0 when it does not start so. */
uint32_t gy_host_release_number(const char *release);

#endif
