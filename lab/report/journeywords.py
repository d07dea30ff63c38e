"""The words of a journey, in both languages."""

from __future__ import annotations

from lab.model.text import Text

WORDS = {
    "there": Text("There", "去程"),
    "back": Text("Back", "回程"),
    "error": Text("ICMP error", "ICMP 差错"),
    "title": Text("{protocol} from {source} to {target}", "{protocol}：{source} → {target}"),
    "socket": Text("sends it", "发出"),
    "received": Text("receives it", "收到"),
    "answers": Text("answers", "应答"),
    "reports": Text("its kernel reports an error", "内核报告差错"),
    "in": Text("in ", "收"),
    "out": Text("out", "发"),
    "dnat": Text("DNAT {before} → {after}", "DNAT {before} → {after}"),
    "snat": Text("SNAT {before} → {after}", "SNAT {before} → {after}"),
    "masquerade": Text("masquerade {before} → {after}", "地址伪装 {before} → {after}"),
    "un-dnat": Text("DNAT undone: source {before} → {after}", "还原 DNAT：源 {before} → {after}"),
    "un-snat": Text("SNAT undone: destination {before} → {after}", "还原 SNAT：目的 {before} → {after}"),
    "ttl": Text("ttl {before} → {after}", "ttl {before} → {after}"),
    "outer-ttl": Text("outer ttl {before} → {after}", "外层 ttl {before} → {after}"),
    "encapsulation": Text("encapsulated: {after}", "封装：{after}"),
    "decapsulation": Text("decapsulated", "解封"),
    "fragmentation": Text("fragmented: {before} bytes → {after} and more", "分片：{before} 字节 → {after} 字节及其余"),
    "reassembly": Text("reassembled: {after} bytes", "重组：{after} 字节"),
    "route": Text("route", "路由"),
    "outer": Text("outer packet", "外层包"),
    "conntrack": Text("conntrack", "conntrack"),
    "policy": Text("policy", "默认策略"),
    "arrived": Text(
        "Answered: {outcome} after {time}, {hops} hops there, {back} back.", "已应答：{outcome}，用时 {time}，去程 {hops} 跳，回程 {back} 跳。"
    ),
    "connected": Text("connected", "连接成功"),
    "answered": Text("a reply came", "收到应答"),
    "lost": Text("Lost: {reason}.", "丢失：{reason}。"),
    "refused": Text("Refused: {reason}.", "被拒绝：{reason}。"),
    "untraced": Text("{machine}: the rules are not known: {why}", "{machine}：规则未知：{why}"),
    "missed": Text("{n} packets found a capture's buffer full: places may be missing above", "有 {n} 个包没能放进抓包缓冲区：上面可能缺少一些地点"),
}
"""By the keys of lab.observe.trace.journey where it has some."""
