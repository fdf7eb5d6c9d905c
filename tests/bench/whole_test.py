# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate from end to end, as small as it can be: two build folders of a toy, and a few windows of a real server."""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import PROGRAM, Skip, equal, run, test, true

from gate import builds, layouts, whole, windows
from gate.revisions import NoVerdict

GYRE_BENCH = Path(__file__).resolve().parents[2] / "bench/gyre-bench"
LOAD = os.environ.get("GYRE_LOAD", "")
CORES = sorted(os.sched_getaffinity(0))
ON_CORES = ["--server-core", str(CORES[0]), "--client-core", str(CORES[-1])]

# Counts as bench/gate/gate_scenarios.c does: the same arguments, the same JSON.
TOY = r"""
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static unsigned long part(unsigned long sum)
{
    for (int i = 0; i < PART; i++) {
        __asm__ volatile("" : "+r"(sum));
    }
    return sum;
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        return puts("toy") < 0;
    }
    unsigned long sum = 0, turns = strtoul(argv[2], NULL, 10);
    for (unsigned long i = 0; i < turns; i++) {
        sum += part(i);
    }
    printf("{\"scenario\": \"toy\", \"what\": \"a turn\", \"operations\": %lu, \"allocations\": %lu, "
           "\"copied_bytes\": 0, \"enters\": 0, \"submissions\": 0, \"completions\": 0}\n", turns, turns * ALLOCATED);
    return sum == 1;
}
"""


def gyre_bench(*arguments, **more):
    return subprocess.run([sys.executable, "-B", GYRE_BENCH, *arguments], capture_output=True, text=True, **more)


def toy_build(folder, part, allocated=0):
    """A build folder: gate-scenarios, and a server that only has to be there."""
    (folder / "bench").mkdir(parents=True)
    (folder / "gyre").write_text("#!/bin/sh\nexit 1\n")
    (folder / "gyre").chmod(0o755)
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler or not shutil.which("valgrind"):
        raise Skip("no compiler, or no valgrind")
    subprocess.run([compiler, "-xc", "-", "-O1", "-g", f"-DPART={part}", f"-DALLOCATED={allocated}", "-o",
                    folder / "bench/gate-scenarios"], input=TOY, text=True, check=True)
    return str(folder)


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory(prefix="gyre-test-") as name:
        yield Path(name)


@test
def what_is_misused_is_told_before_anything_is_built():
    with folder() as at:
        for flags, why in ((["--only", "keepalive,fil"], "no scenario fil; there are keepalive"),
                           (["--waivers", "none"], "--waivers none: No such file"),
                           (["--json", at / "no/result"], "there is no folder"),
                           (["--history", at], "that is a folder")):
            ended = gyre_bench("gate", "HEAD", "HEAD", "--work", at / "work", *flags, cwd=at)
            equal((ended.returncode, ended.stdout, (at / "work").exists()), (2, "", False), str(flags))
            true(why in ended.stderr, ended.stderr)


@test
def what_is_compared_with_itself_is_told_at_once():
    with folder() as at:
        for name in ("one", "two"):
            (at / name).mkdir()
            (at / name / "gyre").touch()
        (at / "link").symlink_to(at / "one")
        for base, head, why in (("HEAD", "HEAD", "HEAD and HEAD are the same commit, "), ("HEAD", "HEAD^{commit}", "are the same commit, "),
                                (f"{at}/one", f"{at}/link", "are the same folder")):
            for command in ("gate", "pairs"):
                ended = gyre_bench(command, base, head, "--work", at / "work")
                equal((ended.returncode, ended.stdout), (2, ""), f"{base} {head}")
                true(why in ended.stderr and "--same" in ended.stderr, ended.stderr)
                true(not any((at / "work").iterdir()), "nothing is built")
            builds.commits_of(base, head, same=True)
        equal(builds.commits_of(f"{at}/one", f"{at}/two"), [None, None])


def gate_of_toys(at, base, head, *more):
    ended = gyre_bench("gate", toy_build(at / "a", *base), toy_build(at / "b", *head), "--layer", "counts", "--work",
                       at / "work", "--json", at / "result", *more)
    return ended, json.loads((at / "result").read_text()) if (at / "result").exists() else None


# ---- layer 1 ---------------------------------------------------------------------------------------------------------

@test
def equal_builds_pass_with_status_0():
    with folder() as at:
        ended, result = gate_of_toys(at, (1000,), (1000,))
    equal(ended.returncode, 0, ended.stderr)
    equal((result["schema"], result["verdict"], result["pairs"]), ("gyre-gate-3", "pass", None))


@test
def one_per_cent_more_fails_with_status_1_and_names_the_function():
    with folder() as at:
        ended, result = gate_of_toys(at, (1000,), (1012,))
    equal(ended.returncode, 1, ended.stderr)
    scenario, = result["counts"]["scenarios"]
    true(0.011 < scenario["figures"]["instructions"]["growth"] < 0.013, f"{scenario}")
    true(scenario["functions"][0][0].endswith("part"), f"{scenario['functions']}")
    true("part" in ended.stdout and "fail" in ended.stdout, ended.stdout)


@test
def an_allocation_more_fails_unless_a_waiver_says_so():
    with folder() as at:
        ended, _ = gate_of_toys(at, (1000,), (1000, 1))
        equal(ended.returncode, 1, ended.stderr)
    with folder() as at:
        (at / "waivers").write_text("toy allocations +1 an operation keeps its name\n")
        ended, result = gate_of_toys(at, (1000,), (1000, 1), "--waivers", at / "waivers")
    equal(ended.returncode, 0, ended.stdout)
    equal(result["counts"]["scenarios"][0]["figures"]["allocations"]["waiver"], "an operation keeps its name")


@test
def layer_2_needs_a_server():
    with folder() as at:
        names = [toy_build(at / "a", 1000), toy_build(at / "b", 1000)]
        for side in "ab":
            (at / side / "gyre").unlink()
        equal(gyre_bench("gate", *names, "--layer", "counts", "--work", at / "work").returncode, 0, "counts need none")
        ended = gyre_bench("gate", *names, "--layer", "pairs", "--work", at / "work")
    equal(ended.returncode, 2)
    true("no server" in ended.stderr and "--a" in ended.stderr, ended.stderr)


@test
def a_folder_without_scenarios_says_what_to_do():
    with folder() as at:
        (at / "gyre").write_text("")
        ended = gyre_bench("gate", f"{at}/", f"{at}/", "--same", "--layer", "counts", "--work", at / "work")
    equal(ended.returncode, 2)
    true("gate-scenarios" in ended.stderr and "pairs" in ended.stderr, ended.stderr)


# ---- layer 2 ---------------------------------------------------------------------------------------------------------

SERVE = f"{shlex.quote(PROGRAM)} http --listen 127.0.0.1:{{port}} --workers 1 --fixed --unpinned"
URL = "http://127.0.0.1:{port}/"


def need_load():
    if not LOAD or not os.access(LOAD, os.X_OK) or not os.access(PROGRAM, os.X_OK):
        raise Skip("gyre-load was not built")


def pairs(*arguments):
    need_load()
    return gyre_bench("pairs", "--load", LOAD, "--seconds", "0.1", "--minutes", "0.04", *ON_CORES, *arguments)


@test
def two_servers_are_measured_side_by_side_and_judged():
    with folder() as at:
        ended = pairs("--a", SERVE, "--b", SERVE, "--url", URL, "--load-flag=-c4", "--json", at / "result", "--history",
                      at / "history")
        true(ended.returncode in (0, 2), f"{ended.returncode}: {ended.stderr}")
        result = json.loads((at / "result").read_text())
        scenario, = result["scenarios"]
        equal(ended.returncode, {"pass": 0, "inconclusive": 2}[result["verdict"]])
        true(scenario["pairs"] == len(scenario["log_ratios"]) >= 1, f"{scenario}")
        true(0.2 < scenario["ratio"] < 5, "equal servers cost about the same")
        true(any("function orders" in note for note in result["notes"]), "one build is told to be one order")
        equal(gyre_bench("history", at / "history", "--html", at / "page").returncode, 0)
        true("<svg" in (at / "page").read_text(), "it can be plotted")


@test
def a_server_that_does_not_start_is_told_with_what_it_said():
    ended = pairs("--a", f"{shlex.quote(PROGRAM)} http --no-such-flag {{port}}", "--b", SERVE, "--url", URL)
    equal(ended.returncode, 2)
    true("no-such-flag" in ended.stderr and "ended with" in ended.stderr, ended.stderr)


@test
def errors_void_a_window():
    need_load()
    settings = windows.Settings(LOAD, 0.05, 0.02, CORES[0], CORES[-1])
    try:
        windows.measure_window(settings, URL + "no-such-page", ("-c", "2"), {"base": SERVE.replace(" --fixed", "")})
    except windows.Void as why:
        true("base" in str(why), f"{why}")
    else:
        raise AssertionError("404s were counted")


@test
def what_cannot_be_measured_is_misuse():
    for arguments in (("--a", "x {port}"), ("--a", "x", "--b", "y {port}", "--url", URL),
                      ("--a", "x {port}", "--b", "y {port}", "--url", "http://127.0.0.1:80/"), (),
                      ("main", "HEAD", "--a", "x {port}", "--b", "y {port}", "--url", URL)):
        ended = gyre_bench("pairs", *arguments)
        equal((ended.returncode, ended.stdout), (2, ""), f"{arguments}")
        true("gyre-bench:" in ended.stderr, ended.stderr)


@test
def what_cannot_be_written_is_no_slow_down():
    with folder() as at:
        machine = {"processor": "a", "processors": 2, "kernel": "6", "compiler": "c", "libc": "l", "valgrind": "v"}
        (at / "history").write_text(json.dumps({
            "time": "2026-01-01T00:00:00Z", "fingerprint": "0" * 12, "machine": machine, "schema": "gyre-gate-3", "base": "a" * 40,
            "head": "b" * 40, "verdict": "pass", "scenarios": {"h1-get": {"verdict": "pass", "instructions": 1848}}}) + "\n")
        equal(gyre_bench("history", str(at / "history")).returncode, 0)
        ended = gyre_bench("history", str(at / "history"), "--html", "/nowhere/page.html")
        equal((ended.returncode, ended.stderr), (2, "gyre-bench: /nowhere/page.html: No such file or directory\n"))
        with open("/dev/full", "wb") as full:
            ended = subprocess.run([sys.executable, "-B", GYRE_BENCH, "history", str(at / "history")], stdout=full, stderr=subprocess.PIPE, text=True)
        equal((ended.returncode, ended.stderr), (2, "gyre-bench: writing: No space left on device\n"))


# ---- builds ----------------------------------------------------------------------------------------------------------

@test
def functions_are_put_in_an_order_of_the_seeds_and_all_of_them():
    script = "SECTIONS\n{\n  .text           :\n  {\n    *(.text.unlikely)\n    *(.text .text.*)\n  }\n}\n"
    names = [f"f{i}" for i in range(20)]
    one, two = (layouts.ordered_script(script, names, seed) for seed in (1, 2))
    true(one != two and one == layouts.ordered_script(script, names, 1), "by the seed")
    listed = [line.strip() for line in one.splitlines() if "(.text.f" in line]
    equal(sorted(listed), sorted(f"*(.text.{name})" for name in names))
    true(one.index(listed[-1]) < one.index("*(.text.unlikely)"), "before ld's own patterns")


@test
def old_builds_are_forgotten_but_not_those_in_use():
    with folder() as at:
        made = []
        for i in range(builds.KEPT_MAX + 3):
            made.append(at / f"build-{i:02}")
            made[-1].mkdir()
            (made[-1] / "complete").touch()
            os.utime(made[-1] / "complete", (i, i))
        builds.forget_old(at, [made[0]])
        equal([each.exists() for each in made[:4]], [True, False, False, True])


@test
def a_folder_is_known_by_its_slash():
    with folder() as at:
        (at / "gyre").touch()
        true(builds.is_folder(str(at)) and not builds.is_folder("main") and not builds.is_folder("origin/main"), "it is")


@test
def the_worst_layer_decides():
    equal(whole.worst(["pass", "inconclusive"]), "inconclusive")
    equal(whole.worst(["inconclusive", "fail"]), "fail")
    equal(whole.worst(["pass"]), "pass")
    equal(whole.STATUS, {"pass": 0, "fail": 1, "inconclusive": 2})


@test
def this_builds_server_can_be_linked_in_another_order():
    built = Path(PROGRAM).parent
    if not (built / "build.ninja").exists() or not shutil.which("ninja"):
        raise Skip("not a build folder of ninja's")
    if any("-flto" in word for word in layouts.link_command(built, "gyre")):
        raise Skip("link-time optimised")
    with folder() as at:
        program, = layouts.relink(built, "gyre", at, 1)
        equal(subprocess.run([program, "--version"], capture_output=True).returncode, 0)
        equal(sorted(layouts.functions_of(program)), sorted(layouts.functions_of(PROGRAM)))


@test
def a_programs_link_can_be_repeated_elsewhere():
    equal(layouts.linked_to(["cc", "-o", "gyre", "a.o", "-lx"], "/tmp/x"), ["cc", "-o", "/tmp/x", "a.o", "-lx"])
    try:
        layouts.relink(Path("/nowhere"), "gyre", Path("/nowhere"))
    except NoVerdict as why:
        true("ninja" in str(why), f"{why}")
    else:
        raise AssertionError("nothing was there")


run()
