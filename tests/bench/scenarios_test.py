# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenarios that the gate counts: each runs, allocates nothing as it goes, and counts the same every time."""

import json
import os
import subprocess

from harness import equal, run, test, true

PROGRAM = os.environ.get("GATE_SCENARIOS", "build/debug/bench/gate-scenarios")


def said(*arguments):
    ended = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True)
    return ended.returncode, ended.stdout, ended.stderr


def counted(name, iterations):
    status, out, errors = said(name, str(iterations))
    equal(status, 0, f"{name}: {errors}")
    return json.loads(out)


NAMES = said()[1].split()


@test
def there_are_scenarios_of_every_kind():
    for name in ("h1-get", "h1-pipeline16", "h1-post-chunked", "h1-large-head", "h1-refused", "chain-pass", "timer-churn",
                 "worker-get"):
        true(name in NAMES, name)


@test
def every_scenario_runs_and_does_what_it_says():
    for name in NAMES:
        few, many = counted(name, 8), counted(name, 24)
        equal(many["operations"], 3 * few["operations"], name)
        equal(many["scenario"], name)


@test
def no_scenario_allocates_as_it_goes():
    # A chat room does: an append is a job of its own, and what is kept of it an entry of the history.
    for name in (each for each in NAMES if not each.startswith("chat-")):
        equal(counted(name, 24)["allocations"], counted(name, 8)["allocations"], name)


@test
def counts_are_the_same_every_time():
    for name in NAMES:
        equal(counted(name, 20), counted(name, 20))


@test
def a_worker_submits_once_for_each_receive_that_it_answers():
    few, many = counted("worker-get", 10), counted("worker-get", 110)
    equal(many["enters"] - few["enters"], 100, "a turn is one enter")
    equal(many["submissions"] - few["submissions"], 1600, "a send for each of 16 connections")
    of_both = many["completions"] - few["completions"]
    true(3200 <= of_both <= 3210, f"of each receive, of its send, and where a buffer's end cuts a receive: {of_both}")


@test
def a_slice_is_answered_without_a_copy():
    equal(counted("h1-response-slice", 10)["copied_bytes"], 0)


@test
def misuse_exits_2():
    for arguments in (("no-such",), ("no-such", "1"), ("h1-get",), ("h1-get", "0"), ("h1-get", "1x"),
                      ("h1-get", "1", "2")):
        status, out, errors = said(*arguments)
        equal((status, out), (2, ""), f"{arguments}")
        true("usage" in errors, errors)


run()
