# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of the chat protocol, written from protocols/chat/README.md, and clients that speak them."""

import re
import socket
import struct
import time

from harness import equal, true
from websocket_peer import BINARY, CLOSE, PING, PONG, Peer

NONE = 2 ** 64 - 1
MUST, MORE, PAST = 1, 2, 4
DISCONNECT, DROP_OLDEST, LATEST_ONLY, SPILL = range(4)
GUEST, PASSWORD, CERTIFICATE, TOKEN = range(4)
KICK, BAN, UNBAN, MUTE, UNMUTE, OPERATOR, MEMBER_AGAIN, SLOW, OWNER = range(1, 10)

# type: name, and the fields of its body: 1, 2, 4, 8 bytes, "s" text8, "S" text16.
TYPES = {
    0x01: ("HELLO", "version_min:1 version_max:1 features:4 frame_max:4 agent:s"),
    0x02: ("REGISTER", "nick:s password:S"),
    0x03: ("LOGIN", "nick:s method:1 secret:S"),
    0x04: ("NICK", "nick:s"),
    0x05: ("JOIN", "room:s policy:1 since:8 history:2"),
    0x06: ("LEAVE", "room:4"),
    0x07: ("ROOMS", "prefix:s after:s max:2"),
    0x08: ("TOPIC", "room:4 client_id:8 topic:S"),
    0x09: ("MEMBERS", "room:4 after:s max:2"),
    0x0a: ("SEND", "room:4 client_id:8 contents:S"),
    0x0b: ("TELL", "nick:s client_id:8 contents:S"),
    0x0c: ("EDIT", "room:4 client_id:8 target:8 contents:S"),
    0x0d: ("DELETE", "room:4 client_id:8 target:8"),
    0x0e: ("HISTORY", "room:4 by:1 point:8 max:2"),
    0x0f: ("TYPING", "room:4 on:1"),
    0x10: ("PRESENCE", "status:1 note:s"),
    0x11: ("MODERATE", "room:4 client_id:8 action:1 nick:s seconds:4 reason:s"),
    0x12: ("PING", "any:s"),
    0x13: ("QUIT", "reason:s"),
    0x14: ("CHANGE", "old:S password:S"),
    0x15: ("REVOKE", ""),
    0x16: ("ADMIN", "action:1 seconds:4 after:8 subject:s text:S"),
    0x41: ("WELCOME", "version:1 features:4 frame_max:4 ping_ms:4 now:8 server:s"),
    0x42: ("OK", ""),
    0x43: ("IDENTITY", "user:8 sort:1 nick:s token:S"),
    0x44: ("JOINED", "room:4 first:8 last:8 role:1 slow_ms:4 name:s topic:S"),
    0x45: ("ROOM", "members:4 name:s topic:S"),
    0x46: ("MEMBER", "room:4 role:1 status:1 nick:s note:s"),
    0x47: ("ACK", "room:4 client_id:8 id:8 time:8"),
    0x48: ("MESSAGE", "room:4 id:8 time:8 sort:1 target:8 sender:s contents:S"),
    0x49: ("GAP", "room:4 first:8 last:8 why:1"),
    0x4a: ("END", "more:1"),
    0x4b: ("CAME", "room:4 what:1 role:1 nick:s other:s"),
    0x4c: ("TYPES", "room:4 on:1 nick:s"),
    0x4d: ("STATUS", "status:1 nick:s note:s"),
    0x4e: ("MOVE", "in_ms:4 address:s"),
    0x4f: ("ERROR", "code:2 fatal:1 retry_ms:4 sentence:S"),
    0x50: ("PONG", "any:s"),
    0x51: ("PROBE", "any:s"),
    0x52: ("REPORT", "what:1 flags:1 number:8 time:8 until:8 name:s other:s text:S"),
    0x53: ("NOTICE", "time:8 sender:s contents:S"),
}
NUMBERS = {name: number for number, (name, _) in TYPES.items()}
CODES = ["", "malformed", "version", "order", "unsupported", "too-big", "name", "taken", "refused", "absent",
         "forbidden", "too-fast", "full", "busy", "storage", "too-slow", "idle", "drain"]
SIZES = {"1": ">B", "2": ">H", "4": ">I", "8": ">Q"}


SAID = re.compile(r"^\d\d:\d\d:\d\d #(\S+) <([^>]*)> (.*)$")


class Frame:
    def __init__(self, kind, flags, tag, fields):
        self.kind, self.flags, self.tag = kind, flags, tag
        self.__dict__.update(fields)

    def __repr__(self):
        return str(self.__dict__)

    @property
    def error(self):
        return CODES[self.code] if self.kind == "ERROR" and self.code < len(CODES) else None


def encode(name, /, tag=0, flags=0, **fields):
    number, layout = NUMBERS[name], TYPES[NUMBERS[name]][1]
    body = b""
    for field in layout.split():
        key, kind = field.split(":")
        value = fields.pop(key, b"" if kind in "sS" else 0)
        if kind in "sS":
            data = value.encode() if isinstance(value, str) else value
            body += struct.pack(">B" if kind == "s" else ">H", len(data)) + data
        else:
            body += struct.pack(SIZES[kind], value)
    assert not fields, fields
    return struct.pack(">IBBH", len(body) + 4, number, flags, tag) + body


def decode(data):
    """(frame, what is left) or (None, data)."""
    if len(data) < 4 or len(data) < 4 + struct.unpack(">I", data[:4])[0]:
        return None, data
    end = 4 + struct.unpack(">I", data[:4])[0]
    number, flags, tag = struct.unpack(">BBH", data[4:8])
    name, layout = TYPES[number]
    at, fields = 8, {}
    for field in layout.split():
        key, kind = field.split(":")
        if kind in "sS":
            size = 1 if kind == "s" else 2
            length = int.from_bytes(data[at:at + size], "big")
            fields[key] = data[at + size:at + size + length].decode()
            at += size + length
        else:
            fields[key] = struct.unpack_from(SIZES[kind], data, at)[0]
            at += int(kind)
    assert at <= end, (name, data[:end])
    return Frame(name, flags, tag, fields), data[end:]


class Ended(Exception):
    """The server ended the connection."""


class Client:
    """One connection. `frames` keeps what came and was not asked for."""

    def __init__(self, port, seconds=20):
        self.frames, self.data, self.tags, self.room = [], b"", 0, {}
        self.seconds = seconds
        self.open(port)

    def open(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), self.seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def raw(self, data):
        self.socket.sendall(data)

    def read(self):
        data = self.socket.recv(65536)
        if not data:
            raise Ended(f"after {self.frames[-3:]}")
        self.data += data

    def next(self):
        """The next frame that comes; PROBEs are answered."""
        while True:
            frame, self.data = decode(self.data)
            if frame is None:
                self.read()
            elif frame.kind == "PROBE":
                self.say("PONG", any=frame.any)
            else:
                return frame

    def hear(self, *kinds, **fields):
        """The next frame of those kinds (any, without) that has these fields; others are kept."""
        deadline = time.monotonic() + self.seconds
        kept = self.frames
        self.frames = []
        while time.monotonic() < deadline:
            frame = kept.pop(0) if kept else self.next()
            if (not kinds or frame.kind in kinds) and all(getattr(frame, k, None) == v for k, v in fields.items()):
                self.frames += kept
                return frame
            self.frames.append(frame)
        raise TimeoutError(f"no {kinds} {fields} in {self.frames[-5:]}")

    def say(self, name, tag=0, flags=0, **fields):
        self.raw(encode(name, tag, flags, **fields))

    def ask(self, name, **fields):
        """Says it, and returns the first frame of the answer."""
        self.tags = self.tags % 65535 + 1
        self.say(name, self.tags, **fields)
        return self.hear(tag=self.tags)

    def ask_all(self, name, **fields):
        """Says it, and returns all frames of the answer up to its END."""
        answer = [self.ask(name, **fields)]
        while answer[-1].kind not in ("END", "ERROR"):
            answer.append(self.hear(tag=self.tags))
        return answer

    def hello(self, features=0, frame_max=65536):
        return self.ask("HELLO", version_min=1, version_max=1, features=features, frame_max=frame_max, agent="test")

    def login(self, nick, method=GUEST, secret=""):
        return self.ask("LOGIN", nick=nick, method=method, secret=secret)

    def join(self, room, policy=SPILL, since=NONE, history=0):
        """(JOINED, the messages of its history)"""
        answer = self.ask_all("JOIN", room=room, policy=policy, since=since, history=history)
        if answer[0].kind == "JOINED":
            self.room[room] = answer[0].room
        return answer[0], [frame for frame in answer[1:] if frame.kind == "MESSAGE"]

    def send(self, room, contents, client_id=0):
        return self.ask("SEND", room=self.room[room], client_id=client_id, contents=contents)


def ended(client):
    """The frames that come until the server ends the connection."""
    frames = client.frames
    try:
        while True:
            frames.append(client.next())
    except (Ended, ConnectionError):
        return frames


class Browser(Client):
    """The same inside a WebSocket."""

    def open(self, port):
        self.peer = Peer(port, "/chat", "Sec-WebSocket-Protocol: gyre-chat-1", "Origin: http://test", seconds=self.seconds)
        equal(self.peer.handshake.status, 101, "the handshake")
        self.closed = None

    def close(self):
        self.peer.close()

    def raw(self, data):
        self.peer.say(BINARY, data)

    def read(self):
        kind, payload = self.peer.hear()
        if kind == CLOSE:
            self.closed = struct.unpack(">H", payload[:2])[0] if payload else 1005
            raise Ended(f"Close {self.closed}")
        if kind == PING:
            self.peer.say(PONG, payload)
        elif kind == BINARY:
            self.data += payload
        else:
            raise AssertionError(f"a message of kind {kind}")


class Book:
    """A client of the book's two messages."""

    def __init__(self, port, name):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.data = b""
        self.socket.sendall(b"\x01" + struct.pack(">H", len(name)) + name.encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def broadcast(self, contents, sender=""):
        self.socket.sendall(b"\x02" + struct.pack(">H", len(sender)) + sender.encode() +
                            struct.pack(">H", len(contents)) + contents.encode())

    def exactly(self, count):
        while len(self.data) < count:
            data = self.socket.recv(65536)
            if not data:
                raise Ended("the book's client")
            self.data += data
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def text(self):
        return self.exactly(struct.unpack(">H", self.exactly(2))[0]).decode()

    def hear(self):
        """(from, contents) of the next broadcast."""
        kind = self.exactly(1)
        assert kind == b"\x02", kind
        sender = self.text()
        return sender, self.text()


def said(out):
    """(room, nick, text) of each line."""
    lines = [SAID.match(line) for line in out.splitlines()]
    true(all(lines), f"every line is a message: {out!r}")
    return [line.groups() for line in lines]
