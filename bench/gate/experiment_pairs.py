# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows what layer 2 of the gate sees, and that it does not see what is not there.

A bank of rounds is measured, exactly as the gate measures them: of equal builds, and of builds in which work of no use
makes a request 5 % dearer. Then the gate's own procedure (so many rounds first, more where the canary is too wide, Holm over
the scenarios) draws its decisions from the bank, no round twice. The bank is a file of JSON lines; a second run adds to it.
"""

import json
import math
import shutil
import time
from collections import defaultdict
from pathlib import Path

from gate import builds, experiment_counts, history, layer2, layouts, pairs, revisions, scenarios, windows
from gate.progress import progress
from gate.revisions import NoVerdict

INJECTED = 1.05
PLACE = "protocols/http/h1_request.c:dispatch"  # once for each request
LOOP = ('    for (unsigned long busy = {loops}; busy != 0; busy--) {{\n        __asm__ volatile("" : "+r"(busy));\n    }}\n')
LOOPS_A_US = 3300       # a first guess
CALIBRATION_ROUNDS = 32
EQUAL_EACH = 5          # rounds of equal builds for each of the injected
LIMIT = 150             # rounds of a scenario: what the gate has time for by default


# ---- builds that are slower ------------------------------------------------------------------------------------------

class Slower:
    """Builds of a commit with a loop in one function."""

    def __init__(self, commit, work):
        self.commit, self.work, self.source, self.out = commit, work, work / "slower-source", work / "slower-build"
        self.ready = False

    def unpack(self):
        for folder in (self.source, self.out):
            shutil.rmtree(folder, ignore_errors=True)
        revisions.unpack(self.commit, self.source)
        revisions.configure(self.source, self.out, [layouts.COMPILE_ARGUMENTS])
        self.file, self.offset = experiment_counts.definition(self.source, PLACE) or (None, 0)
        if not self.file:
            raise NoVerdict(f"{self.commit} has no function {PLACE}, which the experiment makes slower")
        self.text, self.ready = self.file.read_text(), True

    def servers(self, loops):
        folder = self.work / f"slower-{loops}"
        if not (folder / "complete").exists():
            if not self.ready:
                self.unpack()
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            self.file.write_text(self.text[:self.offset] + LOOP.format(loops=loops) + self.text[self.offset:])
            revisions.make(self.out, [builds.SERVER])
            layouts.relink(self.out, builds.SERVER, folder)
            (folder / "complete").touch()
        return sorted(folder.glob(f"{builds.SERVER}-[0-9]*"))


class Bench:
    """Rounds of one commit against itself, or against slower builds of it."""

    def __init__(self, options, work):
        self.commit = revisions.resolve(options.revision)
        built = builds.build_revision(options.revision, self.commit, self.commit, work)
        work = work / f"experiment-{self.commit[:16]}"
        work.mkdir(exist_ok=True)
        load = options.load or built.load
        if not load:
            raise NoVerdict("gyre-load was not built (ci/setup --bench brings what it needs); or name one: --load FILE")
        self.settings = windows.Settings(load, options.seconds, options.seconds / 5, options.server_core, options.client_core,
                                         options.lock)
        self.files = work / "files"
        scenarios.write_files(self.files)
        self.slower, self.equal = Slower(self.commit, work), [str(server) for server in built.servers]
        self.rows = {row.name: row for row in scenarios.named(options.only)}
        self.costs = defaultdict(list)
        self.seed = options.seed

    def measured(self, name, programs):
        row = self.rows[name]
        commands = {role: scenarios.command_of(row, program, self.files) for role, program in programs.items()}
        costs = windows.measure_window(self.settings, row.url, row.load, commands)
        self.costs[name].append(costs["base"])
        return costs

    def rounds(self, name, head, seed):
        return layer2.Rounds([name], self.measured, self.equal, [str(program) for program in head], seed)

    def calibrate(self, name):
        """How many turns of the loop make a request of this scenario 5 % dearer."""
        rounds = self.rounds(name, self.equal, self.seed)
        rounds.add([name])
        loops = max(1, round(sorted(self.costs[name])[0] * (INJECTED - 1) * LOOPS_A_US))
        rounds = self.rounds(name, self.slower.servers(loops), self.seed)
        for done in range(CALIBRATION_ROUNDS):
            progress(f"calibrating {name}: {done} of {CALIBRATION_ROUNDS} rounds ")
            rounds.add([name])
        seen = math.exp(pairs.estimate(rounds.data[name])) - 1
        if not 0.01 < seen < 0.2:
            raise NoVerdict(f"{loops} turns of a loop made {name} {seen:.1%} dearer, where 5 % were meant; is the machine quiet?")
        return max(1, round(loops * (INJECTED - 1) / seen))


# ---- the bank --------------------------------------------------------------------------------------------------------

def read_bank(path):
    """(what it was measured with or None, its rounds)"""
    if not Path(path).exists():
        return None, []
    lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return (lines[0], lines[1:]) if lines else (None, [])


def write_line(bank, line):
    bank.write(json.dumps(line, separators=(",", ":")) + "\n")
    bank.flush()


def begin_bank(bench, path):
    """The bank's first line: of what is there already, or anew."""
    about, _ = read_bank(path)
    if about:
        if about["commit"] != bench.commit or set(about["loops"]) != set(bench.rows):
            raise NoVerdict(f"{path} holds rounds of {about['commit'][:12]} and {', '.join(about['loops'])}; begin another bank")
        return about
    about = {"schema": "gyre-bank-1", "commit": bench.commit, "fingerprint": history.fingerprint(history.machine()),
             "seconds": bench.settings.seconds, "place": PLACE, "loops": {name: bench.calibrate(name) for name in bench.rows}}
    with open(path, "a", encoding="utf-8") as bank:
        write_line(bank, about)
    return about


def fill(bench, path, about, minutes):
    """Measures for so long; each round is written as it ends."""
    began = time.monotonic()
    seed = f"{bench.seed}-{len(read_bank(path)[1])}"
    kinds = {"equal": {name: bench.rounds(name, bench.equal, f"{seed}-equal-{name}") for name in bench.rows},
             "slow": {name: bench.rounds(name, bench.slower.servers(about["loops"][name]), f"{seed}-slow-{name}")
                      for name in bench.rows}}
    turn = 0
    with open(path, "a", encoding="utf-8") as bank:
        while time.monotonic() - began < minutes * 60:
            turn += 1
            for kind in ("equal", "slow") if turn % EQUAL_EACH == 0 else ("equal",):
                for name, rounds in kinds[kind].items():
                    before, start = len(rounds.data[name]), time.monotonic()
                    rounds.add([name])
                    if len(rounds.data[name]) > before:
                        write_line(bank, {"kind": kind, "scenario": name, "ratio": rounds.data[name][-1],
                                          "canary": rounds.canaries[name][-1], "took_s": round(time.monotonic() - start, 3)})
            progress(f"measuring: {turn} rounds of each, {minutes - (time.monotonic() - began) / 60:.1f} minutes left ")
    progress("")


# ---- decisions -------------------------------------------------------------------------------------------------------

class Pool:
    """The rounds of one kind and scenario, each handed out once."""

    def __init__(self, rounds):
        self.rounds, self.next = rounds, 0

    def take(self, number):
        """([ratio], [canary]), or None when there are not as many any more."""
        if self.next + number > len(self.rounds):
            return None
        taken = self.rounds[self.next:self.next + number]
        self.next += number
        return [each["ratio"] for each in taken], [each["canary"] for each in taken]


def pools_of(rounds):
    """{kind: {scenario: Pool}}"""
    sorted_out = defaultdict(lambda: defaultdict(list))
    for each in rounds:
        sorted_out[each["kind"]][each["scenario"]].append(each)
    return {kind: {name: Pool(of) for name, of in by_name.items()} for kind, by_name in sorted_out.items()}


def draw_run(pools, company=None):
    """One run of the gate, as layer2.run_rounds() has it: (data, canaries), or None when the bank is empty. `company`: data
    and canaries of the other scenarios, which are not drawn."""
    data, canaries = (dict(each) for each in company or ({}, {}))
    for name in pools:
        data[name], canaries[name] = [], []
    wanted, number = list(pools), layer2.ROUNDS_FIRST
    while wanted:
        for name in wanted:
            taken = pools[name].take(min(number, LIMIT - len(data[name])))
            if taken is None:
                return None
            data[name] += taken[0]
            canaries[name] += taken[1]
        wanted = [name for name in pairs.needs_more(data, canaries) if name in pools and len(data[name]) < LIMIT]
        number = max([layer2.ROUNDS_MORE, *(len(data[name]) // 4 for name in wanted)])
    return data, canaries


def decisions_of(rounds):
    """{"equal": [decision], "slow": [decision]}; a slow scenario is decided in the company of equal ones, so that Holm is as
    hard on it as it is in the gate."""
    pools = pools_of(rounds)
    found, runs = {"equal": [], "slow": []}, []
    while pools.get("equal") and (run := draw_run(pools["equal"])) is not None:
        runs.append(run)
        found["equal"] += [{"scenario": name, **result} for name, result in pairs.decide(*run).items()]
    left = dict(pools.get("slow", {})) if runs else {}
    number = 0
    while left:
        for name in list(left):
            others = [{other: values for other, values in part.items() if other != name} for part in runs[number % len(runs)]]
            run = draw_run({name: left[name]}, others)
            if run is None:
                del left[name]
                continue
            number += 1
            found["slow"].append({"scenario": name, **pairs.decide(*run)[name]})
    return found


def binomial_limits(hits, number, level=0.95):
    """Clopper and Pearson's interval of a share."""
    def at_most(k, p):
        return sum(math.comb(number, i) * p ** i * (1 - p) ** (number - i) for i in range(k + 1))

    def solve(is_below):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if is_below(middle) else (low, middle)
        return low

    side = (1 - level) / 2
    lower = 0.0 if hits == 0 else solve(lambda p: 1 - at_most(hits - 1, p) < side)
    upper = 1.0 if hits == number else solve(lambda p: at_most(hits, p) > side)
    return lower, upper


def share(decisions, verdict):
    hits, number = sum(each["verdict"] == verdict for each in decisions), len(decisions)
    lower, upper = binomial_limits(hits, number) if number else (0.0, 1.0)
    return {"hits": hits, "of": number, "lower": lower, "upper": upper}


def spread(values):
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))


def summary(about, rounds):
    decisions = decisions_of(rounds)
    result = {"schema": "gyre-experiment-1", "about": about, "rounds": len(rounds), "decisions": decisions, "noise": {},
              "injected": {}}
    for name in about["loops"]:
        equal = [each["ratio"] for each in rounds if (each["kind"], each["scenario"]) == ("equal", name)]
        slow = [each["ratio"] for each in rounds if (each["kind"], each["scenario"]) == ("slow", name)]
        if equal and slow:
            lower, upper = pairs.limits(slow, 0.025)
            result["noise"][name] = spread(equal)
            result["injected"][name] = {"ratio": math.exp(pairs.estimate(slow)), "lower": math.exp(lower),
                                        "upper": math.exp(upper)}
    every = decisions["equal"] + decisions["slow"]
    result["false_alarms"], result["caught"] = share(decisions["equal"], "fail"), share(decisions["slow"], "fail")
    result["inconclusive"] = share(every, "inconclusive")
    result["pairs_mean"] = sum(each["pairs"] for each in every) / max(1, len(every))
    result["round_s"] = sum(each["took_s"] for each in rounds) / max(1, len(rounds))
    return result


def text_of(part):
    return f"{part['hits']} of {part['of']} (95 %: {part['lower']:.1%} to {part['upper']:.1%})"


def print_summary(result):
    print(f"{result['rounds']} rounds of {result['round_s']:.2f} s; {result['pairs_mean']:.0f} pairs to a decision")
    for name, noise in result["noise"].items():
        injected = result["injected"][name]
        print(f"  {name:12} a pair's log ratio spreads by {noise:.4f}; injected: {injected['ratio']:.4f} "
              f"({injected['lower']:.4f} – {injected['upper']:.4f})")
    print(f"equal builds:   false alarms {text_of(result['false_alarms'])}")
    print(f"injected 5 %:   caught {text_of(result['caught'])}")
    print(f"of all:         inconclusive {text_of(result['inconclusive'])}, counted as misses above")


def run(options, work):
    if options.minutes > 0:
        bench = Bench(options, work)
        fill(bench, options.bank, begin_bank(bench, options.bank), options.minutes)
    about, rounds = read_bank(options.bank)
    if not rounds:
        raise NoVerdict(f"{options.bank} holds no rounds yet")
    result = summary(about, rounds)
    print_summary(result)
    return result
