"""Make what ships: the built-in model, its levels and completions on the atlas, and one example run.

    python -m sftqa_core.cli.shipping TARGET        (make shipped)

Works in the current workspace, where nothing done is done again, and then replaces TARGET. From nothing it takes about
half an hour on two cores. Weights are committed once, when final.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sftqa_core import workflows
from sftqa_core.artifacts import write_folder
from sftqa_core.cli.console import Console
from sftqa_core.records import LevelScheme, ProbeSettings, TrainSettings
from sftqa_core.workspace import Workspace

MODEL = "atlas-llama"


def ship(target: Path, console: Console) -> None:
    """Pre-train, probe and tune as far as that was not done in this workspace, and write `target` whole."""
    workspace = Workspace.current()
    if not (workspace.models / MODEL).is_dir():
        workflows.pretrain(workflows.recipes()[MODEL], console)
    workflows.probe(ProbeSettings(MODEL, split="all"), console)
    example = workflows.train(TrainSettings(MODEL, n=60, save_model=False), console)

    def fill(work: Path) -> None:
        shutil.copytree(workspace.models / MODEL, work / "models" / MODEL)
        shutil.copytree(workspace.runs / example.run, work / "runs" / example.run)
        _compact_levels(work)

    write_folder(target, fill, {"kind": "shipped", "model": MODEL})


def _compact_levels(target: Path) -> None:
    """One sorted part with every usable fact's completions, and one with its hits."""
    from sftqa_core.knowledge.aliases import load_aliases
    from sftqa_core.knowledge.facts import UNUSED
    from sftqa_core.memory.completions import find_stores
    from sftqa_core.memory.wanted import wanted_facts
    from sftqa_core.models.catalogue import find_model, model_fingerprint
    from sftqa_core.workflows.reading import open_for

    workspace, source = Workspace.current(), open_for(MODEL, "atlas")
    facts = source.facts[source.facts["split"] != UNUSED]
    wanted = wanted_facts(source, facts, load_aliases(workspace), ProbeSettings(MODEL).match)
    weights = model_fingerprint(find_model(MODEL), "", "").weights
    (store,) = find_stores(weights, None, LevelScheme().sampling, workspace)
    store.compact(target, wanted)


if __name__ == "__main__":
    ship(Path(sys.argv[1]), Console())
