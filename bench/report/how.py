# SPDX-License-Identifier: GPL-3.0-or-later
"""How it was measured, in the words of the report's last section."""

FEW = ("Ratio and interval: the median, least and greatest round. {rounds} rounds are too few for the 95 % interval of the "
       "signed-rank test (it takes six); these hold the true median {share:.0%} of the time: a look, not a proof.")
MANY = ("Ratio and interval: the Hodges–Lehmann estimate of the rounds' log ratios, and the 95 % interval of the signed-rank "
        "test.")


def how_lines(data):
    if data.get("how"):  # of a script that measured by itself, see collected.py
        return data["how"]
    o = data["options"]
    limit = " A quick look takes the variant that was cheaper when all were tried, before the rounds." * (o["kind"] == "quick")
    return [
        f"Servers run on core {o['server_core']}, one worker each; gyre-load with {o['connections']} connections on core "
        f"{o['client_core']} (1,000 ports for DNS over UDP, 100 in a room, one for reliable UDP). Every answer is checked. "
        "A window with a single error is void.",
        f"Windows are interleaved: in each of {o['rounds']} rounds every server is started afresh, in an order drawn anew, "
        f"warmed up for {o['warmup']} s and measured for {o['seconds']} s. Ratios are taken inside a round and then combined, "
        "so that the machine's mood falls out.",
        MANY if o["rounds"] >= 6 else FEW.format(rounds=o["rounds"], share=1 - 2 ** (1 - o["rounds"])),
        "“Better” and “worse” are said only where the interval does not hold 1. There are many intervals here: of those of "
        "95 %, one in twenty misses its mark.",
        "Closed loop: each connection asks again as soon as it is answered. CPU per operation compares there where both "
        "servers saturate their core (94 %); where one did not, the cell says so. Latencies of a closed loop are those of a "
        "full server.",
        "Equal load: an open loop at one Poisson rate for all, 60 % of what the slowest server can do. Latency is from when a "
        "request was due, so a server that stalls pays for what waited behind it.",
        "A generator that was the bottleneck voids the latencies of its window. It does not void the server's CPU per "
        "operation, which stays.",
        "Server CPU is user and system time of all its processes, as the kernel counts it, over the answers in the window. "
        "Enters, submissions, completions and copied bytes are gyre's own counters, read from its admin listener; of other "
        "servers they are not known.",
        "The limit is the faster of small programs on a ring and on epoll that make the kernel do the same work and "
        f"understand nothing.{limit}",
        "Everything goes over loopback: there the receiver's share of the kernel's work is partly done on the sender's core, "
        "and no network card is measured. docs/measuring.md tells how to measure one.",
    ]
