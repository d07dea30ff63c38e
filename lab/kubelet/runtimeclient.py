"""The asking side of the container runtime: the kubelet's, and that of the lab's main process."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator

from lab.fabric.namespace import Namespace
from lab.kubelet import protocol
from lab.kubelet.protocol import Message, RuntimeTrouble
from lab.kubelet.records import PodRecord, Program, Sandbox

TIMEOUT = 15.0


class RuntimeClient:
    """Talks to the runtime of one node; threads may share it.

    namespace   the node's; None: where the caller is
    Every method raises RuntimeTrouble when the runtime refuses or does not answer.
    """

    def __init__(self, namespace: Namespace | None = None, path: str = protocol.SOCKET) -> None:
        self._namespace, self._path = namespace, path
        self._connection = self._connect()
        self._lock = threading.Lock()

    def _connect(self) -> socket.socket:
        connection = protocol.connect(self._namespace, self._path)
        connection.settimeout(TIMEOUT)
        return connection

    def pods(self) -> list[PodRecord]:
        """Every pod that it has."""
        with self._lock:
            found, message = [], self._ask({"verb": "pods"})[0]
            while message:
                found.append(PodRecord.of(message))
                message = self._receive()[0]
            return found

    def create(self, sandbox: Sandbox) -> PodRecord:
        """Make a pod without containers."""
        return self._record({"verb": "create", "sandbox": sandbox.as_json()})

    def start(self, uid: str, program: Program) -> PodRecord:
        """Start a container. The record tells whether its program could be executed."""
        return self._record({"verb": "start", "uid": uid, "program": program.as_json()})

    def signal(self, uid: str, container: str, number: signal.Signals) -> None:
        """Signal a container's process; SIGKILL goes to all of its session. Nothing happens when it has ended."""
        self._call({"verb": "signal", "uid": uid, "container": container, "signal": int(number)})

    def stop(self, uid: str) -> PodRecord:
        """End everything in a pod and take its network away; its logs stay."""
        return self._record({"verb": "stop", "uid": uid})

    def remove(self, uid: str) -> None:
        """Stop a pod and forget it."""
        self._call({"verb": "remove", "uid": uid})

    def enter(self, name: str, namespace: str = "default", container: str = "") -> tuple[PodRecord, Namespace]:
        """A pod and its namespaces, which the caller has to close. Their environment is that of a container, the first if none is named."""
        message, descriptors = self._call({"verb": "enter", "name": name, "namespace": namespace, "container": container})
        inside = Namespace(name, dict(zip(protocol.KINDS, descriptors, strict=True)))
        inside.environment = message["environment"]
        return PodRecord.of(message), inside

    def attach(self, uid: str, container: str) -> tuple[socket.socket, int, bool]:
        """What a container says from now on (a byte 1 or 2 for the stream, then data), its input or -1, whether that is a terminal."""
        message, descriptors = self._call({"verb": "attach", "uid": uid, "container": container})
        return socket.socket(fileno=descriptors[0]), descriptors[1] if len(descriptors) > 1 else -1, bool(message["tty"])

    def end_input(self, uid: str, container: str) -> None:
        """Let a container read the end of its input: nobody will attach to it any more."""
        self._call({"verb": "end-input", "uid": uid, "container": container})

    def events(self) -> Iterator[Message]:
        """What happens, as it happens: `event` is came, began, ended, went or removed, `container` its name, `record` the pod (PodRecord.of).

        By the time the first one is asked for, nothing that happens afterwards is missed; begins with an empty message that says so.
        """
        connection = self._connect()
        with connection:
            protocol.send(connection, {"verb": "watch"})
            connection.settimeout(None)
            while (received := protocol.receive(connection)) is not None:
                yield received[0]

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _record(self, request: Message) -> PodRecord:
        return PodRecord.of(self._call(request)[0])

    def _call(self, request: Message) -> tuple[Message, list[int]]:
        with self._lock:
            return self._ask(request)

    def _ask(self, request: Message) -> tuple[Message, list[int]]:
        try:
            protocol.send(self._connection, request)
        except OSError as error:
            raise RuntimeTrouble(f"the container runtime has gone: {error}") from error
        return self._receive()

    def _receive(self) -> tuple[Message, list[int]]:
        try:
            received = protocol.receive(self._connection)
        except (OSError, ValueError) as error:
            raise RuntimeTrouble(f"the container runtime does not answer: {error}") from error
        if received is None:
            raise RuntimeTrouble("the container runtime has gone")
        if "error" in received[0]:
            for descriptor in received[1]:
                os.close(descriptor)
            raise RuntimeTrouble(str(received[0]["error"]))
        return received
