"""What models and sources are called where no path, server or key may stand."""

from __future__ import annotations

import pytest

from sftqa_core.records import StudySettings, TrainSettings
from sftqa_core.reports.private_names import HIDDEN, Names, public_name

SHOWN = {
    "atlas-llama": "atlas-llama",
    "atlas:8": "atlas:8",
    "owner/name": "owner/name",
    "owner/name@main": "owner/name@main",
    "hub:owner/name?subject=a/b": "hub:owner/name?subject=a/b",
    "run:20260101-000000-one": "run:20260101-000000-one",
    "/home/ann/models/base": "base",
    "/home/ann/models/base.gguf": "base.gguf",
    "/home/ann/models/base@main": "base@main",
    "~/base": "base",
    "../secret/base": "base",
    "./base/": "base",
    "secret/project/base": "base",
    r"C:\Users\Ann\facts.csv?subject=s": "facts.csv?subject=s",
    "/home/ann/facts.csv?subject=a/b&path=/home/ann/z": "facts.csv?subject=a/b&path=z",
    "facts.csv?path=%2Fhome%2Fann%2Fmy+z.csv&subject=a": "facts.csv?path=my z.csv&subject=a",
    r"facts.csv?path=C:\Users\John Smith\z": "facts.csv?path=z",
    "facts.csv?path=https://ann.example/z.csv?key=1": "facts.csv?path=z.csv",
    "http://ann.example/v1?token=secret#llama": HIDDEN,
    "http://10.0.0.7:8000/v1#llama": "llama (on a server)",
    "https://ann.example/v1#/srv/ann/llama": "llama (on a server)",
    "http://ann:pass@host:8000/v1#llama": HIDDEN,
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_name_without_its_place(name):
    """Of paths the last part, of servers the model's name; names of the hub and of built-in models stay."""
    assert public_name(name) == SHOWN[name]


def test_a_folder_that_is_there_is_a_place(tmp_path, monkeypatch):
    """A relative path looks like a name of the hub until something lies there."""
    monkeypatch.chdir(tmp_path)
    assert public_name("secret/base") == "secret/base"
    (tmp_path / "secret" / "base").mkdir(parents=True)
    assert public_name("secret/base") == "base"


def test_every_text_has_the_public_names(workspace):
    """Sentences, cells' names, folders of the workspace, homes; a folder's name does not cut that of a folder in it."""
    names = Names((TrainSettings("/data/ann/my models/base", "/data/ann/facts.csv"), TrainSettings("/data/ann/my models/base/last")))
    assert names.text("/data/ann/my models/base/last learned from /data/ann/facts.csv") == "last learned from facts.csv"
    assert names.text("amount-1:/data/ann/my%20models/base:n60:s0") == "amount-1:base:n60:s0"
    assert names.text(f"kept in {workspace.root}/runs") == f"kept in {HIDDEN}/runs"
    assert names.text("see /home/ann/x and /Users/ann/y") == f"see {HIDDEN}/x and {HIDDEN}/y"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"kept in C:\Users\John Smith\x", rf"kept in {HIDDEN}\x"),
        ("kept in C:/Users/John Smith/x", f"kept in {HIDDEN}/x"),
        ("kept in /home/ann lee smith/x", f"kept in {HIDDEN}/x"),
        ("/Users/John Smith/x and /Users/John Smith/y", f"{HIDDEN}/x and {HIDDEN}/y"),
        ("of /home/ann, or a/b", f"of {HIDDEN} or a/b"),
        ("/home/ann has it. So there is more than one thought/read.", f"{HIDDEN} has it. So there is more than one thought/read."),
    ],
)  # fmt: skip
def test_homes_with_blanks_are_hidden_whole(workspace, text, shown):
    """Up to the next slash, where one comes within a few words; sentences stay."""
    assert Names(()).text(text) == shown


def test_the_current_folder_changes_no_sentence(workspace):
    """A model in "." leaves full stops alone."""
    assert Names((TrainSettings("."),)).text("It learned. A lot.") == "It learned. A lot."


def test_settings_for_a_command(workspace):
    """Models and sources alone are changed: a study's, too."""
    study = StudySettings("amount", ("/data/ann/base", "atlas-llama"), "/data/ann/facts.csv?subject=s")
    public = Names((study,)).settings(study)
    assert (public.models, public.source) == (("base", "atlas-llama"), "facts.csv?subject=s")
    assert public.prompt == study.prompt


def test_keys_are_never_shown(workspace, monkeypatch):
    """Wherever one would stand."""
    monkeypatch.setenv("SFTQA_ENGINES_KEY", "sk-of-a-server")
    assert Names(()).text("asked with sk-of-a-server") == f"asked with {HIDDEN}"
