# SPDX-License-Identifier: GPL-3.0-or-later
"""WebSockets between Gyre and other people's programs, with permessage-deflate (RFC 7692) in all its terms and without: the
npm package ws, python3-websockets and Chromium. `gyre http` is their server; `gyre ws` and gyre-load are their clients."""

import json
import os
import random
import shutil
import subprocess

from browser import Browser, program
from configured import Configured
from generator import load
from harness import PROGRAM, Skip, equal, run, test, true

PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else "python3"
# Debian's modules, for a node that is not Debian's.
NODE_ENVIRONMENT = {**os.environ, "NODE_PATH": ":".join(filter(None, [os.environ.get("NODE_PATH"), "/usr/share/nodejs"]))}

SOCKETS = """
    websocket /plain    { echo; origin any; }
    websocket /packed   { echo; origin any; compress on; }
    websocket /small    { echo; origin any; compress on; compress-window 10; }
    websocket /forgets  { echo; origin any; compress on; compress-context off; }
"""
PATHS = ("/plain", "/packed", "/small", "/forgets")


class Sockets(Configured):
    def __init__(self):
        super().__init__(f"workers 2;\nadmin 127.0.0.1:{{admin}};\nhttp {{ listen 127.0.0.1:{{port}}; fixed on;\n{SOCKETS}\n}}\n")

    def counted(self, name, label):
        return sum(value for key, value in self.metrics().items() if key.startswith("gyre_websocket_" + name) and label in key)


def node():
    found = shutil.which("node")
    if not found or subprocess.run([found, "-e", 'require("ws")'], env=NODE_ENVIRONMENT, stderr=subprocess.DEVNULL,
                                   check=False).returncode != 0:
        raise Skip("node is not installed, or not its package ws")
    return found


def python():
    if subprocess.run([PYTHON, "-c", "import websockets"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        raise Skip("python3-websockets is not installed")
    return PYTHON


def output_with(command, environment):
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=40,
                          check=False)
    return done.returncode, done.stdout, done.stderr


# ---- their clients --------------------------------------------------------------------------------------------------

# Each takes: the address and what it offers. Prints what was agreed on when all came back as it went.
NODE_CLIENT = """
const WebSocket = require("ws"), crypto = require("crypto");
const [url, options] = [process.argv[1], JSON.parse(process.argv[2])];
const socket = new WebSocket(url, { perMessageDeflate: options && { threshold: 0, ...options } });
const said = [];
for (const length of [0, 1, 63, 64, 125, 126, 1000, 65535, 65536, 300000]) {
    said.push("The same words, again. ".repeat(length / 23 + 1).slice(0, length));
    said.push(crypto.randomBytes(length));
}
for (let i = 0; i < 200; i++) { said.push(`message ${i} of many that are alike`); }
let next = 0;
socket.on("open", () => {
    for (const message of said) { socket.send(message); }
    socket.send("in", { fin: false }); socket.ping("between"); socket.send("parts", { fin: true });
    said.push("inparts");
});
socket.on("message", (data, binary) => {
    const wanted = said[next++];
    if (binary ? data.compare(Buffer.from(wanted)) !== 0 : data.toString() !== wanted.toString()) {
        console.log(`message ${next - 1} is not what it was`);
        process.exit(1);
    }
    if (next === said.length) { socket.close(3001, "done"); }
});
socket.on("close", (code) => console.log(code, next, socket.extensions));
"""

PYTHON_CLIENT = """
import asyncio, os, sys, json, websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
url, options = sys.argv[1], json.loads(sys.argv[2])
extensions = [ClientPerMessageDeflateFactory(**options)] if options is not None else None
said = []
for length in (0, 1, 63, 64, 125, 126, 1000, 65535, 65536, 300000):
    said += [("The same words, again. " * (length // 23 + 1))[:length], os.urandom(length)]
said += ["message %d of many that are alike" % i for i in range(200)]
async def main():
    async with websockets.connect(url, extensions=extensions, compression=None, max_size=None) as socket:
        async def say():
            for message in said:
                await socket.send(message)
            await socket.send(["in", "par", "ts"])
        speaking = asyncio.ensure_future(say())
        for number, message in enumerate(said + ["inparts"]):
            assert await socket.recv() == message, f"message {number} is not what it was"
        await speaking
        await (await socket.ping())
        await socket.close(3001, "done")
        print(socket.close_code, len(said) + 1, "permessage-deflate" if socket.extensions else "")
asyncio.run(main())
"""


def clients_talk_to_it(command, environment, offers):
    with Sockets() as server:
        for path in PATHS:
            for offer in offers:
                if (path == "/plain" or offer is None) and offers.index(offer) + PATHS.index(path) != 1:
                    continue  # once is enough
                status, out, errors = output_with([*command, f"ws://127.0.0.1:{server.port}{path}", json.dumps(offer)],
                                                  environment)
                # A window below 15 for the client is agreed on where the client says that it can.
                narrow = offer is not None and bool(offer.get("clientMaxWindowBits") or offer.get("client_max_window_bits"))
                packed = offer is not None and path != "/plain" and (path != "/small" or narrow)
                equal((status, out.split()), (0, ["3001", "221"] + packed * ["permessage-deflate"]), f"{path} {offer}: {errors}")
        true(server.counted("compressed_messages_total", 'direction="in"') > 1000, "they compressed")
        true(server.counted("compressed_messages_total", 'direction="out"') > 50, "it compressed")
        equal(server.counted("failures_total", ""), 0)


@test
def the_npm_package_ws_talks_to_it():
    clients_talk_to_it([node(), "-e", NODE_CLIENT], NODE_ENVIRONMENT, [
        None,
        {"clientMaxWindowBits": True},
        {"serverNoContextTakeover": True, "clientNoContextTakeover": True, "clientMaxWindowBits": False},
        {"serverMaxWindowBits": 10, "clientMaxWindowBits": 11},
    ])


@test
def python3_websockets_talks_to_it():
    clients_talk_to_it([python(), "-c", PYTHON_CLIENT], os.environ, [
        None,
        {"client_max_window_bits": True},
        {"server_no_context_takeover": True, "client_no_context_takeover": True, "client_max_window_bits": None},
        {"server_max_window_bits": 9, "client_max_window_bits": 11},
    ])


PAGE = """
new Promise((resolve, reject) => {
    const socket = new WebSocket("ws://127.0.0.1:PORTPATH"), said = [];
    for (const length of [0, 1, 63, 64, 1000, 65536, 300000]) {
        said.push("The same words, again. ".repeat(length / 23 + 1).slice(0, length));
        said.push(new Uint8Array(length).map((_, i) => (i * i * 2654435761) >>> 13));
    }
    for (let i = 0; i < 200; i++) { said.push(`message ${i} of many that are alike`); }
    let next = 0;
    socket.binaryType = "arraybuffer";
    socket.onerror = () => reject(new Error("the socket failed"));
    socket.onopen = () => said.forEach((message) => socket.send(message));
    socket.onmessage = (event) => {
        const wanted = said[next++], got = event.data;
        const same = typeof got === "string" ? got === wanted
            : got.byteLength === wanted.length && new Uint8Array(got).every((byte, i) => byte === wanted[i]);
        if (!same) { reject(new Error(`message ${next - 1} is not what it was`)); }
        if (next === said.length) { socket.close(3001, "done"); }
    };
    socket.onclose = (event) => resolve([event.code, event.wasClean, next, socket.extensions].join(" "));
})
"""


@test
def chromium_talks_to_it():
    true(program(), "chromium is installed; ci/setup --test installs what the tests need")
    with Sockets() as server:
        page = Browser()
        try:
            page.open(f"http://127.0.0.1:{server.port}/")
            for path, agreed in (("/plain", ""), ("/packed", "permessage-deflate"),
                                 ("/small", "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10"),
                                 ("/forgets", "permessage-deflate; server_no_context_takeover; client_no_context_takeover")):
                got = page.evaluate(PAGE.replace("PORT", str(server.port)).replace("PATH", path))
                equal(got, f"3001 true 214 {agreed}", path)
        finally:
            page.close()
        for direction in ("in", "out"):
            true(server.counted("compressed_messages_total", f'direction="{direction}"') > 10, direction)


# ---- their servers --------------------------------------------------------------------------------------------------

# Each takes the terms that it agrees on; prints its port, then what was agreed on with each client.
NODE_SERVER = """
const { WebSocketServer } = require("ws");
const options = JSON.parse(process.argv[1]);
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, maxPayload: 0,
    perMessageDeflate: options && { threshold: 0, ...options } }, () => console.log(server.address().port));
server.on("connection", (socket) => {
    console.log(socket.extensions);
    socket.on("message", (data, binary) => socket.send(data, { binary }));
});
"""

PYTHON_SERVER = """
import asyncio, sys, json, websockets
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
options = json.loads(sys.argv[1])
extensions = [ServerPerMessageDeflateFactory(**options)] if options is not None else None
async def echo(socket, *_):
    print("permessage-deflate" if socket.extensions else "", flush=True)
    async for message in socket:
        await socket.send(message)
async def main():
    async with websockets.serve(echo, "127.0.0.1", 0, extensions=extensions, compression=None, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()
asyncio.run(main())
"""


def said_and_heard(url, data, *flags):
    done = subprocess.run([PROGRAM, "ws", *flags, url], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30,
                          check=False)
    equal((done.returncode, done.stderr), (0, b""), f"gyre ws {' '.join(flags)}")
    true(done.stdout == data, f"gyre ws {' '.join(flags)}: every byte comes back")


def talks_to(command, environment, terms):
    server = subprocess.Popen([*command, json.dumps(terms)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True)
    lines = "".join(f"line {i} of many that are alike: κόσμε\n" for i in range(300)).encode()
    mixed = random.Random(7692).randbytes(200000) + b"The same words, again. " * 20000
    try:
        url = f"ws://127.0.0.1:{int(server.stdout.readline())}/"
        for flags, agreed in ((), ""), (("--compress",), "permessage-deflate" if terms is not None else ""):
            said_and_heard(url, lines, *flags)
            true(server.stdout.readline().startswith(agreed), f"{terms}, {flags}")
            said_and_heard(url, mixed, "--binary", *flags)
            true(server.stdout.readline().startswith(agreed), f"{terms}, {flags}")
        if terms is None:
            status, figures, _, errors = load(url, "-c", "4", "-n", "200")
            equal((status, figures["errors"]["total"]), (0, 0), errors)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@test
def the_npm_package_ws_is_understood():
    for terms in (None, {}, {"serverNoContextTakeover": True, "clientNoContextTakeover": True},
                  {"serverMaxWindowBits": 10, "clientMaxWindowBits": 10}):
        talks_to([node(), "-e", NODE_SERVER], NODE_ENVIRONMENT, terms)


@test
def python3_websockets_is_understood():
    for terms in (None, {}, {"server_no_context_takeover": True, "client_no_context_takeover": True},
                  {"server_max_window_bits": 9, "client_max_window_bits": 10}):
        talks_to([python(), "-c", PYTHON_SERVER], os.environ, terms)


run()
