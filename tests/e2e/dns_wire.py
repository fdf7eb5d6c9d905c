# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS messages for tests: made as they are asked for, over TCP too, and read so that two servers' can be compared."""

import collections
import struct

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "AAAA": 28, "LOC": 29, "SRV": 33,
         "NAPTR": 35, "DNAME": 39, "OPT": 41, "DS": 43, "SSHFP": 44, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "NSEC3": 50,
         "NSEC3PARAM": 51, "TLSA": 52, "CDS": 59, "SVCB": 64, "HTTPS": 65, "ANY": 255, "URI": 256, "CAA": 257, "TYPE65280": 65280}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
RCODES = ("NOERROR FORMERR SERVFAIL NXDOMAIN NOTIMP REFUSED YXDOMAIN YXRRSET NXRRSET NOTAUTH NOTZONE 11 12 13 14 15 BADVERS".split())
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x400, 0x200, 0x100, 0x80, 0x20, 0x10
FLAGS = {"AA": AA, "TC": TC, "RD": RD, "RA": RA, "AD": AD, "CD": CD}
# Where names are in record data: bytes before the first, how many.
NAMES = {2: (0, 1), 5: (0, 1), 6: (0, 2), 12: (0, 1), 15: (2, 1), 33: (6, 1), 39: (0, 1), 46: (18, 1), 47: (0, 1)}

# All in lower case; rdata with its names whole.
Record = collections.namedtuple("Record", "owner type ttl rdata")


def framed(*messages):
    """As they go over TCP."""
    return b"".join(struct.pack("!H", len(message)) + message for message in messages)


def exactly(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionResetError(f"closed after {len(data)} of {count} bytes")
        data += more
    return data


def next_message(connection):
    return exactly(connection, struct.unpack("!H", exactly(connection, 2))[0])


class Malformed(Exception):
    pass


def name_wire(text):
    """Escapes: \\DDD and \\X."""
    out, label, at = b"", bytearray(), 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            if text[at + 1:at + 4].isdigit():
                label.append(int(text[at + 1:at + 4]))
                at += 4
            else:
                label.append(ord(text[at + 1]))
                at += 2
            continue
        if char == ".":
            if label:
                out += bytes([len(label)]) + bytes(label)
            label = bytearray()
        else:
            label.append(ord(char))
        at += 1
    if label:
        out += bytes([len(label)]) + bytes(label)
    return out + b"\0"


def name_text(wire):
    text, at = "", 0
    while wire[at]:
        for byte in wire[at + 1:at + 1 + wire[at]]:
            text += chr(byte) if 33 <= byte < 127 and chr(byte) not in '.\\"();@$' else f"\\{byte:03}"
        text += "."
        at += wire[at] + 1
    return text or "."


def labels_of(wire):
    found, at = [], 0
    while wire[at]:
        found.append(wire[at + 1:at + 1 + wire[at]])
        at += wire[at] + 1
    return found


def read_name(data, at):
    """The wire form in lower case, and where the next thing begins."""
    out, behind, limit = b"", None, len(data)
    while True:
        if at >= len(data):
            raise Malformed("a name that is cut short")
        length = data[at]
        if length >= 0xc0:
            if at + 1 >= len(data):
                raise Malformed("a pointer that is cut short")
            behind = at + 2 if behind is None else behind
            target = (length & 0x3f) << 8 | data[at + 1]
            if target >= limit:
                raise Malformed("a pointer that does not lead backwards")
            limit = at = target
            continue
        if length > 63:
            raise Malformed("a label of no known type")
        out += data[at:at + 1 + length].lower()
        at += 1 + length
        if length == 0:
            return out, at if behind is None else behind


def whole_rdata(data, at, kind, count):
    if kind not in NAMES:
        return data[at:at + count]
    end = at + count
    before, names = NAMES[kind]
    out = data[at:at + before]
    at += before
    for _ in range(names):
        name, at = read_name(data, at)
        out += name
    if at > end:
        raise Malformed("a name beyond its record")
    return out + data[at:end]


class Message:
    def __init__(self, data):
        if len(data) < 12:
            raise Malformed(f"only {len(data)} bytes")
        self.bytes = len(data)
        self.id, self.flags, *counts = struct.unpack("!6H", data[:12])
        self.rcode, self.opcode = self.flags & 15, self.flags >> 11 & 15
        self.question, at, self.opt = None, 12, None
        for _ in range(counts[0]):
            name, at = read_name(data, at)
            self.question = (name, *struct.unpack("!HH", data[at:at + 4]))
            at += 4
        self.sections = []
        for count in counts[1:]:
            section = []
            for _ in range(count):
                owner, at = read_name(data, at)
                if at + 10 > len(data):
                    raise Malformed("a record that is cut short")
                kind, cls, ttl, length = struct.unpack("!HHIH", data[at:at + 10])
                at += 10
                if at + length > len(data):
                    raise Malformed("data that is cut short")
                if kind == 41:
                    self.opt = (cls, ttl, data[at:at + length])
                    self.rcode |= ttl >> 24 << 4
                else:
                    section.append(Record(owner, kind, ttl, whole_rdata(data, at, kind, length)))
                at += length
            self.sections.append(section)
        if at != len(data):
            raise Malformed(f"{len(data) - at} bytes behind the last record")
        self.answer, self.authority, self.additional = self.sections

    def rcode_name(self):
        return RCODES[self.rcode] if self.rcode < len(RCODES) else str(self.rcode)

    def has(self, flag):
        return bool(self.flags & flag)

    def options(self):
        """Codes of the options of OPT."""
        found, data = [], self.opt[2] if self.opt else b""
        while len(data) >= 4:
            code, length = struct.unpack("!HH", data[:4])
            found.append(code)
            data = data[4 + length:]
        return found


def type_name(kind):
    return TYPE_NAMES.get(kind, f"TYPE{kind}")


def record_text(record):
    kind = type_name(record.type)
    data = record.rdata.hex()
    if record.type in (2, 5, 12, 39):
        data = name_text(record.rdata)
    elif record.type == 1 and len(record.rdata) == 4:
        data = ".".join(map(str, record.rdata))
    elif record.type == 46:
        data = f"{type_name(struct.unpack('!H', record.rdata[:2])[0])} labels {record.rdata[3]}"
    elif record.type == 47:
        data = name_text(record.rdata[:record.rdata.index(0) + 1]) if 0 in record.rdata else data
    return f"{name_text(record.owner)} {record.ttl} {kind} {data[:60]}"
