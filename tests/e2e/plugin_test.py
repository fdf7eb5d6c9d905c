# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols out of the tree: built from what is installed, loaded by a line of the configuration file."""

import contextlib
import json
import os
import shutil
import socket
import threading
import time

from configured import Configured
from harness import PROGRAM, Connection, equal, failing, output_of, patiently, run, test, true, until
from installed import CC, FOLDER, WARNINGS, installed

PLUGIN = os.environ.get("GYRE_PLUGIN", "")
# As the manual says, with warnings for our own sake.
BUILT = {}


def build(name, *defines, source=None, built=None):
    """The path of a shared object, made as the manual says; once for each way of it."""
    key = (name, defines, source, built)
    if key not in BUILT:
        out = os.path.join(FOLDER.name, f"{len(BUILT)}-{built or name}.so")
        if source is None:
            path = os.path.join(PLUGIN, name + ".c")
        else:
            path = out + ".c"
            with open(path, "w", encoding="utf-8") as file:
                file.write(source)
        status, _, errors = output_of([*CC, *WARNINGS, "-shared", "-fPIC", *defines, "-o", out, path,
                                       *installed()["headers"]], 60)
        equal(status, 0, errors)
        BUILT[key] = out
    return BUILT[key]


def altered(name, *changes):
    with open(os.path.join(PLUGIN, name + ".c"), encoding="utf-8") as file:
        text = file.read()
    for old, new in changes:
        true(old in text, f"{name}.c has {old}")
        text = text.replace(old, new)
    return text


def finger(port, line, more=b""):
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(line + more)
        answer = b""
        while data := connection.recv(4096):
            answer += data
        return answer


def finger_or_end(port, line):
    """The same where the process that leaves may have taken the connection: then there is no answer."""
    with contextlib.suppress(ConnectionResetError):
        return finger(port, line)
    return b""


def both(**more):
    """The configuration of both examples, and files of them that the test may replace."""
    return ("workers 2;\nadmin 127.0.0.1:{admin};\nload {folder}/echo.so;\nload finger.so;\n"
            "http { listen 127.0.0.1:{port}; }\n"
            f"echo {{ listen 127.0.0.1:{{other}}; idle {more.get('idle', '30s')}; }}\n"
            'finger people { listen 127.0.0.1:{spare}; user ada "Ada Lovelace\\nplan: the engine"; user grace Hopper; }\n')


class Loaded(Configured):
    def __init__(self, text, *flags):
        self.echo, self.finger = build("echo"), build("finger")
        super().__init__(text, *flags)

    def write(self, text):
        for source, name in ((self.echo, "echo.so"), (self.finger, "finger.so")):
            self.replace(source, name)
        super().write(text)

    def replace(self, source, name):
        """As an installer does: a new file takes the name."""
        place = os.path.join(self.folder, name)
        shutil.copy(source, place + ".new")
        os.rename(place + ".new", place)


@test
def a_protocol_built_from_what_is_installed_is_loaded_by_one_line():
    with Loaded(both()) as server:
        text = b"".join(b"%d bottles " % i for i in range(40000))
        with Connection(server.ports["other"]) as connection:
            sender = threading.Thread(target=lambda: (connection.send(text), connection.socket.shutdown(1)))
            sender.start()
            true(connection.exactly(len(text)) == text, "what comes back is what was sent")
            sender.join(10)
            true(connection.closed(), "and the connection ends")
        equal(finger(server.ports["spare"], b"ada\r\n"), b"Ada Lovelace\r\nplan: the engine\r\n")
        equal(finger(server.ports["spare"], b"/W grace\r\n"), b"Hopper\r\n")
        equal(finger(server.ports["spare"], b"\r\n"), b"ada\r\ngrace\r\n")
        equal(finger(server.ports["spare"], b"who\r\n"), b"nobody of that name is here\r\n")
        equal(finger(server.ports["spare"], b"x" * 600), b"")
        equal(server.get("/").status, 200, "the built-in server beside them")
        seen = server.metrics()
        equal(seen['gyre_echo_bytes_total{server="echo"}'], len(text))
        equal(seen['gyre_finger_queries_total{result="found",server="people"}'], 3)
        equal(seen['gyre_finger_queries_total{result="unknown",server="people"}'], 1)
        equal(seen['gyre_finger_queries_total{result="refused",server="people"}'], 1)
        equal(seen['gyre_finger_query_seconds_count{server="people"}'], 4)
        true('gyre_server_connections_open{server="people",kind="finger"}' in seen, "connections by server")


@test
def the_status_shows_every_server():
    with Loaded(both()) as server, Connection(server.ports["other"]) as connection:
        connection.send(b"abc")
        equal(connection.exactly(3), b"abc")
        equal(finger(server.ports["spare"], b"ada\r\n")[:3], b"Ada")
        status = json.loads(server.fetch("admin", "/status.json").body)
        servers = {entry["name"]: entry for entry in status["servers"]}
        equal(list(servers), ["http", "echo", "people", "admin"])
        equal(servers["people"]["kind"], "finger")
        equal(servers["people"]["listen"], [f"127.0.0.1:{server.ports['spare']}"])
        equal(servers["echo"]["connections_open"], 1)
        equal(servers["echo"]["counters"], {"echo_pieces": 1, "echo_bytes": 3, "echo_idle": 0})
        equal(servers["people"]["counters"]["finger_queries"], {"found": 1, "unknown": 0, "refused": 0})
        equal(sum(servers["people"]["latency"]["counts"]), 1)
        equal(len(servers["people"]["latency"]["counts"]), len(status["latency_bounds_ns"]))
        for name in ("enobufs", "cq_overflows", "completions_stale", "buffers_free_low"):
            true(name in status["counters"], f"the ring's {name}")
        true(all("cpu_us" in worker for worker in status["workers"]["list"]), "processor time of each worker")


@test
def a_key_of_the_plugin_is_obeyed():
    def obeyed(patience):
        with Loaded(both(idle=f"{200 * patience}ms")) as server, Connection(server.ports["other"]) as connection, failing(OSError):
            began = time.monotonic()
            connection.send(b"a")
            equal(connection.exactly(1), b"a")
            true(connection.closed(20), "a connection that sends nothing is closed")
            true(0.1 < time.monotonic() - began < 20, "after about 200 ms, not the minute that it is at first")
            equal(server.metrics()['gyre_echo_idle_total{server="echo"}'], 1)

    patiently(obeyed)


@test
def a_reload_takes_the_plugin_as_it_is_then():
    with Loaded(both()) as server:
        equal(finger(server.ports["spare"], b"who\r\n"), b"nobody of that name is here\r\n")
        server.replace(build("finger", '-DFINGER_NOBODY="gone fishing"'), "finger.so")
        with Connection(server.ports["other"]) as kept:
            kept.send(b"one")
            equal(kept.exactly(3), b"one")
            server.reload()
            until(lambda: finger_or_end(server.ports["spare"], b"who\r\n") == b"gone fishing\r\n", "the new one answers")
        with open(f"/proc/{server.pid}/maps", encoding="utf-8") as maps:
            true(".so" in maps.read() and not any(name in line for name in ("echo.so", "finger.so") for line in maps),
                 "the process that keeps the sockets has none of it")


@test
def a_reload_with_a_broken_plugin_changes_nothing():
    with Loaded(both()) as server:
        before = server.serving()
        with open(os.path.join(server.folder, "new.so"), "wb") as file:
            file.write(b"no shared object at all" * 10)
        os.rename(os.path.join(server.folder, "new.so"), os.path.join(server.folder, "finger.so"))
        server.signal(1)
        until(lambda: "gave up before it was ready" in server.log(), "the log says so")
        true("finger.so: it is no shared object; build it with cc -shared -fPIC" in server.log(), server.log())
        equal(server.serving(), before)
        equal(finger(server.ports["spare"], b"grace\r\n"), b"Hopper\r\n")


# ---- what is said of what is wrong ----------------------------------------------------------------------------------


def check(text, *files):
    folder = os.path.join(FOLDER.name, "check")
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    for path, name in files:
        shutil.copy(path, os.path.join(folder, name))
    config = os.path.join(folder, "c")
    with open(config, "w", encoding="utf-8") as file:
        file.write(text)
    status, out, errors = output_of([PROGRAM, "serve", "--config", config, "--check"])
    return status, out, errors.replace(folder + "/", "")


def refused(text, *files):
    status, _, errors = check(text, *files)
    equal(status, 1, errors)
    true(errors.startswith("gyre: ") and errors.count("\n") == 1, f"one sentence: {errors}")
    return errors[6:-1]


ECHO = "echo { listen 127.0.0.1:7007; }\n"


@test
def check_loads_what_it_checks():
    status, out, errors = check("load echo.so;\n" + ECHO, (build("echo"), "echo.so"))
    equal((status, out, errors), (0, "echo would listen on 127.0.0.1:7007\n", ""))
    equal(refused("load echo.so;\necho { listen :7; idel 3s; }\n", (build("echo"), "echo.so")),
          "c:2: idel: there is no such key here; did you mean idle?")
    equal(refused("load echo.so;\necho {\n listen :7;\n idle soon;\n}\n", (build("echo"), "echo.so")),
          "c:4: idle: soon is not a time of at most 3600 s; write it as 500ms, 10s, 5m or 2h")
    equal(refused("load finger.so;\nfinger { listen :79; }\n", (build("finger"), "finger.so")),
          "c:2: finger: it knows nobody; write user NAME TEXT; in its block")


@test
def what_cannot_be_loaded_is_said_in_a_sentence():
    equal(refused("load none.so;\n" + ECHO),
          "c:1: load: loading none.so: No such file or directory; build it, or write the path where it lies")
    equal(refused("load c;\n" + ECHO), "c:1: load: loading c: it is no shared object; build it with cc -shared -fPIC")
    equal(refused("load .;\n" + ECHO), "c:1: load: loading .: it is no file; name the shared object")
    empty = build("empty", source="int empty(void);\nint empty(void) { return 0; }\n")
    equal(refused("load x.so;\n" + ECHO, (empty, "x.so")),
          "c:1: load: loading x.so: there is no gy_plugin in it, so it is no plug-in of Gyre; write GY_PLUGIN(&…); into "
          "it (gyre/servers/plugin.h)")
    needy = build("needy", source=altered("echo", ("return GY_WANT_READ;\n}\n\nstatic uint32_t echo_turn",
                                                   "extern void gy_none(void);\n gy_none();\n return GY_WANT_READ;\n}\n"
                                                   "\nstatic uint32_t echo_turn")))
    true(refused("load x.so;\n" + ECHO, (needy, "x.so")).startswith(
        "c:1: load: loading x.so: it needs gy_none, which neither this gyre ("), "the symbol is named")
    equal(refused("load echo.so;\nload echo.so;\necho { listen :7; }\necho echo { listen :8; }\n",
                  (build("echo"), "echo.so")),
          "c:4: echo: there is a server of the name echo already, at c:3; metrics tell servers apart by name")


@test
def a_plugin_of_another_release_is_refused_with_both_named():
    head = '#include <gyre/servers/plugin.h>\n#undef GY_PLUGIN_{0}\n#define GY_PLUGIN_{0} {1}\n'
    include = "#include <gyre/servers/plugin.h>\n"
    other = build("echo", source=altered("echo", (include, head.format("ABI", "4711u") + head.format("RELEASE", '"9.9"'))))
    text = refused("load x.so;\n" + ECHO, (other, "x.so"))
    true(text.startswith("c:1: load: loading x.so: it was built with the headers of gyre 9.9 (plug-in ABI 4711), and "
                         "this is gyre "), text)
    true(text.endswith("; build it again with the headers of this one"), text)
    sizes = build("echo", source=altered("echo", (include, head.format("LAYOUT", "1u"))))
    true("other sizes of structures" in refused("load x.so;\n" + ECHO, (sizes, "x.so")), "the same ABI, other sizes")


@test
def names_that_clash_are_refused():
    clash = build("echo", source=altered("echo", ('.name = "echo"', '.name = "http"'), ('"echo_', '"http_')))
    equal(refused("load x.so;\n" + ECHO, (clash, "x.so")),
          "c:1: load: x.so has a kind of the name http, which is a key of gyre's own; it needs another name")
    equal(refused("load a.so;\nload b.so;\n" + ECHO, (build("echo"), "a.so"), (build("echo"), "b.so")),
          "c:2: load: b.so has a kind of the name echo, as a.so has, at c:1; load one of them")
    equal(refused("load a.so;\nehco { listen :7; }\n", (build("echo"), "a.so")),
          "c:2: ehco: there is no such key here, and what is loaded serves echo; did you mean echo?")
    foreign = build("echo", source=altered("echo", ('{"echo_bytes"', '{"http_bytes"')))
    true("mend a row's name" in refused("load x.so;\n" + ECHO, (foreign, "x.so")), "metrics are named after the kind")
    equal(refused("load a.so;\nhttp { listen :7; }\necho { listen :7; }\n", (build("echo"), "a.so")),
          "c:3: listen: :7 is listened on already, by the server http; one address is for one server")


run()
