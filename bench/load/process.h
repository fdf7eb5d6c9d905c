/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_PROCESS_H
#define GY_BENCH_LOAD_PROCESS_H

/* CPU time (user and system) that a process and all its living descendants have used, in seconds,
 * from /proc; of the kernel's clock ticks, so windows under a second say little. Negative when
 * there is no such process. */
double gy_load_process_cpu_s(int pid);

#endif
