# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots as inline SVG: bars of ratios, bars of amounts, lines. Colours are classes of the page's style sheet; each series has a
dash and a mark of its own besides, so that nothing hangs on colour alone. Widths are those of a narrow column: a phone shows
a plot at about its own size."""

import math
from html import escape
from itertools import groupby

WIDTH = 480
MARKS = {"gyre": "circle", "limit": "diamond", "nginx": "square", "h2o": "triangle"}


def series_of(name):
    """The style of a server: all limit programs share one."""
    return "limit" if name.startswith("limit") else name if name in MARKS else "other"


def text(x, y, words, anchor="start", kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}>' \
           f"{escape(words)}</text>"


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def mark(shape, x, y, kind, title=""):
    told = f"<title>{escape(title)}</title>" if title else ""
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" class="{kind}">{told}</circle>'
    points = {"diamond": ((0, -4.6), (4.6, 0), (0, 4.6), (-4.6, 0)),
              "square": ((-3.3, -3.3), (3.3, -3.3), (3.3, 3.3), (-3.3, 3.3)),
              "triangle": ((0, -4.4), (4.2, 3.4), (-4.2, 3.4))}.get(shape, ((-4, 0), (0, -2), (4, 0), (0, 2)))
    path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in points)
    return f'<polygon points="{path}" class="{kind}">{told}</polygon>'


def picture(height, parts, label):
    return (f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label, quote=True)}">'
            + "".join(parts) + "</svg>")


def nice(value):
    """Three digits, and no more zeros than it takes."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:.3g} M"
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(size)))}f}"


def short(value):
    """For an axis: 250k, 1.5M."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.3g}"


def duration(us):
    if us is None:
        return "–"
    for size, name in ((1e6, "s"), (1e3, "ms")):
        if us >= size:
            return f"{us / size:.3g} {name}"
    return f"{us:.3g} µs"


# ---- ratios ----------------------------------------------------------------------------------------------------------

RATIO_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
NARROW_TICKS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.6, 2, 2.5, 3)  # where all are near to one
NAMES, VALUES = 116, WIDTH - 134  # pixels: where names end and values begin


def three(value):
    """A ratio: two digits behind the point, or three in all."""
    return f"{value:.2f}" if value < 10 else f"{value:.3g}"


def ratio_bars(groups, label, more_is_better):
    """groups: [(heading, [(name, ratio or None, verdict)])]. Bars go from 1 to the ratio, on a logarithmic axis; the thin line
    over a bar is its interval."""
    known = [value for _, rows in groups for _, found, _ in rows if found
             for value in (found["lower"], found["upper"], found["ratio"])]
    low = min([0.7, *known]) / 1.05
    high = max([1.4, *known]) * 1.05
    left, right = NAMES, VALUES - 8
    scale = (right - left) / math.log(high / low)

    def at(value):
        return left + math.log(value / low) * scale
    parts, y = [], 30
    height = 30 + sum(22 + 20 * len(rows) for _, rows in groups) + 8
    ticks = []
    candidates = NARROW_TICKS if high / low < 4 else RATIO_TICKS
    for tick in sorted((tick for tick in candidates if low <= tick <= high), key=lambda tick: abs(math.log(tick))):
        if all(abs(at(tick) - at(other)) > 30 for other in ticks):
            ticks.append(tick)
    for tick in ticks:
        parts.append(line(at(tick), 22, at(tick), height, "one" if tick == 1 else "grid"))
        parts.append(text(at(tick), 14, f"{tick:g}", "middle", "axis"))
    for heading, rows in groups:
        parts.append(text(0, y + 14, heading, kind="heading"))
        y += 22
        for name, found, verdict in rows:
            parts.append(text(10, y + 12, f"÷ {name}"))
            if found is None:
                parts.append(text(NAMES, y + 12, verdict, kind="quiet"))
            else:
                kind = {"better": "better", "worse": "worse"}.get(verdict, "even")
                x1, x2 = sorted((at(1), at(found["ratio"])))
                parts.append(f'<rect x="{x1:.1f}" y="{y + 2}" width="{max(x2 - x1, 1.5):.1f}" height="12" class="{kind}">'
                             f"<title>{escape(name)}: {found['ratio']:.3f} "
                             f"({found['lower']:.3f} – {found['upper']:.3f})</title></rect>")
                parts.append(line(at(found["lower"]), y + 8, at(found["upper"]), y + 8, "whisker"))
                for end in ("lower", "upper"):
                    parts.append(line(at(found[end]), y + 4.5, at(found[end]), y + 11.5, "whisker"))
                sign = {"better": "✓ ", "worse": "✗ "}.get(verdict, "= ")
                parts.append(text(VALUES, y + 12, f"{sign}{three(found['ratio'])}", kind="value"))
                parts.append(text(VALUES + 56, y + 12, f"{three(found['lower'])}–{three(found['upper'])}", kind="quiet"))
            y += 20
    better = "longer to the right" if more_is_better else "to the left"
    return picture(height, parts, f"{label}: gyre divided by others; {better} is better")


# ---- amounts ---------------------------------------------------------------------------------------------------------

def amount_bars(rows, label, unit):
    """rows: [(name, value or None, least, greatest, note)]: from zero, the thin line from the least window to the greatest."""
    top = max([row[3] or row[1] or 0 for row in rows] or [1]) or 1
    left, right = NAMES, WIDTH - 92
    parts, y = [], 4
    for name, value, least, greatest, note in rows:
        parts.append(text(0, y + 14, name))
        if value is None:
            parts.append(text(left, y + 14, note or "not known", kind="quiet"))
        else:
            scale = (right - left) / top
            parts.append(f'<rect x="{left}" y="{y + 3}" width="{max(value * scale, 1.5):.1f}" height="14" '
                         f'class="fill {series_of(name)}"><title>{escape(name)}: {nice(value)} {escape(unit)}</title></rect>')
            if least is not None and greatest is not None:
                parts.append(line(left + least * scale, y + 10, left + greatest * scale, y + 10, "whisker"))
            parts.append(text(right + 8, y + 14, f"{nice(value)} {unit}".rstrip(), kind="value"))
        y += 24
    return picture(y, parts, label)


# ---- lines -----------------------------------------------------------------------------------------------------------

def log_ticks(low, high):
    for mantissas in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), [1 + i / 10 for i in range(90)]):
        ticks = [m * 10.0 ** p for p in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for m in mantissas]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) >= 3:
            break
    while len(ticks) > 7:
        tens = [tick for tick in ticks if abs(math.log10(tick) - round(math.log10(tick))) < 1e-9]
        ticks = tens if len(tens) >= 3 and len(tens) < len(ticks) else ticks[::2]
    return ticks


def even_ticks(high):
    step = 10.0 ** math.floor(math.log10(high / 4)) if high > 0 else 1
    step = next(step * m for m in (1, 2, 2.5, 5, 10) if high / (step * m) <= 5)
    return [step * i for i in range(int(high / step) + 1)]


class Axis:
    def __init__(self, low, high, pixels, logarithmic, name):
        self.low, self.high, self.pixels, self.logarithmic, self.name = low, high, pixels, logarithmic, name

    def at(self, value):
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.pixels[0] + share * (self.pixels[1] - self.pixels[0])

    def ticks(self):
        return log_ticks(self.low, self.high) if self.logarithmic else even_ticks(self.high)


def lines(series, label, x_name, y_name, x_log=False, y_log=True, x_format=None, y_format=None, ticks=None, diagonal=False):
    """series: [(name, [(x, y, title, valid)])]. What is not valid is drawn hollow and not joined."""
    points = [point for _, each in series for point in each]
    if not points:
        return '<p class="quiet">Nothing was measured here.</p>'
    height, left, right, top, bottom = 300, 62, WIDTH - 26, 22, 258
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    x = Axis(min(xs) if x_log else 0, max(max(xs), min(xs) * 1.01) if x_log else max(xs) * 1.04, (left, right), x_log, x_name)
    y = Axis(min(ys) / 1.15 if y_log else 0, max(ys) * (1.15 if y_log else 1.06), (bottom, top), y_log, y_name)
    parts = [text(0, 12, y_name, kind="axis"), text(right, height - 6, x_name, "end", "axis")]
    for tick in ticks or x.ticks():
        if x.low <= tick <= x.high:
            parts.append(line(x.at(tick), top, x.at(tick), bottom, "grid"))
            parts.append(text(x.at(tick), bottom + 17, (x_format or short)(tick), "middle", "axis"))
    for tick in y.ticks():
        parts.append(line(left, y.at(tick), right, y.at(tick), "grid"))
        parts.append(text(left - 6, y.at(tick) + 4, (y_format or short)(tick), "end", "axis"))
    if diagonal:
        most = min(x.high, y.high)
        parts.append(line(x.at(0), y.at(0), x.at(most), y.at(most), "one"))
    for name, each in series:
        style = series_of(name)
        for valid, run in groupby(each, key=lambda point: point[3]):
            joined = [f"{x.at(px):.1f},{y.at(py):.1f}" for px, py, _, _ in run]
            if valid and len(joined) > 1:
                parts.append(f'<polyline points="{" ".join(joined)}" class="line {style}"/>')
        for px, py, title, valid in each:
            if title:
                parts.append(mark(MARKS.get(style, ""), x.at(px), y.at(py), f"mark {style}" + ("" if valid else " void"),
                                  f"{name}: {title}"))
    return picture(height, parts, label)


def key(names):
    """Which mark is whose, above a plot of lines."""
    found = []
    for name in names:
        style = series_of(name)
        found.append(f'<span class="keyed"><svg class="swatch" viewBox="0 0 34 12" aria-hidden="true">'
                     f'<polyline points="1,6 33,6" class="line {style}"/>{mark(MARKS.get(style, ""), 17, 6, f"mark {style}")}'
                     f"</svg>{escape(name)}</span>")
    return f'<p class="key">{"".join(found)}</p>'
