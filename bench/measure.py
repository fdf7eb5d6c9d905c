# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scripts of bench/ share: starting a server of any kind, loading it, and reading what its processes use."""

import atexit
import json
import os
import shlex
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RELEASE = ROOT / "build" / "release"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
STEAL_TOLD = 0.005  # less than that moves no percentile that is told


# Ended by a signal, a measurement must not leave its server behind: out through the context managers.
for _signal, _status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
    signal.signal(_signal, lambda *_, status=_status: sys.exit(status))


class Failed(Exception):
    """Something that a person must read: what was being done, to what, why it failed, what to try."""


class NotInstalled(Failed):
    """A rival that is not there; everything else goes on without it."""


def _uncaught(kind, error, trace):
    """What no script caught: a sentence rather than a trace, where it is no mistake of ours."""
    if not issubclass(kind, (Failed, OSError)):
        sys.__excepthook__(kind, error, trace)
        return
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to be printed has nowhere to go
    finally:
        if kind is not BrokenPipeError:
            print(f"{os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)


sys.excepthook = _uncaught
NOT_INSTALLED = 69  # what the files of peers/ end with then: EX_UNAVAILABLE


BUILDING = """set -euo pipefail
. ci/lib.sh
ci/setup --bench
. build/env.sh
configure_release
must "build $1" "$gy_logs/build-release.log" "Is it a compiler that we have not met?" ninja -C "$gy_build/release" "${@:2}"
"""


def build(what, targets):
    """Builds `targets` of build/release, and says so on standard error. They are there then, or it is Failed."""
    if not (ROOT / "ci" / "lib.sh").exists():
        raise Failed("there is no source tree around this program to build from: run it in a checkout, or name a build of one with "
                     "--build")
    done = subprocess.run(["bash", "-c", BUILDING, os.path.basename(sys.argv[0]), what, *targets], cwd=ROOT, check=False,
                          stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if done.returncode != 0:
        raise Failed("building failed, as said above")


def ready(program):
    """The path of a program of ours: one of build/release is built where it is not there yet."""
    path = Path(os.path.abspath(program))
    if not os.access(path, os.X_OK) and path.is_relative_to(RELEASE):
        build(path.name, [str(path.relative_to(RELEASE))])
    if not os.access(path, os.X_OK):
        raise Failed(f"there is no program {path}: build it with `ninja -C` and its build folder, or name another folder by --build")
    return str(path)


def on_core(core, *words):
    """The command pinned to `core`: a number, or numbers with commas."""
    usable = os.sched_getaffinity(0)
    if missing := [one for one in str(core).split(",") if int(one) not in usable]:
        raise Failed(f"processor {missing[0]} is not among those that may be used here ({', '.join(map(str, sorted(usable)))}); a server and "
                     "its load need one each" + ("" if len(usable) > 1 else ", and only one may be used: measure on another machine"))
    return ["taskset", "-c", str(core), *words]


def installed(program, package):
    """Its path."""
    found = shutil.which(program)
    if found is None:
        raise NotInstalled(f"{program} is not installed: apt-get install {package}")
    return found


# Peers that are subscribed to: what one says on a connection, and how the whole answer to it begins and ends.
SUBSCRIPTIONS = {
    "redis": (b"SUBSCRIBE room\r\n", b"*3\r\n", b":1\r\n"),
    "nats": (b'CONNECT {"verbose":false}\r\nSUB room 1\r\nPING\r\n', b"INFO ", b"PONG\r\n"),
    # CONNECT without a name, 300 s to live, then SUBSCRIBE with QoS 0; CONNACK and SUBACK (MQTT 3.1.1, 3.1 and 3.8).
    "mosquitto": (bytes([0x10, 12, 0, 4]) + b"MQTT" + bytes([4, 2, 1, 44, 0, 0, 0x82, 9, 0, 1, 0, 4]) + b"room\0",
                  b"\x20\2\0\0", b"\x90\3\0\1\0"),
}


def server_commands(build):
    """Name -> command line of every server known here; {port}, {response} (its length, bytes) and {dir} (an empty
    folder for its files) are filled in when it is started."""
    build = Path(build)
    return {
        "gyre": f"{build}/gyre http --listen 127.0.0.1:{{port}} --workers 1 --fixed",
        "nginx": f"{HERE}/peers/nginx run {{port}} {{dir}}",
        "h2o": f"{HERE}/peers/h2o run {{port}} {{dir}}",
        **{name: f"{HERE}/peers/{name} run {{port}} {{dir}}" for name in SUBSCRIPTIONS},
        "limit-ring": f"{build}/bench/limit-http-ring --port {{port}} --response-bytes {{response}}",
        "limit-epoll": f"{build}/bench/limit-http-epoll --port {{port}} --response-bytes {{response}}",
    }


def add_server_options(parser, default):
    parser.add_argument("--build", default=HERE.parent / "build" / "release", help="build folder (build/release)")
    parser.add_argument("--servers", default=default, help=f"comma-separated, of gyre, nginx, h2o, limit-ring, "
                        f"limit-epoll, {', '.join(SUBSCRIPTIONS)} ({default})")
    parser.add_argument("--server", action="append", default=[], metavar="NAME=COMMAND", help="one more server; {port} "
                        "in its command is filled in; may be repeated")
    parser.add_argument("--server-core", type=int, default=0)


def chosen_servers(parser, options):
    """Name -> command line, in the order in which they were named."""
    known = server_commands(options.build)
    chosen = {}
    for name in filter(None, options.servers.split(",")):
        if name not in known:
            parser.error(f"no server {name}; there are {', '.join(known)}, and --server NAME=COMMAND")
        chosen[name] = known[name]
    for extra in options.server:
        name, equals, command = extra.partition("=")
        if not equals:
            parser.error(f"--server {extra}: must be NAME=COMMAND")
        chosen[name] = command
    return chosen


PORTS = range(17200, 30200)  # below those that the kernel gives out by itself
_next_port = os.getpid() * 31


def free_port():
    """One that neither TCP nor UDP has, and that none of ours was given a moment ago."""
    global _next_port
    for _ in PORTS:
        _next_port += 1
        port = PORTS[_next_port % len(PORTS)]
        with socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            try:
                stream.bind(("127.0.0.1", port))
                datagrams.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise Failed(f"no port of 127.0.0.1 from {PORTS[0]} to {PORTS[-1]} is free")


def has_udp(port):
    """A probe for servers that say nothing by themselves: somebody has bound the port."""
    ports = [line.split()[1].rpartition(":")[2] for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    if f"{port:04X}" not in ports:
        raise OSError("nobody has that port")
    return b""


def gyre_load(build, url, flags, seconds, server=None, core=1, warmup="300ms", sound=False, first=()):
    """What gyre-load, pinned to `core`, says of `server`. `sound`: a run in which something went wrong is none (Failed);
    otherwise the caller looks at the errors. `first`: the words before the command, such as chrt's."""
    words = [*first, *on_core(core, ready(f"{build}/gyre-load")), url, *flags, "-d", f"{seconds}s", "--warmup", warmup, "--quiet",
             "--json", "-", *(["--server-pid", str(server.process.pid)] if server else [])]
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        raise Failed(f"{' '.join(words)}: {done.stderr.strip() or 'no figures'}") from None
    if sound and done.returncode != 0:
        raise Failed(f"{' '.join(words)}: ended with {done.returncode}: {done.stderr.strip() or found['failure']}")
    return found


def fetch(port, timeout_s=2.0):
    """One GET on a connection of its own; the whole response, read to the end that Content-Length gives."""
    with socket.create_connection(("127.0.0.1", port), timeout_s) as conn:
        conn.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        return read_response(conn)


def fetch_secure(port, timeout_s=2.0):
    """The same over TLS, whoever it is: gyre-load checks who it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout_s) as plain, context.wrap_socket(plain) as conn:
        if conn.version() != "TLSv1.3":
            raise Failed(f"the server on port {port} speaks {conn.version()}")
        conn.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        return read_response(conn)


def ask_dns(port, kind, before=b""):
    """The answer that says where host0.example.com is, from a port of its own each time."""
    asked = struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\5host0\7example\3com\0" + struct.pack("!HH", 1, 1)
    with socket.socket(socket.AF_INET, kind) as client:
        client.settimeout(0.05)
        client.connect(("127.0.0.1", port))
        client.send(before + asked)
        answer = client.recv(65536)[len(before):]
    if len(answer) < 12 or answer[3] & 15 or not answer[7]:
        raise OSError("it has no such zone yet")
    return answer


def query_dns(port):
    return ask_dns(port, socket.SOCK_DGRAM)


def query_dns_tcp(port):
    """For what has no UDP. The length goes before the message (35 bytes)."""
    return ask_dns(port, socket.SOCK_STREAM, b"\0\x23")


def read_response(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        data += read_some(conn)
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += read_some(conn)
    return head + b"\r\n\r\n" + body


def read_some(conn):
    more = conn.recv(65536)
    if not more:
        raise ConnectionError("closed before the response was complete")
    return more


class Server:
    """A server process and its children, pinned to one core; used as a context manager. `probe(port)` is its first request,
    tried until it does not fail with OSError; what it returns is `response`. `admin` is one more free port. `files` are put into
    {dir} with the same words filled in: name -> text. `stdout` is where what it prints goes, a file; nowhere without one."""

    def __init__(self, name, command, core, response=0, probe=fetch, files=None, stdout=subprocess.DEVNULL):
        self.name = name
        self.stdout = stdout
        self.probe = probe
        self.port = free_port()
        self.admin = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="gyre-bench-")
        self.words = on_core(core)
        known = {"port": self.port, "admin": self.admin, "response": response, "dir": self.folder.name}
        self.words += shlex.split(command.format(**known))
        for file, text in (files or {}).items():
            Path(self.folder.name, file).write_text(text.format(**known), encoding="ascii")

    def __enter__(self):
        if "/" in self.words[3]:
            self.words[3] = ready(self.words[3])
        # A file, not a pipe: nobody reads while the server runs, and a full pipe would stop it.
        with open(f"{self.folder.name}/stderr", "wb") as errors:
            self.process = subprocess.Popen(
                self.words, stdin=subprocess.DEVNULL, stdout=self.stdout, stderr=errors
            )
        try:
            self.response = self.wait_until_it_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait_until_it_answers(self, timeout_s=10.0):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                said = Path(f"{self.folder.name}/stderr").read_text(errors="replace").strip()
                if self.process.returncode == NOT_INSTALLED:
                    raise NotInstalled(said)
                raise Failed(f"{self.name}: `{' '.join(self.words)}` ended with {self.process.returncode}: {said}")
            try:
                return self.probe(self.port)
            except OSError:
                time.sleep(0.02)
        raise Failed(f"{self.name}: `{' '.join(self.words)}` did not answer on port {self.port} in {timeout_s:.0f} s")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            for pid in reversed(self.processes()):
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
        self.folder.cleanup()

    def processes(self):
        """This server's process and all its descendants."""
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                fields = stat_fields(entry)
                if fields:
                    parents[int(entry)] = int(fields[1])
        found = [self.process.pid]
        for pid in found:  # grows as it is walked
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def cpu_s(self):
        """User and system time of all threads of all its processes, seconds: to the nanosecond where the kernel tells, else
        to TICK_S. Of threads that have ended, nothing."""
        total = 0
        for pid in self.processes():
            try:
                threads = Path(f"/proc/{pid}/task").iterdir()
                total += sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) * 1e-9
            except OSError:
                fields = stat_fields(pid)
                total += (int(fields[11]) + int(fields[12])) * TICK_S if fields else 0
        return total

    def rss_bytes(self):
        """Process -> resident bytes, exact (smaps_rollup), not the approximation of /proc/PID/status."""
        sizes = {}
        for pid in self.processes():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    sizes[pid] = int(line.split()[1]) * 1024
        return sizes


def stat_fields(pid):
    """/proc/PID/stat after the command's name: [0] is the state, [1] the parent, [11] utime, [12] stime."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def machine_ticks(processor=None):
    """(stolen, all) ticks of the whole machine, or of one of its processors."""
    name = "cpu" if processor is None else f"cpu{processor}"
    for line in Path("/proc/stat").read_text().splitlines():
        words = line.split()
        if words[0] == name:
            fields = [int(word) for word in words[1:9]]
            return fields[7], sum(fields)
    raise Failed(f"there is no processor {processor} at work: /proc/stat does not name it")


def tell_steal(processor):
    """As the script ends: what part of the servers' processor the host had taken, for whoever judges the figures."""
    stolen, ticks = machine_ticks(processor)

    def tell():
        stolen_after, ticks_after = machine_ticks(processor)
        share = (stolen_after - stolen) / max(ticks_after - ticks, 1)
        if share >= STEAL_TOLD:
            print(f"the host took {share:.1%} of processor {processor} meanwhile", file=sys.stderr)

    atexit.register(tell)
