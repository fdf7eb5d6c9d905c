# SPDX-License-Identifier: GPL-3.0-or-later
"""`gyre get` against gyre http, against Python's http.server, and against servers that say what they are told to."""

import os
import re
import select
import socket
import subprocess
import threading
import time

from get_peers import FilesOf, ScriptedHttp, content, folder, get, python_server, written
from harness import PROGRAM, Server, Skip, equal, free_ports, output_of, patiently, run, test, true
from scripted import Listener, answer
from terminal import shown_by


# ---- fetching -------------------------------------------------------------------------------------------------------


@test
def a_page_of_gyre_http_is_printed():
    with Server() as server:
        status, out, errors = get(server.address + "/site.css")
        equal((status, errors), (0, ""))
        equal(out, server.get("/site.css").body.decode())


@test
def a_url_needs_no_scheme():
    with Server() as server:
        status, out, _ = get(f"localhost:{server.port}/status.json")
        equal(status, 0)
        true('"version"' in out, "it is the status")


@test
def a_file_of_pythons_server_is_saved_under_its_name():
    with folder() as here, folder() as there, python_server(there) as port:
        data = written(os.path.join(there, "some file"), os.urandom(3_000_000))
        status, out, errors = get("-O", f"http://127.0.0.1:{port}/some%20file", cwd=here)
        equal((status, out, errors), (0, "", ""))
        equal(os.listdir(here), ["some file"])
        true(content(os.path.join(here, "some file")) == data, "the bytes are the same")


@test
def what_comes_in_chunks_is_put_together():
    def chunks(*_):
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\nX: y\r\n\r\n"
    with ScriptedHttp(chunks) as server:
        equal(get(server.address)[:2], (0, "hello, world"))


@test
def what_ends_with_the_connection_is_whole():
    with ScriptedHttp(lambda *_: (b"HTTP/1.0 200 OK\r\n\r\nhello", None)) as server:
        equal(get(server.address)[:2], (0, "hello"))


@test
def several_urls_share_connections():
    with ScriptedHttp(lambda path, *_: answer("200 OK", path.encode())) as server, folder() as here:
        urls = [f"{server.address}/{n}" for n in range(20)]
        equal(get("-O", "--parallel", "3", *urls, cwd=here)[0], 0)
        equal(sorted(os.listdir(here), key=int), [str(n) for n in range(20)])
        equal(content(os.path.join(here, "7")), b"/7")
        true(server.connections <= 3, f"{server.connections} connections were enough")
        equal(len(server.requests), 20)


@test
def several_urls_are_printed_in_order_over_one_connection():
    with ScriptedHttp(lambda path, *_: answer("200 OK", path.encode())) as server:
        equal(get(*[f"{server.address}/{n}" for n in range(5)])[:2], (0, "/0/1/2/3/4"))
        equal(server.connections, 1)


@test
def a_kept_connection_that_the_server_closed_is_replaced():
    def close_soon(path, _fields, number):
        return (answer("200 OK", b"a"), None) if number == 1 else answer("200 OK", b"b")
    with ScriptedHttp(close_soon) as server:
        equal(get("--retry", "0", server.address + "/1", server.address + "/2")[:2], (0, "ab"))


@test
def heads_are_shown_when_asked_for():
    with Server() as server:
        status, out, _ = get("--head", server.address + "/")
        equal(status, 0)
        true(out.startswith("HTTP/1.1 200 OK\n") and out.endswith("\n\n"), "it is a head")
        status, out, _ = get("-i", server.address + "/site.css")
        equal(status, 0)
        true(out.startswith("HTTP/1.1 200 OK\n") and "\n\n" in out[:-2], "a head and a body")


@test
def headers_of_ones_own_are_sent():
    with ScriptedHttp(lambda *_: answer("200 OK")) as server:
        equal(get("-H", "X-One: 1", "--header=User-Agent: me", server.address + "/a?b#c")[0], 0)
        line, fields = server.requests[0]
        equal(line, "GET /a?b HTTP/1.1")
        equal(fields["x-one"], "1")
        equal(fields["user-agent"], "me")
        equal(fields["host"], f"127.0.0.1:{server.port}")
        equal(get("-H", "Host: other", server.address)[0], 1)
        equal(get("-H", "X: a\r\nY: b", server.address)[0], 1)
        equal(len(server.requests), 1)


@test
def what_is_no_token_in_a_url_is_encoded():
    with ScriptedHttp(lambda *_: answer("200 OK")) as server:
        equal(get(server.address + "/a b\u00e4?c d")[0], 0)
        equal(server.requests[0][0], "GET /a%20b%C3%A4?c%20d HTTP/1.1")


# ---- redirects ------------------------------------------------------------------------------------------------------


@test
def redirects_are_followed():
    def redirect(path, *_):
        to = {"/a/b": "../c/./d?q", "/c/d?q": "//127.0.0.1:%d/e" % server.port, "/e": server.address + "/f#x",
              "/f": "?last"}.get(path)
        return answer("302 Found", b"gone", "Location: " + to) if to else answer("200 OK", path.encode())
    with ScriptedHttp(redirect) as server:
        equal(get(server.address + "/a/b")[:2], (0, "/f?last"))
        equal(server.connections, 1)
        status, out, _ = get("--no-follow", "-i", server.address + "/a/b")
        equal(status, 0)
        true(out.startswith("HTTP/1.1 302 Found\n") and out.endswith("gone"), "the redirect is the result")


@test
def redirects_are_bounded():
    with ScriptedHttp(lambda *_: answer("301 Moved", b"", "Location: /again")) as server:
        status, _, errors = get("--max-redirects", "3", server.address)
        equal(status, 1)
        true("more than 3 redirects" in errors, errors)
        equal(len(server.requests), 4)


@test
def a_redirect_to_another_server_does_not_take_secrets_along():
    with ScriptedHttp(lambda *_: answer("200 OK", b"there")) as other:
        with ScriptedHttp(lambda *_: answer("307 Temporary Redirect", b"", f"Location: {other.address}/")) as server:
            equal(get("-H", "Authorization: secret", "-H", "X-Kept: 1", server.address)[:2], (0, "there"))
            equal(server.requests[0][1]["authorization"], "secret")
            true("authorization" not in other.requests[0][1], "the other server does not see it")
            equal(other.requests[0][1]["x-kept"], "1")


# ---- pipelines ------------------------------------------------------------------------------------------------------


class Piped(Listener):
    """Reads what is there before it answers, so that it sees how many requests came ahead; what it says of the n-th request
    of a connection, of which `behind` more are there, is `answer(n, behind, connection)` as for ScriptedHttp."""

    def __init__(self, answer_of):
        self.answer_of, self.most, self.first_alone = answer_of, 0, True
        self.asked = []
        super().__init__()
        self.address = f"http://127.0.0.1:{self.port}"

    def serve(self, connection, number):
        data, served = b"", 0
        while True:
            # A moment for more to come, but not for what never will.
            while select.select([connection], [], [], 0.1 if b"\r\n\r\n" in data else 5)[0]:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            waiting = data.count(b"\r\n\r\n")
            self.most = max(self.most, waiting)
            if served == 0 and waiting > 1:
                self.first_alone = False
            for behind in range(waiting - 1, -1, -1):
                head, data = data.split(b"\r\n\r\n", 1)
                served += 1
                path = head.decode().split(" ")[1]
                self.asked.append(path)
                said = self.answer_of(served, behind, number)
                if said is None:
                    return
                connection.sendall(answer("200 OK", path.encode()) if said is True else said)


def fetch_piped(server, here, count, *flags):
    urls = [f"{server.address}/{n}" for n in range(count)]
    status, _, errors = get("-O", "--parallel", "1", *flags, *urls, cwd=here)
    equal((status, errors), (0, ""))
    equal({name: content(os.path.join(here, name)) for name in os.listdir(here)}, {f"{n}": f"/{n}".encode() for n in range(count)})


@test
def requests_go_ahead_only_when_told_to_and_once_the_server_keeps_the_connection():
    with Piped(lambda *_: True) as server, folder() as here:
        fetch_piped(server, here, 3)
        equal(server.most, 1)
    with Piped(lambda *_: True) as server, folder() as here:
        fetch_piped(server, here, 13, "--pipeline", "4")
        true(2 < server.most <= 4, f"{server.most} at a time")
        equal((server.first_alone, server.connections), (True, 1))
        equal(server.asked, [f"/{n}" for n in range(13)])


@test
def a_pipeline_that_is_lost_is_asked_for_again_one_by_one():
    with Piped(lambda n, _behind, connection: None if connection == 1 and n == 3 else True) as server, folder() as here:
        fetch_piped(server, here, 9, "--pipeline", "4")
        equal(server.connections, 2)
        equal(sorted(server.asked[3:]), sorted(f"/{n}" for n in range(2, 9)), "each that had no answer, once more")
        true(server.first_alone, "nothing is pipelined at once on another connection")


@test
def a_server_that_answers_a_few_and_closes_is_asked_again():
    """What it says with its last answer is no reason to give pipelines up."""
    def few(n, _behind, _connection):
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" if n == 4 else None if n > 4 else True
    with Piped(few) as server, folder() as here:
        urls = [f"{server.address}/{n}" for n in range(12)]
        status, _, errors = get("-O", "--parallel", "1", "--pipeline", "3", *urls, cwd=here)
        equal((status, errors), (0, ""))
        equal(server.connections, 3)
        equal(len(set(server.asked)), 12)


@test
def a_breach_in_a_pipeline_fails_the_one_and_the_others_go_again():
    def breach(n, _behind, connection):
        return b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n" if connection == 1 and n == 3 else True
    with Piped(breach) as server, folder() as here:
        urls = [f"{server.address}/{n}" for n in range(8)]
        status, _, errors = get("-O", "--parallel", "1", "--pipeline", "4", *urls, cwd=here)
        equal(status, 1)
        equal(len(errors.splitlines()), 1)
        true("Content-Length" in errors, errors)
        equal(len(os.listdir(here)), 7)


@test
def many_small_files_come_over_pipelines_from_a_real_server():
    with folder() as there, folder() as here:
        for n in range(300):
            written(os.path.join(there, f"{n}"), f"file {n}".encode() * (n % 50))
        with FilesOf(there) as server:
            urls = [f"{server.address}/{n}" for n in range(300)]
            equal(get("-O", "--pipeline", "16", "--parallel", "2", *urls, cwd=here)[0], 0)
        for n in range(300):
            equal(content(os.path.join(here, f"{n}")), f"file {n}".encode() * (n % 50))


# ---- failures -------------------------------------------------------------------------------------------------------


@test
def a_refused_connection_names_the_address():
    port = free_ports(1)[0]
    status, out, errors = get("--retry", "0", f"http://127.0.0.1:{port}/")
    equal((status, out), (1, ""))
    true(f"127.0.0.1:{port}: Connection refused" in errors, errors)


@test
def a_name_that_nobody_has_is_named():
    status, out, errors = get("--retry", "0", "http://no-such-host.invalid/")
    equal((status, out), (1, ""))
    true("no-such-host.invalid" in errors and "could not be resolved" in errors, errors)


@test
def a_server_that_starts_late_is_reached():
    port = free_ports(1)[0]

    def late():
        time.sleep(0.5)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(1)
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer("200 OK", b"at last"))
    thread = threading.Thread(target=late)
    thread.start()
    equal(get("--retry", "8", f"http://127.0.0.1:{port}/")[:2], (0, "at last"))
    thread.join()


@test
def a_bad_status_is_a_failure_unless_told_otherwise():
    with Server() as server, folder() as here:
        status, out, errors = get(server.address + "/none")
        equal((status, out), (1, ""))
        true("HTTP 404 Not Found" in errors, errors)
        equal(get("-O", server.address + "/none", cwd=here)[0], 1)
        equal(os.listdir(here), [])
        status, out, errors = get("--any-status", server.address + "/none")
        equal((status, errors), (0, ""))
        true("<html" in out, "the page is printed")


@test
def one_failure_among_several_is_a_failure_and_the_others_are_fetched():
    with ScriptedHttp(lambda path, *_: answer("500 Oh" if path == "/2" else "200 OK", path.encode())) as server:
        status, out, errors = get(*[f"{server.address}/{n}" for n in range(4)])
        equal((status, out), (1, "/0/1/3"))
        equal(errors, f"gyre get: {server.address}/2: HTTP 500 Oh\n")


@test
def what_a_server_says_of_itself_commands_no_terminal():
    for status, fields in (("500 x\x9b31m?", ()), ("302 Found", ("Location: http://x\x9b31m?/",))):
        with ScriptedHttp(lambda *_, status=status, fields=fields: answer(status, b"", *fields)) as server:
            found, _, errors = get(server.address)
            equal(found, 1)
            true("x?31m" in errors and "\x9b" not in errors, errors)


@test
def a_server_that_breaks_the_protocol_is_named_for_it():
    for sent, said in ((b"SSH-2.0-x\r\n", 'no HTTP/1.1: it said "SSH-2.0-x", as SSH does; is that the port'),
                       (b"HTTP/1.1 2 OK\r\n\r\n", "status line"), (b"\x15\x03\x03\x00\x02\x02\x46", "speaks TLS at this port; write https://"), (b"HTTP/1.1 200 OK\n\n", "LF"),
                       (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "Content-Length")):
        with ScriptedHttp(lambda *_, sent=sent: (sent, None)) as server:
            status, _, errors = get("--retry", "0", server.address)
            equal(status, 1)
            true(said in errors, errors)


@test
def a_server_that_says_nothing_is_given_up_in_time():
    with ScriptedHttp(lambda *_: b"") as server:
        began = time.monotonic()
        status, _, errors = get("--timeout", "1", server.address)
        equal(status, 1)
        true("not done within 1 s: the server said nothing; does it speak HTTP at this port?" in errors, errors)
        true(0.9 < time.monotonic() - began < 10, "it took about a second")


@test
def a_pipe_whose_reader_leaves_is_a_failure():
    with folder() as there, python_server(there) as port:
        written(os.path.join(there, "big"), bytes(8_000_000))
        process = subprocess.Popen([PROGRAM, "get", f"http://127.0.0.1:{port}/big"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        equal(len(process.stdout.read(1000)), 1000)
        process.stdout.close()
        errors = process.stderr.read().decode()
        equal(process.wait(20), 1)
        true("Broken pipe" in errors, errors)
        process.stderr.close()


@test
def a_full_disk_is_named():
    with ScriptedHttp(lambda *_: answer("200 OK", bytes(200000))) as server:
        status, _, errors = get("-o", "/dev/full", server.address)
        equal(status, 1)
        true("/dev/full" in errors and "No space left" in errors, errors)


# ---- the command ----------------------------------------------------------------------------------------------------


@test
def misuse_is_told_apart_from_failure():
    for arguments in ((), ("--nonsense", "http://a/"), ("-Z", "http://a/"), ("-o",), ("ftp://a/b",), ("http://",),
                      ("-o", "x", "http://a/", "http://b/"), ("--retry", "x", "http://a/"),
                      ("-r", "5", "http://a/"), ("-C", "http://a/"), ("-H", "novalue", "http://a/"),
                      ("http://user:word@a/"), ("-O", "http://a/x", "http://b/x"), ("http://a:99999/",)):
        arguments = (arguments,) if isinstance(arguments, str) else arguments
        status, out, errors = get(*arguments)
        equal((status, out), (2, ""), str(arguments))
        true(errors.startswith("gyre get: "), errors)


@test
def help_fits_a_screen():
    status, out, _ = get("--help")
    equal(status, 0)
    true(len(out.splitlines()) <= 30 and max(map(len, out.splitlines())) <= 100, "it fits")
    true("  get " in output_of([PROGRAM, "--help"])[1], "gyre --help lists it")


@test
def progress_is_shown_on_a_terminal_alone():
    def slowly(*_):
        whole = answer("200 OK", bytes(4000))
        return (whole[:1000], 1.6, whole[1000:2000], 0.6, whole[2000:])
    with ScriptedHttp(slowly) as server:
        equal(get("-o", "/dev/null", server.address), (0, "", ""))
        status, shown = shown_by([PROGRAM, "get", "-o", "/dev/null", server.address], "stderr")
        equal(status, 0)
        true(b" of 3.9 KiB" in shown and b" %" in shown, repr(shown))
        true(shown.endswith(b"\r\x1b[K"), "the line is wiped")


@test
def both_families_are_tried():
    if not socket.has_ipv6:
        return
    with ScriptedHttp(lambda *_: answer("200 OK", b"four")) as server:
        equal(get(f"http://localhost:{server.port}/")[:2], (0, "four"))
    try:
        server = ScriptedHttp(lambda *_: answer("200 OK", b"six"), "::1", socket.AF_INET6)
    except OSError:
        return
    with server:
        equal(get(f"http://[::1]:{server.port}/")[:2], (0, "six"))
        equal(server.requests[0][1]["host"], f"[::1]:{server.port}")


# A name with an address of each family; one family leads nowhere, and says nothing of it.
RACE = """set -e
ip link set lo up
ip addr add 10.77.0.1/32 dev lo
ip -6 addr add 2001:db8:1::1/128 dev lo nodad
ip link add hole type veth peer name bottom
ip link set hole up
ip link set bottom up
ip addr add 10.78.0.1/24 dev hole
ip -6 addr add 2001:db8:2::1/64 dev hole nodad
mount --bind "$2/hosts" /etc/hosts
"$1" http "$2" --listen 10.77.0.1:8080 --listen '[2001:db8:1::1]:8080' --workers 1 >"$2/out" 2>"$2/errors" &
server=$!
trap 'kill $server' EXIT
for i in $(seq 1200); do [ "$(grep -c listening "$2/out")" = 2 ] && break; sleep 0.05; done
for name in six-is-dead four-is-dead both-live; do
    before=$(date +%s%N)
    "$1" get --retry 0 --connect-timeout 8 "http://$name.test:8080/file"
    echo " $name $((($(date +%s%N) - before) / 1000000))"
done
"$1" get --retry 0 --connect-timeout 1 http://both-dead.test:8080/file || echo "status $?"
"""


@test
def a_family_that_is_a_black_hole_costs_a_quarter_of_a_second():
    with folder() as here:
        written(os.path.join(here, "file"), b"body")
        written(os.path.join(here, "hosts"), b"2001:db8:2::9 six-is-dead.test\n10.77.0.1 six-is-dead.test\n"
                b"2001:db8:1::1 four-is-dead.test\n10.78.0.9 four-is-dead.test\n2001:db8:1::1 both-live.test\n10.77.0.1 both-live.test\n"
                b"2001:db8:2::9 both-dead.test\n10.78.0.9 both-dead.test\n")
        apart = ["unshare", "--net", "--mount", "--propagation", "private"]
        probe = "ip link add hole type veth peer name bottom && ip -6 addr add 2001:db8::1/64 dev hole"
        try:
            able = subprocess.run([*apart, "sh", "-c", probe], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        except FileNotFoundError:
            able = None
        if able is None or able.returncode != 0:
            raise Skip("a network of its own, with both families, is not to be had here")

        def raced(patience):
            nonlocal out, errors
            status, out, errors = output_of([*apart, "sh", "-c", RACE, "sh", PROGRAM, here])
            equal(status, 0, errors)
            times = dict(re.findall(r"^body (\S+) (\d+)$", out, re.M))
            equal(set(times), {"six-is-dead", "four-is-dead", "both-live"}, out + errors)
            most = min(2000 * patience, 7000)  # less than --connect-timeout
            true(200 <= int(times["six-is-dead"]) < most, f"the other family is tried a quarter of a second later: {times}")
            true(max(int(times["four-is-dead"]), int(times["both-live"])) < most, f"what works first is not waited for: {times}")

        out = errors = ""
        patiently(raced)
        true(out.endswith("status 1\n"), out)
        true("both-dead.test" in errors and "2001:db8:2::9" in errors and "10.78.0.9" in errors, errors)


if __name__ == "__main__":
    run()
