"""Parts of a topology for tests, declared as a file would declare them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from lab.model import schema, yamlfile
from lab.model.topology import Node


def node(values: Mapping[str, object]) -> Node:
    """The node that these keys declare; fails when one of them is wrong."""
    found: list[schema.Found] = []
    made = schema.read(Node, yamlfile.load_documents(json.dumps(values), "test")[0], (), found.append)
    assert made is not None, found
    assert not found
    return made
