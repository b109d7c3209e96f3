"""Which data? Training on facts of one memory level, tested on every level."""

from functools import partial

import streamlit as st

from pages._ui import panels, pickers
from pages._ui.studies import open_cells, study_panels
from sftqa_core.figures.matrices import matrix_figure
from sftqa_core.reports import study_words

VALUES = {"accuracy": "accuracy", "difference": "difference from the natural mix"}

settings, report, tables = study_panels.study_head(
    "level", "Rows: memory level of the training facts. Columns: memory level of the test facts."
)
matrix = tables["matrix"]

first, second, third = st.columns([2, 2, 2], vertical_alignment="bottom")
with first:
    model = study_panels.pick_one_model(settings)
value = pickers.linked_choice("Value", list(VALUES), "value", VALUES.__getitem__, second)
published = pickers.linked_toggle("Show published results", "published", third, help="What the follow-up paper measured on large models.")

labels = settings.scheme.labels
rows = matrix[matrix["model"] == model]
apart = study_panels.told_apart(tables, model)
study_panels.draw_by_domain(
    rows, "matrix", "Accuracy by train and test level", lambda domain: matrix_figure(matrix, model, domain, labels, value, apart[domain]),
    (tables, model, value), partial(open_cells.matrix_cell, report, matrix, model, value),
)  # fmt: skip
if len(rows):
    caption = study_words.matrix_caption(rows, any(apart.values()))
    st.caption(f"{caption} Click a cell to compare its runs with those of the natural mix, fact by fact.")
study_panels.retest_note(tables["retest"], model)
if published:
    study_panels.published_matrices()

panels.folded(
    "What each row was trained on", "composition", ":material/pie_chart:", lambda: study_panels.composition(tables, model, labels)
)
study_panels.study_tail(report, tables, model)
