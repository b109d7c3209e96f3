"""`sftqa delete` and `sftqa undelete`: take a run or study off every list, and bring it back."""

import argparse
from typing import Any

from sftqa_core import workflows
from sftqa_core.artifacts import in_words
from sftqa_core.cli.text import table
from sftqa_core.jobs.users import in_use
from sftqa_core.records.amounts import moment


def add_options(parser: argparse.ArgumentParser) -> None:
    """`sftqa delete RUN|STUDY`."""
    parser.add_argument("what", metavar="RUN|STUDY", help="a run or study of your own, by its id or its unique name")


def delete(options: argparse.Namespace) -> dict[str, Any]:
    """Move it away, with its label."""
    return {"deleted": workflows.delete(workflows.find(options.what), in_use).to_dict()}


def as_text(result: dict[str, Any]) -> str:
    """What was deleted, what stays, and the way back."""
    entry = result["deleted"]
    back = f"`sftqa undelete {entry['id']}` brings it back; `sftqa cache gc --yes` removes it for good."
    return "\n".join([f"Deleted the {entry['kind']} {entry['id']} ({in_words(entry['size_bytes'])}).", *entry["notes"], back])


def add_undelete_options(parser: argparse.ArgumentParser) -> None:
    """`sftqa undelete [RUN|STUDY]`."""
    words = "what to bring back, by its id, its name or the entry that the list shows; without it: list what was deleted"
    parser.add_argument("what", nargs="?", metavar="RUN|STUDY", help=words)


def undelete(options: argparse.Namespace) -> dict[str, Any]:
    """Bring one back, or list all."""
    if options.what is None:
        return {"deleted": [entry.to_dict() for entry in workflows.deleted()]}
    entry = workflows.find_deleted(options.what)
    return {"back": entry.to_dict(), "notes": list(workflows.undelete(entry))}


def undelete_text(result: dict[str, Any]) -> str:
    """A line each, deleted last first; or what came back."""
    if "back" in result:
        return "\n".join([f"The {result['back']['kind']} {result['back']['id']} is back.", *result["notes"]])
    rows = [
        (entry["kind"], entry["entry"], entry["label"]["name"], moment(entry["when"]), in_words(entry["size_bytes"]))
        for entry in result["deleted"]
    ]
    if not rows:
        return "Nothing was deleted, or all of it was removed for good."
    size = in_words(sum(entry["size_bytes"] for entry in result["deleted"]))
    return f"{table(('kind', 'entry', 'name', 'deleted', 'size'), rows)}\n{size} in all. `sftqa cache gc --yes` removes them for good."
