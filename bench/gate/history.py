# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found before: a line of JSON for each run, with what the figures hang on besides the code."""

import hashlib
import json
import os
import re
import subprocess
import time
from pathlib import Path

from gate.revisions import NoVerdict


def first_line(*words):
    """What a tool says of its version, or "" where there is none."""
    try:
        return subprocess.run(words, capture_output=True, text=True).stdout.partition("\n")[0]
    except FileNotFoundError:
        return ""


def machine():
    """Only what is alike from one run to the next on the same machine."""
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return {"processor": model[1] if model else os.uname().machine, "processors": os.cpu_count(),
            "kernel": os.uname().release, "compiler": first_line(os.environ.get("CC", "cc"), "--version"),
            "libc": first_line("getconf", "GNU_LIBC_VERSION"), "valgrind": first_line("valgrind", "--version")}


def fingerprint(about):
    """Runs compare as long as it is the same."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]


def figures_of(scenario):
    """The head's figures of a scenario, of either layer."""
    if "figures" in scenario:
        figures = {name: values["head"] for name, values in scenario["figures"].items()}
        return {"verdict": "fail" if scenario["failed"] else "pass", **figures}
    return {name: scenario[name] for name in ("verdict", "ratio", "lower", "upper", "pairs")}


def scenarios_of(result):
    """Those of both layers, where it has both."""
    layers = [result[layer] for layer in ("counts", "pairs") if result.get(layer)] or [result]
    return [scenario for layer in layers for scenario in layer["scenarios"]]


def entry(result, about, now_s):
    """`result`: as it is written by --json."""
    return {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s)), "fingerprint": fingerprint(about),
            "machine": about, "schema": result["schema"], "base": result["base"]["commit"],
            "head": result["head"]["commit"], "verdict": result["verdict"],
            "scenarios": {scenario["name"]: figures_of(scenario) for scenario in scenarios_of(result)}}


def append(path, result):
    """In one write, so that runs side by side do not mix their lines."""
    line = json.dumps(entry(result, machine(), time.time()), ensure_ascii=False, separators=(",", ":")) + "\n"
    try:
        with open(path, "ab", buffering=0) as out:
            out.write(line.encode())
    except OSError as why:
        raise NoVerdict(f"--history {path}: {why.strerror}") from None


def read(paths):
    """All entries of these files, the oldest first."""
    entries = []
    for path in paths:
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as why:
            raise NoVerdict(f"{path}: {getattr(why, 'strerror', None) or why}") from None
        for number, line in enumerate(lines, 1):
            try:
                found = json.loads(line)
                entries.append({key: found[key] for key in ("time", "fingerprint", "machine", "base", "head", "verdict",
                                                            "scenarios")})
            except (ValueError, KeyError, TypeError):
                raise NoVerdict(f"{path}:{number}: not a line that --history has written; take it out") from None
    return sorted(entries, key=lambda each: each["time"])
