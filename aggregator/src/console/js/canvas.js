// A canvas that is crisp on every screen, its colours, and its axes.

const watchers = new Set();
let styles = new Map();

/// A custom property of the style sheet, read once per colour scheme.
export function colour(name) {
  if (!styles.has(name)) {
    styles.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  }
  return styles.get(name);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  styles = new Map();
  for (const draw of watchers) draw();
});

const sizes = new ResizeObserver((entries) => {
  for (const entry of entries) entry.target.redraw?.();
});

/// Calls `draw(context, width, height)` in CSS pixels: now, and whenever size or colours change. Returns the redraw.
export function crisp(canvas, draw) {
  let drawn = "";
  const redraw = () => {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!canvas.isConnected || !width || !height) return;
    const ratio = devicePixelRatio || 1;
    const size = `${width} ${height} ${ratio}`;
    if (size !== drawn) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      drawn = size;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    draw(context, width, height);
  };
  canvas.redraw = redraw;
  sizes.observe(canvas);
  watchers.add(redraw);
  return redraw;
}

/// Forgets the canvases of a view that is gone.
export function forget(root) {
  for (const canvas of root.querySelectorAll("canvas")) {
    sizes.unobserve(canvas);
    watchers.delete(canvas.redraw);
  }
}

/// Three to five round ticks from 0 to `max`, in steps of 1, 2, 5 (of 1, 2, 4, ... for bytes).
export function ticks(max, binary) {
  if (!(max > 0)) return [0];
  const rough = max / 4;
  let step;
  if (binary) {
    step = 2 ** Math.ceil(Math.log2(rough));
  } else {
    const power = 10 ** Math.floor(Math.log10(rough));
    step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  }
  const all = [];
  for (let i = 0; i * step <= max * 1.0001; i += 1) all.push(i * step);
  return all;
}

/// Times of whole minutes for the axis below.
export function minutes(start, end) {
  const every = [1, 2, 5, 10].find((n) => (end - start) / 60000 / n <= 7) || 15;
  const all = [];
  for (let at = Math.ceil(start / 60000 / every) * every; at * 60000 <= end; at += every) all.push(at * 60000);
  return all;
}

export const font = () => `11px ${colour("--sans")}`;

/// Without zeroes behind the point: an axis has round numbers.
export function terse(words) {
  return words.replace(/(\.\d*?)0+(?!\d)/, "$1").replace(/\.(?!\d)/, "");
}
