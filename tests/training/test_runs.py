"""The run folder: written whole, read without a model, found by name."""

import dataclasses
import json
import shlex
import shutil
from datetime import UTC, datetime
from functools import cache

import pandas as pd
import pytest

from sftqa_core.artifacts import damaged_files
from sftqa_core.cli.arguments import parse
from sftqa_core.cli.typed_records import train_settings
from sftqa_core.errors import ArtifactDamaged, NotFound
from sftqa_core.evaluation.intervals import accuracy_by_level
from sftqa_core.evaluation.predictions import score_texts
from sftqa_core.records import PROMPTS, LevelScheme, PromptFormat, RunSummary, SamplerSettings, TrainSettings
from sftqa_core.records.job import command_of
from sftqa_core.training.runs import RunContents, list_runs, new_run_id, read_run, write_run
from sftqa_core.training.selection import select_examples
from tests.small import level_table, small_source

SETTINGS = TrainSettings(model="org/My Model", source="small", n=3, learning_rate=4e-4, method="lora", seed=2)
NOW = datetime(2026, 1, 31, 14, 25, 1, tzinfo=UTC)


@cache
def contents():
    """A run of three examples, of which a test changes nothing."""
    source = small_source()
    facts = source.facts.query("split == 'test'").reset_index(drop=True)
    levels = level_table(facts, [i % 5 for i in range(len(facts))]).head(20).assign(score=0.5, hits_per_template=[[1, 2]] * 20)
    before = score_texts(facts, ["nothing"] * len(facts), "before", "tokens")
    after = score_texts(facts, [answers[0] for answers in facts["answers"]], "after", "tokens")
    scores = {stage: accuracy_by_level(table, facts, levels, SETTINGS.scheme) for stage, table in (("before", before), ("after", after))}
    summary = RunSummary("r", SETTINGS.n, scores["before"], scores["after"], {"majority": scores["before"]}, {"train": 1.0, "eval": 2.0})
    chosen = select_examples(source, None, SETTINGS)
    manifest = {"model": {"weights": "w"}, "source": {"fingerprint": source.fingerprint}}
    return RunContents(SETTINGS, summary, pd.concat([before, after]), facts, levels, chosen.facts, manifest)


@pytest.fixture
def run(workspace, tmp_path):
    scratch = tmp_path / "scratch"
    (scratch / "model").mkdir(parents=True)
    (scratch / "model" / "adapter.safetensors").write_bytes(b"weights")
    (scratch / "curve.jsonl").write_text('{"step": 1, "loss": 2.5, "learning_rate": 0.0002}\n')
    return write_run(workspace, new_run_id(SETTINGS, NOW), contents(), scratch)


def test_run_names_sort_by_time_and_say_what_they_are():
    """Time, model, n, method, seed, and four digits that keep two runs of one second apart."""
    name = new_run_id(SETTINGS, NOW)
    assert name.startswith("20260131-142501-My-Model-n3-lora-s2-")
    assert new_run_id(SETTINGS, NOW) != name
    assert "/" not in new_run_id(dataclasses.replace(SETTINGS, model="/a/b/../"), NOW)
    for model, part in {"o/n@feature/x": "-n-feature-x-n", "/data/me@work/some-model": "-some-model-n"}.items():
        assert part in new_run_id(dataclasses.replace(SETTINGS, model=model), NOW)


def test_a_run_reads_back_as_it_was_written(run, workspace):
    """Settings, summary, tables, curve and examples come back from the folder alone, in the types they had."""
    again = read_run(run.id)
    assert again.settings == SETTINGS
    assert again.summary == contents().summary
    assert again.summary.after["in"].macro == 1.0
    assert again.predictions()["stage"].value_counts().to_dict() == {"before": 24, "after": 24}
    assert again.predictions("after")["correct"].all()
    assert again.curve().to_dict("records") == [{"step": 1, "loss": 2.5, "learning_rate": 2e-4}]
    facts = again.facts()
    assert len(facts) == 24
    assert facts["level"].isna().sum() == 4
    assert facts.loc[0, "answers"] == ["Object0"]
    assert facts.loc[0, "hits_per_template"] == [1, 2]
    assert {"relation", "domain", "subject", "question", "score", "echo"} <= set(facts)
    examples = again.examples()
    assert len(examples) == 3
    assert examples["level"].isna().all()
    assert examples.loc[0, "answers"][0].startswith("Object")
    assert again.model == workspace.runs / run.id / "model"


def test_the_manifest_is_complete_and_its_checksums_hold(run):
    """Versions, settings, command, model and source stand in the manifest; no file differs from it."""
    assert damaged_files(run.folder) == []
    assert {"settings.json", "summary.json", "curve.jsonl", "examples.jsonl", "predictions.parquet", "levels.parquet"} <= set(
        run.manifest["files"]
    )
    assert "model/adapter.safetensors" in run.manifest["files"]
    assert run.manifest["command"] == command_of(SETTINGS)
    assert run.manifest["versions"]["python"]
    assert run.manifest["source"]["fingerprint"] == "f" * 16


def test_runs_of_both_layers_are_listed_newest_first(run, workspace, tmp_path):
    """The list names what can be picked; a damaged run does not hide the others; the shipped layer is marked."""
    (workspace.runs / "broken").mkdir()
    (workspace.runs / "broken" / "manifest.json").write_text("{")
    shipped = dataclasses.replace(workspace, root=tmp_path / "other", shipped=workspace.root)
    own = write_run(shipped, "zz-own", contents())
    found = list_runs(shipped)
    assert {(info.id, info.shipped) for info in found} == {(own.id, False), (run.id, True)}
    assert found == sorted(found, key=lambda info: (info.created, info.id), reverse=True)
    assert (found[0].model, found[0].n, found[0].method, found[0].seed) == ("org/My Model", 3, "lora", 2)


def test_an_unknown_run_is_told_with_names_that_come_near(run, tmp_path, workspace):
    """A mistyped name is answered with the run that was meant; in an empty workspace with what to do."""
    with pytest.raises(NotFound, match=f"There is no run '{run.id[:-1]}'. Runs that come near: {run.id}"):
        read_run(run.id[:-1])
    with pytest.raises(NotFound, match=r"There is no run '\.\./x'"):
        read_run("../x")
    with pytest.raises(NotFound, match="There is no run 'xxx"):
        read_run("x" * 300)
    shutil.copytree(run.folder, run.folder.with_name("r1.damaged"))
    with pytest.raises(NotFound, match=r"There is no run 'r1\.damaged'"):  # set aside
        read_run("r1.damaged")
    empty = dataclasses.replace(workspace, root=tmp_path / "none", shipped=tmp_path / "none")
    with pytest.raises(NotFound, match="no run has finished here yet"):
        read_run("x", empty)


def test_a_damaged_file_says_which_and_what_to_do(run):
    """A cut summary and a cut table are ArtifactDamaged with the path, not a traceback of the JSON reader."""
    (run.folder / "summary.json").write_text("{")
    (run.folder / "predictions.parquet").write_bytes(b"PAR1")
    again = read_run(run.id)
    with pytest.raises(ArtifactDamaged, match=r"summary\.json of the finished run can't be read.*train again"):
        _ = again.summary
    with pytest.raises(ArtifactDamaged, match=r"predictions\.parquet"):
        again.predictions()


def test_a_run_that_fails_while_it_is_written_leaves_nothing(workspace):
    """Facts without a needed column stop the writing, and no folder appears."""
    wrong = dataclasses.replace(contents(), facts=pd.DataFrame({"fact_id": ["a"]}))
    with pytest.raises(KeyError):
        write_run(workspace, "half", wrong)
    assert list(workspace.runs.iterdir()) == []


def test_the_command_says_only_what_differs_from_the_defaults():
    """Model, source, n, method and seed are always told, the rest where it was changed."""
    assert command_of(SETTINGS) == "sftqa train --model 'org/My Model' --source small --n 3 --method lora --lr 0.0004 --seed 2"


OWN_SCHEME = LevelScheme(sampling=SamplerSettings(samples=3, temperature=0.5, max_new_tokens=8))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"levels": (0, 3), "balance": "level", "relations": ("P17", "P19")},
        {"n": TrainSettings.ALL, "epochs": 2, "batch_size": 4, "lora_rank": 16, "method": "full"},
        {"prompt": PromptFormat("own", "It's {question}\n?"), "test_limit": 7, "match": "substring", "device": "cpu"},
        {"prompt": PROMPTS["chat"], "more_shots": (1, 16)},
        {"shots": 1, "more_shots": (4, 16)},
        {"shots": 0, "more_shots": (4,)},
        {"optimizer": "sgd", "micro_batch": 2, "gradient_checkpointing": True, "learning_rate": 0.1},
        {"eval_every": 5, "eval_facts": 50, "patience": 3},
        {"time_limit_min": 90},
        {"prompt": PromptFormat("own", "Say {question}", "{answer}", chat=True)},
        {"prompt": PromptFormat("qa", "Say {question}")},
        {"prompt": PromptFormat("plain", "Question: {question}\nAnswer:"), "scheme": OWN_SCHEME, "learning_rate": 1.5e-05},
    ],
)
def test_the_command_line_means_the_settings(changes):
    """What the command line makes of the command is the record that it was built from."""
    settings = dataclasses.replace(SETTINGS, **changes)
    assert train_settings(parse(shlex.split(command_of(settings))[1:])) == settings


def test_settings_without_flags_are_written_as_records():
    """A scheme or an answer form of one's own stands in the command as JSON."""
    scheme = LevelScheme("two", ("no", "yes"), (0.5,))
    words = shlex.split(command_of(dataclasses.replace(SETTINGS, scheme=scheme, prompt=PromptFormat("own", "{question}", "{answer}"))))
    assert LevelScheme.from_dict(json.loads(words[words.index("--scheme") + 1])) == scheme
    assert json.loads(words[words.index("--prompt") + 1])["answer"] == "{answer}"
    assert command_of(dataclasses.replace(SETTINGS, shots=0, max_answer_tokens=8, save_model=False)).endswith(
        "--max-answer-tokens 8 --shots 0 --seed 2 --no-save-model"
    )
