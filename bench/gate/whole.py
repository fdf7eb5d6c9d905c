# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate: two sides built, counted and measured in one job, and the verdict of both layers."""

import contextlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from gate import builds, history, layer1, layer2, revisions, scenarios, waivers
from gate.progress import progress
from gate.revisions import NoVerdict

STATUS = {"pass": 0, "fail": 1, "inconclusive": 2}


@contextlib.contextmanager
def work_folder(options):
    """Where builds are kept. Unless --work names one, that is the user's cache."""
    if options.fresh:
        with tempfile.TemporaryDirectory(prefix="gyre-gate-") as folder:
            yield Path(folder)
        return
    folder = Path(options.work).resolve() if options.work else builds.default_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise NoVerdict(f"{folder}: {why.strerror}; name a folder to build in: --work FOLDER") from None
    yield folder


def new_waivers(base, head, path=None):
    """The waivers that count. Folders have none in them, but a file of waivers can be named: then all its lines count."""
    if path:
        return waivers.new_waivers("", Path(path).read_text(encoding="utf-8"))
    if not base.commit or not head.commit:
        return {}
    return waivers.new_waivers(revisions.file_at(base.commit, waivers.PATH), revisions.file_at(head.commit, waivers.PATH))


def check(options):
    """What shows without building anything is not told after minutes of it."""
    known = [scenario.name for scenario in scenarios.SCENARIOS]
    for name in options.only:
        if name not in known:
            raise NoVerdict(f"--only: there is no scenario {name}; there are {', '.join(known)}")
    if options.waivers:
        try:
            Path(options.waivers).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as why:
            raise NoVerdict(f"--waivers {options.waivers}: {getattr(why, 'strerror', None) or why}") from None
    for flag, path in (("--json", options.json), ("--history", options.history)):
        if not path or path == "-":
            continue
        folder = Path(path).resolve().parent
        if Path(path).is_dir():
            raise NoVerdict(f"{flag} {path}: that is a folder; name a file")
        if not folder.is_dir():
            raise NoVerdict(f"{flag} {path}: there is no folder {folder}; make it first")
        if not os.access(path if Path(path).exists() else folder, os.W_OK):
            raise NoVerdict(f"{flag} {path}: it may not be written; name another file")


def worst(verdicts):
    return next((verdict for verdict in ("fail", "inconclusive") if verdict in verdicts), "pass")


def run_gate(options):
    began = time.monotonic()
    check(options)
    with work_folder(options) as work:
        base, head = builds.prepare(options.base, options.head, work, progress, options.same)
        progress("")
        waived = new_waivers(base, head, options.waivers)
        built = time.monotonic()
        counted = layer1.compare(base, head, waived, options.counted) if options.layer != "pairs" else None
        if counted and options.json != "-":
            layer1.print_result(counted)
            print(flush=True)
        pairs = layer2.compare(base, head, options, waived, work) if options.layer != "counts" else None
        if pairs and options.json != "-":
            layer2.print_result(pairs)
    seconds = time.monotonic() - began
    result = {"schema": "gyre-gate-3", "base": base.about(), "head": head.about(),
              "verdict": worst([layer["verdict"] for layer in (counted, pairs) if layer]),
              "seconds": round(seconds, 1), "build_seconds": round(built - began, 1), "counts": counted, "pairs": pairs}
    if options.json != "-":
        print(f"\n{result['verdict']}, after {seconds:.0f} s, of which {built - began:.0f} s to build")
    keep(result, options)
    return STATUS[result["verdict"]]


def run_pairs(options):
    """Revisions as in the gate, or with --a and --b any two servers."""
    if bool(options.a) != bool(options.b) or bool(options.a) != bool(options.url):
        raise NoVerdict("--a, --b and --url go together: two servers' commands, and the address to load")
    if bool(options.a) == bool(options.base and options.head):
        raise NoVerdict("name two revisions, or two servers with --a, --b and --url")
    check(options)
    if options.a:
        options.load = options.load or find_load()
        result = layer2.compare_commands(options.a, options.b, options)
    else:
        with work_folder(options) as work:
            base, head = builds.prepare(options.base, options.head, work, progress, options.same)
            progress("")
            result = layer2.compare(base, head, options, new_waivers(base, head, options.waivers), work)
    if options.json != "-":
        layer2.print_result(result)
    keep(result, options)
    return STATUS[result["verdict"]]


def find_load():
    """gyre-load: beside us when we are installed, in the build folders of the checkout, or wherever PATH finds it."""
    places = [revisions.HERE.parents[1] / "bin", *sorted(revisions.HERE.glob("build/*")), revisions.HERE / "build"]
    for place in places:
        if os.access(place / builds.LOAD, os.X_OK) and (place / builds.LOAD).is_file():
            return str(place / builds.LOAD)
    return shutil.which(builds.LOAD)


def keep(result, options):
    """In the files that were asked for."""
    plain = layer1.as_json(result)
    text = json.dumps(plain, indent=1, ensure_ascii=False)
    if options.json == "-":
        print(text)
    elif options.json:
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    if options.history:
        history.append(options.history, plain)
