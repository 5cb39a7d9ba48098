// The code behind the page, with a mark on each line that the last stream's end went through.

import { wasBroken } from "./ledger.js";

const TOKENS = /("""[^]*?"""|"[^"\n]*")|(#[^\n]*)|\b(async|await|def|return|yield|try|except|finally|with|for|in|as|None)\b|\b(while_connected|EventSourceResponse|heartbeat_event|heartbeat|send_timeout|max_age|dead_peer_timeout|on_close|hub|publish|Retention)\b|\b(\d+(?:\.\d+)?)\b/g;
const CLASSES = [null, "str", "com", "kw", "ours", "num"];

// Each source gets a block of its own; each line of it an element, which can be marked.
export function showCode(root, sources) {
  root.replaceChildren(...sources.map((source) => {
    const block = document.createElement("pre");
    block.tabIndex = 0;
    block.append(...source.trimEnd().split("\n").map(lineOf));
    return block;
  }));
}

function lineOf(text) {
  const line = document.createElement("span");
  line.className = "row";
  line.append(...highlighted(text));
  return line;
}

function highlighted(line) {
  const parts = [];
  let from = 0;
  for (const match of line.matchAll(TOKENS)) {
    const kind = match.findIndex((group, i) => i > 0 && group !== undefined);
    parts.push(line.slice(from, match.index), Object.assign(document.createElement("span"), { className: CLASSES[kind], textContent: match[0] }));
    from = match.index + match[0].length;
  }
  parts.push(line.slice(from));
  return parts;
}

export function markCode(root, row) {
  for (const line of root.querySelectorAll(".row")) {
    const mark = row && !row.open ? markOf(line.textContent, row) : null;
    if (mark) [line.dataset.tone, line.dataset.note] = mark;
    else { delete line.dataset.tone; delete line.dataset.note; }
  }
}

function markOf(line, row) {
  const last = row.saw.at(-1) ?? "";
  if (line.includes("while_connected():") && last.includes("the exit of")) return ["ok", `${last.split(" ")[0]} was raised here, at its exit`];
  if (line.includes("yield word") && last.includes("at a yield")) return ["ok", `${last.split(" ")[0]} was raised here`];
  if (line.includes("async for word") && /^(CancelledError|raised)/.test(row.saw[0] ?? "")) return ["wait", row.saw[0]];
  if (line.includes("except ConnectionResetError") && (row.caught || wasBroken(row))) return row.caught ? ["ok", "caught"] : ["bad", "never reached"];
  if (line.includes("await story.put_away()")) return row.cleanup === "finished" ? ["ok", "ran to its end"] : ["bad", row.cleanup ?? "never reached"];
  if (line.includes("on_close=")) return ["ok", `told: ${row.reason}`];
  return null;
}
