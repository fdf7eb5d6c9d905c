// SPDX-License-Identifier: GPL-3.0-or-later
// A connection that comes back: logs in again, joins its rooms from the last id that it has, and sends again what was not
// acknowledged. The server compares ids, so that nothing appears twice.

import { NONE, decode, encode } from "./wire.js";

const FIRST_DELAY_MS = 500;
const LAST_DELAY_MS = 30000;
const SILENCE_MS = 45000; // without a byte: asked
const SILENT_MS = 60000;  // given up
const HISTORY = 50;
export const SPILL = 3;

// Of a room's numbers: all up to `last` have come, and those of `ahead` (one's own, acknowledged before what others said).
function settle(room) {
  while (room.ahead.delete(room.last + 1)) {
    room.last++;
  }
}

function note(room, id) {
  if ((room.last !== null && id <= room.last) || room.ahead.has(id)) {
    return false;
  }
  room.last ??= id - 1;
  room.ahead.add(id);
  settle(room);
  return true;
}

export class Link {
  // `tell(what, value)`: up, down, refused, identity, joined, end, frame, acked, failed.
  constructor(url, tell) {
    this.url = url;
    this.tell = tell;
    this.credentials = null;
    this.rooms = new Map(); // name -> {name, number, last}
    this.numbers = new Map();
    this.outbox = new Map(); // client_id -> {name, room, values}
    this.asked = new Map(); // tag -> {what, ...}
    this.tag = 0;
    this.delay = FIRST_DELAY_MS;
    const seed = crypto.getRandomValues(new Uint32Array(2));
    this.clientId = (BigInt(seed[0] >>> 1) << 32n) | BigInt(seed[1]);
    setInterval(() => this.watch(), 5000);
    addEventListener("online", () => this.retry());
  }

  // Credentials: {nick, password, register}.
  start(credentials) {
    this.credentials = credentials;
    this.wanted = true;
    this.open();
  }

  stop() {
    this.wanted = false;
    this.socket?.close();
  }

  open() {
    clearTimeout(this.timer);
    const socket = new WebSocket(this.url, "gyre-chat-1");
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.identified = false;
    this.heard = Date.now();
    socket.onopen = () => this.greet();
    socket.onmessage = (event) => {
      this.heard = Date.now();
      try {
        decode(event.data).forEach((frame) => this.take(frame));
      } catch (failure) {
        console.error("chat: a message of the server could not be read:", failure);
        socket.close();
      }
    };
    socket.onclose = () => this.closed(socket);
  }

  greet() {
    this.asked.clear();
    this.ask("HELLO", { version_min: 1, version_max: 1, features: 3, frame_max: 65536, agent: "gyre page" }, { what: "hello" });
    const { nick, password, register, token } = this.credentials;
    if (token) {
      this.ask("LOGIN", { nick, method: 3, secret: token }, { what: "login", token: true });
    } else if (register) {
      this.ask("REGISTER", { nick, password }, { what: "login" });
    } else {
      this.ask("LOGIN", { nick, method: password ? 1 : 0, secret: password }, { what: "login" });
    }
  }

  closed(socket) {
    if (socket !== this.socket) {
      return;
    }
    this.identified = false;
    this.tell("down");
    if (this.wanted) {
      const wait = this.delay * (0.5 + Math.random() / 2);
      this.delay = Math.min(this.delay * 2, LAST_DELAY_MS);
      this.timer = setTimeout(() => this.open(), wait);
    }
  }

  retry() {
    if (this.wanted && this.socket?.readyState === WebSocket.CLOSED) {
      this.delay = FIRST_DELAY_MS;
      this.open();
    }
  }

  watch() {
    if (this.socket?.readyState !== WebSocket.OPEN) {
      return;
    }
    const silence = Date.now() - this.heard;
    if (silence > SILENT_MS) {
      this.socket.close();
      this.closed(this.socket);
    } else if (silence > SILENCE_MS) {
      this.write("PING", { any: "" });
    }
  }

  write(name, values, tag) {
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send(encode(name, values, tag));
      return true;
    }
    return false;
  }

  ask(name, values, context) {
    do {
      this.tag = (this.tag % 0xffff) + 1;
    } while (this.asked.has(this.tag));
    this.asked.set(this.tag, context);
    return this.write(name, values, this.tag);
  }

  join(name) {
    if (!this.rooms.has(name)) {
      this.rooms.set(name, { name, number: null, last: null, ahead: new Set() });
    }
    if (this.identified) {
      this.askToJoin(this.rooms.get(name));
    }
  }

  askToJoin(room) {
    room.number = null;
    this.ask("JOIN", { room: room.name, policy: SPILL, since: room.last ?? NONE, history: HISTORY },
      { what: "join", room });
  }

  leave(name) {
    const room = this.rooms.get(name);
    this.rooms.delete(name);
    if (room?.number != null) {
      this.numbers.delete(room.number);
      this.ask("LEAVE", { room: room.number }, { what: "leave" });
    }
  }

  // Something that is to be stored: kept until it is acknowledged. `name`: SEND, EDIT, DELETE, TOPIC, MODERATE, TELL.
  post(name, roomName, values) {
    const id = ++this.clientId;
    this.outbox.set(id, { name, roomName, values });
    this.flush(id);
    return id;
  }

  flush(id) {
    const { name, roomName, values } = this.outbox.get(id);
    const room = roomName === null ? null : this.rooms.get(roomName);
    if (this.identified && (room === null || room?.number != null)) {
      this.ask(name, { ...values, client_id: id, ...(room ? { room: room.number } : {}) }, { what: "post", id });
    }
  }

  flushRoom(name) {
    for (const [id, entry] of this.outbox) {
      if (entry.roomName === name) {
        this.flush(id);
      }
    }
  }

  earlier(room, before) {
    return this.ask("HISTORY", { room: room.number, by: 2, point: before, max: HISTORY }, { what: "history", room });
  }

  members(room, after = "") {
    this.ask("MEMBERS", { room: room.number, after, max: 500 }, { what: "members", room });
  }

  // ---- what the server says ----

  take(frame) {
    const context = this.asked.get(frame.tag);
    const handler = this[`on${frame.name}`];
    if (handler) {
      handler.call(this, frame, context);
    } else {
      this.tell("frame", { frame, context, room: this.numbers.get(frame.room) });
    }
  }

  onWELCOME(frame) {
    this.asked.delete(frame.tag);
  }

  onOK(frame) {
    this.asked.delete(frame.tag);
  }

  onPROBE(frame) {
    this.write("PONG", { any: frame.any });
  }

  onPONG() {}

  onIDENTITY(frame, context) {
    this.asked.delete(frame.tag);
    this.identified = true;
    this.delay = FIRST_DELAY_MS;
    this.credentials = { ...this.credentials, nick: frame.nick, token: frame.token, register: false };
    this.tell("identity", frame);
    if (context?.what !== "login") {
      return; // another nick
    }
    this.tell("up");
    this.rooms.forEach((room) => this.askToJoin(room));
    this.flushRoom(null);
  }

  onJOINED(frame, context) {
    const room = context?.room;
    if (!room || this.rooms.get(room.name) !== room) {
      return;
    }
    room.number = frame.room;
    room.role = frame.role;
    room.topic = frame.topic;
    room.first = frame.first;
    room.found = frame.last;
    this.numbers.set(frame.room, room);
    this.tell("joined", { room, frame });
    this.flushRoom(room.name);
  }

  onEND(frame, context) {
    this.asked.delete(frame.tag);
    if (context?.what === "join") {
      context.room.last ??= context.room.found;
    }
    this.tell("end", { context, more: frame.more });
  }

  onMESSAGE(frame, context) {
    const room = this.numbers.get(frame.room);
    if (!room) {
      return;
    }
    if (context?.what !== "history") {
      if (!note(room, frame.id)) {
        return; // has it
      }
    }
    this.tell("frame", { frame, context, room });
  }

  onACK(frame) {
    const context = this.asked.get(frame.tag);
    this.asked.delete(frame.tag);
    if (context?.what !== "post" || !this.outbox.has(context.id)) {
      return;
    }
    const entry = this.outbox.get(context.id);
    this.outbox.delete(context.id);
    const room = this.rooms.get(entry.roomName);
    if (room && frame.id > 0) {
      note(room, frame.id);
    }
    this.tell("acked", { id: context.id, entry, room, ack: frame });
  }

  onGAP(frame) {
    const room = this.numbers.get(frame.room);
    if (room) {
      room.last = Math.max(room.last ?? 0, frame.last);
      settle(room);
      this.tell("frame", { frame, room });
    }
  }

  onMOVE(frame) {
    this.delay = Math.max(FIRST_DELAY_MS, frame.in_ms);
    this.tell("frame", { frame });
  }

  onERROR(frame, context) {
    this.asked.delete(frame.tag);
    if (context?.what === "login" && context.token && this.credentials.password !== undefined) {
      delete this.credentials.token; // too old: once more with what was typed
      this.greet();
      return;
    }
    if (context?.what === "login" || (context?.what === "hello" && frame.fatal)) {
      this.stop();
      this.tell("refused", frame);
      return;
    }
    if (context?.what === "join") {
      this.rooms.delete(context.room.name);
    }
    if (context?.what === "post") {
      const entry = this.outbox.get(context.id);
      if (frame.retry_ms > 0 && entry) {
        setTimeout(() => this.outbox.has(context.id) && this.flush(context.id), frame.retry_ms);
      } else {
        this.outbox.delete(context.id);
      }
      this.tell("failed", { id: context.id, entry, error: frame });
      return;
    }
    this.tell("error", { error: frame, context });
  }
}
