"""`sftqa bundle` and `sftqa import`: packed, imported, listed, shown, removed; mistakes in a sentence."""

import json

import pytest

from sftqa_core.cli import main as command
from tests.made_runs import made_run
from tests.packed_bundles import RIGHT, RUN


def run(capsys, *arguments: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    output = capsys.readouterr()
    assert ended.value.code == code, output.err
    return output.out or output.err


def test_a_run_is_packed_imported_shown_and_removed(capsys, tmp_path):
    """Each step says what to do next; the imported run has the numbers of the packed one."""
    made_run(RUN, RIGHT)
    out = str(tmp_path / "Mine and yours.zip")
    assert "Another explorer reads it with: sftqa import FILE" in run(capsys, "bundle", RUN, "--out", out)
    assert "exists already" in run(capsys, "bundle", RUN, "--out", out, code=1)
    told = json.loads(run(capsys, "import", out, "--json"))["imported"]
    assert told["name"].startswith("mine-and-yours-")
    (name,) = told["runs"]
    here, there = (json.loads(run(capsys, "show", one, "--json")) for one in (name, RUN))
    assert here["after"] == there["after"]
    listed = run(capsys, "import")
    assert told["name"] in listed
    assert "was imported before" in run(capsys, "import", out, code=1)
    assert name in run(capsys, "runs")
    assert "was removed" in run(capsys, "import", "--remove", told["name"])
    assert run(capsys, "import") == "Nothing was imported yet. Import a bundle: sftqa import FILE\n"


def test_mistakes_are_told(capsys, tmp_path):
    """No file, a file that is no bundle, both at once, a bundle that is not there."""
    (tmp_path / "x.zip").write_text("hello")
    assert "is no file" in run(capsys, "import", str(tmp_path / "y.zip"), code=1)
    assert "x.zip is not imported: it is no zip file." in run(capsys, "import", str(tmp_path / "x.zip"), code=1)
    assert "not both at once" in run(capsys, "import", "x.zip", "--remove", "y", code=1)
    assert "There is no imported bundle 'y'. Imported: none." in run(capsys, "import", "--remove", "y", code=1)
    assert "There is no run" in run(capsys, "bundle", "nothing", "--out", str(tmp_path / "z.zip"), code=1)
