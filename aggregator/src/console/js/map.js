// The graph of all paths: nodes, routers, targets, and what each link adds.

import { attr, empty, h, sheet, show, text } from "./dom.js";
import { fixed, percent } from "./format.js";
import { layout } from "./layout.js";
import { table } from "./rows.js";

export const ranged = false;
export const single = false;

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [1200, 640];

export function mount(root) {
  const picture = sheet("All paths together");
  const svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "map", role: "img", "aria-label": "The graph of all paths" });
  picture.el.append(svg, h("p", { class: "soft" },
    "Addresses of one router are one vertex where both directions show it. Loss counts only where it persists to the end of a path."));
  const links = sheet("Links");
  const rows = table("links", columns(), (edge) => edge.id);
  links.el.append(rows.el);
  const grid = h("div", { class: "grid" }, picture.el, links.el);
  const none = empty("Waiting for the first path", "The graph is made of what the agents' paths show.");
  root.append(grid, none);
  let places = new Map();
  return {
    update(view) {
      show(grid, view.nodes.length > 0);
      show(none, !view.nodes.length);
      const known = new Map(view.nodes.map((vertex) => [vertex.id, vertex]));
      places = layout(view.nodes.map((vertex) => vertex.id), view.edges.map((edge) => [edge.source, edge.target]), places);
      const lost = [[view.left_out, "vertices"], [view.links_left_out, "links"], [view.paths_left_out, "paths"]]
        .filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
      text(picture.note, `${view.nodes.length} vertices, ${view.edges.length} ${view.edges.length === 1 ? "link" : "links"}${lost.length ? `; left out, as there are too many: ${lost.join(", ")}` : ""}`);
      draw(svg, view, places);
      const worst = [...view.edges].sort((a, b) => b.secondarystat - a.secondarystat || (b.mainstat || 0) - (a.mainstat || 0));
      rows.set(worst.slice(0, 50).map((edge) => ({ ...edge, from: known.get(edge.source), to: known.get(edge.target) })));
      text(links.note, worst.length > 50 ? `the 50 worst of ${worst.length}` : "the worst first");
    },
  };
}

function columns() {
  return [
    { head: "From", text: (edge) => edge.from?.title },
    { head: "To", text: (edge) => edge.to?.title },
    { head: "adds, ms", class: "num", text: (edge) => fixed(edge.mainstat, 2) },
    { head: "Loss", class: "num", part: () => {
      const el = h("span");
      return { el, set(edge) {
        text(el, percent(edge.secondarystat / 100));
        el.className = mood(edge.secondarystat);
      } };
    } },
    { head: "Paths", class: "num", text: (edge) => edge.detail__paths },
    { head: "Flows", class: "num", text: (edge) => edge.detail__flows },
  ];
}

const mood = (loss) => (loss >= 20 ? "bad" : loss > 0 ? "warn" : "");

function element(name, attributes, ...children) {
  const el = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) attr(el, attribute, String(value));
  el.append(...children);
  return el;
}

function draw(svg, view, places) {
  const at = (id) => {
    const [x, y] = places.get(id);
    return [Math.round(x * WIDTH), Math.round(y * HEIGHT)];
  };
  const drawn = new Set();
  const lines = view.edges.flatMap((edge) => {
    // Both directions are one line.
    const pair = [edge.source, edge.target].sort().join("\n");
    if (drawn.has(pair)) return [];
    drawn.add(pair);
    const back = view.edges.find((other) => other.source === edge.target && other.target === edge.source);
    const loss = Math.max(edge.secondarystat, back ? back.secondarystat : 0);
    const [[x1, y1], [x2, y2]] = [at(edge.source), at(edge.target)];
    const line = element("line", { x1, y1, x2, y2, class: mood(loss), "stroke-width": edge.thickness });
    line.append(element("title", {}, `${edge.mainstat == null ? "" : `adds ${fixed(edge.mainstat, 2)} ms, `}${loss.toFixed(0)} % lost, ${edge.detail__flows} flows of ${edge.detail__paths} paths`));
    return [line];
  });
  const marks = view.nodes.map((vertex) => {
    const [x, y] = at(vertex.id);
    const kind = vertex.subtitle.replace(" ", "-");
    const mark = kind === "node" || kind === "target"
      ? element("rect", { x: x - 7, y: y - 7, width: 14, height: 14, rx: 3 })
      : element("circle", { cx: x, cy: y, r: kind === "router" ? 6 : 4 });
    const label = element("text", { x, y: y - 12, "text-anchor": "middle" }, vertex.title);
    const about = `${vertex.subtitle} ${vertex.title}${vertex.detail__addresses ? ` (${vertex.detail__addresses})` : ""}`;
    return element("g", { class: `${kind} ${mood(vertex.secondarystat)}` }, element("title", {}, about), mark, label);
  });
  svg.replaceChildren(...lines, ...marks);
}
