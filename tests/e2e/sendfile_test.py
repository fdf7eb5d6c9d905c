# SPDX-License-Identifier: GPL-3.0-or-later
"""Large files, which are sent from the kernel's cache by reference (core/file_range.h): what arrives, and what happens to
files, disks and peers meanwhile."""

import contextlib
import hashlib
import os
import random
import socket
import time

from configured import Configured
from harness import Connection, Skip, alive, equal, run, test, true, until
import secure

LARGE = 12 << 20
LONG = (64 << 20) + (5 << 20)  # more than one range


def whole(size, seed=1):
    return random.Random(seed).randbytes(size)


def digest(data):
    return hashlib.sha256(data).digest()


def digest_of(c):
    """Of an answer's body that is too long to be put together."""
    c.line()
    while line := c.line():
        if line.lower().startswith("content-length:"):
            left = int(line.split(":")[1])
    found = hashlib.sha256()
    while left > 0:
        if not c.data:
            c.more()
        piece, c.data = c.data[:left], c.data[left:]
        found.update(piece)
        left -= len(piece)
    return found.digest()


class Serving(Configured):
    """`root` of `http` with these files, and an admin listener."""

    def __init__(self, files, keys="", more=""):
        super().__init__(f"workers 1;\nadmin 127.0.0.1:{{admin}};\nhttp {{ listen 127.0.0.1:{{port}}; root {{folder}}; {keys} }}\n{more}")
        for name, data in files.items():
            with open(self.path(name), "wb") as file:
                file.write(data)
        with open(self.path("gyre.conf"), "rb") as file:
            try:
                os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
            except OSError as error:
                self.end()
                raise Skip(f"the file system of {self.folder} cannot say what it has in memory: {error}") from error

    def answers(self):
        try:
            return self.get("/").status > 0
        except OSError:
            return False

    def path(self, name):
        return os.path.join(self.folder, name)

    def count(self, name):
        return self.metrics()[f"gyre_{name}_total"]


@test
def large_files_arrive_whole_by_reference():
    data = {name: whole(size, size) for name, size in (("a", LARGE), ("b", LONG), ("c", 65536), ("d", 65489), ("e", 1 << 20))}
    with Serving(data) as server, Connection(server.port) as c:
        for _ in range(2):
            for name, body in data.items():
                c.request("GET", "/" + name)
                equal(digest_of(c), digest(body), name)
        true(server.count("file_sent_bytes") >= 2 * (LARGE + LONG), "they were sent by reference")
        equal(server.count("file_failures"), 0)


@test
def ranges_arrive_as_they_were_asked_for():
    body = whole(LARGE)
    with Serving({"a": body}) as server, Connection(server.port) as c:
        source = random.Random(5)
        for _ in range(40):
            first = source.randrange(LARGE)
            last = min(LARGE, first + source.choice((1, 1000, 65535, 65536, 65537, 1 << 20, 5 << 20))) - 1
            answer = c.get("/a", f"Range: bytes={first}-{last}")
            equal(answer.status, 206)
            equal(digest(answer.body), digest(body[first:last + 1]), f"{first}-{last}")
        answer = c.get("/a", "Range: bytes=0-99999,200000-299999")
        true(body[:100000] in answer.body and body[200000:300000] in answer.body, "several in one answer")
        true(server.count("file_sends") > 0, "by reference")


@test
def answers_keep_their_order_among_files_and_memory():
    data = {"large": whole(3 << 20), "small": b"small"}
    with Serving(data) as server, Connection(server.port) as c:
        order = random.Random(2).choices(("large", "small", "missing"), k=40)
        c.send("".join(f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n" for name in order).encode())
        for name in order:
            answer = c.answer()
            if name in data:
                equal(digest(answer.body), digest(data[name]), name)
            else:
                equal(answer.status, 404)


@test
def it_can_be_turned_off_and_secure_streams_do_without():
    data = {"a": whole(LARGE)}
    inside = "sendfile off;"
    more = (f"http two {{ listen 127.0.0.1:{{other}}; root {{folder}}; certificate {secure.path_of('localhost.pem')}; }}\n")
    with Serving(data, inside, more) as server:
        equal(digest(server.get("/a").body), digest(data["a"]))
        with secure.Secure(server.ports["other"]) as c:
            equal(digest(c.get("/a").body), digest(data["a"]))
        equal(server.count("file_sends"), 0)


def drop_from_cache(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        for _ in range(100):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            try:
                os.preadv(file.fileno(), [bytearray(1)], 1 << 20, os.RWF_NOWAIT)
            except BlockingIOError:
                return
    raise Skip("the files of this folder stay in memory")


@test
def what_is_on_the_disk_alone_arrives_as_well():
    body = whole(LARGE)
    with Serving({"a": body, "small": b"small"}) as server, Connection(server.port) as c:
        for _ in range(2):
            drop_from_cache(server.path("a"))
            equal(digest(c.get("/a").body), digest(body))
        true(server.count("file_cold_reads") > 0, "it was read first")
        true(server.count("file_sent_bytes") > LARGE, "and sent by reference then")


@test
def a_file_that_shrinks_or_goes_while_it_is_sent_is_told_from_a_whole_one():
    body = whole(LARGE)
    with Serving({"a": body, "b": body}) as server:
        slow = {name: Connection(server.port) for name in ("a", "b")}
        for name, c in slow.items():
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            c.request("GET", "/" + name)
            until(lambda c=c: c.more() or len(c.data) > 100000, "it begins")
        os.truncate(server.path("a"), 5 << 20)
        os.unlink(server.path("b"))
        answer = slow["b"].answer()
        equal(digest(answer.body), digest(body), "a file without a name is still there")
        received = len(slow["a"].data)
        with contextlib.suppress(ConnectionResetError):
            while data := slow["a"].socket.recv(1 << 20):
                received += len(data)
        true(received < LARGE, f"it ends early: {received}")
        until(lambda: server.count("file_failures") == 1, "it is counted")
        equal(len(server.get("/a").body), 5 << 20, "what is there now is served whole")
        for c in slow.values():
            c.close()


@test
def slow_readers_get_all_of_it_and_hold_up_nobody():
    body = whole(2 << 20)
    with Serving({"a": body, "small": b"small"}) as server:
        slow = []
        for _ in range(100):
            c = Connection(server.port)
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            c.request("GET", "/a")
            slow.append(c)
        with Connection(server.port) as c:
            for _ in range(50):
                equal(c.get("/small").body, b"small")
        until(lambda: server.count("file_send_waits") >= 100, "each waits")
        before, began = server.count("turns"), time.monotonic()
        time.sleep(0.3)
        turns, took = server.count("turns") - before, time.monotonic() - began
        true(turns < 400 * max(1, took / 0.3), f"those who do not read are not asked again and again: {turns} turns in {took:.1f} s")
        for c in slow[:3]:
            equal(digest(c.answer().body), digest(body))
        for c in slow:
            c.close()
        until(lambda: server.metrics()["gyre_connections_open"] < 5, "nothing of them is left")


@test
def a_download_outlives_a_reload():
    body = whole(LARGE)
    with Serving({"a": body, "status.json": b"{}"}) as server, Connection(server.port) as c:
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        c.request("GET", "/a")
        until(lambda: c.more() or len(c.data) > 100000, "it begins")
        server.reload()
        equal(digest(c.answer().body), digest(body))
        true(alive(server.pid), "it serves on")
        equal(digest(server.get("/a").body), digest(body), "so does the new process")


if __name__ == "__main__":
    run()
