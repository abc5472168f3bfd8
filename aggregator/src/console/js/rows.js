// A table whose rows stay in place from one poll to the next.

import { h, list, text } from "./dom.js";

/// columns: {head, class, text(row)} or {head, class, part(): {el, set(row)}}. Gives {el, set(rows)}.
export function table(name, columns, key, row) {
  const body = h("tbody");
  const heads = columns.map((column) => h("th", { class: column.class }, column.head));
  const el = h("div", { class: "scroll" },
    h("table", { class: name }, h("thead", {}, h("tr", {}, ...heads)), body));
  const set = list(body, key, (first) => {
    const cells = columns.map((column) => {
      const cell = h("td", { class: column.class });
      if (!column.part) return [cell, (item) => text(cell, column.text(item))];
      const part = column.part(first);
      cell.append(part.el);
      return [cell, (item) => part.set(item)];
    });
    const line = h("tr", {}, ...cells.map(([cell]) => cell));
    return {
      el: line,
      update(item) {
        for (const [, update] of cells) update(item);
        row?.(line, item);
      },
    };
  });
  return { el, set };
}
