// The page: receives the server's events and shows them.

import * as changes from "./changes.js";
import * as chart from "./chart.js";
import * as clients from "./clients.js";
import { byId, element, keyed, request, setText } from "./dom.js";
import * as panels from "./panels.js";

// The last event of each kind.
const last = { access: null, status: null, ready: null, history: null };

const shows = {
  access(access) {
    keyed(byId("nodes"), access.links, (link) => link, () => element("a"), (anchor, link) => {
      anchor.href = link;
      setText(anchor, new URL(link).host);
    });
    byId("nodes").hidden = access.links.length === 0;
    tell(access.stopping ? "stopping" : "live", access.stopping ? "bad" : "good");
    shows.ready(last.ready);
  },
  status(status) {
    panels.status(status);
    shows.ready(last.ready);
    touched();
  },
  ready(ready) {
    if (!last.status) return;
    const mayChange = Boolean(last.access?.mayChange);
    changes.update(last.status, mayChange);
    panels.ready(ready, last.status.sslMode, mayChange, changes.accept);
  },
  history({ history }) {
    panels.history(history);
    chart.mark(panels.modeChanges(history));
    touched();
  },
  refusals(refusals) {
    panels.refusals(refusals);
    touched();
  },
  samples(samples) {
    chart.add(samples);
    last.samples = samples.slice(-1);
    touched();
  },
};

/** Has the clients fetched again if anything happened that may have changed them. */
function touched() {
  if (!last.status) return;
  const { generation, connections, inventory } = last.status;
  const [, , , , ...accepted] = last.samples?.at(-1) ?? [];
  clients.changed([generation, connections, inventory, accepted, last.refusals, last.history?.history.at(-1)]);
}

function tell(text, style) {
  setText(byId("live"), text);
  byId("live").className = `tag ${style}`;
}

function connect() {
  const events = new EventSource("/events");
  for (const [kind, show] of Object.entries(shows)) {
    events.addEventListener(kind, (event) => {
      last[kind] = JSON.parse(event.data);
      show(last[kind]);
    });
  }
  events.onerror = async () => {
    // The browser connects again by itself, unless the server has refused.
    tell("reconnecting", "bad");
    if (events.readyState !== EventSource.CLOSED) return;
    events.close();
    const reason = await request("GET", "/status").then(() => "too many pages are open", (error) => error.message);
    tell(`not connected: ${reason}`, "bad");
    setTimeout(connect, 5000);
  };
}

setText(byId("node"), location.host);
chart.setup();
clients.setup();
changes.setup();
connect();
// Ages grow although nothing happens.
setInterval(() => {
  if (!last.status) return;
  panels.status(last.status);
  panels.showRefusals();
  clients.render();
}, 10_000);
