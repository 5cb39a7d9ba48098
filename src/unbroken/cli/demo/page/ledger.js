// The server's view: a row for each stream, as the server reports it four times a second.

const TONES = {
  completed: "ok", client_closed: "ok", max_age: "calm", write_failed: "wait", send_timeout: "wait", producer_error: "bad",
};
const ANSWERS = { unbroken: "EventSourceResponse", starlette: "StreamingResponse" };

const node = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

export class Table {
  constructor(table, held) {
    this.table = table;
    this.held = held;
    this.bodies = new Map();
  }

  // `left` says of a stream whether this page has left it.
  show(rows, visitor, left) {
    if (rows.length) this.table.querySelector(".empty")?.remove();
    for (const [number, body] of this.bodies) {
      if (rows.some((row) => row.number === number)) continue;
      body.remove();
      this.bodies.delete(number);
    }
    for (const row of [...rows].reverse()) this.update(row, row.visitor === visitor, left(row));
    this.count(rows.filter((row) => row.open), rows.filter((row) => row.open && left(row)));
  }

  update(row, mine, left) {
    let body = this.bodies.get(row.number);
    if (!body) {
      body = newBody(row);
      this.bodies.set(row.number, body);
      this.table.tHead.after(body);
    }
    body.classList.toggle("mine", mine);
    put(body, "age", `${row.age.toFixed(1)} s`);
    put(body, "events", row.events);
    put(body, "heartbeats", row.heartbeats);
    put(body, "bytes", size(row.bytes));
    const state = stateOf(row, left), badge = body.querySelector(".state");
    if (badge.textContent !== state.text) Object.assign(badge, { textContent: state.text }).dataset.tone = state.tone;
    const facts = factsOf(row), text = JSON.stringify(facts), list = body.querySelector(".facts");
    if (list.dataset.shown === text) return;
    list.dataset.shown = text;
    list.replaceChildren(...facts.map(([tone, fact]) => {
      const item = node("li", { textContent: fact });
      if (tone) item.dataset.tone = tone;
      return item;
    }));
  }

  count(open, left) {
    const streams = open.length === 1 ? "1 stream open" : `${open.length} streams open`;
    this.held.textContent = left.length ? `${streams}, ${left.length} for nobody` : streams;
    this.held.dataset.tone = left.length ? "wait" : "ok";
  }
}

function newBody(row) {
  const cell = (name, shown = name) => {
    const made = node("td", { className: name });
    made.dataset.name = shown;
    return made;
  };
  const head = node("th", { scope: "row" }, node("b", { textContent: `#${row.number}` }), row.path, node("small", { textContent: `${ANSWERS[row.through]}, ${row.client}` }));
  const first = node("tr", {}, head, cell("age", "open"), cell("events"), cell("heartbeats", "beats"), cell("bytes", ""), node("td", { className: "state-cell" }, node("span", { className: "state" })));
  const second = node("tr", { className: "story" }, node("td", { colSpan: 6 }, node("ul", { className: "facts" })));
  const body = node("tbody", {}, first, second);
  body.dataset.number = row.number;
  body.dataset.through = row.through;
  return body;
}

function put(body, name, value) {
  const cell = body.querySelector(`.${name}`);
  if (cell.textContent !== String(value)) cell.textContent = value;
}

const size = (bytes) => (bytes < 10_000 ? `${bytes} B` : `${Math.round(bytes / 1000)} kB`);

function stateOf(row, left) {
  if (row.reason) return { text: row.reason, tone: TONES[row.reason] };
  if (!row.open) return { text: "over: no reason kept", tone: "bad" };
  if (row.waits > 0.5) return { text: `write waits ${Math.floor(row.waits)} s`, tone: row.through === "unbroken" ? "wait" : "bad" };
  if (left) return { text: "held for nobody", tone: "wait" };
  return { text: "open", tone: "ok" };
}

// What the generator saw, and how far its cleanup came, in its own words.
function factsOf(row) {
  const facts = row.saw.map((seen) => [null, seen]);
  if (row.caught) facts.push(["ok", "except ConnectionResetError ran"]);
  else if (wasBroken(row)) facts.push(["bad", "except ConnectionResetError never ran"]);
  if (row.cleanup === "finished") facts.push(["ok", "finally ran, awaits and all"]);
  else if (row.cleanup?.startsWith("cut off")) facts.push(["bad", `finally ${row.cleanup}`]);
  else if (row.cleanup) facts.push([null, `finally is ${row.cleanup}`]);
  else if (!row.open) facts.push(["bad", "finally has not run"]);
  else facts.push([null, "the generator runs"]);
  return facts;
}

// Whether the stream ended by something else than its own generator.
export function wasBroken(row) {
  if (row.open) return false;
  return row.reason ? row.reason !== "completed" && row.reason !== "producer_error" : !row.saw.some((seen) => seen.startsWith("raised"));
}

export const toneOf = (row) => (row.reason ? TONES[row.reason] : "bad");
