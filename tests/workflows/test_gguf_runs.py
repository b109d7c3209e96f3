"""A GGUF file goes the whole way of a person: named, read, probed, trained on, shown, exported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from pages._ui.titles import run_title
from sftqa_core import workflows
from sftqa_core.models.catalogue import find_model
from sftqa_core.progress import Recorder
from sftqa_core.records import ProbeSettings
from sftqa_core.training.runs import list_runs, read_run
from tests.made_gguf import tiny_model, write_gguf
from tests.workflows.test_training import SCHEME, settings


def test_a_run_from_a_file_that_nobody_has_read(world: str, tmp_path: Path, workspace):
    """Reading is its first step; its record, its title, its log and what is exported tell the quantisation."""
    file = write_gguf(tmp_path / "tiny.gguf", tiny_model(max_position_embeddings=512), quantised="Q8_0")
    reporter = Recorder()
    summary = workflows.train(replace(settings(world, method="lora", save_model=True), model=str(file)), reporter)
    assert [line.partition(" (")[0] for line in reporter.lines if line.startswith(("Reading", "Loading"))][:2] == [
        f"Loading {file}",
        f"Reading {file}",
    ]
    run = read_run(summary.run)
    assert run.manifest["model"]["quantisation"] == "Q8_0, from GGUF"
    info = next(info for info in list_runs() if info.id == run.id)
    assert info.quantisation == "Q8_0, from GGUF"
    assert run_title(info).startswith("tiny.gguf (Q8_0) · ")
    adapter = json.loads((run.folder / "model" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(file)  # what can be read again, wherever the cache is
    assert find_model(str(run.folder / "model")).architecture == "lora adapter"
    out = workflows.export(run.id, tmp_path / "out")
    assert "was read from a file with rounded values (`Q8_0, from GGUF`)" in (Path(out["folder"]) / "README.md").read_text()
    base = json.loads((Path(out["folder"]) / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert Path(base).parent == workspace.gguf  # other tools read a folder


def test_a_probe_finds_what_another_name_of_the_file_measured(world: str, tmp_path: Path):
    """Results belong to the weights: a copy without an ending probes nothing again."""
    file = write_gguf(tmp_path / "tiny.gguf", tiny_model(max_position_embeddings=512))
    copied = tmp_path / "sha256-1"
    copied.write_bytes(file.read_bytes())
    first, second = (
        workflows.probe(ProbeSettings(str(name), world, split="test", limit=4, scheme=SCHEME, device="cpu")) for name in (file, copied)
    )
    assert first.facts_per_s is not None
    assert second.facts_per_s is None
    assert second.levels == first.levels
