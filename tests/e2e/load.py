# SPDX-License-Identifier: GPL-3.0-or-later
"""A closed-loop client: each of its connections sends a request, waits for the answer, checks it, and goes on.

It does what browsers and proxies do: a connection that the server announced to close (Connection: close) is opened anew,
and that is no failure. Everything else that goes wrong is one, and kept with its reason.
"""

import selectors
import socket
import threading
import time


class Loop:
    def __init__(self, port, selector, target):
        self.port = port
        self.selector = selector
        self.request = f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
        self.socket = None
        self.used = False  # this connection has had an answer
        self.data = b""
        self.sent_at = 0.0

    def open(self):
        self.close()
        self.socket = socket.create_connection(("127.0.0.1", self.port), 20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(self.socket, selectors.EVENT_READ, self)
        self.used = False

    def close(self):
        if self.socket is not None:
            self.selector.unregister(self.socket)
            self.socket.close()
            self.socket = None

    def send(self):
        self.data = b""
        self.sent_at = time.monotonic()
        self.socket.sendall(self.request)

    def answered(self):
        """None while the answer is incomplete; then whether the connection goes on."""
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self.data[:end].lower()
        if not head.startswith(b"http/1.1 200 "):
            raise ValueError("not a 200: " + self.data[:60].decode("latin-1"))
        at = head.index(b"\r\ncontent-length:") + 17
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(self.data) < end + 4 + length:
            return None
        if len(self.data) > end + 4 + length:
            raise ValueError("bytes behind the answer")
        return b"\r\nconnection: close" not in head


class Load(threading.Thread):
    """`with Load(port, connections) as load: …` and then load.requests and load.failures: (when, what, whether the
    connection had been served before)."""

    def __init__(self, port, connections=16, target="/icon.svg"):
        super().__init__(daemon=True)
        self.port, self.connections, self.target = port, connections, target
        self.requests = 0
        self.reopened = 0
        self.slowest = 0.0
        self.failures = []
        self.ending = False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending = True
        self.join(15)

    def fail(self, loop, error):
        self.failures.append((time.monotonic(), f"{type(error).__name__}: {error}", loop.used))
        loop.close()
        if len(self.failures) > 1000:
            self.ending = True
            return
        self.begin(loop, error)

    def begin(self, loop, after=None):
        try:
            loop.open()
            loop.send()
        except OSError as error:
            self.failures.append((time.monotonic(), f"connecting: {error}" + (f" after {after}" if after else ""), False))
            time.sleep(0.01)
            self.pending.append(loop)

    def read(self, loop):
        try:
            data = loop.socket.recv(65536)
            if not data:
                raise ConnectionError("closed in the middle of an answer" if loop.data else "closed without an answer")
            loop.data += data
            goes_on = loop.answered()
            if goes_on is None:
                return
            self.requests += 1
            self.slowest = max(self.slowest, time.monotonic() - loop.sent_at)
            loop.used = True
            if not goes_on:
                self.reopened += 1
                loop.close()
                self.begin(loop)
            else:
                loop.send()
        except (OSError, ValueError) as error:
            self.fail(loop, error)

    def run(self):
        self.pending = []
        with selectors.DefaultSelector() as selector:
            loops = [Loop(self.port, selector, self.target) for _ in range(self.connections)]
            for loop in loops:
                self.begin(loop)
            while not self.ending and len(self.failures) <= 1000:
                for key, _ in selector.select(0.1):
                    if key.data.socket is not None:
                        self.read(key.data)
                again, self.pending = self.pending, []
                for loop in again:
                    self.begin(loop)
                self.look_for_stalls(loops)
            for loop in loops:
                loop.close()

    def look_for_stalls(self, loops):
        now = time.monotonic()
        for loop in loops:
            if loop.socket is not None and now - loop.sent_at > 10:
                self.fail(loop, TimeoutError("no answer in ten seconds"))
