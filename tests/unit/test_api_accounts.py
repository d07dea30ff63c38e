"""Service accounts and Secrets: what is put into pods, what is refused, which tokens are good."""

from __future__ import annotations

import base64
import json
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.master.api import accounts, convert, openapi, validate
from lab.master.apiserver import certificates
from lab.master.apiserver.tokens import ISSUER, Tokens

Object = dict[str, Any]


def account(**more: Any) -> Object:
    return {"kind": "ServiceAccount", "metadata": {"name": "bot", "namespace": "ns", "uid": "u1"}, **more}


def pod(*mounts: str, **spec: Any) -> Object:
    container = {"name": "c", "image": "nginx", "volumeMounts": [{"name": "own", "mountPath": path} for path in mounts]}
    return {"metadata": {"name": "p", "namespace": "ns"}, "spec": {"containers": [container], "initContainers": [{"name": "i"}], **spec}}


def test_a_pod_gets_its_account_and_its_token() -> None:
    made = accounts.admitted(pod(), account(imagePullSecrets=[{"name": "r"}]), "abcde", True)["spec"]
    assert made["serviceAccountName"] == made["serviceAccount"] == "bot" and made["imagePullSecrets"] == [{"name": "r"}]
    sources = [next(iter(one)) for one in made["volumes"][0]["projected"]["sources"]]
    assert made["volumes"][0]["name"] == "kube-api-access-abcde" and sources == ["serviceAccountToken", "configMap", "downwardAPI"]
    mount = {"name": "kube-api-access-abcde", "readOnly": True, "mountPath": accounts.MOUNT}
    assert all(one["volumeMounts"] == [mount] for one in (*made["containers"], *made["initContainers"]))


@pytest.mark.parametrize(
    ("item", "whose", "with_token"),
    [
        (pod(automountServiceAccountToken=False), account(), True),
        (pod(), account(automountServiceAccountToken=False), True),
        (pod(), account(), False),
    ],
)
def test_or_none(item: Object, whose: Object, with_token: bool) -> None:
    assert "volumes" not in accounts.admitted(item, whose, "abcde", with_token)["spec"]


def test_the_pods_word_counts_more_than_the_accounts_and_its_own_mount_stays() -> None:
    asked = accounts.admitted(pod(automountServiceAccountToken=True), account(automountServiceAccountToken=False), "abcde", True)
    assert asked["spec"]["volumes"]
    own = accounts.admitted(pod(accounts.MOUNT), account(), "abcde", True)["spec"]
    assert len(own["containers"][0]["volumeMounts"]) == 1 and len(own["initContainers"][0]["volumeMounts"]) == 1


def secret(kind: str = "Opaque", annotations: Object | None = None, **data: str) -> Object:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"kind": "Secret", "metadata": {"name": "s", "annotations": annotations or {}}, "type": kind, "data": encoded}


def faults(item: Object, old: Object | None = None) -> list[str]:
    return [str(one) for one in validate.faults(item, item["kind"], old)]


def test_what_types_of_secrets_need() -> None:
    assert faults(secret(a="1")) == [] and faults(secret("example.com/own")) == []
    assert faults(secret("kubernetes.io/dockerconfigjson")) == ["data[.dockerconfigjson]: Required value"]
    assert faults(secret("kubernetes.io/dockerconfigjson", **{".dockerconfigjson": "{}"})) == []
    broken = faults(secret("kubernetes.io/dockercfg", **{".dockercfg": "{"}))
    assert len(broken) == 1 and broken[0].startswith('data[.dockercfg]: Invalid value: "<secret contents redacted>": ')
    assert faults(secret("kubernetes.io/tls", **{"tls.crt": "x"})) == ["data[tls.key]: Required value"]
    assert faults(secret("kubernetes.io/basic-auth")) == ["data[username]: Required value", "data[password]: Required value"]
    assert faults(secret("kubernetes.io/basic-auth", username="x")) == []
    assert faults(secret("kubernetes.io/ssh-auth")) == ["data[ssh-privatekey]: Required value"]
    assert faults(secret(accounts.TOKEN_SECRET)) == ["metadata.annotations[kubernetes.io/service-account.name]: Required value"]
    assert faults(secret("b"), secret("a")) == ['type: Invalid value: "b": field is immutable']
    fixed = secret(a="1") | {"immutable": True}
    assert faults(fixed, fixed) == []
    assert faults(secret(a="2"), fixed) == [
        "immutable: Forbidden: field is immutable when `immutable` is set",
        "data: Forbidden: field is immutable when `immutable` is set",
    ]
    assert "data: Too long: may not be more than 1048576 bytes" in faults(secret(a="x" * (1 << 20) + "yy"))


def test_plain_texts_of_a_secret_become_data() -> None:
    item = {"kind": "Secret", "metadata": {}, "stringData": {"a": "b", "c": "d"}, "data": {"a": "eA==", "e": "eA=="}}
    assert convert.stored(item, "v1", "v1")["data"] == {"a": "Yg==", "c": "ZA==", "e": "eA=="}


@given(st.binary(max_size=40))
def test_base64_is_taken(raw: bytes) -> None:
    item = {"kind": "Secret", "data": {"a": base64.b64encode(raw).decode()}}
    assert openapi.base64_error(item, "Secret", "v1") == ""


@pytest.mark.parametrize(("text", "place"), [("not base64", 3), ("YQ=", 2), ("YWJjZ", 4), ("a", 0)])
def test_what_is_no_base64_is_refused(text: str, place: int) -> None:
    said = openapi.base64_error({"data": {"a": text}}, "Secret", "v1")
    assert said == f'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte {place}'


class Objects:
    """Stands for the apiserver's copy."""

    def __init__(self, *items: tuple[str, Object]) -> None:
        self.items = dict(items)

    def get(self, key: str) -> Object | None:
        return self.items.get(key)


def test_a_token_is_good_as_long_as_its_time_its_account_and_its_pod_last() -> None:
    made = certificates.make(certificates.NAMES, [IPv4Address("10.96.0.1")])
    web = {"kind": "Pod", "metadata": {"name": "web", "namespace": "ns", "uid": "p1"}}
    objects = Objects(("/registry/serviceaccounts/ns/bot", account()), ("/registry/pods/ns/web", web))
    now = [1000.0]
    tokens = Tokens(made.tokens, objects, lambda: now[0])  # type: ignore[arg-type]
    token, until = tokens.issue(account(), (), 600, web)
    assert (tokens.user(token), until) == ("system:serviceaccount:ns:bot", 1600)
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == "system:serviceaccount:ns:bot" and claims["aud"] == [ISSUER]
    assert claims["kubernetes.io"]["pod"] == {"name": "web", "uid": "p1"}
    assert tokens.user(tokens.issue(account(), ["vault"], 600, None)[0]) == "", "it is for somebody else"
    head, said, signature = token.split(".")
    for wrong in ("", "x", "a.b.c", f"{head}.{said}.", f"{head}.{said}x.{signature}", f"{head}.{said}.{signature[::-1]}", "é.é.é"):
        assert tokens.user(wrong) == "", wrong
    strange = Tokens(certificates.make((), []).tokens, objects, lambda: now[0])  # type: ignore[arg-type]
    assert strange.user(token) == "", "another apiserver's"
    now[0] = 1600.0
    assert tokens.user(token) == "", "its time is over"
    now[0] = 1001.0
    web["metadata"]["uid"] = "p2"  # type: ignore[index]
    assert tokens.user(token) == "", "another pod of that name"
    lasting = tokens.lasting(account(), "s")
    assert tokens.user(lasting) == ""
    objects.items["/registry/secrets/ns/s"] = secret()
    now[0] = 1e12
    assert tokens.user(lasting) == "system:serviceaccount:ns:bot"
    del objects.items["/registry/serviceaccounts/ns/bot"]
    assert tokens.user(lasting) == ""
