"""`sftqa report`: a run, a study, or runs and cells beside each other as one HTML file that works offline."""

import argparse
import sys
from typing import Any

from sftqa_core.cli.commands import new_file
from sftqa_core.errors import SettingsError


def add_options(parser: argparse.ArgumentParser) -> None:
    """`sftqa report NAME [NAME ...] --out FILE.html`."""
    names = "a run, a study, or a study's cell (sftqa compare --cells); several runs and cells stand beside each other"
    parser.add_argument("names", nargs="+", metavar="NAME", help=names)
    parser.add_argument("--out", required=True, metavar="FILE", help="file to write, such as report.html; it must not exist")
    parser.add_argument("--pool", action="store_true", help="of several: average the seeds of one setting, fact by fact")
    parser.add_argument("--reference", metavar="RUN", help="of several: whose base model's memory levels are used (default: the first)")
    parser.add_argument("--against", metavar="RUN", help="of several: compare all others with this one (default: every pair)")


def report(options: argparse.Namespace) -> dict[str, Any]:
    """The file's name, and how large it is."""
    from sftqa_core.reports.report_files import page_of, write_page

    out = new_file(options.out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"A report is an HTML file, so its name ends in .html, got {out.name}.")
    print("Counting, drawing and writing: some seconds, a minute for a large study ...", file=sys.stderr, flush=True)
    page = page_of(options.names, options.reference, options.pool, options.against)
    return {"file": str(out), "of": list(options.names), "size_bytes": write_page(page, out)}


def as_text(result: dict[str, Any]) -> str:
    """What the command prints."""
    return f"{result['file']}: {result['size_bytes'] / 1e6:.1f} MB. It opens in any browser, without the network."
