# SPDX-License-Identifier: GPL-3.0-or-later
"""A strict reader of Prometheus' text format, version 0.0.4, as its documentation has it."""

import math
import re

from harness import equal, true

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,?)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
KINDS = ("counter", "gauge", "histogram")


def labels_of(text, line):
    found, at = {}, 0
    while at < len(text):
        label = LABEL.match(text, at)
        true(label and label[1] not in found, f"labels, each once: {line}")
        true(bool(label[3]) == (label.end() < len(text)), f"commas between labels: {line}")
        found[label[1]] = re.sub(r"\\(.)", lambda escape: "\n" if escape[1] == "n" else escape[1], label[2])
        at = label.end()
    return found


def value_of(text, line):
    true(re.fullmatch(r"[+-]?Inf|NaN|[+-]?[0-9.]+(e[+-]?[0-9]+)?", text), f"a value: {line}")
    return float(text)


def belongs(name, family, kind):
    if kind == "histogram":
        return name in (family + "_bucket", family + "_sum", family + "_count")
    return name == family


class Families:
    """What a page says: families in order, each with its samples as (name, labels, value)."""

    def __init__(self, text):
        true(text.endswith("\n"), "the last line ends")
        self.kinds, self.samples = {}, {}
        family = ""
        for line in text[:-1].split("\n"):
            if line.startswith("# HELP "):
                found = re.fullmatch(rf"# HELP ({NAME}) ((?:[^\\]|\\[\\n])+)", line)
                true(found and found[1] not in self.kinds, f"a family is described once: {line}")
                family = found[1]
                self.kinds[family] = None
            elif line.startswith("# TYPE "):
                found = re.fullmatch(rf"# TYPE ({NAME}) (\w+)", line)
                true(found and found[1] == family and found[2] in KINDS, f"a type behind its help: {line}")
                equal(self.kinds[family], None, "the type is there once")
                self.kinds[family] = found[2]
                self.samples[family] = []
            else:
                found = SAMPLE.fullmatch(line)
                true(found, f"a sample: {line}")
                kind = self.kinds.get(family)
                true(kind and belongs(found[1], family, kind), f"it belongs to {family}: {line}")
                self.samples[family].append((found[1], labels_of(found[2] or "", line), value_of(found[3], line)))
        self.check()

    def check(self):
        for family, kind in self.kinds.items():
            true(kind, f"{family} has a type")
            seen = set()
            for name, labels, value in self.samples[family]:
                key = (name, tuple(sorted(labels.items())))
                true(key not in seen, f"{key} is there once")
                seen.add(key)
                true(kind == "gauge" or value >= 0, f"{key} is not negative")
            if kind == "counter":
                true(family.endswith("_total"), f"{family} is named as counters are")
            if kind == "histogram":
                self.check_histogram(family)

    def check_histogram(self, family):
        series = {}
        for name, labels, value in self.samples[family]:
            rest = tuple(sorted((key, text) for key, text in labels.items() if key != "le"))
            true(("le" in labels) == name.endswith("_bucket"), f"{name} has a bound if it is a bucket")
            series.setdefault(rest, {}).setdefault(name[len(family):], []).append((labels.get("le"), value))
        for labels, parts in series.items():
            bounds = [float(bound) for bound, _ in parts["_bucket"]]
            counts = [count for _, count in parts["_bucket"]]
            equal(bounds, sorted(set(bounds)), f"the bounds of {family} {labels}, ascending")
            equal(counts, sorted(counts), f"the buckets of {family} {labels}, cumulative")
            equal(bounds[-1], math.inf, "the last bound")
            equal([value for _, value in parts["_count"]], [counts[-1]], f"the count of {family} {labels}")
            equal(len(parts["_sum"]), 1, "sums")

    def flat(self):
        """{name with labels as they are written: value}"""
        flat = {}
        for samples in self.samples.values():
            for name, labels, value in samples:
                text = ",".join(f'{key}="{label}"' for key, label in labels.items())
                flat[name + (f"{{{text}}}" if text else "")] = value
        return flat
