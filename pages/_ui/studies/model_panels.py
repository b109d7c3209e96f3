"""The parts of the page that compares models."""

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import drawn, panels, pickers, resources
from pages._ui.charts import draw
from pages._ui.studies import study_panels
from pages._ui.titles import model_name
from pages._ui.wording import literal, percent
from sftqa_core.figures.model_comparison import MOST_SIGNS, planted_figure, shares_figure
from sftqa_core.records import StudySettings

TEMPLATES = {"all": "all templates", "seen": "templates in its text", "unseen": "other templates"}
_SHORT = {"all": "all", "seen": "in its text", "unseen": "others"}  # templates, where there is little room
_LISTED = 300  # facts handed to the browser


@panels.piece
def shares(tables: resources.Tables, labels: tuple[str, ...]) -> None:
    """Levels of every model, with the published ones below when wanted."""
    beside = pickers.linked_toggle("Show published results", "published", help="What the follow-up paper measured on large models.")
    reference, source = resources.published("shares") if beside else (None, "")
    table = study_panels.named(tables["shares"])
    study_panels.draw_by_domain(
        table, "shares", "Facts by level for each model", lambda domain: shares_figure(table, domain, labels, reference), (tables, beside)
    )
    st.caption("Test facts of each model." + (f" Published: {source}; different facts, so compare shapes." if beside else ""))


@panels.piece
def known_by(table: pd.DataFrame, models: int) -> None:
    """Facts that all models know best, and those that none knows."""
    every, nobody = table[table["best"] == models], table[table["none"] == models]
    st.markdown(
        f"**{len(every):,} facts are at the highest level in all {models} models, {len(nobody):,} at the lowest**, of {len(table):,}"
    )
    which = pickers.linked_choice("Facts", ["all know", "none knows", "split"], "known")
    split = table[(table["best"] > 0) & (table["none"] > 0)]
    chosen = {"all know": every, "none knows": nobody, "split": split}[which]
    names = resources.relation_labels()
    shown = chosen.head(_LISTED).assign(
        answers=[" | ".join(map(str, answers)) for answers in chosen["answers"].head(_LISTED)],
        relation=[names.get(relation, relation) for relation in chosen["relation"].head(_LISTED)],
    )
    drawn.note_table("facts of the models", lambda: shown)
    st.dataframe(shown[["subject", "best", "none", "mean_score", "answers", "relation"]], hide_index=True, height=230, column_config=_KNOWN)
    if which == "split":
        st.caption(f"{len(split):,} facts are at the highest level in one model and at the lowest in another.")


@panels.piece
def planted(settings: StudySettings, table: pd.DataFrame) -> None:
    """Memory score against mentions for one model, and the rank correlations of all."""
    first, second, third = st.columns(3, vertical_alignment="bottom")
    with first:
        model = study_panels.pick_one_model(settings)
    templates = pickers.linked_choice("Templates", list(TEMPLATES), "templates", TEMPLATES.__getitem__, second)
    names = resources.relation_labels()
    with third:
        relation = pickers.linked("Relation", ["all", *names], "relation", lambda name: names.get(name, name))
    left, right = st.columns([3, 2], gap="large")
    profile = resources.profile(model, settings.source, "test", "all", settings.scheme)
    with left:
        if "exposures" not in profile.level_table.table:
            st.caption("The pre-training text of this model is unknown.")
        else:
            figure = partial(_planted, profile, relation, templates)
            alt, of = "Memory score against mentions in the pre-training text", (profile.level_table, relation, templates)
            draw(figure, key="planted", alt=alt, of=of)
            if profile.facts > MOST_SIGNS:
                st.caption(f"Lines are means over all facts; {MOST_SIGNS:,} of them, drawn at random, have a sign of their own.")
    with right:
        st.markdown("**Rank correlation of mentions and memory score**")
        overall = table[(table["relation"] == "all")]
        wide = overall.pivot_table(index=["facts_are", "templates"], columns="model", values="spearman", sort=False)
        wide.index = [f"{kind}, {_SHORT[which]}" for kind, which in wide.index]
        shown = wide[list(settings.models)].round(2).rename(columns=model_name) + 0.0  # none is -0
        beside = {name: st.column_config.NumberColumn(format="%.2f") for name in shown.columns}
        st.dataframe(shown, column_config={"_index": st.column_config.TextColumn("facts, templates", width=155), **beside})
        st.caption(_guessing(overall))
        relations = table[(table["model"] == model) & (table["relation"] != "all") & (table["facts_are"] == "uncontested")]
        if len(relations):
            lowest, highest = relations["spearman"].min(), relations["spearman"].max()
            ends = f"{lowest:z.2f} to {highest:z.2f}"
            st.caption(f"{literal(model_name(model))}, by relation (uncontested): {ends}. All are in the tables at the end.")


def _planted(profile: Any, relation: str, templates: str) -> Any:
    facts = profile.table
    return planted_figure(facts if relation == "all" else facts[facts["relation"] == relation], templates)


def _guessing(overall: Any) -> str:
    """Facts that were never mentioned have a score, too."""
    guessed = overall[(overall["facts_are"] == "uncontested") & (overall["templates"] == "all") & overall["mean_unseen"].notna()]
    scores = ", ".join(f"{literal(model_name(row.model))} {percent(row.mean_unseen)}" for row in guessed.itertuples())
    return f"Mean memory score of facts that were never mentioned (guessing): {scores}." if scores else ""


_KNOWN = {  # what tells the facts apart stands where a telephone shows it
    "subject": st.column_config.TextColumn("subject", width=130),
    "best": st.column_config.NumberColumn("highest in", width="small", help="In how many models it is at the highest level."),
    "none": st.column_config.NumberColumn("lowest in", width="small", help="In how many models it is at the lowest level."),
    "mean_score": st.column_config.NumberColumn("mean R", format="%.3f", width="small"),
}
