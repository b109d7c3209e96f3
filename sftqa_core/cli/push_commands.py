"""`sftqa push`: a run's tuned model as a new model on the hub; first what would be sent."""

import argparse
from dataclasses import asdict
from typing import Any

from sftqa_core.artifacts import in_words
from sftqa_core.cli.commands import leased


def add_options(parser: argparse.ArgumentParser) -> None:
    """`sftqa push RUN --repo OWNER/NAME`."""
    parser.add_argument("run", help="a run's name, as 'sftqa runs' lists it")
    parser.add_argument(
        "--repo", required=True, metavar="OWNER/NAME", help="the new model's name on the hub; none of that name may be there"
    )
    merge = "LoRA: merge the adapter into the base model (in float32), so that no other model is needed"
    parser.add_argument("--merge", action="store_true", help=merge)
    parser.add_argument("--public", action="store_true", help="everyone may see it (default: private)")
    parser.add_argument("--yes", action="store_true", help="send it; without this the card and the files are shown, and nothing is sent")


def push(options: argparse.Namespace) -> dict[str, Any]:
    """What would be sent; with --yes it is."""
    from sftqa_core.reports import publishing

    with leased(argparse.Namespace(device="cpu"), "push"):
        return asdict(publishing.push(options.run, options.repo, merge=options.merge, public=options.public, send=options.yes))


def as_text(result: dict[str, Any]) -> str:
    """The card, the files, who will see them, the base's licence; or the address."""
    seen = "public: everyone may see it" if result["public"] else "private: only its owner sees it"
    if result["address"]:
        return f"{result['address']} ({seen}). Licence of {result['base']}: {result['licence']}."
    files = ", ".join(f"{name} ({in_words(size)})" for name, size in result["files"].items())
    return (
        f"{result['card']}\nTo {result['repo']}, {seen}.\nFiles: {files}.\nLicence of {result['base']}: {result['licence']}.\n"
        "Nothing was sent. Send it: the same command with --yes"
    )
