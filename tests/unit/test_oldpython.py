"""The stand-in for distutils that Mininet is imported with."""

from __future__ import annotations

import importlib
import sys

import pytest

from lab.fabric import oldpython


def test_versions_come_in_the_order_that_distutils_had() -> None:
    texts = ["0.9", "1.4a1", "1.4a2", "1.4b1", "1.4", "1.4.1", "1.10", "2.0.0"]
    versions = [oldpython.StrictVersion(text) for text in texts]
    assert sorted(reversed(versions)) == versions
    assert oldpython.StrictVersion("1.4") == oldpython.StrictVersion("1.4.0")
    assert len({oldpython.StrictVersion("1.4"), oldpython.StrictVersion("1.4.0")}) == 1


@pytest.mark.parametrize("text", ["", "1", "1.2.3.4", "1.2c3", "one.two"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid version"):
        oldpython.StrictVersion(text)


def test_the_stand_in_is_there_only_inside_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("distutils", "distutils.version"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with oldpython.distutils():
        assert importlib.import_module("distutils.version").StrictVersion is oldpython.StrictVersion
    assert not {"distutils", "distutils.version"} & set(sys.modules)
