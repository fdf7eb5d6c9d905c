// SPDX-License-Identifier: GPL-3.0-or-later
// The page: what is typed goes to the link, what the link tells goes to the view.

import { Link } from "./link.js";
import { PAST } from "./wire.js";
import { Messages, changeMessage, element, hint, messageItem, removeMessage, showMembers, showRooms, showState } from "./view.js";

const KIND = { SAID: 0, EDITED: 1, DELETED: 2, TOPIC: 3, MODERATED: 4 };
const ACTIONS = { kick: 1, ban: 2, unban: 3, mute: 4, unmute: 5, op: 6, deop: 7, slow: 8, owner: 9 };
const TYPING_MS = 4000;
const MEMBERS_SHOWN = 500;
const HELP = "/join ROOM, /leave, /msg NICK WORDS, /topic WORDS, /nick NAME, /away, /busy, /back; " +
  "of a room's operators: /kick, /ban, /unban, /mute, /unmute, /op, /deop NICK, /slow SECONDS";

const state = { me: "", current: null, pages: new Map(), pending: new Map(), typers: new Map(), editing: null };
const socketUrl = new URL("chat", location.href);
socketUrl.protocol = location.protocol === "https:" ? "wss:" : "ws:";
const link = new Link(socketUrl.href, (what, value) => told[what]?.(value));

// What of a room is shown.
function page(name) {
  if (!state.pages.has(name)) {
    state.pages.set(name, { name, unread: 0, topic: "", messages: new Messages(), members: new Map(), older: true });
  }
  return state.pages.get(name);
}

const currentPage = () => state.pages.get(state.current);
const currentRoom = () => link.rooms.get(state.current);

// ---- the door ----

function come(register) {
  const nick = element("nick").value.trim();
  const password = element("password").value;
  const room = element("room").value.trim().replace(/^#/, "");
  element("refusal").textContent = "";
  if (register && !password) {
    element("refusal").textContent = "To reserve a name it needs a password.";
    return;
  }
  element("enter").disabled = element("register").disabled = true;
  join(room);
  link.start({ nick, password, register });
}

function showDoor(words = "") {
  element("door").hidden = false;
  element("chat").hidden = true;
  element("enter").disabled = element("register").disabled = false;
  element("refusal").textContent = words;
  element("nick").focus();
}

// ---- rooms ----

function join(name) {
  page(name);
  link.join(name);
  choose(name);
}

function choose(name) {
  state.current = name;
  const shown = page(name);
  shown.unread = 0;
  element("title").textContent = name === "@" ? "for me" : `# ${name}`;
  element("topic").textContent = shown.topic;
  element("messages").replaceWith(shown.messages.list);
  if (element("chat").classList.contains("show-rooms")) { // what was chosen lies under the list
    element("chat").classList.remove("show-rooms");
    element("open-rooms").setAttribute("aria-expanded", "false");
    say.focus();
  }
  stopEditing();
  showLists();
  showTyping();
  toEnd();
}

function showLists() {
  showRooms([...state.pages.values()], state.current, choose);
  showMembers(currentPage()?.members ?? new Map());
}

function leave(name) {
  link.leave(name);
  state.pages.delete(name);
  const next = state.pages.keys().next();
  next.done ? join("lobby") : choose(next.value);
}

// ---- messages ----

const log = element("log");
const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 80;
const toEnd = () => { log.scrollTop = log.scrollHeight; };

function addMessage(shown, message) {
  const stick = shown.name === state.current && atEnd();
  const item = messageItem(message, act);
  shown.messages.add(item);
  if (stick || message.mine) {
    toEnd();
  }
  return item;
}

function note(shown, contents, time = Date.now(), id = undefined) {
  addMessage(shown, { note: true, contents, time, id, from: "" });
}

function said(shown, frame, past) {
  addMessage(shown, { id: frame.id, time: frame.time, from: frame.from, contents: frame.contents, mine: frame.from === state.me });
  state.typers.delete(`${shown.name}\0${frame.from}`);
  if (!past && (shown.name !== state.current || document.hidden)) {
    shown.unread++;
    showLists();
    document.title = `(${[...state.pages.values()].reduce((sum, each) => sum + each.unread, 0)}) Gyre chat`;
  }
}

function takeMessage(frame, room) {
  const shown = page(room.name);
  const target = shown.messages.byId.get(frame.target);
  switch (frame.kind) {
    case KIND.SAID:
      said(shown, frame, (frame.flags & PAST) !== 0);
      break;
    case KIND.EDITED:
      target && changeMessage(target, frame.contents);
      break;
    case KIND.DELETED:
      target && removeMessage(target);
      break;
    case KIND.TOPIC:
      shown.topic = frame.contents;
      note(shown, `${frame.from} set the topic: ${frame.contents}`, frame.time, frame.id);
      if (shown.name === state.current) {
        element("topic").textContent = shown.topic;
      }
      break;
    default:
      note(shown, frame.contents, frame.time, frame.id);
  }
}

// History before what is shown, which comes newest first.
const earlier = { items: [], changes: new Map() };

function takeEarlier(frame) {
  if (frame.kind === KIND.EDITED || frame.kind === KIND.DELETED) {
    if (!earlier.changes.has(frame.target)) {
      earlier.changes.set(frame.target, frame);
    }
    return;
  }
  const plain = frame.kind === KIND.SAID;
  const contents = frame.kind === KIND.TOPIC ? `${frame.from} set the topic: ${frame.contents}` : frame.contents;
  const item = messageItem({ id: frame.id, time: frame.time, from: frame.from, contents, note: !plain,
    mine: plain && frame.from === state.me }, act);
  const change = earlier.changes.get(frame.id);
  if (change && plain) {
    change.kind === KIND.EDITED ? changeMessage(item, change.contents) : removeMessage(item);
  }
  earlier.items.unshift(item);
}

function askEarlier() {
  const shown = currentPage();
  const room = currentRoom();
  const first = shown?.messages.firstId;
  if (shown && room?.number != null && first && shown.older && !shown.asking && log.scrollTop < 120) {
    shown.asking = true;
    element("earlier").textContent = "looking further back";
    link.earlier(room, first);
  }
}

function endEarlier(room, more) {
  const shown = page(room.name);
  const height = log.scrollHeight;
  shown.asking = false;
  shown.older = more > 0 && earlier.items.length > 0;
  shown.messages.addEarlier(earlier.items.splice(0));
  element("earlier").textContent = "";
  if (shown.name === state.current) {
    log.scrollTop += log.scrollHeight - height;
  }
}

// ---- writing ----

const say = element("say");

function act(what, item) {
  if (what === "delete") {
    link.post("DELETE", state.current, { target: item.message.id });
    removeMessage(item);
    say.focus(); // the button that had it is gone
    return;
  }
  stopEditing();
  state.editing = item;
  say.value = item.message.contents;
  hint("Changing a message: Enter keeps it, Escape does not.");
  say.focus();
}

function stopEditing() {
  if (state.editing) {
    state.editing = null;
    say.value = "";
    hint("");
  }
}

function submit() {
  const words = say.value.trim();
  if (!words) {
    return;
  }
  hint("");
  if (state.editing) {
    const item = state.editing;
    link.post("EDIT", state.current, { target: item.message.id, contents: words });
    changeMessage(item, words);
    stopEditing();
  } else if (words.startsWith("/") && !words.startsWith("//")) {
    command(words.slice(1));
  } else {
    post(words.startsWith("//") ? words.slice(1) : words);
  }
  say.value = "";
  grow();
}

function post(contents) {
  if (state.current === "@") {
    hint("This is what others said to you: answer with /msg NICK WORDS.");
    return;
  }
  const item = addMessage(currentPage(), { time: Date.now(), from: state.me, contents, mine: true, pending: true });
  state.pending.set(link.post("SEND", state.current, { contents }), item);
}

function command(text) {
  const [, name, first, rest] = /^(\S+)\s*(\S*)\s*([^]*)$/.exec(text);
  const all = `${first} ${rest}`.trim();
  if (name in ACTIONS) {
    const seconds = Number(name === "slow" ? first : /^\d+/.exec(rest)?.[0] ?? 0);
    link.post("MODERATE", state.current, { action: ACTIONS[name], nick: name === "slow" ? "" : first, seconds,
      reason: name === "slow" ? "" : rest.replace(/^\d+\s*/, "") });
    return;
  }
  const commands = {
    join: () => first && join(first.replace(/^#/, "")),
    leave: () => leave(state.current),
    msg: () => rest && link.post("TELL", null, { nick: first, contents: rest }),
    topic: () => link.post("TOPIC", state.current, { topic: all }),
    nick: () => link.ask("NICK", { nick: first }, { what: "nick" }),
    away: () => link.ask("PRESENCE", { status: 1, note: all }, { what: "presence" }),
    busy: () => link.ask("PRESENCE", { status: 2, note: all }, { what: "presence" }),
    back: () => link.ask("PRESENCE", { status: 0, note: "" }, { what: "presence" }),
  };
  if (Object.hasOwn(commands, name)) {
    commands[name]();
  } else {
    hint(name === "help" ? HELP : `There is no /${name}. There are ${HELP}`);
  }
}

let typingUntil = 0;

function typing() {
  grow();
  const room = currentRoom();
  if (room?.number != null && say.value && !say.value.startsWith("/") && Date.now() > typingUntil) {
    typingUntil = Date.now() + TYPING_MS / 2;
    link.write("TYPING", { room: room.number, on: 1 });
  }
}

function showTyping() {
  const now = Date.now();
  const names = [...state.typers].filter(([key, until]) => until > now && key.startsWith(`${state.current}\0`))
    .map(([key]) => key.split("\0")[1]);
  element("typing").textContent = names.length === 0 ? "" : names.length === 1 ? `${names[0]} is typing`
    : names.length < 4 ? `${names.join(", ")} are typing` : "several people are typing";
}

function grow() {
  say.style.height = "auto";
  say.style.height = `${say.scrollHeight + 2}px`;
}

// ---- members ----

function came(frame, room) {
  const { members } = page(room.name);
  const { what, nick, other, role } = frame;
  if (what === 1) {
    members.set(nick, { nick, role, status: 0, note: "" });
  } else if (what === 2 || what === 3) {
    members.delete(nick);
    if (what === 3) {
      note(page(room.name), `${nick} was sent out by ${other}`);
    }
    if (nick === state.me && what === 3) {
      link.rooms.delete(room.name);
    }
  } else if (what === 4) {
    const member = members.get(nick);
    members.delete(nick);
    members.set(other, { ...(member ?? { role, status: 0, note: "" }), nick: other });
  } else if (members.has(nick)) {
    members.get(nick).role = role;
  }
  showLists();
}

function status(frame) {
  for (const { members } of state.pages.values()) {
    if (members.has(frame.nick)) {
      Object.assign(members.get(frame.nick), { status: frame.status, note: frame.note });
    }
  }
  showLists();
}

// ---- what the link tells ----

const told = {
  up() {
    showState(true, "connected");
  },
  down() {
    showState(false, "connecting again");
  },
  refused(error) {
    state.pages.clear();
    link.rooms.clear();
    showDoor(error.sentence);
  },
  identity(frame) {
    state.me = frame.nick;
    element("me").textContent = frame.nick;
    element("door").hidden = true;
    element("chat").hidden = false;
    if (!link.rooms.has("@")) {
      page("@");
      link.join("@");
      showLists();
    }
    say.focus();
  },
  joined({ room, frame }) {
    const shown = page(room.name);
    shown.topic = frame.topic;
    shown.members.clear();
    if (room.name === state.current) {
      element("topic").textContent = frame.topic;
    }
    if (room.name !== "@") {
      link.members(room);
    }
  },
  end({ context, more }) {
    if (context?.what === "history") {
      endEarlier(context.room, more);
    } else if (context?.what === "members") {
      const { members } = page(context.room.name);
      if (more && members.size < MEMBERS_SHOWN) {
        link.members(context.room, context.last);
      }
      showLists();
    } else if (context?.what === "join" && context.room.name === state.current) {
      toEnd();
    } else if (context?.what === "rooms") {
      element("room-names").replaceChildren(...context.found.map((name) => new Option(name, name)));
    }
  },
  acked({ id, entry, room, ack }) {
    const item = state.pending.get(id);
    state.pending.delete(id);
    if (item && room) {
      page(room.name).messages.settle(item, ack.id, ack.time);
    }
    if (entry.name === "TELL") {
      note(page("@"), `to ${entry.values.nick}: ${entry.values.contents}`, ack.time);
      hint(`Told ${entry.values.nick}.`);
    }
    if (entry.name === "TOPIC" && room) {
      takeMessage({ kind: KIND.TOPIC, from: state.me, contents: entry.values.topic, time: ack.time, id: ack.id }, room);
    }
  },
  failed({ id, entry, error }) {
    hint(error.sentence);
    if (error.retry_ms === 0 && state.pending.has(id)) {
      state.pending.get(id).remove();
      state.pending.delete(id);
      say.value ||= entry.values.contents ?? "";
    }
  },
  error({ error, context }) {
    hint(error.sentence);
    if (context?.what === "join") {
      note(page(context.room.name), error.sentence);
    }
  },
  frame({ frame, context, room }) {
    if (frame.name === "MESSAGE") {
      context?.what === "history" ? takeEarlier(frame) : takeMessage(frame, room);
    } else if (frame.name === "MEMBER" && context?.what === "members") {
      page(context.room.name).members.set(frame.nick, frame);
      context.last = frame.nick;
    } else if (frame.name === "ROOM" && context?.what === "rooms") {
      context.found.push(frame.name_);
    } else if (frame.name === "CAME" && room) {
      came(frame, room);
    } else if (frame.name === "STATUS") {
      status(frame);
    } else if (frame.name === "NOTICE") {
      for (const shown of state.pages.values()) {
        note(shown, `${frame.from} tells everybody: ${frame.contents}`);
      }
    } else if (frame.name === "TYPES" && room && frame.nick !== state.me) {
      state.typers.set(`${room.name}\0${frame.nick}`, frame.on ? Date.now() + TYPING_MS : 0);
      showTyping();
      setTimeout(showTyping, TYPING_MS + 100);
    } else if (frame.name === "GAP" && room) {
      const words = frame.why === 2 ? "the server no longer keeps them" : "this connection was too slow";
      note(page(room.name), `${frame.last - frame.first + 1} messages are missing here: ${words}`);
    } else if (frame.name === "MOVE") {
      showState(false, "the server starts anew");
    }
  },
};

// ---- the page's own ----

function wire() {
  element("login").onsubmit = (event) => { event.preventDefault(); come(false); };
  element("register").onclick = () => element("login").reportValidity() && come(true);
  element("compose").onsubmit = (event) => { event.preventDefault(); submit(); };
  element("join").onsubmit = (event) => {
    event.preventDefault();
    const name = element("join-name").value.trim().replace(/^#/, "");
    element("join-name").value = "";
    name && join(name);
  };
  element("join-name").onfocus = () => link.ask("ROOMS", { prefix: "", after: "", max: 100 }, { what: "rooms", found: [] });
  say.oninput = typing;
  say.onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    } else if (event.key === "Escape") {
      stopEditing();
    } else if (event.key === "ArrowUp" && !say.value) {
      const mine = [...currentPage().messages.list.children].findLast((item) =>
        item.message.mine && item.message.id && !item.classList.contains("gone"));
      mine && act("edit", mine);
    }
  };
  // On a phone the list lies over the rest: who opened it by keyboard is in it, and gets out again.
  element("open-rooms").onclick = () => {
    const open = element("chat").classList.toggle("show-rooms");
    element("open-rooms").setAttribute("aria-expanded", String(open));
    element(open ? "close-rooms" : "open-rooms").focus();
  };
  element("rooms").onkeydown = (event) => {
    if (event.key === "Escape" && element("chat").classList.contains("show-rooms")) {
      element("open-rooms").click();
    }
  };
  element("close-rooms").onclick = () => element("open-rooms").click();
  element("open-members").onclick = () => {
    const hidden = element("chat").classList.toggle("no-members");
    element("open-members").setAttribute("aria-expanded", String(!hidden));
  };
  log.onscroll = askEarlier;
  document.onvisibilitychange = () => {
    if (!document.hidden && currentPage()) {
      currentPage().unread = 0;
      document.title = "Gyre chat";
      showLists();
    }
  };
  if (innerWidth < 960) {
    element("open-members").click();
  }
  const named = decodeURIComponent(location.hash.slice(1));
  if (named) {
    element("room").value = named;
  }
}

wire();
showDoor();
