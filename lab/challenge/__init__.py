"""Challenges: a lab that boots with something broken, checks that say when it is whole again, and hints on demand.

The names an author needs: `from lab.challenge import Challenge, Text, checks`.
"""

from __future__ import annotations

from lab.challenge.model import Challenge
from lab.model.text import Text
from lab.scenario import checks

__all__ = ["Challenge", "Text", "checks"]
