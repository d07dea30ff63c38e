"""A kubeconfig file, and one of its contexts, to the Python client's connection; and what can go wrong with either, for people.

The client is an extra of its own (`graduation`), imported here only: a lab does not need it.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.errors import ClusterError, InputError, MachineError, Problem

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 30.0
"""How long a cluster may take to accept a connection, and to answer a request."""


@dataclass(frozen=True)
class Connection:
    """A way to a cluster.

    client    kubernetes.client.ApiClient
    file      the kubeconfig file, as the person named it
    context   its context in use
    namespace the context's own, empty for none
    """

    client: Any
    file: str
    context: str
    namespace: str

    @property
    def server(self) -> str:
        """The apiserver's address."""
        return str(self.client.configuration.host)


def connect(file: str, context: str | None = None) -> Connection:
    """Read the file. Nothing is sent yet, but a login program that the file names may run.

    Raises InputError for a file or context that is wrong, MachineError without the Python client.
    """
    document = _document(file)
    names = [str(one["name"]) for one in document["contexts"] if isinstance(one, dict) and one.get("name")]
    chosen = context or document.get("current-context") or ""
    if chosen not in names:
        known = f"it has {', '.join(names)}" if names else "it has none"
        text = f"there is no context {chosen!r}; {known}" if chosen else f"it has no current-context; choose one by --context: {known}"
        raise InputError([Problem(file, 0, "contexts", text)])
    client, config = _modules()
    configuration = client.Configuration()
    try:
        config.load_kube_config(file, chosen, configuration, persist_config=False)
    except (config.ConfigException, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        words = f"its context {chosen!r} cannot be used: {str(error) or type(error).__name__}"
        raise InputError([Problem(file, 0, "", words)]) from error
    configuration.retries = 1
    detail = next(one.get("context") or {} for one in document["contexts"] if isinstance(one, dict) and one.get("name") == chosen)
    return Connection(client.ApiClient(configuration), file, chosen, str(detail.get("namespace") or ""))


def _document(file: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(Path(file).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        words = (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError([Problem(file, 0, "", f"cannot read the kubeconfig file: {words}")]) from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 0
        raise InputError([Problem(file, line, "", f"not valid YAML: {getattr(error, 'problem', None) or 'nested too deeply'}")]) from error
    if not isinstance(document, dict) or not isinstance(document.get("contexts"), list):
        raise InputError([Problem(file, 0, "contexts", "this is no kubeconfig file: it has no list of contexts")])
    return document


def _modules() -> tuple[Any, Any]:
    try:
        import urllib3
        import websocket
        from kubernetes import client, config
    except ImportError as error:
        text = "a cluster elsewhere is reached by the Python package kubernetes, which is not installed"
        raise MachineError(f"{text}; get it with `{sys.executable} -m pip install kubernetes`") from error
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    websocket.setdefaulttimeout(ANSWER_SECONDS)
    return client, config


class Refused(ClusterError):
    """The apiserver's refusal. `code` is its HTTP status, `reason` its word such as AlreadyExists."""

    def __init__(self, code: int, reason: str, text: str) -> None:
        super().__init__(text)
        self.code, self.reason = code, reason


@contextlib.contextmanager
def speaking(connection: Connection, what: str) -> Iterator[None]:
    """Inside the block the client's exceptions become Refused, or ClusterError where nobody answers. `what` is being tried, for the message."""
    import urllib3
    from kubernetes.client.exceptions import ApiException, OpenApiException

    try:
        yield
    except ApiException as error:
        if isinstance(error.__context__, KeyboardInterrupt | SystemExit):
            raise error.__context__ from None  # the client's WebSocket takes Ctrl-C for a broken connection
        raise _refused(connection, what, int(error.status or 0), error.reason, error.body) from error
    except (urllib3.exceptions.HTTPError, OSError, ssl.SSLError) as error:
        text = f"the cluster at {connection.server} does not answer: {_why(error)}; is it the right context ({connection.context})?"
        raise ClusterError(text) from error
    except OpenApiException as error:
        raise ClusterError(f"{what}: {error}") from error


def _refused(connection: Connection, what: str, code: int, reason: str, body: Any) -> ClusterError:
    said: dict[str, Any] = {}
    with contextlib.suppress(ValueError, TypeError):
        read = json.loads(body)
        said = read if isinstance(read, dict) else {}
    message = str(said.get("message") or reason or f"HTTP status {code}").strip()
    shaken = re.search(r"Handshake status (\d+)", message)
    if code == 0 and shaken:  # the answer to a WebSocket's request, as the client tells it
        told = re.search(r'"message": ?"((?:[^"\\\\]|\\\\.)*)"', message)
        code, message = int(shaken[1]), told[1] if told else f"HTTP status {shaken[1]}"
    if code == 0:
        return ClusterError(f"the cluster at {connection.server} does not answer: {message}")
    if code == 401:
        message = f"it does not accept who you are ({message}); log in again, or choose another --context than {connection.context}"
    return Refused(code, str(said.get("reason") or ""), f"{what}: {message}")


def _why(error: BaseException) -> str:
    """The innermost reason of urllib3's nested errors."""
    inner: Any = error
    while isinstance(deeper := getattr(inner, "reason", None), BaseException):
        inner = deeper
    told = str(inner)
    return told.rpartition(">: ")[2] if ">: " in told else told
