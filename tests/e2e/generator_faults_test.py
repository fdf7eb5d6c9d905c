# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre-load where something is wrong: errors of every kind, servers that go away, interrupts, misuse."""

import base64
import hashlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

from chat_crash import Chat
from configured import Configured
from generator import LOAD, clean, load
from harness import PROGRAM, Server, Skip, equal, free_ports, loaded, output_of, patiently, run, test, true, until
from scripted import Scripted, answer, answering


@test
def a_rate_that_cannot_be_reached_is_said_and_fails():
    def slow(connection, _number):
        while connection.recv(65536):
            time.sleep(0.05)
            connection.sendall(answer("200 OK", b"ok"))
    with Scripted(slow) as server:
        status, figures, out, errors = load(server.url, "-c", "2", "--rate", "1000", "-d", "1s", "--warmup", "0")
        equal(status, 1, "the exit status")
        true("rate of 1000/s was not reached" in errors, f"it says so: {errors}")
        true(figures["unsent"] > 500 and not figures["rate_reached"], f"what was not sent is counted: {figures}")
        equal(figures["latency_ns"]["count"], figures["scheduled"], "those that were not sent have waited, too")
        true(figures["latency_ns"]["p50"] > 100e6, "which shows in the latencies")
        true("never sent" in out, f"the report says so:\n{out}")


@test
def a_refused_connection_is_one_clear_line():
    port = free_ports(1)[0]
    for flags in ((), ("-t", "2"), ("--rate", "100"), ("--find-max",)):
        status, out, errors = output_of([LOAD, f"http://127.0.0.1:{port}/", *flags])
        equal(status, 1, "the exit status")
        equal(errors, f"gyre-load: connecting to 127.0.0.1:{port}: Connection refused; is the server running?\n")
        equal(out, "", "the report")


@test
def misuse_is_told_from_failure():
    for words in (["sctp://127.0.0.1:1"], ["gopher://x/"], [], ["http://127.0.0.1:1/", "--frobnicate"],
                  ["chat://127.0.0.1/hall"], ["nats://127.0.0.1"], ["redis://127.0.0.1"], ["redis://127.0.0.1", "--publishers", "2"],
                  ["ws://127.0.0.1:1", "--broadcast", "--publishers", "2"], ["redis://127.0.0.1", "--broadcast", "--publishers", "3", "-c", "2"],
                  ["--size", "5", "udp://127.0.0.1:1"], ["http://127.0.0.1:1/", "--header", "nocolon"], ["dns://127.0.0.1/a?type=AXFR"],
                  ["http://127.0.0.1:1/", "--method", "CONNECT"], ["tcp://127.0.0.1:1", "--body", "-"]):
        status, _, errors = output_of([LOAD, *words])
        equal(status, 2, f"the exit status of {words}")
        true(errors.startswith("gyre-load: ") and "--help" in errors, f"one line, and where help is: {errors}")
    for words, said in ((["--server-pid", "2147483647"], "there is no such process"),
                        (["--json", "/nonexistent/figures"], "cannot be written: No such file"),
                        (["--json", "/"], "it is a directory; name a file"), (["--hdr", "/tmp"], "it is a directory; name a file"),
                        (["--body", "/nonexistent/body"], "cannot be read: No such file"), (["--hdr", "/nonexistent/log"], "cannot be written: No such file")):
        status, _, errors = output_of([LOAD, "http://127.0.0.1:1/", *words])
        equal(status, 1, f"the exit status of {words}, before anything is asked")
        true(errors.startswith(f"gyre-load: {words[0]} {words[1]}: ") and said in errors, errors)
    status, out, _ = output_of([LOAD, "--help"])
    equal(status, 0, "the exit status of --help")
    true("http://" in out and "tcp://" in out and "udp://" in out and "ftp://" not in out, f"it lists the schemes there are:\n{out}")


@test
def a_server_that_dies_midway_ends_the_run():
    with Server("--fixed", "--no-supervisor") as server:
        process = subprocess.Popen([LOAD, server.address + "/", "-c", "8", "-d", "30s", "--warmup", "0"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        loaded(server.pid)
        os.killpg(server.pid, signal.SIGKILL)
        out, errors = process.communicate(timeout=20)
        equal(process.returncode, 1, "the exit status")
        true("went away" in errors and "Connection refused" in errors, f"it says what happened: {errors}")
        true(re.search(r"\d+ answers in", out), f"and what was measured:\n{out}")
        true(re.search(r"ERROR +\d+ (requests lost|requests that|connections that)", out), f"and what was lost:\n{out}")
        server.end()


@test
def an_interrupt_prints_what_was_measured():
    with Server("--fixed") as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen([LOAD, server.address + "/", "-c", "4", "-d", "60s", "--warmup", "0", "--json", "-"],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            loaded(server.pid)
            time.sleep(0.3)
            process.send_signal(number)
            out, errors = process.communicate(timeout=20)
            equal(process.returncode, 0, f"the exit status ({errors})")
            figures = json.loads(out)
            true(figures["interrupted"] and figures["answered"] > 10, f"it has figures: {out}")
            true(0.2 < figures["seconds"] < 30, f"of the time until then: {figures['seconds']}")


@test
def an_interrupted_search_prints_what_its_steps_found():
    with Configured("workers 1; admin 127.0.0.1:{admin}; http web { listen 127.0.0.1:{port}; fixed on; }") as server:
        def connections():
            return server.metrics()['gyre_http_connections_total{server="web"}']

        def interrupted(patience):
            before = connections()
            process = subprocess.Popen([LOAD, f"http://127.0.0.1:{server.port}/", "-c", "2", "-d", f"{200 * patience}ms", "--find-max",
                                        "--slo", "p90=4s"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            # Each of the eight steps has two connections of its own: a whole one is over when those of the third are there.
            until(lambda: connections() >= before + 6 or process.poll() is not None, "the third step begins", 60)
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=40)
            equal((process.returncode, errors), (0, ""), f"status and stderr\n{out}")
            true("(interrupted)" in out, f"it says so:\n{out}")
            found = re.search(r"([1-9]\d*) answers in (\d+\.\d+)", out)
            true(found and 0.1 <= float(found[2]) < 0.3 * patience, f"and has the figures of a whole step:\n{out}")

        patiently(interrupted)


@test
def an_interrupt_before_the_first_answer_is_no_success():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:  # more connections than it will hold
        process = subprocess.Popen([LOAD, f"http://127.0.0.1:{full.getsockname()[1]}/", "-c", "8", "--timeout", "30s"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        true(select.select([full], [], [], 30)[0], "it connects")
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        equal((process.returncode, errors), (1, "gyre-load: interrupted before anything was answered\n"), "status, stderr")


@test
def an_interrupt_in_the_warm_up_is_no_success():
    def asked(connection, _number):
        while connection.recv(65536):
            connection.sendall(answer("200 OK", b"ok"))
            answered.set()
    answered = threading.Event()
    with Scripted(asked) as server:
        process = subprocess.Popen([LOAD, server.url, "-c", "1", "--warmup", "60s"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        true(answered.wait(30), "it asks")
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        equal((process.returncode, errors), (1, "gyre-load: interrupted in the warm-up, before anything was measured\n"), "status, stderr")


@test
def nothing_answered_costs_nothing_a_request():
    def silent(connection, _number):
        while connection.recv(65536):
            pass
    with Scripted(silent) as server:
        status, figures, out, _ = load(server.url, "-c", "1", "-d", "500ms", "--warmup", "0", "--timeout", "200ms")
        equal((status, figures["answered"], figures["generator"]["cpu_us_per_request"]), (1, 0, 0), "status, answers, CPU a request")
        true("of CPU a request" not in out and "busiest thread" in out, f"nor in the report:\n{out}")


@test
def an_interrupt_does_not_wait_for_a_server_that_hangs():
    asked = threading.Event()

    def hang(connection, _number):
        while connection.recv(65536):
            asked.set()
    with Scripted(hang) as server:
        process = subprocess.Popen([LOAD, server.url, "-c", "4", "-d", "60s", "--timeout", "50s"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        true(asked.wait(30), "it asks")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=25)  # half of what the server is given to answer


@test
def each_kind_of_error_is_counted_as_what_it_is():
    good = answer("200 OK", b"good")

    def cut_short(connection, _number):
        for said in (good, good[:-1]):
            connection.recv(65536)
            connection.sendall(said)

    cases = {
        "status": answering(good, answer("503 Busy", b"no")),
        "wrong_body": answering(good, answer("200 OK", b"evil")),
        "short_answer": cut_short,
        "closed": answering(good, None),
        "protocol": answering(good, b"220 mail.example ESMTP\r\n"),
        "timeout": answering(good, b""),
    }

    def counted(patience):
        with Scripted(behave) as server:
            flags = {"wrong_body": ("-n", "40", "--check"), "timeout": ("-d", f"{300 * patience}ms", "--timeout", f"{200 * patience}ms")}
            status, figures, out, errors = load(server.url, "-c", "1", "--warmup", "0", *flags.get(kind, ("-n", "40")))
            equal(status, 1, f"the exit status with {kind}")
            true(figures["errors"][kind] > 0, f"{kind} is counted: {figures['errors']}")
            equal(figures["errors"]["total"], figures["errors"][kind], f"and nothing else than {kind}")
            true("errors among" in errors and "ERROR" in out, f"it is said:\n{errors}{out}")
            what = 'no status line of HTTP/1.1: "220 mail.example ESMTP"' if kind == "protocol" else None
            true(figures["protocol_error"] == what and (what or "  ") in out, f"and what came instead:\n{out}")

    for kind, behave in cases.items():
        patiently(counted)


@test
def a_server_of_another_protocol_is_told_for_what_it_is():
    def serve(connection, _number):
        connection.recv(65536)
        connection.sendall(said or b"")
    for said, why in ((b"SSH-2.0-x\r\n", ': the server speaks no HTTP/1.1: it said "SSH-2.0-x", as SSH does; is that the port you mean?'),
                      (b"\x15\x03\x03\x00\x02\x02\x46", ": the server speaks TLS at this port; write https://"),
                      (None, ", and no answer; does the server speak http at this port?")):
        with Scripted(serve) as server:
            status, _, _, errors = load(server.url, "-c", "1", "--warmup", "0", "-n", "20")
            equal(status, 1)
            true(errors.endswith(f"20 errors among 20 requests{why}\n"), errors)
    with Scripted(lambda connection, _number: connection.sendall(b"SSH-2.0-x\r\n") or connection.recv(65536)) as server:
        status, _, _, errors = load(server.url.replace("http", "https"), "-c", "1", "-n", "1", "--insecure")
        true("no TLS at this port: it said \"SSH-2.0-x\"; go there without TLS" in errors or "does it speak TLS at this port?" in errors
             or "reset by peer" in errors, errors)


@test
def most_answers_being_errors_is_told_with_what_may_help():
    good, missing = answer("200 OK", b"good"), answer("404 Not Found", b"no")
    for answers, why in (([missing], ", all with status 404; nothing lies there: is the path of the URL right?"),
                         ([good, missing, missing], ", most with status 404; nothing lies there: is the path of the URL right?"),
                         ([answer("503 Busy", b"no")], ", all with status 503; the server takes no more: a lower --rate"),
                         ([answer("500 Oh", b"no")], ", all with status 500; its log may say why"),
                         ([good, good, missing], " among 30 requests\n")):
        def serve(connection, _number, answers=answers):
            for number in range(1000):
                if not connection.recv(65536):
                    return
                connection.sendall(answers[number % len(answers)])
        with Scripted(serve) as server:
            status, figures, out, errors = load(server.url, "-c", "1", "--warmup", "0", "-n", "30")
            equal(status, 1)
            true(why in errors, errors)
            true(figures["errors"]["status"] >= 10 and "  answers: " in out, out)


@test
def connections_that_cannot_be_made_are_told_by_reason():
    def last(connection, _number):
        connection.recv(65536)
        server.refuse()
        connection.sendall(answer("200 OK", b"bye", "Connection: close"))

    with Scripted(last) as server:
        status, figures, out, errors = load(server.url, "-c", "1", "-n", "3")
        refused = figures["errors"]["connect"]
        equal((status, "went away" in errors, figures["connect_errors"]["refused"]), (1, True, refused), errors)
        true(refused > 0 and f"{refused} connections that could not be made: {refused} refused\n" in out, out)
        equal(sum(figures["connect_errors"].values()), refused)


@test
def a_handshake_that_is_refused_is_told_from_one_that_is_cut():
    def serve(connection, number):
        head = connection.recv(65536)
        if number > 1 and number % 2 == 1:
            return
        if number > 1:
            connection.sendall(answer("503 Full", b"", "Connection: close"))
            return
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)[1]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                           + accept + b"\r\n\r\n")
        connection.recv(65536)

    with Scripted(serve) as server:
        status, figures, out, errors = load(f"ws://127.0.0.1:{server.port}", "-c", "1", "-n", "9")
        counted = figures["connect_errors"]
        equal((status, "went away" in errors), (1, True), errors)
        true(counted["rejected"] > 0 and f" {counted['rejected']} refused by the protocol" in out, out)
        equal(counted["rejected"] + counted["closed"], figures["errors"]["connect"], f"and nothing else: {counted}")
        true(abs(counted["rejected"] - counted["closed"]) <= 1, f"in turns: {counted}")


@test
def a_reset_is_counted():
    def reset(connection, _number):
        connection.recv(65536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with Scripted(reset) as server:
        status, figures, _, _ = load(server.url, "-c", "2", "-n", "10")
        equal((status, figures["errors"]["reset"], figures["errors"]["total"]), (1, 10, 10), "status and resets")


@test
def a_connection_that_the_server_closes_properly_is_no_error():
    with Scripted(answering(answer("200 OK", b"bye", "Connection: close"))) as server:
        figures = clean(server.url, "-c", "3", "-n", "60", "--check")
        true(figures["connects"] >= 60, f"it connects again: {figures['connects']}")
    with Scripted(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")) as server:
        clean(server.url, "-c", "3", "-n", "60", "--check")


@test
def an_answer_to_be_sorry_about_can_be_a_connections_last_as_well():
    with Scripted(answering(answer("404 Not Found", b"no", "Connection: close"))) as server:
        status, figures, _, errors = load(server.url, "-c", "2", "-n", "12")
        equal(status, 1, errors)
        equal(figures["answered_total"], 12, "answers")
        true(figures["connects"] >= 12, f"a connection each: {figures['connects']}")
        equal((figures["errors"]["status"], figures["errors"]["total"]), (12, 12), "nothing was asked behind it")


class Holds(threading.Thread):
    """Takes connections, and says nothing to them before `hold` of them are there and no more come: `flights` are how many had come
    each time. After `most` of them it takes no more."""

    def __init__(self, most):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port, self.most = self.listener.getsockname()[1], most
        self.flights, self.held, self.kept = [], [], []

    def run(self):
        self.listener.settimeout(0.25)
        while len(self.kept) < self.most:
            try:
                self.held.append(self.listener.accept()[0])
                continue
            except TimeoutError:
                pass
            except OSError:
                return
            if self.held:
                self.flights.append(len(self.held))
                for each in self.held:
                    each.sendall(b">3\r\n$9\r\nsubscribe\r\n$4\r\nload\r\n:1\r\n")
                self.kept += self.held
                self.held = []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)  # ends an accept that waits
        self.listener.close()


@test
def connections_are_made_in_flights_and_a_standstill_says_how_many_are_missing():
    def standstill(patience):
        with Holds(192) as server:
            status, _, _, errors = load(f"redis://127.0.0.1:{server.port}/load", "--broadcast", "-c", "400", "--timeout", f"{patience}s")
            equal(status, 1)
            found = re.search(r"(\d+) of 400 connections are made, then: no more were made in .*--timeout", errors)
            true(found and 0 < int(found[1]) <= len(server.kept), f"it says how many, and what helps: {errors}")
            true(0 < server.flights[0] <= 64, f"64 at first: {server.flights}")
            true(sum(server.flights) >= 192 and max(server.flights) <= 256, f"each that is ready lets one more be dialled: {server.flights}")

    patiently(standstill)


@test
def a_message_that_is_refused_ends_a_broadcast_and_says_why():
    with Chat(rates="requests 5 8;") as chat:
        status, figures, _, errors = load(f"chat://127.0.0.1:{chat.port}/hall", "--broadcast", "-c", "2", "-n", "90")
        equal(status, 1)
        true("a message was refused: the server says: " in errors and "requests off" in errors, errors)
        true(figures["errors"]["status"] >= 1, str(figures["errors"]))


@test
def a_lack_of_ports_is_named():
    if not shutil.which("unshare") or not shutil.which("ip"):
        raise Skip("unshare or iproute2 is not installed")
    script = ("ip link set lo up && echo 50000 50031 > /proc/sys/net/ipv4/ip_local_port_range || exit 99; "
              '"$0" http --fixed --listen 127.0.0.1:8080 --workers 1 & sleep 0.1; while ! "$1" http://127.0.0.1:8080/ -c 1 -n 1 --quiet'
              ' > /dev/null 2>&1; do sleep 0.1; done; "$1" http://127.0.0.1:8080/ -c 64 -n 64; echo status $?; '
              '"$1" http://127.0.0.1:8080/ -c 64 -n 64 --source 127.0.0.2 --source 127.0.0.3 --source 127.0.0.4; echo status $?; '
              '"$1" http://127.0.0.1:8080/ -c 24 -d 4 --quiet > /dev/null & sleep 1.5; "$1" http://127.0.0.1:8080/ -c 24 -n 24; '
              'echo status $?; kill %1; wait')
    status, out, errors = output_of(["unshare", "--net", "--map-root-user", "bash", "-c", script, PROGRAM, LOAD])
    if status in (1, 99) and "status" not in out:
        raise Skip(f"a network namespace is not to be had here: {errors}")
    true("making 64 connections: an address has 32 ports for one server" in errors and "--source 127.0.0.2" in errors, errors)
    # Another has most of them: that shows as they are made.
    true("of 24 connections are made, then: no port of this address is left" in errors and "has 32 for one server" in errors, errors)
    equal(re.findall(r"status (\d)", out), ["1", "0", "1"], errors)


@test
def a_servers_time_that_is_not_known_is_told_with_its_reason():
    counted = answer("200 OK", b"gyre_generation 1\nprocess_cpu_seconds_total 0.5\n")

    def admin(readings, last):
        """The check before the run is the first of them."""
        def behave(connection, number):
            connection.recv(65536)
            connection.sendall(counted if number <= readings else last)
        return Scripted(behave)

    with Server("--fixed") as server:
        for listener, reason in (
                (admin(2, b""), "what answers there is not an admin listener"),
                (admin(2, answer("200 OK", b"gyre_generation 2\nprocess_cpu_seconds_total 0.1\n")), "another process served in the end"),
                (admin(9, b""), None)):
            with listener:
                status, figures, out, _ = load(server.address + "/", "-c", "2", "-d", "500ms", "--warmup", "100ms", "--server-admin",
                                               f"127.0.0.1:{listener.port}")
            equal(status, 0, "the exit status: what was asked for went well")
            equal(figures["server"] is None, reason is not None, f"whether its time is unknown: {figures['server']}")
            true(reason is None or "its CPU time is not known: " in out and reason in out, f"the report says why:\n{out}")
            true(reason is None or reason in figures["server_error"], f"and so do the figures: {figures.get('server_error')}")


@test
def what_cannot_be_written_fails():
    with Server("--fixed") as server:
        for flag in ("--json", "--hdr"):
            status, _, errors = output_of([LOAD, server.address + "/", "-n", "5", "-c", "1", flag, "/nowhere/file"])
            equal(status, 1, f"the exit status with {flag}")
            true(f"{flag} /nowhere/file: cannot be written" in errors, f"it says so: {errors}")


run()
