# SPDX-License-Identifier: GPL-3.0-or-later
"""`gyre http DIR`: a real tree, real requests, and what a hostile tree or a hostile client tries."""

import contextlib
import email.utils
import hashlib
import os
import random
import re
import socket
import threading
import time

from harness import PROGRAM, Connection, descriptors, equal, output_of, resident_bytes, run, test, true, until
from trees import serving, tree, write

SANITIZED = os.environ.get("GYRE_SANITIZE", "none") not in ("", "none")
BIG = 24 << 20


def whole(size, seed=1):
    return random.Random(seed).randbytes(size)


# ---- what is there ----------------------------------------------------------------------------------------------


@test
def files_are_served_with_their_type_and_validators():
    with serving({"index.html": "<p>home", "a.txt": "text", "b/c.svg": "<svg/>", "no-ending": "x", "E.JPG": "x",
                  "empty.css": "", "ü €.md": "utf"}) as (server, root), Connection(server.port) as c:
        for path, kind, body in (("/", "text/html; charset=utf-8", b"<p>home"), ("/a.txt", "text/plain; charset=utf-8", b"text"),
                                 ("/b/c.svg", "image/svg+xml", b"<svg/>"), ("/no-ending", "application/octet-stream", b"x"),
                                 ("/E.JPG", "image/jpeg", b"x"), ("/empty.css", "text/css; charset=utf-8", b""),
                                 ("/a.txt?query=/../x", "text/plain; charset=utf-8", b"text"),
                                 ("/%C3%BC%20%e2%82%ac.md", "text/markdown; charset=utf-8", b"utf"),
                                 ("/b/../a.txt", "text/plain; charset=utf-8", b"text"), ("//a.txt", "text/plain; charset=utf-8", b"text"),
                                 ("/b/%2e%2e/./a%2Etxt", "text/plain; charset=utf-8", b"text")):
            answer = c.get(path)
            equal((answer.status, answer.body), (200, body), path)
            equal(answer.fields["content-type"], kind, path)
            true(re.fullmatch(r'"[0-9a-f-]+"', answer.fields["etag"]), "a strong tag")
            equal(answer.fields["accept-ranges"], "bytes")
        stamp = os.stat(root + "/a.txt").st_mtime
        equal(c.get("/a.txt").fields["last-modified"], email.utils.formatdate(int(stamp), usegmt=True))


@test
def head_says_what_get_would():
    with serving({"a.txt": "text", "big": whole(300000), "d/x": ""}) as (server, _), Connection(server.port) as c:
        for _ in range(3):
            for path in ("/a.txt", "/big", "/none", "/d"):
                got = c.get(path)
                c.request("HEAD", path)
                head = c.answer(head=True)
                for name in ("content-length", "content-type", "etag", "location"):
                    equal(head.fields.get(name), got.fields.get(name), f"{name} of {path}")
                equal(head.status, got.status, path)


@test
def other_methods_are_405():
    with serving({"a": "a"}) as (server, _), Connection(server.port) as c:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            c.request(method, "/a", "Content-Length: 1", body=b"x")
            answer = c.answer()
            equal((answer.status, answer.fields["allow"]), (405, "GET, HEAD, OPTIONS"), method)
        c.request("OPTIONS", "/a")
        equal(c.answer().status, 204)


@test
def a_directory_wants_its_slash():
    with serving({"d/index.html": "index", "d e/f": "", "x?y/f": ""}) as (server, _), Connection(server.port) as c:
        for path, location in (("/d", "/d/"), ("/d?a=b&c", "/d/?a=b&c"), ("/d%20e", "/d%20e/"), ("/x%3Fy", "/x%3Fy/"),
                               ("//d", "/d/"), ("/%2e/d", "/d/")):
            answer = c.get(path)
            equal((answer.status, answer.fields["location"]), (301, location), path)
        equal(c.get("/d/").body, b"index")
        equal(c.get("/d/index.html/").status, 404, "a file has none")
        equal(c.get("/d/..").status, 200, "the root, listed")


# ---- listings ---------------------------------------------------------------------------------------------------


@test
def listings_escape_names_and_sort():
    hostile = '<script>alert("1")&\'</script>'.replace("/", "\u2215")
    with serving({hostile: "x", "b10": "x" * 10, "b9": "x" * 2000, "javascript:alert(1)": "", "a?b#c%2f": "y",
                  "sub/one": "", ".hidden": "", "tab\tname": ""}) as (server, root), Connection(server.port) as c:
        os.symlink("/etc/passwd", root + "/escapes")
        os.symlink("b9", root + "/within")
        os.mkfifo(root + "/fifo")
        until(lambda: b">within<" in c.get("/").body, "a page from before they were there is not kept", 10)
        page = c.get("/").body.decode()
        equal(c.get("/").fields["content-type"], "text/html; charset=utf-8")
        true("default-src 'none'" in c.get("/").fields["content-security-policy"], "a strict policy")
        true("<script" not in page and "alert(&quot;1&quot;)&amp;&#39;" in page, "a name is escaped")
        true('href="javascript:' not in page and 'href="javascript%3Aalert%281%29"' in page, "a name is no scheme")
        true('href="a%3Fb%23c%252f"' in page, "a name is no query")
        for name in (".hidden", "escapes", "fifo"):
            true(name not in page, f"{name} is not listed")
        true(">within<" in page and ">sub/<" in page, "links within and directories are")
        for path in re.findall(r'<td><a href="([^"]*)"', page):
            equal(c.get("/" + path).status, 200, path)

        def order(query):
            return re.findall(r">(b9|b10)<", c.get("/" + query).body.decode())

        equal(order(""), ["b9", "b10"])
        equal(order("?sort=size"), ["b10", "b9"])
        equal(order("?sort=size&order=desc"), ["b9", "b10"])
        equal(order("?sort=name&order=desc"), ["b10", "b9"])
        true('href="../"' in c.get("/sub/").body.decode(), "the way up")


@test
def listings_can_be_turned_off():
    with serving({"d/a": "x"}, "--no-listing") as (server, _), Connection(server.port) as c:
        equal(c.get("/d/").status, 404)
        equal(c.get("/d/a").body, b"x")


@test
def many_ask_for_one_listing_at_once_and_a_change_shows_within_a_second():
    with serving({f"{i}": "" for i in range(500)}) as (server, root), contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(server.port)) for _ in range(100)]
        for number, connection in enumerate(connections):  # the bound is on readings under way, and they share one
            connection.request("GET", f"/?sort=name&order={'desc' if number % 2 else 'asc'}")
        pages = [connection.answer() for connection in connections]
        equal({page.status for page in pages}, {200}, "the answers' statuses")
        equal(len({page.body for page in pages}), 2, "pages in two orders")
        with open(root + "/new-one", "w", encoding="ascii"):
            until(lambda: b"new-one" in connections[0].get("/").body, "a new file is listed", 10)


@test
def a_listing_is_not_lost_when_its_client_is():
    with serving({f"{i}": "" for i in range(2000)}) as (server, _):
        for _ in range(30):
            connection = Connection(server.port)
            connection.request("GET", "/")
            connection.close()
        until(lambda: server.get("/").status == 200, "those that nobody waits for are dropped")


# ---- what must not be served ------------------------------------------------------------------------------------

TRAVERSALS = """
/../secret /../../secret /%2e%2e/secret /%2E%2e/secret /..%2fsecret /..%2Fsecret /%2e%2e%2fsecret /..%5csecret /..\\secret
/d/../../secret /d/%2e%2e/%2e%2e/secret /d/..%2f..%2fsecret /.%2e/secret /%2e./secret /%252e%252e/secret /%252e%252e%252fsecret
/..%c0%afsecret /%c0%ae%c0%ae/secret /%c0%2e%c0%2e/secret /..%ef%bc%8fsecret /%uff0e%uff0e/secret /..;/secret /..%00/secret
/secret%00.txt /d/....//....//secret /...//secret /./../secret /d/./../../secret //../secret ///../../secret /d//..//..//secret
/%2f../secret /%2e%2e%2f%2e%2e%2fsecret /..%252fsecret /d/..%255c..%255csecret /~/secret /file:///etc/passwd //etc/passwd
/%2fetc%2fpasswd /%2Fetc/passwd /proc/self/environ /d%2f..%2f..%2fsecret /..?/../secret /.. /../ /%2e%2e /d/../.. /%zz /%2 /%
/.%0d%0a./secret /..%09/secret /..%20/secret /%20../secret /d/.../secret /..%u2215secret /%25%32%65%25%32%65/secret
/escape /escape-dir/passwd /escape-relative /deep/escape/secret
""".split()


@test
def nothing_leads_out_of_the_directory():
    with serving({"d/a": "a", "index.html": "home"}) as (server, root):
        os.symlink("/etc/passwd", root + "/escape")
        os.symlink("/etc", root + "/escape-dir")
        os.symlink("../secret", root + "/escape-relative")
        os.mkdir(root + "/deep")
        os.symlink("../..", root + "/deep/escape")
        for target in TRAVERSALS:
            with Connection(server.port) as c:
                answer = c.get(target)
                true(answer.status in (400, 404) or (answer.status, answer.body) == (200, b"home"),
                     f"{target} is refused, not {answer.status}")
                true(b"the secret" not in answer.body and b"root:" not in answer.body, f"{target} shows nothing")


@test
def dot_files_fifos_and_devices_are_not_served():
    with serving({".git/config": "x", ".env": "x", "d/.x/y": "x", ".well-known/security.txt": "ok", "f/g": "g"}) as (server, root):
        os.mkfifo(root + "/fifo")
        os.mkfifo(root + "/f/index.html")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(root + "/socket")
        with contextlib.suppress(PermissionError):
            os.mknod(root + "/null", 0o666 | 0o020000, os.makedev(1, 3))
        with Connection(server.port, 5) as c:
            for path in ("/.git/config", "/.env", "/d/.x/y", "/.git/", "/%2egit/config"):
                equal(c.get(path).status, 404, path)
            equal(c.get("/.well-known/security.txt").body, b"ok")
            for path in ("/fifo", "/socket", "/f/"):
                equal(c.get(path).status, 403, path)
            if os.path.exists(root + "/null"):
                equal(c.get("/null").status, 403)
            write(root + "/closed", "x")
            os.chmod(root + "/closed", 0)
            if os.geteuid() != 0:
                equal(c.get("/closed").status, 403)


@test
def links_within_the_directory_are_followed():
    with serving({"a/real": "real"}) as (server, root), Connection(server.port) as c:
        os.symlink("a/real", root + "/link")
        os.symlink("../a/real", root + "/a/up")
        os.symlink("loop", root + "/loop")
        equal(c.get("/link").body, b"real")
        equal(c.get("/a/up").body, b"real")
        equal(c.get("/loop").status, 404)


# ---- conditional requests ---------------------------------------------------------------------------------------


@test
def preconditions_follow_their_order():
    with serving({"a.txt": "text"}) as (server, root), Connection(server.port) as c:
        os.utime(root + "/a.txt", (1000000000, 1000000000))
        first = c.get("/a.txt")
        tag, date = first.fields["etag"], first.fields["last-modified"]
        equal(date, "Sun, 09 Sep 2001 01:46:40 GMT")
        before, after = "Sun, 09 Sep 2001 01:46:39 GMT", "Sun, 09 Sep 2001 01:46:41 GMT"
        for fields, status in (
                ([f"If-None-Match: {tag}"], 304), ([f"If-None-Match: W/{tag}"], 304), (["If-None-Match: *"], 304),
                ([f'If-None-Match: "a,b", {tag}'], 304), (['If-None-Match: "other"'], 200),
                ([f"If-Modified-Since: {date}"], 304), ([f"If-Modified-Since: {after}"], 304),
                ([f"If-Modified-Since: {before}"], 200), (["If-Modified-Since: nonsense"], 200),
                (["If-Modified-Since: Sunday, 09-Sep-01 01:46:40 GMT"], 304), (["If-Modified-Since: Sun Sep  9 01:46:40 2001"], 304),
                (['If-None-Match: "other"', f"If-Modified-Since: {date}"], 200),
                ([f"If-Match: {tag}"], 200), (["If-Match: *"], 200), (['If-Match: "other"'], 412), ([f"If-Match: W/{tag}"], 412),
                ([f"If-Unmodified-Since: {date}"], 200), ([f"If-Unmodified-Since: {before}"], 412),
                ([f"If-Match: {tag}", f"If-Unmodified-Since: {before}"], 200),
                (['If-Match: "other"', f"If-None-Match: {tag}"], 412), ([f"If-Match: {tag}", f"If-None-Match: {tag}"], 304)):
            answer = c.get("/a.txt", *fields)
            equal(answer.status, status, " ".join(fields))
            if status == 304:
                equal((answer.fields["etag"], answer.body), (tag, b""))


@test
def a_listing_has_no_validators_but_is_there():
    with serving({"d/a": "a"}) as (server, _), Connection(server.port) as c:
        for field, status in (("If-None-Match: *", 304), ('If-None-Match: "x"', 200), ("If-Match: *", 200), ('If-Match: "x"', 412),
                              ("If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", 200),
                              ("If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT", 200)):
            equal(c.get("/d/", field).status, status, field)


# ---- ranges -----------------------------------------------------------------------------------------------------


def expected_ranges(spec, size):
    """The reference: None to ignore, [] for 416, else (first, last) pairs."""
    found, total = [], 0
    for part in spec.split(","):
        part = part.strip()
        if not part:
            continue
        match = re.fullmatch(r"(\d*)-(\d*)", part)
        if not match or part == "-":
            return None
        first, last = match.groups()
        if first == "":
            count = min(int(last), size)
            if count:
                found.append((size - count, size - 1))
            continue
        first, last = int(first), int(last) if last else size - 1
        if match.group(2) and last < first:
            return None
        if first < size:
            found.append((first, min(last, size - 1)))
    total = sum(b - a + 1 for a, b in found)
    if total > size or len([p for p in spec.split(",") if p.strip()]) > 16 or not spec.strip(", "):
        return None
    return found


def check_range(c, path, data, spec):
    answer = c.get(path, "Range: bytes=" + spec)
    wanted = expected_ranges(spec, len(data))
    what = f"{path} {spec} of {len(data)}"
    if wanted is None:
        equal((answer.status, answer.body == data), (200, True), what)
    elif not wanted:
        equal((answer.status, answer.fields["content-range"]), (416, f"bytes */{len(data)}"), what)
    elif len(wanted) == 1:
        a, b = wanted[0]
        equal((answer.status, answer.fields["content-range"]), (206, f"bytes {a}-{b}/{len(data)}"), what)
        true(answer.body == data[a:b + 1], what)
    else:
        equal(answer.status, 206, what)
        boundary = re.fullmatch(r"multipart/byteranges; boundary=(\S+)", answer.fields["content-type"]).group(1).encode()
        parts = (b"\r\n" + answer.body).split(b"\r\n--" + boundary)
        equal((parts[0], parts[-1]), (b"", b"--\r\n"), what)
        equal(len(parts) - 2, len(wanted), what)
        for part, (a, b) in zip(parts[1:-1], wanted):
            head, body = part.split(b"\r\n\r\n", 1)
            true(f"Content-Range: bytes {a}-{b}/{len(data)}".encode() in head, what)
            true(body == data[a:b + 1], what)


@test
def ranges_are_what_a_reference_says():
    sizes = (0, 1, 10, 65488, 65489, 200000, 6000000)
    files = {f"{size}": whole(size, size) for size in sizes}
    source = random.Random(5)
    with serving(files) as (server, _), Connection(server.port) as c:
        for name, data in files.items():
            size = len(data)
            specs = ["0-0", "0-", "-1", "-0", "1-", "5-2", "-", "a-b", "0-0,-1", "0-1,3-4,6-8", "9-,0-0", ",0-0,", "0 - 1",
                     f"{size}-", f"{size - 1 if size else 0}-", f"-{size}", f"-{size + 1}", "0-99999999999999999999999",
                     "99999999999999999999-", "0-0," * 17, "0-," * 3, "0-0,0-0"]
            for _ in range(12):
                specs.append(",".join(f"{a}-{a + source.randrange(max(size // 4, 1))}" for a in
                                      (source.randrange(size + 2) for _ in range(source.randrange(1, 4)))))
            for spec in specs:
                check_range(c, "/" + name, data, spec)
        equal(c.get("/10", "Range: lines=0-1").status, 200, "another unit")
        equal(c.get("/10", "Range: bytes=0-1", "Range: bytes=2-3").status, 200, "two fields")
        c.request("HEAD", "/10", "Range: bytes=0-1")
        equal(c.answer(head=True).status, 200, "Range is for GET")


@test
def if_range_wants_the_same_file():
    with serving({"a": "0123456789"}) as (server, root), Connection(server.port) as c:
        os.utime(root + "/a", (1000000000, 1000000000))
        first = c.get("/a")
        for value, status in ((first.fields["etag"], 206), ("W/" + first.fields["etag"], 200), ('"other"', 200),
                              (first.fields["last-modified"], 206), ("Sun, 09 Sep 2001 01:46:41 GMT", 200), ("x", 200)):
            equal(c.get("/a", "Range: bytes=0-1", "If-Range: " + value).status, status, value)


# ---- codings ----------------------------------------------------------------------------------------------------


@test
def compressed_siblings_are_for_those_who_accept_them():
    with serving({"a.js": "plain", "a.js.br": "BR", "a.js.gz": "GZIP", "a.js.zst": "ZSTD", "b.js": "plain", "b.js.gz": "GZIP",
                  "c.png": "plain", "c.png.gz": "GZIP"}) as (server, _), Connection(server.port) as c:
        for path, accept, body, coding in (
                ("/a.js", None, b"plain", None), ("/a.js", "", b"plain", None), ("/a.js", "br, gzip, zstd", b"BR", "br"),
                ("/a.js", "gzip", b"GZIP", "gzip"), ("/a.js", "gzip;q=1.0, br;q=0.5", b"GZIP", "gzip"),
                ("/a.js", "zstd;q=0.9, gzip;q=0.8", b"ZSTD", "zstd"), ("/a.js", "br;q=0, gzip;q=0", b"plain", None),
                ("/a.js", "*", b"BR", "br"), ("/a.js", "*, br;q=0", b"ZSTD", "zstd"), ("/a.js", "identity", b"plain", None),
                ("/b.js", "br, gzip", b"GZIP", "gzip"), ("/b.js", "br", b"plain", None), ("/c.png", "gzip", b"plain", None)):
            answer = c.get(path, *([f"Accept-Encoding: {accept}"] if accept is not None else []))
            equal((answer.body, answer.fields.get("content-encoding")), (body, coding), f"{path} for {accept}")
            equal(answer.fields.get("vary"), "Accept-Encoding" if path.endswith("js") else None, path)
            if path.endswith("js"):
                equal(answer.fields["content-type"], "text/javascript; charset=utf-8")
        tags = {c.get("/a.js", f"Accept-Encoding: {coding}").fields["etag"] for coding in ("br", "gzip", "zstd", "identity")}
        equal(len(tags), 4, "each has a tag of its own")
        equal(c.get("/a.js", "Accept-Encoding: br", "Range: bytes=1-1").body, b"R", "a range of what is sent")


@test
def siblings_can_be_turned_off():
    with serving({"a.js": "plain", "a.js.br": "BR"}, "--no-precompressed") as (server, _):
        with Connection(server.port) as c:
            equal(c.get("/a.js", "Accept-Encoding: br").body, b"plain")


# ---- files that change ------------------------------------------------------------------------------------------


@test
def a_changed_file_shows_within_a_second():
    with serving({"a": "old", "b": "old", "big": whole(400000, 1)}) as (server, root), Connection(server.port) as c:
        for _ in range(3):
            equal(c.get("/a").body, b"old")
            equal(c.get("/new").status, 404)
            true(c.get("/big").body == whole(400000, 1), "the first content")
        tag = c.get("/a").fields["etag"]
        write(root + "/a", "new")  # as long as before, in place
        write(root + "/b.tmp", "renamed")
        os.rename(root + "/b.tmp", root + "/b")
        write(root + "/new", "here")
        write(root + "/big", whole(400000, 2))
        changed = time.monotonic()
        seen, stale = set(), {}
        while len(seen) < 4 and time.monotonic() < changed + 20:
            for path, body in (("/a", b"new"), ("/b", b"renamed"), ("/new", b"here"), ("/big", whole(400000, 2))):
                asked = time.monotonic() - changed  # when the answer comes is the machine's, what is in it the server's
                if path not in seen and c.get(path).body == body:
                    seen.add(path)
                elif path not in seen:
                    stale[path] = asked
            time.sleep(0.02)
        equal(len(seen), 4, f"all show: {seen}")
        true(all(asked < 1.1 for asked in stale.values()), f"nobody who asks a second later sees the old: {stale}")
        true(c.get("/a").fields["etag"] != tag, "another tag")
        os.unlink(root + "/a")
        time.sleep(1.1)
        until(lambda: c.get("/a").status == 404, "a file that went", 1)


@test
def a_file_that_changes_all_the_time_is_served_as_one_of_its_states():
    with serving({"a": "x" * 3000}) as (server, root), Connection(server.port) as c:
        stop = threading.Event()

        def change():
            number = 0
            while not stop.is_set():
                number += 1
                with open(root + "/a.tmp", "w", encoding="ascii") as file:
                    file.write(chr(97 + number % 26) * (2000 + number % 2000))
                os.rename(root + "/a.tmp", root + "/a")

        thread = threading.Thread(target=change)
        thread.start()
        try:
            end = time.monotonic() + 2.5
            while time.monotonic() < end:
                answer = c.get("/a")
                equal(answer.status, 200)
                equal(len(set(answer.body)), 1, "letters in one body")
        finally:
            stop.set()
            thread.join()


@test
def a_file_that_shrinks_while_it_is_sent_is_cut_off():
    with serving({"a": whole(BIG)}, "--cache", "1") as (server, root), Connection(server.port) as c:
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        c.request("GET", "/a")
        until(lambda: c.more() or len(c.data) > 100000, "it begins")
        os.truncate(root + "/a", 1 << 20)
        received = len(c.data)
        with contextlib.suppress(ConnectionResetError):
            while data := c.socket.recv(1 << 20):
                received += len(data)
        true(received < BIG, f"it ends early: {received}")
        equal(server.get("/a").status, 200, "the server goes on")


# ---- large files, many of them, slow readers --------------------------------------------------------------------


@test
def large_files_arrive_whole():
    data = {name: whole(size, size) for name, size in (("a", BIG), ("b", 3 << 20), ("c", 65488), ("d", 65489), ("e", 1 << 20))}
    with serving(data, "--cache", "16") as (server, _), Connection(server.port) as c:
        for _ in range(3):
            for name, body in data.items():
                equal(hashlib.sha256(c.get("/" + name).body).digest(), hashlib.sha256(body).digest(), name)


@test
def a_small_cache_serves_many_files():
    files = {f"{i % 10}/{i}": whole(random.Random(i).randrange(20000), i) for i in range(600)}
    with serving(files, "--cache", "1") as (server, _), Connection(server.port) as c:
        source = random.Random(3)
        names = list(files)
        for _ in range(4):
            source.shuffle(names)
            for name in names:
                true(c.get("/" + name).body == files[name], name)


@test
def slow_readers_do_not_hold_much_memory():
    with serving({"a": whole(BIG), "b": "small"}, "--cache", "1") as (server, _):
        before = resident_bytes(server.pid)
        slow = []
        for _ in range(200):
            connection = Connection(server.port)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.request("GET", "/a")
            slow.append(connection)
        time.sleep(0.5)
        with Connection(server.port) as c:
            for _ in range(20):
                equal(c.get("/b").body, b"small", "others are served")
        pids = [server.pid, *(int(p) for p in os.listdir("/proc") if p.isdigit() and parent(p) == server.pid)]
        grown = sum(resident_bytes(pid) for pid in pids) - before
        true(SANITIZED or grown < 200 << 20, f"{grown >> 20} MiB for 200 slow readers")
        for connection in slow:
            connection.close()


def parent(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return int(file.read().rsplit(")", 1)[1].split()[1])
    return -1


@test
def clients_that_leave_leave_nothing_open():
    with serving({"a": whole(BIG), "b": whole(100000)}, "--cache", "1") as (server, _):
        pids = [int(p) for p in os.listdir("/proc") if p.isdigit() and parent(p) == server.pid]
        server.get("/b")
        before = sum(descriptors(pid) for pid in pids)
        for _ in range(60):
            connection = Connection(server.port)
            connection.request("GET", random.choice(("/a", "/b", "/none", "/")))
            connection.close()
        until(lambda: sum(descriptors(pid) for pid in pids) <= before + 4, "descriptors are closed")


@test
def pipelined_requests_are_answered_in_order():
    with serving({"a": "A", "b": whole(90000), "d/x": ""}) as (server, _), Connection(server.port) as c:
        wanted = [("/a", b"A"), ("/b", whole(90000)), ("/none", None), ("/d/", None), ("/a", b"A")] * 6
        c.send(b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path, _ in wanted))
        for path, body in wanted:
            answer = c.answer()
            true(body is None or answer.body == body, path)


# ---- the command ------------------------------------------------------------------------------------------------


@test
def a_directory_that_cannot_be_served_is_named():
    with tree() as root:
        write(root + "/file", "x")
        for path, words in ((root + "/none", "no such directory"), (root + "/file", "not a directory")):
            status, _, errors = output_of([PROGRAM, "http", path, "--listen", "127.0.0.1:0"])
            equal(status, 1, path)
            true(path in errors and words in errors, errors)
        status, _, errors = output_of([PROGRAM, "http", root, root + "/file"])
        equal(status, 2)
        status, _, errors = output_of([PROGRAM, "http", root, "--cache", "x"])
        equal(status, 2)
        true("--cache x" in errors, errors)


if __name__ == "__main__":
    run()
