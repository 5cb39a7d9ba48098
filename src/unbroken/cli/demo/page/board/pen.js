// Writing a card: asked again with the same key until the server says that it has it, so that it is published once.

const ANSWER_MS = 5000;
const PAUSE_MS = 300;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export class Pen {
  constructor(server, letter) {
    this.url = `http://127.0.0.1:${server}/cards`;
    this.letter = letter;
    this.writing = Promise.resolve();
  }

  // Publish a card after those that are under way; return its key once it is acknowledged.
  write(text) {
    const card = { key: crypto.randomUUID(), by: this.letter, text, at: Date.now() };
    this.writing = this.writing.then(() => this.send(card));
    return this.writing;
  }

  async send(card) {
    while (!(await this.ask(card))) await pause(PAUSE_MS);
    return card.key;
  }

  // Say whether the server has it. Where no answer came it may have it, or not: the key makes that the same.
  async ask(card) {
    try {
      const url = `${this.url}?key=${card.key}`;
      const answer = await fetch(url, { method: "POST", body: JSON.stringify(card), signal: AbortSignal.timeout(ANSWER_MS) });
      return answer.ok;
    } catch {
      return false;
    }
  }
}
