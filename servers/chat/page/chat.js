// SPDX-License-Identifier: GPL-3.0-or-later
"use strict";

// The frames of protocols/chat/README.md that a page with one room needs.
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const $ = (id) => document.getElementById(id);
let socket = null;
let room = 0;
let last = 0n;
let count = 0n;

function frame(type, tag, ...fields) {
  const parts = fields.map(([kind, value]) => {
    const text = kind > 8 ? encoder.encode(value) : null;
    const size = kind > 8 ? kind - 8 : kind;
    const head = new DataView(new ArrayBuffer(size));
    const number = text ? text.length : value;
    if (size === 1) head.setUint8(0, number);
    else if (size === 2) head.setUint16(0, number);
    else if (size === 4) head.setUint32(0, number);
    else head.setBigUint64(0, number);
    return text ? [new Uint8Array(head.buffer), text] : [new Uint8Array(head.buffer)];
  }).flat();
  const bytes = parts.reduce((sum, part) => sum + part.length, 8);
  const whole = new Uint8Array(bytes);
  const view = new DataView(whole.buffer);
  view.setUint32(0, bytes - 4);
  view.setUint8(4, type);
  view.setUint16(6, tag);
  let at = 8;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  socket.send(whole);
}

const TEXT8 = 9, TEXT16 = 10;

function show(from, text) {
  const line = document.createElement("li");
  if (from) {
    const who = document.createElement("b");
    who.textContent = from;
    line.append(who);
  }
  line.append(text);
  $("log").append(line);
  line.scrollIntoView({ block: "end" });
}

function take(view, at, end) {
  const type = view.getUint8(at + 4);
  let p = at + 8;
  const u8 = () => view.getUint8(p++);
  const u16 = () => (p += 2, view.getUint16(p - 2));
  const u32 = () => (p += 4, view.getUint32(p - 4));
  const u64 = () => (p += 8, view.getBigUint64(p - 8));
  const text = (length) => (p += length, decoder.decode(new Uint8Array(view.buffer, p - length, length)));
  if (type === 0x43) {
    frame(0x05, 2, [TEXT8, $("room").value], [1, 3], [8, last || 0xffffffffffffffffn], [2, 50]);
  } else if (type === 0x44) {
    room = u32();
    $("state").textContent = "";
    $("enter").hidden = true;
    $("say").hidden = false;
    $("text").focus();
  } else if (type === 0x48) {
    u32();
    last = u64();
    u64();
    const kind = u8();
    u64();
    const from = text(u8());
    const contents = text(u16());
    if (kind === 0) show(from, contents);
  } else if (type === 0x4f) {
    const code = u16(), fatal = u8();
    u32();
    $("state").textContent = text(u16()) + (fatal ? " (" + code + ")" : "");
  } else if (type === 0x51) {
    frame(0x50, 0, [TEXT8, text(u8())]);
  }
}

function enter() {
  const scheme = location.protocol === "https:" ? "wss://" : "ws://";
  socket = new WebSocket(scheme + location.host + "/chat", "gyre-chat-1");
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    frame(0x01, 0, [1, 1], [1, 1], [4, 0], [4, 65536], [TEXT8, "page"]);
    frame(0x03, 1, [TEXT8, $("nick").value], [1, 0], [TEXT16, ""]);
  };
  socket.onmessage = (event) => {
    const view = new DataView(event.data);
    for (let at = 0; at < view.byteLength;) {
      const end = at + 4 + view.getUint32(at);
      take(view, at, end);
      at = end;
    }
  };
  socket.onclose = () => {
    if (room) setTimeout(enter, 1000 + 2000 * Math.random());
    else $("state").textContent = $("state").textContent || "The server is not there.";
  };
}

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  enter();
});
$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  const text = $("text").value;
  count += 1n;
  frame(0x0a, 3, [4, room], [8, BigInt(Date.now()) * 1000n + count], [TEXT16, text]);
  show($("nick").value, text);
  $("text").value = "";
});
