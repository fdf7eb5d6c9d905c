# SPDX-License-Identifier: GPL-3.0-or-later
"""Layer 2 of the gate: CPU time per request of real servers, in rounds of short windows.

A round is three windows of a scenario, one right behind the other in random order, the server started afresh for each:
the base, the base once more (the canary), and the head, each in a random one of its layouts. pairs.py decides.
"""

import contextlib
import fcntl
import math
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import measure
from gate import layer1, layouts, pairs, revisions
from gate.revisions import NoVerdict

HERE = Path(__file__).resolve().parents[1]
SCENARIOS = {"keepalive": 1, "pipeline16": 16}  # name -> requests in one write
COMMAND = "{program} http --listen 127.0.0.1:{{port}} --workers 1 --fixed"
ROUNDS_FIRST = 16
ROUNDS_MORE = 4
VOID_MAX = 20


class Void(Exception):
    """A window that says nothing: an error, or no requests."""


def cpu_ns(server):
    """Time on a processor of all threads of a server, as the scheduler counts it: to the nanosecond, where the ticks of
    /proc/PID/stat would be a hundredth of a short window."""
    total = 0
    for pid in server.processes():
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass
    return total


def load(options, scenario, port, seconds):
    """One wrk run of `seconds` at least; what its script counted."""
    words = ["taskset", "-c", str(options.client_core), "timeout", str(seconds + 90), "wrk", "-t1",
             f"-c{options.connections}", f"-d{seconds}s", "-s", f"{HERE}/wrk/load.lua", f"http://127.0.0.1:{port}/"]
    settings = {"WRK_DEPTH": str(SCENARIOS[scenario]), "WRK_CONNECTIONS": str(options.connections)}
    run = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **settings})
    line = re.search(r"^figures (.*)$", run.stdout, re.M)
    if run.returncode != 0 or not line:
        raise NoVerdict(f"wrk ended with {run.returncode} (`ci/setup --bench` installs it): "
                        f"{run.stderr.strip() or run.stdout.strip()}")
    figures = {name: int(value) for name, value in (word.split("=") for word in line[1].split())}
    if figures["errors"] or not figures["requests"]:
        raise Void(f"{figures['errors']} errors in {figures['requests']} requests")
    return figures


@contextlib.contextmanager
def locked(path):
    """Meanwhile nobody else who takes this lock measures or compiles. Without a path, nothing."""
    if not path:
        yield
        return
    with open(path, "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def window(options, scenario, program):
    """Nanoseconds of CPU that a request costs in a freshly started server."""
    try:
        with locked(options.lock), measure.Server(str(program), COMMAND.format(program=program), options.server_core) as server:
            load(options, scenario, server.port, 1)
            before = cpu_ns(server)
            figures = load(options, scenario, server.port, options.seconds)
            return (cpu_ns(server) - before) / figures["requests"]
    except measure.Failed as why:
        raise NoVerdict(str(why)) from None


def one_round(draw, measured, base, head):
    """(log ratio, log ratio of the canary). `measured` gives a program's figure."""
    order = [("base", base), ("canary", base), ("head", head)]
    draw.shuffle(order)
    costs = {name: measured(draw.choice(programs)) for name, programs in order}
    return math.log(costs["head"] / costs["base"]), math.log(costs["canary"] / costs["base"])


class Rounds:
    """What was measured so far."""

    def __init__(self, scenarios, measured, base, head, seed):
        self.data = {name: [] for name in scenarios}
        self.canaries = {name: [] for name in scenarios}
        self.void = 0
        self.draw = random.Random(seed)
        self.measured, self.base, self.head = measured, base, head

    def add(self, names):
        for name in names:
            try:
                datum, canary = one_round(self.draw, lambda program: self.measured(name, program), self.base, self.head)
            except Void as why:
                self.void += 1
                print(f"void: {name}: {why}", file=sys.stderr)
                if self.void > VOID_MAX:
                    raise NoVerdict(f"{self.void} windows were void; the last one: {why}") from None
                continue
            self.data[name].append(datum)
            self.canaries[name].append(canary)


def run_rounds(rounds, out_of_time, told=lambda rounds: None):
    """Measures until a slow-down of 5 % would be seen in every scenario, or the time is up."""
    wanted, number = list(rounds.data), ROUNDS_FIRST
    while wanted:
        for _ in range(number):
            if out_of_time():
                return
            rounds.add(wanted)
            told(rounds)
        wanted, number = pairs.needs_more(rounds.data, rounds.canaries), ROUNDS_MORE


def compare(base_name, head_name, options):
    base_commit, head_commit = revisions.resolve(base_name), revisions.resolve(head_name)
    with layer1.work_folder(options.work) as work:
        built = []
        for name, commit in ((base_name, base_commit), (head_name, head_commit)):
            layer1.progress(f"building {name} in {layouts.LAYOUTS} layouts ")
            built.append(layouts.build_layouts(commit, work))
        began = time.monotonic()
        rounds = Rounds(SCENARIOS, lambda name, program: window(options, name, program), *built, options.seed)
        run_rounds(rounds, lambda: time.monotonic() - began > options.minutes * 60,
                   lambda r: layer1.progress(f"measuring: {min(map(len, r.data.values()))} rounds "))
        layer1.progress("")
    if not all(len(values) for values in rounds.data.values()):
        raise NoVerdict("the time was up before anything was measured")
    results = pairs.decide(rounds.data, rounds.canaries)
    return {"schema": "gyre-gate-2", "base": {"name": base_name, "commit": base_commit},
            "head": {"name": head_name, "commit": head_commit}, "verdict": pairs.verdict_of_all(results),
            "seed": options.seed, "void": rounds.void,
            "scenarios": [{"name": name, **result, "log_ratios": rounds.data[name],
                           "canary_log_ratios": rounds.canaries[name]} for name, result in results.items()]}


def print_result(result):
    print(f"CPU time per request, {result['head']['name']} / {result['base']['name']}:")
    for scenario in result["scenarios"]:
        p = f"p = {scenario['p']:.4f}"
        print(f"  {scenario['name']:12} {scenario['ratio']:.3f}  ({scenario['lower']:.3f} – {scenario['upper']:.3f})  {p}  "
              f"{scenario['pairs']} pairs; 5 % would be seen in {scenario['power']:.0%}  {scenario['verdict']}")
    meaning = {"pass": "no scenario is more than 3 % dearer",
               "fail": "more than 3 % dearer, whatever the machine did meanwhile",
               "inconclusive": "this machine is too noisy now to see a slow-down of 5 %; try later, or give it more --minutes"}
    print(f"{result['verdict']}: {meaning[result['verdict']]}")
