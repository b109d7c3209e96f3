"""Deleting runs and studies of one's own, and bringing them back, whatever happened meanwhile."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sftqa_core import workflows
from sftqa_core.artifacts import set_aside
from sftqa_core.errors import NotFound, SettingsError, StorageError
from sftqa_core.records import Label, Labelled
from sftqa_core.studies.config import study_yaml
from sftqa_core.workflows import deleting, upkeep
from tests.made_runs import made_run
from tests.workflows.test_studies import finish, settings  # noqa: F401, a fixture

HALF = [at % 2 == 0 for at in range(80)]
RUN = Labelled("run", "one")


def nobody(thing, models):
    return []


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_deleted_run_leaves_every_list_and_comes_back_as_it_was(workspace):
    """Its label goes with it; size and time of the deletion are told."""
    before = content(made_run("one", HALF).folder)
    label = workflows.change_label(RUN, name="my best", add=["paper"])
    entry = workflows.delete(RUN, nobody)
    assert "one" not in {run.id for run in workflows.runs()}
    assert workflows.labels().runs == {}
    assert [(kept.id, kept.label) for kept in workflows.deleted()] == [("one", label)]
    assert entry.size_bytes > sum(map(len, before.values()))
    assert workflows.find_deleted("my best").entry == entry.entry
    assert workflows.undelete(workflows.find_deleted("one")) == ()
    assert content(workspace.runs / "one") == before
    assert workflows.labels().runs == {"one": label}
    assert workflows.deleted() == []
    assert list(workspace.deleted.iterdir()) == []


def test_what_ships_and_what_is_in_use_stays(workspace):
    """Each with its reason."""
    shipped = workflows.find(workflows.runs()[0].id)
    with pytest.raises(SettingsError, match="came with the program and can't be deleted"):
        workflows.delete(shipped, nobody)
    made_run("one", HALF)
    with pytest.raises(SettingsError, match=r"The run one is in use: a job needs it; another, too. Wait until it is over, or cancel it"):
        workflows.delete(RUN, lambda thing, models: ["a job needs it", "another, too"])
    assert (workspace.runs / "one").is_dir()
    assert workflows.deleted() == []
    with pytest.raises(NotFound, match="The run two is not here any more"):
        workflows.delete(Labelled("run", "two"), nobody)


def test_runs_that_were_tuned_from_it_are_told_and_count_as_its_users(workspace):
    """Two steps down: an adapter needs what it sits on."""
    made_run("one", HALF)
    made_run("two", HALF, model="run:one")
    made_run("three", HALF, model="run:two")
    asked = []
    entry = workflows.delete(RUN, lambda thing, models: asked.extend(models) or [])
    assert asked == ["run:one", "run:two", "run:three"]
    assert entry.notes == ("Tuned from it and not loadable without it if they are adapters: two, three.",)


def test_undo_after_a_run_of_the_same_id_came_back(workspace):
    """Neither is overwritten; once the newer one is deleted too, the older one can come back by its entry."""
    first = content(made_run("one", HALF).folder)
    older = workflows.delete(RUN, nobody)
    second = content(made_run("one", [True] * 80).folder)
    with pytest.raises(SettingsError, match="A run one is here again, so the deleted one stays"):
        workflows.undelete(older)
    assert content(workspace.runs / "one") == second
    newer = workflows.delete(RUN, nobody)
    assert {kept.entry for kept in workflows.deleted()} == {older.entry, newer.entry}
    workflows.undelete(workflows.find_deleted(older.entry))
    assert content(workspace.runs / "one") == first


def test_a_label_that_was_given_since_stays(workspace):
    """It is the later word."""
    made_run("one", HALF)
    workflows.change_label(RUN, name="before")
    entry = workflows.delete(RUN, nobody)
    workflows.change_label(RUN, name="after")
    assert workflows.undelete(entry) == ("It was labelled again since; that label stays.",)
    assert workflows.labels().runs == {"one": Label("after")}


def test_a_deletion_that_was_cut_off_before_the_rename_deleted_nothing(workspace, monkeypatch):
    """What it left behind is no entry, and can be removed."""
    made_run("one", HALF)
    workflows.change_label(RUN, name="my best")
    with monkeypatch.context() as killed:
        killed.setattr(deleting.os, "rename", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
        killed.setattr(deleting, "remove", lambda path: None)
        with pytest.raises(KeyboardInterrupt):
            workflows.delete(RUN, nobody)
    assert workflows.labels().runs["one"].name == "my best"
    assert "one" in {run.id for run in workflows.runs()}
    assert workflows.deleted() == []
    (left,) = upkeep.removable(lambda *about: False)
    assert left.what == "left by a process that was killed"


def test_an_entry_that_is_damaged_can_still_come_back(workspace):
    """Its folder's name says which run it is; only the label is lost."""
    before = content(made_run("one", HALF).folder)
    entry = workflows.delete(RUN, nobody)
    (workspace.deleted / entry.entry / "entry.json").write_text("{")
    (kept,) = workflows.deleted()
    assert (kept.kind, kept.id, kept.notes) == ("run", "one", ("Its label can't be read.",))
    workflows.undelete(kept)
    assert content(workspace.runs / "one") == before
    with pytest.raises(NotFound, match="one can't come back: it was brought back already, or removed for good"):
        workflows.undelete(kept)


def test_where_an_entry_comes_back_to_is_not_left_to_its_file(workspace):
    """An id that leads elsewhere is not followed."""
    made_run("one", HALF)
    entry = workflows.delete(RUN, nobody)
    path = workspace.deleted / entry.entry / "entry.json"
    path.write_text(path.read_text().replace('"id": "one"', '"id": "../../elsewhere"'))
    (kept,) = workflows.deleted()
    workflows.undelete(kept)
    assert (workspace.runs / "one").is_dir()


def test_a_run_comes_back_whatever_kind_its_entry_tells(workspace):
    """What lies in the entry says what it is, also where the caller was told otherwise."""
    before = content(made_run("one", HALF).folder)
    entry = workflows.delete(RUN, nobody)
    path = workspace.deleted / entry.entry / "entry.json"
    path.write_text(path.read_text().replace('"kind": "run"', '"kind": "study"'))
    (kept,) = workflows.deleted()
    assert kept.kind == "run"
    assert workflows.undelete(replace(kept, kind="study")) == ()
    assert content(workspace.runs / "one") == before
    assert list(workspace.deleted.iterdir()) == []


def test_an_entry_that_still_holds_something_stays(workspace):
    """A settings file beside a run is not removed with the run's entry, and is what can come back next."""
    made_run("one", HALF)
    folder = workspace.deleted / workflows.delete(RUN, nobody).entry
    (folder / "studies").mkdir()
    (folder / "studies" / "two.yaml").write_text("kept")
    assert workflows.undelete(workflows.find_deleted("one")) == (f"More lies in {folder}, which stays.",)
    assert (workspace.runs / "one").is_dir()
    assert (folder / "studies" / "two.yaml").read_text() == "kept"
    assert [kept.kind for kept in workflows.deleted()] == ["study"]


def test_runs_on_another_disk_stay_and_say_so(workspace, monkeypatch):
    """A folder can't be moved between disks in one step."""
    made_run("one", HALF)

    def apart(*paths):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(deleting.os, "rename", apart)
    with pytest.raises(StorageError, match="lie on different disks"):
        workflows.delete(RUN, nobody)
    assert (workspace.runs / "one").is_dir()
    assert list(workspace.deleted.iterdir()) == []


def test_damaged_runs_can_be_deleted(workspace):
    """They are on no list, and are found by their id."""
    run = made_run("one", HALF)
    (run.folder / "manifest.json").write_text("{")
    workflows.delete(workflows.find("one"), nobody)
    assert not run.folder.exists()


def test_gc_lists_what_was_deleted_and_removes_it_for_good(workspace):
    """With its size; afterwards nothing can come back."""
    made_run("one", HALF)
    entry = workflows.delete(RUN, nobody)
    (item,) = upkeep.removable(lambda *about: False)
    assert (item.what, item.size_bytes) == ("deleted, can come back (`sftqa undelete`) until it is removed", entry.size_bytes)
    assert [holding.kind for holding in upkeep.holdings() if holding.own] == ["deleted"]
    assert upkeep.clear([item]) == [item]
    with pytest.raises(NotFound, match="Nothing called 'one' was deleted, or it was removed for good"):
        workflows.find_deleted("one")


def test_labels_are_looked_after_like_results(workspace):
    """`cache ls` counts them, `cache verify` names a damaged one, `cache gc` offers what was set aside."""
    workflows.change_label(RUN, name="a")
    workflows.change_label(Labelled("study", "s"), name="b")
    assert {holding.kind: holding.results for holding in upkeep.holdings() if holding.own} == {"labels of runs": 1, "labels of studies": 1}
    path = workspace.labels / "runs" / "one.json"
    path.write_text("{")
    (fault,) = [fault for fault in upkeep.faults(workspace) if fault.own]
    assert (fault.kind, fault.path, fault.state) == ("labels of runs", str(path), "damaged")
    moved = set_aside(path)
    assert [item.path for item in upkeep.removable(lambda *about: False)] == [str(moved)]


def test_a_study_goes_with_its_own_cells_and_comes_back_finished(finish, world, workspace):  # noqa: F811
    """Its report too, so that nothing has to be counted or run again."""
    before = finish()
    (study,) = [known for known in workflows.studies() if not known.shipped]
    thing = Labelled("study", study.name)
    workflows.change_label(thing, name="tiny study")
    cells = sorted(path.name for path in (workspace.root / "cells").iterdir())
    size = workflows.size_on_disk(thing)
    entry = workflows.delete(workflows.find("tiny study"), nobody)
    assert study.name not in {known.name for known in workflows.studies()}
    assert sorted((workspace.root / "cells").iterdir()) == []
    assert entry.notes == ()
    assert entry.size_bytes > size > 10_000
    workflows.undelete(entry)
    assert sorted(path.name for path in (workspace.root / "cells").iterdir()) == cells
    assert workflows.study_report(settings(world)) == before
    assert workflows.labels().studies[study.name].name == "tiny study"


def test_cells_that_another_study_names_stay(finish, world, workspace):  # noqa: F811
    """It says how many; a study that was started again meanwhile is not overwritten by undo."""
    finish()
    other = settings(world, seeds=(0,))
    (workspace.studies / f"{workflows.study_name(other)}.yaml").write_text(study_yaml(other))
    shared = set(deleting.cells_of(other))
    mine = set(deleting.cells_of(settings(world)))
    assert 0 < len(shared) < len(mine)
    thing = Labelled("study", workflows.study_name(settings(world)))
    entry = workflows.delete(thing, nobody)
    assert entry.notes == (f"{len(shared)} of its {len(mine)} cells stay: another study names them.",)
    assert set((workspace.root / "cells").iterdir()) == shared
    (workspace.studies / f"{thing.id}.yaml").write_text(study_yaml(settings(world)))
    assert workflows.undelete(entry) == ("It was started again since, so it was on the list already.",)
    assert set((workspace.root / "cells").iterdir()) == mine


def test_a_study_whose_model_is_gone_can_be_deleted(finish, world, workspace):  # noqa: F811
    """Which cells are its own can't be told any more, so all stay, and it says so."""
    finish()
    cells = sorted((workspace.root / "cells").iterdir())
    shutil.rmtree(workspace.models / "tiny")
    entry = workflows.delete(Labelled("study", workflows.study_name(settings(world))), nobody)
    assert entry.notes[0].startswith("Its cells stay in the cache: which are its own can't be told now (")
    assert sorted((workspace.root / "cells").iterdir()) == cells


@pytest.fixture
def two_studies(finish, world, workspace):  # noqa: F811
    """A study of one seed, and the one of two seeds that names its cells too; and the cells of each."""
    finish()
    small, large = settings(world, seeds=(0,)), settings(world)
    (workspace.studies / f"{workflows.study_name(small)}.yaml").write_text(study_yaml(small))
    return small, set(deleting.cells_of(small)), large, set(deleting.cells_of(large))


def test_of_two_deleted_studies_either_comes_back_with_all_its_cells(two_studies, workspace):
    """The cells that both name went with the one that was deleted last; the other one, back and deleted again, does not lose them."""
    small, its_cells, large, all_cells = two_studies
    things = [Labelled("study", workflows.study_name(study)) for study in (small, large)]
    first, last = [workflows.delete(thing, nobody) for thing in things]
    assert list((workspace.root / "cells").iterdir()) == []
    told = f"{len(its_cells)} of its {len(its_cells)} cells had been deleted with another study, and came back too."
    assert workflows.undelete(first) == (told,)
    assert set(deleting.cells_of(small)) == its_cells
    workflows.delete(things[0], nobody)
    told = f"{len(its_cells)} of its {len(all_cells)} cells had been deleted with another study, and came back too."
    assert workflows.undelete(last) == (told,)
    assert set(deleting.cells_of(large)) == all_cells
    assert workflows.undelete(workflows.find_deleted(things[0].id)) == ()


def test_cells_that_are_gone_for_good_are_told_on_undo(two_studies, workspace):
    """Those that went with another study, which `cache gc` removed."""
    small, its_cells, large, _ = two_studies
    first, last = [workflows.delete(Labelled("study", workflows.study_name(study)), nobody) for study in (small, large)]
    shutil.rmtree(workspace.deleted / last.entry)
    assert workflows.undelete(first) == (f"{len(its_cells)} of its {len(its_cells)} cells are gone: its next start runs them again.",)
    assert deleting.cells_of(small) == []


def test_names_of_cells_that_were_changed_lead_nowhere(two_studies, workspace):
    """The file in the entry is only compared with what lies there."""
    small = two_studies[0]
    made_run("one", HALF)
    entry = workflows.delete(Labelled("study", workflows.study_name(small)), nobody)
    (workspace.deleted / entry.entry / "cells.json").write_text('["../../runs/one", 3, "\\u0000"]')
    assert workflows.undelete(entry) == ("2 of its 2 cells are gone: its next start runs them again.",)
    assert (workspace.runs / "one").is_dir()


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), KeyboardInterrupt()], ids=["refused", "stopped"])
def test_a_study_whose_settings_cannot_be_moved_stays_whole(finish, world, workspace, monkeypatch, error):  # noqa: F811
    """Its report and cells too: a second settings file that was refused brings the first back."""
    finish()
    thing = Labelled("study", workflows.study_name(settings(world)))
    (workspace.studies / "zz.yaml").write_text(study_yaml(settings(world)))
    before, rename = content(workspace.root), deleting.os.rename

    def refused(path, target):
        if Path(path) == workspace.studies / "zz.yaml":
            raise error
        rename(path, target)

    monkeypatch.setattr(deleting.os, "rename", refused)
    with pytest.raises((StorageError, KeyboardInterrupt)):
        workflows.delete(thing, nobody)
    assert {name: held for name, held in content(workspace.root).items() if not name.endswith(".lock")} == before
    assert list(workspace.deleted.iterdir()) == []


def test_a_report_that_cannot_be_moved_stays_and_is_there_after_undo(finish, world, workspace, monkeypatch):  # noqa: F811
    """The study is deleted all the same, with its cells."""
    before, rename = finish(), deleting.os.rename
    (report,) = workspace.reports.glob("*.json")

    def refused(path, target):
        if Path(path) == report:
            raise OSError(errno.EACCES, "Permission denied")
        rename(path, target)

    monkeypatch.setattr(deleting.os, "rename", refused)
    entry = workflows.delete(Labelled("study", workflows.study_name(settings(world))), nobody)
    assert report.exists()
    assert list((workspace.root / "cells").iterdir()) == []
    assert workflows.undelete(entry) == ()
    assert workflows.study_report(settings(world)) == before


def test_a_deletion_of_a_study_that_was_cut_off_after_its_settings_comes_back_whole(finish, world, workspace, monkeypatch):  # noqa: F811
    """Report and cells stayed where they are."""
    before, rename = finish(), deleting.os.rename
    cells = sorted((workspace.root / "cells").iterdir())

    def killed(path, target):
        if Path(path).parent == workspace.reports:
            raise KeyboardInterrupt
        rename(path, target)

    with monkeypatch.context() as dying:
        dying.setattr(deleting.os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            workflows.delete(Labelled("study", workflows.study_name(settings(world))), nobody)
    assert [known for known in workflows.studies() if not known.shipped] == []
    (entry,) = workflows.deleted()
    assert sorted((workspace.root / "cells").iterdir()) == cells
    assert workflows.undelete(entry) == ()
    assert workflows.study_report(settings(world)) == before
