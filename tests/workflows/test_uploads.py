"""Files handed over in the browser: whatever they are called, they stay in their folder."""

import pytest

from sftqa_core import workflows
from sftqa_core.errors import FactsError

FACTS = b"relation,subject,object\nP19,Ann,Paris\n"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../x.csv", "x.csv"),
        ("..\\..\\x.csv", "x.csv"),
        ("/etc/cron.d/x.csv", "x.csv"),
        ("CON.csv", "facts-CON.csv"),
        ("nul.tar.csv", "facts-nul.tar.csv"),
        ("x" * 300 + ".csv", "x" * 50 + ".csv"),
        ("字" * 300 + ".csv", "字" * 50 + ".csv"),
        ("Größe.CSV", "Größe.CSV"),
        ("a\0b.csv", "a-b.csv"),
        ("\u202evsc.csv", "vsc.csv"),
        (".hidden.csv", "hidden.csv"),
        ("-rf.csv", "rf.csv"),
        ("$(touch x).csv", "touch-x.csv"),
        ("<script>.csv", "script.csv"),
        ("~.csv", "facts.csv"),
        ("", "facts.csv"),
    ],
)
def test_a_hostile_name_becomes_a_plain_one(workspace, name, kept):
    """Folders, devices, options, hidden files, names without end: one file, in the folder of uploads."""
    assert workflows.add_upload(name, FACTS) == str(workspace.uploads / kept)
    assert [path.name for path in workspace.uploads.iterdir()] == [kept]


def test_a_link_is_replaced_not_followed(workspace, tmp_path):
    """What it points to stays as it was; a folder of that name is told."""
    workspace.uploads.mkdir(parents=True)
    (tmp_path / "secret").write_text("as it was")
    (workspace.uploads / "f.csv").symlink_to(tmp_path / "secret")
    workflows.add_upload("f.csv", FACTS)
    assert (tmp_path / "secret").read_text() == "as it was"
    assert not (workspace.uploads / "f.csv").is_symlink()
    (workspace.uploads / "g.csv").mkdir()
    (workspace.uploads / "g.csv" / "inside").touch()
    with pytest.raises(FactsError, match=r"g\.csv can't be kept in .*uploads"):
        workflows.add_upload("g.csv", FACTS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"PK\x03\x04" + b"\0" * 40, r"x\.csv is a zip archive or a workbook"),
        ("x.exe", FACTS, r"x\.exe: files of facts end in "),
        ("x.zip", b"PK\x03\x04" + b"\0" * 40, r"x\.zip is not a zip that can be read"),
        ("x.parquet", FACTS, r"x\.parquet is not a readable Parquet file"),
    ],
)
def test_a_file_that_is_something_else_is_refused_and_not_kept(workspace, name, content, message):
    """By its content, not by its name."""
    with pytest.raises(FactsError, match=message):
        workflows.add_upload(name, content)
    assert list(workspace.uploads.iterdir()) == []


def test_templates_and_columns_are_kept_with_an_upload(workspace):
    """Templates stand beside the file and hold when it comes again; the mapping is part of the name under which it is listed."""
    content = b"rel,who,what\nmouth,Rhine,North Sea\n"
    query = "?relation=rel&subject=who&answers=what"
    assert workflows.preview_upload("r.csv", content, query).new_relations == {"mouth": ["Rhine"]}
    toml = '[mouth]\nquestion = "Where does {subject} end?"\ntemplates = ["{subject} flows into"]\n'
    name = workflows.add_upload("r.csv", content, query, toml)
    assert name == f"{workspace.uploads / 'r.csv'}{query}"
    assert workflows.sources()[-1] == name
    assert workflows.preview_upload("r.csv", content, query).facts == 1
    assert workflows.add_upload("r.csv", content, query) == name
    with pytest.raises(FactsError, match="has no column for the answers"):
        workflows.add_upload("r.csv", content)
    assert workflows.sources()[-1] == name
