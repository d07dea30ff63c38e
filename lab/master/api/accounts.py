"""Service accounts and the Secrets around them: what is put into pods for them, and what a namespace begins with. Pure."""

from __future__ import annotations

from typing import Any

from lab.master.api.lenient import copied, obj, objs, text

Object = dict[str, Any]

DEFAULT = "default"
ROOT_CA = "kube-root-ca.crt"
"""The ConfigMap of every namespace that holds the certificate of the cluster's authority."""

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607
"""How long a pod's token is good, as the real admission plugin asks for it; the kubelet fetches the next one earlier."""

TOKEN_SECRET = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"


def begun(namespace: str, authority: str) -> list[Object]:
    """What a namespace begins with: the account `default`, and the authority's certificate where there is one."""
    account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": DEFAULT, "namespace": namespace}}
    return [account, root_ca(namespace, authority)] if authority else [account]


def root_ca(namespace: str, authority: str) -> Object:
    """The ConfigMap with the authority's certificate."""
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": ROOT_CA, "namespace": namespace}, "data": {"ca.crt": authority}}


def account_of(pod: Object) -> str:
    """The name of the ServiceAccount that a pod runs as."""
    return text(pod, "spec", "serviceAccountName") or text(pod, "spec", "serviceAccount") or DEFAULT


def admitted(pod: Object, account: Object, suffix: str, with_token: bool) -> Object:
    """A new pod with what its ServiceAccount brings: its name, its imagePullSecrets, and a volume with its token in every container.

    suffix   five letters for the volume's name; with_token: false where there is no HTTPS that a token would be for
    """
    made = copied(pod)
    spec = made["spec"]
    spec["serviceAccountName"] = spec["serviceAccount"] = account["metadata"]["name"]
    if not objs(spec, "imagePullSecrets") and objs(account, "imagePullSecrets"):
        spec["imagePullSecrets"] = copied(account["imagePullSecrets"])
    wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken"))
    containers = [*objs(spec, "initContainers"), *objs(spec, "containers")]
    without = [one for one in containers if all(text(mount, "mountPath") != MOUNT for mount in objs(one, "volumeMounts"))]
    if wanted is False or not with_token or not without:
        return made
    name = f"kube-api-access-{suffix}"
    spec["volumes"] = [*objs(spec, "volumes"), {"name": name, "projected": _sources()}]
    for one in without:
        one["volumeMounts"] = [*objs(one, "volumeMounts"), {"name": name, "readOnly": True, "mountPath": MOUNT}]
    return made


def _sources() -> Object:
    field = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [field]}},
        ],
        "defaultMode": 420,
    }


def token_account(secret: Object) -> str:
    """The ServiceAccount whose token a Secret is to hold; empty for any other Secret."""
    return str(obj(secret, "metadata", "annotations").get(ACCOUNT_NAME, "")) if secret.get("type") == TOKEN_SECRET else ""
