"""The text of the files that a machine or pod of the lab sees in place of the real machine's. Pure."""

from __future__ import annotations

from lab.model.topology import Topology

HOSTS, HOSTNAME, RESOLV_CONF = "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"

KUBECONFIG = "/run/lab/kubeconfig"
APISERVER_PORT = 8080
"""v1.7's --insecure-port: plain HTTP, so that learners can read on the wire what is said."""

CLUSTER_DOMAIN = "cluster.local"

NO_DNS = "# The machines of the lab are in /etc/hosts; no DNS server of the world can be reached from here.\noptions timeout:1 attempts:1\n"
"""A machine's resolv.conf: without a server in it the resolver asks 127.0.0.1, where nobody listens, so that it fails at once."""

_LOCAL = "127.0.0.1\tlocalhost\n"
_LOCAL_IPV6 = (
    "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
)


def of_machine(topology: Topology, name: str) -> dict[str, str]:
    """Path -> text for a node, client or router: the lab's machines by name, its own name, its resolver, on nodes the way to the apiserver."""
    others = "".join(f"{machine.address.ip}\t{machine.name}\n" for machine in topology.machines)
    texts = {HOSTS: _LOCAL + others, HOSTNAME: f"{name}\n", RESOLV_CONF: NO_DNS}
    return texts | {KUBECONFIG: kubeconfig(topology)} if name in {node.name for node in topology.nodes} else texts


def kubeconfig(topology: Topology) -> str:
    """What kubectl on a node needs to find the apiserver; an administrator's, on every node."""
    return (
        "apiVersion: v1\nkind: Config\ncurrent-context: lab\n"
        f"clusters:\n- name: {topology.name}\n  cluster:\n    server: http://{topology.master.address.ip}:{APISERVER_PORT}\n"
        f"contexts:\n- name: lab\n  context:\n    cluster: {topology.name}\n    user: admin\n"
        "users:\n- name: admin\n  user: {}\n"
    )
