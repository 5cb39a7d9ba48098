// Wires it all: the stream's frames go to the figures, the charts and the tables.

import { Charts, total } from "./charts.js";
import { Live } from "./live.js";
import { Table } from "./table.js";
import { FAULTS, clock, count, node, put, sum } from "./words.js";

const $ = (id) => document.getElementById(id);
const STATES = {
  connecting: ["wait", "connecting"],
  live: ["ok", "live"],
  silent: ["wait", "no news"],
  lost: ["bad", "reconnecting"],
  refused: ["bad", "no permission any more: reload the page to sign in"],
};

const charts = new Charts();
const table = new Table($("streams"));
let own = null;

function show(status) {
  const streams = status.streams.map((row) => Object.fromEntries(row.map((value, at) => [status.columns[at], value])));
  put($("origin"), `of process ${status.process}, watched since ${since(status)}`);
  put($("since"), `Since ${since(status)}`);
  put($("as-of"), `as of ${clock(status.at, true)}`);
  showFigures(status);
  showFindings(status.findings);
  showRefusals(status.refusals);
  charts.show(status);
  table.show(streams, own);
  put($("shown"), status.open > streams.length ? `the oldest ${count(streams.length)} of ${count(status.open)}` : "");
}

function since(status) {
  const today = new Date(status.at * 1000).toDateString() === new Date(status.since * 1000).toDateString();
  const day = new Date(status.since * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return today ? clock(status.since) : `${day}, ${clock(status.since)}`;
}

function showFigures(status) {
  const lastHour = total(status.minutes.map((minute) => minute.ended));
  const faults = sum(Object.fromEntries(FAULTS.map((reason) => [reason, lastHour[reason] ?? 0])));
  put($("open"), count(status.open));
  put($("ended"), count(sum(lastHour)));
  put($("faults"), count(faults));
  put($("refused"), count(status.minutes.reduce((all, minute) => all + minute.refused, 0)));
}

function showFindings(findings) {
  $("findings").hidden = !findings.length;
  refill($("findings").querySelector("ul"), findings, (finding) => {
    const after = finding.counts === "silence" ? "a silence of" : "an age of";
    const where = finding.route === null ? "" : ` of ${finding.route}`;
    const what = `${count(finding.streams)} of ${count(finding.looked_at)} streams${where} ended at ${after} ${Math.round(finding.seconds)} s.`;
    return node("li", {}, node("b", { textContent: what }), ` Likely: ${finding.likely}. `, node("span", { textContent: finding.advice }));
  });
}

function showRefusals(refusals) {
  $("refusals").hidden = !refusals.length;
  refill($("refusals").querySelector("tbody"), refusals, ({ limit, allowed, last_hour: lastHour, ever, last }) => {
    const one = node("td", {}, `${clock(last.at)} ${last.method} `, node("bdi", { textContent: last.path }), " for ", node("bdi", { textContent: last.client ?? "–" }));
    const cells = [allowed, lastHour, ever].map((number) => node("td", { textContent: count(number) }));
    return node("tr", {}, node("th", { scope: "row", textContent: limit }), ...cells, one);
  });
}

// Made anew only when it says something new: whoever selects or reads it aloud is not interrupted every second.
function refill(list, facts, made) {
  const text = JSON.stringify(facts);
  if (list.dataset.shown === text) return;
  list.dataset.shown = text;
  list.replaceChildren(...facts.map(made));
}

new Live("events", {
  welcome(welcome) {
    own = welcome.path;
    table.clear();
  },
  status: show,
  state(state) {
    const [tone, text] = STATES[state];
    document.body.dataset.state = state;
    $("connection").dataset.tone = tone;
    put($("connection"), text);
  },
});
