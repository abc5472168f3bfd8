// A canary from the console: let out at a node, and followed until every store shows it.

import { dot, h, list, sheet, show, text } from "./dom.js";
import { seconds } from "./format.js";

export function canary(page) {
  const button = h("button", { type: "button", class: "button", onclick: () => start() }, "Let out a canary");
  const words = h("p", { class: "soft" },
    "One sample, one line and one span go the whole way from an agent, and every store is asked until it shows them. The same as a command: ",
    h("code", {}, "ao-aggregator verify"));
  const box = h("div", { class: "birds" });
  const { el, note } = sheet("Proof by example", words, button, box);
  el.classList.add("proof");
  const checks = list(box, (check) => `${check.signal} ${check.backend}`, () => {
    const [mark, what, took, seen] = [dot(), h("span"), h("span", { class: "num" }), h("span", { class: "soft seen" })];
    return {
      el: h("div", {}, mark, what, took, seen),
      update(check) {
        const there = check.took_ms != null;
        mark.className = `dot ${there ? "good" : check.over ? "bad" : ""}`;
        text(what, `${check.signal} in ${check.backend}`);
        text(took, there ? seconds(check.took_ms / 1000) : check.over ? "missing" : "\u2026");
        text(seen, check.seen);
        show(seen, !there);
      },
    };
  });
  let timer = 0;

  async function start() {
    clearTimeout(timer);
    button.disabled = true;
    const node = new URLSearchParams(location.hash.split("?")[1] || "").get("node") || "";
    await follow(() => fetch("/api/v1/verify", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ node }),
    }));
  }

  async function follow(ask) {
    let body = null;
    try {
      const response = await ask();
      body = await response.json();
      if (!response.ok) throw new Error(body.error);
    } catch (error) {
      text(note, error instanceof TypeError ? "the aggregator does not answer" : error.message);
      button.disabled = false;
      return;
    }
    const missing = body.checks.filter((check) => check.took_ms == null).length;
    text(note, `at ${body.node}: ${body.done ? (missing ? `${missing} missing` : "everything arrived") : "on its way"}`);
    note.className = `note ${body.done ? (missing ? "bad" : "good") : ""}`;
    checks(body.checks.map((check) => ({ ...check, over: body.done })));
    button.disabled = !body.done;
    if (!body.done) timer = setTimeout(() => follow(() => fetch(`/api/v1/verify?token=${body.token}`, { cache: "no-store" })), 250);
    else page.refresh();
  }

  return { el, reset() { clearTimeout(timer); button.disabled = false; } };
}
