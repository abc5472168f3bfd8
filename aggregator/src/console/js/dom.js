// Building the page. Whatever comes from data goes in as text: nothing here, or anywhere, parses HTML.

/// An element: `h("td", {class: "num"}, "text", child)`. Properties with "on" listen; the others are attributes.
export function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (value === true) el.setAttribute(name, "");
    else if (value !== false && value != null) el.setAttribute(name, value);
  }
  el.append(...children.filter((child) => child != null));
  return el;
}

/// Sets the text, and touches the page only where it changes: no flicker, and a selection stays.
export function text(el, value) {
  const string = value == null ? "" : String(value);
  if (el.textContent !== string) el.textContent = string;
}

/// Sets an attribute where it changes.
export function attr(el, name, value) {
  if (el.getAttribute(name) !== value) el.setAttribute(name, value);
}

/// Shows or hides.
export function show(el, yes) {
  if (el.hidden === yes) el.hidden = !yes;
}

/// Keeps the children of `parent` in step with `items`: `make(item)` gives {el, update(item)}, kept by `key(item)`.
export function list(parent, key, make) {
  const known = new Map();
  return (items) => {
    const gone = new Set(known.keys());
    let at = parent.firstChild;
    for (const item of items) {
      const name = key(item);
      let entry = known.get(name);
      if (!entry) known.set(name, (entry = make(item)));
      gone.delete(name);
      entry.update(item);
      if (entry.el === at) at = at.nextSibling;
      else parent.insertBefore(entry.el, at);
    }
    for (const name of gone) {
      known.get(name).el.remove();
      known.delete(name);
    }
  };
}

/// A sheet with a title, and a note at its right.
export function sheet(title, ...children) {
  const note = h("span", { class: "note" });
  const head = h("h2", {}, title);
  const el = h("section", { class: "sheet" }, h("div", { class: "title" }, head, note), ...children);
  return { el, head, note };
}

/// What stands where nothing is yet.
export function empty(title, why, command) {
  return h("div", { class: "empty" }, h("strong", {}, title), why,
    command ? h("div", {}, h("code", { class: "command" }, command)) : null);
}

/// A dot in one of the colours good, warn, bad, or none.
export function dot(mood) {
  return h("i", { class: "dot " + (mood || "") });
}

/// Buttons of which one is pressed.
export function segments(box, options, chosen, choose) {
  const buttons = options.map(([value, label]) => {
    const button = h("button", { type: "button", onclick: () => { press(value); choose(value); } }, label);
    box.append(button);
    return [value, button];
  });
  const press = (now) => {
    for (const [value, button] of buttons) attr(button, "aria-pressed", String(value === now));
  };
  press(chosen);
  return press;
}
