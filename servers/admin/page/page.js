// SPDX-License-Identifier: GPL-3.0-or-later
//
// Asks /status.json once a second and plots what changed in between. Everything from the server is set as text, never as
// markup, and styles come from the sheet alone: the page's policy allows no others.
'use strict';

const EVERY_MS = 1000;
const TIMEOUT_MS = 5000;
const POINTS = 120; // seconds in a plot
const WINDOW = 5; // seconds that figures in tables are taken over
const LINES = 6; // in one plot, and colours

const SVG = 'http://www.w3.org/2000/svg';
const byId = (id) => document.getElementById(id);

function make(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// ---- numbers as people read them ----

function number(value) {
  if (!Number.isFinite(value)) return '–';
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString('en', { maximumFractionDigits: digits });
}

function time(ns) {
  if (!Number.isFinite(ns)) return '–';
  if (ns < 1e6) return `${number(ns / 1e3)} µs`;
  return ns < 1e9 ? `${number(ns / 1e6)} ms` : `${number(ns / 1e9)} s`;
}

const percent = (value) => (Number.isFinite(value) ? `${number(value)} %` : '–');

function duration(ms) {
  const s = Math.floor(ms / 1000);
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']].filter(([unit]) => s >= unit);
  return parts.slice(0, 2).map(([unit, name]) => `${Math.floor((s % (unit === 86400 ? Infinity : unit * (unit === 3600 ? 24 : 60))) / unit)} ${name}`).join(' ') || '0 s';
}

// ---- what is known ----

const answers = []; // of this process, the newest last

function remember(status) {
  const last = answers[answers.length - 1];
  if (last && (last.pid !== status.pid || last.clock_ms > status.clock_ms)) answers.length = 0;
  answers.push(status);
  if (answers.length > WINDOW + 1) answers.shift();
}

function perSecond(steps, figure) {
  const now = answers[answers.length - 1];
  const then = answers[Math.max(0, answers.length - 1 - steps)];
  const seconds = (now.clock_ms - then.clock_ms) / 1000;
  return seconds > 0 ? (figure(now) - figure(then)) / seconds : NaN;
}

const sum = (value) => (typeof value === 'object' ? Object.values(value).reduce((a, b) => a + b, 0) : value);
const serverOf = (status, name) => status.servers.find((server) => server.name === name);
const counted = (name) => (status) => {
  const server = serverOf(status, name);
  return server && server.rate ? sum(server.counters[server.rate]) : NaN;
};

// The bound of the bucket below which a share of the last answers' latencies lie, in ns.
function percentile(steps, names, share) {
  const now = answers[answers.length - 1];
  const then = answers[Math.max(0, answers.length - 1 - steps)];
  const counts = now.latency_bounds_ns.map(() => 0);
  for (const name of names) {
    const newer = serverOf(now, name);
    const older = serverOf(then, name);
    if (!newer || !older || !newer.latency || newer === older) continue;
    newer.latency.counts.forEach((count, i) => { counts[i] += count - older.latency.counts[i]; });
  }
  const all = counts.reduce((a, b) => a + b, 0);
  if (all <= 0) return NaN;
  let below = 0;
  for (let i = 0; i < counts.length; i++) {
    below += counts[i];
    if (below >= share * all) return now.latency_bounds_ns[i] ?? now.latency_bounds_ns[i - 1];
  }
  return NaN;
}

// ---- plots ----

class Plot {
  constructor(title, show, lines) {
    this.show = show; // a value as text
    this.lines = lines; // (status) => [[name, value]…], of one second
    this.series = new Map();
    const card = make('section', 'card');
    const head = make('div', 'plot-head');
    this.now = make('p', 'now', '–');
    head.append(make('h2', '', title), this.now);
    const graph = make('div', 'graph');
    this.svg = document.createElementNS(SVG, 'svg');
    for (const [name, value] of [['viewBox', '0 0 600 140'], ['preserveAspectRatio', 'none'], ['role', 'img']]) this.svg.setAttribute(name, value);
    this.text = document.createElementNS(SVG, 'title');
    const grid = document.createElementNS(SVG, 'path');
    grid.setAttribute('class', 'grid');
    grid.setAttribute('d', 'M0 1H600M0 70H600M0 139H600');
    this.svg.append(this.text, grid);
    this.title = title;
    this.top = make('span', 'tick top');
    this.middle = make('span', 'tick middle');
    graph.append(this.svg, this.top, this.middle);
    const ends = make('p', 'ends');
    ends.append(make('span', '', '2 minutes ago'), make('span', '', 'now'));
    this.legend = make('ul', 'legend');
    card.append(head, graph, ends, this.legend);
    byId('plots').append(card);
  }

  add(status) {
    const values = new Map(status ? this.lines(status).slice(0, LINES) : []);
    for (const name of values.keys()) if (!this.series.has(name) && this.series.size < LINES) this.begin(name);
    for (const [name, line] of this.series) {
      line.points.push(values.has(name) ? values.get(name) : NaN);
      if (line.points.length > POINTS) line.points.shift();
    }
    this.draw();
  }

  begin(name) {
    const path = document.createElementNS(SVG, 'path');
    const colour = `s${this.series.size}`;
    path.setAttribute('class', `line ${colour}`);
    this.svg.append(path);
    const entry = make('li', colour);
    const value = make('span');
    entry.append(value);
    this.legend.append(entry);
    this.series.set(name, { points: [], path, value });
  }

  draw() {
    let highest = 0;
    for (const line of this.series.values()) for (const value of line.points) if (value > highest) highest = value;
    const top = ceiling(highest);
    const said = [];
    for (const [name, line] of this.series) {
      const last = line.points[line.points.length - 1];
      let path = '';
      let gap = true;
      line.points.forEach((value, i) => {
        if (Number.isFinite(value)) {
          const x = 600 - ((line.points.length - 1 - i) * 600) / (POINTS - 1);
          path += `${gap ? 'M' : 'L'}${x.toFixed(1)} ${(139 - (138 * value) / top).toFixed(1)}`;
        }
        gap = !Number.isFinite(value);
      });
      line.path.setAttribute('d', path);
      line.value.textContent = `${name} ${this.show(last)}`;
      said.push(line.value.textContent);
      if (line === this.series.values().next().value) this.now.textContent = name === 'p50' ? line.value.textContent : this.show(last);
    }
    this.top.textContent = this.show(top);
    this.middle.textContent = this.show(top / 2);
    this.text.textContent = `${this.title}: ${said.join(', ')}`;
  }
}

// A round number at or above the highest point.
function ceiling(highest) {
  if (!(highest > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  return [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => highest <= step) || highest;
}

const others = (status) => status.servers.filter((server) => server.name !== 'admin');

const plots = [
  new Plot('Requests per second', number, (status) => [
    ['all', perSecond(1, (s) => s.requests)],
    ...others(status).filter((server) => server.rate).map((server) => [server.name, perSecond(1, counted(server.name))]),
  ]),
  new Plot('Connections', number, (status) => [
    ['all', status.counters.connections_open],
    ...others(status).map((server) => [server.name, server.connections_open]),
  ]),
  new Plot('Latency', time, (status) => {
    const names = others(status).map((server) => server.name);
    return [['p50', 0.5], ['p90', 0.9], ['p99', 0.99]].map(([name, share]) => [name, percentile(1, names, share)]);
  }),
  new Plot('Processor', percent, (status) => [
    ['process', perSecond(1, (s) => s.cpu_us) / 1e4],
    ...status.workers.list.map((worker, i) => [`worker ${worker.number}`, perSecond(1, (s) => s.workers.list[i].cpu_us) / 1e4]),
  ]),
];

// ---- tables ----

function rows(id, lines) {
  byId(id).replaceChildren(...lines.map((cells) => {
    const row = make('tr');
    row.append(...cells.map((cell) => make('td', '', cell)));
    return row;
  }));
}

function showTables(status) {
  rows('servers', status.servers.map((server) => [
    server.name === server.kind ? server.name : `${server.name} (${server.kind})`,
    server.listen.join(' '),
    number(server.connections_open),
    server.rate ? number(perSecond(WINDOW, counted(server.name))) : '–',
    ...[0.5, 0.9, 0.99].map((share) => time(percentile(WINDOW, [server.name], share))),
  ]));
  rows('workers', status.workers.list.map((worker, i) => [
    String(worker.number),
    worker.processor === null ? 'any' : String(worker.processor),
    percent(perSecond(WINDOW, (s) => s.workers.list[i].cpu_us) / 1e4),
    number(perSecond(WINDOW, (s) => s.workers.list[i].requests)),
    number(worker.connections_open),
  ]));
  const counters = status.counters;
  const figures = [
    ['receive mode', status.receive_mode],
    ['completions per enter', number(perSecond(WINDOW, (s) => s.counters.completions) / perSecond(WINDOW, (s) => s.counters.enters))],
    ['receives without a buffer (ENOBUFS)', counters.enobufs],
    ['completion queue overflows', counters.cq_overflows],
    ['stale completions', counters.completions_stale],
    ['fewest free buffers', counters.buffers_free_low === null ? '–' : `${number(counters.buffers_free_low)} of ${number(status.buffers.count)}`],
    ['streams paused', sum(counters.streams_paused)],
    ['streams evicted', counters.streams_evicted],
    ['connections refused', counters.connections_refused],
  ];
  const worrying = ['completion queue overflows', 'streams evicted', 'connections refused'];
  byId('ring').replaceChildren(...figures.flatMap(([name, value]) => [
    make('dt', '', name),
    make('dd', worrying.includes(name) && value > 0 ? 'odd' : '', typeof value === 'number' ? number(value) : value),
  ]));
}

// ---- asking ----

function setState(up, text) {
  byId('state').textContent = text;
  byId('state').className = up ? 'state up' : 'state down';
}

async function ask() {
  try {
    const response = await fetch('/status.json', { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) throw new Error(`${response.status}`);
    const status = await response.json();
    remember(status);
    byId('version').textContent = status.version;
    byId('process').textContent = `Process ${status.pid}, generation ${status.generation}, up ${duration(status.uptime_ms)}, Linux ${status.kernel}.`;
    for (const plot of plots) plot.add(status);
    showTables(status);
    setState(true, 'serving');
  } catch (error) {
    for (const plot of plots) plot.add(null);
    setState(false, 'no answer');
  }
}

async function run() {
  for (;;) {
    const began = performance.now();
    if (!document.hidden) await ask();
    await new Promise((resume) => setTimeout(resume, Math.max(0, EVERY_MS - (performance.now() - began))));
  }
}

run();
