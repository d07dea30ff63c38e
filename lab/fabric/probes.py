"""Tries out, in a throw-away sandbox, what the lab asks of the kernel. For `lab doctor`; the quick look is lab.fabric.requirements."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from lab.errors import MachineError
from lab.fabric import container, sandbox
from lab.model.text import Text

RULES = """*nat
:LAB-TEST - [0:0]
-A LAB-TEST {rule}
COMMIT
"""


@dataclass(frozen=True)
class Feature:
    """A kernel feature. `required`: the lab does not run without it. `why`: who uses it. `how`: to get it."""

    name: str
    required: bool
    why: Text
    how: str


@dataclass(frozen=True)
class Finding:
    """What came of trying: `trouble` is empty when it works."""

    feature: Feature
    trouble: str


def _feature(name: str, module: str, why: str, chinese: str, required: bool = True) -> Feature:
    return Feature(name, required, Text(why, chinese), f"`sudo modprobe {module}`, or a kernel that has it")


SANDBOX = Feature("namespaces", True, Text("the whole lab lives in them", "整个实验都运行在其中"), "run the lab with sudo, or allow user namespaces")

_LINKS = {
    "veth": _feature("veth", "veth", "the wires", "网线"),
    "bridge": _feature("bridge", "bridge", "docker0", "docker0 网桥"),
    "vxlan": _feature("vxlan", "vxlan", "flannel's vxlan backend", "flannel 的 vxlan 后端", required=False),
}
_BRIDGE_CALLS = _feature("bridge netfilter", "br_netfilter", "rules see what crosses docker0", "规则能看到经过 docker0 的数据包")
_TUN = _feature("tun", "tun", "flannel0", "flannel0 设备")
_RULES = {
    "-m comment --comment lab -j RETURN": _feature("iptables comment", "xt_comment", "names in the rules", "规则中的名称"),
    "-m statistic --mode random --probability 0.5 -j RETURN": _feature(
        "iptables statistic", "xt_statistic", "the choice between pods", "在 Pod 之间选择"
    ),
    "-m recent --name lab --set -j RETURN": _feature("iptables recent", "xt_recent", "session affinity", "会话保持"),
    "-m addrtype --dst-type LOCAL -j RETURN": _feature("iptables addrtype", "xt_addrtype", "node ports", "NodePort"),
    "-m physdev ! --physdev-is-in -j RETURN": _feature("iptables physdev", "xt_physdev", "external IPs", "外部 IP"),
    "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN": _feature(
        "iptables conntrack", "xt_conntrack", "what belongs together", "属于同一连接的数据包"
    ),
    "-m mark --mark 0x4000/0x4000 -j RETURN": _feature("iptables mark", "xt_mark", "which packets to masquerade", "哪些数据包需要伪装"),
    "-j MARK --set-xmark 0x4000/0x4000": _feature("iptables MARK", "xt_mark", "which packets to masquerade", "哪些数据包需要伪装"),
    "-p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.1:80": _feature(
        "iptables DNAT", "xt_nat", "a service's address becomes a pod's", "把服务地址变成 Pod 地址"
    ),
}
"""Rules of the nat table, each tried alone."""

_MASQUERADE = _feature("iptables MASQUERADE", "xt_MASQUERADE", "clients that are no pods", "不是 Pod 的客户端")
_REJECT = _feature("iptables REJECT", "ipt_REJECT", "services without endpoints", "没有端点的服务")
_NFT = _feature("nftables", "nf_tables", "kube-proxy's nftables mode", "kube-proxy 的 nftables 模式", required=False)
_NETEM = _feature(
    "netem", "sch_netem", "`lab fault` loses and delays packets by it; without it, by a filter and a process",
    "`lab fault` 用它丢包、延迟包；没有它时改用过滤器和一个进程", required=False,
)  # fmt: skip
_FILTER = _feature(
    "cls_bpf", "cls_bpf act_mirred", "`lab fault` loses and delays packets by it and act_mirred where there is no netem",
    "没有 netem 时，`lab fault` 用它和 act_mirred 丢包、延迟包", required=False,
)  # fmt: skip
_TBF = _feature("tbf", "sch_tbf", "the rate of `lab fault` where there is no netem", "没有 netem 时，`lab fault` 用它限速", required=False)
_IPVS = _feature("ip_vs", "ip_vs", "kube-proxy's ipvs mode, which the lab does not offer", "kube-proxy 的 ipvs 模式，本实验不提供", required=False)


def probe() -> list[Finding]:
    """Try every feature. Needs what a sandbox needs; where that is refused, the only finding says so."""
    told, tell = os.pipe()

    def body() -> int:
        os.close(told)
        with os.fdopen(tell, "w", encoding="utf-8") as channel:
            json.dump([_try(test) for _, test in _tests()], channel)
        return 0

    try:
        sandbox.run(body)
    except MachineError as error:
        os.close(told)
        refused = replace(SANDBOX, how=container.TELL_THE_ENGINE) if container.detect() else SANDBOX
        return [Finding(refused, str(error))]
    finally:
        os.close(tell)
    with os.fdopen(told, encoding="utf-8") as channel:
        text = channel.read()
    troubles = json.loads(text) if text else ["the probe ended early"] * len(_tests())
    findings = [Finding(feature, trouble) for (feature, _), trouble in zip(_tests(), troubles, strict=True)]
    return [Finding(SANDBOX, ""), *findings]


Test = Callable[[], None]


def _tests() -> list[tuple[Feature, Test]]:
    tests: list[tuple[Feature, Test]] = [
        (feature, partial(_command, "ip", "link", "add", f"t-{kind}", *_kind(kind))) for kind, feature in _LINKS.items()
    ]
    tests += [(_BRIDGE_CALLS, _bridge_calls), (_TUN, partial(_command, "ip", "tuntap", "add", "dev", "t-tun", "mode", "tun"))]
    tests += [(feature, partial(_restore, rule)) for rule, feature in _RULES.items()]
    tests.append((_MASQUERADE, partial(_command, "iptables", "-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE")))
    tests.append((_REJECT, partial(_command, "iptables", "-t", "filter", "-A", "INPUT", "-j", "REJECT")))
    tests.append((_NFT, partial(_command, "nft", "add", "table", "ip", "lab-test")))
    tests.append((_NETEM, partial(_command, "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")))
    tests.append((_FILTER, _filter))
    tests.append((_TBF, partial(_command, "tc", "qdisc", "replace", "dev", "lo", "root", "tbf", "rate", "1mbit", "burst", "4000", "latency", "1ms")))
    tests.append((_IPVS, _ip_vs))
    return tests


def _kind(kind: str) -> tuple[str, ...]:
    return ("type", kind, "id", "1", "dstport", "8472") if kind == "vxlan" else ("type", kind)


def _try(test: Test) -> str:
    from lab.errors import LabError

    try:
        test()
    except (LabError, OSError) as error:
        return str(error)
    return ""


def _command(*argv: str) -> None:
    from lab.fabric import process
    from lab.fabric.namespace import Namespace

    process.must(process.run(Namespace.current("this machine"), argv))


def _restore(rule: str) -> None:
    from lab.fabric import process
    from lab.fabric.namespace import Namespace

    text = RULES.format(rule=rule)
    process.must(process.run(Namespace.current("this machine"), ["iptables-restore", "--noflush"], stdin=text))


def _filter() -> None:
    _command("tc", "qdisc", "add", "dev", "lo", "clsact")
    matches = "1,6 0 0 4294967295"
    _command("tc", "filter", "add", "dev", "lo", "egress", "bpf", "bytecode", matches, "action", "mirred", "egress", "redirect", "dev", "lo")


def _ip_vs() -> None:
    if not os.path.exists("/proc/net/ip_vs"):
        raise OSError("there is no /proc/net/ip_vs")


def _bridge_calls() -> None:
    with open("/proc/sys/net/bridge/bridge-nf-call-iptables", "w", encoding="ascii") as setting:
        setting.write("1")
