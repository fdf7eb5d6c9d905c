# SPDX-License-Identifier: GPL-3.0-or-later
"""`gyre-bench quick`, `full` and `render`: builds, measures, writes the report, and says where it is."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import RELEASE, ROOT, Failed, build as build_targets
from report import figures, machine, markdown, page, run, scenarios

TARGETS = ("gyre", "gyre-load", *(f"bench/limit-{kind}-{way}" for kind in ("http", "echo", "udp", "ws", "chat")
                                  for way in ("ring", "epoll")))
KINDS = {
    "quick": {"rounds": 3, "seconds": 0.8, "warmup": 0.2, "help": "a report in under three minutes, of fewer scenarios"},
    "full": {"rounds": 7, "seconds": 1.0, "warmup": 0.3, "help": "the whole report, in about a quarter of an hour"},
}

def add(commands):
    for kind, defaults in KINDS.items():
        found = commands.add_parser(kind, help=defaults["help"], description=f"{defaults['help'].capitalize()}: builds what is "
                                    "needed, measures gyre, its rivals and the limit, and writes an HTML page and Markdown.")
        found.add_argument("--rounds", type=int, default=defaults["rounds"],
                           help=f"interleaved windows of every server; six or more for 95 %% intervals ({defaults['rounds']})")
        found.add_argument("--seconds", type=float, default=defaults["seconds"],
                           help=f"length of a window ({defaults['seconds']:g})")
        found.add_argument("--warmup", type=float, default=defaults["warmup"], help=f"before it ({defaults['warmup']:g})")
        found.add_argument("--scenarios", default="", metavar="NAME,…", help="only these")
        found.add_argument("--connections", type=int, default=64)
        found.add_argument("--server-core", type=int, default=0)
        found.add_argument("--client-core", type=int, default=1)
        found.add_argument("--build", metavar="FOLDER", help="a build that is there; nothing is built or installed then")
        found.add_argument("--output", metavar="FOLDER", help="where the report goes (build/report/TIME-KIND)")
        found.add_argument("--no-idle", dest="idle", action="store_false", default=kind == "full",
                           help="without the memory of idle connections (which full alone has)")
        found.add_argument("--lock", metavar="FILE", help="hold this file's lock (flock) during each window")
        found.set_defaults(run=measure, kind=kind)
    found = commands.add_parser("render", help="write a report's pages again, from the figures in its folder")
    found.add_argument("folder", metavar="FOLDER", help="has data.json in it")
    found.set_defaults(run=render)


def build(options):
    if options.build:
        options.build = Path(options.build).resolve()
        missing = [name for name in TARGETS if not os.access(options.build / name, os.X_OK)]
        if missing:
            raise Failed(f"{options.build}: has no {', '.join(missing)}; without --build they are built")
        return
    build_targets("the servers, the limits and gyre-load", TARGETS)
    options.build = RELEASE


def check(options):
    usable = os.sched_getaffinity(0)
    for core in (options.server_core, options.client_core):
        if core not in usable:
            raise Failed(f"core {core} is not among those that may be used here ({', '.join(map(str, sorted(usable)))}); "
                         "choose with --server-core and --client-core")
    if options.server_core == options.client_core:
        raise Failed("server and generator on one core would measure each other: give them two")
    if options.rounds < 2 or not options.seconds > 0:
        raise Failed("--rounds must be 2 or more, --seconds more than 0")
    chosen_scenarios(options, options.build or RELEASE, Path("."))  # minutes before they are made


def chosen_scenarios(options, build, folder):
    found = scenarios.all_scenarios(build, folder)
    if not options.scenarios:
        return [scenario for scenario in found if scenario.quick or options.kind == "full"]
    by_name = {scenario.name: scenario for scenario in found}
    unknown = [name for name in options.scenarios.split(",") if name not in by_name]
    if unknown:
        raise Failed(f"no scenario {', '.join(unknown)}; there are {', '.join(by_name)}")
    return [by_name[name] for name in options.scenarios.split(",")]


def write(folder, data):
    summary = figures.summary(data)
    (folder / "report.html").write_text(page.page(data, summary), encoding="utf-8")
    (folder / "report.md").write_text(markdown.text(data, summary), encoding="utf-8")


def make_folder(options):
    """Where the report goes: a place that cannot be written is told before the measuring."""
    folder = Path(options.output or ROOT / "build" / "report" / f"{time.strftime('%Y%m%d-%H%M%S')}-{options.kind}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as why:
        raise Failed(f"{folder}: no report can be written there: {why.strerror}; --output names another folder") from None
    return folder


def measure(options):
    folder = None
    try:
        check(options)
        folder = make_folder(options)
        return measure_into(folder, options)
    except Failed as failure:
        print(f"gyre-bench: {failure}", file=sys.stderr)
        return 2
    finally:
        if folder and not any(folder.iterdir()):
            folder.rmdir()


def measure_into(folder, options):
    build(options)
    with tempfile.TemporaryDirectory(prefix="gyre-report-") as temporary:
        os.chmod(temporary, 0o755)
        scenarios.make_files(options.build, Path(temporary))
        chosen = chosen_scenarios(options, options.build, Path(temporary))
        began = time.time()
        facts = machine.describe(options.build, sorted({contender.name for scenario in chosen for contender in
                                                        scenario.contenders if contender.role == scenarios.PEER}))
        data = run.measure(options, chosen)
    kept = ("kind", "rounds", "seconds", "warmup", "connections", "server_core", "client_core")
    data.update(schema="gyre-report-1", began=began, machine=facts, options={key: getattr(options, key) for key in kept},
                peers=sorted({name for s in data["scenarios"].values() for name, server in s["servers"].items()
                              if server["role"] == scenarios.PEER}))
    for name, reason in data["failed"].items():
        print(f"gyre-bench: {reason}", file=sys.stderr)
    if not data["scenarios"]:
        print("gyre-bench: nothing was measured", file=sys.stderr)
        return 2
    (folder / "data.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    write(folder, data)
    for name, reason in sorted({(name, server["missing"]) for s in data["scenarios"].values()
                                for name, server in s["servers"].items() if server.get("missing")}):
        print(f"without {name}: {reason}", file=sys.stderr)
    print(f"The report is in {folder}: report.html, report.md, and the figures in data.json."
          + (" It was interrupted: only what was done by then is in it." if data["interrupted"] else ""))
    return 1 if data["failed"] or data["interrupted"] else 0


def render(options):
    folder = Path(options.folder)
    try:
        data = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        if data.get("schema") != "gyre-report-1":
            raise ValueError("it is of another schema")
        write(folder, data)
    except (OSError, ValueError) as reason:
        print(f"gyre-bench: {folder}/data.json: {reason}", file=sys.stderr)
        return 2
    print(f"Written again: {folder}/report.html and report.md.")
    return 0
