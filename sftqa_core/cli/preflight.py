"""`sftqa preflight`: what could stand in the way of a run, with the fix for each."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from sftqa_core import workflows
from sftqa_core.cli.arguments import train_settings
from sftqa_core.cli.console import Console
from sftqa_core.records import Check, Preflight

SIGNS = {"ok": "ok", "note": "note", "unknown": "?", "problem": "PROBLEM"}


def preflight(options: argparse.Namespace) -> dict[str, Any]:
    """Every point; with --trial one training step too, when nothing else stands in the way. `ok` decides the exit status."""
    settings = train_settings(options)
    found = workflows.preflight(settings)
    if options.trial and found.ok:
        from sftqa_core.cli.commands import leased

        with leased(options, "preflight"):
            found = _with(found, workflows.trial(settings, Console()))
    return {"ok": found.ok, "headline": found.headline(), **found.to_dict()}


def _with(found: Preflight, tried: Check) -> Preflight:
    """The same with the trial that was made in the place of the one that was announced."""
    return replace(found, checks=tuple(tried if check.name == tried.name else check for check in found.checks))


def as_text(result: dict[str, Any]) -> str:
    """A line a point, problems first, each fix below its finding."""
    checks = sorted(result["checks"], key=lambda check: list(SIGNS)[::-1].index(check["state"]))
    width = max(len(check["name"]) for check in checks)
    lines = [result["headline"]]
    for check in checks:
        about = f"{check['about']}: " if check["about"] else ""
        lines.append(f"{SIGNS[check['state']]:8}{check['name']:{width}}  {about}{check['said']}")
        if check["fix"]:
            lines.append(f"{'':8}{'':{width}}  -> {check['fix']}")
    return "\n".join(lines)
