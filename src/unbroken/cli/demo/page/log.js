// What the browser's EventSource delivered, the newest first.

const KEPT = 150;

const part = (name, className, textContent) => Object.assign(document.createElement(name), { className, textContent });

export class Log {
  constructor(list) { this.list = list; }

  word(id, text) { this.add(id, `data: ${text}`); }

  note(tone, text) { this.add("", text).dataset.tone = tone; }

  // Heartbeats in a row share a line.
  heartbeat() {
    const first = this.list.firstElementChild?.querySelector(".beats");
    if (first) first.textContent += "♥";
    else this.add("", "").querySelector(".what").append("heartbeat ", part("span", "beats", "♥"));
  }

  add(id, text) {
    const line = document.createElement("li"), now = new Date();
    const time = part("time", "", now.toTimeString().slice(0, 8));
    line.append(time, part("span", "id", id && `id: ${id}`), part("span", "what", text));
    this.list.prepend(line);
    while (this.list.children.length > KEPT) this.list.lastElementChild.remove();
    return line;
  }
}
