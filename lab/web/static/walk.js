// A packet's journey in the picture, a place at a time, and what is known of the packet there.

import { $, el, micros, stillness, svg } from "./dom.js";
import { canvas } from "./picture.js";
import { pick, say } from "./words.js";

const STEP = 550;
const PLAY = 1400;
let walk = null;
let at = 0;
let timer = 0;
let shown = () => {};
let parts = null;

/** `told(element)` is called with what to show beside the picture. */
export function start(told) {
  shown = told;
  $("#walk-first").onclick = () => go(0);
  $("#walk-back").onclick = () => go(at - 1);
  $("#walk-next").onclick = () => go(at + 1);
  $("#walk-play").onclick = () => (timer ? pause() : play());
  $("#walk-close").onclick = () => close();
}

export const open = () => walk !== null;

export function show(journey) {
  pause();
  walk = journey;
  at = 0;
  $("#transport").hidden = false;
  draw();
  $("#walk-next").focus();
}

export function close() {
  pause();
  walk = null;
  parts?.remove();
  parts = null;
  $("#transport").hidden = true;
  shown(null);
}

function play() {
  if (at >= walk.stops.length - 1) go(0);
  $("#walk-play").setAttribute("aria-pressed", "true");
  timer = setInterval(() => (at < walk.stops.length - 1 ? go(at + 1, true) : pause()), PLAY);
}

function pause() {
  clearInterval(timer);
  timer = 0;
  $("#walk-play").setAttribute("aria-pressed", "false");
}

export function go(to, playing = false) {
  if (!walk || to < 0 || to >= walk.stops.length) return;
  if (!playing) pause();
  const forward = to === at + 1;
  at = to;
  place(forward);
}

const listed = (points) => points.map(([x, y]) => `${x},${y}`).join(" ");

/** After the picture has been drawn anew, or the journey is another. */
export function draw() {
  if (!walk) return;
  parts?.remove();
  parts = svg("g", { class: "walk" });
  parts.append(svg("g", { class: "trails" }), svg("g", { class: "traveller" }));
  canvas()?.append(parts);
  if (walk.stops.length) place(false);
  else shown(panel(null));
}

function place(forward) {
  const stop = walk.stops[at];
  const legs = [...new Set(walk.stops.map((one) => one.leg))];
  const trails = legs.flatMap((leg) => {
    const points = walk.stops.filter((one) => one.leg === leg).flatMap((one) => one.way);
    const gone = walk.stops.slice(0, at + 1).filter((one) => one.leg === leg).flatMap((one) => one.way);
    return [svg("polyline", { class: `trail ${leg}`, points: listed(points) }), svg("polyline", { class: `trail gone ${leg}`, points: listed(gone) })];
  });
  parts.firstChild.replaceChildren(...trails);
  const dot = svg("circle", { class: "dot", r: 8 });
  const ring = stop.layers.length > 1 ? [svg("circle", { class: "wrap", r: 13 })] : [];
  parts.lastChild.replaceChildren(...ring, dot);
  parts.lastChild.setAttribute("class", `traveller ${stop.leg}${lostHere() ? " lost" : ""}`);
  move(forward ? stop.way : [stop.point]);
  $("#walk-place").textContent = `${at + 1}/${walk.stops.length}  ${say(stop.leg === "error" ? "errorLeg" : stop.leg)}  ${stop.machine} ${stop.interface}, ${say(stop.direction)}`;
  $("#walk-back").disabled = $("#walk-first").disabled = at === 0;
  $("#walk-next").disabled = at === walk.stops.length - 1;
  shown(panel(stop));
}

const lostHere = () => walk.loss && at === walk.stops.length - 1;

function move(way) {
  const frames = way.map(([x, y]) => ({ transform: `translate(${x}px,${y}px)` }));
  parts.lastChild.getAnimations().forEach((one) => one.cancel());
  parts.lastChild.style.transform = frames.at(-1).transform;
  if (frames.length < 2 || stillness()) return;
  const lengths = way.map(([x, y], number) => (number ? Math.hypot(x - way[number - 1][0], y - way[number - 1][1]) : 0));
  const whole = lengths.reduce((sum, one) => sum + one, 0) || 1;
  let gone = 0;
  frames.forEach((frame, number) => {
    gone += lengths[number];
    frame.offset = gone / whole;
  });
  parts.lastChild.animate(frames, { duration: STEP, easing: "ease-in-out" });
}

/** What is known of the packet at this place. */
function panel(stop) {
  const end = walk.loss
    ? el("p", { class: "verdict bad" }, el("strong", {}, "✗ "), pick(walk.loss.text))
    : el("p", { class: "verdict good" }, el("strong", {}, "✓ "), say("reply", { outcome: walk.outcome, time: micros(walk.microseconds) }));
  if (!stop) return [end];
  const hops = stop.hops;
  const rules = hops.flatMap((hop) => hop.rules);
  const changes = hops.flatMap((hop) => hop.changes);
  const routes = hops.map((hop) => hop.route).filter(Boolean);
  const untraced = walk.untraced[stop.machine];
  return [
    end,
    el("h3", { class: "where" }, `${at + 1}. ${stop.machine} ${stop.interface}`, el("small", {}, `${say(stop.direction)} · ${micros(stop.microseconds)}`)),
    changes.length ? el("section", {}, el("h4", {}, say("changes")), el("ul", { class: "changes" }, changes.map(change))) : null,
    el("section", {}, el("h4", {}, say("headers")), layers(hops.findLast((hop) => hop.layers.length)?.layers || [])),
    rules.length ? el("section", {}, el("h4", {}, say("rules")), el("ol", { class: "rules" }, rules.map(rule))) : null,
    untraced ? el("p", { class: "muted" }, say("untraced", { who: stop.machine, why: untraced })) : null,
    routes.length ? el("section", {}, el("h4", {}, say("route")), routes.map((one) => el("code", { class: "line" }, one))) : null,
  ].filter(Boolean);
}

const change = (one) =>
  el("li", {}, el("b", {}, say(one.kind)), " ", el("code", {}, `${one.before} → ${one.after}`), one.name ? el("small", {}, ` ${one.name}`) : null);

const rule = (one) =>
  el("li", {}, el("div", {}, el("b", {}, `${one.table} ${one.chain}`), " → ", el("b", { class: /drop|reject/i.test(one.verdict) ? "bad" : "accent" }, one.verdict.replace("jump ", "")), one.about ? el("small", {}, ` ${one.about}`) : null),
    one.rule ? el("code", { class: "line" }, one.rule) : null, one.meaning ? el("p", {}, pick(one.meaning)) : null);

/** Layers as boxes, each inside of the one that wraps it. */
function layers(all) {
  return all.reduceRight((inner, layer, depth) => el("div", { class: `layer ${depth < all.length - 1 ? "outer" : ""}` }, fields(layer), inner), null) || "";
}

function fields(layer) {
  const ports = layer.tcp || layer.udp || {};
  const named = (address, port) => {
    const name = walk.names[address] || walk.names[`${address}:${port}`];
    return name ? `${address} (${name})` : address;
  };
  const rows = [];
  if (layer.ethernet) rows.push(["Ethernet", `${layer.ethernet.source} → ${layer.ethernet.destination}`]);
  if (layer.ip) {
    rows.push(["IP", `${named(layer.ip.source, ports.source)} → ${named(layer.ip.destination, ports.destination)}`]);
    rows.push(["", `ttl ${layer.ip.ttl} · ${layer.ip.bytes} B · id ${layer.ip.identification}${layer.ip.dontFragment ? " · DF" : ""}${layer.ip.fragmentOffset || layer.ip.moreFragments ? ` · +${layer.ip.fragmentOffset}` : ""}`]);
  }
  if (layer.tcp) rows.push(["TCP", `${layer.tcp.source} → ${layer.tcp.destination}  ${layer.tcp.flags.join(" ")}`]);
  if (layer.udp) rows.push(["UDP", `${layer.udp.source} → ${layer.udp.destination} · ${layer.udp.bytes} B`]);
  if (layer.icmp) rows.push(["ICMP", `type ${layer.icmp.type} code ${layer.icmp.code}`]);
  if (layer.vxlan) rows.push(["VXLAN", `vni ${layer.vxlan.vni}`]);
  if (!rows.length) rows.push(["", layer.text]);
  return el("dl", {}, rows.map(([term, text]) => [el("dt", {}, term), el("dd", {}, text)]));
}
