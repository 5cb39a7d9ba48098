// How figures are written.

export const REASONS = [
  "completed", "client_closed", "max_age", "shutdown", "revoked", "limit", "send_timeout", "write_failed", "producer_error",
];
export const FAULTS = ["send_timeout", "write_failed", "producer_error"];

export const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);
export const count = (number) => number.toLocaleString("en");

export function bytes(number) {
  if (number < 1000) return `${number} B`;
  const power = Math.min(3, Math.floor(Math.log10(number) / 3));
  return `${(number / 1000 ** power).toFixed(1)} ${["", "kB", "MB", "GB"][power]}`;
}

export function seconds(number) {
  const whole = Math.floor(number);
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (number < 10) return `${number.toFixed(1)} s`;
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${minutes} min ${whole % 60} s`;
  return days ? `${days} d ${hours} h` : `${hours} h ${minutes} min`;
}

const round = (number) => (number < 60 ? [number, "s"] : number < 3600 ? [number / 60, "min"] : [number / 3600, "h"]);

export function range(from, to) {
  const [least, unit] = round(from);
  if (to === null) return `${least} ${unit} and more`;
  const [most, last] = round(to);
  if (from === 0) return `under ${most} ${last}`;
  return unit === last ? `${least}–${most} ${unit}` : `${least} ${unit}–${most} ${last}`;
}

export const clock = (at, precise) =>
  new Date(at * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: precise && "2-digit" });

// Every text of a client goes in by here: as text, never as markup.
export function node(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export function put(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}
