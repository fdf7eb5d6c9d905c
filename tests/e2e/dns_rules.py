# SPDX-License-Identifier: GPL-3.0-or-later
"""Which row of docs/compared-dns.md explains a difference that tests/e2e/compare_dns found.

A rule holds for one reason alone: it looks at the question and at both answers, so that a fault of ours does not pass as
something that was explained for another question.
"""

import collections

# gyre, other: of a section, what only the one has, without TTLs; ours, theirs: the whole messages.
Difference = collections.namedtuple("Difference", "aspect question peer gyre other ours theirs")
RULES = []


def rule(name, aspects, peers="nsd knot bind"):
    def add(function):
        RULES.append((name, aspects.split(), peers.split(), function))
        return function
    return add


def explain(difference):
    """The row's name; None: there is none."""
    for name, aspects, peers, holds in RULES:
        if difference.aspect in aspects and difference.peer in peers and holds(difference):
            return name
    return None
