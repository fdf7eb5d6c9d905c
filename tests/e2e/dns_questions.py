# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests/e2e/compare_dns asks: 20,000 questions, the same for the same seed."""

import random
import struct

import dns_zones
from dns_wire import AD, CD, RD, TYPES, labels_of, name_text, name_wire, type_name

USUAL = [TYPES[name] for name in "A AAAA NS SOA MX TXT CNAME DS ANY".split()]
OTHERS = [TYPES[name] for name in "PTR SRV DNAME NAPTR TLSA CAA HTTPS SVCB LOC HINFO URI SSHFP CDS TYPE65280 DNSKEY NSEC NSEC3 "
          "NSEC3PARAM RRSIG".split()]
# (bytes that the client takes, DO); None: no OPT record.
EDNS = (None, (512, False), (1232, False), (4096, False), (512, True), (1232, True), (4096, True))
BELOW = ("missing", "x.missing", "*", "*.missing", "a.b.c.d", "www", "zzz", "0")


class Question:
    """`kind`: plain, flags, class, edns (oddities of OPT), message (oddities of the rest)."""

    def __init__(self, kind, name, qtype, edns=None, tcp=False, flags=RD, raw=None, cls=1, note=""):
        self.kind, self.name, self.type, self.edns, self.tcp, self.flags = kind, name, qtype, edns, tcp, flags
        self.raw, self.cls, self.note = raw, cls, note

    def wire(self, number):
        if self.raw is not None:
            return struct.pack("!H", number) + self.raw
        opt = b""
        if self.edns is not None:
            opt = b"\0" + struct.pack("!HHIH", 41, self.edns[0], 0x8000 if self.edns[1] else 0, 0)
        return (struct.pack("!6H", number, self.flags, 1, 0, 0, bool(opt)) + self.name + struct.pack("!HH", self.type, self.cls) + opt)

    @property
    def dnssec(self):
        return self.edns is not None and self.edns[1]

    @property
    def zone(self):
        """The deepest of the zones that the name is in; None."""
        labels = [label.lower() for label in labels_of(self.name)]
        best = None
        for name in dns_zones.ZONES:
            for zone in (name, f"{dns_zones.CHILD}.{name}"):
                own = [label.encode() for label in zone.split(".")]
                if labels[-len(own):] == own and (best is None or len(zone) > len(best)):
                    best = zone
        return best

    def relative(self):
        """The name without its zone, as text."""
        text = name_text(self.name).lower()
        return text if self.zone is None else text[:-len(self.zone) - 1].rstrip(".") or "@"

    def __str__(self):
        name = name_text(self.name)
        edns = "" if self.edns is None else f" EDNS {self.edns[0]}{' DO' if self.edns[1] else ''}"
        return f"{self.kind} {name} {type_name(self.type)}{edns}{' TCP' if self.tcp else ''}{' ' + self.note if self.note else ''}"


def names_of(zone, numbers):
    """Existing names, what is below and beside them, and what is above."""
    names = set()
    for owner in dns_zones.owners():
        for name in (owner, owner.replace("*", "any"), owner.replace("*", "a.b"), *(f"{below}.{owner}" for below in BELOW),
                     *(owner.split(".", n)[n] for n in range(1, owner.count(".") + 1))):
            names.add("" if name == "@" else name.removesuffix(".@"))
        names.add(owner[:-1] + chr(ord(owner[-1]) + 1) if owner[-1].isalpha() else owner + "0")
    names |= {"zzz.outside", "\\000", "\\255", "~", "!", "missing", ".".join("abcdefghij" * 5), "y" * 63, dns_zones.LONG + ".dnamelong",
              "a." + dns_zones.LONG + ".dname", "x" * 60 + "." + "y" * 60 + ".dnamelong"}
    wires = {name_wire(f"{name}.{zone}" if name else zone) for name in names}
    wires |= {name_wire(f"{name}.{dns_zones.CHILD}.{zone}") for name in ("www", "ns", "up", "any.wild", "missing", "x.missing", "*.wild")}
    wires.add(name_wire(f"{dns_zones.CHILD}.{zone}"))
    return numbers.sample(sorted(w for w in wires if len(w) <= 255), len([w for w in wires if len(w) <= 255]))


def mixed_case(wire, numbers):
    """0x20: the case of letters at random."""
    out, at = bytearray(wire), 0
    while out[at]:
        for i in range(at + 1, at + 1 + out[at]):
            if chr(out[i]).isalpha() and out[i] < 128 and numbers.random() < 0.5:
                out[i] ^= 0x20
        at += out[at] + 1
    return bytes(out)


def opt(udp=1232, flags=0, version=0, data=b"", rcode=0):
    return b"\0" + struct.pack("!HHBBHH", 41, udp, rcode, version, flags, len(data)) + data


def oddities():
    """Messages that are odd or wrong. Without ids."""
    name, tail = name_wire("www." + dns_zones.PLAIN), struct.pack("!HH", 1, 1)
    body = name + tail

    def message(flags=RD, counts=(1, 0, 0, 0), rest=body):
        return struct.pack("!5H", flags, *counts) + rest

    def option(code, data):
        return struct.pack("!HH", code, len(data)) + data

    for note, kind, raw in (
            ("opcode 1", "message", message(1 << 11)), ("opcode 2", "message", message(2 << 11)), ("opcode 3", "message", message(3 << 11)),
            ("opcode 6", "message", message(6 << 11)), ("opcode 15", "message", message(15 << 11)),
            ("a response", "message", message(0x8000)), ("no question", "message", message(RD, (0, 0, 0, 0), b"")),
            ("two questions", "message", message(RD, (2, 0, 0, 0), body + body)), ("a header alone that promises one", "message", message(RD, (1, 0, 0, 0), b"")),
            ("half a name", "message", message(rest=name[:5])), ("a name without type", "message", message(rest=name)),
            ("a label type that is none", "message", message(rest=b"\x80" + body)), ("a pointer to itself", "message", message(rest=b"\xc0\x0c" + tail)),
            ("a pointer into the header", "message", message(rest=b"\xc0\x04" + tail)), ("a name of 256 bytes", "message", message(rest=(b"\x3f" + b"a" * 63) * 4 + b"\0" + tail)),
            ("bytes behind the question", "message", message(rest=body + b"x")), ("counts that promise more", "message", message(RD, (1, 0, 0, 1))),
            ("an answer in the query", "message", message(RD, (1, 1, 0, 0), body + b"\xc0\x0c" + struct.pack("!HHIH4s", 1, 1, 60, 4, b"abcd"))),
            ("two OPT records", "edns", message(RD, (1, 0, 0, 2), body + opt() + opt())), ("OPT in the answer section", "edns", message(RD, (1, 1, 0, 0), body + opt())),
            ("OPT with a name", "edns", message(RD, (1, 0, 0, 1), body + b"\x01a" + opt())), ("version 1", "edns", message(RD, (1, 0, 0, 1), body + opt(version=1))),
            ("version 255", "edns", message(RD, (1, 0, 0, 1), body + opt(version=255))), ("unknown flags", "edns", message(RD, (1, 0, 0, 1), body + opt(flags=0x7fff))),
            ("an rcode in the query", "edns", message(RD, (1, 0, 0, 1), body + opt(rcode=7))), ("0 bytes", "edns", message(RD, (1, 0, 0, 1), body + opt(udp=0))),
            ("an unknown option", "edns", message(RD, (1, 0, 0, 1), body + opt(data=option(65001, b"abc")))),
            ("an option that is cut short", "edns", message(RD, (1, 0, 0, 1), body + opt(data=b"\0\x0a\0\x20abc"))),
            ("NSID", "edns", message(RD, (1, 0, 0, 1), body + opt(data=option(3, b"")))), ("a cookie", "edns", message(RD, (1, 0, 0, 1), body + opt(data=option(10, b"12345678")))),
            ("a cookie of 7 bytes", "edns", message(RD, (1, 0, 0, 1), body + opt(data=option(10, b"1234567")))),
            ("a server cookie that is wrong", "edns", message(RD, (1, 0, 0, 1), body + opt(data=option(10, b"12345678abcdefgh")))),
            ("padding", "edns", message(RD, (1, 0, 0, 1), body + opt(data=option(12, b"\0" * 32)))),
            ("a client subnet", "edns", message(RD, (1, 0, 0, 1), body + opt(data=option(8, b"\0\x01\x18\0\xc0\0\x02")))),
            ("keepalive", "edns", message(RD, (1, 0, 0, 1), body + opt(data=option(11, b"")))),
            ("expire", "edns", message(RD, (1, 0, 0, 1), body + opt(data=option(9, b"")))),
            ("type 0", "message", message(rest=name + struct.pack("!HH", 0, 1))), ("type OPT", "message", message(rest=name + struct.pack("!HH", 41, 1))),
            ("type TSIG", "message", message(rest=name + struct.pack("!HH", 250, 1))), ("type TKEY", "message", message(rest=name + struct.pack("!HH", 249, 1))),
            ("type MAILA", "message", message(rest=name + struct.pack("!HH", 254, 1))), ("type MAILB", "message", message(rest=name + struct.pack("!HH", 253, 1)))):
        for tcp in (False, True):
            yield Question(kind, name, 1, raw=raw, tcp=tcp, note=note)


def plain(numbers, name):
    usual = numbers.random() < 0.75
    return Question("plain", mixed_case(name, numbers) if numbers.random() < 0.3 else name, numbers.choice(USUAL if usual else OTHERS),
                    numbers.choice(EDNS), numbers.random() < 0.2)


def all_questions(count, seed):
    """Every name at least once with an address, the oddities, and the rest at random."""
    numbers = random.Random(seed)
    names = {zone: names_of(zone, numbers) for zone in dns_zones.ZONES}
    made = list(oddities())
    for zone in dns_zones.ZONES:
        made += [Question("plain", name, TYPES["A"], (1232, True)) for name in names[zone]]
        made += [Question("plain", name_wire(f"{owner}.{zone}" if owner != "@" else zone), kind, edns, tcp) for owner in dns_zones.owners()
                 for kind in (TYPES["ANY"], TYPES["TXT"], TYPES["NS"], TYPES["DS"], TYPES["MX"], TYPES["SRV"])
                 for edns, tcp in ((None, False), ((1232, True), False), ((4096, True), True))]
    outside = [name_wire(text) for text in (".", "example", "test", "www.elsewhere.test", "com", "xplain.example", "plain.example.test")]
    for name in outside:
        made += [Question("outside", name, kind, edns, tcp) for kind in (1, 2, 6, 43, 255) for edns in (None, (1232, True)) for tcp in (False, True)]
    for name in numbers.sample(names[dns_zones.PLAIN], 20):
        made += [Question("flags", name, 1, (1232, False), flags=flags) for flags in (0, RD, RD | AD, RD | CD, 0x40 | RD)]
        made += [Question("class", name, 1, cls=cls) for cls in (0, 2, 3, 4, 254, 255, 65280)]
    while len(made) < count:
        zone = numbers.choice(dns_zones.ZONES)
        made.append(plain(numbers, numbers.choice(names[zone])))
    return made[:count]
