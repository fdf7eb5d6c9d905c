# SPDX-License-Identifier: GPL-3.0-or-later
"""A window: servers side by side on one core, a gyre-load for each on another, and what a request cost each of them.

The servers of a window run at the same time, and the scheduler gives them the core in turns of a few milliseconds. So what
the machine does meanwhile (a neighbour on the other hyper-thread, a change of frequency, stolen time) falls on all of them
alike, and their ratios keep little of it.
"""

import contextlib
import json
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

import measure
from gate.builds import locked
from gate.revisions import NoVerdict

POLL_S = 0.003


class Void(Exception):
    """A window that says nothing: an error, or no requests."""


@dataclass(frozen=True)
class Settings:
    """How windows are measured, whatever is measured in them."""
    load: str            # the program gyre-load
    seconds: float = 0.5
    warmup: float = 0.1
    server_core: int = 0
    client_core: int = 1
    lock: str = ""       # a file; its flock is held during each window


class Server(measure.Server):
    """One that counts as started when it accepts a connection: not all of them speak HTTP."""

    def wait_until_it_answers(self, timeout_s=10.0):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                with open(f"{self.folder.name}/stderr", encoding="utf-8", errors="replace") as errors:
                    said = errors.read().strip()
                raise measure.Failed(f"`{' '.join(self.words)}` ended with {self.process.returncode}: {said[-2000:]}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return b""
            except OSError:
                time.sleep(POLL_S)
        raise measure.Failed(f"`{' '.join(self.words)}` accepted no connection on port {self.port} in {timeout_s:.0f} s")


def start_load(settings, url, flags, server):
    words = [*measure.on_core(settings.client_core, str(settings.load)), url.format(port=server.port), *flags,
             "-d", f"{settings.seconds}s", "--warmup", f"{settings.warmup}s", "--server-pid", str(server.process.pid),
             "--quiet", "--json", "-"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def cost_of(name, load):
    """Microseconds of the server's CPU time per request."""
    out, errors = load.communicate(timeout=120)
    if load.returncode == 2 or not out:
        raise NoVerdict(f"gyre-load ended with {load.returncode}: {errors.strip()[-1000:]}")
    figures = json.loads(out)
    if load.returncode != 0 or figures["errors"]["total"]:
        raise Void(f"{name}: {figures['failure'] or errors.strip()[-500:]}")
    server = figures["server"]
    if not server or not server["answered"] or not server["cpu_s"] > 0:
        raise Void(f"{name}: nothing was answered in the window, or the server went away")
    return server["cpu_us_per_request"]


def end(loads, servers):
    for load in loads:
        if load.poll() is None:
            load.kill()
            load.communicate()
    for server in servers:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)  # all at once: each drains for a while


def measure_window(settings, url, flags, commands):
    """{name: µs of CPU a request} for {name: a server's command}, started in the order of `commands`."""
    loads = {}
    try:
        with locked(settings.lock), contextlib.ExitStack() as stack:
            servers = {name: stack.enter_context(Server(name, command, settings.server_core))
                       for name, command in commands.items()}
            stack.callback(lambda: end(loads.values(), servers.values()))
            for name, server in servers.items():
                loads[name] = start_load(settings, url, flags, server)
            return {name: cost_of(name, load) for name, load in loads.items()}
    except measure.Failed as why:
        raise NoVerdict(str(why)) from None
