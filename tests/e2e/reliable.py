# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of reliable UDP share: a server, and certificates."""

import os
import re
import subprocess
import tempfile

from harness import PROGRAM, Server, free_ports, until


class Rudp(Server):
    """`gyre rudp serve`."""

    def __init__(self, *flags, workers=2, mode=("--plaintext",), **more):  # pylint: disable=super-init-not-called
        self.port = free_ports(1)[0]
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([PROGRAM, "rudp", "serve", *mode, "--workers", str(workers), "--listen",
                                         f"127.0.0.1:{self.port}", *flags], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True, **more)
        self.pid = self.process.pid
        line = self.process.stdout.readline().decode()
        if not re.match(r"gyre rudp \(UDP\): listening on .*:\d+ with", line):
            self.end()
            raise AssertionError(f"gyre rudp did not begin to listen: {line}{self.log()}")
        until(lambda: " serves" in self.log(), "it serves")

    def __enter__(self):
        return self


class Certificates:
    """An authority, a certificate of it for this machine, and a client's, in a folder."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        for arguments in ((), ("--client", "somebody")):
            subprocess.run([PROGRAM, "cert", "--dir", self.folder.name, *arguments], check=True, timeout=20,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.server = os.path.join(self.folder.name, "localhost.pem")
        self.client = os.path.join(self.folder.name, "somebody.pem")
        self.authority = os.path.join(self.folder.name, "authority.pem")
        self.trust = ("--ca", self.authority)
        return self

    def __exit__(self, *_):
        self.folder.cleanup()
