"""Which address a new pod gets. Pure: no file, no clock, no dice."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab.errors import UsageError


class HostLocal:
    """The pod addresses of one node, as CNI's host-local plugin hands them out: the next free one after the last, in a circle.

    bridge   the bridge's address and the subnet's length, 10.244.1.1/24; the first pod gets the address after it, 10.244.1.2
    """

    def __init__(self, bridge: IPv4Interface) -> None:
        self.bridge = bridge
        self.taken: dict[IPv4Address, str] = {}
        self._last = bridge.ip

    @property
    def subnet(self) -> IPv4Network:
        """The node's subnet."""
        return self.bridge.network

    def take(self, wanted: IPv4Address | None = None, pod: str = "") -> IPv4Address:
        """An address that nobody has: the wanted one, else the next free one. `pod`: who gets it, for messages.

        Raises UsageError when the subnet is exhausted, or the wanted address is outside of it or taken.
        """
        address = self._next_free(pod) if wanted is None else self._granted(wanted, pod)
        self.taken[address] = pod or "another pod"
        if wanted is None:
            # host-local goes on behind a wanted address, too. Here others are wanted behind it, by pods that are not there yet.
            self._last = address
        return address

    def release(self, address: IPv4Address) -> None:
        """Free an address. One that nobody has changes nothing, like a repeated DEL of a CNI plugin."""
        self.taken.pop(address, None)

    def _granted(self, wanted: IPv4Address, pod: str) -> IPv4Address:
        who = f"pod {pod}: " if pod else ""
        if wanted not in self.subnet:
            raise UsageError(f"{who}the address {wanted} is outside of its node's subnet {self.subnet}; use one in it, or none")
        if owner := self._owner(wanted):
            raise UsageError(f"{who}the address {wanted} belongs to {owner}; use another one, or none")
        return wanted

    def _owner(self, address: IPv4Address) -> str:
        if address == self.bridge.ip:
            return "the node's bridge"
        if address in (self.subnet.network_address, self.subnet.broadcast_address):
            return f"the subnet {self.subnet} itself"
        return self.taken.get(address, "")

    def _next_free(self, pod: str) -> IPv4Address:
        first, size = int(self.subnet.network_address), self.subnet.num_addresses
        begin = int(self._last) - first + 1
        for step in range(size):
            address = IPv4Address(first + (begin + step) % size)
            if not self._owner(address):
                return address
        who = f"pod {pod}" if pod else "another pod"
        count = len(self.taken)
        raise UsageError(f"no address left in {self.subnet} for {who}: its {count} are taken; delete pods or use another node")
