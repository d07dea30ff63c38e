"""Services and endpoints in kubeproxy/*.yaml give the restore input in the .txt beside them, on a node without any rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.kubeproxy import names, tables
from tests import kubeproxy_inputs

Golden = Callable[[Path, str], None]


@pytest.mark.parametrize("path", kubeproxy_inputs.FILES, ids=lambda path: path.stem)
def test_services_become_rules(path: Path, golden: Golden) -> None:
    golden(path.with_suffix(".txt"), tables.restore_text(kubeproxy_inputs.read(path).tables(), {}, names.OWN_PREFIXES))
