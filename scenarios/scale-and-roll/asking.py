"""A client that keeps asking while the cluster changes, and what became of each of its connections."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from lab.scenario import Text, checks

VIP = "10.105.30.30"
ASKER = "10.244.1.145"
ASK = (
    "rm -f /run/stop /run/asked /run/ended; (port=$(cat /run/port 2>/dev/null || echo 10000); while [ ! -e /run/stop ]; do "
    "port=$((port < 30000 ? port + 1 : 10001)); begin=$EPOCHREALTIME; "
    f"page=$(curl -s -m 2 --local-port $port http://{VIP}/ | grep '^pod: '); echo \"$begin $EPOCHREALTIME ${{page:-failed}}\"; "
    "done > /run/asked 2>&1; echo $port > /run/port; touch /run/ended) < /dev/null > /dev/null 2>&1 &"
)
"""Each connection has a port of its own, and not one that the system gives: see `forget`."""


@dataclass
class Asked:
    """When the change began and when all rules had it, and the connections: (begin, end, answer). Times of the client's clock."""

    began: float = 0.0
    settled: float = 0.0
    connections: list[tuple[float, float, str]] = field(default_factory=list)

    @property
    def failed(self):
        """The connections that nobody answered."""
        return [one for one in self.connections if one[2] == "failed"]

    @property
    def outside(self):
        """Those of them that were over before the change, or begun when it was done."""
        return [one for one in self.failed if one[1] < self.began or one[0] > self.settled]


def answers(lab):
    """How many connections the client has made so far."""
    counted = lab.cluster.pod("asker").run("cat /run/asked | wc -l", timeout=5.0)
    return int(counted.stdout)


def more(lab, name):
    """Wait until the client has made ten further connections."""
    target = answers(lab) + 10
    lab.until(checks.equal(name, True), lambda: answers(lab) >= target, timeout=30.0)


def now(lab):
    """The client's clock, in seconds: a cluster elsewhere may have another than this machine."""
    return float(lab.cluster.pod("asker").run("echo $EPOCHREALTIME", timeout=5.0).stdout)


@contextlib.contextmanager
def asking(lab):
    """The client asks for as long as the block lasts; the block says by `settled` when all rules had the change."""
    asked, client = Asked(), lab.pod("asker")
    client.run(ASK).expect_status()
    try:
        more(lab, Text("the client is asking", "客户端正在不停地访问"))
        asked.began = now(lab)
        yield asked
        more(lab, Text("it asked on after the change", "变化完成之后它还在访问"))
    finally:
        lab.cluster.pod("asker").run("touch /run/stop; while [ ! -e /run/ended ]; do sleep 0.05; done", timeout=10.0)
    for line in lab.cluster.pod("asker").run("cat /run/asked", timeout=5.0).stdout.splitlines():
        begin, end, answer = line.split(None, 2)
        asked.connections.append((float(begin), float(end), answer.removeprefix("pod: ")))


def forget(lab):
    """Take the client's connections out of its node's conntrack.

    A connection that got no answer is remembered for two minutes, with the target that it had or had not. A new one that happens to get the
    same port from the system, one in some thousands, follows it there.
    """
    if not lab.remote:
        lab.cluster.node("zenlinnode1").run(f"conntrack -D -p tcp --orig-src {ASKER}")


def in_rules(lab, pods):
    """Wait until the rules of every node send to these pods and to no others; elsewhere, until the client's connections show it."""
    if lab.remote:
        return reached(lab, pods)
    objects = lab.pod_objects
    wanted = sorted(f"{objects[name].pod_ip}:80" for name in pods)
    for node in lab.nodes:
        judge = checks.lines(Text(f"{node.name}: the rules have just these pods", f"{node.name}：规则里正好是这些 Pod"), wanted)
        node.until("iptables-save -t nat | grep 'default/web.*DNAT' | grep -o '[^ ]*$' | sort", judge, timeout=15.0)


def reached(lab, pods):
    """Wait until 30 connections for each pod reach these pods and no others, or nobody where there are none."""
    many = f"for n in $(seq {30 * len(pods) or 1}); do curl -s -m 2 http://{VIP}/ | grep '^pod: '; done | sort -u"
    judge = checks.lines(Text("connections reach just these pods", "连接正好到达这些 Pod"), sorted(f"pod: {name}" for name in pods))
    lab.pod("asker").until(many, judge, timeout=60.0)


def running(lab):
    """The names of the web pods that are not on their way out."""
    items = lab.api.list("pods", "default", labels="app=web")["items"]
    return sorted(item["metadata"]["name"] for item in items if "deletionTimestamp" not in item["metadata"])


def settle(lab, count):
    """Make it so many replicas, and wait for the pods and the rules of all nodes; the pods' names."""
    lab.operator.run(f"kubectl scale deployment web --replicas={count}").expect_status()
    lab.operator.run("kubectl rollout status deployment web --timeout=60s", timeout=70).expect_status()
    lab.until(checks.equal(Text(f"{count} pods are left", f"剩下 {count} 个 Pod"), count), lambda: len(running(lab)), timeout=15.0)
    pods = running(lab)
    in_rules(lab, pods)
    return pods
