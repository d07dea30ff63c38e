"""Every shipped topology, and every one in topologies/ here, gives the pictures in graphs/; so do the article's two figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.cli import up
from lab.model.catalog import list_topologies
from lab.model.load import read_topology
from lab.observe import graph as model
from lab.observe.drawing import cluster, dot, flannel, service, svg
from lab.observe.drawing.words import Language
from lab.report import graphtext

HERE = Path(__file__).parent
FOLDER = HERE / "graphs"
IMAGES = HERE.parents[1] / "docs" / "images"
Golden = Callable[[Path, str], None]
TOPOLOGIES = [*list_topologies(), *sorted((HERE / "topologies").glob("*.yaml"))]


def article() -> model.Graph:
    """The walkthrough as it is declared."""
    _, (topology, objects, pins) = up.declared("nginx-service")
    return model.planned(topology, objects, pins)


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_a_topology_becomes_a_picture(path: Path, golden: Golden) -> None:
    graph = model.from_topology(read_topology(path))
    picture = cluster.picture(graph)
    golden(FOLDER / f"{path.stem}.svg", svg.render(picture))
    golden(FOLDER / f"{path.stem}.dot", dot.render(picture))
    golden(FOLDER / f"{path.stem}.txt", graphtext.cluster(graph, "en", 120))


def test_the_article_s_figures_as_text(golden: Golden) -> None:
    graph = article()
    golden(FOLDER / "article-service.txt", graphtext.service(graph, graph.service("nginx-service")))
    golden(FOLDER / "article-flannel.txt", graphtext.flannel(graph))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ["zenlin", "service", "flannel"])
def test_the_pictures_of_the_documents_are_current(name: str, language: Language, golden: Golden) -> None:
    graph = article()
    pictures = {
        "zenlin": lambda: cluster.picture(graph, language),
        "service": lambda: service.picture(graph, graph.service("nginx-service"), language),
        "flannel": lambda: flannel.picture(graph, language),
    }
    ending = "svg" if language == "en" else f"{language}.svg"
    golden(IMAGES / f"{name}.{ending}", svg.render(pictures[name]()))
