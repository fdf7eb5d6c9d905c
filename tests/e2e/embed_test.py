# SPDX-License-Identifier: GPL-3.0-or-later
"""What an embedder gets: the installed headers, libraries and gyre.pc, and nothing of the source folder."""

import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import ALARMS, Connection, equal, output_of, run, test, tool, true

BUILD = os.environ.get("GYRE_BUILD", "")
EMBED = os.environ.get("GYRE_EMBED", "")
CC = shlex.split(os.environ.get("CC", "cc"))
SANITIZE = os.environ.get("GYRE_SANITIZE", "none")
WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]

FOLDER = tempfile.TemporaryDirectory(prefix="gyre-embed-")
INSTALLED = {}


def installed():
    """Installs once; the prefix as it lies in our folder, and pkg-config's answer."""
    if not INSTALLED:
        root = os.path.join(FOLDER.name, "root")
        meson = shlex.split(os.environ.get("MESON", "")) or [tool("meson")]
        status, out, errors = output_of([*meson, "install", "-C", BUILD, "--no-rebuild", "--destdir", root], 60)
        equal(status, 0, out + errors)
        found = [os.path.join(at, "gyre.pc") for at, _, names in os.walk(root) if "gyre.pc" in names]
        equal(len(found), 1, "pkg-config files")
        # It names the place it will be in; this is a rehearsal.
        with open(found[0], encoding="utf-8") as file:
            text = file.read()
        prefix = root + re.search(r"^prefix=(.*)$", text, re.MULTILINE).group(1)
        with open(found[0], "w", encoding="utf-8") as file:
            file.write(re.sub(r"^prefix=.*$", f"prefix={prefix}", text, flags=re.MULTILINE))
        # Where gyre.pc finds liburing.pc, if that was built by ci/setup.
        path = ":".join([os.path.dirname(found[0]), os.environ.get("GYRE_REQUIRES", ""),
                         os.environ.get("PKG_CONFIG_PATH", "")])
        status, flags, errors = output_of([tool("pkg-config"), "--static", "--cflags", "--libs", "gyre"],
                                          env={**os.environ, "PKG_CONFIG_PATH": path})
        equal(status, 0, errors)
        INSTALLED.update(prefix=prefix, flags=shlex.split(flags))
    return INSTALLED


def headers():
    include = os.path.join(installed()["prefix"], "include")
    for at, _, names in os.walk(include):
        for name in names:
            yield include, os.path.relpath(os.path.join(at, name), include)


@test
def each_installed_header_stands_alone():
    names = sorted(headers())
    true(len(names) > 20, "headers are installed")
    for include, name in names:
        true(name.startswith("gyre/") and name.endswith(".h"), f"{name} lies under gyre/")
        status, _, errors = output_of([*CC, *WARNINGS, "-fsyntax-only", "-I", include, "-x", "c", "-"],
                                      data=f"#include <{name}>\n#include <{name}>\n")
        equal(status, 0, f"<{name}> by itself: {errors}")


@test
def installed_headers_do_not_need_liburing():
    for include, name in headers():
        with open(os.path.join(include, name), encoding="utf-8") as file:
            true(not re.search(r"#\s*include\s*<liburing", file.read()), f"<{name}> does not include liburing")


class Embedder:
    """A program of tests/embed, compiled by what pkg-config says and started on a free port."""

    def __init__(self, name):
        self.program = os.path.join(FOLDER.name, name)
        sanitize = [] if SANITIZE == "none" else ["-fsanitize=" + SANITIZE]
        source = os.path.join(EMBED, name + ".c")
        status, _, errors = output_of([*CC, *WARNINGS, *sanitize, "-o", self.program, source, *installed()["flags"]],
                                      60, cwd=FOLDER.name)
        equal(status, 0, errors)

    def __enter__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([self.program, f"127.0.0.1:{self.port}"], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, start_new_session=True)
        return self

    def connect(self):
        deadline = time.monotonic() + 10
        while True:
            try:
                return Connection(self.port)
            except ConnectionRefusedError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.process.send_signal(signal.SIGTERM)
                equal(self.process.wait(20), 0, "the exit status after SIGTERM")
                self.log.seek(0)
                text = self.log.read().decode()
                true(not ALARMS.search(text), text)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@test
def hello_is_built_from_what_is_installed_and_serves():
    with Embedder("hello") as embedder, embedder.connect() as connection:
        answer = connection.get("/any/where")
        equal(answer.status, 200)
        equal(answer.body, b"Hello, world!\n")
        equal(answer.fields["content-type"], "text/plain")


@test
def a_protocol_of_ones_own_is_built_from_what_is_installed_and_serves():
    with Embedder("echo") as embedder, embedder.connect() as connection:
        text = b"".join(b"%d bottles " % i for i in range(60000))
        sender = threading.Thread(target=lambda: (connection.send(text), connection.socket.shutdown(socket.SHUT_WR)))
        sender.start()
        equal(connection.exactly(len(text)) == text, True, "what comes back")
        sender.join(10)
        true(connection.closed(), "and the connection ends")


run()
