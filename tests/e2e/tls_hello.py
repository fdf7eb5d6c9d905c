# SPDX-License-Identifier: GPL-3.0-or-later
"""Hellos of TLS clients made by hand from RFC 8446 §4.1.2 and §4.2, whole ones and broken ones, and the alert that each
broken one is to be answered with (RFC 8446 §6.2, and the sections named beside them)."""

import struct

# Alerts (RFC 8446 §6).
UNEXPECTED_MESSAGE, BAD_RECORD_MAC, RECORD_OVERFLOW, HANDSHAKE_FAILURE = 10, 20, 22, 40
ILLEGAL_PARAMETER, DECODE_ERROR, DECRYPT_ERROR, PROTOCOL_VERSION, MISSING_EXTENSION = 47, 50, 51, 70, 109
UNRECOGNIZED_NAME, NO_APPLICATION_PROTOCOL = 112, 120

# Extensions (RFC 8446 §4.2).
SERVER_NAME, GROUPS, POINT_FORMATS, SIGNATURES, ALPN = 0, 10, 11, 13, 16
PRE_SHARED_KEY, EARLY_DATA, VERSIONS, COOKIE, PSK_MODES, KEY_SHARE = 41, 42, 43, 44, 45, 51

X25519, P256, SECP521 = 0x001D, 0x0017, 0x0019


def vector8(data):
    return struct.pack("!B", len(data)) + data


def vector16(data):
    return struct.pack("!H", len(data)) + data


def numbers(*values):
    return b"".join(struct.pack("!H", value) for value in values)


def record(kind, data, version=0x0301):
    return struct.pack("!BHH", kind, version, len(data)) + data


def handshake(kind, data, length=None):
    return struct.pack("!B", kind) + struct.pack("!I", len(data) if length is None else length)[1:] + data


# The base point of Curve25519: a key that anybody may have.
KEY = b"\x09" + b"\0" * 31


def usual():
    """What a client of TLS 1.3 has to say."""
    return {
        VERSIONS: vector8(numbers(0x0304)),
        GROUPS: vector16(numbers(X25519, P256)),
        SIGNATURES: vector16(numbers(0x0403, 0x0804, 0x0401)),
        KEY_SHARE: vector16(numbers(X25519) + vector16(KEY)),
    }


def hello(extensions=None, version=0x0303, ciphers=(0x1301, 0x1302, 0x1303), compression=b"\0", session=b"\x55" * 32,
          more=b"", cut=0, extra=b""):
    """A client's hello as a handshake message. `more` follows the extensions, in their list; `extra` the whole."""
    extensions = usual() if extensions is None else extensions
    coded = b"".join(numbers(kind) + vector16(data) for kind, data in extensions.items()) + more
    body = (numbers(version) + b"\x42" * 32 + vector8(session) + vector16(numbers(*ciphers)) + vector8(compression) +
            (vector16(coded) if extensions or more else b"") + extra)
    return handshake(1, body[:len(body) - cut], None)


def but(**changes):
    """The usual extensions, with some of other contents, or, where that is None, absent."""
    names = {"versions": VERSIONS, "groups": GROUPS, "signatures": SIGNATURES, "key_share": KEY_SHARE, "psk": PRE_SHARED_KEY,
             "modes": PSK_MODES, "early": EARLY_DATA, "alpn": ALPN, "name": SERVER_NAME, "cookie": COOKIE}
    made = usual()
    for name, value in changes.items():
        made.pop(names[name], None)
        if value is not None:
            made[names[name]] = value
    return made


def first(extensions=None, **more):
    return record(22, hello(extensions, **more))


def in_pieces(message):
    return b"".join(record(22, message[i:i + 50]) for i in range(0, len(message), 50))


# An identity of 16 bytes and a binder of 32 (RFC 8446 §4.2.11).
PSK = vector16(vector16(b"\x11" * 16) + b"\0\0\0\0") + vector16(vector8(b"\x22" * 32))
CCS = record(20, b"\x01", 0x0303)

# What it is; what is sent; the alerts that it may be answered with, the RFC's own first.
BROKEN = (
    # Records (RFC 8446 §5.1, §5.2).
    ("plain HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", (UNEXPECTED_MESSAGE, DECODE_ERROR, PROTOCOL_VERSION)),
    # wolfSSL looks at the message in it first, which is too large as well.
    ("a record of more than 2^14 bytes", record(22, b"\x01" * 16385), (RECORD_OVERFLOW, HANDSHAKE_FAILURE)),
    ("a record larger than any", b"\x16\x03\x01\xff\xff" + b"\x01" * 20000, (RECORD_OVERFLOW,)),
    ("application data first", record(23, b"hello", 0x0303), (UNEXPECTED_MESSAGE,)),
    ("an unknown type of record", record(99, b"hello", 0x0303), (UNEXPECTED_MESSAGE,)),
    ("an empty handshake record", record(22, b"") + first(), (UNEXPECTED_MESSAGE, DECODE_ERROR)),
    ("an empty alert", record(21, b""), (UNEXPECTED_MESSAGE, DECODE_ERROR)),
    ("an alert of one byte", record(21, b"\x02"), (UNEXPECTED_MESSAGE, DECODE_ERROR)),
    ("a change of cipher before the hello", CCS + first(), (UNEXPECTED_MESSAGE,)),
    ("an empty change of cipher", record(20, b"", 0x0303), (UNEXPECTED_MESSAGE, DECODE_ERROR)),
    ("a change of cipher of two bytes", record(20, b"\x01\x01", 0x0303), (UNEXPECTED_MESSAGE, DECODE_ERROR, ILLEGAL_PARAMETER)),
    ("a record in the middle of a hello", record(22, hello()[:60]) + record(23, b"hello", 0x0303), (UNEXPECTED_MESSAGE,)),
    ("a change of cipher in the middle of a hello", record(22, hello()[:60]) + CCS, (UNEXPECTED_MESSAGE,)),
    # Messages (§4).
    ("a finished message first", record(22, handshake(20, b"abcd")), (UNEXPECTED_MESSAGE,)),
    ("a server's hello", record(22, handshake(2, b"\3\3" + b"\0" * 40)), (UNEXPECTED_MESSAGE,)),
    ("an unknown message", record(22, handshake(77, b"abcd")), (UNEXPECTED_MESSAGE,)),
    ("a key update first", record(22, handshake(24, b"\0")), (UNEXPECTED_MESSAGE,)),
    ("a message of 16 MB", record(22, handshake(1, hello()[4:], 0xFFFFFF)), (DECODE_ERROR, ILLEGAL_PARAMETER, HANDSHAKE_FAILURE)),
    ("a hello that ends early", b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03", (DECODE_ERROR,)),
    ("a hello that is cut in its extensions", first(cut=3), (DECODE_ERROR,)),
    ("bytes behind the extensions", first(extra=b"\0\0\0"), (DECODE_ERROR,)),
    # Versions (§4.2.1, §D.2).
    ("TLS 1.1", first({}, version=0x0302), (PROTOCOL_VERSION,)),
    ("SSL 3", first({}, version=0x0300), (PROTOCOL_VERSION,)),
    ("versions that nobody has", first(but(versions=vector8(numbers(0x7F1C)))), (PROTOCOL_VERSION,)),
    ("TLS 1.1 among the versions alone", first(but(versions=vector8(numbers(0x0302)))), (PROTOCOL_VERSION,)),
    ("an empty list of versions", first(but(versions=vector8(b""))), (DECODE_ERROR, PROTOCOL_VERSION)),
    # The hello itself (§4.1.2).
    ("no ciphers", first(ciphers=()), (DECODE_ERROR, ILLEGAL_PARAMETER, HANDSHAKE_FAILURE)),
    ("ciphers that nobody has", first(ciphers=(0x13FE,)), (HANDSHAKE_FAILURE,)),
    ("a session id of 33 bytes", first(session=b"\x55" * 33), (DECODE_ERROR, ILLEGAL_PARAMETER)),
    ("compression", first(compression=b"\x01"), (ILLEGAL_PARAMETER,)),
    ("compression besides none", first(compression=b"\x01\0"), (ILLEGAL_PARAMETER,)),
    # Extensions (§4.2, §9.2).
    ("no groups and no key share", first(but(groups=None, key_share=None)), (MISSING_EXTENSION,)),
    ("groups without a key share", first(but(key_share=None)), (MISSING_EXTENSION,)),
    ("a key share without groups", first(but(groups=None)), (MISSING_EXTENSION,)),
    ("no signature algorithms", first(but(signatures=None)), (MISSING_EXTENSION,)),
    ("one extension twice", first(more=numbers(SIGNATURES) + vector16(vector16(numbers(0x0403)))),
     (ILLEGAL_PARAMETER, DECODE_ERROR)),
    ("an extension longer than the hello", first(more=numbers(0x7777) + b"\xff\xff"), (DECODE_ERROR,)),
    ("half an extension", first(more=b"\x77"), (DECODE_ERROR,)),
    ("groups of an odd length", first(but(groups=vector16(b"\0\x1d\0"))), (DECODE_ERROR, ILLEGAL_PARAMETER)),
    ("an empty list of groups", first(but(groups=vector16(b""))), (DECODE_ERROR, ILLEGAL_PARAMETER, HANDSHAKE_FAILURE)),
    ("a key of the wrong length", first(but(key_share=vector16(numbers(X25519) + vector16(KEY[:31])))), (ILLEGAL_PARAMETER,)),
    ("a key that is no point of its curve", first(but(key_share=vector16(numbers(P256) + vector16(b"\x04" + b"\x07" * 64)))),
     (ILLEGAL_PARAMETER,)),
    ("the key that makes every secret zero", first(but(key_share=vector16(numbers(X25519) + vector16(b"\0" * 32)))),
     (ILLEGAL_PARAMETER, HANDSHAKE_FAILURE)),
    ("a key share that ends early", first(but(key_share=vector16(numbers(X25519) + b"\0\x20abc"))), (DECODE_ERROR,)),
    ("signatures of nobody", first(but(signatures=vector16(numbers(0x7777)))), (HANDSHAKE_FAILURE,)),
    ("an empty list of signatures", first(but(signatures=vector16(b""))), (DECODE_ERROR, ILLEGAL_PARAMETER, HANDSHAKE_FAILURE)),
    ("a session to resume that is not last", first({PRE_SHARED_KEY: PSK, **but(modes=b"\1\1")}), (ILLEGAL_PARAMETER,)),
    ("a session to resume, and not how", first({**usual(), PRE_SHARED_KEY: PSK}), (MISSING_EXTENSION,)),
    ("groups of nobody, and no key yet", first(but(groups=vector16(numbers(0x7777)), key_share=vector16(b""))),
     (HANDSHAKE_FAILURE,)),
    ("the same in small records", in_pieces(hello(but(groups=vector16(numbers(0x7777)), key_share=vector16(b"")))),
     (HANDSHAKE_FAILURE,)),
    ("a group that we do not have, and its key", first(but(groups=vector16(numbers(SECP521)), key_share=vector16(
        numbers(SECP521) + vector16(b"\x04" + b"\x07" * 132)))), (HANDSHAKE_FAILURE,)),
    ("early data with something in it", first(but(early=b"x")), (DECODE_ERROR, ILLEGAL_PARAMETER)),
    ("an empty protocol", first(but(alpn=vector16(b"\0"))), (DECODE_ERROR, ILLEGAL_PARAMETER)),
    ("protocols of nobody", first(but(alpn=vector16(vector8(b"gopher")))), (NO_APPLICATION_PROTOCOL,)),
    ("an empty name", first(but(name=vector16(b"\0" + vector16(b"")))), (DECODE_ERROR, ILLEGAL_PARAMETER, UNRECOGNIZED_NAME)),
    ("two names", first(but(name=vector16((b"\0" + vector16(b"a")) * 2))), (DECODE_ERROR, ILLEGAL_PARAMETER, UNRECOGNIZED_NAME)),
)
