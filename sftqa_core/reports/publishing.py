"""A run's tuned model on the hub: what would be sent, and sending it. Only a command does so; no page does, shared or not."""

from __future__ import annotations

import contextlib
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
    address: str | None  # on the hub; None where nothing was sent


def push(run_id: str, repo: str, *, merge: bool = False, public: bool = False, send: bool = False) -> Outgoing:
    """What would put the run's tuned model on the hub under the new name `repo`, private unless `public`; with `send` it is sent.

    No path, server, user or key of this machine is in it: its card and settings have public names (private_names.py). Raises
    `NotFound`, `SettingsError` (no login, a name that is taken, an adapter whose base others don't have), `ModelUnavailable`.
    """
    with _packed(run_id, repo, merge) as (run, folder, licence):
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
        card = (folder / "README.md").read_text(encoding="utf-8")
        address = publish(folder, repo, public) if send else None
        return Outgoing(run.id, repo, public, _base(run), licence, files, card, address)


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
    if kind == "built-in":
        return "MIT, as the program that made it"
    with contextlib.suppress(SftqaError):  # the hub can't be asked
        return (ask_hub(run.settings.model).licence if kind == "hub" else None) or UNKNOWN
    return UNKNOWN
