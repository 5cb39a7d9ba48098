// A thread over three pins (ball, hop, spool), by Verlet integration: it sags, swings, breaks and is tied again.

export const POINTS = 45;
export const HOP = (POINTS - 1) / 2;
const LAST = POINTS - 1;
const GRAVITY = 0.32;
const DAMPING = 0.975;
const SLACK = 1.05;
const ROUNDS = 10;
const SETTLED = 120; // steps
const PULL = 0.16; // of the way to its pin that a loose end is drawn back in each step

const at = (x, y) => ({ x, y, px: x, py: y });

export class Rope {
  constructor() {
    this.points = Array.from({ length: POINTS }, () => at(0, 0));
    this.pins = null;
    this.broken = null; // "ball", "hop" or "spool": where
    this.floor = 0;
    this.stiff = false;
  }

  // Give the places of the pins, as {ball, hop, spool}; at first and after a resize the thread hangs there at once.
  place(pins, floor) {
    this.pins = pins;
    this.floor = floor;
    this.points.forEach((point, i) => Object.assign(point, at(...this.between(i))));
    this.settle();
  }

  // Come to rest at once.
  settle() { for (let i = 0; i < SETTLED; i++) this.step(); }

  between(i) {
    const [from, to, t] = i <= HOP ? [this.pins.ball, this.pins.hop, i / HOP] : [this.pins.hop, this.pins.spool, (i - HOP) / HOP];
    return [from.x + (to.x - from.x) * t, from.y + (to.y - from.y) * t];
  }

  break(where) {
    this.broken = where;
    this.stiff = false;
    const i = where === "ball" ? 0 : where === "hop" ? HOP : LAST;
    for (const near of [i - 1, i, i + 1]) if (this.points[near]) this.points[near].py += 7; // it snaps upwards
  }

  mend() { this.broken = null; }

  // Lift the thread a little around point i.
  lift(i, by) {
    for (let k = -2; k <= 2; k++) {
      const point = this.points[Math.round(i) + k];
      if (point) point.py += by * (1 - Math.abs(k) / 3);
    }
  }

  step() {
    if (this.stiff) return;
    for (const point of this.points) this.fall(point);
    for (let i = 0; i < ROUNDS; i++) this.relax();
  }

  fall(point) {
    const vx = (point.x - point.px) * DAMPING, vy = (point.y - point.py) * DAMPING;
    [point.px, point.py] = [point.x, point.y];
    point.x += vx;
    point.y = Math.min(point.y + vy + GRAVITY, this.floor);
  }

  relax() {
    for (let i = 0; i < LAST; i++) if (!(this.broken === "hop" && i === HOP)) this.link(i);
    if (this.broken !== "ball") this.hold(0, this.pins.ball);
    if (this.broken !== "hop") this.hold(HOP, this.pins.hop);
    if (this.broken !== "spool") this.hold(LAST, this.pins.spool);
  }

  link(i) {
    const a = this.points[i], b = this.points[i + 1];
    const [from, to] = i < HOP ? [this.pins.ball, this.pins.hop] : [this.pins.hop, this.pins.spool];
    const rest = (Math.hypot(to.x - from.x, to.y - from.y) / HOP) * SLACK;
    const dx = b.x - a.x, dy = b.y - a.y, length = Math.hypot(dx, dy) || 1e-6;
    const push = (length - rest) / length / 2;
    a.x += dx * push; a.y += dy * push;
    b.x -= dx * push; b.y -= dy * push;
  }

  hold(i, pin) {
    const point = this.points[i], far = Math.hypot(pin.x - point.x, pin.y - point.y) > 3;
    const pull = far ? PULL : 1;
    point.x += (pin.x - point.x) * pull;
    point.y += (pin.y - point.y) * pull;
  }

  // The place at t, from 0 (ball) to 1 (spool).
  where(t) {
    const i = Math.min(Math.max(t, 0), 1) * LAST, low = Math.min(Math.floor(i), LAST - 1), rest = i - low;
    const a = this.points[low], b = this.points[low + 1];
    return { x: a.x + (b.x - a.x) * rest, y: a.y + (b.y - a.y) * rest };
  }

  // Both halves as smooth paths, left and right of the hop.
  paths() {
    const right = this.broken === "hop" ? HOP + 1 : HOP;
    return [path(this.points.slice(0, HOP + 1)), path(this.points.slice(right))];
  }
}

function path(points) {
  let d = `M${round(points[0].x)} ${round(points[0].y)}`;
  for (let i = 1; i < points.length - 1; i++) {
    const a = points[i], b = points[i + 1];
    d += `Q${round(a.x)} ${round(a.y)} ${round((a.x + b.x) / 2)} ${round((a.y + b.y) / 2)}`;
  }
  const end = points[points.length - 1];
  return `${d}L${round(end.x)} ${round(end.y)}`;
}

const round = (value) => Math.round(value * 10) / 10;
