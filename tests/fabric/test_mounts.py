"""Volumes in a pod, at places that the machine has and at others; with the rights of root, and with those of an ordinary user's lab."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.errors import BootError
from tests.sandboxed import sandboxed


@pytest.mark.parametrize("overlay", [True, False], ids=["overlay", "covered"])
def test_volumes_wherever_they_belong(overlay: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.kubelet import mounts

    def refuse() -> None:
        raise OSError(22, "as the kernel refuses it to an ordinary user")

    if not overlay:
        monkeypatch.setattr(mounts, "_own_root", refuse)

    def body() -> None:
        from lab.fabric import process
        from lab.fabric.namespace import Namespace

        pod, other = Namespace.create("pod"), Namespace.create("other")
        pod.write_text("/etc/hostname", "pod\n")
        Path("/run/volume").mkdir()
        Path("/run/volume/file").write_text("said\n")
        for target, read_only in (
            ("/var/run/secrets/it", True),
            ("/labdata/deep/x", False),
            ("/labdata/deep/y", False),
            ("/etc/labown/file", True),
            ("/usr/share/labtoo", True),
        ):
            source = "/run/volume/file" if target.endswith("file") else "/run/volume"
            mounts.attach(pod, source, target, read_only)
            mounts.attach(pod, source, target, read_only)
        mounts.require_directory(pod, "/labdata/work")
        seen = "cat /run/secrets/it/file /labdata/deep/[xy]/file /etc/labown/file /usr/share/labtoo/file /etc/hostname; ls -d /labdata/work"
        assert process.run(pod, seen).stdout == "said\n" * 5 + "pod\n/labdata/work\n"
        assert process.run(pod, "echo new >/labdata/deep/x/new; ls /etc/passwd; echo >/run/secrets/it/no").stdout == "/etc/passwd\n"
        assert sorted(os.listdir("/run/volume")) == ["file", "new"]
        assert process.run(pod, "mount | grep -c proc; ls /proc/self/exe; test -c /dev/null; echo $?").stdout.splitlines()[-1] == "0"
        assert process.run(other, "ls -d /labdata /etc/labown /usr/share/labtoo").stdout == "", "nothing of it is the machine's"
        with pytest.raises(BootError, match="cannot mount two volumes at /labdata/deep/x"):
            mounts.attach(pod, "/run/volume/file", "/labdata/deep/x", False)
        with pytest.raises(BootError, match="/run/nothing"):
            mounts.attach(pod, "/run/nothing", "/labdata/z", False)
        with pytest.raises(BootError, match="workingDir"):
            mounts.require_directory(pod, "/dev/null/x")
        for one in (pod, other):
            one.close()

    sandboxed(body)
    assert not Path("/labdata").exists() and not Path("/etc/labown").exists()
