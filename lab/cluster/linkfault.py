"""Loss, delay and rate at one end of a link, for what leaves by it: in the kernel's netem where there is one, else by what every kernel has.

Without netem (the commands are those that a person would type):

    loss    a filter of classic BPF at the interface's way out, which throws the kernel's dice for each packet. It takes the packet as
            stolen, not as dropped: a drop would be told to the sender, who would send again at once
    delay   a filter that hands packets to the lab's own stage (lab.cluster.delaystage). Those that come back from it bear a mark
    rate    a token bucket filter, tbf

Either way the packet is not seen on the interface until it really leaves, or never.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from lab.errors import CommandError, MachineError
from lab.fabric import process
from lab.fabric.namespace import Namespace
from lab.model.fault import PERFECT, Quality, rate_text

MARK = 0x1AB0FA17
"""Of the packets that the delay stage sends. It does not leave the machine: a veth takes a packet's mark away."""

NETEM_LIMIT = 10_000
"""Packets that netem holds; its own default of 1000 is less than a delay of 50 ms has to hold at 1 Gbit/s."""

TBF_LATENCY = "400ms"
"""How long a packet may wait for its turn before it is dropped."""

_LOAD_RANDOM, _LOAD_MARK = 0xFFFFF038, 0xFFFFF014
"""SKF_AD_OFF with SKF_AD_RANDOM and SKF_AD_MARK of linux/filter.h: what classic BPF loads by an offset that no packet has."""
_LD, _JEQ, _JGE, _RET = 0x20, 0x15, 0x35, 0x06
_GO_ON, _STOLEN, _MATCH = 0xFFFFFFFF, 4, 0xFFFFFFFF
"""TC_ACT_UNSPEC and TC_ACT_STOLEN of linux/pkt_cls.h; and without direct action: it matches."""

Argv = tuple[str, ...]


def netem(interface: str, quality: Quality) -> Argv:
    """The command that has netem do all of it. Pure."""
    words = ["tc", "qdisc", "replace", "dev", interface, "root", "netem", "limit", str(NETEM_LIMIT)]
    words += ["delay", f"{quality.delay:g}ms"] if quality.delay else []
    words += ["loss", "random", f"{quality.loss:g}%"] if quality.loss else []
    words += ["rate", rate_text(quality.rate)] if quality.rate else []
    return tuple(words)


def filters(interface: str, quality: Quality, stage: str) -> Iterator[Argv]:
    """The commands that do it without netem. Pure. `stage`: the interface of the delay stage; empty where there is no delay."""
    if quality.rate:
        burst = max(4000, quality.rate // 800)
        yield ("tc", "qdisc", "replace", "dev", interface, "root", "tbf", "rate", rate_text(quality.rate),
               "burst", str(burst), "latency", TBF_LATENCY)  # fmt: skip
    if quality.loss or stage:
        yield "tc", "qdisc", "add", "dev", interface, "clsact"
    head = ("tc", "filter", "add", "dev", interface, "egress", "protocol", "all")
    if quality.loss:
        yield *head, "prio", "1", "bpf", "da", "bytecode", loses(quality.loss)
    if stage:
        yield *head, "prio", "2", "bpf", "bytecode", unmarked(), "action", "mirred", "egress", "redirect", "dev", stage


def loses(percent: float) -> str:
    """The program that loses so many of a hundred unmarked packets, as tc takes it. Pure."""
    below = round(percent / 100 * 2**32)
    if below >= 2**32:
        return _program((_LD, 0, 0, _LOAD_MARK), (_JEQ, 0, 1, MARK), (_RET, 0, 0, _GO_ON), (_RET, 0, 0, _STOLEN))
    return _program(
        (_LD, 0, 0, _LOAD_MARK), (_JEQ, 2, 0, MARK), (_LD, 0, 0, _LOAD_RANDOM), (_JGE, 0, 1, below), (_RET, 0, 0, _GO_ON), (_RET, 0, 0, _STOLEN)
    )


def unmarked() -> str:
    """The program that matches packets that do not come from the delay stage. Pure."""
    return _program((_LD, 0, 0, _LOAD_MARK), (_JEQ, 0, 1, MARK), (_RET, 0, 0, 0), (_RET, 0, 0, _MATCH))


def _program(*instructions: tuple[int, int, int, int]) -> str:
    return ",".join([str(len(instructions)), *(" ".join(map(str, one)) for one in instructions)])


def clear(namespace: Namespace, interface: str) -> None:
    """Let everything pass again as it comes. What was not there, or has gone with its interface, is no trouble."""
    for kind in ("clsact", "root"):
        process.run(namespace, ["tc", "qdisc", "del", "dev", interface, kind])


def set_netem(namespace: Namespace, interface: str, quality: Quality) -> bool:
    """Have netem do it; False where this kernel has none."""
    if quality == PERFECT:
        return True
    ran = process.run(namespace, netem(interface, quality))
    if ran.status and "unknown" in ran.stderr.lower():
        return False
    process.must(ran)
    return True


def set_filters(namespace: Namespace, interface: str, quality: Quality, stage: str) -> None:
    """Have the filters do it, on an interface that is clear. Raises MachineError for what this kernel does not have; then it is clear."""
    try:
        for argv in filters(interface, quality, stage):
            process.must(process.run(namespace, argv))
    except CommandError as error:
        clear(namespace, interface)
        raise MachineError(f"{error}\nThis kernel can do it neither with netem nor without; `lab doctor` tells which parts are missing") from error


@functools.cache
def need_tc() -> None:
    """Raises MachineError where there is no tc."""
    from lab.fabric import requirements

    if requirements.find("tc") is None:
        tc = next(one for one in requirements.programs() if one.name == "tc")
        raise MachineError(f"loss, delay and rate need the program tc: {requirements.how_to_get(tc)}")

