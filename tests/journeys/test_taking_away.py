"""What people take along, and what others bring: images and tables of a page, a bundle into an empty explorer, names and an undo."""

import re
import zipfile

import pandas as pd
import pytest

from tests.browser.serving import RUN_MS, settled, sound
from tests.journeys.axe_findings import findings
from tests.journeys.conftest import shipped_run
from tests.made_runs import made_run

pytestmark = pytest.mark.journey


def saved(page, press, to):
    """The file that the browser saves when `press` is called."""
    with page.expect_download(timeout=RUN_MS) as waiting:
        press()
    path = to / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


@pytest.mark.smoke
def test_a_chart_and_a_table_are_saved(shipped, visit, tmp_path):
    """PNG at twice the dots, SVG as vectors with the chart's words, both on white; a table as CSV and as Parquet."""
    page = visit(f"{shipped}/results?run={shipped_run()}", dark=True)
    page.get_by_role("button", name="Take away").click()
    box = page.get_by_role("dialog")
    settled(page)
    camera = box.locator(".modebar-btn").first
    png = saved(page, camera.click, tmp_path)
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(png.read_bytes()[16:20], "big") == 1800
    box.get_by_text("SVG", exact=True).click()
    settled(page)
    svg = saved(page, camera.click, tmp_path).read_text(encoding="utf-8")
    assert svg.startswith("<svg")
    assert "majority object" in svg
    csv = saved(page, box.get_by_role("button", name="Save as CSV").click, tmp_path)
    box.get_by_text("Parquet", exact=True).click()
    settled(page)
    parquet = saved(page, box.get_by_role("button", name="Save as Parquet").click, tmp_path)
    assert list(pd.read_parquet(parquet).columns) == list(pd.read_csv(csv, encoding="utf-8-sig").columns)
    sound(page)


def test_a_bundle_comes_into_an_empty_explorer_and_a_changed_one_does_not(shipped, started, visit, tmp_path):
    """Saved by *Share*, handed over in the browser: shown as imported. With one byte changed it is refused, and nothing is there."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/results?run={shipped_run()}")
    page.get_by_role("button", name="Share").click()
    whole, changed = saved(page, page.get_by_role("button", name="Bundle (.zip)").click, tmp_path), tmp_path / "changed.zip"
    with zipfile.ZipFile(whole) as packed, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as other:
        for name in packed.namelist():
            content = packed.read(name)
            other.writestr(name, content.replace(b"60", b"61") if name.endswith("run.json") else content)
    with started("importing") as address:
        page = visit(f"{address}/results")
        page.get_by_role("button", name="Import a bundle").click()
        box = page.get_by_role("dialog")
        for file, told in ((changed, re.compile("run.json")), (whole, re.compile("was imported"))):
            box.locator("input[type=file]").set_input_files(file)
            box.get_by_role("button", name="Check and import").click()
            expect(box.get_by_text(told).first).to_be_visible(timeout=RUN_MS)
            settled(page)
            assert box.get_by_text("Imported bundles").count() == (file is whole)
        box.get_by_role("button", name="Results", exact=True).click()
        expect(box).to_have_count(0)
        expect(page.get_by_text(re.compile("No work here ever reuses them")).first).to_be_visible(timeout=RUN_MS)
        settled(page)
        page.get_by_role("button", name="Share").click()
        expect(page.get_by_role("button", name="Report (HTML)")).to_be_visible()
        expect(page.get_by_role("button", name="Bundle (.zip)")).to_have_count(0)
        sound(page)


@pytest.mark.parametrize("dark", [False, True], ids=["light 1440", "dark 420"])
def test_a_run_is_named_tagged_deleted_and_brought_back(started, visit, workspace, dark):
    """By its popover, the dialog and Undo; axe has no grave finding in any of them, and the run is there again with its label."""
    from playwright.sync_api import expect

    from sftqa_core.workflows import labels

    run = "20261101-120000-base-n60-full-s0-aaaa"
    made_run(run, [at % 2 == 0 for at in range(80)])
    with started("labels", SFTQA_CACHE=str(workspace.root)) as address:
        page = visit(f"{address}/results?run={run}", narrow=dark, dark=dark)
        box, dialog = page.get_by_test_id("stPopoverBody"), page.get_by_role("dialog", name="Delete this run?")
        page.get_by_role("button", name="Name, tags, note").click()
        box.get_by_label("Name", exact=True).fill("my best")
        box.get_by_role("combobox", name="Tags").fill("paper")
        page.keyboard.press("Enter")
        assert findings(page, "[data-testid=stPopoverBody]") == []
        box.get_by_role("button", name="Save").click()
        expect(box).to_have_count(0)
        settled(page)
        assert [(label.name, label.tags) for label in labels().runs.values()] == [("my best", ("paper",))]
        page.get_by_role("button", name="Name, tags, note").click()
        box.get_by_role("button", name="Delete this run").click()
        expect(dialog.get_by_text("my best")).to_be_visible()
        settled(page)
        assert findings(page, "[role=dialog]") == []
        dialog.get_by_role("button", name="Delete", exact=True).click()
        expect(page.get_by_text("Deleted: my best")).to_be_visible()
        settled(page)
        assert not (workspace.runs / run).exists()
        assert labels().runs == {}
        expect(page.get_by_test_id("stToast")).to_have_count(0)  # "Saved.": Streamlit's own, a dialog for axe that has no name
        assert findings(page) == []
        page.get_by_role("button", name="Undo").first.click()
        expect(page.get_by_text("my best is back")).to_be_visible()
        settled(page)
        assert run in page.url
        assert (workspace.runs / run).is_dir()
        assert [(label.name, label.tags) for label in labels().runs.values()] == [("my best", ("paper",))]
        sound(page)
