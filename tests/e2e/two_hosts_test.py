# SPDX-License-Identifier: GPL-3.0-or-later
"""Server and generator on two hosts, as far as the kernel goes: a network namespace each, and a pair of virtual interfaces
between them. docs/measuring.md has the recipe for two real ones."""

import contextlib
import os
import shutil
import subprocess

import generator
from harness import PROGRAM, Server, Skip, equal, patiently, run, test, true

# Of this run alone: other runs on this machine have their own.
NAMES = [f"gyre-{role}-{os.getpid()}" for role in ("server", "load")]
SERVER, GENERATOR = "192.0.2.1", "192.0.2.2"  # RFC 5737 §3


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skip(f"network namespaces are not to be had here: ip {' '.join(words)}: {done.stderr.strip()}")


@contextlib.contextmanager
def two_hosts():
    if not shutil.which("ip"):
        raise Skip("iproute2 is not installed")
    if os.geteuid() != 0:
        raise Skip("only root may make network namespaces")
    made = []
    try:
        for name in NAMES:
            ip("netns", "add", name)
            made.append(name)
        ip("link", "add", "gy-a", "netns", NAMES[0], "type", "veth", "peer", "name", "gy-b", "netns", NAMES[1])
        for name, interface, address in zip(NAMES, ("gy-a", "gy-b"), (SERVER, GENERATOR)):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", interface)
            ip("-n", name, "link", "set", interface, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


class Remote(Server):
    """In the server's namespace, where the harness's own connections do not reach: begun is answering."""

    def answers(self):
        return True


def serve(admin):
    return Remote("--fixed", "--admin", admin, listen=f"{SERVER}:8080", workers=1,
                  before=("ip", "netns", "exec", NAMES[0]), program=PROGRAM)


def load(*flags):
    """From the other host: (exit status, figures or None, stdout, stderr)"""
    return generator.load(f"http://{SERVER}:8080/", *flags, seconds=60, before=("ip", "netns", "exec", NAMES[1]))


@test
def cpu_and_counters_of_the_other_host_come_from_its_admin_listener():
    with two_hosts(), serve(f"{SERVER}:9090"):
        status, figures, _, errors = load("-c", "16", "-n", "4000", "--check", "--server-admin",
                                          f"{SERVER}:9090")
        equal((status, errors), (0, ""), "status and stderr")
        server = figures["server"]
        true(server["cpu_s"] > 0, f"the serving process took some time for it: {server}")
        true(server["answered"] == 4000 and server["cpu_us_per_request"] > 0, f"for these answers: {server}")
        counters = server["counters"]
        # A GET of a kept connection is one send submitted and two completions, whatever the batches are.
        for name, least, most in (("submissions", 0.8, 1.6), ("completions", 1.6, 3), ("enters", 0.001, 2)):
            each = counters[name] / server["answered"]
            true(least < each < most, f"{name} per request are {each}: {server}")
        true(counters["sent_bytes"] > 100 * server["answered"] * 0.9, f"each answer has more than a hundred bytes: {server}")
        true(counters["received_bytes"] > 30 * server["answered"] * 0.9, f"and each request more than thirty: {server}")


@test
def an_open_loop_over_the_pair_keeps_its_rate():
    def rated(patience):
        status, figures, _, errors = load("-c", "8", "--rate", "100", "-d", f"{700 * patience}ms", "--warmup", "100ms", "--server-admin",
                                          f"{SERVER}:9090")
        equal((status, errors), (0, ""), "status and stderr")
        true(figures["rate_reached"] and figures["server"]["counters"] is not None, f"at a rate as well: {figures}")

    with two_hosts(), serve(f"{SERVER}:9090"):
        patiently(rated)


@test
def an_admin_listener_that_cannot_be_reached_is_one_clear_line():
    with two_hosts(), serve("127.0.0.1:9090"):
        status, figures, _, errors = load("-d", "1s", "--server-admin", f"{SERVER}:9090")
        equal((status, figures), (1, None), "status and figures")
        true(errors.startswith(f"gyre-load: --server-admin {SERVER}:9090: connecting: Connection refused; "), errors)
        equal(errors.count("\n"), 1, "lines")


run()
