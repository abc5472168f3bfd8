// Round trips: one smoke graph per target.

import { empty, h, list, show, text } from "./dom.js";
import { percent, seconds } from "./format.js";
import { losses, smoke } from "./smoke.js";

export const ranged = true;
export const single = false;

/// How an agent asks by ICMP.
const modes = {
  raw: "by raw sockets, kernel stamps",
  ping: "by unprivileged ping sockets",
  connect: "without ICMP: by TCP and UDP",
};

export function mount(root) {
  const legend = h("div", { class: "losses" }, h("span", {}, "Loss"), ...losses.map(([, colour, name]) => {
    const swatch = h("i", { class: "swatch" });
    swatch.style.background = colour;
    return h("span", {}, swatch, name);
  }), h("span", { class: "faint" }, "Smoke: the spread of the round trips around their median. A grey bar on top: the prober was starved"));
  const grid = h("div", { class: "grid" });
  const none = empty("Waiting for the first round trips",
    "Without configured targets each agent probes its default gateway, or the loopback where there is none.");
  root.append(legend, grid, none);
  const set = list(grid, (target) => [target.node, target.target, target.address, ...Object.values(target.labels)].join("\n"), sheetOf);
  return {
    update(view) {
      for (const target of view.targets) target.grid = view.grid;
      set(view.targets);
      grid.classList.toggle("alone", view.targets.length === 1);
      show(none, !view.targets.length);
      show(legend, view.targets.length > 0);
    },
  };
}

function sheetOf() {
  const graph = smoke();
  const [name, from] = [h("h2"), h("span", { class: "soft" })];
  const figure = (label) => {
    const value = h("span");
    return [h("span", {}, h("span", { class: "label" }, `${label} `), value), value];
  };
  const [median, loss] = ["median", "loss"].map(figure);
  const el = h("section", { class: "sheet target half" },
    h("div", { class: "title" }, name, from, h("div", { class: "figures" }, median[0], loss[0])),
    graph.el);
  return {
    el,
    update(target) {
      text(name, target.target);
      const address = target.address && target.address !== target.target ? `${target.address}, ` : "";
      const how = target.labels.probe && target.labels.probe !== "icmp" ? "" : modes[target.mode];
      text(from, `${address}from ${target.node}${how ? `, ${how}` : ""}`);
      const all = target.overall;
      text(median[1], seconds(all.median));
      text(loss[1], percent(all.loss));
      loss[1].className = all.loss >= 0.05 ? "bad" : all.loss > 0 ? "warn" : "";
      graph.set(target.grid, target);
    },
  };
}
