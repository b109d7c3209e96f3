"""`sftqa site`: all results as a folder of static pages that need no server."""

import argparse
from pathlib import Path
from typing import Any

from sftqa_core.cli.text import Console


def add_options(parser: argparse.ArgumentParser) -> None:
    """`sftqa site --out FOLDER`."""
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to write; it must not exist")
    parser.add_argument("--shipped", action="store_true", help="only what comes with the program, not what was made here")


def site(options: argparse.Namespace) -> dict[str, Any]:
    """The folder, and its files."""
    from sftqa_core.reports.site import write_site

    out = Path(options.out).expanduser()
    return {"folder": str(out), "files": write_site(out, not options.shipped, Console())}


def as_text(result: dict[str, Any]) -> str:
    """What the command prints."""
    index = Path(result["folder"]) / "index.html"
    return f"{result['folder']}: {len(result['files']):,} files. Open {index}, or put the folder on any web server."
