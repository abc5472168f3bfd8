// Paths, hop by hop, as mtr shows them.

import { empty, h, list, sheet, show, text } from "./dom.js";
import { fixed, percent, span } from "./format.js";
import { table } from "./rows.js";
import { spark } from "./spark.js";

export const ranged = true;
export const single = false;

export function mount(root) {
  const grid = h("div", { class: "grid" });
  const none = empty("Waiting for the first path",
    "The agent walks from hop to hop towards its targets; the first round takes some seconds.");
  const more = h("p", { class: "soft" });
  root.append(grid, none, more);
  const set = list(grid, (path) => `${path.node}\n${path.target}`, sheetOf);
  return {
    update(view, body) {
      for (const path of view.paths) path.now_ms = body.now_ms;
      set(view.paths);
      show(none, !view.paths.length);
      show(more, view.left_out > 0);
      text(more, `${view.left_out} more paths are not shown`);
    },
  };
}

function sheetOf() {
  const made = sheet("");
  const from = h("span", { class: "soft" });
  made.head.after(from);
  const hops = table("hops", columns(), (hop) => `${hop.ttl} ${hop.host}`, (line, hop) => {
    line.className = hop.loss >= 100 ? "silent" : "";
  });
  made.el.append(hops.el);
  return {
    el: made.el,
    update(path) {
      text(made.head, path.target);
      text(from, `from ${path.node}`);
      const distance = path.hops.length ? path.hops[path.hops.length - 1].ttl : 0;
      text(made.note, `${distance} hop${distance === 1 ? "" : "s"}, reported ${span(path.now_ms - path.at_ms)} ago`);
      // A hop that answers slowly by itself does not make the scale: the end of the path does, three times over.
      const worst = Math.max(...path.hops.map((hop) => hop.wrst || 0), 0.001);
      const end = path.hops[path.hops.length - 1]?.wrst || worst;
      const scale = Math.min(worst, end * 3);
      let before = 0;
      hops.set(path.hops.map((hop) => {
        const shown = { ...hop, scale, again: hop.ttl === before };
        before = hop.ttl;
        return shown;
      }));
    },
  };
}

function columns() {
  const ms = (head, pick) => ({ head, class: "num", text: (hop) => fixed(pick(hop), 2) });
  return [
    { head: "", class: "num faint", text: (hop) => (hop.again ? "" : hop.ttl) },
    { head: "Host", text: (hop) => hop.host },
    { head: "Loss", class: "num", part: () => {
      const el = h("span");
      return { el, set(hop) {
        text(el, percent(hop.loss / 100));
        el.className = hop.loss >= 100 ? "" : hop.loss > 10 ? "bad" : hop.loss > 0 ? "warn" : "";
      } };
    } },
    { head: "Snt", class: "num", text: (hop) => fixed(hop.snt, 0) },
    ms("Last", (hop) => hop.last),
    ms("Avg", (hop) => hop.avg),
    ms("Best", (hop) => hop.best),
    ms("Wrst", (hop) => hop.wrst),
    ms("StDev", (hop) => hop.stdev),
    { head: "best \u2013 worst, ms", part: range },
    { head: "avg over time", part: () => {
      const line = spark("--c1");
      return { el: line.el, set: (hop) => line.set(hop.history) };
    } },
  ];
}

function range() {
  const [whole, middle] = [h("i"), h("b")];
  const el = h("div", { class: "span" }, whole, middle);
  return {
    el,
    set(hop) {
      const place = (v) => Math.min(100, ((v || 0) / hop.scale) * 100);
      show(whole, hop.avg != null);
      show(middle, hop.avg != null);
      whole.style.left = `${place(hop.best)}%`;
      whole.style.width = `${Math.max(0.5, place(hop.wrst) - place(hop.best))}%`;
      middle.style.left = `calc(${place(hop.avg)}% - 1.5px)`;
      middle.style.width = "3px";
    },
  };
}
