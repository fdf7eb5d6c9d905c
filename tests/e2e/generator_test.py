# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre-load against gyre http, and against servers that answer as a test says: what it counts, and what it says."""

import json
import math
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bench"))

from report import hdr
from chat_crash import Chat
from configured import Configured
from generator import LOAD, clean, load
from harness import PROGRAM, Server, Skip, equal, free_ports, output_of, patiently, run, test, true
from scripted import Scripted, answer, answering
from terminal import shown_by


@test
def threads_make_more_connections_than_one_table_of_descriptors_holds():
    def few_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

    with Server(workers=2) as server:
        url = f"http://127.0.0.1:{server.port}/status.json"
        status, out, errors = output_of([LOAD, url, "-c", "200", "-n", "2000", "-t", "2", "--source", "127.0.0.2", "--source",
                                         "127.0.0.3", "--json", "-"], preexec_fn=few_files)
        equal(status, 0, errors)
        figures = json.loads(out)
        equal((figures["connects"], figures["answered_total"], figures["errors"]["total"]), (200, 2000, 0))
        status, out, errors = output_of([LOAD, url, "-c", "200", "-n", "2000"], preexec_fn=few_files)
        equal(status, 1, out + errors)
        true("making 200 connections in 1 thread: a thread may open 128 files here; raise `ulimit -n`, or use more --threads" in
             errors, errors)


@test
def more_connections_than_addresses_have_ports_are_refused_at_once():
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first, last = map(int, file.read().split())
    ports = last - first + 1
    begun = time.monotonic()
    for count, sources, needed in ((ports + 1, [], 2), (2 * ports + 1, ["--source", "127.0.0.2", "--source", "127.0.0.3"], 3)):
        # Nothing listens there: it is known before anything is dialled.
        status, out, errors = output_of([LOAD, "http://127.0.0.1:1/", "-c", str(count), "-n", str(count), *sources])
        equal((status, out), (1, ""), errors)
        equal(errors, f"gyre-load: making {count} connections: an address has {ports} ports for one server "
                      f"(net.ipv4.ip_local_port_range), and {needed} would be needed; come from more of them with --source, "
                      "repeated, such as --source 127.0.0.2 --source 127.0.0.3\n")
    true(time.monotonic() - begun < 5, "at once")


@test
def a_closed_loop_counts_what_the_server_counts():
    with Server("--fixed") as server:
        figures = clean(server.address + "/", "-c", "8", "-n", "3000", "--check", "--server-pid", str(server.pid))
        equal((figures["answered"], figures["sent_total"], figures["connects"]), (3000, 3000, 8), "answers")
        equal(figures["latency_ns"]["count"], 3000, "latencies")
        true(figures["latency_ns"]["min"] > 0, "an answer takes time")
        true(figures["latency_ns"]["p50"] <= figures["latency_ns"]["p99"] <= figures["latency_ns"]["max"],
             "percentiles grow")
        true(figures["server"] is not None, "the server's CPU time is there")
        true(figures["generator"]["cpu_s"] > 0, "the generator's CPU time is there")


@test
def latencies_go_to_five_nines():
    def rated(patience):
        nonlocal figures
        figures = clean(server.address + "/", "-c", "8", "--rate", "100", "-d", f"{500 * patience}ms", "--warmup", "0")

    figures = None
    with Server("--fixed") as server:
        patiently(rated)
        names = ["p50", "p75", "p90", "p95", "p99", "p99_9", "p99_99", "p99_999", "max"]
        for key in ("latency_ns", "service_ns", "lateness_ns"):
            equal(set(figures[key]), {"count", "min", "mean", "stddev", *names}, f"the keys of {key}")
            values = [figures[key][name] for name in names]
            equal(values, sorted(values), f"percentiles of {key}, in their order")
        _, out, _ = output_of([LOAD, server.address + "/", "-c", "2", "-n", "200"])
        true("p99.999" in out, f"the report has them, too:\n{out}")


@test
def counters_of_the_server_come_from_its_admin_listener():
    admin = f"127.0.0.1:{free_ports(1)[0]}"
    with Server("--fixed", "--admin", admin) as server:
        figures = clean(server.address + "/", "-c", "8", "-n", "3000", "--server-admin", admin)
        counted = figures["server"]["counters"]
        equal(set(counted), {"cpu_s", "turns", "enters", "submissions", "completions", "received_bytes", "sent_bytes",
                             "copied_bytes"}, "the counters")
        each = counted["submissions"] / figures["server"]["answered"]
        true(0.8 < each < 1.6, f"an answer is a send that was submitted: {each} a request")
        status, figures, out, _ = load(server.address + "/", "-c", "2", "-n", "200", "--server-admin", admin)
        true(status == 0 and "bytes copied a request" in out, f"the report has them:\n{out}")
        equal(figures["server"]["answered"], 200, "without a warm-up all of it is between the two readings")
        status, _, errors = output_of([LOAD, server.address + "/", "--server-admin", f"127.0.0.1:{server.port}"])
        equal(status, 1, "the exit status where something else answers")
        true("is not an admin listener of gyre" in errors, f"it says so: {errors}")
    for value in ("9090", "nonsense", "127.0.0.1:0"):
        status, _, errors = output_of([LOAD, "http://127.0.0.1:1/", "--server-admin", value])
        equal(status, 2, f"the exit status of {value}")
        true(errors.startswith(f"gyre-load: --server-admin {value}: must be where"), errors)


@test
def a_timed_run_lasts_as_long_as_asked():
    def timed(patience):
        figures = clean(server.address + "/", "-c", "16", "-d", f"{700 * patience}ms", "--warmup", f"{300 * patience}ms")
        true(0.4 * patience < figures["seconds"] < 2.3 * patience + 0.7,
             f"{700 * patience} ms are measured, or what a busy machine makes of them, not {figures['seconds']} s")
        true(figures["answered"] < figures["answered_total"], "the warm-up is not measured")

    with Server("--fixed") as server:
        patiently(timed)


@test
def every_receive_mode_and_several_threads_answer_alike():
    with Server() as server:
        for mode in ("one-shot", "multishot", "incremental", "bundle"):
            figures = clean(server.address + "/site.css", "-c", "9", "-t", "2", "-n", "501", "--check", "--pipeline",
                            "3", "--receive-mode", mode)
            equal(figures["answered"], 501, "answers")


@test
def a_pipeline_is_answered_in_order_and_whole():
    with Server("--fixed") as server:
        figures = clean(server.address + "/", "-c", "4", "--pipeline", "16", "-n", "20000", "--check")
        equal(figures["answered"], 20000, "answers")


@test
def an_open_loop_keeps_its_rate():
    def rated(patience):
        figures = clean(server.address + "/", "-c", "16", "--rate", "100", "-d", f"{patience}s", "--warmup", "100ms", *flags)
        true(figures["rate_reached"], "the rate is reached")
        true(60 < figures["scheduled"] / patience < 140, f"about {100 * patience} were due, not {figures['scheduled']}")
        equal(figures["arrivals"], "poisson" if flags else "constant", "arrivals")
        equal(figures["latency_ns"]["count"], figures["scheduled"], "each that was due has a latency")
        true(figures["unsent"] < 30 * patience, f"nearly all were sent, on a busy machine too, not all but {figures['unsent']}")
        equal(figures["lateness_ns"]["count"], figures["scheduled"] - figures["unsent"], "and each that was sent a lateness")
        true(figures["latency_ns"]["max"] >= figures["service_ns"]["max"], "latency is from the intended time")

    with Server("--fixed") as server:
        for flags in ((), ("--poisson", "--seed", "5")):
            patiently(rated)


@test
def a_server_that_stalls_is_seen_in_every_request_that_was_due():
    """No coordinated omission: 500 ms without an answer, at 100 requests a second on one connection, are some fifty
    requests that waited, not one."""
    def stall(connection, _number):
        answered = 0
        data = b""
        while more := connection.recv(65536):
            data += more
            while b"\r\n\r\n" in data:
                data = data.split(b"\r\n\r\n", 1)[1]
                answered += 1
                if answered == 30 * stalled:
                    time.sleep(0.5 * stalled)
                connection.sendall(answer("200 OK", b"ok"))

    def seen(patience):
        nonlocal stalled
        stalled = patience
        figures = clean(server.url, "-c", "1", "--rate", "100", "-d", f"{1500 * patience}ms", "--warmup", "0", "--timeout", f"{5 * patience}s")
        true(figures["latency_ns"]["p90"] > 150e6 * patience, f"a tenth waited for long: {figures['latency_ns']}")
        true(figures["service_ns"]["p90"] < 100e6 * patience, f"only one was long in service: {figures['service_ns']}")

    stalled = 1
    with Scripted(stall) as server:
        patiently(seen)


@test
def answers_are_told_by_status():
    busy, gone = answer("503 Busy", b"no"), answer("410 Gone", b"no")
    with Scripted(answering(answer("200 OK", b"good"), busy, gone, busy, answer("200 OK", b"good"))) as server:
        status, figures, out, _ = load(server.url, "-c", "1", "-n", "10")
        equal((status, figures["errors"]["status"], figures["tallies"]), (1, 3, {"200": 7, "410": 1, "503": 2}))
        true("  answers: 200 × 7, 503 × 2, 410 × 1\n" in out, f"the most frequent first:\n{out}")
    many = [answer(f"{code} Odd") for code in range(590, 600)]
    with Scripted(answering(*many)) as server:
        status, figures, out, _ = load(server.url, "-c", "1", "-n", "12")
        equal((status, len(figures["tallies"]), figures["tallies"]["599"]), (1, 10, 3))
        true("  answers: 599 × 3, 590 × 1, " in out and ", 2 other kinds × 2\n" in out, f"the line has a bound:\n{out}")
    with Scripted(answering(answer("200 OK", b"good"))) as server:
        status, figures, out, _ = load(server.url, "-c", "1", "-n", "5")
        true(status == 0 and figures["tallies"] == {"200": 5} and "answers:" not in out, f"what goes without saying is not said:\n{out}")


@test
def other_methods_are_sent_with_their_bodies():
    asked = []

    def take(connection, _number):
        data = b""
        while more := connection.recv(65536):
            data += more
            while b"\r\n\r\n" in data:
                head, rest = data.split(b"\r\n\r\n", 1)
                length = int((re.search(rb"Content-Length: (\d+)", head) or [0, 0])[1])
                if len(rest) < length:
                    break
                asked.append((head.split(b" ")[0], rest[:length]))
                data = rest[length:]
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" + (b"" if head.startswith(b"HEAD") else b"thanks!"))

    body = bytes(range(256)) * 1200
    with Scripted(take) as server, tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        figures = clean(server.url, "--body", file.name, "-c", "2", "-n", "6", "--pipeline", "2", "--check")
        equal((figures["method"], figures["body"], asked), ("POST", file.name, [(b"POST", body)] * 6))
        asked.clear()
        equal(clean(server.url, "--method", "HEAD", "-c", "1", "-n", "4", "--pipeline", "2", "--check")["body"], None)
        equal(asked, [(b"HEAD", b"")] * 4)
    with Server() as server:
        clean(server.address + "/site.css", "--method", "HEAD", "-c", "2", "-n", "10", "--check")
        status, figures, out, _ = load(server.address + "/site.css", "--method", "DELETE", "-c", "2", "-n", "10")
        equal((status, figures["tallies"], out.startswith("DELETE http://")), (1, {"405": 10}, True))


@test
def an_echo_is_compared_byte_by_byte():
    def echo(connection, _number):
        while data := connection.recv(65536):
            connection.sendall(data)

    def garble(connection, _number):
        while data := connection.recv(65536):
            connection.sendall(data[:-1] + b"\0")
    for size in ("1", "64", "200000"):
        with Scripted(echo) as server:
            figures = clean(f"tcp://127.0.0.1:{server.port}", "-c", "3", "-n", "60", "--size", size, "--pipeline", "2")
            equal(figures["answered"], 60, "echoes")
    with Scripted(garble) as server:
        status, figures, _, _ = load(f"tcp://127.0.0.1:{server.port}", "-c", "1", "-n", "10")
        equal((status, figures["errors"]["wrong_body"]), (1, 10), "status and wrong bodies")


@test
def the_highest_rate_is_found():
    def slow(connection, _number):
        while connection.recv(65536):
            time.sleep(0.02)
            connection.sendall(answer("200 OK", b"ok"))

    def found(patience):
        status, figures, out, errors = load(server.url, "-c", "4", "--find-max", "--slo", f"p90={patience}s", "-d", f"{400 * patience}ms", seconds=100)
        equal(status, 0, f"the exit status ({errors}{out})")
        true(20 < figures["rate_asked"] < 220, f"four connections, 20 ms each: {figures['rate_asked']}")
        true("highest rate that keeps p90" in out, f"it is said:\n{out}")
        equal(figures["slo"], {"percentile": 90, "ns": patience * 1000000000}, "what was asked for")
        equal(errors, "", "steps are for terminals: stderr")

    with Scripted(slow) as server:
        patiently(found)
        status, figures, out, errors = load(server.url, "-c", "4", "--find-max", "--slo", "p90=1ms", "-d", "200ms")
        equal(status, 1, "the exit status when no rate will do")
        true("no rate keeps p90 under 1.000 ms" in errors, f"it is said: {errors}")


@test
def thousands_of_connections_end_at_once():
    """More of them than the ring has submissions: ending must not take the worker's patience (2 s), nor be given up."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4096:
        raise Skip("the hard limit on open files is below 4096")
    with Server("--fixed") as server:
        status, out, errors = output_of([LOAD, server.address + "/", "-c", "1800", "-n", "3600", "--timeout", "20s"], 60)
        equal((status, errors), (0, ""), f"status and stderr\n{out}")
        true("3600 answers" in out, f"all are answered:\n{out}")


@test
def several_publishers_say_what_all_others_hear_in_order():
    with Chat() as chat:
        url = f"chat://127.0.0.1:{chat.port}/hall"
        figures = clean(url, "--broadcast", "--publishers", "3", "-c", "7", "--pipeline", "4", "-n", "90")
        equal((figures["publishers"], figures["answered_total"], figures["deliveries"]), (3, 90, 90 * 7))
        figures = clean(url, "--broadcast", "-c", "3", "-n", "20")
        equal((figures["publishers"], figures["deliveries"]), (1, 60))


@test
def the_log_is_an_hdr_log():
    with Server("--fixed") as server, tempfile.NamedTemporaryFile(mode="r") as file:
        clean(server.address + "/", "-c", "2", "-n", "200", "--hdr", file.name)
        lines = file.read().splitlines()
        true(any("StartTimestamp" in line for line in lines), f"the legend is there: {lines}")
        true(re.match(r"#\[.*version 1\.\d", "\n".join(l for l in lines if "version" in l)), "and the version")
        data = [line for line in lines if "HISTF" in line]
        equal(len(data), 2, "entries")
        true(data[1].startswith("Tag=service,"), f"the second is tagged: {data[1]}")


@test
def another_reader_finds_the_same_latencies_in_the_log():
    with Server("--fixed") as server, tempfile.NamedTemporaryFile(mode="r") as file:
        figures = clean(server.address + "/", "-c", "4", "-n", "3000", "--hdr", file.name)
        logged = hdr.read(file.name)
        equal(set(logged), {"", "service"}, "tags")
        for tag, key in (("", "latency_ns"), ("service", "service_ns")):
            counts, told = logged[tag], figures[key]
            equal(sum(counts.values()), told["count"], "values")
            for name, share in (("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999)):
                rank, seen = math.ceil(told["count"] * share), 0
                for value in sorted(counts):
                    seen += counts[value]
                    if seen >= rank:
                        break
                # One of them names the upper end of a bucket, which is a thousandth wide.
                true(abs(value - told[name]) <= told[name] / 500, f"{name} of {key} is {value}, not {told[name]}")


@test
def a_terminal_sees_one_line_of_progress():
    def shown_with(patience, *flags):
        status, shown = shown_by([LOAD, server.address + "/", "-c", "2", "-d", f"{900 * patience}ms", "--warmup", f"{300 * patience}ms", *flags],
                                 "stderr")
        equal(status, 0, f"the exit status ({shown})")
        return shown

    def progress(patience):
        shown = shown_with(patience)
        true(b"warming up" in shown and b"measuring" in shown and b"/s" in shown, f"it says how far it is: {shown}")
        true(b"\n" not in shown and shown.count(b"\r\x1b[K") > 2, f"in one line: {shown}")
        true(shown.endswith(b"\r\x1b[K"), f"which is gone at the end: {shown}")

    with Server("--fixed") as server:
        patiently(progress)
        patiently(lambda patience: equal(shown_with(patience, "--quiet"), b"", "what is shown with --quiet"))


@test
def nothing_but_the_report_is_written_to_a_pipe():
    def piped(patience):
        status, out, errors = output_of([LOAD, server.address + "/", "-d", f"{600 * patience}ms", "--warmup", "0", "-c", "2"])
        equal((status, errors), (0, ""), "status and stderr")
        true("\r" not in out and "\x1b" not in out, "no progress in a pipe")

    with Server("--fixed") as server:
        patiently(piped)


class Https(Configured):
    def answers(self):
        return ") serves" in self.log()


@test
def https_is_loaded_with_handshakes_of_either_kind():
    with tempfile.TemporaryDirectory() as path:
        subprocess.run([PROGRAM, "cert", "--dir", path, "localhost"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([PROGRAM, "cert", "--dir", f"{path}/other", "localhost"], check=True, stdout=subprocess.DEVNULL)
        trust = ("--ca", os.path.join(path, "authority.pem"), "-c", "2")
        for kind, resumed in ((), 0), (("--handshakes", "full"), 0), (("--handshakes", "resumed"), 38):
            with Https("workers 1;\nadmin 127.0.0.1:{admin};\nhttp { listen 127.0.0.1:{port}; fixed on;\n"
                       f"certificate {path}/localhost.pem; }}\n") as server:
                url = f"https://localhost:{server.port}/"
                figures = clean(url, *trust, "-n", "40", *kind)
                equal(figures["answered_total"], 40)
                counted = server.metrics()
                done = [counted[f'gyre_tls_handshakes_total{{kind="{each}"}}'] for each in ("full", "resumed")]
                true(done[1] >= resumed and (resumed or done[1] == 0), f"{kind}: full and resumed: {done}")
                true(sum(done) >= (40 if kind else 2), f"{kind}: full and resumed: {done}")
                status, _, _, errors = load(url, "--ca", os.path.join(path, "other/authority.pem"), "-n", "1", "-c", "1")
                equal(status, 1)
                true("nobody whom we trust" in errors, errors)
                clean(url, "--insecure", "-n", "1", "-c", "1")


run()
