# SPDX-License-Identifier: GPL-3.0-or-later
"""Running it: metrics, access log, configuration file, reload, and what a service manager sees."""

import contextlib
import json
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time

from configured import Configured
from harness import PROGRAM, Connection, Server, Skip, alive, equal, output_of, run, test, true, until


PLAIN = "workers 2;\nadmin 127.0.0.1:{admin};\nhttp { listen 127.0.0.1:{port}; }\n"


@test
def metrics_count_what_was_served():
    with Configured(PLAIN) as server:
        before = server.metrics()
        for _ in range(5):
            equal(server.get("/").status, 200)
        equal(server.get("/missing").status, 404)
        with Connection(server.port) as connection:
            connection.send(b"GET / HTTP/9.9\r\nHost: x\r\n\r\n")
            equal(connection.answer().status, 505)
            true(connection.closed(), "it closes")
        after = server.metrics()

        def grown(key):
            return after[key] - before[key]

        equal(grown('gyre_http_requests_total{server="http"}'), 6)
        equal(grown('gyre_http_responses_total{class="2xx",server="http"}'), 5)
        equal(grown('gyre_http_responses_total{class="4xx",server="http"}'), 1)
        equal(grown('gyre_http_refused_total{reason="VERSION",server="http"}'), 1)
        equal(grown('gyre_http_request_seconds_count{server="http"}'), 6)
        equal(grown('gyre_http_request_seconds_bucket{le="+Inf",server="http"}'), 6)
        true(0 < grown('gyre_http_request_seconds_sum{server="http"}') < 60, "the times are times")
        true(grown("gyre_connections_accepted_total") >= 7, "connections")
        true(grown("gyre_sent_bytes_total") > 5000, "bytes")
        true(grown("process_cpu_seconds_total") > 0, "processor time")
        equal(after["gyre_generation"], 1)
        true(after["process_resident_memory_bytes"] > 1 << 20, "memory")
        true('gyre_worker_cpu_seconds_total{worker="1"}' in after, "each worker's time")
        buckets = [after[key] for key in after if key.startswith("gyre_http_request_seconds_bucket")
                   and 'server="http"' in key]
        equal(buckets, sorted(buckets), "buckets are cumulative")
        for name in ("enobufs_total", "cq_overflows_total", "completions_stale_total", "buffers_free_low",
                     "copied_bytes_total"):
            true("gyre_" + name in after, name)


@test
def a_large_file_in_memory_leaves_in_few_sends():
    """As long as no other server is at work beside it, which the admin listener was a moment ago."""
    with tempfile.TemporaryDirectory(prefix="gyre-sends-") as root:
        os.chmod(root, 0o755)
        for name, size in (("status.json", 1), ("large", 1 << 20)):
            with open(f"{root}/{name}", "wb") as file:
                file.write(bytes(size))
        time.sleep(0.1)  # what changed in the last 20 ms is not kept in memory, and a server may have begun before they are over
        text = f"workers 1;\nadmin 127.0.0.1:{{admin}};\nhttp {{ listen 127.0.0.1:{{port}}; root {root}; sendfile off; }}\n"
        with Configured(text) as server, Connection(server.port) as connection:
            for _ in range(5):
                equal(connection.get("/large").status, 200)
            before = server.metrics()
            time.sleep(0.2)
            for _ in range(20):
                equal(len(connection.get("/large").body), 1 << 20)
            after = server.metrics()
            each = (after["gyre_submissions_total"] - before["gyre_submissions_total"]) / 20
            true(each < 6, f"{each} submissions a request")


@test
def metrics_come_whole_with_many_servers_and_in_one_piece():
    blocks = "".join("http s%d { listen 127.0.0.1:0; }\n" % i for i in range(20))
    with Configured(PLAIN + blocks) as server:
        samples = server.metrics()
        equal(sum(key.startswith("gyre_http_requests_total") for key in samples), 22)


@test
def health_and_status_are_on_the_admin_listener():
    with Configured(PLAIN) as server:
        answer = server.fetch("admin", "/healthz")
        equal((answer.status, answer.body), (200, b"serving\n"))
        equal(json.loads(server.fetch("admin", "/status.json").body)["workers"]["count"], 2)
        equal(server.fetch("admin", "/").status, 200)
        with Connection(server.ports["admin"]) as connection:
            page = connection.get("/")
            true("sha256-" in page.fields["content-security-policy"], "the page's own script, and no other")
            equal(connection.get("/", "If-None-Match: " + page.fields["etag"]).status, 304, "what the client has")
            connection.request("POST", "/metrics")
            equal(connection.answer().status, 405)
            connection.request("HEAD", "/metrics")
            equal(connection.answer(head=True).status, 200)
        equal(server.fetch("port", "/metrics").status, 404)


@test
def health_says_when_it_drains():
    with Configured(PLAIN.replace("workers 2", "workers 1")) as server, contextlib.ExitStack() as stack:
        busy = stack.enter_context(Connection(server.port))
        busy.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        watching = [stack.enter_context(Connection(server.ports["admin"])) for _ in range(10)]
        for connection in watching:
            equal(connection.get("/healthz").status, 200)
            connection.send(b"GET /healthz HTTP/1.1\r\n")
        equal(server.fetch("admin", "/healthz").status, 200)  # by the one worker: it has those before it, too
        server.signal(signal.SIGTERM)
        until(lambda: "draining" in server.log(), "it drains")
        statuses = []
        for connection in watching:  # the serving process hears of it from the other, a little later
            time.sleep(0.1)
            connection.send(b"Host: x\r\n\r\n")
            statuses.append(connection.answer().status)
        equal((set(statuses[:-1]) | {503}, statuses[-1]), ({503} | set(statuses[:-1]) & {200}, 503), "200, then 503")
        busy.send(b"\r\n")
        equal(busy.answer().status, 200)
        equal(server.wait(), 0)


@test
def the_access_log_has_a_line_for_each_request():
    with Configured(PLAIN.replace("workers 2", "workers 1") + "access-log {folder}/access.log;\n") as server:
        log = os.path.join(server.folder, "access.log")  # of one worker, so that lines keep their order
        equal(server.get("/").status, 200)
        with Connection(server.port) as connection:
            connection.request("GET", "/missing?\"x", "User-Agent: a \"b\" \\ c", "Referer: http://x/")
            connection.answer()
            connection.request("HEAD", "/")
            connection.answer(head=True)
        with Connection(server.port) as connection:
            connection.send(b"nonsense\r\n\r\n")
            connection.answer()

        def lines_of():
            with open(log, encoding="utf-8") as file:
                return [line for line in file.read().splitlines() if "/status.json" not in line]

        until(lambda: len(lines_of()) >= 4, "the lines are written")
        lines = lines_of()
        true(re.fullmatch(r'127\.0\.0\.1 - - \[../.../....:..:..:.. \+0000\] "GET / HTTP/1\.1" 200 \d+ "-" "-"',
                          lines[0]), lines[0])
        true('"GET /missing?\\x22x HTTP/1.1" 404 ' in lines[1] and
             '"http://x/" "a \\x22b\\x22 \\x5c c"' in lines[1], lines[1])
        true('"HEAD / HTTP/1.1" 200 0 ' in lines[2], lines[2])
        true('"-" 400 0 "-" "-"' in lines[3], lines[3])
        equal(stat.S_IMODE(os.stat(log).st_mode) & 0o007, 0, "others cannot read it")


@test
def the_access_log_is_opened_anew_by_a_reload():
    with Configured(PLAIN + "access-log {folder}/access.log json;\n") as server:
        log = os.path.join(server.folder, "access.log")
        server.get("/before")
        until(lambda: "/before" in open(log, encoding="utf-8").read(), "it is written")
        os.rename(log, log + ".1")
        server.reload()
        until(lambda: "(generation 1) has drained" in server.log(), "the old process has ended: it writes to the old file")
        server.get("/after")
        until(lambda: os.path.exists(log) and "/after" in open(log, encoding="utf-8").read(), "a new file is written")
        entry = json.loads(open(log, encoding="utf-8").read().splitlines()[-1])
        equal((entry["target"], entry["status"], entry["peer"]), ("/after", 404, "127.0.0.1"))
        true("/after" not in open(log + ".1", encoding="utf-8").read(), "the old one is left alone")


@test
def a_full_disk_under_the_access_log_disturbs_nobody():
    with Server("--access-log", "/dev/full", "--admin", "127.0.0.1:0") as server:
        for _ in range(3000):
            with Connection(server.port) as connection:
                for _ in range(3):
                    equal(connection.get("/missing-" + "x" * 500).status, 404)
            if "cannot be written" in server.log():
                break
        until(lambda: "/dev/full cannot be written: No space left on device" in server.log(), "it is said")
        equal(server.get("/").status, 200)
        equal(server.log().count("cannot be written"), 1)


@test
def check_says_whether_a_file_could_be_served():
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "gyre.conf")

        def check(text, *more):
            with open(file, "w", encoding="utf-8") as out:
                out.write(text)
            return output_of([PROGRAM, "serve", "--config", file, "--check", *more])

        status, out, errors = check("http a { listen 127.0.0.1:8080; }\nadmin 127.0.0.1:9;")
        equal((status, errors), (0, ""))
        equal(out, "a would listen on 127.0.0.1:8080\nadmin would listen on 127.0.0.1:9\n")
        text = "http { listen 127.0.0.1:1; listen 127.0.0.2:1; listen [::1]:1; }\nrudp { listen :1; service sink; plaintext on; }"
        equal(check(text)[0], 0, "other addresses, and another transport")
        for text, message in (
                ("wrokers 2;", f"{file}:1: wrokers: there is no such key here; did you mean workers?"),
                ("\nhttp {\n listen nowhere;\n}", f"{file}:3: listen: 'nowhere' has no port"),
                ("http { }", f"{file}:1: http: it listens nowhere; write listen ADDRESS:PORT; in its block"),
                ("http { lisen :1; }", f"{file}:1: lisen: there is no such key here; did you mean listen?"),
                ("workers many;", f"{file}:1: workers: many: not a number"),
                ("user no-such-user-here;", f"{file}:1: user: user no-such-user-here: there is no such user"),
                ("http { listen :1; }\nhttp b { listen :1; }", f"{file}:2: listen: :1 is listened on already"),
                ("http { listen :1; }\nhttp b { listen 127.0.0.1:1; }", f"{file}:2: listen: 127.0.0.1:1 and :1, where the server http"),
                ("http { listen :1;\nlisten [::]:1; }", f"{file}:2: listen: [::]:1 and :1, where the server http listens, overlap"),
                ("rudp { listen :1; service sink; plaintext on; }\ndns { listen :1; }", f"{file}:2: listen: :1 is listened on already"),
                ("drain-timeout 0;\nhttp { listen :1; }", f"{file}:1: drain-timeout: there must be some"),
                ("http { listen :1; }\nrudp { listen :1; service sink; }", f"{file}:2: rudp: the server rudp has no certificate"),
                ("\ndns { listen :1; }", f"{file}:2: dns: the server dns has no zone to answer for"),
                ("http a { listen :1; }\nhttp a { listen :2; }", f"{file}:2: http: there is a server of the name a"),
                ("access-log /nonexistent/x; http { listen :1; }", "/nonexistent/x: No such file or directory"),
                ("workers 1;", f"{file}: there is no server in it; write http {{"),
                ("http { listen :1; }\nload ./no-plugin.so;", f"{file}:2: load: "),
                ("http {", f"{file}:1: http: its block is never closed")):
            status, out, errors = check(text)
            equal((status, out), (1, ""), text)
            true(message in errors, f"{message!r} is in {errors!r}")
        status, _, errors = output_of([PROGRAM, "serve", "--config", file + ".none", "--check"])
        equal(status, 1)
        true("No such file" in errors, errors)
        equal(output_of([PROGRAM, "serve"])[0], 2, "serve without a file")


@test
def flags_override_the_file():
    with Configured("workers 1;\nhttp { listen 127.0.0.1:{port}; }\n", "--workers", "2") as server:
        equal(server.status()["workers"]["count"], 2)


@test
def several_servers_share_the_workers():
    with Configured(PLAIN + "http two { listen 127.0.0.1:{other}; fixed on; }\n") as server:
        equal(server.fetch("other").body, b"Hello, world!")
        equal(server.get("/").fields["content-type"].split(";")[0], "text/html")
        samples = server.metrics()
        equal(samples['gyre_http_requests_total{server="two"}'], 1)


@test
def files_are_served_from_a_root_that_a_reload_can_change():
    text = "http { listen 127.0.0.1:{port}; root {folder}/%s; listing %s; }\n"
    with Configured("http { listen 127.0.0.1:{port}; }\n") as server:
        for name in ("old", "new"):
            os.mkdir(os.path.join(server.folder, name))
            with open(os.path.join(server.folder, name, "page.txt"), "w", encoding="utf-8") as file:
                file.write(name)
        server.write(text % ("old", "on"))
        server.reload()
        until(lambda: server.get("/page.txt").body == b"old", "the files are served")
        equal(server.get("/").status, 200, "a listing")
        server.write(text % ("new", "off"))
        server.reload()
        until(lambda: server.get("/page.txt").body == b"new", "the other files are served")
        equal(server.get("/").status, 404, "no listing")
        server.write(text % ("missing", "on"))
        server.signal(signal.SIGHUP)
        until(lambda: "missing" in server.log(), "the log says what is wrong")
        true("gyre.conf:1" in server.log(), server.log())
        equal(server.get("/page.txt").body, b"new", "the old configuration goes on")


@test
def a_reload_reads_the_file_anew_and_moves_listeners():
    with Configured(PLAIN) as server:
        first = server.serving()
        server.write(PLAIN.replace("{port}; }", "{port}; }\nhttp two { listen 127.0.0.1:{other}; fixed on; }"))
        server.reload()
        equal(server.fetch("other").body, b"Hello, world!")
        until(lambda: server.serving() != first, "another process serves")
        until(lambda: not alive(first), "the first is gone")
        server.write(PLAIN)
        server.reload()

        def refused():
            try:
                Connection(server.ports["other"]).close()
            except ConnectionRefusedError:
                return True
            return False

        until(refused, "what is not in the file any more is closed")
        equal(server.metrics()["gyre_generation"], 3)


@test
def a_wrong_file_changes_nothing():
    with Configured(PLAIN) as server, Connection(server.port) as connection:
        first = server.serving()
        server.write(PLAIN + "frobnicate;\n")
        server.signal(signal.SIGHUP)
        until(lambda: "not reloaded" in server.log(), "it is said")
        true(f"{server.file}:4: frobnicate: there is no such key here" in server.log(), "with file, line and key")
        equal(server.serving(), first, "who serves")
        equal(connection.get("/").status, 200)
        port = server.ports["spare"]
        with socket.create_server(("127.0.0.1", port)):
            server.write(PLAIN + f"http b {{ listen 127.0.0.1:{server.ports['other']}; }}\n"
                                 f"http c {{ listen 127.0.0.1:{port}; }}\n")
            server.signal(signal.SIGHUP)
            until(lambda: server.log().count("not reloaded") == 2, "an address that is taken is said as well")
        true(f"127.0.0.1:{port}" in server.log(), "which address")
        with contextlib.suppress(ConnectionRefusedError):
            Connection(server.ports["other"]).close()
            raise AssertionError("what was opened for the plan that failed is closed again")
        server.write(PLAIN)
        server.reload()
        until(lambda: server.serving() != first, "a right one is taken")


@test
def reloads_under_load_drop_no_connection():
    with Configured(PLAIN + "access-log {folder}/access.log;\n") as server:
        stop, failures, done = threading.Event(), [], [0]

        def load():
            while not stop.is_set():
                try:
                    with Connection(server.port) as connection:
                        for _ in range(3):
                            answer = connection.get("/icon.svg")
                            equal(answer.status, 200)
                            done[0] += 1
                            if answer.fields.get("connection") == "close":
                                break
                except Exception as error:  # pylint: disable=broad-except
                    failures.append(repr(error))
                    return

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for i in range(4):
            server.write(PLAIN + "access-log {folder}/access.log;\n" +
                         ("http two { listen 127.0.0.1:{other}; }\n" if i % 2 == 0 else ""))
            server.reload()
            time.sleep(0.3)
        until(lambda: done[0] > 100 or failures, "there is load")
        stop.set()
        for thread in threads:
            thread.join()
        equal(failures, [])


class Closed(Configured):
    def answers(self):
        return "may not be entered by the user who serves" in self.log()


@test
def files_that_the_other_user_may_not_read_are_told():
    if os.geteuid() != 0:
        raise Skip("only root can become another user")
    with tempfile.TemporaryDirectory() as root:  # for its owner alone
        with Closed("workers 1;\nuser nobody;\nhttp { listen 127.0.0.1:{port}; root ROOT; }\n".replace("ROOT", root)) as server:
            equal(server.fetch("port").status, 403)
            true(root in server.log(), server.log())


@test
def it_serves_as_another_user_and_cannot_come_back():
    if os.getuid() != 0:
        raise Skip("only root can become another user")
    with contextlib.suppress(OSError), open("/proc/sys/kernel/io_uring_disabled", encoding="ascii") as file:
        if file.read().strip() != "0":
            raise Skip("kernel.io_uring_disabled leaves io_uring to the privileged here")
    nobody = pwd.getpwnam("nobody")
    with Configured(PLAIN + "user nobody;\naccess-log {folder}/access.log;\n") as server:
        for _ in range(2):
            with open(f"/proc/{server.serving()}/status", encoding="ascii") as file:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            equal(set(status["Uid"].split()), {str(nobody.pw_uid)}, "user")
            equal(set(status["Gid"].split()), {str(nobody.pw_gid)}, "group")
            equal(status["NoNewPrivs"], "1")
            equal(int(status["CapEff"], 16), 0, "capabilities")
            true("0" not in status["Groups"].split(), f"root's groups are gone: {status['Groups']}")
            server.reload()  # the parent still may, the next one does not


@test
def a_connection_that_comes_as_a_process_is_replaced_is_served():
    with Configured(PLAIN) as server:
        for _ in range(12):
            server.reload()
            for _ in range(6):  # the old process is about to stop accepting
                with Connection(server.port) as connection:
                    equal(connection.get("/icon.svg").status, 200)


class Manager:
    """What a service manager hears."""

    def __init__(self):
        self.name = f"@gyre-e2e-{os.getpid()}-{time.monotonic_ns()}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + self.name[1:])
        self.socket.settimeout(60)

    def hears(self):
        return self.socket.recv(4096).decode()


@test
def a_service_manager_is_told():
    manager = Manager()
    environment = dict(os.environ, NOTIFY_SOCKET=manager.name)
    with Configured(PLAIN, env=environment) as server:
        equal(manager.hears(), "READY=1\n")
        begun = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        server.reload()
        found = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)\n", manager.hears())
        true(found and int(found.group(1)) >= begun, "a reload with its time")
        equal(manager.hears(), "READY=1\n")
        server.write("nonsense")
        server.signal(signal.SIGHUP)
        true(manager.hears().startswith("RELOADING=1\n"), "a reload that fails")
        equal(manager.hears(), f"READY=1\nSTATUS=not reloaded, what is in use stays: {server.file}:1: nonsense: it does not end; "
              "write ; or a block in { } behind it\n", "ends as well, and the manager's status says why")
        server.write(PLAIN)
        server.signal(signal.SIGHUP)
        true(manager.hears().startswith("RELOADING=1\n"), "a reload that does not fail")
        equal(manager.hears(), "READY=1\nSTATUS=\n", "takes it back")
        server.signal(signal.SIGTERM)
        equal(manager.hears(), "STOPPING=1\n")
        equal(server.wait(), 0)


@test
def a_process_alone_tells_the_service_manager():
    manager = Manager()
    with Configured(PLAIN, "--no-supervisor", env=dict(os.environ, NOTIFY_SOCKET=manager.name)):
        equal(manager.hears(), "READY=1\n")


ACTIVATE = ('import os, sys\n'
            'given = [os.dup(int(fd)) for fd in sys.argv[1].split(",")]\n'
            'for number, fd in enumerate(given, 3):\n'
            '    os.dup2(fd, number)\n'
            '    os.set_inheritable(number, True)\n'
            'os.environ.update(LISTEN_FDS=str(len(given)), LISTEN_PID=str(os.getpid()))\n'
            'os.execv(sys.argv[2], sys.argv[2:])\n')


@test
def sockets_of_a_service_manager_are_served():
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        port = listener.getsockname()[1]
        fd = listener.fileno()
        waiting = Connection(port)  # before anybody serves
        for flags in ([], ["--listen", f"127.0.0.1:{port}"]):
            process = subprocess.Popen(["/usr/bin/python3", "-c", ACTIVATE, str(fd), PROGRAM, "http", "--workers", "2",
                                        *flags], pass_fds=[fd], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       start_new_session=True)
            try:
                line = process.stdout.readline().decode()
                true(f"listening on 127.0.0.1:{port} with 2 workers" in line, line)
                for _ in range(8):
                    with Connection(port) as connection:
                        equal(connection.get("/").status, 200)
                equal(waiting.get("/").status, 200)
                waiting.close()
                process.send_signal(signal.SIGHUP)
                for _ in range(30):
                    with Connection(port) as connection:
                        equal(connection.get("/").status, 200)
                        time.sleep(0.02)
                process.send_signal(signal.SIGTERM)
                errors = process.communicate(timeout=20)[1].decode()
                equal(process.returncode, 0, errors)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            waiting = Connection(port)  # the manager keeps the socket, so clients wait
        waiting.close()


@test
def the_admin_s_socket_of_a_service_manager_is_no_web_server_s():
    with socket.create_server(("127.0.0.1", 0)) as web, socket.create_server(("127.0.0.1", 0)) as admin:
        port, other = (each.getsockname()[1] for each in (web, admin))
        process = subprocess.Popen(["/usr/bin/python3", "-c", ACTIVATE, f"{web.fileno()},{admin.fileno()}", PROGRAM, "http",
                                    "--workers", "2", "--admin", f"127.0.0.1:{other}"], pass_fds=[web.fileno(), admin.fileno()],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True)
        try:
            lines = [process.stdout.readline() for _ in range(2)]
            equal(lines, [f"gyre http: listening on 127.0.0.1:{port} with 2 workers\n",
                          f"gyre admin: listening on 127.0.0.1:{other} with 2 workers\n"])
            for _ in range(8):
                with Connection(other) as connection:
                    equal(connection.get("/healthz").status, 200)
            process.send_signal(signal.SIGTERM)
            errors = process.communicate(timeout=20)[1]
            equal(process.returncode, 0, errors)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


run()
