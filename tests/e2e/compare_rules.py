# SPDX-License-Identifier: GPL-3.0-or-later
"""Which row of docs/compared-with-nginx.md explains a difference that tests/e2e/compare_nginx found.

A rule holds for one reason alone: it looks at the question, not only at the two answers, so that a fault of ours does not
pass as something that was explained for another question.
"""

import re

RULES = []


def rule(name, aspects, kinds=None):
    """A row's name, the aspects and (all, where not given) the kinds of question that it speaks of."""
    def add(function):
        RULES.append((name, aspects.split(), kinds and kinds.split(), function))
        return function
    return add


def explain(difference):
    """The row's name; None: there is none."""
    for name, aspects, kinds, holds in RULES:
        if difference.aspect in aspects and (not kinds or difference.question.kind in kinds) and holds(difference):
            return name
    return None


def statuses(d):
    return d.answers[0].status, d.answers[1].status


def field(d, name):
    """The values of a field of the question."""
    return [f.split(":", 1)[1].strip() for f in d.question.fields if f.lower().startswith(name.lower() + ":")]


def raw(d):
    return (d.question.raw or b"").decode("latin-1")


# ---- fields ---------------------------------------------------------------------------------------------------------


@rule("connection-keep-alive", "connection")
def _(d):
    return d.nginx == "keep-alive" and d.gyre is None


@rule("connection-after-400", "connection")
def _(d):
    return statuses(d) == (400, 400) and d.nginx == "close" and d.gyre is None


@rule("error-page", "body content-length content-type x-content-type-options content-security-policy transfer-encoding")
def _(d):
    return d.answers[0].status >= 300 and d.answers[0].status != 304


@rule("charset", "content-type")
def _(d):
    return d.gyre == f"{d.nginx}; charset=utf-8" or (d.nginx, d.gyre) == ("text/xml", "application/xml; charset=utf-8")


@rule("javascript-type", "content-type")
def _(d):
    return (d.nginx, d.gyre) == ("application/javascript", "text/javascript; charset=utf-8")


@rule("type-nginx-does-not-know", "content-type")
def _(d):
    ending = d.question.target.split("?")[0].rsplit(".", 1)[-1]
    return d.nginx == "application/octet-stream" and d.gyre == {
        "gz": "application/gzip", "otf": "font/otf", "py": "text/x-python; charset=utf-8", "md": "text/markdown; charset=utf-8",
        "log": "text/plain; charset=utf-8", "ttf": "font/ttf", "inv": None, "rst": "text/x-rst; charset=utf-8"}.get(ending)


@rule("vary", "vary")
def _(d):
    return d.nginx is None and d.gyre == "Accept-Encoding"


@rule("dynamic-compression", "content-encoding content-length body accept-ranges etag transfer-encoding")
def _(d):
    return d.answers[0].status == d.answers[1].status == 200 and bool(field(d, "Accept-Encoding")) and \
        d.answers[0].fields.get("content-encoding") is None and d.answers[1].fields.get("content-encoding") in ("gzip", "br", "zstd")


@rule("allow", "allow")
def _(d):
    return d.nginx is None and statuses(d) == (405, 405)


@rule("accept-ranges-in-206", "accept-ranges")
def _(d):
    return d.nginx is None and d.gyre == "bytes" and statuses(d) == (206, 206)


@rule("multipart-length", "content-length")
def _(d):
    return statuses(d) == (206, 206) and "multipart/byteranges" in d.answers[1].fields["content-type"]


@rule("location", "location")
def _(d):
    return d.nginx is not None and re.sub(r"^http://[^/]*", "", d.nginx) == d.gyre


@rule("listing", "body content-length transfer-encoding cache-control content-security-policy x-content-type-options content-type",
      "directory spelling")
def _(d):
    return statuses(d) == (200, 200) and b"<h1>Index of " in d.answers[0].body and b"?sort=" in d.answers[1].body or (
        d.question.method == "HEAD" and d.question.target.endswith("/") and "content-security-policy" in d.answers[1].fields)


@rule("listing", "cache-control", "directory")
def _(d):
    return statuses(d) == (304, 304) and d.gyre == "no-cache"


# ---- paths ----------------------------------------------------------------------------------------------------------


@rule("hidden", "status")
def _(d):
    target = re.sub("%2e", ".", (d.question.target if d.question.raw is None else raw(d).split(" ")[1]).split("?")[0], flags=re.I)
    names = [name for name in target.split("/") if name not in (".", "..")]
    return d.gyre == 404 and any(name.startswith(".") for name in names)


@rule("link-out", "status")
def _(d):
    return d.gyre == 404 and d.nginx in (200, 206, 304, 412, 416) and d.link_out


@rule("sibling-alone", "status", "sibling")
def _(d):
    return (d.nginx, d.gyre) == (200, 404) and "gzip" in field(d, "Accept-Encoding")[0]


@rule("escaped-slash", "status", "spelling")
def _(d):
    return d.gyre == 404 and d.nginx in (200, 400) and "%2f" in d.question.target.lower()


@rule("fragment", "status", "spelling")
def _(d):
    return (d.nginx, d.gyre) == (200, 400) and "#" in d.question.target


@rule("misdirected", "status", "spelling")
def _(d):
    return (d.nginx, d.gyre) == (200, 421) and d.question.target.startswith("https:")


@rule("path-bound", "status", "message version")
def _(d):
    return (d.nginx, d.gyre) == (404, 414) and len(raw(d)) > 2047


# ---- ranges ---------------------------------------------------------------------------------------------------------


@rule("range-invalid", "status", "range range-unit")
def _(d):
    value = field(d, "Range")[0].split("=", 1)[-1]
    good = re.fullmatch(r"[\s,]*(\d+-\d*|-\d+)(\s*,\s*(\d+-\d*|-\d+)?)*", value)
    backward = any(int(a) > int(b) for a, b in re.findall(r"(\d+)-(\d+)", value))
    return d.gyre == 200 and d.nginx in (206, 416) and (not good or backward)


@rule("range-empty-elements", "status", "range")
def _(d):
    return (d.nginx, d.gyre) == (416, 206) and re.search(r"=\s*,|,\s*$", field(d, "Range")[0])


@rule("range-huge", "status", "range")
def _(d):
    return (d.nginx, d.gyre) == (416, 206) and re.search(r"\d{19}", field(d, "Range")[0])


@rule("range-twice", "status", "range-twice")
def _(d):
    return (d.nginx, d.gyre) == (206, 200)


@rule("range-of-head", "status", "range-head")
def _(d):
    return (d.nginx, d.gyre) == (206, 200) and d.question.method == "HEAD"


# ---- preconditions --------------------------------------------------------------------------------------------------


@rule("date-not-a-date", "status", "if-unmodified-since")
def _(d):
    return (d.nginx, d.gyre) == (412, 200) and field(d, "If-Unmodified-Since")[0] != "Sat, 01 Jan 2000 00:00:00 GMT"


@rule("modified-since-exact", "status", "if-modified-since")
def _(d):
    return (d.nginx, d.gyre) == (200, 304) and "2100" in field(d, "If-Modified-Since")[0]


@rule("tags-in-two-fields", "status", "if-match-twice if-none-match-twice")
def _(d):
    return d.nginx == 400 and d.gyre in (200, 304)


@rule("tag-before-date", "status", "preconditions")
def _(d):
    return ((d.nginx, d.gyre) == (200, 304) and field(d, "If-None-Match") and field(d, "If-Modified-Since")) or (
        (d.nginx, d.gyre) == (412, 200) and field(d, "If-Match") and field(d, "If-Unmodified-Since"))


# ---- methods and messages -------------------------------------------------------------------------------------------


@rule("other-methods", "status", "method directory")
def _(d):
    return d.gyre == 405 and d.nginx in (400, 403, 404) and d.question.method not in ("GET", "HEAD", "OPTIONS")


@rule("options", "status", "method")
def _(d):
    return d.question.method == "OPTIONS" and d.gyre == 204 and d.nginx in (400, 405)


@rule("trace-connect", "status", "method")
def _(d):
    return (d.question.method == "TRACE" and d.gyre == 501) or (d.question.method == "CONNECT" and d.gyre in (400, 501))


@rule("version", "status", "version message")
def _(d):
    return d.gyre == 505 and re.search(r" HTTP/(1\.[2-9]|[02-9]\.\d)\r\n", raw(d))


@rule("host", "status", "version message")
def _(d):
    return d.gyre == 400 and d.nginx == 200 and re.search(r"\r\nHost: (test:99999|a b|a/b)?\r\n", raw(d))


@rule("expectation", "status", "version message")
def _(d):
    return d.gyre == 417 and "Expect: nonsense" in raw(d) or (d.nginx == 100 and "Expect: 100-continue" in raw(d))


@rule("head-too-large", "status", "version message")
def _(d):
    return (d.nginx, d.gyre) == (400, 431) and len(raw(d)) > 16000


@rule("strict-message", "status", "version message")
def _(d):
    text = raw(d)
    return d.gyre == 400 and d.nginx in (200, 501) and ("\r\n" not in text or "  HTTP/1.1" in text or re.search(
        r"\r\nHost : |\r\n folded|\r\nX\r\n|\r\nX: \x00|\r\nX@|Transfer-Encoding: nonsense", text))
