"""`sftqa bundle`: runs, cells and studies as one file that another explorer imports."""

import argparse
from typing import Any

from sftqa_core import workflows
from sftqa_core.artifacts import in_words
from sftqa_core.cli.commands import new_file


def add_options(parser: argparse.ArgumentParser) -> None:
    """`sftqa bundle RUN|STUDY|CELL... --out FILE.zip`."""
    names = "a run's name, as 'sftqa runs' lists it, a study's, or a cell's (sftqa compare --cells STUDY); several: a comparison"
    parser.add_argument("names", nargs="+", metavar="NAME", help=names)
    out = "zip to write, which must not exist; its name is the bundle's title"
    parser.add_argument("--out", required=True, metavar="FILE", help=out)
    parser.add_argument("--weights", action="store_true", help="with the adapters that the runs kept; all weights of a model never go in")


def bundle(options: argparse.Namespace) -> dict[str, Any]:
    """The command."""
    out = new_file(options.out)
    manifest = workflows.pack(options.names, out, options.weights)
    told = {name: value for name, value in manifest.to_dict().items() if name != "files"}
    return {**told, "file": str(out), "size_bytes": out.stat().st_size, "files": list(manifest.files)}


def as_text(result: dict[str, Any]) -> str:
    """What the command prints."""
    lines = [f"{result['file']}: {len(result['files']):,} files, {in_words(result['size_bytes'])}."]
    lines += [f"  {kind}: {', '.join(result[kind])}" for kind in ("runs", "studies") if result[kind]]
    lines += [f"  Licence of the {name}: {licence}" for name, licence in result["licences"].items()]
    return "\n".join([*lines, "It holds no path, user, machine or key. Another explorer reads it with: sftqa import FILE"])
