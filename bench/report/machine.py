# SPDX-License-Identifier: GPL-3.0-or-later
"""What the figures hang on besides the code: processor, kernel, limits, versions, flags; each a row of name and text."""

import json
import os
import platform
import resource
import subprocess
from pathlib import Path

from measure import HERE

ROOT = HERE.parent
NOT_KNOWN = "not known"


def read(path):
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def output(*words, **more):
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False, cwd=ROOT, **more)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def cpu_rows():
    info = {}
    for line in read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        info.setdefault(name.strip(), value.strip())
    caches = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = {"Data": "L{}d", "Instruction": "L{}i"}.get(read(index / "type"), "L{}").format(read(index / "level"))
        caches.append(f"{kind} {read(index / 'size')}")
    virtual = "hypervisor" in info.get("flags", "").split()
    governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return [
        ("processor", info.get("model name", "") or platform.machine()),
        ("processors", f"{os.cpu_count()} online, {len(os.sched_getaffinity(0))} usable"
                       + (", virtual: other guests share the machine" if virtual else "")),
        ("frequency", ", ".join(filter(None, (f"{float(info['cpu MHz']):.0f} MHz" if "cpu MHz" in info else "",
                                              f"governor {governor}" if governor else "governor not visible")))),
        ("caches", ", ".join(caches) or NOT_KNOWN),
        ("simultaneous multithreading", {"1": "on", "0": "off"}.get(read("/sys/devices/system/cpu/smt/active"), NOT_KNOWN)),
        ("memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"),
    ]


def kernel_rows():
    flaws = {}
    for file in sorted(Path("/sys/devices/system/cpu/vulnerabilities").glob("*")):
        state = read(file)
        if state and state != "Not affected":
            flaws[file.name] = state
    return [
        ("kernel", f"{platform.system()} {platform.release()}, {platform.version()}"),
        ("mitigations", "; ".join(f"{name}: {state}" for name, state in flaws.items()) or "none needed"),
        ("congestion control", read("/proc/sys/net/ipv4/tcp_congestion_control") or NOT_KNOWN),
        ("tcp_rmem, tcp_wmem", "; ".join(" ".join(read(f"/proc/sys/net/ipv4/{name}").split())
                                         for name in ("tcp_rmem", "tcp_wmem")) or NOT_KNOWN),
        ("huge pages", read("/sys/kernel/mm/transparent_hugepage/enabled") or NOT_KNOWN),
    ]


def limit_rows():
    def pair(which):
        return " / ".join("unlimited" if value == resource.RLIM_INFINITY else f"{value:,}"
                          for value in resource.getrlimit(which))
    return [
        ("open files, soft / hard", pair(resource.RLIMIT_NOFILE)),
        ("locked memory, soft / hard", pair(resource.RLIMIT_MEMLOCK) + " bytes"),
        ("somaxconn", read("/proc/sys/net/core/somaxconn") or NOT_KNOWN),
    ]


def ring_rows(build):
    text = output(f"{build}/gyre", "doctor", "--json")
    try:
        told = json.loads(text)
    except ValueError:
        return [("io_uring", "gyre doctor says nothing")]
    by_state = {}
    for feature in told.get("features", []):
        by_state.setdefault(feature["state"], []).append(feature["name"])
    modes = ", ".join(f"{mode['name']} {mode['result']}" for mode in told.get("receive_modes", []))
    return [(f"ring features {state}", ", ".join(names)) for state, names in by_state.items()] + [
        ("receive mode", f"{told.get('receive_mode')}: {told.get('receive_mode_why')}"),
        ("receive modes' self-test", modes or NOT_KNOWN),
        ("seccomp, container", f"{told.get('io_uring', {}).get('seccomp')}, {told.get('container') or 'none'}"),
    ]


def build_rows(build):
    commit = output("git", "rev-parse", "--short=12", "HEAD") or NOT_KNOWN
    changed = output("git", "status", "--porcelain", "--untracked-files=no")
    try:
        options = {option["name"]: option["value"] for option in
                   json.loads(output("meson", "introspect", "--buildoptions", str(build)) or "[]")}
        compilers = json.loads(output("meson", "introspect", "--compilers", str(build)) or "{}")
    except ValueError:
        options, compilers = {}, {}
    compiler = compilers.get("host", {}).get("c", {})
    flags = [f"{name}={options[name]}" for name in
             ("buildtype", "optimization", "b_lto", "b_pie", "b_sanitize", "c_args") if options.get(name) not in (None, [])]
    libc = " ".join(platform.libc_ver())
    rows = [
        ("gyre", f"{output(f'{build}/gyre', '--version') or NOT_KNOWN}, commit {commit}"
                 + (" with changes that are not committed" if changed else "")),
        ("compiler", compiler.get("full_version") or compiler.get("version") or output("cc", "--version").split("\n")[0]),
        ("build flags", ", ".join(flags) or NOT_KNOWN),
        ("C library", libc or NOT_KNOWN),
    ]
    for module in ("liburing", "hdr_histogram", "wolfssl", "libnghttp2", "libngtcp2", "libnghttp3", "sqlite3"):
        found = output("bash", "-c", f". build/env.sh 2>/dev/null; pkg-config --modversion {module} 2>/dev/null")
        if found:
            rows.append((module, found))
    return rows


def peer_rows(peers):
    rows = []
    for name in peers:
        found = output(f"{HERE}/peers/{name}", "version")
        package = output(f"{HERE}/peers/{name}", "package") or name
        rows.append((name, found or f"not installed: apt-get install {package}"))
    return rows


def describe(build, peers):
    """{heading: [[name, text]]}"""
    return {
        "Processor": cpu_rows(), "Kernel": kernel_rows(), "Limits": limit_rows(), "io_uring": ring_rows(build),
        "Programs": build_rows(build) + peer_rows(peers),
    }
