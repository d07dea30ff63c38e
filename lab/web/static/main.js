// The page of a running lab: puts its parts together.

import { get, Refused } from "./api.js";
import { $, el } from "./dom.js";
import { listen } from "./live.js";
import { Machine, Packet, Scenario, tabs, turn } from "./panels.js";
import * as picture from "./picture.js";
import * as terminals from "./terminals.js";
import * as walk from "./walk.js";
import { current, say, setLanguage } from "./words.js";

let about = null;
let graph = null;
let revision = "";
let status = "connecting";
let busy = "";

const packet = new Packet(watch);
const scenario = new Scenario(watch);
const machine = new Machine({ terminal: openTerminal, from: (who) => address({ source: who }), to: (who) => address({ target: who }) });

function openTerminal(who) {
  terminals.open(who);
}

function address(parts) {
  Object.assign(packet, parts);
  turn("packet");
  packet.draw();
  $(parts.source ? "#target" : "#send").focus();
}

async function watch(journey, seen = revision) {
  if (seen !== revision) await loadPicture();
  turn("packet");
  walk.show(journey);
}

// --- what the server tells

async function loadPicture() {
  const said = await get(`/api/picture?lang=${current()}`);
  graph = said.graph;
  revision = said.revision;
  picture.draw(said.svg, graph.device);
  walk.draw();
  packet.cluster(graph);
  subnet();
}

let loading = null;
function told(message) {
  if (message.type === "state" && revision) picture.state(message);
  else if (message.type === "busy") pill(status, message.what);
  else if (message.type === "happens") scenario.happens(message.step).catch(() => {});
  else if (message.type === "steps") scenario.heard(message.statuses).catch(() => {});
  else if (message.type === "graph" && message.revision !== revision && !loading) {
    loading = loadPicture().catch(() => {}).finally(() => (loading = null));
  }
}

function pill(now, what = busy) {
  [status, busy] = [now, what];
  const doing = busy === "trace" ? say("busyTrace") : busy ? say("busyStep", { what: say("stepOf", { what: busy.replace(/^step /, "") }) }) : "";
  const text = status === "live" ? doing || say("live") : say(status);
  $("#pill").className = status === "live" ? (doing ? "busy" : "live") : "bad";
  if ($("#pill").textContent !== text) $("#pill").textContent = text;
}

// --- choosing

const TOPICS = { "(rules)": "rules", "(flanneld)": "log", docker0: "bridge", cni0: "bridge" };

function choose(who, card) {
  picture.mark(who);
  turn("machine");
  machine.who = who;
  subnet();
  machine.show(who, TOPICS[card] || "");
}

function subnet() {
  machine.subnet = graph?.machines.find((one) => one.name === machine.who)?.subnet || "";
}

// --- how it looks

function words() {
  for (const one of document.querySelectorAll("[data-text]")) one.textContent = say(one.dataset.text);
  for (const one of document.querySelectorAll("[data-label]")) {
    one.setAttribute("aria-label", say(one.dataset.label));
    if (one.tagName === "BUTTON") one.title = say(one.dataset.label);
  }
  $("#language").textContent = say("other");
  $("#language").lang = current() === "zh" ? "en" : "zh-CN";
  $("#name").textContent = about.name;
  document.title = `${about.name} · lab`;
  scenario.draw();
  machine.draw();
  packet.draw();
  terminals.draw();
  keysDialog();
  pill(status);
}

function theme(to) {
  document.documentElement.dataset.theme = to;
  document.documentElement.style.colorScheme = to;
}

function large(on) {
  document.documentElement.classList.toggle("large", on);
  $("#text-size").setAttribute("aria-pressed", String(on));
  terminals.resize();
}

function looks() {
  const kept = (key, otherwise) => localStorage.getItem(key) ?? otherwise;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  theme(kept("lab-theme", dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => localStorage.getItem("lab-theme") || theme(dark.matches ? "dark" : "light"));
  large(kept("lab-large", "") === "yes");
  $("#theme").onclick = () => {
    const to = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("lab-theme", to);
    theme(to);
  };
  $("#text-size").onclick = () => {
    const on = !document.documentElement.classList.contains("large");
    localStorage.setItem("lab-large", on ? "yes" : "");
    large(on);
  };
  $("#language").onclick = async () => {
    setLanguage(current() === "zh" ? "en" : "zh");
    localStorage.setItem("lab-language", current());
    words();
    await loadPicture();
  };
  addEventListener("resize", terminals.resize);
  $("#zoom-in").onclick = () => picture.size(1);
  $("#zoom-out").onclick = () => picture.size(-1);
  $("#help").onclick = () => $("#keys").showModal();
}

// --- keys

const PANES = [() => $("#zoom-out").focus(), picture.focus, () => document.querySelector('#tabs [aria-selected="true"]').focus(), terminals.focus];

function nextPane(event) {
  event.preventDefault();
  const at = ["#bar", "#graph", "#side", "#terminals"].findIndex((one) => $(one).contains(document.activeElement));
  const count = terminals.any() ? 4 : 3;
  PANES[(at + (event.shiftKey ? count - 1 : 1) + (at < 0 && event.shiftKey ? 1 : 0)) % count]();
}

function shortcut(event) {
  if (event.key === "F6") return nextPane(event);
  const typing = event.target.closest?.("input, select, textarea, .screen, dialog");
  if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
  const act = {
    g: picture.focus,
    s: () => panel("scenario"), m: () => panel("machine"), p: () => panel("packet"),
    n: () => scenario.run(scenario.next),
    t: () => openTerminal(machine.who || graph?.machines[0]?.name),
    "+": () => picture.size(1), "-": () => picture.size(-1),
    "?": () => $("#keys").showModal(),
    ArrowRight: walk.open() && (() => $("#walk-next").click()),
    ArrowLeft: walk.open() && (() => $("#walk-back").click()),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function panel(name) {
  turn(name);
  const first = $(`#panel-${name}`).querySelector("button:not([disabled]), select, input");
  (first || $(`#tab-${name}`)).focus();
}

function keysDialog() {
  const rows = [["F6", "keyPanes"], ["g", "keyGraph"], ["s m p", "keyPanels"], ["n", "keyStep"], ["t", "keyTerminal"], ["← →", "keyWalk"], ["+ −", "keyZoom"]];
  const table = el("table", {}, rows.map(([keys, text]) => el("tr", {}, el("th", { scope: "row" }, keys.split(" ").map((key) => el("kbd", {}, key))), el("td", {}, say(text)))));
  $("#keys").setAttribute("aria-label", say("help"));
  $("#keys").replaceChildren(table, el("form", { method: "dialog" }, el("button", { class: "primary" }, say("close"))));
}

// --- begin

async function begin() {
  setLanguage(localStorage.getItem("lab-language") || navigator.language.slice(0, 2));
  tabs();
  turn("scenario");
  try {
    about = await get("/api/lab");
  } catch (error) {
    $("#stage").replaceChildren(el("p", { class: "hint", role: "alert" }, error instanceof Refused ? say("newLink") : error.message));
    return;
  }
  setLanguage(localStorage.getItem("lab-language") || about.language);
  busy = about.busy;
  picture.start(choose);
  walk.start((parts) => packet.tell(parts));
  terminals.start();
  looks();
  words();
  document.addEventListener("keydown", shortcut);
  // Before the picture is there: a step that is begun meanwhile keeps the lab to itself, and the picture waits for its end.
  listen(told, (now) => pill(now, now === "live" ? busy : ""));
  loading = loadPicture().finally(() => (loading = null));
  await Promise.all([loading, scenario.load(about.scenario !== "")]);
  turn(about.scenario ? "scenario" : "machine");
  document.documentElement.dataset.ready = "yes";
}

begin();
