"""HTTPS: a certificate authority of the apiserver's own, the certificate that it signs, the key for tokens, and the socket they serve.

They are made once, as soon as the apiserver serves plain HTTP, and kept in a directory, the keys for the apiserver's user alone: pods trust
the authority by the file that was mounted into them, and their tokens have to outlive a restart of the apiserver.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address
from pathlib import Path

from aiohttp import web

from lab.errors import BootError

NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
"""What pods call the apiserver."""

CA_FILE = "ca.crt"
FILES = (CA_FILE, "apiserver.crt", "apiserver.key", "sa.key")
_FOR = "names"
"""The file that says for which names the certificate is."""

LASTS = timedelta(days=365)
_EARLIER = timedelta(hours=1)
"""How far a certificate's time begins before it is made: clocks differ."""


@dataclass(frozen=True)
class Made:
    """PEM: the authority's certificate, the apiserver's and its private key, and the private key that signs tokens.

    The authority's own key is nowhere: it signs once.
    """

    authority: bytes
    certificate: bytes
    key: bytes
    tokens: bytes


def make(names: Sequence[str], addresses: Sequence[IPv4Address]) -> Made:
    """A new authority, and a certificate of it for these names and addresses."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.now(timezone.utc)
    own, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes-ca")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])

    def begun(whose: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder(issuer, whose, key, x509.random_serial_number(), now - _EARLIER, now + LASTS)
        return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)

    def usage(signs_others: bool) -> x509.KeyUsage:
        return x509.KeyUsage(True, False, False, False, False, signs_others, signs_others, False, False)

    authority = begun(issuer, own.public_key()).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    authority = authority.add_extension(usage(True), critical=True)
    alternatives = [*map(x509.DNSName, names), *map(x509.IPAddress, addresses)]
    signed = begun(subject, other.public_key()).add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    signed = signed.add_extension(usage(False), critical=True)
    signed = signed.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    signed = signed.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own.public_key()), critical=False)
    signed = signed.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return Made(
        authority.sign(own, hashes.SHA256()).public_bytes(pem),
        signed.sign(own, hashes.SHA256()).public_bytes(pem),
        other.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain),
        ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, serialization.PrivateFormat.PKCS8, plain),
    )


def kept(names: Sequence[str], addresses: Sequence[IPv4Address], place: str, log: Callable[[str], None]) -> Made:
    """What an apiserver before this one left in the directory `place`, else new ones, left there. Empty: they stay in memory."""
    if not place:
        return make(names, addresses)
    folder = Path(place)
    try:
        found = Made(*((folder / name).read_bytes() for name in FILES))
        if (folder / _FOR).read_text() == _for(names, addresses):
            return found
    except OSError:
        pass  # not all of them are there
    made = make(names, addresses)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(FILES, (made.authority, made.certificate, made.key, made.tokens), strict=True):
            (folder / name).unlink(missing_ok=True)
            with open(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644 if name == CA_FILE else 0o600), "wb") as file:
                file.write(text)
        (folder / _FOR).write_text(_for(names, addresses))
    except OSError as error:
        log(f"apiserver: cannot write to {place}: {error.strerror}")
    return made


def _for(names: Sequence[str], addresses: Sequence[IPv4Address]) -> str:
    return " ".join([*names, *map(str, addresses)]) + "\n"


def context_of(made: Made) -> ssl.SSLContext:
    """What serves with a certificate. The key is in memory only, though ssl reads it from what looks like a file."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, made.certificate + made.authority + made.key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


def listen(address: IPv4Address, port: int, backlog: int) -> socket.socket:
    """The port's socket, which takes connections that are not served yet. Raises BootError."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((str(address), port))
        listening.listen(backlog)
    except OSError as error:
        listening.close()
        raise BootError(f"cannot listen on port {port}: {error.strerror or error}; is another apiserver running here?") from error
    listening.setblocking(False)
    return listening


async def serve(server: web.Server, listening: socket.socket, making: Awaitable[Made], log: Callable[[str], None]) -> None:
    """Serve HTTPS from the first connection on, with what `making` comes to."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(listening, asked.set)
    try:
        await asked.wait()
    finally:
        loop.remove_reader(listening)
    secure = await loop.create_server(server, sock=listening, ssl=context_of(await making), ssl_handshake_timeout=10.0)
    log("apiserver: somebody speaks HTTPS")
    await secure.serve_forever()
