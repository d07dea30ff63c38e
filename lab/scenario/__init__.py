"""Scenarios: steps with texts in two languages, checks, and the runner that turns them into events; a pytest plugin.

The names an author needs: `from lab.scenario import Chapter, Difference, Pin, Scenario, Text, checks`.
"""

from __future__ import annotations

from lab.model.pins import Pin
from lab.model.text import Text
from lab.scenario import checks
from lab.scenario.model import Chapter, Scenario
from lab.scenario.thennow import Difference

__all__ = ["Chapter", "Difference", "Pin", "Scenario", "Text", "checks"]
