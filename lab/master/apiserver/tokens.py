"""Tokens of service accounts: JSON Web Tokens with the claims of Kubernetes' own, signed with the apiserver's key.

A token is good while its time lasts, its account exists, and the pod or Secret exists that it is bound to. All that is looked up in the
copy of etcd's data whenever somebody shows one.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from lab.master.api.lenient import number, obj, text, texts
from lab.master.apiserver.cache import Cache
from lab.master.apiserver.watchers import Object

ISSUER = "https://kubernetes.default.svc.cluster.local"
LONGEST = 1 << 32
HOUR = 3600
_HALF = 32
"""Bytes of each of the two numbers of a signature."""


class Tokens:
    """Issues tokens and judges them. key: PEM of an EC private key on P-256; clock: seconds since 1970."""

    def __init__(self, key: bytes, cache: Cache, clock: Callable[[], float] = time.time) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        loaded = serialization.load_pem_private_key(key, None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError("the key of service accounts is none on an elliptic curve")
        self._key, self._cache, self._clock = loaded, cache, clock

    def issue(self, account: Object, audiences: Sequence[str], seconds: int, bound: Object | None) -> tuple[str, float]:
        """A token for a ServiceAccount and when it ends, in seconds since 1970. bound: the Pod or Secret that it ends with."""
        now = int(self._clock())
        metadata = account["metadata"]
        names: Object = {"namespace": metadata["namespace"], "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]}}
        if bound is not None:
            names[str(bound["kind"]).lower()] = {"name": bound["metadata"]["name"], "uid": bound["metadata"]["uid"]}
        claims = {"aud": list(audiences) or [ISSUER], "exp": now + seconds, "iat": now, "nbf": now, "iss": ISSUER, "jti": str(uuid.uuid4())}
        claims |= {"kubernetes.io": names, "sub": user_of(metadata["namespace"], metadata["name"])}
        return self._signed(claims), now + seconds

    def lasting(self, account: Object, secret: str) -> str:
        """The token that a Secret of type kubernetes.io/service-account-token holds: it ends with the Secret or the account."""
        metadata = account["metadata"]
        claims: Object = {"iss": "kubernetes/serviceaccount", "sub": user_of(metadata["namespace"], metadata["name"])}
        pairs = {"namespace": metadata["namespace"], "secret.name": secret}
        pairs |= {"service-account.name": metadata["name"], "service-account.uid": metadata["uid"]}
        return self._signed(claims | {f"kubernetes.io/serviceaccount/{key}": value for key, value in pairs.items()})

    def user(self, token: str) -> str:
        """Whose token it is, as `system:serviceaccount:NAMESPACE:NAME`; empty for one that is not, or no longer, good."""
        claims = self._claims(token)
        if claims.get("iss") == "kubernetes/serviceaccount":
            keys = ("namespace", "service-account.name", "service-account.uid", "secret.name")
            namespace, name, uid, secret = (text(claims, f"kubernetes.io/serviceaccount/{key}") for key in keys)
            bound = [self._is_there("secrets", namespace, secret, "")]
        else:
            names = obj(claims, "kubernetes.io")
            namespace, name = text(names, "namespace"), text(names, "serviceaccount", "name")
            uid, now = text(names, "serviceaccount", "uid"), self._clock()
            kinds = (("pod", "pods"), ("secret", "secrets"))
            wanted = [(plural, text(names, kind, "name"), text(names, kind, "uid")) for kind, plural in kinds if kind in names]
            bound = [self._is_there(plural, namespace, one, its_uid) for plural, one, its_uid in wanted]
            bound += [ISSUER in texts(claims, "aud"), number(claims, "nbf") <= now < number(claims, "exp")]
        good = name and self._is_there("serviceaccounts", namespace, name, uid) and all(bound)
        return user_of(namespace, name) if good else ""

    def _is_there(self, prefix: str, namespace: str, name: str, uid: str) -> bool:
        found = self._cache.get(f"/registry/{prefix}/{namespace}/{name}")
        return found is not None and uid in ("", found["metadata"].get("uid"))

    def _signed(self, claims: Object) -> str:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        said = f"{_encoded({'alg': 'ES256', 'typ': 'JWT'})}.{_encoded(claims)}"
        r, s = utils.decode_dss_signature(self._key.sign(said.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{said}.{_base64(r.to_bytes(_HALF, 'big') + s.to_bytes(_HALF, 'big'))}"

    def _claims(self, token: str) -> Object:
        """What a token of ours says; nothing for another's."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        said, _, signature = token.rpartition(".")
        try:
            raw = _decoded(signature)
            both = utils.encode_dss_signature(int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big"))
            self._key.public_key().verify(both, said.encode(), ec.ECDSA(hashes.SHA256()))
            claims = json.loads(_decoded(said.partition(".")[2]))
        except (InvalidSignature, ValueError):
            return {}
        return claims if isinstance(claims, dict) else {}


def user_of(namespace: str, name: str) -> str:
    """The name of the user that a service account is."""
    return f"system:serviceaccount:{namespace}:{name}"


def _encoded(item: Any) -> str:
    return _base64(json.dumps(item, separators=(",", ":")).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(said: str) -> bytes:
    return base64.urlsafe_b64decode(said + "=" * (-len(said) % 4))
