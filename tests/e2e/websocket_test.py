# SPDX-License-Identifier: GPL-3.0-or-later
"""WebSockets of `gyre http`, as browsers, other programs and abusers meet them."""

import contextlib
import os
import random
import shutil
import signal
import struct
import zlib

from browser import Browser, program
from configured import Configured
from harness import PROGRAM, Connection, Skip, busy_s, equal, failing, output_of, patiently, run, test, true, until
from websocket_peer import BINARY, CLOSE, PING, PONG, TEXT, Peer

BLOCK = """
    websocket /echo { echo; origin any; }
    websocket /small { echo; max-message 100; subprotocol chat.v2 chat; max-connections 1; }
    websocket /room { broadcast; origin any; }
    websocket /quick { echo; ping 1s; ping-timeout 2s; }
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
    patiently(slow_one_is_let_go)


def slow_one_is_let_go(_patience):
    """It hears why if it reads within the five seconds for which the server waits."""
    with Sockets() as server, Peer(server.port, "/room") as slow, Peer(server.port, "/room") as speaker, failing(ConnectionError):
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
def a_server_that_leaves_says_so():
    with Sockets(BLOCK, "1;\ndrain-timeout 20s") as server, Peer(server.port) as one, Peer(server.port, "/room") as other:
        one.say(TEXT, b"unfinished", fin=False)
        before = server.pid
        server.signal(signal.SIGTERM)
        for peer in (one, other):
            equal(peer.hear(), (CLOSE, struct.pack(">H", 1001) + b"the server is leaving"))
            peer.say(CLOSE, struct.pack(">H", 1001))
            true(peer.closed(), "the server closes when it was answered")
        equal(server.process.wait(18), 0, f"the exit status of {before}, long before its drain would be over")


@test
def messages_that_never_become_whole_do_not_keep_memory_from_others():
    """A worker has 64 MiB for what it writes, and messages lie there until they are whole."""
    begin = b"\x82\xff" + struct.pack(">Q", 1 << 20) + b"\1\2\3\4" + bytes((1 << 20) - 10)
    with Sockets() as server, contextlib.ExitStack() as stack:
        for _ in range(72):
            peer = stack.enter_context(Peer(server.port))
            peer.socket.settimeout(1)
            with contextlib.suppress(OSError):  # nothing more of it is read once all is used up
                peer.send(begin)
        def some_ended():
            with contextlib.suppress(ConnectionError):  # without memory an answer may be cut short
                return server.metrics()["gyre_streams_evicted_total"] > 0
        until(some_ended, "some are ended, for those who wait")
        until(server.answers, "who asks is answered")
        with Peer(server.port) as other:
            other.say(BINARY, b"x" * 300000)
            equal(other.hear(), (BINARY, b"x" * 300000))


# ---- permessage-deflate ----------------------------------------------------------------------------------------------

PACKED = """
    websocket /packed { echo; compress on; }
    websocket /small  { echo; compress on; compress-window 10; compress-context off; max-message 100k; }
    websocket /few    { echo; compress on; compress-memory 400k; }
    websocket /room   { broadcast; compress on; }
    websocket /plain  { echo; }
"""


def packed(compressor, data):
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def counted(server, name, label=""):
    values = [value for key, value in server.metrics().items() if key.split("{")[0] == name and label in key]
    true(values, f"there is {name}")
    return sum(values)  # of the servers, the admin listener's too


@test
def compression_is_agreed_on_where_it_may_be():
    offered = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    with Sockets(PACKED) as server:
        for path, fields, wanted in (("/packed", (offered,), "permessage-deflate"),
                                     ("/small", (offered,), "permessage-deflate; server_no_context_takeover; "
                                      "client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=10"),
                                     ("/small", ("Sec-WebSocket-Extensions: permessage-deflate",), None),
                                     ("/packed", ("Sec-WebSocket-Extensions: x-other, permessage-deflate; "
                                                  "server_max_window_bits=9",), "permessage-deflate; server_max_window_bits=9"),
                                     ("/packed", (), None), ("/plain", (offered,), None)):
            with Peer(server.port, path, *fields) as peer:
                equal(peer.handshake.status, 101)
                equal(peer.handshake.fields.get("sec-websocket-extensions"), wanted, f"{path} {fields}")
        # A connection takes 308 KiB at most with whole windows: there is room for one.
        with Peer(server.port, "/few", offered) as first, Peer(server.port, "/few", offered) as second:
            equal(first.handshake.fields.get("sec-websocket-extensions"), "permessage-deflate")
            equal(second.handshake.fields.get("sec-websocket-extensions"), None)
        equal(counted(server, "gyre_websocket_compression_declined_total"), 1)
        def again():
            with Peer(server.port, "/few", offered) as third:
                return third.handshake.fields.get("sec-websocket-extensions") == "permessage-deflate"
        until(again, "what a connection had is there for another")


@test
def compressed_messages_come_back():
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    with Sockets(PACKED) as server:
        for path, bits, keeps in (("/packed", 15, True), ("/small", 10, False)):
            with Peer(server.port, path, offer) as peer:
                out, inflater = zlib.compressobj(6, zlib.DEFLATED, -bits), zlib.decompressobj(-bits)
                for length in (1, 63, 64, 1000, 65536, 100000):
                    data = (b"The same words, again and again. " * (length // 33 + 1))[:length]
                    peer.send_packed(BINARY, packed(out, data))
                    first, payload = peer.hear_any()
                    equal(first, 0x80 | BINARY | (0x40 if length >= 64 else 0))
                    if length >= 64:
                        payload = inflater.decompress(payload + b"\0\0\xff\xff")
                    true(payload == data, f"the echo of {length} bytes, {path}")
                    if not keeps:
                        out, inflater = zlib.compressobj(6, zlib.DEFLATED, -bits), zlib.decompressobj(-bits)


@test
def blocks_that_say_they_are_the_last_cost_no_more_than_others():
    """RFC 7692 7.2.3.4 allows them, and such a block may be two bytes long."""
    with Sockets(PACKED) as server, Peer(server.port, "/packed", "Sec-WebSocket-Extensions: permessage-deflate") as peer:
        noise = random.Random(7692).randbytes(40000)  # which fills the window
        inflater = zlib.decompressobj(-15)
        for blocks in (b"", b"\3\0" * 450000):
            before = busy_s(server.pid)
            peer.send_packed(BINARY, zlib.compress(noise, 6, wbits=-15) + blocks + b"\0")
            true(inflater.decompress(peer.hear_any()[1] + b"\0\0\xff\xff") == noise, "the echo")
            true(busy_s(server.pid) - before < 0.4, f"{busy_s(server.pid) - before:.2f} s for {len(blocks)} bytes")


@test
def what_websockets_do_is_counted():
    with Sockets(PACKED) as server:
        with Peer(server.port, "/plain") as peer, Peer(server.port, "/room") as other:
            peer.say(TEXT, b"hello")
            equal(peer.hear(), (TEXT, b"hello"))
            other.say(TEXT, b"to all")
            equal(other.hear(), (TEXT, b"to all"))
            equal(counted(server, "gyre_websocket_connections"), 2)
            equal(counted(server, "gyre_websocket_messages_total", 'direction="in"'), 2)
            equal(counted(server, "gyre_websocket_message_bytes_total", 'direction="out"'), 11)
            peer.send(b"\x81\x05Hello")
            equal(peer.hear()[0], CLOSE)
        until(lambda: counted(server, "gyre_websocket_connections") == 0, "nobody is there any more")
        equal(counted(server, "gyre_websocket_failures_total", 'reason="protocol"'), 1)


@test
def bombs_are_refused():
    with Sockets(PACKED) as server, Peer(server.port, "/small", "Sec-WebSocket-Extensions: permessage-deflate; "
                                         "client_max_window_bits") as peer:
        peer.send_packed(BINARY, packed(zlib.compressobj(9, zlib.DEFLATED, -10), bytes(30 << 20)))
        equal(peer.hear()[1][:2], struct.pack(">H", 1009))
        true(peer.closed(), "the server closes behind it")


@test
def a_broadcast_comes_compressed_to_who_asked_for_it():
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    with Sockets(PACKED) as server, Peer(server.port, "/room", offer) as one, Peer(server.port, "/room") as other:
        inflater = zlib.decompressobj(-15)
        for i in range(3):
            data = b"to all, to all, to all, to all, to all, to all, to all, to all, to all, to all: %d" % i
            other.say(TEXT, data)
            equal(other.hear(), (TEXT, data))
            first, payload = one.hear_any()
            equal((first, inflater.decompress(payload + b"\0\0\xff\xff")), (0x80 | 0x40 | TEXT, data))


@test
def a_broadcast_goes_to_the_connections_of_all_workers_in_one_order():
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    with Sockets(PACKED, 3) as server:
        peers = [Peer(server.port, "/room", *((offer,) if i % 5 == 4 else ())) for i in range(24)]
        inflaters = [zlib.decompressobj(-15) for _ in peers]

        def hear(index):
            first, payload = peers[index].hear_any()
            return inflaters[index].decompress(payload + b"\0\0\xff\xff") if first & 0x40 else payload

        try:
            for i in range(40):
                for speaker in range(5):
                    peers[speaker].say(TEXT, b"%d %d " % (speaker, i) + b"word " * (i % 30))
            order = [hear(0) for _ in range(200)]
            for index in range(1, len(peers)):
                equal([hear(index) for _ in range(200)], order, f"what peer {index} heard")
            for speaker in range(5):
                equal([int(line.split()[1]) for line in order if line.startswith(b"%d " % speaker)], list(range(40)))
            big = os.urandom(300000)
            peers[1].say(BINARY, big)
            for index, _ in enumerate(peers):
                true(hear(index) == big, "a message of many pieces")
            true(counted(server, "gyre_websocket_relayed_messages_total") > 0, "other workers had them")
            equal(counted(server, "gyre_websocket_messages_total", 'direction="out"'), 201 * len(peers))
        finally:
            for peer in peers:
                peer.close()


@test
def who_says_more_than_the_workers_can_pass_on_waits_and_loses_nothing():
    # As short as they are, a worker finds more of them at once than the 256 that may be under way, and has to wait however
    # fast the others are.
    count = 6000
    with Sockets(BLOCK, 4) as server, Peer(server.port, "/room") as speaker:
        listeners = [Peer(server.port, "/room") for _ in range(8)]
        try:
            speaker.send(b"".join(speaker.frame(BINARY, struct.pack(">I", i)) for i in range(count)))
            for peer in [speaker, *listeners]:
                for i in range(count):
                    equal(peer.hear()[1], struct.pack(">I", i))
            true(counted(server, "gyre_websocket_relay_pauses_total") > 0, "nothing was read for a while")
            equal(counted(server, "gyre_websocket_messages_refused_total"), 0)
        finally:
            for peer in listeners:
                peer.close()


@test
def a_server_of_several_workers_stops_in_the_middle_of_broadcasts():
    with Sockets(BLOCK, "4;\ndrain-timeout 2s") as server:
        peers = [Peer(server.port, "/room") for _ in range(12)]
        for peer in peers:
            peer.send(b"".join(peer.frame(BINARY, bytes(2000)) for _ in range(50)))
        try:
            equal(server.stop(), 0, "the exit status after SIGTERM")
        finally:
            for peer in peers:
                peer.close()


@test
def a_silent_peer_is_pinged_then_given_up():
    def given_up(patience):
        block = BLOCK.replace("ping 1s; ping-timeout 2s;", f"ping 1s; ping-timeout {2 * patience}s;")
        with Sockets(block) as server, Peer(server.port, "/quick") as peer, failing(OSError):
            equal(peer.hear(), (PING, b""))
            peer.say(PONG)
            equal(peer.hear(), (PING, b""))
            true(peer.closed(40), "a peer that does not answer is given up")

    patiently(given_up)


@test
def mistakes_in_a_block_are_explained():
    mistakes = [
        ("websocket /a { }", "write echo; or broadcast;"),
        ("websocket a { echo; }", "is no path"),
        ("websocket /a { echo; broadcast; }", "not both"),
        ("websocket /a { echo; compress-window 8; }", "9 to 15"),
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


run()
