// The buttons. Each opens a dialog that shows the warnings first, and changes nothing before it is confirmed.

import { byId, count, element, isolated, request, setText } from "./dom.js";
import { MEANINGS, MODES, findings } from "./panels.js";

let status = null;
let mayChange = false;
// The change that the dialog is about; null while it is closed.
let open = null;

export function setup() {
  byId("step-up").addEventListener("click", () => mode(above(), false));
  byId("roll-back").addEventListener("click", () => mode(below(), true));
  byId("recycle").addEventListener("click", recycle);
  byId("rotate").addEventListener("click", rotate);
  byId("dialog-cancel").addEventListener("click", () => byId("dialog").close());
  byId("dialog-confirm").addEventListener("click", confirm);
  byId("dialog").addEventListener("close", () => {
    open = null;
  });
}

/** Shows the buttons that apply to this status. */
export function update(newStatus, newMayChange) {
  const modeBefore = status?.sslMode;
  [status, mayChange] = [newStatus, newMayChange];
  byId("buttons").hidden = !mayChange;
  byId("read-only").hidden = mayChange;
  if (!mayChange && open) byId("dialog").close();
  if (!status) return;
  if (open?.aboutMode && !open.sent && modeBefore && modeBefore !== status.sslMode) {
    fail(`The mode was changed to ${status.sslMode} meanwhile. Close this and look again.`);
    open.blocked = true;
    enable();
  }
  label("step-up", above(), (to) => `Step up to ${to}`, "Step up");
  label("roll-back", below(), (to) => `Roll back to ${to}`, "Roll back");
  label("recycle", status.connections.nonConforming, (number) => `Recycle ${count(number, "connection")}`, "Recycle connections");
}

function label(id, value, text, without) {
  setText(byId(id), value ? text(value) : without);
  byId(id).disabled = !value;
}

const above = () => MODES[MODES.indexOf(status.sslMode) + 1];
const below = () => MODES[MODES.indexOf(status.sslMode) - 1];

function mode(to, back) {
  const lease = status.lease && back ? ` ${isolated(status.lease.holder)} holds the lease; rolling back overrides it.` : "";
  const options = (blockers) => {
    const offered = [["persist", "Start in this mode after a restart too (needs a state file)"]];
    const fatal = !back && blockers.some((blocker) => blocker.fatal);
    if (fatal) offered.push(["force", "Force: cut off the servers that cannot be reached in this mode", true]);
    return offered;
  };
  start({
    title: back ? `Roll back to ${to}` : `Step up to ${to}`,
    lead: `${to} means ${MEANINGS[to]}.${lease}`,
    aboutMode: true,
    async load() {
      const { blockers } = await request("GET", `/ready?to=${to}`);
      return {
        all: blockers,
        text: blockers.length ? `${count(blockers.length, "warning")}:` : "No blockers.",
        confirm: `${back ? "Roll back" : "Change"} to ${to}${blockers.length ? " in spite of this" : ""}`,
        options: options(blockers),
      };
    },
    // If the dialog showed no warning, the guard is on: it refuses the change if a warning has come up meanwhile.
    async run({ persist, force }, { all }) {
      const body = { mode: to, persist, force: back || Boolean(force), guard: !back && all.length === 0 };
      const reply = await request("PUT", "/mode", body);
      // Warnings that were confirmed are not shown again.
      return { said: `The mode was changed from ${reply.was} to ${reply.mode}.`, details: all.length ? [] : (reply.warnings ?? []) };
    },
    // A server that has become unreachable meanwhile.
    onError: ({ reply }) => (reply?.blockers?.length ? options(reply.blockers) : null),
  });
}

function recycle() {
  start({
    title: "Recycle connections",
    lead:
      `${count(status.connections.nonConforming, "connection")} would not be made in ${status.sslMode}. Each is ended at a ` +
      "message boundary, and its client connects again under the present mode.",
    async load() {
      const { connections } = await request("GET", "/connections?nonConforming");
      const shown = connections.slice(0, 20);
      const all = shown.map((one) => ({ kind: "connection", address: one.peer, text: `${isolated(one.application ?? "unnamed")} at ${one.peer}: ${one.nonConforming}` }));
      if (connections.length > shown.length) all.push({ text: `and ${connections.length - shown.length} more` });
      return { all, text: count(connections.length, "connection"), confirm: "Recycle", options: [["force", "Also those whose clients may see an error"]] };
    },
    async run({ force }) {
      const reply = await request("POST", "/recycle", { force, waitSecs: 5 });
      const left = reply.leftAlone ? `, ${reply.leftAlone} left open because their clients may see an error` : "";
      const said = `${reply.moved} moved, ${reply.cut} cut, ${reply.ended} ended by themselves, ${reply.waiting} still waiting${left}.`;
      return { said, details: [...(reply.risks ?? []), ...(reply.warnings ?? [])] };
    },
  });
}

function rotate() {
  start({
    title: "Rotate certificates",
    lead: "Certificate, CA and CRL files are read again and used for new connections. If one cannot be used, nothing changes.",
    async load() {
      const all = status.certificates.map((one) => ({ kind: one.role, address: one.serial, text: `${isolated(one.subject)}: ${one.daysLeft} days left` }));
      return { all, text: all.length ? "In use now:" : "No TLS files are loaded now.", confirm: "Rotate", options: [] };
    },
    async run({ force }) {
      const reply = await request("POST", "/rotate", { force: Boolean(force) });
      return { said: `The TLS files were read again (generation ${reply.generation}).`, details: reply.warnings ?? [] };
    },
    // Offered only after a refusal: files that are out of date.
    onError: ({ reply }) => (reply?.code === "Unusable" ? [["force", "Force: use these files although they are out of date", true]] : null),
  });
}

/** Asks whether a client may be refused by requireSSL. */
export function accept(key) {
  start({
    title: "Accept a client",
    lead: `${key} no longer blocks requireSSL. It will be refused there if it still connects without TLS.`,
    load: async () => ({ all: [], text: "", confirm: "Accept", options: [] }),
    async run() {
      await request("POST", "/accept", { key });
      return { said: `${key} was accepted.`, details: [] };
    },
  });
}

async function start(change) {
  const mine = { ...change, loaded: null, blocked: false, sent: false };
  open = mine;
  setText(byId("dialog-title"), change.title);
  setText(byId("dialog-lead"), change.lead);
  setText(byId("dialog-state"), "Checking");
  setText(byId("dialog-cancel"), "Cancel");
  setText(byId("dialog-confirm"), "Wait");
  byId("dialog-confirm").hidden = false;
  byId("dialog-error").hidden = true;
  findings(byId("dialog-findings"), []);
  offer([]);
  enable();
  byId("dialog").showModal();
  byId("dialog-cancel").focus();
  try {
    const loaded = await change.load();
    if (open !== mine) return;
    mine.loaded = loaded;
    setText(byId("dialog-state"), loaded.text);
    setText(byId("dialog-confirm"), loaded.confirm);
    findings(byId("dialog-findings"), loaded.all);
    byId("dialog-confirm").classList.toggle("danger", loaded.all.some((one) => one.remedy));
    offer(loaded.options);
  } catch (error) {
    if (open !== mine) return;
    setText(byId("dialog-state"), "");
    fail(error.message);
  }
  enable();
}

/** Shows options as checkboxes: name, text, and whether it must be checked before the change can be confirmed. */
function offer(options) {
  const before = boxes();
  const offered = options.map(([name, text, needed]) => {
    const box = element("input", { type: "checkbox", name });
    box.checked = before.some((old) => old.name === name && old.checked);
    if (needed) box.dataset.needed = "";
    box.addEventListener("change", enable);
    return element("label", {}, box, ` ${text}`);
  });
  byId("dialog-options").replaceChildren(...offered);
}

const boxes = () => [...byId("dialog-options").querySelectorAll("input")];

function enable() {
  const waits = boxes().some((box) => "needed" in box.dataset && !box.checked);
  byId("dialog-confirm").disabled = !open?.loaded || open.blocked || open.sent || waits;
}

function fail(text) {
  setText(byId("dialog-error"), text);
  byId("dialog-error").hidden = false;
}

/** Shows the outcome of a change at the top of the page. */
function tell(text, style) {
  setText(byId("said"), text);
  byId("said").className = `notice ${style}`;
  byId("said").hidden = false;
}

async function confirm() {
  const mine = open;
  mine.sent = true;
  enable();
  byId("dialog-error").hidden = true;
  setText(byId("dialog-state"), "Changing");
  try {
    const done = await mine.run(Object.fromEntries(boxes().map((box) => [box.name, box.checked])), mine.loaded);
    tell(done.said, "good");
    if (open !== mine) return;
    if (done.details.length === 0) return byId("dialog").close();
    // The warnings of the reply stay until they are closed.
    setText(byId("dialog-state"), done.said);
    findings(byId("dialog-findings"), done.details.map((text) => ({ text })));
    offer([]);
    byId("dialog-confirm").hidden = true;
    setText(byId("dialog-cancel"), "Close");
    byId("dialog-cancel").focus();
  } catch (error) {
    if (open !== mine) return tell(`${mine.title}: ${error.message}`, "bad");
    mine.sent = false;
    setText(byId("dialog-state"), "");
    fail(error.message);
    const blockers = error.reply?.blockers ?? [];
    if (blockers.length) {
      // The dialog shows these blockers from now on, so a second confirmation makes the change in spite of them.
      mine.loaded = { ...mine.loaded, all: blockers };
      findings(byId("dialog-findings"), blockers);
    }
    const options = mine.onError?.(error);
    if (options) offer(options);
    enable();
  }
}
