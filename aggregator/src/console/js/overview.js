// Everything at a glance: signals, sinks, nodes, what is missing, how full the store is.

import { dot, empty, h, list, sheet, show, text } from "./dom.js";
import { bytes, clock, last, number, percent, rate, seconds, span } from "./format.js";
import { table } from "./rows.js";
import { meter, spark } from "./spark.js";

export const everywhere = true;
export const single = false;

const units = { metrics: "samples/s", logs: "lines/s", spans: "spans/s" };
const titles = { metrics: "Metrics", logs: "Logs", spans: "Traces" };
const colours = { metrics: "--c1", logs: "--c8", spans: "--c5" };
const moods = { delivering: "good", retrying: "warn", held: "bad" };
const states = { reporting: "good", late: "warn", silent: "bad" };

export function mount(root, page) {
  const grid = h("div", { class: "grid" });
  root.append(grid);

  const signals = list(grid, (signal) => signal.name, (signal) => signalSheet(signal));
  const top = h("div", { class: "grid" });
  const sinks = sinkSheet();
  const nodes = sheet("Nodes");
  const nodeTable = table("nodes", columns(), (node) => node.agent, (line, node) => {
    line.onclick = () => page.go("host", node.name);
  });
  const none = empty("Waiting for the first agent", "An agent on this host reports within seconds of its start.");
  nodes.el.append(nodeTable.el, none);
  const warnings = warningSheet(page);
  const missing = missingSheet();
  const fills = fillSheet();
  missing.el.classList.add("half");
  fills.el.classList.add("half");
  top.append(nodes.el, warnings.el, missing.el, fills.el);
  grid.append(sinks.el);
  grid.style.marginBottom = "14px";
  root.append(top);

  return {
    update(view, body) {
      signals(view.signals);
      grid.append(sinks.el);
      sinks.set(view.sinks);
      for (const node of view.nodes) node.age = body.now_ms - node.last_ms;
      nodeTable.set(view.nodes);
      show(none, !view.nodes.length);
      show(nodeTable.el, view.nodes.length > 0);
      text(nodes.note, view.nodes.length > 1 ? `${view.nodes.length} nodes` : "");
      warnings.set(view.warnings);
      missing.set(view.missing);
      fills.set(view.store);
    },
  };
}

function signalSheet({ name }) {
  const [value, unit] = [h("span"), h("span", { class: "unit" }, units[name])];
  const amount = h("div", { class: "soft" });
  const line = spark(colours[name]);
  const el = h("section", { class: "sheet quarter signal" },
    h("h2", {}, titles[name]), h("div", { class: "big" }, value, unit), amount, line.el);
  return {
    el,
    update(signal) {
      text(value, number(signal.records));
      text(amount, signal.total ? `${rate(signal.bytes)} \u00b7 ${number(signal.total)} in all` : "none yet");
      line.set(signal.history);
    },
  };
}

function sinkSheet() {
  const box = h("div", { class: "sinks" });
  const none = h("p", { class: "soft" }, "No sink is configured: what arrives stays in the journal.");
  const { el } = sheet("Sinks", box, none);
  el.classList.add("quarter");
  const set = list(box, (sink) => sink.name, () => {
    const [mark, name, state, why] = [dot(), h("span"), h("span", { class: "soft" }), h("div", { class: "why" })];
    return {
      el: h("div", {}, mark, name, state, why),
      update(sink) {
        mark.className = `dot ${moods[sink.state] || ""}`;
        text(name, sink.name);
        const behind = sink.behind_bytes > 0 ? ` \u00b7 ${bytes(sink.behind_bytes)} behind` : "";
        text(state, sink.state + behind);
        text(why, sink.why);
        show(why, Boolean(sink.why));
      },
    };
  });
  return { el, set(sinks) { set(sinks); show(none, !sinks.length); } };
}

function columns() {
  const figure = (pick) => (node) => (node.figures ? pick(node.figures) : "");
  const measured = (pick) => () => {
    const bar = meter(percent);
    return { el: bar.el, set: (node) => bar.set(node.figures && pick(node.figures)) };
  };
  return [
    { head: "Node", class: "name", text: (node) => node.name },
    { head: "", part: stateOf },
    { head: "CPU, 15 min", part: () => {
      const line = spark("--c1", 1);
      return { el: line.el, set: (node) => line.set(node.figures?.busy) };
    } },
    { head: "busy", class: "num", text: figure((f) => percent(last(f.busy))) },
    { head: "Load", class: "num", text: figure((f) => (f.load == null ? number(null) : `${f.load.toFixed(2)} / ${f.cpus}`)) },
    { head: "Memory", part: measured((f) => f.memory) },
    { head: "Disk /", part: measured((f) => f.root) },
    { head: "In", class: "num", text: figure((f) => rate(f.received)) },
    { head: "Out", class: "num", text: figure((f) => rate(f.sent)) },
    { head: "Latency", class: "num", text: figure((f) => (f.latency ? seconds(f.latency[1]) : number(null))) },
    { head: "Loss", class: "num", text: figure((f) => (f.latency ? percent(f.latency[2]) : number(null))) },
    { head: "Samples/s", class: "num", text: (node) => number(node.rates[0]) },
    { head: "Lines/s", class: "num", text: (node) => number(node.rates[1]) },
  ];
}

function stateOf() {
  const [mark, words] = [dot(), h("span")];
  return {
    el: h("span", { class: "state" }, mark, words),
    set(node) {
      mark.className = `dot ${states[node.state]}`;
      text(words, node.state === "reporting" ? "reporting" : `${node.state}, ${span(node.age)}`);
    },
  };
}

function warningSheet(page) {
  const box = h("div", { class: "lines brief" });
  const none = h("p", { class: "soft" }, "None among the lines that are kept.");
  const { el } = sheet("Last warnings and errors", box, none);
  const set = list(box, (line) => line.number, (line) => ({
    el: h("div", { class: `line ${line.level}`, onclick: () => page.go("logs", line.node) },
      h("time", {}, clock(line.at_ms, "millis")), h("i", { class: "mark" }),
      h("span", { class: "from" }, line.node), h("span", { class: "text" }, line.text)),
    update() {},
  }));
  return { el, set(lines) { set(lines); show(none, !lines.length); } };
}

function missingSheet() {
  const box = h("div", { class: "gaps" });
  const none = h("p", { class: "soft" }, "Nothing: every source that can work here does.");
  const { el } = sheet("What is missing", box, none);
  const set = list(box, (gap) => gap.what, () => {
    const [mark, what, why, command] = [dot(), h("strong"), h("span", { class: "soft" }), h("code", { class: "command" })];
    return {
      el: h("div", {}, mark, what, why, command),
      update(gap) {
        mark.className = `dot ${gap.fault ? "warn" : ""}`;
        text(what, gap.what);
        text(why, gap.why);
        text(command, gap.command);
        show(command, Boolean(gap.command));
      },
    };
  });
  return { el, set(gaps) { set(gaps); show(none, !gaps.length); } };
}

function fillSheet() {
  const row = (name) => {
    const [bar, words] = [meter(percent), h("span", { class: "soft num" })];
    return { el: h("div", {}, h("span", {}, name), bar.el, words), bar, words };
  };
  const rows = { series: row("Series"), logs: row("Lines"), traces: row("Traces") };
  const { el, note } = sheet("Embedded store", h("div", { class: "fills" }, ...Object.values(rows).map((r) => r.el)));
  text(note, "in memory, bounded");
  return {
    el,
    set(store) {
      const says = {
        series: `${number(store.series.series)} series, ${span(store.series.history_ms)} back`,
        logs: `${number(store.logs.lines)} lines`,
        traces: `${number(store.traces.traces)} traces`,
      };
      for (const [name, { bar, words }] of Object.entries(rows)) {
        bar.set(store[name].bytes / store[name].max_bytes);
        text(words, `${says[name]} \u00b7 ${bytes(store[name].bytes)} of ${bytes(store[name].max_bytes)}`);
      }
    },
  };
}
