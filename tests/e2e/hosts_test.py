# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual hosts, redirects, error pages, header fields and limits, as their users and their abusers meet them."""

import contextlib
import os
import re
import socket
import tempfile
import threading
import time

from configured import Configured
from harness import PROGRAM, Connection, equal, free_ports, output_of, run, test, true, until
from trees import write


class Hosts(Configured):
    """Serves {www}, a folder with these files, by the configuration within one `http` block."""

    def __init__(self, inside, files=None, workers=1):
        self.www = tempfile.TemporaryDirectory(prefix="gyre-hosts-")
        for name, data in (files or {}).items():
            write(os.path.join(self.www.name, name), data)
        super().__init__(f"workers {workers};\nadmin 127.0.0.1:{{admin}};\nhttp {{ listen 127.0.0.1:{{port}};\n" +
                         inside.replace("{www}", self.www.name) + "\n}\n")

    def end(self):
        super().end()
        self.www.cleanup()

    def answers(self):
        """The admin listener, so that waiting takes nothing from a limit."""
        try:
            return self.fetch("admin", "/healthz").status == 200
        except OSError:
            return False

    def of(self, host, target="/", *fields, method="GET"):
        with Connection(self.port) as connection:
            return ask(connection, host, target, *fields, method=method)


def ask(connection, host, target="/", *fields, method="GET", body=b""):
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
    connection.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    return connection.answer(head=method == "HEAD")


# ---- hosts ----------------------------------------------------------------------------------------------------------


TWO = """
    host a.example *.a.example { root {www}/a; }
    host b.example { root {www}/b; listing off; }
"""
FILES = {"a/index.html": "of a", "b/index.html": "of b", "b/d/x": "", "a/d/x": "", "all/index.html": "of all"}


@test
def each_name_gets_its_host():
    with Hosts("root {www}/all;" + TWO, FILES) as server, Connection(server.port) as c:
        for host, body in (("a.example", b"of a"), ("A.Example:8080", b"of a"), ("a.example.", b"of a"),
                           ("www.a.example", b"of a"), ("x.y.A.example:1", b"of a"), ("b.example", b"of b"),
                           ("www.b.example", b"of all"), ("127.0.0.1", b"of all"), ("[::1]:80", b"of all")):
            answer = ask(c, host)
            equal((answer.status, answer.body), (200, body), host)
        # RFC 9112 §3.2.2: the authority of the target goes before the Host field.
        answer = ask(c, "a.example", "http://b.example/")
        equal(answer.body, b"of b", "by the target")
        equal(ask(c, "a.example", "/d/").status, 200, "listed")
        equal(ask(c, "b.example", "/d/").status, 404, "not listed")
        with Connection(server.port) as old:
            old.send(b"GET / HTTP/1.0\r\n\r\n")
            equal(old.answer().body, b"of all", "no Host at all")
        with Connection(server.port) as bad:
            bad.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
            equal(bad.answer().status, 400, "no host at all")
        write(os.path.join(server.www.name, "b/index.html"), "of b, later")
        until(lambda: server.of("b.example").body == b"of b, later", "a change shows")


@test
def pipelined_requests_for_different_hosts_are_told_apart():
    with Hosts(TWO + "host c.example { redirect / https://elsewhere.example/; header X-C yes; }", FILES) as server:
        with Connection(server.port) as c:
            names = ("a.example", "c.example", "nobody.example", "b.example") * 8
            c.send(b"".join(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode() for name in names))
            for name in names:
                answer = c.answer()
                wanted = {"a.example": 200, "b.example": 200, "c.example": 301, "nobody.example": 421}[name]
                equal(answer.status, wanted, name)
                equal(answer.fields.get("x-c"), "yes" if name == "c.example" else None, name)


@test
def unknown_hosts_get_what_was_chosen():
    for inside, status in ((TWO, 421), ("unknown-host 404;" + TWO, 404), ("fixed on;" + TWO, 200),
                           ("redirect / https://a.example/;" + TWO, 301)):
        with Hosts(inside, FILES) as server:
            equal(server.of("nobody.example").status, status, inside)
            equal(server.of("a.example").status, 200)


@test
def hosts_have_metrics_of_their_own():
    with Hosts(TWO, FILES) as server:
        for _ in range(3):
            server.of("www.a.example")
        server.of("b.example", "/missing")
        server.of("nobody.example")
        found = server.metrics()
        equal(found['gyre_http_host_requests_total{server="http",host="a.example"}'], 3)
        equal(found['gyre_http_host_body_bytes_total{server="http",host="a.example"}'], 12)
        equal(found['gyre_http_host_responses_total{class="4xx",server="http",host="b.example"}'], 1)
        equal(found['gyre_http_host_requests_total{server="http",host="*"}'], 1)
        true(not any("nobody" in key or "www" in key for key in found), "no name that a client made up")


# ---- redirects ------------------------------------------------------------------------------------------------------


@test
def redirects_lead_away_and_keep_what_they_should():
    with Hosts("""
            host www.example { redirect / http://example/ 308; }
            host example {
                root {www};
                redirect /old.html /new.html;
                redirect /docs/ /manual/ 302;
                redirect =/ /start/ 303;
                redirect /out/ https://other.example:8443/in/ 307;
            }""", {"new.html": "new"}) as server, Connection(server.port) as c:
        for host, target, status, location in (
                ("www.example", "/", 308, "http://example/"),
                ("www.example", "/a/b%20c?d=e&f", 308, "http://example/a/b%20c?d=e&f"),
                ("www.example", "//evil.example/", 308, "http://example/evil.example/"),
                ("example", "/old.html?a", 301, "/new.html?a"),
                ("example", "/docs/x/y?z", 302, "/manual/x/y?z"),
                ("example", "//docs/../docs/x", 302, "/manual/x"),
                ("example", "/docs/%0d%0aX-Evil:%20yes", 302, "/manual/%0d%0aX-Evil:%20yes"),
                ("example", "/", 303, "/start/"),
                ("example", "/out/x", 307, "https://other.example:8443/in/x")):
            answer = ask(c, host, target)
            equal((answer.status, answer.fields["location"]), (status, location), target)
            true("x-evil" not in answer.fields, "no line was ended")
            head = ask(c, host, target, method="HEAD")
            equal((head.status, head.fields["location"]), (status, location), "HEAD " + target)
        equal(ask(c, "example", "/new.html").body, b"new")
        equal(ask(c, "example", "/docs", method="POST", body=b"").status, 405, "no redirect for that")


# ---- error pages ----------------------------------------------------------------------------------------------------


@test
def error_pages_keep_the_status_and_give_way_when_they_are_gone():
    big = b"<p>" + os.urandom(200000).hex().encode()
    with Hosts("""
            root {www};
            error-page 404 /errors/404.html;
            error-page 405 416 /errors/other.txt;
            error-page 403 /errors/big.html;
            header X-Always yes always; header X-Good yes;
            """, {"a": "a", "errors/404.html": "not here", "errors/other.txt": "other", "errors/big.html": big}) as server:
        os.mkfifo(server.www.name + "/fifo")
        with Connection(server.port) as c:
            for _ in range(3):
                answer = ask(c, "x", "/missing")
                equal((answer.status, answer.body), (404, b"not here"))
                equal(answer.fields["content-type"], "text/html; charset=utf-8")
                true("etag" not in answer.fields and "accept-ranges" not in answer.fields, "it is no file to keep")
                equal((answer.fields.get("x-always"), answer.fields.get("x-good")), ("yes", None))
                head = ask(c, "x", "/missing", method="HEAD")
                equal((head.status, head.fields["content-length"]), (404, "8"))
                answer = ask(c, "x", "/a", "Range: bytes=5-")
                equal((answer.status, answer.body, answer.fields["content-range"]), (416, b"other", "bytes */1"))
                answer = ask(c, "x", "/a", method="DELETE")
                equal((answer.status, answer.body, answer.fields["allow"]), (405, b"other", "GET, HEAD, OPTIONS"))
                answer = ask(c, "x", "/fifo")
                equal((answer.status, answer.body), (403, big), "a large page")
                head = ask(c, "x", "/fifo", method="HEAD")
                equal((head.status, head.fields["content-length"]), (403, str(len(big))))
            equal(ask(c, "x", "/errors/404.html").status, 200, "asked for by its name it is a file")
            os.unlink(server.www.name + "/errors/404.html")
            until(lambda: b"404 Not Found" in ask(c, "x", "/missing").body, "the built-in page")
            equal(ask(c, "x", "/missing").status, 404)


# ---- header fields --------------------------------------------------------------------------------------------------


@test
def header_fields_are_set_added_and_removed_by_scope():
    with Hosts("""
            header -Server;
            header X-Frame-Options DENY always;
            header Cache-Control "no-cache";
            host a.example {
                root {www};
                header +Vary Origin;
                path /assets/ { header Cache-Control "public, max-age=31536000, immutable"; header -ETag; }
                path /assets/x.js { header Content-Type "text/plain"; }
            }""", {"index.html": "i", "assets/a.css": "c" * 100, "assets/x.js": "x"}) as server:
        with Connection(server.port) as c:
            answer = ask(c, "a.example")
            equal(answer.fields["cache-control"], "no-cache")
            equal(answer.fields["vary"], "Origin", "the last of two lines, as the client here reads them")
            true("server" not in answer.fields and "etag" in answer.fields, "Server is left out")
            for target in ("/assets/a.css", "//assets/a.css", "/x/../assets/%61.css"):
                answer = ask(c, "a.example", target)
                equal(answer.fields["cache-control"], "public, max-age=31536000, immutable", target)
                true("etag" not in answer.fields, target)
            answer = ask(c, "a.example", "/assets/a.css", "Range: bytes=0-1,5-6")
            equal(answer.status, 206)
            true(answer.fields["content-type"].startswith("multipart/"), "the boundary is told")
            equal(ask(c, "a.example", "/assets/x.js").fields["content-type"], "text/plain")
            missing = ask(c, "a.example", "/assets/none")
            equal(missing.fields.get("cache-control"), None, "an error is not kept for a year")
            equal(missing.fields["x-frame-options"], "DENY")
            true("server" not in missing.fields, "nor in errors")
            first = ask(c, "a.example")
            again = ask(c, "a.example", "/", "If-None-Match: " + first.fields["etag"])
            equal((again.status, again.fields["cache-control"]), (304, "no-cache"))


# ---- limits of HTTP -------------------------------------------------------------------------------------------------


@test
def limits_of_http_are_what_the_file_says():
    with Hosts("fixed on; max-line 100; max-head 600; max-fields 5; max-body 1k; max-requests 3;") as server:
        def status(data):
            with Connection(server.port) as c:
                c.send(data)
                return c.answer().status
        head = b"GET / HTTP/1.1\r\nHost: x\r\n"
        equal(status(head + b"\r\n"), 200)
        equal(status(b"GET /" + b"a" * 81 + b" HTTP/1.1\r\nHost: x\r\n\r\n"), 200, "a line of 97 bytes")
        equal(status(b"GET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: x\r\n\r\n"), 414)
        equal(status(head + b"X: " + b"y" * 700 + b"\r\n\r\n"), 431)
        equal(status(head + b"A: b\r\n" * 4 + b"\r\n"), 200)
        equal(status(head + b"A: b\r\n" * 5 + b"\r\n"), 431)
        equal(status(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1024\r\n\r\n" + b"x" * 1024), 200)
        equal(status(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n"), 413)
        with Connection(server.port) as c:
            for number in range(3):
                equal(ask(c, "x").fields.get("connection"), "close" if number == 2 else None)
            true(c.closed(), "after the third")


# ---- deadlines ------------------------------------------------------------------------------------------------------


def drip(connection, data, status):
    """Sends the data and then a byte now and then, until the server ends it. How long that took."""
    begun = time.monotonic()
    connection.send(data)
    connection.socket.settimeout(0.15)
    while time.monotonic() - begun < 15:
        try:
            connection.more()
        except TimeoutError:
            with contextlib.suppress(OSError):
                connection.send(b"y")
        except OSError:
            break
    took = time.monotonic() - begun
    true(connection.data.startswith(b"HTTP/1.1 " + status), f"{status} is said first, not {connection.data[:40]}")
    return took


@test
def clients_that_drip_are_cut_off_while_others_are_served():
    with Hosts("root {www}; header-timeout 1s; body-timeout 1s; idle-timeout 1500ms; write-timeout 1s;",
               {"a": "a", "big": b"x" * (8 << 20)}) as server:
        took = {}

        def abuse(name, work):
            try:
                with Connection(server.port) as connection:
                    took[name] = work(connection)
            except Exception as error:  # pylint: disable=broad-except
                took[name] = error

        def idle(connection):
            begun = time.monotonic()
            true(connection.closed(), "an idle one is closed")
            return time.monotonic() - begun

        def never_reads(connection):
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            begun = time.monotonic()
            connection.request("GET", "/big")
            # The server's end is gone when its socket is no longer in the kernel's table as established.
            until(lambda: not established(server.port, connection.socket.getsockname()[1]), "it is cut off")
            return time.monotonic() - begun

        threads = [threading.Thread(target=abuse, args=arguments) for arguments in (
            ("head", lambda c: drip(c, b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"408")),
            # Nothing here wants a body: it is answered at once, and what follows of it is dropped.
            ("body", lambda c: drip(c, b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", b"405")),
            ("idle", idle), ("reads", never_reads))]
        for thread in threads:
            thread.start()
        waited = []
        while any(thread.is_alive() for thread in threads):
            begun = time.monotonic()
            answer = server.get("/a")
            true(answer.body == b"a" or answer.status == 408, f"others are served: {answer.status}")  # 408: we were held up
            waited.append(time.monotonic() - begun)
            time.sleep(0.02)
        for thread in threads:
            thread.join()
        for name, least, most in (("head", 0.9, 14), ("body", 0.9, 14), ("idle", 1.4, 9), ("reads", 0.9, 20)):
            true(isinstance(took[name], float) and least <= took[name] <= most, f"{name} is cut off in time: {took[name]}")
        middle = sorted(waited)[len(waited) // 2]
        true(middle < 0.5, f"others are served meanwhile, half of them within {middle:.2f} s")
        found = server.metrics()
        true(found['gyre_timeouts_total{kind="header"}'] >= 1, "the head's deadline is counted")
        true(found['gyre_timeouts_total{kind="idle"}'] >= 1, "the idle one's")
        true(found['gyre_timeouts_total{kind="write"}'] >= 1, "the reader's")


def established(port, peer_port):
    """Whether the server's socket of that connection is established, as /proc/net/tcp has it."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in file.readlines()[1:]:
            local, remote, state = line.split()[1:4]
            if (int(local.split(":")[1], 16), int(remote.split(":")[1], 16)) == (port, peer_port):
                return state == "01"
    return False


# ---- limits of an address -------------------------------------------------------------------------------------------


@test
def an_address_has_its_connections_whatever_worker_takes_them():
    with Hosts("fixed on; limit-connections 5;", workers=2) as server, contextlib.ExitStack() as stack:
        kept = []
        for _ in range(5):
            connection = stack.enter_context(Connection(server.port))
            equal(ask(connection, "x").status, 200)
            kept.append(connection)
        for _ in range(20):
            with Connection(server.port) as refused:
                with contextlib.suppress(OSError):
                    refused.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                true(refused.closed(), "one more is closed")
        # Another address has its own; the loopback network has many.
        with socket.create_connection(("127.0.0.1", server.port), 5, source_address=("127.0.0.2", 0)) as other:
            other.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            true(other.recv(100).startswith(b"HTTP/1.1 200"), "another address is served")
        for connection in kept:
            equal(ask(connection, "x").status, 200, "those within the limit go on")
        kept[0].close()

        def free():
            with Connection(server.port) as c:
                try:
                    return ask(c, "x").status == 200
                except OSError:
                    return False
        until(free, "a place is free again")
        found = server.metrics()
        true(found['gyre_http_limited_total{what="connections",server="http"}'] >= 20, "they are counted")
        true(found["gyre_connections_refused_total"] >= 20, "and by the worker")


@test
def an_address_that_asks_too_often_gets_429_and_is_told_when_to_come_back():
    files = {"a": "a", "slow.html": "slowly"}
    with Hosts("root {www}; limit-rate 60/m burst 4;", files) as server, Connection(server.port) as c:
        refused = None
        for _ in range(100):  # on a machine that is slow enough it is not too often
            refused = ask(c, "x", "/a")
            if refused.status == 429:
                break
        equal((refused.status, refused.fields["retry-after"]), (429, "1"))
        time.sleep(1)
        equal(ask(c, "x", "/a").status, 200, "after the pause")
    with Hosts("""root {www}; limit-rate 1/m burst 4; error-page 429 /slow.html;
               header X-Always yes always;""", files, workers=2) as server:
        with Connection(server.port) as c:
            answers = [ask(c, "x", "/a") for _ in range(6)]
            equal([a.status for a in answers][:4], [200] * 4)
            refused = answers[-1]
            equal((refused.status, refused.body), (429, b"slowly"))
            true(1 < int(refused.fields["retry-after"]) <= 60, refused.fields["retry-after"])
            equal(refused.fields["x-always"], "yes")
            # Neither another connection nor another worker has another allowance.
            for _ in range(4):
                equal(server.of("x", "/a").status, 429)
        with socket.create_connection(("127.0.0.1", server.port), 5, source_address=("127.0.0.3", 0)) as other:
            other.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            true(other.recv(100).startswith(b"HTTP/1.1 200"), "another address is served")
        true(server.metrics()['gyre_http_limited_total{what="requests",server="http"}'] >= 5, "they are counted")


@test
def exempt_addresses_and_joined_prefixes():
    with Hosts("fixed on; limit-connections 1; limit-rate 1/m; limit-exempt 127.0.0.0/31 ::1; limit-prefix 24 64;") as server:
        with contextlib.ExitStack() as stack:
            for _ in range(5):
                equal(ask(stack.enter_context(Connection(server.port)), "x").status, 200, "exempt")

            def from_address(address):
                made = stack.enter_context(
                    socket.create_connection(("127.0.0.1", server.port), 5, source_address=(address, 0)))
                with contextlib.suppress(OSError):
                    made.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    return made.recv(12)
                return b""
            equal(from_address("127.0.7.1"), b"HTTP/1.1 200")
            equal(from_address("127.0.7.200"), b"", "the same /24")
            equal(from_address("127.0.8.1"), b"HTTP/1.1 200")


@test
def a_reload_changes_hosts_and_limits():
    with Hosts(TWO, FILES) as server:
        equal(server.of("b.example").body, b"of b")
        server.write("admin 127.0.0.1:{admin}; workers 1;\nhttp { listen 127.0.0.1:{port}; limit-rate 1/m;\n"
                     f"host b.example {{ root {server.www.name}/a; }} }}")
        server.reload()
        until(lambda: server.of("b.example").body == b"of a", "by the new file")
        equal(server.of("b.example").status, 429)


# ---- what is refused ------------------------------------------------------------------------------------------------


@test
def check_says_what_is_wrong_and_what_to_try():
    ports = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/www")

        def check(inside):
            write(folder + "/g.conf", "http {\nlisten 127.0.0.1:" + str(ports[0]) + ";\n" +
                  inside.replace("{port}", str(ports[0])).replace("{www}", folder + "/www") + "\n}\n")
            status, _, errors = output_of([PROGRAM, "serve", "--config", folder + "/g.conf", "--check"])
            return status, errors

        root = "root {www};"
        equal(check(root + "host a { root {www}; }")[0], 0)
        for inside, line, words in (
                ("host a { }", 3, "host: there is nothing to serve; write root DIR; or redirect / URL;"),
                ("host a { root {www}; }\nhost b A. { root {www}; }", 4, "A. is a name of the host at"),
                ("host a:80 { root {www}; }", 3, "leave the port away"),
                ("hosts a { root {www}; }", 3, "hosts: there is no such key here; did you mean host?"),
                ("host a { rot {www}; }", 3, "rot: there is no such key here; did you mean root?"),
                ("host a { listen 1; root {www}; }", 3, "listen: there is no such key here"),
                ("host a { root {www}/none; }", 3, "none"),
                (root + "unknown-host 404;\nhost a { root {www}; }", 3, "leave one out"),
                ("unknown-host 404;", 3, "no host is known"),
                ("unknown-host close;\nhost a { root {www}; }", 3, "close is neither 404"),
                (root + "redirect /a /b 300;", 3, "redirect: 300 is no status of a redirect; write 301"),
                (root + "redirect a /b;", 3, "a is no path; it begins with /"),
                (root + "redirect /a;", 3, "it needs a value; write redirect FROM TO"),
                (root + "\nredirect /a /b;\nredirect /b /a;", 4, "it leads in a circle"),
                (root + "redirect / /start;", 3, "/ -> /start -> /start"),
                ("host a { redirect / http://b:{port}/; }\nhost b { redirect / http://a:{port}/; }", 3, "in a circle"),
                (root + "redirect /a /b;\nredirect /a /c;", 4, "/a is redirected already, at"),
                (root + 'redirect /a "/b\\nX: y";', 3, "cannot be sent as a URL"),
                (root + "error-page 200 /x.html;", 3, "200 is not a number from 400 to 599"),
                (root + "error-page 404 x.html;", 3, "x.html is no path of a page below root"),
                (root + "error-page 404 /../x.html;", 3, "is no path of a page below root"),
                (root + "error-page 404 /x;\nerror-page 500 404 /y;", 4, "404 has a page already"),
                ("error-page 404 /x.html;", 1, "there is no root; write root DIR;"),
                (root + "header Content-Length 5;", 3, "Content-Length cannot be changed: it frames the message"),
                (root + "header X-Y;", 3, "X-Y has no value"),
                (root + 'header X-Y "a\\nb";', 3, "the value of X-Y cannot be sent"),
                (root + "header Cache-Control max-age=5, public;", 3, "are quotes around the value missing?"),
                ("host a { root {www}; header -Server; }", 3, "in the http block itself"),
                (root + "path assets { header X y; }", 3, "assets is no path; write /assets/"),
                (root + "path /a/ { root /; }", 3, "root: there is no such key here"),
                (root + "path /a/ { header X y; }\npath /a/ { header Z y; }", 4, "/a/ has a block already, at"),
                (root + "max-head 17k;", 3, "17k is not a size from 256 to 16384 bytes"),
                (root + "max-head 1k; max-line 2k;", 3, "cannot be larger"),
                (root + "max-fields 101;", 3, "101 is not a number from 1 to 100"),
                (root + "idle-timeout 0;", 3, "0 would end every connection at once"),
                (root + "header-timeout 10x;", 3, "10x is not a time"),
                (root + "limit-connections 0;", 3, "0 is not a number from 1"),
                (root + "limit-rate 10;", 3, "10 is no rate; write 10/s"),
                (root + "limit-rate 0/s;", 3, "0/s is no rate"),
                (root + "limit-rate 10/s 20;", 3, "20 stands behind the rate; write burst N"),
                (root + "limit-exempt 10.0.0.0/8;", 3, "there is no limit for it"),
                (root + "limit-rate 1/s; limit-exempt 10.1.0.0/8;", 3, "write 10.0.0.0/8"),
                (root + "limit-rate 1/s; limit-prefix 33 64;", 3, "33 is not a number from 8 to 32"),
                (root + "limit-rate 1/s; limit-table 5;", 3, "5 is not a number from 1024")):
            status, errors = check(inside)
            equal(status, 1, inside)
            true(words in errors, f"{inside!r} says {words!r}, not {errors!r}")
            true(re.match(rf"gyre: {re.escape(folder)}/g\.conf:{line}: ", errors), f"line {line}: {errors!r}")


run()
