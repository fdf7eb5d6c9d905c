# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre rudp send and recv: files to and from `gyre rudp serve --drop` and `--share`."""

import hashlib
import os
import random
import signal
import socket
import subprocess
import tempfile

from harness import ALARMS, PROGRAM, Skip, equal, free_ports, output_of, patiently, run, test, true, until
from reliable import Certificates, Rudp
from scripted import Datagrams

PLAIN = ("--plaintext",)


class Files(Rudp):
    """A server of files, in a folder of its own with `drop` and `mine`."""

    def __init__(self, *flags, share=True, mode=PLAIN, workers=2):
        self.folder = tempfile.TemporaryDirectory()
        self.drop = os.path.join(self.folder.name, "drop")
        self.mine = os.path.join(self.folder.name, "mine")
        os.mkdir(self.drop)
        os.mkdir(self.mine)
        self.flags = ("--drop", self.drop, *(("--share", self.drop) if share else ()), *flags)
        super().__init__(*self.flags, mode=mode, workers=workers)

    def __exit__(self, *rest):
        super().__exit__(*rest)
        self.folder.cleanup()

    def make(self, name, content):
        path = os.path.join(self.mine, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def dropped(self, name):
        with open(os.path.join(self.drop, name), "rb") as file:
            return file.read()

    def put(self, name, content):
        with open(os.path.join(self.drop, name), "wb") as file:
            file.write(content)


def command(verb, *arguments, mode=PLAIN, port=None, status=0, seconds=60, **more):
    """Its output and what it said; `port` stands for @ in the arguments."""
    words = [word.replace("@", f"127.0.0.1:{port}") for word in arguments]
    done = subprocess.run([PROGRAM, "rudp", verb, *words, *mode], capture_output=True, timeout=seconds, check=False, **more)
    said = done.stderr.decode()
    true(not ALARMS.search(said), f"nothing complains: {said[-3000:]}")
    equal(done.returncode, status, f"the exit status of {verb} {words}; {said}")
    return done.stdout, said


@test
def who_serves_must_have_the_rights_to_the_directories():
    if os.geteuid() != 0:
        raise Skip("only root becomes another user")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # not nobody's to write
        for flag, mode in (("--drop", 0o755), ("--share", 0o700)):
            os.chmod(folder, mode)
            status, _, errors = output_of([PROGRAM, "rudp", "serve", "--plaintext", "--user", "nobody", "--workers", "2", "--listen",
                                           "127.0.0.1:0", flag, folder], 30)
            equal(status, 1, errors)
            true(f"gyre: {flag[2:]} {folder}: it may not be " in errors and "uid 65534" in errors, errors)


def noise(count, seed=1):
    return random.Random(seed).randbytes(count)


class Lossy(Datagrams):
    """Relays the datagrams of one client, all but each so many, until it is told to cut: then nothing passes."""

    def __init__(self, port, every):
        self.server, self.every, self.passed, self.bytes, self.limit = ("127.0.0.1", port), every, 0, 0, None
        super().__init__()

    def run(self):
        clients = {}  # by its socket to the server
        for ready in self.ready(clients):
            try:
                data, sender = ready.recvfrom(65536)
            except ConnectionRefusedError:
                continue
            self.passed += 1
            self.bytes += len(data)
            lost = (self.every and self.passed % self.every == 0) or (self.limit and self.bytes > self.limit)
            if ready is not self.socket:
                if not lost:
                    self.socket.sendto(data, clients[ready])
                continue
            outer = next((outer for outer, client in clients.items() if client == sender), None)
            if outer is None:
                outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                outer.connect(self.server)
                clients[outer] = sender
            if not lost:
                outer.send(data)
        for outer in clients:
            outer.close()


@test
def a_directory_that_is_not_there_is_told_before_anybody_is_told_that_it_listens():
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "file")
        open(file, "wb").close()
        for flags, why in ((("--drop", f"{folder}/none"), "no such directory"), (("--share", file), "not a directory"),
                           (("--echo", "--qlog", f"{folder}/none"), "no such directory")):
            out, said = command("serve", *flags, "--listen", "@", port=free_ports(1)[0], status=1)
            equal(out, b"", f"what {flags} says")
            true(why in said, f"why {flags} fails: {said}")
        _, said = command("ping", "@", "--qlog", f"{folder}/none", port=free_ports(1)[0], status=2)
        true("no such directory" in said, f"why a client fails: {said}")


@test
def files_of_all_lengths_go_there_and_back_encrypted():
    with Certificates() as files, Files(mode=("--tls", files.server)) as server:
        contents = {"empty": b"", "one": b"x", "edge": noise(64512), "behind": noise(64513), "some": noise(3000000)}
        paths = [server.make(name, content) for name, content in contents.items()]
        command("send", *paths, "@", port=server.port, mode=files.trust)
        for name, content in contents.items():
            true(server.dropped(name) == content, name)
        equal(sorted(os.listdir(server.drop)), sorted(contents), "no part is left")
        back = os.path.join(server.folder.name, "back")
        os.mkdir(back)
        names = list(contents)
        command("recv", "@/" + names[0], *names[1:], port=server.port, mode=files.trust, cwd=back)
        for name, content in contents.items():
            with open(os.path.join(back, name), "rb") as file:
                true(file.read() == content, name)
        equal(sorted(os.listdir(back)), sorted(contents), "no part is left")


@test
def sixty_four_mebibytes_are_the_same_at_the_other_end():
    with Files() as server:
        content = noise(1 << 20) * 64
        path = server.make("big", content)
        command("send", path, "@", port=server.port)
        equal(hashlib.sha256(server.dropped("big")).digest(), hashlib.sha256(content).digest())
        output, _ = command("recv", "@/big", "-o", "-", port=server.port)
        equal(hashlib.sha256(output).digest(), hashlib.sha256(content).digest())


@test
def what_is_lost_on_the_way_arrives_all_the_same():
    with Files() as server, Lossy(server.port, 25) as path:
        content = noise(2000000)
        command("send", server.make("lossy", content), "@", port=path.port)
        true(server.dropped("lossy") == content, "sent")
        output, _ = command("recv", "@/lossy", "-o", "-", port=path.port)
        true(output == content, "received")


@test
def pipes_are_sent_and_received():
    with Files() as server:
        content = noise(700001)
        command("send", "-", "@", "--name", "piped", port=server.port, input=content)
        true(server.dropped("piped") == content, "sent")
        output, _ = command("recv", "@/piped", "-o", "-", port=server.port)
        true(output == content, "received")
        _, said = command("send", "-", "@", port=server.port, status=2)
        true("--name" in said, said)


def parts(folder):
    return {name: os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder) if name.endswith(".part")}


def resumed(server, sender_dies, timeout):
    """Cuts a transfer off in its middle by killing one end; the next one goes on. How many bytes passed then."""
    content = noise(1 << 20, seed=7) * 12
    path = server.make("resumed", content)
    with Lossy(server.port, 0) as way:
        way.limit = 5 << 20
        sender = subprocess.Popen([PROGRAM, "rudp", "send", path, f"127.0.0.1:{way.port}", "--plaintext", "--timeout", timeout],
                                  stderr=subprocess.PIPE)
        until(lambda: way.bytes > way.limit and parts(server.drop).get(".resumed.part", 0) > 1 << 20, "it is in its middle")
        if sender_dies:
            sender.kill()
        else:
            os.kill(int(server.log().rsplit("process ", 1)[1].split()[0]), signal.SIGKILL)
            until(lambda: server.log().count(" serves") == 2, "another process serves")
        size = parts(server.drop)[".resumed.part"]
        true(1 << 20 < size < len(content), f"there is a part of {size} bytes")
        way.bytes, way.limit = 0, None
        if sender_dies:
            sender.wait()
            sender.stderr.close()
            command("send", path, "@", "--timeout", timeout, port=way.port)
        else:
            said = sender.communicate(timeout=80)[1].decode()
            equal(sender.returncode, 0, said)
        true(server.dropped("resumed") == content, "it is the same file")
        equal(parts(server.drop), {})
        return way.bytes - (len(content) - size)


@test
def a_sender_that_was_killed_goes_on_where_it_was():
    def goes_on(patience):
        with Files() as server:
            true(resumed(server, True, f"{1500 * patience}") < 3 << 20, "what was there was not sent again")

    patiently(goes_on)


@test
def a_server_that_was_killed_goes_on_where_it_was():
    def goes_on(patience):
        with Files() as server:
            true(resumed(server, False, f"{1500 * patience}") < 3 << 20, "what was there was not sent again")

    patiently(goes_on)


@test
def a_part_of_another_file_is_begun_anew():
    with Files() as server:
        content = noise(500000)
        server.put(".changed.part", content[:100000] + b"another" + content[100007:300000])
        command("send", server.make("changed", content), "@", port=server.port)
        true(server.dropped("changed") == content, "sent")
        back = os.path.join(server.mine, "back")
        with open(os.path.join(server.mine, ".back.part"), "wb") as file:
            file.write(content[:200000])
        command("recv", "@/changed", "-o", back, port=server.port)
        with open(back, "rb") as file:
            true(file.read() == content, "gone on with")
        equal(parts(server.mine), {})


@test
def nothing_is_replaced_without_a_word_from_both_ends():
    with Files() as server:
        path = server.make("a", b"first")
        command("send", path, "@", port=server.port)
        command("send", path, "@", port=server.port)  # the same file: it is there
        path = server.make("a", b"later")
        _, said = command("send", path, "@", port=server.port, status=1)
        true("another file" in said, said)
        _, said = command("send", path, "@", "--replace", port=server.port, status=1)
        true("--replace" in said, said)
        equal(server.dropped("a"), b"first")
        mine = server.make("b", b"mine!")
        _, said = command("recv", "@/a", "-o", mine, port=server.port, status=1)
        true("--replace" in said, said)
        command("recv", "@/a", "-o", mine, "--replace", port=server.port)
        with open(mine, "rb") as file:
            equal(file.read(), b"first")
    with Files("--replace") as server:
        server.put("a", b"first")
        command("send", server.make("a", b"later"), "@", "--replace", port=server.port)
        equal(server.dropped("a"), b"later")


@test
def nothing_leads_out_of_the_directory():
    with Files() as server:
        outside = os.path.join(server.folder.name, "outside")
        with open(outside, "w", encoding="utf-8") as file:
            file.write("secret")
        os.symlink(outside, os.path.join(server.drop, "link"))
        os.symlink(outside, os.path.join(server.drop, ".planted.part"))
        os.symlink(server.folder.name, os.path.join(server.drop, "up"))
        for name in ("link", "up/outside"):
            _, said = command("recv", f"@/{name}", "-o", "-", port=server.port, status=1)
            true("no such file" in said, said)
        for name in ("../outside", "/etc/passwd", ".planted.part", "a//b", "x/../../outside"):
            command("recv", f"@/{name}", "-o", "-", port=server.port, status=2)
        path = server.make("f", b"changed")
        for name in ("planted", "link", "up"):
            command("send", path, "@", "--name", name, port=server.port, status=1)
        for name in ("..", ".hidden", "a/b", "a\nb", "x" * 241):
            command("send", path, "@", "--name", name, port=server.port, status=2)
        with open(outside, encoding="utf-8") as file:
            equal(file.read(), "secret")


@test
def files_that_are_too_large_or_find_no_space_are_refused():
    with Files("--max-file", "10k") as server:
        _, said = command("send", server.make("a", noise(10241)), "@", port=server.port, status=1)
        true("--max-file" in said, said)
        _, said = command("send", "-", "@", "--name", "b", port=server.port, status=1, input=noise(20000))
        true("larger" in said, said)
        command("send", server.make("c", noise(10240)), "@", port=server.port)
        equal(os.listdir(server.drop), ["c"])
    with Files("--keep-free", "1000t") as server:
        _, said = command("send", server.make("a", b"x"), "@", port=server.port, status=1)
        true("space" in said, said)
        equal(os.listdir(server.drop), [])


@test
def what_is_to_stay_free_stays_free_of_a_stream_of_unknown_length_too():
    with Files() as server:
        disk = os.statvfs(server.drop)
        keep = disk.f_bavail * disk.f_frsize - (32 << 20)
    if keep <= 64 << 20:
        raise Skip("there is too little space here")
    with Files("--keep-free", str(keep)) as server:
        _, said = command("send", "-", "@", "--name", "a", port=server.port, status=1, input=bytes(128 << 20))
        true("space" in said, said)
        equal(os.listdir(server.drop), [])


@test
def of_two_senders_of_one_name_one_waits():
    with Files() as server, Lossy(server.port, 0) as way:
        way.limit = 2 << 20
        path = server.make("one", noise(8 << 20))
        first = subprocess.Popen([PROGRAM, "rudp", "send", path, f"127.0.0.1:{way.port}", "--plaintext"], stderr=subprocess.PIPE)
        until(lambda: way.bytes > way.limit and parts(server.drop), "it is in its middle")
        other = server.make("other", b"short")
        _, said = command("send", other, "@", "--name", "one", "--retry", "1", port=server.port, status=1)
        true("somebody else" in said, said)
        way.limit = None
        equal(first.wait(timeout=60), 0, first.stderr.read())
        first.stderr.close()
        true(len(server.dropped("one")) == 8 << 20, "the first one's")


@test
def a_server_that_does_not_talk_of_files_is_not_waited_for():
    def given_up(patience):
        ways = {"send": (file.name, f"127.0.0.1:{server.port}"), "recv": (f"127.0.0.1:{server.port}/name", "-o", "-")}
        clients = [(verb, subprocess.Popen([PROGRAM, "rudp", verb, *words, *PLAIN, "--timeout", f"{1000 * patience}"], stderr=subprocess.PIPE,
                                           text=True)) for verb, words in ways.items()]
        for verb, client in clients:
            _, said = client.communicate(timeout=60)
            equal(client.returncode, 1, said)
            wanted = {"send": f"sending {file.name}: 127.0.0.1:{server.port} takes messages, but has answered nothing for {max(1.5, patience):.1f} s",
                      "recv": "is it served with --share?"}[verb]
            true(wanted in said and not ALARMS.search(said), said)

    with Rudp("--sink") as server, tempfile.NamedTemporaryFile() as file:
        patiently(given_up)


@test
def errors_say_what_was_being_done():
    with Files(share=False) as server:
        _, said = command("recv", "@/a", port=server.port, status=1)
        true("--share" in said, said)
        _, said = command("send", "/nowhere", "@", port=server.port, status=1)
        true("/nowhere" in said and "No such file" in said, said)
        _, said = command("send", server.mine, "@", port=server.port, status=1)
        true("directory" in said, said)
    with Rudp("--echo") as server, tempfile.NamedTemporaryFile() as file:
        _, said = command("send", file.name, "@", port=server.port, status=1)
        true("--drop" in said, said)
    _, said = command("send", "/etc/hostname", "@", "--timeout", "300", port=free_ports(1)[0], status=1)
    true("is `gyre rudp serve` running there?" in said, said)
    command("send", "@", port=1, status=2)
    for verb in ("send", "recv"):
        done = subprocess.run([PROGRAM, "rudp", verb, "--help"], capture_output=True, text=True, timeout=20, check=False)
        true(done.returncode == 0 and f"Usage: gyre rudp {verb}" in done.stdout, verb)


run()
