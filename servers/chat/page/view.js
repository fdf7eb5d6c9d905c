// SPDX-License-Identifier: GPL-3.0-or-later
// What is seen. Text goes into the page as text alone: nothing that anybody says is ever read as markup.

const ROLES = ["", "operator", "owner", "muted"];
const STATUSES = ["here", "away", "busy"];
const TOGETHER_MS = 5 * 60 * 1000; // messages of one person that stand together
const KEPT = 1000;                 // messages of a room in the page

export const element = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// A hue for a name, the same on every page.
function hue(name) {
  let hash = 2166136261;
  for (const char of name.toLowerCase()) {
    hash = Math.imul(hash ^ char.codePointAt(0), 16777619);
  }
  return (hash >>> 0) % 360;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });

function moment(time) {
  const date = new Date(time);
  const today = new Date().toDateString() === date.toDateString();
  return make("time", { dateTime: date.toISOString(), title: date.toLocaleString(),
    textContent: today ? clock.format(date) : `${day.format(date)} ${clock.format(date)}` });
}

// ---- messages ----

// A message's item. `message`: {id, time, from, contents, mine, pending, note}.
export function messageItem(message, act) {
  if (message.note) {
    const item = make("li", { className: "note", textContent: message.contents });
    item.message = message;
    return item;
  }
  const face = make("span", { className: "face", textContent: [...message.from][0]?.toUpperCase() ?? "?" });
  face.setAttribute("aria-hidden", "true");
  const by = make("div", { className: "by" }, make("b", { textContent: message.from }), moment(message.time));
  const text = make("div", { className: "text", textContent: message.contents });
  const item = make("li", {}, face, by, text);
  item.style.setProperty("--hue", hue(message.from));
  item.message = message;
  if (message.mine) {
    item.classList.add("mine");
    const tools = make("div", { className: "tools" },
      make("button", { type: "button", textContent: "edit", onclick: () => act("edit", item) }),
      make("button", { type: "button", textContent: "delete", onclick: () => act("delete", item) }));
    item.append(tools);
  }
  item.classList.toggle("pending", Boolean(message.pending));
  return item;
}

export function changeMessage(item, contents) {
  item.message.contents = contents;
  item.querySelector(".text").textContent = contents;
  if (!item.querySelector(".edited")) {
    item.querySelector(".text").after(make("span", { className: "edited", textContent: "edited" }));
  }
}

export function removeMessage(item) {
  item.classList.add("gone");
  item.querySelector(".text").textContent = "was deleted";
  item.querySelector(".tools")?.remove();
}

// Whether it needs its sender's name above it.
export function placeMessage(item) {
  const before = item.previousElementSibling?.message;
  const message = item.message;
  item.classList.toggle("first", !before || before.note || before.from !== message.from ||
    message.time - before.time > TOGETHER_MS);
}

// A list of a room's messages that is shown while the room is.
export class Messages {
  constructor() {
    this.list = make("ol", { id: "messages" });
    this.byId = new Map();
  }

  // At the end, before what the server has not numbered yet.
  add(item) {
    let after = this.list.lastElementChild;
    while (!item.message.pending && after?.classList.contains("pending")) {
      after = after.previousElementSibling;
    }
    after ? after.after(item) : this.list.prepend(item);
    this.placed(item);
    if (this.list.childElementCount > KEPT) {
      this.forget(this.list.firstElementChild);
    }
  }

  addEarlier(items) {
    this.list.prepend(...items);
    items.forEach((item) => this.placed(item));
    const next = items.at(-1)?.nextElementSibling;
    if (next) {
      placeMessage(next);
    }
  }

  // A pending one is numbered now: it goes where its number says.
  settle(item, id, time) {
    item.message.id = id;
    item.message.time = time;
    item.classList.remove("pending");
    let before = item.previousElementSibling;
    while (before && (before.message.id ?? 0) > id) {
      before = before.previousElementSibling;
    }
    if (before !== item.previousElementSibling) {
      before ? before.after(item) : this.list.prepend(item);
    }
    this.placed(item);
  }

  placed(item) {
    if (item.message.id) {
      this.byId.set(item.message.id, item);
    }
    placeMessage(item);
    if (item.nextElementSibling) {
      placeMessage(item.nextElementSibling);
    }
  }

  forget(item) {
    this.byId.delete(item.message.id);
    item.remove();
  }

  get firstId() {
    for (const item of this.list.children) {
      if (item.message.id) {
        return item.message.id;
      }
    }
    return null;
  }
}

// ---- lists ----

export function showRooms(rooms, current, choose) {
  const focused = document.activeElement.closest("#room-list button")?.dataset.room;
  element("room-list").replaceChildren(...rooms.map((room) => {
    const count = make("span", { className: "count", textContent: room.unread || "" });
    if (room.unread) {
      count.append(make("span", { className: "hidden", textContent: " unread" }));
    }
    const button = make("button", { type: "button", onclick: () => choose(room.name) },
      make("span", { className: "name", textContent: room.name === "@" ? "for me" : `# ${room.name}` }), count);
    button.setAttribute("aria-current", String(room.name === current));
    button.dataset.room = room.name;
    return make("li", {}, button);
  }));
  if (focused) { // the list is made anew whenever somebody says something
    [...element("room-list").querySelectorAll("button")].find((button) => button.dataset.room === focused)?.focus();
  }
}

export function showMembers(members) {
  const sorted = [...members.values()].sort((a, b) => (b.role % 3) - (a.role % 3) || a.nick.localeCompare(b.nick));
  element("member-list").replaceChildren(...sorted.map(({ nick, role, status, note }) => {
    const item = make("li", { className: STATUSES[status] ?? "here", title: note ?? "" }, make("span", { textContent: nick }));
    const words = [ROLES[role], status ? STATUSES[status] : "", note].filter(Boolean).join(", ");
    item.append(make("span", { className: "role", textContent: words }));
    return item;
  }));
  element("member-count").textContent = `${members.size} here`;
}

export function showState(up, words) {
  element("state").textContent = words;
  element("state").classList.toggle("up", up);
}

export function hint(words) {
  element("hint").textContent = words;
}
