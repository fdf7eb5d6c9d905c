# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre chat serve: people, rooms and histories; browsers and the book's clients among them; what goes wrong."""

import os
import re
import signal
import socket
import struct
import subprocess
import tempfile

import secure
from chat_crash import Chat, Reader, crash
from chat_wire import (BAN, CERTIFICATE, DISCONNECT, DROP_OLDEST, KICK, LATEST_ONLY, MUST, MUTE, NONE, OPERATOR, PASSWORD, SLOW, SPILL,
                       TOKEN, Book, Browser, Client, Ended, encode, ended)
from harness import PROGRAM, equal, failing, free_ports, output_of, patiently, run, test, true, until
from websocket_peer import CLOSE, TEXT, Peer


@test
def people_register_log_in_and_keep_their_nicks():
    with Chat() as chat, chat.client() as anna:
        welcome = anna.hello()
        equal((welcome.kind, welcome.version), ("WELCOME", 1))
        identity = anna.ask("REGISTER", nick="Anna", password="correct horse")
        equal(identity.kind, "IDENTITY", str(identity))
        with chat.client() as other:
            other.hello()
            equal(other.ask("REGISTER", nick="anna", password="another one").error, "taken")
            equal(other.login("ANNA").error, "taken")
            equal(other.login("anna", PASSWORD, "wrong horse").error, "refused")
            equal(other.login("nobody", PASSWORD, "correct horse").error, "refused")
            again = other.login("anna", PASSWORD, "correct horse")
            equal((again.kind, again.user), ("IDENTITY", identity.user))
        with chat.client() as third:
            third.hello()
            equal(third.login("anna", TOKEN, identity.token[:-1] + ("0" if identity.token[-1] != "0" else "1")).error,
                  "refused")
            equal(third.login("anna", TOKEN, identity.token).user, identity.user)
        with chat.client() as fourth:
            fourth.hello()
            equal(fourth.login("an na").error, "name")
            equal(fourth.login("аnna").error, "name")  # with a Cyrillic a
            equal(fourth.login("bert").kind, "IDENTITY")


@test
def what_is_said_reaches_everybody_in_the_room_once_and_in_order():
    with Chat() as chat, chat.guest("anna") as anna, chat.guest("bert") as bert, chat.guest("cora", Browser) as cora:
        for client in (anna, bert, cora):
            equal(client.join("garden")[0].kind, "JOINED")
        for number in range(20):
            answer = anna.send("garden", f"message {number}", number + 1)
            equal((answer.kind, answer.id), ("ACK", number + 1))
        for client in (bert, cora):
            for number in range(20):
                frame = client.hear("MESSAGE")
                equal((frame.id, frame.sender, frame.contents), (number + 1, "anna", f"message {number}"))
        again = anna.send("garden", "message 3", 4)
        equal((again.kind, again.id), ("ACK", 4))
        equal(cora.send("garden", "from a browser").id, 21)
        equal(anna.hear("MESSAGE").contents, "from a browser")
        equal(bert.hear("MESSAGE").contents, "from a browser")


@test
def workers_share_rooms():
    with Chat(workers=4) as chat:
        clients = [chat.guest(f"guest{number}") for number in range(12)]
        for client in clients:
            client.join("hall")
        for number, client in enumerate(clients):
            equal(client.send("hall", f"I am {number}").kind, "ACK")
        for number, client in enumerate(clients):
            heard = [client.hear("MESSAGE") for _ in range(11)]
            equal([frame.id for frame in heard], [n + 1 for n in range(12) if n != number])
        for client in clients:
            client.close()


@test
def history_is_there_after_a_restart_and_is_paged():
    with Chat() as chat:
        with chat.guest("anna") as anna:
            anna.join("attic")
            for number in range(1, 31):
                equal(anna.send("attic", f"{number}").id, number)
            equal(anna.ask("EDIT", room=anna.room["attic"], client_id=0, target=30, contents="thirty").id, 31)
            equal(anna.ask("DELETE", room=anna.room["attic"], client_id=0, target=29).id, 32)
        chat.kill_serving()
        until(chat.answers, "it serves again")
        with chat.guest("bert") as bert:
            joined, messages = bert.join("attic", history=5)
            equal((joined.first, joined.last), (1, 32))
            equal(sorted(frame.id for frame in messages), list(range(28, 33)))
            equal([frame.contents for frame in messages if frame.id == 29], [""])
            page = bert.ask_all("HISTORY", room=joined.room, by=0, point=3, max=4)
            equal([frame.contents for frame in page[:-1]], ["4", "5", "6", "7"])
            equal(page[-1].more, 1)
            page = bert.ask_all("HISTORY", room=joined.room, by=2, point=3, max=4)
            equal([frame.contents for frame in page[:-1]], ["2", "1"])
            page = bert.ask_all("HISTORY", room=joined.room, by=1, point=messages[0].time, max=100)
            true(len(page) >= 6, "from a time on")
        with chat.guest("cora") as cora:
            _, messages = cora.join("attic", since=30)
            equal([frame.id for frame in messages], [31, 32])


@test
def a_browser_that_asks_for_more_than_is_sent_at_once_gets_all_of_it():
    with Chat() as chat, chat.guest("anna", Browser) as anna, chat.guest("bert") as bert:
        joined, _ = anna.join("attic")
        bert.join("attic")
        for _ in range(4):
            equal(bert.send("attic", "x" * 15000).kind, "ACK")
        pages = b"".join(encode("HISTORY", 10 + number, room=joined.room, by=0, point=0, max=500) for number in range(6))
        anna.raw(pages + encode("PING", 99, any="all of it"))
        equal(anna.hear("PONG").any, "all of it")
        equal([frame.tag for frame in anna.frames if frame.kind == "END"], [10, 11, 12, 13, 14, 15])


@test
def a_person_is_told_things_when_away():
    with Chat() as chat:
        with chat.client() as anna:
            anna.hello()
            token = anna.ask("REGISTER", nick="anna", password="a long password").token
        with chat.guest("bert") as bert:
            answer = bert.ask("TELL", nick="Anna", client_id=7, contents="psst")
            equal(answer.kind, "ACK", str(answer))
            equal(bert.ask("TELL", nick="nobody", client_id=8, contents="psst").error, "absent")
        with chat.client() as anna:
            anna.hello()
            anna.login("anna", TOKEN, token)
            _, messages = anna.join("@", history=10)
            equal([(frame.sender, frame.contents) for frame in messages], [("bert", "psst")])


@test
def rooms_are_moderated():
    with Chat() as chat, chat.guest("owner") as owner, chat.guest("bert") as bert, chat.guest("cora") as cora:
        equal(owner.join("court")[0].role, 2)
        for client in (bert, cora):
            equal(client.join("court")[0].role, 0)
        room = owner.room["court"]

        def moderate(client, action, nick="", seconds=0):
            return client.ask("MODERATE", room=room, client_id=0, action=action, nick=nick, seconds=seconds, reason="so")

        equal(moderate(bert, KICK, "cora").error, "forbidden")
        equal(moderate(owner, MUTE, "bert").kind, "ACK")
        equal(bert.send("court", "hello?").error, "forbidden")
        equal(moderate(owner, OPERATOR, "bert").kind, "ACK")
        equal(moderate(owner, BAN, "cora").kind, "ACK")
        until(lambda: cora.send("court", "still here?").kind == "ERROR", "cora is out")
        equal(cora.join("court")[0].error, "forbidden")
        equal(moderate(owner, SLOW, seconds=60).kind, "ACK")
        with chat.guest("dora") as dora:
            equal(dora.join("court")[0].slow_ms, 60000)
            equal(dora.send("court", "one").kind, "ACK")
            late = dora.send("court", "two")
            equal(late.error, "too-fast")
            true(0 < late.retry_ms <= 60000, f"it says when: {late}")


@test
def operators_of_the_server_may_do_in_every_room_what_its_owner_may():
    with Chat("operators Root;") as chat, chat.guest("owner") as owner, chat.client() as root:
        owner.join("court")
        room = owner.room["court"]
        with chat.guest("root") as guest:  # the nick alone is not it
            guest.join("court")
            equal(guest.ask("MODERATE", room=room, client_id=0, action=KICK, nick="owner").error, "forbidden")
        root.hello()
        until(lambda: root.ask("REGISTER", nick="root", password="a long password").kind == "IDENTITY", "the guest of that nick has left")
        equal(root.join("court")[0].role, 2)
        equal([frame.name for frame in root.ask_all("ROOMS", prefix="", after="", max=10)[:-1]], ["court"])
        equal({frame.nick for frame in root.ask_all("MEMBERS", room=room, after="", max=10)[:-1]}, {"owner", "root"})
        equal(root.ask("TOPIC", room=room, client_id=0, topic="maintenance at ten").kind, "ACK")
        equal(owner.hear("MESSAGE", sort=3).contents, "maintenance at ten")


@test
def who_floods_gains_nothing_by_connecting_again():
    with Chat(rates="requests 1000 1000; address-requests 2 60; account-requests 2 30;") as chat:
        with chat.client() as anna:
            anna.hello()
            token = anna.ask("REGISTER", nick="anna", password="a long password").token

        def rush(method, secret):
            """What one connection is let say, of 40."""
            with chat.client() as client:
                client.hello()
                if client.login("anna" if method else f"guest{rush.count}", method, secret).kind == "ERROR":
                    return 0
                rush.count += 1
                client.raw(b"".join(encode("PING", number + 100, any="") for number in range(40)))
                answers = [client.hear("PONG", "ERROR", tag=number + 100) for number in range(40)]
                true(all(answer.error in (None, "too-fast") for answer in answers), str(answers[-1]))
                true(all(answer.retry_ms > 0 for answer in answers if answer.error), "it says when")
                return sum(answer.kind == "PONG" for answer in answers)

        rush.count = 0
        taken = [rush(TOKEN, token) for _ in range(2)]
        true(30 <= taken[0] < 40 and taken[1] < 15, f"an account's is the same on each connection: {taken}")
        taken = [rush(0, "") for _ in range(4)]
        true(taken[0] > 0 and taken[-1] < 15 and sum(taken) < 90, f"an address's, too: {taken}")


@test
def accounts_are_made_only_so_fast_from_one_address():
    with Chat("registrations 3;") as chat:
        answers = []
        for number in range(5):
            with chat.client() as client:
                client.hello()
                answers.append(client.ask("REGISTER", nick=f"anna{number}", password="a long password"))
        equal([answer.error for answer in answers], [None, None, None, "too-fast", "too-fast"])
        true(answers[-1].retry_ms > 60000, str(answers[-1]))


@test
def rooms_of_guests_go_when_nobody_was_in_them_and_others_stay():
    with Chat("keep-guest-rooms 1s; rooms-per-address 2; rooms Help;") as chat, chat.client() as anna:
        anna.hello()
        anna.ask("REGISTER", nick="anna", password="a long password")
        anna.join("court")
        with chat.guest("bert") as bert:
            equal([bert.join(name)[0].error for name in ("one", "two", "three")], [None, None, "full"])
            equal([bert.join(name)[0].role for name in ("help", "lobby")], [0, 0])  # which are nobody's
            equal(bert.send("one", "is anybody here?").kind, "ACK")
        chat.kill_serving()
        until(chat.answers, "it serves again")

        def names():
            with chat.guest("cora") as cora:
                return [frame.name for frame in cora.ask_all("ROOMS", prefix="", after="", max=10)[:-1]]

        until(lambda: names() == ["court", "help", "lobby"], "the rooms of guests are gone", 30)
        with chat.guest("bert") as bert:
            joined, _ = bert.join("one", since=1)
            equal((joined.first, joined.last), (1, 0))


@test
def clients_of_the_book_share_the_lobby_with_all_others():
    with Chat("lobby square;") as chat, chat.guest("anna") as anna, chat.guest("cora", Browser) as cora:
        anna.join("square")
        cora.join("square")
        with Book(chat.port, "bert") as bert, Book(chat.port, "dora") as dora:
            anna.hear("CAME", nick="bert")
            anna.hear("CAME", nick="dora")
            bert.broadcast("from the book", "somebody else")
            equal(dora.hear(), ("bert", "from the book"))
            for client in (anna, cora):
                frame = client.hear("MESSAGE")
                equal((frame.sender, frame.contents), ("bert", "from the book"))
            anna.send("square", "from anna")
            equal(dora.hear(), ("anna", "from anna"))
            equal(bert.hear(), ("anna", "from anna"))  # and no echo before it
            bert.socket.sendall(b"\x01\x00\x01x")
            equal(bert.socket.recv(10), b"", "a second register")
        with socket.create_connection(("127.0.0.1", chat.port), 10) as early:
            early.sendall(b"\x02\x00\x00\x00\x02hi")
            equal(early.recv(10), b"", "a broadcast before the register")
        with socket.create_connection(("127.0.0.1", chat.port), 10) as slow:
            for byte in b"\x01\x00\x04eric\x02\x00\x00\x00\x02hi":
                slow.sendall(bytes([byte]))
            equal(anna.hear("MESSAGE", sender="eric").contents, "hi")


def fall_behind(chat, policy, lines=400, kind=Client):
    """A reader that reads nothing while much is said; and what it gets afterwards."""
    reader = chat.guest(f"reader{policy}", kind)
    (reader.peer if kind is Browser else reader).socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    room = f"flood{policy}"
    reader.join(room, policy)
    with chat.guest(f"writer{policy}") as writer:
        writer.join(room)
        text = "x" * 15000
        for number in range(lines + 8):
            if number < lines:
                writer.say("SEND", number + 1, room=writer.room[room], client_id=number + 1, contents=text)
            if number < 8:
                continue
            answer = writer.hear("ACK", "ERROR")
            equal(answer.kind, "ACK", str(answer))
    return reader


def numbers(reader, last):
    """Ids of messages, and gaps, until that of the last message."""
    ids, gaps = [], []
    while not ids or ids[-1] < last:
        frame = reader.hear("MESSAGE", "GAP")
        if frame.kind == "GAP":
            gaps.append((frame.first, frame.last))
        else:
            ids.append(frame.id)
    return ids, gaps


@test
def a_slow_reader_gets_what_its_policy_says():
    with Chat("slow-bytes 64k;") as chat:
        reader = fall_behind(chat, SPILL)
        ids, gaps = numbers(reader, 400)
        equal(ids, list(range(1, 401)), "what a spilling reader gets")
        reader.close()

        reader = fall_behind(chat, DROP_OLDEST)
        ids, gaps = numbers(reader, 400)
        true(len(ids) < 400, "something was dropped")
        missing = [number for number in range(1, 401) if number not in ids]
        told = [number for first, last in gaps for number in range(first, last + 1)]
        true(set(missing) <= set(told), f"each gap is told: {missing[:3]} {gaps}")
        equal(ids, sorted(ids))
        reader.close()

        reader = fall_behind(chat, LATEST_ONLY)
        ids, gaps = numbers(reader, 400)
        true(len(ids) < 400 and gaps, "the latest only")
        reader.close()

        reader = fall_behind(chat, DISCONNECT)
        frames = ended(reader)
        equal([frame.error for frame in frames if frame.kind == "ERROR"], ["too-slow"])
        reader.close()


@test
def a_slow_browser_gets_what_its_policy_says():
    with Chat("slow-bytes 64k;") as chat:
        for policy in (SPILL, DROP_OLDEST, LATEST_ONLY):
            with fall_behind(chat, policy, kind=Browser) as reader:
                ids, gaps = numbers(reader, 400)
                missing = [number for number in range(1, 401) if number not in ids]
                told = [number for first, last in gaps for number in range(first, last + 1)]
                true(ids == sorted(set(ids)) and set(missing) <= set(told), f"each gap is told: {missing[:3]} {gaps}")
                equal(missing == [], policy == SPILL, f"policy {policy}: {len(missing)} are missing")
        with fall_behind(chat, DISCONNECT, kind=Browser) as reader:
            equal([frame.error for frame in ended(reader) if frame.kind == "ERROR"], ["too-slow"])


@test
def a_drain_tells_where_to_go_and_gives_time():
    patiently(told_and_given_time)


def told_and_given_time(patience):
    with Chat(f"move-to chat.example:7200; move-time {1500 * patience}ms;") as chat, failing(OSError, Ended):
        clients = [chat.guest("anna"), chat.guest("bert", Browser)]
        for client in clients:
            client.join("hall")
        chat.signal(signal.SIGTERM)
        for client in clients:
            move = client.hear("MOVE")
            equal(move.address, "chat.example:7200")
            true(0 < move.in_ms <= 1500 * patience, f"in {move.in_ms}")
            equal(client.send("hall", "still").kind, "ACK")
        for client in clients:
            equal([frame.error for frame in ended(client) if frame.kind == "ERROR"], ["drain"])
            client.close()
        equal(clients[1].closed, 1001)
        equal(chat.wait(), 0)


@test
def a_reload_moves_people_and_they_resume_without_a_gap():
    with Chat("move-time 300ms;") as chat:
        with chat.client() as anna:
            anna.hello()
            token = anna.ask("REGISTER", nick="anna", password="a long password").token
            anna.join("hall")
            equal(anna.send("hall", "before", 1).id, 1)
            chat.write(open(chat.file, encoding="utf-8").read().replace("move-time", "name renamed; move-time"))
            chat.reload()
            anna.hear("MOVE")
        with chat.client() as anna:
            equal(anna.hello().server, "renamed")
            equal(anna.login("anna", TOKEN, token).kind, "IDENTITY")
            _, messages = anna.join("hall", since=0)
            equal([frame.contents for frame in messages], ["before"])
            equal(anna.send("hall", "before", 1).id, 1)
            equal(anna.send("hall", "after", 2).id, 2)
        chat.write("chat { nonsense; }")
        chat.signal(signal.SIGHUP)
        until(lambda: "not reloaded" in chat.log(), "a wrong file is refused")
        true(chat.answers(), "what is in use stays")


@test
def ten_reloads_under_load_lose_nothing_and_double_nothing():
    with Chat("move-time 100ms;") as chat:
        readers = [Reader(chat, "streamed"), Reader(chat, "browsing", Browser)]
        count = crash(chat, 10, writers=2, window=8, pause=0.1, kill=Chat.reload, readers=readers)
        true(count > 200, f"{count} were said meanwhile")
        true(all(reader.connections >= 5 for reader in readers), "reloads move people")


@test
def nothing_acknowledged_is_lost_by_kill_9():
    with Chat() as chat:
        true(crash(chat, 3, writers=3, window=8, pause=0.2) > 50, "much was said")


@test
def hostile_input_is_answered_and_costs_nobody_else():
    with Chat() as chat, chat.guest("anna") as anna:
        anna.join("hall")
        for data, error in ((b"GET / HTTP/1.1\r\n\r\n", "malformed"),
                            (struct.pack(">IBBH", 70000, 1, 0, 0), "too-big"),
                            (struct.pack(">IBBH", 3, 1, 0, 0), "malformed"),
                            (encode("LOGIN", 1, nick="x"), "order"),
                            (struct.pack(">IBBH", 8, 1, 0, 0) + b"\x01\x01\x00\x00", "malformed"),
                            (encode("HELLO", version_min=9, version_max=9, frame_max=65536), "version")):
            with chat.client() as client:
                client.raw(data)
                frames = ended(client) if error != "order" else [client.next()]
                equal([frame.error for frame in frames], [error], repr(data[:12]))
        with chat.client() as client:  # half a frame
            client.raw(encode("HELLO", version_min=1, version_max=1, frame_max=65536)[:9])
        with chat.guest("bert") as client:
            client.raw(struct.pack(">IBBH", 4, 0x3f, 0, 0))  # an optional frame that nobody knows
            client.raw(struct.pack(">IBBH", 4, 0x3f, MUST, 9))
            equal(client.hear("ERROR", tag=9).error, "unsupported")
            equal(client.ask("SEND", room=99999, client_id=1, contents="?").error, "absent")
            client.raw(encode("SEND", 5, room=1, client_id=1, contents=b"\xff\xfe"))
            equal([frame.error for frame in ended(client)][-1], "malformed")
        equal(anna.send("hall", "undisturbed").kind, "ACK")


@test
def floods_are_slowed_down_and_then_ended():
    with Chat(rates="requests 5 10;") as chat, chat.guest("anna") as anna:
        anna.join("hall")
        for number in range(300):
            try:
                anna.say("SEND", number + 1, room=anna.room["hall"], client_id=number + 1, contents="flood")
            except ConnectionError:
                break
        frames = ended(anna)
        errors = [frame.error for frame in frames if frame.kind == "ERROR"]
        true(errors.count("too-fast") >= 100, f"it was told: {len(errors)}")
        true(sum(frame.kind == "ACK" for frame in frames) < 30, "few were taken")
        true(chat.metrics()['gyre_chat_refused_total{reason="flood",server="chat"}'] >= 1, "it is counted")


class SecureClient(Client):
    """Over TLS, with a client's certificate or without."""

    using = None

    def open(self, port):
        super().open(port)
        self.socket = self.using.wrap_socket(self.socket, server_hostname="localhost")


def secure_client(chat, certificate=None):
    SecureClient.using = secure.context()
    if certificate is not None:
        SecureClient.using.load_cert_chain(secure.path_of(certificate + ".pem"), secure.path_of(certificate + ".key"))
    client = chat.client(SecureClient, "spare")
    equal(client.hello().kind, "WELCOME")
    return client


@test
def a_certificate_logs_in_over_tls():
    more = (f"listen-tls 127.0.0.1:{{spare}}; certificate {secure.path_of('localhost.pem')}; "
            f"client-certificates optional {secure.path_of('authority.pem')};")
    with Chat(more) as chat:
        with secure_client(chat, "a_customer") as client:
            answer = client.ask("REGISTER", nick="customer", password="a long password")
            equal(answer.kind, "IDENTITY", str(answer))
            user = answer.user
        with secure_client(chat, "a_customer") as client:
            equal(client.login("customer", CERTIFICATE).user, user)
            equal(client.join("hall")[0].kind, "JOINED")
            equal(client.send("hall", "x" * 15000).kind, "ACK")
        with secure_client(chat) as client:
            equal(client.login("customer", CERTIFICATE).error, "refused")
        with chat.client() as client:
            client.hello()
            equal(client.login("customer", CERTIFICATE).error, "refused")


@test
def the_page_over_https():
    config = ("workers 1; chat { listen 127.0.0.1:{port}; store memory; web-tls 127.0.0.1:{other}; "
              f"certificate {secure.path_of('localhost.pem')}; }}")
    with Chat(config=config) as chat, secure.Secure(chat.ports["other"]) as connection:
        equal(connection.get("/").status, 200)


@test
def the_page_and_its_websocket_are_strict():
    with Chat() as chat:
        page = chat.fetch("other", "/")
        equal(page.status, 200)
        policy = page.fields["content-security-policy"]
        true("default-src 'none'" in policy and "unsafe" not in policy, policy)
        names = ["/" + name.lstrip("./") for name in re.findall(r'(?:src|href)="([^":#]+)"', page.body.decode())]
        true(len(names) >= 3, f"what the page needs: {names}")
        for name in names:
            answer = chat.fetch("other", name)
            equal((answer.status, answer.fields["content-security-policy"]), (200, policy), name)
        equal(chat.fetch("other", "/nothing").status, 404)
        equal(chat.fetch("other", "/chat").status, 426)
        port = chat.ports["other"]
        with Peer(port, "/chat", "Sec-WebSocket-Protocol: gyre-chat-1", "Origin: https://evil.example") as peer:
            equal(peer.handshake.status, 403)
        with Peer(port, "/chat", "Sec-WebSocket-Protocol: other") as peer:
            equal(peer.hear()[0], CLOSE)
        with Peer(port, "/chat", "Sec-WebSocket-Protocol: gyre-chat-1") as peer:
            equal(peer.handshake.fields["sec-websocket-protocol"], "gyre-chat-1")
            peer.say(TEXT, b"hello")
            kind, payload = peer.hear()
            equal((kind, payload[:2]), (CLOSE, struct.pack(">H", 1003)))


@test
def servers_without_supervisors_are_strangers_though_one_shell_started_them():
    """Not one the successor of the other, for which it would wait without end, and with it its clients."""
    with tempfile.TemporaryDirectory() as folder:
        store, servers = os.path.join(folder, "chat.db"), []
        try:
            for number in range(2):
                servers.append(subprocess.Popen([PROGRAM, "chat", "serve", "--no-supervisor", "--workers", "1", "--listen", "127.0.0.1:0",
                                                 "--store", store], stdout=subprocess.PIPE, stderr=subprocess.PIPE))
                if number == 0:
                    true(b"listening" in servers[0].stdout.readline(), "the first one serves")
            said = servers[1].stderr.readline().decode()
            true(f"process {servers[0].pid} (gyre) has the store {store} open: waiting 10 s" in said, said)
            servers[0].terminate()
            equal(servers[0].wait(20), 0)
            true(b"listening" in servers[1].stdout.readline(), "the second one serves when the file is free")
            servers[1].terminate()
            equal(servers[1].wait(20), 0)
        finally:
            for server in servers:
                server.kill()
                server.communicate()


@test
def the_command_says_what_is_wrong():
    port = free_ports(1)[0]
    listen = f"127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        other, full = os.path.join(folder, "notes"), os.path.join(folder, "new.db")
        with open(other, "w") as file:
            file.write("something else")
        for store, why in (("/nowhere/chat.db", "its folder /nowhere"), (folder, "directory"), (other, "something else"), ("/dev/null", "no regular file")):
            for check in ([], ["--check"]):  # nothing says that it listens
                status, out, errors = output_of([PROGRAM, "chat", "serve", "--listen", listen, "--store", store, *check])
                equal((status, out), (1, ""), store)
                true(store in errors and why in errors, errors)
        equal(output_of([PROGRAM, "chat", "serve", "--check", "--listen", listen, "--store", full])[0], 0)
        true(not os.path.exists(full), "what is to be made is not made by --check")
        status, out, errors = output_of([PROGRAM, "chat", "serve", "--listen", listen, "--store", full, "--lobby", "a b"])
        equal((status, out), (1, ""), errors)  # found by the process that serves
    equal(output_of([PROGRAM, "chat", "serve", "--store"])[0], 2)
    equal(output_of([PROGRAM, "chat", "serve", "--nonsense"])[0], 2)
    status, out, _ = output_of([PROGRAM, "chat", "serve", "--check", "--listen", listen, "--store", "memory"])
    equal((status, listen in out), (0, True))


run()
