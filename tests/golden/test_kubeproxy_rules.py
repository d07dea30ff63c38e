"""Services and endpoints in kubeproxy/*.yaml give the restore input in the .txt beside them, on a node without any rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import kubeproxy_inputs
import pytest

from lab.kubeproxy import explain, names, rules, tables
from lab.kubeproxy.explanations import KINDS

Golden = Callable[[Path, str], None]


@pytest.mark.parametrize("path", kubeproxy_inputs.FILES, ids=lambda path: path.stem)
def test_services_become_rules(path: Path, golden: Golden) -> None:
    golden(path.with_suffix(".txt"), tables.restore_text(kubeproxy_inputs.read(path).tables(), {}, names.OWN_PREFIXES))


@pytest.mark.parametrize("path", kubeproxy_inputs.FILES, ids=lambda path: path.stem)
def test_every_rule_is_explained(path: Path) -> None:
    for table in kubeproxy_inputs.read(path).tables():
        for line in kubeproxy_inputs.saved_rules(table):
            text = explain.explain(line)
            for said in (text.en, text.zh):
                assert said and "{" not in said, line
                assert "  " not in said and " ," not in said and "()" not in said, f"a value is missing: {said}"
            assert text.en.isascii() and not text.zh.isascii()


def test_every_explanation_has_its_rule() -> None:
    everything = [kubeproxy_inputs.read(path).tables() for path in kubeproxy_inputs.FILES]
    lines = [line for found in everything for table in found for line in kubeproxy_inputs.saved_rules(table)]
    met = {explain.kind_of(rules.parse(line)) for line in lines}
    assert [kind for kind in KINDS if kind not in met and not kind.text.en.startswith("flannel:")] == []
