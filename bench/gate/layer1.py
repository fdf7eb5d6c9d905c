# SPDX-License-Identifier: GPL-3.0-or-later
"""Layer 1 of the gate: exact counts of two revisions, compared; and how that is told."""

import math

from gate import counts, decide, waivers
from gate.progress import progress
from gate.revisions import NoVerdict


def check_names(only, programs):
    known = set().union(*(counts.scenario_names(program) for program in programs))
    for name in only:
        if name not in known:
            raise NoVerdict(f"there is no scenario {name}; there are {', '.join(sorted(known))}")


def compare(base, head, waived, only=()):
    """`base`, `head`: builds.Built. The result as it is written to JSON, but with Fractions in it."""
    for side in (base, head):
        if not side.scenarios:
            raise NoVerdict(f"{side.name} has no bench/gate-scenarios, so nothing can be counted; without them there is "
                            "`gyre-bench pairs`")
    programs = [base.scenarios, head.scenarios]
    check_names(only, programs)
    base_counts, head_counts = counts.count_all(programs, only, lambda done, of: progress(f"counting: {done} of {of} "))
    progress("")
    scenarios, notes = decide.decide(base_counts, head_counts, waived)
    if not scenarios:
        raise NoVerdict("the two sides have no scenario in common")
    if base.own_bench and base.commit != head.commit:
        notes.append(f"{base.name} was run with scenarios of its own: where those differ from {head.name}'s, so do the figures")
    failed = any(scenario["failed"] for scenario in scenarios)
    return {"schema": "gyre-gate-1", "base": base.about(), "head": head.about(), "verdict": "fail" if failed else "pass",
            "limit": decide.LIMIT, "scenarios": scenarios, "notes": notes}


def as_json(value):
    """Fractions become numbers; what is no number, or without bound, becomes null."""
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    return float(value) if math.isfinite(value) else None


# ---- for people ------------------------------------------------------------------------------------------------------

def number(value):
    value = float(value)
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:,.2f}"


def grown_text(figure, values):
    if values["growth"] is None:
        return "from nothing"
    if figure in waivers.SHARES:
        return f"{float(values['growth']):+.2%}"
    return f"{float(values['growth']):+.2f}"


def print_failure(scenario):
    print(f"\n{scenario['name']} ({scenario['what']}) grew, an operation:")
    for figure, values in scenario["figures"].items():
        if values["failed"]:
            print(f"  {figure:14}{number(values['base'])} → {number(values['head'])}  ({grown_text(figure, values)})")
    if scenario["functions"]:
        print("  instructions by function, those that grew most:")
    for name, base, head in scenario["functions"]:
        print(f"    {float(head - base):+9.2f}  {name}  ({number(base)} → {number(head)})")


def called(side):
    return f"{side['name']} ({side['commit'][:12]})" if side["commit"] else side["name"]


def print_result(result):
    print(f"{called(result['base'])} → {called(result['head'])}, an operation:")
    print(f"  {'scenario':22}{'instructions':>26}{'':9}{'allocations':>12}{'copied':>8}{'submissions':>13}"
          f"{'system calls':>14}")
    for scenario in result["scenarios"]:
        figures = scenario["figures"]
        instructions = figures["instructions"]
        change = f"{number(instructions['base'])} → {number(instructions['head'])}"
        marks = [f"{figure} waived: {values['waiver']}" for figure, values in figures.items() if values["waiver"]]
        mark = "FAILED" if scenario["failed"] else "; ".join(marks)
        row = (f"  {scenario['name']:22}{change:>26}{grown_text('instructions', instructions):>9}"
               f"{number(figures['allocations']['head']):>12}{number(figures['copied_bytes']['head']):>8}"
               f"{number(figures['submissions']['head']):>13}{number(figures['system_calls']['head']):>14}  {mark}")
        print(row.rstrip())
    for note in result["notes"]:
        print(f"  note: {note}")
    failed = [scenario for scenario in result["scenarios"] if scenario["failed"]]
    for scenario in failed:
        print_failure(scenario)
    if failed:
        print(f"\nfail: {len(failed)} of {len(result['scenarios'])} scenarios grew by {float(result['limit']):.0%} or more, "
              f"or allocate or copy more.\nWhere that is worth it, say so in {waivers.PATH}:")
        for scenario in failed:
            for figure, values in scenario["figures"].items():
                if values["failed"]:
                    print(f"  {scenario['name']} {figure} {suggested(figure, values['growth'])} why it has to be")
    else:
        print(f"\npass: none of {len(result['scenarios'])} scenarios grew by {float(result['limit']):.0%}, or allocates or "
              "copies more")


def suggested(figure, growth):
    """The next tenth of a per cent, or whole number, that allows it."""
    if growth is None:
        return "+?"
    if figure in waivers.SHARES:
        return f"+{-(-growth * 1000 // 1) / 10:.1f}%"
    return f"+{-(-growth // 1)}"
