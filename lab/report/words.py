"""Every word that a writer says by itself, in both languages."""

from __future__ import annotations

from typing import Literal

from lab.model.text import Text

Language = Literal["en", "zh"]

WORDS = {
    "topology": Text("topology: {name}", "拓扑：{name}"),
    "steps": Text("{n} steps", "共 {n} 步"),
    "booting": Text("Booting", "启动中"),
    "ready": Text("The lab is up after {seconds}.", "实验环境就绪，用时 {seconds}。"),
    "step": Text("Step {number} of {total}", "第 {number} 步，共 {total} 步"),
    "again": Text("again", "重做"),
    "folded": Text("… {n} more lines; --verbose shows them …", "…… 省略 {n} 行，加 --verbose 显示全部 ……"),
    "status": Text("exit status {status}", "退出状态 {status}"),
    "signal": Text("ended by signal {signal}", "被信号 {signal} 终止"),
    "attempts": Text("attempt {n}, the last one", "第 {n} 次尝试，也是最后一次"),
    "note": Text("Note: {text}", "说明：{text}"),
    "evidence": Text("Evidence:", "现场："),
    "equal": Text("expected", "预期"),
    "lines": Text("expected", "预期"),
    "contains": Text("expected to contain", "预期包含"),
    "lacks": Text("expected not to contain", "预期不包含"),
    "matches": Text("expected to match", "预期匹配"),
    "between": Text("expected", "预期"),
    "split": Text("expected", "预期"),
    "json": Text("expected to have", "预期含有"),
    "actual": Text("really", "实际"),
    "diff": Text("- expected, + real:", "- 预期，+ 实际："),
    "empty": Text("(nothing)", "（空）"),
    "passed": Text("passed", "通过"),
    "failed": Text("failed", "失败"),
    "skipped": Text("skipped", "跳过"),
    "error": Text("error", "出错"),
    "left_out": Text("left out", "略去"),
    "in_part": Text("in part", "部分通过"),
    "nothing_passed": Text("No step could be run on this cluster.", "没有一步能在这个集群上运行。"),
    "ended": Text("{status}: {reason}", "{status}：{reason}"),
    "left_out_part": Text("{status} but for a part that is left out: {reason}", "{status}，但略去了一部分：{reason}"),
    "head_step": Text("Step", "步骤"),
    "head_result": Text("Result", "结果"),
    "head_checks": Text("Checks", "检查"),
    "head_time": Text("Time", "用时"),
    "summary_good": Text(
        "All {checks} checks held. {seconds} in all, {boot} of it to boot.",
        "{checks} 项检查全部成立。总用时 {seconds}，其中启动 {boot}。",
    ),
    "summary_part": Text(
        "The {checks} checks that were made held. {seconds} in all, {boot} of it to boot.",
        "已做的 {checks} 项检查全部成立。总用时 {seconds}，其中启动 {boot}。",
    ),
    "summary_bad": Text(
        "{failed} of {checks} checks failed. {seconds} in all, {boot} of it to boot.",
        "{checks} 项检查中有 {failed} 项不成立。总用时 {seconds}，其中启动 {boot}。",
    ),
    "aborted": Text("The run was cut short: {reason}", "运行中断：{reason}"),
}
STAGES = {
    "Mininet, beside the apiserver": "Mininet，apiserver 同时启动",
    "machines and wires": "机器与网线",
    "etcd": "etcd",
    "the cloud's API on the router": "路由器上的云 API",
    "flanneld on every node": "每个节点上的 flanneld",
    "pod bridges": "Pod 网桥",
    "apiserver, kubelets, kube-proxies": "apiserver、kubelet 与 kube-proxy",
    "pods": "Pod",
    "kube-proxy rules on every node": "每个节点上的 kube-proxy 规则",
}
"""The stages of a boot (lab.cluster.boot and lab.cluster.stages) in Chinese; one that is not here is shown as it is."""

REMOTE_STAGES = {
    "the cluster answers": "集群有应答",
    "a namespace of its own": "单独的命名空间",
    "services, deployments, pods": "Service、Deployment 与 Pod",
    "pods ready": "Pod 就绪",
}
"""The same of a cluster elsewhere (lab.remote.start)."""

WORDS |= {
    "html_title": Text("Report of lab run", "lab run 报告"),
    "contents": Text("Contents", "目录"),
    "skip": Text("To the content", "跳到正文"),
    "cluster": Text("The cluster", "集群"),
    "planned_cluster": Text("The cluster as it was declared; it did not come up", "声明的集群；它没有启动成功"),
    "service_picture": Text("Service {name} in the rules of every node", "每个节点规则里的 Service {name}"),
    "flannel_picture": Text("A packet's way between two nodes", "包在两个节点之间的路"),
    "overview": Text("Steps", "步骤"),
    "boot_times": Text("What the boot took", "启动用时"),
    "head_part": Text("Part", "部分"),
    "checks_held": Text("{held} of {checks} checks held", "{checks} 项检查中 {held} 项成立"),
    "time_all": Text("{seconds} in all, {boot} of it to boot", "总用时 {seconds}，其中启动 {boot}"),
    "verdict_good": Text("All held", "全部成立"),
    "verdict_bad": Text("Not all held", "并非全部成立"),
    "verdict_none": Text("No step ran", "没有执行任何步骤"),
    "verdict_aborted": Text("Cut short: {reason}", "中断：{reason}"),
    "whole_output": Text("{n} more lines", "还有 {n} 行"),
    "evidence_of": Text("What {where} looked like then", "当时 {where} 的样子"),
    "scenarios_held": Text("{held} of {n} scenarios held", "{n} 个场景中 {held} 个全部成立"),
    "head_scenario": Text("Scenario", "场景"),
    "no_run": Text("The run has not ended. If nothing runs any more, it was killed.", "运行尚未结束。如果已经没有进程在运行，说明它被杀死了。"),
    "written_by": Text("Written by lab {version}.", "由 lab {version} 生成。"),
    "repeated": Text("repeated {n} times; this is the last", "重做 {n} 次；这是最后一次"),
    "not_run": Text("it did not come to an end", "没有执行完"),
    "journey": Text("Journey: {source} → {target}", "旅程：{source} → {target}"),
    "pause": Text("Pause", "暂停"),
    "all_stops": Text("Every stop", "每一站"),
}

WORDS |= {
    "no_change": Text("Nothing changed in links, routes, rules or etcd.", "链路、路由、规则和 etcd 都没有变化。"),
    "part_links": Text("links", "链路"),
    "part_routes": Text("routes", "路由"),
    "part_rules": Text("iptables rules", "iptables 规则"),
    "part_etcd": Text("etcd", "etcd"),
    "boot_changes": Text("What it changed", "它改变了什么"),
}
WORDS["status_check"] = Text("expected exit status", "预期退出状态")


def say(key: str, language: Language, **values: object) -> str:
    """The word or sentence, with its values filled in."""
    return pick(WORDS[key], language).format(**values)


def pick(text: Text, language: Language) -> str:
    """The text in that language."""
    return text.zh if language == "zh" else text.en


def stage(what: str, language: Language) -> str:
    """The name of a stage of the boot."""
    return (STAGES | REMOTE_STAGES).get(what, what) if language == "zh" else what


def seconds(value: float) -> str:
    """A duration for people: 3 significant digits at most, with its unit."""
    if value < 0.0995:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
