// The balance: received = delivered + dropped + in flight, for every sink.

import { empty, h, list, sheet, show, text } from "./dom.js";
import { bytes, number } from "./format.js";

export const everywhere = true;
export const single = false;

const minus = "\u2212";

export function mount(root) {
  const head = h("thead");
  const body = h("tbody");
  const foot = h("tfoot");
  const table = h("div", { class: "scroll" }, h("table", { class: "ledger" }, head, body, foot));
  const made = sheet("Ledger", table);
  const why = h("p", { class: "soft" },
    "Every record that reached the journal, and what became of it: received = delivered + dropped + in flight, for each sink by itself.");
  const none = empty("Nothing received yet", "The first frame of an agent opens the books.");
  root.append(made.el);
  made.el.append(why, none);
  why.style.marginTop = "10px";
  let sinks = null;
  let rows = null;
  return {
    update(view) {
      const now = view.sinks.join("\n");
      if (now !== sinks) {
        sinks = now;
        body.replaceChildren();
        heads(head, view.sinks);
        foot.replaceChildren();
        rows = list(body, (row) => `${row.node}\n${row.source}\n${row.class}`, () => line(view.sinks));
        rows.total = list(foot, () => "total", () => line(view.sinks));
      }
      rows(view.rows);
      rows.total(view.rows.length > 1 ? [total(view)] : []);
      show(none, !view.rows.length);
      show(table, view.rows.length > 0);
      show(why, view.rows.length > 0);
      const broken = view.rows.some((row) => row.sinks.some((fate) => fate.in_flight < 0));
      text(made.note, broken ? "out of balance" : view.rows.length ? "balanced" : "");
      made.note.className = `note ${broken ? "bad" : "good"}`;
    },
  };
}

function heads(head, sinks) {
  const num = (title, edge) => h("th", { class: edge ? "num edge" : "num" }, title);
  head.replaceChildren(
    h("tr", {}, h("th", { colspan: "3" }), h("th", { class: "edge", colspan: "2" }, "received"),
      ...sinks.map((sink) => h("th", { class: "edge", colspan: "3" }, sink))),
    h("tr", {}, h("th", {}, "Node"), h("th", {}, "Source"), h("th", {}, "Class"), num("records", true), num("bytes"),
      ...sinks.flatMap(() => [num("delivered", true), num("dropped"), num("in flight")])));
}

function line(sinks) {
  const cell = (name) => h("td", { class: name });
  const cells = [cell(""), cell(""), cell("soft"), cell("num edge"), cell("num soft")];
  const fates = sinks.map(() => [cell("num edge"), cell("num"), cell("num")]);
  return {
    el: h("tr", {}, ...cells, ...fates.flat()),
    update(row) {
      [row.node, row.source, row.class.replace("_", " "), number(row.received.records), bytes(row.received.bytes)]
        .forEach((value, i) => text(cells[i], value));
      sinks.forEach((sink, i) => {
        const fate = row.sinks.find((one) => one.sink === sink);
        const [delivered, dropped, flying] = fates[i];
        const reasons = Object.entries(fate?.dropped || {}).filter(([, amount]) => amount.records);
        const lost = reasons.reduce((sum, [, amount]) => sum + amount.records, 0);
        text(delivered, fate ? number(fate.delivered.records) : "");
        text(dropped, !fate ? "" : lost ? `${number(lost)} ${reasons.map(([why]) => why.replace("_", " ")).join(", ")}` : "0");
        dropped.className = lost ? "num warn" : "num faint";
        dropped.title = reasons.map(([why, amount]) => `${why}: ${number(amount.records)}`).join("\n");
        text(flying, fate ? (fate.in_flight < 0 ? minus : "") + number(Math.abs(fate.in_flight)) : "");
        flying.className = fate?.in_flight < 0 ? "num bad" : fate?.in_flight ? "num" : "num faint";
        delivered.title = fate?.resent.records ? `${number(fate.resent.records)} sent again` : "";
      });
    },
  };
}

function total(view) {
  const sum = { node: "All", source: "", class: "", received: { records: 0, bytes: 0 }, sinks: [] };
  for (const row of view.rows) {
    sum.received.records += row.received.records;
    sum.received.bytes += row.received.bytes;
    for (const fate of row.sinks) {
      let all = sum.sinks.find((one) => one.sink === fate.sink);
      if (!all) sum.sinks.push((all = { sink: fate.sink, delivered: { records: 0 }, dropped: {}, resent: { records: 0 }, in_flight: 0 }));
      all.delivered.records += fate.delivered.records;
      all.resent.records += fate.resent.records;
      all.in_flight += fate.in_flight;
      for (const [why, amount] of Object.entries(fate.dropped)) {
        (all.dropped[why] ??= { records: 0 }).records += amount.records;
      }
    }
  }
  return sum;
}
