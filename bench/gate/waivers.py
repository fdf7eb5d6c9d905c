# SPDX-License-Identifier: GPL-3.0-or-later
"""Waivers: bench/gate/waivers lets a named scenario grow once, by a stated amount, for a stated reason.

A line is `SCENARIO FIGURE +AMOUNT REASON…`. It holds for the change that brings it: in a comparison, only lines count that
the newer revision has and the older one has not. So a waiver is used up as soon as it is merged.
"""

import re
from collections import Counter
from fractions import Fraction

from gate.counts import FIGURES
from gate.revisions import NoVerdict

PATH = "bench/gate/waivers"
COUNTS_AS_SHARES = ("instructions", "enters", "submissions", "completions", "system_calls")
SHARES = (*COUNTS_AS_SHARES, "cpu")  # grow by a share; the others by a number
KNOWN = (*FIGURES, "cpu")            # cpu: CPU time per request, of layer 2's scenarios
LINE = re.compile(r"(\S+)\s+(\S+)\s+\+(\d+(?:\.\d+)?)(%?)\s+(\S.*)")


def lines_of(text):
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def parse_line(line):
    """((scenario, figure), (allowed growth, reason)): a share for SHARES, else a number an operation."""
    match = LINE.fullmatch(line)
    if not match:
        raise NoVerdict(f"{PATH}: `{line}` is not `SCENARIO FIGURE +AMOUNT REASON`; a waiver without a reason is none")
    scenario, figure, amount, percent, reason = match.groups()
    if figure not in KNOWN:
        raise NoVerdict(f"{PATH}: `{line}`: there is no figure `{figure}`; there are {', '.join(KNOWN)}")
    if bool(percent) != (figure in SHARES):
        raise NoVerdict(f"{PATH}: `{line}`: {figure} grow by "
                        + ("a share, +3%" if figure in SHARES else "a number an operation, +3"))
    return (scenario, figure), (Fraction(amount) / (100 if percent else 1), reason)


def new_waivers(base_text, head_text):
    """{(scenario, figure): (allowed growth, reason)} of the lines that only the newer text has."""
    found = {}
    for line in (Counter(lines_of(head_text)) - Counter(lines_of(base_text))).elements():
        key, value = parse_line(line)
        if key in found:
            raise NoVerdict(f"{PATH}: there are two new waivers for {key[1]} of {key[0]}")
        found[key] = value
    return found
