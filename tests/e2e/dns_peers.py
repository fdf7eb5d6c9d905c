# SPDX-License-Identifier: GPL-3.0-or-later
"""Name servers for tests/e2e/compare_dns: each serves the same zone files, with its defaults but for what is said here."""

import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time

from dns_wire import Malformed, Message, framed, next_message
from harness import free_ports

NSD = """server:
    server-count: 1
    ip-address: 127.0.0.1@{port}
    username: ""
    chroot: ""
    zonesdir: "{dir}"
    database: ""
    pidfile: "{dir}/pid"
    xfrdfile: "{dir}/xfrd"
    zonelistfile: "{dir}/list"
    xfrdir: "{dir}"
    logfile: "{dir}/log"
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
    round-robin: no
    hide-version: yes
remote-control:
    control-enable: no
"""

KNOT = """server:
    rundir: "{dir}"
    listen: 127.0.0.1@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: error
database:
    storage: "{dir}"
template:
  - id: default
    journal-content: none
    zonefile-load: whole
    zonefile-sync: -1
    semantic-checks: off
zone:
"""

# minimal-responses: without the NS records of the zone in every positive answer, as the other three.
BIND = """options {{
    directory "{dir}";
    pid-file "{dir}/pid";
    session-keyfile "{dir}/key";
    lock-file none;
    managed-keys-directory "{dir}";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    notify no;
    minimal-responses no-auth;
    check-names primary ignore;
    check-integrity no;
    check-wildcard no;
    rrset-order {{ order none; }};
    zero-no-soa-ttl no;
    version none;
    hostname none;
    server-id none;
}};
controls {{ }};
"""

ZONE_TEXTS = {
    "nsd": 'zone:\n    name: {name}\n    zonefile: "{path}"\n',
    "knot": '  - domain: {name}\n    file: "{path}"\n',
    "bind": 'zone "{name}" {{ type primary; file "{path}"; zone-statistics none; }};\n',
}
CONFIGS = {"nsd": NSD, "knot": KNOT, "bind": BIND}
PROGRAMS = {"nsd": "nsd", "knot": "knotd", "bind": "named"}
COMMANDS = {"nsd": ("-d", "-c"), "knot": ("-c",), "bind": ("-f", "-n", "1", "-c")}
PACKAGES = {"nsd": "nsd", "knot": "knot", "bind": "bind9"}


def program_of(name):
    return shutil.which(PROGRAMS[name]) or shutil.which(PROGRAMS[name], path="/usr/sbin:/usr/local/sbin")


class Server:
    """A context; `ask` gives a Message, or None where there was no answer, or a Malformed."""

    def __init__(self, name, command, port, folder):
        self.name, self.port, self.folder = name, port, folder
        self.log = open(os.path.join(folder.name, "output"), "wb")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.connect(("127.0.0.1", port))
        self.tcp = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.udp.close()
        if self.tcp:
            self.tcp.close()
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
        self.folder.cleanup()

    def wait_until_it_serves(self, probes):
        """Until each of the messages is answered without an error code."""
        deadline = time.monotonic() + 20
        for probe in probes:
            while True:
                answer = None
                try:
                    answer = self.ask(probe, False, 0.2)
                except OSError:
                    time.sleep(0.05)
                if isinstance(answer, Message) and answer.rcode == 0:
                    break
                if time.monotonic() > deadline or self.process.poll() is not None:
                    with open(os.path.join(self.folder.name, "output"), encoding="utf-8", errors="replace") as log:
                        raise RuntimeError(f"{self.name} does not serve: {log.read()[-2000:]}")
                time.sleep(0.05)

    def ask_tcp(self, message, seconds):
        for _ in range(2):
            if self.tcp is None:
                self.tcp = socket.create_connection(("127.0.0.1", self.port), 5)
                self.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.tcp.settimeout(seconds)
            try:
                self.tcp.sendall(framed(message))
                return next_message(self.tcp)
            except TimeoutError:
                self.tcp.close()
                self.tcp = None
                return None
            except OSError:  # it may close an idle connection at any time
                self.tcp.close()
                self.tcp = None
        return None

    def ask_udp(self, message, seconds):
        self.udp.settimeout(seconds)
        self.udp.send(message)
        while True:
            try:
                data = self.udp.recv(65536)
            except TimeoutError:
                return None
            if data[:2] == message[:2]:
                return data

    def ask(self, message, over_tcp=False, seconds=3):
        data = (self.ask_tcp if over_tcp else self.ask_udp)(message, seconds)
        try:
            return None if data is None else Message(data)
        except (Malformed, IndexError, struct.error) as error:
            return error if isinstance(error, Malformed) else Malformed(str(error))


def start(name, program, zones):
    folder = tempfile.TemporaryDirectory(prefix=f"gyre-{name}-")  # pylint: disable=consider-using-with
    port = free_ports(1)[0]
    if name == "gyre":
        flags = [word for zone, path in zones for word in ("--zone", f"{zone}={path}")]
        return Server(name, [program, "dns", "--listen", f"127.0.0.1:{port}", "--workers", "1", "--log-level", "warn", *flags],
                      port, folder)
    config = os.path.join(folder.name, "config")
    with open(config, "w", encoding="utf-8") as file:
        file.write(CONFIGS[name].format(port=port, dir=folder.name))
        for zone, path in zones:
            file.write(ZONE_TEXTS[name].format(name=zone, path=path))
    return Server(name, [program_of(name), *COMMANDS[name], config], port, folder)
