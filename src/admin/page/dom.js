// Small helpers. Text from clients and servers reaches the page only as text, never as HTML.

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a string becomes text. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  setAttributes(made, attributes);
  made.append(...children);
  return made;
}

/** An SVG element with attributes and text. */
export function svg(name, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  setAttributes(made, attributes);
  made.textContent = text;
  return made;
}

function setAttributes(node, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(key, value);
  }
}

/** Sets a text only if it differs, so that screen readers and selections are not disturbed. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Makes the children of `parent` those of `items`, in order. A child with the same key is kept and updated. */
export function keyed(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const times = new Map();
  const wanted = items.map((item) => {
    const same = String(key(item));
    times.set(same, (times.get(same) ?? 0) + 1);
    const name = `${same} ${times.get(same)}`;
    const child = old.get(name) ?? make(item);
    old.delete(name);
    child.dataset.key = name;
    update(child, item);
    return child;
  });
  for (const child of old.values()) child.remove();
  let at = parent.firstElementChild;
  for (const child of wanted) {
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
}

/** Makes the rows of a table. A cell is a text, or `{text, style, title}`. */
export function rows(body, items, key, cells) {
  const make = () => element("tr");
  const update = (row, item) => {
    cells(item).forEach((cell, index) => {
      const { text, style = "", title = "" } = typeof cell === "object" ? cell : { text: String(cell) };
      const td = row.cells[index] ?? row.appendChild(element("td"));
      setText(td, text);
      if (td.className !== style) td.className = style;
      if (td.title !== title) td.title = title;
    });
  };
  keyed(body, items, key, make, update);
}

/** A text of a peer for use in a sentence, the rest of which it cannot reorder by bidirectional controls. */
export const isolated = (text) => `\u2068${text.replace(/[\u202a-\u202e\u2066-\u2069]/g, "")}\u2069`;

export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

/** A duration in its two largest units. */
export function span(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const whole = Math.max(0, Math.floor(seconds));
  const first = units.findIndex(([, size]) => whole >= size);
  if (first < 0) return "0 s";
  const [name, size] = units[first];
  const rest = units[first + 1];
  const more = rest ? Math.floor((whole % size) / rest[1]) : 0;
  return `${Math.floor(whole / size)} ${name}${more ? ` ${more} ${rest[0]}` : ""}`;
}

export const ago = (time, now = Date.now()) => (time ? `${span((now - Date.parse(time)) / 1000)} ago` : "never");

/** A time as local date and clock time, without the date if it is today. */
export function clock(time) {
  const at = new Date(time);
  const hours = at.toLocaleTimeString("en-GB");
  return at.toDateString() === new Date().toDateString() ? hours : `${at.toLocaleDateString("sv")} ${hours}`;
}

/** Sends a request to this admin port. Throws an error with the reply's text, and the reply itself. */
export async function request(method, path, body) {
  const options = body ? { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : { method };
  let answer, reply;
  try {
    answer = await fetch(path, options);
    reply = await answer.json();
  } catch {
    throw new Error("the admin port does not answer");
  }
  if (!answer.ok) throw Object.assign(new Error(reply.error), { reply });
  return reply;
}
