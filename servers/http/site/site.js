// SPDX-License-Identifier: GPL-3.0-or-later
//
// Asks /status.json once a second and shows what changed in between. Everything from the server is set as text, never
// as markup.
'use strict';

const EVERY_MS = 1000;
const TIMEOUT_MS = 5000;
const POINTS = 120; // seconds in the plot
const WINDOW = 5; // seconds that ratios are taken over, so that a quiet server's do not flicker

const byId = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';

// ---- numbers as people read them ----

function number(value) {
  if (!Number.isFinite(value)) return '–';
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: 0, maximumFractionDigits: digits });
}

function bytes(value) {
  if (!Number.isFinite(value)) return ['–', ''];
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return [number(value), units[unit]];
}

function duration(ms) {
  const s = Math.floor(ms / 1000);
  const pad = (n) => String(n).padStart(2, '0');
  const clock = `${pad(Math.floor(s / 3600) % 24)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
  const days = Math.floor(s / 86400);
  return days > 0 ? `${days} d ${clock}` : clock;
}

const ratio = (a, b) => (b > 0 ? a / b : NaN);

// ---- what is known: the last answers, and a point a second for each plot ----

const recent = []; // answers of this process, the newest last
const plots = {
  rate: { title: 'Requests per second', unit: '', points: [], show: (v) => [number(v), ''] },
  cpu: { title: 'Processor time', unit: '% of one processor', points: [], show: (v) => [number(v), '%'] },
  sent: { title: 'Sent per second', unit: '', points: [], show: bytes },
  open: { title: 'Connections open', unit: '', points: [], show: (v) => [number(v), ''] },
};
let chosen = 'rate';

function remember(status) {
  const last = recent[recent.length - 1];
  const replaced = last && (last.pid !== status.pid || last.clock_ms > status.clock_ms);
  if (replaced) recent.length = 0;
  recent.push(status);
  if (recent.length > WINDOW + 1) recent.shift();
  return replaced;
}

// The difference of a figure over the last `steps` answers, and the seconds between them.
function since(steps, figure) {
  const now = recent[recent.length - 1];
  const then = recent[Math.max(0, recent.length - 1 - steps)];
  return { by: figure(now) - figure(then), seconds: (now.clock_ms - then.clock_ms) / 1000 };
}

function perSecond(steps, figure) {
  const change = since(steps, figure);
  return ratio(change.by, change.seconds);
}

function addPoints(status) {
  const values = {
    rate: perSecond(1, (s) => s.requests),
    cpu: perSecond(1, (s) => s.cpu_us) / 1e4,
    sent: perSecond(1, (s) => s.counters.sent_bytes),
    open: status ? status.counters.connections_open : NaN,
  };
  for (const name of Object.keys(plots)) {
    const points = plots[name].points;
    points.push(values[name]);
    if (points.length > POINTS) points.shift();
  }
}

function addGap() {
  for (const plot of Object.values(plots)) {
    plot.points.push(NaN);
    if (plot.points.length > POINTS) plot.points.shift();
  }
}

// ---- the plot ----

// A round number at or above the highest point, whose half is round as well.
function ceiling(highest) {
  if (!(highest > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  for (const step of [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10]) {
    if (highest <= step * power) return step * power;
  }
  return highest;
}

const xOf = (index, count) => 600 - ((count - 1 - index) * 600) / (POINTS - 1);

function draw() {
  const plot = plots[chosen];
  const points = plot.points;
  const finite = points.filter(Number.isFinite);
  const top = ceiling(Math.max(0, ...finite));
  let line = '';
  let area = '';
  let begin = -1;
  points.forEach((value, i) => {
    if (!Number.isFinite(value)) {
      begin = -1;
      return;
    }
    const x = xOf(i, points.length).toFixed(1);
    const y = (190 - (180 * value) / top).toFixed(1);
    line += `${begin < 0 ? 'M' : 'L'}${x} ${y}`;
    area += begin < 0 ? `M${x} 190V${y}` : `L${x} ${y}`;
    if (begin < 0) begin = i;
    if (i === points.length - 1 || !Number.isFinite(points[i + 1])) area += 'V190Z';
  });
  byId('line').setAttribute('d', line);
  byId('area').setAttribute('d', area);
  byId('tick-top').textContent = plot.show(top).join(' ');
  byId('tick-middle').textContent = plot.show(top / 2).join(' ');
  byId('live-title').textContent = plot.title;
  const [value, unit] = plot.show(points.length ? points[points.length - 1] : NaN);
  byId('live-value').textContent = value;
  byId('live-unit').textContent = plot.unit || unit;
  if (finite.length > 0) {
    const [high, highUnit] = plot.show(Math.max(...finite));
    byId('graph-text').textContent = `The last two minutes: at most ${high} ${highUnit}.`;
    byId('live-note').textContent =
      `at most ${high} ${highUnit}`.trim() + ' in two minutes; this page asks for one request a second';
  }
}

function point(event) {
  const box = byId('graph').getBoundingClientRect();
  const points = plots[chosen].points;
  const at = ((event.clientX - box.left) / box.width) * (POINTS - 1);
  const index = Math.round(points.length - POINTS + at);
  const known = index >= 0 && index < points.length && Number.isFinite(points[index]);
  byId('tip').hidden = !known;
  byId('cross').setAttribute('d', known ? `M${xOf(index, points.length).toFixed(1)} 10V190` : '');
  if (known) {
    const ago = points.length - 1 - index;
    byId('tip').textContent =
      plots[chosen].show(points[index]).join(' ').trim() + (ago > 0 ? `, ${ago} s ago` : ', now');
    const x = (xOf(index, points.length) / 600) * box.width;
    byId('tip').style.left = `${Math.min(Math.max(x, 60), box.width - 60)}px`;
  }
}

function unpoint() {
  byId('tip').hidden = true;
  byId('cross').setAttribute('d', '');
}

// ---- tiles, tables, lists ----

function tile(name) {
  const holder = document.createElement('div');
  const term = document.createElement('dt');
  const value = document.createElement('dd');
  const text = document.createElement('span');
  const unit = document.createElement('span');
  const note = document.createElement('dd');
  term.textContent = name;
  value.className = 'value';
  unit.className = 'unit';
  note.className = 'note';
  value.append(text, ' ', unit);
  holder.append(term, value, note);
  byId('tiles').append(holder);
  return { holder, text, unit, note };
}

const tiles = {};

function setTile(name, [value, unit], note, warn) {
  tiles[name] = tiles[name] || tile(name);
  tiles[name].text.textContent = value;
  tiles[name].unit.textContent = unit;
  tiles[name].note.textContent = note;
  tiles[name].holder.classList.toggle('warn', Boolean(warn));
}

function showTiles(s) {
  const c = s.counters;
  const requests = since(WINDOW, (x) => x.requests).by;
  const per = (figure) => ratio(since(WINDOW, figure).by, requests);
  const rate = ([value, unit]) => [value, `${unit}/s`];
  const submissions = (x) => x.counters.submissions;
  const completions = (x) => x.counters.completions;
  const enters = since(WINDOW, (x) => x.counters.enters).by;

  setTile('CPU time per request', [number(per((x) => x.cpu_us)), 'µs'],
    `${number(perSecond(WINDOW, (x) => x.cpu_us) / 1e4)} % of one processor`);
  setTile('Connections', [number(c.connections_open), 'open'], `${number(c.connections_accepted)} accepted in all`);
  setTile('Received', rate(bytes(perSecond(1, (x) => x.counters.received_bytes))),
    `${bytes(c.received_bytes).join(' ')} in all`);
  setTile('Sent', rate(bytes(perSecond(1, (x) => x.counters.sent_bytes))), `${bytes(c.sent_bytes).join(' ')} in all`);
  setTile('Copied per request', bytes(per((x) => x.counters.copied_bytes)),
    'payload that Gyre itself moved');
  setTile('Submissions per request', [number(per(submissions)), ''],
    `${number(per(completions))} completions`);
  setTile('Completions per enter', [number(ratio(since(WINDOW, completions).by, enters)), ''],
    `${number(ratio(since(WINDOW, submissions).by, enters))} submissions`);
  setTile('Out of buffers', [number(c.enobufs), 'times'],
    c.enobufs > 0 ? 'receives that waited (ENOBUFS)' : 'no receive had to wait', c.enobufs > 0);
  setTile('Requests in all', [number(s.requests), ''], `by ${s.workers.count} ${s.workers.count === 1 ? 'worker' : 'workers'}`);
  setTile('Memory', bytes(s.memory_peak_bytes), 'resident, at its highest');
}

function cells(row, texts) {
  texts.forEach((text, i) => {
    const cell = document.createElement(i === 0 ? 'th' : 'td');
    if (i === 0) cell.scope = 'row';
    cell.textContent = text;
    row.append(cell);
  });
}

function bar(share) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 100 6');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `${Math.round(share * 100)} %`);
  for (const [name, width] of [['track', 100], ['fill', 100 * share]]) {
    const rect = document.createElementNS(SVG, 'rect');
    rect.setAttribute('class', name);
    rect.setAttribute('width', width.toFixed(1));
    rect.setAttribute('height', 6);
    svg.append(rect);
  }
  return svg;
}

function showWorkers(s) {
  const list = s.workers.list;
  const then = recent[Math.max(0, recent.length - 2)];
  const seconds = (s.clock_ms - then.clock_ms) / 1000;
  const rates = list.map((w, i) => ratio(w.requests - then.workers.list[i].requests, seconds));
  const sum = rates.reduce((a, b) => a + b, 0);
  const rows = list.map((w, i) => {
    const row = document.createElement('tr');
    cells(row, [w.number, w.processor === null ? 'any' : w.processor, number(w.connections_open), number(rates[i])]);
    const share = document.createElement('td');
    share.className = 'wide';
    share.append(bar(sum > 0 ? rates[i] / sum : 0));
    row.append(share);
    return row;
  });
  byId('workers').replaceChildren(...rows);
  byId('workers-note').textContent =
    `${s.workers.count} ${s.workers.count === 1 ? 'thread' : 'threads'}, each with its own ring, buffers and timers` +
    (s.workers.count > list.length ? `; the first ${list.length} are shown` : '');
}

let featuresShown = '';

function showRing(s) {
  const b = s.buffers;
  byId('ring-note').textContent =
    `receive mode ${s.receive_mode}; ${b.posted} of ${b.count} buffers of ${bytes(b.bytes).join(' ')} ` +
    'with the kernel at a time';
  const shown = JSON.stringify(s.ring_features);
  if (shown === featuresShown) return;
  featuresShown = shown;
  const items = s.ring_features.map((feature) => {
    const item = document.createElement('li');
    const name = document.createElement('code');
    name.textContent = feature.name;
    item.append(name);
    item.className = feature.state;
    if (feature.state === 'available') item.append(' offered, not used');
    if (feature.state === 'absent') item.append(` absent (Linux ${feature.since}); instead: ${feature.instead}`);
    return item;
  });
  const order = ['used', 'available', 'absent'];
  items.sort((a, b) => order.indexOf(a.className) - order.indexOf(b.className));
  byId('features').replaceChildren(...items);
}

function showCounters(s) {
  const rows = [];
  const add = (name, value) => {
    const row = document.createElement('tr');
    cells(row, [name, value === null ? '–' : value.toLocaleString('en')]);
    rows.push(row);
  };
  for (const [name, value] of Object.entries(s.counters)) {
    if (value !== null && typeof value === 'object') {
      for (const [label, part] of Object.entries(value)) add(`${name}, ${label}`, part);
    } else {
      add(name, value);
    }
  }
  byId('counters').replaceChildren(...rows);
}

// A screen reader hears a change of state, not the seconds ticking: those are put beside the live text.
let stateShown = '';

function showState(state, text, detail) {
  const element = byId('state');
  if (stateShown !== text) {
    stateShown = text;
    element.textContent = text;
    element.className = `state ${state}`;
    const ticking = document.createElement('span');
    ticking.setAttribute('aria-live', 'off');
    ticking.id = 'state-detail';
    ticking.className = 'quiet';
    element.append(ticking);
  }
  byId('state-detail').textContent = detail;
}

function show(s, replaced) {
  byId('version').textContent = s.version;
  byId('host').textContent = `Linux ${s.kernel} on ${s.machine}, process ${s.pid}`;
  showState('up', replaced ? 'process replaced, serving' : stateShown.startsWith('process') ? stateShown : 'serving',
    `for ${duration(s.uptime_ms)}`);
  showTiles(s);
  showWorkers(s);
  showRing(s);
  showCounters(s);
  draw();
}

// ---- once a second ----

async function ask() {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), TIMEOUT_MS);
  try {
    const answer = await fetch('/status.json', { cache: 'no-store', signal: control.signal });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const status = await answer.json();
    const replaced = remember(status);
    if (replaced) addGap();
    else if (recent.length > 1) addPoints(status);
    show(status, replaced);
  } catch (error) {
    addGap();
    draw();
    showState('down', 'not answering', 'asking again');
  } finally {
    clearTimeout(timer);
  }
}

async function run() {
  for (;;) {
    const begun = Date.now();
    await ask();
    await new Promise((resolve) => setTimeout(resolve, Math.max(50, EVERY_MS - (Date.now() - begun))));
  }
}

for (const here of document.querySelectorAll('.here')) here.textContent = location.origin;
for (const input of document.querySelectorAll('input[name=plot]')) {
  input.addEventListener('change', () => {
    chosen = input.value;
    unpoint();
    draw();
  });
}
byId('graph').addEventListener('pointermove', point);
byId('graph').addEventListener('pointerleave', unpoint);
run();
