# SPDX-License-Identifier: GPL-3.0-or-later
"""Layer 2's arithmetic: is the newer revision dearer by more than 3 %, going by pairs of noisy windows?

A pair is one window of each revision at the same time; its datum is log(head / base) of the CPU time per operation. The
test is Wilcoxon's signed-rank test, one-sided, of those data less log 1.03, at a level of 5 % for all scenarios together
(Holm). Beside them run canary pairs, base against base: they say how noisy the machine is, and so whether a slow-down of
5 % would be seen. Whether pairs are added hangs on the canary alone, never on what is tested, so that looking several times
costs no error.
"""

import functools
import math
import random

TOLERATED = math.log(1.03)
MUST_SEE = math.log(1.05)
LEVEL = 0.05
POWER = 0.95
DRAWS = 400
# How noisy the machine is, is itself known from few pairs only, and pairs end when the canary looks quiet enough, which it
# also does by luck. So it is taken for a little noisier than it looks; by how much was found by simulation (tests/bench).
CAUTION = 1.15


# ---- the signed-rank test --------------------------------------------------------------------------------------------

def doubled_ranks(values):
    """Twice the rank of each by its distance from zero; ties share their mean, which doubling makes whole."""
    order = sorted(range(len(values)), key=lambda i: abs(values[i]))
    ranks = [0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and abs(values[order[end]]) == abs(values[order[start]]):
            end += 1
        for i in order[start:end]:
            ranks[i] = start + 1 + end
        start = end
    return ranks


def tail(ranks):
    """[P(sum of the ranks that got a plus ≥ s) for s = 0, 1, …], when every sign is as likely as the other."""
    room = len(ranks) // 8 + 1  # bytes, enough for any count
    ways = 1                    # a number of so many bytes for each sum: adding them all at once is what makes this quick
    for rank in ranks:
        ways += ways << (8 * room * rank)
    text = ways.to_bytes(room * (sum(ranks) + 1), "little")
    total, at_least, tails = 2 ** len(ranks), 0, []
    for start in range(len(text) - room, -1, -room):
        at_least += int.from_bytes(text[start:start + room], "little")
        tails.append(at_least / total)
    return tails[::-1]


def signed_rank(values):
    """p of the null hypothesis that the median is not above zero. Exact. Zeros say nothing and do not count."""
    values = [value for value in values if value != 0]
    ranks = doubled_ranks(values)
    positive = sum(rank for value, rank in zip(values, ranks) if value > 0)
    return tail(ranks)[positive] if values else 1.0


@functools.lru_cache(maxsize=None)
def critical(pairs, level):
    """The least sum of positive ranks (without ties) that the test rejects at, or None: too few pairs for it."""
    tails = tail(range(1, pairs + 1))
    return next((s for s, p in enumerate(tails) if p <= level), None)


def limits(values, level):
    """(lower, upper): the medians that the one-sided tests, either way, do not reject at `level`."""
    least = critical(len(values), level)
    if not least:
        return -math.inf, math.inf
    means = sorted((a + b) / 2 for i, a in enumerate(values) for b in values[i:])
    return means[-least], means[least - 1]


def estimate(values):
    """The median of the means of all pairs of values (Hodges and Lehmann), which belongs to this test."""
    means = sorted((a + b) / 2 for i, a in enumerate(values) for b in values[i:])
    middle = len(means) // 2
    return means[middle] if len(means) % 2 else (means[middle - 1] + means[middle]) / 2


def holm(values):
    """{name: p} adjusted so that one level holds for all together."""
    adjusted, highest = {}, 0.0
    for done, name in enumerate(sorted(values, key=lambda name: values[name])):
        highest = max(highest, min(1.0, (len(values) - done) * values[name]))
        adjusted[name] = highest
    return adjusted


# ---- would it be seen? -----------------------------------------------------------------------------------------------

def power(canary, pairs, level, seed=0):
    """How often `pairs` pairs as noisy as the canary's would show a slow-down of 5 %, by drawing from them. A base against
    itself is as likely dearer as cheaper, so each drawn datum has either sign."""
    least = critical(pairs, level)
    if not least or not canary:
        return 0.0
    draw = random.Random(seed)
    either = [CAUTION * sign * value + MUST_SEE - TOLERATED for value in canary for sign in (-1, 1)]
    seen = 0
    for _ in range(DRAWS):
        order = sorted(draw.choices(either, k=pairs), key=abs)
        seen += sum(rank for rank, value in enumerate(order, 1) if value > 0) >= least
    return seen / DRAWS


def decide(data, canaries, tolerated=None):
    """{scenario: its verdict and how it came about} for {scenario: [log ratio]} of the pairs and of the canary. `tolerated`:
    the logarithm of what a scenario may grow by, where that is not 3 %."""
    tolerated = {name: (tolerated or {}).get(name, TOLERATED) for name in data}
    adjusted = holm({name: signed_rank([value - tolerated[name] for value in data[name]]) for name in data})
    level = LEVEL / max(len(data), 1)  # of Holm's first step, the hardest
    results = {}
    for name, values in data.items():
        lower, upper = limits(values, level)
        seen = power(canaries[name], len(values), level)
        alarm = signed_rank([value - TOLERATED for value in canaries[name]]) <= level
        if seen < POWER or alarm:
            verdict = "inconclusive"
        else:
            verdict = "fail" if adjusted[name] <= LEVEL else "pass"
        results[name] = {"verdict": verdict, "pairs": len(values), "ratio": math.exp(estimate(values)),
                         "lower": math.exp(lower), "upper": math.exp(upper), "p": adjusted[name], "power": seen,
                         "canary_alarm": alarm}
    return results


def needs_more(data, canaries):
    """The scenarios in which a slow-down of 5 % would not be seen often enough with the pairs there are."""
    level = LEVEL / max(len(data), 1)
    return [name for name, values in data.items() if power(canaries[name], len(values), level) < POWER]


def verdict_of_all(results):
    verdicts = {result["verdict"] for result in results.values()}
    return next((verdict for verdict in ("fail", "inconclusive") if verdict in verdicts), "pass")
