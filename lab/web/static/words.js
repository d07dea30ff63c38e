// Every text of the page, in both languages.

const TEXTS = {
  again: ["Run again", "重新运行"],
  ahead: ["not run yet", "尚未运行"],
  all: ["Run all the rest", "运行剩余全部步骤"],
  auto: ["automatic", "自动"],
  back: ["back", "返回"],
  busyStep: ["running {what}…", "正在运行 {what}…"],
  busyTrace: ["following a packet…", "正在跟踪数据包…"],
  changes: ["Changed since the place before", "与上一处相比的变化"],
  close: ["Close", "关闭"],
  closeTerminal: ["Close the terminal of {who}", "关闭 {who} 的终端"],
  connecting: ["connecting…", "正在连接…"],
  done: ["all steps are done", "全部步骤已完成"],
  ended: ["the lab has ended", "实验环境已结束"],
  error: ["error", "出错"],
  errorLeg: ["error message", "错误消息"],
  evidence: ["What the machines looked like", "当时各机器的状态"],
  failed: ["failed", "未通过"],
  first: ["To the beginning of the journey", "回到旅程起点"],
  fromHere: ["Send a packet from here", "从这里发送数据包"],
  goto: ["Run to here", "运行到这一步"],
  graph: ["The cluster; arrow keys go from one part to the next, Enter opens it", "集群；方向键移动，回车键打开"],
  headers: ["Headers, from the outside in", "数据包头，由外到内"],
  help: ["Keys (?)", "按键 (?)"],
  in: ["comes in", "进入"],
  journey: ["Journey of the packet", "数据包的旅程"],
  largeText: ["Large text for a projector", "投影用大字"],
  lease: ["subnet {subnet}", "子网 {subnet}"],
  live: ["live", "实时"],
  loading: ["asking the machine…", "正在查询…"],
  lost: ["lost the server; trying again…", "与服务器失去连接，正在重试…"],
  machine: ["Machine", "机器"],
  machineHint: ["Choose a part of the picture to see its routes, rules, tables and logs.", "在图中选择一个部分，查看它的路由、规则、表和日志。"],
  newLink: ["This browser has no session. `lab web` prints a new link.", "此浏览器没有会话。运行 `lab web` 可打印新的链接。"],
  next: ["Next place (→)", "下一处 (→)"],
  nextStep: ["Run next step: {number}", "运行下一步：{number}"],
  noScenario: ["This lab was not made from a scenario. `lab up SCENARIO --web` boots one that has steps.", "此实验环境不是由场景创建的。`lab up SCENARIO --web` 会启动带步骤的场景。"],
  noSteps: ["Output appears here when the step has run.", "步骤运行后，输出显示在这里。"],
  other: ["中文", "English"],
  out: ["goes out", "离开"],
  packet: ["Packet", "数据包"],
  panels: ["Panels", "面板"],
  passed: ["passed", "通过"],
  play: ["Play the journey", "播放旅程"],
  port: ["Port", "端口"],
  previous: ["Previous place (←)", "上一处 (←)"],
  protocol: ["Protocol", "协议"],
  refresh: ["Look again", "重新查询"],
  reply: ["Answered: {outcome}, {time}", "已得到回复：{outcome}，{time}"],
  route: ["Where this machine sends it", "本机决定发往何处"],
  rules: ["Rules that it hits here", "在这里命中的规则"],
  rulesCount: ["{count} rules", "{count} 条规则"],
  scenario: ["Scenario", "场景"],
  send: ["Send", "发送"],
  sending: ["sending…", "正在发送…"],
  showJourney: ["Watch this journey in the picture", "在图中观看此旅程"],
  skipped: ["skipped", "已跳过"],
  source: ["From", "源"],
  stepOf: ["step {what}", "步骤 {what}"],
  target: ["To", "目标"],
  terminal: ["Terminal", "终端"],
  terminalOf: ["Terminal of {who}; F6 leaves it", "{who} 的终端；按 F6 离开"],
  terminals: ["Terminals", "终端"],
  theme: ["Light or dark", "浅色或深色"],
  there: ["there", "去程"],
  toHere: ["Send a packet to here", "向这里发送数据包"],
  tools: ["View", "视图"],
  untraced: ["Rules of {who} are not known: {why}", "{who} 的规则未知：{why}"],
  zoomIn: ["Larger picture", "放大图形"],
  zoomOut: ["Smaller picture", "缩小图形"],

  addresses: ["Addresses", "地址"], routes: ["Routes", "路由"], neighbours: ["ARP table", "ARP 表"], rulesTable: ["Rules", "规则"],
  bridge: ["Bridge", "网桥"], leases: ["Leases", "租约"], connections: ["Connections", "连接"], log: ["Log", "日志"],

  dnat: ["destination translated", "目的地址转换"], snat: ["source translated", "源地址转换"], masquerade: ["masqueraded", "伪装源地址"],
  "un-dnat": ["translation undone", "还原目的地址转换"], "un-snat": ["translation undone", "还原源地址转换"],
  ttl: ["TTL", "TTL"], "outer-ttl": ["outer TTL", "外层 TTL"], encapsulation: ["wrapped", "封装"], decapsulation: ["unwrapped", "解封装"],
  fragmentation: ["fragmented", "分片"], reassembly: ["put together", "重组"],

  keyPanes: ["from one part of the page to the next, also out of a terminal", "在页面各部分之间移动，也可离开终端"],
  keyGraph: ["to the picture; arrow keys move in it, Enter opens", "到图形；方向键移动，回车键打开"],
  keyPanels: ["scenario, machine, packet", "场景、机器、数据包"],
  keyStep: ["run the scenario's next step", "运行场景的下一步"],
  keyTerminal: ["a terminal in the chosen machine", "在所选机器中打开终端"],
  keyWalk: ["a packet's next and previous place", "数据包的下一处和上一处"],
  keyZoom: ["size of the picture", "图形大小"],
};

let language = "en";

export function setLanguage(to) {
  language = to === "zh" ? "zh" : "en";
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
}

export const current = () => language;

/** A text of the page; {names} in it are filled in. */
export function say(key, values = {}) {
  const text = (TEXTS[key] || [key, key])[language === "zh" ? 1 : 0];
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** The lab's own texts come in both languages. */
export const pick = (text) => (text ? text[language] || text.en || "" : "");
