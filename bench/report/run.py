# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures: interleaved windows of freshly started servers, the same load on each, everything kept."""

import contextlib
import fcntl
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import HERE, Failed, NotInstalled, Server, machine_ticks
from report import figures, hdr
from report.scenarios import LIMIT, OURS

SETTLE_S = 0.3  # warm-up of a second window of the same server
CURVE_SHARES = {"quick": (0.25, 0.5, 0.75, 0.95), "full": (0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.05)}
EQUAL_SHARE = 0.6  # of what the slowest server managed, so that all of them can
IDLE_CONNECTIONS = 9000
SEED = 1


class Progress:
    """One line on a terminal; nothing in a pipe."""

    def __init__(self, total):
        self.total, self.done, self.began = total, 0, time.monotonic()
        self.shown = sys.stderr.isatty()

    def step(self, text):
        self.done += 1
        if self.shown:
            print(f"\r\033[K{self.done}/{self.total}  {time.monotonic() - self.began:4.0f} s  {text}", end="",
                  file=sys.stderr, flush=True)

    def clear(self):
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(path):
    """While a window runs, nobody else who takes this lock measures or compiles."""
    if not path:
        yield
        return
    with open(path, "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def flags_of(scenario, contender):
    """Those of a scheme are not for another one."""
    return scenario.flags if scenario.scheme != "rudp" or not contender.scheme else []


def load(options, scenario, contender, server, seconds, warmup, rate=None):
    """One window of gyre-load; its figures, and every latency that it saw."""
    folder = server.folder.name
    words = ["taskset", "-c", str(options.client_core), f"{options.build}/gyre-load",
             f"{contender.scheme or scenario.scheme}://127.0.0.1:{server.port}{scenario.url}", "-c",
             str(scenario.connections or options.connections), "-d", f"{seconds}s", "--warmup", f"{warmup}s", "--quiet",
             "--server-pid", str(server.process.pid), "--json", f"{folder}/load.json", "--hdr", f"{folder}/load.hdr",
             *flags_of(scenario, contender)]
    if contender.counters:
        words += ["--server-admin", f"127.0.0.1:{server.admin}"]
    words += ["--rate", f"{rate:.0f}", "--poisson"] if rate else scenario.closed_flags
    stolen, ticks = machine_ticks()
    with open(os.devnull, "wb") as nowhere:
        done = subprocess.run(words, stdin=nowhere, capture_output=True, text=True, check=False, timeout=seconds * 4 + 60)
    stolen_after, ticks_after = machine_ticks()
    try:
        found = json.loads(Path(f"{folder}/load.json").read_text(encoding="utf-8"))
        if not found["seconds"]:
            raise ValueError("nothing was measured")
    except (OSError, ValueError) as error:
        why = done.stderr.strip() or f"gyre-load ended with {done.returncode}, without figures: {error}"
        raise Failed(f"{scenario.name}, {contender.name}: {why}") from None
    spectrum = {}
    if found["latency_ns"]:
        spectrum = hdr.read(f"{folder}/load.hdr").get("", {})
    return window_of(found, (stolen_after - stolen) / max(ticks_after - ticks, 1)), spectrum


def window_of(found, steal):
    """Where a message goes to many, an operation is its coming to one of them."""
    latency, server = found["latency_ns"] or {}, found["server"] or {}
    fan = found["deliveries"] / found["answered"] if found.get("deliveries") and found["answered"] else 1
    window = {
        "rate": found["rate"] * fan, "asked": found["rate_asked"], "reached": found["rate_reached"],
        "answered": found["answered"] * fan,
        "seconds": found["seconds"], "errors": found["errors"]["total"], "steal": steal,
        "cpu_us": server["cpu_us_per_request"] / fan if server else None,
        "busy": server["cpu_s"] / found["seconds"] if server else None,
        "counters": server.get("counters"), "generator_us": found["generator"]["cpu_us_per_request"] / fan,
        "generator_busy": found["generator"]["busy"], "latency_valid": found["latency_valid"],
        "load": os.getloadavg()[0],
    }
    for name, key in (("p50_us", "p50"), ("p99_us", "p99"), ("p99_9_us", "p99_9")):
        window[name] = latency[key] / 1000 if latency else None
    window["void"] = window["errors"] > 0 or window["answered"] == 0 or found["interrupted"]
    return window


def start(options, scenario, contender, response):
    return Server(contender.name, contender.command, options.server_core, response, probe=contender.probe or scenario.probe,
                  files=contender.files)


def leave_out(server, reason):
    """A server that cannot take part is said to be missing, and the report goes on."""
    server["missing"] = str(reason)


def rounded(rate):
    """To two digits: a rate that can be said."""
    digits = len(str(int(rate))) - 2
    return float(round(rate, -digits)) if digits > 0 else float(round(rate))


def try_out(options, scenario, servers, progress):
    """Which servers are there, what each can do at most, and so the rate that suits all. A response as long as ours is what
    the limits give."""
    response, tried = 0, {}
    for contender in scenario.contenders:
        progress.step(f"{scenario.name}: trying {contender.name}")
        try:
            with locked(options.lock), start(options, scenario, contender, response) as server:
                if contender.role == OURS:
                    response = len(server.response)
                elif scenario.scheme in ("http", "https") and not server.response.startswith(b"HTTP/1.1 200 "):
                    raise Failed(f"{contender.name} answers {server.response[:80]!r}")
                tried[contender.name], _ = load(options, scenario, contender, server, 0.4, 0.2)
        except NotInstalled as reason:
            leave_out(servers[contender.name], reason)
        except (Failed, OSError, subprocess.TimeoutExpired) as reason:
            leave_out(servers[contender.name], reason)
            if contender.role == OURS:
                raise Failed(f"{scenario.name}: {reason}") from None
    return response, tried


def drop_slower_limits(scenario, tried):
    """A quick look has time for one variant of the limit: that which needed less CPU when it was tried."""
    limits = [c.name for c in scenario.contenders if c.role == LIMIT and c.name in tried]
    for name in sorted(limits, key=lambda name: tried[name]["cpu_us"] or 0)[1:]:
        del tried[name]


def one_round(options, scenario, servers, response, rate, order, progress):
    for contender in order:
        progress.step(f"{scenario.name}: {contender.name}")
        found = servers[contender.name]
        try:
            with locked(options.lock), start(options, scenario, contender, response) as server:
                window, spectrum = load(options, scenario, contender, server, options.seconds, options.warmup)
                found["closed"].append(window)
                if rate:
                    window, spectrum = load(options, scenario, contender, server, options.seconds, SETTLE_S, rate)
                    found["equal"].append(window)
                if not window["void"] and window["latency_valid"]:
                    hdr.add(found["spectrum"], spectrum)
        except (Failed, OSError, subprocess.TimeoutExpired) as reason:
            void = {"void": True, "errors": 1, "latency_valid": False, "steal": 0.0, "why": str(reason)}
            for kind in ("closed", "equal") if rate else ("closed",):
                if len(found[kind]) < options.round_number:
                    found[kind].append(dict(void))


def load_curve(options, scenario, servers, response, most, progress):
    """Open loops at rising rates, the same for all; the rates in turn, every server at each."""
    limit = figures.best_limit(servers)
    chosen = [c for c in scenario.contenders if c.name in most and (c.role != LIMIT or c.name == limit)]
    top = max(most[c.name] for c in chosen)
    points = {contender.name: [] for contender in chosen}
    for share in CURVE_SHARES[options.kind]:
        for contender in chosen:
            progress.step(f"{scenario.name}: {contender.name} at rising rates")
            try:
                with locked(options.lock), start(options, scenario, contender, response) as server:
                    points[contender.name].append(load(options, scenario, contender, server, options.seconds, SETTLE_S,
                                                       rounded(top * share))[0])
            except (Failed, OSError, subprocess.TimeoutExpired) as reason:
                print(f"gyre-bench: {reason}", file=sys.stderr)
    return points


def measure_scenario(options, scenario, progress):
    servers = {c.name: {"role": c.role, "closed": [], "equal": [], "spectrum": {}} for c in scenario.contenders}
    response, tried = try_out(options, scenario, servers, progress)
    if options.kind == "quick":
        drop_slower_limits(scenario, tried)
    most = {name: window["rate"] for name, window in tried.items()}
    rate = rounded(min(most.values()) * EQUAL_SHARE) if scenario.equal_load else None
    present = [contender for contender in scenario.contenders if contender.name in most]
    shuffled = random.Random(SEED)
    for options.round_number in range(1, options.rounds + 1):
        order = present[:]
        shuffled.shuffle(order)
        one_round(options, scenario, servers, response, rate, order, progress)
    curve = None
    if options.kind in scenario.load_curve:
        curve = load_curve(options, scenario, servers, response, most, progress)
    for server in servers.values():
        spectrum = server.pop("spectrum")
        server["curve"] = hdr.curve(spectrum) if spectrum else []
        server["latencies"] = sum(spectrum.values())
    return {"title": scenario.title, "what": scenario.what, "rate": rate, "servers": servers, "load_curve": curve}


def idle_memory(options, progress):
    """bench/idle's figures of each server, or why there are none."""
    found = {}
    for name in ("gyre", "nginx", "h2o"):
        progress.step(f"memory of idle connections: {name}")
        with tempfile.NamedTemporaryFile(mode="r", suffix=".json") as file:
            words = [sys.executable, "-B", f"{HERE}/idle", "--build", str(options.build), "--servers", name, "--connections",
                     str(IDLE_CONNECTIONS), "--json", file.name]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            text = file.read()
        if done.returncode == 0 and text:
            found[name] = json.loads(text)[name]
        else:
            found[name] = {"missing": (done.stderr.strip().splitlines() or ["bench/idle failed"])[-1]}
    return {"connections": IDLE_CONNECTIONS, "servers": found}


def steps(options, scenarios):
    total = 3 if options.idle else 0
    for scenario in scenarios:
        total += len(scenario.contenders) * (options.rounds + 1)
        if options.kind in scenario.load_curve:
            total += len(CURVE_SHARES[options.kind]) * (1 + sum(c.role != LIMIT for c in scenario.contenders))
    return total


def measure(options, scenarios):
    progress = Progress(steps(options, scenarios))
    stolen, ticks = machine_ticks()
    began = time.time()
    data = {"load_before": os.getloadavg(), "scenarios": {}, "failed": {}, "idle": None, "interrupted": False}
    try:
        for scenario in scenarios:
            try:
                data["scenarios"][scenario.name] = measure_scenario(options, scenario, progress)
            except Failed as reason:
                data["failed"][scenario.name] = str(reason)
        data["idle"] = idle_memory(options, progress) if options.idle else None
    except (KeyboardInterrupt, SystemExit):  # measure.py makes the second of signals; servers have ended on the way here
        data["interrupted"] = True
    finally:
        progress.clear()
    stolen_after, ticks_after = machine_ticks()
    data["load_after"] = os.getloadavg()
    data["steal"] = (stolen_after - stolen) / max(ticks_after - ticks, 1)
    data["took_s"] = time.time() - began
    return data
