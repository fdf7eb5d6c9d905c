# SPDX-License-Identifier: GPL-3.0-or-later
"""https and DNS over TLS as other people's programs meet them: stapled responses, early data, alerts that arrive."""

import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile

from harness import PROGRAM, Server, Skip, equal, failing, free_ports, patiently, run, test, tool, true, until
from secure import Https, Secure, SecureFiles, context, folder, path_of


def openssl(*arguments, data="", seconds=20):
    """What `openssl` prints, both streams together."""
    program = tool("openssl")
    ran = subprocess.run([program, *arguments], input=data.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         timeout=seconds, check=False)
    return ran.stdout.decode(errors="replace")


def client(port, *arguments, data="GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", **more):
    return openssl("s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", "-CAfile",
                   path_of("authority.pem"), "-ign_eof", *arguments, data=data, **more)


# ---- stapling -------------------------------------------------------------------------------------------------------


def staple(path, name="localhost.pem", status="V"):
    """Writes an OCSP response for a certificate of ours, good for a day."""
    serial = re.search(r"serial=(\w+)", openssl("x509", "-in", path_of(name), "-noout", "-serial")).group(1)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as index:
        gone = "200101000000Z" if status == "R" else ""
        index.write(f"{status}\t491231235959Z\t{gone}\t{serial}\tunknown\t/CN=localhost\n")
        index.flush()
        said = openssl("ocsp", "-index", index.name, "-CA", path_of("authority.pem"), "-rsigner", path_of("authority.pem"),
                       "-rkey", path_of("authority.key"), "-issuer", path_of("authority.pem"), "-cert", path_of(name),
                       "-respout", path, "-ndays", "1", "-no_nonce")
    true(os.path.exists(path), f"openssl made a response: {said}")


def make_late(path):
    """The same response, of years ago. Whoever would check its signature is not asked here."""
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(re.sub(rb"\d{14}Z", b"20010101000000Z", data))


@test
def a_response_is_stapled_for_the_certificate_that_it_is_for():
    with tempfile.TemporaryDirectory() as path:
        file = os.path.join(path, "localhost.response")
        staple(file)
        with Https(f"stapling-file {file};") as server:
            for version in ("-tls1_3", "-tls1_2"):
                said = client(server.port, "-status", version)
                true("OCSP Response Status: successful" in said and "Cert Status: good" in said, f"{version}: {said[-3000:]}")
                true("Hello, world!" in said, "and the page is served")
            said = openssl("s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "www.example.org", "-status")
            true("no response sent" in said, "other certificates have none")
            true("no response sent" not in client(server.port), "nor has who does not ask")
            make_late(file)
            server.reload()
            for _ in range(3):
                said = client(server.port, "-status")
                true("no response sent" in said and "Hello, world!" in said, f"one that is late is not sent: {said[-3000:]}")
            equal(server.log().count("past its time"), 1, "which is said once")
            staple(file)
            server.reload()
            true("Cert Status: good" in client(server.port, "-status"), "a new one is taken with SIGHUP")


@test
def a_response_that_lies_beside_its_certificate_is_found():
    with tempfile.TemporaryDirectory() as path:
        for name in ("localhost.pem", "localhost.key"):
            shutil.copy(path_of(name), path)
        staple(os.path.join(path, "localhost.ocsp"))
        text = f"workers 1;\nhttp {{ listen 127.0.0.1:{{port}}; fixed on; certificate {path}/localhost.pem; }}\n"
        with SecureFiles(text) as server:
            true("Cert Status: good" in client(server.port, "-status"), "it is stapled")
            get = subprocess.run([PROGRAM, "get", "--ca", path_of("authority.pem"), f"https://localhost:{server.port}/"],
                                 capture_output=True, check=False)
            equal((get.returncode, get.stdout), (0, b"Hello, world!"), "our own client asks for it, and believes it")
            make_late(os.path.join(path, "localhost.ocsp"))
            server.reload()
            staple(os.path.join(path, "localhost.ocsp"), status="R")
            server.reload()
            true("was revoked; it is not shown" in server.log(), "what says that it was revoked is not shown")
            true("no response sent" in client(server.port, "-status"), "to nobody")
            with open(os.path.join(path, "localhost.ocsp"), "w", encoding="ascii") as file:
                file.write("no response\n")
            server.signal(1)
            until(lambda: "not a successful OCSP response" in server.log(), "and what is none is said to be none")


# ---- early data -----------------------------------------------------------------------------------------------------


def early(port, session, request, *more):
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(request)
        file.flush()
        return client(port, "-tls1_3", "-sess_in", session, "-early_data", file.name, *more)


GET = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
POST = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def session_for(server, path, name):
    file = os.path.join(path, name)
    client(server.port, "-tls1_3", "-sess_out", file)
    true(os.path.exists(file), "a session was given")
    return file


@test
def early_data_is_taken_once_and_for_safe_requests_only():
    with tempfile.TemporaryDirectory() as path, Https("early-data on;") as server:
        session = session_for(server, path, "get")
        said = early(server.port, session, GET)
        true("Early data was accepted" in said and "Hello, world!" in said, f"accepted: {said[-3000:]}")
        said = early(server.port, session, GET)
        true("Early data was rejected" in said, f"the same ticket again is not: {said[-3000:]}")
        said = early(server.port, session_for(server, path, "post"), POST)
        true("Early data was accepted" in said and "425 Too Early" in said, f"too early: {said[-3000:]}")
        socket_of = GET.replace("Connection: close", "Connection: Upgrade\r\nUpgrade: websocket")
        said = early(server.port, session_for(server, path, "socket"), socket_of)
        true("425 Too Early" in said, f"nor a WebSocket: {said[-3000:]}")
        # A ticket is good for as many sessions without early data as one likes; and TLS 1.2 is as before.
        session = session_for(server, path, "plain")
        for _ in range(2):
            true("Reused, TLSv1.3" in client(server.port, "-tls1_3", "-sess_in", session), "resumed")
        with Secure(server.port, using=context(maximum_version=ssl.TLSVersion.TLSv1_2)) as connection:
            equal(connection.get("/").status, 200)
        session = session_for(server, path, "after")
        server.reload()
        said = early(server.port, session, GET)
        true("Early data was rejected" in said, f"another process cannot know what was used before: {said[-3000:]}")


@test
def early_data_is_off_unless_it_is_asked_for():
    with tempfile.TemporaryDirectory() as path, Https() as server:
        said = openssl("sess_id", "-in", session_for(server, path, "session"), "-text", "-noout")
        true("Max Early Data: 0" in said, f"tickets say so: {said}")


# ---- alerts ---------------------------------------------------------------------------------------------------------


@test
def a_refused_client_hears_why():
    """In TLS 1.3 a client is done before its certificate is looked at: the alert comes where it awaits an answer, and must
    not be lost, whatever the client sends meanwhile."""
    stranger = context()
    stranger.load_cert_chain(path_of("stranger/a_stranger.pem"), path_of("stranger/a_stranger.key"))
    with Https(f"client-certificates required {path_of('authority.pem')};") as server:
        for using, words in ((context(), ("CERTIFICATE_REQUIRED",)),
                             (stranger, ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN"))):
            for size in (0, 1 << 18):
                try:
                    with Secure(server.port, using=using) as connection:
                        if size > 0:
                            connection.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
                            connection.send(b"x" * size)
                        connection.get("/")
                except ssl.SSLError as error:
                    said = str(error).upper().replace(" ", "_")
                    true(any(word in said for word in words), f"{size}: {error}")
                else:
                    raise AssertionError("a client that is not known was served")


# ---- DNS over TLS ---------------------------------------------------------------------------------------------------

ZONE = "$TTL 300\n@ SOA ns1 hostmaster 1 7200 900 1209600 60\n@ NS ns1\nns1 A 192.0.2.1\nwww A 192.0.2.80\n"


class Dot(Server):
    """`gyre dns` over TLS."""

    def __init__(self, *flags):  # pylint: disable=super-init-not-called
        self.folder = tempfile.mkdtemp()
        with open(os.path.join(self.folder, "zone"), "w", encoding="ascii") as file:
            file.write(ZONE)
        self.plain, self.port = free_ports(2)
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [PROGRAM, "dns", "--workers", "1", "--listen", f"127.0.0.1:{self.plain}", "--listen-tls",
             f"127.0.0.1:{self.port}", "--tls", path_of("localhost.pem"), "--zone", f"example.com={self.folder}/zone", *flags],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True)
        self.pid = self.process.pid

    def answers(self):
        return ") serves" in self.log()

    def end(self):
        super().end()
        shutil.rmtree(self.folder, ignore_errors=True)


def question(number, name=b"\3www\7example\3com\0"):
    message = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + name + struct.pack("!HH", 1, 1)
    return struct.pack("!H", len(message)) + message


def raw_client(port):
    """A connection whose records can be counted: (socket, what goes in, what comes out, TLS)."""
    using = context()
    using.set_alpn_protocols(["dot"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = using.wrap_bio(incoming, outgoing, server_hostname="localhost")
    wire = socket.create_connection(("127.0.0.1", port), 20)
    while True:
        try:
            secure.do_handshake()
            break
        except ssl.SSLWantReadError:
            wire.sendall(outgoing.read())
            incoming.write(wire.recv(65536))
    wire.sendall(outgoing.read())
    return wire, incoming, outgoing, secure


@test
def pipelined_queries_over_tls_are_answered_in_one_record():
    with Dot() as server:
        wire, incoming, outgoing, secure = raw_client(server.port)
        with wire:
            equal(secure.selected_alpn_protocol(), "dot")
            answers, records, size = b"", [], 0
            secure.write(question(1))
            wire.sendall(outgoing.read())
            count = 0
            while count < 17:
                data = wire.recv(65536)
                true(data, "it goes on")
                incoming.write(data)
                try:
                    while True:
                        answers += secure.read(65536)
                        records.append(len(answers) - size)
                        size = len(answers)
                except ssl.SSLWantReadError:
                    pass
                before, count = count, 0
                at = 0
                while at + 2 <= len(answers) and at + 2 + int.from_bytes(answers[at:at + 2], "big") <= len(answers):
                    at += 2 + int.from_bytes(answers[at:at + 2], "big")
                    count += 1
                if count == 1 and before == 0:
                    secure.write(b"".join(question(100 + i) for i in range(16)))
                    wire.sendall(outgoing.read())
            equal(len(records), 2, f"records of {records} bytes: one for one query, one for sixteen")
            numbers = []
            while answers:
                length = int.from_bytes(answers[:2], "big")
                numbers.append(int.from_bytes(answers[2:4], "big"))
                answers = answers[2 + length:]
            equal(numbers, [1, *range(100, 116)], "each is answered")


@test
def kdig_asks_over_tls_and_believes_the_certificate():
    if shutil.which("kdig") is None:
        raise Skip("kdig is not installed")
    with Dot() as server:
        ran = subprocess.run(["kdig", "@127.0.0.1", "-p", str(server.port), "+tls-ca=" + path_of("authority.pem"),
                              "+tls-hostname=localhost", "+padding", "www.example.com", "A"], capture_output=True, timeout=20,
                             check=False)
        said = ran.stdout.decode()
        true(ran.returncode == 0 and "192.0.2.80" in said and "TLS1.3" in said, f"{said}{ran.stderr.decode()}")
        true("468 B" in said, f"and the answer is padded (RFC 8467): {said}")


@test
def a_configuration_says_where_dns_over_tls_is():
    text = ("workers 1;\nadmin 127.0.0.1:{admin};\ndns { listen 127.0.0.1:{port}; listen-tls 127.0.0.1:{other};\n"
            "idle-timeout {idle}ms;\nzone example.com {folder}/zone;\n" + f"certificate {path_of('localhost.pem')};\n}}\n")

    class Configured(SecureFiles):
        def write(self, text):
            super().write(text)
            with open(os.path.join(self.folder, "zone"), "w", encoding="ascii") as file:
                file.write(ZONE)

    def asked(patience):
        with Configured(text.replace("{idle}", str(300 * patience))) as server, failing(OSError):
            with socket.create_connection(("127.0.0.1", server.ports["other"]), 20) as plain, \
                    context().wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(question(7))
                true(len(secure.recv(65536)) > 2, "an answer")
                equal(secure.recv(10), b"", "and after a while of silence the end")
            counted = [value for name, value in server.metrics().items() if "transport_queries" in name and '"tls"' in name]
            equal(counted, [1], "it is counted by its transport")

    patiently(asked)
    text = text.replace("{idle}", "300")
    with Configured(text) as server:
        server.reload()
        for wrong, words in ((text.replace(f"certificate {path_of('localhost.pem')};", ""), "write certificate FILE"),
                             (text.replace("listen-tls 127.0.0.1:{other};", ""), "write listen-tls ADDRESS:853")):
            server.write(wrong)
            server.signal(1)
            until(lambda words=words: words in server.log(), "what is missing is said")


# ---- clients --------------------------------------------------------------------------------------------------------


@test
def gnutls_connects():
    if shutil.which("gnutls-cli") is None:
        raise Skip("gnutls-cli is not installed")
    with Https() as server:
        for priority in ("NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"):
            ran = subprocess.run(["gnutls-cli", "--x509cafile", path_of("authority.pem"), "--priority", priority, "-p",
                                  str(server.port), "localhost"], input=GET.encode(), capture_output=True, timeout=20,
                                 check=False)
            said = ran.stdout.decode(errors="replace")
            true(ran.returncode == 0 and "Hello, world!" in said and "is trusted" in said, f"{priority}: {said[-2000:]}")


if __name__ == "__main__":
    try:
        run()
    finally:
        shutil.rmtree(folder(), ignore_errors=True)
