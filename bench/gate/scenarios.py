# SPDX-License-Identifier: GPL-3.0-or-later
"""Layer 2's scenarios: which server is started, and what is asked of it. A new protocol adds its rows here.

In a server's command {program} is the server, {port} a free port and {files} a folder with what files() puts there; in an
address {port} is the same port. Closed loops with few connections: the server's core is busy all the time, and its cost does
not hang on how often it falls asleep.
"""

import shlex
from dataclasses import dataclass

PAGE_BYTES = 4096


@dataclass(frozen=True)
class Scenario:
    name: str
    what: str     # one operation, in words
    command: str  # of the server
    url: str
    load: tuple   # flags of gyre-load


HTTP = "{program} http --listen 127.0.0.1:{{port}} --workers 1"

SCENARIOS = (
    Scenario("keepalive", "a small GET on one of 16 connections", HTTP + " --fixed", "http://127.0.0.1:{port}/", ("-c", "16")),
    Scenario("pipeline16", "a small GET, 16 in flight on each of 16 connections", HTTP + " --fixed",
             "http://127.0.0.1:{port}/", ("-c", "16", "--pipeline", "16")),
    Scenario("file", "a GET of a file of 4 KiB on one of 16 connections", HTTP + " {files}",
             "http://127.0.0.1:{port}/page.html", ("-c", "16")),
)


def write_files(folder):
    folder.mkdir(exist_ok=True)
    (folder / "page.html").write_text("x" * PAGE_BYTES)


def command_of(scenario, program, files):
    """With only {port} left in it."""
    return scenario.command.format(program=program, files=shlex.quote(str(files)))


def named(names):
    """Those of these names; all, where there are none. Unknown names are left to whoever asks."""
    return [scenario for scenario in SCENARIOS if not names or scenario.name in names]
