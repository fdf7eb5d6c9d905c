# SPDX-License-Identifier: GPL-3.0-or-later
"""The command itself: what it says, how it ends, and what it does where it is not welcome."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from harness import (PROGRAM, Connection, Server, Skip, alive, equal, output_of, run, test, true, until)

REFUSE = os.environ.get("REFUSE_RING", "")


def gyre(*arguments, before=()):
    return output_of([*before, PROGRAM, *arguments])


@test
def help_fits_a_screen_and_exits_0():
    for arguments in (["--help"], ["help"], ["http", "--help"], ["start", "--help"], ["doctor", "--help"]):
        status, out, errors = gyre(*arguments)
        equal(status, 0, f"gyre {' '.join(arguments)}")
        equal(errors, "", "stderr")
        true(1 < len(out.splitlines()) <= 30, f"gyre {' '.join(arguments)} fits a screen: {len(out.splitlines())} lines")
        true(max(map(len, out.splitlines())) <= 100, "its lines do")


@test
def version_is_printed():
    for word in ("--version", "version"):
        status, out, _ = gyre(word)
        equal(status, 0)
        true(out.startswith("gyre ") and out.count("\n") == 1, out)


@test
def misuse_exits_2_and_says_what():
    for arguments, word in ((["frobnicate"], "frobnicate"), ([], "gyre"), (["http", "--frobnicate"], "--frobnicate"),
                            (["http", "dir", "extra"], "extra"), (["http", "--workers", "many"], "many"),
                            (["http", "--workers"], "workers"), (["http", "--listen", "nowhere"], "nowhere"),
                            (["http", "--listen", "127.0.0.1:99999"], "99999"),
                            (["http", "--receive-mode", "psychic"], "psychic"),
                            (["http", "--without", "GRAVITY"], "GRAVITY"), (["start", "--fixed"], "--fixed")):
        status, out, errors = gyre(*arguments)
        equal(status, 2, f"gyre {' '.join(arguments)}")
        equal(out, "", "stdout")
        true(word in errors, f"{word} is named: {errors}")


@test
def numbers_are_digits_and_nothing_else():
    for command in (["http", "--workers"], ["http", "--cache"], ["echo", "--size"], ["rudp", "serve", "--fec"],
                    ["rudp", "serve", "--datagram"], ["get", "--retry"], ["get", "--timeout"], ["ws", "--count"],
                    ["ws", "--ping"], ["chat", "--history"], ["cert", "--days"], ["rudp", "ping", "--count"],
                    ["rudp", "sim", "--loss"]):
        for number in ("+5", " 5", "5 ", "5x"):
            status, _, errors = gyre(*command, number)
            equal(status, 2, f"gyre {' '.join(command)} '{number}'")
            true(number in errors and "number" in errors, f"gyre {' '.join(command)} '{number}': {errors}")
    status, _, errors = gyre("dig", "+timeout=+5", "@127.0.0.1", "example")
    equal(status, 1)
    true("needs a number" in errors, errors)


@test
def a_port_in_use_is_said_and_exits_1():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, errors = gyre("http", "--listen", f"127.0.0.1:{port}")
        equal(status, 1)
        true(f"127.0.0.1:{port}" in errors and "taken" in errors, f"it says what and why: {errors}")
        equal(out, "", "stdout")


@test
def a_second_gyre_does_not_share_the_port():
    with Server() as server:
        status, _, errors = gyre("http", "--listen", f"127.0.0.1:{server.port}")
        equal(status, 1)
        true("taken by gyre" in errors, f"it says by whom: {errors}")


@test
def start_prints_a_table_and_serves():
    process = subprocess.Popen([PROGRAM, "start", "--listen", "127.0.0.1:0"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        table = b""
        while b"Ctrl-C" not in table:
            line = process.stdout.readline()
            true(line, f"the table is complete: {table.decode()}")
            table += line
        word = next(w for w in table.decode().split() if w.startswith("http://"))
        port = int(word.rstrip("/").rsplit(":", 1)[1])
        with Connection(port) as connection:
            equal(connection.get("/").status, 200)
        process.send_signal(signal.SIGINT)
        equal(process.wait(20), 0, "the exit status after Ctrl-C")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()


@test
def several_addresses_are_served_by_one_process():
    with Server("--listen", "127.0.0.1:0") as server:
        second = server.process.stdout.readline().decode()
        port = int(second.split()[4].rsplit(":", 1)[1])
        with Connection(port) as connection:
            equal(connection.get("/").status, 200)
        true(port != server.port, "they are two")


@test
def one_process_alone_serves_and_drains():
    with Server("--no-supervisor") as server:
        equal(server.serving(), server.pid, "the process that serves")


@test
def a_drain_finishes_what_is_under_way():
    with Server() as server, Connection(server.port) as connection, Connection(server.port) as idle:
        equal(idle.get("/icon.svg").status, 200)
        connection.send(b"GET /site.js HTTP/1.1\r\nHost: te")
        until(lambda: server.status()["counters"]["connections_open"] == 3, "both are accepted")
        server.signal(signal.SIGTERM)
        until(lambda: "draining" in server.log(), "it drains")
        time.sleep(0.3)
        true(server.process.poll() is None, "it waits for the request")
        connection.send(b"st\r\n\r\n")
        answer = connection.answer()
        equal(answer.status, 200)
        equal(answer.fields["connection"].lower(), "close")
        true(connection.closed(), "the connection ends")
        true(idle.closed(), "an idle connection ends")
        equal(server.wait(), 0, "the exit status")
        try:
            Connection(server.port).close()
        except ConnectionRefusedError:
            return
        raise AssertionError("nobody listens any more")


@test
def a_drain_ends_at_its_deadline():
    with Server("--drain-timeout", "1") as server, Connection(server.port) as connection:
        connection.send(b"GET /site.js HTTP/1.1\r\n")
        until(lambda: server.status()["counters"]["connections_open"] == 2, "it is accepted")
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        equal(server.wait(), 0, "the exit status")
        took = time.monotonic() - begun
        true(0.8 < took < 9, f"it takes about a second, not the ten that there are without the flag: {took:.1f}")


@test
def a_second_signal_stops_at_once():
    for number in (signal.SIGTERM, signal.SIGINT):
        with Server() as server, Connection(server.port) as connection:
            serving = server.serving()
            connection.send(b"GET /site.js HTTP/1.1\r\n")
            until(lambda: server.status()["counters"]["connections_open"] == 2, "it is accepted")
            server.signal(number)
            until(lambda: "draining" in server.log(), "it drains")  # pylint: disable=cell-var-from-loop
            true(server.process.poll() is None, "the first lets the request go on")
            begun = time.monotonic()
            server.signal(number)
            server.wait()
            true(time.monotonic() - begun < 8, "the second does not, which would take ten seconds")
            true(not alive(serving), "nothing is left of it")


@test
def the_serving_process_ends_with_its_supervisor():
    with Server() as server:
        serving = server.serving()
        server.signal(signal.SIGKILL)
        server.wait()
        until(lambda: not alive(serving), "it drains by itself")


@test
def an_unprivileged_user_can_serve():
    if os.getuid() != 0:
        with Server() as server:
            equal(server.get("/").status, 200)
        return
    with contextlib.suppress(OSError), open("/proc/sys/kernel/io_uring_disabled", encoding="ascii") as file:
        if file.read().strip() != "0":
            raise Skip("kernel.io_uring_disabled leaves io_uring to the privileged here")
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        program = shutil.copy(PROGRAM, folder)
        os.chmod(program, 0o755)
        with Server(program=program, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd="/") as server:
            equal(os.stat(f"/proc/{server.serving()}").st_uid, nobody.pw_uid, "who serves")


@test
def what_may_not_be_read_is_explained():
    """By a user who is not root, in folders of root's: what, why, as whom, and what to try."""
    if os.getuid() != 0:
        raise Skip("only root can become another user")
    nobody = pwd.getpwnam("nobody").pw_uid
    become = ["setpriv", f"--reuid={nobody}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
    with Server("--fixed") as server, tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        program = shutil.copy(PROGRAM, folder)
        os.chmod(program, 0o755)
        equal(gyre("cert", "--dir", f"{folder}/made")[0], 0)
        status, out, errors = gyre("cert", "--dir", f"{folder}/not-made", "--help")
        true((status, errors, os.path.exists(f"{folder}/not-made")) == (0, "", False) and out.startswith("Usage: gyre cert"), "help, wherever")
        os.mkdir(f"{folder}/shut", 0o700)
        os.mkdir(f"{folder}/open", 0o755)
        os.mkdir(f"{folder}/closed", 0o711)
        for path in (f"{folder}/zone", f"{folder}/shut/zone"):
            with open(path, "w", encoding="utf-8") as file:
                file.write("@ 3600 SOA a b 1 2 3 4 5\n@ NS a\na A 192.0.2.1\n")
            os.chmod(path, 0o600)
        for name, text in (("key", f"dns {{ listen 127.0.0.1:0; key k hmac-sha256 {folder}/zone; zone example {folder}/made/x; }}"),
                           ("zones", f"dns {{ listen 127.0.0.1:0; zones {folder}/shut; }}"), ("outer", "include shut/more.conf;"),
                           ("many", "include shut/*.conf;"), ("closed/main", "include more.conf;"),
                           ("closed/all", "include *.conf;"), ("closed/more", "http { listen 127.0.0.1:0; }"),
                           ("log", f"access-log {folder}/open/log; http {{ listen 127.0.0.1:0; }}")):
            with open(f"{folder}/{name}.conf", "w", encoding="utf-8") as file:
                file.write(text + "\n")
        others = {"--password-file": 2, "-f": 8}  # what a flag names; as dig has it
        for arguments, what, words in (
                (["cert", "--dir", f"{folder}/made"], f"{folder}/made/authority.key", "it may not be read"),
                (["cert", "--dir", f"{folder}/open"], f"{folder}/open/authority.key",
                 f"its folder {folder}/open may not be written in"),
                (["cert", "--dir", f"{folder}/shut/new"], f"{folder}/shut/new",
                 f"its folder {folder}/shut may not be entered"),
                (["http", "--tls", f"{folder}/made/localhost.pem"], f"{folder}/made/localhost.key", "it may not be read"),
                (["dns", "--zone", f"example={folder}/zone"], f"{folder}/zone", "it may not be read"),
                (["dns", "--zone", f"example={folder}/shut/zone"], f"{folder}/shut/zone",
                 f"its folder {folder}/shut may not be entered"),
                (["rudp", "serve", "--plaintext", "--drop", f"{folder}/open"], f"{folder}/open", "it may not be written in"),
                (["rudp", "serve", "--plaintext", "--share", f"{folder}/shut"], f"{folder}/shut", "it may not be read"),
                (["http", f"{folder}/shut"], f"{folder}/shut", "it may not be read"),
                (["serve", "--config", f"{folder}/key.conf"], f"the secret from {folder}/zone", "it may not be read"),
                (["serve", "--config", f"{folder}/zones.conf"], f"{folder}/shut", "it may not be read"),
                (["serve", "--config", f"{folder}/log.conf"], f"{folder}/open/log", f"its folder {folder}/open may not be written in"),
                (["serve", "--config", f"{folder}/zone"], f"{folder}/zone", "it may not be read"),
                (["serve", "--config", f"{folder}/shut/conf"], f"{folder}/shut/conf", f"its folder {folder}/shut may not be entered"),
                (["serve", "--config", f"{folder}/outer.conf"], "outer.conf:1: include: shut/more.conf",
                 f"its folder {folder}/shut may not be entered"),
                (["serve", "--config", f"{folder}/many.conf"], "many.conf:1: include: shut/",
                 f"its folder {folder}/shut may not be entered"),
                (["serve", "--config", f"{folder}/closed/all.conf"], "all.conf:1: include: .", "it may not be read"),
                (["chat", "serve", "--store", f"{folder}/zone"], f"{folder}/zone", "it may not be read"),
                (["chat", "serve", "--store", f"{folder}/open/db"], f"its folder {folder}/open", "it may not be written in"),
                (["chat", "serve", "--store", f"{folder}/shut/db"], f"{folder}/shut/db", f"its folder {folder}/shut may not be entered"),
                (["chat", "--nick", "ann", "--password-file", f"{folder}/zone"], f"{folder}/zone", "it may not be read"),
                (["chat", "admin", "--store", f"{folder}/shut/db", "connections"], f"{folder}/shut/db.operator", f"its folder {folder}/shut may not be entered"),
                (["dig", "@127.0.0.1", "-k", f"{folder}/zone", "a"], f"{folder}/zone", "it may not be read"),
                (["dig", "@127.0.0.1", "-f", f"{folder}/zone"], f"batch file '{folder}/zone'", "it may not be read"),
                (["get", "-o", f"{folder}/open/it", f"http://127.0.0.1:{server.port}/"], f"{folder}/open/it.part", f"its folder {folder}/open may not be written in"),
                (["rudp", "send", f"{folder}/zone", "127.0.0.1:9"], f"{folder}/zone", "it may not be read")):
            listens = arguments[0] in ("http", "dns") or arguments[1] == "serve"
            status, _, errors = output_of([*become, program, *arguments, *(["--listen", "127.0.0.1:0"] if listens else [])])
            equal(status, next((others[flag] for flag in arguments if flag in others), 1), f"gyre {' '.join(arguments)}: {errors}")
            for word in (what + ":", words, f"(uid {nobody};", "mode 0", "chmod it, or run as another user"):
                true(word in errors, f"gyre {' '.join(arguments)} says {word}: {errors}")
        status, _, errors = output_of([*become, program, "serve", "--check", "--config", f"{folder}/closed/main.conf"])
        equal(status, 0, f"a folder that cannot be listed has files that can be read: {errors}")


@test
def few_open_files_are_lived_with():
    with Server(before=["/bin/bash", "-c", 'ulimit -n 256; exec "$@"', "limit"], workers=1) as server:
        held = []
        try:
            for _ in range(400):
                held.append(Connection(server.port))
            # Too many for it: some are turned away, the rest are served, and afterwards all is well.
            equal(held[0].get("/icon.svg").status, 200)
        finally:
            for connection in held:
                connection.close()
        until(server.answers, "it accepts again")


def refused(error):
    for command in (["http", "--listen", "127.0.0.1:0"], ["start", "--listen", "127.0.0.1:0"]):
        status, out, errors = gyre(*command, before=[REFUSE, error])
        equal(status, 1, f"gyre {command[0]}")
        equal(out, "", "stdout: nothing listens")
        true("io_uring" in errors, f"it says what is refused: {errors}")
        true(any(word in errors for word in ("seccomp", "--security-opt", "kernel", "sysctl")),
             f"and the way out: {errors}")


@test
def where_seccomp_refuses_io_uring_it_says_so_and_exits_1():
    refused("EPERM")


@test
def where_the_kernel_lacks_io_uring_it_says_so_and_exits_1():
    refused("ENOSYS")


@test
def doctor_describes_this_host():
    status, out, errors = gyre("doctor")
    equal(status, 0, errors)
    equal(errors, "", "stderr")
    for word in (os.uname().release, "locked memory", "open files", "io_uring_disabled", "seccomp", "BUFFER_RING",
                 "BUFFER_INCREMENTAL", "NO_IOWAIT", "incremental"):
        true(word.lower() in out.lower(), f"{word} is spoken of:\n{out}")
    true("\x1b" not in out, "no colours in a pipe")


@test
def doctor_knows_where_io_uring_is_refused():
    status, out, errors = gyre("doctor", before=[REFUSE, "EPERM"])
    true(status != 0, "the exit status")
    true("seccomp" in (out + errors).lower(), f"seccomp is named:\n{out}{errors}")


@test
def doctor_and_site_say_the_same_of_the_ring():
    status, out, errors = gyre("doctor", "--json")
    equal(status, 0, errors)
    told = {feature["name"]: feature["state"] for feature in json.loads(out)["features"]}
    with Server() as server:
        equal({f["name"]: f["state"] for f in server.status()["ring_features"]}, told, "the site's features")


run()
