// The chart of connections: plain SVG, drawn anew for each sample.
//
// A sample is [time in ms, open plaintext, open TLS, open outbound, accepted plaintext, accepted TLS]. As in the server,
// those of the last quarter of an hour are kept as they come, and one a minute for a day.

import { byId, clock, setText, svg } from "./dom.js";

const RECENT = 900;
const MINUTES = 1440;
// A longer pause between two samples is shown as a gap. Older samples are a minute apart.
const GAP_MS = 90_000;
const HEIGHT = 150;
const MARGIN = { left: 44, right: 8, top: 16, bottom: 18 };
// The width of a mode's name.
const LABEL = 66;
const SERIES = ["plaintext", "tls"];

let minutes = [];
let recent = [];
let marks = [];
// The time under the pointer or chosen by keys; null for the last sample.
let chosen = null;

export function add(samples) {
  const last = () => recent.at(-1)?.[0] ?? 0;
  const newest = samples.at(-1)?.[0];
  // The clock of the host was set back.
  if (newest < last()) [minutes, recent] = [[], []];
  for (const sample of samples) {
    if (sample[0] > last() && sample[0] <= newest) recent.push(sample);
  }
  while (recent.length > RECENT) {
    const oldest = recent.shift();
    const minute = (sample) => Math.floor(sample[0] / 60_000);
    if (!minutes.length || minute(minutes.at(-1)) !== minute(oldest)) minutes.push(oldest);
  }
  minutes = minutes.slice(-MINUTES);
  draw();
}

/** The changes of mode to mark, as [time in ms, mode]. */
export function mark(changes) {
  marks = changes;
  draw();
}

export function setup() {
  const figure = byId("chart");
  byId("range").addEventListener("change", draw);
  new ResizeObserver(draw).observe(figure);
  figure.addEventListener("pointermove", (event) => {
    const { shown, from, to, width } = view();
    const x = event.clientX - byId("plot-open").getBoundingClientRect().left - MARGIN.left;
    choose(nearest(shown, from + (x / width) * (to - from)));
  });
  figure.addEventListener("pointerleave", () => choose(null));
  figure.addEventListener("blur", () => choose(null));
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") choose(null);
    if (!step) return;
    event.preventDefault();
    const { shown } = view();
    const at = chosen === null ? shown.length - 1 : shown.indexOf(nearest(shown, chosen));
    choose(shown[Math.min(shown.length - 1, Math.max(0, at + step * Math.ceil(shown.length / 60)))] ?? null);
  });
}

function choose(sample) {
  chosen = sample && sample[0];
  draw();
}

const nearest = (shown, time) =>
  shown.reduce((best, sample) => (best && Math.abs(best[0] - time) < Math.abs(sample[0] - time) ? best : sample), null);

/** The samples of the chosen range, each with its rates since the one before. */
function view() {
  const seconds = Number(byId("range").value);
  const to = recent.at(-1)?.[0] ?? Date.now();
  const all = [...minutes, ...recent];
  // A page that was just opened shows what there is.
  const from = Math.max(to - seconds * 1000, Math.min(all[0]?.[0] ?? to, to - 60_000));
  const shown = [];
  all.forEach((sample, index) => {
    if (sample[0] < from) return;
    const before = all[index - 1];
    const passed = before ? (sample[0] - before[0]) / 1000 : 0;
    // A restart of tlsramp sets the counters back.
    const rate = (place) => (passed > 0 && sample[place] >= before[place] ? (sample[place] - before[place]) / passed : null);
    const gap = !before || sample[0] - before[0] > GAP_MS;
    shown.push(Object.assign([...sample], { rates: [rate(4), rate(5)], gap }));
  });
  const width = Math.max(50, byId("plot-open").clientWidth - MARGIN.left - MARGIN.right);
  return { shown, from, to, width };
}

function draw() {
  const area = view();
  plot(byId("plot-open"), area, (sample, series) => sample[1 + series], "open connections");
  plot(byId("plot-rate"), area, (sample, series) => sample.rates[series], "new connections per second", true);
  const sample = chosen === null ? area.shown.at(-1) : nearest(area.shown, chosen);
  if (!sample) return;
  const rate = (value) => (value === null ? "?" : value.toFixed(value < 10 ? 1 : 0));
  const [plaintext, tls] = sample.rates.map(rate);
  setText(
    byId("chart-values"),
    `${chosen === null ? "Now" : clock(sample[0])}: ${sample[1]} plaintext, ${sample[2]} TLS, ${sample[3]} outbound open; ` +
      `${plaintext} plaintext and ${tls} TLS per second`,
  );
}

function plot(parent, { shown, from, to, width }, value, name, stepped = false) {
  const most = scale(Math.max(1, ...shown.flatMap((sample) => [value(sample, 0) ?? 0, value(sample, 1) ?? 0])));
  const tall = HEIGHT - MARGIN.top - MARGIN.bottom;
  const x = (time) => MARGIN.left + ((time - from) / (to - from)) * width;
  const y = (number) => MARGIN.top + tall - (number / most) * tall;
  const right = MARGIN.left + width;
  const picture = svg("svg", { role: "img", "aria-label": `Chart of ${name}`, viewBox: `0 0 ${right + MARGIN.right} ${HEIGHT}` });
  for (const part of [0, 0.5, 1]) {
    const level = y(most * part);
    picture.append(svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: level, y2: level }));
    picture.append(svg("text", { x: MARGIN.left - 6, y: level + 4, "text-anchor": "end" }, short(most * part)));
  }
  const steps = width < 400 ? 2 : 4;
  for (let step = 0; step <= steps; step += 1) {
    const time = from + ((to - from) * step) / steps;
    const anchor = step === 0 ? "start" : step === steps ? "end" : "middle";
    picture.append(svg("text", { x: x(time), y: HEIGHT - 4, "text-anchor": anchor }, new Date(time).toLocaleTimeString("en-GB").slice(0, 5)));
  }
  const inside = marks.filter(([time]) => time >= from && time <= to);
  // Labels of changes in quick succession stand below each other. If there is not room for all, the newest are shown.
  const lines = [right + LABEL, right + LABEL, right + LABEL];
  for (const [time, mode] of inside.toReversed()) {
    const at = x(time);
    picture.append(svg("line", { class: "mark", x1: at, x2: at, y1: MARGIN.top - 4, y2: MARGIN.top + tall }));
    const start = Math.min(at + 3, right - LABEL);
    const line = lines.findIndex((taken) => start + LABEL <= taken);
    if (line < 0) continue;
    lines[line] = start;
    picture.append(svg("text", { class: "label", x: start, y: 10 + line * 12 }, mode));
  }
  SERIES.forEach((series, index) => {
    let path = "";
    let pen = false;
    for (const sample of shown) {
      const number = value(sample, index);
      if (number === null) {
        pen = false;
        continue;
      }
      const [at, level] = [x(sample[0]).toFixed(1), y(number).toFixed(1)];
      // A rate counts for the time since the sample before.
      if (!pen || sample.gap) path += `M${at} ${level}`;
      else path += stepped ? `V${level}H${at}` : `L${at} ${level}`;
      pen = true;
    }
    picture.append(svg("path", { class: `line ${series}`, d: path }));
  });
  if (chosen !== null) picture.append(svg("line", { class: "cursor", x1: x(chosen), x2: x(chosen), y1: MARGIN.top, y2: MARGIN.top + tall }));
  parent.replaceChildren(picture);
}

/** Rounds up to one of 2, 4, 10, 20, 40, ..., so that half of it is a whole number too. */
function scale(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [2, 4, 10].find((step) => step * power >= most) * power;
}

const short = (number) => (number >= 10_000 ? `${number / 1000}k` : String(Math.round(number * 100) / 100));
