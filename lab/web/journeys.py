"""A journey as the page walks through it: its stops in the picture, each with all that is known of the packet there. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lab.observe import graph as model
from lab.observe.drawing import stops
from lab.observe.drawing.picture import Picture


def walk(graph: model.Graph, picture: Picture, journey: Mapping[str, Any]) -> dict[str, Any]:
    """The journey without its legs, and `stops`: place and way in the picture, and the hops that happened there, a bridge's ports included.

    journey   as `lab trace --format json` prints it
    """
    found = stops.stops(graph, picture, journey)
    told = [{"leg": leg["kind"], **hop} for leg in journey.get("legs", ()) for hop in leg["hops"]]
    shared = _shared(found, told)
    rest = {key: value for key, value in journey.items() if key != "legs"}
    return rest | {"stops": [asdict(stop) | {"hops": hops} for stop, hops in zip(found, shared, strict=True)]}


def _shared(found: Sequence[stops.Stop], told: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The hops of each stop: its own, and those after it that have no place of their own. Those before the first belong to the first."""
    shared: list[list[dict[str, Any]]] = [[] for _ in found]
    at = -1
    for hop in told:
        following = found[at + 1] if at + 1 < len(found) else None
        if following is not None and _is(following, hop):
            at += 1
        if shared:
            shared[max(at, 0)].append(hop)
    return shared


def _is(stop: stops.Stop, hop: Mapping[str, Any]) -> bool:
    mine = (stop.leg, stop.machine, stop.interface, stop.direction, stop.microseconds)
    return not hop.get("minor") and bool(hop.get("layers")) and mine == (
        hop["leg"], hop["machine"], hop["interface"], hop["direction"], hop["microseconds"],
    )  # fmt: skip
