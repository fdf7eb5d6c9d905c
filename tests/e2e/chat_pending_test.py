# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to a chat that nobody logs in on: how many, for how long, and that they keep nobody out."""

import contextlib
import socket
import struct

import chat_crash
import secure
from chat_wire import Browser, Ended, encode, ended
from harness import equal, failing, patiently, run, test, true, until
from websocket_peer import BINARY


class Chat(secure.Ready, chat_crash.Chat):
    """No connection looks whether it serves: it would be counted until the server sees that it is gone."""


def opened(chat):
    return sum(count for name, count in chat.metrics().items() if name.startswith('gyre_server_connections_open{server="chat'))


def refused(chat, reason):
    return chat.metrics().get(f'gyre_chat_refused_total{{reason="{reason}",server="chat"}}', 0)


def pending(chat):
    return chat.metrics()['gyre_chat_pending{server="chat"}']


@test
def an_address_has_only_so_many_connections_that_nobody_logged_in_on():
    with Chat("pending-per-address 3;") as chat:
        silent = [chat.client() for _ in range(3)]
        until(lambda: pending(chat) == 3, "they are counted")
        with chat.client() as fourth:
            answers = ended(fourth)
            equal([(frame.error, frame.fatal) for frame in answers], [("full", 1)])
            true("3 connections" in answers[0].sentence and answers[0].retry_ms > 0, f"it says what, and when: {answers[0]}")
        equal(refused(chat, "pending-per-address"), 1)
        true("127.0.0.1 is refused" in chat.log(), "and in the log")
        # Who logs in makes room, and is not counted any more; who goes, too.
        silent[0].hello()
        equal(silent[0].login("anna").kind, "IDENTITY")
        silent[1].close()
        until(lambda: pending(chat) == 1, "two are not waited for any more")
        more = [chat.guest(f"guest{number}") for number in range(5)]
        equal(silent[0].join("hall")[0].kind, "JOINED")
        for client in silent + more:
            client.close()


@test
def browsers_and_handshakes_of_tls_are_counted_with_their_address_too():
    files = f"certificate {secure.path_of('localhost.pem')}; listen-tls 127.0.0.1:{{spare}};"
    with Chat(f"pending-per-address 2; {files}") as chat:
        with chat.client(Browser, "other"), socket.create_connection(("127.0.0.1", chat.ports["spare"]), 10):
            until(lambda: opened(chat) == 2, "both are counted")
            with chat.client() as third:
                equal([frame.error for frame in ended(third)], ["full"])
            for name in ("other", "spare"):  # before HTTP, and before TLS, there is nothing that it could be told
                with socket.create_connection(("127.0.0.1", chat.ports[name]), 10) as fourth:
                    equal(fourth.recv(1), b"", name)
        def comes():
            try:
                with chat.client() as client:
                    client.hello()
                    return client.login("anna").kind == "IDENTITY"
            except (Ended, ConnectionError):
                return False
        until(comes, "they have gone, and there is room")
        people = [chat.guest(f"guest{number}", Browser) for number in range(4)]
        equal(people[3].join("hall")[0].kind, "JOINED")
        for client in people:
            client.close()


@test
def the_oldest_one_goes_for_a_new_one_and_nobody_is_kept_out():
    with Chat("pending-per-address off; pending-logins 4;", workers=1) as chat, chat.guest("anna") as anna:
        oldest = chat.client()
        oldest.hello()
        other = chat.client(Browser, "other")
        silent = [chat.client() for _ in range(2)]
        until(lambda: pending(chat) == 4, "four are waited for")
        people = [chat.guest(f"guest{number}") for number in range(3)]
        last = ended(oldest)[-1]
        equal((last.error, last.fatal), ("full", 1))
        true("oldest" in last.sentence, last.sentence)
        equal(refused(chat, "pending-logins"), 1)
        more = [chat.client() for _ in range(2)]
        equal([frame.error for frame in ended(other)], ["full"])
        equal(anna.join("hall")[0].kind, "JOINED")
        for client in [oldest, other, *silent, *people, *more]:
            client.close()


@test
def what_a_browser_says_while_its_password_is_looked_at_is_not_copied_for_each_word():
    dear = chat_crash.CONFIG.replace("password-cost 10;", "password-cost 16;")
    with Chat(workers=1, config=dear, rates="") as chat, chat.client(Browser, "other") as client:
        client.hello()
        account = client.peer.frame(BINARY, encode("REGISTER", 5, nick="anna", password="secret"))
        with contextlib.suppress(ConnectionError):  # it is ended meanwhile
            client.peer.send(account + client.peer.frame(BINARY, encode("PING", 1, any="x")) * 28500)
            ended(client)
        true(client.closed in (1000, 1013), f"too fast, or too much at once: {client.closed}")
        copied = chat.metrics()["gyre_copied_bytes_total"]
        true(copied < 20e6, f"{copied:.0f} bytes copied of 256 KiB that waited")


@test
def who_says_nothing_or_only_half_of_it_is_not_waited_for():
    patiently(not_waited_for)


def not_waited_for(patience):
    with Chat(f"login-timeout {patience}s;") as chat, failing(OSError, Ended):
        silent, half, greeted, browser, book = [chat.client() for _ in range(3)] + [chat.client(Browser, "other"), chat.client()]
        half.raw(encode("HELLO", version_min=1, version_max=1, frame_max=65536)[:9])
        greeted.hello()
        browser.hello()
        book.raw(b"\x01" + struct.pack(">H", 20) + b"half of a")
        equal([frame.error for frame in ended(silent) + ended(half)], ["idle"], "of which the first may be the book's")
        for client in (greeted, browser):
            last = ended(client)[-1]
            equal((last.error, last.fatal), ("idle", 1))
            true("log" in last.sentence, last.sentence)
        equal(ended(book), [])
        equal(refused(chat, "late"), 5)
        until(lambda: pending(chat) == 0, "nobody is waited for any more")
        for client in (silent, half, greeted, browser, book):
            client.close()


run()
