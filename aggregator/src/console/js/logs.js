// The live tail. Lines are hostile: they go into the page as text, and only so.

import { h, segments, show, text } from "./dom.js";
import { clock, number, stamp } from "./format.js";

export const single = false;

const MAX_ROWS = 1500;
const FIRST = 400;
const levels = [["", "all"], ["info", "info"], ["warn", "warn"], ["error", "error"]];
// A label that tells where a line comes from, in the order of their worth.
const origins = ["pod", "container", "unit", "app", "service_name", "syslog_identifier", "filename", "target", "job"];

export function mount(root, page) {
  const state = { q: "", level: "", after: 0, paused: false, following: true, unseen: 0 };
  const search = h("input", { type: "search", placeholder: "Filter: words, \"a phrase\", -without", maxlength: "200", spellcheck: "false", "aria-label": "Filter" });
  const level = h("div", { class: "segments", role: "group", "aria-label": "Least level" });
  const pause = h("button", { class: "button", type: "button" }, "Pause");
  const count = h("span", { class: "count" });
  const lines = h("div", { class: "lines", tabindex: "0", role: "log" });
  const none = h("div", { class: "empty" }, h("strong"), h("span"));
  const follow = h("button", { class: "button follow", type: "button", hidden: true });
  root.append(h("section", { class: "sheet logs" },
    h("div", { class: "toolbar" }, search, level, pause, count), none, lines, follow));

  const reset = () => {
    Object.assign(state, { after: 0, unseen: 0, following: true });
    state.clear = true;
  };
  const again = () => { reset(); page.refresh(); };
  let typing = 0;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => { state.q = search.value.trim(); again(); }, 200);
  });
  segments(level, levels, "", (value) => { state.level = value; again(); });
  pause.addEventListener("click", () => {
    state.paused = !state.paused;
    text(pause, state.paused ? "Resume" : "Pause");
    if (!state.paused) page.refresh();
  });
  lines.addEventListener("scroll", () => {
    state.following = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 24;
    if (state.following) state.unseen = 0;
    show(follow, !state.following && state.unseen > 0);
  });
  follow.addEventListener("click", () => { lines.scrollTop = lines.scrollHeight; });

  return {
    reset,
    query() {
      const { q, level: least, after } = state;
      return { q, level: least, after, limit: after ? 1000 : FIRST };
    },
    update(view) {
      text(count, `${number(view.fill.lines)} lines kept${state.paused ? ", paused" : ""}`);
      if (state.paused && !state.clear) return;
      if (state.clear) {
        lines.replaceChildren();
        state.clear = false;
      }
      state.after = view.newest;
      const rows = view.lines.map((line) => row(line, view.streams[line.stream]));
      lines.append(...rows);
      while (lines.childElementCount > MAX_ROWS) lines.firstChild.remove();
      if (state.following) lines.scrollTop = lines.scrollHeight;
      else state.unseen += rows.length;
      text(follow, `\u2193 ${state.unseen} new`);
      show(follow, !state.following && state.unseen > 0);
      const bare = !lines.childElementCount;
      show(none, bare);
      show(lines, !bare);
      text(none.firstChild, view.fill.lines ? "No line matches" : "Waiting for the first log line");
      text(none.lastChild, view.fill.lines
        ? `${number(view.fill.lines)} lines are kept; new ones that match appear here.`
        : "The agent watches /var/log/*.log, the journal and the pods' logs.");
    },
  };
}

function row(line, stream) {
  const time = h("time", { title: stamp(line.at_ms) }, clock(line.at_ms, "millis"));
  const el = h("div", { class: `line ${line.level}` }, time, h("i", { class: "mark" }),
    h("span", { class: "from" }, origin(stream)), h("span", { class: "text" }, line.text));
  el.addEventListener("click", () => {
    if (String(getSelection())) return;
    const open = el.querySelector("dl");
    if (open) open.remove();
    else el.append(details(line, stream));
  });
  return el;
}

function origin(stream) {
  const name = origins.find((label) => stream[label]);
  if (!name) return stream.node || stream.node_name || "";
  return name === "filename" ? stream[name].split("/").pop() : stream[name];
}

function details(line, stream) {
  const pairs = [["time", stamp(line.at_ms)], ...Object.entries(stream), ...Object.entries(line.metadata || {})];
  return h("dl", {}, ...pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
