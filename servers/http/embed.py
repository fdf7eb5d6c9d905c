# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the files of a built-in page into a C source (embedded.h).

usage: embed.py OUTPUT.c NAME URL-PATH=FILE[+STYLE.css+SCRIPT.js]...

NAME is what the program calls the page. With a style and a script, these are put into the file, where it says
/*STYLE*/ and /*SCRIPT*/. The same files give the same source: no dates, no folders. An ETag is the beginning of the
SHA-256 of what is sent.
"""

import base64
import hashlib
import os
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def read(name):
    with open(name, "rb") as file:
        return file.read()


def policy(script, style):
    """What a page may load: this script and this style, what else comes from its own server; nobody may frame it."""
    return (f"default-src 'none'; script-src {script}; style-src {style}; img-src 'self'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


def policy_hash(data):
    """Of what is in the page itself (CSP level 2)."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(data).digest()).decode() + "'"


def content(names):
    """What is sent, and its policy."""
    if len(names) == 1:
        return read(names[0]), policy("'self'", "'self'")
    page, style, script = map(read, names)
    data = page.replace(b"/*STYLE*/", style).replace(b"/*SCRIPT*/", script)
    return data, policy(policy_hash(script), policy_hash(style))


def array(number, data):
    lines = [f"static const uint8_t file_{number}[] = {{"]
    for at in range(0, len(data), 24):
        lines.append("    " + ",".join(str(byte) for byte in data[at : at + 24]) + ",")
    return "\n".join(lines) + "\n};\n"


def main(output, page, *pairs):
    arrays, rows = [], []
    for number, (path, names) in enumerate(pair.split("=", 1) for pair in pairs):
        names = names.split("+")
        data, rule = content(names)
        kind = TYPES[os.path.splitext(names[0])[1]]
        etag = '\\"' + hashlib.sha256(data).hexdigest()[:20] + '\\"'
        arrays.append(array(number, data))
        rows.append(f'    {{"{path}", "{kind}", "{etag}",\n     "{rule}",\n     file_{number}, sizeof file_{number}}},\n')
    with open(output, "w", encoding="utf-8") as file:
        file.write("/* SPDX-License-Identifier: GPL-3.0-or-later */\n"
                   "/* Made by servers/http/embed.py. */\n"
                   '#include "servers/http/embedded.h"\n\n'
                   + "\n".join(arrays) +
                   "\nstatic const struct gy_embedded_file files[] = {\n" + "".join(rows) + "};\n\n"
                   f"const struct gy_embedded_page {page} = {{files, {len(rows)}}};\n\n"
                   f"_Static_assert({len(rows)} <= GY_EMBEDDED_FILES_MAX, \"a page has room for its files\");\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
