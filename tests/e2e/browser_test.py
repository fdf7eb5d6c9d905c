# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in site in a real browser."""

import os
import signal
import tempfile

from accessible import barriers
from browser import Browser, program
from configured import Configured
from harness import Server, equal, run, test, true, until


def browser(*arguments, **more):
    true(program(), "chromium is installed; ci/setup --test installs what the tests need")
    return Opened(*arguments, **more)


class Opened:
    def __init__(self, *arguments, **more):
        self.page = Browser(*arguments, **more)

    def __enter__(self):
        return self.page

    def __exit__(self, *_):
        self.page.close()


NUMBERS = "document.querySelectorAll('#tiles dd.value').length >= 8 && document.querySelector('#tiles').textContent"


@test
def the_page_shows_live_figures():
    with Server() as server, browser() as page:
        page.open(server.address + "/")
        page.wait_for("document.querySelector('#state').textContent.startsWith('serving')")
        page.wait_for(NUMBERS)
        page.wait_for("document.querySelectorAll('#workers tr').length === 2")
        equal(page.evaluate("document.querySelector('#version').textContent"), server.status()["version"])
        true(page.evaluate("document.querySelectorAll('#features li.used').length") > 5, "ring features are listed")
        page.wait_for("/^[0-9.,]+$/.test(document.querySelector('#live-value').textContent)")
        before = page.evaluate(NUMBERS)
        page.wait_for(f"(document.querySelector('#tiles').textContent) !== {before!r}", 10)
        page.wait_for("(document.querySelector('#line').getAttribute('d').match(/L/g) || []).length >= 2", 20)
        equal(page.complaints, [], "what the browser complained of")
        others = {url for url in page.requested if not url.startswith(server.address + "/")} - {"about:blank"}
        equal(others, set(), "what was asked of other places")


@test
def the_admin_page_plots_every_server():
    text = ("workers 2;\nadmin 127.0.0.1:{admin};\nhttp { listen 127.0.0.1:{port}; }\n"
            "http other { listen 127.0.0.1:{other}; fixed on; }\n")
    with Configured(text) as server, browser() as page:
        address = f"http://127.0.0.1:{server.ports['admin']}"
        page.open(address + "/")
        page.wait_for("document.querySelector('#state').textContent === 'serving'")
        page.wait_for("document.querySelectorAll('#servers tr').length === 3")
        page.wait_for("document.querySelectorAll('#workers tr').length === 2")
        equal(page.evaluate("[...document.querySelectorAll('#plots h2')].map((h) => h.textContent)"),
              ["Requests per second", "Connections", "Latency", "Processor"])
        for _ in range(3):
            equal(server.fetch("other").status, 200)
            page.wait_for("document.querySelectorAll('#plots .s2').length > 0", 10)
        page.wait_for("[...document.querySelectorAll('#plots path.line')].filter((l) => "
                      "(l.getAttribute('d').match(/L/g) || []).length >= 2).length >= 8")
        server.fetch("other")
        page.wait_for("/s$/.test(document.querySelector('#servers tr:nth-child(2) td:last-child').textContent)")
        equal(barriers(page), [])
        equal(page.complaints, [], "what the browser complained of")
        others = {url for url in page.requested if not url.startswith(address + "/")} - {"about:blank"}
        equal(others, set(), "what was asked of other places")
        policy = server.fetch("admin").fields["content-security-policy"]
        true("script-src 'sha256-" in policy and "unsafe" not in policy and "default-src 'none'" in policy, policy)
        # What the policy forbids does not run: a script that is not the page's own.
        equal(page.evaluate("(() => { const s = document.createElement('script'); s.textContent = 'window.odd = 1';"
                            " document.body.append(s); return window.odd === undefined; })()"), True)


@test
def the_page_notices_a_replaced_process():
    with Server() as server, browser() as page:
        page.open(server.address + "/")
        page.wait_for("document.querySelector('#state').textContent.startsWith('serving')")
        before = server.serving()
        server.signal(signal.SIGHUP)
        page.wait_for("document.querySelector('#state').textContent.includes('replaced')")
        until(lambda: server.serving() != before, "another process serves")
        page.wait_for(f"document.querySelector('#host').textContent.includes('{server.serving()}')")


@test
def the_page_says_when_nobody_answers_and_when_again():
    with Server() as server, browser() as page:
        page.open(server.address + "/")
        page.wait_for("document.querySelector('#state').textContent.startsWith('serving')")
        port = server.port
        equal(server.stop(), 0)
        page.wait_for("document.querySelector('#state').textContent.startsWith('not answering')")
        with Server(listen=f"127.0.0.1:{port}"):
            page.wait_for("document.querySelector('#state').textContent.includes('serving')")


@test
def the_page_fits_a_phone_and_both_colour_schemes():
    with Server() as server:
        grounds = set()
        for width, height, scheme in ((360, 740, "light"), (1280, 900, "dark")):
            with browser(width, height, scheme) as page:
                page.open(server.address + "/")
                page.wait_for(NUMBERS)
                true(page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"no sideways scrolling at {width}")
                equal(barriers(page), [], f"of the page at {width}, {scheme}")
                grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
                with tempfile.TemporaryDirectory() as folder:
                    picture = os.path.join(folder, "page.png")
                    page.screenshot(picture)
                    true(os.path.getsize(picture) > 10000, "there is something to see")
        equal(len(grounds), 2, "grounds: one for each scheme")


@test
def the_page_can_be_used_by_keyboard():
    with Server() as server, browser() as page:
        page.open(server.address + "/")
        page.wait_for(NUMBERS)
        page.press("Tab")
        equal(page.evaluate("document.activeElement.className"), "skip", "the first stop")
        page.press("Tab")
        equal(page.evaluate("document.activeElement.value"), "rate", "the second stop")
        page.press("ArrowRight")
        page.wait_for("document.querySelector('#live-title').textContent === 'Processor time'")
        named = page.evaluate(
            "[...document.querySelectorAll('section,fieldset,dl,[role=region]')].every(e =>"
            " e.querySelector('legend') || document.getElementById(e.getAttribute('aria-labelledby')))")
        true(named, "every part has a name for a screen reader")
        equal(page.evaluate("document.querySelectorAll('h1').length"), 1, "first headings")


@test
def what_is_not_there_has_a_page_as_well():
    with Server() as server, browser() as page:
        page.open(server.address + "/none")
        equal(page.evaluate("document.querySelector('h1').textContent"), "There is nothing at this address")
        true(page.evaluate("getComputedStyle(document.querySelector('main')).display") == "grid", "it has its looks")
        equal(barriers(page), [])


@test
def a_listing_can_be_read_by_everybody():
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "sub"))
        with open(os.path.join(folder, "status.json"), "w", encoding="ascii"):  # which is asked for until it is there
            pass
        with Configured("workers 1;\nhttp { listen 127.0.0.1:{port}; root FOLDER; }\n".replace("FOLDER", folder)) as server:
            for scheme in ("light", "dark"):
                with browser(scheme=scheme) as page:
                    for path in ("/", "/sub/"):
                        page.open(f"http://127.0.0.1:{server.ports['port']}{path}")
                        equal(barriers(page), [], f"{path}, {scheme}")


run()
