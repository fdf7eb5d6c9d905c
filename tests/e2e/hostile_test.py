# SPDX-License-Identifier: GPL-3.0-or-later
"""`gyre http DIR` where DIR is against it: links, special files, strange names, and a tree that changes under each request."""

import contextlib
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from urllib.parse import quote

from harness import PROGRAM, Connection, Skip, descriptors, equal, run, test, true, until
from trees import serving, write

BIG = 12 << 20


@contextlib.contextmanager
def meanwhile(change):
    """Calls `change` with 0, 1, … again and again while the block runs."""
    stop = threading.Event()

    def loop():
        number = 0
        while not stop.is_set():
            change(number)
            number += 1

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def put_in_place(root, name, make):
    """What `make` makes stands at `name` from one moment to the next."""
    make(root + "/.new")
    os.rename(root + "/.new", root + "/" + name)


# ---- links ----------------------------------------------------------------------------------------------------------


@test
def links_lead_anywhere_but_out():
    with serving({"d/a": "within", "d/index.html": "index"}) as (server, root), Connection(server.port) as c:
        for name, to, path, status, body in (
                ("to-file", "d/a", "", 200, b"within"), ("to-link", "to-file", "", 200, b"within"), ("to-dir", "d", "/a", 200, b"within"),
                ("to-dir-2", "./d/../d/", "/", 200, b"index"), ("dangling", "nothing", "", 404, None), ("self", "self", "", 404, None),
                ("a-loop", "b-loop", "", 404, None), ("b-loop", "a-loop", "", 404, None), ("out-file", "../secret", "", 404, None),
                ("out-dir", "../outside", "/secret", 404, None), ("out-dir-2", "../outside", "/", 404, None), ("out-dir-3", "..", "", 404, None),
                ("out-and-in", "../root/d/a", "", 404, None), ("absolute", root + "/d/a", "", 404, None), ("root", "/", "/etc/passwd", 404, None),
                ("proc", "/proc/self/cwd", "/", 404, None), ("magic", "/proc/self/fd/0", "", 404, None), ("dot", ".", "/d/a", 200, b"within"),
                ("long", "d/" * 1500 + "a", "", 404, None)):
            os.symlink(to, f"{root}/{name}")
            answer = c.get(f"/{name}{path}")
            equal(answer.status, status, f"{name} -> {to[:40]}")
            true(body is None or answer.body == body, name)
            true(b"secret" not in answer.body.replace(b"/secret", b""), name)
        equal(c.get("/to-dir").fields["location"], "/to-dir/")
        until(lambda: b">to-file<" in c.get("/").body, "a page from before the links is not kept")
        listing = c.get("/").body.decode()
        for name in ("dangling", "self", "out-file", "out-dir", "absolute", "root", "magic"):
            true(f">{name}<" not in listing and f">{name}/<" not in listing, f"{name} is not listed")
        true(">to-file<" in listing and ">to-dir/<" in listing, "what leads within is listed")


@test
def a_link_that_is_swapped_in_between_shows_nothing():
    count = 1500
    with serving({f"d/{i}": "within" for i in range(count)}, "--cache", "1") as (server, root):
        for i in range(count):
            write(f"{root}/../outside/{i}", "the secret")
        os.symlink("d", root + "/link")

        def swap(number):
            put_in_place(root, "link", lambda path: os.symlink("../outside" if number % 2 == 0 else "d", path))
            with contextlib.suppress(OSError):
                if number % 4 == 1:
                    os.rename(root + "/d", root + "/.d")
                    os.symlink("../outside", root + "/d")
                elif number % 4 == 3:
                    os.unlink(root + "/d")
                    os.rename(root + "/.d", root + "/d")

        # Each name is asked for once: what is known of a path is not looked at again for a while.
        statuses = {200: 0, 404: 0}
        with meanwhile(swap), Connection(server.port) as c:
            for i in range(count):
                for path in (f"/link/{i}", f"/d/{i}"):
                    answer = c.get(path)
                    true(b"the secret" not in answer.body, path)
                    statuses[answer.status] += 1
                if i % 100 == 0:
                    true(c.get("/d/").status in (200, 301, 404), "a listing, or nothing")
        true(statuses[200] > 10 and statuses[404] > 10, f"both were met: {statuses}")


# ---- special files --------------------------------------------------------------------------------------------------


@test
def special_files_are_refused_at_once():
    with serving({"a": "a"}) as (server, root):
        os.mkfifo(root + "/fifo")
        os.symlink("fifo", root + "/to-fifo")
        os.mkdir(root + "/d")
        os.mkdir(root + "/e")
        os.mkfifo(root + "/e/index.html")
        os.mkdir(root + "/d/index.html")
        names = ["fifo", "to-fifo", "socket", "e/"]
        with contextlib.suppress(PermissionError):
            for name, minor in (("null", 3), ("zero", 5), ("tty", 0)):
                os.mknod(f"{root}/{name}", 0o666 | 0o020000, os.makedev(5 if name == "tty" else 1, minor))
                names.append(name)
            os.mknod(root + "/disk", 0o666 | 0o060000, os.makedev(7, 0))
            names.append("disk")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(root + "/socket")
            # Nobody writes into the FIFO: who opened it to read would wait.
            with Connection(server.port) as c:
                for name in names:
                    begun = time.monotonic()
                    equal(c.get("/" + name).status, 403, name)
                    c.request("HEAD", "/" + name)
                    equal(c.answer(head=True).status, 403, name)
                    true(time.monotonic() - begun < 10, f"{name} makes nobody wait")
                true(c.get("/d/").status in (200, 403), "a directory in place of an index")
                page = c.get("/").body.decode()
                for name in names[:3]:
                    true(f">{name}<" not in page, f"{name} is not listed")


@test
def a_file_that_becomes_a_fifo_or_a_directory_stops_nobody():
    with serving({"a": "x" * 5000, "b": "b"}) as (server, root):
        def change(number):
            if number % 3 == 2:
                with contextlib.suppress(OSError):
                    os.unlink(root + "/a")
                    write(root + "/a/index.html", "index")
                    time.sleep(0.002)
                shutil.rmtree(root + "/a", ignore_errors=True)
            elif number % 3 == 1:
                put_in_place(root, "a", os.mkfifo)
            else:
                put_in_place(root, "a", lambda path: write(path, "x" * 5000))
            time.sleep(0.001)

        seen = set()
        with meanwhile(change), Connection(server.port) as c:
            begun = time.monotonic()
            # On a busy machine the changes may all happen between two questions for a while.
            while time.monotonic() < begun + 1.2 or (len(seen) == 1 and time.monotonic() < begun + 15):
                answer = c.get("/a")
                seen.add(answer.status)
                true(answer.status in (200, 301, 403, 404), f"{answer.status}")
                true(answer.status != 200 or answer.body in (b"x" * 5000, b"index"), "whole")
                equal(c.get("/b").body, b"b")
        true(len(seen) > 1, f"it was several things: {seen}")


# ---- files and directories that change while they are sent ----------------------------------------------------------


def begin(c, path):
    """Asks for a large file, and takes so little of it that most is still to be read."""
    c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    c.request("GET", path)
    until(lambda: c.more() or len(c.data) > 50000, "it begins")


def content(seed):
    return (b"%08d" % seed) * (BIG // 8)


@test
def what_happens_to_a_name_does_not_change_what_is_sent():
    def replace(path):
        write(path + ".new", content(2))
        os.rename(path + ".new", path)

    def move_folder(path):
        os.rename(os.path.dirname(path), os.path.dirname(path) + "-moved")
        write(path, content(2))

    def grow(path):
        with open(path, "ab") as file:
            file.write(content(2))

    for change, name in ((replace, "replaced"), (os.unlink, "deleted"), (grow, "grown"), (move_folder, "moved with its folder"),
                         (lambda path: os.chmod(path, 0), "forbidden")):
        with serving({"d/a": content(1)}, "--cache", "1") as (server, root), Connection(server.port) as c:
            begin(c, "/d/a")
            change(root + "/d/a")
            answer = c.answer()
            equal(int(answer.fields["content-length"]), BIG, name)
            true(answer.body == content(1), f"a file that is {name} arrives as it was")


@test
def a_file_that_is_emptied_ends_the_answer_and_not_the_server():
    with serving({"a": content(1), "b": "b"}, "--cache", "1") as (server, root):
        slow = [Connection(server.port) for _ in range(5)]
        for c in slow:
            begin(c, "/a")
        os.truncate(root + "/a", 0)
        for c in slow:
            with contextlib.suppress(ConnectionResetError):
                while c.socket.recv(1 << 20):
                    pass
            c.close()
        equal(server.get("/b").body, b"b")
        until(lambda: server.get("/a").body == b"", "the empty file shows")


@test
def a_file_that_is_written_anew_all_the_time_harms_nobody():
    with serving({"a": content(1), "b": "b"}, "--cache", "64") as (server, root):
        def rewrite(number):
            with open(root + "/a", "wb") as file:
                file.write(content(number)[:BIG // (1 + number % 7)])
            time.sleep(0.003)

        whole = cut = 0
        with meanwhile(rewrite):
            end = time.monotonic() + 1.2
            while time.monotonic() < end or (whole == 0 and time.monotonic() < end + 60):
                try:
                    with Connection(server.port) as c:
                        answer = c.get("/a")
                        equal(answer.status, 200)
                        equal(len(answer.body), int(answer.fields["content-length"]))
                        whole += 1
                except ConnectionResetError:
                    cut += 1  # it got shorter than its answer had said
                equal(server.get("/b").body, b"b")
        true(whole > 0, f"{whole} whole, {cut} cut")
        pid = server.pid
        true(descriptors(pid) < 100, "nothing is left open")


@test
def directories_that_come_and_go_are_listed_or_not():
    with serving({"d/a": "a", "b": "b"}) as (server, root):
        def change(number):
            if number % 2 == 0:
                with contextlib.suppress(OSError):
                    shutil.rmtree(root + "/d")
            else:
                for i in range(40):
                    write(f"{root}/d/{number}-{i}", "")

        with meanwhile(change), Connection(server.port) as c:
            end = time.monotonic() + 1
            while time.monotonic() < end:
                true(c.get("/d/").status in (200, 404), "listed or not there")
                true(c.get("/d").status in (301, 404), "redirected or not there")
                equal(c.get("/b").body, b"b")


# ---- what may not be read -------------------------------------------------------------------------------------------


@test
def what_the_server_may_not_read_is_403():
    more = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        more = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        reachable = subprocess.run([PROGRAM, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, cwd="/",
                                   **more) if os.access(PROGRAM, os.X_OK) else None
        if reachable is None or reachable.returncode != 0:
            raise Skip("another user cannot run the program where it lies")
        with contextlib.suppress(OSError), open("/proc/sys/kernel/io_uring_disabled", encoding="ascii") as file:
            if file.read().strip() != "0":
                raise Skip("kernel.io_uring_disabled leaves io_uring to the privileged here")
    with serving({"a": "a", "closed": "x", "d/a": "a", "e/a": "a", "listed-not/a": "a"}, **more) as (server, root), \
            Connection(server.port) as c:
        os.chmod(root + "/closed", 0)
        os.chmod(root + "/d", 0)
        os.chmod(root + "/e", 0o311)
        try:
            equal(c.get("/a").body, b"a")
            equal(c.get("/closed").status, 403)
            for path in ("/d/a", "/d/", "/d/none"):
                true(c.get(path).status in (403, 404), f"{path} is refused")
            equal(c.get("/e/a").body, b"a", "a directory that may be passed but not read")
            equal(c.get("/e/").status, 403)
        finally:
            os.chmod(root + "/d", 0o755)
            os.chmod(root + "/e", 0o755)


# ---- names ----------------------------------------------------------------------------------------------------------


@test
def a_name_may_have_any_byte():
    with serving({"index-not": ""}) as (server, root), Connection(server.port) as c:
        names = [b"n" + bytes([byte]) + b"n" for byte in range(1, 256) if byte != ord("/")]
        names += [bytes([byte]) for byte in range(1, 256) if byte not in b"/."]
        names += [b"\xff\xfe", b"a" * 255, b"\xe2\x82", "e\u0301".encode(), "\u202etxt.exe".encode(), b"%2e%2e", b"%", b"a%00b", b"...", b"a b  ",
                  b"-rf", b"--", b"?x=1", b"#", b"&amp;", b"'\"<>", b"\\..\\x", b"con", b"a:b", b"~", b"*"]
        names = [name for name in dict.fromkeys(names) if not name.startswith(b".")]
        for name in names:
            with open(os.fsencode(root) + b"/" + name, "wb") as file:
                file.write(name)
        for name in names:
            answer = c.get("/" + quote(name, safe=""))
            equal((answer.status, answer.body), (200, name), repr(name))
            everywhere = "".join(f"%{byte:02X}" for byte in name)
            equal(c.get("/" + everywhere).body, name, repr(name))
        until(lambda: b"txt.exe" in c.get("/").body, "a page from before is not kept")
        page = c.get("/").body.decode("utf-8")
        hrefs = re.findall(r'<td><a href="([^"]*)"', page)
        bodies = {c.get("/" + href.replace("&amp;", "&")).body for href in hrefs}
        equal(bodies, set(names) | {b""}, "every name is listed, as an address that leads to it")
        true(not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", page), "no control character is shown as it is")


@test
def a_very_deep_tree_is_served_as_far_as_paths_reach():
    with serving({"a": "a"}) as (server, root), Connection(server.port) as c:
        home = os.open(root, os.O_RDONLY)
        at = home
        for _ in range(1200):
            os.mkdir("d", dir_fd=at)
            below = os.open("d", os.O_RDONLY, dir_fd=at)
            if at != home:
                os.close(at)
            at = below
            with os.fdopen(os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=at), "w") as file:
                file.write("deep")
        os.close(at)
        try:
            for depth in (1, 100, 900, 1000):
                equal(c.get("/d" * depth + "/f").body, b"deep", f"{depth} folders")
                equal(c.get("/d" * depth + "/").status, 200, f"the listing {depth} folders deep")
            equal(c.get("/d" * 1100 + "/f").status, 414)
            equal(c.get("/d/.." * 300 + "/a").body, b"a", "as long, and not deep")
            equal(c.get("/d" * 7000).status, 414)
        finally:
            while True:  # from the inside out would be too deep for others' recursion
                try:
                    os.rename("d/d", "e", src_dir_fd=home, dst_dir_fd=home)
                except OSError:
                    break
                os.unlink("d/f", dir_fd=home)
                os.rmdir("d", dir_fd=home)
                os.rename("e", "d", src_dir_fd=home, dst_dir_fd=home)
            os.close(home)


@test
def a_file_of_a_tebibyte_is_served_from_where_one_asks():
    with serving({"a": "a"}) as (server, root), Connection(server.port) as c:
        try:
            with open(root + "/huge", "wb") as file:
                file.truncate(1 << 40)
                file.seek((1 << 40) - 4)
                file.write(b"tail")
        except OSError as error:
            raise Skip(f"no such file can be made here: {error}") from None
        c.request("HEAD", "/huge")
        equal(c.answer(head=True).fields["content-length"], str(1 << 40))
        answer = c.get("/huge", "Range: bytes=-4")
        equal((answer.status, answer.body), (206, b"tail"))
        equal(answer.fields["content-range"], f"bytes {(1 << 40) - 4}-{(1 << 40) - 1}/{1 << 40}")
        equal(c.get("/huge", f"Range: bytes={1 << 39}-{(1 << 39) + 9}").body, bytes(10))
        begin(c, "/huge")  # and goes away


# ---- heads in pieces ------------------------------------------------------------------------------------------------


@test
def a_long_head_in_many_pieces_is_answered_beside_another_listener():
    """The sessions of a worker with several listeners are shown their input in pieces, but never less than before."""
    with serving({"a": "a"}, "--admin", "127.0.0.1:0") as (server, _), Connection(server.port) as c:
        c.send(b"GET /a HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 3000)
        for _ in range(5):
            time.sleep(0.02)
            c.send(b"x" * 100)
        c.send(b"\r\n\r\n")
        equal(c.answer().status, 200)


# ---- readers who are slow -------------------------------------------------------------------------------------------


@test
def six_hundred_readers_who_do_not_read_hold_up_nobody():
    """tests/e2e/slow_readers does it with 10,000, and waits for their deadline."""
    with serving({"a": content(1), "b": "b" * 1000}, "--cache", "1") as (server, _):
        slow = []
        for _ in range(600):
            c = socket.socket()
            c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            c.connect(("127.0.0.1", server.port))
            c.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            slow.append(c)
        times = []
        with Connection(server.port) as c:
            for _ in range(300):
                begun = time.monotonic()
                equal(len(c.get("/b").body), 1000)
                times.append(time.monotonic() - begun)
        true(sorted(times)[296] < 3, f"the 99th percentile of the others is {sorted(times)[296] * 1000:.0f} ms")
        for c in slow[:50]:
            true(c.recv(1000).startswith(b"HTTP/1.1 200"), "a slow reader gets what it waits for")
        for c in slow:
            c.close()


# ---- a full disk ----------------------------------------------------------------------------------------------------


@test
def a_disk_that_fills_under_the_log_costs_lines_and_nothing_else():
    with tempfile.TemporaryDirectory() as disk:
        mount = 'mount -t tmpfs -o size=64k,mode=755 tmpfs "$0" && exec "$@"'
        before = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, disk]
        if shutil.which("unshare") is None or subprocess.run([*before, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                                             check=False).returncode != 0:
            raise Skip("a small file system can be mounted by root alone")
        with serving({"a": "a"}, "--access-log", disk + "/log", "--access-format", "json", "--admin", "127.0.0.1:0",
                     before=before) as (server, _):
            # The admin listener's port is in the log; the metrics are read from there.
            admin = int(re.search(r"admin\S* .*?:(\d+)", server.process.stdout.readline().decode() + server.log()).group(1))

            def metric(name):
                with Connection(admin) as c:
                    found = re.search(rf"^{name}(?:{{[^}}]*}})? ([0-9.]+)$", c.get("/metrics").body.decode(), re.M)
                return float(found.group(1)) if found else 0.0

            log = f"/proc/{server.pid}/root{disk}/log"
            waited = []
            with Connection(server.port) as c:
                while metric("gyre_access_log_dropped_total") < 500 and len(waited) < 20000:
                    for _ in range(500):
                        begun = time.monotonic()
                        equal(c.get("/a?" + "x" * 300).status, 200)
                        waited.append(time.monotonic() - begun)
                dropped = metric("gyre_access_log_dropped_total")
                true(dropped >= 500, f"lines are dropped and counted: {dropped} of {len(waited)}")
                true(os.path.getsize(log) <= 65536, "the disk is full")
                equal(server.log().count("No space left"), 1, "it is said once")
                slow = sorted(waited)[len(waited) * 97 // 100]  # a machine that stalls makes a few wait, a disk all of them
                true(slow < 1, f"nobody waited for the disk: 3 % longer than {slow:.3f} s")
                os.truncate(log, 0)
                until(lambda: "can be written again" in server.log(), "it goes on when there is room")
                said = int(re.search(r"written again; (\d+) lines were dropped", server.log()).group(1))
                true(said >= 500, f"{said} were said to be dropped")
                until(lambda: os.path.getsize(log) > 0, "lines come")
                equal(c.get("/a?after").status, 200)
            with open(log, "rb") as file:
                lines = [line for line in file.read().split(b"\n")[1:-1] if line.strip(b"\0")]
            for line in lines[:50]:
                equal(json.loads(line)["status"], 200)


if __name__ == "__main__":
    run()
