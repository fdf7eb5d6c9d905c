/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_PROCESS_H
#define GY_BENCH_LOAD_PROCESS_H

/* CPU time (user and system, of threads that ended too) that a process and all its living
 * descendants have used, in seconds, as the scheduler counts it: to the nanosecond, where the ticks
 * of /proc/PID/stat would be a hundredth of a short window. Negative when there is no such process.
 */
double gy_load_process_cpu_s(int pid);

#endif
