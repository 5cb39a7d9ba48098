// The page's stream: the browser's own EventSource, and a watchdog that only heartbeats make possible.

const MISSED_MS = 3300; // three heartbeats of a second each

export class Stream {
  // `on` has a function for each thing that may happen: connecting, open, number, word, heartbeat, ended, lost, silent.
  constructor(on) {
    this.on = on;
    this.lastId = 0;
    this.source = null;
    setInterval(() => this.watch(), 200);
  }

  get state() { return this.source ? ["CONNECTING", "OPEN", "CLOSED"][this.source.readyState] : "CLOSED"; }

  // Open a new EventSource at `url`. It says itself where it stopped, when it reconnects; a new one must be told.
  open(url, watched) {
    this.close();
    this.watched = watched;
    this.heard();
    if (this.lastId) url.searchParams.set("after", this.lastId);
    this.source = new EventSource(url);
    this.listen(this.source);
    this.on.connecting();
  }

  close() {
    this.source?.close();
    this.source = null;
  }

  listen(source) {
    const when = (type, react) => source.addEventListener(type, (event) => {
      if (source !== this.source) return;
      this.heard();
      react(event);
    });
    when("open", () => this.on.open());
    when("number", (event) => this.on.number(Number(event.data)));
    when("message", (event) => {
      this.lastId = Number(event.lastEventId);
      this.on.word(event.data, event.lastEventId);
    });
    when("heartbeat", () => this.on.heartbeat());
    when("stream-error", (event) => this.on.ended("stream-error", event.data));
    when("stream-end", (event) => this.on.ended("stream-end", event.data));
    when("error", () => this.on.lost(source.readyState === EventSource.CLOSED));
  }

  heard() { this.heardAt = performance.now(); }

  watch() {
    if (!this.watched || this.state !== "OPEN") return;
    const quiet = performance.now() - this.heardAt;
    if (quiet > MISSED_MS) this.on.silent(quiet / 1000);
  }
}
