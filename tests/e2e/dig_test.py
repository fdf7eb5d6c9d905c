# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre dig against gyre dns, against name servers that misbehave, and beside dig where there is one."""

import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile

from harness import PROGRAM, Skip, equal, free_ports, output_of, run, test, true, until
from scripted import Scripted, ScriptedDatagrams

ZONE = """$TTL 300
@ SOA ns1 hostmaster 1 7200 900 1209600 60
@ NS ns1
ns1 A 127.0.0.1
www A 192.0.2.80
www AAAA 2001:db8::80
alias CNAME www
mx MX 10 www
a-rather-long-name-that-leaves-no-room A 192.0.2.3
text TXT "two words" "quote\\"d"
long DNSKEY 257 3 13 {key}
long DNSKEY 256 3 8 {key}
long DNSKEY 385 3 200 {key}
long CDNSKEY 257 3 15 {key}
long RRSIG TXT 13 3 3600 20300101000000 20200101000000 7 example.com. {key}
long DS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118
long DS 60485 8 2 {hash}
long CDS 60485 8 2 {hash}
long TLSA 3 1 1 {hash}
long SMIMEA 3 1 1 {hash}
long SSHFP 4 2 {hash}
long ZONEMD 2018031500 1 1 {hash}D4B7D520E7BB5F0F67674A0CCEB1E3E0
long OPENPGPKEY {key}
long NSEC3PARAM 1 0 12 aabbccdd
long TXT "some text; with more"
long TYPE65280 \\# 40 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0011223344556677
""".format(key="mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==",
           hash="D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A") + "".join(f"many A 198.51.100.{i}\n" for i in range(200))


@contextlib.contextmanager
def serving(words):
    """A gyre that serves, until the end."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([PROGRAM, *words, "--workers", "1"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)

        def text_of_log():
            log.seek(0)
            return log.read().decode(errors="replace")

        try:
            until(lambda: ") serves" in text_of_log(), "it serves")
            yield
        finally:
            process.terminate()
            process.wait(20)


@contextlib.contextmanager
def served(*zones, host="127.0.0.1", port=None):
    """`gyre dns` with zones (name, text); its port."""
    with tempfile.TemporaryDirectory() as folder:
        port = port or free_ports(1)[0]
        flags = []
        for number, (name, text) in enumerate(zones):
            path = os.path.join(folder, f"zone{number}")
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            flags += ["--zone", f"{name}={path}"]
        with serving(["dns", "--listen", f"{host}:{port}", *flags]):
            yield port


def dig(port, *words, server="127.0.0.1", data=""):
    """(status, what it printed); nothing on stderr."""
    status, out, err = output_of([PROGRAM, "dig", f"@{server}", "-p", str(port), *words], data=data)
    equal(err, "", f"stderr of dig {' '.join(words)}")
    return status, out


@test
def an_answer_is_laid_out_as_dig_does_it():
    with served(("example.com", ZONE)) as port:
        status, out = dig(port, "www.example.com")
        equal(status, 0, "the exit status")
        for part in (r"^; <<>> gyre dig \S+ <<>> @127\.0\.0\.1 -p \d+ www\.example\.com\n; \(1 server found\)\n",
                     r"^;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: \d+\n"
                     r";; flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1\n",
                     r"^;; OPT PSEUDOSECTION:\n; EDNS: version: 0, flags:; udp: \d+\n; COOKIE: [0-9a-f]{48} \(good\)\n",
                     r"^;; QUESTION SECTION:\n;www\.example\.com\.\t\tIN\tA\n\n;; ANSWER SECTION:\n"
                     r"www\.example\.com\.\t300\tIN\tA\t192\.0\.2\.80\n\n",
                     rf"^;; Query time: \d+ msec\n;; SERVER: 127\.0\.0\.1#{port}\(127\.0\.0\.1\) \(UDP\)\n;; WHEN: ",
                     r"^;; MSG SIZE  rcvd: 88$"):
            true(re.search(part, out, re.MULTILINE), f"{part} is in {out}")
        status, out = dig(port, "no.example.com")
        equal(status, 0, "what does not exist is an answer too")
        true("status: NXDOMAIN" in out and ";; AUTHORITY SECTION:" in out, out)


@test
def what_dig_prints_is_printed():
    program = shutil.which("dig")
    if not program:
        raise Skip("dig is not installed")
    with served(("example.com", ZONE)) as port:
        for words in (["+noall", "+answer", "mx.example.com", "MX"],
                      ["+short", "alias.example.com", "www.example.com", "AAAA"],
                      ["+nocmd", "+nostats", "+nocookie", "www.example.com", "AAAA"],
                      ["+nocmd", "+nostats", "+nocookie", "no.example.com"],
                      ["+nocmd", "+nostats", "+noedns", "+norec", "+noadflag", "mx", "mx.example.com"],
                      ["+nocmd", "+noall", "+question", "+answer", "+authority", "www.example.com", "x.example.com"],
                      ["+nocmd", "+nottlid", "+noclass", "+nocomments", "+nostats", "mx.example.com", "MX"],
                      ["+noall", "+answer", "+nottlid", "mx.example.com", "MX"],
                      ["+noall", "+answer", "a-rather-long-name-that-leaves-no-room.example.com"],
                      ["+noall", "+answer", "text.example.com", "TXT"],
                      ["+noall", "+answer", "+tcp", "many.example.com"],
                      ["+noall", "+question", "+answer", "+multiline", "example.com", "SOA"],
                      ["+noall", "+answer", "+multiline", "+nottlid", "example.com", "SOA"],
                      ["+noall", "+answer", "+multiline", "+noclass", "long.example.com", "TYPE65280"],
                      ["+noall", "+answer", "+ttlunits", "mx.example.com", "MX"],
                      *(["+noall", "+answer", "+multiline", "long.example.com", kind]
                        for kind in ("DNSKEY", "CDNSKEY", "RRSIG", "DS", "CDS", "TLSA", "SMIMEA", "SSHFP", "ZONEMD", "OPENPGPKEY", "NSEC3PARAM", "TXT")),
                      ["+noall", "+question", "-x", "2001:db8::7"],
                      ["+noall", "+question", "-x", "192.0.2.7"],
                      ["+nocmd", "+nostats", "+nocookie", "-t", "txt", "-c", "CH", "version.bind"]):
            _, theirs, _ = output_of([program, "@127.0.0.1", "-p", str(port), *words])
            _, ours = dig(port, *words)
            theirs, ours = (re.sub(r"id: \d+", "id:", text) for text in (theirs, ours))
            equal(ours, theirs, f"what is printed for {' '.join(words)}")


@test
def names_types_and_options_come_in_any_order():
    with served(("example.com", ZONE)) as port:
        equal(dig(port, "+short", "AAAA", "www.example.com", "mx", "mx.example.com")[1],
              "2001:db8::80\n10 www.example.com.\n", "two queries, types first")
        equal(dig(port, "www.example.com", "+short", "mx.example.com", "MX", "+short")[1],
              "192.0.2.80\n10 www.example.com.\n", "options behind each name")
        equal(dig(port, "+short", "-q", "www.example.com", "-t", "AAAA", "-c", "IN", "-4")[1], "2001:db8::80\n", "flags")
        equal(dig(port, "-f", "-", "+short", data="www.example.com\n\n; no\nmx.example.com MX\n")[1],
              "192.0.2.80\n10 www.example.com.\n", "a batch")


@test
def queries_leave_from_the_address_that_is_given():
    with tempfile.TemporaryDirectory() as folder:
        path, spare = os.path.join(folder, "zone"), free_ports(1)[0]
        with open(path, "w", encoding="ascii") as file:
            file.write(ZONE)
        conf, port = os.path.join(folder, "conf"), free_ports(1)[0]
        with open(conf, "w", encoding="ascii") as file:
            file.write(f"dns {{ listen 127.0.0.1:{port}; zone example.com {path} {{ allow-transfer 127.0.0.9; }} }}\n")
        with serving(["serve", "--config", conf]):
            for words, records in (((), 0), (("-b", "127.0.0.9"), 2), (("-b", f"127.0.0.9#{spare}"), 2)):
                equal(dig(port, *words, "+short", "example.com", "AXFR")[1].count("hostmaster"), records, f"over TCP, {words}")
            equal(dig(port, "-b", "127.0.0.9", "+short", "www.example.com")[1], "192.0.2.80\n", "over UDP")
            status, out, err = output_of([PROGRAM, "dig", "@127.0.0.1", "-p", str(port), "-b", "192.0.2.1", "+tries=1", "www.example.com"])
            true(status == 9 and "Cannot assign" in out, f"an address of another host: {status} {out} {err}")
            status, out, err = output_of([PROGRAM, "dig", "-b", "localhost", "example.com"])
            equal((status, out), (1, ""), err)


@test
def a_connection_is_kept_as_long_as_it_is_told():
    with served(("example.com", ZONE)) as port:
        true("; TCP KEEPALIVE: 10.0 secs\n" in dig(port, "+tcp", "+keepalive", "www.example.com")[1], "over TCP")
        true("KEEPALIVE" not in dig(port, "+keepalive", "www.example.com")[1], "not over UDP (RFC 7828 section 3.2.1)")
        true("KEEPALIVE" not in dig(port, "+tcp", "www.example.com")[1], "nor to who does not ask")


@test
def names_are_completed_by_the_search_list():
    with served(("example.com", ZONE)) as port, tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "resolv.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write("nameserver 127.0.0.1\nsearch none.example.com example.com\noptions ndots:2\n")

        def found(*words):
            script = f'mount --bind {path} /etc/resolv.conf && exec "$@"'
            done = output_of(["unshare", "-rm", "sh", "-c", script, "sh", PROGRAM, "dig", "@127.0.0.1", "-p", str(port), *words])
            if done[0] == 1 and "mount" in done[2] or "unshare" in done[2]:
                raise Skip("no name spaces here: " + done[2].strip())
            return done[0], re.findall(r"status: (\w+)|^;([^; ]\S+)", done[1], re.MULTILINE)
        equal(found("+search", "www"), (0, [("NOERROR", ""), ("", "www.example.com.")]), "the second domain")
        equal(found("+search", "no.such"), (0, [("REFUSED", ""), ("", "no.such.")]), "the name itself is the last")
        equal(found("+search", "www.example.com."), (0, [("NOERROR", ""), ("", "www.example.com.")]), "one that is whole")
        equal(found("www"), (0, [("REFUSED", ""), ("", "www.")]), "without")


@test
def a_cut_answer_is_asked_for_by_tcp():
    with served(("example.com", ZONE)) as port:
        status, out = dig(port, "many.example.com")
        true(";; Truncated, retrying in TCP mode." in out and "(TCP)" in out, out)
        equal((status, out.count("198.51.100.")), (0, 200), "all of it")
        _, out = dig(port, "+ignore", "many.example.com")
        true(" tc " in out and "(UDP)" in out, "what is cut stays cut")


@test
def json_is_one_line_an_answer():
    with served(("example.com", ZONE)) as port:
        status, out = dig(port, "+json", "+dnssec", "alias.example.com", "text.example.com", "TXT", "+json")
        first, second = (json.loads(line) for line in out.splitlines())
        equal((status, first["transport"], first["server"]), (0, "UDP", f"127.0.0.1#{port}"), "where from")
        message = first["responseMessage"]
        equal((message["QNAME"], message["QTYPEname"], message["RCODE"], message["AA"], message["ANCOUNT"]),
              ("alias.example.com.", "A", 0, 1, 2), "the head")
        equal([(rr["TYPEname"], rr["TTL"], rr.get("rdataCNAME"), rr.get("rdataA")) for rr in message["answerRRs"]],
              [("CNAME", 300, "www.example.com.", None), ("A", 300, None, "192.0.2.80")], "the answer")
        equal(second["responseMessage"]["answerRRs"][0]["rdataTXT"], '"two words" "quote\\"d"', "text")
    status, out = dig(free_ports(1)[0], "+json", "+tries=1", "www.example.com")
    equal((status, json.loads(out)["error"]), (9, "connection refused"), "no server")


@test
def exit_statuses_are_those_of_dig():
    port = free_ports(1)[0]
    status, out = dig(port, "+tries=2", "www.example.com")
    equal((status, out.count(f"communications error to 127.0.0.1#{port}: connection refused")), (9, 2), "nobody there")
    true(out.endswith(";; no servers could be reached\n"), out)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", port))
        status, out = dig(port, "+time=1", "+tries=1", "www.example.com")
        true(status == 9 and ": timed out" in out, f"a server that is silent: {status} {out}")
    for words, wanted in ((["+bogus", "x"], 1), (["-t", "NOSUCH", "x"], 1), (["a..b"], 1), (["-x", "nonsense"], 1),
                          (["@", "x"], 1), (["-p"], 1), (["+cookie=abc", "x"], 1), (["-f", "/nonexistent"], 8),
                          (["-h"], 0)):
        status, _, err = output_of([PROGRAM, "dig", *words])
        equal((status, bool(err)), (wanted, wanted != 0), f"the status of {words}")
    status, _, err = output_of([PROGRAM, "dig", "@no.such.invalid", "x"])
    true(status == 1 and "there is no such name" in err, f"a server that does not exist: {status} {err}")


@test
def a_trace_goes_from_the_root_down():
    port = free_ports(1)[0]
    root = ("$TTL 300\n@ SOA ns. . 1 2 3 4 5\n@ NS ns.\nns. A 127.0.0.1\ncom. NS ns.com.\nns.com. A 127.0.0.2\n")
    com = ("$TTL 300\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 127.0.0.2\n"
           "example NS ns1.example\nns1.example A 127.0.0.3\n")
    with served((".", root), port=port), served(("com", com), host="127.0.0.2", port=port), \
            served(("example.com", ZONE), host="127.0.0.3", port=port):
        status, out = dig(port, "+trace", "www.example.com")
        equal(status, 0, out)
        equal(re.findall(r"Received \d+ bytes from (\S+)#", out), ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3"],
              "who was asked")
        true(re.search(r"^com\.\t\t\t300\tIN\tNS\tns\.com\.\n", out, re.MULTILINE), out)
        true(re.search(r"^www\.example\.com\.\t300\tIN\tA\t192\.0\.2\.80\n", out, re.MULTILINE), out)


# ---- a name server of the test's -------------------------------------------------------------------------------------


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


def record(owner, kind, data, ttl=60):
    return name(owner) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def soa(serial):
    return record("example.com", 6, name("ns.example.com") + name("h.example.com") + struct.pack("!5I", serial, 2, 3, 4, 5))


@contextlib.contextmanager
def streaming(*messages, cut=False, secure=None):
    """A TCP server, or one of TLS, that answers each query with messages (lists of records)."""
    def serve(connection, _number):
        with secure.wrap_socket(connection, server_side=True) if secure else connection as client, contextlib.suppress(ValueError):
            query = client.recv(4096)[2:]
            end = query.index(b"\0", 12) + 5
            for number, records in enumerate(messages):
                question = query[12:end] if number == 0 else b""
                data = query[:2] + struct.pack("!5H", 0x8400, number == 0, len(records), 0, 0) + question
                data += b"".join(records)
                client.sendall(struct.pack("!H", len(data)) + data)
            if not cut:
                client.recv(1)

    with Scripted(serve) as server:
        yield server.port


@test
def transfers_of_many_messages_are_printed_whole():
    rest = [record(f"h{i}.example.com", 1, bytes([10, 0, i // 256, i % 256])) for i in range(1000)]
    with streaming([soa(7)] + rest[:500], rest[500:], [soa(7)]) as port:
        status, out = dig(port, "example.com", "AXFR")
        equal(status, 0, out[-300:])
        equal(len(re.findall(r"^h\d+\.example\.com\.", out, re.MULTILINE)), 1000, "records")
        equal(len(re.findall(r"\tSOA\t", out)), 2, "its ends")
        true(re.search(r"^;; XFR size: 1002 records \(messages 3, bytes \d+\)$", out, re.MULTILINE), out[-300:])
        equal(dig(port, "example.com", "AXFR", "+onesoa", "+noall", "+answer")[1].count("\tSOA\t"), 1, "one SOA")
    with streaming([soa(7)] + rest, cut=True) as port:
        status, out = dig(port, "example.com", "AXFR")
        true(status != 0 and "Transfer failed" in out and "end of file" in out, f"one that is cut: {status}")
    differences = [soa(7), soa(5), rest[0], soa(6), rest[1], soa(6), rest[1], soa(7), rest[2], soa(7)]
    with streaming(differences[:4], differences[4:]) as port:
        status, out = dig(port, "example.com", "IXFR=5")
        true(status == 0 and "XFR size: 10 records (messages 2" in out, out)
    with streaming([soa(7)]) as port:
        status, out = dig(port, "example.com", "IXFR=7")
        true(status == 0 and "XFR size: 1 records" in out, "nothing new")


@test
def tls_believes_anybody_unless_it_is_told_whom():
    with tempfile.TemporaryDirectory() as folder:
        for words in (["localhost", "127.0.0.1"], ["--dir", os.path.join(folder, "stranger"), "elsewhere.example"]):
            subprocess.run([PROGRAM, "cert", "--dir", folder, *words], check=True, stdout=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(folder, "localhost.pem"), os.path.join(folder, "localhost.key"))
        context.set_alpn_protocols(["dot"])
        ours, stranger = (os.path.join(folder, name) for name in ("authority.pem", "stranger/authority.pem"))
        with streaming([record("www.example.com", 1, bytes([192, 0, 2, 80]))], secure=context) as port:
            status, out = dig(port, "+tls", "www.example.com")
            true(status == 0 and "(TLS)" in out and "192.0.2.80" in out, f"opportunistic: {status} {out}")
            for words, wanted in (([f"+tls-ca={ours}"], 0), ([f"+tls-ca={ours}", "+tls-hostname=localhost"], 0),
                                  ([f"+tls-ca={ours}", "+tls-hostname=elsewhere.example"], 9),
                                  ([f"+tls-ca={stranger}"], 9), (["+tls-hostname=localhost"], 9)):
                status, out = dig(port, *words, "+short", "www.example.com")
                equal((status, out.endswith("192.0.2.80\n")), (wanted, wanted == 0), f"{words}: {out}")
            true("certificate" in out, f"why it is refused: {out}")


@test
def keys_sign_queries_and_check_answers():
    secret, port = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", free_ports(1)[0]
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: os.path.join(folder, name) for name in ("zone", "secret", "conf", "key")}
        for name, text in (("zone", ZONE), ("secret", secret),
                           ("key", f'key "key" {{\n\talgorithm hmac-sha256;\n\tsecret "{secret}";\n}};\n'),
                           ("conf", f"dns {{ listen 127.0.0.1:{port}; key key hmac-sha256 {paths['secret']};\n"
                                    f"zone example.com {paths['zone']} {{ allow-transfer 127.0.0.0/8 key key; }} }}\n")):
            with open(paths[name], "w", encoding="ascii") as file:
                file.write(text)
        with serving(["serve", "--config", paths["conf"]]):
            for words in (["-y", f"hmac-sha256:key:{secret}"], ["-y", f"key:{secret}"], ["-k", paths["key"]]):
                status, out = dig(port, *words, "example.com", "AXFR")
                true(status == 0 and "XFR size: 226 records" in out and secret not in out, f"{words}: {status} {out[-200:]}")
                status, out = dig(port, *words, "many.example.com")
                true(status == 0 and re.search(r"^;; TSIG PSEUDOSECTION:\nkey\.\t.* NOERROR 0$", out, re.MULTILINE)
                     and "(TCP)" in out, f"{words}, signed twice: {status} {out[-400:]}")
            for words, why in (([f"hmac-sha256:key:{secret[4:]}"], "BADSIG"), ([f"hmac-sha512:key:{secret}"], "BADKEY"),
                               ([f"other:{secret}"], "BADKEY")):
                for asked in (["www.example.com"], ["example.com", "AXFR"]):
                    status, out = dig(port, "-y", *words, *asked)
                    true(status == 10 and f"Couldn't verify signature: {why}" in out, f"{words} {asked}: {status} {out}")
    with streaming([soa(7), soa(7)]) as port:
        status, out = dig(port, "-y", f"key:{secret}", "example.com", "AXFR")
        true(status == 10 and "Transfer failed: its signature" in out and "\tSOA\t" not in out, f"unsigned: {status} {out}")
    for words in (["-y", "nonsense"], ["-y", "md5:key:AAAA"], ["-y", "key:!"], ["-k", "/nonexistent"], ["-k", "/dev/null"]):
        equal(output_of([PROGRAM, "dig", *words, "x"])[0], 1, f"the status of {words}")
    for flag, expected in (("-k", 1), ("-f", 8)):
        status, out, errors = output_of([PROGRAM, "dig", flag, "/"])
        true((status, out) == (expected, "") and "it is a directory; name a file" in errors, f"{flag} /: {status} {errors}")


@test
def forged_answers_are_told_and_passed_over():
    def forge(_number, query):
        end = query.index(b"\0", 12) + 5
        head = struct.pack("!5H", 0x8400, 1, 1, 0, 0)
        return [number + head + query[12:end] + record("www.example.com", 1, bytes([192, 0, 2, address]))
                for number, address in ((b"\0\0" if query[:2] != b"\0\0" else b"\1\1", 66), (query[:2], 80))]

    with ScriptedDatagrams(forge) as server:
        status, out = dig(server.port, "+noedns", "www.example.com")
        true(status == 0 and "Warning: ID mismatch" in out and "192.0.2.80" in out and "192.0.2.66" not in out, out)


run()
