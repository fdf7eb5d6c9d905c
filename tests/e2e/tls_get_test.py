# SPDX-License-Identifier: GPL-3.0-or-later
"""`gyre get` over TLS: whom it trusts, whom it does not and why, who it says it is, and ends that were cut."""

import functools
import os
import shutil
import ssl
import subprocess
import tempfile

from harness import ALARMS, PROGRAM, Server, equal, output_of, run, test, true
from scripted import Listener, Scripted


@functools.lru_cache
def folder():
    """Certificates, made once, all of one authority: localhost, one that has expired, one that is not valid yet, one of
    somewhere else, a client's; and somebody else's authority."""
    path = tempfile.mkdtemp(prefix="gyre-tls-get-")
    for arguments in (["localhost", "127.0.0.1"], ["--from", "-9", "--days", "8", "expired.example", "localhost"],
                      ["--from", "5", "early.example", "localhost"], ["elsewhere.example", "192.0.2.7"],
                      ["--client", "a customer"], ["--dir", os.path.join(path, "stranger"), "--client", "a stranger"]):
        subprocess.run([PROGRAM, "cert", "--dir", path, *arguments], check=True, stdout=subprocess.DEVNULL)
    return path


def path_of(name):
    return os.path.join(folder(), name)


def get(*arguments, ca="authority.pem", **more):
    """(exit status, stdout, stderr)"""
    trusted = ["--ca", path_of(ca)] if ca else []
    status, out, errors = output_of([PROGRAM, "get", *trusted, *arguments], **more)
    true(not ALARMS.search(errors), f"no sanitizer complains: {errors}")
    return status, out, errors


class Peer(Listener):
    """OpenSSL's side: answers each request with what `answer` is, over TLS if there is a certificate, and ends as it is
    told to: "closed", "cut" without the end of TLS."""

    def __init__(self, answer, certificate="localhost", end="closed", clients=None, version=None):
        self.answer, self.end, self.requests, self.resumed = answer, end, [], []
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(path_of(certificate + ".pem"), path_of(certificate + ".key"))
            if clients:
                self.context.verify_mode = ssl.CERT_REQUIRED
                self.context.load_verify_locations(path_of(clients))
            if version:
                self.context.maximum_version = version
        super().__init__()
        self.url = f"http{'s' if certificate else ''}://localhost:{self.port}/"

    def serve(self, connection, _number):
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True)
            self.resumed.append(connection.session_reused)
        data = b""
        while b"\r\n\r\n" not in data and not data.startswith(b"\x16"):
            more = connection.recv(65536)
            if not more:
                return
            data += more
        self.requests.append(data.decode("latin-1"))
        connection.sendall(self.answer)
        if self.end == "closed" and self.context:
            connection = connection.unwrap()
        connection.close()


def page(body, *fields, status="200 OK"):
    length = () if any("Content-Length" in field for field in fields) else (f"Content-Length: {len(body)}",)
    return "\r\n".join([f"HTTP/1.1 {status}", *length, *fields, "Connection: close", "", ""]).encode() + body


UNTIL_THE_END = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it"


@test
def a_server_that_the_authority_vouches_for_is_believed_by_name_and_by_address():
    with Peer(page(b"trusted")) as server:
        equal(get(server.url)[:2], (0, "trusted"))
        equal(get(f"https://127.0.0.1:{server.port}/")[:2], (0, "trusted"))
        true(f"Host: localhost:{server.port}" in server.requests[0], server.requests[0])
    with Peer(page(b"older"), version=ssl.TLSVersion.TLSv1_2) as server:
        equal(get(server.url)[:2], (0, "older"), "TLS 1.2")


@test
def gyre_get_and_gyre_http_speak_tls_with_each_other():
    with tempfile.TemporaryDirectory() as path:
        data = os.urandom(3 << 20)
        with open(os.path.join(path, "large.bin"), "wb") as file:
            file.write(data)

        class Secure(Server):
            def answers(self):
                return ") serves" in self.log()

        with Secure("--tls", path_of("localhost.pem"), path, listen="127.0.0.1:0") as server:
            out = os.path.join(path, "copy.bin")
            urls = [f"https://localhost:{server.port}/large.bin"]
            equal(get("-o", out, *urls)[0], 0)
            with open(out, "rb") as file:
                true(file.read() == data, "the same bytes")


@test
def whoever_cannot_prove_it_is_refused_and_the_reason_is_said():
    cases = (
        ("localhost", "stranger/authority.pem", "localhost", ("`localhost`", "nobody whom we trust")),
        ("expired.example", "authority.pem", "localhost", ("`expired.example`", "expired on", "20", "clock")),
        ("early.example", "authority.pem", "localhost", ("`early.example`", "valid only from", "20")),
        ("elsewhere.example", "authority.pem", "localhost", ("`elsewhere.example`", "not for `localhost`")),
        ("elsewhere.example", "authority.pem", "127.0.0.1", ("`elsewhere.example`", "not for `127.0.0.1`")),
    )
    if os.path.exists("/etc/ssl/certs/ca-certificates.crt"):
        cases += (("localhost", None, "localhost", ("`localhost`", "nobody whom we trust")),)
    for certificate, ca, host, words in cases:
        with Peer(page(b"secret"), certificate) as server:
            status, out, errors = get(f"https://{host}:{server.port}/", ca=ca)
            equal((status, out, server.requests), (1, "", []), f"{certificate} for {host}: nothing is asked")
            for word in words:
                true(word in errors, f"{certificate}: `{word}` in: {errors}")
            equal(errors.count("\n"), 1, "it is said once, and not tried again")


@test
def insecure_takes_anybody_and_says_so_loudly():
    with Peer(page(b"whoever"), "expired.example") as server:
        status, out, errors = get("--insecure", f"https://127.0.0.1:{server.port}/", ca=None)
        equal((status, out), (0, "whoever"))
        true("WARNING" in errors and "nobody checks" in errors, errors)


@test
def a_client_shows_its_certificate_to_servers_that_ask():
    with Peer(page(b"hello, customer"), clients="authority.pem") as server:
        equal(get("--cert", path_of("a_customer.pem"), server.url)[:2], (0, "hello, customer"))
        both = f"{path_of('a_customer.pem')},{path_of('a_customer.key')}"
        equal(get("--cert", both, server.url)[:2], (0, "hello, customer"))
        for arguments in ((), ("--cert", path_of("stranger/a_stranger.pem"))):
            status, out, errors = get(*arguments, server.url)
            equal((status, out), (1, ""))
            # Its alert may be lost in the reset that the request meets.
            true("the server refused: alert" in errors or "without answering" in errors, errors)


@test
def a_body_that_ends_with_the_connection_must_end_with_tls_too():
    with Peer(UNTIL_THE_END) as server:
        equal(get(server.url)[:2], (0, "all of it"))
    with Peer(UNTIL_THE_END, end="cut") as server:
        status, _, errors = get("--retry", "0", server.url)
        equal(status, 1)
        true("cut short" in errors, errors)
        with tempfile.TemporaryDirectory() as path:
            out = os.path.join(path, "file")
            equal(get("--retry", "0", "-o", out, server.url)[0], 1)
            true(not os.path.exists(out), "half a file gets no name")
    with Peer(page(b"counted"), end="cut") as server:
        equal(get(server.url)[:2], (0, "counted"), "a length says where the end is")


@test
def redirects_lead_from_http_to_https_and_back_and_secrets_stay():
    with Peer(page(b"there")) as secure, \
            Peer(page(b"", f"Location: {secure.url}", status="301 Moved"), None) as plain, \
            Peer(page(b"", f"Location: {plain.url}", status="307 Temporary Redirect")) as first:
        equal(get("-H", "Authorization: secret", first.url)[:2], (0, "there"))
        true("Authorization: secret" in first.requests[0], "whom it was meant for")
        true("secret" not in plain.requests[0] + secure.requests[0], "the others do not see it")
        status, _, errors = get(plain.url, ca="stranger/authority.pem")
        equal(status, 1)
        true("nobody whom we trust" in errors, errors)


@test
def what_is_no_tls_is_said():
    with Peer(b"HTTP/1.1 400 Bad Request\r\n\r\n", None) as server:
        status, _, errors = get(f"https://localhost:{server.port}/")
        equal(status, 1)
        # A server that closes with our hello unread resets the connection, and its answer may be lost by that.
        true("no TLS" in errors or "none at all" in errors or "reset by peer" in errors, errors)
    for said, shown in ((b"HTTP/1.1 400 Bad Request\r\n\r\n", ': it said "HTTP/1.1 400 Bad Request"; go there without TLS'),
                        (b"\x00\x01\x02\x03\x04\x05", "; go there without TLS"), (None, "reset by peer; does it speak TLS at that port?")):
        def serve(connection, _number, said=said):
            connection.recv(65536)
            connection.sendall(said or b"")
        with Scripted(serve) as server:
            status, _, errors = get(f"https://localhost:{server.port}/")
            equal(status, 1)
            true(("" if said is None else "the server speaks no TLS at this port") + shown in errors, errors)
    with Scripted(lambda connection, _number: connection.sendall(connection.recv(65536))) as echo:
        true("what only a client sends: is it one that echoes?" in get(f"https://localhost:{echo.port}/")[2], "it is said")


@test
def files_that_cannot_be_used_are_named():
    empty = path_of("empty.pem")
    with open(empty, "w", encoding="ascii") as file:
        file.write("nothing\n")
    for arguments, words in ((["--ca", "nowhere.pem"], ("nowhere.pem", "No such file")),
                             (["--ca", empty], ("authorities", "empty.pem")),
                             (["--cert", "nowhere.pem"], ("nowhere.pem", "No such file")),
                             (["--cert", f"{path_of('localhost.pem')},{path_of('a_customer.key')}"],
                              ("localhost.pem", "do not belong together"))):
        status, _, errors = get(*arguments, "https://localhost:1/")
        equal(status, 1)
        for word in words:
            true(word in errors, f"{arguments}: `{word}` in: {errors}")


if __name__ == "__main__":
    try:
        run()
    finally:
        shutil.rmtree(folder(), ignore_errors=True)
