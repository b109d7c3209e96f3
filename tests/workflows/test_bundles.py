"""Bundles there and back: what is packed, what another explorer shows of it, and that no work ever reuses it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from sftqa_core import workflows
from sftqa_core.errors import BundleRefused, ModelUnavailable, NotEnoughFacts, NotFound, SettingsError
from sftqa_core.models.catalogue import find_model
from sftqa_core.progress import Recorder
from sftqa_core.records import InsideSettings, ProbeSettings
from sftqa_core.records.result_names import bundle_of
from sftqa_core.studies.cells import Cells
from sftqa_core.workflows import upkeep
from sftqa_core.workflows.bundles.bundle_names import public_name
from sftqa_core.workspace import Workspace
from tests.made_runs import facts_of, made_run
from tests.packed_bundles import RIGHT, RUN, contents, packed, repacked
from tests.workflows.test_studies import finish, settings  # noqa: F401 - finish is a fixture


@pytest.fixture
def emptied(workspace, monkeypatch, tmp_path):
    """Turns this process to an explorer in which nothing was ever done, and nothing ships."""

    def empty() -> Workspace:
        monkeypatch.setenv("SFTQA_CACHE", str(tmp_path / "other"))
        monkeypatch.setenv("SFTQA_SHIPPED", str(tmp_path / "nothing"))
        return Workspace.current()

    return empty


# ---- runs ----
def test_a_run_comes_back_with_equal_numbers_tables_and_settings(tmp_path, emptied):
    """In an empty explorer: accuracies counted anew from the answers, predictions, facts with levels, the command, the list of runs."""
    path = packed(tmp_path)
    own = workflows.run(RUN)
    summary, tables = own.summary, (own.predictions(), own.facts())
    emptied()
    bundle = workflows.import_bundle(path)
    (name,) = bundle.runs
    assert name == f"import:{bundle.name}:{RUN}"
    run = workflows.run(name)
    assert (run.summary.after, run.summary.before, run.summary.seconds) == (summary.after, summary.before, summary.seconds)
    assert run.settings == own.settings
    assert run.manifest["command"] == own.manifest["command"]
    for there, here in zip(tables, (run.predictions(), run.facts()), strict=True):
        empty = [name for name in there if there[name].isna().all()]
        pd.testing.assert_frame_equal(there.drop(columns=empty), here.drop(columns=empty), check_dtype=False)
    (info,) = workflows.runs()
    assert (info.id, info.bundle, info.shipped) == (name, bundle.name, False)
    assert workflows.run_list()["bundle"].tolist() == [bundle.name]
    assert [problem.why for problem in upkeep.faults(Workspace.current())] == []


def test_an_imported_run_is_compared_with_ones_own(tmp_path):
    """The same answers under both names: nothing differs; after its removal it is not found."""
    bundle = workflows.import_bundle(packed(tmp_path))
    compared = workflows.compare([RUN, bundle.runs[0]]).comparison
    assert (compared.facts, compared.settings, {test.difference for test in compared.tests}) == (80, {}, {0.0})
    before = workflows.stamp_of(bundle.runs)
    assert workflows.remove_bundle(bundle.name).name == bundle.name
    assert workflows.imported_bundles() == []
    assert [info.id for info in workflows.runs() if info.bundle] == []
    assert workflows.stamp_of(bundle.runs) != before
    with pytest.raises(NotFound, match="no runs were imported, or they were removed"):
        workflows.run(bundle.runs[0])
    with pytest.raises(NotFound, match="There is no imported bundle"):
        workflows.remove_bundle("../cache")


def test_ones_own_runs_come_first_however_new_the_imported_ones_are(tmp_path):
    """The newest run, which pages open at first, is one's own."""
    bundle = workflows.import_bundle(packed(tmp_path))
    assert [info.bundle for info in workflows.runs()][-1] == bundle.name
    assert not workflows.runs()[0].bundle


def test_no_work_starts_from_an_imported_run(tmp_path):
    """As a model, for a look inside, as what was made again, packed again: each is refused in words, or passes it over."""
    bundle = workflows.import_bundle(packed(tmp_path, n=4))
    (name,) = bundle.runs
    with pytest.raises(ModelUnavailable, match="was imported: it is read and compared, and no work starts from it"):
        find_model(f"run:{name}")
    with pytest.raises(SettingsError, match="was imported, so nothing can be looked at inside it"):
        workflows.inside_settings(name)
    with pytest.raises(SettingsError, match=f"Pass on the bundle {bundle.name} as it came to you"):
        workflows.pack([name], tmp_path / "again.zip")
    assert workflows.made_again(workflows.tested(RUN)) == []
    assert InsideSettings(name, workflows.run(name).settings).name == name  # only a name: it is refused where the work would start


def test_a_bundle_names_no_place_of_the_machine_that_packed_it(tmp_path, workspace):
    """Paths of model and facts become their last parts, in settings, command and tables; job tokens stay behind."""
    facts = facts_of(source=str(tmp_path / "secret" / "facts.csv"))
    place = str(tmp_path / "m" / "mine")
    model = {"name": place, "weights": "w", "dtype": "float32", "device": "cpu"}
    made_run(RUN, RIGHT, facts, manifest={"token": "job-of-somebody", "model": model}, model=place)
    out = tmp_path / "out.zip"
    workflows.pack([RUN], out)
    for name, content in contents(out).items():
        assert str(tmp_path).encode() not in content, name
        assert b"job-of-somebody" not in content
    about = json.loads(contents(out)[f"runs/{RUN}/run.json"])
    assert (about["settings"]["model"], about["settings"]["source"]) == ("mine", "facts.csv")
    bundle = workflows.import_bundle(out)
    assert "--model mine --source facts.csv" in workflows.run(bundle.runs[0]).manifest["command"]
    assert bundle.licences == dict.fromkeys(("model mine", "facts facts.csv"), "unknown: look it up where it comes from")


def test_names_in_a_bundle_hold_no_place():
    """Of paths, servers and what stands behind a question mark the last part; columns and names of the hub stay."""
    shown = {
        "/home/ann/facts.csv?subject=a/b&path=/home/ann/z": "facts.csv?subject=a/b&path=z",
        r"C:\Users\John Smith\m": "m",
        "https://ann.example/v1?token=secret": "v1",
        "https://ann.example/v1?token=secret#llama": "served-llama",
        "hub:owner/name?subject=a/b": "hub:owner/name?subject=a/b",
        "owner/name@main": "owner/name@main",
    }
    assert {name: public_name(name) for name in shown} == shown


def test_what_still_names_a_place_is_not_packed(tmp_path):
    """A note of a recipe, say: the path is found, and no file is written."""
    made_run(RUN, RIGHT, manifest={"training": {"note": "/home/somebody/models"}})
    with pytest.raises(SettingsError, match="names a place on this machine"):
        workflows.pack([RUN], tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


def test_weights_are_packed_only_where_they_are_an_adapter(tmp_path):
    """A run without weights, or with all of them, is refused with --weights."""
    made_run(RUN, RIGHT)
    with pytest.raises(SettingsError, match="did not keep its weights"):
        workflows.pack([RUN], tmp_path / "out.zip", weights=True)
    with pytest.raises(NotFound, match="There is no run 'nothing'"):
        workflows.pack(["nothing"], tmp_path / "out.zip")


def test_an_adapter_comes_with_its_run_where_it_is_asked_for(tmp_path):
    """Its weights as they are, its base model by the public name; without --weights the run comes alone. A cut file is refused."""
    place = tmp_path / "scratch" / "model"
    place.mkdir(parents=True)
    weights = {"base_model.model.layer.lora_A.weight": np.ones((2, 3), dtype=np.float32)}
    save_file(weights, place / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "base"), "r": 2, "target_modules": ["layer"]}
    others = {"megatron_core": "os", "megatron_config": {"a": 1}, "auto_mapping": {"parent_library": "os"}}
    (place / "adapter_config.json").write_text(json.dumps(config | others))
    made_run(RUN, RIGHT, scratch=tmp_path / "scratch", method="lora", save_model=True)
    workflows.pack([RUN], tmp_path / "bare.zip")
    workflows.pack([RUN], tmp_path / "full.zip", weights=True)
    bare, full = (workflows.run(workflows.import_bundle(tmp_path / f"{name}.zip").runs[0]) for name in ("bare", "full"))
    assert bare.model is None
    assert load_file(full.model / "adapter_model.safetensors")["base_model.model.layer.lora_A.weight"].sum() == 6
    there = json.loads(contents(tmp_path / "full.zip")[f"runs/{RUN}/model/adapter_config.json"])
    kept = json.loads((full.model / "adapter_config.json").read_text())
    assert there == kept == config | {"base_model_name_or_path": "base"}
    workflows.remove_bundle(bundle_of(full.id))
    for wrong, words in (
        ({"peft_type": "IA3"}, "an adapter of type 'IA3'"),
        ({"r": -1}, "adapter.r must be a whole number of 0 or more, got -1"),
        ({"revision": "/home/ann"}, "names '/home/ann', a place on another machine"),
    ):
        file = {f"runs/{RUN}/model/adapter_config.json": json.dumps(there | wrong).encode()}
        with pytest.raises(BundleRefused, match=words):
            workflows.import_bundle(repacked(tmp_path / "full.zip", file))
    more = {f"runs/{RUN}/model/adapter_config.json": json.dumps(there | others).encode()}
    (name,) = workflows.import_bundle(repacked(tmp_path / "full.zip", more)).runs
    assert json.loads((workflows.run(name).model / "adapter_config.json").read_text()) == kept
    file = f"runs/{RUN}/model/adapter_model.safetensors"
    cut = contents(tmp_path / "full.zip")[file][:-4]
    with pytest.raises(BundleRefused, match="it is truncated"):
        workflows.import_bundle(repacked(tmp_path / "full.zip", {file: cut}))


def test_an_import_that_was_cut_off_counts_for_nothing(tmp_path, workspace, monkeypatch):
    """Killed before its manifest, it is on no list; the same file is imported afterwards, once."""
    path = packed(tmp_path)
    with monkeypatch.context() as killed:
        killed.setattr("sftqa_core.artifacts.disk.put", lambda work, target: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            workflows.import_bundle(path)
    assert list(workspace.imports.iterdir()) == []
    left = workspace.imports / "half-00000000" / "runs"
    shutil.copytree(workspace.runs / RUN, left / RUN)  # everything but the manifest of the bundle
    assert workflows.imported_bundles() == []
    assert [info for info in workflows.runs() if info.bundle] == []
    bundle = workflows.import_bundle(path)
    assert [known.name for known in workflows.imported_bundles()] == [bundle.name]
    with pytest.raises(BundleRefused, match=f"imported before, as {bundle.name}"):
        workflows.import_bundle(path)


# ---- studies ----
def test_a_study_comes_back_with_equal_tables_and_findings(tmp_path, world, finish, emptied):  # noqa: F811
    """In an empty explorer, without its model and facts: counted anew from the answers; its cells are compared by name."""
    report, study = finish(), settings(world)
    cells = list(workflows.cell_names(study, "tiny"))
    answers = workflows.tested(cells[-1]).facts["correct"].tolist()
    workflows.pack([workflows.study_name(study)], tmp_path / "study.zip")
    emptied()
    bundle = workflows.import_bundle(tmp_path / "study.zip")
    (known,) = workflows.shown_studies()
    assert (known.bundle, known.whole, (known.name,)) == (bundle.name, True, bundle.studies)
    here = workflows.known_report(known)
    assert (here.findings, here.done, here.planned, here.notes) == (report.findings, report.done, report.planned, report.notes)
    assert here.tables == report.tables
    assert here.bundle == bundle.name
    names = list(workflows.cell_names(known.settings, "tiny", known.bundle))
    assert len(names) == len(cells)
    assert workflows.tested(names[-1]).facts["correct"].tolist() == answers
    assert workflows.compare(names[:2]).comparison.facts == len(answers)
    workflows.remove_bundle(bundle.name)
    assert workflows.shown_studies() == []


def test_cells_alone_come_with_their_untouched_model(tmp_path, world, finish):  # noqa: F811
    """They are no study of their own: there is no report, and they go by the names that they had."""
    finish()
    cells = list(workflows.cell_names(settings(world), "tiny"))
    chosen = next(name for name in cells if ":n4:s1" in name)
    workflows.pack([chosen], tmp_path / "cell.zip")
    workflows.import_bundle(tmp_path / "cell.zip")
    (known,) = [study for study in workflows.shown_studies() if study.bundle]
    assert (known.whole, known.models) == (False, ("tiny",))
    names = list(workflows.cell_names(known.settings, "tiny", known.bundle))
    assert names == [f"{known.name}:tiny:{cell}" for cell in ("n0:s0", "n4:s1")]
    with pytest.raises(NotFound, match="no finished cell"):
        workflows.tested(names[0].replace(":n0", ":n99"))


def test_what_was_imported_answers_no_look_up(tmp_path, world, finish, workspace):  # noqa: F811
    """Not even a bundle's folder into which somebody put cells, answers and completions: the study has everything to do."""
    finish()
    study = settings(world)
    workflows.pack([workflows.study_name(study)], tmp_path / "study.zip")
    bundle = workflows.import_bundle(tmp_path / "study.zip")
    for kind in ("cells", "completions", "hits", "answers", "studies", "reports"):
        if (workspace.root / kind).exists():
            shutil.copytree(workspace.root / kind, workspace.imports / bundle.name / kind, dirs_exist_ok=True)
            shutil.rmtree(workspace.root / kind)
    done, planned = workflows.study_progress(study)
    assert (done, planned > 0) == (0, True)
    assert workflows.profile("tiny", world, "test", "all", study.scheme).table["level"].isna().all()
    recorder = Recorder()
    workflows.probe(ProbeSettings("tiny", world, scheme=study.scheme, device="cpu"), recorder)
    assert max(update.done for update in recorder.updates if update.phase == "probe") == 32  # every fact was asked
    assert [known.bundle for known in workflows.shown_studies() if not known.shipped] == [bundle.name]
    assert workspace.imports not in [layer.parent for layer in workspace.layers]
    cells = Cells.of(workspace, {}, "", "", [], 1e-3)
    assert cells.read(study.run("tiny", 4, 0)) is None
    with pytest.raises(NotEnoughFacts, match="nothing to pack"):
        workflows.pack([workflows.study_name(replace(study, seeds=(5,)))], _listed(study, tmp_path))


def _listed(study, folder):
    """A study that was begun and of which no run has finished."""
    from sftqa_core.artifacts import write_bytes

    begun = replace(study, seeds=(5,))
    write_bytes(Workspace.current().studies / f"{workflows.study_name(begun)}.yaml", workflows.study_yaml(begun).encode())
    return folder / "begun.zip"


def test_tampered_answers_are_counted_as_they_are(tmp_path):
    """A summary can't claim more than its answers: it is not read from the bundle at all."""
    path = packed(tmp_path)
    about = json.loads(contents(path)[f"runs/{RUN}/run.json"])
    about["after"] = {"in": {"natural": 1.0}}
    bundle = workflows.import_bundle(repacked(path, {f"runs/{RUN}/run.json": json.dumps(about).encode()}))
    assert workflows.run(bundle.runs[0]).summary.after["in"].natural == pytest.approx(sum(RIGHT[:40]) / 40)
