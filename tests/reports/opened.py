"""A report as a browser's parser sees it: its texts, tables, charts, scripts and everything that would ask for another file."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

from sftqa_core.reports.rendering import plotly_source


class Opened(HTMLParser):
    """`Opened(page)` has parsed it."""

    def __init__(self, page: str):
        super().__init__()
        self.page = page
        self.words: list[str] = []  # texts that are shown, in their order
        self.tables: list[list[list[str]]] = []  # [table][row][cell], headings first
        self.charts: list[dict[str, Any]] = []  # figures' JSON
        self.scripts: list[str] = []  # that run
        self.asked: list[str] = []  # values of src and href
        self.tags: set[str] = set()
        self.policy = ""
        self._inside: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.add(tag)
        self.asked += [str(named[name]) for name in ("src", "href") if name in named]
        if tag == "meta":
            self.policy = str(named["content"]) if named.get("http-equiv") == "Content-Security-Policy" else self.policy
            return
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag != "br":
            self._inside.append((tag, named))

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tag, named = self._inside[-1] if self._inside else ("", {})
        if tag == "script" and named.get("type") == "application/json":
            content = json.loads(data)
            self.charts += [content] if "data" in content else []
        elif tag == "script":
            self.scripts.append(data)
        elif tag != "style":
            self.words.append(data)
            if tag in ("td", "th"):
                self.tables[-1][-1][-1] += data

    @property
    def text(self) -> str:
        """All that is shown, blanks made one."""
        return " ".join(" ".join(self.words).split())

    @property
    def own(self) -> str:
        """The file without plotly.js."""
        return self.page.replace(plotly_source(), "")

    def table(self, *head: str) -> list[list[str]]:
        """The rows of the first table whose headings begin so."""
        return next(rows[1:] for rows in self.tables if rows and rows[0][: len(head)] == list(head))
