# SPDX-License-Identifier: GPL-3.0-or-later
"""A WebSocket client written from RFC 6455, with the standard library alone, that can also say what it must not."""

import base64
import hashlib
import os
import struct

from harness import Connection, equal

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Peer(Connection):
    def __init__(self, port, target="/echo", *fields, seconds=20):
        super().__init__(port, seconds)
        key = base64.b64encode(os.urandom(16))
        self.request("GET", target, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                     "Sec-WebSocket-Key: " + key.decode(), *fields)
        self.handshake = self.answer()
        if self.handshake.status == 101:
            equal(self.handshake.fields["sec-websocket-accept"],
                  base64.b64encode(hashlib.sha1(key + GUID).digest()).decode(), "Sec-WebSocket-Accept")

    def frame(self, opcode, payload=b"", fin=True):
        length = len(payload)
        head = bytes([(0x80 if fin else 0) | opcode])
        if length < 126:
            head += bytes([0x80 | length])
        elif length < 65536:
            head += bytes([0x80 | 126]) + struct.pack(">H", length)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", length)
        mask = os.urandom(4)
        repeated = (mask * (length // 4 + 1))[:length]
        body = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(length, "big")
        return head + mask + body

    def say(self, opcode, payload=b"", fin=True):
        self.send(self.frame(opcode, payload, fin))

    def send_packed(self, opcode, payload):
        data = bytearray(self.frame(opcode, payload))
        data[0] |= 0x40
        self.send(bytes(data))

    def hear(self):
        """(opcode, payload) of the next frame, which is whole, not compressed and not masked."""
        first, payload = self.hear_any()
        equal(first & 0x70, 0, "reserved bits")
        equal(first & 0x80, 0x80, "FIN")
        return first & 15, payload

    def hear_any(self):
        """(first byte, payload) of the next frame, which is not masked."""
        first, second = self.exactly(2)
        equal(second & 0x80, 0, "the mask bit of a server's frame")
        length = second
        if second == 126:
            (length,) = struct.unpack(">H", self.exactly(2))
        elif second == 127:
            (length,) = struct.unpack(">Q", self.exactly(8))
        return first, self.exactly(length)
