"""Make what ships: the built-in model, its levels and completions on the atlas, other ways of probing its test facts, an example run.

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
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings, TrainSettings
from sftqa_core.workspace import Workspace

MODEL = "atlas-llama"
SECOND = LevelScheme(sampling=SamplerSettings(seed=1))  # how far two full probes agree is what chance alone does
ESTIMATED = (LevelScheme(method="adaptive"), LevelScheme(method="likelihood"))
OTHERS = (SECOND, *ESTIMATED)


def ship(target: Path, console: Console) -> None:
    """Pre-train, probe and tune as far as that was not done in this workspace, and write `target` whole."""
    workspace = Workspace.current()
    if not (workspace.models / MODEL).is_dir():
        workflows.pretrain(workflows.recipes()[MODEL], console)
    workflows.probe(ProbeSettings(MODEL, split="all"), console)
    for scheme in OTHERS:
        workflows.probe(ProbeSettings(MODEL, split="test", scheme=scheme), console)
    example = workflows.train(TrainSettings(MODEL, n=60, save_model=False), console)

    def fill(work: Path) -> None:
        shutil.copytree(workspace.models / MODEL, work / "models" / MODEL)
        shutil.copytree(workspace.runs / example.run, work / "runs" / example.run)
        _compact_levels(work)

    write_folder(target, fill, {"kind": "shipped", "model": MODEL})


def _compact_levels(target: Path) -> None:
    """One sorted part with every usable fact's completions, and one with its hits; of the test facts' other probes the levels alone."""
    from sftqa_core.knowledge.aliases import load_aliases
    from sftqa_core.knowledge.facts import UNUSED
    from sftqa_core.memory.completions import find_stores
    from sftqa_core.memory.estimates import find_estimates
    from sftqa_core.memory.wanted import wanted_facts
    from sftqa_core.models.catalogue import find_model, model_fingerprint
    from sftqa_core.workflows.reading import open_for

    workspace, source = Workspace.current(), open_for(MODEL, "atlas")
    facts = source.facts[source.facts["split"] != UNUSED]
    wanted = wanted_facts(source, facts, load_aliases(workspace), ProbeSettings(MODEL).match)
    weights = model_fingerprint(find_model(MODEL), "", "").weights
    (store,) = find_stores(weights, None, LevelScheme().sampling, workspace)
    store.compact(target, wanted)
    tests = wanted_facts(source, facts[facts["split"] == "test"], load_aliases(workspace), ProbeSettings(MODEL).match)
    (second,) = find_stores(weights, None, SECOND.sampling, workspace)
    second.compact(target, tests, texts_of=())
    for scheme in ESTIMATED:
        (estimates,) = find_estimates(weights, None, scheme, workspace)
        estimates.compact(target, tests)


if __name__ == "__main__":
    ship(Path(sys.argv[1]), Console())
