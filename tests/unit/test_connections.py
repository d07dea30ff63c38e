"""A connection is used again while its server is there, and never after."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from lab.master.client import ApiClient, Unreachable
from lab.master.connections import MOST

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers everything with an empty object, and counts its connections."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self.listening.accept()
            except OSError:
                return
            self.open.append(one)
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        try:
            while one.recv(65536):
                one.sendall(ANSWER)
        except OSError:
            return

    def drop(self) -> None:
        """Close every connection, as a server does that ends. One that its client has already closed is left as it is."""
        for one in self.open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.listening.close()
    made.drop()


def test_many_requests_need_one_connection(server: Server) -> None:
    client = ApiClient(f"http://127.0.0.1:{server.port}")
    for _ in range(5):
        assert client.request("GET", "/version") == {}
    assert len(server.open) == 1


def test_after_a_restart_of_the_server_the_next_request_connects_anew(server: Server) -> None:
    client = ApiClient(f"http://127.0.0.1:{server.port}")
    client.request("POST", "/api", {})
    server.drop()
    server.open.clear()
    assert client.request("POST", "/api", {}) == {}
    assert len(server.open) == 1


def test_threads_do_not_share_one(server: Server) -> None:
    client = ApiClient(f"http://127.0.0.1:{server.port}")
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(client.request("GET", "/version"))) for _ in range(2 * MOST)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [{}] * 2 * MOST


def test_a_server_that_is_gone_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unreachable):
        ApiClient(f"http://127.0.0.1:{port}").request("GET", "/version")
