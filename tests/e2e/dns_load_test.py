# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre-load dns://, dns+tcp:// and dns+tls:// against gyre dns, and against servers that answer badly, or not."""

import os
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time

from generator import LOAD, load
from harness import PROGRAM, equal, free_ports, loaded, output_of, patiently, run, test, true, until
from scripted import Listener, ScriptedDatagrams

ZONE = "$TTL 300\n@ SOA ns1 hostmaster 1 7200 900 1209600 60\n@ NS ns1\nns1 A 192.0.2.1\nwww A 192.0.2.80\n" \
    + "".join(f"host{i} A 192.0.2.{i}\n" for i in range(100)) + "".join(f"many A 198.51.100.{i}\n" for i in range(200))


def counted(figures, *names):
    return tuple(figures["tallies"][name] for name in names)


class Dns:
    """`gyre dns`, and a file of queries."""

    def __init__(self, *flags):
        self.folder = tempfile.TemporaryDirectory()
        self.queries = os.path.join(self.folder.name, "queries")
        zone = os.path.join(self.folder.name, "zone")
        with open(zone, "w", encoding="ascii") as file:
            file.write(ZONE)
        self.ask([f"host{i}.example.com A" for i in range(100)] + ["missing.example.com AAAA", "; nothing", "www.example.com MX"])
        self.port = free_ports(1)[0]
        self.process = subprocess.Popen([PROGRAM, "dns", "--listen", f"127.0.0.1:{self.port}", "--workers", "1", "--no-supervisor",
                                         "--log-level", "error", "--zone", f"example.com={zone}", *flags], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until(self.answers, "it serves")

    def ask(self, lines):
        with open(self.queries, "w", encoding="ascii") as file:
            file.write("\n".join(lines))

    def answers(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.5)
            client.connect(("127.0.0.1", self.port))
            try:
                client.send(struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\7example\3com\0\0\6\0\1")
                return client.recv(512)[3] & 15 == 0
            except OSError:
                return False

    def load(self, scheme, *flags, queries=True):
        return load(f"{scheme}://127.0.0.1:{self.port}", *(("--queries", self.queries) if queries else ()), *flags)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.folder.cleanup()


def answer(query, **changes):
    """A right answer with one address, or one that is spoiled."""
    flags, question = changes.get("flags", 0x8400), changes.get("question", query[12:])
    return query[:2] + struct.pack("!5H", flags, 1, 1, 0, 0) + question + bytes.fromhex("c00c000100010000003c0004c0000201")


class Stream(Listener):
    """Over TCP: behave(queries) gives answers to those that came together, in the order in which they leave."""

    def __init__(self, behave, context=None):
        self.behave, self.context, self.spoken = behave, context, None
        super().__init__()

    def serve(self, connection, _number):
        if not self.context:
            self.answer(connection)
            return
        with self.context.wrap_socket(connection, server_side=True) as secure:
            self.spoken = secure.selected_alpn_protocol()
            self.answer(secure)

    def answer(self, connection):
        data = b""
        while more := connection.recv(65536):
            data += more
            queries = []
            while len(data) >= 2 and len(data) >= 2 + struct.unpack("!H", data[:2])[0]:
                length = struct.unpack("!H", data[:2])[0]
                queries.append(data[2:2 + length])
                data = data[2 + length:]
            out = b"".join(struct.pack("!H", len(made)) + made for made in self.behave(queries))
            for piece in (out[:1], out[1:5], out[5:]):
                connection.sendall(piece)


@test
def queries_of_a_file_are_asked_and_answers_counted_by_rcode():
    with Dns() as server:
        for scheme, *flags in (("dns", "-c", "16"), ("dns", "-c", "40", "--outstanding", "10"), ("dns", "-c", "2", "--pipeline", "32"),
                               ("dns", "-c", "3", "--pipeline", "2", "-t", "2"), ("dns", "-c", "4", "--udp-mode", "calls"),
                               ("dns+tcp", "-c", "4"), ("dns+tcp", "-c", "4", "--pipeline", "16"),
                               ("dns+tcp", "-c", "4", "--pipeline", "8", "--outstanding", "8", "--edns", "4096")):
            status, figures, _, errors = server.load(scheme, "-n", "2040", *flags)
            equal(status, 0, f"the exit status of {scheme} {flags} ({errors})")
            equal((figures["answered"], figures["sent_total"], figures["errors"]["total"]), (2040, 2040, 0), f"answers to {scheme} {flags}")
            equal(sum(figures["tallies"].values()), 2040, "all are counted by rcode")
            if "-t" not in flags:
                equal(counted(figures, "NOERROR", "NXDOMAIN", "truncated"), (2020, 20, 0), f"rcodes of {scheme} {flags}")


@test
def trains_of_queries_are_answered_too():
    with Dns("--trains") as server:
        status, figures, _, errors = server.load("dns", "-c", "2", "--pipeline", "32", "--trains", "-n", "4080", "--dnssec")
        equal((status, counted(figures, "NOERROR", "NXDOMAIN")), (0, (4040, 40)), errors)


@test
def one_name_in_the_url_is_enough():
    with Dns() as server:
        status, figures, _, errors = load(f"dns://127.0.0.1:{server.port}/many.example.com?type=A", "-n", "50", "--check", "-c", "2")
        equal((status, counted(figures, "NOERROR", "truncated")), (0, (50, 50)), errors)
        status, figures, _, errors = load(f"dns+tcp://127.0.0.1:{server.port}/many.example.com", "-n", "50", "--pipeline", "10", "-c", "2")
        equal((status, counted(figures, "NOERROR", "truncated")), (0, (50, 0)), errors)


@test
def an_open_loop_keeps_its_rate():
    def rated(patience):
        status, figures, _, errors = server.load("dns", "-c", "64", "--rate", "200", "--poisson", "-d", f"{patience}s", "--warmup", "0")
        equal(status, 0, f"the exit status ({errors})")
        true(140 < figures["scheduled"] / patience < 260, f"{figures['scheduled']} were due in {patience} s")

    with Dns() as server:
        patiently(rated)


@test
def wrong_answers_are_told_from_right_ones():
    def spoil(n, query):
        right = answer(query)
        return {3: [answer(query, question=b"\3wwx" + query[16:])], 4: [right[:-1]], 5: [right + b"x"], 6: [answer(query, flags=0x8402)],
                7: [answer(query, flags=0x0400)], 8: [b"\0\0" + right[2:], right], 9: [right, right], 10: [right[:7], right],
                11: [], 12: [query[:2] + b"\x86\0\0\1\0\0\0\0\0\0" + query[12:]]}.get(n, [right])

    def told(patience):
        with ScriptedDatagrams(spoil) as server:
            status, figures, _, errors = load(f"dns://127.0.0.1:{server.port}/www.example.com", "-c", "1", "-n", "30", "--timeout", f"{200 * patience}ms")
        equal(status, 1, f"the exit status ({errors})")
        found = {name: count for name, count in figures["errors"].items() if count and name != "total"}
        # 5: something behind the last record; 7: no response; 10: less than a header.
        equal(found, {"wrong_question": 1, "short_answer": 1, "protocol": 3, "status": 1, "timeout": 1}, "errors")
        equal(counted(figures, "NOERROR", "SERVFAIL", "truncated"), (24, 1, 1), "rcodes")

    patiently(told)


@test
def answers_over_tcp_may_come_in_any_order():
    with Stream(lambda queries: [answer(query) for query in reversed(queries)]) as server:
        status, figures, _, errors = load(f"dns+tcp://127.0.0.1:{server.port}/www.example.com", "-c", "2", "--pipeline", "16", "-n", "400")
        equal((status, figures["answered_total"], figures["errors"]["total"]), (0, 400, 0), errors)


@test
def a_stream_that_breaks_the_protocol_is_given_up():
    def given_up(patience):
        with Stream(behave) as server:
            status, figures, _, errors = load(f"dns+tcp://127.0.0.1:{server.port}/www.example.com", "-c", "1", "-n", "5", "--timeout", f"{patience}s")
        equal(status, 1, f"the exit status ({errors})")
        true(figures["errors"]["protocol"] >= 1, f"it is counted: {figures['errors']}")

    for behave in (lambda queries: [b"short"], lambda queries: [b"\xff\xff" + answer(query)[2:] for query in queries]):
        patiently(given_up)


@test
def over_tls_the_server_proves_who_it_is():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([PROGRAM, "cert", "--dir", folder, "localhost", "127.0.0.1"], check=True, stdout=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(folder, "localhost.pem"), os.path.join(folder, "localhost.key"))
        context.set_alpn_protocols(["dot"])
        with Stream(lambda queries: list(map(answer, queries)), context) as server:
            url = f"dns+tls://127.0.0.1:{server.port}/www.example.com"
            status, figures, _, errors = load(url, "-c", "2", "--pipeline", "4", "-n", "100", "--ca", os.path.join(folder, "authority.pem"))
            equal((status, figures["answered_total"], server.spoken), (0, 100, "dot"), errors)
            status, _, _, errors = load(url, "-c", "1", "-n", "1")
            equal(status, 1, "the exit status where nobody vouches for it")
            true("certificate" in errors, errors)


@test
def nobody_there_is_told_at_once():
    port = free_ports(1)[0]
    for scheme, path in (("dns", "/a.example"), ("udp", ""), ("dns+tcp", "/a.example")):
        for flags in (("-d", "60s"), ("-n", "40"), ("--rate", "1000", "-d", "60s"), ("--find-max",))[:4 if scheme == "dns" else 2]:
            begun = time.monotonic()
            status, figures, _, errors = load(f"{scheme}://127.0.0.1:{port}{path}", *flags)
            equal(status, 1, f"the exit status of {scheme} {flags}")
            true(errors.endswith("Connection refused; is the server running?\n"), f"{scheme} {flags}: {errors}")
            true(time.monotonic() - begun < 30, "it does not take as long as a run")
            true(figures is None or figures["errors"]["reset"] == 0, f"nothing was reset: {figures}")


@test
def misuse_is_told_with_file_and_line():
    with tempfile.NamedTemporaryFile(mode="w", suffix=".queries") as file:
        file.write("www.example.com A\nwww.example.com BOGUS\n")
        file.flush()
        for words, expected, hint in (
                (["dns://127.0.0.1", "--queries", file.name], 1, f"{file.name}:2: BOGUS is no type"),
                (["dns://127.0.0.1", "--queries", "/nowhere/queries"], 1, "/nowhere/queries: cannot be read: No such file"),
                (["dns://127.0.0.1"], 2, "what is to be asked? Write dns://HOST/NAME?type=A, or --queries FILE"),
                (["dns://127.0.0.1/a", "--queries", file.name], 2, "without a name here"),
                (["dns://127.0.0.1/a?type=NONE"], 2, "NONE is no type"), (["dns://127.0.0.1/a?tpye=A"], 2, "tpye=A is not understood"),
                (["http://127.0.0.1/", "--queries", file.name], 2, "are for dns://"), (["dns://127.0.0.1/a", "--edns", "100"], 2, "from 512"),
                (["dns://127.0.0.1/a", "--outstanding", "5", "--rate", "7"], 2, "--outstanding is for a closed loop"),
                (["dns+tcp://127.0.0.1/a", "--trains"], 2, "--trains is for udp:// and dns://"),
                (["dns+tls://127.0.0.1/a", "--handshakes", "full"], 2, "--handshakes is for https://")):
            status, _, errors = output_of([LOAD, *words])
            equal(status, expected, f"the exit status of {words}: {errors}")
            true(hint in errors, f"{words}: {errors}")


@test
def a_server_that_dies_midway_ends_the_run():
    for scheme in ("dns", "dns+tcp"):
        with Dns() as server:
            process = subprocess.Popen([LOAD, f"{scheme}://127.0.0.1:{server.port}/www.example.com", "-c", "8", "-d", "30s", "--warmup",
                                        "0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            loaded(server.process.pid)
            server.process.kill()
            out, errors = process.communicate(timeout=20)
            equal(process.returncode, 1, "the exit status")
            true("went away" in errors and "Connection refused" in errors, f"it says what happened: {errors}")
            true(" answers in" in out and "answers: " in out, f"and what was measured:\n{out}")


run()
