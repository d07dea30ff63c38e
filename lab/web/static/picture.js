// The picture of the cluster: chosen by mouse or keyboard, with the live state on it.

import { $, rate, svg } from "./dom.js";
import { say } from "./words.js";

const PARTS = ".box[data-machine]";
let chosen = () => {};
let boxes = [];
let links = [];
let labels = new Map();
let selected = "";
let zoom = 1;
const traffic = new Map();
const rules = new Map();

/** `open(machine, interface)` is called when somebody chooses a part. */
export function start(open) {
  chosen = open;
  $("#picture").addEventListener("click", (event) => {
    const box = event.target.closest(PARTS);
    if (box) choose(box);
  });
  $("#picture").addEventListener("keydown", keys);
}

/** Draw anew: the cluster has changed, or the language. */
export function draw(text, device) {
  const had = document.activeElement?.closest?.("#picture") ? document.activeElement.id : "";
  const made = document.importNode(new DOMParser().parseFromString(text, "image/svg+xml").documentElement, true);
  made.removeAttribute("role");
  made.setAttribute("role", "group");
  made.removeAttribute("width");
  made.removeAttribute("height");
  $("#picture").replaceChildren(made);
  boxes = [...made.querySelectorAll(PARTS)];
  labels = new Map();
  boxes.forEach((box, number) => {
    box.setAttribute("tabindex", number === 0 ? "0" : "-1");
    box.setAttribute("role", "button");
    box.setAttribute("aria-label", name(box));
  });
  links = [...made.querySelectorAll(".link[data-a]:not(.service, .control)")].map((line) => ({ line, ...places(made, line, device) }));
  size(0);
  mark(selected);
  refresh();
  if (had) document.getElementById(had)?.focus();
}

function name(box) {
  const lines = [...box.querySelectorAll(":scope > text")].map((text) => text.textContent);
  return `${box.dataset.machine} ${lines.join(" ")}`;
}

function choose(box) {
  tab(box);
  chosen(box.dataset.machine, box.dataset.interface || "");
}

/** Show which machine the panels are about. */
export function mark(machine) {
  selected = machine;
  for (const box of boxes) box.classList.toggle("chosen", machine !== "" && box.dataset.machine === machine);
}

export function focus() {
  (boxes.find((box) => box.getAttribute("tabindex") === "0") || boxes[0])?.focus();
}

function tab(box) {
  for (const other of boxes) other.setAttribute("tabindex", other === box ? "0" : "-1");
  box.focus();
}

function keys(event) {
  const box = event.target.closest?.(PARTS);
  if (!box) return;
  if (event.key === "Enter" || event.key === " ") choose(box);
  else if (event.key.startsWith("Arrow")) {
    const next = nearest(box, event.key);
    if (next) tab(next);
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

/** The part that lies next in a direction: near, and not far off the line. */
function nearest(box, key) {
  const from = middle(box);
  const across = key === "ArrowUp" || key === "ArrowDown" ? 0 : 1;
  const sign = key === "ArrowUp" || key === "ArrowLeft" ? -1 : 1;
  let best = null;
  let least = Infinity;
  for (const other of boxes) {
    if (other === box) continue;
    const to = middle(other);
    const ahead = sign * (across ? to.x - from.x : to.y - from.y);
    const aside = Math.abs(across ? to.y - from.y : to.x - from.x);
    const cost = ahead + 3 * aside;
    if (ahead > 2 && cost < least) [best, least] = [other, cost];
  }
  return best;
}

function middle(box) {
  const { x, y, width, height } = box.getBoundingClientRect();
  return { x: x + width / 2, y: y + height / 2 };
}

/** The interfaces whose counters tell what goes over a line. Of a card's traffic, what goes through flannel's device takes the tunnel's lines. */
function places(root, line, device) {
  const ends = ["a", "b"].map((end) => root.querySelector(`#${CSS.escape("g-" + line.dataset[end])}`)).filter(Boolean);
  const cards = ends.filter((box) => box.dataset.interface && !box.dataset.interface.startsWith("("));
  const named = cards.map((box) => `${box.dataset.machine} ${box.dataset.interface}`);
  const card = cards.find((box) => box.classList.contains("card"));
  const through = device && card && `${card.dataset.machine} ${device}`;
  if (line.classList.contains("tunnel") && through) return { places: [through], less: [] };
  return { places: named, less: line.classList.contains("local") && through ? [through] : [] };
}

/** Take in what is new. */
export function state(message) {
  for (const [map, news] of [[traffic, message.traffic], [rules, message.rules]]) {
    for (const [key, value] of Object.entries(news || {})) value === null ? map.delete(key) : map.set(key, value);
  }
  refresh();
}

const bytes = (place) => (traffic.get(place) ? traffic.get(place)[0] + traffic.get(place)[2] : 0);

function refresh() {
  for (const { line, places, less } of links) {
    const most = Math.max(0, ...places.map(bytes)) - Math.max(0, ...less.map(bytes));
    const level = most > 0 ? Math.min(4, Math.floor(Math.log10(most) / 1.5) + 1) : 0;
    if (line.dataset.level !== String(level)) line.dataset.level = level;
  }
  for (const box of boxes) {
    const { machine, interface: card } = box.dataset;
    if (card === "(rules)") label(box, rules.get(machine) ? say("rulesCount", { count: rules.get(machine) }) : "");
    else if (card && !card.startsWith("(")) label(box, bytes(`${machine} ${card}`) ? rate(bytes(`${machine} ${card}`)) : "");
  }
}

/** One label a box, made once and changed from then on. */
function label(box, text) {
  let made = labels.get(box);
  if (!made) {
    if (!text) return;
    const frame = box.querySelector("rect");
    const [x, y, width, height] = ["x", "y", "width", "height"].map((one) => Number(frame.getAttribute(one)));
    const outside = box.classList.contains("card");
    const at = { x: x + width - (outside ? 0 : 7), y: outside ? y - 5 : box.matches('[class*="cell"]') ? y + 13 : y + height - 6, "text-anchor": "end" };
    made = svg("text", { class: "rate", ...at });
    box.append(made);
    labels.set(box, made);
  }
  if (made.textContent !== text) made.textContent = text;
}

/** Larger by 1, smaller by -1. */
export function size(by) {
  zoom = Math.min(3, Math.max(1, zoom + by * 0.25));
  const picture = $("#picture svg");
  if (picture) picture.style.width = picture.style.height = `${zoom * 100}%`;
}

export const canvas = () => $("#picture svg");

/** Names that a packet can go to, for the form. */
export function targets(graph) {
  const services = graph.services.filter((one) => one.cluster_ip && !one.headless);
  return [
    ...services.flatMap((one) => one.ports.map((port) => `${one.namespace === "default" ? one.name : `${one.name}.${one.namespace}`}:${port.port}`)),
    ...graph.pods.filter((pod) => pod.ip).map((pod) => pod.name),
    ...graph.machines.map((one) => one.name),
  ];
}

export const sources = (graph) => [
  ...graph.pods.filter((pod) => pod.ip).map((pod) => pod.name),
  ...graph.machines.map((one) => one.name),
];

/** A pod to send from: one that serves nothing, on a worker if there is one. */
export function likely(graph) {
  const serving = new Set(graph.services.flatMap((one) => one.ports.flatMap((port) => port.backends.map((back) => back.pod))));
  const masters = new Set(graph.machines.filter((one) => one.role === "master").map((one) => one.name));
  const rank = (pod) => serving.has(pod.name) * 2 + masters.has(pod.node);
  return graph.pods.filter((pod) => pod.ip).sort((a, b) => rank(a) - rank(b))[0]?.name;
}
