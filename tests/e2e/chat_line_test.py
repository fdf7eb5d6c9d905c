# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre chat HOST in pipes: lines in and out, over connections that break; what people are told when it cannot be."""

import contextlib
import json
import re
import socket
import struct
import subprocess
import tempfile
import threading

from chat_crash import Chat
from chat_wire import MUTE, PASSWORD, Client, Ended, decode, encode, said
from harness import ALARMS, PROGRAM, equal, free_ports, output_of, run, test, true
from scripted import Listener, Relay

def chat_line(chat, *flags, data="", **more):
    """(exit status, stdout, stderr) of `gyre chat` with these lines."""
    status, out, told = output_of([PROGRAM, "chat", *flags, f"127.0.0.1:{chat.ports['port']}"], data=data, **more)
    true(not ALARMS.search(told), told)
    return status, out, told


@contextlib.contextmanager
def talking(chat, *flags, **more):
    """One that listens and talks until its input is closed; in its room."""
    process = subprocess.Popen([PROGRAM, "chat", *flags, f"127.0.0.1:{chat.ports['port']}"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    try:
        true("in as" in process.stderr.readline(), "it is logged in")
        true("joined" in process.stderr.readline(), "it is in its room")
        yield process
    finally:
        process.kill()
        process.communicate()


@test
def lines_are_messages_and_messages_are_lines():
    with Chat() as chat, chat.guest("anna") as anna:
        equal(anna.join("garden")[0].kind, "JOINED")
        equal(chat_line(chat, "--nick", "bert", "--room", "#garden", "--wait", "0", "-q",
                        data="hello\n\n//slash\nlast, without an end"), (0, "", ""))
        for line in ("hello", "/slash", "last, without an end"):
            frame = anna.hear("MESSAGE")
            equal((frame.sender, frame.contents), ("bert", line))
        status, out, _ = chat_line(chat, "--nick", "cora", "--room", "garden", "--history", "9", "--count", "3")
        equal((status, said(out)), (0, [("garden", "bert", "hello"), ("garden", "bert", "/slash"),
                                        ("garden", "bert", "last, without an end")]))


@test
def what_others_write_drives_no_terminal():
    wild = "w\x1b[31mild\n\x9b2J \u202eback\" \\ \U0001f600"
    shown = "w\ufffd[31mild \ufffd2J \ufffdback\" \\ \U0001f600"
    with Chat() as chat, chat.guest("anna") as anna:
        anna.join("garden")
        equal(anna.send("garden", wild).kind, "ACK")
        flags = ("--nick", "cora", "--room", "garden", "--history", "1", "--count", "1")
        status, out, _ = chat_line(chat, *flags)
        equal((status, said(out)), (0, [("garden", "anna", shown)]))
        status, out, _ = chat_line(chat, *flags, "--json")
        true(not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out), f"nothing of it drives a terminal: {out!r}")
        told = [json.loads(line) for line in out.splitlines()]
        told = [line for line in told if line["type"] == "message"][0]
        equal((told["room"], told["id"], told["nick"], told["text"], told["past"], told["mine"]),
              ("garden", 1, "anna", wild, True, False))


@test
def json_tells_what_was_said_and_acknowledged():
    with Chat() as chat:
        status, out, _ = chat_line(chat, "--nick", "bert", "--json", "--wait", "0", data="one\n")
        told = [json.loads(line) for line in out.splitlines()]
        equal((status, [line["type"] for line in told if line["type"] != "came"]), (0, ["online", "joined", "message"]))
        equal([told[-1][key] for key in ("room", "nick", "text", "mine", "id", "past")],
              ["lobby", "bert", "one", True, 1, False])


@test
def a_count_is_waited_for_and_an_end_of_the_waiting_fails():
    with Chat() as chat, chat.guest("anna") as anna:
        anna.join("lobby")
        with talking(chat, "--nick", "bert", "--count", "2") as bert:
            bert.stdin.close()
            bert.stdin = None
            anna.send("lobby", "one")
            anna.send("lobby", "two")
            out, _ = bert.communicate(timeout=20)
            equal((bert.returncode, said(out)), (0, [("lobby", "anna", "one"), ("lobby", "anna", "two")]))
        status, out, _ = chat_line(chat, "--nick", "cora", "--count", "1", "--wait", "0")
        equal((status, out), (1, ""))


@test
def what_is_piped_arrives_once_and_in_order_over_a_server_that_dies_twice():
    lines = [f"line {number}" for number in range(150)]
    with Chat() as chat, talking(chat, "--nick", "anna", "--count", str(len(lines))) as reader:
        writer = subprocess.Popen([PROGRAM, "chat", "--nick", "bert", "-q", f"127.0.0.1:{chat.ports['port']}"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        killer = threading.Thread(target=lambda: [chat.kill_serving() for _ in range(2)])
        for number, line in enumerate(lines):
            if number == 50:
                killer.start()
            writer.stdin.write(line + "\n")
            writer.stdin.flush()
        _, told = writer.communicate(timeout=40)
        equal((writer.returncode, told), (0, ""))
        killer.join()
        out, told = reader.communicate(timeout=40)
        equal([text for _, _, text in said(out)], lines, told)
        equal(reader.returncode, 0)


@test
def a_long_input_is_read_as_fast_as_the_server_takes_it():
    lines = [f"{number} " + "x" * 500 for number in range(600)]
    with Chat() as chat, chat.guest("anna") as anna:
        anna.join("lobby")
        equal(chat_line(chat, "--nick", "bert", "-q", "--wait", "0", data="\n".join(lines)), (0, "", ""))
        equal([anna.hear("MESSAGE").contents for _ in lines], lines)
    with Chat(config=CONFIG_SLOW) as chat, chat.guest("anna") as anna:
        anna.join("lobby")
        equal(chat_line(chat, "--nick", "bert", "-q", "--wait", "0", data="\n".join(lines[:90])), (0, "", ""))
        equal([anna.hear("MESSAGE").contents for _ in range(90)], lines[:90], "lines that were too fast")


CONFIG_SLOW = """workers 2;
admin 127.0.0.1:{admin};
chat {
    listen 127.0.0.1:{port};
    store memory;
    requests 40 20;
}
"""


@test
def commands_act_and_their_failures_fail():
    with Chat() as chat, chat.guest("anna") as anna, chat.guest("bert") as bert:
        anna.join("garden")
        bert.join("@")
        status, out, told = chat_line(chat, "--nick", "cora", "--room", "garden", "--wait", "0", "-q",
                                      data="/topic of roses\n/msg bert psst\n")
        equal((status, out, told.count("\n")), (1, "", 1), told)  # only who owns the room sets its topic
        equal(bert.hear("MESSAGE").contents, "psst")
        status, _, told = chat_line(chat, "--nick", "cora", "--wait", "0", "-q", data="/nonsense\nfine\n")
        true(status == 1 and "/nonsense" in told and "/join" in told, told)
        status, out, _ = chat_line(chat, "--nick", "cora", "--wait", "0", "-q", data="/quit\nnot said\n")
        equal((status, out), (0, ""))
        with chat.guest("dora") as dora:
            equal([frame.contents for frame in dora.join("lobby", history=9)[1]], ["fine"])
        with talking(chat, "--nick", "cora", "--room", "garden") as cora:
            equal(anna.ask("MODERATE", room=anna.room["garden"], client_id=1, action=MUTE, nick="cora").kind, "ACK")
            out, told = cora.communicate("words\n", timeout=20)
            equal(cora.returncode, 1, told)


@test
def what_was_said_last_is_changed_and_taken_back_and_rooms_are_listed():
    with Chat() as chat, chat.guest("anna") as anna:
        anna.join("garden")
        anna.ask("TOPIC", room=anna.room["garden"], client_id=1, topic="of roses")
        status, out, told = chat_line(chat, "--nick", "cora", "--room", "garden", "--wait", "0", "-q",
                                      data="helo\n/edit hello\nnonsense\n/delete\n/rooms\n/delete x\n/edit no more")
        equal((status, out), (1, "* #garden (2): of roses\n"), told)
        equal(told.count("\n"), 2, told)  # which message is /delete x, and what was last is gone
        heard = [anna.hear("MESSAGE") for _ in range(4)]
        equal([(frame.sort, frame.contents) for frame in heard], [(0, "helo"), (1, "hello"), (0, "nonsense"), (2, "")])
        equal((heard[1].target, heard[3].target), (heard[0].id, heard[2].id))
        said = anna.send("garden", "mine").id
        status, out, told = chat_line(chat, "--nick", "cora", "--room", "garden", "--wait", "0", "-q", "--json",
                                      data=f"/rooms\n/delete {said}\n")
        equal(status, 1, "only operators take back what others said")
        true('{"type":"room","name":"garden","members":2,"topic":"of roses"}' in out, out)


@test
def a_nick_is_registered_and_logged_in_to():
    with Chat() as chat, tempfile.NamedTemporaryFile("w") as password:
        def with_password(words):
            password.seek(0)
            password.truncate()
            password.write(words + "\n")
            password.flush()
            return ("--nick", "anna", "--password-file", password.name, "--wait", "0", "-q")

        flags = with_password("correct horse")
        equal(chat_line(chat, *flags, "--register", data="one\n"), (0, "", ""))
        equal(chat_line(chat, *flags, data="two\n"), (0, "", ""))
        status, _, told = chat_line(chat, *with_password("wrong"), data="three\n")
        true(status == 1 and "password" in told, told)
        with chat.client(Client) as client:
            client.hello()
            equal(client.login("anna", PASSWORD, "correct horse").kind, "IDENTITY")
            equal([frame.contents for frame in client.join("lobby", history=9)[1]], ["one", "two"])


@test
def what_cannot_be_is_said():
    with Chat() as chat:
        for flags in (["--nick", "a b"], ["--nick", "anna", "--room", "a b"]):
            status, _, told = chat_line(chat, *flags, data="x\n")
            true(status == 1 and told, told)
        status, _, told = chat_line(chat, "--nick", "anna", "--wait", "0", data="x" * 65537 + "\nfine\n")
        true(status == 1 and "longer" in told, told)
        status, _, told = chat_line(chat, "--nick", "anna", "--wait", "0", data="x" * 60000 + "\nfine\n")
        true(status == 1 and "too long" in told, told)
        process = subprocess.Popen([PROGRAM, "chat", "--nick", "bert", "--json", f"127.0.0.1:{chat.ports['port']}"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.close()
        process.stdout = None
        _, told = process.communicate("x\n", timeout=20)
        true(process.returncode == 1 and "standard output" in told and not ALARMS.search(told), told)
    port = free_ports(1)[0]
    status, _, told = output_of([PROGRAM, "chat", f"127.0.0.1:{port}"])
    true(status == 1 and "refused" in told and str(port) in told, told)
    for flags in (["chat"], ["chat", "--bogus", "x"], ["chat", "--ca", "f", "x"], ["chat", "--register", "x"],
                  ["chat", "--count", "0", "x"], ["chat", "--wait", "soon", "x"], ["chat", "a", "b"],
                  ["chat", "--room", "x" * 65, "127.0.0.1"], ["chat", "--password-file", "/nonexistent", "x"]):
        status, _, told = output_of([PROGRAM, *flags])
        true(status == 2 and told.startswith("gyre chat: "), f"{flags}: {status} {told}")


class Impostor(Listener):
    """A server that answers the first connection with what a function says, and others with nothing."""

    def __init__(self, answer):
        self.answer = answer
        super().__init__()

    def serve(self, connection, number):
        if number == 1:
            with contextlib.suppress(Ended):
                self.answer(connection)
            return
        while connection.recv(65536):
            pass


def requests_of(peer):
    """What the client asks, frame by frame."""
    data = b""
    while True:
        frame, data = decode(data)
        if frame is not None:
            yield frame
            continue
        more = peer.recv(65536)
        if not more:
            return
        data += more


@test
def another_protocol_is_left_with_a_sentence():
    def answer(peer):
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        peer.recv(4096)

    with Impostor(answer) as impostor:
        status, _, told = output_of([PROGRAM, "chat", f"127.0.0.1:{impostor.port}"], data="x\n")
    true(status == 1 and told.startswith("gyre chat: 127.0.0.1") and not ALARMS.search(told), told)


@test
def a_server_that_ends_says_where_to_go():
    with Chat() as chat, chat.guest("bert") as bert:
        bert.join("lobby")
        for address in (f"127.0.0.1:{chat.ports['port']}", "not an address:"):
            def answer(peer):
                for frame in requests_of(peer):
                    if frame.kind == "HELLO":
                        peer.sendall(encode("WELCOME", frame.tag, version=1, frame_max=65536, server="one"))
                    elif frame.kind == "LOGIN":
                        peer.sendall(encode("IDENTITY", frame.tag, user=1, nick="anna"))
                    elif frame.kind == "JOIN":
                        peer.sendall(encode("MOVE", in_ms=0, address=address) +  # pylint: disable=cell-var-from-loop
                                     encode("ERROR", code=17, fatal=1, sentence="going down"))
                        return

            with Impostor(answer) as impostor:
                flags = ("--nick", "anna", "--connect-timeout", "10", "--wait", "0", f"127.0.0.1:{impostor.port}")
                process = subprocess.Popen([PROGRAM, "chat", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE, text=True)
                try:
                    if address.startswith("127"):
                        out, told = process.communicate("moved\n", timeout=20)
                        equal((process.returncode, out), (0, ""), told)
                        equal(bert.hear("MESSAGE").contents, "moved")
                    else:
                        true("in as anna" in process.stderr.readline(), "it is in")
                        true("going down; connecting again" in process.stderr.readline(), "and told why not any more")
                finally:
                    process.kill()
                    _, told = process.communicate()
                true(not ALARMS.search(told), told)


@test
def a_hostile_server_breaks_nothing():
    evil = "\x1b]0;evil\x07\u202e"

    def answer(peer):
        for frame in requests_of(peer):
            if frame.kind == "HELLO":
                peer.sendall(encode("WELCOME", frame.tag, version=1, frame_max=65536, server=evil))
            elif frame.kind == "LOGIN":
                peer.sendall(encode("IDENTITY", frame.tag, user=1, nick=evil))
            elif frame.kind == "JOIN":
                peer.sendall(encode("JOINED", frame.tag, room=7, first=1, name=frame.room, topic=evil) +
                             encode("END", frame.tag) +
                             encode("CAME", room=99, what=1, nick="nobody") + encode("CAME", room=7, what=200, nick=evil) +
                             encode("TYPES", room=99, on=1, nick=evil) + encode("STATUS", nick=evil, note=evil) +
                             encode("MESSAGE", 0xfffe, room=7, id=1, contents="unasked") +
                             encode("MESSAGE", room=99, id=1, sender=evil, contents="elsewhere") +
                             encode("GAP", room=7, first=1, last=2, why=250) +
                             encode("MESSAGE", room=7, id=3, sort=250, sender=evil, contents=evil) +
                             encode("ERROR", code=17, fatal=1, sentence=evil))
                peer.shutdown(socket.SHUT_WR)
            elif frame.kind == "QUIT":
                return

    for flags in ([], ["--json"]):
        with Impostor(answer) as impostor:
            status, out, told = output_of([PROGRAM, "chat", "--nick", "anna", "--count", "1", *flags,
                                           f"127.0.0.1:{impostor.port}"])
        equal(status, 0, told)
        true(not re.search("[\x1b\x07\u202e]", out + told), f"nothing of it drives a terminal: {out!r} {told!r}")
        true(not ALARMS.search(told), told)
    with Impostor(lambda peer: peer.sendall(struct.pack(">I", 0xffffffff) + b"x" * 100)) as impostor:
        status, _, told = output_of([PROGRAM, "chat", "--nick", "anna", f"127.0.0.1:{impostor.port}"])
    true(status == 1 and told and not ALARMS.search(told), told)


class Forgetful(Relay):
    """Passes on of the first connection nothing that the server says once `word` has been said."""

    def __init__(self, port, word):
        self.word, self.deaf = word.encode(), False
        super().__init__(port)

    def passes(self, data, number, back):
        self.deaf = self.deaf or (number == 1 and not back and self.word in data)
        return not (number == 1 and back and self.deaf)


@test
def what_was_stored_and_not_acknowledged_is_one_s_own_once():
    with Chat() as chat, chat.guest("anna") as anna, Forgetful(chat.ports["port"], "unheard of") as relay:
        anna.join("garden")
        bert = subprocess.Popen([PROGRAM, "chat", "--nick", "bert", "--room", "garden", "--json",
                                 f"127.0.0.1:{relay.port}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        heard = []
        try:
            for line in bert.stdout:
                told = json.loads(line)
                if told["type"] == "joined" and not heard:
                    bert.stdin.write("unheard of\n")
                    bert.stdin.flush()
                    equal(anna.hear("MESSAGE").contents, "unheard of")
                    relay.cut()
                    bert.stdin.write("afterwards\n")
                    bert.stdin.flush()
                    heard.append("said")
                if told["type"] == "message":
                    heard.append((told["text"], told["mine"]))
                if told.get("text") == "afterwards":
                    break
        finally:
            bert.kill()
            bert.communicate()
        equal(heard, ["said", ("unheard of", True), ("afterwards", True)])
        equal(anna.hear("MESSAGE").contents, "afterwards")


run()
