# SPDX-License-Identifier: GPL-3.0-or-later
"""Layer 1's verdict: what grew between two revisions, and which functions it was."""

from fractions import Fraction

from gate.counts import FIGURES
from gate.waivers import SHARES

LIMIT = Fraction(1, 100)  # from this share of growth on, figures in SHARES fail; the others may not grow at all
FUNCTIONS_SHOWN = 8


def growth(figure, base, head):
    """As the figure is judged: a share, or a number an operation. None: out of nothing, so no share can be told."""
    if figure not in SHARES:
        return head - base
    if base == 0:
        return Fraction(0) if head == 0 else None
    return head / base - 1


def is_too_much(figure, grown, allowed):
    """`allowed`: what a waiver says, or None."""
    if grown is None:
        return True
    if allowed is not None:
        return grown > allowed
    return grown >= LIMIT if figure in SHARES else grown > 0


def functions_that_grew(base, head):
    """(function, instructions an operation before, after), the greatest growth first."""
    names = base.keys() | head.keys()
    changes = [(name, base.get(name, Fraction(0)), head.get(name, Fraction(0))) for name in names]
    changes.sort(key=lambda change: (change[1] - change[2], change[0]))
    return [change for change in changes if change[2] > change[1]]


def decide_scenario(name, base, head, waivers):
    figures = {}
    for figure in FIGURES:
        grown = growth(figure, base[figure], head[figure])
        allowed, reason = waivers.get((name, figure), (None, None))
        failed = is_too_much(figure, grown, allowed)
        figures[figure] = {"base": base[figure], "head": head[figure], "growth": grown, "failed": failed,
                           "waiver": reason if not failed and is_too_much(figure, grown, None) else None}
    functions = functions_that_grew(base["functions"], head["functions"])[:FUNCTIONS_SHOWN]
    return {"name": name, "what": head["what"], "figures": figures, "functions": functions,
            "failed": any(each["failed"] for each in figures.values())}


def decide(base, head, waivers):
    """(the scenarios that both have, judged; what else a reader should know)"""
    notes = []
    for name in sorted(base.keys() - head.keys()):
        notes.append(f"{name} is gone: it was not compared")
    for name in sorted(head.keys() - base.keys()):
        notes.append(f"{name} is new: there is nothing to compare it with")
    scenarios = [decide_scenario(name, base[name], head[name], waivers) for name in head if name in base]
    used = {(each["name"], figure) for each in scenarios for figure, values in each["figures"].items()
            if values["waiver"]}
    for name, figure in waivers.keys() - used:
        if figure not in FIGURES:
            continue  # layer 2's
        notes.append(f"the waiver for {figure} of {name} was not needed, or not enough")
    return scenarios, sorted(notes)
