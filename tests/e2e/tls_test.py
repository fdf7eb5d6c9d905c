# SPDX-License-Identifier: GPL-3.0-or-later
"""https, as OpenSSL's clients meet it: certificates, names, versions, tickets, reload, and what is no TLS."""

import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

from harness import PROGRAM, equal, output_of, run, test, tool, true, until
from secure import Https, Secure, SecureFiles, SecureServer, context, folder, path_of


@test
def curl_fetches_over_tls_and_refuses_an_authority_that_it_does_not_know():
    with Https() as server:
        url = f"https://localhost:{server.port}/"
        known = subprocess.run(["curl", "-sS", "--cacert", path_of("authority.pem"), url], capture_output=True, check=False)
        equal((known.returncode, known.stdout), (0, b"Hello, world!"))
        unknown = subprocess.run(["curl", "-sS", url], capture_output=True, check=False)
        equal(unknown.returncode, 60, "curl's status for a certificate that nobody vouches for")


@test
def versions_1_2_and_1_3_are_spoken_and_no_older():
    with Https() as server:
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            with Secure(server.port, using=context(maximum_version=version, minimum_version=version)) as connection:
                equal(connection.socket.version(), name)
                equal(connection.get("/").status, 200)
                equal(connection.get("/").status, 200)
        old = context(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        old.set_ciphers("ALL:@SECLEVEL=0")
        try:
            Secure(server.port, using=old)
        except ssl.SSLError as error:
            true("ALERT" in str(error).upper(), f"an alert: {error}")
        else:
            raise AssertionError("TLS 1.1 was spoken")
        true(server.counted("gyre_tls_failures_total") >= 1, "it is counted")


@test
def the_certificate_is_that_of_the_name_asked_for():
    with Https() as server:
        for name, subject in (("localhost", "localhost"), ("www.example.org", "*.example.org")):
            with Secure(server.port, name) as connection:
                equal(connection.subject(), subject)
        nobody = context(check_hostname=False)
        with Secure(server.port, "elsewhere.example", using=nobody) as connection:
            equal(connection.subject(), "localhost", "the first is for all others")


@test
def http_1_1_is_agreed_on_and_other_protocols_are_refused():
    with Https() as server:
        both = context()
        both.set_alpn_protocols(["h2", "http/1.1"])
        with Secure(server.port, using=both) as connection:
            equal(connection.socket.selected_alpn_protocol(), "http/1.1")
        other = context()
        other.set_alpn_protocols(["gopher"])
        try:
            Secure(server.port, using=other)
        except ssl.SSLError as error:
            true("NO_APPLICATION_PROTOCOL" in str(error).upper().replace(" ", "_"), f"its alert: {error}")
        else:
            raise AssertionError("gopher was spoken")


def session_of(server):
    """A session that can be resumed: the ticket comes with the first answer."""
    with Secure(server.port, using=shared) as connection:
        equal(connection.get("/").status, 200)
        return connection.socket.session


shared = None


@test
def sessions_are_resumed_also_after_a_reload():
    global shared
    shared = context()
    with Https() as server:
        session = session_of(server)
        with Secure(server.port, using=shared, session=session) as connection:
            true(connection.socket.session_reused, "resumed")
            equal(connection.get("/").status, 200)
        server.reload()
        with Secure(server.port, using=shared, session=session) as connection:
            true(connection.socket.session_reused, "resumed by the process that came after")
            equal(connection.get("/").status, 200)      # the server has seen the end of the handshake, too
        true(server.counted('gyre_tls_handshakes_total{kind="resumed"}') >= 1, "it is counted")
    with Https("session-tickets off;") as server:
        with Secure(server.port, using=shared) as connection:
            equal(connection.get("/").status, 200)
            true(not connection.socket.session.has_ticket, "no ticket was given")


@test
def a_client_that_resumes_again_and_again_is_always_let_in():
    """wolfSSL's own chain of tickets ends with a failure after 255."""
    using = context()
    with Https() as server:
        session, resumed = None, 0
        for _ in range(300):
            with Secure(server.port, using=using, session=session) as connection:
                equal(connection.get("/").status, 200)
                session = connection.socket.session
                resumed += connection.socket.session_reused
        true(resumed >= 297, f"{resumed} of 300 were resumed")


@test
def a_reload_takes_new_certificates_and_keeps_the_connections():
    with tempfile.TemporaryDirectory() as path:
        for name in ("localhost.pem", "localhost.key"):
            shutil.copy(path_of(name), path)
        with SecureFiles("workers 1;\nhttp { listen 127.0.0.1:{port}; fixed on;\n"
                        f"certificate {path}/localhost.pem; }}\n") as server:
            with Secure(server.port) as old:
                before = old.socket.getpeercert()["serialNumber"]
                equal(old.get("/").status, 200)
                subprocess.run([PROGRAM, "cert", "--dir", folder(), "localhost", "127.0.0.1"], check=True,
                               stdout=subprocess.DEVNULL)
                for name in ("localhost.pem", "localhost.key"):
                    shutil.copy(path_of(name), path)
                # A request that has begun has ten seconds; an idle connection would have one.
                old.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
                with Secure(server.port) as other:
                    equal(other.get("/").status, 200)  # by the one worker: it has what was sent before, too
                server.reload()
                old.send(b"\r\n")
                equal(old.answer().status, 200, "what was open goes on")
                with Secure(server.port) as new:
                    true(new.socket.getpeercert()["serialNumber"] != before, "the new certificate serves")
            with open(os.path.join(path, "localhost.key"), "w", encoding="ascii") as key:
                key.write("nonsense\n")
            server.signal(1)
            until(lambda: "holds no private key" in server.log(), "the reason is said")
            with Secure(server.port) as connection:
                equal(connection.get("/").status, 200, "and the old ones serve on")


@test
def clients_show_who_they_are_where_that_is_asked():
    with Https(f"client-certificates required {path_of('authority.pem')};") as server:
        known = context()
        known.load_cert_chain(path_of("a_customer.pem"), path_of("a_customer.key"))
        with Secure(server.port, using=known) as connection:
            equal(connection.get("/").status, 200)
        stranger = context()
        stranger.load_cert_chain(path_of("stranger/a_stranger.pem"), path_of("stranger/a_stranger.key"))
        for using in (context(), stranger):
            try:
                with Secure(server.port, using=using) as connection:
                    connection.get("/")
            except (ssl.SSLError, ConnectionError, AssertionError):
                continue
            raise AssertionError("a client that is not known was served")


@test
def large_files_arrive_whole_and_slow_heads_too():
    with tempfile.TemporaryDirectory() as www:
        data = os.urandom(1 << 20) * 5
        with open(os.path.join(www, "large.bin"), "wb") as file:
            file.write(data)
        with SecureFiles("workers 1;\nhttp { listen 127.0.0.1:{port};\n"
                        f"root {www}; certificate {path_of('localhost.pem')}; }}\n") as server:
            with Secure(server.port) as connection:
                true(connection.get("/large.bin").body == data, "the same bytes")
                for byte in b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\nRange: bytes=7-17\r\n\r\n":
                    connection.send(bytes([byte]))
                answer = connection.answer()
                equal((answer.status, answer.body), (206, data[7:18]))
                connection.send(b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\n\r\n" * 50)
                for _ in range(50):
                    equal(connection.answer().body, data[:10])


@test
def many_clients_shake_hands_at_once():
    with Https() as server:
        failures = []

        def client():
            try:
                for _ in range(10):
                    with Secure(server.port) as connection:
                        equal(connection.get("/").status, 200)
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)

        threads = [threading.Thread(target=client) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(failures, [])
        equal(server.counted('gyre_tls_handshakes_total{kind="full"}'), 160)


@test
def the_limit_of_connections_counts_before_the_handshake():
    with Https("limit-connections 1;") as server:
        with contextlib.closing(socket.create_connection(("127.0.0.1", server.port), 5)):  # and no hello
            until(lambda: server.counted("gyre_connections_accepted_total") >= 1, "it is accepted")
            try:
                Secure(server.port)
            except OSError:  # whatever the handshake calls the end of the connection
                pass
            else:
                raise AssertionError("one more was let in")
            equal(server.counted('gyre_http_limited_total{what="connections",server="http"}'), 1)
        until(lambda: server.counted("gyre_connections_open") == 1, "it is gone, and the admin listener's is there")
        with Secure(server.port) as connection:
            equal(connection.get("/").status, 200, "its place is free")


@test
def what_cannot_be_served_is_said_with_its_file():
    with tempfile.TemporaryDirectory() as path:
        def check(inside):
            file = os.path.join(path, "gyre.conf")
            with open(file, "w", encoding="ascii") as config:
                config.write(f"http {{ listen 127.0.0.1:0; fixed on;\n{inside}\n}}\n")
            return output_of([PROGRAM, "serve", "--config", file, "--check"])

        empty = os.path.join(path, "empty.pem")
        with open(empty, "w", encoding="ascii") as file:
            file.write("no certificate\n")
        for inside, words in (
                ("certificate nowhere.pem;", ("nowhere.pem", "No such file", "gyre cert", ":2:")),
                (f"certificate {empty} {path_of('localhost.key')};", ("empty.pem", ":2:")),
                (f"certificate {path_of('localhost.pem')} {path_of('example.org.key')};", ("do not belong together",)),
                (f"certificate {path_of('localhost.pem')} {path_of('authority.pem')};", ("no private key",)),
                ("session-tickets off;", ("certificate FILE", ":2:")),
                (f"certificate {path_of('localhost.pem')};\nclient-certificates maybe x;", ("required or optional",))):
            status, out, said = check(inside)
            said += out
            equal(status, 1, inside)
            for word in words:
                true(word in said, f"{inside}: `{word}` in: {said}")


@test
def hosts_that_no_certificate_is_for_are_told():
    with tempfile.TemporaryDirectory() as into:
        file = os.path.join(into, "gyre.conf")
        with open(file, "w", encoding="utf-8") as out:
            out.write(f"http {{ listen 127.0.0.1:1; certificate {path_of('localhost.pem')}; certificate {path_of('example.org.pem')};\n"
                      "host localhost www.example.org *.example.net { fixed on; }\nhost a.b.example.org example.org { fixed on; }\n}\n")
        status, _, errors = output_of([PROGRAM, "serve", "--config", file, "--check"])
        equal(status, 0, errors)
        told = re.findall(r"WARN +http: (\S+): host: no certificate of http is for (\S+):", errors)
        equal(sorted(told), [(f"{file}:3", "a.b.example.org"), (f"{file}:3", "example.org")], errors)


@test
def an_authority_is_not_served_with():
    """What `gyre cert` makes to sign with is refused; what people sign themselves, by openssl's defaults, is served."""
    status, _, errors = output_of([PROGRAM, "http", "--tls", path_of("authority.pem"), "--listen", "127.0.0.1:0"])
    equal(status, 1, errors)
    for word in (path_of("authority.pem"), "an authority's", "localhost.pem"):
        true(word in errors, f"{word} in: {errors}")
    with tempfile.TemporaryDirectory() as folder:
        own = os.path.join(folder, "own.pem")
        output_of([tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                   "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", own + ".key", "-out", own])
        with SecureServer("--tls", f"{own},{own}.key", "--fixed", listen="127.0.0.1:0") as server:
            using = ssl.create_default_context(cafile=own)
            with Secure(server.port, using=using) as connection:
                equal(connection.get("/").status, 200)
            true("CA:TRUE" in server.log(), f"it is said that some clients refuse it: {server.log()}")


@test
def the_command_line_serves_https():
    with SecureServer("--tls", path_of("localhost.pem"), "--fixed", listen="127.0.0.1:0") as server:
        with Secure(server.port) as connection:
            equal(connection.get("/").body, b"Hello, world!")


if __name__ == "__main__":
    try:
        run()
    finally:
        shutil.rmtree(folder(), ignore_errors=True)
