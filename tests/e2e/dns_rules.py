# SPDX-License-Identifier: GPL-3.0-or-later
"""Which row of docs/compared-dns.md explains a difference that tests/e2e/compare_dns found.

A rule holds for one reason alone: it looks at the question and at both answers, so that a fault of ours does not pass as
something that was explained for another question.
"""

import collections

from dns_wire import labels_of, name_wire

# gyre, other: of a section, what only the one has, without TTLs; ours, theirs: the whole messages.
Difference = collections.namedtuple("Difference", "aspect question peer gyre other ours theirs")
RULES = []


def rule(name, aspects, peers="nsd knot bind"):
    def add(function):
        RULES.append((name, aspects.split(), peers.split(), function))
        return function
    return add


def explain(difference):
    """The row's name; None: there is none."""
    for name, aspects, peers, holds in RULES:
        if difference.aspect in aspects and difference.peer in peers and holds(difference):
            return name
    return None


# ---- what the rules ask of an answer --------------------------------------------------------------------------------

CUTS = ("cut", "cutnoglue", "cutsibling", "cutdeep", "cutself", "cutds", "below.cutmany", "child")


def types(records):
    return {record.type for record in records}


def owners(records):
    return {record.owner for record in records}


def own_type(record):
    """An RRSIG counts as what it signs."""
    return int.from_bytes(record.rdata[:2], "big") if record.type == 46 else record.type


def ends_at_label(name, ancestor):
    at = 0
    while at < len(name):
        if name[at:] == ancestor:
            return True
        at += name[at] + 1
    return False


def path(question, message):
    """Names that the aliases of an answer lead through, the question's first; and whether they go in a circle."""
    at, found = question.name.lower(), []
    while at not in found:
        found.append(at)
        alias = next((record for record in message.answer if record.type == 5 and record.owner == at), None)
        if alias is None:
            return found, False
        at = alias.rdata.lower()
    return found, True


def more_than(bigger, smaller):
    """All of the smaller section is in the bigger one."""
    return {record._replace(ttl=0) for record in smaller} <= {record._replace(ttl=0) for record in bigger}


def in_chain(question):
    """long0 … long15 are longer than servers follow."""
    return any(label.startswith("long") and label[4:].isdigit() for label in question.relative().split("."))


# ---- aliases --------------------------------------------------------------------------------------------------------


@rule("chain-servfail", "rcode", "bind")
def _(d):
    names, circle = path(d.question, d.ours)
    return (d.gyre, d.other) == ("NOERROR", "SERVFAIL") and (circle or len(names) > 10 or d.ours.has(0x200) or "wildself" in d.question.relative())


@rule("circle", "answer answer-twice order authority authority-twice flag-TC additional")
def _(d):
    _, ours = path(d.question, d.ours)
    _, theirs = path(d.question, d.theirs)
    return ours or theirs or "wildself" in d.question.relative()


@rule("chain-length", "answer authority additional flag-TC order")
def _(d):
    ours, theirs = path(d.question, d.ours)[0], path(d.question, d.theirs)[0]
    shorter = min(len(ours), len(theirs))
    return in_chain(d.question) and shorter > 1 and ours[:shorter] == theirs[:shorter] and (len(ours) != len(theirs) or shorter > 12)


@rule("other-zone", "answer authority additional flag-TC rcode")
def _(d):
    last = path(d.question, d.ours)[0][-1]
    return d.question.zone is not None and not ends_at_label(last, name_wire(d.question.zone)) and (d.aspect != "authority" or not d.gyre)


# ---- what is sent along ---------------------------------------------------------------------------------------------


@rule("any", "rcode")
def _(d):
    return d.question.type == 255 and (d.gyre, d.other) == ("NOERROR", "NXDOMAIN") and any(record.type == 39 for record in d.ours.answer)


@rule("any", "answer authority additional flag-TC")
def _(d):
    return d.question.type == 255 and len({(record.owner, own_type(record)) for record in d.ours.answer if record.type not in (5, 39)}) <= 1


@rule("rrsig", "answer authority flag-TC")
def _(d):
    return d.question.type == 46 and (not d.ours.answer or not d.theirs.answer or types(d.gyre) | types(d.other) <= {46})


@rule("authority-ns", "authority", "nsd")
def _(d):
    return not d.gyre and bool(d.ours.answer) and all(own_type(record) == 2 for record in d.other) and d.theirs.has(0x400)


@rule("authority-ns", "additional", "nsd")
def _(d):
    sent = {record.rdata.lower() for record in d.theirs.authority if record.type == 2}
    return not d.gyre and bool(d.ours.answer) and owners(d.other) <= sent


@rule("referral-additional", "additional")
def _(d):
    cut = next((record.owner for record in d.ours.authority if record.type == 2), None)
    return cut is not None and types(d.ours.answer) <= {5, 39, 46} and \
        not any(ends_at_label(owner, cut) for owner in owners(d.gyre) | owners(d.other))


@rule("glue-of-targets", "additional", "knot")
def _(d):
    cuts = [name_wire(f"{cut}.{d.question.zone}") for cut in CUTS] if d.question.zone else []
    return not d.gyre and d.ours.has(0x400) and all(any(ends_at_label(owner, cut) for cut in cuts) for owner in owners(d.other))


@rule("truncation", "flag-TC")
def _(d):
    limit = 65535 if d.question.tcp else max(512, min(d.question.edns[0], 1232)) if d.question.edns else 512
    return not d.gyre and d.ours.bytes <= limit and not d.question.tcp


@rule("truncated-rcode", "rcode")
def _(d):
    return d.theirs.has(0x200) and d.other == "NOERROR" and d.gyre in ("NXDOMAIN", "YXDOMAIN")


@rule("knot-yxdomain", "rcode", "knot")
def _(d):
    return (d.gyre, d.other) == ("YXDOMAIN", "NXDOMAIN") and any(record.type == 39 for record in d.ours.answer)


@rule("flag-cd", "flag-CD", "nsd knot")
def _(d):
    return d.gyre and not d.other and bool(d.question.flags & 0x10)


@rule("glue-or-tc", "flag-TC")
def _(d):
    """Fewer addresses than the names below the cut have."""
    cut = next((record.owner for record in d.theirs.authority if record.type == 2), None)
    return d.gyre and cut is not None and not d.theirs.has(0x400) and \
        sum(ends_at_label(record.owner, cut) for record in d.theirs.additional) < 2


@rule("glue-or-tc", "additional", "nsd bind")
def _(d):
    cuts = [name_wire(f"{cut}.{d.question.zone}") for cut in CUTS] if d.question.zone else []
    small = d.question.edns is None or d.question.edns[0] == 512
    return not d.other and small and not d.question.tcp and all(any(ends_at_label(owner, cut) for cut in cuts) for owner in owners(d.gyre))


@rule("soa-left-out", "authority", "knot")
def _(d):
    return not d.other and types(d.gyre) <= {6, 46} and not d.question.tcp and (d.question.edns is None or d.question.edns[0] == 512)


@rule("nsec-at-cname", "answer authority", "nsd")
def _(d):
    return d.question.type == 47 and types(d.theirs.answer) <= {5, 46} and not d.ours.answer


@rule("answer-in-query", "rcode", "nsd")
def _(d):
    return d.question.note == "an answer in the query" and (d.gyre, d.other) == ("NOERROR", "FORMERR")


# ---- proofs ---------------------------------------------------------------------------------------------------------


@rule("proof-of-asterisk", "authority", "nsd")
def _(d):
    return d.question.dnssec and not d.gyre and types(d.other) <= {46, 50} and labels_of(d.question.name)[0] == b"*"


@rule("dname-nxdomain-proof", "authority", "nsd")
def _(d):
    return d.question.dnssec and not d.other and types(d.gyre) <= {46, 47, 50} and any(record.type == 39 for record in d.ours.answer)


# ---- messages that are odd or wrong ---------------------------------------------------------------------------------


@rule("class", "rcode answered question")
def _(d):
    return d.question.kind == "class" and d.question.cls != 1 and d.ours is not None and d.ours.rcode_name() == "REFUSED"


NOT_ONE_QUESTION = ("two questions", "no question", "a header alone that promises one", "half a name", "a name without type",
                    "a label type that is none", "a pointer to itself", "a pointer into the header", "a name of 256 bytes",
                    "counts that promise more", "bytes behind the question", "an answer in the query")


@rule("malformed-unanswered", "answered")
def _(d):
    return d.question.note in NOT_ONE_QUESTION and d.ours is not None and d.other == "none" and d.ours.rcode_name() == "FORMERR"


@rule("malformed-accepted", "rcode")
def _(d):
    return d.gyre == "FORMERR" and d.other in ("NOERROR", "REFUSED") and d.question.note in (
        *NOT_ONE_QUESTION, "OPT with a name", "OPT in the answer section", "a cookie of 7 bytes", "an option that is cut short", "type 0", "two OPT records")


@rule("meta-types", "rcode")
def _(d):
    return d.gyre in ("NOTIMP", "FORMERR") and d.question.note in ("type TSIG", "type TKEY", "type MAILA", "type MAILB", "type OPT", "type 0")


@rule("error-form", "question opt opt-flags opt-size options flag-RD")
def _(d):
    return d.ours.rcode_name() in ("FORMERR", "NOTIMP", "BADVERS") and d.question.kind in ("message", "edns")


@rule("opcode", "rcode answered")
def _(d):
    return d.question.note.startswith("opcode") and d.ours is not None and d.ours.rcode_name() == "NOTIMP"


OPTIONS = {"NSID": 3, "a client subnet": 8, "expire": 9, "a cookie": 10, "a server cookie that is wrong": 10, "keepalive": 11}


@rule("options", "options")
def _(d):
    return set(d.gyre) ^ set(d.other) == {OPTIONS.get(d.question.note)}


@rule("extended-error", "options")
def _(d):
    return set(d.gyre) ^ set(d.other) == {15}
