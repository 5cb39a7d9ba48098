// How streams ended: by minute, by reason, by how long they lasted.

import { REASONS, clock, count, node, put, range, sum } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const [MINUTES, WIDTH, HEIGHT, GAP] = [60, 600, 140, 2];

const $ = (id) => document.getElementById(id);

export class Charts {
  // Draws only what has changed: most seconds bring nothing new.
  show(status) {
    const now = Math.floor(status.at / 60);
    const facts = JSON.stringify([now, status.minutes, status.durations, status.ended]);
    if (facts === this.shown) return;
    this.shown = facts;
    const lastHour = total(status.minutes.map((minute) => minute.ended));
    drawMinutes(status.minutes, now);
    listReasons(lastHour, status.ended);
    listDurations(status.durations);
  }
}

export function total(countsOfMany) {
  const all = {};
  for (const counts of countsOfMany) for (const [reason, number] of Object.entries(counts)) all[reason] = (all[reason] ?? 0) + number;
  return all;
}

const told = (counts) => REASONS.filter((reason) => counts[reason]).map((reason) => `${count(counts[reason])} ${reason}`).join(", ");

// The least round number that is not below `most`.
function ceiling(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= most);
}

function drawMinutes(minutes, now) {
  const top = ceiling(Math.max(...minutes.map((minute) => sum(minute.ended)), 4));
  put($("ends-top"), count(top));
  $("ends").replaceChildren(...minutes.map((minute) => column(minute, MINUTES - 1 - (now - minute.at / 60), top)));
  $("ends").setAttribute("aria-label", `Ends by minute, in the last hour: ${told(total(minutes.map((minute) => minute.ended))) || "none"}`);
  const labels = [60, 45, 30, 15, 0].map((ago) => node("li", { textContent: ago ? clock((now - ago) * 60) : "now" }));
  $("ends-axis").replaceChildren(...labels);
}

function column(minute, place, top) {
  const group = document.createElementNS(SVG, "g");
  const title = document.createElementNS(SVG, "title");
  title.textContent = `${clock(minute.at)}: ${told(minute.ended) || "no end"}${minute.refused ? `, ${count(minute.refused)} refused` : ""}`;
  group.append(title);
  let below = HEIGHT;
  for (const reason of REASONS.filter((each) => minute.ended[each])) {
    const height = (minute.ended[reason] / top) * HEIGHT;
    group.append(bar(reason, (place * WIDTH) / MINUTES, (below -= height), height));
  }
  return group;
}

function bar(reason, x, y, height) {
  const drawn = document.createElementNS(SVG, "rect");
  drawn.dataset.reason = reason;
  const place = { x: x + GAP / 2, y, width: WIDTH / MINUTES - GAP, height };
  for (const [name, value] of Object.entries(place)) drawn.setAttribute(name, value.toFixed(2));
  return drawn;
}

function listReasons(lastHour, ever) {
  const rows = REASONS.filter((reason) => ever[reason]).map((reason) => {
    const name = node("th", { scope: "row" }, swatch(reason), reason);
    return node("tr", {}, name, node("td", { textContent: count(lastHour[reason] ?? 0) }), node("td", { textContent: count(ever[reason]) }));
  });
  if (rows.length) $("reasons").tBodies[0].replaceChildren(...rows);
}

function swatch(reason) {
  const made = node("i", { className: "swatch" });
  made.dataset.reason = reason;
  return made;
}

function listDurations(durations) {
  const most = Math.max(...durations.map((bucket) => sum(bucket.ended)), 1);
  $("durations").tBodies[0].replaceChildren(...durations.map((bucket) => durationRow(bucket, most)));
}

function durationRow(bucket, most) {
  const bars = node("div", { className: "bars", title: told(bucket.ended) });
  for (const reason of REASONS.filter((each) => bucket.ended[each])) {
    const part = swatch(reason);
    part.style.width = `${(100 * bucket.ended[reason]) / most}%`;
    bars.append(part);
  }
  const number = sum(bucket.ended);
  const row = node("tr", {}, node("th", { scope: "row", textContent: range(bucket.from, bucket.to) }), node("td", {}, bars), node("td", { textContent: count(number) }));
  row.classList.toggle("none", number === 0);
  return row;
}
