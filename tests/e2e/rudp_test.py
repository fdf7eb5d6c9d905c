# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre rudp: a server that echoes, pinged directly and through a translator of addresses that forgets."""

import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import generator
from configured import Configured
from harness import ALARMS, PROGRAM, SERVES, equal, free_ports, output_of, patiently, run, test, true, until
from reliable import Certificates, Rudp
from scripted import Datagrams


CONFIG = """workers {workers};
admin 127.0.0.1:{admin};
rudp {
    listen 127.0.0.1:{port};
    service echo;
    {mode};
    steer {steer};
}
"""


class Block(Configured):
    """A server of a file, which answers at its admin listener."""

    def answers(self):
        try:
            return self.fetch("admin", "/metrics").status == 200
        except OSError:
            return False


def configured(workers=2, steer="on", mode="plaintext on"):
    return Block(CONFIG.replace("{workers}", str(workers)).replace("{steer}", steer).replace("{mode}", mode))


def ping(port, *flags, status=0, mode=("--plaintext",), whole=False):
    done = subprocess.run([PROGRAM, "rudp", "ping", f"127.0.0.1:{port}", *mode, "--json", *flags],
                          capture_output=True, text=True, timeout=60, check=False)
    true(not ALARMS.search(done.stderr), f"nothing complains: {done.stderr[-3000:]}")
    equal(done.returncode, status, f"the exit status; {done.stderr}")
    if status != 0:
        return done.stderr
    return json.loads(done.stdout) if whole else json.loads(done.stdout)["guarantees"]


class Translator(Datagrams):
    """Relays datagrams of one client; from time to time the server sees it come from another port, and what is under
    way to the old one is lost."""

    def __init__(self, port, every):
        self.server, self.every, self.changes = ("127.0.0.1", port), every, 0
        super().__init__()

    def fresh(self):
        outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        outer.connect(self.server)
        return outer

    def run(self):
        outer, client, passed = [self.fresh()], None, 0
        for ready in self.ready(outer):
            if ready is not self.socket:
                if ready is outer[0]:
                    self.socket.sendto(ready.recv(65536), client)
                continue
            data, client = ready.recvfrom(65536)
            passed += 1
            if passed % self.every == 0:
                outer[0].close()
                outer[0] = self.fresh()
                self.changes += 1
            outer[0].send(data)
        outer[0].close()


@test
def messages_of_every_guarantee_and_length_come_back():
    with Rudp("--echo") as server:
        found = ping(server.port, "--count", "50", "--interval", "2")
        equal(sorted(found), ["ordered", "sequenced", "unordered", "unreliable"])
        for name, result in found.items():
            equal((result["sent"], result["received"]), (50, 50), name)
        found = ping(server.port, "--count", "20", "--interval", "0", "--size", "65536", "--guarantee", "ordered")
        equal(found["ordered"]["received"], 20)


@test
def a_sink_keeps_what_it_gets():
    def sent(patience):
        text = ping(server.port, "--count", "2", "--interval", "1", "--timeout", f"{300 * patience}", "--guarantee", "unordered", status=1)
        equal(text, "", "messages that do not come back are no error of the connection")

    with Rudp("--sink") as server:
        patiently(sent)


@test
def a_client_that_changes_its_port_goes_on_with_four_workers():
    def goes_on(patience):
        with configured(workers=4, steer=steer) as server, Translator(server.port, 25) as translator:
            count = 200 * patience
            found = ping(translator.port, "--count", str(count), "--interval", "1", "--guarantee", "ordered", "--guarantee", "unordered")
            equal((found["ordered"]["received"], found["unordered"]["received"]), (count, count))
            true(translator.changes >= 5, f"it changed {translator.changes} times")
            metrics = server.metrics()
            true(metrics['gyre_rudp_paths_changed_total{server="rudp"}'] >= 3, "the server follows")
            forwarded = metrics['gyre_rudp_forwarded_total{server="rudp"}']
            true(steer == "on" or forwarded > 0, f"what other workers got was forwarded: {forwarded}")

    for steer in ("on", "off"):
        patiently(goes_on)


@test
def nobody_there_is_said_in_time():
    began = time.monotonic()
    text = ping(free_ports(1)[0], "--timeout", "400", status=1)
    true("did not answer" in text and "running there?" in text, text)
    true(time.monotonic() - began < 9, "it does not wait for the ten seconds that there are without --timeout")


@test
def noise_gets_no_more_than_it_sends_and_harms_nobody():
    with configured() as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
            noise.connect(("127.0.0.1", server.port))
            noise.settimeout(0.2)
            chance = random.Random(7)
            sent = received = 0
            for length in [1, 2, 8, 9, 20, 22, 64, 1200, 1400] * 20:
                data = bytearray(chance.randbytes(length))
                noise.send(data)
                sent += length
            try:
                while True:
                    received += len(noise.recv(65536))
            except TimeoutError:
                pass
            true(received < sent, f"{received} bytes for {sent}")
        equal(ping(server.port, "--count", "3", "--interval", "1")["ordered"]["received"], 3)
        true(server.metrics()['gyre_rudp_dropped_total{reason="stranger",server="rudp"}'] > 0, "it was counted")


@test
def a_packet_of_a_connection_that_is_gone_is_reset():
    with Rudp("--echo") as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect(("127.0.0.1", server.port))
        peer.settimeout(20)
        packet = b"\x40" + bytes(8) + bytes(40)
        tokens = set()
        for _ in range(2):
            peer.send(packet)
            answer = peer.recv(2048)
            equal(len(answer), 21)
            tokens.add(answer[-16:])
        equal(len(tokens), 1, "the token is that of the id")


def are_connected(admin, count):
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=20) as answer:
        return f'gyre_rudp_connections{{server="rudp"}} {count}\n' in answer.read().decode()


@test
def who_stops_says_so():
    admin = free_ports(1)[0]
    with Rudp("--echo", "--admin", f"127.0.0.1:{admin}") as server:
        client = subprocess.Popen([PROGRAM, "rudp", "ping", f"127.0.0.1:{server.port}", "--plaintext", "--count", "100000",
                                   "--interval", "5"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until(lambda: are_connected(admin, 1), "it is connected")
        equal(server.stop(), 0)
        text = client.communicate(timeout=20)[1]
        true("the server closed the connection: this end goes away" in text, text)
        equal(client.returncode, 1)


@test
def a_ping_to_a_server_that_echoes_nothing_says_so():
    with Rudp("--sink") as server:
        done = subprocess.run([PROGRAM, "rudp", "ping", f"127.0.0.1:{server.port}", "--plaintext", "--count", "1"], capture_output=True,
                              timeout=60, text=True, check=False)
        equal(done.returncode, 1, done.stderr)
        true("Nothing came back: is that server an echo" in done.stdout, done.stdout)


@test
def a_client_of_a_process_that_died_is_told_by_the_next_one():
    admin = free_ports(1)[0]
    with Rudp("--echo", "--admin", f"127.0.0.1:{admin}") as server:
        client = subprocess.Popen([PROGRAM, "rudp", "ping", f"127.0.0.1:{server.port}", "--plaintext", "--count", "100000",
                                   "--interval", "5"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until(lambda: are_connected(admin, 1), "it is connected")
        os.kill(int(SERVES.search(server.log())[1]), signal.SIGKILL)
        text = client.communicate(timeout=20)[1]
        true("forgotten" in text, text)


@test
def a_full_table_takes_nobody_in_until_somebody_leaves():
    text = CONFIG.replace("{workers}", "1").replace("steer {steer};", "connections 1;").replace("{mode}", "plaintext on")
    with Block(text) as server:
        first = subprocess.Popen([PROGRAM, "rudp", "ping", f"127.0.0.1:{server.port}", "--plaintext", "--count", "100000",
                                  "--interval", "5"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: server.metrics()['gyre_rudp_connections{server="rudp"}'] == 1, "it is connected")
        true("did not answer" in ping(server.port, "--timeout", "700", status=1), "the second one is not")
        true(server.metrics()['gyre_rudp_connections_refused_total{server="rudp"}'] >= 1, "that was counted")
        first.terminate()
        first.wait(20)
        until(lambda: server.metrics()['gyre_rudp_connections{server="rudp"}'] == 0, "it is gone")
        equal(ping(server.port, "--count", "1")["ordered"]["received"], 1)


@test
def the_load_generator_says_in_time_that_nobody_answers_and_what_to_try():
    def said(port, *mode):
        began = time.monotonic()
        status, _, _, errors = generator.load(f"rudp://127.0.0.1:{port}", "--timeout", "500ms", "-d", "20s", *mode, seconds=60)
        equal(status, 1, errors)
        true(time.monotonic() - began < 15, "within its timeout")
        return errors
    errors = said(free_ports(1)[0], "--plaintext")
    true("did not answer, and nothing has that UDP port" in errors and "is the server running" in errors, errors)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        errors = said(other.getsockname()[1], "--plaintext")
        true("did not answer; does a server of reliable UDP have that port" in errors, errors)
    with Rudp("--echo") as server:
        errors = said(server.port, "--insecure")
        true("without encryption only; --plaintext is for" in errors, errors)


def load(port, *flags, mode=("--plaintext",)):
    status, figures, _, errors = generator.load(f"rudp://127.0.0.1:{port}", *mode, "--quiet", *flags, seconds=60)
    equal(status, 0, errors)
    return figures


@test
def the_load_generator_counts_echoes():
    with Rudp("--echo") as server:
        found = load(server.port, "-n", "5000", "-c", "3", "--pipeline", "40")
        equal((found["errors"]["total"], found["answered"]), (0, 5000))
        found = load(server.port, "-n", "100", "-c", "2", "--size", "20000")
        equal((found["errors"]["total"], found["answered"]), (0, 100))


@test
def the_load_generator_counts_what_is_acknowledged():
    with Rudp("--sink", "--datagram", "1452") as server:
        found = load(server.port, "-n", "20000", "-c", "2", "--pipeline", "1500", "--acked", "--datagram", "1452")
        equal((found["errors"]["total"], found["answered"]), (0, 20000))
        found = load(server.port, "-n", "40", "-c", "1", "--pipeline", "4", "--acked", "--size", "500000")
        equal((found["errors"]["total"], found["answered"]), (0, 40))


@test
def marks_reach_the_other_end_and_its_path_is_not_taken_for_one_without():
    with configured(workers=1) as server:
        load(server.port, "-n", "600", "-c", "1")
        metrics = server.metrics()
        # Each end sends a mark of its own within its first 128 packets, to see whether it is told.
        true(metrics['gyre_rudp_ecn_marks_total{side="received",server="rudp"}'] >= 1, "the client's mark came")
        equal(metrics['gyre_rudp_ecn_failed_total{server="rudp"}'], 0)
        equal(metrics['gyre_rudp_ecn_marks_total{side="sent",server="rudp"}'], 0)


@test
def a_server_that_dies_is_an_error_of_the_load_generator():
    generator.needed()

    def dies(patience):
        admin = free_ports(1)[0]
        with Rudp(service, "--admin", f"127.0.0.1:{admin}") as server:
            client = subprocess.Popen([generator.LOAD, f"rudp://127.0.0.1:{server.port}", "--plaintext", "--quiet", "--json", "-", "-c", "2",
                                       "-d", f"{2 * patience}s", "--warmup", "0s", "--timeout", f"{300 * patience}ms", *flags],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            until(lambda: are_connected(admin, 2) or client.poll() is not None, "they are connected")
            os.killpg(server.process.pid, signal.SIGKILL)
            server.wait()
            out, said = client.communicate(timeout=60)
        equal(client.returncode, 1, said)
        equal(json.loads(out)["errors"]["timeout"], 2, "what was under way on each connection")

    for service, flags in (("--echo", ()), ("--sink", ("--acked",))):
        patiently(dies)


@test
def encrypted_messages_come_back_and_the_load_generator_counts_them():
    with Certificates() as files, Rudp("--echo", mode=("--tls", files.server)) as server:
        found = ping(server.port, "--count", "20", "--interval", "2", mode=files.trust)
        for name, result in found.items():
            equal((result["sent"], result["received"]), (20, 20), name)
        found = ping(server.port, "--count", "10", "--interval", "0", "--size", "65536", "--guarantee", "ordered",
                     mode=files.trust)
        equal(found["ordered"]["received"], 10)
        found = load(server.port, "-n", "3000", "-c", "3", "--pipeline", "40", mode=files.trust)
        equal((found["errors"]["total"], found["answered"]), (0, 3000))


@test
def an_encrypted_client_that_changes_its_port_goes_on_with_four_workers():
    def goes_on(patience):
        with configured(workers=4, mode=f"certificate {files.server}; early-data on") as server, Translator(server.port, 25) as translator:
            count = 100 * patience
            found = ping(translator.port, "--count", str(count), "--interval", "1", "--guarantee", "ordered", mode=files.trust)
            equal(found["ordered"]["received"], count)
            true(translator.changes >= 2, f"it changed {translator.changes} times")
            true(server.metrics()['gyre_rudp_paths_changed_total{server="rudp"}'] >= 1, "the server follows")

    with Certificates() as files:
        patiently(goes_on)


@test
def who_comes_back_sends_with_the_first_packet_where_the_server_takes_that():
    with Certificates() as files, configured(mode=f"certificate {files.server}; early-data on") as server:
        found = ping(server.port, "--early", "--count", "3", "--interval", "1", "--guarantee", "ordered", mode=files.trust,
                     whole=True)
        true(found["early_taken"], "the first message was taken early")
        equal(found["guarantees"]["ordered"]["received"], 3)
        true(server.metrics()['gyre_rudp_messages_early_total{server="rudp"}'] >= 1, "that was counted")
        equal(server.metrics()['gyre_rudp_address_tokens_total{result="taken",server="rudp"}'], 1, "and no cookie was needed")
    with Certificates() as files, configured(mode=f"certificate {files.server}") as server:
        found = ping(server.port, "--early", "--count", "3", "--interval", "1", "--guarantee", "ordered", mode=files.trust,
                     whole=True)
        true(not found["early_taken"], "without early-data nothing is taken early")
        equal(found["guarantees"]["ordered"]["received"], 3)
    with Certificates() as files, configured(mode=f"certificate {files.server}; session-tickets off") as server:
        def told(patience):
            text = ping(server.port, "--early", "--timeout", f"{500 * patience}", status=1, mode=files.trust)
            true("gave none" in text, text)

        patiently(told)


@test
def who_cannot_be_trusted_is_refused_with_a_sentence_and_soon():
    with Certificates() as files, Certificates() as others, Rudp("--echo", mode=("--tls", files.server)) as server:
        began = time.monotonic()
        text = ping(server.port, status=1, mode=others.trust)
        true("signed by nobody whom we trust" in text, text)
        true(time.monotonic() - began < 8, "it does not wait for the ten seconds of --timeout")
        text = ping(server.port, "--count", "1", status=0, mode=files.trust)
        done = subprocess.run([PROGRAM, "rudp", "ping", f"127.0.0.1:{server.port}", "--insecure", "--count", "1"],
                              capture_output=True, text=True, timeout=20, check=False)
        equal(done.returncode, 0, done.stderr)
        true("WARNING" in done.stderr, done.stderr)


@test
def a_client_shows_a_certificate_where_one_is_required():
    with Certificates() as files, \
            configured(mode=f"certificate {files.server}; client-certificates required {files.authority}") as server:
        text = ping(server.port, "--count", "1", status=1, mode=files.trust)
        true("showed no certificate" in text, text)
        found = ping(server.port, "--count", "1", mode=(*files.trust, "--cert", files.client))
        equal(found["ordered"]["received"], 1)
        until(lambda: server.metrics()['gyre_rudp_connections_closed_total{reason="handshake",server="rudp"}'] >= 1, "it is counted")


@test
def neither_mode_becomes_the_other():
    with Certificates() as files:
        with Rudp("--echo", mode=("--tls", files.server)) as server:
            text = ping(server.port, status=1)
            true("with encryption only" in text and "--plaintext" in text, text)
        with Rudp("--echo") as server:
            text = ping(server.port, status=1, mode=files.trust)
            true("without encryption only" in text and "--plaintext" in text, text)


@test
def without_a_word_about_encryption_nothing_is_served():
    done = subprocess.run([PROGRAM, "rudp", "serve", "--echo", "--check"], capture_output=True, text=True, timeout=20,
                          check=False)
    equal(done.returncode, 1)
    true("--plaintext" in done.stderr, done.stderr)
    done = subprocess.run([PROGRAM, "rudp", "serve", "--plaintext"], capture_output=True, text=True, timeout=20, check=False)
    equal(done.returncode, 2)
    true("--echo" in done.stderr, done.stderr)


@test
def a_block_that_makes_no_sense_is_refused_by_line():
    for block, wanted in (("plaintext on;", "service"), ("service both;", "echo or sink"),
                          ("service echo; early-data on;", "certificate"),
                          ("service echo; plaintext on; window 64k; max-message 64k;", "window")):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "gyre.conf")
            with open(file, "w", encoding="utf-8") as out:
                out.write(f"rudp {{\n    listen 127.0.0.1:7117;\n    {block}\n}}\n")
            done = subprocess.run([PROGRAM, "serve", "--config", file, "--check"], capture_output=True, text=True,
                                  timeout=20, check=False)
            equal(done.returncode, 1)
            true(wanted in done.stderr and "gyre.conf:" in done.stderr, done.stderr)


@test
def both_ends_write_qlog_where_they_are_told_to():
    with tempfile.TemporaryDirectory() as folder, Certificates() as files:
        flags = ("--qlog", folder, "--congestion", "bbr", "--fec", "4")
        with Rudp("--echo", *flags, mode=("--tls", files.server)) as server:
            found = ping(server.port, "--count", "9", "--interval", "5", *flags, mode=files.trust)
            equal({name: result["received"] for name, result in found.items()}, dict.fromkeys(found, 9))
        sides = set()
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                records = [json.loads(record) for record in file.read().split("\x1e")[1:]]
            sides.add(records[0]["trace"]["vantage_point"]["type"])
            equal(records[0]["file_schema"], "urn:ietf:params:qlog:file:sequential")
            names = [record["name"] for record in records[1:]]
            for wanted in ("quic:packet_sent", "quic:packet_received", "quic:recovery_metrics_updated", "quic:connection_closed"):
                true(wanted in names, f"{name}: {wanted}")
            sent = sum(record["data"]["sent"] for record in records[1:] if record["name"] == "rudp:channel")
            equal(sent, 36, name)
        equal(sides, {"client", "server"})


@test
def a_simulated_path_gives_the_same_figures_twice_and_a_plot():
    with tempfile.TemporaryDirectory() as folder:
        plot = os.path.join(folder, "plot.svg")
        command = [PROGRAM, "rudp", "sim", "--loss", "5", "--seconds", "2", "--seed", "3", "--json"]
        status, first, said = output_of([*command, "--svg", plot])
        equal(status, 0, said)
        equal(output_of(command)[1], first)
        flow = json.loads(first)["flows"][0]
        true(flow["delivered"] == flow["sent"] and flow["p99_ms"] < 58 and flow["packets_lost"] > 0, first)
        with open(plot, encoding="utf-8") as file:
            drawn = file.read()
        equal(drawn.count("<polyline"), 6)
        equal(output_of([PROGRAM, "rudp", "sim", "--fec", "1"])[0], 2)


@test
def the_help_shows_what_there_is():
    for command in (["rudp"], ["rudp", "serve"], ["rudp", "ping"], ["rudp", "sim"]):
        status, text, _ = output_of([PROGRAM, *command, "--help"])
        equal(status, 0)
        true("Usage: gyre rudp" in text, " ".join(command))


@test
def values_may_stand_behind_an_equals_sign():
    for words, wanted, said in ((["sim", "--loss=3", "--seconds=1", "--json"], 0, '"delivered":1000'), (["serve", "--ech=x"], 2, "did you mean --echo?"),
                                (["serve", "--drop"], 2, "--drop needs a value"), (["serve", "--tls"], 2, "--tls needs a value")):
        status, out, errors = output_of([PROGRAM, "rudp", *words])
        equal(status, wanted, f"the exit status of {words}: {errors}")
        true(said in out + errors, f"{words}: {out}{errors}")


run()
