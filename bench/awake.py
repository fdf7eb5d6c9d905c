#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps a processor awake, and tells when it was taken away from those who work on it.

A virtual processor with nothing to do is given up, and the host takes its time to bring it back: tens of microseconds mostly,
milliseconds at times. Whoever is woken on it then waits for the host, and a p99 says how often that happened. So here is
somebody who always has something to do there, and makes way at once for anybody else (SCHED_IDLE).

As it reads the clock all the time, it sees each interval in which it did not run, and asks what CPU time it had itself, what
the processes that it was told of had, and the processor's ksoftirqd, as that works for them. These add up to the
interval, as the kernel counts no CPU time for what a host took (CONFIG_PARAVIRT_TIME_ACCOUNTING); what is missing was taken by
the host, or by other programs. However long a process works, in its own code or in the kernel's: that is never missing.

    bench/awake.py PROCESSOR [PID...]
    bench/awake.py --often PROCESSOR PID...

until SIGTERM. Then to standard output, JSON: {"wall_ns": …, "taken_ns": all that was missing, "stalls": [[began, ended, taken], …]
the intervals in which 30 µs and more were missing, by CLOCK_REALTIME, "worked": [[began, cpu], …] how long the processes worked
before they next let go of the processor, where that was 200 µs and more of CPU time, "steal_s": what the kernel was told of the host,
"first": whether it had SCHED_FIFO}.

Who makes way for everybody sees nothing while a server never pauses. So --often is another, before everybody (SCHED_FIFO), that
compares the clocks every two milliseconds, for 3 % of the processor, in windows of all kinds; the first is among its PIDs.
"""

import bisect
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from measure import TICK_S, machine_ticks

GAP_NS = 10_000  # the clock is read more often than that, else somebody else ran
REBASE_NS = 1_000_000  # how long clocks of different rates are compared
STALL_NS = 30_000
WORKED_NS = 200_000
STALLS_MAX = 100_000
OFTEN_S = 0.002


class Ended(Exception):
    """SIGTERM came."""


def ksoftirqd(processor):
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text() == f"ksoftirqd/{processor}\n":
                return [int(entry.name)]
        except OSError:
            pass
    return []


def cpu_clock(pid):
    """clockid_t of a process's CPU time, as clock_getcpuclockid(3) makes it."""
    return ~pid << 3 | 2


class Watch:
    """`clock` is the time, `own` this process's CPU time, `others` that of all who are watched, in nanoseconds."""

    def __init__(self, clock, own, others):
        self.clock, self.own, self.others = clock, own, others
        self.stalls, self.worked, self.taken_ns = [], [], 0

    def sample(self):
        """(time, own CPU time, that of the others), of one instant: nobody else ran meanwhile."""
        for _ in range(100):
            wall, own, others = self.clock(), self.own(), self.others()
            if self.clock() - wall < GAP_NS:
                break
        return wall, own, others

    def gap(self, base, last):
        """Somebody else ran: who, and how much is missing?"""
        now = self.sample()
        worked = now[2] - base[2]
        taken = now[0] - base[0] - (now[1] - base[1]) - worked
        self.taken_ns += max(taken, 0)
        if taken >= STALL_NS and len(self.stalls) < STALLS_MAX:
            self.stalls.append((last, now[0], taken))
        if worked >= WORKED_NS and len(self.worked) < STALLS_MAX:
            self.worked.append((last, worked))
        return now

    def run_often(self, sleep=time.sleep):
        """Each interval between two looks is compared, whoever had it."""
        base = self.sample()
        while True:
            sleep(OFTEN_S)
            base = self.gap(base, base[0])

    def run(self):
        base = self.sample()
        last = base[0]
        while True:
            now = self.clock()
            if now - last > GAP_NS:
                base = self.gap(base, last)
                last = base[0]
            elif now - base[0] > REBASE_NS:
                base = self.sample()
                last = base[0]
            else:
                last = now


# ---- what those who measure ask of it --------------------------------------------------------------------------------


@contextlib.contextmanager
def watched(processor, pids):
    """Runs it beside what is done within; what it tells is in the dictionary afterwards."""
    told, processes = {}, []

    def begin(*words):
        processes.append(subprocess.Popen([sys.executable, os.path.abspath(__file__), *map(str, words)], stdout=subprocess.PIPE,
                                          text=True))
        return processes[-1].stdout.readline()
    try:
        begin(processor, *pids)
        if pids:
            begin("--often", processor, processes[0].pid, *pids)
        yield told
    finally:
        for process in processes:
            with contextlib.suppress(OSError):  # to be heard on a busy machine as well
                os.sched_setscheduler(process.pid, os.SCHED_OTHER, os.sched_param(0))
            process.terminate()
        said = [json.loads(process.communicate(timeout=60)[0] or "{}") for process in processes]  # ended before it began: with us
        told |= said[0]
        if said[-1].get("first"):
            told |= {name: said[-1][name] for name in ("stalls", "taken_ns", "wall_ns", "steal_s")}


def taken_from(request, stalls, ends):
    """For how much of a request's time there was no processor for whoever worked on it. `ends` are the stalls' ends. An interval
    in which the watcher did not run lasts until the server has caught up: where in it the processor was taken is not known, so
    each request has its part. While a server never pauses all is one interval, and no more than the mean is excused."""
    began, took, taken = request
    for start, end, missing in stalls[bisect.bisect_right(ends, began):]:
        if start >= began + took:
            break
        taken += missing * (min(end, began + took) - max(start, began)) / (end - start)
    return taken


def percentiles(took):
    took = sorted(took)
    return {"count": len(took)} | {name: took[min(int(len(took) * share), len(took) - 1)] if took else 0
                                   for name, share in (("p50", 0.5), ("p99", 0.99))}


def judge(seen, host, share):
    """Of what was observed of a server (bench/observer.py): latencies of all requests, and of those that did not have so large
    a share of their time taken. Where those are less than half, no choice is made: there are too few of them to tell."""
    stalls = host["stalls"]
    ends = [end for _, end, _ in stalls]
    took = [request[1] for request in seen["requests"]]
    kept = [request[1] for request in seen["requests"] if taken_from(request, stalls, ends) < request[1] * share]
    if 2 * len(kept) < len(took):
        kept = took
    return {"served_ns": percentiles(kept), "all_ns": percentiles(took),
            "left_out": 1 - len(kept) / max(len(took), 1), "unanswered": seen["unanswered"]}


def summary(host):
    """What was taken of a processor, as shares of the time, and how long those who were watched kept it."""
    seconds = host["wall_ns"] / 1e9
    worked = [cpu for _, cpu in host["worked"]]
    return {"taken": host["taken_ns"] / host["wall_ns"], "stalls": len(host["stalls"]) / seconds,
            "longest_ns": max((taken for *_, taken in host["stalls"]), default=0),
            "steal": host["steal_s"] / seconds,
            "works": len(worked) / seconds, "work_ns": max(worked, default=0)}


def end(*_):
    raise Ended


def main():
    often = sys.argv[1:2] == ["--often"]
    words = sys.argv[2 if often else 1:]
    if not words or not all(word.isdigit() for word in words):
        print(__doc__, file=sys.stderr)
        return 2
    processor, *pids = map(int, words)
    os.sched_setaffinity(0, {processor})
    clocks = [cpu_clock(pid) for pid in pids + ksoftirqd(processor)]
    watch = Watch(time.time_ns, time.process_time_ns, lambda: sum(map(time.clock_gettime_ns, clocks)))
    gc.disable()
    began, stolen, first = time.time_ns(), machine_ticks(processor)[0], False
    try:
        signal.signal(signal.SIGTERM, end)
        print("watching", flush=True)
        if often:
            with contextlib.suppress(OSError):  # without it nothing that it sees is used
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))
                first = True
            watch.run_often()
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        watch.run()
    except Ended:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # whoever is told twice still says what it saw
    print(json.dumps({"first": first, "wall_ns": time.time_ns() - began, "taken_ns": watch.taken_ns, "stalls": watch.stalls,
                      "worked": watch.worked, "steal_s": (machine_ticks(processor)[0] - stolen) * TICK_S}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
