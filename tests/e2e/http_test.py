# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/1.1 over real connections, by curl and by bytes of our own; and what the built-in site answers."""

import contextlib
import json
import resource
import socket
import struct
import time

from harness import Connection, Server, Skip, descriptors, equal, output_of, run, test, tool, true, until


def curl(*arguments, **more):
    """(exit status, what -w wrote, the rest of stderr)"""
    return output_of([tool("curl"), "--noproxy", "*", "--silent", "--show-error", "--max-time", "20", *arguments], **more)


@test
def the_page_and_what_it_loads_are_served():
    with Server() as server:
        for path, kind in (("/", "text/html"), ("/site.css", "text/css"), ("/site.js", "text/javascript"),
                           ("/icon.svg", "image/svg+xml"), ("/?query=1", "text/html")):
            answer = server.get(path)
            equal(answer.status, 200, path)
            true(answer.fields["content-type"].startswith(kind), f"{path} has the type {kind}")
            true("default-src 'none'" in answer.fields["content-security-policy"], f"{path} has a strict policy")
            equal(answer.fields["x-content-type-options"], "nosniff")
            true("http://" not in answer.body.decode().replace("http://www.w3.org/", "").replace(
                "http://127.0.0.1:8080", ""), f"{path} names no other place")


@test
def what_the_client_has_is_not_sent_again():
    with Server() as server, Connection(server.port) as connection:
        tag = connection.get("/").fields["etag"]
        for given in (tag, "W/" + tag, f'"other", {tag}', "*"):
            answer = connection.get("/", "If-None-Match: " + given)
            equal(answer.status, 304, given)
            equal(answer.fields["etag"], tag)
            equal(answer.body, b"")
        equal(connection.get("/", 'If-None-Match: "other"').status, 200, "another tag")
        equal(connection.get("/", 'If-Match: "other"').status, 412, "only as it was (RFC 9110 §13.1.1)")
        true(connection.get("/site.js").fields["etag"] != tag, "another file has another tag")


@test
def status_json_says_what_is_running():
    with Server(workers=2) as server:
        first = server.status()
        for _ in range(10):
            equal(server.get("/").status, 200)
        second = server.status()
        true(second["requests"] >= first["requests"] + 10, "the requests are counted")
        true(second["counters"]["received_bytes"] > first["counters"]["received_bytes"], "bytes in are counted")
        true(second["counters"]["sent_bytes"] > first["counters"]["sent_bytes"], "bytes out are counted")
        true(second["clock_ms"] >= first["clock_ms"] and second["uptime_ms"] >= first["uptime_ms"], "time goes on")
        true(second["uptime_ms"] < 60000, "the process is young")
        true(second["cpu_us"] > 0 and second["memory_peak_bytes"] > 1 << 20, "the process is measured")
        equal(second["workers"]["count"], 2)
        equal(sum(w["requests"] for w in second["workers"]["list"]), second["requests"], "the workers' sum")
        true(second["receive_mode"] in ("one-shot", "multishot", "incremental", "bundle"), "a mode is named")
        states = {f["name"]: f["state"] for f in second["ring_features"]}
        equal(states["BUFFER_RING"], "used")
        true(set(states.values()) <= {"used", "available", "absent"}, "features have known states")
        true(sum(second["counters"]["connections_closed"].values()) > 0, "labelled counters are objects")


@test
def status_json_says_which_mode_was_forced():
    with Server("--receive-mode", "one-shot", "--without", "MULTISHOT_ACCEPT,NO_SQARRAY", workers=1) as server:
        status = server.status()
        equal(status["receive_mode"], "one-shot")
        states = {f["name"]: f["state"] for f in status["ring_features"]}
        equal(states["MULTISHOT_ACCEPT"], "absent")
        equal(states["NO_SQARRAY"], "absent")
        true(states["MULTISHOT_RECEIVE"] in ("available", "absent"), "multishot receive is not used")


@test
def each_receive_mode_serves():
    for mode in ("one-shot", "multishot", "incremental", "bundle"):
        with Server("--receive-mode", mode, workers=1) as server, Connection(server.port) as connection:
            for _ in range(50):
                equal(connection.get("/site.js").status, 200, mode)


@test
def nothing_at_an_address_is_404_whatever_the_method():
    with Server() as server, Connection(server.port) as connection:
        answer = connection.get("/nothing%20here?<script>")
        equal(answer.status, 404)
        true(b"<script>" not in answer.body, "the address is not repeated in the page")
        connection.request("POST", "/nothing", "Content-Length: 2", body=b"ab")
        equal(connection.answer().status, 404)
        equal(connection.get("/").status, 200, "the connection goes on")


@test
def other_methods_are_405_with_allow():
    with Server() as server, Connection(server.port) as connection:
        for method in ("POST", "PUT", "DELETE", "PATCH", "BREW"):
            connection.request(method, "/status.json", "Content-Length: 3", body=b"abc")
            answer = connection.answer()
            equal(answer.status, 405, method)
            equal(answer.fields["allow"], "GET, HEAD, OPTIONS")
        connection.request("OPTIONS", "/")
        answer = connection.answer()
        equal(answer.status, 204)
        equal(answer.fields["allow"], "GET, HEAD, OPTIONS")


@test
def head_has_the_fields_of_get_and_no_body():
    with Server() as server, Connection(server.port) as connection:
        whole = connection.get("/")
        connection.request("HEAD", "/")
        head = connection.answer(head=True)
        for name in ("content-length", "etag", "content-type"):
            equal(head.fields[name], whole.fields[name], name)
        equal(connection.get("/").body, whole.body, "what comes behind a HEAD")
        status, out, _ = curl("--head", server.address + "/")
        equal(status, 0, "curl --head")
        true(out.startswith("HTTP/1.1 200"), out)


@test
def curl_keeps_a_connection_for_many_requests():
    each = ["-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n"]
    with Server() as server:
        status, out, errors = curl(*each, server.address + "/", "--next", *each, server.address + "/site.js", "--next",
                                   *each, server.address + "/none")
        equal(status, 0, errors)
        equal(out.split("\n")[:3], ["200 1", "200 0", "404 0"], "status and new connections")


@test
def curl_uploads_in_chunks():
    with Server() as server:
        for size in (0, 1, 1000, 60000):
            status, out, errors = curl("-X", "POST", "-H", "Transfer-Encoding: chunked", "-H", "Expect:", "-T", "-",
                                       "-o", "/dev/null", "-w", "%{http_code}", server.address + "/", data="x" * size)
            equal(status, 0, errors)
            equal(out, "405", f"the status behind {size} bytes")


@test
def an_expectation_of_100_is_answered():
    with Server() as server, Connection(server.port) as connection:
        # Answered at once: the body is not asked for.
        connection.request("POST", "/", "Content-Length: 5", "Expect: 100-continue")
        answer = connection.answer()
        true(answer.status in (100, 405), f"100 or the final status, not {answer.status}")
        if answer.status == 100:
            connection.send(b"hello")
            equal(connection.answer().status, 405)
        status, out, errors = curl("-H", "Expect: 100-continue", "-d", "x" * 3000, "-o", "/dev/null", "-w",
                                   "%{http_code}", server.address + "/")
        equal(status, 0, errors)
        equal(out, "405")


@test
def pipelined_requests_are_answered_in_order():
    targets = ["/", "/none", "/site.css", "/status.json", "/icon.svg"] * 20
    with Server() as server, Connection(server.port) as connection:
        connection.send(b"".join(f"GET {t} HTTP/1.1\r\nHost: test\r\n\r\n".encode() for t in targets))
        for target in targets:
            answer = connection.answer()
            equal(answer.status, 404 if target == "/none" else 200, target)
            if target == "/status.json":
                json.loads(answer.body)
            elif target == "/icon.svg":
                true(answer.body.endswith(b"</svg>\n"), "the right body")


@test
def a_request_may_arrive_a_byte_at_a_time():
    with Server() as server, Connection(server.port) as connection:
        for byte in b"GET /none HTTP/1.1\r\nHost: test\r\nX: y\r\n\r\n":
            connection.send(bytes([byte]))
            time.sleep(0.001)
        equal(connection.answer().status, 404)


@test
def http_1_0_is_closed_behind_the_answer_unless_kept():
    with Server() as server:
        with Connection(server.port) as connection:
            connection.send(b"GET /none HTTP/1.0\r\n\r\n")
            equal(connection.answer().status, 404)
            true(connection.closed(), "it is closed")
        with Connection(server.port) as connection:
            for _ in range(2):
                connection.send(b"GET /none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                answer = connection.answer()
                equal(answer.fields["connection"].lower(), "keep-alive")


@test
def connection_close_is_followed():
    with Server() as server, Connection(server.port) as connection:
        equal(connection.get("/", "Connection: close").fields["connection"].lower(), "close")
        true(connection.closed(), "it is closed")


@test
def a_half_closed_client_gets_its_answer():
    with Server() as server, Connection(server.port) as connection:
        connection.request("GET", "/site.js")
        connection.socket.shutdown(socket.SHUT_WR)
        equal(connection.answer().status, 200)
        true(connection.closed(), "and the connection ends")


@test
def a_slow_head_gets_408_and_is_closed():
    with Server() as server:
        begun = time.monotonic()
        connection = Connection(server.port, seconds=60)
        connection.send(b"GET / HTTP/1.1\r\nHost: test\r\n")
        # A field now and then does not buy more time.
        while time.monotonic() - begun < 6:
            time.sleep(1)
            connection.send(b"X: y\r\n")
        answer = connection.answer()
        took = time.monotonic() - begun
        equal(answer.status, 408)
        equal(answer.fields["connection"].lower(), "close")
        true(connection.closed(), "it is closed")
        true(9 < took < 50, f"ten seconds pass before that, not {took:.1f}")
        connection.close()
        until(lambda: server.status()["counters"]["timeouts"]["header"] == 1, "the timeout is counted")


@test
def heads_whose_bodies_never_come_do_not_hold_up_others():
    heads = 4200  # of 12 KiB: as much as there is output memory for a worker
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < heads + 100:
        raise Skip(f"{heads} connections need more open files than the {hard} that are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fields = b"".join(b"X-%d: %s\r\n" % (i, b"v" * 3990) for i in range(3))
    head = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n" + fields + b"\r\n"
    try:
        with Server(workers=1) as server, contextlib.ExitStack() as stack:
            for _ in range(heads):
                stack.enter_context(Connection(server.port)).send(head)
            equal(server.get("/").status, 200)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@test
def connections_leave_no_descriptors():
    with Server() as server:
        serving = server.serving()
        until(lambda: server.status()["counters"]["connections_open"] == 1, "only we are connected")
        before = descriptors(serving)
        for round_number in range(8):
            held = [Connection(server.port) for _ in range(250)]
            for number, connection in enumerate(held):
                if number % 4 == 0:
                    equal(connection.get("/icon.svg").status, 200)
                elif number % 4 == 1:  # gone with a reset, its request unread or unanswered
                    connection.request("GET", "/site.js")
                    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif number % 4 == 2:
                    connection.send(b"GET /half HTT")
            if round_number == 0:
                until(lambda: descriptors(serving) >= before + 200, "connections are descriptors")
            for connection in held:
                connection.close()
        until(lambda: server.status()["counters"]["connections_open"] == 1, "all connections are over")
        until(lambda: descriptors(serving) <= before + 1, "their descriptors are given back")
        true(server.status()["counters"]["connections_accepted"] >= 2000, "there were 2000")


run()
