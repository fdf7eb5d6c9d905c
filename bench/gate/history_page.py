# SPDX-License-Identifier: GPL-3.0-or-later
"""What --history has gathered, as a table in the terminal or as one self-contained page of charts."""

import math
from html import escape
from pathlib import Path

from gate import flags, history
from gate.revisions import NoVerdict

ABOUT = """\
Shows what `gyre-bench gate --history FILE` and `pairs --history FILE` have gathered: for each
machine and scenario the last figure, and how it moved. --html writes one page with charts, that
needs nothing else. Runs of different machines (processor, kernel, compiler, …) are kept apart.

Exit status: 0 done, 2 misused, or a file that is no history."""

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 320, 150, 52, 10, 12, 22
TOLERATED = 1.03

STYLE = """\
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --faint: #667079; --line: #d5dae0;
  --good: #1769aa; --bad: #b3261e; --band: #1769aa2e; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e6e9ec; --faint: #98a2ab; --line: #363d44;
  --good: #6db3f2; --bad: #ff8a80; --band: #6db3f23a; } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem;
  padding: 1rem; }
h1 { font-size: 1.5rem; margin: .5rem 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .25rem; } h3 { font-size: 1rem; }
p { margin: .25rem 0; } .faint { color: var(--faint); font-size: .85rem; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 1rem; }
figure { border: 1px solid var(--line); border-radius: 6px; margin: 0; padding: .5rem .75rem; }
figcaption { display: flex; justify-content: space-between; gap: .5rem; flex-wrap: wrap; }
svg { display: block; height: auto; width: 100%; }
svg text { fill: var(--faint); font: 10px system-ui, sans-serif; }
.axis { stroke: var(--line); } .limit { stroke: var(--bad); stroke-dasharray: 4 3; }
.path { fill: none; stroke: var(--good); stroke-width: 1.5; } .bar { stroke: var(--band); stroke-width: 4; }
.pass { fill: var(--good); } .fail { fill: var(--bad); } .inconclusive { fill: var(--paper); stroke: var(--faint); }
.worse { color: var(--bad); font-weight: 600; }
"""


def add_to(commands):
    parser = flags.command(commands, "history", "FILE…", "how figures moved from run to run, as a table or a page", ABOUT)
    parser.add_argument("files", nargs="+", metavar="FILE", help="written by --history")
    parser.add_argument("--html", metavar="FILE", help="write the page there, in place of the table")
    parser.add_argument("--last", type=int, default=200, metavar="N", help="runs of each machine, at most (200)")
    parser.set_defaults(run=run)


def run(options):
    machines = by_machine(history.read(options.files), options.last)
    if not machines:
        raise NoVerdict(f"{', '.join(options.files)}: no runs in it yet; `gyre-bench gate … --history FILE` adds one")
    if options.html:
        Path(options.html).write_text(page(machines), encoding="utf-8")
    else:
        print_table(machines)
    return 0


# ---- series ----------------------------------------------------------------------------------------------------------

def by_machine(entries, last):
    """{fingerprint: its last entries}, the machine that ran last first."""
    found = {}
    for entry in entries:
        found.setdefault(entry["fingerprint"], []).append(entry)
    order = sorted(found, key=lambda name: found[name][-1]["time"], reverse=True)
    return {name: found[name][-last:] for name in order}


def figure_of(values):
    """(the figure's name, its unit for people)"""
    return ("ratio", "head / base, CPU time") if "ratio" in values else ("instructions", "instructions an operation")


def series_of(entries):
    """{scenario: (figure, unit, [(entry, values)])}, in the order in which scenarios first appeared."""
    found = {}
    for entry in entries:
        for name, values in entry["scenarios"].items():
            figure, unit = figure_of(values)
            if values.get(figure) is not None:
                found.setdefault(name, (figure, unit, []))[2].append((entry, values))
    return found


def moved(figure, points):
    """By what share the last figure differs from the one before; of a ratio, from 1. None: there is none before."""
    last = points[-1][1][figure]
    before = 1.0 if figure == "ratio" else points[-2][1][figure] if len(points) > 1 else None
    return last / before - 1 if before else None


def shown(figure, value):
    return f"{value:.3f}" if figure == "ratio" else f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def machine_text(about):
    parts = [about.get("processor"), f"{about.get('processors')} processors", about.get("kernel"), about.get("compiler"),
             about.get("libc"), about.get("valgrind")]
    return ", ".join(str(part) for part in parts if part)


def print_table(machines):
    for fingerprint, entries in machines.items():
        print(f"{fingerprint}: {machine_text(entries[-1]['machine'])}")
        print(f"  {len(entries)} runs, {entries[0]['time']} to {entries[-1]['time']}; the last: {entries[-1]['verdict']}")
        for name, (figure, unit, points) in series_of(entries).items():
            change = moved(figure, points)
            text = "" if change is None else f"{change:+.2%}"
            print(f"  {name:22}{shown(figure, points[-1][1][figure]):>12}{text:>10}  {unit}")
        print()


# ---- the page --------------------------------------------------------------------------------------------------------

def bounds(figure, points):
    """What the axis shows, with air; never narrower than 2 %, so that nothing looks like a mountain."""
    values = [values[figure] for _, values in points]
    for _, each in points:
        values += [each[key] for key in ("lower", "upper") if figure == "ratio" and each.get(key) is not None]
    if figure == "ratio":
        values += [1.0, TOLERATED]
    low, high = min(values), max(values)
    air = max((high - low) * 0.1, abs(high) * 0.01, 1e-9)
    return low - air, high + air


def chart(figure, points):
    low, high = bounds(figure, points)
    step = (WIDTH - LEFT - RIGHT) / max(1, len(points) - 1)

    def x_of(i):
        return LEFT + i * step if len(points) > 1 else (LEFT + WIDTH - RIGHT) / 2

    def y_of(value):
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    for value in (low, (low + high) / 2, high):
        y = y_of(value)
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{shown(figure, value)}</text>')
    if figure == "ratio":
        y = y_of(TOLERATED)
        parts.append(f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    for i, (_, values) in enumerate(points):
        if figure == "ratio" and values.get("lower") is not None and values.get("upper") is not None:
            parts.append(f'<line class="bar" x1="{x_of(i):.1f}" x2="{x_of(i):.1f}" y1="{y_of(values["lower"]):.1f}" '
                         f'y2="{y_of(values["upper"]):.1f}"/>')
    line = " ".join(f"{x_of(i):.1f},{y_of(values[figure]):.1f}" for i, (_, values) in enumerate(points))
    parts.append(f'<polyline class="path" points="{line}"/>')
    parts += [mark(figure, each, x_of(i), y_of(each[1][figure])) for i, each in enumerate(points)]
    first, last = points[0][0]["time"][:10], points[-1][0]["time"][:10]
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">{escape(first)}</text>')
    if last != first:
        parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{escape(last)}</text>')
    return "".join(parts) + "</svg>"


def mark(figure, point, x, y):
    """A disc; a square where it failed, so that colour is not all there is."""
    entry, values = point
    verdict = values.get("verdict") or "pass"
    kind = verdict if verdict in ("fail", "inconclusive") else "pass"
    told = escape(f"{entry['time']}  {entry['head'][:12]}  {shown(figure, values[figure])}  {verdict}")
    shape = (f'<rect class="{kind}" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8">' if kind == "fail"
             else f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3">')
    return f"{shape}<title>{told}</title></{'rect' if kind == 'fail' else 'circle'}>"


def caption(name, figure, points):
    change = moved(figure, points)
    worse = change is not None and not math.isnan(change) and change >= (TOLERATED - 1 if figure == "ratio" else 0.01)
    text = "" if change is None else f"{change:+.2%}"
    return (f'<figcaption><b>{escape(name)}</b><span>{shown(figure, points[-1][1][figure])} '
            f'<span class="{"worse" if worse else "faint"}">{text}</span></span></figcaption>')


def page(machines):
    parts = ["<!doctype html>", '<html lang="en"><head><meta charset="utf-8">',
             '<meta name="viewport" content="width=device-width, initial-scale=1">', "<title>gyre-bench: history</title>",
             f"<style>{STYLE}</style></head><body>", "<h1>What operations cost, run by run</h1>",
             '<p class="faint">Each point is a run of the gate; squares failed, hollow ones were inconclusive. Beside a name: '
             "the last figure, and how far it is from the one before (of a ratio: from 1). The dashed line is what is "
             "tolerated, bars are intervals.</p>"]
    for fingerprint, entries in machines.items():
        last = entries[-1]
        parts.append(f"<h2>{escape(machine_text(last['machine']))}</h2>")
        parts.append(f'<p class="faint">{len(entries)} runs, the last {escape(last["time"])} of {escape(last["head"][:12])}: '
                     f"{escape(last['verdict'])}. Fingerprint {escape(fingerprint)}.</p>")
        by_unit = {}
        for name, (figure, unit, points) in series_of(entries).items():
            by_unit.setdefault(unit, []).append(f"<figure>{caption(name, figure, points)}{chart(figure, points)}</figure>")
        for unit, figures in by_unit.items():
            parts.append(f"<h3>{escape(unit[0].upper() + unit[1:])}</h3><div class=\"charts\">{''.join(figures)}</div>")
    return "\n".join(parts) + "\n</body></html>\n"
