# SPDX-License-Identifier: GPL-3.0-or-later
"""The experiment of layer 2: decisions drawn from a bank that is made up."""

import json
import math
import random
import tempfile
from pathlib import Path

from harness import equal, run, test, true

from gate import experiment_pairs, layer2

NAMES = ("keepalive", "pipeline16")
ABOUT = {"schema": "gyre-bank-1", "commit": "c", "loops": dict.fromkeys(NAMES, 900)}


def bank(number, noise=0.012, slow_down=1.05, seed=1, slow_each=5):
    """`number` rounds of equal builds a scenario, and a slow one for each `slow_each` of them."""
    draw, rounds = random.Random(seed), []
    for i in range(number):
        for kind in ("equal", "slow") if i % slow_each == 0 else ("equal",):
            for name in NAMES:
                moved = math.log(slow_down) if kind == "slow" else 0
                rounds.append({"kind": kind, "scenario": name, "ratio": draw.gauss(moved, noise),
                               "canary": draw.gauss(0, noise), "took_s": 0.6})
    return rounds


@test
def no_round_is_used_twice_and_none_is_skipped():
    rounds = bank(100)
    pool = experiment_pairs.pools_of(rounds)["equal"]["keepalive"]
    taken = [ratio for _ in range(6) for ratio in pool.take(16)[0]]
    equal(taken, [each["ratio"] for each in rounds if (each["kind"], each["scenario"]) == ("equal", "keepalive")][:96])
    equal(pool.take(16), None, "four are left")


@test
def a_run_goes_on_where_the_canary_is_wide():
    pools = experiment_pairs.pools_of(bank(400, noise=0.04))["equal"]
    data, canaries = experiment_pairs.draw_run(pools)
    true(all(len(data[name]) > layer2.ROUNDS_FIRST for name in NAMES), f"{[len(data[name]) for name in NAMES]}")
    equal([len(data[name]) for name in NAMES], [len(canaries[name]) for name in NAMES])


@test
def a_run_ends_at_the_limit_and_is_inconclusive():
    decisions = experiment_pairs.decisions_of(bank(170, noise=0.5, slow_each=1000))
    equal([each["verdict"] for each in decisions["equal"]], ["inconclusive"] * 2)
    equal({each["pairs"] for each in decisions["equal"]}, {experiment_pairs.LIMIT})


@test
def equal_builds_pass_and_slow_ones_are_caught():
    result = experiment_pairs.summary(ABOUT, bank(400))
    true(result["false_alarms"]["of"] >= 30 and result["false_alarms"]["hits"] == 0, f"{result['false_alarms']}")
    true(result["caught"]["of"] >= 8 and result["caught"]["hits"] >= result["caught"]["of"] - 1, f"{result['caught']}")
    true(abs(result["injected"]["keepalive"]["ratio"] - 1.05) < 0.01, "what was injected is told")


@test
def a_slow_scenario_is_decided_among_equal_ones():
    lonely = experiment_pairs.decisions_of(bank(100, noise=0.001, slow_down=1.031, slow_each=2))["slow"]
    true(lonely and all(each["p"] <= 1 for each in lonely), "decided")
    rounds = [each for each in bank(100, noise=0.001, slow_each=2) if each["kind"] == "slow"]
    equal(experiment_pairs.decisions_of(rounds)["slow"], [], "not without company")


@test
def the_interval_of_a_share_is_clopper_and_pearsons():
    lower, upper = experiment_pairs.binomial_limits(0, 100)
    equal((round(lower, 4), round(upper, 4)), (0, 0.0362))
    lower, upper = experiment_pairs.binomial_limits(19, 20)
    equal((round(lower, 4), round(upper, 4)), (0.7513, 0.9987))
    equal(experiment_pairs.binomial_limits(20, 20)[1], 1.0)


@test
def a_bank_can_be_read_back():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bank.jsonl"
        equal(experiment_pairs.read_bank(path), (None, []))
        path.write_text("".join(json.dumps(line) + "\n" for line in [ABOUT, *bank(3)]))
        about, rounds = experiment_pairs.read_bank(path)
    equal((about, len(rounds)), (ABOUT, 8))


run()
