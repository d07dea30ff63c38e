"""The apiserver's process: sockets, signals, and what runs in the background."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
from argparse import Namespace as Flags
from collections.abc import Sequence
from ipaddress import IPv4Address

from aiohttp import web

from lab.errors import BootError, LabError
from lab.master.apiserver import begin, certificates, flags
from lab.master.apiserver.addresses import Addresses
from lab.master.apiserver.cache import Cache
from lab.master.apiserver.errors import Refused
from lab.master.apiserver.registry import Registry
from lab.master.apiserver.relay import Relay
from lab.master.apiserver.requests import Requests
from lab.master.apiserver.store import Store
from lab.master.apiserver.tokens import Tokens
from lab.master.apiserver.web import Site, log

BACKLOG = 512
_AGAIN = 0.2
"""Seconds between tries to create what has to be there, while etcd is away."""


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status. The log is stderr."""
    args = flags.parse(argv)
    try:
        asyncio.run(_run(args))
    except LabError as error:
        log(f"apiserver: {error}")
        return error.status
    return 0


def _raise_file_limit() -> None:
    """Every watch is an open socket, and many machines allow 1024 unless one asks for more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _run(args: Flags) -> None:
    _raise_file_limit()
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    cache = Cache(args.watch_cache_size)
    store = Store(args.etcd_servers.split(","), cache, log)
    addresses = Addresses(cache, args.service_cluster_ip_range, args.service_node_port_range)
    registry = Registry(store, addresses)
    advertised = args.advertise_address or args.insecure_bind_address
    registry.has_https = bool(args.secure_port)
    making: asyncio.Future[certificates.Made] = loop.create_future()
    site = Site(
        Requests(registry, args.table_columns), Relay(registry, args.kubelet_port), lambda: store.is_ready, args.kubernetes_version,
        f"{advertised}:{args.secure_port or args.insecure_port}", log, registry,
    )  # fmt: skip
    server = site.server()
    listening = await _listen(server, args)
    store.start()
    tasks = [asyncio.create_task(_begin(store, registry, args, making))]
    if args.secure_port:
        port = certificates.listen(args.bind_address, args.secure_port, BACKLOG)
        tasks.append(asyncio.create_task(certificates.serve(server, port, making, log)))
    await stopped.wait()
    for one in listening:
        one.close()
    cache.end()
    for task in tasks:
        task.cancel()
    await server.shutdown(1.0)
    # Some may still wait for an etcd that does not answer; nothing of theirs has been acknowledged.
    log("apiserver: ended")
    os._exit(0)


async def _listen(server: web.Server, args: Flags) -> list[asyncio.AbstractServer]:
    """Every socket that does not need a certificate. Raises BootError when one cannot be had."""
    loop = asyncio.get_running_loop()
    listening: list[asyncio.AbstractServer] = []
    try:
        if args.insecure_port:
            listening.append(await loop.create_server(server, str(args.insecure_bind_address), args.insecure_port, backlog=BACKLOG))
        if args.unix_socket:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(args.unix_socket)
            before = os.umask(0o177)
            try:
                listening.append(await loop.create_unix_server(server, args.unix_socket, backlog=BACKLOG))
            finally:
                os.umask(before)
        if args.unix_socket_fd is not None:
            given = socket.socket(fileno=args.unix_socket_fd)
            given.setblocking(False)
            listening.append(await loop.create_unix_server(server, sock=given, backlog=BACKLOG))
    except OSError as error:
        raise BootError(f"cannot listen: {error.strerror or error}; is another apiserver running here?") from error
    return listening


def _own_addresses(args: Flags) -> list[IPv4Address]:
    """Where clients may look for the apiserver, the service `kubernetes` first."""
    advertised = [args.advertise_address] if args.advertise_address else []
    return [args.service_cluster_ip_range[1], *advertised, IPv4Address("127.0.0.1")]


async def _begin(store: Store, registry: Registry, args: Flags, making: asyncio.Future[certificates.Made]) -> None:
    await store.ready()
    while True:
        try:
            await begin.begin(registry, args.service_cluster_ip_range, args.advertise_address, args.secure_port)
            break
        except Refused as refused:
            log(f"apiserver: {refused}")
            await asyncio.sleep(_AGAIN)
    log(f"apiserver: ready, serving on {args.insecure_bind_address}:{args.insecure_port}")
    if not args.secure_port:
        return
    # Only now: a boot waits for what is above, and the first pod needs the authority's certificate a moment later.
    loop = asyncio.get_running_loop()
    made = await loop.run_in_executor(None, certificates.kept, certificates.NAMES, _own_addresses(args), args.cert_dir, log)
    registry.authority, registry.tokens = made.authority.decode(), Tokens(made.tokens, registry.cache)
    making.set_result(made)
    while True:
        try:
            return await begin.publish(registry)
        except Refused as refused:
            log(f"apiserver: {refused}")
            await asyncio.sleep(_AGAIN)
