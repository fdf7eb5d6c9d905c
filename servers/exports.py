# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists what the program offers to plug-ins: the functions and tables of the installed headers, as a dynamic list for
the linker (ld's --dynamic-list). Names that are no symbol do no harm there.

usage: exports.py OUTPUT HEADER...
"""

import re
import sys

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|^\s*#\s*define(?:[^\n\\]|\\.)*", re.DOTALL | re.MULTILINE)
DECLARED = re.compile(r"\b(gy_\w+)\s*(?:\(|\[|;)")


def symbols(text):
    text = COMMENT.sub(" ", text)
    inline = set(re.findall(r"\bstatic\s+inline\b[^(;]*?\b(gy_\w+)\s*\(", text))
    types = set(re.findall(r"\b(?:struct|enum)\s+(gy_\w+)", text))
    return set(DECLARED.findall(text)) - inline - types


def main(output, *headers):
    found = {"gy_assert_failed"}
    for name in headers:
        with open(name, encoding="utf-8") as file:
            found |= symbols(file.read())
    with open(output, "w", encoding="utf-8") as file:
        file.write("{\n" + "".join(f"  {name};\n" for name in sorted(found)) + "};\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
