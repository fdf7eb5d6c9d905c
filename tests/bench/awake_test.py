# SPDX-License-Identifier: GPL-3.0-or-later
"""Who had a processor while its watcher did not: on a processor of the test's own, whose clocks tell what it says."""

import os
import time

import awake
from harness import equal, run, test, true

MS = 1_000_000
TICK = 500  # what reading the clock costs


class Processor:
    """Each reading of the clock takes a while; at the times in `plan` somebody else has the processor first: (when, who, how
    long). Past `end` the watcher is told to end."""

    def __init__(self, plan, end):
        self.plan, self.end = sorted(plan), end
        self.now, self.used = 0, {"watcher": 0, "server": 0, "host": 0}

    def clock(self):
        self.now += TICK
        self.used["watcher"] += TICK
        while self.plan and self.plan[0][0] <= self.now:
            _, who, long = self.plan.pop(0)
            self.now += long
            self.used[who] += long
        if self.now > self.end:
            raise awake.Ended
        return self.now

    def watched(self):
        watch = awake.Watch(self.clock, lambda: self.used["watcher"], lambda: self.used["server"])
        try:
            watch.run()
        except awake.Ended:
            pass
        return watch


@test
def however_long_a_server_works_that_is_no_stall():
    plan = [(n * 5 * MS, "server", n * 300_000) for n in range(1, 10)]
    watch = Processor(plan, 60 * MS).watched()
    equal((watch.stalls, watch.taken_ns), ([], 0))
    equal([cpu for _, cpu in watch.worked], [long for _, _, long in plan])


@test
def what_the_host_takes_is_a_stall_with_its_time_and_length():
    watch = Processor([(3 * MS, "host", 2 * MS), (9 * MS, "host", 15_000), (12 * MS, "host", 50_000)], 20 * MS).watched()
    equal(watch.taken_ns, 2 * MS + 65_000)
    equal([taken for *_, taken in watch.stalls], [2 * MS, 50_000])
    began, ended, _ = watch.stalls[0]
    true(3 * MS - 2 * TICK <= began <= 3 * MS and 5 * MS <= ended <= 5 * MS + 4 * TICK, f"{watch.stalls[0]}")
    equal(watch.worked, [])


@test
def of_an_interval_with_both_only_the_hosts_part_is_taken():
    watch = Processor([(3 * MS, "server", 4 * MS), (3 * MS + 1, "host", 60_000)], 20 * MS).watched()
    equal([taken for *_, taken in watch.stalls], [60_000])
    equal([cpu for _, cpu in watch.worked], [4 * MS])


@test
def beside_a_server_that_never_pauses_another_look_sees_what_the_host_takes():
    processor = Processor([(21 * MS, "host", 4 * MS)], 60 * MS)

    def sleep(seconds):  # the server has all of it
        processor.now += int(seconds * 1e9)
        processor.used["server"] += int(seconds * 1e9)
    watch = awake.Watch(processor.clock, lambda: processor.used["watcher"], lambda: processor.used["server"])
    try:
        watch.run_often(sleep)
    except awake.Ended:
        pass
    equal([taken for *_, taken in watch.stalls], [4 * MS])
    began, ended, _ = watch.stalls[0]
    true(began <= 21 * MS and 25 * MS <= ended <= began + 7 * MS, f"where it was: {began} {ended}")
    slow, quick = (began + MS, 4 * MS, 0), (ended + MS, MS, 0)
    true(awake.taken_from(slow, watch.stalls, [ended]) > slow[1] // 2, "of a request in it most was taken")
    equal(awake.taken_from(quick, watch.stalls, [ended]), 0, "of one behind it nothing")


@test
def a_request_is_left_out_for_what_was_taken_of_its_time_alone():
    host = {"stalls": [[1000, 2000, 1000], [10_000, 20_000, 100], [30_000, 40_000, 2500]]}
    kept = [[100, 900, 0],  # answered as the stall began
            [2000, 300, 0],  # asked as it ended
            [9000, 12_000, 0],  # a long turn, of which the host took little
            [0, 5001, 0],  # less than a fifth was taken
            [29_000, 4900, 0]]  # a fifth, but not of its own time: of what came after
    left = [[900, 300, 0], [1900, 200, 0], [0, 5000, 0],
            [33_000, 1000, 0],  # while the server caught up
            [5000, 100, 20]]  # the asking side's own processor was taken
    found = awake.judge({"requests": kept + left, "unanswered": 3}, host, 0.2)
    equal((found["served_ns"]["count"], found["all_ns"]["count"], found["left_out"], found["unanswered"]), (5, 10, 0.5, 3))
    equal((found["served_ns"]["p50"], found["served_ns"]["p99"]), (4900, 12_000))


@test
def where_most_would_be_left_out_none_is():
    host = {"stalls": [[0, 1000, 1000]]}
    found = awake.judge({"requests": [[0, 10, 0], [10, 10, 0], [2000, 20, 0]], "unanswered": 0}, host, 0.2)
    equal((found["served_ns"], found["left_out"]), (found["all_ns"], 0))
    equal(awake.judge({"requests": [], "unanswered": 64}, host, 0.2)["served_ns"]["count"], 0)


@test
def the_cpu_clock_of_a_process_is_the_kernels():
    before = time.process_time_ns()
    found = time.clock_gettime_ns(awake.cpu_clock(os.getpid()))
    true(before <= found <= time.process_time_ns(), f"{before} {found}")


run()
