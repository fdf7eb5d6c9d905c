# SPDX-License-Identifier: GPL-3.0-or-later
"""What an embedder gets: the installed headers, libraries and gyre.pc, and nothing of the source folder."""

import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time

from harness import ALARMS, Connection, equal, output_of, run, test, tool, true

BUILD = os.environ.get("GYRE_BUILD", "")
HELLO = os.environ.get("GYRE_HELLO", "")
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


@test
def hello_is_built_from_what_is_installed_and_serves():
    program = os.path.join(FOLDER.name, "hello")
    sanitize = [] if SANITIZE == "none" else ["-fsanitize=" + SANITIZE]
    status, _, errors = output_of([*CC, *WARNINGS, *sanitize, "-o", program, HELLO, *installed()["flags"]], 60,
                                  cwd=FOLDER.name)
    equal(status, 0, errors)
    with tempfile.TemporaryFile() as log:
        # The example says what it listens on in its log alone, so the port is chosen here.
        port = free_port()
        process = subprocess.Popen([program, f"127.0.0.1:{port}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
        try:
            answer = hello(port)
            equal(answer.status, 200)
            equal(answer.body, b"Hello, world!\n")
            equal(answer.fields["content-type"], "text/plain")
            process.send_signal(signal.SIGTERM)
            equal(process.wait(20), 0, "the exit status after SIGTERM")
            log.seek(0)
            text = log.read().decode()
            true(not ALARMS.search(text), text)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def hello(port):
    deadline = time.monotonic() + 10
    while True:
        try:
            with Connection(port) as connection:
                return connection.get("/any/where")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


run()
