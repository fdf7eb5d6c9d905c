# SPDX-License-Identifier: GPL-3.0-or-later
"""The same in Markdown: the tables, for a pull request or a terminal."""

import time

from report import figures, svg
from report.how import how_lines
from report.page import RATIO_TITLES, counted


def row(cells):
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def table(heads, rows):
    return "\n".join([row(heads), row(["---"] * len(heads)), *(row(cells) for cells in rows)]) + "\n"


def ratio_text(pair, key):
    found, more = pair[key], RATIO_TITLES[key][1]
    if found is None:
        return pair["why_not"][key]
    verdict = figures.words(figures.verdict(found, more), found)
    return f"{found['ratio']:.3f} ({found['lower']:.3f}–{found['upper']:.3f}) {verdict}"


def ratio_rows(summary):
    for name, scenario in summary.items():
        for other, pair in scenario["ratios"].items():
            cpu = ratio_text(pair, "cpu")
            if pair["unlike_load"]:
                cpu += f" [{pair['unlike_load']}]"
            yield (f"{name} ÷ {other}", cpu, *(ratio_text(pair, key) for key in list(RATIO_TITLES)[1:]))


def server_rows(scenario, told):
    for name, server in told["servers"].items():
        raw = scenario["servers"][name]

        def latency(value, windows):
            return svg.duration(value) if value is not None else figures.why_no_latency(windows) or "not measured"
        counters = [svg.nice(value) if value is not None else "not known" for value in server["counters"].values()]
        yield (name + (" (the limit)" if name == told["limit"] else ""), svg.nice(server["rate"]), svg.nice(server["cpu_us"]),
               f"{server['busy']:.0%}" if server["busy"] is not None else "–",
               *(latency(server[key], raw["closed"]) for key in ("p50_us", "p99_us")), svg.nice(server["equal"]["cpu_us"]),
               *(latency(server["equal"][key], raw["equal"]) for key in figures.LATENCIES), *counters)


HEADS = ("server", "op/s", "µs CPU/op", "core", "p50, full", "p99, full", "µs CPU/op, equal load", "p50, equal load",
         "p99, equal load", "p99.9, equal load", "enters/op", "submissions/op", "completions/op", "copied bytes/op")


def text(data, summary):
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(data["began"]))
    parts = [f"# Gyre, measured {when}\n", f"{counted(summary, data['options']['rounds'])}.\n",
             *(f"{name} could not be measured: {reason}\n" for name, reason in data["failed"].items()),
             "It was interrupted: what was done by then is shown.\n" if data["interrupted"] else "",
             figures.other_work(data) + "\n" if figures.other_work(data) else "",
             "## Ratios: gyre ÷ the other, with intervals\n",
             table(("", *(title for title, _, _ in RATIO_TITLES.values())), ratio_rows(summary))]
    for name, scenario in data["scenarios"].items():
        parts.append(f"## {scenario['title']}\n")
        rate = f" Equal load: {svg.nice(scenario['rate'])} a second." if scenario["rate"] else ""
        parts.append(f"One operation: {scenario['what']}.{rate}\n")
        parts += [f"{key} took no part: {server['missing']}\n" for key, server in scenario["servers"].items()
                  if server.get("missing")]
        parts.append(table(HEADS, server_rows(scenario, summary[name])))
    if data["idle"]:
        parts.append(f"## Memory of an idle connection, of {data['idle']['connections']:,}\n")
        parts.append(table(("server", "bytes"), ((name, svg.nice(found.get("bytes_per_connection")) if
                                                  "bytes_per_connection" in found else found["missing"])
                                                 for name, found in data["idle"]["servers"].items())))
    parts.append("## The machine\n")
    parts.append(table(("", ""), [("steal while measuring", f"{data['steal']:.1%}"),
                                  *(fact for rows in data["machine"].values() for fact in rows)]))
    parts.append("## How it was measured\n")
    parts.append("\n".join(f"- {words}" for words in how_lines(data)) + "\n")
    return "\n".join(part for part in parts if part)
