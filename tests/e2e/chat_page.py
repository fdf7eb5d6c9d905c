# SPDX-License-Identifier: GPL-3.0-or-later
"""The chat's page, served, and people who have it before them."""

import contextlib
import json
import subprocess
import tempfile

from browser import Browser, program
from harness import PROGRAM, Connection, Server, free_ports, true


class Chat(Server):
    """`gyre chat serve` with a page; nothing is kept."""

    def __init__(self, *flags):  # pylint: disable=super-init-not-called
        self.port, self.web = free_ports(2)
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [PROGRAM, "chat", "serve", "--listen", f"127.0.0.1:{self.port}", "--web", f"127.0.0.1:{self.web}", "--store",
             "memory", "--workers", "2", *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors,
            start_new_session=True)
        self.pid = self.process.pid

    def answers(self):
        with contextlib.suppress(OSError), Connection(self.web) as connection:
            return connection.get("/").status == 200
        return False


class Person:
    """A browser with the page in it."""

    def __init__(self, server, nick, room="lobby", **more):
        true(program(), "chromium is installed; ci/setup --test installs what the tests need")
        self.page = Browser(**more)
        self.page.open(f"http://127.0.0.1:{server.web}/#{room}")
        self.page.wait_for("!document.querySelector('#door').hidden")
        self.fill("#nick", nick)
        self.page.evaluate("document.querySelector('#login').requestSubmit()")
        self.page.wait_for("!document.querySelector('#chat').hidden")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.close()

    def fill(self, selector, words):
        self.page.evaluate(f"document.querySelector({json.dumps(selector)}).value = {json.dumps(words)}")

    def say(self, words):
        self.fill("#say", words)
        self.page.evaluate("document.querySelector('#compose').requestSubmit()")

    def hears(self, words):
        self.page.wait_for(f"[...document.querySelectorAll('#messages .text')].some((e) => e.textContent === {json.dumps(words)})")

    def texts(self):
        return self.page.evaluate("[...document.querySelectorAll('#messages .text')].map((e) => e.textContent)")
