"""Volumes of pods: what is in them, where they are, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lab.errors import UsageError
from lab.kubelet import refusals, volumefiles, volumes
from lab.kubelet.life import NEVER
from lab.kubelet.variables import Network
from lab.kubelet.volumefiles import VolumeFiles

NETWORK = Network("node1", "10.9.0.1")
MAPS = {("ConfigMap", "cm"): {"a": b"1", "b": b"2"}, ("Secret", "s"): {"key": b"x"}, ("ConfigMap", "kube-root-ca.crt"): {"ca.crt": b"CA"}}


def pod(*made: dict[str, Any], **more: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "shop", "uid": "u1", "labels": {"b": 'say "x"', "a": "1"}}
    return {"metadata": metadata, "spec": {"volumes": list(made), "containers": [], **more}}


def content(volume: dict[str, Any], token: Any = lambda audience, seconds: f"{audience}/{seconds}") -> dict[str, tuple[bytes, int]]:
    sources = volumes.Sources(lambda kind, name: MAPS.get((kind, name)), token, NETWORK, "10.244.1.2")
    return volumes.content(pod(volume), volume, sources)


def test_what_is_in_volumes() -> None:
    assert content({"name": "v", "configMap": {"name": "cm", "defaultMode": 0o400}}) == {"a": (b"1", 0o400), "b": (b"2", 0o400)}
    chosen = {"name": "v", "configMap": {"name": "cm", "items": [{"key": "a", "path": "deep/one", "mode": 0o600}]}}
    assert content(chosen) == {"deep/one": (b"1", 0o600)}
    assert content({"name": "v", "secret": {"secretName": "s"}}) == {"key": (b"x", 0o644)}
    assert content({"name": "v", "secret": {"secretName": "no", "optional": True}}) == {}
    fields = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}, {"path": "ip", "fieldRef": {"fieldPath": "status.podIP"}}]
    assert content({"name": "v", "downwardAPI": {"items": fields}}) == {
        "labels": (b'a="1"\nb="say \\"x\\""', 0o644),
        "ip": (b"10.244.1.2", 0o644),
    }
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}
    both = {"name": "v", "projected": {"sources": [token, {"configMap": {"name": "kube-root-ca.crt"}}, {"secret": {"name": "s"}}]}}
    assert content(both) == {"token": (b"/3607", 0o644), "ca.crt": (b"CA", 0o644), "key": (b"x", 0o644)}


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"secret": {"secretName": "no"}}, 'secret "no" not found'),
        ({"configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}}, "references non-existent config key: z"),
        ({"configMap": {"name": "cm", "items": [{"key": "a", "path": "../z"}]}}, "must not contain"),
        ({"configMap": {"name": "cm", "items": [{"key": "a", "path": "/z"}]}}, "must be relative"),
    ],
)
def test_what_is_not_there(volume: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        content({"name": "v", **volume})


def test_where_containers_find_them() -> None:
    item = pod({"name": "cm", "configMap": {"name": "cm"}}, {"name": "e", "emptyDir": {}})
    mounts = [
        {"name": "cm", "mountPath": "/etc/app"},
        {"name": "cm", "mountPath": "/etc/one", "subPath": "a"},
        {"name": "e", "mountPath": "data", "subPathExpr": "$(POD)"},
        {"name": "e", "mountPath": "/ro", "readOnly": True},
    ]
    assert volumes.mounts(item, {"volumeMounts": mounts}, lambda volume: f"/v/{volume['name']}", {"POD": "web"}) == [
        ("/v/cm", "/etc/app", True),
        ("/v/cm/a", "/etc/one", True),
        ("/v/e/web", "/data", False),
        ("/v/e", "/ro", True),
    ]
    for wrong in ({"name": "no", "mountPath": "/x"}, {"name": "e", "mountPath": "/x", "subPath": "../y"}):
        with pytest.raises(UsageError):
            volumes.mounts(item, {"volumeMounts": [wrong]}, lambda volume: "/v", {})


def test_files_change_all_at_once_and_tokens_in_time(tmp_path: Path) -> None:
    maps, now, asked = {"cm": {"a": b"1", "old": b"x"}}, [100.0], []

    def token(item: Any, audience: str, seconds: int) -> str:
        asked.append(seconds)
        return f"token {len(asked)}"

    files = VolumeFiles(lambda namespace, kind, name: maps.get(name), token, lambda: now[0], tmp_path)
    projected = {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 1000}}]}
    item = pod({"name": "cm", "configMap": {"name": "cm"}}, {"name": "e"}, {"name": "t", "projected": projected})
    assert files.set_up(item, NETWORK, "") == 100 + volumefiles.REFRESH
    folder = tmp_path / "u1" / "volumes"
    assert (folder / "cm" / "a").read_text() == "1" and os.readlink(folder / "cm" / "a") == "..data/a"
    (folder / "e" / "mine").write_text("kept")
    maps["cm"] = {"a": b"2", "new": b"y"}
    now[0] = 110.0
    files.set_up(item, NETWORK, "")
    assert (folder / "cm" / "a").read_text() == "2" and not (folder / "cm" / "old").exists() and (folder / "cm" / "new").read_text() == "y"
    assert len([one for one in (folder / "cm").iterdir() if one.name.startswith("..2") or one.is_dir() and not one.is_symlink()]) == 1
    assert (folder / "e" / "mine").read_text() == "kept" and (folder / "t" / "token").read_text() == "token 1" and asked == [1000]
    now[0] = 901.0
    files.set_up(item, NETWORK, "")
    assert (folder / "t" / "token").read_text() == "token 2", "four fifths of its time are over"
    maps.clear()
    with pytest.raises(UsageError, match='MountVolume.SetUp failed for volume "cm" : configmap "cm" not found'):
        files.set_up(item, NETWORK, "")
    files.remove("u1")
    assert not (tmp_path / "u1").exists()
    assert files.set_up(pod({"name": "e", "emptyDir": {}}), NETWORK, "") == NEVER


REFUSED = [
    (pod({"name": "d", "nfs": {}}), {}, "spec.volumes[0].nfs: there are configMap, downwardAPI, emptyDir, hostPath, projected, secret"),
    (pod({"name": "d", "hostPath": {"path": "/etc"}}), {}, "spec.volumes[0].hostPath.path: /etc: only /run is the node's own"),
    (pod({"name": "d", "hostPath": {"path": "/run/../etc"}}), {}, "spec.volumes[0].hostPath.path: /run/../etc"),
    (pod({"name": "d", "projected": {"sources": [{"clusterTrustBundle": {}}]}}), {}, "spec.volumes[0].projected.sources[0].clusterTrustBundle"),
    (pod(runtimeClassName="kata"), {}, "spec.runtimeClassName"),
    (pod(), {"volumeDevices": [{}]}, "container c: volumeDevices"),
    (pod(), {"livenessProbe": {"grpc": {"port": 1}}}, "container c: livenessProbe.grpc"),
    (pod(), {"lifecycle": {"preStop": {"grpc": {}}}}, "container c: lifecycle.preStop.grpc"),
    (pod(), {"lifecycle": {"stopSignal": "SIGUSR1"}}, "container c: lifecycle.stopSignal"),
    (pod(), {"volumeMounts": [{"mountPropagation": "Bidirectional"}]}, "container c: volumeMounts[0].mountPropagation: Bidirectional"),
]


@pytest.mark.parametrize(("item", "container", "text"), REFUSED)
def test_what_is_not_done_is_refused_by_its_name(item: dict[str, Any], container: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        refusals.check(item, {"name": "c", **container})
    assert text in str(caught.value)


def test_what_is_done_is_not() -> None:
    every: list[dict[str, Any]] = [{"name": kind, kind: {}} for kind in volumes.WRITTEN]
    refusals.check(
        pod(*every, {"name": "h", "hostPath": {"path": "/var/run/x"}}), {"name": "c", "lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}
    )
