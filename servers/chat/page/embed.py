# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the files of the chat page into a C source.

usage: embed.py OUTPUT.c URL-PATH=FILE...

The same files give the same source: no dates, no folders. An ETag is the beginning of the file's SHA-256.
"""

import hashlib
import os
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


def array(number, data):
    lines = [f"static const uint8_t file_{number}[] = {{"]
    for at in range(0, len(data), 24):
        lines.append("    " + ",".join(str(byte) for byte in data[at : at + 24]) + ",")
    return "\n".join(lines) + "\n};\n"


def main(output, *pairs):
    arrays, rows = [], []
    for number, (path, name) in enumerate(pair.split("=", 1) for pair in pairs):
        with open(name, "rb") as file:
            data = file.read()
        kind = TYPES[os.path.splitext(name)[1]]
        etag = '\\"' + hashlib.sha256(data).hexdigest()[:20] + '\\"'
        arrays.append(array(number, data))
        rows.append(f'    {{"{path}", "{kind}", "{etag}", file_{number}, sizeof file_{number}}},\n')
    with open(output, "w", encoding="utf-8") as file:
        file.write("/* SPDX-License-Identifier: GPL-3.0-or-later */\n")
        file.write("/* Made from servers/chat/page/ by embed.py. */\n")
        file.write('#include "servers/chat/page/files.h"\n\n')
        file.write("\n".join(arrays))
        file.write("\nconst struct gy_chat_page_file gy_chat_page_files[] = {\n" + "".join(rows) + "};\n\n"
                   f"const uint32_t gy_chat_page_file_count = {len(rows)};\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
