# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus of malformed requests (tests/http/malformed), sent to a live server. One test for each kind of case: the
part of their names before the first dash."""

import glob
import os
import re
import selectors
import socket
import time

import harness
from harness import Server, equal, run, true

FOLDER = os.environ.get("GYRE_CORPUS", "")
PATIENT = os.environ.get("GYRE_PATIENT", "")
TOGETHER = 64

ESCAPE = re.compile(rb"\\(?:([rnt\\])|x([0-9a-f]{2})|\{(\d+):([^}]*)\})")
PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def unescape(text):
    def one(match):
        plain, code, times, repeated = match.groups()
        if plain:
            return PLAIN[plain]
        return bytes.fromhex(code.decode()) if code else unescape(repeated) * int(times)
    return ESCAPE.sub(one, text)


class Case:
    def __init__(self, path):
        self.name = os.path.basename(path)[: -len(".http")]
        with open(path, "rb") as file:
            head, _, text = file.read().partition(b"\n--\n")
        lines = dict(line.split(b": ", 1) for line in head.split(b"\n") if not line.startswith(b"#") and b": " in line)
        self.expect = lines[b"expect"].decode().split()
        self.input_ends = b"input-ends" in lines
        self.bytes = unescape(text.replace(b"\n", b""))
        self.socket = None
        self.answer = b""
        self.sent = 0
        self.closed = False

    def open(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setblocking(False)

    def write(self):
        try:
            self.sent += self.socket.send(self.bytes[self.sent:])
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self.sent = len(self.bytes)  # it has had enough
            return
        if self.sent == len(self.bytes) and self.input_ends:
            self.socket.shutdown(socket.SHUT_WR)

    def read(self):
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self.answer += data
        self.closed = not data

    def got(self):
        return [status.decode() for status in STATUS.findall(self.answer)] + ["close" if self.closed else "open"]

    def settled(self):
        """Whether nothing more is to come. One that stays open can never be sure: others are waited for."""
        return self.closed or (self.expect[-1] == "open" and self.got() == self.expect and self.sent == len(self.bytes))


def ask(port, cases):
    with selectors.DefaultSelector() as selector:
        for case in cases:
            case.open(port)
            selector.register(case.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, case)
        deadline = time.monotonic() + 40
        grace = None
        while time.monotonic() < deadline:
            if all(case.settled() for case in cases):
                # A little longer: an answer too many, or a close that should not be, still counts.
                grace = grace or time.monotonic() + 0.3
                if time.monotonic() > grace:
                    break
            for key, events in selector.select(0.05):
                case = key.data
                if events & selectors.EVENT_READ:
                    case.read()
                if events & selectors.EVENT_WRITE:
                    case.write()
                if case.closed:
                    selector.unregister(case.socket)
                elif case.sent == len(case.bytes) and selector.get_key(case.socket).events != selectors.EVENT_READ:
                    selector.modify(case.socket, selectors.EVENT_READ, case)
    for case in cases:
        case.socket.close()


def kind_of_case(kind, cases):
    def check():
        with Server(program=PATIENT) as server:
            for at in range(0, len(cases), TOGETHER):
                ask(server.port, cases[at : at + TOGETHER])
            wrong = [f"{c.name}: {' '.join(c.got())}, not {' '.join(c.expect)}" for c in cases if c.got() != c.expect]
            equal(wrong, [], "cases answered wrongly")
    check.__name__ = f"{kind}_is_answered_right_{len(cases)}_cases"
    return check


def collect():
    kinds = {}
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.http"))):
        case = Case(path)
        kinds.setdefault(case.name.split("-")[0], []).append(case)
    for kind, cases in kinds.items():
        harness.test(kind_of_case(kind, cases))


@harness.test
def there_is_a_corpus():
    true(len(harness.TESTS) > 3, f"cases were found in {FOLDER}")


collect()
run()
