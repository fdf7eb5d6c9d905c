# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre chat HOST over TLS, in lines and in panes, by password and by certificate; and the book's clients beside all of them."""

import os
import socket
import struct
import threading

import secure
from chat_crash import Chat
from chat_wire import PASSWORD, Book, Browser, Ended, said
from harness import ALARMS, PROGRAM, equal, output_of, run, test, true, until
from terminal import Terminal


class SecureChat(Chat):
    """With TLS on `spare`, and client certificates for who has one."""

    def __init__(self, more=""):
        super().__init__(f"listen-tls 127.0.0.1:{{spare}}; certificate {secure.path_of('localhost.pem')}; "
                         f"client-certificates optional {secure.path_of('authority.pem')}; {more}")

    def command(self, *flags, host="localhost"):
        return [PROGRAM, "chat", *flags, f"{host}:{self.ports['spare']}"]

    def line(self, *flags, data="", host="localhost"):
        status, out, told = output_of(self.command(*flags, host=host), data=data)
        true(not ALARMS.search(told), told)
        return status, out, told

    def written(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        return path


def newcomer(chat, nick):
    """A guest of the new process: the old one may take a last connection, and ends it."""
    guests = []

    def came():
        try:
            guests.append(chat.guest(nick))
        except (Ended, OSError):
            pass
        return guests != []

    until(came, f"{nick} is let in")
    return guests[0]


TRUST = ("--tls", "--ca", secure.path_of("authority.pem"))
CUSTOMER = ("--cert", f"{secure.path_of('a_customer.pem')},{secure.path_of('a_customer.key')}")


@test
def lines_go_both_ways_over_tls_by_a_password():
    with SecureChat() as chat, chat.guest("anna") as anna:
        anna.join("garden")
        secret = chat.written("secret", "a long password")
        flags = (*TRUST, "--nick", "bert", "--room", "garden", "--password-file", secret)
        equal(chat.line(*flags, "--register", "--wait", "0", "-q", data="hello\n"), (0, "", ""))
        equal(anna.hear("MESSAGE", sender="bert").contents, "hello")
        equal(chat.line(*flags, "--wait", "0", "-q", data="again\n"), (0, "", ""))
        equal(anna.hear("MESSAGE", sender="bert").contents, "again")
        status, out, _ = chat.line(*TRUST, "--nick", "cora", "--room", "garden", "--history", "2", "--count", "2")
        equal((status, said(out)), (0, [("garden", "bert", "hello"), ("garden", "bert", "again")]))
        wrong = chat.written("wrong", "not the password")
        status, _, told = chat.line(*TRUST, "--nick", "bert", "--password-file", wrong)
        true(status == 1 and "wrong" in told, told)


@test
def a_certificate_logs_in_without_a_password():
    with SecureChat() as chat, chat.guest("anna") as anna:
        anna.join("lobby")
        secret = chat.written("secret", "a long password")
        equal(chat.line(*TRUST, *CUSTOMER, "--nick", "customer", "--register", "--password-file", secret, "--wait", "0", "-q",
                        data="with both\n")[0], 0)
        equal(chat.line(*TRUST, *CUSTOMER, "--nick", "customer", "--wait", "0", "-q", data="by the certificate\n"), (0, "", ""))
        anna.hear("MESSAGE", contents="with both")
        equal(anna.hear("MESSAGE", contents="by the certificate").sender, "customer")
        with chat.client() as client:  # the account is the same one
            client.hello()
            equal(client.login("customer", PASSWORD, "a long password").kind, "IDENTITY")
        status, _, told = chat.line(*TRUST, "--nick", "customer")
        true(status == 1 and "belongs to an account" in told, told)


@test
def who_the_server_is_is_checked():
    with SecureChat() as chat:
        for flags, host, words in (((*TRUST,), "127.0.0.2", "127.0.0.2"), (("--tls",), "localhost", "certificate"),
                                   (("--tls", "--ca", secure.path_of("stranger/authority.pem")), "localhost", "certificate")):
            status, _, told = chat.line(*flags, "--nick", "bert", "--connect-timeout", "5", host=host)
            true(status == 1 and words in told, (flags, told))
        status, _, told = chat.line("--tls", "--insecure", "--nick", "bert", "--wait", "0", data="hello\n")
        true(status == 0 and "WARNING" in told, told)


@test
def panes_over_tls_show_what_is_said_and_come_back_after_a_reload():
    with SecureChat("move-time 200ms;") as chat, chat.guest("anna") as anna:
        anna.join("garden")
        secret = chat.written("secret", "a long password")
        flags = (*TRUST, "--nick", "bert", "--room", "garden", "--password-file", secret, "--register")
        with Terminal(chat.command(*flags)) as bert:
            bert.wait("bert  connected", "that it is connected")
            anna.send("garden", "hello from afar")
            bert.wait("hello from afar", "what anna says")
            bert.press("hello from here\r")
            equal(anna.hear("MESSAGE", sender="bert").contents, "hello from here")
            chat.reload()
            with newcomer(chat, "cora") as cora:
                cora.join("garden")
                cora.send("garden", "after the reload")
                bert.wait("after the reload", "what was said meanwhile")
                bert.press("and I am here\r")
                equal(cora.hear("MESSAGE", sender="bert").contents, "and I am here")
            bert.press("\x03")
            equal(bert.end(), 0, bert.screen.text())
            true(not ALARMS.search(bert.all), bert.all[-2000:])


@test
def a_client_of_the_book_is_cut_anywhere_and_talks_with_all_others():
    register = b"\x01\x00\x04eric"
    said_by_eric = [b"\x02\x00\x03you" + struct.pack(">H", 5) + f"cut {number}".encode() for number in range(3)]
    whole = register + b"".join(said_by_eric)
    with SecureChat() as chat, chat.guest("anna") as anna, chat.guest("cora", Browser) as cora, Book(chat.port, "dora") as dora:
        for client in (anna, cora):
            client.join("lobby")
        for cut in range(1, len(whole)):
            with socket.create_connection(("127.0.0.1", chat.port), 10) as eric:
                eric.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                eric.sendall(whole[:cut])
                anna.hear("CAME", nick="eric") if cut >= len(register) else anna.ask("PING", any="")
                eric.sendall(whole[cut:])
                for number in range(3):
                    for client in (anna, cora):
                        equal(client.hear("MESSAGE").contents, f"cut {number}", f"cut at {cut}")
                    equal(dora.hear(), ("eric", f"cut {number}"))
            for client in (anna, cora):
                client.hear("CAME", nick="eric", what=2)
                client.frames.clear()
        status = []
        waiting = threading.Thread(target=lambda: status.append(
            chat.line(*TRUST, "--nick", "lina", "--count", "1", data="from a line, over TLS\n")))
        waiting.start()
        equal(dora.hear(), ("lina", "from a line, over TLS"))
        dora.broadcast("from the book")
        waiting.join(20)
        equal(status[0][0], 0)
        equal(said(status[0][1]), [("lobby", "dora", "from the book")])
        for client in (anna, cora):
            client.hear("MESSAGE", contents="from the book")


run()
