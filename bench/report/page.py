# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML file: nothing is loaded from elsewhere, nothing is run. Every plot has its table behind it."""

import time
from html import escape
from pathlib import Path

from report import figures, svg
from report.how import how_lines

RATIO_TITLES = {
    "cpu": ("Server CPU per operation", False, "closed loop, as fast as the servers answer"),
    "rate": ("Operations a second", True, "closed loop; more is better"),
    "equal_cpu": ("Server CPU per operation at equal load", False, "open loop, one rate for all"),
    "p50": ("p50 at equal load", False, "open loop, from when a request was due"),
    "p99": ("p99 at equal load", False, "open loop, from when a request was due"),
    "p99_9": ("p99.9 at equal load", False, "open loop, from when a request was due"),
}


def table(heads, rows, caption=""):
    head = "".join(f'<th scope="col">{escape(word)}</th>' for word in heads)
    body = ""
    for row in rows:
        cells = "".join(f"<td>{cell}</td>" for cell in row[1:])
        body += f'<tr><th scope="row">{row[0]}</th>{cells}</tr>'
    told = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{told}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def behind(plot, inner, summary="the figures as a table"):
    return f"<figure>{plot}<details><summary>{escape(summary)}</summary>{inner}</details></figure>"


def titled(title, note, plot, inner, key=""):
    return (f'<section class="plot"><h3>{escape(title)}</h3><p class="note">{escape(note)}</p>{key}'
            f"{behind(plot, inner)}</section>")


# ---- ratios ----------------------------------------------------------------------------------------------------------

def ratio_cell(found, verdict, remark=""):
    if found is None:
        return f'<span class="quiet">{escape(remark)}</span>'
    text = f"<b>{found['ratio']:.3f}</b> ({found['lower']:.3f} – {found['upper']:.3f}) {escape(figures.words(verdict, found))}"
    return text + (f'<br><span class="quiet">{escape(remark)}</span>' if remark else "")


def ratio_plot(data, summary, key):
    title, more, note = RATIO_TITLES[key]
    groups, rows, starred = [], [], False
    for name, scenario in summary.items():
        entries = []
        for other, pair in scenario["ratios"].items():
            verdict = figures.verdict(pair[key], more)
            remark = pair["why_not"].get(key) or (pair["unlike_load"] if key == "cpu" else "")
            star = bool(remark and pair[key])
            starred |= star
            entries.append((other + " *" * star, pair[key], verdict if pair[key] else remark))
            rows.append((f"{escape(name)} ÷ {escape(other)}", ratio_cell(pair[key], verdict, remark)))
        if any(found for _, found, _ in entries):
            groups.append((data["scenarios"][name]["title"], entries))
    if not groups:
        return ""
    if starred:
        note += "; * one of the two did not saturate its core (the table says which): compare at equal load"
    return titled(title + ", gyre ÷ others", note, svg.ratio_bars(groups, title, more), table(("", "ratio"), rows))


def counted(summary, rounds):
    """How often gyre is better, worse, or neither, against rivals and against the limit, by CPU."""
    text = []
    needs = "needs" if rounds >= 6 else "seems to need"
    for told, is_limit in (("rivals", False), ("the limit", True)):
        found = {"better": 0, "worse": 0, "no difference shown": 0}
        for scenario in summary.values():
            for other, pair in scenario["ratios"].items():
                verdict = figures.verdict(pair["cpu"])
                if other.startswith("limit") == is_limit and verdict in found:
                    found[verdict] += 1
        if sum(found.values()):
            text.append(f"against {told} it {needs} less CPU per operation in {found['better']} of {sum(found.values())} "
                        f"comparisons, more in {found['worse']}, and no difference is shown in "
                        f"{found['no difference shown']}")
    return "; ".join(text)


# ---- one scenario ----------------------------------------------------------------------------------------------------

def latency_cell(value, windows):
    why = figures.why_no_latency(windows)
    return svg.duration(value) if value is not None else f'<span class="quiet">{escape(why or "not measured")}</span>'


def counter_cell(server, key):
    value = server["counters"].get(key)
    return svg.nice(value) if value is not None else '<span class="quiet">not known</span>'


def scenario_rows(scenario, told):
    rows = []
    for name, server in told["servers"].items():
        raw = scenario["servers"][name]
        busy = f"{server['busy']:.0%}" if server["busy"] is not None else "–"
        if server["busy"] is not None and server["busy"] < figures.SATURATED:
            busy += '<br><span class="quiet">not saturated</span>'
        windows = f"{server['windows']}" + (f", {server['void']} void" if server["void"] else "")
        label = escape(name) + (" <em>the limit</em>" if name == told["limit"] else "")
        rows.append((label, svg.nice(server["rate"]), svg.nice(server["cpu_us"]), busy,
                     *(latency_cell(server[key], raw["closed"]) for key in figures.LATENCIES),
                     svg.nice(server["equal"]["cpu_us"]),
                     *(latency_cell(server["equal"][key], raw["equal"]) for key in figures.LATENCIES),
                     *(counter_cell(server, key) for key in ("enters", "submissions", "completions", "copied_bytes")), windows))
    return rows


SCENARIO_HEADS = ("server", "op/s", "µs CPU/op", "core busy", "p50, full", "p99, full", "p99.9, full", "µs CPU/op, equal load",
                  "p50, equal load", "p99, equal load", "p99.9, equal load", "enters/op", "submissions/op", "completions/op",
                  "copied bytes/op", "windows")


def amount_plot(scenario, told, key, title, unit):
    rows, cells = [], []
    for name, server in told["servers"].items():
        values = [window[key] for window in scenario["servers"][name]["closed"] if figures.usable(window, key)]
        least, most = min(values, default=None), max(values, default=None)
        rows.append((name, server[key], least, most, "void"))
        cells.append((escape(name), svg.nice(server[key]), f"{svg.nice(least)} – {svg.nice(most)}"))
    return titled(title, "closed loop; bars are medians, thin lines go from the least window to the greatest",
                  svg.amount_bars(rows, title, unit), table(("server", "median", "least – greatest"), cells))


def percent(x):
    """From 1/(1 − p) to a percentile's name."""
    return f"{100 - 100 / x:.6g} %"


PERCENTILE_TICKS = (1, 10, 100, 1000, 10000, 100000)


def shown_servers(told):
    return [name for name in told["servers"] if not name.startswith("limit") or name == told["limit"]]


def curve_plot(scenario, told):
    names = [name for name in shown_servers(told) if scenario["servers"][name]["curve"]]
    series, columns = [], {}
    for name in names:
        points = scenario["servers"][name]["curve"]
        marked = (1, 2, *PERCENTILE_TICKS[1:])
        series.append((name, [(x, y / 1000, f"{percent(x)} within {svg.duration(y / 1000)}" if x in marked else "", True)
                              for x, y in points]))
        columns[name] = {x: y / 1000 for x, y in points}
    at = [x for x in (2, 4, 10, 20, 100, 1000, 10000, 100000) if any(x in column for column in columns.values())]
    rows = [(percent(x), *(svg.duration(columns[name].get(x)) for name in names)) for x in at]
    how = f"open loop, {svg.nice(scenario['rate'])} a second" if scenario["rate"] else "closed loop, as fast as it answers"
    missing = [name for name in shown_servers(told) if name not in names]
    note = f"{how}; all windows together" + (f". Void or missing: {', '.join(missing)}" if missing else "")
    plot = svg.lines(series, "latency by percentile", "percentile", "latency", x_log=True, y_log=True,
                     x_format=lambda x: "0" if x == 1 else percent(x).replace(" %", ""), y_format=svg.duration,
                     ticks=PERCENTILE_TICKS)
    return titled("Latency by percentile", note, plot, table(("percentile", *names), rows), svg.key(names))


def load_plots(scenario):
    curves = scenario["load_curve"]
    if not curves:
        return ""
    names = list(curves)
    kept, slow, rows = [], [], []
    for name in names:
        good = [point for point in curves[name] if not point["void"]]
        kept.append((name, [(p["asked"], p["rate"], f"{svg.nice(p['rate'])} of {svg.nice(p['asked'])} a second", True)
                            for p in good]))
        slow.append((name, [(p["asked"], p["p99_us"], f"p99 {svg.duration(p['p99_us'])} at {svg.nice(p['asked'])} a second"
                             + ("" if p["latency_valid"] else ": void, the generator was too slow"), p["latency_valid"])
                            for p in good if p["p99_us"]]))
        for p in curves[name]:
            told = f'<span class="quiet">void: {"errors" if p["void"] else "generator too slow"}</span>'
            valid = p["latency_valid"] and not p["void"]
            rows.append((f"{escape(name)}, {svg.nice(p['asked'])}/s", svg.nice(p["rate"]), svg.nice(p["cpu_us"]),
                         *(svg.duration(p[key]) if valid else told for key in figures.LATENCIES)))
    inner = table(("offered", "answered a second", "µs CPU/op", "p50", "p99", "p99.9"), rows)
    hollow = "; hollow marks are void: the generator could not keep up"
    return (titled("Answered over offered", "open loop at rising rates; on the grey line all that is offered is answered",
                   svg.lines(kept, "answered over offered load", "offered a second", "answered a second", y_log=False,
                             diagonal=True), inner, svg.key(names))
            + titled("p99 over offered", "the same runs, from when each request was due" + hollow,
                     svg.lines(slow, "p99 over offered load", "offered a second", "p99", y_format=svg.duration), inner,
                     svg.key(names)))


def scenario_section(name, scenario, told):
    missing = [(key, server["missing"]) for key, server in scenario["servers"].items() if server.get("missing")]
    text = f'<section><h2 id="{escape(name)}">{escape(scenario["title"])}</h2><p>One operation: {escape(scenario["what"])}.'
    if scenario["rate"]:
        text += f" Equal load: {svg.nice(scenario['rate'])} a second, Poisson."
    text += "</p>"
    for key, why in missing:
        text += f'<p class="missing">{escape(key)} took no part: {escape(why)}</p>'
    text += f'<div class="grid"><div class="stack">{amount_plot(scenario, told, "cpu_us", "Server CPU per operation", "µs")}'
    text += f'{amount_plot(scenario, told, "rate", "Operations a second", "")}</div>'
    text += f'{curve_plot(scenario, told)}{load_plots(scenario)}</div>'
    return text + table(SCENARIO_HEADS, scenario_rows(scenario, told)) + "</section>"


# ---- the rest --------------------------------------------------------------------------------------------------------

def idle_section(idle):
    if not idle:
        return ""
    rows, cells = [], []
    for name, found in idle["servers"].items():
        value = found.get("bytes_per_connection")
        rows.append((name, value and value / 1024, None, None, "not measured"))
        cells.append((escape(name), svg.nice(value) if value else escape(found["missing"]),
                      svg.nice(found.get("growth_per_connection")), svg.nice(found.get("rss_bytes"))))
    return (f'<section><h2 id="idle">Memory of an idle connection</h2><div class="grid">'
            + titled("Resident memory per connection", f"all of it, of all the server's processes, over {idle['connections']:,} "
                     "connections that have each done one request", svg.amount_bars(rows, "memory per connection", "KiB"),
                     table(("server", "bytes/connection", "of these grown with them", "bytes in all"), cells))
            + "</div></section>")


def machine_section(data):
    text = '<section><h2 id="machine">The machine</h2>'
    steals = [w["steal"] for s in data["scenarios"].values() for server in s["servers"].values()
              for w in server["closed"] + server["equal"]]
    stolen = sum(steal > figures.STEAL for steal in steals)
    during = [("steal while measuring", f"{data['steal']:.1%} of the machine's time; worst window {max(steals, default=0):.1%}; "
               f"{stolen} of {len(steals)} windows had more than {figures.STEAL:.0%}, and are worth little"),
              ("load average, before and after", f"{data['load_before'][0]:.2f}, {data['load_after'][0]:.2f}"),
              ("measuring took", f"{data['took_s']:.0f} s")]
    for heading, rows in [("While measuring", during), *data["machine"].items()]:
        body = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows)
        text += f'<h3>{escape(heading)}</h3><table class="facts"><tbody>{body}</tbody></table>'
    return text + "</section>"


def gaps(data):
    """What is missing as a whole, above everything else."""
    words = [f"{name} could not be measured: {reason}" for name, reason in data["failed"].items()]
    if data["interrupted"]:
        words.append("It was interrupted: what was done by then is shown.")
    if figures.other_work(data):
        words.append(figures.other_work(data))
    return "".join(f'<p class="missing">{escape(text)}</p>' for text in words)


def page(data, summary):
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(data["began"]))
    kind = data["options"]["kind"]
    links = "".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name in data["scenarios"])
    ratios = "".join(ratio_plot(data, summary, key) for key in RATIO_TITLES)
    sections = "".join(scenario_section(name, scenario, summary[name]) for name, scenario in data["scenarios"].items())
    interval = ("the interval" if data["options"]["rounds"] >= 6 else
                f"from the least to the greatest of {data['options']['rounds']} rounds: a look, not a proof")
    how = "".join(f"<li>{escape(words)}</li>" for words in how_lines(data))
    idle = '<a href="#idle">memory</a>' if data["idle"] else ""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Gyre, measured {when}</title><style>
{style}</style></head><body><header><h1>Gyre, measured</h1>
<p>{when}, {escape(kind)} report, {escape(dict(data["machine"]["Processor"])["processor"])},
{escape(dict(data["machine"]["Kernel"])["kernel"].split(",")[0])}, over loopback.</p>
<p>gyre is held against {escape(", ".join(data["peers"]))} and the least that the kernel can be made to do (“the limit”):
{escape(counted(summary, data["options"]["rounds"]) or "there is nothing to compare with")}. Losses are shown like everything
else.</p>
{gaps(data)}
<nav>{links}{idle}<a href="#machine">machine</a><a href="#how">how it was measured</a></nav></header><main>
<section><h2>Ratios</h2><p class="note legend">gyre divided by the other server; the thin line is {interval}.
<span class="is better">✓ better</span> <span class="is worse">✗ worse</span>
<span class="is even">= no difference shown</span></p>
<div class="grid">{ratios}</div></section>
{sections}{idle_section(data["idle"])}{machine_section(data)}
<section><h2 id="how">How it was measured</h2><ul>{how}</ul></section></main></body></html>
"""
