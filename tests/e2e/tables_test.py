# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit on open files that is smaller than the connections: a table of descriptors for each worker, and what is said of it."""

import contextlib
import os
import resource
import signal

from chat_wire import Client
from configured import Configured
from harness import PROGRAM, Connection, alive, equal, output_of, run, test, true, until

FILES = 512
CLIENTS = 640
CONFIG = """workers 2;
connections 430;
descriptor-tables {tables};
admin 127.0.0.1:{admin};
drain-timeout 3s;
http { listen 127.0.0.1:{port}; }
chat { listen 127.0.0.1:{other}; store {folder}/chat.db; requests off; input off; }
"""


def few_files():
    """In the server's process alone."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


def served(tables):
    return Configured(CONFIG.replace("{tables}", tables), preexec_fn=few_files)


def room_for(count):
    """The clients are of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard == resource.RLIM_INFINITY else min(hard, count), hard))


def tables_of(pid):
    """Of each thread its descriptors: number -> what it is. Threads with a table in common have the same."""
    threads = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        folder = f"/proc/{pid}/task/{thread}/fd"
        threads[thread] = {}
        with contextlib.suppress(FileNotFoundError):
            for number in os.listdir(folder):
                with contextlib.suppress(FileNotFoundError):
                    threads[thread][int(number)] = os.readlink(f"{folder}/{number}")
    return threads


def sockets(pid):
    """In each different table."""
    return sorted({tuple(sorted(number for number, what in table.items() if what.startswith("socket:")))
                   for table in tables_of(pid).values()})


def everybody(stack, server, count):
    connections = [stack.enter_context(Connection(server.port)) for _ in range(count)]
    for connection in connections:
        connection.request("GET", "/status.json")
    for connection in connections:
        equal(connection.answer().status, 200)
    return connections


def guests(stack, server, count):
    clients = []
    for number in range(count):
        client = stack.enter_context(Client(server.ports["other"]))
        equal(client.hello().kind, "WELCOME")
        equal(client.login(f"guest{number}").kind, "IDENTITY")
        equal(client.join("hall")[0].kind, "JOINED")
        clients.append(client)
    return clients


def all_hear(clients, text):
    equal(clients[0].send("hall", text).kind, "ACK")
    for client in clients[1:]:
        equal(client.hear("MESSAGE").contents, text)


@test
def each_worker_has_as_many_connections_as_one_table_holds():
    room_for(2 * CLIENTS + 100)
    with served("auto") as server, contextlib.ExitStack() as stack:
        pid = server.serving()
        with contextlib.ExitStack() as others:
            talking = guests(others, server, 12)
            everybody(others, server, CLIENTS)
            metrics = server.metrics()
            equal(metrics["gyre_connections_limit"], 860)
            true(metrics["gyre_connections_open"] >= CLIENTS + 12, "all are open")
            true(metrics.get("gyre_accept_pauses_total", 0) == 0, "nobody waits for a descriptor")
            true(max(map(len, tables_of(pid).values())) < FILES, "no table is full")
            all_hear(talking, "across tables")
        # The control thread's table has the supervisor's socket alone, a worker's those of three listeners besides.
        until(lambda: sorted(map(len, sockets(pid))) == [1, 4, 4], "what is closed is closed in every table")
        connections = everybody(stack, server, CLIENTS)
        server.reload()
        true(server.serving() != pid, "another process serves")
        for connection in connections:
            true(connection.closed(), "the old one lets them go")
        until(lambda: not alive(pid), "the old one ends")
        talking = guests(stack, server, 12)
        everybody(stack, server, CLIENTS)
        all_hear(talking, "after a reload")  # by way of the file, which the old process gave up
        server.signal(signal.SIGTERM)
        equal(server.wait(), 0, "the exit status")


@test
def one_table_for_all_is_told_to_be_too_small():
    with served("one") as server:
        true("430 connections on each of 2 workers were asked for, but the limit on open files (512) allows 448 in all"
             in server.log(), server.log())
        equal(server.metrics()["gyre_connections_limit"], 448)
        status, said, warned = output_of([PROGRAM, "serve", "--config", server.file, "--check"], preexec_fn=few_files)
        equal(status, 0, said + warned)
        true("http would listen on" in said and "descriptor-tables auto" in warned, said + warned)
        status, said, warned = output_of([PROGRAM, "serve", "--config", server.file, "--check", "--descriptor-tables",
                                          "per-worker"], preexec_fn=few_files)
        equal((status, warned), (0, ""), said)


@test
def a_limit_that_is_low_is_mentioned():
    with Configured("workers 2;\nhttp { listen 127.0.0.1:{port}; }\n", preexec_fn=few_files) as server:
        true("the limit on open files (512) allows 448 connections; raise `ulimit -n`" in server.log(), server.log())


@test
def tables_that_are_none_are_refused():
    status, _, said = output_of([PROGRAM, "http", "--descriptor-tables", "many"])
    equal(status, 2, said)
    true("--descriptor-tables many: not one of one, per-worker, auto" in said, said)


run()
