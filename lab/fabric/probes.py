"""Tries out, in a throw-away sandbox, what the lab asks of the kernel. For `lab doctor`; the quick look is lab.fabric.requirements."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lab.errors import MachineError
from lab.fabric import sandbox

RULES = """*nat
:LAB-TEST - [0:0]
-A LAB-TEST -p tcp -m comment --comment "lab doctor" {match}
COMMIT
"""


@dataclass(frozen=True)
class Feature:
    """A kernel feature. `required`: the lab does not run without it. `why`: who uses it."""

    name: str
    required: bool
    why: str
    how: str


@dataclass(frozen=True)
class Finding:
    """What came of trying: `trouble` is empty when it works."""

    feature: Feature
    trouble: str


def _feature(name: str, why: str, required: bool = True, module: str = "") -> Feature:
    how = f"`sudo modprobe {module}`, or a kernel that has it" if module else "a kernel that has it"
    return Feature(name, required, why, how)


SANDBOX = Feature("namespaces", True, "the whole lab lives in them", "run the lab with sudo, or allow user namespaces")

_LINKS = {
    "veth": _feature("veth", "the wires", module="veth"),
    "bridge": _feature("bridge", "docker0", module="bridge"),
    "vxlan": _feature("vxlan", "flannel's vxlan backend", required=False, module="vxlan"),
}
_MATCHES = {
    "-m statistic --mode random --probability 0.5 -j RETURN": _feature("iptables statistic", "the choice between pods", module="xt_statistic"),
    "-m recent --name lab --set -j RETURN": _feature("iptables recent", "session affinity", module="xt_recent"),
    "-m addrtype --dst-type LOCAL -j RETURN": _feature("iptables addrtype", "node ports", module="xt_addrtype"),
    "-m physdev ! --physdev-is-in -j RETURN": _feature("iptables physdev", "external IPs", module="xt_physdev"),
    "-m mark --mark 0x4000/0x4000 -j RETURN": _feature("iptables mark", "which packets to masquerade", module="xt_mark"),
    "-m tcp --dport 80 -j DNAT --to-destination 10.0.0.1:80": _feature("iptables DNAT", "a service's address becomes a pod's", module="xt_nat"),
    "-j MARK --set-xmark 0x4000/0x4000": _feature("iptables MARK", "which packets to masquerade", module="xt_mark"),
}
_MASQUERADE = _feature("iptables MASQUERADE", "clients that are no pods", module="xt_MASQUERADE")
_NFT = _feature("nftables", "kube-proxy's nftables mode", required=False, module="nf_tables")
_BRIDGE_CALLS = _feature("bridge netfilter", "rules see what crosses docker0", module="br_netfilter")
_TUN = _feature("tun", "flannel0", module="tun")


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
        return [Finding(SANDBOX, str(error))]
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
    tests += [(feature, partial(_restore, match)) for match, feature in _MATCHES.items()]
    tests.append((_MASQUERADE, partial(_command, "iptables", "-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE")))
    tests.append((_NFT, partial(_command, "nft", "add", "table", "ip", "lab-test")))
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


def _restore(match: str) -> None:
    from lab.fabric import process
    from lab.fabric.namespace import Namespace

    text = RULES.format(match=match)
    process.must(process.run(Namespace.current("this machine"), ["iptables-restore", "--noflush"], stdin=text))


def _bridge_calls() -> None:
    with open("/proc/sys/net/bridge/bridge-nf-call-iptables", "w", encoding="ascii") as setting:
        setting.write("1")
