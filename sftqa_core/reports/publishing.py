"""A run's tuned model on the hub: what would be sent, and sending it. Only a command does so; no page does, shared or not."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftqa_core import workflows
from sftqa_core.artifacts import MANIFEST, write_folder
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.models.catalogue import find_model, repository
from sftqa_core.models.hub.fetch import ask_hub
from sftqa_core.models.hub.publish import check_new, publish
from sftqa_core.reports.private_names import Names
from sftqa_core.training.runs import Run, read_run

_TEXTS = (".json", ".md", ".jinja", ".txt")
UNKNOWN = "not known here: look it up on the base model's page before you pass anything on"


@dataclass(frozen=True)
class Outgoing:
    """What would be sent."""

    run: str
    repo: str
    public: bool
    base: str  # the model that was tuned
    licence: str  # of the base, as far as it is known
    files: dict[str, int]  # name -> bytes
    card: str  # README.md


def outgoing(run_id: str, repo: str, merge: bool = False, public: bool = False) -> Outgoing:
    """What `push` would send, without sending it. Raises what `push` raises before it sends."""
    with _packed(run_id, repo, merge) as (run, folder, licence):
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
        return Outgoing(run.id, repo, public, _base(run), licence, files, (folder / "README.md").read_text(encoding="utf-8"))


def push(run_id: str, repo: str, merge: bool = False, public: bool = False) -> str:
    """Put the run's tuned model on the hub under the new name `repo`, private unless `public`; returns its address.

    No path, server, user or key of this machine is in it: its card and settings have public names (private_names.py). Raises
    `NotFound`, `SettingsError` (no login, a name that is taken, an adapter whose base others don't have), `ModelUnavailable`.
    """
    with _packed(run_id, repo, merge) as (_, folder, _):
        return publish(folder, repo, public)


@contextmanager
def _packed(run_id: str, repo: str, merge: bool) -> Iterator[tuple[Run, Path, str]]:
    """The folder as it would be sent, and the base model's licence; it is gone afterwards."""
    check_new(repo)
    run = read_run(run_id)
    base = find_model(run.settings.model)
    if run.settings.method == "lora" and not merge and base.kind != "hub":
        raise SettingsError(
            f"Run {run.id} is an adapter on {_base(run)}, which is not on the hub: others could not load it. Push it merged: --merge"
        )
    licence = _licence(run, base.kind)
    with tempfile.TemporaryDirectory() as place:
        exported = Path(place) / "exported"
        workflows.export(run.id, exported, merge)
        names = Names((run.settings,))

        def fill(work: Path) -> None:
            for path in sorted(exported.iterdir()):
                if path.name != MANIFEST:
                    public = names.text(path.read_text(encoding="utf-8")).encode() if path.suffix in _TEXTS else path.read_bytes()
                    (work / path.name).write_bytes(public)
            card = work / "README.md"
            card.write_text(f"{card.read_text(encoding='utf-8').rstrip()}\n\n**Licence of the base model**: {licence}.\n", encoding="utf-8")

        told: dict[str, Any] = json.loads((exported / MANIFEST).read_text(encoding="utf-8"))
        about = {name: names.inside(told[name]) for name in ("kind", "run", "settings", "command", "merged")}
        yield run, write_folder(Path(place) / "public", fill, about), licence


def _base(run: Run) -> str:
    return Names((run.settings,)).text(repository(run.settings.model, run.manifest["model"].get("kind")))


def _licence(run: Run, kind: str) -> str:
    if kind in ("built-in", "pretrained"):
        return "MIT, as the program that made it" if kind == "built-in" else UNKNOWN
    try:
        return ask_hub(run.settings.model).licence or UNKNOWN if kind == "hub" else UNKNOWN
    except SftqaError:
        return UNKNOWN
