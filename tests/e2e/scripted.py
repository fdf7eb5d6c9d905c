# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers that do what a test tells them: listeners, what stands between two ends, and what answers datagrams. Each has a port of its own
of the loopback interface, `port`, until its block ends."""

import contextlib
import select
import socket
import threading


class Listener:
    """Accepts connections, and has each dealt with by `serve(connection, number)`, which a subclass has, in a thread of its own. The first
    one's number is 1; `connections` counts them. A peer that leaves is no error."""

    def __init__(self, host="127.0.0.1", family=socket.AF_INET, port=0):
        self.connections = 0
        self.listener = socket.create_server((host, port), family=family, backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.refuse()
        self.listener.close()

    def refuse(self):
        """From now on; the port stays taken."""
        with contextlib.suppress(OSError):  # it may have been done
            self.listener.shutdown(socket.SHUT_RDWR)  # ends an accept that waits

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                threading.Thread(target=self.one, args=(connection, self.connections), daemon=True).start()

    def one(self, connection, number):
        with contextlib.suppress(OSError), connection:
            self.serve(connection, number)


class Scripted(Listener):
    """Does `behave(connection, number)` with each connection."""

    def __init__(self, behave, port=0):
        self.behave = behave
        super().__init__(port=port)
        self.url = f"http://127.0.0.1:{self.port}/"

    def serve(self, connection, number):
        self.behave(connection, number)


# ---- over HTTP/1.1 --------------------------------------------------------------------------------------------------


def answer(status, body=b"", *fields):
    """The bytes of one."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answering(*answers):
    """For Scripted: requests get these answers in turn, the last one for ever; None closes the connection."""
    def behave(connection, _number):
        sent = 0
        data = b""
        while more := connection.recv(65536):
            data += more
            while b"\r\n\r\n" in data:
                data = data.split(b"\r\n\r\n", 1)[1]
                said = answers[min(sent, len(answers) - 1)]
                sent += 1
                if said is None:
                    return
                connection.sendall(said)
    return behave


# ---- between two ends -----------------------------------------------------------------------------------------------


class Relay(Listener):
    """Passes connections on to another port, until it is told to cut them."""

    def __init__(self, target):
        self.target, self.open, self.pairs = target, True, []
        super().__init__()

    def serve(self, connection, number):
        if not self.open:
            return
        far = socket.create_connection(("127.0.0.1", self.target))
        with far:
            self.pairs.append((connection, far))
            back = threading.Thread(target=self.pump, args=(far, connection, number, True), daemon=True)
            back.start()
            self.pump(connection, far, number, False)
            back.join()

    def passes(self, data, number, back):  # pylint: disable=unused-argument
        """Whether these bytes go on; `back`: they are from the other port."""
        return True

    def pump(self, source, sink, number, back):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.passes(data, number, back):
                    sink.sendall(data)
        end_both(source, sink)

    def cut(self):
        """All that there are."""
        for pair in self.pairs:
            end_both(*pair)
        self.pairs.clear()

    def __exit__(self, *rest):
        self.open = False
        self.cut()
        super().__exit__(*rest)


def end_both(*connections):
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


# ---- datagrams ------------------------------------------------------------------------------------------------------


class Datagrams:
    """A socket, and a thread that does `run()`, which a subclass has, for as long as there is something from `ready()`."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.socket.close()

    def ready(self, others):
        """This socket and what is in `others`, which may change, one by one as there is something to be read from them."""
        while not self.ended.is_set():
            yield from select.select([self.socket, *others], [], [], 0.05)[0]


class ScriptedDatagrams(Datagrams):
    """Answers datagram number n (from 0) with behave(n, data): a list of answers."""

    def __init__(self, behave):
        self.behave = behave
        super().__init__()

    def run(self):
        for number, ready in enumerate(self.ready(())):
            data, peer = ready.recvfrom(65536)
            for said in self.behave(number, data):
                ready.sendto(said, peer)
