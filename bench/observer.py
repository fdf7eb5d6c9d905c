#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long servers take to answer, as the wire saw it: without what the asking side's own processor adds.

A client that shares its processor with others reads its answers late, and a percentile of its latencies is partly of that.
Here the end is the kernel's stamp on the answer's last packet (SO_TIMESTAMPNS), put on it as it came out of the server, and the
beginning is the clock read right before the request is sent: what is between is the server's, however late this program
gets to read. Requests are due at random instants (Poisson), whatever became of those before. One that finds all of its
connections waiting for answers counts from when it was due.

    bench/observer.py '{"files": {"port": 8080, "path": "/small.html"}, "echo": {"port": 7}}' RATE SECONDS

RATE is of each server; one without a path gets eight bytes, and is to send them back. To standard output, JSON:
{"files": {"requests": [[began, took, taken], …], "unanswered": 0, "waited": 0}}, in nanoseconds, `began` by CLOCK_REALTIME;
`taken` is for how long this program did not run while it sent, for all that it had begun: its processor was taken away. "waited" is
how many requests found no connection.
"""

import collections
import gc
import json
import random
import select
import socket
import struct
import sys
import time

CONNECTIONS = 32  # to each server
SO_TIMESTAMPNS = 35
STAMP = struct.Struct("=qq")


class Unstamped(OSError):
    """An answer came without a stamp."""


class Peer:
    """One connection, on which one request at a time is under way."""

    def __init__(self, server, port):
        self.server = server
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.began = self.left = self.taken = 0

    def fileno(self):
        return self.socket.fileno()

    def ask(self, due=None):
        self.left = self.server.answer_bytes
        used = time.thread_time_ns()
        now = time.time_ns()
        self.began = due or now
        self.socket.send(self.server.request)
        self.taken = max(time.time_ns() - now - (time.thread_time_ns() - used), 0)

    def read(self):
        """[began, took, taken], None while there is more to come."""
        data, control, _, _ = self.socket.recvmsg(1 << 16, 64)
        if not data:
            raise ConnectionError(f"{self.server.name} closed a connection")
        self.left -= len(data)
        if self.left > 0:
            return None
        for level, kind, value in control:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = STAMP.unpack(value[: STAMP.size])
                return self.began, seconds * 10**9 + nanoseconds - self.began, self.taken
        raise Unstamped("the kernel stamps no packets (SO_TIMESTAMPNS)")


class Server:
    def __init__(self, name, spec, rate):
        self.name, self.rate = name, rate
        path = spec.get("path")
        self.request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() if path else b"observed"
        self.answer_bytes = len(self.request) if not path else self.learn(spec["port"])
        self.idle = [Peer(self, spec["port"]) for _ in range(CONNECTIONS)]
        self.queue = collections.deque()
        self.requests, self.waited = [], 0
        self.due = 0

    def learn(self, port):
        """An answer's length: its head's, which is the same each time, and its content's."""
        with socket.create_connection(("127.0.0.1", port), 5) as peer:
            peer.send(self.request)
            data = b""
            while b"\r\n\r\n" not in data:
                piece = peer.recv(1 << 16)
                if not piece:
                    raise ConnectionError(f"{self.name} did not answer")
                data += piece
            head = data.partition(b"\r\n\r\n")[0]
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    return len(head) + 4 + int(line.partition(b":")[2])
        raise ValueError(f"{self.name}: an answer without a length")

    def await_stamps(self):
        """The kernel begins to stamp packets some time after it was asked to."""
        peer, tries = self.idle[0], 0
        while True:
            tries += 1
            try:
                peer.ask()
                while peer.read() is None:
                    pass
                return
            except Unstamped:
                if tries == 200:
                    raise
                time.sleep(0.01)

    def step(self, now):
        """Asks what is due."""
        while self.due <= now:
            if self.idle:
                self.idle.pop().ask()
            else:
                self.waited += 1
                self.queue.append(self.due)
            self.due += random.expovariate(self.rate) * 1e9

    def answered(self, peer, request):
        self.requests.append(request)
        if self.queue:
            peer.ask(int(self.queue.popleft()))
        else:
            self.idle.append(peer)

    def result(self):
        return {"requests": self.requests, "waited": self.waited,
                "unanswered": CONNECTIONS - len(self.idle) + len(self.queue)}


def observe(servers, seconds):
    peers = [peer for server in servers for peer in server.idle]
    start = time.time_ns()
    end = start + seconds * 1e9
    for server in servers:
        server.due = start + random.expovariate(server.rate) * 1e9
    while True:
        now = time.time_ns()
        if now >= end and (now >= end + 1e9 or all(len(server.idle) == CONNECTIONS for server in servers)):
            return
        if now < end:
            for server in servers:
                server.step(now)
        until = min(server.due for server in servers) if now < end else now + 5e7
        ready, _, _ = select.select(peers, [], [], max(until - time.time_ns(), 0) / 1e9)
        for peer in ready:
            request = peer.read()
            if request is not None:
                peer.server.answered(peer, request)


def main():
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    servers = [Server(name, spec, float(sys.argv[2])) for name, spec in json.loads(sys.argv[1]).items()]
    for server in servers:
        server.await_stamps()
    gc.disable()
    observe(servers, float(sys.argv[3]))
    print(json.dumps({server.name: server.result() for server in servers}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
