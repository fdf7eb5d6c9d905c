# SPDX-License-Identifier: GPL-3.0-or-later
"""From windows to figures: medians, ratios of pairs with their intervals, and what must be said beside them."""

import math
import statistics

from gate import pairs
from report.scenarios import LIMIT, OURS

LEVEL = 0.025  # on either side
SATURATED = 0.94  # of a core; the rest is the machine's own
STEAL = 0.05  # of the machine's time, in a window
LOAD = 4  # a server and its load keep two threads busy, or three

# of the closed loop and of the equal load, by key: what to divide
RATIOS = {
    "cpu": ("closed", "cpu_us"), "rate": ("closed", "rate"),
    "equal_cpu": ("equal", "cpu_us"), "p50": ("equal", "p50_us"), "p99": ("equal", "p99_us"), "p99_9": ("equal", "p99_9_us"),
}
LATENCIES = ("p50_us", "p99_us", "p99_9_us")


def usable(window, key):
    """An error voids a window; a generator that was the bottleneck voids its latencies, and nothing else."""
    return not window["void"] and window.get(key) is not None and (key not in LATENCIES or window["latency_valid"])


def other_work(data):
    """A sentence where the machine had much else to do; empty where it had not."""
    loads = [window["load"] for scenario in data["scenarios"].values() for server in scenario["servers"].values()
             for window in server["closed"] + server["equal"] if "load" in window]
    # What built the programs is in the load average of the first minutes.
    load = statistics.median(loads[len(loads) // 2:]) if loads else 0
    if load < LOAD:
        return ""
    return (f"The machine had other work while this was measured: a load average of {load:.1f}, of which the measuring itself is two. "
            "Latencies, rates and shares of a core are not what they are on a quiet machine; CPU per operation suffers least.")


def median(windows, key):
    values = [window[key] for window in windows if usable(window, key)]
    return statistics.median(values) if values else None


def interval(logs):
    """(ratio, lower, upper, confidence) of log ratios: the estimate of Hodges and Lehmann and the interval of the signed-rank
    test where there are pairs enough for 95 %; else median, least and greatest, which hold the true median that often."""
    if len(logs) >= 6:
        lower, upper = pairs.limits(logs, LEVEL)
        return math.exp(pairs.estimate(logs)), math.exp(lower), math.exp(upper), 0.95
    return math.exp(statistics.median(logs)), math.exp(min(logs)), math.exp(max(logs)), 1 - 2 ** (1 - len(logs))


def ratio(ours, theirs, key):
    """Round by round, so that what the machine was doing in that round falls out. None without two pairs."""
    logs = [math.log(a[key] / b[key]) for a, b in zip(ours, theirs)
            if usable(a, key) and usable(b, key) and a[key] > 0 and b[key] > 0]
    if len(logs) < 2:
        return None
    middle, lower, upper, confidence = interval(logs)
    return {"ratio": middle, "lower": lower, "upper": upper, "confidence": confidence, "pairs": len(logs)}


def verdict(found, more_is_better=False):
    if found is None:
        return "not known"
    if found["lower"] <= 1 <= found["upper"]:
        return "no difference shown"
    return "better" if (found["ratio"] > 1) == more_is_better else "worse"


def words(verdict, found):
    """The verdict as a person reads it: from rounds too few for an interval of 95 % it is a look."""
    look = found is not None and found["confidence"] < 0.95 and verdict in ("better", "worse")
    return "looks " * look + verdict


def why_no_latency(windows):
    """Why there is no latency figure, in a cell's words; None when there is one."""
    good = [window for window in windows if not window["void"]]
    if not good:
        return "void: errors" if windows else "not measured"
    if not any(window["latency_valid"] for window in good):
        return "void: generator too slow"
    return None


def why_no_ratio(ours, theirs, key):
    """Why there is no ratio of `key` (of RATIOS), in a cell's words."""
    kind, field = RATIOS[key]
    for server in (ours, theirs):
        if not server[kind]:
            return "not measured"
        why = why_no_latency(server[kind])
        if why and (field in LATENCIES or "errors" in why):
            return why
    return "void: no round with both"


def best_limit(servers):
    """The limit program that needed least CPU: the faster variant is the limit."""
    costs = {name: median(server["closed"], "cpu_us") for name, server in servers.items() if server["role"] == LIMIT}
    costs = {name: cost for name, cost in costs.items() if cost is not None}
    return min(costs, key=costs.get, default=None)


def unlike_load(ours, theirs, names):
    """CPU per operation compares where both saturate their core. The sentence for where they did not."""
    idle = [f"{name}'s core {busy:.0%} busy" for name, busy in
            ((names[0], median(ours, "busy")), (names[1], median(theirs, "busy"))) if busy is not None and busy < SATURATED]
    return "; ".join(idle)


def of_server(server):
    closed, equal = server["closed"], server["equal"]
    found = {key: median(closed, key) for key in ("cpu_us", "rate", "busy", "p50_us", "p99_us", "p99_9_us", "generator_us")}
    found["equal"] = {key: median(equal, key) for key in ("cpu_us", "rate", "p50_us", "p99_us", "p99_9_us")}
    found["counters"] = {}
    for key in ("enters", "submissions", "completions", "copied_bytes"):
        values = [window["counters"][key] / window["answered"] for window in closed
                  if not window["void"] and window.get("counters") and window["answered"] and
                  window["counters"].get(key) is not None]
        found["counters"][key] = statistics.median(values) if values else None
    found["windows"] = sum(not window["void"] for window in closed)
    found["void"] = sum(window["void"] for window in closed + equal)
    return found


def summary(data):
    """What the pages show, for each scenario."""
    found = {}
    for name, scenario in data["scenarios"].items():
        servers = {key: server for key, server in scenario["servers"].items() if server["closed"]}
        limit = best_limit(servers)
        ours = next((key for key, server in servers.items() if server["role"] == OURS), None)
        others = [key for key, server in servers.items() if ours and key != ours and (server["role"] != LIMIT or key == limit)]
        ratios = {}
        for other in others:
            pair = {key: ratio(servers[ours][kind], servers[other][kind], field)
                    for key, (kind, field) in RATIOS.items()}
            pair["why_not"] = {key: why_no_ratio(servers[ours], servers[other], key) for key in RATIOS if pair[key] is None}
            pair["unlike_load"] = unlike_load(servers[ours]["closed"], servers[other]["closed"], (ours, other))
            ratios[other] = pair
        found[name] = {"servers": {key: of_server(server) for key, server in servers.items()}, "limit": limit,
                       "ours": ours, "ratios": ratios}
    return found
