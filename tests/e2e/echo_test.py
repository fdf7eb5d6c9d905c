# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre echo over UDP and TCP, and gyre-load udp:// against it and against servers that answer badly."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

from generator import load
from harness import PROGRAM, SERVES, Server, Skip, equal, free_ports, output_of, patiently, run, test, true, until
from scripted import ScriptedDatagrams



class Echo(Server):
    """`gyre echo`, whose lines of what it listens on are in `addresses`."""

    def __init__(self, *flags, listen=("127.0.0.1:0",), lines=None, **more):  # pylint: disable=super-init-not-called
        self.errors = tempfile.TemporaryFile()
        wanted = [word for address in listen for word in ("--listen", address)]
        self.process = subprocess.Popen([PROGRAM, "echo", "--workers", "2", *wanted, *flags], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True, **more)
        self.pid = self.process.pid
        one_kind = "--udp" in flags or "--tcp" in flags
        self.ports = {}
        for _ in range(lines if lines is not None else len(listen) * (1 if one_kind else 2)):
            line = self.process.stdout.readline().decode()
            found = re.match(r"gyre echo \((\w+)\): listening on (.*):(\d+) with", line)
            if not found:
                self.end()
                raise AssertionError(f"gyre echo did not begin to listen: {line}{self.log()}")
            self.ports[found[1], found[2]] = int(found[3])
        until(lambda: " serves" in self.log(), "it serves")

    def __enter__(self):
        return self

    def udp(self, host="127.0.0.1"):
        return self.ports["UDP", host]


def dialled(host, port, source=None):
    """A socket that hears of `host`:`port` alone."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.settimeout(10)
    if source is not None:
        made.bind(source)
    made.connect((host, port))
    return made


def comes_back(host, port, data):
    with dialled(host, port) as client:
        client.send(data)
        equal(client.recv(65536), data, f"{len(data)} bytes from {host}")


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


@test
def datagrams_of_any_length_come_back():
    with Echo("--udp", "--size", "65507") as server:
        for length in (0, 1, 64, 1472, 1473, 9000, 65507):
            comes_back("127.0.0.1", server.udp(), os.urandom(length))


@test
def answers_come_from_the_address_that_was_asked():
    port = free_ports(1)[0]
    with Echo("--udp", listen=(f":{port}",)):
        for host in ("127.0.0.1", "127.0.0.2", "127.77.1.9") + (("::1",) if has_ipv6() else ()):
            comes_back(host, port, host.encode())


@test
def both_families_by_sockets_of_their_own():
    if not has_ipv6():
        raise Skip("this host has no IPv6")
    with Echo("--udp", listen=("127.0.0.1:0", "[::1]:0")) as server:
        comes_back("127.0.0.1", server.udp(), b"four")
        comes_back("::1", server.udp("[::1]"), b"six")


@test
def tcp_and_udp_together_and_discard():
    with Echo() as server:
        comes_back("127.0.0.1", server.udp(), b"datagram")
        with socket.create_connection(("127.0.0.1", server.ports["TCP", "127.0.0.1"]), 10) as client:
            data = os.urandom(1 << 20)
            got = b""
            threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)), daemon=True).start()
            while more := client.recv(1 << 16):
                got += more
            true(got == data, "a mebibyte comes back over TCP")
    with Echo("--discard") as server:
        with dialled("127.0.0.1", server.udp()) as client:
            client.send(b"x")
            client.settimeout(0.2)
            try:
                client.recv(10)
                raise AssertionError("discard answered")
            except TimeoutError:
                pass


@test
def two_echo_servers_cannot_be_made_to_talk_to_each_other():
    with Echo("--udp") as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forged:
        forged.bind(("127.0.0.2", server.udp()))  # as another one would be
        forged.settimeout(0.3)
        forged.sendto(b"loop", ("127.0.0.1", server.udp()))
        try:
            forged.recv(10)
            raise AssertionError("it was answered")
        except TimeoutError:
            pass
        until(lambda: "is not answered" in server.log(), "it says so")
        comes_back("127.0.0.1", server.udp(), b"others are")
    with Echo("--udp", "--any-port") as server:
        with dialled("127.0.0.1", server.udp(), ("127.0.0.2", server.udp())) as forged:
            forged.send(b"loop")
            equal(forged.recv(10), b"loop", "an answer on a closed network")


@test
def a_port_that_is_taken_is_said_to_be_with_its_holder():
    with Echo("--udp") as server:
        status, _, errors = output_of([PROGRAM, "echo", "--udp", "--listen", f"127.0.0.1:{server.udp()}"])
        equal(status, 1, "the exit status")
        true("the port is taken by gyre (process" in errors, errors)


@test
def misuse_is_told():
    for flags, text in ((["--size", "0"], "not a number from 1 to 65507"), (["--udp-send", "fast"], "not ring or calls"),
                        (["--udp-send"], "needs a value"), (["--bogus"], "unknown flag"), (["x"], "unknown flag"),
                        (["--admin", "127.0.0.1:0"], "no such thing here")):
        status, _, errors = output_of([PROGRAM, "echo", *flags])
        equal(status, 2, f"the exit status of {flags}")
        true(text in errors, errors)


@test
def sockets_of_the_service_manager_are_used():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as given:
        given.bind(("127.0.0.1", 0))
        port = given.getsockname()[1]
        script = 'exec 3<&%d; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" echo --udp --workers 2 --listen 127.0.0.1:%d'
        given.set_inheritable(True)
        process = subprocess.Popen(["/bin/sh", "-c", script % (given.fileno(), port), PROGRAM], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, pass_fds=(given.fileno(),), start_new_session=True)
        try:
            true(b"listening on" in process.stdout.readline(), "it listens")
            comes_back("127.0.0.1", port, b"handed over")
        finally:
            process.send_signal(signal.SIGTERM)
            equal(process.wait(20), 0, "the exit status")
            process.stdout.close()
            process.stderr.close()


def under_load(server, change, seconds):
    """Asks one after the other from several sockets while `change` runs; how many asked, how many were lost."""
    asked, lost = [0] * 4, [0] * 4
    end = time.monotonic() + seconds

    def ask(number):
        with dialled("127.0.0.1", server.udp()) as client:
            while time.monotonic() < end or (sum(asked) <= 500 and time.monotonic() < end + 60):
                data = b"%d %d" % (number, asked[number])
                asked[number] += 1
                client.send(data)
                try:
                    if client.recv(100) != data:
                        lost[number] += 1
                except (TimeoutError, ConnectionRefusedError):
                    lost[number] += 1

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    change()
    for thread in threads:
        thread.join()
    return sum(asked), sum(lost)


def reloads_lose_nothing(*flags):
    with Echo("--udp", *flags) as server:
        def change():
            for _ in range(4):
                server.reload()
        asked, lost = under_load(server, change, 4)
        true(asked > 500, f"it was under load: {asked}")
        equal(lost, 0, f"lost of {asked}")
        until(lambda: server.log().count("has drained") >= 4, "the old ones have drained")


@test
def reloads_under_load_lose_no_datagram():
    reloads_lose_nothing()


@test
def reloads_by_calls_lose_no_datagram_either():
    reloads_lose_nothing("--udp-receive", "calls", "--udp-send", "calls")


@test
def a_restart_after_a_crash_keeps_what_came_meanwhile():
    with Echo("--udp") as server:
        until(lambda: SERVES.search(server.log()), "the log says who serves")
        child = int(SERVES.search(server.log())[1])
        with dialled("127.0.0.1", server.udp()) as client:
            os.kill(child, signal.SIGKILL)
            until(lambda: not os.path.exists(f"/proc/{child}") or "generation 1" in server.log().split(" serves")[-1],
                  "it is gone")
            client.send(b"meanwhile")
            equal(client.recv(100), b"meanwhile", "the answer of the next process")


# ---- gyre-load udp:// ----

def answered(server, *flags, count=5000):
    status, figures, _, errors = load(f"udp://127.0.0.1:{server.udp()}", "-n", str(count), "--timeout", "30s", *flags)
    equal(status, 0, f"the exit status ({errors})")
    equal((figures["answered"], figures["sent_total"], figures["errors"]["total"]), (count, count, 0), "datagrams")
    equal(figures["latency_ns"]["count"], count, "latencies")


@test
def a_closed_loop_of_datagrams_counts_each_once():
    with Echo("--udp", "--size", "20000") as server:
        answered(server, "-c", "16")
        answered(server, "-c", "4", "--pipeline", "32")
        answered(server, "-c", "4", "--size", "8")
        answered(server, "-c", "4", "--size", "9000", count=500)
        answered(server, "-c", "2", "--pipeline", "32", "--udp-mode", "calls")


@test
def trains_of_datagrams_come_back_too():
    with Echo("--udp", "--trains") as server:
        answered(server, "-c", "2", "--pipeline", "64", "--trains", "--size", "200")
        answered(server, "-c", "2", "--pipeline", "16", "--size", "200")


@test
def an_open_loop_of_datagrams_keeps_its_rate():
    def rated(patience):
        status, figures, _, errors = load(f"udp://127.0.0.1:{server.udp()}", "-c", "64", "--rate", "200", "--poisson", "-d", f"{patience}s",
                                          "--warmup", "0")
        equal(status, 0, f"the exit status ({errors})")
        true(140 < figures["scheduled"] / patience < 260, f"{figures['scheduled']} were due in {patience} s")
        true(figures["lateness_ns"] is not None, "lateness is told")

    with Echo("--udp") as server:
        patiently(rated)


@test
def lost_datagrams_are_counted_and_do_not_stop_the_others():
    def counted(patience):
        with ScriptedDatagrams(lambda n, data: [] if n % 10 == 3 else [data]) as server:
            status, figures, _, errors = load(f"udp://127.0.0.1:{server.port}", "-c", "1", "--pipeline", "8", "-n", "200", "--timeout", f"{100 * patience}ms")
        equal(status, 1, f"the exit status ({errors})")
        equal(figures["errors"]["timeout"], 20, "timeouts")
        equal(figures["answered_total"], 180, "answers")

    patiently(counted)


@test
def answers_out_of_order_and_twice_count_once():
    held = []

    def swap(_n, data):
        held.append(data)
        if len(held) < 2:
            return []
        answers = [held[1], held[0], held[0]]
        held.clear()
        return answers

    with ScriptedDatagrams(swap) as server:
        status, figures, _, errors = load(f"udp://127.0.0.1:{server.port}", "-c", "1", "--pipeline", "2", "-n", "100")
        equal(status, 0, f"the exit status ({errors})")
        equal(figures["answered_total"], 100, "answers")


@test
def wrong_answers_are_told_from_right_ones():
    def spoil(n, data):
        return [data[:-1] + b"!"] if n == 5 else [data[:-1]] if n == 6 else [data[:4], data] if n == 7 else [data]
    with ScriptedDatagrams(spoil) as server:
        status, figures, _, errors = load(f"udp://127.0.0.1:{server.port}", "-c", "1", "-n", "20")
        equal(status, 1, f"the exit status ({errors})")
        equal((figures["errors"]["wrong_body"], figures["errors"]["protocol"]), (2, 1), "errors")


@test
def nobody_there_is_told_at_once():
    port = free_ports(1)[0]
    status, _, _, errors = load(f"udp://127.0.0.1:{port}", "-d", "5s")
    equal(status, 1, "the exit status")
    true("Connection refused; is the server running?" in errors, errors)
    status, _, _, errors = load("udp://127.0.0.1:9", "--size", "4")
    true("a datagram has from 8 to 65507 bytes" in errors, errors)
    status, _, _, errors = load("http://127.0.0.1:9/", "--trains")
    equal(status, 2, "the exit status")


run()
