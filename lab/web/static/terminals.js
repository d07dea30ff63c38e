// Terminals at the foot of the page: xterm.js, each with a WebSocket of its own.

import { connect } from "./api.js";
import { $, el } from "./dom.js";
import { say } from "./words.js";
import { FitAddon } from "./vendor/addon-fit.mjs";
import { Terminal } from "./vendor/xterm.mjs";

const LINES = 2000;
const PASTE = 8192;
const all = [];
let shown = null;

export function start() {
  new ResizeObserver(() => shown?.fit()).observe($("#screens"));
}

export function open(who) {
  const made = new Shell(who);
  all.push(made);
  $("#terminals").hidden = false;
  show(made);
}

export const any = () => all.length > 0;
export const focus = () => shown?.screen.focus();

export function draw() {
  $("#terminal-tabs").replaceChildren(...all.map((one) => el("span", { class: "tab" },
    el("button", { role: "tab", id: one.id, "aria-selected": String(one === shown), click: () => show(one) }, one.who),
    el("button", { class: "close", "aria-label": say("closeTerminal", { who: one.who }), title: say("close"), click: () => one.close() }, "✕"))));
  for (const one of all) one.place.setAttribute("aria-label", say("terminalOf", { who: one.who }));
}

function show(one) {
  shown = one;
  for (const other of all) other.place.hidden = other !== one;
  draw();
  one?.fit();
  one?.screen.focus();
}

export function resize() {
  for (const one of all) one.screen.options.fontSize = fontSize();
  shown?.fit();
}

const fontSize = () => Math.round(parseFloat(getComputedStyle(document.documentElement).fontSize) * 0.92);

let count = 0;

class Shell {
  constructor(who) {
    this.who = who;
    this.id = `terminal-${++count}`;
    this.place = el("div", { class: "screen", role: "group" });
    $("#screens").append(this.place);
    this.screen = new Terminal({ scrollback: LINES, fontSize: fontSize(), cursorBlink: false, screenReaderMode: true,
      fontFamily: 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace', theme: { background: "#10151b", foreground: "#e4eaf1" } });
    this.fitting = new FitAddon();
    this.screen.loadAddon(this.fitting);
    this.screen.open(this.place);
    // F6 belongs to the page: the only way out of a terminal without a mouse.
    this.screen.attachCustomKeyEventHandler((event) => event.key !== "F6");
    this.socket = connect(`/api/terminal?who=${encodeURIComponent(who)}`);
    this.socket.onopen = () => this.fit();
    this.socket.onmessage = (event) => this.screen.write(new Uint8Array(event.data), () => this.tell({ drawn: event.data.byteLength }));
    this.socket.onclose = (event) => this.screen.write(`\r\n[${event.reason || say("close")}]\r\n`);
    this.screen.onData((text) => {
      for (let begin = 0; begin < text.length; begin += PASTE) this.tell({ input: text.slice(begin, begin + PASTE) });
    });
    this.screen.onResize(({ cols, rows }) => this.tell({ size: [cols, rows] }));
  }

  tell(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  fit() {
    this.fitting.fit();
    this.tell({ size: [this.screen.cols, this.screen.rows] });
  }

  close() {
    this.socket.close();
    this.screen.dispose();
    this.place.remove();
    all.splice(all.indexOf(this), 1);
    $("#terminals").hidden = !all.length;
    show(all.at(-1) || null);
  }
}
