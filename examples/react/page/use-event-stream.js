// The browser's own EventSource as a hook. It comes back by itself with the last id; this adds what it cannot:
// the place is kept over a refresh, a gap is told, and it comes back after an answer that was no stream.

import { useEffect, useRef, useState } from "react";

const RETRY_MS = 5000;

// `on` has a function for each event type: (data, event) => void; and, if wanted, `gap`: ({reason, missed, …}) => void.
// Returns "connecting", "open", "closed" when the answer was no stream, or "ended" after a topic's last event.
export function useEventStream(url, on) {
  const [state, setState] = useState("connecting");
  const latest = useRef(on);
  latest.current = on; // the newest functions are called, and a new render opens no new stream

  const types = Object.keys(on).filter((type) => type !== "gap").join();
  useEffect(() => open(url, types.split(","), latest, setState), [url, types]);
  return state;
}

function open(url, types, latest, setState) {
  const place = `last id of ${url}`;
  let source, timer;

  const connect = () => {
    source = new EventSource(from(url, sessionStorage.getItem(place)));
    for (const type of types) source.addEventListener(type, take);
    source.addEventListener("stream-gap", (event) => latest.current.gap?.(JSON.parse(event.data)));
    source.addEventListener("stream-end", (event) => JSON.parse(event.data).reason === "completed" && end());
    source.addEventListener("open", () => setState("open"));
    source.addEventListener("error", lost);
  };
  const take = (event) => {
    latest.current[event.type](JSON.parse(event.data), event);
    sessionStorage.setItem(place, event.lastEventId); // after the work: what failed comes again
  };
  const lost = () => {
    const forGood = source.readyState === EventSource.CLOSED; // the answer was no stream: a 403, a 503 of a proxy
    setState(forGood ? "closed" : "connecting");
    if (forGood) timer = setTimeout(connect, RETRY_MS);
  };

  const end = () => {
    source.close();
    setState("ended");
  };

  connect();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}

function from(url, id) {
  const asked = new URL(url, location);
  if (id) asked.searchParams.set("last_event_id", id);
  return asked;
}
