# SPDX-License-Identifier: GPL-3.0-or-later
"""https and clients that break TLS: each gets the alert that RFC 8446 has for it, and nobody else notices."""

import contextlib
import shutil
import socket

import tls_hello as made
from harness import equal, run, test, true
from secure import Https, Secure, folder


def exchange(port, data, ends=False):
    """All that the server says to it until it ends the connection."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), 5)) as client:
        with contextlib.suppress(OSError):  # it may have said what it has to say before the last of it came
            client.sendall(data)
            if ends:
                client.shutdown(socket.SHUT_WR)
        answer = b""
        while more := client.recv(65536):
            answer += more
        return answer


def alerts_in(answer):
    """The alerts that are not enciphered."""
    found = []
    while len(answer) >= 5:
        length = int.from_bytes(answer[3:5], "big")
        if answer[0] == 21 and length == 2:
            found.append((answer[5], answer[6]))
        answer = answer[5 + length:]
    return found


@test
def a_whole_hello_is_answered():
    with Https() as server, contextlib.closing(socket.create_connection(("127.0.0.1", server.port), 5)) as client:
        # So that what is broken below is what each line says, and nothing else. In one piece, and in many.
        client.sendall(made.first())
        equal(client.recv(6)[::5], b"\x16\x02", "a server's hello")
        with contextlib.closing(socket.create_connection(("127.0.0.1", server.port), 5)) as slow:
            message = made.hello()
            slow.sendall(b"".join(made.record(22, message[i:i + 7]) for i in range(0, len(message), 7)))
            equal(slow.recv(6)[::5], b"\x16\x02", "a server's hello to one in pieces")


@test
def each_breach_has_its_alert():
    wrong = []
    with Https() as server:
        for what, data, alerts in made.BROKEN:
            try:
                found = alerts_in(exchange(server.port, data))
            except OSError as error:
                wrong.append(f"{what}: {error}")
                continue
            if len(found) != 1 or found[0][0] != 2 or found[0][1] not in alerts:
                wrong.append(f"{what}: {found}, not one of {alerts}")
        true(not wrong, "; ".join(wrong))
        equal(server.counted("gyre_tls_failures_total"), len(made.BROKEN), "each is counted")
        with Secure(server.port) as connection:
            equal(connection.get("/").status, 200, "others are served")


@test
def what_is_broken_after_the_hello_ends_the_connection():
    after = (
        ("a change of cipher with another value", made.record(20, b"\x02", 0x0303)),
        ("what was enciphered by nobody", made.record(23, b"\x17" * 40, 0x0303)),
        ("a record too short to be enciphered", made.record(23, b"\x17" * 5, 0x0303)),
        ("a record of more than 2^14 + 256 bytes", made.record(23, b"\x17" * 16641, 0x0303)),
        ("early data that was not announced", made.record(23, b"\x17" * 40, 0x0303)),
        ("a second hello", made.first()),
        ("an unknown type of record", made.record(99, b"hello", 0x0303)))
    with Https() as server:
        for what, data in after:
            true(exchange(server.port, made.first() + data)[:1] == b"\x16", f"{what}: it is answered, and ends")
        equal(server.counted("gyre_tls_failures_total"), len(after))


@test
def a_client_that_leaves_early_costs_nothing():
    with Https() as server:
        whole = made.first()
        for length in (1, 4, 5, 6, 40, len(whole) - 1):
            equal(exchange(server.port, whole[:length], ends=True), b"", f"after {length} bytes")
        with Secure(server.port) as connection:
            equal(connection.get("/").status, 200, "others are served")


if __name__ == "__main__":
    try:
        run()
    finally:
        shutil.rmtree(folder(), ignore_errors=True)
