# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are compressed as they are asked for: what clients decode, and what the caches and bounds do."""

import contextlib
import functools
import json
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import zlib

from harness import PROGRAM, Connection, Server, Skip, equal, free_ports, output_of, patiently, run, test, tool, true, until

WORDS = [f"{number:06x}" for number in random.Random(1).sample(range(1 << 24), 3000)]
BUILT = {"zlib": "gzip", "brotli": "br", "zstd": "zstd"}
CODINGS = [coding for library, coding in BUILT.items() if library in output_of([PROGRAM, "--version"])[1]]
SERVER_ORDER = [coding for coding in ("br", "zstd", "gzip") if coding in CODINGS]


@functools.lru_cache(maxsize=200)
def prose(size, seed=1):
    """Text that compresses to about a third."""
    return " ".join([str(seed), *random.Random(seed).choices(WORDS, k=size // 7 + 1)]).encode()[:size]


class Compressing(Server):
    """`gyre serve` of a folder with these files and keys."""

    def __init__(self, files, keys=(), workers=1, ends=";", more=""):  # pylint: disable=super-init-not-called
        self.folder = tempfile.TemporaryDirectory(prefix="gyre-compress-")
        self.root = self.folder.name + "/root"
        os.mkdir(self.root)
        for name, data in files.items():
            self.write(name, data)
        self.port, self.admin = free_ports(2)
        config = self.folder.name + "/gyre.conf"
        with open(config, "w", encoding="ascii") as file:
            file.write(f"workers {workers}; admin 127.0.0.1:{self.admin}; {more}\nhttp {{ listen 127.0.0.1:{self.port}; "
                       f"root {self.root}; {' '.join(key + ends for key in keys)} }}\n")
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([PROGRAM, "serve", "--config", config], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True)
        self.pid = self.process.pid
        if not self.process.stdout.readline():
            self.end()
            raise AssertionError(f"gyre did not begin to listen: {self.log()}")

    def answers(self):
        try:
            return self.get("/").status > 0
        except OSError:
            return False

    def write(self, name, data):
        """In one step, as a careful author does."""
        path = self.root + "/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + "~", "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        os.rename(path + "~", path)

    def count(self, name):
        with Connection(self.admin) as connection:
            text = connection.get("/metrics").body.decode()
        found = re.search(r"^gyre_" + re.escape(name[:-1] + "," if name.endswith("}") else name + "{")
                          + r'server="http"\} (\d+)$', text, re.M)
        true(found, f"there is a metric {name}")
        return int(found.group(1))

    def serving(self):
        with Connection(self.admin) as connection:
            return json.loads(connection.get("/status.json").body)["pid"]

    def end(self):
        super().end()
        self.folder.cleanup()

    def coded(self, connection, path, coding, *fields):
        return connection.get(path, f"Accept-Encoding: {coding}", *fields)

    def curl(self, path, coding):
        """What a real client decodes."""
        done = subprocess.run([tool("curl"), "-s", "-S", "--compressed", "-H", f"Accept-Encoding: {coding}",
                               f"http://127.0.0.1:{self.port}{path}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=30, check=False)
        equal((done.returncode, done.stderr), (0, b""), "curl")
        return done.stdout


def plain(answer):
    """The file in an answer that is as it is, or gzip."""
    coding = answer.fields.get("content-encoding")
    if coding is None:
        return answer.body
    equal(coding, "gzip")
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    data = decoder.decompress(answer.body) + decoder.flush()
    true(decoder.eof and not decoder.unused_data, "the end of the gzip stream is the end of the body")
    return data


def need(*codings):
    if not CODINGS:
        raise Skip("no coding is built in")
    for coding in codings:
        if coding not in CODINGS:
            raise Skip(f"{coding} is not built in")


# ---- which answer -----------------------------------------------------------------------------------------------


@test
def each_coding_decodes_to_the_file_and_has_a_tag_of_its_own():
    text = prose(30000)
    with Compressing({"a.html": text}) as server, Connection(server.port) as c:
        tags = [c.get("/a.html").fields["etag"]]
        for coding in CODINGS:
            first = server.coded(c, "/a.html", coding)
            again = server.coded(c, "/a.html", coding)
            for answer in (first, again):
                equal(answer.status, 200)
                equal(answer.fields["content-encoding"], coding)
                equal(answer.fields["vary"], "Accept-Encoding")
                equal(answer.fields["content-type"], "text/html; charset=utf-8")
                true("accept-ranges" not in answer.fields, "no ranges of it")
                true(re.fullmatch(r'"[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[bgz][0-9]+"', answer.fields["etag"]), "a strong tag")
                true(len(answer.body) < len(text) / 2, f"{coding} makes it smaller")
            equal(first.body, again.body, "from the cache")
            equal(first.fields["etag"], again.fields["etag"])
            equal(server.curl("/a.html", coding), text, coding)
            tags.append(first.fields["etag"])
        equal(len(set(tags)), len(tags), "tags that differ")
        equal(c.get("/a.html").body, text, "as it is")
        equal(c.get("/a.html").fields["vary"], "Accept-Encoding")
        equal(server.count("compress_cache_misses_total"), len(CODINGS))
        equal(server.count('compressed_responses_total{coding="gzip"}'), 3 if "gzip" in CODINGS else 0)


@test
def weights_choose_the_coding_and_may_choose_none():
    need("br", "zstd", "gzip")
    with Compressing({"a.html": prose(5000)}) as server, Connection(server.port) as c:
        for accept, coding in (
                ("gzip, deflate, br, zstd", "br"), ("gzip, zstd", "zstd"), ("gzip", "gzip"), ("x-gzip", "gzip"), ("*", "br"),
                ("br;q=0.5, gzip;q=0.8", "gzip"), ("*, br;q=0", "zstd"), ("gzip;q=0", None), ("", None), ("deflate", None),
                ("identity", None), ("identity, gzip;q=0.5", None), ("identity;q=0.5, gzip", "gzip"),
                ("identity, gzip", "gzip"), ("*;q=0", None), ("gzip;q=0.001", "gzip"), ("gzip;q=2", None)):
            answer = c.get("/a.html", f"Accept-Encoding: {accept}")
            equal((answer.status, answer.fields.get("content-encoding")), (200, coding), accept)
            equal(answer.fields["vary"], "Accept-Encoding", accept)


@test
def binary_and_small_and_incompressible_files_are_sent_as_they_are():
    need()
    noise = random.Random(3).randbytes(20000)
    with Compressing({"a.png": prose(9000), "a.zip": prose(9000), "none": prose(9000), "small.css": prose(511),
                      "enough.css": prose(512), "empty.css": b"", "noise.txt": noise}) as server, Connection(server.port) as c:
        for path, coded, varies in (("/a.png", False, False), ("/a.zip", False, False), ("/none", False, False),
                                    ("/small.css", False, True), ("/enough.css", True, True), ("/empty.css", False, True),
                                    ("/noise.txt", False, True), ("/noise.txt", False, True)):
            answer = c.get(path, "Accept-Encoding: " + CODINGS[0])
            equal(answer.fields.get("content-encoding"), CODINGS[0] if coded else None, path)
            equal(answer.fields.get("vary"), "Accept-Encoding" if varies else None, path)
        equal(c.get("/noise.txt", "Accept-Encoding: " + CODINGS[0]).body, noise)
        equal(server.count("compress_useless_total"), 1, "tried once")


@test
def it_can_be_turned_off():
    with Compressing({"a.css": prose(9000)}, ["compress off"]) as server, Connection(server.port) as c:
        equal(c.get("/a.css", "Accept-Encoding: br, zstd, gzip").fields.get("content-encoding"), None)
    with tempfile.TemporaryDirectory() as root:
        with open(root + "/a.css", "wb") as file:
            file.write(prose(9000))

        class Files(Server):
            answers = Compressing.answers

        with Files(root, "--no-compress", workers=1) as server:
            answer = server.get("/a.css")
            equal((answer.status, answer.body), (200, prose(9000)))
            with Connection(server.port) as c:
                equal(c.get("/a.css", "Accept-Encoding: gzip").fields.get("content-encoding"), None)


@test
def keys_say_what_is_compressed_and_how():
    need("gzip", "zstd")
    files = {"a.png": prose(9000), "a.css": prose(9000), "a.js": prose(9000), "b.js": prose(90)}
    keys = ["compress zstd gzip", "compress-types image/png text/*", "compress-min 64", "compress-level gzip 1",
            "compress-level zstd 12"]
    with Compressing(files, keys) as server, Connection(server.port) as c:
        for path, coding, level in (("/a.png", "zstd", "z12"), ("/a.css", "zstd", "z12"), ("/b.js", "zstd", "z12")):
            answer = c.get(path, "Accept-Encoding: br, zstd, gzip")
            equal(answer.fields.get("content-encoding"), coding, path)
            equal(answer.fields["vary"], "Accept-Encoding", path)
            true(answer.fields["etag"].endswith(f'-{level}"'), "the level is in the tag")
        equal(c.get("/a.css", "Accept-Encoding: br").fields.get("content-encoding"), None, "not in the list")
        one = c.get("/a.css", "Accept-Encoding: gzip")
        true(one.fields["etag"].endswith('-g1"'), "level 1")
        equal(plain(one), files["a.css"])


@test
def a_wrong_key_is_told():
    need("gzip")
    with tempfile.TemporaryDirectory() as folder:
        for key, word in (("compress deflate", "deflate is no coding"), ("compress gzip gzip", "twice"),
                          ("compress on off", "on is no coding"), ("compress-level gzip 10", "1 to 9"),
                          ("compress-level br 11", "1 to 7"), ("compress-min 0", "not a number"),
                          ("compress-types html", "no media type"), ("compress-types text/*x", "no media type"),
                          ("compress-cache 0", "not a number")):
            with open(folder + "/c", "w", encoding="ascii") as file:
                file.write(f"http {{ listen :0; root {folder};\n{key}; }}\n")
            status, _, errors = output_of([PROGRAM, "serve", "--check", "--config", folder + "/c"])
            true(status == 1 and word in errors and "c:2: compress" in errors, f"{key}: {status} {errors}")


@test
def what_is_not_to_be_transformed_is_sent_as_it_is():
    need("gzip")
    files = {"a.css": prose(9000), "b/a.css": prose(9000), "c/a.css": prose(9000), "c/d.css": prose(9000)}
    keys = ["path /b/ { header Cache-Control 'public, no-transform'; }", "path /c/d.css { header Cache-Control no-transform; }"]
    with Compressing(files, keys, ends="") as server, Connection(server.port) as c:
        for path, coding in (("/a.css", "gzip"), ("/b/a.css", None), ("/c/a.css", "gzip"), ("/c/d.css", None)):
            answer = c.get(path, "Accept-Encoding: gzip")
            equal((answer.status, answer.fields.get("content-encoding")), (200, coding), path)
            equal("no-transform" in answer.fields.get("cache-control", ""), coding is None, path)
            equal(plain(answer), files[path[1:]])
    with Compressing(files, ["header Cache-Control no-transform", "compress on"]) as server, Connection(server.port) as c:
        equal(c.get("/a.css", "Accept-Encoding: gzip").fields.get("content-encoding"), None)


@test
def siblings_that_lie_there_come_first():
    need("gzip")
    with Compressing({"a.js": prose(9000), "a.js.gz": b"by hand"}) as server, Connection(server.port) as c:
        equal(c.get("/a.js", "Accept-Encoding: gzip").body, b"by hand")
        equal(c.get("/a.js", "Accept-Encoding: gzip, br").body, b"by hand")
        equal(server.count("compress_cache_misses_total"), 0)


@test
def head_says_what_get_would():
    long = prose(5 << 20)
    with Compressing({"a.css": prose(90000), "long.css": long, "noise.txt": random.Random(3).randbytes(9000)}) as server, \
            Connection(server.port) as c:
        for coding in CODINGS:
            for path in ("/a.css", "/long.css", "/noise.txt"):
                c.request("HEAD", path, f"Accept-Encoding: {coding}")
                head = c.answer(head=True)
                got = server.coded(c, path, coding)
                head.fields.pop("date")
                got.fields.pop("date")
                equal((head.status, head.fields), (got.status, got.fields), f"{path} {coding}")


# ---- conditions and ranges --------------------------------------------------------------------------------------


@test
def tags_of_each_coding_are_good_for_304_and_need_no_compressing():
    with Compressing({"a.css": prose(90000), "long.css": prose(5 << 20)}) as server, Connection(server.port) as c:
        for path in ("/a.css", "/long.css"):
            identity = c.get(path).fields["etag"]
            level = {"gzip": "-g6", "br": "-b5", "zstd": "-z3"}
            for coding in CODINGS:
                tag = identity[:-1] + level[coding] + '"'
                answer = server.coded(c, path, coding, f"If-None-Match: {tag}")
                equal((answer.status, answer.fields["etag"]), (304, tag), "the tag of the coding")
                equal(answer.fields["vary"], "Accept-Encoding")
                answer = server.coded(c, path, coding, f'If-None-Match: "x", W/{identity}')
                equal((answer.status, answer.fields["etag"]), (304, identity), "the client has the file as it is")
                answer = server.coded(c, path, coding, f'If-Match: {identity[:-1]}-x1"')
                equal(answer.status, 412)
                answer = server.coded(c, path, "identity", f"If-None-Match: {tag}")
                equal((answer.status, answer.fields["etag"]), (200, identity), "another representation")
        equal(server.count("compress_cache_misses_total") + server.count("compress_streams_total"), 0)
        for coding in CODINGS:
            tag = server.coded(c, "/a.css", coding).fields["etag"]
            equal(server.coded(c, "/a.css", coding, f"If-None-Match: {tag}").status, 304, "from the cache")


@test
def a_range_is_one_of_the_file_as_it_is():
    text = prose(90000)
    with Compressing({"a.css": text}) as server, Connection(server.port) as c:
        identity = c.get("/a.css").fields["etag"]
        for coding in CODINGS:
            for _ in range(2):
                part = server.coded(c, "/a.css", coding, "Range: bytes=1000-1999")
                equal((part.status, part.body), (206, text[1000:2000]))
                equal((part.fields.get("content-encoding"), part.fields["etag"]), (None, identity))
                equal(part.fields["vary"], "Accept-Encoding")
                coded = server.coded(c, "/a.css", coding)
                equal(coded.fields["content-encoding"], coding)
            late = server.coded(c, "/a.css", coding, "Range: bytes=10-19", f"If-Range: {coded.fields['etag']}")
            equal((late.status, late.body), (200, text), "a part of the coding cannot be had")
            only = server.coded(c, "/a.css", f"{coding}, identity;q=0", "Range: bytes=10-19")
            equal((only.status, only.fields["content-encoding"], only.body), (200, coding, coded.body))


# ---- the cache --------------------------------------------------------------------------------------------------


@test
def a_changed_file_shows_within_a_second_in_each_coding():
    with Compressing({"a.css": prose(9000, 1), "b.css": prose(200000, 1)}) as server, Connection(server.port) as c:
        for path, size in (("a.css", 9000), ("b.css", 200000)):
            tags = {coding: server.coded(c, "/" + path, coding).fields["etag"] for coding in CODINGS}
            for coding in CODINGS:
                equal(server.curl("/" + path, coding), prose(size, 1))
            server.write(path, prose(size, 2))
            changed = time.monotonic()
            for coding in CODINGS:
                asked = time.monotonic()
                while server.coded(c, "/" + path, coding).fields["etag"] == tags[coding]:
                    true(asked - changed < 1.1, "nobody who asks a second later sees the old")
                    time.sleep(0.02)
                    asked = time.monotonic()
                equal(server.curl("/" + path, coding), prose(size, 2), f"{path} {coding}")


@test
def many_who_ask_at_once_have_it_compressed_once():
    text = prose(2 << 20)
    with Compressing({"a.css": text}) as server, contextlib.ExitStack() as stack:
        for coding in CODINGS:
            before = server.count("compress_cache_misses_total")
            clients = [stack.enter_context(Connection(server.port, 30)) for _ in range(40)]
            for client in clients:
                client.request("GET", "/a.css", f"Accept-Encoding: {coding}")
            bodies = {client.answer().body for client in clients}
            equal(len(bodies), 1, "the same for all")
            equal(server.count("compress_cache_misses_total") - before, 1, f"{coding}: compressed once")
            equal(server.curl("/a.css", coding), text)


@test
def the_cache_gives_up_what_is_not_asked_for_and_stays_within_its_bound():
    need("gzip")
    files = {f"{i}.css": prose(100000, i) for i in range(80)}
    with Compressing(files, ["compress-cache 1"]) as server, Connection(server.port) as c:
        for _ in range(2):
            for name, text in files.items():
                true(plain(server.coded(c, "/" + name, "gzip")) == text, name)
                true(plain(server.coded(c, "/0.css", "gzip")) == files["0.css"], name)
                true(server.count("compress_cache_bytes") <= 1 << 20, "within its bound")
        true(server.count("compress_cache_evictions_total") > 40, "it gave up some")
        true(server.count("compress_cache_misses_total") <= 159, "0.css, asked for all the time, stayed")


@test
def clients_who_do_not_read_hold_what_was_given_up_within_the_bound():
    need("gzip")
    files = {f"{i}.css": prose(120000, i) for i in range(40)}
    with Compressing(files, ["compress-cache 1"]) as server, contextlib.ExitStack() as stack:
        for name in files:
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            for _ in range(40):
                client.sendall(f"GET /{name} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n".encode())
        with Connection(server.port) as c:
            for name, text in files.items():
                equal(plain(server.coded(c, "/" + name, "gzip")), text, name)
                true(server.count("compress_cache_bytes") <= 1 << 20, "within its bound")


@test
def past_the_bound_of_what_is_waited_for_files_are_sent_as_they_are():
    need("gzip")
    files = {f"{i}.css": prose(2 << 20, i) for i in range(8)}

    def asked_at_once(_patience):
        with Compressing(files, ["compress-level gzip 9"]) as server, contextlib.ExitStack() as stack:
            clients = [(stack.enter_context(Connection(server.port, 30)), text, name) for name, text in files.items()]
            serving = server.serving()
            os.kill(serving, signal.SIGSTOP)  # so that it meets all of them together, however slowly they are sent
            try:
                for client, _, name in clients:
                    client.request("GET", "/" + name, "Accept-Encoding: gzip")
            finally:
                os.kill(serving, signal.SIGCONT)
            answers = [(client.answer(), text) for client, text, _ in clients]
            for answer, text in answers:
                equal((answer.status, plain(answer)), (200, text))
            as_they_are = sum("content-encoding" not in answer.fields for answer, _ in answers)
            equal(as_they_are, server.count('compress_refused_total{reason="queue"}'), "sent as they are")
            true(1 <= as_they_are <= 5, f"8 MiB of 16 are waited for, or more as they are done: {as_they_are}")

    patiently(asked_at_once)


@test
def a_file_that_changes_while_it_is_compressed_is_sent_as_one_of_its_states():
    need("gzip")
    with Compressing({"a.css": prose(300000, 0)}) as server:
        stop = threading.Event()
        states = [prose(300000 - i, i) for i in range(6)]

        def change():
            number = 0
            while not stop.wait(0.003):
                number += 1
                server.write("a.css", states[number % len(states)])

        thread = threading.Thread(target=change)
        thread.start()
        bodies = {}
        try:
            with Connection(server.port) as c:
                end = time.monotonic() + 3
                while time.monotonic() < end or (len(bodies) < 2 and time.monotonic() < end + 60):
                    answer = server.coded(c, "/a.css", "gzip")
                    equal(answer.status, 200)
                    data = plain(answer)
                    true(data in states or data == prose(300000, 0), "one of its states")
                    equal(bodies.setdefault(answer.fields["etag"], data), data, "a tag stands for one content")
        finally:
            stop.set()
            thread.join()
        true(len(bodies) > 1, "it changed meanwhile")


# ---- long files -------------------------------------------------------------------------------------------------


@test
def long_files_are_compressed_as_they_are_sent():
    need()
    text = prose(5 << 20)
    with Compressing({"long.css": text, "zeros.txt": bytes(9 << 20)}) as server, Connection(server.port, 30) as c:
        for coding in CODINGS:
            answer = server.coded(c, "/long.css", coding)
            equal((answer.fields["content-encoding"], answer.fields["transfer-encoding"]), (coding, "chunked"))
            coded = answer.body
            true(len(coded) < len(text) / 2, "smaller")
            true(server.curl("/long.css", coding) == text, coding)
            true(server.curl("/zeros.txt", coding) == bytes(9 << 20), f"zeros as {coding}")
        part = server.coded(c, "/long.css", CODINGS[0], "Range: bytes=5000000-5000009")
        equal((part.status, part.body), (206, text[5000000:5000010]))
        true(c.get("/long.css").body == text, "as it is")
        c.send(f"GET /long.css HTTP/1.0\r\nAccept-Encoding: {CODINGS[-1]}\r\n\r\n".encode())
        head = b""
        while line := c.line():
            head += line.encode() + b" "
        with contextlib.suppress(ConnectionResetError):
            while True:
                c.more()
        true(b"Connection: close" in head and len(c.data) == len(coded), f"HTTP/1.0 gets it until the end: {head}")


class Lazy(Connection):
    """Reads when it is told to; meanwhile the server can put no more than some megabytes on the way."""

    def __init__(self, port, path):
        super().__init__(port, 30)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.request("GET", path, "Accept-Encoding: gzip")


@test
def clients_who_do_not_read_cost_a_stream_no_more_than_its_pieces():
    need("gzip")
    text = prose(20 << 20)
    with Compressing({"long.css": text}, ["compress-level gzip 1"]) as server, contextlib.ExitStack() as stack:
        lazy = [stack.enter_context(Lazy(server.port, "/long.css")) for _ in range(8)]
        until(lambda: server.count("compress_streams_total") == 8, "eight streams")
        with Connection(server.port, 30) as c:
            answer = server.coded(c, "/long.css", "gzip")
            equal("content-encoding" in answer.fields, False, "the ninth is sent as it is")
            true(answer.body == text, "all of it")
            equal(server.count('compress_refused_total{reason="streams"}'), 1)
            equal(server.count("compress_in_bytes_total"), 0, "none is ahead of its client")
            for client in lazy[2:]:
                client.close()
            for client in lazy[:2]:
                true(plain(client.answer()) == text, "those who read late get all of it")
            equal(server.count("compress_in_bytes_total"), 2 * len(text), "nobody works for those who went")
            true(plain(server.coded(c, "/long.css", "gzip")) == text, "and there is room again")


@test
def a_long_file_that_gets_shorter_while_it_is_sent_ends_its_connection():
    need("gzip")
    with Compressing({"long.css": prose(20 << 20)}, ["compress-level gzip 1"]) as server:
        with Lazy(server.port, "/long.css") as client:
            client.more()
            os.truncate(server.root + "/long.css", 5 << 20)
            try:
                client.answer()
                raise AssertionError("the answer looks whole")
            except ConnectionResetError:
                pass
        with Connection(server.port) as c:
            equal(len(plain(server.coded(c, "/long.css", "gzip"))), 5 << 20)


@test
def it_drains_while_it_compresses():
    need("gzip")
    text = prose(4 << 20)
    with Compressing({"a.css": text, "b.css": text, "long.css": prose(9 << 20)}, ["compress-level gzip 9"], more="drain-timeout 60s;") as server:
        clients = []
        for path in ("/a.css", "/b.css", "/long.css"):
            clients.append(Connection(server.port, 30))
            clients[-1].request("GET", path, "Accept-Encoding: gzip")
        until(lambda: server.count("compress_streams_total") == 1, "it has begun")
        clients[1].close()
        server.signal(signal.SIGTERM)
        true(plain(clients[0].answer()) == text, "what was asked for is sent")
        true(plain(clients[2].answer()) == prose(9 << 20), "what was being sent, too")
        for client in clients:
            client.close()
        equal(server.wait(80), 0)


if __name__ == "__main__":
    run()
