// One scenario on the page of an admin port, in Chromium: see tests/it/cockpit.rs.
//
// Argument: an object in JSON with the scenario's name, the URL of the admin port, the program of the browser, the folder
// of playwright-core and axe-core, and what the scenario wants beside them. Fails with a text if the page does.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const given = JSON.parse(process.argv[2]);
const require = createRequire(`${given.parts}/`);
const { chromium } = require("playwright-core");
// Long, because a machine may run many tests at once.
const SOON = 120_000;

const browser = await chromium.launch({ timeout: SOON, executablePath: given.browser, args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-lcd-text"] });

/** A page that is live, and what went wrong on it so far. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(SOON);
  const wrong = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) wrong.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`error: ${error}`));
  page.on("dialog", (dialog) => wrong.push(`dialog: ${dialog.message()}`));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== given.url) wrong.push(`request to ${request.url()}`);
  });
  await page.goto(`${given.url}/`);
  await page.waitForFunction(() => document.querySelector("#live").textContent === "live");
  await page.waitForFunction(() => document.querySelector("#ladder [aria-current]"));
  return { page, wrong };
}

const text = (page, id) => page.locator(`#${id}`).textContent();
const shows = (page, id, part) =>
  page.waitForFunction(([id, part]) => document.getElementById(id).textContent.includes(part), [id, part]).catch(async () => {
    assert.fail(`#${id} does not show ${JSON.stringify(part)}, but ${JSON.stringify(await text(page, id))}`);
  });
const mode = (page) => page.locator("#ladder [aria-current]").textContent();
const modeIs = (page, name) =>
  page.waitForFunction((name) => document.querySelector("#ladder [aria-current]").textContent === name, name).catch(async () => {
    assert.fail(`the page shows ${await mode(page)}, not ${name}`);
  });
const get = async (path) => (await fetch(`${given.url}${path}`)).json();

/** Presses a button, checks the warnings of its dialog, and confirms. */
async function press(page, { button, warnings = [], options = [] }) {
  await page.click(`#${button}`);
  await page.waitForFunction(() => {
    const confirm = document.querySelector("#dialog-confirm");
    return confirm.textContent !== "Wait" || !document.querySelector("#dialog-error").hidden;
  });
  for (const warning of warnings) await shows(page, "dialog-findings", warning);
  if (warnings.length === 0) assert.equal(await page.locator("#dialog-findings .remedy:not(:empty)").count(), 0, await text(page, "dialog-findings"));
  for (const option of options) await page.check(`#dialog-options input[name=${option}]`);
  await page.click("#dialog-confirm");
  await page.waitForFunction(() => {
    const done = !document.querySelector("#dialog").open || document.querySelector("#dialog-confirm").hidden;
    return done || !document.querySelector("#dialog-error").hidden;
  });
  assert.ok(await page.locator("#dialog-error").isHidden(), await text(page, "dialog-error"));
  // The reply's warnings stay until they are closed.
  if (await page.locator("#dialog").isVisible()) await page.click("#dialog-cancel");
}

const scenarios = {
  /** No problem of any kind, on a wide and a narrow screen, light and dark. */
  async looks() {
    const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [1200, 360]) {
        const { page, wrong } = await open({ colorScheme, viewport: { width, height: 800 } });
        await shows(page, "clients", given.client);
        await shows(page, "next-verdict", "blocker");
        await page.waitForFunction(() => document.querySelectorAll("#chart path.line").length === 4);
        const across = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(across <= width, `${across} pixels are needed, ${width} are there`);
        await check(page, axe);
        await page.click("#step-up");
        await page.waitForFunction(() => document.querySelector("#dialog-confirm").textContent !== "Wait");
        await check(page, axe);
        assert.deepEqual(wrong, []);
        await page.context().close();
      }
    }
    async function check(page, axe) {
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
      const told = serious.map(({ id, help, nodes }) => `${id} (${help}): ${nodes.map((node) => node.html).join("\n")}`);
      assert.deepEqual(told, []);
    }
  },

  /** Everything can be reached and used without a pointer. */
  async keyboard() {
    const { page, wrong } = await open();
    await shows(page, "clients", given.client);
    const reached = new Set();
    for (let step = 0; step < 60; step += 1) {
      await page.keyboard.press("Tab");
      reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim()));
    }
    const wanted = ["step-up", "roll-back", "rotate", "range", "chart", "clients-filter", "clients-plaintext", "clients-blocking", "Client", "Last seen"];
    for (const one of wanted) assert.ok(reached.has(one), `${one} is not among ${[...reached]}`);
    await page.focus("#step-up");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#dialog").open && document.activeElement.id === "dialog-cancel");
    for (let step = 0; step < 8; step += 1) {
      await page.keyboard.press("Tab");
      assert.ok(await page.evaluate(() => document.querySelector("#dialog").contains(document.activeElement) || document.activeElement === document.body));
    }
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => !document.querySelector("#dialog").open && document.activeElement.id === "step-up");
    const before = await text(page, "chart-values");
    assert.match(before, /^Now: /);
    await page.waitForFunction(() => document.querySelector("#chart path.line").getAttribute("d").length > 40);
    await page.focus("#chart");
    await page.keyboard.press("ArrowLeft");
    assert.doesNotMatch(await text(page, "chart-values"), /^Now: /);
    await page.keyboard.press("Escape");
    assert.match(await text(page, "chart-values"), /^Now: /);
    // Sorted and filtered.
    await page.getByRole("button", { name: "Total" }).focus();
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("#clients th[aria-sort]").getAttribute("aria-sort"), "descending");
    const totals = await page.locator("#clients tbody td:nth-child(5)").allTextContents();
    assert.deepEqual(totals.map(Number), totals.map(Number).sort((a, b) => b - a));
    await page.fill("#clients-filter", given.client);
    await shows(page, "clients-count", "1 row of");
    await page.fill("#clients-filter", "no such client");
    await shows(page, "clients-count", "0 rows of");
    assert.deepEqual(wrong, []);
  },

  /** The page shows changes that `ctl mode` makes. Prints after how many milliseconds. */
  async follows() {
    const { page, wrong } = await open();
    const waited = [];
    for (const to of given.modes) {
      await page.evaluate((to) => {
        const ladder = document.querySelector("#ladder");
        globalThis.shown = new Promise((resolve) => {
          new MutationObserver(() => {
            if (ladder.querySelector("[aria-current]").textContent === to) resolve(Date.now());
          }).observe(ladder, { subtree: true, childList: true, characterData: true, attributes: true });
        });
      }, to);
      await new Promise((resolve, reject) => {
        execFile(given.ctl[0], [...given.ctl.slice(1), "mode", to, "--force"], (error) => (error ? reject(error) : resolve()));
      });
      const made = Date.now();
      waited.push((await page.evaluate(() => globalThis.shown)) - made);
      await shows(page, "history", to);
      await page.waitForFunction((to) => [...document.querySelectorAll("#chart .label")].some((label) => label.textContent === to), to);
    }
    assert.deepEqual(wrong, []);
    console.log(JSON.stringify(waited));
  },

  /** Presses the buttons in turn, each of which must have the effect. */
  async walk() {
    const { page, wrong } = await open();
    for (const step of given.steps) {
      await press(page, step);
      if (step.mode) {
        await modeIs(page, step.mode);
        assert.equal((await get("/status")).sslMode, step.mode);
        await shows(page, "history", step.mode);
      }
      for (const [id, part] of Object.entries(step.shows ?? {})) await shows(page, id, part);
    }
    assert.deepEqual(wrong, []);
  },

  /** A warning that comes up while a dialog is open is shown before the change is made. */
  async overtaken() {
    const { page } = await open();
    await page.click("#step-up");
    await shows(page, "dialog-state", "No blockers.");
    await fetch(given.signal);
    await page.click("#dialog-confirm");
    await shows(page, "dialog-findings", given.client);
    assert.equal(await mode(page), "preferSSL");
    assert.ok((await text(page, "dialog-error")).length > 10);
    await page.click("#dialog-confirm");
    await modeIs(page, "requireSSL");
    // A dialog about a mode that is no longer in force cannot be confirmed.
    await page.click("#roll-back");
    await page.waitForFunction(() => !document.querySelector("#dialog-confirm").disabled);
    await fetch(`${given.url}/mode`, { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ mode: "allowSSL", force: true }) });
    await shows(page, "dialog-error", "allowSSL meanwhile");
    assert.ok(await page.locator("#dialog-confirm").isDisabled());
    await page.click("#dialog-cancel");
    // A server that has become unreachable needs force. What has been checked stays checked.
    const why = "db2 cannot be reached";
    let answer;
    const closed = new Promise((resolve) => (answer = resolve));
    await page.route("**/mode", async (route) => {
      if (route.request().postDataJSON().force) await closed;
      await route.fulfill({ status: 409, json: { error: why, blockers: [{ kind: "server", fatal: true, text: why }] } });
    });
    await page.click("#step-up");
    await page.check("#dialog-options input[name=persist]");
    await page.click("#dialog-confirm");
    await shows(page, "dialog-findings", why);
    assert.ok(await page.locator("#dialog-confirm").isDisabled());
    assert.ok(await page.isChecked("#dialog-options input[name=persist]"));
    await page.check("#dialog-options input[name=force]");
    await page.click("#dialog-confirm");
    // A failure is shown although the dialog was closed.
    await page.click("#dialog-cancel");
    answer();
    await shows(page, "said", `Step up to preferSSL: ${why}`);
  },

  /** A page of another site can neither read, nor change, nor show anything of the admin port. */
  async foreign() {
    const server = createServer((_request, response) => response.setHeader("Content-Type", "text/html").end("<!doctype html><title>foreign</title>"));
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const before = [(await get("/status")).sslMode, (await get("/history")).history.length];
    const page = await browser.newPage();
    page.setDefaultTimeout(SOON);
    const answered = [];
    page.on("response", (response) => {
      const url = new URL(response.url());
      if (url.origin === given.url) answered.push([url.pathname, response.status()]);
    });
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    const outcomes = await page.evaluate(async (url) => {
      const outcome = (promise) => promise.then(() => "done", () => "refused");
      const json = { "Content-Type": "application/json" };
      const stream = new Promise((resolve, reject) => {
        const events = new EventSource(`${url}/events`);
        events.onopen = resolve;
        events.onerror = reject;
      });
      const image = new Promise((resolve, reject) => {
        const image = new Image();
        image.onload = resolve;
        image.onerror = reject;
        image.src = `${url}/page/icon.svg`;
      });
      return {
        form: await outcome(fetch(`${url}/recycle`, { method: "POST", mode: "no-cors", body: "{}" })),
        ready: await outcome(fetch(`${url}/ready?to=requireSSL`, { mode: "no-cors" })),
        status: await outcome(fetch(`${url}/status`)),
        mode: await outcome(fetch(`${url}/mode`, { method: "PUT", headers: json, body: '{"mode":"preferSSL"}' })),
        stream: await outcome(stream),
        image: await outcome(image),
      };
    }, given.url);
    assert.deepEqual([...new Set(Object.values(outcomes))], ["refused"], JSON.stringify(outcomes));
    for (const [path, status] of answered) assert.ok(status >= 400, `${path} was answered with ${status}`);
    await page.evaluate((url) => {
      const frame = document.createElement("iframe");
      frame.src = url;
      document.body.append(frame);
      return new Promise((resolve) => (frame.onload = resolve));
    }, given.url);
    assert.ok(!page.frames()[1].url().startsWith(given.url), page.frames()[1].url());
    assert.deepEqual([(await get("/status")).sslMode, (await get("/history")).history.length], before);
    // A link may be followed.
    await page.evaluate((url) => (location.href = url), `${given.url}/`);
    await page.waitForFunction(() => document.querySelector("#live")?.textContent === "live");
    server.close();
  },

  async readOnly() {
    const { page, wrong } = await open();
    await page.waitForSelector("#read-only:not([hidden])");
    await shows(page, "blockers", given.client);
    assert.deepEqual(await page.locator("section button:visible, #blockers button").evaluateAll((all) => all.filter((one) => !one.closest("th")).map((one) => one.id)), []);
    assert.deepEqual(wrong, []);
  },

  /** The page comes back after a restart, and lists the other nodes. */
  async restart() {
    const { page } = await open();
    const links = await page.locator("#nodes a").evaluateAll((all) => all.map((one) => [one.textContent, one.href]));
    assert.deepEqual(links, given.links);
    await fetch(`${given.url}/quit`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
    await page.waitForFunction(() => document.querySelector("#live").textContent !== "live");
    await fetch(given.signal);
    await page.waitForFunction(() => document.querySelector("#live").textContent === "live");
    await modeIs(page, "preferSSL");
  },

  async pictures() {
    for (const { file, ...options } of given.pictures) {
      const { page } = await open(options);
      await shows(page, "clients", given.client);
      await page.waitForFunction(() => !document.querySelector("#next-verdict").textContent.includes("Checking"));
      await page.screenshot({ path: file });
      await page.context().close();
    }
  },
};

try {
  await scenarios[given.scenario]();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
// A server of a failed scenario would keep the process alive.
process.exit();
