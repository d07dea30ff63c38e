// Small helpers to build and change the page.

export const $ = (selector) => document.querySelector(selector);

/** An element. Attributes that are functions are listeners; children are elements or text, never markup. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

export function svg(tag, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Texts as people read them: bytes and packets a second. */
export function rate(bytes) {
  if (bytes < 1000) return `${bytes} B/s`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(bytes < 1e4 ? 1 : 0)} kB/s`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB/s` : `${(bytes / 1e9).toFixed(1)} GB/s`;
}

export const micros = (value) => (value < 10000 ? `${value.toFixed(0)} µs` : `${(value / 1000).toFixed(1)} ms`);

export const stillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Long outputs get a box that scrolls, which the keyboard can reach. */
export const output = (text, label) => el("pre", { tabindex: "0", "aria-label": label }, text);
