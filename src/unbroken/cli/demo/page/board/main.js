// Wires it all: the stream and what it brings, what the demo tells of the server, and what one may do.

import { showCode } from "../code.js";
import { Cards, hueOf } from "./cards.js";
import { Feed } from "./feed.js";
import { Pen } from "./pen.js";
import { Tally } from "./tally.js";

const $ = (id) => document.getElementById(id);
const TONES = { CONNECTING: "wait", OPEN: "ok", CLOSED: "bad" };

const page = { tab: null, letter: null, server: null, cut: false, openings: 0, openedAt: 0, pid: null, starts: 0, written: 0 };
const cards = new Cards($("log"));
let tally, feed, pen;

// The stream

const heard = {
  open() {
    allow(true); // from now on it has an id to come back with
    page.openings++;
    page.openedAt = Date.now();
    if (page.openings > 1) cards.note("ok", "open again: the browser asked for what comes after the last id it saw");
    if (page.openings > 1 && page.starts > page.startsSeen) done("kill");
    page.startsSeen = page.starts;
    show();
  },
  card(card, id) {
    if (card.by !== page.letter) done("tabs");
    if (tally.take(card.key)) cards.card(card, id, howItCame(card));
    else cards.note("bad", `twice: ${card.text}`);
    show();
  },
  gap(gap) {
    tally.missed += gap.missed ?? 0;
    cards.gap(gap);
    done("gap");
    show();
  },
  lost() {
    if (page.wasOpen) cards.note("bad", "the connection is gone: the browser tries again every second");
    show();
  },
};

function howItCame(card) {
  if (card.at > page.openedAt) return [null, "live"];
  if (page.openings === 1) return [null, "was there"];
  if (page.wasCut) done("cut");
  return ["ok", "caught up"];
}

// What the page shows of it

function show() {
  page.wasOpen = feed.state === "OPEN";
  state("way-tab", "ready-state", TONES[feed.state], feed.state);
  state("way-hop", "hop-state", page.cut ? "bad" : "ok", page.cut ? "cuts this tab off" : "lets through");
  $("way-hop").dataset.wire = page.cut ? "cut" : "whole";
  $("way-server").dataset.wire = $("way-log").dataset.wire = page.pid ? "whole" : "cut";
  for (const [id, count] of [["published", tally.published.size], ["received", tally.ofThese], ["missed", tally.missed], ["twice", tally.twice]]) {
    $(id).textContent = count;
  }
  const [tone, text] = tally.verdict(page.wasOpen);
  if ($("verdict").textContent !== text) $("verdict").textContent = text;
  $("verdict").dataset.tone = tone;
}

function showCut() {
  $("cut").setAttribute("aria-pressed", page.cut);
  $("cut").querySelector(".label").textContent = page.cut ? "Let this tab back" : "Cut this tab off";
}

function allow(deeds) {
  for (const button of document.querySelectorAll("button")) button.disabled = !deeds;
}

function state(node, text, tone, value) {
  $(node).dataset.tone = tone;
  $(text).textContent = value;
}

const done = (step) => $(`step-${step}`).classList.add("done");

// What one may do

const ask = (deed) => fetch(`/board/tab/${page.tab}/${deed}`, { method: "POST" }).catch(() => null);

async function post(text) {
  const key = await pen.write(text);
  await ask(`published?key=${key}`);
}

$("pen").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  $("text").value = "";
  post(text || `card ${++page.written} of tab ${page.letter}`);
});
$("post-ten").addEventListener("click", () => {
  for (let i = 0; i < 10; i++) post(`card ${++page.written} of tab ${page.letter}`);
});
$("cut").addEventListener("click", async () => {
  page.cut = !page.cut;
  showCut();
  page.wasCut ||= page.cut;
  await ask(page.cut ? "cut" : "mend");
  show();
});
$("kill").addEventListener("click", () => ask("kill"));
$("forget").addEventListener("click", async () => {
  const answer = await fetch(`http://127.0.0.1:${page.server}/forget`, { method: "POST" }).catch(() => null);
  if (answer?.ok) cards.note("calm", `the retention was cut: ${await answer.text()} cards are gone from the board`);
});

// The demo

function welcome(news) {
  feed?.close();
  Object.assign(page, { ...news, cut: false, openings: 0, starts: 0, startsSeen: 0, wasCut: false, wasOpen: false });
  tally = new Tally();
  pen = new Pen(page.server, page.letter);
  $("letter").textContent = page.letter;
  $("letter").style.setProperty("--hue", hueOf(page.letter));
  document.title = `tab ${page.letter}: unbroken`;
  showCode($("code"), page.code);
  showCut();
  feed = new Feed(`http://127.0.0.1:${page.hop}/events`, heard);
  show();
}

const reports = new EventSource("/board/tab");
reports.addEventListener("welcome", (event) => welcome(JSON.parse(event.data)));
reports.addEventListener("server", (event) => {
  const server = JSON.parse(event.data);
  [page.pid, page.starts] = [server.pid, server.starts];
  const times = server.starts === 1 ? "" : `, start ${server.starts}`;
  state("way-server", "server-state", server.pid ? "ok" : "bad", server.pid ? `process ${server.pid}${times}` : "killed");
  show();
});
reports.addEventListener("published", (event) => { tally.add(JSON.parse(event.data)); show(); });
reports.addEventListener("error", () => {
  feed?.close();
  allow(false);
  state("way-server", "server-state", "bad", "the demo has ended");
  if (feed) show();
});
setInterval(() => feed && show(), 250); // what is on the way may become late
