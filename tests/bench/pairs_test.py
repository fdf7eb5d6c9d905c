# SPDX-License-Identifier: GPL-3.0-or-later
"""Layer 2 of the gate: the signed-rank test, its inversion, Holm, and verdicts on made-up noise."""

import math
import random

from harness import equal, run, test, true

from gate import layer2, pairs
from gate.revisions import NoVerdict
from gate.windows import Void


def near(got, wanted, what="", within=1e-9):
    true(abs(got - wanted) <= within, f"{what}: {got} is {wanted}")


# ---- the test --------------------------------------------------------------------------------------------------------

@test
def p_is_that_of_counting_all_signs():
    values = [1.5, -0.3, 2.2, 0.9, -1.1, 3.0]
    ranks = [rank for rank in pairs.doubled_ranks(values)]
    observed = sum(rank for value, rank in zip(values, ranks) if value > 0)
    as_high = sum(sum(rank for i, rank in enumerate(ranks) if signs >> i & 1) >= observed for signs in range(64))
    near(pairs.signed_rank(values), as_high / 64)


@test
def p_agrees_with_the_published_table():
    # Critical values of T, one-sided 5 %: n = 10: 10, n = 20: 60; the sum of positive ranks is n(n+1)/2 - T.
    equal(pairs.critical(10, 0.05), 55 - 10)
    equal(pairs.critical(20, 0.05), 210 - 60)
    equal(pairs.critical(8, 0.01), 36 - 1)
    equal(pairs.critical(4, 0.05), None, "four pairs cannot reject")


@test
def ties_share_their_rank_and_zeros_do_not_count():
    equal(pairs.doubled_ranks([1, -1, 2]), [3, 3, 6])
    near(pairs.signed_rank([0, 0, 1, 2, 3]), 1 / 8)
    near(pairs.signed_rank([0, 0]), 1)


@test
def all_positive_is_the_smallest_p():
    near(pairs.signed_rank([0.1 * i for i in range(1, 11)]), 2 ** -10)
    near(pairs.signed_rank([-0.1 * i for i in range(1, 11)]), 1)


@test
def the_limits_are_where_the_test_turns():
    draw = random.Random(7)
    values = [draw.gauss(0.02, 0.05) for _ in range(14)]
    lower, upper = pairs.limits(values, 0.05)
    true(lower < pairs.estimate(values) < upper, "the estimate lies within")
    below = pairs.signed_rank([value - (lower - 1e-9) for value in values])
    above = pairs.signed_rank([value - (lower + 1e-9) for value in values])
    true(below <= 0.05 < above, f"below {below}, above {above}")
    below = pairs.signed_rank([upper - 1e-9 - value for value in values])
    above = pairs.signed_rank([upper + 1e-9 - value for value in values])
    true(above <= 0.05 < below, f"below {below}, above {above}")


@test
def too_few_pairs_limit_nothing():
    equal(pairs.limits([0.1, 0.2, 0.3], 0.05), (-math.inf, math.inf))


@test
def holm_adjusts_step_by_step():
    adjusted = pairs.holm({"a": 0.01, "b": 0.04, "c": 0.03})
    near(adjusted["a"], 0.03)
    near(adjusted["c"], 0.06)
    near(adjusted["b"], 0.06, "never below the one before")
    equal(pairs.holm({"a": 0.9, "b": 0.8}), {"b": 1.0, "a": 1.0})


# ---- verdicts --------------------------------------------------------------------------------------------------------

def noise(draw, number, spread):
    """Pairs of windows on a shared machine: mostly quiet, now and then a neighbour."""
    return [draw.gauss(0, spread) * (4 if draw.random() < 0.1 else 1) for _ in range(number)]


def judged(slow_down, spread, number=30, seed=1, scenarios=("a", "b")):
    draw = random.Random(seed)
    data = {name: [value + (math.log(slow_down) if name == "a" else 0) for value in noise(draw, number, spread)]
            for name in scenarios}
    canaries = {name: noise(draw, number, spread) for name in scenarios}
    return pairs.decide(data, canaries)


@test
def a_quiet_machine_sees_5_percent_19_times_of_20():
    verdicts = [judged(1.05, 0.012, seed=seed)["a"]["verdict"] for seed in range(40)]
    true(verdicts.count("fail") >= 38, f"{verdicts.count('fail')} of 40")


@test
def equal_builds_alarm_at_most_once_in_a_hundred():
    verdicts = [judged(1.0, 0.012, seed=seed)[name]["verdict"] for seed in range(50) for name in ("a", "b")]
    true(verdicts.count("fail") <= 1, f"{verdicts.count('fail')} false alarms in 100")
    true(verdicts.count("inconclusive") <= 10, f"{verdicts.count('inconclusive')} inconclusive in 100")


@test
def what_is_tolerated_is_no_alarm():
    verdicts = [judged(1.02, 0.012, seed=seed)["a"]["verdict"] for seed in range(50)]
    true(verdicts.count("fail") <= 2, f"{verdicts.count('fail')} of 50 at 2 %")


@test
def a_noisy_machine_is_inconclusive_never_pass_or_fail():
    for slow_down in (1.0, 1.05, 1.5):
        result = judged(slow_down, 0.15)["a"]
        equal(result["verdict"], "inconclusive", f"{slow_down}")
        true(result["power"] < 0.95, "for want of power")


@test
def pairs_are_added_for_the_canary_alone():
    draw = random.Random(3)
    quiet, loud = noise(draw, 30, 0.01), noise(draw, 30, 0.1)
    far = [1.0] * 30
    equal(pairs.needs_more({"a": far, "b": quiet}, {"a": loud, "b": quiet}), ["a"])
    equal(pairs.needs_more({"a": loud, "b": quiet}, {"a": quiet, "b": quiet}), [])


@test
def a_canary_that_alarms_makes_it_inconclusive():
    biased = [0.05 + 0.001 * i for i in range(30)]
    result = pairs.decide({"a": [0.1 + 0.001 * i for i in range(30)]}, {"a": biased})["a"]
    true(result["canary_alarm"] and result["verdict"] == "inconclusive", f"{result}")


@test
def the_worst_verdict_is_that_of_all():
    equal(pairs.verdict_of_all({"a": {"verdict": "pass"}, "b": {"verdict": "inconclusive"}}), "inconclusive")
    equal(pairs.verdict_of_all({"a": {"verdict": "fail"}, "b": {"verdict": "inconclusive"}}), "fail")
    equal(pairs.verdict_of_all({"a": {"verdict": "pass"}}), "pass")


# ---- rounds of windows that are made up ------------------------------------------------------------------------------

def rounds_of(cost, scenarios=("a",), seed=1):
    """`cost` gives the figure of a window: of a scenario and a program ("base-0" … or "head-0" …)."""
    programs = ([f"{name}-{i}" for i in range(6)] for name in ("base", "head"))
    return layer2.Rounds(scenarios, lambda scenario, started: {role: cost(scenario, program)
                                                               for role, program in started.items()}, *programs, seed=seed)


@test
def a_round_is_base_twice_and_head_in_random_order_and_layout():
    seen = []
    rounds = rounds_of(lambda _, program: seen.append(program) or (2.0 if program.startswith("head") else 1.0))
    for _ in range(60):
        rounds.add(["a"])
    orders = {tuple(program[:4] for program in seen[i:i + 3]) for i in range(0, len(seen), 3)}
    equal(orders, {("base", "base", "head"), ("base", "head", "base"), ("head", "base", "base")})
    equal(len(set(seen)), 12, "layouts")
    near(rounds.data["a"][0], math.log(2))
    near(rounds.canaries["a"][0], 0)


@test
def rounds_are_added_until_the_canary_is_narrow_enough():
    draw = random.Random(5)
    quiet = rounds_of(lambda *_: math.exp(draw.gauss(0, 0.003)))
    layer2.run_rounds(quiet, lambda: False)
    equal(len(quiet.data["a"]), layer2.ROUNDS_FIRST)
    loud = rounds_of(lambda *_: math.exp(draw.gauss(0, 0.015)))
    layer2.run_rounds(loud, lambda: False)
    true(len(loud.data["a"]) > layer2.ROUNDS_FIRST, "more where it is louder")
    equal(pairs.needs_more(loud.data, loud.canaries), [])


@test
def stopping_when_the_canary_looks_quiet_costs_neither_misses_nor_alarms():
    verdicts = {1.0: [], 1.05: []}
    for slow_down, found in verdicts.items():
        for seed in range(24):
            draw = random.Random(f"{seed} {slow_down}")
            rounds = rounds_of(lambda _, program, slow_down=slow_down, draw=draw: math.exp(noise(draw, 1, 0.012)[0]) * (
                slow_down if program.startswith("head") else 1), seed=seed)
            layer2.run_rounds(rounds, lambda: False)
            found.append(pairs.decide(rounds.data, rounds.canaries)["a"]["verdict"])
    true(verdicts[1.05].count("fail") >= 22, f"{verdicts[1.05].count('fail')} of 24 caught")
    equal(verdicts[1.0].count("fail"), 0, "false alarms")


@test
def time_that_is_up_ends_it():
    draw = random.Random(5)
    rounds = rounds_of(lambda *_: math.exp(draw.gauss(0, 0.5)))
    layer2.run_rounds(rounds, lambda: len(rounds.data["a"]) >= 24)
    equal(len(rounds.data["a"]), 24)
    equal(pairs.decide(rounds.data, rounds.canaries)["a"]["verdict"], "inconclusive")


@test
def void_windows_are_left_out_and_too_many_end_it():
    def broken(_scenario, program):
        raise Void(f"7 errors in {program}")

    rounds = rounds_of(broken)
    try:
        for _ in range(100):
            rounds.add(["a"])
    except NoVerdict as why:
        true("7 errors" in str(why), f"{why}")
    equal((rounds.void, rounds.data["a"]), (layer2.VOID_MAX + 1, []))


@test
def a_waiver_moves_what_is_tolerated():
    draw = random.Random(2)
    dearer = {"a": [value + math.log(1.07) for value in noise(draw, 40, 0.01)]}
    canaries = {"a": noise(draw, 40, 0.01)}
    equal(pairs.decide(dearer, canaries)["a"]["verdict"], "fail")
    equal(pairs.decide(dearer, canaries, {"a": math.log(1.08)})["a"]["verdict"], "pass")
    equal(pairs.decide(dearer, canaries, {"a": math.log(1.04)})["a"]["verdict"], "fail", "grown further than allowed")


@test
def many_pairs_are_decided_quickly_and_exactly():
    tails = pairs.tail(list(range(1, 251)))
    near(tails[0], 1)
    near(tails[-1], 2.0 ** -250)
    near(sum(tails[s] - tails[s + 1] for s in range(1000)), tails[0] - tails[1000])


run()
