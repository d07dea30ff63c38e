"""Services and endpoints in kubeproxy/*.yaml give the restore input in the .txt beside them, on a node without any rule; today's in the .v133."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import kubeproxy_inputs
import pytest

from lab.kubeproxy import explain, iptables_v133, names, rules, tables

Golden = Callable[[Path, str], None]


@pytest.mark.parametrize("path", kubeproxy_inputs.FILES, ids=lambda path: path.stem)
def test_services_become_rules(path: Path, golden: Golden) -> None:
    golden(path.with_suffix(".txt"), tables.restore_text(kubeproxy_inputs.read(path).tables(), {}, names.OWN_PREFIXES))


@pytest.mark.parametrize("path", kubeproxy_inputs.FILES, ids=lambda path: path.stem)
def test_services_become_todays_rules(path: Path, golden: Golden) -> None:
    golden(path.with_suffix(".v133"), tables.restore_text(kubeproxy_inputs.read(path).todays_tables(), {}, iptables_v133.OWN_PREFIXES))


@pytest.mark.parametrize("version", ["1.7", "1.33"])
@pytest.mark.parametrize("path", kubeproxy_inputs.FILES, ids=lambda path: path.stem)
def test_every_rule_is_explained(path: Path, version: str) -> None:
    inputs = kubeproxy_inputs.read(path)
    for table in inputs.tables() if version == "1.7" else inputs.todays_tables():
        for line in kubeproxy_inputs.saved_rules(table):
            text = explain.explain(line)
            for said in (text.en, text.zh):
                assert said and "{" not in said, line
                assert "  " not in said and " ," not in said and "()" not in said, f"a value is missing: {said}"
            assert text.en.isascii() and not text.zh.isascii()


def test_every_explanation_has_its_rule() -> None:
    inputs = [kubeproxy_inputs.read(path) for path in kubeproxy_inputs.FILES]
    everything = [made for one in inputs for made in (one.tables(), one.todays_tables())]
    lines = [line for found in everything for table in found for line in kubeproxy_inputs.saved_rules(table)]
    met = {explain.kind_of(rules.parse(line)) for line in lines}
    assert [kind for kind in explain.KINDS if kind not in met and not kind.text.en.startswith("flannel:")] == []
