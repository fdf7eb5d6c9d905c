# SPDX-License-Identifier: GPL-3.0-or-later
"""What an embedder gets: the installed headers, libraries and gyre.pc, and nothing of the source folder."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

from chat_crash import Chat
from harness import ALARMS, PROGRAM, Connection, equal, free_ports, output_of, run, test, true, until
from installed import CC, FOLDER, WARNINGS, installed

EMBED = os.environ.get("GYRE_EMBED", "")
SANITIZE = os.environ.get("GYRE_SANITIZE", "none")


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

    def __init__(self, name, *arguments, flags="flags"):
        self.arguments = arguments
        self.program = os.path.join(FOLDER.name, name)
        sanitize = [] if SANITIZE == "none" else ["-fsanitize=" + SANITIZE]
        source = os.path.join(EMBED, name + ".c")
        status, _, errors = output_of([*CC, *WARNINGS, *sanitize, "-o", self.program, source, *installed()[flags]],
                                      60, cwd=FOLDER.name)
        equal(status, 0, errors)

    def __enter__(self):
        self.port = free_ports(1)[0]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([self.program, *self.arguments, f"127.0.0.1:{self.port}"], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, start_new_session=True)
        return self

    def connect(self):
        deadline = time.monotonic() + 30
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
                self.log.seek(0)  # nobody writes any more
                text = self.log.read().decode()
                true(not ALARMS.search(text), text)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@test
def a_bot_is_built_from_what_is_installed_and_answers_in_a_room():
    bot = Embedder("chat_bot")
    with Chat() as chat, chat.guest("anna") as anna, tempfile.TemporaryFile() as log:
        anna.join("garden")
        process = subprocess.Popen([bot.program, f"127.0.0.1:{chat.ports['port']}", "garden"], stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log)
        try:
            anna.hear("CAME", nick="dicebot")
            anna.send("garden", "!dice")
            true(re.fullmatch("anna throws a [1-6]", anna.hear("MESSAGE").contents), "what it answers")
            chat.kill_serving()
            until(chat.answers, "it serves again")
            with chat.guest("bert") as bert:
                bert.join("garden")
                bert.send("garden", "!count")
                equal(bert.hear("MESSAGE", sender="dicebot").contents, "I have seen 2 messages")
        finally:
            process.kill()
            process.wait()
            log.seek(0)
            text = log.read().decode()
        true(not ALARMS.search(text), text)


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


@test
def a_server_of_reliable_udp_is_built_from_what_is_installed_and_serves():
    with Embedder("rudp") as embedder:
        status, text, errors = output_of([PROGRAM, "rudp", "ping", f"127.0.0.1:{embedder.port}", "--plaintext", "--json",
                                          "--guarantee", "ordered", "--count", "3", "--interval", "1"])
        equal(status, 0, errors)
        equal(json.loads(text)["guarantees"]["ordered"]["received"], 3)


@test
def a_server_of_encrypted_reliable_udp_is_built_from_what_is_installed_and_shows_its_certificate():
    with tempfile.TemporaryDirectory() as folder:
        status, _, errors = output_of([PROGRAM, "cert", "--dir", folder])
        equal(status, 0, errors)
        with Embedder("rudp_tls", os.path.join(folder, "localhost.pem"), flags="flags_tls") as embedder:
            ping = [PROGRAM, "rudp", "ping", f"localhost:{embedder.port}", "--json", "--guarantee", "ordered", "--count", "3",
                    "--interval", "1"]
            status, text, errors = output_of([*ping, "--ca", os.path.join(folder, "authority.pem")])
            equal(status, 0, errors)
            equal(json.loads(text)["guarantees"]["ordered"]["received"], 3)
            status, _, errors = output_of(ping)
            equal(status, 1, "an authority that nobody trusts")
            true("certificate" in errors, errors)
            status, _, errors = output_of([*ping, "--plaintext"])
            equal(status, 1, "without encryption")
            true("encryption only" in errors, errors)
        status, _, errors = output_of([embedder.program, os.path.join(folder, "nothing.pem"), f"127.0.0.1:{free_ports(1)[0]}"])
        equal(status, 1, "without a certificate")
        true("nothing.pem" in errors, errors)


@test
def what_is_installed_has_a_unit_a_manual_and_the_documents():
    prefix = installed()["prefix"]
    with open(f"{prefix}/lib/systemd/system/gyre.service", encoding="utf-8") as file:
        unit = file.read()
    true("@" not in unit, f"every place is filled in:\n{unit}")
    program = re.search(r"^ExecStart=(\S+) serve --config \S+/gyre/gyre.conf$", unit, re.M)[1]
    true(os.access(prefix + "/bin/" + os.path.basename(program), os.X_OK), f"{program} is what is installed")
    for name in ("configuration", "tls", "chat", "measuring"):
        true(os.path.getsize(f"{prefix}/share/doc/gyre/{name}.md") > 1000, f"{name}.md is there")
    with open(f"{prefix}/share/man/man1/gyre.1", encoding="utf-8") as file:
        manual = file.read()
    commands = re.findall(r"^  (\w+) {2,}", output_of([PROGRAM, "--help"])[1].split("Commands:")[1], re.M)
    true(len(commands) > 8, f"commands: {commands}")
    for command in commands:
        true(f".B {command}" in manual, f"the manual has {command}")


run()
