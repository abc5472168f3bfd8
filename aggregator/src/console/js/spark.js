// A line the size of a word.

import { colour, crisp } from "./canvas.js";
import { h } from "./dom.js";

/// {el, set(cells)}: a filled line from 0 to `max` (or to its own highest value).
export function spark(name, max) {
  const el = h("canvas", { class: "spark", "aria-hidden": "true" });
  let cells = [];
  const draw = crisp(el, (context, width, height) => {
    const top = max || Math.max(...cells.map((v) => v || 0)) * 1.1 || 1;
    const step = width / Math.max(1, cells.length - 1);
    const y = (v) => height - 1.5 - (Math.min(v, top) / top) * (height - 3);
    context.strokeStyle = colour("--rule");
    context.beginPath();
    context.moveTo(0, height - 0.5);
    context.lineTo(width, height - 0.5);
    context.stroke();
    let run = [];
    const flush = () => {
      if (!run.length) return;
      const [first, end] = [run[0][0], run[run.length - 1][0]];
      context.beginPath();
      run.forEach(([x, at], i) => (i ? context.lineTo(x, at) : context.moveTo(x, at)));
      if (run.length === 1) context.lineTo(first + 1, run[0][1]);
      context.strokeStyle = colour(name);
      context.lineWidth = 1.3;
      context.lineJoin = "round";
      context.stroke();
      context.lineTo(end, height - 1);
      context.lineTo(first, height - 1);
      context.globalAlpha = 0.13;
      context.fillStyle = colour(name);
      context.fill();
      context.globalAlpha = 1;
      run = [];
    };
    cells.forEach((v, i) => (v == null ? flush() : run.push([i * step, y(v)])));
    flush();
  });
  return { el, set(now) { cells = now || []; draw(); } };
}

/// {el, set(share)}: a bar with its percentage, yellow from 80 %, red from 92 %.
export function meter(format) {
  const fill = h("i");
  const bar = h("div", { class: "bar" }, fill);
  const value = h("span");
  return {
    el: h("div", { class: "metered" }, bar, value),
    set(share) {
      bar.className = share >= 0.92 ? "bar bad" : share >= 0.8 ? "bar warn" : "bar";
      fill.style.width = `${Math.min(100, (share || 0) * 100).toFixed(1)}%`;
      const now = format(share);
      if (value.textContent !== now) value.textContent = now;
    },
  };
}
