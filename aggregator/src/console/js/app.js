// The page: which view is shown, what it asks for, and whether the aggregator answers.

import { forget } from "./canvas.js";
import { attr, h, segments, show, text } from "./dom.js";
import { clock, span } from "./format.js";
import * as host from "./host.js";
import * as latency from "./latency.js";
import * as ledger from "./ledger.js";
import * as logs from "./logs.js";
import * as map from "./map.js";
import * as mesh from "./mesh.js";
import * as overview from "./overview.js";
import * as path from "./path.js";
import * as traces from "./traces.js";

const POLL_MS = 2000;
const views = { overview, host, logs, latency, path, mesh, map, traces, ledger };
const names = {
  overview: "Overview", host: "Host", logs: "Logs", latency: "Latency",
  path: "Path", mesh: "Mesh", map: "Map", traces: "Traces", ledger: "Ledger",
};
const $ = (id) => document.getElementById(id);

const page = { view: null, name: "", node: "", minutes: 15, chosen: false, started: 0, answered: 0, failed: 0, serial: 0 };
let timer = 0;
let pending = null;

function fromHash() {
  const [name, query] = location.hash.slice(1).split("?");
  const asked = new URLSearchParams(query || "");
  const view = Object.hasOwn(views, name) ? name : document.documentElement.dataset.start;
  return { view, node: asked.get("node") || "" };
}

/// Goes to a view, on a node where one is named.
function go(view, node) {
  location.hash = node ? `${view}?${new URLSearchParams({ node })}` : view;
}

function open() {
  const { view, node } = fromHash();
  page.node = node;
  if (view !== page.name) {
    page.name = view;
    forget($("view"));
    $("view").replaceChildren();
    page.view = views[view].mount($("view"), { go, refresh });
  } else {
    page.view.reset?.();
  }
  for (const link of $("tabs").children) {
    if (link.dataset.view === view) attr(link, "aria-current", "page");
    else link.removeAttribute("aria-current");
    link.href = node ? `#${link.dataset.view}?${new URLSearchParams({ node })}` : `#${link.dataset.view}`;
  }
  show($("range"), Boolean(views[view].ranged));
  show($("node-box"), !views[view].everywhere);
  document.title = `${names[view]} \u00b7 AO Observability`;
  refresh();
}

/// Asks now, and every two seconds from then on.
function refresh() {
  clearTimeout(timer);
  pending?.abort();
  poll();
}

async function poll() {
  const serial = (page.serial += 1);
  const asking = new AbortController();
  pending = asking;
  const query = new URLSearchParams({ view: page.name, minutes: page.minutes, ...page.view.query?.() });
  if (page.node && !views[page.name].everywhere) query.set("node", page.node);
  const late = setTimeout(() => asking.abort("late"), 8000);
  try {
    const response = await fetch(`/api/v1/poll?${query}`, { signal: asking.signal, cache: "no-store" });
    const body = await response.json();
    if (serial !== page.serial) return;
    if (response.ok) arrived(body);
    else if (response.status === 404 && page.node) go(page.name, "");
    else failed(body.error || `the aggregator answered ${response.status}`);
  } catch (error) {
    if (serial !== page.serial) return;
    failed("");
    if (!(error instanceof TypeError || error.name === "AbortError" || error === "late")) console.error(error);
  } finally {
    clearTimeout(late);
    if (serial === page.serial) timer = setTimeout(poll, document.hidden ? POLL_MS * 5 : POLL_MS);
  }
}

function arrived(body) {
  if (page.started && page.started !== body.about.started_ms) {
    notice(`The aggregator was restarted at ${clock(body.about.started_ms)}; the embedded store begins anew.`);
    setTimeout(() => notice(""), 15000);
    page.view.reset?.();
  } else if (page.failed) {
    notice("");
  }
  Object.assign(page, { started: body.about.started_ms, answered: Date.now(), failed: 0 });
  head(body);
  young(body.now_ms - body.about.started_ms);
  page.view.update(Object.values(body.view)[0], body);
}

/// While there is little history, a short range shows more of it; a range that somebody chose stays.
function young(age) {
  const minutes = age < 6 * 60000 ? 5 : 15;
  if (page.chosen || minutes === page.minutes) return;
  page.minutes = minutes;
  pressRange(minutes);
  if (views[page.name].ranged) queueMicrotask(refresh);
}

function failed(why) {
  page.failed += 1;
  text($("state").lastChild, "no answer");
  $("state").firstChild.className = "dot bad";
  if (page.failed > 1 || why) {
    const since = page.answered ? ` What is shown is ${span(Date.now() - page.answered)} old.` : "";
    notice(`${why || "The aggregator does not answer; it may be restarting."}${since} Asking again every two seconds.`);
  }
}

function notice(words) {
  text($("notice"), words);
  show($("notice"), Boolean(words));
}

function head(body) {
  const worst = body.nodes.some(([, state]) => state !== "reporting");
  $("state").firstChild.className = `dot ${body.nodes.length ? (worst ? "warn" : "good") : ""}`;
  const count = `${body.nodes.length} node${body.nodes.length === 1 ? "" : "s"}`;
  text($("state").lastChild, body.nodes.length ? count : "waiting for an agent");

  const options = [...(views[page.name].single ? [] : [["", "all"]]), ...body.nodes.map(([name]) => [name, name])];
  const select = $("node");
  const key = options.flat().join("\n");
  if (select.dataset.key !== key) {
    select.dataset.key = key;
    select.replaceChildren(...options.map(([value, label]) => h("option", { value }, label)));
  }
  select.value = page.node || options[0]?.[0] || "";

  const tab = $("tabs").querySelector("[data-view=overview] .count");
  text(tab, body.faults);
  show(tab, body.faults > 0);

  const about = body.about;
  $("foot").firstChild || $("foot").append(h("span"), h("span"), h("span"));
  const [left, middle, right] = $("foot").children;
  text(left, `ao-aggregator ${about.version}`);
  text(middle, about.aggregator);
  text(right, `up ${span(body.now_ms - about.started_ms)}`);
}

for (const [view, name] of Object.entries(names)) {
  const count = view === "overview" ? h("span", { class: "count", hidden: true }) : null;
  $("tabs").append(h("a", { "data-view": view, href: `#${view}` }, name, count));
}
const pressRange = segments($("range"), [[5, "5 min"], [15, "15 min"], [30, "30 min"]], page.minutes, (minutes) => {
  Object.assign(page, { minutes, chosen: true });
  refresh();
});
$("node").addEventListener("change", () => go(page.name, $("node").value));
addEventListener("hashchange", open);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
open();
