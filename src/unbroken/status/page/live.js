// The page's own stream, and what it says of itself.

const RETRY_MS = 5000;
const STALE_FRAMES = 5;
const SILENT_FRAMES = 15;

export class Live {
  // `on` has a function for `welcome`, `status`, and for each change of the `state` that the page shows:
  // connecting, live, silent, lost, refused.
  constructor(url, on) {
    this.url = url;
    this.on = on;
    this.intervalMs = 1000;
    setInterval(() => this.watch(), 500);
    this.open();
  }

  open() {
    this.source?.close();
    this.heard();
    const source = this.source = new EventSource(this.url);
    source.addEventListener("welcome", (event) => this.welcome(JSON.parse(event.data)));
    source.addEventListener("status", (event) => this.status(JSON.parse(event.data)));
    source.addEventListener("error", () => { if (source === this.source) this.lost(); });
  }

  welcome(welcome) {
    this.heard();
    this.intervalMs = welcome.interval * 1000;
    this.on.welcome(welcome);
  }

  status(status) {
    this.heard();
    this.state("live");
    this.on.status(status);
  }

  heard() { this.heardAt = performance.now(); }

  state(state) {
    if (state === this.shown) return;
    this.shown = state;
    this.on.state(state);
  }

  lost() {
    this.heard();
    this.state("lost");
    if (this.source.readyState === EventSource.CLOSED) this.ask();
  }

  // An EventSource gives up on every answer that is no stream, and does not tell a refusal from a gateway's 502.
  async ask() {
    const answer = await fetch(this.url, { method: "HEAD", cache: "no-store" }).catch(() => null);
    if (answer?.status === 401 || answer?.status === 403) this.state("refused");
    else setTimeout(() => this.open(), RETRY_MS);
  }

  // A connection may be gone without a word: frames come every second, so their absence shows it.
  watch() {
    if (this.source.readyState !== EventSource.OPEN) return;
    const missed = (performance.now() - this.heardAt) / this.intervalMs;
    if (missed > STALE_FRAMES) this.state("silent");
    if (missed > SILENT_FRAMES) this.open();
  }
}
