# SPDX-License-Identifier: GPL-3.0-or-later
"""The zones of tests/e2e/compare_dns: one text, served plain, signed with NSEC, with NSEC3, and with NSEC3 and opt-out, and a
child of each below a cut that the same server has too."""

import os
import re
import subprocess

PLAIN, NSEC, NSEC3, OPTOUT = "plain.example", "nsec.example", "nsec3.example", "optout.example"
ZONES = (PLAIN, NSEC, NSEC3, OPTOUT)
CHILD = "child"  # below each of them
UNKNOWN = "elsewhere.test"  # nobody's

LONG = ".".join(["x" * 50] * 4)  # with an origin of 14 it is near 255 bytes

RECORDS = r"""
@ 3600 SOA ns1 host.master 2024010101 7200 900 1209600 300
@ NS ns1
@ NS ns2
@ NS ns.outside.test.
@ MX 10 mail
@ MX 20 mail.outside.test.
@ TXT "v=spf1 -all"
@ CAA 0 issue "ca.example.net"
ns1 A 192.0.2.1
ns1 AAAA 2001:db8::1
ns2 A 192.0.2.2
mail A 192.0.2.25
mail AAAA 2001:db8::25
www A 192.0.2.80
www AAAA 2001:db8::80
MiXeD A 192.0.2.81
a\.dot A 192.0.2.82
b\032blank A 192.0.2.83
\200\255 A 192.0.2.84
ttl 60 A 192.0.2.85
ttl 7200 TXT "longer"
under.score._tcp A 192.0.2.86
_sip._tcp SRV 0 5 5060 www
_sip._tcp SRV 0 6 5060 sip.cut
_h2._tcp SRV 0 0 80 .
many MX 10 m1
many MX 10 m2
many MX 10 m3
many MX 10 cname
m1 A 192.0.2.91
m2 A 192.0.2.92
m3 AAAA 2001:db8::93
ptr PTR www
hinfo HINFO "CPU" "OS"
loc LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
naptr NAPTR 100 10 "S" "SIP+D2U" "" _sip._tcp
_443._tcp.www TLSA 3 1 1 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
sshfp SSHFP 4 2 123456789abcdef67890123456789abcdef67890123456789abcdef123456789
uri URI 10 1 "https://www.example/"
unknown TYPE65280 \# 4 DEADBEEF
svcb SVCB 1 www alpn=h2
https HTTPS 1 . alpn=h2 ipv4hint=192.0.2.80
https A 192.0.2.87
cname CNAME www
cname2 CNAME cname
nowhere CNAME not.there
outside CNAME www.outside.test.
circle CNAME circle2
circle2 CNAME circle
self CNAME self
tocut CNAME x.cut
tocutitself CNAME cut
towild CNAME any.wild
todname CNAME x.dname
chain0 CNAME chain1
chain1 CNAME chain2
chain2 CNAME chain3
chain3 CNAME chain4
chain4 CNAME chain5
chain5 A 192.0.2.88
long0 CNAME long1
long1 CNAME long2
long2 CNAME long3
long3 CNAME long4
long4 CNAME long5
long5 CNAME long6
long6 CNAME long7
long7 CNAME long8
long8 CNAME long9
long9 CNAME long10
long10 CNAME long11
long11 CNAME long12
long12 CNAME long13
long13 CNAME long14
long14 CNAME long15
long15 CNAME www
dname DNAME target
target TXT "below this"
www.target A 192.0.2.89
x.target A 192.0.2.90
*.wild.target A 192.0.2.94
alias.target CNAME www
dnameout DNAME outside.test.
dname2 DNAME dname
dnamecircle DNAME dnamecircle2
dnamecircle2 DNAME dnamecircle
dnamenone DNAME not.there
dnamelong DNAME LONGNAME
dnamedata DNAME target
dnamedata A 192.0.2.95
*.wild A 192.0.2.96
*.wild TXT "wild"
sub.wild A 192.0.2.97
deep.er.wild A 192.0.2.98
*.wildcname CNAME www
*.wildout CNAME www.outside.test.
*.wildself CNAME x.wildself
*.wildmx MX 10 mail
*.wildtxt TXT "t"
host.wildtxt A 192.0.2.99
*.a.wildtxt A 192.0.2.100
a.b.c.ent A 192.0.2.101
*.ent2 A 192.0.2.102
x.y.ent2 A 192.0.2.103
cut NS ns.cut
cut NS ns.outside.test.
cut NS ns1
ns.cut A 192.0.2.104
ns.cut AAAA 2001:db8::104
sip.cut A 192.0.2.105
cutnoglue NS ns.outside.test.
cutsibling NS ns.cut
cutdeep NS a.b.cutdeep
a.b.cutdeep A 192.0.2.106
cutself NS cutself
cutself A 192.0.2.107
cutds NS ns.cutds
cutds DS 60485 13 2 D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A
ns.cutds A 192.0.2.108
a.b.below.cutmany A 192.0.2.110
below.cutmany NS ns1.below.cutmany
below.cutmany NS ns2.below.cutmany
below.cutmany NS ns3.below.cutmany
below.cutmany NS ns4.below.cutmany
ns1.below.cutmany A 192.0.2.111
ns2.below.cutmany A 192.0.2.112
ns3.below.cutmany AAAA 2001:db8::113
ns4.below.cutmany AAAA 2001:db8::114
child NS ns.child
ns.child A 192.0.2.53
mxcut MX 10 sip.cut
"""


CHILD_PLAIN = r"""
@ 3600 SOA ns host.master 1 7200 900 1209600 60
@ NS ns
ns A 192.0.2.53
www A 192.0.2.54
up CNAME www.plain.example.
*.wild A 192.0.2.55
"""


def text_of(name):
    records = RECORDS.replace("LONGNAME", LONG)
    records += "".join(f"forty A 198.51.100.{i}\n" for i in range(40))
    records += "".join(f'big TXT "{i:03}{"x" * 100}"\n' for i in range(20))
    records += "".join(f'huge TXT "{i:03}{"x" * 240}"\n' for i in range(40))
    return f"$ORIGIN {name}.\n$TTL 3600\n{records}"


def owners():
    """Names of a zone, relative; each once."""
    found = dict.fromkeys(re.match(r"\S+", line)[0] for line in text_of("x").split("\n")[2:] if line)
    return list(found)


def sign(folder, name, path, flags):
    def run(*command):
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}")
    for key in ((), ("-f", "KSK")):
        run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", *key, "-n", "ZONE", name)
    signed = path + ".signed"
    run("dnssec-signzone", "-q", "-S", "-P", "-o", name, "-O", "full", "-s", "20200101000000", "-e", "20370101000000", "-f", signed,
        *flags, path)
    return signed


def make(folder):
    """Writes and signs all of them: [(name, file)]."""
    made = []
    for name in ZONES:
        flags = {NSEC: (), NSEC3: ("-3", "AABBCCDD", "-H", "5"), OPTOUT: ("-3", "-", "-H", "0", "-A")}.get(name)
        for zone, text in ((f"{CHILD}.{name}", CHILD_PLAIN), (name, text_of(name))):
            path = os.path.join(folder, zone)
            if zone == name and flags is not None:  # the child's signing left it here
                with open(os.path.join(folder, f"dsset-{CHILD}.{name}."), encoding="ascii") as file:
                    text += file.read()
            with open(path, "w", encoding="latin-1") as file:
                file.write(text if zone == name else f"$ORIGIN {zone}.\n$TTL 300\n{text}")
            made.append((zone, path if flags is None else sign(folder, zone, path, flags)))
    return made
