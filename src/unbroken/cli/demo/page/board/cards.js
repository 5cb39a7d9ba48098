// What came, the newest first.

const KEPT = 200;

const part = (className, textContent) => Object.assign(document.createElement("span"), { className, textContent });

export const hueOf = (letter) => (14 + (letter.charCodeAt(0) - 65) * 137) % 360;

export class Cards {
  constructor(list) {
    this.list = list;
    this.add("empty").textContent = "No card yet. Post one.";
  }

  // `how` is a pair of tone and text: how it came.
  card(card, id, [tone, how]) {
    this.list.querySelector(".empty")?.remove();
    const who = part("who", card.by), came = part("how", how);
    who.style.setProperty("--hue", hueOf(card.by));
    if (tone) came.dataset.tone = tone;
    this.add("").append(who, part("text", card.text), came, part("id", `id: ${id}`));
  }

  note(tone, text) { Object.assign(this.add("note"), { textContent: text }).dataset.tone = tone; }

  gap(gap) {
    const line = this.add("gap");
    line.dataset.tone = "wait";
    line.append(gapText(gap), Object.assign(document.createElement("code"), { textContent: `stream-gap: ${gap.reason}, missed ${gap.missed}` }));
  }

  add(className) {
    const line = Object.assign(document.createElement("li"), { className });
    this.list.prepend(line);
    while (this.list.children.length > KEPT) this.list.lastElementChild.remove();
    return line;
  }
}

function gapText(gap) {
  if (gap.missed === null) return "You missed messages; nobody can say how many.";
  return `You missed ${gap.missed} ${gap.missed === 1 ? "message" : "messages"}: the board had dropped them before this tab was back.`;
}
