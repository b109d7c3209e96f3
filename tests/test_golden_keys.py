"""Every key that a result is found by is what it was when it was frozen: one that moves loses what people have made.

golden_keys.json, beside this file, holds the frozen values. No test writes it. Where a key has to move, or a setting is new, they are
frozen anew on purpose; each line of the diff that changes is then a result that is not found again:

    .venv/bin/python -m tests.test_golden_keys

Keys are made by what the program itself calls: a result is stored, and the name of its folder is the key.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

# Where keys are made, and what they are made of. Those that load torch are imported in `checkpoints` and `pretrainings`.
from sftqa_core import artifacts
from sftqa_core.engine.wanted_facts import wanted_facts
from sftqa_core.evaluation.predictions import is_kept, kept_predictions
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.knowledge.aliases import load_aliases
from sftqa_core.knowledge.entity_questions import load_entity_questions
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.knowledge.sources import LARGE, keep, open_source
from sftqa_core.knowledge.tables.files import load_own
from sftqa_core.memory.probe_stores import CompletionStore, EstimateStore
from sftqa_core.memory.speeds import remember
from sftqa_core.models import measured
from sftqa_core.models.catalogue import ModelFingerprint, find_model, model_fingerprint
from sftqa_core.models.chat_templates import ChatTemplate
from sftqa_core.models.lists import BUILT_IN, UNMADE
from sftqa_core.records import (
    PAPER,
    PROMPTS,
    SLICK,
    CorpusSettings,
    LevelScheme,
    PretrainSettings,
    RunSummary,
    SamplerSettings,
    SourceReport,
    StudyReport,
    StudySettings,
    TrainSettings,
)
from sftqa_core.records.job import command_of
from sftqa_core.shipping import real_plan
from sftqa_core.studies.cells import Cells
from sftqa_core.studies.model_study import ModelStudy
from sftqa_core.training.optimizers import default_learning_rate
from sftqa_core.training.runs import new_run_id, read_run
from sftqa_core.workflows.study_reports import read_report, read_study, report_name, study_name, study_yaml
from sftqa_core.workspace import Workspace, shipped_folder
from tests.golden_settings import DEFAULTS, MODEL, VARIED, field_of, varied

FROZEN = Path(__file__).with_name("golden_keys.json")
MODELS = tuple(BUILT_IN)


# --- what ships ------------------------------------------------------------------------------------------


def shipped_files(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """SHA-256 over sorted relative names and contents, of each folder of what ships and of all."""
    root = shipped_folder()
    found = sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*") if path.is_file())
    lines = [f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for name, path in found]
    parts = {line.partition(" ")[0].partition("/")[0] for line in lines}
    groups = {part: [line for line in lines if line.startswith((f"{part}/", f"{part} "))] for part in sorted(parts)}
    groups["all"] = lines
    return {part: f"{len(own)} files {hashlib.sha256(''.join(own).encode()).hexdigest()}" for part, own in groups.items()}


def shipped_records(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """The fingerprint of every record that ships, after its file; with the names that JSON of it now has otherwise than the file."""
    found = {}
    for label, kind, stored in _stored():
        record = read_report(shipped_folder() / label) if kind is StudyReport else kind.from_dict(stored)
        changed = sorted(_differing(stored, record.to_dict()))
        found[label] = " ".join([record.fingerprint(), *(f"+{name}" for name in changed)])
    for path in sorted((shipped_folder() / "studies").iterdir()):
        settings = read_study(path)
        assert study_yaml(settings) == path.read_text(encoding="utf-8")
        found[f"studies/{path.name}"] = settings.fingerprint()
    return found


def _stored() -> Iterator[tuple[str, Any, Any]]:
    """Which record every JSON file that ships holds: name, class, JSON."""
    root = shipped_folder()

    def read(pattern: str) -> Iterator[tuple[str, Any]]:
        for path in sorted(root.glob(pattern)):
            yield path.relative_to(root).as_posix(), json.loads(path.read_bytes())

    for name, manifest in read("cells/*/manifest.json"):
        yield f"{name} model", ModelFingerprint, manifest["settings"]["model"]
        yield f"{name} run", TrainSettings, manifest["settings"]["run"]
        if "scheme" in manifest["settings"]:
            yield f"{name} scheme", LevelScheme, manifest["settings"]["scheme"]
    for kind, part, record in (("completions", "sampler", SamplerSettings), ("estimates", "scheme", LevelScheme)):
        for name, settings in read(f"{kind}/*/settings.json"):
            yield f"{name} model", ModelFingerprint, settings["model"]
            yield f"{name} {part}", record, settings[part]
    for name, manifest in read("models/*/manifest.json"):
        yield name, PretrainSettings, manifest["settings"]
    for name, manifest in read("runs/*/manifest.json"):
        yield f"{name} model", ModelFingerprint, {key: manifest["model"][key] for key in MODEL.to_dict()}
        yield f"{name} settings", TrainSettings, manifest["settings"]
    for name, settings in read("runs/*/settings.json"):
        yield name, TrainSettings, settings
    for name, summary in read("runs/*/summary.json"):
        yield name, RunSummary, summary
    for name, report in read("reports/*.json"):
        yield name, StudyReport, report
        yield f"{name} settings", StudySettings, report["settings"]


def _differing(stored: Any, told: Any, under: str = "") -> Iterator[str]:
    """Names of what is not the same in both, with those above it."""
    if isinstance(stored, dict) and isinstance(told, dict):
        for name in stored.keys() | told.keys():
            yield from _differing(stored.get(name, ...), told.get(name, ...), f"{under}.{name}" if under else name)
    elif stored != told:
        yield under


def shipped_content(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """What the keys of shipped results hold of models, facts and aliases; and how many facts each store of one model knows."""
    weights = {name: model_fingerprint(find_model(name), "float32", "cpu").to_dict() for name in MODELS}
    facts = open_source("atlas")
    part = ModelStudy(StudySettings("shift", MODELS[:1], device="cpu"), MODELS[0])
    sizes = (None, 2_000_000, 100_000_000, 7_000_000_000, 70_000_000_000)
    known = {}
    for name, scheme in _schemes(part).items():
        levels = part.prober.under(scheme).known(part.source.facts)
        known[f"{name}: facts known"] = 0 if levels is None else len(levels)
    return {
        **weights,
        "atlas": facts.fingerprint,
        "atlas: facts": fingerprint(sorted(facts.facts["fact_id"])),
        "aliases": load_aliases(Workspace.current()).fingerprint(),
        "learning rates": {str(size): [default_learning_rate(how, size) for how in ("full", "lora")] for size in sizes},
        **known,
    }


def _schemes(part: ModelStudy) -> dict[str, LevelScheme]:
    """The schemes that results ship of."""
    others = {how: replace(PAPER, method=how) for how in ("adaptive", "likelihood")}
    return {"paper": PAPER, "second probe": part.retest_scheme, "slick": SLICK} | others


def test_every_shipped_cell_is_found_and_belongs_to_a_study():
    """The shipped studies are complete under their own settings, and no cell lies there that none of them asks for."""
    found, kinds = set(), set()
    for path in (shipped_folder() / "studies").iterdir():
        settings = replace(read_study(path), device="cpu")
        assert settings.models in (MODELS[:1] if settings.recipe else MODELS, *((name,) for name in measured.measured_models()))
        kinds.add(settings.kind)
        for model in settings.models:
            part = ModelStudy(settings, model)
            assert part.left() == []
            found |= {folder.name for folder in part.folders()}
    assert kinds == {"amount", "level", "models", "shift", "recipe"}
    assert found == {path.name for path in (shipped_folder() / "cells").iterdir()}


def test_every_shipped_cell_is_found_by_what_it_holds():
    """The run in a cell's manifest, asked for with its model and facts, is looked for where that cell lies."""
    for path in sorted((shipped_folder() / "cells").iterdir()):
        told = json.loads((path / "manifest.json").read_bytes())["settings"]
        same = (told["model"], told["source"], told["aliases"], told["facts"])
        cells = Cells(Workspace.current(), *same, default_learning_rate("full", 2_000_000))
        scheme = LevelScheme.from_dict(told["scheme"]) if "scheme" in told else None
        assert cells.folder(TrainSettings.from_dict(told["run"]), scheme) == path


def test_every_shipped_store_is_found():
    """Completions, hits and estimates of every model lie where its prober looks for them, and no others ship."""
    found: dict[str, set[str]] = {"completions": set(), "estimates": set()}
    for model in MODELS:
        part = ModelStudy(StudySettings("shift", (model,), device="cpu"), model)
        for scheme in _schemes(part).values():
            folder = part.prober.under(scheme).store.folder
            assert (folder / "settings.json").exists()
            found[folder.parent.name].add(folder.name)
    for model in measured.measured_models():  # more of these ships as more of the plan is done
        part = ModelStudy(StudySettings("amount", (model,), source=real_plan.SOURCE, device="cpu"), model)
        for settings in real_plan.probes(model, real_plan.Plan()).values():
            folder = part.prober.under(settings.scheme).store.folder
            found[folder.parent.name] |= {folder.name} if (folder / "settings.json").exists() else set()
    found["hits"] = found["completions"]
    for kind, names in found.items():
        assert names == {path.name for path in (shipped_folder() / kind).iterdir()}


def test_every_shipped_study_report_and_run_has_its_name():
    """A study's file, its kept report and the run are called as their settings say today."""
    known = {path.name: read_study(path) for path in (shipped_folder() / "studies").iterdir()}
    reports = {path.name: read_report(path).settings for path in (shipped_folder() / "reports").iterdir()}
    assert known == {f"{study_name(settings)}.yaml": settings for settings in known.values()}
    assert reports == {f"{report_name(settings)}.json": settings for settings in known.values()}
    (folder,) = (shipped_folder() / "runs").iterdir()
    run = read_run(folder.name)
    named = new_run_id(run.settings, datetime.fromisoformat(run.manifest["created"]))
    assert named.rpartition("-")[0] == folder.name.rpartition("-")[0]
    assert command_of(run.settings) == run.manifest["command"]


# --- settings --------------------------------------------------------------------------------------------


def record_defaults(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """Every field at its default, as JSON has it; JSON names no field that came later, and what it leaves out means what it meant."""
    found: dict[str, Any] = {}
    for name, (plain, _) in VARIED.items():
        told = plain.to_dict()
        values = {field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)}  # type: ignore[arg-type]
        found |= {f"{name}.{field}": told.get(field, f"left out: {value!r}") for field, value in values.items()}
    return found


def records(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """Fingerprints of settings at their defaults, with each field changed, and of those that have a name."""
    found = {f"{name}: {label}": record.fingerprint() for name in VARIED for label, record in varied(name).items()}
    named = {"PAPER": PAPER, "SLICK": SLICK, **PROMPTS, **BUILT_IN, **UNMADE}
    return found | {f"named {name}": record.fingerprint() for name, record in named.items()}


def commands(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """The command line that repeats a run."""
    return {label: command_of(settings) for label, settings in varied("TrainSettings").items()}


def studies(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """Names of studies, fingerprints of their files, and names of their reports; a file that differs from its settings is set aside."""
    found: dict[str, Any] = {}
    for label, settings in varied("StudySettings").items():
        found[label] = f"{study_name(settings)} {fingerprint(study_yaml(settings))}"
    here = StudySettings("amount", MODELS[:1], device="cpu")
    for label, settings in varied("StudySettings", here).items():
        if label not in ("source", "models", "device"):  # of others there are no files here, and no device is part of a name
            found[f"{label}: report"] = report_name(settings)
    found["models: report"] = report_name(replace(here, models=MODELS[:2]))
    return found


@pytest.mark.parametrize("name", VARIED)
def test_every_field_is_changed(name):
    """The settings frozen here change each field of each record: a new field has to be added to VARIED, and frozen."""
    plain, changes = VARIED[name]
    assert type(plain).__name__ == name
    assert {field_of(label) for label in changes} == {field.name for field in dataclasses.fields(plain)}  # type: ignore[arg-type]
    for label, record in varied(name).items():
        assert label == DEFAULTS or getattr(record, field_of(label)) != getattr(plain, field_of(label))


# --- keys of stored results ------------------------------------------------------------------------------


def stores(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """Completions and estimates of a model under a level scheme."""
    found, workspace = {}, Workspace.current()
    for label, scheme in varied("LevelScheme").items():
        found[f"{label}: completions"] = CompletionStore.under_scheme(MODEL.to_dict(), scheme, workspace).folder.name
        found[f"{label}: estimates"] = EstimateStore.of(MODEL.to_dict(), scheme, workspace).folder.name
    for label, sampler in varied("SamplerSettings").items():
        found[f"sampler {label}"] = CompletionStore.of(MODEL.to_dict(), sampler, workspace).folder.name
    for label, model in varied("ModelFingerprint").items():
        found[f"model {label}"] = CompletionStore.under_scheme(model.to_dict(), PAPER, workspace).folder.name
    return found


def cells(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """Cells of a study: answers of a tuned and of an untouched model, and levels afterwards."""
    found = {}
    patch.setattr(os, "fsync", lambda handle: None)  # nothing here has to outlive a power cut
    place = Cells.of(Workspace.current(), MODEL.to_dict(), "source", "aliases", ["a", "b"], 4e-4)
    table = pd.DataFrame({"correct": [True, False], "rival": [False, False], "score": [0.0, 1.0], "level": [0, 4]})
    for label, run in varied("TrainSettings").items():
        if label in ("patience", "time_limit_min"):
            continue  # a run of a study has none
        found[label] = place.write(run, table, 1, {}, {}).name
        found[f"{label}: untouched"] = place.write(replace(run, n=0, recipe=None), table, 0, {}, {}).name
    for label, scheme in varied("LevelScheme").items():
        found[f"levels, {label}"] = place.write(TrainSettings("m"), table, 1, {}, {}, scheme).name
    return found


def answers(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """The base model's kept answers, of each stage."""
    found = {}
    patch.setattr(os, "fsync", lambda handle: None)
    facts = pd.DataFrame({"fact_id": ["a", "b"]})
    source, aliases = SimpleNamespace(fingerprint="source"), SimpleNamespace(fingerprint=lambda: "aliases")
    for number, (label, settings) in enumerate(varied("TrainSettings").items()):
        for stage in ("before", *settings.few_shot_stages):
            patch.setenv("SFTQA_CACHE", str(tmp / f"answers {number} {stage}"))
            same: tuple[Any, ...] = (stage, MODEL, facts, source, settings, aliases)
            kept_predictions(*same, make=lambda: facts)
            assert is_kept(*same)
            (folder,) = (path for path in (Workspace.current().root / "answers").iterdir() if path.name[0] != ".")
            found[f"{label}: {stage}"] = folder.name
    return found


def own_facts(tmp: Path) -> FactSource:
    """Facts of a person's own file, in two relations."""
    lines = ["relation,subject,answers,split"]
    for relation in ("P17", "P19"):
        lines += [f"{relation},Place {number},Name {number % 5},{'test' if number % 4 == 0 else 'train'}" for number in range(24)]
    tmp.mkdir(parents=True, exist_ok=True)
    path = tmp / "facts.csv"
    path.write_text("\n".join([*lines, "P17,Drawn,Name 1,", ""]), encoding="utf-8")
    return load_own(path)


def facts(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """Facts of files, what a store knows them by, and files that were read before."""
    own = own_facts(tmp)
    found: dict[str, Any] = {"own": own.fingerprint, "own: ids": fingerprint(list(own.facts["fact_id"]))}
    found["own: splits"] = fingerprint(list(own.facts["split"]))
    named = {"paper": PAPER, "slick": SLICK, "contexts": replace(SLICK, contexts=3), "shots": replace(SLICK, shots=2)}
    named["seed"] = replace(SLICK, sampling=replace(SLICK.sampling, seed=1))
    for name, scheme in named.items():
        for match in ("tokens", "substring"):
            wanted = wanted_facts(own, own.facts, load_aliases(Workspace.current()), match, scheme)
            found[f"asked for, {name}, {match}"] = fingerprint([[w.fact_id, w.prompts_sha, w.answers_sha] for w in wanted])

    entities = tmp / "entities"
    for split in ("train", "test"):
        (entities / split).mkdir(parents=True)
        rows = [{"question": f"Which country is {split.title()} located in?", "answers": ["France"]}]
        (entities / split / f"P17.{split}.json").write_text(json.dumps(rows), encoding="utf-8")
    read = load_entity_questions(entities, "entities")
    (parsed,) = (path.name for path in (Workspace.current().datasets / "parsed").iterdir() if path.name[0] != ".")
    found |= {"entities": read.fingerprint, "entities: parsed": parsed, "entities: ids": fingerprint(list(read.facts["fact_id"]))}

    many = pd.DataFrame({"fact_id": ["a"] * LARGE})
    large = FactSource("large", many, {}, SourceReport("large", LARGE, {}, 0, 0, 0, 0, 0), "f" * 16)
    keep(large, (("large.csv", 1, 2),), Workspace.current())
    (prepared,) = (path for path in (Workspace.current().root / "sources").iterdir() if path.name[0] != ".")
    return found | {"prepared": prepared.name, "prepared: of": json.loads((prepared / "manifest.json").read_bytes())["of"]}


def others(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """Measured speeds, chat templates, and the versions that a checkpoint belongs to."""
    for model in varied("ModelFingerprint").values():
        remember(model, train=(40, 1.0))
    speeds = json.loads((Workspace.current().state / "speeds.json").read_bytes())
    with patch.context() as inside:
        inside.setattr(importlib.metadata, "version", lambda name: "1")
        recorded = sorted(artifacts._versions.__wrapped__())
    return {"speeds": sorted(speeds), "chat template": ChatTemplate("{{ messages }}").fingerprint(), "versions": recorded}


def checkpoints(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """Checkpoints of a fine-tuning, for fixed examples, versions and threads; and what tuned weights are known by."""
    import torch

    from sftqa_core.training.adapters import state_sha256
    from sftqa_core.training.checkpoints import Unfinished
    from sftqa_core.training.encoding import EncodedExample

    patch.setattr(sys.modules[Unfinished.__module__], "versions", lambda: {"python": "3.11.7", "torch": "2.13.0"})
    patch.setattr(torch, "get_num_threads", lambda: 2)
    loaded: Any = SimpleNamespace(fingerprint=MODEL)
    examples = [EncodedExample((5, 6, 7, 8), 2), EncodedExample((5, 9, 2), 1)]

    def key(settings: TrainSettings, rate: float = 4e-4) -> str:
        with Unfinished.of(loaded, examples, settings, rate) as unfinished:
            return unfinished.folder.name if unfinished else ""

    found = {label: key(settings) for label, settings in varied("TrainSettings").items()}
    found["another rate"] = key(TrainSettings("m"), 1e-3)
    state = {"b": torch.arange(6, dtype=torch.float32).reshape(2, 3), "a": torch.zeros(2, dtype=torch.bfloat16)}
    return found | {"tuned weights": state_sha256(state)}


class Reached(Exception):
    """The key of a pre-training's checkpoint is known."""


def pretrainings(patch: pytest.MonkeyPatch, tmp: Path) -> dict[str, Any]:
    """Checkpoints of a pre-training, for fixed versions on a processor."""
    from sftqa_core.models.pretraining import Checkpoint, Place, pretrain

    def beside(target: Path, work: str) -> Checkpoint:
        raise Reached(work)

    patch.setattr(sys.modules[pretrain.__module__], "versions", lambda: {"python": "3.11.7", "torch": "2.13.0"})
    patch.setattr(Place, "choose", lambda device, precision="auto": Place("cpu", False))
    patch.setattr(Checkpoint, "beside", beside)
    source = own_facts(tmp)
    small = CorpusSettings(qa_documents=20, filler_documents=20)
    plain = PretrainSettings("m", hidden_size=32, intermediate_size=64, layers=1, vocabulary=300, sequence_length=16)
    plain = replace(plain, batch_size=4, max_exposures=5, corpus=small)

    def work(settings: PretrainSettings) -> str:
        with pytest.raises(Reached) as reached:
            pretrain(settings, source, tmp / "model")
        return str(reached.value)

    found = {label: work(settings) for label, settings in varied("PretrainSettings", plain).items() if label != "corpus"}
    for label, corpus in varied("CorpusSettings", small).items():
        found[f"corpus, {label}"] = work(replace(plain, corpus=corpus))
    return found


# --- frozen ----------------------------------------------------------------------------------------------

SECTIONS: tuple[Callable[[pytest.MonkeyPatch, Path], dict[str, Any]], ...] = (
    shipped_files, shipped_records, shipped_content, record_defaults, records, commands, studies, stores, cells, answers, facts, others,
    checkpoints, pretrainings,
)  # fmt: skip


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_no_key_moved(section, monkeypatch, tmp_path):
    """Each key is the frozen one; what moved is named, as it was and as it is."""
    now = section(monkeypatch, tmp_path)
    frozen = json.loads(FROZEN.read_text(encoding="utf-8"))[section.__name__]
    missing = "nothing"
    moved = [name for name in [*frozen, *(now.keys() - frozen)] if frozen.get(name, missing) != now.get(name, missing)]
    told = [f"{name}\n    frozen: {frozen.get(name, missing)}\n    now:    {now.get(name, missing)}" for name in moved]
    assert not moved, f"{len(moved)} of {len(frozen)} keys moved:\n" + "\n".join(told)


def freeze() -> None:
    """Write the keys of today over the frozen ones."""
    found = {}
    for section in SECTIONS:
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setenv("SFTQA_CACHE", str(Path(folder) / "cache"))
            patch.setenv("SFTQA_STATE", str(Path(folder) / "state"))
            found[section.__name__] = section(patch, Path(folder) / "tmp")
    lines = json.dumps(found, indent=1, ensure_ascii=False, default=str)
    FROZEN.write_text(f"{lines}\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    freeze()
