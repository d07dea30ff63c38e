"""Text from anywhere made safe inside XML and HTML. Pure."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

FORBIDDEN = re.compile("[^\\t\\n\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped; carriage return too, which parsers would change."""


def text(raw: str) -> str:
    """The text as an element's content; what no document can hold becomes U+FFFD."""
    return escape(FORBIDDEN.sub("\ufffd", raw))


def attribute(raw: str) -> str:
    """The text as an attribute's value, with its quotes."""
    return quoteattr(FORBIDDEN.sub("\ufffd", raw))
