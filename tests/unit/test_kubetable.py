"""Tables as kubectl prints them, and as the article shows them."""

from __future__ import annotations

from lab.master.api import tables
from lab.report import kubetable

NODE = {
    "metadata": {"name": "zenlinnode1", "annotations": {"lab.network/age": "19d"}},
    "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.7.3"}},
}


def test_the_articles_nodes() -> None:
    table = tables.table("Node", [NODE], tables.OLD)
    assert kubetable.text(table, width=kubetable.OLD_WIDTH) == (
        "NAME          STATUS    AGE       VERSION\nzenlinnode1   Ready     19d       v1.7.3\n"
    )


def test_todays_kubectl_is_narrower_and_wide_shows_more() -> None:
    table = tables.table("Node", [NODE], tables.OLD)
    assert kubetable.text(table).startswith("NAME          STATUS   AGE   VERSION\n")
    assert "KERNEL-VERSION" in kubetable.text(table, wide=True)
    assert kubetable.text(tables.table("Node", [], tables.OLD)) == ""
