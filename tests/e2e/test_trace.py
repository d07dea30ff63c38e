"""`lab trace` in a lab that is up: every kind of journey, every kind of loss, under load, and nothing of it is left."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.cli import main
from tests.e2e.lab import lab, lab_up, start
from tests.waiting import until

pytestmark = pytest.mark.e2e

NODE1, NODE2, POD1, POD2 = "zenlinnode1", "zenlinnode2", "ubuntu-zenlinnode1", "ubuntu-zenlinnode2"
IP2 = "10.244.2.246"
WEB1, WEB2 = "nginx-deployment-1885164871-dzls7", "nginx-deployment-1885164871-q37zh"
WAY = [
    f"{NODE1} docker0",
    f"{NODE1} flannel0",
    f"{NODE1} eth0",
    "router eth1",
    "router eth2",
    f"{NODE2} eth0",
    f"{NODE2} flannel0",
    f"{NODE2} docker0",
]
SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {type: NodePort, selector: {app: nginx}, ports: [{port: 8000, targetPort: 80, nodePort: 30080}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
"""
LOAD = """
import os, socket, time
print(os.getpid(), flush=True)
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); door.connect(("10.244.2.246", 9)); begun, sent = time.monotonic(), 0
while time.monotonic() < begun + 60:
    while sent < (time.monotonic() - begun) * 10000:
        try: door.send(bytes(64))
        except OSError: pass
        sent += 1
    time.sleep(0.002)
"""


@pytest.fixture(name="up", scope="module")
def _up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    name = f"test-{os.getpid()}-trace"
    with lab_up(name, "nginx-service"):
        manifest = tmp_path_factory.mktemp("trace") / "services.yaml"
        manifest.write_text(SERVICES, encoding="utf-8")
        assert lab("kubectl", "--lab", name, "apply", "-f", str(manifest)).returncode == 0
        until(lambda: "has no endpoints" in run(name, NODE1, "iptables-save", "-t", "filter"), "the rules of the new services")
        yield name


def run(name: str, who: str, *command: str) -> str:
    """A command in a machine of the lab; it must succeed."""
    ran = lab("exec", "-n", name, who, "--", *command)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def trace(name: str, *words: str, tries: int = 1, by: str = "") -> dict[str, Any]:
    """The journey of `lab trace --format json`; of a service with two pods the first journey that has `by` among its places.

    In this process, where everything is imported already: the verb as users start it is in the other tests.
    """
    for _ in range(tries):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = main.main(["trace", "-n", name, "--format", "json", *words])
        assert status in (0, 1), words
        journey: dict[str, Any] = json.loads(said.getvalue())
        assert (status == 0) == journey["arrived"]
        assert not journey["untraced"] and not journey["missed"]
        if not by or by in places(journey, "there"):
            return journey
    raise AssertionError(f"{tries} traces, and none came by {by}")


def hops(journey: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return next((leg["hops"] for leg in journey["legs"] if leg["kind"] == kind), [])


def places(journey: dict[str, Any], kind: str) -> list[str]:
    return [f"{hop['machine']} {hop['interface']}" for hop in hops(journey, kind) if hop["interface"] and not hop["interface"].startswith("veth")]


def changes(journey: dict[str, Any], kind: str) -> list[str]:
    return [change["kind"] for hop in hops(journey, kind) for change in hop["changes"] if "ttl" not in change["kind"]]


def verdicts(journey: dict[str, Any]) -> list[tuple[str, str]]:
    return [(rule["chain"], rule["verdict"]) for leg in journey["legs"] for hop in leg["hops"] for rule in hop["rules"]]


def test_a_service_request_between_nodes(up: str, tmp_path: Path) -> None:
    picture, packets = tmp_path / "way.svg", tmp_path / "way.pcapng"
    found = trace(up, POD1, "nginx-service", "--svg", str(picture), "--pcap", str(packets), tries=30, by=f"{NODE2} docker0")
    assert places(found, "there") == [f"{POD1} eth0", *WAY, f"{WEB2} eth0"]
    assert places(found, "back") == places(found, "there")[::-1]
    assert changes(found, "there") == ["dnat", "encapsulation", "decapsulation"]
    assert changes(found, "back") == ["encapsulation", "decapsulation", "un-dnat"]
    chains = [chain for chain, _ in verdicts(found)]
    assert [chain.split("-")[1] for chain in chains if chain.startswith(("KUBE-SER", "KUBE-SVC", "KUBE-SEP"))][:3] == ["SERVICES", "SVC", "SEP"]
    assert [verdict for chain, verdict in verdicts(found) if chain.startswith("KUBE-SEP")] == ["DNAT"]
    assert {rule["about"] for hop in hops(found, "there") for rule in hop["rules"]} >= {"default/nginx-service", WEB2}
    assert [entry["machine"] for entry in found["conntrack"] if entry["nat"]] == [NODE1]
    times = [hop["microseconds"] for leg in found["legs"] for hop in leg["hops"]]
    assert times == sorted(times) and all(time >= 0 for time in times)
    assert picture.read_text(encoding="utf-8").startswith("<svg ") and packets.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"


@pytest.mark.parametrize(
    ("words", "by", "there", "back"),
    [
        ((POD1, POD2), f"{NODE2} docker0", ["encapsulation", "decapsulation"], ["encapsulation", "decapsulation"]),
        ((POD1, WEB1 + ":80"), f"{WEB1} eth0", [], []),
        ((NODE1, "svc/nginx-service:8000"), f"{WEB1} eth0", ["dnat", "masquerade"], ["un-snat", "un-dnat"]),
        (("client", NODE1 + ":30080"), f"{WEB1} eth0", ["dnat", "masquerade"], ["un-snat", "un-dnat"]),
        ((WEB1, "nginx-service"), f"{NODE1} eth0 is not on the way", ["dnat", "masquerade"], ["un-snat", "un-dnat"]),
        ((POD1, POD2, "--size", "1465"), f"{NODE2} docker0", ["reassembly", "fragmentation", "encapsulation", "decapsulation"], None),
    ],
    ids=["pod-to-pod", "same-node", "node-to-service", "node-port", "hairpin", "fragments"],
)
def test_journeys(up: str, words: tuple[str, ...], by: str, there: list[str], back: list[str] | None) -> None:
    if "not on the way" in by:  # the pod that asks is the one that answers: the packet never leaves the node
        found = next(one for one in (trace(up, *words) for _ in range(30)) if by.removesuffix(" is not on the way") not in places(one, "there"))
    else:
        found = trace(up, *words, tries=30, by=by)
    assert found["arrived"] and found["loss"] is None
    assert changes(found, "there") == there and changes(found, "back") == (there if back is None else back)


@pytest.mark.parametrize(
    ("words", "kind", "machine"),
    [
        ((POD1, "172.16.9.9:80"), "no-route", "router"),
        ((NODE1, "empty"), "no-endpoints", NODE1),
        ((POD1, "empty"), "no-endpoints", "router"),
        ((POD1, POD2 + ":81"), "no-listener", POD2),
        ((POD1, POD2 + ":81", "--udp"), "no-listener", POD2),
        ((POD1, POD2, "--size", "1470", "--df"), "mtu", POD1),
        ((POD1, "nginx-service", "--icmp"), "no-route", "router"),
        ((POD2, "10.244.1.99"), "arp", NODE1),
    ],
    ids=["no-route", "no-endpoints-node", "no-endpoints-pod", "tcp-refused", "udp-refused", "mtu", "cluster-ip-is-nobody", "no-neighbour"],
)
def test_losses(up: str, words: tuple[str, ...], kind: str, machine: str) -> None:
    found = trace(up, *words)
    assert (found["loss"]["kind"], found["loss"]["machine"]) == (kind, machine), found["loss"]


def test_a_rule_that_drops_or_rejects_is_named(up: str) -> None:
    for target, kind in (("DROP", "rule"), ("REJECT", "reject")):
        rule = ("FORWARD", "-d", "10.244.2.0/24", "-p", "icmp", "-j", target)
        run(up, NODE1, "iptables", "-I", *rule)
        try:
            loss = trace(up, POD1, POD2)["loss"]
        finally:
            run(up, NODE1, "iptables", "-D", *rule)
        assert (loss["kind"], loss["machine"]) == (kind, NODE1) and loss["rule"]["rule"].startswith("-A FORWARD -d 10.244.2.0/24 -p icmp -j")


def test_a_route_that_forbids(up: str) -> None:
    for kind in ("unreachable", "blackhole"):
        run(up, NODE1, "ip", "route", "add", kind, "10.244.2.0/24")
        try:
            loss = trace(up, POD1, POD2)["loss"]
        finally:
            run(up, NODE1, "ip", "route", "del", kind, "10.244.2.0/24")
        assert (loss["kind"], loss["machine"]) == ("no-route", NODE1)


def test_a_flanneld_that_is_stopped(up: str) -> None:
    machines = {machine["name"]: machine for machine in json.loads(lab("inspect", "-n", up, "--format", "json").stdout)["machines"]}
    for node in (NODE1, NODE2):
        pid = str(machines[node]["daemons"]["flanneld"])
        run(up, node, "kill", "-STOP", pid)
        try:
            loss = trace(up, POD1, POD2)["loss"]
        finally:
            run(up, node, "kill", "-CONT", pid)
        assert (loss["kind"], loss["machine"]) == ("flanneld", node) and "stopped" in loss["text"]["en"]
    until(lambda: trace(up, POD1, POD2)["arrived"], "flanneld carries packets again")


def whole(up: str, target: str) -> bool:
    """Whether a trace has every place between the two pods, there and back."""
    there = [f"{POD1} eth0", *WAY, f"{POD2} eth0"]
    journey = trace(up, POD1, target)
    return places(journey, "there") == there and places(journey, "back") == there[::-1]


def test_it_finds_its_packet_among_ten_thousand_a_second(up: str) -> None:
    load = start("exec", "-n", up, POD1, "--", "python3", "-c", LOAD)
    assert load.stdout is not None
    pid = load.stdout.readline().strip()
    try:
        until(lambda: int(run(up, POD2, "cat", "/sys/class/net/eth0/statistics/rx_packets")) > 5000, "the load")
        for target in (POD2, POD2 + ":81"):
            # On a busy machine the load fills flanneld's buffers, and a packet more is really lost.
            until(functools.partial(whole, up, target), "a trace of the whole way", 30.0)
    finally:
        run(up, POD1, "kill", pid)
        load.communicate(timeout=10)


def test_nothing_is_left_and_nothing_runs_between_traces(up: str) -> None:
    def state() -> Sequence[str]:
        return [
            run(up, node, "sh", "-c", "nft list tables; cat /proc/net/packet; iptables-save | grep -v '^[#:]' || true")
            for node in (NODE1, NODE2, POD1)
        ]

    before = state()
    trace(up, POD1, "nginx-service")
    # The lab answers one request at a time, so whoever watches the trace has to be there before it.
    watching = start("exec", "-n", up, NODE1, "--", "sh", "-c", "echo ready; until nft list tables | grep lab-trace; do sleep 0.01; done")
    assert watching.stdout is not None and watching.stdout.readline() == "ready\n"
    interrupted = start("trace", "-n", up, "--timeout", "1", POD1, "10.244.1.99")
    try:
        assert watching.communicate(timeout=20)[0] == "table ip lab-trace\n"
    finally:
        watching.kill()
        interrupted.send_signal(signal.SIGINT)
        _, said = interrupted.communicate(timeout=10)
    assert interrupted.returncode == -signal.SIGINT and not said
    assert state() == before


def test_people_read_it_in_both_languages(up: str) -> None:
    english = lab("trace", "-n", up, "--lang", "en", POD1, WEB1 + ":80")
    assert english.returncode == 0 and "✓ Answered: connected" in english.stdout and "\x1b" not in english.stdout
    chinese = lab("trace", "-n", up, "--lang", "zh", POD1, WEB1 + ":81")
    assert chinese.returncode == 1 and "✗ 被拒绝" in chinese.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nobody", POD1), "no machine is named 'nobody'"),
        ((POD1, "nobody:80"), "no machine is named 'nobody'"),
        ((POD1, "svc/nobody"), "no service is named 'nobody'; there are: empty"),
        ((POD1, POD2 + ":0"), "is no port"),
        ((POD1, POD2, "--tcp"), "say to which port"),
        ((POD1, POD2 + ":80", "--icmp"), "ICMP has no ports"),
        ((POD1, POD2 + ":80", "--tcp", "--size", "9"), "carries nothing"),
        ((POD1, POD2, "--timeout", "99"), "at most 5"),
        ((POD1, POD2, "--svg", "/nowhere/x.svg"), "cannot write /nowhere/x.svg"),
    ],
)
def test_wrong_words(up: str, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["trace", "-n", up, *words]) == 2
    out, err = capsys.readouterr()
    assert said in err and not out


SCENARIO = """
from lab.scenario import Scenario

scenario = Scenario(topology="zenlin")


@scenario.step(en="by the router", zh="经过路由器")
def way(lab):
    journey = lab.trace("zenlinnode1", "zenlinnode2")
    lab.show(journey.lines, en="The way", zh="路线")
    lab.expect_equal("there", journey.places_of("there"), ["zenlinnode1 eth0", "router eth1", "router eth2", "zenlinnode2 eth0"])
    lab.expect_equal("it arrived", journey.loss, None)
"""


def test_a_scenario_can_trace(tmp_path: Path) -> None:
    (tmp_path / "tracing").mkdir()
    (tmp_path / "tracing" / "scenario.py").write_text(SCENARIO, encoding="utf-8")
    ran = lab("run", str(tmp_path / "tracing"), "--lang", "en")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "zenlinnode1 eth0, out" in ran.stdout and "All 2 checks held" in ran.stdout


def test_a_capture_tells_packets_as_they_come(up: str) -> None:
    seen = start("capture", "-n", up, "-i", "flannel0", "-c", "2", NODE1)
    until(lambda: seen.poll() is not None or not trace(up, POD1, POD2), "two packets at flannel0", 30.0)
    out, err = seen.communicate()
    assert seen.returncode == 0 and not err
    assert len(out.splitlines()) == 2 and f" flannel0     out 10.244.1.145 > {IP2} ICMP echo request" in out


def test_a_capture_for_wireshark_ends_with_ctrl_c(up: str, tmp_path: Path) -> None:
    file = tmp_path / "node.pcapng"
    seen = start("capture", "-n", up, "-w", str(file), NODE1)
    until(lambda: (file.exists() and b"zenlinnode1 flannel0" in file.read_bytes()) or not trace(up, POD1, POD2), "packets in the file", 30.0)
    seen.send_signal(signal.SIGINT)
    assert seen.communicate(timeout=10) == ("", "") and seen.returncode == 0
    assert file.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"


def test_a_capture_at_an_interface_that_is_not_there(up: str) -> None:
    ran = lab("capture", "-n", up, "-i", "eth7", NODE1)
    assert ran.returncode == 2 and "zenlinnode1 has no interface eth7; it has lo, eth0" in ran.stderr
