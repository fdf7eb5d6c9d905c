# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds under load: no failed request through replacements and drains, and the next connection served after a
kill. Short runs; tests/e2e/soak is the long one."""

import os
import re
import signal
import socket
import subprocess
import time

from harness import (Connection, Server, alive, descriptors, equal, output_of, run, test, tool, true, until)
from load import Load


def wrk(server, *arguments, path="/icon.svg", seconds=2):
    return subprocess.Popen([tool("wrk"), f"-d{seconds}", "--timeout", "10", *arguments, server.address + path],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def without_errors(process):
    """wrk's number of requests; it has met no error."""
    out, _ = process.communicate(timeout=30)
    equal(process.returncode, 0, "wrk's exit status")
    true("Socket errors" not in out and "Non-2xx" not in out, f"wrk met no error:\n{out}")
    return int(re.search(r"(\d+) requests in", out).group(1))


@test
def wrk_meets_no_error():
    with Server() as server:
        for path in ("/", "/status.json"):
            true(without_errors(wrk(server, "-t1", "-c64", path=path)) > 50, "it is answered")


@test
def wrk_meets_no_error_in_any_receive_mode():
    for mode in ("one-shot", "multishot", "incremental", "bundle"):
        with Server("--receive-mode", mode, "--fixed") as server:
            true(without_errors(wrk(server, "-t1", "-c32", seconds=1)) > 0, f"it is answered in mode {mode}")


@test
def wrk_pipelines_without_error():
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pipeline.lua")
    with Server("--fixed") as server:
        true(without_errors(wrk(server, "-t1", "-c16", "-s", script)) > 50, "it is answered")


@test
def ab_meets_no_error():
    with Server() as server:
        for flags in (["-k", "-c", "32", "-n", "6000"], ["-c", "16", "-n", "1500"]):
            status, out, errors = output_of([tool("ab"), "-q", *flags, server.address + "/icon.svg"])
            equal(status, 0, errors)
            true(re.search(r"Failed requests: +0\n", out) and "Non-2xx" not in out, f"ab met no error:\n{out}")
            equal(int(re.search(r"Complete requests: +(\d+)", out).group(1)), int(flags[-1]), "complete requests")


@test
def a_replacement_fails_no_request_of_wrk():
    with Server() as server:
        load = wrk(server, "-t1", "-c32", seconds=4)
        for _ in range(2):
            time.sleep(1)
            before = server.serving()
            server.signal(signal.SIGHUP)
            until(lambda: server.serving() != before, "another process serves")  # pylint: disable=cell-var-from-loop
            until(lambda: not alive(before), "the former one ends")  # pylint: disable=cell-var-from-loop
        true(without_errors(load) > 50, "it is answered")


@test
def a_replacement_fails_no_request_and_refuses_no_connection():
    with Server() as server, Load(server.port, 24) as load:
        until(lambda: load.requests > 100, "there is load")
        refused = []
        for _ in range(3):
            before = server.serving()
            server.signal(signal.SIGHUP)
            deadline = time.monotonic() + 1.2
            while time.monotonic() < deadline:  # a new connection every time, through the whole change
                try:
                    equal(server.get("/icon.svg").status, 200)
                except OSError as error:
                    refused.append(str(error))
            until(lambda: not alive(before), "the former one ends")  # pylint: disable=cell-var-from-loop
        equal(refused, [], "new connections that failed")
        equal(load.failures, [], "failed requests")
        true(load.reopened > 0, f"there was load: {load.requests} requests, none on a connection that was opened anew")


@test
def after_a_kill_the_next_connection_is_served():
    with Server() as server, Load(server.port, 24) as load:
        for _ in range(3):
            before = server.serving()
            failed = len(load.failures)
            os.kill(before, signal.SIGKILL)
            begun = time.monotonic()
            with Connection(server.port) as connection:
                # This one waits in the backlog, or is one that the dead process had accepted.
                try:
                    equal(connection.get("/icon.svg").status, 200)
                except ConnectionError:
                    equal(server.get("/icon.svg").status, 200)
            true(time.monotonic() - begun < 30, "it does not take long")
            true(server.serving() != before, "another process serves")
            time.sleep(0.7)
            # What was under way on the dead process's connections is lost; nothing else is.
            true(len(load.failures) - failed <= 24 + 1, f"only what was under way failed: {load.failures[failed:]}")
        now = load.requests
        until(lambda: load.requests > now + 100, "the load goes on")
        kinds = {text.split(":")[0] for _, text, _ in load.failures}
        true(kinds <= {"ConnectionError", "ConnectionResetError", "BrokenPipeError"}, f"no connection is refused: {kinds}")


@test
def a_drain_under_load_answers_what_was_asked():
    with Server() as server, Load(server.port, 24) as load:
        until(lambda: load.requests > 300, "there is load")
        begun = time.monotonic()
        equal(server.stop(), 0, "the exit status")
        ended = time.monotonic()
        load.ending = True
        true(ended - begun < 9, f"it is over before the deadline of ten seconds: {ended - begun:.1f} s")
        # Connections that came as the last socket closed are refused or reset. Nobody else loses a request.
        equal([text for _, text, served in load.failures if served], [], "requests lost on connections in service")


@test
def a_slow_reader_gets_all_of_it():
    count = 400
    with Server(workers=1) as server, Connection(server.port) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        request = b"GET /site.js HTTP/1.1\r\nHost: test\r\n\r\n"
        connection.socket.settimeout(20)
        body = server.get("/site.js").body
        connection.send(request * count)
        time.sleep(1)
        for _ in range(count):
            equal(connection.answer().body, body)
        # All the while the server kept little of it.
        true(server.status()["memory_peak_bytes"] < 512 << 20, "the answers did not pile up")


@test
def replacements_leave_nothing_behind():
    with Server() as server:
        def settled():
            return server.status()["counters"]["connections_open"] == 1
        until(settled, "only we are connected")
        parent, child = descriptors(server.pid), descriptors(server.serving())
        for _ in range(5):
            before = server.serving()
            server.signal(signal.SIGHUP)
            until(lambda: server.serving() != before and not alive(before), "replaced")  # pylint: disable=cell-var-from-loop
        until(settled, "only we are connected")
        until(lambda: descriptors(server.pid) == parent, "the supervisor has as many descriptors as before")
        until(lambda: descriptors(server.serving()) <= child + 1, "the serving process, too")


run()
