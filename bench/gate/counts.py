# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what an operation of a scenario costs: instructions by function, system calls, allocations, copies, submissions.

Every scenario is run with two numbers of iterations; what is told is the difference, so that start-up falls out. It is
exact: the scenarios have no clock, no kernel and no randomness in them.
"""

import json
import os
import posixpath
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

from gate.revisions import NoVerdict

# The difference covers whole rounds of everything that goes in rounds (a level of the timing wheel has 256 slots).
FEW, MANY = 64, 576

COUNTED = ("allocations", "copied_bytes", "enters", "submissions", "completions")
# The ring's enters are system calls as well; in the scenarios the null ring stands for the kernel, and they are added.
FIGURES = ("instructions", *COUNTED, "system_calls")

VALGRIND = shutil.which("valgrind")

POSITION = re.compile(r"(fl|fi|fe|fn|ob|cob|cfi|cfl|cfn)=(.*)")


def parse_callgrind(lines):
    """Instructions of each function by itself: {"file:function": count}. The file of a run without compressed names."""
    costs = {}
    file = function = ""
    inclusive = False
    for line in lines:
        if not line or line[0] == "\n":
            continue
        if line[0].isdigit() or line[0] in "+-*":
            if inclusive:
                inclusive = False  # what was called counts in its own function
            else:
                costs[function] = costs.get(function, 0) + int(line.split()[1])
            continue
        position = POSITION.match(line)
        if position is None:
            if line.startswith("calls="):
                inclusive = True
        elif position[1] == "fl":
            file = position[2].strip()
        elif position[1] == "fn":
            function = function_name(file, position[2].strip())
    return costs


def function_name(file, function):
    """Where it is and what it is called; compilers' suffixes (.constprop.0, .part.1, .isra.0) and callgrind's ('2: a
    recursion) taken off, since they come and go."""
    function = re.sub(r"('\d+|\.(constprop|part|isra|cold|lto_priv)(\.\d+)?)+$", "", function)
    file = "" if file in ("", "???") else posixpath.normpath(file).lstrip("/") + ":"
    return file + function


def run_once(words, folder):
    """With nothing in the environment and a short name: what lies on the stack is the same for all."""
    run = subprocess.run(words, cwd=folder, env={}, capture_output=True, text=True)
    if run.returncode != 0:
        raise NoVerdict(f"`{' '.join(words)}` in {folder} ended with {run.returncode}: {run.stderr.strip()[-2000:]}")
    return run.stdout


def count_natively(program, name, iterations):
    return json.loads(run_once(["./" + program.name, name, str(iterations)], program.parent))


def count_system_calls(lines):
    """In what valgrind's --trace-syscalls wrote; the line that tells how a blocking call ended is not another call."""
    return sum(re.match(r"SYSCALL\[[^]]*\]\(\s*\d+\) (?!\.\.\.)", line) is not None for line in lines)


def trace(program, name, iterations, parse=parse_callgrind):
    """(what `parse` makes of callgrind's file, system calls)"""
    with tempfile.TemporaryDirectory(prefix="gyre-gate-") as folder:
        out, log = os.path.join(folder, "out"), os.path.join(folder, "log")
        run_once([VALGRIND, "--tool=callgrind", "--quiet", f"--callgrind-out-file={out}", "--compress-strings=no",
                  "--compress-pos=no", "--trace-syscalls=yes", f"--log-file={log}", "./" + program.name, name,
                  str(iterations)], program.parent)
        with open(out, encoding="utf-8", errors="replace") as lines:
            parsed = parse(lines)
        with open(log, encoding="utf-8", errors="replace") as lines:
            return parsed, count_system_calls(lines)


def difference(few, many):
    return {name: many.get(name, 0) - few.get(name, 0) for name in many.keys() | few.keys()}


def count_scenario(program, name):
    """{"what", "operations", figure: Fraction an operation…, "functions": {name: Fraction an operation}}"""
    few, many = (count_natively(program, name, n) for n in (FEW, MANY))
    operations = many["operations"] - few["operations"]
    traces = [trace(program, name, n) for n in (FEW, MANY)]
    costs = difference(*(parsed for parsed, _ in traces))
    result = {"what": many["what"], "operations": operations}
    result.update({key: Fraction(many[key] - few[key], operations) for key in COUNTED})
    result["instructions"] = Fraction(sum(costs.values()), operations)
    result["system_calls"] = result["enters"] + Fraction(traces[1][1] - traces[0][1], operations)
    result["functions"] = {name: Fraction(cost, operations) for name, cost in costs.items() if cost != 0}
    return result


def scenario_names(program):
    return run_once(["./" + program.name], program.parent).split()


def count_all(programs, only=(), told=None):
    """For each program, {scenario: counts}. Runs as many at once as there are processors: counts do not mind company."""
    if VALGRIND is None:
        raise NoVerdict("valgrind is missing; `ci/setup --bench` installs it")
    jobs = [(number, name) for number, program in enumerate(programs) for name in scenario_names(program)
            if not only or name in only]
    results = [{} for _ in programs]
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        counts = workers.map(lambda job: count_scenario(programs[job[0]], job[1]), jobs)
        for done, ((number, name), result) in enumerate(zip(jobs, counts), 1):
            results[number][name] = result
            if told:
                told(done, len(jobs))
    return results
