# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones between primaries and secondaries: gyre and gyre, and gyre beside NSD, Knot and BIND, where those are installed."""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from configured import Configured
from dns_wire import framed, next_message
from harness import PROGRAM, Skip, equal, free_ports, patiently, run, test, true, until
from scripted import Scripted

A, SOA, AXFR = 1, 6, 252
SECRET = "bm90IGEgc2VjcmV0IGF0IGFsbA=="
RECORDS = """www A 192.0.2.80
www AAAA 2001:db8::80
@ MX 10 mail
mail A 192.0.2.25
alias CNAME www
*.wild TXT "any thing" "\\"quoted\\""
_sip._tcp SRV 1 2 3 www
sub NS ns.sub
ns.sub A 192.0.2.4
old DNAME elsewhere.example.
x NAPTR 1 2 "u" "sip" "!a!b!" .
@ CAA 0 issue "ca.example"
odd TYPE65280 \\# 3 010203
svc HTTPS 1 . alpn=h2 port=8443
""" + "".join(f"h{i} 60 A 10.0.{i >> 8}.{i & 255}\n" for i in range(3000))


def zone(serial, refresh=3600, retry=1, expire=86400, records=RECORDS):
    return f"$TTL 300\n@ SOA ns1 hostmaster {serial} {refresh} {retry} {expire} 60\n@ NS ns1\nns1 A 192.0.2.1\n{records}"


class Node(Configured):
    """`gyre serve` of a file with a `dns` block on {port}; {k} is the file of the key's secret."""

    def __init__(self, text, files=(), **ports):
        self.more = ports
        self.files = dict(files)
        super().__init__(text)

    def write(self, text):
        self.ports.update(self.more, k=os.path.join(self.folder, "secret"))
        super().write(text)
        for name, content in (*self.files.items(), ("secret", SECRET + "\n")):
            self.put(name, content)

    def put(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(content)
        os.rename(path + ".new", path)

    def __enter__(self):
        until(lambda: ") serves" in self.log(), "it serves")
        return self

    def said(self, text):
        until(lambda: text in self.log(), f"it says {text}: {self.log()}")


def question(name, kind, number=1, flags=0):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", number, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def next_number(client):
    """Of the next answer over TCP."""
    return struct.unpack("!H", next_message(client)[:2])[0]


def kdig(*arguments):
    tool = shutil.which("kdig")
    if tool is None:
        raise Skip("kdig is not installed")
    found = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False)
    return found.stdout + found.stderr


def serial(port, name):
    found = re.search(r"SOA\s+\S+ \S+ (\d+) ", kdig("@127.0.0.1", "-p", port, name, "SOA"))
    return int(found[1]) if found else None


def status(port, name, *flags):
    found = re.search(r"status: (\w+)", kdig("@127.0.0.1", "-p", port, name, "SOA", *flags))
    return found[1] if found else None


def records(port, name, *flags):
    """All of a zone, by transfer, in one order and one spelling."""
    lines = [line for line in kdig("@127.0.0.1", "-p", port, *flags, name, "AXFR").splitlines()
             if line and line[0] != ";" and "\tTSIG\t" not in line]
    return sorted(" ".join(line.split()).lower() for line in lines)


KEY = ("-y", f"hmac-sha256:key:{SECRET}")


@test
def a_zone_goes_to_those_who_may_have_it():
    conf = """dns { listen 127.0.0.1:{port}; key key hmac-sha256 {k};
zone signed.example {folder}/a { allow-transfer 127.0.0.0/8 key key; }
zone near.example {folder}/a { allow-transfer 192.0.2.0/24; allow-transfer 127.0.0.1; }
zone far.example {folder}/a { allow-transfer 192.0.2.0/24; } }"""
    with Node(conf, {"a": zone(1)}) as node:
        count = len(records(node.port, "near.example"))
        equal(count, 2 + 3 + RECORDS.count("\n") - 1, "records, the SOA twice")
        equal(len(records(node.port, "signed.example", *KEY)), count, "signed")
        for name, flags, text in (("signed.example", (), "REFUSED"), ("far.example", (), "REFUSED"), ("far.example", KEY, "REFUSED"),
                                  ("signed.example", ("-y", f"hmac-sha256:key:{SECRET[4:]}"), "BADSIG"),
                                  ("signed.example", ("-y", f"hmac-sha512:key:{SECRET}"), "BADKEY")):
            out = kdig("@127.0.0.1", "-p", node.port, *flags, name, "AXFR")
            true(text in out, f"{name} {flags}: {text}: {out}")
        equal(len(records(node.port, "near.example")), count, "and it goes on")
        true("IXFR" in kdig("@127.0.0.1", "-p", node.port, "near.example", "IXFR=1"), "an IXFR for who has it")


@test
def who_asks_for_differences_gets_them_and_a_secondary_hands_them_on():
    ports = dict(zip(("first", "second"), free_ports(2)))
    primary = """admin 127.0.0.1:{admin}; dns { listen 127.0.0.1:{first}; allow-transfer 127.0.0.0/8; notify 127.0.0.1:{second};
zone a.example {folder}/a; zone none.example {folder}/a { allow-transfer none; notify none; } }"""
    secondary = """admin 127.0.0.1:{admin}; dns { listen 127.0.0.1:{second}; allow-transfer 127.0.0.0/8;
secondary a.example {folder}/kept { primary 127.0.0.1:{first}; } }"""
    with Node(primary, {"a": zone(1)}, **ports) as ahead, Node(secondary, **ports) as behind:
        first, second = ports["first"], ports["second"]
        until(lambda: serial(second, "a.example") == 1, "it came")
        for number in (2, 3):
            ahead.put("a", zone(number, records=RECORDS.replace("192.0.2.80", f"192.0.2.{number}")))
            ahead.reload()
            until(lambda number=number: serial(second, "a.example") == number, "NOTIFY brought the next")
        equal(records(second, "a.example"), records(first, "a.example"), "the zone")
        fetched = behind.metrics()
        equal([fetched[f'gyre_dns_secondary_{name}_total{{server="dns"}}'] for name in ("fetched", "differences")], [3, 2], "fetched, by differences")
        for port in (first, second):
            for since, wanted in ((1, 10), (2, 6), (3, 1)):
                found = [line for line in kdig("@127.0.0.1", "-p", port, "a.example", f"IXFR={since}").splitlines() if line and line[0] != ";"]
                equal(len(found), wanted, f"records since {since}: {found}")
            true(len(kdig("@127.0.0.1", "-p", port, "a.example", "IXFR=0").splitlines()) > 3000, "all of it, for who is too far behind")
        true(os.path.getsize(os.path.join(behind.folder, "kept.changes")) < 2000, "on disk are the differences alone")
        behind.reload()
        equal(records(second, "a.example"), records(first, "a.example"), "the zone, by the process that read them")
        equal(len(kdig("@127.0.0.1", "-p", second, "a.example", "IXFR=1").splitlines()) > 3000, False, "which hands them on too")
        true("zone none.example.: NOTIFY" not in ahead.log(), "nobody is told of a zone without notify")
        true(ahead.metrics()['gyre_dns_differences_sent_total{server="dns"}'] >= 3, "it counts them")


@test
def queries_behind_a_transfer_are_answered_behind_it():
    with Node("dns { listen 127.0.0.1:{port}; allow-transfer any; zone near.example {folder}/a; }", {"a": zone(1)}) as node:
        with socket.create_connection(("127.0.0.1", node.port), 10) as client:
            client.sendall(framed(question("www.near.example", A, 1), question("near.example", AXFR, 2),
                                  question("www.near.example", A, 3), question("near.example", AXFR, 4)))
            numbers = []
            while 4 not in numbers or len(numbers) < 8:
                numbers.append(next_number(client))
            equal(sorted(numbers), numbers, "in the order of the questions")
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
        with socket.create_connection(("127.0.0.1", node.port), 10) as client:
            client.sendall(struct.pack("!H", 5) + b"short")
            equal(client.recv(10), b"", "what is no query ends the connection")


@test
def a_secondary_follows_its_primary_and_survives_it():
    patiently(followed_and_survived)


def followed_and_survived(patience):
    ports = dict(zip(("first", "second"), free_ports(2)))
    primary = """dns { listen 127.0.0.1:{first}; key key hmac-sha256 {k};
zone a.example {folder}/a { allow-transfer key key; notify 127.0.0.1:{second} key key; } }"""
    secondary = """admin 127.0.0.1:{admin}; dns { listen 127.0.0.1:{second}; key key hmac-sha256 {k};
secondary a.example {folder}/kept { primary 127.0.0.1:{first} key key; allow-transfer 127.0.0.1; } }"""
    with Node(secondary, **ports) as behind:
        port = ports["second"]
        equal(status(port, "a.example"), "SERVFAIL", "before it has come")
        with Node(primary, {"a": zone(1, refresh=1000)}, **ports) as ahead:
            until(lambda: serial(port, "a.example") == 1, "it came")
            equal(records(port, "a.example"), records(ports["first"], "a.example", *KEY), "the zone")
            ahead.put("a", zone(2, expire=3 * patience) + "new A 192.0.2.99\n")
            ahead.reload()
            until(lambda: serial(port, "a.example") == 2, "NOTIFY brought the next")
            true(behind.metrics()['gyre_dns_notifies_in_total{how="taken",server="dns"}'] >= 1, "NOTIFY came")
        behind.reload()
        equal(serial(port, "a.example"), 2, "after a restart, from disk, its primary gone")
        until(lambda: status(port, "a.example") == "SERVFAIL", "expired")
        with Node(primary, {"a": zone(3)}, **ports):
            until(lambda: serial(port, "a.example") == 3, "its primary is back")
        true("secret" not in behind.log() and SECRET not in behind.log(), "the secret in no log")


def fake_primary(whole):
    """Says that it has serial 9, and then nothing of use: of IXFR a difference to another zone; it ends where it is asked for all of it.
    `whole` counts those."""
    def soa(number):
        return b"\xc0\x0c" + struct.pack("!HHIH", SOA, 1, 60, 22) + b"\0\0" + struct.pack("!5I", number, 3600, 1, 86400, 60)

    def serve(client, _number):
        while True:
            asked = next_message(client)
            kind = struct.unpack("!H", asked[23:25])[0]  # behind a.example
            records = {SOA: [soa(9)], 251: [soa(9), soa(1), soa(9), soa(9)]}.get(kind)
            if records is None:
                whole.append(kind)
                return
            client.sendall(framed(asked[:2] + struct.pack("!5H", 0x8400, 1, len(records), 0, 0) + asked[12:27] + b"".join(records)))

    return serve


@test
def a_primary_that_sends_nonsense_is_passed_over():
    ports, whole = dict(zip(("first", "second"), free_ports(2))), []
    secondary = """dns { listen 127.0.0.1:{second};
secondary a.example {folder}/kept { primary 127.0.0.1:{first}; allow-transfer any; } }"""
    both = secondary.replace("primary", "primary 127.0.0.1:{spare}; primary")
    with Node("dns { listen 127.0.0.1:{first}; allow-transfer any; zone a.example {folder}/a; }", {"a": zone(1)}, **ports) as ahead, \
            Node(secondary, **ports) as behind, Scripted(fake_primary(whole), behind.ports["spare"]):
        until(lambda: serial(ports["second"], "a.example") == 1, "it came")
        before = behind.log().count("fetched from")
        behind.write(both)
        behind.reload()
        behind.said("all of it then")
        until(lambda: whole, "the whole zone is asked for")
        behind.said("it ended the connection")
        equal((serial(ports["second"], "a.example"), behind.log().count("fetched from")), (1, before), "the old one stays")
        ahead.put("a", zone(2))
        ahead.reload()
        behind.reload()
        until(lambda: serial(ports["second"], "a.example") == 2, "the other primary's")


@test
def notify_is_taken_from_primaries_alone():
    conf = """dns { listen 127.0.0.1:{port}; zone own.example {folder}/a;
secondary a.example {folder}/kept { primary 127.0.0.1:{spare}; } }"""
    with Node(conf, {"a": zone(1)}) as node:
        for source, name, wanted in (("127.0.0.1", "a.example", 0), ("127.0.0.2", "a.example", 5), ("127.0.0.1", "own.example", 5),
                                     ("127.0.0.1", "other.example", 9)):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                client.bind((source, 0))
                client.connect(("127.0.0.1", node.port))
                client.send(question(name, SOA, flags=0x2400))
                equal(client.recv(512)[3] & 15, wanted, f"{name} from {source}")


@test
def a_reload_reads_what_has_changed_and_keeps_what_is_wrong_now():
    conf = """dns { listen 127.0.0.1:{port}; zone a.example {folder}/a; zone b.example {folder}/b; zone c.example {folder}/c; }"""
    files = {"a": zone(1, records=""), "b": zone(1, records="$INCLUDE more\n"), "c": zone(1, records=""), "more": "x A 192.0.2.7\n"}
    with Node(conf, files) as node:
        old = time.time() - 100
        for name in files:
            os.utime(os.path.join(node.folder, name), (old, old))
        node.reload()
        before = node.log().count("read in")
        node.reload()
        equal(node.log().count("read in"), before, "nothing has changed, nothing is read")
        node.put("more", "x A 192.0.2.8\ny A 192.0.2.9\n")
        node.put("c", "@ 60 NS nowhere.\n")
        node.reload()
        equal(node.log().count("read in"), before + 1, "what includes the changed one")
        true("zone c.example. stays as it was, with serial 1" in node.log(), node.log())
        equal(status(node.port, "c.example"), "NOERROR", "the old one is served")
        true("192.0.2.9" in kdig("+short", "@127.0.0.1", "-p", node.port, "y.b.example"), "the new one too")


@test
def a_reload_that_is_asked_for_while_it_begins_ends_nothing():
    for _ in range(5):
        node = Node("dns { listen 127.0.0.1:{port}; zone a.example {folder}/a; }", {"a": zone(1, records="")})
        node.process.send_signal(signal.SIGHUP)  # it has said where it listens, and no more
        with node:
            until(lambda node=node: node.log().count(") serves") >= 2, "it serves, and is reloaded then")
            equal(status(node.port, "a.example"), "NOERROR", "it answers")


@test
def a_folder_of_zones_is_read_anew_by_each_reload():
    conf = """dns { listen 127.0.0.1:{port}; allow-transfer none; zones {folder}/zones { allow-transfer 127.0.0.1; } }"""
    with tempfile.TemporaryDirectory() as folder:
        def put(name, content):
            with open(os.path.join(folder, name), "w", encoding="ascii") as file:
                file.write(content)
        for number in range(3):
            put(f"z{number}.example.zone", zone(number + 1, records=""))
        put("README", "no zone")
        put(".hidden.zone", "nor this")
        with Node(conf.replace("{folder}/zones", folder)) as node:
            equal([serial(node.port, f"z{number}.example") for number in range(3)], [1, 2, 3], "serials")
            equal(len(records(node.port, "z1.example")), 4, "the block is for all of them")
            put("z3.example.zone", zone(4, records=""))
            os.unlink(os.path.join(folder, "z0.example.zone"))
            node.reload()
            equal([status(node.port, f"z{number}.example") for number in range(4)], ["REFUSED", "NOERROR", "NOERROR", "NOERROR"], "one has gone, one has come")
            put("a..b.zone", zone(4, records=""))
            node.process.send_signal(signal.SIGHUP)
            node.said("a..b.zone")
            equal(status(node.port, "z3.example"), "NOERROR", "the old ones go on")


@test
def an_address_has_as_many_connections_as_it_may():
    with Node("dns { listen 127.0.0.1:{port}; connections-per-address 3; zone a.example {folder}/a; }", {"a": zone(1)}) as node:
        held = [socket.create_connection(("127.0.0.1", node.port), 10) for _ in range(3)]
        with socket.create_connection(("127.0.0.1", node.port), 10) as one_more:
            equal(one_more.recv(1), b"", "the fourth")
        with socket.create_connection(("127.0.0.1", node.port), 10, ("127.0.0.2", 0)) as other:
            other.settimeout(0.2)
            try:
                equal(other.recv(1), None, "of another address: it stays")
            except socket.timeout:
                pass
        held.pop().close()

        def again():
            with socket.create_connection(("127.0.0.1", node.port), 10) as one:
                one.settimeout(0.2)
                try:
                    return one.recv(1) != b""
                except socket.timeout:
                    return True
        until(again, "one left, one may come")
        for one in held:
            one.close()


@test
def queries_are_logged():
    conf = "workers 1; dns { listen 127.0.0.1:{port}; query-log {folder}/log; key key hmac-sha256 {k}; allow-transfer key key; zone a.example {folder}/a; }"
    with Node(conf, {"a": zone(1)}) as node:
        kdig("+noedns", "@127.0.0.1", "-p", node.port, r"a\010b.a.example", "TXT")
        kdig("+dnssec", "@127.0.0.1", "-p", node.port, "+tcp", "www.a.example", "A")
        records(node.port, "a.example", *KEY)

        def lines():
            with open(os.path.join(node.folder, "log"), encoding="ascii") as file:
                return [re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", "", line.strip()) for line in file]
        until(lambda: len(lines()) >= 3, "all are written")
        equal([line.split(" +")[0] for line in lines()], ["127.0.0.1 udp a\\010b.a.example. IN TXT NXDOMAIN 82",
                                                         "127.0.0.1 tcp www.a.example. IN A NOERROR 58", "127.0.0.1 tcp a.example. IN AXFR NOERROR 0"], "lines")
        equal([line.split(" +")[1] for line in lines()], ["", "ED", "S"], "flags")


@test
def a_zone_that_is_missing_is_said_before_anything_listens():
    folder = tempfile.mkdtemp()
    try:
        found = subprocess.run([PROGRAM, "dns", "--listen", f"127.0.0.1:{free_ports(1)[0]}", "--zone", f"a.example={folder}/none"],
                               capture_output=True, text=True, timeout=20, check=False)
        equal((found.returncode, found.stdout), (1, ""), "how it ends, and what it says it does")
        true(f"{folder}/none: No such file" in found.stderr, found.stderr)
    finally:
        shutil.rmtree(folder)


# ---- beside others ----

NSD = """server:
  ip-address: 127.0.0.1@{nsd}
  username: ""
  zonesdir: {home}
  pidfile: {home}/nsd.pid
  xfrdfile: {home}/xfrd
  zonelistfile: {home}/zonelist
  database: ""
  logfile: {home}/nsd.log
remote-control:
  control-enable: no
key:
  name: key
  algorithm: hmac-sha256
  secret: "{secret}"
zone:
  name: from-nsd.example
  zonefile: a
  provide-xfr: 127.0.0.1 key
  store-ixfr: yes
  create-ixfr: yes
zone:
  name: a.example
  zonefile: nsd-a
  request-xfr: 127.0.0.1@{first} key
  allow-notify: 127.0.0.1 key
  provide-xfr: 127.0.0.1 NOKEY
"""

KNOT = """server:
  listen: 127.0.0.1@{knot}
  rundir: {home}
database:
  storage: {home}/knot
log:
  - target: {home}/knot.log
    any: info
key:
  - id: key
    algorithm: hmac-sha256
    secret: {secret}
remote:
  - id: gyre
    address: 127.0.0.1@{first}
    key: key
acl:
  - id: signed
    address: 127.0.0.1
    key: key
    action: [transfer, notify]
  - id: near
    address: 127.0.0.1
    action: transfer
template:
  - id: default
    storage: {home}
zone:
  - domain: from-knot.example
    file: a
    acl: signed
    zonefile-sync: -1
    zonefile-load: difference
    journal-content: changes
  - domain: a.example
    file: knot-a
    master: gyre
    acl: [signed, near]
"""

BIND = """options {{ directory "{home}"; listen-on port {bind} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file "{home}/named.pid";
  session-keyfile "{home}/session.key"; recursion no; notify no; allow-transfer {{ 127.0.0.1; }}; dnssec-validation no; }};
controls {{ }};
key key {{ algorithm hmac-sha256; secret "{secret}"; }};
server 127.0.0.1 {{ keys key; }};
zone from-bind.example {{ type primary; file "a"; ixfr-from-differences yes; allow-transfer {{ key key; }}; }};
zone a.example {{ type secondary; file "bind-a"; masterfile-format text; primaries port {first} {{ 127.0.0.1 key key; }}; }};
"""

PEERS = {"nsd": ("nsd", NSD, ("-d", "-c")), "knot": ("knotd", KNOT, ("-c",)), "bind": ("named", BIND, ("-g", "-c"))}


def start_peers(home, ports):
    """Those that are installed, each on a port of its own, with their configurations below `home`."""
    running = {}
    with open(os.path.join(home, "a"), "w", encoding="ascii") as file:
        file.write(zone(1, refresh=1))
    os.mkdir(os.path.join(home, "knot"))
    for name, (program, text, flags) in PEERS.items():
        path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
        if path is None:
            continue
        conf = os.path.join(home, name + ".conf")
        with open(conf, "w", encoding="ascii") as file:
            file.write(text.format(home=home, secret=SECRET, **ports))
        with open(os.path.join(home, name + ".out"), "w", encoding="ascii") as out:
            running[name] = subprocess.Popen([path, *flags, conf], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    return running


@test
def zones_from_and_to_nsd_knot_and_bind_are_equal():
    home = tempfile.mkdtemp()
    ports = dict(zip(("first", "nsd", "knot", "bind"), free_ports(4)))
    running = {}
    try:
        running = start_peers(home, ports)
        if not running:
            raise Skip("none of NSD, Knot and BIND is installed")
        conf = "admin 127.0.0.1:{admin}; dns { listen 127.0.0.1:{first}; key key hmac-sha256 {k}; allow-transfer 127.0.0.1;\n zone a.example {folder}/a { "
        conf += "allow-transfer key key; " + "".join(f"notify 127.0.0.1:{ports[name]} key key; " for name in running) + "}\n"
        for name in running:
            conf += f" secondary from-{name}.example {{folder}}/{name} {{ primary 127.0.0.1:{ports[name]} key key; }}\n"
        with Node(conf + "}", {"a": zone(1)}, **ports) as node:
            def told(name):
                with open(os.path.join(home, name + ".out"), encoding="ascii", errors="replace") as file:
                    return f"{name}: {file.read()[-2000:]} {node.log()[-2000:]}"

            ours = records(ports["first"], "a.example", *KEY)
            equal(len(ours), 2 + 3 + RECORDS.count("\n") - 1, "records of ours")
            for name in running:
                port = ports[name]
                until(lambda name=name: serial(ports["first"], f"from-{name}.example") == 1, f"the zone of {told(name)}")
                equal(records(ports["first"], f"from-{name}.example"), records(port, f"from-{name}.example", *KEY), f"the zone of {name}")
                until(lambda port=port: serial(port, "a.example") == 1, f"our zone at {told(name)}")
                equal(records(port, "a.example", *(KEY if name == "knot" else ())), ours, f"our zone at {name}")
            changed = RECORDS.replace("192.0.2.80", "192.0.2.81")
            node.put("a", zone(2, records=changed))
            node.reload()
            with open(os.path.join(home, "a"), "w", encoding="ascii") as file:
                file.write(zone(2, refresh=1, records=changed))
            for process in running.values():
                process.send_signal(signal.SIGHUP)
            ours = records(ports["first"], "a.example", *KEY)
            for name in running:
                port = ports[name]
                until(lambda port=port: serial(port, "a.example") == 2, f"our next zone at {told(name)}")
                equal(records(port, "a.example", *(KEY if name == "knot" else ())), ours, f"our next zone at {name}")
                until(lambda name=name: serial(ports["first"], f"from-{name}.example") == 2, f"the next zone of {told(name)}")
                equal(records(ports["first"], f"from-{name}.example"), records(port, f"from-{name}.example", *KEY), f"the next zone of {name}")
            counted = node.metrics()
            # NSD tells of the new zone before it replaces the process that answers, and whoever asks that one is reset
            whole = "nsd" in running and "for differences: the peer reset it; all of it then" in node.log()
            equal([counted[f'gyre_dns_{name}_total{{server="dns"}}'] for name in ("differences_sent", "secondary_differences")],
                  [len(running), len(running) - whole], f"by differences, to and from {' '.join(running)}: {node.log()[-4000:]}")
    finally:
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        for process in running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(home, ignore_errors=True)


run()
