// Wires it all: what the page does, what its stream tells, what the server reports.

import { markCode, showCode } from "./code.js";
import { Table, toneOf } from "./ledger.js";
import { Log } from "./log.js";
import { deedStory, endStory, goodbyeStory, openStory, silenceStory, waitStory } from "./narrator.js";
import { Stage, replay } from "./stage.js";
import { Stream } from "./stream.js";

const $ = (id) => document.getElementById(id);
const KINDS = { unbroken: "EventSourceResponse", starlette: "StreamingResponse" };

const page = { visitor: null, hop: null, code: null, through: "unbroken", number: null, deed: null, told: new Set(), events: 0, heartbeats: 0, mended: 0, last: null };
const stage = new Stage();
const log = new Log($("log"));
const table = new Table(document.querySelector("table"), $("held"));

const times = (count) => ["never", "once", "twice"][count] ?? `${count} times`;
const tell = (id, html) => { if ($(id).innerHTML !== html) $(id).innerHTML = html; };
const tellBrowser = (html) => tell("browser-story", html);
const tellServer = (html) => tell("server-story", html);

// The browser's end

const stream = new Stream({
  connecting() { showState(); log.note("wait", "connecting"); },
  open() {
    showState();
    log.note("ok", "open");
    stage.show({ hop: "idle", clerk: "calm" });
    if (stage.mend()) $("mended").textContent = times(++page.mended);
    if (page.deed === null) tellBrowser(openStory(page.through));
    page.deed = null;
  },
  number(number) { page.number = number; },
  word(text, id) {
    $("seen-events").textContent = ++page.events;
    $("last-id").textContent = id;
    log.word(id, text);
    stage.word(text);
  },
  heartbeat() {
    $("seen-heartbeats").textContent = ++page.heartbeats;
    log.heartbeat();
    replay($("heart"), "beating");
    stage.heartbeat();
  },
  ended(type, data) {
    log.note(type === "stream-error" ? "bad" : "calm", `${type} ${data}`);
    tellBrowser(goodbyeStory(type, data));
    stage.break("spool");
    stage.show({ mood: "surprised", clerk: type === "stream-error" ? "upset" : "calm" });
  },
  lost(forGood) {
    showState();
    log.note("bad", forGood ? "error: the stream is closed for good" : "error: the connection is gone");
    stage.break(page.deed === "raise" ? "spool" : "hop");
    stage.show({ mood: "surprised" });
  },
  silent(seconds) {
    log.note("bad", `nothing for ${seconds.toFixed(1)} s, not even a heartbeat`);
    tellBrowser(silenceStory(seconds));
    stage.say("No heartbeat. I ask again.", true);
    stage.break("hop");
    stage.show({ mood: "surprised" });
    page.deed = "watchdog";
    connect();
  },
});

function showState() {
  const badge = $("ready-state");
  badge.textContent = stream.state;
  badge.dataset.tone = { CONNECTING: "wait", OPEN: "ok", CLOSED: "bad" }[stream.state];
}

function connect() {
  const url = new URL(`http://127.0.0.1:${page.hop}/story/${page.through}`);
  url.searchParams.set("visitor", page.visitor);
  page.number = null;
  stream.open(url, page.through === "unbroken");
}

// What one may do

const DEEDS = {
  close() {
    stream.close();
    showState();
    log.note("bad", "closed by the page");
    stage.break("ball");
    stage.show({ mood: "asleep", hop: "idle" });
    stage.say("I let go.", true);
    page.number = null;
  },
  cut() { stage.show({ hop: "cut" }); },
  freeze() { stage.show({ hop: "frozen", mood: "cold" }); },
  silence() { stage.show({ hop: "silent", mood: "puzzled" }); },
  raise() { stage.show({ clerk: "upset" }); },
  reconnect() {
    stage.break("ball");
    connect();
  },
};

async function act(deed) {
  page.deed = deed;
  tellBrowser(deedStory(deed, page.through));
  tellServer(waitStory(deed, page.through));
  if (deed !== "close" && deed !== "reconnect") {
    const done = await fetch(`/visit/${page.visitor}/${deed}`, { method: "POST" }).catch(() => null);
    if (!done?.ok) return; // the demo has gone, which its reports tell of
  }
  DEEDS[deed]();
}

for (const button of document.querySelectorAll("[data-deed]")) {
  button.addEventListener("click", () => act(button.dataset.deed));
}
for (const radio of document.querySelectorAll("[name=through]")) {
  radio.addEventListener("change", () => serveBy(radio.value));
}

function serveBy(through) {
  page.through = through;
  page.deed = null;
  stage.show({ through });
  $("server-kind").textContent = KINDS[through];
  showCode($("code"), page.code[through]);
  if (stream.state !== "CLOSED") stage.break("ball");
  connect();
}

// The server's end

// Whether this page has left a stream. Between two streams it does not know yet which is its own.
function left(row) {
  if (row.visitor !== page.visitor) return false;
  return stream.state === "CLOSED" || (page.number !== null && row.number !== page.number);
}

function report(rows) {
  table.show(rows, page.visitor, left);
  const mine = rows.filter((row) => row.visitor === page.visitor);
  swallowed(mine.find((row) => row.number === page.number));
  const news = mine.filter((row) => !row.open && !page.told.has(row.number));
  news.reverse().forEach(ended); // the newest is told last, and stays
}

// A stream of this page has ended.
function ended(row) {
  page.told.add(row.number);
  tellServer(endStory(row));
  stage.slip(row.reason ?? "no reason kept", `#${row.number}: ${row.saw.at(-1) ?? "the generator saw nothing"}`, toneOf(row));
  if (row.through === page.through) markCode($("code"), row);
}

// What the server has sent since its last report, and the hop has kept for itself.
function swallowed(row) {
  const before = page.last;
  page.last = row && { number: row.number, events: row.events, heartbeats: row.heartbeats };
  if (!row || stage.root.dataset.hop !== "silent" || before?.number !== row.number) return;
  if (row.events > before.events) stage.swallow("event");
  if (row.heartbeats > before.heartbeats) stage.swallow("heartbeat");
}

const reports = new EventSource("/visit");
reports.addEventListener("welcome", (event) => {
  Object.assign(page, JSON.parse(event.data), { told: new Set() });
  serveBy(page.through);
});
reports.addEventListener("streams", (event) => report(JSON.parse(event.data)));
reports.addEventListener("error", () => {
  stream.close();
  showState();
  stage.break("spool");
  stage.show({ mood: "asleep", hop: "idle" });
  tellBrowser("The demo itself has gone. This page comes back by itself when you start it again.");
});
