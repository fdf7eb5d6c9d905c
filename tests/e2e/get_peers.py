# SPDX-License-Identifier: GPL-3.0-or-later
"""What `gyre get` is tested against: gyre http, Python's http.server, and servers that say what they are told to."""

import contextlib
import functools
import http.server
import socket
import tempfile
import threading
import time

from harness import ALARMS, PROGRAM, Server, output_of, true
from scripted import Listener


def get(*arguments, **more):
    """(exit status, stdout, stderr)"""
    status, out, errors = output_of([PROGRAM, "get", *arguments], **more)
    true(not ALARMS.search(errors), f"no sanitizer complains: {errors}")
    return status, out, errors


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory(prefix="gyre-get-") as path:
        yield path


def written(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return data


def content(path):
    with open(path, "rb") as file:
        return file.read()


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def python_server(path):
    handler = functools.partial(Quiet, directory=path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # a client that leaves is what some tests are about
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class ScriptedHttp(Listener):
    """Answers each request with what `answer(path, fields, connection)` returns: bytes, seconds or an event to wait for, and None to close.
    Remembers requests and counts connections."""

    def __init__(self, answer, host="127.0.0.1", family=socket.AF_INET):
        self.answer = answer
        self.requests = []
        super().__init__(host, family)
        self.address = f"http://127.0.0.1:{self.port}"

    def serve(self, connection, number):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            head, data = data.split(b"\r\n\r\n", 1)
            lines = head.decode("latin-1").split("\r\n")
            fields = {n.lower(): v.strip() for n, v in (line.split(":", 1) for line in lines[1:])}
            self.requests.append((lines[0], fields))
            answers = self.answer(lines[0].split(" ")[1], fields, number)
            for part in answers if isinstance(answers, tuple) else (answers,):
                if part is None:
                    return
                if isinstance(part, bytes):
                    connection.sendall(part)
                elif isinstance(part, threading.Event):
                    part.wait(60)
                else:
                    time.sleep(part)


class FilesOf(Server):
    def answers(self):
        with contextlib.suppress(OSError):
            return self.get("/").status == 200
        return False
