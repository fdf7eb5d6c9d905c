# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report measures: scenarios, and which servers take part in each. A new protocol adds a row here."""

import random
import socket
from dataclasses import dataclass, field
from pathlib import Path

from measure import HERE, fetch

OURS, LIMIT, PEER = "gyre", "limit", "peer"
FILE_SIZES = {"file-1k": 1024, "file-64k": 65536, "file-1m": 1 << 20}


@dataclass
class Contender:
    """A server in a scenario. {port}, {admin}, {response} (the length of ours, bytes) and {dir} of its command are filled in
    when it is started."""
    name: str
    role: str
    command: str
    counters: bool = False  # has an admin listener, whose counters gyre-load reads


@dataclass
class Scenario:
    name: str
    title: str
    what: str  # one operation, in words
    url: str  # behind 127.0.0.1:PORT
    contenders: list
    scheme: str = "http"
    flags: list = field(default_factory=list)  # of gyre-load
    probe: object = fetch  # the server's first answer
    equal_load: bool = True  # also at one rate for all
    load_curve: tuple = ()  # kinds of report that have it: at rising rates
    quick: bool = True


def probe_echo(kind, port):
    with socket.socket(socket.AF_INET, kind) as connection:
        connection.settimeout(0.5)
        connection.connect(("127.0.0.1", port))
        connection.send(b"hello")
        if connection.recv(5) != b"hello":
            raise OSError("that is no echo")
    return b"hello"


def probe_tcp(port):
    return probe_echo(socket.SOCK_STREAM, port)


def probe_udp(port):
    return probe_echo(socket.SOCK_DGRAM, port)


def gyre(build, command, rest, admin=True):
    """`gyre echo` has no admin listener: its counters are not known."""
    words = f"{build}/gyre {command} {rest} --listen 127.0.0.1:{{port}} --workers 1 --log-level error"
    return Contender("gyre", OURS, words + " --admin 127.0.0.1:{admin}" * admin, counters=admin)


def peers(root=""):
    return [Contender(name, PEER, f"{HERE}/peers/{name} run {{port}} {{dir}} {root}".rstrip()) for name in ("nginx", "h2o")]


def limits(build, words, sendfile=False):
    found = [Contender("limit-ring", LIMIT, f"{build}/bench/limit-http-ring --port {{port}} {words}"),
             Contender("limit-epoll", LIMIT, f"{build}/bench/limit-http-epoll --port {{port}} {words}")]
    if sendfile:
        found.append(Contender("limit-sendfile", LIMIT,
                               f"{build}/bench/limit-http-epoll --port {{port}} {words} --sendfile"))
    return found


def make_files(root):
    """The files that are asked for, as of today but old enough for every cache."""
    root.mkdir()
    root.chmod(0o755)  # workers of some servers are another user
    for name, size in FILE_SIZES.items():
        (root / name).write_bytes(random.Random(size).randbytes(size))
    (root / "index.html").write_text("<h1>files</h1>\n", encoding="ascii")


def all_scenarios(build, root):
    build = Path(build)
    fixed = [gyre(build, "http", "--fixed"), *peers(), *limits(build, "--response-bytes {response}")]
    found = [
        Scenario("keepalive", "HTTP/1.1, kept connections", "a GET answered with 13 bytes", "/", fixed,
                 load_curve=("quick", "full")),
        Scenario("pipeline16", "HTTP/1.1, 16 requests in flight on each connection", "a GET answered with 13 bytes", "/",
                 fixed, flags=["--pipeline", "16"], equal_load=False),
    ]
    for name, size in FILE_SIZES.items():
        text = "1 KiB" if size == 1024 else "64 KiB" if size == 65536 else "1 MiB"
        found.append(Scenario(
            name, f"HTTP/1.1, a file of {text}", f"a GET of a file of {text}, in memory", f"/{name}",
            [gyre(build, "http", str(root)), *peers(root), *limits(build, f"--body-bytes {size}", sendfile=True)],
            quick=name == "file-64k", load_curve=("full",) if name == "file-64k" else ()))
    for scheme, words, limit, probe in (("tcp", "a message", "echo", probe_tcp), ("udp", "a datagram", "udp", probe_udp)):
        found.append(Scenario(
            f"echo-{scheme}", f"Echo over {scheme.upper()}", f"{words} of 64 bytes and back", "",
            [gyre(build, "echo", f"--{scheme}", admin=False),
             Contender("limit-ring", LIMIT, f"{build}/bench/limit-{limit}-ring --port {{port}}"),
             Contender("limit-epoll", LIMIT, f"{build}/bench/limit-{limit}-epoll --port {{port}}")],
            scheme=scheme, probe=probe))
    return found
