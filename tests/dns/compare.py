#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zone files, as others read them: compare.py ZONE-PRINT

A zone with every type, and our print of it, go through named-compilezone (BIND), kzonecheck (Knot DNS), ldns-read-zone
and nsd-checkzone, whichever are here; what they print must be the same records, byte for byte. Zones that are broken
must be refused by us where all of them agree that they are. Skipped where none of the four is installed.
"""

import os
import shutil
import subprocess
import sys
import tempfile

ORIGIN = "example."
TOP = "$ORIGIN example.\n$TTL 3600\n@ SOA ns1 host.master 2024010101 1h 15m 1w 1d\n@ NS ns1\n@ NS ns2\n" \
    "ns1 A 192.0.2.1\nns2 AAAA 2001:db8::2\n"

# One for each type, several where the form has corners.
RECORDS = r"""
a 60 IN A 192.0.2.3
aaaa AAAA ::
aaaa AAAA 2001:db8:0:0:1:0:0:1
aaaa AAAA ::ffff:192.0.2.1
aaaa AAAA fe80::1
cname CNAME a
dname DNAME target.example.net.
ptr PTR a\.b.c
mx MX 10 a
mx MX 20 .
txt TXT "a b" c "\"quoted\" \\ \; \000\255" ""
txt TXT unquoted\ blank
spf SPF "v=spf1 -all"
_sip._tcp SRV 0 5 5060 a
naptr NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:i@example.com!" .
caa CAA 0 issue "ca.example.net; account=230123"
caa CAA 128 iodef "mailto:x@example.com"
_25._tcp TLSA 3 1 1 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
smime SMIMEA 3 0 0 01 02 03
sshfp SSHFP 4 2 123456789abcdef67890123456789abcdef67890123456789abcdef123456789
svcb SVCB 0 pool.example.net.
svcb2 SVCB 1 . alpn=h2,h3 no-default-alpn port=853 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1
svcb3 SVCB 2 b. mandatory=port,alpn alpn="h2" port=53 key667="hel\"lo\210 there"
https HTTPS 1 . alpn="h3" ech=AQIDBA==
loc LOC 52 22 23.123 N 4 53 32.5 E -2.00m 10m 100m 10m
loc LOC 0 S 180 W 42849672.95m
hinfo HINFO "KLH 10" ITS
uri URI 10 1 "ftp://ftp.example.com/public"
key OPENPGPKEY mQENBFVHm5sBCAC2
ds DS 60485 8 2 ( D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B83
   83F6A1E4469DA50A ) ; comment
ds NS ns.example.net.
cds CDS 0 0 0 00
cdnskey CDNSKEY 0 3 0 AA==
@ DNSKEY 256 3 8 AwEAAcNEU67LJI5GEgF9QLNqLO1SMq1EdoQ6E9f85ha0k0ewQGCblyW2836GiVsm6k8Kr5ECIoMJ6fZWf3CQSQ9y
@ RRSIG DNSKEY 8 1 3600 20300101000000 20200101000000 60485 example. AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=
nsec NSEC a A NS SOA MX RRSIG NSEC TYPE1234 TYPE65280
0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr A RRSIG
2t7b4g4vsa5smi47k61mv5bv1a22bojr NSEC3 1 0 0 - 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom
@ NSEC3PARAM 1 0 12 aabbccdd
csync CSYNC 66 3 A NS AAAA
zonemd ZONEMD 2024010101 1 241 c68090d90a7aed716bc459f9340e3d7c1370d4d24b7e2fc3
apl APL 1:192.168.32.0/21 !1:192.168.38.0/28 2:2001:db8::/32 1:0.0.0.0/0
rp RP admin a
afsdb AFSDB 1 a
x25 X25 311061700956
rt RT 2 a
px PX 10 map822 mapx400
kx KX 1 a
cert CERT PGP 0 0 AQIDBA==
cert CERT 1 2 8 AQIDBA==
eui48 EUI48 00-00-5e-00-53-2a
eui64 EUI64 00-00-5e-ef-10-00-00-2a
nid NID 10 0014:4fff:ff20:ee64
l32 L32 10 10.1.2.0
l64 L64 10 2001:0db8:1140:1000
lp LP 10 l64
dhcid DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=
minfo MINFO a b
mb MB a
unknown TYPE65280 \# 4 DE AD BE EF
empty TYPE65281 \# 0
generic A \# 4 C0000201
a\.dot A 192.0.2.4
a\032blank A 192.0.2.5
\255\000 A 192.0.2.6
*.wild A 192.0.2.7
MiXeD A 192.0.2.8
1w2d3h4m5s 1w2d3h4m5s A 192.0.2.9
under_score A 192.0.2.10
"""

# What stands behind TOP, and who is known to see nothing wrong with it.
BROKEN = {
    "a bad address": ("a A 192.0.2.256\n", ()),
    "no data": ("a A\n", ()),
    "an unknown type": ("a BOGUS x\n", ()),
    "a CNAME and other data": ("a CNAME b\na A 192.0.2.1\n", ("ldns",)),
    "two CNAMEs": ("a CNAME b\na CNAME c\n", ("ldns",)),
    "a label too long": ("a" * 64 + " A 192.0.2.1\n", ()),
    "a second SOA": ("@ SOA ns1 other 1 2 3 4 5\n", ("knot", "ldns")),
    "an IPv6 address too long": ("a AAAA 1:2:3:4:5:6:7:8:9\n", ()),
    "an MX without a name": ("a MX 10\n", ()),
    "a preference too large": ("a MX 65536 b\n", ("ldns", "nsd")),
    "a string too long": ("a TXT " + "x" * 256 + "\n", ("knot",)),
    "a name too long": (".".join(["a" * 63] * 4) + " A 192.0.2.1\n", ()),
    "an empty label": ("a..b A 192.0.2.1\n", ()),
    "a port that is none": ("_s._tcp SRV 1 2 99999 a\n", ("ldns", "nsd")),
    "a directive that is none": ("$BOGUS x\n", ("ldns",)),
    "a file that is not there": ("$INCLUDE none.zone\n", ()),
    "an open parenthesis": ("a TXT ( x\n", ("ldns", "nsd")),
    "an open quote": ('a TXT "x\n', ("ldns",)),
    "odd hexadecimal": ("a DS 1 8 2 ABC\n", ("ldns", "nsd")),
    "bad base64": ("a OPENPGPKEY A*B=\n", ()),
    "an SvcParam twice": ("a SVCB 1 . port=1 port=2\n", ("ldns",)),
    "an empty SvcParam": ("a SVCB 1 . port\n", ("ldns",)),
    "an SvcParam that mandatory names and is not there": ("a SVCB 1 . mandatory=port alpn=h2\n", ("knot", "ldns")),
    "a TTL of letters": ("a 12x A 192.0.2.1\n", ("ldns",)),
    "a bad escape": ("a\\999 A 192.0.2.1\n", ("knot", "nsd")),
    "a generic form that lies": ("a TYPE65280 \\# 3 ABCD\n", ("nsd",)),
}


def run(arguments):
    return subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=60)


class Tools:
    """The four, each a function: the zone they read from a file, printed into another; None: refused."""

    def __init__(self, folder):
        self.folder = folder
        candidates = {"bind": ("named-compilezone", self.bind), "knot": ("kzonecheck", self.knot),
                      "ldns": ("ldns-read-zone", self.ldns), "nsd": ("nsd-checkzone", self.nsd)}
        self.here = {name: call for name, (program, call) in candidates.items() if shutil.which(program)}

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def bind(self, path):
        out = path + ".bind"
        done = run(["named-compilezone", "-q", "-i", "none", "-k", "ignore", "-n", "ignore", "-s", "full", "-o", out,
                    ORIGIN, path])
        return None if done.returncode != 0 else out

    def knot(self, path):
        # Prints from version 3.3 on; older ones only say whether they can read it.
        done = run(["kzonecheck", "-o", ORIGIN, "-d", "off", path])
        if done.returncode not in (0, 1) or b"error" in done.stdout + done.stderr:
            return None
        done = run(["kzonecheck", "-o", ORIGIN, "-d", "off", "-p", path])
        return self.write(os.path.basename(path) + ".knot", done.stdout) if done.returncode == 0 and done.stdout else ""

    def ldns(self, path):
        done = run(["ldns-read-zone", path])
        return None if done.returncode != 0 else self.write(os.path.basename(path) + ".ldns", done.stdout)

    def nsd(self, path):
        done = run(["nsd-checkzone", "-p", ORIGIN, path])
        if done.returncode != 0:
            return None
        return self.write(os.path.basename(path) + ".nsd", done.stdout)


def wire(printer, path):
    done = run([printer, "--wire", ORIGIN, path])
    if done.returncode != 0:
        raise SystemExit("our parser refuses " + path + ": " + done.stderr.decode())
    return sorted(set(done.stdout.decode().split("\n")))


def records():
    """One string each."""
    found, record = [], ""
    for line in RECORDS.strip("\n").split("\n"):
        record += line + "\n"
        if record.count("(") <= record.count(")"):
            found.append(record)
            record = ""
    return found


def compare(printer, tools, name, some):
    """One tool, and some records in one zone. Those that it refuses, found by halves, and differences, as lines."""
    written = tools.write("written.zone", (TOP + "".join(some)).encode("latin-1"))
    done = run([printer, ORIGIN, written])
    if done.returncode != 0:
        return [], ["we refuse " + done.stderr.decode()]
    outs = [tools.here[name](written), tools.here[name](tools.write("printed.zone", done.stdout))]
    if None in outs:
        if len(some) > 1:
            half = len(some) // 2
            first, second = compare(printer, tools, name, some[:half]), compare(printer, tools, name, some[half:])
            return first[0] + second[0], first[1] + second[1]
        # Refused as it is written is a matter of the tool's age; refused only as we print it is ours.
        if outs[0] is not None:
            return [], [f"{name} refuses what we print of {some[0].strip()}"]
        return [f"{name} refuses {some[0].strip()}"], []
    wrong, ours = [], wire(printer, written)
    for out in outs:
        theirs = wire(printer, out) if out else ours
        wrong += [f"only {name} has {line[:200]}" for line in theirs if line not in ours]
        wrong += [f"{name} lacks {line[:200]}" for line in ours if line not in theirs]
    return [], wrong


def broken(printer, tools):
    wrong = []
    for what, (text, exempt) in BROKEN.items():
        path = tools.write("broken.zone", (TOP + text).encode())
        ours = run([printer, "--check", ORIGIN, path]).returncode
        theirs = [name for name, call in tools.here.items() if name not in exempt and call(path) is not None]
        if ours == 0 or theirs:
            wrong.append(f"{what}: accepted by {'us ' if ours == 0 else ''}{' '.join(theirs)}")
    return wrong


def main():
    printer = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        tools = Tools(folder)
        if not tools.here:
            print("none of BIND, Knot DNS, ldns and NSD is installed (bind9-utils, knot, ldnsutils, nsd)")
            return 77
        wrong, unknown = broken(printer, tools), []
        for name in sorted(tools.here):
            refused, different = compare(printer, tools, name, records())
            unknown += refused
            wrong += different
    print("compared with: " + ", ".join(sorted(tools.here)))
    for line in unknown:
        print("not compared: " + line)
    for line in wrong:
        print("DIFFERENT: " + line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
