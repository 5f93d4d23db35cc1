// The table of clients: sorted, filtered, and fetched again when connections have come or gone.

import { ago, byId, count, element, request, rows, setText } from "./dom.js";

// More rows slow the page down, and nobody reads them: a filter finds the others.
const MOST = 500;
// The shortest time from one fetch to the next.
const PAUSE_MS = 2000;

const COLUMNS = [
  { name: "Client", of: (client) => client.application ?? (client.moreNames ? `about ${client.moreNames} names` : "unnamed") },
  { name: "Address", of: (client) => client.ip },
  { name: "Kind", of: (client) => client.kind, style: (client) => (client.kind === "plaintext" ? "plaintext" : "tls") },
  { name: "Open", of: (client) => client.open, number: true },
  { name: "Total", of: (client) => client.total, number: true },
  { name: "Refused", of: (client) => client.refused, number: true, style: (client) => (client.refused ? "bad" : "") },
  { name: "Last seen", of: (client) => (client.open ? "now" : client.lastSeen), shown: (client) => (client.open ? "now" : ago(client.lastSeen)), style: () => "time" },
  { name: "State", of: state, style: (client) => (client.blocks ? "bad" : "") },
  { name: "Driver", of: (client) => [client.driver, client.driverVersion].filter(Boolean).join(" "), wide: true },
];

let clients = [];
let leftOut = 0;
let sorted = { column: 7, down: false };
let timer = null;
let fetched = 0;
// The counts for which the clients were last fetched. As long as they stay the same, nothing is fetched.
let counts = "";

const shownIn = (column, client) => String(column.shown?.(client) ?? column.of(client));

function state(client) {
  if (client.blocks) return "blocks requireSSL";
  if (client.accepted) return "accepted";
  return client.member ? "member" : "";
}

export function setup() {
  const head = element("tr");
  COLUMNS.forEach((column, index) => {
    const button = element("button", { type: "button" }, column.name);
    button.addEventListener("click", () => {
      // Numbers and times begin with the largest.
      const down = sorted.column === index ? !sorted.down : Boolean(column.number) || column.name === "Last seen";
      sorted = { column: index, down };
      render();
    });
    head.append(element("th", { scope: "col", class: [column.number && "number", column.wide && "wide"].filter(Boolean).join(" ") }, button));
  });
  byId("clients").tHead.append(head);
  byId("clients-filter").addEventListener("input", render);
  byId("clients-plaintext").addEventListener("change", render);
  byId("clients-blocking").addEventListener("change", render);
}

/** Fetches the clients if these counts differ from those of the last fetch. */
export function changed(now) {
  const next = JSON.stringify(now);
  if (next === counts) return;
  counts = next;
  schedule();
}

function schedule() {
  if (timer) return;
  timer = setTimeout(fetchAll, Math.max(0, fetched + PAUSE_MS - Date.now()));
}

async function fetchAll() {
  timer = null;
  fetched = Date.now();
  const before = counts;
  try {
    const reply = await request("GET", "/clients");
    clients = reply.clients;
    leftOut = reply.leftOut ?? 0;
    render();
  } catch (error) {
    setText(byId("clients-count"), `The clients cannot be read: ${error.message}`);
    counts = "";
  }
  if (before !== counts) schedule();
}

/** Shows the rows that the filter selects. */
export function render() {
  const words = byId("clients-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const plaintext = byId("clients-plaintext").checked;
  const blocking = byId("clients-blocking").checked;
  const wanted = clients.filter((client) => {
    if ((plaintext && client.kind !== "plaintext") || (blocking && !client.blocks)) return false;
    const text = COLUMNS.map((column) => shownIn(column, client)).join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const column = COLUMNS[sorted.column];
  const order = (a, b) => {
    const [x, y] = [column.of(a), column.of(b)];
    // Rows without a state come last.
    if (column.name === "State" && !x !== !y) return x ? -1 : 1;
    // "now" is behind all times.
    const by = column.number ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return (sorted.down ? -by : by) || a.number - b.number;
  };
  const shown = wanted.sort(order).slice(0, MOST);
  const cells = (client) =>
    COLUMNS.map((column) => ({
      text: shownIn(column, client),
      style: [column.number && "number", column.wide && "wide", column.style?.(client)].filter(Boolean).join(" "),
    }));
  rows(byId("clients").tBodies[0], shown, (client) => client.number, cells);
  [...byId("clients").tHead.rows[0].cells].forEach((th, index) => {
    if (index === sorted.column) th.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
    else th.removeAttribute("aria-sort");
  });
  const hidden = wanted.length - shown.length + leftOut;
  const part = wanted.length === clients.length ? "" : `${count(wanted.length, "row")} of `;
  setText(byId("clients-count"), `${part}${count(clients.length, "row")}${hidden ? `; ${count(hidden, "row")} not shown, use the filter` : ""}`);
}
