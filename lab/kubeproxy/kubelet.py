"""The rules that kubelet v1.7 keeps on a node beside kube-proxy's: the mark for packets to drop, and the chain that drops them. Pure.

kube-proxy's KUBE-FW and KUBE-XLB chains jump to KUBE-MARK-DROP, but only kubelet creates it: without kubelet's part iptables-restore
refuses the whole table of a node with a LoadBalancer service. kubelet also writes KUBE-MARK-MASQ and KUBE-POSTROUTING; kube-proxy writes
the same again, so they stand in its part.
"""

from __future__ import annotations

from lab.kubeproxy.tables import Jump, Table

CHAIN = "KUBE-FIREWALL"
JUMPS = (Jump("OUTPUT", f"-j {CHAIN}"), Jump("INPUT", f"-j {CHAIN}"))
"""The chain and its jumps; today's kube-proxy writes into it as well, and leaves it to kubelet when it cleans up."""

DROP_BIT = 15
"""kubelet's --iptables-drop-bit."""


def tables(drop_bit: int = DROP_BIT) -> tuple[Table, Table]:
    """kubelet's part of the filter and of the nat table. `drop_bit` 0 to 31.

    KUBE-FIREWALL hangs on INPUT and OUTPUT only: a marked packet that is forwarded survives, as it did in v1.7.
    """
    mark = f"{1 << drop_bit:#x}/{1 << drop_bit:#x}"
    comment = '-m comment --comment "kubernetes firewall for dropping marked packets"'
    return (
        Table(
            "filter",
            (CHAIN,),
            (f"-A {CHAIN} {comment} -m mark --mark {mark} -j DROP",),
            jumps=JUMPS,
        ),
        Table("nat", ("KUBE-MARK-DROP",), (f"-A KUBE-MARK-DROP -j MARK --set-xmark {mark}",)),
    )
