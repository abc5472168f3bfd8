// Numbers, times and units as people read them.

const dash = "\u2013";
const isNumber = (v) => typeof v === "number" && isFinite(v);

/// Three significant digits, no exponent, thousands apart.
export function number(v) {
  if (!isNumber(v)) return dash;
  const size = Math.abs(v);
  if (size >= 10000) return Math.round(v).toLocaleString("en").replace(/,/g, "\u2009");
  if (size >= 100 || v === 0 || (Number.isInteger(v) && size >= 1)) return String(Math.round(v));
  if (size >= 10) return v.toFixed(1);
  if (size >= 0.01) return v.toFixed(2);
  return v.toPrecision(2);
}

function scaled(v, base, units, digits) {
  if (!isNumber(v)) return dash;
  let unit = 0;
  let size = Math.abs(v);
  while (size >= base * 0.9995 && unit < units.length - 1) { size /= base; unit += 1; }
  const places = unit === 0 ? (size < 10 && size % 1 ? 1 : 0) : size >= 100 ? 0 : digits;
  return `${v < 0 ? "-" : ""}${size.toFixed(places)}\u2009${units[unit]}`;
}

export const bytes = (v) => scaled(v, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 1);
export const rate = (v) => scaled(v, 1024, ["B/s", "KiB/s", "MiB/s", "GiB/s", "TiB/s"], 1);

/// A share from 0 to 1.
export function percent(v) {
  if (!isNumber(v)) return dash;
  const p = v * 100;
  return `${p >= 99.95 || p === 0 ? p.toFixed(0) : p >= 9.95 ? p.toFixed(1) : p.toFixed(1)}\u2009%`;
}

/// Seconds, as ms or whatever fits.
export function seconds(v) {
  if (!isNumber(v)) return dash;
  if (v >= 60) return span(v * 1000);
  if (v >= 1) return `${v.toFixed(2)}\u2009s`;
  const ms = v * 1000;
  if (ms >= 100) return `${ms.toFixed(0)}\u2009ms`;
  if (ms >= 10) return `${ms.toFixed(1)}\u2009ms`;
  if (ms >= 0.1 || ms === 0) return `${ms.toFixed(2)}\u2009ms`;
  return `${(ms * 1000).toFixed(0)}\u2009\u00b5s`;
}

export const millis = (v) => (isNumber(v) ? seconds(v / 1000) : dash);

/// Milliseconds with a fixed number of places, for columns.
export const fixed = (v, places) => (isNumber(v) ? v.toFixed(places) : dash);

/// A span of time in words: 4 s, 12 min, 3 h, 5 d.
export function span(ms) {
  if (!isNumber(ms)) return dash;
  const s = Math.max(0, ms / 1000);
  if (s < 90) return `${Math.round(s)}\u2009s`;
  if (s < 5400) return `${Math.round(s / 60)}\u2009min`;
  if (s < 172800) return `${(s / 3600).toFixed(s < 36000 ? 1 : 0)}\u2009h`;
  return `${Math.round(s / 86400)}\u2009d`;
}

const two = (n) => String(n).padStart(2, "0");

/// 14:03:07, or 14:03:07.123, or 14:03.
export function clock(ms, places) {
  const d = new Date(ms);
  const minutes = `${two(d.getHours())}:${two(d.getMinutes())}`;
  if (places === "minutes") return minutes;
  const full = `${minutes}:${two(d.getSeconds())}`;
  return places === "millis" ? `${full}.${String(d.getMilliseconds()).padStart(3, "0")}` : full;
}

/// The day as well, for a title.
export const stamp = (ms) => new Date(ms).toISOString();

/// Newest value of a row of cells.
export function last(cells) {
  for (let i = (cells || []).length - 1; i >= 0; i -= 1) if (cells[i] != null) return cells[i];
  return null;
}
