// The panels beside the picture: the scenario's steps, a machine, a packet to send.

import { get, post } from "./api.js";
import { $, el, output } from "./dom.js";
import * as picture from "./picture.js";
import { current, pick, say } from "./words.js";

const MARKS = { passed: "✓", failed: "✗", error: "✗", skipped: "–", ahead: "" };
const NAMES = ["scenario", "machine", "packet"];
const LONG = 60;

/** Tabs after the ARIA pattern: one of them in the tab order, arrows go between them. */
export function tabs() {
  for (const name of NAMES) {
    $(`#tab-${name}`).onclick = () => turn(name);
    $(`#tab-${name}`).onkeydown = (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      const next = NAMES[(NAMES.indexOf(name) + by + NAMES.length) % NAMES.length];
      turn(next);
      $(`#tab-${next}`).focus();
    };
  }
}

export function turn(name) {
  for (const one of NAMES) {
    const on = one === name;
    $(`#tab-${one}`).setAttribute("aria-selected", String(on));
    $(`#tab-${one}`).tabIndex = on ? 0 : -1;
    $(`#panel-${one}`).hidden = !on;
  }
}

const trouble = (error) => el("p", { class: "verdict bad", role: "alert" }, error.message);

// --- the scenario

export class Scenario {
  constructor(watch) {
    this.watch = watch;
    this.steps = [];
    this.results = new Map();
    this.opened = "";
    this.running = "";
    this.going = "";
    this.asking = false;
    this.missed = "";
    this.taken = 0;
    this.error = null;
  }

  async load(has) {
    if (has) this.take(await get("/api/steps"));
    this.draw();
  }

  take(said) {
    this.steps = said.steps;
    this.results = new Map(Object.entries(said.events));
    this.taken += 1;
  }

  /** Another page, or `lab goto` in a terminal, may have run steps. */
  async heard(statuses) {
    if (this.running || this.steps.every((step) => statuses[step.key] === step.status)) return;
    this.take(await get("/api/steps"));
    this.draw();
  }

  /** Something has happened in a step that runs. One question at a time, however much happens. */
  async happens(key) {
    if (this.asking) {
      this.missed = key;
      return;
    }
    this.asking = true;
    const taken = this.taken;
    try {
      const said = await get(`/api/story?step=${encodeURIComponent(key)}`);
      if (taken === this.taken) this.results.set(said.step, said.events);
      else this.missed = this.missed || key; // answers have crossed: ask once more
    } finally {
      this.asking = false;
    }
    if (this.running && this.going !== key) this.opened = key;
    this.going = key;
    this.draw();
    const again = this.missed;
    this.missed = "";
    if (again) await this.happens(again);
  }

  get next() {
    return this.steps.find((step) => step.status === "ahead");
  }

  async run(step, again = false) {
    if (this.running || !step) return;
    this.running = step.key;
    this.opened = step.key;
    this.error = null;
    this.draw();
    try {
      this.take(await post(`/api/step?lang=${current()}`, { step: step.key, again }));
    } catch (error) {
      this.error = error;
    }
    this.running = this.going = "";
    this.draw();
  }

  draw() {
    const panel = $("#panel-scenario");
    const had = panel.contains(document.activeElement) ? document.activeElement.id : "";
    if (!this.steps.length) return panel.replaceChildren(el("p", { class: "hint" }, say("noScenario")));
    const next = this.next;
    const number = next ? `${next.number}/${this.steps.length}` : "";
    const run = el("button", { id: "next-step", class: "primary", disabled: !next || !!this.running, click: () => this.run(next) },
      this.running ? say("busyStep", { what: this.running }) : next ? say("nextStep", { number }) : say("done"));
    const top = el("div", { class: "row" }, run, this.running ? el("span", { class: "spinner", "aria-hidden": "true" }) : null);
    panel.replaceChildren(top, this.error ? trouble(this.error) : "", el("ol", { class: "steps" }, this.steps.map((step) => this.item(step))));
    if (had) document.getElementById(had)?.focus();
    if (had && document.activeElement === document.body) panel.focus();
  }

  item(step) {
    const open = step.key === this.opened;
    const status = this.running === step.key ? "running" : step.status;
    const head = el("button", { class: "head", id: `step-${step.key}`, "aria-expanded": String(open), click: () => this.open(step.key) },
      el("span", { class: "mark", "aria-label": say(status) }, MARKS[status] ?? "…"), el("span", { class: "number" }, step.number), pick(step.title));
    const item = el("li", { class: `step ${status}`, "data-step": step.key, "data-status": status }, head);
    if (open) item.append(this.body(step));
    return item;
  }

  open(key) {
    this.opened = this.opened === key ? "" : key;
    this.draw();
    document.getElementById(`step-${key}`)?.scrollIntoView({ block: "nearest" });
  }

  body(step) {
    const ahead = step.status === "ahead";
    const button = (id, text, again, off) => el("button", { id: `${id}-${step.key}`, disabled: off || !!this.running, click: () => this.run(step, again) }, text);
    const events = this.results.get(step.key) || [];
    return el("div", { class: "body" }, el("p", { class: "why" }, pick(step.why)),
      el("div", { class: "row" }, ahead ? button("goto", say("goto"), false, false) : button("again", say("again"), true, false)),
      events.length ? events.map((event) => this.event(event)) : ahead && !this.running ? el("p", { class: "hint" }, say("noSteps")) : null);
  }

  event(event) {
    if (event.event === "CommandRan") return command(event.prompt, event.command, event.stdout + event.stderr, event.status);
    if (event.event === "CommandRunning") return command(event.prompt, event.command, event.stdout, 0);
    if (event.event === "Noted") return el("p", { class: "note" }, pick(event.text));
    if (event.event === "Shown") return el("figure", {}, el("figcaption", {}, pick(event.title)), output(event.lines.join("\n"), pick(event.title)));
    if (event.event === "Checked") return check(event.verdict);
    if (event.event === "Travelled" && event.walk.stops.length) return el("button", { click: () => this.watch(event.walk) }, say("showJourney"));
    if (event.event === "Evidence") return el("details", {}, el("summary", {}, `${event.where}: ${event.command}`), output(event.stdout + event.stderr, event.command));
    if (event.event === "StepEnded" && event.reason.en) return el("p", { class: "verdict bad" }, pick(event.reason));
    return null;
  }
}

function command(prompt, words, text, status) {
  const lines = text.replace(/\n$/, "").split("\n");
  const short = lines.length > LONG ? [...lines.slice(0, LONG), `… (+${lines.length - LONG})`] : lines;
  return el("div", { class: "command" }, el("code", { class: "typed" }, el("span", { class: "prompt" }, prompt), ` ${words}`),
    text ? output(short.join("\n"), words) : null, status ? el("small", { class: "muted" }, `→ ${status}`) : null);
}

function check(verdict) {
  const good = verdict.ok;
  return el("div", { class: `check ${good ? "good" : "bad"}` }, el("span", { class: "mark" }, good ? "✓" : "✗"), el("span", {}, pick(verdict.name)),
    good ? null : output(verdict.diff.length ? verdict.diff.join("\n") : `- ${verdict.expected}\n+ ${verdict.actual}`, pick(verdict.name)));
}

// --- a machine

export class Machine {
  constructor({ terminal, from, to }) {
    Object.assign(this, { terminal, from, to, who: "", found: null, error: null, asked: 0, subnet: "" });
    this.opened = new Set(["routes"]);
  }

  async show(who, topic = "") {
    if (who !== this.who) [this.who, this.found] = [who, null];
    if (topic) this.opened.add(topic);
    this.error = null;
    const number = ++this.asked;
    this.draw();
    try {
      const found = await get(`/api/details?who=${encodeURIComponent(who)}`);
      if (number === this.asked) this.found = found;
    } catch (error) {
      if (number === this.asked) this.error = error;
    }
    if (number === this.asked) this.draw();
  }

  draw() {
    const panel = $("#panel-machine");
    const had = panel.contains(document.activeElement) ? document.activeElement.id : "";
    if (!this.who) return panel.replaceChildren(el("p", { class: "hint" }, say("machineHint")));
    const who = this.who;
    const button = (id, text, act) => el("button", { id, click: () => act(who) }, text);
    const topics = Object.groupBy ? Object.groupBy(this.found?.sections || [], (one) => one.topic) : grouped(this.found?.sections || []);
    panel.replaceChildren(
      el("h2", {}, who), this.subnet ? el("p", { class: "muted" }, say("lease", { subnet: this.subnet })) : "",
      el("div", { class: "row" }, button("open-terminal", say("terminal"), this.terminal), button("from-here", say("fromHere"), this.from),
        button("to-here", say("toHere"), this.to), button("look-again", say("refresh"), () => this.show(who))),
      this.error ? trouble(this.error) : this.found ? "" : el("p", { class: "hint" }, say("loading")),
      ...Object.entries(topics).map(([topic, sections]) => this.topic(topic, sections)),
    );
    if (had) document.getElementById(had)?.focus();
  }

  topic(topic, sections) {
    const title = say(topic === "rules" ? "rulesTable" : topic);
    const made = el("details", { class: "topic", open: this.opened.has(topic), toggle: () => (made.open ? this.opened.add(topic) : this.opened.delete(topic)) },
      el("summary", { id: `topic-${topic}` }, title),
      sections.map((one) => [el("code", { class: "typed" }, one.command), output(one.output, `${title}: ${one.command}`)]));
    return made;
  }
}

function grouped(sections) {
  const found = {};
  for (const one of sections) (found[one.topic] ||= []).push(one);
  return found;
}

// --- a packet

export class Packet {
  constructor(watch) {
    Object.assign(this, { watch, graph: null, source: "", target: "", protocol: "", sending: false, error: null, told: null });
  }

  /** The cluster is another: keep what was chosen as far as it is still there. */
  cluster(graph) {
    this.graph = graph;
    const sources = picture.sources(graph);
    const targets = picture.targets(graph);
    if (!sources.includes(this.source)) this.source = picture.likely(graph) || sources[0] || "";
    this.target ||= targets.find((name) => !/^kube/.test(name)) || targets[0] || "";
    // Whoever is filling in the form goes on undisturbed; only what it offers is renewed.
    if ($("#panel-packet form")?.contains(document.activeElement)) $("#targets").replaceChildren(...targets.map((one) => el("option", { value: one })));
    else this.draw();
  }

  draw() {
    if (!this.graph) return;
    const panel = $("#panel-packet");
    const had = panel.contains(document.activeElement) ? document.activeElement.id : "";
    const option = (value, text = value) => el("option", { value, selected: value === this.source || value === this.protocol }, text);
    const form = el("form", { class: "form", submit: (event) => this.submit(event) },
      el("label", { for: "source" }, say("source")), el("select", { id: "source", change: (event) => (this.source = event.target.value) }, picture.sources(this.graph).map((one) => option(one))),
      el("label", { for: "target" }, say("target")), el("input", { id: "target", list: "targets", value: this.target, required: true, autocomplete: "off", spellcheck: "false", maxlength: "253", input: (event) => (this.target = event.target.value) }),
      el("datalist", { id: "targets" }, picture.targets(this.graph).map((one) => el("option", { value: one }))),
      el("label", { for: "protocol" }, say("protocol")),
      el("div", { class: "row" }, el("select", { id: "protocol", change: (event) => (this.protocol = event.target.value) }, option("", say("auto")), option("tcp", "TCP"), option("udp", "UDP"), option("icmp", "ICMP")),
        el("button", { id: "send", class: "primary", disabled: this.sending }, say(this.sending ? "sending" : "send"))));
    panel.replaceChildren(form, this.error ? trouble(this.error) : "", el("div", { id: "told" }, this.told || ""));
    if (had) document.getElementById(had)?.focus();
  }

  /** What is known of the packet where it is now. */
  tell(parts) {
    this.told = parts;
    $("#told")?.replaceChildren(...(parts || []));
  }

  async submit(event) {
    event.preventDefault();
    if (this.sending) return;
    Object.assign(this, { sending: true, error: null, told: null });
    this.draw();
    try {
      const said = await post(`/api/trace?lang=${current()}`, { source: this.source, target: this.target, protocol: this.protocol || null });
      this.sending = false;
      this.draw();
      await this.watch(said.walk, said.revision);
    } catch (error) {
      Object.assign(this, { sending: false, error });
      this.draw();
    }
  }
}
