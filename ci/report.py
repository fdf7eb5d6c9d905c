# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums up a run of ci/test, test by test.

usage: report.py [--seconds N] [--results FILE] [LABEL=BUILD_FOLDER]...
       report.py --failed BUILD_FOLDER

Reads what `meson test` left in each build folder; a program that speaks TAP counts as the tests in it. FILE has one
check a line: suite, name, result, detail, with tabs between. Prints what failed and what was skipped, one line a
suite, and last of all "N passed, N failed[, N skipped]". Exits 1 if anything failed, or if there was nothing.

A program that ran again, alone (testlog-alone.json), counts as it did then; what it had failed beside others is printed
all the same. --failed prints the names of the programs that are to run again, a line each.
"""

import argparse
import json
import os
import re
import sys
from collections import namedtuple

Result = namedtuple("Result", "suite name result detail")
TAP_LINE = re.compile(r"^(not )?ok\b *(\d+)? *-? *(.*?)(?: +# *(skip|todo)\S*:? *(.*))?$", re.IGNORECASE)
TAP_PLAN = re.compile(r"^1\.\.(\d+)(?: *# *skip\S* *(.*))?$", re.IGNORECASE)


def tap_results(output):
    """Yields (name, result, detail) of each test in a TAP stream, then of those that were planned and never came."""
    planned = None
    seen = 0
    comment = ""
    lines = output.splitlines()
    for number, line in enumerate(lines):
        plan = TAP_PLAN.match(line)
        if plan:
            planned = int(plan.group(1))
            if planned == 0:
                yield ("all of it", "skipped", plan.group(2) or comment)
            continue
        test = TAP_LINE.match(line)
        if not test:
            # The reason of a skip may stand in a line before it: cmocka has no other place.
            if line.startswith("Bail out!"):
                seen += 1
                yield ("a planned test", "failed", line)
            elif line.strip() and not line.startswith(("TAP version", " ")):
                comment = line.lstrip("# ").strip()
            continue
        failed, index, name, directive, reason = test.groups()
        seen += 1
        name = name or f"test {index or seen}"
        if directive and directive.lower() == "skip":
            yield (name, "skipped", reason or comment or "no reason given")
        elif failed:
            yield (name, "failed", diagnostics(lines, number))
        else:
            yield (name, "passed", "")
        comment = ""
    if planned is None and seen == 0:
        yield ("all of it", "failed", "no test was run")
    elif planned is not None and seen < planned:
        for _ in range(planned - seen):
            yield ("a planned test", "failed", "the program ended before it")


def diagnostics(lines, number):
    """The lines that belong to a failed test: those up to the next result."""
    end = number + 1
    while end < len(lines) and not TAP_LINE.match(lines[end]):
        end += 1
    return "\n".join(lines[number + 1 : end])


def ended(entry):
    if entry["result"] == "TIMEOUT":
        return f"timed out after {entry['duration']:.0f} s"
    code = entry.get("returncode", 0)
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"


def output_of(entry):
    parts = [entry.get(stream, "").strip() for stream in ("stdout", "stderr")]
    return "\n".join(part for part in parts if part)


def entry_results(entry, is_tap):
    """Yields (name, result, detail) for one program that meson ran."""
    program = entry["name"].rsplit(" / ", 1)[-1]
    result = entry["result"]
    good = result in ("OK", "EXPECTEDFAIL")
    if not is_tap:
        if result == "SKIP":
            lines = output_of(entry).splitlines()
            yield (program, "skipped", lines[-1] if lines else "no reason given")
        else:
            yield (program, "passed" if good else "failed", "" if good else f"{ended(entry)}\n{output_of(entry)}")
        return
    failed = False
    for name, outcome, detail in tap_results(entry.get("stdout", "")):
        # What the program said on stderr belongs to no test in particular: once is enough.
        if outcome == "failed" and not failed and entry.get("stderr"):
            detail = f"{detail}\n{entry['stderr'].strip()}"
        failed = failed or outcome == "failed"
        yield (f"{program}: {name}", outcome, detail)
    # A leak, or a crash on the way out: every test in it passed, and the program did not.
    if not failed and (entry.get("returncode", 0) != 0 or result in ("TIMEOUT", "INTERRUPT")):
        yield (f"{program}: the program itself", "failed", f"{ended(entry)}\n{output_of(entry)}")


def log_entries(folder, name):
    path = os.path.join(folder, "meson-logs", name)
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def failed_programs(folder):
    """As `meson test` takes their names."""
    good = ("OK", "EXPECTEDFAIL", "SKIP")
    return [entry["name"].rsplit(" / ", 1)[-1] for entry in log_entries(folder, "testlog.json") if entry["result"] not in good]


def build_results(label, folder):
    with open(os.path.join(folder, "meson-info", "intro-tests.json"), encoding="utf-8") as file:
        known = json.load(file)
    is_tap = {}
    suite_of = {}
    for test in known:
        suites = [suite.split(":", 1)[-1] for suite in test["suite"]] or ["tests"]
        suite_of[test["name"]] = suites[0]
        for suite in suites:
            is_tap[(suite, test["name"])] = test["protocol"] == "tap"
    entries = log_entries(folder, "testlog.json")
    alone = {entry["name"]: entry for entry in log_entries(folder, "testlog-alone.json")}
    if not entries:
        yield Result("tests", f"those of {folder}", "failed", "no test was run")
    for first in entries:
        entry = alone.get(first["name"], first)
        # "project:suite / name", several suites being joined with "+"; only the name where there is but one suite.
        place, _, name = entry["name"].rpartition(" / ")
        suite = place.split(":", 1)[-1].split("+", 1)[0] or suite_of.get(name, "tests")
        tap = is_tap.get((suite, name), entry.get("stdout", "").startswith(("TAP version", "1..")))
        shown = f"{suite} ({label})" if label else suite
        if entry is not first:
            for what, outcome, detail in entry_results(first, tap):
                if outcome == "failed":
                    print(f"\nFAILED BESIDE OTHERS, so it ran again alone  {shown}: {what}\n{indented(detail)}")
        for what, outcome, detail in entry_results(entry, tap):
            yield Result(shown, what, outcome, detail)


def file_results(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield Result(*line.rstrip("\n").split("\t", 3))


def indented(text, lines=80):
    shown = text.strip("\n").splitlines()
    if len(shown) > lines:
        shown = shown[: lines // 2] + ["..."] + shown[-lines // 2 :]
    return "\n".join("    | " + line for line in shown)


def totals(results):
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for result in results:
        count[result.result] += 1
    line = f"{count['passed']} passed, {count['failed']} failed"
    return count, line + (f", {count['skipped']} skipped" if count["skipped"] else "")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--results")
    parser.add_argument("--failed")
    parser.add_argument("builds", nargs="*")
    arguments = parser.parse_args()
    if arguments.failed:
        print("\n".join(failed_programs(arguments.failed)))
        return 0

    results = list(file_results(arguments.results)) if arguments.results else []
    for build in arguments.builds:
        label, _, folder = build.partition("=")
        results.extend(build_results(label, folder))

    for result in results:
        if result.result == "failed":
            print(f"\nFAILED  {result.suite}: {result.name}")
            if result.detail:
                print(indented(result.detail))
    skipped = [result for result in results if result.result == "skipped"]
    if skipped:
        print("\nSkipped:")
        for result in skipped:
            print(f"  {result.suite}: {result.name}: {result.detail}")

    suites = {}
    for result in results:
        suites.setdefault(result.suite, []).append(result)
    width = max((len(suite) for suite in suites), default=0)
    print()
    for suite, members in suites.items():
        print(f"  {suite:<{width}}  {totals(members)[1]}")
    count, line = totals(results)
    if count["passed"] + count["failed"] == 0:
        count["failed"], line = 1, "0 passed, 1 failed"
    if arguments.seconds:
        print(f"\n  in {arguments.seconds // 60} min {arguments.seconds % 60} s")
    print()
    print(line, flush=True)
    return 1 if count["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
