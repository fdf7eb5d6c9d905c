# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows gyre-load's figures beside wrk's and h2load's, on the same server under the same load, in interleaved windows: do they
see the same server, and what does each generator cost itself?

    bench/agree                          a folder's listing, which nginx makes anew for each request: the server is what limits
    bench/agree --server gyre            the built-in site's /status.json
    bench/agree --server small           gyre's greeting of 13 bytes: what a request costs the generators themselves
    bench/agree --seconds 1              a quicker look

A generator whose core is busy all the time measures its own queue, so its latencies and its rate are not compared; what a
request costs the server still is. In a closed loop the mean latency must be connections ÷ rate: what a generator's own mean
is of that says how much of the time it accounts for. What a generator costs itself is judged with `small` alone: with long
answers it is their bytes that count, and how many of them it reads at once.

Exit status: 0 they agree, 1 they do not, 2 it could not be measured or told.
"""

import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from gate import pairs
from measure import HERE, Failed, Server, on_core, ready
from report.figures import LEVEL
from report.run import locked

AGREED = 0.05  # how far a ratio may be from one and still count as the same, where the noise allows to tell
TOLD = {"rate": "requests a second", "p50_us": "p50", "p99_us": "p99", "server_us": "server's CPU a request",
        "own_us": "generator's own CPU a request"}
MOST = 0.95  # of wrk's CPU a request, for gyre-load's own
COMPARED = ("rate", "p50_us", "p99_us", "server_us")
SATURATED = 0.9  # of its core
VOID_IF_SATURATED = ("rate", "p50_us", "p99_us")
LISTED = 64  # entries of the listing


def children_cpu_s():
    used = os.times()
    return used.children_user + used.children_system


def process_cpu_s(server):
    """Of all its processes, in nanoseconds: a process's clock is numbered as clock_getcpuclockid(3) does."""
    total = 0
    for pid in server.processes():
        try:
            total += time.clock_gettime_ns((~pid << 3) | 2)
        except OSError:
            pass  # it ended a moment ago
    return total / 1e9


def run_timed(words, server, **more):
    """(stdout, CPU of the server, CPU of the program itself) over its whole run."""
    own, cpu = children_cpu_s(), process_cpu_s(server)
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    cpu, own = process_cpu_s(server) - cpu, children_cpu_s() - own
    if done.returncode != 0:
        raise Failed(f"{words[3]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout, cpu, own


def by_gyre_load(options, server, pinned, url):
    out, cpu, own = run_timed([*pinned, ready(f"{options.build}/gyre-load"), url, "-c", str(options.connections), "-d",
                               f"{options.seconds}s", "--warmup", "0", "--quiet", "--json", "-"], server)
    found = json.loads(out)
    if found["errors"]["total"]:
        raise Failed(f"gyre-load counted errors: {found['errors']}")
    answers = found["answered_total"]
    latency = {key: found["latency_ns"][key] / 1000 for key in ("mean", "p50", "p99")}
    return {"rate": found["rate"], "mean_us": latency["mean"], "p50_us": latency["p50"], "p99_us": latency["p99"],
            "server_us": cpu / answers * 1e6, "own_us": own / answers * 1e6}


def by_wrk(options, server, pinned, url):
    out, cpu, own = run_timed([*pinned, "wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s", "-s",
                               f"{HERE}/wrk/load.lua", url], server,
                              env={**os.environ, "WRK_DEPTH": "1", "WRK_CONNECTIONS": str(options.connections)})
    return wrk_figures(out, cpu, own)


def wrk_figures(out, cpu, own):
    line = re.search(r"^figures (.*)$", out, re.M)
    if not line:
        raise Failed(f"wrk printed no figures: {out}")
    found = {name: int(value) for name, value in (word.split("=") for word in line[1].split())}
    if found["errors"] or not found["requests"]:
        raise Failed(f"wrk counted {found['errors']} errors in {found['requests']} requests")
    return {"rate": found["requests"] / found["duration_us"] * 1e6, "mean_us": found["mean_us"], "p50_us": found["p50_us"],
            "p99_us": found["p99_us"], "server_us": cpu / found["requests"] * 1e6, "own_us": own / found["requests"] * 1e6}


def by_h2load(options, server, pinned, url):
    """Percentiles from its log of all requests (start, status, microseconds): its summary has a mean alone."""
    log = f"{server.folder.name}/h2load.log"
    if os.path.exists(log):
        os.unlink(log)
    out, cpu, own = run_timed([*pinned, "h2load", "--h1", "-t1", f"-c{options.connections}", "-D", str(options.seconds),
                               f"--log-file={log}", url], server)
    with open(log, encoding="ascii") as lines:
        return h2load_figures(out, lines, cpu, own)


def h2load_figures(out, lines, cpu, own):
    rate = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", out)
    counted = re.search(r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed", out)
    if not rate or not counted or int(counted[3]) or not int(counted[1]):
        raise Failed(f"h2load said: {out}")
    times = sorted(int(line.split()[2]) for line in lines if len(line.split()) == 3)
    done = int(counted[1])
    return {"rate": float(rate[1]), "mean_us": statistics.fmean(times), "p50_us": times[len(times) // 2],
            "p99_us": times[int(len(times) * 0.99)], "server_us": cpu / done * 1e6, "own_us": own / done * 1e6}


GENERATORS = {"gyre-load": by_gyre_load, "wrk": by_wrk, "h2load": by_h2load}
PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client"}


def work_of(options, folder):
    """(command, path): something that takes the server longer than it takes a generator."""
    if options.server in ("gyre", "small"):
        serve = f"{options.build}/gyre http --listen 127.0.0.1:{{port}} --workers 1 --log-level error"
        return (serve, "/status.json") if options.server == "gyre" else (serve + " --fixed", "/")
    for number in range(LISTED):
        with open(f"{folder}/file-{number:03}.txt", "w", encoding="ascii") as file:
            file.write("x" * number)
    return f"env NGINX_LISTING=on {HERE}/peers/nginx run {{port}} {{dir}} {folder}", "/"


def measure(options, names):
    pinned = on_core(options.client_core)
    results = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="gyre-agree-") as folder:
        os.chmod(folder, 0o755)  # nginx's worker is nobody
        command, path = work_of(options, folder)
        with Server(options.server, command, options.server_core) as server:
            url = f"http://127.0.0.1:{server.port}{path}"
            for number in range(options.rounds + 1):  # the first warms up and does not count
                for name in names[number % len(names):] + names[:number % len(names)]:
                    with locked(options.lock):
                        window = GENERATORS[name](options, server, pinned, url)
                    if number > 0:
                        results[name].append(window)
    return results


def busy(windows):
    """The share of its core that a generator used, of the whole time."""
    return statistics.median(window["own_us"] * window["rate"] / 1e6 for window in windows)


def agrees(ratio):
    """Within the noise: the interval holds one, or lies wholly within what counts as the same. None: too few rounds for an
    interval."""
    _, lower, upper = ratio
    if lower == 0:
        return None
    return lower <= 1 <= upper or (lower >= 1 - AGREED and upper <= 1 + AGREED)


def compare(results):
    """{other: {key: (ratio, lower, upper)}} of gyre-load's windows to the other's, round by round. The intervals are so wide
    that all of them hold at once in 95 % of runs; without rounds enough for that, from 0 to infinity."""
    others = [name for name in results if name != "gyre-load"]
    level = LEVEL / (len(others) * len(TOLD))
    found = {}
    for name in others:
        found[name] = {}
        for key in TOLD:
            logs = [math.log(a[key] / b[key]) for a, b in zip(results["gyre-load"], results[name])]
            lower, upper = pairs.limits(logs, level)
            found[name][key] = (math.exp(pairs.estimate(logs)), math.exp(lower), math.exp(upper))
    return found


def verdict_of(name, key, ratio, saturated=(), small=True):
    """(words, whether it is as it must be; None where that cannot be told). `saturated` generators are named; `small`: the
    answers are."""
    if key in VOID_IF_SATURATED and saturated:
        return f"void: {' and '.join(saturated)} had no time left", True
    if key in COMPARED:
        agreed = agrees(ratio)
        return {True: "within the noise", False: "THEY DIFFER", None: "too few rounds to tell"}[agreed], agreed
    if name != "wrk":
        return "", True
    if not small:
        return "not judged: the answers are long", True
    if ratio[2] <= MOST:
        return f"at most {MOST}, as it must be", True
    return f"not shown to be at most {MOST}", False if ratio[1] > MOST else None


def show_windows(options, results):
    def row(told, unit, figure):
        print(f"  {told:38}" + "".join(f"{statistics.median(figure(w) for w in windows):>{14 - len(unit)}.2f}{unit}"
                                       for windows in results.values()))

    print(f"{options.server}, {options.connections} connections, {options.rounds} rounds of "
          f"{options.seconds} s, interleaved; medians")
    print(f"  {'':38}" + "".join(f"{name:>14}" for name in results))
    for key, told in TOLD.items():
        row(told, "" if key == "rate" else " µs", lambda w, key=key: w[key])
    row("share of its core that it used", "", lambda w: w["own_us"] * w["rate"] / 1e6)
    row("mean latency × rate ÷ connections", "", lambda w: w["mean_us"] * w["rate"] / 1e6 / options.connections)


def show(options, results, found):
    show_windows(options, results)
    saturated = [name for name, windows in results.items() if busy(windows) > SATURATED]
    verdicts = []
    for name, ratios in found.items():
        print(f"\n  gyre-load ÷ {name}, with intervals that hold together in 95 % of runs")
        for key, (ratio, lower, upper) in ratios.items():
            words, fine = verdict_of(name, key, ratios[key], [s for s in saturated if s in (name, "gyre-load")],
                                     options.server == "small")
            verdicts.append(fine)
            print(f"    {TOLD[key]:30}{ratio:7.3f}  ({lower:.3f} – {upper:.3f})  {words}")
    return 1 if False in verdicts else 2 if None in verdicts else 0


def main():
    parser = argparse.ArgumentParser(prog="bench/agree", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=HERE.parent / "build" / "release", help="build folder (build/release)")
    parser.add_argument("--server", choices=("nginx", "gyre", "small"), default="nginx")
    parser.add_argument("--rounds", type=int, default=11, help="ten or more, else nothing can be told (11)")
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--client-core", type=int, default=1)
    parser.add_argument("--lock", metavar="FILE", help="hold this file's lock (flock) during each window")
    parser.add_argument("--json", metavar="FILE", help="write every window to this file")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("--rounds must be 2 or more")
    names = []
    for name in GENERATORS:
        if name in PACKAGES and not shutil.which(name):
            print(f"without {name}, which is not installed: apt-get install {PACKAGES[name]}", file=sys.stderr)
        else:
            names.append(name)
    if len(names) < 2:
        parser.error("there is no other generator to agree with")
    try:
        results = measure(options, names)
    except (Failed, OSError) as failure:
        print(f"bench/agree: {failure}", file=sys.stderr)
        return 2
    found = compare(results)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            json.dump({"windows": results, "ratios": found}, out, indent=1)
    return show(options, results, found)

