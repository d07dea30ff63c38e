"""The names and addresses of the steps, and the two questions that they ask most."""

from __future__ import annotations

from lab.scenario import Text, checks

ETCDCTL = "ETCDCTL_API=3 etcdctl"
SUBNETS = "/coreos.com/network/subnets/"
NODE1, NODE2 = "zenlinnode1", "zenlinnode2"
POD0, POD1, POD2 = "pod-zenlin", "pod-zenlinnode1", "pod-zenlinnode2"
ADDRESS = "10.229.53.146"
BACK = Text("traffic is back", "流量恢复")


def reaches(lab, source, target, name, timeout=5.0):
    """Wait until a pod gets an answer from another one."""
    address = lab.pod_object(target).pod_ip
    lab.pod(source).until(f"ping -c 1 -W 0.5 {address}", checks.contains(name, " 0% packet loss"), timeout)


def loses(lab, source, target, name):
    """A pod gets no answer from another one."""
    lab.pod(source).run(f"ping -c 1 -W 0.3 {lab.pod_object(target).pod_ip}").expect("100% packet loss", name)


def kill(lab, machine, daemon):
    """Kill a daemon as a person would, and wait until the lab knows of its end."""
    lab.node(machine).run(f"kill -KILL {lab.daemon(machine, daemon).pid}").expect_status()
    gone = checks.equal(Text(f"{daemon} has ended", f"{daemon} 已经退出"), True)
    lab.until(gone, lambda: lab.daemon(machine, daemon).ended() is not None)


def alive(lab, name):
    """Start a node's flanneld where an earlier step has ended it: a learner may repeat any step."""
    if lab.daemon(name, "flanneld").ended() is not None:
        lab.start_flanneld(name)
