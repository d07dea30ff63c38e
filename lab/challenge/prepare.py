"""From a challenge and a seed to what has to be booted."""

from __future__ import annotations

from pathlib import Path

from lab.challenge.given import Given, give
from lab.challenge.model import Challenge
from lab.cluster.wanted import Wanted, wanted, with_backend
from lab.model import catalog, load, manifests, yamlfile
from lab.model.pins import Pin
from lab.scenario import loader

SHOP = Path(__file__).with_name("shop.yaml")


def load_challenge(folder: Path) -> Challenge:
    """Read <folder>/challenge.py, and check what it declares. Raises InputError with every problem that can be found at once."""
    return loader.load_script(folder / catalog.CHALLENGE_SCRIPT, "challenge", Challenge, "lab.challenge")


def prepared(challenge: Challenge, seed: str) -> tuple[Given, Wanted]:
    """The student's cluster, and what to boot for it. Raises UsageError or InputError."""
    topology = with_backend(load.read_topology(catalog.find_topology(challenge.topology)), challenge.backend)
    given = give(challenge.name, seed, topology)
    paths = challenge.manifest_paths or (SHOP,)
    texts = [(given.fill(yamlfile.read_text(path, str(path))), str(path)) for path in paths]
    pins = () if challenge.manifest_paths else _one_on_each_worker(given)
    return given, wanted(given.topology, manifests.load_files(texts), pins)


def _one_on_each_worker(given: Given) -> tuple[Pin, ...]:
    """Where SHOP's pods begin. Left to the scheduler, both would go to the node that registers first."""
    letters = "bcdfghjklmnpqrstvwxz2456789"
    release = given.dice.randrange(10**9, 4 * 10**9)
    return tuple(Pin(f"{given.app}-{release}-{''.join(given.dice.choices(letters, k=5))}", owner=given.app, node=node) for node in given.workers)
