# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report measures: scenarios, and which servers take part in each. A new protocol adds a row here."""

import random
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from measure import HERE, Failed, fetch, fetch_secure, query_dns, query_dns_tcp

OURS, LIMIT, PEER = "gyre", "limit", "peer"
FILE_SIZES = {"file-1k": 1024, "file-64k": 65536, "file-1m": 1 << 20}
NAMES = 100000  # of the zone that name servers are asked about
GYRE_WS = """
workers 1; log-level error; admin 127.0.0.1:{admin};
http {{ listen 127.0.0.1:{port}; fixed on; websocket /echo {{ echo; }} }}
"""
# Rates are off: the others have none.
GYRE_CHAT = """
workers 1; log-level error; admin 127.0.0.1:{admin};
chat {{ listen 127.0.0.1:{port}; store memory; requests off; input off; ping 1h; }}
"""


@dataclass
class Contender:
    """A server in a scenario. {port}, {admin}, {response} (the length of ours, bytes) and {dir} of its command and of its files
    are filled in when it is started."""
    name: str
    role: str
    command: str
    counters: bool = False  # has an admin listener, whose counters gyre-load reads
    files: dict = field(default_factory=dict)  # in {dir}: name -> text
    scheme: str = ""  # if it is another than the scenario's
    probe: object = None  # likewise


@dataclass
class Scenario:
    name: str
    title: str
    what: str  # one operation, in words
    url: str  # behind 127.0.0.1:PORT
    contenders: list
    scheme: str = "http"
    flags: list = field(default_factory=list)  # of gyre-load
    closed_flags: list = field(default_factory=list)  # likewise, of its closed loop alone
    connections: int = 0  # if the work needs so many, whatever --connections says
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


def probe_open(port):
    with socket.create_connection(("127.0.0.1", port), 2):
        return b""


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


def make_files(build, folder):
    """What is served and asked for: files, a certificate, a zone and queries for its names, each as often as any other."""
    root = folder / "root"
    root.mkdir()
    root.chmod(0o755)  # workers of some servers are another user
    for name, size in FILE_SIZES.items():
        (root / name).write_bytes(random.Random(size).randbytes(size))
    (root / "index.html").write_text("<h1>files</h1>\n", encoding="ascii")
    done = subprocess.run([f"{build}/gyre", "cert", "--dir", folder, "localhost", "127.0.0.1"], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise Failed(f"making a certificate: {done.stderr}")
    (folder / "localhost.key").chmod(0o644)
    with open(folder / "example.zone", "w", encoding="ascii") as zone:
        zone.write("$ORIGIN example.com.\n$TTL 3600\n@ SOA ns1 hostmaster 1 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\n")
        zone.writelines(f"host{i} A 10.{i >> 16}.{i >> 8 & 255}.{i & 255}\n" for i in range(NAMES))
    numbers = random.Random(NAMES)
    with open(folder / "queries", "w", encoding="ascii") as queries:
        queries.writelines(f"host{numbers.randrange(NAMES)}.example.com A\n" for _ in range(2 * NAMES))


def other_limits(build, kind, words=""):
    return [Contender(f"limit-{way}", LIMIT, f"{build}/bench/limit-{kind}-{way} --port {{port}} {words}".rstrip())
            for way in ("ring", "epoll")]


def http_scenarios(build, root):
    fixed = [gyre(build, "http", "--fixed"), *peers(), *limits(build, "--response-bytes {response}")]
    yield Scenario("keepalive", "HTTP/1.1, kept connections", "a GET answered with 13 bytes", "/", fixed, flags=["--check"],
                   load_curve=("quick", "full"))
    yield Scenario("pipeline16", "HTTP/1.1, 16 requests in flight on each connection", "a GET answered with 13 bytes", "/",
                   fixed, flags=["--check", "--pipeline", "16"], equal_load=False)
    for name, size in FILE_SIZES.items():
        text = "1 KiB" if size == 1024 else "64 KiB" if size == 65536 else "1 MiB"
        yield Scenario(
            name, f"HTTP/1.1, a file of {text}", f"a GET of a file of {text}, in memory", f"/{name}",
            [gyre(build, "http", str(root)), *peers(root), *limits(build, f"--body-bytes {size}", sendfile=True)],
            flags=["--check"], quick=name == "file-64k", load_curve=("full",) if name == "file-64k" else ())


def echo_scenarios(build):
    for scheme, words, limit, probe in (("tcp", "a message", "echo", probe_tcp), ("udp", "a datagram", "udp", probe_udp)):
        yield Scenario(
            f"echo-{scheme}", f"Echo over {scheme.upper()}", f"{words} of 64 bytes and back", "",
            [gyre(build, "echo", f"--{scheme}", admin=False), *other_limits(build, limit)], scheme=scheme, probe=probe,
            quick=False)


def secure_scenarios(build, folder):
    pair = f"{folder}/localhost.pem,{folder}/localhost.key"
    yield Scenario(
        "https", "HTTPS, kept connections", "a GET answered with 13 bytes, over TLS 1.3", "/",
        [gyre(build, "http", f"--fixed --tls {pair}"),
         Contender("nginx", PEER, f"env NGINX_TLS={pair} {HERE}/peers/nginx run {{port}} {{dir}}")],
        scheme="https", flags=["--check", "--ca", f"{folder}/authority.pem"], probe=fetch_secure, quick=False)
    yield Scenario(
        "websocket", "WebSocket", "a message of 64 bytes and back", "/echo",
        [Contender("gyre", OURS, f"{build}/gyre serve --config {{dir}}/gyre.conf", counters=True, files={"gyre.conf": GYRE_WS}),
         *other_limits(build, "ws")], scheme="ws", quick=False)


def dns_scenarios(build, folder):
    zone, queries = f"{folder}/example.zone", ["--queries", f"{folder}/queries"]
    servers = [gyre(build, "dns", f"--zone example.com={zone} --unpinned"),
               *(Contender(name, PEER, f"{HERE}/peers/{name} run {{port}} {{dir}} {zone}") for name in ("nsd", "knot"))]
    yield Scenario("dns-udp", f"DNS over UDP, a zone of {NAMES:,} names", "a query from one of 1,000 ports, and its answer", "",
                   [*servers, *other_limits(build, "udp", "--dns")], scheme="dns", flags=queries,
                   closed_flags=["--outstanding", "100"], probe=query_dns, connections=1000)
    yield Scenario("dns-tcp", f"DNS over TCP, a zone of {NAMES:,} names", "a query for one of the names, and its answer", "",
                   [*servers, *other_limits(build, "echo", "--dns")], scheme="dns+tcp", flags=queries, probe=query_dns_tcp,
                   quick=False)


def chat_scenario(build):
    return Scenario(
        "chat", "A room of 100", "a message of 64 bytes that comes to one of them; 64 messages are on the way", "/room",
        [Contender("gyre", OURS, f"{build}/gyre serve --config {{dir}}/gyre.conf", counters=True, files={"gyre.conf": GYRE_CHAT}),
         Contender("redis", PEER, f"{HERE}/peers/redis run {{port}} {{dir}}", scheme="redis"),
         Contender("nats", PEER, f"{HERE}/peers/nats run {{port}} {{dir}}", scheme="nats"), *other_limits(build, "chat")],
        scheme="chat", flags=["--broadcast", "--pipeline", "64"], probe=probe_open, connections=100, equal_load=False)


def rudp_scenario(build, folder):
    """Nobody else speaks it: beside it stand datagrams without any guarantee."""
    def probe(port):
        asked = [f"{build}/gyre", "rudp", "ping", f"127.0.0.1:{port}", "--ca", f"{folder}/authority.pem", "--count", "1", "--timeout", "300"]
        if subprocess.run(asked, capture_output=True, check=False).returncode != 0:
            raise OSError("it does not answer yet")
        return b""

    served = f"--echo --tls {folder}/localhost.pem,{folder}/localhost.key --unpinned"
    return Scenario(
        "rudp", "Reliable UDP, encrypted, beside bare datagrams", "a message of 64 bytes and back, one at a time", "",
        [gyre(build, "rudp serve", served),
         *(Contender(c.name, c.role, c.command, scheme="udp", probe=probe_udp) for c in other_limits(build, "udp"))],
        scheme="rudp", flags=["--ca", f"{folder}/authority.pem"], probe=probe, connections=1, equal_load=False, quick=False)


def all_scenarios(build, folder):
    """Of what make_files left in the folder."""
    build = Path(build)
    return [*http_scenarios(build, folder / "root"), *secure_scenarios(build, folder), *dns_scenarios(build, folder),
            chat_scenario(build), rudp_scenario(build, folder), *echo_scenarios(build)]
