# SPDX-License-Identifier: GPL-3.0-or-later
"""Layer 1 of the gate: reading callgrind's files, waivers, and the verdict. Nothing is built or measured here."""

import math
import os
import shutil
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

from harness import equal, run, test, true

from gate import counts, decide, layer1, waivers
from gate.revisions import NoVerdict

SYSTEM_CALLS = """\
SYSCALL[4711,1](9) sys_mmap ( 0x0, 204800, 3, 16418, 4294967295, 0 ) --> [pre-success] Success(0x6cff000)
SYSCALL[4711,1](  1) sys_write ( 1, 0x406ec00, 183 ) --> [async] ...
SYSCALL[4711,1](  1) ... [async] --> Success(0xb7)
SYSCALL[4711,1](231) exit_group( 0 ) --> [pre-success] Success(0x0)
==4711== something else
"""

GYRE_BENCH = Path(__file__).resolve().parents[2] / "bench/gyre-bench"

CALLGRIND = """\
# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 4711
cmd: ./gate-scenarios h1-get 64
part: 1


desc: I1 cache:
positions: line
events: Ir
summary: 1113

ob=/somewhere/gate-scenarios
fl=/core/slice.c
fn=gy_chain_append
10 7
+1 3
fi=/core/slab.c
20 40
fe=/core/slice.c
12 2
cfi=/core/slab.c
cfn=gy_slab_take
calls=5 31
13 1000

fl=/core/slab.c
fn=gy_slab_take
31 50
* 10
fn=gy_slab_take'2
31 1

ob=/lib/libc.so.6
fl=???
fn=memcpy
0 100
"""


def refused(function, *arguments):
    """What NoVerdict says."""
    try:
        function(*arguments)
    except NoVerdict as why:
        return str(why)
    raise AssertionError("it was accepted")


def counted(instructions=1000, functions=None, **others):
    values = {figure: Fraction(0) for figure in counts.FIGURES}
    values.update({name: Fraction(value) for name, value in others.items()})
    values["instructions"] = Fraction(instructions)
    functions = functions or {"core/a.c:a": instructions}
    return {**values, "what": "an operation", "functions": {k: Fraction(v) for k, v in functions.items()}}


def failed(base, head, waived=None):
    return decide.decide_scenario("s", base, head, waived or {})["failed"]


# ---- callgrind -------------------------------------------------------------------------------------------------------

@test
def instructions_are_counted_in_the_function_that_runs_them():
    costs = counts.parse_callgrind(CALLGRIND.splitlines(True))
    equal(costs, {"core/slice.c:gy_chain_append": 52, "core/slab.c:gy_slab_take": 61, "memcpy": 100})


@test
def what_was_called_is_not_counted_twice():
    without_calls = [line for line in CALLGRIND.splitlines(True)]
    total = sum(counts.parse_callgrind(without_calls).values())
    equal(total, 52 + 61 + 100)


@test
def names_lose_what_compilers_hang_on_them():
    for name in ("f", "f.constprop.0", "f.part.3", "f.isra.0.cold", "f'2", "f.lto_priv.0'3"):
        equal(counts.function_name("/a/b.c", name), "a/b.c:f", name)
    equal(counts.function_name("???", "memcpy"), "memcpy")
    equal(counts.function_name("./core/slab.c", "gy_slab_take"), "core/slab.c:gy_slab_take")


@test
def start_up_falls_out_of_differences():
    equal(counts.difference({"start": 500, "work": 64}, {"start": 500, "work": 576, "late": 1}),
          {"start": 0, "work": 512, "late": 1})


@test
def system_calls_are_counted_once_also_those_that_block():
    equal(counts.count_system_calls(SYSTEM_CALLS.splitlines(True)), 3)


# ---- the verdict -----------------------------------------------------------------------------------------------------

@test
def equal_counts_pass():
    true(not failed(counted(), counted()), "equal counts pass")


@test
def instructions_fail_from_1_percent_on():
    true(not failed(counted(100000), counted(100999)), "0.999 % passes")
    true(failed(counted(100000), counted(101000)), "1 % fails")
    true(failed(counted(100000), counted(101200)), "1.2 % fails")
    true(not failed(counted(100000), counted(50000)), "less passes")


@test
def any_more_allocation_or_copy_fails():
    true(failed(counted(), counted(allocations=Fraction(1, 512))), "an allocation every 512 operations")
    true(failed(counted(copied_bytes=13), counted(copied_bytes=14)), "a byte")
    true(not failed(counted(copied_bytes=13), counted(copied_bytes=12)), "a byte less")


@test
def a_submission_more_fails_and_so_does_one_out_of_nothing():
    true(failed(counted(submissions=1), counted(submissions=2)), "two for one")
    true(failed(counted(), counted(enters=Fraction(1, 16))), "an enter where there was none")
    true(failed(counted(system_calls=1), counted(system_calls=Fraction(102, 100))), "2 % more system calls")


@test
def the_functions_that_grew_are_named_first_the_one_that_grew_most():
    base = counted(300, {"a": 100, "b": 100, "c": 100})
    head = counted(340, {"a": 110, "b": 90, "c": 100, "d": 40})
    scenario = decide.decide_scenario("s", base, head, {})
    equal([name for name, _, _ in scenario["functions"]], ["d", "a"])


@test
def scenarios_that_only_one_revision_has_are_told():
    scenarios, notes = decide.decide({"old": counted(), "both": counted()}, {"both": counted(), "new": counted()}, {})
    equal([scenario["name"] for scenario in scenarios], ["both"])
    true(any("old is gone" in note for note in notes) and any("new is new" in note for note in notes), f"{notes}")


# ---- waivers ---------------------------------------------------------------------------------------------------------

WAIVER = "s instructions +3% Host is checked (RFC 9112 §3.2)"


@test
def a_waiver_lets_its_scenario_grow_by_its_amount_and_no_further():
    waived = waivers.new_waivers("", WAIVER)
    scenario = decide.decide_scenario("s", counted(1000), counted(1030), waived)
    true(not scenario["failed"], "3 % pass")
    equal(scenario["figures"]["instructions"]["waiver"], "Host is checked (RFC 9112 §3.2)")
    true(failed(counted(1000), counted(1031), waived), "3.1 % fail")
    true(failed(counted(1000), counted(1020, copied_bytes=1), waived), "another figure fails")
    true(decide.decide_scenario("t", counted(1000), counted(1020), waived)["failed"], "another scenario fails")


@test
def a_waiver_holds_once():
    equal(waivers.new_waivers(WAIVER, "# why\n" + WAIVER + "\n"), {})
    true(waivers.new_waivers(WAIVER, WAIVER + "\n" + WAIVER), "written again, it holds again")


@test
def waivers_of_numbers_allow_that_many():
    waived = waivers.new_waivers("", "s copied_bytes +12 the answer is kept")
    true(not failed(counted(copied_bytes=1), counted(copied_bytes=13), waived), "12 pass")
    true(failed(counted(copied_bytes=1), counted(copied_bytes=14), waived), "13 fail")


@test
def a_waiver_that_does_nothing_is_told():
    _, notes = decide.decide({"s": counted()}, {"s": counted()}, waivers.new_waivers("", WAIVER))
    true(len(notes) == 1 and "not needed" in notes[0], f"{notes}")


@test
def waivers_of_layer_2_are_not_missed_by_layer_1():
    waived = waivers.new_waivers("", "keepalive cpu +6% TLS 1.3 is the default")
    equal(decide.decide({"s": counted()}, {"s": counted()}, waived)[1], [])
    equal(waived["keepalive", "cpu"][0], Fraction(6, 100))


@test
def bad_waivers_are_refused_with_the_line():
    for line in ("s instructions +3%", "s instructions 3% why", "s speed +3% why", "s instructions +3 why",
                 "s allocations +1% why"):
        true(line in refused(waivers.new_waivers, "", line), line)
    true("two" in refused(waivers.new_waivers, "", WAIVER + "\n" + WAIVER + " again"), "two for one")


@test
def the_waivers_of_this_revision_can_be_read():
    waivers.new_waivers("", (GYRE_BENCH.parent / "gate/waivers").read_text())


# ---- what is printed -------------------------------------------------------------------------------------------------

@test
def the_suggested_waiver_is_enough():
    for figure, base, head in (("instructions", 1000, 1034), ("instructions", 3, 4), ("copied_bytes", 1, 13),
                               ("allocations", 0, Fraction(1, 3))):
        grown = decide.growth(figure, Fraction(base), Fraction(head))
        line = f"s {figure} {layer1.suggested(figure, grown)} why"
        (allowed, _), = waivers.new_waivers("", line).values()
        true(grown <= allowed, f"{line} allows {grown}")


@test
def the_result_becomes_plain_json():
    equal(layer1.as_json({"a": [Fraction(1, 2), None, True, "x", 3], "b": math.inf}),
          {"a": [0.5, None, True, "x", 3], "b": None})


def gyre_bench(*arguments):
    return subprocess.run([sys.executable, "-B", GYRE_BENCH, *arguments], capture_output=True, text=True)


@test
def a_folder_without_a_repository_is_told_from_an_unknown_revision():
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(GYRE_BENCH.parent, f"{folder}/bench", ignore=shutil.ignore_patterns("__pycache__", "wrk", "work"))
        ended = subprocess.run([f"{folder}/bench/gyre-bench", "gate", "HEAD", "HEAD"], cwd=folder, capture_output=True, text=True,
                               env=dict(os.environ, GIT_CEILING_DIRECTORIES=os.path.dirname(folder)), check=False)
        equal((ended.returncode, ended.stdout), (2, ""), ended.stderr)
        true("is in no git repository" in ended.stderr and "shallow" not in ended.stderr, ended.stderr)


@test
def misuse_and_unknown_revisions_exit_2():
    for arguments in ((), ("frobnicate",), ("gate",), ("gate", "HEAD"), ("gate", "no-such-revision", "HEAD")):
        ended = gyre_bench(*arguments)
        equal(ended.returncode, 2, f"{arguments}")
        equal(ended.stdout, "", "stdout")
        true(ended.stderr != "", "it says why")


@test
def help_fits_a_screen_and_exits_0():
    for arguments in (("--help",), ("gate", "--help"), ("pairs", "--help"), ("history", "--help"), ("experiment", "--help")):
        ended = gyre_bench(*arguments)
        equal(ended.returncode, 0)
        true(len(ended.stdout.splitlines()) <= 36, f"{arguments} fits")


run()
