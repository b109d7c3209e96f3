"""Imported results on the pages: labelled where they are picked and shown, numbers as there, imported and removed in a dialog."""

import pytest

from sftqa_core import workflows
from tests.packed_bundles import RUN, packed
from tests.pages.conftest import words


@pytest.fixture
def imported(tmp_path, workspace):
    """One bundle beside the run that it was made of."""
    return workflows.import_bundle(packed(tmp_path))


def test_results_shows_an_imported_run_with_its_numbers_and_its_label(explorer, imported):
    """The same tiles as the run that was packed, a note on what may be relied on, and the label in the list."""
    tiles = [(metric.label, metric.value, metric.delta) for metric in explorer("results", {"run": RUN}, example=False, real=True).metric]
    app = explorer("results", {"run": imported.runs[0]}, example=False, real=True)
    assert [(metric.label, metric.value, metric.delta) for metric in app.metric] == tiles != []
    (note,) = [info.value for info in app.info if "Imported" in info.value]
    assert "Checksums show damage, not origin" in note
    assert any(f"imported: {imported.name}" in option for option in app.selectbox(key="pick-run").options)


def test_compare_labels_the_side_that_was_imported(explorer, imported):
    """Beside one's own run, with the note; the study's and the run's origin are in the legend."""
    app = explorer("compare", {"runs": f"{RUN},{imported.runs[0]}"}, example=False, real=True)
    told = words(app).replace("\\", "")
    assert f"imported: {imported.name}" in told
    assert "80 test facts in common" in told


def test_a_bundle_is_removed_in_the_dialog(explorer, imported):
    """The dialog lists it with its licences; after a click nothing of it is left."""
    app = explorer("results", {"run": RUN}, example=False, real=True)
    app.button(key="import-open").click().run()
    assert not app.exception
    app.button(key=f"bundle-remove-{imported.name}").click().run()
    assert not app.exception
    assert workflows.imported_bundles() == []


def test_an_empty_explorer_offers_to_import(explorer):
    """Where no run has finished, Results offers it beside the Lab."""
    app = explorer("results", example=False, real=True)
    assert app.button(key="import-open").label == "Import a bundle"
