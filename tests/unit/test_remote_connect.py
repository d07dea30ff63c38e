"""From a kubeconfig file to a connection, and what an apiserver may answer: the real client, on loopback."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from lab.cli import main
from lab.errors import ClusterError, InputError
from lab.model.manifests import Objects
from lab.remote import start
from lab.remote.api import Api
from lab.remote.connect import Refused, connect

CONTEXT = {"name": "c", "context": {"cluster": "k", "user": "u"}}


def kubeconfig(folder: Path, server: str = "http://127.0.0.1:1", **changes: Any) -> str:
    users, clusters = [{"name": "u", "user": {"token": "t"}}], [{"name": "k", "cluster": {"server": server}}]
    document = {"current-context": "c", "contexts": [CONTEXT], "clusters": clusters, "users": users, **changes}
    file = folder / "kubeconfig"
    file.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))
    return str(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not valid YAML"),
        ("[" * 1200, "not valid YAML"),
        ("5", "no list of contexts"),
        ("contexts: 5", "no list of contexts"),
        ("contexts: []", "no current-context; choose one by --context: it has none"),
        ("contexts: [5, {name: a}]\ncurrent-context: b", "no context 'b'; it has a"),
        ("contexts: [{name: b}]\ncurrent-context: b", "'b' cannot be used"),
        ("contexts: [{name: b, context: 5}]\ncurrent-context: b", "'b' cannot be used"),
        ("contexts: [{name: b, context: {cluster: k, user: u}}]\ncurrent-context: b", "'b' cannot be used"),
        ("\x00", "not valid YAML"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        connect(str(file))
    assert words in str(caught.value) and str(file) in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for file in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match="cannot read the kubeconfig file"):
            connect(str(file))
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        connect(str(binary))


def test_a_context_is_chosen(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, **{"current-context": None})
    with pytest.raises(InputError, match="choose one by --context: it has c"):
        connect(file)
    assert connect(file, "c").server == "http://127.0.0.1:1"


def test_without_the_python_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    assert main.main(["run", "nginx-service", "--kubeconfig", kubeconfig(tmp_path)]) == 3
    assert "which is not installed; get it with" in capsys.readouterr().err


@pytest.fixture(name="answering")
def _answering() -> Iterator[tuple[str, dict[str, tuple[int, bytes]]]]:
    """An apiserver that knows its answers by the first word of the request."""
    answers: dict[str, tuple[int, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = answers.get(self.command, (200, b"{}"))
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", answers
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def status(code: int, reason: str, message: str) -> tuple[int, bytes]:
    return code, json.dumps({"kind": "Status", "reason": reason, "message": message}).encode()


def test_refusals_are_told_in_the_apiservers_words(tmp_path: Path, answering: tuple[str, dict[str, tuple[int, bytes]]]) -> None:
    server, answers = answering
    reached = Api(connect(kubeconfig(tmp_path, server)), "ns")
    answers["GET"] = status(403, "Forbidden", 'pods is forbidden: User "u" cannot list resource "pods"')
    with pytest.raises(Refused, match="cannot list pods in the namespace ns: pods is forbidden") as caught:
        reached.list("pods")
    assert (caught.value.code, caught.value.reason, caught.value.status) == (403, "Forbidden", 3)
    answers["GET"] = status(401, "Unauthorized", "Unauthorized")
    with pytest.raises(Refused, match="log in again"):
        reached.list("pods")
    answers["GET"] = (502, b"<html>a proxy's page</html>")
    with pytest.raises(Refused, match="Bad Gateway"):
        reached.list("pods")
    answers["GET"] = status(404, "NotFound", "no")
    assert reached.find("pods", "p") is None


def test_who_may_make_no_namespace_is_told_of_the_option(tmp_path: Path, answering: tuple[str, dict[str, tuple[int, bytes]]]) -> None:
    server, answers = answering
    answers["POST"] = status(403, "Forbidden", "namespaces is forbidden")
    want, told = start.Wanted("demo", Objects()), list[str]()
    with pytest.raises(ClusterError, match="namespaces is forbidden; name a namespace that you may use by --namespace"):  # noqa: SIM117
        with start.on(connect(kubeconfig(tmp_path, server)), want, lambda what, seconds: None, told.append):
            raise AssertionError("not reached")
    assert told == []


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"http://127.0.0.1:1 does not answer: .*refused; is it the right context \(c\)"):
        Api(connect(kubeconfig(tmp_path)), "ns").list("pods")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--kubeconfig", "K", "--backend", "vxlan"), "--backend and --kubeconfig exclude each other"),
        (("--kubeconfig", "K", "--proxy-mode", "nftables", "--topology", "flat"), "--topology, --proxy-mode and --kubeconfig"),
        (("--context", "c"), "--context: only together with --kubeconfig"),
        (("--node-access", "--namespace", "x"), "--namespace, --node-access: only together"),
        (("--kubeconfig", "K", "--wait", "nan"), "--wait nan"),
        (("--kubeconfig", "K", "--wait", "0"), "--wait 0"),
        (("--wait", "0"), "--wait: only together"),
        (("--kubeconfig", "K", "--image", "=x"), "--image =x: write NAME=IMAGE"),
        (("--kubeconfig", "K", "--namespace", "A"), "--namespace: `A` is not a DNS label"),
        (("--kubeconfig", "K", "--step", "--format", "json"), "--step"),
        (("--kubeconfig", ""), "cannot read the kubeconfig file"),
    ],
)
def test_options_that_do_not_go_together(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str) -> None:
    assert main.main(["run", "nginx-service", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_scenario_that_only_a_lab_can_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["run", "partition", "--kubeconfig", kubeconfig(tmp_path)]) == 3
    assert "partition: every step needs what only a lab has: it cuts a node off" in capsys.readouterr().err
