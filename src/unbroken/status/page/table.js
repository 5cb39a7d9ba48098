// The streams that are open, a row each.

import { bytes, count, node, put, seconds } from "./words.js";

const LONG_SILENCE = 60; // seconds in which even the slowest usual heartbeat would have come

export class Table {
  constructor(table) {
    this.body = table.tBodies[0];
    this.empty = this.body.querySelector(".empty");
    this.rows = new Map();
  }

  // `own` is the path of this page's stream.
  show(streams, own) {
    const there = new Set(streams.map((stream) => stream.id));
    for (const [id, row] of this.rows) if (!there.has(id)) this.drop(id, row);
    for (const stream of streams) this.update(stream, own);
    if (streams.length) this.empty.remove();
    else this.body.append(this.empty);
  }

  // The ids of another process are those of other streams.
  clear() {
    for (const [id, row] of this.rows) this.drop(id, row);
  }

  drop(id, row) {
    row.remove();
    this.rows.delete(id);
  }

  // The oldest come first and new ones are younger than all there are: a new row is always the last.
  update(stream, own) {
    let row = this.rows.get(stream.id);
    if (!row) {
      row = newRow(stream, stream.path === own);
      this.rows.set(stream.id, row);
      this.body.append(row);
    }
    const [age, events, sent, silence, state] = [...row.cells].slice(2);
    put(age, seconds(stream.age));
    put(events, count(stream.events));
    put(sent, bytes(stream.bytes));
    put(silence, seconds(stream.silence));
    silence.classList.toggle("long", stream.silence > LONG_SILENCE);
    put(state.firstChild, stream.reason ?? "open");
    state.firstChild.dataset.tone = stream.reason ? "wait" : "ok";
  }
}

function newRow(stream, own) {
  const head = node("th", { scope: "row" }, node("bdi", { textContent: stream.route ?? stream.path }));
  if (own) head.append(node("span", { className: "tag", textContent: "status page" }));
  if (stream.guarded) head.append(node("span", { className: "tag", textContent: "guarded" }));
  const request = stream.route === stream.path || stream.route === null ? "" : stream.path;
  const method = stream.method === "GET" ? "" : `${stream.method} `;
  if (method || request) head.append(node("small", {}, method, node("bdi", { textContent: request })));
  const cells = ["client", "age", "events", "bytes", "silent for"].map((name) => named(name));
  cells[0].append(node("bdi", { textContent: stream.client ?? "–" }));
  return node("tr", {}, head, ...cells, node("td", {}, node("span", { className: "badge" })));
}

function named(name) {
  const cell = node("td");
  cell.dataset.name = name; // shown beside it where there is no room for the table's head
  return cell;
}
