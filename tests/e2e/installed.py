# SPDX-License-Identifier: GPL-3.0-or-later
"""What `meson install` puts down, once for each test program, and what builds from it."""

import os
import re
import shlex
import tempfile

from harness import equal, output_of, tool

BUILD = os.environ.get("GYRE_BUILD", "")
CC = shlex.split(os.environ.get("CC", "cc"))
WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]

FOLDER = tempfile.TemporaryDirectory(prefix="gyre-embed-")
INSTALLED = {}


def installed():
    """Installs once; the prefix as it lies in our folder, and pkg-config's answer."""
    if not INSTALLED:
        root = os.path.join(FOLDER.name, "root")
        meson = shlex.split(os.environ.get("MESON", "")) or [tool("meson")]
        status, out, errors = output_of([*meson, "install", "-C", BUILD, "--no-rebuild", "--destdir", root], 60)
        equal(status, 0, out + errors)
        found = [os.path.join(at, "gyre.pc") for at, _, names in os.walk(root) if "gyre.pc" in names]
        equal(len(found), 1, "pkg-config files")
        # It names the place it will be in; this is a rehearsal.
        for name in (found[0], found[0].replace("gyre.pc", "gyre-tls.pc")):
            with open(name, encoding="utf-8") as file:
                text = file.read()
            prefix = root + re.search(r"^prefix=(.*)$", text, re.MULTILINE).group(1)
            with open(name, "w", encoding="utf-8") as file:
                file.write(re.sub(r"^prefix=.*$", f"prefix={prefix}", text, flags=re.MULTILINE))
        # Where gyre.pc finds liburing.pc, if that was built by ci/setup.
        path = ":".join([os.path.dirname(found[0]), os.environ.get("GYRE_REQUIRES", ""),
                         os.environ.get("PKG_CONFIG_PATH", "")])
        INSTALLED.update(prefix=prefix, path=path)
        INSTALLED.update(flags=asked("--static", "--cflags", "--libs"), headers=asked("--cflags"))
        INSTALLED.update(flags_tls=asked("--static", "--cflags", "--libs", names=("gyre-tls", "gyre")))
    return INSTALLED


def asked(*flags, names=("gyre",)):
    status, answer, errors = output_of([tool("pkg-config"), *flags, *names],
                                       env={**os.environ, "PKG_CONFIG_PATH": INSTALLED["path"]})
    equal(status, 0, errors)
    return shlex.split(answer)
