# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre rudp forward: TCP connections over reliable UDP, to a server with --relay."""

import hashlib
import os
import random
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

from harness import ALARMS, PROGRAM, equal, failing, free_ports, patiently, resident_bytes, run, test, true, until
from reliable import Certificates, Rudp
from scripted import Scripted


class Forward:
    """`gyre rudp forward` to a relay."""

    def __init__(self, relay_port, *flags, mode=("--plaintext",)):
        self.port = free_ports(1)[0]
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([PROGRAM, "rudp", "forward", f"127.0.0.1:{self.port}", f"127.0.0.1:{relay_port}", *mode,
                                         *flags], stdout=subprocess.PIPE, stderr=self.errors)
        line = self.process.stdout.readline().decode()
        true("listening on" in line, f"it listens: {line}{self.log()}")

    def log(self):
        self.errors.seek(0)
        return self.errors.read().decode()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.terminate()
        status = self.process.wait(timeout=20)
        self.process.stdout.close()
        log = self.log()
        self.errors.close()
        if kind is None:
            equal(status, 0, log)
            true(not ALARMS.search(log), log[-3000:])

    def connect(self, seconds=20):
        connection = socket.create_connection(("127.0.0.1", self.port), seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def relay(target, *flags, mode=("--plaintext",), workers=1):
    return Rudp("--relay", f"127.0.0.1:{target.port}", *flags, mode=mode, workers=workers)


def echo(connection, _number=None):
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def read_all(connection):
    parts = []
    while data := connection.recv(1 << 20):
        parts.append(data)
    return b"".join(parts)


@test
def many_connections_at_once_get_their_own_bytes_encrypted():
    wrong = []

    def one(forward, seed):
        content = random.Random(seed).randbytes(200000 + seed)
        with forward.connect() as connection:
            sender = threading.Thread(target=lambda: (connection.sendall(content), connection.shutdown(socket.SHUT_WR)))
            sender.start()
            if read_all(connection) != content:
                wrong.append(seed)
            sender.join()

    with Scripted(echo) as target, Certificates() as files, relay(target, mode=("--tls", files.server), workers=2) as server, \
            Forward(server.port, mode=files.trust) as forward:
        threads = [threading.Thread(target=one, args=(forward, seed)) for seed in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal((wrong, target.connections), ([], 40))


@test
def a_half_closed_connection_still_answers():
    def late(connection, _number):
        digest = hashlib.sha256(read_all(connection)).digest()
        connection.sendall(digest)

    with Scripted(late) as target, relay(target) as server, Forward(server.port) as forward, forward.connect() as connection:
        content = os.urandom(3000000)
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        equal(read_all(connection), hashlib.sha256(content).digest())


@test
def a_reader_that_does_not_read_holds_its_writer_and_nobody_else():
    written = [0]

    def flood(connection, _number):
        if connection.recv(1) == b"e":
            echo(connection)
            return
        while True:
            written[0] += connection.send(bytes(65536))

    with Scripted(flood) as target, relay(target) as server, Forward(server.port) as forward:
        with forward.connect() as slow, forward.connect() as other:
            slow.sendall(b"f")
            until(lambda: written[0] > 0, "it writes")
            other.sendall(b"e")
            before = -1
            while before != written[0]:  # until it is held
                before = written[0]
                time.sleep(0.3)
            for _ in range(20):
                other.sendall(b"x" * 1000)
                got = b""
                while len(got) < 1000:
                    got += other.recv(1000)
            # The sockets' buffers of the kernel are the most of it: four of up to 6 MiB.
            true(written[0] < 32 << 20, f"{written[0]} bytes were written")
            true(resident_bytes(forward.process.pid) < 300 << 20, "memory is bounded")


@test
def a_reset_of_one_side_is_a_reset_of_the_other():
    ended, begun = [], threading.Event()

    def reset(connection, _number):
        first = connection.recv(1)
        begun.set()
        if first == b"r":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        try:
            connection.recv(1)
        except ConnectionResetError:
            ended.append(True)

    with Scripted(reset) as target, relay(target) as server, Forward(server.port) as forward:
        with forward.connect() as connection:
            connection.sendall(b"r")
            try:
                equal(connection.recv(1), None, "a reset")
            except ConnectionResetError:
                pass
        begun.clear()
        connection = forward.connect()
        connection.sendall(b"w")
        true(begun.wait(30), "it is connected, and what was sent is there")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        until(lambda: ended, "the target sees a reset")


@test
def without_a_target_connections_are_reset_and_it_is_said_why():
    with Scripted(echo, free_ports(1)[0]) as target:
        pass
    with relay(target) as server, Forward(server.port) as forward, forward.connect() as connection:
        try:
            equal(connection.recv(1), None, "a reset")
        except ConnectionResetError:
            pass
        until(lambda: "refused" in forward.log(), "it says why")


@test
def when_the_server_is_killed_connections_are_reset_and_new_ones_work():
    def said_hello(connection):
        with failing(OSError):
            connection.sendall(b"hello")
            equal(connection.recv(5), b"hello")

    def killed(patience):
        with Scripted(echo) as target, relay(target) as server, Forward(server.port, "--timeout", f"{1500 * patience}") as forward:
            with forward.connect(40) as connection:  # longer than the forwarder waits for a server that is silent
                said_hello(connection)
                os.kill(int(server.log().rsplit("process ", 1)[1].split()[0]), signal.SIGKILL)
                try:
                    connection.sendall(b"more")
                    equal(connection.recv(5), None, "a reset")
                except ConnectionResetError:
                    pass
            until(lambda: "connected to" in forward.log(), "it is connected again")
            with forward.connect() as connection:
                said_hello(connection)

    patiently(killed)


@test
def a_server_that_does_not_relay_is_not_waited_for():
    def given_up(patience):
        port = free_ports(1)[0]
        with subprocess.Popen([PROGRAM, "rudp", "forward", f"127.0.0.1:{port}", f"127.0.0.1:{server.port}", "--plaintext", "--timeout",
                               f"{800 * patience}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as forward:
            true("listening on" in forward.stdout.readline(), "it listens")
            with socket.create_connection(("127.0.0.1", port), timeout=40) as connection:
                try:
                    equal(connection.recv(1), None, "a reset")
                except ConnectionResetError:
                    pass
            _, said = forward.communicate(timeout=40)
            equal(forward.returncode, 1, said)
            true(f"has answered nothing for {1.2 * patience:.1f} s" in said and "--relay" in said and not ALARMS.search(said), said)

    with Rudp("--sink") as server:
        patiently(given_up)


@test
def errors_say_what_was_being_done():
    for words, wanted in ((["forward", "127.0.0.1:0", "127.0.0.1:1", "--plaintext", "--timeout", "300"], "is `gyre rudp serve`"),
                          (["forward", "127.0.0.1:0"], "HOST:PORT"), (["forward", "nonsense", "127.0.0.1:1"], "nonsense"),
                          (["serve", "--plaintext", "--relay", "nowhere"], "HOST:PORT")):
        done = subprocess.run([PROGRAM, "rudp", *words], capture_output=True, text=True, timeout=20, check=False)
        true(done.returncode != 0 and wanted in done.stderr, f"{words}: {done.stderr}")


run()
