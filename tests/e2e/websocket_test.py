# SPDX-License-Identifier: GPL-3.0-or-later
"""WebSockets of `gyre http`, as browsers, other programs and abusers meet them."""

import os
import random
import shutil
import struct
import subprocess

from browser import Browser, program
from configured import Configured
from harness import PROGRAM, Connection, Skip, equal, output_of, run, test, true
from websocket_peer import BINARY, CLOSE, PING, PONG, TEXT, Peer

BLOCK = """
    websocket /echo { echo; origin any; }
    websocket /small { echo; max-message 100; subprotocol chat.v2 chat; max-connections 1; }
    websocket /room { broadcast; origin any; }
    websocket /quick { echo; ping 1s; ping-timeout 1s; }
"""


class Sockets(Configured):
    def __init__(self, inside=BLOCK, workers=1):
        super().__init__(f"workers {workers};\nadmin 127.0.0.1:{{admin}};\n"
                         f"http {{ listen 127.0.0.1:{{port}}; fixed on;\n{inside}\n}}\n")

    def answers(self):
        try:
            return self.get("/").status == 200
        except OSError:
            return False


@test
def messages_come_back():
    generator = random.Random(6455)
    with Sockets() as server, Peer(server.port) as peer:
        equal(peer.handshake.status, 101)
        for length in (0, 1, 125, 126, 511, 512, 513, 65535, 65536, 300000):
            payload = generator.randbytes(length)
            peer.say(BINARY, payload)
            equal(peer.hear(), (BINARY, payload), f"the echo of {length} bytes")
        peer.say(TEXT, "κόσμε".encode()[:3], fin=False)
        peer.say(PING, b"between")
        peer.say(0, "κόσμε".encode()[3:])
        equal(peer.hear(), (PONG, b"between"))
        equal(peer.hear(), (TEXT, "κόσμε".encode()))
        peer.say(CLOSE, struct.pack(">H", 1000) + b"done")
        equal(peer.hear(), (CLOSE, struct.pack(">H", 1000)))
        true(peer.closed(), "the server closes first")


@test
def many_messages_in_one_piece():
    with Sockets() as server, Peer(server.port) as peer:
        peer.send(b"".join(peer.frame(TEXT, b"%d" % i) for i in range(5000)))
        for i in range(5000):
            equal(peer.hear(), (TEXT, b"%d" % i))


@test
def the_site_beside_it_goes_on():
    with Sockets() as server, Connection(server.port) as connection:
        equal(connection.get("/echo").status, 426)
        equal(connection.get("/").body, b"Hello, world!")
        equal(connection.get("/echo/more").status, 200)


@test
def bodies_for_the_site_are_dropped_as_without_sockets():
    answers = []
    for inside in (BLOCK, ""):
        with Sockets(inside) as server, Connection(server.port) as connection:
            body = b"b" * 60000
            connection.send(b"POST /form HTTP/1.1\r\nHost: a.example\r\nContent-Length: 60000\r\n\r\n" + body +
                            b"POST /form HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n" +
                            b"5\r\nhello\r\n0\r\n\r\n")
            answers.append([connection.answer().status for _ in range(2)] + [connection.get("/").status])
    equal(answers[0], answers[1])
    equal(answers[0][2], 200)


@test
def what_breaks_the_protocol_is_told():
    broken = [
        (lambda peer: peer.send(b"\x81\x05Hello"), 1002),  # not masked
        (lambda peer: peer.send(b"\xc1\x80\1\2\3\4"), 1002),
        (lambda peer: peer.say(3), 1002),
        (lambda peer: peer.say(TEXT, b"\xed\xa0\x80"), 1007),
        (lambda peer: peer.send(b"\x82\xff\x00\x00\x00\x00\x7f\xff\xff\xff\1\2\3\4"), 1009),
        (lambda peer: peer.say(CLOSE, b"\x03\xed"), 1002),
    ]
    with Sockets() as server:
        for say, code in broken:
            with Peer(server.port) as peer:
                say(peer)
                opcode, payload = peer.hear()
                equal((opcode, struct.unpack(">H", payload[:2])[0]), (CLOSE, code))
                true(peer.closed(), "the server closes behind it")


@test
def limits_and_subprotocols_of_a_path():
    with Sockets() as server:
        with Peer(server.port, "/small?token=1", "Sec-WebSocket-Protocol: chat, chat.v2") as peer:
            equal(peer.handshake.fields["sec-websocket-protocol"], "chat.v2")
            peer.say(BINARY, b"x" * 100)
            equal(peer.hear(), (BINARY, b"x" * 100))
            with Peer(server.port, "/small") as second:
                equal(second.handshake.status, 503)
            peer.say(BINARY, b"x" * 101)
            equal(peer.hear()[1][:2], struct.pack(">H", 1009))
            true(peer.closed(), "the server closes behind it")
        with Peer(server.port, "/quick", "Origin: http://evil.example") as other:
            equal(other.handshake.status, 403)


@test
def a_broadcast_reaches_everybody():
    with Sockets() as server:
        peers = [Peer(server.port, "/room") for _ in range(50)]
        try:
            peers[7].say(TEXT, b"to all")
            big = os.urandom(100000)
            for peer in peers:
                equal(peer.hear(), (TEXT, b"to all"))
            peers.pop().close()
            peers[3].say(BINARY, big)
            for peer in peers:
                equal(peer.hear(), (BINARY, big))
        finally:
            for peer in peers:
                peer.close()


@test
def who_is_too_slow_for_a_broadcast_is_let_go():
    with Sockets() as server, Peer(server.port, "/room") as slow, Peer(server.port, "/room") as speaker:
        for i in range(400):
            payload = struct.pack(">I", i) + bytes(60000)
            speaker.say(BINARY, payload)
            equal(speaker.hear(), (BINARY, payload))
        heard = 0
        while (frame := slow.hear())[0] == BINARY:
            equal(frame[1][:4], struct.pack(">I", heard), "nothing is left out before the end")
            heard += 1
        equal((frame[0], frame[1][:2]), (CLOSE, struct.pack(">H", 1013)))
        true(heard < 400, "the slow one did not get all")


@test
def a_server_stops_with_open_sockets():
    with Sockets(BLOCK, "1;\ndrain-timeout 1s") as server:
        peers = [Peer(server.port, path) for path in ("/echo", "/room", "/room", "/quick")]
        peers[0].say(TEXT, b"unfinished", fin=False)
        peers[1].send(peers[1].frame(BINARY, b"x" * 1000)[:500])
        try:
            equal(server.stop(), 0, "the exit status after SIGTERM")
        finally:
            for peer in peers:
                peer.close()


@test
def a_broadcast_needs_one_worker():
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"gyre-websocket-{os.getpid()}.conf")
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write("workers 2;\nhttp { listen 127.0.0.1:0; websocket /room { broadcast; } }\n")
        status, _, errors = output_of([PROGRAM, "serve", "--config", path])
        equal(status, 1)
        true("needs one worker" in errors, errors)
    finally:
        os.unlink(path)


@test
def a_silent_peer_is_pinged_then_given_up():
    with Sockets() as server:
        with Peer(server.port, "/quick") as peer:
            equal(peer.hear(), (PING, b""))
            peer.say(PONG)
            equal(peer.hear(), (PING, b""))
            true(peer.closed(5), "a peer that does not answer is given up")


@test
def mistakes_in_a_block_are_explained():
    mistakes = [
        ("websocket /a { }", "write echo; or broadcast;"),
        ("websocket a { echo; }", "is no path"),
        ("websocket /a { echo; broadcast; }", "not both"),
        ("websocket /a { echo; origin example.org; }", "is no origin"),
        ("websocket /a { echo; subprotocol a,b; }", "a token"),
        ("websocket /a { echo; } websocket /a { echo; }", "already"),
    ]
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"gyre-websocket-{os.getpid()}.conf")
    try:
        for text, wanted in mistakes:
            with open(path, "w", encoding="utf-8") as file:
                file.write("http { listen 127.0.0.1:0; " + text + " }\n")
            status, _, errors = output_of([PROGRAM, "serve", "--config", path])
            true(status != 0 and wanted in errors, f"{text}: {errors}")
    finally:
        os.unlink(path)


# ---- other programs -------------------------------------------------------------------------------------------------

SCRIPT = """
new Promise((resolve, reject) => {
    const socket = new WebSocket("ws://127.0.0.1:PORT/echo");
    const got = [];
    socket.binaryType = "arraybuffer";
    socket.onerror = () => reject(new Error("the socket failed"));
    socket.onopen = () => {
        socket.send("κόσμε");
        socket.send(new Uint8Array(70000).fill(7));
    };
    socket.onmessage = (event) => {
        got.push(typeof event.data === "string" ? event.data : event.data.byteLength);
        if (got.length === 2) {
            socket.close(3001, "done");
        }
    };
    socket.onclose = (event) => resolve([...got, event.code, event.wasClean].join(" "));
})
"""


@test
def chromium_talks_to_it():
    true(program(), "chromium is installed; ci/setup --test installs what the tests need")
    with Sockets() as server:
        page = Browser()
        try:
            page.open(f"http://127.0.0.1:{server.port}/")
            equal(page.evaluate(SCRIPT.replace("PORT", str(server.port))), "κόσμε 70000 3001 true")
        finally:
            page.close()


@test
def node_talks_to_it():
    node = shutil.which("node")
    if not node or output_of([node, "-p", "typeof WebSocket"])[1].strip() != "function":
        raise Skip("node is not installed, or has no WebSocket (it came with version 22)")
    with Sockets() as server:
        script = SCRIPT.replace("PORT", str(server.port)).strip() + ".then((text) => console.log(text))"
        equal(output_of([node, "-e", script])[:2], (0, "κόσμε 70000 3001 true\n"))


@test
def python3_websockets_talks_to_it():
    script = """
import asyncio, websockets
async def main():
    async with websockets.connect("ws://127.0.0.1:PORT/echo") as socket:
        await socket.send("text")
        assert await socket.recv() == "text"
        await socket.send(b"b" * 70000)
        assert await socket.recv() == b"b" * 70000
        await (await socket.ping())
asyncio.run(main())
"""
    if subprocess.run(["python3", "-c", "import websockets"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        raise Skip("python3-websockets is not installed")
    with Sockets() as server:
        status, _, errors = output_of(["python3", "-c", script.replace("PORT", str(server.port))])
        equal(status, 0, errors)


run()
