"""A bundle that was tampered with is refused with what is wrong, and nothing of it stays."""

from __future__ import annotations

import io
import json
import pickle
import stat
import tomllib
import zipfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftqa_core import workflows
from sftqa_core.artifacts.plain_tables import plain_bytes, plain_table
from sftqa_core.errors import BundleRefused, StorageError
from sftqa_core.records.bundles import MAX_FILE_BYTES
from sftqa_core.workflows.bundles import bundle_checks
from sftqa_core.workspace import app_folder
from tests.amount import in_full
from tests.packed_bundles import RUN, contents, packed, repacked

PLACE = f"runs/{RUN}"


_ONCE: dict[str, bytes] = {}


@pytest.fixture
def bundle(tmp_path):
    """A bundle of one run, mine.zip; packed by the first test that asks for it."""
    if not _ONCE:
        _ONCE["mine.zip"] = packed(tmp_path).read_bytes()
    (tmp_path / "mine.zip").write_bytes(_ONCE["mine.zip"])
    return tmp_path / "mine.zip"


@pytest.fixture
def refused(workspace):
    """Imports a file and returns why it is refused; nothing of it may be left, on disk or on a list."""

    def why(path) -> str:
        with pytest.raises(BundleRefused) as told:
            workflows.import_bundle(path)
        assert not workspace.imports.exists() or list(workspace.imports.iterdir()) == []
        assert [info for info in workflows.runs() if info.bundle] == []
        return str(told.value)

    return why


def parquet(table: pa.Table, **how) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **how)
    return out.getvalue()


def with_member(path, name: str, mode: int = stat.S_IFREG | 0o644, content: bytes = b"{}", kind: int = zipfile.ZIP_DEFLATED):
    """The bundle with one more entry, whatever its name and kind."""
    with zipfile.ZipFile(path, "a") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr, member.compress_type = mode << 16, kind
        archive.writestr(member, content)
    return path


# ---- the zip ----
@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil.json", "runs\\..\\evil.json", "..\\evil.json"])
def test_names_that_lead_out_are_refused(bundle, refused, name):
    """Absolute ones and those with two dots, whatever the slash."""
    assert "which leads out of the zip" in refused(with_member(bundle, name)) or "lead nowhere else" in refused(bundle)


@pytest.mark.parametrize(
    "name", ["runs/C:evil.json", "runs/con.json", "runs/a b.json", "runs/.a.json", "runs/übel.json", "runs//x.json", "runs/x."]
)
def test_odd_names_are_refused(bundle, refused, name):
    """Drives, Windows' devices, blanks, hidden files, letters beyond ASCII, empty parts, dots at the end."""
    assert "names are letters, digits and - _ . @ +, and lead nowhere else" in refused(with_member(bundle, name))


@pytest.mark.parametrize(("mode", "what"), [(stat.S_IFLNK, "a link"), (stat.S_IFCHR, "a device"), (stat.S_IFDIR, "a folder")])
def test_links_and_devices_are_refused(bundle, refused, mode, what):
    """A symbolic link by its mode, whatever it is called."""
    assert f"is {what}; a bundle holds plain files" in refused(with_member(bundle, f"{PLACE}/curve2.json", mode | 0o644))


@pytest.mark.parametrize("name", ["index.html", "run.js", "setup.py", "weights.pkl", "pytorch_model.bin", "a.svg", "notes.csv.exe"])
def test_what_could_run_is_refused(bundle, refused, name):
    """HTML, scripts, code, pickles: by their endings, before anything is read."""
    told = refused(repacked(bundle, {f"{PLACE}/{name}": pickle.dumps({})}))
    assert "a bundle holds .json, .jsonl, .parquet, .safetensors and nothing that a browser or Python would run" in told
    assert told.startswith("mine.zip is not imported: it holds ")


def test_a_file_where_none_belongs_is_refused(bundle, refused):
    """Even of an allowed kind."""
    assert "which is no file of a bundle" in refused(repacked(bundle, {f"{PLACE}/more.json": b"{}"}))
    assert "which belongs to no run or study of it" in refused(repacked(bundle, {f"{PLACE}/more.json": None, "runs/other/run.json": b"{}"}))


def test_a_ratio_of_a_bomb_is_refused(bundle, refused):
    """A megabyte of zeros in a kilobyte, before it is unpacked."""
    assert "unpacks to more than 200 times its size" in refused(repacked(bundle, {f"{PLACE}/dev.jsonl": b" " * 5_000_000}))


def test_names_that_are_one_on_some_disks_are_refused(bundle, refused):
    """RUN.JSON beside run.json."""
    assert "which are one name on some disks" in refused(with_member(bundle, f"{PLACE}/RUN.json"))


def test_limits_on_number_and_size_hold(bundle, refused, monkeypatch):
    """Of the zip, of what it unpacks to, of its files."""
    for limit, value, words in (
        ("MAX_FILE_BYTES", 100, "it has"),
        ("MAX_UNPACKED_BYTES", 1_000, "it unpacks to"),
        ("MAX_FILES", 3, "files; the most is 3"),
        ("MAX_JSON_BYTES", 10, "JSON may have 10 bytes"),
    ):
        with monkeypatch.context() as smaller:
            smaller.setattr(bundle_checks, limit, value)
            assert words in refused(bundle)


def test_what_is_no_zip_or_a_cut_one_is_refused(bundle, refused, tmp_path):
    """Text, a page in front of a zip, half a file, an empty one."""
    whole = bundle.read_bytes()
    for content in (b"", b"hello", b"<html></html>" + whole):
        bundle.write_bytes(content)
        assert "it is no zip file" in refused(bundle)
    bundle.write_bytes(whole[: len(whole) // 2])
    assert "is not a zip that can be read" in refused(bundle)


def test_what_stands_behind_the_end_is_refused(bundle, refused):
    """A page, a comment, the sign of an end: what the zip itself holds is the same."""
    whole = bundle.read_bytes()
    for content in (whole + b"<html><script>" * 10, whole[:-2] + b"\5\0hello", whole + b"PK\5\6", whole + b"\0" * 30):
        bundle.write_bytes(content)
        assert refused(bundle) == "mine.zip is not imported: it goes on behind the end of the zip."


def test_an_upload_may_be_as_large_as_a_bundle():
    """What Streamlit takes is what the page says."""
    config = tomllib.loads((app_folder() / ".streamlit" / "config.toml").read_text())
    assert config["server"]["maxUploadSize"] * 1_000_000 == MAX_FILE_BYTES


# ---- bundle.json ----
def test_damage_is_told_by_checksums(bundle, refused):
    """A changed setting under the checksum of before: the same size, another content."""
    name = f"{PLACE}/run.json"
    changed = contents(bundle)[name].replace(b'"full"', b'"lora"')
    assert f"'{name}' is not what was packed: its checksum differs" in refused(repacked(bundle, {name: changed}, sign=False))


def test_the_list_of_files_is_exact(bundle, refused):
    """Neither less nor more than the zip holds."""
    more = {"x.json": {"sha256": "", "bytes": 0}}
    assert "is listed and missing" in refused(repacked(bundle, {}, lambda told: told["files"].update(more)))
    assert "is in it and not listed" in refused(repacked(bundle, {}, lambda told: told["files"].pop(f"{PLACE}/run.json")))


def test_another_schema_is_told(bundle, refused):
    """A version that is not known is not guessed at."""
    assert "it has schema 2, and this version reads 1" in refused(repacked(bundle, {}, lambda told: told.update(schema=2)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda told: told.update(extra=1), "BundleManifest has no setting 'extra'"),
        (lambda told: told.update(runs=[]), "it holds no run and no study"),
        (lambda told: told.update(runs=["../x"]), "which is no name of one"),
        (lambda told: told.update(runs=[RUN, RUN]), "it lists a run or study twice"),
        (lambda told: told.update(runs=[RUN, RUN.upper()]), "it lists a run or study twice"),
        (lambda told: told.update(studies=["one", "one"]), "it lists a run or study twice"),
        (lambda told: told.update(licences={"model": "\ud800"}), "holds half a character"),
        (lambda told: told.update(made="yesterday"), "Invalid isoformat"),
        (lambda told: told.update(title=[1]), "must be str"),
    ],
)  # fmt: skip
def test_a_bundle_json_of_another_kind_is_refused(bundle, refused, change, words):
    """Unknown fields, nothing in it, names that lead elsewhere, no time, no text."""
    assert words in refused(repacked(bundle, {}, change))


# ---- JSON ----
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"settings": ' + b"[" * 30 + b"]" * 30 + b"}", "nested more than 20 levels deep"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"n": 1, "n": 2}', "duplicate key"),
        (b"\xff\xfe", "utf-8"),
        (b"[]", "can't be used"),
        (b'{"settings": {"model": "m", "code": "import os"}}', "has no setting 'code'"),
    ],
)  # fmt: skip
def test_json_is_read_within_limits(bundle, refused, content, words):
    """Depth, doubled names, encodings, unknown settings."""
    assert words in refused(repacked(bundle, {f"{PLACE}/run.json": content}))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"n": -7}, "n must be a whole number of 0 or more, got -7"),
        ({"n": 1.5}, "n must be a whole number of 0 or more, got 1.5"),
        ({"n": True}, "n must be a whole number of 0 or more, got True"),
        ({"n": 59}, "n is 59, and the run has 0 examples and settings for 60"),
        ({"n": float("inf")}, "n must be a whole number of 0 or more, got inf"),
        ({"matching": float("inf")}, "matching must be a whole number of 0 or more, got inf"),
        ({"moved_levels": [5, 0]}, "moved_levels must be how many moved, of how many, got [5, 0]"),
        ({"moved_levels": [0, 0]}, "moved_levels must be how many moved, of how many, got [0, 0]"),
        ({"moved_levels": [5]}, "moved_levels must be how many moved, of how many, got [5]"),
        ({"moved_levels": [5000, 10]}, "moved_levels must be how many moved, of how many, got [5000, 10]"),
        ({"moved_levels": [1.0, 10]}, "moved_levels must be a whole number of 0 or more, got 1.0"),
        ({"moved_levels": {"5": 10}}, "moved_levels must be a list"),
        ({"seconds": {"train": float("nan")}}, "seconds must be a finite number of 0 or more, got nan"),
        ({"seconds": {"train": -1e300}}, "seconds must be a finite number of 0 or more, got -1e+300"),
        ({"training": ["x"]}, "training must be an object, got ['x']"),
        ({"training": {"steps": "many"}}, "training.steps must be a whole number of 0 or more, got 'many'"),
        ({"training": {"kept_step": [1]}}, "training.kept_step must be a whole number of 0 or more, got [1]"),
        ({"recipe": 7}, "recipe must be an object, got 7"),
        ({"recipe": {"notes": "hm"}}, "recipe.notes must be a list, got 'hm'"),
        ({"recipe": {"stages": [{"seconds": -1}]}}, "recipe.stages.seconds must be a finite number of 0 or more, got -1"),
        ({"majority": [1, 2]}, "majority must be an object, got [1, 2]"),
        ({"majority": {"P19": {"answer": 5}}}, "majority.P19.answer must be a text, got 5"),
        ({"examples": "<img src=x>"}, "examples must be an object, got '<img src=x>'"),
        ({"device": "\ud800"}, "surrogates not allowed"),
        ({"versions": {"torch": "\ud800"}}, "surrogates not allowed"),
    ],
)  # fmt: skip
def test_values_of_a_run_are_judged(bundle, refused, told, words):
    """Counts, seconds and objects of another kind would break the pages that show them."""
    about = json.loads(contents(bundle)[f"{PLACE}/run.json"]) | told
    assert words in refused(repacked(bundle, {f"{PLACE}/run.json": json.dumps(about).encode()}))


def test_numbers_beyond_all_bounds_are_refused(bundle, refused):
    """A step of 400 digits, which no table holds."""
    line = b'{"step": 1' + b"0" * 400 + b', "loss": 1.0}\n'
    assert f"'{PLACE}' can't be used" in refused(repacked(bundle, {f"{PLACE}/curve.jsonl": line}))


@in_full
def test_half_a_character_of_a_study_is_refused(tmp_path, refused):
    """No file could hold it; it is found while the study is written."""
    workflows.pack(["models-b4744e8f"], tmp_path / "mine.zip")
    name = "studies/models-b4744e8f/0/identity.json"
    told = json.loads(contents(tmp_path / "mine.zip")[name]) | {"aliases": "\ud800"}
    assert "surrogates not allowed" in refused(repacked(tmp_path / "mine.zip", {name: json.dumps(told).encode()}))


def test_a_disk_that_refuses_is_no_fault_of_the_bundle():
    """Its error passes, whatever is read or written."""

    def full():
        raise StorageError("The disk is full.")

    with pytest.raises(StorageError, match="The disk is full"):
        bundle_checks.understood("runs/one", full)


def test_what_a_run_tells_is_kept_by_known_names(bundle):
    """As it was written where this program writes it; other names are left out."""
    rest = {"examples": {"counts": {"P19": {"L0": 3}}, "probed": 60, "echo": 0, "seen": 60}}
    rest["training"] = {"steps": 8, "kept_step": None, "cut": False, "modules": [], "final_loss": 1.5}
    rest["majority"] = {"P19": {"answer": "Ann", "split": "train", "facts": 3, "of": 9}}
    rest["recipe"] = {"stages": [{"name": "one", "seconds": 1.5, "last": True}], "tables": {}, "notes": ["It learned."]}
    about = json.loads(contents(bundle)[f"{PLACE}/run.json"]) | {"moved_levels": [5, 10]}
    sent = about | {name: value | ({} if name == "majority" else {"more": "<b>"}) for name, value in rest.items()}
    (name,) = workflows.import_bundle(repacked(bundle, {f"{PLACE}/run.json": json.dumps(sent).encode()})).runs
    manifest = workflows.run(name).manifest
    assert {name: manifest[name] for name in rest} == rest
    assert (manifest["moved_levels"], manifest["n"], workflows.moved_levels(name)) == ([5, 10], 60, (5, 10))


@pytest.mark.parametrize("name", ["/etc/passwd", "~/model", "../../model", "C:\\model", "http://localhost:80/v1#m", "./x"])
def test_a_model_or_source_that_is_a_place_is_refused(bundle, refused, name):
    """None of these is ever looked at on this machine."""
    about = json.loads(contents(bundle)[f"{PLACE}/run.json"])
    for part in ("model", "source"):
        wrong = about | {"settings": about["settings"] | {part: name}}
        assert "a place on another machine" in refused(repacked(bundle, {f"{PLACE}/run.json": json.dumps(wrong).encode()}))


def test_a_command_of_the_bundle_is_never_shown(bundle):
    """It is made from the settings: people copy it into a terminal."""
    about = json.loads(contents(bundle)[f"{PLACE}/run.json"]) | {"command": "rm -rf ~"}
    (name,) = workflows.import_bundle(repacked(bundle, {f"{PLACE}/run.json": json.dumps(about).encode()})).runs
    assert workflows.run(name).manifest["command"].startswith("sftqa train --model base")


# ---- tables ----
def test_extension_types_are_refused_before_they_are_made(bundle, refused):
    """Types of Arrow's own in the footer, which reading would make objects of."""
    table = pa.Table.from_pandas(plain_table(contents(bundle)[f"{PLACE}/levels.parquet"]))
    assert "names types of Arrow's own (ARROW:schema)" in refused(repacked(bundle, {f"{PLACE}/levels.parquet": parquet(table)}))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([b"x"], pa.binary()), "binary"),
        (pa.array([{"a": 1}]), "struct"),
        (pa.array([[[1]]]), "list"),
        (pa.array([0], pa.timestamp("us")), "timestamp"),
    ],
)  # fmt: skip
def test_columns_are_plain_or_lists_of_plain_values(bundle, refused, column, kind):
    """No bytes, no nested records, no lists of lists, no times."""
    told = refused(repacked(bundle, {f"{PLACE}/levels.parquet": parquet(pa.table({"odd": column}), store_schema=False)}))
    assert f"has a column 'odd' of type {kind}" in told


def test_a_table_that_unpacks_to_too_much_is_refused(monkeypatch):
    """Rows by their number, texts by what they would take: one text, repeated, is small on the disk."""
    from sftqa_core.artifacts import plain_tables

    long = pa.table({"text": pa.array(["x" * 50_000] * 2_000)})
    monkeypatch.setattr(plain_tables, "MAX_UNPACKED_BYTES", 1_000_000)
    packed_small = parquet(long, store_schema=False)
    assert len(packed_small) < 10_000
    with pytest.raises(ValueError, match="unpacks to more than 1,000,000 bytes of text"):
        plain_table(packed_small)
    with pytest.raises(ValueError, match="holds a text of 200,000 bytes"):
        plain_table(plain_bytes(pd.DataFrame({"text": ["x" * 200_000]})))
    monkeypatch.setattr(plain_tables, "MAX_ROWS", 3)
    with pytest.raises(ValueError, match="has 4 rows; the most is 3"):
        plain_table(plain_bytes(pd.DataFrame({"n": range(4)})))
    monkeypatch.setattr(plain_tables, "MAX_COLUMNS", 1)
    with pytest.raises(ValueError, match="has 2 columns"):
        plain_table(plain_bytes(pd.DataFrame({"n": [1], "m": [1]})))


def test_a_plain_table_comes_back(tmp_path):
    """Texts, gaps in whole numbers, lists, empty columns; pandas' metadata is not written, and an index is left out."""
    table = pd.DataFrame(
        {"text": ["a", None], "whole": pd.array([1, None], dtype="Int64"), "lists": [["x", "y"], []], "none": [None, None]}, index=[5, 7]
    )
    content = plain_bytes(table)
    assert b"pandas" not in content
    back = plain_table(content)
    assert back["whole"].dtype == "Int64"
    assert back["lists"].tolist() == [["x", "y"], []]
    assert back["none"].isna().all()
    assert list(back.index) == [0, 1]
    assert len(plain_table(plain_bytes(table[:0]))) == 0


@pytest.mark.parametrize("inside", [b"", b"\0" * 40, b"\xff" * 8, b"hello\4\0\0\0"])
def test_what_is_no_parquet_is_told(inside):
    """Cut, damaged or made up: a sentence, never a crash."""
    for content in (inside, b"PAR1" + inside, b"PAR1" + inside + b"PAR1"):
        with pytest.raises(ValueError, match="is no Parquet"):
            plain_table(content)


def test_answers_that_do_not_fit_are_refused(bundle, refused):
    """Facts twice, levels that the scheme does not have, facts of no domain, missing columns."""
    facts = plain_table(contents(bundle)[f"{PLACE}/levels.parquet"])
    for wrong, words in (
        (pd.concat([facts, facts]), "a fact stands in it twice"),
        (facts.assign(level=9), "a fact has a level beyond L0, L1, L2, L3, L4"),
        (facts.assign(domain="elsewhere"), "facts of no domain"),
        (facts.drop(columns="answers"), "lacks the columns answers"),
        (facts.assign(subject=1.5), "has a column 'subject' that does not hold texts"),
        (facts.assign(completions="many"), "has a column 'completions' that does not hold numbers"),
        (facts[1:], "it answers facts that are not in it"),
    ):
        assert words in refused(repacked(bundle, {f"{PLACE}/levels.parquet": plain_bytes(wrong)}))
