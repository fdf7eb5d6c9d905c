# SPDX-License-Identifier: GPL-3.0-or-later
"""`gyre serve` of a configuration file that a test writes, and what it says of itself."""

import os
import shutil
import subprocess
import tempfile

from harness import PROGRAM, Connection, Server, equal, free_ports
from prometheus import Families


class Configured(Server):
    """`gyre serve` of a file that the test writes; {port} and {admin} in it are free ports."""

    def __init__(self, text, *flags, before=(), **more):  # pylint: disable=super-init-not-called
        self.folder = tempfile.mkdtemp()
        os.chmod(self.folder, 0o755)
        self.ports = dict(zip(("port", "admin", "other", "spare"), free_ports(4)), folder=self.folder)
        self.file = os.path.join(self.folder, "gyre.conf")
        self.write(text)
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*before, PROGRAM, "serve", "--config", self.file, *flags],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors,
                                        start_new_session=True, **more)
        self.pid = self.process.pid
        self.port = self.ports["port"]
        if not self.process.stdout.readline():
            self.end()
            raise AssertionError(f"gyre did not begin to listen: {self.log()}")

    def write(self, text):
        for name, value in self.ports.items():
            text = text.replace("{" + name + "}", str(value))
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(text)

    def end(self):
        super().end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def fetch(self, name, target="/"):
        with Connection(self.ports[name]) as connection:
            return connection.get(target)

    def metrics(self):
        answer = self.fetch("admin", "/metrics")
        equal(answer.status, 200)
        equal(answer.fields["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        return Families(answer.body.decode()).flat()
