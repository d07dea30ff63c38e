"""A plan as text for people: what would be done, machine by machine, with the reason beside each command. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from lab.plan.operations import (
    AddBridge,
    AddNamespace,
    AddNeighbours,
    AddPort,
    AddRoute,
    AddRule,
    AddWire,
    Operation,
    SetAddress,
    SetSysctl,
    WriteFile,
)

COMMAND_WIDTH = 96
"""The reasons of longer commands stand on the next line (characters)."""


def machine_of(operation: Operation) -> str:
    """The machine under which an operation is listed: its own; for a wire the one whose card it brings."""
    if isinstance(operation, (AddNamespace, AddRoute, AddRule, SetSysctl, WriteFile)):
        return operation.host
    if isinstance(operation, AddWire):
        return operation.a.host
    if isinstance(operation, AddBridge):
        return operation.bridge.host
    if isinstance(operation, (AddNeighbours, AddPort, SetAddress)):
        return operation.interface.host
    raise TypeError(f"{type(operation).__name__} belongs to no machine")


def render(operations: Iterable[Operation]) -> str:
    """The plan grouped by machine, in the order in which the machines first appear; within one, in the plan's order.

    Across machines the plan's own order differs: it makes all namespaces before the first wire. Ends with a count.
    """
    groups: dict[str, list[Operation]] = {}
    for operation in operations:
        groups.setdefault(machine_of(operation), []).append(operation)
    blocks = [_block(host, group) for host, group in groups.items()]
    total = sum(map(len, groups.values()))
    blocks.append(f"{total} operations on {len(groups)} machines\n")
    return "\n".join(blocks)


def _block(host: str, group: list[Operation]) -> str:
    kind = next((one.kind for one in group if isinstance(one, AddNamespace)), "")
    lines = [f"{host} ({kind})" if kind else host]
    width = max((len(str(operation)) for operation in group if len(str(operation)) <= COMMAND_WIDTH), default=0)
    for operation in group:
        command = str(operation)
        if len(command) > width:
            lines += [f"  {command}", f"  {'':{width}}  # {operation.reason}"]
        else:
            lines.append(f"  {command:{width}}  # {operation.reason}")
    return "\n".join(lines) + "\n"
