// Nodes that measure each other: a square for each way, and all that is known of one.

import { attr, dot, empty, h, list, sheet, show, text } from "./dom.js";
import { percent, seconds } from "./format.js";

export const ranged = true;
export const single = false;

/// Beyond these a page of squares helps nobody: the worst ways stand above it, and a node can be chosen.
const MOST = 60;
const WORST = 8;

export function mount(root, { go }) {
  const worst = sheet("Ways worth a look");
  const ways = h("div", { class: "ways" });
  worst.el.append(ways);
  const squares = sheet("Who sees whom");
  const box = h("div", { class: "scroll" });
  squares.el.append(h("p", { class: "soft" }, "Each row is a node, each square what it sees of the node above: median round trip by ping."), box);
  const one = detail(go);
  const grid = h("div", { class: "grid" }, worst.el, squares.el, one.el);
  const none = empty("No two nodes yet",
    "Agents measure each other once a second one reports. An agent on the aggregator's own machine needs mesh.address to take part.");
  root.append(grid, none);
  let chosen = "";
  let view = null;
  const choose = (key) => {
    chosen = key;
    draw();
  };
  const set = list(ways, key, () => way(choose));
  const matrix = table(box, choose);
  function draw() {
    const cells = new Map(view.cells.map((cell) => [key(cell), cell]));
    const order = { bad: 0, warn: 1, good: 2 };
    const wrong = view.cells.filter((cell) => cell.mood !== "good");
    wrong.sort((a, b) => order[a.mood] - order[b.mood] || (b.loss || 0) - (a.loss || 0));
    set(wrong.slice(0, WORST));
    show(worst.el, wrong.length > 0);
    text(worst.note, wrong.length > WORST ? `${wrong.length - WORST} more` : "");
    const nodes = view.nodes.slice(0, MOST);
    text(squares.note, view.nodes.length > MOST ? `${MOST} of ${view.nodes.length} nodes` : `${view.cells.length} ways`);
    matrix(nodes, cells, chosen);
    one.set(cells.get(chosen) || wrong[0] || view.cells[0]);
    show(grid, view.cells.length > 0);
    show(none, !view.cells.length);
  }
  return {
    update(now) {
      view = now;
      draw();
    },
  };
}

const key = (cell) => `${cell.node}\n${cell.peer}`;

/// One of the worst.
function way(choose) {
  const mark = dot("");
  const [ends, why] = [h("strong"), h("span", { class: "why" })];
  let of = "";
  const el = h("button", { type: "button", class: "way", onclick: () => choose(of) }, mark, ends, why);
  return {
    el,
    update(cell) {
      of = key(cell);
      mark.className = `dot ${cell.mood}`;
      text(ends, `${cell.node} \u2192 ${cell.peer}`);
      text(why, cell.why.join("; "));
    },
  };
}

/// The squares; made anew only where the nodes change.
function table(box, choose) {
  let shown = "";
  let squares = new Map();
  return (nodes, cells, chosen) => {
    const names = nodes.map((node) => `${node.zone}\n${node.node}`).join("\n\n");
    if (names !== shown) {
      shown = names;
      squares = new Map();
      const labels = nodes.length <= 16;
      const head = h("tr", {}, h("th"), ...nodes.map((node) => h("th", { title: node.node }, h("span", {}, node.node))));
      const rows = nodes.map((from, nth) => {
        const edge = nth > 0 && nodes[nth - 1].zone !== from.zone ? "zone" : "";
        return h("tr", { class: edge }, h("th", { title: from.zone }, from.node), ...nodes.map((to, at) => {
          const border = at > 0 && nodes[at - 1].zone !== to.zone ? "zone" : "";
          if (from.node === to.node) return h("td", { class: `self ${border}` });
          const id = `${from.node}\n${to.node}`;
          const square = h("button", { type: "button", onclick: () => choose(id) });
          squares.set(id, square);
          return h("td", { class: border }, square);
        }));
      });
      box.replaceChildren(h("table", { class: labels ? "matrix wide" : "matrix" }, h("thead", {}, head), h("tbody", {}, ...rows)));
    }
    for (const [id, square] of squares) {
      const cell = cells.get(id);
      attr(square, "class", cell ? cell.mood : "none");
      attr(square, "aria-pressed", String(id === chosen));
      const rtt = cell ? (cell.rtt ?? cell.echo_rtt) : null;
      const said = !cell ? "" : rtt == null ? "lost" : seconds(rtt);
      text(square, nodes.length <= 16 ? said : "");
      attr(square, "title", `${id.replace("\n", " \u2192 ")}${cell ? `: ${[said, ...cell.why].join("; ")}` : ": not measured"}`);
    }
  };
}

/// Everything about one way.
function detail(go) {
  const made = sheet("");
  const facts = h("dl", { class: "facts" });
  const links = h("p", {},
    h("button", { type: "button", class: "button", onclick: () => go("latency", node) }, "Round trips"), " ",
    h("button", { type: "button", class: "button", onclick: () => go("path", node) }, "Paths"));
  made.el.append(facts, links);
  let node = "";
  const rows = list(facts, (row) => row[0], ([name]) => {
    const value = h("dd");
    return { el: h("div", {}, h("dt", {}, name), value), update: ([, said]) => text(value, said) };
  });
  return {
    el: made.el,
    set(cell) {
      show(made.el, Boolean(cell));
      if (!cell) return;
      node = cell.node;
      text(made.head, `${cell.node} \u2192 ${cell.peer}`);
      text(made.note, cell.why.join("; "));
      const signed = (v) => `${v >= 0 ? "+" : "\u2212"}${seconds(Math.abs(v))}`;
      const fact = (name, value, said) => (value == null ? [] : [[name, said(value)]]);
      rows([
        ...fact("round trip, ping", cell.rtt, (v) => `${seconds(v)}, ${percent(cell.loss)} lost`),
        ...fact("round trip, UDP", cell.echo_rtt, (v) => `${seconds(v)}, ${percent(cell.echo_loss)} lost`),
        ...fact("more than usual, towards", cell.forward, signed),
        ...fact("more than usual, back", cell.backward, signed),
        ...fact("delay towards", cell.one_way, signed),
        ...fact("clock of the peer", cell.offset, (v) => `${signed(v)} \u00b1 ${seconds(cell.offset_bound)}`),
        ...fact("path MTU", cell.mtu, (v) => `${v} bytes`),
        ...fact("source ports", cell.ports, (v) => (cell.dead_ports ? `${cell.dead_ports} of ${v} dead` : `all ${v} get through`)),
        ...fact("TCP", cell.tcp_connections, (v) => `${v} connection${v === 1 ? "" : "s"}${cell.tcp_again == null ? "" : `, ${percent(cell.tcp_again)} of the segments sent again`}`),
        ...fact("hops", cell.hops, String),
      ]);
    },
  };
}
