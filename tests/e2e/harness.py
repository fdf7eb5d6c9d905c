# SPDX-License-Identifier: GPL-3.0-or-later
"""What the end-to-end tests share: TAP on stdout, a gyre to talk to, and a client that sends bytes as they are.

A test program decorates its tests with @test and ends with run(). Every server has a port of its own that the kernel
chose, is reached on the loopback interface alone, and is ended by its pid whatever happens.
"""

import collections
import contextlib
import glob
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

# meson sets it; by hand: GYRE=build/debug/gyre tests/e2e/http_test.py
PROGRAM = os.path.abspath(os.environ.get("GYRE", "build/debug/gyre"))

# What a sanitizer or an assertion writes before it ends a process.
ALARMS = re.compile(r"Sanitizer|runtime error:|assertion|gy_assert", re.IGNORECASE)

TESTS = []
TEST_SECONDS = 150  # what takes longer hangs; a loaded machine may take long


class TooLate(AssertionError, TimeoutError):
    """What was waited for did not come."""


class Skip(Exception):
    """The host lacks something; the text says what."""


def test(function):
    TESTS.append(function)
    return function


def expire(_signal, _frame):
    raise TimeoutError(f"the test took longer than {TEST_SECONDS} s")


def run():
    """Runs all tests, or those whose names have an argument in them. Exits 1 if one failed."""
    wanted = [f for f in TESTS if len(sys.argv) < 2 or any(word in f.__name__ for word in sys.argv[1:])]
    failed = 0
    signal.signal(signal.SIGALRM, expire)
    print(f"TAP version 13\n1..{len(wanted)}", flush=True)
    for number, function in enumerate(wanted, 1):
        name = function.__name__
        signal.alarm(TEST_SECONDS)
        try:
            function()
            signal.alarm(0)
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            signal.alarm(0)
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except BaseException as error:  # pylint: disable=broad-except
            signal.alarm(0)
            failed += 1
            print(f"not ok {number} - {name}")
            for line in traceback.format_exception(error):
                for part in line.rstrip().split("\n"):
                    print("# " + part, flush=True)
            if isinstance(error, KeyboardInterrupt):
                break
    sys.exit(1 if failed else 0)


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what or 'it'} is {got!r}, not {wanted!r}")


def true(condition, what):
    if not condition:
        raise AssertionError("not so: " + what)


def until(condition, what, seconds=60):
    """Waits for an event; how long it may take at most is for a machine that has much else to do."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TooLate(f"after {seconds} s still not so: {what}")
        time.sleep(0.02)


def patiently(check):
    """check(patience) for a patience of 1; where that fails, of 4, then of 12, which decides. It is for what a machine that
    has much else to do, or is itself stopped for seconds, may not manage in a time that is long enough on others: `check`
    multiplies its times by it."""
    for patience in (1, 4):
        try:
            check(patience)
            return
        except AssertionError as error:
            print(f"# with a patience of {patience}: " + str(error).replace("\n", "\n# ")[:2000], flush=True)
    check(12)


@contextlib.contextmanager
def failing(*errors):
    """These errors within are failures of what is tested, and so another try of `patiently`."""
    try:
        yield
    except errors as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error


def tool(name):
    """A program that the tests need."""
    for folder in os.environ["PATH"].split(":"):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    raise AssertionError(f"{name} is not installed; ci/setup --test installs what the tests need")


def output_of(command, seconds=60, data="", **more):
    """(exit status, stdout, stderr) of a command that ends by itself and reads `data`."""
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds,
                          text=True, errors="replace", check=False, **more)
    return done.returncode, done.stdout, done.stderr


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def listens(pid):
    """Whether a process holds a TCP socket that listens, in the table of any of its threads."""
    inodes = set()
    for kind in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/net/{kind}", encoding="ascii") as file:
            inodes |= {f"socket:[{fields[9]}]" for fields in map(str.split, file) if fields[3] == "0A"}
    held = set()
    for name in glob.glob(f"/proc/{pid}/task/*/fd/*"):
        with contextlib.suppress(OSError):
            held.add(os.readlink(name))
    return bool(inodes & held)


def busy_s(pid):
    """Seconds of processor time of a process and its children, in steps of 10 ms."""
    pids, ticks = [pid], 0
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        pids += file.read().split()
    for each in pids:
        with contextlib.suppress(OSError), open(f"/proc/{each}/stat", encoding="ascii", errors="replace") as file:
            ticks += sum(int(field) for field in file.read().rsplit(")", 1)[1].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def loaded(pid):
    """Waits until a server works on what it is asked: it has taken some processor time from now on."""
    before = busy_s(pid)
    until(lambda: busy_s(pid) > before + 0.1, "there is load")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


SERVES = re.compile(r"process (\d+) \(generation \d+\) serves")

# Below the ports that the kernel gives to outgoing connections (net.ipv4.ip_local_port_range begins at 32768), so that
# a client of another test cannot take one between the look and the listening.
PORTS = range(15000, 32000)
SHARES = 32
OURS = collections.deque()
SHARE = socket.socket(socket.AF_UNIX)


def take_share():
    """Ports that no other test program has as long as this one runs: between the look and the listening there is time, and
    programs run beside each other. The name of a socket says whose a share is."""
    for number in range(SHARES):
        with contextlib.suppress(OSError):
            SHARE.bind(f"\0gyre-test-ports-{number}")
            break
    else:
        number = os.getpid() % SHARES  # more programs than shares
    OURS.extend(random.sample(PORTS[number::SHARES], len(PORTS) // SHARES))


def free_ports(count):
    """Different ports that were free a moment ago, and that nobody was given for a while."""
    if not OURS:
        take_share()
    ports = []
    for _ in range(len(OURS)):
        OURS.rotate(-1)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", OURS[-1])):
            ports.append(OURS[-1])
        if len(ports) == count:
            return ports
    raise AssertionError(f"not {count} free ports among {len(OURS)} that were tried")


# ---- the server -----------------------------------------------------------------------------------------------------


class Server:
    """`gyre http` on a free port of 127.0.0.1, or another program that prints where it listens. Use it by `with`: the
    end is a drain, and has to be a clean one."""

    def __init__(self, *flags, workers=2, listen="127.0.0.1:0", before=(), program=PROGRAM, **more):
        self.errors = tempfile.TemporaryFile()
        command = [*before, program]
        if os.path.basename(program) == "gyre":
            command += ["http", "--listen", listen, "--workers", str(workers), *flags]
        else:
            command += [listen, *flags]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors,
                                        start_new_session=True, **more)
        self.pid = self.process.pid
        line = self.process.stdout.readline().decode()
        found = re.search(r"listening on \S+:(\d+) ", line)
        if not found:
            self.end()
            raise AssertionError(f"gyre did not begin to listen: {line}{self.log()}")
        self.port = int(found.group(1))
        self.address = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        try:
            until(self.answers, "the server answers")
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            try:
                if self.process.poll() is None:
                    equal(self.stop(), 0, "the exit status after SIGTERM")
                self.quiet()
            finally:
                self.end()
        else:
            self.end()
            for line in self.log().splitlines()[-40:]:
                print("# | " + line)

    def answers(self):
        try:
            return self.get("/status.json").status == 200
        except OSError:
            return False

    def get(self, target, seconds=20):
        with Connection(self.port, seconds) as connection:
            return connection.get(target)

    def status(self):
        return json.loads(self.get("/status.json").body)

    def serving(self):
        """The pid of the process that serves now."""
        return self.status()["pid"]

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self):
        """SIGHUP; who connects from now on meets the new process, and no other. The log says that it serves a moment
        before the former one has left its listeners, and until then that one takes connections too."""
        until(lambda: SERVES.findall(self.log()), "the log says who serves")  # which may be after the first answer
        before = SERVES.findall(self.log())
        self.signal(signal.SIGHUP)
        until(lambda: len(SERVES.findall(self.log())) > len(before), "the new process serves")
        until(lambda: not listens(before[-1]), "the former one has left its listeners")

    def stop(self, seconds=40):
        """SIGTERM; the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds=40):
        return self.process.wait(seconds)

    def log(self):
        # The program shares the file's position: moved for reading, its next line would go over the first.
        file = self.errors.fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    def quiet(self):
        found = ALARMS.search(self.log())
        true(not found, f"no sanitizer and no assertion complains: {self.log()[-6000:] if found else ''}")

    def end(self):
        """Whatever is left of it goes; its processes are one session of our making."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


# ---- the client -----------------------------------------------------------------------------------------------------


class Answer:
    def __init__(self, status, fields, body):
        self.status = status
        self.fields = fields  # names in lower case
        self.body = body


class Connection:
    """A connection that sends the bytes it is given, and reads answers strictly."""

    def __init__(self, port, seconds=20):
        self.socket = socket.create_connection(("127.0.0.1", port), seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self.data += data

    def line(self):
        while b"\r\n" not in self.data:
            self.more()
        line, self.data = self.data.split(b"\r\n", 1)
        return line.decode("latin-1")

    def exactly(self, count):
        while len(self.data) < count:
            self.more()
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def chunks(self):
        body = b""
        while True:
            size = int(self.line().split(";")[0], 16)
            if size == 0:
                while self.line():
                    pass
                return body
            body += self.exactly(size)
            equal(self.exactly(2), b"\r\n", "the end of a chunk")

    def answer(self, head=False):
        """The next answer, informational ones as well. `head`: it answers a HEAD request."""
        version, status, _ = (self.line() + " ").split(" ", 2)
        true(version == "HTTP/1.1", f"the version is HTTP/1.1, not {version}")
        fields = {}
        while line := self.line():
            name, value = line.split(":", 1)
            fields[name.lower()] = value.strip()
        status = int(status)
        if head or status < 200 or status in (204, 304):
            body = b""
        elif fields.get("transfer-encoding") == "chunked":
            body = self.chunks()
        else:
            body = self.exactly(int(fields["content-length"]))
        return Answer(status, fields, body)

    def request(self, method, target, *fields, body=b""):
        lines = [f"{method} {target} HTTP/1.1", "Host: test", *fields]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def get(self, target, *fields):
        self.request("GET", target, *fields)
        return self.answer()

    def closed(self, seconds=10):
        """Whether the server closes the connection, with nothing behind what was read."""
        self.socket.settimeout(seconds)
        try:
            return self.data == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
