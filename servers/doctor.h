/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DOCTOR_H
#define GY_SERVERS_DOCTOR_H

/*
 * `gyre doctor`: what this host offers, what servers will use of it and why, and what would change
 * it. Nothing is changed.
 *
 * Exit status: 0 servers can run here; 1 they cannot (the reason and the way out are printed); 2
 * misused.
 *
 * --json prints one object:
 *
 *     fine               bool: servers can run here
 *     problem            text, or null: why not, and the way out
 *     kernel             {release, machine}: text
 *     container          text, or null: a best guess of what this process is contained in
 *     processors         {usable, online, mitigations}: numbers
 *     io_uring           {allowed: bool, sysctl_disabled, sysctl_group: number, or null where there
 *                        is no such setting, seccomp: "off", "strict", "filter" or "unknown"}
 *     limits             {open_files, locked_bytes: {soft, hard: number, or null for unlimited},
 *                        listen_backlog: number, or null}
 *     features           [{name, state: "used", "available" or "absent", since: the first kernel,
 *                        note: text, or null}]
 *     receive_modes      [{name, result: "passed", "failed", "absent" or "untested", ms: number, or
 *                        null, note: text, or null}]
 *     receive_mode       text, or null: the one that servers will use
 *     receive_mode_why   text, or null
 */

#include <stdbool.h>
#include <stdint.h>

#include "../core/host.h"
#include "../core/ring.h"

int gy_doctor_main(int argc, char **argv);

enum gy_doctor_state { GY_DOCTOR_USED, GY_DOCTOR_AVAILABLE, GY_DOCTOR_ABSENT };

struct gy_doctor_feature {
    const char *name;
    const char *since;
    enum gy_doctor_state state;
    char note[160]; /* "" when there is nothing to say */
};

enum gy_doctor_result {
    GY_DOCTOR_PASSED,
    GY_DOCTOR_FAILED,
    GY_DOCTOR_MODE_ABSENT,
    GY_DOCTOR_UNTESTED, /* there is no ring to test it with */
};

struct gy_doctor_mode {
    enum gy_doctor_result result;
    double ms; /* of the self-test */
    char note[GY_ERROR_MESSAGE_BYTES];
};

#define GY_DOCTOR_FEATURES_MAX 32

/* What was found. */
struct gy_doctor_report {
    struct gy_host host;
    bool fine;
    char problem[GY_ERROR_MESSAGE_BYTES]; /* "" when fine */
    bool allowed;                         /* io_uring answers */
    struct gy_doctor_feature features[GY_DOCTOR_FEATURES_MAX];
    uint32_t feature_count;
    struct gy_doctor_mode modes[GY_RECEIVE_MODE_COUNT];
    int chosen; /* enum gy_receive_mode; -1: none */
    const char *chosen_why;
};

/* Looks at this host as a server would that was started with these flags. `receive_mode` may be
 * GY_RECEIVE_CHOOSE. */
void gy_doctor_examine(struct gy_doctor_report *report, int receive_mode, uint32_t without);

#endif
