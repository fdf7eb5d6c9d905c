# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages from one end to the other, by the programs of bench/path: ours, and those around rivals' libraries (bench/peers)."""

import contextlib
import json
import os
import subprocess

import measure

RIVALS = {  # the file of bench/peers, its flags
    "enet": ("enet", ()),
    "srt": ("srt", ()),
    "quic": ("quic", ("--congestion", "cubic")),
    "quic-bbr": ("quic", ("--congestion", "bbr")),
}
DRAIN_S = 40  # for what is under way when a client stops


def chosen(parser, text):
    """Of a --peers option; none where it is empty."""
    names = list(filter(None, text.split(",")))
    if unknown := [name for name in names if name not in RIVALS]:
        parser.error(f"--peers {unknown[0]}: not one of {', '.join(RIVALS)}")
    return names


def tell_versions(build, names):
    """Says which versions are measured, and returns the files of bench/peers that they are of."""
    os.environ["GYRE_BUILD"] = str(build)  # where those files look for their programs
    peers = list(dict.fromkeys(RIVALS[name][0] for name in names))
    for peer in peers:
        done = subprocess.run([f"{measure.HERE}/peers/{peer}", "version"], capture_output=True, text=True, check=False)
        print(f"{peer}: {(done.stdout or done.stderr).strip()}")
    return peers


def programs(build, name, flags):
    """(server, client) command lines, with {port} where it goes; `name` is a rival, or else the program that `flags` are of."""
    if name in RIVALS:
        peer, own = RIVALS[name]
        script = f"{measure.HERE}/peers/{peer}"
        return [script, "run", "{port}", *own, *flags], [script, "send", "{port}", *own, *flags]
    return ([f"{build}/bench/{name}", "--serve", "--port", "{port}", *flags], [f"{build}/bench/{name}", "--port", "{port}", *flags])


@contextlib.contextmanager
def relayed(build, port, network):
    """The port that leads to `port` through lossy-relay with the flags `network`; without them it is that port."""
    if network is None:
        yield port
        return
    with measure.Server("lossy-relay", f"{build}/bench/lossy-relay --listen {{port}} --to {port} {' '.join(network)}",
                        ",".join(map(str, os.sched_getaffinity(0))), probe=measure.has_udp) as relay:
        yield relay.port


def run(build, name, flags, network=None):
    """What the client, on core 1, and the server, on core 0, say of one run, and what both used for each message."""
    server_words, client_words = programs(build, name, flags)
    with open(os.devnull, "rb") as nothing, \
            measure.Server(name, " ".join(server_words), 0, probe=measure.has_udp, stdout=subprocess.PIPE) as server, \
            relayed(build, server.port, network) as port:
        words = measure.on_core(1, *(word.replace("{port}", str(port)) for word in client_words))
        try:
            client = subprocess.run(words, stdin=nothing, capture_output=True, text=True, timeout=90, check=False)
        except subprocess.TimeoutExpired:
            raise measure.Failed(f"{name}: `{' '.join(words)}` did not end within 90 s") from None
        if client.returncode != 0:
            raise measure.Failed(f"{name}: `{' '.join(words)}` ended with {client.returncode}: {client.stderr.strip()}")
        try:
            served = json.loads(server.process.communicate(timeout=DRAIN_S)[0])
        except (ValueError, subprocess.TimeoutExpired):
            raise measure.Failed(f"{name}: its server said nothing when the client had gone") from None
    sent = json.loads(client.stdout)
    messages = max(served["received"], 1)
    return {"sent": sent, "served": served, "missing": sent["sent"] - served["received"],
            "send_us": sent["cpu_seconds"] / messages * 1e6, "receive_us": served["cpu_seconds"] / messages * 1e6,
            "ns_per_byte": (sent["cpu_seconds"] + served["cpu_seconds"]) / max(served["bytes"], 1) * 1e9}
