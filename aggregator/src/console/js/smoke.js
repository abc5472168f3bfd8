// A smoke graph: the distribution of round trips over time, the median in the colour of the loss.

import { colour, crisp, font, minutes, terse, ticks } from "./canvas.js";
import { h, text } from "./dom.js";
import { clock, percent, seconds } from "./format.js";

const LEFT = 68;
const BOTTOM = 18;
const TOP = 6;

/// Smokeping's colours: loss up to this share, and its name.
export const losses = [
  [0, "#26ff00", "0"], [0.05, "#00b8ff", "to 5 %"], [0.1, "#0059ff", "to 10 %"], [0.15, "#7e00ff", "to 15 %"],
  [0.25, "#ff00ff", "to 25 %"], [0.5, "#ff5500", "to 50 %"], [0.999, "#ff0000", "above"], [1, "#a00000", "all"],
];

/// The colour of a loss.
export const lossColour = (share) => losses.find(([limit]) => share <= limit + 1e-9)?.[1] || "#a00000";

/// {el, set(grid, target)}
export function smoke() {
  const canvas = h("canvas", { role: "img" });
  canvas.style.height = "150px";
  const tip = h("div", { class: "legend" }, h("span"));
  let grid = null;
  let target = null;
  let cell = null;
  const draw = crisp(canvas, (context, width, height) => grid && paint(context, width, height, grid, target, cell));
  const tell = () => {
    text(tip.firstChild, cell == null || !grid ? summary(target) : words(grid, target, cell));
  };
  canvas.addEventListener("pointermove", (event) => {
    if (!grid) return;
    const at = Math.floor(((event.offsetX - LEFT) / (canvas.clientWidth - LEFT)) * grid.cells);
    cell = at >= 0 && at < grid.cells ? at : null;
    draw();
    tell();
  });
  canvas.addEventListener("pointerleave", () => { cell = null; draw(); tell(); });
  return {
    el: h("figure", {}, canvas, tip),
    set(now, what) { grid = now; target = what; draw(); tell(); },
  };
}

function summary({ overall, labels }) {
  const range = overall.medians ? `medians ${seconds(overall.medians[0])} to ${seconds(overall.medians[1])}` : "";
  const own = Object.entries(labels).map(([name, value]) => `${name} ${value}`).join(", ");
  return [range, overall.p95 == null ? "" : `95 % under ${seconds(overall.p95)}`, `${overall.sent} probes`, own]
    .filter(Boolean).join("  \u00b7  ");
}

function words(grid, target, cell) {
  const at = clock(grid.start_ms + (cell + 1) * grid.step_ms);
  const q = target.seconds[cell];
  const loss = target.loss[cell];
  if (loss == null) return `${at}  no probes`;
  const doubt = target.starved[cell] ? ", in doubt: the prober was starved" : "";
  const lost = `loss ${percent(loss)} of ${Math.round(target.sent[cell])}${doubt}`;
  return q ? `${at}  median ${seconds(q[4])}, ${seconds(q[0])} to ${seconds(q[8])}, ${lost}` : `${at}  no answer, ${lost}`;
}

/// A fifth above the highest median, or what nearly all round trips stay under, whichever is more.
function limit(target) {
  const found = target.seconds.filter(Boolean);
  if (!found.length) return 0.001;
  const middle = Math.max(...found.map((q) => q[4])) * 1.2;
  const tails = found.map((q) => q[7]).sort((a, b) => a - b);
  return Math.max(middle, Math.min(tails[Math.floor(tails.length * 0.98)] * 1.05, middle * 3));
}

function paint(context, width, height, grid, target, cell) {
  const max = limit(target);
  const [right, bottom] = [width - 1, height - BOTTOM];
  const x = (at) => LEFT + ((right - LEFT) * at) / grid.cells;
  const y = (v) => bottom - ((bottom - TOP) * Math.min(v, max)) / max;

  context.font = font();
  context.lineWidth = 1;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const tick of ticks(max)) {
    const at = Math.round(y(tick)) + 0.5;
    context.fillStyle = colour("--rule");
    context.fillRect(LEFT, at - 0.5, right - LEFT, 1);
    context.fillStyle = colour("--faint");
    context.fillText(tick ? terse(seconds(tick)) : "0", LEFT - 7, at);
  }
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  const end = grid.start_ms + grid.cells * grid.step_ms;
  for (const at of minutes(grid.start_ms, end)) {
    const place = Math.round(x((at - grid.start_ms) / grid.step_ms));
    if (place < right - 14 && place > LEFT + 10) context.fillText(clock(at, "minutes"), place, height - 4);
  }

  const shades = [0.08, 0.11, 0.14, 0.2];
  for (let at = 0; at < grid.cells; at += 1) {
    const [from, to] = [Math.round(x(at)), Math.round(x(at + 1))];
    const q = target.seconds[at];
    const loss = target.loss[at];
    if (loss === 1) {
      context.fillStyle = lossColour(1);
      context.globalAlpha = 0.18;
      context.fillRect(from, TOP, to - from, bottom - TOP);
      context.globalAlpha = 1;
      context.fillRect(from, bottom - 3, to - from, 3);
    }
    // What was measured while the prober was starved is in doubt.
    if (target.starved[at]) {
      context.fillStyle = colour("--faint");
      context.fillRect(from, TOP, to - from, 3);
    }
    if (!q) continue;
    shades.forEach((shade, band) => {
      const [low, high] = [y(q[band]), y(q[8 - band])];
      context.fillStyle = `rgba(${colour("--smoke")}, ${shade})`;
      context.fillRect(from, high, to - from, Math.max(1, low - high));
    });
    const middle = Math.round(y(q[4]));
    context.fillStyle = lossColour(loss || 0);
    context.fillRect(from, middle - 1, to - from, 3);
    context.fillStyle = "rgba(0, 0, 0, 0.55)";
    context.fillRect(from, middle, to - from, 1);
  }
  if (cell != null) {
    context.fillStyle = colour("--soft");
    context.fillRect(Math.round(x(cell + 0.5)), TOP, 1, bottom - TOP);
  }
}
