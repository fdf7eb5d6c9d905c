# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: what it makes of windows, on made-up ones; what its pages say, and that they load nothing."""

import base64
import copy
import html.parser
import json
import math
import os
import random
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import zlib

import browser
from harness import Skip, equal, output_of, run, test, true
from measure import Failed
from report import agreement, figures, hdr, markdown, page, svg
from report.command import KINDS, TARGETS

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


def window(cpu, rate, **more):
    return {"rate": rate, "asked": None, "reached": True, "answered": 1000, "seconds": 1.0, "errors": 0, "steal": 0.001,
            "cpu_us": cpu, "busy": 0.99, "counters": None, "generator_us": 4.0, "generator_busy": 0.5, "latency_valid": True,
            "p50_us": 100.0, "p99_us": 900.0, "p99_9_us": 2000.0, "load": 1.0, "void": False, **more}


def server(role, cpu, rate, rounds=7, **more):
    return {"role": role, "closed": [window(cpu * (1 + i / 1000), rate, **more) for i in range(rounds)],
            "equal": [window(cpu * 1.1, 500.0) for _ in range(rounds)], "curve": [[1, 50000], [2, 100000], [10, 300000]],
            "latencies": 1000}


def data():
    counters = {"enters": 50, "submissions": 1000, "completions": 2000, "copied_bytes": 0, "turns": 50}
    servers = {"gyre": server("gyre", 5.0, 180000.0, counters=counters), "nginx": server("peer", 8.0, 120000.0),
               "limit-ring": server("limit", 4.0, 200000.0), "limit-epoll": server("limit", 4.5, 190000.0),
               "h2o": {"role": "peer", "closed": [], "equal": [], "curve": [], "latencies": 0,
                       "missing": "h2o is not installed; apt-get install <h2o>"}}
    points = [window(5.0, 1000.0, asked=1000.0), window(5.0, 1900.0, asked=2000.0, latency_valid=False)]
    scenario = {"title": "Kept connections", "what": "a GET", "rate": 500.0, "servers": servers,
                "load_curve": {"gyre": points, "nginx": copy.deepcopy(points)}}
    return {"schema": "gyre-report-1", "began": 1.7e9, "scenarios": {"keepalive": scenario}, "idle": {
        "connections": 100, "servers": {"gyre": {"bytes_per_connection": 900.0, "growth_per_connection": 300.0, "rss_bytes": 90000},
                                        "nginx": {"missing": "it closed some"}}},
            "machine": {"Processor": [["processor", "Some <CPU>"]], "Kernel": [["kernel", "Linux 6.18, #1"]]},
            "failed": {}, "interrupted": False, "peers": ["h2o", "nginx"], "steal": 0.01,
            "load_before": [0.1, 0, 0], "load_after": [1.5, 0, 0], "took_s": 60.0,
            "options": {"kind": "full", "rounds": 7, "seconds": 1.1, "warmup": 0.3, "connections": 64, "server_core": 0,
                        "client_core": 1}}


class Page(html.parser.HTMLParser):
    """Whether every element ends, and what is loaded from where."""

    VOID = {"meta", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.tags, self.text = [], [], {}, ""
        self.feed(text)
        equal(self.open, [], "what was never closed")

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.loads += [value for name, value in attrs if name in ("src", "href") and not value.startswith("#")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1

    def handle_endtag(self, tag):
        equal(self.open.pop(), tag, "what ends")

    def handle_data(self, words):
        if not self.open or self.open[-1] != "style":
            self.text += words + " "


def pages(given):
    summary = figures.summary(given)
    return page.page(given, summary), markdown.text(given, summary)


@test
def a_page_loads_nothing_and_runs_nothing():
    text, _ = pages(data())
    parsed = Page(text)
    equal(parsed.loads, [], "what it loads")
    true("script" not in parsed.tags and "link" not in parsed.tags and "url(" not in text, "no scripts and no style sheets")
    true("prefers-color-scheme: dark" in text and 'name="viewport"' in text, "light and dark, desk and phone")


@test
def every_plot_has_its_table():
    parsed = Page(pages(data())[0])
    plots = parsed.tags["figure"]
    true(plots >= 10, f"there are plots: {plots}")
    equal(parsed.tags["details"], plots, "tables behind plots")


@test
def what_comes_from_outside_is_text():
    text, _ = pages(data())
    true("Some &lt;CPU&gt;" in text and "<CPU>" not in text, "the processor's name")
    true("apt-get install &lt;h2o&gt;" in text, "what a server said")


@test
def a_rival_that_is_not_there_is_said_to_be_missing():
    for text in pages(data()):
        true("h2o took no part: h2o is not installed; apt-get install" in text, "it is said")


@test
def a_saturated_generator_voids_latencies_and_not_cpu():
    given = data()
    for each in given["scenarios"]["keepalive"]["servers"]["nginx"]["equal"]:
        each["latency_valid"] = False
    summary = figures.summary(given)["keepalive"]
    equal(summary["ratios"]["nginx"]["p99"], None, "the ratio of p99")
    true(summary["ratios"]["nginx"]["equal_cpu"] is not None, "the ratio of CPU stays")
    true(summary["servers"]["nginx"]["equal"]["cpu_us"] is not None, "and so does the CPU")
    for text in pages(given):
        true("void: generator too slow" in text, "the cell says so")


@test
def a_window_with_an_error_is_void_for_everything():
    given = data()
    nginx = given["scenarios"]["keepalive"]["servers"]["nginx"]
    nginx["closed"][0] = {"void": True, "errors": 3, "latency_valid": False, "steal": 0.0}
    summary = figures.summary(given)["keepalive"]
    equal(summary["ratios"]["nginx"]["cpu"]["pairs"], 6, "pairs")
    equal((summary["servers"]["nginx"]["windows"], summary["servers"]["nginx"]["void"]), (6, 1), "windows, and void ones")
    nginx["closed"] = [nginx["closed"][0]] * 7
    for text in pages(given):
        true("void: errors" in text, "the cell says so when none is left")


@test
def the_limit_is_the_cheaper_variant():
    summary = figures.summary(data())["keepalive"]
    equal(summary["limit"], "limit-ring", "the limit")
    equal(set(summary["ratios"]), {"nginx", "limit-ring"}, "what gyre is held against")


@test
def losses_are_told_like_wins():
    summary = figures.summary(data())["keepalive"]
    equal(figures.verdict(summary["ratios"]["nginx"]["cpu"]), "better", "against nginx")
    equal(figures.verdict(summary["ratios"]["limit-ring"]["cpu"]), "worse", "against the limit")
    equal(figures.verdict(summary["ratios"]["nginx"]["rate"], True), "better", "operations a second")
    text, told = pages(data())
    true("1.250 (1.250–1.250) worse" in told, f"in Markdown:\n{told}")
    true('class="worse"' in text and "✗ 1.25" in text, "and in the page")


@test
def a_core_that_was_not_saturated_is_named():
    given = data()
    for each in given["scenarios"]["keepalive"]["servers"]["nginx"]["closed"]:
        each["busy"] = 0.8
    true("nginx&#x27;s core 80% busy" in pages(given)[0] and "nginx's core 80% busy" in pages(given)[1], "in the ratio's cell")


@test
def counters_are_gyres_own():
    servers = figures.summary(data())["keepalive"]["servers"]
    equal(servers["gyre"]["counters"], {"enters": 0.05, "submissions": 1.0, "completions": 2.0, "copied_bytes": 0.0}, "of gyre")
    equal(set(servers["nginx"]["counters"].values()), {None}, "of nginx: not known")
    true("not known" in pages(data())[0], "and the cell says so")


@test
def intervals_hold_the_true_ratio_as_often_as_they_say():
    draw = random.Random(5)
    missed = 0
    for _ in range(400):
        found = figures.interval([math.log(1.1) + draw.gauss(0, 0.05) for _ in range(7)])
        missed += not found[1] <= 1.1 <= found[2]
    true(5 <= missed <= 32, f"about one in twenty of 400 misses, not {missed}")


@test
def few_rounds_claim_no_95_percent():
    ratio, lower, upper, confidence = figures.interval([math.log(value) for value in (0.9, 1.0, 1.3)])
    true(abs(ratio - 1) < 1e-9 and abs(lower - 0.9) < 1e-9 and abs(upper - 1.3) < 1e-9, "median, least and greatest")
    equal(confidence, 0.75, "how often they hold the median")
    equal(figures.ratio([window(1, 1)], [window(1, 1)], "cpu_us"), None, "one pair")


@test
def few_rounds_are_called_a_look():
    given = data()
    given["options"]["rounds"] = 3
    for each in given["scenarios"]["keepalive"]["servers"].values():
        each["closed"], each["equal"] = each["closed"][:3], each["equal"][:3]
    text, told = pages(given)
    true("looks better" in told and "looks worse" in told, f"in Markdown:\n{told}")
    true("a look, not a proof" in text and "looks better" in text and "seems to need" in text, "and in the page")
    true("looks" not in pages(data())[1], "seven rounds are no look")


@test
def what_failed_as_a_whole_is_said_first():
    given = data()
    given["failed"]["echo-tcp"] = "echo-tcp: gyre did not answer"
    given["interrupted"] = True
    for text in pages(given):
        true("echo-tcp could not be measured: echo-tcp: gyre did not answer" in text, f"the scenario and why:\n{text[:3000]}")
        true("It was interrupted" in text, "and that it was interrupted")


@test
def a_machine_that_had_other_work_is_named():
    given = data()
    for text in pages(given):
        true("other work" not in text, "nothing is said of a quiet one")
    for scenario in given["scenarios"].values():
        for found in scenario["servers"].values():
            for taken in found["closed"] + found["equal"]:
                taken["load"] = 11.94
    for text in pages(given):
        true("a load average of 11.9, of which the measuring itself is two" in text, f"it is said first:\n{text[:3000]}")


@test
def hdr_curves_follow_the_counts():
    points = dict(hdr.curve({100: 90, 200: 9, 5000: 1}))
    equal((points[1], points[2], points[10], points[100]), (100, 100, 100, 200), "values at 0, 50, 90 and 99 %")
    true(max(points) <= 100, "as far as the values tell")


@test
def a_hdr_log_is_read():
    """Encoded by hand, by the format's description: one value of 1, two of 2048 (the first bucket of steps of 2)."""
    words = bytes([0x01, 0x02]) + bytes([0xFB, 0x1F]) + bytes([0x04])  # −1 zero, 1 once, −2046 zeros, twice
    inner = struct.pack(">IIIIQQd", 0x1C849303, len(words), 0, 3, 1, 3600000000000, 1.0) + words
    packed = zlib.compress(inner)
    text = base64.b64encode(struct.pack(">II", 0x1C849304, len(packed)) + packed).decode()
    with tempfile.NamedTemporaryFile(mode="w", suffix=".hdr") as file:
        file.write(f'#[legend]\n"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
                   f"0.0,1.0,2048.0,{text}\nTag=service,0.0,1.0,2048.0,{text}\n")
        file.flush()
        equal(hdr.read(file.name), {"": {1: 1, 2048: 2}, "service": {1: 1, 2048: 2}}, "counts by tag")


@test
def a_browser_shows_it_on_desk_and_phone():
    if not browser.program():
        raise Skip("chromium is not installed")
    with tempfile.NamedTemporaryFile(mode="w", suffix=".html", encoding="utf-8") as file:
        file.write(pages(data())[0])
        file.flush()
        for width, scheme, paper in ((390, "dark", "rgb(20, 23, 27)"), (1180, "light", "rgb(255, 255, 255)")):
            shown = browser.Browser(width, 900, scheme)
            try:
                shown.open("file://" + file.name)
                equal((shown.complaints, shown.requested), ([], ["file://" + file.name]), "complaints, and what it loads")
                equal(shown.evaluate("getComputedStyle(document.body).backgroundColor"), paper, f"the paper in {scheme}")
                equal(shown.evaluate("document.documentElement.scrollWidth"), width, "width: nothing sticks out")
                wide = shown.evaluate("""[...document.querySelectorAll('svg text')].filter(text => {
                    const [inner, outer] = [text.getBoundingClientRect(), text.closest('svg').getBoundingClientRect()];
                    return inner.left < outer.left - 1 || inner.right > outer.right + 1;
                }).map(text => text.textContent).join('; ')""")
                equal(wide, "", f"texts that are cut off at {width}")
            finally:
                shown.close()


@test
def figures_have_three_digits():
    cases = {0.00247: "0.00247", 0.398: "0.398", 5.279: "5.28", 40.61: "40.6", 123.4: "123", 95462.4: "95,462",
             1662000: "1.66 M", None: "–", 0: "0"}
    for value, wanted in cases.items():
        equal(svg.nice(value), wanted, f"{value}")
    equal([svg.duration(value) for value in (59.6, 1970, 2.5e6)], ["59.6 µs", "1.97 ms", "2.5 s"], "durations")


@test
def pages_are_written_again_from_their_figures():
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/data.json", "w", encoding="utf-8") as file:
            json.dump(data(), file)
        status, out, errors = output_of([f"{ROOT}/bench/gyre-bench", "render", folder])
        equal((status, errors), (0, ""), f"status and stderr {out}")
        Page(open(f"{folder}/report.html", encoding="utf-8").read())
        true("| gyre |" in open(f"{folder}/report.md", encoding="utf-8").read(), "a row of gyre")
        status, _, errors = output_of([f"{ROOT}/bench/gyre-bench", "render", f"{folder}/nowhere"])
        true(status == 2 and "data.json" in errors, f"what is missing is named: {status} {errors}")


@test
def generators_agree_within_the_noise_or_nearly():
    for told, wanted in (((1.1, 0.95, 1.3), True), ((1.02, 1.01, 1.04), True), ((1.1, 1.02, 1.2), False),
                         ((0.9, 0.7, 0.97), False), ((0.9, 0.0, math.inf), None)):
        equal(agreement.agrees(told), wanted, f"the verdict of {told}")
    equal([agreement.verdict_of("wrk", "own_us", told)[1] for told in ((0.7, 0.6, 0.8), (0.9, 0.8, 1.0), (1.1, 1.0, 1.2))],
          [True, None, False], "of its own cost against wrk's")
    for key, wanted in (("p50_us", True), ("rate", True), ("server_us", False)):
        equal(agreement.verdict_of("h2load", key, (1.5, 1.4, 1.6), ["h2load"])[1], wanted, f"{key} of one without time left")
    equal(agreement.verdict_of("wrk", "own_us", (1.1, 1.0, 1.2), small=False)[1], True, "with long answers")
    equal(agreement.busy([{"own_us": 8.0, "rate": 100000.0}]), 0.8, "the share of a core")


@test
def noise_is_no_disagreement_and_a_bias_is_one():
    draw = random.Random(3)
    alarms = 0
    for bias, wanted in [(1.0, True)] * 60 + [(1.3, False)]:
        results = {name: [{key: 100 * math.exp(draw.gauss(0, 0.05)) * (bias if name == "gyre-load" else 1)
                           for key in agreement.TOLD} for _ in range(11)] for name in agreement.GENERATORS}
        found = agreement.compare(results)
        agreed = all(agreement.agrees(found[name][key]) for name in found for key in agreement.COMPARED)
        alarms += agreed != wanted
    true(alarms <= 8, f"60 runs between equals and one biased: {alarms} wrong verdicts")
    equal(agreement.agrees(agreement.compare({name: windows[:4] for name, windows in results.items()})["wrk"]["rate"]), None,
          "four rounds")


@test
def figures_of_other_generators_are_read():
    out = "x\nfigures requests=1000 duration_us=500000 errors=0 samples=1000 mean_us=350 p50_us=300 p99_us=900\n"
    equal(agreement.wrk_figures(out, 0.005, 0.004),
          {"rate": 2000.0, "mean_us": 350, "p50_us": 300, "p99_us": 900, "server_us": 5.0, "own_us": 4.0}, "of wrk")
    out = """finished in 2.00s, 76177.00 req/s, 8.00MB/s
requests: 152354 total, 152354 started, 4 done, 4 succeeded, 0 failed, 0 errored, 0 timeout
"""
    lines = [f"1700000000000{i}\t200\t{time}\n" for i, time in enumerate((400, 100, 300, 200))]
    equal(agreement.h2load_figures(out, lines, 8e-6, 4e-6),
          {"rate": 76177.0, "mean_us": 250, "p50_us": 300, "p99_us": 400, "server_us": 2.0, "own_us": 1.0}, "of h2load")
    for bad in (out.replace("0 failed", "2 failed"), "nothing of the kind"):
        try:
            agreement.h2load_figures(bad, lines, 1, 1)
        except Failed as failure:
            true("h2load said" in str(failure), str(failure))
        else:
            raise AssertionError("errors go unnoticed")


@test
def a_report_is_measured_and_written():
    build = os.path.dirname(os.path.dirname(os.path.abspath(os.environ.get("GATE_SCENARIOS", "build/debug/bench/x"))))
    if not all(os.access(f"{build}/{name}", os.X_OK) for name in TARGETS):
        raise Skip("this build has no gyre-load, or no limits")
    if not {0, 1} <= os.sched_getaffinity(0):
        raise Skip("it takes the first two processors")
    with tempfile.TemporaryDirectory() as folder:
        status, out, errors = output_of([f"{ROOT}/bench/gyre-bench", "quick", "--build", build, "--scenarios", "echo-tcp",
                                         "--rounds", "2", "--seconds", "0.4", "--warmup", "0.2", "--output", folder])
        equal((status, errors), (0, ""), f"status and stderr\n{out}")
        true(folder in out, f"it says where the report is: {out}")
        measured = json.load(open(f"{folder}/data.json", encoding="utf-8"))
        servers = measured["scenarios"]["echo-tcp"]["servers"]
        present = [name for name, server in servers.items() if server["closed"]]
        true("gyre" in present and len(present) == 2, f"gyre and one variant of the limit: {present}")
        for name in present:
            equal([len(servers[name][kind]) for kind in ("closed", "equal")], [2, 2], f"windows of {name}")
            for one in servers[name]["closed"]:
                true(not one["void"] and one["answered"] > 20 and one["cpu_us"] > 0, f"{name}: {one}")
        Page(open(f"{folder}/report.html", encoding="utf-8").read())


@test
def misuse_is_one_clear_line():
    for words, told in ((["--server-core", "0", "--client-core", "0"], "two"), (["--rounds", "1"], "--rounds"),
                        (["--server-core", "9999"], "core 9999"), (["--build", "/nowhere"], "/nowhere: has no gyre"),
                        (["--scenarios", "nothing"], "no scenario nothing; there are keepalive"),
                        (["--output", "/dev/null/x"], "/dev/null/x: no report can be written there: ")):
        status, out, errors = output_of([f"{ROOT}/bench/gyre-bench", "quick", *words])
        equal((status, out), (2, ""), f"status and stdout of {words}")
        true(errors.startswith("gyre-bench: ") and told in errors and errors.count("\n") == 1, f"one line: {errors}")
    equal(set(KINDS), {"quick", "full"}, "the kinds there are")


@test
def a_peer_that_is_not_installed_ends_with_a_status_of_its_own():
    bash = shutil.which("bash")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("dirname", "env", "id"):
            os.symlink(shutil.which(name), f"{folder}/{name}")
        for name in os.listdir(f"{ROOT}/bench/peers"):
            path = f"{ROOT}/bench/peers/{name}"
            if not os.stat(path).st_mode & stat.S_IXUSR:
                continue
            # As on a machine that has it nowhere, not even in /usr/sbin.
            script = open(path, encoding="utf-8").read().replace('. "$(dirname "$0")/lib.sh"', "")
            library = open(f"{ROOT}/bench/peers/lib.sh", encoding="utf-8").read().replace("/usr/sbin/", f"{folder}/")
            with open(f"{folder}/peer", "w", encoding="utf-8") as file:
                file.write(library + script)
            done = subprocess.run([bash, f"{folder}/peer", "run", "1", folder], env={"PATH": folder}, capture_output=True,
                                  text=True, check=False)
            equal(done.returncode, 69, f"the exit status of {name} ({done.stderr})")
            true(re.search(r"is not installed: apt-get install \S[^(]* \(or \S+ install", done.stderr),
                 f"and what to do: {done.stderr}")


true(sys.version_info >= (3, 9), "Python 3.9 or newer")
run()
