// The newest traces, and the spans of the one that is opened.

import { dot, empty, h, show, text } from "./dom.js";
import { clock, millis, number, stamp } from "./format.js";
import { table } from "./rows.js";

export const single = false;

export function mount(root, page) {
  const state = { q: "", open: null };
  const search = h("input", { type: "search", placeholder: "Filter by service or operation", maxlength: "100", spellcheck: "false", "aria-label": "Filter" });
  const count = h("span", { class: "count" });
  const rows = table("traces", columns(), (trace) => trace.id, (line, trace) => {
    line.className = "row";
    line.onclick = () => toggle(state, line, trace);
  });
  const none = empty("Waiting for the first span",
    "Applications send to their node's agent by OTLP over gRPC.",
    "export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317");
  const toolbar = h("div", { class: "toolbar" }, search, count);
  root.append(h("section", { class: "sheet listed" }, toolbar, rows.el, none));
  search.addEventListener("input", () => { state.q = search.value.trim(); page.refresh(); });
  return {
    query: () => ({ q: state.q, limit: 100 }),
    update(view) {
      const longest = Math.max(...view.traces.map((trace) => trace.duration_ms), 0.001);
      rows.set(view.traces.map((trace) => ({ ...trace, longest })));
      if (state.open && !state.open.line.isConnected) close(state);
      else if (state.open && state.open.line.nextSibling !== state.open.detail) state.open.line.after(state.open.detail);
      text(count, `${number(view.fill.traces)} traces kept`);
      const bare = !view.traces.length;
      show(none, bare && !view.fill.traces);
      show(toolbar, Boolean(view.fill.traces));
      show(rows.el, !bare);
    },
  };
}

function columns() {
  return [
    { head: "Start", text: (trace) => clock(trace.start_ms) },
    { head: "Service", text: (trace) => trace.service },
    { head: "Root span", class: "op", text: (trace) => trace.name },
    { head: "Duration", class: "num", text: (trace) => millis(trace.duration_ms) },
    { head: "", part: () => {
      const fill = h("i");
      return {
        el: h("div", { class: "bar" }, fill),
        set(trace) { fill.style.width = `${(trace.duration_ms / trace.longest) * 100}%`; },
      };
    } },
    { head: "Spans", class: "num", text: (trace) => number(trace.spans) },
    { head: "Errors", class: "num", part: () => {
      const el = h("span", { class: "bad" });
      return { el, set: (trace) => text(el, trace.failed ? number(trace.failed) : "") };
    } },
    { head: "Node", class: "soft", text: (trace) => trace.node },
  ];
}

function close(state) {
  state.open?.detail.remove();
  state.open = null;
}

async function toggle(state, line, trace) {
  const same = state.open?.line === line;
  close(state);
  if (same) return;
  const cell = h("td", { colspan: String(columns().length) }, h("span", { class: "soft" }, "Fetching its spans \u2026"));
  const detail = h("tr", {}, cell);
  state.open = { line, detail };
  line.after(detail);
  try {
    const response = await fetch(`/api/v1/traces?${new URLSearchParams({ id: trace.id })}`);
    const body = await response.json();
    cell.replaceChildren(response.ok ? waterfall(body) : h("span", { class: "soft" }, body.error));
  } catch {
    cell.replaceChildren(h("span", { class: "soft" }, "The aggregator does not answer; click again in a moment."));
  }
}

function waterfall({ traces: [trace], spans }) {
  const whole = Math.max(trace.duration_ms, 0.001);
  const rows = spans.flatMap((span) => {
    const name = h("span", { class: "op", title: `${span.service}: ${span.name}` }, span.failed ? dot("bad") : null,
      span.failed ? " " : null, span.name, h("span", { class: "faint" }, `  ${span.service}`));
    name.style.paddingLeft = `${Math.min(span.depth, 12) * 14}px`;
    const bar = h("i", { class: span.failed ? "bad" : "" });
    bar.style.left = `${(span.offset_ms / whole) * 100}%`;
    bar.style.width = `${Math.min(100, (span.duration_ms / whole) * 100)}%`;
    return [name, h("div", { class: "track" }, bar), h("span", { class: "num" }, millis(span.duration_ms))];
  });
  const more = trace.spans > spans.length ? ` (${number(trace.spans - spans.length)} more were counted only)` : "";
  return h("div", {}, h("p", { class: "soft mono" }, `trace ${trace.id}  ${stamp(trace.start_ms)}${more}`),
    h("div", { class: "waterfall" }, ...rows));
}
