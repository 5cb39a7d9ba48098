// Holds what came over the stream against what was published, which the tabs tell each other past it.

const PATIENCE_MS = 4000; // in which what is published comes, when the stream is open

export class Tally {
  constructor() {
    this.published = new Set();
    this.received = new Set();
    this.missed = 0;
    this.twice = 0;
    this.since = null; // when something began to be missing
  }

  // Keys that were acknowledged by the server.
  add(keys) { keys.forEach((key) => this.published.add(key)); }

  // A card; returns whether it is the first with its key.
  take(key) {
    const first = !this.received.has(key);
    if (!first) this.twice++;
    this.received.add(key);
    return first;
  }

  get ofThese() {
    let count = 0;
    for (const key of this.published) count += this.received.has(key);
    return count;
  }

  // What is neither here nor told of.
  get open() { return this.published.size - this.ofThese - this.missed; }

  // A sentence and its tone. While the stream is broken nothing can be late.
  verdict(connected) {
    if (this.twice) return ["bad", `${this.twice} came twice`];
    if (this.open < 0) return ["bad", "told of more than is missing"];
    if (this.open === 0) return this.settle();
    this.since ??= performance.now();
    if (!connected) this.since = performance.now();
    const late = performance.now() - this.since > PATIENCE_MS;
    return late ? ["bad", `${this.open} lost`] : ["wait", `${this.open} on the way`];
  }

  settle() {
    this.since = null;
    if (this.published.size === 0) return ["ok", "nothing yet"];
    return ["ok", this.missed ? "nothing lost untold" : "nothing lost, nothing twice"];
  }
}
