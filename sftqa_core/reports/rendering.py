"""A report as HTML: everything in one file that works offline, or a page of a folder that shares plotly.js with the others.

Texts of models, data and people are escaped, whatever they hold; a figure's JSON can't close its element. The page's own rule
(Content-Security-Policy) lets it fetch nothing from anywhere and run nothing but plotly.js and report.js, known by their hashes.
plotly.js comes from the installed package, which has one bundle only (4.8 MB).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

from sftqa_core.errors import MissingPackage
from sftqa_core.records.texts import UNSEEN
from sftqa_core.reports.blocks import (
    Beside,
    Block,
    Chart,
    Finding,
    Link,
    Number,
    Numbers,
    Paragraph,
    Quoted,
    Report,
    Section,
    Table,
)
from sftqa_core.reports.private_names import Names

PLOTLY = "plotly.min.js"  # a file of its own in a folder of pages
VERDICTS = {"yes": "yes", "no": "no", "better": "yes", "worse": "no"}  # -> how it is marked; all others cannot tell
_NUMBER = re.compile(r"[+\-<]?\s?[\d,.]+%?")
_POLICY = "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def as_page(report: Report, shared: bool = False) -> str:
    """The whole page; `shared`: plotly.js lies beside it, and is not part of it. Raises `MissingPackage` without plotly."""
    body = _Body(report.names)
    sections = "\n".join(map(body.section, report.sections))
    plotly, own = plotly_source(), _own("report.js")
    scripts = f"'self' file: {_hash(own)}" if shared else f"{_hash(plotly)} {_hash(own)}"
    loaded = f'<script src="{PLOTLY}"></script>' if shared else f"<script>{plotly}</script>"
    charted = f"{loaded}\n<script>{own}</script>" if body.charts else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY.format(scripts=scripts))}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>{body.text(report.title)}</title>
<style>{_own("report.css")}</style>
</head>
<body>
<main>
<header><h1>{body.text(report.title)}</h1><p class="about">{body.text(report.about)}</p></header>
{sections}
</main>
<script type="application/json" id="inks">{_json(_inks())}</script>
{charted}
</body>
</html>
"""


@lru_cache(maxsize=1)
def plotly_source() -> str:
    """plotly.js as the installed package has it. Raises `MissingPackage`."""
    try:
        import plotly  # noqa: F401

        content = (resources.files("plotly") / "package_data" / PLOTLY).read_text(encoding="utf-8")
    except (ImportError, OSError) as error:
        raise MissingPackage(f"Reports need plotly, whose charts are part of them ({error}). Install: pip install plotly") from error
    if "</script" in content or "<!--" in content:  # neither may stand in a page's script
        raise MissingPackage("The installed plotly can't be part of a page. Install another version: pip install -U plotly")
    return content.replace("\r\n", "\n").replace("\r", "\n")  # as a browser reads it, and its hash is of that


@lru_cache(maxsize=4)
def _own(name: str) -> str:
    return (resources.files("sftqa_core.reports") / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _json(content: Any) -> str:
    """JSON that can't end the element that it stands in."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _inks() -> dict[str, Any]:
    from sftqa_core.figures.themes import INK, TOOLS

    return {theme: {"ink": INK[theme], "tools": TOOLS[theme]} for theme in ("light", "dark")}


class _Body:
    """Blocks to HTML; counts charts, which have a place each."""

    def __init__(self, names: Names):
        self.names, self.charts = names, 0
        self._drawn: dict[type, Callable[[Any], str]] = {
            Paragraph: self._paragraph, Quoted: self._quoted, Table: self._table, Chart: self._chart, Beside: self._beside,
            Numbers: self._numbers, Finding: self._finding, Link: self._link,
        }  # fmt: skip

    def text(self, text: object) -> str:
        """Any text for a page: public names, nothing unseen, escaped."""
        return html.escape(UNSEEN.sub("\ufffd", self.names.text(text)))

    def section(self, section: Section) -> str:
        blocks, title = "\n".join(map(self.block, section.blocks)), self.text(section.title)
        if section.folded:
            return f"<section><details><summary><h2>{title}</h2></summary>\n{blocks}\n</details></section>"
        return f"<section><h2>{title}</h2>\n{blocks}\n</section>"

    def block(self, block: Block) -> str:
        return self._drawn[type(block)](block)

    def _paragraph(self, block: Paragraph) -> str:
        lead = f"<strong>{self.text(block.lead)}</strong> " if block.lead else ""
        return f"<p{' class=small' if block.small else ''}>{lead}{self.text(block.text)}</p>"

    def _quoted(self, block: Quoted) -> str:
        return f'<pre class="{block.what}" tabindex="0"><code>{self.text(block.text)}</code></pre>'

    def _table(self, block: Table) -> str:
        columns = list(zip(*block.rows, strict=True)) or [()] * len(block.head)
        kinds = [" class=n" if any(cells) and all(map(_NUMBER.fullmatch, filter(None, cells))) else "" for cells in columns]
        head = "".join(f'<th scope="col"{kind}>{self.text(name)}</th>' for name, kind in zip(block.head, kinds, strict=True))
        cells = (zip(row, kinds, strict=True) for row in block.rows)
        rows = "\n".join(f"<tr>{''.join(f'<td{kind}>{self.text(text)}</td>' for text, kind in row)}</tr>" for row in cells)
        about = f'<p class="small">{self.text(block.about)}</p>' if block.about else ""
        table = f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"
        return f'<div class="table" role="region" aria-label="Table" tabindex="0">{table}</div>{about}'

    def _chart(self, block: Chart) -> str:
        from sftqa_core.figures.themes import themed

        self.charts += 1
        content = json.loads(type(block.figure)(themed(block.figure, "light"), _validate=False).to_json())
        content["layout"].pop("template", None)
        for name, axis in content["layout"].items():
            if name.startswith(("xaxis", "yaxis")):
                axis.setdefault("ticks", "")
        height = int(content["layout"].get("height", 380))
        heading = (
            f"<h3>{self.text(block.title)}{f' <span>{self.text(block.about)}</span>' if block.about else ''}</h3>" if block.title else ""
        )
        place = f'<div class="chart" role="img" aria-label="{self.text(block.alt)}" style="height:{height}px"></div>'
        return f'<figure>{heading}{place}<script type="application/json">{_json(self.names.inside(content))}</script></figure>'

    def _beside(self, block: Beside) -> str:
        return f'<div class="beside">{"".join(f"<div>{self.block(one)}</div>" for one in block.blocks)}</div>'

    def _numbers(self, block: Numbers) -> str:
        return f'<div class="numbers">{"".join(map(self._number, block.numbers))}</div>'

    def _number(self, one: Number) -> str:
        change = f'<p class="change">{self.text(one.change)}</p>' if one.change else ""
        lines = "<br>".join(map(self.text, one.lines))
        value = f'<p class="name">{self.text(one.name)}</p><p class="value">{self.text(one.value)}</p>'
        return f'<div>{value}{change}<p class="small">{lines}</p></div>'

    def _finding(self, block: Finding) -> str:
        verdict = f'<span class="verdict {VERDICTS.get(block.verdict, "open")}">{self.text(block.verdict)}</span>'
        colon = "" if block.about.endswith("?") else ":"
        return f"<p>{self.text(block.about)}{colon} {verdict} {self.text(block.text)}</p>"

    def _link(self, block: Link) -> str:
        about = f' <span class="small">{self.text(block.about)}</span>' if block.about else ""
        return f'<p><a href="{html.escape(block.file)}">{self.text(block.text)}</a>{about}</p>'


def file_name(name: str, taken: Sequence[str] = ()) -> str:
    """A page's file name in a folder: letters, digits and - only."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:100] or "report"
    return next(
        f"{plain}{f'-{at}' if at else ''}.html" for at in range(len(taken) + 1) if f"{plain}{f'-{at}' if at else ''}.html" not in taken
    )
