# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate's history: a line a run, and the page that plots them."""

import contextlib
import html.parser
import io
import json
import tempfile
from fractions import Fraction
from pathlib import Path

from harness import equal, run, test, true

from gate import decide, history, history_page, layer1
from gate.revisions import NoVerdict

COUNTS = {"allocations": 0, "copied_bytes": 0, "enters": 0, "submissions": 0, "completions": 0, "system_calls": 0,
          "what": "an operation", "functions": {}}
PAIR = {"name": "keepalive", "verdict": "pass", "ratio": 1.01, "lower": 0.99, "upper": 1.02, "pairs": 16}


def result_of(instructions, pair=None):
    before, after = ({**COUNTS, "instructions": Fraction(each)} for each in (1000, instructions))
    scenario = decide.decide_scenario("s", before, after, {})
    layer = {"verdict": "fail" if scenario["failed"] else "pass", "scenarios": [scenario]}
    return layer1.as_json({"schema": "gyre-gate-3", "base": {"name": "main", "commit": "b"},
                           "head": {"name": "HEAD", "commit": "h"}, "verdict": layer["verdict"], "counts": layer,
                           "pairs": {"verdict": "pass", "scenarios": [pair]} if pair else None})


def entries_of(*results, about=None):
    return [history.entry(result, about or history.machine(), day * 86400) for day, result in enumerate(results)]


@contextlib.contextmanager
def file_of(*lines):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("".join(line + "\n" for line in lines))
        file.flush()
        yield file.name


@test
def each_run_adds_one_line_with_both_layers():
    with tempfile.NamedTemporaryFile() as file:
        history.append(file.name, result_of(1030, PAIR))
        history.append(file.name, result_of(1030))
        first, second = (json.loads(line) for line in Path(file.name).read_text().splitlines())
    equal(first["scenarios"]["s"]["instructions"], 1030.0)
    equal(first["scenarios"]["s"]["verdict"], "fail")
    equal(first["scenarios"]["keepalive"]["ratio"], 1.01)
    equal(list(second["scenarios"]), ["s"])
    equal((first["base"], first["head"], first["verdict"]), ("b", "h", "fail"))
    equal(first["fingerprint"], second["fingerprint"], "the machine is the same")


@test
def another_compiler_is_another_fingerprint():
    about = history.machine()
    true(history.fingerprint(about) != history.fingerprint({**about, "compiler": "another"}), "it differs")


@test
def lines_that_are_no_history_are_refused_by_number():
    good = json.dumps(entries_of(result_of(1000))[0])
    for bad in ("{", "[]", "{}", "7"):
        with file_of(good, bad) as name:
            try:
                history.read([name])
            except NoVerdict as why:
                true(f"{name}:2" in str(why), f"{why}")
            else:
                raise AssertionError(f"{bad} was accepted")


@test
def machines_are_kept_apart_the_last_one_first():
    other = {**history.machine(), "kernel": "6.1.0"}
    entries = entries_of(result_of(1000)) + entries_of(result_of(1000), result_of(1001), about=other)
    machines = history_page.by_machine(sorted(entries, key=lambda each: each["time"]), 100)
    equal([len(each) for each in machines.values()], [2, 1])
    equal(len(history_page.by_machine(entries, 1)[history.fingerprint(other)]), 1, "--last")


@test
def a_figure_moves_against_the_run_before_and_a_ratio_against_1():
    series = history_page.series_of(entries_of(result_of(1000, PAIR), result_of(1030, PAIR)))
    figure, _, points = series["s"]
    true(abs(history_page.moved(figure, points) - 0.03) < 1e-9, "instructions")
    figure, _, points = series["keepalive"]
    true(abs(history_page.moved(figure, points) - 0.01) < 1e-9, "ratio")


class Balance(html.parser.HTMLParser):
    """Complains of elements that are not closed, and of what comes from elsewhere."""

    OPEN_ENDED = ("meta", "!doctype")

    def __init__(self):
        super().__init__()
        self.open, self.marks = [], 0

    def handle_starttag(self, tag, attrs):
        true(not any(name in ("src", "href") for name, _ in attrs), f"{tag} needs nothing from outside")
        self.marks += any(value in ("pass", "fail", "inconclusive") for name, value in attrs if name == "class")
        if tag not in self.OPEN_ENDED:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        equal(self.open.pop(), tag)


@test
def the_page_is_whole_and_has_a_mark_for_every_run():
    entries = entries_of(*(result_of(1000 + i, PAIR) for i in range(5)))
    entries[2]["head"] = "<script>"
    text = history_page.page(history_page.by_machine(entries, 100))
    balance = Balance()
    balance.feed(text)
    equal((balance.open, balance.marks), ([], 10))
    true("<script" not in text, "what is in the file is escaped")


@test
def one_run_is_enough_for_a_page_and_a_table():
    machines = history_page.by_machine(entries_of(result_of(1000, {**PAIR, "lower": None, "upper": None})), 100)
    Balance().feed(history_page.page(machines))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        history_page.print_table(machines)
    true("keepalive" in out.getvalue() and "1.010" in out.getvalue(), out.getvalue())


run()
