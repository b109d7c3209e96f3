"""`sftqa models [--add NAME | --remove NAME]`: every model that can be chosen, and what it needs."""

from __future__ import annotations

import argparse
from typing import Any

from sftqa_core import workflows
from sftqa_core.cli.text import count, table
from sftqa_core.workflows.memory import gigabytes
from sftqa_core.workflows.offered import WORKS

_MARKS = {"now": "", "not now": "*", "no": "**", "unknown": ""}
_HEAD = {"probe": "probe", "lora": "LoRA", "lora_4bit": "4-bit LoRA", "full": "full"}


def models(options: argparse.Namespace) -> dict[str, Any]:
    """The command."""
    if options.add is not None:
        card, note = workflows.add_model(options.add)
        return {"added": card.to_dict(), "notes": [note] if note else []}
    if options.remove is not None:
        note = workflows.remove_model(options.remove)
        return {"removed": options.remove, "notes": [note] if note else []}
    found = workflows.offered_models(options.device).to_dict()
    return {"models": [{**offer.pop("card"), **offer} for offer in found.pop("offers")], **found}


def as_text(result: dict[str, Any]) -> str:
    """A line a model, those that are here first; or what was added or taken off."""
    notes = result["notes"]
    if "added" in result:
        card = result["added"]
        where = "on this machine" if card["available"] else "not on this machine yet; it is downloaded when it is first used"
        return "\n".join([f"{card['name']} is on the lists ({where}).", *notes])
    if "removed" in result:
        return "\n".join([f"{result['removed']} is off the lists; its files stay.", *notes])
    rows = [_row(model) for model in result["models"]]
    head = ("model", "", "parameters", "licence", *_HEAD.values())
    todo = [f"{model['name']}: {model['todo']}" for model in result["models"] if model["state"] == "unusable" and model["todo"]]
    return "\n".join([table(head, rows), "", *_explained(result), *todo, *notes])


def _row(model: dict[str, Any]) -> tuple[str, ...]:
    needs = {need["work"]: f"{gigabytes(need['size_bytes'])}{_MARKS[need['fits']]}" for need in model["needs"]}
    state = model["kind"] if model["state"] == "here" and model["kind"] != "hub" else model["state"]
    return (model["name"], state, count(model["parameters"]), model["licence"] or "?", *(needs.get(work, "-") for work in WORKS))


def _explained(result: dict[str, Any]) -> list[str]:
    device, free, total = result["device"], result["free"], result["total"]
    if total is None:
        lines = [f"Memory on {device}, of which this machine has none that can be used."]
    else:
        lines = [f"Memory on {device}: {gigabytes(free)} of {gigabytes(total)} are free. *: more than is free now. **: more than there is."]
    if result["lacking"]:
        lines.append(result["lacking"])
    if any(model["state"] == "gated" for model in result["models"]):
        lines.append("gated: accept the model's terms at https://huggingface.co/NAME, and log in here: hf auth login.")
    if any(model["state"] == "not asked" for model in result["models"]):
        lines.append("not asked: the hub is asked for it when it is fetched.")
    return lines
