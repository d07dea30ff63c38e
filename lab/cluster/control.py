"""How commands in other terminals reach a lab: one request, one answer, over a private unix socket.

A request is a JSON object in one datagram of a SOCK_SEQPACKET connection, and so is the answer. Before the answer of a verb that takes its time
come datagrams with what happens meanwhile, if the request has `live`. `enter` also passes descriptors: the
namespaces of a machine. The caller joins them and runs the command itself, so that terminal, input and exit status are its own.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lab.errors import LabError, UsageError
from lab.fabric import kernel, unixsocket
from lab.master.client import TABLE

if TYPE_CHECKING:  # the asking side must not pay for importing Mininet
    from lab.cluster.facade import Cluster

DEFECT = 70
"""The status of what is the lab's own fault; EX_SOFTWARE of sysexits.h."""

_LIMIT = 1 << 20
_TOLD = 1 << 16
"""Bytes of one message before the answer."""
_SANDBOX_KINDS = ("user", "ipc", "pid")
_MACHINE_KINDS = ("net", "uts", "mnt")
KINDS = _SANDBOX_KINDS + _MACHINE_KINDS
"""The order in which the descriptors of an `enter` answer come, and in which they have to be joined."""


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, for the user alone."""
    return unixsocket.listen(path, socket.SOCK_SEQPACKET, 16)


_NO_STEPS = "this lab was not made from a scenario, so it has no steps; `lab up SCENARIO` boots one that has"
_NO_CHALLENGE = "this lab is no challenge; `lab challenge` lists them"
_REFUSALS = {"steps": _NO_STEPS, "goto": _NO_STEPS, "story": _NO_CHALLENGE, "check": _NO_CHALLENGE, "hint": _NO_CHALLENGE}

Verb = Callable[[Mapping[str, Any]], "dict[str, Any] | Long | Slow"]
Tell = Callable[[Any], None]
"""Tells whoever asked something meanwhile, as JSON. What is long, or comes while nobody reads, is not told: the answer has everything."""


@dataclass(frozen=True)
class Long:
    """An answer with lines that are too many for one datagram: they go by a file in memory, whose descriptor is passed."""

    answer: dict[str, Any]
    lines: Iterable[str]

    def file(self) -> int:
        """The file, at its beginning; the caller closes it."""
        number = os.memfd_create("lab-answer", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(number), "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in self.lines)
        os.lseek(number, 0, os.SEEK_SET)
        return number


@dataclass(frozen=True)
class Slow:
    """An answer that takes its time: `work` makes it, and tells meanwhile."""

    work: Callable[[Tell], Long]


def serve(server: socket.socket, cluster: Cluster, verbs: Mapping[str, Verb] = MappingProxyType({})) -> None:
    """Answer requests until the process is told to end. `verbs`: what this lab can be asked besides the usual."""
    known: dict[str, Verb] = {
        "daemon": functools.partial(_daemon, cluster),
        "fault": functools.partial(_fault, cluster),
        "details": functools.partial(_details, cluster),
        "graph": functools.partial(_graph, cluster),
        "trace": functools.partial(_trace, cluster),
        **verbs,
    }
    while True:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5.0)
            _answer(connection, cluster, known)


def _daemon(cluster: Cluster, request: Mapping[str, Any]) -> dict[str, Any]:
    """Do something with the daemons of a machine, all of them when none is named, and tell how they are."""
    machine, action = resolve(cluster, str(request.get("who"))), str(request.get("action", "status"))
    host = cluster.host(machine)
    named = request.get("daemon")
    if named and action != "status":
        cluster.units.act(host.name, str(named), action)
    daemons = [str(named)] if named else list(cluster.daemons.get(host.name, {}))
    return {"machine": host.name, "daemons": [cluster.units.status(host.name, one) for one in daemons]}


def _fault(cluster: Cluster, request: Mapping[str, Any]) -> dict[str, Any]:
    """Break something or mend it, where the request says what, and tell what is broken. `clear` without `who` mends all."""
    who, words = str(request.get("who") or ""), str(request.get("words") or "")
    if who:
        cluster.faults.act(who, words, str(request.get("way") or "both"), str(request.get("interface") or ""))
    elif words:
        cluster.faults.clear()
    return {"faults": cluster.faults.rows()}


def _trace(cluster: Cluster, request: Mapping[str, Any]) -> Long:
    """Take a trace; its recording is the only line of the file."""
    from lab.cluster import tracing

    patience = request.get("patience")
    wish = tracing.Wish(
        str(request.get("source")), str(request.get("target")), tracing.protocol_of(request.get("protocol")), int(request.get("size") or 0),
        bool(request.get("dontFragment")), tracing.PATIENCE if patience is None else float(patience), bool(request.get("rules", True)),
    )  # fmt: skip
    return Long({}, [json.dumps(cluster.record_trace(wish).to_json())])


def _answer(connection: socket.socket, cluster: Cluster, verbs: Mapping[str, Verb]) -> None:
    descriptors: list[int] = []
    borrowed: list[int] = []
    try:
        request = _request(connection.recv(_LIMIT))
        if request.get("verb") == "enter":
            who = str(request.get("who"))
            host = cluster.host(resolve(cluster, who)) if who else cluster.master
            borrowed = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in _SANDBOX_KINDS]
            descriptors = borrowed + [host.namespace.fds[kind] for kind in _MACHINE_KINDS]
            answer: dict[str, Any] = {"name": host.name, "kind": host.kind, "prompt": host.prompt, "environment": host.namespace.environment}
        elif request.get("verb") == "inspect":
            answer = inspect(cluster)
        elif request.get("verb") == "table":
            table = cluster.api.request("GET", str(request.get("path")), accept=TABLE)
            answer = {"table": table, "old": cluster.topology.kubernetes.startswith("v1.7.")}
        elif request.get("verb") in verbs:
            said = verbs[request["verb"]](request)
            if isinstance(said, Slow):
                said = said.work(functools.partial(_tell, connection) if request.get("live") else lambda told: None)
            answer = said.answer if isinstance(said, Long) else said
            borrowed = descriptors = [said.file()] if isinstance(said, Long) else []
        else:
            raise UsageError(_REFUSALS.get(str(request.get("verb")), f"this lab does not know the request {request.get('verb')!r}"))
    except LabError as error:
        answer = {"error": str(error), "status": error.status}
    except Exception as error:  # a defect of one request must not end the lab
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {error}; `lab logs` has the traceback", "status": DEFECT}
    socket.send_fds(connection, [json.dumps(answer).encode()], descriptors)
    for descriptor in borrowed:
        os.close(descriptor)


def _tell(connection: socket.socket, told: Any) -> None:
    text = json.dumps({"told": told}).encode()
    if len(text) > _TOLD:
        return
    patience = connection.gettimeout()
    connection.settimeout(0.0)
    with contextlib.suppress(OSError):
        connection.send(text)
    connection.settimeout(patience)


def _details(cluster: Cluster, request: Mapping[str, Any]) -> Long:
    """What a machine looks like, a section in each line."""
    from lab.cluster import details

    machine = cluster.host(resolve(cluster, str(request.get("who")))).name
    return Long({"machine": machine}, [json.dumps(section) for section in details.of(cluster, machine)])


def _request(text: bytes) -> dict[str, Any]:
    """The request in a datagram. Raises UsageError for anything else: a word as the verb, and nothing nested."""
    try:
        request = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not a request: {error}") from error
    if not isinstance(request, dict) or not isinstance(request.get("verb"), str) or any(isinstance(one, dict | list) for one in request.values()):
        raise UsageError("not a request: an object with a verb and words is wanted")
    return request


def _graph(cluster: Cluster, request: Mapping[str, Any]) -> Long:
    """The cluster's graph as JSON."""
    from lab.cluster.state import graph_of
    from lab.observe.graph import to_data

    return Long({}, [json.dumps(to_data(graph_of(cluster)))])


def ask_graph(path: Path) -> dict[str, Any]:
    """The graph of the lab that listens at `path`, as lab.observe.graph.to_data makes it. Raises as `ask` does."""
    _, (descriptor,) = ask(path, {"verb": "graph"})
    with os.fdopen(descriptor, "rb") as file:
        data: dict[str, Any] = json.load(file)
    return data


def resolve(cluster: Cluster, who: str) -> str:
    """The machine that `who` names: its whole name, or the beginning of exactly one name."""
    names = list(cluster.network.nameToNode)
    begun = [name for name in names if name.startswith(who)]
    if who in names or len(begun) != 1:
        return who
    return str(begun[0])


def inspect(cluster: Cluster) -> dict[str, Any]:
    """What is in the lab, for `lab inspect`."""
    return {
        "topology": cluster.topology.name,
        "faults": cluster.faults.rows(),
        "machines": [
            {
                "name": host.name,
                "kind": host.kind,
                "interfaces": {interface.name: _address(interface) for interface in host.intfList()},
                "daemons": {name: daemon.pid for name, daemon in cluster.daemons.get(host.name, {}).items()},
            }
            for host in cluster.network.hosts
        ],
        "pods": [
            {"name": pod.name, "namespace": pod.namespace, "node": pod.node_name, "ip": str(pod.pod_ip)} for pod in cluster.pod_objects.values()
        ],
        "services": [
            {
                "name": service.name,
                "namespace": service.namespace,
                "clusterIP": str(service.cluster_ip),
                "ports": [f"{port.port}/{port.protocol}" for port in service.ports],
            }
            for service in cluster.services
        ],
    }


def _address(interface: Any) -> str:
    return f"{interface.ip}/{interface.prefixLen}" if interface.ip else ""


def ask(path: Path, request: dict[str, Any], timeout: float = 10.0, told: Tell | None = None) -> tuple[dict[str, Any], list[int]]:
    """One request to the lab that listens at `path`: its answer, and the descriptors that came with it.

    timeout   seconds
    told      called with what the lab tells before the answer
    Raises LabError when nobody answers; an error that the lab answers is raised with its status.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps(request | ({"live": True} if told else {})).encode())
            answer, descriptors = _received(connection, time.monotonic() + timeout, told)
        except OSError as error:
            raise LabError(f"the lab does not answer at {path}: {error.strerror or error}; `lab ps` shows its state") from error
    if "error" in answer:
        for descriptor in descriptors:
            os.close(descriptor)
        raise _error(answer)
    return answer, descriptors


def _received(connection: socket.socket, deadline: float, told: Tell | None) -> tuple[dict[str, Any], list[int]]:
    while True:
        text, descriptors, _, _ = socket.recv_fds(connection, _LIMIT, len(KINDS))
        answer: dict[str, Any] = json.loads(text or b"{}")
        if told is None or "told" not in answer:
            return answer, descriptors
        told(answer["told"])
        connection.settimeout(max(deadline - time.monotonic(), 0.001))


def _error(answer: dict[str, Any]) -> LabError:
    if answer.get("status") == UsageError.status:
        return UsageError(answer["error"])
    error = LabError(answer["error"])
    error.status = int(answer.get("status", error.status))
    return error


def join_network(descriptors: list[int]) -> None:
    """Move this process into the network namespace of the machine that `enter`'s descriptors stand for, and close them."""
    for kind, descriptor in zip(KINDS, descriptors, strict=True):
        if kind in ("user", "net") and os.fstat(descriptor).st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino:
            kernel.setns(descriptor)
        os.close(descriptor)


def enter(descriptors: list[int], argv: list[str], directory: str, environment: Mapping[str, str]) -> int:
    """Run a command in the machine that `enter`'s descriptors stand for, on the caller's terminal, and return its exit status."""
    from lab.fabric.sandbox import exit_status

    for kind, descriptor in zip(KINDS, descriptors, strict=True):
        # Joining the user namespace one is in is refused (root's lab has the host's).
        if os.fstat(descriptor).st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino:
            kernel.setns(descriptor)
        os.close(descriptor)
    child = os.fork()
    if child == 0:
        _exec(argv, directory, environment)
    import signal

    # Whoever waits must outlive the command, also when its terminal hangs up: else nobody in the sandbox could reap it, and the lab could not end.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    return exit_status(status)


def _exec(argv: list[str], directory: str, environment: Mapping[str, str]) -> None:
    """The child's part: become the command, or exit as a shell does, 127 for not found and 126 for not executable."""
    status = 126
    try:
        with contextlib.suppress(OSError):
            os.chdir(directory)
        os.execvpe(argv[0], argv, environment)
    except FileNotFoundError:
        status = 127
        os.write(2, f"{argv[0]}: command not found\n".encode())
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(status)


def lines_of(descriptors: list[int]) -> list[str]:
    """The lines of a long answer; the descriptor is closed."""
    (number,) = descriptors
    with os.fdopen(number, encoding="utf-8") as file:
        return file.read().splitlines()
