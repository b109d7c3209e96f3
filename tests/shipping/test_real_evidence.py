"""Real models are measured by a plan, in pieces; what is finished ships without weights, and is shown where they never were."""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sftqa_core import workflows
from sftqa_core.artifacts import MANIFEST, read_manifest, write_folder
from sftqa_core.cli import main as command
from sftqa_core.cli import real_commands
from sftqa_core.cli.text import Console
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.memory.stated_facts import stated_source
from sftqa_core.models import catalogue, measured
from sftqa_core.records import SLICK
from sftqa_core.reports import real_words
from sftqa_core.shipping import real_evidence, real_plan
from sftqa_core.shipping.packing import keep_measured
from sftqa_core.shipping.real_plan import SOURCE, Plan, RealModel
from tests.made_gguf import tiny_model, write_gguf

SMALL = Plan(
    probed=48, again=24, estimated=48,
    slick=replace(SLICK, contexts=1, shots=1, sampling=replace(SLICK.sampling, samples=1, max_new_tokens=3)),
    sizes=(0, 10), seeds=(0,), rates={"lora": (1e-3, 2e-3), "full": (1e-3, 2e-3)}, recipes=(), known_or_not=None, told=(1, 4),
)  # fmt: skip


@pytest.fixture(scope="module")
def file(made_once) -> Path:
    """A tiny model's GGUF file."""
    return (
        made_once("measured-long", lambda folder: write_gguf(folder / "tiny.gguf", tiny_model(max_position_embeddings=1_024))) / "tiny.gguf"
    )


def model_of(file: Path) -> RealModel:
    return RealModel("tiny-real", "A tiny model", file.name, hashlib.sha256(file.read_bytes()).hexdigest(), "MIT")


def test_what_was_measured_is_shown_without_the_weights(file, workspace, tmp_path, monkeypatch):
    """Levels by every way, and whole studies; a run that was stopped ships what is finished, and goes on where it stopped."""
    ships, console, models = tmp_path / "ships", Console(), (model_of(file),)
    write_folder(ships, lambda work: write_folder(work / "kept", lambda own: (own / "a").write_text("as it was"), {"kind": "own"}), {})
    monkeypatch.setenv("SFTQA_SHIPPED", str(tmp_path / "nothing"))
    real_evidence.prepare(models, file.parent, ships, console)
    assert not real_evidence.run(models, SMALL, console, minutes=0.0)
    with pytest.raises(SettingsError, match=r"No learning rate of tiny-real is chosen yet: the sweep by lora is not finished\."):
        next(real_plan.studies(models[0], SMALL, first=True))
    real_evidence.pack(models, SMALL, ships)
    assert not measured.measured_models(replace(workspace, shipped=ships))  # a card alone says nothing
    real_evidence.prepare(models, file.parent, ships, console)
    assert real_evidence.run(models, SMALL, console)
    real_evidence.pack(models, SMALL, ships)
    unknown = stated_source(real_plan.taught("tiny-real", SMALL)).facts["fact_id"]
    assert measured.measured_models(replace(workspace, shipped=ships))["tiny-real"].licence == "MIT"
    assert (ships / "kept" / "a").read_text() == "as it was"
    assert read_manifest(ships / "kept")["kind"] == "own"
    assert read_manifest(ships)["kind"] == "shipped"
    titles = [json.loads(line)["step"] for line in (workspace.root / real_evidence.TIMES).read_text().splitlines()]
    assert titles == [step.title for step in real_plan.steps(models, SMALL, console)]

    monkeypatch.setenv("SFTQA_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("SFTQA_SHIPPED", str(ships))
    for sweep in real_plan.sweeps("tiny-real", SMALL):  # whose runs do not ship: it is not made again
        assert real_plan.finished_sweep(sweep) in measured.rates("tiny-real")
    assert [study.learning_rate for study in real_plan.studies(models[0], SMALL, first=False)] == [measured.rates("tiny-real")[0].chosen]
    for scheme, facts in ((SMALL.full, 48), (SMALL.likelihood, 48), (SMALL.second, 24), (SMALL.slick, 24)):
        assert workflows.profile("tiny-real", SOURCE, "test", "all", scheme).probed == facts
    assert workflows.trust("tiny-real", SOURCE, scheme=SMALL.full)
    reports = {
        study.settings.kind: workflows.known_report(study) for study in workflows.studies() if study.settings.models == ("tiny-real",)
    }
    assert {kind: (report.done, report.planned) for kind, report in reports.items()} == {"amount": (3, 3), "shift": (2, 2)}
    assert not list(ships.rglob("*.safetensors"))
    assert "MIT" in (ships / "measured" / real_evidence.NOTICE).read_text()
    keep_measured(ships, tmp_path / "anew")
    assert _files(tmp_path / "anew") == _files(ships) - {MANIFEST, "kept/a", f"kept/{MANIFEST}"}
    assert [(sweep.settings.run.method, sweep.done, sweep.chosen in (1e-3, 2e-3)) for sweep in measured.rates("tiny-real")] == [
        ("lora", 2, True), ("full", 2, True),
    ]  # fmt: skip
    (ships / "measured" / "broken.json").write_text("{")
    with pytest.raises(SftqaError):  # its model's results would be lost
        keep_measured(ships, tmp_path / "again")
    (ships / "measured" / "broken.json").unlink()
    _is_reported()
    _is_told_what_it_did_not_know(unknown)


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _is_told_what_it_did_not_know(unknown: pd.Series) -> None:
    """The model that read more was told only of facts that were at L0, in some wordings; its mentions and levels are there where its
    weights never were, and it says how to make it again."""
    card = catalogue.find_model("tiny-real-taught")
    assert (card.kind, card.path) == (measured.KIND, None)
    assert f"make this one again of the facts that were probed here: sftqa pretrain tiny-real-taught --source {SOURCE} " in card.note
    assert card.note.endswith("--from tiny-real --from-levels L0")
    told = catalogue.exposures(card)
    assert told is not None
    assert set(told["fact_id"]) == set(unknown)
    assert told["exposures"].between(0, 4).all()
    assert {len(seen) for seen in catalogue.seen_templates(card).values()} == {14}
    known = workflows.profile("tiny-real-taught", SOURCE, "test", "all", SMALL.full)
    assert known.probed == 48
    assert int(known.level_table.table["exposures"].notna().sum()) == len(unknown)
    assert [study.settings.kind for study in workflows.studies() if study.settings.models == ("tiny-real-taught",)] == ["amount"]
    (one,) = workflows.real_models(SMALL.full).taught
    assert (one.about.name, one.way, len(one.facts)) == ("tiny-real-taught", "full probe", len(unknown))
    told = real_words.taught(one)
    assert real_commands.real(argparse.Namespace())["words"]["tiny-real-taught"] == [told, *real_words.rank(one)]
    assert told.startswith(
        f"tiny-real went on reading: statements of facts that it had at L0. Of those that have a level here, {len(unknown)}, "
    )
    assert "1 to 4 times, each statement in one of 14 of its relation's 21 wordings" in told
    assert all("never stated" in words or "too few" in words for words in real_words.rank(one))


def _is_reported() -> None:
    """Every table of the page on real models has rows, from what ships alone."""
    found = workflows.real_models(SMALL.full)
    levels, tuned = found.tables["levels"], found.tables["tuned"]
    by_domain = levels[levels["by"] == "domain"].groupby(["measured", "domain"])["facts"].sum()
    assert by_domain.to_dict() == {("full probe", "in"): 20, ("full probe", "out"): 28, ("likelihood", "in"): 20, ("likelihood", "out"): 28}
    compared = found.tables["agreement"].set_index("compared")["facts"].to_dict()
    assert compared == {"second probe": 24, "likelihood": 48}  # SliCK's usual prompts were not asked
    asked = found.tables["asked"].groupby(["measured", "prompt"])["facts"].sum()
    assert asked["full probe", "plain prompt"] == asked["likelihood", "4 examples in the prompt"] == 48
    stages = ["before", "4 examples in the prompt", "always the commonest object", "10 examples"]
    assert list(dict.fromkeys(tuned["stage"])) == stages
    assert set(found.tables["beside_shown"]["verdict"]) == {"too few facts to tell"}  # 20 and 28 of them
    study = found.studies["tiny-real"]
    assert (study.done, study.planned, [name.split(":")[2] for name in study.cells]) == (3, 3, ["n10", "n0-k4"])
    assert len(workflows.compare(study.cells).comparison.runs) == 2


def test_the_command_prints_what_the_page_shows(file, workspace, tmp_path, monkeypatch, capsys):
    """Cards and what is missing, where only a card ships; and what makes them, where none does."""
    monkeypatch.setenv("SFTQA_SHIPPED", str(tmp_path / "ships"))
    for told in ("No real model's results come with this copy. They are measured with: make real MODELS=FOLDER", "Nothing is measured yet"):
        with pytest.raises(SystemExit) as ended:
            command.main(["real"])
        assert ended.value.code == 0
        assert told in capsys.readouterr().out
        real_evidence.prepare((model_of(file),), file.parent, tmp_path / "ships", Console())
        capsys.readouterr()
    with pytest.raises(SystemExit):
        command.main(["real", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert (result["models"][0]["licence"], result["tables"]["levels"]) == ("MIT", [])
    assert [row["facts"] for row in result["tables"]["majority"]] == [2_000, 2_800, 4_800]


def test_another_file_is_refused(file, tmp_path):
    """By its checksum, before anything is read."""
    (tmp_path / file.name).write_bytes(file.read_bytes()[:-1])
    with pytest.raises(SettingsError, match=r"is missing or not the file that is measured \(SHA-256 [0-9a-f]{64}\)\. Get it"):
        real_evidence.prepare((model_of(file),), tmp_path, tmp_path / "ships", Console())


def test_the_plan_of_what_ships_is_the_one_that_is_told():
    """As METHOD and the README's limits tell it: 480 facts, 120 again, all 4,800 by likelihood, five amounts beside four examples in the
    prompt, three seeds."""
    plan = Plan()
    assert (plan.probed, plan.again, plan.estimated, plan.sizes, plan.seeds, plan.shots) == (
        480, 120, None, (0, 10, 60, 240, 960), (0, 1, 2), (4,),
    )  # fmt: skip
    assert [(model.name, len(model.sha256)) for model in real_plan.MODELS] == [
        ("smollm2-135m-instruct-q4_1", 64),
        ("gemma-3-270m-q4_k_m", 64),
    ]
