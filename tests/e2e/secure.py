# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of TLS share: certificates, and servers that have them."""

import functools
import os
import ssl
import subprocess
import tempfile

from configured import Configured
from harness import PROGRAM, Connection, Server


@functools.lru_cache
def folder():
    """Certificates, made once: an authority, localhost, *.example.org, a client, and somebody else's authority."""
    path = tempfile.mkdtemp(prefix="gyre-tls-")
    for arguments in (["localhost", "127.0.0.1"], ["*.example.org"], ["--client", "a customer"],
                      ["--dir", os.path.join(path, "stranger"), "--client", "a stranger"]):
        subprocess.run([PROGRAM, "cert", "--dir", path, *arguments], check=True, stdout=subprocess.DEVNULL)
    return path


def path_of(name):
    return os.path.join(folder(), name)


def context(**more):
    made = ssl.create_default_context(cafile=path_of("authority.pem"))
    for name, value in more.items():
        setattr(made, name, value)
    return made


class Secure(Connection):
    """A connection with TLS in it; its requests and answers are those of HTTP."""

    def __init__(self, port, name="localhost", using=None, session=None):
        super().__init__(port)
        self.socket = (using or context()).wrap_socket(self.socket, server_hostname=name, session=session)

    def subject(self):
        return dict(pair[0] for pair in self.socket.getpeercert()["subject"])["commonName"]


class Ready:
    """Ready once the log says so: a plain request would be refused."""

    def answers(self):
        return ") serves" in self.log()


class SecureFiles(Ready, Configured):
    pass


class SecureServer(Ready, Server):
    pass


class Https(Ready, Configured):
    def __init__(self, inside=""):
        super().__init__("workers 1;\nadmin 127.0.0.1:{admin};\nhttp { listen 127.0.0.1:{port}; fixed on;\n"
                         f"certificate {path_of('localhost.pem')};\n"
                         f"certificate {path_of('example.org.pem')} {path_of('example.org.key')};\n{inside}\n}}\n")

    def counted(self, name):
        return self.metrics()[name]
