# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads logs of HdrHistogram (format 1.2 and 1.3, histograms encoded as V2): every value of a run, not only some
percentiles, so that the rounds of a server can be added up."""

import base64
import struct
import zlib

COMPRESSED, PLAIN = 0x1C849304, 0x1C849303
ENCODING_BITS = 0xF0  # of the cookie's last byte: the width of words, which V2 does not use


def zigzag(data):
    """The LEB128 words of V2, up to nine bytes each; the ninth has eight bits."""
    at = 0
    while at < len(data):
        value = shift = 0
        for place in range(9):
            byte = data[at]
            at += 1
            value |= (byte if place == 8 else byte & 0x7F) << shift
            shift += 7
            if place < 8 and not byte & 0x80:
                break
        yield (value >> 1) ^ -(value & 1)


def value_at(index, half_bits, unit_bits):
    bucket = (index >> half_bits) - 1
    within = (index & ((1 << half_bits) - 1)) + (1 << half_bits)
    if bucket < 0:
        within -= 1 << half_bits
        bucket = 0
    return within << (bucket + unit_bits)


def decode(text):
    """{value: how often} of one entry's last column."""
    data = base64.b64decode(text)
    cookie, length = struct.unpack_from(">II", data)
    if cookie & ~ENCODING_BITS != COMPRESSED & ~ENCODING_BITS:
        raise ValueError(f"not a compressed V2 histogram, but one of cookie {cookie:#x}")
    data = zlib.decompress(data[8:8 + length])
    cookie, length, _offset, digits, lowest = struct.unpack_from(">IIIIQ", data)
    if cookie & ~ENCODING_BITS != PLAIN & ~ENCODING_BITS:
        raise ValueError(f"not a V2 histogram, but one of cookie {cookie:#x}")
    unit_bits = lowest.bit_length() - 1
    half_bits = (2 * 10 ** digits - 1).bit_length() - 1
    counts, index = {}, 0
    for word in zigzag(data[40:40 + length]):
        if word < 0:
            index -= word
        else:
            if word:
                counts[value_at(index, half_bits, unit_bits)] = word
            index += 1
    return counts


def read(path):
    """{tag ("" without one): {value: how often}} of a log."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.strip()
            if not line or line[0] in '#"':
                continue
            tag = ""
            if line.startswith("Tag="):
                tag, _, line = line[4:].partition(",")
            add(found.setdefault(tag, {}), decode(line.rsplit(",", 1)[1]))
    return found


def add(counts, more):
    for value, count in more.items():
        counts[value] = counts.get(value, 0) + count


# Of the axis 1/(1 − p): even steps in its logarithm.
AXIS = [mantissa * 10 ** power for power in range(6) for mantissa in (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.3, 8)]


def curve(counts):
    """[(1/(1 − p), value)] for p from 0 on, as far as there are values to tell it by."""
    values = sorted(counts.items())
    total = sum(counts.values())
    points, seen, at = [], 0, 0
    for x in AXIS:
        if x > total:
            break
        wanted = max(1, total * (1 - 1 / x))
        while at < len(values) and seen + values[at][1] < wanted:
            seen += values[at][1]
            at += 1
        points.append((x, values[min(at, len(values) - 1)][0]))
    return points
