"""The parts of the page "What if?": which recipe, what is said of it, how a study of it is started, its own tables, cost and forgetting."""

from functools import partial
from typing import Any

import streamlit as st

from pages._ui import address, background, links, panels, pickers, resources
from pages._ui.charts import draw
from pages._ui.columns import draw_table
from pages._ui.studies.start_dialog import ask_to_start
from pages._ui.titles import model_name
from pages._ui.wording import VERDICTS, literal
from sftqa_core.figures.recipe_effects import own_figure
from sftqa_core.jsonrecord import declared
from sftqa_core.records import DOMAIN_NAMES, StudySettings
from sftqa_core.records.amounts import points
from sftqa_core.records.recipes import RECIPES, Recipe
from sftqa_core.records.studying import CONTROL, recipe_study
from sftqa_core.reports import study_words

COST_HELPS = {
    "train_s": "All stages of the recipe, mean over seeds, on the machine on which each run was done.",
    "all_s": "With choosing the examples and answering the test facts.",
}
FORGETTING_HELPS = {
    "facts": "Facts that the base model answers rightly.",
    "forgotten": "Of these, the share that is answered wrongly after tuning.",
    "learned": "Of the other facts, the share that is answered rightly after tuning.",
}


def pick_recipe_and_model() -> tuple[type[Recipe], str]:
    """Both kept in the address; at first those of the study that it names, else of the newest one."""
    with panels.errors_shown():
        known, linked = resources.model_names(), address.value("study")
        found = sorted(background.studies(), key=lambda study: study.name != linked)  # the one that is named first, then as they come
        studied = [study.settings for study in found if study.whole and study.settings.recipe is not None]
    if not known:
        panels.no_models()
    first, second = st.columns([2, 2])
    usual = studied[0].recipe.name if studied and studied[0].recipe else next(iter(RECIPES))
    with first:
        name = pickers.linked("Recipe", list(RECIPES), "recipe", lambda recipe: RECIPES[recipe].title, default=usual, explicit=True)
    models = list(dict.fromkeys([*known, *(model for study in studied for model in study.models)]))
    own = next((model for study in studied if study.recipe and study.recipe.name == name for model in study.models), models[0])
    with second:
        model = pickers.linked("Model", models, "model", lambda model: known.get(model) or model_name(model), default=own, explicit=True)
    return RECIPES[name], model


def about(recipe: type[Recipe]) -> None:
    """What it does, what its paper reports (as a citation), and what is different here."""
    with st.container(border=True):
        st.markdown(literal(recipe.about))
        claim = (
            f": {literal(recipe.claim)} That is its claim; nothing of it was measured here."
            if recipe.claim
            else ". Its figures are not cited."
        )
        st.caption(f"**The paper**, {literal(recipe.source)}{claim}")
        st.caption(f"**What is different here:** {literal(recipe.differs)}")


def none_yet(recipe: type[Recipe], model: str) -> None:
    """Where there is no study of this recipe and model: what it would be, and a start with its cost before."""
    with panels.errors_shown():  # of facts or settings that the recipe can't work with
        study = recipe_study(recipe(), (model,))
    values, seeds = len(study.values), len(study.seeds)
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f"No study of {literal(recipe.title)} on {literal(model_name(model))} has been started yet.", text_alignment="center")
        tried = f"{values} value{'' if values == 1 else 's'} of its main setting ({literal(_knob(recipe).label)}) on dev facts"
        then = f"then plain tuning, the recipe and its controls on test facts: n = {study.examples[0]:,}, {seeds} seeds."
        st.caption(f"{tried}, {then}", text_alignment="center")
        if st.button("Start it", type="primary", icon=":material/play_arrow:", help="Shows first what it costs."):
            ask_to_start("Start it", study)
        to = {"what": "study", "study.kind": "recipe", "study.recipe": recipe.name, "study.models": model}
        links.page_link("pages/lab.py", "Other settings in the Lab", "recipe-lab", icon=":material/arrow_forward:", to=to)


def of_model(table: Any, model: str) -> Any:
    """The rows of one model; an empty table may have no columns."""
    return table[table["model"] == model] if len(table) else table


def in_short(claims: Any, recipe: type[Recipe]) -> None:
    """Whether the recipe beats plain tuning and its controls by the mean over levels (of all facts, where a level holds none), and
    whether the same test tells plain tuning from itself."""
    answers = claims[claims["measure"] == "accuracy"]
    for (setting, against), pairs in answers.groupby(["setting", "against"], sort=False):
        told = []
        for domain, rows in pairs.groupby("domain", sort=False):
            row = next((row for row in rows.itertuples() if row.level == "mean over levels"), rows.iloc[-1])
            badge = f":{VERDICTS[row.verdict]}-badge[{row.verdict}]"
            told.append(f"{badge} {DOMAIN_NAMES[domain]}, {points(row.difference)} points ({points(row.low)} to {points(row.high)})")
        other = f"its control, {against.removeprefix(CONTROL)}" if against.startswith(CONTROL) else against
        question = f"Better than {other}?" if setting == recipe.title else "By the same test, other seeds of plain tuning?"
        st.markdown(f"**{literal(question)}** {' · '.join(told)}")


def knob_name(settings: StudySettings) -> str:
    """What the main setting of the study's recipe is called."""
    assert settings.recipe is not None
    return _knob(type(settings.recipe)).label


def _knob(recipe: type[Recipe]) -> Any:
    return declared(recipe)[recipe.knob]


@panels.piece
def own_tables(tables: resources.Tables, model: str, labels: tuple[str, ...]) -> None:
    """What the recipe tells beside its answers: a column of its tables by level as a chart, tables of rounds or stages as they are."""
    by_level, rows = (of_model(tables[name], model) for name in ("by_level", "own_rows"))
    st.markdown("**What the recipe itself tells**")
    if not len(by_level) and not len(rows):
        st.caption("It has no table of its own, or no run of it has finished yet.")
        return
    if len(by_level):
        names = {f"{row.table}.{row.column}": (row.table, row.column) for row in by_level.itertuples()}
        words = {name: f"{table}: {column}".replace("_", " ") for name, (table, column) in names.items()}
        chosen = pickers.linked("Told", list(names), "told", words.__getitem__, label_visibility="collapsed")
        figure = partial(own_figure, by_level, *names[chosen], labels)
        draw(figure, key="own", alt=f"{words[chosen]} by memory level", of=(tables, model, chosen))
        st.caption("Training facts (or those that the recipe's table is of) by memory level, over all seeds.")
    if len(rows):
        seed = rows["seed"].iloc[0]
        for name, table in rows[rows["seed"] == seed].groupby("table", sort=False):
            st.caption(f"{str(name).replace('_', ' ').capitalize()}, seed {seed}. All seeds: under 'All numbers'.")
            draw_table(table.pivot(index="row", columns="column", values="value")[list(dict.fromkeys(table["column"]))])


def cost_and_forgetting(tables: resources.Tables, model: str) -> None:
    """What was paid: time, and facts that are lost."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**What it cost in time**")
        rows = of_model(tables["cost"], model).drop(columns=["model", "seeds", "seed_ratios"], errors="ignore")
        draw_table(rows, study_words.COST_TITLES, COST_HELPS)
    with right:
        st.markdown("**What it cost in forgetting**")
        rows = of_model(tables["forgetting"], model).drop(columns=["model", "seeds", "per_seed"], errors="ignore")
        draw_table(rows, study_words.FORGETTING_TITLES, FORGETTING_HELPS)
