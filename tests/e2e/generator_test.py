# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre-load against gyre http, and against servers that answer badly: what it counts, what it says, how it ends."""

import base64
import contextlib
import hashlib
import json
import math
import os
import pty
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bench"))

from report import hdr
from chat_crash import Chat
from configured import Configured
from harness import ALARMS, PROGRAM, Server, Skip, equal, free_ports, loaded, output_of, patiently, run, test, true, until

LOAD = os.path.abspath(os.environ.get("GYRE_LOAD", "build/debug/gyre-load"))
KINDS = ("connect", "reset", "refused", "closed", "timeout", "short_answer", "status", "wrong_body", "wrong_question", "protocol")
KEYS = {"schema", "url", "method", "body", "connect_errors", "protocol_error", "connections", "pipeline", "outstanding", "threads", "tallies", "arrivals", "rate_asked", "seed", "bodies_compared", "slo",
        "began_ms", "seconds", "answered", "rate", "broadcast", "publishers", "deliveries", "scheduled", "unsent", "rate_reached", "sent_total", "answered_total",
        "connects", "connect_seconds", "errors", "latency_ns", "service_ns", "lateness_ns", "generator", "server",
        "generator_was_bottleneck", "generator_limited", "latency_valid", "interrupted", "failure"}


def load(url, *flags, seconds=40):
    """(exit status, figures or None, stdout, stderr)"""
    with tempfile.NamedTemporaryFile(mode="r", suffix=".json") as file:
        status, out, errors = output_of([LOAD, url, "--json", file.name, *flags], seconds)
        true(not ALARMS.search(errors), f"no sanitizer and no assertion complains: {errors}")
        text = file.read()
    return status, json.loads(text) if text else None, out, errors


def clean(url, *flags):
    """The figures of a run that has to succeed."""
    status, figures, out, errors = load(url, *flags)
    equal(status, 0, f"the exit status ({errors}{out})")
    equal(set(figures), KEYS, "the keys of the JSON")
    equal(figures["errors"], {"total": 0, **{kind: 0 for kind in KINDS}}, "errors")
    equal(figures["failure"], None, "failure")
    return figures


@test
def threads_make_more_connections_than_one_table_of_descriptors_holds():
    def few_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

    with Server(workers=2) as server:
        url = f"http://127.0.0.1:{server.port}/status.json"
        status, out, errors = output_of([LOAD, url, "-c", "200", "-n", "2000", "-t", "2", "--source", "127.0.0.2", "--source",
                                         "127.0.0.3", "--json", "-"], preexec_fn=few_files)
        equal(status, 0, errors)
        figures = json.loads(out)
        equal((figures["connects"], figures["answered_total"], figures["errors"]["total"]), (200, 2000, 0))
        status, out, errors = output_of([LOAD, url, "-c", "200", "-n", "2000"], preexec_fn=few_files)
        equal(status, 1, out + errors)
        true("making 200 connections in 1 thread: a thread may open 128 files here; raise `ulimit -n`, or use more --threads" in
             errors, errors)


@test
def more_connections_than_addresses_have_ports_are_refused_at_once():
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first, last = map(int, file.read().split())
    ports = last - first + 1
    begun = time.monotonic()
    for count, sources, needed in ((ports + 1, [], 2), (2 * ports + 1, ["--source", "127.0.0.2", "--source", "127.0.0.3"], 3)):
        # Nothing listens there: it is known before anything is dialled.
        status, out, errors = output_of([LOAD, "http://127.0.0.1:1/", "-c", str(count), "-n", str(count), *sources])
        equal((status, out), (1, ""), errors)
        equal(errors, f"gyre-load: making {count} connections: an address has {ports} ports for one server "
                      f"(net.ipv4.ip_local_port_range), and {needed} would be needed; come from more of them with --source, "
                      "repeated, such as --source 127.0.0.2 --source 127.0.0.3\n")
    true(time.monotonic() - begun < 5, "at once")


class Scripted:
    """A server that does `behave(connection, number)` with each connection, in a thread of its own."""

    def __init__(self, behave):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.behave = behave
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):  # behave() may have done so
            self.listener.shutdown(socket.SHUT_RDWR)  # ends an accept that waits
        self.listener.close()

    def accept(self):
        number = 0
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.one, args=(connection, number), daemon=True).start()
            number += 1

    def one(self, connection, number):
        try:
            with connection:
                self.behave(connection, number)
        except OSError:
            pass

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"


def answering(*answers):
    """Requests get these answers in turn, the last one for ever; None closes the connection."""
    def behave(connection, _number):
        sent = 0
        data = b""
        while more := connection.recv(65536):
            data += more
            while b"\r\n\r\n" in data:
                data = data.split(b"\r\n\r\n", 1)[1]
                answer = answers[min(sent, len(answers) - 1)]
                sent += 1
                if answer is None:
                    return
                connection.sendall(answer)
    return behave


def response(body, status="200 OK", *fields):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@test
def a_closed_loop_counts_what_the_server_counts():
    with Server("--fixed") as server:
        figures = clean(server.address + "/", "-c", "8", "-n", "3000", "--check", "--server-pid", str(server.pid))
        equal((figures["answered"], figures["sent_total"], figures["connects"]), (3000, 3000, 8), "answers")
        equal(figures["latency_ns"]["count"], 3000, "latencies")
        true(figures["latency_ns"]["min"] > 0, "an answer takes time")
        true(figures["latency_ns"]["p50"] <= figures["latency_ns"]["p99"] <= figures["latency_ns"]["max"],
             "percentiles grow")
        true(figures["server"] is not None, "the server's CPU time is there")
        true(figures["generator"]["cpu_s"] > 0, "the generator's CPU time is there")


@test
def latencies_go_to_five_nines():
    def rated(patience):
        nonlocal figures
        figures = clean(server.address + "/", "-c", "8", "--rate", "100", "-d", f"{500 * patience}ms", "--warmup", "0")

    figures = None
    with Server("--fixed") as server:
        patiently(rated)
        names = ["p50", "p75", "p90", "p95", "p99", "p99_9", "p99_99", "p99_999", "max"]
        for key in ("latency_ns", "service_ns", "lateness_ns"):
            equal(set(figures[key]), {"count", "min", "mean", "stddev", *names}, f"the keys of {key}")
            values = [figures[key][name] for name in names]
            equal(values, sorted(values), f"percentiles of {key}, in their order")
        _, out, _ = output_of([LOAD, server.address + "/", "-c", "2", "-n", "200"])
        true("p99.999" in out, f"the report has them, too:\n{out}")


@test
def counters_of_the_server_come_from_its_admin_listener():
    admin = f"127.0.0.1:{free_ports(1)[0]}"
    with Server("--fixed", "--admin", admin) as server:
        figures = clean(server.address + "/", "-c", "8", "-n", "3000", "--server-admin", admin)
        counted = figures["server"]["counters"]
        equal(set(counted), {"cpu_s", "turns", "enters", "submissions", "completions", "received_bytes", "sent_bytes",
                             "copied_bytes"}, "the counters")
        each = counted["submissions"] / figures["server"]["answered"]
        true(0.8 < each < 1.6, f"an answer is a send that was submitted: {each} a request")
        status, figures, out, _ = load(server.address + "/", "-c", "2", "-n", "200", "--server-admin", admin)
        true(status == 0 and "bytes copied a request" in out, f"the report has them:\n{out}")
        equal(figures["server"]["answered"], 200, "without a warm-up all of it is between the two readings")
        status, _, errors = output_of([LOAD, server.address + "/", "--server-admin", f"127.0.0.1:{server.port}"])
        equal(status, 1, "the exit status where something else answers")
        true("is not an admin listener of gyre" in errors, f"it says so: {errors}")
    for value in ("9090", "nonsense", "127.0.0.1:0"):
        status, _, errors = output_of([LOAD, "http://127.0.0.1:1/", "--server-admin", value])
        equal(status, 2, f"the exit status of {value}")
        true(errors.startswith(f"gyre-load: --server-admin {value}: must be where"), errors)


@test
def a_timed_run_lasts_as_long_as_asked():
    def timed(patience):
        figures = clean(server.address + "/", "-c", "16", "-d", f"{700 * patience}ms", "--warmup", f"{300 * patience}ms")
        true(0.4 * patience < figures["seconds"] < 2.3 * patience + 0.7,
             f"{700 * patience} ms are measured, or what a busy machine makes of them, not {figures['seconds']} s")
        true(figures["answered"] < figures["answered_total"], "the warm-up is not measured")

    with Server("--fixed") as server:
        patiently(timed)


@test
def every_receive_mode_and_several_threads_answer_alike():
    with Server() as server:
        for mode in ("one-shot", "multishot", "incremental", "bundle"):
            figures = clean(server.address + "/site.css", "-c", "9", "-t", "2", "-n", "501", "--check", "--pipeline",
                            "3", "--receive-mode", mode)
            equal(figures["answered"], 501, "answers")


@test
def a_pipeline_is_answered_in_order_and_whole():
    with Server("--fixed") as server:
        figures = clean(server.address + "/", "-c", "4", "--pipeline", "16", "-n", "20000", "--check")
        equal(figures["answered"], 20000, "answers")


@test
def an_open_loop_keeps_its_rate():
    def rated(patience):
        figures = clean(server.address + "/", "-c", "16", "--rate", "100", "-d", f"{patience}s", "--warmup", "100ms", *flags)
        true(figures["rate_reached"], "the rate is reached")
        true(60 < figures["scheduled"] / patience < 140, f"about {100 * patience} were due, not {figures['scheduled']}")
        equal(figures["arrivals"], "poisson" if flags else "constant", "arrivals")
        equal(figures["latency_ns"]["count"], figures["scheduled"], "each that was due has a latency")
        true(figures["unsent"] < 30 * patience, f"nearly all were sent, on a busy machine too, not all but {figures['unsent']}")
        equal(figures["lateness_ns"]["count"], figures["scheduled"] - figures["unsent"], "and each that was sent a lateness")
        true(figures["latency_ns"]["max"] >= figures["service_ns"]["max"], "latency is from the intended time")

    with Server("--fixed") as server:
        for flags in ((), ("--poisson", "--seed", "5")):
            patiently(rated)


@test
def a_server_that_stalls_is_seen_in_every_request_that_was_due():
    """No coordinated omission: 500 ms without an answer, at 100 requests a second on one connection, are some fifty
    requests that waited, not one."""
    def stall(connection, _number):
        answered = 0
        data = b""
        while more := connection.recv(65536):
            data += more
            while b"\r\n\r\n" in data:
                data = data.split(b"\r\n\r\n", 1)[1]
                answered += 1
                if answered == 30 * stalled:
                    time.sleep(0.5 * stalled)
                connection.sendall(response(b"ok"))

    def seen(patience):
        nonlocal stalled
        stalled = patience
        figures = clean(server.url, "-c", "1", "--rate", "100", "-d", f"{1500 * patience}ms", "--warmup", "0")
        true(figures["latency_ns"]["p90"] > 150e6 * patience, f"a tenth waited for long: {figures['latency_ns']}")
        true(figures["service_ns"]["p90"] < 100e6 * patience, f"only one was long in service: {figures['service_ns']}")

    stalled = 1
    with Scripted(stall) as server:
        patiently(seen)


@test
def a_rate_that_cannot_be_reached_is_said_and_fails():
    def slow(connection, _number):
        while connection.recv(65536):
            time.sleep(0.05)
            connection.sendall(response(b"ok"))
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
    good = response(b"good")

    def cut_short(connection, _number):
        for answer in (good, good[:-1]):
            connection.recv(65536)
            connection.sendall(answer)

    cases = {
        "status": (answering(good, response(b"no", "503 Busy")), ()),
        "wrong_body": (answering(good, response(b"evil")), ("--check",)),
        "short_answer": (cut_short, ()),
        "closed": (answering(good, None), ()),
        "protocol": (answering(good, b"220 mail.example ESMTP\r\n"), ()),
        "timeout": (answering(good, b""), ("-d", "300ms", "--timeout", "200ms")),
    }
    for kind, (behave, flags) in cases.items():
        with Scripted(behave) as server:
            asked = flags if "-d" in flags else ("-n", "40", *flags)
            status, figures, out, errors = load(server.url, "-c", "1", "--warmup", "0", *asked)
            equal(status, 1, f"the exit status with {kind}")
            true(figures["errors"][kind] > 0, f"{kind} is counted: {figures['errors']}")
            equal(figures["errors"]["total"], figures["errors"][kind], f"and nothing else than {kind}")
            true("errors among" in errors and "ERROR" in out, f"it is said:\n{errors}{out}")
            what = 'no status line of HTTP/1.1: "220 mail.example ESMTP"' if kind == "protocol" else None
            true(figures["protocol_error"] == what and (what or "  ") in out, f"and what came instead:\n{out}")


@test
def answers_are_told_by_status():
    busy, gone = response(b"no", "503 Busy"), response(b"no", "410 Gone")
    with Scripted(answering(response(b"good"), busy, gone, busy, response(b"good"))) as server:
        status, figures, out, _ = load(server.url, "-c", "1", "-n", "10")
        equal((status, figures["errors"]["status"], figures["tallies"]), (1, 3, {"200": 7, "410": 1, "503": 2}))
        true("  answers: 200 × 7, 503 × 2, 410 × 1\n" in out, f"the most frequent first:\n{out}")
    many = [response(b"", f"{code} Odd") for code in range(590, 600)]
    with Scripted(answering(*many)) as server:
        status, figures, out, _ = load(server.url, "-c", "1", "-n", "12")
        equal((status, len(figures["tallies"]), figures["tallies"]["599"]), (1, 10, 3))
        true("  answers: 599 × 3, 590 × 1, " in out and ", 2 other kinds × 2\n" in out, f"the line has a bound:\n{out}")
    with Scripted(answering(response(b"good"))) as server:
        status, figures, out, _ = load(server.url, "-c", "1", "-n", "5")
        true(status == 0 and figures["tallies"] == {"200": 5} and "answers:" not in out, f"what goes without saying is not said:\n{out}")


@test
def other_methods_are_sent_with_their_bodies():
    asked = []

    def take(connection, _number):
        data = b""
        while more := connection.recv(65536):
            data += more
            while b"\r\n\r\n" in data:
                head, rest = data.split(b"\r\n\r\n", 1)
                length = int((re.search(rb"Content-Length: (\d+)", head) or [0, 0])[1])
                if len(rest) < length:
                    break
                asked.append((head.split(b" ")[0], rest[:length]))
                data = rest[length:]
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" + (b"" if head.startswith(b"HEAD") else b"thanks!"))

    body = bytes(range(256)) * 1200
    with Scripted(take) as server, tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        figures = clean(server.url, "--body", file.name, "-c", "2", "-n", "6", "--pipeline", "2", "--check")
        equal((figures["method"], figures["body"], asked), ("POST", file.name, [(b"POST", body)] * 6))
        asked.clear()
        equal(clean(server.url, "--method", "HEAD", "-c", "1", "-n", "4", "--pipeline", "2", "--check")["body"], None)
        equal(asked, [(b"HEAD", b"")] * 4)
    with Server() as server:
        clean(server.address + "/site.css", "--method", "HEAD", "-c", "2", "-n", "10", "--check")
        status, figures, out, _ = load(server.address + "/site.css", "--method", "DELETE", "-c", "2", "-n", "10")
        equal((status, figures["tallies"], out.startswith("DELETE http://")), (1, {"405": 10}, True))


@test
def connections_that_cannot_be_made_are_told_by_reason():
    def last(connection, _number):
        connection.recv(65536)
        server.listener.shutdown(socket.SHUT_RDWR)  # its port stays taken, and refuses
        connection.sendall(response(b"bye", "200 OK", "Connection: close"))

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
        if number > 0 and number % 2 == 0:
            return
        if number > 0:
            connection.sendall(response(b"", "503 Full", "Connection: close"))
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
    with Scripted(answering(response(b"bye", "200 OK", "Connection: close"))) as server:
        figures = clean(server.url, "-c", "3", "-n", "60", "--check")
        true(figures["connects"] >= 60, f"it connects again: {figures['connects']}")
    with Scripted(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")) as server:
        clean(server.url, "-c", "3", "-n", "60", "--check")


@test
def an_answer_to_be_sorry_about_can_be_a_connections_last_as_well():
    with Scripted(answering(response(b"no", "404 Not Found", "Connection: close"))) as server:
        status, figures, _, errors = load(server.url, "-c", "2", "-n", "12")
        equal(status, 1, errors)
        equal(figures["answered_total"], 12, "answers")
        true(figures["connects"] >= 12, f"a connection each: {figures['connects']}")
        equal((figures["errors"]["status"], figures["errors"]["total"]), (12, 12), "nothing was asked behind it")


@test
def an_echo_is_compared_byte_by_byte():
    def echo(connection, _number):
        while data := connection.recv(65536):
            connection.sendall(data)

    def garble(connection, _number):
        while data := connection.recv(65536):
            connection.sendall(data[:-1] + b"\0")
    for size in ("1", "64", "200000"):
        with Scripted(echo) as server:
            figures = clean(f"tcp://127.0.0.1:{server.port}", "-c", "3", "-n", "60", "--size", size, "--pipeline", "2")
            equal(figures["answered"], 60, "echoes")
    with Scripted(garble) as server:
        status, figures, _, _ = load(f"tcp://127.0.0.1:{server.port}", "-c", "1", "-n", "10")
        equal((status, figures["errors"]["wrong_body"]), (1, 10), "status and wrong bodies")


@test
def the_highest_rate_is_found():
    def slow(connection, _number):
        while connection.recv(65536):
            time.sleep(0.02)
            connection.sendall(response(b"ok"))

    def found(patience):
        status, figures, out, errors = load(server.url, "-c", "4", "--find-max", "--slo", f"p90={patience}s", "-d", f"{400 * patience}ms", seconds=100)
        equal(status, 0, f"the exit status ({errors}{out})")
        true(20 < figures["rate_asked"] < 220, f"four connections, 20 ms each: {figures['rate_asked']}")
        true("highest rate that keeps p90" in out, f"it is said:\n{out}")
        equal(figures["slo"], {"percentile": 90, "ns": patience * 1000000000}, "what was asked for")
        equal(errors, "", "steps are for terminals: stderr")

    with Scripted(slow) as server:
        patiently(found)
        status, figures, out, errors = load(server.url, "-c", "4", "--find-max", "--slo", "p90=1ms", "-d", "200ms")
        equal(status, 1, "the exit status when no rate will do")
        true("no rate keeps p90 under 1.000 ms" in errors, f"it is said: {errors}")


@test
def thousands_of_connections_end_at_once():
    """More of them than the ring has submissions: ending must not take the worker's patience (2 s), nor be given up."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4096:
        raise Skip("the hard limit on open files is below 4096")
    with Server("--fixed") as server:
        status, out, errors = output_of([LOAD, server.address + "/", "-c", "1800", "-n", "3600", "--timeout", "20s"], 60)
        equal((status, errors), (0, ""), f"status and stderr\n{out}")
        true("3600 answers" in out, f"all are answered:\n{out}")


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
def several_publishers_say_what_all_others_hear_in_order():
    with Chat() as chat:
        url = f"chat://127.0.0.1:{chat.port}/hall"
        figures = clean(url, "--broadcast", "--publishers", "3", "-c", "7", "--pipeline", "4", "-n", "90")
        equal((figures["publishers"], figures["answered_total"], figures["deliveries"]), (3, 90, 90 * 7))
        figures = clean(url, "--broadcast", "-c", "3", "-n", "20")
        equal((figures["publishers"], figures["deliveries"]), (1, 60))


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
def the_log_is_an_hdr_log():
    with Server("--fixed") as server, tempfile.NamedTemporaryFile(mode="r") as file:
        clean(server.address + "/", "-c", "2", "-n", "200", "--hdr", file.name)
        lines = file.read().splitlines()
        true(any("StartTimestamp" in line for line in lines), f"the legend is there: {lines}")
        true(re.match(r"#\[.*version 1\.\d", "\n".join(l for l in lines if "version" in l)), "and the version")
        data = [line for line in lines if "HISTF" in line]
        equal(len(data), 2, "entries")
        true(data[1].startswith("Tag=service,"), f"the second is tagged: {data[1]}")


@test
def another_reader_finds_the_same_latencies_in_the_log():
    with Server("--fixed") as server, tempfile.NamedTemporaryFile(mode="r") as file:
        figures = clean(server.address + "/", "-c", "4", "-n", "3000", "--hdr", file.name)
        logged = hdr.read(file.name)
        equal(set(logged), {"", "service"}, "tags")
        for tag, key in (("", "latency_ns"), ("service", "service_ns")):
            counts, told = logged[tag], figures[key]
            equal(sum(counts.values()), told["count"], "values")
            for name, share in (("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999)):
                rank, seen = math.ceil(told["count"] * share), 0
                for value in sorted(counts):
                    seen += counts[value]
                    if seen >= rank:
                        break
                # One of them names the upper end of a bucket, which is a thousandth wide.
                true(abs(value - told[name]) <= told[name] / 500, f"{name} of {key} is {value}, not {told[name]}")


@test
def a_terminal_sees_one_line_of_progress():
    def shown_with(patience, *flags):
        ours, theirs = pty.openpty()
        process = subprocess.Popen([LOAD, server.address + "/", "-c", "2", "-d", f"{900 * patience}ms", "--warmup", f"{300 * patience}ms",
                                    *flags], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        shown = b""
        try:
            while more := os.read(ours, 4096):
                shown += more
        except OSError:
            pass  # EIO: the other end is closed
        os.close(ours)
        equal(process.wait(20), 0, f"the exit status ({shown})")
        return shown

    def progress(patience):
        shown = shown_with(patience)
        true(b"warming up" in shown and b"measuring" in shown and b"/s" in shown, f"it says how far it is: {shown}")
        true(b"\n" not in shown and shown.count(b"\r\x1b[K") > 2, f"in one line: {shown}")
        true(shown.endswith(b"\r\x1b[K"), f"which is gone at the end: {shown}")

    with Server("--fixed") as server:
        patiently(progress)
        patiently(lambda patience: equal(shown_with(patience, "--quiet"), b"", "what is shown with --quiet"))


@test
def what_cannot_be_written_fails():
    with Server("--fixed") as server:
        for flag in ("--json", "--hdr"):
            status, _, errors = output_of([LOAD, server.address + "/", "-n", "5", "-c", "1", flag, "/nowhere/file"])
            equal(status, 1, f"the exit status with {flag}")
            true(f"{flag} /nowhere/file: cannot be written" in errors, f"it says so: {errors}")


@test
def nothing_but_the_report_is_written_to_a_pipe():
    def piped(patience):
        status, out, errors = output_of([LOAD, server.address + "/", "-d", f"{600 * patience}ms", "--warmup", "0", "-c", "2"])
        equal((status, errors), (0, ""), "status and stderr")
        true("\r" not in out and "\x1b" not in out, "no progress in a pipe")

    with Server("--fixed") as server:
        patiently(piped)


class Https(Configured):
    def answers(self):
        return ") serves" in self.log()


@test
def https_is_loaded_with_handshakes_of_either_kind():
    with tempfile.TemporaryDirectory() as path:
        subprocess.run([PROGRAM, "cert", "--dir", path, "localhost"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([PROGRAM, "cert", "--dir", f"{path}/other", "localhost"], check=True, stdout=subprocess.DEVNULL)
        trust = ("--ca", os.path.join(path, "authority.pem"), "-c", "2")
        for kind, resumed in ((), 0), (("--handshakes", "full"), 0), (("--handshakes", "resumed"), 38):
            with Https("workers 1;\nadmin 127.0.0.1:{admin};\nhttp { listen 127.0.0.1:{port}; fixed on;\n"
                       f"certificate {path}/localhost.pem; }}\n") as server:
                url = f"https://localhost:{server.port}/"
                figures = clean(url, *trust, "-n", "40", *kind)
                equal(figures["answered_total"], 40)
                counted = server.metrics()
                done = [counted[f'gyre_tls_handshakes_total{{kind="{each}"}}'] for each in ("full", "resumed")]
                true(done[1] >= resumed and (resumed or done[1] == 0), f"{kind}: full and resumed: {done}")
                true(sum(done) >= (40 if kind else 2), f"{kind}: full and resumed: {done}")
                status, _, _, errors = load(url, "--ca", os.path.join(path, "other/authority.pem"), "-n", "1", "-c", "1")
                equal(status, 1)
                true("nobody whom we trust" in errors, errors)
                clean(url, "--insecure", "-n", "1", "-c", "1")


run()
