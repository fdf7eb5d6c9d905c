# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile clients against a chat server for a while: seeded, mostly valid frames on many connections of all kinds, which
end in the middle of whatever they do, stop reading, send halves and come back, while the server reloads.

usage: GYRE=build/asan/gyre tests/e2e/chat_attack.py [SECONDS [SEED [CONNECTIONS [FILE or memory [full]]]]]

With "full" the store's folder is a file system of 1 MiB that fills up (needs the right to mount one). It ends by SIGTERM
under load, and fails if that takes too long, if the exit is not clean, or if a sanitizer says anything.
"""

import asyncio
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time

from chat_wire import NONE, NUMBERS, decode, encode
from harness import PROGRAM, free_ports

CONFIG = """workers 4;
drain-timeout {drain}s;
chat {{
    listen 127.0.0.1:{port};
    web 127.0.0.1:{web};
    store {store};
    password-cost 10;
    slow-bytes {slow}k;
    max-rooms {rooms};
    rooms-per-member 8;
    quiet-members 60;
    history-page {page};
    keep-messages 300;
    login-timeout 5s;
    ping 3s;
    ping-timeout 2s;
    move-time 300ms;
    operators op1 op2;
    {rates}
}}
"""
ROOMS = [f"room{number}" for number in range(12)] + ["lobby", "@"]
NICKS = [f"nick{number}" for number in range(40)] + ["op1", "op2"]
PASSWORD = "a long password"


class Attacker:
    def __init__(self, number, state):
        self.random = random.Random(f"{state.seed}/{number}")
        self.state, self.number = state, number
        self.rooms, self.last, self.heard, self.data = [1, 2, 3], {}, 0, b""

    def room(self):
        return self.random.choice(self.rooms[-6:]) if self.random.random() < 0.95 else self.random.randrange(40)

    def text(self):
        kind = self.random.random()
        size = self.random.randrange(1, 60) if kind < 0.8 else self.random.randrange(1, 2000) if kind < 0.97 else 16000
        return "x" * size if kind > 0.1 else "ж" * (size // 2 + 1)

    def nick(self):
        return self.random.choice(NICKS)

    def id(self):
        return self.random.choice([0, 1, self.random.randrange(1, 400), self.random.randrange(1, 400), NONE, NONE - 1])

    def client_id(self):
        return self.random.choice([0, self.random.randrange(1, 30), self.random.getrandbits(63)])

    def frame(self):
        pick, tag = self.random.random(), self.random.choice([0, 7, self.random.randrange(65536)])
        rnd = self.random
        many = [
            (30, "SEND", {"room": self.room(), "client_id": self.client_id(), "contents": self.text()}),
            (14, "JOIN", {"room": rnd.choice(ROOMS), "policy": rnd.randrange(4),
                          "since": rnd.choice([NONE, 0, self.id()]), "history": rnd.choice([0, 5, 500])}),
            (7, "LEAVE", {"room": self.room()}),
            (6, "TELL", {"nick": self.nick(), "client_id": self.client_id(), "contents": self.text()}),
            (5, "EDIT", {"room": self.room(), "client_id": self.client_id(), "target": self.id(), "contents": self.text()}),
            (5, "DELETE", {"room": self.room(), "client_id": self.client_id(), "target": self.id()}),
            (9, "HISTORY", {"room": self.room(), "by": rnd.randrange(3), "point": self.id(), "max": rnd.choice([0, 1, 20, 65535])}),
            (4, "MEMBERS", {"room": self.room(), "after": rnd.choice(["", self.nick()]), "max": rnd.choice([0, 1, 500])}),
            (3, "ROOMS", {"prefix": rnd.choice(["", "room", "@", "\x7f"]), "after": rnd.choice(["", "room3"]), "max": rnd.choice([0, 1, 500])}),
            (8, "MODERATE", {"room": self.room(), "client_id": self.client_id(), "action": rnd.randrange(1, 10),
                             "nick": self.nick(), "seconds": rnd.choice([0, 1, 2, 4294967295]), "reason": rnd.choice(["", "r" * 255])}),
            (3, "TOPIC", {"room": self.room(), "client_id": self.client_id(), "topic": rnd.choice(["", "t" * 1024, "hello"])}),
            (5, "PRESENCE", {"status": rnd.randrange(3), "note": rnd.choice(["", "n" * 255, "busy"])}),
            (4, "TYPING", {"room": self.room(), "on": rnd.randrange(2)}),
            (4, "NICK", {"nick": self.nick() + str(rnd.randrange(3))}),
            (3, "PING", {"any": "a" * rnd.randrange(255)}),
            (1, "LOGIN", {"nick": self.nick(), "method": rnd.randrange(5), "secret": "zzz"}),
            (0.5, "QUIT", {}),
        ]
        at = pick * sum(weight for weight, _, _ in many)
        for weight, name, fields in many:
            at -= weight
            if at <= 0:
                break
        data = bytearray(encode(name, tag, rnd.choice([0, 0, 0, 1, 255]), **fields))
        odd = rnd.random()
        if odd < 0.002:
            data[rnd.randrange(len(data))] ^= 1 << rnd.randrange(8)
        elif odd < 0.004:
            data = bytearray(struct.pack(">IBBH", rnd.choice([0, 3, 4, 70000, 2 ** 32 - 1]), rnd.randrange(256), 1, 0))
        self.state.sent[name] = self.state.sent.get(name, 0) + 1
        return bytes(data)

    def entering(self):
        rnd = self.random
        frames = encode("HELLO", 1, version_min=1, version_max=1, features=rnd.randrange(4), frame_max=65536, agent="")
        kind, nick = rnd.random(), self.nick()
        tokens = self.state.tokens
        if kind < 0.15:
            frames += encode("REGISTER", 2, nick=nick, password=PASSWORD)
        elif kind < 0.35:
            frames += encode("LOGIN", 2, nick=nick, method=1, secret=rnd.choice([PASSWORD, PASSWORD, "wrong"]))
        elif kind < 0.6 and tokens:
            nick, token = rnd.choice(tokens[-200:])
            frames += encode("LOGIN", 2, nick=nick, method=3, secret=token)
        else:
            frames += encode("LOGIN", 2, nick=f"{nick}-{self.number}", method=0, secret="")
        if rnd.random() < 0.9:
            frames += encode("LOGIN", 3, nick=f"guest-{self.number}-{rnd.randrange(4)}", method=0, secret="")
        return frames

    def take(self, data):
        self.data += data
        while True:
            try:
                frame, self.data = decode(self.data)
            except UnicodeDecodeError as error:
                raise AssertionError(f"a frame is no text: {error}") from error
            if frame is None:
                return
            self.heard += 1
            state = self.state
            state.heard[frame.kind] = state.heard.get(frame.kind, 0) + 1
            if frame.kind == "ERROR":
                state.errors[frame.error] = state.errors.get(frame.error, 0) + 1
            elif frame.kind == "IDENTITY" and frame.token:
                state.tokens.append((frame.nick, frame.token))
                del state.tokens[:-1000]
            elif frame.kind == "JOINED":
                self.rooms.append(frame.room)
            elif frame.kind == "MESSAGE" and frame.flags & 2 == 0:
                # Ids of a room go up on one subscription; a rejoin begins anew.
                state.messages += 1

    def mask(self, data):
        if self.random.random() < 0.02:
            return bytes([0x89, 0x80]) + bytes(4)
        size = len(data)
        head = bytes([0x82, 0x80 | size]) if size < 126 else bytes([0x82, 0xfe]) + struct.pack(">H", size) \
            if size < 65536 else bytes([0x82, 0xff]) + struct.pack(">Q", size)
        return head + bytes(4) + data

    async def read(self, reader, websocket):
        rnd, rest = self.random, b""
        stops = rnd.random() < 0.15
        try:
            while data := await reader.read(65536):
                self.state.bytes += len(data)
                if websocket:
                    rest += data
                    while len(rest) >= 2:
                        size, head = rest[1], 2
                        if size == 126 and len(rest) >= 4:
                            size, head = struct.unpack(">H", rest[2:4])[0], 4
                        elif size >= 126:
                            break
                        if len(rest) < head + size:
                            break
                        if rest[0] == 0x82:
                            self.take(rest[head:head + size])
                        rest = rest[head + size:]
                elif websocket is False:
                    self.take(data)
                if stops and rnd.random() < 0.1:
                    await asyncio.sleep(rnd.choice([0.5, 3, 30]))
        except (OSError, asyncio.IncompleteReadError):
            pass

    async def connection(self):
        rnd, state = self.random, self.state
        kind = rnd.random()
        websocket = None if kind < 0.1 else kind < 0.4
        reader, writer = await asyncio.open_connection("127.0.0.1", state.web if websocket else state.port, limit=1 << 16)
        state.connections += 1
        self.data, self.rooms = b"", [1, 2, 3]
        reading = None
        try:
            if websocket:
                writer.write(b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                             b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                             b"Sec-WebSocket-Protocol: gyre-chat-1\r\n\r\n")
                answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
                if b" 101 " not in answer:
                    state.refused += 1
                    return
            wrap = self.mask if websocket else bytes
            if websocket is None:
                name = f"book-{self.number}".encode()
                writer.write(b"\x01" + struct.pack(">H", len(name)) + name)
            else:
                writer.write(wrap(self.entering()))
            reading = asyncio.create_task(self.read(reader, websocket))
            pace = rnd.choice([0, 0.002, 0.01, 0.05])
            for _ in range(rnd.choice([1, 5, 40, 200, 600])):
                if websocket is None:
                    text = self.text().encode()
                    writer.write(b"\x02\x00\x00" + struct.pack(">H", len(text)) + text)
                elif rnd.random() < 0.3:
                    writer.write(wrap(b"".join(self.frame() for _ in range(rnd.randrange(1, 12)))))
                else:
                    writer.write(wrap(self.frame()))
                await asyncio.wait_for(writer.drain(), 10)
                if pace:
                    await asyncio.sleep(pace * rnd.random() * 2)
                if rnd.random() < 0.003 or reading.done():
                    break
            end = rnd.random()
            if end < 0.3:
                writer.write(wrap(self.frame())[:-1])
            elif end < 0.5:
                writer.write_eof()
            if rnd.random() < 0.6:
                await asyncio.sleep(rnd.choice([0, 0.01, 0.5, 3]))
        finally:
            if reading is not None:
                reading.cancel()
            if rnd.random() < 0.5:
                writer.transport.abort()
            writer.close()

    async def run(self):
        while not self.state.over:
            try:
                await self.connection()
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                self.state.failed += 1
                await asyncio.sleep(0.02)
            if self.random.random() < 0.2:
                await asyncio.sleep(self.random.random())


class State:
    def __init__(self, seed, port, web):
        self.seed, self.port, self.web = seed, port, web
        self.over, self.tokens, self.sent, self.heard, self.errors = False, [], {}, {}, {}
        self.connections = self.failed = self.bytes = self.messages = self.refused = 0


def write_config(path, rnd, port, web, store, first=False):
    rates = "" if not first and rnd.random() < 0.3 else "requests off; input off;"
    text = CONFIG.format(port=port, web=web, store=store, rates=rates, drain=rnd.choice([2, 4, 8]), rooms=rnd.choice([12, 40, 400]),
                         slow=rnd.choice([32, 128]), page=rnd.choice([3, 50, 500]))
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


async def attack(state, seconds, connections, process, reload):
    tasks = [asyncio.create_task(Attacker(number, state).run()) for number in range(connections)]
    rnd = random.Random(state.seed)
    end = time.monotonic() + seconds
    died = False
    while time.monotonic() < end and not died:
        await asyncio.sleep(min(rnd.choice([1, 4, 9]), max(0.1, end - time.monotonic())))
        died = process.poll() is not None
        if not died:
            reload(rnd)
    began = time.monotonic()
    if not died:
        process.send_signal(signal.SIGTERM)
        while process.poll() is None and time.monotonic() - began < 40:
            await asyncio.sleep(0.05)
    state.over = True
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    wrong = [result for result in results if isinstance(result, Exception) and not isinstance(result, asyncio.CancelledError)]
    return died, time.monotonic() - began, wrong


def main():
    arguments = sys.argv[1:] + [None] * 5
    seconds, seed, connections = float(arguments[0] or 60), int(arguments[1] or 1), int(arguments[2] or 60)
    port, web = free_ports(2)
    state = State(seed, port, web)
    with tempfile.TemporaryDirectory() as folder:
        if arguments[4]:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
        store = "memory" if arguments[3] == "memory" else os.path.join(folder, "chat.db")
        config = os.path.join("/tmp" if arguments[4] else folder, f"chat-attack-{os.getpid()}.conf")
        write_config(config, random.Random(seed), port, web, store, True)
        errors_name = config + ".log"
        with open(errors_name, "w+b") as errors:
            environment = dict(os.environ, ASAN_OPTIONS="strict_string_checks=1:detect_stack_use_after_return=1")
            process = subprocess.Popen([PROGRAM, "serve", "--config", config], stderr=errors, stdout=subprocess.PIPE,
                                       env=environment)
            process.stdout.readline()

            def reload(rnd):
                if rnd.random() < 0.7:
                    write_config(config, rnd, port, web, store)
                    process.send_signal(signal.SIGHUP)

            died, took, wrong = asyncio.run(attack(state, seconds, connections, process, reload))
            if process.poll() is None:
                process.kill()
            errors.seek(0)
            log = errors.read().decode(errors="replace")
        if arguments[4]:
            subprocess.run(["umount", "-l", folder], check=True)
        os.remove(config)
        os.remove(errors_name)
    print(f"seed {seed}: {state.connections} connections ({state.failed} failed, {state.refused} refused), {state.bytes >> 20} MiB heard")
    print(f"sent {state.sent}\nheard {state.heard}\nerrors {state.errors}")
    reports = [line for line in log.splitlines() if "Sanitizer" in line or "runtime error" in line or "ssert" in line]
    print(f"exit {process.returncode} {took:.1f} s after SIGTERM; {len(reports)} reports {wrong[:3]}")
    if died or process.returncode != 0 or reports or wrong or "died" in log or "killed by" in log:
        print(log[-12000:])
        sys.exit(1)


main()
