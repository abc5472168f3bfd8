// The ledger: what each node read, what reached this aggregator, and what became of it at each store, by signal; a row
// opens to its sources.

import { attr, dot, empty, h, list, sheet, show, text } from "./dom.js";
import { bytes, number, span } from "./format.js";
import { canary } from "./canary.js";

export const everywhere = false;
export const single = false;

const signals = { metrics: "Metrics", logs: "Logs", logs_low: "Logs", spans: "Traces" };
const order = ["Metrics", "Logs", "Traces"];
const moods = { settled: "good", moving: "good", away: "warn", off: "bad" };
const health = { delivering: "good", retrying: "warn", held: "bad" };
const heads = [
  ["Node", ""], ["Signal", ""], ["Read", "num"], ["In spool", "num"], ["Given up", "num"], ["Received", "num edge"],
  ["Bytes", "num"], ["Store", "edge"], ["Delivered", "num"], ["Given up", "num"], ["In flight", "num"], ["Sent again", "num"],
];
const minus = "\u2212";

export function mount(root, page) {
  const head = h("thead", {},
    h("tr", { class: "over" }, h("th", { colspan: "2" }), h("th", { colspan: "3" }, "at the agent"),
      h("th", { class: "edge", colspan: "2" }, "at the aggregator"), h("th", { class: "edge", colspan: "5" }, "at the stores")),
    h("tr", {}, ...heads.map(([title, of]) => h("th", { class: of }, title))));
  const inner = h("table", { class: "ledger" }, head);
  const table = h("div", { class: "scroll" }, inner);
  const made = sheet("Ledger", table);
  const faults = h("ul", { class: "faults" });
  const why = h("p", { class: "soft why" },
    "Read = delivered + given up + in flight, at the agent and again at each store: in records and in bytes. What was sent again is counted beside it.");
  const none = empty("Nothing received yet", "The first frame of an agent opens the books.");
  const birds = canary(page);
  made.el.prepend(made.el.firstChild, faults);
  made.el.append(why, none);
  root.append(made.el, birds.el);
  const open = new Set();
  let last = null;
  const groups = list(inner, (group) => group.key, (group) => block(group.key, open, () => last && draw(last)));
  const sentences = list(faults, (words) => words, (words) => ({ el: h("li", {}, words), update() {} }));

  function draw(view) {
    last = view;
    const all = grouped(view.rows);
    const nodes = new Set(view.rows.map((row) => row.node));
    const sums = nodes.size > 1 ? totals(all) : [];
    const mood = Object.fromEntries(view.health.map((sink) => [sink.name, sink]));
    groups([...all, ...sums].map((group) => ({ ...group, mood, sinks: view.sinks, open: open.has(group.key) })));
    sentences(view.says);
    show(faults, view.says.length > 0);
    show(none, !view.rows.length);
    show(table, view.rows.length > 0);
    show(why, view.rows.length > 0);
    const words = { settled: "balanced, all of it settled", moving: "balanced", away: "balanced, a part is elsewhere", off: "out of balance" };
    text(made.note, view.rows.length ? words[view.verdict] : "");
    made.note.className = `note ${moods[view.verdict]}`;
  }
  return {
    update(view, body) {
      for (const row of view.rows) row.age = row.agent ? body.now_ms - row.agent.at_ms : null;
      draw(view);
    },
    query: () => ({}),
    reset: () => birds.reset(),
  };
}

/// Rows of the answer by node and signal.
function grouped(rows) {
  const groups = new Map();
  for (const row of rows) {
    const signal = signals[row.class] || row.class;
    const key = `${row.node}\n${signal}`;
    if (!groups.has(key)) groups.set(key, { key, node: row.node, signal, rows: [] });
    groups.get(key).rows.push(row);
  }
  const place = (group) => order.indexOf(group.signal);
  return [...groups.values()].sort((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : place(a) - place(b)));
}

/// All nodes, by signal.
function totals(groups) {
  const all = new Map(order.map((signal) => [signal, { key: `\n${signal}`, node: "All nodes", signal, rows: [], total: true }]));
  for (const group of groups) all.get(group.signal)?.rows.push(...group.rows);
  return [...all.values()].filter((group) => group.rows.length);
}

const worst = (rows) => rows.reduce((bad, row) => (Object.keys(moods).indexOf(row.verdict) > Object.keys(moods).indexOf(bad) ? row.verdict : bad), "settled");

/// One body of the table: a line per store, and below them, where it is open, the same for each source.
function block(key, open, redraw) {
  const el = h("tbody");
  el.addEventListener("click", (event) => {
    if (!event.target.closest("button")) return;
    if (!open.delete(key)) open.add(key);
    redraw();
  });
  const lines = list(el, (line) => line.key, (line) => entry(line));
  return {
    el,
    update(group) {
      el.className = group.total ? "total" : "";
      const parts = [{ ...group, name: group.signal, rows: group.rows, at: "" }];
      if (group.open) {
        for (const [source, rows] of bySource(group.rows)) parts.push({ ...group, name: source, rows, at: source, source: true });
      }
      lines(parts.flatMap((part) => {
        const sum = summed(part.rows);
        const sinks = group.sinks.filter((sink) => sum.sinks[sink]);
        return (sinks.length ? sinks : [""]).map((sink, i) => ({
          ...part, key: `${part.at}\n${sink}`, sink, sum, first: i === 0, span: Math.max(1, sinks.length),
        }));
      }));
    },
  };
}

function bySource(rows) {
  const all = new Map();
  for (const row of rows) all.set(row.source, [...(all.get(row.source) || []), row]);
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1));
}

const zero = () => ({ records: 0, bytes: 0 });

function plus(sum, more) {
  sum.records += more.records;
  sum.bytes += more.bytes;
}

function summed(rows) {
  const sum = { agent: null, received: zero(), sinks: {} };
  for (const row of rows) {
    plus(sum.received, row.received);
    if (row.agent) {
      const agent = (sum.agent ??= { read: zero(), in_flight: zero(), dropped: {}, age: 0 });
      plus(agent.read, row.agent.read);
      plus(agent.in_flight, row.agent.in_flight);
      agent.age = Math.max(agent.age, row.age);
      for (const [why, amount] of Object.entries(row.agent.dropped)) plus((agent.dropped[why] ??= zero()), amount);
    }
    for (const fate of row.sinks) {
      const all = (sum.sinks[fate.sink] ??= { delivered: zero(), resent: zero(), in_flight: zero(), dropped: {}, below: false });
      for (const what of ["delivered", "resent", "in_flight"]) plus(all[what], fate[what]);
      for (const [why, amount] of Object.entries(fate.dropped)) plus((all.dropped[why] ??= zero()), amount);
      all.below ||= fate.in_flight.records < 0 || fate.in_flight.bytes < 0;
    }
  }
  return sum;
}

/// One line of the table. The cells of the node and of the two ends stand in the first line of a part, for all its stores.
function entry(line) {
  const cell = (i) => h("td", { class: heads[i][1], "data-label": heads[i][0] });
  const left = line.first ? heads.slice(0, 7).map((_, i) => cell(i)) : [];
  const right = heads.slice(7).map((_, i) => cell(i + 7));
  const [mark, name, toggle] = [dot(), h("span"), h("button", { type: "button", class: "open" })];
  left[0]?.append(mark, name);
  left[1]?.append(toggle);
  const [store, words] = [dot(), h("span")];
  right[0].append(store, words);
  return {
    el: h("tr", {}, ...left, ...right),
    update(now) {
      this.el.className = [now.source ? "source" : "", now.first ? "first" : ""].join(" ").trim();
      if (now.first) ends(left, now, mark, name, toggle);
      const fate = now.sum.sinks[now.sink];
      store.className = `dot ${health[now.mood[now.sink]?.state] || ""}`;
      show(store, Boolean(fate));
      text(words, now.sink);
      attr(right[0], "title", now.mood[now.sink]?.why || "");
      text(right[1], fate ? number(fate.delivered.records) : "");
      attr(right[1], "title", fate ? bytes(fate.delivered.bytes) : "");
      lost(right[2], fate?.dropped);
      amount(right[3], fate?.in_flight, fate?.below ? "bad" : "");
      amount(right[4], fate?.resent, "");
    },
  };
}

function ends(cells, now, mark, name, toggle) {
  for (const cell of cells) attr(cell, "rowspan", now.span);
  const verdict = worst(now.rows);
  mark.className = `dot ${moods[verdict]}`;
  attr(cells[0], "title", now.rows.map((row) => row.says).filter(Boolean).join("\n"));
  text(name, now.source ? "" : now.node);
  show(mark, !now.source || verdict !== "settled");
  text(toggle, now.name);
  attr(toggle, "aria-expanded", String(Boolean(now.open && !now.source)));
  toggle.disabled = Boolean(now.source);
  const { agent, received } = now.sum;
  amount(cells[2], agent?.read, "");
  attr(cells[2], "title", agent ? `${bytes(agent.read.bytes)}; told ${span(agent.age)} ago` : "The agent's own figures have not come yet");
  amount(cells[3], agent?.in_flight, "");
  lost(cells[4], agent?.dropped);
  text(cells[5], number(received.records));
  text(cells[6], bytes(received.bytes));
}

function amount(cell, value, mood) {
  const label = cell.className.replace(/ ?(bad|warn|faint)$/, "");
  text(cell, value ? (value.records < 0 ? minus : "") + number(Math.abs(value.records)) : "\u2013");
  attr(cell, "title", value ? bytes(value.bytes) : "");
  cell.className = `${label} ${mood || (value?.records ? "" : "faint")}`.trim();
}

/// What was given up, with the reasons.
function lost(cell, dropped) {
  const reasons = Object.entries(dropped || {}).filter(([, of]) => of.records);
  const sum = reasons.reduce((all, [, of]) => all + of.records, 0);
  const words = reasons.map(([why]) => why.replace(/_/g, " ")).join(", ");
  text(cell, dropped ? (sum ? `${number(sum)} ${words}` : "0") : "\u2013");
  attr(cell, "title", reasons.map(([why, of]) => `${why.replace(/_/g, " ")}: ${number(of.records)}, ${bytes(of.bytes)}`).join("\n"));
  cell.className = `num ${sum ? "warn" : "faint"}`;
}
