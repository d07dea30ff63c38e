"""The container runtime of a node: `python -m lab.kubelet.runtime`. It makes pods and runs their containers, and decides nothing.

One thread, one loop: requests on its socket (lab.kubelet.protocol), what containers say, and processes that end. It forks, so it must never
have a second thread. It knows its pods only as long as it lives; the kubelet may come and go.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lab.errors import BootError, LabError
from lab.fabric import netlink, process
from lab.fabric.namespace import Namespace
from lab.kubelet import leftovers, logs, protocol, wires
from lab.kubelet.protocol import Message, RuntimeTrouble
from lab.kubelet.records import PodRecord, Program, Sandbox
from lab.kubelet.runtime_container import Container, ancestors, sweep

_SWEEPS = 50
_SEND_TIMEOUT = 1.0
_LOGS_EVERY = 10.0
"""Seconds between two looks at how large the files are that programs in pods log to by themselves."""


class Pod:
    """A pod: its namespaces, None once it is stopped, and its containers."""

    def __init__(self, sandbox: Sandbox, namespace: Namespace) -> None:
        self.sandbox = sandbox
        self.namespace: Namespace | None = namespace
        self.containers: dict[str, Container] = {}
        self.version = 0

    def record(self) -> PodRecord:
        """What is known of it."""
        return PodRecord(self.sandbox, {name: one.runs for name, one in self.containers.items()}, self.namespace is None, self.version)


Answer = tuple[list[Message], tuple[int, ...]]


class Runtime:
    """The runtime of the node whose namespaces the calling thread is in. `server`: its listening socket."""

    def __init__(self, server: socket.socket) -> None:
        self.server = server
        self.node = Namespace.current("node")
        self.pods: dict[str, Pod] = {}
        self._sockets = netlink.Sockets()
        self._selector = selectors.DefaultSelector()
        self._watchers: list[socket.socket] = []
        self._peers: dict[socket.socket, int] = {}
        self._ancestors = ancestors()
        self._ending = False

    def run(self) -> int:
        """End what a killed runtime has left, and serve until SIGTERM; every pod ends with it."""
        if ended := leftovers.end(self.node, self._sockets, self._ancestors):
            sys.stderr.write(f"ended what an earlier runtime has left: {', '.join(ended)}\n")
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self._on(woken, lambda: self._woken(woken))
        self._on(self.server, self._accept)
        due = 0.0
        while not self._ending:
            if (now := time.monotonic()) >= due:
                self._bound_logs()
                due = now + _LOGS_EVERY
            for key, _ in self._selector.select(due - now):
                if self._selector.get_map().get(key.fd) is key:  # an earlier one of this round may have closed it
                    key.data()
        for uid in list(self.pods):
            self._remove({"uid": uid})
        return 0

    def _bound_logs(self) -> None:
        for pod in self.pods.values():
            for container in pod.containers.values():
                container.bound_logs()

    def _end(self, *_: object) -> None:
        self._ending = True

    def _on(self, thing: Any, handler: Callable[[], None]) -> None:
        self._selector.register(thing, selectors.EVENT_READ, handler)

    def _woken(self, pipe: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(pipe, 4096)
        self._reap()

    def _reap(self) -> None:
        lives = {one.pid: (pod, one) for pod in self.pods.values() for one in pod.containers.values() if one.pid}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in lives:
                pod, container = lives[pid]
                self._deafen(container)
                container.ended(os.waitstatus_to_exitcode(status))
                self._tell("ended", pod, container.name)

    def _deafen(self, container: Container) -> None:
        for descriptor in container.streams.said:
            with contextlib.suppress(KeyError):
                self._selector.unregister(descriptor)

    def _tell(self, event: str, pod: Pod, container: str = "") -> None:
        pod.version += 1
        message = {"event": event, "container": container, "record": pod.record().as_json()}
        for watcher in list(self._watchers):
            try:
                protocol.send(watcher, message)
            except OSError:
                self._drop(watcher)

    def _accept(self) -> None:
        connection, _ = self.server.accept()
        connection.settimeout(_SEND_TIMEOUT)
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        self._peers[connection] = struct.unpack("3i", raw)[0]
        self._on(connection, lambda: self._serve(connection))

    def _drop(self, connection: socket.socket) -> None:
        if connection in self._peers:
            self._selector.unregister(connection)
            del self._peers[connection]
            if connection in self._watchers:
                self._watchers.remove(connection)
            connection.close()

    def _serve(self, connection: socket.socket) -> None:
        given: list[int] = []
        try:
            received = protocol.receive(connection)
            if received is None:
                return self._drop(connection)
            for unwanted in received[1]:
                os.close(unwanted)
            messages, descriptors = self._answer(connection, received[0])
            given = list(descriptors)
            for message in messages:
                protocol.send(connection, message, descriptors)
        except ValueError as error:
            with contextlib.suppress(OSError):
                protocol.send(connection, {"error": f"not a request: {error}"})
        except OSError:
            self._drop(connection)
        finally:
            for descriptor in given:
                os.close(descriptor)

    def _answer(self, connection: socket.socket, request: Message) -> Answer:
        try:
            verb = request.get("verb")
            if verb == "watch":
                connection.setblocking(False)
                self._watchers.append(connection)
                return [{}], ()
            if verb not in _VERBS:
                raise RuntimeTrouble(f"there is no verb {verb!r}; there are watch, {', '.join(sorted(_VERBS))}")
            return _VERBS[verb](self, request)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return [{"error": f"the request {request.get('verb')!r} does not fit: {error!r}"}], ()
        except (LabError, OSError) as error:
            return [{"error": str(error)}], ()

    def _pod(self, request: Message) -> Pod:
        """The pod that a request means: by uid, or by namespace and name."""
        for pod in self.pods.values():
            box = pod.sandbox
            if request.get("uid", box.uid) == box.uid and request.get("name", box.name) == box.name:
                if "uid" not in request and "name" not in request:
                    break
                if request.get("namespace", box.namespace) == box.namespace:
                    return pod
        raise RuntimeTrouble(f"no pod {request.get('name') or request.get('uid')!r} runs here")

    def _list(self, request: Message) -> Answer:
        return [*(pod.record().as_json() for pod in self.pods.values()), {}], ()

    def _create(self, request: Message) -> Answer:
        sandbox = Sandbox.of(request["sandbox"])
        if sandbox.uid in self.pods or any(pod.sandbox.key == sandbox.key and pod.namespace for pod in self.pods.values()):
            raise RuntimeTrouble(f"the pod {sandbox.namespace}/{sandbox.name} is here already")
        pod = self.pods[sandbox.uid] = Pod(sandbox, self._make(sandbox))
        self._tell("came", pod)
        return [pod.record().as_json()], ()

    def _make(self, sandbox: Sandbox) -> Namespace:
        return wires.make(sandbox, self.node, self._sockets)

    def _start(self, request: Message) -> Answer:
        pod, program = self._pod(request), Program.of(request["program"])
        if pod.namespace is None:
            raise RuntimeTrouble(f"the pod {pod.sandbox.name} has been stopped")
        container = pod.containers.setdefault(program.container, Container(pod.sandbox, program.container))
        if container.pid:
            raise RuntimeTrouble(f"the container {program.container} of pod {pod.sandbox.name} runs already")
        self._deafen(container)
        run = container.start(pod.namespace, program)
        for descriptor in container.streams.said:
            self._on(descriptor, partial(self._hear, container, descriptor))
        self._tell("began" if run.pid else "ended", pod, container.name)
        return [pod.record().as_json()], ()

    def _hear(self, container: Container, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            if not container.hear(descriptor):
                self._selector.unregister(descriptor)

    def _signal(self, request: Message) -> Answer:
        pod = self._pod(request)
        number = signal.Signals(request["signal"])
        container = pod.containers.get(request["container"])
        if container is not None and container.pid:
            with contextlib.suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(container.pid, number)
                else:
                    os.kill(container.pid, number)
        return [{}], ()

    def _stop(self, request: Message) -> Answer:
        """End what is left of a pod and take its network away; what it said, and how it ended, stays."""
        pod = self._pod(request)
        namespace, pod.namespace = pod.namespace, None
        if namespace is None:
            return [pod.record().as_json()], ()
        spared = self._ancestors | set(self._peers.values())
        sweep(namespace, spared)
        for container in pod.containers.values():
            if pid := container.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                    os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + _SEND_TIMEOUT
        while any(container.pid for container in pod.containers.values()) and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.0005)
        wires.unmake(pod.sandbox, namespace, self.node, self._sockets)
        self._tell("went", pod)
        return [pod.record().as_json()], ()

    def _remove(self, request: Message) -> Answer:
        """Stop a pod and forget it, with its logs."""
        pod = self._pod(request)
        self._stop(request)
        for container in pod.containers.values():
            self._deafen(container)
            container.close()
        del self.pods[pod.sandbox.uid]
        shutil.rmtree(logs.place(pod.sandbox.namespace, pod.sandbox.name, pod.sandbox.uid, "x", 0).parents[1], ignore_errors=True)
        self._tell("removed", pod)
        return [{}], ()

    def _enter(self, request: Message) -> Answer:
        pod = self._pod(request)
        if pod.namespace is None:
            raise RuntimeTrouble(f"the pod {pod.sandbox.name} has been stopped")
        asked = request.get("container") or next(iter(pod.containers), "")
        environment = pod.containers[asked].environment if asked in pod.containers else {}
        return [pod.record().as_json() | {"environment": environment}], tuple(os.dup(pod.namespace.fds[kind]) for kind in protocol.KINDS)

    def _end_input(self, request: Message) -> Answer:
        container = self._pod(request).containers.get(request["container"])
        if container is not None:
            container.end_input()
        return [{}], ()

    def _attach(self, request: Message) -> Answer:
        pod = self._pod(request)
        container = pod.containers.get(request["container"])
        if container is None or not container.pid:
            raise RuntimeTrouble(f"the container {request['container']} of pod {pod.sandbox.name} does not run")
        said, stdin = container.listen()
        return [{"tty": container.streams.tty}], (said.detach(), *([os.dup(stdin)] if stdin >= 0 else []))


_VERBS: dict[str, Callable[[Runtime, Message], Answer]] = {
    "pods": Runtime._list,
    "create": Runtime._create,
    "start": Runtime._start,
    "signal": Runtime._signal,
    "stop": Runtime._stop,
    "remove": Runtime._remove,
    "enter": Runtime._enter,
    "attach": Runtime._attach,
    "end-input": Runtime._end_input,
}


def serve(descriptor: int) -> int:
    """Run a runtime on an already listening socket, in the namespaces of the calling process; what lab.fabric.daemon.fork starts."""
    return Runtime(socket.socket(fileno=descriptor)).run()


def main(argv: Sequence[str]) -> int:
    """Run a runtime in the node whose namespaces this process is in, listening at the path that the arguments name, until SIGTERM."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m lab.kubelet.runtime", description="The container runtime of a node of the lab.")
    parser.add_argument("--listen", metavar="PATH", default=protocol.SOCKET, help=f"the socket ({protocol.SOCKET})")
    path = parser.parse_args(list(argv)).listen
    try:
        server = protocol.listen(None, path)
    except OSError as error:
        raise BootError(f"cannot listen at {path}: {error.strerror}") from error
    return serve(server.detach())


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.status)
    except SystemExit as end:
        sys.exit(process.status_of(end))
