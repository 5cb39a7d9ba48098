// This tab's stream: the browser's own EventSource, which comes back by itself with the last id that it saw.

export class Feed {
  // `on` has a function for each thing that may happen: open, card, gap, lost.
  constructor(url, on) {
    this.source = new EventSource(url);
    this.source.addEventListener("open", () => on.open());
    this.source.addEventListener("card", (event) => on.card(JSON.parse(event.data), event.lastEventId));
    this.source.addEventListener("stream-gap", (event) => on.gap(JSON.parse(event.data)));
    this.source.addEventListener("error", () => on.lost());
  }

  get state() { return ["CONNECTING", "OPEN", "CLOSED"][this.source.readyState]; }

  close() { this.source.close(); }
}
