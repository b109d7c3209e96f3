"""`sftqa import`: bundles of other explorers, checked, imported apart from one's own results, listed and removed."""

import argparse
from pathlib import Path
from typing import Any

from sftqa_core import workflows
from sftqa_core.artifacts import in_words
from sftqa_core.cli.text import table
from sftqa_core.errors import SettingsError
from sftqa_core.records.bundles import ORIGIN


def add_options(parser: argparse.ArgumentParser) -> None:
    """`sftqa import [FILE | --remove BUNDLE]`."""
    file = "a bundle that sftqa bundle wrote; without one: what was imported"
    parser.add_argument("file", nargs="?", metavar="FILE", help=file)
    parser.add_argument("--remove", metavar="BUNDLE", help="remove an imported bundle with all that it brought")


def import_(options: argparse.Namespace) -> dict[str, Any]:
    """The command."""
    if options.file and options.remove:
        raise SettingsError("Either import FILE, or remove one with --remove BUNDLE, not both at once.")
    if options.remove:
        return {"removed": workflows.remove_bundle(options.remove).to_dict()}
    if options.file:
        return {"imported": workflows.import_bundle(Path(options.file).expanduser()).to_dict()}
    return {"bundles": [bundle.to_dict() for bundle in workflows.imported_bundles()]}


def as_text(result: dict[str, Any]) -> str:
    """What the command prints."""
    if "removed" in result:
        return f"{result['removed']['name']} was removed, and {in_words(result['removed']['size_bytes'])} with it."
    if "imported" in result:
        bundle = result["imported"]
        licences = [f"Licence of the {name}: {licence}" for name, licence in bundle["licences"].items()]
        head = f"Imported as {bundle['name']} (made {bundle['made'][:10]} with version {bundle['program']}). {ORIGIN}"
        return "\n".join([head, *licences, "Its runs and studies:", *bundle["runs"], *bundle["studies"]])
    rows = [
        (bundle["name"], bundle["imported"][:16].replace("T", " "), bundle["program"], len(bundle["runs"]), len(bundle["studies"]))
        for bundle in result["bundles"]
    ]
    heads = ("bundle", "imported", "version", "runs", "studies")
    return table(heads, rows) if rows else "Nothing was imported yet. Import a bundle: sftqa import FILE"
