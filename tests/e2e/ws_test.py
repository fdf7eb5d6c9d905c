# SPDX-License-Identifier: GPL-3.0-or-later
"""`gyre ws` and gyre-load ws:// against gyre http, and against servers that misbehave."""

import base64
import hashlib
import os
import signal
import socket
import struct
import subprocess
import tempfile
import time

from configured import Configured
from generator import load
from harness import ALARMS, PROGRAM, equal, output_of, patiently, run, test, true, until
from scripted import Listener
from terminal import shown_by
from websocket_peer import CLOSE, GUID, PING, TEXT

BLOCK = """
    websocket /echo { echo; subprotocol chat.v2 chat; origin any; }
    websocket /room { broadcast; }
    websocket /packed { echo; compress on; compress-window 10; }
    websocket /strict { echo; origin https://good.example; }
"""


class Sockets(Configured):
    def __init__(self, inside=BLOCK):
        super().__init__(f"workers 1;\nhttp {{ listen 127.0.0.1:{{port}}; fixed on;\n{inside}\n}}\n")

    def url(self, path="/echo"):
        return f"ws://127.0.0.1:{self.port}{path}"


class Secure(Sockets):
    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


def ws(*arguments, data="", seconds=30):
    """(exit status, stdout, stderr)"""
    status, out, errors = output_of([PROGRAM, "ws", *arguments], seconds, data)
    true(not ALARMS.search(errors), f"no sanitizer complains: {errors}")
    return status, out, errors


def without_others(data):
    """From a client's Close on, or from what is not yet a whole frame: its others may come together with it."""
    while len(data) >= 2 and data[0] != 0x80 | CLOSE and len(data) >= 6 + (data[1] & 0x7F) and data[1] & 0x7F < 126:
        data = data[6 + (data[1] & 0x7F):]
    return data


class ScriptedWebSocket(Listener):
    """Says on its connection after the handshake what a test wants."""

    def __init__(self, behave, *fields, status="101 Switching Protocols"):
        self.behave, self.fields, self.status = behave, fields, status
        self.request = b""
        super().__init__()
        self.url = f"ws://127.0.0.1:{self.port}/"

    def serve(self, connection, _number):
        connection.settimeout(10)
        request = b""
        while b"\r\n\r\n" not in request:
            more = connection.recv(4096)
            if not more:
                return
            request += more
        self.request = request
        key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        lines = [f"HTTP/1.1 {self.status}", "Upgrade: websocket", "Connection: Upgrade", *self.fields]
        if not any("Accept" in field for field in self.fields):
            lines.append("Sec-WebSocket-Accept: " + accept)
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.behave(connection)
        data = b""
        while more := connection.recv(4096):
            data = without_others(data + more)
            if data[:1] == bytes([0x80 | CLOSE]):
                connection.sendall(frame(CLOSE))
                break


def frame(opcode, payload=b"", fin=True):
    return bytes([(0x80 if fin else 0) | opcode, len(payload)]) + payload


def closing(code, reason=b""):
    return lambda connection: connection.sendall(frame(CLOSE, struct.pack(">H", code) + reason))


# ---- gyre ws --------------------------------------------------------------------------------------------------------


@test
def what_is_piped_in_comes_back_as_lines():
    with Sockets() as server:
        equal(ws("--wait", "0", server.url(), data="hello\nκόσμε\n\nthe last, without an end"),
              (0, "hello\nκόσμε\n\nthe last, without an end\n", ""))
        equal(ws("--wait", "0", server.url(), data=""), (0, "", ""))
        for data in ("".join(f"line {i}\n" for i in range(30000)), "\n" * 100000, "x" * 900000 + "\n"):
            status, out, errors = ws("--wait", "0", server.url(), data=data)
            equal((status, errors), (0, ""))
            true(out == data, "every line comes back")
        status, out, errors = ws("--wait", "0", "--compress", server.url("/packed"), data="Hello, hello, hello!\n" * 9000)
        equal((status, errors), (0, ""))
        true(out == "Hello, hello, hello!\n" * 9000, "every line comes back, compressed on the way")


@test
def bytes_come_back_as_they_are():
    data = os.urandom(1 << 20)
    with Sockets() as server:
        done = subprocess.run([PROGRAM, "ws", "--binary", server.url()], input=data, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=30, check=False)
        equal((done.returncode, done.stderr), (0, b""))
        true(done.stdout == data, "every byte comes back")


@test
def input_that_cannot_be_sent_is_explained():
    with Sockets() as server:
        for data, why in ((b"good\n\xff\xfe\n", "line 2 of the input is not UTF-8"),
                          (b"x" * ((1 << 20) + 1), "line 1 of the input is longer than 1048576 bytes")):
            done = subprocess.run([PROGRAM, "ws", server.url()], input=data, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=30, check=False)
            equal(done.returncode, 1)
            true(why in done.stderr.decode(), done.stderr)


@test
def handshakes_ask_for_what_was_said():
    with Sockets() as server:
        equal(ws("--subprotocol", "chat", "--subprotocol=chat.v2", server.url(), data="a\n")[:2], (0, "a\n"))
        status, _, errors = ws("--subprotocol", "other", server.url())
        equal(status, 1)
        true("none of the subprotocols" in errors, errors)
        equal(ws("--origin", "https://good.example", server.url("/strict"), data="a\n")[:2], (0, "a\n"))
        status, _, errors = ws("--origin", "https://evil.example", server.url("/strict"))
        equal(status, 1)
        true("answered 403" in errors, errors)
        status, _, errors = ws(server.url("/nothing/here"))
        equal(status, 1)
        true("where 101 opens a WebSocket" in errors, errors)
    with ScriptedWebSocket(closing(1000)) as server:
        equal(ws("-H", "X-Token: secret", server.url)[0], 0)
        true(b"\r\nX-Token: secret\r\n" in server.request, server.request)


@test
def a_count_ends_it():
    with ScriptedWebSocket(lambda connection: connection.sendall(frame(TEXT, b"one") + frame(TEXT, b"two") + frame(TEXT, b"three"))
                  ) as server:
        equal(ws("--count", "2", server.url), (0, "one\ntwo\n", ""))


@test
def after_the_input_it_can_go_on_listening():
    def late(connection):
        time.sleep(0.3)
        connection.sendall(frame(PING, b"?") + frame(TEXT, b"late") + frame(CLOSE, struct.pack(">H", 1000)))
    with ScriptedWebSocket(late) as server:
        equal(ws("--wait", "forever", server.url), (0, "late\n", ""))


@test
def how_a_server_closes_decides_the_exit_status():
    for code, reason, status, wanted in ((1000, b"bye", 0, ""), (1001, b"", 1, "closed with 1001, it is going away"),
                                         (1011, b"oops", 1, 'closed with 1011, it met an error of its own: "oops"'),
                                         (4321, b"", 1, "closed with 4321, a code of its application")):
        with ScriptedWebSocket(closing(code, reason)) as server:
            found = ws("--wait", "forever", server.url)
            equal(found[0], status, f"the exit status for {code} ({found})")
            true(wanted in found[2], found[2])
    with ScriptedWebSocket(lambda connection: connection.shutdown(socket.SHUT_RDWR)) as server:
        status, _, errors = ws("--wait", "forever", server.url)
        equal(status, 1)
        true("ended without a Close (1006)" in errors, errors)


@test
def servers_that_break_the_protocol_are_told_of():
    for behave, fields, wanted in (
            (lambda connection: connection.sendall(b"\x81\x85\1\2\3\4hello"), (), "a frame of the server is masked"),
            (lambda connection: connection.sendall(frame(TEXT, b"\xff")), (), "not UTF-8"),
            (closing(1000), ("Sec-WebSocket-Accept: " + "A" * 27 + "=",), "is not the one for our key"),
            (closing(1000), ("Sec-WebSocket-Protocol: unasked",), "a subprotocol that was not asked for"),
            (closing(1000), ("Sec-WebSocket-Extensions: permessage-deflate",), "an extension that was not asked for")):
        with ScriptedWebSocket(behave, *fields) as server:
            status, _, errors = ws("--wait", "forever", server.url)
            equal(status, 1)
            true(wanted in errors, f"{wanted}: {errors}")


@test
def misuse_is_told_apart():
    for arguments, wanted in ((["http://host/"], "begins with ws:// or wss://"), ([], "no URL"),
                              (["ws://a/", "ws://b/"], "one URL at a time"), (["--nonsense", "ws://a/"], "unknown flag"),
                              (["--count", "0", "ws://a/"], "not a number"), (["--insecure", "ws://a/"], "for wss://"),
                              (["ws://a/#x"], "no fragment"), (["--subprotocol", "a b", "ws://a/"], "token")):
        status, _, errors = ws(*arguments)
        equal(status, 2, f"{arguments}: {errors}")
        true(wanted in errors, f"{arguments}: {errors}")
    status, _, errors = ws("ws://127.0.0.1:1/")
    equal(status, 1)
    true("refused" in errors.lower(), errors)


@test
def a_terminal_is_shown_what_would_command_it():
    behave = lambda connection: connection.sendall(frame(TEXT, b"a\x1b[31mb\x07\xc2\x9b") + frame(CLOSE, struct.pack(">H", 1000)))
    with ScriptedWebSocket(behave) as server:
        status, out = shown_by([PROGRAM, "ws", server.url], "stdin", "stdout")
        equal(status, 0)
        true(b"< a^[[31mb^G<9B>" in out and b"\x1b" not in out, out)


@test
def a_control_that_two_fragments_share_is_shown_too():
    def behave(connection):
        connection.sendall(frame(TEXT, b"a\xc2", fin=False) + frame(0, b"\x9b31m\xc2", fin=False) + frame(0, b"", fin=False))
        connection.sendall(frame(0, b"\xb5") + frame(CLOSE, struct.pack(">H", 1000)))
    with ScriptedWebSocket(behave) as server:
        status, out = shown_by([PROGRAM, "ws", server.url], "stdin", "stdout")
        equal(status, 0)
        true(b"< a<9B>31m\xc2\xb5" in out, out)


@test
def a_message_of_many_small_fragments_becomes_whole():
    def behave(connection):
        connection.sendall(frame(TEXT, b"a", fin=False) + frame(0, b"b", fin=False) * 30000 + frame(0, b"c"))
    with ScriptedWebSocket(behave) as server:
        status, out, errors = ws("--wait", "forever", "--count", "1", server.url)
        equal((status, errors), (0, ""))
        true(out == "a" + "b" * 30000 + "c\n", f"all of it, not {len(out)} bytes")


@test
def what_a_server_says_of_itself_commands_no_terminal():
    for server in (ScriptedWebSocket(closing(4000, b"x\xc2\x9b31m\x1b")), ScriptedWebSocket(closing(4000), status="403 x\x9b31m?")):
        with server:
            status, _, errors = ws("--wait", "forever", server.url)
            equal(status, 1)
            true("x?31m?" in errors and "\x9b" not in errors, errors)


@test
def an_interrupt_says_goodbye():
    heard = []
    def listen(connection):
        connection.sendall(frame(TEXT, b"hello"))
        heard.append(connection.recv(100))
    with ScriptedWebSocket(listen) as server:
        process = subprocess.Popen([PROGRAM, "ws", server.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        equal(process.stdout.readline(), b"hello\n", "it is connected")
        process.send_signal(signal.SIGINT)
        equal(process.wait(20), 130)
        process.stdin.close()
        process.stdout.close()
        until(lambda: heard, "something is heard")
        equal(heard[0][:2], b"\x88\x82", "a Close with a code")


@test
def wss_checks_who_the_server_is():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([PROGRAM, "cert", "--dir", folder], check=True, stdout=subprocess.DEVNULL)
        with Secure(BLOCK + f"certificate {folder}/localhost.pem;\n") as server:
            url = f"wss://localhost:{server.port}/echo"
            authority = ["--ca", f"{folder}/authority.pem"]
            equal(ws("--wait", "0", *authority, url, data="secret\n"), (0, "secret\n", ""))
            equal(load(url, *authority, "-c", "2", "-n", "50")[0], 0)
            status, out, errors = ws(url, data="secret\n")
            equal((status, out), (1, ""))
            true("authority" in errors or "trust" in errors or "issuer" in errors, errors)
            status, out, errors = ws("--insecure", url, data="secret\n")
            equal((status, out), (0, "secret\n"))
            true("WARNING: --insecure" in errors, errors)


# ---- gyre-load ------------------------------------------------------------------------------------------------------


@test
def every_echo_is_checked():
    with Sockets() as server:
        for flags in (["-c", "8", "--pipeline", "4", "-n", "2000"], ["-c", "4", "--size", "70000", "-n", "100"],
                      ["-c", "8", "--rate", "2000", "-d", "500ms", "--warmup", "100ms"], ["-c", "2", "-t", "2", "-n", "50"]):
            status, figures, _, errors = load(server.url(), *flags)
            late = "--rate" in flags and not figures["rate_reached"]  # of a busy machine
            equal((status, figures["errors"]["total"], figures["broadcast"]), (int(late), 0, False), f"{flags}: {errors}")
            true(figures["answered_total"] >= 50, "it was answered")


@test
def a_broadcast_comes_to_all():
    with Sockets() as server:
        for flags in (["-c", "20", "-n", "300"], ["-c", "5", "--pipeline", "8", "-n", "300"],
                      ["-c", "10", "--rate", "300", "-d", "500ms", "--warmup", "0"]):
            status, figures, _, errors = load(server.url("/room"), "--broadcast", *flags)
            late = "--rate" in flags and not figures["rate_reached"]  # of a busy machine
            equal((status, figures["errors"]["total"], figures["broadcast"]), (int(late), 0, True), f"{flags}: {errors}")
            count = int(flags[1])
            if "-n" in flags:
                equal(figures["deliveries"], 300 * count)
            # Behind a warm-up it would not be so: a message is answered when the last has it, and the first may have had it before.
            true(figures["deliveries"] >= figures["answered"] * count, f"each came to all: {figures['answered']}, {figures['deliveries']}")


@test
def a_broadcast_that_is_an_echo_is_found_out():
    def found_out(patience):
        status, figures, _, errors = load(server.url(), "--broadcast", "-c", "3", "-n", "3", "--timeout", f"{300 * patience}ms")
        equal(status, 1)
        true(figures and figures["errors"]["timeout"] > 0, errors or figures)

    with Sockets() as server:
        patiently(found_out)


@test
def a_server_without_a_websocket_is_named():
    with Sockets() as server:
        status, _, _, errors = load(server.url("/nothing"), "-c", "1", "-n", "1")
        equal(status, 1)
        true("where 101 opens a WebSocket" in errors, errors)


@test
def a_server_that_echoes_wrongly_is_found_out():
    def behave(connection):
        while data := connection.recv(4096):
            payload = bytes(byte ^ data[2 + i % 4] for i, byte in enumerate(data[6:]))
            connection.sendall(frame(TEXT, payload[:-1] + b"!"))
    with ScriptedWebSocket(behave) as server:
        status, figures, _, _ = load(server.url, "-c", "1", "-n", "3")
        equal((status, figures["errors"]["wrong_body"]), (1, 3))


run()
