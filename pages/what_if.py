"""What if it is tuned another way? A recipe beside plain tuning, beside its control, and beside what chance alone does."""

from functools import partial

import streamlit as st

from pages._ui import panels
from pages._ui.charts import draw
from pages._ui.studies import recipe_panels, study_panels
from sftqa_core.figures.recipe_effects import claims_figure, effects_figure, knob_figure
from sftqa_core.records import STUDIES
from sftqa_core.records.studying import RECIPE_STUDY
from sftqa_core.reports import study_words

st.title(STUDIES[RECIPE_STUDY].title)
st.caption("A gain counts only where it is more than plain tuning's, more than the control's, and more than other seeds would show.")
recipe, model = recipe_panels.pick_recipe_and_model()
recipe_panels.about(recipe)
settings, report, tables = study_panels.study_body(
    RECIPE_STUDY, lambda study: study.recipe is not None and study.recipe.name == recipe.name and model in study.models,
    partial(recipe_panels.none_yet, recipe, model),
)  # fmt: skip
knob, effect, claims = (recipe_panels.of_model(tables[name], model) for name in ("knob", "effect", "claims"))
labels = settings.scheme.labels

if len(claims):
    recipe_panels.in_short(claims, recipe)
if len(effect):
    study_panels.draw_by_domain(
        effect, "effect", "Accuracy by level of everything compared", lambda domain: effects_figure(effect, domain, labels), (tables, model)
    )
    st.caption(study_words.EFFECT)
else:
    panels.empty("No test fact has been asked yet: dev facts choose the recipe's main setting first.")

left, right = st.columns(2, gap="large")
with left:
    name = recipe_panels.knob_name(settings)
    st.markdown(f"**{name}, chosen on dev facts**")
    draw(partial(knob_figure, knob, name), key="knob", alt="Dev accuracy by value of the main setting", of=(tables, model))
    st.caption(study_words.KNOB)
with right:
    recipe_panels.own_tables(tables, model, labels)
if len(claims):
    st.subheader("Differences", anchor=False)
    study_panels.draw_by_domain(
        claims, "claims", "Differences with intervals", lambda domain: claims_figure(claims, domain, labels), (tables, model)
    )
    st.caption(study_words.CLAIMS)
    recipe_panels.cost_and_forgetting(tables, model)
study_panels.study_tail(report, tables, model)
