# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows what layer 1 of the gate sees, and that it does not see what is not there.

Equal builds: a revision is built several times in folders of its own, and every scenario of each build compared with the
first. Injected regressions: instructions that do nothing are put into functions of core, protocols and servers, chosen
at random among those that a scenario calls, as many as make that scenario's operation 1.2 % dearer.
"""

import random
import re
from fractions import Fraction

from gate import counts, decide, revisions
from gate.progress import progress

INJECTED = Fraction(12, 1000)
INJECTED_MAX = Fraction(13, 1000)  # what rounding up to whole instructions may make of it
TARGET = ["bench/gate-scenarios"]


def called(lines):
    """{"file:function": calls} of a callgrind file."""
    calls = {}
    file = target_file = target = ""
    for line in lines:
        key, _, value = line.strip().partition("=")
        if key in ("fl", "fi", "fe"):
            file = value
        elif key in ("cfi", "cfl"):
            target_file = value
        elif key == "cfn":
            target = counts.function_name(target_file or file, value)
        elif key == "calls":
            calls[target] = calls.get(target, 0) + int(value.split()[0])
            target_file = ""
    return calls


def calls_of(program, name, operations):
    runs = [counts.trace(program, name, n, called)[0] for n in (counts.FEW, counts.MANY)]
    return {function: Fraction(number, operations) for function, number in counts.difference(*runs).items() if number > 0}


def definition(source, place):
    """(file, offset behind the opening brace) of a function, or None."""
    path, _, function = place.partition(":")
    file = source / path
    if not re.match(r"(core|protocols|servers)/.*\.c$", path) or not file.exists():
        return None
    found = list(re.finditer(r"^[a-z][^;{}=]*\b" + re.escape(function) + r"\([^;{}]*\)\n\{\n", file.read_text(), re.M))
    return (file, found[0].end()) if len(found) == 1 else None


def candidates(source, program, base):
    """[(place, scenario, instructions to inject)]"""
    found = []
    for name, scenario in base.items():
        for place, calls in calls_of(program, name, scenario["operations"]).items():
            needed = -(-(INJECTED * scenario["instructions"]) // calls)
            if definition(source, place) and needed * calls / scenario["instructions"] <= INJECTED_MAX:
                found.append((place, name, int(needed)))
    return found


def choose(found, number, seed):
    """Different functions, in random order; each in one of the scenarios it is called in."""
    order = sorted(found)
    random.Random(seed).shuffle(order)
    return list({place: (place, name, needed) for place, name, needed in order}.values())[:number]


def inject(source, folder, program, base, choice):
    place, name, needed = choice
    file, offset = definition(source, place)
    text = file.read_text()
    nops = f'    __asm__ inline volatile(".rept {needed}\\n nop\\n .endr");\n'
    try:
        file.write_text(text[:offset] + nops + text[offset:])
        revisions.build(source, folder, TARGET)
        head = counts.count_scenario(program, name)
    finally:
        file.write_text(text)
    verdict = decide.decide_scenario(name, base[name], head, {})
    named = [function for function, _, _ in verdict["functions"]]
    return {"place": place, "scenario": name, "instructions": needed, "caught": verdict["failed"],
            "grown": float(verdict["figures"]["instructions"]["growth"]), "named": named[:1] == [place]}


def equal_builds(commit, work, number):
    """Decisions between equal builds, and those that were alarms or saw any difference at all."""
    programs = []
    for i in range(number + 1):
        source, folder = work / f"equal-{i:03}" / "source", work / f"equal-{i:03}" / "build"
        if not source.exists():
            revisions.unpack(commit, source)
        revisions.build(source, folder, TARGET)
        programs.append(folder / TARGET[0])
        progress(f"equal builds: {i} of {number} ")
    first, *others = counts.count_all(programs)
    result = {"decisions": 0, "alarms": 0, "differences": 0}
    for other in others:
        scenarios, _ = decide.decide(first, other, {})
        result["decisions"] += len(scenarios)
        result["alarms"] += sum(scenario["failed"] for scenario in scenarios)
        result["differences"] += sum(first[name] != other[name] for name in first)
    return result, first


def run(options, work):
    commit = revisions.resolve(options.revision)
    work = work / f"experiment-{commit[:16]}"
    result, base = equal_builds(commit, work, options.builds)
    print(f"equal builds: {result['decisions']} decisions, {result['alarms']} false alarms, "
          f"{result['differences']} in which any count differed", flush=True)
    source, folder = work / "equal-000/source", work / "equal-000/build"
    program = folder / TARGET[0]
    result["injections"] = []
    for choice in choose(candidates(source, program, base), options.injections, options.seed):
        injected = inject(source, folder, program, base, choice)
        result["injections"].append(injected)
        print(f"  {'caught' if injected['caught'] else 'MISSED'}{' and named' if injected['named'] else '':10} "
              f"{injected['grown']:+.2%}  {injected['scenario']:20} {injected['place']}", flush=True)
    caught, named = (sum(each[key] for each in result["injections"]) for key in ("caught", "named"))
    print(f"injected 1.2 %: {caught} of {len(result['injections'])} caught, the function named in {named}")
    return result
