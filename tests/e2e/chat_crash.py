# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 of a chat server in a loop, under load: what was acknowledged is there afterwards, once, in its order.

usage: GYRE=build/release/gyre tests/e2e/chat_crash.py [ROUNDS [WRITERS [WINDOW]]]
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time

from chat_wire import NONE, SPILL, TOKEN, Client, Ended
from configured import Configured
from harness import PROGRAM, equal, true, until

CONFIG = """workers {workers};
admin 127.0.0.1:{admin};
drain-timeout 5s;
chat {
    listen 127.0.0.1:{port};
    web 127.0.0.1:{other};
    store {folder}/chat.db;
    password-cost 10;
    {more}
}
"""


class Chat(Configured):
    """A chat server of a file."""

    def __init__(self, more="", workers=2, config=CONFIG, rates="requests off; input off;"):
        super().__init__(config.replace("{workers}", str(workers)).replace("{more}", rates + more))

    def answers(self):
        try:
            with self.client() as client:
                return client.hello().kind == "WELCOME"
        except (OSError, Ended):
            return False

    def client(self, kind=Client, port="port"):
        return kind(self.ports[port])

    def serving(self):
        """The process that serves, of its supervisor; None: there is none now."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
            return ([int(pid) for pid in file.read().split()] or [None])[-1]

    def kill_serving(self):
        until(self.serving, "there is a process that serves", 30)
        os.kill(self.serving(), signal.SIGKILL)

    def kill_all(self):
        """The supervisor too; and all of it begins anew, without waiting longer each time."""
        os.killpg(self.pid, signal.SIGKILL)
        for _ in range(50):
            self.process.wait()
            self.process.stdout.close()
            self.process = subprocess.Popen([PROGRAM, "serve", "--config", self.file], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True)
            self.pid = self.process.pid
            if self.process.stdout.readline():
                return
            time.sleep(0.05)  # what the killed one's ring held is given back a moment later
        raise AssertionError(f"it does not begin again: {self.log()[-1000:]}")

    def guest(self, nick, kind=Client, features=0):
        client = self.client(kind, "port" if kind is Client else "other")
        equal(client.hello(features).kind, "WELCOME")
        answer = client.login(nick)
        equal(answer.kind, "IDENTITY", str(answer))
        client.nick = nick
        return client


def passes(error):
    """What a server says that goes away, or that has not seen yet that who comes back had left: to be tried again."""
    return any(word in str(error) for word in ("taken", "busy", "drain", "leaving", "The server ends", "the handshake"))


class Writer(threading.Thread):
    """Sends numbered messages, and sends again what was not acknowledged when the connection has ended."""

    def __init__(self, chat, number, window):
        super().__init__(daemon=True)
        self.chat, self.nick, self.window = chat, f"writer{number}", window
        self.sent, self.acked, self.doubled, self.waiting = 0, {}, 0, {}
        self.token, self.error, self.stopping = None, None, False
        self.connections = 0

    def begin(self):
        with self.chat.client() as client:
            client.hello()
            answer = client.ask("REGISTER", nick=self.nick, password="a long password")
            equal(answer.kind, "IDENTITY", str(answer))
            self.token = answer.token
        self.start()

    def say(self, client, number):
        client.say("SEND", 1 + number % 60000, room=client.room["load"], client_id=number,
                   contents=f"{self.nick} {number}")

    def connection(self):
        with self.chat.client() as client:
            client.hello()
            answer = client.login(self.nick, TOKEN, self.token)
            equal(answer.kind, "IDENTITY", str(answer))
            joined, _ = client.join("load", SPILL, NONE, 0)
            equal(joined.kind, "JOINED", str(joined))
            self.connections += 1
            for number in sorted(self.waiting):
                self.say(client, number)
            while not self.stopping or self.waiting:
                while len(self.waiting) < self.window and not self.stopping:
                    self.sent += 1
                    self.waiting[self.sent] = True
                    self.say(client, self.sent)
                frame = client.hear("ACK", "ERROR")
                if frame.kind == "ERROR":
                    raise Ended(str(frame))
                self.waiting.pop(frame.client_id, None)
                if self.acked.setdefault(frame.client_id, frame.id) != frame.id:
                    self.doubled += 1
                client.frames.clear()

    def run(self):
        while not self.stopping or self.waiting:
            try:
                self.connection()
            except (Ended, OSError):
                time.sleep(0.05 * random.random())
            except BaseException as error:  # pylint: disable=broad-except
                if not passes(error):
                    self.error = error
                    return
                time.sleep(0.05 * random.random())


class Reader(threading.Thread):
    """Reads all of a room, live, and goes on behind the last message when the connection has ended."""

    def __init__(self, chat, nick, kind=Client):
        super().__init__(daemon=True)
        self.chat, self.nick, self.kind = chat, nick, kind
        self.ids, self.gaps, self.connections, self.error, self.until = [], [], 0, None, None

    def over(self):
        return self.until is not None and len(self.ids) >= self.until

    def connection(self):
        with self.chat.guest(self.nick, self.kind) as client:
            joined, messages = client.join("load", SPILL, self.ids[-1] if self.ids else 0, 0)
            equal(joined.kind, "JOINED", str(joined))
            self.connections += 1
            self.ids += [frame.id for frame in messages]
            while not self.over():
                frame = client.hear("MESSAGE", "GAP", "MOVE")
                if frame.kind == "MESSAGE":
                    self.ids.append(frame.id)
                elif frame.kind == "GAP":
                    self.gaps.append(frame)
                client.frames.clear()

    def run(self):
        while not self.over():
            try:
                self.connection()
            except (Ended, OSError, AssertionError) as error:
                if isinstance(error, AssertionError) and not passes(error):
                    self.error = error
                    return
                time.sleep(0.05 * random.random())


def history(chat, room="load"):
    with chat.guest("reader") as client:
        client.join(room)
        messages, point = [], 0
        while True:
            answer = client.ask_all("HISTORY", room=client.room[room], by=0, point=point, max=500)
            messages += [frame for frame in answer if frame.kind == "MESSAGE"]
            if not answer[-1].more:
                return messages
            point = messages[-1].id


def check(chat, writers):
    messages = history(chat)
    equal([frame.id for frame in messages], list(range(1, len(messages) + 1)), "the ids")
    places = {}
    for frame in messages:
        true(frame.contents not in places, f"{frame.contents} is there once")
        places[frame.contents] = frame.id
    for writer in writers:
        true(writer.error is None, f"{writer.nick} went on: {writer.error!r}")
        equal(writer.doubled, 0, "messages with two ids")
        ids = []
        for number, ident in sorted(writer.acked.items()):
            equal(places.get(f"{writer.nick} {number}"), ident, f"where {writer.nick} {number} is")
            ids.append(ident)
        equal(ids, sorted(ids), f"the order of {writer.nick}")
    return messages


def crash(chat, rounds, writers=4, window=16, pause=0.4, kill=Chat.kill_serving, readers=()):
    """Kills it `rounds` times. How many messages were acknowledged."""
    threads = [Writer(chat, number, window) for number in range(writers)]
    for thread in [*threads, *readers]:
        thread.begin() if isinstance(thread, Writer) else thread.start()
    for _ in range(rounds):
        acked = sum(len(thread.acked) for thread in threads)
        until(lambda: sum(len(thread.acked) for thread in threads) > acked + 20 or
              any(thread.error for thread in threads), "messages are acknowledged again", 40)  # pylint: disable=cell-var-from-loop
        time.sleep(pause * random.random())
        kill(chat)
    until(chat.answers, "it serves again", 30)
    for thread in threads:
        thread.stopping = True
    for thread in threads:
        thread.join(30)
        true(not thread.is_alive(), f"{thread.nick} has ended: {len(thread.waiting)} not acknowledged")
    messages = check(chat, threads)
    for reader in readers:
        reader.until = len(messages)
    for reader in readers:
        reader.join(30)
        true(reader.error is None and not reader.is_alive(), f"{reader.nick}: {reader.error!r}, {len(reader.ids)} of {len(messages)}")
        equal(reader.ids, [frame.id for frame in messages], f"what {reader.nick} has read")
        equal(reader.gaps, [])
        true(reader.connections > 1, f"{reader.nick} was cut off")
    true(all(thread.connections > 1 for thread in threads), "everybody was cut off")
    return sum(len(thread.acked) for thread in threads)


def main(rounds=50, writers=8, window=32):
    with Chat() as chat:
        began = time.monotonic()
        count = crash(chat, int(rounds), int(writers), int(window), kill=Chat.kill_all)
        print(f"{rounds} kills, {count} messages acknowledged in {time.monotonic() - began:.1f} s: none lost, none "
              "doubled, all in order")


if __name__ == "__main__":
    main(*sys.argv[1:])
