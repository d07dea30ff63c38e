"""The lab's Mininet: hosts, wires and the network, as Mininet's own classes see them.

Mininet's ideas stay (a Node knows how to execute commands, a Link connects two Intfs, Mininet knows them all), and so do its API and
its CLI. What changes is how they come about: a host's namespaces are made by system calls and held by descriptors, links and
addresses come by netlink, interfaces have their in-namespace names, and a host's bash starts when somebody first uses it. Nothing here
runs mnexec, ifconfig or `mn -c`, or touches the host's limits.
"""

from __future__ import annotations

import os
import string
from collections.abc import Callable, Sequence
from typing import Any

from lab.fabric import oldpython, process
from lab.fabric.namespace import Namespace
from lab.plan.operations import AddWire, Interface, Kind

with oldpython.distutils():
    import mininet.cli
    import mininet.link
    import mininet.log
    import mininet.net
    import mininet.node


class Host(mininet.node.Node):  # type: ignore[misc]
    """A machine of the lab: node, pod, router, switch or client.

    `cmd`, `sendCmd`, `popen`, `pexec` and the rest of Mininet's API work as on any Mininet node; `run` is the lab's own: it says what
    came back on each stream, and with what status.
    """

    streams = True
    """`run` can tell lines as they come."""
    isSetup = True  # Mininet would look for mnexec and ifconfig, which this class does not run

    def __init__(self, name: str, kind: Kind, namespace: Namespace) -> None:
        self.kind = kind
        self.namespace = namespace
        self.observer: Callable[[process.Result], None] | None = None
        super().__init__(name, inNamespace=True)

    @property
    def prompt(self) -> str:
        """What a root shell on this machine shows before the cursor."""
        return f"root@{self.name}:{'/' if self.kind == 'pod' else '~'}#"

    def run(
        self, command: str | Sequence[str], timeout: float = 10.0, stdin: str | None = None, heard: Callable[[str], None] | None = None
    ) -> process.Result:
        """Run a command here and wait for it; see lab.fabric.process.run."""
        return process.run(self.namespace, command, timeout, stdin, heard)

    def startShell(self, mnopts: str | None = None) -> None:
        """Called by Mininet's constructor: nothing starts yet."""

    def _shell_started(self) -> None:
        if not self.shell:
            super().startShell()

    def sendCmd(self, *args: Any, **kwargs: Any) -> None:
        """Mininet's sendCmd; the first call starts the shell."""
        self._shell_started()
        super().sendCmd(*args, **kwargs)

    def cmd(self, *args: Any, **kwargs: Any) -> Any:
        """Mininet's cmd; the first call starts the shell."""
        self._shell_started()
        return super().cmd(*args, **kwargs)

    def popen(self, *args: Any, **kwargs: Any) -> Any:
        """Mininet's popen: a process in this machine's namespaces."""
        kwargs.setdefault("mncmd", [])
        return super().popen(*args, **kwargs)

    def _popen(self, cmd: Sequence[str], **params: Any) -> Any:
        """What Mininet calls to start its shell and for popen. Its shell comes behind `mnexec OPTIONS`: `spawn` does that work."""
        argv = list(cmd)
        if argv[0] == "mnexec":
            argv = argv[2:]
        params["close_fds"] = True
        params.setdefault("stdin", None)
        return process.spawn(self.namespace, argv, **params)

    def terminate(self) -> None:
        """End the shell, if there is one, and let go of the namespaces."""
        super().terminate()
        self.namespace.close()


class Interf(mininet.link.Intf):  # type: ignore[misc]
    """A network interface that netlink has already made."""

    def __init__(self, interface: Interface, node: Host, link: Wire | None) -> None:
        super().__init__(interface.name, node=node, link=link, mac=interface.mac or None, moveIntfFn=lambda *_: None)

    def config(self, **params: Any) -> dict[str, Any]:
        """Nothing is left to configure."""
        return {}

    def updateIP(self) -> str | None:
        """The address it was given; Mininet would ask ifconfig."""
        address: str | None = self.ip
        return address

    def __str__(self) -> str:
        """With its machine in front, since every machine has an eth0 here."""
        return f"{self.node.name}-{self.name}"

    def delete(self) -> None:
        """Forget the interface; the kernel takes it away with its namespace."""
        self.node.delIntf(self)
        self.link = None


class Wire(mininet.link.Link):  # type: ignore[misc]
    """A veth pair between two hosts, already made."""

    def __init__(self, wire: AddWire, a: Host, b: Host) -> None:
        self.fast = True
        self.intf1 = Interf(wire.a, a, self)
        self.intf2 = Interf(wire.b, b, self)


class Network(mininet.net.Mininet):  # type: ignore[misc]
    """All machines of one lab. Mininet's `hosts` holds them all, switches too: a switch here is a machine with a bridge."""

    def __init__(self) -> None:
        # Mininet.init() demands root, raises the machine's limits and mounts cgroups: none of it is this lab's to change.
        mininet.net.Mininet.inited = True
        super().__init__(build=False)

    def add(self, host: Host) -> None:
        """Make a host known."""
        self.hosts.append(host)
        self.nameToNode[host.name] = host

    def wire(self, wire: AddWire) -> None:
        """Make a veth pair known."""
        self.links.append(Wire(wire, self.nameToNode[wire.a.host], self.nameToNode[wire.b.host]))

    def remove(self, name: str) -> None:
        """End a host and forget it with its wires."""
        host = self.nameToNode.pop(name)
        for link in [link for link in self.links if host in (link.intf1.node, link.intf2.node)]:
            self.links.remove(link)
            link.delete()
        self.hosts.remove(host)
        host.terminate()

    def stop(self) -> None:
        """End every host."""
        for host in list(self.hosts):
            self.remove(host.name)


class CommandLine(mininet.cli.CLI):  # type: ignore[misc]
    """Mininet's CLI, for host names with dashes in them."""

    prompt = "lab> "
    identchars = string.ascii_letters + string.digits + "-_."

    def do_xterm(self, line: str, term: str = "xterm") -> None:
        """Windows would need the host's display, which the sandbox does not reach."""
        mininet.log.error("The lab opens no windows: run `lab shell NAME` in another terminal, on a lab that `lab up` started.\n")

    do_x = do_gterm = do_xterm


def interact(network: Network) -> None:
    """Mininet's CLI on the terminal until the user leaves it."""
    os.environ.setdefault("SHELL", "/bin/bash")
    CommandLine(network)
