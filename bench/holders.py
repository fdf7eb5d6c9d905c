# SPDX-License-Identifier: GPL-3.0-or-later
"""More connections than one process may open: they are held by several, each of which does what it is told."""

import math
import multiprocessing
import resource
import socket

from measure import Failed

SPARE_DESCRIPTORS = 100
PER_SOURCE = 5000  # connections from one address of the loopback net: its source ports suffice many times over
IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; not in Python's socket module


def open_files():
    """As many as a process may have here, once it has raised its soft limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return 1 << 20 if most == resource.RLIM_INFINITY else most


def workers_for(connections, files):
    """(workers, connections of each) of a gyre that holds so many: one worker if one table of descriptors has room for them,
    else as many as it takes. The kernel spreads connections over workers by chance."""
    if connections + SPARE_DESCRIPTORS <= files:
        return 1, connections + 8
    for workers in range(2, 1024):
        mean = connections / workers
        each = math.ceil(mean + 6 * math.sqrt(mean)) + 16
        if each + SPARE_DESCRIPTORS + 3 * workers <= files:
            return workers, each
    raise Failed(f"{connections} connections: the limit on open files ({files}) is too small; raise `ulimit -n`")


def connect(port, index, timeout_s=30):
    """Connection `index` of many to a port of 127.0.0.1, from an address that has ports left."""
    conn = socket.socket()
    conn.settimeout(timeout_s)
    conn.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    conn.bind((f"127.0.0.{2 + index // PER_SOURCE}", 0))
    conn.connect(("127.0.0.1", port))
    return conn


class Share:
    """What one process holds."""

    def __init__(self, first, count):
        self.first, self.count = first, count
        self.connections = []


def serve(pipe, share):
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((None, function(share, *arguments)))
        except (Failed, OSError) as failure:
            pipe.send((str(failure), None))


class Holders:
    """`all(function, ...)` calls function(share, ...) in every process at once, and returns what they returned. Functions are
    of a module, arguments and results can be pickled."""

    def __init__(self, connections):
        processes = math.ceil(connections / (open_files() - SPARE_DESCRIPTORS))
        context = multiprocessing.get_context("fork")
        self.pipes, self.processes, first = [], [], 0
        for number in range(processes):
            count = connections // processes + (number < connections % processes)
            ours, theirs = context.Pipe()
            self.processes.append(context.Process(target=self.child, args=(theirs, ours, Share(first, count)), daemon=True))
            self.processes[-1].start()
            theirs.close()
            self.pipes.append(ours)
            first += count

    def child(self, pipe, parents, share):
        parents.close()
        for other in self.pipes:
            other.close()  # else it would live on when the parent has gone
        serve(pipe, share)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.join(30)
            if process.exitcode is None:
                process.kill()

    def all(self, function, *arguments):
        for pipe in self.pipes:
            pipe.send((function, arguments))
        return [self.answer(pipe) for pipe in self.pipes]

    def begin(self, number, function, *arguments):
        """In one of them; answer() is what it returns."""
        self.pipes[number].send((function, arguments))

    def answer(self, pipe):
        try:
            failure, result = pipe.recv()
        except EOFError:
            raise Failed("a process that held connections has ended") from None
        if failure is not None:
            raise Failed(failure)
        return result
