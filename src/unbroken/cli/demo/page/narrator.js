// A sentence or two for each side. What is said of a stream's end is read from the server's row.

import { wasBroken } from "./ledger.js";

const code = (text) => `<code>${text}</code>`;

export function openStory(through) {
  return through === "unbroken"
    ? "Words arrive as events, and in the pauses a heartbeat every second. Now hurt it, and watch both sides."
    : "The same generator in Starlette’s own response: no heartbeat, no deadline, no record. Hurt it in the same ways.";
}

const DEEDS = {
  close: `You closed the ${code("EventSource")}. It stays closed: Reconnect opens a new one.`,
  cut: "The hop reset both sides. I come back in a second, with the last event ID I have.",
  freeze: "The hop reads nothing any more: not from the server, not from me.",
  silence: "The hop takes everything and passes on nothing.",
  raise: "The generator is about to raise.",
  reconnect: `A new ${code("EventSource")}, which asks for what comes after the last event it saw.`,
};

export const deedStory = (deed, through) =>
  through === "starlette" && (deed === "freeze" || deed === "silence")
    ? `${DEEDS[deed]} And without heartbeats I cannot tell that from a pause. I wait.`
    : DEEDS[deed];

const WAITS = {
  freeze: {
    unbroken: "A quarter of a megabyte wants to go out, and the write waits. It has two seconds.",
    starlette: "A quarter of a megabyte wants to go out, and the write waits. It has no deadline.",
  },
  silence: {
    unbroken: `All is well, as far as I can see. My ${code("max_age")} is the last defence against that.`,
    starlette: "All is well, as far as I can see.",
  },
};

export const waitStory = (deed, through) => WAITS[deed]?.[through] ?? "I have heard nothing of it yet.";

export function silenceStory(seconds) {
  return `No heartbeat for ${seconds.toFixed(1)} s. I gave that stream up, and opened a new one.`;
}

export const goodbyeStory = (type, data) => `The server said ${code(type)} ${code(data)}. I come back in a second.`;

export function endStory(row) {
  const how = row.reason ? code(row.reason) : "over, and nobody wrote down why";
  return `Stream #${row.number}, after ${row.age.toFixed(1)} s: ${how}. ${generatorStory(row)} ${cleanupStory(row)}`;
}

function generatorStory(row) {
  if (row.caught) return `Its generator caught ${code(row.saw.at(-1))}.`;
  if (wasBroken(row)) return `Its generator got ${code(row.saw.at(-1) ?? "nothing")}, and its ${code("except ConnectionResetError")} never ran.`;
  return row.reason === "completed" ? "" : "Its generator raised, as you asked.";
}

function cleanupStory(row) {
  if (row.cleanup === "finished") return "Its cleanup ran to the end.";
  return row.cleanup ? `Its cleanup was ${row.cleanup}.` : "Its cleanup has not run.";
}
