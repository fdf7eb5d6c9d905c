# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the style and the script of the admin listener's page into it, and the page into a C source.

usage: embed.py OUTPUT.c PAGE.html STYLE.css SCRIPT.js

The page may run this script and use this style, known by their hashes (CSP level 2), and load nothing from elsewhere.
"""

import base64
import hashlib
import sys


def policy_hash(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def main(output, page, style, script):
    texts = []
    for name in (page, style, script):
        with open(name, encoding="utf-8") as file:
            texts.append(file.read())
    page, style, script = texts
    policy = (f"default-src 'none'; script-src {policy_hash(script)}; style-src {policy_hash(style)}; img-src 'self'; "
              "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
    data = page.replace("/*STYLE*/", style).replace("/*SCRIPT*/", script).encode()
    rows = ["    " + ",".join(str(byte) for byte in data[at : at + 24]) + "," for at in range(0, len(data), 24)]
    with open(output, "w", encoding="utf-8") as file:
        file.write("/* SPDX-License-Identifier: GPL-3.0-or-later */\n"
                   "/* Made from servers/admin/page/ by embed.py. */\n"
                   '#include "servers/admin/admin_status.h"\n\n'
                   f'const char gy_admin_page_policy[] = "{policy}";\n\n'
                   "const uint8_t gy_admin_page[] = {\n" + "\n".join(rows) + "\n};\n\n"
                   "const uint32_t gy_admin_page_bytes = sizeof gy_admin_page;\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
