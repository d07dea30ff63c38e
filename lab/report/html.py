"""A run as one HTML file that needs nothing else: no script, no font, no picture from anywhere.

The file exists from the first moment and says that the run has not ended; it is replaced, atomically, when a scenario begins and ends. What
it looks like is in lab.report.htmlpage.
"""

from __future__ import annotations

from pathlib import Path

from lab.report import files, htmlpage
from lab.report.jsonout import Document
from lab.report.words import Language
from lab.scenario.events import Event, RunEnded, RunStarted


class HtmlWriter:
    """Keeps an HTML report true from its first moment to `close`. `language`: the one that it opens in; the other is a click away.

    Raises UsageError when the file cannot be written.
    """

    def __init__(self, path: str | Path, language: Language = "en") -> None:
        self._path, self._language = Path(path), language
        self._document = Document()
        self._parts: list[htmlpage.Section] = []
        self._write()

    def __call__(self, event: Event) -> None:
        """Take one more event in."""
        self._document.add(event)
        if isinstance(event, RunEnded):
            self._parts.append(self._section(len(self._parts)))
        if isinstance(event, RunStarted | RunEnded):
            self._write()

    def close(self) -> None:
        """Write what is there: a run without a last event says so."""
        self._write()

    def _section(self, place: int) -> htmlpage.Section:
        return htmlpage.section(self._document.runs[place], place, self._document.graphs.get(place))

    def _write(self) -> None:
        """Only the run that goes on is drawn anew: those that ended do not change any more."""
        going_on = [self._section(place) for place in range(len(self._parts), len(self._document.runs))]
        page = htmlpage.page(self._document.runs, [*self._parts, *going_on], self._language)
        files.replace(self._path, page, "the HTML report")
