"""The machines of a cluster elsewhere, as steps see them: pods, nodes, and the operator who types kubectl."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence

from lab.errors import CommandError, NotHere
from lab.fabric.process import Result
from lab.remote import kubectl
from lab.remote.api import Api

NEEDS_NODE = ("it needs access to nodes, which --node-access gives", "需要进入节点，加 --node-access 才能做")
TIMEOUT = 10.0

Command = str | Sequence[str]


class PodHost:
    """A pod. `container`: the one that commands run in."""

    def __init__(self, api: Api, name: str, container: str) -> None:
        self._api = api
        self.name = name
        self._container = container

    @property
    def prompt(self) -> str:
        """What a shell there would show."""
        return f"root@{self.name}:/#"

    def run(self, command: Command, timeout: float = TIMEOUT) -> Result:
        """Run a command; CommandError if it cannot be run or takes longer than `timeout` seconds."""
        return self._api.execute(self.name, self._container, command, timeout, self.name)


class NodeHost:
    """A node. `pod`: gives the name of a privileged pod in its network and that pod's container; None: nobody may enter nodes."""

    def __init__(self, api: Api, name: str, pod: Callable[[str], tuple[str, str]] | None) -> None:
        self._api = api
        self.name = name
        self._pod = pod

    @property
    def prompt(self) -> str:
        """What a shell there would show."""
        return f"root@{self.name}:~#"

    def admit(self, command: Command) -> None:
        """NotHere where nodes are out of reach."""
        if self._pod is None:
            raise NotHere(*NEEDS_NODE)

    def run(self, command: Command, timeout: float = TIMEOUT) -> Result:
        """Run a command in the node's network, with the programs of the pod's image."""
        self.admit(command)
        assert self._pod is not None
        pod, container = self._pod(self.name)
        return self._api.execute(pod, container, command, timeout, self.name)


class Operator:
    """Whoever types kubectl: this machine's own, told which cluster and namespace it is about."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.name = "kubectl"
        self.prompt = f"{api.namespace}$"

    def admit(self, command: Command) -> None:
        """NotHere for a command that is not run on somebody's cluster, or without kubectl."""
        kubectl.words(command)
        if shutil.which("kubectl") is None:
            raise NotHere("it needs kubectl on this machine (https://kubernetes.io/docs/tasks/tools)", "需要本机有 kubectl")

    def run(self, command: Command, timeout: float = TIMEOUT) -> Result:
        """Run kubectl, without a shell."""
        self.admit(command)
        connection = self._api.connection
        place = ["--kubeconfig", os.path.expanduser(connection.file), "--context", connection.context, "--namespace", self._api.namespace]
        typed = command if isinstance(command, str) else shlex.join(command)
        begun = time.monotonic()
        argv = ["kubectl", *place, *kubectl.words(command)]
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace", timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(f"kubectl: `{typed}` did not end within {timeout:g} s") from error
        except OSError as error:
            raise CommandError(f"kubectl cannot be started: {error.strerror}") from error
        return Result(self.name, typed, done.returncode, done.stdout, done.stderr, time.monotonic() - begun)
