"""What the kubelet asks the apiserver for on behalf of pods: ConfigMaps, Secrets, and tokens of service accounts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from lab.kubelet.variables import SECRET
from lab.master.client import ApiClient
from lab.master.resources import by_kind

Json = Mapping[str, Any]

_LASTING = "kube-root-ca.crt"
"""The ConfigMap that every pod mounts; the cluster's authority stays what it is while the kubelet lives."""


class PodSources:
    """Looks things up. Its methods raise ApiError when the apiserver does not answer."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._authorities: dict[str, Mapping[str, bytes]] = {}

    def data(self, namespace: str, kind: str, name: str) -> Mapping[str, bytes] | None:
        """The data of a ConfigMap or Secret; None when there is none."""
        if name == _LASTING and namespace in self._authorities:
            return self._authorities[namespace]
        item = self._client.find(by_kind(kind).plural, name, namespace)
        if item is None:
            return None
        encoded = item.get("data" if kind == SECRET else "binaryData") or {}
        plain = {} if kind == SECRET else item.get("data") or {}
        found = {key: value.encode() for key, value in plain.items()} | {key: _decoded(value) for key, value in encoded.items()}
        if name == _LASTING:
            self._authorities[namespace] = found
        return found

    def token(self, pod: Json, audience: str, seconds: int) -> str:
        """A token of the pod's ServiceAccount that ends with the pod."""
        metadata = pod["metadata"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
        spec = {"expirationSeconds": seconds, "boundObjectRef": bound} | ({"audiences": [audience]} if audience else {})
        account = (pod.get("spec") or {}).get("serviceAccountName") or "default"
        path = by_kind("ServiceAccount").path(account, metadata["namespace"], "token")
        body = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec}
        return str(self._client.request("POST", path, body)["status"]["token"])


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (ValueError, binascii.Error):  # the apiserver takes no such thing
        return b""
