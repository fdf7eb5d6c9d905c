# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre dns over UDP and TCP: packets made here, from RFC 1035, 6891 and 7766, and kdig where there is one."""

import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

from configured import Configured
from dns_wire import framed, next_message
from harness import PROGRAM, Server, Skip, busy_s, equal, failing, free_ports, output_of, patiently, run, test, true, until

A, NS, SOA, TXT, AAAA, OPT, IXFR, AXFR, ANY = 1, 2, 6, 16, 28, 41, 251, 252, 255
NOERROR, FORMERR, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 3, 4, 5

ZONE = """$TTL 300
@ SOA ns1 hostmaster {serial} 7200 900 1209600 60
@ NS ns1
ns1 A 192.0.2.1
www A 192.0.2.80
www AAAA 2001:db8::80
*.wild TXT "anything"
cut NS ns.cut
ns.cut A 192.0.2.4
""" + "".join(f"many A 198.51.100.{i}\n" for i in range(200)) + "".join(f'big TXT "{i:03}{"x" * 240}"\n' for i in range(100))


def name_of(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


def query(name, kind=A, number=1, edns=None, cls=1, flags=0x0100):
    """A query; `edns` is the size of datagrams that the client takes."""
    opt = b"" if edns is None else b"\0" + struct.pack("!HHIH", OPT, edns, 0, 0)
    return struct.pack("!6H", number, flags, 1, 0, 0, bool(opt)) + name_of(name) + struct.pack("!HH", kind, cls) + opt


class Reply:
    def __init__(self, data):
        self.data = data
        self.number, flags, _, self.answers, self.authority, self.additional = struct.unpack("!6H", data[:12])
        self.rcode = flags & 15
        self.is_response, self.authoritative, self.truncated = bool(flags & 0x8000), bool(flags & 0x400), bool(flags & 0x200)


def next_reply(client):
    return Reply(next_message(client))


class Dns(Server):
    """`gyre dns` for example.com; its file can be written anew."""

    def __init__(self, *flags, host="127.0.0.1", text=None, **more):  # pylint: disable=super-init-not-called
        self.folder = tempfile.mkdtemp()
        self.file = os.path.join(self.folder, "example.zone")
        self.write(text if text is not None else ZONE.format(serial=1))
        self.port = free_ports(1)[0]
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([PROGRAM, "dns", "--workers", "2", "--listen", f"{host}:{self.port}", "--zone",
                                         f"example.com={self.file}", *flags], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True, **more)
        self.pid = self.process.pid
        for kind in ("TCP", "UDP"):
            line = self.process.stdout.readline().decode()
            if f"gyre dns ({kind}): listening on" not in line:
                self.end()
                raise AssertionError(f"gyre dns did not begin to listen: {line}{self.log()}")
        until(lambda: ") serves" in self.log(), "it serves")

    def __enter__(self):
        return self

    def write(self, text, name="example.zone"):
        with open(os.path.join(self.folder, name + ".new"), "w", encoding="ascii") as file:
            file.write(text)
        os.rename(os.path.join(self.folder, name + ".new"), os.path.join(self.folder, name))

    def end(self):
        super().end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def reload(self, says=None):
        if says is None:
            super().reload()
            return
        count = self.log().count(says)
        self.signal(signal.SIGHUP)
        until(lambda: self.log().count(says) > count, f"it says: {says}")

    def udp(self, host="127.0.0.1"):
        client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(10)
        client.connect((host, self.port))
        return client

    def tcp(self, host="127.0.0.1"):
        return socket.create_connection((host, self.port), 10)

    def ask(self, *arguments, host="127.0.0.1", **more):
        with self.udp(host) as client:
            client.send(query(*arguments, **more))
            return Reply(client.recv(65536))

    def ask_tcp(self, *arguments, **more):
        with self.tcp() as client:
            client.sendall(framed(query(*arguments, **more)))
            return next_reply(client)


def unanswered(client, data):
    """Whether nothing comes back for it, though the next query is answered."""
    client.send(data)
    client.send(query("www.example.com", number=7777))
    return Reply(client.recv(65536)).number == 7777


@test
def queries_are_answered_over_udp():
    with Dns() as server:
        reply = server.ask("www.example.com", number=4711)
        equal((reply.number, reply.rcode, reply.answers, reply.authoritative), (4711, NOERROR, 1, True), "an address")
        true(reply.data.endswith(bytes([192, 0, 2, 80])), "it is the zone's")
        equal((server.ask("WWW.example.COM", AAAA).answers), 1, "case does not matter")
        equal(server.ask("a.b.wild.example.com", TXT).answers, 1, "a wildcard")
        reply = server.ask("no.example.com")
        equal((reply.rcode, reply.answers, reply.authority), (NXDOMAIN, 0, 1), "what does not exist")
        reply = server.ask("www.example.com", TXT)
        equal((reply.rcode, reply.answers, reply.authority), (NOERROR, 0, 1), "what has no such record")
        reply = server.ask("x.cut.example.com")
        equal((reply.authoritative, reply.authority, reply.additional), (False, 1, 1), "a referral with glue")


@test
def what_is_not_served_is_refused_and_the_version_hidden():
    with Dns() as server:
        for asked in (query("example.net"), query("version.bind", TXT, cls=3), query("com", NS), query("", NS)):
            with server.udp() as client:
                client.send(asked)
                reply = client.recv(65536)
            equal(Reply(reply).rcode, REFUSED, f"the code for {asked}")
            true(len(reply) <= len(asked), "a refusal is never longer than what it refuses")
        equal(server.ask("www.example.com", flags=0x2800).rcode, NOTIMP, "UPDATE")


@test
def what_is_no_query_is_not_answered_and_harms_nobody():
    with Dns() as server, server.udp() as client:
        whole = query("www.example.com")
        for data in (b"", b"x", whole[:11], query("www.example.com", flags=0x8000), bytes(1900)[:11], os.urandom(5)):
            true(unanswered(client, data), f"no answer to {data}")
        client.send(whole[:20])
        equal(Reply(client.recv(65536)).rcode, FORMERR, "a name that is cut")
        true(unanswered(client, bytes(3000)), "no answer to what is longer than any query")


@test
def answers_fit_what_the_client_takes_and_tcp_has_the_rest():
    with Dns() as server:
        for edns, longest in ((None, 512), (512, 512), (100, 512), (1000, 1000), (1232, 1232), (65535, 1232)):
            for name, kind in (("many.example.com", A), ("big.example.com", TXT)):
                reply = server.ask(name, kind, edns=edns)
                true(reply.truncated, f"{name} with {edns} is truncated")
                true(len(reply.data) <= longest, f"{len(reply.data)} bytes of {name} with {edns}")
        reply = server.ask_tcp("many.example.com")
        equal((reply.truncated, reply.answers), (False, 200), "all of it over TCP")
        reply = server.ask_tcp("big.example.com", TXT)
        equal((reply.truncated, reply.answers), (False, 100), "all of a long answer over TCP")
        true(len(reply.data) > 16384, "which is longer than a block of output")


@test
def pipelined_queries_are_all_answered_however_they_are_cut():
    with Dns() as server, server.tcp() as client:
        count = 500
        data = framed(*(query("many.example.com" if i % 50 == 0 else "www.example.com", number=i, edns=1232)
                        for i in range(count)))
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        equal([next_reply(client).number for _ in range(count)], list(range(count)), "the numbers of the answers")
        sender.join()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in framed(query("www.example.com", number=9), query("no.example.com", number=10)):
            client.sendall(bytes([byte]))
        equal([next_reply(client).rcode for _ in range(2)], [NOERROR, NXDOMAIN], "answers to what came byte by byte")
        client.sendall(framed(query("www.example.com", number=11)))
        client.shutdown(socket.SHUT_WR)
        equal(next_reply(client).number, 11, "an answer behind the end of the client's side")
        equal(client.recv(1), b"", "then the server ends its own")


@test
def the_begin_of_a_query_is_waited_for_and_not_looked_at_all_the_time():
    with Dns("--workers", "1") as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.tcp()) for _ in range(3)]
        whole = framed(query("www.example.com", number=7))
        for client, begin in zip(clients, (2, 3, len(whole) - 1)):
            client.sendall(whole[:begin])
        time.sleep(0.3)
        before = busy_s(server.pid)
        time.sleep(1.5)
        true(busy_s(server.pid) - before < 0.2, f"{busy_s(server.pid) - before:.2f} s of work in 1.5 s, for nothing")
        for client, begin in zip(clients, (2, 3, len(whole) - 1)):
            client.sendall(whole[begin:])
            equal(next_reply(client).number, 7, "and then it is answered")


@test
def connections_of_a_large_zone_get_their_own_answers():
    """One query on each at a time, which are looked at together; cut ones, short ones, and reloads, in between."""
    hosts, clients = 20000, 48
    names = "".join(f"host{i} A 10.{i >> 16}.{i >> 8 & 255}.{i & 255}\n" for i in range(hosts))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Dns("--workers", "1", text=ZONE.format(serial=1) + names))
        connections = [stack.enter_context(server.tcp()) for _ in range(clients)]
        for turn in range(40):
            asked = [(turn * clients + i) * 7919 % (hosts + 100) for i in range(clients)]
            whole = [framed(query(f"host{host}.example.com", number=i + 1)) for i, host in enumerate(asked)]
            cuts = [(turn + i) % 40 if i % 3 == 0 else len(whole[i]) for i in range(clients)]
            if turn % 10 == 5:
                server.write(ZONE.format(serial=turn) + names)
                server.signal(signal.SIGHUP)
            with server.tcp() as broken:
                broken.sendall(b"\0\13" + b"x" * 11)
                for i, connection in enumerate(connections):
                    connection.sendall(whole[i][:cuts[i]])
            for i, connection in enumerate(connections):
                connection.sendall(whole[i][cuts[i]:])
                reply = next_reply(connection)
                found = reply.number, reply.rcode, reply.data[-4:] if reply.answers else b""
                address = bytes([10, asked[i] >> 16, asked[i] >> 8 & 255, asked[i] & 255])
                wanted = (i + 1, NOERROR, address) if asked[i] < hosts else (i + 1, NXDOMAIN, b"")
                equal(found, wanted, f"number, code and address of host{asked[i]}")


@test
def connections_without_queries_are_closed():
    with Dns() as server, server.tcp() as client:
        client.sendall(b"\0\5hello")
        equal(client.recv(1), b"", "what is no query ends a connection")


@test
def connections_that_are_quiet_are_closed_after_the_time_that_is_given():
    def closed(patience):
        conf = f"dns {{ listen 127.0.0.1:{{port}}; zone example.com {{folder}}/example.zone; idle-timeout {300 * patience}ms; }}"
        with Named(conf) as server, socket.create_connection(("127.0.0.1", server.port), 20) as client:
            client.sendall(framed(query("www.example.com")))
            with failing(OSError):
                equal(next_reply(client).answers, 1, "an answer")
                began = time.monotonic()
                for byte in framed(query("www.example.com"))[:3]:
                    client.sendall(bytes([byte]))
                    time.sleep(0.05)
                equal(client.recv(1), b"", "bytes that make no query do not keep it open")
            true(time.monotonic() - began < 9, "and it was closed before the ten seconds that there are at first")

    patiently(closed)


@test
def transfers_are_refused():
    with Dns() as server:
        equal(server.ask_tcp("example.com", AXFR).rcode, REFUSED, "AXFR")
        equal(server.ask_tcp("example.com", AXFR).answers, 0, "records of it")
        equal(server.ask("example.com", AXFR).rcode, REFUSED, "AXFR over UDP")


@test
def answers_come_from_the_address_that_was_asked():
    with Dns(host="") as server:
        for host in ("127.0.0.1", "127.0.0.2", "127.77.1.9"):
            equal(server.ask("www.example.com", host=host).answers, 1, f"an answer from {host}")
        with socket.socket(socket.AF_INET6) as probe:
            try:
                probe.bind(("::1", 0))
            except OSError as error:
                raise Skip("this host has no IPv6") from error
        equal(server.ask("www.example.com", host="::1").answers, 1, "an answer from ::1")
        with server.tcp("::1") as client:
            client.sendall(framed(query("www.example.com")))
            equal(next_reply(client).answers, 1, "and over TCP")


def serial(server):
    data = server.ask("example.com", SOA).data
    at = data.rindex(struct.pack("!III", 7200, 900, 1209600))
    return struct.unpack("!I", data[at - 4:at])[0]


@test
def a_reload_under_load_serves_the_new_zone_and_loses_nothing():
    with Dns() as server:
        end = time.monotonic() + 4
        asked, lost = [0] * 4, [0] * 4

        def ask(number):
            with server.udp() as client:
                while time.monotonic() < end or (sum(asked) <= 100 and time.monotonic() < end + 60):
                    asked[number] += 1
                    client.send(query("www.example.com", number=asked[number] & 0xffff))
                    try:
                        reply = Reply(client.recv(65536))
                        lost[number] += reply.number != asked[number] & 0xffff or reply.answers != 1
                    except (TimeoutError, ConnectionRefusedError):
                        lost[number] += 1

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for number in range(2, 5):
            server.write(ZONE.format(serial=number))
            server.reload()
            until(lambda wanted=number: serial(server) == wanted, "the new zone is served")
        for thread in threads:
            thread.join()
        true(sum(asked) > 100, f"it was under load: {sum(asked)}")
        equal(sum(lost), 0, f"lost of {sum(asked)}")


@test
def a_connection_is_served_until_it_is_quiet_when_the_process_is_replaced():
    def asked_while_replaced(server, client):
        """Whether every question is answered; how long the longest silence was."""
        silence = 0.0
        answered = time.monotonic()
        for number in range(10):
            silence = max(silence, time.monotonic() - answered)
            try:
                client.sendall(framed(query("www.example.com", number=number)))
                equal(next_reply(client).number, number, "an answer while it is replaced")
            except ConnectionError:
                return False, silence
            answered = time.monotonic()
            time.sleep(0.03)
        return True, silence

    for _ in range(5):
        with Dns() as server, server.tcp() as client:
            client.sendall(framed(query("www.example.com")))
            equal(next_reply(client).answers, 1, "an answer")
            server.signal(signal.SIGHUP)
            whole, silence = asked_while_replaced(server, client)
            if whole:
                equal(client.recv(1), b"", "then the connection ends")
                return
            true(silence > 0.9, f"a connection that is used stays: nothing was asked for {silence:.3f} s at most")
    raise Skip("this machine is too busy to ask every second")


@test
def a_broken_zone_changes_nothing_and_is_told_with_its_place():
    with Dns() as server:
        server.write(ZONE.format(serial=2) + "oops A 192.0.2.999\n")
        server.reload("stays as it was")
        lines = ZONE.count("\n") + 1
        true(re.search(rf"example\.zone:{lines}:\d+: ", server.log()), f"file, line and column: {server.log()}")
        equal(serial(server), 1, "the serial that is served")
        server.write("@ 60 NS ns1.example.com.\n")
        server.reload("stays as it was")
        true("SOA" in server.log(), f"what is missing: {server.log()}")
        server.write(ZONE.format(serial=3))
        server.reload()
        until(lambda: serial(server) == 3, "the mended zone is served")


@test
def files_are_included_from_below_the_zones_folder_alone():
    with Dns() as server:
        server.write("host A 192.0.2.77\n", "more.inc")
        server.write(ZONE.format(serial=2) + "$INCLUDE more.inc sub\n")
        server.reload()
        until(lambda: server.ask("host.sub.example.com").answers == 1, "what was included is served")
        os.symlink("/etc/hostname", os.path.join(server.folder, "link.inc"))
        for path, text in (("/etc/hostname", "outside"), ("../x", "outside"), ("link.inc", "outside"), ("none", "No such"),
                           ("more.inc/x", "Not a directory"), ("example.zone", "include each other")):
            count = len(server.log())
            server.write(ZONE.format(serial=3) + f"$INCLUDE {path}\n")
            server.reload("stays as it was")
            true(text in server.log()[count:], f"{path}: {text}: {server.log()[count:]}")
        equal(server.ask("host.sub.example.com").answers, 1, "the old zone is served")
        server.write(ZONE.format(serial=4))
        server.reload()
        until(lambda: serial(server) == 4, "the mended zone is served")


class Named(Configured):
    """`gyre serve` of a file with a `dns` block; {folder}/example.zone is there."""

    def __enter__(self):
        until(lambda: ") serves" in self.log(), "it serves")
        return self

    def write(self, text):
        super().write(text)
        with open(os.path.join(self.folder, "example.zone"), "w", encoding="ascii") as file:
            file.write(ZONE.format(serial=1))


@test
def a_block_of_the_configuration_serves_and_counts():
    conf = """admin 127.0.0.1:{admin};
dns main { listen 127.0.0.1:{port}; zone example.com {folder}/example.zone; udp-size 600; nsid here; }
http { listen 127.0.0.1:{port2}; fixed on; }""".replace("{port2}", "{other}")
    with Named(conf) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect(("127.0.0.1", server.port))
            for asked, most in ((query("many.example.com", edns=4096), 600), (query("no.example.com"), 600), (query("example.org"), 600)):
                client.send(asked)
                true(len(client.recv(65536)) <= most, "as long as the block says")
        with socket.create_connection(("127.0.0.1", server.port), 10) as client:
            client.sendall(framed(query("www.example.com", AAAA), query("example.com", AXFR)))
            equal([next_reply(client).rcode for _ in range(2)], [NOERROR, REFUSED], "answers over TCP")
        equal(server.fetch("other").body, b"Hello, world!", "another server of the same file")
        metrics = server.metrics()
        mine = 'server="main"'

        def count(name, label=""):
            found = [value for key, value in metrics.items() if key.startswith(f"gyre_dns_{name}_total") and mine in key and label in key]
            equal(len(found), 1, f"samples of {name} {label}")
            return found[0]

        for name, label, wanted in (("queries", "", 5), ("transport_queries", "udp", 3), ("transport_queries", "tcp", 2),
                                    ("type_queries", '"A"', 3), ("type_queries", "AAAA", 1), ("answers", "NOERROR", 2),
                                    ("answers", "NXDOMAIN", 1), ("answers", "REFUSED", 2), ("truncated", "", 1),
                                    ("edns_queries", "", 1), ("transfers_refused", "", 1), ("malformed", "", 0)):
            equal(count(name, label), wanted, f"{name} {label}")


@test
def a_network_over_its_limit_is_sent_to_tcp():
    conf = """admin 127.0.0.1:{admin};
dns { listen 127.0.0.1:{port}; zone example.com {folder}/example.zone; rate-limit 10; rate-slip 2; rate-exempt 127.9.0.0/16; }"""
    with Named(conf) as server:
        def udp_queries():
            return sum(value for key, value in server.metrics().items() if key.startswith("gyre_dns_transport_queries_total") and '"udp"' in key)

        def flood(*sources):
            """How many whole and how many truncated answers there are to 100 queries of each, and how long they took."""
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in sources]
                before = udp_queries()
                began = last = time.monotonic()
                for client, source in zip(clients, sources):
                    client.bind((source, 0))
                    client.connect(("127.0.0.1", server.port))
                    for number in range(100):
                        client.send(query("www.example.com", number=number))
                until(lambda: udp_queries() >= before + 100 * len(sources), "all queries were heard", 60)
                counts = []
                for client in clients:
                    client.settimeout(20 if not counts else patience)  # for the first of them, on a busy machine
                    replies = []
                    with contextlib.suppress(TimeoutError):
                        while len(replies) < 100:
                            replies.append(Reply(client.recv(65536)))
                            last = time.monotonic()
                            client.settimeout(patience)
                    for reply in replies:
                        equal(reply.answers, 0 if reply.truncated else 1, "records of an answer")
                    counts.append((sum(not reply.truncated for reply in replies), sum(reply.truncated for reply in replies)))
            return counts, last - began

        def limited_together(given):
            """Which of the two is answered is their workers' affair. Another try is of a network that has asked nothing yet."""
            nonlocal patience
            patience = given
            counts, took = flood(f"127.0.{patience}.1", f"127.0.{patience}.77")
            whole, slipped = map(sum, zip(*counts))
            true(10 <= whole <= 30 + 10 * took, f"about as many as the limit allows, of both addresses: {counts} in {took} s")
            true(abs(slipped - (200 - whole) // 2) <= 4, f"of the rest every other one, truncated: {counts}")
            equal(flood("127.9.0.1")[0], [(100, 0)], "an exempt network has none")

        patience = 1
        patiently(limited_together)
        with socket.create_connection(("127.0.0.1", server.port), 10) as client:
            client.sendall(framed(*(query("www.example.com", number=i) for i in range(50))))
            equal([next_reply(client).answers for _ in range(50)], [1] * 50, "TCP has none")
        limited = {key: value for key, value in server.metrics().items() if key.startswith("gyre_dns_rate_limited_total")}
        equal(len(limited), 2, "samples")
        true(all(value > 30 for value in limited.values()), f"they are counted: {limited}")


@test
def misuse_is_told():
    with tempfile.TemporaryDirectory() as folder:
        zone = os.path.join(folder, "z")
        with open(zone, "w", encoding="ascii") as file:
            file.write(ZONE.format(serial=1))
        for flags, status, text in ((["--zone", "example.com"], 2, "write the zone's name, =, and its file"),
                                    (["--zone"], 2, "needs a value"), ([], 2, "--zone NAME=FILE is needed"),
                                    (["--zone", f"a..b={zone}"], 2, "is no name of a zone"),
                                    (["--zone", f"a.b={folder}/none"], 1, "No such file"),
                                    (["--zone", f"a.b={folder}"], 1, "no regular file"),
                                    (["--zone", f"a.b={zone}", "--zone", f"A.B.={zone}"], 1, "is there twice"),
                                    (["--bogus"], 2, "unknown flag")):
            got, _, errors = output_of([PROGRAM, "dns", "--check", *flags])
            equal(got, status, f"the exit status of {flags}: {errors}")
            true(text in errors, f"{flags}: {text}: {errors}")
        got, out, _ = output_of([PROGRAM, "dns", "--check", "--zone", f"example.com={zone}"])
        equal(got, 0, "the exit status of a check")
        true("dns would listen on 127.0.0.1:5300" in out and "dns (UDP) would" in out, out)


@test
def warnings_about_a_record_name_its_file_and_line():
    with tempfile.TemporaryDirectory() as folder:
        zone, more = os.path.join(folder, "zone"), os.path.join(folder, "more")
        with open(zone, "w", encoding="ascii") as file:
            file.write("$TTL 3600\n@ SOA ns hostmaster (\n 1 2 3 4 5 )\n@ NS ns\nns A 192.0.2.1\nns A 192.0.2.1\n"
                       "www.example.net. A 192.0.2.2\n$INCLUDE more\nb A 192.0.2.4\nb A (\n 192.0.2.4 )\n")
        with open(more, "w", encoding="ascii") as file:
            file.write("; a comment\na 60 A 192.0.2.3\na 61 A 192.0.2.5\n")
        status, _, errors = output_of([PROGRAM, "dns", "--check", "--zone", f"example.com={zone}"])
        equal(status, 0, errors)
        for line in (f"{zone}:6: ns.example.com. A: a record stands there twice; the second one is left out",
                     f"{zone}:7: www.example.net. A: the name is not in the zone; the record is left out",
                     f"{more}:3: a.example.com. A: the records of an rrset have different TTLs; the first one's is taken",
                     f"{zone}:10: b.example.com. A: a record stands there twice; the second one is left out"):
            true(f"zone example.com. {line}" in errors, f"{line}: {errors}")


@test
def kdig_agrees():
    if shutil.which("kdig") is None:
        raise Skip("kdig is not installed")
    with Dns() as server:
        def kdig(*words):
            status, out, errors = output_of(["kdig", "@127.0.0.1", "-p", str(server.port), "+timeout=5", *words])
            equal(status, 0, f"kdig {words}: {out}{errors}")
            true("malformed" not in out + errors and ";; ERROR" not in out + errors, out + errors)
            return out
        equal(kdig("+short", "www.example.com").strip(), "192.0.2.80", "an address")
        equal(kdig("+short", "+ignore", "+notcp", "www.example.com", "AAAA").strip(), "2001:db8::80", "an IPv6 address")
        equal(len(re.findall(r"198\.51\.100\.\d+", kdig("many.example.com"))), 200, "what TCP had to bring")
        out = kdig("+bufsize=1232", "www.example.com")
        true(re.search(r"flags: qr aa rd\b", out, re.IGNORECASE), out)


run()
