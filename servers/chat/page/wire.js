// SPDX-License-Identifier: GPL-3.0-or-later
// Frames of the chat protocol (protocols/chat/README.md): bytes to objects and back.

export const NONE = 0xffffffffffffffffn; // `since` of who has nothing
export const PAST = 0x04;

// A field `name` is `name_` here: `name` is the type's.
const TYPES = {
  HELLO: [0x01, "version_min:1 version_max:1 features:4 frame_max:4 agent:t1"],
  REGISTER: [0x02, "nick:t1 password:t2"],
  LOGIN: [0x03, "nick:t1 method:1 secret:t2"],
  NICK: [0x04, "nick:t1"],
  JOIN: [0x05, "room:t1 policy:1 since:8 history:2"],
  LEAVE: [0x06, "room:4"],
  ROOMS: [0x07, "prefix:t1 after:t1 max:2"],
  TOPIC: [0x08, "room:4 client_id:8 topic:t2"],
  MEMBERS: [0x09, "room:4 after:t1 max:2"],
  SEND: [0x0a, "room:4 client_id:8 contents:t2"],
  TELL: [0x0b, "nick:t1 client_id:8 contents:t2"],
  EDIT: [0x0c, "room:4 client_id:8 target:8 contents:t2"],
  DELETE: [0x0d, "room:4 client_id:8 target:8"],
  HISTORY: [0x0e, "room:4 by:1 point:8 max:2"],
  TYPING: [0x0f, "room:4 on:1"],
  PRESENCE: [0x10, "status:1 note:t1"],
  MODERATE: [0x11, "room:4 client_id:8 action:1 nick:t1 seconds:4 reason:t1"],
  PING: [0x12, "any:t1"],
  QUIT: [0x13, "reason:t1"],
  WELCOME: [0x41, "version:1 features:4 frame_max:4 ping_ms:4 now:8 server:t1"],
  OK: [0x42, ""],
  IDENTITY: [0x43, "user:8 kind:1 nick:t1 token:t2"],
  JOINED: [0x44, "room:4 first:8 last:8 role:1 slow_ms:4 name_:t1 topic:t2"],
  ROOM: [0x45, "members:4 name_:t1 topic:t2"],
  MEMBER: [0x46, "room:4 role:1 status:1 nick:t1 note:t1"],
  ACK: [0x47, "room:4 client_id:8 id:8 time:8"],
  MESSAGE: [0x48, "room:4 id:8 time:8 kind:1 target:8 from:t1 contents:t2"],
  GAP: [0x49, "room:4 first:8 last:8 why:1"],
  END: [0x4a, "more:1"],
  CAME: [0x4b, "room:4 what:1 role:1 nick:t1 other:t1"],
  TYPES: [0x4c, "room:4 on:1 nick:t1"],
  STATUS: [0x4d, "status:1 nick:t1 note:t1"],
  MOVE: [0x4e, "in_ms:4 address:t1"],
  ERROR: [0x4f, "code:2 fatal:1 retry_ms:4 sentence:t2"],
  PONG: [0x50, "any:t1"],
  PROBE: [0x51, "any:t1"],
  NOTICE: [0x53, "time:8 from:t1 contents:t2"],
};

const byName = {};
const byNumber = {};
for (const [name, [number, words]] of Object.entries(TYPES)) {
  const fields = words.split(" ").filter(Boolean).map((word) => {
    const [field, size] = word.split(":");
    return { field, text: size[0] === "t", bytes: Number(size.replace("t", "")) };
  });
  byName[name] = byNumber[number] = { name, number, fields };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

// Ids are counted, so that they stay below 2^53; client_id and `since` may be BigInts.
function put(view, at, bytes, value) {
  if (bytes === 8) {
    view.setBigUint64(at, BigInt(value));
  } else if (bytes === 4) {
    view.setUint32(at, value);
  } else if (bytes === 2) {
    view.setUint16(at, value);
  } else {
    view.setUint8(at, value);
  }
}

function get(view, at, bytes) {
  return bytes === 8 ? Number(view.getBigUint64(at))
    : bytes === 4 ? view.getUint32(at)
    : bytes === 2 ? view.getUint16(at) : view.getUint8(at);
}

// A frame's bytes. Fields that are left out are 0 or empty.
export function encode(name, values = {}, tag = 0) {
  const { number, fields } = byName[name];
  const parts = fields.map(({ field, text, bytes }) =>
    text ? { bytes, data: encoder.encode(values[field] ?? "") } : { bytes, value: values[field] ?? 0 });
  const length = parts.reduce((sum, part) => sum + part.bytes + (part.data ? part.data.length : 0), 8);
  const frame = new Uint8Array(length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, length - 4);
  view.setUint8(4, number);
  view.setUint16(6, tag);
  let at = 8;
  for (const { bytes, value, data } of parts) {
    put(view, at, bytes, data ? data.length : value);
    at += bytes;
    if (data) {
      frame.set(data, at);
      at += data.length;
    }
  }
  return frame;
}

// The frames of one message. Of types that are not known, nothing; what is malformed throws.
export function decode(buffer) {
  const view = new DataView(buffer);
  const frames = [];
  for (let start = 0; start < buffer.byteLength;) {
    const end = start + 4 + view.getUint32(start);
    const type = byNumber[view.getUint8(start + 4)];
    if (end > buffer.byteLength || end < start + 8) {
      throw new RangeError("a frame is cut");
    }
    if (type) {
      const frame = { name: type.name, flags: view.getUint8(start + 5), tag: view.getUint16(start + 6) };
      let at = start + 8;
      for (const { field, text, bytes } of type.fields) {
        let value = get(view, at, bytes);
        at += bytes;
        if (text) {
          if (at + value > end) {
            throw new RangeError("a text is cut");
          }
          at += value;
          value = decoder.decode(new Uint8Array(buffer, at - value, value));
        }
        frame[field] = value;
      }
      if (at > end) {
        throw new RangeError("a body is cut");
      }
      frames.push(frame);
    }
    start = end;
  }
  return frames;
}
