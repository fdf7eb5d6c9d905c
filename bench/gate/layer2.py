# SPDX-License-Identifier: GPL-3.0-or-later
"""Layer 2 of the gate: CPU time per request of real servers, in rounds of short windows.

In a round three servers are started afresh and measured side by side: the base, the base once more (the canary), and the
head, each in a random one of its function orders, and started in random order. pairs.py decides.
"""

import itertools
import math
import random
import shlex
import sys
import time
from pathlib import Path

import measure
from gate import pairs, scenarios, windows
from gate.progress import progress
from gate.revisions import NoVerdict
from gate.windows import Void

ROUNDS_FIRST = 12
ROUNDS_MORE = 6
VOID_MAX = 20
ROLES = ("base", "canary", "head")


def one_round(draw, measured, base, head):
    """(log ratio, log ratio of the canary). `measured` gives {role: cost} for {role: program}, in that order."""
    order = [("base", base), ("canary", base), ("head", head)]
    draw.shuffle(order)
    costs = measured({role: draw.choice(programs) for role, programs in order})
    return math.log(costs["head"] / costs["base"]), math.log(costs["canary"] / costs["base"])


class Rounds:
    """What was measured so far. `base` and `head`: for each scenario, what may be started."""

    def __init__(self, names, measured, base, head, seed):
        self.data = {name: [] for name in names}
        self.canaries = {name: [] for name in names}
        self.void = 0
        self.draw = random.Random(seed)
        self.measured, self.base, self.head = measured, base, head

    def add(self, names):
        for name in names:
            try:
                datum, canary = one_round(self.draw, lambda programs: self.measured(name, programs), self.base, self.head)
            except Void as why:
                self.void += 1
                print(f"void: {name}: {why}", file=sys.stderr)
                if self.void > VOID_MAX:
                    raise NoVerdict(f"{self.void} windows were void; the last one: {why}") from None
                continue
            self.data[name].append(datum)
            self.canaries[name].append(canary)


def run_rounds(rounds, out_of_time, told=lambda rounds: None):
    """Measures until a slow-down of 5 % would be seen in every scenario, or the time is up; one round at least."""
    wanted, number = list(rounds.data), ROUNDS_FIRST
    while wanted:
        for _ in range(number):
            if out_of_time() and all(rounds.data.values()):
                return
            rounds.add(wanted)
            told(rounds)
        wanted = pairs.needs_more(rounds.data, rounds.canaries)
        number = max([ROUNDS_MORE, *(len(rounds.data[name]) // 4 for name in wanted)])


# ---- what is measured ------------------------------------------------------------------------------------------------

TRIES_S = (0.05, 0.3, 2.0)  # a busy machine may not come to answer in the first


def tried(settings, scenario, program, files):
    """Raises windows.Void or NoVerdict when `program` cannot be loaded in any of some longer and longer windows."""
    for seconds in TRIES_S:
        short = windows.Settings(settings.load, seconds, seconds / 2, settings.server_core, settings.client_core, settings.lock)
        command = scenarios.command_of(scenario, program, files)
        try:
            return windows.measure_window(short, scenario.url, scenario.load, {"its server": command})
        except Void:
            if seconds == TRIES_S[-1]:
                raise


def runnable(settings, wanted, base, head, files):
    """(the scenarios that both sides can serve, notes about the others)"""
    found, notes = [], []
    for scenario in wanted:
        try:
            tried(settings, scenario, head[0], files)
        except Void as why:
            raise NoVerdict(f"{scenario.name} cannot be measured: {why}") from None
        try:
            tried(settings, scenario, base[0], files)
            found.append(scenario)
        except (Void, NoVerdict):
            notes.append(f"{scenario.name} cannot be served by the base: there is nothing to compare it with")
    return found, notes


def measure_rounds(settings, wanted, base, head, minutes, seed, files):
    """(Rounds, the share of the machine's time that was stolen meanwhile)"""
    by_name = {scenario.name: scenario for scenario in wanted}

    def measured(name, programs):
        scenario = by_name[name]
        commands = {role: scenarios.command_of(scenario, program, files) for role, program in programs.items()}
        return windows.measure_window(settings, scenario.url, scenario.load, commands)

    began, stolen = time.monotonic(), measure.machine_ticks()
    rounds = Rounds(by_name, measured, base, head, seed)
    run_rounds(rounds, lambda: time.monotonic() - began > minutes * 60,
               lambda r: progress(f"measuring: {min(map(len, r.data.values()))} rounds "))
    progress("")
    until = measure.machine_ticks()
    return rounds, (until[0] - stolen[0]) / max(1, until[1] - stolen[1])


def tolerance_of(waived):
    """{scenario: (the logarithm of what may be, reason)} for waivers of figure "cpu"."""
    return {name: (max(pairs.TOLERATED, math.log(1 + float(allowed))), reason)
            for (name, figure), (allowed, reason) in waived.items() if figure == "cpu"}


def judged(rounds, about, waived):
    """What --json has of it, without who was compared."""
    tolerated = {name: limit for name, (limit, _) in tolerance_of(waived).items()}
    results = pairs.decide(rounds.data, rounds.canaries, tolerated)
    found = []
    for name, result in results.items():
        reason = waived[name, "cpu"][1] if name in tolerated else None
        found.append({"name": name, "what": about[name], **result, "waiver": reason, "log_ratios": rounds.data[name],
                      "canary_log_ratios": rounds.canaries[name]})
    return {"schema": "gyre-gate-2", "verdict": pairs.verdict_of_all(results), "void": rounds.void, "scenarios": found}


def compare(base, head, options, waived, work):
    """`base`, `head`: builds.Built. `options`: minutes, seconds, the cores, lock, seed, only (scenarios' names)."""
    for side in (base, head):
        if not side.servers:
            raise NoVerdict(f"{side.name} has no server `gyre` in it; without one there is --layer counts, and for servers of "
                            "other names `gyre-bench pairs --a … --b … --url …`")
    load = options.load or head.load or base.load
    if not load:
        raise NoVerdict("neither side has built gyre-load: it needs HdrHistogram_c (ci/setup --bench); or name one: --load FILE")
    settings = windows.Settings(load, options.seconds, options.seconds / 5, options.server_core, options.client_core,
                                options.lock)
    files = Path(work) / "files"
    scenarios.write_files(files)
    programs = [[shlex.quote(str(server)) for server in side.servers] for side in (base, head)]
    wanted, notes = runnable(settings, scenarios.named(options.only), *programs, files)
    if not wanted:
        raise NoVerdict("there is no scenario that both sides can serve; there are "
                        + ", ".join(scenario.name for scenario in scenarios.SCENARIOS))
    rounds, stolen = measure_rounds(settings, wanted, *programs, options.minutes, options.seed, files)
    for name in tolerance_of(waived).keys() - rounds.data.keys():
        notes.append(f"the waiver for cpu of {name}: there is no such scenario")
    result = judged(rounds, {scenario.name: scenario.what for scenario in wanted}, waived)
    result.update({"base": base.about(), "head": head.about(), "seed": options.seed, "stolen": stolen,
                   "notes": notes + list(itertools.chain(base.notes, head.notes))})
    return result


def compare_commands(base, head, options):
    """Servers of any kind: lists of commands with {port} in them, and one address."""
    for command in [*base, *head]:
        if "{port}" not in command:
            raise NoVerdict(f"`{command}` has no {{port}} in it: three servers run side by side, each on a port of its own")
    if "{port}" not in options.url:
        raise NoVerdict(f"--url {options.url}: the port must be {{port}}, as in http://127.0.0.1:{{port}}/")
    if not options.load:
        raise NoVerdict("gyre-load was not found; name it: --load FILE")
    settings = windows.Settings(options.load, options.seconds, options.seconds / 5, options.server_core, options.client_core,
                                options.lock)
    flags = tuple(options.load_flags)
    row = scenarios.Scenario("load", f"a request of `gyre-load {options.url} {' '.join(flags)}`".rstrip(" `") + "`",
                             "{program}", options.url, flags)
    rounds, stolen = measure_rounds(settings, [row], base, head, options.minutes, options.seed, "")
    result = judged(rounds, {row.name: row.what}, {})
    notes = [f"{which} was measured as one build: give it once for each of several function orders, lest a difference be "
             "one of layout" for which, commands in (("--a", base), ("--b", head)) if len(set(commands)) < 2]
    result.update({"base": {"name": base[0], "commit": ""}, "head": {"name": head[0], "commit": ""}, "seed": options.seed,
                   "stolen": stolen, "notes": notes})
    return result


def print_result(result):
    print(f"CPU time per request, {result['head']['name']} / {result['base']['name']}, in pairs:")
    for scenario in result["scenarios"]:
        waived = f"; waived: {scenario['waiver']}" if scenario["waiver"] else ""
        shown = f"{scenario['lower']:.3f} – {scenario['upper']:.3f}"
        print(f"  {scenario['name']:12} {scenario['ratio']:.3f}  ({shown})  p = {scenario['p']:.4f}  {scenario['pairs']} pairs; "
              f"5 % would be seen in {scenario['power']:.0%}  {scenario['verdict']}{waived}")
    for note in result["notes"]:
        print(f"  note: {note}")
    if result["void"]:
        print(f"  note: {result['void']} windows had errors; their rounds were left out")
    meaning = {"pass": "no scenario costs more than 3 % more CPU time",
               "fail": "a scenario costs more than 3 % more CPU time, whatever the machine did meanwhile",
               "inconclusive": "this machine is too noisy now for a slow-down of 5 % to be seen; try later, or give it more "
                               f"--minutes ({result['stolen']:.0%} of its time was stolen meanwhile)"}
    print(f"{result['verdict']}: {meaning[result['verdict']]}")
