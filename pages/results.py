"""What did a run change? Accuracy per memory level before and after, and every prediction behind it."""

import streamlit as st

from pages._ui import address, background, glossary, panels, pickers, resources
from pages._ui.bundles.bundle_panel import import_button, origin_note
from pages._ui.downloads import share_button
from pages._ui.labels import label_panel
from pages._ui.runs import change_panel, result_panels
from pages._ui.runs.accuracy_table import accuracy_table
from pages._ui.runs.twin import twin_button
from pages._ui.titles import model_name
from pages._ui.wording import literal
from sftqa_core.records.result_names import bundle_of
from sftqa_core.reports import run_words

st.title("Results")

with panels.errors_shown():
    stamp = background.stamp()
    runs = resources.runs(stamp)

panels.unreadable(resources.unreadable(background.stamp()))
label_panel.notices()
if not runs:
    panels.empty("No run has finished yet.", "pages/lab.py", "Start one in the Lab")
    import_button()
    label_panel.deleted_fold()
    address.over()

with panels.errors_shown():
    run = resources.run(pickers.pick_run(stamp))
    summary, settings = run.summary, run.settings
    predictions, facts, curve = resources.run_tables(run.id)

with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
    part = result_panels.parts_picker(facts)
    with st.container(key="compare-with", width="content"):
        st.page_link("pages/compare.py", label="Compare with…", icon=":material/compare_arrows:", query_params={"runs": run.id})
    twin_button(settings, "results", run.id)
    share_button([run.id], "results-share")
    label_panel.label_button(label_panel.run_of(run.id, runs), "results")
    import_button()
label_panel.note_of("run", run.id)
origin_note(bundle_of(run.id))
about = st.container()  # what may be missing has a place of its own: else all that follows would move up, and be drawn from nothing
if part != "all":
    with panels.errors_shown():
        summary = resources.run_part(run.id, part)
    _, facts = result_panels.part_of((predictions, facts), part)
    about.caption(f"Everything below is about {part} test facts only.")
result_panels.headline(summary)
glossary.here(settings.scheme, result_panels.completions_of(facts), tuple(settings.few_shot_stages.values()))
st.subheader("Accuracy per memory level", anchor=False)
result_panels.accuracy_charts(summary, settings, where=part, clickable=True)
st.caption(
    f"{run_words.ACCURACY_CAPTION} Click a point to list the predictions of its level. "
    f"{run_words.level_error(literal(model_name(settings.model)), background.moved_levels(run.id, stamp))}"
)
with st.container():
    for note in (run_words.cut_note(run), run_words.fewer_shots_note(summary, settings), resources.run_rule(run.id)):
        if note:
            st.caption(note)
    for note in run_words.recipe_notes(run):
        st.caption(literal(note))
    panels.planted(settings.source)

st.subheader("Predictions that changed", anchor=False)
change_panel.change_panel(run, part)

panels.folded("Training curves", "curves", ":material/show_chart:", lambda: result_panels.training_charts(run, curve))
panels.folded("All numbers", "numbers", ":material/table:", lambda: accuracy_table(summary, f"{run.id}-accuracy-{part}"))
panels.folded("Settings, command and versions", "made-with", ":material/tune:", lambda: result_panels.made_with(run))
label_panel.deleted_fold()
