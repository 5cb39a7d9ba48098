// The drawing: a ball of yarn (the browser), an imp (the hop), a clerk on a spool (the server), and the thread.

import { POINTS, Rope } from "./rope.js";

const SVG = "http://www.w3.org/2000/svg";
const TRAVEL_MS = 750;
const KNOTS = 7;
const BREAK_MS = 700;
const SLIP_MS = 8000;
const HEART = "M0 7C-6 2-9-1-9-4.5-9-7-7-9-4.6-9-2.8-9-.9-8 0-6.5.9-8 2.8-9 4.6-9 7-9 9-7 9-4.5 9-1 6 2 0 7z";
const STEP_MS = 1000 / 60;

const $ = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Stage {
  constructor() {
    this.root = $("stage");
    this.rope = new Rope();
    this.travellers = new Set();
    this.knots = [];
    this.turned = 0;
    this.sentence = [];
    this.left = 0;
    this.tiedAt = 0;
    new ResizeObserver(() => this.layOut()).observe(this.root);
    this.layOut();
    requestAnimationFrame((now) => this.frame(now, now));
  }

  // Set any of mood, hop, clerk, through.
  show(states) {
    Object.assign(this.root.dataset, states);
    this.rope.stiff = this.root.dataset.hop === "frozen";
  }

  layOut() {
    const width = this.root.clientWidth, height = this.root.clientHeight;
    const scale = Math.min(1.2, Math.max(0.78, width / 900));
    const side = width < 620 ? 0.16 : 0.13, y = height - 62 - 52 * scale;
    const xs = { ball: width * side, hop: width / 2, spool: width * (1 - side) };
    $("ball").setAttribute("transform", `translate(${xs.ball} ${y}) scale(${scale})`);
    $("spool").setAttribute("transform", `translate(${xs.spool} ${y}) scale(${scale})`);
    for (const id of ["imp", "hop"]) $(id).setAttribute("transform", `translate(${xs.hop} ${y - 40 * scale}) scale(${scale})`);
    [...this.root.querySelectorAll(".ends li")].forEach((end, i) => { end.style.left = `${Object.values(xs)[i]}px`; });
    const pins = {
      ball: { x: xs.ball + 38 * scale, y: y - 10 * scale },
      hop: { x: xs.hop, y: y - 40 * scale },
      spool: { x: xs.spool - 30 * scale, y: y - 12 * scale },
    };
    this.rope.place(pins, y + 46 * scale);
    this.draw();
  }

  // A word goes from the server to the browser.
  word(text) { this.travel(label(text), 1, 0, () => this.hear(text)); }

  heartbeat() {
    this.wave = POINTS - 1;
    this.travel(heart(), 1, 0, () => {});
  }

  // Something left the server that the browser never got.
  swallow(kind) {
    const node = kind === "heartbeat" ? heart() : label("?");
    this.travel(node, 1, 0.5, () => this.eat(node));
  }

  eat(node) {
    if (calm.matches || this.rope.broken) return;
    const { x, y } = this.rope.where(0.5);
    $("travellers").append(node);
    const fall = node.animate(
      [{ transform: `translate(${x}px, ${y}px)` }, { transform: `translate(${x}px, ${y + 66}px) scale(.15)` }],
      { duration: 320, easing: "ease-in" },
    );
    fall.onfinish = () => node.remove();
  }

  break(where) {
    clearTimeout(this.mendTimer);
    if (this.rope.broken) return;
    this.rope.break(where);
    if (calm.matches) this.rope.settle();
    this.brokenAt = performance.now();
    this.hurry();
    this.knotAt = where === "ball" ? 0.06 : where === "hop" ? 0.44 : 0.9;
  }

  // What is still drawn on its way has long been received.
  hurry() {
    for (const { node, arrived } of this.travellers) {
      node.remove();
      arrived();
    }
    this.travellers.clear();
  }

  // Tie the ends together again, and say whether they were apart. A break is shown for long enough to be seen.
  mend() {
    if (!this.rope.broken) {
      this.show({ mood: "happy" });
      return false;
    }
    const now = performance.now();
    this.tiedAt = Math.max(now, this.brokenAt + BREAK_MS);
    this.mendTimer = setTimeout(() => this.tie(), this.tiedAt - now);
    return true;
  }

  // The knot stays, and wanders to the ball with the thread that is wound up.
  tie() {
    this.show({ mood: "happy" });
    this.rope.mend();
    if (calm.matches) this.rope.settle();
    const node = element("g", { class: "knot" });
    node.append(element("path", { d: "M-3 -3l-7 -7M4 -3l7 -8", fill: "none" }), element("circle", { r: 6.5 }), element("path", { d: "M-4 -3q4 3 8 6", fill: "none" }));
    $("knots").append(node);
    this.knots.push({ t: this.knotAt, node });
    if (this.knots.length > KNOTS) this.knots.shift().node.remove();
  }

  hear(word) {
    if (this.finished) this.sentence = [];
    this.finished = word.endsWith(".");
    this.sentence.push(word);
    this.say(this.sentence.join(" "));
    this.turned += 7;
    for (const knot of this.knots) knot.t -= 0.006;
    replay(this.root.querySelector(".ball-body"), "gulp");
  }

  say(text, aside = false) {
    const bubble = $("bubble");
    bubble.textContent = text;
    bubble.classList.toggle("aside", aside);
    bubble.classList.toggle("shown", text !== "");
  }

  // The server's slip of paper, which it takes back after a while.
  slip(title, line, tone) {
    const slip = $("slip");
    slip.classList.add("shown");
    clearTimeout(this.slipTimer);
    this.slipTimer = setTimeout(() => slip.classList.remove("shown"), SLIP_MS);
    slip.dataset.tone = tone;
    slip.replaceChildren(Object.assign(document.createElement("b"), { textContent: title }), line);
  }

  travel(node, from, to, arrived) {
    if (calm.matches || document.hidden) return arrived();
    this.travellers.add({ node, from, to, arrived, start: Math.max(performance.now(), this.tiedAt) });
  }

  frame(now, before) {
    this.left = calm.matches ? 0 : Math.min(this.left + now - before, 5 * STEP_MS);
    for (; this.left >= STEP_MS; this.left -= STEP_MS) this.step();
    this.move(now);
    this.draw();
    requestAnimationFrame((next) => this.frame(next, now));
  }

  step() {
    if (this.wave > 0) {
      this.rope.lift(this.wave, 0.9);
      this.wave -= (POINTS - 1) / (TRAVEL_MS / STEP_MS);
    }
    this.rope.step();
  }

  move(now) {
    for (const traveller of this.travellers) {
      const done = (now - traveller.start) / TRAVEL_MS;
      if (done < 0) continue;
      if (!traveller.node.isConnected) $("travellers").append(traveller.node);
      const { x, y } = this.rope.where(traveller.from + (traveller.to - traveller.from) * Math.min(done, 1));
      traveller.node.setAttribute("transform", `translate(${x} ${y})`);
      if (done < 1) continue;
      this.travellers.delete(traveller);
      traveller.node.remove();
      traveller.arrived();
    }
  }

  draw() {
    const [left, right] = this.rope.paths();
    for (const id of ["thread-left", "twist-left", "shadow-left"]) $(id).setAttribute("d", left);
    for (const id of ["thread-right", "twist-right", "shadow-right"]) $(id).setAttribute("d", right);
    $("strands").setAttribute("transform", `rotate(${this.turned % 360})`);
    this.knots = this.knots.filter((knot) => knot.t > 0.02 || knot.node.remove());
    for (const { t, node } of this.knots) {
      const { x, y } = this.rope.where(t);
      node.setAttribute("transform", `translate(${x} ${y})`);
    }
  }
}

function element(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function label(text) {
  const node = element("g", { class: "traveller" }), word = element("text", { y: -13 });
  word.textContent = text;
  node.append(element("circle", { r: 5.5 }), word);
  return node;
}

function heart() {
  const node = element("g", { class: "traveller" });
  node.append(element("path", { class: "beat", d: HEART }));
  return node;
}

// Start a CSS animation again, also while it runs.
export function replay(node, name) {
  node.classList.remove(name);
  node.getBoundingClientRect();
  node.classList.add(name);
}
