// Lines and stacked areas over time, with values under the pointer. Charts of one group share the pointer.

import { colour, crisp, font, minutes, terse, ticks } from "./canvas.js";
import { h, text } from "./dom.js";
import { clock, last } from "./format.js";

const LEFT = 68;
const BOTTOM = 18;
const TOP = 6;

/// Charts that show the same moment.
export class Group {
  charts = [];
  cell = null;

  point(cell) {
    if (cell === this.cell) return;
    this.cell = cell;
    for (const chart of this.charts) chart.draw();
  }
}

/// options: {format, stacked, max, binary, height, group}; series: [{name, colour, cells, dashed}].
export class Chart {
  constructor(options) {
    this.options = { height: 150, group: new Group(), ...options };
    this.canvas = h("canvas", { role: "img" });
    this.canvas.style.height = `${this.options.height}px`;
    this.legend = h("div", { class: "legend" });
    this.el = h("figure", {}, this.canvas, this.legend);
    this.series = [];
    this.keys = "";
    this.options.group.charts.push(this);
    this.draw = crisp(this.canvas, (context, width, height) => this.paint(context, width, height));
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.grid) return;
      const share = (event.offsetX - LEFT) / (this.canvas.clientWidth - LEFT);
      const cell = Math.floor(share * this.grid.cells);
      this.options.group.point(cell >= 0 && cell < this.grid.cells ? cell : null);
    });
    this.canvas.addEventListener("pointerleave", () => this.options.group.point(null));
  }

  set(grid, series) {
    this.grid = grid;
    this.series = series;
    const keys = series.map((one) => one.name).join("\n");
    if (keys !== this.keys) {
      this.keys = keys;
      this.values = series.map(() => h("b"));
      this.legend.replaceChildren(...series.map((one, i) => {
        const swatch = h("i", { class: "swatch" });
        swatch.style.background = `var(${one.colour})`;
        return h("span", {}, swatch, one.name, this.values[i]);
      }));
    }
    this.draw();
  }

  limit() {
    let top = 0;
    for (let cell = 0; cell < this.grid.cells; cell += 1) {
      let sum = 0;
      for (const one of this.series) {
        const value = one.cells[cell] || 0;
        sum = this.options.stacked ? sum + value : Math.max(sum, value);
      }
      top = Math.max(top, sum);
    }
    return Math.max(top * 1.08, this.options.floor || 0) || 1;
  }

  paint(context, width, height) {
    if (!this.grid) return;
    const { grid, options } = this;
    const max = options.max || this.limit();
    const [right, bottom] = [width - 1, height - BOTTOM];
    const x = (cell) => LEFT + ((right - LEFT) * cell) / grid.cells;
    const y = (value) => bottom - ((bottom - TOP) * Math.min(value, max)) / max;
    const end = grid.start_ms + grid.cells * grid.step_ms;

    context.font = font();
    context.lineWidth = 1;
    context.strokeStyle = colour("--rule");
    context.fillStyle = colour("--faint");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const tick of ticks(max, options.binary)) {
      const at = Math.round(y(tick)) + 0.5;
      line(context, LEFT, at, right, at);
      context.fillText(terse(options.format(tick)), LEFT - 7, at);
    }
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    for (const at of minutes(grid.start_ms, end)) {
      const place = Math.round(x((at - grid.start_ms) / grid.step_ms)) + 0.5;
      line(context, place, bottom, place, bottom + 3);
      if (place < right - 14 && place > LEFT + 10) context.fillText(clock(at, "minutes"), place, height - 4);
    }
    if (options.stacked) this.areas(context, x, y);
    else for (const one of this.series) this.trace(context, one, x, y);

    const cell = options.group.cell;
    if (cell != null && cell < grid.cells) {
      const place = Math.round(x(cell + 0.5)) + 0.5;
      context.strokeStyle = colour("--soft");
      line(context, place, TOP, place, bottom);
      context.fillStyle = colour("--ink");
      context.textAlign = place > width - 60 ? "right" : "left";
      const shift = place > width - 60 ? -5 : 5;
      context.fillText(clock(grid.start_ms + (cell + 1) * grid.step_ms), place + shift, TOP + 9);
    }
    this.series.forEach((one, i) => {
      text(this.values[i], options.format(cell == null ? last(one.cells) : one.cells[cell]));
    });
  }

  trace(context, one, x, y) {
    context.strokeStyle = colour(one.colour);
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.setLineDash(one.dashed ? [4, 3] : []);
    context.beginPath();
    let drawing = false;
    one.cells.forEach((value, cell) => {
      if (value == null) drawing = false;
      else if (drawing) context.lineTo(x(cell + 0.5), y(value));
      else { context.moveTo(x(cell + 0.5), y(value)); drawing = true; }
    });
    context.stroke();
    context.setLineDash([]);
    context.lineWidth = 1;
  }

  areas(context, x, y) {
    const base = new Array(this.grid.cells).fill(0);
    for (const one of this.series) {
      context.fillStyle = colour(one.colour);
      const tops = one.cells.map((value, cell) => (value == null ? null : base[cell] + value));
      let from = 0;
      for (let cell = 0; cell <= tops.length; cell += 1) {
        if (cell < tops.length && tops[cell] != null) continue;
        if (cell > from) {
          context.beginPath();
          context.moveTo(x(from), y(base[from]));
          context.lineTo(x(from), y(tops[from]));
          for (let i = from; i < cell; i += 1) context.lineTo(x(i + 0.5), y(tops[i]));
          context.lineTo(x(cell), y(tops[cell - 1]));
          context.lineTo(x(cell), y(base[cell - 1]));
          for (let i = cell - 1; i >= from; i -= 1) context.lineTo(x(i + 0.5), y(base[i]));
          context.closePath();
          context.fill();
        }
        from = cell + 1;
      }
      tops.forEach((top, cell) => { if (top != null) base[cell] = top; });
    }
  }
}

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
