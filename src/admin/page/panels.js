// What the page shows of the status, the blockers, the refusals and the history.

import { ago, byId, clock, count, element, isolated, keyed, rows, setText, span } from "./dom.js";

export const MODES = ["disabled", "allowSSL", "preferSSL", "requireSSL"];

export const MEANINGS = {
  disabled: "clients: plaintext, TLS is refused; to other servers: plaintext",
  allowSSL: "clients: plaintext and TLS; to other servers: plaintext",
  preferSSL: "clients: plaintext and TLS; to other servers: TLS",
  requireSSL: "clients: TLS, plaintext is refused; to other servers: TLS",
};

// As in the log. Outcomes of later versions are shown by their names.
const REASONS = {
  too_many_connections: "connection limit reached",
  too_many_from_address: "limit of connections from one address reached",
  left_waiting: "left while waiting for a slot",
  made_room: "silent, gave up its slot",
  sniff_timeout: "first bytes took too long",
  sniff_truncated: "left before the opening was complete",
  refused_plaintext: "plaintext, but the mode requires TLS",
  refused_tls: "TLS, but the mode disables it",
  tls_too_old: "no TLS version in common",
  not_intercepted: "not redirected by the interception rules",
  client_certificate_refused: "client certificate missing or refused",
  tls_handshake_failed: "TLS handshake failed",
  tls_handshake_timeout: "TLS handshake took too long",
  handshake_memory: "memory for handshakes exhausted",
  loop: "would lead back to tlsramp",
  upstream_unreachable: "server unreachable",
  upstream_tls_failed: "TLS with the server failed",
  policy_unsettled: "policy changed too often",
  internal: "internal error",
};

// A failure of a link that nothing has tried for so long is past, as in the metrics if the clocks agree.
const FAILING_MS = 300_000;

export function status(now) {
  document.title = `${now.sslMode} - ${location.host} - tlsramp`;
  ladder(now.sslMode);
  facts(now);
  const critical = new Set(now.critical);
  const make = () => element("li");
  keyed(byId("warnings"), [...new Set(now.warnings)], (text) => text, make, (item, text) => {
    setText(item, text);
    item.classList.toggle("critical", critical.has(text));
  });
  byId("warnings").hidden = now.warnings.length === 0;
  servers(now);
  certificates(now.certificates);
  setText(byId("process"), `tlsramp ${now.version}, process ${now.pid}, generation ${now.generation}`);
}

function ladder(mode) {
  const current = MODES.indexOf(mode);
  keyed(byId("ladder"), MODES, (name) => name, () => element("li"), (item, name) => {
    const place = MODES.indexOf(name);
    setText(item, name);
    item.classList.toggle("passed", place < current);
    if (place === current) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  });
}

function facts(now) {
  const held = now.connections;
  const facts = [
    ["Mode", now.sslMode === now.tlsMode ? now.sslMode : `${now.sslMode} (tlsMode ${now.tlsMode})`],
    ["Policy", MEANINGS[now.sslMode] ?? ""],
    ["Since", `${clock(now.modeSince)}, ${ago(now.modeSince)}`],
    ["Set by", now.modeBy ?? "the start"],
    ["Restart", now.drift ?? `keeps ${now.sslMode}`, now.drift ? "plaintext" : ""],
    ["Connections", `${held.open} open: ${held.plaintext} plaintext, ${held.tls} TLS, ${held.outbound} outbound`],
    ["Non-conforming", `${held.nonConforming}, of which ${held.recycling} are being recycled`, held.nonConforming ? "plaintext" : ""],
  ];
  if (now.lease) facts.push(["Lease", `held by ${isolated(now.lease.holder)} for ${span(now.lease.secondsLeft)}: changes by others are refused`, "plaintext"]);
  if (now.redirect !== null) facts.push(["Interception", now.redirect ? "rules in force" : "rules missing", now.redirect ? "" : "bad"]);
  if (now.bypass.length) facts.push(["Bypass", `${count(now.bypass.length, "connection")} past tlsramp`, "bad"]);
  const pairs = facts.flatMap(([name, text, style]) => [{ name, text: name, tag: "dt" }, { name: `${name}:`, text, tag: "dd", style }]);
  keyed(byId("mode-facts"), pairs, (pair) => pair.name, (pair) => element(pair.tag), (node, pair) => {
    setText(node, pair.text);
    node.className = pair.style ?? "";
  });
}

function servers(now) {
  const reached = (server) => (server.checked ? { text: server.up ? "up" : "down", style: server.up ? "good" : "bad" } : "not probed");
  const probed = now.upstreams.map((server) => ({
    key: `probe ${server.route} ${server.upstream}`,
    cells: [
      server.upstream,
      reached(server),
      [server.link, server.tlsVersion].filter(Boolean).join(" "),
      { text: server.route, style: "wide" },
      { text: [server.setName && isolated(server.setName), server.state].filter(Boolean).join(" "), style: "wide" },
      server.reason ?? (server.me ? `is ${isolated(server.me)}` : ""),
    ],
  }));
  const linked = (link) => {
    if (link.up) return { text: "up", style: "good" };
    const failing = link.open > 0 || Date.now() - Date.parse(link.lastFailed) < FAILING_MS;
    return failing ? { text: "failing", style: "bad" } : `failed ${ago(link.lastFailed)}`;
  };
  const links = now.links.map((link) => ({
    key: `link ${link.route} ${link.destination}`,
    cells: [
      link.destination,
      linked(link),
      link.link,
      { text: link.route, style: "wide" },
      { text: link.names.join(", "), style: "wide" },
      [link.reason, link.suggestion && `if it is the right server: ${link.suggestion}`].filter(Boolean).join("; ") || `${link.open} open`,
    ],
  }));
  const all = [...probed, ...links];
  rows(byId("servers"), all, (server) => server.key, (server) => server.cells);
  byId("servers-none").hidden = all.length > 0;
}

function certificates(all) {
  const days = (left) => ({ text: String(left), style: left < 7 ? "number bad" : left < 30 ? "number plaintext" : "number" });
  rows(byId("certificates"), all, (one) => [one.role, one.kind, one.serial, one.subject].join(" "), (one) => [
    one.subject,
    { text: one.kind, title: one.role },
    days(one.daysLeft),
    { text: clock(one.notAfter), style: "wide time" },
    { text: one.file, style: "wide" },
  ]);
  byId("certificates-none").hidden = all.length > 0;
}

/** Shows the blockers of the next step. `accept` is called with a blocker's key. */
export function ready(next, mode, mayChange, accept) {
  const verdict = byId("next-verdict");
  const blockers = next?.mode === mode ? next.blockers : [];
  if (mode === MODES.at(-1)) setText(verdict, "requireSSL is the last step.");
  else if (next?.mode !== mode) setText(verdict, "Checking");
  else if (next.ready) setText(verdict, `${next.to}: no blockers.`);
  else setText(verdict, `${next.to}: ${count(blockers.length, "blocker")}.`);
  verdict.className = next?.mode === mode && next.ready ? "good" : "";
  findings(byId("blockers"), blockers, mayChange ? accept : null);
}

/** A list of blockers, or of other texts with remedies. */
export function findings(list, all, accept) {
  const make = () => element("li", {}, element("span"), element("span", { class: "remedy" }));
  keyed(list, all, (one) => [one.kind, one.client ?? one.address ?? one.text].join(" "), make, (item, one) => {
    setText(item.children[0], one.text);
    setText(item.children[1], one.remedy ?? "");
    item.className = one.fatal ? "fatal" : one.remedy ? "" : "plain";
    if (Boolean(accept && one.key) === Boolean(item.children[2])) return;
    if (item.children[2]) return item.children[2].remove();
    const button = element("button", { type: "button", "aria-label": `Accept ${one.key}` }, "Accept");
    button.addEventListener("click", () => accept(one.key));
    item.append(button);
  });
}

// The counts of the last quarter of an hour, since this page was opened, oldest first.
let seen = [];
const WINDOW_MS = 900_000;
const lastSeen = new Map();

export function refusals(now) {
  const time = Date.now();
  const counts = new Map(now.map((one) => [one.outcome, one.connections]));
  let before = seen.at(-1)?.counts;
  // A restart of tlsramp begins at zero, and the page was open already.
  if (before && [...before].some(([outcome, number]) => (counts.get(outcome) ?? 0) < number)) {
    before = new Map();
    seen = [{ time, counts: before }];
  }
  for (const [outcome, number] of counts) {
    if (before && number > (before.get(outcome) ?? 0)) lastSeen.set(outcome, time);
  }
  seen.push({ time, counts });
  if (seen.length > 900) seen.splice(1, 1);
  showRefusals();
}

export function showRefusals() {
  const start = Date.now() - WINDOW_MS;
  while (seen.length > 1 && seen[1].time < start) seen.shift();
  if (!seen.length) return;
  const [first, last] = [seen[0].counts, seen.at(-1).counts];
  const all = [...last].map(([outcome, total]) => ({ outcome, total, lately: total - (first.get(outcome) ?? 0), at: lastSeen.get(outcome) }));
  all.sort((a, b) => b.lately - a.lately || b.total - a.total);
  rows(byId("refusals"), all, (one) => one.outcome, (one) => [
    { text: REASONS[one.outcome] ?? one.outcome, title: one.outcome },
    { text: String(one.lately), style: one.lately ? "number bad" : "number" },
    { text: String(one.total), style: "number" },
    { text: one.at ? ago(new Date(one.at).toISOString()) : "before this page", style: "time" },
  ]);
  byId("refusals-none").hidden = all.length > 0;
}

export function history(entries) {
  const shown = [...entries].reverse();
  const style = { refused: "bad", done: "good" };
  rows(byId("history"), shown, (entry) => [entry.at, entry.action, entry.what, entry.by, entry.times].join(" "), (entry) => [
    { text: clock(entry.at), style: "time" },
    entry.action,
    entry.what,
    `${entry.door} ${entry.by}`,
    { text: [entry.effect, entry.reason].filter(Boolean).join(": ") + (entry.times > 1 ? ` (${entry.times} times)` : ""), style: style[entry.effect] ?? "" },
  ]);
}

/** The changes of mode in the history, for the chart: by a request, by a reload, or by a start in another mode. */
export function modeChanges(entries) {
  let before;
  return entries.flatMap(({ at, action, what, effect }) => {
    if (effect !== "done" || !["mode", "reload", "start"].includes(action)) return [];
    const named = what.split(/\W+/).filter((word) => MODES.includes(word));
    const [mode, was = before] = named.reverse();
    before = mode;
    return mode && was && mode !== was ? [[Date.parse(at), mode]] : [];
  });
}
