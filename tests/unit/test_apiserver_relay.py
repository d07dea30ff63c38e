"""What the apiserver decides before it passes a request on to a kubelet, and how it understands the kubelet's answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.master.api import status
from lab.master.apiserver.errors import Refused
from lab.master.apiserver.paths import Target
from lab.master.apiserver.relay import container_of, endpoint, refusal, upgraded
from lab.master.resources import by_plural


def _pod(*names: str, initial: tuple[str, ...] = ()) -> dict[str, Any]:
    spec = {"containers": [{"name": name} for name in names], "initContainers": [{"name": name} for name in initial]}
    return {"metadata": {"name": "p"}, "spec": spec}


def test_the_only_container_need_not_be_named() -> None:
    assert container_of(_pod("a"), "") == "a"
    assert container_of(_pod("a", "b", initial=("i",)), "i") == "i"


@pytest.mark.parametrize(
    ("pod", "asked", "said"),
    [
        (_pod("a", "b"), "", "a container name must be specified for pod p, choose one of: [a b]"),
        (_pod("a", "b", initial=("i",)), "", "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]"),
        (_pod("a"), "c", "container c is not valid for pod p"),
        ({"metadata": {"name": "p"}}, "", "a container name must be specified for pod p"),
    ],
)
def test_containers_that_are_refused(pod: dict[str, Any], asked: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        container_of(pod, asked)
    assert refused.value.status == status.bad_request(said)


def test_where_a_kubelet_listens() -> None:
    addresses = [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.1"}]
    assert endpoint({"status": {"addresses": addresses}}, 10250) == ("10.0.0.1", 10250)
    port = {"kubeletEndpoint": {"Port": 10255}}
    assert endpoint({"status": {"addresses": addresses[:1], "daemonEndpoints": port}}, 10250) == ("n", 10255)
    with pytest.raises(Refused, match="no preferred addresses found"):
        endpoint({}, 10250)


def test_a_kubelets_refusal_becomes_a_status() -> None:
    target = Target(by_plural("pods"), "v1", "default", "p", "log")
    assert refusal(400, "no number\n", target) == status.bad_request("no number")
    assert refusal(404, "gone", target)["reason"] == "NotFound"
    assert refusal(500, "x", target)["message"] == "Internal error occurred: x"
    assert refusal(302, "x", target)["code"] == 500


def test_an_answers_head() -> None:
    code, headers = upgraded(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x=\r\n\r\n")
    assert (code, headers) == (101, {"upgrade": "websocket", "sec-websocket-accept": "x="})


@given(st.binary())
def test_what_is_no_http_is_refused(raw: bytes) -> None:
    if not raw.startswith(b"HTTP/1."):
        with pytest.raises(ValueError, match="no HTTP"):
            upgraded(raw)
