# SPDX-License-Identifier: GPL-3.0-or-later
"""A report of what another script of bench/ has measured: its windows, in the form of report/run.py (`gyre-report-1`)."""

import json
import os
import time
from pathlib import Path

from measure import machine_ticks
from report import command, machine


def window(rate, seconds, cpu_us, generator_us, p50_us=None, p99_us=None):
    """`rate` a second; the CPU time of the server and of the other end for each operation; latencies where they mean
    something."""
    return {"rate": rate, "asked": None, "reached": True, "answered": round(rate * seconds), "seconds": seconds, "errors": 0,
            "steal": 0.0, "cpu_us": cpu_us, "busy": rate * cpu_us / 1e6, "counters": None, "generator_us": generator_us,
            "generator_busy": rate * generator_us / 1e6, "latency_valid": p50_us is not None, "load": os.getloadavg()[0],
            "p50_us": p50_us, "p99_us": p99_us, "p99_9_us": None, "void": False}


class Collected:
    """Scenarios as they are measured; `write` makes the page of them."""

    def __init__(self, options, peers, how):
        self.began, self.ticks, self.load = time.time(), machine_ticks(), os.getloadavg()
        self.options, self.peers, self.how, self.scenarios = options, peers, how, {}

    def add(self, name, title, what, servers):
        """`servers`: name -> (role, windows, why it took no part or None)."""
        found = {}
        for server, (role, windows, missing) in servers.items():
            found[server] = {"role": role, "closed": windows or [], "equal": [], "curve": [], "latencies": 0}
            if missing:
                found[server]["missing"] = missing
        self.scenarios[name] = {"title": title, "what": what, "rate": None, "servers": found, "load_curve": None}

    def write(self, folder):
        stolen, ticks = (now - then for now, then in zip(machine_ticks(), self.ticks))
        data = {"schema": "gyre-report-1", "began": self.began, "scenarios": self.scenarios, "failed": {}, "idle": None,
                "machine": machine.describe(self.options["build"], self.peers), "how": self.how, "interrupted": False,
                "options": {"kind": self.options["kind"], "rounds": self.options["rounds"], "seconds": self.options["seconds"],
                            "warmup": 0, "connections": 1, "server_core": 0, "client_core": 1},
                "peers": list(self.peers), "steal": stolen / max(ticks, 1), "load_before": self.load,
                "load_after": os.getloadavg(), "took_s": time.time() - self.began}
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        command.write(folder, data)
        print(f"The report is in {folder}: report.html, report.md, and the figures in data.json.")
