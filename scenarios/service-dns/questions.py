"""What a pod asked its DNS server: read from the packets."""

from __future__ import annotations

from lab.scenario import Text, checks

POD, SERVER = "ubuntu-zenlinnode1", "10.96.0.10"
CODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}


def question(payload):
    """The name in a DNS message, without the last dot."""
    labels, at = [], 12
    while payload[at]:
        labels.append(payload[at + 1 : at + 1 + payload[at]].decode())
        at += 1 + payload[at]
    return ".".join(labels)


def answered(sightings):
    """{name: what the server said}, in the order of the answers; a name that was asked twice is there once."""
    found = {}
    for one in sightings:
        ip, udp = one.packet.ip, one.packet.transport
        if one.direction == "in" and ip is not None and ip.protocol == 17 and udp.source == 53 and len(one.packet.payload) > 12:
            found[question(one.packet.payload)] = CODES.get(one.packet.payload[3] & 15, "another")
    return found


def asks(lab, name, last):
    """Look a name up in the pod, and show what it asked for, until the name `last` is answered: (the command's outcome, {name: answer})."""
    with lab.capture([(POD, "eth0")]) as seen:
        outcome = lab.pod(POD).run(f"getent ahostsv4 {name}", timeout=30)
        seen.until(lambda sightings: last in answered(sightings), timeout=5.0)
    found = answered(seen.sightings)
    lab.show([f"{asked}  {said}" for asked, said in found.items()], en="What the pod asked, and what it was told", zh="Pod 问了什么，得到什么回答")
    return outcome, found


def resolves(lab, name, addresses):
    """The name leads to just these addresses."""
    shown = lab.pod(POD).run(f"getent ahostsv4 {name} | grep STREAM | cut -d' ' -f1 | sort")
    lab.expect_equal(Text(f"{name} is {', '.join(addresses)}", f"{name} 的地址是 {'、'.join(addresses)}"), sorted(shown.lines), sorted(addresses))


def dns_runs(lab, count):
    """Give kube-dns so many pods, and wait until node 1's rules have them."""
    lab.require_lab(Text("it changes the cluster's DNS server", "会改动集群的 DNS 服务器"))
    lab.operator.run(f"kubectl -n kube-system scale deployment kube-dns --replicas={count}").expect_status()
    name = Text(f"zenlinnode1: pods of kube-dns in the rules: {count}", f"zenlinnode1：规则里 kube-dns 的 Pod 数是 {count}")
    lab.node("zenlinnode1").until(
        "iptables-save -t nat | grep -c 'kube-system/kube-dns:dns\"* .*udp.*DNAT'", checks.lines(name, [str(count)]), timeout=20.0
    )
